/* test_io_edges.c: what a program may do to its I/O from outside: close, signals, credentials,
 * processors, fork, a stop; and one connection to the others. The results of the operations
 * themselves are in tests/unit/io/conformance.h. docs/io-invariants.md has the list. */
#include "capture.h"
#include "pattern.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <weft/debug.h>
#include <weft/io.h>
#include <weft/net.h>

struct receiver {
    int fd;
    char byte;
    atomic_int begun;
};

static int receive(void *arg)
{
    struct receiver *r = arg;
    atomic_store(&r->begun, 1);
    return (int)weft_recv(r->fd, &r->byte, 1, 0);
}

static void open_pair(int ends[2])
{
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void close_pair(const int ends[2])
{
    wt_eq(weft_close(ends[0]), 0);
    wt_eq(weft_close(ends[1]), 0);
}

static void balance(void)
{
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
}

/* --- close ------------------------------------------------------------------------------------ */

/* One worker: who has begun lies in the call, and what is submitted later is tried later. */
TaskTest(io_edges, operations_of_a_closed_descriptor_never_touch_the_next_file_of_its_number, 1)
{
    for (int i = 0; i < 300; i++) {
        int old[2];
        int next[2];
        open_pair(old);
        struct receiver stale = {.fd = old[0]};
        weft_task stale_task;
        weft_task fresh_task;
        WEFT_SCOPE(scope);
        wt_eq(weft_spawn(&stale_task, receive, &stale), 0);
        yield_until(&stale.begun, 1);
        wt_eq(weft_wait_fd(old[1], POLLOUT), POLLOUT); /* now the kernel has it */
        int number = old[0];
        close(old[0]); /* against the rules, which is the point */
        open_pair(next);
        wt_eq(next[0], number);
        if (i % 3 == 0) {
            (void)send(old[1], "o", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        struct receiver fresh = {.fd = next[0]};
        wt_eq(weft_spawn(&fresh_task, receive, &fresh), 0);
        if (i % 2 == 0) {
            weft_yield();
        }
        wt_eq(send(next[1], "n", 1, MSG_NOSIGNAL), 1);
        wt_eq(weft_await(&fresh_task), 1);
        wt_eq(fresh.byte, 'n');
        (void)weft_scope_cancel(&scope, "closed");
        (void)weft_await(&stale_task);
        wt_true(stale.byte == 0 || stale.byte == 'o', "round %d", i);
        (void)weft_scope_end(&scope);
        close(old[1]);
        close_pair(next);
    }
    balance();
    return 0;
}

TaskTest(io_edges, a_shutdown_by_another_task_ends_the_wait_before_the_close, 2)
{
    for (int i = 0; i < 200; i++) {
        int ends[2];
        open_pair(ends);
        struct receiver receiver = {.fd = ends[0]};
        weft_task task;
        wt_eq(weft_spawn(&task, receive, &receiver), 0);
        if (i % 2 == 0) {
            weft_yield();
        }
        wt_eq(weft_shutdown(ends[0], SHUT_RDWR), 0);
        wt_eq(weft_await(&task), 0);
        close_pair(ends);
    }
    balance();
    return 0;
}

/* Its peer will send no more, which poll says all the time; but reads nothing, so there is no
 * room. */
TaskTest(io_edges, a_full_socket_whose_peer_has_finished_is_not_asked_without_end, 1)
{
    int ends[2];
    static char zeros[65536];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    while (send(ends[0], zeros, sizeof zeros, MSG_NOSIGNAL) > 0) { /* ends: full */
    }
    wt_eq(weft_shutdown(ends[1], SHUT_WR), 0);
    weft_stats before;
    weft_stats after;
    weft_stats_get(weft_rt_current(), &before);
    int64_t begin_ns = now_ns();
    struct iovec part = {zeros, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    wt_eq(weft_within(WEFT_MS(30), weft_send_many(ends[0], &message, 1, 0)), -ETIME);
    wt_eq(weft_within(WEFT_MS(30), weft_write(ends[0], zeros, 1)), -ETIME);
    uint64_t rests = (uint64_t)(now_ns() - begin_ns) / 1000000 + 1;
    weft_stats_get(weft_rt_current(), &after);
    wt_le(after.ops_submitted - before.ops_submitted, 20 + 4 * rests);
    close_pair(ends);
    return 0;
}

/* --- memory ----------------------------------------------------------------------------------- */

TaskTest(io_edges, paths_and_addresses_may_go_away_when_the_call_has_returned, 2)
{
    for (int i = 0; i < 100; i++) {
        char *path = malloc(16);
        strcpy(path, "/dev/null");
        int fd = i % 2 == 0 ? weft_open(path, O_RDONLY, 0)
                            : weft_within(WEFT_US(i), weft_open(path, O_RDONLY, 0));
        memset(path, 'x', 16);
        free(path);
        wt_true(fd >= 0 || fd == -ETIME, "%d", fd);
        struct sockaddr_in *address = calloc(1, sizeof *address);
        address->sin_family = AF_INET;
        address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address->sin_port = htons(9); /* discard: nobody listens */
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int rc = weft_within(WEFT_US(i),
                             weft_connect(client, (struct sockaddr *)address, sizeof *address));
        memset(address, 'x', sizeof *address);
        free(address);
        wt_true(rc <= 0, "%d", rc);
        weft_close(client);
        if (fd >= 0) {
            weft_close(fd);
        }
    }
    balance();
    return 0;
}

/* --- traffic for what comes from outside ------------------------------------------------------ */

static atomic_int traffic_stops;

static int echo(void *arg)
{
    char buffer[64];
    ssize_t n;
    while ((n = weft_recv(*(int *)arg, buffer, sizeof buffer, 0)) > 0) {
        wt_eq(weft_send_all(*(int *)arg, buffer, (size_t)n, 0), n);
    }
    return (int)n;
}

/* Round trips and file operations until it is told to stop; how many. */
static int traffic(void *arg)
{
    (void)arg;
    int ends[2];
    open_pair(ends);
    weft_task task;
    wt_eq(weft_spawn(&task, echo, &ends[0]), 0);
    int rounds = 0;
    while (atomic_load(&traffic_stops) == 0 || rounds < 50) {
        char in[8];
        wt_eq(weft_send(ends[1], "question", 8, 0), 8);
        wt_eq(weft_recv(ends[1], in, 8, MSG_WAITALL), 8);
        wt_mem_eq(in, "question", 8);
        if (rounds++ % 8 == 0) {
            int fd = weft_open("/dev/null", O_WRONLY, 0);
            wt_ge(fd, 0);
            wt_eq(weft_write(fd, in, 8), 8);
            weft_close(fd);
            wt_eq(weft_within(WEFT_US(50), weft_recv(ends[1], in, 8, 0)), -ETIME);
        }
    }
    wt_eq(weft_shutdown(ends[1], SHUT_WR), 0);
    wt_eq(weft_await(&task), 0);
    close_pair(ends);
    balance();
    return rounds;
}

/* Every thread of the process, this one excepted. */
static void for_each_thread(void (*call)(pid_t thread))
{
    DIR *threads = opendir("/proc/self/task");
    wt_true(threads != NULL);
    pid_t self = (pid_t)syscall(SYS_gettid);
    const struct dirent *entry;
    while ((entry = readdir(threads)) != NULL) {
        pid_t thread = (pid_t)atoi(entry->d_name);
        if (thread > 0 && thread != self) {
            call(thread);
        }
    }
    closedir(threads);
}

struct caller {
    weft_rt *rt;
    int rounds;
};

static void *call_traffic(void *arg)
{
    struct caller *caller = arg;
    caller->rounds = weft_call(caller->rt, traffic, NULL);
    return NULL;
}

/* `times` calls of `disturb` for each thread, while there is traffic; and on, until *seen, if that
 * is not NULL, has come to 100. */
static void disturb_traffic(void (*disturb)(pid_t thread), int times, atomic_int *seen)
{
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    struct caller caller;
    wt_eq(weft_rt_start(&caller.rt, &(weft_rt_opts){.workers = 2}), 0);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, call_traffic, &caller), 0);
    for (int i = 0; i < times || (seen != NULL && atomic_load(seen) < 100); i++) {
        wt_lt(now_ns(), give_up_ns);
        for_each_thread(disturb);
        sched_yield();
    }
    atomic_store(&traffic_stops, 1);
    wt_eq(pthread_join(thread, NULL), 0);
    wt_ge(caller.rounds, 50);
    wt_eq(weft_rt_stop(caller.rt, WEFT_SEC(10), WEFT_SEC(10)), 0);
    weft_rt_free(caller.rt);
}

/* --- signals ---------------------------------------------------------------------------------- */

static atomic_int signals_seen;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_seen, 1);
}

