/* report_change.c: what changed from the first result to each of the others. */
#include "chart.h"
#include "exact.h"
#include "html.h"
#include "report_part.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TITLE_MAX   240
#define NOTICED     0.05 /* an interval that lies beyond is coloured; no verdict: that is ab's */
#define MEDIAN_Z    1.96 /* two-sided 95 % of a normal */
#define COMPARE_MIN 3    /* samples without which there is no interval */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The interval of a median from the order of the values (binomial): the k-th least and the k-th
 * greatest, k about n/2 - z sqrt(n)/2. Sorts `values`. */
static void median_interval(double *values, size_t n, double *low, double *median, double *high)
{
    qsort(values, n, sizeof *values, compare);
    double k = floor((double)n / 2 - MEDIAN_Z * sqrt((double)n) / 2);
    size_t at = k < 1 ? 0 : (size_t)k - 1;
    *low = values[at];
    *median = (values[(n - 1) / 2] + values[n / 2]) / 2;
    *high = values[n - 1 - at];
}

static struct tb_compared compare_values(const double *base, size_t base_n, const double *other,
                                         size_t other_n)
{
    struct tb_compared c = {.comparable = false};
    double copy[TB_SAVED_POINTS_MAX], low[2], median[2], high[2];
    if (base_n < COMPARE_MIN || other_n < COMPARE_MIN) {
        return c;
    }
    memcpy(copy, base, base_n * sizeof *copy);
    median_interval(copy, base_n, &low[0], &median[0], &high[0]);
    memcpy(copy, other, other_n * sizeof *copy);
    median_interval(copy, other_n, &low[1], &median[1], &high[1]);
    c.comparable = true;
    c.ratio = median[1] / median[0];
    c.low = low[1] / high[0];
    c.high = high[1] / low[0];
    return c;
}

struct tb_compared tb_report_compare(const struct tb_saved_row *base,
                                     const struct tb_saved_row *other, bool same_machine)
{
    struct tb_compared c =
        compare_values(base->ratios, base->ratios_n, other->ratios, other->ratios_n);
    c.by_reference = c.comparable;
    if (!c.comparable && same_machine) {
        c = compare_values(base->samples, base->samples_n, other->samples, other->samples_n);
    }
    return c;
}

/* --- one result against the base -------------------------------------------------------------- */

struct changes {
    struct tb_effect *effects;
    char (*titles)[TITLE_MAX];
    size_t n, room;
    size_t not_comparable, missing;
};

static bool changes_open(struct changes *c, size_t room)
{
    *c = (struct changes){.room = room};
    c->effects = calloc(room, sizeof *c->effects);
    c->titles = calloc(room, sizeof *c->titles);
    return c->effects && c->titles;
}

static void changes_close(struct changes *c)
{
    free(c->effects);
    free(c->titles);
}

static const char *kind_of(double low, double high)
{
    return high < 1 - NOTICED ? "good" : low > 1 + NOTICED ? "bad" : "same";
}

static void add(struct changes *c, const struct tb_saved_row *row, const struct tb_compared *found,
                const char *what)
{
    char *title = c->titles[c->n];
    snprintf(title, TITLE_MAX, "%s: %.3fx, interval %.3f to %.3f; %s", row->label, found->ratio,
             found->low, found->high, what);
    c->effects[c->n++] = (struct tb_effect){
        row->label, title, found->ratio, found->low, found->high, kind_of(found->low, found->high)};
}

static void collect(struct changes *c, const struct tb_saved *base, const struct tb_saved *other)
{
    bool same_machine = base->key[0] && strcmp(base->key, other->key) == 0;
    for (size_t i = 0; i < other->rows_n; i++) {
        const struct tb_saved_row *row = &other->rows[i], *old = tb_saved_find(base, row);
        if (!old) {
            c->missing++;
            continue;
        }
        struct tb_compared found = tb_report_compare(old, row, same_machine);
        if (found.comparable) {
            add(c, row, &found, found.by_reference ? "by the ratio to the reference" : "by time");
        } else {
            c->not_comparable++;
        }
    }
}

