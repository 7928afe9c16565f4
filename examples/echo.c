/* echo: a TCP server that sends back what it receives.
 *
 *   echo [-b ADDRESS] [-p PORT] [-j WORKERS] [-t SECONDS] [-d SECONDS]
 *     -b  IPv4 or IPv6 address to listen on; 127.0.0.1
 *     -p  port; 0, the default, picks a free one
 *     -j  threads; as many as this process may use CPUs
 *     -t  a connection is closed when nothing has moved for so long; 60; fractions are fine
 *     -d  how long connections may take to finish when the server stops; 5
 *
 * Prints "echo: listening on ADDRESS:PORT", serves until SIGINT or SIGTERM, prints what it did, and
 * exits: 0; 1 if it could not start or accept failed for good; 2 for a wrong usage.
 *
 * The server helper (weft/serve.h) accepts, bounds and stops. A signal stops it: connections that
 * wait for their peer end at once, after what had arrived has been sent back; those that are
 * sending have the drain's time, or until a second signal.
 *
 * Guarantees.
 * G.1  What was received is sent back, byte for byte and in order, also after the peer has shut
 *      down its side.
 * G.2  No peer can stop or block the server: a reset, a stalled peer and a lost network end one
 *      connection.
 * G.3  Out of descriptors or memory, accepting pauses; it neither gives up nor spins. The others
 *      are served.
 * G.4  A peer that does not take its echo is not read from either, and costs a bounded amount of
 *      memory.
 * G.5  An idle server, with or without connections, uses no CPU. */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weft/net.h>
#include <weft/serve.h>
#include <weft/signal.h>
#include <weft/weft.h>

#define BUFFER_BYTES \
    8192 /* on the connection's stack; with NULL a silent peer costs none, but
                                       * each wait is an operation of its own */
#define CONNECTIONS_MAX  1000000      /* more than descriptors: these are what bounds it */
#define UNSENT_BYTES_MAX (128 * 1024) /* in the kernel, which would keep megabytes per slow peer */
#define SECONDS_MAX      (365.0 * 24 * 3600)

struct echo {
    weft_listener *listener;
    weft_signal signals;
    weft_server server;
    atomic_ulong bytes; /* any connection; relaxed, for the report alone */
};

/* --- connections ------------------------------------------------------------------------------ */

