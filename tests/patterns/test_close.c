/* A descriptor that is closed while calls use it: weft_close ends them, and waits until they have
 * ended, so that none of them touches the next file of that number. */
#include "net_pattern.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/eventfd.h>
#include <weft/file.h>
#include <weft/sync.h>

/* --- one of each ------------------------------------------------------------------------------ */

static char large[65536];

struct use {
    int fd;
    atomic_int begun;
    ssize_t got;
    char buffer[64];
};

static int do_recv(void *arg)
{
    struct use *use = arg;
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_recv(use->fd, use->buffer, sizeof use->buffer, 0);
    return 0;
}

static int do_recv_all(void *arg)
{
    struct use *use = arg;
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_recv(use->fd, use->buffer, sizeof use->buffer, MSG_WAITALL);
    return 0;
}

static int do_read(void *arg)
{
    struct use *use = arg;
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_read(use->fd, use->buffer, sizeof use->buffer);
    return 0;
}

static int do_send(void *arg)
{
    struct use *use = arg;
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_send(use->fd, large, sizeof large, 0);
    return 0;
}

static int do_accept(void *arg)
{
    struct use *use = arg;
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_accept(use->fd, NULL, NULL, 0);
    return 0;
}

static int do_wait_fd(void *arg)
{
    struct use *use = arg;
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_wait_fd(use->fd, POLLIN);
    return 0;
}

static int do_recv_many(void *arg)
{
    struct use *use = arg;
    struct iovec part = {use->buffer, sizeof use->buffer};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_recv_many(use->fd, &message, 1, 0);
    return 0;
}

/* What `fn` gives when the descriptor is closed while it waits. */
static ssize_t closed_under(weft_fn *fn, int fd)
{
    struct use use = {.fd = fd};
    weft_task task;
    wt_eq(weft_spawn(&task, fn, &use), 0);
    yield_until(&use.begun, 1);
    weft_sleep(WEFT_US(300)); /* no result depends on it: so that the kernel has it, mostly */
    wt_eq(weft_close(fd), 0);
    wt_eq(fcntl(fd, F_GETFD), -1);
    wt_eq(weft_await(&task), 0);
    return use.got;
}

static void every_kind_of_wait(void)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    wt_eq(closed_under(do_recv, ends[0]), -EBADF);
    close(ends[1]);
    open_pair(ends, SOCK_STREAM);
    wt_eq(closed_under(do_wait_fd, ends[0]), -EBADF);
    close(ends[1]);
    open_pair(ends, SOCK_DGRAM);
    wt_eq(closed_under(do_recv_many, ends[0]), -EBADF);
    close(ends[1]);
    open_pair(ends, SOCK_STREAM);
    while (send(ends[0], large, sizeof large, MSG_DONTWAIT) > 0) { /* ends: full */
    }
    wt_eq(closed_under(do_send, ends[0]), -EBADF);
    close(ends[1]);
    wt_eq(pipe2(ends, O_CLOEXEC), 0);
    wt_eq(closed_under(do_read, ends[0]), -EBADF);
    close(ends[1]);
    wt_eq(closed_under(do_read, eventfd(0, EFD_CLOEXEC)), -EBADF);
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    int own = dup(weft_listener_fd(listener));
    wt_eq(closed_under(do_accept, own), -EBADF);
    weft_listener_free(listener);
}

static void balance(void)
{
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
}

TaskTest(close, ends_every_kind_of_wait_with_ebadf, 1)
{
    every_kind_of_wait();
    balance();
    return 0;
}

TaskTest(close, does_so_from_another_worker, 3)
{
    for (int i = 0; i < 10; i++) {
        every_kind_of_wait();
    }
    balance();
    return 0;
}

TaskTest(close, what_had_been_received_is_returned, 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    struct use use = {.fd = ends[0]};
    weft_task task;
    wt_eq(weft_spawn(&task, do_recv_all, &use), 0);
    yield_until(&use.begun, 1);
    wt_eq(weft_send(ends[1], "abc", 3, 0), 3);
    int left = 1;
    while (left > 0) { /* ends: it takes them */
        weft_yield();
        wt_eq(ioctl(ends[0], FIONREAD, &left), 0);
    }
    wt_eq(weft_close(ends[0]), 0);
    wt_eq(weft_await(&task), 0);
    wt_eq(use.got, 3);
    close(ends[1]);
    return 0;
}

