/* metg.c: patterns, and METG from a sweep. See metg.h. */
#include "metg.h"
#include "stats.h"
#include <math.h>

#define ABSURD 1.5

/* Those of Task Bench, but for random_spread, which it declares and does not have. */
enum {
    TRIVIAL,
    NO_COMM,
    STENCIL_1D,
    STENCIL_1D_PERIODIC,
    DOM,
    TREE,
    FFT,
    ALL_TO_ALL,
    NEAREST,
    SPREAD,
    RANDOM_NEAREST
};

const char *const tb_metg_patterns[] = {
    "trivial",    "no_comm", "stencil_1d", "stencil_1d_periodic", "dom", "tree", "fft",
    "all_to_all", "nearest", "spread",     "random_nearest",      NULL};

/* --- patterns --------------------------------------------------------------------------------- */

struct inputs {
    uint32_t *out;
    uint32_t n, width;
};

/* Outside of the row there is nobody; a point that was added already is not added twice. */
static void add(struct inputs *in, int64_t point)
{
    if (point < 0 || point >= in->width) {
        return;
    }
    for (uint32_t i = 0; i < in->n; i++) {
        if (in->out[i] == (uint32_t)point) {
            return;
        }
    }
    in->out[in->n++] = (uint32_t)point;
}

static void add_range(struct inputs *in, int64_t from, int64_t to)
{
    for (int64_t point = from; point <= to; point++) {
        add(in, point);
    }
}

static void add_periodic(struct inputs *in, int64_t point)
{
    add(in, (point + in->width) % in->width);
}

/* The distance doubles from row to row, as in the butterflies of an FFT. */
static void add_fft(struct inputs *in, uint32_t step, int64_t point)
{
    uint32_t levels = 0;
    while ((UINT32_C(1) << (levels + 1)) <= in->width) {
        levels++;
    }
    int64_t distance = INT64_C(1) << (levels ? (step - 1) % levels : 0);
    add(in, point - distance);
    add(in, point);
    add(in, point + distance);
}

/* So many points spread over the row, another set from row to row. */
static void add_spread(struct inputs *in, uint32_t step, int64_t point)
{
    for (int64_t i = 0; i < TB_METG_RADIX; i++) {
        int64_t stride = (in->width + TB_METG_RADIX - 1) / TB_METG_RADIX;
        add(in, (point + i * stride + (i > 0 ? step - 1 : 0)) % in->width);
    }
}

/* Of the nearest half of them, and always the point itself. */
static void add_random(struct inputs *in, const struct tb_graph *graph, uint32_t step,
                       int64_t point)
{
    add(in, point);
    for (int64_t other = point - TB_METG_RADIX / 2; other <= point + TB_METG_RADIX / 2; other++) {
        uint64_t x = (graph->seed + 1) * 0x9e3779b97f4a7c15 + (uint64_t)step * 0xbf58476d1ce4e5b9;
        x = (x ^ (uint64_t)point << 20 ^ (uint64_t)(other + TB_METG_RADIX)) * 0x94d049bb133111eb;
        if (x >> 63) {
            add(in, other);
        }
    }
}

uint32_t tb_graph_inputs(const struct tb_graph *graph, uint32_t step, uint32_t point,
                         uint32_t out[TB_METG_WIDTH_MAX])
{
    struct inputs in = {.out = out, .width = graph->width};
    int64_t p = point;
    if (step == 0) {
        return 0;
    }
    switch (graph->pattern) {
    case NO_COMM:
        add(&in, p);
        break;
    case STENCIL_1D:
        add_range(&in, p - 1, p + 1);
        break;
    case STENCIL_1D_PERIODIC:
        add_periodic(&in, p - 1);
        add(&in, p);
        add_periodic(&in, p + 1);
        break;
    case DOM:
        add_range(&in, p - 1, p);
        break;
    case TREE:
        add(&in, p / 2);
        break;
    case FFT:
        add_fft(&in, step, p);
        break;
    case ALL_TO_ALL:
        add_range(&in, 0, graph->width - 1);
        break;
    case NEAREST:
        add_range(&in, p - TB_METG_RADIX / 2, p + TB_METG_RADIX / 2);
        break;
    case SPREAD:
        add_spread(&in, step, p);
        break;
    case RANDOM_NEAREST:
        add_random(&in, graph, step, p);
        break;
    default: /* TRIVIAL */
        break;
    }
    return in.n;
}

/* --- runs ------------------------------------------------------------------------------------- */

#define LINGERS     2   /* parts after a switch that are dirty too: see metg.h */
#define CLEAN_LEAST 0.5 /* of a run */

