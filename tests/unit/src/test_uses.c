/* src/uses.h while close(2) itself is under way: the moment at which nobody knows which file the
 * number means. */
#include "pool/base/sys.h"
#include "src/io.h"
#include "src/uses.h"
#include "tests/patterns/net_pattern.h"
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <weft/file.h>

static struct wf_sys honest;

/* What the other task does meanwhile, and what came of it. */
static enum { NOTHING, RECEIVES_BEFORE, RECEIVES_AFTER, CLOSES_AFTER } role;
static int the_fd, next[2];
static atomic_int is_there, may_begin, begins;
static ssize_t got;

static void let_the_other_begin(void)
{
    atomic_store(&may_begin, 1);
    while (atomic_load(&begins) == 0) { /* ends: it runs on the other worker */
        sched_yield();
    }
    usleep(3000); /* no result depends on it: it is inside, mostly */
}

/* Of the root task alone, on its worker. */
static int slow_close(int fd)
{
    if (fd != the_fd) {
        return honest.close(fd);
    }
    the_fd = -1; /* once */
    if (role == RECEIVES_BEFORE) {
        let_the_other_begin();
        return honest.close(fd);
    }
    int rc = honest.close(fd);
    open_pair(next, SOCK_STREAM);
    wt_eq(next[0], fd);
    wt_eq(send(next[1], "n", 1, MSG_NOSIGNAL), 1);
    let_the_other_begin();
    return rc;
}

static int other(void *arg)
{
    int fd = *(int *)arg;
    char byte = 0;
    atomic_store(&is_there, 1);
    while (atomic_load(&may_begin) ==
           0) { /* ends: see slow_close. Not to be taken off its worker */
        sched_yield();
    }
    atomic_store(&begins, 1);
    got = role == CLOSES_AFTER ? weft_close(fd)
                               : weft_within(WEFT_SEC(20), weft_recv(fd, &byte, 1, 0));
    return byte == 0 || byte == 'n' ? 0 : -EPROTO;
}

static int close_slowly(void *arg)
{
    (void)arg;
    int ends[2];
    weft_task task;
    open_pair(ends, SOCK_STREAM);
    int fd = ends[0];
    wt_eq(weft_spawn(&task, other, &fd), 0);
    while (atomic_load(&is_there) == 0) { /* ends: the other worker takes it */
        sched_yield();
    }
    the_fd = fd;
    wt_eq(weft_close(fd), 0);
    wt_eq(weft_await(&task), 0);
    honest.close(ends[1]);
    return 0;
}

static void run(int the_role)
{
    role = the_role;
    the_fd = -1;
    atomic_store(&is_there, 0);
    atomic_store(&may_begin, 0);
    atomic_store(&begins, 0);
    honest = wf_sys;
    wf_sys.close = slow_close;
    wt_eq(weft_run(close_slowly, NULL, .workers = 2), 0);
    wf_sys = honest;
}

Test(uses, what_begins_just_before_the_number_is_free_does_not_wait_at_the_old_file, .timeout = 60)
{
    run(RECEIVES_BEFORE);
    wt_eq(got, -EBADF);
}

Test(uses, what_begins_at_the_next_file_is_not_refused_for_the_old_one, .timeout = 60)
{
    run(RECEIVES_AFTER);
    wt_eq(got, 1);
    close_pair(next);
}

Test(uses, the_next_file_can_be_closed_while_the_old_one_still_is, .timeout = 60)
{
    run(CLOSES_AFTER);
    wt_eq(got, 0);
    wt_eq(fcntl(next[0], F_GETFD), -1);
    close(next[1]);
}

/* --- what is meant ---------------------------------------------------------------------------- */

/* A file in memory, of so many bytes. */
static int file_of(size_t bytes)
{
    int fd = memfd_create("uses", MFD_CLOEXEC);
    wt_ge(fd, 0);
    wt_eq(ftruncate(fd, (off_t)bytes), 0);
    return fd;
}

static off_t size_of(int fd)
{
    struct stat about;
    wt_eq(fstat(fd, &about), 0);
    return about.st_size;
}

