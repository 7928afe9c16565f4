/* fiber.h: stacks, and the switch between them.
 *
 * A fiber is a stack with its control block at a place near the top of its slot that follows from
 * the slot's address. Slots have one size, are aligned to it, and lie in one region of address
 * space per process, so that the code which runs on a stack finds the block by masking its stack
 * pointer (wf_self): no thread-local storage, and right after a migration too, because a frame
 * never changes stack. Every worker's loop runs on a fiber; work is called directly on it; the
 * fiber is "suspended" while its context is saved in it and nobody runs on it.
 *
 * Who may call: workers, on their fibers. wf_self and wf_stacks_* may be called from any thread.
 * It does not schedule: it knows neither queues nor tasks, and never chooses where to switch.
 *
 * A slot, from low addresses to high:
 *     guard (WF_STACK_GUARD_BYTES) | stack, grows down ... | colour (0 to 7 times 256 bytes) |
 *     struct wf_fiber | a gap (0 to 15 pages), which nobody touches
 *
 * Life of a stack:
 *     absent  -> idle      [wf_fiber_take, fresh slot: committed, guarded, block written]
 *     idle    -> prepared  [wf_fiber_take, then wf_fiber_start]
 *     prepared-> running   [wf_fiber_switch to it: after(), then entry()]
 *     running -> suspended [wf_fiber_switch from it] -> running [wf_fiber_switch to it]
 *     suspended -> idle    [wf_fiber_give, from another stack: what was on it is abandoned]
 * Running: one thread executes on it, `sp` is meaningless. Suspended: `sp` is its context, nobody
 * executes on it, and whoever holds the pointer may switch to it, once. Idle: in a cache or the
 * set of free ones; nothing on it is alive.
 *
 * Guarantees:
 *   G.1 Publication after the switch. `after` runs on the next stack, when the context of the one
 *       before is complete: a fiber that becomes visible to other threads in `after` (and never
 *       earlier) can be resumed by them at once.
 *   G.2 A switch keeps, for the stack that it leaves: callee-saved registers, the modes of the
 *       floating-point unit (mxcsr and x87 control word; fpcr), errno. It keeps no signal mask and
 *       no thread-local storage: code that suspends may continue on another thread. A prepared
 *       stack begins with the modes of the thread that opened the region, and with any errno.
 *   G.3 The switch hands over the worker: after it, to->worker and to->thread_errno are those of
 *       `from`. So self->worker is right at any time, and must be read again after each
 *       suspension.
 *   G.4 A stack that runs into its guard ends the process with a message that names the task
 *       (SIGABRT); it never writes into its neighbour, as long as the guard mode is not
 *       WF_GUARD_CANARY.
 *   G.5 A child of fork(2) sees no region: wf_self is NULL there, on every stack. */
#ifndef WF_FIBER_H
#define WF_FIBER_H

#include "pool/base/atomic.h"
#include "pool/base/compiler.h"
#include "pool/work.h"
#include <stdbool.h>

/* Slot size and alignment. 256 KiB of address space; only touched pages cost memory (measured: 385
 * bytes of page tables more than 64 KiB slots, and TLS handshakes need up to 320 KiB elsewhere). */
#define WF_STACK_BYTES ((size_t)256 * 1024)
/* Rounded up to whole pages. More than one page, so that a frame with a buffer of a few KiB cannot
 * step over it. */
#define WF_STACK_GUARD_BYTES ((size_t)16 * 1024)
/* The block's share of the slot, at its top. */
#define WF_FIBER_BYTES ((size_t)256)
/* The share of src's struct wf_call in the block. */
#define WF_FIBER_CALL_BYTES ((size_t)96)
/* Frames of different stacks begin at different addresses modulo a page, so that they do not share
 * the few sets of a cache. Half of the top page stays for frames; 16 measured no better. */
#define WF_STACK_COLOURS      8
#define WF_STACK_COLOUR_BYTES ((size_t)256)
/* Blocks lie in one of so many pages, by bits of the slot's address. In the same page of each slot
 * they would share few sets of the processor's second-level TLB: with a page in each of 80 slots of
 * 256 KiB every look at another one took 15 ns, with 16 places 3 ns for up to 190 (docs/adr/0038).
 * The gap costs address space of a stack, no memory. */
#define WF_STACK_PAGES 16

