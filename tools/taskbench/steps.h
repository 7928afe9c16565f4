/* steps.h: finds where a series of figures, one per run, changed its level.
 *
 * Method. The series is fitted with a function that is constant between steps, so that the sum of
 * absolute deviations plus a price per step is least (the L1 Potts functional; found exactly, by
 * dynamic programming over all ways to cut the series). Levels are medians, so that a single
 * outlier moves none. The price grows with the noise, which is estimated from differences of
 * neighbours, where a step counts once: 4 * noise * ln(n). Figures are taken as logarithms: a step
 * of 10 % is the same at any level.
 *
 * What it cannot see: a step of which there are fewer than TB_STEP_RUNS_MIN runs, or one that is
 * small against the noise (steps of three times the noise are found from about six runs on; the
 * tests have figures). A machine that changes its speed for a day looks the same as a program that
 * does. */
#ifndef TB_STEPS_H
#define TB_STEPS_H

#include <stddef.h>

#define TB_STEP_RUNS_MAX 200 /* a longer series is cut at its front by the caller */
#define TB_STEP_RUNS_MIN 3   /* of a level */

/* Runs from `start` to the next level's, at about `level`. */
struct tb_level {
    size_t start;
    double level; /* median */
};

/* n values above zero, oldest first. The levels, at least one, into `out`; how many. 0: n is 0 or
 * above TB_STEP_RUNS_MAX, or a value is not above zero. One level: there is no step. */
size_t tb_steps_find(const double *values, size_t n, struct tb_level out[TB_STEP_RUNS_MAX]);

#endif
