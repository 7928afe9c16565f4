/* callgrind.h: instructions per op, by running a row's exact pass under valgrind's callgrind.
 *
 * On a shared machine time varies by tens of per cent and hardware counters are not to be had in
 * most virtual ones; the instructions that a single-threaded stretch executes are the same each
 * time, to the last one. What differs between machines is kept out: the libc chooses its memcpy by
 * the CPU, so it is told to take the plainest. What differs between compilers cannot be: budgets
 * say with which build they were taken (budget.h). */
#ifndef TB_CALLGRIND_H
#define TB_CALLGRIND_H

#include "row.h"
#include "sampler.h"
#include <stdint.h>
#include <stdio.h>

#define TB_FUNCTIONS_MAX     10 /* that are kept of a row: the dearest */
#define TB_FUNCTION_NAME_MAX 64

struct tb_function {
    char name[TB_FUNCTION_NAME_MAX];
    double instructions; /* its own, per op */
};

struct tb_instructions {
    bool counted;
    char reason[TB_REASON_MAX]; /* why not */
    double per_op;
    struct tb_function functions[TB_FUNCTIONS_MAX]; /* the dearest first */
    int functions_n;
};

/* Whether it can be had here. Fills `version` ("3.19.0"), or `reason` with why not. */
bool tb_callgrind_probe(char version[32], char reason[TB_REASON_MAX]);

/* Measures `row` so, as a build of taskbench runs it (NULL: this one). Any thread; blocks. false:
 * interrupted. */
bool tb_callgrind_measure(const char *program, const struct tb_row *row, uint64_t rounds,
                          struct tb_instructions *out);

/* The functions whose own instructions grew most from `was` (n of them) to `now`, the worst first,
 * into `out`; how many. Growth is in `instructions` of each. */
int tb_callgrind_growth(const struct tb_function *was, int n, const struct tb_instructions *now,
                        struct tb_function out[TB_FUNCTIONS_MAX]);

/* Reads callgrind's output: the total and the functions' own counts. 0; -EPROTO: it is none.
 * out->per_op and the functions are of the whole then, not per op. For tests. */
int tb_callgrind_read(FILE *file, struct tb_instructions *out);

#endif
