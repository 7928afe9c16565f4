/* par.h: loops: weft_for and weft_reduce for code that computes, weft_foreach for bodies that wait.
 *
 * weft_for and weft_reduce run a range of indices on whatever workers are idle: parts of the
 * caller's own task, as the sections of fork.h. weft_foreach runs a body per item, with a bound on
 * how many run at once, each slot a task. */
#ifndef WEFT_PAR_H
#define WEFT_PAR_H

#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- loops that compute ----------------------------------------------------------------------- */

/* Runs the indices from, from + 1, ... to - 1 (from < to), in a loop of its own, so that a body of
 * a nanosecond per index is not a call per index. >= 0 or -errno. May wait. */
typedef int weft_range_fn(size_t from, size_t to, void *ctx);

/* The same for weft_reduce: adds what the indices give to *acc. Nobody else touches *acc
 * meanwhile. */
typedef int weft_fold_fn(size_t from, size_t to, void *acc, void *ctx);

/* Adds *right to *left; the indices of *right are those that follow the ones of *left. */
typedef void weft_combine_fn(void *left, const void *right, void *ctx);

/* All zero is the default. */
typedef struct weft_for_opts {
    /* Indices that are worth a call: no stretch shorter than this is handed to another worker, and
     * only the end of a stretch is run in a shorter piece. 0: 1. */
    size_t grain;
    /* Longest piece, in indices; 0: chosen from the time that pieces take, from `grain` to 2048.
     * For bodies whose time changes suddenly from one index to the next. */
    size_t grain_max;
} weft_for_opts;

/* Runs body for all indices from `from` to `to` - 1, in pieces, in parallel if workers are idle; to
 * <= from is an empty range. The caller works through the range piece by piece and gives half of
 * what is left away only when another worker has nothing to do, and does so likewise; nobody is
 * bothered for a loop that is over in some microseconds, which it judges by what the last loop over
 * the same body took, or else by the number of indices. No allocation, no task. Each index is run
 * once. With one worker all run on the caller, in order; outside of a task too, without looking for
 * cancellation.
 *
 *     static int scale(size_t from, size_t to, void *ctx)
 *     {
 *         double *v = ctx;
 *         for (size_t i = from; i < to; i++) v[i] *= 2;
 *         return 0;
 *     }
 *     rc = weft_for(0, n, scale, v);
 *
 * The pieces belong to the calling task, as forked sections do: same scope, same cancellation, same
 * error record, but perhaps on another executor. They may wait (weft_read, a channel, ...), but the
 * loop then has as many pieces under way as there are idle workers, no more; weft_foreach is for
 * bodies that wait. A piece that computes keeps its worker.
 *
 * 0; the failure that came first in time, after which no further piece is begun and those that run
 * are waited for; -ECANCELED: the caller's scope was cancelled, or its deadline passed, which is
 * looked at between pieces, before all were done. May suspend; afterwards the caller may be on
 * another thread. Options (C only; C++: weft_for_) are designated initialisers of weft_for_opts. */
#define weft_for(...) weft_for_opts_(__VA_ARGS__, ) /* (from, to, body, ctx, options) */
#define weft_for_opts_(from, to, body, ctx, ...) \
    weft_for_((from), (to), (body), (ctx), WEFT_OPTS_(weft_for_opts, __VA_ARGS__))
int weft_for_(size_t from, size_t to, weft_range_fn *body, void *ctx, const weft_for_opts *opts);

/* Largest accumulator of weft_reduce, in bytes: one lies on the stack for each stretch given away,
 * at most 64 at once on one stack. */
#define WEFT_REDUCE_MAX 256

/* Folds a range into *acc, in parallel as weft_for does. *acc (of any type of at most
 * WEFT_REDUCE_MAX bytes, aligned to at most 64) must hold the identity of `combine` at first: each
 * stretch that another worker takes begins with a copy of these bytes. The result replaces it.
 * Stretches are combined from left to right, so `combine` must be associative but need not be
 * commutative. Where the cuts lie depends on who was idle: sums of floating-point numbers may
 * differ in the last bits from run to run.
 *
 *     double sum = 0;
 *     rc = weft_reduce(0, n, &sum, add_squares, add, v);
 *
 * Returns as weft_for. After a failure *acc holds what was folded in until then, with gaps; no
 * accumulator is dropped without `combine`, so what they own is not lost. -E2BIG: *acc is too
 * large; nothing was called. */
#define weft_reduce(...) /* (from, to, acc, fold, combine, ctx, options) */ \
    weft_reduce_opts_(__VA_ARGS__, )
#define weft_reduce_opts_(from, to, acc, fold, combine, ctx, ...)              \
    weft_reduce_((from), (to), (acc), sizeof *(acc), (fold), (combine), (ctx), \
                 WEFT_OPTS_(weft_for_opts, __VA_ARGS__))
