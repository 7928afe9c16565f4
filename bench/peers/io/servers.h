/* servers.h: what the servers of this folder have in common, and how they are called.
 *
 *     SERVER echo|http|mixed PORT THREADS      serves 127.0.0.1:PORT until it is killed
 *
 * echo   what is received is sent back
 * http   each request (whole, without a body) is answered by REPLY
 * mixed  echo; but a request that begins with LONG_MARK is answered after LONG_MS of computing
 *
 * In C: a listening socket, the reply, the computing. */
#ifndef PEERS_SERVERS_H
#define PEERS_SERVERS_H

#include "clock.h" /* of taskbench */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LONG_MARK    'C'
#define LONG_MS      10
#define BACKLOG      4096
#define BUFFER_BYTES 4096 /* that a server receives into */
#define REPLIES_MAX  64   /* that are sent at once */

#define REPLY \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello world\n"
#define REPLY_BYTES (sizeof REPLY - 1)

/* REPLIES_MAX replies in a row. */
static inline const char *many_replies(void)
{
    static char replies[REPLIES_MAX * REPLY_BYTES];
    if (replies[0] == '\0') {
        for (size_t i = 0; i < REPLIES_MAX; i++) {
            memcpy(replies + i * REPLY_BYTES, REPLY, REPLY_BYTES);
        }
    }
    return replies;
}

/* How many requests end in these bytes, at most REPLIES_MAX. No parser: what measures servers sends
 * requests whole. */
static inline size_t count_requests(const char *bytes, size_t n)
{
    const char *end = bytes + n, *head;
    size_t requests = 0;
    while (requests < REPLIES_MAX &&
           (head = (const char *)memmem(bytes, (size_t)(end - bytes), "\r\n\r\n", 4))) {
        bytes = head + 4;
        requests++;
    }
    return requests;
}

/* Computes, without a system call that waits. */
static inline void compute_long(void)
{
    uint64_t end = tb_now_ns() + LONG_MS * UINT64_C(1000000);
    while (tb_now_ns() < end) {
    }
}

/* Listens on 127.0.0.1:port; ends the program if it cannot. */
static inline int listen_on(int port, int flags)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 || /* for what it accepts */
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

#endif
