/* Every call to the system that may be refused is refused in turn: once, and from then on. The
 * program gets a clean error or success, nothing crashes or hangs, nothing leaks, and the next run
 * works.
 *
 * The wrappers below stand in wf_sys. They count calls by kind, refuse those of one kind in a range
 * of numbers, and keep account of what was handed out: bytes mapped, blocks allocated, descriptors.
 * The futex is left alone: it cannot fail. */
#include "io/uring_ring.h"
#include "pool/base/sys.h"
#include "tests/support/wt.h"
#include <fcntl.h>
#include <linux/time_types.h> /* which the next header forgets */
#include <liburing/io_uring.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft/fork.h>
#include <weft/weft.h>

enum kind {
    ALLOC,
    MAP,
    RING_MAP,
    PROTECT,
    ADVISE,
    THREAD_START,
    SETUP,
    REGISTER,
    ENTER,
    EVENTFD,
    EPOLL,
    KINDS
};
static const char *const names[KINDS] = {"alloc",  "map",          "ring map", "protect",
                                         "advise", "thread start", "setup",    "register",
                                         "enter",  "eventfd",      "epoll"};

static struct wf_sys real;
static void *(*real_ring_map)(int fd, size_t bytes, uint64_t offset);

static atomic_int calls[KINDS];
static struct {
    atomic_int kind;  /* -1: none; set last */
    int from, to, rc; /* refuses calls from .. to of this kind, counted from 1 */
} refusal = {.kind = -1};
static atomic_long bytes_mapped, blocks, descriptors;

static void refuse(int kind, int from, int to, int rc)
{
    refusal.from = from;
    refusal.to = to;
    refusal.rc = rc;
    atomic_store(&refusal.kind, kind);
}

static void refuse_none(void)
{
    atomic_store(&refusal.kind, -1);
}

static bool is_refused(int kind)
{
    int n = atomic_fetch_add(&calls[kind], 1) + 1;
    return atomic_load(&refusal.kind) == kind && n >= refusal.from && n <= refusal.to;
}

/* --- wrappers --------------------------------------------------------------------------------- */

static void *count_mapped(void *memory, size_t bytes)
{
    if (memory != NULL) {
        atomic_fetch_add(&bytes_mapped, (long)bytes);
    }
    return memory;
}

static void *map(size_t bytes, int prot)
{
    return is_refused(MAP) ? NULL : count_mapped(real.map(bytes, prot), bytes);
}

static void *ring_map(int fd, size_t bytes, uint64_t offset)
{
    return is_refused(RING_MAP) ? NULL : count_mapped(real_ring_map(fd, bytes, offset), bytes);
}

static int unmap(void *address, size_t bytes)
{
    int rc = real.unmap(address, bytes);
    wt_eq(rc, 0);
    atomic_fetch_sub(&bytes_mapped, (long)bytes);
    return rc;
}

static int protect(void *address, size_t bytes, int prot)
{
    return is_refused(PROTECT) ? refusal.rc : real.protect(address, bytes, prot);
}

static int advise(void *address, size_t bytes, int advice)
{
    return is_refused(ADVISE) ? refusal.rc : real.advise(address, bytes, advice);
}

static void *alloc(size_t alignment, size_t bytes)
{
    void *memory = is_refused(ALLOC) ? NULL : real.alloc(alignment, bytes);
    if (memory != NULL) {
        atomic_fetch_add(&blocks, 1);
    }
    return memory;
}

static void release(void *memory)
{
    if (memory != NULL) {
        atomic_fetch_sub(&blocks, 1);
    }
    real.release(memory);
}

static int thread_start(pthread_t *thread, void *(*body)(void *), void *arg)
{
    return is_refused(THREAD_START) ? refusal.rc : real.thread_start(thread, body, arg);
}

static int count_descriptor(int fd)
{
    if (fd >= 0) {
        atomic_fetch_add(&descriptors, 1);
    }
    return fd;
}

static int uring_setup(unsigned entries, void *params)
{
    return is_refused(SETUP) ? refusal.rc : count_descriptor(real.uring_setup(entries, params));
}

/* A worker enables its ring after start has returned, when the probe has shown that it can be done:
 * not refused here. */
static int uring_register(int fd, unsigned opcode, void *arg, unsigned count)
{
    static const unsigned enable = IORING_REGISTER_ENABLE_RINGS;
    return opcode != enable && is_refused(REGISTER) ? refusal.rc
                                                    : real.uring_register(fd, opcode, arg, count);
}

