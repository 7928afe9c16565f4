/* gate.h: counts the rows of a budgets file and judges them. What cmd_gate.c does and render_gate.c
 * shows. */
#ifndef TB_GATE_H
#define TB_GATE_H

#include "budget.h"
#include "reasons.h"
#include <stdio.h>

/* A row of the gate, counted. */
struct tb_gate_row {
    struct tb_budget *budget;
    bool counted; /* false: not reached before an interruption, or not selected */
    struct tb_row *row;
    struct tb_instructions instructions;
    struct tb_exact_set exact;
    struct tb_judged judged;
    double elapsed_s; /* of the two processes, beside those of another row */
};

struct tb_gate {
    struct tb_budgets budgets;
    struct tb_gate_row rows[TB_BUDGETS_MAX];
    int rows_n; /* selected */
    uint64_t seed;
    char io[16];       /* backend here */
    char valgrind[32]; /* its version; "" */
    char no_instructions[TB_REASON_MAX];
    bool quiet;

    /* result */
    int done, wrong, compared, exceeded, better, not_compared;
    double elapsed_s;
    int exit_code;
};

/* Counts all selected rows, two processes at a time, and judges them. Stops early when a signal
 * asks for it. */
void tb_gate_run(struct tb_gate *gate);

/* Why figures were not compared, over all rows. */
void tb_gate_reasons(const struct tb_gate *gate, struct tb_reasons *out);

/* --- reports: render_gate.c ------------------------------------------------------------------- */

void tb_gate_table(const struct tb_gate *gate, FILE *out, bool color);
void tb_gate_md(const struct tb_gate *gate, FILE *out);
void tb_gate_junit(const struct tb_gate *gate, FILE *out);
void tb_gate_json(const struct tb_gate *gate, FILE *out);

#endif
