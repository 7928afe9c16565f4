/* net_client.c: the client of `taskbench net`. See net.h for the terms. Times are absolute, of the
 * monotonic clock. */
#define _GNU_SOURCE
#include "child.h"
#include "clock.h"
#include "net.h"
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define ANSWER_MAX 65536                 /* of HTTP, head included */
#define SILENCE_NS UINT64_C(10000000000) /* without an answer the server is taken for dead */
#define TICK_NS    UINT64_C(100000000)
#define WINDOWS    100 /* of a run: its samples, if that leaves each 20 ms or more */
#define WINDOW_NS  20000000.0
#define SPIN_NS    60000   /* a shorter sleep comes too late: epoll is asked again and again */
#define LATE_MAX   1000000 /* requests that were never sent which are counted one by one (N.2) */
#define NEVER      UINT64_MAX

struct connection {
    int fd;          /* -1: none */
    bool busy;       /* a request is in flight */
    uint64_t number; /* of the last request */
    uint64_t due;    /* of the request in flight, or the next one */
    uint64_t next;   /* due after that; open loop */
    uint64_t sent;
    size_t received, wanted; /* bytes of the answer; wanted 0: not known yet */
    char *answer;
};

struct client {
    struct tb_net *net;
    const struct tb_peer *peer;
    struct tb_row *row;
    int epoll;
    struct connection *connections;
    size_t answer_max;
    uint64_t random;

    /* idle connections by the time when they are due: a heap, the soonest first; open loop */
    uint32_t *heap;
    size_t heap_n;

    uint64_t start, warm, end; /* due before `warm`: not counted; from `end` on: not sent */
    uint64_t in_flight, heard, ticked;
    uint64_t window_start, window_n, window_ns;
    uint64_t counted; /* requests answered, of those that count */
    uint64_t cpu_begin, cpu_n;
    char *expected; /* the body of every answer of HTTP */
    size_t expected_bytes;
    bool has_expected;
};

/* The first reason stays. */
static int wrong(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int wrong(struct client *c, const char *format, ...)
{
    va_list args;
    if (c->row->status == TB_ROW_OK) {
        va_start(args, format);
        vsnprintf(c->row->reason, sizeof c->row->reason, format, args);
        va_end(args);
        c->row->status = TB_ROW_WRONG;
    }
    return -1;
}

/* --- when requests are due -------------------------------------------------------------------- */

/* xorshift64*, as a number above 0 and up to 1. */
static double next_random(struct client *c)
{
    c->random ^= c->random >> 12;
    c->random ^= c->random << 25;
    c->random ^= c->random >> 27;
    return ((double)((c->random * 0x2545f4914f6cdd1d) >> 11) + 1) / 9007199254740992.0;
}

/* From one request of a connection to its next. All connections together make the rate, and the sum
 * of Poisson processes is one. */
static uint64_t distance(struct client *c)
{
    double mean = 1e9 * (double)c->net->connections / (double)c->net->rate;
    double ns = c->net->poisson ? -log(next_random(c)) * mean : mean;
    return ns < 1e15 ? (uint64_t)ns : (uint64_t)1e15;
}

static void swap(struct client *c, size_t a, size_t b)
{
    uint32_t kept = c->heap[a];
    c->heap[a] = c->heap[b];
    c->heap[b] = kept;
}

static uint64_t due_at(const struct client *c, size_t place)
{
    return c->connections[c->heap[place]].due;
}

static void heap_push(struct client *c, uint32_t at)
{
    size_t place = c->heap_n++;
    c->heap[place] = at;
    while (place > 0 && due_at(c, (place - 1) / 2) > due_at(c, place)) {
        swap(c, place, (place - 1) / 2);
        place = (place - 1) / 2;
    }
}

static uint32_t heap_pop(struct client *c)
{
    uint32_t out = c->heap[0];
    size_t place = 0;
    c->heap[0] = c->heap[--c->heap_n];
    for (;;) { /* ends: place doubles */
        size_t least = place, left = 2 * place + 1;
        for (size_t child = left; child < left + 2 && child < c->heap_n; child++) {
            least = due_at(c, child) < due_at(c, least) ? child : least;
        }
        if (least == place) {
            return out;
        }
        swap(c, place, least);
        place = least;
    }
}

/* --- requests --------------------------------------------------------------------------------- */

/* What request number `number` of a connection is echoed as: no two in a row are alike. */
static void fill_echo(char *out, size_t bytes, uint32_t at, uint64_t number)
{
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (char)(i * 7 + number + (uint64_t)at * 31);
    }
}

