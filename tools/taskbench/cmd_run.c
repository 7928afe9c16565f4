/* cmd_run.c: `taskbench run`: plans the rows, measures one after the other, and writes the report
 * as they come. */
#include "child.h"
#include "clock.h"
#include "command.h"
#include "exit.h"
#include "history.h"
#include "measure.h"
#include "output.h"
#include "progress.h"
#include "run.h"
#include "tally.h"
#include "terminal.h"
#include <locale.h>
#include <stdio.h>
#include <string.h>

struct session {
    struct tb_args args;
    struct tb_run_plan plan;
    struct tb_machine machine;
    struct tb_output output;
    struct tb_history_line line; /* of --history */
    struct tb_progress progress;
    struct tb_tally tally;
};

static int complain(const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return TB_EXIT_USAGE;
}

/* --- rows ------------------------------------------------------------------------------------- */

static void watch(void *arg, const struct tb_row *row)
{
    tb_progress_tick(arg, row);
}

/* false: interrupted. */
static bool measure_row(struct session *s, const struct tb_planned *planned)
{
    static struct tb_row row; /* too large for the stack */
    row = (struct tb_row){.load = planned->load, .workers = planned->workers, .seed = s->args.seed};
    tb_run_params(&s->args, planned->load, row.params);
    tb_progress_row(&s->progress);
    if (!tb_measure(&row, &s->plan.plan, watch, &s->progress)) {
        return false;
    }
    tb_progress_clear(&s->progress);
    tb_progress_done(&s->progress, &row);
    tb_tally_row(&s->tally, &row);
    tb_output_row(&s->output, &row);
    if (s->args.history) {
        tb_history_row(&s->line, &row);
    }
    return true;
}

static void measure_rows(struct session *s)
{
    struct tb_steal before, after;
    uint64_t start = tb_now_ns();
    tb_steal_get(&before);
    s->tally = tb_tally_start(&s->args, s->plan.rows_n);
    s->progress =
        tb_progress_start(s->plan.rows_n, s->args.quiet, tb_output_shows_rows(&s->output));
    for (int i = 0; i < s->plan.rows_n && measure_row(s, &s->plan.rows[i]); i++) {
    }
    tb_progress_clear(&s->progress);
    tb_steal_get(&after);
    s->tally.end.steal_percent = tb_steal_percent(&before, &after);
    s->tally.end.elapsed_s = (double)(tb_now_ns() - start) * 1e-9;
    s->tally.end.interrupted = tb_interrupted();
}

/* --- the end ---------------------------------------------------------------------------------- */

/* A run that was interrupted has not all rows: its line would look like the end of the others. */
static void add_to_history(struct session *s)
{
    int rc = s->tally.end.interrupted ? tb_history_drop(&s->line)
                                      : tb_history_end(&s->line, s->args.history);
    if (rc < 0) {
        fprintf(stderr, "taskbench: cannot add to '%s': %s\n", s->args.history, strerror(-rc));
        s->tally.end.exit_code = s->tally.end.exit_code ? s->tally.end.exit_code : TB_EXIT_NOTHING;
    }
}

static int finish(struct session *s)
{
    tb_tally_finish(&s->tally);
    if (s->args.history) {
        add_to_history(s);
    }
    return tb_output_end(&s->output, &s->tally.end);
}

/* --- the beginning ---------------------------------------------------------------------------- */

static void begin_output(struct session *s)
{
    struct tb_run_facts facts = {.machine = &s->machine,
                                 .set = s->args.workloads_n ? "" : tb_set_name(s->args.set),
                                 .seed = s->args.seed,
                                 .started = time(NULL)};
    tb_output_begin(&s->output, &facts);
    if (s->args.history) {
        tb_history_begin(&s->line, &facts, s->args.label);
    }
}

static int run(struct session *s)
{
    char report[TB_REASON_MAX];
    tb_catch_signals();
    if (!tb_measure_probe(report)) {
        if (tb_interrupted()) {
            return TB_EXIT_SIGNAL + tb_interrupted();
        }
        fprintf(stderr, "taskbench: nothing can be measured: %s\n", report);
        return TB_EXIT_NOTHING;
    }
    tb_machine_set_report(&s->machine, report);
    int rc = tb_output_open(&s->output, &s->args);
    if (rc) {
        return rc;
    }
    begin_output(s);
    measure_rows(s);
    return finish(s);
}

int tb_cmd_run(int argc, char **argv)
{
    static struct session s;
    setlocale(LC_CTYPE, ""); /* for the bar; numbers stay as C writes them */
    tb_open_standard_streams();
    if (tb_args_parse(&s.args, argc, argv) < 0) {
        return complain(s.args.error);
    }
    if (s.args.help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    tb_machine_get(&s.machine);
    if (tb_run_plan_make(&s.plan, &s.args, s.machine.cpus) < 0) {
        return complain(s.plan.error);
    }
    return run(&s);
}
