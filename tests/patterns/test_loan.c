/* <weft/loan.h>: receives that borrow a buffer. */
#include "net_pattern.h"
#include <poll.h>
#include <pthread.h>
#include <weft/exec.h>
#include <weft/loan.h>

#define LoanTest(suite, name, ...)                                    \
    static int suite##_##name##_root(void *arg);                      \
    Test(suite, name)                                                 \
    {                                                                 \
        wt_eq(weft_run(suite##_##name##_root, NULL, __VA_ARGS__), 0); \
    }                                                                 \
    static int suite##_##name##_root(void *arg __attribute__((unused)))

#if defined(__SANITIZE_THREAD__)
enum { RECEIVES = 1000, ROUNDS = 8 }; /* some hundred times slower */
#else
enum { RECEIVES = 70000, ROUNDS = 80 };
#endif

static weft_stats stats_now(void)
{
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    return stats;
}

static uint64_t held(void)
{
    return stats_now().loans;
}

static void put_in(int fd, const char *text)
{
    wt_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* --- what a loan is --------------------------------------------------------------------------- */

TaskTest(loan, has_what_was_sent_and_can_be_changed_and_sent_in_place, 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    put_in(ends[1], "hello");
    weft_loan loan;
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 5);
    wt_eq(loan.bytes, 5);
    wt_eq(loan.capacity, 4096);
    wt_eq(memcmp(loan.data, "hello", 5), 0);
    memset(loan.data + loan.bytes, '!', loan.capacity - loan.bytes);
    loan.data[0] = 'j';
    wt_eq(held(), 1);
    wt_eq(weft_send_all(ends[0], loan.data, loan.capacity, 0), 4096);
    weft_loan_give(&loan);
    wt_true(loan.data == NULL);
    wt_eq(loan.bytes, 0);
    wt_eq(held(), 0);
    char back[8];
    wt_eq(weft_recv(ends[1], back, 7, MSG_WAITALL), 7);
    wt_eq(memcmp(back, "jello!!", 7), 0);
    close_pair(ends);
    return 0;
}

TaskTest(loan, of_nothing_is_none_and_giving_it_does_nothing, 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    weft_loan loan = {0};
    weft_loan_give(&loan);
    wt_eq(weft_recv_loan(ends[0], &loan, MSG_DONTWAIT), -EAGAIN);
    wt_true(loan.data == NULL);
    wt_eq(weft_within(WEFT_MS(2), weft_recv_loan(ends[0], &loan, 0)), -ETIME);
    wt_eq(weft_within(0, weft_recv_loan(ends[0], &loan, 0)), -ETIME);
    wt_eq(weft_recv_loan(ends[0], &loan, MSG_WAITALL), -EINVAL);
    wt_eq(weft_recv_loan(-1, &loan, 0), -EBADF);
    close(ends[1]);
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 0);
    wt_true(loan.data == NULL);
    wt_eq(held(), 0);
    close(ends[0]);
    int pipe_ends[2];
    wt_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
    wt_eq(write(pipe_ends[1], "x", 1), 1);
    wt_eq(weft_recv_loan(pipe_ends[0], &loan, 0), -ENOTSOCK);
    close_pair(pipe_ends);
    return 0;
}

Test(loan, is_refused_outside_of_a_task)
{
    weft_loan loan;
    wt_eq(weft_recv_loan(0, &loan, 0), -EPERM);
    wt_true(loan.data == NULL);
    weft_loan_give(&loan);
}

TaskTest(loan, gives_what_is_there_when_the_deadline_has_passed, 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    put_in(ends[1], "x");
    WEFT_LOAN(loan);
    wt_eq(weft_within(0, weft_recv_loan(ends[0], &loan, 0)), 1);
    wt_eq(loan.data[0], 'x');
    close_pair(ends);
    return 0;
}

TaskTest(loan, of_a_look_leaves_the_data_where_they_are, 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    put_in(ends[1], "ab");
    WEFT_LOAN(first);
    WEFT_LOAN(second);
    wt_eq(weft_recv_loan(ends[0], &first, MSG_PEEK), 2);
    wt_eq(weft_recv_loan(ends[0], &second, 0), 2);
    wt_true(first.data != second.data);
    wt_eq(memcmp(first.data, second.data, 2), 0);
    close_pair(ends);
    return 0;
}

TaskTest(loan, of_a_datagram_is_the_whole_of_it_and_an_empty_one_is_taken, 1)
{
    int ends[2];
    open_pair(ends, SOCK_DGRAM);
    put_in(ends[1], "one");
    put_in(ends[1], "");
    put_in(ends[1], "three");
    WEFT_LOAN(loan);
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 3);
    weft_loan_give(&loan);
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 0);
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 5);
    wt_eq(memcmp(loan.data, "three", 5), 0);
    close_pair(ends);
    return 0;
}

