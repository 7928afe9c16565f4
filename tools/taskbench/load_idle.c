/* load_idle.c: what a connection weighs that is idle: many that wait to receive at the same time,
 * each with a task of its own, with a stack or without one, and with no buffer (<weft/loan.h>); or
 * those of a server that is built as people do, with a reader and a writer (<weft/serve.h>).
 *
 * A connection is a socket that is connected, to itself, so that each needs one descriptor and no
 * other process: what the kernel keeps for it is not in the figures, so its kind does not matter. A
 * server's has a peer in this process, a second descriptor. The bytes are the growth of this
 * process's proportional set size, and of its page tables, from before the first task is started
 * until all wait, divided by their number. They are taken from the first sample, whose stacks and
 * pools are new. */
#include "clock.h"
#include "load.h"
#include "usage.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/loan.h>
#include <weft/serve.h>
#include <weft/stackless.h>
#include <weft/task.h>

/* More than a task takes; a machine with less for each is not asked to try. */
#define BYTES_PER_TASK_MAX  8192
#define DESCRIPTORS_BESIDES 64
#define BACKLOG             1024

struct line {
    weft_frame sm; /* of those without a stack */
    struct exchange *exchange;
    weft_loan loan;
    int fd;
    int rc;
};

struct exchange {
    _Atomic uint64_t arrived;
    _Atomic uint64_t left; /* by the end of their connection */
    bool measured;         /* the first sample is over */
    uint64_t n;
    size_t bytes;
    struct line *lines;
};

/* relaxed, both: counts that order nothing; weft_scope_end orders the last look at them */
static void arrive(struct exchange *exchange)
{
    atomic_fetch_add_explicit(&exchange->arrived, 1, memory_order_relaxed);
}

static int leave(struct exchange *exchange, ssize_t n)
{
    atomic_fetch_add_explicit(&exchange->left, n == 0, memory_order_relaxed);
    return (int)n;
}

WEFT_TASK(wait_for_data, struct line *)
{
    struct line *line = *arg;
    WEFT_LOAN(loan);
    arrive(line->exchange);
    return leave(line->exchange, weft_recv_loan(line->fd, &loan, 0));
}

WEFT_STEP(wait_as_frame, struct line)
{
    WEFT_BEGIN(&f->sm);
    arrive(f->exchange);
    WEFT_AWAIT(&f->sm, f->rc, weft_recv_loan_v(f->fd, &f->loan, 0));
    return leave(f->exchange, f->rc);
}

/* As the example httpd: a reader and a writer, whose buffers are the pool's. */
static int serve_line(weft_connection *c)
{
    struct exchange *exchange = c->ctx;
    weft_reader reader;
    weft_writer writer;
    weft_reader_init(&reader, c->stream, NULL, 0);
    weft_writer_init(&writer, c->stream, NULL, 0);
    arrive(exchange);
    int rc = weft_connection_next(c, &reader);
    weft_writer_fini(&writer);
    weft_reader_fini(&reader);
    return leave(exchange, rc);
}

/* --- sockets ---------------------------------------------------------------------------------- */

