/* The server helper: everybody is served or refused and counted; the cap, the idle time and the
 * request's time hold; stopping ends who waits, lets who works finish, and cuts what is left. */
#include "pattern.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/serve.h>
#include <weft/service.h>
#include <weft/sync.h>

/* --- a server of lines ------------------------------------------------------------------------ */

/* What the function of a connection does with a line: "wait" waits for `go`, "hang" for ever, "bad"
 * fails; all others are sent back at once. */
static struct world {
    weft_event go;
    atomic_int inside, most, at_work;
} world;

static int answer(weft_connection *c, const char *line)
{
    int rc = 0;
    if (strcmp(line, "wait") == 0) {
        atomic_fetch_add(&world.at_work, 1);
        rc = weft_event_wait(&world.go);
    } else if (strcmp(line, "hang") == 0) {
        atomic_fetch_add(&world.at_work, 1);
        rc = weft_sleep(WEFT_SEC(3600));
    } else if (strcmp(line, "bad") == 0) {
        rc = -EPROTO;
    }
    char out[64];
    int bytes = snprintf(out, sizeof out, "%s\n", line);
    if (rc == 0 && weft_send_all(c->fd, out, (size_t)bytes, 0) != bytes) {
        rc = -EPIPE;
    }
    return rc;
}

static int answer_next(weft_connection *c, weft_reader *reader)
{
    char *line;
    int rc = weft_reader_line(reader, 0, &line, NULL);
    return rc > 0 ? answer(c, line) : rc;
}

static int serve_lines(weft_connection *c)
{
    int inside = atomic_fetch_add(&world.inside, 1) + 1;
    if (inside > atomic_load(&world.most)) {
        atomic_store(&world.most, inside);
    }
    weft_reader reader;
    weft_reader_init(&reader, c->stream, NULL, 512);
    int rc;
    while ((rc = weft_connection_next(c, &reader)) > 0) {
        rc = weft_connection_within(c, answer_next(c, &reader));
        if (rc < 0) {
            break;
        }
    }
    weft_reader_fini(&reader);
    atomic_fetch_sub(&world.inside, 1);
    return rc;
}

/* --- it and its clients ----------------------------------------------------------------------- */

struct rig {
    weft_server server;
    int listener;
    struct sockaddr_in address;
    weft_task serving;
};

static int listen_on(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof *address;
    wt_eq(bind(fd, (struct sockaddr *)address, bytes), 0);
    wt_eq(listen(fd, 1024), 0);
    wt_eq(getsockname(fd, (struct sockaddr *)address, &bytes), 0);
    return fd;
}

static int serve_it(void *arg)
{
    struct rig *rig = arg;
    return weft_serve(&rig->server, rig->listener);
}

static void world_init(void)
{
    weft_event_init(&world.go, WEFT_EVENT_MANUAL);
    atomic_store(&world.most, 0);
    atomic_store(&world.at_work, 0);
}

static void rig_init(struct rig *rig, weft_server_opts opts)
{
    world_init();
    if (opts.fn == NULL) {
        opts.fn = serve_lines;
    }
    weft_server_init(&rig->server, &opts);
    rig->listener = listen_on(&rig->address);
    wt_eq(weft_spawn(&rig->serving, serve_it, rig), 0);
}

/* What weft_serve returned. */
static int rig_fini(struct rig *rig)
{
    (void)weft_server_stop(&rig->server, "the test is over");
    int rc = weft_await(&rig->serving);
    weft_close(rig->listener);
    weft_server_fini(&rig->server);
    weft_event_fini(&world.go);
    wt_eq(atomic_load(&world.inside), 0);
    return rc;
}

static weft_server_stats stats_of(const struct rig *rig)
{
    weft_server_stats stats;
    weft_server_stats_get(&rig->server, &stats);
    return stats;
}

static int client_new(const struct rig *rig)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_ge(fd, 0);
    wt_eq(weft_connect(fd, (const struct sockaddr *)&rig->address, sizeof rig->address), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    wt_eq(weft_send_all(fd, text, strlen(text), 0), strlen(text));
}

static void expect(int fd, const char *text)
{
    char got[64] = "";
    wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_recv(fd, got, strlen(text), MSG_WAITALL)),
          strlen(text), "instead of %s", text);
    wt_str_eq(got, text);
}