LoanTest(loan, has_the_size_that_the_runtime_was_given, .workers = 1, .loans = 3, .loan_bytes = 300)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    char text[400];
    memset(text, 'z', sizeof text);
    wt_eq(send(ends[1], text, sizeof text, 0), 400);
    WEFT_LOAN(loan);
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 320);
    wt_eq(loan.capacity, 320);
    weft_loan_give(&loan);
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 80);
    close_pair(ends);
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

Test(loan, options_out_of_range_are_refused)
{
    wt_eq(weft_run(nothing, NULL, .loans = -1), -EINVAL);
    wt_eq(weft_run(nothing, NULL, .loans = WEFT_LOANS_MAX + 1), -EINVAL);
    wt_eq(weft_run(nothing, NULL, .loan_bytes = WEFT_LOAN_BYTES_MIN - 1), -EINVAL);
    wt_eq(weft_run(nothing, NULL, .loan_bytes = WEFT_LOAN_BYTES_MAX + 1), -EINVAL);
}

/* --- bounded ---------------------------------------------------------------------------------- */

struct receiver {
    weft_task task;
    int ends[2];
    weft_loan loan;
    int rank; /* among those that received */
};

static atomic_int waiting, received;

static int receive(void *arg)
{
    struct receiver *r = arg;
    atomic_fetch_add(&waiting, 1);
    ssize_t n = weft_recv_loan(r->ends[0], &r->loan, 0);
    r->rank = atomic_fetch_add(&received, 1);
    return (int)n;
}

#define MANY 20

static void open_many(struct receiver *r)
{
    atomic_store(&waiting, 0);
    atomic_store(&received, 0);
    for (int i = 0; i < MANY; i++) {
        open_pair(r[i].ends, SOCK_STREAM);
        wt_eq(weft_spawn(&r[i].task, receive, &r[i]), 0);
        yield_until(&waiting, i + 1);
    }
}

static void wait_in_line(uint64_t count)
{
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (stats_now().loans_awaited < count) { /* ends: it does, or patience does */
        wt_gt(give_up_ns, now_ns());
        weft_yield();
    }
}

LoanTest(loan, is_held_by_nobody_who_only_waits, .workers = 1, .loans = 2)
{
    static struct receiver r[MANY];
    open_many(r);
    weft_sleep(WEFT_MS(1)); /* all have been given to the kernel */
    wt_eq(held(), 0);
    wt_eq(stats_now().loans_awaited, 0);
    put_in(r[13].ends[1], "x");
    wt_eq(weft_await(&r[13].task), 1);
    wt_eq(r[13].loan.data[0], 'x');
    for (int i = 0; i < MANY; i++) {
        close(r[i].ends[1]);
        if (i != 13) {
            wt_eq(weft_await(&r[i].task), 0);
        }
        close(r[i].ends[0]);
    }
    weft_loan_give(&r[13].loan);
    return 0;
}

