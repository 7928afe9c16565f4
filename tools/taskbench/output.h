/* output.h: where the report of a measuring command goes: to stdout, or to the file of -o and, as a
 * table, to stdout too. A report that could not be written whole is as good as none, and says
 * so. */
#ifndef TB_OUTPUT_H
#define TB_OUTPUT_H

#include "render.h"

#define TB_OUTPUTS_MAX \
    2 /* the one asked for, and the table on the terminal if that went to a file */

struct tb_output {
    struct tb_render reports[TB_OUTPUTS_MAX];
    int reports_n;
    FILE *file; /* of -o; NULL */
};

/* What a report is written as: without --format, the ending of -o says it (.json, .csv, .md; .xml:
 * junit). */
enum tb_format tb_output_format(const struct tb_args *args);

/* What the command line says of it: format, format_given, out, quiet, no_color. 0; TB_EXIT_USAGE
 * after a line on stderr: the file cannot be written. */
int tb_output_open(struct tb_output *output, const struct tb_args *args);

void tb_output_begin(struct tb_output *output, const struct tb_run_facts *facts);
void tb_output_row(struct tb_output *output, const struct tb_row *row);

/* Ends the reports and closes the file. end->exit_code, or TB_EXIT_NOTHING after a line on stderr
 * if that is 0 and something could not be written. */
int tb_output_end(struct tb_output *output, const struct tb_run_end *end);

/* Whether a table grows on stdout: then nobody needs to be told of a row elsewhere. */
bool tb_output_shows_rows(const struct tb_output *output);

#endif
