/* attempt.c: see attempt.h.
 *
 * The roads not taken. A descriptor of our own for the same file (dup) shares its flags with the
 * program's. SO_RCVTIMEO on a listener, to keep accept from waiting, is inherited by what it
 * accepts. MSG_FASTOPEN, to connect without waiting, sends something else than connect does. */
#include "io/attempt.h"
#include "io/parts.h"
#include "pool/base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

/* How long somebody who wants to accept spins while another does. An accept takes 1 to 2 us. */
#define ACCEPT_SPINS 100
/* Connections taken in a row, before others have their turn. */
#define ACCEPTS_MAX 32

/* Descriptor flags, or -errno. */
static long flags_of(const struct wf_op *op)
{
    return wf_sys.call(SYS_fcntl, op->fd, F_GETFL, 0, 0, 0, 0);
}

/* Those of `events` that are there now, with POLLERR and POLLHUP; or -errno. */
static long ready_now(int fd, uint32_t events)
{
    struct pollfd one = {.fd = fd, .events = (short)events};
    struct timespec zero = {0};
    if (fd < 0) {
        return -EBADF; /* which poll would ignore */
    }
    long rc = wf_sys.call(SYS_ppoll, (long)&one, 1, (long)&zero, 0, 0, 0);
    if (rc < 0) {
        return rc;
    }
    return (one.revents & POLLNVAL) != 0 ? -EBADF : (unsigned short)one.revents;
}

static long option_of(int fd, int option, int *value)
{
    socklen_t bytes = sizeof *value;
    return wf_sys.call(SYS_getsockopt, fd, SOL_SOCKET, option, (long)value, (long)&bytes, 0);
}

/* --- read, write ------------------------------------------------------------------------------ */

static bool reads(const struct wf_op *op)
{
    return op->kind == WF_OP_READ || op->kind == WF_OP_READV;
}

/* The buffers of the op: several, or one, which is put into `one`. How many. */
static size_t parts_of(const struct wf_op *op, struct iovec *one, const struct iovec **parts)
{
    if (op->kind == WF_OP_READV || op->kind == WF_OP_WRITEV) {
        *parts = (const struct iovec *)(uintptr_t)op->address;
        return op->bytes;
    }
    *one = (struct iovec){.iov_base = (void *)(uintptr_t)op->address, .iov_len = op->bytes};
    *parts = one;
    return 1;
}

static long transfer_waiting(const struct wf_op *op)
{
    struct iovec one;
    struct iovec window[WF_PARTS_WINDOW];
    const struct iovec *parts;
    size_t count = parts_of(op, &one, &parts);
    if (op->asked == WF_ASKED_READY && !reads(op) && wf_parts_bytes(parts, count) > PIPE_BUF) {
        /* what a pipe that is ready has room for: more might wait for long */
        count = (size_t)wf_parts_after(parts, count, 0, PIPE_BUF, window);
        parts = window;
    }
    if (op->offset != UINT64_MAX) {
        /* the offset's upper half has a register of its own, which 64-bit kernels ignore */
        long n = wf_sys.call(reads(op) ? SYS_preadv : SYS_pwritev, op->fd, (long)parts, (long)count,
                             (long)op->offset, 0, 0);
        if (n != -ESPIPE) {
            return n;
        }
        /* what has no positions: io_uring ignores the offset there */
    }
    return wf_sys.call(reads(op) ? SYS_readv : SYS_writev, op->fd, (long)parts, (long)count, 0, 0,
                       0);
}

/* -EAGAIN: it would wait. -EOPNOTSUPP: neither the descriptor nor, perhaps, the kernel can say
 * so. */
static long transfer_now(const struct wf_op *op)
{
    struct iovec one;
    const struct iovec *parts;
    size_t count = parts_of(op, &one, &parts);
    /* no offset: this is no file */
    long n = wf_sys.call(reads(op) ? SYS_preadv2 : SYS_pwritev2, op->fd, (long)parts, (long)count,
                         -1, 0, RWF_NOWAIT);
    return n == -ENOSYS ? -EOPNOTSUPP : n;
}

/* For a file there is no waiting, only a call that takes its time. Devices with positions count. */
static long is_file(const struct wf_op *op)
{
    struct stat about;
    long rc = wf_sys.call(SYS_fstat, op->fd, (long)&about, 0, 0, 0, 0);
    return rc < 0 ? rc
                  : S_ISREG(about.st_mode) || S_ISBLK(about.st_mode) || S_ISDIR(about.st_mode) ||
                        (S_ISCHR(about.st_mode) && op->offset != UINT64_MAX);
}

