/* Sorting: against qsort, for every order, size and kind of element; and what is left after a
 * stop. */
#include "pattern.h"
#include <stdlib.h>
#include <string.h>
#include <weft/fork.h>
#include <weft/par.h>

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* `key` is sorted by; `place` tells whether equal keys stayed in their order. */
struct pair {
    uint32_t key, place;
};

static atomic_int compared;

static int by_key(const void *a, const void *b, void *ctx)
{
    const struct pair *x = a, *y = b;
    if (ctx != NULL && atomic_fetch_add(&compared, 1) % 64 == 0) {
        weft_yield();
    }
    return (x->key > y->key) - (x->key < y->key);
}

enum order { RANDOM, SORTED, REVERSED, FEW_KEYS, ALL_EQUAL, SAWTOOTH, ORDERS };

static uint32_t key_of(enum order order, size_t i, size_t n, uint64_t *seed)
{
    switch (order) {
    case SORTED:
        return (uint32_t)i;
    case REVERSED:
        return (uint32_t)(n - i);
    case FEW_KEYS:
        return (uint32_t)(next_random(seed) % 4);
    case ALL_EQUAL:
        return 7;
    case SAWTOOTH:
        return (uint32_t)(i % 100);
    default:
        return (uint32_t)next_random(seed);
    }
}

static void check_pairs(size_t n, enum order order, bool waits, bool own_scratch)
{
    uint64_t seed = n * ORDERS + order + 1;
    struct pair *pairs = malloc((n + 1) * sizeof *pairs);
    struct pair *scratch = own_scratch ? malloc((n + 1) * sizeof *scratch) : NULL;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        pairs[i] = (struct pair){key_of(order, i, n, &seed), (uint32_t)i};
        sum += pairs[i].key;
    }
    pairs[n] = (struct pair){0, UINT32_MAX};
    wt_eq(weft_sort(pairs, n, sizeof *pairs, by_key, waits ? &seed : NULL, .scratch = scratch), 0);
    for (size_t i = 1; i < n; i++) {
        wt_true(pairs[i - 1].key < pairs[i].key ||
                    (pairs[i - 1].key == pairs[i].key && pairs[i - 1].place < pairs[i].place),
                "%zu of %zu, order %d", i, n, (int)order);
    }
    for (size_t i = 0; i < n; i++) {
        sum -= pairs[i].key;
    }
    wt_eq(sum, 0u);
    wt_eq(pairs[n].place, UINT32_MAX, "behind the end");
    free(scratch);
    free(pairs);
}

static int all_pairs(void *arg)
{
    (void)arg;
    static const size_t sizes[] = {0, 1, 2, 3, 15, 16, 17, 31, 33, 1000, 2047, 2049, 4097, 30001};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (enum order order = 0; order < ORDERS; order++) {
            check_pairs(sizes[s], order, false, s % 2 != 0);
        }
    }
    return 0;
}

Test(sort, every_order_and_size_comes_out_sorted_and_stable)
{
    all_pairs(NULL); /* outside of a task */
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(all_pairs, NULL, .workers = workers), 0);
    }
}

static int large_array(void *arg)
{
    (void)arg;
    check_pairs(300000, RANDOM, false, false);
    check_pairs(300000, FEW_KEYS, false, true);
    return 0;
}

Test(sort, a_large_array_is_sorted_by_all_workers)
{
    wt_eq(weft_run(large_array, NULL, .workers = 1), 0);
    wt_eq(weft_run(large_array, NULL, .workers = 2), 0);
    wt_eq(weft_run(large_array, NULL, .workers = 8), 0);
}

static int waiting_comparison(void *arg)
{
    (void)arg;
    check_pairs(3000, RANDOM, true, false);
    return 0;
}

Test(sort, the_comparison_may_wait)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(waiting_comparison, NULL, .workers = workers), 0);
    }
}

static int by_bytes(const void *a, const void *b, void *ctx)
{
    return memcmp(a, b, *(size_t *)ctx);
}

static int all_widths(void *arg)
{
    (void)arg;
    for (size_t bytes = 1; bytes < 3000; bytes = bytes * 2 + bytes % 3) {
        size_t n = 200000 / (bytes + 100);
        uint64_t seed = bytes;
        unsigned char *ours = malloc(n * bytes), *theirs = malloc(n * bytes);
        for (size_t i = 0; i < n * bytes; i++) {
            ours[i] = theirs[i] = (unsigned char)next_random(&seed);
        }
        wt_eq(weft_sort(ours, n, bytes, by_bytes, &bytes), 0);
        qsort_r(theirs, n, bytes, by_bytes, &bytes);
        wt_eq(memcmp(ours, theirs, n * bytes), 0, "%zu bytes", bytes);
        free(ours);
        free(theirs);
    }
    return 0;
}

