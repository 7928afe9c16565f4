/* chan.h: bounded channels, many senders and many receivers, first in first out. */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_chan weft_chan;

#define WEFT_CHAN_ITEM_MAX 4096 /* bytes */

/* A channel for items of `item_bytes` (1 to WEFT_CHAN_ITEM_MAX; copied in and out) that buffers up
 * to `capacity` (>= 1) of them; memory for all is taken here and never again. *out is the caller's,
 * to be freed with weft_chan_free. Any thread. 0, -EINVAL, -ENOMEM (*out = NULL). */
int weft_chan_new(weft_chan **out, size_t item_bytes, size_t capacity);

/* Frees the channel and the items in it. NULL is fine. With tasks waiting: misuse; they get
 * -ESHUTDOWN first. */
void weft_chan_free(weft_chan *chan);

/* Copies *item into the channel, waiting while it is full. 0; -EPIPE: closed; -ECANCELED: the item
 * is not in the channel. May suspend. Task context. */
int weft_chan_send(weft_chan *chan, const void *item);

/* Takes the oldest item into *item, waiting while there is none. 1: got one; 0: closed and empty;
 * the code given to weft_chan_close if that was not 0; -ECANCELED: nothing was taken. May suspend.
 * Task context. */
int weft_chan_recv(weft_chan *chan, void *item);

/* The same without waiting: -EAGAIN instead. try_send 0; try_recv 1. Any thread. Cannot suspend. */
int weft_chan_try_send(weft_chan *chan, const void *item);
int weft_chan_try_recv(weft_chan *chan, void *item);

/* No more sends. Items already in it are still received; then receivers get 0, or `code` (an
 * -errno) if it is not 0. Senders that wait get -EPIPE, their items untouched. 0; -EALREADY: it was
 * closed, its first code stays; -EINVAL: code > 0. Any thread. Cannot suspend. */
int weft_chan_close(weft_chan *chan, int code);

/* Items in the channel. A snapshot. Any thread. */
size_t weft_chan_len(const weft_chan *chan);

#ifdef __cplusplus
}
#endif

#endif