static void put_counts(FILE *out, const struct changes *c)
{
    tb_html(out, "<p class=\"note\">%zu rows compared", c->n);
    if (c->not_comparable > 0) {
        tb_html(out, "; %zu not: another machine and no reference, or fewer than %d samples",
                c->not_comparable, COMPARE_MIN);
    }
    if (c->missing > 0) {
        tb_html(out, "; %zu are not in the base", c->missing);
    }
    fputs(
        ". Left of 1 is faster. By the ratio to the reference where a row has one, else by time. "
        "The "
        "intervals describe one process of each; a verdict needs <code>taskbench ab</code>.</p>\n",
        out);
}

static void put_against(FILE *out, const struct tb_saved *base, const struct tb_saved *other)
{
    struct changes c;
    if (changes_open(&c, other->rows_n)) {
        collect(&c, base, other);
        tb_html(out, "<h2>%s against %s</h2>\n", other->path, base->path);
        if (c.n > 0) {
            tb_chart_forest(out, c.effects, c.n);
        }
        put_counts(out, &c);
    }
    changes_close(&c);
}

/* --- what ab found ---------------------------------------------------------------------------- */

static bool is_change(const struct tb_saved_row *row)
{
    return row->change > 0 && row->change_low > 0 && row->change_low <= row->change_high;
}

static void put_ab(FILE *out, const struct tb_saved *saved)
{
    struct changes c;
    bool has_room = changes_open(&c, saved->rows_n);
    for (size_t i = 0; has_room && i < saved->rows_n; i++) {
        const struct tb_saved_row *row = &saved->rows[i];
        struct tb_compared found = {true, false, row->change, row->change_low, row->change_high};
        if (is_change(row)) {
            add(&c, row, &found, row->verdict ? row->verdict : "no verdict");
        }
    }
    if (c.n > 0) {
        tb_chart_forest(out, c.effects, c.n);
        fputs("<p class=\"note\">By <code>taskbench ab</code>: median over restarts, with its 95 % "
              "interval. Left of 1 is faster.</p>\n",
              out);
    }
    changes_close(&c);
}

/* --- what it counted -------------------------------------------------------------------------- */

static const char *const counted[][2] = {{"allocs_per_op", "allocs/op"},
                                         {"bytes_per_op", "bytes/op"},
                                         {"syscalls_per_op", "syscalls/op"},
                                         {"instructions_per_op", "instr/op"}};
#define COUNTED (sizeof counted / sizeof *counted)

/* "3", "0 -> 1", "~2.1", "?"; what is more is marked. */
static void put_figure(FILE *out, const struct tb_value *figure)
{
    char base[TB_NUMBER_MAX], cand[TB_NUMBER_MAX];
    const char *is = tb_saved_text(figure, "is");
    const char *was = tb_exact_number(base, tb_member_number(figure, "base", (double)NAN));
    const char *now = tb_exact_number(cand, tb_member_number(figure, "cand", (double)NAN));
    bool more = strcmp(is, "more") == 0, changed = more || strcmp(is, "less") == 0;
    tb_html(out, "<td class=\"n%s\">", more ? " more" : "");
    if (changed) {
        tb_html(out, "%s → %s", was, now);
    } else {
        tb_html(out, "%s%s", strcmp(is, "varies") == 0 ? "~" : "", now);
    }
    fputs("</td>", out);
}

/* Of a row: where in the code it comes from, what is more. */
static void put_places(FILE *out, const struct tb_saved_row *row, const struct tb_value *exact)
{
    for (size_t i = 0; i < COUNTED; i++) {
        const struct tb_value *figure = tb_member(exact, counted[i][0]);
        const struct tb_value *places = tb_member(figure, "places");
        const struct tb_value *place = places && places->kind == TB_ARRAY ? places->first : NULL;
        for (; place; place = place->next) {
            if (place->kind == TB_TEXT) {
                tb_html(out, "<li>%s, %s: %s</li>\n", row->label, counted[i][1], place->text);
            }
        }
    }
}

