/* cmd_run.c: `taskbench run`: plans the rows, measures one after the other, and writes the report
 * as they come. */
#include "child.h"
#include "clock.h"
#include "command.h"
#include "exit.h"
#include "measure.h"
#include "progress.h"
#include "render.h"
#include "run.h"
#include "tally.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where reports go: the one asked for, and the table on the terminal if that went to a file. */
#define REPORTS_MAX 2

struct session {
    struct tb_args args;
    struct tb_run_plan plan;
    struct tb_machine machine;
    struct tb_render reports[REPORTS_MAX];
    int reports_n;
    FILE *file; /* of -o; NULL */
    struct tb_progress progress;
    struct tb_tally tally;
};

static int complain(const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return TB_EXIT_USAGE;
}

/* --- where the report goes -------------------------------------------------------------------- */

static bool may_color(const struct tb_args *args)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return !args->no_color && !(no_color && no_color[0]) && isatty(STDOUT_FILENO) && term &&
           strcmp(term, "dumb") != 0;
}

/* Without --format, the name of the file says which it is. */
static enum tb_format format_of_file(const struct tb_args *args)
{
    static const struct {
        const char *ending;
        enum tb_format format;
    } endings[] = {{".json", TB_FORMAT_JSON}, {".csv", TB_FORMAT_CSV}, {".md", TB_FORMAT_MD}};
    const char *dot = strrchr(args->out, '.');
    for (size_t i = 0; !args->format_given && dot && i < sizeof endings / sizeof *endings; i++) {
        if (strcmp(dot, endings[i].ending) == 0) {
            return endings[i].format;
        }
    }
    return args->format;
}

static bool open_reports(struct session *s)
{
    const struct tb_args *args = &s->args;
    if (!args->out) {
        s->reports[s->reports_n++] = tb_render_for(args->format, stdout, may_color(args));
        return true;
    }
    s->file = fopen(args->out, "we");
    if (!s->file) {
        fprintf(stderr, "taskbench: cannot write '%s': %s\n", args->out, strerror(errno));
        return false;
    }
    s->reports[s->reports_n++] = tb_render_for(format_of_file(args), s->file, false);
    if (!args->quiet) {
        s->reports[s->reports_n++] = tb_render_for(TB_FORMAT_TABLE, stdout, may_color(args));
    }
    return true;
}

static bool close_reports(struct session *s)
{
    bool whole = fflush(stdout) == 0 && !ferror(stdout);
    if (s->file) {
        whole = !ferror(s->file) && whole;
        whole = fclose(s->file) == 0 && whole;
    }
    return whole;
}

/* A full disk, a closed pipe: a report that is not whole is as good as none. */
static int fail_to_write(const struct session *s)
{
    int code = s->tally.end.exit_code;
    fprintf(stderr, "taskbench: the report could not be written\n");
    return code ? code : TB_EXIT_NOTHING;
}

static void begin_reports(struct session *s)
{
    struct tb_run_facts facts = {.machine = &s->machine,
                                 .set = s->args.workloads_n ? "" : tb_set_name(s->args.set),
                                 .seed = s->args.seed,
                                 .started = time(NULL)};
    for (int i = 0; i < s->reports_n; i++) {
        s->reports[i].begin(&s->reports[i], &facts);
    }
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
    for (int i = 0; i < s->reports_n; i++) {
        s->reports[i].row(&s->reports[i], &row);
    }
    return true;
}

/* Whether a table grows on stdout. */
static bool shows_rows(const struct session *s)
{
    const struct tb_render *last = &s->reports[s->reports_n - 1];
    return last->out == stdout && last->row == tb_table_row;
}

static void measure_rows(struct session *s)
{
    struct tb_steal before, after;
    uint64_t start = tb_now_ns();
    tb_steal_get(&before);
    s->tally = tb_tally_start(&s->args, s->plan.rows_n);
    s->progress = tb_progress_start(s->plan.rows_n, s->args.quiet, shows_rows(s));
    for (int i = 0; i < s->plan.rows_n && measure_row(s, &s->plan.rows[i]); i++) {
    }
    tb_progress_clear(&s->progress);
    tb_steal_get(&after);
    s->tally.end.steal_percent = tb_steal_percent(&before, &after);
    s->tally.end.elapsed_s = (double)(tb_now_ns() - start) * 1e-9;
    s->tally.end.interrupted = tb_interrupted();
}

/* --- the end ---------------------------------------------------------------------------------- */

static int finish(struct session *s)
{
    tb_tally_finish(&s->tally);
    for (int i = 0; i < s->reports_n; i++) {
        s->reports[i].end(&s->reports[i], &s->tally.end);
    }
    return close_reports(s) ? s->tally.end.exit_code : fail_to_write(s);
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* Pipes must not take the numbers of stdin, stdout and stderr, should one of those be closed. */
static void open_standard_streams(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO); /* ends: each turn fills one of three */
    if (fd >= 0) {
        close(fd);
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
    if (!open_reports(s)) {
        return TB_EXIT_USAGE;
    }
    begin_reports(s);
    measure_rows(s);
    return finish(s);
}

int tb_cmd_run(int argc, char **argv)
{
    static struct session s;
    setlocale(LC_CTYPE, ""); /* for the bar; numbers stay as C writes them */
    open_standard_streams();
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
