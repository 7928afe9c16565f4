/* test_budget.c: budgets and what is held against them (tools/taskbench/budget.h), and what
 * callgrind writes (callgrind.h). */
#include "json_schema.h"
#include "tests/support/wt.h"
#include "budget.h"
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct tb_budgets budgets;

static struct tb_budget *budget_of(const char *load)
{
    budgets = (struct tb_budgets){.build = "here"};
    return tb_budgets_add(&budgets, tb_load_find(load), 1);
}

/* Everything counted, all of it `value`. */
static struct tb_exact_set counted(double value)
{
    struct tb_exact_set exact = {0};
    for (int i = 0; i < TB_EXACTS; i++) {
        exact.value[i] = value;
    }
    return exact;
}

static struct tb_judged judged(const struct tb_budget *budget, const struct tb_exact_set *exact)
{
    struct tb_judged out;
    tb_budget_judge(budget, exact, budgets.build, "here", "uring", &out);
    return out;
}

Test(budget, a_row_without_limits_compares_nothing)
{
    struct tb_exact_set exact = counted(1);
    struct tb_judged j = judged(budget_of("spawn"), &exact);
    wt_eq(j.compared, 0);
    wt_eq(j.exceeded, 0);
    wt_eq(j.not_compared, 0);
}

Test(budget, one_allocation_in_two_thousand_ops_exceeds_none)
{
    struct tb_budget *b = budget_of("spawn");
    struct tb_exact_set exact = counted(1.0 / 2000);
    b->limit[TB_EXACT_ALLOCS] = 0;
    struct tb_judged j = judged(b, &exact);
    wt_eq(j.verdict[TB_EXACT_ALLOCS], TB_EXCEEDED);
    exact = counted(0);
    wt_eq(judged(b, &exact).verdict[TB_EXACT_ALLOCS], TB_WITHIN);
}

Test(budget, three_per_cent_of_instructions_exceed_and_one_does_not)
{
    struct tb_budget *b = budget_of("spawn");
    b->limit[TB_EXACT_INSTRUCTIONS] = 1000;
    struct tb_exact_set one = counted(1010), three = counted(1030), less = counted(960);
    wt_eq(judged(b, &one).verdict[TB_EXACT_INSTRUCTIONS], TB_WITHIN);
    wt_eq(judged(b, &three).verdict[TB_EXACT_INSTRUCTIONS], TB_EXCEEDED);
    wt_eq(judged(b, &less).verdict[TB_EXACT_INSTRUCTIONS], TB_BETTER);
}

Test(budget, an_allowance_is_added_to_the_limit)
{
    struct tb_budget *b = budget_of("spawn");
    b->limit[TB_EXACT_CALLS] = 1;
    b->allow[TB_EXACT_CALLS] = 0.5;
    struct tb_exact_set within = counted(1.5), over = counted(1.6);
    wt_eq(judged(b, &within).verdict[TB_EXACT_CALLS], TB_WITHIN);
    wt_eq(judged(b, &over).verdict[TB_EXACT_CALLS], TB_EXCEEDED);
}

Test(budget, what_was_not_counted_is_not_within)
{
    struct tb_budget *b = budget_of("spawn");
    b->limit[TB_EXACT_ALLOCS] = 0;
    struct tb_exact_set exact = counted(NAN);
    exact.why_not[TB_EXACT_ALLOCS] = "no jemalloc";
    struct tb_judged j = judged(b, &exact);
    wt_eq(j.verdict[TB_EXACT_ALLOCS], TB_NOT_COMPARED);
    wt_str_eq(j.why_not[TB_EXACT_ALLOCS], "no jemalloc");
    wt_eq(j.compared, 0);
}

Test(budget, another_build_and_another_backend_are_not_compared)
{
    struct tb_budget *b = budget_of("spawn");
    struct tb_exact_set exact = counted(0);
    b->limit[TB_EXACT_INSTRUCTIONS] = 100;
    b->limit[TB_EXACT_CALLS] = 1;
    strcpy(b->io, "epoll");
    strcpy(budgets.build, "elsewhere");
    struct tb_judged j = judged(b, &exact);
    wt_eq(j.verdict[TB_EXACT_INSTRUCTIONS], TB_NOT_COMPARED);
    wt_eq(j.verdict[TB_EXACT_CALLS], TB_NOT_COMPARED);
    wt_eq(j.not_compared, 2);
}

