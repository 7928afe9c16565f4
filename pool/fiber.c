/* fiber.c: the region of stacks, its guards, the caches, and the C half of the switch. fiber.h has
 * the contract. What happens when a guard is hit is in overflow.c.
 *
 * Three levels hold idle stacks: the worker's cache (no synchronisation), the free stacks that all
 * share (a lock for a few instructions, up to 16 stacks at a time), and slots that were never used
 * (a mutex, since committing them is a system call; 8 at a time).
 *
 * The free stacks are a set of slot numbers (slotset.h), of which neighbours are taken together. So
 * nobody touches a stack to find the next one; and whatever the order in which tasks end, those
 * that begin have stacks in the order of addresses.
 *
 * Trimming. A stack that used more than its top pages gives them back when a worker is about to
 * sleep: of its cache, and some of the free ones. Not when it is given back, nor when it becomes
 * free for all: a thousand tasks that suspend once would pay 0.6 us each for a call that mostly
 * finds nothing.
 *
 * Pages. The region is reserved without access and committed in steps of 64 slots by one mprotect:
 * neighbours merge, so the number of mappings does not grow. Huge pages are refused: one touched
 * stack would cost 2 MiB. */
#include "pool/fiber.h"
#include "pool/deque.h"
#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/base/host.h"
#include "pool/base/lock.h"
#include "pool/base/sys.h"
#include "pool/overflow.h"
#include "pool/sanitizer.h"
#include "pool/slotset.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define MADV_GUARD_INSTALL_ 102 /* linux/mman.h since 6.13; libc headers lag behind */
#define MADV_NONSENSE       9999

#define SLOTS_MIN ((size_t)1024)    /* below this a reservation is not halved further */
#define SLOTS_MAX ((size_t)1 << 28) /* 64 TiB: half of what a process has on x86-64 */
/* There 256 GiB, as many as a runtime asks for, take 6 s, each time; this 0.1 s. */
#define SLOTS_EMULATED ((size_t)16384)
#define COMMIT_SLOTS   64 /* 16 MiB per mprotect */
#define FRESH_BATCH    8  /* slots that one worker reserves at a time */
#define SHARE_BATCH    16 /* stacks that move between a cache and the free ones at a time */
#define KEPT_BYTES     ((size_t)16 * 1024) /* of an idle stack, at its top: what most tasks use */
#define TRIM_PERIOD_NS INT64_C(100000000)
#define TRIM_BATCHES   4 /* of the free ones, per trim: 30 us */
#define CANARY_WORDS   8 /* at the top of the guard zone, which no one else writes */
#define MAPPINGS_PART  8 /* guards may use one mapping of this many */

/* switch_*.S */
void wf_switch_begin(void);
void wf_switch_modes(void *context);

/* A context as switch_*.S saves it, in words: where fiber, entry and continuation go, and the
 * modes. */
enum {
    CONTEXT_WORDS = WF_X86_64 ? 8 : 22,
    CONTEXT_FIBER = WF_X86_64 ? 5 : 2,
    CONTEXT_ENTRY = WF_X86_64 ? 4 : 3,
    CONTEXT_CONTINUE = WF_X86_64 ? 7 : 1,
    CONTEXT_MODES = WF_X86_64 ? 0 : 20,
};
_Static_assert(CONTEXT_WORDS % 2 == 0, "stacks are aligned to 16 bytes");

volatile uintptr_t wf_stack_region[2];
int wf_forked;

uint64_t wf_deque_secret;
bool wf_deque_hides;

/* The first words of a deque: no fork gets a pass. */
static const uint64_t no_deque[2] = {UINT64_MAX, 0};

/* Found by name, from assembly in programs (weft_deque_here_ in fork.h). Nothing in C reads it, but
 * for what follows: a compiler may keep its address over a suspension. */
extern __thread const void *weft_thread_deque_;
__attribute__((used, visibility("default"),
               tls_model("initial-exec"))) __thread const void *weft_thread_deque_ = no_deque;

