/* serve.c: <weft/serve.h>: a server is an accept loop, a scope of connections, two sources of
 * cancellation, a semaphore and some counters; by public calls, but that a scope is put under a
 * source without another one around it.
 *
 *     weft_serve, the caller's task
 *      +- watching        stop_with_runtime: fires `closing` when the runtime begins its drain
 *      +- connections     serve_connection, a task for each; each under `cutting`
 *          +- (closing)   the accept loop, under `closing`
 *
 *   STARTED --[stop; the runtime's drain; accept failed: fires closing]--> DRAINING
 *   DRAINING --[its time is over; a second stop: fires cutting]--> CUT --> all have ended
 *
 *   1. `closing` ends the accept loop, and each weft_connection_next that waits: a connection that
 *      is at work is not under it.
 *   2. The first weft_serve that leaves its accept loop gives `cutting` the drain's time.
 *   3. `cutting` cancels what is left. The last weft_serve to leave takes the time off again, so
 *      that nothing of a server that has ended is armed in a runtime.
 *
 * G.1  At most connections_max functions run. Accepting takes a connection and then waits for its
 *      turn, so each weft_serve may hold one accepted connection more; the other way round a
 *      listener with nobody at it would keep a place that others need.
 * G.2  Nothing spins: at the maximum the loop waits in line, in a shortage it sleeps.
 * G.3  A connection that was accepted is either given to the function or closed and counted. */
#include "src/core.h"
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/serve.h>
#include <weft/service.h>

/* 20 attempts a second cost nothing. The known trick, a spare descriptor that is closed to accept
 * and hang up with, refuses whom we could serve 50 ms later, and is lost to another thread at
 * times. */
#define SHORTAGE_PAUSE WEFT_MS(50)
#define IDLE_TIME      WEFT_SEC(60)
#define REQUEST_TIME   WEFT_SEC(60)
#define DRAIN_TIME     WEFT_SEC(10)

struct counter {
    WF_ATOMIC(uint64_t) n;
};

struct server {
    weft_server_opts opts; /* immutable, with its defaults filled in */
    weft_cancel closing, cutting;
    weft_sem places;             /* of opts.connections_max */
    WF_ATOMIC(uint32_t) serving; /* calls of weft_serve */
    WF_ATOMIC(uint32_t) timed;   /* 1: cutting has been given its time */
    /* any worker; relaxed, all: they are for reports, and order nothing */
    WF_ATOMIC(uint32_t) active;
    struct counter accepted;
    struct counter refused;
    struct counter requests;
    struct counter timed_out;
    struct counter lost;
    struct counter cut;
    struct counter failed;
    struct counter shortages;
};

_Static_assert(sizeof(struct server) <= sizeof(weft_server), "weft_server is too small");
_Static_assert(_Alignof(struct server) <= _Alignof(weft_server),
               "weft_server is not aligned enough");

static struct server *server_of(const weft_server *server)
{
    return (struct server *)(uintptr_t)server;
}

static void count(struct counter *counter)
{
    (void)wf_add_relaxed(&counter->n, 1); /* relaxed: see struct server */
}

static uint64_t read_counter(struct counter *counter)
{
    return wf_load_relaxed(&counter->n); /* relaxed: see struct server */
}

static bool has_fired(const weft_cancel *c)
{
    return weft_cancel_why(c)->kind != WEFT_WHY_NONE;
}

void weft_server_init(weft_server *server, const weft_server_opts *opts)
{
    struct server *s = server_of(server);
    if (wf_forked) {
        return;
    }
    static const weft_server_opts none;
    opts = opts != NULL ? opts : &none;
    memset(s, 0, sizeof *s);
    s->opts = *opts;
    if (opts->fn == NULL || opts->at_max < WEFT_SERVER_PAUSE || opts->at_max > WEFT_SERVER_REFUSE) {
        wf_misuse("weft_server_init: without a function, or with at_max %d", opts->at_max);
        s->opts.fn = NULL;
    }
    s->opts.connections_max =
        opts->connections_max > 0 ? opts->connections_max : WEFT_SERVER_CONNECTIONS;
    s->opts.idle = opts->idle > 0 ? opts->idle : IDLE_TIME;
    s->opts.request = opts->request > 0 ? opts->request : REQUEST_TIME;
    s->opts.drain = opts->drain > 0 ? opts->drain : DRAIN_TIME;
    weft_cancel_init(&s->closing, NULL);
    weft_cancel_init(&s->cutting, NULL);
    weft_sem_init(&s->places, s->opts.connections_max & INT32_MAX, 0);
}

