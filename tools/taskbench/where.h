/* where.h: where in the code a figure comes from, in lines below the one that says what was
 * counted. For the reports of `gate` and `ab`. */
#ifndef TB_WHERE_H
#define TB_WHERE_H

#include "callgrind.h"
#include "row.h"
#include <stdio.h>

/* Where to write, and what begins and ends each line. */
struct tb_lines {
    FILE *out;
    const char *fail, *more, *end;
};

/* The places of a row that allocate, or call the kernel. */
void tb_where_sites(const struct tb_lines *to, const struct tb_row *row, enum tb_site_kind kind);

/* The functions whose instructions grew most. */
void tb_where_grew(const struct tb_lines *to, const struct tb_function *was, int n,
                   const struct tb_instructions *now);

#endif
