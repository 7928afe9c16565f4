/* cmd_metg.c: `taskbench metg`: how small tasks may be, pattern by pattern. Grains are taken in a new random
 * order in each repetition, and compared within it, so that a machine that changes its speed does not bend
 * the curve. */
#include "child.h"
#include "clock.h"
#include "command.h"
#include "exit.h"
#include "metg.h"
#include "sheet.h"
#include "suggest.h"
#include "usage.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <weft/debug.h>

const char tb_metg_details[] =
    "The smallest task that pays, METG(50 %), by the rules of Task Bench: graphs in\n"
    "which each task needs results of others (and checks them), and works for 1, 2, 4\n"
    "... iterations. PATTERN is trivial, no_comm, stencil_1d, stencil_1d_periodic, dom,\n"
    "tree, fft, all_to_all, nearest, spread or random_nearest; without any, all.\n"
    "\n"
    "  --workers N   as many as there are CPUs, without it\n"
    "  --width N     points of a row, 1 to 64 (as many as workers)\n"
    "  --steps N     rows of a graph (1000)\n"
    "  --reps N      of every grain (5), the grains in random order\n"
    "  --seed N      of that order, and of random_nearest (1)\n" TB_SHEET_HELP "\n"
    "time/op is METG(50 %), a sample for each repetition. A sweep without a grain below\n"
    "50 %, or with one above 150 %, is refused: check is 'skip'.\n"
    "\n"
    "Exit codes: as 'taskbench run'; 5 also: a task had not the results that it needs.\n";

#define THRESHOLD 0.5
#define REPS_MAX  100
#define LARGEST_NS \
    100000 /* own work of the largest grain, at least: overheads are a hundredth of it */

struct session {
    struct tb_sheet sheet;
    struct tb_words words;
    struct tb_graph graph; /* options */
    uint64_t workers, width, steps, reps;
    weft_rt *rt;
    size_t grains; /* 1, 2, 4 ... iterations */
    uint64_t random;
    /* of one pattern */
    double ns[REPS_MAX][TB_METG_GRAINS_MAX]; /* elapsed */
    double curve[TB_METG_GRAINS_MAX][2];
};

static int complain(int code, const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return code;
}

/* --- the command line ------------------------------------------------------------------------- */

static int parse(struct session *s, int argc, char **argv)
{
    const struct tb_opt table[] = {
        {.name = "--workers",
         .kind = TB_OPT_COUNT,
         .value = &s->workers,
         .least = 1,
         .most = TB_METG_WIDTH_MAX},
        {.name = "--width",
         .kind = TB_OPT_COUNT,
         .value = &s->width,
         .least = 1,
         .most = TB_METG_WIDTH_MAX},
        {.name = "--steps",
         .kind = TB_OPT_COUNT,
         .value = &s->steps,
         .least = 2,
         .most = TB_METG_STEPS_MAX},
        {.name = "--reps", .kind = TB_OPT_COUNT, .value = &s->reps, .least = 1, .most = REPS_MAX},
        {.name = "--seed", .kind = TB_OPT_COUNT, .value = &s->sheet.args.seed, .most = 9e15},
        TB_SHEET_OPTS(&s->sheet),
        {.name = NULL},
    };
    s->steps = 1000;
    s->reps = 5;
    return tb_sheet_parse(&s->sheet, table, argc, argv, &s->words);
}

static int refuse_pattern(const char *name)
{
    struct tb_suggest suggest = tb_suggest_for(name);
    char hint[TB_HINT_MAX], text[160];
    for (int i = 0; tb_metg_patterns[i]; i++) {
        tb_suggest_try(&suggest, tb_metg_patterns[i]);
    }
    snprintf(text, sizeof text, "metg has no pattern '%.40s'%s", name,
             tb_suggest_hint(&suggest, hint));
    return complain(TB_EXIT_USAGE, text);
}

static int check(struct session *s)
{
    for (int i = 0; i < s->words.n; i++) {
        if (tb_choice_of(tb_metg_patterns, s->words.at[i]) < 0) {
            return refuse_pattern(s->words.at[i]);
        }
    }
    int cpus =
        s->sheet.machine.cpus < TB_METG_WIDTH_MAX ? s->sheet.machine.cpus : TB_METG_WIDTH_MAX;
    s->workers = s->workers ? s->workers : (uint64_t)cpus;
    s->width = s->width ? s->width : s->workers;
    s->graph = (struct tb_graph){
        .width = (uint32_t)s->width, .steps = (uint32_t)s->steps, .seed = s->sheet.args.seed};
    s->random = (s->sheet.args.seed + 1) * 0x9e3779b97f4a7c15;
    return 0;
}

/* --- a sweep ---------------------------------------------------------------------------------- */

