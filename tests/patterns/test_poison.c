/* test_poison.c: in builds with AddressSanitizer, memory that the kernel writes to is poisoned
 * while it may do so: a task that touches it is reported. Elsewhere these tests are skipped. */
#include "capture.h"
#include "pattern.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <weft/io.h>
#include <weft/loan.h>
#include <weft/stackless.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#ifndef HAVE_ASAN
#define HAVE_ASAN 0
#endif

/* compiler-rt's and libgcc's; absent without a sanitizer */
void __sanitizer_set_report_path(const char *path) __attribute__((weak));
void *__asan_region_is_poisoned(void *address, size_t bytes) __attribute__((weak));

static void need_asan(void)
{
    if (!HAVE_ASAN) {
        wt_skip("no AddressSanitizer in this build");
    }
}

static bool is_open(void *memory, size_t bytes)
{
    return __asan_region_is_poisoned(memory, bytes) == NULL;
}

/* With three bytes before it, and its end inside a granule. */
struct around {
    char before[3];
    char buffer[26];
    char after[3];
} __attribute__((aligned(8)));

static int ends[2];

static void open_pair(void)
{
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static int receive(void *arg)
{
    struct around *around = arg;
    return (int)weft_recv(ends[0], around->buffer, sizeof around->buffer, 0);
}

static int read_into(void *arg)
{
    struct around *around = arg;
    return (int)weft_read(ends[0], around->buffer, sizeof around->buffer);
}

/* Who has begun to wait: one worker, so that after two yields the other one lies in its call. */
static void let_wait(void)
{
    weft_yield();
    weft_yield();
}

/* --- what is reported ------------------------------------------------------------------------- */

static weft_fn *reader;
static volatile char sink;

static int touch(void *arg)
{
    (void)arg;
    struct around around = {.buffer = "mine"};
    open_pair();
    weft_task task;
    weft_spawn(&task, reader, &around);
    let_wait();
    sink = *(volatile char *)&around.buffer[9]; /* must end the process */
    (void)weft_send(ends[1], "x", 1, 0);
    return weft_await(&task);
}

static int touch_in_child(void)
{
    __sanitizer_set_report_path("stderr");
    return weft_run(touch, NULL, .workers = 1);
}

static void check_reported(weft_fn *with)
{
    need_asan();
    reader = with;
    struct captured captured;
    capture(&captured, touch_in_child);
    wt_true(!WIFEXITED(captured.status) || WEXITSTATUS(captured.status) != 0, "nobody noticed: %s",
            captured.text);
    check_says(&captured, "use-after-poison");
}

Test(poison, a_task_that_touches_a_buffer_of_a_waiting_recv_is_reported)
{
    check_reported(receive);
}

Test(poison, a_task_that_touches_a_buffer_of_a_waiting_read_is_reported)
{
    check_reported(read_into);
}

/* A buffer that was lent, when it has been given back. */
static int touch_loan(void *arg)
{
    (void)arg;
    open_pair();
    weft_loan loan;
    wt_eq(send(ends[1], "lent", 4, 0), 4);
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 4);
    unsigned char *data = loan.data;
    wt_true(is_open(data, loan.capacity));
    wt_true(loan.capacity == 4096 && !is_open(data + 4096, 1), "its neighbour's");
    weft_loan_give(&loan);
    sink = *(volatile char *)&data[1]; /* must end the process */
    return 0;
}

static int touch_loan_in_child(void)
{
    __sanitizer_set_report_path("stderr");
    return weft_run(touch_loan, NULL, .workers = 1, .loans = 2);
}

Test(poison, a_task_that_touches_a_loan_that_it_gave_back_is_reported)
{
    need_asan();
    struct captured captured;
    capture(&captured, touch_loan_in_child);
    wt_true(!WIFEXITED(captured.status) || WEXITSTATUS(captured.status) != 0, "nobody noticed: %s",
            captured.text);
    check_says(&captured, "use-after-poison");
}

/* --- what is not ------------------------------------------------------------------------------ */

static int neighbours(void *arg)
{
    (void)arg;
    struct around around = {.before = "ab", .after = "yz"};
    open_pair();
    weft_task task;
    weft_spawn(&task, receive, &around);
    let_wait();
    wt_false(is_open(around.buffer, sizeof around.buffer));
    wt_false(is_open(&around.buffer[8], 1));
    wt_true(is_open(around.before, sizeof around.before), "in the buffer's first granule");
    wt_true(is_open(around.after, sizeof around.after), "in its last");
    wt_eq(weft_send(ends[1], "hello", 5, 0), 5);
    wt_eq(weft_await(&task), 5);
    wt_true(is_open(&around, sizeof around), "it is the caller's again");
    wt_mem_eq(around.buffer, "hello", 5);
    return 0;
}

