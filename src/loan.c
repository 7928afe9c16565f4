/* loan.c: <weft/loan.h>: receives that borrow a buffer, and its way back.
 *
 * Each worker has a lender (lender.h), made on it when it first needs one. If its ring knows lent
 * buffers (io/op.h, WF_OP_RECV_LENT) those that are spare are lent to it, on the worker, whenever a
 * receive begins there. A receive goes through these steps; each is a call that waits (call.h), and
 * whoever waits for it, a stack or a frame, begins the next one (go_on):
 *
 *      begin --+--[the ring has buffers: RECV_LENT]--+--> data, in a buffer
 *         ^    |                                     +--> -ENOBUFS: they are all out --+
 *         |    +--[else: RECV, MSG_PEEK of one byte]----> there is something ----------+
 *         |                                                                            v
 *         +--[somebody else has taken it]-- received, without waiting, <--  a buffer is taken,
 *                                           into it                         or waited for in line
 *
 * What need not stand in line is received in the op's done (receive_done).
 *
 * A buffer that comes back goes to the first in line, else to the ring if we are on its worker,
 * else it is spare until a receive begins there. A ring without buffers while some are spare costs
 * a receive one more step, and nobody waits: so nobody has to be woken to lend them.
 *
 * The road not taken: a queue of messages to the ring's worker, so that it alone puts buffers into
 * the ring. The line has to be served at once, also while that worker computes or sleeps; so each
 * return looks at the line under its lock anyway, and under it the buffer may as well change its
 * owner.
 *
 * A loan that is out is in the list of the scope that owns it, whose end gives it back
 * (wf_loans_end). Who gives it back holds the lender's lock until it is through, and so whoever
 * waits for that (the end of the scope, the stop) waits for the lock. Order of locks: that of all
 * lenders, the lender's, then the scope's.
 *
 * A reader that has no memory for a copy of what came with a loan keeps the loan (wf_loan_keep):
 * that goes to the root scope, since the reader may live longer than the scope of the call, or than
 * the runtime; so it is looked up in a list of all lenders when it is taken at last. */
#include "src/io_value.h"
#include "src/lender.h"
#include "src/net.h"
#include "src/uses.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "pool/sanitizer.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <weft/loan.h>

struct lender {
    struct wf_lender base;
    struct wf_list in_all; /* under all_lock */
    /* immutable */
    struct wf_worker *worker;
    bool rings; /* the kernel chooses among what it is lent */
    uint32_t count, bytes;
    void *memory;
    struct wf_borrowed buffers[];
};

_Static_assert(WEFT_LOANS_MAX <= WF_LENT_MAX, "what a ring takes");

/* Of the process: for who comes with a loan of which nobody knows whether its runtime is still
 * there. */
static struct wf_lock all_lock;
static struct wf_list all = {&all, &all}; /* under all_lock */
static uint64_t lenders_made;             /* likewise */

static struct lender *lender_of(const struct wf_borrowed *buffer)
{
    return wf_container_of(buffer->lender, struct lender, base);
}

/* --- the lender of a worker ------------------------------------------------------------------- */

/* Lets the kernel have what is spare. On the lender's worker. */
static void lend_spares(struct lender *lender)
{
    struct wf_borrowed *buffer;
    /* relaxed: what is put at this very moment is lent next time. Ends: there are `count` */
    while (wf_load_relaxed(&lender->base.spare_count) != 0 &&
           (buffer = wf_lender_take_to_lend(&lender->base)) != NULL) {
        wf_io_lend(lender->worker, buffer->data, lender->bytes,
                   (uint16_t)(buffer - lender->buffers));
    }
}

