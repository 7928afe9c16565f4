/* serve.h: the outside of a server: it accepts connections, gives each a task and a scope of its
 * own, bounds how many there are and how long they take, and stops without cutting anybody short.
 *
 * What a server does with a connection is a function of the program, which reads and writes as it
 * likes. It says where a request begins (weft_connection_next), so that waiting for one can be told
 * from being at work on one: who waits is sent away after the idle time, and at once when the
 * server stops; who is at work has the request's time, and the drain's.
 *
 *     static int answer_all(weft_connection *c)
 *     {
 *         weft_reader reader;
 *         weft_reader_init(&reader, c->stream, NULL, 0);
 *         int rc;
 *         while ((rc = weft_connection_next(c, &reader)) > 0) {
 *             rc = weft_connection_within(c, answer_one(c, &reader));
 *             if (rc < 0) break;
 *         }
 *         weft_reader_fini(&reader);
 *         return rc;
 *     } */
#ifndef WEFT_SERVE_H
#define WEFT_SERVE_H

#include <weft/cancel.h>
#include <weft/net.h>
#include <weft/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A server, in the caller's memory. Opaque. */
typedef struct weft_server {
    WEFT_ALIGNAS(16) unsigned char opaque[1024];
} weft_server;

/* A connection, as its function gets it. Lasts until the function has returned. */
typedef struct weft_connection {
    int fd;             /* the server's, which closes it when the function has returned */
    weft_stream stream; /* of fd, plain: weft_stream_lent */
    weft_scope
        *scope; /* for tasks of this connection's; they are waited for before fd is closed, and
                         * cancelled if the function fails */
    weft_server *server;
    void *ctx;         /* of the options */
    weft_time idle;    /* of the options, for weft_connection_next; the function may change it */
    weft_time request; /* of the options, for weft_connection_within; the same */
} weft_connection;

/* What is done with a connection: until the peer has finished, weft_connection_next has said 0, or
 * something failed. >= 0, or -errno, which is counted and has no other effect. Task context. */
typedef int weft_serve_fn(weft_connection *connection);

enum weft_at_max {
    WEFT_SERVER_PAUSE = 0,  /* nobody else is accepted: they wait in the kernel's queue */
    WEFT_SERVER_REFUSE = 1, /* they are accepted and closed at once */
};

#define WEFT_SERVER_CONNECTIONS 10000

typedef struct weft_server_opts {
    weft_serve_fn *fn; /* needed */
    void *ctx;
    uint32_t connections_max; /* that are served at once; 0: WEFT_SERVER_CONNECTIONS */
    int at_max;               /* enum weft_at_max: what happens at that number */
    weft_time idle;           /* see weft_connection_next; 0: 60 s */
    weft_time request;        /* see weft_connection_within; 0: 60 s */
    weft_time drain;          /* see weft_server_stop; 0: 10 s */
    /* Called when accepting begins to pause because something is short (code: -EMFILE, -ENFILE,
     * -ENOBUFS, -ENOMEM), once until it is over. In task context; must not wait for long. NULL: a
     * line on stderr. */
    void (*on_shortage)(int code, void *ctx);
} weft_server_opts;

/* Makes *server one that has not begun. *opts is copied. Without a function, or with at_max out of
 * its range: misuse, and weft_serve gives -EINVAL. Any thread. */
void weft_server_init(weft_server *server, const weft_server_opts *opts);

/* Ends its life. Zeroed memory is fine. While a weft_serve runs: misuse. Any thread. May suspend;
 * outside a task it blocks. */
void weft_server_fini(weft_server *server);

/* Accepts connections at the listening socket `fd` (TCP, Unix; it stays the caller's) and serves
 * them, until the server is stopped, by weft_server_stop or since the runtime stops, or this task
 * is cancelled. Then it closes nothing that is at work: it returns when all connections that it
 * accepted have ended. Several tasks may serve at several sockets with one server; the bounds and
 * the counters are common to them. When a descriptor or memory is short, accepting pauses for 50 ms
 * at a time. 0: stopped, and all connections have come to their end by themselves; > 0: so many of
 * the server's connections were cut off at the end of the drain. -ECANCELED: this task was
 * cancelled, and with it all connections. Others: the socket cannot accept; the server is stopped
 * as by weft_server_stop. May suspend. Task context. */
int weft_serve(weft_server *server, int fd);

/* The same at a listener (net.h), which stays the caller's, too: a weft_listener_close ends the
 * queue of those who have not been accepted. Closed by somebody while the server is not stopped:
 * -ESHUTDOWN. */
int weft_serve_listener(weft_server *server, weft_listener *listener);

/* Stops accepting; connections that wait for a request end (weft_connection_next gives 0, unless a
 * request has arrived already), those that are at work go on until the drain's time is over, and
 * are cancelled then. `why` is a static string, kept by pointer, or NULL. 0; -EALREADY: it is being
 * stopped; this second call ends the drain, and everything that is left is cancelled now. Who
 * connects after it is in the kernel's queue until the drain is over, unless the listener is closed
 * now (weft_listener_close). Any thread. Cannot suspend. */
#define weft_server_stop(server, why) weft_server_stop_((server), (why), WEFT_HERE)
int weft_server_stop_(weft_server *server, const char *why, const weft_place *place);

/* Waits for the beginning of the connection's next request: until `reader` holds at least a byte,
 * for at most c->idle. 1; 0: the peer has finished, or the server stops and nothing has arrived;
 * -ETIME; -ECANCELED; or the stream's error. The reader is over c->stream, or over something that
 * is (TLS). May suspend. Task context. */
int weft_connection_next(weft_connection *c, weft_reader *reader);

/* Evaluates `expr` (as for weft_within) within the request's time. */
#define weft_connection_within(c, expr) weft_within((c)->request, (expr))

/* 1: the server is being stopped: an answer may say that it is the last. 0. Any thread. */
int weft_server_stopping(const weft_server *server);

typedef struct weft_server_stats {
    uint32_t active;    /* connections now */
    uint64_t accepted;  /* connections ever, those that were refused not counted */
    uint64_t refused;   /* closed at once: at the maximum, short of memory, or since it stops */
    uint64_t requests;  /* times that weft_connection_next said 1 */
    uint64_t timed_out; /* connections whose function returned -ETIME */
    uint64_t lost;      /* reset by the peer, or cut off from it */
    uint64_t cut;       /* cancelled, at the end of the drain or with the task that serves */
    uint64_t failed;    /* others whose function returned an error */
    uint64_t shortages; /* times that accepting began to pause */
} weft_server_stats;

/* Each is exact on its own; together they are a snapshot. Any thread, between init and fini. */
void weft_server_stats_get(const weft_server *server, weft_server_stats *out);

#ifdef __cplusplus
}
#endif

#endif
