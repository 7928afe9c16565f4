/* src/loan.c where the system refuses something, or has no rings of buffers. */
#include "pool/base/sys.h"
#include "src/core.h"
#include "src/lender.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/loan.h>
#include <weft/stackless.h>
#include <weft/stream.h>
#include <weft/weft.h>

static struct wf_sys honest;

static int refused = -1; /* of the calls below, counted from when it was set; -1: none */
static int calls;
static bool refuse_rings;
static int rings_asked;

static bool is_refused(void)
{
    return refused >= 0 && calls++ == refused;
}

static void *refusing_alloc(size_t alignment, size_t bytes)
{
    return is_refused() ? NULL : honest.alloc(alignment, bytes);
}

static void *refusing_map(size_t bytes, int prot)
{
    return is_refused() ? NULL : honest.map(bytes, prot);
}

static int refusing_advise(void *address, size_t bytes, int advice)
{
    return is_refused() ? -ENOMEM : honest.advise(address, bytes, advice);
}

static int refusing_register(int fd, unsigned opcode, void *arg, unsigned count)
{
    if (opcode == IORING_REGISTER_PBUF_RING) {
        rings_asked++;
        if (refuse_rings || is_refused()) {
            return -ENOMEM;
        }
    }
    return honest.uring_register(fd, opcode, arg, count);
}

static bool fail_receive;

static long failing_call(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_recvfrom && fail_receive) {
        fail_receive = false;
        return -ENOBUFS;
    }
    return honest.call(number, a, b, c, d, e, f);
}

static void run(weft_fn *fn)
{
    honest = wf_sys;
    wf_sys.call = failing_call;
    wf_sys.alloc = refusing_alloc;
    wf_sys.map = refusing_map;
    wf_sys.advise = refusing_advise;
    wf_sys.uring_register = refusing_register;
    wt_eq(weft_run(fn, NULL, .workers = 1, .loans = 2), 0);
    wf_sys = honest;
}

static void receive(int ends[2])
{
    wt_eq(send(ends[1], "x", 1, 0), 1);
    WEFT_LOAN(loan);
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 1);
    wt_eq(loan.data[0], 'x');
}

/* Each call that making the buffers takes is refused once: -ENOMEM, or they are had without it; and
 * the next receive works. */
