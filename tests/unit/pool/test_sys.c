/* test_sys.c: the system-call table, the end of the process, and what the machine is said to
 * offer. */
#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/base/host.h"
#include "pool/base/sys.h"
#include "tests/support/wt.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

Test(sys, errors_are_negative_and_errno_is_not_the_way)
{
    wt_eq(wf_sys.close(-1), -EBADF);
    wt_eq(wf_sys.eventfd_add(-1, 1), -EBADF);
    wt_eq(wf_sys.shutdown(-1, 0), -EBADF);
    char byte;
    ssize_t n = wf_sys.pread_flags(-1, &byte, 1, 0, 0);
    wt_true(n == -EBADF || n == -ENOSYS, "%zd", n); /* emulators do not know preadv2 */
    wt_eq(wf_sys.protect((void *)1, 4096, PROT_READ), -EINVAL);
    wt_false(wf_sys.map(SIZE_MAX / 2, PROT_READ));
    errno = 5;
    uint32_t word = 1;
    wt_eq(wf_sys.futex_wait(&word, 2, INT64_MAX), -EAGAIN);
    wt_lt(wf_sys.uring_register(-1, 0, NULL, 0), 0);
    wt_eq(errno, 5, "these are called while tasks run");
}

Test(sys, memory_is_zero_and_aligned)
{
    char *memory = wf_sys.map(65536, PROT_READ | PROT_WRITE);
    wt_eq(memory[65535], 0);
    wt_eq(wf_sys.unmap(memory, 65536), 0);
    void *block = wf_sys.alloc(128, 100);
    wt_eq((uintptr_t)block % 128, 0u);
    wf_sys.release(block);
    wt_false(wf_sys.alloc(128, SIZE_MAX));
}

Test(sys, a_wait_ends_at_its_deadline_and_a_past_one_at_once)
{
    uint32_t word = 0;
    int64_t start = wf_sys.now_ns();
    wt_eq(wf_sys.futex_wait(&word, 0, start + 2000000), -ETIMEDOUT);
    wt_ge(wf_sys.now_ns(), start + 2000000);
    wt_eq(wf_sys.futex_wait(&word, 0, 1), -ETIMEDOUT);
    wt_eq(wf_sys.futex_wait(&word, 0, 0), -ETIMEDOUT);
    wt_eq(wf_sys.futex_wait(&word, 0, -1), -ETIMEDOUT);
    wt_eq(wf_sys.futex_wait(&word, 0, INT64_MIN), -ETIMEDOUT);
}

/* --- the asymmetric pair of fences --- */

#define FENCED_ROUNDS 40000
#define FENCED_NS     INT64_C(300000000) /* and no longer, on a machine that is busy */
#define FENCED_DELAYS 64
#define FENCED_END    UINT32_MAX

typedef WF_ATOMIC(uint32_t) fenced_word;
static fenced_word light, heavy, round_begun, round_ended;
static uint32_t light_saw; /* in the round that has ended */

/* Until it is other than `old`. Ends: the other side goes on. */
static uint32_t await_round(fenced_word *round, uint32_t old)
{
    uint32_t now = wf_load_acquire(round);
    for (int spins = 0; now == old; now = wf_load_acquire(round)) {
        wf_cpu_relax();
        if (++spins % 128 == 0) {
            sched_yield();
        }
    }
    return now;
}

/* The side that is to cost nothing. */
static void *light_side(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; (i = await_round(&round_begun, i)) != FENCED_END;) {
        wf_store_relaxed(&light, i);
        wf_fence_light();
        light_saw = wf_load_relaxed(&heavy);
        wf_store_release(&round_ended, i);
    }
    return NULL;
}

Test(sys, one_of_two_sees_the_other_by_a_light_fence_and_a_heavy_one, .timeout = 60)
{
    if (!wf_sys_prepare_fences()) {
        return; /* an old kernel, or a sandbox: nobody uses them there */
    }
    pthread_t thread;
    wt_eq(wf_sys.thread_start(&thread, light_side, NULL), 0);
    int both_blind = 0;
    int64_t end_ns = wf_sys.now_ns() + FENCED_NS;
    for (uint32_t i = 1; i <= FENCED_ROUNDS && wf_sys.now_ns() < end_ns; i++) {
        wf_store_release(&round_begun, i);
        for (uint32_t j = 0; j < i % FENCED_DELAYS; j++) { /* now and then both store at once */
            wf_cpu_relax();
        }
        wf_store_relaxed(&heavy, i);
        wf_fence_heavy();
        uint32_t seen = wf_load_relaxed(&light);
        (void)await_round(&round_ended, i - 1);
        both_blind += seen != i && light_saw != i;
    }
    wf_store_release(&round_begun, FENCED_END);
    wt_eq(wf_sys.thread_join(thread), 0);
    wt_eq(both_blind, 0);
}

static int no_barrier(void)
{
    return -ENOSYS;
}

