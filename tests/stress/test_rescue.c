/* test_rescue.c: workers that are away now and then, in computations and in calls that block, while
 * many connections are served, deadlines pass and the lookouts take over: no byte is lost, doubled
 * or out of order, every operation ends once, and all comes to an end.
 *
 * The seed is printed; WT_SEED=n in the environment repeats it (the threads' timing is not repeated
 * with it). */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/weft.h>

#define CONNECTIONS 40
#define ROUND_NS    INT64_C(1000000000)
#define PATIENCE_MS 30000 /* longer than any honest silence on a loaded machine */

struct connection {
    int fds[2]; /* the server's end, the client's */
    uint64_t dice;
    unsigned char sent; /* client: what it waits to get back */
};

static struct connection connections[CONNECTIONS];
static atomic_long late;

/* Away for 0.3 to 2.3 ms, so mostly longer than a lookout stands. */
static void be_away(uint64_t *dice)
{
    int64_t ns = 300000 + (int64_t)(roll(dice) % 2000000);
    if (roll(dice) % 4 == 0) {
        struct timespec t = {.tv_nsec = ns};
        while (nanosleep(&t, &t) < 0 && errno == EINTR) { /* ends: t shrinks */
        }
        return;
    }
    int64_t until_ns = now_ns() + ns;
    while (now_ns() < until_ns) {
    }
}

/* A byte, whatever deadlines pass meanwhile; 0 at the end. */
static ssize_t get(struct connection *connection, unsigned char *byte)
{
    for (;;) { /* ends: the client sends, or ends */
        if (roll(&connection->dice) % 4 != 0) {
            return weft_recv(connection->fds[0], byte, 1, 0);
        }
        weft_time patience = WEFT_US((int64_t)(roll(&connection->dice) % 800));
        ssize_t n = weft_within(patience, weft_recv(connection->fds[0], byte, 1, 0));
        if (n != -ETIME) {
            return n;
        }
        atomic_fetch_add(&late, 1);
    }
}

WEFT_TASK(serve, struct connection *)
{
    struct connection *connection = *arg;
    unsigned char byte;
    ssize_t n;
    while ((n = get(connection, &byte)) == 1) { /* ends: with the client */
        if (roll(&connection->dice) % 30 == 0) {
            be_away(&connection->dice);
        }
        n = weft_send(connection->fds[0], &byte, 1, 0);
        if (n != 1) {
            return -EPROTO;
        }
    }
    return (int)n;
}

static long client_got;

/* Each connection has one byte under way; each next one is another. */
static void *be_client(void *arg)
{
    (void)arg;
    struct pollfd polls[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        polls[i] = (struct pollfd){.fd = connections[i].fds[1], .events = POLLIN};
        wt_eq(send(connections[i].fds[1], &connections[i].sent, 1, MSG_NOSIGNAL), 1);
    }
    int64_t end_ns = now_ns() + ROUND_NS;
    int open = CONNECTIONS;
    while (open > 0) { /* ends: each connection is answered, and closed after end_ns */
        wt_gt(poll(polls, CONNECTIONS, PATIENCE_MS), 0, "%d connections are silent", open);
        for (int i = 0; i < CONNECTIONS; i++) {
            struct connection *connection = &connections[i];
            if (polls[i].revents == 0) {
                continue;
            }
            unsigned char byte;
            wt_eq(recv(connection->fds[1], &byte, 1, 0), 1);
            wt_eq(byte, connection->sent);
            client_got++;
            connection->sent++;
            if (now_ns() < end_ns) {
                wt_eq(send(connection->fds[1], &connection->sent, 1, MSG_NOSIGNAL), 1);
            } else {
                shutdown(connection->fds[1], SHUT_WR);
                polls[i].fd = -1;
                open--;
            }
        }
    }
    return NULL;
}

static int root(void *arg)
{
    (void)arg;
    weft_rt *rt = weft_rt_current();
    weft_scope scope;
    weft_scope_begin(&scope, NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *connection = &connections[i];
        wt_eq(weft_go(&scope, serve, &connection), 0);
    }
    wt_eq(weft_scope_end(&scope), 0);
    weft_stats stats;
    weft_stats_get(rt, &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    printf("%" PRIu64 " operations, %" PRIu64 " of them rescued by %" PRIu64 " kicks, %" PRIu64
           " cancelled\n",
           stats.ops_completed, stats.ops_rescued, stats.kicks, stats.ops_cancelled);
    return 0;
}

static void run(int workers)
{
    uint64_t seed = first_seed();
    for (int i = 0; i < CONNECTIONS; i++) {
        connections[i] = (struct connection){.dice = roll(&seed)};
        wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, connections[i].fds), 0);
    }
    client_got = 0;
    pthread_t client;
    wt_eq(pthread_create(&client, NULL, be_client, NULL), 0);
    wt_eq(weft_run(root, NULL, .workers = workers), 0);
    wt_eq(pthread_join(client, NULL), 0);
    wt_ge(client_got, CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++) {
        close(connections[i].fds[0]);
        close(connections[i].fds[1]);
    }
}

Test(rescue, loses_nothing_with_two_workers, .timeout = 120)
{
    run(2);
}

Test(rescue, loses_nothing_with_five_workers, .timeout = 120)
{
    run(5);
}
