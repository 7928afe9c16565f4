/* net.c: the calls of <weft/io.h> on sockets. All go through the ring, which tries at once and
 * waits for readiness only if it must. */
#include "src/io_value.h"
#include "src/net.h"
#include <sys/socket.h>

static struct wf_op accept_op(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    return (struct wf_op){
        .kind = WF_OP_ACCEPT,
        .fd = fd,
        .address = wf_io_address(address),
        .offset = wf_io_address(bytes),
        .flags = (uint32_t)flags | SOCK_CLOEXEC,
    };
}

int weft_accept(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    struct wf_op op = accept_op(fd, address, bytes, flags);
    return (int)wf_io_await(&op);
}

weft_val weft_accept_v_(int fd, struct sockaddr *address, socklen_t *bytes, int flags,
                        const weft_place *place)
{
    struct wf_op op = accept_op(fd, address, bytes, flags);
    return wf_io_v(&op, 0, place);
}

static struct wf_op connect_op(int fd, const struct sockaddr *address, socklen_t bytes)
{
    return (struct wf_op){
        .kind = WF_OP_CONNECT, .fd = fd, .address = wf_io_address(address), .offset = bytes};
}

int weft_connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct wf_op op = connect_op(fd, address, bytes);
    return (int)wf_io_await(&op);
}

weft_val weft_connect_v_(int fd, const struct sockaddr *address, socklen_t bytes,
                         const weft_place *place)
{
    struct wf_op op = connect_op(fd, address, bytes);
    return wf_io_v(&op, 0, place);
}

static struct wf_op recv_op(int fd, void *buffer, size_t bytes, int flags)
{
    return (struct wf_op){
        .kind = WF_OP_RECV,
        .fd = fd,
        .address = wf_io_address(buffer),
        .bytes = wf_io_bytes(bytes),
        .flags = (uint32_t)flags,
    };
}

ssize_t weft_recv(int fd, void *buffer, size_t bytes, int flags)
{
    struct wf_op op = recv_op(fd, buffer, bytes, flags);
    return wf_io_await(&op);
}

weft_val weft_recv_v_(int fd, void *buffer, size_t bytes, int flags, const weft_place *place)
{
    struct wf_op op = recv_op(fd, buffer, bytes, flags);
    return wf_io_v(&op, 0, place);
}

static struct wf_op send_op(int fd, const void *buffer, size_t bytes, int flags)
{
    return (struct wf_op){
        .kind = WF_OP_SEND,
        .fd = fd,
        .address = wf_io_address(buffer),
        .bytes = wf_io_bytes(bytes),
        .flags = (uint32_t)flags | MSG_NOSIGNAL,
    };
}

ssize_t weft_send(int fd, const void *buffer, size_t bytes, int flags)
{
    struct wf_op op = send_op(fd, buffer, bytes, flags);
    return wf_io_await(&op);
}

weft_val weft_send_v_(int fd, const void *buffer, size_t bytes, int flags, const weft_place *place)
{
    struct wf_op op = send_op(fd, buffer, bytes, flags);
    return wf_io_v(&op, 0, place);
}

ssize_t wf_recv_meant(int fd, uint32_t meant, void *buffer, size_t bytes)
{
    struct wf_op op = recv_op(fd, buffer, bytes, 0);
    op.meant = meant;
    return wf_io_await(&op);
}

ssize_t wf_send_meant(int fd, uint32_t meant, const void *buffer, size_t bytes)
{
    struct wf_op op = send_op(fd, buffer, bytes, 0);
    op.meant = meant;
    return wf_io_await(&op);
}

ssize_t weft_send_all(int fd, const void *buffer, size_t bytes, int flags)
{
    size_t sent = 0;
    /* One op for all: if the descriptor is closed under it (uses.h, U.3) the rest is for nobody.
     * MSG_WAITALL: the kernel does what it can of the looping. */
    struct wf_op op = send_op(fd, buffer, bytes, flags | MSG_WAITALL);
    do { /* ends: grows by at least one, or fails */
        op.address = wf_io_address((const char *)buffer + sent);
        op.bytes = wf_io_bytes(bytes - sent);
        ssize_t n = wf_io_await(&op);
        if (n < 0) {
            return sent > 0 ? (ssize_t)sent : n;
        }
        sent += (size_t)n;
    } while (sent < bytes);
    return (ssize_t)sent;
}

int weft_shutdown(int fd, int how)
{
    int rc = 0;
    return wf_enter_task(&rc) != NULL ? wf_sys.shutdown(fd, how) : rc;
}
