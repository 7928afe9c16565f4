/* test_alloc.c: counting allocations (tools/taskbench/alloc.h). With jemalloc the counts must be
 * exact; without it the answer must be that nothing can be counted, and not that there is
 * nothing. */
#include "tests/support/wt.h"
#include "alloc.h"
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define THREADS 4
#define BLOCKS  1000

/* Each in a way of its own; the pointer is volatile, or the compiler would drop the pairs. */
static void *allocate(void *unused)
{
    for (int i = 0; i < BLOCKS; i++) {
        void *volatile block = malloc(100);
        free(block);
        block = calloc(10, 10);
        free(block);
        block = aligned_alloc(64, 128);
        free(block);
    }
    return unused;
}

static void on_threads(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        wt_eq(pthread_create(&threads[i], NULL, allocate, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static bool can_count(void)
{
    const char *why_not;
    return tb_alloc_probe(&why_not);
}

Test(alloc, without_jemalloc_it_says_so)
{
    const char *why_not;
    if (tb_alloc_version()) {
        wt_skip("malloc is jemalloc's");
    }
    wt_false(tb_alloc_probe(&why_not));
    wt_str_eq(why_not, "malloc is not jemalloc's");
    wt_eq(tb_alloc_start(), -ENOTSUP);
}

Test(alloc, every_thread_is_counted_exactly)
{
    if (!can_count()) {
        wt_skip("allocations cannot be counted here");
    }
    struct tb_allocs all;
    on_threads(); /* what starting a thread allocates once only */
    wt_eq(tb_alloc_start(), 0);
    on_threads();
    tb_alloc_stop(&all);
    wt_ge(all.allocs, UINT64_C(3) * THREADS * BLOCKS);
    wt_le(all.allocs, UINT64_C(3) * THREADS * BLOCKS + THREADS); /* pthread_create: one each */
    wt_ge(all.bytes, UINT64_C(112 + 112 + 128) * THREADS * BLOCKS);
}

Test(alloc, what_comes_before_and_after_is_not_counted)
{
    if (!can_count()) {
        wt_skip("allocations cannot be counted here");
    }
    struct tb_allocs none, one;
    allocate(NULL);
    wt_eq(tb_alloc_start(), 0);
    tb_alloc_stop(&none);
    allocate(NULL);
    wt_eq(none.allocs, 0u);
    wt_eq(none.frees, 0u);
    wt_eq(none.bytes, 0u);

    wt_eq(tb_alloc_start(), 0);
    void *volatile block = malloc(100);
    tb_alloc_stop(&one);
    free(block);
    wt_eq(one.allocs, 1u);
    wt_eq(one.frees, 0u);
    wt_eq(one.bytes, 112u);
}

Test(alloc, a_realloc_counts_as_the_memory_that_it_gave)
{
    if (!can_count()) {
        wt_skip("allocations cannot be counted here");
    }
    struct tb_allocs all;
    void *volatile block = malloc(100);
    wt_eq(tb_alloc_start(), 0);
    block = realloc(block, 10000);
    tb_alloc_stop(&all);
    free(block);
    wt_eq(all.allocs, 1u);
    wt_eq(all.frees, 1u);
}
