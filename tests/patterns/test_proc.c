/* test_proc.c: child processes: what they are given, how they end, and that nothing is left of
 * them. */
#include "file_pattern.h"
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <weft/proc.h>
#include <weft/sync.h>

#define ARGV(...)  ((char *[]){__VA_ARGS__, NULL})
#define SH(script) ARGV("sh", "-c", (script))

/* No child is left, dead or alive; and no descriptor. */
static void check_nothing_left(int descriptors)
{
    siginfo_t info;
    wt_eq(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
    wt_eq(errno, ECHILD);
    wt_eq(count_descriptors(), descriptors);
}

/* TaskTest that leaves nothing. */
#define ProcTest(name, workers_, ...)             \
    static void proc_##name##_body(void);         \
    TaskTest(proc, name, workers_, ##__VA_ARGS__) \
    {                                             \
        int descriptors = count_descriptors();    \
        proc_##name##_body();                     \
        check_nothing_left(descriptors);          \
        return 0;                                 \
    }                                             \
    static void proc_##name##_body(void)

/* The exit code of what is run, with what it wrote in `text`. */
static char text[4096];
static weft_proc_io io;

#define RUN(argv, ...)                                                                      \
    __extension__({                                                                         \
        io = (weft_proc_io){                                                                \
            .out = text, .out_max = sizeof text - 1, .in = io.in, .in_bytes = io.in_bytes}; \
        memset(text, 0, sizeof text);                                                       \
        int run_rc_ = weft_proc_run(&io, (argv), __VA_ARGS__);                              \
        run_rc_ < 0 ? run_rc_ : io.exit.code;                                               \
    })

/* --- what a child is given -------------------------------------------------------------------- */

ProcTest(a_program_is_found_run_and_its_exit_code_told, 2)
{
    wt_eq(RUN(SH("echo hello; exit 3"), .err = 0), 3);
    wt_str_eq(text, "hello\n");
    wt_eq(io.exit.signal, 0);
    wt_eq(io.out_bytes, 6);
    wt_eq(RUN(ARGV("the name", "-c", "echo $0 $1", "a b", "c"), .file = "/bin/sh"), 0);
    wt_str_eq(text, "a b c\n");
}

ProcTest(arguments_environment_and_folder_are_as_told, 1)
{
    wt_eq(RUN(ARGV("sh", "-c", "pwd; echo $WEFT_X; test -z \"$HOME\"", "x"), .cwd = "/",
              .env = ARGV("WEFT_X=some value", "PATH=/bin:/usr/bin")),
          0);
    wt_str_eq(text, "/\nsome value\n");
    setenv("WEFT_Y", "inherited", 1);
    wt_eq(RUN(SH("echo $WEFT_Y"), .cwd = NULL), 0);
    wt_str_eq(text, "inherited\n");
}

ProcTest(it_is_fed_and_both_of_its_outputs_are_taken, 2)
{
    char err[64] = "";
    io = (weft_proc_io){.in = "2\n1\n",
                        .in_bytes = 4,
                        .out = text,
                        .out_max = sizeof text,
                        .err = err,
                        .err_max = sizeof err};
    memset(text, 0, sizeof text);
    wt_eq(weft_proc_run(&io, SH("sort; echo bad >&2"), .in = 0), 0);
    wt_str_eq(text, "1\n2\n");
    wt_str_eq(err, "bad\n");
    wt_eq(io.err_bytes, 4);
    io.in = NULL;
    wt_eq(RUN(SH("echo out; echo err >&2"), .err = WEFT_PROC_OUT), 0);
    wt_str_eq(text, "out\nerr\n");
    wt_eq(RUN(SH("cat; echo end"), .in = WEFT_PROC_NULL), 0);
    wt_str_eq(text, "end\n");
}

static void read_until_end(int fd, const char *expected)
{
    char buffer[64] = "";
    size_t n = 0;
    ssize_t rc;
    while ((rc = weft_read(fd, buffer + n, sizeof buffer - 1 - n)) > 0) {
        n += (size_t)rc;
    }
    wt_eq(rc, 0);
    wt_str_eq(buffer, expected);
}

ProcTest(standard_descriptors_may_be_any_of_ours_and_even_crossed, 1)
{
    int a[2], b[2];
    wt_eq(weft_pipe(a, 0), 0);
    wt_eq(weft_pipe(b, 0), 0);
    weft_proc *proc;
    wt_eq(weft_proc_spawn(&proc, SH("echo to a; echo to b >&2"), .out = a[1], .err = b[1]), 0);
    close(a[1]);
    close(b[1]);
    read_until_end(a[0], "to a\n");
    read_until_end(b[0], "to b\n");
    wt_eq(weft_proc_wait(proc, NULL), 0);
    weft_proc_free(proc);
    close(a[0]);
    close(b[0]);
    /* 1 and 2 exchanged: neither copy hides the other's source */
    int kept[2] = {dup(1), dup(2)};
    wt_eq(weft_pipe(a, 0), 0);
    wt_eq(weft_pipe(b, 0), 0);
    dup2(a[1], 1);
    dup2(b[1], 2);
    int rc = weft_proc_spawn(&proc, SH("echo one; echo two >&2"), .out = 2, .err = 1);
    dup2(kept[0], 1);
    dup2(kept[1], 2);
    wt_eq(rc, 0);
    for (int i = 0; i < 2; i++) {
        close(kept[i]);
    }
    close(a[1]);
    close(b[1]);
    read_until_end(b[0], "one\n");
    read_until_end(a[0], "two\n");
    wt_eq(weft_proc_wait(proc, NULL), 0);
    weft_proc_free(proc);
    close(a[0]);
    close(b[0]);
}

ProcTest(a_child_gets_no_other_descriptor_unless_asked_and_no_blocked_signal, 1)
{
    int leak = dup(0); /* without close-on-exec */
    char script[64];
    snprintf(script, sizeof script, "test -e /proc/self/fd/%d", leak);
    wt_eq(RUN(SH(script), .inherit = 0), 1);
    wt_eq(RUN(SH(script), .inherit = 1), 0);
    close(leak);
    wt_eq(RUN(SH("grep -E '^Sig(Blk|Ign)' /proc/self/status"), .in = 0), 0);
    unsigned long blocked = 1, ignored = 1;
    wt_eq(sscanf(text, "SigBlk: %lx SigIgn: %lx", &blocked, &ignored), 2, "%s", text);
    wt_eq(blocked, 0);
    wt_eq(ignored & (1UL << (SIGPIPE - 1)), 0);
}

/* --- what cannot be started ------------------------------------------------------------------- */

ProcTest(what_cannot_be_executed_is_reported_with_its_error, 2)
{
    weft_proc *proc = (weft_proc *)1;
    wt_eq(weft_proc_spawn(&proc, ARGV("weft-no-such-program"), .in = WEFT_PROC_PIPE), -ENOENT);
    wt_true(proc == NULL);
    wt_eq(weft_proc_spawn(&proc, ARGV("/etc/passwd"), .out = WEFT_PROC_PIPE), -EACCES);
    wt_eq(weft_proc_spawn(&proc, ARGV("/"), .in = 0), -EACCES);
    wt_eq(weft_proc_spawn(&proc, ARGV("/etc/passwd/x"), .in = 0), -ENOTDIR);
    wt_eq(weft_proc_spawn(&proc, SH("true"), .cwd = "/no/such/folder"), -ENOENT);
    wt_eq(weft_proc_spawn(&proc, SH("true"), .out = 9999), -EBADF);
    wt_eq(weft_proc_spawn(&proc, SH("true"), .in = WEFT_PROC_PIPE, .out = -7), -EINVAL);
    wt_eq(weft_proc_spawn(&proc, SH("true"), .out = WEFT_PROC_OUT), -EINVAL);
    wt_eq(weft_proc_spawn(&proc, (char *[]){NULL}, .in = 0), -EINVAL);
    wt_eq(weft_proc_spawn(&proc, NULL, .in = 0), -EINVAL);
    wt_eq(RUN(ARGV("weft-no-such-program"), .in = 0), -ENOENT);
    wt_eq(weft_proc_run(&io, ARGV("weft-no-such-program"), .in = WEFT_PROC_PIPE), -ENOENT);
    weft_proc_free(NULL);
}

static int without_descriptors(void *arg)
{
    (void)arg;
    int used = count_descriptors();
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    int all[64];
    int n = 0;
    wt_lt(used, 60);
    limit.rlim_cur = 64;
    wt_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (n < 64 && (all[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        n++;
    }
    /* none, one ... free: it fails here or there, and leaves nothing; at last it works */
    weft_proc *proc;
    int rc = -EMFILE;
    while (rc == -EMFILE && n > 0) {
        rc = weft_proc_spawn(&proc, SH("exit 5"), .in = WEFT_PROC_PIPE, .out = WEFT_PROC_PIPE);
        if (rc == -EMFILE) {
            wt_eq(close(all[--n]), 0);
        }
    }
    wt_eq(rc, 0);
    weft_proc_exit how;
    wt_eq(weft_proc_wait(proc, &how), 0);
    wt_eq(how.code, 5);
    weft_proc_free(proc);
    while (n > 0) {
        close(all[--n]);
    }
    return 0;
}

Test(proc, without_descriptors_it_is_emfile_and_nothing_is_left)
{
    wt_eq(weft_run(without_descriptors, NULL, .workers = 1), 0);
    siginfo_t info;
    wt_eq(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
}

Test(proc, outside_a_task_it_is_eperm)
{
    weft_proc *proc;
    wt_eq(weft_proc_spawn(&proc, SH("true"), .in = 0), -EPERM);
    wt_eq(weft_proc_run(&io, SH("true"), .in = 0), -EPERM);
}

/* --- the end ---------------------------------------------------------------------------------- */

ProcTest(a_signal_ends_it_and_is_told, 2)
{
    weft_proc *proc;
    weft_proc_exit how;
    wt_eq(weft_proc_spawn(&proc, ARGV("sleep", "1000"), .in = 0), 0);
    wt_gt(weft_proc_pid(proc), 0);
    wt_eq(weft_proc_kill(proc, 0), 0);
    wt_eq(weft_proc_kill(proc, 10000), -EINVAL);
    wt_eq(weft_proc_kill(proc, SIGINT), 0);
    wt_eq(weft_proc_wait(proc, &how), 0);
    wt_eq(how.code, -1);
    wt_eq(how.signal, SIGINT);
    wt_eq(weft_proc_wait(proc, NULL), 0); /* again, at once */
    wt_eq(weft_proc_kill(proc, SIGINT), -ESRCH);
    weft_proc_free(proc);
}

static int wait_for_it(void *proc)
{
    weft_proc_exit how;
    int rc = weft_proc_wait(proc, &how);
    return rc < 0 ? rc : how.code;
}

ProcTest(several_tasks_may_wait_and_one_that_is_cancelled_leaves_it_running, 2)
{
    weft_proc *proc;
    wt_eq(weft_proc_spawn(&proc, SH("read x; exit 4"), .in = WEFT_PROC_PIPE), 0);
    weft_task tasks[5];
    for (int i = 0; i < 5; i++) {
        weft_spawn(&tasks[i], wait_for_it, proc);
    }
    weft_proc_exit how;
    wt_eq(weft_within(WEFT_MS(5), weft_proc_wait(proc, &how)), -ETIME);
    wt_eq(weft_within(0, weft_proc_wait(proc, &how)), -ETIME);
    wt_eq(weft_proc_kill(proc, 0), 0);
    wt_eq(weft_proc_close(proc, 0), 0);
    wt_eq(weft_proc_close(proc, 0), -EBADF);
    wt_eq(weft_proc_fd(proc, 0), -EBADF);
    wt_eq(weft_proc_fd(proc, 1), -EBADF);
    wt_eq(weft_proc_fd(proc, 3), -EBADF);
    for (int i = 0; i < 5; i++) {
        wt_eq(weft_await(&tasks[i]), 4);
    }
    weft_proc_free(proc);
}

ProcTest(its_scope_waits_for_it_even_if_the_handle_is_freed, 2)
{
    int fds[2];
    wt_eq(weft_pipe(fds, 0), 0);
    WEFT_SCOPE(s);
    weft_proc *proc;
    wt_eq(weft_proc_spawn(&proc, SH("read x; echo done"), .in = WEFT_PROC_PIPE, .out = fds[1]), 0);
    close(fds[1]);
    weft_proc_free(proc); /* which ends its input */
    wt_eq(weft_scope_end(&s), 0);
    siginfo_t info;
    wt_eq(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
    read_until_end(fds[0], "done\n");
    close(fds[0]);
}

ProcTest(when_its_scope_is_cancelled_it_may_end_in_order, 2)
{
    int fds[2];
    wt_eq(weft_pipe(fds, 0), 0);
    WEFT_SCOPE(s);
    weft_proc *proc;
    wt_eq(weft_proc_spawn(
              &proc, SH("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done"),
              .out = fds[1], .grace = WEFT_SEC(60)),
          0);
    close(fds[1]);
    char line[6];
    wt_eq(weft_read(fds[0], line, sizeof line), 6);
    weft_scope_cancel(&s, "test");
    wt_eq(weft_proc_wait(proc, NULL), -ECANCELED);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    weft_proc_exit how;
    wt_eq(weft_proc_wait(proc, &how), 0);
    wt_eq(how.code, 7);
    read_until_end(fds[0], "bye\n");
    weft_proc_free(proc);
    close(fds[0]);
}

/* What ignores SIGTERM, and has a child of its own that does, is killed with the whole group. */
ProcTest(one_that_ignores_sigterm_is_killed_after_its_grace_with_its_group, 2)
{
    int fds[2];
    wt_eq(weft_pipe(fds, 0), 0);
    WEFT_SCOPE(s);
    weft_proc *proc;
    wt_eq(weft_proc_spawn(&proc,
                          SH("trap '' TERM; (while :; do sleep 1000; done) & echo ready; wait"),
                          .out = fds[1], .group = 1, .grace = WEFT_MS(20)),
          0);
    close(fds[1]);
    char line[6];
    wt_eq(weft_read(fds[0], line, sizeof line), 6);
    weft_scope_cancel(&s, "test");
    wt_eq(weft_scope_end(&s), -ECANCELED);
    weft_proc_exit how;
    wt_eq(weft_proc_wait(proc, &how), 0);
    wt_eq(how.signal, SIGKILL);
    read_until_end(fds[0], ""); /* the last one that had the pipe is gone */
    weft_proc_free(proc);
    close(fds[0]);
}

ProcTest(with_a_negative_grace_it_is_killed_at_once, 1)
{
    WEFT_SCOPE(s);
    weft_proc *proc;
    wt_eq(weft_proc_spawn(&proc, SH("trap '' TERM; sleep 1000"), .grace = -1, .group = 1), 0);
    weft_scope_cancel(&s, "test");
    wt_eq(weft_scope_end(&s), -ECANCELED);
    weft_proc_exit how;
    wt_eq(weft_proc_wait(proc, &how), 0);
    wt_eq(how.signal, SIGKILL);
    weft_proc_free(proc);
}

/* On a loaded machine a short one may be over before there is a process. */
ProcTest(a_deadline_ends_what_is_run, 2)
{
    weft_time deadline = WEFT_MS(20);
    do { /* ends: the process is made in time */
        wt_eq(weft_within(deadline, RUN(ARGV("sleep", "1000"), .in = 0)), -ETIME);
        wt_eq(io.exit.code, -1);
        deadline *= 2;
    } while (io.exit.signal == 0);
    wt_eq(io.exit.signal, SIGTERM);
    wt_eq(weft_within(0, RUN(ARGV("sleep", "1000"), .in = 0)), -ETIME);
    wt_eq(io.exit.signal, 0);
}

ProcTest(in_a_cancelled_scope_none_is_started, 1)
{
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, "test");
    weft_proc *proc;
    wt_eq(weft_proc_spawn(&proc, SH("true"), .in = WEFT_PROC_PIPE), -ECANCELED);
    wt_true(proc == NULL);
    wt_eq(RUN(SH("true"), .in = 0), -ECANCELED);
    (void)weft_scope_end(&s);
}

/* --- much of it ------------------------------------------------------------------------------- */

#define FLOOD_BYTES 3000000

ProcTest(one_that_floods_its_outputs_and_is_flooded_needs_bounded_memory, 2)
{
    char *much = malloc(FLOOD_BYTES);
    memset(much, 'x', FLOOD_BYTES);
    char out[100], err[100];
    io = (weft_proc_io){.in = much,
                        .in_bytes = FLOOD_BYTES,
                        .out = out,
                        .out_max = sizeof out,
                        .err = err,
                        .err_max = sizeof err};
    wt_eq(weft_proc_run(&io, SH("cat; head -c 3000000 /dev/zero >&2; exit 1"), .in = 0), 0);
    wt_eq(io.exit.code, 1);
    wt_eq(io.out_bytes, FLOOD_BYTES);
    wt_eq(io.err_bytes, FLOOD_BYTES);
    wt_eq(out[99], 'x');
    wt_eq(err[99], 0);
    /* one that does not read what it is sent */
    io = (weft_proc_io){.in = much, .in_bytes = FLOOD_BYTES};
    wt_eq(weft_proc_run(&io, SH("exit 2"), .in = 0), 0);
    wt_eq(io.exit.code, 2);
    /* a pipe that nobody asked for is read all the same */
    io = (weft_proc_io){.in = NULL};
    wt_eq(weft_proc_run(&io, SH("head -c 3000000 /dev/zero"), .out = WEFT_PROC_PIPE), 0);
    wt_eq(io.out_bytes, FLOOD_BYTES);
    free(much);
}

#define CHILDREN 100

WEFT_TASK(run_one, int)
{
    char script[32], answer[32] = "";
    snprintf(script, sizeof script, "echo %d; exit %d", *arg, *arg);
    weft_proc_io mine = {.out = answer, .out_max = sizeof answer};
    int rc = weft_proc_run(&mine, SH(script), .in = WEFT_PROC_NULL);
    if (rc < 0) {
        return rc;
    }
    wt_eq(mine.exit.code, *arg);
    wt_eq(atoi(answer), *arg);
    return 0;
}

ProcTest(a_hundred_at_once_each_get_their_own, 2, .timeout = 120)
{
    WEFT_SCOPE(s);
    for (int i = 0; i < CHILDREN; i++) {
        wt_eq(weft_go(&s, run_one, &i), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
}

WEFT_TASK(run_for_ever, int)
{
    for (;;) { /* ends: cancelled */
        weft_proc *proc;
        int rc = weft_proc_spawn(&proc, ARGV("sleep", "1000"), .in = WEFT_PROC_PIPE);
        if (rc < 0) {
            return rc;
        }
        if (*arg % 2 == 0) {
            (void)weft_proc_kill(proc, SIGKILL); /* it may have been ended by the cancellation */
        }
        rc = weft_proc_wait(proc, NULL);
        weft_proc_free(proc);
        if (rc < 0) {
            return rc;
        }
    }
}

/* At any moment of a spawn, a kill, a wait. */
ProcTest(a_cancellation_at_any_moment_leaves_neither_child_nor_descriptor, 2, .timeout = 120)
{
    for (int round = 0; round < 10; round++) {
        WEFT_SCOPE(s);
        for (int i = 0; i < 8; i++) {
            wt_eq(weft_go(&s, run_for_ever, &i), 0);
        }
        weft_sleep(WEFT_MS(round));
        weft_scope_cancel(&s, "enough");
        wt_eq(weft_scope_end(&s), -ECANCELED);
    }
}

ProcTest(without_a_sigchld_to_be_had_the_end_is_seen_but_not_how, 1)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, former;
    sigaction(SIGCHLD, &ignore, &former);
    weft_proc *proc;
    weft_proc_exit how = {0};
    wt_eq(weft_proc_spawn(&proc, SH("read x"), .in = WEFT_PROC_PIPE), 0);
    weft_proc_close(proc, 0);
    wt_eq(weft_proc_wait(proc, &how), -ECHILD);
    weft_proc_free(proc);
    sigaction(SIGCHLD, &former, NULL);
}