/* The peer has closed, with a reset if it had not read everything. */
static void expect_end(int fd)
{
    char c;
    ssize_t n = weft_within(PATTERN_PATIENCE_NS, weft_recv(fd, &c, 1, 0));
    wt_true(n == 0 || n == -ECONNRESET, "%zd", n);
    weft_close(fd);
}

static void expect_silence(int fd)
{
    char c;
    wt_eq(weft_within(WEFT_MS(20), weft_recv(fd, &c, 1, 0)), -ETIME);
}

/* Task context: waits until *field of the statistics has come to `value`. */
#define await_stat(rig, field, value)                         \
    do {                                                      \
        int64_t give_up_ns_ = now_ns() + PATTERN_PATIENCE_NS; \
        while (stats_of(rig).field != (value)) {              \
            wt_eq(weft_sleep(WEFT_US(200)), 0);               \
            wt_lt(now_ns(), give_up_ns_, #field " is %llu",   \
                  (unsigned long long)stats_of(rig).field);   \
        }                                                     \
    } while (0)

/* --- serving ---------------------------------------------------------------------------------- */

WEFT_TASK(client_of_ten, struct rig *)
{
    int fd = client_new(*arg);
    for (int i = 0; i < 10; i++) {
        say(fd, "hello\n");
        expect(fd, "hello\n");
    }
    weft_close(fd);
    return 0;
}

TaskTest(serve, everybody_is_answered_and_counted, 2)
{
    enum { CLIENTS = 50 };
    struct rig rig;
    struct rig *it = &rig;
    rig_init(&rig, (weft_server_opts){0});
    WEFT_SCOPE(clients);
    for (int i = 0; i < CLIENTS; i++) {
        wt_eq(weft_go(&clients, client_of_ten, &it), 0);
    }
    wt_eq(weft_scope_end(&clients), 0);
    await_stat(&rig, active, 0);
    weft_server_stats stats = stats_of(&rig);
    wt_eq(stats.accepted, CLIENTS);
    wt_eq(stats.requests, CLIENTS * 10);
    wt_eq(stats.refused + stats.timed_out + stats.lost + stats.cut + stats.failed, 0);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

TaskTest(serve, requests_that_came_together_are_answered_in_order, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){0});
    int fd = client_new(&rig);
    say(fd, "one\ntwo\nthree\n");
    expect(fd, "one\ntwo\nthree\n");
    wt_eq(stats_of(&rig).requests, 3);
    weft_close(fd);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

TaskTest(serve, a_failure_ends_one_connection_and_is_counted, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){0});
    int good = client_new(&rig);
    int bad = client_new(&rig);
    say(bad, "bad\n");
    expect_end(bad);
    say(good, "still here\n");
    expect(good, "still here\n");
    weft_close(good);
    await_stat(&rig, active, 0);
    wt_eq(stats_of(&rig).failed, 1);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

static int count_down(void *arg)
{
    (void)arg;
    int rc = weft_event_wait(&world.go);
    atomic_fetch_add(&world.at_work, rc == 0);
    return rc;
}

WEFT_TASK(count_down_too, int)
{
    return count_down(arg);
}

static int start_and_leave(weft_connection *c)
{
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_go(c->scope, count_down_too, &i), 0);
    }
    atomic_fetch_add(&world.most, 1);
    return 0;
}

TaskTest(serve, the_tasks_of_a_connection_end_before_it_is_closed, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.fn = start_and_leave});
    int fd = client_new(&rig);
    yield_until(&world.most, 1);
    expect_silence(fd);
    weft_event_set(&world.go);
    expect_end(fd);
    wt_eq(atomic_load(&world.at_work), 3);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

static int start_and_fail(weft_connection *c)
{
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_go(c->scope, count_down_too, &i), 0);
    }
    return -EBADMSG;
}

TaskTest(serve, the_tasks_of_a_connection_that_fails_are_cancelled, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.fn = start_and_fail});
    int fd = client_new(&rig);
    expect_end(fd);
    await_stat(&rig, active, 0);
    wt_eq(atomic_load(&world.at_work), 0);
    wt_eq(stats_of(&rig).failed, 1);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

/* --- bounds ----------------------------------------------------------------------------------- */