TaskTest(close, ends_all_that_use_it_and_nobody_else, 2)
{
    enum { READERS = 20 };
    int ends[2];
    int others[2];
    struct use uses[READERS];
    struct use other = {0};
    weft_task tasks[READERS];
    weft_task other_task;
    open_pair(ends, SOCK_STREAM);
    open_pair(others, SOCK_STREAM);
    other.fd = others[0];
    wt_eq(weft_spawn(&other_task, do_recv, &other), 0);
    for (int i = 0; i < READERS; i++) {
        uses[i] = (struct use){.fd = ends[0]};
        wt_eq(weft_spawn(&tasks[i], i % 2 == 0 ? do_recv : do_wait_fd, &uses[i]), 0);
    }
    for (int i = 0; i < READERS; i++) {
        yield_until(&uses[i].begun, 1);
    }
    wt_eq(weft_close(ends[0]), 0);
    for (int i = 0; i < READERS; i++) {
        wt_eq(weft_await(&tasks[i]), 0);
        wt_eq(uses[i].got, -EBADF);
    }
    wt_eq(weft_send(others[1], "x", 1, 0), 1);
    wt_eq(weft_await(&other_task), 0);
    wt_eq(other.got, 1);
    close(ends[1]);
    close_pair(others);
    return 0;
}

/* --- who closes ------------------------------------------------------------------------------- */

TaskTest(close, in_a_cancelled_scope_and_past_a_deadline_it_does_the_same, 1)
{
    int ends[2];
    weft_task task;
    for (int i = 0; i < 2; i++) {
        open_pair(ends, SOCK_STREAM);
        struct use use = {.fd = ends[0]};
        wt_eq(weft_spawn(&task, do_recv, &use), 0);
        yield_until(&use.begun, 1);
        if (i == 0) {
            WEFT_SCOPE(s);
            weft_scope_cancel(&s, "test");
            wt_eq(weft_close(ends[0]), 0);
            (void)weft_scope_end(&s);
        } else {
            wt_eq(weft_within(0, weft_close(ends[0])), 0);
        }
        wt_eq(weft_await(&task), 0);
        wt_eq(use.got, -EBADF);
        close(ends[1]);
    }
    return 0;
}

static int do_close(void *arg)
{
    struct use *use = arg;
    use->got = weft_close(use->fd);
    return 0;
}

TaskTest(close, of_two_at_once_one_closes, 3)
{
    for (int i = 0; i < 100; i++) {
        int ends[2];
        open_pair(ends, SOCK_STREAM);
        struct use use = {.fd = ends[0]};
        struct use closers[2] = {{.fd = ends[0]}, {.fd = ends[0]}};
        weft_task tasks[3];
        wt_eq(weft_spawn(&tasks[0], do_recv, &use), 0);
        yield_until(&use.begun, 1);
        wt_eq(weft_spawn(&tasks[1], do_close, &closers[0]), 0);
        wt_eq(weft_spawn(&tasks[2], do_close, &closers[1]), 0);
        for (int t = 0; t < 3; t++) {
            wt_eq(weft_await(&tasks[t]), 0);
        }
        wt_eq(use.got, -EBADF);
        wt_eq(closers[0].got + closers[1].got, -EBADF); /* and 0 */
        close(ends[1]);
    }
    return 0;
}

/* Such an operation never comes to the driver: nor does its cancellation. */
TaskTest(close, refuses_while_it_waits_what_begins_past_a_deadline, 1)
{
    for (int i = 0; i < 20; i++) {
        int ends[2];
        char byte = 0;
        open_pair(ends, SOCK_STREAM);
        struct use use = {.fd = ends[0]};
        struct use closer = {.fd = ends[0]};
        weft_task tasks[2];
        wt_eq(weft_spawn(&tasks[0], do_recv, &use), 0);
        yield_until(&use.begun, 1);
        wt_eq(weft_spawn(&tasks[1], do_close, &closer), 0);
        wt_eq(weft_yield(), 0);
        wt_eq(weft_within(0, weft_recv(ends[0], &byte, 1, 0)), -EBADF);
        wt_eq(weft_await(&tasks[0]), 0);
        wt_eq(weft_await(&tasks[1]), 0);
        wt_eq(use.got, -EBADF);
        wt_eq(closer.got, 0);
        close(ends[1]);
    }
    return 0;
}

TaskTest(close, of_a_task_s_own_pending_value, 1)
{
    int ends[2];
    char byte = 0;
    open_pair(ends, SOCK_STREAM);
    weft_val receiving = weft_recv_v(ends[0], &byte, 1, 0);
    wt_eq(weft_close(ends[0]), 0); /* the kernel has not even heard of it */
    int next[2];
    open_pair(next, SOCK_STREAM);
    wt_eq(next[0], ends[0]);
    wt_eq(send(next[1], "n", 1, MSG_NOSIGNAL), 1);
    wt_eq(weft_val_await(receiving), -EBADF);
    wt_eq(byte, 0);
    wt_eq(weft_recv(next[0], &byte, 1, 0), 1);
    wt_eq(byte, 'n');
    close(ends[1]);
    close_pair(next);
    return 0;
}