static const char http_request[] = "GET / HTTP/1.1\r\nHost: taskbench\r\n\r\n";

static int send_request(struct client *c, uint32_t at)
{
    char request[TB_NET_BYTES_MAX];
    struct connection *one = &c->connections[at];
    bool is_http = c->net->kind == TB_NET_HTTP;
    size_t bytes = is_http ? sizeof http_request - 1 : c->net->bytes;
    one->number++;
    one->received = 0;
    one->wanted = is_http ? 0 : bytes;
    if (!is_http) {
        fill_echo(request, bytes, at, one->number);
    }
    one->busy = true;
    one->sent = tb_now_ns();
    one->due = c->net->rate ? one->due : one->sent;
    c->in_flight++;
    ssize_t n = send(one->fd, is_http ? http_request : request, bytes, MSG_NOSIGNAL);
    return n == (ssize_t)bytes ? 0
                               : wrong(c, "a request could not be sent: %s",
                                       n < 0 ? strerror(errno) : "the socket is full");
}

/* The idle connection's next request: now, later, or never. */
static int plan_next(struct client *c, uint32_t at, uint64_t now)
{
    struct connection *one = &c->connections[at];
    if (c->net->rate == 0) {
        return now < c->end ? send_request(c, at) : 0;
    }
    one->due = one->next;
    if (one->due >= c->end) {
        return 0;
    }
    one->next += distance(c);
    if (one->due > now) {
        heap_push(c, at);
        return 0;
    }
    return send_request(c, at);
}

static int send_due(struct client *c, uint64_t now)
{
    int rc = 0;
    while (rc == 0 && c->heap_n > 0 && due_at(c, 0) <= now) { /* ends: each turn takes one out */
        rc = send_request(c, heap_pop(c));
    }
    return rc;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The number after a header's name; -1: it has none of that name. `head` ends with an empty
 * line. */
static long header_number(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':') {
            return strtol(line + 2 + n + 1, NULL, 10);
        }
    }
    return -1;
}

/* Once the head is there: how long the answer is. */
static int read_head(struct client *c, struct connection *one)
{
    char *end = memmem(one->answer, one->received, "\r\n\r\n", 4);
    if (!end) {
        return one->received < c->answer_max ? 0 : wrong(c, "an answer has no end of its head");
    }
    size_t head = (size_t)(end - one->answer) + 4;
    char kept = one->answer[head];
    one->answer[head] = '\0'; /* there is a byte more than answer_max */
    bool fine = strncmp(one->answer, "HTTP/1.1 200", 12) == 0;
    long bytes = header_number(one->answer, "Content-Length");
    one->answer[head] = kept;
    if (!fine) {
        return wrong(c, "an answer is not \"HTTP/1.1 200\": \"%.12s\"", one->answer);
    }
    if (bytes < 0 || head + (size_t)bytes > c->answer_max) {
        return wrong(c, "an answer has no Content-Length, or one beyond %d", ANSWER_MAX);
    }
    one->wanted = head + (size_t)bytes;
    return 0;
}

/* N.1; the first body of a foreign server is what the others must be. */
static int check_body(struct client *c, const struct connection *one)
{
    const char *body = (const char *)memmem(one->answer, one->received, "\r\n\r\n", 4) + 4;
    size_t bytes = one->wanted - (size_t)(body - one->answer);
    if (!c->has_expected) {
        memcpy(c->expected, body, bytes);
        c->expected_bytes = bytes;
        c->has_expected = true;
    }
    return bytes == c->expected_bytes && memcmp(body, c->expected, bytes) == 0
               ? 0
               : wrong(c, "an answer differs from what it must be");
}

static int check_answer(struct client *c, uint32_t at)
{
    char request[TB_NET_BYTES_MAX];
    struct connection *one = &c->connections[at];
    if (c->net->kind == TB_NET_HTTP) {
        return check_body(c, one);
    }
    fill_echo(request, c->net->bytes, at, one->number);
    return memcmp(request, one->answer, c->net->bytes) == 0
               ? 0
               : wrong(c, "an answer differs from its request");
}

