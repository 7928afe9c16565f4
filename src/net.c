/* net.c: the calls of <weft/io.h> on sockets. All go through the ring, which tries at once and
 * waits for readiness only if it must. */
#include "src/io.h"
#include <errno.h>
#include <sys/socket.h>

int weft_accept(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    struct wf_op op = {
        .kind = WF_OP_ACCEPT,
        .fd = fd,
        .address = wf_io_address(address),
        .offset = wf_io_address(bytes),
        .flags = (uint32_t)flags | SOCK_CLOEXEC,
    };
    return (int)wf_io_await(&op);
}

int weft_connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct wf_op op = {
        .kind = WF_OP_CONNECT, .fd = fd, .address = wf_io_address(address), .offset = bytes};
    return (int)wf_io_await(&op);
}

ssize_t weft_recv(int fd, void *buffer, size_t bytes, int flags)
{
    struct wf_op op = {
        .kind = WF_OP_RECV,
        .fd = fd,
        .address = wf_io_address(buffer),
        .bytes = wf_io_bytes(bytes),
        .flags = (uint32_t)flags,
    };
    return wf_io_await(&op);
}

ssize_t weft_send(int fd, const void *buffer, size_t bytes, int flags)
{
    struct wf_op op = {
        .kind = WF_OP_SEND,
        .fd = fd,
        .address = wf_io_address(buffer),
        .bytes = wf_io_bytes(bytes),
        .flags = (uint32_t)flags | MSG_NOSIGNAL,
    };
    return wf_io_await(&op);
}

ssize_t weft_send_all(int fd, const void *buffer, size_t bytes, int flags)
{
    size_t sent = 0;
    /* ends: grows by at least one, or fails. MSG_WAITALL: the kernel does what it can of the
     * looping */
    do {
        ssize_t n = weft_send(fd, (const char *)buffer + sent, bytes - sent, flags | MSG_WAITALL);
        if (n < 0) {
            return sent > 0 ? (ssize_t)sent : n;
        }
        sent += (size_t)n;
    } while (sent < bytes);
    return (ssize_t)sent;
}

static WF_NOINLINE int shut_down(int fd, int how)
{
    int saved = errno;
    int rc = shutdown(fd, how) == 0 ? 0 : -errno;
    errno = saved;
    return rc;
}

int weft_shutdown(int fd, int how)
{
    int rc = 0;
    return wf_enter_task(&rc) != NULL ? shut_down(fd, how) : rc;
}
