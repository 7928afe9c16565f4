/* proc.c: child processes.
 *
 * A process has two holders: the handle, which is the program's, and the guard, a task of the scope
 * it was spawned in. The guard alone waits for it and reaps it, so that the pidfd is closed once
 * and its number means this process until then.
 *
 *      RUNS --[guard: the pidfd is readable]-------------------------> reaped, ENDED
 *        |                                                              ^
 *        +--[guard: cancelled; SIGTERM]--> grace --[over; SIGKILL]------+
 *
 * Guarantees.
 * P.1  Once the child exists, the guard does, or it is killed and reaped before the spawn returns.
 * P.2  A signal is sent only to a process that has not been reaped: `lock` orders both.
 * P.3  `exit` and `rc` are written before `ended` is set, and then immutable.
 *
 * The roads not taken. SIGCHLD: a handler is the program's, and one of a library breaks all other
 * waits. PR_SET_PDEATHSIG: it is the thread that spawned whose death counts, and ours come and go.
 * A vfork of our own: posix_spawn(3) is one that has been debugged. */
#include "pool/base/sys.h"
#include "src/io_value.h"
#include "src/sync.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <weft/file.h>
#include <weft/proc.h>

#define WF_PROC_GRACE WEFT_SEC(5)
/* Read at a time beyond what is kept, on a task's stack. */
#define WF_PROC_DROP_BYTES 4096
#define WF_P_PIDFD         3 /* waitid: P_PIDFD, which newer headers have */

struct weft_proc {
    /* immutable after spawn */
    pid_t pid;
    bool group;
    weft_time grace;

    int fds[3]; /* our ends of the pipes, or -1; whoever has the handle */

    struct wf_lock lock;
    bool reaped; /* under lock */
    int pidfd;   /* under lock; the guard's own to wait with */

    /* guard, before `ended` */
    int rc;
    weft_proc_exit exit;

    weft_event ended;
    WF_ATOMIC(uint32_t) holders;
};

static void let_go(weft_proc *proc)
{
    /* sync(proc.let_go): acq_rel, the last holder comes after all that the other did; pairs
     * sync(proc.let_go) */
    if (wf_sub_acq_rel(&proc->holders, 1) == 1) {
        weft_event_fini(&proc->ended);
        wf_sys.release(proc);
    }
}

static void close_end(int *fd)
{
    if (*fd >= 0) {
        (void)wf_sys.close(*fd);
        *fd = -1;
    }
}

/* --- the guard -------------------------------------------------------------------------------- */

static int send_signal(weft_proc *proc, int number)
{
    wf_lock(&proc->lock);
    long rc = -ESRCH;
    if (!proc->reaped) {
        rc = proc->group ? wf_sys.call(SYS_kill, -proc->pid, number, 0, 0, 0, 0)
                         : wf_sys.call(SYS_pidfd_send_signal, proc->pidfd, number, 0, 0, 0, 0);
    }
    wf_unlock(&proc->lock);
    return (int)rc;
}

/* Of a process that was killed and so will not take long. The zombie stays. */
static void wait_for_death(weft_proc *proc)
{
    siginfo_t info;
    struct wf_thread_call wait =
        WF_THREAD_CALL(SYS_waitid, 0, WF_P_PIDFD, proc->pidfd, (long)&info, WEXITED | WNOWAIT, 0);
    (void)wf_thread_finish(&wait);
}

/* The process has ended. */
static void reap(weft_proc *proc)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    wf_lock(&proc->lock);
    long rc =
        wf_sys.call(SYS_waitid, WF_P_PIDFD, proc->pidfd, (long)&info, WEXITED | WNOHANG, 0, 0);
    proc->reaped = true;
    close_end(&proc->pidfd);
    wf_unlock(&proc->lock);
    proc->rc = (int)rc;
    proc->exit = info.si_code == CLD_EXITED ? (weft_proc_exit){.code = info.si_status}
                                            : (weft_proc_exit){-1, info.si_status};
}

static void kill_and_reap(weft_proc *proc)
{
    (void)send_signal(proc, SIGKILL);
    wait_for_death(proc);
    reap(proc);
}

WEFT_TASK(guard_process, weft_proc *)
{
    weft_proc *proc = *arg;
    weft_task_name("a process");
    int rc = weft_wait_fd(proc->pidfd, POLLIN);
    if (rc >= 0) {
        reap(proc);
    } else {
        if (proc->grace > 0) {
            (void)send_signal(proc, SIGTERM);
            (void)weft_shield(proc->grace, weft_wait_fd(proc->pidfd, POLLIN));
        }
        kill_and_reap(proc); /* of one that has ended: what is left of its group */
    }
    (void)weft_event_set(&proc->ended);
    let_go(proc);
    return rc < 0 ? -ECANCELED : 0;
}

/* --- spawn ------------------------------------------------------------------------------------ */

struct birth {
    struct wf_spawn spawn;
    int pidfd;
};

