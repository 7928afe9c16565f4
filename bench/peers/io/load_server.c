/* load_server.c: the server's process: started on its CPU, found by its port, killed at the end. */
#define _GNU_SOURCE
#include "clock.h" /* of taskbench */
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT_PLACE  "{port}"
#define POLL_US     2000 /* between two looks whether it accepts */
#define ARGS_MAX    32
#define PORT_DIGITS 8

/* A port that was free a moment ago: servers that other people wrote take a number, and choose
 * none. */
static uint16_t find_port(struct sockaddr_in *address)
{
    socklen_t bytes = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)address, sizeof *address) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &bytes) < 0) {
        fail("find a port");
    }
    close(fd);
    return ntohs(address->sin_port);
}

static void become_server(const struct load *load, uint16_t port)
{
    static char text[PORT_DIGITS];
    char *args[ARGS_MAX + 1];
    int n = 0;
    snprintf(text, sizeof text, "%u", port);
    for (; load->command[n] && n < ARGS_MAX; n++) {
        args[n] = strcmp(load->command[n], PORT_PLACE) == 0 ? text : load->command[n];
    }
    args[n] = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (load->server_cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((size_t)load->server_cpu, &cpus);
        if (sched_setaffinity(0, sizeof cpus, &cpus) < 0) {
            fail("sched_setaffinity of the server");
        }
    }
    struct sched_param priority = {.sched_priority = SERVER_PRIORITY};
    if (load->real_time && sched_setscheduler(0, SCHED_FIFO, &priority) < 0) {
        fail("no right to a real-time priority for the server");
    }
    dup2(STDERR_FILENO, STDOUT_FILENO); /* stdout is for results */
    execvp(args[0], args);
    fail(args[0]);
}

static void wait_until_it_accepts(const struct load *load)
{
    for (uint64_t end = tb_now_ns() + SILENCE_NS; tb_now_ns() < end;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int rc = connect(fd, (const struct sockaddr *)&load->address, sizeof load->address);
        close(fd);
        if (rc == 0) {
            return;
        }
        if (waitpid(load->pid, NULL, WNOHANG) != 0) {
            errno = ECHILD;
            fail("the server ended");
        }
        usleep(POLL_US);
    }
    errno = ETIMEDOUT;
    fail("the server does not listen");
}

void server_start(struct load *load)
{
    uint16_t port = find_port(&load->address);
    load->pid = fork();
    if (load->pid < 0) {
        fail("fork");
    }
    if (load->pid == 0) {
        become_server(load, port);
    }
    wait_until_it_accepts(load);
    if (clock_getcpuclockid(load->pid, &load->cpu_clock) != 0) {
        fail("the server's CPU clock");
    }
}

void server_stop(struct load *load)
{
    if (waitpid(load->pid, NULL, WNOHANG) != 0) {
        errno = ECHILD;
        fail("the server died");
    }
    kill(load->pid, SIGKILL);
    waitpid(load->pid, NULL, 0);
}
