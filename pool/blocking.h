/* blocking.h: threads for calls that block. Elastic, capped, first in first out.
 *
 * A request lives in its submitter's memory until `done` is called, on the blocking thread, after
 * the function has returned; `done` makes somebody ready and touches the request last. Threads are
 * created when a request finds none idle, up to the cap, by the submitter and outside of the lock,
 * and end after WF_BLOCKING_IDLE_NS without work. A request beyond the cap waits in the queue,
 * which needs no bound of its own: each entry is the frame of a suspended task. Until a thread
 * takes it from there it can be withdrawn.
 *
 * Requests may be of a *line*: those of one are begun one at a time, in the order in which they
 * came; meanwhile the others are not in the queue and hold no thread. For calls that would only
 * wait for each other, as writes at one file's position do in the kernel. */
#ifndef WF_BLOCKING_H
#define WF_BLOCKING_H

#include "pool/base/list.h"

#define WF_BLOCKING_IDLE_NS INT64_C(5000000000)

/* The name that a thread has in the system once it ends, from before it is not counted any more. */
#define WF_BLOCKING_ENDS "weft-ends"

struct wf_blocking;

struct wf_blocking_request {
    int (*call)(void *arg);
    void *arg;
    int result; /* of call, valid in done */
    int line;   /* its number, > 0; 0: of none */
    /* on the blocking thread; LAST TOUCH is its own */
    void (*done)(struct wf_blocking_request *request);
    struct wf_blocking *blocking; /* to which it was submitted; immutable from then on */
    /* under that one's lock */
    struct wf_list in_queue; /* if it is the first of its line */
    struct wf_list in_line;  /* until its end */
    bool taken;              /* by a thread; or withdrawn */
};

/* threads_max >= 1. NULL: no memory. Creates no thread yet. */
struct wf_blocking *wf_blocking_new(int threads_max);

/* The queue is empty and nothing runs. Waits for the idle threads to end. NULL is fine. */
void wf_blocking_free(struct wf_blocking *blocking);

/* Any thread. 0; -EAGAIN: there is no thread at all and none can be created, the request was not
 * taken. Others that counted on the same thread end with the result -EAGAIN, uncalled. */
int wf_blocking_submit(struct wf_blocking *blocking, struct wf_blocking_request *request);

/* Any thread, while the request's memory lasts, once it was submitted. True: no thread had begun
 * it, and none will; `done` is not called. */
bool wf_blocking_withdraw(struct wf_blocking_request *request);

struct wf_blocking_report {
    int running; /* requests on a thread: nothing can interrupt them */
    int waiting; /* requests beyond the cap, in the queue */
};

/* Any thread. The numbers are of one moment. */
void wf_blocking_report(struct wf_blocking *blocking, struct wf_blocking_report *report);

/* Threads that exist, if all of them are idle and nothing is queued; else -1. Waits for those whose
 * call has returned: whoever was made ready by one may ask before it is idle again, and nobody asks
 * after that. Any thread that `done` does not wait for. */
int wf_blocking_idle_threads(struct wf_blocking *blocking);

#endif
