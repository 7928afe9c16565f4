/* row.c: see row.h. */
#include "row.h"
#include <stddef.h>
#include <stdio.h>

#define COUNTER(name)                            \
    {                                            \
#name, offsetof(struct weft_stats, name) \
    }

const struct tb_counter tb_counters[] = {
    COUNTER(runs),          COUNTER(steals),
    COUNTER(suspends),      COUNTER(parks),
    COUNTER(wakes),         COUNTER(injected),
    COUNTER(ops_submitted), COUNTER(ops_completed),
    COUNTER(ops_cancelled), COUNTER(driver_enters),
    COUNTER(timers_fired),  COUNTER(slab_chunks),
    COUNTER(stacks),        {NULL, 0},
};

static void summarize_reference(struct tb_row *row)
{
    row->has_reference = true;
    for (size_t i = 0; i < row->samples_n; i++) {
        row->has_reference = row->has_reference && row->reference_ns[i] > 0;
    }
    if (row->has_reference) {
        tb_summarize(row->reference_ns, row->samples_n, &row->reference);
        row->ratio = tb_median_ratio(row->ns_per_op, row->reference_ns, row->samples_n);
    }
}

void tb_row_finish(struct tb_row *row)
{
    if (row->status != TB_ROW_OK) {
        return;
    }
    if (tb_summarize(row->ns_per_op, row->samples_n, &row->time) < 0) {
        row->status = TB_ROW_WRONG;
        snprintf(row->reason, sizeof row->reason, "it ended without a sample");
        return;
    }
    summarize_reference(row);
}

void tb_row_metric(struct tb_row *row, const char *name, const char *unit, double value)
{
    struct tb_metric *m = &row->metrics[row->metrics_n++];
    snprintf(m->name, sizeof m->name, "%s", name);
    snprintf(m->unit, sizeof m->unit, "%s", unit);
    m->value = value;
}

double tb_row_allocs_per_op(const struct tb_row *row)
{
    return (double)row->allocs.allocs / (double)row->counted_ops;
}

double tb_row_bytes_per_op(const struct tb_row *row)
{
    return (double)row->allocs.bytes / (double)row->counted_ops;
}
