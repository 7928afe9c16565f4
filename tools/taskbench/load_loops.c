/* load_loops.c: weft_for and weft_reduce: what a loop costs that is over at once, what an index of
 * a long loop costs beside its body, and how unequal bodies are shared. Serial C as reference: the
 * same body, called once for the whole range. weft_sort beside qsort, which in glibc is a merge
 * sort too. */
#include "load.h"
#include <stdlib.h>
#include <string.h>
#include <weft/par.h>

struct range {
    uint32_t *visits; /* of each index */
    uint64_t n;
    uint64_t passes;
};

/* The reference is called as weft calls it: inlined, it would be another loop. */
static weft_range_fn *opaque(weft_range_fn *body)
{
    __asm__ volatile("" : "+r"(body));
    return body;
}

/* One index: a load, an add, a store, which is less than any call. */
static int visit(size_t from, size_t to, void *ctx)
{
    struct range *range = ctx;
    for (size_t i = from; i < to; i++) {
        range->visits[i]++;
        __asm__ volatile("" ::: "memory"); /* one by one: eight at a time would be another body */
    }
    return 0;
}

/* Bodies that become dearer: the last takes as long as `n / 64` turns of a loop. */
static int visit_uneven(size_t from, size_t to, void *ctx)
{
    struct range *range = ctx;
    for (size_t i = from; i < to; i++) {
        uint64_t turns = i / 64;
        for (uint64_t turn = 0; turn < turns; turn++) {
            __asm__ volatile("" ::: "memory");
        }
        range->visits[i]++;
    }
    return 0;
}

static int range_open(struct tb_trial *trial)
{
    struct range *range = trial->state = calloc(1, sizeof *range);
    if (!range) {
        return tb_skip(trial, "no memory for the loop");
    }
    range->n = trial->params[0];
    range->visits = calloc(range->n, sizeof *range->visits);
    if (!range->visits) {
        free(range);
        return tb_skip(trial, "no memory for the indices");
    }
    return 0;
}

static int range_open_by_index(struct tb_trial *trial)
{
    trial->ops_per_round = trial->params[0];
    return range_open(trial);
}

static void range_close(struct tb_trial *trial)
{
    struct range *range = trial->state;
    free(range->visits);
    free(range);
}

static int range_rounds(struct tb_trial *trial, uint64_t rounds, weft_range_fn *body)
{
    struct range *range = trial->state;
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = weft_for(0, range->n, body, range);
    }
    range->passes += rounds;
    return rc;
}

static int range_serial(struct tb_trial *trial, uint64_t rounds, weft_range_fn *body)
{
    struct range *range = trial->state;
    for (uint64_t i = 0; i < rounds; i++) {
        (void)opaque(body)(0, range->n, range);
    }
    range->passes += rounds;
    return 0;
}

static int for_sample(struct tb_trial *trial, uint64_t rounds)
{
    return range_rounds(trial, rounds, visit);
}

static int for_reference(struct tb_trial *trial, uint64_t rounds)
{
    return range_serial(trial, rounds, visit);
}

static int uneven_sample(struct tb_trial *trial, uint64_t rounds)
{
    return range_rounds(trial, rounds, visit_uneven);
}

static int uneven_reference(struct tb_trial *trial, uint64_t rounds)
{
    return range_serial(trial, rounds, visit_uneven);
}

static int range_check(struct tb_trial *trial, uint64_t rounds)
{
    struct range *range = trial->state;
    (void)rounds;
    for (uint64_t i = 0; i < range->n; i++) {
        if (range->visits[i] != (uint32_t)range->passes) {
            return tb_wrong(trial, "index %llu was visited %u times, not %u", (unsigned long long)i,
                            range->visits[i], (uint32_t)range->passes);
        }
    }
    return 0;
}

/* --- reduce ----------------------------------------------------------------------------------- */

/* Multiplied and xored, so that the compiler knows no formula for the sum. */
static uint64_t scramble(uint64_t i)
{
    i *= UINT64_C(0x9e3779b97f4a7c15);
    return i ^ (i >> 29);
}

static int add_range(size_t from, size_t to, void *acc, void *ctx)
{
    uint64_t sum = *(uint64_t *)acc;
    (void)ctx;
    for (size_t i = from; i < to; i++) {
        sum += scramble(i);
    }
    *(uint64_t *)acc = sum;
    return 0;
}

static void add(void *left, const void *right, void *ctx)
{
    (void)ctx;
    *(uint64_t *)left += *(const uint64_t *)right;
}

static int reduce_open(struct tb_trial *trial)
{
    uint64_t *want = trial->state = calloc(1, sizeof *want);
    if (!want) {
        return tb_skip(trial, "no memory for a sum");
    }
    /* the answer by another way: from the end */
    for (uint64_t i = trial->params[0]; i-- > 0;) {
        *want += scramble(i);
    }
    trial->ops_per_round = trial->params[0];
    return 0;
}

static void reduce_close(struct tb_trial *trial)
{
    free(trial->state);
}

static int reduce_verify(struct tb_trial *trial, uint64_t got)
{
    uint64_t want = *(uint64_t *)trial->state;
    if (got == want) {
        return 0;
    }
    return tb_wrong(trial, "the sum is %llu, got %llu", (unsigned long long)want,
                    (unsigned long long)got);
}

static int reduce_sample(struct tb_trial *trial, uint64_t rounds)
{
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        uint64_t sum = 0;
        rc = weft_reduce(0, trial->params[0], &sum, add_range, add, NULL);
        rc = rc < 0 ? rc : reduce_verify(trial, sum);
    }
    return rc;
}

