/* test_net_listen.c: listeners: who gets which connection, what is told when there is none to be
 * had, and that nothing is left behind. */
#include "net_pattern.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* --- serving ---------------------------------------------------------------------------------- */

#define CLIENTS   200
#define ACCEPTORS 4

struct server {
    weft_listener *listener;
    weft_scope *connections;
    atomic_int served;
};

WEFT_TASK(serve_one, int)
{
    int number = 0;
    ssize_t n = weft_recv(*arg, &number, sizeof number, MSG_WAITALL);
    if (n == sizeof number) {
        n = weft_send_all(*arg, &number, sizeof number, 0);
    }
    weft_close(*arg);
    return n == sizeof number ? 0 : -EPROTO;
}

WEFT_TASK(acceptor, struct server *)
{
    struct server *server = *arg;
    for (;;) { /* ends: closed, or cancelled */
        weft_addr peer;
        int fd = weft_listener_accept(server->listener, &peer);
        if (fd < 0) {
            return fd == -ESHUTDOWN ? 0 : fd;
        }
        wt_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        wt_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        wt_ge(peer.bytes, sizeof(sa_family_t));
        atomic_fetch_add(&server->served, 1);
        int rc = weft_go(server->connections, serve_one, &fd);
        if (rc < 0) {
            return rc;
        }
    }
}

struct client {
    weft_addr address;
    int number;
};

