/* bench_cache.c: workloads for taskbench (weft/bench.h): a cache of a few hundred keys behind one
 * mutex, and the same read by a lock that readers share. A shared object, not a program:
 *
 *     cc -shared -fPIC -O2 -g -o bench_cache.so bench_cache.c
 *     taskbench run ./bench_cache.so
 *
 * Each task looks some keys up; check sees to it that none was missed. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <weft/bench.h>
#include <weft/sync.h>

#define KEYS 512

struct cache {
    weft_mutex mutex;
    weft_rwlock lock;
    uint64_t values[KEYS];
    _Atomic uint64_t found;
};

static int fill(weft_bench_trial *trial)
{
    struct cache *cache = calloc(1, sizeof *cache);
    if (!cache) {
        return -ENOMEM;
    }
    weft_mutex_init(&cache->mutex);
    weft_rwlock_init(&cache->lock);
    for (uint64_t key = 0; key < KEYS; key++) {
        cache->values[key] = key + 1;
    }
    trial->state = cache;
    trial->ops_per_round = trial->params[0];
    return 0;
}

static void drop(weft_bench_trial *trial)
{
    struct cache *cache = trial->state;
    weft_mutex_fini(&cache->mutex);
    weft_rwlock_fini(&cache->lock);
    free(cache);
}

struct lookup {
    struct cache *cache;
    uint64_t key;
};

WEFT_TASK(look_alone, struct lookup)
{
    int rc = weft_mutex_lock(&arg->cache->mutex);
    if (rc < 0) {
        return rc;
    }
    uint64_t value = arg->cache->values[arg->key % KEYS];
    (void)weft_mutex_unlock(&arg->cache->mutex);
    /* relaxed: a count; the end of the scope orders the look at it */
    atomic_fetch_add_explicit(&arg->cache->found, value != 0, memory_order_relaxed);
    return 0;
}

WEFT_TASK(look_together, struct lookup)
{
    int rc = weft_rwlock_read(&arg->cache->lock);
    if (rc < 0) {
        return rc;
    }
    uint64_t value = arg->cache->values[arg->key % KEYS];
    (void)weft_rwlock_unlock(&arg->cache->lock);
    atomic_fetch_add_explicit(&arg->cache->found, value != 0, memory_order_relaxed);
    return 0;
}

static int run_round(weft_bench_trial *trial, bool together)
{
    WEFT_SCOPE(scope);
    for (uint64_t i = 0; i < trial->params[0]; i++) {
        struct lookup lookup = {trial->state, trial->seed + i};
        int rc = together ? weft_go(&scope, look_together, &lookup)
                          : weft_go(&scope, look_alone, &lookup);
        if (rc < 0) {
            break;
        }
    }
    return weft_scope_end(&scope);
}

static int sample_alone(weft_bench_trial *trial, uint64_t rounds)
{
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = run_round(trial, false);
    }
    return rc;
}

static int sample_together(weft_bench_trial *trial, uint64_t rounds)
{
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = run_round(trial, true);
    }
    return rc;
}

static int check(weft_bench_trial *trial, uint64_t rounds)
{
    struct cache *cache = trial->state;
    uint64_t found = atomic_exchange(&cache->found, 0), want = rounds * trial->params[0];
    if (found == want) {
        return 0;
    }
    return weft_bench_wrong(trial, "%llu of %llu keys were found", (unsigned long long)found,
                            (unsigned long long)want);
}

#define TASKS                                                             \
    {                                                                     \
        {                                                                 \
            "tasks", 64, 1, 1 << 20, "tasks that look a key up at a time" \
        }                                                                 \
    }

WEFT_BENCHES = {
    {.name = "cache/mutex",
     .about = "tasks that look up under one mutex",
     .op = "lookup",
     .params = TASKS,
     .open = fill,
     .sample = sample_alone,
     .check = check,
     .close = drop},
    {.name = "cache/rwlock",
     .about = "the same under a lock that readers share",
     .op = "lookup",
     .params = TASKS,
     .open = fill,
     .sample = sample_together,
     .check = check,
     .close = drop},
    {.name = NULL},
};
