/* alloc.c: see alloc.h.
 *
 * `mallctl` is a weak symbol: the tool builds, links and runs without jemalloc, and counts if it is
 * preloaded. The types below are those of jemalloc's internal hook.h, which it expects of who uses
 * this experimental interface; the probe finds out if they still are. */
#include "alloc.h"
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
    __attribute__((weak));

struct hooks {
    void (*alloc)(void *extra, int kind, void *result, uintptr_t raw, uintptr_t args[3]);
    void (*free)(void *extra, int kind, void *address, uintptr_t args[3]);
    void (*expand)(void *extra, int kind, void *address, size_t old_bytes, size_t new_bytes,
                   uintptr_t raw, uintptr_t args[4]);
    void *extra;
};

/* relaxed, all of these: counts that order nothing. What ran before tb_alloc_stop on another thread
 * is seen by it because the workload has waited for it. */
static struct {
    _Atomic uint64_t allocs, frees, bytes;
} counts;

static void *installed; /* jemalloc's handle; NULL: not counting */

static void on_alloc(void *extra, int kind, void *result, uintptr_t raw, uintptr_t args[3])
{
    (void)extra, (void)kind, (void)raw, (void)args;
    if (result) {
        atomic_fetch_add_explicit(&counts.allocs, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&counts.bytes, malloc_usable_size(result), memory_order_relaxed);
    }
}

static void on_free(void *extra, int kind, void *address, uintptr_t args[3])
{
    (void)extra, (void)kind, (void)args;
    if (address) {
        atomic_fetch_add_explicit(&counts.frees, 1, memory_order_relaxed);
    }
}

/* A realloc in place: new memory only if it grew. */
static void on_expand(void *extra, int kind, void *address, size_t old_bytes, size_t new_bytes,
                      uintptr_t raw, uintptr_t args[4])
{
    (void)extra, (void)kind, (void)address, (void)raw, (void)args;
    if (new_bytes > old_bytes) {
        atomic_fetch_add_explicit(&counts.allocs, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&counts.bytes, new_bytes - old_bytes, memory_order_relaxed);
    }
}

int tb_alloc_start(void)
{
    counts.allocs = counts.frees = counts.bytes = 0;
    if (!mallctl) {
        return -ENOTSUP;
    }
    struct hooks hooks = {on_alloc, on_free, on_expand, NULL};
    size_t bytes = sizeof installed;
    int rc = mallctl("experimental.hooks.install", &installed, &bytes, &hooks, sizeof hooks);
    return rc == 0 ? 0 : -ENOTSUP;
}

void tb_alloc_stop(struct tb_allocs *out)
{
    mallctl("experimental.hooks.remove", NULL, NULL, &installed, sizeof installed);
    installed = NULL;
    *out = (struct tb_allocs){counts.allocs, counts.frees, counts.bytes};
}

#define PROBE_BYTES 100

/* Through a volatile pointer, or the compiler would drop the pair. */
static void *allocate_once(void *unused)
{
    (void)unused;
    void *volatile block = malloc(PROBE_BYTES);
    free(block);
    return NULL;
}

/* Allocates on another thread; how many allocations were counted meanwhile, starting it not
 * included. */
static void *count_own(void *counted)
{
    uint64_t before = counts.allocs;
    allocate_once(NULL);
    *(uint64_t *)counted = counts.allocs - before;
    return NULL;
}

bool tb_alloc_probe(const char **why_not)
{
    *why_not = "malloc is not jemalloc's";
    if (!mallctl) {
        return false;
    }
    *why_not = "this jemalloc has no allocation hooks";
    if (tb_alloc_start() < 0) {
        return false;
    }
    uint64_t here = 0, there = 0;
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, count_own, &there);
    if (rc == 0) {
        pthread_join(thread, NULL);
    }
    count_own(&here);
    struct tb_allocs all;
    tb_alloc_stop(&all);
    bool exact =
        rc == 0 && here == 1 && there == 1 && all.frees >= 2 && all.bytes >= 2 * PROBE_BYTES;
    *why_not = exact ? NULL : "jemalloc's allocation hooks do not see all allocations";
    return exact;
}

const char *tb_alloc_version(void)
{
    const char *version = NULL;
    size_t bytes = sizeof version;
    if (!mallctl || mallctl("version", &version, &bytes, NULL, 0) != 0) {
        return NULL;
    }
    return version;
}
