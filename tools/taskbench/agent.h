/* agent.h: the arguments of `taskbench agent`, which measures one row in a process of its own and
 * tells of it on the wire (wire.h). Written by measure.c, read by cmd_agent.c. */
#ifndef TB_AGENT_H
#define TB_AGENT_H

#include "row.h"
#include "sampler.h"

#define TB_AGENT_ARGS      (8 + TB_PARAMS_MAX) /* at most, the command's name included */
#define TB_AGENT_ARG_BYTES 64

/* agent LOAD WORKERS SEED SAMPLES BUDGET_NS PASS ROUNDS PARAM... (all parameters, in the load's order). */
struct tb_agent_args {
    char text[TB_AGENT_ARGS][TB_AGENT_ARG_BYTES];
    int n;
};

void tb_agent_args_write(struct tb_agent_args *args, const struct tb_row *row,
                         const struct tb_plan *plan);

/* argv[0] is "agent". Fills what a row is (not what was measured) and a plan. 0; -EINVAL: these are
 * not arguments that tb_agent_args_write wrote. */
int tb_agent_args_read(int argc, char **argv, struct tb_row *row, struct tb_plan *plan);

#endif
