/* load_net.c: a TCP echo server in weft, and a client that is not weft: one thread over epoll, on
 * the trial's main thread, with as many requests in flight as there are connections.
 *
 * Both share the machine, so requests per second say as much about the client as about the server.
 * What the server costs is a metric of its own: the CPU time of the process without that of the
 * client's thread. */
#include "clock.h"
#include "load.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/io.h>

#define CONNECTIONS_MAX 1024
#define BYTES_MAX       4096
#define REQUESTS_ROUND  64 /* requests of a round */
#define EVENTS_MAX      64
#define SILENCE_MS      10000 /* without an answer the server is taken for dead */

struct connection {
    int fd;
    uint64_t sent;   /* requests */
    size_t received; /* bytes of the answer to the last one */
};

struct echo {
    int listener;
    int epoll;
    int connections_n;
    size_t bytes;
    pthread_t server;
    int server_rc;
    weft_rt *rt;
    uint64_t requests;      /* answered, in this sample */
    uint64_t server_cpu_ns; /* of all samples but the first */
    uint64_t server_requests;
    bool warm; /* the first sample is over */
    struct connection connections[CONNECTIONS_MAX];
};

/* --- server: weft ----------------------------------------------------------------------------- */

WEFT_TASK(serve_connection, int)
{
    char buffer[BYTES_MAX];
    int fd = *arg;
    ssize_t n;
    while ((n = weft_recv(fd, buffer, sizeof buffer, 0)) > 0) { /* ends with the connection */
        ssize_t sent = weft_send_all(fd, buffer, (size_t)n, 0);
        if (sent != n) {
            n = sent < 0 ? sent : -EPIPE;
            break;
        }
    }
    weft_close(fd);
    return (int)n;
}

/* Serves so many connections and no more, and ends when they have. */
static int serve(void *arg)
{
    struct echo *echo = arg;
    int rc = 0;
    WEFT_SCOPE(scope);
    for (int i = 0; i < echo->connections_n && rc >= 0; i++) {
        int fd = weft_accept(echo->listener, NULL, NULL, 0);
        rc = fd < 0 ? fd : weft_go(&scope, serve_connection, &fd);
    }
    int end = weft_scope_end(&scope);
    return rc < 0 ? rc : end;
}

static void *run_server(void *arg)
{
    struct echo *echo = arg;
    echo->server_rc = weft_call(echo->rt, serve, echo);
    return NULL;
}

/* --- client: epoll ---------------------------------------------------------------------------- */

/* What request number `number` of a connection looks like: no two in a row are alike. */
static void fill_request(char *out, size_t bytes, int connection, uint64_t number)
{
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (char)(i * 7 + number + (uint64_t)connection * 31);
    }
}

static int send_request(struct tb_trial *trial, struct echo *echo, int at)
{
    char request[BYTES_MAX];
    struct connection *c = &echo->connections[at];
    fill_request(request, echo->bytes, at, ++c->sent);
    c->received = 0;
    ssize_t n = send(c->fd, request, echo->bytes, MSG_NOSIGNAL);
    return n == (ssize_t)echo->bytes ? 0 : tb_wrong(trial, "the client could not send a request");
}

/* Part of an answer, or all of it; its bytes are compared with the request's. */
static int take_answer(struct tb_trial *trial, struct echo *echo, int at)
{
    char answer[BYTES_MAX], request[BYTES_MAX];
    struct connection *c = &echo->connections[at];
    ssize_t n = recv(c->fd, answer, echo->bytes - c->received, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n <= 0) {
        return tb_wrong(trial, "the server closed a connection");
    }
    fill_request(request, echo->bytes, at, c->sent);
    if (memcmp(request + c->received, answer, (size_t)n) != 0) {
        return tb_wrong(trial, "an answer differs from its request");
    }
    c->received += (size_t)n;
    echo->requests += c->received == echo->bytes;
    return 0;
}

static int on_event(struct tb_trial *trial, struct echo *echo, int at, uint64_t wanted,
                    uint64_t *sent)
{
    int rc = take_answer(trial, echo, at);
    bool answered = echo->connections[at].received == echo->bytes;
    if (rc == 0 && answered && *sent < wanted) {
        ++*sent;
        rc = send_request(trial, echo, at);
    }
    return rc;
}

/* Sends `wanted` requests, one at a time on each connection, and waits for all answers. */
static int talk(struct tb_trial *trial, struct echo *echo, uint64_t wanted)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t sent = 0;
    int rc = 0;
    echo->requests = 0;
    for (int i = 0; i < echo->connections_n && sent < wanted && rc == 0; i++, sent++) {
        rc = send_request(trial, echo, i);
    }
    while (rc == 0 && echo->requests < wanted) { /* ends: answers come, or SILENCE_MS pass */
        int n = epoll_wait(echo->epoll, events, EVENTS_MAX, SILENCE_MS);
        if (n == 0) {
            return tb_wrong(trial, "the server does not answer");
        }
        for (int i = 0; i < n && rc == 0; i++) {
            rc = on_event(trial, echo, (int)events[i].data.u32, wanted, &sent);
        }
    }
    return rc;
}