TaskTest(uses, a_later_step_of_a_call_is_refused_at_the_next_file, 1)
{
    char byte = 'x';
    int fd = file_of(100);
    uint32_t meant = wf_use_meant(fd);
    wt_eq(wf_read_meant(fd, meant, &byte, 1, 0), 1);
    wt_eq(wf_write_meant(fd, meant, &byte, 1, 0), 1);
    wt_eq(weft_close(fd), 0);
    wt_eq(file_of(100), fd);
    wt_eq(wf_read_meant(fd, meant, &byte, 1, 0), -EBADF);
    wt_eq(wf_write_meant(fd, meant, &byte, 1, 0), -EBADF);
    meant = wf_use_meant(fd);
    wt_eq(wf_read_meant(fd, meant, &byte, 1, 0), 1);
    wt_eq(byte, 0); /* nobody has written to it */
    wt_eq(wf_write_meant(fd, meant, &byte, 1, 0), 1);
    wt_eq(weft_close(fd), 0);
    return 0;
}

/* Half of it was in the cache; then the file was closed, and not by us. */
static ssize_t read_half_and_close(int fd, void *buffer, size_t bytes, int64_t offset, int flags)
{
    if (fd != the_fd) {
        return -EAGAIN;
    }
    the_fd = -1; /* once */
    ssize_t n = honest.pread_flags(fd, buffer, bytes / 2, offset, flags & ~RWF_NOWAIT);
    honest.close(fd);
    return n;
}

static int read_what_is_closed(void *arg)
{
    (void)arg;
    char bytes[100];
    the_fd = file_of(sizeof bytes);
    got = weft_pread(the_fd, bytes, sizeof bytes, 0);
    return 0;
}

Test(uses, a_read_that_begins_anew_and_fails_is_not_taken_for_the_end_of_the_file, .timeout = 60)
{
    honest = wf_sys;
    wf_sys.pread_flags = read_half_and_close;
    wt_eq(weft_run(read_what_is_closed, NULL, .workers = 1), 0);
    wf_sys = honest;
    wt_eq(got, -EBADF);
}

/* --- calls on a thread ------------------------------------------------------------------------ */

static struct truncating {
    int fd;
    int rc;
    atomic_int begun;
} truncating;

static int truncate_it(void *arg)
{
    struct truncating *t = arg;
    atomic_store(&t->begun, 1);
    t->rc = weft_ftruncate(t->fd, 1);
    return 0;
}

static atomic_int is_inside, may_go, closed;

static int occupy(void *arg)
{
    (void)arg;
    atomic_store(&is_inside, 1);
    while (atomic_load(&may_go) == 0) { /* ends: see who starts it */
        usleep(500);
    }
    return 0;
}

static long slow_mkdir(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_mkdirat) {
        return occupy(NULL);
    }
    return honest.call(number, a, b, c, d, e, f);
}

static int occupy_a_thread(void *arg)
{
    (void)arg;
    return weft_mkdir("nowhere", 0700);
}

/* The only thread is busy, so the call waits for it, and meanwhile the number becomes another
 * file's. */
static int close_before_the_thread(void *arg)
{
    (void)arg;
    weft_task tasks[2];
    truncating = (struct truncating){.fd = file_of(100)};
    wt_eq(weft_spawn(&tasks[0], occupy_a_thread, NULL), 0);
    yield_until(&is_inside, 1);
    wt_eq(weft_spawn(&tasks[1], truncate_it, &truncating), 0);
    yield_until(&truncating.begun, 1);
    weft_yield();
    wt_eq(weft_close(truncating.fd), 0);
    int next_fd = file_of(100);
    wt_eq(next_fd, truncating.fd);
    atomic_store(&may_go, 1);
    wt_eq(weft_await(&tasks[0]), 0);
    wt_eq(weft_await(&tasks[1]), 0);
    wt_eq(truncating.rc, -EBADF);
    wt_eq(size_of(next_fd), 100);
    close(next_fd);
    return 0;
}

Test(uses, a_call_that_waits_for_a_thread_does_not_come_to_the_next_file, .timeout = 60)
{
    honest = wf_sys;
    wf_sys.call = slow_mkdir;
    wt_eq(weft_run(close_before_the_thread, NULL, .workers = 1, .blocking_max = 1), 0);
    wf_sys = honest;
}

static long slow_truncate(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_ftruncate) {
        occupy(NULL);
    }
    return honest.call(number, a, b, c, d, e, f);
}

WEFT_TASK(truncate_behind, int)
{
    return weft_ftruncate(*arg, 2);
}

