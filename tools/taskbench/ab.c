/* ab.c: see ab.h. */
#define _GNU_SOURCE
#include "ab.h"
#include "child.h"
#include "side.h"
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define WARM_UPS   2
#define CONFIDENCE 0.95

const char *const tb_ab_verdicts[] = {"unclear", "same", "faster", "slower", "none"};

enum { BASE, CAND };

const char *tb_ab_program(const struct tb_ab_plan *plan, int side)
{
    return plan->program != NULL ? plan->program : side == BASE ? plan->base : plan->cand;
}

/* --- one restart ------------------------------------------------------------------------------ */

struct restart {
    const struct tb_ab_plan *plan;
    struct tb_ab_row *row;
    struct tb_side side[2];
    uint64_t rounds; /* the same for both; 0: to be found */
    double log_ratio[TB_AB_PAIRS_MAX];
    double ns[2][TB_AB_PAIRS_MAX];
};

/* Pinned workers take the first CPUs that they may. The CPUs of a machine are not equally fast, so
 * if `shifts`, and enough are left, that is all but the first. */
static bool start_side(struct tb_side *side, const char *program, const struct tb_row *row,
                       bool pin, bool shifts)
{
    cpu_set_t all, less;
    bool less_one = pin && shifts && sched_getaffinity(0, sizeof all, &all) == 0 &&
                    CPU_COUNT(&all) > row->workers;
    if (less_one) {
        int first = 0;
        while (!CPU_ISSET(first, &all)) { /* ends: there is one */
            first++;
        }
        less = all;
        CPU_CLR(first, &less);
        less_one = sched_setaffinity(0, sizeof less, &less) == 0; /* the child has it from us */
    }
    bool ok = tb_side_start(side, program, row, pin);
    if (less_one) {
        (void)sched_setaffinity(0, sizeof all, &all);
    }
    return ok;
}

static bool start_sides(struct restart *r, int number)
{
    static struct tb_row row;
    const struct tb_ab_plan *plan = r->plan;
    row = (struct tb_row){.load = r->row->load, .workers = r->row->workers, .seed = plan->seed};
    memcpy(row.params, r->row->params, sizeof row.params);
    int first = number % 2 ? CAND : BASE;
    r->side[!first] = (struct tb_side){.to = -1, .from = -1}; /* in case that the first fails */
    for (int i = 0; i < 2; i++) {
        int side = i == 0 ? first : !first;
        row.object = plan->objects[side];
        row.workers = side == BASE && plan->base_workers ? plan->base_workers : r->row->workers;
        if (!start_side(&r->side[side], tb_ab_program(plan, side), &row, plan->pin,
                        number / 2 % 2)) {
            return false;
        }
    }
    return true;
}

static bool take(struct restart *r, int side, double *ns_per_op)
{
    char command[64], answer[TB_SIDE_LINE_MAX];
    uint64_t ns, ops, switches;
    snprintf(command, sizeof command, "go %" PRIu64, r->rounds);
    if (!tb_side_ask(&r->side[side], command, "took", answer)) {
        return false;
    }
    if (sscanf(answer, "%" SCNu64 " %" SCNu64 " %" SCNu64, &ns, &ops, &switches) != 3 || ops == 0) {
        r->side[side].status = TB_ROW_WRONG;
        snprintf(r->side[side].reason, sizeof r->side[side].reason, "a sample that is none");
        return false;
    }
    *ns_per_op = (double)ns / (double)ops;
    r->row->samples++;
    r->row->dirty += switches > 0;
    return true;
}

/* Rounds that fill a sample of the base; the candidate does the same work, so its sample is longer
 * or shorter by what it is slower or faster, and no more. */
static bool find_rounds(struct restart *r)
{
    for (int side = BASE; side <= CAND && r->rounds == 0; side++) {
        char answer[TB_SIDE_LINE_MAX];
        if (!tb_side_ask(&r->side[side], "find", "rounds", answer) ||
            sscanf(answer, "%" SCNu64, &r->rounds) != 1) {
            return false;
        }
    }
    return r->rounds > 0;
}

