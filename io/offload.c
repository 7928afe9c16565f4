/* offload.c: see offload.h.
 *
 * The way back: a thread puts its place into the list of what has arrived, and if that was empty
 * writes to the worker's eventfd, in which it sleeps. So whatever home has not taken when it goes
 * to sleep has an eventfd written for it, or somebody who is about to write it. */
#include "io/offload.h"
#include "io/attempt.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"

/* On a thread that may block. */
static int run(void *arg)
{
    struct wf_offload *offload = arg;
    offload->called = true;
    offload->result = wf_op_run(offload->op);
    return 0;
}

/* Likewise; or on one that was to start the thread and could not, uncalled. */
static void arrive(struct wf_blocking_request *request)
{
    struct wf_offload *offload = wf_container_of(request, struct wf_offload, request);
    struct wf_offloads *all = offload->all;
    wf_lock(&all->lock);
    bool first = all->arrived == NULL;
    offload->next = all->arrived;
    all->arrived = offload;                 /* LAST TOUCH of the place: home may use it again */
    wf_store_relaxed(&all->has_arrived, 1); /* relaxed: under the lock */
    wf_unlock(&all->lock);
    if (first) {
        int rc = wf_sys.eventfd_add(all->wake_fd, 1);
        wf_check(rc == 0, "a worker cannot be woken: was a descriptor closed that is not the "
                          "program's?");
    }
}

void wf_offloads_init(struct wf_offloads *all, struct wf_blocking *blocking, int wake_fd)
{
    *all = (struct wf_offloads){.blocking = blocking, .wake_fd = wake_fd};
    wf_list_init(&all->waiting);
    for (int i = 0; i < WF_OFFLOADS; i++) {
        all->places[i].all = all;
        all->places[i].request =
            (struct wf_blocking_request){.call = run, .done = arrive, .arg = &all->places[i]};
        all->places[i].next = all->free;
        all->free = &all->places[i];
    }
}

void wf_offload_add(struct wf_offloads *all, struct wf_op *op)
{
    op->phase = WF_OP_WAITING;
    wf_list_push_back(&all->waiting, &op->queue);
}

void wf_offload_free(struct wf_offloads *all, struct wf_offload *offload)
{
    offload->op = NULL;
    offload->next = all->free;
    all->free = offload;
    all->running--;
}

void wf_offload_start(struct wf_offloads *all)
{
    /* ends: takes one from each list */
    while (all->free != NULL && !wf_list_is_empty(&all->waiting)) {
        struct wf_offload *offload = all->free;
        struct wf_op *op = wf_container_of(wf_list_pop_front(&all->waiting), struct wf_op, queue);
        all->free = offload->next;
        all->running++;
        offload->op = op;
        offload->called = false;
        op->phase = WF_OP_PENDING;
        if (wf_blocking_submit(all->blocking, &offload->request) < 0) {
            arrive(&offload->request); /* there is no thread: wf_offload_take calls it here */
        }
    }
}

struct wf_offload *wf_offload_take(struct wf_offloads *all)
{
    /* relaxed: see wf_offload_is_due */
    if (wf_likely(wf_load_relaxed(&all->has_arrived) == 0)) {
        return NULL;
    }
    wf_lock(&all->lock);
    struct wf_offload *newest = all->arrived;
    all->arrived = NULL;
    wf_store_relaxed(&all->has_arrived, 0); /* relaxed: under the lock */
    wf_unlock(&all->lock);
    struct wf_offload *oldest = NULL;
    while (newest != NULL) { /* ends: takes one from the list */
        struct wf_offload *next = newest->next;
        if (!newest->called) { /* no thread was to be had: the others wait, better than for ever */
            newest->result = wf_op_run(newest->op);
        }
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
