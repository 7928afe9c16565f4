/* atomic.h: atomic operations whose names say their order, and the seam where a model checker takes
 * over.
 *
 * Everybody who shares memory between threads uses these and nothing else: `x = 1` on an atomic
 * field does not compile, because the value is wrapped. In a model-checking build (WF_MODEL=1,
 * tests/model/) each operation becomes a scheduling point of the checker, each wf_plain_* access is
 * checked for data races, and the sources under test are the same files as in production.
 *
 * Every use that is stronger than relaxed carries a label `sync(area.name)` that names its partner;
 * scripts/check_sync fails on a label without one. Every relaxed use says why no order is needed,
 * where it is not obvious that only one thread writes.
 *
 * Declaring:   WF_ATOMIC(uint64_t) top;
 * Using:       uint64_t t = wf_load_acquire(&q->top);
 *              if (wf_cas_seq_cst(&q->top, &t, t + 1)) ...      (strong; on failure t holds the
 *                                                              value found, read with relaxed
 *                                                              order) */
#ifndef WF_ATOMIC_H
#define WF_ATOMIC_H

#include "pool/base/compiler.h"
#include <stdbool.h>

#if WF_MODEL
#include "tests/model/wloom_atomic.h"
#else
#include <stdatomic.h>

/* A struct, so that a plain assignment, which would be sequentially consistent, is a compile
 * error. */
#define WF_ATOMIC(T)       \
    struct {               \
        _Atomic(T) value_; \
    }
#define WF_ATOMIC_INIT(v) \
    {                     \
        (v)               \
    }

#define wf_load_relaxed(p)     atomic_load_explicit(&(p)->value_, memory_order_relaxed)
#define wf_load_acquire(p)     atomic_load_explicit(&(p)->value_, memory_order_acquire)
#define wf_load_seq_cst(p)     atomic_load_explicit(&(p)->value_, memory_order_seq_cst)
#define wf_store_relaxed(p, v) atomic_store_explicit(&(p)->value_, (v), memory_order_relaxed)
#define wf_store_release(p, v) atomic_store_explicit(&(p)->value_, (v), memory_order_release)
#define wf_store_seq_cst(p, v) atomic_store_explicit(&(p)->value_, (v), memory_order_seq_cst)

#define wf_xchg_relaxed(p, v) atomic_exchange_explicit(&(p)->value_, (v), memory_order_relaxed)
#define wf_xchg_acquire(p, v) atomic_exchange_explicit(&(p)->value_, (v), memory_order_acquire)
#define wf_xchg_release(p, v) atomic_exchange_explicit(&(p)->value_, (v), memory_order_release)
#define wf_xchg_acq_rel(p, v) atomic_exchange_explicit(&(p)->value_, (v), memory_order_acq_rel)
#define wf_xchg_seq_cst(p, v) atomic_exchange_explicit(&(p)->value_, (v), memory_order_seq_cst)

#define WF_CAS_(p, expected, desired, order)                                              \
    atomic_compare_exchange_strong_explicit(&(p)->value_, (expected), (desired), (order), \
                                            memory_order_relaxed)
#define wf_cas_relaxed(p, expected, desired) WF_CAS_(p, expected, desired, memory_order_relaxed)
#define wf_cas_acquire(p, expected, desired) WF_CAS_(p, expected, desired, memory_order_acquire)
#define wf_cas_release(p, expected, desired) WF_CAS_(p, expected, desired, memory_order_release)
#define wf_cas_acq_rel(p, expected, desired) WF_CAS_(p, expected, desired, memory_order_acq_rel)
#define wf_cas_seq_cst(p, expected, desired) WF_CAS_(p, expected, desired, memory_order_seq_cst)
/* As wf_cas_acq_rel, and a failed one acquires what it found: for loops that read through the found
 * pointer. */
#define wf_cas_acq_rel_acquire(p, expected, desired)                             \
    atomic_compare_exchange_strong_explicit(&(p)->value_, (expected), (desired), \
                                            memory_order_acq_rel, memory_order_acquire)

