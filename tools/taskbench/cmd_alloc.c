/* cmd_alloc.c: `taskbench alloc WORKLOAD...`: where a workload allocates: by place in the code, and
 * by the task that ran there with the place where it was started. Counted by jemalloc's hooks over
 * one stretch, all threads (alloc.h); beside it what the runtime's own pools added, which malloc
 * does not see. */
#include "args.h"
#include "child.h"
#include "command.h"
#include "exit.h"
#include "measure.h"
#include "agent.h"
#include "run.h"
#include "terminal.h"
#include "units.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char tb_alloc_details[] =
    "Runs each WORKLOAD for about 2000 ops and lists where it allocates: the\n"
    "innermost code that is neither jemalloc's nor the system's, and the task that\n"
    "ran there, with the place where it was started. All threads; nothing is sampled.\n"
    "\n"
    "  --workers N[,N...], -p KEY=NUMBER, --seed N   as for run (one worker)\n"
    "\n"
    "Exit codes: 0 counted, 2 wrong usage, 3 allocations cannot be counted here\n"
    "(without jemalloc, or hooks that do not see all), 5 a workload's result was\n"
    "wrong.\n";

static int complain(const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return TB_EXIT_USAGE;
}

/* Places in the order of their bytes, each with its task; then each task once, with what it
 * allocated. */
static int by_bytes(const void *a, const void *b)
{
    const struct tb_site *x = a, *y = b;
    return (y->bytes > x->bytes) - (y->bytes < x->bytes);
}

static void put_line(const struct tb_site *site, double ops, const char *what)
{
    char allocs[TB_NUMBER_MAX], bytes[TB_NUMBER_MAX];
    printf("  %9s %9s  %s\n", tb_format_count(allocs, (double)site->count / ops),
           tb_format_count(bytes, (double)site->bytes / ops), what);
}

/* Adds up the sites that `same` says belong together. */
static int group(const struct tb_site *sites, int n, bool by_task, struct tb_site *out)
{
    int groups = 0;
    for (int i = 0; i < n; i++) {
        int at = 0;
        while (at < groups && (by_task ? strcmp(out[at].what, sites[i].what) != 0
                                       : out[at].offset != sites[i].offset ||
                                             strcmp(out[at].module, sites[i].module) != 0)) {
            at++;
        }
        if (at == groups) {
            out[groups] = sites[i];
            out[groups].count = out[groups].bytes = 0;
            groups++;
        }
        out[at].count += sites[i].count;
        out[at].bytes += sites[i].bytes;
    }
    qsort(out, (size_t)groups, sizeof *out, by_bytes);
    return groups;
}

static void put_groups(const struct tb_row *row, bool by_task)
{
    static struct tb_site groups[TB_SITES_MAX];
    int n = group(row->sites, row->sites_n, by_task, groups);
    for (int i = 0; i < n; i++) {
        char name[TB_SITE_NAME_MAX];
        put_line(&groups[i], (double)row->counted_ops,
                 by_task ? groups[i].what : tb_site_name(&groups[i], name));
    }
}

static void put_row(const struct tb_row *row)
{
    char allocs[TB_NUMBER_MAX], bytes[TB_NUMBER_MAX];
    printf("%s, %d worker%s: %s allocs/op, %s bytes/op over %" PRIu64 " ops; %" PRIu64
           " chunks and stacks added\n",
           row->load->name, row->workers, row->workers == 1 ? "" : "s",
           tb_format_count(allocs, tb_row_allocs_per_op(row)),
           tb_format_count(bytes, tb_row_bytes_per_op(row)), row->counted_ops,
           row->growth.slab_chunks + row->growth.stacks);
    if (row->sites_n > 0) {
        printf("  allocs/op  bytes/op  by place\n");
        put_groups(row, false);
        printf("  allocs/op  bytes/op  by task\n");
        put_groups(row, true);
    }
}

/* An exit code. */
static int count_row(const struct tb_args *args, const struct tb_planned *planned)
{
    static struct tb_row row;
    struct tb_plan plan = {.pass = TB_PASS_COUNT};
    struct tb_agent_args agent;
    char *argv[TB_AGENT_ARGS + 1] = {NULL};
    row = (struct tb_row){.load = planned->load, .workers = planned->workers, .seed = args->seed};
    tb_run_params(args, planned->load, row.params);
    tb_agent_args_write(&agent, "agent", &row, &plan);
    for (int i = 0; i < agent.n; i++) {
        argv[i] = agent.text[i];
    }
    if (!tb_measure_by(&row, NULL, argv, 0)) {
        return TB_EXIT_SIGNAL + tb_interrupted();
    }
    if (row.status != TB_ROW_OK || !row.counted) {
        printf("%s, %d worker%s: %s\n", row.load->name, row.workers, row.workers == 1 ? "" : "s",
               row.status != TB_ROW_OK ? row.reason : row.uncounted);
        return row.status == TB_ROW_WRONG ? TB_EXIT_WRONG : TB_EXIT_NOTHING;
    }
    put_row(&row);
    fflush(stdout);
    return TB_EXIT_OK;
}

int tb_cmd_alloc(int argc, char **argv)
{
    static struct tb_args args;
    static struct tb_run_plan plan;
    tb_open_standard_streams();
    if (tb_args_parse(&args, argc, argv) < 0) {
        return complain(args.error);
    }
    if (args.help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    if (args.workloads_n == 0) {
        return complain("alloc needs a WORKLOAD; 'taskbench list' shows all");
    }
    if (tb_run_plan_make(&plan, &args, 1) < 0) {
        return complain(plan.error);
    }
    tb_catch_signals();
    int rc = TB_EXIT_OK;
    for (int i = 0; i < plan.rows_n && rc < TB_EXIT_SIGNAL; i++) {
        int one = count_row(&args, &plan.rows[i]);
        rc = one > rc ? one : rc;
    }
    return rc;
}
