/* offload.h: operations of one worker on threads that may block: regular files, and what else no
 * call does without waiting. For io/epoll.c.
 *
 * At most WF_OFFLOADS of a worker's ops are on threads at a time; the driver's thread pool has as
 * many threads for each worker, so that whoever gets a place has a thread. The others wait in line,
 * first in first out, where they can be cancelled at once. What is on a thread cannot be taken
 * back: its cancellation waits for the call to return.
 *
 * Who may call: home, except for what runs on the threads. Guarantees: those of op.h. */
#ifndef WF_OFFLOAD_H
#define WF_OFFLOAD_H

#include "io/op.h"
#include "pool/base/lock.h"
#include "pool/blocking.h"

/* Threads for each worker: enough for a disk's queue to have some depth, and to get over a few
 * calls that hang. */
#define WF_OFFLOADS 8

struct wf_offloads;

struct wf_offload {
    struct wf_blocking_request request;
    struct wf_offloads *all; /* immutable */
    struct wf_op *op;        /* home, while in use */
    struct wf_offload *next; /* free, or arrived: of the list that has it */
    bool called;             /* by the thread, before it arrives */
    long result;             /* likewise */
};

struct wf_offloads {
    /* immutable after init */
    struct wf_blocking *blocking;
    int wake_fd; /* eventfd: written when something arrives */

    /* home */
    struct wf_list waiting; /* WAITING ops, oldest first */
    struct wf_offload *free;
    int running; /* places in use */

    /* any thread */
    struct wf_lock lock;
    struct wf_offload *arrived;      /* under lock; newest first */
    WF_ATOMIC(uint32_t) has_arrived; /* is there any? Written under lock */

    struct wf_offload places[WF_OFFLOADS];
};

void wf_offloads_init(struct wf_offloads *all, struct wf_blocking *blocking, int wake_fd);

/* The op stands in line. */
void wf_offload_add(struct wf_offloads *all, struct wf_op *op);

/* Starts what has a place. */
void wf_offload_start(struct wf_offloads *all);

/* Ops whose calls have returned, all of them, as a list by `next`, oldest first; NULL: none. Each
 * goes back by wf_offload_free. */
struct wf_offload *wf_offload_take(struct wf_offloads *all);
void wf_offload_free(struct wf_offloads *all, struct wf_offload *offload);

/* Has anything arrived, or may anything be started? A load or two. */
WF_INLINE bool wf_offload_is_due(struct wf_offloads *all)
{
    /* relaxed: who sees it late is woken by wake_fd; wf_offload_take takes the lock */
    return wf_load_relaxed(&all->has_arrived) != 0 ||
           (all->running < WF_OFFLOADS && !wf_list_is_empty(&all->waiting));
}

#endif
