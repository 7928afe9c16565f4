/* exact.h: counts what a row costs in figures that do not depend on the machine's mood. For `gate`,
 * which holds them against budgets, and `ab`, which holds them against another build.
 *
 * A row is two processes: one with allocations hooked and system calls traced (cmd_trace.c), and
 * one under callgrind. After two warm-ups one stretch is counted. None of them keeps a time, so
 * several may be counted at once. */
#ifndef TB_EXACT_H
#define TB_EXACT_H

#include "callgrind.h"
#include "row.h"
#include "units.h"
#include <stdbool.h>
#include <stdint.h>

enum tb_exact {
    TB_EXACT_ALLOCS,       /* calls of malloc and its like, per op, on all threads */
    TB_EXACT_BYTES,        /* per op, as rounded up by malloc */
    TB_EXACT_CALLS,        /* system calls per op, of the whole process */
    TB_EXACT_ENTERS,       /* system calls of the I/O driver per op, by the runtime's own count */
    TB_EXACT_POOL,         /* chunks and stacks that the runtime added, over the whole stretch */
    TB_EXACT_INSTRUCTIONS, /* per op */
    TB_EXACTS
};

struct tb_exact_shape {
    const char *key;   /* in files */
    const char *title; /* in tables */
    int width;
};
extern const struct tb_exact_shape tb_exacts[TB_EXACTS];

/* What was counted of a row; NAN: it was not, and `why_not` says why: a static text, or one of the
 * row or of its instructions. */
struct tb_exact_set {
    double value[TB_EXACTS];
    const char *why_not[TB_EXACTS];
};

struct tb_exact_order {
    const char *program;         /* a build of taskbench; NULL: this one */
    uint64_t rounds;             /* of the stretch; 0: as many as make TB_COUNT_OPS ops */
    const char *no_instructions; /* why they are not to be counted; "": they are */
};

/* Counts `row`, whose first part says what it is. Its status says how it went. Any thread; blocks.
 * false: a signal asked this process to end. */
bool tb_exact_count(const struct tb_exact_order *order, struct tb_row *row,
                    struct tb_instructions *instructions, struct tb_exact_set *exact);

/* "3", "0.0125", "?" for NAN: in at most ten characters. */
const char *tb_exact_number(char out[TB_NUMBER_MAX], double value);

#endif
