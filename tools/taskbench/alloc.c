/* alloc.c: see alloc.h.
 *
 * `mallctl` is a weak symbol: the tool builds, links and runs without jemalloc, and counts if it is
 * preloaded. The types below are those of jemalloc's internal hook.h, which it expects of who uses
 * this experimental interface; the probe finds out if they still are. */
#define _GNU_SOURCE
#include "alloc.h"
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/debug.h>

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

/* --- places ----------------------------------------------------------------------------------- */

#define MODULES_MAX 16
#define FRAMES_MAX  32 /* looked at, from the hook outwards */

struct range {
    uintptr_t from, to;
};

/* Code that is never the place asked for. */
static struct {
    struct range jemalloc;
    struct range system[MODULES_MAX];
    int system_n;
} modules;

static struct {
    bool wanted;
    atomic_flag busy; /* guards the rest; held for a search of the table */
    struct raw_site {
        uintptr_t address;
        uint64_t count, bytes;
        char task[TB_SITE_WHAT_MAX];
    } table[TB_SITES_MAX];
    int n;
} sites = {.busy = ATOMIC_FLAG_INIT};

static bool is_in(struct range range, uintptr_t address)
{
    return address >= range.from && address < range.to;
}

static bool is_system(uintptr_t address)
{
    bool found = is_in(modules.jemalloc, address);
    for (int i = 0; i < modules.system_n; i++) {
        found = found || is_in(modules.system[i], address);
    }
    return found;
}

static int note_module(struct dl_phdr_info *info, size_t bytes, void *unused)
{
    static const char *const names[] = {"/libc.so",  "/libc-",     "/ld-linux",
                                        "/libgcc_s", "/libstdc++", "/libm.so"};
    struct range range = {UINTPTR_MAX, 0};
    (void)bytes, (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD) {
            uintptr_t from = info->dlpi_addr + part->p_vaddr;
            range.from = from < range.from ? from : range.from;
            range.to = from + part->p_memsz > range.to ? from + part->p_memsz : range.to;
        }
    }
    if (is_in(range, (uintptr_t)mallctl)) {
        modules.jemalloc = range;
        return 0;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strstr(info->dlpi_name, names[i]) && modules.system_n < MODULES_MAX) {
            modules.system[modules.system_n++] = range;
            break;
        }
    }
    return 0;
}

/* The first address outwards from jemalloc that is not the system's; 0: there is none. */
static uintptr_t find_caller(void)
{
    void *frames[FRAMES_MAX];
    int n = backtrace(frames, FRAMES_MAX), i = 0;
    while (i < n && !is_in(modules.jemalloc, (uintptr_t)frames[i])) {
        i++;
    }
    while (i < n && is_system((uintptr_t)frames[i])) {
        i++;
    }
    return i < n ? (uintptr_t)frames[i] : 0;
}

/* "task t (started in f, a.c:3)": places in the code are named without folders, too. */
static void copy_without_folder(char out[TB_SITE_WHAT_MAX], const char *task)
{
    const char *comma = strstr(task, ", "), *slash = comma ? strrchr(comma, '/') : NULL;
    int kept = slash ? (int)(comma + 2 - task) : (int)strlen(task);
    (void)snprintf(out, TB_SITE_WHAT_MAX, "%.*s%s", kept, task, slash ? slash + 1 : "");
}

static void note_site(size_t bytes)
{
    char task[TB_SITE_WHAT_MAX];
    uintptr_t address = find_caller();
    weft_describe(task, sizeof task);
    while (
        atomic_flag_test_and_set_explicit(&sites.busy, memory_order_acquire)) { /* ends: a search */
    }
    int i = 0;
    while (i < sites.n &&
           (sites.table[i].address != address || strcmp(sites.table[i].task, task) != 0)) {
        i++;
    }
    if (i < TB_SITES_MAX) {
        struct raw_site *site = &sites.table[i];
        sites.n += i == sites.n;
        site->address = address;
        site->count++;
        site->bytes += bytes;
        memcpy(site->task, task, sizeof task);
    }
    atomic_flag_clear_explicit(&sites.busy, memory_order_release);
}

void tb_alloc_want_sites(void)
{
    void *frames[4];
    memset(&modules, 0, sizeof modules);
    memset(sites.table, 0, sizeof sites.table);
    sites.n = 0;
    sites.wanted = mallctl != NULL;
    dl_iterate_phdr(note_module, NULL);
    (void)backtrace(frames, 4); /* loads the unwinder, which allocates */
}

bool tb_alloc_site(int index, struct tb_site *out)
{
    if (index >= sites.n) {
        return false;
    }
    const struct raw_site *raw = &sites.table[index];
    *out = (struct tb_site){.kind = TB_SITE_ALLOC, .count = raw->count, .bytes = raw->bytes};
    copy_without_folder(out->what, raw->task);
    tb_site_locate(out, getpid(), raw->address);
    return true;
}

/* --- the hooks -------------------------------------------------------------------------------- */

static void note_new(size_t bytes)
{
    atomic_fetch_add_explicit(&counts.allocs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts.bytes, bytes, memory_order_relaxed);
    if (sites.wanted) {
        note_site(bytes);
    }
}

static void on_alloc(void *extra, int kind, void *result, uintptr_t raw, uintptr_t args[3])
{
    (void)extra, (void)kind, (void)raw, (void)args;
    if (result) {
        note_new(malloc_usable_size(result));
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
        note_new(new_bytes - old_bytes);
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
    sites.wanted = false;
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
