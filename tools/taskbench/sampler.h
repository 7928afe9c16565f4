/* sampler.h: calibrates a load and takes its samples. */
#ifndef TB_SAMPLER_H
#define TB_SAMPLER_H

#include "load.h"

#define TB_SAMPLE_NS \
    10000000 /* the least that a sample lasts: a thousandth of it is still ten looks at the clock */
#define TB_SAMPLES_WANTED \
    5 /* the least number of samples, unless the load takes seconds for each */

#define TB_COUNT_OPS \
    2000 /* enough that what happens once a sample is less than a thousandth of it */

/* What a process measures of a row. */
enum tb_pass {
    TB_PASS_TIME, /* samples, then one more with allocations counted */
    /* one sample of exactly `rounds` between two marks (mark.h), with allocations and their places
     * counted; under cmd_trace.c system calls too */
    TB_PASS_COUNT,
    TB_PASS_CALLGRIND, /* the same for callgrind: nothing is hooked, and I/O is by epoll */
};

struct tb_plan {
    enum tb_pass pass;
    uint64_t rounds; /* of TB_PASS_COUNT and after; 0: as many as make TB_COUNT_OPS ops */
    /* exactly so many; 0: as many as fit into budget_ns, but at least TB_SAMPLES_WANTED */
    int samples;
    uint64_t budget_ns; /* for all samples, references included */
    bool pin; /* worker i to the i-th CPU that the process may use: `paced` alone does so */
    const char *uncounted; /* why allocations cannot be counted (tb_alloc_probe); NULL: they can */
};

/* Opens the load, samples it, counts over one more sample, closes it; says all of it on the wire,
 * except how it ended. In the context that the load asks for (load.h, L.2). 0, or what the load
 * returned. */
int tb_sampler_run(struct tb_trial *trial, const struct tb_plan *plan);

/* --- for a caller that paces the samples itself; the load is open ----------------------------- */

/* The number of rounds that fill TB_SAMPLE_NS. 0, or what the load returned. */
int tb_sampler_find(struct tb_trial *trial, uint64_t *rounds);

/* One sample and its check. 0, or what the load returned. */
int tb_sampler_once(struct tb_trial *trial, uint64_t rounds, uint64_t *ns);

#endif