struct wf_deque;
struct wf_env;
struct wf_home;
struct wf_worker;

/* Written by the worker that runs the stack, or holds it, alone: nothing here is atomic. */
struct wf_fiber {
    /* First line: read or written at each switch and resumption. */
    struct wf_home *home;     /* while taken, valid as worker.h says; owner: the strand itself */
    struct wf_env *env;       /* task and scope that the running code belongs to; owner: src/ */
    struct wf_worker *worker; /* that runs this stack now; set by the switch */
    void *sp;                 /* the context, while suspended or prepared */
    struct wf_work resume;    /* queued to make this fiber ready; owner: whoever suspends it */
    uint32_t budget;          /* owner: the worker's loop */
    int saved_errno;          /* while suspended */
    int *thread_errno;        /* &errno of the thread that runs this stack now; set by the switch */

    /* Second line and further: seldom, but in a hand-over. */
    /* hints for wf_fiber_lying, low bits of addresses: where the call returns to in which it lies,
     * and the same of the stack that was left for this one */
    uint32_t left_at, came_after;
    uint32_t index;      /* of the slot; UINT32_MAX for a thread's own stack */
    uint32_t generation; /* + 1 at each give: a stale pointer can be told */
    uint8_t guard;       /* enum wf_guard */
    bool used;           /* ran since its pages were last given back */
    uint32_t valgrind_stack;
    /* For dumps, which read it racily. Owner: the strand itself, when it suspends. */
    const char *waits_for; /* a static string; NULL: it runs, or is ready */
    const void *waits_at;  /* what `waits_for` is about */
    const void *stack_low; /* bounds, for sanitizers and dumps: lowest usable byte, and size */
    size_t stack_bytes;
    uint64_t canary; /* WF_FIBER_CANARY: an overflow from the slot above comes by here */

    /* Sanitizers only. */
    void *asan_stack; /* ASan's fake stack, while suspended */
    void *tsan_fiber;

    /* src's: the call in which the strand lies down in a hand-over (block.h). Others may look at it
     * at any time: this memory stays a block's for as long as the region is open */
    uint64_t call[WF_FIBER_CALL_BYTES / sizeof(uint64_t)];
} WF_ALIGNED(WF_LINE);

#define WF_FIBER_CANARY UINT64_C(0x7BADCA9A417BADCA)

_Static_assert(offsetof(struct wf_fiber, home) == 0, "the order of the hot fields");
_Static_assert(offsetof(struct wf_fiber, env) == 8, "the order of the hot fields");
_Static_assert(offsetof(struct wf_fiber, worker) == 16, "switch_*.S");
_Static_assert(offsetof(struct wf_fiber, sp) == 24, "switch_*.S");
_Static_assert(offsetof(struct wf_fiber, resume) == 32, "switch_*.S");
_Static_assert(offsetof(struct wf_fiber, saved_errno) == 52, "switch_*.S");
_Static_assert(offsetof(struct wf_fiber, thread_errno) == 56, "switch_*.S");
_Static_assert(offsetof(struct wf_fiber, left_at) == WF_LINE, "switch_*.S; one line is hot");
_Static_assert(offsetof(struct wf_fiber, came_after) == WF_LINE + 4, "switch_*.S");
_Static_assert(offsetof(struct wf_fiber, asan_stack) <= WF_LINE_PAIR,
               "take, suspend and give touch two lines");
_Static_assert(sizeof(struct wf_fiber) <= WF_FIBER_BYTES, "the slot's layout");

/* ---- the region ---- */

/* Base address and size in bytes of all slots; both 0 before the first wf_stacks_open, after the
 * last close and in a forked child. Written while no fiber exists; read at any time, so each word
 * whole ("volatile"), but in no order: a mix of old and new contains no stack. */
enum { WF_REGION_BASE = 0, WF_REGION_BYTES = 1 };
extern volatile uintptr_t wf_stack_region[2] WF_HIDDEN;

/* The deque of the calling thread, for fork.h: a thread-local variable of this name. On a thread
 * that is no worker, one that takes nothing. This sets it; NULL: to that. Returns what it was. */
struct wf_deque *wf_thread_deque(struct wf_deque *deque);

/* 1 in a child of fork(2) whose parent had opened the region: nothing of the pool works there. */
extern int wf_forked WF_HIDDEN;

