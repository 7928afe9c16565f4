/* chan.h: channels: many senders and many receivers, first in first out.
 *
 * A channel holds up to `capacity` items, copied in and out. With capacity 0 an item goes from hand
 * to hand: a send lasts until somebody takes it (rendezvous). With WEFT_CHAN_UNBOUNDED it grows, up
 * to a bound that has a name. What happens when it is full is chosen when it is made: the sender
 * waits, or something is dropped. */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include <weft/base.h>
#include <weft/gen.h>
#include <weft/select.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_chan weft_chan;

#define WEFT_CHAN_ITEM_MAX      4096              /* bytes */
#define WEFT_CHAN_UNBOUNDED     SIZE_MAX          /* as a capacity: see weft_chan_opts.grow_max */
#define WEFT_CHAN_UNBOUNDED_MAX ((size_t)1 << 24) /* items, where grow_max says nothing */

enum weft_full {
    WEFT_FULL_WAIT = 0,    /* the sender waits for room */
    WEFT_FULL_DROP_NEWEST, /* the newest item in it makes room */
    WEFT_FULL_DROP_OLDEST, /* the oldest item in it makes room */
    WEFT_FULL_DROP_WRITE,  /* the item that is being sent is dropped */
};

typedef struct weft_chan_opts {
    int full; /* enum weft_full; 0: WEFT_FULL_WAIT */
    /* Called with each item that is dropped, and with those that weft_chan_free finds in the
     * channel; by the sender, or whoever frees, under no lock, with a copy that is valid for the
     * call. NULL: nobody is told. */
    void (*on_drop)(const void *item, void *ctx);
    void *ctx; /* its second argument */
    /* Of an unbounded channel: items at which it is full after all; 0: WEFT_CHAN_UNBOUNDED_MAX. */
    size_t grow_max;
} weft_chan_opts;

/* A channel for items of `item_bytes` (1 to WEFT_CHAN_ITEM_MAX) that holds up to `capacity` of them
 * (0: rendezvous, WEFT_CHAN_UNBOUNDED: grows). Memory for all is taken here and never again; an
 * unbounded one takes it in chunks as it fills, and gives it back as it empties, but for one chunk.
 * Options (C only; C++: weft_chan_new_) are designated initialisers of weft_chan_opts. *out is the
 * caller's, to be freed with weft_chan_free. Any thread. 0, -EINVAL, -ENOMEM (*out = NULL).
 *
 *     rc = weft_chan_new(&latest, sizeof(struct quote), 16, .full = WEFT_FULL_DROP_OLDEST); */
#define weft_chan_new(...) \
    weft_chan_new_opts_(__VA_ARGS__, ) /* (out, item_bytes, capacity, options) */
#define weft_chan_new_opts_(out, item_bytes, capacity, ...) \
    weft_chan_new_((out), (item_bytes), (capacity), WEFT_OPTS_(weft_chan_opts, __VA_ARGS__))
int weft_chan_new_(weft_chan **out, size_t item_bytes, size_t capacity, const weft_chan_opts *opts);

/* Frees the channel and the items in it. NULL is fine. With tasks waiting: misuse; they get
 * -ESHUTDOWN first. */
void weft_chan_free(weft_chan *chan);

/* Copies *item into the channel. While it is full: waits, or drops something, as chosen when it was
 * made. 0; 1: something was dropped (never waits); -EPIPE: closed; -ECANCELED: the item is not in
 * the channel; -ENOMEM: an unbounded one could not grow, the item is not in it. May suspend. Task
 * context. */
int weft_chan_send(weft_chan *chan, const void *item);

/* Takes the oldest item into *item, waiting while there is none. 1: got one; 0: closed and empty;
 * the code given to weft_chan_close if that was not 0; -ECANCELED: nothing was taken. May suspend.
 * Task context. */
int weft_chan_recv(weft_chan *chan, void *item);

/* The same without waiting: -EAGAIN instead. try_send 0 or 1; try_recv 1. With capacity 0: only if
 * somebody waits on the other side. Any thread. Cannot suspend. */
int weft_chan_try_send(weft_chan *chan, const void *item);
int weft_chan_try_recv(weft_chan *chan, void *item);

/* No more sends. Items already in it are still received; then receivers get 0, or `code` (an
 * -errno) if it is not 0. Senders that wait get -EPIPE, their items untouched. 0; -EALREADY: it was
 * closed, its first code stays; -EINVAL: code > 0. Any thread. Cannot suspend. */
int weft_chan_close(weft_chan *chan, int code);

/* Items in the channel. A snapshot. Any thread. */
size_t weft_chan_len(const weft_chan *chan);

/* Bytes of an item. Any thread. */
size_t weft_chan_item_bytes(const weft_chan *chan);

/* A channel of items of type T, under a type of its own: defines the struct `name` (a handle, to be
 * passed by value), the type name_item, and inline functions name_new, name_free, name_send,
 * name_recv, name_try_send, name_try_recv, name_close, name_len as above, and name_of, which wraps
 * a weft_chan: one of another item size is misuse. At file scope.
 *
 *     WEFT_CHAN(mailbox, struct email);
 *     ...
 *     mailbox box;
 *     int rc = mailbox_new(&box, 100, NULL);
 *     while ((rc = mailbox_recv(box, &email)) > 0) send_email(&email); */
#define WEFT_CHAN(name, T)                                                            \
    typedef struct name {                                                             \
        weft_chan *chan;                                                              \
    } name;                                                                           \
    __attribute__((unused)) static inline int name##_new(name *out, size_t capacity,  \
                                                         const weft_chan_opts *opts)  \
    {                                                                                 \
        return weft_chan_new_(&out->chan, sizeof(T), capacity, opts);                 \
    }                                                                                 \
    __attribute__((unused)) static inline name name##_of(weft_chan *chan)             \
    {                                                                                 \
        name wrapped;                                                                 \
        wrapped.chan = weft_chan_check_(chan, sizeof(T), #name, WEFT_HERE);           \
        return wrapped;                                                               \
    }                                                                                 \
    __attribute__((unused)) static inline void name##_free(name it)                   \
    {                                                                                 \
        weft_chan_free(it.chan);                                                      \
    }                                                                                 \
    __attribute__((unused)) static inline int name##_send(name it, const T *item)     \
    {                                                                                 \
        return weft_chan_send(it.chan, item);                                         \
    }                                                                                 \
    __attribute__((unused)) static inline int name##_recv(name it, T *item)           \
    {                                                                                 \
        return weft_chan_recv(it.chan, item);                                         \
    }                                                                                 \
    __attribute__((unused)) static inline int name##_try_send(name it, const T *item) \
    {                                                                                 \
        return weft_chan_try_send(it.chan, item);                                     \
    }                                                                                 \
    __attribute__((unused)) static inline int name##_try_recv(name it, T *item)       \
    {                                                                                 \
        return weft_chan_try_recv(it.chan, item);                                     \
    }                                                                                 \
    __attribute__((unused)) static inline int name##_close(name it, int code)         \
    {                                                                                 \
        return weft_chan_close(it.chan, code);                                        \
    }                                                                                 \
    __attribute__((unused)) static inline size_t name##_len(name it)                  \
    {                                                                                 \
        return weft_chan_len(it.chan);                                                \
    }                                                                                 \
    typedef T name##_item
weft_chan *weft_chan_check_(weft_chan *chan, size_t item_bytes, const char *name,
                            const weft_place *place);

#ifdef __cplusplus
}
#endif

#endif
