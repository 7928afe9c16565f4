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
 * How it stops is the shape of the program: three scopes, one inside the other.
 *
 *     watching        watch_signals: on a signal cancels `accepting`; on the next one, or when the
 *                     drain's time is
 *      |              over, cancels `connections`
 *      +- connections     serve_connection, a task per connection
 *          +- accepting       the accept loop, in the root task
 *
 *   1. The accept loop ends, since its scope is cancelled. The listener is closed: no new
 *      connections.
 *   2. Each connection is shut down for reading. What had arrived is still echoed; then recv
 *      returns 0, as if the peer had finished, and the connection closes. One that waits for its
 *      peer, which is most of them, ends at once.
 *   3. Those that are not through by the end of the drain (a peer that does not take its echo) are
 *      cancelled.
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
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/weft.h>

#define BUFFER_BYTES     8192         /* on a connection's stack, so of its memory while it waits */
#define UNSENT_BYTES_MAX (128 * 1024) /* in the kernel, which would keep megabytes per slow peer */
#define ACCEPT_PAUSE     WEFT_MS(50)  /* out of descriptors: 20 attempts a second cost nothing */
#define SECONDS_MAX      (365.0 * 24 * 3600)

struct connection {
    struct server *server;
    int fd;
    struct connection *next; /* under server->lock, both */
    struct connection **link;
};

struct server {
    /* immutable after start */
    weft_listener *listener;
    int signals;
    weft_time idle;
    weft_time drain;
    weft_scope *connections;
    weft_scope *accepting;

    /* under `lock`, which is never held over a call that may suspend */
    pthread_mutex_t lock;
    struct connection *open; /* those that stop must reach */
    bool draining;

    /* any connection; relaxed, for the report alone */
    atomic_ulong accepted;
    atomic_ulong bytes;
    atomic_ulong idled; /* closed by -t */
    atomic_ulong lost;  /* reset by the peer, or cut off from it: no error of ours */
    atomic_ulong cut;   /* cancelled at the end of the drain */
    atomic_ulong errors;
};