WEFT_TASK(client, struct client)
{
    int fd = socket(arg->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = weft_connect(fd, (struct sockaddr *)&arg->address.storage, arg->address.bytes);
    int answer = -1;
    if (rc == 0 && (weft_send_all(fd, &arg->number, sizeof arg->number, 0) != sizeof arg->number ||
                    weft_recv(fd, &answer, sizeof answer, MSG_WAITALL) != sizeof answer ||
                    answer != arg->number)) {
        rc = -EPROTO;
    }
    weft_close(fd);
    return rc;
}

static void serve_all(const char *address, int lanes)
{
    int before = open_descriptors();
    struct server server = {0};
    wt_eq(weft_listen(&server.listener, address, .lanes = lanes), 0);
    WEFT_SCOPE(connections);
    WEFT_SCOPE(acceptors);
    server.connections = &connections;
    struct server *pointer = &server;
    for (int i = 0; i < ACCEPTORS; i++) {
        wt_eq(weft_go(&acceptors, acceptor, &pointer), 0);
    }
    WEFT_SCOPE(clients);
    struct client one = {0};
    weft_listener_addr(server.listener, &one.address);
    for (one.number = 0; one.number < CLIENTS; one.number++) {
        wt_eq(weft_go(&clients, client, &one), 0);
    }
    wt_eq(weft_scope_end(&clients), 0);
    wt_eq(atomic_load(&server.served), CLIENTS);
    wt_eq(weft_listener_close(server.listener), 0);
    wt_eq(weft_scope_end(&acceptors), 0);
    wt_eq(weft_scope_end(&connections), 0);
    weft_listener_free(server.listener);
    wt_eq(open_descriptors(), before);
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
}

TaskTest(net_listen, each_connection_is_given_to_one_acceptor, 2)
{
    serve_all("127.0.0.1:0", 0);
    return 0;
}

TaskTest(net_listen, a_listener_has_a_socket_for_each_lane, 2)
{
    serve_all("127.0.0.1:0", 3);
    return 0;
}

TaskTest(net_listen, unix_sockets_are_served_too, 2)
{
    char address[64]; /* this process's own: the same test may run with the other backend */
    (void)snprintf(address, sizeof address, "unix:@weft-test-net-listen-%d", (int)getpid());
    serve_all(address, 0);
    char text[WEFT_ADDR_TEXT];
    unix_text(text, "s");
    serve_all(text, 4);
    remove_unix_text(text);
    return 0;
}

TaskTest(net_listen, an_address_of_ipv6_takes_ipv4_too_unless_told_otherwise, 1)
{
    weft_listener *listener;
    int rc = weft_listen(&listener, ":0");
    wt_eq(rc, 0);
    weft_addr address;
    weft_listener_addr(listener, &address);
    char text[WEFT_ADDR_TEXT];
    snprintf(text, sizeof text, "127.0.0.1:%d", weft_addr_port(&address));
    weft_addr v4;
    wt_eq(weft_addr_parse(&v4, text), 0);
    int fd = plain_connect(&v4);
    weft_addr peer;
    int accepted = weft_listener_accept(listener, &peer);
    wt_ge(accepted, 0);
    weft_close(accepted);
    close(fd);
    weft_listener_free(listener);
    rc = weft_listen(&listener, "[::1]:0", .v6only = 1);
    if (rc == 0) { /* there is IPv6 here */
        fd = plain_connect_listener(listener);
        accepted = weft_listener_accept(listener, NULL);
        wt_ge(accepted, 0);
        weft_close(accepted);
        close(fd);
        weft_listener_free(listener);
    }
    return 0;
}

/* --- who gets what ---------------------------------------------------------------------------- */

TaskTest(net_listen, whoever_comes_before_anybody_accepts_is_not_lost, 1)
{
    int before = open_descriptors();
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    int fds[10];
    for (int i = 0; i < 10; i++) {
        fds[i] = plain_connect_listener(listener);
    }
    for (int i = 0; i < 10; i++) {
        weft_addr peer, local;
        int fd = weft_listener_accept(listener, &peer);
        wt_ge(fd, 0);
        wt_eq(weft_addr_local(fds[i], &local), 0);
        wt_eq(weft_addr_port(&peer), weft_addr_port(&local), "in the order in which they came");
        weft_close(fd);
        close(fds[i]);
    }
    weft_listener_free(listener);
    wt_eq(open_descriptors(), before);
    return 0;
}

TaskTest(net_listen, a_deadline_that_has_passed_takes_what_is_there, 1)
{
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    wt_eq(weft_within(0, weft_listener_accept(listener, NULL)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_listener_accept(listener, NULL)), -ETIME);
    wt_eq(weft_within(0, weft_listener_accept(listener, NULL)), -ETIME);
    int client = plain_connect_listener(listener);
    int fd;
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    /* the lane that the second call has armed may be about to take it, and then it is there soon */
    while ((fd = weft_within(0, weft_listener_accept(listener, NULL))) == -ETIME) {
        wt_lt(now_ns(), give_up_ns);
        weft_yield();
    }
    wt_ge(fd, 0);
    weft_close(fd);
    close(client);
    weft_listener_free(listener);
    return 0;
}

TaskTest(net_listen, a_deadline_of_zero_takes_the_first_connection_at_once, 1)
{
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0", .lanes = 2), 0);
    int client = plain_connect_listener(listener);
    int fd = weft_within(0, weft_listener_accept(listener, NULL));
    wt_ge(fd, 0);
    weft_close(fd);
    close(client);
    weft_listener_free(listener);
    return 0;
}

struct waiting {
    weft_listener *listener;
    atomic_int begun;
    int got;
};

static int accept_one(void *arg)
{
    struct waiting *waiting = arg;
    atomic_fetch_add(&waiting->begun, 1);
    waiting->got = weft_listener_accept(waiting->listener, NULL);
    return 0;
}

TaskTest(net_listen, a_cancelled_acceptor_leaves_the_connection_to_the_next, 1)
{
    int before = open_descriptors();
    struct waiting waiting = {0};
    wt_eq(weft_listen(&waiting.listener, "127.0.0.1:0"), 0);
    for (int i = 0; i < 20; i++) {
        weft_task task;
        WEFT_SCOPE(scope);
        atomic_store(&waiting.begun, 0);
        wt_eq(weft_spawn(&task, accept_one, &waiting), 0);
        yield_until(&waiting.begun, 1);
        weft_scope_cancel(&scope, "nobody wants it");
        int client = plain_connect_listener(waiting.listener);
        wt_eq(weft_await(&task), 0);
        weft_scope_end(&scope);
        wt_true(waiting.got == -ECANCELED || waiting.got >= 0, "%d", waiting.got);
        if (waiting.got == -ECANCELED) {
            waiting.got = weft_listener_accept(waiting.listener, NULL);
        }
        wt_ge(waiting.got, 0);
        weft_close(waiting.got);
        close(client);
    }
    weft_listener_free(waiting.listener);
    wt_eq(open_descriptors(), before);
    return 0;
}

TaskTest(net_listen, a_value_that_is_dropped_takes_no_connection_with_it, 1)
{
    int before = open_descriptors();
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    {
        WEFT_SCOPE(scope);
        weft_val val = weft_listener_accept_v(listener, NULL);
        int client = plain_connect_listener(listener);
        int fd = (int)weft_val_await(val);
        wt_ge(fd, 0);
        weft_close(fd);
        weft_val dropped = weft_listener_accept_v(listener, NULL);
        int second = plain_connect_listener(listener);
        weft_yield();
        wt_eq(weft_val_drop(dropped), 0);
        wt_eq(weft_scope_end(&scope), 0);
        close(client);
        close(second);
    }
    weft_listener_free(listener);
    wt_eq(open_descriptors(), before);
    return 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

TaskTest(net_listen, close_ends_those_who_wait_and_frees_the_address, 1)
{
    int before = open_descriptors();
    struct waiting waiting = {0};
    wt_eq(weft_listen(&waiting.listener, "127.0.0.1:0"), 0);
    weft_task task;
    wt_eq(weft_spawn(&task, accept_one, &waiting), 0);
    yield_until(&waiting.begun, 1);
    weft_addr address;
    char text[WEFT_ADDR_TEXT];
    weft_listener_addr(waiting.listener, &address);
    weft_addr_format(&address, text, sizeof text);
    weft_listener *second;
    wt_eq(weft_listen(&second, text), -EADDRINUSE);
    wt_true(second == NULL);
    wt_ge(weft_listener_fd(waiting.listener), 0);
    wt_eq(weft_listener_close(waiting.listener), 0);
    wt_eq(weft_listener_close(waiting.listener), -EALREADY);
    wt_eq(weft_listener_fd(waiting.listener), -1);
    wt_eq(weft_await(&task), 0);
    wt_eq(waiting.got, -ESHUTDOWN);
    wt_eq(weft_listener_accept(waiting.listener, NULL), -ESHUTDOWN);
    wt_eq(weft_listen(&second, text), 0, "the address is free");
    weft_listener_free(second);
    weft_listener_free(waiting.listener);
    weft_listener_free(NULL);
    wt_eq(open_descriptors(), before);
    return 0;
}

TaskTest(net_listen, connections_that_nobody_took_are_closed, 1)
{
    int before = open_descriptors();
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    int clients[100]; /* more than are accepted ahead */
    for (int i = 0; i < 100; i++) {
        clients[i] = plain_connect_listener(listener);
    }
    int fd = weft_listener_accept(listener, NULL);
    wt_ge(fd, 0);
    weft_close(fd);
    weft_listener_free(listener);
    for (int i = 0; i < 100; i++) {
        char byte;
        wt_le(read(clients[i], &byte, 1), 0, "its other end is closed");
        close(clients[i]);
    }
    wt_eq(open_descriptors(), before);
    return 0;
}

TaskTest(net_listen, more_than_is_accepted_ahead_is_served_when_it_is_asked_for, 1)
{
    int before = open_descriptors();
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    int clients[300];
    for (int i = 0; i < 300; i++) {
        clients[i] = plain_connect_listener(listener);
    }
    for (int i = 0; i < 300; i++) {
        int fd = weft_listener_accept(listener, NULL);
        wt_ge(fd, 0);
        weft_close(fd);
        if (i % 10 == 0) {
            weft_yield();
        }
    }
    for (int i = 0; i < 300; i++) {
        close(clients[i]);
    }
    weft_listener_free(listener);
    wt_eq(open_descriptors(), before);
    return 0;
}

static weft_listener *kept;

static int accept_and_forget(void *arg)
{
    (void)arg;
    int client = plain_connect_listener(kept);
    int fd = weft_listener_accept(kept, NULL);
    wt_ge(fd, 0);
    weft_close(fd);
    close(client);
    return 0;
}

Test(net_listen, one_that_was_not_freed_does_not_keep_its_runtime_from_stopping)
{
    int before = open_descriptors();
    wt_eq(weft_listen(&kept, "127.0.0.1:0", .lanes = 2), 0);
    for (int i = 0; i < 3; i++) { /* and serves the next one */
        wt_eq(weft_run(accept_and_forget, NULL, .workers = 2), 0);
    }
    weft_listener_free(kept);
    wt_eq(open_descriptors(), before);
}

Test(net_listen, it_may_be_freed_by_a_foreign_thread_while_it_is_armed)
{
    int before = open_descriptors();
    for (int i = 0; i < 20; i++) {
        weft_rt *rt;
        wt_eq(weft_listen(&kept, "127.0.0.1:0"), 0);
        wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
        wt_eq(weft_call(rt, accept_and_forget, NULL), 0);
        weft_listener_free(kept);
        wt_eq(weft_rt_stop(rt, WEFT_SEC(30), WEFT_SEC(30)), 0);
        weft_rt_free(rt);
    }
    wt_eq(open_descriptors(), before);
}

/* --- from a loop ------------------------------------------------------------------------------ */

struct looping {
    weft_exec *loop;
    weft_listener *listener;
    atomic_int done;
};

static struct looping looping;

static int accept_in_a_loop(void *arg)
{
    (void)arg;
    wt_eq(weft_move_to(looping.loop, NULL), 0);
    for (int i = 0; i < 3; i++) {
        int client = plain_connect_listener(looping.listener);
        int fd = weft_listener_accept(looping.listener, NULL);
        wt_ge(fd, 0);
        weft_close(fd);
        close(client);
    }
    wt_eq(weft_within(WEFT_MS(1), weft_listener_accept(looping.listener, NULL)), -ETIME);
    wt_eq(weft_move_to(WEFT_POOL, NULL), 0);
    weft_listener_free(looping.listener);
    atomic_store(&looping.done, 1);
    return 0;
}

Test(net_listen, a_loop_which_has_no_driver_accepts_too)
{
    weft_rt *rt;
    wt_eq(weft_listen(&looping.listener, "127.0.0.1:0"), 0);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    wt_eq(weft_exec_loop_new(&looping.loop, rt), 0);
    wt_eq(weft_post(rt, accept_in_a_loop, NULL), 0);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&looping.done) == 0) {
        wt_lt(now_ns(), give_up_ns);
        wt_ge(weft_exec_run(looping.loop), 0);
        usleep(100);
    }
    wt_eq(weft_exec_free(looping.loop), 0);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(30), WEFT_SEC(30)), 0);
    weft_rt_free(rt);
}

