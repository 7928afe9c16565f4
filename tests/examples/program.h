/* program.h: for the tests of the examples: starts a program, talks to it, waits for its end, and
 * never for ever.
 *
 * G.1  Only processes that a test has started are signalled, by their own id; each is the leader of
 *      a group of its own, dies with the test (PR_SET_PDEATHSIG), and is killed when it outlives
 *      the time given to it.
 * G.2  What it prints is collected while waiting, so no program blocks on a full pipe. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "tests/support/wt.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM_PATIENCE_MS \
    20000 /* for what takes milliseconds; longer than a loaded machine stalls */

/* Bytes printed so far, NUL-terminated. */
struct text {
    char *bytes;
    size_t used;
    size_t room;
};

struct program {
    pid_t pid;
    int fds[2]; /* its stdout and stderr; -1: at the end */
    struct text out;
    struct text err;
};

struct program_opts {
    const char *directory;     /* to start in; NULL: here */
    void (*before_exec)(void); /* called in the child; NULL: nothing */
    int stdout_fd;             /* instead of a pipe; 0: a pipe */
    int stderr_fd;
};

/* Sanitizers and emulators are slow: how much longer a limit on time has to be. */
static inline int64_t scaled(int64_t ms)
{
    const char *scale = getenv("WT_TIMEOUT_SCALE");
    return scale != NULL && atoi(scale) > 1 ? ms * atoi(scale) : ms;
}

