/* context.c: what many connections share: certificates, whom to trust, protocols, sessions.
 *
 * Server: sessions are resumed by tickets, as OpenSSL does by default. Client: OpenSSL hands us
 * each session that it could resume, and we keep one for each of WF_TLS_SESSIONS hosts. A session
 * is only ever made by a handshake that was verified by the same context, so resuming it needs no
 * second look at the certificate. */
#include "tls/tls.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wf_tls_words(char *out, size_t bytes)
{
    unsigned long error = ERR_get_error();
    const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;
    if (reason != NULL) {
        (void)snprintf(out, bytes, "%s", reason);
    } else if (error != 0) {
        ERR_error_string_n(error, out, bytes);
    } else {
        (void)snprintf(out, bytes, "no reason given");
    }
    ERR_clear_error();
}

static int fail(const char *what)
{
    char words[WEFT_ERROR_TEXT];
    wf_tls_words(words, sizeof words);
    return weft_fail(-EINVAL, "tls: %s: %s", what, words);
}

/* --- certificates and keys -------------------------------------------------------------------- */

static bool is_given(const weft_tls_pem *pem)
{
    return pem->file != NULL || pem->bytes != NULL;
}

static BIO *open_pem(const weft_tls_pem *pem)
{
    if (pem->file != NULL) {
        return BIO_new_file(pem->file, "r");
    }
    return pem->size <= INT32_MAX ? BIO_new_mem_buf(pem->bytes, (int)pem->size) : NULL;
}

/* OpenSSL would ask at the terminal. */
static int no_password(char *buffer, int bytes, int writing, void *arg)
{
    (void)buffer, (void)bytes, (void)writing, (void)arg;
    return 0;
}

/* The next certificate; NULL: there is none, and *at_end says whether that is the end or an
 * error. */
static X509 *read_cert(BIO *bio, bool *at_end)
{
    X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
    unsigned long error = ERR_peek_last_error();
    *at_end = cert == NULL && ERR_GET_LIB(error) == ERR_LIB_PEM &&
              ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    return cert;
}

/* This side's own, then the chain. */
static int use_certs(SSL_CTX *ctx, BIO *bio)
{
    bool at_end;
    X509 *cert = read_cert(bio, &at_end);
    if (cert == NULL || SSL_CTX_use_certificate(ctx, cert) != 1) {
        X509_free(cert);
        return fail("the certificate");
    }
    X509_free(cert);
    while ((cert = read_cert(bio, &at_end)) != NULL) { /* ends: with the text */
        if (SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
            X509_free(cert);
            return fail("the certificate's chain");
        }
    }
    ERR_clear_error();
    return at_end ? 0 : fail("the certificate's chain");
}

static int use_key(SSL_CTX *ctx, BIO *bio)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    bool used =
        key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return used ? 0 : fail("the key");
}

static int trust_certs(SSL_CTX *ctx, BIO *bio)
{
    bool at_end;
    int count = 0;
    X509 *cert;
    while ((cert = read_cert(bio, &at_end)) != NULL) { /* ends: with the text */
        int added = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert);
        X509_free(cert);
        if (added != 1) {
            return fail("a trusted certificate");
        }
        count++;
    }
    if (count == 0 || !at_end) {
        return fail("the trusted certificates");
    }
    ERR_clear_error();
    return 0;
}

static int with_pem(SSL_CTX *ctx, const weft_tls_pem *pem, int (*use)(SSL_CTX *, BIO *),
                    const char *what)
{
    BIO *bio = open_pem(pem);
    if (bio == NULL) {
        return fail(what);
    }
    int rc = use(ctx, bio);
    BIO_free(bio);
    return rc;
}

static int use_pems(weft_tls_ctx *ctx, const weft_tls_opts *opts)
{
    SSL_CTX *ssl_ctx = ctx->ssl_ctx;
    int rc = 0;
    if (is_given(&opts->cert) || !ctx->is_client) {
        rc = with_pem(ssl_ctx, &opts->cert, use_certs, "the certificate");
        rc = rc == 0 ? with_pem(ssl_ctx, &opts->key, use_key, "the key") : rc;
    }
    if (rc == 0 && is_given(&opts->ca)) {
        rc = with_pem(ssl_ctx, &opts->ca, trust_certs, "the trusted certificates");
    } else if (rc == 0 && ctx->is_client && !opts->insecure &&
               SSL_CTX_set_default_verify_paths(ssl_ctx) != 1) {
        rc = fail("the system's trusted certificates");
    }
    return rc;
}

/* --- protocols, names ------------------------------------------------------------------------- */

/* Each name behind its length. */
static int copy_alpn(weft_tls_ctx *ctx, const char *const *names)
{
    size_t bytes = 0;
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        size_t n = strlen(names[i]);
        if (n == 0 || n > 255 || bytes + n + 1 > UINT16_MAX) {
            return weft_fail(-EINVAL, "tls: a protocol's name has %zu bytes", n);
        }
        bytes += n + 1;
    }
    if (bytes == 0) {
        return 0;
    }
    ctx->alpn = malloc(bytes);
    if (ctx->alpn == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; names[i] != NULL; i++) {
        size_t n = strlen(names[i]);
        ctx->alpn[ctx->alpn_bytes++] = (unsigned char)n;
        memcpy(ctx->alpn + ctx->alpn_bytes, names[i], n);
        ctx->alpn_bytes += (unsigned)n;
    }
    return 0;
}

