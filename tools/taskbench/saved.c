/* saved.c: see saved.h. */
#include "saved.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA "weft.taskbench/1"

const char *tb_saved_text(const struct tb_value *value, const char *key)
{
    const char *text = tb_member_text(value, key);
    return text ? text : "";
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* NULL for n = 0, as without memory. */
static void *room(size_t n, size_t bytes)
{
    return n > 0 ? calloc(n, bytes) : NULL;
}

static const struct tb_value *items_of(const struct tb_value *list)
{
    return list && list->kind == TB_ARRAY ? list->first : NULL;
}

/* So many of a list as are kept. */
static size_t kept(const struct tb_value *list)
{
    size_t n = list && list->kind == TB_ARRAY ? list->n : 0;
    return n < TB_SAVED_POINTS_MAX ? n : TB_SAVED_POINTS_MAX;
}

static bool is_sample(const struct tb_value *item)
{
    return item->kind == TB_NUMBER && item->number > 0;
}

static void read_samples(struct tb_saved_row *row, const struct tb_value *list)
{
    size_t n = kept(list);
    row->samples = room(n, sizeof *row->samples);
    const struct tb_value *item = row->samples ? items_of(list) : NULL;
    for (; item && row->samples_n < n; item = item->next) {
        if (is_sample(item)) {
            row->samples[row->samples_n++] = item->number;
        }
    }
}

/* Each sample divided by that of the reference which was taken beside it. */
static void read_ratios(struct tb_saved_row *row, const struct tb_value *time,
                        const struct tb_value *reference)
{
    size_t n = kept(time);
    row->ratios = room(n, sizeof *row->ratios);
    const struct tb_value *a = row->ratios ? items_of(time) : NULL, *b = items_of(reference);
    for (; a && b && row->ratios_n < n; a = a->next, b = b->next) {
        if (is_sample(a) && is_sample(b)) {
            row->ratios[row->ratios_n++] = a->number / b->number;
        }
    }
}

static bool is_pair(const struct tb_value *item)
{
    return item->kind == TB_ARRAY && item->n == 2 && item->first->kind == TB_NUMBER &&
           item->first->next->kind == TB_NUMBER;
}

static void read_points(struct tb_saved_curve *curve, const struct tb_value *list)
{
    size_t n = kept(list);
    curve->points = room(n, sizeof *curve->points);
    const struct tb_value *item = curve->points ? items_of(list) : NULL;
    for (; item && curve->points_n < n; item = item->next) {
        if (is_pair(item)) {
            curve->points[curve->points_n][0] = item->first->number;
            curve->points[curve->points_n++][1] = item->first->next->number;
        }
    }
}

/* Those of a list that have points, TB_SAVED_CURVES_MAX at most; how many. */
static int read_curves(struct tb_saved_curve *out, const struct tb_value *list, const char *points)
{
    int n = 0;
    for (const struct tb_value *item = items_of(list); item && n < TB_SAVED_CURVES_MAX;
         item = item->next) {
        out[n] = (struct tb_saved_curve){.name = tb_saved_text(item, "name"),
                                         .x_name = tb_saved_text(item, "x"),
                                         .y_name = tb_saved_text(item, "y")};
        read_points(&out[n], tb_member(item, points));
        n += out[n].points_n > 0;
    }
    return n;
}

/* --- rows ------------------------------------------------------------------------------------- */

static void make_label(struct tb_saved_row *row)
{
    size_t used = (size_t)snprintf(row->label, sizeof row->label, "%.48s", row->workload);
    if (row->workers > 0 && used < sizeof row->label) {
        snprintf(row->label + used, sizeof row->label - used, " %dw", row->workers);
    }
}

static void read_time(struct tb_saved_row *row)
{
    const struct tb_value *time = tb_member(row->value, "time");
    const struct tb_value *reference = tb_member(row->value, "reference");
    row->median = tb_member_number(time, "median", (double)NAN);
    row->min = tb_member_number(time, "min", row->median);
    row->max = tb_member_number(time, "max", row->median);
    row->ratio = tb_member_number(reference, "ratio", (double)NAN);
    read_samples(row, tb_member(time, "samples"));
    read_ratios(row, tb_member(time, "samples"), tb_member(reference, "samples"));
}

static void read_change(struct tb_saved_row *row)
{
    const struct tb_value *time = tb_member(row->value, "time");
    const struct tb_value *interval = tb_member(time, "ci95");
    bool is_interval = interval && is_pair(interval);
    row->change = tb_member_number(time, "ratio", (double)NAN);
    row->change_low = is_interval ? interval->first->number : row->change;
    row->change_high = is_interval ? interval->first->next->number : row->change;
    row->verdict = tb_member_text(row->value, "verdict");
}

static void read_row(struct tb_saved_row *row, const struct tb_value *value)
{
    const struct tb_value *exact = tb_member(value, "exact");
    row->value = value;
    row->workload = tb_saved_text(value, "workload");
    row->op = tb_saved_text(value, "op");
    row->check = tb_saved_text(value, "check");
    row->reason = tb_saved_text(value, "reason");
    row->ok = strcmp(row->check, "ok") == 0;
    double workers = tb_member_number(value, "workers", 0);
    row->workers = workers > 0 && workers < 10000 ? (int)workers : 0;
    row->allocs = tb_member_number(exact, "allocs_per_op", (double)NAN);
    row->bytes = tb_member_number(exact, "bytes_per_op", (double)NAN);
    row->rss = tb_member_number(value, "peak_rss_bytes", (double)NAN);
    read_time(row);
    read_change(row);
    row->curves_n = read_curves(row->curves, tb_member(value, "curves"), "points");
    row->latency_n = read_curves(row->latency, tb_member(value, "latency"), "buckets");
    make_label(row);
}

/* --- the file --------------------------------------------------------------------------------- */

static int refuse(struct tb_saved *saved, int rc, const char *what)
{
    snprintf(saved->error, sizeof saved->error, "'%.80s' %.100s", saved->path, what);
    return rc;
}

static int check_schema(struct tb_saved *saved)
{
    const char *schema = tb_member_text(saved->doc.root, "schema");
    if (!schema) {
        return refuse(saved, -EINVAL, "is not a result of taskbench: it has no \"schema\"");
    }
    if (strcmp(schema, SCHEMA) != 0) {
        char what[100];
        snprintf(what, sizeof what, "is of schema '%.40s', not '" SCHEMA "'", schema);
        return refuse(saved, -EINVAL, what);
    }
    return 0;
}

static int read_rows(struct tb_saved *saved)
{
    const struct tb_value *list = tb_member(saved->doc.root, "results");
    size_t n = list && list->kind == TB_ARRAY ? list->n : 0;
    if (n == 0) {
        return refuse(saved, -ENODATA, "has no rows");
    }
    saved->rows_left_out = n > TB_SAVED_ROWS_MAX ? n - TB_SAVED_ROWS_MAX : 0;
    n -= saved->rows_left_out;
    saved->rows = calloc(n, sizeof *saved->rows);
    if (!saved->rows) {
        return refuse(saved, -ENOMEM, "needs more memory than there is");
    }
    for (const struct tb_value *item = list->first; saved->rows_n < n; item = item->next) {
        read_row(&saved->rows[saved->rows_n++], item);
    }
    return 0;
}

int tb_saved_load(struct tb_saved *saved, const char *path)
{
    *saved = (struct tb_saved){.path = path};
    int rc = tb_doc_load(&saved->doc, path);
    if (rc < 0) {
        snprintf(saved->error, sizeof saved->error, "%s", saved->doc.error);
        return rc;
    }
    rc = check_schema(saved);
    if (rc < 0) {
        return rc;
    }
    saved->started = tb_saved_text(saved->doc.root, "started");
    saved->command = tb_saved_text(saved->doc.root, "command");
    saved->is_comparison =
        strcmp(saved->command, "ab") == 0 || strcmp(saved->command, "scaling") == 0;
    saved->machine = tb_member(saved->doc.root, "machine");
    saved->key = tb_saved_text(saved->machine, "key");
    saved->summary = tb_member(saved->doc.root, "summary");
    return read_rows(saved);
}

static void free_curves(struct tb_saved_curve *curves, int n)
{
    for (int i = 0; i < n; i++) {
        free(curves[i].points);
    }
}

void tb_saved_free(struct tb_saved *saved)
{
    for (size_t i = 0; i < saved->rows_n; i++) {
        free(saved->rows[i].samples);
        free(saved->rows[i].ratios);
        free_curves(saved->rows[i].curves, saved->rows[i].curves_n);
        free_curves(saved->rows[i].latency, saved->rows[i].latency_n);
    }
    free(saved->rows);
    tb_doc_free(&saved->doc);
    saved->rows = NULL;
    saved->rows_n = 0;
}

/* Numbers only: that is what parameters are. */
static bool same_params(const struct tb_value *a, const struct tb_value *b)
{
    size_t n_a = a && a->kind == TB_OBJECT ? a->n : 0, n_b = b && b->kind == TB_OBJECT ? b->n : 0;
    if (n_a != n_b) {
        return false;
    }
    const struct tb_value *member = n_a ? a->first : NULL;
    for (; member; member = member->next) {
        if (tb_member_number(b, member->key, (double)NAN) != member->number) {
            return false;
        }
    }
    return true;
}

const struct tb_saved_row *tb_saved_find(const struct tb_saved *saved,
                                         const struct tb_saved_row *like)
{
    for (size_t i = 0; i < saved->rows_n; i++) {
        const struct tb_saved_row *row = &saved->rows[i];
        if (strcmp(row->workload, like->workload) == 0 && row->workers == like->workers &&
            same_params(tb_member(row->value, "params"), tb_member(like->value, "params"))) {
            return row;
        }
    }
    return NULL;
}
