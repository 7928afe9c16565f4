/* gate.c: see gate.h.
 *
 * Each row is two processes: one under the tracer (cmd_trace.c), with allocations hooked, and one under
 * callgrind. None of them keeps a time, so two rows are counted side by side. */
#include "gate.h"
#include "agent.h"
#include "child.h"
#include "clock.h"
#include "exit.h"
#include "measure.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES   2 /* valgrind itself fails now and then */
#define THREADS 2 /* CPUs of the smallest machine that this is for */

struct crew {
    struct tb_gate *gate;
    _Atomic int next;
    _Atomic int done;
    _Atomic int failed; /* rows for which there was no memory */
};

/* --- one row ---------------------------------------------------------------------------------- */

static bool count_natively(struct tb_row *row, uint64_t rounds)
{
    struct tb_plan plan = {.pass = TB_PASS_COUNT, .rounds = rounds};
    struct tb_agent_args args;
    char *argv[TB_AGENT_ARGS + 2] = {"trace"};
    tb_agent_args_write(&args, row, &plan);
    for (int i = 0; i < args.n; i++) {
        argv[1 + i] = args.text[i];
    }
    return tb_measure_by(row, NULL, argv, 0);
}

static void set(struct tb_exact_set *exact, enum tb_exact which, bool known, double value,
                const char *why_not)
{
    exact->value[which] = known ? value : (double)NAN;
    exact->why_not[which] = known ? NULL : why_not;
}

static void collect(struct tb_gate_row *g)
{
    const struct tb_row *row = g->row;
    bool ok = row->status == TB_ROW_OK && row->counted_ops > 0;
    double ops = ok ? (double)row->counted_ops : 1;
    const char *failed = "the workload did not run";
    set(&g->exact, TB_EXACT_ALLOCS, ok && row->counted, (double)row->allocs.allocs / ops,
        ok ? row->uncounted : failed);
    set(&g->exact, TB_EXACT_BYTES, ok && row->counted, (double)row->allocs.bytes / ops,
        ok ? row->uncounted : failed);
    set(&g->exact, TB_EXACT_CALLS, ok && row->traced && !row->untraced[0], (double)row->calls / ops,
        ok ? row->untraced : failed);
    set(&g->exact, TB_EXACT_ENTERS, ok, (double)row->growth.driver_enters / ops, failed);
    set(&g->exact, TB_EXACT_POOL, ok, (double)(row->growth.slab_chunks + row->growth.stacks),
        failed);
    set(&g->exact, TB_EXACT_INSTRUCTIONS, g->instructions.counted, g->instructions.per_op,
        g->instructions.reason);
}

/* Instructions are the same each time where one thread alone is at work and does not look at the clock. */
static bool wants_instructions(const struct tb_gate *gate, struct tb_gate_row *g)
{
    const char *why_not = gate->no_instructions;
    if (!why_not[0] && g->budget->workers > 1) {
        why_not = "more than one worker";
    } else if (isnan(g->budget->limit[TB_EXACT_INSTRUCTIONS]) && !tb_budget_is_new(g->budget)) {
        why_not = "the budget does not speak of them";
    }
    snprintf(g->instructions.reason, sizeof g->instructions.reason, "%s", why_not);
    return why_not[0] == '\0';
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
    if (!count_natively(g->row, b->rounds)) {
        return false;
    }
    bool wanted = wants_instructions(gate, g) && g->row->status == TB_ROW_OK;
    for (int i = 0; i < TRIES && wanted && !g->instructions.counted; i++) {
        if (!tb_callgrind_measure(g->row, b->rounds, &g->instructions)) {
            return false;
        }
    }
    collect(g);
    g->counted = true;
    return true;
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
