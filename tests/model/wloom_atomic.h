/* wloom_atomic.h: what pool/base/atomic.h is in a model-checking build. The same names; each
 * operation is a step of the checker, and each place in the source where one stands is a site,
 * which can be mutated. */
#ifndef WLOOM_ATOMIC_H
#define WLOOM_ATOMIC_H

#include "tests/model/wloom_engine.h"

/* As large as in production, so that offsets are the same; the checker knows a location by its
 * address. */
#define WF_ATOMIC(T) \
    struct {         \
        T value_;    \
    }
#define WF_ATOMIC_INIT(v) \
    {                     \
        (v)               \
    }

#define WLOOM_SITE(p, op, order, failure)                                            \
    static struct wloom_site site_ = {__FILE__, __LINE__,         #p,    op,  order, \
                                      failure,  WLOOM_AS_WRITTEN, false, NULL}
#define WLOOM_U64(v)       ((uint64_t)(uintptr_t)(v))
#define WLOOM_RESULT(p, u) ((__typeof__((p)->value_))(uintptr_t)(u))
#define WLOOM_TYPED(p, v)  ((void)sizeof((p)->value_ = (v))) /* a type error is one here too */

#define WLOOM_LOAD_(p, order)                                                   \
    ({                                                                          \
        WLOOM_SITE(p, WLOOM_LOAD, order, WLOOM_RELAXED);                        \
        WLOOM_RESULT(p, wloom_load(&(p)->value_, sizeof((p)->value_), &site_)); \
    })
#define WLOOM_STORE_(p, v, order)                                             \
    ({                                                                        \
        WLOOM_SITE(p, WLOOM_STORE, order, WLOOM_RELAXED);                     \
        WLOOM_TYPED(p, v);                                                    \
        wloom_store(&(p)->value_, sizeof((p)->value_), WLOOM_U64(v), &site_); \
    })
#define WLOOM_RMW_(p, v, op, order)                                                          \
    ({                                                                                       \
        WLOOM_SITE(p, op, order, WLOOM_RELAXED);                                             \
        WLOOM_RESULT(p, wloom_rmw(&(p)->value_, sizeof((p)->value_), WLOOM_U64(v), &site_)); \
    })
#define WLOOM_CAS_(p, expected, desired, order, failure)                                      \
    ({                                                                                        \
        WLOOM_SITE(p, WLOOM_CAS, order, failure);                                             \
        WLOOM_TYPED(p, desired);                                                              \
        (void)sizeof(&(p)->value_ == (expected));                                             \
        wloom_cas(&(p)->value_, sizeof((p)->value_), (expected), WLOOM_U64(desired), &site_); \
    })
#define WLOOM_FENCE_(order)                              \
    ({                                                   \
        WLOOM_SITE(, WLOOM_FENCE, order, WLOOM_RELAXED); \
        wloom_fence(&site_);                             \
    })

#define wf_load_relaxed(p)     WLOOM_LOAD_(p, WLOOM_RELAXED)
#define wf_load_acquire(p)     WLOOM_LOAD_(p, WLOOM_ACQUIRE)
#define wf_load_seq_cst(p)     WLOOM_LOAD_(p, WLOOM_SEQ_CST)
#define wf_store_relaxed(p, v) WLOOM_STORE_(p, v, WLOOM_RELAXED)
#define wf_store_release(p, v) WLOOM_STORE_(p, v, WLOOM_RELEASE)
#define wf_store_seq_cst(p, v) WLOOM_STORE_(p, v, WLOOM_SEQ_CST)

#define wf_xchg_relaxed(p, v) WLOOM_RMW_(p, v, WLOOM_XCHG, WLOOM_RELAXED)
#define wf_xchg_acquire(p, v) WLOOM_RMW_(p, v, WLOOM_XCHG, WLOOM_ACQUIRE)
#define wf_xchg_release(p, v) WLOOM_RMW_(p, v, WLOOM_XCHG, WLOOM_RELEASE)
#define wf_xchg_acq_rel(p, v) WLOOM_RMW_(p, v, WLOOM_XCHG, WLOOM_ACQ_REL)
#define wf_xchg_seq_cst(p, v) WLOOM_RMW_(p, v, WLOOM_XCHG, WLOOM_SEQ_CST)

