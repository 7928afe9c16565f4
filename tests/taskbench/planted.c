/* planted.c: a shared object with a workload (weft/bench.h) that is as it should be, or worse in
 * one way: the environment's WEFT_PLANT is "alloc", "call", "work" (4 % more of it), "slow" (5 %
 * more time for all of the op), "huge", "wrong" or "crowded" (huge on several workers). A file
 * named planted-PLANT.so does so by itself. test_gate.sh, test_ab_cli.sh and test_scaling.sh look
 * whether taskbench notices, and names what. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weft/bench.h>

#define STEPS 400 /* of work in an op: some 2000 instructions */

enum plant { NOTHING, ALLOC, CALL, WORK, SLOW, HUGE_WORK, WRONG, CROWDED, PLANTS };

static enum plant planted(void)
{
    static const char *const names[PLANTS] = {"",     "alloc", "call",  "work",
                                              "slow", "huge",  "wrong", "crowded"};
    const char *plant = getenv("WEFT_PLANT"), *dash;
    Dl_info self;
    size_t n = plant ? strlen(plant) : 0;
    if (dladdr((const void *)names, &self) && (dash = strstr(self.dli_fname, "/planted-"))) {
        plant = dash + strlen("/planted-");
        n = strcspn(plant, ".");
    }
    for (int i = 0; plant && i < PLANTS; i++) {
        if (strlen(names[i]) == n && strncmp(names[i], plant, n) == 0) {
            return (enum plant)i;
        }
    }
    return NOTHING;
}

static __attribute__((noinline)) uint64_t mix(uint64_t value, int steps)
{
    for (int i = 0; i < steps; i++) {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        __asm__ volatile("" : "+r"(value));
    }
    return value;
}

static __attribute__((noinline)) void planted_alloc(void)
{
    void *volatile block = malloc(100);
    free(block);
}

static __attribute__((noinline)) void planted_call(void)
{
    (void)syscall(SYS_getppid);
}

static __attribute__((noinline)) uint64_t planted_work(uint64_t value, int steps)
{
    return mix(value, steps);
}

struct op {
    enum plant plant;
    int workers;
    uint64_t value;
};

static int run_op(void *arg)
{
    struct op *op = arg;
    op->value = mix(op->value, STEPS);
    switch (op->plant) {
    case ALLOC:
        planted_alloc();
        break;
    case CALL:
        planted_call();
        break;
    case WORK:
        op->value = planted_work(op->value, STEPS / 25);
        break;
    case SLOW:
        op->value = planted_work(op->value, STEPS * 11 / 200);
        break;
    case HUGE_WORK:
        op->value = planted_work(op->value, STEPS * 15);
        break;
    case CROWDED:
        op->value = planted_work(op->value, op->workers > 1 ? STEPS * 15 : 0);
        break;
    default:
        break;
    }
    return 0;
}

static int sample(weft_bench_trial *trial, uint64_t rounds)
{
    struct op op = {planted(), trial->workers, trial->seed};
    for (uint64_t i = 0; i < rounds; i++) {
        weft_task task;
        weft_spawn(&task, run_op, &op);
        int rc = weft_await(&task);
        if (rc < 0) {
            return rc;
        }
    }
    return op.plant == WRONG ? weft_bench_wrong(trial, "the planted fault") : 0;
}

WEFT_BENCHES = {
    {.name = "planted",
     .about = "a spawn, an await and some work",
     .op = "task",
     .workers = 1,
     .sample = sample},
    {.name = NULL},
};