LoanTest(loan, when_all_are_lent_receives_wait_in_line_first_come_first_served, .workers = 1,
         .loans = 2)
{
    static struct receiver r[MANY];
    open_many(r);
    for (int i = 0; i < MANY; i++) {
        put_in(r[i].ends[1], "x");
        yield_until(&received, i < 2 ? i + 1 : 2);
        while (stats_now().loans_awaited <
               (uint64_t)(i < 2 ? 0 : i - 1)) { /* ends: it comes to the line */
            weft_yield();
        }
    }
    wt_eq(held(), 2);
    for (int i = 0; i < MANY; i++) {
        wt_eq(weft_await(&r[i].task), 1);
        wt_eq(r[i].rank, i);
        weft_loan_give(&r[i].loan);
        close_pair(r[i].ends);
    }
    wt_eq(held(), 0);
    return 0;
}

LoanTest(loan, serves_any_number_of_receives_one_after_the_other, .workers = 1, .loans = 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    for (int i = 0; i < RECEIVES; i++) { /* more than the numbers that the kernel counts with */
        char byte = (char)i;
        wt_eq(send(ends[1], &byte, 1, 0), 1);
        WEFT_LOAN(loan);
        wt_eq(weft_recv_loan(ends[0], &loan, 0), 1);
        wt_eq((char)loan.data[0], byte);
    }
    wt_eq(stats_now().loans_awaited, 0);
    close_pair(ends);
    return 0;
}

LoanTest(loan, cancelled_in_line_nothing_was_received, .workers = 1, .loans = 1)
{
    static struct receiver first, second;
    open_pair(first.ends, SOCK_STREAM);
    open_pair(second.ends, SOCK_STREAM);
    put_in(first.ends[1], "a");
    put_in(second.ends[1], "b");
    wt_eq(weft_recv_loan(first.ends[0], &first.loan, 0), 1);
    wt_eq(weft_within(WEFT_MS(3), weft_recv_loan(second.ends[0], &second.loan, 0)), -ETIME);
    wt_eq(weft_recv_loan(second.ends[0], &second.loan, MSG_DONTWAIT), -EAGAIN);
    wt_eq(weft_within(0, weft_recv_loan(second.ends[0], &second.loan, 0)), -ETIME);
    wt_true(second.loan.data == NULL);
    weft_loan_give(&first.loan);
    wt_eq(weft_recv_loan(second.ends[0], &second.loan, 0), 1);
    wt_eq(second.loan.data[0], 'b');
    weft_loan_give(&second.loan);
    close_pair(first.ends);
    close_pair(second.ends);
    return 0;
}

WEFT_TASK(receive_in_scope, struct receiver *)
{
    return receive(*arg) == 1 ? 0 : -EPROTO;
}

LoanTest(loan, one_that_was_cancelled_in_line_is_passed_over, .workers = 1, .loans = 1)
{
    static struct receiver r[3];
    for (int i = 0; i < 3; i++) {
        open_pair(r[i].ends, SOCK_STREAM);
        put_in(r[i].ends[1], "x");
    }
    weft_loan mine;
    wt_eq(weft_recv_loan(r[0].ends[0], &mine, 0), 1);
    WEFT_SCOPE(outer);
    WEFT_SCOPE(cancelled);
    weft_spawn(&r[1].task, receive, &r[1]);
    wait_in_line(1);
    wt_eq(weft_go(&outer, receive_in_scope, &(struct receiver *){&r[2]}), 0);
    wait_in_line(2);
    weft_scope_cancel(&cancelled, "test");
    weft_loan_give(&mine); /* before the cancelled one has run again */
    wt_eq(weft_await(&r[1].task), -ECANCELED);
    (void)weft_scope_end(&cancelled);
    while (atomic_load(&received) < 2) { /* ends: both have */
        weft_yield();
    }
    wt_eq(r[2].loan.data[0], 'x');
    wt_eq(weft_scope_end(&outer), 0);
    wt_eq(held(), 0);
    wt_eq(weft_recv_loan(r[1].ends[0], &mine, 0), 1); /* its data are still there */
    weft_loan_give(&mine);
    for (int i = 0; i < 3; i++) {
        close_pair(r[i].ends);
    }
    return 0;
}

