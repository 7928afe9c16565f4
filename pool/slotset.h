/* slotset.h: a set of small numbers, from which they are taken by groups of neighbours: the idle
 * stacks that no worker has.
 *
 * Called by fiber.c, under its lock; nothing here is atomic, blocks or allocates.
 *
 * Why neighbours. Whoever takes stacks at a constant distance from each other has the next ones,
 * and their translations, fetched by the processor; in the order in which tasks happened to end it
 * waits for each. Creating 100,000 suspended tasks took 280 ns each on one worker and 430 on two,
 * where nobody ends in order, and takes 255 on both (docs/adr/0038).
 *
 * Terms. *group*: WF_SLOTSET_GROUP successive numbers, the first of which is a multiple of that.
 * *whole*: all of them are in the set. *fresh*: some of them were put as such since the group was
 * last taken (wf_slotset_take_fresh); for who has to visit what is new.
 *
 *      masks   [0xffff] [0x0000] [0x8001] ...    a bit for each number
 *      some     1        0        1       ...    a bit for each group that is not empty
 *      whole    1        0        0       ...
 *      fresh    1        0        0       ...
 *
 * G.1  A number is given out once for each time that it was put.
 * G.2  Whole groups first, and of these the lowest: so a set that gets everything back gives it in
 *      order, and what is seldom used lies together, at the end.
 * G.3  A look costs a word for each 65,536 numbers, and two more. */
#ifndef WF_SLOTSET_H
#define WF_SLOTSET_H

#include "pool/base/check.h"
#include "pool/base/compiler.h"
#include <stddef.h>
#include <stdint.h>

#define WF_SLOTSET_GROUP 16

struct wf_slotset_bits {
    uint64_t *words; /* a bit for each group */
    uint64_t *tops;  /* a bit for each word that is not 0 */
};

struct wf_slotset {
    uint16_t *masks;
    struct wf_slotset_bits some, whole, fresh;
    size_t tops;  /* words in each `tops` */
    size_t count; /* numbers in the set */
};

WF_INLINE size_t wf_slotset_tops_(size_t numbers)
{
    size_t each = (size_t)WF_SLOTSET_GROUP * 64 * 64;
    return (numbers + each - 1) / each;
}

/* Of the memory for a set of 0 to numbers - 1. */
WF_INLINE size_t wf_slotset_bytes(size_t numbers)
{
    size_t tops = wf_slotset_tops_(numbers);
    return tops * 64 * 64 * sizeof(uint16_t) + 3 * (tops * 64 + tops) * sizeof(uint64_t);
}

/* Empty. `memory`: wf_slotset_bytes(numbers), zero, aligned to 8, the caller's. */
WF_INLINE void wf_slotset_init(struct wf_slotset *set, void *memory, size_t numbers)
{
    size_t tops = wf_slotset_tops_(numbers);
    uint64_t *words = (uint64_t *)memory;
    struct wf_slotset_bits *const all[] = {&set->some, &set->whole, &set->fresh};
    for (int i = 0; i < 3; i++) {
        *all[i] = (struct wf_slotset_bits){.tops = words, .words = words + tops};
        words += tops + tops * 64;
    }
    set->masks = (uint16_t *)(void *)words;
    set->tops = tops;
    set->count = 0;
}

WF_INLINE void wf_slotset_mark_(struct wf_slotset_bits *bits, size_t group)
{
    bits->words[group / 64] |= UINT64_C(1) << (group % 64);
    bits->tops[group / 64 / 64] |= UINT64_C(1) << (group / 64 % 64);
}

WF_INLINE void wf_slotset_clear_(struct wf_slotset_bits *bits, size_t group)
{
    bits->words[group / 64] &= ~(UINT64_C(1) << (group % 64));
    if (bits->words[group / 64] == 0) {
        bits->tops[group / 64 / 64] &= ~(UINT64_C(1) << (group / 64 % 64));
    }
}

/* The lowest group that is marked; SIZE_MAX: none. */
WF_INLINE size_t wf_slotset_first_(const struct wf_slotset *set, const struct wf_slotset_bits *bits)
{
    for (size_t i = 0; i < set->tops; i++) {
        if (bits->tops[i] != 0) {
            size_t word = i * 64 + (size_t)__builtin_ctzll(bits->tops[i]);
            return word * 64 + (size_t)__builtin_ctzll(bits->words[word]);
        }
    }
    return SIZE_MAX;
}

/* `mask`: bit i for the number group * WF_SLOTSET_GROUP + i, of numbers that are not in the set. */
WF_INLINE void wf_slotset_put(struct wf_slotset *set, size_t group, uint16_t mask, bool fresh)
{
    wf_check_inner(mask != 0 && (set->masks[group] & mask) == 0);
    set->masks[group] |= mask;
    set->count += (size_t)__builtin_popcount(mask);
    wf_slotset_mark_(&set->some, group);
    if (set->masks[group] == UINT16_MAX) {
        wf_slotset_mark_(&set->whole, group);
    }
    if (fresh) {
        wf_slotset_mark_(&set->fresh, group);
    }
}

/* All of one group, as a mask; 0: `group` is SIZE_MAX. */
WF_INLINE uint16_t wf_slotset_take_(struct wf_slotset *set, size_t group)
{
    if (group == SIZE_MAX) {
        return 0;
    }
    uint16_t mask = set->masks[group];
    set->masks[group] = 0;
    set->count -= (size_t)__builtin_popcount(mask);
    wf_slotset_clear_(&set->some, group);
    wf_slotset_clear_(&set->whole, group);
    wf_slotset_clear_(&set->fresh, group);
    return mask;
}

/* What is in one group, now no longer in the set; 0: the set is empty. */
WF_INLINE uint16_t wf_slotset_take(struct wf_slotset *set, size_t *group)
{
    *group = wf_slotset_first_(set, &set->whole);
    if (*group == SIZE_MAX) {
        *group = wf_slotset_first_(set, &set->some);
    }
    return wf_slotset_take_(set, *group);
}

/* The same, of a group that is fresh; 0: there is none. */
WF_INLINE uint16_t wf_slotset_take_fresh(struct wf_slotset *set, size_t *group)
{
    *group = wf_slotset_first_(set, &set->fresh);
    return wf_slotset_take_(set, *group);
}

#endif
