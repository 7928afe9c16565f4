/* Operations cancelled at random ages, by their deadlines and by other tasks, on sockets on which
 * bytes go on arriving. Whatever was submitted is completed; each byte that was reported is there
 * once, in order; and the kernel writes to no buffer whose call has returned.
 *
 * The seed is printed; WT_SEED=n in the environment repeats it (the threads' timing is not repeated
 * with it). WT_SOAK=1: a million operations (./dev soak). */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/io.h>
#include <weft/weft.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OPS 4000
#else
#define OPS 20000
#endif
#define OPS_SOAK 2400000 /* of which about a million are cancelled, with several workers */
#define LANES    24
#define PIECE    512 /* bytes of one operation, at most */
#define CANARY   '\xa5'
#define PAGE     4096

static uint64_t seed;
static long ops_max;

/* --- one operation, cancelled at some age ----------------------------------------------------- */

enum kind { RECV, RECV_ALL, READ, POLL, SEND, WRITE };

struct step {
    enum kind kind;
    int fd;
    char *buffer;
    size_t bytes;
    ssize_t result;
};

static ssize_t perform(const struct step *s)
{
    switch (s->kind) {
    case RECV:
        return weft_recv(s->fd, s->buffer, s->bytes, 0);
    case RECV_ALL:
        return weft_recv(s->fd, s->buffer, s->bytes, MSG_WAITALL);
    case READ:
        return weft_read(s->fd, s->buffer, s->bytes);
    case SEND:
        return weft_send(s->fd, s->buffer, s->bytes, 0);
    case WRITE:
        return weft_write(s->fd, s->buffer, s->bytes);
    case POLL:
        return weft_wait_fd(s->fd, POLLIN);
    }
    return -EINVAL;
}

static int perform_alone(void *arg)
{
    struct step *s = arg;
    s->result = perform(s);
    return 0;
}

/* By a deadline of up to 60 us; or by its owner, after up to 6 yields, once more for good
 * measure. */
static ssize_t perform_for_a_while(struct step *s, uint64_t *dice)
{
    if (below(dice, 2) == 0) {
        return weft_within(WEFT_US(below(dice, 60)), perform(s));
    }
    weft_task task;
    WEFT_SCOPE(scope);
    s->result = -ECANCELED; /* if it is not begun at all */
    wt_eq(weft_spawn(&task, perform_alone, s), 0);
    for (unsigned n = below(dice, 7); n > 0; n--) {
        weft_yield();
    }
    wt_eq(weft_scope_cancel(&scope, "storm"), 0);
    wt_eq(weft_scope_cancel(&scope, "again"), -EALREADY);
    (void)weft_await(&task);
    (void)weft_scope_end(&scope);
    return s->result == -ECANCELED ? -ETIME : s->result;
}

/* --- lanes ------------------------------------------------------------------------------------ */

struct lane {
    int ends[2]; /* bytes go from 1 to 0 */
    uint64_t dice;
    long ops;
    uint64_t sent, received;
};

static char byte_at(uint64_t position)
{
    return (char)(position * 7 + position / 251);
}

static int send_side(void *arg)
{
    struct lane *lane = arg;
    uint64_t dice = lane->dice ^ 1;
    for (long i = 0; i < lane->ops; i++) {
        char buffer[PIECE];
        struct step s = {.kind = below(&dice, 2) == 0 ? SEND : WRITE,
                         .fd = lane->ends[1],
                         .buffer = buffer,
                         .bytes = 1 + below(&dice, PIECE)};
        for (size_t k = 0; k < s.bytes; k++) {
            buffer[k] = byte_at(lane->sent + k);
        }
        ssize_t n = perform_for_a_while(&s, &dice);
        wt_true(n > 0 || n == -ETIME, "seed %" PRIu64 ": %zd", seed, n);
        lane->sent += n > 0 ? (uint64_t)n : 0;
        memset(buffer, CANARY, sizeof buffer); /* what the kernel read later would be wrong bytes */
        if (below(&dice, 3) == 0) {
            weft_yield();
        }
    }
    return weft_shutdown(lane->ends[1], SHUT_WR);
}

