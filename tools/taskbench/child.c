/* child.c: see child.h. */
#define _GNU_SOURCE
#include "child.h"
#include "silence.h"
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS  100
#define ARGS_MAX 32

extern char **environ;

/* --- signals ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t signalled;

static void note_signal(int signal)
{
    signalled = signal;
}

void tb_catch_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal}; /* without SA_RESTART: poll is to end */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int tb_interrupted(void)
{
    return signalled;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* One pipe, and what came through it and is not a whole line yet. A longer line is cut. */
struct stream {
    int fd; /* -1: closed */
    char text[TB_WIRE_LINE_MAX];
    size_t bytes;
};

static void take_wire_line(struct tb_child *child, const char *line)
{
    child->line(child->arg, line);
}

static void take_last_words(struct tb_child *child, const char *line)
{
    if (line[0]) {
        snprintf(child->last_words, sizeof child->last_words, "%s", line);
    }
}

static void split(struct tb_child *child, struct stream *s, const char *block, size_t bytes,
                  void (*take)(struct tb_child *, const char *))
{
    for (size_t i = 0; i < bytes; i++) {
        if (block[i] == '\n') {
            s->text[s->bytes] = '\0';
            take(child, s->text);
            s->bytes = 0;
        } else if (s->bytes < sizeof s->text - 1) {
            s->text[s->bytes++] = block[i];
        }
    }
}

/* Whatever is there to be read. Closes the stream at its end. */
static void drain(struct tb_child *child, struct stream *s,
                  void (*take)(struct tb_child *, const char *))
{
    char block[4096];
    ssize_t n = read(s->fd, block, sizeof block);
    if (n > 0) {
        split(child, s, block, (size_t)n, take);
    } else if (n == 0 || errno != EINTR) {
        close(s->fd);
        s->fd = -1;
    }
}

/* --- life ------------------------------------------------------------------------------------- */

/* Reads until the child has closed both pipes. TB_CHILD_EXITED: it did; else why it is to be
 * killed. */
static enum tb_child_end listen_to(struct tb_child *child, pid_t pid, struct stream *wire,
                                   struct stream *errors)
{
    struct tb_silence silence;
    tb_silence_end(&silence, pid);
    while (wire->fd >= 0 || errors->fd >= 0) { /* ends: C.2 */
        struct pollfd fds[] = {{wire->fd, POLLIN, 0}, {errors->fd, POLLIN, 0}};
        int ready = poll(fds, 2, TICK_MS);
        if (tb_interrupted()) {
            return TB_CHILD_INTERRUPTED;
        }
        if (ready > 0 && fds[0].revents) {
            drain(child, wire, take_wire_line);
        }
        if (ready > 0 && fds[1].revents) {
            drain(child, errors, take_last_words);
        }
        if (ready > 0) {
            tb_silence_end(&silence, pid);
        } else if (tb_silence_is_hang(&silence, child->silence_s)) {
            return TB_CHILD_SILENT;
        }
        child->tick(child->arg);
    }
    return TB_CHILD_EXITED;
}

/* stdin from nowhere, the pipes' ends to where the child expects them; all else is close-on-exec.
 * What it prints, which it should not, goes with its errors: stdout is the report's. */
static int start(const struct tb_child *child, int wire_end, int errors_end, pid_t *pid)
{
    char *full[ARGS_MAX + 1] = {"taskbench"};
    for (int i = 0; i < ARGS_MAX - 1 && child->argv[i]; i++) {
        full[i + !child->program] = child->argv[i];
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, errors_end, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors_end, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, wire_end, TB_WIRE_FD);
    int rc = child->program ? posix_spawnp(pid, child->program, &actions, NULL, full, environ)
                            : posix_spawn(pid, "/proc/self/exe", &actions, NULL, full, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

static void reap(struct tb_child *child, pid_t pid, enum tb_child_end end)
{
    int status;
    if (end != TB_CHILD_EXITED) {
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) { /* ends: it is dead or about to be */
    }
    child->end = end;
    if (end == TB_CHILD_EXITED) {
        child->end = WIFSIGNALED(status) ? TB_CHILD_SIGNALLED : TB_CHILD_EXITED;
        child->code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    }
}

static void close_stream(struct stream *s)
{
    if (s->fd >= 0) {
        close(s->fd);
    }
}

void tb_child_run(struct tb_child *child)
{
    int wire[2], errors[2];
    pid_t pid;
    child->last_words[0] = '\0';
    child->silence_s = child->silence_s ? child->silence_s : TB_SILENCE_S;
    child->end = TB_CHILD_FAILED;
    if (pipe2(wire, O_CLOEXEC) < 0) {
        child->code = -errno;
        return;
    }
    if (pipe2(errors, O_CLOEXEC) < 0) {
        child->code = -errno;
        close(wire[0]);
        close(wire[1]);
        return;
    }
    child->code = start(child, wire[1], errors[1], &pid);
    close(wire[1]);
    close(errors[1]);
    struct stream from_wire = {.fd = wire[0]}, from_errors = {.fd = errors[0]};
    if (child->code == 0) {
        reap(child, pid, listen_to(child, pid, &from_wire, &from_errors));
    }
    close_stream(&from_wire);
    close_stream(&from_errors);
}