static int uring_enter(int fd, unsigned submit, unsigned min_complete, unsigned flags, void *arg,
                       size_t arg_bytes)
{
    return is_refused(ENTER) ? refusal.rc
                             : real.uring_enter(fd, submit, min_complete, flags, arg, arg_bytes);
}

static int make_eventfd(void)
{
    return is_refused(EVENTFD) ? refusal.rc : count_descriptor(real.eventfd());
}

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    if (number != SYS_epoll_create1) {
        return real.call(number, a, b, c, d, e, f);
    }
    return is_refused(EPOLL) ? refusal.rc
                             : count_descriptor((int)real.call(number, a, b, c, d, e, f));
}

static int close_counted(int fd)
{
    int rc = real.close(fd);
    wt_eq(rc, 0, "descriptor %d", fd);
    atomic_fetch_sub(&descriptors, 1);
    return rc;
}

static void install(void)
{
    if (wf_sys.map == map) {
        return;
    }
    real = wf_sys;
    real_ring_map = wf_ring_map;
    wf_ring_map = ring_map;
    wf_sys.map = map;
    wf_sys.unmap = unmap;
    wf_sys.protect = protect;
    wf_sys.advise = advise;
    wf_sys.alloc = alloc;
    wf_sys.release = release;
    wf_sys.thread_start = thread_start;
    wf_sys.uring_setup = uring_setup;
    wf_sys.uring_register = uring_register;
    wf_sys.uring_enter = uring_enter;
    wf_sys.eventfd = make_eventfd;
    wf_sys.call = call;
    wf_sys.close = close_counted;
}

/* --- the scenario ----------------------------------------------------------------------------- */

struct argument {
    atomic_int *ran;
    char rest[600];
};

WEFT_TASK(nap, struct argument)
{
    wt_eq(weft_sleep(WEFT_US(5)), 0);
    atomic_fetch_add(arg->ran, 1);
    return 0;
}

static int receive_all(void *chan)
{
    int item;
    int sum = 0;
    int rc;
    while ((rc = weft_chan_recv(chan, &item)) == 1) { /* ends: the channel is closed */
        sum += item;
    }
    return rc == 0 ? sum : rc;
}

static int send_numbers(void)
{
    weft_chan *chan;
    int rc = weft_chan_new(&chan, sizeof(int), 2);
    if (rc < 0) {
        return rc;
    }
    weft_task receiver;
    weft_spawn(&receiver, receive_all, chan);
    for (int i = 1; i <= 20; i++) {
        wt_eq(weft_chan_send(chan, &i), 0);
    }
    wt_eq(weft_chan_close(chan, 0), 0);
    wt_eq(weft_await(&receiver), 210);
    weft_chan_free(chan);
    return 0;
}

static int go_tasks(void)
{
    atomic_int ran = 0;
    int accepted = 0;
    int refused = 0;
    WEFT_SCOPE(s);
    for (int i = 0; i < 5; i++) {
        int rc = weft_go(&s, nap, (&(struct argument){.ran = &ran}));
        wt_true(rc == 0 || rc == -ENOMEM, "%d", rc);
        rc == 0 ? accepted++ : refused++;
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&ran), accepted);
    return refused > 0 ? -ENOMEM : 0;
}

static bool is_by_epoll(void)
{
    const char *name = getenv("WEFT_IO");
    return name != NULL && strcmp(name, "epoll") == 0;
}

static int transfer_a_byte(void)
{
    int fds[2];
    char byte = 0;
    wt_eq(pipe2(fds, O_CLOEXEC), 0);
    ssize_t rc = weft_within(WEFT_US(100), weft_read(fds[0], &byte, 1));
    wt_true(rc == -ETIME || rc == -ENOMEM, "%zd", rc); /* epoll: there is no room to wait in */
    wt_eq(weft_write(fds[1], "x", 1), 1);
    wt_eq(weft_read(fds[0], &byte, 1), 1);
    wt_eq(byte, 'x');
    close(fds[0]);
    close(fds[1]);
    return rc == -ETIME ? 0 : (int)rc;
}

static int return_it(void *arg)
{
    return (int)(intptr_t)arg;
}

