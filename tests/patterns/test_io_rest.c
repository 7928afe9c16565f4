/* test_io_rest.c: descriptors that a poll calls ready for ever, because of an error that stays,
 * though nothing can be read or written: values that are begun again and again rest meanwhile (as
 * calls on a stack do). */
#include "pattern.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/stackless.h>

#define PATIENCE WEFT_MS(30)

/* UDP, O_NONBLOCK: what it sent was refused, which stays in its queue of errors. */
static int erring_socket(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int gone = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(gone, (struct sockaddr *)&address, bytes), 0);
    wt_eq(getsockname(gone, (struct sockaddr *)&address, &bytes), 0);
    close(gone);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    wt_eq(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &(int){1}, sizeof(int)), 0);
    wt_eq(connect(fd, (struct sockaddr *)&address, bytes), 0);
    wt_eq(send(fd, "x", 1, 0), 1);
    char byte;
    wt_eq(weft_recv(fd, &byte, 1, 0), -ECONNREFUSED);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    wt_eq(poll(&poll_fd, 1, 0), 1);
    wt_eq(poll_fd.revents, POLLERR);
    return fd;
}

/* TCP, O_NONBLOCK, whose peer reads nothing: full, and the time at which a byte was sent waits in
 * its queue of errors. False: this system keeps no such times. */
static bool full_erring_sockets(int fds[2])
{
    static char bytes[65536];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    wt_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    wt_eq(listen(listener, 1), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int times = SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_SOFTWARE |
                SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY | SOF_TIMESTAMPING_TX_ACK;
    /* qemu-user: -EPERM */
    bool keeps = setsockopt(fds[0], SOL_SOCKET, SO_TIMESTAMPING, &times, sizeof times) == 0;
    (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int));
    wt_eq(connect(fds[0], (struct sockaddr *)&address, length), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    wt_ge(fds[1], 0);
    close(listener);
    wt_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    bool is_full;
    do { /* ends: the buffers are full, and what was on its way has arrived */
        is_full = true;
        while (send(fds[0], bytes, sizeof bytes, 0) >= 0) {
            is_full = false;
        }
        poll(NULL, 0, 50); /* longer than an acknowledgement may be delayed */
    } while (!is_full);
    struct pollfd poll_fd = {.fd = fds[0], .events = POLLOUT};
    (void)poll(&poll_fd, 1, 0);
    return keeps && (poll_fd.revents & POLLERR) != 0;
}

/* Nothing comes of the value, as a rule (a buffer that is full may get room late); and while it is
 * awaited it tries again each millisecond or less often. */
static void rests_in_vain(weft_val *val)
{
    weft_stats before;
    weft_stats after;
    weft_stats_get(weft_rt_current(), &before);
    int64_t begin_ns = now_ns();
    int64_t rc = weft_within(PATIENCE, weft_val_await(*val));
    wt_true(rc == -ETIME || rc == 1);
    int64_t rests = (now_ns() - begin_ns) / WEFT_MS(1) + 1;
    weft_stats_get(weft_rt_current(), &after);
    uint64_t ops = after.ops_submitted - before.ops_submitted;
    wt_le(ops, (uint64_t)(2 * rests + 8));
}

TaskTest(io_rest, a_read_of_a_descriptor_with_an_error_that_stays, 1)
{
    int fd = erring_socket();
    char byte;
    weft_val val = weft_read_v(fd, &byte, 1);
    rests_in_vain(&val);
    wt_eq(weft_close(fd), 0);
    return 0;
}

TaskTest(io_rest, a_write_to_a_full_socket_with_an_error_that_stays, 1)
{
    int fds[2];
    if (full_erring_sockets(fds)) {
        weft_val val = weft_write_v(fds[0], "x", 1);
        rests_in_vain(&val);
    }
    wt_eq(weft_close(fds[0]), 0);
    wt_eq(weft_close(fds[1]), 0);
    return 0;
}

TaskTest(io_rest, messages_to_a_full_socket_with_an_error_that_stays, 1)
{
    int fds[2];
    if (full_erring_sockets(fds)) {
        struct iovec part = {"x", 1};
        struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
        weft_val val = weft_send_many_v(fds[0], &message, 1, 0);
        rests_in_vain(&val);
    }
    wt_eq(weft_close(fds[0]), 0);
    wt_eq(weft_close(fds[1]), 0);
    return 0;
}

/* Reads what is there, so that there is room. */
static int drain(void *arg)
{
    static char bytes[65536];
    int fd = *(int *)arg;
    ssize_t n;
    weft_sleep(WEFT_MS(5)); /* the writer rests by then, as a rule; if not, nothing is lost */
    do {                    /* ends: all is read, the last byte too */
        n = weft_recv(fd, bytes, sizeof bytes, 0);
    } while (n > 0 && bytes[n - 1] != 'x');
    return n > 0 ? 0 : -EIO;
}

TaskTest(io_rest, after_its_rests_it_is_done_as_soon_as_it_can_be, 1)
{
    int fds[2];
    if (full_erring_sockets(fds)) {
        weft_task reader;
        weft_spawn(&reader, drain, &fds[1]);
        weft_val val = weft_write_v(fds[0], "x", 1);
        wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_val_await(val)), 1);
        wt_eq(weft_await(&reader), 0);
    }
    wt_eq(weft_close(fds[0]), 0);
    wt_eq(weft_close(fds[1]), 0);
    return 0;
}

TaskTest(io_rest, one_that_nobody_awaits_ends_with_its_scope, 1)
{
    int fd = erring_socket();
    char byte;
    WEFT_SCOPE(scope);
    weft_val val = weft_read_v(fd, &byte, 1);
    wt_eq(weft_within(PATIENCE, weft_val_await(val)), -ETIME);
    val = weft_read_v(fd, &byte, 1);
    wt_eq(weft_val_drop(val), 0);
    wt_eq(weft_scope_end(&scope), 0);
    wt_eq(weft_close(fd), 0);
    return 0;
}
