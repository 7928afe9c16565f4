/* resolve.c: names of hosts. Numbers are read on the task's own stack; for names getaddrinfo runs
 * on a blocking thread.
 *
 * A *lookup* lives in memory of its own, because getaddrinfo cannot be interrupted, and whoever
 * waits for it can: it belongs to two, the thread and the waiter, and is freed by the one who is
 * through with it last. (While it waits in line for a thread, it is the waiter's alone.) Under its
 * lock:
 *
 *      BEGUN --[lookup_done]--> ENDED --[the waiter]--> freed
 *        +----[the waiter, cancelled]--> ABANDONED --[lookup_done]--> freed
 *
 * The number of those that are ABANDONED is bounded: a server that does not answer costs so many
 * threads, not one for each try. */
#include "pool/base/sys.h"
#include "pool/blocking.h"
#include "src/core.h"
#include "src/net.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#define HOST_BYTES_MAX    255 /* of a name, by RFC 1035 */
#define SERVICE_BYTES_MAX 255

enum lookup_state { LOOKUP_BEGUN, LOOKUP_ENDED, LOOKUP_ABANDONED };

struct lookup {
    struct wf_blocking_request request;
    struct weft_rt *rt; /* immutable, as what follows */
    struct addrinfo hints;
    const char *host, *service; /* NULL, or in `text` */
    struct wf_lock lock;
    /* under lock */
    uint8_t state;        /* enum lookup_state */
    struct wf_wait *wait; /* the waiter's, while BEGUN */
    /* the thread's until it is ENDED, then the waiter's */
    struct addrinfo *found;
    char text[HOST_BYTES_MAX + 1 + SERVICE_BYTES_MAX + 1];
};

/* --- numbers ---------------------------------------------------------------------------------- */

static bool is_family(const weft_addr *address, int family)
{
    return family == AF_UNSPEC || address->storage.ss_family == family;
}

/* Without a host: 127.0.0.1 and ::1, or all addresses. */
static int without_host(int port, weft_addr *out, int max, const weft_resolve_opts *opts)
{
    static const char *const hosts[2][2] = {{"::1", "127.0.0.1"}, {"::", "0.0.0.0"}};
    int count = 0;
    for (int i = 0; i < 2 && count < max; i++) {
        out[count] = (weft_addr){0};
        (void)wf_addr_host(&out[count], hosts[opts->passive != 0][i], port);
        count += is_family(&out[count], opts->family);
    }
    return count > 0 ? count : -ENOENT;
}

/* How many; or -errno. 0: it takes a lookup. */
static int by_number(const char *host, const char *service, weft_addr *out, int max,
                     const weft_resolve_opts *opts)
{
    int port = service != NULL ? wf_port_parse(service) : 0;
    if (port == -ERANGE) {
        return port;
    }
    if (port < 0) {
        return 0;
    }
    if (host == NULL) {
        return without_host(port, out, max, opts);
    }
    out[0] = (weft_addr){0};
    int rc = wf_addr_host(&out[0], host, port);
    if (rc == -EINVAL) {
        return 0;
    }
    return rc < 0 ? rc : is_family(&out[0], opts->family) ? 1 : -ENOENT;
}

/* --- lookups ---------------------------------------------------------------------------------- */

static void free_lookup(struct lookup *lookup)
{
    if (lookup->found != NULL) {
        wf_sys.resolved(lookup->found);
    }
    wf_sys.release(lookup);
}

static int lookup_call(void *arg)
{
    struct lookup *lookup = arg;
    return wf_sys.resolve(lookup->host, lookup->service, &lookup->hints, &lookup->found);
}

static void lookup_done(struct wf_blocking_request *request)
{
    struct lookup *lookup = wf_container_of(request, struct lookup, request);
    wf_lock(&lookup->lock);
    bool abandoned = lookup->state == LOOKUP_ABANDONED;
    if (!abandoned) {
        lookup->state = LOOKUP_ENDED;
        (void)wf_wait_claim(lookup->wait, WF_WAIT_GRANTED); /* takes our lock before it goes on */
    }
    wf_unlock(&lookup->lock); /* LAST TOUCH, unless it is ours alone now */
    if (abandoned) {
        struct weft_rt *rt = lookup->rt;
        free_lookup(lookup);
        (void)wf_sub_relaxed(&rt->lookups_abandoned, 1); /* relaxed: a count */
    }
}

