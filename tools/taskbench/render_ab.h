/* render_ab.h: what `taskbench ab` or `scaling` found, in each format, once it is over. */
#ifndef TB_RENDER_AB_H
#define TB_RENDER_AB_H

#include "ab.h"
#include "args.h"
#include "machine.h"
#include <stdio.h>

struct tb_ab_report {
    const char *command; /* "ab", "scaling" */
    const struct tb_ab_plan *plan;
    const struct tb_ab_row *rows;
    int rows_n;
    const struct tb_machine *machine;
    time_t started;
    double elapsed_s;
    double steal_percent; /* negative: unknown */
    bool interrupted;
    int exit_code;
};

/* 0; -ENOTSUP: there is no such report of these. */
int tb_ab_render(const struct tb_ab_report *report, enum tb_format format, FILE *out, bool color);

/* "▁▂▃█" of the last `cells` values between their least and most; ASCII "_.-^" without unicode. */
void tb_spark(const double *values, int n, int cells, bool unicode, char *out, size_t bytes);

#endif
