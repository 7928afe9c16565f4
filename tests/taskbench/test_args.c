/* test_args.c: the command line of `taskbench run` (tools/taskbench/args.h) and what becomes of it
 * (run.h). */
#include "tests/support/wt.h"
#include "args.h"
#include "run.h"
#include <errno.h>
#include <stdint.h>

#define ARGS(...) ((char *[]){"run", ##__VA_ARGS__, NULL})

static int parse(struct tb_args *args, char **argv)
{
    int argc = 0;
    while (argv[argc]) {
        argc++;
    }
    return tb_args_parse(args, argc, argv);
}

static struct tb_args parsed(char **argv)
{
    struct tb_args args;
    wt_eq(parse(&args, argv), 0, "%s", args.error);
    return args;
}

static void expect_refused(char **argv, const char *error)
{
    struct tb_args args;
    wt_eq(parse(&args, argv), -EINVAL);
    wt_str_eq(args.error, error);
}

Test(args, nothing_given_is_the_quick_set_as_a_table)
{
    struct tb_args args = parsed(ARGS());
    wt_eq(args.workloads_n, 0);
    wt_eq(args.set, TB_SET_QUICK);
    wt_eq(args.format, TB_FORMAT_TABLE);
    wt_eq(args.workers_n, 0);
    wt_eq(args.reps, 0);
    wt_eq(args.seed, 1u);
    wt_false(args.assert_allocs_given);
}

Test(args, options_and_workloads_may_be_mixed)
{
    struct tb_args args =
        parsed(ARGS("fib", "--workers", "2", "spawn", "--reps=7", "--seconds", "0.5", "--seed=9"));
    wt_eq(args.workloads_n, 2);
    wt_str_eq(args.workloads[0], "fib");
    wt_str_eq(args.workloads[1], "spawn");
    wt_eq(args.workers_n, 1);
    wt_eq(args.workers[0], 2);
    wt_eq(args.reps, 7);
    wt_eq(args.seconds, 0.5);
    wt_eq(args.seed, 9u);
}

Test(args, workers_may_be_a_list)
{
    struct tb_args args = parsed(ARGS("--workers", "1,2,8"));
    wt_eq(args.workers_n, 3);
    wt_eq(args.workers[0], 1);
    wt_eq(args.workers[1], 2);
    wt_eq(args.workers[2], 8);
}

Test(args, numbers_take_k_and_m)
{
    struct tb_args args = parsed(ARGS("-p", "tasks=10k", "-p", "items=2m"));
    wt_eq(args.settings_n, 2);
    wt_str_eq(args.settings[0].key, "tasks");
    wt_eq(args.settings[0].value, 10000u);
    wt_eq(args.settings[1].value, 2000000u);
}

Test(args, zero_allocations_can_be_asserted)
{
    struct tb_args args = parsed(ARGS("--assert-allocs", "0"));
    wt_true(args.assert_allocs_given);
    wt_eq(args.assert_allocs, 0.0);
}

Test(args, after_two_dashes_everything_is_a_workload)
{
    struct tb_args args = parsed(ARGS("--quiet", "--", "--quiet"));
    wt_true(args.quiet);
    wt_eq(args.workloads_n, 1);
    wt_str_eq(args.workloads[0], "--quiet");
}

Test(args, a_near_miss_is_answered_with_what_was_meant)
{
    expect_refused(ARGS("--wrokers", "2"),
                   "unknown option '--wrokers' (did you mean '--workers'?)");
    expect_refused(ARGS("--format", "jsn"), "--format is one of table, json, csv, md, junit, "
                                            "gbench, bmf, gab, not 'jsn' (did you mean 'json'?)");
    expect_refused(ARGS("--set=quik"),
                   "--set is one of quick, standard, not 'quik' (did you mean 'quick'?)");
}

Test(args, something_far_off_is_refused_without_a_guess)
{
    expect_refused(ARGS("--frobnicate"), "unknown option '--frobnicate'");
    expect_refused(ARGS("-x"), "unknown option '-x'");
}

Test(args, a_missing_or_superfluous_value_is_named)
{
    expect_refused(ARGS("fib", "--workers"), "--workers needs a value");
    expect_refused(ARGS("--quiet=yes"), "--quiet takes no value");
    expect_refused(ARGS("-o", ""), "-o needs the name of a file");
}

Test(args, numbers_out_of_range_are_refused)
{
    expect_refused(ARGS("--workers", "0"),
                   "--workers is a number from 1 to 256, or several as in 1,2; not '0'");
    expect_refused(ARGS("--workers", "1,,2"),
                   "--workers is a number from 1 to 256, or several as in 1,2; not '1,,2'");
    expect_refused(ARGS("--reps", "1001"), "--reps is a number from 1 to 1000, not '1001'");
    expect_refused(ARGS("--reps", "3x"), "--reps is a number from 1 to 1000, not '3x'");
    expect_refused(ARGS("--seconds", "0"), "--seconds is above 0 and at most 3600, not '0'");
    expect_refused(ARGS("--seconds", "inf"), "--seconds is above 0 and at most 3600, not 'inf'");
    expect_refused(ARGS("--seed", "-1"), "--seed is a whole number, not '-1'");
    expect_refused(ARGS("--seed", "99999999999999999999"),
                   "--seed is a whole number, not '99999999999999999999'");
    expect_refused(ARGS("-p", "tasks"), "-p is key=number, as in -p tasks=1000; not 'tasks'");
    expect_refused(ARGS("-p", "=3"), "-p is key=number, as in -p tasks=1000; not '=3'");
    expect_refused(ARGS("--assert-allocs", "few"),
                   "--assert-allocs is a number of allocations per op, not 'few'");
}