static int socket_to_itself(void)
{
    struct sockaddr_storage own = {.ss_family = AF_UNIX};
    socklen_t bytes = sizeof(sa_family_t); /* any free name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&own, bytes) != 0 ||
                    (bytes = sizeof own, getsockname(fd, (struct sockaddr *)&own, &bytes)) != 0 ||
                    connect(fd, (struct sockaddr *)&own, bytes) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Any free name, by the next connect with *own. */
static int listen_anywhere(struct sockaddr_storage *own, socklen_t *bytes)
{
    *own = (struct sockaddr_storage){.ss_family = AF_UNIX};
    *bytes = sizeof *own;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        (bind(fd, (struct sockaddr *)own, sizeof(sa_family_t)) != 0 || listen(fd, BACKLOG) != 0 ||
         getsockname(fd, (struct sockaddr *)own, bytes) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool raise_limit(uint64_t descriptors)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < descriptors) {
        return false;
    }
    limit.rlim_cur = limit.rlim_cur < descriptors ? descriptors : limit.rlim_cur;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void hang_up(struct exchange *exchange, uint64_t n)
{
    while (n > 0) { /* ends: counts down */
        struct line *line = &exchange->lines[--n];
        if (line->fd >= 0) {
            close(line->fd);
        }
        line->fd = -1;
    }
}

static void close_lines(struct exchange *exchange, uint64_t n)
{
    hang_up(exchange, n);
    munmap(exchange->lines, exchange->bytes);
    free(exchange);
}

/* `each`: descriptors of a connection. One: it is made here; else by the sample. */
static int open_lines(struct tb_trial *trial, uint64_t each)
{
    uint64_t n = trial->params[0], needed = n * BYTES_PER_TASK_MAX;
    if (!raise_limit(each * n + DESCRIPTORS_BESIDES)) {
        return tb_skip(trial, "%llu connections need %llu descriptors (ulimit -Hn)",
                       (unsigned long long)n, (unsigned long long)(each * n));
    }
    if (tb_memory_available() < needed) {
        return tb_skip(trial, "%llu connections may need %llu MiB of memory, which are not free",
                       (unsigned long long)n, (unsigned long long)(needed >> 20));
    }
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange) {
        return tb_skip(trial, "no memory for the results");
    }
    exchange->n = n;
    exchange->bytes = n * sizeof(struct line);
    exchange->lines =
        mmap(NULL, exchange->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (exchange->lines == MAP_FAILED) {
        free(exchange);
        return tb_skip(trial, "no memory for the frames");
    }
    for (uint64_t i = 0; i < n; i++) {
        exchange->lines[i] =
            (struct line){.exchange = exchange, .fd = each == 1 ? socket_to_itself() : -1};
        if (each == 1 && exchange->lines[i].fd < 0) {
            int error = errno;
            close_lines(exchange, i);
            return tb_skip(trial, "no socket: %s", strerror(error));
        }
    }
    trial->ops_per_round = n;
    trial->state = exchange;
    return 0;
}

static int conn_open(struct tb_trial *trial)
{
    return open_lines(trial, 1);
}

static int served_open(struct tb_trial *trial)
{
    return open_lines(trial, 2);
}

static void conn_close(struct tb_trial *trial)
{
    struct exchange *exchange = trial->state;
    close_lines(exchange, exchange->n);
}

/* --- samples ---------------------------------------------------------------------------------- */

/* Starts the tasks and returns when all wait: what was submitted has then been given to the
 * kernel. */
static int fill(struct exchange *exchange, weft_scope *scope, bool frames)
{
    int rc = 0;
    for (uint64_t i = 0; i < exchange->n && rc == 0; i++) {
        struct line *line = &exchange->lines[i];
        rc = frames ? weft_go_frame(scope, wait_as_frame, line)
                    : weft_go(scope, wait_for_data, &line);
    }
    while (rc == 0 &&
           atomic_load_explicit(&exchange->arrived, memory_order_relaxed) < exchange->n) {
        rc = weft_yield();
    }
    return rc == 0 ? weft_sleep(WEFT_MS(1)) : rc;
}

static void note_growth(struct tb_trial *trial, const struct tb_usage *before,
                        const struct tb_usage *after, bool frames)
{
    double n = (double)trial->params[0];
    double pss = ((double)after->pss_bytes - (double)before->pss_bytes) / n;
    double tables = ((double)after->page_tables_bytes - (double)before->page_tables_bytes) / n;
    if (frames) {
        /* its line was there before, as the program's own memory would be; but not touched by
         * weft */
        tb_metric(trial, "conn_frame_bytes", "B", pss + tables + (double)sizeof(struct line));
    } else {
        tb_metric(trial, "conn_bytes", "B", pss);
        tb_metric(trial, "table_bytes", "B", tables);
        tb_metric(trial, "mappings", "", (double)after->mappings);
    }
}

static int conn_round(struct tb_trial *trial, bool frames)
{
    struct exchange *exchange = trial->state;
    struct tb_usage before, after;
    exchange->arrived = 0;
    exchange->left = 0;
    WEFT_SCOPE(scope);
    tb_usage_get(&before);
    uint64_t start = tb_now_ns();
    int rc = fill(exchange, &scope, frames);
    trial->elapsed_ns = tb_now_ns() - start;
    if (rc == 0 && !exchange->measured) {
        tb_usage_get(&after);
        note_growth(trial, &before, &after, frames);
        exchange->measured = true;
    }
    for (uint64_t i = 0; i < exchange->n; i++) {
        (void)send(exchange->lines[i].fd, "", 0, 0); /* an empty message is the end */
    }
    int end = weft_scope_end(&scope);
    return rc < 0 ? rc : end;
}

static int stack_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    return conn_round(trial, false);
}

static int frame_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    return conn_round(trial, true);
}

