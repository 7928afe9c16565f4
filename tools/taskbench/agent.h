/* agent.h: the arguments of `taskbench agent`, which measures one row in a process of its own, and
 * of `paced`, which does so sample by sample (cmd_paced.c). Both tell of it on the wire (wire.h).
 *
 *     agent LOAD KEY=NUMBER...
 *
 * The keys are workers, seed, p.KEY for each of the load's parameters, and those of the plan:
 * samples, budget (ns), pass, rounds, pin. One that is missing has its default, and one that this
 * build does not know is passed over: of the builds that `ab` compares, none needs to be as old as
 * the other. */
#ifndef TB_AGENT_H
#define TB_AGENT_H

#include "row.h"
#include "sampler.h"

#define TB_AGENT_ARGS      (9 + TB_PARAMS_MAX) /* at most, the command's name included */
#define TB_AGENT_ARG_BYTES 64

struct tb_agent_args {
    char text[TB_AGENT_ARGS][TB_AGENT_ARG_BYTES];
    int n;
};

/* `command` is "agent" or "paced". */
void tb_agent_args_write(struct tb_agent_args *args, const char *command, const struct tb_row *row,
                         const struct tb_plan *plan);

/* Begins a command line in argv that runs `program` with row->object in its environment: what
 * follows is the command and its arguments. The number of words. For posix_spawnp. */
int tb_agent_through_env(char **argv, const struct tb_row *row, const char *program);

/* argv[0] is the command. Fills what a row is (not what was measured) and a plan. 0; -ENOENT: this
 * build has no such load; -EINVAL: these are not arguments that tb_agent_args_write wrote. */
int tb_agent_args_read(int argc, char **argv, struct tb_row *row, struct tb_plan *plan);

#endif