int weft_reduce_(size_t from, size_t to, void *acc, size_t acc_bytes, weft_fold_fn *fold,
                 weft_combine_fn *combine, void *ctx, const weft_for_opts *opts);

/* For each index of a range, what the indices before it come to: running totals, positions for what
 * is filtered, line numbers of offsets. `walk` is called with *acc holding what precedes `from`,
 * for indices that follow each other; it writes what it wants to know for each index, and leaves in
 * *acc what precedes `to`. Whether an index counts for itself (inclusive) or not (exclusive) is up
 * to when `walk` writes. `fold` only adds to *acc, as for weft_reduce; it may be `walk` itself only
 * if walking twice, and with too little in *acc, does no harm.
 *
 *     static int add_up(size_t from, size_t to, void *acc, void *ctx)
 *     {
 *         long sum = *(long *)acc;
 *         for (size_t i = from; i < to; i++) {
 *             position[i] = sum;
 *             sum += width[i];
 *         }
 *         *(long *)acc = sum;
 *         return 0;
 *     }
 *     long sum = 0;
 *     rc = weft_scan(0, n, &sum, add_widths, add_up, add, NULL);
 *
 * *acc as for weft_reduce: at most WEFT_REDUCE_MAX bytes, the identity of `combine` at first, the
 * total of the range at the end. `combine` must be associative. Each index is walked once. With one
 * worker, or none idle, `walk` is all that is called, in order; else an index may be folded before.
 * Two workers take 2/3 of the time of one, p of them 2/(p + 1).
 *
 * Returns as weft_for, with the same rules for waiting and cancellation; after a failure *acc means
 * nothing, and walked indices have gaps. An accumulator may be dropped without `combine` after a
 * failure, and is copied as bytes: it should own nothing. -E2BIG: *acc is too large; nothing was
 * called. */
#define weft_scan(...) /* (from, to, acc, fold, walk, combine, ctx, options) */ \
    weft_scan_opts_(__VA_ARGS__, )
#define weft_scan_opts_(from, to, acc, fold, walk, combine, ctx, ...)                \
    weft_scan_((from), (to), (acc), sizeof *(acc), (fold), (walk), (combine), (ctx), \
               WEFT_OPTS_(weft_for_opts, __VA_ARGS__))
int weft_scan_(size_t from, size_t to, void *acc, size_t acc_bytes, weft_fold_fn *fold,
               weft_fold_fn *walk, weft_combine_fn *combine, void *ctx, const weft_for_opts *opts);

/* < 0, 0 or > 0: *a stands before, beside or behind *b. Any number of threads at once. */
typedef int weft_compare_fn(const void *a, const void *b, void *ctx);

/* All zero is the default. */
typedef struct weft_sort_opts {
    /* Memory of the size and alignment of the array, for the time of the call; NULL: it is
     * allocated. */
    void *scratch;
} weft_sort_opts;

/* Sorts an array of `count` elements of `bytes` bytes each, in parallel if workers are idle and
 * there are 64 or more (fewer, if they are larger than 64 bytes). Stable: what compares equal
 * stays in its order. A merge sort: n log2 n comparisons at most, whatever the order was.
 * Elements are moved as bytes. `base` stays the caller's, and nobody else may look at it
 * meanwhile.
 *
 *     static int by_key(const void *a, const void *b, void *ctx)
 *     {
 *         (void)ctx;
 *         const struct row *x = a, *y = b;
 *         return (x->key > y->key) - (x->key < y->key);
 *     }
 *     rc = weft_sort(rows, n, sizeof *rows, by_key, NULL);
 *
 * 0; -ECANCELED: the caller's scope was cancelled, or its deadline passed, and the array holds the
 * same elements in no particular order; -ENOMEM: no memory for the scratch, -E2BIG: `count` times
 * `bytes` is more than memory can hold, -EINVAL: `bytes` is 0, `compare` or `base` NULL; then
 * nothing was touched. The comparison cannot fail, and a `compare` that does not order (a < b, b <
 * c, c < a) gives some order, no more. May suspend; outside of a task it sorts alone. C only (C++:
 * weft_sort_). */
#define weft_sort(...) \
    weft_sort_opts_(__VA_ARGS__, ) /* (base, count, bytes, compare, ctx, options) */
#define weft_sort_opts_(base, count, bytes, compare, ctx, ...) \
    weft_sort_((base), (count), (bytes), (compare), (ctx), WEFT_OPTS_(weft_sort_opts, __VA_ARGS__))
int weft_sort_(void *base, size_t count, size_t bytes, weft_compare_fn *compare, void *ctx,
               const weft_sort_opts *opts);

/* --- loops whose bodies wait ------------------------------------------------------------------ */

/* The body of a loop: called once per item, may wait. `ctx` is the loop's, or the slot's own state
 * (see slot_open). >= 0 or -errno. */
typedef int weft_each_fn(void *item, void *ctx);

