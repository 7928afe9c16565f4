/* render_csv.c: one line per row, for spreadsheets and awk: exact numbers, ns and bytes, empty
 * where there is none. Names and reasons are quoted as RFC 4180 wants it. Facts of the machine are
 * in the JSON. */
#include "render.h"
#include <inttypes.h>

void tb_csv_begin(struct tb_render *render, const struct tb_run_facts *facts)
{
    (void)facts;
    fprintf(render->out,
            "workload,workers,check,ops_per_s,ns_per_op,min_ns,max_ns,samples,reference_ns,ratio,"
            "allocs_per_op,bytes_per_op,slab_chunks_added,stacks_added,peak_rss_bytes,line_ns,"
            "reason\n");
}

static void print_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') {
            fputc('"', out);
        }
        fputc(*text, out);
    }
    fputc('"', out);
}

static void print_time(FILE *out, const struct tb_row *row)
{
    const struct tb_summary *t = &row->time;
    fprintf(out, "%.6g,%.6g,%.6g,%.6g,%zu,", 1e9 / t->median, t->median, t->min, t->max,
            row->samples_n);
    if (row->has_reference) {
        fprintf(out, "%.6g,%.6g,", row->reference.median, row->ratio);
    } else {
        fprintf(out, ",,");
    }
}

static void print_memory(FILE *out, const struct tb_row *row)
{
    if (row->counted) {
        fprintf(out, "%.6g,%.6g,", tb_row_allocs_per_op(row), tb_row_bytes_per_op(row));
    } else {
        fprintf(out, ",,");
    }
    fprintf(out, "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",", row->growth.slab_chunks,
            row->growth.stacks, row->rss_max_bytes);
    if (row->line_ns >= 0) {
        fprintf(out, "%.4g", row->line_ns);
    }
}

void tb_csv_row(struct tb_render *render, const struct tb_row *row)
{
    static const char *const checks[] = {"ok", "wrong", "skipped"};
    FILE *out = render->out;
    print_quoted(out, row->load->name);
    fprintf(out, ",%d,%s,", row->workers, checks[row->status]);
    if (row->status == TB_ROW_OK) {
        print_time(out, row);
        print_memory(out, row);
    } else {
        fprintf(out, ",,,,,,,,,,,,");
    }
    fputc(',', out);
    print_quoted(out, row->reason);
    fputc('\n', out);
    fflush(out);
}

void tb_csv_end(struct tb_render *render, const struct tb_run_end *end)
{
    (void)render, (void)end;
}
