/* metrics.c: /metrics, in Prometheus's text format. */
#include "httpd.h"
#include <stdio.h>
#include <weft/debug.h>

struct metric {
    const char *name, *type, *help;
    unsigned long long value;
};

int metrics_answer(struct exchange *x)
{
    struct httpd *server = x->server;
    weft_server_stats s;
    weft_stats r;
    weft_server_stats_get(&server->server, &s);
    weft_stats_get(weft_rt_current(), &r);
    const struct metric metrics[] = {
        {"httpd_connections_active", "gauge", "connections that are served now", s.active},
        {"httpd_connections_total", "counter", "connections that were accepted", s.accepted},
        {"httpd_connections_refused_total", "counter", "closed at once", s.refused},
        {"httpd_connections_timed_out_total", "counter", "too slow or idle", s.timed_out},
        {"httpd_connections_lost_total", "counter", "reset or cut off by the peer", s.lost},
        {"httpd_connections_failed_total", "counter", "ended by another error", s.failed},
        {"httpd_accept_pauses_total", "counter", "descriptors were short", s.shortages},
        {"httpd_requests_total", "counter", "requests that have begun", s.requests},
        {"httpd_body_bytes_total", "counter", "bytes of bodies sent",
         atomic_load_explicit(&server->bytes_sent, memory_order_relaxed)},
        {"httpd_log_lines_lost_total", "counter", "the log was too slow",
         atomic_load_explicit(&server->lines_lost, memory_order_relaxed)},
        {"weft_ops_total", "counter", "operations given to the kernel", r.ops_submitted},
        {"weft_steals_total", "counter", "works taken from another worker", r.steals},
        {"weft_stacks", "gauge", "stacks in use or cached", r.stacks},
    };
    char text[4096];
    size_t used = 0;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics && used < sizeof text; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", metrics[i].name,
                                 metrics[i].help, metrics[i].name, metrics[i].type, metrics[i].name,
                                 metrics[i].value);
    }
    for (int i = 1; i < 6 && used < sizeof text; i++) {
        used += (size_t)snprintf(
            text + used, sizeof text - used, "%shttpd_answers_total{class=\"%dxx\"} %llu\n",
            i == 1 ? "# HELP httpd_answers_total answers by status\n"
                     "# TYPE httpd_answers_total counter\n"
                   : "",
            i, atomic_load_explicit(&server->answers[i], memory_order_relaxed));
    }
    used = used < sizeof text ? used : sizeof text - 1; /* cut, if somebody adds too many */
    return answer_text(x, 200, "text/plain; version=0.0.4", text, used);
}