/* On a thread: the child's number, or -errno. */
static int give_birth(void *arg)
{
    struct birth *birth = arg;
    int pid = wf_sys.spawn(&birth->spawn);
    if (pid < 0) {
        return pid;
    }
    birth->pidfd = (int)wf_sys.call(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
    if (birth->pidfd < 0) { /* it cannot be guarded */
        (void)wf_sys.call(SYS_kill, pid, SIGKILL, 0, 0, 0, 0);
        (void)wf_sys.call(SYS_wait4, pid, 0, 0, 0, 0, 0);
        return birth->pidfd;
    }
    return pid;
}

/* What the child gets as `which`: a descriptor in *child, which is to be closed by the caller if it
 * is in *made too. 0 or -errno. */
static int prepare_end(weft_proc *proc, int which, int option, int *child, int *made)
{
    int fds[2];
    int rc;
    switch (option) {
    case WEFT_PROC_INHERIT:
        *child = which;
        return 0;
    case WEFT_PROC_NULL:
        *child = -1;
        return 0;
    case WEFT_PROC_PIPE:
        rc = weft_pipe(fds, 0);
        if (rc == 0) {
            *child = *made = fds[which == 0 ? 0 : 1];
            proc->fds[which] = fds[which == 0 ? 1 : 0];
        }
        return rc;
    default:
        /* posix_spawn would say so of a bad one, but also take another that comes meanwhile */
        *child = option;
        return option < 0 ? -EINVAL : (int)wf_sys.call(SYS_fcntl, option, F_GETFD, 0, 0, 0, 0);
    }
}

static int prepare_ends(weft_proc *proc, const weft_proc_opts *opts, int child[3], int made[3])
{
    const int options[3] = {opts->in, opts->out, opts->err};
    for (int i = 0; i < 3; i++) {
        if (i == 2 && options[i] == WEFT_PROC_OUT) {
            child[2] = child[1];
            break;
        }
        int rc = prepare_end(proc, i, options[i], &child[i], &made[i]);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int bear(weft_proc *proc, char *const argv[], const weft_proc_opts *opts)
{
    struct birth birth = {.spawn = {.file = opts->file != NULL ? opts->file : argv[0],
                                    .argv = argv,
                                    .env = opts->env,
                                    .cwd = opts->cwd,
                                    .inherit = opts->inherit != 0,
                                    .group = opts->group != 0}};
    int made[3] = {-1, -1, -1};
    int rc = prepare_ends(proc, opts, birth.spawn.fds, made);
    if (rc >= 0) {
        rc = wf_call_on_own_thread(give_birth, &birth);
    }
    for (int i = 0; i < 3; i++) {
        close_end(&made[i]);
    }
    proc->pid = rc;
    proc->pidfd = birth.pidfd;
    return rc < 0 ? rc : 0;
}

static weft_proc *new_proc(const weft_proc_opts *opts)
{
    weft_proc *proc = wf_sys_alloc_zeroed(WF_LINE, sizeof *proc);
    if (proc != NULL) {
        proc->group = opts->group != 0;
        proc->grace = opts->grace != 0 ? opts->grace : WF_PROC_GRACE;
        proc->fds[0] = proc->fds[1] = proc->fds[2] = -1;
        weft_event_init(&proc->ended, WEFT_EVENT_MANUAL);
        wf_store_relaxed(&proc->holders, 1); /* relaxed: nobody else knows it */
    }
    return proc;
}

int weft_proc_spawn_(weft_proc **out, char *const argv[], const weft_proc_opts *opts,
                     const weft_place *place)
{
    static const weft_proc_opts none;
    *out = NULL;
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return rc;
    }
    if (argv == NULL || argv[0] == NULL) {
        return -EINVAL;
    }
    opts = opts != NULL ? opts : &none;
    weft_proc *proc = new_proc(opts);
    if (proc == NULL) {
        return -ENOMEM;
    }
    rc = bear(proc, argv, opts);
    if (rc == 0) {
        wf_store_relaxed(&proc->holders, 2); /* relaxed: the guard's start publishes it */
        weft_scope *scope = (weft_scope *)(void *)wf_self()->env->scope;
        rc = weft_go_(scope, guard_process, &proc, sizeof proc, place);
        if (rc < 0) {
            kill_and_reap(proc); /* P.1 */
            let_go(proc);
        }
    }
    if (rc < 0) {
        weft_proc_free(proc);
        return rc;
    }
    *out = proc;
    return 0;
}

/* --- the handle ------------------------------------------------------------------------------- */

int weft_proc_fd(const weft_proc *proc, int which)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    return which < 0 || which > 2 || proc->fds[which] < 0 ? -EBADF : proc->fds[which];
}

int weft_proc_close(weft_proc *proc, int which)
{
    int fd = weft_proc_fd(proc, which);
    if (fd < 0) {
        return fd;
    }
    close_end(&proc->fds[which]);
    return 0;
}

pid_t weft_proc_pid(const weft_proc *proc)
{
    return wf_forked ? -ENOSYS : proc->pid;
}

/* Of one that has ended. */
static int tell_exit(const weft_proc *proc, weft_proc_exit *out)
{
    if (out != NULL) {
        *out = proc->exit;
    }
    return proc->rc;
}

static ssize_t wait_finish(struct wf_call *call)
{
    const weft_proc *proc = wf_container_of((weft_event *)call->object, struct weft_proc, ended);
    weft_proc_exit *out = call->place.item;
    ssize_t rc = wf_sync_finish(call);
    return rc < 0 ? rc : tell_exit(proc, out);
}

static const struct wf_wait_ops wait_ops = {
    .cancel = wf_wait_cancel_claim, .finish = wait_finish, .name = "weft_proc_wait"};

static ssize_t wait_begin(weft_proc *proc, struct wf_call *call, struct wf_work *resume,
                          weft_proc_exit *out)
{
    ssize_t rc = wf_event_begin(&proc->ended, call, resume, &wait_ops);
    if (rc == WF_PENDING) {
        call->place.item = out; /* which the event does not look at */
        return rc;
    }
    return tell_exit(proc, out);
}

int weft_proc_wait(weft_proc *proc, weft_proc_exit *out)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    struct wf_call call;
    return (int)wf_call_end(self, &call, wait_begin(proc, &call, &self->resume, out));
}