/* --- what is refused -------------------------------------------------------------------------- */

Test(net_listen, what_is_no_address_or_option_is_refused)
{
    int before = open_descriptors();
    weft_listener *listener = (weft_listener *)&before;
    wt_eq(weft_listen(&listener, "127.0.0.1"), -EINVAL);
    wt_true(listener == NULL);
    wt_eq(weft_listen(&listener, "127.0.0.1:70000"), -ERANGE);
    wt_eq(weft_listen(&listener, "192.0.2.1:0"), -EADDRNOTAVAIL);
    wt_eq(weft_listen(&listener, "unix:/no/such/folder/s"), -ENOENT);
    wt_eq(weft_listen(&listener, "127.0.0.1:0", .backlog = -1), -EINVAL);
    wt_eq(weft_listen(&listener, "127.0.0.1:0", .lanes = -1), -EINVAL);
    wt_eq(weft_listen(&listener, "127.0.0.1:0", .lanes = WEFT_LANES_MAX + 1), -EINVAL);
    wt_eq(weft_listen(&listener, "127.0.0.1:0", .defer = -1), -EINVAL);
    wt_eq(weft_listen(&listener, "127.0.0.1:0", .conn.keepalive_idle = WEFT_SEC(32768)), -EINVAL);
    wt_eq(weft_listen(&listener, "127.0.0.1:0", .conn.keepalive_count = 128), -EINVAL);
    wt_eq(weft_listen(&listener, "127.0.0.1:0", .conn.recv_bytes = -1), -EINVAL);
    wt_eq(open_descriptors(), before);
}