static int spawn_some(void)
{
    weft_task t[4];
    for (int i = 0; i < 4; i++) {
        wt_eq(weft_spawn(&t[i], return_it, (void *)(intptr_t)i), 0);
    }
    weft_call_branch branch;
    weft_fork(&branch, return_it, (void *)9);
    weft_yield();
    wt_eq(weft_join(&branch), 9);
    for (int i = 0; i < 4; i++) {
        wt_eq(weft_await(&t[i]), i);
    }
    return 0;
}

static int fail_and_look(void)
{
    wt_eq(weft_fail(-EPROTO, "text"), -EPROTO);
    return weft_last() != NULL ? 0 : -ENOMEM;
}

static int block(void)
{
    int rc = weft_blocking(return_it, (void *)5);
    wt_true(rc == 5 || rc == -EAGAIN, "%d", rc);
    return rc < 0 ? rc : 0;
}

static int by_value(const void *a, const void *b, void *ctx)
{
    (void)ctx;
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Refused, it has not touched the array. */
static int sort_numbers(void)
{
    int numbers[200];
    for (int i = 0; i < 200; i++) {
        numbers[i] = 199 - i;
    }
    int rc = weft_sort(numbers, 200, sizeof numbers[0], by_value, NULL);
    wt_true(rc == 0 || rc == -ENOMEM, "%d", rc);
    for (int i = 0; i < 200; i++) {
        wt_eq(numbers[i], rc == 0 ? i : 199 - i);
    }
    return rc;
}

static int count_node(size_t node, void *ctx)
{
    (void)node;
    atomic_fetch_add((atomic_int *)ctx, 1);
    return 0;
}

static int run_graph(void)
{
    weft_graph *graph = (weft_graph *)1;
    int rc = weft_graph_new(&graph, 3, (weft_edge[]){{0, 1}, {1, 2}}, 2);
    if (rc < 0) {
        wt_eq(rc, -ENOMEM);
        wt_true(graph == NULL);
        return rc;
    }
    atomic_int nodes = 0;
    wt_eq(weft_graph_run(graph, count_node, &nodes), 0);
    wt_eq(atomic_load(&nodes), 3);
    weft_graph_free(graph);
    return 0;
}

/* 0; or the refusal that the program was told of. */
static int root(void *arg)
{
    (void)arg;
    static int (*const parts[])(void) = {spawn_some,    go_tasks, send_numbers, transfer_a_byte,
                                         fail_and_look, block,    sort_numbers, run_graph};
    int first = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int rc = parts[i]();
        first = first < 0 ? first : rc;
    }
    return first;
}

static int run_once(void)
{
    for (int i = 0; i < KINDS; i++) {
        atomic_store(&calls[i], 0);
    }
    weft_rt *rt = (weft_rt *)1;
    int rc = weft_rt_start(&rt, &(weft_rt_opts){.workers = 2});
    if (rc < 0) {
        wt_true(rt == NULL);
    } else {
        rc = weft_call(rt, root, NULL);
        wt_eq(weft_rt_stop(rt, WEFT_SEC(20), WEFT_SEC(1)), 0);
        weft_rt_free(rt);
    }
    wt_eq(atomic_load(&bytes_mapped), 0);
    wt_eq(atomic_load(&blocks), 0);
    wt_eq(atomic_load(&descriptors), 0);
    return rc;
}

/* --- refusing in turn ------------------------------------------------------------------------- */

static char progress[100];

static void on_alarm(int number)
{
    (void)number;
    ssize_t ignored = write(STDERR_FILENO, progress, strlen(progress));
    (void)ignored;
    _exit(WT_EXIT_FAILED);
}

static void run_refused(int kind, int from, int to, int rc)
{
    snprintf(progress, sizeof progress, "hangs with %s refused from call %d to %d\n", names[kind],
             from, to);
    refuse(kind, from, to, rc);
    alarm(120);
    int got = run_once();
    wt_true(got == 0 || got == rc || got == -ENOMEM || got == -EAGAIN || got == -ENOSYS, "%d: %s",
            got, progress);
    refuse_none();
    wt_eq(run_once(), 0, "afterwards: %s", progress);
    alarm(0);
}

/* Calls differ a little from run to run, so a few numbers beyond those of a clean run are tried
 * too. */