/* The server's preference decides; nothing in common ends the handshake, as RFC 7301 wants. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
                       const unsigned char *offered, unsigned offered_bytes, void *arg)
{
    (void)ssl;
    const weft_tls_ctx *ctx = arg;
    unsigned char *chosen = NULL;
    int found = SSL_select_next_proto(&chosen, out_bytes, ctx->alpn, ctx->alpn_bytes, offered,
                                      offered_bytes);
    *out = chosen;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int choose_by_sni(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    const weft_tls_ctx *ctx = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    weft_tls_ctx *other = name != NULL ? ctx->sni(name, ctx->sni_arg) : NULL;
    if (other != NULL) {
        (void)SSL_set_SSL_CTX(ssl, other->ssl_ctx);
    }
    return SSL_TLSEXT_ERR_OK;
}

/* --- sessions --------------------------------------------------------------------------------- */

static struct wf_tls_kept *kept_of(weft_tls_ctx *ctx, const char *host)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *at = host; *at != '\0'; at++) {
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    }
    return &ctx->kept[hash % WF_TLS_SESSIONS];
}

/* A client's handshake, or a ticket after it. 1: the session is ours. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    const weft_tls *tls = SSL_get_app_data(ssl);
    weft_tls_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const char *host = wf_tls_host(tls);
    if (host[0] == '\0' || SSL_SESSION_is_resumable(session) != 1) {
        return 0;
    }
    struct wf_tls_kept *kept = kept_of(ctx, host);
    pthread_mutex_lock(&ctx->lock);
    SSL_SESSION *former = kept->session;
    kept->session = session;
    memcpy(kept->host, host, strlen(host) + 1);
    pthread_mutex_unlock(&ctx->lock);
    SSL_SESSION_free(former);
    return 1;
}

SSL_SESSION *wf_tls_session_take(weft_tls_ctx *ctx, const char *host)
{
    struct wf_tls_kept *kept = kept_of(ctx, host);
    SSL_SESSION *session = NULL;
    pthread_mutex_lock(&ctx->lock);
    if (kept->session != NULL && strcmp(kept->host, host) == 0) {
        session = kept->session;
        kept->session = NULL;
    }
    pthread_mutex_unlock(&ctx->lock);
    return session;
}

/* --- new, free -------------------------------------------------------------------------------- */

static int set_up(weft_tls_ctx *ctx, const weft_tls_opts *opts)
{
    static const unsigned char session_context[] = "weft";
    SSL_CTX *ssl_ctx = ctx->ssl_ctx;
    SSL_CTX_set_app_data(ssl_ctx, ctx);
    (void)SSL_CTX_set_min_proto_version(ssl_ctx,
                                        opts->tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION);
    /* The buffers of an idle connection are given back: 34 KiB. */
    (void)SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    int verify = ctx->is_client        ? (opts->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER)
                 : opts->verify_client ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                       : SSL_VERIFY_NONE;
    SSL_CTX_set_verify(ssl_ctx, verify, NULL);
    int rc = copy_alpn(ctx, opts->alpn);
    if (rc < 0) {
        return rc;
    }
    if (ctx->is_client) {
        (void)SSL_CTX_set_session_cache_mode(ssl_ctx,
                                             SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ssl_ctx, keep_session);
        if (ctx->alpn != NULL &&
            SSL_CTX_set_alpn_protos(ssl_ctx, ctx->alpn, ctx->alpn_bytes) != 0) {
            return -ENOMEM;
        }
    } else {
        (void)SSL_CTX_set_session_id_context(ssl_ctx, session_context, sizeof session_context - 1);
        if (ctx->alpn != NULL) {
            SSL_CTX_set_alpn_select_cb(ssl_ctx, choose_alpn, ctx);
        }
        if (opts->sni != NULL) {
            ctx->sni = opts->sni;
            ctx->sni_arg = opts->sni_arg;
            SSL_CTX_set_tlsext_servername_callback(ssl_ctx, choose_by_sni);
            SSL_CTX_set_tlsext_servername_arg(ssl_ctx, ctx);
        }
    }
    return use_pems(ctx, opts);
}

static int ctx_new(weft_tls_ctx **out, const weft_tls_opts *opts, bool is_client)
{
    static const weft_tls_opts defaults;
    opts = opts != NULL ? opts : &defaults;
    *out = NULL;
    ERR_clear_error();
    weft_tls_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return -ENOMEM;
    }
    ctx->is_client = is_client;
    ctx->insecure = opts->insecure != 0;
    ctx->references = 1;
    (void)pthread_mutex_init(&ctx->lock, NULL);
    ctx->ssl_ctx = SSL_CTX_new(is_client ? TLS_client_method() : TLS_server_method());
    int rc = ctx->ssl_ctx != NULL ? set_up(ctx, opts) : -ENOMEM;
    if (rc < 0) {
        ERR_clear_error();
        weft_tls_ctx_free(ctx);
        return rc;
    }
    *out = ctx;
    return 0;
}

int weft_tls_server_new(weft_tls_ctx **out, const weft_tls_opts *opts)
{
    return ctx_new(out, opts, false);
}

int weft_tls_client_new(weft_tls_ctx **out, const weft_tls_opts *opts)
{
    return ctx_new(out, opts, true);
}

void wf_tls_ctx_ref(weft_tls_ctx *ctx)
{
    pthread_mutex_lock(&ctx->lock);
    ctx->references++;
    pthread_mutex_unlock(&ctx->lock);
}

void weft_tls_ctx_free(weft_tls_ctx *ctx)
{
    if (ctx == NULL) {
        return;
    }
    pthread_mutex_lock(&ctx->lock);
    bool is_last = --ctx->references == 0;
    pthread_mutex_unlock(&ctx->lock);
    if (!is_last) {
        return;
    }
    for (size_t i = 0; i < WF_TLS_SESSIONS; i++) {
        SSL_SESSION_free(ctx->kept[i].session);
    }
    SSL_CTX_free(ctx->ssl_ctx);
    (void)pthread_mutex_destroy(&ctx->lock);
    free(ctx->alpn);
    free(ctx);
}
