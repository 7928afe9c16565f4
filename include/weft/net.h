/* net.h: sockets beyond the single calls of io.h: addresses as text, listeners, messages with
 * several buffers, addresses or descriptors, datagrams by the batch.
 *
 * What io.h says of all its calls holds here too: any descriptor, task context, buffers that are
 * the kernel's until the call has returned, -ECANCELED and deadlines, no SIGPIPE, no -EINTR. */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include <sys/socket.h>
#include <weft/base.h>
#include <weft/io.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iovec;   /* <sys/uio.h> */
struct mmsghdr; /* <sys/socket.h>, with _GNU_SOURCE */

/* --- addresses -------------------------------------------------------------------------------- */

/* An address of any family, with its length: for calls that take a sockaddr. All zero: none. */
typedef struct weft_addr {
    socklen_t bytes; /* of `storage` that are used */
    struct sockaddr_storage storage;
} weft_addr;

/* Longest text of an address, with its end. */
#define WEFT_ADDR_TEXT 160

/* Reads `text` (NUL-terminated): "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", ":80" (all
 * addresses of this machine, IPv6 and IPv4), "unix:/path", or "unix:@name" (a name in no file
 * system, as Linux has it). Numbers only: names of hosts are for weft_resolve. 0; -EINVAL: none of
 * these; -ERANGE: the port is more than 65535; -ENAMETOOLONG: a path or name of more than 107
 * bytes; -ENODEV: there is no such interface. *out is all zero after a failure. Any thread.
 *
 *     weft_addr address;
 *     int rc = weft_addr_parse(&address, "[::1]:8080"); */
int weft_addr_parse(weft_addr *out, const char *text);

/* Writes the address as weft_addr_parse reads it, NUL-terminated, cut to `bytes`. "unix:" for a
 * Unix socket without a name, "-" for none, "family N" for others. Returns the length that it would
 * have; WEFT_ADDR_TEXT bytes are enough. Any thread. */
int weft_addr_format(const weft_addr *address, char *out, size_t bytes);

/* The port of an IP address, in the machine's byte order; -1: it has none. Any thread. */
int weft_addr_port(const weft_addr *address);

/* The socket's own address, and its peer's. 0, or -EBADF, -ENOTSOCK; -ENOTCONN: no peer (any more).
 * Any thread. */
int weft_addr_local(int fd, weft_addr *out);
int weft_addr_peer(int fd, weft_addr *out);

/* --- names ------------------------------------------------------------------------------------ */

typedef struct weft_resolve_opts {
    int family; /* AF_INET or AF_INET6; 0: both */
    int type;   /* SOCK_DGRAM ...; 0: SOCK_STREAM. Matters to services that have names */
    /* 1: without a host, the address to listen on (all); 0: the one to connect to (loopback) */
    uint8_t passive;
} weft_resolve_opts;

/* Lookups that nobody waits for any more and that have not ended, at most, in one runtime. */
#define WEFT_LOOKUPS_ABANDONED_MAX 16

/* The addresses of `host` (a name or a number: "example.com", "127.0.0.1", "::1"; NULL: this
 * machine) with the port of `service` ("80", "http"; NULL: 0), the best first (RFC 6724), in
 * out[0..max). How many, >= 1. Options as designated initialisers. Numbers are answered at once;
 * for names getaddrinfo runs on a thread that may block, where nothing can interrupt it: a lookup
 * whose caller was cancelled, or came to its deadline, goes on without it, and stopping the runtime
 * waits for it. -ENOENT: no such name, or it has no such address; -EAGAIN: no server answered, or
 * WEFT_LOOKUPS_ABANDONED_MAX have been given up already; -EINVAL: both NULL, max < 1, a host of
 * more than 255 bytes, no such service; -ERANGE: port beyond 65535; -EMFILE, -ENFILE, -ENOMEM,
 * -EIO. With weft_fail, which says what was looked for. May suspend. Task context.
 *
 *     weft_addr addresses[8];
 *     int n = weft_within(WEFT_SEC(5), weft_resolve("example.com", "443", addresses, 8)); */
