/* history.h: a file to which every run adds one line, so that `taskbench report` can show when a
 * row changed. A line is a JSON object:
 *
 *     {"schema": "weft.taskbench.history/1", "started": "2026-11-28T09:00:00Z", "key":
 *     "x86_64-...",
 *      "label": "3f1c2aa", "weft": "0.1.0", "rows": [{"row": "fib 2w", "time": 3.21, "ref": 2.5,
 *      "allocs": 0, "bytes": 0}, ...]}
 *
 * time is ns per op, ref the ratio to the reference, both medians; null is not known. Rows that
 * were not measured are not in it.
 *
 * Guarantees.
 * H.1  A line is added by one write(2) at the end: runs that end at the same time do not mix their
 *      lines.
 * H.2  A line that cannot be read (an interrupted write, an editor's mistake) is passed over and
 *      counted; the others still count. What follows a line without an end begins on a line of its
 *      own. */
#ifndef TB_HISTORY_H
#define TB_HISTORY_H

#include "doc.h"
#include "render.h"
#include "steps.h"

#define TB_HISTORY_RUNS_MAX TB_STEP_RUNS_MAX /* the newest of a file */

/* --- writing ---------------------------------------------------------------------------------- */

struct tb_history_line {
    char *text; /* of `out`, a memory stream; NULL: no memory, and nothing is written */
    size_t bytes;
    FILE *out;
    struct tb_json json;
    int rows;
};

/* `label` may be NULL. */
void tb_history_begin(struct tb_history_line *line, const struct tb_run_facts *facts,
                      const char *label);
void tb_history_row(struct tb_history_line *line, const struct tb_row *row);

/* Adds the line to the file, unless it has no rows. 0 or -errno. Frees the line. */
int tb_history_end(struct tb_history_line *line, const char *path);

/* Frees the line and adds nothing. 0. */
int tb_history_drop(struct tb_history_line *line);

/* --- reading ---------------------------------------------------------------------------------- */

struct tb_history {
    struct tb_doc runs[TB_HISTORY_RUNS_MAX]; /* oldest first */
    size_t runs_n;
    size_t bad_lines; /* H.2 */
    size_t left_out;  /* runs older than those that are kept */
    char error[200];
};

/* 0; -errno with `error` set: the file cannot be read, or has no run in it. tb_history_free in any
 * case. */
int tb_history_load(struct tb_history *history, const char *path);

void tb_history_free(struct tb_history *history);

#endif
