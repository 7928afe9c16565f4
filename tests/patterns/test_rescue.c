/* test_rescue.c: a task that waits for the kernel goes on although its worker is busy in another
 * task's code (weft_rt_opts.rescue).
 *
 * "Its worker" is found out by the thread: a reader that has noted the thread on which it waits,
 * and that root runs on too, waits in this worker's ring. Busy is a loop without a call of weft, or
 * a system call that blocks. Without rescue such a test waits until its patience is over, and
 * fails. */
#include "capture.h"
#include "pattern.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <weft/debug.h>
#include <weft/exec.h>
#include <weft/io.h>
#include <weft/loan.h>
#include <weft/net.h>

struct reader {
    weft_task task;
    int fds[2]; /* it reads from the first */
    atomic_int waits;
    atomic_int got; /* bytes, or -errno; 0: nothing yet */
    pid_t waited_on, went_on;
};

static bool borrows; /* the readers have no buffer of their own */

static int borrow_one(struct reader *reader)
{
    weft_loan loan;
    reader->waited_on = gettid();
    atomic_store(&reader->waits, 1);
    ssize_t n = weft_recv_loan(reader->fds[0], &loan, 0);
    reader->went_on = gettid();
    int got = n == 1 && loan.data[0] == 'x' ? 1 : -EPROTO;
    weft_loan_give(&loan);
    atomic_store(&reader->got, got);
    return got == 1 ? 0 : got;
}

static int read_one(void *arg)
{
    struct reader *reader = arg;
    if (borrows) {
        return borrow_one(reader);
    }
    char byte;
    reader->waited_on = gettid();
    atomic_store(&reader->waits, 1);
    ssize_t n = weft_recv(reader->fds[0], &byte, 1, 0);
    reader->went_on = gettid();
    atomic_store(&reader->got, n == 0 ? -EPIPE : (int)n);
    return n == 1 ? 0 : -EPROTO;
}

static void open_reader(struct reader *reader)
{
    memset(reader, 0, sizeof *reader);
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, reader->fds), 0);
}

static int close_reader(struct reader *reader)
{
    int rc = weft_await(&reader->task);
    close(reader->fds[0]);
    close(reader->fds[1]);
    return rc;
}

static void feed(struct reader *reader)
{
    wt_eq(send(reader->fds[1], "x", 1, 0), 1);
}

/* Keeps the other one of two workers busy, so that what the calling task spawns begins on its own
 * worker, to which the task is pinned. */
struct keeper {
    weft_task task;
    atomic_int keeps, let_go;
};

static int keep_worker(void *arg)
{
    struct keeper *keeper = arg;
    atomic_store(&keeper->keeps, 1);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&keeper->let_go) == 0 && now_ns() < give_up_ns) {
    }
    return 0;
}

static void keep_other(struct keeper *keeper)
{
    memset(keeper, 0, sizeof *keeper);
    wt_eq(weft_spawn(&keeper->task, keep_worker, keeper), 0);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&keeper->keeps) == 0 && now_ns() < give_up_ns) { /* without a call of weft */
    }
    wt_eq(atomic_load(&keeper->keeps), 1);
}

/* Without waiting by a call of weft: what was queued for the kernel meanwhile stays queued. */
static void let_other_go(struct keeper *keeper)
{
    atomic_store(&keeper->let_go, 1);
    while (weft_status(&keeper->task) != 0) { /* ends: as the task does */
    }
    wt_eq(weft_await(&keeper->task), 0);
}

/* One that waits in the ring of this worker; the other one is kept. */
static void place_reader(struct reader *reader)
{
    open_reader(reader);
    wt_eq(weft_spawn(&reader->task, read_one, reader), 0);
    yield_until(&reader->waits, 1);
    wt_eq(reader->waited_on, gettid());
}

static void place_readers(struct reader *readers, int count)
{
    struct keeper keeper;
    keep_other(&keeper);
    for (int i = 0; i < count; i++) {
        place_reader(&readers[i]);
    }
    let_other_go(&keeper);
}

/* Until the reader has something, without a call of weft. */
static void compute_until_got(struct reader *reader)
{
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&reader->got) == 0 && now_ns() < give_up_ns) {
    }
}

