/* watch.h: one value or stream for many readers: a *watch* holds the latest value, a *broadcast*
 * gives every item to everybody. Neither makes a writer wait: a reader that is slow misses what it
 * was too slow for, and a broadcast tells it how much that was. */
#ifndef WEFT_WATCH_H
#define WEFT_WATCH_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- watch ------------------------------------------------------------------------------------ */

/* The latest value of something, such as a configuration. */
typedef struct weft_watch weft_watch;

#define WEFT_WATCH_BYTES_MAX 4096

/* A watch whose values have `bytes` (1 to WEFT_WATCH_BYTES_MAX), and which begins with a copy of
 * *value. *out is the caller's, to be freed with weft_watch_free. Any thread. 0, -EINVAL, -ENOMEM
 * (*out = NULL). */
int weft_watch_new(weft_watch **out, size_t bytes, const void *value);

/* NULL is fine. With tasks waiting: misuse; they get -ESHUTDOWN first. */
void weft_watch_free(weft_watch *watch);

/* Replaces the value by a copy of *value and wakes all who wait for that. 0; -EPIPE: closed, the
 * value stays. Any thread. Cannot suspend. */
int weft_watch_set(weft_watch *watch, const void *value);

/* Copies the latest value into *value, whole, and returns its number: 1 for the first, and 1 more
 * for each that was set. Any thread. Cannot suspend. */
uint64_t weft_watch_get(weft_watch *watch, void *value);

/* Waits until there is a later value than number *seen (0: any), copies the latest into *value and
 * its number into *seen. 1; 0: closed, and *seen is the latest; the code given to weft_watch_close
 * if that was not 0; -ECANCELED. May suspend. Task context.
 *
 *     uint64_t seen = 0;
 *     while ((rc = weft_watch_next(config, &seen, &mine)) > 0) apply(&mine); */
int weft_watch_next(weft_watch *watch, uint64_t *seen, void *value);

/* No more values: whoever has seen the latest gets 0, or `code` (an -errno) if it is not 0. 0;
 * -EALREADY: it was closed, its first code stays; -EINVAL: code > 0. Any thread. Cannot suspend. */
int weft_watch_close(weft_watch *watch, int code);

/* --- broadcast -------------------------------------------------------------------------------- */

/* A stream of items that every reader gets whole, as long as it is no more than `capacity`
 * behind. */
typedef struct weft_bcast weft_bcast;

#define WEFT_BCAST_ITEM_MAX     4096 /* bytes */
#define WEFT_BCAST_CAPACITY_MAX ((size_t)1 << 24)

/* A place in the stream, in the reader's memory; for one task at a time. A copy is another reader
 * at the same place. */
typedef struct weft_bcast_reader {
    weft_bcast *bcast;
    uint64_t next; /* the number of the item that it gets next: the first ever sent is 0 */
} weft_bcast_reader;

/* A broadcast of items of `item_bytes` (1 to WEFT_BCAST_ITEM_MAX) that keeps the last `capacity` (1
 * to WEFT_BCAST_CAPACITY_MAX, rounded up to a power of two); memory for all is taken here. *out is
 * the caller's, to be freed with weft_bcast_free when no reader uses it any more. Any thread. 0,
 * -EINVAL, -ENOMEM (*out = NULL). */
int weft_bcast_new(weft_bcast **out, size_t item_bytes, size_t capacity);

/* NULL is fine. With tasks waiting: misuse; they get -ESHUTDOWN first. */
void weft_bcast_free(weft_bcast *bcast);

/* Gives a copy of *item to all readers, now and later; the oldest item makes room. 0; -EPIPE:
 * closed. Any thread. Cannot suspend. */
int weft_bcast_send(weft_bcast *bcast, const void *item);

/* Makes *reader one that gets what is sent from now on. Any thread. Cannot suspend. */
void weft_bcast_join(weft_bcast *bcast, weft_bcast_reader *reader);

/* Waits for the reader's next item and copies it into *item. If the reader was so slow that items
 * in between are gone, it gets the oldest that is there, and *missed says how many are not (0
 * otherwise). `missed` == NULL: then it gets -EOVERFLOW once, nothing is copied, and the next call
 * goes on with the oldest. 1: got one; 0: closed, and nothing is left; the code given to
 * weft_bcast_close if that was not 0; -EOVERFLOW; -ECANCELED. May suspend. Task context. */
int weft_bcast_recv(weft_bcast_reader *reader, void *item, uint64_t *missed);

/* The same without waiting: -EAGAIN instead. Any thread. Cannot suspend. */
int weft_bcast_try_recv(weft_bcast_reader *reader, void *item, uint64_t *missed);

/* No more items: readers get what is left, then 0, or `code` (an -errno) if it is not 0. 0;
 * -EALREADY: it was closed, its first code stays; -EINVAL: code > 0. Any thread. Cannot suspend. */
int weft_bcast_close(weft_bcast *bcast, int code);

#ifdef __cplusplus
}
#endif

#endif
