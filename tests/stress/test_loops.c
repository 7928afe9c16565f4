/* Loops of every kind, nested and in each other's way, with bodies of very unequal length that
 * wait, fail and are cancelled; each index is accounted for.
 *
 * The seed is printed; WT_SEED=n in the environment repeats it (the threads' timing is not repeated
 * with it). */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <stdint.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft/weft.h>

#define INDICES  4000
#define ROUND_NS INT64_C(1500000000)

/* The same for an index whoever runs it. */
static uint64_t dice_of(uint64_t seed)
{
    return roll(&seed);
}

struct loop {
    uint64_t seed;
    size_t n;
    size_t fails_at;      /* SIZE_MAX: nowhere */
    weft_time timeout;    /* WEFT_FOREVER: none */
    weft_sem *permits;    /* some bodies queue for one */
    atomic_uchar *visits; /* of each index */
    atomic_int inside;    /* pieces under way */
    int depth;
};

static void compute(uint64_t turns)
{
    for (volatile uint64_t i = 0; i < turns; i++) {
    }
}

static int run_loop(struct loop *loop, uint64_t *sum);

static int nest(struct loop *outer, uint64_t dice)
{
    atomic_uchar visits[32] = {0};
    struct loop loop = {.seed = dice,
                        .n = dice % 32,
                        .fails_at = SIZE_MAX,
                        .timeout = WEFT_FOREVER,
                        .permits = outer->permits,
                        .visits = visits,
                        .depth = outer->depth + 1};
    uint64_t sum = 0;
    return run_loop(&loop, &sum);
}

static int run_index(struct loop *loop, size_t i)
{
    uint64_t dice = dice_of(loop->seed + i);
    wt_lt(i, loop->n);
    wt_eq(atomic_fetch_add(&loop->visits[i], 1), 0, "index %zu is run twice", i);
    if (i == loop->fails_at) {
        return weft_fail(-EPROTO, "index %zu", i);
    }
    int rc = 0;
    switch (dice % 64) {
    case 0:
        compute(dice / 64 % 30000);
        break;
    case 1:
        rc = weft_yield();
        break;
    case 2:
        rc = weft_sleep(WEFT_US(dice / 64 % 30));
        break;
    case 3:
        rc = weft_sem_acquire(loop->permits);
        if (rc == 0) {
            rc = dice & 1024 ? weft_yield() : 0;
            weft_sem_release(loop->permits, 1);
        }
        break;
    case 4:
        rc = loop->depth < 2 ? nest(loop, dice / 64) : 0;
        break;
    default:
        compute(dice / 64 % 30);
    }
    return rc;
}

static int run_piece(size_t from, size_t to, void *acc, void *ctx)
{
    struct loop *loop = ctx;
    int rc = 0;
    atomic_fetch_add(&loop->inside, 1);
    for (size_t i = from; i < to && rc >= 0; i++) {
        rc = run_index(loop, i);
        *(uint64_t *)acc += i + 1;
    }
    atomic_fetch_sub(&loop->inside, 1);
    return rc;
}

static int run_range(size_t from, size_t to, void *ctx)
{
    uint64_t unused = 0;
    return run_piece(from, to, &unused, ctx);
}

static void add(void *left, const void *right, void *ctx)
{
    (void)ctx;
    *(uint64_t *)left += *(const uint64_t *)right;
}

static int choose(struct loop *loop, uint64_t *sum)
{
    uint64_t dice = dice_of(~loop->seed);
    size_t grain = dice % 3 == 0 ? 0 : dice / 4 % 20;
    size_t grain_max = dice % 5 == 0 ? 1 : 0;
    return dice & 1 ? weft_reduce(0, loop->n, sum, run_piece, add, loop, .grain = grain,
                                  .grain_max = grain_max)
                    : weft_for(0, loop->n, run_range, loop, .grain = grain, .grain_max = grain_max);
}

static int run_loop(struct loop *loop, uint64_t *sum)
{
    int rc = loop->timeout == WEFT_FOREVER ? choose(loop, sum)
                                           : weft_within(loop->timeout, choose(loop, sum));
    wt_eq(atomic_load(&loop->inside), 0, "a piece runs on after the loop's end");
    if (rc == 0) {
        for (size_t i = 0; i < loop->n; i++) {
            wt_eq(atomic_load(&loop->visits[i]), 1, "index %zu", i);
        }
    }
    return rc;
}

struct world {
    uint64_t seed;
    weft_sem permits;
    atomic_long done, failed, late;
};

static void one_loop(struct world *world, uint64_t seed)
{
    uint64_t dice = dice_of(seed);
    size_t n = dice % INDICES;
    struct loop loop = {.seed = seed,
                        .n = n,
                        .fails_at = dice >> 32 & 3 ? SIZE_MAX : (dice >> 34) % (n + 1),
                        .timeout = dice >> 60 ? WEFT_FOREVER : WEFT_US(dice >> 40 & 2047),
                        .permits = &world->permits,
                        .visits = calloc(n + 1, sizeof *loop.visits)};
    uint64_t sum = 0;
    int rc = run_loop(&loop, &sum);
    if (rc == -EPROTO) {
        const weft_error *error = weft_last();
        wt_lt(loop.fails_at, n);
        wt_true(error == NULL || error->code == -EPROTO);
        atomic_fetch_add(&world->failed, 1);
    } else if (rc == -ETIME) {
        wt_ne(loop.timeout, WEFT_FOREVER);
        atomic_fetch_add(&world->late, 1);
    } else {
        wt_eq(rc, 0);
        wt_true(sum == 0 || sum == (uint64_t)n * (n + 1) / 2);
        atomic_fetch_add(&world->done, 1);
    }
    free(loop.visits);
}

struct many {
    struct world *world;
    uint64_t seed;
};

WEFT_TASK(run_loops, struct many)
{
    int64_t until_ns = now_ns() + ROUND_NS;
    for (uint64_t i = 0; now_ns() < until_ns; i++) { /* ends: at until_ns */
        one_loop(arg->world, arg->seed + i * 1000003);
    }
    return 0;
}

static int run_world(void *arg)
{
    struct world *world = arg;
    weft_sem_init(&world->permits, 2, 0);
    WEFT_SCOPE(s);
    for (uint64_t i = 0; i < 3; i++) {
        struct many one = {world, dice_of(world->seed + i)};
        wt_eq(weft_go(&s, run_loops, &one), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    weft_sem_fini(&world->permits);
    return 0;
}

Test(loops, each_index_is_accounted_for_in_a_storm_of_loops)
{
    uint64_t seed = first_seed();
    const int workers[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        struct world world = {.seed = seed + i};
        wt_eq(weft_run(run_world, &world, .workers = workers[i]), 0);
        printf("%d workers: %ld loops done, %ld failed, %ld late\n", workers[i],
               atomic_load(&world.done), atomic_load(&world.failed), atomic_load(&world.late));
        wt_gt(atomic_load(&world.done), 0);
    }
}
