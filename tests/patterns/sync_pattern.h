/* sync_pattern.h: what the tests of mutex, rwlock, event and their kin share: noting misuse instead
 * of dying of it, letting others come to rest, and the dice of the races. */
#ifndef SYNC_PATTERN_H
#define SYNC_PATTERN_H

#include "pattern.h"
#include <stdio.h>

static char misuse_said[512]; /* by the last misuse */
static atomic_int misuses;

static inline void misuse_note(const char *what)
{
    snprintf(misuse_said, sizeof misuse_said, "%s", what);
    atomic_fetch_add(&misuses, 1);
}

static inline void misuse_noted(void) /* .init of a test */
{
    weft_on_misuse(misuse_note);
}

/* With one worker: everybody else runs until it waits. */
static inline void settle(void)
{
    for (int i = 0; i < 20; i++) {
        weft_yield();
    }
}

static inline uint32_t roll(uint32_t *dice)
{
    *dice = *dice * 1664525 + 1013904223;
    return *dice >> 8;
}

/* A deadline that is about as long as a turn of the others: now before them, now after. */
static inline weft_time short_patience(uint32_t *dice)
{
    uint32_t n = roll(dice);
    return n % 8 == 0 ? 0 : WEFT_NS(n % 40000);
}

#endif
