/* report.h: `taskbench report`: stored results and a history as one HTML file, which needs nothing
 * beside it: no script, no network, light and dark as the reader's system is. */
#ifndef TB_REPORT_H
#define TB_REPORT_H

#include "history.h"
#include "saved.h"
#include <stdio.h>

#define TB_REPORT_INPUTS_MAX 16

struct tb_report {
    /* The first is the base that the others are compared with. May be none, if there is a
     * history. */
    struct tb_saved inputs[TB_REPORT_INPUTS_MAX];
    int inputs_n;
    struct tb_history *history; /* NULL: none */
};

/* To `out`, which stays the caller's. */
void tb_report_write(const struct tb_report *report, FILE *out);

/* --- parts, for tests ------------------------------------------------------------------------- */

/* How a row compares with the same row of the base. */
struct tb_compared {
    bool comparable;
    bool by_reference; /* ratios to the reference were compared, not times */
    double ratio, low, high;
};

/* Ratios to the reference if both rows have one; times if `same_machine`; else not comparable. The
 * interval is made of those of both medians (binomial, 95 % each), so it is wide rather than
 * narrow; it describes one process of each: what varies from process to process is not in it. */
struct tb_compared tb_report_compare(const struct tb_saved_row *base,
                                     const struct tb_saved_row *other, bool same_machine);

#endif