void weft_server_fini(weft_server *server)
{
    struct server *s = server_of(server);
    if (wf_forked) {
        return;
    }
    if (wf_load_relaxed(&s->serving) > 0) { /* relaxed: it is misuse anyway */
        wf_misuse("weft_server_fini: a weft_serve is running");
        return;
    }
    weft_sem_fini(&s->places);
    weft_cancel_fini(&s->cutting);
    weft_cancel_fini(&s->closing);
}

int weft_server_stop_(weft_server *server, const char *why, const weft_place *place)
{
    struct server *s = server_of(server);
    int rc = weft_cancel_fire_(&s->closing, why, place);
    if (rc == -EALREADY) {
        (void)weft_cancel_fire_(&s->cutting, why, place);
    }
    return rc;
}

int weft_server_stopping(const weft_server *server)
{
    return has_fired(&server_of(server)->closing);
}

void weft_server_stats_get(const weft_server *server, weft_server_stats *out)
{
    struct server *s = server_of(server);
    *out = (weft_server_stats){/* relaxed: see struct server */
                               .active = wf_load_relaxed(&s->active),
                               .accepted = read_counter(&s->accepted),
                               .refused = read_counter(&s->refused),
                               .requests = read_counter(&s->requests),
                               .timed_out = read_counter(&s->timed_out),
                               .lost = read_counter(&s->lost),
                               .cut = read_counter(&s->cut),
                               .failed = read_counter(&s->failed),
                               .shortages = read_counter(&s->shortages)};
}

/* --- connections ------------------------------------------------------------------------------ */

static ssize_t peek_one(weft_reader *reader)
{
    const void *there;
    return weft_reader_peek(reader, 1, &there);
}

/* weft_under(&s->closing, weft_within(c->idle, ...)), by one scope instead of two: a connection
 * that waits here should need one page of stack. */
static ssize_t peek_while_open(weft_connection *c, weft_reader *reader)
{
    weft_scope scope __attribute__((cleanup(weft_scope_cleanup_)));
    weft_within_begin_(&scope, c->idle, WEFT_HERE);
    wf_scope_put_under(wf_scope_of(&scope), &server_of(c->server)->closing);
    return weft_within_end_(&scope, peek_one(reader));
}

int weft_connection_next(weft_connection *c, weft_reader *reader)
{
    int rc = 0;
    if (wf_enter_task(&rc) == NULL) {
        return rc;
    }
    struct server *s = server_of(c->server);
    const void *there;
    ssize_t n = weft_reader_peek(reader, 0, &there);
    if (n == 0) {
        n = peek_while_open(c, reader);
    }
    if (n == -ECANCELED && weft_check() == 0) {
        /* `closing` it was: what has arrived by now is still answered */
        n = weft_within(0, peek_one(reader));
        n = n == -ETIME ? 0 : n;
    }
    if (n > 0) {
        count(&s->requests);
    }
    return n > 0 ? 1 : (int)n;
}

static void count_outcome(struct server *s, int rc)
{
    switch (rc) {
    case -ETIME:
        count(has_fired(&s->cutting) ? &s->cut : &s->timed_out);
        break;
    case -ECANCELED:
        count(&s->cut);
        break;
    case -ECONNRESET:
    case -ECONNABORTED:
    case -EPIPE:
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        count(&s->lost);
        break;
    default:
        if (rc < 0) {
            count(&s->failed);
        }
    }
}

/* The function, and then the tasks that it has left; all under `cutting`. */
static int run_connection(weft_connection *c, struct server *s)
{
    WEFT_SCOPE(scope);
    wf_scope_put_under(wf_scope_of(&scope), &s->cutting);
    c->scope = &scope;
    int rc = s->opts.fn(c);
    if (rc < 0) {
        weft_scope_cancel(&scope, "the connection has failed");
    }
    int tasks = weft_scope_end(&scope);
    return rc < 0 ? rc : tasks;
}

struct arrival {
    weft_server *server;
    int fd;
};

