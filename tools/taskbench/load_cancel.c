/* load_cancel.c: callbacks that are registered and taken off, and many waits that are cancelled. */
#include "clock.h"
#include "load.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <weft/cancel.h>
#include <weft/sync.h>

/* --- callback --------------------------------------------------------------------------------- */

static void must_not_run(void *arg)
{
    ++*(uint64_t *)arg;
}

static int callback_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t calls = 0;
    uint64_t bad = 0;
    weft_cancel source;
    weft_cancel_init(&source, NULL);
    for (uint64_t i = 0; i < rounds; i++) {
        weft_cancel_reg reg;
        bad += weft_cancel_on(&source, &reg, must_not_run, &calls) != 0;
        bad += weft_cancel_off(&reg) != 1;
    }
    weft_cancel_fini(&source);
    return bad + calls != 0 ? tb_wrong(trial, "%llu registrations went wrong, %llu calls",
                                       (unsigned long long)bad, (unsigned long long)calls)
                            : 0;
}

/* --- under ------------------------------------------------------------------------------------ */

static int under_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t bad = 0;
    weft_cancel source;
    weft_cancel_init(&source, NULL);
    for (uint64_t i = 0; i < rounds; i++) {
        int value = (int)(i & 1023);
        bad += weft_under(&source, value) != value;
    }
    weft_cancel_fini(&source);
    return bad != 0 ? tb_wrong(trial, "%llu values went wrong", (unsigned long long)bad) : 0;
}

/* --- waits ------------------------------------------------------------------------------------ */

struct waits {
    weft_sem never;
    _Atomic uint64_t waiting;
    _Atomic uint64_t cancelled;
};

WEFT_TASK(wait_for_ever, struct waits *)
{
    struct waits *waits = *arg;
    /* relaxed, both: counts; the end of the scope orders the last look */
    atomic_fetch_add_explicit(&waits->waiting, 1, memory_order_relaxed);
    int rc = weft_sem_acquire(&waits->never);
    if (rc == -ECANCELED) {
        atomic_fetch_add_explicit(&waits->cancelled, 1, memory_order_relaxed);
    }
    return rc;
}

static int waits_open(struct tb_trial *trial)
{
    trial->ops_per_round = trial->params[0];
    trial->state = calloc(1, sizeof(struct waits));
    return trial->state ? 0 : tb_skip(trial, "no memory for the results");
}

static void waits_close(struct tb_trial *trial)
{
    free(trial->state);
}

/* The time from the cancel call until the last task has ended. */
static int waits_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    struct waits *waits = trial->state;
    *waits = (struct waits){0};
    weft_sem_init(&waits->never, 0, 0);
    int rc = 0;
    WEFT_SCOPE(scope);
    for (uint64_t i = 0; i < trial->params[0] && rc == 0; i++) {
        rc = weft_go(&scope, wait_for_ever, &waits);
    }
    /* ends: every task comes to its wait */
    while (rc == 0 && atomic_load(&waits->waiting) < trial->params[0]) {
        rc = weft_yield();
    }
    uint64_t start = tb_now_ns();
    (void)weft_scope_cancel(&scope, "the load is over");
    uint64_t walked = tb_now_ns();
    int end = weft_scope_end(&scope);
    trial->elapsed_ns = tb_now_ns() - start;
    tb_metric(trial, "walk", "ns", (double)(walked - start) / (double)trial->params[0]);
    weft_sem_fini(&waits->never);
    return rc < 0 ? rc : end == -ECANCELED ? 0 : end;
}

static int waits_check(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    const struct waits *waits = trial->state;
    if (waits->cancelled != trial->params[0]) {
        return tb_wrong(trial, "%llu of %llu waits were cancelled",
                        (unsigned long long)waits->cancelled, (unsigned long long)trial->params[0]);
    }
    return 0;
}

const struct tb_load tb_loads_cancel[] = {
    {
        .name = "cancel",
        .group = "cancel",
        .about = "a cancel callback registered and taken off",
        .op = "pair",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .sample = callback_sample,
    },
    {
        .name = "cancel/under",
        .group = "cancel",
        .about = "an expression evaluated under a source",
        .op = "expression",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .sample = under_sample,
    },
    {
        .name = "cancel/waits",
        .group = "cancel",
        .about = "many tasks that wait are cancelled and end",
        .op = "task",
        .flags = TB_LOAD_QUICK | TB_LOAD_ONCE,
        .samples_max = 5,
        .params = {{"tasks", 100000, 1, 1000000, "tasks that wait"}},
        .open = waits_open,
        .sample = waits_sample,
        .check = waits_check,
        .close = waits_close,
    },
    {.name = NULL},
};