WF_NOINLINE struct wf_deque *wf_thread_deque(struct wf_deque *deque)
{
    const void *before = weft_thread_deque_;
    weft_thread_deque_ = deque != NULL ? (const void *)deque : no_deque;
    return before != no_deque ? (struct wf_deque *)(uintptr_t)before : NULL;
}
struct wf_fiber_hooks wf_fiber_hooks;

static struct {
    /* under `mutex`, which is held over system calls */
    pthread_mutex_t mutex;
    uint32_t opens;
    /* slots below are reserved by somebody; are readable and writable */
    uint32_t fresh_next, committed;
    /* what was mapped: the slots, and up to one slot of alignment */
    void *mapping;
    size_t mapping_bytes;
    bool fork_registered;

    /* immutable while open */
    uint32_t slots_max;
    uint32_t fresh_batch;
    uint32_t page_guards_max;
    size_t guard_bytes, kept_bytes; /* whole pages */
    /* floating-point modes of fresh stacks: the opener's, not a suspending task's */
    uint64_t modes[CONTEXT_WORDS];

    /* any thread */
    WF_ATOMIC(uint32_t) guard; /* enum wf_guard; only weakens */
    WF_ATOMIC(uint32_t) page_guards, no_guards;

    struct wf_lock free_lock;
    struct wf_slotset free; /* under `free_lock`. "Fresh": ran since they were trimmed */
    void *free_memory;      /* of `free`; under `mutex` */
} region = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- one slot ---- */

static char *slot_of(const struct wf_fiber *fiber)
{
    uintptr_t in_slot = (uintptr_t)fiber % WF_STACK_BYTES;
    return (char *)(uintptr_t)fiber - in_slot;
}

static struct wf_fiber *fiber_at(uint32_t index)
{
    /* the caller holds a slot or the mutex, so the region is open */
    uintptr_t base = wf_stack_region[WF_REGION_BASE];
    return wf_fiber_in_slot(base + (uintptr_t)index * WF_STACK_BYTES);
}

/* Nothing may ever have written between guard and stack where there is no guard. Reading maps the
 * shared zero page: it costs no memory. */
WF_NO_ASAN static bool guard_zone_is_clean(const struct wf_fiber *fiber)
{
    const uint64_t *word =
        (const uint64_t *)(const void *)((const char *)fiber->stack_low) - CANARY_WORDS;
    uint64_t sum = 0;
    for (int i = 0; i < CANARY_WORDS; i++) {
        sum |= word[i];
    }
    return sum == 0;
}

WF_NORETURN WF_COLD static void panic_overflow(struct wf_fiber *fiber)
{
    char text[256] = "a stack";
    /* relaxed, here and below: a pointer to code */
    wf_fiber_describe_fn *describe = wf_load_relaxed(&wf_fiber_hooks.describe);
    if (describe != NULL) {
        describe(fiber, text, sizeof text);
    }
    wf_panic(__FILE__, __LINE__,
             "stack overflow: %s overflowed %zu KiB (found late: it has no guard page)", text,
             fiber->stack_bytes / 1024);
}

/* What remains to check where a guard was stepped over or is missing. */
static void fiber_check(struct wf_fiber *fiber)
{
    wf_check(fiber->canary == WF_FIBER_CANARY,
             "the control block of stack %p is overwritten: by an overflow of the stack above it, "
             "or by a wild pointer",
             (void *)slot_of(fiber));
    if (wf_unlikely(fiber->guard == WF_GUARD_CANARY) && !guard_zone_is_clean(fiber)) {
        panic_overflow(fiber);
    }
}

/* Guards a slot by the best means that works; returns which. */
static enum wf_guard slot_guard(char *slot)
{
    /* relaxed: a slot guarded by a better means than the newest is no harm */
    if (wf_load_relaxed(&region.guard) == WF_GUARD_MARKER) {
        if (wf_sys.advise(slot, region.guard_bytes, MADV_GUARD_INSTALL_) == 0) {
            return WF_GUARD_MARKER;
        }
        uint32_t expected = WF_GUARD_MARKER;
        (void)wf_cas_relaxed(&region.guard, &expected, WF_GUARD_PAGE);
    }
    if (wf_load_relaxed(&region.guard) == WF_GUARD_PAGE) {
        if (wf_add_relaxed(&region.page_guards, 1) < region.page_guards_max &&
            wf_sys.protect(slot, region.guard_bytes, PROT_NONE) == 0) {
            return WF_GUARD_PAGE;
        }
        wf_sub_relaxed(&region.page_guards, 1);
        wf_store_relaxed(&region.guard, WF_GUARD_CANARY);
    }
    wf_add_relaxed(&region.no_guards, 1);
    return WF_GUARD_CANARY;
}

