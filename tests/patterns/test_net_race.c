/* test_net_race.c: the calls of <weft/net.h> against cancellation, shutdown, close, and each
 * other. */
#include "net_pattern.h"
#include <sys/eventfd.h>

/* Ways to wait for bytes on a Unix socket. */
enum how { READV, RECVMSG, RECVFROM, RECV_MANY, RECV_FDS, HOWS };

struct waiter {
    enum how how;
    int fd;
    char bytes[64];
    ssize_t got; /* bytes, or of RECV_MANY those of the first message; or -errno */
    atomic_int begun;
};

static ssize_t wait_for_bytes(struct waiter *waiter)
{
    struct iovec parts[2] = {{waiter->bytes, 1}, {waiter->bytes + 1, sizeof waiter->bytes - 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    struct mmsghdr many[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
    weft_addr from;
    int count = 0;
    switch (waiter->how) {
    case READV:
        return weft_readv(waiter->fd, parts, 2);
    case RECVMSG:
        return weft_recvmsg(waiter->fd, &message, 0);
    case RECVFROM:
        return weft_recvfrom(waiter->fd, waiter->bytes, sizeof waiter->bytes, 0, &from);
    case RECV_MANY:
        count = weft_recv_many(waiter->fd, many, 1, 0);
        return count > 0 ? (ssize_t)many[0].msg_len : count;
    default:
        return weft_recv_fds(waiter->fd, waiter->bytes, sizeof waiter->bytes, NULL, &count);
    }
}

static int wait_once(void *arg)
{
    struct waiter *waiter = arg;
    atomic_store(&waiter->begun, 1);
    waiter->got = wait_for_bytes(waiter);
    return 0;
}

TaskTest(net_race, shutdown_ends_each_of_them, 1)
{
    for (int how = 0; how < HOWS; how++) {
        int ends[2];
        open_pair(ends, SOCK_STREAM);
        struct waiter waiter = {.how = (enum how)how, .fd = ends[0]};
        weft_task task;
        wt_eq(weft_spawn(&task, wait_once, &waiter), 0);
        yield_until(&waiter.begun, 1);
        wt_eq(weft_shutdown(ends[0], SHUT_RD), 0);
        wt_eq(weft_await(&task), 0);
        wt_eq(waiter.got, 0, "%d", how);
        close_pair(ends);
    }
    return 0;
}

/* With one worker: what was queued before is in the kernel now, or stands in its descriptor's
 * list. */
static void until_the_driver_has_been_there(void)
{
    weft_stats before, now;
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    weft_stats_get(weft_rt_current(), &before);
    weft_time pause = WEFT_US(100);
    do {
        wt_lt(now_ns(), give_up_ns);
        weft_sleep(pause);
        pause *= 2; /* so long that the worker sleeps too, however slow it is */
        weft_stats_get(weft_rt_current(), &now);
    } while (now.driver_enters == before.driver_enters);
}

/* A number that was closed and is another file's by now. io.h forbids the close, and promises
 * this. */
TaskTest(net_race, the_next_file_of_the_same_number_is_not_touched, 1)
{
    for (int how = 0; how < HOWS; how++) {
        int ends[2], others[2];
        open_pair(ends, SOCK_STREAM);
        open_pair(others, SOCK_STREAM);
        struct waiter waiter = {.how = (enum how)how, .fd = ends[0]};
        weft_task task;
        WEFT_SCOPE(scope);
        wt_eq(weft_spawn(&task, wait_once, &waiter), 0);
        yield_until(&waiter.begun, 1);
        until_the_driver_has_been_there();
        wt_eq(dup2(others[0], ends[0]), ends[0]);
        wt_eq(weft_send(others[1], "new", 3, 0), 3);
        until_the_driver_has_been_there();
        weft_scope_cancel(&scope, "test");
        wt_eq(weft_await(&task), 0);
        weft_scope_end(&scope);
        wt_true(waiter.got == -ECANCELED || waiter.got == -EBADF || waiter.got == 0, "%d: %zd", how,
                waiter.got);
        char byte;
        wt_eq(weft_recv(ends[0], &byte, 1, 0), 1, "what came for the new one is there");
        wt_eq(byte, 'n');
        close_pair(ends);
        close_pair(others);
    }
    return 0;
}

TaskTest(net_race, two_who_receive_get_a_whole_message_each, 2)
{
    for (int how = RECVMSG; how < HOWS; how++) {
        int ends[2];
        open_pair(ends, SOCK_SEQPACKET);
        struct waiter waiters[2] = {{.how = (enum how)how, .fd = ends[0]},
                                    {.how = (enum how)how, .fd = ends[0]}};
        weft_task tasks[2];
        for (int i = 0; i < 2; i++) {
            wt_eq(weft_spawn(&tasks[i], wait_once, &waiters[i]), 0);
        }
        wt_eq(weft_send(ends[1], "one", 3, 0), 3);
        wt_eq(weft_send(ends[1], "three", 5, 0), 5);
        for (int i = 0; i < 2; i++) {
            wt_eq(weft_await(&tasks[i]), 0);
        }
        wt_eq(waiters[0].got + waiters[1].got, 8, "%d", how);
        wt_true(waiters[0].got == 3 || waiters[0].got == 5);
        wt_mem_eq(waiters[waiters[0].got == 3 ? 0 : 1].bytes, "one", 3);
        wt_mem_eq(waiters[waiters[0].got == 3 ? 1 : 0].bytes, "three", 5);
        close_pair(ends);
    }
    return 0;
}

/* --- at any time ------------------------------------------------------------------------------ */

#define STORM_MESSAGES 500

struct storm {
    int fd;
    atomic_int received;
    atomic_uint sum;
    atomic_int given_up;
};

struct receiver {
    struct storm *storm;
    unsigned seed;
};

WEFT_TASK(receive_impatiently, struct receiver)
{
    struct storm *storm = arg->storm;
    unsigned random = arg->seed;
    while (atomic_load(&storm->received) < STORM_MESSAGES) { /* ends: all are sent */
        random = random * 1664525u + 1013904223u;
        struct waiter waiter = {.how = (enum how)((random >> 8) % HOWS), .fd = storm->fd};
        ssize_t n = weft_within(WEFT_US(random >> 26), wait_for_bytes(&waiter));
        if (n < 0) {
            wt_eq(n, -ETIME);
            atomic_fetch_add(&storm->given_up, 1);
            continue;
        }
        unsigned number;
        wt_eq(n, sizeof number);
        memcpy(&number, waiter.bytes, sizeof number);
        atomic_fetch_add(&storm->sum, number);
        atomic_fetch_add(&storm->received, 1);
    }
    return 0;
}

TaskTest(net_race, calls_that_are_given_up_at_any_time_lose_no_message, 2)
{
    int ends[2];
    open_pair(ends, SOCK_SEQPACKET);
    int before = open_descriptors();
    struct storm storm = {.fd = ends[0]};
    WEFT_SCOPE(receivers);
    for (unsigned i = 0; i < 4; i++) {
        struct receiver receiver = {.storm = &storm, .seed = i};
        wt_eq(weft_go(&receivers, receive_impatiently, &receiver), 0);
    }
    unsigned sum = 0;
    for (unsigned i = 0; i < STORM_MESSAGES; i++) {
        int fd = i % 16 == 0 ? eventfd(0, EFD_CLOEXEC) : -1;
        /* some bring a descriptor, which nobody wants, and which must be closed */
        ssize_t n = weft_send_fds(ends[1], &i, sizeof i, &fd, fd >= 0);
        wt_eq(n, sizeof i);
        if (fd >= 0) {
            close(fd);
        }
        sum += i;
    }
    wt_eq(weft_scope_end(&receivers), 0);
    wt_eq(atomic_load(&storm.received), STORM_MESSAGES);
    wt_eq(atomic_load(&storm.sum), sum);
    wt_eq(open_descriptors(), before);
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    close_pair(ends);
    return 0;
}

/* A listener that is closed while others accept and connect. */
struct visitor {
    weft_addr address;
    atomic_int *over;
};

WEFT_TASK(visit_until_it_is_closed, struct visitor)
{
    int rc = 0;
    while (rc == 0) { /* ends: the listener is closed */
        int fd = weft_connect_addr(&arg->address, NULL);
        rc = fd < 0 ? fd : 0;
        char byte = 'x';
        if (fd >= 0) {
            /* If the listening socket was closed between the two last steps of the handshake, the
             * peer is gone, and we are not told before we send something. */
            (void)weft_send(fd, &byte, 1, 0);
            (void)weft_recv(fd, &byte, 1, 0);
            weft_close(fd);
        }
    }
    atomic_fetch_add(arg->over, 1);
    return rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -ENOENT ? 0 : rc;
}

WEFT_TASK(accept_until_it_is_closed, weft_listener *)
{
    int fd;
    while ((fd = weft_listener_accept(*arg, NULL)) >= 0) { /* ends: likewise */
        weft_close(fd);
    }
    return fd == -ESHUTDOWN ? 0 : fd;
}

TaskTest(net_race, a_listener_is_closed_while_connections_come, 2)
{
    int before = open_descriptors();
    for (int round = 0; round < 20; round++) {
        weft_listener *listener;
        atomic_int over = 0;
        wt_eq(weft_listen(&listener, "127.0.0.1:0", .lanes = round % 3), 0);
        WEFT_SCOPE(all);
        struct visitor visitor = {.over = &over};
        weft_listener_addr(listener, &visitor.address);
        for (int i = 0; i < 3; i++) {
            wt_eq(weft_go(&all, accept_until_it_is_closed, &listener), 0);
            wt_eq(weft_go(&all, visit_until_it_is_closed, &visitor), 0);
        }
        weft_sleep(WEFT_US(round * 100));
        wt_eq(weft_listener_close(listener), 0);
        wt_eq(weft_scope_end(&all), 0);
        wt_eq(atomic_load(&over), 3);
        weft_listener_free(listener);
    }
    wt_eq(open_descriptors(), before);
    return 0;
}
