/* ab_exact.c: what `taskbench ab` counts of two builds before it times them. See ab.h, A.4. */
#include "ab.h"
#include "child.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE, CAND };

const char *const tb_ab_exactnesses[] = {"unknown", "equal", "less", "more", "varies"};

/* What a figure may differ by and still be the same: absolute, and as a part of it. Two of
 * TB_COUNT_OPS ops for what happens once in a while (a cache that is refilled); for system calls
 * more, since a thread that is late sleeps once more. One op in a hundred is noticed in all of
 * them. */
static const struct {
    double absolute, part;
} slacks[TB_EXACTS] = {
    [TB_EXACT_ALLOCS] = {0.001, 0.001},
    [TB_EXACT_BYTES] = {0.1, 0.001},
    [TB_EXACT_CALLS] = {0.009, 0.01},
    [TB_EXACT_ENTERS] = {0.009, 0.01},
    [TB_EXACT_POOL] = {0, 0},
    [TB_EXACT_INSTRUCTIONS] = {0.05, 0}, /* its part is the plan's */
};

/* --- judging ---------------------------------------------------------------------------------- */

struct range {
    double low, high;
};

static struct range range_of(const double *values, int n)
{
    struct range r = {values[0], values[0]};
    for (int i = 1; i < n; i++) {
        r.low = fmin(r.low, values[i]);
        r.high = fmax(r.high, values[i]);
    }
    return r;
}

static double median_of(const double *values, int n)
{
    struct tb_summary summary;
    return tb_summarize(values, (size_t)n, &summary) == 0 ? summary.median : (double)NAN;
}

static bool is_known(const struct tb_ab_figure *f)
{
    bool known = f->counts > 0;
    for (int i = 0; i < f->counts; i++) {
        known = known && !isnan(f->count[BASE][i]) && !isnan(f->count[CAND][i]);
    }
    return known;
}

void tb_ab_judge(struct tb_ab_figure *f, enum tb_exact which, double instructions)
{
    f->is = TB_AB_UNKNOWN;
    f->value[BASE] = f->value[CAND] = (double)NAN;
    if (!is_known(f)) {
        return;
    }
    for (int side = BASE; side <= CAND; side++) {
        f->value[side] = median_of(f->count[side], f->counts);
    }
    struct range base = range_of(f->count[BASE], f->counts);
    struct range cand = range_of(f->count[CAND], f->counts);
    double part = which == TB_EXACT_INSTRUCTIONS ? instructions : slacks[which].part;
    double slack = slacks[which].absolute + part * base.low;
    bool steady = base.high - base.low <= slack && cand.high - cand.low <= slack;
    f->is = steady && cand.low > base.high + slack                           ? TB_AB_MORE
            : steady && cand.high < base.low - slack                         ? TB_AB_LESS
            : fmax(cand.high, base.high) - fmin(cand.low, base.low) <= slack ? TB_AB_EQUAL
                                                                             : TB_AB_VARIES;
}

/* --- counting --------------------------------------------------------------------------------- */

struct job {
    const struct tb_ab_plan *plan;
    struct tb_ab_row *row;
    int side;
    bool finished;
};

/* One of several threads can do nothing for the other, where they wait for the clock or for each
 * other: instructions are the same each time only for one. */
static const char *why_no_instructions(const struct tb_ab_plan *plan, const struct tb_ab_row *row)
{
    return plan->no_instructions[0] ? plan->no_instructions
           : row->workers > 1       ? "instructions are counted with one worker only (--workers 1)"
           : row->load->flags & (TB_LOAD_OUTSIDE | TB_LOAD_ONCE | TB_LOAD_CPU)
               ? "instructions of such a workload differ each time"
               : "";
}

static void *count_side(void *arg)
{
    struct job *job = arg;
    const struct tb_ab_row *row = job->row;
    struct tb_ab_counted *counted = row->counted[job->side];
    struct tb_exact_order order = {
        .program = tb_ab_program(job->plan, job->side),
        .no_instructions = why_no_instructions(job->plan, row),
    };
    counted->row = (struct tb_row){.load = row->load,
                                   .workers = row->workers,
                                   .seed = job->plan->seed,
                                   .object = job->plan->objects[job->side]};
    memcpy(counted->row.params, row->params, sizeof row->params);
    job->finished = tb_exact_count(&order, &counted->row, &counted->instructions, &counted->exact);
    return NULL;
}

/* Both sides, side by side but for what fills the memory. */
static bool count_both(const struct tb_ab_plan *plan, struct tb_ab_row *row)
{
    struct job base = {plan, row, BASE, false}, cand = {plan, row, CAND, false};
    pthread_t thread;
    bool apart =
        row->load->flags & TB_LOAD_ONCE || pthread_create(&thread, NULL, count_side, &base) != 0;
    if (apart) {
        count_side(&base);
    }
    count_side(&cand);
    if (!apart) {
        pthread_join(thread, NULL);
    }
    return base.finished && cand.finished;
}

/* Adds a count to each figure. true: one of them differs, and is to be counted again. */
static bool take(const struct tb_ab_plan *plan, struct tb_ab_row *row)
{
    bool differs = false;
    for (int i = 0; i < TB_EXACTS; i++) {
        struct tb_ab_figure *f = &row->figures[i];
        for (int side = BASE; side <= CAND; side++) {
            const struct tb_exact_set *exact = &row->counted[side]->exact;
            f->count[side][f->counts] = exact->value[i];
            row->why_not[i] = exact->why_not[i] ? exact->why_not[i] : row->why_not[i];
        }
        f->counts++;
        tb_ab_judge(f, (enum tb_exact)i, plan->instructions);
        differs = differs || (i != TB_EXACT_POOL && f->is > TB_AB_EQUAL);
    }
    return differs;
}

/* A wrong result is the row's; what a build of another version cannot do is unknown. */
static bool note_status(struct tb_ab_row *row)
{
    static const char *const names[] = {"base", "candidate"};
    for (int side = BASE; side <= CAND; side++) {
        const struct tb_row *counted = &row->counted[side]->row;
        if (counted->status == TB_ROW_WRONG && row->status == TB_ROW_OK) {
            row->status = TB_ROW_WRONG;
            snprintf(row->reason, sizeof row->reason, "%s: %.180s", names[side], counted->reason);
        }
        if (counted->status != TB_ROW_OK) {
            for (int i = 0; i < TB_EXACTS; i++) {
                row->why_not[i] = counted->reason;
            }
            return false;
        }
    }
    return true;
}

bool tb_ab_count(const struct tb_ab_plan *plan, struct tb_ab_row *row)
{
    for (int side = BASE; side <= CAND; side++) {
        row->counted[side] =
            calloc(1, sizeof *row->counted[side]); /* too large for a thread's stack */
        if (!row->counted[side]) {
            return true;
        }
    }
    bool again = true;
    for (int i = 0; i < TB_AB_COUNTS && again; i++) {
        if (!count_both(plan, row)) {
            return false;
        }
        again = note_status(row) && take(plan, row);
    }
    for (int i = 0; i < TB_EXACTS; i++) {
        row->grew = row->grew || (i != TB_EXACT_POOL && row->figures[i].is == TB_AB_MORE);
    }
    return true;
}

bool tb_ab_was_counted(const struct tb_ab_row *row)
{
    bool counted = false;
    for (int i = 0; i < TB_EXACTS; i++) {
        counted = counted || row->figures[i].is != TB_AB_UNKNOWN;
    }
    return counted;
}