LoanTest(loan, waiting_in_line_it_goes_on_with_its_file_whatever_becomes_of_the_number,
         .workers = 1, .loans = 1)
{
    static struct receiver r;
    int ends[2], next[2];
    weft_loan mine;
    int before = open_descriptors();
    open_pair(ends, SOCK_STREAM);
    open_pair(r.ends, SOCK_STREAM);
    put_in(ends[1], "x");
    wt_eq(weft_recv_loan(ends[0], &mine, 0), 1);
    put_in(r.ends[1], "mine");
    weft_spawn(&r.task, receive, &r);
    wait_in_line(1);
    wt_eq(close(r.ends[0]), 0); /* not by weft_close, which would end it */
    open_pair(next, SOCK_STREAM);
    wt_eq(next[0], r.ends[0]);
    put_in(next[1], "next");
    weft_loan_give(&mine);
    wt_eq(weft_await(&r.task), 4);
    wt_eq(memcmp(r.loan.data, "mine", 4), 0);
    weft_loan_give(&r.loan);
    wt_eq(weft_recv_loan(next[0], &mine, 0), 4);
    wt_eq(memcmp(mine.data, "next", 4), 0);
    weft_loan_give(&mine);
    close(r.ends[1]);
    close_pair(next);
    close_pair(ends);
    wt_eq(open_descriptors(), before);
    return 0;
}

LoanTest(loan, in_line_and_out_of_it_no_descriptor_is_left_open, .workers = 1, .loans = 1)
{
    int ends[2];
    weft_loan mine, other;
    open_pair(ends, SOCK_STREAM);
    put_in(ends[1], "x");
    wt_eq(weft_recv_loan(ends[0], &mine, 0), 1);
    put_in(ends[1], "y");
    int before = open_descriptors();
    for (int i = 0; i < 5; i++) {
        WEFT_SCOPE(s);
        wt_eq(weft_within(WEFT_MS(1), weft_recv_loan(ends[0], &other, 0)), -ETIME);
        wt_eq(weft_recv_loan(ends[0], &other, MSG_DONTWAIT), -EAGAIN);
        weft_val val = weft_recv_loan_v(ends[0], &other, 0);
        for (int j = 0; j < i; j++) {
            weft_yield();
        }
        wt_eq(weft_val_drop(val), 0);
        wt_eq(weft_scope_end(&s), 0);
        wt_eq(open_descriptors(), before);
    }
    weft_loan_give(&mine);
    close_pair(ends);
    return 0;
}

/* --- its end ---------------------------------------------------------------------------------- */

static void receive_one(int ends[2], weft_loan *loan)
{
    put_in(ends[1], "x");
    wt_eq(weft_recv_loan(ends[0], loan, 0), 1);
}

LoanTest(loan, that_is_not_given_back_goes_with_its_scope, .workers = 1, .loans = 2)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    for (int i = 0; i < 10; i++) {
        WEFT_SCOPE(s);
        weft_loan forgotten, another;
        receive_one(ends, &forgotten);
        receive_one(ends, &another);
        wt_eq(held(), 2);
        wt_eq(weft_scope_end(&s), 0);
        wt_eq(held(), 0);
    }
    close_pair(ends);
    return 0;
}

LoanTest(loan, outlives_the_deadline_and_the_source_that_were_around_the_call, .workers = 1)
{
    int ends[2];
    weft_cancel stop;
    weft_cancel_init(&stop, NULL);
    open_pair(ends, SOCK_STREAM);
    WEFT_SCOPE(s);
    weft_loan loan;
    put_in(ends[1], "x");
    wt_eq(
        weft_shield(WEFT_SEC(9),
                    weft_under(&stop, weft_within(WEFT_SEC(9), weft_recv_loan(ends[0], &loan, 0)))),
        1);
    wt_eq(held(), 1);
    wt_eq(loan.data[0], 'x');
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(held(), 0);
    weft_cancel_fini(&stop);
    close_pair(ends);
    return 0;
}

static int leave_one(void *arg)
{
    int *ends = arg;
    weft_loan forgotten;
    receive_one(ends, &forgotten);
    return 0;
}

LoanTest(loan, of_a_task_without_a_scope_goes_with_the_scope_that_owns_the_task, .workers = 2)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    WEFT_SCOPE(s);
    weft_task task;
    weft_spawn(&task, leave_one, ends);
    wt_eq(weft_await(&task), 0);
    wt_eq(held(), 1);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(held(), 0);
    close_pair(ends);
    return 0;
}