static void count(atomic_ulong *counter, unsigned long n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* --- connections ------------------------------------------------------------------------------ */

/* Makes the connection known to hang_up; one that comes too late for that is hung up here. */
static void enlist(struct connection *connection)
{
    struct server *server = connection->server;
    pthread_mutex_lock(&server->lock);
    connection->next = server->open;
    connection->link = &server->open;
    if (server->open != NULL) {
        server->open->link = &connection->next;
    }
    server->open = connection;
    if (server->draining) {
        weft_shutdown(connection->fd, SHUT_RD);
    }
    pthread_mutex_unlock(&server->lock);
}

/* Before its descriptor is closed: hang_up must not meet the number in its next life. */
static void delist(struct connection *connection)
{
    struct server *server = connection->server;
    pthread_mutex_lock(&server->lock);
    *connection->link = connection->next;
    if (connection->next != NULL) {
        connection->next->link = connection->link;
    }
    pthread_mutex_unlock(&server->lock);
}

/* Lets no connection wait for its peer any more. Returns how many there are. */
static unsigned long hang_up(struct server *server)
{
    unsigned long n = 0;
    pthread_mutex_lock(&server->lock);
    server->draining = true;
    for (struct connection *connection = server->open; connection != NULL;
         connection = connection->next) {
        weft_shutdown(connection->fd, SHUT_RD);
        n++;
    }
    pthread_mutex_unlock(&server->lock);
    return n;
}

/* Sends all; each piece that the peer takes starts the idle time anew, which weft_send_all cannot
 * do. 0 or -errno. */
static int send_all(struct connection *connection, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent =
            weft_within(connection->server->idle, weft_send(connection->fd, bytes, n, 0));
        if (sent < 0) {
            return (int)sent;
        }
        bytes += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* Until the peer has finished: 0; or -errno. */
static int echo(struct connection *connection)
{
    struct server *server = connection->server;
    char buffer[BUFFER_BYTES];
    for (;;) { /* ends with the peer, its silence, or the drain */
        ssize_t n = weft_within(server->idle, weft_recv(connection->fd, buffer, sizeof buffer, 0));
        if (n <= 0) {
            return (int)n;
        }
        int rc = send_all(connection, buffer, (size_t)n);
        if (rc < 0) {
            return rc;
        }
        count(&server->bytes, (unsigned long)n);
    }
}

static void count_outcome(struct server *server, int rc)
{
    switch (rc) {
    case 0:
        break;
    case -ETIME:
        count(&server->idled, 1);
        break;
    case -ECANCELED:
        count(&server->cut, 1);
        break;
    case -ECONNRESET:
    case -EPIPE:
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        count(&server->lost, 1);
        break;
    default:
        count(&server->errors, 1);
        fprintf(stderr, "echo: connection: %s\n", strerror(-rc));
    }
}

/* Returns 0 whatever happens: one connection's end is no failure of the others' scope. */
WEFT_TASK(serve_connection, struct connection)
{
    enlist(arg);
    int rc = echo(arg);
    delist(arg);
    weft_close(arg->fd);
    count_outcome(arg->server, rc);
    return 0;
}

/* --- accepting -------------------------------------------------------------------------------- */

enum trouble {
    TROUBLE_PASSES,   /* that connection is gone, or its network: take the next */
    TROUBLE_SHORTAGE, /* the connection still waits in the queue, and so must we */
    TROUBLE_FATAL,
};

/* accept(2): errors of the new socket's network count as EAGAIN. */
static enum trouble trouble_of(int rc)
{
    switch (rc) {
    case -ECONNABORTED:
    case -EAGAIN:
    case -EINTR:
    case -EPERM: /* a firewall's refusal */
    case -EPROTO:
    case -ENOPROTOOPT:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -ENONET:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
        return TROUBLE_PASSES;
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
        return TROUBLE_SHORTAGE;
    default:
        return TROUBLE_FATAL;
    }
}

/* Accepts one connection and starts its task. 0 or -errno. */
static int accept_one(struct server *server)
{
    int fd = weft_listener_accept(server->listener, NULL);
    if (fd < 0) {
        return fd;
    }
    struct connection connection = {.server = server, .fd = fd};
    int rc = weft_go(server->connections, serve_connection, &connection);
    if (rc < 0) {
        weft_close(fd);
        return rc;
    }
    count(&server->accepted, 1);
    return 0;
}

/* Until its scope is cancelled: 0; or what accept failed with for good. */
static int accept_connections(struct server *server)
{
    bool short_of_something = false; /* said once, until it is over */
    for (;;) {                       /* ends by cancellation */
        int rc = accept_one(server);
        if (rc == 0) {
            short_of_something = false;
            continue;
        }
        if (rc == -ECANCELED) {
            return 0;
        }
        enum trouble trouble = trouble_of(rc);
        if (trouble == TROUBLE_FATAL) {
            fprintf(stderr, "echo: accept: %s\n", strerror(-rc));
            return rc;
        }
        if (trouble == TROUBLE_SHORTAGE) {
            if (!short_of_something) {
                fprintf(stderr, "echo: accept: %s; new connections wait\n", strerror(-rc));
            }
            short_of_something = true;
            weft_sleep(ACCEPT_PAUSE); /* cut short by cancellation, which the next accept reports */
        }
    }
}

/* --- stopping --------------------------------------------------------------------------------- */

WEFT_TASK(watch_signals, struct server *)
{
    struct server *server = *arg;
    struct signalfd_siginfo info;
    ssize_t n = weft_read(server->signals, &info, sizeof info);
    if (n < 0) {
        return (int)n; /* cancelled: the server ends without a signal */
    }
    weft_scope_cancel(server->accepting, "signal");
    n = weft_within(server->drain, weft_read(server->signals, &info, sizeof info));
    if (n != -ECANCELED) {
        weft_scope_cancel(server->connections,
                          n == -ETIME ? "the drain's time is over" : "second signal");
    }
    return 0;
}

static int serve(void *arg)
{
    struct server *server = arg;
    WEFT_SCOPE(watching);
    WEFT_SCOPE(connections, .on_error = WEFT_CONTINUE);
    WEFT_SCOPE(accepting);
    server->connections = &connections;
    server->accepting = &accepting;

    int rc = weft_go(&watching, watch_signals, &server);
    if (rc == 0) {
        rc = accept_connections(server);
    }
    weft_scope_end(&accepting);
    weft_listener_close(server->listener);
    unsigned long open = hang_up(server);
    fprintf(stderr, "echo: stopping, %lu open connections\n", open);
    weft_scope_end(&connections);
    weft_scope_cancel(&watching, "all connections have ended");
    weft_scope_end(&watching);
    printf("echo: %lu connections, %lu bytes, %lu idle, %lu lost, %lu cut, %lu errors\n",
           server->accepted, server->bytes, server->idled, server->lost, server->cut,
           server->errors);
    return fflush(stdout) != 0 ? -EIO : rc;
}

/* --- start ------------------------------------------------------------------------------------ */

/* 0; or -1, and the reason has been printed. */
static int listen_on(struct server *server, const char *address, const char *port)
{
    char text[WEFT_ADDR_TEXT];
    snprintf(text, sizeof text, strchr(address, ':') != NULL ? "[%s]:%s" : "%s:%s", address, port);
    int rc = weft_listen(&server->listener, text, .conn.nodelay = 1);
    if (rc < 0) {
        fprintf(stderr, "echo: cannot listen on %s: %s\n", text, strerror(-rc));
        return -1;
    }
    /* accepted sockets inherit it */
    int unsent_bytes = UNSENT_BYTES_MAX;
    setsockopt(weft_listener_fd(server->listener), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes,
               sizeof unsent_bytes);
    weft_addr bound;
    weft_listener_addr(server->listener, &bound);
    weft_addr_format(&bound, text, sizeof text);
    printf("echo: listening on %s\n", text);
    return fflush(stdout) != 0 ? -1 : 0;
}

/* The signals that stop the server, as a descriptor. They are blocked first, and before there are
 * other threads, so that none of them takes the default action. -1, and the reason has been
 * printed. */
static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "echo: signalfd: %s\n", strerror(errno));
    }
    return fd;
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
    struct server server = {
        .idle = WEFT_SEC(60), .drain = WEFT_SEC(5), .lock = PTHREAD_MUTEX_INITIALIZER};
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
            if (!parse_seconds(optarg, &server.idle) || server.idle == 0) {
                return usage("-t takes a number of seconds above 0, not ", optarg);
            }
            break;
        case 'd':
            if (!parse_seconds(optarg, &server.drain)) {
                return usage("-d takes a number of seconds, not ", optarg);
            }
            break;
        default:
            return usage("no such option, or its value is missing: ", argv[optind - 1]);
        }
    }
    if (optind < argc) {
        return usage("unexpected argument ", argv[optind]);
    }

    raise_descriptor_limit();
    server.signals = open_signals();
    if (server.signals < 0 || listen_on(&server, address, port) < 0) {
        return 1;
    }

    int rc = weft_run(serve, &server, .workers = (int)workers);
    weft_listener_free(server.listener);
    close(server.signals);
    return rc < 0;
}
