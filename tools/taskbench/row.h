/* row.h: one line of the result: a load with its parameters and workers, and all that was measured
 * of it. */
#ifndef TB_ROW_H
#define TB_ROW_H

#include "alloc.h"
#include "hist.h"
#include "load.h"
#include "stats.h"
#include <weft/debug.h>

enum tb_status {
    TB_ROW_OK,
    TB_ROW_WRONG,   /* its result was wrong, or it crashed, or hung; see `reason` */
    TB_ROW_SKIPPED, /* this machine cannot run it; see `reason` */
};

#define TB_ROW_LATENCIES 2

/* What the report draws as a line, over a logarithmic x. */
struct tb_curve {
    const char *name, *x, *y; /* "efficiency", "ns", ... */
    double (*points)[2];
    size_t n;
};

struct tb_row {
    /* what it is: set by who plans the run */
    const struct tb_load *load;
    int workers;
    uint64_t seed;
    uint64_t params[TB_PARAMS_MAX];
    /* TB_USER_ENV=PATH: the object that its process loads instead of this one's (user.h); NULL: the
     * same */
    const char *object;

    /* how it went */
    enum tb_status status;
    char reason[TB_REASON_MAX];

    /* time */
    size_t samples_n;
    uint64_t ops_per_sample;
    double ns_per_op[TB_SAMPLES_MAX];
    double reference_ns[TB_SAMPLES_MAX]; /* taken next to the sample of the same index */
    bool has_reference;
    struct tb_summary time, reference;
    double ratio; /* median of ns_per_op[i] / reference_ns[i] */

    /* counted over one more sample, whose time is not used */
    bool counted;
    char uncounted[TB_REASON_MAX]; /* why not */
    uint64_t counted_ops;
    struct tb_allocs allocs;
    weft_stats growth;            /* of the runtime's counters */
    weft_stats total;             /* of them, at the end */
    bool traced;                  /* system calls were counted too, over the same sample */
    char untraced[TB_REASON_MAX]; /* why not */
    uint64_t calls;               /* system calls, all threads */
    struct tb_site sites[TB_SITES_MAX];
    int sites_n;

    /* of the process that measured it */
    uint64_t rss_max_bytes;
    /* one cache line between cores, just before; negative: not measured, one worker */
    double line_ns;
    struct tb_metric metrics[TB_METRICS_MAX];
    int metrics_n;

    /* of commands that measure them; the memory is theirs */
    struct {
        const char *name; /* "intended", "service" */
        const struct tb_hist *hist;
    } latency[TB_ROW_LATENCIES];
    int latency_n;
    struct tb_curve curve; /* n = 0: none */
};

/* After the last sample: time, reference, ratio. A row without a sample that is not skipped is made
 * wrong. */
void tb_row_finish(struct tb_row *row);

/* Adds a figure; the caller knows that there are no more than TB_METRICS_MAX. Name and unit are
 * copied, as far as they fit. */
void tb_row_metric(struct tb_row *row, const char *name, const char *unit, double value);

/* Allocations, and bytes, per op. counted must hold. */
double tb_row_allocs_per_op(const struct tb_row *row);
double tb_row_bytes_per_op(const struct tb_row *row);

/* The runtime's counters by name, for reports and for the wire; ended by one without a name. */
struct tb_counter {
    const char *name;
    size_t offset; /* of a uint64_t in weft_stats */
};
extern const struct tb_counter tb_counters[];

static inline uint64_t *tb_counter_in(const struct tb_counter *counter, weft_stats *stats)
{
    return (uint64_t *)((char *)stats + counter->offset);
}

#endif
