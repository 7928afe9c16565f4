/* report_part.h: the sections of a report, for report.c alone. Each writes nothing if it has
 * nothing to show. */
#ifndef TB_REPORT_PART_H
#define TB_REPORT_PART_H

#include "report.h"

/* report_rows.c */
void tb_report_facts(const struct tb_report *report, FILE *out);
void tb_report_table(const struct tb_saved *saved, FILE *out);
void tb_report_bars(const struct tb_saved *saved, FILE *out);
void tb_report_strips(const struct tb_saved *saved, FILE *out);

/* report_change.c: each of the others against the first, and what `taskbench ab` found. */
void tb_report_changes(const struct tb_report *report, FILE *out);

/* report_curves.c */
void tb_report_latency(const struct tb_saved *saved, FILE *out);
void tb_report_curves(const struct tb_saved *saved, FILE *out);
void tb_report_memory(const struct tb_saved *saved, FILE *out);

/* report_history.c */
void tb_report_history(const struct tb_history *history, FILE *out);

#endif