static void refuse_in_turn(int kind, int rc, bool persistently, int calls_max)
{
    bool of_ring = kind == RING_MAP || kind == SETUP || kind == REGISTER || kind == ENTER;
    if (is_by_epoll() ? of_ring : kind == EPOLL) {
        wt_skip("of the other backend");
    }
    signal(SIGALRM, on_alarm);
    install();
    refuse_none();
    wt_eq(run_once(), 0);
    int n = atomic_load(&calls[kind]) + 3;
    wt_gt(n, 3, "the scenario makes such calls");
    for (int k = 1; k <= n && k <= calls_max; k++) {
        run_refused(kind, k, k, rc);
        if (persistently) {
            run_refused(kind, k, INT32_MAX, rc);
        }
    }
}

/* E40 */
Test(faults, each_refused_allocation_is_a_clean_error)
{
    refuse_in_turn(ALLOC, -ENOMEM, true, 100);
}

/* Out of task context, so that the refused one is their own. */
Test(faults, a_sort_and_a_graph_that_get_no_memory_say_so_and_touch_nothing)
{
    install();
    refuse(ALLOC, 1, INT32_MAX, -ENOMEM);
    wt_eq(sort_numbers(), -ENOMEM);
    wt_eq(run_graph(), -ENOMEM);
    refuse_none();
    wt_eq(sort_numbers(), 0);
    wt_eq(atomic_load(&blocks), 0);
}

Test(faults, each_refused_mapping_is_a_clean_error)
{
    refuse_in_turn(MAP, -ENOMEM, true, 100);
}

Test(faults, each_refused_mapping_of_a_ring_is_a_clean_error)
{
    refuse_in_turn(RING_MAP, -ENOMEM, true, 100);
}

Test(faults, each_refused_change_of_protection_is_a_clean_error)
{
    refuse_in_turn(PROTECT, -ENOMEM, true, 100);
}

Test(faults, each_refused_advice_is_a_clean_error_or_does_not_matter)
{
    refuse_in_turn(ADVISE, -EINVAL, true, 100);
}

Test(faults, each_refused_thread_is_a_clean_error)
{
    refuse_in_turn(THREAD_START, -EAGAIN, true, 100);
}

Test(faults, each_refused_ring_is_a_clean_error)
{
    refuse_in_turn(SETUP, -ENOMEM, true, 100);
    refuse_in_turn(SETUP, -EPERM, true, 100);
    refuse_in_turn(SETUP, -ENOSYS, true, 100);
}

Test(faults, each_refused_registration_is_a_clean_error_or_does_not_matter)
{
    refuse_in_turn(REGISTER, -EINVAL, true, 100);
    refuse_in_turn(REGISTER, -EPERM, true, 100);
}

Test(faults, each_refused_eventfd_is_a_clean_error)
{
    refuse_in_turn(EVENTFD, -EMFILE, true, 100);
}

Test(faults, each_refused_epoll_instance_is_a_clean_error)
{
    refuse_in_turn(EPOLL, -EMFILE, true, 100);
}

Test(faults, an_enter_that_is_refused_for_the_moment_is_tried_again)
{
    refuse_in_turn(ENTER, -EAGAIN, false, 60);
    refuse_in_turn(ENTER, -EBUSY, false, 60);
    refuse_in_turn(ENTER, -EINTR, false, 60);
}

Test(faults, enters_that_are_refused_many_times_are_tried_again)
{
    if (is_by_epoll()) {
        wt_skip("of the other backend");
    }
    signal(SIGALRM, on_alarm);
    install();
    for (int k = 2; k < 40; k++) { /* 1 is the probe's */
        run_refused(ENTER, k, k + 20, -EAGAIN);
    }
}

/* What is in the kernel then cannot be taken back: see the head of io/uring.c. */
Test(faults, a_kernel_that_will_not_be_entered_any_more_ends_the_process, .signal = SIGABRT)
{
    install();
    if (is_by_epoll()) {
        abort(); /* nothing to prove */
    }
    refuse(ENTER, 5, INT32_MAX, -EPERM);
    (void)run_once();
    wt_fail("still there");
}

/* --- no stacks left --------------------------------------------------------------------------- */

struct crowd {
    weft_sem gate;
    atomic_int ended;
};

static int pass_gate(void *arg)
{
    struct crowd *crowd = arg;
    wt_eq(weft_sem_acquire(&crowd->gate), 0);
    wt_eq(weft_yield(), 0);
    atomic_fetch_add(&crowd->ended, 1);
    return 0;
}

#define CROWD 500