#define weft_resolve(...) weft_resolve_opts_(__VA_ARGS__, ) /* (host, service, out, max, options) */
#define weft_resolve_opts_(host, service, out, max, ...)                                       \
    weft_resolve_((host), (service), (out), (max), WEFT_OPTS_(weft_resolve_opts, __VA_ARGS__), \
                  WEFT_HERE)
int weft_resolve_(const char *host, const char *service, weft_addr *out, int max,
                  const weft_resolve_opts *opts, const weft_place *place);

/* --- options of connections ------------------------------------------------------------------- */

/* Of TCP unless said otherwise; a field that means nothing for the family is ignored. All zero:
 * what the kernel has as its defaults. */
typedef struct weft_conn_opts {
    uint8_t nodelay;     /* 1: small pieces are sent at once (TCP_NODELAY) */
    int keepalive_count; /* probes without an answer that end it; 0: the system's, mostly 9 */
    /* an idle connection is probed after so long; 0: it is not. Whole seconds, rounded up, 1 to
     * 32767 */
    weft_time keepalive_idle;
    weft_time keepalive_interval; /* between probes; 0: the system's, mostly 75 s. As above */
    /* of the kernel, for each direction; 0: it finds out. All families. Linux doubles them, and
     * cuts them to net.core.rmem_max and wmem_max */
    int recv_bytes, send_bytes;
} weft_conn_opts;

/* Sets them for a socket that is there already. 0, or -errno of setsockopt: -EINVAL, -ENOTSOCK ...
 * Any thread. */
int weft_conn_set(int fd, const weft_conn_opts *opts);

/* --- connecting ------------------------------------------------------------------------------- */

typedef struct weft_connect_opts {
    int family; /* AF_INET or AF_INET6; 0: both */
    /* before the next address is tried beside those that have not answered; 0: 250 ms (RFC 8305) */
    weft_time stagger;
    weft_conn_opts conn;
} weft_connect_opts;

/* Addresses of a host that are tried, at most. */
#define WEFT_CONNECT_ADDRS_MAX 16

/* Connects by TCP to `service` of `host`, both as for weft_resolve: "happy eyeballs". Its addresses
 * are tried in turn, IPv6 and IPv4 alternating; the next one begins when one has failed, or when
 * none has answered for `stagger`. The first connection wins, all others are closed. Its
 * descriptor, which is the caller's, with O_CLOEXEC and without O_NONBLOCK. When all fail: the
 * error that came first, with weft_fail, which says of which address. The errors of weft_resolve.
 * The deadline holds for the whole; there is none by itself, and a host that does not answer takes
 * minutes. May suspend. Task context.
 *
 *     int fd = weft_within(WEFT_SEC(10), weft_connect_to("example.com", "80", .conn.nodelay = 1));
 *     if (fd < 0) {
 *         return fd;
 *     } */
#define weft_connect_to(...) weft_connect_to_opts_(__VA_ARGS__, ) /* (host, service, options) */
#define weft_connect_to_opts_(host, service, ...) \
    weft_connect_to_((host), (service), WEFT_OPTS_(weft_connect_opts, __VA_ARGS__), WEFT_HERE)
int weft_connect_to_(const char *host, const char *service, const weft_connect_opts *opts,
                     const weft_place *place);

/* The same to one address, also of a Unix socket: a descriptor, or -errno of socket and connect.
 * `opts` may be NULL. */
int weft_connect_addr(const weft_addr *to, const weft_conn_opts *opts);

/* --- listeners -------------------------------------------------------------------------------- */

/* A listening socket, or several, from which any number of tasks accept. With io_uring one
 * operation in the kernel accepts all connections (multishot); they wait in the listener until
 * somebody takes them. */
typedef struct weft_listener weft_listener;

/* Connections that are accepted before anybody asks for them: what comes beyond waits in the
 * kernel's backlog. (With io_uring; some more in a burst.) */
#define WEFT_ACCEPT_AHEAD 64

