/* capture.h: running a function in a child process, to see how it ends and what it says on stderr.
 *
 * The child is forked before the test has started a runtime, so it may use weft like any
 * program. */
#ifndef CAPTURE_H
#define CAPTURE_H

#include "tests/support/wt.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct captured {
    int status;      /* as waitpid gives it */
    char text[8192]; /* stderr, NUL-terminated, cut if longer */
};

/* The child ends with _exit(body()). */
static inline void capture(struct captured *out, int (*body)(void))
{
    int fds[2];
    wt_eq(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        _exit(body());
    }
    wt_gt(pid, 0);
    close(fds[1]);
    size_t used = 0;
    ssize_t n;
    while ((n = read(fds[0], out->text + used, sizeof out->text - 1 - used)) > 0) {
        used += (size_t)n;
    }
    out->text[used] = 0;
    close(fds[0]);
    wt_eq(waitpid(pid, &out->status, 0), pid);
}

static inline void check_aborted(const struct captured *captured)
{
    wt_true(WIFSIGNALED(captured->status), "status 0x%x, stderr: %s", captured->status,
            captured->text);
    wt_eq(WTERMSIG(captured->status), SIGABRT, "%s", captured->text);
}

static inline void check_exited(const struct captured *captured, int status)
{
    wt_true(WIFEXITED(captured->status), "status 0x%x, stderr: %s", captured->status,
            captured->text);
    wt_eq(WEXITSTATUS(captured->status), status, "%s", captured->text);
}

static inline void check_says(const struct captured *captured, const char *part)
{
    wt_true(strstr(captured->text, part) != NULL, "stderr has no \"%s\": %s", part, captured->text);
}

/* In the child, before it has begun a thread: has nobody else? A sanitizer or an emulator may. */
static inline bool is_alone(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    const struct dirent *entry;
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    return count == 1;
}

#endif
