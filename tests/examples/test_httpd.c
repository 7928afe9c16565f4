/* test_httpd.c: examples/httpd as a program, on loopback: what it answers, what it refuses, how it
 * stops; and thousands of requests that are almost right. */
#include "program.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* More than the kernel takes for a peer that does not read: tcp_wmem is 4 MiB at most, and a window
 * that nobody reads from stays small. */
#define BIG_BYTES (8 << 20)

/* --- server and clients ----------------------------------------------------------------------- */

static char root[64];
static int port;

static void write_file(const char *name, const void *bytes, size_t n)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    wt_ge(fd, 0);
    wt_eq(write(fd, bytes, n), n);
    close(fd);
}

static unsigned char *big(void)
{
    static unsigned char bytes[BIG_BYTES];
    for (size_t i = 0; i < BIG_BYTES; i++) {
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    }
    return bytes;
}

/* A folder that holds the root, a secret beside it, and a way out of the root that must not
 * work. */
static void make_root(void)
{
    static char folder[] = "/tmp/weft-httpd-XXXXXX";
    char path[160];
    wt_true(mkdtemp(folder) != NULL);
    (void)snprintf(root, sizeof root, "%s", folder);
    write_file("secret", "a secret\n", 9);
    (void)snprintf(root, sizeof root, "%s/root", folder);
    wt_eq(mkdir(root, 0755), 0);
    write_file("index.html", "<p>index</p>\n", 13);
    write_file("digits.txt", "0123456789", 10);
    write_file("a b.txt", "blank\n", 6);
    write_file("empty", "", 0);
    write_file("big.bin", big(), BIG_BYTES);
    (void)snprintf(path, sizeof path, "%s/sub", root);
    wt_eq(mkdir(path, 0755), 0);
    write_file("sub/index.html", "<p>sub</p>\n", 11);
    (void)snprintf(path, sizeof path, "%s/out", root);
    wt_eq(symlink("../secret", path), 0);
    (void)snprintf(path, sizeof path, "%s/pipe", root);
    wt_eq(mkfifo(path, 0644), 0);
}

