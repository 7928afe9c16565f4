/* sys.c: the operating system behind wf_sys, the end of the process, and what the machine offers
 * (host.h).
 *
 * The only file that talks to libc about memory, threads and time, and the only one with
 * processor-dependent C. Futex and io_uring calls are made directly: libc's syscall() would write
 * errno, which belongs to the task that runs. */
#include "pool/base/sys.h"
#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/base/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <netdb.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define MAPPINGS_MAX_DEFAULT 65530 /* kernel: DEFAULT_MAX_MAP_COUNT */
#define AFFINITY_CPUS_MAX    65536 /* more than any: then the mask is taken for unreadable */
#define PATH_BYTES           1024
#define DIRECTORY_BYTES      (3 * PATH_BYTES) /* root, mount point and group */
#define LINE_BYTES           2048 /* of mountinfo; longer lines are cut, and then do not match */

/* ---- system calls ---- */

/* The kernel's own result: >= 0, or -errno. */
static long raw_syscall(long number, long a, long b, long c, long d, long e, long f)
{
#if WF_X86_64
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
#endif
}

static int or_errno(int result)
{
    return result < 0 ? -errno : result;
}

static void *sys_map(size_t bytes, int prot)
{
    void *address = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

static int sys_unmap(void *address, size_t bytes)
{
    return or_errno(munmap(address, bytes));
}

static int sys_protect(void *address, size_t bytes, int prot)
{
    return or_errno(mprotect(address, bytes, prot));
}

static int sys_advise(void *address, size_t bytes, int advice)
{
    return or_errno(madvise(address, bytes, advice));
}

static void *sys_alloc(size_t alignment, size_t bytes)
{
    /* C11 wants a multiple of the alignment; so do some allocators. */
    return bytes > SIZE_MAX - alignment
               ? NULL
               : aligned_alloc(alignment, (bytes + alignment - 1) & ~(alignment - 1));
}

static void sys_release(void *memory)
{
    free(memory);
}

/* The program's signals stay on the program's threads, so that no handler runs on a task's stack,
 * and no system call of a worker is interrupted. What a thread raises by its own code must reach
 * it, and so must a profiler. */
static int sys_thread_start(pthread_t *thread, void *(*body)(void *), void *arg)
{
    sigset_t blocked, former;
    sigfillset(&blocked);
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
    for (size_t i = 0; i < WF_COUNT(own); i++) {
        sigdelset(&blocked, own[i]);
    }
    pthread_sigmask(SIG_BLOCK, &blocked, &former);
    int error = pthread_create(thread, NULL, body, arg);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return -error;
}

static int sys_thread_join(pthread_t thread)
{
    return -pthread_join(thread, NULL);
}

/* As sched_setattr(2) takes it: not every libc has it. */
struct sched_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

/* What is forked begins with the kernel's own slice, and without a priority above the common one,
 * so this is not for a thread that has such a one: the flag cannot be taken back without
 * privilege. */
#define RESET_ON_FORK UINT64_C(1)

static int sys_thread_slice(int64_t ns)
{
    struct sched_attributes attributes = {.size = sizeof attributes};
    long rc =
        raw_syscall(SYS_sched_getattr, 0, (long)&attributes, (long)sizeof attributes, 0, 0, 0);
    if (rc < 0) {
        return (int)rc;
    }
    if (attributes.runtime == 0 && attributes.policy == SCHED_OTHER) {
        return -EOPNOTSUPP;
    }
    if (attributes.policy != SCHED_OTHER || attributes.nice < 0 ||
        attributes.runtime <= (uint64_t)ns) {
        return -EPERM;
    }
    attributes.flags |= RESET_ON_FORK;
    attributes.runtime = (uint64_t)ns;
    return (int)raw_syscall(SYS_sched_setattr, 0, (long)&attributes, 0, 0, 0, 0);
}

static int64_t sys_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sys_nap(int64_t ns)
{
    struct timespec duration = {ns / 1000000000, ns % 1000000000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, NULL); /* a signal ends it early */
}

static int sys_futex_wait(void *word, uint32_t expected, int64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = deadline_ns / 1000000000,
                                .tv_nsec = deadline_ns % 1000000000};
    if (deadline_ns <= 0) {
        deadline = (struct timespec){0}; /* long past; a negative time would be -EINVAL */
    }
    /* WAIT_BITSET: the one with an absolute deadline, on CLOCK_MONOTONIC. */
    return (int)raw_syscall(SYS_futex, (long)word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                            deadline_ns == INT64_MAX ? 0 : (long)&deadline, 0,
                            (long)FUTEX_BITSET_MATCH_ANY);
}