static bool is_on(void)
{
    char text[256];
    wt_gt(weft_rt_report(weft_rt_current(), text, sizeof text), 0);
    return strstr(text, "rescue on") != NULL;
}

TaskTest(rescue, a_reader_goes_on_while_its_worker_computes, 2, .timeout = 60)
{
    if (!is_on()) {
        return 0; /* not by this backend */
    }
    struct reader reader;
    wt_eq(weft_pin(1), 0);
    place_readers(&reader, 1);
    feed(&reader);
    compute_until_got(&reader);
    wt_eq(atomic_load(&reader.got), 1);
    wt_ne(reader.went_on, gettid(), "this thread has done nothing else");
    wt_eq(close_reader(&reader), 0);
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_gt(stats.ops_rescued, 0);
    wt_gt(stats.kicks, 0);
    return 0;
}

struct yielder {
    weft_task task;
    atomic_int ended;
    int most_turns;
};

/* Waits in this worker's ring for bytes that come between two turns of a task that yields; each
 * time at another distance from the turn at which the worker would ask the kernel anyhow. */
static int count_turns(void *arg)
{
    enum { ROUNDS = 16, TURNS_MAX = 200 };
    struct yielder *yielder = arg;
    wt_eq(weft_pin(1), 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct reader reader;
        place_reader(&reader);
        for (int i = 0; i < 64 + 4 * round; i++) { /* the kernel has it by then */
            wt_eq(weft_yield(), 0);
        }
        feed(&reader);
        int turns = 0;
        while (atomic_load(&reader.got) == 0 && turns < TURNS_MAX) {
            wt_eq(weft_yield(), 0);
            turns++;
        }
        wt_eq(close_reader(&reader), 0);
        yielder->most_turns = turns > yielder->most_turns ? turns : yielder->most_turns;
    }
    atomic_store(&yielder->ended, 1);
    return 0;
}

/* What a worker has ended for another is not taken for the end of its own. */
TaskTest(rescue, a_worker_that_has_helped_sees_its_own_operation_end_within_a_few_turns, 2,
         .timeout = 60)
{
    if (!is_on()) {
        return 0;
    }
    struct reader reader;
    wt_eq(weft_pin(1), 0);
    place_readers(&reader, 1);
    feed(&reader);
    compute_until_got(&reader);
    wt_eq(atomic_load(&reader.got), 1);
    struct yielder yielder = {.most_turns = 0};
    wt_eq(weft_spawn(&yielder.task, count_turns, &yielder), 0); /* for the other worker */
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&yielder.ended) == 0 && now_ns() < give_up_ns) { /* without a call of weft */
    }
    wt_eq(atomic_load(&yielder.ended), 1);
    wt_eq(weft_await(&yielder.task), 0);
    wt_lt(yielder.most_turns, 16);
    wt_eq(close_reader(&reader), 0);
    return 0;
}

/* All of their operations are under way on the worker that computes. */
static void read_while_it_computes(struct reader *readers, int count)
{
    wt_eq(weft_pin(1), 0);
    place_readers(readers, count);
    for (int i = 0; i < count; i++) {
        feed(&readers[i]);
    }
    for (int i = 0; i < count; i++) {
        compute_until_got(&readers[i]);
        wt_eq(atomic_load(&readers[i].got), 1);
    }
    for (int i = 0; i < count; i++) {
        wt_eq(close_reader(&readers[i]), 0);
    }
}

/* What was queued for the kernel is begun, too, and each next operation of the rescued goes on. */
TaskTest(rescue, many_readers_go_on_while_their_worker_computes, 2, .timeout = 60)
{
    enum { READERS = 100 };
    static struct reader readers[READERS];
    if (!is_on()) {
        return 0;
    }
    read_while_it_computes(readers, READERS);
    return 0;
}

/* The buffers are in the busy worker's ring, fewer than readers; they go back to it from another
 * worker. */
