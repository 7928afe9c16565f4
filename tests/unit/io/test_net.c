/* test_net.c: <weft/io.h> on sockets, from tasks. */
#define _GNU_SOURCE
#include "io/io.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/weft.h>

static void run(weft_fn *body)
{
    char why[256];
    struct wf_driver *driver;
    if (wf_io_driver_new("auto", &driver, why, sizeof why) == -ENOSYS) {
        wt_skip("%s", why);
    }
    wf_io_driver_free(driver);
    for (int workers = 1; workers <= 2; workers++) {
        wt_eq(weft_run(body, NULL, .workers = workers), 0, "%d workers", workers);
    }
}

static int listen_on_loopback(struct sockaddr_in *address, int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof *address;
    wt_eq(bind(fd, (struct sockaddr *)address, bytes), 0);
    wt_eq(listen(fd, 128), 0);
    wt_eq(getsockname(fd, (struct sockaddr *)address, &bytes), 0);
    return fd;
}

static void open_pair(int ends[2], int type)
{
    wt_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
}

/* --- echo ------------------------------------------------------------------------------------- */

#define CLIENTS  50
#define MESSAGES 20

struct server {
    int listener;
    struct sockaddr_in address;
};

WEFT_TASK(echo, int)
{
    char buffer[256];
    ssize_t n;
    while ((n = weft_recv(*arg, buffer, sizeof buffer, 0)) > 0) {
        wt_eq(weft_send_all(*arg, buffer, (size_t)n, 0), n);
    }
    weft_close(*arg);
    return (int)n;
}

WEFT_TASK(client, struct server)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(weft_connect(fd, (struct sockaddr *)&arg->address, sizeof arg->address), 0);
    for (int i = 0; i < MESSAGES; i++) {
        char out[100];
        char in[100];
        memset(out, 'a' + i, sizeof out);
        wt_eq(weft_send(fd, out, sizeof out, 0), (ssize_t)sizeof out);
        wt_eq(weft_recv(fd, in, sizeof in, MSG_WAITALL), (ssize_t)sizeof in);
        wt_mem_eq(in, out, sizeof in);
    }
    wt_eq(weft_shutdown(fd, SHUT_WR), 0);
    char byte;
    wt_eq(weft_recv(fd, &byte, 1, 0), 0);
    return weft_close(fd);
}

