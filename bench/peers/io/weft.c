/* weft.c: the servers of servers.h on weft, with its public calls alone, each connection a task with a stack: as
 * one would write them. WEFT_IO and WEFT_RESCUE choose the backend, and whether idle workers help busy ones. */
#define _GNU_SOURCE
#include "servers.h"
#include <weft/io.h>
#include <weft/net.h>
#include <weft/task.h>

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
           : strcmp(name, "http") == 0  ? serve_http
           : strcmp(name, "mixed") == 0 ? serve_mixed
                                        : NULL;
}

int main(int argc, char **argv)
{
    char address[32];
    struct server server = {.fn = argc == 4 ? find_kind(argv[1]) : NULL};
    if (!server.fn) {
        return 2;
    }
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[2]);
    many_replies(); /* made before there are several threads */
    int rc = weft_listen(&server.listener, address, .conn.nodelay = 1);
    if (rc == 0) {
        rc = weft_run(serve, &server, .workers = atoi(argv[3]));
    }
    fprintf(stderr, "weft: %s\n", strerror(-rc));
    return 1;
}
