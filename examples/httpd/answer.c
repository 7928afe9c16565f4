/* answer.c: heads of answers, short answers, refusals. */
#define _GNU_SOURCE
#include "httpd.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Not strftime: names must not depend on the locale, and this takes a third of its time. */
void format_date(int64_t seconds, char *out)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm t;
    time_t at = (time_t)seconds;
    if (gmtime_r(&at, &t) == NULL) { /* a file from beyond the year 2^31 */
        at = 0;
        (void)gmtime_r(&at, &t);
    }
    (void)snprintf(out, 30, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * t.tm_wday,
                   (unsigned)t.tm_mday % 100, months + 3 * t.tm_mon,
                   (unsigned)(t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100,
                   (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
}

int64_t parse_date(const char *text)
{
    struct tm t = {0};
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &t);
    return end != NULL && *end == '\0' ? (int64_t)timegm(&t) : -1;
}

int answer_head(struct exchange *x, int status, const char *type, uint64_t length)
{
    char date[30];
    format_date((int64_t)time(NULL), date);
    x->status = status;
    x->last = x->last || !x->request.keep_alive || weft_server_stopping(&x->server->server);
    int rc = weft_writer_printf(&x->writer, "HTTP/1.1 %d %s\r\nServer: weft-httpd\r\nDate: %s\r\n",
                                status, http_status_str((enum http_status)status), date);
    if (rc == 0 && type != NULL) {
        rc = weft_writer_printf(&x->writer, "Content-Type: %s\r\nContent-Length: %llu\r\n", type,
                                (unsigned long long)length);
    }
    return rc;
}

int answer_end_head(struct exchange *x)
{
    return weft_writer_printf(&x->writer, "Connection: %s\r\n\r\n",
                              x->last ? "close" : "keep-alive");
}

int answer_body(struct exchange *x, const void *bytes, size_t n)
{
    if (x->request.method == HTTP_HEAD) {
        return 0;
    }
    int rc = weft_within(SEND_TIME, weft_writer_write(&x->writer, bytes, n));
    x->body_sent += rc == 0 ? n : 0;
    return rc;
}

int answer_text(struct exchange *x, int status, const char *type, const char *text, size_t n)
{
    int rc = answer_head(x, status, type, n);
    rc = rc == 0 ? answer_end_head(x) : rc;
    return rc == 0 ? answer_body(x, text, n) : rc;
}

int answer_refusal(struct exchange *x, int status, const char *more)
{
    char text[64];
    int n =
        snprintf(text, sizeof text, "%d %s\n", status, http_status_str((enum http_status)status));
    int rc = answer_head(x, status, "text/plain", (size_t)n);
    rc = rc == 0 ? weft_writer_printf(&x->writer, "%s", more) : rc;
    rc = rc == 0 ? answer_end_head(x) : rc;
    return rc == 0 ? answer_body(x, text, (size_t)n) : rc;
}

int answer_continue(struct exchange *x)
{
    int rc = weft_writer_printf(&x->writer, "HTTP/1.1 100 Continue\r\n\r\n");
    return rc == 0 ? answer_flush(x) : rc;
}

int answer_flush(struct exchange *x)
{
    return weft_within(SEND_TIME, weft_writer_flush(&x->writer));
}