static WF_COLD struct lender *make_lender(struct wf_worker *worker)
{
    const struct weft_rt *rt = worker->runtime;
    struct lender *lender =
        wf_sys_alloc_zeroed(WF_LINE, sizeof *lender + rt->loans * sizeof(struct wf_borrowed));
    void *memory = wf_sys.map((size_t)rt->loans * rt->loan_bytes, PROT_READ | PROT_WRITE);
    if (lender == NULL || memory == NULL) {
        wf_sys.release(lender);
        if (memory != NULL) {
            (void)wf_sys.unmap(memory, (size_t)rt->loans * rt->loan_bytes);
        }
        return NULL;
    }
    wf_lender_init(&lender->base);
    lender->worker = worker;
    lender->count = rt->loans;
    lender->bytes = rt->loan_bytes;
    lender->memory = memory;
    wf_asan_poison(memory, (size_t)rt->loans * rt->loan_bytes);
    wf_lock(&all_lock);
    wf_list_push_back(&all, &lender->in_all);
    uint64_t first_number = ++lenders_made << 32; /* so no two lenders give the same */
    wf_unlock(&all_lock);
    for (uint32_t i = lender->count; i-- > 0;) { /* the first is on top */
        struct wf_borrowed *buffer = &lender->buffers[i];
        buffer->lender = &lender->base;
        wf_store_relaxed(&buffer->life, first_number); /* relaxed: not shared yet */
        buffer->data = (unsigned char *)memory + (size_t)i * lender->bytes;
        wf_list_init(&buffer->in_scope);
        (void)wf_lender_put(&lender->base, buffer, false);
    }
    /* Refused, for whatever reason: then it takes them by hand. */
    lender->rings = wf_io_lend_begin(worker, lender->count) == 0;
    /* sync(loan.lender): release, all of it; pairs sync(loan.count) */
    wf_store_release(&worker->lender, lender);
    return lender;
}

/* Of the worker that runs us. NULL: no memory. */
static struct lender *lender_here(struct wf_worker *worker)
{
    struct lender *lender = wf_load_relaxed(&worker->lender); /* relaxed: ours */
    return wf_likely(lender != NULL) ? lender : make_lender(worker);
}

void wf_loans_count(struct wf_worker *worker, weft_stats *out)
{
    /* sync(loan.count): acquire, a lender just made; pairs sync(loan.lender) */
    struct lender *lender = wf_load_acquire(&worker->lender);
    if (lender != NULL) {
        out->loans += wf_load_relaxed(&lender->base.out_count); /* relaxed: a snapshot */
        wf_lock(&lender->base.lock);
        out->loans_awaited += lender->base.waits;
        wf_unlock(&lender->base.lock);
    }
}

/* A thread that gives a loan back is through with the scope before it is through with us; but it
 * holds the lender's lock from before the one until after the other. */
static void wait_for_givers(struct lender *lender)
{
    wf_lock(&lender->base.lock);
    wf_unlock(&lender->base.lock);
}

void wf_loans_stop(struct wf_worker *worker)
{
    struct lender *lender = wf_load_relaxed(&worker->lender); /* relaxed: no task runs any more */
    if (lender != NULL) {
        wf_lock(&all_lock);
        wf_list_unlink(&lender->in_all);
        wf_unlock(&all_lock);
        wait_for_givers(lender);
    }
}

void wf_loans_fini(struct wf_worker *worker)
{
    struct lender *lender = wf_load_relaxed(&worker->lender); /* relaxed: stopped */
    if (lender != NULL) {
        /* relaxed, all: the locks have ordered it, and no operation is in flight */
        wf_check_inner(wf_load_relaxed(&lender->base.spare_count) +
                           wf_load_relaxed(&lender->base.lent_count) ==
                       lender->count);
        wf_check_inner(wf_load_relaxed(&lender->base.out_count) == 0);
        wf_store_relaxed(&worker->lender, NULL);
        wf_asan_unpoison(lender->memory, (size_t)lender->count * lender->bytes);
        (void)wf_sys.unmap(lender->memory, (size_t)lender->count * lender->bytes);
        wf_sys.release(lender);
    }
}

/* --- out and back ----------------------------------------------------------------------------- */

/* The buffer is nobody's: for the next one. Lets go of the lender's lock. LAST TOUCH of the lender
 * on other threads than its worker's: the runtime may stop. */