Test(budget, an_update_keeps_what_a_row_does_not_limit)
{
    struct tb_budget *b = budget_of("spawn");
    struct tb_instructions none = {0};
    struct tb_exact_set exact = counted(3);
    b->limit[TB_EXACT_ALLOCS] = 1;
    tb_budget_take(b, &exact, &none, "uring");
    wt_eq(b->limit[TB_EXACT_ALLOCS], 3.0);
    wt_true(isnan(b->limit[TB_EXACT_CALLS]));

    b = budget_of("spawn"); /* a new row takes all */
    tb_budget_take(b, &exact, &none, "uring");
    wt_eq(b->limit[TB_EXACT_CALLS], 3.0);
    wt_str_eq(b->io, "uring");
}

Test(budget, a_file_comes_back_as_it_was_written)
{
    char path[] = "/tmp/test_budget-XXXXXX";
    static struct tb_budgets back;
    struct tb_budget *b = budget_of("storm");
    close(mkstemp(path));
    b->workers = 2;
    b->params[0] = 5000;
    b->rounds = 3;
    b->limit[TB_EXACT_ALLOCS] = 0;
    b->limit[TB_EXACT_CALLS] = 1.25;
    b->allow[TB_EXACT_CALLS] = 2;
    strcpy(b->io, "uring");
    b->functions[0] = (struct tb_function){"weft_go_", 41.5};
    b->functions_n = 1;
    wt_eq(tb_budgets_save(&budgets, path), 0);
    wt_eq(tb_budgets_load(&back, path), 0, "%s", back.error);
    unlink(path);
    const struct tb_budget *r = &back.rows[0];
    wt_eq(back.rows_n, 1);
    wt_str_eq(back.build, "here");
    wt_str_eq(r->load->name, "storm");
    wt_eq(r->workers, 2);
    wt_eq(r->params[0], 5000u);
    wt_eq(r->rounds, 3u);
    wt_eq(r->limit[TB_EXACT_ALLOCS], 0.0);
    wt_eq(r->limit[TB_EXACT_CALLS], 1.25);
    wt_true(isnan(r->limit[TB_EXACT_BYTES]));
    wt_eq(r->allow[TB_EXACT_CALLS], 2.0);
    wt_str_eq(r->io, "uring");
    wt_eq(r->functions_n, 1);
    wt_str_eq(r->functions[0].name, "weft_go_");
}

static char *text_of(const char *path)
{
    FILE *file = fopen(path, "re");
    wt_true(file != NULL, "%s", path);
    char *text = calloc(1, 1 << 18);
    wt_lt(fread(text, 1, (1 << 18) - 1, file), (size_t)(1 << 18) - 1);
    fclose(file);
    return text;
}

Test(budget, our_own_file_is_as_its_schema_says)
{
    static struct tb_budgets ours;
    char *schema = text_of(TASKBENCH_BENCH "/schema/taskbench-budgets-1.json");
    char *text = text_of(TASKBENCH_BENCH "/budgets.json");
    struct schema_check check = {.root = json_read(schema)};
    const struct json *file = json_read(text);
    wt_true(check.root != NULL && file != NULL);
    wt_true(schema_holds(&check, check.root, file, ""), "%s", check.error);
    wt_eq(tb_budgets_load(&ours, TASKBENCH_BENCH "/budgets.json"), 0, "%s", ours.error);
    wt_ge(ours.rows_n, 30);
    free(schema);
    free(text);
}

/* --- callgrind's output ----------------------------------------------------------------------- */

static struct tb_instructions read_output(const char *text, int want)
{
    static struct tb_instructions out;
    FILE *file = fmemopen((char *)(uintptr_t)text, strlen(text), "r");
    wt_eq(tb_callgrind_read(file, &out), want);
    fclose(file);
    return out;
}

