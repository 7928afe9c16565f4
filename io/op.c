/* op.c: the part of an operation's life that all drivers share: its phases, and the race between
 * cancelling and ending. See op.h. */
#include "io/op.h"
#include "pool/base/check.h"
#include "pool/sanitizer.h"
#include "pool/worker.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

static const struct wf_io_ops *io_of(const struct wf_worker *worker)
{
    return wf_container_of(worker->driver, struct wf_io_driver, base)->io;
}

static WF_UNUSED bool is_linked(const struct wf_op *op)
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

/* --- what the kernel owns, under AddressSanitizer --------------------------------------------- */

/* Longer buffers are poisoned no further than this: a look at each costs a byte read per eight. */
#define LENT_MAX (1u << 20)

/* Of an array of buffers, the first so many are poisoned: one bit of op->lent each. */
#define LENT_PARTS 32

/* Where the op writes to, and how much at most. What it only reads may be read by others, too. */
static struct iovec written_by(const struct wf_op *op)
{
    uint64_t address = op->address;
    size_t bytes = 0;
    switch ((enum wf_op_kind)op->kind) {
    case WF_OP_READ:
    case WF_OP_RECV:
        bytes = op->bytes;
        break;
    case WF_OP_STATX:
        address = op->offset;
        bytes = sizeof(struct statx);
        break;
    case WF_OP_ACCEPT:
        if (op->offset != 0 && wf_asan_is_open((void *)(uintptr_t)op->offset, sizeof(socklen_t))) {
            bytes = *(const socklen_t *)(uintptr_t)op->offset;
        }
        break;
    default:
        break;
    }
    return (struct iovec){.iov_base = (void *)(uintptr_t)address, .iov_len = bytes};
}

/* The same of an op with several buffers; NULL: it is none of those. */
static const struct iovec *parts_written_by(const struct wf_op *op, size_t *count)
{
    const struct iovec *parts = NULL;
    const struct msghdr *message = (const struct msghdr *)(uintptr_t)op->address;
    *count = 0;
    if (op->kind == WF_OP_READV) {
        parts = (const struct iovec *)(uintptr_t)op->address;
        *count = op->bytes;
    } else if (op->kind == WF_OP_RECVMSG && wf_asan_is_open((void *)message, sizeof *message)) {
        parts = message->msg_iov;
        *count = message->msg_iovlen;
    }
    *count = *count < LENT_PARTS ? *count : LENT_PARTS;
    return *count > 0 && wf_asan_is_open((void *)parts, *count * sizeof *parts) ? parts : NULL;
}

/* Bytes that were poisoned; 0: none. Only what is open as a whole: then the end can restore it
 * exactly, with the red zones around it. What another op has lent already, or is no memory of the
 * program, stays as it is. Granules of 8 bytes that are shared with what lies before or behind the
 * buffer are poisoned as far as ASan can say so. */
static size_t lend_part(struct iovec part)
{
    size_t bytes = part.iov_len < LENT_MAX ? part.iov_len : LENT_MAX;
    if (bytes == 0 || !wf_asan_is_open(part.iov_base, bytes)) {
        return 0;
    }
    wf_asan_poison(part.iov_base, bytes);
    return bytes;
}

static void lend(struct wf_op *op)
{
    size_t count;
    const struct iovec *parts = parts_written_by(op, &count);
    op->lent = parts == NULL ? (uint32_t)lend_part(written_by(op)) : 0;
    for (size_t i = 0; parts != NULL && i < count; i++) {
        op->lent |= lend_part(parts[i]) > 0 ? 1u << i : 0;
    }
}

static void take_back(struct wf_op *op)
{
    size_t count;
    const struct iovec *parts = op->lent != 0 ? parts_written_by(op, &count) : NULL;
    if (parts == NULL) {
        wf_asan_unpoison(written_by(op).iov_base, op->lent);
    }
    for (size_t i = 0; parts != NULL && i < count; i++) {
        if ((op->lent & 1u << i) != 0) {
            size_t bytes = parts[i].iov_len < LENT_MAX ? parts[i].iov_len : LENT_MAX;
            wf_asan_unpoison(parts[i].iov_base, bytes);
        }
    }
    op->lent = 0;
}

/* --- life ------------------------------------------------------------------------------------- */

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

void wf_io_prepare(struct wf_worker *worker, struct wf_op *op)
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
    op->lent = 0;
}

void wf_io_start(struct wf_op *op)
{
    if (WF_ASAN) {
        lend(op);
    }
    struct wf_worker *home = op->home;
    io_of(home)->submit(home, op); /* LAST TOUCH: a rescuer may have it */
}

void wf_io_refuse(struct wf_op *op, int32_t res)
{
    op->res = res;
    op->phase = WF_OP_ENDED;
    wf_store_relaxed(&op->race, WF_OP_OVER); /* relaxed: as in wf_io_prepare */
}

void wf_io_submit(struct wf_worker *worker, struct wf_op *op)
{
    wf_io_prepare(worker, op);
    wf_io_start(op);
}

/* The right and the duty to send the one message. */
static bool ask(struct wf_op *op)
{
    uint32_t open = WF_OP_OPEN;
    /* Relaxed, here and at the end: the word decides who goes first and publishes nothing. `home`
     * and `message` are ordered by the lock that made the op reachable, the message by wf_post. */
    return wf_cas_relaxed(&op->race, &open, WF_OP_ASKED);
}

void wf_io_cancel_by_message(struct wf_op *op)
{
    if (ask(op)) {
        wf_post(op->home, &op->message); /* LAST TOUCH */
    }
}

void wf_io_cancel(struct wf_op *op)
{
    if (!ask(op)) {
        return;
    }
    struct wf_fiber *self = wf_self();
    if (self != NULL && self->worker == op->home) {
        /* it cannot have ended: on this thread that would have found OPEN; no rescuer seizes it */
        hear(op);
    } else {
        wf_post(op->home, &op->message); /* LAST TOUCH */
    }
}

int wf_io_lend_begin(struct wf_worker *worker, uint32_t count)
{
    const struct wf_io_ops *io = io_of(worker);
    wf_check_inner(count > 0 && count <= WF_LENT_MAX);
    return io->lend_begin != NULL ? io->lend_begin(worker, count) : -EOPNOTSUPP;
}

void wf_io_lend(struct wf_worker *worker, void *buffer, uint32_t bytes, uint16_t number)
{
    io_of(worker)->lend(worker, buffer, bytes, number);
}

void wf_op_end(struct wf_op *op, int32_t res)
{
    wf_check_inner((op->phase == WF_OP_WAITING || op->phase == WF_OP_PENDING) && !is_linked(op));
    uint32_t before = wf_xchg_relaxed(&op->race, WF_OP_OVER); /* relaxed: see wf_io_cancel */
    bool asked = before == WF_OP_ASKED;
    op->res = asked && res == -EINTR ? -ECANCELED : res;
    op->phase = WF_OP_ENDED;
    if (WF_ASAN) {
        take_back(op);
    }
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
    if (WF_ASAN) {
        take_back(op);
    }
    op->done(op); /* LAST TOUCH */
}