static void put_locked(struct lender *lender, struct wf_borrowed *buffer)
{
    const struct wf_fiber *self = wf_self();
    bool may_lend = lender->rings && self != NULL && self->worker == lender->worker;
    wf_asan_poison(buffer->data, lender->bytes);
    bool lend = wf_lender_put_(&lender->base, buffer, may_lend);
    wf_unlock(&lender->base.lock);
    if (lend) {
        wf_io_lend(lender->worker, buffer->data, lender->bytes,
                   (uint16_t)(buffer - lender->buffers));
    }
}

static void put(struct wf_borrowed *buffer)
{
    struct lender *lender = lender_of(buffer);
    wf_lock(&lender->base.lock);
    put_locked(lender, buffer);
}

/* The scope whose end gives back what is received under `env`: one around an expression has ended
 * by the time that its value is used. */
static struct wf_scope *owner_of(const struct wf_env *env)
{
    struct wf_scope *scope = env->scope;
    while (scope->is_around_expression) { /* ends: the root is none */
        scope = scope->outer->scope;
    }
    return scope;
}

/* The buffer, with `n` bytes received into it, goes to the task that runs; if it has none (n <= 0)
 * back to the others. `n`. */
static ssize_t let_out(struct wf_borrowed *buffer, ssize_t n, weft_loan *out)
{
    const struct wf_fiber *self = wf_self();
    if (n <= 0) {
        put(buffer);
        return n;
    }
    struct lender *lender = lender_of(buffer);
    wf_asan_unpoison(buffer->data, lender->bytes);
    (void)wf_add_relaxed(&lender->base.out_count, 1); /* relaxed, here and below: for reports */
    *out = (weft_loan){
        .data = buffer->data,
        .bytes = (size_t)n,
        .capacity = lender->bytes,
        .buffer_ = buffer,
        .number_ = wf_borrowed_out(buffer),
    };
    buffer->scope =
        self->env != NULL ? owner_of(self->env) : NULL; /* none: it is dropped at once */
    if (buffer->scope != NULL) {
        wf_lock(&buffer->scope->lock);
        wf_list_push_back(&buffer->scope->loans, &buffer->in_scope);
        wf_unlock(&buffer->scope->lock);
    }
    return n;
}

/* The rest of giving back, under the lender's lock, of which it lets go. */
static void give_locked(struct lender *lender, struct wf_borrowed *buffer)
{
    struct wf_scope *scope = buffer->scope;
    if (scope != NULL) {
        wf_lock(&scope->lock);
        wf_list_unlink(&buffer->in_scope);
        /* LAST TOUCH of the scope, whose end waits until the list is empty */
        wf_unlock(&scope->lock);
    }
    (void)wf_sub_relaxed(&lender->base.out_count, 1);
    put_locked(lender, buffer);
}

void weft_loan_give(weft_loan *loan)
{
    struct wf_borrowed *buffer = loan->buffer_;
    uint64_t number = loan->number_;
    *loan = (weft_loan){0};
    if (buffer == NULL || wf_forked) {
        return;
    }
    struct lender *lender = lender_of(buffer);
    wf_lock(&lender->base.lock);
    if (!wf_borrowed_back(buffer, number)) {
        wf_unlock(&lender->base.lock);
        wf_misuse("weft_loan_give: the buffer %p was given back before, or by the end of its scope",
                  (void *)buffer->data);
        return;
    }
    give_locked(lender, buffer);
}

/* --- kept for later --------------------------------------------------------------------------- */

bool wf_loan_keep(weft_loan *loan, struct wf_kept *kept)
{
    struct wf_borrowed *buffer = loan->buffer_;
    if (buffer == NULL || loan->data != buffer->data) {
        return false; /* a stream's own invention */
    }
    struct wf_scope *root = &((struct weft_rt *)lender_of(buffer)->worker->runtime)->root;
    struct wf_scope *scope = buffer->scope;
    wf_lock(&scope->lock);
    wf_list_unlink(&buffer->in_scope);
    wf_unlock(&scope->lock);
    buffer->scope = root;
    wf_lock(&root->lock);
    wf_list_push_back(&root->loans, &buffer->in_scope);
    wf_unlock(&root->lock);
    *kept = (struct wf_kept){.buffer = buffer, .number = loan->number_};
    *loan = (weft_loan){0};
    return true;
}