static void remove_root(void)
{
    static const char *const names[] = {"index.html", "digits.txt",     "a b.txt",
                                        "empty",      "big.bin",        "out",
                                        "pipe",       "sub/index.html", "access.log"};
    char path[160];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, names[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/sub", root);
    (void)rmdir(path);
    (void)rmdir(root);
    *strrchr(root, '/') = '\0';
    (void)snprintf(path, sizeof path, "%s/secret", root);
    (void)unlink(path);
    (void)rmdir(root);
}

static void note_port(struct program *server)
{
    (void)program_await(server, &server->out, "\n");
    port = atoi(strrchr(server->out.bytes, ':') + 1);
    wt_gt(port, 0, "it printed: %s", server->out.bytes);
}

#define server_start(server, ...)                                                                  \
    (make_root(), program_start((server), example("httpd"), "-j", "2", "-r", root, ##__VA_ARGS__), \
     note_port(server))

static void server_stop(struct program *server)
{
    kill(server->pid, SIGINT);
    wt_eq(program_wait(server, PROGRAM_PATIENCE_MS), 0, "stderr: %s", server->err.bytes);
    wt_str_eq(server->err.bytes, "");
    wt_true(strstr(server->out.bytes, "connections, ") != NULL, "stdout: %s", server->out.bytes);
    program_free(server);
    remove_root();
}

static int client_new(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_ge(fd, 0);
    struct timeval patience = {.tv_sec = scaled(PROGRAM_PATIENCE_MS) / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wt_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0, "errno %d", errno);
    return fd;
}

static void send_bytes(int fd, const void *bytes, size_t n)
{
    wt_eq(send(fd, bytes, n, MSG_NOSIGNAL), n, "errno %d", errno);
}

static void send_text(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

/* All that comes until the end; NUL-terminated, valid until the next call. */
static char *receive_all(int fd, size_t *bytes)
{
    static char *buffer;
    static size_t room;
    size_t used = 0;
    for (;;) {
        if (room - used < 65536) {
            room = room + used + 131072;
            buffer = realloc(buffer, room);
            wt_true(buffer != NULL);
        }
        ssize_t n = recv(fd, buffer + used, room - used - 1, 0);
        wt_ge(n, 0, "errno %d after %zu bytes", errno, used);
        if (n == 0) {
            break;
        }
        used += (size_t)n;
    }
    close(fd);
    buffer[used] = '\0';
    if (bytes != NULL) {
        *bytes = used;
    }
    return buffer;
}

/* Sends it on a connection of its own, says that it is all, and returns the answer. */
static char *ask_bytes(const void *request, size_t n, size_t *bytes)
{
    int fd = client_new();
    send_bytes(fd, request, n);
    shutdown(fd, SHUT_WR);
    return receive_all(fd, bytes);
}

static char *ask(const char *request)
{
    return ask_bytes(request, strlen(request), NULL);
}

static int status_in(const char *answer)
{
    int status = 0;
    wt_eq(sscanf(answer, "HTTP/1.1 %3d ", &status), 1, "it said: '%.200s'", answer);
    return status;
}

static const char *body_in(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    wt_true(end != NULL, "it said: '%.200s'", answer);
    return end + 4;
}

static void expect_header(const char *answer, const char *header)
{
    const char *at = strstr(answer, header);
    wt_true(at != NULL && at < body_in(answer), "no '%s' in '%.400s'", header, answer);
}

/* The value of a header, valid until the next call. */
static const char *header_in(const char *answer, const char *name)
{
    static char value[128];
    const char *at = strstr(answer, name);
    wt_true(at != NULL, "no %s in '%.400s'", name, answer);
    wt_eq(sscanf(at + strlen(name), ": %127[^\r]", value), 1);
    return value;
}

static char *get(const char *target, const char *headers)
{
    static char request[4096];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", target,
                   headers);
    return ask(request);
}

/* --- files ------------------------------------------------------------------------------------ */

Test(httpd, serves_files_and_indexes)
{
    static const struct {
        const char *target, *type, *body;
    } cases[] = {
        {"/digits.txt", "text/plain; charset=utf-8", "0123456789"},
        {"/", "text/html; charset=utf-8", "<p>index</p>\n"},
        {"/sub", "text/html; charset=utf-8", "<p>sub</p>\n"},
        {"/sub/", "text/html; charset=utf-8", "<p>sub</p>\n"},
        {"/sub/../digits.txt", "text/plain; charset=utf-8", "0123456789"},
        {"/digits.txt?query", "text/plain; charset=utf-8", "0123456789"},
        {"/a%20b.txt", "text/plain; charset=utf-8", "blank\n"},
        {"http://test/digits.txt", "text/plain; charset=utf-8", "0123456789"},
        {"/empty", "application/octet-stream", ""},
    };
    struct program server;
    server_start(&server);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *answer = get(cases[i].target, "");
        wt_eq(status_in(answer), 200, "of %s", cases[i].target);
        wt_str_eq(body_in(answer), cases[i].body);
        wt_str_eq(header_in(answer, "Content-Type"), cases[i].type);
        wt_eq(atoi(header_in(answer, "Content-Length")), strlen(cases[i].body));
    }
    wt_eq(status_in(get("/nothing", "")), 404);
    server_stop(&server);
}

Test(httpd, serves_a_large_file_byte_for_byte)
{
    struct program server;
    server_start(&server);
    size_t bytes;
    const char request[] = "GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n";
    const char *answer = ask_bytes(request, strlen(request), &bytes);
    wt_eq(status_in(answer), 200);
    size_t head = (size_t)(body_in(answer) - answer);
    wt_eq(bytes - head, BIG_BYTES);
    wt_mem_eq(answer + head, big(), BIG_BYTES);
    server_stop(&server);
}

Test(httpd, head_is_get_without_the_body)
{
    struct program server;
    server_start(&server);
    const char *answer = ask("HEAD /digits.txt HTTP/1.1\r\nHost: test\r\n\r\n");
    wt_eq(status_in(answer), 200);
    expect_header(answer, "Content-Length: 10\r\n");
    wt_str_eq(body_in(answer), "");
    answer = ask("HEAD /nothing HTTP/1.1\r\nHost: test\r\n\r\n");
    wt_eq(status_in(answer), 404);
    wt_str_eq(body_in(answer), "");
    server_stop(&server);
}

Test(httpd, says_304_to_who_has_it_already)
{
    struct program server;
    server_start(&server);
    char headers[256], etag[64], date[64];
    const char *answer = get("/digits.txt", "");
    (void)snprintf(etag, sizeof etag, "%s", header_in(answer, "ETag"));
    (void)snprintf(date, sizeof date, "%s", header_in(answer, "Last-Modified"));
    static const char *const formats[] = {"If-None-Match: %s\r\n", "If-None-Match: W/%s, \"x\"\r\n",
                                          "If-None-Match: \"x\", %s\r\n", "If-None-Match: *\r\n"};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(headers, sizeof headers, formats[i], etag);
        answer = get("/digits.txt", headers);
        wt_eq(status_in(answer), 304, "to %s", headers);
        wt_str_eq(body_in(answer), "");
        wt_str_eq(header_in(answer, "ETag"), etag);
    }
    wt_eq(status_in(get("/digits.txt", "If-None-Match: \"x\"\r\n")), 200);
    (void)snprintf(headers, sizeof headers, "If-Modified-Since: %s\r\n", date);
    wt_eq(status_in(get("/digits.txt", headers)), 304);
    wt_eq(status_in(get("/digits.txt", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n")),
          200);
    wt_eq(status_in(get("/digits.txt", "If-Modified-Since: yesterday\r\n")), 200);
    (void)snprintf(headers, sizeof headers, "If-None-Match: \"x\"\r\nIf-Modified-Since: %s\r\n",
                   date);
    wt_eq(status_in(get("/digits.txt", headers)), 200, "the etag decides");
    server_stop(&server);
}

Test(httpd, answers_single_ranges)
{
    static const struct {
        const char *range;
        int status;
        const char *content_range, *body;
    } cases[] = {
        {"bytes=0-3", 206, "bytes 0-3/10", "0123"},
        {"bytes=9-9", 206, "bytes 9-9/10", "9"},
        {"bytes=4-", 206, "bytes 4-9/10", "456789"},
        {"bytes=4-99999999999999", 206, "bytes 4-9/10", "456789"},
        {"bytes=-3", 206, "bytes 7-9/10", "789"},
        {"bytes=-99", 206, "bytes 0-9/10", "0123456789"},
        {"bytes=10-", 416, "bytes */10", NULL},
        {"bytes=-0", 416, "bytes */10", NULL},
        {"bytes=3-2", 200, NULL, "0123456789"},
        {"bytes=0-1,3-4", 200, NULL, "0123456789"}, /* several: all of it */
        {"bytes=", 200, NULL, "0123456789"},
        {"bytes=-", 200, NULL, "0123456789"},
        {"bytes=99999999999999999999999-", 200, NULL, "0123456789"},
        {"lines=0-3", 200, NULL, "0123456789"},
        {"bytes=x", 200, NULL, "0123456789"},
    };
    struct program server;
    server_start(&server);
    char headers[128];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(headers, sizeof headers, "Range: %s\r\n", cases[i].range);
        const char *answer = get("/digits.txt", headers);
        wt_eq(status_in(answer), cases[i].status, "to %s", cases[i].range);
        if (cases[i].content_range != NULL) {
            wt_str_eq(header_in(answer, "Content-Range"), cases[i].content_range);
        }
        if (cases[i].body != NULL) {
            wt_str_eq(body_in(answer), cases[i].body);
        }
    }
    wt_eq(status_in(get("/empty", "Range: bytes=0-\r\n")), 416);
    char etag[64];
    (void)snprintf(etag, sizeof etag, "%s", header_in(get("/digits.txt", ""), "ETag"));
    (void)snprintf(headers, sizeof headers, "Range: bytes=0-3\r\nIf-Range: %s\r\n", etag);
    wt_eq(status_in(get("/digits.txt", headers)), 206);
    wt_eq(status_in(get("/digits.txt", "Range: bytes=0-3\r\nIf-Range: \"x\"\r\n")), 200);
    server_stop(&server);
}

Test(httpd, no_path_leads_out_of_the_root)
{
    static const char *const targets[] = {
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/sub/../../secret",
        "/./../secret",
        "//../secret",
        "/out",
        "/%2e%2e%2fsecret",
        "/sub/../../root/../secret",
        "/..%00/secret",
        "/../../../../../../etc/passwd",
        "/digits.txt%00.html",
        "/pipe",
        "/%",
        "/%4",
        "/%zz",
        "/..\\secret",
        "/proc/self/environ",
    };
    struct program server;
    server_start(&server);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        const char *answer = get(targets[i], "");
        int status = status_in(answer);
        wt_true(status == 400 || status == 404, "%d of %s", status, targets[i]);
        wt_true(strstr(answer, "a secret") == NULL, "%s", targets[i]);
    }
    server_stop(&server);
}