typedef struct weft_listen_opts {
    int backlog;        /* of each socket; 0: 4096. The kernel cuts it to net.core.somaxconn */
    uint8_t reuse_port; /* 1: other sockets with this option may listen on the same address */
    uint8_t v6only;     /* 1: an IPv6 address takes no IPv4 connections; 0: "[::]" takes both */
    /* 1: a Unix socket's file that nobody listens on any more is replaced; 0: -EADDRINUSE then */
    uint8_t replace;
    /* workers that accept, each by a socket of its own (the kernel spreads connections over them by
     * their addresses); 0: one, which is enough but for tens of thousands of connections a second.
     * At most WEFT_LANES_MAX. Not for Unix sockets, which have one */
    int lanes;
    /* a connection is accepted when it has sent something, or after so long; 0: at once. Whole
     * seconds, rounded up */
    weft_time defer;
    weft_conn_opts conn; /* of each connection */
} weft_listen_opts;

#define WEFT_LANES_MAX 64

/* Listens on `address`, as weft_addr_parse reads it (port 0: a free one). *out is the caller's, to
 * be freed; NULL after a failure. Options as designated initialisers. 0; -EADDRINUSE,
 * -EADDRNOTAVAIL, -EACCES ...: of socket, bind, listen; -EINVAL and others of weft_addr_parse;
 * -EINVAL: an option is out of range; -ENOMEM, -EMFILE. Any thread, before a runtime is started
 * too. Cannot suspend.
 *
 *     weft_listener *listener;
 *     int rc = weft_listen(&listener, ":8080", .conn.nodelay = 1);
 *     if (rc < 0) {
 *         return weft_fail(rc, "listen on port 8080");
 *     }
 *     int fd;
 *     while ((fd = weft_listener_accept(listener, NULL)) >= 0) {
 *         if (weft_go(&connections, serve, &fd) < 0) {
 *             weft_close(fd);
 *         }
 *     }
 *     weft_listener_free(listener); */
#define weft_listen(...) weft_listen_opts_(__VA_ARGS__, ) /* (out, address, options) */
#define weft_listen_opts_(out, address, ...) \
    weft_listen_((out), (address), WEFT_OPTS_(weft_listen_opts, __VA_ARGS__))
int weft_listen_(weft_listener **out, const char *address, const weft_listen_opts *opts);

/* Waits for a connection: its descriptor, which is the caller's, with O_CLOEXEC and without
 * O_NONBLOCK. *peer (NULL: not wanted) becomes the peer's address, or none if it has gone
 * meanwhile. Tasks that wait are served in the order in which they came. Also when the scope was
 * cancelled, but somebody had come. A cancelled one takes nothing with it: a connection goes to the
 * next who asks. -ESHUTDOWN: the listener was closed. -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM: nothing
 * to hold a connection with; it stays in the queue, and one of those who wait is told, once; so
 * wait before asking again. -EBUSY: another runtime uses the listener. Others: the socket is
 * broken. May suspend. Task context. */
int weft_listener_accept(weft_listener *listener, weft_addr *peer);

/* Nothing is accepted any more: who waits gets -ESHUTDOWN, connections that nobody has taken are
 * closed, the sockets are closed, and a Unix socket's file is removed. The address is free when
 * this returns. 0; -EALREADY: it was closed before. Not a point of cancellation. Suspends, for
 * microseconds, if it is called in a task; any thread. */
int weft_listener_close(weft_listener *listener);

/* Closes it, if that has not been done, and frees it. Nobody may be in another call on it. NULL is
 * fine. Otherwise as weft_listener_close. */
void weft_listener_free(weft_listener *listener);

/* The address that it listens on, with the port that was chosen. Any thread. */
void weft_listener_addr(const weft_listener *listener, weft_addr *out);

/* Its first socket, which stays the listener's: for options that are not in weft_listen_opts. -1
 * after close. Any thread. */
int weft_listener_fd(const weft_listener *listener);

/* --- messages --------------------------------------------------------------------------------- */

