/* file.c: the calls of <weft/io.h> on files and pipes, and on what else can be read and written.
 *
 * Reads try the page cache first, with preadv2(RWF_NOWAIT), on the task's own stack: 570 ns for 4
 * KiB against 950 and two switches through the ring. A file system in memory refuses the flag, but
 * has nothing to wait for: it is read at once, 1 us against 26 by a thread of the ring. Writes,
 * fsync, open and statx go through the ring, where the kernel's own threads do them; but not writes
 * at a regular file's own position, which the ring takes without the lock that write(2) has: of two
 * at once one would be written over the other. A thread of ours calls write(2). close ends
 * what uses the descriptor (uses.h), and is then a plain system call: an operation on its way could
 * be cancelled, and then the descriptor would leak.
 *
 * errno: the functions here that make system calls leave it as it was, and do not suspend between
 * reading and writing it (its address differs by thread, and compilers keep it). */
#include "pool/base/sys.h"
#include "src/io_value.h"
#include "src/net.h"
#include "src/uses.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <weft/file.h>

#define POSITION_OWN UINT64_MAX /* op.h: the file's own position */

ssize_t wf_io_await(struct wf_op *op)
{
    ssize_t result;
    /* ends: a cancelled operation gives -ECANCELED (op.h, G.3), and signals come one at a time */
    do {
        result = wf_await_op(op);
        if (wf_likely(result != -EINTR)) {
            return result;
        }
    } while (!wf_io_is_over());
    return -ECANCELED;
}

ssize_t wf_io_await_step(struct wf_op *op)
{
    ssize_t result = wf_io_await(op);
    return wf_likely(op->fd != WF_FD_CLOSED) ? result : -EBADF;
}

/* --- reading and writing ---------------------------------------------------------------------- */

ssize_t wf_io_await_events(int fd, uint32_t meant, uint32_t events, int *vain)
{
    if (wf_io_is_over()) { /* it has been tried, and is not to wait */
        return -ECANCELED;
    }
    struct wf_op poll = {.kind = WF_OP_POLL, .fd = fd, .meant = meant, .flags = events};
    ssize_t result = wf_io_await_step(&poll);
    return result >= 0 && wf_io_is_vain(vain, (uint32_t)result, events) ? weft_sleep(WF_IO_REST_NS)
                                                                        : result;
}

/* An operation on a file that is open with O_NONBLOCK says -EAGAIN, which a caller of ours has not
 * asked for. */
static ssize_t await_ready(struct wf_op *op, uint32_t events)
{
    int vain = 0;
    for (;;) { /* ends: with the operation, or a wait that fails */
        ssize_t result = wf_io_await(op);
        if (wf_likely(result != -EAGAIN)) {
            return result;
        }
        result = wf_io_await_events(op->fd, op->meant, events, &vain);
        if (result < 0) {
            return result;
        }
    }
}

static struct wf_op transfer_op(enum wf_op_kind kind, int fd, uint32_t meant, const void *buffer,
                                size_t bytes, uint64_t offset)
{
    return (struct wf_op){
        .kind = (uint8_t)kind,
        .fd = fd,
        .meant = meant,
        .address = wf_io_address(buffer),
        .bytes = wf_io_bytes(bytes),
        .offset = offset,
    };
}

/* Its type alone, as it is known here: for its times a network's file system would first write what
 * is dirty, and ask its server. */
bool wf_io_is_regular(int fd)
{
    struct statx about;
    return wf_sys.call(SYS_statx, fd, (long)"", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE,
                       (long)&about, 0) == 0 &&
           S_ISREG(about.stx_mode);
}

bool wf_io_is_for_thread(int fd)
{
    long flags = wf_io_is_regular(fd) ? wf_sys.call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0) : O_APPEND;
    return flags >= 0 && (flags & O_APPEND) == 0;
}

