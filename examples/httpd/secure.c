/* secure.c: https, where weft_tls was built; elsewhere -e is refused. */
#include "httpd.h"
#include <stdio.h>

#ifndef HTTPD_TLS
#define HTTPD_TLS 0
#endif

#if HTTPD_TLS
#include <weft/tls.h>

#define CLOSE_TIME WEFT_SEC(1) /* for a peer to take our goodbye */

static weft_tls_ctx *context;

int secure_start(const char *cert, const char *key)
{
    static const char *const protocols[] = {"http/1.1", NULL};
    return weft_tls_server_new(
        &context, &(weft_tls_opts){.cert.file = cert, .key.file = key, .alpn = protocols});
}

void secure_stop(void)
{
    weft_tls_ctx_free(context);
}

int secure_begin(struct exchange *x)
{
    if (context == NULL) {
        return 0;
    }
    int rc = weft_tls_new(&x->tls, context, x->c->stream, NULL);
    if (rc == 0) {
        rc = weft_within(HEAD_TIME, weft_tls_handshake(x->tls));
        x->stream = weft_tls_stream(x->tls);
    }
    return rc;
}

int secure_goodbye(struct exchange *x)
{
    return x->tls != NULL ? weft_within(CLOSE_TIME, weft_tls_shutdown(x->tls)) : 0;
}

void secure_end(struct exchange *x)
{
    weft_tls_free(x->tls);
}

#else

int secure_start(const char *cert, const char *key)
{
    (void)cert, (void)key;
    return -ENOSYS;
}

void secure_stop(void)
{
}

int secure_begin(struct exchange *x)
{
    (void)x;
    return 0;
}

int secure_goodbye(struct exchange *x)
{
    (void)x;
    return 0;
}

void secure_end(struct exchange *x)
{
    (void)x;
}

#endif