/* The power of two whose work takes LARGEST_NS: the least of a few looks, for others disturb. */
static size_t count_grains(void)
{
    volatile double sink;
    for (size_t grains = 1; grains < TB_METG_GRAINS_MAX; grains++) {
        uint64_t least = UINT64_MAX;
        for (int look = 0; look < 3; look++) {
            uint64_t start = tb_now_ns();
            sink = tb_metg_kernel(UINT64_C(1) << (grains - 1), 0);
            uint64_t ns = tb_now_ns() - start;
            least = ns < least ? ns : least;
        }
        if (least >= LARGEST_NS) {
            return grains;
        }
    }
    (void)sink;
    return TB_METG_GRAINS_MAX;
}

static void shuffle(struct session *s, size_t order[TB_METG_GRAINS_MAX])
{
    for (size_t i = 0; i < s->grains; i++) {
        order[i] = i;
    }
    for (size_t i = s->grains; i > 1; i--) {
        s->random ^= s->random >> 12;
        s->random ^= s->random << 25;
        s->random ^= s->random >> 27;
        size_t other = (size_t)(s->random * 0x2545f4914f6cdd1d % i), kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

static void fail(struct tb_row *row, enum tb_status status, const char *reason)
{
    row->status = status;
    snprintf(row->reason, sizeof row->reason, "%s", reason);
}

/* false: it failed, or was interrupted. */
static bool run_rep(struct session *s, struct tb_row *row, const struct tb_graph *graph, size_t rep)
{
    size_t order[TB_METG_GRAINS_MAX];
    shuffle(s, order);
    for (size_t i = 0; i < s->grains; i++) {
        uint64_t elapsed;
        int rc = tb_graph_run(s->rt, graph, UINT64_C(1) << order[i], &elapsed);
        if (rc < 0) {
            fail(row, TB_ROW_WRONG,
                 rc == -EBADMSG ? "a task did not get the results that it needs" : strerror(-rc));
            return false;
        }
        s->ns[rep][order[i]] = (double)elapsed;
        if (tb_interrupted()) {
            return false;
        }
        double done = (double)(rep * s->grains + i + 1) / (double)(s->reps * s->grains);
        tb_progress_part(&s->sheet.progress, row, done);
    }
    return true;
}

/* The points of one repetition, largest grain first, against that grain in the same repetition. */
static void points_of(const struct session *s, size_t rep, struct tb_metg_point *out)
{
    double tasks = (double)(s->width * s->steps), peak = s->ns[rep][s->grains - 1];
    for (size_t i = 0; i < s->grains; i++) {
        size_t grain = s->grains - 1 - i;
        double ns = s->ns[rep][grain], work = ldexp(1, -(int)i); /* part of the largest grain's */
        out[i].grain_ns = ns / tasks * (double)s->workers;
        out[i].efficiency = work * peak / ns;
    }
}

/* Medians over the repetitions, point by point. */
static void median_points(const struct session *s, size_t reps, struct tb_metg_point *out)
{
    struct tb_metg_point points[TB_METG_GRAINS_MAX];
    double grain[TB_METG_GRAINS_MAX][REPS_MAX], part[TB_METG_GRAINS_MAX][REPS_MAX];
    for (size_t rep = 0; rep < reps; rep++) {
        points_of(s, rep, points);
        for (size_t i = 0; i < s->grains; i++) {
            grain[i][rep] = points[i].grain_ns;
            part[i][rep] = points[i].efficiency;
        }
    }
    for (size_t i = 0; i < s->grains; i++) {
        out[i].grain_ns = tb_quantile(grain[i], reps, 0.5);
        out[i].efficiency = tb_quantile(part[i], reps, 0.5);
    }
}

/* --- a row ------------------------------------------------------------------------------------ */

static const char *const refusals[] = {
    [TB_METG_NONE_BELOW] = "no grain is below 50 % efficiency: METG is smaller than the smallest",
    [TB_METG_NONE_ABOVE] = "no grain has 50 % efficiency",
    [TB_METG_ABSURD] = "an efficiency above 150 %: the largest grain was disturbed",
};

static void put_metric(struct tb_row *row, const char *name, const char *unit, double value)
{
    struct tb_metric *m = &row->metrics[row->metrics_n++];
    snprintf(m->name, sizeof m->name, "%s", name);
    snprintf(m->unit, sizeof m->unit, "%s", unit);
    m->value = value;
}

static void put_curve(struct session *s, struct tb_row *row, const struct tb_metg_point *points)
{
    for (size_t i = 0; i < s->grains; i++) {
        s->curve[i][0] = points[s->grains - 1 - i].grain_ns;
        s->curve[i][1] = points[s->grains - 1 - i].efficiency;
    }
    row->curve = (struct tb_curve){"efficiency", "ns per task", "efficiency", s->curve, s->grains};
}

/* Each repetition's METG is a sample; one that has none is not, and `metg` is what counts. */
static void put_samples(const struct session *s, struct tb_row *row, size_t reps, double metg)
{
    struct tb_metg_point points[TB_METG_GRAINS_MAX];
    for (size_t rep = 0; rep < reps; rep++) {
        double ns;
        points_of(s, rep, points);
        if (tb_metg_find(points, s->grains, THRESHOLD, &ns) == TB_METG_FOUND) {
            row->ns_per_op[row->samples_n++] = ns;
        }
    }
    if (row->samples_n == 0) {
        row->ns_per_op[row->samples_n++] = metg;
    }
}

static void sum_up(struct session *s, struct tb_row *row, size_t reps)
{
    struct tb_metg_point points[TB_METG_GRAINS_MAX];
    double metg = 0;
    median_points(s, reps, points);
    put_curve(s, row, points);
    enum tb_metg_end end = tb_metg_find(points, s->grains, THRESHOLD, &metg);
    if (end != TB_METG_FOUND) {
        fail(row, TB_ROW_SKIPPED, refusals[end]);
        return;
    }
    put_samples(s, row, reps, metg);
    row->ops_per_sample = row->counted_ops = s->width * s->steps;
    snprintf(row->uncounted, sizeof row->uncounted, "metg does not count; 'run spawn' does");
    put_metric(row, "metg_50%", "ns", metg);
    put_metric(row, "smallest_task", "ns", points[s->grains - 1].grain_ns);
    put_metric(row, "largest_task", "ns", points[0].grain_ns);
}

/* The table that a row points to: all of it is the row's but the name. */
static const struct tb_load *load_of(int pattern)
{
    static char names[16][32];
    static struct tb_load loads[16];
    snprintf(names[pattern], sizeof names[0], "metg/%s", tb_metg_patterns[pattern]);
    loads[pattern] =
        (struct tb_load){.name = names[pattern],
                         .group = "metg",
                         .op = "task",
                         .params = {{.key = "width"}, {.key = "steps"}, {.key = NULL}}};
    return &loads[pattern];
}

static void measure_row(struct session *s, int pattern)
{
    static struct tb_row row; /* too large for the stack */
    struct tb_graph graph = s->graph;
    struct tb_usage usage;
    size_t reps = 0;
    graph.pattern = pattern;
    row = (struct tb_row){.load = load_of(pattern),
                          .workers = (int)s->workers,
                          .seed = graph.seed,
                          .params = {s->width, s->steps},
                          .line_ns = -1};
    tb_progress_row(&s->sheet.progress);
    uint64_t warm;
    tb_graph_run(s->rt, &graph, 1, &warm);
    while (reps < s->reps && run_rep(s, &row, &graph, reps)) {
        reps++;
    }
    if (row.status == TB_ROW_OK && reps > 0) {
        sum_up(s, &row, reps);
    }
    tb_usage_get(&usage);
    row.rss_max_bytes = usage.rss_max_bytes;
    if (reps > 0 ||
        row.status != TB_ROW_OK) { /* else it was interrupted before there was anything */
        tb_row_finish(&row);
        tb_sheet_row(&s->sheet, &row);
    }
}

static int count_patterns(void)
{
    int n = 0;
    while (tb_metg_patterns[n]) {
        n++;
    }
    return n;
}

static int run(struct session *s)
{
    int rows = s->words.n ? s->words.n : count_patterns();
    weft_rt_opts opts = {.workers = (int)s->workers};
    int rc = tb_sheet_open(&s->sheet, rows);
    if (rc) {
        return rc;
    }
    rc = weft_rt_start(&s->rt, &opts);
    if (rc < 0) {
        return complain(TB_EXIT_NOTHING, strerror(-rc));
    }
    s->grains = count_grains();
    for (int i = 0; i < rows && !tb_interrupted(); i++) {
        measure_row(s, s->words.n ? tb_choice_of(tb_metg_patterns, s->words.at[i]) : i);
    }
    if (weft_rt_stop(s->rt, WEFT_SEC(5), WEFT_SEC(5)) == 0) {
        weft_rt_free(s->rt);
    }
    return tb_sheet_close(&s->sheet);
}

int tb_cmd_metg(int argc, char **argv)
{
    static struct session s = {.sheet = {.command = "metg"}};
    int rc = parse(&s, argc, argv);
    if (rc < 0) {
        return -1 - rc;
    }
    tb_machine_get(&s.sheet.machine);
    rc = check(&s);
    return rc ? rc : run(&s);
}
