/* sampler.h: calibrates a load and takes its samples. */
#ifndef TB_SAMPLER_H
#define TB_SAMPLER_H

#include "load.h"

#define TB_SAMPLE_NS \
    10000000 /* the least that a sample lasts: a thousandth of it is still ten looks at the clock */
#define TB_SAMPLES_WANTED \
    5 /* the least number of samples, unless the load takes seconds for each */

struct tb_plan {
    /* exactly so many; 0: as many as fit into budget_ns, but at least TB_SAMPLES_WANTED */
    int samples;
    uint64_t budget_ns;    /* for all samples, references included */
    const char *uncounted; /* why allocations cannot be counted (tb_alloc_probe); NULL: they can */
};

/* Opens the load, samples it, counts over one more sample, closes it; says all of it on the wire,
 * except how it ended. In the context that the load asks for (load.h, L.2). 0, or what the load
 * returned. */
int tb_sampler_run(struct tb_trial *trial, const struct tb_plan *plan);

#endif
