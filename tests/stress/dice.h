/* dice.h: what stress tests roll, the seed of it, and the clock by which they end.
 *
 * Who may include it: tests/stress. Any thread; each has dice of its own. */
#ifndef WT_DICE_H
#define WT_DICE_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* CLOCK_MONOTONIC, ns. */
static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* 64 random bits that the first value of *dice repeats: splitmix64. */
static inline uint64_t roll(uint64_t *dice)
{
    uint64_t z = *dice += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 to n - 1. */
static inline unsigned below(uint64_t *dice, unsigned n)
{
    return (unsigned)((roll(dice) >> 11) % n);
}

/* For whoever wants to repeat the run. */
static inline uint64_t print_seed(uint64_t seed)
{
    fprintf(stderr, "WT_SEED=%" PRIu64 "\n", seed);
    return seed;
}

/* WT_SEED of the environment, or one by the clock; printed. It repeats what is rolled, not the
 * interleaving of the threads. */
static inline uint64_t first_seed(void)
{
    const char *given = getenv("WT_SEED");
    return print_seed(given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now_ns());
}

/* Rounds, each by a seed of its own, until for_ns have gone by. */
static inline void play(int workers, int64_t for_ns, void (*play_round)(int workers, uint64_t seed))
{
    int64_t until_ns = now_ns() + for_ns;
    uint64_t seed = first_seed();
    play_round(workers, seed);
    while (now_ns() < until_ns) {
        seed = print_seed(roll(&seed));
        play_round(workers, seed);
    }
}

#endif
