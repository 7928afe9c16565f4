/* metg.h: the smallest task that pays: METG(50 %), by the rules of Task Bench (Slaughter et al., SC20; its
 * scripts/chart_metg.py).
 *
 * Terms. *graph*: `steps` rows of `width` points; every point is a task that needs the results of some points
 * of the row before, as a *pattern* says, and then runs a kernel of so many *iterations*. *grain*: the time
 * per task, elapsed / tasks * workers. *efficiency*: iterations per second against those at the largest
 * grain. METG(50 %): the smallest grain at which efficiency is still half, between the two grains around it
 * in a straight line.
 *
 * What is refused, as upstream does: a sweep in which no grain lies below the threshold (it could be smaller
 * still), and one with an efficiency above 150 % (the largest grain was disturbed, so nothing is known). */
#ifndef TB_METG_H
#define TB_METG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/task.h>

#define TB_METG_WIDTH_MAX  64
#define TB_METG_STEPS_MAX  100000
#define TB_METG_GRAINS_MAX 24 /* iterations 1, 2, 4 ... */
#define TB_METG_RADIX      5  /* of nearest, spread and random_nearest */
#define TB_METG_LAG        64 /* rows that may be under way */

/* --- graphs ----------------------------------------------------------------------------------- */

/* Ended by NULL; a pattern is its index. */
extern const char *const tb_metg_patterns[];

struct tb_graph {
    int pattern;
    uint32_t width, steps;
    uint64_t seed; /* of random_nearest */
};

/* The points of row `step` - 1 that this point needs, each below graph->width and once, in `out`; how many.
 * Row 0 needs none. */
uint32_t tb_graph_inputs(const struct tb_graph *graph, uint32_t step, uint32_t point,
                         uint32_t out[TB_METG_WIDTH_MAX]);

/* Runs the whole graph in a runtime, a task per point, with so many iterations of the kernel each. *elapsed_ns:
 * how long. 0; -EBADMSG: a task did not get the results that it needs (each is checked); -ENOMEM and
 * others. Not in a task. */
int tb_graph_run(weft_rt *rt, const struct tb_graph *graph, uint64_t iterations,
                 uint64_t *elapsed_ns);

/* Iterations of the kernel on the calling thread: what a task does. Returns what depends on all of it. */
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

/* Of n points, largest grain first. *ns: METG, if it is found. */
enum tb_metg_end tb_metg_find(const struct tb_metg_point *points, size_t n, double threshold,
                              double *ns);

#endif
