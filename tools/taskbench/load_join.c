/* load_join.c: what it costs to wait for several tasks at once, and to continue one.
 *
 * Each call's result and which task gave it are compared, and each body counts in a place of its
 * own. */
#include "load.h"
#include <weft/weft.h>

#define ALL_TASKS   8
#define FIRST_TASKS 2

static int count_up(void *arg)
{
    return ++*(uint64_t *)arg != 0;
}

static int compare_counts(struct tb_trial *trial, const uint64_t *counts, int n, uint64_t rounds)
{
    for (int i = 0; i < n; i++) {
        if (counts[i] != rounds) {
            return tb_wrong(trial, "task %d ran %llu times, not %llu", i,
                            (unsigned long long)counts[i], (unsigned long long)rounds);
        }
    }
    return 0;
}

static int all_open(struct tb_trial *trial)
{
    trial->ops_per_round = ALL_TASKS;
    return 0;
}

static int all_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t counts[ALL_TASKS] = {0};
    for (uint64_t round = 0; round < rounds; round++) {
        weft_task tasks[ALL_TASKS];
        weft_task *handles[ALL_TASKS];
        for (int i = 0; i < ALL_TASKS; i++) {
            handles[i] = &tasks[i];
            weft_spawn(&tasks[i], count_up, &counts[i]);
        }
        int rc = weft_when(handles, ALL_TASKS, WEFT_FAILFAST, NULL);
        if (rc < 0) {
            return rc;
        }
    }
    return compare_counts(trial, counts, ALL_TASKS, rounds);
}

/* One of the two waits for ever, and is cancelled by the end of the other. */
static int wait_for_ever(void *arg)
{
    int rc = weft_sem_acquire(arg);
    return rc == -ECANCELED ? rc : 1;
}

static int first_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t count = 0;
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    for (uint64_t round = 0; round < rounds; round++) {
        weft_task fast;
        weft_task slow;
        int which;
        weft_spawn(&fast, count_up, &count);
        weft_spawn(&slow, wait_for_ever, &never);
        int rc = weft_when((weft_task *const[]){&slow, &fast}, FIRST_TASKS, WEFT_FIRST, &which);
        if (rc != 1 || which != 1 || weft_status(&slow) != -ECANCELED) {
            return tb_wrong(trial, "task %d was first with %d, the other gave %d", which, rc,
                            weft_status(&slow));
        }
    }
    weft_sem_fini(&never);
    return compare_counts(trial, &count, 1, rounds);
}

static int continue_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t counts[2] = {0};
    for (uint64_t round = 0; round < rounds; round++) {
        weft_task task;
        weft_cont cont;
        weft_spawn(&task, count_up, &counts[0]);
        int rc = weft_continue(&cont, &task, count_up, &counts[1], WEFT_ON_OK);
        if (rc == 0) {
            (void)weft_await(&task);
            rc = weft_await(&cont.task);
        }
        if (rc != 1) {
            return tb_wrong(trial, "the continuation gave %d", rc);
        }
    }
    return compare_counts(trial, counts, 2, rounds);
}

const struct tb_load tb_loads_join[] = {
    {
        .name = "when-all",
        .group = "join",
        .about = "weft_spawn of 8 tasks and one weft_when for all of them",
        .op = "task",
        .flags = TB_LOAD_QUICK,
        .open = all_open,
        .sample = all_sample,
    },
    {
        .name = "when-first",
        .group = "join",
        .about = "two tasks and a weft_when for the first; the other waits and is cancelled",
        .op = "race",
        .flags = TB_LOAD_QUICK,
        .sample = first_sample,
    },
    {
        .name = "continue",
        .group = "join",
        .about = "a task and its continuation, both awaited",
        .op = "pair",
        .flags = TB_LOAD_QUICK,
        .sample = continue_sample,
    },
    {.name = NULL},
};
