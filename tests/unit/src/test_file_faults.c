/* test_file_faults.c: files and processes when the system refuses: what was begun is undone, and
 * what can be done in another way is. */
#include "pool/base/sys.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/stackless.h>
#include <weft/weft.h>

static struct wf_sys real;

/* What is refused from now on, and with what; 0: nothing. */
static _Atomic long refused_call;
static _Atomic int refused_with;
static atomic_int refused_times;
static _Atomic long interrupted_call = -1; /* by a signal, once; -1: none is */
static atomic_size_t refused_bytes_min;    /* of memory; 0: none is */
static atomic_int threads_refused;
static atomic_int spawn_refused;

static long fault_call(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == atomic_load(&interrupted_call)) {
        atomic_store(&interrupted_call, -1); /* once */
        return -EINTR;
    }
    if (number == atomic_load(&refused_call)) {
        atomic_fetch_add(&refused_times, 1);
        return atomic_load(&refused_with);
    }
    return real.call(number, a, b, c, d, e, f);
}

static void *fault_alloc(size_t alignment, size_t bytes)
{
    size_t least = atomic_load(&refused_bytes_min);
    return least != 0 && bytes >= least ? NULL : real.alloc(alignment, bytes);
}

static int fault_thread_start(pthread_t *thread, void *(*body)(void *), void *arg)
{
    return atomic_load(&threads_refused) ? -EAGAIN : real.thread_start(thread, body, arg);
}

static int fault_spawn(const struct wf_spawn *spawn)
{
    return atomic_load(&spawn_refused) ? -EAGAIN : real.spawn(spawn);
}

static void refuse(long number, int with)
{
    atomic_store(&refused_with, with);
    atomic_store(&refused_times, 0);
    atomic_store(&refused_call, number);
}

static void refuse_nothing(void)
{
    atomic_store(&refused_call, -1);
}

static char folder[64];

static void begin(void)
{
    strcpy(folder, "/tmp/weft-test-XXXXXX");
    wt_true(mkdtemp(folder) != NULL);
    atomic_store(&refused_call, -1);
    real = wf_sys;
    wf_sys.call = fault_call;
    wf_sys.alloc = fault_alloc;
    wf_sys.thread_start = fault_thread_start;
    wf_sys.spawn = fault_spawn;
}