Test(loan, that_the_root_task_forgets_goes_with_the_runtime)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    wt_eq(weft_run(leave_one, ends, .workers = 2), 0);
    close_pair(ends);
}

static void *give_elsewhere(void *arg)
{
    weft_loan_give(arg);
    return NULL;
}

static int give_in_task(void *arg)
{
    weft_loan_give(arg);
    return 0;
}

LoanTest(loan, can_be_given_back_by_another_task_and_by_any_thread, .workers = 3, .loans = 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    for (int i = 0; i < 50; i++) {
        weft_loan loan;
        receive_one(ends, &loan);
        weft_task task;
        weft_spawn(&task, give_in_task, &loan);
        wt_eq(weft_await(&task), 0);
        receive_one(ends, &loan);
        pthread_t thread;
        wt_eq(pthread_create(&thread, NULL, give_elsewhere, &loan), 0);
        pthread_join(thread, NULL);
    }
    wt_eq(held(), 0);
    close_pair(ends);
    return 0;
}

static atomic_int misuses;

static void note(const char *what)
{
    atomic_fetch_add(&misuses, strstr(what, "weft_loan_give") != NULL);
}

LoanTest(loan, that_was_given_back_twice_is_misuse_and_nobodys_buffer_is_taken, .workers = 1,
         .loans = 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    weft_on_misuse(note);
    weft_loan loan, copy, next;
    receive_one(ends, &loan);
    copy = loan;
    weft_loan_give(&loan);
    wt_eq(atomic_load(&misuses), 0);
    receive_one(ends, &next); /* the same buffer */
    weft_loan_give(&copy);
    wt_eq(atomic_load(&misuses), 1);
    wt_eq(held(), 1);
    wt_eq(next.data[0], 'x');
    weft_loan_give(&copy); /* is none by now */
    wt_eq(atomic_load(&misuses), 1);
    copy = next;
    weft_loan_give(&next);
    weft_loan_give(&copy);
    wt_eq(atomic_load(&misuses), 2);
    wt_eq(held(), 0);

    WEFT_SCOPE(s);
    receive_one(ends, &loan);
    wt_eq(weft_scope_end(&s), 0);
    weft_loan_give(&loan); /* went with its scope */
    wt_eq(atomic_load(&misuses), 3);
    weft_on_misuse(NULL);
    close_pair(ends);
    return 0;
}

/* --- values and frames ------------------------------------------------------------------------ */

LoanTest(loan, comes_as_a_value, .workers = 1, .loans = 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    weft_loan loan;
    weft_val val = weft_recv_loan_v(ends[0], &loan, 0);
    wt_eq(weft_val_ready(val), 0);
    put_in(ends[1], "abc");
    wt_eq(weft_val_await(val), 3);
    wt_eq(memcmp(loan.data, "abc", 3), 0);

    weft_loan other;
    put_in(ends[1], "def");
    val = weft_recv_loan_v(ends[0], &other, 0);
    wt_eq(weft_within(WEFT_MS(3), weft_val_await(val)), -ETIME); /* in line */
    val = weft_recv_loan_v(ends[0], &other, 0);
    weft_loan_give(&loan);
    wt_eq(weft_val_await(val), 3);
    wt_eq(memcmp(other.data, "def", 3), 0);
    weft_loan_give(&other);
    wt_eq(weft_val_await_new(weft_recv_loan_v(ends[0], &loan, MSG_DONTWAIT)), -EAGAIN);
    wt_eq(weft_val_await_new(weft_recv_loan_v(ends[0], &loan, MSG_OOB)), -EINVAL);
    wt_eq(weft_val_await_new(weft_recv_loan_v(-1, &loan, 0)), -EBADF);
    close_pair(ends);
    return 0;
}

