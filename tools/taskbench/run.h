/* run.h: what `taskbench run` is going to measure. */
#ifndef TB_RUN_H
#define TB_RUN_H

#include "args.h"
#include "load.h"
#include "sampler.h"

#define TB_ROWS_MAX (TB_LOADS_MAX * TB_WORKERS_MAX)

/* A row before it is measured. */
struct tb_planned {
    const struct tb_load *load;
    int workers;
};

struct tb_run_plan {
    struct tb_planned rows[TB_ROWS_MAX];
    int rows_n;
    struct tb_plan plan; /* of each row */
    char error[200];     /* why there is no plan */
};

/* From a command line on a machine with so many CPUs. 0; -EINVAL with `error` set: a workload or a
 * parameter that does not exist, or a parameter's value out of its range. */
int tb_run_plan_make(struct tb_run_plan *plan, const struct tb_args *args, int cpus);

/* The values of a load's parameters: defaults, and what -p set. */
void tb_run_params(const struct tb_args *args, const struct tb_load *load,
                   uint64_t params[TB_PARAMS_MAX]);

#endif
