/* frame.h: a task without a stack: what lies behind the opaque fields of weft_frame.
 *
 * Life of a frame:
 *
 *      queued --[a worker: weft_frame_run_]--> stepping --[step returns a result]--> ended
 *        ^                                        |
 *        |                                        | [step returns WEFT_PENDING: wf_wait_arm, or
 *        +--[wf_wait_claim, wf_wait_resume]-- waiting <-+  its turn is over: queued at once]
 *
 * While it waits, `kind` says where: in its own call, or in a pooled completion that `call.object`
 * names. Only the worker that steps it touches it; the wait's protocol hands it on.
 *
 * It has no task of its own. While it is stepped, a struct wf_stepping on the worker's stack is its
 * identity: error record, spawns, the answer to "which frame is stepping here". What it waits for
 * is enlisted under its scope's env. */
#ifndef WF_FRAME_H
#define WF_FRAME_H

#include "src/value.h"

enum wf_frame_kind {
    WF_FRAME_IDLE,   /* waits for nothing */
    WF_FRAME_OWN,    /* in its own call */
    WF_FRAME_RECORD, /* in call.object, a struct wf_value * */
    WF_FRAME_RESULT, /* not at all: call.detail is the result */
    WF_FRAME_YIELD,  /* for its turn */
};

/* wf_frame.flags */
#define WF_FRAME_VALUED 1

struct wf_frame {
    struct wf_work work; /* run: made by WEFT_STEP */
    union {
        struct wf_scope *scope;
        struct wf_value *value; /* WF_FRAME_VALUED: completed by its end; names the scope */
    };
    int32_t at;
    uint8_t kind; /* enum wf_frame_kind */
    uint8_t open; /* see weft_frame */
    uint8_t hits;
    uint8_t flags;
    struct wf_call call;
};

_Static_assert(sizeof(struct wf_frame) == 128, "what a waiting frame costs, all included");
_Static_assert(sizeof(struct wf_frame) == sizeof(weft_frame), "weft_frame");
_Static_assert(_Alignof(struct wf_frame) <= _Alignof(weft_frame), "weft_frame");
_Static_assert(offsetof(struct wf_frame, at) == offsetof(weft_frame, at_), "weft_frame");
_Static_assert(offsetof(struct wf_frame, kind) == offsetof(weft_frame, kind_), "weft_frame");
_Static_assert(offsetof(struct wf_frame, open) == offsetof(weft_frame, open_), "weft_frame");
_Static_assert(offsetof(struct wf_frame, hits) == offsetof(weft_frame, hits_), "weft_frame");
_Static_assert(offsetof(struct wf_frame, call) == offsetof(weft_frame, call_), "weft_frame");

/* Whose member it is. */
WF_INLINE struct wf_scope *wf_frame_owner(const struct wf_frame *frame)
{
    return (frame->flags & WF_FRAME_VALUED) != 0 ? frame->value->call.scope : frame->scope;
}

/* The identity of a frame while it is stepped. */
struct wf_stepping {
    struct wf_task task; /* kind WF_TASK_FRAME */
    struct wf_fiber *fiber;
    struct wf_frame *frame;
    uint64_t token; /* of the operation begun in the frame's own call, not awaited yet; 0: none */
};

/* The frame that is being stepped by the running code itself: not by a task that it awaits, a
 * branch that it forked, or a scope that it opened. NULL: none. */
WF_INLINE struct wf_stepping *wf_stepping_of(struct wf_fiber *self)
{
    struct wf_task *task = self->env->task;
    if (task->kind != WF_TASK_FRAME || self->env != &task->env) {
        return NULL;
    }
    struct wf_stepping *stepping = wf_container_of(task, struct wf_stepping, task);
    return stepping->fiber == self ? stepping : NULL;
}

/* Cancels the operation that was begun in the frame's own call and not awaited, and waits for its
 * end. */
void wf_frame_drop_own(struct wf_stepping *stepping);

struct wf_pool *wf_frame_pool(struct wf_work *work);

#endif
