/* test_text.c: what taskbench writes for people: numbers, suggestions, the bar. */
#include "tests/support/wt.h"
#include "progress.h"
#include "suggest.h"
#include "units.h"
#include <limits.h>
#include <stdint.h>

static void expect_time(double ns, const char *want)
{
    char out[TB_NUMBER_MAX];
    wt_str_eq(tb_format_time(out, ns), want);
}

Test(units, times_have_three_digits_and_a_unit)
{
    expect_time(0, "0 ns");
    expect_time(1.914, "1.91 ns");
    expect_time(38.42, "38.4 ns");
    expect_time(213.4, "213 ns");
    expect_time(4820, "4.82 us");
    expect_time(1.2e6, "1.20 ms");
    expect_time(3.4e9, "3.40 s");
}

Test(units, a_time_that_rounds_up_takes_the_next_digit_or_unit)
{
    expect_time(9.996, "10.0 ns");
    expect_time(99.96, "100 ns");
    expect_time(999.4, "999 ns");
    expect_time(999.6, "1.00 us");
}

Test(units, a_range_is_in_the_unit_of_the_median)
{
    char out[TB_NUMBER_MAX];
    wt_str_eq(tb_format_range(out, 1.88, 2.034, 1.9), "1.88..2.03");
    wt_str_eq(tb_format_range(out, 900, 12000, 1500), "0.90..12.0");
}

static void expect_count(double value, const char *want)
{
    char out[TB_NUMBER_MAX];
    wt_str_eq(tb_format_count(out, value), want);
}

Test(units, nothing_looks_different_from_very_little)
{
    expect_count(0, "0");
    expect_count(0.0001, "0.00");
    expect_count(0.02, "0.02");
}

Test(units, counts_go_by_thousands)
{
    expect_count(1, "1");
    expect_count(950, "950");
    expect_count(12345, "12.3k");
    expect_count(52.1e6, "52.1M");
    expect_count(3.4e9, "3.40G");
    expect_count(999.7, "1.00k");
}

Test(units, bytes_go_by_1024)
{
    char out[TB_NUMBER_MAX];
    wt_str_eq(tb_format_bytes(out, 512), "512");
    wt_str_eq(tb_format_bytes(out, 12 * 1024), "12.0K");
    wt_str_eq(tb_format_bytes(out, UINT64_C(998) << 20), "998M");
    wt_str_eq(tb_format_bytes(out, UINT64_C(5) << 30), "5.00G");
}

/* --- suggestions ------------------------------------------------------------------------------ */

Test(suggest, distance_counts_single_mistakes)
{
    wt_eq(tb_edit_distance("fib", "fib"), 0u);
    wt_eq(tb_edit_distance("fbi", "fib"), 1u);
    wt_eq(tb_edit_distance("sapwn", "spawn"), 1u);
    wt_eq(tb_edit_distance("spwn", "spawn"), 1u);
    wt_eq(tb_edit_distance("", "abc"), 3u);
    wt_eq(tb_edit_distance("kitten", "sitting"), 3u);
}

Test(suggest, names_too_long_to_compare_are_infinitely_far)
{
    wt_eq(tb_edit_distance("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a"), UINT_MAX);
}

Test(suggest, the_nearest_of_all_candidates_is_offered)
{
    struct tb_suggest s = tb_suggest_for("yeild");
    tb_suggest_try(&s, "field");
    tb_suggest_try(&s, "yield");
    tb_suggest_try(&s, "storm");
    char hint[TB_HINT_MAX];
    wt_str_eq(tb_suggest_hint(&s, hint), " (did you mean 'yield'?)");
}

Test(suggest, nothing_near_gives_no_hint)
{
    struct tb_suggest s = tb_suggest_for("xy");
    tb_suggest_try(&s, "fib");
    char hint[TB_HINT_MAX];
    wt_str_eq(tb_suggest_hint(&s, hint), "");
}

/* --- the bar ---------------------------------------------------------------------------------- */

static const struct tb_load bar_load = {.name = "yield/1000"};

static struct tb_row bar_row(void)
{
    return (struct tb_row){.load = &bar_load, .workers = 2, .samples_n = 1, .ns_per_op = {38.4}};
}

Test(bar, says_how_far_how_long_and_what_now)
{
    struct tb_progress p = {.width = 80, .rows = 44, .done = 11};
    struct tb_row row = bar_row();
    char out[TB_BAR_MAX];
    tb_progress_format(&p, 0.25, 41.3, &row, out);
    wt_str_eq(out, "[######..................]  25%  11/44  ETA 0:41  yield/1000 2w 38.4 ns");
}

Test(bar, before_anything_is_known_there_is_no_estimate)
{
    struct tb_progress p = {.width = 80, .rows = 44, .done = 0};
    struct tb_row row = bar_row();
    row.samples_n = 0;
    char out[TB_BAR_MAX];
    tb_progress_format(&p, 0, -1, &row, out);
    wt_str_eq(out, "[........................]   0%  0/44  ETA -:--  yield/1000 2w ...");
}

Test(bar, a_narrow_terminal_has_a_shorter_bar_or_none)
{
    struct tb_progress p = {.width = 60, .rows = 44, .done = 11};
    struct tb_row row = bar_row();
    char out[TB_BAR_MAX];
    tb_progress_format(&p, 0.25, 41.3, &row, out);
    wt_str_eq(out, "[###..........]  25%  11/44  ETA 0:41  yield/1000 2w 38.4 ns");
    p.width = 30;
    tb_progress_format(&p, 0.25, 41.3, &row, out);
    wt_str_eq(out, "25%  11/44  ETA 0:41  yield/10");
}

/* Columns of UTF-8 text: bytes that begin a character. */
static size_t columns(const char *text)
{
    size_t n = 0;
    for (; *text; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

Test(bar, never_exceeds_the_terminal_in_ascii_and_in_unicode)
{
    struct tb_row row = bar_row();
    char out[TB_BAR_MAX];
    for (int width = 20; width <= 80; width++) {
        for (int part = 0; part <= 200; part++) {
            struct tb_progress p = {.width = width, .rows = 44, .done = 43, .unicode = part % 2};
            tb_progress_format(&p, part / 200.0, 36000, &row, out);
            wt_le(columns(out), (size_t)width, "width %d, fraction %d/200: %s", width, part, out);
        }
    }
}