#define wf_cas_relaxed(p, e, d)         WLOOM_CAS_(p, e, d, WLOOM_RELAXED, WLOOM_RELAXED)
#define wf_cas_acquire(p, e, d)         WLOOM_CAS_(p, e, d, WLOOM_ACQUIRE, WLOOM_RELAXED)
#define wf_cas_release(p, e, d)         WLOOM_CAS_(p, e, d, WLOOM_RELEASE, WLOOM_RELAXED)
#define wf_cas_acq_rel(p, e, d)         WLOOM_CAS_(p, e, d, WLOOM_ACQ_REL, WLOOM_RELAXED)
#define wf_cas_seq_cst(p, e, d)         WLOOM_CAS_(p, e, d, WLOOM_SEQ_CST, WLOOM_RELAXED)
#define wf_cas_acq_rel_acquire(p, e, d) WLOOM_CAS_(p, e, d, WLOOM_ACQ_REL, WLOOM_ACQUIRE)

#define wf_add_relaxed(p, v) WLOOM_RMW_(p, v, WLOOM_ADD, WLOOM_RELAXED)
#define wf_add_owned(p, v)   wf_store_relaxed((p), wf_load_relaxed(p) + (v))
#define wf_add_acquire(p, v) WLOOM_RMW_(p, v, WLOOM_ADD, WLOOM_ACQUIRE)
#define wf_add_release(p, v) WLOOM_RMW_(p, v, WLOOM_ADD, WLOOM_RELEASE)
#define wf_add_acq_rel(p, v) WLOOM_RMW_(p, v, WLOOM_ADD, WLOOM_ACQ_REL)
#define wf_add_seq_cst(p, v) WLOOM_RMW_(p, v, WLOOM_ADD, WLOOM_SEQ_CST)
#define wf_sub_relaxed(p, v) WLOOM_RMW_(p, -WLOOM_U64(v), WLOOM_ADD, WLOOM_RELAXED)
#define wf_sub_release(p, v) WLOOM_RMW_(p, -WLOOM_U64(v), WLOOM_ADD, WLOOM_RELEASE)
#define wf_sub_acq_rel(p, v) WLOOM_RMW_(p, -WLOOM_U64(v), WLOOM_ADD, WLOOM_ACQ_REL)
#define wf_sub_seq_cst(p, v) WLOOM_RMW_(p, -WLOOM_U64(v), WLOOM_ADD, WLOOM_SEQ_CST)
#define wf_or_relaxed(p, v)  WLOOM_RMW_(p, v, WLOOM_OR, WLOOM_RELAXED)
#define wf_or_release(p, v)  WLOOM_RMW_(p, v, WLOOM_OR, WLOOM_RELEASE)
#define wf_or_acq_rel(p, v)  WLOOM_RMW_(p, v, WLOOM_OR, WLOOM_ACQ_REL)
#define wf_or_seq_cst(p, v)  WLOOM_RMW_(p, v, WLOOM_OR, WLOOM_SEQ_CST)
#define wf_and_relaxed(p, v) WLOOM_RMW_(p, v, WLOOM_AND, WLOOM_RELAXED)
#define wf_and_acq_rel(p, v) WLOOM_RMW_(p, v, WLOOM_AND, WLOOM_ACQ_REL)
#define wf_and_seq_cst(p, v) WLOOM_RMW_(p, v, WLOOM_AND, WLOOM_SEQ_CST)

/* Of an asymmetric pair: see pool/base/atomic.h. A thread's own steps are never exchanged here. */
#define wf_fence_light() ((void)0)
/* Stronger than what it is here, but only where the other is stronger too. */
#define wf_fence_after_rmw() wf_fence_seq_cst()
#define wf_fence_heavy()                                         \
    ({                                                           \
        WLOOM_SITE(, WLOOM_FENCE, WLOOM_SEQ_CST, WLOOM_RELAXED); \
        wloom_fence_heavy(&site_);                               \
    })

#define wf_fence_acquire() WLOOM_FENCE_(WLOOM_ACQUIRE)
#define wf_fence_release() WLOOM_FENCE_(WLOOM_RELEASE)
#define wf_fence_seq_cst() WLOOM_FENCE_(WLOOM_SEQ_CST)

#define WF_PLAIN(T) \
    struct {        \
        T plain_;   \
    }
#define wf_plain_read(p) (*(wloom_plain_read(&(p)->plain_, __FILE__, __LINE__), &(p)->plain_))
#define wf_plain_write(p, v) \
    (wloom_plain_write(&(p)->plain_, __FILE__, __LINE__), (void)((p)->plain_ = (v)))

#define wf_spin_hint() wloom_yield()

#endif