/* --- connections ------------------------------------------------------------------------------ */

Test(httpd, requests_that_come_together_are_answered_in_order)
{
    enum { REQUESTS = 200 };
    static char requests[REQUESTS * 64];
    size_t used = 0;
    for (int i = 0; i < REQUESTS; i++) {
        used += (size_t)snprintf(requests + used, 64, "GET /%s HTTP/1.1\r\nHost: test\r\n\r\n",
                                 i % 3 == 0   ? "digits.txt"
                                 : i % 3 == 1 ? "sub/"
                                              : "nothing");
    }
    struct program server;
    server_start(&server);
    const char *answer = ask_bytes(requests, used, NULL);
    for (int i = 0; i < REQUESTS; i++) {
        wt_eq(status_in(answer), i % 3 == 2 ? 404 : 200, "of answer %d", i);
        int length = atoi(header_in(answer, "Content-Length"));
        answer = body_in(answer) + length;
    }
    wt_str_eq(answer, "");
    server_stop(&server);
}

Test(httpd, an_answer_does_not_wait_for_the_rest_of_the_next_request)
{
    struct program server;
    server_start(&server);
    int fd = client_new();
    send_text(fd, "GET /digits.txt HTTP/1.1\r\nHost: test\r\n\r\nGET /sub/ HT");
    char first[4096] = "";
    size_t used = 0;
    while (strstr(first, "0123456789") == NULL) {
        ssize_t n = recv(fd, first + used, sizeof first - 1 - used, 0);
        wt_gt(n, 0, "errno %d", errno);
        used += (size_t)n;
    }
    send_text(fd, "TP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    const char *answer = receive_all(fd, NULL);
    wt_eq(status_in(answer), 200);
    expect_header(answer, "Connection: close\r\n");
    wt_str_eq(body_in(answer), "<p>sub</p>\n");
    server_stop(&server);
}

Test(httpd, a_request_may_come_byte_by_byte)
{
    struct program server;
    server_start(&server);
    int fd = client_new();
    const char *request = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n";
    for (const char *at = request; *at != '\0'; at++) {
        send_bytes(fd, at, 1);
    }
    shutdown(fd, SHUT_WR);
    const char *answer = receive_all(fd, NULL);
    wt_eq(status_in(answer), 200);
    wt_str_eq(body_in(answer), "hello world");
    server_stop(&server);
}

Test(httpd, version_1_0_is_closed_unless_it_asks_not_to_be)
{
    struct program server;
    server_start(&server);
    expect_header(ask("GET / HTTP/1.0\r\n\r\n"), "Connection: close\r\n");
    expect_header(ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
                  "Connection: keep-alive\r\n");
    server_stop(&server);
}

/* --- bodies ----------------------------------------------------------------------------------- */

Test(httpd, gives_bodies_back)
{
    struct program server;
    server_start(&server, "-m", "1000");
    const char *answer = ask("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
                             "PUT /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    wt_eq(status_in(answer), 200);
    wt_true(strncmp(body_in(answer), "helloHTTP/1.1 200 OK\r\n", 22) == 0, "%s", answer);
    static char request[2048];
    for (int bytes = 999; bytes <= 1001; bytes++) { /* around the bound, in one chunk */
        int n = snprintf(
            request, sizeof request,
            "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", bytes);
        memset(request + n, 'x', (size_t)bytes);
        (void)snprintf(request + n + bytes, sizeof request - (size_t)(n + bytes), "\r\n0\r\n\r\n");
        answer = ask(request);
        wt_eq(status_in(answer), bytes <= 1000 ? 200 : 413, "of %d bytes", bytes);
    }
    wt_eq(status_in(ask("GET /digits.txt HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello")),
          200);
    server_stop(&server);
}

Test(httpd, refuses_a_body_that_is_too_long_before_it_comes)
{
    struct program server;
    server_start(&server);
    int fd = client_new();
    send_text(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n"
                  "Expect: 100-continue\r\n\r\n");
    const char *answer = receive_all(fd, NULL);
    wt_eq(status_in(answer), 413);
    wt_true(strstr(answer, "100 Continue") == NULL);
    server_stop(&server);
}

Test(httpd, says_100_continue_to_who_waits_for_it)
{
    struct program server;
    server_start(&server);
    int fd = client_new();
    send_text(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n"
                  "Expect: 100-continue\r\nConnection: close\r\n\r\n");
    char text[26] = "";
    wt_eq(recv(fd, text, 25, MSG_WAITALL), 25);
    wt_str_eq(text, "HTTP/1.1 100 Continue\r\n\r\n");
    send_text(fd, "hello");
    const char *answer = receive_all(fd, NULL);
    wt_eq(status_in(answer), 200);
    wt_str_eq(body_in(answer), "hello");
    fd = client_new(); /* not for a body that nobody wants */
    send_text(fd, "POST /digits.txt HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n"
                  "Expect: 100-continue\r\n\r\n");
    wt_eq(status_in(receive_all(fd, NULL)), 405);
    server_stop(&server);
}

/* --- refusals --------------------------------------------------------------------------------- */

Test(httpd, refuses_what_is_not_a_request)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"nonsense\r\n\r\n", 400},
        {"GET\r\n\r\n", 400},
        {"GET /\r\n\r\n", 505},          /* version 0.9 */
        {"GET / HTTP/1.1\r\n\r\n", 400}, /* no host */
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400}, /* a blank before the colon */
        {"GET / HTTP/1.1\r\nHost: a\r\nA B: c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400}, /* folded */
        {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400},
        {"GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a", 400}, /* the end in the middle */
        {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\nx", 417},
        /* where does it end? */
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
         400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5x\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "ffffffffffffffffff\r\n",
         400},
    };
    struct program server;
    server_start(&server);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wt_eq(status_in(ask(cases[i].request)), cases[i].status, "of case %zu: %s", i,
              cases[i].request);
    }
    server_stop(&server);
}

