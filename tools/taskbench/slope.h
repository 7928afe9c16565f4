/* slope.h: a straight line through points, by least squares. */
#ifndef TB_SLOPE_H
#define TB_SLOPE_H

#include <stddef.h>

struct tb_slope {
    double each;     /* the line's slope */
    double base;     /* its value at 0 */
    double residual; /* root mean square of what the points differ from it */
};

/* Through n points (x, y), n >= 1. With fewer than two different x: all zero. */
struct tb_slope tb_slope_of(double (*points)[2], size_t n);

#endif
