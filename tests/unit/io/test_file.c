/* test_file.c: <weft/io.h> on files and pipes, from tasks. */
#define _GNU_SOURCE
#include "io/io.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/weft.h>

static char path[] = "/tmp/weft-test-XXXXXX";

/* Runs `body` as a task, once with one worker and once with two. It must succeed. */
static void run(weft_fn *body)
{
    char why[256];
    struct wf_driver *driver;
    if (wf_io_driver_new("auto", &driver, why, sizeof why) == -ENOSYS) {
        wt_skip("%s", why);
    }
    wf_io_driver_free(driver);
    for (int workers = 1; workers <= 2; workers++) {
        wt_eq(weft_run(body, NULL, .workers = workers), 0, "%d workers", workers);
    }
}

static int make_file(const char *text)
{
    strcpy(path, "/tmp/weft-test-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);
    wt_ge(fd, 0);
    wt_eq(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    return fd;
}

/* Can the file system of /tmp say what is in its cache (io.h)? Overlayfs, for one, cannot. */
static bool cache_can_be_asked(void)
{
    int fd = make_file("x");
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct statfs about;
    bool can = preadv2(fd, &part, 1, 0, RWF_NOWAIT) == 1 ||
               (fstatfs(fd, &about) == 0 && about.f_type == TMPFS_MAGIC);
    close(fd);
    unlink(path);
    return can;
}

static void need_cache(void)
{
    if (!cache_can_be_asked()) {
        wt_skip("the file system of /tmp does not know RWF_NOWAIT");
    }
}

static weft_stats stats(void)
{
    weft_stats now;
    weft_stats_get(weft_rt_current(), &now);
    return now;
}

/* --- what the calls do ------------------------------------------------------------------------ */

static int whole_life(void *arg)
{
    (void)arg;
    close(make_file(""));
    int fd = weft_open(path, O_RDWR | O_TRUNC, 0);
    wt_ge(fd, 0);
    wt_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    wt_eq(weft_write(fd, "one ", 4), 4);
    wt_eq(weft_write(fd, "two", 3), 3);
    wt_eq(weft_pwrite(fd, "ONE", 3, 0), 3);
    wt_eq(weft_fsync(fd), 0);
    char buffer[32] = "";
    wt_eq(weft_pread(fd, buffer, sizeof buffer, 0), 7);
    wt_str_eq(buffer, "ONE two");
    wt_eq(lseek(fd, 4, SEEK_SET), 4);
    memset(buffer, 0, sizeof buffer);
    wt_eq(weft_read(fd, buffer, 1), 1);
    wt_eq(weft_read(fd, buffer + 1, sizeof buffer - 1), 2);
    wt_str_eq(buffer, "two");
    wt_eq(weft_read(fd, buffer, sizeof buffer), 0);
    struct statx about = {0};
    wt_eq(weft_statx(AT_FDCWD, path, 0, STATX_SIZE, &about), 0);
    wt_eq(about.stx_size, 7);
    memset(&about, 0, sizeof about);
    wt_eq(weft_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &about), 0);
    wt_eq(about.stx_size, 7);
    wt_eq(weft_close(fd), 0);
    wt_eq(weft_close(fd), -EBADF);
    unlink(path);
    return 0;
}

Test(file, is_opened_written_read_inspected_and_closed)
{
    run(whole_life);
}

/* Not in line: a compiler keeps the address of errno over calls, and a wait may end on another
 * thread. */
static __attribute__((noinline)) int errno_now(void)
{
    __asm__ volatile("" : : : "memory");
    return errno;
}

static int refusals(void *arg)
{
    (void)arg;
    int fd = make_file("x");
    char byte;
    errno = 12345;
    wt_eq(weft_open("/nowhere/at/all", O_RDONLY, 0), -ENOENT);
    wt_eq(weft_read(-1, &byte, 1), -EBADF);
    wt_eq(weft_write(-1, &byte, 1), -EBADF);
    wt_eq(weft_pread(fd, &byte, 1, -1), -EINVAL);
    wt_eq(weft_pwrite(fd, &byte, 1, INT64_MIN), -EINVAL);
    wt_eq(weft_read(fd, NULL, 1), -EFAULT);
    wt_eq(weft_fsync(-1), -EBADF);
    wt_eq(weft_wait_fd(-1, POLLIN), -EBADF);
    int ends[2];
    wt_eq(pipe(ends), 0);
    wt_eq(weft_pread(ends[0], &byte, 1, 0), -ESPIPE);
    close(ends[0]);
    wt_eq(weft_write(ends[1], "x", 1), -EPIPE, "and no SIGPIPE");
    close(ends[1]);
    wt_eq(errno_now(), 12345, "errno is not touched");
    wt_eq(weft_read(fd, &byte, 0), 0);
    wt_eq(weft_write(fd, &byte, 0), 0);
    weft_close(fd);
    unlink(path);
    return 0;
}

Test(file, what_the_kernel_refuses_is_returned)
{
    run(refusals);
}

#define LARGE ((size_t)3 << 20)

/* Of a file larger than what is in the cache, whole reads give all there is. */
static int large(void *arg)
{
    (void)arg;
    int fd = make_file("");
    char *out = malloc(LARGE);
    char *in = malloc(LARGE + 100);
    for (size_t i = 0; i < LARGE; i++) {
        out[i] = (char)(i * 2654435761u >> 13);
    }
    wt_eq(weft_pwrite(fd, out, LARGE, 0), (ssize_t)LARGE);
    wt_eq(weft_fsync(fd), 0);
    for (int round = 0; round < 4; round++) {
        /* Out of the cache, all of it or only its second half: then RWF_NOWAIT gives a part. */
        wt_eq(posix_fadvise(fd, round % 2 == 0 ? 0 : LARGE / 2, 0, POSIX_FADV_DONTNEED), 0);
        memset(in, 0, LARGE);
        if (round < 2) {
            wt_eq(weft_pread(fd, in, LARGE + 100, 0), (ssize_t)LARGE);
        } else {
            lseek(fd, 0, SEEK_SET);
            wt_eq(weft_read(fd, in, LARGE + 100), (ssize_t)LARGE);
            wt_eq(lseek(fd, 0, SEEK_CUR), (off_t)LARGE);
        }
        wt_mem_eq(in, out, LARGE);
        wt_eq(weft_pread(fd, in, 200, (int64_t)LARGE - 100), 100);
    }
    free(in);
    free(out);
    weft_close(fd);
    unlink(path);
    return 0;
}

Test(file, short_reads_are_at_its_end_only)
{
    run(large);
}

static int cached(void *arg)
{
    (void)arg;
    int fd = make_file("warm");
    char buffer[8];
    weft_stats before = stats();
    wt_eq(weft_pread(fd, buffer, sizeof buffer, 0), 4);
    wt_eq(weft_read(fd, buffer, sizeof buffer), 4);
    wt_eq(weft_read(fd, buffer, sizeof buffer), 0);
    wt_eq(stats().ops_submitted, before.ops_submitted);
    weft_close(fd);
    unlink(path);
    return 0;
}

Test(file, cached_data_is_read_without_the_ring)
{
    need_cache();
    run(cached);
}

/* tmpfs and memfd refuse RWF_NOWAIT; a pipe in such a file system can be empty all the same. */
static int in_memory(void *arg)
{
    (void)arg;
    int fd = memfd_create("weft-test", MFD_CLOEXEC);
    wt_ge(fd, 0);
    wt_eq(pwrite(fd, "memory", 6, 0), 6);
    char buffer[8];
    weft_stats before = stats();
    wt_eq(weft_pread(fd, buffer, sizeof buffer, 2), 4);
    wt_mem_eq(buffer, "mory", 4);
    wt_eq(weft_within(0, weft_read(fd, buffer, sizeof buffer)), 6);
    wt_eq(weft_read(fd, buffer, sizeof buffer), 0);
    wt_eq(weft_pread(fd, buffer, sizeof buffer, 100), 0);
    wt_eq(stats().ops_submitted, before.ops_submitted);
    weft_close(fd);

    fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        wt_eq(weft_read(fd, buffer, sizeof buffer), -EISDIR);
        weft_close(fd);
    }
    return 0;
}