/* A TCP socket with SO_LINGER, whose peer, ends[1], reads nothing of what it is full of. */
static void open_lingering(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* the lowest number */
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(listener, (struct sockaddr *)&address, bytes), 0);
    wt_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    wt_eq(listen(listener, 1), 0);
    wt_eq(connect(ends[0], (struct sockaddr *)&address, bytes), 0);
    ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    wt_ge(ends[1], 0);
    close(listener);
    while (send(ends[0], large, sizeof large, MSG_DONTWAIT) > 0) { /* ends: full */
    }
    struct linger linger = {.l_onoff = 1, .l_linger = 100};
    wt_eq(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

/* The only worker is free for others while the socket lingers, and so is the number. */
TaskTest(close, of_a_socket_that_lingers_occupies_no_worker, 1, .timeout = 60)
{
    int ends[2], next[2];
    char byte;
    open_lingering(ends);
    struct use use = {.fd = ends[0], .got = -1};
    weft_task task;
    wt_eq(weft_spawn(&task, do_close, &use), 0);
    while (fcntl(ends[0], F_GETFD) >= 0) { /* ends: it closes it */
        weft_yield();
    }
    open_pair(next, SOCK_STREAM);
    wt_eq(next[0], ends[0]);
    wt_eq(send(next[1], "n", 1, 0), 1);
    wt_eq(weft_recv(next[0], &byte, 1, 0), 1);
    wt_eq(use.got, -1); /* weft_close itself waits */
    close(ends[1]);     /* with data unread: a reset, so that nothing is left to linger for */
    wt_eq(weft_await(&task), 0);
    wt_eq(use.got, 0);
    close_pair(next);
    return 0;
}

TaskTest(close, of_what_nobody_uses_or_is_no_descriptor, 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    wt_eq(weft_close(ends[0]), 0);
    wt_eq(weft_close(ends[0]), -EBADF);
    wt_eq(weft_close(-1), -EBADF);
    wt_eq(weft_close(INT32_MAX), -EBADF);
    close(ends[1]);
    return 0;
}

/* --- a storm ---------------------------------------------------------------------------------- */

#define STORM_PAIRS  300
#define STORM_CLOSES 4

struct storm {
    uint64_t seed;
    atomic_int begun, reused, ended;
};

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Each socket carries the letter of its life; a reader that gets another one has read from the next
 * file. */
struct life {
    struct storm *storm;
    int fd;
    char letter;
    atomic_int begun;
};

/* One receive, of more than will come. It is under way when `begun` says so: a call that begins
 * after the close may find the next file, as everywhere. */
static int live(void *arg)
{
    struct life *life = arg;
    char got[64];
    weft_val receiving = weft_recv_v(life->fd, got, sizeof got, MSG_WAITALL);
    atomic_store(&life->begun, 1);
    ssize_t n = weft_val_await(receiving);
    wt_true(n == -EBADF || n > 0, "%zd", n);
    for (ssize_t i = 0; i < n; i++) {
        wt_eq(got[i], life->letter);
    }
    atomic_fetch_add(&life->storm->ended, 1);
    return 0;
}

WEFT_TASK(storm_of_closes, struct storm *)
{
    struct storm *storm = *arg;
    uint64_t seed = storm->seed + (uint64_t)atomic_fetch_add(&storm->begun, 1);
    int before = -1;
    for (int i = 0; i < STORM_PAIRS / STORM_CLOSES; i++) {
        int ends[2];
        struct life life = {.storm = storm, .letter = (char)('a' + next_random(&seed) % 26)};
        weft_task task;
        open_pair(ends, SOCK_STREAM);
        atomic_fetch_add(&storm->reused, ends[0] == before);
        before = life.fd = ends[0];
        wt_eq(weft_spawn(&task, live, &life), 0);
        yield_until(&life.begun, 1);
        for (uint32_t sends = next_random(&seed) % 3; sends > 0; sends--) {
            wt_eq(send(ends[1], &life.letter, 1, MSG_NOSIGNAL), 1);
            if (next_random(&seed) % 2 == 0) {
                weft_yield();
            }
        }
        wt_eq(weft_close(ends[0]), 0);
        wt_eq(weft_close(ends[1]), 0);
        wt_eq(weft_await(&task), 0);
    }
    return 0;
}

TaskTest(close, a_storm_of_reused_numbers_mixes_no_two_files, 3, .timeout = 60)
{
    static struct storm storm;
    struct storm *it = &storm;
    const char *given = getenv("WT_SEED"); /* repeats the choices, not the interleaving */
    storm.seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now_ns();
    fprintf(stderr, "WT_SEED=%llu\n", (unsigned long long)storm.seed);
    WEFT_SCOPE(s);
    for (int i = 0; i < STORM_CLOSES; i++) {
        wt_eq(weft_go(&s, storm_of_closes, &it), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&storm.ended), STORM_PAIRS);
    wt_gt(atomic_load(&storm.reused), 0);
    balance();
    return 0;
}