struct tb_metg_time tb_metg_sum(const struct tb_graph_time *time)
{
    struct tb_metg_time out = {.parts = time->n};
    int switched = -LINGERS - 1; /* the last part with a switch */
    for (int i = 0; i < time->n; i++) {
        const struct tb_graph_part *part = &time->parts[i];
        switched = part->switches > 0 ? i : switched;
        bool dirty = i - switched <= LINGERS;
        out.rows += part->rows;
        out.cpu_ns += (double)part->cpu_ns;
        out.clean_rows += dirty ? 0 : part->rows;
        out.clean_ns += dirty ? 0 : (double)part->ns;
        out.dirty += dirty;
    }
    return out;
}

/* Of one grain, all picked repetitions together. */
static struct tb_metg_time pool(const struct tb_metg_sweep *sweep, const size_t *picked, size_t n,
                                size_t grain)
{
    struct tb_metg_time all = {.rows = 0};
    for (size_t i = 0; i < n; i++) {
        const struct tb_metg_time *run = &sweep->runs[picked[i] * sweep->grains + grain];
        all.rows += run->rows;
        all.cpu_ns += run->cpu_ns;
        all.clean_rows += run->clean_rows;
        all.clean_ns += run->clean_ns;
    }
    return all;
}

bool tb_metg_points(const struct tb_metg_sweep *sweep, const size_t *picked, size_t n,
                    struct tb_metg_point *out)
{
    struct tb_metg_time grains[TB_METG_GRAINS_MAX]; /* largest first */
    bool by_cpu = false;
    for (size_t i = 0; i < sweep->grains; i++) {
        grains[i] = pool(sweep, picked, n, sweep->grains - 1 - i);
        by_cpu = by_cpu || grains[i].clean_rows < CLEAN_LEAST * sweep->steps;
    }
    double peak = 0; /* time per row of the largest grain */
    for (size_t i = 0; i < sweep->grains; i++) {
        const struct tb_metg_time *t = &grains[i];
        double ns = by_cpu ? t->cpu_ns / t->rows / sweep->workers : t->clean_ns / t->clean_rows;
        peak = i == 0 ? ns : peak;
        out[i].grain_ns = ns / sweep->width * sweep->workers;
        out[i].efficiency =
            ldexp(1, -(int)i) * peak / ns; /* work, as a part of the largest grain's */
    }
    return by_cpu;
}

struct tb_interval tb_metg_interval(const struct tb_metg_sweep *sweep, size_t reps,
                                    double threshold, uint64_t seed)
{
    double found[TB_METG_RESAMPLES];
    size_t n = 0, picked[TB_METG_REPS_MAX];
    uint64_t random = (seed + 1) * 0x9e3779b97f4a7c15;
    for (int i = 0; i < TB_METG_RESAMPLES; i++) {
        struct tb_metg_point points[TB_METG_GRAINS_MAX];
        for (size_t j = 0; j < reps; j++) {
            random ^= random >> 12;
            random ^= random << 25;
            random ^= random >> 27;
            picked[j] = (size_t)(random * 0x2545f4914f6cdd1d >> 33) % reps;
        }
        tb_metg_points(sweep, picked, reps, points);
        n += tb_metg_find(points, sweep->grains, threshold, &found[n]) == TB_METG_FOUND;
    }
    double missing = 1 - (double)n / TB_METG_RESAMPLES, tail = 0.025 - missing / 2;
    if (reps < 2 || tail <= 0) {
        return (struct tb_interval){-INFINITY, INFINITY};
    }
    double part = tail * TB_METG_RESAMPLES / (double)n; /* of those that were found */
    return (struct tb_interval){tb_quantile(found, n, part), tb_quantile(found, n, 1 - part)};
}

/* --- METG ------------------------------------------------------------------------------------- */

/* Where the line between two points has the threshold: `below` is below it, `above` is not. */
static double between(const struct tb_metg_point *above, const struct tb_metg_point *below,
                      double threshold)
{
    double part = (above->efficiency - threshold) / (above->efficiency - below->efficiency);
    return above->grain_ns + part * (below->grain_ns - above->grain_ns);
}

enum tb_metg_end tb_metg_find(const struct tb_metg_point *points, size_t n, double threshold,
                              double *ns)
{
    size_t last = n; /* the smallest grain that is still efficient */
    for (size_t i = 0; i < n; i++) {
        if (points[i].efficiency > ABSURD) {
            return TB_METG_ABSURD;
        }
        last = points[i].efficiency >= threshold ? i : last;
    }
    if (last == n) {
        return TB_METG_NONE_ABOVE;
    }
    if (last + 1 == n) {
        return TB_METG_NONE_BELOW;
    }
    *ns = between(&points[last], &points[last + 1], threshold);
    return TB_METG_FOUND;
}