struct wf_thread_call wf_write_call(int number, int fd, uint32_t meant, const void *what, long much)
{
    struct wf_thread_call call = WF_THREAD_CALL(number, WF_FD_ARG(0), fd, (long)what, much);
    call.meant[0] = meant;
    call.line = fd + 1;
    return call;
}

static struct wf_thread_call write_call(int fd, uint32_t meant, const void *buffer, size_t bytes)
{
    return wf_write_call(SYS_write, fd, meant, buffer, (long)wf_io_bytes(bytes));
}

static ssize_t transfer(enum wf_op_kind kind, int fd, uint32_t meant, const void *buffer,
                        size_t bytes, uint64_t offset)
{
    if (kind == WF_OP_WRITE && offset == POSITION_OWN && wf_io_is_for_thread(fd)) {
        struct wf_thread_call call = write_call(fd, meant, buffer, bytes);
        return wf_thread_await(&call);
    }
    struct wf_op op = transfer_op(kind, fd, meant, buffer, bytes, offset);
    return await_ready(&op, kind == WF_OP_READ ? POLLIN : POLLOUT);
}

/* With O_DIRECT there is no cache, and RWF_NOWAIT waits for the disk all the same (Linux 6.18 does
 * not even refuse memory that is not aligned). So whether a file is open like that has to be known
 * before, and asking is a system call, 170 ns of 1,000. The answer is kept in the descriptor's slot
 * (uses.h), for WF_ANSWER_READS reads:
 *
 *     number within the slot (the bits from ANSWER_NUMBER on) | ANSWER_DIRECT | reads that it is
 *     good for
 *
 * weft_close forgets it. Behind the back of that (close, dup2, fcntl) it is wrong for the rest of
 * its reads: a direct file's then wait for the disk in place, as pread does, and another one's go
 * through the ring. The bytes are the same. */
#define WF_ANSWER_READS 32 /* 5 ns each; by two workers at once some more */
#define ANSWER_LEFT     0x3fU
#define ANSWER_DIRECT   0x40U
#define ANSWER_NUMBER   7

_Static_assert(WF_ANSWER_READS <= ANSWER_LEFT && INT_MAX / WF_USE_SLOTS < 1 << (32 - ANSWER_NUMBER),
               "an answer is one word");

static WF_COLD bool ask_direct(int fd, struct wf_use_slot *slot, uint32_t number)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        return true; /* the ring says why */
    }
    uint32_t direct = (flags & O_DIRECT) != 0 ? ANSWER_DIRECT : 0;
    /* relaxed, as below: the word is all there is, and an older answer is a few reads longer
     * there */
    wf_store_relaxed(&slot->known, number | direct | WF_ANSWER_READS);
    return direct != 0;
}

static bool is_direct(int fd)
{
    struct wf_use_slot *slot = wf_use_slot(fd);
    uint32_t number = ((uint32_t)fd / WF_USE_SLOTS) << ANSWER_NUMBER;
    uint32_t answer = wf_load_relaxed(&slot->known);
    if (wf_unlikely((answer & ANSWER_LEFT) == 0 ||
                    answer >> ANSWER_NUMBER << ANSWER_NUMBER != number)) {
        return ask_direct(fd, slot, number);
    }
    wf_store_relaxed(&slot->known, answer - 1);
    return (answer & ANSWER_DIRECT) != 0;
}

/* Only what is read in whole sectors to aligned memory can be. */
static bool may_be_direct(int fd, const void *buffer, size_t bytes, uint64_t offset)
{
    enum { SECTOR = 512 };
    uint64_t position = offset != POSITION_OWN ? offset : 0;
    return (((uintptr_t)buffer | bytes | position) % SECTOR) == 0 && is_direct(fd);
}

/* A regular file whose data is nowhere but in memory. It may have been swapped out, as the caller's
 * own buffer may. (devtmpfs has the same magic: its devices are no regular files.) */
static bool is_in_memory(int fd)
{
    enum { TMPFS = 0x01021994 }; /* linux/magic.h; memfd too */
    struct statfs about;
    return wf_io_is_regular(fd) && fstatfs(fd, &about) == 0 && about.f_type == TMPFS;
}

