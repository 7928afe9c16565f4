/* message.c: the calls of <weft/net.h> that carry more than one buffer of bytes: several buffers,
 * addresses, descriptors, several datagrams. */
#include "io/parts.h"
#include "pool/base/sys.h"
#include "src/io_value.h"
#include "src/net.h"
#include "src/uses.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>

/* --- one message ------------------------------------------------------------------------------ */

static struct wf_op sendmsg_op(int fd, const struct msghdr *message, int flags)
{
    return (struct wf_op){
        .kind = WF_OP_SENDMSG,
        .fd = fd,
        .address = wf_io_address(message),
        .bytes = 1,
        .flags = (uint32_t)flags | MSG_NOSIGNAL,
    };
}

/* *meant: as wf_op.meant, for who sends more after it. */
static ssize_t send_message(int fd, uint32_t *meant, const struct msghdr *message, int flags)
{
    struct wf_op op = sendmsg_op(fd, message, flags);
    op.meant = *meant;
    ssize_t n = wf_io_await(&op);
    *meant = op.meant;
    return n;
}

ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags)
{
    uint32_t meant = 0;
    return send_message(fd, &meant, message, flags);
}

weft_val weft_sendmsg_v_(int fd, const struct msghdr *message, int flags, const weft_place *place)
{
    struct wf_op op = sendmsg_op(fd, message, flags);
    return wf_io_v(&op, 0, place);
}

static struct wf_op recvmsg_op(int fd, struct msghdr *message, int flags)
{
    return (struct wf_op){
        .kind = WF_OP_RECVMSG,
        .fd = fd,
        .address = wf_io_address(message),
        .bytes = 1,
        .flags = (uint32_t)flags | MSG_CMSG_CLOEXEC,
    };
}

ssize_t weft_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct wf_op op = recvmsg_op(fd, message, flags);
    return wf_io_await(&op);
}

weft_val weft_recvmsg_v_(int fd, struct msghdr *message, int flags, const weft_place *place)
{
    struct wf_op op = recvmsg_op(fd, message, flags);
    return wf_io_v(&op, 0, place);
}

/* --- several buffers -------------------------------------------------------------------------- */

static ssize_t send_parts(int fd, uint32_t *meant, const struct iovec *parts, size_t count,
                          int flags)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count};
    return send_message(fd, meant, &message, flags);
}

ssize_t wf_sendv_meant(int fd, uint32_t meant, const struct iovec *parts, int count)
{
    return send_parts(fd, &meant, parts, (size_t)count, 0);
}

ssize_t weft_sendv(int fd, const struct iovec *parts, int count, int flags)
{
    uint32_t meant = 0;
    return count < 0 || count > IOV_MAX ? -EINVAL
                                        : send_parts(fd, &meant, parts, (size_t)count, flags);
}

/* What lies behind the first `done` bytes of parts[0]: the array itself, if that is possible. */
static ssize_t send_after(int fd, uint32_t *meant, const struct iovec *parts, size_t count,
                          size_t done, int flags)
{
    if (done == 0) {
        return send_parts(fd, meant, parts, count < IOV_MAX ? count : IOV_MAX, flags | MSG_WAITALL);
    }
    struct iovec window[WF_PARTS_WINDOW];
    int used = wf_parts_after(parts, count, done, WEFT_IO_BYTES_MAX, window);
    return send_parts(fd, meant, window, (size_t)used, flags | MSG_WAITALL);
}

ssize_t weft_sendv_all(int fd, const struct iovec *parts, int count, int flags)
{
    if (count < 0) {
        return -EINVAL;
    }
    uint32_t meant = 0;
    size_t left = (size_t)count;
    size_t sent = 0;
    size_t done = 0; /* of parts[0] */
    /* ends: what is left gets less with each turn, or it fails */
    do {
        while (left > 0 && parts->iov_len <= done) { /* ends: likewise */
            done -= parts->iov_len;
            parts++;
            left--;
        }
        if (left == 0 && sent > 0) {
            break;
        }
        ssize_t n = send_after(fd, &meant, parts, left, done, flags);
        if (n < 0) {
            return sent > 0 ? (ssize_t)sent : n;
        }
        sent += (size_t)n;
        done += (size_t)n;
    } while (left > 0);
    return (ssize_t)sent;
}