/* The lender that has the buffer, locked; NULL: it has gone, with its runtime. */
static struct lender *find_lender(const struct wf_borrowed *buffer)
{
    struct lender *found = NULL;
    wf_lock(&all_lock);
    for (struct wf_list *at = all.next; at != &all && found == NULL; at = at->next) {
        struct lender *lender = wf_container_of(at, struct lender, in_all);
        if ((uintptr_t)buffer >= (uintptr_t)lender->buffers &&
            (uintptr_t)buffer < (uintptr_t)(lender->buffers + lender->count)) {
            found = lender;
        }
    }
    if (found != NULL) { /* from here on the stop waits for us */
        wf_lock(&found->base.lock);
    }
    wf_unlock(&all_lock);
    return found;
}

bool wf_kept_take(const struct wf_kept *kept, void *out, size_t bytes)
{
    if (wf_forked) {
        return false;
    }
    struct wf_borrowed *buffer = kept->buffer;
    struct lender *lender = find_lender(buffer);
    if (lender == NULL) {
        return false;
    }
    if (!wf_borrowed_back(buffer, kept->number)) { /* the runtime stops, and has it */
        wf_unlock(&lender->base.lock);
        return false;
    }
    if (bytes > 0) {
        memcpy(out, buffer->data, bytes);
    }
    give_locked(lender, buffer);
    return true;
}

/* The first loan in the scope's list that nobody is giving back, which is the caller's now; NULL
 * with *busy: that lender's is just being given back; or NULL with NULL: the list is empty. */
static struct wf_borrowed *take_from_scope(struct wf_scope *scope, struct lender **busy)
{
    struct wf_borrowed *found = NULL;
    *busy = NULL;
    wf_lock(&scope->lock);
    for (struct wf_list *at = scope->loans.next; at != &scope->loans && found == NULL;
         at = at->next) {
        struct wf_borrowed *buffer = wf_container_of(at, struct wf_borrowed, in_scope);
        uint64_t number = wf_load_relaxed(&buffer->life); /* relaxed: enlisting has ordered it */
        if ((number & 1) != 0 && wf_borrowed_back(buffer, number)) {
            found = buffer;
        } else {
            *busy = lender_of(buffer);
        }
    }
    if (found != NULL) {
        wf_list_unlink(&found->in_scope);
    }
    wf_unlock(&scope->lock);
    return found;
}

void wf_loans_end(struct wf_scope *scope)
{
    struct wf_borrowed *buffer;
    struct lender *busy;
    /* ends: nobody receives in this scope any more, and each turn takes one out, or waits for who
     * does */
    while ((buffer = take_from_scope(scope, &busy)) != NULL || busy != NULL) {
        if (buffer != NULL) {
            (void)wf_sub_relaxed(&lender_of(buffer)->base.out_count, 1); /* relaxed: for reports */
            put(buffer);
        } else {
            wait_for_givers(busy);
        }
    }
}

/* --- receive ---------------------------------------------------------------------------------- */

/* In the caller's frame, or behind its completion. */
struct receive {
    union {
        struct wf_op op;
        struct {
            unsigned char kept_[offsetof(struct wf_op, queue)];
            struct wf_held held; /* in line: the op has ended */
        };
    };
    weft_loan *out;
    /* the caller's; in one word, so that all of it fits into a completion */
    uint32_t flags : 8; /* checked by set_up before it is set */
    uint32_t most : 24; /* bytes; bounded by what the largest buffer holds */
    union {
        unsigned char
            peek[4]; /* while the op is in flight: one byte, to learn that there is something */
        int line_fd; /* from line_finish on: see stand_in_line */
    };
};

_Static_assert(sizeof(struct receive) == sizeof(struct wf_op) + 16, "in line it takes no more");

