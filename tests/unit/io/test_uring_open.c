/* test_uring_open.c: choosing and opening the driver where something is refused: each system call
 * at each position, whole interfaces by seccomp, memory by RLIMIT_MEMLOCK. Whatever is refused: a
 * code, a sentence, and nothing left behind. */
#define _GNU_SOURCE
#include "io/io.h"
#include "tests/unit/io/rig.h"
#include <dirent.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 3

/* --- what must not be left behind ------------------------------------------------------------- */

static int open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

static int ring_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, "io_uring") != NULL;
    }
    fclose(maps);
    return count;
}

/* --- failing call number k -------------------------------------------------------------------- */

static struct wf_sys real;
static void *(*real_map)(int fd, size_t bytes, uint64_t offset);
/* of fallible functions, since `arm`; the probe makes some on its own thread */
static WF_ATOMIC(int) calls;
static int failing_call; /* 0: none */
static int failing_rc;
static const char *failed_name;
static WF_ATOMIC(int) allocated;

static bool fails(const char *name)
{
    if (wf_add_relaxed(&calls, 1) + 1 != failing_call) {
        return false;
    }
    failed_name = name;
    return true;
}

static int fault_setup(unsigned entries, void *params)
{
    return fails("io_uring_setup") ? failing_rc : real.uring_setup(entries, params);
}

static int fault_register(int fd, unsigned opcode, void *arg, unsigned count)
{
    return fails("io_uring_register") ? failing_rc : real.uring_register(fd, opcode, arg, count);
}

static int fault_enter(int fd, unsigned submit, unsigned min, unsigned flags, void *arg,
                       size_t bytes)
{
    return fails("io_uring_enter") ? failing_rc
                                   : real.uring_enter(fd, submit, min, flags, arg, bytes);
}

static int fault_eventfd(void)
{
    return fails("eventfd") ? failing_rc : real.eventfd();
}

static int fault_advise(void *address, size_t bytes, int advice)
{
    return fails("madvise") ? failing_rc : real.advise(address, bytes, advice);
}

static int fault_thread(pthread_t *thread, void *(*body)(void *), void *arg)
{
    return fails("pthread_create") ? failing_rc : real.thread_start(thread, body, arg);
}

static void *fault_map(int fd, size_t bytes, uint64_t offset)
{
    return fails("mmap") ? NULL : real_map(fd, bytes, offset);
}

static void *fault_alloc(size_t alignment, size_t bytes)
{
    void *memory = fails("malloc") ? NULL : real.alloc(alignment, bytes);
    wf_add_relaxed(&allocated, memory != NULL);
    return memory;
}

static void fault_release(void *memory)
{
    wf_sub_relaxed(&allocated, memory != NULL);
    real.release(memory);
}

static void arm(int call, int rc)
{
    if (real.alloc == NULL) {
        real = wf_sys;
        real_map = wf_ring_map;
    }
    wf_sys.uring_setup = fault_setup;
    wf_sys.uring_register = fault_register;
    wf_sys.uring_enter = fault_enter;
    wf_sys.eventfd = fault_eventfd;
    wf_sys.advise = fault_advise;
    wf_sys.thread_start = fault_thread;
    wf_sys.alloc = fault_alloc;
    wf_sys.release = fault_release;
    wf_ring_map = fault_map;
    failing_call = call;
    failing_rc = rc;
    failed_name = NULL;
    wf_store_relaxed(&calls, 0);
}

/* Choice and open, as a runtime does them; then close. */
static int choose_and_open(char *why, size_t why_bytes)
{
    struct wf_driver *driver;
    why[0] = '\0';
    int rc = wf_io_driver_new("uring", &driver, why, why_bytes);
    wt_eq(driver != NULL, rc == 0);
    if (rc < 0) {
        return rc;
    }
    rc = driver->ops->open(driver, WORKERS);
    if (rc < 0) {
        wf_io_driver_why(driver, why, why_bytes);
    } else {
        driver->ops->close(driver);
    }
    wf_io_driver_free(driver);
    return rc;
}

