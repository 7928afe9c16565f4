/* httpd: an HTTP/1.1 server of files.
 *
 *   httpd [-b ADDRESS] [-p PORT] [-r ROOT] [-j WORKERS] [-c CONNECTIONS] [-t SECONDS] [-i SECONDS]
 *         [-d SECONDS] [-m BYTES] [-l FILE] [-e CERTIFICATE -k KEY]
 *     -b  IPv4 or IPv6 address to listen on; 127.0.0.1
 *     -p  port; 0, the default, picks a free one
 *     -r  folder whose files are served; the working directory
 *     -j  threads; as many as this process may use CPUs
 *     -c  connections at once; more wait in the kernel's queue; 10000
 *     -t  a request's head must be there within so long of its first byte; 10; fractions are fine
 *     -i  a connection without a request is closed after so long; 60
 *     -d  how long requests may take to finish when the server stops; 10
 *     -m  bytes that a request's body may have; 65536
 *     -l  access log, appended to; "-": standard output; without -l there is none
 *
 *     -e, -k  https, with the certificate and key in these files (PEM)
 *
 * Prints "httpd: listening on ADDRESS:PORT", serves until SIGINT or SIGTERM, lets requests in
 * flight finish (a second signal: no longer), prints what it did. Exit status 0; 1 if it could not
 * start; 2 for a wrong usage.
 *
 *     GET, HEAD /path   the file ROOT/path, or its index.html: with ETag, Last-Modified,
 *                       If-None-Match, If-Modified-Since, single ranges and If-Range
 *     POST, PUT /echo   the body that was sent
 *     GET /metrics      counters, for Prometheus
 *
 * Guarantees.
 * G.1  Whatever a peer sends, it gets an answer or the end of its connection, and the others get
 *      theirs.
 * G.2  What a peer can make us keep is bounded (httpd.h), and how long it can take too: a head, a
 *      body, the taking of an answer, the silence between requests.
 * G.3  No path leads out of ROOT (files.c).
 * G.4  Where a request ends is never a matter of opinion (request.c).
 * G.5  An idle connection holds no buffer. */
#define _GNU_SOURCE
#include "httpd.h"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX  1000000
#define BODY_BYTES_LIMIT (64 << 20)
#define LOG_LINES        1024 /* that may wait to be written; more are lost, and counted */
#define SECONDS_MAX      (365.0 * 24 * 3600)

/* --- requests --------------------------------------------------------------------------------- */

/* The body is read into memory of its own, which is found when its length is known to be
 * allowed. */
static int echo_body(struct exchange *x)
{
    const struct request *request = &x->request;
    uint64_t room = request->chunked                ? x->server->body_max
                    : request->length != UINT64_MAX ? request->length
                                                    : 0;
    char *body = malloc(room > 0 ? (size_t)room : 1);
    if (body == NULL) {
        return 503;
    }
    size_t bytes = 0;
    int rc = weft_within(BODY_TIME, request_read_body(x, body, (size_t)room, &bytes));
    if (rc == 0) {
        rc = answer_text(x, 200, "application/octet-stream", body, bytes);
    }
    free(body);
    return rc;
}

static int drop_body(struct exchange *x)
{
    size_t bytes = 0;
    return weft_within(BODY_TIME, request_read_body(x, NULL, (size_t)x->server->body_max, &bytes));
}

static int answer_request(struct exchange *x)
{
    const struct request *request = &x->request;
    bool reads = request->method == HTTP_GET || request->method == HTTP_HEAD;
    bool writes = request->method == HTTP_POST || request->method == HTTP_PUT;
    bool is_echo = strcmp(request->path, "/echo") == 0;
    if (!request->chunked && request_has_body(request) && request->length > x->server->body_max) {
        return 413; /* without a byte of it, or "100 Continue" */
    }
    if (request->continues && request_has_body(request)) {
        if (writes && !is_echo) { /* before it sends it for nothing; but it might, so: the end */
            x->last = x->refused = true;
            return answer_refusal(x, 405, "Allow: GET, HEAD\r\n");
        }
        int rc = answer_continue(x);
        if (rc < 0) {
            return rc;
        }
    }
    if (writes && is_echo) {
        return echo_body(x);
    }
    int rc = drop_body(x);
    if (rc != 0) {
        return rc;
    }
    if (!reads) {
        return answer_refusal(x, 405, is_echo ? "Allow: POST, PUT\r\n" : "Allow: GET, HEAD\r\n");
    }
    rc = strcmp(request->path, "/metrics") == 0 ? metrics_answer(x) : files_answer(x);
    return rc > 0 && x->status == 0 ? answer_refusal(x, rc, "") : rc;
}

