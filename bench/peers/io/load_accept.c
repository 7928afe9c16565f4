/* load_accept.c: a connection for each request: connect, send, take the answer, close.
 * `connections` of them at a time, one thread over epoll. The client closes first, so it keeps the
 * TIME_WAIT, and each port for a second or more: SOURCES addresses of its own, all of this
 * machine's loopback, have ports enough. */
#define _GNU_SOURCE
#include "clock.h" /* of taskbench */
#include "load.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX   256
#define SOURCES      8          /* of some 28,000 ports each */
#define FIRST_SOURCE 0x7f000002 /* 127.0.0.2 */

struct visit {
    int fd; /* -1: to be begun */
    bool sent;
    size_t received;
    uint64_t start_ns;
};

struct client {
    struct load *load;
    int epoll;
    struct visit *visits;
    char request[BYTES_MAX];
};

static void send_request(struct client *client, int at)
{
    struct visit *v = &client->visits[at];
    ssize_t n = send(v->fd, client->request, client->load->bytes, MSG_NOSIGNAL);
    v->sent = n == (ssize_t)client->load->bytes;
    if (!v->sent && !(n < 0 && errno == EAGAIN)) { /* a fresh connection has room for all */
        client->load->errors++;
    }
}

/* A socket that connects from one of the sources, from any port that is free for this server. */
static int source_socket(int at)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    source.sin_addr.s_addr = htonl((uint32_t)(FIRST_SOURCE + at % SOURCES));
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) < 0 ||
        bind(fd, (const struct sockaddr *)&source, sizeof source) < 0) {
        fail("socket");
    }
    return fd;
}

static void begin_visit(struct client *client, int at)
{
    struct visit *v = &client->visits[at];
    *v = (struct visit){.start_ns = tb_now_ns()};
    v->fd = source_socket(at);
    if (connect(v->fd, (const struct sockaddr *)&client->load->address,
                sizeof client->load->address) < 0 &&
        errno != EINPROGRESS) {
        fail("connect");
    }
    send_request(client, at); /* over loopback the connection is there at once, mostly */
    struct epoll_event event = {.events = EPOLLIN | (v->sent ? 0u : (unsigned)EPOLLOUT),
                                .data = {.u32 = (uint32_t)at}};
    if (epoll_ctl(client->epoll, EPOLL_CTL_ADD, v->fd, &event) < 0) {
        fail("epoll_ctl");
    }
}

static void end_visit(struct client *client, int at, uint64_t window_ns)
{
    struct visit *v = &client->visits[at];
    close(v->fd);
    v->fd = -1;
    uint64_t now = tb_now_ns();
    if (now >= window_ns) {
        client->load->requests++;
        tb_hist_add(&client->load->latency, now - v->start_ns);
    }
}

static void on_event(struct client *client, const struct epoll_event *event, uint64_t window_ns)
{
    char answer[BYTES_MAX];
    int at = (int)event->data.u32;
    struct visit *v = &client->visits[at];
    if (!v->sent && (event->events & EPOLLOUT)) {
        struct epoll_event answers = {.events = EPOLLIN, .data = {.u32 = (uint32_t)at}};
        send_request(client, at);
        epoll_ctl(client->epoll, EPOLL_CTL_MOD, v->fd, &answers);
    }
    if (!(event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
        return;
    }
    ssize_t n = recv(v->fd, answer, client->load->bytes - v->received, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0 || memcmp(answer, client->request + v->received, (size_t)n) != 0) {
        client->load->errors++;
        return;
    }
    v->received += (size_t)n;
    if (v->received == client->load->bytes) {
        end_visit(client, at, window_ns);
    }
}

/* The window is as in load_requests.c: it begins when we look, and has an answer in it. */
static void visit_all(struct client *client, uint64_t window_ns)
{
    struct epoll_event events[EVENTS_MAX];
    struct load *load = client->load;
    uint64_t now = tb_now_ns(), heard_ns = now, end_ns = 0; /* 0: the window has not begun */
    while ((end_ns == 0 || now < end_ns || load->requests == 0) &&
           load->errors == 0) { /* ends: P.3 */
        if (end_ns == 0 && now >= window_ns) {
            window_ns = now;
            end_ns = now + (uint64_t)(load->seconds * 1e9);
            window_begin(load);
        }
        for (int i = 0; i < load->connections; i++) {
            if (client->visits[i].fd < 0) {
                begin_visit(client, i);
            }
        }
        int n = epoll_wait(client->epoll, events, EVENTS_MAX, 100);
        for (int i = 0; i < n && load->errors == 0; i++) {
            on_event(client, &events[i], window_ns);
        }
        now = tb_now_ns();
        if (n > 0) {
            heard_ns = now;
        } else if (now > heard_ns + SILENCE_NS) {
            errno = ETIMEDOUT;
            fail("the server does not answer");
        }
    }
    window_end(load);
}

void run_accept(struct load *load)
{
    static struct client client;
    client.load = load;
    client.epoll = epoll_create1(EPOLL_CLOEXEC);
    client.visits = calloc((size_t)load->connections, sizeof *client.visits);
    if (client.epoll < 0 || !client.visits) {
        fail("epoll and memory");
    }
    memset(client.request, 'x', load->bytes);
    for (int i = 0; i < load->connections; i++) {
        client.visits[i].fd = -1;
    }
    visit_all(&client, tb_now_ns() + (uint64_t)(load->warm_seconds * 1e9));
}
