/* op.c: the part of an operation's life that all drivers share: its phases, and the race between
 * cancelling and ending. See op.h. */
#include "io/op.h"
#include "pool/base/check.h"
#include "pool/worker.h"
#include <errno.h>

static const struct wf_io_ops *io_of(const struct wf_worker *worker)
{
    return wf_container_of(worker->driver, struct wf_io_driver, base)->io;
}

static bool is_linked(const struct wf_op *op)
{
    return !wf_list_is_empty(&op->queue);
}

void wf_op_check(const struct wf_op *op)
{
    wf_check_inner(op->phase == WF_OP_WAITING || op->phase == WF_OP_PENDING ||
                   op->phase == WF_OP_ENDED);
    wf_check_inner(op->kind < WF_OP_KINDS && op->done != NULL && op->home != NULL);
    wf_check_inner(op->phase != WF_OP_WAITING || is_linked(op));
    wf_check_inner(op->phase != WF_OP_ENDED || !is_linked(op));
    wf_check_inner(op->phase != WF_OP_PENDING || !is_linked(op) || op->heard);
    (void)op;
}

/* Home hears of the cancellation: from its inbox, or directly when the canceller runs on home. */
static void hear(struct wf_op *op)
{
    wf_op_check(op);
    op->heard = 1;
    if (op->phase == WF_OP_ENDED) {
        op->done(op); /* LAST TOUCH: the end had waited for us */
    } else {
        io_of(op->home)->cancel(op->home, op);
    }
}

static void run_message(struct wf_fiber *self, struct wf_work *work)
{
    (void)self;
    hear(wf_container_of(work, struct wf_op, message));
}

void wf_io_submit(struct wf_worker *worker, struct wf_op *op)
{
    wf_check_inner(op->kind < WF_OP_KINDS && op->done != NULL);
    op->home = worker;
    op->heard = 0;
    op->asked = 0;
    op->res = 0;
    op->phase = WF_OP_NEW;
    op->message.run = run_message;
    wf_list_init(&op->queue);
    /* Relaxed: what makes the op reachable for a canceller (the lock of G.1's caller) publishes
     * it. */
    wf_store_relaxed(&op->race, WF_OP_OPEN);
    io_of(worker)->submit(worker, op); /* LAST TOUCH: a rescuer may have it */
}

void wf_io_cancel(struct wf_op *op)
{
    uint32_t open = WF_OP_OPEN;
    /* Relaxed, here and at the end: the word decides who goes first and publishes nothing. `home`
     * and `message` are ordered by the lock that made the op reachable, the message by wf_post. */
    if (!wf_cas_relaxed(&op->race, &open, WF_OP_ASKED)) {
        return;
    }
    struct wf_fiber *self = wf_self();
    if (self != NULL && self->worker == op->home) {
        hear(
            op); /* cannot have ended: on this thread it would have found OPEN; no rescuer seizes it */
    } else {
        wf_post(op->home, &op->message); /* LAST TOUCH */
    }
}

void wf_op_end(struct wf_op *op, int32_t res)
{
    wf_check_inner((op->phase == WF_OP_WAITING || op->phase == WF_OP_PENDING) && !is_linked(op));
    uint32_t before = wf_xchg_relaxed(&op->race, WF_OP_OVER); /* relaxed: see wf_io_cancel */
    bool asked = before == WF_OP_ASKED;
    op->res = asked && res == -EINTR ? -ECANCELED : res;
    op->phase = WF_OP_ENDED;
    if (!asked || op->heard) {
        op->done(op); /* LAST TOUCH */
    }
}

bool wf_op_seize(struct wf_op *op)
{
    uint32_t open = WF_OP_OPEN;
    return wf_cas_relaxed(&op->race, &open, WF_OP_OVER); /* relaxed: see wf_io_cancel */
}

void wf_op_end_seized(struct wf_op *op, int32_t res)
{
    wf_check_inner(op->phase == WF_OP_PENDING && !is_linked(op) && !op->heard);
    op->res = res;
    op->phase = WF_OP_ENDED;
    op->done(op); /* LAST TOUCH */
}

int wf_io_poll(struct wf_worker *worker)
{
    return worker->driver->ops->poll(worker->driver, worker);
}