/* Now and then the buffer is a page that goes away as soon as the call has returned. */
static char *borrow(char *own, bool page)
{
    if (!page) {
        memset(own, CANARY, PIECE);
        return own;
    }
    void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    wt_true(memory != MAP_FAILED);
    memset(memory, CANARY, PIECE);
    return memory;
}

static int receive_side(void *arg)
{
    struct lane *lane = arg;
    uint64_t dice = lane->dice ^ 2;
    char own[PIECE];
    ssize_t n = -ETIME;
    while (n != 0) { /* ends: the sender does */
        bool page = below(&dice, 32) == 0;
        struct step s = {.kind = (enum kind)below(&dice, 4),
                         .fd = lane->ends[0],
                         .buffer = own,
                         .bytes = 1 + below(&dice, PIECE)};
        s.buffer = s.kind != POLL ? borrow(own, page) : NULL;
        n = perform_for_a_while(&s, &dice);
        wt_true(n >= 0 || n == -ETIME, "seed %" PRIu64 ": %zd", seed, n);
        if (s.buffer == NULL) {
            n = n == 0 ? -ETIME : n;
        } else {
            for (ssize_t k = 0; k < n; k++) {
                wt_eq(s.buffer[k], byte_at(lane->received + (uint64_t)k), "seed %" PRIu64, seed);
            }
            lane->received += n > 0 ? (uint64_t)n : 0;
        }
        if (page && s.buffer != NULL) {
            wt_eq(munmap(s.buffer, PAGE), 0);
        } else if (s.buffer != NULL) {
            memset(own, CANARY, sizeof own);
            weft_yield(); /* time for whoever would still write to it */
            for (size_t k = 0; k < sizeof own; k++) {
                wt_eq(own[k], CANARY, "seed %" PRIu64 ": written after its return", seed);
            }
        }
    }
    return 0;
}

static int storm(void *arg)
{
    static struct lane lanes[LANES];
    static weft_task senders[LANES];
    static weft_task receivers[LANES];
    (void)arg;
    for (int i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){.dice = seed * LANES + (uint64_t)i, .ops = ops_max / 2 / LANES};
        wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lanes[i].ends), 0);
        int small = 4096; /* so that senders wait, too */
        setsockopt(lanes[i].ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        wt_eq(weft_spawn(&receivers[i], receive_side, &lanes[i]), 0);
        wt_eq(weft_spawn(&senders[i], send_side, &lanes[i]), 0);
    }
    for (int i = 0; i < LANES; i++) {
        wt_eq(weft_await(&senders[i]), 0);
        wt_eq(weft_await(&receivers[i]), 0);
        wt_eq(lanes[i].received, lanes[i].sent, "seed %" PRIu64 ", lane %d", seed, i);
        weft_close(lanes[i].ends[0]);
        weft_close(lanes[i].ends[1]);
    }
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    fprintf(stderr, "%" PRIu64 " operations, %" PRIu64 " cancelled\n", stats.ops_submitted,
            stats.ops_cancelled);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    wt_gt(stats.ops_cancelled, 0);
    wt_ge(stats.ops_submitted, (uint64_t)ops_max / 2);
    return 0;
}

static void run_storm(int workers)
{
    seed = first_seed();
    ops_max = getenv("WT_SOAK") != NULL ? OPS_SOAK : OPS;
    wt_eq(weft_run(storm, NULL, .workers = workers), 0);
}

/* As long as a soak takes on one worker (150 s alone) where ten programs run beside it; of a short
 * run ctest has a shorter limit. */
#define LIMIT_S 1800

Test(io_storm, operations_cancelled_at_random_ages_lose_nothing_on_one_worker, .timeout = LIMIT_S)
{
    run_storm(1);
}

Test(io_storm, operations_cancelled_at_random_ages_lose_nothing_on_three_workers,
     .timeout = LIMIT_S)
{
    run_storm(3);
}