/* --- the plan --------------------------------------------------------------------------------- */

static struct tb_run_plan planned(char **argv, int cpus)
{
    static struct tb_run_plan plan;
    struct tb_args args = parsed(argv);
    wt_eq(tb_run_plan_make(&plan, &args, cpus), 0, "%s", plan.error);
    return plan;
}

static void expect_no_plan(char **argv, const char *error)
{
    static struct tb_run_plan plan;
    struct tb_args args = parsed(argv);
    wt_eq(tb_run_plan_make(&plan, &args, 2), -EINVAL);
    wt_str_eq(plan.error, error);
}

Test(plan, one_and_two_workers_where_there_are_two_cpus)
{
    struct tb_run_plan plan = planned(ARGS("fib"), 2);
    wt_eq(plan.rows_n, 2);
    wt_eq(plan.rows[0].workers, 1);
    wt_eq(plan.rows[1].workers, 2);
}

Test(plan, one_worker_where_there_is_one_cpu_or_nothing_for_a_second)
{
    wt_eq(planned(ARGS("fib"), 1).rows_n, 1);
    wt_eq(planned(ARGS("within"), 2).rows_n, 1);
}

Test(plan, workers_given_count_for_all)
{
    struct tb_run_plan plan = planned(ARGS("within", "--workers", "4,1"), 2);
    wt_eq(plan.rows_n, 2);
    wt_eq(plan.rows[0].workers, 4);
    wt_eq(plan.rows[1].workers, 1);
}

Test(plan, a_name_means_its_variants_too)
{
    struct tb_run_plan plan = planned(ARGS("yield", "--workers", "1"), 2);
    wt_eq(plan.rows_n, 2);
    wt_str_eq(plan.rows[0].load->name, "yield");
    wt_str_eq(plan.rows[1].load->name, "yield/1000");
}

Test(plan, groups_and_patterns_select)
{
    wt_eq(planned(ARGS("memory", "--workers", "1"), 2).rows_n, 5);
    wt_eq(planned(ARGS("mem-1*", "--workers", "1"), 2).rows_n, 2);
    wt_eq(planned(ARGS("mem-1m", "mem-1m", "--workers", "1"), 2).rows_n, 1);
}

Test(plan, the_quick_set_is_a_part_of_the_standard_set)
{
    int quick = planned(ARGS(), 2).rows_n, standard = planned(ARGS("--set", "standard"), 2).rows_n;
    wt_gt(quick, 0);
    wt_gt(standard, quick);
}

Test(plan, unknown_workloads_and_parameters_are_refused)
{
    expect_no_plan(
        ARGS("skynett"),
        "unknown workload 'skynett' (did you mean 'skynet'?); 'taskbench list' shows all");
    expect_no_plan(ARGS("zzz"), "unknown workload 'zzz'; 'taskbench list' shows all");
    expect_no_plan(ARGS("go", "-p", "taks=3"),
                   "no workload of this run has a parameter 'taks' (did you mean 'tasks'?)");
    expect_no_plan(ARGS("fib", "-p", "n=99"), "-p n of fib is a number from 2 to 45, not 99");
}

Test(plan, parameters_reach_the_workloads_that_have_them)
{
    struct tb_args args = parsed(ARGS("fib", "go", "-p", "tasks=7"));
    uint64_t params[TB_PARAMS_MAX];
    tb_run_params(&args, tb_load_find("go"), params);
    wt_eq(params[0], 7u);
    tb_run_params(&args, tb_load_find("fib"), params);
    wt_eq(params[0], tb_load_find("fib")->params[0].value);
}

Test(loads, every_name_fits_its_column_and_is_there_once)
{
    const struct tb_load *load;
    int i = 0;
    for (; (load = tb_load_at(i)); i++) {
        wt_le(strlen(load->name), 13u, "%s", load->name);
        wt_true(tb_load_find(load->name) == load, "%s", load->name);
        wt_true(load->sample != NULL && load->op != NULL && load->about != NULL, "%s", load->name);
        wt_true(!load->reference == !load->reference_name, "%s", load->name);
    }
    wt_le(i, TB_LOADS_MAX);
}

Test(loads, every_default_lies_in_its_range)
{
    const struct tb_load *load;
    for (int i = 0; (load = tb_load_at(i)); i++) {
        for (const struct tb_param *p = load->params; p->key; p++) {
            wt_ge(p->value, p->min, "%s %s", load->name, p->key);
            wt_le(p->value, p->max, "%s %s", load->name, p->key);
        }
    }
}