static struct receive *receive_of(struct wf_call *call)
{
    return wf_container_of(call->object, struct receive, op);
}

/* Of the worker on whose ring the operation was, or is. */
static struct lender *lender_at(const struct receive *r)
{
    return wf_load_relaxed(&r->op.home->lender); /* relaxed: made before the operation began */
}

/* The op has ended without a buffer, and there is something to be received. */
static bool is_without_buffer(const struct wf_op *op)
{
    return op->offset == 0 && ((op->kind == WF_OP_RECV_LENT && op->res == -ENOBUFS) ||
                               (op->kind == WF_OP_RECV && op->res >= 0));
}

/* -ENOBUFS although the kernel had buffers: of a netlink socket, whose messages it had to drop.
 * (That some were lent only after it had found none may be taken for this, at worst: such a
 * socket's owner asks for all again.) */
static WF_COLD bool is_overrun(const struct wf_op *op, const struct lender *lender)
{
    int domain = AF_UNSPEC;
    socklen_t bytes = sizeof domain;
    /* relaxed: in the order of the completions, see receive_done */
    return op->kind == WF_OP_RECV_LENT && wf_load_relaxed(&lender->base.lent_count) != 0 &&
           wf_sys.call(SYS_getsockopt, op->fd, SOL_SOCKET, SO_DOMAIN, (long)&domain, (long)&bytes,
                       0) == 0 &&
           domain == AF_NETLINK;
}

/* That are received at most. */
static uint32_t bytes_of(const struct receive *r, const struct lender *lender)
{
    return r->most < lender->bytes ? r->most : lender->bytes;
}

/* Into the buffer, which is the caller's, without waiting. */
static long receive_into(const struct receive *r, int fd, const struct wf_borrowed *buffer)
{
    return wf_sys.call(SYS_recvfrom, fd, (long)buffer->data, (long)bytes_of(r, lender_of(buffer)),
                       (long)(r->flags | MSG_DONTWAIT), 0, 0);
}

/* By hand, while the op still counts as one that uses the descriptor (uses.h): so its number means
 * the file that it meant. Without a buffer it goes on in stand_in_line. */
static WF_COLD void receive_by_hand(struct receive *r, struct lender *lender)
{
    struct wf_borrowed *buffer = wf_lender_take(&lender->base);
    if (buffer != NULL) {
        r->op.res = (int32_t)receive_into(r, r->op.fd, buffer);
        r->op.offset = 1 + (uint64_t)(buffer - lender->buffers);
    } else if ((r->flags & MSG_DONTWAIT) != 0) {
        r->op.kind = WF_OP_RECV;
        r->op.res = -EAGAIN;
    }
}

static void receive_done(struct wf_op *op)
{
    struct wf_call *call = wf_container_of((struct wf_wait *)op->waiter, struct wf_call, wait);
    struct lender *lender = wf_load_relaxed(&op->home->lender); /* relaxed: as above */
    if (op->offset != 0) { /* in the order of completions: whoever finds none comes later */
        wf_lender_chosen(&lender->base);
    } else if (wf_unlikely(is_without_buffer(op))) {
        if (is_overrun(op, lender)) {
            op->kind = WF_OP_RECV; /* it has failed, and is not to be begun again */
        } else {
            receive_by_hand(receive_of(call), lender);
        }
    }
    wf_use_end(call, op);
    (void)wf_wait_claim(&call->wait, WF_WAIT_GRANTED); /* LAST TOUCH */
}

static const struct wf_wait_ops receive_ops, line_ops;

/* Of two sockets: their inodes differ. */
static WF_COLD bool is_same_file(int fd, int other)
{
    struct stat about[2];
    return wf_sys.call(SYS_fstat, fd, (long)&about[0], 0, 0, 0, 0) == 0 &&
           wf_sys.call(SYS_fstat, other, (long)&about[1], 0, 0, 0, 0) == 0 &&
           about[0].st_ino == about[1].st_ino && about[0].st_dev == about[1].st_dev;
}

