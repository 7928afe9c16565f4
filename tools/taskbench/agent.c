/* agent.c: see agent.h. */
#include "agent.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARAM_PREFIX "p."

/* --- writing ---------------------------------------------------------------------------------- */

static void write_number(struct tb_agent_args *args, const char *prefix, const char *key,
                         uint64_t value)
{
    snprintf(args->text[args->n++], TB_AGENT_ARG_BYTES, "%s%s=%" PRIu64, prefix, key, value);
}

void tb_agent_args_write(struct tb_agent_args *args, const char *command, const struct tb_row *row,
                         const struct tb_plan *plan)
{
    snprintf(args->text[0], TB_AGENT_ARG_BYTES, "%s", command);
    snprintf(args->text[1], TB_AGENT_ARG_BYTES, "%s", row->load->name);
    args->n = 2;
    write_number(args, "", "workers", (uint64_t)row->workers);
    write_number(args, "", "seed", row->seed);
    write_number(args, "", "samples", (uint64_t)plan->samples);
    write_number(args, "", "budget", plan->budget_ns);
    write_number(args, "", "pass", (uint64_t)plan->pass);
    write_number(args, "", "rounds", plan->rounds);
    write_number(args, "", "pin", plan->pin);
    for (int i = 0; row->load->params[i].key; i++) {
        write_number(args, PARAM_PREFIX, row->load->params[i].key, row->params[i]);
    }
}

int tb_agent_through_env(char **argv, const struct tb_row *row, const char *program)
{
    argv[0] = "env";
    argv[1] = (char *)row->object;
    argv[2] = (char *)program;
    return 3;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static void take(const char *key, uint64_t value, struct tb_row *row, struct tb_plan *plan)
{
    size_t prefix = strlen(PARAM_PREFIX);
    int param =
        strncmp(key, PARAM_PREFIX, prefix) == 0 ? tb_load_param(row->load, key + prefix) : -1;
    if (param >= 0) {
        row->params[param] = value;
    } else if (strcmp(key, "workers") == 0) {
        row->workers = (int)value;
    } else if (strcmp(key, "seed") == 0) {
        row->seed = value;
    } else if (strcmp(key, "samples") == 0) {
        plan->samples = (int)value;
    } else if (strcmp(key, "budget") == 0) {
        plan->budget_ns = value;
    } else if (strcmp(key, "pass") == 0) {
        plan->pass = (enum tb_pass)value;
    } else if (strcmp(key, "rounds") == 0) {
        plan->rounds = value;
    } else if (strcmp(key, "pin") == 0) {
        plan->pin = value == 1;
    }
}

int tb_agent_args_read(int argc, char **argv, struct tb_row *row, struct tb_plan *plan)
{
    *row = (struct tb_row){.workers = 1, .seed = 1};
    *plan = (struct tb_plan){0};
    if (argc < 2) {
        return -EINVAL;
    }
    row->load = tb_load_find(argv[1]);
    if (!row->load) {
        return -ENOENT;
    }
    for (int i = 0; row->load->params[i].key; i++) {
        row->params[i] = row->load->params[i].value;
    }
    for (int i = 2; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        char key[TB_AGENT_ARG_BYTES];
        uint64_t value;
        if (!equals || !read_number(equals + 1, &value)) {
            return -EINVAL;
        }
        snprintf(key, sizeof key, "%.*s", (int)(equals - argv[i]), argv[i]);
        take(key, value, row, plan);
    }
    return plan->pass > TB_PASS_CALLGRIND || row->workers < 1 ? -EINVAL : 0;
}