/* A source of items: puts the next one's address into *item. 1: there is one; 0: no more; -errno:
 * the loop fails with it. Called by one slot at a time, never after it returned <= 0. May wait. */
typedef int weft_next_fn(void *source, void **item);

/* Opens the state of a slot, before its first item: *local is what the slot's bodies will get as
 * their ctx; at first it points to `.slot_bytes` zeroed bytes in the slot's frame, or is NULL.
 * `ctx` is the loop's. May wait. >= 0, or -errno with nothing left to close. */
typedef int weft_slot_open_fn(void **local, void *ctx);

/* Closes it, after the slot's last body has ended, also when the loop was cancelled: then calls
 * that wait give -ECANCELED. May wait. */
typedef void weft_slot_close_fn(void *local, void *ctx);

#define WEFT_SLOT_BYTES_MAX 1024

/* Item of a loop that counts: the index. */
static inline size_t weft_index(const void *item)
{
    return (size_t)(uintptr_t)item;
}

/* All zero is the default. */
typedef struct weft_foreach_opts {
    /* Where items come from: one of these, or `count` alone. */
    void *items;   /* array of `count` items, `stride` bytes apart; the body gets their addresses */
    size_t count;  /* without items: the indices 0 to count - 1; the body reads weft_index(item) */
    size_t stride; /* 0: `items` is an array of pointers, and the body gets the pointers */
    weft_next_fn *next;     /* a function, asked by one slot at a time */
    void *source;           /* its first argument */
    struct weft_gen *gen;   /* a generator, until it ends; the caller closes it after the loop */
    struct weft_chan *chan; /* a channel, until it is closed; others may receive from it too */
    /* called exactly once with `source`, after the last body has ended; may be NULL */
    void (*next_done)(void *source);

    int max;        /* bodies at once; 0: the number of workers; never more than there are items */
    size_t chunk;   /* items that a slot takes at a time, of those that are counted; 0: 1 */
    int on_error;   /* enum weft_on_error; 0: the first failure stops the loop */
    size_t *failed; /* if not NULL: how many bodies failed */
    /* With WEFT_COLLECT, and only then: the records of the first failures in time are copied here;
     * what one of them has no record of has a code only. Their cause, others and next are NULL. */
    weft_error *errors;
    size_t errors_max; /* room in it; 0: 4. min(errors_max, *failed) are filled, and one more if the
                          source failed too */

    /* A state for each slot, such as a connection that only one request at a time may use: bodies
     * get it instead of ctx. */
    size_t slot_bytes;              /* at most WEFT_SLOT_BYTES_MAX */
    weft_slot_open_fn *slot_open;   /* NULL: *local is the zeroed bytes */
    weft_slot_close_fn *slot_close; /* may be NULL; only with slot_open */
} weft_foreach_opts;

/* Runs body(item, ctx) for every item, at most `.max` at once; items are taken in order, one by one
 * (or `.chunk`). The caller works too. With `.max = 1` all runs on the caller, in order, and
 * nothing is spawned. What is received from a channel or generator is the body's until it returns.
 *
 *     rc = weft_foreach(fetch, ctx, .items = urls, .count = n, .stride = sizeof *urls, .max = 10);
 *     rc = weft_foreach(serve, ctx, .chan = requests, .max = 100);
 *
 * On the first failure no further item is taken, running bodies are cancelled, all are waited for,
 * and that failure is returned; bodies that answer that cancellation with -ECANCELED are not
 * failures. With .on_error = WEFT_CONTINUE all items run, and the first failure in time is
 * returned; WEFT_COLLECT: likewise, and the first records are copied to `.errors`. A failure of the
 * source ends the taking and is the loop's failure; of a channel that is the code that it was
 * closed with.
 *
 * A *slot* runs one body after the other: the caller is one, and up to `.max` - 1 others are
 * started as items come. `.slot_open` is called once in each, with a scope around it that ends
 * after `.slot_close`. If the caller's slot cannot be opened, no body is called and its code is the
 * loop's; if a later one cannot, the loop does with those that it has.
 *
 * 0 (also for no items), the first failure in time (its record is weft_last()), or -ECANCELED: the
 * caller's scope was cancelled, and some item was cut short or not taken. -EINVAL, with nothing
 * called: max < 0, more than one source, a stride and a count but no items, slot_bytes too large,
 * slot_close without slot_open, WEFT_COLLECT without errors or the other way round. May suspend.
 * Task context. C only (C++: weft_foreach_). */
#define weft_foreach(body, ctx, ...) \
    weft_foreach_((body), (ctx), &(weft_foreach_opts){__VA_ARGS__}, WEFT_HERE_STARTS_(#body))
int weft_foreach_(weft_each_fn *body, void *ctx, const weft_foreach_opts *opts,
                  const weft_place *place);

#ifdef __cplusplus
}
#endif

#endif