static int refuse_each(void *arg)
{
    (void)arg;
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    wt_eq(send(ends[1], "x", 1, 0), 1);
    weft_loan loan;
    ssize_t n;
    int refusals = 0;
    do { /* ends: there are five such calls at most */
        calls = 0;
        refused = refusals;
        n = weft_recv_loan(ends[0], &loan, 0);
        refused = -1;
        refusals++;
        wt_true(n == 1 || n == -ENOMEM, "%zd", n);
        wt_true((n > 0) == (loan.data != NULL));
    } while (n < 0);
    wt_ge(refusals, 3);
    wt_eq(loan.data[0], 'x');
    weft_loan_give(&loan);
    receive(ends);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

Test(loan_faults, without_memory_it_is_enomem_and_the_next_one_works)
{
    run(refuse_each);
}

/* As a value, too; and nothing has been taken from the socket. */
static int refuse_value(void *arg)
{
    (void)arg;
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    weft_loan loan;
    /* the first that fails is the record's own slab, or the buffers: -ENOMEM in any case */
    calls = 0;
    refused = 0;
    wt_eq(weft_val_await_new(weft_recv_loan_v(ends[0], &loan, 0)), -ENOMEM);
    refused = -1;
    receive(ends);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

Test(loan_faults, a_value_without_memory_is_enomem)
{
    run(refuse_value);
}

/* A socket may have that error itself (netlink has), where the call has a sign of its own for "all
 * are lent". */
static int refuse_receive(void *arg)
{
    (void)arg;
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    wt_eq(send(ends[1], "x", 1, 0), 1);
    weft_loan loan;
    fail_receive = true;
    wt_eq(weft_recv_loan(ends[0], &loan, 0), -ENOBUFS);
    wt_false(fail_receive);
    wt_true(loan.data == NULL);
    char rest[2];
    wt_eq(weft_recv(ends[0], rest, sizeof rest, 0), 1);
    receive(ends);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

Test(loan_faults, a_receive_without_memory_is_enobufs)
{
    refuse_rings = true;
    run(refuse_receive);
}

static int all_in_turn(void *arg)
{
    (void)arg;
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    for (int i = 0; i < 100; i++) {
        receive(ends);
    }
    weft_loan loans[2], third;
    for (int i = 0; i < 2; i++) {
        wt_eq(send(ends[1], "x", 1, 0), 1);
        wt_eq(weft_recv_loan(ends[0], &loans[i], 0), 1);
    }
    wt_eq(send(ends[1], "x", 1, 0), 1);
    wt_eq(weft_within(WEFT_MS(2), weft_recv_loan(ends[0], &third, 0)), -ETIME);
    weft_loan_give(&loans[0]);
    wt_eq(weft_recv_loan(ends[0], &third, 0), 1);
    weft_loan_give(&loans[1]);
    weft_loan_give(&third);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

Test(loan_faults, a_ring_of_buffers_that_is_refused_is_done_without)
{
    refuse_rings = true;
    run(all_in_turn);
    wt_le(rings_asked, 1); /* by epoll not at all */
}

Test(loan_faults, a_ring_of_buffers_is_made_once)
{
    run(all_in_turn);
    wt_le(rings_asked, 1);
}

static int no_loans(void *arg)
{
    (void)arg;
    return weft_yield();
}

Test(loan_faults, nothing_is_made_for_who_asks_for_none)
{
    run(no_loans);
    wt_eq(rings_asked, 0);
}

/* --- a socket's own error --------------------------------------------------------------------- */

/* A netlink socket that has lost answers, since nobody reads them; or -1: there are no such
 * sockets. */
static int overrun_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){1}, sizeof(int)); /* the least there is */
    struct {
        struct nlmsghdr head;
        struct ifinfomsg about;
    } ask = {
        .head = {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST},
        .about = {.ifi_family = AF_UNSPEC, .ifi_index = (int)if_nametoindex("lo")}};
    for (int i = 0; i < 200; i++) { /* some answers of 1 KB and more fill it */
        if (send(fd, &ask, sizeof ask, MSG_DONTWAIT) < 0) {
            close(fd);
            return -1;
        }
    }
    return fd;
}

static int receive_overrun(void *arg)
{
    (void)arg;
    int fd = overrun_socket();
    if (fd < 0) {
        return 0; /* a sandbox, an emulator */
    }
    weft_loan loan;
    wt_eq(weft_recv_loan(fd, &loan, 0), -ENOBUFS);
    wt_true(loan.data == NULL);
    wt_gt(weft_recv_loan(fd, &loan, 0), 0); /* what came before it */
    weft_loan_give(&loan);
    close(fd);
    return 0;
}

Test(loan_faults, a_netlink_socket_that_has_lost_messages_says_so)
{
    run(receive_overrun);
}

/* --- the last loan comes back while the runtime stops ----------------------------------------- */

static int borrow(void *arg)
{
    weft_loan *loan = arg;
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    wt_eq(send(ends[1], "x", 1, 0), 1);
    wt_eq(weft_recv_loan(ends[0], loan, 0), 1);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static _Thread_local bool stops;
static atomic_int naps; /* of who stops */

static void counting_nap(int64_t duration_ns)
{
    if (stops) {
        atomic_fetch_add(&naps, 1);
    }
    honest.nap(duration_ns);
}

static void *stop(void *arg)
{
    stops = true;
    wt_eq(weft_rt_stop(arg, WEFT_SEC(20), WEFT_SEC(20)), 0);
    return NULL;
}

/* The steps of weft_loan_give (loan.c) on another thread, which is held up in the middle: what
 * waits for it, the end of the scope or the stop, sleeps meanwhile, and goes on when it goes on. */
static void stop_while_a_thread_gives(bool out_of_scope)
{
    weft_rt *rt;
    weft_loan loan;
    honest = wf_sys;
    wf_sys.nap = counting_nap;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1, .loans = 2}), 0);
    wt_eq(weft_call(rt, borrow, &loan), 0);
    /* the call's scope may have taken it back; the loan's record and its lender are what counts */
    struct wf_borrowed *buffer = loan.buffer_;
    struct wf_lender *lender = buffer->lender;
    struct wf_scope *scope = &rt->root;
    wf_lock(&lender->lock);
    if (!wf_borrowed_back(buffer, loan.number_)) {
        wf_unlock(&lender->lock);
        wt_true(false, "the scope of a call keeps what it received");
    }
    wt_true(buffer->scope == scope);
    if (out_of_scope) {
        wf_lock(&scope->lock);
        wf_list_unlink(&buffer->in_scope);
        wf_unlock(&scope->lock);
    }
    pthread_t thread;
    atomic_store(&naps, 0);
    wt_eq(pthread_create(&thread, NULL, stop, rt), 0);
    for (int i = 0; i < 10000 && atomic_load(&naps) < 3; i++) {
        usleep(1000);
    }
    wt_ge(atomic_load(&naps), 3);
    if (!out_of_scope) {
        wf_lock(&scope->lock);
        wf_list_unlink(&buffer->in_scope);
        wf_unlock(&scope->lock);
    }
    (void)wf_sub_relaxed(&lender->out_count, 1);
    (void)wf_lender_put_(lender, buffer, false);
    wf_unlock(&lender->lock);
    wt_eq(pthread_join(thread, NULL), 0);
    weft_rt_free(rt);
    wf_sys = honest;
}