weft_val weft_proc_wait_v_(weft_proc *proc, weft_proc_exit *out, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place) ? wf_v_end(&b, wait_begin(proc, b.call, b.resume, out))
                                            : b.val;
}

int weft_proc_kill(weft_proc *proc, int number)
{
    return wf_forked ? -ENOSYS : send_signal(proc, number);
}

void weft_proc_free(weft_proc *proc)
{
    if (proc != NULL && !wf_forked) {
        for (int i = 0; i < 3; i++) {
            close_end(&proc->fds[i]);
        }
        let_go(proc);
    }
}

/* --- run -------------------------------------------------------------------------------------- */

/* One pipe of a program that is run. */
struct stream {
    weft_proc *proc;
    char *buffer; /* where it goes, or what is sent */
    size_t bytes_max;
    uint64_t bytes;
    int which;
};

/* A program need not read all that it could. */
static int feed(void *arg)
{
    struct stream *stream = arg;
    ssize_t n = 0;
    while (n >= 0 && stream->bytes < stream->bytes_max) { /* ends: grows, or an error */
        n = weft_write(stream->proc->fds[0], stream->buffer + stream->bytes,
                       stream->bytes_max - stream->bytes);
        stream->bytes += n > 0 ? (uint64_t)n : 0;
    }
    (void)weft_proc_close(stream->proc, 0);
    return n < 0 && n != -EPIPE ? (int)n : 0;
}

static int collect(void *arg)
{
    struct stream *stream = arg;
    char dropped[WF_PROC_DROP_BYTES];
    ssize_t n;
    do { /* ends: with the program's output, or an error */
        bool full = stream->bytes >= stream->bytes_max;
        n = full ? weft_read(stream->proc->fds[stream->which], dropped, sizeof dropped)
                 : weft_read(stream->proc->fds[stream->which], stream->buffer + stream->bytes,
                             stream->bytes_max - stream->bytes);
        stream->bytes += n > 0 ? (uint64_t)n : 0;
    } while (n > 0);
    return (int)n;
}

/* Feeds and collects until all of it has ended: 0, or the first failure. */
static int attend(weft_proc *proc, weft_proc_io *io)
{
    struct stream streams[3] = {
        {proc, (char *)(uintptr_t)io->in, io->in_bytes, 0, 0},
        {proc, io->out, io->out_max, 0, 1},
        {proc, io->err, io->err_max, 0, 2},
    };
    weft_task tasks[3];
    bool started[3];
    for (int i = 0; i < 3; i++) {
        started[i] = proc->fds[i] >= 0;
        if (started[i]) {
            (void)weft_spawn(&tasks[i], i == 0 ? feed : collect, &streams[i]);
        }
    }
    int rc = weft_proc_wait(proc, &io->exit);
    for (int i = 0; i < 3; i++) {
        int failure = started[i] ? weft_await(&tasks[i]) : 0;
        rc = rc == 0 ? failure : rc;
    }
    io->out_bytes = streams[1].bytes;
    io->err_bytes = streams[2].bytes;
    return rc;
}

int weft_proc_run_(weft_proc_io *io, char *const argv[], const weft_proc_opts *opts,
                   const weft_place *place)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return rc;
    }
    weft_proc_opts mine = opts != NULL ? *opts : (weft_proc_opts){0};
    mine.in = io->in != NULL ? WEFT_PROC_PIPE : mine.in;
    mine.out = io->out != NULL ? WEFT_PROC_PIPE : mine.out;
    mine.err = io->err != NULL ? WEFT_PROC_PIPE : mine.err;
    io->out_bytes = 0;
    io->err_bytes = 0;
    io->exit = (weft_proc_exit){.code = -1};
    weft_scope scope;
    weft_scope_begin_(&scope, NULL, place);
    weft_proc *proc;
    rc = weft_proc_spawn_(&proc, argv, &mine, place);
    if (proc != NULL) {
        rc = attend(proc, io);
    }
    /* when it was cancelled, this is what waits for its end */
    int ended = weft_scope_end_(&scope, place);
    if (proc != NULL) {
        io->exit = proc->exit;
        weft_proc_free(proc);
    }
    return rc < 0 ? rc : ended;
}
