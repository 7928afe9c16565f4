/* io_value.c: operations of the kernel as values. The op lies behind its completion, in a record of
 * 256 bytes; io/op.h says to whom it belongs meanwhile. What a call on a stack does in a loop (an
 * interrupted operation, a descriptor with O_NONBLOCK) is done here when the consumer asks for the
 * result: `again`. */
#include "src/io_value.h"
#include "pool/base/sys.h"
#include <poll.h>
#include <stdbool.h>

struct io_value {
    struct wf_value value;
    struct wf_op op;
    uint32_t done;  /* bytes that were transferred before the op was begun */
    uint32_t flags; /* of the op, while it polls */
    uint8_t kind;   /* likewise; else WF_OP_NOP */
    bool rests;     /* after polls in vain; then it transfers */
    int vain;       /* as wf_io_await_events counts */
};

_Static_assert(sizeof(struct io_value) <= 256, "pool.c, value_bytes");

static struct io_value *io_value_of(struct wf_call *call)
{
    return wf_container_of(call, struct io_value, value.call);
}

static ssize_t io_finish(struct wf_call *call)
{
    struct io_value *io = io_value_of(call);
    ssize_t result = wf_op_finish(call);
    if (io->done != 0) {
        return result < 0 ? (ssize_t)io->done : (ssize_t)io->done + result;
    }
    return result;
}

static void io_discard(struct wf_call *call, ssize_t result)
{
    uint8_t kind = io_value_of(call)->op.kind;
    if (result >= 0 && (kind == WF_OP_ACCEPT || kind == WF_OP_OPENAT || kind == WF_OP_OPENAT2)) {
        (void)wf_sys.close((int)result);
    } else if (result >= 0 && kind == WF_OP_RECVMSG) {
        wf_message_close_fds((struct msghdr *)(uintptr_t)io_value_of(call)->op.address);
    }
}

static bool io_again(struct wf_call *call, ssize_t result);
static void begin_again(struct wf_op *op, struct wf_call *call, const struct wf_wait_ops *ops,
                        bool refuse);

static const struct wf_wait_ops io_ops = {.cancel = wf_op_cancel,
                                          .finish = io_finish,
                                          .again = io_again,
                                          .discard = io_discard,
                                          .name = "an I/O operation"};

static const struct wf_wait_ops rest_ops = {.cancel = wf_wait_cancel_claim,
                                            .finish = wf_io_rest_finish,
                                            .again = io_again,
                                            .name = "an I/O operation (an error stays)"};

static void poll_instead(struct io_value *io)
{
    io->kind = io->op.kind;
    io->flags = io->op.flags;
    io->op.flags = io->kind == WF_OP_READ || io->kind == WF_OP_READV ? POLLIN : POLLOUT;
    io->op.kind = WF_OP_POLL;
}

/* It has polled, and found `events`. */
static void transfer_again(struct io_value *io, uint32_t events)
{
    io->rests = wf_io_is_vain(&io->vain, events, io->op.flags);
    io->op.kind = io->kind;
    io->op.flags = io->flags;
    io->kind = WF_OP_NOP;
}

/* -EINTR: a signal to a thread of the kernel. -EAGAIN of a read or write: the file is open with
 * O_NONBLOCK, which our caller has not asked for; then the op polls, and transfers after that. */
static bool io_again(struct wf_call *call, ssize_t result)
{
    struct io_value *io = io_value_of(call);
    bool found = io->kind != WF_OP_NOP && result >= 0;
    if (io->rests) {
        io->rests = false;
        if (result != -EAGAIN) {
            return false;
        }
    } else if (found) {
        transfer_again(io, (uint32_t)result);
    } else if (result == -EAGAIN && wf_op_transfers(&io->op)) {
        poll_instead(io);
    } else if (result != -EINTR) {
        return false;
    }
    if (io->rests) {
        wf_io_rest(call, &rest_ops);
    } else {
        /* what a poll has found is tried in any case: what comes after that is not */
        begin_again(&io->op, call, &io_ops, !found && wf_io_is_over());
    }
    return true;
}

/* --- a rest ----------------------------------------------------------------------------------- */

static void rest_over(struct wf_timer *timer)
{
    struct wf_call *call = wf_container_of(timer, struct wf_call, timer);
    (void)wf_wait_claim(&call->wait, WF_WAIT_GRANTED);
}

ssize_t wf_io_rest_finish(struct wf_call *call)
{
    (void)wf_timer_del(&call->timer);
    return wf_wait_outcome(&call->wait) == WF_WAIT_GRANTED ? -EAGAIN : -ECANCELED;
}

void wf_io_rest(struct wf_call *call, const struct wf_wait_ops *ops)
{
    wf_wait_init(&call->wait, NULL, ops);
    wf_timer_init(&call->timer, rest_over);
    wf_timer_add(&wf_self()->worker->wheel, &call->timer, wf_sys.now_ns() + WF_IO_REST_NS);
}

/* --- begun ------------------------------------------------------------------------------------ */

static void begin_again(struct wf_op *op, struct wf_call *call, const struct wf_wait_ops *ops,
                        bool refuse)
{
    struct wf_fiber *self = wf_self();
    struct wf_home *home = wf_fiber_home(self);
    if (wf_unlikely(wf_exec_is_loop(home))) {
        (void)wf_exec_lend(self);
    }
    if (wf_unlikely(refuse)) {
        wf_op_refuse(op, call, self->worker, ops, -ECANCELED);
    } else {
        (void)wf_op_begin(op, call, NULL, self->worker, ops);
    }
    if (wf_unlikely(wf_fiber_home(self) != home)) {
        wf_exec_take_back(self, home);
    }
}

bool wf_io_is_over(void)
{
    const struct wf_fiber *self = wf_self();
    return self->env != NULL && wf_env_cancelled(self->env) != 0;
}

void wf_io_begin_again(struct wf_op *op, struct wf_call *call, const struct wf_wait_ops *ops)
{
    begin_again(op, call, ops, wf_io_is_over());
}

/* What goes into a record. */
struct io_begin {
    const struct wf_op *op;
    size_t done;
};

static struct wf_op *fill(struct wf_value *value, const void *arg)
{
    const struct io_begin *begin = arg;
    struct io_value *io = wf_container_of(value, struct io_value, value);
    io->op = *begin->op;
    io->done = (uint32_t)begin->done;
    io->kind = WF_OP_NOP;
    io->rests = false;
    io->vain = 0;
    return &io->op;
}

weft_val wf_io_v(const struct wf_op *op, size_t done, const weft_place *place)
{
    struct io_begin begin = {op, done};
    return wf_io_v_in(WF_V_OP, fill, &begin, &io_ops, place);
}

weft_val wf_io_v_in(enum wf_v_kind kind, wf_io_fill_fn *fill, const void *arg,
                    const struct wf_wait_ops *ops, const weft_place *place)
{
    struct wf_fiber *self = wf_self();
    struct wf_home *home = self != NULL ? wf_fiber_home(self) : NULL;
    bool is_lent = wf_unlikely(self != NULL && wf_exec_is_loop(home));
    if (is_lent) { /* a loop has no ring: to the pool and back */
        (void)wf_exec_lend(self);
    }
    struct wf_begun b;
    if (wf_v_begin(&b, kind, place)) {
        struct wf_op *op = fill(b.value, arg);
        b.val = wf_v_end(&b, wf_op_begin(op, b.call, NULL, b.self->worker, ops));
    }
    if (is_lent) {
        wf_exec_take_back(self, home);
    }
    return b.val;
}
