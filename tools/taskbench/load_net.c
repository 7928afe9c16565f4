/* load_net.c: a TCP echo server in weft, and a client that is not weft: one thread over epoll, on
 * the trial's main thread.
 *
 * Both share the machine. `echo` has as many requests in flight as there are connections, so
 * requests per second say as much about the client as about the server: what the server costs is a
 * metric of its own, the CPU time of the process without that of the client's thread.
 *
 * `net/mixed`: requests are due at equal distances, and one in LONG_EVERY makes the server compute,
 * on whichever worker has it. What counts is how long all others take, from when they were due: by
 * itself a worker that computes leaves what arrives for it lying; a rescuer takes that over
 * (weft_rt_opts.rescue).
 */
#define _GNU_SOURCE /* ppoll */
#include "clock.h"
#include "hist.h"
#include "load.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/io.h>

#define CONNECTIONS_MAX 1024
#define BYTES_MAX       4096
#define REQUESTS_ROUND  64 /* requests of a round */
#define EVENTS_MAX      64
#define SILENCE_MS      10000 /* without an answer the server is taken for dead */
#define LONG_EVERY      100
#define LONG_MARK       'C' /* the first byte of a request that is long, and of one that is not */
#define SHORT_MARK      's'
#define MIXED_REQUESTS  1000 /* of a sample: ten of them long */
#define MIXED_SAMPLES   10
#define CLIENT_PRIORITY 2 /* of real-time ones: above whoever runs all of this by `chrt -f 1` */

struct connection {
    int fd;
    uint64_t sent;   /* requests */
    size_t received; /* bytes of the answer to the last one */

    /* net/mixed */
    bool busy;        /* an answer is awaited */
    bool is_long;     /* the last request is */
    uint64_t due_ns;  /* when it was due */
    uint64_t waiting; /* requests that are due and not sent */
    uint64_t next;    /* number of the oldest of these, of all requests */
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

    /* net/mixed; long_ns is 0 for echo */
    uint64_t long_ns;                                   /* what a long request computes */
    uint64_t rate;                                      /* requests per second */
    uint64_t start_ns;                                  /* when the sample's first request is due */
    struct tb_hist short_latency, long_latency;         /* of this sample; ns */
    struct tb_hist all_short_latency, all_long_latency; /* of all but the first */
    uint64_t rescued;                                   /* at the end of the first sample */
    struct connection connections[CONNECTIONS_MAX];
};

/* --- server: weft ----------------------------------------------------------------------------- */

struct serving {
    int fd;
    uint64_t long_ns;
};

static void compute(uint64_t ns)
{
    for (uint64_t end = tb_now_ns() + ns; tb_now_ns() < end;) {
    }
}

