/* peers.c: see peers.h. */
#include "peers.h"
#include "command.h"
#include "json.h"
#include "units.h"
#include <errno.h>
#include <math.h>
#include <string.h>

#define SCHEMA       "weft.peers/1"
#define COLUMNS_MAX  7  /* of a table: 17 and 7 times 9 are 80 */
#define PROGRAM_WIDE 17 /* of the first column */
#define MS_NS        1e6
#define US_NS        1e3

static const struct {
    const char *name, *path;
} parts[TB_PEERS_PARTS] = {
    [TB_PEERS_COMPUTE] = {"compute", "build/peers/compute.json"},
    [TB_PEERS_IO] = {"io", "build/peers/io/io.json"},
};

const char *tb_peers_path(enum tb_peers_part_kind kind)
{
    return parts[kind].path;
}

const char *tb_peers_name(enum tb_peers_part_kind kind)
{
    return parts[kind].name;
}

/* --- reading ---------------------------------------------------------------------------------- */

static const struct tb_value *items_of(const struct tb_value *value, const char *key)
{
    const struct tb_value *list = tb_member(value, key);
    return list && list->kind == TB_ARRAY ? list->first : NULL;
}

static bool is_program(const struct tb_value *program)
{
    const struct tb_value *metrics = tb_member(program, "metrics");
    bool good = tb_member_text(program, "program") && metrics && metrics->kind == TB_OBJECT;
    for (const struct tb_value *m = good ? metrics->first : NULL; m; m = m->next) {
        good = good && m->kind == TB_NUMBER;
    }
    return good;
}

static bool is_row(const struct tb_value *row)
{
    bool good =
        tb_member_text(row, "row") && tb_member_text(row, "title") && items_of(row, "programs");
    for (const struct tb_value *p = good ? items_of(row, "programs") : NULL; p; p = p->next) {
        good = good && is_program(p);
    }
    return good;
}

static bool is_part(const struct tb_peers_part *part)
{
    const struct tb_value *root = part->doc.root;
    const char *schema = tb_member_text(root, "schema"), *name = tb_member_text(root, "part");
    bool good = schema && strcmp(schema, SCHEMA) == 0 && name && strcmp(name, part->name) == 0 &&
                tb_member_text(root, "written") && items_of(root, "rows");
    for (const struct tb_value *row = good ? items_of(root, "rows") : NULL; row; row = row->next) {
        good = good && is_row(row);
    }
    return good;
}

int tb_peers_load(struct tb_peers_part *part, enum tb_peers_part_kind kind, const char *path)
{
    *part = (struct tb_peers_part){.name = parts[kind].name};
    int rc = tb_doc_load(&part->doc, path);
    if (rc < 0) {
        snprintf(part->error, sizeof part->error, "%s", part->doc.error);
    } else if (!is_part(part)) {
        snprintf(part->error, sizeof part->error, "'%s' is not what bench/peers writes", path);
        rc = -EBADMSG;
    }
    return rc;
}

void tb_peers_free(struct tb_peers_part *part)
{
    tb_doc_free(&part->doc);
}

/* --- rows ------------------------------------------------------------------------------------- */

static bool is_wanted(const struct tb_peers_rows *rows, const struct tb_value *row)
{
    for (int i = 0; i < rows->n; i++) {
        if (strcmp(rows->names[i], tb_member_text(row, "row")) == 0) {
            return true;
        }
    }
    return rows->n == 0;
}

/* The next row that is wanted, from `row` on; NULL: none. */
static const struct tb_value *wanted_from(const struct tb_peers_rows *rows,
                                          const struct tb_value *row)
{
    while (row && !is_wanted(rows, row)) {
        row = row->next;
    }
    return row;
}

static const struct tb_value *first_row(const struct tb_peers_part *part,
                                        const struct tb_peers_rows *rows)
{
    return wanted_from(rows, items_of(part->doc.root, "rows"));
}

static bool is_ours(const char *program)
{
    return strncmp(program, "weft", 4) == 0;
}

int tb_peers_rivals(const struct tb_peers_part *part, const struct tb_peers_rows *rows)
{
    int rivals = -1;
    for (const struct tb_value *row = first_row(part, rows); row;
         row = wanted_from(rows, row->next)) {
        rivals = rivals < 0 ? 0 : rivals;
        for (const struct tb_value *p = items_of(row, "programs"); p; p = p->next) {
            const char *name = tb_member_text(p, "program");
            rivals +=
                !is_ours(name) && strncmp(name, "bare", 4) != 0 && strcmp(name, "serial") != 0;
        }
    }
    return rivals;
}