/* The block of the slot with this address in it: at its top, less the gap. By the low bits of the
 * slot's number, so that of slots in a row most are the same distance apart, which the processor's
 * prefetch needs. */
WF_INLINE struct wf_fiber *wf_fiber_in_slot(uintptr_t address)
{
    _Static_assert(WF_STACK_BYTES == (size_t)1 << 18, "the shift by 6 brings bit 18 to 12");
    uintptr_t gap = address >> 6 & (WF_STACK_PAGES - 1) << 12;
    uintptr_t last = (address | (WF_STACK_BYTES - 1)) ^ gap;
    return (struct wf_fiber *)(last - (WF_FIBER_BYTES - 1)); // NOLINT(performance-no-int-to-ptr)
}

/* The fiber that this code runs on; NULL on any stack that is not ours (a foreign thread, a forked
 * child, a signal handler on its own stack). A few instructions; the result stays right across
 * suspensions. */
WF_INLINE struct wf_fiber *wf_self(void)
{
    uintptr_t here = wf_stack_pointer();
    if (wf_unlikely(wf_is_outside(here, wf_stack_region))) {
        return NULL;
    }
    return wf_fiber_in_slot(here);
}

/* Where the first frame begins, below the colour. */
WF_INLINE void *wf_fiber_top(struct wf_fiber *fiber)
{
    return (char *)fiber -
           (uintptr_t)fiber / WF_STACK_BYTES % WF_STACK_COLOURS * WF_STACK_COLOUR_BYTES;
}

/* Whoever will switch to that stack some hundred instructions later: fetches what it reads first,
 * the hot line of the block and, of the top of the stack, where a task that has called something
 * which suspended it lies: its own frame and the context. Not the first line, the loop's, which is
 * of no use until the task ends; and each line that is not needed costs (docs/adr/0038). A hint,
 * which reads nothing: the stack may be another's meanwhile, or gone. */
WF_INLINE void wf_fiber_fetch(struct wf_fiber *fiber)
{
    wf_prefetch_write(fiber);
    char *top = wf_fiber_top(fiber);
    wf_prefetch_write(top - 2 * WF_LINE); /* no loop: compilers do not unroll it */
    wf_prefetch_write(top - 3 * WF_LINE);
    wf_prefetch_write(top - 4 * WF_LINE);
    wf_prefetch_write(top - 5 * WF_LINE);
}

/* What is left besides: the rest of the block, in whose call it may lie, the loop's line, lines
 * that only deep calls have. For a stack that has been left alone for so long that all of it is far
 * away: of 100,000 tasks that wait, or sleep, each took a fifth longer without (docs/adr/0045). For
 * a load, since not all of it is used: what another core has, and nobody writes, stays there. */
WF_INLINE void wf_fiber_fetch_rest(struct wf_fiber *fiber)
{
    wf_prefetch((char *)fiber + WF_LINE);
    wf_prefetch((char *)fiber + 2 * WF_LINE);
    wf_prefetch((char *)fiber + 3 * WF_LINE);
    char *top = wf_fiber_top(fiber);
    wf_prefetch(top - WF_LINE);
    wf_prefetch(top - 6 * WF_LINE);
    wf_prefetch(top - 7 * WF_LINE);
    wf_prefetch(top - 8 * WF_LINE);
}

/* The fiber whose `resume` this is, if it is one, by its address alone. NULL: it is no fiber's. */
WF_INLINE struct wf_fiber *wf_fiber_resumed_by(struct wf_work *work)
{
    struct wf_fiber *fiber = wf_fiber_in_slot((uintptr_t)work);
    return work == &fiber->resume ? fiber : NULL;
}

enum wf_guard {
    WF_GUARD_MARKER, /* MADV_GUARD_INSTALL (kernel 6.13): no cost per stack */
    /* mprotect: two mappings per stack, so for the first max_map_count / 8 stacks only */
    WF_GUARD_PAGE,
    /* none: words are compared at give, and in development builds at each switch */
    WF_GUARD_CANARY,
};

/* Reserves address space for `stacks_max` slots; the first runtime does, later ones only count
 * (stacks_max is then ignored). On refusal it tries half as many, down to 1,024. Installs the
 * SIGSEGV handler that names the task whose stack overflowed. 0; -ENOMEM: refused; -ENOSYS: in a
 * forked child. */
int wf_stacks_open(size_t stacks_max);

