/* pool/slotset.h: each number once, whole groups first, in order. */
#include "pool/slotset.h"
#include "tests/support/wt.h"
#include <stdlib.h>

#define NUMBERS (3 * 16 * 64 * 64 + 5) /* more than three top words */
#define GROUPS  ((NUMBERS + 15) / 16)

static struct wf_slotset set;
static void *memory;

static void init(void)
{
    memory = calloc(1, wf_slotset_bytes(NUMBERS));
    wf_slotset_init(&set, memory, NUMBERS);
}

static void fini(void)
{
    free(memory);
}

Test(slotset, an_empty_set_gives_nothing, .init = init, .fini = fini)
{
    size_t group;
    wt_eq(wf_slotset_take(&set, &group), 0);
    wt_eq(wf_slotset_take_fresh(&set, &group), 0);
    wt_eq(set.count, 0u);
}

Test(slotset, whole_groups_come_first_and_the_lowest_of_them, .init = init, .fini = fini)
{
    wf_slotset_put(&set, 0, 0x7fff, true); /* all but one */
    wf_slotset_put(&set, GROUPS - 1, 0xffff, true);
    wf_slotset_put(&set, 70, 0xff00, true);
    wf_slotset_put(&set, 70, 0x00ff, true); /* whole now */
    wt_eq(set.count, 15u + 16 + 16);
    size_t group;
    wt_eq(wf_slotset_take(&set, &group), 0xffff);
    wt_eq(group, 70u);
    wt_eq(wf_slotset_take(&set, &group), 0xffff);
    wt_eq(group, (size_t)GROUPS - 1);
    wt_eq(wf_slotset_take(&set, &group), 0x7fff);
    wt_eq(group, 0u);
    wt_eq(wf_slotset_take(&set, &group), 0);
    wt_eq(set.count, 0u);
}

Test(slotset, only_what_was_put_as_fresh_is_taken_as_such, .init = init, .fini = fini)
{
    wf_slotset_put(&set, 5, 0x0001, false);
    wf_slotset_put(&set, 4000, 0x0010, true);
    wf_slotset_put(&set, 4000, 0x0001, false); /* goes with it */
    size_t group;
    wt_eq(wf_slotset_take_fresh(&set, &group), 0x0011);
    wt_eq(group, 4000u);
    wt_eq(wf_slotset_take_fresh(&set, &group), 0);
    wf_slotset_put(&set, 4000, 0x0011, false); /* visited */
    wt_eq(wf_slotset_take_fresh(&set, &group), 0);
    wt_eq(wf_slotset_take(&set, &group), 0x0001);
    wt_eq(group, 5u);
    wt_eq(wf_slotset_take(&set, &group), 0x0011);
}

/* Against an array of bytes: numbers are put and taken as a seeded generator says. */
Test(slotset, each_number_is_given_once_for_each_time_it_was_put, .init = init, .fini = fini)
{
    static uint8_t is_in[GROUPS * 16];
    uint32_t seed = 1;
    size_t count = 0;
    for (int i = 0; i < 200000; i++) {
        seed = seed * 1664525u + 1013904223u;
        size_t number = (seed >> 8) % (i < 100000 ? NUMBERS : 700);
        if (!is_in[number]) {
            wf_slotset_put(&set, number / 16, (uint16_t)(1u << (number % 16)), seed >> 31);
            is_in[number] = 1;
            count++;
        }
        if (i % 3 == 0) {
            size_t group;
            uint16_t mask = wf_slotset_take(&set, &group);
            for (size_t k = 0; k < 16; k++) {
                if (mask >> k & 1) {
                    wt_eq(is_in[group * 16 + k], 1);
                    is_in[group * 16 + k] = 0;
                    count--;
                } else {
                    wt_eq(is_in[group * 16 + k], 0);
                }
            }
        }
        wt_eq(set.count, count);
    }
    size_t group;
    uint16_t mask;
    while ((mask = wf_slotset_take(&set, &group)) != 0) { /* ends: takes some each time */
        count -= (size_t)__builtin_popcount(mask);
    }
    wt_eq(count, 0u);
}
