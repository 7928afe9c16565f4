/* Descriptors that are closed, and whose numbers go to other files, between two operations of one
 * call. */
#include "net_pattern.h"
#include <stdbool.h>
#include <sys/ioctl.h>
#include <fcntl.h>
#include <weft/loan.h>
#include <weft/stackless.h>
#include <weft/stream.h>

#define EdgeTest(name, ...)                                 \
    static int name##_root(void *arg);                      \
    Test(close_edge, name)                                  \
    {                                                       \
        wt_eq(weft_run(name##_root, NULL, __VA_ARGS__), 0); \
    }                                                       \
    static int name##_root(void *arg __attribute__((unused)))

static char large[1 << 20]; /* more than a socket takes */

struct use {
    int fd;
    atomic_int begun, ended;
    ssize_t got;
    bool pooled, lent;
    weft_loan loan;
};

static void put_in(int fd, const char *text)
{
    wt_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The number of `ends[0]`, which was closed. */
static void reuse(const int ends[2], int next[2])
{
    open_pair(next, SOCK_STREAM);
    wt_eq(next[0], ends[0]);
}

/* --- sends of several operations -------------------------------------------------------------- */

static int do_send_all(void *arg)
{
    struct use *use = arg;
    use->got = weft_send_all(use->fd, large, sizeof large, 0);
    atomic_store(&use->ended, 1);
    return 0;
}

static int do_sendv_all(void *arg)
{
    struct use *use = arg;
    struct iovec parts[] = {{large, 10}, {large + 10, sizeof large - 10}};
    use->got = weft_sendv_all(use->fd, parts, 2, 0);
    atomic_store(&use->ended, 1);
    return 0;
}

static void close_under_a_send(weft_fn *fn)
{
    int ends[2], next[2];
    int there = 0;
    char byte;
    ssize_t stray = -1;
    open_pair(ends, SOCK_STREAM);
    struct use use = {.fd = ends[0]};
    weft_task task;
    wt_eq(weft_spawn(&task, fn, &use), 0);
    while (there == 0) { /* ends: it has begun to send */
        weft_yield();
        wt_eq(ioctl(ends[1], FIONREAD, &there), 0);
    }
    wt_eq(weft_close(ends[0]), 0);
    reuse(ends, next);
    while (stray < 0 && atomic_load(&use.ended) == 0) { /* ends: it is, or sends to the next file */
        weft_yield();
        stray = recv(next[1], &byte, 1, MSG_DONTWAIT);
    }
    wt_eq(stray, -1);
    wt_eq(weft_await(&task), 0);
    wt_gt(use.got, 0); /* what it had sent */
    wt_lt(use.got, (ssize_t)sizeof large);
    close(ends[1]);
    close_pair(next);
}

EdgeTest(of_a_send_in_several_steps_the_next_file_gets_nothing, .workers = 1)
{
    for (int i = 0; i < 5; i++) {
        close_under_a_send(do_send_all);
        close_under_a_send(do_sendv_all);
    }
    return 0;
}

EdgeTest(nor_does_it_with_several_workers, .workers = 3)
{
    for (int i = 0; i < 20; i++) {
        close_under_a_send(do_send_all);
        close_under_a_send(do_sendv_all);
    }
    return 0;
}

/* --- a reader --------------------------------------------------------------------------------- */

static int do_read_line(void *arg)
{
    struct use *use = arg;
    weft_reader reader;
    char *line = NULL;
    char own[100];
    weft_stream stream = use->lent ? weft_stream_lent(use->fd) : weft_stream_socket(use->fd);
    weft_reader_init(&reader, stream, use->pooled ? NULL : own, use->pooled ? 0 : sizeof own);
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_reader_line(&reader, 100, &line, NULL);
    weft_reader_fini(&reader);
    return 0;
}

/* Half a line has come, and has not been taken yet, when the descriptor is closed. */
EdgeTest(a_reader_gets_no_rest_of_its_line_from_the_next_file, .workers = 1)
{
    for (int i = 0; i < 15; i++) {
        int ends[2], next[2];
        open_pair(ends, SOCK_STREAM);
        struct use use = {.fd = ends[0], .pooled = i < 10, .lent = i < 5};
        weft_task task;
        wt_eq(weft_spawn(&task, do_read_line, &use), 0);
        yield_until(&use.begun, 1);
        if (i % 2 == 0) {
            weft_sleep(WEFT_US(300)); /* no result depends on it: so that it waits, mostly */
        }
        put_in(ends[1], "half");
        wt_eq(weft_close(ends[0]), 0);
        reuse(ends, next);
        put_in(next[1], "new\n");
        wt_eq(weft_await(&task), 0);
        wt_eq(use.got, -EBADF);
        close(ends[1]);
        close_pair(next);
    }
    return 0;
}

/* --- receives with a loan --------------------------------------------------------------------- */

static int do_loan(void *arg)
{
    struct use *use = arg;
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_recv_loan(use->fd, &use->loan, 0);
    return 0;
}

static int do_recv(void *arg)
{
    struct use *use = arg;
    char byte;
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_recv(use->fd, &byte, 1, 0);
    return 0;
}

static int do_close(void *arg)
{
    struct use *use = arg;
    use->got = weft_close(use->fd);
    return 0;
}

/* Such a receive never comes to the driver: nor does its cancellation. */
EdgeTest(a_loan_is_refused_while_it_closes_also_past_a_deadline, .workers = 1)
{
    for (int i = 0; i < 20; i++) {
        int ends[2];
        weft_loan loan;
        open_pair(ends, SOCK_STREAM);
        struct use use = {.fd = ends[0]};
        struct use closer = {.fd = ends[0]};
        weft_task tasks[2];
        wt_eq(weft_spawn(&tasks[0], do_recv, &use), 0);
        yield_until(&use.begun, 1);
        wt_eq(weft_spawn(&tasks[1], do_close, &closer), 0);
        wt_eq(weft_yield(), 0);
        wt_eq(weft_within(0, weft_recv_loan(ends[0], &loan, 0)), -EBADF);
        wt_eq(weft_await(&tasks[0]), 0);
        wt_eq(weft_await(&tasks[1]), 0);
        wt_eq(use.got, -EBADF);
        wt_eq(closer.got, 0);
        close(ends[1]);
    }
    return 0;
}

/* The kernel finds no buffer; one comes back, and is lent to it again; the descriptor is closed;
 * and only then the receiver runs, and asks the kernel once more. */
EdgeTest(a_loan_that_asks_again_does_not_ask_the_next_file, .workers = 1, .loans = 1)
{
    for (int i = 0; i < 10; i++) {
        int mine[2], ends[2], next[2];
        weft_loan held;
        char byte;
        open_pair(mine, SOCK_STREAM);
        open_pair(ends, SOCK_STREAM);
        put_in(mine[1], "x");
        wt_eq(weft_recv_loan(mine[0], &held, 0), 1);
        struct use use = {.fd = ends[0]};
        weft_task task;
        wt_eq(weft_spawn(&task, do_loan, &use), 0);
        yield_until(&use.begun, 1);
        weft_sleep(WEFT_US(300)); /* no result depends on it: so that the kernel has both, mostly */
        weft_val val = weft_recv_v(mine[0], &byte, 1, 0);
        weft_yield();
        put_in(i % 2 == 0 ? mine[1] : ends[1], "y");
        put_in(i % 2 == 0 ? ends[1] : mine[1], "y");
        wt_eq(weft_val_await(val), 1);
        weft_loan_give(&held);
        wt_eq(weft_close(ends[0]), 0);
        reuse(ends, next);
        put_in(next[1], "new");
        wt_eq(weft_await(&task), 0);
        wt_true(use.got == -EBADF || (use.got == 1 && use.loan.data[0] == 'y'), "%zd", use.got);
        weft_loan_give(&use.loan);
        close_pair(mine);
        close_pair(next);
        close(ends[1]);
    }
    return 0;
}

/* Whoever stands in line is ended, though no buffer comes: on a stack, and as a value that nobody
 * awaits yet. */
EdgeTest(a_loan_in_line_is_ended, .workers = 1, .loans = 1)
{
    int before = open_descriptors();
    int mine[2], ends[2];
    weft_loan held, other;
    weft_stats stats;
    open_pair(mine, SOCK_STREAM);
    put_in(mine[1], "x");
    wt_eq(weft_recv_loan(mine[0], &held, 0), 1);
    open_pair(ends, SOCK_STREAM);
    put_in(ends[1], "y");
    struct use uses[2] = {{.fd = ends[0]}, {.fd = ends[0]}};
    weft_task tasks[2];
    for (int i = 0; i < 2; i++) {
        wt_eq(weft_spawn(&tasks[i], do_loan, &uses[i]), 0);
        do { /* ends: it comes to the line */
            weft_yield();
            weft_stats_get(weft_rt_current(), &stats);
        } while (stats.loans_awaited < (uint64_t)i + 1);
    }
    weft_val val = weft_recv_loan_v(ends[0], &other, 0);
    weft_sleep(WEFT_US(
        300)); /* no result depends on it: so that the kernel has said that it has none, mostly */
    wt_eq(weft_close(ends[0]), 0);
    char byte[2];
    wt_eq(recv(ends[1], byte, 2, MSG_DONTWAIT), -1); /* its data were not read: */
    wt_eq(errno, ECONNRESET);                        /* nobody has the file any more */
    for (int i = 0; i < 2; i++) {
        wt_eq(weft_await(&tasks[i]), 0);
        wt_eq(uses[i].got, -EBADF);
    }
    wt_eq(weft_val_await(val), -EBADF);
    wt_true(other.data == NULL);
    weft_loan_give(&held);
    close_pair(mine);
    close(ends[1]);
    wt_eq(open_descriptors(), before);
    return 0;
}

/* --- ready, and not yet run ------------------------------------------------------------------- */

static int do_read_nonblock(void *arg)
{
    struct use *use = arg;
    char byte = 0;
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_read(use->fd, &byte, 1);
    return byte == 'n' ? -EPROTO : 0;
}

static int do_recv_many(void *arg)
{
    struct use *use = arg;
    char byte = 0;
    struct iovec part = {&byte, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_recv_many(use->fd, &message, 1, 0);
    return byte == 'n' ? -EPROTO : 0;
}

static int do_recv_many_v(void *arg)
{
    struct use *use = arg;
    char byte = 0;
    struct iovec part = {&byte, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    weft_val val = weft_recv_many_v(use->fd, &message, 1, 0);
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_val_await(val);
    return byte == 'n' ? -EPROTO : 0;
}

static int do_read_nonblock_v(void *arg)
{
    struct use *use = arg;
    char byte = 0;
    weft_val val = weft_read_v(use->fd, &byte, 1);
    atomic_fetch_add(&use->begun, 1);
    use->got = weft_val_await(val);
    return byte == 'n' ? -EPROTO : 0;
}

/* What the call waits for comes, and then what we wait for, or the other way round: so one of us
 * runs first, with the other's operation ended. When it is we, we close, and the number becomes
 * another file's. */
static void close_before_it_runs(weft_fn *fn, const struct use *like, bool first)
{
    int mine[2], ends[2], next[2];
    char byte;
    open_pair(mine, SOCK_STREAM);
    open_pair(ends, SOCK_STREAM);
    wt_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    struct use use = {.fd = ends[0], .pooled = like->pooled, .lent = like->lent};
    weft_task task;
    wt_eq(weft_spawn(&task, fn, &use), 0);
    yield_until(&use.begun, 1);
    weft_sleep(WEFT_US(300)); /* no result depends on it: so that it waits, mostly */
    weft_val val = weft_recv_v(mine[0], &byte, 1, 0);
    weft_yield();
    put_in(first ? mine[1] : ends[1], "h");
    put_in(first ? ends[1] : mine[1], "h");
    wt_eq(weft_val_await(val), 1);
    wt_eq(weft_close(ends[0]), 0);
    reuse(ends, next);
    put_in(next[1], "n\n");
    wt_eq(weft_await(&task), 0);
    wt_true(use.got == -EBADF || (use.got == 1 && fn != do_read_line), "%zd", use.got);
    wt_eq(recv(next[0], &byte, 1, MSG_DONTWAIT), 1); /* nobody has taken it */
    wt_eq(byte, 'n');
    close_pair(mine);
    close_pair(next);
    close(ends[1]);
}

EdgeTest(what_is_ready_and_has_not_run_does_not_go_on_at_the_next_file, .workers = 1)
{
    static const struct use own, pooled = {.pooled = true}, lent = {.pooled = true, .lent = true};
    for (int i = 0; i < 6; i++) {
        close_before_it_runs(do_read_line, &own, i % 2);
        close_before_it_runs(do_read_line, &pooled, i % 2);
        close_before_it_runs(do_read_line, &lent, i % 2);
        close_before_it_runs(do_read_nonblock, &own, i % 2);
        close_before_it_runs(do_read_nonblock_v, &own, i % 2);
        close_before_it_runs(do_recv_many, &own, i % 2);
        close_before_it_runs(do_recv_many_v, &own, i % 2);
    }
    return 0;
}

/* A reader is of the file that its descriptor meant, and of no later one: also between two
 * calls. */
EdgeTest(a_stream_ends_with_its_file, .workers = 1)
{
    for (int lent = 0; lent < 2; lent++) {
        int ends[2], next[2];
        char *line;
        open_pair(ends, SOCK_STREAM);
        weft_stream stream = lent ? weft_stream_lent(ends[0]) : weft_stream_socket(ends[0]);
        weft_reader reader;
        weft_writer writer;
        weft_reader_init(&reader, stream, NULL, 0);
        weft_writer_init(&writer, stream, NULL, 0);
        put_in(ends[1], "one\ntwo\n");
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1);
        wt_eq(weft_close(ends[0]), 0);
        reuse(ends, next);
        put_in(next[1], "three\n");
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1); /* it was there */
        wt_str_eq(line, "two");
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), -EBADF);
        wt_eq(weft_writer_write(&writer, "x", 1), 0);
        wt_eq(weft_writer_flush(&writer), -EBADF);
        weft_reader_fini(&reader);
        weft_writer_fini(&writer);
        close_pair(next);
        close(ends[1]);
    }
    return 0;
}

/* In line it goes on with the file that it meant; when it is served, another has taken the data. */
EdgeTest(a_loan_that_came_too_late_does_not_begin_again_at_the_next_file, .workers = 1, .loans = 1)
{
    int before = open_descriptors();
    for (int closes = 0; closes < 2; closes++) {
        int mine[2], ends[2], next[2];
        weft_loan held;
        weft_stats stats;
        char byte;
        open_pair(mine, SOCK_STREAM);
        open_pair(ends, SOCK_STREAM);
        put_in(mine[1], "x");
        put_in(ends[1], "y");
        wt_eq(weft_recv_loan(mine[0], &held, 0), 1);
        struct use use = {.fd = ends[0]};
        weft_task task;
        wt_eq(weft_spawn(&task, do_loan, &use), 0);
        do { /* ends: it comes to the line */
            weft_yield();
            weft_stats_get(weft_rt_current(), &stats);
        } while (stats.loans_awaited < (uint64_t)closes + 1);
        wt_eq(recv(ends[0], &byte, 1, MSG_DONTWAIT), 1);
        if (closes == 1) {
            wt_eq(close(ends[0]), 0); /* not by weft_close, which would end it */
            reuse(ends, next);
            put_in(next[1], "new");
        }
        weft_loan_give(&held);
        if (closes == 0) { /* a file that is still there is asked again */
            weft_yield();
            put_in(ends[1], "z");
        }
        wt_eq(weft_await(&task), 0);
        wt_eq(use.got, closes == 0 ? 1 : -EBADF);
        weft_loan_give(&use.loan);
        close_pair(mine);
        close(ends[1]);
        if (closes == 0) {
            close(ends[0]);
        } else {
            close_pair(next);
        }
    }
    wt_eq(open_descriptors(), before);
    return 0;
}
