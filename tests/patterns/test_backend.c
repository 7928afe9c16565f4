/* test_backend.c: which backend a runtime gets, and that both do the same: also where io_uring is
 * forbidden, as in many containers. */
#include "capture.h"
#include "pattern.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <weft/debug.h>
#include <weft/io.h>

/* --- echo ------------------------------------------------------------------------------------- */

#define CONNECTIONS 1000
#define MESSAGES    5
#define ACCEPTORS   4

static struct sockaddr_in address;

WEFT_TASK(echo, int)
{
    char buffer[64];
    ssize_t n;
    while ((n = weft_recv(*arg, buffer, sizeof buffer, 0)) > 0) {
        if (weft_send_all(*arg, buffer, (size_t)n, 0) != n) {
            return -EPROTO;
        }
    }
    weft_close(*arg);
    return (int)n;
}

struct acceptor {
    weft_scope *scope;
    int listener;
    atomic_int *accepted;
};

/* Several of them on one listener, which blocks: none may keep its worker waiting for what another
 * has taken. */
WEFT_TASK(accept_some, struct acceptor)
{
    for (;;) { /* ends: cancelled */
        int fd = weft_accept(arg->listener, NULL, NULL, 0);
        if (fd < 0) {
            return fd;
        }
        atomic_fetch_add(arg->accepted, 1);
        int rc = weft_go(arg->scope, echo, &fd);
        if (rc < 0) {
            return rc;
        }
    }
}

WEFT_TASK(client, int)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -errno : weft_connect(fd, (struct sockaddr *)&address, sizeof address);
    for (int i = 0; rc == 0 && i < MESSAGES; i++) {
        int out[2] = {*arg, i};
        int in[2] = {0};
        if (weft_send_all(fd, out, sizeof out, 0) != sizeof out ||
            weft_recv(fd, in, sizeof in, MSG_WAITALL) != sizeof in ||
            memcmp(in, out, sizeof in) != 0) {
            rc = -EPROTO;
        }
        weft_yield();
    }
    if (fd >= 0) {
        weft_close(fd);
    }
    return rc;
}

static int echo_all(void *arg)
{
    (void)arg;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    wt_eq(bind(listener, (struct sockaddr *)&address, bytes), 0);
    wt_eq(listen(listener, 4096), 0);
    wt_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    atomic_int accepted = 0;
    WEFT_SCOPE(servers);
    struct acceptor acceptor = {.scope = &servers, .listener = listener, .accepted = &accepted};
    for (int i = 0; i < ACCEPTORS; i++) {
        wt_eq(weft_go(&servers, accept_some, &acceptor), 0);
    }
    WEFT_SCOPE(clients);
    for (int i = 0; i < CONNECTIONS; i++) {
        wt_eq(weft_go(&clients, client, &i), 0);
    }
    wt_eq(weft_scope_end(&clients), 0);
    wt_eq(atomic_load(&accepted), CONNECTIONS);
    weft_scope_cancel(&servers, "all have been served");
    (void)weft_scope_end(&servers);
    weft_close(listener);
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    return 0;
}

static void allow_descriptors(void)
{
    struct rlimit limit;
    wt_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * CONNECTIONS + 100) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < 2 * CONNECTIONS + 100) {
            wt_skip("too few descriptors");
        }
    }
}

static void check_echo(const char *backend)
{
    allow_descriptors();
    for (int workers = 1; workers <= 4; workers *= 2) {
        int rc = weft_run(echo_all, NULL, .workers = workers, .io = backend);
        if (rc == -ENOSYS || rc == -EPERM) {
            wt_skip("no such backend here");
        }
        wt_eq(rc, 0, "%d workers", workers);
    }
}

Test(backend, a_thousand_connections_get_their_echo_by_epoll)
{
    check_echo("epoll");
}

Test(backend, a_thousand_connections_get_their_echo_by_io_uring)
{
    check_echo("uring");
}

/* --- the choice ------------------------------------------------------------------------------- */

/* From now on this process gets `error` from io_uring's calls. */
static void forbid(unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        _exit(77);
    }
}

static void report(char *text, size_t bytes)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    weft_rt_report(rt, text, bytes);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(1), WEFT_SEC(1)), 0);
    weft_rt_free(rt);
}

static unsigned forbidden_error;

/* Status 0: all as it should be; else which step was not. */
static int run_forbidden(void)
{
    char text[256];
    forbid(forbidden_error);
    if (weft_run(echo_all, NULL, .workers = 2) != 0) {
        return 1;
    }
    report(text, sizeof text);
    if (strstr(text, "I/O by epoll (io_uring_setup: E") == NULL) {
        fprintf(stderr, "%s\n", text);
        return 2;
    }
    return weft_run(echo_all, NULL, .io = "uring") == -(int)forbidden_error ? 0 : 3;
}

static int times(const char *text, const char *part)
{
    int n = 0;
    while ((text = strstr(text, part)) != NULL) { /* ends: the text does */
        text += strlen(part);
        n++;
    }
    return n;
}

static void check_forbidden(unsigned error)
{
    unsetenv("WEFT_IO");
    allow_descriptors();
    forbidden_error = error;
    struct captured captured;
    capture(&captured, run_forbidden);
    if (WIFEXITED(captured.status) && WEXITSTATUS(captured.status) == 77) {
        wt_skip("no seccomp filters here");
    }
    check_exited(&captured, 0);
    wt_eq(times(captured.text, "weft: I/O by epoll: "), 1, "once for several runtimes: %s",
          captured.text);
    check_says(&captured, "io_uring_setup");
}

Test(backend, where_io_uring_is_forbidden_epoll_does_its_work)
{
    check_forbidden(EPERM);
}

Test(backend, where_there_is_no_io_uring_epoll_does_its_work)
{
    check_forbidden(ENOSYS);
}

static int run_without_locked_memory(void)
{
    struct rlimit limit = {65536, 65536}; /* enough for one ring, and so for the probe */
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 ||
        (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)) {
        return 77;
    }
    weft_rt *rt;
    char text[256];
    if (weft_rt_start(&rt, &(weft_rt_opts){.workers = 60}) != 0) {
        return 1;
    }
    weft_rt_report(rt, text, sizeof text);
    weft_rt_free(rt);
    if (strstr(text, "io_uring,") != NULL || strstr(text, "without io_uring") != NULL) {
        return 77; /* this kernel does not charge rings, or there are none */
    }
    return strstr(text, "I/O by epoll (io_uring_setup: ENOMEM)") != NULL ? 0 : 2;
}

Test(backend, where_memory_for_rings_runs_out_epoll_does_their_work)
{
    unsetenv("WEFT_IO");
    struct captured captured;
    capture(&captured, run_without_locked_memory);
    if (WIFEXITED(captured.status) && WEXITSTATUS(captured.status) == 77) {
        wt_skip("no limit on rings here");
    }
    check_exited(&captured, 0);
    check_says(&captured, "RLIMIT_MEMLOCK");
}

Test(backend, the_environment_chooses_and_the_report_says_it)
{
    char text[256];
    setenv("WEFT_IO", "epoll", 1);
    report(text, sizeof text);
    wt_true(strstr(text, "I/O by epoll,") != NULL, "%s", text);
    unsetenv("WEFT_IO");
}