/* `same`: another number of the file that is meant, whose own may have been closed in between, not
 * by weft_close (that `meant` tells), or -1. If so the op does nothing: not to start it is too
 * late, since a weft_close of the next file may have asked for its end. */
static ssize_t begin(struct receive *r, struct wf_call *call, struct wf_work *resume,
                     struct wf_worker *worker, int same)
{
    struct lender *lender = lender_here(worker);
    if (wf_unlikely(lender == NULL)) {
        return -ENOMEM;
    }
    struct wf_op op = {.fd = r->op.fd,
                       .meant = r->op.meant,
                       .bytes = bytes_of(r, lender),
                       .flags = r->flags,
                       .done = receive_done,
                       .waiter = &call->wait};
    if (wf_likely(lender->rings)) {
        lend_spares(lender);
        op.kind = WF_OP_RECV_LENT;
    } else {
        op.kind = WF_OP_RECV;
        op.address = wf_io_address(r->peek);
        op.bytes = 1;
        op.flags |= MSG_PEEK;
    }
    wf_wait_init(&call->wait, resume, &receive_ops);
    call->object = &r->op;
    r->op = op;
    wf_io_prepare(worker, &r->op);
    if (wf_likely(wf_use_begin(call, &r->op))) {
        if (wf_unlikely(same >= 0) && !is_same_file(r->op.fd, same)) {
            r->op.kind = WF_OP_NOP;
            r->op.flags = 0;
        }
        wf_io_start(&r->op);
    } else {
        r->op.kind = WF_OP_RECV;
        wf_io_refuse(&r->op, -EBADF);
        (void)wf_wait_claim(&call->wait, WF_WAIT_GRANTED);
    }
    return WF_PENDING;
}

/* The value is dropped: nobody is to wait for it, or to have what has come. */
static bool is_dropped(void)
{
    return wf_self()->env == NULL;
}

/* For go_on. No codes of the system: a socket may say each (netlink -ENOBUFS). */
#define STAND_IN_LINE ((ssize_t)INT32_MIN + 1)
#define BEGIN_AGAIN   ((ssize_t)INT32_MIN + 2) /* r->line_fd is still open */

/* Bytes in a buffer that was let out; 0; -errno; or for go_on: -EINTR, -EAGAIN: from the beginning;
 * STAND_IN_LINE. */
static ssize_t receive_finish(struct wf_call *call)
{
    struct receive *r = receive_of(call);
    ssize_t result = wf_op_finish(call);
    if (wf_likely(r->op.offset != 0)) {
        return let_out(&lender_at(r)->buffers[r->op.offset - 1], result, r->out);
    }
    if (wf_likely(!is_without_buffer(&r->op))) {
        return wf_likely(r->op.kind != WF_OP_NOP) ? result : -EBADF;
    }
    return is_dropped() ? -ECANCELED : STAND_IN_LINE;
}

static ssize_t line_finish(struct wf_call *call)
{
    struct receive *r = receive_of(call);
    ssize_t result = -ECANCELED;
    wf_unhold(&r->held); /* from here on nobody claims the wait */
    r->line_fd = r->held.own_fd;
    enum wf_wait_state outcome = wf_wait_outcome(&call->wait);
    if (outcome != WF_WAIT_GRANTED) {
        wf_lender_leave(&lender_at(r)->base, &call->place);
        if (outcome == WF_WAIT_SHUT) {
            return -EBADF; /* and has closed our number */
        }
    } else if (is_dropped()) {
        put(call->place.item);
    } else {
        struct wf_borrowed *buffer = call->place.item;
        result = let_out(buffer, receive_into(r, r->line_fd, buffer), r->out);
        if (result == -EAGAIN || result == -EINTR) { /* somebody else has taken the data */
            return BEGIN_AGAIN;
        }
    }
    (void)wf_sys.close(r->line_fd);
    return result;
}

static void loan_discard(struct wf_call *call, ssize_t result)
{
    if (result > 0) {
        weft_loan_give(receive_of(call)->out);
    }
}

