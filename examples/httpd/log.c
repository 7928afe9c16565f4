/* log.c: the access log. Tasks put lines into a channel, a service writes them out: many at once
 * while they come fast, and at once when they do not. A log that is slower than the server loses
 * lines, which are counted; it does not hold anybody up. */
#include "httpd.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

WEFT_TASK(write_log, struct httpd *)
{
    struct httpd *server = *arg;
    weft_writer writer;
    weft_writer_init(&writer, weft_stream_file(server->log_fd), NULL, WEFT_STREAM_POOLED_MAX);
    struct log_line line;
    int rc;
    while ((rc = logbox_recv(server->log, &line)) > 0) { /* 0: closed by the drain, and empty */
        do {
            rc = weft_writer_write(&writer, line.text, line.bytes);
        } while (rc == 0 && logbox_try_recv(server->log, &line) > 0);
        rc = rc == 0 ? weft_writer_flush(&writer) : rc;
        if (rc < 0) {
            break; /* the service's failure stops the server, and says why */
        }
    }
    weft_writer_fini(&writer);
    return rc;
}

int log_start(struct httpd *server)
{
    return weft_service("access log", write_log, &server, .mailbox = server->log.chan);
}

void log_exchange(struct exchange *x, weft_time took)
{
    struct httpd *server = x->server;
    if (server->log_fd < 0) {
        return;
    }
    struct log_line line;
    char peer[WEFT_ADDR_TEXT], date[30];
    weft_addr address = {.bytes = 0};
    (void)weft_addr_peer(x->c->fd, &address);
    weft_addr_format(&address, peer, sizeof peer);
    format_date((int64_t)time(NULL), date);
    int n = snprintf(line.text, sizeof line.text, "%s [%s] \"%s\" %d %llu %lld us\n", peer, date,
                     x->request.line, x->status, (unsigned long long)x->body_sent,
                     (long long)(took / 1000));
    line.bytes = (uint16_t)n; /* the parts are bounded, and their sum is below sizeof line.text */
    if (logbox_try_send(server->log, &line) != 0) {
        atomic_fetch_add_explicit(&server->lines_lost, 1, memory_order_relaxed);
    }
}