LoanTest(loan, that_comes_with_a_dropped_value_is_given_back, .workers = 1, .loans = 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    for (int i = 0; i < 40; i++) {
        WEFT_SCOPE(s);
        weft_loan mine = {0};
        if (i % 4 == 3) {
            receive_one(ends, &mine); /* so that the other one waits in line */
        }
        weft_loan loan;
        put_in(ends[1], "x");
        weft_val val = weft_recv_loan_v(ends[0], &loan, 0);
        for (int j = 0; j < i % 7; j++) {
            weft_yield();
        }
        wt_eq(weft_val_drop(val), 0);
        weft_loan_give(&mine);
        wt_eq(weft_scope_end(&s), 0);
        wt_eq(held(), 0);
        char rest[64];
        while (recv(ends[0], rest, sizeof rest, MSG_DONTWAIT) > 0) { /* ends: with the last byte */
        }
    }
    close_pair(ends);
    return 0;
}

struct echo {
    weft_frame sm;
    int fd;
    weft_loan loan;
    ssize_t n;
};

WEFT_STEP(echo, struct echo)
{
    WEFT_BEGIN(&f->sm);
    for (;;) { /* ends: the peer's end */
        WEFT_AWAIT(&f->sm, f->n, weft_recv_loan_v(f->fd, &f->loan, 0));
        if (f->n <= 0) {
            return (int)f->n;
        }
        WEFT_AWAIT(&f->sm, f->n, weft_send_v(f->fd, f->loan.data, f->loan.bytes, 0));
        weft_loan_give(&f->loan);
        if (f->n < 0) {
            return (int)f->n;
        }
    }
}

static int many_frames(void)
{
    static struct echo frames[MANY];
    static int ends[MANY][2];
    WEFT_SCOPE(s);
    for (int i = 0; i < MANY; i++) {
        open_pair(ends[i], SOCK_STREAM);
        frames[i] = (struct echo){.fd = ends[i][0]};
        wt_eq(weft_go_frame(&s, echo, &frames[i]), 0);
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < MANY; i++) {
            put_in(ends[i][1], "ping");
        }
        for (int i = 0; i < MANY; i++) {
            char back[4];
            wt_eq(weft_recv(ends[i][1], back, 4, MSG_WAITALL), 4);
            wt_eq(memcmp(back, "ping", 4), 0);
        }
    }
    for (int i = 0; i < MANY; i++) {
        close(ends[i][1]);
    }
    int rc = weft_scope_end(&s);
    for (int i = 0; i < MANY; i++) {
        close(ends[i][0]);
    }
    wt_eq(held(), 0);
    return rc;
}

LoanTest(loan, serves_frames_more_than_there_are_buffers, .workers = 1, .loans = 3)
{
    return many_frames();
}

LoanTest(loan, serves_frames_on_several_workers, .workers = 3, .loans = 2)
{
    return many_frames();
}

/* --- idle ------------------------------------------------------------------------------------- */

enum { IDLE = 300 };

static struct receiver idle[IDLE];

WEFT_TASK(receive_once, struct receiver *)
{
    WEFT_LOAN(loan);
    atomic_fetch_add(&waiting, 1);
    return weft_recv_loan((*arg)->ends[0], &loan, 0) == 1 ? 0 : -EPROTO;
}

static int receive_all(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s);
    for (int i = 0; i < IDLE; i++) {
        open_pair(idle[i].ends, SOCK_STREAM);
        wt_eq(weft_go(&s, receive_once, &(struct receiver *){&idle[i]}), 0);
    }
    return weft_scope_end(&s);
}

/* No enter, no sleep that ends, for a fifth of a second; sooner or later, whoever else has the
 * machine. */
Test(loan, nobody_runs_while_all_connections_are_idle)
{
    weft_rt *rt;
    weft_stats before, after;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2, .loans = 4}), 0);
    wt_eq(weft_post(rt, receive_all, NULL), 0);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    do { /* ends: it is silent, or patience is over */
        wt_gt(give_up_ns, now_ns());
        weft_stats_get(rt, &before);
        usleep(200000);
        weft_stats_get(rt, &after);
    } while (atomic_load(&waiting) < IDLE || after.parks != before.parks ||
             after.driver_enters != before.driver_enters || after.runs != before.runs);
    wt_eq(after.loans, 0);
    for (int i = 0; i < IDLE; i++) {
        put_in(idle[i].ends[1], "x");
    }
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    weft_rt_free(rt);
    for (int i = 0; i < IDLE; i++) {
        close_pair(idle[i].ends);
    }
}

