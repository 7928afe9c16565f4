/* ab.h: two builds, or one with two numbers of workers, measured in turn, and what can be said of
 * their difference.
 *
 * Terms. *pair*: a sample of the base and one of the candidate, next to each other in time; the
 * order alternates (A B, B A). *restart*: two fresh processes, which of them is started first
 * alternates, and the median of the logarithms of the ratios of their pairs. It is the unit of
 * every statistic here: pairs of one process share its memory and its luck, and are no independent
 * observations. *margin*: the larger of the threshold asked for and the workload's floor, which is
 * what a build differs from itself (`calibrate`). *figure*: what is counted and not timed
 * (exact.h).
 *
 * Guarantees.
 * A.1  "slower" is said only if the 95 % interval of the median restart lies above the margin, the
 *      sign test says so after Holm's correction over all workloads, and a second round of fresh
 *      restarts says it again.
 * A.2  A workload whose interval includes the margin is measured on, up to `restarts_max`, and so
 *      is one that is slower by too few restarts for Holm's correction; then it is "unclear".
 * A.3  Nothing that was measured is dropped. Samples during which the process was switched out are
 *      counted.
 * A.4  "more" is said of a figure only if every count of the candidate, TB_AB_COUNTS of them and
 *      each in a process of its own, lies above every count of the base by more than the figure's
 *      slack, and no side differs from itself by as much. What does is "varies", and decides
 *      nothing. */
#ifndef TB_AB_H
#define TB_AB_H

#include "exact.h"
#include "infer.h"
#include "row.h"
#include <stdbool.h>
#include <stdint.h>

#define TB_AB_RESTARTS_MAX 160
#define TB_AB_PAIRS_MAX    100
#define TB_AB_ROWS_MAX     96
#define TB_AB_COUNTS       3 /* of each side, where the first ones differ */

enum tb_ab_verdict { TB_AB_UNCLEAR, TB_AB_SAME, TB_AB_FASTER, TB_AB_SLOWER, TB_AB_NONE };
extern const char *const tb_ab_verdicts[];

/* Independent restarts, as logarithms of candidate / base. */
struct tb_ab_series {
    double log_ratio[TB_AB_RESTARTS_MAX];
    int n;
};

enum tb_ab_exactness { TB_AB_UNKNOWN, TB_AB_EQUAL, TB_AB_LESS, TB_AB_MORE, TB_AB_VARIES };
extern const char *const tb_ab_exactnesses[];

/* One figure of both sides. */
struct tb_ab_figure {
    double count[2][TB_AB_COUNTS]; /* base, candidate; NAN: not counted */
    int counts;                    /* 1, or TB_AB_COUNTS; 0: nothing was counted */
    enum tb_ab_exactness is;
    double value[2]; /* the medians */
};

struct tb_ab_row {
    const struct tb_load *load;
    int workers;
    uint64_t params[TB_PARAMS_MAX];

    enum tb_status status; /* TB_ROW_WRONG: one side's result was wrong, or it failed */
    char reason[TB_REASON_MAX];
    char note[TB_REASON_MAX]; /* what the processes were not allowed; "" */

    struct tb_ab_series first, second;  /* the second: the confirming round */
    double base_ns[TB_AB_RESTARTS_MAX]; /* median per restart of the first series */
    double cand_ns[TB_AB_RESTARTS_MAX];
    int samples, dirty;

    struct tb_ab_figure figures[TB_EXACTS]; /* that of TB_EXACT_POOL is not judged */
    const char *why_not[TB_EXACTS];         /* of TB_AB_UNKNOWN; NULL: it was not tried */
    /* the last count of each side, with places and functions; NULL: none. Never freed. */
    struct tb_ab_counted {
        struct tb_row row;
        struct tb_instructions instructions;
        struct tb_exact_set exact;
    } * counted[2];

    /* conclusions */
    double floor; /* relative; NAN: not calibrated */
    double margin;
    double change;               /* ratio - 1, of the median restart */
    struct tb_interval interval; /* of it, 95 % */
    double p;                    /* of "slower", Holm's */
    enum tb_ab_verdict verdict;
    bool confirmed;     /* of slower: the second round agreed */
    bool not_confirmed; /* it did not: the verdict is "unclear" */
    bool grew;          /* a figure is TB_AB_MORE */
};

struct tb_ab_plan {
    const char *base, *cand; /* programs, or shared objects (user.h) */
    const char *program;     /* for objects: what runs them; else NULL */
    const char *objects[2];  /* for objects: tb_row.object of base and candidate; else NULL */
    int base_workers;        /* of the base; 0: as many as the row has */
    int restarts, restarts_max, pairs;
    double threshold; /* relative */
    uint64_t seed;
    bool pin;
    bool confirm;
    bool count, time;            /* what is done: figures first, then times */
    double instructions;         /* relative: what instructions may grow by */
    const char *no_instructions; /* why they cannot be counted here; "": they can */
};

/* Told after each restart, `done` of `all` restarts that are planned now; and before (`counting`)
 * after each row whose figures were counted, `done` of `all` rows. */
typedef void tb_ab_watch_fn(void *arg, const struct tb_ab_row *row, bool counting, int done,
                            int all);

/* Measures all rows, and concludes. false: a signal asked us to end; conclusions are of what there
 * is. */
bool tb_ab_run(const struct tb_ab_plan *plan, struct tb_ab_row *rows, int n, tb_ab_watch_fn *watch,
               void *arg);

/* Counts the figures of a row, of both sides, and judges them: ab_exact.c. What this build cannot
 * be asked is unknown; a wrong result is the row's status. false: a signal asked us to end. */
bool tb_ab_count(const struct tb_ab_plan *plan, struct tb_ab_row *row);

/* What runs the base (0) or the candidate (1). */
const char *tb_ab_program(const struct tb_ab_plan *plan, int side);

/* Is a figure of it known? */
bool tb_ab_was_counted(const struct tb_ab_row *row);

/* --- for tests -------------------------------------------------------------------------------- */

/* From figure->count and ->counts: is, value. `instructions`: that of the plan. */
void tb_ab_judge(struct tb_ab_figure *figure, enum tb_exact which, double instructions);

/* From row->first, row->margin: change, interval, verdict and p (before Holm). */
void tb_ab_conclude(struct tb_ab_row *row);

/* Over all rows: Holm's correction, which may turn "slower" into "unclear". */
void tb_ab_correct(struct tb_ab_row *rows, int n);

/* From row->second: confirmed, or "unclear". */
void tb_ab_confirm(struct tb_ab_row *row);

#endif
