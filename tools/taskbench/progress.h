/* progress.h: tells the person who waits what is going on, on stderr: a bar on a terminal, redrawn
 * ten times a second at most; elsewhere a line for each row, unless the report already is that. */
#ifndef TB_PROGRESS_H
#define TB_PROGRESS_H

#include "row.h"
#include <stdbool.h>
#include <stdint.h>

struct tb_progress {
    bool terminal; /* a bar */
    bool lines;    /* a line for each row instead */
    bool unicode;  /* the bar may use block characters */
    int width;     /* columns */
    int rows, done;
    uint64_t start_ns, row_start_ns, drawn_ns;
    bool on_screen; /* a bar is on the last line now */
};

/* For `rows` rows. Looks at stderr, the locale and the environment (TERM). `rows_shown`: the rows
 * themselves appear on stdout as they are measured, so there is no need for lines. */
struct tb_progress tb_progress_start(int rows, bool quiet, bool rows_shown);

/* A row is about to be measured. */
void tb_progress_row(struct tb_progress *progress);

/* Something may have changed: redraws the bar if it is time. */
void tb_progress_tick(struct tb_progress *progress, const struct tb_row *row);

/* The same for a row whose own progress is known: `fraction` of it is done. */
void tb_progress_part(struct tb_progress *progress, const struct tb_row *row, double fraction);

/* Removes the bar, so that something else can be written to the terminal. */
void tb_progress_clear(struct tb_progress *progress);

/* The row is over. */
void tb_progress_done(struct tb_progress *progress, const struct tb_row *row);

/* --- for tests: the bar as text --------------------------------------------------------------- */

#define TB_BAR_MAX 512

/* `fraction` of the work is done, `eta_s` seconds are left (negative: unknown). At most
 * progress->width columns. */
void tb_progress_format(const struct tb_progress *progress, double fraction, double eta_s,
                        const struct tb_row *row, char out[TB_BAR_MAX]);

#endif
