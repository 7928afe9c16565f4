/* uring.h: the driver that sleeps in io_uring: one ring per worker. See uring.c for how; io.h
 * chooses it.
 *
 * Who may call: io/driver.c, and the driver's own tests, which look into the structs. */
#ifndef WF_URING_H
#define WF_URING_H

#include "io/op.h"
#include "io/uring_ring.h"
#include "io/uring_slots.h"
#include "pool/base/list.h"
#include "pool/timer.h"

/* One worker's ring and what is in it. */
struct wf_uring {
    /* any thread; immutable from open to close */
    int wake_fd WF_ALIGNED(WF_LINE_PAIR); /* eventfd: a write to it ends the worker's sleep */

    /* owner: the worker's thread */
    struct wf_ring ring WF_ALIGNED(WF_LINE_PAIR);
    struct wf_worker *worker;  /* immutable from worker_begin to worker_end */
    uint32_t age;              /* times that is_due was asked since something was queued */
    bool wake_armed;           /* the ring watches wake_fd */
    bool woken;                /* a wake arrived that no sleep has returned for */
    bool polling;              /* completions are being handed over; checked only */
    struct wf_list waiting;    /* ops, oldest first: no room so far */
    struct wf_list cancelling; /* PENDING ops: their cancellation is to be written */
    struct wf_list dropped;    /* WAITING ops that were cancelled: to be ended */
    /* PENDING ops whose cancellation found nothing to cancel: asked again by `ask_again` */
    struct wf_list asking;
    struct wf_timer ask_again;
    uint64_t strays; /* completions that belonged to nothing */
    struct wf_slots slots;
};

struct wf_uring_driver {
    struct wf_io_driver io;
    struct wf_uring *rings; /* array of `workers` */
    int workers;
};

/* Does io_uring work here, as far as one operation shows? Sets up a ring as the workers will, on
 * the calling thread, which should end afterwards: the kernel keeps memory for each thread that
 * ever had a ring. 0, or -errno and *refusal. */
int wf_uring_probe(struct wf_io_refusal *refusal);

/* NULL: no memory. Both any thread. */
struct wf_driver *wf_uring_driver_new(void);
void wf_uring_driver_free(struct wf_driver *driver);

#endif
