/* Operations of the kernel as values, and frames that live on them. */
#include "pattern.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/stackless.h>

TaskTest(val_io, a_read_that_has_to_wait_is_pending_until_something_is_written, 1)
{
    int fds[2];
    wt_eq(pipe(fds), 0);
    char buffer[8] = "";
    weft_val read = weft_read_v(fds[0], buffer, sizeof buffer);
    wt_eq(weft_val_ready(read), 0);
    wt_eq(weft_val_await_new(weft_write_v(fds[1], "abc", 3)), 3);
    wt_eq(weft_val_await(read), 3);
    wt_str_eq(buffer, "abc");
    close(fds[0]);
    close(fds[1]);
    return 0;
}

TaskTest(val_io, a_descriptor_with_o_nonblock_is_waited_for_all_the_same, 1)
{
    int fds[2];
    wt_eq(pipe2(fds, O_NONBLOCK), 0);
    char buffer[8] = "";
    weft_val read = weft_read_v(fds[0], buffer, sizeof buffer);
    wt_eq(weft_sleep(WEFT_MS(1)), 0); /* the first attempt has failed */
    wt_eq(weft_write(fds[1], "xyz", 3), 3);
    wt_eq(weft_val_await(read), 3);
    read = weft_read_v(fds[0], buffer, sizeof buffer);
    wt_eq(weft_within(WEFT_MS(5), weft_val_await(read)), -ETIME);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

TaskTest(val_io, a_file_is_opened_written_and_read, 1)
{
    char path[] = "/tmp/weft_val_XXXXXX";
    int made = mkstemp(path);
    wt_ge(made, 0);
    close(made);
    int fd = (int)weft_val_await_new(weft_open_v(path, O_RDWR, 0));
    wt_ge(fd, 0);
    wt_eq(weft_val_await_new(weft_pwrite_v(fd, "hello", 5, 3)), 5);
    wt_eq(weft_val_await_new(weft_fsync_v(fd)), 0);
    char buffer[16] = "";
    wt_eq(weft_val_await_new(weft_pread_v(fd, buffer, sizeof buffer, 3)), 5);
    wt_str_eq(buffer, "hello");
    wt_eq(weft_val_await_new(weft_pread_v(fd, buffer, 1, -1)), -EINVAL);
    weft_close(fd);
    unlink(path);
    return 0;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 200; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

TaskTest(val_io, a_descriptor_that_comes_with_a_dropped_value_is_closed, 1)
{
    int before = open_descriptors();
    for (int i = 0; i < 20; i++) {
        WEFT_SCOPE(s);
        weft_val val = weft_open_v("/", O_RDONLY, 0);
        for (int j = 0; j < i; j++) {
            weft_yield();
        }
        wt_eq(weft_val_drop(val), 0);
        wt_eq(weft_scope_end(&s), 0);
        wt_eq(open_descriptors(), before);
    }
    return 0;
}

TaskTest(val_io, the_end_of_the_scope_waits_for_a_dropped_read_to_let_go_of_its_buffer, 1)
{
    int fds[2];
    wt_eq(pipe(fds), 0);
    for (int i = 0; i < 100; i++) {
        char buffer[8] = "";
        WEFT_SCOPE(s);
        weft_val val = weft_read_v(fds[0], buffer, sizeof buffer);
        wt_eq(weft_val_drop(val), 0);
        wt_eq(weft_scope_end(&s), 0);
        wt_eq(write(fds[1], "a", 1), 1);
        char other;
        wt_eq(weft_read(fds[0], &other, 1), 1); /* the dropped one has not eaten it */
        wt_eq(buffer[0], 0);
    }
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.values_dropped, 100);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

/* --- an echo server of frames ----------------------------------------------------------------- */

struct echo {
    weft_frame sm;
    int fd;
    ssize_t n;
    char buffer[64];
};

WEFT_STEP(echo, struct echo)
{
    WEFT_BEGIN(&f->sm);
    for (;;) {
        WEFT_AWAIT(&f->sm, f->n, weft_recv_v(f->fd, f->buffer, sizeof f->buffer, 0));
        if (f->n > 0) {
            WEFT_AWAIT(&f->sm, f->n, weft_send_v(f->fd, f->buffer, (size_t)f->n, 0));
        }
        if (f->n <= 0) {
            int rc = (int)f->n;
            weft_close(f->fd);
            free(f);
            return rc;
        }
    }
}

struct server {
    weft_frame sm;
    weft_scope *scope;
    int listener, expected;
    int peer;
};

WEFT_STEP(serve, struct server)
{
    WEFT_BEGIN(&f->sm);
    while (f->expected-- > 0) {
        WEFT_AWAIT(&f->sm, f->peer, weft_accept_v(f->listener, NULL, NULL, 0));
        if (f->peer < 0) {
            return f->peer;
        }
        struct echo *echo_frame = malloc(sizeof *echo_frame);
        echo_frame->fd = f->peer;
        int rc = weft_go_frame(f->scope, echo, echo_frame);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

struct client {
    weft_frame sm;
    const struct sockaddr_in *to;
    atomic_int *echoed;
    int fd, rounds, rc;
    char out[16], in[16];
};

WEFT_STEP(talk, struct client)
{
    WEFT_BEGIN(&f->sm);
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (f->fd < 0) {
        return weft_fail(-errno, "socket");
    }
    WEFT_AWAIT(&f->sm, f->rc, weft_connect_v(f->fd, (const struct sockaddr *)f->to, sizeof *f->to));
    for (f->rounds = 0; f->rc >= 0 && f->rounds < 5; f->rounds++) {
        snprintf(f->out, sizeof f->out, "%015d", f->fd * 10 + f->rounds);
        WEFT_AWAIT(&f->sm, f->rc, weft_send_v(f->fd, f->out, 16, 0));
        WEFT_AWAIT(&f->sm, f->rc, weft_recv_v(f->fd, f->in, 16, MSG_WAITALL));
        if (f->rc == 16 && strcmp(f->in, f->out) == 0) {
            atomic_fetch_add(f->echoed, 1);
        }
    }
    weft_close(f->fd);
    return f->rc;
}

TaskTest(frame_io, an_echo_server_of_frames_serves_1000_connections, 2, .timeout = 120)
{
    enum { CONNECTIONS = 1000 };
    struct rlimit limit = {4096, 4096};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &limit);
    int connections = limit.rlim_cur >= 2 * CONNECTIONS + 100 ? CONNECTIONS : 200;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    wt_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    wt_eq(listen(listener, 4096), 0);
    wt_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    atomic_int echoed = 0;
    struct client *clients = calloc((size_t)connections, sizeof *clients);
    WEFT_SCOPE(s);
    struct server server = {.scope = &s, .listener = listener, .expected = connections};
    wt_eq(weft_go_frame(&s, serve, &server), 0);
    for (int i = 0; i < connections; i++) {
        clients[i] = (struct client){.to = &address, .echoed = &echoed};
        wt_eq(weft_go_frame(&s, talk, &clients[i]), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&echoed), 5 * connections);
    free(clients);
    close(listener);
    return 0;
}