TaskTest(rescue, readers_without_a_buffer_go_on_while_their_worker_computes, 2, .timeout = 60)
{
    enum { READERS = 300 };
    static struct reader readers[READERS];
    if (!is_on()) {
        return 0;
    }
    borrows = true;
    read_while_it_computes(readers, READERS);
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.loans, 0);
    return 0;
}

TaskTest(rescue, a_reader_goes_on_while_its_worker_blocks_in_a_system_call, 2, .timeout = 60)
{
    if (!is_on()) {
        return 0;
    }
    struct reader reader;
    int fds[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    wt_eq(weft_pin(1), 0);
    place_readers(&reader, 1);
    feed(&reader);
    /* poll is one of the calls that a signal ends with EINTR: the kick has come */
    struct pollfd never = {.fd = fds[0], .events = POLLIN};
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&reader.got) == 0 && now_ns() < give_up_ns) {
        int rc = poll(&never, 1, 1000);
        wt_true(rc == 0 || (rc < 0 && errno == EINTR));
    }
    wt_eq(atomic_load(&reader.got), 1);
    wt_eq(close_reader(&reader), 0);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

/* --- listeners -------------------------------------------------------------------------------- */

struct acceptor {
    weft_task task;
    weft_listener *listener;
    atomic_int accepted; /* or -errno */
    atomic_int waits;
    pid_t waited_on;
    int count;
};

static int accept_some(void *arg)
{
    struct acceptor *acceptor = arg;
    acceptor->waited_on = gettid();
    atomic_store(&acceptor->waits, 1);
    for (int i = 0; i < acceptor->count; i++) {
        int fd = weft_listener_accept(acceptor->listener, NULL);
        if (fd < 0) {
            atomic_store(&acceptor->accepted, fd);
            return fd;
        }
        weft_close(fd);
        atomic_fetch_add(&acceptor->accepted, 1);
    }
    return 0;
}

/* One whose lane, if it is the first, is this worker's; the other one is kept. */
static void place_acceptor(struct acceptor *acceptor, weft_listener *listener, int count)
{
    *acceptor = (struct acceptor){.listener = listener, .count = count};
    wt_eq(weft_spawn(&acceptor->task, accept_some, acceptor), 0);
    yield_until(&acceptor->waits, 1);
    wt_eq(acceptor->waited_on, gettid());
}

/* Without a call of weft; as many as were accepted before `count` was, or patience ran out. */
static int connect_and_compute(struct acceptor *acceptor, int count)
{
    weft_addr address;
    weft_listener_addr(acceptor->listener, &address);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        wt_eq(connect(fd, (struct sockaddr *)&address.storage, address.bytes), 0);
        close(fd);
    }
    while (atomic_load(&acceptor->accepted) >= 0 && atomic_load(&acceptor->accepted) < count &&
           now_ns() < give_up_ns) {
    }
    return atomic_load(&acceptor->accepted);
}

TaskTest(rescue, a_listener_of_a_busy_worker_is_accepted_from, 2, .timeout = 60)
{
    if (!is_on()) {
        return 0;
    }
    struct acceptor acceptor;
    struct keeper keeper;
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    wt_eq(weft_pin(1), 0);
    keep_other(&keeper);
    place_acceptor(&acceptor, listener, 8);
    let_other_go(&keeper);
    wt_eq(connect_and_compute(&acceptor, 8), 8);
    wt_eq(weft_await(&acceptor.task), 0);
    weft_listener_free(listener);
    return 0;
}

/* Its operation ends, because of an error that one of two acceptors is told; for the other one it
 * is begun again, and ends again, while its own worker is still busy. The kernel remembers how many
 * descriptors there may be from when the operation was begun, so the limit is set before. */