/* absent -> idle. The slot is committed and this thread's. Touches its top page. */
static struct wf_fiber *fiber_make(uint32_t index)
{
    struct wf_fiber *fiber = fiber_at(index);
    char *slot = slot_of(fiber);
    *fiber = (struct wf_fiber){
        .index = index,
        .guard = (uint8_t)slot_guard(slot),
        .stack_low = slot + region.guard_bytes,
        .stack_bytes = (size_t)((char *)fiber - slot) - region.guard_bytes,
        .canary = WF_FIBER_CANARY,
    };
    fiber->valgrind_stack = wf_valgrind_stack_open(fiber->stack_low, fiber);
    return fiber;
}

/* madvise rounds up by itself: it would take the control block's page along where pages have 64
 * KiB. */
static size_t whole_pages(size_t bytes)
{
    size_t page = wf_sys_page_bytes();
    return (bytes + page - 1) & ~(page - 1);
}

/* Gives back the pages of an idle stack that most tasks do not use. DONTNEED, not FREE: the memory
 * is visibly gone, and what comes back is zero. Costs 0.3 us where nothing was touched. */
static void fiber_trim(struct wf_fiber *fiber)
{
    if (fiber->used) {
        fiber->used = false;
        /* A refusal (locked memory) costs memory, nothing else. */
        char *slot = slot_of(fiber);
        size_t end = whole_pages((size_t)((char *)fiber - slot) + WF_FIBER_BYTES);
        (void)wf_sys.advise(slot + region.guard_bytes, end - region.guard_bytes - region.kept_bytes,
                            MADV_DONTNEED);
    }
}

/* ---- the region ---- */

static void region_publish(uintptr_t base, size_t bytes)
{
    wf_stack_region[WF_REGION_BYTES] = bytes;
    wf_stack_region[WF_REGION_BASE] = base;
}

/* In the child the memory is a copy, the workers are gone and their rings belong to the parent. */
static void on_fork_child(void)
{
    if (wf_stack_region[WF_REGION_BYTES] != 0) {
        region_publish(0, 0);
        wf_forked = 1;
        (void)wf_thread_deque(NULL);
    }
}

/* qemu-user accepts any advice and does nothing: no markers there. And it has a record of each page
 * that is reserved. */
static bool is_emulated(void)
{
    size_t page = wf_sys_page_bytes();
    uintptr_t own = (uintptr_t)&region & ~(uintptr_t)(page - 1);
    return wf_sys.advise((void *)own, page, MADV_NONSENSE) ==
           0; // NOLINT(performance-no-int-to-ptr)
}