/* What can be read without waiting: bytes, or -ESPIPE, which the ring would not say; or -EAGAIN for
 * all else: ask the ring, which waits or knows the error. */
static WF_NOINLINE ssize_t read_now(int fd, void *buffer, size_t bytes, uint64_t offset)
{
    int saved = errno;
    ssize_t n = -EAGAIN;
    if (!may_be_direct(fd, buffer, bytes, offset)) {
        bytes = wf_io_bytes(bytes);
        n = wf_sys.pread_flags(fd, buffer, bytes, (int64_t)offset, RWF_NOWAIT);
        if (n == -EOPNOTSUPP && is_in_memory(fd)) {
            n = wf_sys.pread_flags(fd, buffer, bytes, (int64_t)offset, 0);
        }
        if (n < 0 && n != -ESPIPE) {
            n = -EAGAIN;
        }
    }
    errno = saved;
    return n;
}

/* fewer bytes than asked for: the end of what the cache has, or of what there is? */
static WF_NOINLINE bool may_have_more(int fd, uint64_t offset)
{
    return offset != POSITION_OWN || wf_io_is_regular(fd);
}

/* read_now as a later step of a call, which must not read from the number's next file. */
static ssize_t read_now_meant(int fd, uint32_t meant, void *buffer, size_t bytes, uint64_t offset)
{
    struct wf_held held;
    if (!wf_touch(&held, fd, meant)) {
        return -EBADF;
    }
    ssize_t n = read_now(fd, buffer, bytes, offset);
    wf_unhold(&held);
    return n;
}

/* The rest of a regular file's read of which only the beginning was in the cache: `done` bytes of
 * `bytes`. `meant` 0: nobody knows of which file these are (see read_at); so from the beginning. */
static WF_COLD ssize_t read_rest(int fd, uint32_t meant, char *buffer, size_t bytes, size_t done,
                                 uint64_t offset)
{
    ssize_t n = 1;
    if (meant == 0 && offset != POSITION_OWN) {
        meant = wf_use_meant(fd);
        done = 0;
    }
    while (n > 0 && done < bytes) { /* ends: grows, or the end of the file */
        uint64_t at = offset != POSITION_OWN ? offset + done : POSITION_OWN;
        n = read_now_meant(fd, meant, buffer + done, bytes - done, at);
        if (n == -EAGAIN) {
            n = transfer(WF_OP_READ, fd, meant, buffer + done, bytes - done, at);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    /* an error after some bytes will be the next call's */
    return done > 0 || n == 0 ? (ssize_t)done : n;
}

/* A call's first step needs no touch, for nothing was done at another file. Nor need it note what
 * is meant before it reads, unless the file's position moves by that (7 instructions of 192). */
WF_INLINE ssize_t read_at(int fd, uint32_t meant, bool is_first, void *buffer, size_t bytes,
                          uint64_t offset)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    bytes = wf_io_bytes(bytes);
    ssize_t n = is_first ? read_now(fd, buffer, bytes, offset)
                         : read_now_meant(fd, meant, buffer, bytes, offset);
    if (n == -EAGAIN) {
        return transfer(WF_OP_READ, fd, meant, buffer, bytes, offset);
    }
    wf_spend_budget(self);
    if (wf_unlikely(n > 0 && (size_t)n < bytes && may_have_more(fd, offset))) {
        return read_rest(fd, meant, buffer, bytes, (size_t)n, offset);
    }
    return n;
}

ssize_t wf_read_meant(int fd, uint32_t meant, void *buffer, size_t bytes, uint64_t offset)
{
    return read_at(fd, meant, false, buffer, bytes, offset);
}

ssize_t wf_write_meant(int fd, uint32_t meant, const void *buffer, size_t bytes, uint64_t offset)
{
    return transfer(WF_OP_WRITE, fd, meant, buffer, bytes, offset);
}

ssize_t weft_read(int fd, void *buffer, size_t bytes)
{
    return read_at(fd, wf_use_meant(fd), true, buffer, bytes, POSITION_OWN);
}

ssize_t weft_pread(int fd, void *buffer, size_t bytes, int64_t offset)
{
    return offset < 0 ? -EINVAL : read_at(fd, 0, true, buffer, bytes, (uint64_t)offset);
}

ssize_t weft_write(int fd, const void *buffer, size_t bytes)
{
    return transfer(WF_OP_WRITE, fd, 0, buffer, bytes, POSITION_OWN);
}

ssize_t weft_pwrite(int fd, const void *buffer, size_t bytes, int64_t offset)
{
    return offset < 0 ? -EINVAL : transfer(WF_OP_WRITE, fd, 0, buffer, bytes, (uint64_t)offset);
}

/* As read_at, without waiting: a rest that is not in the cache is left to the ring. */
static weft_val read_at_v(int fd, void *buffer, size_t bytes, uint64_t offset,
                          const weft_place *place)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return wf_val_done(rc, place);
    }
    bytes = wf_io_bytes(bytes);
    uint32_t meant = wf_use_meant(fd);
    ssize_t n = read_now(fd, buffer, bytes, offset);
    bool waits = n == -EAGAIN;
    if (!waits && (n <= 0 || (size_t)n == bytes || !may_have_more(fd, offset))) {
        return wf_val_done(n, place);
    }
    size_t done = waits ? 0 : (size_t)n;
    struct wf_op op = transfer_op(WF_OP_READ, fd, meant, (char *)buffer + done, bytes - done,
                                  offset != POSITION_OWN ? offset + done : POSITION_OWN);
    return wf_io_v(&op, done, place);
}