/* A profiler's signal is one that workers do not block. */
static void bombard(pid_t thread)
{
    (void)syscall(SYS_tgkill, getpid(), thread, SIGPROF);
}

Test(io_edges, signals_that_bombard_the_workers_are_no_results)
{
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
    wt_eq(sigaction(SIGPROF, &action, NULL), 0);
    disturb_traffic(bombard, 1000, &signals_seen);
}

static ssize_t handler_got;

static void on_signal_receive(int number)
{
    (void)number;
    char byte;
    handler_got = weft_recv(0, &byte, 1, 0);
}

Test(io_edges, a_signal_handler_outside_of_tasks_is_refused)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    signal(SIGUSR1, on_signal_receive);
    raise(SIGUSR1);
    wt_eq(handler_got, -EPERM);
    weft_rt_free(rt);
}

/* --- processors, credentials ------------------------------------------------------------------ */

static void move(pid_t thread)
{
    static cpu_set_t all;
    static unsigned turn;
    if (CPU_COUNT(&all) == 0) {
        wt_eq(sched_getaffinity(0, sizeof all, &all), 0);
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    int skip = (int)(turn++ / 3 % (unsigned)CPU_COUNT(&all));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && skip-- == 0) {
            CPU_SET(cpu, &one);
        }
    }
    (void)sched_setaffinity(thread, sizeof one, turn % 2 == 0 ? &all : &one);
}

