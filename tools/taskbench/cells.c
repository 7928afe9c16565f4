/* cells.c: see cells.h. */
#include "cells.h"
#include "command.h"
#include "render.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct tb_column_shape tb_columns[TB_COLUMNS] = {
    {"workload", -13}, {"w", 2},     {"ops/s", 6}, {"time/op", 7}, {"min..max", 11}, {"ref", 6},
    {"alloc", 5},      {"bytes", 5}, {"pool", 5},  {"RSS", 5},     {"check", -5},
};

static const char *const checks[] = {"ok", "WRONG", "skip"};

/* Chunks and stacks that the runtime added during the counting sample: what "0 allocations" could
 * hide. */
static void put_pool(const struct tb_row *row, char *cell)
{
    uint64_t added = row->growth.slab_chunks + row->growth.stacks;
    char number[TB_NUMBER_MAX];
    snprintf(cell, TB_NUMBER_MAX, "%s%s", added ? "+" : "", tb_format_count(number, (double)added));
}

static void put_exact(const struct tb_row *row, struct tb_cells *out)
{
    if (row->counted) {
        tb_format_count(out->text[TB_COLUMN_ALLOCS], tb_row_allocs_per_op(row));
        tb_format_count(out->text[TB_COLUMN_BYTES], tb_row_bytes_per_op(row));
    } else {
        strcpy(out->text[TB_COLUMN_ALLOCS], "?");
        strcpy(out->text[TB_COLUMN_BYTES], "?");
    }
    put_pool(row, out->text[TB_COLUMN_POOL]);
    tb_format_bytes(out->text[TB_COLUMN_RSS], row->rss_max_bytes);
}

static void put_time(const struct tb_row *row, struct tb_cells *out)
{
    const struct tb_summary *t = &row->time;
    tb_format_count(out->text[TB_COLUMN_OPS_S], 1e9 / t->median);
    tb_format_time(out->text[TB_COLUMN_TIME], t->median);
    tb_format_range(out->text[TB_COLUMN_RANGE], t->min, t->max, t->median);
    if (row->has_reference) {
        snprintf(out->text[TB_COLUMN_REFERENCE], TB_NUMBER_MAX, "%.2fx", row->ratio);
    }
}

void tb_cells_of(const struct tb_row *row, struct tb_cells *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->text[TB_COLUMN_WORKLOAD], TB_NUMBER_MAX, "%s", row->load->name);
    snprintf(out->text[TB_COLUMN_WORKERS], TB_NUMBER_MAX, "%d", row->workers);
    snprintf(out->text[TB_COLUMN_CHECK], TB_NUMBER_MAX, "%s", checks[row->status]);
    if (row->status == TB_ROW_OK) {
        put_time(row, out);
        put_exact(row, out);
    }
}

/* --- lines ------------------------------------------------------------------------------------ */

static void append(char *out, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Cut at the end of `out`, silently. */
static void append(char *out, size_t bytes, const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + used, bytes - used, format, args);
    va_end(args);
}

static void append_metric(char *out, const struct tb_metric *m)
{
    char number[TB_NUMBER_MAX], name[sizeof m->name];
    snprintf(name, sizeof name, "%s", m->name);
    for (char *c = name; *c; c++) {
        *c = *c == '_' ? ' ' : *c;
    }
    if (strcmp(m->unit, "ns") == 0) {
        tb_format_time(number, m->value);
    } else {
        snprintf(number, sizeof number, "%.0f%s%s", m->value, m->unit[0] ? " " : "", m->unit);
    }
    append(out, TB_NOTE_MAX, "%s%s %s", out[0] ? ", " : "", name, number);
}

void tb_note_of(const struct tb_row *row, char out[TB_NOTE_MAX])
{
    out[0] = '\0';
    if (row->status != TB_ROW_OK) {
        snprintf(out, TB_NOTE_MAX, "%s", row->reason);
        return;
    }
    if (row->load->flags & TB_LOAD_CPU) {
        append(out, TB_NOTE_MAX, "in CPU time");
    }
    for (int i = 0; i < row->metrics_n; i++) {
        append_metric(out, &row->metrics[i]);
    }
}

void tb_facts_of(const struct tb_run_facts *facts, char run[TB_NOTE_MAX], char machine[TB_NOTE_MAX])
{
    const struct tb_machine *m = facts->machine;
    char number[TB_NUMBER_MAX];
    snprintf(run, TB_NOTE_MAX, "taskbench %s, ", TB_VERSION);
    append(run, TB_NOTE_MAX, facts->set[0] ? "%s set, " : "%s", facts->set);
    append(run, TB_NOTE_MAX, "seed %llu, by default ", (unsigned long long)facts->seed);
    append(run, TB_NOTE_MAX, "%s", m->report);
    snprintf(machine, TB_NOTE_MAX, "%s, %d CPU%s, Linux %s", m->cpu, m->cpus,
             m->cpus == 1 ? "" : "s", m->kernel);
    if (m->line_ns >= 0) {
        append(machine, TB_NOTE_MAX, ", line transfer %s", tb_format_time(number, m->line_ns));
    }
    append(machine, TB_NOTE_MAX, m->jemalloc[0] ? ", jemalloc %s" : ", no jemalloc%s", m->jemalloc);
}

void tb_end_of(const struct tb_run_end *end, char out[TB_NOTE_MAX])
{
    snprintf(out, TB_NOTE_MAX, "%d measured", end->measured);
    if (end->wrong > 0) {
        append(out, TB_NOTE_MAX, ", %d wrong", end->wrong);
    }
    if (end->skipped > 0) {
        append(out, TB_NOTE_MAX, ", %d skipped", end->skipped);
    }
    append(out, TB_NOTE_MAX, " in %.0f s", end->elapsed_s);
    if (end->interrupted) {
        append(out, TB_NOTE_MAX, ", interrupted, %d not run",
               end->rows - end->measured - end->wrong - end->skipped);
    }
    if (end->steal_percent >= 0.05) {
        append(out, TB_NOTE_MAX, "; the host took %.1f %% of the CPU time", end->steal_percent);
    }
}