/* Returns 0 whatever happens: one connection's end is no failure of the others' scope. */
WEFT_TASK(serve_connection, struct arrival)
{
    struct server *s = server_of(arg->server);
    weft_connection c = {.fd = arg->fd,
                         .stream = weft_stream_lent(arg->fd),
                         .server = arg->server,
                         .ctx = s->opts.ctx,
                         .idle = s->opts.idle,
                         .request = s->opts.request};
    int rc = run_connection(&c, s);
    (void)weft_close(arg->fd);
    count_outcome(s, rc);
    (void)wf_sub_relaxed(&s->active, 1); /* relaxed: see struct server */
    (void)weft_sem_release(&s->places, 1);
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

static int take_place(struct server *s)
{
    return s->opts.at_max == WEFT_SERVER_REFUSE ? weft_sem_try(&s->places)
                                                : weft_sem_acquire(&s->places);
}

/* One of them is where connections come from. */
struct door {
    weft_listener *listener; /* NULL: fd is it */
    int fd;
};

static int accept_at(const struct door *door)
{
    return door->listener != NULL ? weft_listener_accept(door->listener, NULL)
                                  : weft_accept(door->fd, NULL, NULL, 0);
}

/* Accepts one connection, waits for its turn, starts its task. 0; 1: it was refused; -errno. */
static int accept_one(weft_server *server, const struct door *door, weft_scope *connections)
{
    struct server *s = server_of(server);
    int fd = accept_at(door);
    if (fd < 0) {
        return fd;
    }
    struct arrival arrival = {server, fd};
    int rc = take_place(s);
    if (rc == 0) {
        (void)wf_add_relaxed(&s->active, 1); /* relaxed: see struct server */
        rc = weft_go(connections, serve_connection, &arrival);
        if (rc < 0) {
            (void)wf_sub_relaxed(&s->active, 1); /* relaxed: as above */
            (void)weft_sem_release(&s->places, 1);
        }
    }
    count(rc == 0 ? &s->accepted : &s->refused);
    if (rc < 0) {
        (void)weft_close(fd);
    }
    return rc == -EAGAIN ? 1 : rc;
}

static void begin_shortage(struct server *s, int rc)
{
    count(&s->shortages);
    if (s->opts.on_shortage != NULL) {
        s->opts.on_shortage(rc, s->opts.ctx);
    } else {
        char text[64];
        (void)fprintf(stderr, "weft: accept: %s; new connections wait\n",
                      strerror_r(-rc, text, sizeof text));
    }
}

/* Until it is cancelled, or accept fails for good: -errno. */
static int accept_all(weft_server *server, const struct door *door, weft_scope *connections)
{
    bool is_short = false; /* said once, until it is over */
    for (;;) {             /* ends by cancellation */
        int rc = accept_one(server, door, connections);
        enum trouble trouble = rc < 0 ? trouble_of(rc) : TROUBLE_PASSES;
        if (trouble == TROUBLE_FATAL) {
            return rc;
        }
        if (trouble == TROUBLE_SHORTAGE) {
            if (!is_short) {
                begin_shortage(server_of(server), rc);
            }
            (void)weft_sleep(SHORTAGE_PAUSE); /* if it is cut short, the next accept says so */
        }
        is_short = trouble == TROUBLE_SHORTAGE;
    }
}

/* --- serving ---------------------------------------------------------------------------------- */

WEFT_TASK(stop_with_runtime, struct server *)
{
    if (weft_drain_wait() == 0) {
        (void)weft_cancel_fire(&(*arg)->closing, "the runtime stops");
    }
    return 0;
}

static void leave(struct server *s)
{
    /* sync(serve.leave): acq_rel, the last to leave is after all that others did with the timer;
     * pairs sync(serve.leave) */
    if (wf_sub_acq_rel(&s->serving, 1) == 1) {
        (void)weft_cancel_after(&s->cutting, WEFT_FOREVER);
    }
}

static int serve_at(weft_server *server, const struct door *door)
{
    struct server *s = server_of(server);
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return rc;
    }
    if (s->opts.fn == NULL) {
        return -EINVAL;
    }
    (void)wf_add_relaxed(&s->serving, 1); /* relaxed: the last to leave is what matters */
    WEFT_SCOPE(watching);
    WEFT_SCOPE(connections, .on_error = WEFT_CONTINUE);
    rc = weft_go(&watching, stop_with_runtime, &s);
    if (rc == 0) {
        rc = (int)weft_under(&s->closing, accept_all(server, door, &connections));
    }
    bool is_stopped = weft_cancel_fire(&s->closing, "the listening socket has failed") == -EALREADY;
    if (wf_xchg_relaxed(&s->timed, 1) == 0) { /* relaxed: who is first does it, and leaves later */
        (void)weft_cancel_after(&s->cutting, s->opts.drain);
    }
    (void)weft_scope_end(&connections);
    (void)weft_scope_cancel(&watching, "nothing is served any more");
    (void)weft_scope_end(&watching);
    leave(s);
    if (is_stopped && weft_check() == 0) {
        return (int)(read_counter(&s->cut) & INT32_MAX);
    }
    return rc;
}

int weft_serve(weft_server *server, int fd)
{
    return serve_at(server, &(struct door){.fd = fd});
}

int weft_serve_listener(weft_server *server, weft_listener *listener)
{
    return serve_at(server, &(struct door){.listener = listener});
}