/* The shape of its manual's example: a call's cost belongs to the callee's own lines. */
static const char output[] = "version: 1\n"
                             "events: Ir\n"
                             "fl=(1) a.c\n"
                             "fn=(1) main\n"
                             "16 20\n"
                             "cfn=(2) work\n"
                             "calls=2 50\n"
                             "16 800\n"
                             "+3 5\n"
                             "fn=(2)\n"
                             "51 700\n"
                             "* 100\n"
                             "totals: 825\n";

Test(callgrind, a_function_has_its_own_cost_and_not_that_of_its_calls)
{
    struct tb_instructions i = read_output(output, 0);
    wt_eq(i.per_op, 825.0);
    wt_eq(i.functions_n, 2);
    wt_str_eq(i.functions[0].name, "work");
    wt_eq(i.functions[0].instructions, 800.0);
    wt_str_eq(i.functions[1].name, "main");
    wt_eq(i.functions[1].instructions, 25.0);
}

Test(callgrind, something_else_is_refused)
{
    read_output("hello\nfn=(x) y\nfn=(999999) z\n1 2\ncalls=\n", -EPROTO);
}

Test(budget, growth_is_named_by_function_worst_first)
{
    struct tb_budget *b = budget_of("spawn");
    struct tb_function grown[TB_FUNCTIONS_MAX];
    struct tb_instructions now = {.functions = {{"a", 50}, {"b", 40}, {"new", 7}, {"0.00", 0.004}},
                                  .functions_n = 4};
    b->functions[0] = (struct tb_function){"a", 48};
    b->functions[1] = (struct tb_function){"b", 41};
    b->functions_n = 2;
    wt_eq(tb_callgrind_growth(b->functions, b->functions_n, &now, grown), 2);
    wt_str_eq(grown[0].name, "new");
    wt_eq(grown[0].instructions, 7.0);
    wt_str_eq(grown[1].name, "a");
    wt_eq(grown[1].instructions, 2.0);
}

/* --- whatever it is given --------------------------------------------------------------------- */

/* xorshift: what a seed repeats. */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* `text` cut, and some bytes of it replaced. */
static size_t disturb(char *text, size_t n, const char *letters, uint32_t *state)
{
    n = next_random(state) % (n + 1);
    for (uint32_t i = next_random(state) % 5; i > 0 && n > 0; i--) {
        text[next_random(state) % n] = letters[next_random(state) % strlen(letters)];
    }
    return n;
}

Test(callgrind, any_output_is_read_or_refused)
{
    uint32_t state = 88172645u;
    for (int round = 0; round < 3000; round++) {
        char text[sizeof output];
        struct tb_instructions out;
        memcpy(text, output, sizeof output);
        size_t n = disturb(text, sizeof output - 1, "fn=()0123456789 -+*\nc:tals\xff", &state);
        FILE *file = fmemopen(text, n ? n : 1, "r");
        int rc = tb_callgrind_read(file, &out);
        fclose(file);
        wt_true(rc == 0 || rc == -EPROTO);
        wt_le(out.functions_n, TB_FUNCTIONS_MAX);
    }
}

Test(budget, any_file_is_read_or_refused)
{
    static const char seedling[] =
        "{\"schema\":\"weft.taskbench.budgets/"
        "1\",\"build\":\"b\",\"rows\":[{\"workload\":\"storm\","
        "\"workers\":1,\"params\":{\"tasks\":5},\"limits\":{\"allocs_per_op\":0},\"allow\":{},"
        "\"functions\":{\"f\":1.5}}]}";
    static struct tb_budgets back;
    char path[] = "/tmp/test_budget-XXXXXX";
    int fd = mkstemp(path);
    uint32_t state = 521288629u;
    for (int round = 0; round < 2000; round++) {
        char text[sizeof seedling];
        memcpy(text, seedling, sizeof seedling);
        size_t n = disturb(text, sizeof seedling - 1, "{}[]\",:0159-x", &state);
        wt_eq(ftruncate(fd, 0), 0);
        wt_eq(pwrite(fd, text, n, 0), (ssize_t)n);
        int rc = tb_budgets_load(&back, path);
        wt_true(rc == 0 || back.error[0] != '\0');
    }
    close(fd);
    unlink(path);
}