static inline int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* CPU time that a process has used, all threads. */
static inline int64_t cpu_ms_of(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    wt_eq(clock_getcpuclockid(pid, &clock), 0);
    wt_eq(clock_gettime(clock, &t), 0);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Path of an example. Skips the test if it was not built. */
static inline const char *example(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", WEFT_EXAMPLES_DIR, name);
    if (access(path, X_OK) != 0) {
        wt_skip("%s is not there", path);
    }
    return path;
}

static inline void child_pipe(int end, int instead, int onto)
{
    dup2(instead > 0 ? instead : end, onto);
    if (end > STDERR_FILENO) {
        close(end);
    }
}

/* argv[0] is looked up in PATH if it has no slash. */
static inline void program_start_with(struct program *program, const struct program_opts *opts,
                                      const char *const *argv)
{
    int out[2];
    int err[2];
    *program = (struct program){0};
    wt_eq(pipe2(out, O_CLOEXEC), 0);
    wt_eq(pipe2(err, O_CLOEXEC), 0);
    pid_t parent = getpid();
    program->pid = fork();
    wt_ge(program->pid, 0);
    if (program->pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        child_pipe(out[1], opts->stdout_fd, STDOUT_FILENO);
        child_pipe(err[1], opts->stderr_fd, STDERR_FILENO);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (opts->before_exec != NULL) {
            opts->before_exec();
        }
        if (getppid() == parent && (opts->directory == NULL || chdir(opts->directory) == 0)) {
            execvp(argv[0], (char *const *)argv);
        }
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    program->fds[0] = out[0];
    program->fds[1] = err[0];
}

#define program_start(program, ...)                          \
    program_start_with((program), &(struct program_opts){0}, \
                       (const char *const[]){__VA_ARGS__, NULL})

static inline void text_read(struct text *text, int *fd)
{
    if (text->room - text->used < 65537) {
        text->room = text->room * 2 + 65537;
        text->bytes = realloc(text->bytes, text->room);
        wt_true(text->bytes != NULL);
    }
    ssize_t n = read(*fd, text->bytes + text->used, 65536);
    if (n > 0) {
        text->used += (size_t)n;
    } else if (n == 0 || errno != EINTR) {
        close(*fd);
        *fd = -1;
    }
    text->bytes[text->used] = '\0';
}

/* Collects what comes within `ms`. Returns whether more may come. */
static inline bool program_collect(struct program *program, int64_t ms)
{
    struct pollfd polled[2] = {{.fd = program->fds[0], .events = POLLIN},
                               {.fd = program->fds[1], .events = POLLIN}};
    if (program->fds[0] < 0 && program->fds[1] < 0) {
        return false;
    }
    if (poll(polled, 2, (int)(ms > 0 ? ms : 0)) > 0) {
        if (polled[0].revents != 0) {
            text_read(&program->out, &program->fds[0]);
        }
        if (polled[1].revents != 0) {
            text_read(&program->err, &program->fds[1]);
        }
    }
    return true;
}

static inline void program_kill(struct program *program)
{
    kill(-program->pid, SIGKILL);
    kill(program->pid, SIGKILL); /* if it had not come as far as setpgid */
    waitpid(program->pid, NULL, 0);
}

/* Waits until `text` (the program's out or err) holds `part`; where it begins. */
static inline const char *program_await(struct program *program, const struct text *text,
                                        const char *part)
{
    int64_t deadline_ms = now_ms() + scaled(PROGRAM_PATIENCE_MS);
    for (;;) { /* ends at the deadline */
        const char *found = text->bytes != NULL ? strstr(text->bytes, part) : NULL;
        if (found != NULL) {
            return found;
        }
        int64_t left_ms = deadline_ms - now_ms();
        if (left_ms <= 0 || !program_collect(program, left_ms)) {
            program_kill(program);
            wt_fail("the program did not print '%s', but '%s' and '%s'", part,
                    program->out.bytes != NULL ? program->out.bytes : "",
                    program->err.bytes != NULL ? program->err.bytes : "");
        }
    }
}

/* Waits for its end. The exit status, or 128 + the signal that it died of. */
static inline int program_wait(struct program *program, int64_t within_ms)
{
    int64_t deadline_ms = now_ms() + scaled(within_ms);
    int status = 0;
    while (now_ms() < deadline_ms && program_collect(program, deadline_ms - now_ms())) {
    }
    /* With its pipes closed the end is near, unless it has closed them itself. */
    pid_t ended = 0;
    while ((ended = waitpid(program->pid, &status, WNOHANG)) == 0 && now_ms() < deadline_ms) {
        poll(NULL, 0, 1);
    }
    if (ended == 0) {
        program_kill(program);
        wt_fail("the program did not end within %lld ms; it printed '%s' and '%s'",
                (long long)within_ms, program->out.bytes != NULL ? program->out.bytes : "",
                program->err.bytes != NULL ? program->err.bytes : "");
    }
    wt_eq(ended, program->pid);
    /* "" rather than NULL */
    text_read(&program->out, &(int){open("/dev/null", O_RDONLY | O_CLOEXEC)});
    text_read(&program->err, &(int){open("/dev/null", O_RDONLY | O_CLOEXEC)});
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void program_free(struct program *program)
{
    for (int i = 0; i < 2; i++) {
        if (program->fds[i] >= 0) {
            close(program->fds[i]);
        }
    }
    free(program->out.bytes);
    free(program->err.bytes);
}

static inline size_t lines_in(const struct text *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->used; i++) {
        n += text->bytes[i] == '\n';
    }
    return n;
}

/* A wrong usage: status 2, one line on stderr, nothing on stdout. */
#define check_usage_error(...)                                                                    \
    do {                                                                                          \
        struct program refused_;                                                                  \
        program_start(&refused_, __VA_ARGS__);                                                    \
        wt_eq(program_wait(&refused_, PROGRAM_PATIENCE_MS), 2, "of %s", #__VA_ARGS__);            \
        wt_eq(lines_in(&refused_.err), 1, "stderr of %s: %s", #__VA_ARGS__, refused_.err.bytes);  \
        wt_true(strstr(refused_.err.bytes, "usage: ") != NULL, "stderr: %s", refused_.err.bytes); \
        wt_str_eq(refused_.out.bytes, "");                                                        \
        program_free(&refused_);                                                                  \
    } while (0)

#endif