/* The last close unmaps every stack and puts the former SIGSEGV handler back. No fiber may be
 * running or kept. */
void wf_stacks_close(void);

/* What the next fresh stack is guarded by. */
enum wf_guard wf_stacks_guard_mode(void);

struct wf_stacks_report {
    size_t slots_max;     /* reserved */
    size_t slots_fresh;   /* handed out at least once, to a cache or to a user */
    size_t slots_free;    /* of those that all caches share */
    size_t guarded_pages; /* slots with WF_GUARD_PAGE */
    size_t guarded_none;  /* slots with WF_GUARD_CANARY */
    enum wf_guard guard;
};

/* Any thread: calls visit(fiber, arg) for each slot that was ever handed out. What is in it may
 * change meanwhile: a visitor copies what it follows with wf_sys.peek. */
void wf_stacks_each(void (*visit)(struct wf_fiber *fiber, void *arg), void *arg);

/* Any thread. The numbers are of one moment. All zero when no region is open. */
void wf_stacks_report(struct wf_stacks_report *report);

/* Writes what the code on this fiber is, as "task NAME (spawned FILE:LINE)", NUL-terminated, at
 * most n bytes. Called in a signal handler. NULL (the default) prints "a stack". Set before the
 * first wf_stacks_open, and by each runtime anew: two may start at once. */
typedef void wf_fiber_describe_fn(struct wf_fiber *fiber, char *text, size_t n);
struct wf_fiber_hooks {
    WF_ATOMIC(wf_fiber_describe_fn *) describe;
    WF_ATOMIC(wf_work_fn *) run_call; /* how a worker runs a wf_call_section. Set likewise */
};
extern struct wf_fiber_hooks wf_fiber_hooks;

/* ---- taking and giving ---- */

#define WF_STACK_CACHE_MAX 32

/* One per worker, used by its thread alone. All zero is an empty cache. */
struct wf_stack_cache {
    uint32_t count;
    uint32_t fresh_next, fresh_end; /* slots reserved for this worker, never used so far */
    int64_t trimmed_ns;             /* when wf_stack_cache_trim last worked */
    uint64_t taken_warm, taken_shared, taken_fresh, given, given_shared, trims; /* counters */
    /* LIFO: the newest is the warmest */
    struct wf_fiber *stacks[WF_STACK_CACHE_MAX];
};

/* An idle stack: from the cache, else from the free ones, else a fresh slot. NULL when none is to
 * be had. Its env is NULL, its worker is not set: the switch sets that. */
struct wf_fiber *wf_fiber_take(struct wf_stack_cache *cache);

/* Makes sure that the next wf_fiber_take succeeds. False: no stack is to be had. */
bool wf_stack_cache_fill(struct wf_stack_cache *cache);

/* Takes back a stack that nobody runs on and nobody will resume; not the caller's own. */
void wf_fiber_give(struct wf_stack_cache *cache, struct wf_fiber *fiber);

/* Gives back the pages beyond the top 16 KiB of idle stacks that ran since: those of the cache, and
 * 64 of the free ones. Works at most every 100 ms, for at most 50 us, so that a worker may call it
 * each time before it sleeps. */
void wf_stack_cache_trim(struct wf_stack_cache *cache, int64_t now_ns);

/* Gives everything to the free stacks: when the worker ends. */
void wf_stack_cache_drain(struct wf_stack_cache *cache);

/* ---- switching ---- */

/* Runs first on the stack that is switched to: `before` is suspended now, and may be published,
 * given or resumed. */
typedef void wf_after_fn(struct wf_fiber *now, struct wf_fiber *before, void *arg);

/* What a prepared stack runs. Never returns: it switches away for good. */
typedef void wf_entry_fn(struct wf_fiber *self);

/* Prepares an idle stack, so that the first switch to it runs `after` and then entry(fiber). */
void wf_fiber_start(struct wf_fiber *fiber, wf_entry_fn *entry);

/* What does the work, in switch_*.S, and what builds that check something do before. The arguments
 * are in the order in which `after` has them: none is moved. All return 0. */
int wf_switch_context(struct wf_fiber *to, struct wf_fiber *from, void *arg,
                      wf_after_fn *after) WF_HIDDEN;
int wf_switch_queued(struct wf_fiber *to, struct wf_fiber *from, void *unless, wf_after_fn *after,
                     void *slot, void *count) WF_HIDDEN;