/* Under the mutex. 0 or -ENOMEM. */
static int region_reserve(size_t slots)
{
    bool emulated = is_emulated();
    size_t max = emulated ? SLOTS_EMULATED : SLOTS_MAX;
    slots = slots < 1 ? 1 : slots > max ? max : slots;
    void *mapping;
    for (;;) { /* ends: slots halves */
        mapping = wf_sys.map((slots + 1) * WF_STACK_BYTES, PROT_NONE);
        if (mapping || slots / 2 < SLOTS_MIN) {
            break;
        }
        slots /= 2;
    }
    region.free_memory =
        mapping ? wf_sys.map(wf_slotset_bytes(slots), PROT_READ | PROT_WRITE) : NULL;
    if (!region.free_memory) {
        if (mapping) {
            (void)wf_sys.unmap(mapping, (slots + 1) * WF_STACK_BYTES);
        }
        return -ENOMEM;
    }
    region.mapping = mapping;
    region.mapping_bytes = (slots + 1) * WF_STACK_BYTES;
    /* Refused where the kernel has no huge pages. */
    (void)wf_sys.advise(mapping, region.mapping_bytes, MADV_NOHUGEPAGE);
    /* What is not committed has nothing to dump; without this, gdb's gcore writes all of it, zeros
     * and all. */
    (void)wf_sys.advise(mapping, region.mapping_bytes, MADV_DONTDUMP);

    region.slots_max = (uint32_t)slots;
    region.fresh_batch = slots / 128 < 1             ? 1
                         : slots / 128 < FRESH_BATCH ? (uint32_t)(slots / 128)
                                                     : FRESH_BATCH;
    region.fresh_next = 0;
    region.committed = 0;
    region.page_guards_max = (uint32_t)(wf_host_mappings_max() / MAPPINGS_PART);
    region.guard_bytes = whole_pages(WF_STACK_GUARD_BYTES);
    region.kept_bytes = whole_pages(KEPT_BYTES);
    wf_slotset_init(&region.free, region.free_memory, slots);
    wf_store_relaxed(&region.guard, emulated ? WF_GUARD_PAGE : WF_GUARD_MARKER);
    wf_store_relaxed(&region.page_guards, 0);
    wf_store_relaxed(&region.no_guards, 0);
    wf_switch_modes(region.modes);
    uintptr_t base = ((uintptr_t)mapping + WF_STACK_BYTES - 1) & ~(uintptr_t)(WF_STACK_BYTES - 1);
    region_publish(base, slots * WF_STACK_BYTES);
    return 0;
}

int wf_stacks_open(size_t stacks_max)
{
    if (wf_forked) {
        return -ENOSYS; /* before the mutex: a thread of the parent may hold it for ever */
    }
    int error = 0;
    pthread_mutex_lock(&region.mutex);
    if (region.opens == 0) {
        if (wf_deque_secret == 0) {
            wf_deque_secret = WF_SECTION_KEPT | (wf_sys_random() >> 2 & ~UINT64_C(7));
            wf_deque_hides = !wf_memcheck_is_on();
        }
        if (!region.fork_registered) {
            error = -pthread_atfork(NULL, NULL, on_fork_child);
            region.fork_registered = error == 0;
        }
        if (!error) {
            error = region_reserve(stacks_max);
        }
        if (!error) {
            wf_overflow_open(region.guard_bytes);
        }
    }
    if (!error) {
        region.opens++;
    }
    pthread_mutex_unlock(&region.mutex);
    return error;
}

/* Tools keep a record per stack, outside the region. Slots that were reserved and never made are
 * all zero. */
static void forget_stacks(void)
{
    if (WF_ASAN) {
        wf_asan_unpoison(slot_of(fiber_at(0)), (size_t)region.committed * WF_STACK_BYTES);
    }
    if (!WF_TSAN && !wf_valgrind_is_on()) {
        return;
    }
    for (uint32_t i = 0; i < region.fresh_next; i++) {
        struct wf_fiber *fiber = fiber_at(i);
        if (fiber->canary != WF_FIBER_CANARY) {
            continue;
        }
        wf_valgrind_stack_close(fiber->valgrind_stack);
        if (fiber->tsan_fiber) {
            wf_tsan_destroy(fiber->tsan_fiber);
        }
    }
}

void wf_stacks_close(void)
{
    if (wf_forked) {
        return;
    }
    pthread_mutex_lock(&region.mutex);
    wf_check(region.opens > 0, "wf_stacks_close without wf_stacks_open");
    if (--region.opens == 0) {
        wf_overflow_close();
        forget_stacks();
        region_publish(0, 0);
        (void)wf_sys.unmap(region.mapping, region.mapping_bytes);
        region.mapping = NULL;
        (void)wf_sys.unmap(region.free_memory, wf_slotset_bytes(region.slots_max));
    }
    pthread_mutex_unlock(&region.mutex);
}

enum wf_guard wf_stacks_guard_mode(void)
{
    return (enum wf_guard)wf_load_relaxed(&region.guard);
}

void wf_stacks_each(void (*visit)(struct wf_fiber *fiber, void *arg), void *arg)
{
    pthread_mutex_lock(&region.mutex);
    uint32_t fresh = region.opens > 0 ? region.fresh_next : 0;
    pthread_mutex_unlock(&region.mutex);
    for (uint32_t i = 0; i < fresh; i++) {
        visit(fiber_at(i), arg);
    }
}