TaskTest(serve, at_the_maximum_the_next_one_waits, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.connections_max = 2});
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = client_new(&rig);
        say(fds[i], "x\n");
    }
    expect(fds[0], "x\n");
    expect(fds[1], "x\n");
    expect_silence(fds[2]);
    wt_eq(stats_of(&rig).active, 2);
    for (int i = 0; i < 5; i++) { /* each that leaves makes room for the next */
        if (i > 1) {
            expect(fds[i], "x\n");
        }
        weft_close(fds[i]);
    }
    await_stat(&rig, active, 0);
    wt_eq(stats_of(&rig).accepted, 5);
    wt_eq(stats_of(&rig).refused, 0);
    wt_le(atomic_load(&world.most), 2);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

TaskTest(serve, at_the_maximum_the_next_one_is_refused_if_so_wanted, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.connections_max = 1, .at_max = WEFT_SERVER_REFUSE});
    int first = client_new(&rig);
    say(first, "x\n");
    expect(first, "x\n");
    expect_end(client_new(&rig));
    await_stat(&rig, refused, 1);
    wt_eq(stats_of(&rig).accepted, 1);
    say(first, "y\n");
    expect(first, "y\n");
    weft_close(first);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

TaskTest(serve, who_is_silent_for_too_long_is_sent_away, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.idle = WEFT_MS(30)});
    int64_t start_ns = now_ns();
    int fd = client_new(&rig);
    expect_end(fd);
    wt_ge(now_ns() - start_ns, WEFT_MS(29));
    await_stat(&rig, timed_out, 1);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

TaskTest(serve, a_request_that_takes_too_long_is_ended, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.request = WEFT_MS(30)});
    int half = client_new(&rig);
    say(half, "no end of the line"); /* a slow client */
    int slow = client_new(&rig);
    say(slow, "hang\n");
    expect_end(half);
    expect_end(slow);
    await_stat(&rig, timed_out, 2);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

static atomic_int shortages;
static void note_shortage(int code, void *ctx)
{
    wt_eq(code, -EMFILE);
    wt_true(ctx == &world);
    atomic_fetch_add(&shortages, 1);
}

TaskTest(serve, without_descriptors_accepting_pauses_and_says_so_once, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.on_shortage = note_shortage, .ctx = &world});
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit limit, none;
    wt_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    int lowest = dup(fd); /* every number below it is in use */
    none.rlim_cur = (rlim_t)lowest;
    close(lowest);
    wt_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    wt_eq(weft_connect(fd, (struct sockaddr *)&rig.address, sizeof rig.address), 0);
    yield_until(&shortages, 1);
    weft_stats before, after;
    weft_stats_get(weft_rt_current(), &before);
    int64_t begin_ns = now_ns();
    wt_eq(weft_sleep(WEFT_MS(300)), 0); /* some six attempts; more if we are woken late */
    weft_stats_get(weft_rt_current(), &after);
    wt_lt(after.ops_submitted - before.ops_submitted,
          (uint64_t)((now_ns() - begin_ns) / WEFT_MS(6)), "it spins");
    wt_eq(stats_of(&rig).shortages, 1);
    wt_eq(atomic_load(&shortages), 1);
    wt_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    say(fd, "at last\n");
    expect(fd, "at last\n");
    weft_close(fd);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

/* --- stopping --------------------------------------------------------------------------------- */

TaskTest(serve, stopping_ends_who_waits_and_lets_who_works_finish, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.drain = WEFT_SEC(3600)});
    int idle = client_new(&rig);
    int busy = client_new(&rig);
    say(idle, "x\n");
    expect(idle, "x\n");
    say(busy, "wait\n");
    yield_until(&world.at_work, 1);
    wt_eq(weft_server_stopping(&rig.server), 0);
    wt_eq(weft_server_stop(&rig.server, "enough"), 0);
    wt_eq(weft_server_stopping(&rig.server), 1);
    expect_end(idle);
    expect_silence(busy);
    weft_event_set(&world.go);
    expect(busy, "wait\n");
    expect_end(busy);
    wt_eq(rig_fini(&rig), 0, "nobody was cut off");
    return 0;
}

TaskTest(serve, what_had_arrived_before_the_stop_is_answered, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){0});
    int fd = client_new(&rig);
    say(fd, "x\n");
    expect(fd, "x\n");
    wt_eq(send(fd, "in time\n", 8, MSG_NOSIGNAL), 8); /* one worker: the server has not run since */
    wt_eq(weft_server_stop(&rig.server, NULL), 0);
    expect(fd, "in time\n");
    expect_end(fd);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