static int serve_clients(int flags)
{
    struct server server;
    server.listener = listen_on_loopback(&server.address, flags);
    WEFT_SCOPE(scope);
    for (int i = 0; i < CLIENTS; i++) {
        wt_eq(weft_go(&scope, client, &server), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        struct sockaddr_in peer;
        socklen_t bytes = sizeof peer;
        int fd = weft_accept(server.listener, (struct sockaddr *)&peer, &bytes, 0);
        wt_ge(fd, 0);
        wt_eq(bytes, sizeof peer);
        wt_eq(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
        wt_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
        wt_eq(weft_go(&scope, echo, &fd), 0);
    }
    int rc = weft_scope_end(&scope);
    weft_close(server.listener);
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    return rc;
}

static int serve(void *arg)
{
    (void)arg;
    return serve_clients(0);
}

static int serve_nonblocking(void *arg)
{
    (void)arg;
    return serve_clients(SOCK_NONBLOCK);
}

Test(net, many_clients_get_their_echo)
{
    run(serve);
}

Test(net, descriptors_that_do_not_block_are_waited_for_too)
{
    run(serve_nonblocking);
}

/* --- streams and datagrams -------------------------------------------------------------------- */

#define STREAM_BYTES ((size_t)8 << 20)

static int send_stream(void *arg)
{
    char *bytes = calloc(1, STREAM_BYTES);
    wt_eq(weft_send_all(*(int *)arg, bytes, STREAM_BYTES, 0), (ssize_t)STREAM_BYTES);
    free(bytes);
    return weft_shutdown(*(int *)arg, SHUT_WR);
}

static int receive_stream(void *arg)
{
    (void)arg;
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    weft_task sender;
    wt_eq(weft_spawn(&sender, send_stream, &ends[0]), 0);
    size_t received = 0;
    char buffer[30000];
    ssize_t n;
    while ((n = weft_recv(ends[1], buffer, sizeof buffer, 0)) > 0) {
        received += (size_t)n;
    }
    wt_eq(n, 0);
    wt_eq(received, STREAM_BYTES);
    wt_eq(weft_await(&sender), 0);
    weft_close(ends[0]);
    weft_close(ends[1]);
    return 0;
}

Test(net, send_all_sends_all)
{
    run(receive_stream);
}

static int ends_and_errors(void *arg)
{
    (void)arg;
    int ends[2];
    char buffer[16];
    open_pair(ends, SOCK_DGRAM);
    wt_eq(weft_send(ends[0], "", 0, 0), 0);
    wt_eq(weft_send(ends[0], "datagram", 8, 0), 8);
    wt_eq(weft_recv(ends[1], buffer, sizeof buffer, 0), 0);
    wt_eq(weft_recv(ends[1], buffer, 4, 0), 4);
    wt_eq(weft_recv(ends[1], buffer, sizeof buffer, MSG_DONTWAIT), -EAGAIN);
    weft_close(ends[0]);
    weft_close(ends[1]);

    open_pair(ends, SOCK_STREAM);
    weft_close(ends[1]);
    wt_eq(weft_send(ends[0], "x", 1, 0), -EPIPE);
    wt_eq(weft_send_all(ends[0], "x", 1, 0), -EPIPE);
    wt_eq(weft_write(ends[0], "x", 1), -EPIPE);
    wt_eq(weft_recv(ends[0], buffer, 1, 0), 0);
    wt_eq(weft_shutdown(ends[0], 77), -EINVAL);
    weft_close(ends[0]);

    struct sockaddr_in address;
    int listener = listen_on_loopback(&address, 0);
    weft_close(listener);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(weft_connect(fd, (struct sockaddr *)&address, sizeof address), -ECONNREFUSED);
    wt_eq(weft_accept(fd, NULL, NULL, 0), -EINVAL);
    weft_close(fd);
    wt_eq(weft_recv(-1, buffer, 1, 0), -EBADF);
    wt_eq(weft_send(0, "x", 1, 0), -ENOTSOCK);
    wt_eq(weft_shutdown(-1, SHUT_RD), -EBADF);
    return 0;
}

struct receiver {
    int fd;
    ssize_t got;
};

static int read_huge(void *arg)
{
    struct receiver *receiver = arg;
    char *buffer = calloc(1, 64);
    receiver->got = weft_read(receiver->fd, buffer, (size_t)1 << 32);
    free(buffer);
    return 0;
}

/* 2^32 bytes are 0 in 32 bits, which is what an operation has. */
static int lengths(void *arg)
{
    (void)arg;
    const size_t huge = (size_t)1 << 32;
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    char *buffer = calloc(1, 64);
    wt_eq(weft_send(ends[0], "abcdef", 6, 0), 6);
    wt_eq(weft_recv(ends[1], buffer, 2, 0), 2);
    wt_eq(weft_recv(ends[1], buffer, huge, 0), 4);
    weft_task task;
    struct receiver receiver = {.fd = ends[1]};
    wt_eq(weft_spawn(&task, read_huge, &receiver), 0);
    weft_yield();
    wt_eq(weft_send(ends[0], "abcdef", 6, 0), 6);
    wt_eq(weft_await(&task), 0);
    wt_eq(receiver.got, 6);
    free(buffer);
    weft_close(ends[0]);
    weft_close(ends[1]);
    return 0;
}

Test(net, lengths_beyond_32_bits_are_cut_to_what_is_possible)
{
    run(lengths);
}

Test(net, ends_and_errors_are_returned)
{
    run(ends_and_errors);
}

static int receive_one(void *arg)
{
    struct receiver *receiver = arg;
    char buffer[64];
    receiver->got = weft_recv(receiver->fd, buffer, sizeof buffer, MSG_WAITALL);
    return 0;
}

static int shutdown_ends_a_wait(void *arg)
{
    (void)arg;
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    struct receiver receiver = {.fd = ends[0]};
    weft_task task;
    wt_eq(weft_spawn(&task, receive_one, &receiver), 0);
    wt_eq(weft_send(ends[1], "abc", 3, 0), 3);
    wt_eq(weft_shutdown(ends[0], SHUT_RDWR), 0);
    wt_eq(weft_await(&task), 0);
    wt_true(receiver.got == 3 || receiver.got == 0, "%zd", receiver.got);
    weft_close(ends[0]);
    weft_close(ends[1]);
    return 0;
}

Test(net, shutdown_ends_what_waits)
{
    run(shutdown_ends_a_wait);
}

/* --- cancellation ----------------------------------------------------------------------------- */

static int deadlines(void *arg)
{
    (void)arg;
    int ends[2];
    char buffer[64];
    open_pair(ends, SOCK_STREAM);
    wt_eq(weft_within(WEFT_MS(1), weft_recv(ends[0], buffer, 1, 0)), -ETIME);
    wt_eq(weft_within(0, weft_recv(ends[0], buffer, 1, 0)), -ETIME);
    wt_eq(weft_send(ends[1], "abc", 3, 0), 3);
    wt_eq(weft_within(WEFT_MS(5), weft_recv(ends[0], buffer, sizeof buffer, MSG_WAITALL)), 3,
          "what had come is returned");
    wt_eq(weft_send(ends[1], "x", 1, 0), 1);
    wt_eq(weft_within(0, weft_recv(ends[0], buffer, 1, 0)), 1, "tried once");

    /* A send that the receiver does not take. */
    size_t bytes = (size_t)4 << 20;
    char *large = calloc(1, bytes);
    ssize_t sent = weft_within(WEFT_MS(5), weft_send_all(ends[1], large, bytes, 0));
    wt_gt(sent, 0);
    wt_lt(sent, (ssize_t)bytes);
    wt_eq(weft_within(0, weft_send(ends[1], large, bytes, 0)), -ETIME);
    weft_shutdown(ends[1], SHUT_WR);
    ssize_t received = 0;
    ssize_t n;
    while ((n = weft_recv(ends[0], large, bytes, 0)) > 0) {
        received += n;
    }
    wt_eq(received, sent, "what was said to be sent has arrived, and no more");
    free(large);
    weft_close(ends[0]);
    weft_close(ends[1]);

    struct sockaddr_in address;
    int listener = listen_on_loopback(&address, 0);
    wt_eq(weft_within(WEFT_MS(1), weft_accept(listener, NULL, NULL, 0)), -ETIME);
    wt_eq(weft_within(0, weft_accept(listener, NULL, NULL, 0)), -ETIME);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(weft_connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    int peer = weft_within(0, weft_accept(listener, NULL, NULL, 0));
    wt_ge(peer, 0, "somebody had come");
    weft_close(peer);
    weft_close(fd);
    weft_close(listener);
    return 0;
}

Test(net, deadlines_keep_what_happened)
{
    run(deadlines);
}

/* Byte for byte: a receiver that gives up again and again against a sender that does not care. */
#define ROUNDS 3000

static int send_slowly(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        char byte = (char)i;
        wt_eq(weft_send(*(int *)arg, &byte, 1, 0), 1);
        if (i % 3 == 0) {
            weft_yield();
        }
    }
    return weft_shutdown(*(int *)arg, SHUT_WR);
}

static int receive_impatiently(void *arg)
{
    (void)arg;
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    weft_task sender;
    wt_eq(weft_spawn(&sender, send_slowly, &ends[1]), 0);
    int expected = 0;
    unsigned given_up = 0;
    for (;;) {
        char bytes[3];
        ssize_t n = weft_within(WEFT_US(given_up % 7), weft_recv(ends[0], bytes, sizeof bytes, 0));
        if (n == 0) {
            break;
        }
        if (n < 0) {
            wt_eq(n, -ETIME);
            given_up++;
            weft_yield();
        }
        for (ssize_t i = 0; i < n; i++) {
            wt_eq(bytes[i], (char)expected++);
        }
    }
    wt_eq(expected, ROUNDS);
    wt_eq(weft_await(&sender), 0);
    weft_close(ends[0]);
    weft_close(ends[1]);
    return 0;
}

Test(net, no_byte_is_lost_however_often_a_receiver_gives_up)
{
    run(receive_impatiently);
}

/* Connections that come while accepts are cancelled: each is accepted or stays in the queue. */
static int accept_impatiently(void *arg)
{
    (void)arg;
    struct server server;
    server.listener = listen_on_loopback(&server.address, 0);
    int before = dup(server.listener);
    close(before); /* the lowest descriptor that is free */
    WEFT_SCOPE(scope);
    for (int i = 0; i < CLIENTS; i++) {
        wt_eq(weft_go(&scope, client, &server), 0);
    }
    int accepted = 0;
    unsigned tries = 0;
    while (accepted < CLIENTS) {
        int fd = weft_within(WEFT_US(tries++ % 20), weft_accept(server.listener, NULL, NULL, 0));
        if (fd >= 0) {
            accepted++;
            wt_eq(weft_go(&scope, echo, &fd), 0);
        } else {
            wt_eq(fd, -ETIME);
            weft_yield();
        }
    }
    wt_eq(weft_scope_end(&scope), 0);
    int after = dup(server.listener);
    close(after);
    wt_eq(after, before, "a descriptor leaked");
    weft_close(server.listener);
    return 0;
}

Test(net, no_connection_is_lost_however_often_accept_gives_up)
{
    run(accept_impatiently);
}

static int wait_for_ever(void *arg)
{
    char byte;
    return (int)weft_recv(*(int *)arg, &byte, 1, 0);
}

/* More idle connections than a ring has room for: they must not keep a busy one from being
 * served. */
static int idle_connections(void *arg)
{
    (void)arg;
    enum { IDLE = 3000 };
    int idle[2];
    int busy[2];
    open_pair(idle, SOCK_DGRAM);
    open_pair(busy, SOCK_STREAM);
    weft_task *tasks = calloc(IDLE, sizeof *tasks);
    WEFT_SCOPE(scope);
    for (int i = 0; i < IDLE; i++) {
        wt_eq(weft_spawn(&tasks[i], wait_for_ever, &idle[0]), 0);
    }
    for (int i = 0; i < 100; i++) {
        char byte;
        wt_eq(weft_send(busy[0], "x", 1, 0), 1);
        wt_eq(weft_recv(busy[1], &byte, 1, 0), 1);
        weft_yield();
    }
    wt_eq(weft_scope_cancel(&scope, "enough"), 0);
    for (int i = 0; i < IDLE; i++) {
        wt_eq(weft_await(&tasks[i]), -ECANCELED);
    }
    (void)weft_scope_end(&scope);
    free(tasks);
    for (int i = 0; i < 2; i++) {
        weft_close(idle[i]);
        weft_close(busy[i]);
    }
    return 0;
}

Test(net, idle_connections_do_not_keep_a_busy_one_waiting)
{
    run(idle_connections);
}

static int out_of_descriptors(void *arg)
{
    (void)arg;
    struct sockaddr_in address;
    int listener = listen_on_loopback(&address, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(weft_connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct rlimit limit = {(rlim_t)fd + 1, (rlim_t)fd + 1};
    struct rlimit former;
    wt_eq(getrlimit(RLIMIT_NOFILE, &former), 0);
    limit.rlim_max = former.rlim_max;
    wt_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    wt_eq(weft_accept(listener, NULL, NULL, 0), -EMFILE);
    wt_eq(setrlimit(RLIMIT_NOFILE, &former), 0);
    int peer = weft_accept(listener, NULL, NULL, 0);
    wt_ge(peer, 0, "the connection had stayed in the queue");
    weft_close(peer);
    weft_close(fd);
    weft_close(listener);
    return 0;
}

Test(net, accept_without_a_descriptor_to_spare_can_be_tried_again)
{
    run(out_of_descriptors);
}