static void put_all_places(FILE *out, const struct tb_saved *saved)
{
    char *items = NULL;
    size_t bytes = 0;
    FILE *list = open_memstream(&items, &bytes);
    if (!list) {
        return;
    }
    for (size_t i = 0; i < saved->rows_n; i++) {
        put_places(list, &saved->rows[i], tb_member(saved->rows[i].value, "exact"));
    }
    fclose(list);
    if (bytes > 0) {
        fprintf(out, "<ul class=\"places\">\n%s</ul>\n", items); /* made above: escaped */
    }
    free(items);
}

static void put_counted(FILE *out, const struct tb_saved *saved)
{
    size_t rows = 0;
    for (size_t i = 0; i < saved->rows_n; i++) {
        const struct tb_value *exact = tb_member(saved->rows[i].value, "exact");
        if (!exact) {
            continue;
        }
        if (rows++ == 0) {
            fputs("<div class=\"wide\"><table class=\"rows\">\n<thead><tr><th>counted</th>", out);
            for (size_t j = 0; j < COUNTED; j++) {
                tb_html(out, "<th>%s</th>", counted[j][1]);
            }
            fputs("<th></th></tr></thead><tbody>\n", out);
        }
        tb_html(out, "<tr><td>%s</td>", saved->rows[i].label);
        for (size_t j = 0; j < COUNTED; j++) {
            put_figure(out, tb_member(exact, counted[j][0]));
        }
        fputs("<td></td></tr>\n", out);
    }
    if (rows > 0) {
        fputs("</tbody></table></div>\n<p class=\"note\">Counted, base → candidate, the same each "
              "time "
              "but for ~.</p>\n",
              out);
        put_all_places(out, saved);
    }
}

static size_t summed(const struct tb_saved *saved, const char *verdict)
{
    double n = tb_member_number(saved->summary, verdict, 0);
    return n >= 0 && n <= (double)saved->rows_n ? (size_t)n : 0; /* the file may say anything */
}

/* What its reader wants to know first. */
static void put_outcome(FILE *out, const struct tb_saved *saved)
{
    size_t grew = 0;
    for (size_t i = 0; i < saved->rows_n; i++) {
        const struct tb_value *value = tb_member(saved->rows[i].value, "grew");
        grew += value && value->boolean;
    }
    tb_html(out, "<p><b>%zu of %zu rows cost more by count; %zu slower, %zu unclear</b></p>\n",
            grew, saved->rows_n, summed(saved, "slower"), summed(saved, "unclear"));
}

static void put_comparison(FILE *out, const struct tb_saved *saved)
{
    if (saved->is_comparison) {
        bool scaling = strcmp(saved->command, "scaling") == 0;
        tb_html(out, "<h2>%s: %s</h2>\n",
                scaling ? "More workers against one" : "Candidate against base", saved->path);
        put_outcome(out, saved);
        put_counted(out, saved);
        put_ab(out, saved);
    }
}

/* The first one of the same command; NULL: it is that. */
static const struct tb_saved *base_of(const struct tb_report *report, int at)
{
    for (int i = 0; i < at; i++) {
        if (strcmp(report->inputs[i].command, report->inputs[at].command) == 0) {
            return &report->inputs[i];
        }
    }
    return NULL;
}

void tb_report_changes(const struct tb_report *report, FILE *out)
{
    for (int i = 0; i < report->inputs_n; i++) {
        put_comparison(out, &report->inputs[i]);
    }
    for (int i = 1; i < report->inputs_n; i++) {
        const struct tb_saved *base = base_of(report, i);
        if (base && !base->is_comparison) {
            put_against(out, base, &report->inputs[i]);
        }
    }
}