Test(file, data_of_a_file_in_memory_is_read_without_the_ring)
{
    run(in_memory);
}

static int empty_fifo_in_memory(void *arg)
{
    char name[] = "/dev/shm/weft-test-XXXXXX";
    (void)arg;
    int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0) {
        return 0; /* a system without it */
    }
    close(fd);
    unlink(name);
    wt_eq(mkfifo(name, 0600), 0);
    fd = open(name, O_RDWR | O_CLOEXEC);
    unlink(name);
    wt_ge(fd, 0);
    char byte;
    wt_eq(weft_within(WEFT_MS(1), weft_read(fd, &byte, 1)), -ETIME);
    wt_eq(weft_write(fd, "x", 1), 1);
    wt_eq(weft_within(0, weft_read(fd, &byte, 1)), 1);
    weft_close(fd);
    return 0;
}

Test(file, a_fifo_in_memory_is_waited_for)
{
    run(empty_fifo_in_memory);
}

static int direct(void *arg)
{
    (void)arg;
    int fd = make_file("");
    close(fd);
    fd = weft_open(path, O_RDWR | O_DIRECT, 0);
    if (fd < 0) {
        wt_eq(fd, -EINVAL);
        return 0; /* a file system without it */
    }
    char *page = aligned_alloc(4096, 4096);
    memset(page, 'd', 4096);
    weft_stats before = stats();
    wt_eq(weft_pwrite(fd, page, 4096, 0), 4096);
    memset(page, 0, 4096);
    wt_eq(weft_pread(fd, page, 4096, 0), 4096);
    wt_eq(page[4095], 'd');
    wt_eq(stats().ops_submitted, before.ops_submitted + 2);
    free(page);
    weft_close(fd);
    unlink(path);
    return 0;
}

