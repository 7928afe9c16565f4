/* test_echo.c: examples/echo.c as a program, on loopback. */
#include "program.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define CROWD 200

/* --- server and clients ----------------------------------------------------------------------- */

static int port_of(struct program *server)
{
    const char *line = program_await(server, &server->out, "\n");
    (void)line;
    int port = atoi(strrchr(server->out.bytes, ':') + 1);
    wt_gt(port, 0, "it printed: %s", server->out.bytes);
    return port;
}

#define server_start(server, ...) \
    (program_start((server), example("echo"), "-j", "2", ##__VA_ARGS__), port_of(server))

/* `report` is what the counters at the end must say, from the first comma on. */
/* Sooner than a server that waits for the drain's time, 5 s. */
#define PROMPTLY_MS 4000

static void server_stop(struct program *server, int signal, int64_t within_ms, const char *report)
{
    kill(server->pid, signal);
    wt_eq(program_wait(server, within_ms), 0, "stderr: %s", server->err.bytes);
    wt_true(strstr(server->out.bytes, report) != NULL, "expected '%s' in '%s'", report,
            server->out.bytes);
    program_free(server);
}

static int client_new(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_ge(fd, 0);
    struct timeval patience = {.tv_sec = scaled(PROGRAM_PATIENCE_MS) / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static int client_connect(int fd, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ? -errno : 0;
}

static int client_open(int port)
{
    int fd = client_new();
    wt_eq(client_connect(fd, port), 0);
    return fd;
}

static void send_bytes(int fd, const void *bytes, size_t n)
{
    wt_eq(send(fd, bytes, n, MSG_NOSIGNAL), n);
}

static void expect_bytes(int fd, const void *bytes, size_t n)
{
    char *got = malloc(n);
    wt_true(got != NULL);
    wt_eq(recv(fd, got, n, MSG_WAITALL), n);
    wt_mem_eq(got, bytes, n);
    free(got);
}

static void expect_end(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    wt_eq(n, 0, "errno %d", n < 0 ? errno : 0);
}

static void round_trip(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
    expect_bytes(fd, text, strlen(text));
}

/* Bytes in which no stretch repeats soon. */
static unsigned char *noise(size_t n)
{
    unsigned char *bytes = malloc(n);
    wt_true(bytes != NULL);
    uint64_t x = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (unsigned char)(x >> 32);
    }
    return bytes;
}

/* Sends all n bytes and then shuts the sending side down, from a process of its own. */
static pid_t send_from_child(int fd, const void *bytes, size_t n)
{
    pid_t pid = fork();
    wt_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        size_t sent = 0;
        while (sent < n) {
            ssize_t got = send(fd, (const char *)bytes + sent, n - sent, MSG_NOSIGNAL);
            if (got <= 0) {
                _exit(1);
            }
            sent += (size_t)got;
        }
        _exit(shutdown(fd, SHUT_WR) != 0);
    }
    return pid;
}

static void expect_success(pid_t pid)
{
    int status = -1;
    wt_eq(waitpid(pid, &status, 0), pid);
    wt_eq(status, 0);
}

/* Sends until nothing more fits anywhere, for longer than the shortest retransmission's time, 200
 * ms. */
static void fill(int fd)
{
    static const char bytes[16384];
    for (int full = 0; full < 40;) {
        full = send(fd, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 ? 0 : full + 1;
        poll(NULL, 0, full > 0 ? 10 : 0);
    }
}

/* A client that sends and does not receive, so that the server is stuck in its send. The window is
 * small: segments dropped for want of room would make all stand still too, but for a while only. */
static int client_stuck(int port)
{
    int fd = client_new();
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    wt_eq(client_connect(fd, port), 0);
    fill(fd);
    return fd;
}

/* --- echoing ---------------------------------------------------------------------------------- */

Test(echo, returns_each_message_as_it_comes)
{
    struct program server;
    int fd = client_open(server_start(&server));
    round_trip(fd, "x");
    round_trip(fd, "a longer one");
    close(fd);
    server_stop(&server, SIGINT, PROMPTLY_MS,
                ": 1 connections, 13 bytes, 0 idle, 0 lost, 0 cut, 0 errors\n");
}

Test(echo, returns_a_mebibyte_byte_for_byte_after_half_close)
{
    enum { BYTES = 1 << 20 };
    unsigned char *bytes = noise(BYTES);
    struct program server;
    int fd = client_open(server_start(&server));
    pid_t sender = send_from_child(fd, bytes, BYTES);
    expect_bytes(fd, bytes, BYTES);
    expect_end(fd);
    expect_success(sender);
    close(fd);
    free(bytes);
    server_stop(&server, SIGINT, PROMPTLY_MS,
                ": 1 connections, 1048576 bytes, 0 idle, 0 lost, 0 cut, 0 errors\n");
}

Test(echo, a_connection_without_a_byte_just_ends)
{
    struct program server;
    int fd = client_open(server_start(&server));
    shutdown(fd, SHUT_WR);
    expect_end(fd);
    close(fd);
    server_stop(&server, SIGINT, PROMPTLY_MS,
                ": 1 connections, 0 bytes, 0 idle, 0 lost, 0 cut, 0 errors\n");
}

Test(echo, serves_200_connections_at_once)
{
    struct program server;
    int port = server_start(&server);
    int fds[CROWD];
    char text[CROWD][64];
    for (int i = 0; i < CROWD; i++) {
        fds[i] = client_open(port);
        snprintf(text[i], sizeof text[i], "this is client number %d", i);
        send_bytes(fds[i], text[i], strlen(text[i]));
    }
    for (int i = CROWD - 1; i >= 0; i--) {
        expect_bytes(fds[i], text[i], strlen(text[i]));
        round_trip(fds[i], "and once more");
    }
    for (int i = 0; i < CROWD; i++) {
        shutdown(fds[i], SHUT_WR);
        expect_end(fds[i]);
        close(fds[i]);
    }
    server_stop(&server, SIGINT, PROMPTLY_MS,
                ": 200 connections, 7490 bytes, 0 idle, 0 lost, 0 cut, 0 errors\n");
}

Test(echo, listens_on_ipv6)
{
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (probe < 0 || bind(probe, (struct sockaddr *)&at, sizeof at) < 0) {
        wt_skip("no IPv6 here");
    }
    close(probe);
    struct program server;
    at.sin6_port = htons((uint16_t)server_start(&server, "-b", "::1"));
    wt_true(strstr(server.out.bytes, "[::1]:") != NULL, "it printed: %s", server.out.bytes);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    round_trip(fd, "over version 6");
    close(fd);
    server_stop(&server, SIGINT, PROMPTLY_MS, ": 1 connections, 14 bytes, ");
}

/* --- peers that misbehave --------------------------------------------------------------------- */

Test(echo, closes_a_connection_that_is_silent)
{
    struct program server;
    int fd = client_open(server_start(&server, "-t", "0.2"));
    int64_t start_ms = now_ms();
    round_trip(fd, "I am here");
    expect_end(fd);
    int64_t took_ms = now_ms() - start_ms;
    wt_ge(took_ms, 199);
    wt_lt(took_ms, scaled(2000));
    close(fd);
    server_stop(&server, SIGINT, PROMPTLY_MS,
                ": 1 connections, 9 bytes, 1 idle, 0 lost, 0 cut, 0 errors\n");
}

Test(echo, closes_a_connection_whose_peer_takes_nothing)
{
    struct program server;
    int fd = client_stuck(server_start(&server, "-t", "0.2"));
    /* POLLERR or POLLHUP: unread bytes make a close a reset */
    struct pollfd polled = {.fd = fd, .events = 0};
    wt_eq(poll(&polled, 1, (int)scaled(PROGRAM_PATIENCE_MS)), 1);
    close(fd);
    server_stop(&server, SIGINT, PROMPTLY_MS, ", 1 idle, 0 lost, 0 cut, 0 errors\n");
}

Test(echo, a_reset_is_not_an_error_of_the_server)
{
    struct program server;
    int port = server_start(&server);
    for (int i = 0; i < 3; i++) {
        int fd = client_open(port);
        round_trip(fd, "goodbye");
        struct linger now = {.l_onoff = 1};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fd);
    }
    int fd = client_open(port);
    round_trip(fd, "still there?");
    close(fd);
    server_stop(&server, SIGINT, PROMPTLY_MS, ", 0 idle, 3 lost, 0 cut, 0 errors\n");
}

/* --- shortage --------------------------------------------------------------------------------- */

static void limit_descriptors(void)
{
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 32, .rlim_max = 32});
}

