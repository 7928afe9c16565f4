/* bare_epoll.c: the limit of readiness I/O: a server that is nothing but epoll, one thread:
 * receive, and send at once. Called as servers.h says (echo and http). */
#define _GNU_SOURCE
#include "servers.h"
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX  512
#define LARGE_BYTES 65536 /* one buffer for all: received and sent before anybody else's turn */

static bool http;

static void add(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        close(fd);
    }
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
           0) { /* ends: EAGAIN */
        add(epoll, fd);
    }
}

/* Blocks when the peer does not take it: a client of one's own does. */
static void send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            n -= (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1);
        } else {
            return; /* the next receive says so too */
        }
    }
}

static void serve(int fd)
{
    static char buffer[LARGE_BYTES];
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n > 0 && http) {
        send_all(fd, many_replies(), count_requests(buffer, (size_t)n) * REPLY_BYTES);
    } else if (n > 0) {
        send_all(fd, buffer, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        close(fd);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || (strcmp(argv[1], "echo") != 0 && strcmp(argv[1], "http") != 0)) {
        return 2;
    }
    http = argv[1][0] == 'h';
    int listener = listen_on(atoi(argv[2]), SOCK_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
    add(epoll, listener);
    for (;;) { /* until killed */
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                accept_all(epoll, listener);
            } else {
                serve(events[i].data.fd);
            }
        }
    }
}
