/* The number of a completion's life, which a test of the API cannot bring near its bounds. */
#include "src/value.h"
#include "tests/support/wt.h"
#include <weft/weft.h>

static int misuses;

static void count_misuse(const char *what)
{
    (void)what;
    misuses++;
}

static weft_val begin(weft_sem *sem)
{
    weft_val val = weft_sem_acquire_v(sem);
    wt_eq(weft_val_ready(val), 0);
    return val;
}

/* E18: where a number of 32 bits comes round, ours goes on. */
static int around_2_to_the_32(void *arg)
{
    (void)arg;
    enum { USES = 8 };
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    weft_val first = begin(&sem);
    struct wf_value *record = (struct wf_value *)first.source_;
    weft_sem_release(&sem, 1);
    wt_eq(weft_val_await(first), 0);
    /* free now, and as if it had been used so often */
    uint64_t uses = (UINT64_C(1) << 32) - USES / 2;
    wf_store_relaxed(&record->life, uses * WF_LIFE_NEXT | WF_LIFE_FREE);
    weft_val stale[USES];
    for (int i = 0; i < USES; i++) {
        weft_val val = begin(&sem);
        wt_eq((uintptr_t)record, val.source_);
        wt_eq((uint64_t)val.word_, (uses + (uint64_t)i) * WF_LIFE_NEXT);
        stale[i] = val;
        for (int j = 0; j < i; j++) {
            weft_val copy = stale[j];
            wt_eq(weft_val_await(copy), -ESTALE);
        }
        weft_sem_release(&sem, 1);
        wt_eq(weft_val_await(val), 0);
    }
    wt_eq(misuses, USES * (USES - 1) / 2);
    weft_sem_fini(&sem);
    return 0;
}

/* E18 */
Test(value, stale_ones_stay_stale_around_2_to_the_32_reuses)
{
    weft_on_misuse(count_misuse);
    wt_eq(weft_run(around_2_to_the_32, NULL, .workers = 1), 0);
}

Test(value, sizes_are_as_documented)
{
    wt_eq(sizeof(weft_val), 24);
    wt_eq(sizeof(weft_frame), 128);
    wt_eq(sizeof(struct wf_value), 128);
}
