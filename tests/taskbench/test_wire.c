/* test_wire.c: what a measuring process is told (tools/taskbench/agent.h) and what it tells
 * (wire.h). */
#include "tests/support/wt.h"
#include "agent.h"
#include "wire.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static struct tb_row row;

static struct tb_wire_in in_of(void)
{
    memset(&row, 0, sizeof row);
    return (struct tb_wire_in){.row = &row};
}

/* All lines, the last of which is the end. */
static void read_all(struct tb_wire_in *in, const char *const *lines)
{
    for (; *lines; lines++) {
        wt_eq(tb_wire_read(in, *lines), 0, "%s", *lines);
    }
}

Test(wire, samples_become_times_per_op)
{
    struct tb_wire_in in = in_of();
    read_all(&in, (const char *[]){"sample 1000 100 500 250", "sample 3000 100 0 0", NULL});
    wt_eq(row.samples_n, 2u);
    wt_eq(row.ns_per_op[0], 10.0);
    wt_eq(row.reference_ns[0], 2.0);
    wt_eq(row.ns_per_op[1], 30.0);
    wt_eq(row.reference_ns[1], 0.0);
    wt_eq(row.ops_per_sample, 100u);
}

Test(wire, counts_counters_and_metrics_are_kept)
{
    struct tb_wire_in in = in_of();
    read_all(&in, (const char *[]){"counted 1000 5 4 320", "counter steals 7 19",
                                   "metric late_mean ns 1.5", "metric mappings - 63", "rss 4096",
                                   "line 26.5", "report 2 workers, io_uring", "done", NULL});
    wt_true(row.counted);
    wt_eq(tb_row_allocs_per_op(&row), 0.005);
    wt_eq(tb_row_bytes_per_op(&row), 0.32);
    wt_eq(row.allocs.frees, 4u);
    wt_eq(row.growth.steals, 7u);
    wt_eq(row.total.steals, 19u);
    wt_eq(row.metrics_n, 2);
    wt_str_eq(row.metrics[0].name, "late_mean");
    wt_str_eq(row.metrics[0].unit, "ns");
    wt_str_eq(row.metrics[1].unit, "");
    wt_eq(row.metrics[1].value, 63.0);
    wt_eq(row.rss_max_bytes, 4096u);
    wt_eq(row.line_ns, 26.5);
    wt_str_eq(in.report, "2 workers, io_uring");
    wt_true(in.done);
    wt_eq(row.status, TB_ROW_OK);
}

Test(wire, an_end_may_be_bad_and_says_why)
{
    struct tb_wire_in in = in_of();
    read_all(&in, (const char *[]){"wrong task 3 ran twice", NULL});
    wt_true(in.done);
    wt_eq(row.status, TB_ROW_WRONG);
    wt_str_eq(row.reason, "task 3 ran twice");

    in = in_of();
    read_all(&in, (const char *[]){"skip no memory", NULL});
    wt_true(in.done);
    wt_eq(row.status, TB_ROW_SKIPPED);
}

Test(wire, allocations_that_cannot_be_counted_say_why)
{
    struct tb_wire_in in = in_of();
    read_all(&in, (const char *[]){"uncounted 10 malloc is not jemalloc's", NULL});
    wt_false(row.counted);
    wt_eq(row.counted_ops, 10u);
    wt_str_eq(row.uncounted, "malloc is not jemalloc's");
}

Test(wire, system_calls_and_places_are_read)
{
    struct tb_wire_in in = in_of();
    read_all(&in, (const char *[]){"traced 12", "site call 12 0 4096 /x/a b.so\tfutex",
                                   "site alloc 3 336 99 \ttask t (started in f, a.c:3)", NULL});
    wt_true(row.traced);
    wt_eq(row.calls, 12u);
    wt_eq(row.sites_n, 2);
    wt_eq(row.sites[0].kind, TB_SITE_CALL);
    wt_str_eq(row.sites[0].module, "/x/a b.so");
    wt_str_eq(row.sites[0].what, "futex");
    wt_eq(row.sites[0].offset, 4096u);
    wt_eq(row.sites[1].kind, TB_SITE_ALLOC);
    wt_eq(row.sites[1].bytes, 336u);
    wt_str_eq(row.sites[1].module, "");
    wt_str_eq(row.sites[1].what, "task t (started in f, a.c:3)");
    wt_eq(tb_wire_read(&in, "site call 12 0 4096 /x/a.so"), -EPROTO);
    wt_eq(tb_wire_read(&in, "traced many"), -EPROTO);
}