weft_val weft_read_v_(int fd, void *buffer, size_t bytes, const weft_place *place)
{
    return read_at_v(fd, buffer, bytes, POSITION_OWN, place);
}

weft_val weft_pread_v_(int fd, void *buffer, size_t bytes, int64_t offset, const weft_place *place)
{
    return offset < 0 ? wf_val_done(-EINVAL, place)
                      : read_at_v(fd, buffer, bytes, (uint64_t)offset, place);
}

weft_val weft_write_v_(int fd, const void *buffer, size_t bytes, const weft_place *place)
{
    if (wf_io_is_for_thread(fd)) {
        struct wf_thread_call call = write_call(fd, 0, buffer, bytes);
        return wf_thread_v(&call, place);
    }
    struct wf_op op = transfer_op(WF_OP_WRITE, fd, 0, buffer, bytes, POSITION_OWN);
    return wf_io_v(&op, 0, place);
}

weft_val weft_pwrite_v_(int fd, const void *buffer, size_t bytes, int64_t offset,
                        const weft_place *place)
{
    if (offset < 0) {
        return wf_val_done(-EINVAL, place);
    }
    struct wf_op op = transfer_op(WF_OP_WRITE, fd, 0, buffer, bytes, (uint64_t)offset);
    return wf_io_v(&op, 0, place);
}

/* --- files as a whole ------------------------------------------------------------------------- */

static struct wf_op open_op(int dirfd, const char *path, int flags, mode_t mode)
{
    return (struct wf_op){
        .kind = WF_OP_OPENAT,
        .fd = dirfd,
        .address = wf_io_address(path),
        .bytes = mode,
        .flags = (uint32_t)flags | O_CLOEXEC,
    };
}

int weft_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    struct wf_op op = open_op(dirfd, path, flags, mode);
    return (int)wf_io_await(&op);
}

int weft_open(const char *path, int flags, mode_t mode)
{
    return weft_openat(AT_FDCWD, path, flags, mode);
}

weft_val weft_openat_v_(int dirfd, const char *path, int flags, mode_t mode,
                        const weft_place *place)
{
    struct wf_op op = open_op(dirfd, path, flags, mode);
    return wf_io_v(&op, 0, place);
}