static void record(struct client *c, const struct connection *one, uint64_t now)
{
    if (one->due < c->warm) {
        return;
    }
    tb_hist_add(&c->net->intended, now > one->due ? now - one->due : 0);
    tb_hist_add(&c->net->service, now - one->sent);
    c->counted++;
}

static void add_sample(struct client *c, uint64_t now)
{
    struct tb_row *row = c->row;
    if (c->window_n > 0 && row->samples_n < TB_SAMPLES_MAX) {
        row->ns_per_op[row->samples_n++] = (double)(now - c->window_start) / (double)c->window_n;
    }
    c->window_start = now;
    c->window_n = 0;
}

/* Once, when what counts begins. */
static void begin_counting(struct client *c, uint64_t now)
{
    c->cpu_begin = tb_peer_cpu_ns(c->peer);
    c->cpu_n = 0;
    c->window_start = now;
    c->window_n = 0;
}

static void count_answer(struct client *c, uint64_t now)
{
    if (now < c->warm || now >= c->end) {
        return;
    }
    if (c->window_start == 0) {
        begin_counting(c, now);
        return; /* its window began before */
    }
    c->window_n++;
    c->cpu_n++;
    if (now - c->window_start >= c->window_ns) {
        add_sample(c, now);
    }
}

static int finish_request(struct client *c, uint32_t at)
{
    struct connection *one = &c->connections[at];
    uint64_t now = tb_now_ns();
    if (check_answer(c, at) < 0) {
        return -1;
    }
    one->busy = false;
    c->in_flight--;
    c->heard = now;
    record(c, one, now);
    count_answer(c, now);
    return plan_next(c, at, now);
}

static int on_event(struct client *c, uint32_t at)
{
    struct connection *one = &c->connections[at];
    size_t room = (one->wanted ? one->wanted : c->answer_max) - one->received;
    ssize_t n = recv(one->fd, one->answer + one->received, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n <= 0 || !one->busy) {
        return wrong(c, n > 0    ? "an answer that nobody has asked for"
                        : n == 0 ? "the server closed a connection"
                                 : "a connection broke");
    }
    one->received += (size_t)n;
    if (one->wanted == 0 && read_head(c, one) < 0) {
        return -1;
    }
    if (one->wanted == 0 || one->received < one->wanted) {
        return 0;
    }
    return one->received == one->wanted ? finish_request(c, at)
                                        : wrong(c, "an answer is longer than it says");
}

/* --- the loop --------------------------------------------------------------------------------- */

static uint64_t next_thing(const struct client *c, uint64_t now)
{
    uint64_t next = c->heap_n > 0 ? due_at(c, 0) : NEVER;
    uint64_t tick = c->ticked + TICK_NS;
    next = tick < next ? tick : next;
    next = now < c->end && c->end < next ? c->end : next;
    return next > now ? next - now : 0;
}

/* Sleeps are as exact as the kernel's: short ones are not slept at all, and one wakes up before the
 * end of longer ones. */
static int wait_events(const struct client *c, struct epoll_event *events, uint64_t now)
{
    uint64_t ns = next_thing(c, now);
    ns = ns > SPIN_NS ? ns - SPIN_NS : 0;
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    int n = epoll_pwait2(c->epoll, events, EVENTS_MAX, &t, NULL);
    if (n < 0 && errno == ENOSYS) { /* before Linux 5.11: by milliseconds */
        n = epoll_wait(c->epoll, events, EVENTS_MAX, (int)(ns / 1000000u));
    }
    return n;
}

static bool is_over(const struct client *c, uint64_t now)
{
    bool nothing_left = c->in_flight == 0 && c->heap_n == 0;
    return tb_interrupted() || now >= c->end + TB_NET_GRACE_NS || (now >= c->end && nothing_left);
}

static int turn(struct client *c, uint64_t now)
{
    struct epoll_event events[EVENTS_MAX];
    int rc = send_due(c, now);
    if (rc < 0) {
        return rc;
    }
    int n = wait_events(c, events, tb_now_ns());
    for (int i = 0; i < n && rc == 0; i++) {
        rc = on_event(c, events[i].data.u32);
    }
    if (rc == 0 && c->in_flight > 0 && now > c->heard + SILENCE_NS) {
        rc = wrong(c, "the server does not answer");
    }
    return rc;
}

