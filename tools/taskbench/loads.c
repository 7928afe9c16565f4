/* loads.c: the table of workloads, and what a load may say while it runs. See load.h. */
#include "load.h"
#include "user.h"
#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct tb_load *const tables[] = {
    tb_loads_forkjoin, tb_loads_trees,   tb_loads_loops,   tb_loads_graph,  tb_loads_start,
    tb_loads_steal,    tb_loads_join,    tb_loads_outside, tb_loads_switch, tb_loads_sync,
    tb_loads_lock,     tb_loads_bounded, tb_loads_timer,   tb_loads_cancel, tb_loads_memory,
    tb_loads_idle,     tb_loads_frames,  tb_loads_net,     tb_loads_file,
};

const struct tb_load *tb_load_at(int index)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (const struct tb_load *load = tables[t]; load->name; load++) {
            if (index-- == 0) {
                return load;
            }
        }
    }
    return tb_user_at(index);
}

const struct tb_load *tb_load_find(const char *name)
{
    const struct tb_load *load;
    for (int i = 0; (load = tb_load_at(i)); i++) {
        if (strcmp(load->name, name) == 0) {
            return load;
        }
    }
    return NULL;
}

static bool is_variant_of(const char *name, const char *base)
{
    size_t n = strlen(base);
    return strncmp(name, base, n) == 0 && name[n] == '/';
}

bool tb_load_matches(const struct tb_load *load, const char *pattern)
{
    return strcmp(load->group, pattern) == 0 || is_variant_of(load->name, pattern) ||
           fnmatch(pattern, load->name, 0) == 0;
}

int tb_load_param(const struct tb_load *load, const char *key)
{
    for (int i = 0; load->params[i].key; i++) {
        if (strcmp(load->params[i].key, key) == 0) {
            return i;
        }
    }
    return -1;
}

/* --- what a load may say ---------------------------------------------------------------------- */

static void give_reason(struct tb_trial *trial, const char *format, va_list args)
{
    if (trial->reason[0] == '\0') {
        vsnprintf(trial->reason, sizeof trial->reason, format, args);
    }
}

int tb_wrong(struct tb_trial *trial, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    give_reason(trial, format, args);
    va_end(args);
    return -EBADMSG;
}

int tb_skip(struct tb_trial *trial, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    give_reason(trial, format, args);
    va_end(args);
    trial->skip = true;
    return -ENOTSUP;
}

void tb_metric(struct tb_trial *trial, const char *name, const char *unit, double value)
{
    int i = 0;
    while (i < trial->metrics_n && strcmp(trial->metrics[i].name, name) != 0) {
        i++;
    }
    if (i == TB_METRICS_MAX) {
        return; /* the bound is the table's: no load has that many */
    }
    struct tb_metric *metric = &trial->metrics[i];
    snprintf(metric->name, sizeof metric->name, "%s", name);
    snprintf(metric->unit, sizeof metric->unit, "%s", unit);
    metric->value = value;
    trial->metrics_n += i == trial->metrics_n;
}
