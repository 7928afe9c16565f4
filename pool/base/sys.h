/* sys.h: every fallible call that the runtime makes to the operating system, through one
 * replaceable table.
 *
 * Who may call: all of pool/, io/ and src/. Nobody there calls malloc, mmap, pthread_create,
 * io_uring_* or clock functions directly. A test replaces entries (wf_sys is a plain struct) to
 * make call number k fail, or to turn the clock; it does so before a runtime starts and restores it
 * after the last one stopped. That is also why the table is not atomic: it is immutable while any
 * runtime lives.
 *
 * Entries return what the libc function returns, but errors as -errno, never through errno (a task
 * may continue on another thread, so errno is nobody's). */
#ifndef WF_SYS_H
#define WF_SYS_H

#include "pool/base/compiler.h"
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

/* What a child process begins with. */
struct wf_spawn {
    const char *file;  /* looked for in PATH if it has no '/' */
    char *const *argv; /* NULL after the last */
    char *const *env;  /* NULL: the caller's */
    const char *cwd;   /* NULL: the caller's */
    int fds[3];        /* what its 0, 1 and 2 are copies of; < 0: /dev/null */
    bool inherit;      /* others without close-on-exec stay open, if the system can close them */
    bool group;        /* it leads a process group of its own */
};

struct addrinfo; /* <netdb.h> */

struct wf_sys {
    /* Memory. map: anonymous, private, NORESERVE; prot as mmap(2). NULL when refused. */
    void *(*map)(size_t bytes, int prot);
    int (*unmap)(void *address, size_t bytes);
    int (*protect)(void *address, size_t bytes, int prot);
    int (*advise)(void *address, size_t bytes, int advice);
    /* aligned_alloc, of any size: it is rounded up here. Not zeroed; NULL when refused */
    void *(*alloc)(size_t alignment, size_t bytes);
    void (*release)(void *memory);

    /* Threads. Each 0 or -errno. */
    int (*thread_start)(pthread_t *thread, void *(*body)(void *), void *arg);
    int (*thread_join)(pthread_t thread);
    /* This thread asks the scheduler for its time in slices of about `ns`; what it starts does not.
     * 0, or -errno with nothing changed: -EOPNOTSUPP the kernel has no slices to choose (before
     * Linux 6.12); -EPERM the thread has a policy, a priority or slices that somebody has
     * chosen. */
    int (*thread_slice)(int64_t ns);

    /* Time, CLOCK_MONOTONIC, ns. Cannot fail. */
    int64_t (*now_ns)(void);
    /* This thread does nothing for about `ns`. */
    void (*nap)(int64_t ns);

    /* Futex on a 32-bit word, private to the process. wait: 0 when woken (or spuriously), -EAGAIN
     * when the word was not `expected`, -ETIMEDOUT at deadline_ns (absolute, CLOCK_MONOTONIC;
     * INT64_MAX: none), -EINTR. */
    int (*futex_wait)(void *word, uint32_t expected, int64_t deadline_ns);
    int (*futex_wake)(void *word, int count);

    /* A full fence in each thread of the process, at some time between begin and end of the call:
     * for who may say so after barrier_prepare, which takes some 15 ms if the process has threads
     * already and never asked before. 0 or -errno: -ENOSYS, -EPERM, or what a sandbox says. */
    int (*barrier_prepare)(void);
    int (*barrier)(void);

    /* Copies `bytes` (at most 512) from an address that may have gone away: 0, or -EFAULT. For
     * dumps. */
    int (*peek)(void *to, const void *from, size_t bytes);

    /* Descriptors. Those that are made here are above the standard ones. */
    int (*eventfd)(void);
    int (*eventfd_add)(int fd, uint64_t n); /* 0 or -errno */
    int (*close)(int fd);
    int (*shutdown)(int fd, int how);
    /* preadv2 of one part; `flags` are its RWF_* */
    ssize_t (*pread_flags)(int fd, void *buffer, size_t bytes, int64_t offset, int flags);

    /* Names of hosts: getaddrinfo, which blocks, and freeaddrinfo. 0, or -errno: -ENOENT there is
     * no such name, or it has no address of that kind; -EAGAIN no server answers; -EINVAL no such
     * service; -EIO the server's failure ... */
    int (*resolve)(const char *host, const char *service, const struct addrinfo *hints,
                   struct addrinfo **out);
    void (*resolved)(struct addrinfo *list);

    /* Any other system call, by its number, as the kernel takes it: what io/ does on descriptors by
     * epoll and on blocking threads. */
    long (*call)(long number, long a, long b, long c, long d, long e, long f);

    /* A child process that executes a program, with no signal blocked: its number, or -errno, also
     * of the execution. Blocks for some milliseconds. */
    int (*spawn)(const struct wf_spawn *spawn);

    /* io_uring, raw: liburing's wrappers go through libc's errno or enter by themselves. */
    int (*uring_setup)(unsigned entries, void *params);
    int (*uring_enter)(int fd, unsigned submit, unsigned min_complete, unsigned flags, void *arg,
                       size_t arg_bytes);
    int (*uring_register)(int fd, unsigned opcode, void *arg, unsigned count);
};

extern struct wf_sys wf_sys;

/* CPUs that this process may use: affinity mask, bounded by the cgroup's CPU quota rounded up; at
 * least 1. */
int wf_sys_cpu_count(void);

/* May this process use wf_fence_heavy (atomic.h)? Costs as barrier_prepare. */
bool wf_sys_prepare_fences(void);

/* The descriptor `fd`, or where it is one of the three standard ones, which the program was then
 * started without, another one in its place: what the program reads or prints shall not come to
 * the runtime. `fd` < 0 is returned as it is. -EMFILE: there is none above them, and `fd` is
 * closed. */
int wf_sys_above_standard(int fd);

/* Bytes of a page. */
size_t wf_sys_page_bytes(void);

/* 64 bits that nobody outside can guess, from what the kernel gave the process at its start. */
uint64_t wf_sys_random(void);

/* wf_sys.alloc, zeroed. In line: profilers name who called as the place that allocates. */
static inline __attribute__((always_inline)) void *wf_sys_alloc_zeroed(size_t alignment,
                                                                       size_t bytes)
{
    void *memory = wf_sys.alloc(alignment, bytes);
    return memory != NULL ? memset(memory, 0, bytes) : NULL;
}

#endif
