/* saved.h: a result that an earlier taskbench wrote as JSON (bench/schema/taskbench-1.json), read
 * back for `taskbench report`. What the file does not have, or has in another form than the
 * schema's, is NULL, NAN or empty here: only a file that is no result at all is refused. All memory
 * is the result's own. */
#ifndef TB_SAVED_H
#define TB_SAVED_H

#include "doc.h"
#include <stdbool.h>
#include <stddef.h>

#define TB_SAVED_ROWS_MAX \
    1000 /* of one file; more are not read, and `rows_left_out` says how many */
#define TB_SAVED_POINTS_MAX 4096 /* samples of a row, points of a curve: the first so many */
#define TB_SAVED_CURVES_MAX 4    /* of a row, and as many histograms */
#define TB_SAVED_LABEL_MAX  80

/* Points of a chart, x ascending or not. Or a histogram: x is the upper end of a bucket, y its
 * count. */
struct tb_saved_curve {
    const char *name, *x_name, *y_name; /* never NULL */
    double (*points)[2];
    size_t points_n;
};

struct tb_saved_row {
    const struct tb_value *value;   /* the row in the file */
    char label[TB_SAVED_LABEL_MAX]; /* "chan 2w": workload and workers, cut to 56 characters */
    const char *workload, *op, *check, *reason; /* never NULL */
    int workers;
    bool ok;
    double *samples; /* ns per op */
    size_t samples_n;
    double median, min, max; /* NAN: not timed */
    double ratio;            /* to its reference; NAN: there is none */
    double *ratios;          /* sample by sample */
    size_t ratios_n;
    double allocs, bytes; /* per op; NAN: not counted */
    double rss;           /* bytes */
    /* of a comparison: candidate against base, and its interval; NAN: this is no comparison */
    double change, change_low, change_high;
    const char *verdict; /* NULL: none */
    struct tb_saved_curve curves[TB_SAVED_CURVES_MAX];
    int curves_n;
    struct tb_saved_curve latency[TB_SAVED_CURVES_MAX];
    int latency_n;
};

struct tb_saved {
    struct tb_doc doc;
    const char *path;
    const char *started, *command, *key; /* never NULL */
    bool is_comparison;                  /* candidate against base: of ab or scaling */
    const struct tb_value *machine;      /* NULL: the file has none */
    const struct tb_value *summary;      /* the same */
    struct tb_saved_row *rows;
    size_t rows_n, rows_left_out;
    char error[200]; /* one line; "" */
};

/* `path` is kept by pointer. 0; -EINVAL and other errors with `error` set: it cannot be read, is
 * not JSON, is of another schema, or has no rows. tb_saved_free in any case. */
int tb_saved_load(struct tb_saved *saved, const char *path);

void tb_saved_free(struct tb_saved *saved);

/* The row of the same workload, parameters and workers; NULL: there is none. */
const struct tb_saved_row *tb_saved_find(const struct tb_saved *saved,
                                         const struct tb_saved_row *like);

/* The member's text, or "". */
const char *tb_saved_text(const struct tb_value *value, const char *key);

#endif
