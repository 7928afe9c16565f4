/* fio.c: the job of disk.h by fio(1), if it is installed. */
#define _GNU_SOURCE
#include "child.h"
#include "clock.h"
#include "disk.h"
#include "doc.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (1u << 20)
#define ARGS_MAX   20
#define IOPS_MIN   1e-4 /* a block in three hours: beyond these it is no figure of a disk */
#define IOPS_MAX   1e9
#define PATIENCE_S 30 /* beyond the slice: it starts and lays its job out */

extern char **environ;

static int start(char *const *argv, int out, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(pid, "fio", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

/* All that it says; false: not in time, too much, or a signal asked us to end. */
static bool listen_to(int fd, char *text, size_t *bytes, uint64_t until)
{
    *bytes = 0;
    for (;;) { /* ends by the clock */
        struct pollfd one = {fd, POLLIN, 0};
        int ready = poll(&one, 1, 100);
        if (tb_interrupted() || tb_now_ns() > until || *bytes == OUTPUT_MAX) {
            return false;
        }
        ssize_t n = ready > 0 ? read(fd, text + *bytes, OUTPUT_MAX - *bytes) : -1;
        if (ready > 0 && n == 0) {
            return true;
        }
        *bytes += n > 0 ? (size_t)n : 0;
    }
}

/* Its output into `text`, of OUTPUT_MAX + 1 bytes. Its exit code, or -errno. */
static int run(char *const *argv, char *text, uint64_t patience_ns)
{
    int out[2], status = 0;
    size_t bytes;
    pid_t pid;
    text[0] = '\0';
    if (pipe2(out, O_CLOEXEC) < 0) {
        return -errno;
    }
    int rc = start(argv, out[1], &pid);
    close(out[1]);
    if (rc == 0) {
        bool heard = listen_to(out[0], text, &bytes, tb_now_ns() + patience_ns);
        text[bytes] = '\0';
        if (!heard) {
            kill(pid, SIGKILL);
        }
        while (waitpid(pid, &status, 0) < 0 &&
               errno == EINTR) { /* ends: it has ended, or is killed */
        }
        rc = WIFEXITED(status) ? WEXITSTATUS(status) : -EPIPE;
    }
    close(out[0]);
    return rc;
}

bool tb_fio_version(char out[32])
{
    char *text = malloc(OUTPUT_MAX + 1);
    bool found = text && run((char *[]){"fio", "--version", NULL}, text, 10000000000u) == 0;
    if (found) {
        text[strcspn(text, "\n")] = '\0';
        snprintf(out, 32, "%.31s", strncmp(text, "fio-", 4) == 0 ? text + 4 : text);
    }
    free(text);
    return found;
}

/* --- a slice ---------------------------------------------------------------------------------- */

struct command {
    char text[ARGS_MAX][300];
    char *argv[ARGS_MAX + 1];
    int n;
};

static void add(struct command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct command *c, const char *format, ...)
{
    va_list args;
    if (c->n < ARGS_MAX) {
        va_start(args, format);
        vsnprintf(c->text[c->n], sizeof c->text[0], format, args);
        va_end(args);
        c->argv[c->n] = c->text[c->n];
        c->n++;
    }
}

/* invalidate=0: what is in the page cache stays there, as for weft. */
static void make_command(struct command *c, const struct tb_disk *disk, uint64_t slice_ns,
                         bool uring)
{
    static const char *const kinds[] = {"randread", "read", "write"};
    unsigned long long depth = disk->depth;
    add(c, "fio");
    add(c, "--name=taskbench");
    add(c, "--filename=%s", disk->path);
    add(c, "--rw=%s", kinds[disk->kind]);
    add(c, "--bs=%llu", (unsigned long long)disk->bs);
    add(c, "--size=%llu", (unsigned long long)(disk->blocks * disk->bs));
    add(c, "--direct=%d", disk->direct);
    add(c, "--time_based");
    add(c, "--runtime=%llums", (unsigned long long)(slice_ns / 1000000u));
    add(c, "--invalidate=0");
    add(c, "--thread");
    add(c, "--randrepeat=0");
    add(c, "--norandommap");
    add(c, "--output-format=json");
    if (uring) {
        add(c, "--ioengine=io_uring");
        add(c, "--iodepth=%llu", depth);
    } else {
        add(c, "--ioengine=psync");
        add(c, "--numjobs=%llu", depth);
        add(c, "--group_reporting");
    }
}

double tb_fio_read(const char *text, enum tb_disk_kind kind, double *p99_ns)
{
    struct tb_doc doc;
    const char *json = strchr(text, '{'); /* notes may stand before it */
    double iops = 0;
    *p99_ns = 0;
    if (json && tb_doc_read(&doc, json, strlen(json)) == 0) {
        const struct tb_value *jobs = tb_member(doc.root, "jobs");
        const struct tb_value *side =
            tb_member(jobs ? jobs->first : NULL, kind == TB_DISK_SEQWRITE ? "write" : "read");
        const struct tb_value *latency = tb_member(side, "clat_ns");
        iops = tb_member_number(side, "iops", 0);
        double p99 = tb_member_number(tb_member(latency, "percentile"), "99.000000", 0);
        *p99_ns = p99 > 0 && p99 <= 1e9 / IOPS_MIN ? p99 : 0;
    }
    if (json) {
        tb_doc_free(&doc);
    }
    return iops >= IOPS_MIN && iops <= IOPS_MAX ? 1e9 / iops : -1;
}

double tb_fio_slice(struct tb_disk *disk, uint64_t slice_ns, bool uring, double *p99_ns)
{
    static struct command command;
    char *text = malloc(OUTPUT_MAX + 1);
    command.n = 0;
    make_command(&command, disk, slice_ns, uring);
    command.argv[command.n] = NULL;
    uint64_t patience_ns = slice_ns + PATIENCE_S * UINT64_C(1000000000);
    int rc = text ? run(command.argv, text, patience_ns) : -ENOMEM;
    double ns = -1;
    if (rc == 0) {
        ns = tb_fio_read(text, disk->kind, p99_ns);
        if (ns < 0) {
            snprintf(disk->reason, sizeof disk->reason, "fio said nothing that is understood");
        }
    } else {
        snprintf(disk->reason, sizeof disk->reason, "fio ended with %d", rc);
    }
    free(text);
    return ns;
}
