/* call.h: a call of the API that may wait, taken apart into a beginning and an end, so that the
 * same code serves tasks with a stack and frames without one.
 *
 * The *beginning* (a static function `noun_begin` of each module) tries; if it need not wait it
 * returns the result, and has not touched the call. Else it fills the call and puts it where
 * claimers look (wf_call_queue), and returns WF_PENDING. Then whoever made the call lies down: a
 * stack by wf_call_end, a frame by returning to its worker. The *end* is the call's ops->finish,
 * which runs after the wait was claimed and says the result.
 *
 *     int weft_sem_acquire(weft_sem *sem)
 *     {
 *         int rc = 0;
 *         struct wf_fiber *self = wf_enter_call(&rc);
 *         if (self == NULL) {
 *             return rc;
 *         }
 *         struct wf_call call;
 *         return (int)wf_call_end(self, &call, acquire_begin(sem, &call, &self->resume, 1));
 *     }
 *
 * Who may call: src/ only. */
#ifndef WF_CALL_H
#define WF_CALL_H

#include "pool/timer.h"
#include "pool/worker.h"
#include "src/awaiter.h"
#include "src/wait.h"
#include "src/waitq.h"
#include <weft/base.h>

struct wf_task;
struct wf_scope;

/* What a beginning returns when the call waits: no result of a public call. */
#define WF_PENDING ((ssize_t)INT32_MIN)

struct wf_call {
    struct wf_wait wait;
    union {
        struct {
            struct wf_waiter place;
            void *object;
            uint64_t detail; /* what the kind needs besides */
        };
        struct wf_timer timer;
        struct {
            struct wf_awaiter awaiter;
            struct wf_task *awaited;
        };
        struct {
            weft_error *error; /* owned: of a source that was completed, or NULL */
            WF_PLAIN(int64_t) result;
            struct wf_scope *scope; /* of a frame whose end completes it */
        };
    };
};

_Static_assert(sizeof(struct wf_call) <= 96, "a frame without a stack holds one, in 128 bytes");

/* What wf_wait_ops.cancel is for everything but kernel operations: claims. */
void wf_wait_cancel_claim(struct wf_wait *wait);

WF_INLINE void wf_wait_init(struct wf_wait *wait, struct wf_work *resume,
                            const struct wf_wait_ops *ops)
{
    /* relaxed: enlisting publishes it, under a lock */
    wf_store_relaxed(&wait->state, WF_WAIT_SETUP);
    wait->resume = resume;
    wait->ops = ops;
    wait->env = NULL; /* and in_scope means nothing */
}

/* In the beginning of a call that has to wait; `queue`, under its lock, is where claimers look. */
WF_INLINE void wf_call_queue(struct wf_call *call, struct wf_work *resume,
                             const struct wf_wait_ops *ops, void *object, struct wf_list *queue,
                             void *item)
{
    wf_wait_init(&call->wait, resume, ops);
    call->object = object;
    call->place.wait = &call->wait;
    call->place.item = item;
    wf_list_push_back(queue, &call->place.in_queue);
}

/* The same for a wait that stays (slot.h): its state says under which env, besides. */
WF_INLINE void wf_call_queue_staying(struct wf_call *call, struct wf_work *resume,
                                     const struct wf_wait_ops *ops, void *object,
                                     struct wf_list *queue, void *item, struct wf_env *env)
{
    wf_wait_init(&call->wait, resume, ops);
    wf_store_relaxed(&call->wait.state, (uintptr_t)env | WF_WAIT_SETUP); /* relaxed: as there */
    call->object = object;
    call->place.wait = &call->wait;
    call->place.item = item;
    wf_list_push_back(queue, &call->place.in_queue);
}

/* Makes the wait reachable for cancellation of what the running code belongs to: 0; or -ECANCELED,
 * nothing enlisted. */
int wf_wait_enlist(struct wf_wait *wait, struct wf_env *env);
void wf_wait_delist(struct wf_wait *wait);
/* Suspends until the wait is claimed (not at all if it is already) and says why. */
enum wf_wait_state wf_wait_block(struct wf_fiber *self, struct wf_wait *wait);

/* Lies down until the call has ended; its result. */
ssize_t wf_call_block(struct wf_fiber *self, struct wf_call *call);

/* Calls in a row that could have waited and did not have to; then the task lets others run, so that
 * one whose operations are always ready cannot keep a worker for itself. Tokio's number, with the
 * same meaning. */
#define WF_BUDGET 128

/* At the end of such a call. May suspend. */
WF_INLINE void wf_spend_budget(struct wf_fiber *self)
{
    if (wf_unlikely(++self->budget >= WF_BUDGET)) {
        self->budget = 0;
        wf_yield(self);
    }
}

/* The same, as the last line of a call: returns `rc`. */
int wf_give_way(struct wf_fiber *self, int rc);
WF_INLINE int wf_spend_and_return(struct wf_fiber *self, int rc)
{
    return wf_likely(++self->budget < WF_BUDGET) ? rc : wf_give_way(self, rc);
}

/* The rest of a call on a stack, after its beginning returned `rc`. */
WF_INLINE ssize_t wf_call_end(struct wf_fiber *self, struct wf_call *call, ssize_t rc)
{
    if (wf_unlikely(rc == WF_PENDING)) {
        return wf_call_block(self, call);
    }
    wf_spend_budget(self);
    return rc;
}

#endif