Test(echo, out_of_descriptors_it_pauses_and_serves_the_rest_later)
{
    enum { CLIENTS = 40 };
    struct program server;
    const char *const argv[] = {example("echo"), "-j", "1", NULL};
    program_start_with(&server, &(struct program_opts){.before_exec = limit_descriptors}, argv);
    int port = port_of(&server);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(port);
        send_bytes(fds[i], "?", 1);
    }
    program_await(&server, &server.err, "Too many open files");
    round_trip(fds[0], "?"); /* who is in is served, who is not waits */
    struct pollfd last = {.fd = fds[CLIENTS - 1], .events = POLLIN};

    int64_t cpu_before_ms = cpu_ms_of(server.pid);
    wt_eq(poll(&last, 1, 500), 0);
    wt_lt(cpu_ms_of(server.pid) - cpu_before_ms, scaled(100), "of 500 ms of pause");

    for (int i = 0; i < CLIENTS; i++) {
        expect_bytes(fds[i], i == 0 ? "??" : "?", 1);
        close(fds[i]); /* makes room for the next */
    }
    wt_eq(lines_in(&server.err), 1, "it said: %s", server.err.bytes);
    server_stop(&server, SIGINT, PROMPTLY_MS, ": 40 connections, ");
}

Test(echo, idle_it_uses_no_cpu)
{
    enum { CLIENTS = 100 };
    struct program server;
    int port = server_start(&server);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(port);
        round_trip(fds[i], "hello");
    }
    poll(NULL, 0, 50); /* workers search a little before they sleep */
    int64_t before_ms = cpu_ms_of(server.pid);
    poll(NULL, 0, 1000);
    /* scaled: built for ThreadSanitizer it wakes 50 times a second, for signals */
    wt_le(cpu_ms_of(server.pid) - before_ms, scaled(2), "of 1000 ms");
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    server_stop(&server, SIGINT, PROMPTLY_MS, ": 100 connections, 500 bytes, ");
}

