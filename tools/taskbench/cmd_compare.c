/* cmd_compare.c: `taskbench compare OLD.json NEW.json`: two stored results. Exact figures are
 * always compared; times only if both are of the same machine (its key), and even then with care:
 * they are of different hours, in which the machine was another one. `taskbench ab` is the way to
 * compare times. */
#include "args.h"
#include "command.h"
#include "exit.h"
#include "infer.h"
#include "saved.h"
#include "terminal.h"
#include "units.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define THRESHOLD 0.20 /* what the machines that we know differ from themselves within a day */

const char tb_compare_details[] =
    "OLD and NEW are results of 'taskbench run --format json'. Allocations and bytes\n"
    "per op are compared exactly; any growth fails. Times are compared only if both\n"
    "were measured on the same machine: by the ratio to plain C if the row has one,\n"
    "and only if the intervals of both medians lie apart by more than the threshold.\n"
    "Use ab for less.\n"
    "\n"
    "  --threshold T         20% by default\n"
    "  --strict              exit 3 if times could not be compared, or a row is\n"
    "                        missing\n"
    "  -o FILE, --no-color   as for run\n"
    "\n"
    "Exit codes: 0 nothing grew, 1 something did, 2 a file cannot be read, 3 nothing\n"
    "was compared.\n";

struct comparison {
    struct tb_saved old, new;
    double threshold;
    bool times; /* of one machine */
    bool color;
    FILE *out;
    int rows, exact, timed, slower, faster, grew, missing;
};

/* What a row's time is compared by, sample by sample: the ratio to its reference, or ns. */
static bool series_of(const struct tb_saved_row *row, bool by_ratio, const double **values,
                      size_t *n)
{
    *values = by_ratio ? row->ratios : row->samples;
    *n = by_ratio ? row->ratios_n : row->samples_n;
    *n = *n > TB_INFER_MAX ? TB_INFER_MAX : *n;
    return *values && *n > 0;
}

/* "slower", "faster", "same", or "" where nothing can be said; the ratio of the medians. */
static const char *judge_time(const struct comparison *c, const struct tb_saved_row *old,
                              const struct tb_saved_row *new, double *ratio)
{
    const double *a, *b;
    size_t a_n, b_n;
    bool by_ratio = old->ratios_n > 0 && new->ratios_n > 0;
    *ratio = by_ratio ? new->ratio / old->ratio : new->median / old->median;
    if (!c->times || !series_of(old, by_ratio, &a, &a_n) || !series_of(new, by_ratio, &b, &b_n)) {
        return "";
    }
    struct tb_interval before = tb_median_interval(a, a_n, 0.95),
                       after = tb_median_interval(b, b_n, 0.95);
    if (isinf(before.low) || isinf(after.low)) {
        return "few samples";
    }
    return after.low > before.high * (1 + c->threshold)   ? "SLOWER"
           : after.high < before.low / (1 + c->threshold) ? "faster"
                                                          : "same";
}

static bool grew(double old, double new)
{
    return new > old * 1.001 + 1e-4;
}

static void put_figure(FILE *out, double old, double new)
{
    char a[TB_NUMBER_MAX] = "?", b[TB_NUMBER_MAX] = "?", cell[2 * TB_NUMBER_MAX + 8];
    if (!isnan(old)) {
        tb_format_count(a, old);
    }
    if (!isnan(new)) {
        tb_format_count(b, new);
    }
    bool both = !isnan(old) && !isnan(new);
    snprintf(cell, sizeof cell, "%s %s %s%s", a, both && old == new ? "=" : "->", b,
             both && grew(old, new) ? " !" : "");
    fprintf(out, " %13s", cell);
}

