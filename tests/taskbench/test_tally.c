/* test_tally.c: which exit code a run ends with (tools/taskbench/tally.h). */
#include "tests/support/wt.h"
#include "exit.h"
#include "tally.h"

static struct tb_row measured(bool counted, uint64_t allocs)
{
    return (struct tb_row){
        .status = TB_ROW_OK, .counted = counted, .counted_ops = 100, .allocs = {.allocs = allocs}};
}

static struct tb_row failed(enum tb_status status)
{
    return (struct tb_row){.status = status};
}

/* The tally of one row, with --assert-allocs `limit` if that is not negative. */
static struct tb_tally tally_of(double limit, struct tb_row row)
{
    struct tb_args args = {.assert_allocs_given = limit >= 0, .assert_allocs = limit};
    struct tb_tally tally = tb_tally_start(&args, 1);
    tb_tally_row(&tally, &row);
    return tally;
}

static int exit_of(double limit, struct tb_row row)
{
    struct tb_tally tally = tally_of(limit, row);
    tb_tally_finish(&tally);
    return tally.end.exit_code;
}

Test(tally, a_measured_row_is_fine)
{
    wt_eq(exit_of(-1, measured(true, 12345)), TB_EXIT_OK);
    wt_eq(exit_of(-1, measured(false, 0)), TB_EXIT_OK);
}

Test(tally, one_allocation_exceeds_a_limit_of_none)
{
    wt_eq(exit_of(0, measured(true, 0)), TB_EXIT_OK);
    wt_eq(exit_of(0, measured(true, 1)), TB_EXIT_LIMIT);
}

Test(tally, a_limit_is_per_op)
{
    wt_eq(exit_of(1, measured(true, 100)), TB_EXIT_OK);
    wt_eq(exit_of(1, measured(true, 101)), TB_EXIT_LIMIT);
}

Test(tally, what_was_not_counted_holds_no_limit)
{
    wt_eq(exit_of(0, measured(false, 0)), TB_EXIT_NOTHING);
}

Test(tally, a_wrong_result_outweighs_a_limit)
{
    struct tb_tally tally = tally_of(0, measured(true, 1));
    struct tb_row wrong = failed(TB_ROW_WRONG);
    tb_tally_row(&tally, &wrong);
    tb_tally_finish(&tally);
    wt_eq(tally.end.exit_code, TB_EXIT_WRONG);
    wt_eq(tally.end.measured, 1);
    wt_eq(tally.end.wrong, 1);
}

Test(tally, nothing_measured_is_not_success)
{
    wt_eq(exit_of(-1, failed(TB_ROW_SKIPPED)), TB_EXIT_NOTHING);
    wt_eq(exit_of(0, failed(TB_ROW_SKIPPED)), TB_EXIT_NOTHING);
    struct tb_tally none = tb_tally_start(&(struct tb_args){.seed = 1}, 0);
    tb_tally_finish(&none);
    wt_eq(none.end.exit_code, TB_EXIT_NOTHING);
}

Test(tally, an_interruption_is_told_as_a_shell_does)
{
    struct tb_tally tally = tally_of(-1, measured(true, 0));
    tally.end.interrupted = 2;
    tb_tally_finish(&tally);
    wt_eq(tally.end.exit_code, 130);
}