Test(io_edges, processors_that_are_taken_away_and_given_back_do_no_harm)
{
    disturb_traffic(move, 200, NULL);
}

static int drop_credentials(void *arg)
{
    (void)arg;
    char path[] = "/tmp/weft-test-XXXXXX";
    int made = mkstemp(path); /* 0600, root's */
    wt_ge(made, 0);
    int fd = weft_open(path, O_RDONLY, 0);
    wt_ge(fd, 0);
    weft_close(fd);
    wt_eq(setresuid(65534, 65534, 0), 0);
    wt_eq(weft_open(path, O_RDONLY, 0), -EACCES, "of the moment of the call");
    wt_eq(setresuid(0, 0, 0), 0);
    fd = weft_open(path, O_RDONLY, 0);
    wt_ge(fd, 0);
    weft_close(fd);
    close(made);
    unlink(path);
    return 0;
}

Test(io_edges, credentials_are_those_of_the_moment_of_the_call)
{
    if (geteuid() != 0) {
        wt_skip("only root can become another user");
    }
    wt_eq(weft_run(drop_credentials, NULL, .workers = 1), 0);
}

/* --- fork, stop ------------------------------------------------------------------------------- */

static int fork_amid(void *arg)
{
    (void)arg;
    int ends[2];
    open_pair(ends);
    struct receiver receivers[8];
    weft_task tasks[8];
    for (int i = 0; i < 8; i++) {
        receivers[i] = (struct receiver){.fd = ends[0]};
        wt_eq(weft_spawn(&tasks[i], receive, &receivers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        weft_yield();
        pid_t pid = fork();
        if (pid == 0) {
            char byte;
            bool refused = weft_recv(ends[0], &byte, 1, MSG_DONTWAIT) == -ENOSYS &&
                           weft_send(ends[1], "c", 1, 0) == -ENOSYS;
            _exit(refused ? 0 : 1);
        }
        wt_gt(pid, 0);
        int status;
        wt_eq(waitpid(pid, &status, 0), pid);
        wt_true(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
        wt_eq(weft_send(ends[1], "p", 1, 0), 1);
    }
    for (int i = 0; i < 8; i++) {
        wt_eq(weft_await(&tasks[i]), 1);
        wt_eq(receivers[i].byte, 'p');
    }
    close_pair(ends);
    balance();
    return 0;
}

Test(io_edges, a_fork_amid_operations_takes_nothing_from_them)
{
    wt_eq(weft_run(fork_amid, NULL, .workers = 2), 0);
}

static struct receiver stopped;
static atomic_int stopped_rc;
static atomic_int stopped_begun;

static int receive_until_stop(void *arg)
{
    (void)arg;
    atomic_store(&stopped_begun, 1);
    atomic_store(&stopped_rc, receive(&stopped));
    return 0;
}

Test(io_edges, a_stop_ends_operations_in_flight_and_leaves_none_behind)
{
    int ends[2];
    weft_rt *rt;
    open_pair(ends);
    stopped.fd = ends[0];
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
    wt_eq(weft_post(rt, receive_until_stop, NULL), 0);
    while (atomic_load(&stopped_begun) == 0) { /* ends: the task begins */
        sched_yield();
    }
    wt_eq(weft_rt_stop(rt, 0, WEFT_SEC(20)), 0);
    wt_eq(atomic_load(&stopped_rc), -ECANCELED);
    weft_stats stats;
    weft_stats_get(rt, &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    weft_rt_free(rt);
    wt_eq(send(ends[1], "x", 1, MSG_NOSIGNAL), 1);
    wt_eq(recv(ends[0], &stopped.byte, 1, MSG_DONTWAIT), 1, "nobody receives any more");
    close(ends[0]);
    close(ends[1]);
}

/* --- fairness --------------------------------------------------------------------------------- */

static atomic_int flood_stops;
static atomic_long flooded;

static int flood(void *arg)
{
    static const char much[512];
    int fd = *(int *)arg;
    while (atomic_load(&flood_stops) == 0) {
        wt_gt(weft_send(fd, much, sizeof much, 0), 0);
        atomic_fetch_add(&flooded, 1);
    }
    return weft_shutdown(fd, SHUT_WR);
}

static int drain(void *arg)
{
    char much[512];
    ssize_t n;
    while ((n = weft_recv(*(int *)arg, much, sizeof much, 0)) > 0) {
        atomic_fetch_add(&flooded, 1);
    }
    return (int)n;
}

/* One worker, so that both share whatever there is. A round trip is four operations; each may wait
 * for the flood's share of a turn, and for two passes of at most 128 completions. */
TaskTest(io_edges, a_flooding_connection_does_not_starve_another, 1)
{
    enum { ROUNDS = 200, FLOODS = 4, OPS_MAX = 4 * 2 * 128 };
    int floods[FLOODS][2];
    weft_task tasks[2 * FLOODS];
    int ends[2];
    weft_task echoing;
    open_pair(ends);
    wt_eq(weft_spawn(&echoing, echo, &ends[0]), 0);
    for (int i = 0; i < FLOODS; i++) {
        open_pair(floods[i]);
        wt_eq(weft_spawn(&tasks[2 * i], flood, &floods[i][0]), 0);
        wt_eq(weft_spawn(&tasks[2 * i + 1], drain, &floods[i][1]), 0);
    }
    long worst = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char byte;
        long before = atomic_load(&flooded);
        wt_eq(weft_send(ends[1], "x", 1, 0), 1);
        wt_eq(weft_recv(ends[1], &byte, 1, 0), 1);
        long ops = atomic_load(&flooded) - before;
        worst = ops > worst ? ops : worst;
    }
    atomic_store(&flood_stops, 1);
    wt_gt(atomic_load(&flooded), ROUNDS / 10, "the flood is one");
    wt_le(worst, OPS_MAX);
    fprintf(stderr, "at most %ld operations of the flood during one round trip\n", worst);
    wt_eq(weft_shutdown(ends[1], SHUT_WR), 0);
    wt_eq(weft_await(&echoing), 0);
    for (int i = 0; i < FLOODS; i++) {
        wt_eq(weft_await(&tasks[2 * i]), 0);
        wt_eq(weft_await(&tasks[2 * i + 1]), 0);
        close_pair(floods[i]);
    }
    close_pair(ends);
    balance();
    return 0;
}
