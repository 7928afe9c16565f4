/* side.c: see side.h. */
#define _GNU_SOURCE
#include "side.h"
#include "agent.h"
#include "child.h"
#include "silence.h"
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static bool fail(struct tb_side *side, enum tb_status status, const char *what)
{
    if (side->status == TB_ROW_OK) {
        side->status = status;
        snprintf(side->reason, sizeof side->reason, "%s", what);
    }
    return false;
}

/* --- start ------------------------------------------------------------------------------------ */

/* What it writes to stdout and stderr goes nowhere: why it failed comes on the wire, or from its
 * end. */
static int spawn(struct tb_side *side, const char *program, char **argv, int commands, int wire)
{
    posix_spawn_file_actions_t actions;
    /* first away from the numbers that they are to have */
    int high_commands = fcntl(commands, F_DUPFD_CLOEXEC, 10),
        high_wire = fcntl(wire, F_DUPFD_CLOEXEC, 10);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, high_wire, TB_WIRE_FD);
    posix_spawn_file_actions_adddup2(&actions, high_commands, TB_PACE_FD);
    int rc = posix_spawnp(&side->pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(high_commands);
    close(high_wire);
    return -rc;
}

bool tb_side_start(struct tb_side *side, const char *program, const struct tb_row *row, bool pin)
{
    int commands[2], wire[2];
    char answer[TB_SIDE_LINE_MAX];
    struct tb_agent_args args;
    char *argv[TB_AGENT_ARGS + 4] = {"taskbench"};
    int n = row->object ? tb_agent_through_env(argv, row, program) : 1;
    *side = (struct tb_side){.to = -1, .from = -1};
    tb_agent_args_write(&args, "paced", row, &(struct tb_plan){.pin = pin});
    for (int i = 0; i < args.n; i++) {
        argv[n + i] = args.text[i];
    }
    if (pipe2(commands, O_CLOEXEC) < 0) {
        return fail(side, TB_ROW_WRONG, strerror(errno));
    }
    if (pipe2(wire, O_CLOEXEC) < 0) {
        close(commands[0]);
        close(commands[1]);
        return fail(side, TB_ROW_WRONG, strerror(errno));
    }
    int rc = spawn(side, row->object ? argv[0] : program, argv, commands[0], wire[1]);
    close(commands[0]);
    close(wire[1]);
    side->to = commands[1];
    side->from = wire[0];
    if (rc < 0) {
        side->pid = 0;
        return fail(side, TB_ROW_WRONG, strerror(-rc));
    }
    return tb_side_ask(side, NULL, "ready", answer);
}

/* --- questions -------------------------------------------------------------------------------- */

/* The next line into `line`. false: there will be none. */
static bool read_line(struct tb_side *side, char line[TB_SIDE_LINE_MAX])
{
    struct tb_silence silence;
    tb_silence_end(&silence, side->pid);
    for (;;) { /* ends with a line, the pipe, a signal or TB_SILENCE_S */
        char *end = memchr(side->text, '\n', side->bytes);
        if (end) {
            size_t n = (size_t)(end - side->text);
            memcpy(line, side->text, n);
            line[n] = '\0';
            side->bytes -= n + 1;
            memmove(side->text, end + 1, side->bytes);
            return true;
        }
        if (side->bytes == sizeof side->text) {
            return fail(side, TB_ROW_WRONG, "said what is not understood");
        }
        struct pollfd fd = {side->from, POLLIN, 0};
        int ready = poll(&fd, 1, 100);
        if (tb_interrupted()) {
            return fail(side, TB_ROW_SKIPPED, "interrupted");
        }
        if (ready == 0 && tb_silence_is_hang(&silence, TB_SILENCE_S)) {
            return fail(side, TB_ROW_WRONG, "hung: nothing was heard of it");
        }
        if (ready <= 0) {
            continue;
        }
        ssize_t n = read(side->from, side->text + side->bytes, sizeof side->text - side->bytes);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return fail(side, TB_ROW_WRONG,
                        "ended without an answer (is it a taskbench that knows ab?)");
        }
        side->bytes += n > 0 ? (size_t)n : 0;
    }
}

static const char *after(const char *line, const char *word)
{
    size_t n = strlen(word);
    bool fits = strncmp(line, word, n) == 0 && (line[n] == ' ' || line[n] == '\0');
    return fits ? line + n + (line[n] == ' ') : NULL;
}

bool tb_side_ask(struct tb_side *side, const char *command, const char *expect,
                 char answer[TB_SIDE_LINE_MAX])
{
    char line[TB_SIDE_LINE_MAX];
    const char *words;
    if (side->status != TB_ROW_OK) {
        return false;
    }
    if (command) {
        int n = snprintf(line, sizeof line, "%s\n", command);
        if (write(side->to, line, (size_t)n) != n) {
            return fail(side, TB_ROW_WRONG, "it has gone");
        }
    }
    while (read_line(side, line)) { /* ends: each turn takes a line */
        if ((words = after(line, "note"))) {
            snprintf(side->note, sizeof side->note, "%.*s", TB_REASON_MAX - 1, words);
        } else if ((words = after(line, expect))) {
            snprintf(answer, TB_SIDE_LINE_MAX, "%s", words);
            return true;
        } else if ((words = after(line, "skip"))) {
            return fail(side, TB_ROW_SKIPPED, words);
        } else if ((words = after(line, "wrong"))) {
            return fail(side, TB_ROW_WRONG, words);
        } else {
            return fail(side, TB_ROW_WRONG, "said what is not understood");
        }
    }
    return false;
}

/* It ends by itself when its commands do; one that does not is killed. */
void tb_side_stop(struct tb_side *side)
{
    int status;
    if (side->to >= 0) {
        close(side->to);
    }
    if (side->pid > 0 && side->status != TB_ROW_OK) {
        kill(side->pid, SIGKILL);
    }
    struct pollfd fd = {side->from, POLLIN, 0};
    char rest[TB_SIDE_LINE_MAX];
    bool is_open = side->from >= 0;
    while (side->pid > 0 &&
           is_open) { /* ends with the pipe, which it closes at its end, or by force */
        int ready = poll(&fd, 1, 15000);
        if (ready == 0) {
            kill(side->pid, SIGKILL);
        }
        is_open =
            ready <= 0 ? ready == 0 || errno == EINTR : read(side->from, rest, sizeof rest) > 0;
    }
    if (side->from >= 0) {
        close(side->from);
    }
    while (side->pid > 0 && waitpid(side->pid, &status, 0) < 0 &&
           errno == EINTR) { /* ends: it ends */
    }
    side->pid = 0;
    side->to = side->from = -1;
}