Test(file, direct_reads_do_not_hold_up_the_worker)
{
    run(direct);
}

/* --- pipes ------------------------------------------------------------------------------------ */

struct reader {
    int fd;
    char got[16];
};

static int read_one(void *arg)
{
    struct reader *reader = arg;
    return (int)weft_read(reader->fd, reader->got, sizeof reader->got);
}

static void check_pipe(int flags)
{
    int ends[2];
    wt_eq(pipe2(ends, O_CLOEXEC | flags), 0);
    struct reader reader = {.fd = ends[0]};
    weft_task task;
    wt_eq(weft_spawn(&task, read_one, &reader), 0);
    weft_yield(); /* perhaps it waits by now; if not, it reads at once */
    wt_eq(weft_write(ends[1], "data", 4), 4);
    wt_eq(weft_await(&task), 4);
    wt_str_eq(reader.got, "data");
    wt_eq(weft_write(ends[1], "more", 4), 4);
    wt_eq(weft_read(ends[0], reader.got, sizeof reader.got), 4,
          "what is there, without waiting for the rest");
    weft_close(ends[1]);
    wt_eq(weft_read(ends[0], reader.got, 1), 0);
    weft_close(ends[0]);
}

static int pipes(void *arg)
{
    (void)arg;
    check_pipe(0);
    check_pipe(O_NONBLOCK);
    return 0;
}

Test(pipe, read_waits_for_data_whether_it_blocks_or_not)
{
    run(pipes);
}