/* Sends all; each piece that the peer takes starts the idle time anew. 0 or -errno. */
static int send_back(weft_connection *c, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = weft_within(c->idle, weft_send(c->fd, bytes, n, 0));
        if (sent < 0) {
            return (int)sent;
        }
        bytes += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* Until the peer has finished, is silent for too long, or the server stops: 0 or -errno. */
static int echo_connection(weft_connection *c)
{
    struct echo *echo = c->ctx;
    weft_reader reader;
    char buffer[BUFFER_BYTES];
    weft_reader_init(&reader, c->stream, buffer, sizeof buffer);
    int rc;
    while ((rc = weft_connection_next(c, &reader)) > 0) {
        const void *bytes;
        ssize_t n = weft_reader_peek(&reader, 1, &bytes);
        rc = send_back(c, bytes, (size_t)n);
        if (rc < 0) {
            break;
        }
        weft_reader_consume(&reader, (size_t)n);
        atomic_fetch_add_explicit(&echo->bytes, (unsigned long)n, memory_order_relaxed);
    }
    weft_reader_fini(&reader);
    return rc;
}

/* --- the server ------------------------------------------------------------------------------- */

WEFT_TASK(stop_at_signal, struct echo *)
{
    struct echo *echo = *arg;
    while (weft_signal_next(&echo->signals) > 0) { /* until cancelled: the server has ended */
        if (weft_server_stop(&echo->server, "signal") == 0) { /* else it was the second */
            weft_listener_close(echo->listener);
            weft_server_stats stats;
            weft_server_stats_get(&echo->server, &stats);
            fprintf(stderr, "echo: stopping, %lu open connections\n", (unsigned long)stats.active);
        }
    }
    return 0;
}

static int serve(void *arg)
{
    struct echo *echo = arg;
    WEFT_SCOPE(watching);
    int rc = weft_go(&watching, stop_at_signal, &echo);
    if (rc == 0) {
        rc = weft_serve_listener(&echo->server, echo->listener);
    }
    if (rc < 0) {
        fprintf(stderr, "echo: accept: %s\n", strerror(-rc));
    }
    weft_scope_cancel(&watching, "all connections have ended");
    weft_scope_end(&watching);
    weft_server_stats s;
    weft_server_stats_get(&echo->server, &s);
    printf("echo: %lu connections, %lu bytes, %lu idle, %lu lost, %lu cut, %lu errors\n",
           (unsigned long)s.accepted, atomic_load_explicit(&echo->bytes, memory_order_relaxed),
           (unsigned long)s.timed_out, (unsigned long)s.lost, (unsigned long)s.cut,
           (unsigned long)s.failed);
    return fflush(stdout) != 0 ? -EIO : rc;
}

/* --- start ------------------------------------------------------------------------------------ */

/* 0; -1, and the reason has been printed. */
static int listen_on(struct echo *echo, const char *address, const char *port)
{
    char text[WEFT_ADDR_TEXT];
    int unsent_bytes = UNSENT_BYTES_MAX;
    snprintf(text, sizeof text, strchr(address, ':') != NULL ? "[%s]:%s" : "%s:%s", address, port);
    int rc = weft_listen(&echo->listener, text, .conn.nodelay = 1);
    if (rc == 0 && setsockopt(weft_listener_fd(echo->listener), IPPROTO_TCP, TCP_NOTSENT_LOWAT,
                              &unsent_bytes, sizeof unsent_bytes) < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        fprintf(stderr, "echo: cannot listen on %s port %s: %s\n", address, port, strerror(-rc));
        weft_listener_free(echo->listener);
        return -1;
    }
    weft_addr chosen;
    weft_listener_addr(echo->listener, &chosen);
    weft_addr_format(&chosen, text, sizeof text);
    printf("echo: listening on %s\n", text);
    fflush(stdout);
    return 0;
}

/* A connection is a descriptor, and 1024 of them is a default for programs that use select(2). */
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
        "echo: %s%s (usage: echo [-b ADDRESS] [-p PORT] [-j WORKERS] [-t SECONDS] [-d SECONDS])\n",
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
    if (end == text || *end != '\0' || !isfinite(seconds) || seconds < 0 || seconds > SECONDS_MAX) {
        return false;
    }
    *out = (weft_time)(seconds * (double)WEFT_SEC(1));
    return true;
}

int main(int argc, char **argv)
{
    static struct echo echo;
    weft_server_opts opts = {.fn = echo_connection,
                             .ctx = &echo,
                             .connections_max = CONNECTIONS_MAX,
                             .idle = WEFT_SEC(60),
                             .drain = WEFT_SEC(5)};
    const char *address = "127.0.0.1";
    const char *port = "0";
    long workers = 0;
    long port_number = 0;
    int option;
    opterr = 0;
    while ((option = getopt(argc, argv, "b:p:j:t:d:")) != -1) {
        switch (option) {
        case 'b':
            address = optarg;
            break;
        case 'p':
            port = optarg;
            if (!parse_number(port, 65535, &port_number)) {
                return usage("PORT is a number from 0 to 65535, not ", optarg);
            }
            break;
        case 'j':
            if (!parse_number(optarg, WEFT_WORKERS_MAX, &workers) || workers == 0) {
                return usage("WORKERS is a number from 1 to 256, not ", optarg);
            }
            break;
        case 't':
            if (!parse_seconds(optarg, &opts.idle) || opts.idle == 0) {
                return usage("-t takes a number of seconds above 0, not ", optarg);
            }
            break;
        case 'd':
            if (!parse_seconds(optarg, &opts.drain)) {
                return usage("-d takes a number of seconds, not ", optarg);
            }
            opts.drain += opts.drain == 0; /* 0 would be the helper's default */
            break;
        default:
            return usage("no such option, or its value is missing: -",
                         (char[]){(char)optopt, '\0'});
        }
    }
    if (optind < argc) {
        return usage("unexpected argument ", argv[optind]);
    }

    raise_descriptor_limit();
    int rc = weft_signal_open(&echo.signals, (int[]){SIGINT, SIGTERM, 0});
    if (rc < 0) {
        fprintf(stderr, "echo: signals: %s\n", strerror(-rc));
        return 1;
    }
    if (listen_on(&echo, address, port) < 0) {
        return 1;
    }
    weft_server_init(&echo.server, &opts);
    rc = weft_run(serve, &echo, .workers = (int)workers);
    weft_server_fini(&echo.server);
    weft_listener_free(echo.listener);
    weft_signal_close(&echo.signals);
    return rc < 0;
}