Test(poison, what_lies_beside_the_buffer_is_not_poisoned)
{
    need_asan();
    wt_eq(weft_run(neighbours, NULL, .workers = 1), 0);
}

static int cancelled(void *arg)
{
    (void)arg;
    struct around around = {0};
    open_pair();
    weft_task task;
    WEFT_SCOPE(scope);
    weft_spawn(&task, receive, &around);
    let_wait();
    wt_false(is_open(around.buffer, sizeof around.buffer));
    weft_scope_cancel(&scope, "test");
    wt_eq(weft_await(&task), -ECANCELED);
    wt_true(is_open(&around, sizeof around));
    (void)weft_scope_end(&scope);
    wt_eq(weft_within(WEFT_MS(1), receive(&around)), -ETIME);
    wt_true(is_open(&around, sizeof around));
    return 0;
}

Test(poison, a_cancelled_call_gives_the_buffer_back_when_it_returns)
{
    need_asan();
    wt_eq(weft_run(cancelled, NULL, .workers = 1), 0);
}

static int valued(void *arg)
{
    (void)arg;
    struct around around = {0};
    open_pair();
    weft_val val = weft_recv_v(ends[0], around.buffer, sizeof around.buffer, 0);
    wt_false(is_open(around.buffer, sizeof around.buffer));
    wt_eq(weft_send(ends[1], "x", 1, 0), 1);
    wt_eq(weft_val_await(val), 1);
    wt_true(is_open(&around, sizeof around));
    return 0;
}

Test(poison, the_buffer_of_a_value_is_the_kernels_until_it_has_come)
{
    need_asan();
    wt_eq(weft_run(valued, NULL, .workers = 1), 0);
}

static int receive_parts(void *arg)
{
    struct around *around = arg;
    struct iovec parts[3] = {{around->buffer, 9}, {NULL, 0}, {around->buffer + 16, 10}};
    return (int)weft_readv(ends[0], parts, 3);
}

static int scattered(void *arg)
{
    (void)arg;
    struct around around = {0};
    open_pair();
    weft_task task;
    weft_spawn(&task, receive_parts, &around);
    let_wait();
    wt_false(is_open(around.buffer, 9));
    wt_false(is_open(around.buffer + 16, 10));
    wt_true(is_open(around.buffer + 13, 3), "what lies between is the task's");
    wt_eq(weft_send(ends[1], "0123456789", 10, 0), 10);
    wt_eq(weft_await(&task), 10);
    wt_true(is_open(&around, sizeof around));
    wt_eq(around.buffer[16], '9');
    return 0;
}

Test(poison, each_of_several_buffers_is_the_kernels)
{
    need_asan();
    wt_eq(weft_run(scattered, NULL, .workers = 1), 0);
}

static int send_much(void *arg)
{
    return (int)weft_send_all(ends[1], arg, (size_t)1 << 20, 0);
}

/* Two may send the same bytes, and read them. */
static int sent(void *arg)
{
    (void)arg;
    char *large = calloc(1, (size_t)1 << 20);
    open_pair();
    weft_task task;
    weft_spawn(&task, send_much, large);
    let_wait();
    wt_true(is_open(large, (size_t)1 << 20));
    char *other = malloc((size_t)1 << 20);
    wt_eq(weft_recv(ends[0], other, (size_t)1 << 20, MSG_WAITALL), 1 << 20);
    wt_eq(weft_await(&task), 1 << 20);
    free(large);
    free(other);
    return 0;
}

Test(poison, what_the_kernel_only_reads_may_be_read)
{
    need_asan();
    wt_eq(weft_run(sent, NULL, .workers = 1), 0);
}

/* --- what is still found ---------------------------------------------------------------------- */

static int overrun(void *arg)
{
    (void)arg;
    char *buffer = malloc(21);
    open_pair();
    wt_eq(weft_send(ends[1], "x", 1, 0), 1);
    wt_eq(weft_recv(ends[0], buffer, 21, 0), 1);
    wt_false(is_open(buffer, 22), "the end of the block is still guarded");
    wt_true(is_open(buffer, 21));
    wt_eq(weft_send(ends[1], "xy", 2, 0), 2);
    wt_eq(weft_recv(ends[0], buffer, 4096, 0), 2, "a length that lies about the buffer");
    wt_false(is_open(buffer, 22), "did not open what is behind it");
    free(buffer);
    return 0;
}

Test(poison, red_zones_around_a_buffer_stay)
{
    need_asan();
    wt_eq(weft_run(overrun, NULL, .workers = 1), 0);
}