/* What does not know RWF_NOWAIT: a terminal, a FIFO or the like. Once ready it is left to a thread,
 * because two may find the same input ready; unless it says itself that nobody is to wait. */
static long transfer_unflagged(struct wf_op *op, bool ready)
{
    if (!ready) {
        long events = ready_now(op->fd, wf_op_events(op));
        if (events <= 0) {
            return events < 0 ? events : WF_TRY_BLOCKS;
        }
    }
    op->asked = WF_ASKED_READY;
    long flags = flags_of(op);
    return flags >= 0 && (flags & O_NONBLOCK) != 0 ? transfer_waiting(op) : WF_TRY_THREAD;
}

static long try_transfer(struct wf_op *op, bool ready)
{
    long rc = ready ? 0 : is_file(op);
    if (rc != 0) {
        return rc < 0 ? rc : WF_TRY_THREAD; /* what its cache has, src/file.c has looked for */
    }
    long n = transfer_now(op);
    if (n == -EOPNOTSUPP) {
        n = transfer_unflagged(op, ready);
    }
    return n == -EAGAIN ? WF_TRY_BLOCKS : n;
}

/* --- sockets ---------------------------------------------------------------------------------- */

static const struct msghdr *message_of(const struct wf_op *op)
{
    return (const struct msghdr *)(uintptr_t)op->address;
}

static bool is_message(const struct wf_op *op)
{
    return op->kind == WF_OP_SENDMSG || op->kind == WF_OP_RECVMSG;
}

static bool receives(const struct wf_op *op)
{
    return op->kind == WF_OP_RECV || op->kind == WF_OP_RECVMSG;
}

/* Of all that the op is to move. */
static long bytes_of(const struct wf_op *op)
{
    if (!is_message(op)) {
        return op->bytes;
    }
    size_t bytes = wf_parts_bytes(message_of(op)->msg_iov, message_of(op)->msg_iovlen);
    return bytes < INT32_MAX ? (long)bytes : INT32_MAX;
}

/* Does MSG_WAITALL mean to go on after `moved` more bytes? With ancillary data a message ends where
 * that does, as recvmsg has it. */
static bool wants_rest(const struct wf_op *op, long moved)
{
    int type;
    return (op->flags & MSG_WAITALL) != 0 && (op->flags & MSG_PEEK) == 0 && moved > 0 &&
           !(is_message(op) && message_of(op)->msg_control != NULL) &&
           moved < bytes_of(op) - op->res && option_of(op->fd, SO_TYPE, &type) == 0 &&
           (type == SOCK_STREAM || type == SOCK_SEQPACKET);
}

/* A datagram socket that was shut down gives 0 bytes to who waits, -EAGAIN to who does not, and is
 * ready all the time: whoever asked again would ask for ever. */
static bool is_shut(const struct wf_op *op)
{
    long events = ready_now(op->fd, POLLRDHUP);
    return events > 0 && (events & POLLRDHUP) != 0;
}

/* A message whose first bytes have been moved: the rest of them, with nothing besides. */
static long move_rest(const struct wf_op *op, long number, long flags)
{
    struct iovec window[WF_PARTS_WINDOW];
    struct msghdr rest = {.msg_iov = window};
    rest.msg_iovlen = (size_t)wf_parts_after(message_of(op)->msg_iov, message_of(op)->msg_iovlen,
                                             (size_t)op->res, INT32_MAX, window);
    return wf_sys.call(number, op->fd, (long)&rest, flags, 0, 0, 0);
}

static long move(const struct wf_op *op, long flags)
{
    if (is_message(op)) {
        long number = receives(op) ? SYS_recvmsg : SYS_sendmsg;
        return op->res > 0 ? move_rest(op, number, flags)
                           : wf_sys.call(number, op->fd, (long)op->address, flags, 0, 0, 0);
    }
    return wf_sys.call(receives(op) ? SYS_recvfrom : SYS_sendto, op->fd,
                       (long)op->address + op->res, (long)op->bytes - op->res, flags, 0, 0);
}