/* --- columns ---------------------------------------------------------------------------------- */

enum unit { UNIT_NS, UNIT_US, UNIT_MS, UNIT_RATIO, UNIT_COUNT, UNIT_BYTES };

/* In the order in which they are shown; what a row has none of is left out. */
static const struct column {
    const char *metric, *head;
    enum unit unit;
} columns[] = {
    {"cpu_us", "cpu/op", UNIT_US},
    {"ns", "time/op", UNIT_NS},
    {"of_ring", "of ring", UNIT_RATIO},
    {"of_epoll", "of epoll", UNIT_RATIO},
    {"of_weft", "of weft", UNIT_RATIO},
    {"bytes_s", "bytes/s", UNIT_COUNT},
    {"requests_s", "ops/s", UNIT_COUNT},
    {"p50_us", "p50", UNIT_US},
    {"p99_us", "p99", UNIT_US},
    {"p999_us", "p99.9", UNIT_US},
    {"idle_rss_bytes", "resident", UNIT_BYTES},
    {"idle_cpu_ms", "cpu", UNIT_MS},
};

#define COLUMNS_N (int)(sizeof columns / sizeof *columns)

static double metric_of(const struct tb_value *program, const char *metric)
{
    return tb_member_number(tb_member(program, "metrics"), metric, NAN);
}

/* Which columns a row has: their indices, and how many. */
static int columns_of(const struct tb_value *row, int out[COLUMNS_MAX])
{
    int n = 0;
    for (int i = 0; i < COLUMNS_N && n < COLUMNS_MAX; i++) {
        bool any = false;
        for (const struct tb_value *p = items_of(row, "programs"); p; p = p->next) {
            any = any || !isnan(metric_of(p, columns[i].metric));
        }
        if (any) {
            out[n++] = i;
        }
    }
    return n;
}

static const char *format_cell(char out[TB_NUMBER_MAX], const struct column *column, double value)
{
    if (isnan(value)) {
        return "-";
    }
    switch (column->unit) {
    case UNIT_NS:
        return tb_format_time(out, value);
    case UNIT_US:
        return tb_format_time(out, value * US_NS);
    case UNIT_MS:
        return tb_format_time(out, value * MS_NS);
    case UNIT_COUNT:
        return tb_format_count(out, value);
    case UNIT_BYTES:
        return tb_format_bytes(out, value > 0 ? (uint64_t)value : 0);
    case UNIT_RATIO:
        break;
    }
    snprintf(out, TB_NUMBER_MAX, value < 100 ? "%.2f" : "%.0f", value);
    return out;
}

/* --- showing ---------------------------------------------------------------------------------- */

static void table_row(const struct tb_value *row, FILE *out, bool color)
{
    int shown[COLUMNS_MAX], n = columns_of(row, shown);
    char cell[TB_NUMBER_MAX];
    fprintf(out, "%s%s%s\n%-*s", color ? "\033[1m" : "", tb_member_text(row, "title"),
            color ? "\033[0m" : "", PROGRAM_WIDE, "");
    for (int i = 0; i < n; i++) {
        fprintf(out, " %8s", columns[shown[i]].head);
    }
    fputc('\n', out);
    for (const struct tb_value *p = items_of(row, "programs"); p; p = p->next) {
        const char *name = tb_member_text(p, "program");
        bool bold = color && is_ours(name);
        fprintf(out, "%s  %-*.*s", bold ? "\033[1m" : "", PROGRAM_WIDE - 2, PROGRAM_WIDE - 2, name);
        for (int i = 0; i < n; i++) {
            const struct column *column = &columns[shown[i]];
            fprintf(out, " %8s", format_cell(cell, column, metric_of(p, column->metric)));
        }
        fprintf(out, "%s\n", bold ? "\033[0m" : "");
    }
    fputc('\n', out);
}

static void say_where(const struct tb_peers_part *part, FILE *out)
{
    const struct tb_value *machine = tb_member(part->doc.root, "machine");
    const char *cpu = tb_member_text(machine, "cpu"), *kernel = tb_member_text(machine, "kernel");
    fprintf(out, "%s, %.0f CPUs, Linux %s; written %s\n", cpu ? cpu : "?",
            tb_member_number(machine, "cpus", 0), kernel ? kernel : "?",
            tb_member_text(part->doc.root, "written"));
}

void tb_peers_table(const struct tb_peers_part *part, const struct tb_peers_rows *rows, FILE *out,
                    bool color)
{
    say_where(part, out);
    fputc('\n', out);
    for (const struct tb_value *row = first_row(part, rows); row;
         row = wanted_from(rows, row->next)) {
        table_row(row, out, color);
    }
}