Test(sort, elements_may_have_any_size)
{
    for (int workers = 1; workers <= 4; workers *= 2) {
        wt_eq(weft_run(all_widths, NULL, .workers = workers), 0);
    }
}

/* --- stopping --------------------------------------------------------------------------------- */

struct sorting {
    uint32_t *numbers;
    size_t n;
    atomic_int begun;
    atomic_int *gate; /* the comparison waits until it is set; NULL: it does not */
};

static int slowly(const void *a, const void *b, void *ctx)
{
    struct sorting *s = ctx;
    int count = atomic_fetch_add(&s->begun, 1);
    if (count > 5000 && s->gate != NULL) {
        while (atomic_load(s->gate) == 0) {
            weft_yield();
        }
    }
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int sort_numbers(void *arg)
{
    struct sorting *s = arg;
    return weft_sort(s->numbers, s->n, sizeof *s->numbers, slowly, s);
}

static void check_permutation(struct sorting *s)
{
    unsigned char *seen = calloc(s->n, 1);
    for (size_t i = 0; i < s->n; i++) {
        wt_true(s->numbers[i] < s->n && !seen[s->numbers[i]], "element %zu", i);
        seen[s->numbers[i]] = 1;
    }
    free(seen);
}

static void fill(struct sorting *s, size_t n, atomic_int *gate)
{
    *s = (struct sorting){.numbers = malloc(n * sizeof *s->numbers), .n = n, .gate = gate};
    for (size_t i = 0; i < n; i++) {
        s->numbers[i] =
            (uint32_t)((i * 7919 + 13) % n); /* n is no multiple of 7919: a permutation */
    }
}

static int cancelled_in_the_middle(void *arg)
{
    (void)arg;
    for (int round = 0; round < 5; round++) {
        atomic_int gate = 0;
        struct sorting s;
        fill(&s, 30000 + (size_t)round, &gate);
        weft_task task;
        WEFT_SCOPE(scope, .on_error = WEFT_CONTINUE);
        weft_spawn(&task, sort_numbers, &s);
        yield_until(&s.begun, 5000);
        weft_scope_cancel(&scope, "enough");
        atomic_store(&gate, 1);
        wt_eq(weft_await(&task), -ECANCELED);
        weft_scope_end(&scope);
        check_permutation(&s);
        free(s.numbers);
    }
    return 0;
}

Test(sort, a_cancelled_sort_loses_and_doubles_nothing)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(cancelled_in_the_middle, NULL, .workers = workers), 0);
    }
}

TaskTest(sort, in_a_cancelled_scope_nothing_is_compared, 2)
{
    struct sorting s;
    fill(&s, 1000, NULL);
    WEFT_SCOPE(scope);
    weft_scope_cancel(&scope, "before");
    wt_eq(sort_numbers(&s), -ECANCELED);
    weft_scope_end(&scope);
    wt_eq(atomic_load(&s.begun), 0);
    wt_eq(s.numbers[0], 13u);
    free(s.numbers);
    return 0;
}

static int sort_in_nested_scopes(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        WEFT_SCOPE(outer);
        WEFT_SCOPE(inner, .timeout = WEFT_SEC(60));
        check_pairs(5000, RANDOM, false, false);
        weft_scope_end(&inner);
        check_pairs(5000, SAWTOOTH, false, false);
        weft_scope_end(&outer);
    }
    return 0;
}

static int sorts_at_once(void *arg)
{
    weft_task tasks[6];
    for (int i = 0; i < 6; i++) {
        weft_spawn(&tasks[i], sort_in_nested_scopes, arg);
    }
    for (int i = 0; i < 6; i++) {
        wt_eq(weft_await(&tasks[i]), 0);
    }
    return 0;
}

Test(sort, several_sorts_in_nested_scopes_at_once)
{
    wt_eq(weft_run(sorts_at_once, NULL, .workers = 1), 0);
    wt_eq(weft_run(sorts_at_once, NULL, .workers = 8), 0);
}

TaskTest(sort, what_cannot_be_sorted_is_refused_and_left_alone, 1)
{
    uint32_t numbers[2] = {2, 1};
    wt_eq(weft_sort(numbers, 2, 0, by_key, NULL), -EINVAL);
    wt_eq(weft_sort(numbers, 2, 4, NULL, NULL), -EINVAL);
    wt_eq(weft_sort(NULL, 2, 4, by_key, NULL), -EINVAL);
    wt_eq(weft_sort(numbers, SIZE_MAX / 2, 4, by_key, NULL), -E2BIG);
    wt_eq(weft_sort(NULL, 0, 4, by_key, NULL), 0);
    wt_eq(numbers[0], 2u);
    return 0;
}