static int sys_futex_wake(void *word, int count)
{
    return (int)raw_syscall(SYS_futex, (long)word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, 0, 0, 0);
}

static int sys_barrier_prepare(void)
{
    return (int)raw_syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0,
                            0);
}

static int sys_barrier(void)
{
    return (int)raw_syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
}

/* Through a pipe: the kernel checks the address, with no call that a sandbox would forbid. A pipe
 * of its own each time: dumps are rare, and may come from any thread at once. By syscall(2), so
 * that ThreadSanitizer does not see a read that races by design. */
static int sys_peek(void *to, const void *from, size_t bytes)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
        return -errno;
    }
    int rc = syscall(SYS_write, fds[1], from, bytes) == (long)bytes &&
                     read(fds[0], to, bytes) == (ssize_t)bytes
                 ? 0
                 : -EFAULT;
    (void)close(fds[0]);
    (void)close(fds[1]);
    return rc;
}

int wf_sys_above_standard(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO) {
        return fd;
    }
    long moved = raw_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1, 0, 0, 0);
    (void)raw_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
    return (int)moved;
}

static int sys_eventfd(void)
{
    return wf_sys_above_standard(or_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
}

static int sys_eventfd_add(int fd, uint64_t n)
{
    long written = raw_syscall(SYS_write, fd, (long)&n, sizeof n, 0, 0, 0);
    return written < 0 ? (int)written : 0;
}

static int sys_shutdown(int fd, int how)
{
    return (int)raw_syscall(SYS_shutdown, fd, how, 0, 0, 0, 0);
}

static int sys_resolve(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    errno = 0;
    int rc = getaddrinfo(host, service, hints, out);
    /* a file or a server that it could not open for want of these it takes for one that is not
     * there */
    if (rc != 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
        return -errno;
    }
    switch (rc) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return -ENOENT;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_FAMILY:
        return -EAFNOSUPPORT;
    case EAI_SERVICE:
    case EAI_SOCKTYPE:
    case EAI_BADFLAGS:
        return -EINVAL;
    case EAI_OVERFLOW:
        return -EOVERFLOW;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : -EIO;
    default:
        return -EIO;
    }
}

static ssize_t sys_pread_flags(int fd, void *buffer, size_t bytes, int64_t offset, int flags)
{
    struct iovec part = {.iov_base = buffer, .iov_len = bytes};
    /* the offset's upper half has a register of its own, which 64-bit kernels ignore */
    return raw_syscall(SYS_preadv2, fd, (long)&part, 1, offset, 0, flags);
}

static int sys_close(int fd)
{
    return or_errno(close(fd));
}

/* --- child processes */

/* What the child is to have as 0, 1 and 2 must not be one of these numbers itself, or the first
 * copy made would hide the source of the next: the descriptor, or a copy of it, or -errno. */
