/* cmd_serve.c: `taskbench serve`: the server of `taskbench net`, in a process of its own, so that
 * its CPU time, memory and threads are its own. Says on the wire where it listens, serves until its
 * stdin is closed, and says what its runtime counted. */
#define _GNU_SOURCE
#include "command.h"
#include "exit.h"
#include "net.h"
#include "usage.h"
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/io.h>
#include <weft/task.h>

#define HEAD_MAX    128
#define REQUEST_MAX 4096 /* of HTTP: longer ones end the connection */
#define STOP_DRAIN  WEFT_SEC(2)
#define STOP_KILL   WEFT_SEC(2)
#define END_OF_HEAD "\r\n\r\n"
#define END_BYTES   4

struct server {
    enum tb_net_kind kind;
    int listener;
    int rc;
    weft_rt *rt;
    char answer[HEAD_MAX + TB_NET_BYTES_MAX];
    size_t answer_bytes;
};

static struct server server; /* a task's argument is copied: it would be large */

/* --- a connection ----------------------------------------------------------------------------- */

static ssize_t answer_echo(int fd, const char *request, size_t bytes)
{
    return weft_send_all(fd, request, bytes, 0);
}

/* 0, or an error: of the connection, or because it sends what is no request. */
static int serve_echo(int fd)
{
    char buffer[TB_NET_BYTES_MAX];
    ssize_t n;
    while ((n = weft_recv(fd, buffer, sizeof buffer, 0)) > 0) { /* ends with the connection */
        ssize_t sent = answer_echo(fd, buffer, (size_t)n);
        if (sent != n) {
            return sent < 0 ? (int)sent : -EPIPE;
        }
    }
    return (int)n;
}

/* Takes whole requests off the beginning; how many bytes are left. *requests: how many they
 * were. */
static size_t take_requests(char *buffer, size_t bytes, size_t *requests)
{
    char *at = buffer, *end = buffer + bytes, *head;
    *requests = 0;
    while ((head = memmem(at, (size_t)(end - at), END_OF_HEAD, END_BYTES))) {
        at = head + END_BYTES;
        ++*requests;
    }
    memmove(buffer, at, (size_t)(end - at));
    return (size_t)(end - at);
}

static int answer_http(int fd, size_t requests)
{
    for (; requests > 0; requests--) {
        ssize_t sent = weft_send_all(fd, server.answer, server.answer_bytes, 0);
        if (sent != (ssize_t)server.answer_bytes) {
            return sent < 0 ? (int)sent : -EPIPE;
        }
    }
    return 0;
}

static int serve_http(int fd)
{
    char buffer[REQUEST_MAX];
    size_t held = 0, requests;
    ssize_t n;
    while ((n = weft_recv(fd, buffer + held, sizeof buffer - held, 0)) > 0) { /* as above */
        held = take_requests(buffer, held + (size_t)n, &requests);
        int rc = answer_http(fd, requests);
        if (rc < 0 || held == sizeof buffer) {
            return rc < 0 ? rc : -EMSGSIZE;
        }
    }
    return (int)n;
}

WEFT_TASK(serve_connection, int)
{
    int fd = *arg, one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int rc = server.kind == TB_NET_ECHO ? serve_echo(fd) : serve_http(fd);
    weft_close(fd);
    /* a client that has gone is no failure of the server */
    return rc == -ECONNRESET || rc == -EPIPE || rc == -ECANCELED ? 0 : rc;
}

/* --- the server ------------------------------------------------------------------------------- */

static int serve(void *arg)
{
    (void)arg;
    int rc = 0;
    WEFT_SCOPE(scope);
    for (;;) { /* ends: the listener is shut down */
        int fd = weft_accept(server.listener, NULL, NULL, 0);
        if (fd < 0) {
            break;
        }
        rc = weft_go(&scope, serve_connection, &fd);
        if (rc < 0) {
            weft_close(fd);
            break;
        }
    }
    int end = weft_scope_end(&scope);
    return rc < 0 ? rc : end;
}

static void *run_server(void *arg)
{
    (void)arg;
    server.rc = weft_call(server.rt, serve, NULL);
    return NULL;
}

static int listen_here(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.listener < 0 ||
        bind(server.listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(server.listener, TB_NET_CONNECTIONS_MAX) < 0 ||
        getsockname(server.listener, (struct sockaddr *)&address, &bytes) < 0) {
        return -errno;
    }
    *port = ntohs(address.sin_port);
    return 0;
}

/* What every HTTP request is answered with: a body of so many bytes of 'w'. */
static void make_answer(size_t bytes)
{
    int head = snprintf(
        server.answer, HEAD_MAX,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", bytes);
    memset(server.answer + head, 'w', bytes);
    server.answer_bytes = (size_t)head + bytes;
}

/* Until the parent has closed its end, or is gone. */
static void wait_for_end(void)
{
    char byte;
    ssize_t n;
    do {
        n = read(STDIN_FILENO, &byte, 1);
    } while (n > 0 || (n < 0 && errno == EINTR));
}

static void say_end(void)
{
    struct tb_usage usage;
    weft_stats stats;
    weft_stats_get(server.rt, &stats);
    tb_wire_counters(&stats, &stats);
    tb_usage_get(&usage);
    tb_wire_say("rss %" PRIu64, usage.rss_max_bytes);
}

static void run(int workers)
{
    pthread_t thread;
    uint16_t port = 0;
    weft_rt_opts opts = {.workers = workers};
    int rc = listen_here(&port);
    rc = rc < 0 ? rc : weft_rt_start(&server.rt, &opts);
    if (rc < 0) {
        tb_wire_say("skip the server does not start: %s", strerror(-rc));
        return;
    }
    if (pthread_create(&thread, NULL, run_server, NULL) != 0) {
        tb_wire_say("skip the server has no thread");
        return;
    }
    tb_wire_say("port %u", port);
    wait_for_end();
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    say_end();
    rc = weft_rt_stop(server.rt, STOP_DRAIN, STOP_KILL);
    rc = rc < 0 ? rc : server.rc;
    if (rc < 0) {
        tb_wire_say("wrong the server failed: %s", strerror(-rc));
    } else {
        tb_wire_say("done");
    }
}

/* serve echo|http WORKERS BYTES */
int tb_cmd_serve(int argc, char **argv)
{
    if (fcntl(TB_WIRE_FD, F_GETFD) < 0 || argc != 4) {
        fprintf(stderr, "taskbench: this command is for taskbench's own use\n");
        return TB_EXIT_USAGE;
    }
    signal(SIGINT, SIG_IGN); /* the parent alone decides what a Ctrl-C means */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    server.kind = strcmp(argv[1], "http") == 0 ? TB_NET_HTTP : TB_NET_ECHO;
    size_t bytes = strtoull(argv[3], NULL, 10);
    make_answer(bytes < TB_NET_BYTES_MAX ? bytes : TB_NET_BYTES_MAX);
    run(atoi(argv[2]));
    return TB_EXIT_OK;
}
