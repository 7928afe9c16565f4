/* load_idle.c: opens all connections, sends one request on each, which must be answered, and then
 * nothing: what they cost in the server's memory, and in its CPU time over the window. The kernel's
 * own memory of a connection is in neither figure. */
#define _GNU_SOURCE
#include "clock.h" /* of taskbench */
#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SETTLE_US \
    500000 /* before memory and CPU time are looked at: the server may still tidy up */

/* A line of a file of the server's in /proc, which is in KiB; in bytes. -1: there is none. */
static double proc_bytes(const struct load *load, const char *file, const char *key)
{
    char path[64], line[256];
    double bytes = -1;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)load->pid, file);
    FILE *stream = fopen(path, "re");
    if (!stream) {
        return -1;
    }
    while (fgets(line, sizeof line, stream)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            bytes = (double)strtoul(line + strlen(key), NULL, 10) * 1024;
        }
    }
    fclose(stream);
    return bytes;
}

static double resident(const struct load *load)
{
    return proc_bytes(load, "status", "VmRSS:");
}

/* And page tables, which grow with scattered stacks. */
static double with_tables(const struct load *load)
{
    return proc_bytes(load, "smaps_rollup", "Pss:") + proc_bytes(load, "status", "VmPTE:");
}

static void talk_once(struct load *load, int fd, const char *request, char *answer)
{
    struct timeval silence = {.tv_sec = SILENCE_NS / 1000000000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    if (send(fd, request, load->bytes, MSG_NOSIGNAL) != (ssize_t)load->bytes ||
        recv(fd, answer, load->bytes, MSG_WAITALL) != (ssize_t)load->bytes ||
        memcmp(request, answer, load->bytes) != 0) {
        load->errors++;
    }
}

void run_idle(struct load *load)
{
    static char request[BYTES_MAX], answer[BYTES_MAX];
    memset(request, 'x', load->bytes);
    talk_once(load, connect_to(load), request, answer); /* the first makes what all share */
    usleep(SETTLE_US);
    double rss = resident(load), pss = with_tables(load);
    for (int i = 0; i < load->connections && load->errors == 0; i++) {
        talk_once(load, connect_to(load), request, answer);
    }
    usleep(SETTLE_US);
    load->idle_rss_bytes = (resident(load) - rss) / load->connections;
    load->idle_pss_bytes = (with_tables(load) - pss) / load->connections;
    window_begin(load);
    usleep((useconds_t)(load->seconds * 1e6));
    window_end(load);
    load->idle_cpu_ms = (double)load->server_ns / 1e6;
}
