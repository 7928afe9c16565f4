/* metg.h: the smallest task that pays: METG(50 %), by the rules of Task Bench (Slaughter et al.,
 * SC20; its scripts/chart_metg.py).
 *
 * Terms. *graph*: `steps` rows of `width` points; every point is a task that needs the results of
 * some points of the row before, as a *pattern* says, and then runs a kernel of so many
 * *iterations*. *grain*: the time per task, elapsed / tasks * workers. *efficiency*: iterations per
 * second against those at the largest grain. METG(50 %): the smallest grain at which efficiency is
 * still half, between the two grains around it in a straight line.
 *
 * What is refused, as upstream does: a sweep in which no grain lies below the threshold (it could
 * be smaller still), and one with an efficiency above 150 % (the largest grain was disturbed, so
 * nothing is known).
 *
 * Busy machines. A graph that takes 100 ms is always disturbed there, one that takes 1 ms seldom:
 * small grains would look better than they are. So a run is timed in *parts* of a millisecond or
 * more. A part is dirty if a thread of the process was switched out during it, or during one of the
 * two before: until it is back the others wait for it, and then have a lead. The speed of a grain
 * is that of its clean parts, as long as half a run of them is there for every grain. Else all
 * grains are timed by CPU, dirty parts and all: what others took is not in that, nor, alas, what
 * the workers waited for each other. */
#ifndef TB_METG_H
#define TB_METG_H

#include "infer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/task.h>

#define TB_METG_WIDTH_MAX  64
#define TB_METG_STEPS_MAX  100000
#define TB_METG_GRAINS_MAX 24 /* iterations 1, 2, 4 ... */
#define TB_METG_RADIX      5  /* of nearest, spread and random_nearest */
#define TB_METG_LAG        64 /* rows that may be under way */
#define TB_METG_PARTS_MAX  512
#define TB_METG_REPS_MAX   100

/* --- graphs ----------------------------------------------------------------------------------- */

/* Ended by NULL; a pattern is its index. */
extern const char *const tb_metg_patterns[];

struct tb_graph {
    int pattern;
    uint32_t width, steps;
    uint64_t seed; /* of random_nearest */
};

/* The points of row `step` - 1 that this point needs, each below graph->width and once, in `out`;
 * how many. Row 0 needs none. */
uint32_t tb_graph_inputs(const struct tb_graph *graph, uint32_t step, uint32_t point,
                         uint32_t out[TB_METG_WIDTH_MAX]);

/* How long a graph took, in parts that follow each other without a gap. */
struct tb_graph_part {
    uint32_t rows;       /* that ended in it */
    uint64_t ns, cpu_ns; /* elapsed; of CPU, all threads of the process */
    uint64_t switches;   /* involuntary, of all threads of the process */
};

struct tb_graph_time {
    struct tb_graph_part parts[TB_METG_PARTS_MAX]; /* the last one is as long as it has to be */
    int n;
};

/* Runs the whole graph in a runtime, a task per point, with so many iterations of the kernel each.
 * 0; -EBADMSG: a task did not get the results that it needs (each is checked); -ENOMEM and others.
 * Not in a task. */
int tb_graph_run(weft_rt *rt, const struct tb_graph *graph, uint64_t iterations,
                 struct tb_graph_time *time);

/* Iterations of the kernel on the calling thread: what a task does. Returns what depends on all of
 * it. */
double tb_metg_kernel(uint64_t iterations, double seed);

/* --- METG ------------------------------------------------------------------------------------- */

struct tb_metg_point {
    double grain_ns, efficiency;
};

enum tb_metg_end {
    TB_METG_FOUND,
    TB_METG_NONE_BELOW, /* every grain is at least as efficient as the threshold */
    TB_METG_NONE_ABOVE, /* none is */
    TB_METG_ABSURD,     /* an efficiency above 150 % */
};

/* What is kept of one run of a graph. Zero is none. */
struct tb_metg_time {
    double rows, cpu_ns;         /* of all parts */
    double clean_rows, clean_ns; /* of the clean ones */
    int parts, dirty;
};

struct tb_metg_time tb_metg_sum(const struct tb_graph_time *time);

/* A sweep: runs[r * grains + g] is repetition r of 2^g iterations; `picked` are n of the
 * repetitions, one perhaps several times. Fills `grains` points, largest grain first. true: by CPU
 * time. */
struct tb_metg_sweep {
    const struct tb_metg_time *runs;
    size_t grains;
    uint32_t width, steps;
    double workers;
};
bool tb_metg_points(const struct tb_metg_sweep *sweep, const size_t *picked, size_t n,
                    struct tb_metg_point *out);

/* The interval that holds METG with a confidence of 95 %: bootstrap over the `reps` repetitions of
 * a sweep, by percentiles of TB_METG_RESAMPLES. Those without an answer count as beyond both ends;
 * if a twentieth of them have none, the interval is infinite. */
#define TB_METG_RESAMPLES 400
struct tb_interval tb_metg_interval(const struct tb_metg_sweep *sweep, size_t reps,
                                    double threshold, uint64_t seed);

/* Of n points, largest grain first. *ns: METG, if it is found. */
enum tb_metg_end tb_metg_find(const struct tb_metg_point *points, size_t n, double threshold,
                              double *ns);

#endif
