/* attempt.h: an operation tried by a plain system call that does not wait. For io/epoll.c, on home.
 *
 * No descriptor's O_NONBLOCK flag is changed, since the descriptor is the program's and may be
 * shared with other processes. Most calls can be told not to wait for once (MSG_DONTWAIT,
 * RWF_NOWAIT); what cannot be told so goes to a thread that may block (io/offload.h).
 *
 * Terms. *progress*: bytes that an op with MSG_WAITALL has moved so far, in op->res until it ends.
 * *ready*: the descriptor was said to be ready for the op, so that not even a call without such a
 * flag waits, unless somebody else is faster. */
#ifndef WF_ATTEMPT_H
#define WF_ATTEMPT_H

#include "io/op.h"
#include <limits.h>

/* What else than a result wf_op_try gives. */
#define WF_TRY_BLOCKS (LONG_MIN)     /* it would wait: try again when wf_op_events are there */
#define WF_TRY_THREAD (LONG_MIN + 1) /* only a call that may block does it: wf_op_run */

/* Values of op->asked, which is the driver's. */
enum wf_op_asked {
    WF_ASKED_NOTHING,
    WF_ASKED_READY,   /* it is no file, and ready: a thread has to do no more than that */
    WF_ASKED_CONNECT, /* the connection is being made: what is left to do is to ask how it went */
};

/* home: the result (>= 0 or -errno), or one of the above. */
long wf_op_try(struct wf_op *op, bool ready);

/* Any thread that may block: the result. -EINPROGRESS of a WF_OP_CONNECT: see WF_ASKED_CONNECT. The
 * op is home's meanwhile, which does not touch it. */
long wf_op_run(struct wf_op *op);

/* What to wait for, as POLL*. */
uint32_t wf_op_events(const struct wf_op *op);

#endif