/* Each returns the value before. */
#define wf_add_relaxed(p, v) atomic_fetch_add_explicit(&(p)->value_, (v), memory_order_relaxed)
#define wf_add_acquire(p, v) atomic_fetch_add_explicit(&(p)->value_, (v), memory_order_acquire)
#define wf_add_release(p, v) atomic_fetch_add_explicit(&(p)->value_, (v), memory_order_release)
#define wf_add_acq_rel(p, v) atomic_fetch_add_explicit(&(p)->value_, (v), memory_order_acq_rel)
#define wf_add_seq_cst(p, v) atomic_fetch_add_explicit(&(p)->value_, (v), memory_order_seq_cst)
#define wf_sub_relaxed(p, v) atomic_fetch_sub_explicit(&(p)->value_, (v), memory_order_relaxed)
#define wf_sub_release(p, v) atomic_fetch_sub_explicit(&(p)->value_, (v), memory_order_release)
#define wf_sub_acq_rel(p, v) atomic_fetch_sub_explicit(&(p)->value_, (v), memory_order_acq_rel)
#define wf_sub_seq_cst(p, v) atomic_fetch_sub_explicit(&(p)->value_, (v), memory_order_seq_cst)
#define wf_or_relaxed(p, v)  atomic_fetch_or_explicit(&(p)->value_, (v), memory_order_relaxed)
#define wf_or_release(p, v)  atomic_fetch_or_explicit(&(p)->value_, (v), memory_order_release)
#define wf_or_acq_rel(p, v)  atomic_fetch_or_explicit(&(p)->value_, (v), memory_order_acq_rel)
#define wf_or_seq_cst(p, v)  atomic_fetch_or_explicit(&(p)->value_, (v), memory_order_seq_cst)
#define wf_and_acq_rel(p, v) atomic_fetch_and_explicit(&(p)->value_, (v), memory_order_acq_rel)
#define wf_and_seq_cst(p, v) atomic_fetch_and_explicit(&(p)->value_, (v), memory_order_seq_cst)

/* Adds to what this thread alone stores, and others read: no order, and no locked instruction; on
 * x86 one, where compilers make three of a load and a store. Under TSan it is those two. p: of 4 or
 * 8 bytes. */
#if WF_X86_64 && !WF_TSAN
typedef uint32_t __attribute__((may_alias)) wf_word4_;
typedef uint64_t __attribute__((may_alias)) wf_word8_;
WF_INLINE void wf_add_owned4_(void *at, uint32_t n)
{
    __asm__("addl %1, %0" : "+m"(*(wf_word4_ *)at) : "er"(n) : "cc");
}
WF_INLINE void wf_add_owned8_(void *at, uint64_t n)
{
    __asm__("addq %1, %0" : "+m"(*(wf_word8_ *)at) : "er"(n) : "cc");
}
#define wf_add_owned(p, n)                                         \
    (sizeof((p)->value_) == 4 ? wf_add_owned4_((p), (uint32_t)(n)) \
                              : wf_add_owned8_((p), (uint64_t)(n)))
#else
#define wf_add_owned(p, n) wf_store_relaxed((p), wf_load_relaxed(p) + (n))
#endif

#define wf_fence_acquire() atomic_thread_fence(memory_order_acquire)
#define wf_fence_release() atomic_thread_fence(memory_order_release)

/* A full fence. On x86 a locked read-modify-write of the stack: the fence builtin is `mfence` under
 * clang, 16.5 ns against 2 (measured on Zen 4). Under TSan, which does not see fences, it is the
 * builtin all the same; the data that such fences order is also ordered by acquire and release on
 * the variables themselves. */
WF_INLINE void wf_fence_seq_cst(void)
{
#if WF_X86_64 && !WF_TSAN
    __asm__ volatile("lock orl $0, -8(%%rsp)" ::: "memory", "cc");
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* A full fence where the last thing was a successful read-modify-write, of any order, or a seq_cst
 * store: on x86 that is one. */
WF_INLINE void wf_fence_after_rmw(void)
{
    if (WF_X86_64 && !WF_TSAN) {
        atomic_signal_fence(memory_order_seq_cst);
    } else {
        atomic_thread_fence(memory_order_seq_cst);
    }
}

/* An asymmetric pair. If one thread stores, has a light fence, and loads, and another stores, has a
 * heavy one, and loads, then at least one of the two sees what the other stored, as if both fences
 * were full. The light one only keeps the compiler from exchanging the two; the heavy one is a full
 * fence in each thread of the process (sys.c), and costs microseconds. Only after
 * wf_sys_prepare_fences has said yes. */
WF_INLINE void wf_fence_light(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}
void wf_fence_heavy(void);

/* Plain data whose safety rests on the protocol around it: tagged, so that the model checker can
 * look for races. */
#define WF_PLAIN(T) \
    struct {        \
        T plain_;   \
    }
#define wf_plain_read(p)     ((p)->plain_)
#define wf_plain_write(p, v) ((void)((p)->plain_ = (v)))

/* A spin loop's turn: the model checker lets another thread run. */
#define wf_spin_hint()       wf_cpu_relax()
#endif /* WF_MODEL */

#endif