void wf_stacks_report(struct wf_stacks_report *report)
{
    *report = (struct wf_stacks_report){0};
    if (wf_forked) {
        return;
    }
    pthread_mutex_lock(&region.mutex);
    if (region.opens > 0) {
        report->slots_max = region.slots_max;
        report->slots_fresh = region.fresh_next;
        report->guarded_pages = wf_load_relaxed(&region.page_guards);
        report->guarded_none = wf_load_relaxed(&region.no_guards);
        report->guard = wf_stacks_guard_mode();
        wf_lock(&region.free_lock);
        report->slots_free = region.free.count;
        wf_unlock(&region.free_lock);
    }
    pthread_mutex_unlock(&region.mutex);
}

/* ---- fresh slots ---- */

/* Makes slots below `end` readable and writable; ahead of need, if the system lets us. Under the
 * mutex. */
static bool commit_slots(uint32_t end)
{
    if (end <= region.committed) {
        return true;
    }
    char *from = slot_of(fiber_at(region.committed));
    uint32_t ahead = region.committed + COMMIT_SLOTS;
    ahead = ahead < region.slots_max ? ahead : region.slots_max;
    if (ahead < end || wf_sys.protect(from, (ahead - region.committed) * WF_STACK_BYTES,
                                      PROT_READ | PROT_WRITE) != 0) {
        ahead = end;
        if (wf_sys.protect(from, (ahead - region.committed) * WF_STACK_BYTES,
                           PROT_READ | PROT_WRITE) != 0) {
            return false;
        }
    }
    (void)wf_sys.advise(from, (ahead - region.committed) * WF_STACK_BYTES, MADV_DODUMP);
    region.committed = ahead;
    return true;
}

/* Reserves slots for this worker, into its cache. */
static bool reserve_fresh(struct wf_stack_cache *cache)
{
    bool done = false;
    pthread_mutex_lock(&region.mutex);
    uint32_t left = region.slots_max - region.fresh_next;
    uint32_t n = left < region.fresh_batch ? left : region.fresh_batch;
    if (n > 0 && commit_slots(region.fresh_next + n)) {
        cache->fresh_next = region.fresh_next;
        cache->fresh_end = region.fresh_next + n;
        region.fresh_next += n;
        done = true;
    }
    pthread_mutex_unlock(&region.mutex);
    return done;
}

/* Puts the unused end of a reservation back if nobody reserved after it. */
static void unreserve_fresh(struct wf_stack_cache *cache)
{
    pthread_mutex_lock(&region.mutex);
    if (cache->fresh_next < cache->fresh_end && cache->fresh_end == region.fresh_next) {
        region.fresh_next = cache->fresh_next;
        cache->fresh_next = cache->fresh_end;
    }
    pthread_mutex_unlock(&region.mutex);
}

/* ---- the free stacks ---- */

_Static_assert(SHARE_BATCH == WF_SLOTSET_GROUP, "a group fills an empty cache");

/* Stacks of one group, at most SHARE_BATCH, the lowest last: it is the first that a cache gives.
 * How many; 0: there are none. `used`: only such as ran since they were trimmed. */
static uint32_t free_pop(bool used, struct wf_fiber **stacks)
{
    size_t group;
    wf_lock(&region.free_lock);
    uint32_t mask =
        used ? wf_slotset_take_fresh(&region.free, &group) : wf_slotset_take(&region.free, &group);
    wf_unlock(&region.free_lock);
    uint32_t n = 0;
    uintptr_t base = wf_stack_region[WF_REGION_BASE] /* open: see fiber_at */
                     + group * WF_SLOTSET_GROUP * WF_STACK_BYTES;
    if (mask == UINT16_MAX) { /* as most are where tasks come and go */
        for (uintptr_t i = WF_SLOTSET_GROUP; i-- > 0;) {
            stacks[n++] = wf_fiber_in_slot(base + i * WF_STACK_BYTES);
        }
        return n;
    }
    while (mask != 0) { /* ends: a bit less each time */
        uint32_t i = 31 - (uint32_t)__builtin_clz(mask);
        mask -= 1u << i;
        stacks[n++] = wf_fiber_in_slot(base + i * WF_STACK_BYTES);
    }
    return n;
}