TaskTest(serve, what_is_left_at_the_end_of_the_drain_is_cut_off_and_counted, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.drain = WEFT_MS(20)});
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = client_new(&rig);
        say(fds[i], "hang\n");
    }
    yield_until(&world.at_work, 3);
    wt_eq(weft_server_stop(&rig.server, "enough"), 0);
    wt_eq(weft_await(&rig.serving), 3);
    wt_eq(stats_of(&rig).cut, 3);
    wt_eq(stats_of(&rig).active, 0);
    for (int i = 0; i < 3; i++) {
        expect_end(fds[i]);
    }
    weft_close(rig.listener);
    weft_server_fini(&rig.server);
    weft_event_fini(&world.go);
    return 0;
}

TaskTest(serve, a_second_stop_ends_the_drain, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.drain = WEFT_SEC(3600)});
    int fd = client_new(&rig);
    say(fd, "hang\n");
    yield_until(&world.at_work, 1);
    wt_eq(weft_server_stop(&rig.server, "please"), 0);
    expect_silence(fd);
    wt_eq(weft_server_stop(&rig.server, "now"), -EALREADY);
    expect_end(fd);
    wt_eq(rig_fini(&rig), 1);
    return 0;
}

TaskTest(serve, a_server_that_was_stopped_before_serves_nobody, 1)
{
    weft_server server;
    weft_server_init(&server, &(weft_server_opts){.fn = serve_lines});
    struct sockaddr_in address;
    int listener = listen_on(&address);
    wt_eq(weft_server_stop(&server, NULL), 0);
    wt_eq(weft_serve(&server, listener), 0);
    wt_eq(weft_serve(&server, listener), 0);
    weft_close(listener);
    weft_server_fini(&server);
    return 0;
}

struct in_scope {
    struct rig *rig;
    int *rc;
};

WEFT_TASK(serve_in_scope, struct in_scope)
{
    *arg->rc = weft_serve(&arg->rig->server, arg->rig->listener);
    return 0;
}

TaskTest(serve, cancelled_it_cuts_its_connections_off, 2)
{
    world_init();
    struct rig rig;
    weft_server_init(&rig.server, &(weft_server_opts){.fn = serve_lines});
    rig.listener = listen_on(&rig.address);
    int served = 0;
    WEFT_SCOPE(scope);
    wt_eq(weft_go(&scope, serve_in_scope, &(struct in_scope){&rig, &served}), 0);
    int fd = client_new(&rig);
    say(fd, "hang\n");
    yield_until(&world.at_work, 1);
    weft_scope_cancel(&scope, "enough");
    (void)weft_scope_end(&scope);
    wt_eq(served, -ECANCELED);
    wt_eq(stats_of(&rig).active, 0);
    wt_eq(stats_of(&rig).cut, 1);
    expect_end(fd);
    weft_close(rig.listener);
    weft_server_fini(&rig.server);
    weft_event_fini(&world.go);
    return 0;
}

TaskTest(serve, a_socket_that_cannot_accept_stops_it, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){0});
    int fds[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    wt_eq(weft_serve(&rig.server, fds[0]), -EINVAL);
    wt_eq(weft_server_stopping(&rig.server), 1);
    wt_eq(weft_await(&rig.serving), 0);
    weft_close(fds[0]);
    weft_close(fds[1]);
    weft_close(rig.listener);
    weft_server_fini(&rig.server);
    weft_event_fini(&world.go);
    return 0;
}

/* --- several sockets, several threads --------------------------------------------------------- */

static int unix_listener(struct sockaddr_un *address, const char *folder)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(address->sun_path, sizeof address->sun_path, "%s/socket", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    wt_eq(listen(fd, 16), 0);
    return fd;
}

struct second {
    struct rig *rig;
    int listener;
    weft_listener *at;
};

static int serve_second(void *arg)
{
    struct second *second = arg;
    return weft_serve(&second->rig->server, second->listener);
}

TaskTest(serve, two_sockets_share_one_maximum, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){.connections_max = 1});
    char folder[] = "/tmp/weft-serve-XXXXXX";
    wt_true(mkdtemp(folder) != NULL);
    struct sockaddr_un address;
    struct second second = {.rig = &rig, .listener = unix_listener(&address, folder)};
    weft_task serving;
    wt_eq(weft_spawn(&serving, serve_second, &second), 0);

    int tcp = client_new(&rig);
    say(tcp, "x\n");
    expect(tcp, "x\n");
    int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(weft_connect(local, (struct sockaddr *)&address, sizeof address), 0);
    say(local, "y\n");
    expect_silence(local);
    weft_close(tcp);
    expect(local, "y\n");
    weft_close(local);
    wt_eq(atomic_load(&world.most), 1);
    wt_eq(weft_server_stop(&rig.server, NULL), 0);
    wt_eq(weft_await(&serving), 0);
    weft_close(second.listener);
    wt_eq(rig_fini(&rig), 0);
    unlink(address.sun_path);
    rmdir(folder);
    return 0;
}