static int reduce_reference(struct tb_trial *trial, uint64_t rounds)
{
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        uint64_t sum = 0;
        weft_fold_fn *fold = add_range;
        __asm__ volatile("" : "+r"(fold));
        (void)fold(0, trial->params[0], &sum, NULL);
        rc = reduce_verify(trial, sum);
    }
    return rc;
}

/* --- sort ------------------------------------------------------------------------------------- */

struct sorting {
    uint64_t *rows, *scratch; /* both of n */
    const uint64_t *shuffled; /* what each round begins with */
    uint64_t n;
};

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int by_value_of(const void *a, const void *b, void *ctx)
{
    (void)ctx;
    return by_value(a, b);
}

static int sort_open(struct tb_trial *trial)
{
    struct sorting *s = trial->state = calloc(1, sizeof *s);
    if (!s) {
        return tb_skip(trial, "no memory for the array");
    }
    s->n = trial->params[0];
    s->rows = calloc(3 * s->n, sizeof *s->rows);
    if (!s->rows) {
        free(s);
        return tb_skip(trial, "no memory for the array");
    }
    s->scratch = s->rows + s->n;
    uint64_t *shuffled = s->scratch + s->n;
    for (uint64_t i = 0; i < s->n; i++) {
        shuffled[i] = scramble(i + trial->seed);
    }
    s->shuffled = shuffled;
    trial->ops_per_round = s->n;
    return 0;
}

static void sort_close(struct tb_trial *trial)
{
    struct sorting *s = trial->state;
    free(s->rows);
    free(s);
}

/* In order, and its sum is that of what was to be sorted: by which both are the same elements, but
 * for chance. */
static int sort_check(struct tb_trial *trial, uint64_t rounds)
{
    const struct sorting *s = trial->state;
    uint64_t sum = 0;
    (void)rounds;
    for (uint64_t i = 0; i < s->n; i++) {
        sum += s->rows[i] - s->shuffled[i];
        if (i > 0 && s->rows[i - 1] > s->rows[i]) {
            return tb_wrong(trial, "element %llu is less than the one before",
                            (unsigned long long)i);
        }
    }
    return sum == 0 ? 0 : tb_wrong(trial, "the sorted elements are not those that were given");
}

/* The copy is in the time of both: a thousandth of it. */
static int sort_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct sorting *s = trial->state;
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        memcpy(s->rows, s->shuffled, s->n * sizeof *s->rows);
        rc = weft_sort(s->rows, s->n, sizeof *s->rows, by_value_of, NULL, .scratch = s->scratch);
    }
    return rc;
}

static int sort_reference(struct tb_trial *trial, uint64_t rounds)
{
    struct sorting *s = trial->state;
    for (uint64_t i = 0; i < rounds; i++) {
        memcpy(s->rows, s->shuffled, s->n * sizeof *s->rows);
        qsort(s->rows, s->n, sizeof *s->rows, by_value);
    }
    return 0;
}

const struct tb_load tb_loads_loops[] = {
    {
        .name = "for",
        .group = "loops",
        .about = "weft_for over few tiny bodies: what a loop costs",
        .op = "loop",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"indices", 1000, 1, 1 << 28, "indices of a loop"}},
        .open = range_open,
        .sample = for_sample,
        .check = range_check,
        .reference = for_reference,
        .close = range_close,
    },
    {
        .name = "for/index",
        .group = "loops",
        .about = "weft_for over many tiny bodies: what an index costs",
        .op = "index",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"indices", 1 << 20, 1, 1 << 28, "indices of a loop"}},
        .open = range_open_by_index,
        .sample = for_sample,
        .check = range_check,
        .reference = for_reference,
        .close = range_close,
    },
    {
        .name = "for/short",
        .group = "loops",
        .about = "weft_for over in some microseconds: is it shared, and then slower?",
        .op = "loop",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"indices", 10000, 1, 1 << 28, "indices of a loop"}},
        .open = range_open,
        .sample = for_sample,
        .check = range_check,
        .reference = for_reference,
        .close = range_close,
    },
    {
        .name = "for/uneven",
        .group = "loops",
        .about = "weft_for over bodies that become dearer",
        .op = "index",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"indices", 1 << 14, 1, 1 << 20, "indices of a loop"}},
        .open = range_open_by_index,
        .sample = uneven_sample,
        .check = range_check,
        .reference = uneven_reference,
        .close = range_close,
    },
    {
        .name = "reduce",
        .group = "loops",
        .about = "weft_reduce: a sum over a range",
        .op = "index",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"indices", 1 << 20, 1, 1 << 28, "indices of a loop"}},
        .open = reduce_open,
        .sample = reduce_sample,
        .reference = reduce_reference,
        .close = reduce_close,
    },
    {
        .name = "sort",
        .group = "loops",
        .about = "weft_sort: numbers in no order, by a function that compares",
        .op = "element",
        .reference_name = "qsort",
        .flags = TB_LOAD_QUICK,
        .params = {{"elements", 1 << 17, 1, 1 << 28, "elements of the array"}},
        .open = sort_open,
        .sample = sort_sample,
        .check = sort_check,
        .reference = sort_reference,
        .close = sort_close,
    },
    {
        .name = "sort/short",
        .group = "loops",
        .about = "weft_sort of few numbers: are they shared, and then slower?",
        .op = "element",
        .reference_name = "qsort",
        .flags = TB_LOAD_QUICK,
        .params = {{"elements", 100, 1, 1 << 28, "elements of the array"}},
        .open = sort_open,
        .sample = sort_sample,
        .check = sort_check,
        .reference = sort_reference,
        .close = sort_close,
    },
    {.name = NULL},
};