/* The lookup is over, or the caller does not wait for it any more. */
static ssize_t lookup_finish(struct wf_call *call)
{
    struct lookup *lookup = call->object;
    if (wf_blocking_withdraw(&lookup->request)) { /* it waited in line for a thread */
        free_lookup(lookup);
        return -ECANCELED;
    }
    wf_lock(&lookup->lock);
    bool ended = lookup->state == LOOKUP_ENDED;
    if (!ended) {
        lookup->state = LOOKUP_ABANDONED;
        (void)wf_add_relaxed(&lookup->rt->lookups_abandoned, 1); /* relaxed: a count */
    }
    wf_unlock(&lookup->lock); /* LAST TOUCH, unless it has ended */
    return ended ? lookup->request.result : -ECANCELED;
}

static const struct wf_wait_ops lookup_ops = {
    .cancel = wf_wait_cancel_claim, .finish = lookup_finish, .name = "weft_resolve"};

/* Copies the text to *at, which grows. */
static const char *keep_text(char **at, const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    size_t bytes = strlen(text) + 1;
    char *kept = memcpy(*at, text, bytes);
    *at += bytes;
    return kept;
}

static struct lookup *new_lookup(struct weft_rt *rt, const char *host, const char *service,
                                 const weft_resolve_opts *opts)
{
    struct lookup *lookup = wf_sys_alloc_zeroed(WF_LINE, sizeof *lookup);
    if (lookup == NULL) {
        return NULL;
    }
    char *at = lookup->text;
    lookup->host = keep_text(&at, host);
    lookup->service = keep_text(&at, service);
    lookup->rt = rt;
    lookup->request =
        (struct wf_blocking_request){.call = lookup_call, .arg = lookup, .done = lookup_done};
    lookup->hints = (struct addrinfo){
        .ai_family = opts->family,
        .ai_socktype = opts->type != 0 ? opts->type : SOCK_STREAM,
        .ai_flags = (opts->passive ? AI_PASSIVE : 0) |
                    (service != NULL && wf_port_parse(service) >= 0 ? AI_NUMERICSERV : 0),
    };
    return lookup;
}

static int take_found(const struct lookup *lookup, weft_addr *out, int max)
{
    int count = 0;
    for (const struct addrinfo *one = lookup->found; one != NULL && count < max;
         one = one->ai_next) {
        if (one->ai_addrlen <= sizeof out->storage) {
            out[count] = (weft_addr){.bytes = one->ai_addrlen};
            memcpy(&out[count].storage, one->ai_addr, one->ai_addrlen);
            count++;
        }
    }
    return count > 0 ? count : -ENOENT;
}

static int by_name(struct wf_fiber *self, const char *host, const char *service, weft_addr *out,
                   int max, const weft_resolve_opts *opts)
{
    struct weft_rt *rt = wf_runtime_of(self);
    if (wf_env_cancelled(self->env) != 0) {
        return -ECANCELED; /* an expired deadline: it cannot be tried without waiting */
    }
    if (wf_load_relaxed(&rt->lookups_abandoned) >= WEFT_LOOKUPS_ABANDONED_MAX) { /* a count */
        return -EAGAIN;
    }
    struct lookup *lookup = new_lookup(rt, host, service, opts);
    if (lookup == NULL) {
        return -ENOMEM;
    }
    struct wf_call call;
    wf_wait_init(&call.wait, &self->resume, &lookup_ops);
    call.object = lookup;
    lookup->wait = &call.wait;
    int rc = wf_blocking_submit(rt->own_blocking, &lookup->request);
    if (rc < 0) { /* it was not taken */
        free_lookup(lookup);
        return rc;
    }
    rc = (int)wf_call_end(self, &call, WF_PENDING);
    if (rc == -ECANCELED) {
        return rc; /* it is the thread's, or gone */
    }
    if (rc == 0) {
        rc = take_found(lookup, out, max);
    }
    free_lookup(lookup);
    return rc;
}

static bool is_too_long(const char *text, size_t most)
{
    return text != NULL && strlen(text) > most;
}

static int resolve(const char *host, const char *service, weft_addr *out, int max,
                   const weft_resolve_opts *opts)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    if ((host == NULL && service == NULL) || max < 1 || is_too_long(host, HOST_BYTES_MAX) ||
        is_too_long(service, SERVICE_BYTES_MAX)) {
        return -EINVAL;
    }
    static const weft_resolve_opts defaults;
    opts = opts != NULL ? opts : &defaults;
    rc = by_number(host, service, out, max, opts);
    return rc != 0 ? rc : by_name(self, host, service, out, max, opts);
}

int weft_resolve_(const char *host, const char *service, weft_addr *out, int max,
                  const weft_resolve_opts *opts, const weft_place *place)
{
    int rc = resolve(host, service, out, max, opts);
    if (rc < 0 && rc != -ECANCELED && rc != -EPERM && rc != -ENOSYS) {
        return weft_fail_(place, rc, "resolve %s port %s", host != NULL ? host : "(none)",
                          service != NULL ? service : "(none)");
    }
    return rc;
}