Test(sys, a_kernel_without_such_a_fence_says_so)
{
    int (*prepare)(void) = wf_sys.barrier_prepare;
    wf_sys.barrier_prepare = no_barrier;
    wt_false(wf_sys_prepare_fences());
    wf_sys.barrier_prepare = prepare;
}

static uint32_t shared_word;
static sigset_t seen_mask;

static void *wake_body(void *arg)
{
    (void)arg;
    pthread_sigmask(SIG_SETMASK, NULL, &seen_mask);
    __atomic_store_n(&shared_word, 1, __ATOMIC_RELAXED);
    (void)wf_sys.futex_wake(&shared_word, 1);
    return NULL;
}

Test(sys, a_thread_starts_without_the_programs_signals_and_wakes_a_waiter)
{
    pthread_t thread;
    wt_eq(wf_sys.thread_start(&thread, wake_body, NULL), 0);
    while (__atomic_load_n(&shared_word, __ATOMIC_RELAXED) == 0) {
        (void)wf_sys.futex_wait(&shared_word, 0, INT64_MAX);
    }
    pthread_join(thread, NULL);
    wt_true(sigismember(&seen_mask, SIGTERM));
    wt_true(sigismember(&seen_mask, SIGALRM));
    wt_false(sigismember(&seen_mask, SIGSEGV), "the overflow message needs it");
    wt_false(sigismember(&seen_mask, SIGABRT));
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    wt_false(sigismember(&mine, SIGTERM), "the starter's mask is as before");
}

/* ---- slices ---- */

#define SLICE_NS INT64_C(100000)

/* Of this thread, as the kernel says; 0: it does not. The first 48 bytes of struct sched_attr. */
static uint64_t slice_now(int *nice_value)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {0};
    if (syscall(SYS_sched_getattr, 0, &attributes, (unsigned)sizeof attributes, 0) != 0) {
        return 0;
    }
    *nice_value = attributes.nice;
    return attributes.policy == SCHED_OTHER ? attributes.runtime : 0;
}

static struct sliced {
    int rc, again_rc, nice_before, nice_after, nice_below;
    uint64_t before_ns, after_ns, below_ns; /* below: a thread that it starts */
} sliced;

static void *below_body(void *arg)
{
    (void)arg;
    sliced.below_ns = slice_now(&sliced.nice_below);
    return NULL;
}

static void *slice_body(void *arg)
{
    (void)arg;
    pthread_t below;
    sliced.before_ns = slice_now(&sliced.nice_before);
    sliced.rc = wf_sys.thread_slice(SLICE_NS);
    sliced.after_ns = slice_now(&sliced.nice_after);
    sliced.again_rc = wf_sys.thread_slice(SLICE_NS);
    wt_eq(wf_sys.thread_start(&below, below_body, NULL), 0);
    return (void *)(intptr_t)wf_sys.thread_join(below);
}

static void run_sliced(void)
{
    pthread_t thread;
    wt_eq(wf_sys.thread_start(&thread, slice_body, NULL), 0);
    wt_eq(wf_sys.thread_join(thread), 0);
}

/* Where the kernel takes it; else nothing has changed. */
Test(sys, a_slice_is_the_threads_own_and_changes_nothing_else)
{
    run_sliced();
    wt_eq(sliced.nice_after, sliced.nice_before);
    wt_eq(sliced.nice_below, sliced.nice_before);
    wt_eq(sliced.below_ns, sliced.before_ns, "what it starts has the kernel's");
    if (sliced.rc == 0) {
        wt_eq(sliced.after_ns, (uint64_t)SLICE_NS);
        wt_eq(sliced.again_rc, -EPERM, "chosen before");
    } else {
        wt_eq(sliced.after_ns, sliced.before_ns);
    }
}

static void *batch_body(void *arg)
{
    int *rc = arg;
    struct sched_param none = {0};
    if (pthread_setschedparam(pthread_self(), SCHED_BATCH, &none) == 0) {
        *rc = wf_sys.thread_slice(SLICE_NS);
    }
    return NULL;
}

Test(sys, a_thread_with_a_policy_of_its_own_keeps_its_slice)
{
    pthread_t thread;
    int rc = -EPERM; /* where that policy is refused there is nothing to see */
    wt_eq(wf_sys.thread_start(&thread, batch_body, &rc), 0);
    wt_eq(wf_sys.thread_join(thread), 0);
    wt_true(rc == -EPERM || rc == -ENOSYS, "%d", rc);
}

Test(sys, an_eventfd_counts_and_does_not_block)
{
    int fd = wf_sys.eventfd();
    wt_ge(fd, 0);
    uint64_t count;
    wt_eq(read(fd, &count, sizeof count), -1);
    wt_eq(errno, EAGAIN);
    wt_eq(wf_sys.close(fd), 0);
}

/* ---- wf_panic ---- */

