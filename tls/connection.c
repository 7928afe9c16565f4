/* connection.c: a TLS connection between two streams.
 *
 *            weft_tls_stream: plain text
 *                 |        ^
 *             SSL_write  SSL_read          under `lock`, never while anything suspends
 *                 v        |
 *            `out` BIO   `in` BIO          memory
 *                 |        ^
 *              send_all  receive           suspend: the stream below
 *                 v        |
 *            below: TLS's bytes
 *
 * Bounds. `in` gets more only when SSL_read has eaten what was there: PIECE_BYTES. `out` gets one
 * record at most before it is sent: SSL_write is given RECORD_BYTES at a time.
 *
 * Order. Whoever lets OpenSSL make bytes for the peer sends them before another may: `sending`. The
 * reader makes some too (an alert, an answer to a change of keys). It sends them if nobody else is
 * sending, and else leaves them to that one: it must not wait, for the peer may take nothing before
 * we have read. send_if_free looks again after it has let go, so that nothing is left by both.
 *
 * Memory. What is moved from `out` lies in `room`, which is kept: no flush allocates, once it is as
 * large as the connection's records. Before a reader that holds no buffer waits, it is given back
 * if it is larger than IDLE_BYTES. (OpenSSL's own buffers come and go with each record:
 * SSL_MODE_RELEASE_BUFFERS.)
 *
 * Cancellation. Bytes are moved from `out` to `room` and leave from there; a send that is cut short
 * leaves the rest there, and the next one begins with it. So a record is never torn, and a write
 * that was cancelled, or had no memory, after SSL_write has taken its bytes says that it has
 * written them: who was told otherwise would write them again.
 *
 * Threads. OpenSSL's queue of errors is the thread's, and a task may go on on another thread after
 * any wait: it is read in the same call that found the error (call_ssl). */
#include "tls/tls.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_BYTES 16384 /* of plain text: the largest record of TLS */
#define PIECE_BYTES  16384 /* that are received at once, on the task's stack */
#define IDLE_BYTES   1024  /* of `room` that a connection keeps while it is idle: a short answer */
/* For an alert that says why, when the handshake fails: the peer may be anybody. */
#define ALERT_TIME WEFT_SEC(1)

struct weft_tls {
    /* immutable after new */
    weft_tls_ctx *ctx;
    weft_stream below;
    char host[WF_TLS_HOST_MAX]; /* a client's peer; "": none */

    pthread_mutex_t lock; /* of what follows; never held over a call that may suspend */
    SSL *ssl;
    BIO *in, *out;  /* owned by ssl */
    bool is_ready;  /* the handshake is done */
    char alpn[256]; /* what both chose; "": nothing. Immutable once ready */
    int error;      /* that sticks */
    char words[WEFT_ERROR_TEXT];

    weft_mutex sending;  /* of what follows; held over sends */
    unsigned char *room; /* for what is unsent, kept for the next; NULL: none */
    size_t room_bytes;
    size_t unsent_at, unsent_bytes; /* of room; equal: nothing is unsent */
};

const char *wf_tls_host(const weft_tls *tls)
{
    return tls->host;
}

/* --- new, free -------------------------------------------------------------------------------- */

static bool is_address(const char *host)
{
    unsigned char parsed[16];
    return inet_pton(AF_INET, host, parsed) == 1 || inet_pton(AF_INET6, host, parsed) == 1;
}

/* A client says whom it wants, and has it verified: 0 or -errno. */
static int set_host(weft_tls *tls, const char *host)
{
    size_t n = strlen(host);
    if (n == 0 || n >= sizeof tls->host) {
        return -EINVAL;
    }
    memcpy(tls->host, host, n + 1);
    X509_VERIFY_PARAM *verify = SSL_get0_param(tls->ssl);
    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int ok;
    if (is_address(host)) {
        ok = X509_VERIFY_PARAM_set1_ip_asc(verify, host);
    } else {
        ok = X509_VERIFY_PARAM_set1_host(verify, host, 0) == 1 &&
             SSL_set_tlsext_host_name(tls->ssl, host) == 1;
    }
    if (ok != 1) {
        return -EINVAL;
    }
    SSL_SESSION *session = wf_tls_session_take(tls->ctx, host);
    if (session != NULL) {
        (void)SSL_set_session(tls->ssl, session);
        SSL_SESSION_free(session);
    }
    return 0;
}

