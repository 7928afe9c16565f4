/* TLS: both sides get what the other said; who is not who was wanted is refused; a cut is not an
 * end; nothing is lost by a cancellation. Certificates are made here, by libcrypto. */
#include "pattern.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <signal.h>
#include <weft/file.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/proc.h>
#include <weft/tls.h>
#include <weft/weft.h>

/* --- certificates ----------------------------------------------------------------------------- */

struct identity {
    EVP_PKEY *key;
    X509 *cert;
    char *cert_pem, *key_pem; /* NUL-terminated */
};

static char *text_of(BIO *bio)
{
    char *bytes;
    long n = BIO_get_mem_data(bio, &bytes);
    char *text = calloc(1, (size_t)n + 1);
    memcpy(text, bytes, (size_t)n);
    BIO_free(bio);
    return text;
}

static void add_extension(X509 *cert, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    wt_true(extension != NULL);
    wt_eq(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Of `names` ("DNS:a,IP:1.2.3.4"; NULL: an authority), signed by `issuer` (NULL: itself), and good
 * from so many seconds on for an hour. */
static struct identity identity_new(const char *names, const struct identity *issuer, long from_s)
{
    static long serial = 1;
    struct identity it = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    wt_true(it.key != NULL && it.cert != NULL);
    X509 *above = issuer != NULL ? issuer->cert : it.cert;
    X509_set_version(it.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(it.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(it.cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(it.cert), from_s + 3600);
    X509_set_pubkey(it.cert, it.key);
    X509_NAME *subject = X509_get_subject_name(it.cert);
    X509_NAME_add_entry_by_txt(
        subject, "CN", MBSTRING_ASC,
        (const unsigned char *)(names != NULL ? "weft test" : "weft test CA"), -1, -1, 0);
    X509_set_issuer_name(it.cert, X509_get_subject_name(above));
    add_extension(it.cert, above, NID_basic_constraints,
                  names != NULL ? "CA:FALSE" : "critical,CA:TRUE");
    if (names != NULL) {
        add_extension(it.cert, above, NID_subject_alt_name, names);
    }
    wt_gt(X509_sign(it.cert, issuer != NULL ? issuer->key : it.key, EVP_sha256()), 0);
    BIO *cert = BIO_new(BIO_s_mem());
    BIO *key = BIO_new(BIO_s_mem());
    wt_eq(PEM_write_bio_X509(cert, it.cert), 1);
    wt_eq(PEM_write_bio_PrivateKey(key, it.key, NULL, NULL, 0, NULL, NULL), 1);
    it.cert_pem = text_of(cert);
    it.key_pem = text_of(key);
    return it;
}

static void identity_free(struct identity *it)
{
    X509_free(it->cert);
    EVP_PKEY_free(it->key);
    free(it->cert_pem);
    free(it->key_pem);
}

static weft_tls_pem pem_of(const char *text)
{
    return (weft_tls_pem){.bytes = text, .size = strlen(text)};
}

/* --- both sides ------------------------------------------------------------------------------- */

/* What most tests need: an authority, a server of "localhost" and 127.0.0.1, two ends of a
 * socket. */
struct rig {
    struct identity ca, server;
    weft_tls_ctx *server_ctx, *client_ctx;
    weft_tls *near, *far; /* the client; the server */
    int fds[2];           /* of them */
    int far_rc;
};

static void sockets_new(int fds[2])
{
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static weft_tls_ctx *server_of(const struct identity *it, weft_tls_opts opts)
{
    weft_tls_ctx *ctx;
    opts.cert = pem_of(it->cert_pem);
    opts.key = pem_of(it->key_pem);
    wt_eq(weft_tls_server_new(&ctx, &opts), 0);
    return ctx;
}

static weft_tls_ctx *client_of(const struct identity *ca, weft_tls_opts opts)
{
    weft_tls_ctx *ctx;
    if (ca != NULL) {
        opts.ca = pem_of(ca->cert_pem);
    }
    wt_eq(weft_tls_client_new(&ctx, &opts), 0);
    return ctx;
}

static void rig_init(struct rig *rig, weft_tls_opts server, weft_tls_opts client)
{
    *rig = (struct rig){.ca = identity_new(NULL, NULL, -60)};
    rig->server = identity_new("DNS:localhost,IP:127.0.0.1", &rig->ca, -60);
    rig->server_ctx = server_of(&rig->server, server);
    rig->client_ctx = client_of(&rig->ca, client);
}

static void rig_free(struct rig *rig)
{
    weft_tls_ctx_free(rig->server_ctx);
    weft_tls_ctx_free(rig->client_ctx);
    identity_free(&rig->server);
    identity_free(&rig->ca);
}

static int shake_far(void *arg)
{
    struct rig *rig = arg;
    rig->far_rc = weft_tls_handshake(rig->far);
    if (rig->far_rc < 0) {
        weft_shutdown(rig->fds[1], SHUT_RDWR); /* as one would: the peer must not wait for more */
    }
    return 0;
}

/* Both handshakes, over a new pair of sockets: the client's result; the server's is rig->far_rc. */
static int connect_to(struct rig *rig, const char *host)
{
    sockets_new(rig->fds);
    wt_eq(weft_tls_new(&rig->near, rig->client_ctx, weft_stream_socket(rig->fds[0]), host), 0);
    wt_eq(weft_tls_new(&rig->far, rig->server_ctx, weft_stream_socket(rig->fds[1]), NULL), 0);
    weft_task far;
    wt_eq(weft_spawn(&far, shake_far, rig), 0);
    int rc = weft_tls_handshake(rig->near);
    if (rc < 0) {
        weft_shutdown(rig->fds[0], SHUT_RDWR);
    }
    wt_eq(weft_await(&far), 0);
    return rc;
}

static void disconnect(struct rig *rig)
{
    weft_tls_free(rig->near);
    weft_tls_free(rig->far);
    weft_close(rig->fds[0]);
    weft_close(rig->fds[1]);
}

static ssize_t tls_send(weft_tls *tls, const void *bytes, size_t n)
{
    weft_stream stream = weft_tls_stream(tls);
    return stream.ops->write(stream.object, bytes, n);
}

static ssize_t tls_recv(weft_tls *tls, void *bytes, size_t n)
{
    weft_stream stream = weft_tls_stream(tls);
    return stream.ops->read(stream.object, bytes, n);
}

static void expect_talk(struct rig *rig)
{
    char got[8] = "";
    wt_eq(tls_send(rig->near, "hello", 5), 5);
    wt_eq(tls_recv(rig->far, got, sizeof got), 5);
    wt_mem_eq(got, "hello", 5);
    wt_eq(tls_send(rig->far, "world", 5), 5);
    wt_eq(tls_recv(rig->near, got, sizeof got), 5);
    wt_mem_eq(got, "world", 5);
}

static void expect_words(const char *words)
{
    const weft_error *error = weft_last();
    wt_true(error != NULL);
    wt_true(strstr(error->text, words) != NULL, "%s", error->text);
}

TaskTest(tls, each_side_gets_what_the_other_said_and_its_end, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    for (int i = 0; i < 2; i++) {
        char c;
        wt_eq(connect_to(&rig, hosts[i]), 0);
        wt_eq(rig.far_rc, 0);
        expect_talk(&rig);
        wt_eq(weft_tls_handshake(rig.near), 0, "once more: nothing happens");
        wt_eq(weft_tls_shutdown(rig.near), 0);
        wt_eq(tls_recv(rig.far, &c, 1), 0);
        wt_eq(tls_recv(rig.far, &c, 1), 0);
        wt_eq(tls_send(rig.far, "last words", 10), 10); /* the other direction goes on */
        char got[16];
        wt_eq(tls_recv(rig.near, got, sizeof got), 10);
        wt_eq(weft_tls_shutdown(rig.far), 0);
        wt_eq(tls_recv(rig.near, &c, 1), 0);
        wt_true(weft_tls_alpn(rig.near) == NULL);
        disconnect(&rig);
    }
    rig_free(&rig);
    return 0;
}

TaskTest(tls, before_the_handshake_nothing_is_said, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    sockets_new(rig.fds);
    wt_eq(weft_tls_new(&rig.near, rig.client_ctx, weft_stream_socket(rig.fds[0]), "localhost"), 0);
    char c;
    wt_eq(tls_send(rig.near, "x", 1), -ENOTCONN);
    wt_eq(tls_recv(rig.near, &c, 1), -ENOTCONN);
    wt_eq(weft_tls_shutdown(rig.near), -ENOTCONN);
    wt_eq(recv(rig.fds[1], &c, 1, MSG_DONTWAIT), -1);
    weft_tls_free(rig.near);
    weft_close(rig.fds[0]);
    weft_close(rig.fds[1]);
    rig_free(&rig);
    return 0;
}

/* --- a shutdown that is cut short ------------------------------------------------------------- */

/* A socket; its next `cuts` writes are cut short, with `error`. */
struct cutting {
    int fd;
    int cuts, error;
};

static ssize_t read_below(void *object, void *buffer, size_t bytes)
{
    return weft_recv(((struct cutting *)object)->fd, buffer, bytes, 0);
}

static ssize_t write_below(void *object, const void *buffer, size_t bytes)
{
    struct cutting *it = object;
    return it->cuts > 0 ? (it->cuts--, it->error) : weft_send(it->fd, buffer, bytes, 0);
}

static void connect_cutting(struct rig *rig, struct cutting *it)
{
    rig_init(rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    sockets_new(rig->fds);
    static const weft_stream_ops ops = {.read = read_below, .write = write_below};
    *it = (struct cutting){.fd = rig->fds[0]};
    wt_eq(weft_tls_new(&rig->near, rig->client_ctx, (weft_stream){&ops, it}, "localhost"), 0);
    wt_eq(weft_tls_new(&rig->far, rig->server_ctx, weft_stream_socket(rig->fds[1]), NULL), 0);
    weft_task far;
    wt_eq(weft_spawn(&far, shake_far, rig), 0);
    wt_eq(weft_tls_handshake(rig->near), 0);
    wt_eq(weft_await(&far), 0);
    expect_talk(rig);
}

/* Its bytes are in a record, which the next write sends first: who is told an error writes them
 * again. */
TaskTest(tls, a_write_that_took_its_bytes_and_could_not_send_has_written_them, 2)
{
    static const int errors[] = {-ECANCELED, -ENOMEM, -ENOBUFS};
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        struct cutting it;
        connect_cutting(&rig, &it);
        it.cuts = 1;
        it.error = errors[i];
        wt_eq(tls_send(rig.near, "one", 3), 3, "%d", errors[i]);
        it.cuts = 1;
        wt_eq(tls_send(rig.near, "two", 3), errors[i], "nothing of it is taken");
        wt_eq(tls_send(rig.near, "two", 3), 3);
        wt_eq(weft_tls_shutdown(rig.near), 0);
        char got[16] = "";
        int n = 0, more;
        while ((more = (int)tls_recv(rig.far, got + n, sizeof got - (size_t)n)) > 0) {
            n += more; /* ends: with what the other end has sent */
        }
        wt_eq(more, 0);
        wt_str_eq(got, "onetwo");
        disconnect(&rig);
        rig_free(&rig);
    }
    return 0;
}

TaskTest(tls, a_shutdown_that_was_cut_short_may_be_made_again_and_so_may_any, 2)
{
    struct rig rig;
    struct cutting it;
    connect_cutting(&rig, &it);
    wt_eq(tls_send(rig.far, "later", 5), 5); /* it has not been read when it is looked for an end */
    it.cuts = 1;
    it.error = -ECANCELED;
    wt_eq(weft_tls_shutdown(rig.near), -ECANCELED);
    for (int i = 0; i < 2; i++) {
        wt_eq(weft_tls_shutdown(rig.near), 0, "time %d", i);
    }
    char got[8];
    wt_eq(tls_recv(rig.far, got, 1), 0);
    wt_eq(tls_recv(rig.near, got, sizeof got), 5); /* the other direction goes on */
    wt_eq(weft_tls_shutdown(rig.far), 0);
    wt_eq(tls_recv(rig.near, got, 1), 0);
    wt_eq(weft_tls_shutdown(rig.near), 0);
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

/* --- verification ----------------------------------------------------------------------------- */

/* A client that trusts `ca` meets a server that is `it`, and wants localhost: the client's
 * result. */
static int meet(const struct identity *ca, const struct identity *it, const char *words)
{
    struct rig rig = {.server_ctx = server_of(it, (weft_tls_opts){0}),
                      .client_ctx = client_of(ca, (weft_tls_opts){.insecure = ca == NULL})};
    int rc = connect_to(&rig, "localhost");
    if (rc < 0) {
        expect_words(words);
        wt_eq(rig.far_rc, -EPROTO, "the server is told");
    }
    disconnect(&rig);
    weft_tls_ctx_free(rig.server_ctx);
    weft_tls_ctx_free(rig.client_ctx);
    return rc;
}

TaskTest(tls, a_server_that_is_not_the_one_that_was_wanted_is_refused, 2)
{
    struct identity ca = identity_new(NULL, NULL, -60);
    struct identity other_ca = identity_new(NULL, NULL, -60);
    struct identity good = identity_new("DNS:localhost", &ca, -60);
    struct identity other = identity_new("DNS:elsewhere", &ca, -60);
    struct identity wild = identity_new("DNS:*.example,DNS:l*host", &ca, -60);
    struct identity expired = identity_new("DNS:localhost", &ca, -7200);
    struct identity early = identity_new("DNS:localhost", &ca, 3600);
    struct identity itself = identity_new("DNS:localhost", NULL, -60);
    wt_eq(meet(&ca, &good, ""), 0);
    wt_eq(meet(&ca, &other, "hostname mismatch"), -EKEYREJECTED);
    wt_eq(meet(&ca, &wild, "hostname mismatch"), -EKEYREJECTED);
    wt_eq(meet(&ca, &expired, "expired"), -EKEYREJECTED);
    wt_eq(meet(&ca, &early, "not yet valid"), -EKEYREJECTED);
    wt_eq(meet(&ca, &itself, "self-signed"), -EKEYREJECTED);
    wt_eq(meet(&other_ca, &good, ""), -EKEYREJECTED);
    wt_eq(meet(NULL, &other, ""), 0, "but not by an insecure client");
    wt_eq(meet(NULL, &expired, ""), 0);
    wt_eq(meet(NULL, &itself, ""), 0);
    identity_free(&ca);
    identity_free(&other_ca);
    identity_free(&good);
    identity_free(&other);
    identity_free(&wild);
    identity_free(&expired);
    identity_free(&early);
    identity_free(&itself);
    return 0;
}

TaskTest(tls, whom_nobody_trusts_by_name_is_not_trusted_by_default, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    weft_tls_ctx_free(rig.client_ctx);
    rig.client_ctx = client_of(NULL, (weft_tls_opts){0}); /* the system's authorities */
    wt_eq(connect_to(&rig, "localhost"), -EKEYREJECTED);
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

TaskTest(tls, a_client_has_to_say_whom_it_wants, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    char host[300];
    memset(host, 'x', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    weft_memory memory = {.in = NULL};
    weft_stream stream = weft_stream_memory(&memory);
    wt_eq(weft_tls_new(&rig.near, rig.client_ctx, stream, NULL), -EINVAL);
    wt_true(rig.near == NULL);
    wt_eq(weft_tls_new(&rig.near, rig.client_ctx, stream, ""), -EINVAL);
    wt_eq(weft_tls_new(&rig.near, rig.client_ctx, stream, host), -EINVAL);
    rig_free(&rig);
    return 0;
}

TaskTest(tls, a_server_may_ask_who_its_clients_are, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    weft_tls_ctx_free(rig.server_ctx);
    weft_tls_opts asks = {.verify_client = 1, .ca = pem_of(rig.ca.cert_pem)};
    rig.server_ctx = server_of(&rig.server, asks);
    (void)connect_to(&rig, "localhost"); /* in TLS 1.3 a client hears of it when it reads */
    wt_eq(rig.far_rc, -EPROTO);
    disconnect(&rig);

    struct identity me = identity_new("DNS:me", &rig.ca, -60);
    weft_tls_ctx_free(rig.client_ctx);
    rig.client_ctx =
        client_of(&rig.ca, (weft_tls_opts){.cert = pem_of(me.cert_pem), .key = pem_of(me.key_pem)});
    wt_eq(connect_to(&rig, "localhost"), 0);
    wt_eq(rig.far_rc, 0);
    expect_talk(&rig);
    disconnect(&rig);
    identity_free(&me);
    rig_free(&rig);
    return 0;
}

TaskTest(tls, certificates_that_cannot_be_used_are_refused_with_words, 1)
{
    struct identity ca = identity_new(NULL, NULL, -60);
    struct identity one = identity_new("DNS:one", &ca, -60);
    struct identity two = identity_new("DNS:two", &ca, -60);
    weft_tls_ctx *ctx;
    weft_tls_opts opts = {.cert = pem_of(one.cert_pem)};
    wt_eq(weft_tls_server_new(&ctx, &opts), -EINVAL);
    wt_true(ctx == NULL);
    opts.key = pem_of(two.key_pem);
    wt_eq(weft_tls_server_new(&ctx, &opts), -EINVAL);
    expect_words("key values mismatch");
    wt_eq(weft_tls_server_new(&ctx, &(weft_tls_opts){0}), -EINVAL);
    opts = (weft_tls_opts){.cert = pem_of("nonsense"), .key = pem_of(one.key_pem)};
    wt_eq(weft_tls_server_new(&ctx, &opts), -EINVAL);
    wt_eq(weft_tls_server_new(&ctx,
                              &(weft_tls_opts){.cert.file = "/nowhere", .key.file = "/nowhere"}),
          -EINVAL);
    wt_eq(weft_tls_client_new(&ctx, &(weft_tls_opts){.ca = pem_of("nonsense")}), -EINVAL);
    static const char *const empty[] = {"", NULL};
    wt_eq(weft_tls_client_new(&ctx, &(weft_tls_opts){.alpn = empty}), -EINVAL);
    wt_eq(ERR_peek_error(), 0, "nothing is left for the next one");
    weft_tls_ctx_free(NULL);
    weft_tls_free(NULL);
    identity_free(&ca);
    identity_free(&one);
    identity_free(&two);
    return 0;
}

/* --- choices ---------------------------------------------------------------------------------- */

static const char *const http[] = {"h2", "http/1.1", NULL};
static const char *const old_http[] = {"http/1.1", NULL};
static const char *const mail[] = {"imap", NULL};

TaskTest(tls, both_choose_a_protocol_or_part, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){.alpn = http}, (weft_tls_opts){.alpn = old_http});
    wt_eq(connect_to(&rig, "localhost"), 0);
    wt_str_eq(weft_tls_alpn(rig.near), "http/1.1");
    wt_str_eq(weft_tls_alpn(rig.far), "http/1.1");
    disconnect(&rig);
    weft_tls_ctx_free(rig.client_ctx);
    rig.client_ctx = client_of(&rig.ca, (weft_tls_opts){.alpn = http});
    wt_eq(connect_to(&rig, "localhost"), 0);
    wt_str_eq(weft_tls_alpn(rig.near), "h2");
    disconnect(&rig);
    weft_tls_ctx_free(rig.client_ctx);
    rig.client_ctx = client_of(&rig.ca, (weft_tls_opts){.alpn = mail});
    wt_eq(connect_to(&rig, "localhost"), -EPROTO);
    expect_words("no application protocol");
    wt_eq(rig.far_rc, -EPROTO);
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

static weft_tls_ctx *second_ctx;

static weft_tls_ctx *choose(const char *name, void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return strcmp(name, "second") == 0 ? second_ctx : NULL;
}

TaskTest(tls, the_name_that_is_wanted_chooses_the_certificate, 2)
{
    atomic_int asked = 0;
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){.sni = choose, .sni_arg = &asked}, (weft_tls_opts){0});
    struct identity second = identity_new("DNS:second", &rig.ca, -60);
    second_ctx = server_of(&second, (weft_tls_opts){0});
    wt_eq(connect_to(&rig, "second"), 0);
    wt_str_eq(weft_tls_sni(rig.far), "second");
    expect_talk(&rig);
    disconnect(&rig);
    wt_eq(connect_to(&rig, "localhost"), 0);
    disconnect(&rig);
    wt_eq(connect_to(&rig, "third"), -EKEYREJECTED);
    disconnect(&rig);
    wt_eq(atomic_load(&asked), 3);
    wt_eq(connect_to(&rig, "127.0.0.1"), 0, "an address is no name");
    disconnect(&rig);
    wt_eq(atomic_load(&asked), 3);
    weft_tls_ctx_free(second_ctx);
    identity_free(&second);
    rig_free(&rig);
    return 0;
}

TaskTest(tls, the_second_connection_resumes_the_first, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    for (int i = 0; i < 3; i++) {
        wt_eq(connect_to(&rig, "localhost"), 0);
        wt_eq(weft_tls_resumed(rig.near), i > 0, "connection %d", i);
        wt_eq(weft_tls_resumed(rig.far), i > 0);
        expect_talk(&rig); /* the ticket comes with the first bytes */
        disconnect(&rig);
    }
    wt_eq(connect_to(&rig, "127.0.0.1"), 0);
    wt_eq(weft_tls_resumed(rig.near), 0, "another host");
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

/* --- peers that misbehave --------------------------------------------------------------------- */

TaskTest(tls, a_connection_that_is_cut_has_not_ended, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    wt_eq(connect_to(&rig, "localhost"), 0);
    char got[16];
    wt_eq(tls_send(rig.far, "some of it", 10), 10);
    weft_shutdown(rig.fds[1], SHUT_RDWR);
    wt_eq(tls_recv(rig.near, got, sizeof got), 10);
    wt_eq(tls_recv(rig.near, got, sizeof got), -ECONNABORTED);
    expect_words("cut");
    wt_eq(tls_recv(rig.near, got, sizeof got), -ECONNABORTED, "and stays so");
    weft_reader reader;
    weft_reader_init(&reader, weft_tls_stream(rig.near), NULL, 0);
    wt_eq(weft_reader_read(&reader, got, 1), -ECONNABORTED, "for a reader too");
    weft_reader_fini(&reader);
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

TaskTest(tls, what_is_no_tls_is_refused, 2)
{
    static const char *const nonsense[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "\x16\x03\x01\xff\xff garbage", "\x80\x80\x01"};
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    for (size_t i = 0; i < 3; i++) {
        sockets_new(rig.fds);
        wt_eq(weft_tls_new(&rig.far, rig.server_ctx, weft_stream_socket(rig.fds[1]), NULL), 0);
        size_t n = strlen(nonsense[i]);
        wt_eq(weft_send_all(rig.fds[0], nonsense[i], n, 0), n);
        weft_shutdown(rig.fds[0], SHUT_WR);
        int rc = weft_tls_handshake(rig.far);
        wt_true(rc == -EPROTO || rc == -ECONNABORTED, "%d", rc);
        wt_eq(weft_tls_handshake(rig.far), rc, "it stays so");
        weft_tls_free(rig.far);
        weft_close(rig.fds[0]);
        weft_close(rig.fds[1]);
    }
    rig_free(&rig);
    return 0;
}

TaskTest(tls, bytes_that_were_changed_on_the_way_are_refused, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    wt_eq(connect_to(&rig, "localhost"), 0);
    wt_eq(tls_send(rig.far, "x", 1), 1); /* and two tickets before it */
    char record[8192];
    ssize_t n = weft_recv(rig.fds[0], record, sizeof record, 0);
    wt_gt(n, 0);
    record[n - 1] ^= 1;
    wt_eq(weft_send_all(rig.fds[1], record, (size_t)n, 0), n);
    char c;
    wt_eq(tls_recv(rig.near, &c, 1), -EPROTO);
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

TaskTest(tls, keys_are_not_negotiated_again_by_either_side, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    sockets_new(rig.fds);
    wt_eq(weft_tls_new(&rig.near, rig.client_ctx, weft_stream_socket(rig.fds[0]), "localhost"), 0);
    wt_eq(weft_tls_new(&rig.far, rig.server_ctx, weft_stream_socket(rig.fds[1]), NULL), 0);
    wt_eq(SSL_set_max_proto_version(weft_tls_ssl(rig.near), TLS1_2_VERSION), 1);
    weft_task far;
    wt_eq(weft_spawn(&far, shake_far, &rig), 0);
    wt_eq(weft_tls_handshake(rig.near), 0);
    wt_eq(weft_await(&far), 0);
    wt_str_eq(SSL_get_version(weft_tls_ssl(rig.near)), "TLSv1.2");
    wt_eq(SSL_renegotiate(weft_tls_ssl(rig.near)), 0);
    ERR_clear_error();
    expect_talk(&rig);
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

TaskTest(tls, keys_are_changed_on_the_way_without_anybody_noticing, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){.tls13_only = 1}, (weft_tls_opts){0});
    wt_eq(connect_to(&rig, "localhost"), 0);
    for (int i = 0; i < 9; i++) {
        if (i % 3 != 1) {
            wt_eq(SSL_key_update(weft_tls_ssl(rig.near), SSL_KEY_UPDATE_REQUESTED), 1);
        }
        if (i % 3 != 0) { /* the server, or both at once */
            wt_eq(SSL_key_update(weft_tls_ssl(rig.far), SSL_KEY_UPDATE_REQUESTED), 1);
        }
        expect_talk(&rig); /* the answer to it is the reader's to send */
    }
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

/* A peer with OpenSSL alone, on a thread, that wants new keys in the middle of a TLS 1.2
 * connection. */
struct insistent {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    int got; /* of its attempt */
};

static int insist(void *arg)
{
    struct insistent *peer = arg;
    char byte;
    wt_eq(SSL_set_fd(peer->ssl, peer->fd), 1);
    wt_eq(SSL_do_handshake(peer->ssl), 1);
    wt_eq(SSL_write(peer->ssl, "a", 1), 1);
    wt_eq(SSL_read(peer->ssl, &byte, 1), 1);
    wt_eq(SSL_renegotiate(peer->ssl), 1);
    peer->got = SSL_do_handshake(peer->ssl); /* a server has only asked by then */
    if (peer->got == 1) {
        peer->got = SSL_read(peer->ssl, &byte, 1);
    }
    ERR_clear_error();
    weft_shutdown(peer->fd, SHUT_RDWR);
    return 0;
}

static int insist_on_a_thread(void *arg)
{
    return weft_blocking(insist, arg);
}

static void meet_insistent(struct rig *rig, bool is_client)
{
    struct insistent peer = {.ctx = SSL_CTX_new(TLS_method())};
    wt_eq(SSL_CTX_set_max_proto_version(peer.ctx, TLS1_2_VERSION), 1);
    wt_eq(SSL_CTX_use_certificate(peer.ctx, rig->server.cert), 1);
    wt_eq(SSL_CTX_use_PrivateKey(peer.ctx, rig->server.key), 1);
    peer.ssl = SSL_new(peer.ctx);
    sockets_new(rig->fds);
    peer.fd = rig->fds[1];
    weft_tls *ours;
    if (is_client) {
        SSL_set_connect_state(peer.ssl);
        wt_eq(weft_tls_new(&ours, rig->server_ctx, weft_stream_socket(rig->fds[0]), NULL), 0);
    } else {
        SSL_set_accept_state(peer.ssl);
        wt_eq(weft_tls_new(&ours, rig->client_ctx, weft_stream_socket(rig->fds[0]), "localhost"),
              0);
    }
    weft_task task;
    char byte;
    wt_eq(weft_spawn(&task, insist_on_a_thread, &peer), 0);
    wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_tls_handshake(ours)), 0);
    wt_str_eq(SSL_get_version(weft_tls_ssl(ours)), "TLSv1.2");
    wt_eq(weft_within(PATTERN_PATIENCE_NS, tls_recv(ours, &byte, 1)), 1);
    wt_eq(tls_send(ours, "b", 1), 1);
    ssize_t n = weft_within(PATTERN_PATIENCE_NS, tls_recv(ours, &byte, 1));
    wt_true(n == -ECONNABORTED || n == -EPROTO, "%zd", n); /* the peer gave up; no new keys */
    wt_eq(SSL_num_renegotiations(weft_tls_ssl(ours)), 0);
    wt_eq(weft_await(&task), 0);
    wt_le(peer.got, 0, "it was refused, and told so");
    weft_tls_free(ours);
    SSL_free(peer.ssl);
    SSL_CTX_free(peer.ctx);
    weft_close(rig->fds[0]);
    weft_close(rig->fds[1]);
}

TaskTest(tls, a_peer_that_wants_new_keys_in_the_middle_is_told_no, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    meet_insistent(&rig, true);
    meet_insistent(&rig, false);
    rig_free(&rig);
    return 0;
}

/* --- cancellation ----------------------------------------------------------------------------- */

TaskTest(tls, a_handshake_that_is_cut_short_goes_on_where_it_was, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    sockets_new(rig.fds);
    wt_eq(weft_tls_new(&rig.near, rig.client_ctx, weft_stream_socket(rig.fds[0]), "localhost"), 0);
    wt_eq(weft_tls_new(&rig.far, rig.server_ctx, weft_stream_socket(rig.fds[1]), NULL), 0);
    wt_eq(weft_within(WEFT_MS(1), weft_tls_handshake(rig.far)), -ETIME, "nobody has said anything");
    wt_eq(weft_within(WEFT_MS(1), weft_tls_handshake(rig.near)), -ETIME, "nobody has answered");
    wt_eq(weft_within(WEFT_MS(1), weft_tls_handshake(rig.far)), -ETIME, "nor confirmed");
    weft_task far;
    wt_eq(weft_spawn(&far, shake_far, &rig), 0);
    wt_eq(weft_tls_handshake(rig.near), 0);
    wt_eq(weft_await(&far), 0);
    wt_eq(rig.far_rc, 0);
    expect_talk(&rig);
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

TaskTest(tls, a_write_that_is_cut_short_is_sent_by_the_next, 1)
{
    enum { PIECE = 10000, PIECES_MAX = 10000 };
    static char piece[PIECE];
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    wt_eq(connect_to(&rig, "localhost"), 0);
    int written = 0, cut = 0;
    while (cut < 3) { /* nobody reads: it comes to a halt in the middle of a record */
        wt_lt(written, PIECES_MAX);
        memset(piece, 'a' + written % 26, sizeof piece);
        ssize_t n = weft_within(WEFT_MS(1), tls_send(rig.near, piece, sizeof piece));
        if (n == -ETIME) {
            cut++;
        } else {
            wt_eq(n, sizeof piece);
            written++;
        }
    }
    weft_reader reader;
    weft_reader_init(&reader, weft_tls_stream(rig.far), NULL, 0);
    char got[PIECE];
    for (int i = 0; i < written; i++) {
        size_t done = 0;
        if (i == written - 1) { /* the end of it is still on this side */
            wt_eq(weft_tls_shutdown(rig.near), 0);
        }
        wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_reader_exact(&reader, got, sizeof got, &done)),
              sizeof got);
        memset(piece, 'a' + i % 26, sizeof piece);
        wt_mem_eq(got, piece, sizeof got);
    }
    wt_eq(weft_reader_read(&reader, got, 1), 0);
    weft_reader_fini(&reader);
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

/* --- large transfers -------------------------------------------------------------------------- */

#define LARGE_BYTES (3 << 20)

struct sender {
    weft_tls *tls;
    unsigned seed;
};

static void fill(unsigned char *bytes, size_t n, unsigned *state)
{
    for (size_t i = 0; i < n; i++) {
        *state = *state * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(*state >> 24);
    }
}

static int send_large(void *arg)
{
    struct sender *sender = arg;
    unsigned char bytes[5000];
    unsigned state = sender->seed;
    weft_writer writer;
    weft_writer_init(&writer, weft_tls_stream(sender->tls), NULL, 0);
    int rc = 0;
    for (size_t sent = 0; rc == 0 && sent < LARGE_BYTES; sent += sizeof bytes) {
        fill(bytes, sizeof bytes, &state);
        rc = weft_writer_write(&writer, bytes, sizeof bytes);
    }
    rc = rc == 0 ? weft_writer_flush(&writer) : rc;
    weft_writer_fini(&writer);
    return rc == 0 ? weft_tls_shutdown(sender->tls) : rc;
}

static int receive_large(void *arg)
{
    struct sender *sender = arg;
    unsigned char bytes[5000], want[5000];
    unsigned state = sender->seed;
    weft_reader reader;
    weft_reader_init(&reader, weft_tls_stream(sender->tls), NULL, 0);
    ssize_t n;
    size_t got = 0, done = 0;
    while ((n = weft_reader_exact(&reader, bytes, sizeof bytes, &done)) > 0) {
        fill(want, sizeof want, &state);
        wt_mem_eq(bytes, want, sizeof want, "after %zu", got);
        got += (size_t)n;
        done = 0;
    }
    weft_reader_fini(&reader);
    wt_ge(got, LARGE_BYTES);
    return (int)n;
}

TaskTest(tls, large_transfers_go_both_ways_at_once, 2)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    wt_eq(connect_to(&rig, "localhost"), 0);
    struct sender ends[4] = {{rig.near, 1}, {rig.far, 1}, {rig.far, 2}, {rig.near, 2}};
    weft_task tasks[4];
    for (int i = 0; i < 4; i++) { /* each side's sender would stand still without its receiver */
        wt_eq(weft_spawn(&tasks[i], i % 2 == 0 ? send_large : receive_large, &ends[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        wt_eq(weft_await(&tasks[i]), 0, "%d", i);
    }
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

/* --- the stack -------------------------------------------------------------------------------- */

#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) /* frames grow, or are elsewhere */
#define PAINTED_BYTES 131072

/* How much of PAINTED_BYTES below its caller's frame has been used since it painted them. */
static __attribute__((noinline)) size_t look_or_paint(int paint)
{
    volatile unsigned char below[PAINTED_BYTES];
    size_t clean = 0;
    if (paint) {
        for (size_t i = 0; i < sizeof below; i++) {
            below[i] = 0xa5;
        }
        return 0;
    }
    const volatile unsigned char *volatile at =
        below; /* what was there before is just what counts */
    while (clean < sizeof below && at[clean] == 0xa5) {
        clean++;
    }
    return sizeof below - clean;
}

TaskTest(tls, a_handshake_needs_a_fraction_of_a_tasks_stack, 1)
{
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    (void)look_or_paint(1);
    wt_eq(connect_to(&rig, "localhost"), 0);
    size_t used = look_or_paint(0);
    wt_gt(used, 4096, "the painting must have been seen");
    wt_lt(used, 80 * 1024, "of 180 KiB");
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}
#endif

/* --- memory ----------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static atomic_long allocations; /* their allocators cannot be counted in this way */
static bool is_left_out(void)
{
    return false;
}
#else
static atomic_long allocations; /* but OpenSSL's, whose buffers come and go with each record */

void *__libc_malloc(size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);

void *malloc(size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(bytes);
}

static void *openssl_malloc(size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return __libc_malloc(bytes);
}

static void *openssl_realloc(void *memory, size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return __libc_realloc(memory, bytes);
}

static void openssl_free(void *memory, const char *file, int line)
{
    (void)file, (void)line;
    free(memory);
}

/* Before it has allocated anything, or it refuses: the test's runner may use it. */
static __attribute__((constructor)) void leave_openssl_out(void)
{
    (void)CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
}

static bool is_left_out(void)
{
    CRYPTO_malloc_fn own;
    CRYPTO_realloc_fn resize;
    CRYPTO_free_fn release;
    CRYPTO_get_mem_functions(&own, &resize, &release);
    return own == openssl_malloc;
}
#endif

TaskTest(tls, a_warm_connection_allocates_nothing_for_what_it_sends, 1)
{
    struct rig rig;
    static char large[40000];
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    wt_eq(connect_to(&rig, "localhost"), 0);
    long before = 0;
    for (int i = 0; i < 200; i++) {
        expect_talk(&rig);
        ssize_t sent = tls_send(rig.near, large, sizeof large);
        wt_gt(sent, 0);
        while (sent > 0) { /* ends: takes what was sent */
            ssize_t n = tls_recv(rig.far, large, sizeof large);
            wt_gt(n, 0);
            sent -= n;
        }
        before = i == 20 ? atomic_load(&allocations) : before;
    }
    if (is_left_out()) {
        wt_gt(before, 0, "the counter counts");
        wt_eq(atomic_load(&allocations), before);
    }
    disconnect(&rig);
    rig_free(&rig);
    return 0;
}

/* --- others ----------------------------------------------------------------------------------- */

struct other {
    char command[512];
    char said[512];
};

static int run_command(void *arg)
{
    struct other *other = arg;
    FILE *pipe = popen(other->command, "r");
    if (pipe == NULL) {
        return -errno;
    }
    size_t n = fread(other->said, 1, sizeof other->said - 1, pipe);
    other->said[n] = '\0';
    return pclose(pipe);
}

static int run_other(void *arg)
{
    return weft_blocking(run_command, arg);
}

static bool has_openssl(void)
{
    return system("openssl version >/dev/null 2>&1") == 0;
}

static void write_file(const char *folder, const char *name, const char *text, char path[64])
{
    (void)snprintf(path, 64, "%s/%s", folder, name);
    wt_eq(weft_file_write(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

/* `openssl s_server -rev`, which sends each line back in reverse, at a free port, which it
 * tells. */
struct s_server {
    weft_proc *proc;
    weft_reader said;
    char folder[32], ca[64], cert[64], key[64];
    weft_addr at;
};

static void s_server_start(struct s_server *s, const struct rig *rig, char *version)
{
    (void)snprintf(s->folder, sizeof s->folder, "/tmp/weft-tls-XXXXXX");
    wt_true(mkdtemp(s->folder) != NULL);
    write_file(s->folder, "ca", rig->ca.cert_pem, s->ca);
    write_file(s->folder, "cert", rig->server.cert_pem, s->cert);
    write_file(s->folder, "key", rig->server.key_pem, s->key);
    wt_eq(weft_proc_spawn(
              &s->proc,
              ((char *[]){"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", s->cert, "-key",
                          s->key, "-rev", "-alpn", "h2", version, "-Verify", "2",
                          "-verify_return_error", "-CAfile", s->ca, NULL}),
              .in = WEFT_PROC_NULL, .out = WEFT_PROC_PIPE, .err = WEFT_PROC_NULL),
          0);
    weft_reader_init(&s->said, weft_stream_file(weft_proc_fd(s->proc, 1)), NULL, 0);
    char *line = NULL;
    do { /* ends: it says so, or ends */
        wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_reader_line(&s->said, 0, &line, NULL)), 1);
    } while (strncmp(line, "ACCEPT ", 7) != 0);
    wt_eq(weft_addr_parse(&s->at, line + 7), 0, "%s", line);
}

static void s_server_stop(struct s_server *s)
{
    (void)weft_proc_kill(s->proc, SIGKILL);
    wt_eq(weft_proc_wait(s->proc, NULL), 0);
    weft_reader_fini(&s->said);
    weft_proc_free(s->proc);
    unlink(s->ca);
    unlink(s->cert);
    unlink(s->key);
    rmdir(s->folder);
}

/* Talks with it, in both ways that a connection may end. (No change of keys: it sleeps for a second
 * after one.) */
static void meet_s_server(struct s_server *s, weft_tls_ctx *ctx, const char *version, bool kill)
{
    weft_tls *tls;
    char c;
    int fd = weft_connect_addr(&s->at, NULL);
    wt_ge(fd, 0);
    wt_eq(weft_tls_new(&tls, ctx, weft_stream_socket(fd), "localhost"), 0);
    wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_tls_handshake(tls)), 0, "%s",
          weft_last() != NULL ? weft_last()->text : "");
    wt_str_eq(SSL_get_version(weft_tls_ssl(tls)), version);
    wt_str_eq(weft_tls_alpn(tls), "h2");
    weft_reader reader;
    weft_reader_init(&reader, weft_tls_stream(tls), NULL, 0);
    for (int i = 0; i < 3; i++) {
        char *line;
        wt_eq(tls_send(tls, "hello\n", 6), 6);
        wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_reader_line(&reader, 0, &line, NULL)), 1);
        wt_str_eq(line, "olleh");
    }
    if (kill) {
        wt_eq(weft_proc_kill(s->proc, SIGKILL), 0);
        wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_reader_read(&reader, &c, 1)), -ECONNABORTED);
    } else {
        wt_eq(weft_tls_shutdown(tls), 0);
        wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_reader_read(&reader, &c, 1)), 0);
    }
    weft_reader_fini(&reader);
    weft_tls_free(tls);
    weft_close(fd);
}

TaskTest(tls, openssls_own_server_is_talked_to, 2, .timeout = 60)
{
    static char *const versions[][2] = {{"-tls1_3", "TLSv1.3"}, {"-tls1_2", "TLSv1.2"}};
    if (!has_openssl()) {
        wt_skip("no openssl here");
    }
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){0}, (weft_tls_opts){0});
    weft_tls_ctx *ctx = client_of(&rig.ca, (weft_tls_opts){.alpn = http,
                                                           .cert = pem_of(rig.server.cert_pem),
                                                           .key = pem_of(rig.server.key_pem)});
    for (int i = 0; i < 2; i++) {
        struct s_server s;
        s_server_start(&s, &rig, versions[i][0]);
        meet_s_server(&s, ctx, versions[i][1], false);
        meet_s_server(&s, ctx, versions[i][1], false); /* resumes the first */
        meet_s_server(&s, ctx, versions[i][1], true);
        s_server_stop(&s);
    }
    weft_tls_ctx_free(ctx);
    rig_free(&rig);
    return 0;
}

