/* floors.c: see floors.h. */
#include "floors.h"
#include "doc.h"
#include "json.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SCHEMA "weft.taskbench.floors/1"

double tb_floor_of_row(const struct tb_ab_row *row)
{
    double low = fabs(row->interval.low), high = fabs(row->interval.high);
    return low > high ? low : high;
}

static int read_rows(struct tb_floors *floors, const struct tb_value *rows)
{
    for (const struct tb_value *row = rows ? rows->first : NULL;
         row && floors->rows_n < TB_AB_ROWS_MAX; row = row->next) {
        const char *workload = tb_member_text(row, "workload");
        double floor = tb_member_number(row, "floor", -1),
               workers = tb_member_number(row, "workers", 0);
        if (!workload || !(floor >= 0) || !(workers >= 1 && workers < 10000)) {
            return -EINVAL;
        }
        snprintf(floors->rows[floors->rows_n].workload, sizeof floors->rows[0].workload, "%s",
                 workload);
        floors->rows[floors->rows_n].workers = (int)workers;
        floors->rows[floors->rows_n++].floor = floor;
    }
    return 0;
}

int tb_floors_load(struct tb_floors *floors, const char *path)
{
    struct tb_doc doc;
    *floors = (struct tb_floors){0};
    int rc = tb_doc_load(&doc, path);
    if (rc < 0) {
        snprintf(floors->error, sizeof floors->error, "%s", doc.error);
    } else {
        const char *schema = tb_member_text(doc.root, "schema"),
                   *key = tb_member_text(doc.root, "machine");
        snprintf(floors->key, sizeof floors->key, "%s", key ? key : "");
        rc = schema && strcmp(schema, SCHEMA) == 0 ? read_rows(floors, tb_member(doc.root, "rows"))
                                                   : -EINVAL;
        if (rc < 0) {
            snprintf(floors->error, sizeof floors->error,
                     "'%.80s' is no file of taskbench calibrate", path);
        }
    }
    tb_doc_free(&doc);
    return rc;
}

double tb_floors_of(const struct tb_floors *floors, const char *workload, int workers)
{
    for (int i = 0; i < floors->rows_n; i++) {
        if (floors->rows[i].workers == workers && strcmp(floors->rows[i].workload, workload) == 0) {
            return floors->rows[i].floor;
        }
    }
    return (double)NAN;
}

int tb_floors_save(const char *path, const char *key, const struct tb_ab_row *rows, int n)
{
    FILE *file = fopen(path, "we");
    if (!file) {
        return -errno;
    }
    struct tb_json json = {.out = file};
    tb_json_open(&json, NULL, '{');
    tb_json_text(&json, "schema", SCHEMA);
    tb_json_text(&json, "machine", key);
    tb_json_open(&json, "rows", '[');
    for (int i = 0; i < n; i++) {
        double floor = tb_floor_of_row(&rows[i]);
        if (rows[i].status == TB_ROW_OK && isfinite(floor) && rows[i].first.n > 0) {
            tb_json_open(&json, NULL, '{');
            tb_json_text(&json, "workload", rows[i].load->name);
            tb_json_count(&json, "workers", (uint64_t)rows[i].workers);
            tb_json_real(&json, "floor", floor);
            tb_json_count(&json, "restarts", (uint64_t)rows[i].first.n);
            tb_json_close(&json);
        }
    }
    tb_json_close(&json);
    tb_json_close(&json);
    bool whole = !ferror(file);
    return fclose(file) == 0 && whole ? 0 : -EIO;
}
