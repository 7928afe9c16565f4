/* tls.c: a user's program with TLS, compiled against an installed weft. */
#include <stdio.h>
#include <weft/tls.h>
#include <weft/weft.h>

static int make_client(void *arg)
{
    (void)arg;
    weft_tls_ctx *ctx;
    int rc = weft_tls_client_new(&ctx, &(weft_tls_opts){.insecure = 1});
    weft_tls_ctx_free(ctx);
    return rc;
}

int main(void)
{
    int rc = weft_run(make_client, NULL, .workers = 1);
    if (rc < 0) {
        fprintf(stderr, "weft_tls_client_new: %d\n", rc);
    }
    return rc < 0;
}
