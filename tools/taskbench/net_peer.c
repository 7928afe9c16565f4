/* net_peer.c: the server's process, seen from the one that asks. See net.h. */
#define _GNU_SOURCE
#include "child.h"
#include "net.h"
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 10000 /* a server that says nothing for so long does not start */
#define ARGS     5

extern char **environ;

static int fail(struct tb_peer *peer, const char *what)
{
    if (!peer->error[0]) {
        snprintf(peer->error, sizeof peer->error, "%.*s", TB_REASON_MAX - 1, what);
    }
    return -1;
}

/* --- CPUs ------------------------------------------------------------------------------------- */

/* The first `workers` CPUs for the server, the last for the client, if there are enough; else
 * nothing is pinned. The server inherits what this process has while it is started. */
static bool share_cpus(int workers, cpu_set_t *all, cpu_set_t *server, int *client)
{
    int left = workers;
    CPU_ZERO(server);
    if (sched_getaffinity(0, sizeof *all, all) < 0 || CPU_COUNT(all) <= workers) {
        return false;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, all)) {
            continue;
        }
        if (left-- > 0) {
            CPU_SET(cpu, server);
        }
        *client = cpu;
    }
    return true;
}

/* --- start ------------------------------------------------------------------------------------ */

static int spawn(struct tb_peer *peer, char *const *argv, int hold_end, int wire_end)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, hold_end, STDIN_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, wire_end, TB_WIRE_FD);
    int rc = posix_spawn(&peer->pid, "/proc/self/exe", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return rc == 0 ? 0 : fail(peer, strerror(rc));
}

static int open_pipes(struct tb_peer *peer, int hold[2], int wire[2])
{
    if (pipe2(hold, O_CLOEXEC) < 0) {
        return fail(peer, strerror(errno));
    }
    if (pipe2(wire, O_CLOEXEC) < 0) {
        fail(peer, strerror(errno));
        close(hold[0]);
        close(hold[1]);
        return -1;
    }
    return 0;
}

/* One line of the wire without its end. false: nothing came in time, or it is closed. */
static bool read_line(int fd, char line[TB_WIRE_LINE_MAX], int timeout_ms)
{
    size_t n = 0;
    for (;;) { /* ends: with the line, the pipe, or the time */
        struct pollfd one = {fd, POLLIN, 0};
        char c;
        int ready = poll(&one, 1, timeout_ms);
        if (ready < 0 && errno == EINTR && !tb_interrupted()) {
            continue;
        }
        if (ready <= 0 || read(fd, &c, 1) != 1) {
            return false;
        }
        if (c == '\n') {
            line[n] = '\0';
            return true;
        }
        line[n] = c;
        n += n < TB_WIRE_LINE_MAX - 1;
    }
}

static int wait_for_port(struct tb_peer *peer, struct tb_net *net)
{
    char line[TB_WIRE_LINE_MAX];
    if (!read_line(peer->wire, line, START_MS)) {
        return fail(peer, "the server does not start");
    }
    unsigned port = 0;
    if (sscanf(line, "port %u", &port) != 1) {
        return fail(peer, strncmp(line, "skip ", 5) == 0 ? line + 5 : line);
    }
    net->server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    net->server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return 0;
}

static int start(struct tb_peer *peer, struct tb_net *net)
{
    int hold[2], wire[2];
    char workers[16], bytes[24];
    snprintf(workers, sizeof workers, "%d", net->workers);
    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)net->bytes);
    char *argv[ARGS + 1] = {"taskbench", "serve", net->kind == TB_NET_HTTP ? "http" : "echo",
                            workers,     bytes,   NULL};
    if (open_pipes(peer, hold, wire) < 0) {
        return -1;
    }
    int rc = spawn(peer, argv, hold[0], wire[1]);
    close(hold[0]);
    close(wire[1]);
    peer->hold = hold[1];
    peer->wire = wire[0];
    return rc < 0 ? rc : wait_for_port(peer, net);
}

int tb_peer_start(struct tb_peer *peer, struct tb_net *net)
{
    cpu_set_t all, server;
    *peer = (struct tb_peer){.hold = -1, .wire = -1, .cpu = -1};
    net->pinned = share_cpus(net->workers, &all, &server, &peer->cpu) &&
                  sched_setaffinity(0, sizeof server, &server) == 0;
    int rc = start(peer, net);
    if (net->pinned) {
        sched_setaffinity(0, sizeof all, &all);
    } else {
        peer->cpu = -1;
    }
    if (rc < 0) {
        char error[TB_REASON_MAX];
        memcpy(error, peer->error, sizeof error);
        tb_peer_stop(peer, NULL);
        memcpy(peer->error, error, sizeof error);
    }
    return rc;
}

uint64_t tb_peer_cpu_ns(const struct tb_peer *peer)
{
    clockid_t clock;
    struct timespec t;
    if (!peer || peer->pid <= 0 || clock_getcpuclockid(peer->pid, &clock) != 0 ||
        clock_gettime(clock, &t) < 0) {
        return 0;
    }
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- end -------------------------------------------------------------------------------------- */

/* `row` may be NULL: nobody wants to know. */
static int take_words(struct tb_peer *peer, struct tb_row *row)
{
    char line[TB_WIRE_LINE_MAX];
    struct tb_wire_in in = {.row = row};
    while (row && !in.done && read_line(peer->wire, line, START_MS)) {
        if (strncmp(line, "wrong ", 6) == 0 || strncmp(line, "skip ", 5) == 0) {
            return fail(peer, strchr(line, ' ') + 1);
        }
        tb_wire_read(&in, line);
    }
    return !row || in.done ? 0 : fail(peer, "the server has died");
}

static void close_end(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

int tb_peer_stop(struct tb_peer *peer, struct tb_row *row)
{
    int rc = 0, status;
    peer->error[0] = '\0';
    close_end(&peer->hold);
    if (peer->pid > 0) {
        rc = take_words(peer, row);
        if (rc < 0 || !row) {
            kill(peer->pid, SIGKILL);
        }
        while (waitpid(peer->pid, &status, 0) < 0 &&
               errno == EINTR) { /* ends: it has ended, or is killed */
        }
        if (rc == 0 && row && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
            rc = fail(peer, "the server has died");
        }
        peer->pid = 0;
    }
    close_end(&peer->wire);
    return rc;
}