/* The call has ended, without a buffer. */
static void end(struct receive *r, struct wf_call *call, struct wf_worker *worker, ssize_t result)
{
    r->op.kind = WF_OP_RECV;
    r->op.offset = 0;
    wf_op_refuse(&r->op, call, worker, &receive_ops, (int32_t)result);
}

/* Begins once more; if that fails, or there is no time left, it has ended so. `line_fd`, unless it
 * is -1, is closed. */
static void begin_again(struct receive *r, struct wf_call *call, struct wf_work *resume,
                        struct wf_worker *worker, int line_fd)
{
    ssize_t rc = wf_io_is_over() ? -ECANCELED : begin(r, call, resume, worker, line_fd);
    if (line_fd >= 0) {
        (void)wf_sys.close(line_fd);
    }
    if (wf_unlikely(rc != WF_PENDING)) {
        end(r, call, worker, rc);
    }
}

/* Another number of the file that is meant; or -errno. */
static int number_for_line(const struct receive *r)
{
    struct wf_held held;
    if (!wf_touch(&held, r->op.fd, r->op.meant)) {
        return -EBADF;
    }
    long fd = wf_sys.call(SYS_fcntl, r->op.fd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
    wf_unhold(&held);
    return (int)fd;
}

/* The kernel had no buffer: one is there by now, or it waits in line. That may be long, so with a
 * number of its own, that keeps the file whoever closes the other one; but weft_close ends it. */
static void stand_in_line(struct receive *r, struct wf_call *call, struct wf_work *resume,
                          struct wf_worker *worker)
{
    struct wf_lender *lender = &lender_at(r)->base;
    int own_fd = number_for_line(r);
    if (own_fd < 0) {
        end(r, call, worker, own_fd);
        return;
    }
    wf_wait_init(&call->wait, resume, &line_ops);
    call->place.wait = &call->wait;
    wf_list_init(&call->place.in_queue);
    if (!wf_hold_in_line(&r->held, r->op.fd, r->op.meant, own_fd, &call->wait)) {
        (void)wf_sys.close(own_fd);
        end(r, call, worker, -EBADF);
        return;
    }
    switch (wf_lender_take_or_wait(lender, &call->place)) {
    case WF_LENDER_GOT:
        if (!wf_wait_claim(&call->wait, WF_WAIT_GRANTED)) {
            put(call->place.item); /* a weft_close was quicker */
        }
        break;
    case WF_LENDER_ASK_KERNEL:
        wf_unhold(&r->held);
        if (wf_wait_claim(&call->wait, WF_WAIT_GRANTED)) {
            begin_again(r, call, resume, worker, own_fd);
        } else {
            end(r, call, worker, -EBADF); /* likewise; it has closed our number */
        }
        break;
    case WF_LENDER_IN_LINE:
        break;
    }
}

/* After a finish with `result`. True: the call has been begun anew. */
static bool go_on(struct receive *r, struct wf_call *call, struct wf_work *resume,
                  struct wf_worker *worker, ssize_t result)
{
    if (result == STAND_IN_LINE) {
        stand_in_line(r, call, resume, worker);
        return true;
    }
    if (result == BEGIN_AGAIN) {
        begin_again(r, call, resume, worker, r->line_fd);
        return true;
    }
    if (result == -EINTR || (result == -EAGAIN && (r->flags & MSG_DONTWAIT) == 0)) {
        begin_again(r, call, resume, worker, -1);
        return true;
    }
    return false;
}

static bool loan_again(struct wf_call *call, ssize_t result)
{
    struct wf_fiber *self = wf_self();
    struct wf_home *home = wf_fiber_home(self);
    if (wf_unlikely(wf_exec_is_loop(home))) {
        (void)wf_exec_lend(self);
    }
    bool again = go_on(receive_of(call), call, NULL, self->worker, result);
    if (wf_unlikely(wf_fiber_home(self) != home)) {
        wf_exec_take_back(self, home);
    }
    return again;
}

static const struct wf_wait_ops receive_ops = {.cancel = wf_op_cancel,
                                               .finish = receive_finish,
                                               .again = loan_again,
                                               .discard = loan_discard,
                                               .name = "weft_recv_loan"};

static const struct wf_wait_ops line_ops = {.cancel = wf_wait_cancel_claim,
                                            .finish = line_finish,
                                            .again = loan_again,
                                            .discard = loan_discard,
                                            .name = "weft_recv_loan (all buffers are lent)"};

/* 0 or -EINVAL. */
static int set_up(struct receive *r, int fd, uint32_t meant, weft_loan *out, size_t most, int flags)
{
    *out = (weft_loan){0};
    r->op.fd = fd;
    r->op.meant = meant;
    r->out = out;
    if ((flags & ~(MSG_DONTWAIT | MSG_PEEK)) != 0 || most == 0) {
        return -EINVAL;
    }
    r->flags = (uint32_t)flags & 0xff;
    r->most = most < WEFT_LOAN_BYTES_MAX ? (uint32_t)most : WEFT_LOAN_BYTES_MAX;
    return 0;
}

static ssize_t receive(int fd, uint32_t meant, weft_loan *out, size_t most, int flags);

/* From a loop, which has no ring: to the pool and back. */
static WF_COLD ssize_t receive_elsewhere(struct wf_fiber *self, int fd, uint32_t meant,
                                         weft_loan *out, size_t most, int flags)
{
    struct wf_home *home = wf_exec_lend(self);
    ssize_t result = receive(fd, meant, out, most, flags);
    wf_exec_take_back(self, home);
    return result;
}

static ssize_t receive(int fd, uint32_t meant, weft_loan *out, size_t most, int flags)
{
    struct receive r;
    int bad = set_up(&r, fd, meant, out, most, flags);
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL || bad < 0) {
        return self == NULL ? rc : bad;
    }
    if (wf_unlikely(wf_exec_is_loop(wf_fiber_home(self)))) {
        return receive_elsewhere(self, fd, meant, out, most, flags);
    }
    struct wf_call call;
    ssize_t result = wf_call_end(self, &call, begin(&r, &call, &self->resume, self->worker, -1));
    while (wf_unlikely(go_on(&r, &call, &self->resume, self->worker, result))) {
        result = wf_call_block(self, &call); /* ends: as io_again; who waits in line is served */
    }
    return result;
}

