/* gate.c: see gate.h. Nothing keeps a time (exact.h), so two rows are counted side by side. */
#include "gate.h"
#include "child.h"
#include "clock.h"
#include "exit.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 2 /* CPUs of the smallest machine that this is for */

struct crew {
    struct tb_gate *gate;
    _Atomic int next;
    _Atomic int done;
    _Atomic int failed; /* rows for which there was no memory */
};

/* --- one row ---------------------------------------------------------------------------------- */

/* Instructions are the same each time where one thread alone is at work and does not look at the
 * clock. */
static const char *why_no_instructions(const struct tb_gate *gate, const struct tb_budget *budget)
{
    return gate->no_instructions[0] ? gate->no_instructions
           : budget->workers > 1    ? "more than one worker"
           : isnan(budget->limit[TB_EXACT_INSTRUCTIONS]) && !tb_budget_is_new(budget)
               ? "the budget does not speak of them"
               : "";
}

/* false: interrupted. */
static bool count_row(struct tb_gate *gate, struct tb_gate_row *g)
{
    struct tb_budget *b = g->budget;
    g->row = calloc(1, sizeof *g->row);
    if (!g->row) {
        return false;
    }
    *g->row = (struct tb_row){.load = b->load, .workers = b->workers, .seed = gate->seed};
    memcpy(g->row->params, b->params, sizeof b->params);
    struct tb_exact_order order = {NULL, b->rounds, why_no_instructions(gate, b)};
    uint64_t start = tb_now_ns();
    g->counted = tb_exact_count(&order, g->row, &g->instructions, &g->exact);
    g->elapsed_s = (double)(tb_now_ns() - start) * 1e-9;
    return g->counted;
}

/* --- all rows --------------------------------------------------------------------------------- */

static void show_progress(const struct crew *crew, const char *name)
{
    if (!crew->gate->quiet && isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K[%d/%d] %s", crew->done, crew->gate->rows_n, name);
        fflush(stderr);
    }
}

static void *count_rows(void *arg)
{
    struct crew *crew = arg;
    struct tb_gate *gate = crew->gate;
    for (;;) { /* ends with the rows */
        int at = atomic_fetch_add(&crew->next, 1);
        if (at >= gate->rows_n || tb_interrupted()) {
            return NULL;
        }
        show_progress(crew, gate->rows[at].budget->load->name);
        if (!count_row(gate, &gate->rows[at])) {
            return NULL;
        }
        crew->done++;
    }
}

static void judge_rows(struct tb_gate *gate)
{
    for (int i = 0; i < gate->rows_n; i++) {
        struct tb_gate_row *g = &gate->rows[i];
        if (!g->counted) {
            continue;
        }
        gate->done++;
        gate->wrong += g->row->status == TB_ROW_WRONG;
        tb_budget_judge(g->budget, &g->exact, gate->budgets.build, tb_build(), gate->io,
                        &g->judged);
        gate->compared += g->judged.compared;
        gate->exceeded += g->judged.exceeded;
        gate->better += g->judged.better;
        gate->not_compared += g->judged.not_compared;
    }
}

void tb_gate_reasons(const struct tb_gate *gate, struct tb_reasons *out)
{
    *out = (struct tb_reasons){.n = 0};
    for (int i = 0; i < gate->rows_n * TB_EXACTS; i++) {
        const struct tb_gate_row *g = &gate->rows[i / TB_EXACTS];
        tb_reasons_add(out, g->counted ? g->judged.why_not[i % TB_EXACTS] : NULL);
    }
}

void tb_gate_run(struct tb_gate *gate)
{
    struct crew crew = {.gate = gate};
    pthread_t threads[THREADS];
    int started = 0;
    uint64_t start = tb_now_ns();
    while (started < THREADS && pthread_create(&threads[started], NULL, count_rows, &crew) == 0) {
        started++;
    }
    if (started == 0) {
        count_rows(&crew);
    }
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    if (!gate->quiet && isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K");
    }
    judge_rows(gate);
    gate->elapsed_s = (double)(tb_now_ns() - start) * 1e-9;
}
