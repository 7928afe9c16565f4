/* test_net.c: the client of `taskbench net` against servers that do something wrong, or late
 * (tools/taskbench/net.h). The servers are threads with plain sockets. */
#include "tests/support/wt.h"
#include "net.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What a server does with what it gets; false: closes the connection. */
typedef bool behaviour(int fd, char *buffer, size_t bytes, uint64_t request);

struct server {
    int listener;
    behaviour *behave;
    pthread_t thread;
};

/* One connection, then the end. */
static void *serve(void *arg)
{
    struct server *server = arg;
    char buffer[4096];
    ssize_t n;
    uint64_t request = 0;
    int fd = accept(server->listener, NULL, NULL);
    while (fd >= 0 && (n = recv(fd, buffer, sizeof buffer, 0)) > 0 &&
           server->behave(fd, buffer, (size_t)n, request++)) { /* ends: the client closes */
    }
    close(fd);
    return NULL;
}

static void reply(int fd, const char *text, size_t bytes)
{
    send(fd, text, bytes, MSG_NOSIGNAL);
}

static void no_tick(void *arg, const struct tb_row *row, double fraction)
{
    (void)arg, (void)row, (void)fraction;
}

/* The result of asking such a server over one connection. */
static struct tb_row *ask(struct tb_net *net, behaviour *behave)
{
    static struct tb_row row;
    struct server server = {.behave = behave};
    socklen_t bytes = sizeof net->server;
    net->server = (struct sockaddr_in){.sin_family = AF_INET};
    net->server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    wt_eq(bind(server.listener, (struct sockaddr *)&net->server, bytes), 0);
    wt_eq(listen(server.listener, 1), 0);
    wt_eq(getsockname(server.listener, (struct sockaddr *)&net->server, &bytes), 0);
    wt_eq(pthread_create(&server.thread, NULL, serve, &server), 0);
    net->foreign = true;
    net->connections = 1;
    net->bytes = net->bytes ? net->bytes : 32;
    row = (struct tb_row){.status = TB_ROW_OK};
    tb_net_run(net, NULL, &row, no_tick, NULL);
    pthread_join(server.thread, NULL);
    close(server.listener);
    return &row;
}

static bool echo(int fd, char *buffer, size_t bytes, uint64_t request)
{
    (void)request;
    reply(fd, buffer, bytes);
    return true;
}

Test(net, every_answer_is_counted_and_compared, .timeout = 30)
{
    struct tb_net net = {.kind = TB_NET_ECHO, .seconds = 0.3};
    struct tb_row *row = ask(&net, echo);
    wt_eq(row->status, TB_ROW_OK, "%s", row->reason);
    wt_gt(net.service.n, 0u);
    wt_eq(net.intended.n, net.service.n);
    wt_eq(net.unanswered, 0u);
}

static bool change_a_byte(int fd, char *buffer, size_t bytes, uint64_t request)
{
    buffer[bytes - 1] ^= request == 3;
    reply(fd, buffer, bytes);
    return true;
}

Test(net, one_wrong_byte_is_a_wrong_result, .timeout = 30)
{
    struct tb_net net = {.kind = TB_NET_ECHO, .seconds = 1};
    struct tb_row *row = ask(&net, change_a_byte);
    wt_eq(row->status, TB_ROW_WRONG);
    wt_str_eq(row->reason, "an answer differs from its request");
}

static bool repeat_the_first(int fd, char *buffer, size_t bytes, uint64_t request)
{
    static char first[4096];
    if (request == 0) {
        memcpy(first, buffer, bytes);
    }
    reply(fd, first, bytes);
    return true;
}

Test(net, the_answer_to_another_request_is_a_wrong_result, .timeout = 30)
{
    struct tb_net net = {.kind = TB_NET_ECHO, .seconds = 1};
    wt_str_eq(ask(&net, repeat_the_first)->reason, "an answer differs from its request");
}

static bool close_early(int fd, char *buffer, size_t bytes, uint64_t request)
{
    (void)fd, (void)buffer, (void)bytes;
    return request < 2 && echo(fd, buffer, bytes, request);
}

Test(net, a_closed_connection_is_a_wrong_result, .timeout = 30)
{
    struct tb_net net = {.kind = TB_NET_ECHO, .seconds = 1};
    struct tb_row *row = ask(&net, close_early);
    wt_eq(row->status, TB_ROW_WRONG);
    wt_true(strstr(row->reason, "closed a connection") || strstr(row->reason, "broke"), "%s",
            row->reason);
}