static void check_each_call_refused(int refusal)
{
    char why[256];
    arm(0, 0);
    wt_eq(choose_and_open(why, sizeof why), 0);
    int count = wf_load_relaxed(&calls);
    wt_gt(count, 20);
    int descriptors = open_descriptors();
    int survived = 0;
    for (int k = 1; k <= count; k++) {
        arm(k, refusal);
        int rc = choose_and_open(why, sizeof why);
        wt_true(failed_name != NULL, "call %d was not made", k);
        wt_eq(wf_load_relaxed(&allocated), 0, "memory, call %d, %s", k, failed_name);
        wt_eq(open_descriptors(), descriptors, "call %d, %s", k, failed_name);
        wt_eq(ring_mappings(), 0, "call %d, %s", k, failed_name);
        if (rc == 0) {
            survived++; /* a smaller ring did, or an option that is not needed */
        } else {
            wt_true(strstr(why, failed_name) != NULL, "\"%s\" does not name %s", why, failed_name);
            wt_lt(strlen(why), sizeof why - 1, "a sentence that was cut: %s", why);
        }
        arm(0, 0);
        wt_eq(choose_and_open(why, sizeof why), 0, "after call %d, %s: %s", k, failed_name, why);
    }
    wt_lt(survived, count / 2);
    wt_eq(wf_load_relaxed(&allocated), 0);
}

Test(open, each_call_refused_for_memory_leaves_nothing_behind)
{
    check_each_call_refused(-ENOMEM);
}

Test(open, each_call_refused_for_permission_leaves_nothing_behind)
{
    check_each_call_refused(-EPERM);
}

Test(open, each_call_refused_for_descriptors_leaves_nothing_behind)
{
    check_each_call_refused(-EMFILE);
}

Test(open, a_ring_that_gets_no_memory_is_made_smaller)
{
    real = wf_sys;
    real_map = wf_ring_map;
    struct wf_driver *driver = wf_uring_driver_new();
    /* malloc, eventfd, malloc, then the first set-up. */
    arm(4, -ENOMEM);
    wt_eq(driver->ops->open(driver, WORKERS), 0);
    wt_str_eq(failed_name, "io_uring_setup");
    struct wf_uring *rings = wf_container_of(driver, struct wf_uring_driver, io.base)->rings;
    for (int i = 0; i < WORKERS; i++) {
        wt_eq(rings[i].ring.entries_max, 64);
        wt_eq(rings[i].ring.completions_max, 256);
    }
    driver->ops->close(driver);
    wf_uring_driver_free(driver);
}

/* --- the choice ------------------------------------------------------------------------------- */

static const char *chosen; /* the driver's name; "": none */

static int choose(const char *name, char *why, size_t why_bytes)
{
    struct wf_driver *driver;
    int rc = wf_io_driver_new(name, &driver, why, why_bytes);
    wt_eq(driver != NULL, rc == 0);
    chosen = driver != NULL ? driver->ops->name : "";
    if (driver != NULL) {
        wf_io_driver_why(driver, why, why_bytes);
    }
    wf_io_driver_free(driver);
    return rc;
}

/* "uring" is refused with this code; "auto" takes epoll and has the same sentence. */
static void check_refused(int expected, const char *word)
{
    char why[256];
    char why_auto[256];
    wt_eq(choose("uring", why, sizeof why), expected);
    wt_true(strstr(why, word) != NULL, "\"%s\" does not name %s", why, word);
    wt_lt(strlen(why), sizeof why - 1);
    wt_eq(choose("auto", why_auto, sizeof why_auto), 0);
    wt_str_eq(chosen, "epoll");
    wt_str_eq(why_auto, why);
}

Test(choice, knows_its_names)
{
    char why[256];
    wt_eq(choose("auto", why, sizeof why), 0);
    wt_str_eq(chosen, "io_uring");
    wt_str_eq(why, "");
    wt_eq(choose(NULL, why, sizeof why), 0);
    wt_str_eq(chosen, "io_uring");
    wt_eq(choose("uring", why, sizeof why), 0);
    wt_str_eq(chosen, "io_uring");
    wt_eq(choose("epoll", why, sizeof why), 0);
    wt_str_eq(chosen, "epoll");
    wt_str_eq(why, "");
    wt_eq(choose("aio", why, sizeof why), -EINVAL);
    wt_str_eq(why, "unknown I/O backend \"aio\": it is \"auto\", \"uring\" or \"epoll\".");
}

Test(choice, sentence_is_cut_to_the_room_that_there_is)
{
    char why[8] = "xxxxxxx";
    wt_eq(choose("aio", why, sizeof why), -EINVAL);
    wt_str_eq(why, "unknown");
}

static int deaf_enter(int fd, unsigned submit, unsigned min, unsigned flags, void *arg,
                      size_t bytes)
{
    (void)fd, (void)min, (void)flags, (void)arg, (void)bytes;
    return (int)submit; /* as an emulation might: accepts and completes nothing */
}

Test(choice, ring_that_completes_nothing_is_refused)
{
    wf_sys.uring_enter = deaf_enter;
    check_refused(-ENOSYS, "io_uring_enter");
}

static int setup_without_features(unsigned entries, void *params)
{
    int rc = real.uring_setup(entries, params);
    memset((char *)params + 20, 0, 4); /* struct io_uring_params.features */
    return rc;
}

