/* load.c: see load.h. Options, the window's account, and the line of results.
 *
 *   load KIND [-c CONNECTIONS] [-s BYTES] [-d DEPTH] [-r RATE] [-t SECONDS] [-w SECONDS] [-C CPU]
 *   [-S CPU] [-R]
 *        -- SERVER...
 *     KIND  echo, http, mixed, accept, idle
 *     -r    open loop with so many requests a second; without it a closed loop
 *     -t    length of the window; -w: of the warm-up before it
 *     -C    the CPU of this program, -S: of the server; any without
 *     -R    the server has a real-time priority, too
 *
 * Prints one line of key=value. Exit: 0; 1 something failed, or an answer was wrong; 2 usage. */
#define _GNU_SOURCE
#include "load.h"
#include "clock.h" /* of taskbench */
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_US 1e3
#define NS_PER_S  1e9

void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

int connect_to(const struct load *load)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&load->address, sizeof load->address) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) {
        fail("connect");
    }
    return fd;
}

void window_begin(struct load *load)
{
    load->window_ns = tb_now_ns();
    load->server_ns = tb_clock_ns(load->cpu_clock);
    load->client_ns = tb_cpu_ns();
}

void window_end(struct load *load)
{
    load->window_ns = tb_now_ns() - load->window_ns;
    load->server_ns = tb_clock_ns(load->cpu_clock) - load->server_ns;
    load->client_ns = tb_cpu_ns() - load->client_ns;
}

static void print_requests(const struct load *load)
{
    double requests = (double)load->requests, window = (double)load->window_ns;
    printf("cpu_us=%.4f client_cpu_us=%.4f requests_s=%.1f p50_us=%.2f p99_us=%.2f p999_us=%.2f "
           "max_us=%.1f "
           "requests=%.0f unanswered=%lu",
           (double)load->server_ns / requests / NS_PER_US,
           (double)load->client_ns / requests / NS_PER_US, requests / window * NS_PER_S,
           (double)tb_hist_at(&load->latency, 0.5) / NS_PER_US,
           (double)tb_hist_at(&load->latency, 0.99) / NS_PER_US,
           (double)tb_hist_at(&load->latency, 0.999) / NS_PER_US,
           (double)load->latency.max / NS_PER_US, requests, (unsigned long)load->unanswered);
    if (load->long_latency.n > 0) {
        printf(" long_p50_us=%.1f", (double)tb_hist_at(&load->long_latency, 0.5) / NS_PER_US);
    }
    printf("\n");
}

static int usage(const char *what)
{
    fprintf(
        stderr,
        "load: %s (usage: load echo|http|mixed|accept|idle [options] -- SERVER...; see load.c)\n",
        what);
    return 2;
}

static bool parse_kind(const char *text, enum load_kind *out)
{
    static const char *const names[] = {"echo", "http", "mixed", "accept", "idle"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = (enum load_kind)i;
            return true;
        }
    }
    return false;
}

static bool parse_options(struct load *load, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "c:s:d:r:t:w:C:S:R")) != -1) {
        switch (option) {
        case 'c':
            load->connections = atoi(optarg);
            break;
        case 's':
            load->bytes = strtoul(optarg, NULL, 10);
            break;
        case 'd':
            load->depth = atoi(optarg);
            break;
        case 'r':
            load->rate = strtoul(optarg, NULL, 10);
            break;
        case 't':
            load->seconds = atof(optarg);
            break;
        case 'w':
            load->warm_seconds = atof(optarg);
            break;
        case 'C':
            load->client_cpu = atoi(optarg);
            break;
        case 'S':
            load->server_cpu = atoi(optarg);
            break;
        case 'R':
            load->real_time = true;
            break;
        default:
            return false;
        }
    }
    load->command = argv + optind;
    return optind < argc && load->connections >= 1 && load->connections <= CONNECTIONS_MAX &&
           load->depth >= 1 && load->depth <= DEPTH_MAX && load->bytes >= 1 &&
           load->bytes <= BYTES_MAX && load->seconds > 0 && load->seconds <= SECONDS_MAX &&
           load->warm_seconds >= 0 && load->warm_seconds <= SECONDS_MAX &&
           (load->kind != LOAD_MIXED || load->depth == 1);
}

static void prepare_process(const struct load *load)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) { /* the server inherits it */
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (load->client_cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((size_t)load->client_cpu, &cpus);
        if (sched_setaffinity(0, sizeof cpus, &cpus) < 0) {
            fail("sched_setaffinity");
        }
    }
    /* A server that has no CPU of its own shares ours: then whoever computes there would make the
     * client wait, and the client would measure itself. Without the right to a priority it competes
     * as any thread does. */
    struct sched_param priority = {.sched_priority = SERVER_PRIORITY + 1};
    if (load->server_cpu < 0 && sched_setscheduler(0, SCHED_FIFO, &priority) < 0) {
        fprintf(stderr,
                "load: no real-time priority: latencies have waits of the client in them\n");
    }
    prctl(PR_SET_TIMERSLACK, 1UL); /* an open loop sleeps until a request is due */
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    static struct load load = {
        .connections = 64,
        .depth = 1,
        .bytes = 64,
        .seconds = 1,
        .warm_seconds = 0.25,
        .client_cpu = -1,
        .server_cpu = -1,
    };
    if (argc < 2 || !parse_kind(argv[1], &load.kind)) {
        return usage("what kind of load?");
    }
    if (!parse_options(&load, argc - 1, argv + 1)) {
        return usage("an option is unknown or out of range, or no server is given");
    }
    server_start(&load); /* before this process is pinned */
    prepare_process(&load);
    if (load.kind == LOAD_ACCEPT) {
        run_accept(&load);
    } else if (load.kind == LOAD_IDLE) {
        run_idle(&load);
    } else {
        run_requests(&load);
    }
    server_stop(&load);
    if (load.errors > 0 || (load.kind != LOAD_IDLE && load.requests == 0)) {
        fprintf(stderr, "load: %lu errors, %lu requests answered\n", (unsigned long)load.errors,
                (unsigned long)load.requests);
        return 1;
    }
    if (load.kind == LOAD_IDLE) {
        printf("idle_rss_bytes=%.0f idle_pss_bytes=%.0f idle_cpu_ms=%.3f\n", load.idle_rss_bytes,
               load.idle_pss_bytes, load.idle_cpu_ms);
    } else {
        print_requests(&load);
    }
    return 0;
}