ssize_t weft_recv_loan_max(int fd, weft_loan *out, size_t most, int flags)
{
    return receive(fd, 0, out, most, flags);
}

ssize_t wf_recv_loan_meant(int fd, uint32_t meant, weft_loan *out, size_t most)
{
    return receive(fd, meant, out, most, 0);
}

ssize_t weft_recv_loan(int fd, weft_loan *out, int flags)
{
    return weft_recv_loan_max(fd, out, SIZE_MAX, flags);
}

struct loan_value {
    struct wf_value value;
    struct receive receive;
};

_Static_assert(sizeof(struct loan_value) <= 256, "pool.c, value_bytes");

static WF_COLD weft_val begin_elsewhere(struct wf_fiber *self, int fd, weft_loan *out, int flags,
                                        const weft_place *place)
{
    struct wf_home *home = wf_exec_lend(self);
    weft_val val = weft_recv_loan_v_(fd, out, flags, place);
    wf_exec_take_back(self, home);
    return val;
}

weft_val weft_recv_loan_v_(int fd, weft_loan *out, int flags, const weft_place *place)
{
    struct wf_fiber *self = wf_self();
    if (wf_unlikely(self != NULL && wf_exec_is_loop(wf_fiber_home(self)))) {
        return begin_elsewhere(self, fd, out, flags, place);
    }
    struct wf_begun b;
    if (!wf_v_begin(&b, WF_V_OP, place)) {
        *out = (weft_loan){0};
        return b.val;
    }
    struct receive *r = &wf_container_of(b.value, struct loan_value, value)->receive;
    int rc = set_up(r, fd, 0, out, SIZE_MAX, flags);
    return wf_v_end(&b, rc < 0 ? rc : begin(r, b.call, NULL, b.self->worker, -1));
}
