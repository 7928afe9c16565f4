/* slope.c: see slope.h. */
#include "slope.h"
#include <math.h>

struct tb_slope tb_slope_of(double (*points)[2], size_t n)
{
    struct tb_slope out = {0};
    double x = 0, y = 0, xx = 0, xy = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        x += points[i][0] / (double)n;
        y += points[i][1] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        xx += (points[i][0] - x) * (points[i][0] - x);
        xy += (points[i][0] - x) * (points[i][1] - y);
    }
    if (xx <= 0) {
        return out;
    }
    out.each = xy / xx;
    out.base = y - out.each * x;
    for (size_t i = 0; i < n; i++) {
        double off = points[i][1] - out.base - out.each * points[i][0];
        squares += off * off;
    }
    out.residual = sqrt(squares / (double)n);
    return out;
}
