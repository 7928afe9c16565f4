/* alloc.h: counts what this process allocates, on all threads, exactly.
 *
 * By the hooks of jemalloc (experimental.hooks.install, jemalloc 5): every malloc, calloc, realloc,
 * aligned_alloc and free of any thread calls them, so nothing is sampled and no thread is
 * forgotten. jemalloc's own counters are not used: what the threads' caches hold back shows in them
 * late or never. The price is 40 ns a call while counting, so time is never measured then. Memory
 * that comes from mmap is not counted: the runtime's own, see weft_stats. */
#ifndef TB_ALLOC_H
#define TB_ALLOC_H

#include "site.h"
#include <stdbool.h>
#include <stdint.h>

struct tb_allocs {
    uint64_t allocs; /* calls that gave new memory; a realloc that moves or grows is one */
    uint64_t frees;
    uint64_t bytes; /* given: usable sizes, as malloc rounds them up */
};

/* Whether counting works here, found out by allocating on this thread and on another. `why_not`: a
 * static sentence, or NULL if it works. Starts a thread and ends it. */
bool tb_alloc_probe(const char **why_not);

/* Counts from here, from zero. 0, or -ENOTSUP. Not nested. */
int tb_alloc_start(void);

/* Before tb_alloc_start: it also notes where the program allocates, by unwinding the stack in each
 * call, some microseconds each. Until tb_alloc_stop. */
void tb_alloc_want_sites(void);

/* After tb_alloc_stop: the place number `index` where memory was allocated, in the order in which
 * they were met: the innermost code that belongs neither to jemalloc nor to the system's libraries,
 * and the task that ran there. false: there are no more. At most TB_SITES_MAX are kept. */
bool tb_alloc_site(int index, struct tb_site *out);

/* Stops, and says what was counted. */
void tb_alloc_stop(struct tb_allocs *out);

/* "5.3.0-0-g...", or NULL: malloc is not jemalloc's. */
const char *tb_alloc_version(void);

#endif