Test(wire, a_counter_of_another_version_is_left_out)
{
    struct tb_wire_in in = in_of();
    wt_eq(tb_wire_read(&in, "counter hiccups 1 2"), 0);
}

Test(wire, what_is_no_line_is_refused)
{
    static const char *const lines[] = {"",
                                        "hello",
                                        "samples 1 2 3 4",
                                        "sample 1 2 3",
                                        "sample 1 0 0 0",
                                        "counted 0 1 1 1",
                                        "metric only_a_name",
                                        "rss many",
                                        "donee"};
    struct tb_wire_in in = in_of();
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        wt_eq(tb_wire_read(&in, lines[i]), -EPROTO, "'%s'", lines[i]);
    }
    wt_false(in.done);
}

Test(wire, more_samples_than_there_is_room_for_are_refused)
{
    struct tb_wire_in in = in_of();
    for (int i = 0; i < TB_SAMPLES_MAX; i++) {
        wt_eq(tb_wire_read(&in, "sample 10 1 0 0"), 0);
    }
    wt_eq(tb_wire_read(&in, "sample 10 1 0 0"), -EPROTO);
}

/* A file in the place of the wire; what had its number before, the test runner's perhaps, gets it
 * back afterwards. */
static int replace_wire(int with)
{
    int before = dup(TB_WIRE_FD);
    wt_eq(dup2(with, TB_WIRE_FD), TB_WIRE_FD);
    return before;
}

static void restore_wire(int before)
{
    if (before >= 0) {
        dup2(before, TB_WIRE_FD);
        close(before);
    } else {
        close(TB_WIRE_FD);
    }
}

/* What the writers write, line by line, into the reader. */
Test(wire, what_is_written_can_be_read)
{
    weft_stats growth = {.runs = 3, .stacks = 2}, total = {.runs = 5, .stacks = 8};
    struct tb_trial trial = {0};
    tb_metric(&trial, "task_bytes", "B", 4352.5);
    tb_metric(&trial, "mappings", "", 1);
    tb_metric(&trial, "mappings", "", 60);
    FILE *from = tmpfile();
    wt_true(from != NULL);
    int before = replace_wire(fileno(from));
    tb_wire_counters(&growth, &total);
    tb_wire_metrics(&trial);
    tb_wire_say("done");
    restore_wire(before);
    rewind(from);

    struct tb_wire_in in = in_of();
    char line[TB_WIRE_LINE_MAX];
    while (fgets(line, sizeof line, from)) {
        line[strcspn(line, "\n")] = '\0';
        wt_eq(tb_wire_read(&in, line), 0, "%s", line);
    }
    fclose(from);
    wt_true(in.done);
    wt_eq(row.growth.runs, 3u);
    wt_eq(row.growth.stacks, 2u);
    wt_eq(row.total.runs, 5u);
    wt_eq(row.total.stacks, 8u);
    wt_eq(row.metrics_n, 2);
    wt_eq(row.metrics[0].value, 4352.5);
    wt_eq(row.metrics[1].value, 60.0);
}

/* --- rows ------------------------------------------------------------------------------------- */

Test(row, finished_has_median_and_paired_ratio)
{
    struct tb_wire_in in = in_of();
    read_all(&in, (const char *[]){"sample 20 1 10 1", "sample 90 1 30 1", "sample 40 1 20 1",
                                   "done", NULL});
    tb_row_finish(&row);
    wt_eq(row.status, TB_ROW_OK);
    wt_eq(row.time.median, 40.0);
    wt_true(row.has_reference);
    wt_eq(row.ratio, 2.0);
}