static bool take_pairs(struct restart *r)
{
    double ignored;
    for (int i = 0; i < WARM_UPS; i++) {
        if (!take(r, BASE, &ignored) || !take(r, CAND, &ignored)) {
            return false;
        }
    }
    for (int i = 0; i < r->plan->pairs; i++) { /* A B, B A, A B ... */
        int first = i % 2 ? CAND : BASE;
        if (!take(r, first, &r->ns[first][i]) || !take(r, !first, &r->ns[!first][i])) {
            return false;
        }
        r->log_ratio[i] = log(r->ns[CAND][i] / r->ns[BASE][i]);
    }
    return true;
}

static double median(const double *values, int n)
{
    struct tb_summary summary;
    return tb_summarize(values, (size_t)n, &summary) == 0 ? summary.median : (double)NAN;
}

static void note_failure(struct restart *r)
{
    static const char *const names[] = {"base", "candidate"};
    for (int side = BASE; side <= CAND; side++) {
        const struct tb_side *s = &r->side[side];
        if (s->status != TB_ROW_OK && r->row->status != TB_ROW_WRONG) {
            r->row->status = s->status;
            snprintf(r->row->reason, sizeof r->row->reason, "%s: %.180s", names[side], s->reason);
        }
        if (s->note[0]) {
            memcpy(r->row->note, s->note, sizeof r->row->note);
        }
    }
}

/* Adds one restart to the series. false: a side failed, or we are to end. */
static bool run_restart(struct restart *r, struct tb_ab_series *series)
{
    if (series->n == TB_AB_RESTARTS_MAX) {
        return true;
    }
    bool ok = start_sides(r, series->n) && find_rounds(r) && take_pairs(r);
    if (!tb_interrupted()) {
        note_failure(r);
    }
    tb_side_stop(&r->side[BASE]);
    tb_side_stop(&r->side[CAND]);
    if (ok) {
        if (series == &r->row->first) {
            r->row->base_ns[series->n] = median(r->ns[BASE], r->plan->pairs);
            r->row->cand_ns[series->n] = median(r->ns[CAND], r->plan->pairs);
        }
        series->log_ratio[series->n++] = median(r->log_ratio, r->plan->pairs);
    }
    return ok && r->row->status == TB_ROW_OK;
}

/* --- conclusions ------------------------------------------------------------------------------ */

void tb_ab_conclude(struct tb_ab_row *row)
{
    const struct tb_ab_series *s = &row->first;
    double margin = log1p(row->margin);
    if (s->n == 0 || row->status != TB_ROW_OK) {
        row->verdict = TB_AB_NONE;
        return;
    }
    struct tb_interval logs = tb_median_interval(s->log_ratio, (size_t)s->n, CONFIDENCE);
    row->change = expm1(median(s->log_ratio, s->n));
    row->interval =
        isinf(logs.high) ? logs : (struct tb_interval){expm1(logs.low), expm1(logs.high)};
    row->p = tb_sign_test(s->log_ratio, (size_t)s->n, margin);
    row->verdict = logs.low > margin                            ? TB_AB_SLOWER
                   : logs.high < -margin                        ? TB_AB_FASTER
                   : logs.low >= -margin && logs.high <= margin ? TB_AB_SAME
                                                                : TB_AB_UNCLEAR;
}

void tb_ab_correct(struct tb_ab_row *rows, int n)
{
    double p[TB_AB_ROWS_MAX];
    size_t tests = 0;
    for (int i = 0; i < n; i++) {
        if (rows[i].verdict != TB_AB_NONE) {
            p[tests++] = rows[i].p;
        }
    }
    tb_holm(p, tests);
    tests = 0;
    for (int i = 0; i < n; i++) {
        if (rows[i].verdict != TB_AB_NONE) {
            rows[i].p = p[tests++];
            if (rows[i].verdict == TB_AB_SLOWER && rows[i].p >= 1 - CONFIDENCE) {
                rows[i].verdict = TB_AB_UNCLEAR;
            }
        }
    }
}