TaskTest(tls, openssls_own_client_is_served, 2)
{
    if (!has_openssl()) {
        wt_skip("no openssl here");
    }
    struct rig rig;
    rig_init(&rig, (weft_tls_opts){.alpn = http}, (weft_tls_opts){0});
    char name[] = "/tmp/weft-tls-XXXXXX";
    int fd = mkstemp(name);
    wt_eq(write(fd, rig.ca.cert_pem, strlen(rig.ca.cert_pem)), strlen(rig.ca.cert_pem));
    close(fd);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(listener, (struct sockaddr *)&at, bytes), 0);
    wt_eq(listen(listener, 1), 0);
    wt_eq(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
    struct other other;
    (void)snprintf(
        other.command, sizeof other.command,
        "echo question | openssl s_client -connect 127.0.0.1:%d -servername localhost "
        "-verify_hostname localhost -CAfile %s -verify_return_error -alpn h2 -quiet 2>&1",
        ntohs(at.sin_port), name);
    weft_task client;
    wt_eq(weft_spawn(&client, run_other, &other), 0);
    int peer = weft_within(PATTERN_PATIENCE_NS, weft_accept(listener, NULL, NULL, 0));
    wt_ge(peer, 0);
    wt_eq(weft_tls_new(&rig.far, rig.server_ctx, weft_stream_socket(peer), NULL), 0);
    wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_tls_handshake(rig.far)), 0);
    wt_str_eq(weft_tls_alpn(rig.far), "h2");
    weft_reader reader;
    weft_reader_init(&reader, weft_tls_stream(rig.far), NULL, 0);
    char *line;
    wt_eq(weft_within(PATTERN_PATIENCE_NS, weft_reader_line(&reader, 0, &line, NULL)), 1);
    wt_str_eq(line, "question");
    wt_eq(tls_send(rig.far, "answer\n", 7), 7);
    wt_eq(weft_tls_shutdown(rig.far), 0);
    weft_shutdown(peer, SHUT_WR);
    (void)weft_await(&client);
    wt_true(strstr(other.said, "answer\n") != NULL, "%s", other.said);
    weft_reader_fini(&reader);
    weft_tls_free(rig.far);
    weft_close(peer);
    weft_close(listener);
    unlink(name);
    rig_free(&rig);
    return 0;
}