static int set_up(weft_tls *tls, const char *host)
{
    tls->ssl = SSL_new(tls->ctx->ssl_ctx);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        return -ENOMEM;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_app_data(tls->ssl, tls);
    if (!tls->ctx->is_client) {
        SSL_set_accept_state(tls->ssl);
        return 0;
    }
    SSL_set_connect_state(tls->ssl);
    if (host != NULL) {
        return set_host(tls, host);
    }
    return tls->ctx->insecure ? 0 : -EINVAL;
}

int weft_tls_new(weft_tls **out, weft_tls_ctx *ctx, weft_stream below, const char *host)
{
    *out = NULL;
    ERR_clear_error();
    weft_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        return -ENOMEM;
    }
    tls->ctx = ctx;
    tls->below = below;
    wf_tls_ctx_ref(ctx);
    (void)pthread_mutex_init(&tls->lock, NULL);
    weft_mutex_init(&tls->sending);
    int rc = set_up(tls, host);
    if (rc < 0) {
        ERR_clear_error();
        weft_tls_free(tls);
        return rc;
    }
    *out = tls;
    return 0;
}

void weft_tls_free(weft_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    if (tls->is_ready && tls->error == 0) {
        /* OpenSSL forgets the session of a connection that was not ended by both; that it may be
         * resumed has nothing to do with that */
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(tls->ssl);
    weft_mutex_fini(&tls->sending);
    (void)pthread_mutex_destroy(&tls->lock);
    weft_tls_ctx_free(tls->ctx);
    free(tls->room);
    free(tls);
}

/* --- OpenSSL ---------------------------------------------------------------------------------- */

enum call { CALL_HANDSHAKE, CALL_READ, CALL_WRITE, CALL_SHUTDOWN };

/* The error that sticks, with its words for the error record. */
static int failure(weft_tls *tls)
{
    return weft_fail(tls->error, "tls: %s", tls->words);
}

static int failure_of(weft_tls *tls, int code, const char *words)
{
    pthread_mutex_lock(&tls->lock);
    if (tls->error == 0) {
        tls->error = code;
        (void)snprintf(tls->words, sizeof tls->words, "%s", words);
    }
    pthread_mutex_unlock(&tls->lock);
    return failure(tls);
}

static int do_call(SSL *ssl, enum call call, void *buffer, int bytes)
{
    switch (call) {
    case CALL_HANDSHAKE:
        return SSL_do_handshake(ssl);
    case CALL_READ:
        return SSL_read(ssl, buffer, bytes);
    case CALL_WRITE:
        return SSL_write(ssl, buffer, bytes);
    default: /* once: a second call would read, and fail at what the peer still says */
        if ((SSL_get_shutdown(ssl) & SSL_SENT_SHUTDOWN) != 0) {
            return 1;
        }
        /* 0: the peer has not said so yet, which is not waited for */
        return SSL_shutdown(ssl) >= 0 ? 1 : -1;
    }
}

static void note_error_locked(weft_tls *tls)
{
    long verified = SSL_get_verify_result(tls->ssl);
    bool is_rejected = verified != X509_V_OK && !tls->is_ready && !tls->ctx->insecure;
    wf_tls_words(tls->words, sizeof tls->words);
    tls->error = is_rejected ? -EKEYREJECTED : -EPROTO;
    if (is_rejected) {
        (void)snprintf(tls->words, sizeof tls->words, "the peer's certificate: %s",
                       X509_verify_cert_error_string(verified));
    }
}

static void note_ready_locked(weft_tls *tls)
{
    const unsigned char *name = NULL;
    unsigned bytes = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &bytes);
    if (bytes > 0 && bytes < sizeof tls->alpn) {
        memcpy(tls->alpn, name, bytes); /* behind it is a NUL */
    }
    tls->is_ready = true;
}

/* > 0: what it returned; 0: the peer has finished; -EAGAIN: it wants to receive; else the error
 * that sticks. Does not suspend. */
static int call_ssl(weft_tls *tls, enum call call, void *buffer, size_t bytes)
{
    int n = bytes < RECORD_BYTES ? (int)bytes : RECORD_BYTES;
    pthread_mutex_lock(&tls->lock);
    int rc = tls->error;
    if (rc == 0 && !tls->is_ready && call != CALL_HANDSHAKE) {
        rc = -ENOTCONN;
    }
    if (rc == 0) {
        ERR_clear_error();
        rc = do_call(tls->ssl, call, buffer, n);
        if (rc <= 0) {
            switch (SSL_get_error(tls->ssl, rc)) {
            case SSL_ERROR_ZERO_RETURN:
                rc = 0;
                break;
            case SSL_ERROR_WANT_READ:
                rc = -EAGAIN;
                break;
            default:
                note_error_locked(tls);
                rc = tls->error;
            }
            ERR_clear_error();
        }
        if (call == CALL_HANDSHAKE && rc == 1 && !tls->is_ready) {
            note_ready_locked(tls);
        }
    }
    pthread_mutex_unlock(&tls->lock);
    return rc;
}