/* --- addresses -------------------------------------------------------------------------------- */

ssize_t weft_sendto(int fd, const void *buffer, size_t bytes, int flags, const weft_addr *to)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = wf_io_bytes(bytes)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (to != NULL) {
        message.msg_name = (void *)(uintptr_t)&to->storage;
        message.msg_namelen = to->bytes;
    }
    return weft_sendmsg(fd, &message, flags);
}

ssize_t weft_recvfrom(int fd, void *buffer, size_t bytes, int flags, weft_addr *from)
{
    struct iovec part = {.iov_base = buffer, .iov_len = wf_io_bytes(bytes)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (from != NULL) {
        *from = (weft_addr){0};
        message.msg_name = &from->storage;
        message.msg_namelen = sizeof from->storage;
    }
    ssize_t n = weft_recvmsg(fd, &message, flags);
    if (from != NULL && n >= 0) {
        from->bytes = message.msg_namelen;
    }
    return n;
}

/* --- several messages ------------------------------------------------------------------------- */

/* By a call that takes what is there, on the task's own stack: one call for many, where the driver
 * would need an operation for each (ADR 0018). */
static int move_many(long number, int fd, struct mmsghdr *messages, int count, int flags)
{
    bool sends = number == SYS_sendmmsg;
    uint32_t meant = wf_use_meant(fd);
    ssize_t events = 0;
    int vain = 0;
    for (;;) { /* ends: with messages, a wait that fails, or a socket that was shut down */
        int rc = 0;
        struct wf_fiber *self = wf_enter_call(&rc);
        if (self == NULL) {
            return rc;
        }
        if (count < 1 || count > IOV_MAX) {
            return -EINVAL;
        }
        struct wf_held held;
        if (!wf_touch(&held, fd, meant)) {
            return -EBADF;
        }
        long n = wf_sys.call(number, fd, (long)messages, count, flags | MSG_DONTWAIT, 0, 0);
        wf_unhold(&held);
        if (n != -EAGAIN || (flags & MSG_DONTWAIT) != 0) {
            wf_spend_budget(self);
            return (int)n;
        }
        if (!sends && (events & POLLRDHUP) != 0) {
            return 0; /* ready all the time, and nothing comes */
        }
        events = wf_io_await_events(fd, meant, sends ? POLLOUT : POLLIN, &vain);
        if (events < 0) {
            return (int)events;
        }
    }
}

int weft_send_many(int fd, struct mmsghdr *messages, int count, int flags)
{
    return move_many(SYS_sendmmsg, fd, messages, count, flags | MSG_NOSIGNAL);
}

int weft_recv_many(int fd, struct mmsghdr *messages, int count, int flags)
{
    return move_many(SYS_recvmmsg, fd, messages, count, flags | MSG_CMSG_CLOEXEC);
}

/* --- descriptors ------------------------------------------------------------------------------ */

#define RIGHTS_BYTES CMSG_SPACE(sizeof(int) * WEFT_FDS_MAX)
/* For what else a socket may have been told to deliver (SO_PASSCRED, SO_TIMESTAMP ...). */
#define OTHERS_BYTES 256
#define CMSG_PIDFD   4 /* SCM_PIDFD of linux/socket.h, since 6.5: a descriptor too */

struct control {
    _Alignas(struct cmsghdr) char bytes[RIGHTS_BYTES + OTHERS_BYTES];
};

/* A message with bytes and descriptors. */
struct fds_message {
    struct msghdr message;
    struct iovec part;
    struct control control;
};

static void put_fds(struct fds_message *m, const void *buffer, size_t bytes, const int *fds,
                    int count)
{
    m->part = (struct iovec){(void *)(uintptr_t)buffer, wf_io_bytes(bytes)};
    m->message = (struct msghdr){.msg_iov = &m->part, .msg_iovlen = 1};
    if (count > 0) {
        size_t fds_bytes = sizeof *fds * (size_t)count;
        memset(m->control.bytes, 0, CMSG_SPACE(fds_bytes));
        m->message.msg_control = m->control.bytes;
        m->message.msg_controllen = CMSG_SPACE(fds_bytes);
        struct cmsghdr *head = CMSG_FIRSTHDR(&m->message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(fds_bytes);
        memcpy(CMSG_DATA(head), fds, fds_bytes);
    }
}

ssize_t weft_send_fds(int fd, const void *buffer, size_t bytes, const int *fds, int count)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return rc;
    }
    if (bytes == 0 || count < 0 || count > WEFT_FDS_MAX) {
        return -EINVAL;
    }
    struct fds_message m;
    put_fds(&m, buffer, bytes, fds, count);
    return weft_sendmsg(fd, &m.message, 0);
}

