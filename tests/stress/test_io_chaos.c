/* A server under clients that behave badly: connections that come and go, peers that read slowly or
 * nothing, peers that vanish in the middle of a request, peers that say nothing, and ten times as
 * many of all of them as it serves at once. Memory, descriptors and operations must be what they
 * were, and honest clients get their answers.
 *
 * Bounded in time: WT_CHAOS_S seconds (0.4; ./dev chaos: 20), and half of that before, to be warm;
 * from 2 seconds on a line each second says how it goes. The seed is printed, and repeated by
 * WT_SEED=n. */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/io.h>
#include <weft/weft.h>

#define CAPACITY 16
#define CLIENTS  (10 * CAPACITY)
#define PATIENCE WEFT_MS(20)  /* of the server, with one operation */
#define HONEST   WEFT_SEC(10) /* of clients that behave well: they may wait in line */
#define OF_64    44           /* descriptors that clients take of 64; the server has the rest */
#define REQUEST  256
#define FLOOD    (256 * 1024) /* more than the socket's buffers hold */
/* RSS may grow by this after the warm-up: some fragments and late stacks. Ten times what is served
 * at once is 160 clients; a leak of 1 KiB for each connection would show within a second. */
#define GROWTH_KIB 12288

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WATCHES_MEMORY 0 /* sanitizers keep what was freed */
#else
#define WATCHES_MEMORY 1
#endif

/* How a client behaves. */
enum manner { HONESTLY, CHURN, READ_NOTHING, READ_SLOWLY, VANISH, SAY_NOTHING, MANNERS };

static struct {
    uint64_t seed;
    int64_t end_ns;
    struct sockaddr_in address;
    int listener;
    weft_sem places;
    weft_sem sockets; /* of the clients */
    atomic_long accepted, refused, answered, dropped, begun;
    atomic_long clients_of[MANNERS];
    atomic_long most_kib; /* of memory, while anybody looked */
} chaos;

/* --- the server ------------------------------------------------------------------------------- */

static int serve_one(int fd)
{
    char request[REQUEST];
    for (;;) { /* ends: the peer does, or its time is up */
        ssize_t n = weft_within(PATIENCE, weft_recv(fd, request, sizeof request, MSG_WAITALL));
        if (n != sizeof request) {
            return n < 0 ? (int)n : -ECONNRESET;
        }
        if (request[0] == 'f') { /* asks for much, and perhaps reads nothing of it */
            static char much[FLOOD];
            n = weft_within(PATIENCE, weft_send_all(fd, much, sizeof much, 0));
            if (n != sizeof much) {
                return n < 0 ? (int)n : -ETIME;
            }
            continue;
        }
        n = weft_within(PATIENCE, weft_send_all(fd, request, sizeof request, 0));
        if (n != sizeof request) {
            return n < 0 ? (int)n : -ETIME;
        }
    }
}

WEFT_TASK(serve, int)
{
    if (serve_one(*arg) < 0) {
        atomic_fetch_add(&chaos.dropped, 1);
    }
    weft_close(*arg);
    weft_sem_release(&chaos.places, 1);
    return 0;
}

static int accept_all(void *arg)
{
    (void)arg;
    WEFT_SCOPE(connections);
    for (;;) { /* ends: cancelled */
        int rc = weft_sem_acquire(&chaos.places);
        int fd = rc == 0 ? weft_accept(chaos.listener, NULL, NULL, 0) : rc;
        if (fd == -EMFILE || fd == -ENFILE) {
            weft_sem_release(&chaos.places, 1);
            atomic_fetch_add(&chaos.refused, 1);
            weft_sleep(WEFT_MS(1)); /* somebody has to close first: do not spin */
            continue;
        }
        if (fd < 0) {
            if (rc == 0) {
                weft_sem_release(&chaos.places, 1);
            }
            wt_eq(fd, -ECANCELED);
            break;
        }
        atomic_fetch_add(&chaos.accepted, 1);
        rc = weft_go(&connections, serve, &fd);
        if (rc < 0) { /* somebody came at the moment of closing */
            wt_eq(rc, -ECANCELED);
            weft_close(fd);
            weft_sem_release(&chaos.places, 1);
            break;
        }
    }
    return weft_scope_end(&connections) < 0 ? -ECANCELED : 0;
}

/* --- clients ---------------------------------------------------------------------------------- */