/* Neighbours, as most are, are put together; which they are is found out before the lock is taken.
 * At most SHARE_BATCH. */
static void free_push(struct wf_fiber *const *stacks, uint32_t n, bool used)
{
    uintptr_t base = wf_stack_region[WF_REGION_BASE]; /* open: see fiber_at */
    uint32_t groups[SHARE_BATCH], masks[SHARE_BATCH];
    uint32_t parts = 0;
    for (uint32_t i = 0; i < n; parts++) { /* ends: at least one more each time */
        uint32_t number = (uint32_t)(((uintptr_t)stacks[i] - base) / WF_STACK_BYTES);
        uint32_t group = number / WF_SLOTSET_GROUP;
        uint32_t mask = 0;
        do {
            mask |= 1u << number % WF_SLOTSET_GROUP;
            if (++i == n) {
                break;
            }
            number = (uint32_t)(((uintptr_t)stacks[i] - base) / WF_STACK_BYTES);
        } while (number / WF_SLOTSET_GROUP == group);
        groups[parts] = group;
        masks[parts] = mask;
    }
    wf_lock(&region.free_lock);
    for (uint32_t i = 0; i < parts; i++) {
        wf_slotset_put(&region.free, groups[i], (uint16_t)masks[i], used);
    }
    wf_unlock(&region.free_lock);
}

/* Moves the oldest n of the cache there: the newest are warm. */
static void share_oldest(struct wf_stack_cache *cache, uint32_t n)
{
    free_push(cache->stacks, n, true);
    cache->count -= n;
    cache->given_shared += n;
    memmove(cache->stacks, cache->stacks + n, cache->count * sizeof cache->stacks[0]);
}

static void share_all(struct wf_stack_cache *cache)
{
    while (cache->count > 0) { /* ends: shrinks */
        share_oldest(cache, cache->count < SHARE_BATCH ? cache->count : SHARE_BATCH);
    }
}

/* Fills an empty cache with a batch; returns how many. Of each a line is fetched: each is in a page
 * of its own, and whatever touches that first waits for its translation, but the processor looks
 * for several of these at a time (docs/adr/0038). */
static uint32_t take_shared(struct wf_stack_cache *cache)
{
    cache->count = free_pop(false, cache->stacks);
    cache->taken_shared += cache->count;
    for (uint32_t i = 0; i < cache->count; i++) {
        wf_prefetch_write(cache->stacks[i]);
    }
    return cache->count;
}

static void trim_shared(void)
{
    for (int i = 0; i < TRIM_BATCHES; i++) {
        struct wf_fiber *stacks[SHARE_BATCH];
        uint32_t n = free_pop(true, stacks);
        if (n == 0) {
            return;
        }
        for (uint32_t k = 0; k < n; k++) {
            fiber_trim(stacks[k]);
        }
        free_push(stacks, n, false);
    }
}

/* ---- taking and giving ---- */

WF_COLD bool wf_stack_cache_fill(struct wf_stack_cache *cache)
{
    if (cache->count > 0 || take_shared(cache) > 0) {
        return true;
    }
    if (cache->fresh_next == cache->fresh_end && !reserve_fresh(cache)) {
        return false;
    }
    cache->stacks[cache->count++] = fiber_make(cache->fresh_next++);
    cache->taken_fresh++;
    return true;
}

struct wf_fiber *wf_fiber_take(struct wf_stack_cache *cache)
{
    if (wf_likely(cache->count > 0)) {
        cache->taken_warm++;
    } else if (!wf_stack_cache_fill(cache)) {
        return NULL;
    }
    struct wf_fiber *fiber = cache->stacks[--cache->count];
    if (cache->count > 1) {
        struct wf_fiber *soon = cache->stacks[cache->count - 2]; /* the next has been fetched */
        wf_fiber_fetch(soon);
        wf_fiber_fetch_rest(soon);
    }
    return fiber;
}