Test(net_listen, accept_outside_of_a_task_is_refused)
{
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    wt_eq(weft_listener_accept(listener, NULL), -EPERM);
    weft_listener_free(listener);
}

static long option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t bytes = sizeof value;
    wt_eq(getsockopt(fd, level, name, &value, &bytes), 0);
    return value;
}

TaskTest(net_listen, connections_have_the_options_that_were_asked_for, 1)
{
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0", .backlog = 5, .reuse_port = 1, .defer = WEFT_MS(1),
                      .conn = {.nodelay = 1,
                               .keepalive_idle = WEFT_MS(7500),
                               .keepalive_interval = WEFT_SEC(3),
                               .keepalive_count = 4,
                               .recv_bytes = 20000,
                               .send_bytes = 30000}),
          0);
    weft_addr address;
    char text[WEFT_ADDR_TEXT];
    weft_listener_addr(listener, &address);
    weft_addr_format(&address, text, sizeof text);
    weft_listener *second;
    wt_eq(weft_listen(&second, text, .reuse_port = 1), 0, "they share the port");
    weft_listener_free(second);
    int client = plain_connect_listener(listener);
    wt_eq(send(client, "x", 1, 0), 1);
    int fd = weft_listener_accept(listener, NULL);
    wt_ge(fd, 0);
    wt_eq(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    wt_eq(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    wt_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 8);
    wt_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 3);
    wt_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 4);
    wt_eq(option_of(fd, SOL_SOCKET, SO_RCVBUF), 40000);
    wt_eq(option_of(fd, SOL_SOCKET, SO_SNDBUF), 60000);
    weft_close(fd);
    wt_eq(option_of(client, IPPROTO_TCP, TCP_NODELAY), 0);
    wt_eq(weft_conn_set(client, &(weft_conn_opts){.nodelay = 1}), 0);
    wt_eq(option_of(client, IPPROTO_TCP, TCP_NODELAY), 1);
    wt_eq(weft_conn_set(client, &(weft_conn_opts){.send_bytes = -1}), -EINVAL);
    wt_eq(weft_conn_set(-1, &(weft_conn_opts){0}), -EBADF);
    close(client);
    weft_listener_free(listener);
    return 0;
}