/* More tasks wait than there are stacks. Those without one start as the others end. */
static int crowd_root(void *arg)
{
    (void)arg;
    static weft_task tasks[CROWD];
    struct crowd crowd = {0};
    weft_sem_init(&crowd.gate, 0, 0);
    refuse(PROTECT, 1, INT32_MAX, -ENOMEM);
    for (int i = 0; i < CROWD; i++) {
        weft_spawn(&tasks[i], pass_gate, &crowd);
        if (i % 50 == 0) {
            weft_yield();
        }
    }
    weft_sem_release(&crowd.gate, CROWD);
    for (int i = 0; i < CROWD; i++) {
        wt_eq(weft_await(&tasks[i]), 0);
    }
    wt_eq(atomic_load(&crowd.ended), CROWD);
    weft_sem_fini(&crowd.gate);
    return 0;
}

/* E40 */
Test(faults, with_no_further_stack_to_be_had_tasks_wait_to_be_started)
{
    signal(SIGALRM, on_alarm);
    snprintf(progress, sizeof progress, "hangs without stacks\n");
    install();
    alarm(100);
    for (int workers = 1; workers <= 4; workers++) {
        refuse_none();
        wt_eq(weft_run(crowd_root, NULL, .workers = workers), 0);
    }
    alarm(0);
}

/* --- blocking threads ------------------------------------------------------------------------- */

static int return_arg(void *arg)
{
    return (int)(intptr_t)arg;
}

static atomic_int blocked, served;

static int block_once(void *arg)
{
    int rc = weft_blocking(return_arg, arg);
    wt_true(rc == 7 || rc == -EAGAIN, "%d", rc);
    atomic_fetch_add(rc == 7 ? &served : &blocked, 1);
    return 0;
}

static int many_block(void *arg)
{
    (void)arg;
    static weft_task tasks[100];
    for (int i = 0; i < 100; i++) {
        weft_spawn(&tasks[i], block_once, (void *)7);
    }
    for (int i = 0; i < 100; i++) {
        weft_await(&tasks[i]);
    }
    return 0;
}

static int block_without_threads(void *arg)
{
    refuse(THREAD_START, 1, INT32_MAX, -EAGAIN);
    many_block(arg);
    wt_eq(atomic_load(&served), 0);
    wt_eq(atomic_load(&blocked), 100, "those that counted on another's thread end too");
    refuse_none();
    many_block(arg);
    wt_eq(atomic_load(&served), 100, "and with threads they are served");
    return 0;
}

/* A cap of 1: all but one count on a thread that somebody else starts. */
Test(faults, blocking_calls_end_when_no_thread_is_to_be_had_and_work_when_one_is)
{
    install();
    for (int workers = 1; workers <= 4; workers++) {
        for (int most = 1; most <= 4; most += 3) {
            atomic_store(&served, 0);
            atomic_store(&blocked, 0);
            refuse_none();
            wt_eq(weft_run(block_without_threads, NULL, .workers = workers, .blocking_max = most),
                  0);
        }
    }
}

/* --- calls that go past the ring -------------------------------------------------------------- */

static atomic_int refused_reads;

static ssize_t pread_refused(int fd, void *buffer, size_t bytes, int64_t offset, int flags)
{
    (void)fd, (void)buffer, (void)bytes, (void)offset, (void)flags;
    atomic_fetch_add(&refused_reads, 1);
    return -EIO;
}

static int shutdown_refused(int fd, int how)
{
    (void)fd, (void)how;
    return -ENOBUFS;
}

static int read_and_shut_down(void *arg)
{
    (void)arg;
    char text[8] = "";
    int fd = weft_open("/proc/self/comm", O_RDONLY | O_CLOEXEC, 0);
    wt_ge(fd, 0);
    wt_gt(weft_pread(fd, text, sizeof text - 1, 0), 0, "the ring reads what was refused here");
    wt_eq(weft_close(fd), 0);
    wt_eq(weft_shutdown(0, SHUT_RD), -ENOBUFS);
    return 0;
}

Test(faults, a_refused_read_of_the_cache_goes_to_the_ring_and_a_refused_shutdown_is_returned)
{
    install();
    wf_sys.pread_flags = pread_refused;
    wf_sys.shutdown = shutdown_refused;
    wt_eq(weft_run(read_and_shut_down, NULL, .workers = 1), 0);
    wt_gt(atomic_load(&refused_reads), 0);
}