weft_val weft_open_v_(const char *path, int flags, mode_t mode, const weft_place *place)
{
    return weft_openat_v_(AT_FDCWD, path, flags, mode, place);
}

/* Another number for a socket whose close(2) may take its time, so that the first one is free at
 * once and only a thread waits; -1: it does not, or there is none to be had. */
static int number_to_linger(int fd)
{
    struct linger linger = {0};
    socklen_t bytes = sizeof linger;
    long rc =
        wf_sys.call(SYS_getsockopt, fd, SOL_SOCKET, SO_LINGER, (long)&linger, (long)&bytes, 0);
    if (wf_likely(rc < 0 || linger.l_onoff == 0 || linger.l_linger == 0)) {
        return -1;
    }
    return (int)wf_sys.call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
}

static WF_COLD int close_on_a_thread(int fd)
{
    struct wf_thread_call call = WF_THREAD_CALL(SYS_close, 0, fd);
    return (int)wf_thread_finish(&call);
}

int weft_close(int fd)
{
    int rc = 0;
    if (wf_enter_task(&rc) == NULL) {
        return rc;
    }
    struct wf_closing closing;
    rc = wf_closing_begin(&closing, fd);
    if (rc < 0) {
        return rc;
    }
    int lingers = number_to_linger(fd);
    rc = wf_sys.close(fd);
    wf_closing_end(&closing);
    if (wf_unlikely(lingers >= 0)) {
        rc = close_on_a_thread(lingers);
    }
    return rc == -EINTR ? 0 : rc; /* Linux has closed it when it says that */
}

static struct wf_op fsync_op(int fd, uint32_t flags)
{
    return (struct wf_op){.kind = WF_OP_FSYNC, .fd = fd, .flags = flags};
}

int weft_fsync(int fd)
{
    struct wf_op op = fsync_op(fd, 0);
    return (int)wf_io_await(&op);
}

int weft_fdatasync(int fd)
{
    struct wf_op op = fsync_op(fd, WF_FSYNC_DATA);
    return (int)wf_io_await(&op);
}

weft_val weft_fsync_v_(int fd, const weft_place *place)
{
    struct wf_op op = fsync_op(fd, 0);
    return wf_io_v(&op, 0, place);
}

weft_val weft_fdatasync_v_(int fd, const weft_place *place)
{
    struct wf_op op = fsync_op(fd, WF_FSYNC_DATA);
    return wf_io_v(&op, 0, place);
}

static struct wf_op statx_op(int dirfd, const char *path, int flags, unsigned mask,
                             struct statx *out)
{
    return (struct wf_op){
        .kind = WF_OP_STATX,
        .fd = dirfd,
        .address = wf_io_address(path),
        .bytes = mask,
        .offset = wf_io_address(out),
        .flags = (uint32_t)flags,
    };
}

int weft_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)
{
    struct wf_op op = statx_op(dirfd, path, flags, mask, out);
    return (int)wf_io_await(&op);
}

weft_val weft_statx_v_(int dirfd, const char *path, int flags, unsigned mask, struct statx *out,
                       const weft_place *place)
{
    struct wf_op op = statx_op(dirfd, path, flags, mask, out);
    return wf_io_v(&op, 0, place);
}

static struct wf_op wait_fd_op(int fd, int events)
{
    return (struct wf_op){.kind = WF_OP_POLL, .fd = fd, .flags = (uint32_t)events};
}

int wf_wait_fd_meant(int fd, uint32_t meant, int events)
{
    struct wf_op op = wait_fd_op(fd, events);
    op.meant = meant;
    return (int)wf_io_await_step(&op);
}

int weft_wait_fd(int fd, int events)
{
    return wf_wait_fd_meant(fd, 0, events);
}

weft_val weft_wait_fd_v_(int fd, int events, const weft_place *place)
{
    struct wf_op op = wait_fd_op(fd, events);
    return wf_io_v(&op, 0, place);
}
