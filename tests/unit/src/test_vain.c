/* test_vain.c: calls that the system ends at once, again and again, so that they never wait: no
 * cancellation finds them, they have to look for it themselves (io_value.h, wf_io_is_over). By
 * epoll, whose calls can be refused. */
#include "pool/base/sys.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weft/net.h>
#include <weft/stackless.h>
#include <weft/weft.h>

#define PATIENCE WEFT_MS(30)

static struct wf_sys honest;

static int ends[2];

/* Receives are interrupted; and there is something to be read, but whoever reads finds that another
 * was faster. */
static long in_vain(long number, long a, long b, long c, long d, long e, long f)
{
    switch (number) {
    case SYS_recvfrom:
        return -EINTR;
    case SYS_recvmmsg:
    case SYS_readv:
    case SYS_preadv:
    case SYS_preadv2:
        return -EAGAIN;
    default:
        return honest.call(number, a, b, c, d, e, f);
    }
}

static ssize_t read_in_vain(int fd, void *buffer, size_t bytes, int64_t offset, int flags)
{
    (void)fd, (void)buffer, (void)bytes, (void)offset, (void)flags;
    return -EAGAIN;
}

static void run(weft_fn *fn)
{
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    honest = wf_sys;
    wf_sys.call = in_vain;
    wf_sys.pread_flags = read_in_vain;
    wt_eq(send(ends[1], "x", 1, 0), 1);
    wt_eq(weft_run(fn, NULL, .workers = 1, .io = "epoll"), 0);
    wf_sys = honest;
    close(ends[0]);
    close(ends[1]);
}

static int by_stack(void *arg)
{
    (void)arg;
    char byte;
    wt_eq(weft_within(PATIENCE, weft_recv(ends[0], &byte, 1, 0)), -ETIME);
    weft_loan loan;
    wt_eq(weft_within(PATIENCE, weft_recv_loan(ends[0], &loan, 0)), -ETIME);
    wt_true(loan.data == NULL);
    wt_eq(weft_within(PATIENCE, weft_read(ends[0], &byte, 1)), -ETIME);
    return 0;
}

Test(vain, a_call_sees_its_deadline, .timeout = 30)
{
    run(by_stack);
}

static int64_t await_within(weft_val val)
{
    return weft_within(PATIENCE, weft_val_await(val));
}

static int by_value(void *arg)
{
    (void)arg;
    char byte;
    wt_eq(await_within(weft_read_v(ends[0], &byte, 1)), -ETIME);
    wt_eq(await_within(weft_recv_v(ends[0], &byte, 1, 0)), -ETIME);
    weft_loan loan;
    wt_eq(await_within(weft_recv_loan_v(ends[0], &loan, 0)), -ETIME);
    wt_true(loan.data == NULL);
    struct iovec part = {&byte, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    wt_eq(await_within(weft_recv_many_v(ends[0], &message, 1, 0)), -ETIME);
    return 0;
}

Test(vain, a_value_sees_the_deadline_of_who_awaits_it, .timeout = 30)
{
    run(by_value);
}

struct receiver {
    weft_frame sm;
    ssize_t n;
    char byte;
};

WEFT_STEP(receive, struct receiver)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->n, weft_read_v(ends[0], &f->byte, 1));
    return (int)f->n;
}

static int by_frame(void *arg)
{
    (void)arg;
    struct receiver receiver = {.n = 0};
    WEFT_SCOPE(scope, .timeout = PATIENCE);
    wt_eq(weft_go_frame(&scope, receive, &receiver), 0);
    wt_eq(weft_scope_end(&scope), -ETIME);
    wt_eq(receiver.n, -ECANCELED);
    return 0;
}

Test(vain, a_frame_sees_the_deadline_of_its_scope, .timeout = 30)
{
    run(by_frame);
}
