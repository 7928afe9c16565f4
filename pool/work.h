/* work.h: what a worker runs. Embedded in a task, a fiber, a fork record or a message; never
 * allocated by itself.
 *
 * A queue that holds a work owns it: only the thread that took it out may touch or free it. `run`
 * is called once per queuing, on the loop's frame of the stack `self`, and may suspend; after it
 * returns, the loop asks again which worker it is on. */
#ifndef WF_WORK_H
#define WF_WORK_H

#include "pool/base/compiler.h"
#include <stddef.h>
#include <stdint.h>

struct wf_fiber;
struct wf_work;

typedef void wf_work_fn(struct wf_fiber *self, struct wf_work *work);

struct wf_work {
    wf_work_fn *run;
    struct wf_work *next; /* belongs to the queue that holds the work */
};

/* Works in the order in which they came; whoever owns it serialises. Zeroed: none. */
struct wf_works {
    struct wf_work *first; /* NULL: none */
    struct wf_work *last;  /* means nothing then */
};

WF_INLINE void wf_works_push(struct wf_works *works, struct wf_work *work)
{
    work->next = NULL;
    if (works->first == NULL) {
        works->first = work;
    } else {
        works->last->next = work;
    }
    works->last = work;
}

/* The oldest; NULL: there is none. */
WF_INLINE struct wf_work *wf_works_pop(struct wf_works *works)
{
    struct wf_work *work = works->first;
    if (work != NULL) {
        works->first = work->next;
    }
    return work;
}

/* A forked section: a work that may be private (deque.h). include/weft/fork.h mirrors it. */
struct wf_section {
    wf_work_fn *run;
    /* Private: its mark, which has the top bit set. Public: the env that it belongs to, an
     * address. */
    uintptr_t link;
    uintptr_t state; /* fork.c's; valid once it is public, and then the env at first */
};

/* A section that calls a function through a pointer. While it is private that stands in `run`,
 * which spares the fork a store (WF_MARK_CALL). Also mirrored. */
struct wf_call_section {
    struct wf_section head;
    wf_work_fn *call; /* public: what `run` was; of another type in fact */
    void *arg;
};

#endif
