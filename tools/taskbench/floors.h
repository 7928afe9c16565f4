/* floors.h: what each workload differs from itself, measured by `taskbench calibrate` and kept in a
 * file (schema weft.taskbench.floors/1): no difference below it means anything on that machine. */
#ifndef TB_FLOORS_H
#define TB_FLOORS_H

#include "ab.h"
#include <time.h>

struct tb_floors {
    char key[128]; /* of the machine */
    struct {
        char workload[32];
        int workers;
        double floor; /* relative */
    } rows[TB_AB_ROWS_MAX];
    int rows_n;
    char error[200];
};

/* 0; a negative code with `error` set. */
int tb_floors_load(struct tb_floors *floors, const char *path);

/* The floor of a row; NAN: there is none. */
double tb_floors_of(const struct tb_floors *floors, const char *workload, int workers);

/* Of rows in which a build was measured against itself. 0 or -errno. */
int tb_floors_save(const char *path, const char *key, const struct tb_ab_row *rows, int n);

/* What a row of a build against itself says of the floor: how far the interval reaches from 1. */
double tb_floor_of_row(const struct tb_ab_row *row);

#endif