/* What a sender, or a reader that has all it needs, returns for what call_ssl did. */
static int result_of(weft_tls *tls, int rc)
{
    if (rc == -EAGAIN) { /* only with renegotiation, which is off */
        return failure_of(tls, -EPROTO, "it has to receive before it can send");
    }
    return rc < 0 && rc != -ENOTCONN ? failure(tls) : rc;
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool has_output(weft_tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    bool has = BIO_ctrl_pending(tls->out) > 0;
    pthread_mutex_unlock(&tls->lock);
    return has;
}

static bool has_unsent(const weft_tls *tls)
{
    return tls->unsent_at < tls->unsent_bytes;
}

/* Holding `sending`, with nothing unsent: makes room for so much. */
static bool make_room(weft_tls *tls, size_t bytes)
{
    if (bytes > tls->room_bytes) {
        free(tls->room);
        tls->room = malloc(bytes);
        tls->room_bytes = tls->room != NULL ? bytes : 0;
    }
    return tls->room != NULL;
}

/* Holding `sending`, with nothing unsent: takes over what OpenSSL has made. 1: something; 0;
 * -ENOMEM. */
static int take_output(weft_tls *tls)
{
    int rc = 0;
    pthread_mutex_lock(&tls->lock);
    size_t bytes = BIO_ctrl_pending(tls->out);
    if (bytes > 0) {
        rc = make_room(tls, bytes) ? 1 : -ENOMEM;
    }
    if (rc == 1) {
        (void)BIO_read(tls->out, tls->room, (int)bytes);
        tls->unsent_at = 0;
        tls->unsent_bytes = bytes;
    }
    pthread_mutex_unlock(&tls->lock);
    return rc;
}

/* The connection is about to be idle: it gives its memory back, if it is large and nobody is
 * sending. */
static void give_room(weft_tls *tls)
{
    if (weft_mutex_try(&tls->sending) == 0) {
        if (!has_unsent(tls) && tls->room_bytes > IDLE_BYTES) {
            free(tls->room);
            tls->room = NULL;
            tls->room_bytes = 0;
        }
        (void)weft_mutex_unlock(&tls->sending);
    }
}

/* Holding `sending`: what is unsent: 0 or -errno. */
static int send_unsent(weft_tls *tls)
{
    while (has_unsent(tls)) { /* ends: shrinks, or fails */
        ssize_t n = tls->below.ops->write(tls->below.object, tls->room + tls->unsent_at,
                                          tls->unsent_bytes - tls->unsent_at);
        if (n < 0) {
            return (int)n;
        }
        tls->unsent_at += (size_t)n;
    }
    return 0;
}

/* Holding `sending`: all that there is to send. */
static int send_all(weft_tls *tls)
{
    int rc;
    do { /* ends: nobody else makes output for long: see the head of the file */
        rc = send_unsent(tls);
        rc = rc == 0 ? take_output(tls) : rc;
    } while (rc > 0);
    return rc;
}

/* The reader's: what it has made, if nobody is sending. 0, or -ECANCELED. */
static int send_if_free(weft_tls *tls)
{
    int rc = 0;
    /* ends: with the output, or another sender, who looks for more when it has let go */
    while (rc == 0 && has_output(tls) && weft_mutex_try(&tls->sending) == 0) {
        if (has_unsent(tls)) { /* a writer's, who was cancelled: not a reader's to wait for */
            (void)weft_mutex_unlock(&tls->sending);
            break;
        }
        rc = take_output(tls);
        rc = rc > 0 ? send_unsent(tls) : rc;
        (void)weft_mutex_unlock(&tls->sending);
    }
    return rc == -ECANCELED ? rc : 0; /* a peer that takes nothing may still have said something */
}

/* --- receiving -------------------------------------------------------------------------------- */

/* Gives OpenSSL some more of what comes from below: 0 or -errno. Its frame is large, and gone when
 * it returns. */
static __attribute__((noinline)) int receive(weft_tls *tls)
{
    unsigned char piece[PIECE_BYTES];
    ssize_t n = tls->below.ops->read(tls->below.object, piece, sizeof piece);
    if (n < 0) {
        return (int)n;
    }
    if (n == 0) {
        return failure_of(tls, -ECONNABORTED, "the connection was cut, without close_notify");
    }
    pthread_mutex_lock(&tls->lock);
    int written = BIO_write(tls->in, piece, (int)n);
    pthread_mutex_unlock(&tls->lock);
    return written == n ? 0 : failure_of(tls, -ENOMEM, "no memory for what was received");
}

static ssize_t tls_read(void *object, void *buffer, size_t bytes)
{
    weft_tls *tls = object;
    for (;;) { /* ends: with bytes, the end, or an error */
        int n = call_ssl(tls, CALL_READ, buffer, bytes);
        int rc = send_if_free(tls);
        if (n != -EAGAIN) {
            return result_of(tls, n);
        }
        rc = rc == 0 ? receive(tls) : rc;
        if (rc < 0) {
            return rc;
        }
    }
}

static int tls_wait(void *object)
{
    weft_tls *tls = object;
    pthread_mutex_lock(&tls->lock);
    bool is_ready = tls->error != 0 || SSL_has_pending(tls->ssl) == 1 ||
                    BIO_ctrl_pending(tls->in) > 0 ||
                    (SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
    pthread_mutex_unlock(&tls->lock);
    if (is_ready || tls->below.ops->wait == NULL) {
        return 0;
    }
    give_room(tls);
    return tls->below.ops->wait(tls->below.object);
}

/* Of a send: the next one may succeed, and loses nothing. */
static bool is_passing(int error)
{
    return error == -ECANCELED || error == -ENOMEM || error == -ENOBUFS;
}

static ssize_t tls_write(void *object, const void *buffer, size_t bytes)
{
    weft_tls *tls = object;
    int rc = weft_mutex_lock(&tls->sending);
    if (rc < 0) {
        return rc;
    }
    rc = send_all(tls);
    if (rc == 0) {
        rc = call_ssl(tls, CALL_WRITE, (void *)(uintptr_t)buffer, bytes);
        int sent = send_all(tls);
        if (rc > 0 && sent < 0 && !is_passing(sent)) { /* else it is taken, and will be sent */
            rc = sent;
        } else {
            rc = result_of(tls, rc);
        }
    }
    (void)weft_mutex_unlock(&tls->sending);
    (void)send_if_free(tls);
    return rc;
}

weft_stream weft_tls_stream(weft_tls *tls)
{
    static const weft_stream_ops ops = {.read = tls_read, .write = tls_write, .wait = tls_wait};
    return (weft_stream){&ops, tls};
}

/* --- beginning and end ------------------------------------------------------------------------ */

static int shake_hands(weft_tls *tls)
{
    for (;;) { /* ends: with the handshake, or an error */
        int rc = call_ssl(tls, CALL_HANDSHAKE, NULL, 0);
        if (rc < 0 && rc != -EAGAIN) {
            (void)weft_within(ALERT_TIME, send_all(tls));
            return failure(tls);
        }
        int sent = send_all(tls);
        if (rc == 1 || sent < 0) {
            return sent;
        }
        rc = receive(tls);
        if (rc < 0) {
            return rc;
        }
    }
}

int weft_tls_handshake(weft_tls *tls)
{
    int rc = weft_mutex_lock(&tls->sending);
    if (rc < 0) {
        return rc;
    }
    rc = shake_hands(tls);
    (void)weft_mutex_unlock(&tls->sending);
    return rc;
}

int weft_tls_shutdown(weft_tls *tls)
{
    int rc = weft_mutex_lock(&tls->sending);
    if (rc < 0) {
        return rc;
    }
    rc = send_all(tls);
    if (rc == 0) {
        rc = result_of(tls, call_ssl(tls, CALL_SHUTDOWN, NULL, 0));
        int sent = send_all(tls);
        rc = rc < 0 ? rc : sent;
    }
    (void)weft_mutex_unlock(&tls->sending);
    return rc;
}

/* --- looking ---------------------------------------------------------------------------------- */

const char *weft_tls_alpn(weft_tls *tls)
{
    return tls->alpn[0] != '\0' ? tls->alpn : NULL;
}

const char *weft_tls_sni(weft_tls *tls)
{
    return SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
}

int weft_tls_resumed(weft_tls *tls)
{
    return SSL_session_reused(tls->ssl) == 1;
}

struct ssl_st *weft_tls_ssl(weft_tls *tls)
{
    return tls->ssl;
}
