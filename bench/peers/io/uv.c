/* uv.c: the echo of servers.h on libuv, one loop, as one would write it: a
 * write is tried at once, and queued only if the socket is full. */
#define _GNU_SOURCE
#include "servers.h"
#include <uv.h>

#define LARGE_BYTES \
    65536 /* one buffer for all: what was read is written, or copied, before the next read */

static char buffer[LARGE_BYTES];

struct rest { /* of a write that the socket did not take */
    uv_write_t write;
    char bytes[];
};

static void check(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "uv: %s: %s\n", what, uv_strerror(rc));
        exit(1);
    }
}

static void give_buffer(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    (void)handle, (void)hint;
    *out = uv_buf_init(buffer, sizeof buffer);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_written(uv_write_t *write, int status)
{
    (void)status; /* the next read says so too */
    free(write);
}

static void write_rest(uv_stream_t *stream, const char *bytes, size_t n)
{
    struct rest *rest = malloc(sizeof *rest + n);
    check(rest ? 0 : UV_ENOMEM, "write");
    memcpy(rest->bytes, bytes, n);
    uv_buf_t part = uv_buf_init(rest->bytes, (unsigned)n);
    uv_write(&rest->write, stream, &part, 1, on_written);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *read)
{
    if (n < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
    } else if (n > 0) {
        uv_buf_t part = uv_buf_init(read->base, (unsigned)n);
        int written = uv_try_write(stream, &part, 1);
        written = written > 0 ? written : 0;
        if (written < n) {
            write_rest(stream, read->base + written, (size_t)(n - written));
        }
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status < 0) {
        return;
    }
    uv_tcp_t *connection = malloc(sizeof *connection);
    check(connection ? 0 : UV_ENOMEM, "accept");
    uv_tcp_init(listener->loop, connection);
    if (uv_accept(listener, (uv_stream_t *)connection) < 0) {
        uv_close((uv_handle_t *)connection, on_closed);
        return;
    }
    uv_tcp_nodelay(connection, 1);
    uv_read_start((uv_stream_t *)connection, give_buffer, on_read);
}

int main(int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[1], "echo") != 0) {
        return 2;
    }
    struct sockaddr_in address;
    uv_tcp_t listener;
    uv_loop_t *loop = uv_default_loop();
    signal(SIGPIPE, SIG_IGN);
    uv_tcp_init(loop, &listener);
    uv_ip4_addr("127.0.0.1", atoi(argv[2]), &address);
    check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), "bind");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection), "listen");
    return uv_run(loop, UV_RUN_DEFAULT);
}
