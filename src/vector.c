/* vector.c: reading and writing several buffers with one call. As file.c does it for one: what the
 * page cache has is copied on the task's own stack, the rest goes through the driver; writes at a
 * regular file's own position by a thread. */
#include "io/parts.h"
#include "pool/base/sys.h"
#include "src/io_value.h"
#include "src/net.h"
#include "src/uses.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define POSITION_OWN UINT64_MAX /* op.h: the file's own position */

static bool is_bad(int count, int64_t offset)
{
    return count < 0 || count > IOV_MAX || offset < 0;
}

/* Would RWF_NOWAIT wait all the same? See file.c. */
static bool may_be_direct(int fd, const struct iovec *parts, int count)
{
    enum { SECTOR = 512 };
    if (count > 0 && ((uintptr_t)parts[0].iov_base | parts[0].iov_len) % SECTOR != 0) {
        return false;
    }
    long flags = wf_sys.call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
    return flags < 0 || (flags & O_DIRECT) != 0;
}

/* What is there without waiting; -EAGAIN: ask the driver, which waits or knows the error. */
static ssize_t read_now(int fd, const struct iovec *parts, int count, uint64_t offset)
{
    if (may_be_direct(fd, parts, count)) {
        return -EAGAIN;
    }
    long n = wf_sys.call(SYS_preadv2, fd, (long)parts, count, (long)offset, 0, RWF_NOWAIT);
    return n >= 0 || n == -ESPIPE ? n : -EAGAIN;
}

static struct wf_op vector_op(enum wf_op_kind kind, int fd, const struct iovec *parts, int count,
                              uint64_t offset)
{
    return (struct wf_op){
        .kind = (uint8_t)kind,
        .fd = fd,
        .address = wf_io_address(parts),
        .bytes = (uint32_t)count,
        .offset = offset,
    };
}

/* -EAGAIN: the file is open with O_NONBLOCK, which a caller of ours has not asked for. */
static ssize_t transfer(enum wf_op_kind kind, int fd, uint32_t meant, const struct iovec *parts,
                        int count, uint64_t offset)
{
    int vain = 0;
    struct wf_op op = vector_op(kind, fd, parts, count, offset);
    op.meant = meant;
    for (;;) { /* ends: with the operation, or a wait that fails */
        ssize_t n = wf_io_await(&op);
        if (wf_likely(n != -EAGAIN)) {
            return n;
        }
        n = wf_io_await_events(op.fd, op.meant, kind == WF_OP_READV ? POLLIN : POLLOUT, &vain);
        if (n < 0) {
            return n;
        }
    }
}

/* The rest of a regular file's read of which only the beginning was in the cache. */
static WF_COLD ssize_t read_rest(int fd, uint32_t meant, const struct iovec *parts, int count,
                                 size_t done, uint64_t offset)
{
    size_t bytes = wf_parts_bytes(parts, (size_t)count);
    ssize_t n = 1;
    while (n > 0 && done < bytes) { /* ends: grows, or the end of the file */
        struct iovec window[WF_PARTS_WINDOW];
        int used = wf_parts_after(parts, (size_t)count, done, WEFT_IO_BYTES_MAX - done, window);
        n = transfer(WF_OP_READV, fd, meant, window, used,
                     offset != POSITION_OWN ? offset + done : POSITION_OWN);
        done += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)done; /* an error after some bytes will be the next call's */
}

static ssize_t read_at(int fd, const struct iovec *parts, int count, uint64_t offset)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    uint32_t meant = wf_use_meant(fd);
    ssize_t n = read_now(fd, parts, count, offset);
    if (n == -EAGAIN) {
        return transfer(WF_OP_READV, fd, meant, parts, count, offset);
    }
    wf_spend_budget(self);
    if (wf_unlikely(n > 0 && (size_t)n < wf_parts_bytes(parts, (size_t)count) &&
                    (offset != POSITION_OWN || wf_io_is_regular(fd)))) {
        return read_rest(fd, meant, parts, count, (size_t)n, offset);
    }
    return n;
}

ssize_t weft_readv(int fd, const struct iovec *parts, int count)
{
    return is_bad(count, 0) ? -EINVAL : read_at(fd, parts, count, POSITION_OWN);
}

ssize_t weft_preadv(int fd, const struct iovec *parts, int count, int64_t offset)
{
    return is_bad(count, offset) ? -EINVAL : read_at(fd, parts, count, (uint64_t)offset);
}

ssize_t wf_writev_meant(int fd, uint32_t meant, const struct iovec *parts, int count)
{
    if (is_bad(count, 0)) {
        return -EINVAL;
    }
    if (wf_io_is_for_thread(fd)) {
        struct wf_thread_call call = wf_write_call(SYS_writev, fd, meant, parts, count);
        return wf_thread_await(&call);
    }
    return transfer(WF_OP_WRITEV, fd, meant, parts, count, POSITION_OWN);
}

ssize_t weft_writev(int fd, const struct iovec *parts, int count)
{
    return wf_writev_meant(fd, 0, parts, count);
}

ssize_t weft_pwritev(int fd, const struct iovec *parts, int count, int64_t offset)
{
    return is_bad(count, offset) ? -EINVAL
                                 : transfer(WF_OP_WRITEV, fd, 0, parts, count, (uint64_t)offset);
}

/* --- as values -------------------------------------------------------------------------------- */

/* Through the driver, which looks into the cache itself: a rest would need a window that outlives
 * this call. */
static weft_val vector_v(enum wf_op_kind kind, int fd, const struct iovec *parts, int count,
                         uint64_t offset, const weft_place *place)
{
    struct wf_op op = vector_op(kind, fd, parts, count, offset);
    return wf_io_v(&op, 0, place);
}

weft_val weft_readv_v_(int fd, const struct iovec *parts, int count, const weft_place *place)
{
    return is_bad(count, 0) ? wf_val_done(-EINVAL, place)
                            : vector_v(WF_OP_READV, fd, parts, count, POSITION_OWN, place);
}

weft_val weft_writev_v_(int fd, const struct iovec *parts, int count, const weft_place *place)
{
    if (is_bad(count, 0)) {
        return wf_val_done(-EINVAL, place);
    }
    if (wf_io_is_for_thread(fd)) {
        struct wf_thread_call call = wf_write_call(SYS_writev, fd, 0, parts, count);
        return wf_thread_v(&call, place);
    }
    return vector_v(WF_OP_WRITEV, fd, parts, count, POSITION_OWN, place);
}

weft_val weft_preadv_v_(int fd, const struct iovec *parts, int count, int64_t offset,
                        const weft_place *place)
{
    int rc = 0;
    if (is_bad(count, offset)) {
        return wf_val_done(-EINVAL, place);
    }
    if (wf_enter_call(&rc) == NULL) {
        return wf_val_done(rc, place);
    }
    /* what has no positions says so only here: the driver would wait for a pipe */
    ssize_t n = read_now(fd, parts, count, (uint64_t)offset);
    bool is_whole = n >= 0 && (n == 0 || (size_t)n == wf_parts_bytes(parts, (size_t)count));
    return is_whole || (n < 0 && n != -EAGAIN)
               ? wf_val_done(n, place)
               : vector_v(WF_OP_READV, fd, parts, count, (uint64_t)offset, place);
}

weft_val weft_pwritev_v_(int fd, const struct iovec *parts, int count, int64_t offset,
                         const weft_place *place)
{
    return is_bad(count, offset)
               ? wf_val_done(-EINVAL, place)
               : vector_v(WF_OP_WRITEV, fd, parts, count, (uint64_t)offset, place);
}