/* Much, in pieces with a pause before each: the server's patience ends it, or it has all. */
static void read_slowly(int fd, uint64_t *dice)
{
    char piece[16384];
    for (int i = 0; i < 16; i++) {
        weft_sleep(WEFT_MS(1 + below(dice, 10)));
        if (weft_within(PATIENCE, weft_recv(fd, piece, sizeof piece, 0)) <= 0) {
            break;
        }
    }
}

static void behave(enum manner manner, int fd, uint64_t *dice)
{
    char out[REQUEST];
    char in[REQUEST];
    memset(out, 'a' + (int)below(dice, 5), sizeof out);
    switch (manner) {
    case HONESTLY:
        /* the server's patience is short, and the machine may be busy: an end is no answer, a wrong
         * answer is a fault */
        if (weft_within(HONEST, weft_send_all(fd, out, sizeof out, 0)) == sizeof out &&
            weft_within(HONEST, weft_recv(fd, in, sizeof in, MSG_WAITALL)) == sizeof in) {
            wt_mem_eq(in, out, sizeof in, "seed %" PRIu64, chaos.seed);
            atomic_fetch_add(&chaos.answered, 1);
        }
        break;
    case CHURN:
        break;
    case READ_NOTHING:
        memset(out, 'f', sizeof out);
        (void)weft_within(PATIENCE, weft_send_all(fd, out, sizeof out, 0));
        weft_sleep(WEFT_MS(below(dice, 30)));
        break;
    case READ_SLOWLY:
        memset(out, 'f', sizeof out);
        (void)weft_within(PATIENCE, weft_send_all(fd, out, sizeof out, 0));
        read_slowly(fd, dice);
        break;
    case VANISH:
        (void)weft_within(PATIENCE, weft_send(fd, out, 1 + below(dice, sizeof out), 0));
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        break;
    default:
        weft_sleep(WEFT_MS(below(dice, 30)));
        break;
    }
}

WEFT_TASK(client, uint64_t)
{
    uint64_t dice = *arg;
    while (now_ns() < chaos.end_ns) {
        wt_eq(weft_sem_acquire(&chaos.sockets), 0);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            wt_true(errno == EMFILE || errno == ENFILE);
            weft_sem_release(&chaos.sockets, 1);
            weft_sleep(WEFT_MS(1));
            continue;
        }
        atomic_fetch_add(&chaos.begun, 1);
        int rc = weft_within(
            HONEST, weft_connect(fd, (struct sockaddr *)&chaos.address, sizeof chaos.address));
        if (rc == 0) {
            enum manner manner = (enum manner)below(&dice, MANNERS);
            atomic_fetch_add(&chaos.clients_of[manner], 1);
            behave(manner, fd, &dice);
        }
        weft_close(fd);
        weft_sem_release(&chaos.sockets, 1);
    }
    return 0;
}

/* --- all -------------------------------------------------------------------------------------- */

static int statm; /* open throughout: there may be no descriptor to be had */

static long rss_kib(void)
{
    long total = 0;
    long resident = 0;
    char text[128] = "";
    wt_gt(pread(statm, text, sizeof text - 1, 0), 0);
    wt_eq(sscanf(text, "%ld %ld", &total, &resident), 2);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static long note_rss(void)
{
    long kib = rss_kib();
    if (kib > atomic_load(&chaos.most_kib)) {
        atomic_store(&chaos.most_kib, kib);
    }
    return kib;
}

/* Until cancelled. */
static int tell(void *arg)
{
    const double *until_s = arg;
    for (int s = 1; weft_sleep(WEFT_SEC(1)) == 0; s++) {
        long kib = note_rss();
        if (*until_s >= 2) {
            fprintf(stderr,
                    "%3d s: %7ld begun %7ld accepted %7ld answered %7ld dropped, RSS %ld KiB\n", s,
                    atomic_load(&chaos.begun), atomic_load(&chaos.accepted),
                    atomic_load(&chaos.answered), atomic_load(&chaos.dropped), kib);
        }
    }
    return 0;
}

static void tell_at_the_end(long warm_kib, long end_kib, int descriptors)
{
    static const char *const names[MANNERS] = {"honest",      "came and went", "read nothing",
                                               "read slowly", "vanished",      "said nothing"};
    fprintf(stderr, "%s\nclients:", descriptors > 0 ? "with 64 descriptors" : "without bounds");
    for (int i = 0; i < MANNERS; i++) {
        fprintf(stderr, "%s %ld %s", i > 0 ? "," : "", atomic_load(&chaos.clients_of[i]), names[i]);
    }
    fprintf(
        stderr,
        "\nserver: %d places for %d clients, %ld accepted, %ld answered, %ld dropped, %ld times "
        "without a descriptor\nmemory: RSS %ld KiB when warm, %ld at most, %ld at the end\n",
        CAPACITY, CLIENTS, atomic_load(&chaos.accepted), atomic_load(&chaos.answered),
        atomic_load(&chaos.dropped), atomic_load(&chaos.refused), warm_kib,
        atomic_load(&chaos.most_kib), end_kib);
}

static void run_clients(double seconds, int count)
{
    chaos.end_ns = now_ns() + (int64_t)(seconds * 1e9);
    WEFT_SCOPE(clients);
    for (int i = 0; i < count; i++) {
        uint64_t dice = chaos.seed * CLIENTS + (uint64_t)i;
        wt_eq(weft_go(&clients, client, &dice), 0);
    }
    wt_eq(weft_scope_end(&clients), 0);
}

static int lowest_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    wt_ge(fd, 0);
    close(fd);
    return fd;
}

