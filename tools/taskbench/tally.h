/* tally.h: what the rows of a run add up to, and which exit code that is. */
#ifndef TB_TALLY_H
#define TB_TALLY_H

#include "args.h"
#include "render.h"

struct tb_tally {
    struct tb_run_end end;
    bool allocs_limited; /* --assert-allocs was given */
    double allocs_max;   /* per op */
    int over_limit;      /* rows that allocate more */
    int uncounted;       /* rows whose allocations could not be counted */
};

/* Of `rows` rows that are going to be measured. */
struct tb_tally tb_tally_start(const struct tb_args *args, int rows);

void tb_tally_row(struct tb_tally *tally, const struct tb_row *row);

/* Sets end.exit_code and end.verdict; end.interrupted and the figures of time are the caller's. The
 * worst news decides: an interruption, a wrong result, nothing measured, allocations not counted, a
 * limit exceeded. A limit that was held against nothing is not held. */
void tb_tally_finish(struct tb_tally *tally);

#endif