TaskTest(net_listen, a_unix_sockets_file_is_removed_and_a_stale_one_replaced_on_demand, 1)
{
    char text[WEFT_ADDR_TEXT];
    unix_text(text, "s");
    const char *path = text + strlen("unix:");
    weft_listener *listener, *second;
    wt_eq(weft_listen(&listener, text), 0);
    wt_eq(access(path, F_OK), 0);
    wt_eq(weft_listen(&second, text), -EADDRINUSE);
    wt_eq(weft_listen(&second, text, .replace = 1), -EADDRINUSE, "somebody listens");
    weft_listener_free(listener);
    wt_eq(access(path, F_OK), -1);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    weft_addr address;
    wt_eq(weft_addr_parse(&address, text), 0);
    wt_eq(bind(fd, (struct sockaddr *)&address.storage, address.bytes), 0);
    close(fd); /* the file stays */
    wt_eq(weft_listen(&listener, text), -EADDRINUSE);
    wt_eq(weft_listen(&listener, text, .replace = 1), 0);
    unlink(path);
    FILE *other = fopen(path, "w");
    wt_true(other != NULL);
    fclose(other);
    weft_listener_free(listener);
    wt_eq(access(path, F_OK), 0, "it is not the listener's");
    wt_eq(weft_listen(&listener, text, .replace = 1), -EADDRINUSE);
    remove_unix_text(text);
    return 0;
}