static long try_move(struct wf_op *op, bool ready)
{
    bool shut = false;
    long flags = (long)((op->flags & ~(uint32_t)MSG_WAITALL) | MSG_DONTWAIT);
    for (;;) { /* ends: with the bytes, or the result; at the end of a shut one the second time */
        long n = move(op, flags);
        if (n == -EAGAIN && (op->flags & MSG_DONTWAIT) == 0) {
            if (shut) {
                return op->res; /* nothing had come before the end */
            }
            shut = ready && receives(op) && is_shut(op);
            if (shut) {
                continue;
            }
            return WF_TRY_BLOCKS;
        }
        if (n < 0) {
            return op->res > 0 ? op->res
                               : n; /* an error after some bytes will be the next call's */
        }
        if (!wants_rest(op, n)) {
            return op->res + n;
        }
        op->res += (int32_t)n;
    }
}

/* One at a time: a connection that poll has seen is not taken by another worker of ours before
 * accept4, which would then wait if the listener has no O_NONBLOCK. (Another process may take it: a
 * listener that is shared with others needs the flag, as <weft/io.h> says.) */
static WF_ATOMIC(uint32_t) accepting;

static bool accept_begin(void)
{
    for (int i = 0; i < ACCEPT_SPINS; i++) {
        /* sync(accept.begin): acquire, comes after the former one's accept4; pairs
         * sync(accept.end) */
        if (wf_xchg_acquire(&accepting, 1) == 0) {
            return true;
        }
        wf_cpu_relax();
    }
    return false;
}

static void accept_end(void)
{
    /* sync(accept.end): release, our accept4 has happened; pairs sync(accept.begin) */
    wf_store_release(&accepting, 0);
}

static long try_accept(const struct wf_op *op)
{
    if ((op->flags & ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) {
        return -EINVAL; /* at once, and not when somebody comes */
    }
    long flags = flags_of(op);
    if (flags < 0) {
        return flags;
    }
    bool waits = (flags & O_NONBLOCK) == 0;
    if (waits && !accept_begin()) {
        return WF_TRY_BLOCKS; /* still ready, if it is: we shall be told at once */
    }
    long rc = -EAGAIN;
    int listens = 1;
    if (waits) {
        long asked = option_of(op->fd, SO_ACCEPTCONN, &listens);
        rc = asked < 0 ? asked : listens == 0 ? 1 : ready_now(op->fd, POLLIN);
        rc = rc == 0 ? -EAGAIN : rc;
    }
    if (!waits || rc > 0) { /* on what does not listen it fails at once */
        rc = wf_sys.call(SYS_accept4, op->fd, (long)op->address, (long)op->offset, op->flags, 0, 0);
    }
    if (waits) {
        accept_end();
    }
    return rc == -EAGAIN ? WF_TRY_BLOCKS : rc;
}

/* As many as may be there; each is handed over. */
static long try_accept_many(struct wf_op *op)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        long rc = try_accept(op);
        if (rc < 0) {
            return rc; /* WF_TRY_BLOCKS too */
        }
        op->more(op, (int32_t)rc);
    }
    return WF_TRY_BLOCKS; /* is ready again at once */
}

static long connect_now(const struct wf_op *op)
{
    return wf_sys.call(SYS_connect, op->fd, (long)op->address, (long)op->offset, 0, 0, 0);
}

static long connected(int fd)
{
    long rc = ready_now(fd, POLLOUT);
    if (rc == 0) {
        return WF_TRY_BLOCKS;
    }
    int error = 0;
    rc = rc < 0 ? rc : option_of(fd, SO_ERROR, &error);
    return rc < 0 ? rc : -error;
}

static long try_connect(struct wf_op *op)
{
    if (op->asked == WF_ASKED_CONNECT) {
        return connected(op->fd);
    }
    long flags = flags_of(op);
    if (flags < 0) {
        return flags;
    }
    if ((flags & O_NONBLOCK) == 0) {
        return WF_TRY_THREAD;
    }
    long rc = connect_now(op);
    if (rc == -EINPROGRESS) {
        op->asked = WF_ASKED_CONNECT;
        return WF_TRY_BLOCKS;
    }
    return rc;
}

/* With a time limit of one tick of the kernel's clock for sending, which connect obeys: then the
 * connection goes on being made, and can be waited for without a thread. A socket that is being
 * connected sends nothing, so nobody else notices. A Unix socket whose peer's queue is full says
 * -EAGAIN and has to ask again. */