static void loop(struct client *c, tb_net_tick_fn *tick, void *arg)
{
    uint64_t now = tb_now_ns();
    int rc = 0;
    while (rc == 0 && !is_over(c, now)) { /* ends: is_over by the clock */
        rc = turn(c, now);
        now = tb_now_ns();
        if (now >= c->ticked + TICK_NS) {
            c->ticked = now;
            double fraction = (double)(now - c->start) / (double)(c->end - c->start);
            tick(arg, c->row, fraction < 1 ? fraction : 1);
        }
    }
}

/* N.2: of each connection the request in flight, and those that were due behind it. */
static void record_unanswered(struct client *c)
{
    uint64_t now = tb_now_ns(), left = LATE_MAX;
    uint64_t end = now < c->end ? now : c->end; /* interrupted: what was not due yet is not late */
    for (uint64_t i = 0; i < c->net->connections && c->net->rate > 0; i++) {
        struct connection *one = &c->connections[i];
        uint64_t due = one->busy ? one->due : NEVER;
        while (due < end &&
               left > 0) { /* ends: due grows; what was due before `warm` is not much */
            if (due >= c->warm) {
                tb_hist_add(&c->net->intended, now - due);
                c->net->unanswered++;
                left--;
            }
            due = one->next;
            one->next += distance(c);
        }
    }
}

/* --- connections ------------------------------------------------------------------------------ */

static int connect_one(struct client *c, uint32_t at)
{
    struct connection *one = &c->connections[at];
    const struct sockaddr *address = (const struct sockaddr *)&c->net->server;
    struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = at}};
    int yes = 1;
    one->answer = malloc(c->answer_max + 1);
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!one->answer || one->fd < 0 || connect(one->fd, address, sizeof c->net->server) < 0 ||
        setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0 ||
        epoll_ctl(c->epoll, EPOLL_CTL_ADD, one->fd, &event) < 0) {
        c->row->status = TB_ROW_SKIPPED;
        snprintf(c->row->reason, sizeof c->row->reason, "no connection number %u: %s", at + 1,
                 strerror(errno));
        return -1;
    }
    return 0;
}

static int connect_all(struct client *c)
{
    int rc = 0;
    for (uint32_t i = 0; i < c->net->connections && rc == 0; i++) {
        rc = connect_one(c, i);
    }
    return rc;
}

static int open_client(struct client *c)
{
    uint64_t n = c->net->connections;
    c->answer_max = c->net->kind == TB_NET_HTTP ? ANSWER_MAX : c->net->bytes;
    c->connections = calloc(n, sizeof *c->connections);
    c->heap = calloc(n, sizeof *c->heap);
    c->expected = malloc(ANSWER_MAX);
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!c->connections || !c->heap || !c->expected || c->epoll < 0) {
        c->row->status = TB_ROW_SKIPPED;
        snprintf(c->row->reason, sizeof c->row->reason, "no memory or no epoll for the client");
        return -1;
    }
    for (uint64_t i = 0; i < n; i++) {
        c->connections[i].fd = -1;
    }
    memset(c->expected, 'w', c->net->bytes); /* as cmd_serve.c answers */
    c->expected_bytes = c->net->bytes;
    c->has_expected = !c->net->foreign;
    return connect_all(c);
}

