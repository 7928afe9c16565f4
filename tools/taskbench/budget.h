/* budget.h: what each row may cost, in figures that do not depend on the machine's mood, and the
 * file that says so (bench/budgets.json, described by bench/schema/taskbench-budgets-1.json).
 *
 * Terms. *metric*: one of the exact figures. *limit*: what the budget says. *allowance*: by how
 * much a figure may exceed it; 0 but for instructions, and for what a row's "allow" names.
 *
 * Guarantees.
 * B.1  A figure that was not taken, or that means something else here (another compiler's
 *      instructions, another backend's system calls), is never within its limit: it is "not
 *      compared", with a reason.
 * B.2  A file that is not understood as a whole is refused as a whole. */
#ifndef TB_BUDGET_H
#define TB_BUDGET_H

#include "exact.h"
#include <stdbool.h>

#define TB_BUDGETS_MAX 128 /* rows */

struct tb_budget {
    const struct tb_load *load;
    int workers;
    uint64_t params[TB_PARAMS_MAX];
    uint64_t rounds;         /* of the stretch; 0: as many as make TB_COUNT_OPS ops */
    double limit[TB_EXACTS]; /* NAN: none */
    double
        allow[TB_EXACTS]; /* NAN: the default. Of instructions in per cent, of the rest absolute */
    char io[16]; /* the backend that system calls and enters are of; "": they are of none */
    struct tb_function functions[TB_FUNCTIONS_MAX]; /* what the limit of instructions is made of */
    int functions_n;
};

struct tb_budgets {
    char build[200]; /* that instructions were counted with: tb_build */
    struct tb_budget rows[TB_BUDGETS_MAX];
    int rows_n;
    char error[200];
};

/* Compiler and flags of this program: instructions of two programs can be compared if it is
 * equal. */
const char *tb_build(void);

/* 0; a negative code with `error` set: unreadable, another schema, an unknown workload. */
int tb_budgets_load(struct tb_budgets *budgets, const char *path);

/* Replaces the file in one step. 0 or -errno. */
int tb_budgets_save(const struct tb_budgets *budgets, const char *path);

/* Appends a row of the load with its defaults, without limits, unless it is there. NULL: no
 * room. */
struct tb_budget *tb_budgets_add(struct tb_budgets *budgets, const struct tb_load *load,
                                 int workers);

/* --- judging ---------------------------------------------------------------------------------- */

enum tb_judgement {
    TB_WITHIN,
    TB_BETTER, /* by more than the allowance, or 3 %: the budget could be lowered */
    TB_EXCEEDED,
    TB_NOT_COMPARED, /* B.1 */
    TB_UNLIMITED,    /* the budget does not speak of it */
};

struct tb_judged {
    enum tb_judgement verdict[TB_EXACTS];
    const char *why_not[TB_EXACTS]; /* TB_NOT_COMPARED */
    int compared, exceeded, better, not_compared;
};

/* `build` and `io`: of this run. */
void tb_budget_judge(const struct tb_budget *budget, const struct tb_exact_set *exact,
                     const char *build_of_budgets, const char *build, const char *io,
                     struct tb_judged *out);

/* Has it no limits at all? The first update gives it all of them. */
bool tb_budget_is_new(const struct tb_budget *budget);

/* Takes what was counted as the new limits. What was not counted keeps its limit, and what a row
 * with limits does not limit stays without. */
void tb_budget_take(struct tb_budget *budget, const struct tb_exact_set *exact,
                    const struct tb_instructions *instructions, const char *io);

#endif