void wf_fiber_give(struct wf_stack_cache *cache, struct wf_fiber *fiber)
{
    wf_check_inner(fiber != wf_self());
    fiber_check(fiber);
    fiber->generation++;
    fiber->env = NULL;
    fiber->used = true;
    wf_asan_poison(fiber->stack_low, fiber->stack_bytes);
    if (wf_unlikely(cache->count == WF_STACK_CACHE_MAX)) {
        share_oldest(cache, SHARE_BATCH);
    }
    cache->stacks[cache->count++] = fiber;
    cache->given++;
}

void wf_stack_cache_trim(struct wf_stack_cache *cache, int64_t now_ns)
{
    if (now_ns - cache->trimmed_ns < TRIM_PERIOD_NS) {
        return;
    }
    cache->trimmed_ns = now_ns;
    cache->trims++;
    for (uint32_t i = 0; i < cache->count; i++) {
        fiber_trim(cache->stacks[i]);
    }
    trim_shared();
}

void wf_stack_cache_drain(struct wf_stack_cache *cache)
{
    unreserve_fresh(cache);
    share_all(cache);
    /* Others reserved after us: make the rest, so that it is not lost. */
    while (cache->fresh_next < cache->fresh_end) {
        cache->stacks[cache->count++] = fiber_make(cache->fresh_next++);
    }
    share_all(cache);
}
_Static_assert(FRESH_BATCH <= WF_STACK_CACHE_MAX && SHARE_BATCH <= WF_STACK_CACHE_MAX,
               "wf_stack_cache_drain");

/* ---- switching ---- */

void wf_fiber_start(struct wf_fiber *fiber, wf_entry_fn *entry)
{
    wf_asan_unpoison(fiber->stack_low, fiber->stack_bytes);
    if (WF_TSAN) {
        if (fiber->tsan_fiber) {
            wf_tsan_destroy(fiber->tsan_fiber);
        }
        fiber->tsan_fiber = wf_tsan_create();
    }
    uint64_t *context = (uint64_t *)wf_fiber_top(fiber) - CONTEXT_WORDS;
    memset(context, 0, CONTEXT_WORDS * sizeof *context);
    context[CONTEXT_MODES] = region.modes[CONTEXT_MODES];
    context[CONTEXT_FIBER] = (uintptr_t)fiber;
    context[CONTEXT_ENTRY] = (uintptr_t)entry;
    context[CONTEXT_CONTINUE] = (uintptr_t)&wf_switch_begin;
    fiber->sp = context;
}

/* What a switch tells ASan on arrival. Lies on the stack that is left. */
struct arrival {
    wf_after_fn *after;
    void *arg;
};

/* ASan builds: `after` of every switch. Not instrumented: until the first line is done, ASan
 * believes to be elsewhere. The bounds of the stack that was left are how those of a thread's own
 * stack become known. */
WF_NO_ASAN WF_UNUSED static void arrive(struct wf_fiber *now, struct wf_fiber *before, void *record)
{
    wf_asan_switch_end(now->asan_stack, &before->stack_low, &before->stack_bytes);
    struct arrival arrival = *(struct arrival *)record;
    if (arrival.after) {
        arrival.after(now, before, arrival.arg);
    }
}

/* Never inline: TSan must not see a function begin on one stack and end on another. */
WF_NOINLINE WF_NO_TSAN int wf_fiber_switch_watched(struct wf_fiber *to, struct wf_fiber *from,
                                                   void *arg, wf_after_fn *after)
{
    wf_check_inner(from != to);
    if (WF_CHECKS && from->index != UINT32_MAX) {
        fiber_check(from);
    }
    if (WF_TSAN) {
        wf_tsan_switch(to->tsan_fiber);
    }
    if (WF_ASAN) {
        struct arrival arrival = {after, arg};
        wf_asan_switch_begin(&from->asan_stack, to->stack_low, to->stack_bytes);
        return wf_switch_context(to, from, &arrival, arrive);
    }
    return wf_switch_context(to, from, arg, after);
}

WF_NOINLINE void wf_fiber_home_init(struct wf_fiber *home)
{
    *home = (struct wf_fiber){
        .index = UINT32_MAX,
        .thread_errno = &errno,
        .tsan_fiber = wf_tsan_current(),
        .canary = WF_FIBER_CANARY,
    };
}
