/* site.c: see site.h. */
#define _GNU_SOURCE
#include "site.h"
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* --- where ------------------------------------------------------------------------------------ */

void tb_site_locate(struct tb_site *site, pid_t pid, uint64_t address)
{
    char path[32], line[512];
    site->module[0] = '\0';
    site->offset = address;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    while (maps && fgets(line, sizeof line, maps)) {
        uint64_t from, to, offset;
        int at = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %n", &from, &to, &offset,
                   &at) == 3 &&
            address >= from && address < to && line[at] == '/') {
            site->offset = address - from + offset;
            snprintf(site->module, sizeof site->module, "%.*s", (int)strcspn(line + at, "\n"),
                     line + at);
            break;
        }
    }
    if (maps) {
        fclose(maps);
    }
}

/* --- its name --------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The next two lines of addr2line: function, file:line. */
static bool read_frame(FILE *answer, char *function, char *line, size_t bytes)
{
    if (!fgets(function, (int)bytes, answer) || !fgets(line, (int)bytes, answer)) {
        return false;
    }
    function[strcspn(function, "\n")] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* The innermost frame that is of a source and not of a header, since what a header has in line is a
 * helper of whoever calls it; else the outermost. false: addr2line is not there, or knows nothing.
 */
static bool ask_addr2line(const struct tb_site *site, char *function, char *line, size_t bytes)
{
    char address[32], module[TB_SITE_MODULE_MAX];
    int out[2];
    pid_t pid;
    snprintf(address, sizeof address, "0x%" PRIx64, site->offset - 1); /* inside of the call */
    snprintf(module, sizeof module, "%s", site->module);
    char *argv[] = {"addr2line", "-i", "-f", "-s", "-e", module, address, NULL};
    if (pipe2(out, O_CLOEXEC) < 0) {
        return false;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    FILE *answer = fdopen(out[0], "r");
    function[0] = line[0] = '\0';
    bool goes_on = answer && rc == 0;
    while (goes_on && read_frame(answer, function, line, bytes)) { /* ends with its answer */
        goes_on = strstr(line, ".h:") != NULL;
    }
    if (answer) {
        fclose(answer);
    }
    if (rc == 0) {
        waitpid(pid, NULL, 0);
    }
    return rc == 0 && function[0] && function[0] != '?';
}

const char *tb_site_name(const struct tb_site *site, char out[TB_SITE_NAME_MAX])
{
    char function[96], line[96];
    if (!site->module[0]) {
        snprintf(out, TB_SITE_NAME_MAX, "unknown code at 0x%" PRIx64, site->offset);
    } else if (ask_addr2line(site, function, line, sizeof function)) {
        line[strcspn(line, " ")] = '\0'; /* " (discriminator 2)" */
        snprintf(out, TB_SITE_NAME_MAX, "%s (%s)", function, line[0] == '?' ? "no line" : line);
    } else {
        snprintf(out, TB_SITE_NAME_MAX, "%s+0x%" PRIx64, base_name(site->module), site->offset);
    }
    return out;
}

/* --- system calls ----------------------------------------------------------------------------- */

struct call {
    long number;
    const char *name;
};

#define CALL(name)        \
    {                     \
        SYS_##name, #name \
    }

/* Those that weft makes, and those that a workload may. */
static const struct call calls[] = {
    CALL(read),           CALL(write),       CALL(openat),         CALL(close),
    CALL(mmap),           CALL(munmap),      CALL(mprotect),       CALL(madvise),
    CALL(futex),          CALL(eventfd2),    CALL(epoll_ctl),      CALL(epoll_pwait),
    CALL(epoll_pwait2),   CALL(ppoll),       CALL(io_uring_enter), CALL(io_uring_register),
    CALL(io_uring_setup), CALL(recvfrom),    CALL(sendto),         CALL(recvmsg),
    CALL(sendmsg),        CALL(accept4),     CALL(connect),        CALL(preadv2),
    CALL(pwritev2),       CALL(pread64),     CALL(pwrite64),       CALL(clock_nanosleep),
    CALL(clock_gettime),  CALL(sched_yield), CALL(getpid),         CALL(gettid),
    CALL(getppid),        CALL(membarrier),  CALL(fcntl),          CALL(statx),
    CALL(fsync),          CALL(brk),         CALL(rt_sigprocmask), CALL(getrandom),
};

const char *tb_call_name(long number, char out[24])
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].number == number) {
            snprintf(out, 24, "%s", calls[i].name);
            return out;
        }
    }
    snprintf(out, 24, "call %ld", number);
    return out;
}
