/* cmd_run.c: `taskbench run`: plans the rows, measures one after the other, and writes the report
 * as they come. */
#include "command.h"
#include "exit.h"
#include "measure.h"
#include "run.h"
#include "sheet.h"
#include "terminal.h"
#include <locale.h>
#include <stdio.h>

struct session {
    struct tb_sheet sheet;
    struct tb_run_plan plan;
};

static int complain(const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return TB_EXIT_USAGE;
}

static void watch(void *arg, const struct tb_row *row)
{
    tb_progress_tick(arg, row);
}

/* false: interrupted. */
static bool measure_row(struct session *s, const struct tb_planned *planned)
{
    static struct tb_row row; /* too large for the stack */
    struct tb_progress *progress = &s->sheet.progress;
    row = (struct tb_row){
        .load = planned->load, .workers = planned->workers, .seed = s->sheet.args.seed};
    tb_run_params(&s->sheet.args, planned->load, row.params);
    tb_progress_row(progress);
    if (!tb_measure(&row, &s->plan.plan, watch, progress)) {
        return false;
    }
    tb_sheet_row(&s->sheet, &row);
    return true;
}

static int run(struct session *s)
{
    int rc = tb_sheet_open(&s->sheet, s->plan.rows_n);
    if (rc) {
        return rc;
    }
    for (int i = 0; i < s->plan.rows_n && measure_row(s, &s->plan.rows[i]); i++) {
    }
    return tb_sheet_close(&s->sheet);
}

int tb_cmd_run(int argc, char **argv)
{
    static struct session s = {.sheet = {.command = "run"}};
    struct tb_args *args = &s.sheet.args;
    setlocale(LC_CTYPE, ""); /* for the bar; numbers stay as C writes them */
    tb_open_standard_streams();
    if (tb_args_parse(args, argc, argv) < 0) {
        return complain(args->error);
    }
    if (args->help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    tb_machine_get(&s.sheet.machine);
    if (tb_run_plan_make(&s.plan, args, s.sheet.machine.cpus) < 0) {
        return complain(s.plan.error);
    }
    return run(&s);
}