Test(loan, the_end_of_a_scope_waits_for_a_thread_that_gives_one_back, .timeout = 60)
{
    stop_while_a_thread_gives(false);
}

Test(loan, the_stop_waits_for_a_thread_that_gives_the_last_one_back, .timeout = 60)
{
    stop_while_a_thread_gives(true);
}

/* --- a reader's copy -------------------------------------------------------------------------- */

/* A loan there, no memory for the copy: said each time, and nothing is lost. Also if the scope of
 * the call that received it has ended. */
static void copy_without_memory(const int ends[2], size_t capacity, bool in_a_scope)
{
    wt_eq(send(ends[1], "first\n", 6, 0), 6);
    weft_reader reader;
    weft_reader_init(&reader, weft_stream_lent(ends[0]), NULL, capacity);
    char *line;
    char byte;
    {
        WEFT_SCOPE(scope);
        calls = refused = 0;
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), -ENOMEM);
        if (in_a_scope) {
            wt_eq(weft_scope_end(&scope), 0);
        }
        calls = refused = 0;
        wt_eq(weft_reader_read(&reader, &byte, 1), -ENOMEM);
        refused = -1;
        wt_eq(send(ends[1], "next\n", 5, 0), 5);
        weft_stats stats;
        weft_stats_get(weft_rt_current(), &stats);
        wt_eq(stats.loans, 1);
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1);
        wt_str_eq(line, "first");
        weft_stats_get(weft_rt_current(), &stats);
        wt_eq(stats.loans, 0);
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1);
        wt_str_eq(line, "next");
        weft_reader_fini(&reader);
        if (!in_a_scope) {
            wt_eq(weft_scope_end(&scope), 0);
        }
    }
}

static int copies_without_memory(void *arg)
{
    (void)arg;
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    receive(ends); /* the loans are there */
    /* each of a class of buffers that nobody else has, and more often than there are loans */
    for (size_t i = 0; i < 4; i++) {
        copy_without_memory(ends, (size_t)5000 << i, i % 2);
    }
    close(ends[0]);
    close(ends[1]);
    return 0;
}

Test(loan, a_reader_without_memory_for_the_copy_goes_on_when_there_is)
{
    run(copies_without_memory);
}

static int read_kept(void *arg)
{
    (void)arg;
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    receive(ends);
    char out[100];
    char *line;
    weft_reader reader;
    for (int i = 0; i < 4; i++) {
        weft_reader_init(&reader, weft_stream_lent(ends[0]), NULL, 40000);
        wt_eq(send(ends[1], "some", 4, 0), 4);
        calls = refused = 0;
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), -ENOMEM);
        calls = refused = 0;
        if (i % 2 == 0) {
            wt_eq(weft_reader_read(&reader, out, sizeof out), 4); /* needs none */
            wt_eq(memcmp(out, "some", 4), 0);
        }
        refused = -1;
        weft_reader_fini(&reader); /* or this gives it back */
        weft_stats stats;
        weft_stats_get(weft_rt_current(), &stats);
        wt_eq(stats.loans, 0);
    }
    close(ends[0]);
    close(ends[1]);
    return 0;
}

Test(loan, what_a_reader_has_kept_is_read_without_memory_or_given_back)
{
    run(read_kept);
}

/* The reader lives longer than the runtime. */
static weft_reader survivor;

static int keep_and_leave(void *arg)
{
    (void)arg;
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    receive(ends);
    weft_reader_init(&survivor, weft_stream_lent(ends[0]), NULL, 40000);
    wt_eq(send(ends[1], "gone\n", 5, 0), 5);
    char *line;
    calls = refused = 0;
    wt_eq(weft_reader_line(&survivor, 0, &line, NULL), -ENOMEM);
    refused = -1;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

Test(loan, what_a_reader_has_kept_goes_with_the_runtime)
{
    char *line;
    run(keep_and_leave);
    weft_reader_fini(&survivor);
    run(keep_and_leave);
    wt_eq(weft_reader_line(&survivor, 0, &line, NULL), -ENOMEM);
    wt_eq(weft_reader_line(&survivor, 0, &line, NULL), -ENOMEM);
    weft_reader_fini(&survivor);
}