/* The only thread is inside the first call. */
static int cancel_before_the_thread(void *arg)
{
    (void)arg;
    weft_task first;
    truncating = (struct truncating){.fd = file_of(100)};
    int fd = file_of(100);
    wt_eq(weft_spawn(&first, truncate_it, &truncating), 0);
    yield_until(&is_inside, 1);
    WEFT_SCOPE(s);
    wt_eq(weft_go(&s, truncate_behind, &fd), 0);
    weft_val value = weft_ftruncate_v(fd, 3);
    wt_eq(weft_yield(), 0);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_val_await(value), -ECANCELED);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    wt_eq(weft_status(&first), -EINPROGRESS);
    atomic_store(&may_go, 1);
    wt_eq(weft_await(&first), 0);
    wt_eq(truncating.rc, 0);
    wt_eq(weft_ftruncate(fd, 4), 0);
    wt_eq(size_of(fd), 4);
    close(fd);
    close(truncating.fd);
    return 0;
}

Test(uses, a_call_that_waits_for_a_thread_is_cancelled_at_once, .timeout = 60)
{
    honest = wf_sys;
    wf_sys.call = slow_truncate;
    wt_eq(weft_run(cancel_before_the_thread, NULL, .workers = 1, .blocking_max = 1), 0);
    wf_sys = honest;
}

static int close_it(void *arg)
{
    wt_eq(weft_close(*(int *)arg), 0);
    atomic_store(&closed, 1);
    return 0;
}

static int close_during_the_call(void *arg)
{
    (void)arg;
    weft_task tasks[2];
    truncating = (struct truncating){.fd = file_of(100)};
    int other = dup(truncating.fd);
    wt_eq(weft_spawn(&tasks[0], truncate_it, &truncating), 0);
    yield_until(&is_inside, 1);
    wt_eq(weft_spawn(&tasks[1], close_it, &truncating.fd), 0);
    for (int i = 0; i < 50; i++) { /* no result depends on it: a fault would close it now */
        weft_yield();
        wt_eq(atomic_load(&closed), 0);
    }
    wt_ge(fcntl(truncating.fd, F_GETFD), 0);
    atomic_store(&may_go, 1);
    wt_eq(weft_await(&tasks[0]), 0);
    wt_eq(weft_await(&tasks[1]), 0);
    wt_eq(atomic_load(&closed), 1);
    wt_eq(truncating.rc, 0);
    wt_eq(size_of(other), 1);
    close(other);
    return 0;
}

Test(uses, a_close_waits_for_a_call_on_a_thread, .timeout = 60)
{
    honest = wf_sys;
    wf_sys.call = slow_truncate;
    wt_eq(weft_run(close_during_the_call, NULL, .workers = 1), 0);
    wf_sys = honest;
}

static _Atomic long slow_fd;

static long slow_write(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_write && a == atomic_load(&slow_fd)) {
        occupy(NULL);
    }
    return honest.call(number, a, b, c, d, e, f);
}

WEFT_TASK(write_to, int)
{
    return weft_write(*arg, "x", 1) == 1 ? 0 : -ECANCELED;
}

/* Two threads, and ten that write to a file that hangs. */
static int write_beside_a_slow_file(void *arg)
{
    (void)arg;
    int slow = file_of(0), quick = file_of(0);
    atomic_store(&slow_fd, slow);
    WEFT_SCOPE(first);
    wt_eq(weft_go(&first, write_to, &slow), 0);
    yield_until(&is_inside, 1);
    WEFT_SCOPE(others);
    for (int i = 0; i < 9; i++) {
        wt_eq(weft_go(&others, write_to, &slow), 0);
    }
    weft_val value = weft_write_v(slow, "x", 1);
    wt_eq(weft_write(quick, "y", 1), 1);
    wt_eq(weft_mkdir("/", 0700), -EEXIST);
    weft_scope_cancel(&others, NULL);
    wt_eq(weft_val_await(value), -ECANCELED);
    wt_eq(weft_scope_end(&others), -ECANCELED);
    wt_eq(weft_scope_count(&first), 1);
    atomic_store(&may_go, 1);
    wt_eq(weft_scope_end(&first), 0);
    wt_eq(size_of(slow), 1);
    wt_eq(size_of(quick), 1);
    close(slow);
    close(quick);
    return 0;
}

Test(uses, writes_to_one_file_hold_one_thread, .timeout = 60)
{
    honest = wf_sys;
    wf_sys.call = slow_write;
    wt_eq(weft_run(write_beside_a_slow_file, NULL, .workers = 1, .blocking_max = 2), 0);
    wf_sys = honest;
}