ssize_t wf_send_fds_now(int fd, const void *buffer, size_t bytes, const int *fds, int count)
{
    struct fds_message m;
    put_fds(&m, buffer, bytes, fds, count);
    return wf_sys.call(SYS_sendmsg, fd, (long)&m.message, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0, 0);
}

/* Takes the descriptors out of what has been received: the first `room` of them go to `fds`, and
 * the others are closed. How many there were. */
static int take_fds(struct msghdr *message, int *fds, int room)
{
    int taken = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET ||
            (head->cmsg_type != SCM_RIGHTS && head->cmsg_type != CMSG_PIDFD)) {
            continue;
        }
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
            if (head->cmsg_type == SCM_RIGHTS && taken < room) {
                fds[taken] = fd;
            } else if (fd >= 0) {
                (void)wf_sys.close(fd);
            }
            taken += head->cmsg_type == SCM_RIGHTS;
        }
    }
    return taken;
}

void wf_message_close_fds(struct msghdr *message)
{
    if (message->msg_control != NULL) {
        (void)take_fds(message, NULL, 0);
    }
}

static void expect_fds(struct fds_message *m, void *buffer, size_t bytes)
{
    m->part = (struct iovec){buffer, wf_io_bytes(bytes)};
    m->message = (struct msghdr){.msg_iov = &m->part,
                                 .msg_iovlen = 1,
                                 .msg_control = m->control.bytes,
                                 .msg_controllen = sizeof m->control.bytes};
}

/* Of a message that was received: how many descriptors are in `fds` now; or why none are. */
static int get_fds(struct fds_message *m, int *fds, int room)
{
    int taken = take_fds(&m->message, fds, room);
    /* there was room for all that can be sent: what was cut could not be had */
    bool cut = (m->message.msg_flags & MSG_CTRUNC) != 0;
    int count = cut ? -EMFILE : taken > room ? -EMSGSIZE : taken;
    for (int i = 0; count < 0 && i < taken && i < room; i++) {
        (void)wf_sys.close(fds[i]);
    }
    return count;
}

ssize_t weft_recv_fds(int fd, void *buffer, size_t bytes, int *fds, int *count)
{
    int room = *count;
    int rc = 0;
    *count = 0;
    if (wf_enter_call(&rc) == NULL) {
        return rc;
    }
    if (bytes == 0 || room < 0 || room > WEFT_FDS_MAX) {
        return -EINVAL;
    }
    struct fds_message m;
    expect_fds(&m, buffer, bytes);
    ssize_t n = weft_recvmsg(fd, &m.message, 0);
    if (n >= 0) {
        *count = get_fds(&m, fds, room);
    }
    return n;
}

ssize_t wf_recv_fds_now(int fd, void *buffer, size_t bytes, int *fds, int room, int *count)
{
    struct fds_message m;
    expect_fds(&m, buffer, bytes);
    long n =
        wf_sys.call(SYS_recvmsg, fd, (long)&m.message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, 0, 0, 0);
    if (n >= 0) {
        *count = get_fds(&m, fds, room);
    }
    return n;
}