int wf_fiber_switch_watched(struct wf_fiber *to, struct wf_fiber *from, void *arg,
                            wf_after_fn *after) WF_HIDDEN;

/* Suspends `from`, which is the caller's own stack, and continues `to`, which is suspended or
 * prepared. The first thing that runs there is after(to, from, arg), if not NULL. Returns when
 * somebody switches to `from`, perhaps on another thread: 0, so that a public call can end with it.
 * `arg` may point into the stack of `from`, for use before it is published. `after` may itself
 * switch, in which case `to` is suspended in the middle of it. */
WF_INLINE int wf_fiber_switch(struct wf_fiber *from, struct wf_fiber *to, wf_after_fn *after,
                              void *arg)
{
    return WF_WATCHED ? wf_fiber_switch_watched(to, from, arg, after)
                      : wf_switch_context(to, from, arg, after);
}

/* The same, and when the context of `from` is complete, and before `after`: its resume work is
 * stored in *slot, and then, with release, *count is one more. So it is put into a queue with one
 * producer (wf_runq_place), whose other users may continue it at once. `after`, whose arg is
 * `unless`, is called only if *unless, an atomic uint32_t that is read after that in the order of
 * the program (wf_fence_light), is 0. Not in builds with a sanitizer, which follow stacks by
 * calls. */
WF_INLINE int wf_fiber_switch_queued(struct wf_fiber *from, struct wf_fiber *to, wf_after_fn *after,
                                     void *unless, void *slot, void *count)
{
    return wf_switch_queued(to, from, unless, after, slot, count);
}

/* The same with an `after` that arms a word of 64 bits, `word`: sets its lowest bit, with release
 * and acquire, if the lowest three are clear, and if they are not any more does what `otherwise`
 * does. `after` is both in C, for where they are not in line: in builds that check something, and
 * where the assembly was not written. */
int wf_switch_arming(struct wf_fiber *to, struct wf_fiber *from, void *word,
                     wf_after_fn *otherwise) WF_HIDDEN;
WF_INLINE int wf_fiber_switch_arming(struct wf_fiber *from, struct wf_fiber *to, wf_after_fn *after,
                                     wf_after_fn *otherwise, void *word)
{
    if (!WF_X86_64 || WF_WATCHED) {
        to->came_after = from->left_at; /* as the assembly does */
        return wf_fiber_switch(from, to, after, word);
    }
    return wf_switch_arming(to, from, word, otherwise);
}

/* fn(self, object, detail), for a public call to end with, in which `self` is about to lie down by
 * wf_fiber_switch_arming; what it returns. The return to the caller is one that the processor
 * predicts, although other stacks have called meanwhile. */
#define WF_PREDICTS (WF_X86_64 && !WF_MODEL && !WF_ASAN && !WF_TSAN)
typedef int wf_lying_fn(struct wf_fiber *self, void *object, void *detail);
int wf_switch_lying(struct wf_fiber *self, void *object, void *detail, wf_lying_fn *fn) WF_HIDDEN;
WF_INLINE int wf_fiber_lying(struct wf_fiber *self, void *object, void *detail, wf_lying_fn *fn)
{
    return WF_PREDICTS ? wf_switch_lying(self, object, detail, fn) : fn(self, object, detail);
}

/* The same with two arguments more. */
typedef int wf_lying_for_fn(struct wf_fiber *self, void *object, void *detail, void *more,
                            void *owed);
int wf_switch_lying_for(struct wf_fiber *self, void *object, void *detail, void *more, void *owed,
                        wf_lying_for_fn *fn) WF_HIDDEN;
WF_INLINE int wf_fiber_lying_for(struct wf_fiber *self, void *object, void *detail, void *more,
                                 void *owed, wf_lying_for_fn *fn)
{
    return WF_PREDICTS ? wf_switch_lying_for(self, object, detail, more, owed, fn)
                       : fn(self, object, detail, more, owed);
}

/* ---- a thread's own stack ---- */

/* Makes a block for the calling thread's own stack, in memory of the caller (no slot; wf_self there
 * stays NULL). The caller sets home->worker; then wf_fiber_switch(home, first, ...)
 * starts the worker, and wf_fiber_switch(last, home, ...) ends it, on the same thread. */
void wf_fiber_home_init(struct wf_fiber *home);

#endif
