/* weft.c: the servers of servers.h on weft, with its public calls alone, as one would write them:
 * each connection a task with a stack; of the kind `frames`, an echo, one without; of the kind
 * `loans`, an echo, with a buffer only while it has data. WEFT_IO and WEFT_RESCUE choose the
 * backend, and whether idle workers help busy ones. */
#define _GNU_SOURCE
#include "servers.h"
#include <weft/io.h>
#include <weft/loan.h>
#include <weft/net.h>
#include <weft/stackless.h>
#include <weft/task.h>

#define FRAME_BYTES 512 /* a frame's buffer: what a connection costs while it is idle */

typedef int connection_fn(int fd);

struct server {
    weft_listener *listener;
    connection_fn *fn;
};

static int send_all(int fd, const char *bytes, size_t n)
{
    ssize_t sent = weft_send_all(fd, bytes, n, 0);
    return sent == (ssize_t)n ? 0 : -EPIPE;
}

/* Each ends with its connection. */
static int serve_echo(int fd)
{
    char buffer[BUFFER_BYTES];
    ssize_t n;
    while ((n = weft_recv(fd, buffer, sizeof buffer, 0)) > 0 &&
           send_all(fd, buffer, (size_t)n) == 0) {
    }
    return 0;
}

static int serve_loans(int fd)
{
    int rc = 0;
    while (rc == 0) {
        WEFT_LOAN(request);
        rc = weft_recv_loan(fd, &request, 0) > 0 ? send_all(fd, (char *)request.data, request.bytes)
                                                 : -EPIPE;
    }
    return 0;
}

static int serve_http(int fd)
{
    char buffer[BUFFER_BYTES];
    ssize_t n;
    while ((n = weft_recv(fd, buffer, sizeof buffer, 0)) > 0 &&
           send_all(fd, many_replies(), count_requests(buffer, (size_t)n) * REPLY_BYTES) == 0) {
    }
    return 0;
}

static int serve_mixed(int fd)
{
    char buffer[BUFFER_BYTES];
    ssize_t n;
    while ((n = weft_recv(fd, buffer, sizeof buffer, 0)) > 0) {
        if (buffer[0] == LONG_MARK) {
            compute_long();
        }
        if (send_all(fd, buffer, (size_t)n) < 0) {
            break;
        }
    }
    return 0;
}

/* --- without a stack -------------------------------------------------------------------------- */

struct frame {
    weft_frame sm;
    int fd;
    ssize_t n, sent, part;
    char buffer[FRAME_BYTES];
};

WEFT_STEP(echo_step, struct frame)
{
    WEFT_BEGIN(&f->sm);
    for (;;) { /* ends with its connection */
        WEFT_AWAIT(&f->sm, f->n, weft_recv_v(f->fd, f->buffer, sizeof f->buffer, 0));
        for (f->sent = 0; f->sent < f->n; f->sent += f->part) {
            WEFT_AWAIT(&f->sm, f->part,
                       weft_send_v(f->fd, f->buffer + f->sent, (size_t)(f->n - f->sent), 0));
            if (f->part < 0) {
                f->n = f->part;
            }
        }
        if (f->n <= 0) {
            weft_close(f->fd);
            free(f);
            return 0;
        }
    }
}

static int serve_frames(void *arg)
{
    struct server *server = arg;
    int fd, rc = 0;
    WEFT_SCOPE(connections);
    while (rc == 0 && (fd = weft_listener_accept(server->listener, NULL)) >= 0) { /* until killed */
        struct frame *frame = malloc(sizeof *frame);
        if (frame) {
            frame->fd = fd;
        }
        rc = frame ? weft_go_frame(&connections, echo_step, frame) : -ENOMEM;
    }
    weft_scope_cancel(&connections, "cannot accept");
    return weft_scope_end(&connections);
}

/* --- with one --------------------------------------------------------------------------------- */

struct connection {
    connection_fn *fn;
    int fd;
};

WEFT_TASK(serve_connection, struct connection)
{
    arg->fn(arg->fd);
    weft_close(arg->fd);
    return 0;
}

static int serve(void *arg)
{
    struct server *server = arg;
    int fd, rc = 0;
    WEFT_SCOPE(connections);
    while (rc == 0 && (fd = weft_listener_accept(server->listener, NULL)) >= 0) { /* until killed */
        struct connection c = {server->fn, fd};
        rc = weft_go(&connections, serve_connection, &c);
    }
    weft_scope_cancel(&connections, "cannot accept");
    return weft_scope_end(&connections);
}

static connection_fn *find_kind(const char *name)
{
    return strcmp(name, "echo") == 0    ? serve_echo
           : strcmp(name, "loans") == 0 ? serve_loans
           : strcmp(name, "http") == 0  ? serve_http
           : strcmp(name, "mixed") == 0 ? serve_mixed
                                        : NULL;
}

int main(int argc, char **argv)
{
    char address[32];
    struct server server = {.fn = argc == 4 ? find_kind(argv[1]) : NULL};
    bool frames = argc == 4 && strcmp(argv[1], "frames") == 0;
    if (!server.fn && !frames) {
        return 2;
    }
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[2]);
    many_replies(); /* made before there are several threads */
    int rc = weft_listen(&server.listener, address, .conn.nodelay = 1);
    if (rc == 0) {
        rc = weft_run(frames ? serve_frames : serve, &server, .workers = atoi(argv[3]));
    }
    fprintf(stderr, "weft: %s\n", strerror(-rc));
    return 1;
}