TaskTest(rescue, a_listener_of_a_busy_worker_whose_operation_has_ended_is_taken_over, 2,
         .timeout = 60)
{
    if (!is_on()) {
        return 0;
    }
    struct acceptor first, second;
    struct keeper keeper;
    weft_listener *listener;
    weft_addr address;
    struct rlimit before;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    weft_listener_addr(listener, &address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(weft_pin(1), 0);
    keep_other(&keeper);
    wt_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    wt_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){1, before.rlim_max}), 0);
    place_acceptor(&first, listener, 1);
    place_acceptor(&second, listener, 1);
    let_other_go(&keeper);
    wt_eq(connect(fd, (struct sockaddr *)&address.storage, address.bytes), 0);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while ((atomic_load(&first.accepted) == 0 || atomic_load(&second.accepted) == 0) &&
           now_ns() < give_up_ns) {
    }
    wt_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    wt_eq(atomic_load(&first.accepted), -EMFILE);
    wt_eq(atomic_load(&second.accepted), -EMFILE);
    wt_eq(weft_await(&second.task), -EMFILE);
    wt_eq(weft_await(&first.task), -EMFILE);
    close(fd);
    weft_listener_free(listener);
    return 0;
}

/* --- cancelling meanwhile --------------------------------------------------------------------- */

struct canceller {
    weft_scope *scope;
    struct reader *reader;
};

static int cancel_reader(void *arg)
{
    const struct canceller *canceller = arg;
    wt_eq(weft_scope_cancel(canceller->scope, "test"), 0);
    feed(canceller->reader);
    return 0;
}

/* Who is cancelled and served at once while its worker is busy has one result, sooner or later; and
 * the byte is not lost: it was received, or it is still there. */
TaskTest(rescue, a_cancelled_reader_of_a_busy_worker_ends_once, 2, .timeout = 60)
{
    wt_eq(weft_pin(1), 0);
    for (int i = 0; i < 30; i++) {
        weft_scope scope;
        weft_task helper;
        struct reader reader;
        struct canceller canceller = {.scope = &scope, .reader = &reader};
        weft_scope_begin(&scope, NULL);
        place_readers(&reader, 1);
        wt_eq(weft_spawn(&helper, cancel_reader, &canceller), 0);
        int64_t until_ns = now_ns() + 2000000; /* longer than a worker may be away unnoticed */
        while (now_ns() < until_ns) {
        }
        (void)weft_await(&helper);
        (void)weft_await(&reader.task);
        int got = atomic_load(&reader.got);
        wt_true(got == 1 || got == -ECANCELED, "%d", got);
        char byte;
        wt_eq(recv(reader.fds[0], &byte, 1, MSG_DONTWAIT), got == 1 ? -1 : 1);
        close(reader.fds[0]);
        close(reader.fds[1]);
        (void)weft_scope_end(&scope);
    }
    return 0;
}

/* --- whose signal it is ----------------------------------------------------------------------- */

static void handle(int number)
{
    (void)number;
}

static bool is_handled_by_us(void)
{
    struct sigaction now;
    wt_eq(sigaction(SIGURG, NULL, &now), 0);
    return now.sa_handler == handle;
}

