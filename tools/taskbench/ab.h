/* ab.h: two builds measured in turn, and what can be said of their difference.
 *
 * Terms. *pair*: a sample of the base and one of the candidate, next to each other in time; the order
 * alternates (A B, B A). *restart*: two fresh processes, which of them is started first alternates, and the
 * median of the logarithms of the ratios of their pairs. It is the unit of every statistic here: pairs of one
 * process share its memory and its luck, and are no independent observations. *margin*: the larger of the
 * threshold asked for and the workload's floor, which is what a build differs from itself (`calibrate`).
 *
 * Guarantees.
 * A.1  "slower" is said only if the 95 % interval of the median restart lies above the margin, the sign test
 *      says so after Holm's correction over all workloads, and a second round of fresh restarts says it again.
 * A.2  A workload whose interval includes the margin is measured on, up to `restarts_max`; then it is "unclear".
 * A.3  Nothing that was measured is dropped. Samples during which the process was switched out are counted. */
#ifndef TB_AB_H
#define TB_AB_H

#include "infer.h"
#include "row.h"
#include <stdbool.h>
#include <stdint.h>

#define TB_AB_RESTARTS_MAX 160
#define TB_AB_PAIRS_MAX    100
#define TB_AB_ROWS_MAX     96

enum tb_ab_verdict { TB_AB_UNCLEAR, TB_AB_SAME, TB_AB_FASTER, TB_AB_SLOWER, TB_AB_NONE };
extern const char *const tb_ab_verdicts[];

/* Independent restarts, as logarithms of candidate / base. */
struct tb_ab_series {
    double log_ratio[TB_AB_RESTARTS_MAX];
    int n;
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

    /* exact figures per op; NAN: not counted */
    double allocs[2], bytes[2], enters[2];

    /* conclusions */
    double floor; /* relative; NAN: not calibrated */
    double margin;
    double change;               /* ratio - 1, of the median restart */
    struct tb_interval interval; /* of it, 95 % */
    double p;                    /* of "slower", Holm's */
    enum tb_ab_verdict verdict;
    bool confirmed;     /* of slower: the second round agreed */
    bool not_confirmed; /* it did not: the verdict is "unclear" */
    bool grew;          /* more allocations or bytes than the base */
};

struct tb_ab_plan {
    const char *base, *cand; /* programs */
    int restarts, restarts_max, pairs;
    double threshold; /* relative */
    uint64_t seed;
    bool pin;
    bool confirm;
};

/* Told after each restart; `done` of `all` restarts that are planned now. */
typedef void tb_ab_watch_fn(void *arg, const struct tb_ab_row *row, int done, int all);

/* Measures all rows, and concludes. false: a signal asked us to end; conclusions are of what there is. */
bool tb_ab_run(const struct tb_ab_plan *plan, struct tb_ab_row *rows, int n, tb_ab_watch_fn *watch,
               void *arg);

/* --- for tests -------------------------------------------------------------------------------- */

/* From row->first, row->margin: change, interval, verdict and p (before Holm). */
void tb_ab_conclude(struct tb_ab_row *row);

/* Over all rows: Holm's correction, which may turn "slower" into "unclear". */
void tb_ab_correct(struct tb_ab_row *rows, int n);

/* From row->second: confirmed, or "unclear". */
void tb_ab_confirm(struct tb_ab_row *row);

#endif