/* As sendmsg(2): several buffers, an address, ancillary data. MSG_NOSIGNAL is added to `flags`. The
 * message and all that it points at are not changed, and may be gone when the call has returned.
 * The bytes sent, perhaps fewer than asked for of a stream. -EMSGSIZE: more than 1024 buffers, or a
 * datagram too long. May suspend. */
ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags);

/* As recvmsg(2), which changes *message: msg_namelen, msg_controllen, msg_flags. MSG_CMSG_CLOEXEC
 * is added. Descriptors that came in msg_control are the caller's, also when the scope was
 * cancelled; those for which there was no room are closed by the kernel (MSG_CTRUNC). The bytes
 * received. May suspend. */
ssize_t weft_recvmsg(int fd, struct msghdr *message, int flags);

/* Sends `count` buffers (0 to IOV_MAX), one after the other, as weft_send does one. The array is
 * not changed. */
ssize_t weft_sendv(int fd, const struct iovec *parts, int count, int flags);

/* All of them (any number), as weft_send_all. */
ssize_t weft_sendv_all(int fd, const struct iovec *parts, int count, int flags);

/* Sends a datagram to *to (NULL: to the peer that the socket is connected to), all of it or
 * nothing. The bytes; -EMSGSIZE: too long; -ECONNREFUSED: of an earlier one. May suspend. */
ssize_t weft_sendto(int fd, const void *buffer, size_t bytes, int flags, const weft_addr *to);

/* Receives a datagram, and its sender's address in *from (NULL: not wanted; none if there is none).
 * The bytes received; a datagram that is longer than `bytes` is cut, unnoticed: with MSG_TRUNC in
 * `flags` the result is its whole length. May suspend.
 *
 *     weft_addr from;
 *     ssize_t n = weft_recvfrom(fd, buffer, sizeof buffer, MSG_TRUNC, &from);
 *     if (n > (ssize_t)sizeof buffer) {
 *         continue; // it was longer
 *     } */
ssize_t weft_recvfrom(int fd, void *buffer, size_t bytes, int flags, weft_addr *from);

/* Sends as many of `count` messages (1 to 1024) as the socket takes at once, waiting until it takes
 * one: as sendmmsg(2). How many, >= 1; msg_len of each of these is what was sent of it. A failure
 * after the first is the next call's. -EINVAL: count. May suspend. */
int weft_send_many(int fd, struct mmsghdr *messages, int count, int flags);

/* Receives up to `count` messages (1 to 1024), waiting for the first only: as recvmmsg(2) with
 * MSG_WAITFORONE. How many, >= 1; of each, msg_len and what weft_recvmsg says. 0: the socket was
 * shut down. -EINVAL: count. May suspend. */
int weft_recv_many(int fd, struct mmsghdr *messages, int count, int flags);

/* --- descriptors over Unix sockets ------------------------------------------------------------ */

#define WEFT_FDS_MAX 253 /* the kernel's SCM_MAX_FD */

/* Sends `bytes` (at least 1) over a Unix socket, and with the first of them `count` descriptors (0
 * to WEFT_FDS_MAX), which stay the caller's too. The bytes sent, perhaps fewer than asked for: the
 * descriptors have gone with them. -EINVAL: bytes or count; -EBADF: one of them is none;
 * -ETOOMANYREFS: too many on their way. May suspend. */
ssize_t weft_send_fds(int fd, const void *buffer, size_t bytes, const int *fds, int count);

/* Receives up to `bytes` (at least 1), and the descriptors that came with them, which are the
 * caller's and have O_CLOEXEC. *count: how many fit into fds, 0 to WEFT_FDS_MAX; becomes how many
 * came. When more came, or the process could not have them all, all are closed, the bytes are
 * received nevertheless, and *count becomes -EMSGSIZE or -EMFILE. The bytes; 0: the peer has
 * finished. May suspend.
 *
 *     int fds[1];
 *     int count = 1;
 *     ssize_t n = weft_recv_fds(channel, &request, sizeof request, fds, &count);
 *     if (n > 0 && count == 1) { ... fds[0] ... } */
ssize_t weft_recv_fds(int fd, void *buffer, size_t bytes, int *fds, int *count);

#ifdef __cplusplus
}
#endif

#endif
