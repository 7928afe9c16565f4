/* httpd.h: what the files of the example httpd share. main.c says what the program does.
 *
 *   main.c      command line, signals, the loop of a connection, which request gets which answer
 *   request.c   a request's head and body, out of bytes that a stranger sends
 *   answer.c    heads of answers, short answers, refusals
 *   files.c     files: finding them below the root, conditions, ranges
 *   log.c       the access log, a service
 *   metrics.c   counters, for Prometheus
 *   secure.c    https, if weft_tls is there
 *
 * An *exchange* is one connection with its present request and answer; it lies on the stack of the
 * connection's task. Functions that work on one return 0, or -errno (the connection is beyond use),
 * or a status of HTTP (400 to 599), with which the request is to be refused. */
#ifndef HTTPD_H
#define HTTPD_H

#include <http_parser.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <weft/net.h>
#include <weft/serve.h>
#include <weft/signal.h>
#include <weft/service.h>
#include <weft/weft.h>

/* Bounds of what a stranger may make us keep. */
#define HEAD_BYTES_MAX   8192  /* of a request line and its headers; beyond: 431, or 414 */
#define HEADERS_MAX      64    /* headers; beyond: 431 */
#define PATH_BYTES_MAX   1024  /* decoded; beyond: 414 */
#define BODY_BYTES       65536 /* of a body, unless -m says otherwise; beyond: 413 */
#define BUFFER_BYTES     16384 /* of the reader and of the writer; from the pool */
#define LINGER_BYTES_MAX 262144

/* How long things may take. */
#define HEAD_TIME   WEFT_SEC(10) /* of a head, from its first byte on; -t */
#define BODY_TIME   WEFT_SEC(30)
#define SEND_TIME   WEFT_SEC(30) /* for a peer to take the next BUFFER_BYTES */
#define IDLE_TIME   WEFT_SEC(60) /* between requests; -i */
#define LINGER_TIME WEFT_SEC(1)  /* for a refused peer to read why */

struct request {
    unsigned method; /* enum http_method */
    uint64_t length; /* of the body; UINT64_MAX: not said */
    bool chunked;    /* the body comes in chunks */
    bool continues;  /* it waits for "100 Continue" before the body */
    bool keep_alive;
    char path[PATH_BYTES_MAX]; /* decoded, without the query; begins with '/' */
    char line[128];            /* method and target as they came, cut, for the log */
    /* headers; "" if they are not there, or longer than this */
    char range[64];
    char if_range[64];
    char if_none_match[256];
    char if_modified_since[40];
};

struct exchange {
    struct httpd *server;
    weft_connection *c;
    weft_stream stream;   /* the connection's, or TLS over it */
    struct weft_tls *tls; /* NULL: none */
    weft_reader reader;
    weft_writer writer;
    http_parser parser;
    struct request request;
    int status;         /* of the answer; 0: none so far */
    uint64_t body_sent; /* bytes of its body */
    bool last;          /* the connection is closed after this answer */
    bool refused;       /* because the peer was not understood: it may still be sending */
};

struct log_line {
    uint16_t bytes;
    char text[510];
};
WEFT_CHAN(logbox, struct log_line);

struct httpd {
    /* immutable after start */
    weft_listener *listener;
    weft_signal signals;
    int root, log_fd;
    weft_server server;
    weft_time head_time;
    const char *cert, *key; /* of https; NULL: http */
    uint64_t body_max;
    logbox log;
    /* any task; relaxed, for reports */
    atomic_ullong answers[6]; /* by the status's first digit */
    atomic_ullong bytes_sent; /* of bodies */
    atomic_ullong lines_lost; /* of the log */
};

/* request.c */
int request_read_head(struct exchange *x);
/* Reads the body, up to `max` bytes, to `out`; out == NULL: and drops it. *bytes: how many. Of a
 * request without a body: 0 bytes. Has to be called once for each head that was read. 413: more
 * than `max`. */
int request_read_body(struct exchange *x, char *out, size_t max, size_t *bytes);
bool request_has_body(const struct request *request);

/* answer.c */
/* The status line and the headers that all answers have; more may follow by weft_writer_printf, and
 * then answer_end_head. `length`: of the body; `type` NULL: there is none to speak of. */
int answer_head(struct exchange *x, int status, const char *type, uint64_t length);
int answer_end_head(struct exchange *x);
/* A piece of the body, unless only the head was asked for. */
int answer_body(struct exchange *x, const void *bytes, size_t n);
int answer_text(struct exchange *x, int status, const char *type, const char *text, size_t n);
/* The answer to a request that cannot be: a line of text, and the connection's end if it was not
 * understood. `more`: headers with their ends, or "". */
int answer_refusal(struct exchange *x, int status, const char *more);
int answer_continue(struct exchange *x);
int answer_flush(struct exchange *x);
/* "Sun, 06 Nov 1994 08:49:37 GMT", for 30 bytes; and back: -1 if it is no such date. */
void format_date(int64_t seconds, char *out);
int64_t parse_date(const char *text);

/* files.c */
int files_answer(struct exchange *x);

/* log.c */
int log_start(struct httpd *server);
void log_exchange(struct exchange *x, weft_time took);

/* metrics.c */
int metrics_answer(struct exchange *x);

/* secure.c */
/* For all connections: https, with these files. 0; -ENOSYS: built without; -errno. */
int secure_start(const char *cert, const char *key);
void secure_stop(void);
/* The beginning of a connection: 0 or -errno. The goodbye: after the last answer. */
int secure_begin(struct exchange *x);
int secure_goodbye(struct exchange *x);
void secure_end(struct exchange *x);

#endif
