/* budget.c: see budget.h. */
#include "budget.h"
#include "doc.h"
#include "json.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define SCHEMA "weft.taskbench.budgets/1"

/* By how much instructions may grow, in per cent. Rows of one worker repeat to the last
 * instruction; what is left is a libc of another build. Half of the 3 % that the gate promises to
 * see. */
#define INSTRUCTIONS_ALLOWED 1.5
#define BETTER_BY            0.03 /* a figure so much below its limit is worth a word */
#define ROUNDING             1e-6

#ifndef TB_BUILD
#define TB_BUILD "unknown flags"
#endif

const char *tb_build(void)
{
    static char build[sizeof((struct tb_budgets *)0)->build];
    if (!build[0]) {
        struct utsname name;
        uname(&name);
        snprintf(build, sizeof build, "%.20s, %.60s, %.100s", name.machine, __VERSION__, TB_BUILD);
    }
    return build;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int refuse(struct tb_budgets *budgets, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(struct tb_budgets *budgets, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(budgets->error, sizeof budgets->error, format, args);
    va_end(args);
    return -EINVAL;
}

static int exact_by_key(const char *key)
{
    for (int i = 0; i < TB_EXACTS; i++) {
        if (strcmp(tb_exacts[i].key, key) == 0) {
            return i;
        }
    }
    return -1;
}

/* "limits" or "allow": an object of metrics, each at least 0. */
static int read_metrics(struct tb_budgets *budgets, const char *name, const struct tb_value *object,
                        double out[TB_EXACTS])
{
    for (const struct tb_value *m = object ? object->first : NULL; m; m = m->next) {
        int at = m->key ? exact_by_key(m->key) : -1;
        if (at < 0) {
            return refuse(budgets, "%s: '%.40s' is no metric", name, m->key ? m->key : "");
        }
        if (m->kind != TB_NUMBER || m->number < 0) {
            return refuse(budgets, "%s: %s is a number of 0 or more", name, m->key);
        }
        out[at] = m->number;
    }
    return 0;
}

static int read_params(struct tb_budgets *budgets, const struct tb_value *object,
                       struct tb_budget *row)
{
    for (const struct tb_value *m = object ? object->first : NULL; m; m = m->next) {
        int at = m->key ? tb_load_param(row->load, m->key) : -1;
        const struct tb_param *param = at < 0 ? NULL : &row->load->params[at];
        if (!param) {
            return refuse(budgets, "%s has no parameter '%.40s'", row->load->name,
                          m->key ? m->key : "");
        }
        if (m->kind != TB_NUMBER || m->number < (double)param->min ||
            m->number > (double)param->max) {
            return refuse(budgets, "%s: %s is out of its range", row->load->name, m->key);
        }
        row->params[at] = (uint64_t)m->number;
    }
    return 0;
}

static void read_functions(const struct tb_value *object, struct tb_budget *row)
{
    for (const struct tb_value *m = object ? object->first : NULL;
         m && row->functions_n < TB_FUNCTIONS_MAX; m = m->next) {
        if (m->key && m->kind == TB_NUMBER) {
            struct tb_function *f = &row->functions[row->functions_n++];
            snprintf(f->name, sizeof f->name, "%s", m->key);
            f->instructions = m->number;
        }
    }
}

static void no_metrics(double out[TB_EXACTS])
{
    for (int i = 0; i < TB_EXACTS; i++) {
        out[i] = NAN;
    }
}

struct tb_budget *tb_budgets_add(struct tb_budgets *budgets, const struct tb_load *load,
                                 int workers)
{
    if (budgets->rows_n == TB_BUDGETS_MAX) {
        return NULL;
    }
    struct tb_budget *row = &budgets->rows[budgets->rows_n++];
    *row = (struct tb_budget){.load = load, .workers = workers};
    for (int i = 0; load->params[i].key; i++) {
        row->params[i] = load->params[i].value;
    }
    no_metrics(row->limit);
    no_metrics(row->allow);
    return row;
}

static int read_row(struct tb_budgets *budgets, const struct tb_value *value)
{
    const char *name = tb_member_text(value, "workload"), *io = tb_member_text(value, "io");
    const struct tb_load *load = name ? tb_load_find(name) : NULL;
    double workers = tb_member_number(value, "workers", 1),
           rounds = tb_member_number(value, "rounds", 0);
    if (!load) {
        return refuse(
            budgets,
            "there is no workload '%.60s' (if it is of a shared object, name that too: ./mine.so)",
            name ? name : "");
    }
    if (workers < 1 || workers > WEFT_WORKERS_MAX || rounds < 0 || rounds > 1e9) {
        return refuse(budgets, "%s: workers or rounds are out of range", name);
    }
    struct tb_budget *row = tb_budgets_add(budgets, load, (int)workers);
    if (!row) {
        return refuse(budgets, "more than %d rows", TB_BUDGETS_MAX);
    }
    row->rounds = (uint64_t)rounds;
    snprintf(row->io, sizeof row->io, "%s", io ? io : "");
    read_functions(tb_member(value, "functions"), row);
    int rc = read_params(budgets, tb_member(value, "params"), row);
    rc = rc < 0 ? rc : read_metrics(budgets, name, tb_member(value, "limits"), row->limit);
    return rc < 0 ? rc : read_metrics(budgets, name, tb_member(value, "allow"), row->allow);
}

static int read_all(struct tb_budgets *budgets, const struct tb_value *root)
{
    const char *schema = tb_member_text(root, "schema"), *build = tb_member_text(root, "build");
    const struct tb_value *rows = tb_member(root, "rows");
    if (!schema || strcmp(schema, SCHEMA) != 0) {
        return refuse(budgets, "its schema is '%.40s', not '%s'", schema ? schema : "", SCHEMA);
    }
    if (!rows || rows->kind != TB_ARRAY) {
        return refuse(budgets, "it has no rows");
    }
    snprintf(budgets->build, sizeof budgets->build, "%s", build ? build : "");
    int rc = 0;
    for (const struct tb_value *row = rows->first; row && rc == 0; row = row->next) {
        rc = read_row(budgets, row);
    }
    return rc;
}

int tb_budgets_load(struct tb_budgets *budgets, const char *path)
{
    struct tb_doc doc;
    *budgets = (struct tb_budgets){0};
    int rc = tb_doc_load(&doc, path);
    if (rc < 0) {
        snprintf(budgets->error, sizeof budgets->error, "%s", doc.error);
    } else {
        rc = read_all(budgets, doc.root);
        if (rc < 0) {
            char why[sizeof budgets->error];
            memcpy(why, budgets->error, sizeof why);
            snprintf(budgets->error, sizeof budgets->error, "'%.80s': %.110s", path, why);
        }
    }
    tb_doc_free(&doc);
    return rc;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put_metrics(struct tb_json *json, const char *key, const double values[TB_EXACTS])
{
    int given = 0;
    for (int i = 0; i < TB_EXACTS; i++) {
        given += !isnan(values[i]);
    }
    if (given == 0) {
        return;
    }
    tb_json_open(json, key, '{');
    for (int i = 0; i < TB_EXACTS; i++) {
        if (!isnan(values[i])) {
            tb_json_real(json, tb_exacts[i].key, round(values[i] * 1e4) / 1e4);
        }
    }
    tb_json_close(json);
}

static void put_row(struct tb_json *json, const struct tb_budget *row)
{
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "workload", row->load->name);
    tb_json_count(json, "workers", (uint64_t)row->workers);
    if (row->load->params[0].key) {
        tb_json_open(json, "params", '{');
        for (int i = 0; row->load->params[i].key; i++) {
            tb_json_count(json, row->load->params[i].key, row->params[i]);
        }
        tb_json_close(json);
    }
    if (row->rounds > 0) {
        tb_json_count(json, "rounds", row->rounds);
    }
    if (row->io[0]) {
        tb_json_text(json, "io", row->io);
    }
    put_metrics(json, "limits", row->limit);
    put_metrics(json, "allow", row->allow);
    if (row->functions_n > 0) {
        tb_json_open(json, "functions", '{');
        for (int i = 0; i < row->functions_n; i++) {
            tb_json_real(json, row->functions[i].name,
                         round(row->functions[i].instructions * 1e2) / 1e2);
        }
        tb_json_close(json);
    }
    tb_json_close(json);
}

int tb_budgets_save(const struct tb_budgets *budgets, const char *path)
{
    char draft[512];
    snprintf(draft, sizeof draft, "%.480s.new", path);
    FILE *file = fopen(draft, "we");
    if (!file) {
        return -errno;
    }
    struct tb_json json = {.out = file};
    tb_json_open(&json, NULL, '{');
    tb_json_text(&json, "schema", SCHEMA);
    tb_json_text(&json, "build", budgets->build);
    tb_json_open(&json, "rows", '[');
    for (int i = 0; i < budgets->rows_n; i++) {
        put_row(&json, &budgets->rows[i]);
    }
    tb_json_close(&json);
    tb_json_close(&json);
    bool whole = !ferror(file);
    whole = fclose(file) == 0 && whole;
    if (!whole || rename(draft, path) < 0) {
        remove(draft);
        return -EIO;
    }
    return 0;
}

/* --- judging ---------------------------------------------------------------------------------- */

static const char *why_incomparable(const struct tb_budget *budget, int metric,
                                    const char *build_of_budgets, const char *build, const char *io)
{
    bool of_backend = metric == TB_EXACT_CALLS || metric == TB_EXACT_ENTERS;
    if (metric == TB_EXACT_INSTRUCTIONS && strcmp(build_of_budgets, build) != 0) {
        return "the budgets were taken with another build";
    }
    if (of_backend && budget->io[0] && strcmp(budget->io, io) != 0) {
        return "the budget is of another I/O backend";
    }
    return NULL;
}

static enum tb_judgement judge(double value, double limit, double allow, int metric)
{
    if (metric == TB_EXACT_INSTRUCTIONS) {
        allow = limit * (isnan(allow) ? INSTRUCTIONS_ALLOWED : allow) / 100;
    } else {
        allow = isnan(allow) ? 0 : allow;
    }
    if (value > limit + allow + ROUNDING * limit + 1e-4) {
        return TB_EXCEEDED;
    }
    double better = BETTER_BY * limit > allow ? BETTER_BY * limit : allow;
    return value < limit - better - 1e-4 ? TB_BETTER : TB_WITHIN;
}

void tb_budget_judge(const struct tb_budget *budget, const struct tb_exact_set *exact,
                     const char *build_of_budgets, const char *build, const char *io,
                     struct tb_judged *out)
{
    *out = (struct tb_judged){0};
    for (int i = 0; i < TB_EXACTS; i++) {
        if (isnan(budget->limit[i])) {
            out->verdict[i] = TB_UNLIMITED;
            continue;
        }
        const char *why_not = isnan(exact->value[i])
                                  ? exact->why_not[i]
                                  : why_incomparable(budget, i, build_of_budgets, build, io);
        out->verdict[i] = isnan(exact->value[i]) || why_not
                              ? TB_NOT_COMPARED
                              : judge(exact->value[i], budget->limit[i], budget->allow[i], i);
        out->why_not[i] = why_not;
        out->not_compared += out->verdict[i] == TB_NOT_COMPARED;
        out->compared += out->verdict[i] != TB_NOT_COMPARED;
        out->exceeded += out->verdict[i] == TB_EXCEEDED;
        out->better += out->verdict[i] == TB_BETTER;
    }
}

bool tb_budget_is_new(const struct tb_budget *budget)
{
    bool is_new = true;
    for (int i = 0; i < TB_EXACTS; i++) {
        is_new = is_new && isnan(budget->limit[i]);
    }
    return is_new;
}

void tb_budget_take(struct tb_budget *budget, const struct tb_exact_set *exact,
                    const struct tb_instructions *instructions, const char *io)
{
    bool is_new = tb_budget_is_new(budget);
    for (int i = 0; i < TB_EXACTS; i++) {
        if (!isnan(exact->value[i]) && (is_new || !isnan(budget->limit[i]))) {
            budget->limit[i] = exact->value[i];
        }
    }
    bool of_backend = budget->limit[TB_EXACT_ENTERS] > 0 || budget->limit[TB_EXACT_CALLS] > 0;
    snprintf(budget->io, sizeof budget->io, "%s", of_backend ? io : "");
    if (instructions->counted) {
        memcpy(budget->functions, instructions->functions, sizeof budget->functions);
        budget->functions_n = instructions->functions_n;
    }
}
