/* load_steal.c: one task after the other goes to another worker, for sure.
 *
 * The parent starts a task and then holds its worker without giving way until the task has run:
 * nobody but a thief can have run it. So each op is one steal, whatever the machine does, and what
 * a steal costs in allocations can be counted. */
#include "load.h"
#include <sched.h>
#include <stdatomic.h>

#define SPINS 10000 /* then the CPU is offered to a worker that has none of its own */

/* Tells the core that this is a loop that waits. */
static void pause_core(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

static int arrive(void *arg)
{
    atomic_store_explicit((_Atomic uint32_t *)arg, 1, memory_order_release);
    return 0;
}

static int steal_open(struct tb_trial *trial)
{
    return trial->workers > 1 ? 0
                              : tb_skip(trial, "there is nobody to steal: it takes two workers");
}

static int steal_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)trial;
    for (uint64_t i = 0; i < rounds; i++) {
        _Atomic uint32_t ran = 0;
        weft_task task;
        weft_spawn(&task, arrive, &ran);
        for (int spins = 1; !atomic_load_explicit(&ran, memory_order_acquire); spins++) {
            if (spins % SPINS == 0) { /* or with one CPU, at real-time priority, it would not end */
                sched_yield();
            }
            pause_core();
        }
        int rc = weft_await(&task);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

const struct tb_load tb_loads_steal[] = {
    {
        .name = "steal",
        .group = "start",
        .about = "a task that only a thief can run, one at a time",
        .op = "steal",
        .open = steal_open,
        .sample = steal_sample,
    },
    {.name = NULL},
};