Test(row, without_a_reference_there_is_no_ratio)
{
    struct tb_wire_in in = in_of();
    read_all(&in, (const char *[]){"sample 20 1 0 0", "sample 40 1 0 0", "done", NULL});
    tb_row_finish(&row);
    wt_eq(row.time.median, 30.0);
    wt_false(row.has_reference);
}

Test(row, without_a_sample_it_is_wrong)
{
    struct tb_wire_in in = in_of();
    read_all(&in, (const char *[]){"done", NULL});
    tb_row_finish(&row);
    wt_eq(row.status, TB_ROW_WRONG);
    wt_str_eq(row.reason, "it ended without a sample");
}

/* --- arguments of an agent -------------------------------------------------------------------- */

static int argv_of(struct tb_agent_args *args, char **argv)
{
    for (int i = 0; i < args->n; i++) {
        argv[i] = args->text[i];
    }
    argv[args->n] = NULL;
    return args->n;
}

Test(agent, arguments_survive_the_way)
{
    static struct tb_row out, back;
    struct tb_plan plan = {.samples = 7,
                           .budget_ns = 123456789,
                           .pass = TB_PASS_CALLGRIND,
                           .rounds = 41,
                           .pin = true},
                   plan_back = {0};
    struct tb_agent_args args;
    char *argv[TB_AGENT_ARGS + 1];
    out = (struct tb_row){
        .load = tb_load_find("chan"), .workers = 2, .seed = UINT64_MAX, .params = {3, 99}};
    tb_agent_args_write(&args, "agent", &out, &plan);
    wt_eq(tb_agent_args_read(argv_of(&args, argv), argv, &back, &plan_back), 0);
    wt_true(back.load == out.load);
    wt_eq(back.workers, 2);
    wt_eq(back.seed, UINT64_MAX);
    wt_eq(back.params[0], 3u);
    wt_eq(back.params[1], 99u);
    wt_eq(plan_back.samples, 7);
    wt_eq(plan_back.budget_ns, 123456789u);
    wt_eq(plan_back.pass, TB_PASS_CALLGRIND);
    wt_eq(plan_back.rounds, 41u);
    wt_true(plan_back.pin);
}

Test(agent, what_another_version_says_or_does_not_say_is_no_matter)
{
    static struct tb_row back;
    struct tb_plan plan;
    char *newer[] = {"agent", "yield/1000", "speed=11", "p.colour=3", "workers=2", NULL};
    wt_eq(tb_agent_args_read(5, newer, &back, &plan), 0);
    wt_eq(back.workers, 2);
    wt_eq(back.params[0], back.load->params[0].value);
    char *older[] = {"agent", "yield/1000", NULL};
    wt_eq(tb_agent_args_read(2, older, &back, &plan), 0);
    wt_eq(back.workers, 1);
    wt_eq(back.seed, 1u);
    wt_eq(plan.pass, TB_PASS_TIME);
}

Test(agent, other_arguments_are_refused)
{
    static struct tb_row back;
    struct tb_plan plan;
    char *no_load[] = {"agent", "what", "workers=2", NULL};
    char *no_pass[] = {"agent", "within", "pass=9", NULL};
    char *no_number[] = {"agent", "within", "workers=two", NULL};
    char *no_key[] = {"agent", "within", "2", NULL};
    char *no_workers[] = {"agent", "within", "workers=0", NULL};
    wt_eq(tb_agent_args_read(3, no_load, &back, &plan), -ENOENT);
    wt_eq(tb_agent_args_read(3, no_pass, &back, &plan), -EINVAL);
    wt_eq(tb_agent_args_read(3, no_number, &back, &plan), -EINVAL);
    wt_eq(tb_agent_args_read(3, no_key, &back, &plan), -EINVAL);
    wt_eq(tb_agent_args_read(3, no_workers, &back, &plan), -EINVAL);
    wt_eq(tb_agent_args_read(1, no_number, &back, &plan), -EINVAL);
}
