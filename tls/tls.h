/* tls.h: what context.c and connection.c share. This folder is a user of weft: it includes nothing
 * but <weft/...>, OpenSSL and libc. */
#ifndef WF_TLS_H
#define WF_TLS_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <weft/tls.h>
#include <weft/weft.h>

#define WF_TLS_HOST_MAX 256 /* with its NUL */

/* Sessions that a client keeps for resumption, by a hash of the host: a newer one replaces
 * another. */
#define WF_TLS_SESSIONS 64

struct wf_tls_kept {
    SSL_SESSION *session; /* owned; NULL: none */
    char host[WF_TLS_HOST_MAX];
};

struct weft_tls_ctx {
    SSL_CTX *ssl_ctx;
    /* immutable after new */
    bool is_client, insecure;
    unsigned char *alpn; /* as on the wire; NULL: none */
    unsigned alpn_bytes;
    weft_tls_sni_fn *sni;
    void *sni_arg;
    /* any thread */
    pthread_mutex_t lock; /* of what follows; never held over a call that may suspend */
    struct wf_tls_kept kept[WF_TLS_SESSIONS];
    unsigned references; /* connections, and 1 for the program */
};

void wf_tls_ctx_ref(weft_tls_ctx *ctx);
/* A session for this host, which is the caller's; or NULL. Each is given out once: TLS 1.3's
 * tickets are for one use. */
SSL_SESSION *wf_tls_session_take(weft_tls_ctx *ctx, const char *host);
/* The host of a client's connection. */
const char *wf_tls_host(const weft_tls *tls);

/* What OpenSSL's queue of errors says, which is empty afterwards: its first entry, in words. To be
 * called on the thread that made the failing call, before anything suspends. */
void wf_tls_words(char *out, size_t bytes);

#endif