void tb_ab_confirm(struct tb_ab_row *row)
{
    const struct tb_ab_series *s = &row->second;
    double p = tb_sign_test(s->log_ratio, (size_t)s->n, log1p(row->margin));
    row->confirmed = s->n > 0 && p < 1 - CONFIDENCE;
    if (!row->confirmed) {
        row->not_confirmed = true;
        row->verdict = TB_AB_UNCLEAR;
    }
}

/* --- all rows --------------------------------------------------------------------------------- */

struct progress {
    tb_ab_watch_fn *watch;
    void *arg;
    int done, all;
};

static bool run_some(struct restart *r, struct tb_ab_series *series, int restarts,
                     struct progress *p)
{
    for (int i = 0; i < restarts; i++) {
        if (!run_restart(r, series)) {
            p->all -= restarts - i;
            return false;
        }
        p->done++;
        if (p->watch) {
            p->watch(p->arg, r->row, false, p->done, p->all);
        }
    }
    return true;
}

/* Of `n` rows: Holm's correction multiplies by no more. */
static bool is_undecided(const struct tb_ab_row *row, int n)
{
    return row->verdict == TB_AB_UNCLEAR ||
           (row->verdict == TB_AB_SLOWER && row->p * n >= 1 - CONFIDENCE);
}

/* One of `n` rows. More of them while the verdict is unclear: A.2. */
static void run_row(const struct tb_ab_plan *plan, struct tb_ab_row *row, int n, struct progress *p)
{
    struct restart r = {.plan = plan, .row = row};
    bool going = run_some(&r, &row->first, plan->restarts, p);
    tb_ab_conclude(row);
    while (going && is_undecided(row, n) && row->first.n < plan->restarts_max) {
        int more = row->first.n < plan->restarts_max - row->first.n
                       ? row->first.n
                       : plan->restarts_max - row->first.n;
        p->all += more;
        going = run_some(&r, &row->first, more, p);
        tb_ab_conclude(row);
    }
    tb_ab_conclude(row); /* a failure makes it none */
}

static void set_margin(const struct tb_ab_plan *plan, struct tb_ab_row *row)
{
    row->margin = isnan(row->floor) || row->floor < plan->threshold ? plan->threshold : row->floor;
}

/* What was wrong already is not timed. */
static void time_rows(const struct tb_ab_plan *plan, struct tb_ab_row *rows, int n,
                      struct progress *p)
{
    for (int i = 0; i < n && !tb_interrupted(); i++) {
        if (rows[i].status == TB_ROW_OK) {
            run_row(plan, &rows[i], n, p);
        }
    }
    tb_ab_correct(rows, n);
    for (int i = 0; i < n && plan->confirm && !tb_interrupted(); i++) {
        struct restart r = {.plan = plan, .row = &rows[i]};
        if (rows[i].verdict == TB_AB_SLOWER) {
            p->all += rows[i].first.n;
            run_some(&r, &rows[i].second, rows[i].first.n, p);
            tb_ab_confirm(&rows[i]);
        }
    }
}

bool tb_ab_run(const struct tb_ab_plan *plan, struct tb_ab_row *rows, int n, tb_ab_watch_fn *watch,
               void *arg)
{
    struct progress p = {watch, arg, 0, n * plan->restarts};
    for (int i = 0; i < n; i++) {
        rows[i].verdict = TB_AB_NONE;
        set_margin(plan, &rows[i]);
    }
    for (int i = 0; i < n && plan->count && tb_ab_count(plan, &rows[i]); i++) {
        if (watch) {
            watch(arg, &rows[i], true, i + 1, n);
        }
    }
    if (plan->time && !tb_interrupted()) {
        time_rows(plan, rows, n, &p);
    }
    return !tb_interrupted();
}