static int watch(void *arg)
{
    (void)arg;
    /* A descriptor for which the kernel's own waiting does not work: O_NONBLOCK, and not made for
     * it. */
    char directory[] = "/tmp/weft-test-XXXXXX";
    wt_true(mkdtemp(directory) != NULL);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    wt_ge(inotify_add_watch(fd, directory, IN_DELETE_SELF), 0);
    char event[sizeof(struct inotify_event) + 256];
    wt_eq(weft_within(WEFT_MS(1), weft_read(fd, event, sizeof event)), -ETIME);
    wt_eq(weft_within(0, weft_read(fd, event, sizeof event)), -ETIME);
    wt_eq(rmdir(directory), 0);
    wt_ge(weft_read(fd, event, sizeof event), (ssize_t)sizeof(struct inotify_event));
    weft_close(fd);
    return 0;
}

Test(pipe, read_waits_for_what_says_eagain)
{
    run(watch);
}

#define STREAM_BYTES ((size_t)1 << 20)

static int write_stream(void *arg)
{
    int fd = *(int *)arg;
    static char bytes[STREAM_BYTES];
    size_t sent = 0;
    while (sent < STREAM_BYTES) {
        ssize_t n = weft_write(fd, bytes + sent, STREAM_BYTES - sent);
        wt_gt(n, 0);
        sent += (size_t)n;
    }
    return weft_close(fd);
}

static int stream(void *arg)
{
    (void)arg;
    for (int nonblocking = 0; nonblocking <= 1; nonblocking++) {
        int ends[2];
        wt_eq(pipe2(ends, O_CLOEXEC | (nonblocking ? O_NONBLOCK : 0)), 0);
        weft_task task;
        wt_eq(weft_spawn(&task, write_stream, &ends[1]), 0);
        size_t received = 0;
        char buffer[10000];
        ssize_t n;
        while ((n = weft_read(ends[0], buffer, sizeof buffer)) > 0) {
            received += (size_t)n;
        }
        wt_eq(n, 0);
        wt_eq(received, STREAM_BYTES);
        wt_eq(weft_await(&task), 0);
        weft_close(ends[0]);
    }
    return 0;
}

Test(pipe, more_than_it_holds_goes_through)
{
    run(stream);
}

static int wait_fd(void *arg)
{
    (void)arg;
    int ends[2];
    wt_eq(pipe2(ends, O_CLOEXEC), 0);
    wt_eq(weft_wait_fd(ends[1], POLLOUT), POLLOUT);
    wt_eq(weft_within(WEFT_MS(2), weft_wait_fd(ends[0], POLLIN)), -ETIME);
    wt_eq(weft_within(0, weft_wait_fd(ends[0], POLLIN)), -ETIME);
    wt_eq(weft_write(ends[1], "x", 1), 1);
    wt_eq(weft_within(0, weft_wait_fd(ends[0], POLLIN)), POLLIN);
    weft_close(ends[0]);
    weft_close(ends[1]);
    return 0;
}

Test(pipe, wait_fd_gives_what_is_ready)
{
    run(wait_fd);
}

/* --- cancellation ----------------------------------------------------------------------------- */

static int cancelled_calls(void *arg)
{
    (void)arg;
    int fd = make_file("there");
    char buffer[8];
    WEFT_SCOPE(scope);
    wt_eq(weft_scope_cancel(&scope, "test"), 0);
    wt_eq(weft_read(fd, buffer, 1), -ECANCELED);
    wt_eq(weft_pread(fd, buffer, 1, 0), -ECANCELED);
    wt_eq(weft_write(fd, "x", 1), -ECANCELED);
    wt_eq(weft_pwrite(fd, "x", 1, 0), -ECANCELED);
    wt_eq(weft_open(path, O_RDONLY, 0), -ECANCELED);
    wt_eq(weft_fsync(fd), -ECANCELED);
    wt_eq(weft_wait_fd(fd, POLLIN), -ECANCELED);
    wt_eq(weft_close(fd), 0, "closing is not cancelled");
    wt_eq(fcntl(fd, F_GETFD), -1);
    (void)weft_scope_end(&scope);
    unlink(path);
    return 0;
}