/* --- HTTP ------------------------------------------------------------------------------------- */

#define OK "HTTP/1.1 200 OK\r\n"

static const char *answers[2]; /* to the first request, and to all later ones */

static bool answer(int fd, char *buffer, size_t bytes, uint64_t request)
{
    (void)buffer, (void)bytes;
    const char *text = answers[request > 0];
    reply(fd, text, strlen(text));
    return true;
}

static struct tb_row *ask_http(const char *first, const char *later)
{
    static struct tb_net net;
    answers[0] = first;
    answers[1] = later;
    net = (struct tb_net){.kind = TB_NET_HTTP, .seconds = 0.3};
    return ask(&net, answer);
}

Test(net, http_bodies_must_be_alike_and_heads_need_not, .timeout = 30)
{
    struct tb_row *row = ask_http(OK "Date: 1\r\ncontent-length: 2\r\n\r\nab",
                                  OK "Date: 23\r\nContent-Length:  2\r\n\r\nab");
    wt_eq(row->status, TB_ROW_OK, "%s", row->reason);
    row = ask_http(OK "Content-Length: 2\r\n\r\nab", OK "Content-Length: 2\r\n\r\nac");
    wt_str_eq(row->reason, "an answer differs from what it must be");
    row = ask_http(OK "Content-Length: 2\r\n\r\nab", OK "Content-Length: 1\r\n\r\na");
    wt_str_eq(row->reason, "an answer differs from what it must be");
}

Test(net, what_is_no_http_is_a_wrong_result, .timeout = 30)
{
    wt_str_eq(ask_http("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "")->reason,
              "an answer is not \"HTTP/1.1 200\": \"HTTP/1.1 500\"");
    wt_str_eq(ask_http(OK "\r\n", "")->reason,
              "an answer has no Content-Length, or one beyond 65536");
    wt_str_eq(ask_http(OK "Content-Length: 999999\r\n\r\n", "")->reason,
              "an answer has no Content-Length, or one beyond 65536");
    wt_str_eq(ask_http(OK "Content-Length: -1\r\n\r\n", "")->reason,
              "an answer has no Content-Length, or one beyond 65536");
    wt_str_eq(ask_http(OK "Content-Length: 1\r\n\r\nabc", "")->reason,
              "an answer is longer than it says");
}

/* --- the open loop ---------------------------------------------------------------------------- */

/* Stands still for 0.6 s, once, soon after what counts has begun. */
static bool stall(int fd, char *buffer, size_t bytes, uint64_t request)
{
    if (request == 250) {
        nanosleep(&(struct timespec){0, 600000000}, NULL);
    }
    reply(fd, buffer, bytes);
    return true;
}

/* 1000 requests a second are due for a second; during 0.6 s none is answered, so more than half of
 * them are late by 0.1 s and more, though one alone was slow to be served. A loaded machine makes
 * them later. */
Test(net, a_stall_is_in_the_latency_of_all_that_were_due_in_it, .timeout = 60)
{
    struct tb_net net = {.kind = TB_NET_ECHO, .seconds = 1, .rate = 1000};
    struct tb_row *row = ask(&net, stall);
    wt_eq(row->status, TB_ROW_OK, "%s", row->reason);
    wt_eq(net.intended.n, net.service.n + net.unanswered);
    wt_ge(net.intended.n, 999u);
    wt_le(net.intended.n, 1001u);
    wt_ge(tb_hist_at(&net.intended, 0.6), 100000000u);
    wt_ge(net.service.max, 600000000u);
    wt_le(tb_hist_at(&net.service, 0.5), tb_hist_at(&net.intended, 0.5));
}

static bool answer_none(int fd, char *buffer, size_t bytes, uint64_t request)
{
    if (request < 10) {
        reply(fd, buffer, bytes);
    }
    return true;
}

Test(net, what_was_never_answered_counts_with_the_time_it_waited, .timeout = 60)
{
    struct tb_net net = {
        .kind = TB_NET_ECHO, .seconds = 0.2, .rate = 1000, .poisson = true, .seed = 3};
    struct tb_row *row = ask(&net, answer_none);
    wt_eq(row->status, TB_ROW_SKIPPED);
    wt_str_eq(row->reason, "no answer came in that time");
    wt_gt(net.unanswered, 100u);
    wt_eq(net.intended.n, net.service.n + net.unanswered);
    wt_ge(net.intended.max, TB_NET_GRACE_NS);
}
