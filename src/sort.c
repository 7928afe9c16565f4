/* sort.c: weft_sort: a stable merge sort of an array, parallel if workers are idle.
 *
 * The array and a scratch of its size take turns: each level of the recursion merges from one into
 * the other. Both halves of a sort, and both of a long merge, are forked sections (fork.h), which
 * cost 3 ns while nobody idles; so nothing has to be measured. Down to LEAF elements, which are
 * inserted one by one.
 *
 * A merge of two runs is split at the middle element of the longer one: what is to stand before it
 * is found in the other by bisection, and both parts are merges of their own. Stability decides on
 * which side equal elements go: those of the left run come first.
 *
 * Stopping. A cancelled sort must leave each element in the array exactly once, in whatever order.
 * So a strand that sees `stopped` does not return, it goes on without comparing: a sort copies its
 * elements to where they were expected, a merge appends the right run to the left one. Both take a
 * memcpy.
 *
 * G.1  After any return but -EINVAL, -E2BIG, -ENOMEM the array is a permutation of what it was;
 *      after 0 it is sorted, and equal elements are in their old order. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/guard.h"
#include "src/loop.h"
#include <string.h>
#include <weft/fork.h>
#include <weft/par.h>

/* Elements that are inserted one by one: 16 ints cost as much as two merges of 8. Fewer of those
 * that are dear to move. */
#define LEAF       16
#define LEAF_BYTES 1024
/* Below this both halves are sorted here: a fork that somebody looks at costs 30 ns, leaves of 16
 * ints 250. */
#define FORK_LEAVES 4
/* Below this a merge is not split: the bisection and the fork would cost 2 % of it. */
#define MERGE_MIN 2048

struct sort {
    /* immutable while it runs */
    weft_compare_fn *compare;
    void *ctx;
    size_t bytes; /* of an element */
    size_t leaf;
    bool in_task;
    struct wf_loop_end end;
};

/* Before `count` elements are sorted or merged. The clock is looked at before many only. */
static bool must_stop(struct sort *sort, size_t count)
{
    if (wf_unlikely(!sort->in_task)) {
        return false;
    }
    struct wf_fiber *self = wf_self();
    return wf_loop_must_stop(self, &sort->end) ||
           (count >= MERGE_MIN && wf_loop_is_late(self, &sort->end));
}

/* Sizes known at compile time become single loads and stores. */
static inline void copy_one(void *to, const void *from, size_t bytes)
{
    switch (bytes) {
    case 4:
        (void)memcpy(to, from, 4);
        break;
    case 8:
        (void)memcpy(to, from, 8);
        break;
    case 16:
        (void)memcpy(to, from, 16);
        break;
    default:
        (void)memcpy(to, from, bytes);
        break;
    }
}

/* --- few elements ----------------------------------------------------------------------------- */

/* Inserts each of `from` into the sorted run in `to`, behind those that are not greater. */
static void insert_all(struct sort *sort, unsigned char *to, const unsigned char *from,
                       size_t count)
{
    size_t bytes = sort->bytes;
    for (size_t n = 0; n < count; n++) {
        const unsigned char *element = from + n * bytes;
        size_t place = n;
        while (place > 0 && sort->compare(to + (place - 1) * bytes, element, sort->ctx) > 0) {
            copy_one(to + place * bytes, to + (place - 1) * bytes, bytes);
            place--;
        }
        copy_one(to + place * bytes, element, bytes);
    }
}

/* --- merging ---------------------------------------------------------------------------------- */

struct run {
    const unsigned char *first;
    size_t count;
};

