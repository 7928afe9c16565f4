/* connect.c: connecting by name, as RFC 8305 has it ("happy eyeballs").
 *
 * A *race* is one call: a task for each address that is being tried, in a scope of the call's own.
 * The first that is connected puts its descriptor into `winner`; the end of the scope waits for the
 * others, which are cancelled, and close what they have. So nothing is left when the call
 * returns. */
#include "pool/base/sys.h"
#include "src/core.h"
#include "src/net.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <weft/cancel.h>

#define STAGGER_DEFAULT WEFT_MS(250) /* RFC 8305, 5 */

struct race {
    WF_ATOMIC(int) winner; /* a descriptor; -1: nobody has won so far */
    WF_ATOMIC(int) failed; /* of the first attempt that failed, its index + 1 */
    int rc;                /* its error; written by it, read after the scope's end */
    weft_sem over;         /* a permit for each attempt that has come to its end */
    const weft_conn_opts *opts;
    weft_addr addresses[WEFT_CONNECT_ADDRS_MAX];
};

struct attempt {
    struct race *race;
    int index;
};

/* --- one address ------------------------------------------------------------------------------ */

/* A socket with O_NONBLOCK is connected by epoll without the help of a thread; but one of the Unix
 * family says -EAGAIN then, instead of waiting for room in its peer's queue. */
static int connect_socket(int fd, const weft_addr *to, const weft_conn_opts *opts, bool nonblock)
{
    int rc = opts != NULL ? wf_conn_opts_set(fd, opts, to->storage.ss_family) : 0;
    if (rc == 0) {
        rc = weft_connect(fd, (const struct sockaddr *)&to->storage, to->bytes);
    }
    if (rc == 0 && nonblock) {
        rc = (int)wf_sys.call(SYS_fcntl, fd, F_SETFL, O_RDWR, 0, 0, 0);
    }
    return rc;
}

int weft_connect_addr(const weft_addr *to, const weft_conn_opts *opts)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return rc;
    }
    if (opts != NULL && wf_conn_opts_are_bad(opts)) {
        return -EINVAL;
    }
    bool nonblock = to->storage.ss_family != AF_UNIX;
    long fd = wf_sys.call(SYS_socket, to->storage.ss_family,
                          SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0, 0, 0, 0);
    if (fd < 0) {
        return (int)fd;
    }
    rc = connect_socket((int)fd, to, opts, nonblock);
    if (rc < 0) {
        (void)wf_sys.close((int)fd);
        return rc;
    }
    return (int)fd;
}

/* --- the race --------------------------------------------------------------------------------- */

static void run_attempt(struct race *race, int index)
{
    int fd = weft_connect_addr(&race->addresses[index], race->opts);
    int none = -1;
    /* relaxed, both: decide who was first; the scope's end orders what is read afterwards */
    if (fd >= 0 && !wf_cas_relaxed(&race->winner, &none, fd)) {
        (void)wf_sys.close(fd);
    }
    none = 0;
    if (fd < 0 && fd != -ECANCELED && wf_cas_relaxed(&race->failed, &none, index + 1)) {
        race->rc = fd;
    }
}

static int attempt_body(void *arg)
{
    const struct attempt *attempt = arg;
    run_attempt(attempt->race, attempt->index);
    (void)weft_sem_release(&attempt->race->over, 1);
    return 0;
}

/* Until somebody has won, or all have failed. 0; or what the call ends with. */
static int run_race(struct race *race, weft_scope *scope, int count, weft_time stagger)
{
    int begun = 0;
    int over = 0;
    int rc = 0;
    /* ends: each turn begins an attempt or sees the end of one, or returns */
    while (over < count && wf_load_relaxed(&race->winner) < 0) { /* relaxed: as above */
        if (begun < count) {
            struct attempt attempt = {.race = race, .index = begun};
            rc = weft_go_raw(scope, attempt_body, &attempt, sizeof attempt);
            if (rc < 0) {
                return rc;
            }
            begun++;
        }
        rc = weft_within(begun < count ? stagger : WEFT_FOREVER, weft_sem_acquire(&race->over));
        if (rc < 0 && rc != -ETIME) {
            return rc;
        }
        over += rc == 0;
    }
    return 0;
}

/* RFC 8305, 4: families alternate, beginning with that of the first address. */
static void interleave(weft_addr *addresses, int count)
{
    for (int i = 1; i < count; i++) {
        int other = i;
        while (other < count && addresses[other].storage.ss_family ==
                                    addresses[i - 1].storage.ss_family) { /* ends: counts up */
            other++;
        }
        if (other == count) {
            return; /* only one family is left */
        }
        weft_addr moved = addresses[other];
        memmove(&addresses[i + 1], &addresses[i], sizeof moved * (size_t)(other - i));
        addresses[i] = moved;
    }
}

static int fail(const struct race *race, const char *host, const char *service,
                const weft_place *place)
{
    char text[WEFT_ADDR_TEXT];
    int index = wf_load_relaxed(&race->failed) - 1; /* relaxed: all have ended */
    (void)weft_addr_format(&race->addresses[index], text, sizeof text);
    return weft_fail_(place, race->rc, "connect to %s port %s, first %s", host != NULL ? host : "",
                      service != NULL ? service : "", text);
}

int weft_connect_to_(const char *host, const char *service, const weft_connect_opts *opts,
                     const weft_place *place)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return rc;
    }
    static const weft_connect_opts defaults;
    opts = opts != NULL ? opts : &defaults;
    if (wf_conn_opts_are_bad(&opts->conn)) {
        return -EINVAL;
    }
    struct race race = {.opts = &opts->conn};
    wf_store_relaxed(&race.winner, -1); /* relaxed: starting a task publishes it */
    int count = weft_resolve_(host, service, race.addresses, WEFT_CONNECT_ADDRS_MAX,
                              &(const weft_resolve_opts){.family = opts->family}, place);
    if (count < 0) {
        return count;
    }
    interleave(race.addresses, count);
    weft_sem_init(&race.over, 0, WEFT_CONNECT_ADDRS_MAX);
    weft_scope attempts;
    weft_scope_begin(&attempts, &(const weft_scope_opts){0});
    rc = run_race(&race, &attempts, count, opts->stagger > 0 ? opts->stagger : STAGGER_DEFAULT);
    (void)weft_scope_cancel(&attempts, "the race is over");
    (void)weft_scope_end(&attempts);
    weft_sem_fini(&race.over);
    int winner = wf_load_relaxed(&race.winner); /* relaxed, both: all have ended */
    if (winner >= 0) {
        return winner;
    }
    if (rc < 0 || wf_load_relaxed(&race.failed) == 0) {
        return rc < 0 ? rc : -ECANCELED;
    }
    return fail(&race, host, service, place);
}