static void compare_row(struct comparison *c, const struct tb_saved_row *old,
                        const struct tb_saved_row *new)
{
    double ratio;
    const char *verdict = judge_time(c, old, new, &ratio);
    char change[16] = "";
    bool exact = !isnan(old->allocs) && !isnan(new->allocs);
    bool more = exact && (grew(old->allocs, new->allocs) || grew(old->bytes, new->bytes));
    bool bad = more || strcmp(verdict, "SLOWER") == 0;
    if (verdict[0]) {
        snprintf(change, sizeof change, "%+.1f %%", 100 * (ratio - 1));
    }
    fprintf(c->out, "%s%-17.17s %9s %-11s", c->color && bad ? "\033[31m" : "", old->label, change,
            verdict);
    put_figure(c->out, old->allocs, new->allocs);
    put_figure(c->out, old->bytes, new->bytes);
    fprintf(c->out, "%s\n", c->color && bad ? "\033[0m" : "");
    c->rows++;
    c->exact += exact;
    c->grew += more;
    c->timed += verdict[0] && strcmp(verdict, "few samples") != 0;
    c->slower += strcmp(verdict, "SLOWER") == 0;
    c->faster += strcmp(verdict, "faster") == 0;
}

static void compare_rows(struct comparison *c)
{
    fprintf(c->out, "%s%-17s %9s %-11s %13s %13s%s\n", c->color ? "\033[1m" : "", "workload",
            "time", "verdict", "allocs/op", "bytes/op", c->color ? "\033[0m" : "");
    for (size_t i = 0; i < c->old.rows_n; i++) {
        const struct tb_saved_row *old = &c->old.rows[i], *new = tb_saved_find(&c->new, old);
        if (!old->ok) {
            continue;
        }
        if (!new || !new->ok) {
            fprintf(c->out, "%-17.17s           %s\n", old->label,
                    new ? "failed in NEW" : "is not in NEW");
            c->missing++;
            continue;
        }
        compare_row(c, old, new);
    }
}

static int judge(const struct comparison *c, bool strict)
{
    if (c->grew > 0 || c->slower > 0) {
        return TB_EXIT_LIMIT;
    }
    if (c->exact + c->timed == 0 || (strict && (!c->times || c->missing > 0))) {
        return TB_EXIT_NOTHING;
    }
    return TB_EXIT_OK;
}

static int compare(struct comparison *c, const struct tb_args *args)
{
    c->times = c->old.key[0] && strcmp(c->old.key, c->new.key) == 0;
    compare_rows(c);
    fputc('\n', c->out);
    if (!c->times) {
        fprintf(c->out, "times are not compared: the results are of two machines\n  %s\n  %s\n",
                c->old.key, c->new.key);
    }
    fprintf(c->out, "%d rows: %d exact, %d timed; %d allocate more, %d slower, %d faster", c->rows,
            c->exact, c->timed, c->grew, c->slower, c->faster);
    if (c->missing > 0) {
        fprintf(c->out, ", %d missing", c->missing);
    }
    fputc('\n', c->out);
    return judge(c, args->strict);
}

static int complain(const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return TB_EXIT_USAGE;
}

static int load_both(struct comparison *c, const struct tb_args *args)
{
    if (tb_saved_load(&c->old, args->workloads[0]) < 0) {
        return complain(c->old.error);
    }
    return tb_saved_load(&c->new, args->workloads[1]) < 0 ? complain(c->new.error) : TB_EXIT_OK;
}

int tb_cmd_compare(int argc, char **argv)
{
    static struct tb_args args;
    static struct comparison c;
    if (tb_args_parse(&args, argc, argv) < 0) {
        return complain(args.error);
    }
    if (args.help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    if (args.workloads_n != 2) {
        return complain("compare needs OLD.json and NEW.json");
    }
    if (args.format != TB_FORMAT_TABLE) {
        return complain("compare reports as table");
    }
    c.threshold = args.threshold > 0 ? args.threshold : THRESHOLD;
    c.color = !args.out && tb_may_color(&args);
    int rc = load_both(&c, &args);
    c.out = rc == TB_EXIT_OK && args.out ? fopen(args.out, "we") : stdout;
    if (!c.out) {
        fprintf(stderr, "taskbench: cannot write '%s': %s\n", args.out, strerror(errno));
        rc = TB_EXIT_USAGE;
    }
    rc = rc == TB_EXIT_OK ? compare(&c, &args) : rc;
    if (c.out && args.out && fclose(c.out) != 0) {
        fprintf(stderr, "taskbench: the report could not be written\n");
        rc = rc ? rc : TB_EXIT_NOTHING;
    }
    tb_saved_free(&c.old);
    tb_saved_free(&c.new);
    return rc;
}
