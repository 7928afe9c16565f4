/* proc.h: child processes.
 *
 * A process is owned by the scope in which it was spawned, as a task is: a task of the library's
 * guards it there. So a scope ends only when its processes have ended and were reaped, and
 * cancelling it ends them: SIGTERM, and after a grace SIGKILL. No zombie is left, whatever happens;
 * nor a descriptor. The guard waits by a pidfd: the program's SIGCHLD is neither used nor touched.
 * (Where SIGCHLD is ignored, or somebody else reaps, how a process ended is not known: -ECHILD.)
 *
 * A child gets no descriptor but its standard ones (unless .inherit), no signal is blocked in it,
 * and SIGPIPE has its default. */
#ifndef WEFT_PROC_H
#define WEFT_PROC_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A process that was spawned. Opaque; of the library's memory. */
typedef struct weft_proc weft_proc;

/* What a standard descriptor of the child is. */
enum weft_proc_stdio {
    WEFT_PROC_INHERIT = 0, /* the program's own of that number */
    WEFT_PROC_NULL = -1,   /* /dev/null */
    WEFT_PROC_PIPE = -2,   /* a pipe, whose other end is weft_proc_fd */
    WEFT_PROC_OUT = -3,    /* .err only: what .out is */
};

typedef struct weft_proc_opts {
    /* enum weft_proc_stdio; or a descriptor (> 0) of the caller's, which stays his, and of which
     * the child gets a copy */
    int in, out, err;
    const char *file; /* the program; looked for in PATH if it has no '/'. NULL: argv[0] */
    char *const *env; /* "NAME=value", NULL after the last; NULL: the program's own */
    const char *cwd;  /* where it starts, and where a relative `file` is; NULL: the program's own */
    int group;   /* 1: it leads a process group of its own, and signals go to all of that; 0: no */
    int inherit; /* 1: descriptors without close-on-exec stay open in it; 0: they do not */
    /* from SIGTERM to SIGKILL when the scope is cancelled; 0: 5 s; negative: SIGKILL at once */
    weft_time grace;
} weft_proc_opts;

/* Starts a program with the arguments `argv` (NULL after the last, argv[0] the name) as a process
 * of the innermost scope. Options (C only) are designated initialisers of weft_proc_opts. *out is
 * the caller's, to be freed with weft_proc_free; after an error NULL, and there is no process. It
 * is made by a thread, with posix_spawn(3); the call returns when the program has been executed, or
 * could not be. Suspends. Task context.
 *
 * 0; -ENOENT, -EACCES, -ENOEXEC, -E2BIG, -ENOTDIR ...: the program or `cwd` cannot be had; -EMFILE,
 * -ENFILE, -EAGAIN (too many processes), -ENOMEM; -EBADF: a descriptor that is none; -EINVAL: no
 * argv[0], or an unknown option; -ECANCELED: the scope is cancelled.
 *
 *     weft_proc *sort;
 *     rc = weft_proc_spawn(&sort, ((char *[]){"sort", "-n", NULL}), .in = WEFT_PROC_PIPE);
 *     weft_write(weft_proc_fd(sort, 0), "2\n1\n", 4);
 *     weft_proc_close(sort, 0);
 *     weft_proc_exit how;
 *     rc = weft_proc_wait(sort, &how);
 *     weft_proc_free(sort); */
#define weft_proc_spawn(...) weft_proc_spawn_opts_(__VA_ARGS__, ) /* (out, argv, options) */
#define weft_proc_spawn_opts_(out, argv, ...) \
    weft_proc_spawn_((out), (argv), WEFT_OPTS_(weft_proc_opts, __VA_ARGS__), WEFT_HERE)
int weft_proc_spawn_(weft_proc **out, char *const argv[], const weft_proc_opts *opts,
                     const weft_place *place);

/* Our end of a pipe to the child's descriptor `which` (0, 1, 2): for weft_read and weft_write; it
 * stays the process's, and is closed by weft_proc_close or weft_proc_free. -EBADF: none, or closed.
 * Any thread. Cannot suspend. */
int weft_proc_fd(const weft_proc *proc, int which);

/* Closes our end of that pipe: the child sees the end of its input. No other call may be using it.
 * 0; -EBADF. Any thread. Does not suspend; not a point of cancellation. */
int weft_proc_close(weft_proc *proc, int which);

/* The process's number. Another process may have it as soon as this one has been reaped. Any
 * thread. Cannot suspend. */
pid_t weft_proc_pid(const weft_proc *proc);

/* How a process ended. */
typedef struct weft_proc_exit {
    int code;   /* what it gave to exit, 0 to 255; -1: a signal ended it */
    int signal; /* which; 0: none */
} weft_proc_exit;

/* Waits until the process has ended, and been reaped. Any number of tasks, any number of times,
 * until weft_proc_free. 0: *out is filled (`out` may be NULL); -ECANCELED: it may still run;
 * -ECHILD: it has ended, nobody knows how. May suspend. Task context. */
int weft_proc_wait(weft_proc *proc, weft_proc_exit *out);

/* Sends a signal, to the group if it has one. 0; -ESRCH: it has ended; -EINVAL: no such signal;
 * -EPERM: it runs as somebody else by now. Any thread. Does not suspend. */
int weft_proc_kill(weft_proc *proc, int signal);

/* Closes our ends of its pipes and lets go of the process, which goes on, in its scope, if it has
 * not ended. No other call may be using it. NULL is fine. Any thread. */
void weft_proc_free(weft_proc *proc);

/* What a program is given, and what it answers. Zeroed: nothing. */
typedef struct weft_proc_io {
    const void *in; /* for its standard input, then the end; NULL: as .in says */
    size_t in_bytes;
    void
        *out; /* the beginning of its output goes here, out_max bytes at most; NULL: as .out says */
    size_t out_max;
    void *err; /* likewise */
    size_t err_max;
    /* filled in: all that it wrote; more than out_max was dropped */
    uint64_t out_bytes, err_bytes;
    weft_proc_exit exit;
} weft_proc_io;

/* Runs a program to its end, in a scope of its own: spawns it, feeds it, takes its output in
 * bounded memory (what is beyond the buffers is read and dropped, so it never waits for us), waits
 * for it. A cancellation or deadline ends it, see .grace. `io` and what it names stay the caller's.
 * 0: *io is filled; look at io->exit. Errors of weft_proc_spawn, weft_proc_wait and of reading: the
 * process has ended, io->out has what was read. (Output that its own children keep open is waited
 * for as well: set a deadline for what leaves daemons behind.) Suspends. Task context.
 *
 *     char text[256];
 *     weft_proc_io io = {.out = text, .out_max = sizeof text};
 *     rc = weft_within(WEFT_SEC(10), weft_proc_run(&io, ((char *[]){"uname", "-a", NULL}))); */
#define weft_proc_run(...) weft_proc_run_opts_(__VA_ARGS__, ) /* (io, argv, options) */
#define weft_proc_run_opts_(io, argv, ...) \
    weft_proc_run_((io), (argv), WEFT_OPTS_(weft_proc_opts, __VA_ARGS__), WEFT_HERE)
int weft_proc_run_(weft_proc_io *io, char *const argv[], const weft_proc_opts *opts,
                   const weft_place *place);

#ifdef __cplusplus
}
#endif

#endif