Test(choice, old_kernel_is_refused)
{
    real = wf_sys;
    wf_sys.uring_setup = setup_without_features;
    int descriptors = open_descriptors();
    check_refused(-ENOSYS, "6.1");
    wt_eq(open_descriptors(), descriptors);
}

static int probe_without_statx(int fd, unsigned opcode, void *arg, unsigned count)
{
    int rc = real.uring_register(fd, opcode, arg, count);
    if (opcode == 8) {                               /* IORING_REGISTER_PROBE */
        ((unsigned char *)arg)[16 + 21 * 8 + 2] = 0; /* .ops[IORING_OP_STATX].flags */
    }
    return rc;
}

Test(choice, missing_operation_is_refused)
{
    real = wf_sys;
    wf_sys.uring_register = probe_without_statx;
    check_refused(-ENOSYS, "6.1");
}

/* --- forbidden by seccomp --------------------------------------------------------------------- */

/* From now on this process gets `error` from the system calls from `first` to `last`. */
static void forbid(unsigned first, unsigned last, unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = WF_COUNT(filter), .filter = filter};
    wt_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    wt_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void check_forbidden(unsigned first, unsigned last, unsigned error, int expected,
                            const char *name)
{
    forbid(first, last, error);
    int descriptors = open_descriptors();
    check_refused(expected, name);
    wt_eq(open_descriptors(), descriptors);
    wt_eq(ring_mappings(), 0);
}

Test(denied, all_of_io_uring_as_containers_do)
{
    check_forbidden(SYS_io_uring_setup, SYS_io_uring_register, EPERM, -EPERM, "io_uring_setup");
}

Test(denied, hidden_as_old_kernels_do)
{
    check_forbidden(SYS_io_uring_setup, SYS_io_uring_register, ENOSYS, -ENOSYS, "io_uring_setup");
}

Test(denied, only_enter)
{
    check_forbidden(SYS_io_uring_enter, SYS_io_uring_enter, EPERM, -EPERM, "io_uring_enter");
}

Test(denied, only_register)
{
    check_forbidden(SYS_io_uring_register, SYS_io_uring_register, EPERM, -EPERM,
                    "io_uring_register");
}

Test(denied, filter_that_comes_after_the_start_is_named, .init = rig_open, .signal = SIGABRT)
{
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    forbid(SYS_io_uring_enter, SYS_io_uring_enter, EPERM);
    rig_poll();
}

/* --- RLIMIT_MEMLOCK --------------------------------------------------------------------------- */

/* As a user without privileges; skips the test if it cannot become one. */
static void limit_locked_memory(size_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    wt_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) {
        wt_skip("cannot give up root");
    }
}

static int open_workers(int workers, char *why, size_t why_bytes)
{
    struct wf_driver *driver;
    int rc = wf_io_driver_new("uring", &driver, why, why_bytes);
    if (rc < 0) {
        return rc;
    }
    rc = driver->ops->open(driver, workers);
    if (rc < 0) {
        wf_io_driver_why(driver, why, why_bytes);
    } else {
        driver->ops->close(driver);
    }
    wf_io_driver_free(driver);
    return rc;
}

Test(memlock, none_is_refused_with_the_remedy)
{
    limit_locked_memory(0);
    char why[256] = "";
    int rc = open_workers(1, why, sizeof why);
    if (rc == 0) {
        wt_skip("this kernel does not charge rings");
    }
    wt_eq(rc, -ENOMEM);
    wt_true(strstr(why, "RLIMIT_MEMLOCK") != NULL, "%s", why);
}

Test(memlock, little_gives_smaller_rings_until_there_is_none_left)
{
    limit_locked_memory(65536);
    char why[256] = "";
    wt_eq(open_workers(1, why, sizeof why), 0, "%s", why);
    int descriptors = open_descriptors();
    int rc = open_workers(100, why, sizeof why);
    if (rc == 0) {
        wt_skip("this kernel does not charge rings");
    }
    wt_eq(rc, -ENOMEM);
    wt_true(strstr(why, "RLIMIT_MEMLOCK") != NULL, "%s", why);
    wt_eq(open_descriptors(), descriptors);
    wt_eq(ring_mappings(), 0);
}

/* --- fork ------------------------------------------------------------------------------------- */

Test(fork, child_does_not_have_the_rings_memory, .init = rig_open, .fini = rig_close)
{
    wt_ge(ring_mappings(), 2);
    pid_t child = fork();
    if (child == 0) {
        _exit(ring_mappings());
    }
    int status;
    wt_eq(waitpid(child, &status, 0), child);
    wt_true(WIFEXITED(status));
    wt_eq(WEXITSTATUS(status), 0);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_NOP}), 0);
}
