/* tls.h: TLS over a stream, by OpenSSL. A library of its own, weft_tls (weft::tls in CMake,
 * weft_tls in pkg-config), which is built where OpenSSL 3 is.
 *
 * A *context* has what many connections share: certificates, whom to trust, protocols. A
 * *connection* (weft_tls) stands on a stream below, of a socket say, and gives one above, for
 * readers and writers (stream.h). OpenSSL never touches the socket: bytes go through memory, and
 * all waiting is weft's, with its deadlines and cancellation.
 *
 * Peers are verified unless that is turned off by name: a client checks the server's certificate,
 * up to a trusted one, and that it is made out to the host that was wanted.
 *
 * Errors. -EKEYREJECTED: the peer's certificate was not accepted; -EPROTO: TLS failed otherwise,
 * here or there; -ECONNABORTED: the stream below ended without TLS's own end (close_notify), so
 * what was read may have been cut by somebody in between; others are those of the stream below. In
 * a task the error record (weft_last) has OpenSSL's words. They stick: a connection that has failed
 * stays so. -ECANCELED and -ETIME do not, except where a writer says so: each call may be made
 * again and goes on where it was.
 *
 * Of what a peer may begin in the middle: changes of keys (TLS 1.3) are answered and not noticed; a
 * renegotiation (TLS 1.2) is refused, by either side, and the peer told so.
 *
 * A connection's two directions may be used by two tasks at once; each of them by one at a time. */
#ifndef WEFT_TLS_H
#define WEFT_TLS_H

#include <weft/base.h>
#include <weft/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- contexts --------------------------------------------------------------------------------- */

typedef struct weft_tls_ctx weft_tls_ctx;

/* PEM text, in a file or in memory. All zero: none. */
typedef struct weft_tls_pem {
    const char *file;  /* a path; or NULL */
    const void *bytes; /* if there is no file: `size` bytes; or NULL */
    size_t size;
} weft_tls_pem;

/* Which context a server uses for the host `name` that the client wants; NULL: the one that it has
 * (which is also used if the client names none). It must last as long as the connections. Cannot
 * suspend. */
typedef weft_tls_ctx *weft_tls_sni_fn(const char *name, void *arg);

typedef struct weft_tls_opts {
    weft_tls_pem cert; /* of this side, first its own, then those that lead to the trusted one */
    weft_tls_pem key;  /* of it; not encrypted */
    weft_tls_pem ca;   /* whom to trust; none: whom the system does */
    const char *const *alpn; /* protocols, the preferred first, NULL after the last; or NULL */
    int insecure;            /* client. 1: the server's certificate and name are not checked */
    int verify_client;       /* server. 1: clients must have a certificate, of `ca` */
    int tls13_only;          /* 1: no TLS 1.2 */
    weft_tls_sni_fn *sni;    /* server; or NULL */
    void *sni_arg;
} weft_tls_opts;

/* A context for servers (`cert` and `key` are needed) or clients. What opts points to is copied,
 * but for sni_arg. *out is the caller's, to be freed. Reads files, and blocks meanwhile: for the
 * start of a program. Any thread; in a task the error record says what was wrong. 0; -EINVAL: a
 * certificate or key is missing, or cannot be read or used, or a protocol's name is longer than 255
 * bytes; -ENOMEM. *out is NULL then. */
int weft_tls_server_new(weft_tls_ctx **out, const weft_tls_opts *opts);
int weft_tls_client_new(weft_tls_ctx **out, const weft_tls_opts *opts);

/* Connections that use it keep what they need. NULL is fine. Any thread. */
void weft_tls_ctx_free(weft_tls_ctx *ctx);

/* --- connections ------------------------------------------------------------------------------ */

typedef struct weft_tls weft_tls;

/* A connection over `below`, which has to last until weft_tls_free. `host`: the client's peer, a
 * name or an address, for SNI, verification and the choice of a session to resume; needed unless
 * the context is `insecure`; at most 255 bytes. A server's is NULL. *out is the caller's, to be
 * freed. Any thread. 0; -EINVAL: no host, or too long; -ENOMEM. *out is NULL then. */
int weft_tls_new(weft_tls **out, weft_tls_ctx *ctx, weft_stream below, const char *host);

/* Frees it. The stream below is neither ended nor closed. NULL is fine. No call may be using it.
 * Any thread. */
void weft_tls_free(weft_tls *tls);

/* Makes keys with the peer, and verifies it; before anything else. 0; once done, at once. Set a
 * deadline: a peer may say nothing. Computes for up to some ms (RSA), on the task's stack, of which
 * it needs some 20 KiB. May suspend. Task context.
 *
 *     rc = weft_tls_new(&tls, ctx, c->stream, NULL);
 *     rc = rc < 0 ? rc : weft_within(WEFT_SEC(10), weft_tls_handshake(tls));
 *     if (rc == 0) weft_reader_init(&reader, weft_tls_stream(tls), NULL, 0); */
int weft_tls_handshake(weft_tls *tls);

/* The stream of what is said inside. Reads give 0 only after the peer's close_notify. -ENOTCONN
 * before the handshake. Bytes that a cancelled write has taken are sent by the next write, or
 * weft_tls_shutdown. Valid as long as the connection. Any thread. */
weft_stream weft_tls_stream(weft_tls *tls);

/* Says that this side has finished (close_notify), after all that was written; the peer may go on,
 * and be read. 0; once said, at once. May suspend. Task context. */
int weft_tls_shutdown(weft_tls *tls);

/* After the handshake: the protocol that both chose, NUL-terminated; NULL: none. Any thread. Cannot
 * suspend. */
const char *weft_tls_alpn(weft_tls *tls);

/* The name that the client asked for, on the server's side; NULL: none. As weft_tls_alpn. */
const char *weft_tls_sni(weft_tls *tls);

/* 1: the handshake went on from an earlier connection to this host; 0: it did not. As
 * weft_tls_alpn. */
int weft_tls_resumed(weft_tls *tls);

struct ssl_st; /* <openssl/ssl.h>: SSL */

/* OpenSSL's object, for what is not here. While no call on the connection is running; its BIOs and
 * shutdown are ours. */
struct ssl_st *weft_tls_ssl(weft_tls *tls);

#ifdef __cplusplus
}
#endif

#endif
