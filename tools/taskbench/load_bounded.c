/* load_bounded.c: weft_foreach over an array: bodies that return at once, and bodies that wait. */
#include "load.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <weft/par.h>

/* An item has a cache line of its own, as most things that are worth a body. */
struct item {
    _Alignas(64) uint64_t visits;
};

struct loop {
    struct item *items;
    uint64_t max;
    _Atomic uint64_t inside;  /* bodies that are waiting; kept by visit_and_wait */
    _Atomic uint64_t crowded; /* times that it was above max */
    uint64_t visits;          /* that each item should have */
};

static int visit(void *item, void *ctx)
{
    (void)ctx;
    ((struct item *)item)->visits++;
    return 0;
}

static int visit_and_wait(void *item, void *ctx)
{
    struct loop *loop = ctx;
    /* relaxed: counts; exact whatever the order, since each body adds before it subtracts */
    if (atomic_fetch_add_explicit(&loop->inside, 1, memory_order_relaxed) >= loop->max) {
        atomic_fetch_add_explicit(&loop->crowded, 1, memory_order_relaxed);
    }
    int rc = weft_yield();
    atomic_fetch_sub_explicit(&loop->inside, 1, memory_order_relaxed);
    ((struct item *)item)->visits++;
    return rc;
}

static int foreach_open(struct tb_trial *trial)
{
    struct loop *loop = trial->state = calloc(1, sizeof *loop);
    if (!loop) {
        return tb_skip(trial, "no memory for the loop");
    }
    uint64_t n = trial->params[0];
    loop->items = aligned_alloc(_Alignof(struct item), n * sizeof *loop->items);
    if (!loop->items) {
        free(loop);
        return tb_skip(trial, "no memory for the items");
    }
    for (uint64_t i = 0; i < n; i++) {
        loop->items[i].visits = 0;
    }
    loop->max = trial->params[1];
    trial->ops_per_round = n;
    return 0;
}

static void foreach_close(struct tb_trial *trial)
{
    struct loop *loop = trial->state;
    free(loop->items);
    free(loop);
}

static int foreach_rounds(struct tb_trial *trial, uint64_t rounds, weft_each_fn *body)
{
    struct loop *loop = trial->state;
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = weft_foreach(body, loop, .items = loop->items, .count = trial->params[0],
                          .stride = sizeof *loop->items, .max = (int)loop->max);
    }
    loop->visits += rounds;
    return rc;
}

static int foreach_sample(struct tb_trial *trial, uint64_t rounds)
{
    return foreach_rounds(trial, rounds, visit);
}

static int foreach_wait_sample(struct tb_trial *trial, uint64_t rounds)
{
    return foreach_rounds(trial, rounds, visit_and_wait);
}

static int foreach_check(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    struct loop *loop = trial->state;
    if (loop->crowded != 0) {
        return tb_wrong(trial, "more than %llu bodies ran at once, %llu times",
                        (unsigned long long)loop->max, (unsigned long long)loop->crowded);
    }
    for (uint64_t i = 0; i < trial->params[0]; i++) {
        if (loop->items[i].visits != loop->visits) {
            return tb_wrong(trial, "item %llu was visited %llu times, not %llu",
                            (unsigned long long)i, (unsigned long long)loop->items[i].visits,
                            (unsigned long long)loop->visits);
        }
    }
    return 0;
}

#define FOREACH_PARAMS                                          \
    {                                                           \
        {"items", 4096, 1, 1 << 24, "items of a loop"},         \
            {"max", 16, 1, 1 << 16, "bodies at once, at most"}, \
    }

const struct tb_load tb_loads_bounded[] = {
    {
        .name = "foreach",
        .group = "bounded",
        .about = "weft_foreach with a body that returns at once",
        .op = "item",
        .flags = TB_LOAD_QUICK,
        .params = FOREACH_PARAMS,
        .open = foreach_open,
        .sample = foreach_sample,
        .check = foreach_check,
        .close = foreach_close,
    },
    {
        .name = "foreach/yield",
        .group = "bounded",
        .about = "weft_foreach with a body that yields",
        .op = "item",
        .flags = TB_LOAD_QUICK,
        .params = FOREACH_PARAMS,
        .open = foreach_open,
        .sample = foreach_wait_sample,
        .check = foreach_check,
        .close = foreach_close,
    },
    {.name = NULL},
};
