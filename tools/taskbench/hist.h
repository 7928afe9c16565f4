/* hist.h: counts of times by size, in the layout that HdrHistogram made known: every power of two
 * is cut into 64 equal buckets, so a value is known to 1.6 % (below 128 exactly), in 20 KiB,
 * whatever comes. Recording is an index and an increment; histograms of several threads are
 * added. */
#ifndef TB_HIST_H
#define TB_HIST_H

#include <stddef.h>
#include <stdint.h>

#define TB_HIST_SUB_BITS 6 /* 64 buckets per power of two */
#define TB_HIST_TOP_BITS \
    41 /* values are below 2^41 ns, 36 minutes; larger ones count as the largest */
#define TB_HIST_BUCKETS ((TB_HIST_TOP_BITS - TB_HIST_SUB_BITS + 1) << TB_HIST_SUB_BITS)

/* Zero is empty. */
struct tb_hist {
    uint64_t counts[TB_HIST_BUCKETS];
    uint64_t n;
    uint64_t max; /* exactly, as the next */
    uint64_t min;
    double sum;
};

void tb_hist_add(struct tb_hist *hist, uint64_t value);
void tb_hist_merge(struct tb_hist *into, const struct tb_hist *from);

/* The value that a part q (0 to 1) of all does not exceed (nearest rank), as the greatest value of
 * its bucket, but not above max; 0 if it is empty. */
uint64_t tb_hist_at(const struct tb_hist *hist, double q);

/* The bucket of a value, and the greatest value of a bucket. */
size_t tb_hist_bucket(uint64_t value);
uint64_t tb_hist_top(size_t bucket);

#endif
