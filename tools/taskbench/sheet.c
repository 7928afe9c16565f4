/* sheet.c: see sheet.h. */
#include "sheet.h"
#include "child.h"
#include "clock.h"
#include "command.h"
#include "exit.h"
#include "measure.h"
#include "terminal.h"
#include <locale.h>
#include <string.h>

/* As enum tb_format counts them. */
const char *const tb_sheet_formats[] = {"table",  "json", "csv", "md", "junit",
                                        "gbench", "bmf",  "gab", NULL};

int tb_sheet_parse(struct tb_sheet *sheet, const struct tb_opt *opts, int argc, char **argv,
                   struct tb_words *words)
{
    char error[TB_OPTS_ERROR_MAX];
    setlocale(LC_CTYPE, ""); /* for the bar; numbers stay as C writes them */
    tb_open_standard_streams();
    sheet->args.seed = 1;
    if (tb_opts_parse(opts, argc, argv, words, error) < 0) {
        fprintf(stderr, "taskbench: %s\n", error);
        return -1 - TB_EXIT_USAGE;
    }
    if (sheet->args.help) {
        return -1 - tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    return 0;
}

static int probe(struct tb_sheet *sheet)
{
    char report[TB_REASON_MAX];
    if (tb_measure_probe(report)) {
        tb_machine_set_report(&sheet->machine, report);
        return 0;
    }
    if (tb_interrupted()) {
        return TB_EXIT_SIGNAL + tb_interrupted();
    }
    fprintf(stderr, "taskbench: nothing can be measured: %s\n", report);
    return TB_EXIT_NOTHING;
}

static void begin(struct tb_sheet *sheet)
{
    const struct tb_args *args = &sheet->args;
    bool is_set = args->workloads_n == 0 && strcmp(sheet->command, "run") == 0;
    struct tb_run_facts facts = {.machine = &sheet->machine,
                                 .command = sheet->command,
                                 .set = is_set ? tb_set_name(args->set) : "",
                                 .seed = args->seed,
                                 .started = time(NULL)};
    tb_output_begin(&sheet->output, &facts);
    if (args->history) {
        tb_history_begin(&sheet->line, &facts, args->label);
    }
}

int tb_sheet_open(struct tb_sheet *sheet, int rows)
{
    tb_catch_signals();
    int rc = probe(sheet);
    rc = rc ? rc : tb_output_open(&sheet->output, &sheet->args);
    if (rc) {
        return rc;
    }
    begin(sheet);
    tb_steal_get(&sheet->steal);
    sheet->start_ns = tb_now_ns();
    sheet->tally = tb_tally_start(&sheet->args, rows);
    sheet->progress =
        tb_progress_start(rows, sheet->args.quiet, tb_output_shows_rows(&sheet->output));
    return 0;
}

void tb_sheet_row(struct tb_sheet *sheet, const struct tb_row *row)
{
    tb_progress_clear(&sheet->progress);
    tb_progress_done(&sheet->progress, row);
    tb_tally_row(&sheet->tally, row);
    tb_output_row(&sheet->output, row);
    if (sheet->args.history) {
        tb_history_row(&sheet->line, row);
    }
}

void tb_sheet_measured(struct tb_sheet *sheet, struct tb_row *row)
{
    if (row->samples_n > 0 || !tb_interrupted()) {
        tb_row_finish(row);
        tb_sheet_row(sheet, row);
    }
}

int tb_sheet_each(struct tb_sheet *sheet, const struct tb_words *words, tb_word_fn *measure,
                  void *arg)
{
    tb_machine_get(&sheet->machine);
    int rc = tb_sheet_open(sheet, words->n);
    if (rc) {
        return rc;
    }
    for (int i = 0; i < words->n && !tb_interrupted(); i++) {
        measure(arg, words->at[i]);
    }
    return tb_sheet_close(sheet);
}

/* A run that was interrupted has not all rows: its line would look like the end of the others. */
static void add_to_history(struct tb_sheet *sheet)
{
    struct tb_run_end *end = &sheet->tally.end;
    int rc = end->interrupted ? tb_history_drop(&sheet->line)
                              : tb_history_end(&sheet->line, sheet->args.history);
    if (rc < 0) {
        fprintf(stderr, "taskbench: cannot add to '%s': %s\n", sheet->args.history, strerror(-rc));
        end->exit_code = end->exit_code ? end->exit_code : TB_EXIT_NOTHING;
    }
}

int tb_sheet_close(struct tb_sheet *sheet)
{
    struct tb_run_end *end = &sheet->tally.end;
    struct tb_steal now;
    tb_progress_clear(&sheet->progress);
    tb_steal_get(&now);
    end->steal_percent = tb_steal_percent(&sheet->steal, &now);
    end->elapsed_s = (double)(tb_now_ns() - sheet->start_ns) * 1e-9;
    end->interrupted = tb_interrupted();
    tb_tally_finish(&sheet->tally);
    if (sheet->args.history) {
        add_to_history(sheet);
    }
    return tb_output_end(&sheet->output, end);
}