/* --- on a thread's own loop ------------------------------------------------------------------- */

static weft_exec *loop;
static atomic_int ended;

static int receive_on_the_loop(void *arg)
{
    (void)arg;
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    wt_eq(weft_move_to(loop, NULL), 0);
    weft_loan loan, other;
    receive_one(ends, &loan);
    weft_val val = weft_recv_loan_v(ends[0], &other, 0);
    put_in(ends[1], "v");
    wt_eq(weft_within(WEFT_MS(2), weft_val_await(val)), -ETIME); /* in line */
    weft_loan_give(&loan);
    wt_eq(weft_val_await_new(weft_recv_loan_v(ends[0], &other, 0)), 1);
    wt_eq(other.data[0], 'v');
    weft_loan_give(&other);
    wt_eq(weft_move_to(WEFT_POOL, NULL), 0);
    close_pair(ends);
    atomic_store(&ended, 1);
    return 0;
}

Test(loan, comes_to_a_task_on_a_threads_own_loop)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1, .loans = 1}), 0);
    wt_eq(weft_exec_loop_new(&loop, rt), 0);
    wt_eq(weft_post(rt, receive_on_the_loop, NULL), 0);
    while (atomic_load(&ended) == 0) { /* ends: with the task */
        struct pollfd p = {.fd = weft_exec_fd(loop), .events = POLLIN};
        (void)poll(&p, 1, 10);
        weft_exec_run(loop);
    }
    wt_eq(weft_rt_stop(rt, WEFT_SEC(9), WEFT_SEC(9)), 0);
    weft_exec_free(loop);
    weft_rt_free(rt);
}

/* --- many at once ----------------------------------------------------------------------------- */

struct traffic {
    int fd;
    unsigned seed;
    atomic_long *bytes;
};

/* Receives until the end, with deadlines that often come in the middle of it. */
WEFT_TASK(drain, struct traffic)
{
    for (;;) { /* ends: the end */
        weft_loan loan;
        weft_time patience = WEFT_US(rand_r(&arg->seed) % 400);
        ssize_t n = weft_within(patience, weft_recv_loan(arg->fd, &loan, 0));
        if (n == 0) {
            return 0;
        }
        if (n < 0) {
            wt_eq(n, -ETIME);
            continue;
        }
        wt_eq(loan.data[n - 1], 'x');
        atomic_fetch_add(arg->bytes, n);
        if (rand_r(&arg->seed) % 4 == 0) {
            weft_yield();
        }
        weft_loan_give(&loan);
    }
}

LoanTest(loan, loses_no_byte_and_no_buffer_when_many_are_cancelled_at_any_time, .workers = 4,
         .loans = 3, .loan_bytes = 256)
{
    enum { CONNECTIONS = 24, BYTES = 300 };
    static int ends[CONNECTIONS][2];
    static atomic_long bytes;
    char text[BYTES];
    memset(text, 'x', sizeof text);
    WEFT_SCOPE(s);
    for (int i = 0; i < CONNECTIONS; i++) {
        open_pair(ends[i], SOCK_STREAM);
        struct traffic traffic = {.fd = ends[i][0], .seed = (unsigned)i + 1, .bytes = &bytes};
        wt_eq(weft_go(&s, drain, &traffic), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CONNECTIONS; i++) {
            wt_eq(weft_send_all(ends[i][1], text, sizeof text, 0), BYTES);
        }
        if (round % 8 == 0) {
            weft_yield();
        }
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        close(ends[i][1]);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&bytes), (long)CONNECTIONS * ROUNDS * BYTES);
    weft_stats stats = stats_now();
    wt_eq(stats.loans, 0);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    for (int i = 0; i < CONNECTIONS; i++) {
        close(ends[i][0]);
    }
    return 0;
}