static const char *in_folder(const char *name)
{
    static char paths[2][128];
    static int next;
    char *path = paths[next++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void end(void)
{
    (void)unlink(in_folder("a"));
    (void)unlink(in_folder("b"));
    (void)rmdir(folder);
}

/* A test whose body is a task. */
#define FaultTest(name)                                                    \
    static int name##_body(void *arg);                                     \
    Test(file_faults, name, .init = begin, .fini = end)                    \
    {                                                                      \
        wt_eq(weft_run(name##_body, NULL, .workers = 1, .io = "auto"), 0); \
    }                                                                      \
    static int name##_body(void *arg __attribute__((unused)))

/* A profiler's signal, on the thread: the caller does not hear of it. */
FaultTest(a_call_on_a_thread_goes_on_after_a_signal)
{
    int fd = weft_open(in_folder("a"), O_RDWR | O_CREAT, 0600);
    wt_ge(fd, 0);
    atomic_store(&interrupted_call, SYS_write);
    wt_eq(weft_write(fd, "one", 3), 3);
    wt_eq(atomic_load(&interrupted_call), -1);
    atomic_store(&interrupted_call, SYS_write);
    weft_val written = weft_write_v(fd, "two", 3);
    wt_eq(weft_val_await(written), 3);
    wt_eq(atomic_load(&interrupted_call), -1);
    char text[8] = "";
    wt_eq(weft_pread(fd, text, sizeof text, 0), 6);
    wt_str_eq(text, "onetwo");
    wt_eq(weft_close(fd), 0);
    return 0;
}

FaultTest(a_write_at_the_own_position_is_made_on_the_worker_if_there_is_no_thread)
{
    int fd = weft_open(in_folder("a"), O_RDWR | O_CREAT, 0600);
    wt_ge(fd, 0);
    atomic_store(&threads_refused, 1);
    struct iovec part = {(char *)"two", 3};
    wt_eq(weft_write(fd, "one", 3), 3);
    wt_eq(weft_writev(fd, &part, 1), 3);
    weft_val three = weft_write_v(fd, "six", 3);
    wt_eq(weft_val_await(three), 3);
    weft_val four = weft_writev_v(fd, &part, 1);
    wt_eq(weft_val_await(four), 3);
    atomic_store(&threads_refused, 0);
    char text[16] = "";
    wt_eq(weft_pread(fd, text, sizeof text, 0), 12);
    wt_str_eq(text, "onetwosixtwo");
    wt_eq(weft_close(fd), 0);
    return 0;
}

static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void check_no_child(void)
{
    siginfo_t info;
    wt_eq(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
    wt_eq(errno, ECHILD);
}

FaultTest(a_call_without_any_thread_is_made_on_the_worker)
{
    atomic_store(&threads_refused, 1);
    wt_eq(weft_mkdir(in_folder("a"), 0700), 0);
    weft_val made = weft_mkdirat_v(AT_FDCWD, in_folder("a"), 0700);
    int64_t rc = weft_val_await(made);
    wt_eq(rc, -EEXIST);
    weft_proc *proc;
    wt_eq(weft_proc_spawn(&proc, ((char *[]){"true", NULL}), .in = WEFT_PROC_PIPE), -EAGAIN);
    atomic_store(&threads_refused, 0);
    wt_eq(weft_rmdir(in_folder("a")), 0);
    return 0;
}

FaultTest(a_copy_that_the_kernel_refuses_is_made_by_reading_and_writing)
{
    enum { BYTES = 700000 };
    char *data = malloc(BYTES + 1);
    for (int i = 0; i < BYTES; i++) {
        data[i] = (char)(i * 7 >> 3);
    }
    wt_eq(weft_file_write(AT_FDCWD, in_folder("a"), data, BYTES, 0600), 0);
    static const int refusals[] = {-EXDEV, -ENOSYS, -EOPNOTSUPP, -EINVAL, -EPERM, 0};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        refuse(SYS_copy_file_range, refusals[i]);
        wt_eq(weft_copy_file(in_folder("a"), in_folder("b"), 0), BYTES, "%d", refusals[i]);
        wt_ge(atomic_load(&refused_times), 1);
        char *copy = calloc(1, BYTES + 1);
        wt_eq(weft_file_read(AT_FDCWD, in_folder("b"), copy, BYTES + 1), BYTES);
        wt_mem_eq(copy, data, BYTES);
        free(copy);
    }
    refuse(SYS_copy_file_range, -EIO);
    wt_eq(weft_copy_file(in_folder("a"), in_folder("b"), 0), -EIO);
    refuse(SYS_copy_file_range, -EXDEV);
    atomic_store(&refused_bytes_min, 200000);
    wt_eq(weft_copy_file(in_folder("a"), in_folder("b"), 0), -ENOMEM);
    atomic_store(&refused_bytes_min, 0);
    refuse_nothing();
    free(data);
    return 0;
}

FaultTest(without_memory_a_directory_is_not_open)
{
    int before = descriptors();
    weft_dir *dir;
    atomic_store(&refused_bytes_min, 30000);
    wt_eq(weft_dir_open(&dir, AT_FDCWD, folder), -ENOMEM);
    atomic_store(&refused_bytes_min, 0);
    wt_true(dir == NULL);
    wt_eq(descriptors(), before);
    return 0;
}

FaultTest(a_pipe_that_cannot_be_had_or_sized_leaves_nothing)
{
    int before = descriptors();
    int fds[2];
    refuse(SYS_pipe2, -ENFILE);
    wt_eq(weft_pipe(fds, 0), -ENFILE);
    refuse(SYS_fcntl, -EPERM);
    wt_eq(weft_pipe(fds, 4096), -EPERM);
    refuse_nothing();
    wt_eq(descriptors(), before);
    return 0;
}

FaultTest(a_process_that_cannot_be_had_or_guarded_is_none)
{
    char *const argv[] = {"sleep", "1000", NULL};
    int before = descriptors();
    weft_proc *proc;
    atomic_store(&spawn_refused, 1);
    wt_eq(weft_proc_spawn(&proc, argv, .out = WEFT_PROC_PIPE), -EAGAIN);
    atomic_store(&spawn_refused, 0);
    refuse(SYS_pidfd_open, -EMFILE);
    wt_eq(weft_proc_spawn(&proc, argv, .out = WEFT_PROC_PIPE), -EMFILE);
    wt_eq(atomic_load(&refused_times), 1);
    refuse_nothing();
    wt_true(proc == NULL);
    check_no_child();
    wt_eq(descriptors(), before);
    return 0;
}

/* The scope takes no task: the child is there already, and has to go. */
FaultTest(a_process_whose_scope_takes_no_guard_is_killed_and_reaped)
{
    int before = descriptors();
    WEFT_SCOPE(s, .each = 1);
    weft_proc *proc, *other;
    wt_eq(weft_proc_spawn(&proc, ((char *[]){"cat", NULL}), .in = WEFT_PROC_PIPE), 0);
    wt_eq(weft_proc_spawn(&other, ((char *[]){"sleep", "1000", NULL}), .in = WEFT_PROC_PIPE),
          -EAGAIN);
    wt_true(other == NULL);
    weft_proc_free(proc);
    weft_done done;
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(done.rc, 0);
    wt_eq(weft_scope_end(&s), 0);
    check_no_child();
    wt_eq(descriptors(), before);
    return 0;
}

/* The kernel does not say what it wants for direct I/O: a page is enough for all. */
FaultTest(alignment_that_is_not_known_is_a_page)
{
    int fd = weft_open("/dev/null", O_RDONLY, 0);
    weft_direct direct;
    wt_eq(weft_direct_get(fd, &direct), -EINVAL); /* no file */
    weft_close(fd);
    fd = weft_open("/proc/self/status", O_RDONLY, 0);
    wt_eq(weft_direct_get(fd, &direct), 0);
    wt_eq(direct.memory_align, sysconf(_SC_PAGESIZE));
    wt_eq(direct.offset_align, sysconf(_SC_PAGESIZE));
    weft_close(fd);
    return 0;
}
