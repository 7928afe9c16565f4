/* sheet.h: what every command that measures rows has around them: the machine, where the report
 * goes, the line of history, the bar for whoever waits, the tally and the exit code. */
#ifndef TB_SHEET_H
#define TB_SHEET_H

#include "args.h"
#include "history.h"
#include "opts.h"
#include "output.h"
#include "progress.h"
#include "tally.h"

struct tb_sheet {
    /* given: format, format_given, out, quiet, no_color, seed, history, label, assert_allocs, set,
     * workloads_n; zero is none */
    struct tb_args args;
    const char *command; /* "run", ... */

    /* the sheet's own */
    struct tb_machine machine;
    struct tb_output output;
    struct tb_history_line line;
    struct tb_progress progress;
    struct tb_tally tally;
    struct tb_steal steal;
    uint64_t start_ns;
};

/* Catches signals (child.h), asks the runtime about itself, begins the report, for so many rows.
 * sheet-> machine must be there (tb_machine_get). 0; else an exit code, after a line on stderr. */
int tb_sheet_open(struct tb_sheet *sheet, int rows);

/* A row is over. */
void tb_sheet_row(struct tb_sheet *sheet, const struct tb_row *row);

/* The row is over, if it has begun: one that was interrupted before its first sample is none. */
void tb_sheet_measured(struct tb_sheet *sheet, struct tb_row *row);

/* Ends the report. The exit code. */
int tb_sheet_close(struct tb_sheet *sheet);

/* All of a command that measures something for each word of its line, until it is interrupted:
 * opens the sheet, and closes it. The exit code. */
typedef void tb_word_fn(void *arg, const char *word);
int tb_sheet_each(struct tb_sheet *sheet, const struct tb_words *words, tb_word_fn *measure,
                  void *arg);

/* --- the options that all of them have -------------------------------------------------------- */

extern const char *const tb_sheet_formats[];

/* Members of a table of options (opts.h). */
#define TB_SHEET_OPTS(sheet)                                                           \
    {.name = "--format",                                                               \
     .kind = TB_OPT_CHOICE,                                                            \
     .value = &(sheet)->args.format,                                                   \
     .choices = tb_sheet_formats,                                                      \
     .given = &(sheet)->args.format_given},                                            \
        {.name = "-o", .kind = TB_OPT_TEXT, .value = &(sheet)->args.out},              \
        {.name = "--history", .kind = TB_OPT_TEXT, .value = &(sheet)->args.history},   \
        {.name = "--label", .kind = TB_OPT_TEXT, .value = &(sheet)->args.label},       \
        {.name = "--no-color", .kind = TB_OPT_FLAG, .value = &(sheet)->args.no_color}, \
        {.name = "--quiet", .kind = TB_OPT_FLAG, .value = &(sheet)->args.quiet},       \
        {.name = "--help", .kind = TB_OPT_FLAG, .value = &(sheet)->args.help},         \
    {                                                                                  \
        .name = "-h", .kind = TB_OPT_FLAG, .value = &(sheet)->args.help                \
    }

/* The same, of what puts a load on something for a while: `seconds` double, `workers` uint64_t. */
#define TB_LOAD_OPTS(sheet, seconds, workers)                                                    \
    {.name = "--seconds", .kind = TB_OPT_REAL, .value = (seconds), .least = 0.05, .most = 3600}, \
        {.name = "--workers",                                                                    \
         .kind = TB_OPT_COUNT,                                                                   \
         .value = (workers),                                                                     \
         .least = 1,                                                                             \
         .most = WEFT_WORKERS_MAX},                                                              \
    {                                                                                            \
        .name = "--seed", .kind = TB_OPT_COUNT, .value = &(sheet)->args.seed, .most = 9e15       \
    }

/* What `taskbench help` says of TB_SHEET_OPTS. */
#define TB_SHEET_HELP                                                               \
    "  --format table|json|csv|md|junit|gbench|bmf|gab, -o FILE, --history FILE,\n" \
    "  --label TEXT, --no-color, --quiet   as 'taskbench run'\n"

/* Reads the line, and answers --help and mistakes. 0: go on; else -1 - exit code. argv[0] is the
 * command's name. */
int tb_sheet_parse(struct tb_sheet *sheet, const struct tb_opt *opts, int argc, char **argv,
                   struct tb_words *words);

#endif
