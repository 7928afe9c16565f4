/* test_slope.c: lines through points (tools/taskbench/slope.h). */
#include "tests/support/wt.h"
#include "slope.h"
#include <math.h>

Test(slope, points_on_a_line_give_it_back_without_a_residual)
{
    double points[][2] = {{1, 112}, {2, 212}, {4, 412}, {5, 512}};
    struct tb_slope s = tb_slope_of(points, 4);
    wt_true(fabs(s.each - 100) < 1e-9);
    wt_true(fabs(s.base - 12) < 1e-9);
    wt_true(s.residual < 1e-9);
}

Test(slope, the_residual_is_what_the_points_differ_from_the_line)
{
    double points[][2] = {{0, 1}, {1, -1}, {2, -1}, {3, 1}};
    struct tb_slope s = tb_slope_of(points, 4);
    wt_true(fabs(s.each) < 1e-9);
    wt_true(fabs(s.residual - 1) < 1e-9);
}

Test(slope, one_place_has_no_slope)
{
    double points[][2] = {{3, 1}, {3, 2}};
    wt_true(tb_slope_of(points, 2).each == 0);
}