static int spawn_source(int fd, int target)
{
    return fd == target || fd > STDERR_FILENO ? fd : or_errno(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

/* 0 or an errno. `copies`: -1 each at first; to be closed by the caller. */
static int spawn_descriptors(posix_spawn_file_actions_t *actions, const struct wf_spawn *spawn,
                             int copies[3])
{
    int error = 0;
    for (int i = 0; i < 3 && error == 0; i++) {
        if (spawn->fds[i] < 0) {
            error = posix_spawn_file_actions_addopen(actions, i, "/dev/null",
                                                     i == 0 ? O_RDONLY : O_WRONLY, 0);
        } else if (spawn->fds[i] != i) {
            int source = spawn_source(spawn->fds[i], i);
            copies[i] = source != spawn->fds[i] ? source : -1;
            error = source < 0 ? -source : posix_spawn_file_actions_adddup2(actions, source, i);
        }
    }
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    if (error == 0 && !spawn->inherit) {
        error = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    }
#endif
    return error;
}

static int spawn_attributes(posix_spawnattr_t *attributes, const struct wf_spawn *spawn)
{
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    (void)posix_spawnattr_setsigmask(attributes, &none);
    (void)posix_spawnattr_setsigdefault(attributes, &defaults);
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    return posix_spawnattr_setflags(attributes,
                                    (short)(flags | (spawn->group ? POSIX_SPAWN_SETPGROUP : 0)));
}

static int sys_spawn(const struct wf_spawn *spawn)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int copies[3] = {-1, -1, -1};
    pid_t pid = 0;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        return -error;
    }
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        error = spawn_attributes(&attributes, spawn);
        error = error != 0 ? error : spawn_descriptors(&actions, spawn, copies);
        if (error == 0 && spawn->cwd != NULL) {
            error = posix_spawn_file_actions_addchdir_np(&actions, spawn->cwd);
        }
        if (error == 0) {
            error = posix_spawnp(&pid, spawn->file, &actions, &attributes, spawn->argv,
                                 spawn->env != NULL ? spawn->env : environ);
        }
        (void)posix_spawnattr_destroy(&attributes);
    }
    for (int i = 0; i < 3; i++) {
        if (copies[i] >= 0) {
            (void)close(copies[i]);
        }
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return error != 0 ? -error : pid;
}

static int sys_uring_setup(unsigned entries, void *params)
{
    return wf_sys_above_standard(
        (int)raw_syscall(SYS_io_uring_setup, entries, (long)params, 0, 0, 0, 0));
}

static int sys_uring_enter(int fd, unsigned submit, unsigned min_complete, unsigned flags,
                           void *arg, size_t arg_bytes)
{
    return (int)raw_syscall(SYS_io_uring_enter, fd, submit, min_complete, flags, (long)arg,
                            (long)arg_bytes);
}

static int sys_uring_register(int fd, unsigned opcode, void *arg, unsigned count)
{
    return (int)raw_syscall(SYS_io_uring_register, fd, opcode, (long)arg, count, 0, 0);
}

struct wf_sys wf_sys = {
    .map = sys_map,
    .unmap = sys_unmap,
    .protect = sys_protect,
    .advise = sys_advise,
    .alloc = sys_alloc,
    .release = sys_release,
    .thread_start = sys_thread_start,
    .thread_join = sys_thread_join,
    .thread_slice = sys_thread_slice,
    .now_ns = sys_now_ns,
    .nap = sys_nap,
    .futex_wait = sys_futex_wait,
    .futex_wake = sys_futex_wake,
    .barrier_prepare = sys_barrier_prepare,
    .barrier = sys_barrier,
    .peek = sys_peek,
    .eventfd = sys_eventfd,
    .eventfd_add = sys_eventfd_add,
    .close = sys_close,
    .shutdown = sys_shutdown,
    .pread_flags = sys_pread_flags,
    .resolve = sys_resolve,
    .resolved = freeaddrinfo,
    .call = raw_syscall,
    .spawn = sys_spawn,
    .uring_setup = sys_uring_setup,
    .uring_enter = sys_uring_enter,
    .uring_register = sys_uring_register,
};

/* ---- the end ---- */

void wf_panic(const char *file, int line, const char *format, ...)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "weft: %s:%d: ", file, line);
    size_t at = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    va_list args;
    va_start(args, format);
    n = vsnprintf(text + at, sizeof text - at, format, args);
    va_end(args);
    at += n < 0 ? 0 : (size_t)n < sizeof text - at ? (size_t)n : sizeof text - at - 1;
    if (at == sizeof text - 1) {
        at--; /* cut: keep room for the line's end */
    }
    text[at++] = '\n';
    if (write(STDERR_FILENO, text, at) < 0) {
        /* nowhere left to say it */
    }
    abort();
}

/* ---- the machine ---- */

size_t wf_sys_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

uintptr_t wf_host_signal_sp(const void *ucontext)
{
    const ucontext_t *context = ucontext;
#if WF_X86_64
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#else
    return (uintptr_t)context->uc_mcontext.sp;
#endif
}