/* --- no descriptors --------------------------------------------------------------------------- */

static void limit_descriptors(int most)
{
    struct rlimit limit;
    wt_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = most < 0 ? limit.rlim_max : (rlim_t)most;
    wt_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TaskTest(net_listen, without_descriptors_it_says_so_once_and_does_not_spin, 1)
{
    struct waiting waiting[2] = {{0}};
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    int client = plain_connect_listener(listener);
    int next = dup(client);
    wt_ge(next, 0);
    close(next);
    limit_descriptors(next);
    wt_eq(weft_listener_accept(listener, NULL), -EMFILE);
    wt_eq(weft_listener_accept(listener, NULL), -EMFILE, "each time that it is asked");
    weft_task tasks[2];
    for (int i = 0; i < 2; i++) {
        waiting[i].listener = listener;
        wt_eq(weft_spawn(&tasks[i], accept_one, &waiting[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        wt_eq(weft_await(&tasks[i]), 0);
        wt_eq(waiting[i].got, -EMFILE, "each who waits");
    }
    weft_stats before, after;
    weft_stats_get(weft_rt_current(), &before);
    weft_sleep(WEFT_MS(20));
    weft_stats_get(weft_rt_current(), &after);
    wt_le(after.ops_submitted - before.ops_submitted, 1);
    limit_descriptors(-1);
    int fd = weft_listener_accept(listener, NULL);
    wt_ge(fd, 0, "the connection has stayed");
    weft_close(fd);
    close(client);
    weft_listener_free(listener);
    return 0;
}

/* --- all at once ------------------------------------------------------------------------------ */

#define STORM_CLIENTS 400

struct storm {
    weft_listener *listener;
    atomic_int served;
    atomic_int timeouts;
};

/* Mostly given up before anybody comes. */
WEFT_TASK(impatient, struct storm *)
{
    struct storm *storm = *arg;
    unsigned random = (unsigned)(uintptr_t)arg;
    while (atomic_load(&storm->served) < STORM_CLIENTS) { /* ends: each client comes */
        random = random * 1664525u + 1013904223u;
        int fd = weft_within(WEFT_US(random >> 25), weft_listener_accept(storm->listener, NULL));
        if (fd >= 0) {
            atomic_fetch_add(&storm->served, 1);
            weft_close(fd);
        } else {
            wt_eq(fd, -ETIME);
            atomic_fetch_add(&storm->timeouts, 1);
        }
        weft_yield();
    }
    return 0;
}

WEFT_TASK(visit, struct client)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = weft_connect(fd, (struct sockaddr *)&arg->address.storage, arg->address.bytes);
    char byte;
    if (rc == 0) {
        rc = weft_recv(fd, &byte, 1, 0) == 0 ? 0 : -EPROTO; /* until it has been served */
    }
    weft_close(fd);
    return rc;
}

TaskTest(net_listen, acceptors_that_give_up_at_any_time_lose_nobody, 2)
{
    int before = open_descriptors();
    struct storm storm = {0};
    struct storm *pointer = &storm;
    wt_eq(weft_listen(&storm.listener, "127.0.0.1:0", .lanes = 2), 0);
    WEFT_SCOPE(acceptors);
    for (int i = 0; i < 8; i++) {
        wt_eq(weft_go(&acceptors, impatient, &pointer), 0);
    }
    WEFT_SCOPE(clients);
    struct client one = {0};
    weft_listener_addr(storm.listener, &one.address);
    for (int i = 0; i < STORM_CLIENTS; i++) {
        wt_eq(weft_go(&clients, visit, &one), 0);
    }
    wt_eq(weft_scope_end(&clients), 0);
    wt_eq(weft_scope_end(&acceptors), 0);
    wt_eq(atomic_load(&storm.served), STORM_CLIENTS);
    weft_listener_free(storm.listener);
    wt_eq(open_descriptors(), before);
    return 0;
}