/* --- those of a server ------------------------------------------------------------------------ */

struct served {
    weft_server *server;
    int listener;
};

WEFT_TASK(serve_all, struct served)
{
    return weft_serve(arg->server, arg->listener);
}

/* Each connection's function waits when this returns. */
static int connect_all(struct exchange *exchange, const struct sockaddr_storage *to,
                       socklen_t bytes)
{
    int rc = 0;
    for (uint64_t i = 0; i < exchange->n && rc == 0; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        exchange->lines[i].fd = fd;
        if (fd < 0) {
            return -errno;
        }
        /* ends: the backlog is accepted while we yield */
        while (rc == 0 && connect(fd, (const struct sockaddr *)to, bytes) != 0) {
            rc = errno == EAGAIN ? weft_yield() : -errno;
        }
    }
    while (rc == 0 &&
           atomic_load_explicit(&exchange->arrived, memory_order_relaxed) < exchange->n) {
        rc = weft_yield();
    }
    return rc == 0 ? weft_sleep(WEFT_MS(1)) : rc;
}

static int served_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    struct exchange *exchange = trial->state;
    struct sockaddr_storage name;
    socklen_t bytes;
    struct tb_usage before, after;
    exchange->arrived = 0;
    exchange->left = 0;
    int listener = listen_anywhere(&name, &bytes);
    if (listener < 0) {
        return -errno;
    }
    weft_server server;
    const weft_server_opts opts = {.fn = serve_line,
                                   .ctx = exchange,
                                   .connections_max = (uint32_t)exchange->n,
                                   .idle = WEFT_SEC(3600)};
    weft_server_init(&server, &opts);
    WEFT_SCOPE(scope);
    tb_usage_get(&before);
    uint64_t start = tb_now_ns();
    int rc = weft_go(&scope, serve_all, &((struct served){&server, listener}));
    rc = rc == 0 ? connect_all(exchange, &name, bytes) : rc;
    trial->elapsed_ns = tb_now_ns() - start;
    if (rc == 0 && !exchange->measured) {
        tb_usage_get(&after);
        note_growth(trial, &before, &after, false);
        exchange->measured = true;
    }
    hang_up(exchange, exchange->n);
    weft_server_stats stats = {.active = 1};
    while (rc == 0 && stats.active > 0) { /* ends: all see the end */
        rc = weft_yield();
        weft_server_stats_get(&server, &stats);
    }
    (void)weft_server_stop(&server, "measured");
    int end = weft_scope_end(&scope);
    weft_server_fini(&server);
    close(listener);
    return rc < 0 ? rc : end;
}

/* --- all -------------------------------------------------------------------------------------- */

static int conn_check(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    const struct exchange *exchange = trial->state;
    if (exchange->left != exchange->n) {
        return tb_wrong(trial, "%llu connections have ended, not %llu",
                        (unsigned long long)exchange->left, (unsigned long long)exchange->n);
    }
    return 0;
}

const struct tb_load tb_loads_idle[] = {
    {
        .name = "idle",
        .group = "memory",
        .about = "10 000 idle connections, each a task that receives; bytes of each",
        .op = "connection that waits",
        .flags = TB_LOAD_ALONE | TB_LOAD_ONCE,
        .samples_max = 3,
        .params = {{"connections", 10000, 1, 1000000, "connections that wait at a time"}},
        .open = conn_open,
        .sample = stack_sample,
        .check = conn_check,
        .close = conn_close,
    },
    {
        .name = "idle/frame",
        .group = "memory",
        .about = "the same, each a frame without a stack",
        .op = "connection that waits",
        .flags = TB_LOAD_ALONE | TB_LOAD_ONCE,
        .samples_max = 3,
        .params = {{"connections", 10000, 1, 1000000, "connections that wait at a time"}},
        .open = conn_open,
        .sample = frame_sample,
        .check = conn_check,
        .close = conn_close,
    },
    {
        .name = "idle/serve",
        .group = "memory",
        .about = "the same, each of a server: weft_serve, a reader, a writer",
        .op = "connection that waits",
        .flags = TB_LOAD_ALONE | TB_LOAD_ONCE,
        .samples_max = 3,
        .params = {{"connections", 10000, 1, 1000000, "connections that wait at a time"}},
        .open = served_open,
        .sample = served_sample,
        .check = conn_check,
        .close = conn_close,
    },
    {.name = NULL},
};
