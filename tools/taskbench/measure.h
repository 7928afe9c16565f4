/* measure.h: measures a row in a process of its own, and asks the runtime about itself in
 * another. */
#ifndef TB_MEASURE_H
#define TB_MEASURE_H

#include "row.h"
#include "sampler.h"

/* Called while it is measured, ten times a second at most times, with what is known so far. */
typedef void tb_watch_fn(void *arg, const struct tb_row *row);

/* Fills `row`, whose first part says what it is. It always ends with a status, and a reason if that
 * is not TB_ROW_OK. false: a signal asked this process to end (tb_interrupted); the row is to be
 * forgotten. */
bool tb_measure(struct tb_row *row, const struct tb_plan *plan, tb_watch_fn *watch, void *arg);

/* The same by another program than this one, which then runs `taskbench agent`: `argv` is all of
 * its command line, `program` is looked for in PATH (NULL: this program, and argv[0] is a command
 * of its own); it is killed when it says nothing for `silence_s` seconds (0: TB_SILENCE_S). Any
 * thread. */
bool tb_measure_by(struct tb_row *row, const char *program, char **argv, int silence_s);

/* The runtime's line about itself into `report`, or why it does not start. false: it does not. */
bool tb_measure_probe(char report[TB_REASON_MAX]);

#endif
