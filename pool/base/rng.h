/* rng.h: xorshift64*, for choosing steal victims. Not for secrets. One state per worker; seeds come
 * from the caller, so that a seeded run repeats. Source: Marsaglia, "Xorshift RNGs", 2003;
 * multiplier: Vigna, 2016. */
#ifndef WF_RNG_H
#define WF_RNG_H

#include "pool/base/compiler.h"

struct wf_rng {
    uint64_t state; /* never 0 */
};

WF_INLINE void wf_rng_seed(struct wf_rng *rng, uint64_t seed)
{
    rng->state = seed * 0x9E3779B97F4A7C15u + 1;
    if (rng->state == 0) {
        rng->state = 1;
    }
}

WF_INLINE uint64_t wf_rng_next(struct wf_rng *rng)
{
    uint64_t x = rng->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    rng->state = x;
    return x * 0x2545F4914F6CDD1Du;
}

/* 0 <= result < bound; bound > 0. */
WF_INLINE uint32_t wf_rng_below(struct wf_rng *rng, uint32_t bound)
{
    return (uint32_t)(((wf_rng_next(rng) >> 32) * bound) >> 32);
}

#endif
