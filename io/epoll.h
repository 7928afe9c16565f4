/* epoll.h: the driver that sleeps in epoll, for where io_uring is not to be had: one epoll instance
 * per worker. See epoll.c for how; io.h chooses it.
 *
 * Who may call: io/driver.c, and the driver's own tests, which look into the structs. */
#ifndef WF_EPOLL_H
#define WF_EPOLL_H

#include "io/offload.h"
#include "io/op.h"
#include "pool/timer.h"

/* One descriptor's number, as this worker knows it. */
struct wf_watch {
    struct wf_list ops;  /* WAITING for it to be ready, oldest first */
    uint32_t generation; /* of the registration; counts those that were lost */
    uint16_t events;     /* that somebody in `ops` waits for, or has waited for */
    bool known;          /* has been registered: it may still be */
    uint8_t vain;        /* times in a row that it was ready and nobody got on */
    bool rests;          /* is in the list of those that rest */
    int next_rests;      /* the next one's number; -1: none */
};

#define WF_WATCH_CHUNK 256 /* watches allocated together: 8 KiB */

/* One worker's epoll instance and what waits for it. */
struct wf_epoll {
    /* immutable from open to close */
    int fd WF_ALIGNED(WF_LINE_PAIR);
    int wake_fd; /* eventfd: a write to it ends the worker's sleep */

    /* owner: the worker's thread */
    struct wf_worker *worker WF_ALIGNED(WF_LINE_PAIR); /* immutable from worker_begin to end */
    struct wf_list fresh;      /* WAITING ops that have not been tried, oldest first */
    struct wf_list dropped;    /* ops that were cancelled while they waited: to be ended */
    uint32_t fresh_count;      /* of `fresh` */
    uint32_t age;              /* times that is_due was asked since one was submitted */
    uint32_t in_flight;        /* ops between submit and end */
    uint32_t watching;         /* of these, in some watch */
    uint32_t skipped;          /* polls since the kernel was last asked */
    bool woken;                /* a wake arrived that no sleep has returned for */
    bool coarse;               /* the kernel has no epoll_pwait2: sleeps in milliseconds */
    int resting;               /* the first watch that is not armed for a while; -1: none */
    bool rested;               /* their time is over */
    struct wf_timer rest;      /* until then */
    struct wf_watch **watches; /* by descriptor, in chunks; NULL: nothing of that chunk so far */
    uint32_t chunks;           /* entries of `watches` */

    struct wf_offloads offloads WF_ALIGNED(WF_LINE_PAIR);
};

/* NULL: no memory. `because`: the refusal for which it stands in, if any. Both any thread. */
struct wf_driver *wf_epoll_driver_new(struct wf_io_refusal because);
void wf_epoll_driver_free(struct wf_driver *driver);

#endif