/* Lines of a small text file, without stdio's allocations. */
struct reader {
    int fd;
    size_t at, filled;
    char bytes[LINE_BYTES];
};

static bool reader_open(struct reader *reader, const char *path)
{
    reader->fd = open(path, O_RDONLY | O_CLOEXEC);
    reader->at = 0;
    reader->filled = 0;
    return reader->fd >= 0;
}

static void reader_close(struct reader *reader)
{
    close(reader->fd);
}

static int reader_byte(struct reader *reader)
{
    if (reader->at == reader->filled) {
        ssize_t n = read(reader->fd, reader->bytes, sizeof reader->bytes);
        if (n <= 0) {
            return -1;
        }
        reader->at = 0;
        reader->filled = (size_t)n;
    }
    return (unsigned char)reader->bytes[reader->at++];
}

/* The next line without its end, cut to `size`; false at the end of the file. */
static bool reader_line(struct reader *reader, char *line, size_t size)
{
    size_t n = 0;
    int c = reader_byte(reader);
    if (c < 0) {
        return false;
    }
    for (; c >= 0 && c != '\n'; c = reader_byte(reader)) {
        if (n + 1 < size) {
            line[n++] = (char)c;
        }
    }
    line[n] = 0;
    return true;
}

static bool read_first_line(const char *path, char *line, size_t size)
{
    struct reader reader;
    if (!reader_open(&reader, path)) {
        return false;
    }
    bool found = reader_line(&reader, line, size);
    reader_close(&reader);
    return found;
}

size_t wf_host_mappings_max(void)
{
    char line[32];
    long long n = 0;
    if (read_first_line("/proc/sys/vm/max_map_count", line, sizeof line)) {
        n = atoll(line);
    }
    return n > 0 ? (size_t)n : MAPPINGS_MAX_DEFAULT;
}

/* Is `word` one of the comma-separated words of `list`? */
static bool list_has(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == 0)) {
            return true;
        }
    }
    return false;
}

/* Control groups, version 2 ("cpu.max") or 1 ("cpu.cfs_quota_us"): which hierarchy has the CPU
 * controller, where it is mounted, and which group of it is ours. */
struct hierarchy {
    int version;
    char group[PATH_BYTES]; /* as in /proc/self/cgroup */
    char mount[PATH_BYTES]; /* where a part of it is mounted */
    char from[PATH_BYTES];  /* the group that is mounted there */
};

/* A line is "id:controllers:group"; version 2 has no controllers. */
static bool find_group(const char *root, struct hierarchy *hierarchy)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    struct reader reader;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!reader_open(&reader, path)) {
        return false;
    }
    bool found = false;
    while (!found && reader_line(&reader, line, sizeof line)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) {
            continue;
        }
        *controllers++ = 0;
        *group++ = 0;
        found = hierarchy->version == 2 ? *controllers == 0 : list_has(controllers, "cpu");
        if (found) {
            snprintf(hierarchy->group, sizeof hierarchy->group, "%.*s", PATH_BYTES - 1, group);
        }
    }
    reader_close(&reader);
    return found;
}

/* A line is "id parent device ROOT MOUNT options [tags] - TYPE source SUPEROPTIONS". Spaces in
 * names are escaped there as \040, and not unescaped here: such a mount is not found. */
static bool find_mount(const char *root, struct hierarchy *hierarchy)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    struct reader reader;
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    if (!reader_open(&reader, path)) {
        return false;
    }
    bool found = false;
    while (!found && reader_line(&reader, line, sizeof line)) {
        char from[PATH_BYTES], mount[PATH_BYTES], type[16], options[PATH_BYTES];
        const char *tail = strstr(line, " - ");
        if (!tail || sscanf(line, "%*s %*s %*s %1023s %1023s", from, mount) != 2 ||
            sscanf(tail, " - %15s %*s %1023s", type, options) != 2) {
            continue;
        }
        found = hierarchy->version == 2 ? strcmp(type, "cgroup2") == 0
                                        : strcmp(type, "cgroup") == 0 && list_has(options, "cpu");
        if (found) {
            memcpy(hierarchy->from, from, sizeof from);
            memcpy(hierarchy->mount, mount, sizeof mount);
        }
    }
    reader_close(&reader);
    return found;
}

