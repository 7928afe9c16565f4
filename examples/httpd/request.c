/* request.c: a request's head and body.
 *
 * http-parser does the parsing: it has been every Node's for ten years, and is fuzzed. It was made
 * lenient where old clients were sloppy; a server that stands behind or before another one cannot
 * afford that, for what one of them takes for a body the other takes for the next request. So this
 * file adds, and nothing else in the program needs to know:
 *   - names of headers are tokens (Debian's build would let spaces in), values have no controls;
 *   - a header is one line: folded ones are refused;
 *   - HTTP/1.0 and 1.1 only; 1.1 with exactly one Host;
 *   - a Transfer-Encoding that does not end in chunked, or in HTTP/1.0, is refused. (With a
 *     Content-Length, or two of those, http-parser refuses itself.)
 *
 * The head is collected in the reader's buffer, where its parts are spans of offsets; what is
 * wanted later is copied out, because the body's bytes take that place. */
#include "httpd.h"
#include <string.h>
#include <strings.h>

struct span {
    size_t at, bytes; /* from the beginning of the head */
};

/* A head that is being parsed. */
struct head {
    const char *bytes; /* where it is now: it moves with the reader's buffer */
    struct span target;
    struct span names[HEADERS_MAX], values[HEADERS_MAX];
    int count;
    bool in_value; /* of the last one */
    int refusal;   /* of ours; 0: none */
};

/* --- collecting ------------------------------------------------------------------------------- */

/* A part may come in several pieces, which touch. */
static int extend(struct head *head, struct span *span, const char *at, size_t n)
{
    size_t offset = (size_t)(at - head->bytes);
    if (span->bytes == 0) {
        span->at = offset;
    } else if (span->at + span->bytes != offset) {
        head->refusal = 400; /* a folded line */
        return -1;
    }
    span->bytes += n;
    return 0;
}

static struct head *head_of(http_parser *parser)
{
    return parser->data;
}

static int on_url(http_parser *parser, const char *at, size_t n)
{
    return extend(head_of(parser), &head_of(parser)->target, at, n);
}

static int on_header_field(http_parser *parser, const char *at, size_t n)
{
    struct head *head = head_of(parser);
    if (head->count == 0 || head->in_value) {
        if (head->count == HEADERS_MAX) {
            head->refusal = 431;
            return -1;
        }
        head->names[head->count] = head->values[head->count] = (struct span){0, 0};
        head->count++;
        head->in_value = false;
    }
    return extend(head, &head->names[head->count - 1], at, n);
}

static int on_header_value(http_parser *parser, const char *at, size_t n)
{
    struct head *head = head_of(parser);
    head->in_value = true;
    return extend(head, &head->values[head->count - 1], at, n);
}

static int on_part_complete(http_parser *parser)
{
    http_parser_pause(parser, 1);
    return 0;
}

static int status_of(enum http_errno error)
{
    switch (error) {
    case HPE_HEADER_OVERFLOW:
        return 431;
    case HPE_INVALID_VERSION:
        return 505;
    default:
        return 400;
    }
}

/* --- checking --------------------------------------------------------------------------------- */

static bool is_token(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return n > 0;
}

