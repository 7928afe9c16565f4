/* run.c: see run.h. */
#include "run.h"
#include "suggest.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of one row. Quick: the whole set, 110 rows, stays below a minute on two cores; 30 samples, which
 * is not what limits how sure a median is: a shared core keeps its speed for seconds. */
#define QUICK_S    0.3
#define STANDARD_S 3.0

static int refuse(struct tb_run_plan *plan, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(struct tb_run_plan *plan, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(plan->error, sizeof plan->error, format, args);
    va_end(args);
    return -EINVAL;
}

/* --- which loads ------------------------------------------------------------------------------ */

static bool is_wanted(const struct tb_args *args, const struct tb_load *load)
{
    if (args->workloads_n == 0) {
        return args->set != TB_SET_QUICK || load->flags & TB_LOAD_QUICK;
    }
    for (int i = 0; i < args->workloads_n; i++) {
        if (tb_load_matches(load, args->workloads[i])) {
            return true;
        }
    }
    return false;
}

static int check_workload(struct tb_run_plan *plan, const char *pattern)
{
    struct tb_suggest suggest = tb_suggest_for(pattern);
    const struct tb_load *load;
    for (int i = 0; (load = tb_load_at(i)); i++) {
        if (tb_load_matches(load, pattern)) {
            return 0;
        }
        tb_suggest_try(&suggest, load->name);
        tb_suggest_try(&suggest, load->group);
    }
    char hint[TB_HINT_MAX];
    size_t n = strlen(pattern);
    if (n > 3 && strcmp(pattern + n - 3, ".so") == 0) {
        return refuse(plan, "unknown workload '%s'; a shared object is named with a slash: ./%s",
                      pattern, pattern);
    }
    return refuse(plan, "unknown workload '%s'%s; 'taskbench list' shows all", pattern,
                  tb_suggest_hint(&suggest, hint));
}

/* --- parameters ------------------------------------------------------------------------------- */

static int check_range(struct tb_run_plan *plan, const struct tb_load *load,
                       const struct tb_setting *setting)
{
    int at = tb_load_param(load, setting->key);
    const struct tb_param *param = at < 0 ? NULL : &load->params[at];
    if (param && (setting->value < param->min || setting->value > param->max)) {
        return refuse(plan, "-p %s of %s is a number from %llu to %llu, not %llu", setting->key,
                      load->name, (unsigned long long)param->min, (unsigned long long)param->max,
                      (unsigned long long)setting->value);
    }
    return 0;
}

/* At least one wanted load has it, and its value suits all that do. */
static int check_setting(struct tb_run_plan *plan, const struct tb_args *args,
                         const struct tb_setting *setting)
{
    struct tb_suggest suggest = tb_suggest_for(setting->key);
    const struct tb_load *load;
    bool known = false;
    for (int i = 0; (load = tb_load_at(i)); i++) {
        if (!is_wanted(args, load)) {
            continue;
        }
        int rc = check_range(plan, load, setting);
        if (rc < 0) {
            return rc;
        }
        known = known || tb_load_param(load, setting->key) >= 0;
        for (int p = 0; load->params[p].key; p++) {
            tb_suggest_try(&suggest, load->params[p].key);
        }
    }
    char hint[TB_HINT_MAX];
    return known ? 0
                 : refuse(plan, "no workload of this run has a parameter '%s'%s", setting->key,
                          tb_suggest_hint(&suggest, hint));
}

void tb_run_params(const struct tb_args *args, const struct tb_load *load,
                   uint64_t params[TB_PARAMS_MAX])
{
    for (int i = 0; load->params[i].key; i++) {
        params[i] = load->params[i].value;
    }
    for (int i = 0; i < args->settings_n; i++) {
        int at = tb_load_param(load, args->settings[i].key);
        if (at >= 0) {
            params[at] = args->settings[i].value;
        }
    }
}

/* --- rows ------------------------------------------------------------------------------------- */

/* One worker; two where there are two CPUs and a second worker can matter; --workers as given. */
static void add_rows(struct tb_run_plan *plan, const struct tb_args *args,
                     const struct tb_load *load, int cpus)
{
    static const int usual[] = {1, 2};
    const int *workers = args->workers_n ? args->workers : usual;
    int n = args->workers_n ? args->workers_n : cpus < 2 || load->flags & TB_LOAD_ALONE ? 1 : 2;
    for (int i = 0; i < n && plan->rows_n < TB_ROWS_MAX; i++) {
        plan->rows[plan->rows_n++] = (struct tb_planned){load, workers[i]};
    }
}

static int check(struct tb_run_plan *plan, const struct tb_args *args)
{
    int rc = 0;
    for (int i = 0; i < args->workloads_n && rc == 0; i++) {
        rc = check_workload(plan, args->workloads[i]);
    }
    for (int i = 0; i < args->settings_n && rc == 0; i++) {
        rc = check_setting(plan, args, &args->settings[i]);
    }
    return rc;
}

int tb_run_plan_make(struct tb_run_plan *plan, const struct tb_args *args, int cpus)
{
    memset(plan, 0, sizeof *plan);
    int rc = check(plan, args);
    if (rc < 0) {
        return rc;
    }
    const struct tb_load *load;
    for (int i = 0; (load = tb_load_at(i)); i++) {
        if (is_wanted(args, load)) {
            add_rows(plan, args, load, cpus);
        }
    }
    double seconds = args->seconds > 0           ? args->seconds
                     : args->set == TB_SET_QUICK ? QUICK_S
                                                 : STANDARD_S;
    plan->plan.samples = args->reps;
    plan->plan.budget_ns = (uint64_t)(seconds * 1e9);
    return 0;
}