static bool is_default(void)
{
    struct sigaction now;
    wt_eq(sigaction(SIGURG, NULL, &now), 0);
    return (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL;
}

static int report_on(void *arg)
{
    (void)arg;
    return is_on();
}

static int report_default_signal(void *arg)
{
    (void)arg;
    return is_default();
}

static int run_handled(void)
{
    signal(SIGURG, handle);
    int first = weft_run(report_on, NULL, .workers = 2);
    int second = weft_run(report_on, NULL, .workers = 2);
    return first != 0 || second != 0 || !is_handled_by_us();
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    while ((text = strstr(text, part)) != NULL) {
        count++;
        text++;
    }
    return count;
}

static bool is_by_epoll(void)
{
    const char *io = getenv("WEFT_IO");
    return io != NULL && strcmp(io, "epoll") == 0;
}

Test(signal, a_program_that_handles_it_keeps_it_and_is_told_once, .timeout = 60)
{
    struct captured captured;
    capture(&captured, run_handled);
    wt_eq(captured.status, 0, "%s", captured.text);
    if (!is_by_epoll()) {
        wt_eq(count_of(captured.text, "the program handles SIGURG"), 1, "%s", captured.text);
    }
}

static int run_insisting(void)
{
    signal(SIGURG, handle);
    int rc = weft_run(report_on, NULL, .workers = 2, .rescue = WEFT_RESCUE_ON);
    return rc != (is_by_epoll() ? 0 : -EBUSY) || !is_handled_by_us();
}

Test(signal, who_insists_on_rescue_is_refused_when_the_program_has_it, .timeout = 60)
{
    struct captured captured;
    capture(&captured, run_insisting);
    wt_eq(captured.status, 0, "%s", captured.text);
}

Test(signal, is_put_back_when_the_last_runtime_stops, .timeout = 60)
{
    weft_rt *first, *second;
    wt_true(is_default());
    wt_eq(weft_rt_start(&first, &(weft_rt_opts){.workers = 2}), 0);
    wt_eq(weft_rt_start(&second, &(weft_rt_opts){.workers = 2}), 0);
    bool on = weft_call(first, report_on, NULL) == 1;
    wt_eq(is_default(), !on);
    weft_rt_free(first);
    wt_eq(is_default(), !on);
    weft_rt_free(second);
    wt_true(is_default());
}

Test(signal, is_not_touched_when_rescue_is_off_or_of_no_use, .timeout = 60)
{
    wt_eq(weft_run(report_default_signal, NULL, .workers = 2, .rescue = WEFT_RESCUE_OFF), 1);
    wt_eq(weft_run(report_default_signal, NULL, .workers = 1), 1);
    wt_eq(weft_run(report_default_signal, NULL, .workers = 2, .rescue = 3), -EINVAL);
    wt_eq(setenv("WEFT_RESCUE", "off", 1), 0);
    wt_eq(weft_run(report_default_signal, NULL, .workers = 2), 1);
    wt_eq(setenv("WEFT_RESCUE", "perhaps", 1), 0);
    wt_eq(weft_run(report_default_signal, NULL, .workers = 2), -EINVAL);
    wt_eq(unsetenv("WEFT_RESCUE"), 0);
}

/* Another's signal, or one to the process, does nothing. */
TaskTest(signal, from_elsewhere_does_no_harm, 2, .timeout = 60)
{
    struct reader reader;
    wt_eq(weft_pin(1), 0);
    place_readers(&reader, 1);
    for (int i = 0; i < 100; i++) {
        wt_eq(raise(SIGURG), 0);
        wt_eq(kill(getpid(), SIGURG), 0);
    }
    wt_eq(atomic_load(&reader.got), 0);
    feed(&reader);
    return close_reader(&reader);
}

static int lose_signal(void *arg)
{
    (void)arg;
    if (!is_on()) {
        return 0;
    }
    struct reader reader;
    wt_eq(weft_pin(1), 0);
    place_readers(&reader, 1);
    signal(SIGURG, handle);
    feed(&reader);
    int64_t until_ns = now_ns() + 100000000;
    while (now_ns() < until_ns && atomic_load(&reader.got) == 0) {
    }
    return close_reader(&reader);
}

static int run_losing(void)
{
    return weft_run(lose_signal, NULL, .workers = 2) != 0 || !is_handled_by_us();
}

Test(signal, a_program_that_takes_it_later_has_it, .timeout = 60)
{
    struct captured captured;
    capture(&captured, run_losing);
    if (!is_by_epoll()) {
        wt_eq(captured.status, 0, "%s", captured.text);
    }
}

/* --- silence ---------------------------------------------------------------------------------- */

static int wait_for_byte(void *arg)
{
    char byte;
    return (int)weft_recv(*(int *)arg, &byte, 1, 0);
}

/* With operations in flight and nobody awake the lookout ends its round, and all sleep. */
Test(silence, an_idle_runtime_with_operations_in_flight_stays_asleep, .timeout = 90)
{
    int fds[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
    wt_eq(weft_post(rt, wait_for_byte, &fds[0]), 0);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    weft_stats before, after;
    do { /* ends: it comes to rest, or the patience is over */
        weft_stats_get(rt, &before);
        (void)poll(NULL, 0, 100);
        weft_stats_get(rt, &after);
    } while ((after.parks != before.parks || after.driver_enters != before.driver_enters) &&
             now_ns() < give_up_ns);
    wt_eq(after.parks, before.parks);
    wt_eq(after.driver_enters, before.driver_enters);
    wt_eq(send(fds[1], "x", 1, 0), 1);
    weft_rt_free(rt);
    close(fds[0]);
    close(fds[1]);
}
