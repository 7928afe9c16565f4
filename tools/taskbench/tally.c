/* tally.c: see tally.h. */
#include "tally.h"
#include "exit.h"

struct tb_tally tb_tally_start(const struct tb_args *args, int rows)
{
    return (struct tb_tally){.end = {.rows = rows},
                             .allocs_limited = args->assert_allocs_given,
                             .allocs_max = args->assert_allocs};
}

void tb_tally_row(struct tb_tally *tally, const struct tb_row *row)
{
    struct tb_run_end *end = &tally->end;
    end->measured += row->status == TB_ROW_OK;
    end->wrong += row->status == TB_ROW_WRONG;
    end->skipped += row->status == TB_ROW_SKIPPED;
    if (row->status == TB_ROW_OK) {
        tally->uncounted += !row->counted;
        tally->over_limit += row->counted && tb_row_allocs_per_op(row) > tally->allocs_max;
    }
}

static int judge_allocs(struct tb_tally *tally)
{
    struct tb_run_end *end = &tally->end;
    if (tally->uncounted > 0) {
        snprintf(end->verdict, sizeof end->verdict,
                 "allocations could not be counted for %d of %d rows", tally->uncounted,
                 end->measured);
        return TB_EXIT_NOTHING;
    }
    snprintf(end->verdict, sizeof end->verdict, "%d of %d rows allocate more than %g per op",
             tally->over_limit, end->measured, tally->allocs_max);
    return tally->over_limit > 0 ? TB_EXIT_LIMIT : TB_EXIT_OK;
}

static int judge(struct tb_tally *tally)
{
    const struct tb_run_end *end = &tally->end;
    int allocs = tally->allocs_limited && end->measured > 0 ? judge_allocs(tally) : TB_EXIT_OK;
    if (end->interrupted) {
        return TB_EXIT_SIGNAL + end->interrupted;
    }
    if (end->wrong > 0) {
        return TB_EXIT_WRONG;
    }
    return end->measured == 0 ? TB_EXIT_NOTHING : allocs;
}

void tb_tally_finish(struct tb_tally *tally)
{
    tally->end.exit_code = judge(tally);
}
