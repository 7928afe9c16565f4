/* render.h: writes a report while it comes into being: once the beginning, then each row as it is
 * measured, then the end. A run that is interrupted ends its report properly, with the rows that it
 * has. */
#ifndef TB_RENDER_H
#define TB_RENDER_H

#include "args.h"
#include "json.h"
#include "machine.h"
#include "row.h"
#include <stdio.h>
#include <time.h>

/* What is known before the first row. */
struct tb_run_facts {
    const struct tb_machine *machine;
    const char *command; /* "run", ...; NULL is "run" */
    const char *set;     /* "quick", ...; "" if the workloads were named */
    uint64_t seed;
    time_t started;
};

/* What is known after the last. */
struct tb_run_end {
    int rows; /* that were planned */
    int measured, wrong, skipped;
    double elapsed_s;
    double steal_percent; /* negative: unknown */
    int interrupted;      /* the signal, or 0 */
    int exit_code;
    char verdict[TB_REASON_MAX]; /* what --assert-allocs found; "" without */
};

struct tb_render {
    FILE *out;
    bool color;          /* escape sequences may be used */
    struct tb_json json; /* of render_json.c */
    void (*begin)(struct tb_render *render, const struct tb_run_facts *facts);
    void (*row)(struct tb_render *render, const struct tb_row *row);
    void (*end)(struct tb_render *render, const struct tb_run_end *end);
};

/* To `out`, which stays the caller's. */
struct tb_render tb_render_for(enum tb_format format, FILE *out, bool color);

/* --- the kinds: one file each ----------------------------------------------------------------- */

void tb_table_begin(struct tb_render *render, const struct tb_run_facts *facts);
void tb_table_row(struct tb_render *render, const struct tb_row *row);
void tb_table_end(struct tb_render *render, const struct tb_run_end *end);

void tb_md_begin(struct tb_render *render, const struct tb_run_facts *facts);
void tb_md_row(struct tb_render *render, const struct tb_row *row);
void tb_md_end(struct tb_render *render, const struct tb_run_end *end);

void tb_csv_begin(struct tb_render *render, const struct tb_run_facts *facts);
void tb_csv_row(struct tb_render *render, const struct tb_row *row);
void tb_csv_end(struct tb_render *render, const struct tb_run_end *end);

void tb_json_begin(struct tb_render *render, const struct tb_run_facts *facts);
void tb_json_row(struct tb_render *render, const struct tb_row *row);
void tb_json_end(struct tb_render *render, const struct tb_run_end *end);

void tb_junit_begin(struct tb_render *render, const struct tb_run_facts *facts);
void tb_junit_row(struct tb_render *render, const struct tb_row *row);
void tb_junit_end(struct tb_render *render, const struct tb_run_end *end);

void tb_gbench_begin(struct tb_render *render, const struct tb_run_facts *facts);
void tb_gbench_row(struct tb_render *render, const struct tb_row *row);
void tb_gbench_end(struct tb_render *render, const struct tb_run_end *end);

void tb_bmf_begin(struct tb_render *render, const struct tb_run_facts *facts);
void tb_bmf_row(struct tb_render *render, const struct tb_row *row);
void tb_bmf_end(struct tb_render *render, const struct tb_run_end *end);

void tb_gab_begin(struct tb_render *render, const struct tb_run_facts *facts);
void tb_gab_row(struct tb_render *render, const struct tb_row *row);
void tb_gab_end(struct tb_render *render, const struct tb_run_end *end);

#endif