static int echo_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct echo *echo = trial->state;
    uint64_t wanted = rounds * REQUESTS_ROUND;
    uint64_t all = tb_cpu_ns(), client = tb_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int rc = talk(trial, echo, wanted);
    client = tb_clock_ns(CLOCK_THREAD_CPUTIME_ID) - client;
    all = tb_cpu_ns() - all;
    if (echo->warm) {
        echo->server_cpu_ns += all > client ? all - client : 0;
        echo->server_requests += wanted;
    }
    echo->warm = true;
    return rc;
}

/* --- life ------------------------------------------------------------------------------------- */

static int listen_on_loopback(struct sockaddr_in *address)
{
    socklen_t bytes = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)address, sizeof *address) == 0 &&
                 listen(fd, CONNECTIONS_MAX) == 0 &&
                 getsockname(fd, (struct sockaddr *)address, &bytes) == 0;
    if (!bound && fd >= 0) {
        close(fd);
    }
    return bound ? fd : -1;
}

static bool connect_one(struct echo *echo, int at, const struct sockaddr_in *address)
{
    struct connection *c = &echo->connections[at];
    struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = (uint32_t)at}};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return c->fd >= 0 && connect(c->fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
           setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
           epoll_ctl(echo->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

/* Closing the connections ends the server; shutting the listener down ends it while it waits for
 * one. */
static void disconnect(struct echo *echo)
{
    shutdown(echo->listener, SHUT_RDWR);
    for (int i = 0; i < echo->connections_n; i++) {
        if (echo->connections[i].fd >= 0) {
            close(echo->connections[i].fd);
        }
    }
    pthread_join(echo->server, NULL);
    close(echo->epoll);
    close(echo->listener);
}

static int connect_all(struct tb_trial *trial, struct echo *echo, const struct sockaddr_in *address)
{
    for (int i = 0; i < echo->connections_n; i++) {
        if (!connect_one(echo, i, address)) {
            return tb_skip(trial, "no %d connections over loopback: %s", echo->connections_n,
                           strerror(errno));
        }
    }
    return 0;
}

static int start(struct tb_trial *trial, struct echo *echo)
{
    struct sockaddr_in address;
    echo->listener = listen_on_loopback(&address);
    if (echo->listener < 0) {
        return tb_skip(trial, "no TCP over loopback: %s", strerror(errno));
    }
    echo->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (echo->epoll < 0 || pthread_create(&echo->server, NULL, run_server, echo) != 0) {
        close(echo->epoll);
        close(echo->listener);
        return tb_skip(trial, "no epoll or no thread for the client");
    }
    int rc = connect_all(trial, echo, &address);
    if (rc < 0) {
        disconnect(echo);
    }
    return rc;
}

static int echo_open(struct tb_trial *trial)
{
    struct echo *echo = trial->state = calloc(1, sizeof *echo);
    if (!echo) {
        return tb_skip(trial, "no memory for the connections");
    }
    echo->rt = trial->rt;
    echo->connections_n = (int)trial->params[0];
    echo->bytes = trial->params[1];
    trial->ops_per_round = REQUESTS_ROUND;
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        echo->connections[i].fd = -1;
    }
    int rc = start(trial, echo);
    if (rc < 0) {
        free(echo);
    }
    return rc;
}

static void echo_close(struct tb_trial *trial)
{
    struct echo *echo = trial->state;
    disconnect(echo);
    if (echo->server_rc < 0 && trial->reason[0] == '\0') {
        tb_wrong(trial, "the server failed: %s", strerror(-echo->server_rc));
    }
    if (echo->server_requests > 0) {
        tb_metric(trial, "server_cpu", "ns",
                  (double)echo->server_cpu_ns / (double)echo->server_requests);
    }
    free(echo);
}

const struct tb_load tb_loads_net[] = {
    {
        .name = "echo",
        .group = "net",
        .about = "TCP echo over loopback, client in epoll",
        .op = "request",
        .flags = TB_LOAD_QUICK | TB_LOAD_OUTSIDE,
        .params = {{"connections", 64, 1, CONNECTIONS_MAX, "connections, a request on each"},
                   {"bytes", 64, 1, BYTES_MAX, "bytes of a request"}},
        .open = echo_open,
        .sample = echo_sample,
        .close = echo_close,
    },
    {.name = NULL},
};
