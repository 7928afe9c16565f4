/* hist.c: see hist.h. */
#include "hist.h"
#include <math.h>

#define SUBS UINT64_C(64)
#define TOP  ((UINT64_C(1) << TB_HIST_TOP_BITS) - 1)

_Static_assert(SUBS == UINT64_C(1) << TB_HIST_SUB_BITS, "");
_Static_assert(sizeof(struct tb_hist) <= 20480, "as the head of hist.h says");

/* Values below 128 are their own buckets. Above, `shift` bits are dropped so that 64 to 127 are
 * left; the 64 buckets of the next power of two follow those of the last. */
size_t tb_hist_bucket(uint64_t value)
{
    value = value < TOP ? value : TOP;
    if (value < 2 * SUBS) {
        return (size_t)value;
    }
    unsigned shift = 63 - TB_HIST_SUB_BITS - (unsigned)__builtin_clzll(value);
    return (size_t)(shift * SUBS + (value >> shift));
}

uint64_t tb_hist_top(size_t bucket)
{
    if (bucket < 2 * SUBS) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / SUBS - 1);
    return ((bucket % SUBS + SUBS + 1) << shift) - 1;
}

void tb_hist_add(struct tb_hist *hist, uint64_t value)
{
    hist->counts[tb_hist_bucket(value)]++;
    hist->max = value > hist->max ? value : hist->max;
    hist->min = hist->n == 0 || value < hist->min ? value : hist->min;
    hist->sum += (double)value;
    hist->n++;
}

void tb_hist_merge(struct tb_hist *into, const struct tb_hist *from)
{
    if (from->n == 0) {
        return;
    }
    for (size_t i = 0; i < TB_HIST_BUCKETS; i++) {
        into->counts[i] += from->counts[i];
    }
    into->max = from->max > into->max ? from->max : into->max;
    into->min = into->n == 0 || from->min < into->min ? from->min : into->min;
    into->sum += from->sum;
    into->n += from->n;
}

uint64_t tb_hist_at(const struct tb_hist *hist, double q)
{
    double rank = ceil(q * (double)hist->n);
    uint64_t wanted = rank < 1 ? 1 : rank > (double)hist->n ? hist->n : (uint64_t)rank, seen = 0;
    for (size_t i = 0; i < TB_HIST_BUCKETS; i++) {
        seen += hist->counts[i];
        if (seen >= wanted && seen > 0) {
            uint64_t top = tb_hist_top(i);
            return top < hist->max && i + 1 < TB_HIST_BUCKETS ? top : hist->max;
        }
    }
    return 0;
}