/* One request, of which the first byte is there. 1: another may follow; 0: no more; -errno. */
static int serve_request(struct exchange *x)
{
    struct timespec start, end;
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    x->status = 0;
    x->body_sent = 0;
    int rc = weft_within(x->server->head_time, request_read_head(x));
    rc = rc == 0 ? answer_request(x) : rc;
    rc = rc == -ETIME && x->status == 0 ? 408 : rc;
    if (rc > 0 && x->status == 0) { /* where this request ends, only the peer can know */
        x->last = x->refused = true;
        rc = answer_refusal(x, rc, "");
    }
    const void *next;
    if (rc == 0 && (x->last || weft_reader_peek(&x->reader, 0, &next) == 0)) {
        rc = answer_flush(x); /* else the next request's answer goes with this one */
    }
    if (x->status != 0) {
        (void)clock_gettime(CLOCK_MONOTONIC, &end);
        atomic_fetch_add_explicit(&x->server->answers[x->status / 100], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&x->server->bytes_sent, x->body_sent, memory_order_relaxed);
        log_exchange(x, WEFT_SEC(end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec));
    }
    return rc < 0 ? rc : !x->last;
}

/* A socket that is closed with bytes unread is reset, and the peer may never read why. */
static int linger(struct exchange *x)
{
    char dropped[4096];
    size_t bytes = 0;
    ssize_t n = weft_shutdown(x->c->fd, SHUT_WR);
    while (n >= 0 && bytes < LINGER_BYTES_MAX) { /* ends: the peer's end, the bound, the time */
        n = weft_recv(x->c->fd, dropped, sizeof dropped, 0);
        if (n == 0) {
            break;
        }
        bytes += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int serve_connection(weft_connection *c)
{
    struct exchange x = {.server = c->ctx, .c = c, .stream = c->stream};
    int rc = secure_begin(&x);
    weft_reader_init(&x.reader, x.stream, NULL, BUFFER_BYTES);
    weft_writer_init(&x.writer, x.stream, NULL, BUFFER_BYTES);
    while (rc >= 0 && (rc = weft_connection_next(c, &x.reader)) > 0) {
        rc = serve_request(&x);
        if (rc <= 0) {
            break;
        }
    }
    if (rc == 0) {
        rc = secure_goodbye(&x);
    }
    const void *unread;
    if (rc == 0 && (x.refused || weft_reader_peek(&x.reader, 0, &unread) > 0)) {
        (void)weft_within(LINGER_TIME, linger(&x));
    }
    weft_writer_fini(&x.writer);
    weft_reader_fini(&x.reader);
    secure_end(&x);
    return rc;
}

/* --- the server ------------------------------------------------------------------------------- */

WEFT_TASK(stop_at_signal, struct httpd *)
{
    while (weft_signal_next(&(*arg)->signals) > 0) {
        weft_server_stop(&(*arg)->server, "signal"); /* the second time: no more patience */
        weft_listener_close((*arg)->listener);       /* who comes during the drain is refused */
    }
    return 0; /* cancelled: the server has ended */
}

static int run(void *arg)
{
    struct httpd *server = arg;
    int rc = server->cert != NULL ? secure_start(server->cert, server->key) : 0;
    if (rc < 0) {
        fprintf(stderr, "httpd: https: %s\n",
                weft_last() != NULL ? weft_last()->text : "built without it");
        return rc;
    }
    rc = log_start(server);
    if (rc < 0) {
        return rc;
    }
    WEFT_SCOPE(watching);
    rc = weft_go(&watching, stop_at_signal, &server);
    if (rc == 0) {
        rc = weft_serve_listener(&server->server, server->listener);
    }
    weft_scope_cancel(&watching, "the server has ended");
    (void)weft_scope_end(&watching);
    weft_server_stats stats;
    weft_server_stats_get(&server->server, &stats);
    printf("httpd: %llu connections, %llu requests, %llu timed out, %llu lost, %llu cut, "
           "%llu failed\n",
           (unsigned long long)stats.accepted, (unsigned long long)stats.requests,
           (unsigned long long)stats.timed_out, (unsigned long long)stats.lost,
           (unsigned long long)stats.cut, (unsigned long long)stats.failed);
    return rc;
}

/* --- start ------------------------------------------------------------------------------------ */

/* 0; -1, and the reason has been printed. */
static int listen_on(struct httpd *server, const char *address, const char *port)
{
    char text[WEFT_ADDR_TEXT];
    snprintf(text, sizeof text, strchr(address, ':') != NULL ? "[%s]:%s" : "%s:%s", address, port);
    int rc = weft_listen(&server->listener, text, .conn.nodelay = 1);
    if (rc < 0) {
        fprintf(stderr, "httpd: cannot listen on %s port %s: %s\n", address, port, strerror(-rc));
        return -1;
    }
    weft_addr chosen;
    weft_listener_addr(server->listener, &chosen);
    weft_addr_format(&chosen, text, sizeof text);
    printf("httpd: listening on %s\n", text);
    fflush(stdout);
    return 0;
}

static int open_log(const char *name)
{
    return name == NULL             ? -1
           : strcmp(name, "-") == 0 ? STDOUT_FILENO
                                    : open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

/* What can be refused by the system: 0; -1, and the reason has been printed. */
static int open_all(struct httpd *server, const char *address, const char *port, const char *root,
                    const char *log)
{
    server->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (server->root < 0) {
        fprintf(stderr, "httpd: cannot open %s: %s\n", root, strerror(errno));
        return -1;
    }
    server->log_fd = open_log(log);
    if (log != NULL && server->log_fd < 0) {
        fprintf(stderr, "httpd: cannot open %s: %s\n", log, strerror(errno));
        return -1;
    }
    int rc = weft_signal_open(&server->signals, (int[]){SIGINT, SIGTERM, 0});
    if (rc < 0) {
        fprintf(stderr, "httpd: signals: %s\n", strerror(-rc));
        return -1;
    }
    return listen_on(server, address, port);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* --- command line ----------------------------------------------------------------------------- */

static int usage(const char *why, const char *what)
{
    fprintf(
        stderr,
        "httpd: %s%s (usage: httpd [-b ADDRESS] [-p PORT] [-r ROOT] [-j WORKERS] [-c CONNECTIONS] "
        "[-t SECONDS] [-i SECONDS] [-d SECONDS] [-m BYTES] [-l FILE] [-e CERTIFICATE -k KEY])\n",
        why, what);
    return 2;
}

static bool parse_number(const char *text, long max, long *out)
{
    char *end = NULL;
    *out = strtol(text, &end, 10); /* overflow gives LONG_MAX, which is out of range */
    return *text >= '0' && *text <= '9' && *end == '\0' && *out <= max;
}

static bool parse_seconds(const char *text, weft_time *out)
{
    char *end = NULL;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(seconds) || seconds <= 0 ||
        seconds > SECONDS_MAX) {
        return false;
    }
    *out = (weft_time)(seconds * (double)WEFT_SEC(1));
    return true;
}

int main(int argc, char **argv)
{
    static struct httpd server = {.head_time = HEAD_TIME, .body_max = BODY_BYTES};
    weft_server_opts opts = {.fn = serve_connection, .ctx = &server, .idle = IDLE_TIME};
    const char *address = "127.0.0.1", *port = "0", *root = ".", *log = NULL;
    long workers = 0, number = 0;
    int option;
    opterr = 0;
    while ((option = getopt(argc, argv, "b:p:r:j:c:t:i:d:m:l:e:k:")) != -1) {
        switch (option) {
        case 'b':
            address = optarg;
            break;
        case 'p':
            port = optarg;
            if (!parse_number(port, 65535, &number)) {
                return usage("PORT is a number from 0 to 65535, not ", optarg);
            }
            break;
        case 'r':
            root = optarg;
            break;
        case 'j':
            if (!parse_number(optarg, WEFT_WORKERS_MAX, &workers) || workers == 0) {
                return usage("WORKERS is a number from 1 to 256, not ", optarg);
            }
            break;
        case 'c':
            if (!parse_number(optarg, CONNECTIONS_MAX, &number) || number == 0) {
                return usage("CONNECTIONS is a number from 1 to 1000000, not ", optarg);
            }
            opts.connections_max = (uint32_t)number;
            break;
        case 'm':
            if (!parse_number(optarg, BODY_BYTES_LIMIT, &number)) {
                return usage("-m takes a number of bytes, at most 64 MiB, not ", optarg);
            }
            server.body_max = (uint64_t)number;
            break;
        case 't':
        case 'i':
        case 'd':
            if (!parse_seconds(optarg, option == 't'   ? &server.head_time
                                       : option == 'i' ? &opts.idle
                                                       : &opts.drain)) {
                return usage("-t, -i and -d take a number of seconds above 0, not ", optarg);
            }
            break;
        case 'e':
            server.cert = optarg;
            break;
        case 'k':
            server.key = optarg;
            break;
        case 'l':
            log = optarg;
            break;
        default:
            return usage("no such option, or its value is missing: -",
                         (char[]){(char)optopt, '\0'});
        }
    }
    if ((server.cert == NULL) != (server.key == NULL)) {
        return usage("-e and -k go together", "");
    }
    if (optind < argc) {
        return usage("unexpected argument ", argv[optind]);
    }
    raise_descriptor_limit();
    if (logbox_new(&server.log, LOG_LINES, NULL) < 0 ||
        open_all(&server, address, port, root, log) < 0) {
        return 1;
    }
    http_parser_set_max_header_size(2 * HEAD_BYTES_MAX); /* of trailers; heads have our own bound */
    weft_server_init(&server.server, &opts);
    int rc = weft_run(run, &server, .workers = (int)workers); /* drains the log before it returns */
    weft_server_fini(&server.server);
    secure_stop();
    weft_listener_free(server.listener);
    weft_signal_close(&server.signals);
    logbox_free(server.log);
    return rc < 0;
}
