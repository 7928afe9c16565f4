/* uring.h: the driver that sleeps in io_uring: one ring per worker. See uring.c for how; io.h
 * chooses it.
 *
 * Who may call: io/driver.c, and the driver's own tests, which look into the structs. */
#ifndef WF_URING_H
#define WF_URING_H

#include "io/op.h"
#include "io/uring_lend.h"
#include "io/uring_ring.h"
#include "io/uring_slots.h"
#include "pool/base/list.h"
#include "pool/timer.h"

/* Completions that a rescuer leaves to the owner, at most; when they are so many, it stops. */
#define WF_LEFT_MAX 64

/* Who has the completions to itself, and may take and hand them over: the owner, while it is in the
 * driver, or a rescuer (uring_rescue.h), or nobody. By try-lock; nobody waits for it. */
enum wf_uring_holder { WF_HELD_BY_NOBODY = 0, WF_HELD_BY_OWNER, WF_HELD_BY_RESCUER };

/* One worker's ring and what is in it. */
struct wf_uring {
    /* any thread; immutable from open to close */
    int wake_fd WF_ALIGNED(WF_LINE_PAIR); /* eventfd: a write to it ends the worker's sleep */

    /* any thread; atomic */
    WF_ATOMIC(uint32_t) holder; /* enum wf_uring_holder */
    WF_ATOMIC(uint32_t) left;   /* completions in `leftover`; the holder writes it */
    WF_ATOMIC(uint32_t) visits; /* times that the owner came to the driver; the owner writes it */
    /* The worker's thread, as the kernel numbers it; 0: it has not begun, or has ended. */
    WF_ATOMIC(int32_t) thread;

    /* the holder */
    struct wf_ring_completion leftover[WF_LEFT_MAX]; /* oldest first */

    /* the lookout (pool/lookout.c), one at a time: what it saw here last */
    uint32_t seen_visits;
    uint64_t seen_runs;  /* works that the owner had run */
    int64_t seen_ns;     /* since when; 0: nothing */
    int64_t kicked_ns;   /* when the owner was last kicked */
    int64_t kick_gap_ns; /* until it may be kicked again */

    /* owner: the worker's thread */
    struct wf_ring ring WF_ALIGNED(WF_LINE_PAIR);
    struct wf_worker *worker;  /* immutable from worker_begin to worker_end */
    uint32_t age;              /* times that is_due was asked since something was queued */
    bool wake_armed;           /* the ring watches wake_fd */
    bool woken;                /* a wake arrived that no sleep has returned for */
    bool polling;              /* completions are being handed over; checked only */
    uint8_t kept_out;          /* times in a row that a sleep met a rescuer who holds */
    struct wf_list waiting;    /* ops, oldest first: no room so far */
    struct wf_list cancelling; /* PENDING ops: their cancellation is to be written */
    struct wf_list dropped;    /* WAITING ops that were cancelled: to be ended */
    /* PENDING ops whose cancellation found nothing to cancel: asked again by `ask_again` */
    struct wf_list asking;
    struct wf_timer ask_again;
    uint64_t strays; /* completions that belonged to nothing */
    struct wf_slots slots;
    struct wf_lend lend;
};

struct wf_uring_driver {
    struct wf_io_driver io;
    bool kicks;                      /* it has claimed the signal; immutable from open to close */
    WF_ATOMIC(uint32_t) signal_lost; /* it was taken from us */
    struct wf_uring *rings;          /* array of `workers` */
    int workers;
    int look_first; /* the lookout's: the ring that it looks at first */
};

/* Does io_uring work here, as far as one operation shows? Sets up a ring as the workers will, on
 * the calling thread, which should end afterwards: the kernel keeps memory for each thread that
 * ever had a ring. 0, or -errno and *refusal. */
int wf_uring_probe(struct wf_io_refusal *refusal);

/* NULL: no memory. Both any thread. */
struct wf_driver *wf_uring_driver_new(void);
void wf_uring_driver_free(struct wf_driver *driver);

#endif