static double seconds_given(void)
{
    const char *given = getenv("WT_CHAOS_S");
    return given != NULL ? atof(given) : 0.4;
}

static int run(void *arg)
{
    const int *descriptors = arg;
    statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    wt_ge(statm, 0);
    chaos.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    chaos.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof chaos.address;
    wt_eq(bind(chaos.listener, (struct sockaddr *)&chaos.address, bytes), 0);
    wt_eq(listen(chaos.listener, CLIENTS), 0);
    wt_eq(getsockname(chaos.listener, (struct sockaddr *)&chaos.address, &bytes), 0);
    weft_sem_init(&chaos.places, CAPACITY, CAPACITY);
    unsigned sockets = *descriptors > 0 ? OF_64 : CLIENTS;
    weft_sem_init(&chaos.sockets, sockets, sockets);
    int lowest = lowest_descriptor();
    weft_task acceptor;
    weft_task teller;
    double seconds = seconds_given();
    WEFT_SCOPE(server);
    wt_eq(weft_spawn(&acceptor, accept_all, NULL), 0);
    wt_eq(weft_spawn(&teller, tell, &seconds), 0);
    run_clients(seconds_given() / 2, CLIENTS); /* to be warm */
    long warm_kib = note_rss();
    if (*descriptors > 0) {
        struct rlimit limit = {(rlim_t)*descriptors, (rlim_t)*descriptors};
        wt_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    run_clients(seconds_given(), CLIENTS);
    for (int i = 0; i < 20 && atomic_load(&chaos.answered) == 0; i++) {
        run_clients(seconds_given(), CLIENTS); /* the machine was busy with other things */
    }
    long end_kib = note_rss();
    wt_eq(weft_scope_cancel(&server, "closing time"), 0);
    (void)weft_await(&acceptor);
    (void)weft_await(&teller);
    (void)weft_scope_end(&server);
    tell_at_the_end(warm_kib, end_kib, *descriptors);
    wt_gt(atomic_load(&chaos.answered), 0);
    wt_gt(atomic_load(&chaos.dropped), 0);
    wt_eq(lowest_descriptor(), lowest, "a descriptor was left open");
    if (WATCHES_MEMORY) {
        wt_lt(atomic_load(&chaos.most_kib) - warm_kib, GROWTH_KIB, "seed %" PRIu64, chaos.seed);
    }
    weft_close(chaos.listener);
    weft_close(statm);
    weft_sem_fini(&chaos.places);
    weft_sem_fini(&chaos.sockets);
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    return 0;
}

static void run_chaos(int descriptors)
{
    chaos.seed = first_seed();
    struct rlimit limit;
    wt_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    wt_eq(weft_run(run, &descriptors, .workers = 2), 0);
}

Test(io_chaos, ten_times_more_bad_clients_than_places_leave_nothing_behind, .timeout = 240)
{
    run_chaos(0);
}

Test(io_chaos, with_64_descriptors_it_goes_on_serving, .timeout = 240)
{
    run_chaos(64);
}