/* --- stopping --------------------------------------------------------------------------------- */

Test(echo, idle_it_stops_within_a_second)
{
    struct program server;
    server_start(&server);
    server_stop(&server, SIGTERM, PROMPTLY_MS,
                ": 0 connections, 0 bytes, 0 idle, 0 lost, 0 cut, 0 errors\n");
}

Test(echo, stopping_ends_connections_that_wait_for_their_peer)
{
    enum { CLIENTS = 50 };
    struct program server;
    int port = server_start(&server);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(port);
        round_trip(fds[i], "hello");
    }
    server_stop(&server, SIGINT, PROMPTLY_MS,
                ": 50 connections, 250 bytes, 0 idle, 0 lost, 0 cut, 0 errors\n");
    for (int i = 0; i < CLIENTS; i++) {
        expect_end(fds[i]);
        close(fds[i]);
    }
}

Test(echo, stopping_echoes_what_had_arrived)
{
    enum { BYTES = 48 * 1024 }; /* fits into the socket's receive buffer */
    unsigned char *bytes = noise(BYTES);
    struct program server;
    int fd = client_open(server_start(&server));
    round_trip(fd, "hello");
    kill(server.pid, SIGSTOP);
    send_bytes(fd, bytes, BYTES);
    int on_the_way = BYTES;
    while (on_the_way > 0) { /* ends: they fit; the peer's kernel acknowledges what it has */
        wt_eq(ioctl(fd, SIOCOUTQ, &on_the_way), 0);
        poll(NULL, 0, 1);
    }
    kill(server.pid, SIGINT);
    kill(server.pid, SIGCONT);
    expect_bytes(fd, bytes, BYTES);
    expect_end(fd);
    close(fd);
    free(bytes);
    server_stop(&server, SIGCONT, PROMPTLY_MS,
                ": 1 connections, 49157 bytes, 0 idle, 0 lost, 0 cut, 0 errors\n");
}

