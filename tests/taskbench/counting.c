/* counting.c: a library to preload (LD_PRELOAD) that knows by its own count how much memory a
 * process has. test_mem.sh holds what `taskbench mem` says against it.
 *
 * It keeps a list of the mappings that the process asks for (mmap, munmap), and by whom: the
 * program itself, which is weft and its workload, or a library, which is jemalloc. Whenever the
 * process opens /proc/self/smaps_rollup, which is how taskbench looks at itself
 * (tools/taskbench/usage.c), a line is added to the file $COUNTING_LOG:
 *
 *     PID OWN OTHER PSS TABLES ALLOCATED
 *
 * all in bytes: the pages that are resident in the program's own mappings and in others' (mincore);
 * what /proc/self/smaps adds up to, mapping by mapping, and the page tables; and what jemalloc says
 * that is allocated, 0 without it.
 *
 * One thread at a time maps, or the lock is short. Nothing here allocates. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAPPINGS_MAX 65536
#define PAGE         4096  /* the smallest; mincore rounds */
#define WINDOW       65536 /* pages that mincore is asked for at a time */

struct mapping {
    uintptr_t from, to;
    bool own;
};

static struct mapping mappings[MAPPINGS_MAX];
static int mappings_n;
static bool overflown;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uintptr_t program_from, program_to;

/* --- the list --------------------------------------------------------------------------------- */

/* The first object that is reported is the program. */
static int find_program(struct dl_phdr_info *info, size_t bytes, void *arg)
{
    (void)bytes, (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr, to = from + p->p_memsz;
        if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
            program_from = from;
            program_to = to;
        }
    }
    return 1;
}

static void add(uintptr_t from, uintptr_t to, bool own)
{
    if (mappings_n == MAPPINGS_MAX) {
        overflown = true;
        return;
    }
    mappings[mappings_n++] = (struct mapping){from, to, own};
}

/* What was unmapped may be a part of one mapping, or several. */
static void take_out(uintptr_t from, uintptr_t to)
{
    int n = mappings_n;
    for (int i = 0; i < n; i++) {
        struct mapping m = mappings[i];
        if (m.to <= from || m.from >= to) {
            continue;
        }
        mappings[i].to = m.from < from ? from : m.from; /* empty, if nothing is before */
        if (m.to > to) {
            add(to, m.to, m.own);
        }
    }
    for (int i = 0; i < mappings_n;) { /* ends: i grows, or their number shrinks */
        if (mappings[i].from == mappings[i].to) {
            mappings[i] = mappings[--mappings_n];
        } else {
            i++;
        }
    }
}

static void *map(void *at, size_t bytes, int prot, int flags, int fd, off_t offset,
                 const void *caller)
{
    void *got = (void *)syscall(SYS_mmap, at, bytes, prot, flags, fd, offset);
    if (got == MAP_FAILED) {
        return got;
    }
    uintptr_t from = (uintptr_t)got, to = from + (bytes + PAGE - 1) / PAGE * PAGE;
    pthread_mutex_lock(&lock);
    if (program_to == 0) {
        dl_iterate_phdr(find_program, NULL);
    }
    take_out(from, to); /* with MAP_FIXED it may have been another's */
    if (flags & MAP_ANONYMOUS) {
        add(from, to, (uintptr_t)caller >= program_from && (uintptr_t)caller < program_to);
    }
    pthread_mutex_unlock(&lock);
    return got;
}

void *mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    return map(at, bytes, prot, flags, fd, offset, __builtin_return_address(0));
}

void *mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    return map(at, bytes, prot, flags, fd, offset, __builtin_return_address(0));
}

int munmap(void *at, size_t bytes)
{
    int rc = (int)syscall(SYS_munmap, at, bytes);
    if (rc == 0) {
        pthread_mutex_lock(&lock);
        take_out((uintptr_t)at, (uintptr_t)at + (bytes + PAGE - 1) / PAGE * PAGE);
        pthread_mutex_unlock(&lock);
    }
    return rc;
}

/* --- looking ---------------------------------------------------------------------------------- */

static uint64_t resident(uintptr_t from, uintptr_t to)
{
    static unsigned char pages[WINDOW];
    uint64_t bytes = 0;
    for (; from < to; from += (uintptr_t)WINDOW * PAGE) {
        size_t n = to - from < (uintptr_t)WINDOW * PAGE ? to - from : (size_t)WINDOW * PAGE;
        if (syscall(SYS_mincore, from, n, pages) != 0) {
            continue;
        }
        for (size_t i = 0; i < n / PAGE; i++) {
            bytes += (pages[i] & 1) * (uint64_t)PAGE;
        }
    }
    return bytes;
}

/* The sum of the numbers of KiB after `key` at the beginning of lines. */
static uint64_t sum_lines(const char *path, const char *key)
{
    char block[65536];
    size_t kept = 0, length = strlen(key);
    uint64_t kib = 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    while (fd >= 0 &&
           (n = read(fd, block + kept, sizeof block - kept - 1)) > 0) { /* ends with the file */
        block[kept + (size_t)n] = '\0';
        char *line = block, *end;
        for (; (end = strchr(line, '\n')); line = end + 1) {
            kib += strncmp(line, key, length) == 0 ? strtoull(line + length, NULL, 10) : 0;
        }
        kept = strlen(line);
        memmove(block, line, kept);
    }
    if (fd >= 0) {
        close(fd);
    }
    return kib * 1024;
}

static uint64_t jemalloc_allocated(void)
{
    int (*mallctl)(const char *, void *, size_t *, void *, size_t) =
        (int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
    uint64_t epoch = 1;
    size_t allocated = 0, bytes = sizeof allocated;
    bool known = mallctl && mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) == 0 &&
                 mallctl("stats.allocated", &allocated, &bytes, NULL, 0) == 0;
    return known ? allocated : 0;
}

static void look(void)
{
    const char *path = getenv("COUNTING_LOG");
    uint64_t bytes[2] = {0, 0};
    char line[200];
    pthread_mutex_lock(&lock);
    for (int i = 0; i < mappings_n; i++) {
        bytes[mappings[i].own] += resident(mappings[i].from, mappings[i].to);
    }
    pthread_mutex_unlock(&lock);
    int n =
        snprintf(line, sizeof line, "%d %llu %llu %llu %llu %llu\n", overflown ? -1 : (int)getpid(),
                 (unsigned long long)bytes[1], (unsigned long long)bytes[0],
                 (unsigned long long)sum_lines("/proc/self/smaps", "Pss:"),
                 (unsigned long long)sum_lines("/proc/self/status", "VmPTE:"),
                 (unsigned long long)jemalloc_allocated());
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path,
                                 O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)
                  : -1;
    if (fd >= 0) {
        (void)!write(fd, line, (size_t)n);
        close(fd);
    }
}

static int open_it(const char *path, int flags, mode_t mode)
{
    if (strcmp(path, "/proc/self/smaps_rollup") == 0) {
        look();
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static mode_t mode_of(int flags, va_list list)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_it(path, flags, mode);
}

/* off_t has 64 bits anyway */
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