static long run_connect(struct wf_op *op)
{
    struct timeval former = {0};
    struct timeval tick = {.tv_usec = 1};
    socklen_t bytes = sizeof former;
    long rc = wf_sys.call(SYS_getsockopt, op->fd, SOL_SOCKET, SO_SNDTIMEO, (long)&former,
                          (long)&bytes, 0);
    if (rc < 0) {
        return rc;
    }
    (void)wf_sys.call(SYS_setsockopt, op->fd, SOL_SOCKET, SO_SNDTIMEO, (long)&tick, sizeof tick, 0);
    do { /* ends: the peer takes it, or goes away; or somebody cancels */
        rc = connect_now(op);
        /* relaxed: a hint, seen soon */
    } while (rc == -EAGAIN && wf_load_relaxed(&op->race) == WF_OP_OPEN);
    (void)wf_sys.call(SYS_setsockopt, op->fd, SOL_SOCKET, SO_SNDTIMEO, (long)&former, sizeof former,
                      0);
    return rc == -EAGAIN ? -ECANCELED : rc;
}

/* --- all -------------------------------------------------------------------------------------- */

long wf_op_try(struct wf_op *op, bool ready)
{
    switch ((enum wf_op_kind)op->kind) {
    case WF_OP_NOP:
        return op->flags == 0 ? 0 : -EINVAL;
    case WF_OP_READ:
    case WF_OP_WRITE:
    case WF_OP_READV:
    case WF_OP_WRITEV:
        return try_transfer(op, ready);
    case WF_OP_ACCEPT:
        return try_accept(op);
    case WF_OP_ACCEPT_MANY:
        return try_accept_many(op);
    case WF_OP_CONNECT:
        return try_connect(op);
    case WF_OP_SEND:
    case WF_OP_RECV:
    case WF_OP_SENDMSG:
    case WF_OP_RECVMSG:
        return try_move(op, ready);
    case WF_OP_POLL: {
        long events = ready_now(op->fd, wf_op_events(op));
        return events == 0 ? WF_TRY_BLOCKS : events;
    }
    case WF_OP_SHUTDOWN:
        return wf_sys.shutdown(op->fd, (int)op->bytes);
    case WF_OP_RECV_LENT:
        return -EINVAL; /* nobody lends to us: wf_io_lend_begin */
    case WF_OP_OPENAT:
    case WF_OP_OPENAT2:
    case WF_OP_CLOSE:
    case WF_OP_FSYNC:
    case WF_OP_STATX:
    case WF_OP_KINDS:
        break;
    }
    return WF_TRY_THREAD;
}

long wf_op_run(struct wf_op *op)
{
    switch ((enum wf_op_kind)op->kind) {
    case WF_OP_READ:
    case WF_OP_WRITE:
    case WF_OP_READV:
    case WF_OP_WRITEV:
        return transfer_waiting(op);
    case WF_OP_OPENAT:
        return wf_sys.call(SYS_openat, op->fd, (long)op->address, op->flags, op->bytes, 0, 0);
    case WF_OP_OPENAT2:
        return wf_sys.call(SYS_openat2, op->fd, (long)op->address, (long)op->offset, op->bytes, 0,
                           0);
    case WF_OP_CLOSE:
        return wf_sys.close(op->fd);
    case WF_OP_FSYNC:
        return wf_sys.call((op->flags & WF_FSYNC_DATA) != 0 ? SYS_fdatasync : SYS_fsync, op->fd, 0,
                           0, 0, 0, 0);
    case WF_OP_STATX:
        return wf_sys.call(SYS_statx, op->fd, (long)op->address, op->flags, op->bytes,
                           (long)op->offset, 0);
    case WF_OP_CONNECT:
        return run_connect(op);
    default:
        return -EINVAL; /* the others are never sent to a thread */
    }
}

uint32_t wf_op_events(const struct wf_op *op)
{
    switch ((enum wf_op_kind)op->kind) {
    case WF_OP_WRITE:
    case WF_OP_WRITEV:
    case WF_OP_SEND:
    case WF_OP_SENDMSG:
    case WF_OP_CONNECT:
        return POLLOUT;
    case WF_OP_RECV:
    case WF_OP_RECVMSG:
        return (op->flags & MSG_OOB) != 0 ? POLLPRI : POLLIN;
    case WF_OP_POLL:
        return op->flags | POLLRDHUP; /* which io_uring gives unasked, like POLLERR and POLLHUP */
    default:
        return POLLIN;
    }
}