static void panic_output(const char *message, char *text, size_t n)
{
    int ends[2];
    wt_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        wf_panic("f.c", 7, "%s", message);
    }
    close(ends[1]);
    size_t at = 0;
    ssize_t got;
    while ((got = read(ends[0], text + at, n - 1 - at)) > 0) {
        at += (size_t)got;
    }
    text[at] = 0;
    close(ends[0]);
    int status;
    wt_eq(waitpid(child, &status, 0), child);
    wt_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

Test(sys, a_panic_says_where_and_aborts)
{
    char text[4096];
    panic_output("the sky fell", text, sizeof text);
    wt_true(strstr(text, "weft: f.c:7: the sky fell\n") == text, "%s", text);
    char message[3000];
    memset(message, 'x', sizeof message - 1);
    message[sizeof message - 1] = 0;
    panic_output(message, text, sizeof text);
    wt_eq(strncmp(text, "weft: f.c:7: xxxxxx", 19), 0);
    wt_true(strchr(text, '\n'), "a cut line is still a line");
}

/* ---- the machine ---- */

Test(sys, the_affinity_mask_bounds_the_cpu_count)
{
    int all = wf_sys_cpu_count();
    wt_ge(all, 1);
    cpu_set_t set, former;
    wt_eq(sched_getaffinity(0, sizeof former, &former), 0);
    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &former)) {
            CPU_SET(i, &set);
            break;
        }
    }
    wt_eq(sched_setaffinity(0, sizeof set, &set), 0);
    wt_eq(wf_sys_cpu_count(), 1);
    sched_setaffinity(0, sizeof former, &former);
    wt_eq(wf_sys_cpu_count(), all);
}

Test(sys, limits_are_plausible)
{
    size_t page = wf_sys_page_bytes();
    wt_true(page >= 4096 && (page & (page - 1)) == 0);
    wt_ge(wf_host_mappings_max(), 1024u);
}

/* A machine made of files. */
static char root[64];

static void machine_file(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    wt_true(file, "%s", full);
    fputs(text, file);
    fclose(file);
}

static void machine(const char *cgroup, const char *mountinfo)
{
    snprintf(root, sizeof root, "/tmp/weft-sys-XXXXXX");
    wt_true(mkdtemp(root));
    machine_file("/proc/self/cgroup", cgroup);
    machine_file("/proc/self/mountinfo", mountinfo);
}

static void machine_end(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", root);
    wt_eq(system(command), 0);
}

#define UNIFIED                                                                              \
    "25 1 0:22 / /proc rw - proc proc rw\n30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - " \
    "cgroup2 cgroup2 rw\n"
#define LEGACY                                                                      \
    "31 25 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"             \
    "32 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup " \
    "rw,cpu,cpuacct\n"

Test(sys, without_control_groups_there_is_no_quota)
{
    wt_eq(wf_host_quota_cpus("/nonexistent"), INT_MAX);
    machine("", "");
    wt_eq(wf_host_quota_cpus(root), INT_MAX);
    machine_end();
    machine("0::/a\n", UNIFIED);
    wt_eq(wf_host_quota_cpus(root), INT_MAX, "no cpu.max: the controller is off");
    machine_end();
}

Test(sys, the_smallest_quota_on_the_way_up_counts_rounded_up)
{
    machine("0::/slice/group\n", UNIFIED);
    machine_file("/sys/fs/cgroup/slice/group/cpu.max", "max 100000\n");
    wt_eq(wf_host_quota_cpus(root), INT_MAX);
    machine_file("/sys/fs/cgroup/slice/cpu.max", "250000 100000\n");
    wt_eq(wf_host_quota_cpus(root), 3);
    machine_file("/sys/fs/cgroup/slice/group/cpu.max", "200000 100000\n");
    wt_eq(wf_host_quota_cpus(root), 2);
    machine_file("/sys/fs/cgroup/slice/group/cpu.max", "5000 100000\n");
    wt_eq(wf_host_quota_cpus(root), 1, "a part of a CPU is one");
    machine_end();
}

Test(sys, version_one_is_read_where_its_cpu_controller_is_mounted)
{
    machine("9:cpuset:/other\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n0::/x\n", LEGACY);
    machine_file("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "150000\n");
    machine_file("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "50000\n");
    wt_eq(wf_host_quota_cpus(root), 3);
    machine_file("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
    wt_eq(wf_host_quota_cpus(root), INT_MAX);
    machine_end();
}

/* In a container without a namespace of its own, the mount shows a part of the hierarchy. */
Test(sys, a_mounted_part_of_the_hierarchy_is_entered_below_its_root)
{
    machine("0::/docker/abc/inner\n",
            "30 25 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    machine_file("/sys/fs/cgroup/inner/cpu.max", "400000 100000\n");
    wt_eq(wf_host_quota_cpus(root), 4);
    machine_end();
    machine("0::/elsewhere\n", "30 25 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    machine_file("/sys/fs/cgroup/cpu.max", "600000 100000\n");
    wt_eq(wf_host_quota_cpus(root), 6, "not visible from here: the mounted group is the nearest");
    machine_end();
}