/* The quota of one group, in microseconds per period; false: none. */
static bool read_quota(int version, const char *directory, long long *quota, long long *period)
{
    char path[DIRECTORY_BYTES + 32], line[64];
    snprintf(path, sizeof path, "%s/%s", directory, version == 2 ? "cpu.max" : "cpu.cfs_quota_us");
    if (!read_first_line(path, line, sizeof line)) {
        return false;
    }
    if (version == 2) {
        /* "max" is no number */
        return sscanf(line, "%lld %lld", quota, period) == 2 && *quota > 0 && *period > 0;
    }
    *quota = atoll(line);
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory);
    if (!read_first_line(path, line, sizeof line)) {
        return false;
    }
    *period = atoll(line);
    return *quota > 0 && *period > 0; /* -1: none */
}

/* The smallest quota from our group up to the mount point, as CPUs rounded up. */
static int hierarchy_cpus(const char *root, struct hierarchy *hierarchy)
{
    if (!find_group(root, hierarchy) || !find_mount(root, hierarchy)) {
        return INT_MAX;
    }
    const char *below = hierarchy->group;
    size_t prefix = strcmp(hierarchy->from, "/") == 0 ? 0 : strlen(hierarchy->from);
    if (strncmp(below, hierarchy->from, prefix) == 0 &&
        (below[prefix] == '/' || below[prefix] == 0)) {
        below += prefix;
    } else {
        /* our group is not under this mount: the mounted group is the nearest that we can see */
        below = "";
    }
    char directory[DIRECTORY_BYTES];
    snprintf(directory, sizeof directory, "%s%s", root, hierarchy->mount);
    size_t top = strlen(directory);
    snprintf(directory + top, sizeof directory - top, "%s", below);

    int cpus = INT_MAX;
    for (;;) { /* ends: the path gets shorter */
        long long quota, period;
        if (read_quota(hierarchy->version, directory, &quota, &period)) {
            long long n = quota / period + (quota % period != 0);
            cpus = n < cpus ? (int)n : cpus;
        }
        char *last = strrchr(directory + top, '/');
        if (!last) {
            return cpus;
        }
        *last = 0;
    }
}

int wf_host_quota_cpus(const char *root)
{
    struct hierarchy unified = {.version = 2}, legacy = {.version = 1};
    int a = hierarchy_cpus(root, &unified);
    /* on hybrid systems the controller is in one of the two */
    int b = hierarchy_cpus(root, &legacy);
    return a < b ? a : b;
}

static int affinity_cpus(void)
{
    /* -EINVAL: the kernel's mask is larger */
    for (int n = CPU_SETSIZE; n <= AFFINITY_CPUS_MAX; n *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)n);
        if (!set) {
            break;
        }
        size_t bytes = CPU_ALLOC_SIZE((size_t)n);
        int cpus = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (cpus > 0) {
            return cpus;
        }
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

uint64_t wf_sys_random(void)
{
    /* libc has taken both halves for secrets of its own: what is made of them here must not tell
     * either. */
    const uint64_t *given =
        (const uint64_t *)getauxval(AT_RANDOM); // NOLINT(performance-no-int-to-ptr)
    uint64_t halves[2] = {(uintptr_t)&wf_sys, (uint64_t)wf_sys.now_ns()};
    if (given != NULL) {
        (void)memcpy(halves, given, sizeof halves);
    }
    uint64_t x = halves[0] * UINT64_C(0x9e3779b97f4a7c15) ^ halves[1];
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

int wf_sys_cpu_count(void)
{
    int cpus = affinity_cpus();
    int quota = wf_host_quota_cpus("");
    return quota < cpus ? quota : cpus;
}

bool wf_sys_prepare_fences(void)
{
    return wf_sys.barrier_prepare() == 0;
}

/* Refused after all, for lack of memory: what stays in a processor's buffer of stores, ours
 * included, is out of it long before this is over. */
#define FENCE_NAP_NS INT64_C(1000000)

void wf_fence_heavy(void)
{
    if (wf_sys.barrier() < 0) {
        wf_sys.nap(FENCE_NAP_NS);
    }
}