/* "GET / HTTP/1.1" with so many headers, and one more of so many bytes. */
static char *request_of(int headers, size_t bytes)
{
    static char request[65536];
    size_t used = (size_t)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: test\r\nX: ");
    memset(request + used, 'x', bytes);
    used += bytes;
    for (int i = 0; i < headers; i++) {
        used += (size_t)snprintf(request + used, 32, "\r\nY%d: z", i);
    }
    (void)snprintf(request + used, 8, "\r\n\r\n");
    return request;
}

Test(httpd, heads_are_bounded)
{
    static char target[9000];
    struct program server;
    server_start(&server);
    wt_eq(status_in(ask(request_of(62, 10))), 200, "64 headers");
    wt_eq(status_in(ask(request_of(63, 10))), 431);
    wt_eq(status_in(ask(request_of(2000, 10))), 431);
    wt_eq(status_in(ask(request_of(0, 8000))), 200);
    wt_eq(status_in(ask(request_of(0, 50000))), 431);
    for (size_t bytes = 1000; bytes <= 1100; bytes += 100) {
        target[0] = '/';
        memset(target + 1, 'x', bytes);
        target[bytes] = '\0';
        static char request[10000];
        (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", target);
        wt_eq(status_in(ask(request)), bytes < 1024 ? 404 : 414);
    }
    server_stop(&server);
}

Test(httpd, slow_clients_are_told_and_sent_away)
{
    struct program server;
    server_start(&server, "-t", "0.2", "-i", "0.2");
    int silent = client_new();
    int slow = client_new();
    int fast = client_new();
    send_text(slow, "GET / HTTP/1.1\r\nHo");
    send_text(fast, "GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    wt_eq(status_in(receive_all(slow, NULL)), 408);
    wt_str_eq(receive_all(silent, NULL), "");
    wt_eq(status_in(receive_all(fast, NULL)), 200);
    server_stop(&server);
}

/* --- what it tells ---------------------------------------------------------------------------- */

Test(httpd, metrics_and_the_log_say_what_happened)
{
    char log[128];
    make_root();
    (void)snprintf(log, sizeof log, "%s/access.log", root);
    struct program server;
    program_start(&server, example("httpd"), "-j", "2", "-r", root, "-l", log);
    note_port(&server);
    wt_eq(status_in(get("/digits.txt", "")), 200);
    wt_eq(status_in(get("/nothing\"here", "")), 404);
    wt_eq(status_in(ask("\x01\x02")), 400);
    const char *answer = get("/metrics", "");
    wt_eq(status_in(answer), 200);
    wt_true(strstr(answer, "\nhttpd_requests_total 4\n") != NULL, "%s", answer);
    wt_true(strstr(answer, "\nhttpd_answers_total{class=\"2xx\"} 1\n") != NULL, "%s", answer);
    wt_true(strstr(answer, "\nhttpd_answers_total{class=\"4xx\"} 2\n") != NULL, "%s", answer);
    kill(server.pid, SIGTERM);
    wt_eq(program_wait(&server, PROGRAM_PATIENCE_MS), 0);
    program_free(&server);

    char text[2048] = "";
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    wt_gt(read(fd, text, sizeof text - 1), 0);
    close(fd);
    wt_true(strstr(text, "\"GET /digits.txt\" 200 10 ") != NULL, "%s", text);
    wt_true(strstr(text, "\"GET /nothing?here\" 404 ") != NULL, "%s", text);
    wt_true(strstr(text, "\"- \" 400 ") != NULL, "%s", text);
    wt_true(strncmp(text, "127.0.0.1:", 10) == 0, "%s", text);
    remove_root();
}

/* --- stopping --------------------------------------------------------------------------------- */

Test(httpd, stopping_lets_a_download_finish)
{
    struct program server;
    server_start(&server);
    int idle = client_new();
    int fd = client_new();
    send_text(fd, "GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    char c;
    wt_eq(recv(fd, &c, 1, MSG_PEEK), 1); /* it has begun, and does not fit into the sockets */
    kill(server.pid, SIGINT);
    wt_str_eq(receive_all(idle, NULL), "");
    size_t bytes;
    const char *answer = receive_all(fd, &bytes);
    size_t head = (size_t)(body_in(answer) - answer);
    wt_eq(bytes - head, BIG_BYTES);
    wt_mem_eq(answer + head, big(), BIG_BYTES);
    wt_eq(program_wait(&server, PROGRAM_PATIENCE_MS), 0);
    program_free(&server);
    remove_root();
}

Test(httpd, a_second_signal_ends_it)
{
    struct program server;
    server_start(&server, "-d", "3600");
    int fd = client_new();
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    send_text(fd, "GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    char c;
    wt_eq(recv(fd, &c, 1, MSG_PEEK), 1);
    kill(server.pid, SIGINT);
    kill(server.pid, SIGTERM); /* both are there to be read, in some order */
    wt_eq(program_wait(&server, PROGRAM_PATIENCE_MS), 0);
    wt_true(strstr(server.out.bytes, " 1 cut, ") != NULL, "%s", server.out.bytes);
    close(fd);
    program_free(&server);
    remove_root();
}

/* --- requests that are almost right ----------------------------------------------------------- */

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static size_t random_below(size_t n)
{
    return n > 0 ? (size_t)(random_next() >> 11) % n : 0;
}

#define FUZZ_BYTES 4096

struct fuzz {
    unsigned char bytes[FUZZ_BYTES];
    size_t used;
};

static void fuzz_insert(struct fuzz *fuzz, size_t at, const void *bytes, size_t n)
{
    if (fuzz->used + n > FUZZ_BYTES) {
        return;
    }
    memmove(fuzz->bytes + at + n, fuzz->bytes + at, fuzz->used - at);
    memcpy(fuzz->bytes + at, bytes, n);
    fuzz->used += n;
}

static void fuzz_remove(struct fuzz *fuzz, size_t at, size_t n)
{
    n = n < fuzz->used - at ? n : fuzz->used - at;
    memmove(fuzz->bytes + at, fuzz->bytes + at + n, fuzz->used - at - n);
    fuzz->used -= n;
}

static void fuzz_mutate(struct fuzz *fuzz)
{
    static const char *const pieces[] = {
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        ":",
        " ",
        "\t",
        "%00",
        "%2e%2e/",
        "/../",
        "?",
        "#",
        "*",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 99999999999\r\n",
        "Host: x\r\n",
        "Expect: 100-continue\r\n",
        "Range: bytes=1-2\r\n",
        "Range: bytes=-\r\n",
        "Connection: close\r\n",
        "Connection: upgrade\r\nUpgrade: x\r\n",
        "HTTP/1.0",
        "HTTP/9.9",
        "ffffffff\r\n",
        "0\r\n\r\n",
        "GET ",
        "HEAD ",
        "CONNECT ",
        "\xff\xfe",
        "\x80",
    };
    size_t at = random_below(fuzz->used + 1);
    unsigned char byte = (unsigned char)random_next();
    switch (random_below(6)) {
    case 0:
        if (at < fuzz->used) {
            fuzz->bytes[at] = byte;
        }
        break;
    case 1:
        if (at < fuzz->used) {
            fuzz->bytes[at] ^= (unsigned char)(1u << (byte & 7));
        }
        break;
    case 2: {
        const char *piece = pieces[random_below(sizeof pieces / sizeof *pieces)];
        fuzz_insert(fuzz, at, piece, strlen(piece));
        break;
    }
    case 3:
        fuzz_remove(fuzz, at, 1 + random_below(16));
        break;
    case 4: { /* a part once more, elsewhere */
        unsigned char part[64];
        size_t from = random_below(fuzz->used);
        size_t n = random_below(sizeof part);
        n = n < fuzz->used - from ? n : fuzz->used - from;
        memcpy(part, fuzz->bytes + from, n);
        fuzz_insert(fuzz, at, part, n);
        break;
    }
    default: { /* the same byte, many times */
        unsigned char run[200];
        memset(run, byte, sizeof run);
        fuzz_insert(fuzz, at, run, random_below(sizeof run));
    }
    }
}

/* An answer, the end, or a reset because it had sent more than anybody read: anything but
 * silence. */
static void fuzz_send(const struct fuzz *fuzz, uint64_t seed)
{
    static char answer[1 << 16];
    int fd = client_new();
    (void)send(fd, fuzz->bytes, fuzz->used, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    if (n > 0) {
        wt_true(n < 9 || memcmp(answer, "HTTP/1.1 ", 9) == 0, "seed %llu: %.40s",
                (unsigned long long)seed, answer);
    }
    while (n > 0) {
        n = recv(fd, answer, sizeof answer, 0);
    }
    wt_true(n == 0 || errno == ECONNRESET, "errno %d, seed %llu: %.*s", errno,
            (unsigned long long)seed, (int)fuzz->used, (const char *)fuzz->bytes);
    close(fd);
}

#ifdef __SANITIZE_THREAD__ /* it makes both ends ten times slower, and finds no wrong byte */
#define FUZZ_REQUESTS 2000
#else
#define FUZZ_REQUESTS 20000
#endif

/* HTTPD_FUZZ: so many requests; WT_SEED: from this seed on. ./dev fuzz sets the first. */
Test(httpd, requests_that_are_almost_right_do_it_no_harm, .timeout = 36000)
{
    enum { TOGETHER = 4, CHANGES = 4 };
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        "HEAD /digits.txt HTTP/1.1\r\nHost: test\r\nAccept: */*\r\nRange: bytes=2-5\r\n\r\n",
        "GET /a%20b.txt?x=1 HTTP/1.1\r\nHost: test\r\nIf-None-Match: \"a\", W/\"b\"\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\nhello world",
        "PUT /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nT: t\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "GET http://test/sub/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    };
    const char *wanted = getenv("HTTPD_FUZZ");
    const char *first = getenv("WT_SEED");
    uint64_t seed = first != NULL ? strtoull(first, NULL, 0) : 20000;
    long left = wanted != NULL ? atol(wanted) : FUZZ_REQUESTS;
    printf("seed %llu (WT_SEED), %ld requests (HTTPD_FUZZ)\n", (unsigned long long)seed, left);
    struct program server;
    server_start(&server);
    for (; left > 0; left -= TOGETHER, seed++) {
        random_state = seed * 0x9e3779b97f4a7c15u | 1;
        struct fuzz fuzz = {.used = 0};
        for (int i = 0; i < TOGETHER; i++) {
            const char *request = requests[random_below(sizeof requests / sizeof *requests)];
            struct fuzz one = {.used = strlen(request)};
            memcpy(one.bytes, request, one.used);
            for (size_t n = 1 + random_below(CHANGES); n > 0; n--) {
                fuzz_mutate(&one);
            }
            fuzz_insert(&fuzz, fuzz.used, one.bytes, one.used);
        }
        fuzz_send(&fuzz, seed);
    }
    wt_eq(status_in(get("/digits.txt", "")), 200);
    server_stop(&server);
}

/* --- others' programs ------------------------------------------------------------------------- */

Test(httpd, curl_gets_what_it_asks_for)
{
    if (system("curl --version >/dev/null 2>&1") != 0) {
        wt_skip("no curl here");
    }
    struct program server, curl;
    server_start(&server);
    char url[64], echo[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/digits.txt", port);
    (void)snprintf(echo, sizeof echo, "http://127.0.0.1:%d/echo", port);
    program_start(&curl, "curl", "-sS", "--noproxy", "*", "-r", "2-4", url, "--next", "-sS",
                  "--noproxy", "*", "-H", "Transfer-Encoding: chunked", "-H",
                  "Expect: 100-continue", "-d", "body", echo);
    wt_eq(program_wait(&curl, PROGRAM_PATIENCE_MS), 0, "%s", curl.err.bytes);
    wt_str_eq(curl.out.bytes, "234body");
    program_free(&curl);
    server_stop(&server);
}

Test(httpd, serves_https_to_curl)
{
    if (system("curl --version >/dev/null 2>&1 && openssl version >/dev/null 2>&1") != 0) {
        wt_skip("no curl or no openssl here");
    }
    char cert[] = "/tmp/weft-httpd-cert-XXXXXX", key[] = "/tmp/weft-httpd-key-XXXXXX";
    close(mkstemp(cert));
    close(mkstemp(key));
    char command[512], url[64];
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
                   "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s "
                   ">/dev/null 2>&1",
                   key, cert);
    wt_eq(system(command), 0);
    make_root();
    struct program server, curl;
    program_start(&server, example("httpd"), "-j", "2", "-r", root, "-e", cert, "-k", key);
    note_port(&server);
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/digits.txt", port);
    program_start(&curl, "curl", "-sS", "--noproxy", "*", "--cacert", cert, url, url);
    int rc = program_wait(&curl, PROGRAM_PATIENCE_MS);
    bool is_without = server.err.bytes != NULL && strstr(server.err.bytes, "built without") != NULL;
    if (!is_without) {
        wt_eq(rc, 0, "%s", curl.err.bytes);
        wt_str_eq(curl.out.bytes, "01234567890123456789");
        kill(server.pid, SIGINT);
    }
    wt_eq(program_wait(&server, PROGRAM_PATIENCE_MS), is_without);
    wt_true(is_without || strstr(server.out.bytes, " 0 failed") != NULL, "%s", server.out.bytes);
    program_free(&curl);
    program_free(&server);
    unlink(cert);
    unlink(key);
    remove_root();
}

/* --- starting --------------------------------------------------------------------------------- */

Test(httpd, a_wrong_usage_is_one_clear_line)
{
    const char *httpd = example("httpd");
    check_usage_error(httpd, "-x");
    check_usage_error(httpd, "-p", "65536");
    check_usage_error(httpd, "-j", "0");
    check_usage_error(httpd, "-c", "0");
    check_usage_error(httpd, "-t", "0");
    check_usage_error(httpd, "-i", "soon");
    check_usage_error(httpd, "-m", "-1");
    check_usage_error(httpd, "7777");
}

Test(httpd, what_it_cannot_have_is_one_clear_line)
{
    struct program server;
    program_start(&server, example("httpd"), "-r", "/nowhere/at/all");
    wt_eq(program_wait(&server, PROGRAM_PATIENCE_MS), 1);
    wt_eq(lines_in(&server.err), 1, "stderr: %s", server.err.bytes);
    program_free(&server);
}