/* How many of `run` stand before `element`. Equal ones do if they are those of the left run. */
static size_t count_before(struct sort *sort, struct run run, const unsigned char *element,
                           bool is_left)
{
    size_t low = 0, high = run.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = sort->compare(run.first + middle * sort->bytes, element, sort->ctx);
        if (is_left ? order <= 0 : order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void append(struct sort *sort, unsigned char *to, struct run left, struct run right)
{
    if (left.count > 0) {
        (void)memcpy(to, left.first, left.count * sort->bytes);
    }
    if (right.count > 0) {
        (void)memcpy(to + left.count * sort->bytes, right.first, right.count * sort->bytes);
    }
}

static inline __attribute__((always_inline)) void merge_sized(struct sort *sort, unsigned char *to,
                                                              struct run left, struct run right,
                                                              size_t bytes)
{
    const unsigned char *l = left.first, *l_end = l + left.count * bytes;
    const unsigned char *r = right.first, *r_end = r + right.count * bytes;
    while (l < l_end && r < r_end) {
        bool is_right = sort->compare(l, r, sort->ctx) > 0;
        (void)memcpy(to, is_right ? r : l, bytes);
        to += bytes;
        l += is_right ? 0 : bytes;
        r += is_right ? bytes : 0;
    }
    (void)memcpy(to, l, (size_t)(l_end - l));
    (void)memcpy(to + (l_end - l), r, (size_t)(r_end - r));
}

static void merge_here(struct sort *sort, unsigned char *to, struct run left, struct run right)
{
    switch (sort->bytes) {
    case 4:
        merge_sized(sort, to, left, right, 4);
        break;
    case 8:
        merge_sized(sort, to, left, right, 8);
        break;
    case 16:
        merge_sized(sort, to, left, right, 16);
        break;
    default:
        merge_sized(sort, to, left, right, sort->bytes);
        break;
    }
}

static int merge(struct sort *sort, unsigned char *to, struct run *left, struct run *right);

/* A merge that is offered to others. */
struct offered_merge {
    weft_branch head;
    struct sort *sort;
    unsigned char *to;
    struct run left, right;
};

static int run_merge(weft_branch *head)
{
    struct offered_merge *m = (struct offered_merge *)(void *)head;
    return merge(m->sort, m->to, &m->left, &m->right);
}

static void take_merge(void *fiber, weft_branch *head)
{
    weft_branch_run_(fiber, head, run_merge);
}

static int merge_split(struct sort *sort, unsigned char *to, struct run left, struct run right)
{
    size_t bytes = sort->bytes;
    size_t left_count, right_count; /* that stand before the cut */
    if (left.count >= right.count) {
        left_count = left.count / 2;
        right_count = count_before(sort, right, left.first + left_count * bytes, false);
    } else {
        right_count = right.count / 2;
        left_count = count_before(sort, left, right.first + right_count * bytes, true);
    }
    struct offered_merge after = {
        .sort = sort,
        .to = to + (left_count + right_count) * bytes,
        .left = {left.first + left_count * bytes, left.count - left_count},
        .right = {right.first + right_count * bytes, right.count - right_count}};
    weft_fork_(&after.head, take_merge, sizeof after, 0);
    left.count = left_count;
    right.count = right_count;
    (void)merge(sort, to, &left, &right);
    return weft_join_(&after.head) ? run_merge(&after.head) : 0;
}

static int merge(struct sort *sort, unsigned char *to, struct run *left, struct run *right)
{
    if (wf_unlikely(must_stop(sort, left->count + right->count))) {
        append(sort, to, *left, *right);
    } else if (left->count + right->count >= MERGE_MIN) {
        (void)merge_split(sort, to, *left, *right);
    } else {
        merge_here(sort, to, *left, *right);
    }
    return 0;
}

/* --- sorting ---------------------------------------------------------------------------------- */

/* The elements are in `from`; sorted they will be in `to` if `moves`, else in `from`. The other
 * one's memory is scratch. */
static void sort_run(struct sort *sort, unsigned char *from, unsigned char *to, size_t count,
                     bool moves);

/* A sort that is offered to others. */
struct offered_sort {
    weft_branch head;
    struct sort *sort;
    unsigned char *from, *to;
    size_t count;
    bool moves;
};

static int run_sort(weft_branch *head)
{
    struct offered_sort *s = (struct offered_sort *)(void *)head;
    sort_run(s->sort, s->from, s->to, s->count, s->moves);
    return 0;
}

static void take_sort(void *fiber, weft_branch *head)
{
    weft_branch_run_(fiber, head, run_sort);
}

static void sort_leaf(struct sort *sort, unsigned char *from, unsigned char *to, size_t count,
                      bool moves)
{
    if (moves) {
        insert_all(sort, to, from, count);
    } else if (count > 1) {
        (void)memcpy(to, from, count * sort->bytes);
        insert_all(sort, from, to, count);
    }
}

static void sort_run(struct sort *sort, unsigned char *from, unsigned char *to, size_t count,
                     bool moves)
{
    size_t bytes = sort->bytes;
    if (wf_unlikely(must_stop(sort, count))) {
        if (moves) {
            (void)memcpy(to, from, count * bytes);
        }
        return;
    }
    if (count <= sort->leaf) {
        sort_leaf(sort, from, to, count, moves);
        return;
    }
    size_t half = count / 2;
    struct offered_sort right = {.sort = sort,
                                 .from = from + half * bytes,
                                 .to = to + half * bytes,
                                 .count = count - half,
                                 .moves = !moves};
    bool is_offered = count >= FORK_LEAVES * sort->leaf;
    if (is_offered) {
        weft_fork_(&right.head, take_sort, sizeof right, 0);
    }
    sort_run(sort, from, to, half, !moves);
    if (!is_offered || weft_join_(&right.head)) {
        (void)run_sort(&right.head);
    }
    unsigned char *halves = moves ? from : to;
    struct run l = {halves, half}, r = {halves + half * bytes, count - half};
    (void)merge(sort, moves ? to : from, &l, &r);
}

static int sort_array(struct sort *sort, unsigned char *base, size_t count, unsigned char *scratch)
{
    int rc;
    struct wf_fiber *self = wf_loop_enter(&sort->end, &rc);
    if (wf_unlikely(rc < 0)) {
        return rc;
    }
    sort->in_task = self != NULL;
    WF_GUARDED(sort_run(sort, base, scratch, count, false));
    return self != NULL ? wf_loop_result(self, &sort->end) : 0;
}

int weft_sort_(void *base, size_t count, size_t bytes, weft_compare_fn *compare, void *ctx,
               const weft_sort_opts *opts)
{
    size_t total;
    if (bytes == 0 || compare == NULL || (base == NULL && count > 0)) {
        return -EINVAL;
    }
    if (__builtin_mul_overflow(count, bytes, &total) || total > SIZE_MAX - WF_LINE) {
        return -E2BIG;
    }
    struct sort sort = {.compare = compare, .ctx = ctx, .bytes = bytes};
    sort.leaf = bytes * LEAF <= LEAF_BYTES ? LEAF
                : bytes * 2 <= LEAF_BYTES  ? LEAF_BYTES / bytes
                                           : 2;
    void *given = opts != NULL ? opts->scratch : NULL;
    if (count <= 1 || given != NULL) {
        return sort_array(&sort, base, count, given);
    }
    void *scratch = wf_sys.alloc(WF_LINE, total);
    if (scratch == NULL) {
        return -ENOMEM;
    }
    int rc = sort_array(&sort, base, count, scratch);
    wf_sys.release(scratch);
    return rc;
}
