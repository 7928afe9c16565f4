/* cmd_report.c: `taskbench report`: reads stored results and writes them as one HTML file. */
#include "command.h"
#include "exit.h"
#include "opts.h"
#include "report.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char tb_report_details[] =
    "Writes stored results (run --format json) as one HTML file that needs nothing\n"
    "beside it: tables and charts, no scripts. With several results the first is the\n"
    "base, and the others are compared with it.\n"
    "\n"
    "  -o FILE         the HTML; - is stdout\n"
    "  --history FILE  what 'run --history FILE' wrote, a line per run: a chart per\n"
    "                  row, and the runs at which a row's level changed\n"
    "\n"
    "Exit codes: 0 written, 2 wrong usage, or FILE cannot be written, 3 an input\n"
    "cannot be read, is no result of taskbench, or has no rows (nothing is written\n"
    "then).\n";

struct options {
    const char *out, *history;
    bool help;
    struct tb_words words;
    char error[TB_OPTS_ERROR_MAX];
};

static int complain(int code, const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return code;
}

static int parse(struct options *o, int argc, char **argv)
{
    const struct tb_opt table[] = {
        {.name = "-o", .kind = TB_OPT_TEXT, .value = &o->out},
        {.name = "--history", .kind = TB_OPT_TEXT, .value = &o->history},
        {.name = "--help", .kind = TB_OPT_FLAG, .value = &o->help},
        {.name = "-h", .kind = TB_OPT_FLAG, .value = &o->help},
        {.name = NULL},
    };
    int rc = tb_opts_parse(table, argc, argv, &o->words, o->error);
    if (rc < 0 || o->help) {
        return rc;
    }
    const char *missing = o->words.n == 0 && !o->history ? "report needs a result, as in 'report "
                                                           "a.json -o a.html'"
                          : !o->out                      ? "report needs -o FILE"
                          : o->words.n > TB_REPORT_INPUTS_MAX ? "16 results at most"
                                                              : NULL;
    snprintf(o->error, sizeof o->error, "%s", missing ? missing : "");
    return missing ? -EINVAL : 0;
}

/* 0 or an exit code, after a line on stderr. */
static int load(struct tb_report *report, const struct options *o)
{
    for (int i = 0; i < o->words.n; i++) {
        struct tb_saved *saved = &report->inputs[report->inputs_n++];
        if (tb_saved_load(saved, o->words.at[i]) < 0) {
            return complain(TB_EXIT_NOTHING, saved->error);
        }
    }
    if (o->history) {
        report->history = malloc(sizeof *report->history);
        if (!report->history) {
            return complain(TB_EXIT_NOTHING, strerror(ENOMEM));
        }
        if (tb_history_load(report->history, o->history) < 0) {
            return complain(TB_EXIT_NOTHING, report->history->error);
        }
    }
    return 0;
}

static int write_to(const struct tb_report *report, FILE *out)
{
    tb_report_write(report, out);
    bool whole = fflush(out) == 0 && !ferror(out);
    return whole ? 0 : complain(TB_EXIT_NOTHING, "the report could not be written");
}

static int write_file(const struct tb_report *report, const char *path)
{
    if (strcmp(path, "-") == 0) {
        return write_to(report, stdout);
    }
    FILE *out = fopen(path, "we");
    if (!out) {
        fprintf(stderr, "taskbench: cannot write '%s': %s\n", path, strerror(errno));
        return TB_EXIT_USAGE;
    }
    int rc = write_to(report, out);
    if (fclose(out) != 0 && rc == 0) {
        rc = complain(TB_EXIT_NOTHING, "the report could not be written");
    }
    return rc;
}

static void unload(struct tb_report *report)
{
    for (int i = 0; i < report->inputs_n; i++) {
        tb_saved_free(&report->inputs[i]);
    }
    if (report->history) {
        tb_history_free(report->history);
        free(report->history);
    }
}

int tb_cmd_report(int argc, char **argv)
{
    static struct tb_report report;
    struct options o = {.out = NULL};
    if (parse(&o, argc, argv) < 0) {
        return complain(TB_EXIT_USAGE, o.error);
    }
    if (o.help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    int rc = load(&report, &o);
    rc = rc ? rc : write_file(&report, o.out);
    unload(&report);
    return rc;
}