static void close_client(struct client *c)
{
    for (uint64_t i = 0; c->connections && i < c->net->connections; i++) {
        if (c->connections[i].fd >= 0) {
            close(c->connections[i].fd);
        }
        free(c->connections[i].answer);
    }
    free(c->connections);
    free(c->heap);
    free(c->expected);
    if (c->epoll >= 0) {
        close(c->epoll);
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

static int begin(struct client *c)
{
    double window = c->net->seconds * 1e9 / WINDOWS;
    c->start = c->heard = c->ticked = tb_now_ns();
    c->warm = c->start + TB_NET_WARM_NS;
    c->end = c->warm + (uint64_t)(c->net->seconds * 1e9);
    c->window_ns = (uint64_t)(window > WINDOW_NS ? window : WINDOW_NS);
    c->random = (c->net->seed + 1) * 0x9e3779b97f4a7c15;
    int rc = 0;
    for (uint32_t i = 0; i < c->net->connections && rc == 0; i++) {
        struct connection *one = &c->connections[i];
        if (c->net->rate > 0) { /* at equal distances the connections take turns */
            double turn = (double)i * 1e9 / (double)c->net->rate;
            one->next = c->start + (c->net->poisson ? distance(c) : (uint64_t)turn);
        }
        rc = plan_next(c, i, c->start);
    }
    return rc;
}

static void put_metric(struct tb_row *row, const char *name, const char *unit, double value)
{
    struct tb_metric *m = &row->metrics[row->metrics_n++];
    snprintf(m->name, sizeof m->name, "%s", name);
    snprintf(m->unit, sizeof m->unit, "%s", unit);
    m->value = value;
}

static void put_metrics(const struct tb_net *net, struct tb_row *row)
{
    const struct tb_hist *h = &net->intended;
    put_metric(row, "p50", "ns", (double)tb_hist_at(h, 0.5));
    put_metric(row, "p99", "ns", (double)tb_hist_at(h, 0.99));
    put_metric(row, "p99.9", "ns", (double)tb_hist_at(h, 0.999));
    put_metric(row, "max", "ns", (double)h->max);
    if (net->rate > 0 && net->service.n > 0) {
        put_metric(row, "service_p99", "ns", (double)tb_hist_at(&net->service, 0.99));
    }
    if (net->server_cpu_ns >= 0) {
        put_metric(row, "server_cpu", "ns", net->server_cpu_ns);
    }
    if (net->rate > 0) {
        put_metric(row, "rate", "/s", (double)net->rate);
    }
    if (net->unanswered > 0) {
        put_metric(row, "unanswered", "", (double)net->unanswered);
    }
    row->latency[0].name = net->rate ? "intended" : "latency";
    row->latency[0].hist = h;
    row->latency[1].name = "service";
    row->latency[1].hist = &net->service;
    row->latency_n = h->n == 0 ? 0 : net->rate && net->service.n ? 2 : 1;
}

/* A run so short, or a machine so busy, that no window came to an end: all of it is one sample. */
static void add_whole(struct client *c)
{
    struct tb_row *row = c->row;
    if (row->samples_n > 0 || row->status != TB_ROW_OK || tb_interrupted()) {
        return;
    }
    if (c->counted > 0) {
        row->ns_per_op[row->samples_n++] = (double)(tb_now_ns() - c->warm) / (double)c->counted;
    } else {
        row->status = TB_ROW_SKIPPED;
        snprintf(row->reason, sizeof row->reason, "no answer came in that time");
    }
}

static void sum_up(struct client *c)
{
    struct tb_row *row = c->row;
    uint64_t cpu = tb_peer_cpu_ns(c->peer);
    bool known = c->cpu_begin > 0 && cpu > c->cpu_begin && c->cpu_n > 0;
    c->net->server_cpu_ns = known ? (double)(cpu - c->cpu_begin) / (double)c->cpu_n : -1;
    record_unanswered(c);
    add_whole(c);
    row->ops_per_sample = row->samples_n ? c->cpu_n / row->samples_n : 0;
    row->ops_per_sample += row->ops_per_sample == 0;
    row->counted_ops = c->counted ? c->counted : 1;
    snprintf(row->uncounted, sizeof row->uncounted, "the server is another process");
    put_metrics(c->net, row);
}

void tb_net_run(struct tb_net *net, const struct tb_peer *peer, struct tb_row *row,
                tb_net_tick_fn *tick, void *arg)
{
    struct client c = {.net = net, .peer = peer, .row = row, .epoll = -1};
    cpu_set_t all, mine;
    bool pinned = peer && peer->cpu >= 0 && sched_getaffinity(0, sizeof all, &all) == 0;
    if (pinned) {
        CPU_ZERO(&mine);
        CPU_SET(peer->cpu, &mine);
        sched_setaffinity(0, sizeof mine, &mine);
    }
    prctl(PR_SET_TIMERSLACK, 1UL); /* ns; the default adds 50 us to every sleep */
    if (open_client(&c) == 0 && begin(&c) == 0) {
        loop(&c, tick, arg);
        sum_up(&c);
    }
    close_client(&c);
    if (pinned) {
        sched_setaffinity(0, sizeof all, &all);
    }
}