static bool is_text(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The path of a target such as "/a%20b?query" or "http://host/a%20b". 0 or a status. */
static int decode_target(const char *target, size_t n, char *out)
{
    if (n >= 7 && strncasecmp(target, "http://", 7) == 0) { /* a proxy's form */
        const char *slash = memchr(target + 7, '/', n - 7);
        if (slash == NULL) {
            memcpy(out, "/", 2);
            return 0;
        }
        n -= (size_t)(slash - target);
        target = slash;
    }
    if (n == 0 || (target[0] != '/' && (n > 1 || target[0] != '*'))) {
        return 400;
    }
    size_t used = 0;
    for (size_t i = 0; i < n && target[i] != '?'; i++) {
        int c = (unsigned char)target[i];
        if (c == '%') {
            int high = i + 2 < n ? hex_of(target[i + 1]) : -1;
            int low = i + 2 < n ? hex_of(target[i + 2]) : -1;
            c = high < 0 || low < 0 ? 0 : high * 16 + low;
            i += 2;
        }
        if (c == 0 || c == '#') {
            return 400;
        }
        if (used == PATH_BYTES_MAX - 1) {
            return 414;
        }
        out[used++] = (char)c;
    }
    out[used] = '\0';
    return 0;
}

static void keep(char *out, size_t room, const char *text, size_t n)
{
    n = n < room ? n : 0; /* what does not fit is as good as not there */
    memcpy(out, text, n);
    out[n] = '\0';
}

struct seen {
    int hosts, encodings;
};

static int take_header(struct request *request, struct seen *seen, const char *name,
                       size_t name_bytes, const char *value, size_t n)
{
#define IS(text) (name_bytes == sizeof(text) - 1 && strncasecmp(name, text, name_bytes) == 0)
    if (IS("host")) {
        seen->hosts++;
    } else if (IS("transfer-encoding")) {
        seen->encodings++;
    } else if (IS("expect")) {
        if (n != 12 || strncasecmp(value, "100-continue", 12) != 0) {
            return 417;
        }
        request->continues = true;
    } else if (IS("range")) {
        keep(request->range, sizeof request->range, value, n);
    } else if (IS("if-range")) {
        keep(request->if_range, sizeof request->if_range, value, n);
    } else if (IS("if-none-match")) {
        keep(request->if_none_match, sizeof request->if_none_match, value, n);
    } else if (IS("if-modified-since")) {
        keep(request->if_modified_since, sizeof request->if_modified_since, value, n);
    }
#undef IS
    return 0;
}

/* The line for the log, first: a refused request is logged too. */
static void take_line(struct exchange *x, const struct head *head)
{
    struct request *request = &x->request;
    bool is_known = head->target.bytes > 0; /* else the method may be none */
    const char *method = is_known ? http_method_str((enum http_method)x->parser.method) : "-";
    size_t used = strlen(method);
    memcpy(request->line, method, used);
    request->line[used++] = ' ';
    for (size_t i = 0; i < head->target.bytes && used < sizeof request->line - 1; i++) {
        char c = head->bytes[head->target.at + i];
        request->line[used++] = c > ' ' && c < 0x7f && c != '"' && c != '\\' ? c : '?';
    }
    request->line[used] = '\0';
}

/* What is wanted of the head, which is complete. 0 or a status. */
static int take_head(struct exchange *x, const struct head *head)
{
    struct request *request = &x->request;
    http_parser *parser = &x->parser;
    bool is_1_1 = parser->http_major == 1 && parser->http_minor == 1;
    if (!is_1_1 && !(parser->http_major == 1 && parser->http_minor == 0)) {
        return 505;
    }
    request->method = parser->method; /* a refusal of a HEAD has no body either */
    struct seen seen = {0, 0};
    for (int i = 0; i < head->count; i++) {
        const char *name = head->bytes + head->names[i].at;
        const char *value = head->bytes + head->values[i].at;
        if (!is_token(name, head->names[i].bytes) || !is_text(value, head->values[i].bytes)) {
            return 400;
        }
        int rc =
            take_header(request, &seen, name, head->names[i].bytes, value, head->values[i].bytes);
        if (rc != 0) {
            return rc;
        }
    }
    request->chunked = (parser->flags & F_CHUNKED) != 0;
    request->length = request->chunked ? UINT64_MAX : parser->content_length;
    request->keep_alive = http_should_keep_alive(parser) != 0;
    request->continues = request->continues && is_1_1;
    if (seen.hosts > 1 || (is_1_1 && seen.hosts != 1) ||
        (seen.encodings > 0 && (!is_1_1 || !request->chunked))) {
        return 400;
    }
    if (request->method == HTTP_CONNECT) {
        return 405;
    }
    return decode_target(head->bytes + head->target.at, head->target.bytes, request->path);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Waits until `least` bytes are there. Who waits for a peer has sent it first what it may wait
 * for. */
static ssize_t read_more(struct exchange *x, size_t least, const void **bytes)
{
    if (weft_reader_peek(&x->reader, 0, bytes) < (ssize_t)least) {
        int rc = answer_flush(x);
        if (rc < 0) {
            return rc;
        }
    }
    return weft_reader_peek(&x->reader, least, bytes);
}

int request_read_head(struct exchange *x)
{
    static const http_parser_settings settings = {.on_url = on_url,
                                                  .on_header_field = on_header_field,
                                                  .on_header_value = on_header_value,
                                                  .on_headers_complete = on_part_complete};
    struct head head = {.count = 0};
    http_parser_init(&x->parser, HTTP_REQUEST);
    x->parser.data = &head;
    memset(&x->request, 0, sizeof x->request);
    enum http_errno error = HPE_OK;
    size_t fed = 0;
    while (error == HPE_OK) { /* ends: with the head, its bound, or the connection */
        const void *bytes;
        ssize_t n = fed > HEAD_BYTES_MAX ? -EMSGSIZE : read_more(x, fed + 1, &bytes);
        if (n == -EMSGSIZE) {
            return head.count > 0 ? 431 : 414;
        }
        if (n < 0 || (size_t)n <= fed) {
            return n < 0 ? (int)n : 400; /* it ends in the middle */
        }
        head.bytes = bytes;
        fed += http_parser_execute(&x->parser, &settings, head.bytes + fed, (size_t)n - fed);
        error = HTTP_PARSER_ERRNO(&x->parser);
    }
    x->parser.data = NULL;
    take_line(x, &head);
    int rc = error == HPE_PAUSED ? take_head(x, &head)
             : head.refusal != 0 ? head.refusal
                                 : status_of(error);
    weft_reader_consume(&x->reader, fed);
    if (error == HPE_PAUSED) {
        http_parser_pause(&x->parser, 0);
    }
    return rc;
}

bool request_has_body(const struct request *request)
{
    return request->chunked || (request->length > 0 && request->length != UINT64_MAX);
}

/* Where a body goes. */
struct sink {
    char *out; /* NULL: nowhere */
    size_t max, used;
    bool is_full;
};

static int on_body(http_parser *parser, const char *at, size_t n)
{
    struct sink *sink = parser->data;
    if (n > sink->max - sink->used) {
        sink->is_full = true;
        return -1;
    }
    if (sink->out != NULL) {
        memcpy(sink->out + sink->used, at, n);
    }
    sink->used += n;
    return 0;
}

int request_read_body(struct exchange *x, char *out, size_t max, size_t *bytes)
{
    /* No callbacks for headers: trailers are parsed, bounded by the parser, and dropped. */
    static const http_parser_settings settings = {.on_body = on_body,
                                                  .on_message_complete = on_part_complete};
    struct sink sink = {.out = out, .max = max};
    x->parser.data = &sink;
    enum http_errno error = HPE_OK;
    while (error == HPE_OK) { /* ends: with the body, its bound, or the connection */
        const void *there;
        ssize_t n = read_more(x, 1, &there);
        if (n <= 0) {
            return n < 0 ? (int)n : -EPIPE;
        }
        size_t taken = http_parser_execute(&x->parser, &settings, there, (size_t)n);
        weft_reader_consume(&x->reader, taken);
        error = HTTP_PARSER_ERRNO(&x->parser);
    }
    x->parser.data = NULL;
    *bytes = sink.used;
    return error == HPE_PAUSED ? 0 : sink.is_full ? 413 : status_of(error);
}
