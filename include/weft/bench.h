/* bench.h: a program's own code as workloads of taskbench: time per op, allocations and their
 * places, system calls, instructions, memory, by the same tool that measures weft itself.
 *
 * Build a shared object that defines one table, and name the file:
 *
 *     static int lookups(weft_bench_trial *t, uint64_t rounds)
 *     {
 *         for (uint64_t i = 0; i < rounds; i++) {
 *             if (cache_get(t->state, i) < 0) return weft_bench_wrong(t, "a key is lost");
 *         }
 *         return 0;
 *     }
 *     WEFT_BENCHES = {
 *         {.name = "cache/get", .op = "lookup", .open = fill, .sample = lookups, .close = drop},
 *         {0},
 *     };
 *
 *     cc -shared -fPIC -O2 -g -o cache.so cache_bench.c cache.c
 *     taskbench run ./cache.so
 *     taskbench gate ./cache.so --budgets budgets.json --update
 *
 * The object need not be linked with weft: taskbench brings it. Nothing here is of use without
 * taskbench, and no function of this header is in the library. */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_BENCH_ABI        1
#define WEFT_BENCH_PARAMS_MAX 4
#define WEFT_BENCH_REASON_MAX 160
#define WEFT_BENCH_LOADS_MAX  32 /* workloads in one object */

/* A number that -p KEY=NUMBER sets. */
typedef struct weft_bench_param {
    const char *key; /* NULL ends the list */
    uint64_t value;  /* default */
    uint64_t min, max;
    const char *about; /* one line; NULL: nothing to say */
} weft_bench_param;

/* One row being measured, in a process of its own. */
typedef struct weft_bench_trial {
    /* given */
    weft_rt *rt;
    int workers;
    uint64_t seed;
    uint64_t params[WEFT_BENCH_PARAMS_MAX]; /* in the order of weft_bench.params */

    /* the workload's */
    void *state;            /* from open to close; NULL at first */
    uint64_t ops_per_round; /* set by open; 1 if it does not */
    uint64_t elapsed_ns;    /* set by a sample that keeps the time itself; 0: ours counts */
    char reason[WEFT_BENCH_REASON_MAX]; /* see weft_bench_wrong */
} weft_bench_trial;

/* A workload. open, sample, check and close run in one task of trial->rt, one after the other, and
 * may call anything of weft. Each but `sample` may be NULL. The int is 0, or a negative code
 * (-errno) with which the row is wrong. All strings are static. */
typedef struct weft_bench {
    const char *name; /* 13 characters at most, "noun" or "noun/variant"; none of taskbench's own */
    const char *about; /* one line; NULL: nothing to say */
    const char *op;    /* what a figure is given per; NULL: "round" */
    int workers;       /* 1: a second worker can do nothing for it. 0: measured on one and on two */
    weft_bench_param params[WEFT_BENCH_PARAMS_MAX + 1];
    int (*open)(weft_bench_trial *trial);
    /* What is measured: so many rounds, of `ops_per_round` ops each. Leaves nothing behind that
     * grows. */
    int (*sample)(weft_bench_trial *trial, uint64_t rounds);
    /* Looks at the result of the sample before, out of the time measured. */
    int (*check)(weft_bench_trial *trial, uint64_t rounds);
    void (*close)(weft_bench_trial *trial);
} weft_bench;

/* The object's table, ended by an entry without a name. */
#define WEFT_BENCHES                           \
    const int weft_bench_abi = WEFT_BENCH_ABI; \
    const weft_bench weft_benches[]
extern const int weft_bench_abi;
extern const weft_bench weft_benches[];

/* Says that a result is wrong (printf-like, 159 bytes at most), and returns a code to return. Any
 * thread, one at a time. */
static inline int weft_bench_wrong(weft_bench_trial *trial, const char *format, ...)
    __attribute__((format(printf, 2, 3), unused));
static inline int weft_bench_wrong(weft_bench_trial *trial, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(trial->reason, sizeof trial->reason, format, args);
    va_end(args);
    return -EBADMSG;
}

#ifdef __cplusplus
}
#endif

#endif