void tb_peers_md(const struct tb_peers_part *part, const struct tb_peers_rows *rows, FILE *out)
{
    say_where(part, out);
    for (const struct tb_value *row = first_row(part, rows); row;
         row = wanted_from(rows, row->next)) {
        int shown[COLUMNS_MAX], n = columns_of(row, shown);
        char cell[TB_NUMBER_MAX];
        fprintf(out, "\n| %s |", tb_member_text(row, "title"));
        for (int i = 0; i < n; i++) {
            fprintf(out, " %s |", columns[shown[i]].head);
        }
        fprintf(out, "\n| --- |");
        for (int i = 0; i < n; i++) {
            fprintf(out, " ---: |");
        }
        for (const struct tb_value *p = items_of(row, "programs"); p; p = p->next) {
            fprintf(out, "\n| %s |", tb_member_text(p, "program"));
            for (int i = 0; i < n; i++) {
                const struct column *column = &columns[shown[i]];
                fprintf(out, " %s |", format_cell(cell, column, metric_of(p, column->metric)));
            }
        }
        fputc('\n', out);
    }
}

/* Names are those of our scripts; a comma or quote in one would be of a file that somebody wrote by
 * hand. */
static void csv_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    }
    fputs("\",", out);
}

void tb_peers_csv(const struct tb_peers_part *part, const struct tb_peers_rows *rows, FILE *out)
{
    for (const struct tb_value *row = first_row(part, rows); row;
         row = wanted_from(rows, row->next)) {
        for (const struct tb_value *p = items_of(row, "programs"); p; p = p->next) {
            for (const struct tb_value *m = tb_member(p, "metrics")->first; m; m = m->next) {
                csv_text(out, part->name);
                csv_text(out, tb_member_text(row, "row"));
                csv_text(out, tb_member_text(p, "program"));
                csv_text(out, m->key);
                fprintf(out, "%.9g\n", m->number);
            }
        }
    }
}

static void json_row(struct tb_json *json, const struct tb_value *row)
{
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "row", tb_member_text(row, "row"));
    tb_json_text(json, "title", tb_member_text(row, "title"));
    tb_json_count(json, "rounds", (uint64_t)fmax(0, tb_member_number(row, "rounds", 0)));
    tb_json_open(json, "programs", '[');
    for (const struct tb_value *p = items_of(row, "programs"); p; p = p->next) {
        tb_json_open(json, NULL, '{');
        tb_json_text(json, "program", tb_member_text(p, "program"));
        tb_json_open(json, "metrics", '{');
        for (const struct tb_value *m = tb_member(p, "metrics")->first; m; m = m->next) {
            tb_json_real(json, m->key, m->number);
        }
        tb_json_close(json);
        tb_json_close(json);
    }
    tb_json_close(json);
    tb_json_close(json);
}

static void json_part(struct tb_json *json, const struct tb_peers_part *part,
                      const struct tb_peers_rows *rows)
{
    const struct tb_value *machine = tb_member(part->doc.root, "machine");
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "part", part->name);
    tb_json_text(json, "written", tb_member_text(part->doc.root, "written"));
    tb_json_open(json, "machine", '{');
    tb_json_text(json, "cpu", tb_member_text(machine, "cpu"));
    tb_json_count(json, "cpus", (uint64_t)fmax(0, tb_member_number(machine, "cpus", 0)));
    tb_json_text(json, "kernel", tb_member_text(machine, "kernel"));
    tb_json_close(json);
    tb_json_open(json, "missing", '[');
    for (const struct tb_value *m = items_of(part->doc.root, "missing"); m; m = m->next) {
        if (m->kind == TB_TEXT) {
            tb_json_text(json, NULL, m->text);
        }
    }
    tb_json_close(json);
    tb_json_open(json, "rows", '[');
    for (const struct tb_value *row = first_row(part, rows); row;
         row = wanted_from(rows, row->next)) {
        json_row(json, row);
    }
    tb_json_close(json);
    tb_json_close(json);
}

void tb_peers_json(const struct tb_peers_part *all, int n, const struct tb_peers_rows *rows,
                   FILE *out)
{
    struct tb_json json = {.out = out};
    tb_json_open(&json, NULL, '{');
    tb_json_text(&json, "schema", "weft.taskbench.peers/1");
    tb_json_text(&json, "tool", TB_VERSION);
    tb_json_open(&json, "parts", '[');
    for (int i = 0; i < n; i++) {
        json_part(&json, &all[i], rows);
    }
    tb_json_close(&json);
    tb_json_close(&json);
}