Test(cancel, refuses_before_trying)
{
    run(cancelled_calls);
}

static int expired_calls(void *arg)
{
    (void)arg;
    bool can_ask = cache_can_be_asked();
    int fd = make_file("there");
    char buffer[8];
    int ends[2];
    wt_eq(pipe2(ends, O_CLOEXEC), 0);
    if (can_ask) {
        wt_eq(weft_within(0, weft_pread(fd, buffer, 5, 0)), 5, "what is there is read");
    }
    wt_eq(weft_within(0, weft_read(ends[0], buffer, 1)), -ETIME);
    wt_eq(weft_write(ends[1], "x", 1), 1);
    wt_eq(weft_within(0, weft_read(ends[0], buffer, 1)), 1);
    wt_eq(weft_within(WEFT_MS(1), weft_read(ends[0], buffer, 1)), -ETIME);
    wt_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    wt_eq(weft_within(0, weft_read(ends[0], buffer, 1)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_read(ends[0], buffer, 1)), -ETIME);
    weft_close(ends[0]);
    weft_close(ends[1]);
    weft_close(fd);
    unlink(path);
    return 0;
}

Test(cancel, expired_deadline_tries_once)
{
    run(expired_calls);
}

static int waiting_readers(void *arg)
{
    (void)arg;
    enum { READERS = 20 };
    int ends[2];
    wt_eq(pipe2(ends, O_CLOEXEC), 0);
    struct reader readers[READERS];
    weft_task tasks[READERS];
    WEFT_SCOPE(scope);
    for (int i = 0; i < READERS; i++) {
        readers[i].fd = ends[0];
        wt_eq(weft_spawn(&tasks[i], read_one, &readers[i]), 0);
    }
    wt_eq(weft_sleep(WEFT_MS(2)), 0);
    wt_eq(weft_scope_cancel(&scope, "enough"), 0);
    for (int i = 0; i < READERS; i++) {
        wt_eq(weft_await(&tasks[i]), -ECANCELED);
    }
    (void)weft_scope_end(&scope);
    weft_close(ends[0]);
    weft_close(ends[1]);
    weft_stats now = stats();
    wt_eq(now.ops_submitted, now.ops_completed);
    return 0;
}

Test(cancel, reaches_all_that_wait)
{
    run(waiting_readers);
}

/* --- elsewhere -------------------------------------------------------------------------------- */

static void check_refused(int expected)
{
    char byte;
    wt_eq(weft_read(0, &byte, 1), expected);
    wt_eq(weft_pread(0, &byte, 1, 0), expected);
    wt_eq(weft_write(1, &byte, 1), expected);
    wt_eq(weft_pwrite(1, &byte, 1, 0), expected);
    wt_eq(weft_open("/", O_RDONLY, 0), expected);
    wt_eq(weft_fsync(0), expected);
    wt_eq(weft_close(0), expected);
    wt_eq(weft_wait_fd(0, POLLIN), expected);
    wt_eq(weft_shutdown(0, SHUT_RD), expected);
    wt_eq(weft_recv(0, &byte, 1, 0), expected);
    wt_eq(weft_send(0, &byte, 1, 0), expected);
    wt_eq(weft_send_all(0, &byte, 1, 0), expected);
    wt_eq(weft_accept(0, NULL, NULL, 0), expected);
    wt_eq(weft_connect(0, NULL, 0), expected);
    wt_eq(weft_statx(0, "", 0, 0, NULL), expected);
}

Test(elsewhere, outside_a_task_every_call_refuses)
{
    check_refused(-EPERM);
}

static int fork_child(void *arg)
{
    (void)arg;
    pid_t child = fork();
    if (child == 0) {
        check_refused(-ENOSYS);
        _exit(0);
    }
    int status = -1;
    wt_eq(waitpid(child, &status, 0), child);
    return status;
}

Test(elsewhere, in_a_forked_child_every_call_refuses)
{
    run(fork_child);
}