static int serve_listener(void *arg)
{
    struct second *second = arg;
    return weft_serve_listener(&second->rig->server, second->at);
}

TaskTest(serve, a_listener_is_served_too, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){0});
    struct second second = {.rig = &rig};
    wt_eq(weft_listen(&second.at, "127.0.0.1:0", .conn.nodelay = 1), 0);
    weft_task serving;
    wt_eq(weft_spawn(&serving, serve_listener, &second), 0);
    weft_addr address;
    weft_listener_addr(second.at, &address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(weft_connect(fd, (struct sockaddr *)&address.storage, address.bytes), 0);
    say(fd, "x\n");
    expect(fd, "x\n");
    wt_eq(weft_server_stop(&rig.server, NULL), 0);
    expect_end(fd);
    wt_eq(weft_await(&serving), 0);
    weft_listener_free(second.at);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

TaskTest(serve, a_listener_that_is_closed_stops_it, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_server_opts){0});
    struct second second = {.rig = &rig};
    wt_eq(weft_listen(&second.at, "127.0.0.1:0"), 0);
    weft_task serving;
    wt_eq(weft_spawn(&serving, serve_listener, &second), 0);
    wt_eq(weft_yield(), 0);
    wt_eq(weft_listener_close(second.at), 0);
    wt_eq(weft_await(&serving), -ESHUTDOWN);
    wt_eq(weft_server_stopping(&rig.server), 1);
    weft_listener_free(second.at);
    wt_eq(rig_fini(&rig), 0);
    return 0;
}

static int talk_until_told(void *arg)
{
    struct rig *rig = arg;
    int fd = client_new(rig);
    say(fd, "wait\n");
    expect(fd, "wait\n");
    weft_close(fd);
    return 0;
}

static int stop_when_at_work(void *arg)
{
    (void)arg;
    yield_until(&world.at_work, 1);
    return 0;
}

static int let_go(void *arg)
{
    (void)arg;
    weft_event_set(&world.go);
    return 0;
}

Test(serve, a_runtime_that_stops_drains_it)
{
    world_init();
    struct rig rig;
    weft_server_init(&rig.server, &(weft_server_opts){.fn = serve_lines});
    rig.listener = listen_on(&rig.address);
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
    wt_eq(weft_post(rt, serve_it, &rig), 0);
    wt_eq(weft_post(rt, talk_until_told, &rig), 0);
    wt_eq(weft_call(rt, stop_when_at_work, NULL), 0);
    wt_eq(stats_of(&rig).active, 1);
    wt_eq(weft_call(rt, let_go, NULL), 0);
    wt_eq(weft_rt_stop(rt, PATTERN_PATIENCE_NS, 0), 0, "it has to end by itself");
    weft_server_stats stats = stats_of(&rig);
    wt_eq(stats.active, 0);
    wt_eq(stats.accepted, 1);
    wt_eq(stats.cut, 0);
    weft_rt_free(rt);
    weft_server_fini(&rig.server);
    weft_event_fini(&world.go);
    close(rig.listener);
}

/* --- misuse ----------------------------------------------------------------------------------- */

static int misuses;
static void count_misuse(const char *what)
{
    (void)what;
    misuses++;
}

TaskTest(serve, without_a_function_nothing_is_served, 1)
{
    weft_on_misuse(count_misuse);
    weft_server server;
    weft_server_init(&server, &(weft_server_opts){0});
    wt_eq(misuses, 1);
    wt_eq(weft_serve(&server, -1), -EINVAL);
    weft_server_fini(&server);
    return 0;
}

Test(serve, outside_a_task_it_refuses)
{
    weft_server server;
    weft_server_init(&server, &(weft_server_opts){.fn = serve_lines});
    wt_eq(weft_serve(&server, -1), -EPERM);
    weft_server_fini(&server);
    weft_server_fini(&(weft_server){{0}});
}