WEFT_TASK(serve_connection, struct serving)
{
    char buffer[BYTES_MAX];
    int fd = arg->fd;
    ssize_t n;
    while ((n = weft_recv(fd, buffer, sizeof buffer, 0)) > 0) { /* ends with the connection */
        if (arg->long_ns > 0 && buffer[0] == LONG_MARK) {
            compute(arg->long_ns);
        }
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
        struct serving serving = {fd, echo->long_ns};
        rc = fd < 0 ? fd : weft_go(&scope, serve_connection, &serving);
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

/* The last request of a connection. */
static void make_request(const struct echo *echo, char *out, int at)
{
    const struct connection *c = &echo->connections[at];
    fill_request(out, echo->bytes, at, c->sent);
    if (echo->long_ns > 0) {
        out[0] = c->is_long ? LONG_MARK : SHORT_MARK;
    }
}

static int send_request(struct tb_trial *trial, struct echo *echo, int at)
{
    char request[BYTES_MAX];
    struct connection *c = &echo->connections[at];
    c->sent++;
    c->received = 0;
    make_request(echo, request, at);
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
    make_request(echo, request, at);
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

/* --- net/mixed -------------------------------------------------------------------------------- */

static uint64_t due_at(const struct echo *echo, uint64_t number)
{
    return echo->start_ns + number * UINT64_C(1000000000) / echo->rate;
}

/* Sends the oldest request that waits for its connection, if there is one and it is free. */
static int send_waiting(struct tb_trial *trial, struct echo *echo, int at)
{
    struct connection *c = &echo->connections[at];
    if (c->busy || c->waiting == 0) {
        return 0;
    }
    c->waiting--;
    c->busy = true;
    c->is_long = c->next % LONG_EVERY == LONG_EVERY - 1;
    c->due_ns = due_at(echo, c->next);
    c->next += (uint64_t)echo->connections_n;
    return send_request(trial, echo, at);
}

/* Sends what has become due. *next: the number of the first that has not. */
static int send_due(struct tb_trial *trial, struct echo *echo, uint64_t *next, uint64_t wanted)
{
    uint64_t now = tb_now_ns();
    int rc = 0;
    for (; *next < wanted && due_at(echo, *next) <= now && rc == 0; ++*next) {
        int at = (int)(*next % (uint64_t)echo->connections_n);
        echo->connections[at].waiting++;
        rc = send_waiting(trial, echo, at);
    }
    return rc;
}

static int take_mixed(struct tb_trial *trial, struct echo *echo, int at)
{
    struct connection *c = &echo->connections[at];
    int rc = take_answer(trial, echo, at);
    if (rc < 0 || !c->busy || c->received < echo->bytes) {
        return rc;
    }
    uint64_t now = tb_now_ns();
    tb_hist_add(c->is_long ? &echo->long_latency : &echo->short_latency,
                now > c->due_ns ? now - c->due_ns : 0);
    c->busy = false;
    return send_waiting(trial, echo, at);
}

/* Until something can be received, or `until_ns`; finer than epoll's milliseconds. */
static void wait_until(const struct echo *echo, uint64_t until_ns)
{
    uint64_t now = tb_now_ns(), ns = until_ns > now ? until_ns - now : 0;
    struct timespec time = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    struct pollfd one = {echo->epoll, POLLIN, 0};
    ppoll(&one, 1, &time, NULL);
}

static int talk_mixed(struct tb_trial *trial, struct echo *echo, uint64_t wanted)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t next = 0, heard_ns = tb_now_ns();
    int rc = 0;
    echo->requests = 0;
    while (rc == 0 && echo->requests < wanted) { /* ends: answers come, or SILENCE_MS pass */
        rc = send_due(trial, echo, &next, wanted);
        uint64_t silence_ns = heard_ns + SILENCE_MS * UINT64_C(1000000);
        wait_until(echo, next < wanted ? due_at(echo, next) : silence_ns);
        int n = epoll_wait(echo->epoll, events, EVENTS_MAX, 0);
        uint64_t now = tb_now_ns();
        heard_ns = n > 0 ? now : heard_ns;
        if (now >= silence_ns) {
            return tb_wrong(trial, "the server does not answer");
        }
        for (int i = 0; i < n && rc == 0; i++) {
            rc = take_mixed(trial, echo, (int)events[i].data.u32);
        }
    }
    return rc;
}

/* The client may not wait for a worker that computes: it would measure itself. Without the right to
 * a real-time priority it competes as any thread does. 0: it had an ordinary one before. */
static bool raise_client(struct sched_param *before, int *policy)
{
    struct sched_param param = {.sched_priority = CLIENT_PRIORITY};
    return pthread_getschedparam(pthread_self(), policy, before) == 0 &&
           pthread_setschedparam(pthread_self(), SCHED_FIFO, &param) == 0;
}

static uint64_t count_rescued(const struct tb_trial *trial)
{
    weft_stats stats;
    weft_stats_get(trial->rt, &stats);
    return stats.ops_rescued;
}

/* The sample's time is the 99th percentile of what was not long, as often as there were
 * requests. */
static int mixed_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct echo *echo = trial->state;
    struct sched_param before;
    int policy;
    bool raised = raise_client(&before, &policy);
    memset(&echo->short_latency, 0, sizeof echo->short_latency);
    memset(&echo->long_latency, 0, sizeof echo->long_latency);
    for (int i = 0; i < echo->connections_n; i++) {
        echo->connections[i].next = (uint64_t)i;
    }
    echo->start_ns = tb_now_ns();
    int rc = talk_mixed(trial, echo, rounds * MIXED_REQUESTS);
    if (raised) {
        pthread_setschedparam(pthread_self(), policy, &before);
    }
    trial->elapsed_ns = tb_hist_at(&echo->short_latency, 0.99) * trial->ops_per_round * rounds;
    if (echo->warm) {
        tb_hist_merge(&echo->all_short_latency, &echo->short_latency);
        tb_hist_merge(&echo->all_long_latency, &echo->long_latency);
    } else {
        echo->rescued = count_rescued(trial);
        echo->warm = true;
    }
    return rc;
}

static void say_mixed(struct tb_trial *trial, const struct echo *echo)
{
    const struct tb_hist *all = &echo->all_short_latency;
    if (all->n > 0) {
        tb_metric(trial, "short_p50", "ns", (double)tb_hist_at(all, 0.5));
        tb_metric(trial, "short_p99", "ns", (double)tb_hist_at(all, 0.99));
        tb_metric(trial, "short_p999", "ns", (double)tb_hist_at(all, 0.999));
        tb_metric(trial, "long_p50", "ns", (double)tb_hist_at(&echo->all_long_latency, 0.5));
        tb_metric(trial, "rescued", "", (double)(count_rescued(trial) - echo->rescued));
    }
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

static int open_with(struct tb_trial *trial, uint64_t rate, uint64_t long_ns)
{
    struct echo *echo = trial->state = calloc(1, sizeof *echo);
    if (!echo) {
        return tb_skip(trial, "no memory for the connections");
    }
    echo->rate = rate;
    echo->long_ns = long_ns;
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

static int echo_open(struct tb_trial *trial)
{
    return open_with(trial, 0, 0);
}

static int mixed_open(struct tb_trial *trial)
{
    if (trial->workers < 2) {
        return tb_skip(trial, "needs two workers: one that computes, and one that does not");
    }
    int rc = open_with(trial, trial->params[2], trial->params[3] * UINT64_C(1000000));
    trial->ops_per_round = MIXED_REQUESTS;
    return rc;
}

static void echo_close(struct tb_trial *trial)
{
    struct echo *echo = trial->state;
    disconnect(echo);
    say_mixed(trial, echo);
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
    {
        .name = "net/mixed",
        .group = "net",
        .about = "99th percentile of requests beside those that compute",
        .op = "short request, p99",
        .flags = TB_LOAD_OUTSIDE | TB_LOAD_ONCE,
        .samples_max = MIXED_SAMPLES,
        .params = {{"connections", 64, 1, CONNECTIONS_MAX, "connections, a request on each"},
                   {"bytes", 64, 1, BYTES_MAX, "bytes of a request"},
                   {"rate", 2000, 100, 100000, "requests a second"},
                   {"long_ms", 10, 1, 1000, "what one in 100 computes, in ms"}},
        .open = mixed_open,
        .sample = mixed_sample,
        .close = echo_close,
    },
    {.name = NULL},
};
