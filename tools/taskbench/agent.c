/* agent.c: see agent.h. */
#include "agent.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARG_COMMAND,
    ARG_LOAD,
    ARG_WORKERS,
    ARG_SEED,
    ARG_SAMPLES,
    ARG_BUDGET,
    ARG_PASS,
    ARG_ROUNDS,
    ARG_PARAMS
};

static void write_number(struct tb_agent_args *args, int at, uint64_t value)
{
    snprintf(args->text[at], TB_AGENT_ARG_BYTES, "%" PRIu64, value);
}

void tb_agent_args_write(struct tb_agent_args *args, const struct tb_row *row,
                         const struct tb_plan *plan)
{
    snprintf(args->text[ARG_COMMAND], TB_AGENT_ARG_BYTES, "agent");
    snprintf(args->text[ARG_LOAD], TB_AGENT_ARG_BYTES, "%s", row->load->name);
    write_number(args, ARG_WORKERS, (uint64_t)row->workers);
    write_number(args, ARG_SEED, row->seed);
    write_number(args, ARG_SAMPLES, (uint64_t)plan->samples);
    write_number(args, ARG_BUDGET, plan->budget_ns);
    write_number(args, ARG_PASS, (uint64_t)plan->pass);
    write_number(args, ARG_ROUNDS, plan->rounds);
    args->n = ARG_PARAMS;
    for (int i = 0; row->load->params[i].key; i++) {
        write_number(args, args->n++, row->params[i]);
    }
}

static bool read_number(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

int tb_agent_args_read(int argc, char **argv, struct tb_row *row, struct tb_plan *plan)
{
    uint64_t workers, samples, pass;
    if (argc < ARG_PARAMS || argc > TB_AGENT_ARGS || !(row->load = tb_load_find(argv[ARG_LOAD])) ||
        !read_number(argv[ARG_WORKERS], &workers) || !read_number(argv[ARG_SEED], &row->seed) ||
        !read_number(argv[ARG_SAMPLES], &samples) ||
        !read_number(argv[ARG_BUDGET], &plan->budget_ns) || !read_number(argv[ARG_PASS], &pass) ||
        pass > TB_PASS_CALLGRIND || !read_number(argv[ARG_ROUNDS], &plan->rounds)) {
        return -EINVAL;
    }
    plan->pass = (enum tb_pass)pass;
    row->workers = (int)workers;
    plan->samples = (int)samples;
    for (int i = 0; i < TB_PARAMS_MAX; i++) {
        bool expected = row->load->params[i].key && ARG_PARAMS + i < argc;
        if (!expected) {
            return row->load->params[i].key || ARG_PARAMS + i != argc ? -EINVAL : 0;
        }
        if (!read_number(argv[ARG_PARAMS + i], &row->params[i])) {
            return -EINVAL;
        }
    }
    return 0;
}
