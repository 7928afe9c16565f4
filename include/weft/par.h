/* par.h: loops over many items with a bound on how many run at once. */
#ifndef WEFT_PAR_H
#define WEFT_PAR_H

#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The body of a loop: called once per item, may wait. >= 0 or -errno. */
typedef int weft_each_fn(void *item, void *ctx);

/* A source of items: puts the next one's address into *item. 1: there is one; 0: no more; -errno:
 * the loop fails with it. Called by one slot at a time, never after it returned <= 0. May wait. */
typedef int weft_next_fn(void *source, void **item);

typedef struct weft_foreach_opts {
    /* Where items come from: one of these. */
    void *items; /* array of `count` items, `stride` bytes apart (stride 0: items is an array of
                                  pointers, and the body gets the pointers) */
    size_t count;
    size_t stride;
    weft_next_fn *next; /* or a source */
    void *source;       /* its first argument */
    /* called exactly once, after the last body has ended; may be NULL */
    void (*next_done)(void *source);

    int max;        /* bodies at once; 0: the number of workers; never more than there are items */
    size_t chunk;   /* items that a slot takes at a time from an array; 0: 1 */
    int on_error;   /* enum weft_on_error; 0: the first failure stops the loop */
    size_t *failed; /* if not NULL: how many bodies failed */
} weft_foreach_opts;

/* Runs body(item, ctx) for every item, at most `.max` at once; items are taken in order, one by one
 * (or `.chunk`). The caller works too. With `.max = 1` all runs on the caller, in order, and
 * nothing is spawned. On the first failure no further item is taken, running bodies are cancelled,
 * all are waited for, and that failure is returned; bodies that answer that cancellation with
 * -ECANCELED are not failures. With .on_error = WEFT_CONTINUE all items run, and the first failure
 * in time is returned. May suspend. Task context. C only (C++: weft_foreach_).
 *
 *     rc = weft_foreach(fetch, ctx, .items = urls, .count = n, .stride = sizeof *urls, .max = 10);
 *
 * 0 (also for no items), the first failure, or -ECANCELED: the caller's scope was cancelled, and
 * some item was cut short or not taken. -EINVAL: max < 0, or neither or both of items and next with
 * count > 0. */
#define weft_foreach(body, ctx, ...) \
    weft_foreach_((body), (ctx), &(weft_foreach_opts){__VA_ARGS__}, WEFT_HERE)
int weft_foreach_(weft_each_fn *body, void *ctx, const weft_foreach_opts *opts,
                  const weft_place *place);

#ifdef __cplusplus
}
#endif

#endif
