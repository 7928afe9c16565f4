/* load_memory.c: what a suspended task weighs: many tasks that wait at a semaphore at the same
 * time.
 *
 * The bytes are the growth of this process's proportional set size, and of its page tables, from
 * before the first task is started until all wait, divided by their number; stacks, frames and
 * everything else that the tasks brought along are in it. They are taken from the first sample,
 * whose stacks are new; the time, from starting the first task until all wait, is a metric of its
 * own for that sample, and the figure of the row for the later ones, which find whatever the
 * runtime has kept. */
#include "clock.h"
#include "load.h"
#include "usage.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <weft/sync.h>

/* More than a task takes; a machine with less for each is not asked to try. */
#define BYTES_PER_TASK_MAX 8192

struct hall {
    weft_sem gate;
    _Atomic uint64_t arrived;
    _Atomic uint64_t left;
    bool measured; /* the first sample is over */
};

WEFT_TASK(wait_in_hall, struct hall *)
{
    struct hall *hall = *arg;
    /* relaxed, both: counts that order nothing; weft_scope_end orders the last look at them */
    atomic_fetch_add_explicit(&hall->arrived, 1, memory_order_relaxed);
    int rc = weft_sem_acquire(&hall->gate);
    atomic_fetch_add_explicit(&hall->left, rc == 0, memory_order_relaxed);
    return rc;
}

static int memory_open(struct tb_trial *trial)
{
    uint64_t n = trial->params[0], needed = n * BYTES_PER_TASK_MAX;
    if (tb_memory_available() < needed) {
        return tb_skip(trial, "%llu tasks may need %llu MiB of memory, which are not free",
                       (unsigned long long)n, (unsigned long long)(needed >> 20));
    }
    trial->ops_per_round = n;
    trial->state = calloc(1, sizeof(struct hall));
    return trial->state ? 0 : tb_skip(trial, "no memory for the results");
}

static void memory_close(struct tb_trial *trial)
{
    free(trial->state);
}

/* Starts the tasks and returns when all wait. */
static int fill(struct hall *hall, weft_scope *scope, uint64_t n)
{
    int rc = 0;
    for (uint64_t i = 0; i < n && rc == 0; i++) {
        rc = weft_go(scope, wait_in_hall, &hall);
    }
    while (rc == 0 && atomic_load_explicit(&hall->arrived, memory_order_relaxed) < n) {
        rc = weft_yield();
    }
    return rc;
}

static void note_growth(struct tb_trial *trial, const struct tb_usage *before,
                        const struct tb_usage *after, uint64_t create_ns)
{
    double n = (double)trial->params[0];
    double tables = (double)after->page_tables_bytes - (double)before->page_tables_bytes;
    tb_metric(trial, "task_bytes", "B", ((double)after->pss_bytes - (double)before->pss_bytes) / n);
    tb_metric(trial, "table_bytes", "B", tables / n);
    tb_metric(trial, "create_cold", "ns", (double)create_ns / n);
    tb_metric(trial, "mappings", "", (double)after->mappings);
}

static int memory_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    struct hall *hall = trial->state;
    uint64_t n = trial->params[0];
    struct tb_usage before, after;
    hall->arrived = 0;
    hall->left = 0;
    weft_sem_init(&hall->gate, 0, 0);
    WEFT_SCOPE(scope);
    tb_usage_get(&before);
    uint64_t start = tb_now_ns();
    int rc = fill(hall, &scope, n);
    trial->elapsed_ns = tb_now_ns() - start;
    if (rc == 0 && !hall->measured) {
        tb_usage_get(&after);
        note_growth(trial, &before, &after, trial->elapsed_ns);
        hall->measured = true;
    }
    weft_sem_release(&hall->gate, (uint32_t)n);
    int end = weft_scope_end(&scope);
    weft_sem_fini(&hall->gate);
    return rc < 0 ? rc : end;
}

static int memory_check(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    const struct hall *hall = trial->state;
    if (hall->left != trial->params[0]) {
        return tb_wrong(trial, "%llu tasks left the semaphore, not %llu",
                        (unsigned long long)hall->left, (unsigned long long)trial->params[0]);
    }
    return 0;
}

const struct tb_load tb_loads_memory[] = {
    {
        .name = "mem-100k",
        .group = "memory",
        .about = "100 000 tasks that wait; bytes and creation of each",
        .op = "task created",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE | TB_LOAD_ONCE,
        .samples_max = 5,
        .params = {{"tasks", 100000, 1, 1000000, "tasks that wait at a time"}},
        .open = memory_open,
        .sample = memory_sample,
        .check = memory_check,
        .close = memory_close,
    },
    {
        .name = "mem-1m",
        .group = "memory",
        .about = "a million tasks that wait; bytes and creation of each",
        .op = "task created",
        .flags = TB_LOAD_ALONE | TB_LOAD_ONCE,
        .samples_max = 3,
        .params = {{"tasks", 1000000, 1, 1000000, "tasks that wait at a time"}},
        .open = memory_open,
        .sample = memory_sample,
        .check = memory_check,
        .close = memory_close,
    },
    {.name = NULL},
};
