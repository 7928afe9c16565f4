/* cells.h: what the table and the Markdown show of a row, and in which column. 80 columns of
 * ASCII. */
#ifndef TB_CELLS_H
#define TB_CELLS_H

#include "row.h"
#include "units.h"

enum tb_column {
    TB_COLUMN_WORKLOAD,
    TB_COLUMN_WORKERS,
    TB_COLUMN_OPS_S,
    TB_COLUMN_TIME,
    TB_COLUMN_RANGE,
    TB_COLUMN_REFERENCE,
    TB_COLUMN_ALLOCS,
    TB_COLUMN_BYTES,
    TB_COLUMN_POOL,
    TB_COLUMN_RSS,
    TB_COLUMN_CHECK,
    TB_COLUMNS
};

struct tb_column_shape {
    const char *title;
    int width; /* positive: to the right; negative: to the left */
};
extern const struct tb_column_shape tb_columns[TB_COLUMNS];

struct tb_cells {
    char text[TB_COLUMNS][TB_NUMBER_MAX];
};

/* Empty: not applicable. "?": could not be found out. */
void tb_cells_of(const struct tb_row *row, struct tb_cells *out);

#define TB_NOTE_MAX 400

/* What else is to be said of the row in one line: its metrics, and that its time is CPU time; or
 * why it has no figures. "" if nothing. */
void tb_note_of(const struct tb_row *row, char out[TB_NOTE_MAX]);

/* The machine and the run in two lines, without newlines, "" if there is nothing to say. */
struct tb_run_facts;
void tb_facts_of(const struct tb_run_facts *facts, char run[TB_NOTE_MAX],
                 char machine[TB_NOTE_MAX]);

/* How it went, in one line; the verdict is not in it. */
struct tb_run_end;
void tb_end_of(const struct tb_run_end *end, char out[TB_NOTE_MAX]);

#endif
