/* select.h: waiting for whichever of several things can be done first, and doing that one alone. */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weft_bcast_reader;
struct weft_chan;
struct weft_event;
struct weft_watch;

/* Cases in one weft_select, at most. */
#define WEFT_SELECT_MAX 64

enum weft_case_kind {
    WEFT_CASE_SEND,
    WEFT_CASE_RECV,
    WEFT_CASE_WATCH,
    WEFT_CASE_BCAST,
    WEFT_CASE_EVENT,
};

/* One thing to wait for. Made by the macros below; in the caller's memory until weft_select
 * returns. */
typedef struct weft_case {
    int kind;       /* enum weft_case_kind */
    int rc;         /* out, in the case that was chosen: what the call would have returned */
    void *object;   /* NULL: the case is disabled, as if it were not there */
    void *item;     /* read or written only if the case is chosen; cases may share it */
    uint64_t *seen; /* WEFT_CASE_WATCH: as in weft_watch_next; WEFT_CASE_BCAST: `missed` */
    WEFT_ALIGNAS(8) unsigned char opaque[40];
} weft_case;

#ifdef __cplusplus
#define WEFT_CASE_(kind_, object_, item_, seen_) \
    weft_case                                    \
    {                                            \
        (kind_), 0, (object_), (item_), (seen_), \
        {                                        \
        }                                        \
    }
#else
#define WEFT_CASE_(kind_, object_, item_, seen_) \
    ((weft_case){.kind = (kind_), .object = (object_), .item = (item_), .seen = (seen_)})
#endif

/* As weft_chan_send(chan, item). */
#define WEFT_ON_SEND(chan, item_) \
    WEFT_CASE_(WEFT_CASE_SEND, weft_case_chan_(chan), weft_case_item_(item_), NULL)
/* As weft_chan_recv(chan, item). */
#define WEFT_ON_RECV(chan, item_) WEFT_CASE_(WEFT_CASE_RECV, weft_case_chan_(chan), (item_), NULL)
/* As weft_watch_next(watch, seen, value). */
#define WEFT_ON_WATCH(watch, seen_, value) \
    WEFT_CASE_(WEFT_CASE_WATCH, weft_case_watch_(watch), (value), (seen_))
/* As weft_bcast_recv(reader, item, missed). */
#define WEFT_ON_BCAST(reader, item_, missed) \
    WEFT_CASE_(WEFT_CASE_BCAST, weft_case_bcast_(reader), (item_), (missed))

/* As weft_event_wait(event). */
#define WEFT_ON_EVENT(event) WEFT_CASE_(WEFT_CASE_EVENT, weft_case_event_(event), NULL, NULL)

/* These check types, and do nothing. */
static inline void *weft_case_chan_(struct weft_chan *chan)
{
    return chan;
}
static inline void *weft_case_watch_(struct weft_watch *watch)
{
    return watch;
}
static inline void *weft_case_bcast_(struct weft_bcast_reader *reader)
{
    return reader;
}
static inline void *weft_case_event_(struct weft_event *event)
{
    return event;
}
static inline void *weft_case_item_(const void *item) /* only read from */
{
    return (void *)(uintptr_t)item;
}

#define WEFT_ORDERED 1 /* of several that can be done, the first in the array */
#define WEFT_NOWAIT  2 /* if none can be done now: -EAGAIN */

/* Does one of the n cases (1 to WEFT_SELECT_MAX), waiting until one can be done; its index, with
 * the result in that case's rc. The others have no effect: nothing was sent or taken. A case that
 * has come to its end counts as one that can be done: a closed channel gives 0 or its code, or
 * -EPIPE to a sender. If several can be done, the choice is random, or with WEFT_ORDERED the first.
 * flags: 0 or the sum of those above. With all cases disabled it waits to be cancelled; a time
 * limit is a deadline around it.
 *
 *     weft_case cases[] = {WEFT_ON_RECV(work, &job), WEFT_ON_RECV(stop, &reason)};
 *     int which = weft_within(WEFT_SEC(1), weft_select(cases, 2, 0)); // 0, 1, -ETIME
 *
 * The index; -EINVAL: n or flags out of range; -EAGAIN; -ECANCELED: nothing was done; -ENOMEM: a
 * chosen channel could not grow, nothing was done. May suspend. Task context. */
int weft_select(weft_case *cases, int n, int flags);

#ifdef __cplusplus
}
#endif

#endif