Test(echo, the_drain_is_bounded)
{
    struct program server;
    int port = server_start(&server, "-d", "0.3");
    int fd = client_stuck(port);
    int64_t start_ms = now_ms();
    kill(server.pid, SIGINT);
    program_await(&server, &server.err, "stopping");
    wt_eq(client_connect(client_new(), port), -ECONNREFUSED);
    server_stop(&server, SIGCONT, 3000, ", 0 idle, 0 lost, 1 cut, 0 errors\n");
    wt_ge(now_ms() - start_ms, 299);
    close(fd);
}

Test(echo, a_second_signal_ends_the_drain)
{
    struct program server;
    int fd = client_stuck(server_start(&server, "-d", "3600"));
    kill(server.pid, SIGINT);
    program_await(&server, &server.err, "stopping");
    server_stop(&server, SIGTERM, PROMPTLY_MS, ", 0 idle, 0 lost, 1 cut, 0 errors\n");
    close(fd);
}

/* --- starting --------------------------------------------------------------------------------- */

Test(echo, a_port_in_use_is_one_clear_line)
{
    struct program first;
    struct program second;
    char port[16];
    snprintf(port, sizeof port, "%d", server_start(&first));
    program_start(&second, example("echo"), "-p", port);
    wt_eq(program_wait(&second, PROGRAM_PATIENCE_MS), 1);
    wt_str_eq(second.out.bytes, "");
    wt_eq(lines_in(&second.err), 1, "stderr: %s", second.err.bytes);
    wt_true(strstr(second.err.bytes, port) != NULL, "stderr: %s", second.err.bytes);
    wt_true(strstr(second.err.bytes, "Address already in use") != NULL, "stderr: %s",
            second.err.bytes);
    program_free(&second);
    server_stop(&first, SIGINT, PROMPTLY_MS, ": 0 connections, ");
}

Test(echo, an_impossible_address_is_one_clear_line)
{
    struct program server;
    program_start(&server, example("echo"), "-b", "nowhere");
    wt_eq(program_wait(&server, PROGRAM_PATIENCE_MS), 1);
    wt_eq(lines_in(&server.err), 1, "stderr: %s", server.err.bytes);
    program_free(&server);
}

Test(echo, a_wrong_usage_is_one_clear_line)
{
    const char *echo = example("echo");
    check_usage_error(echo, "-x");
    check_usage_error(echo, "-p");
    check_usage_error(echo, "-p", "65536");
    check_usage_error(echo, "-p", "http");
    check_usage_error(echo, "-p", "");
    check_usage_error(echo, "-p", "-1");
    check_usage_error(echo, "-j", "0");
    check_usage_error(echo, "-j", "257");
    check_usage_error(echo, "-j", "2x");
    check_usage_error(echo, "-t", "0");
    check_usage_error(echo, "-t", "-1");
    check_usage_error(echo, "-t", "nan");
    check_usage_error(echo, "-d", "soon");
    check_usage_error(echo, "7777");
}
