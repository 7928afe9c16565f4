/* cmd_metg.c: `taskbench metg`: how small tasks may be, pattern by pattern. Grains are taken in a
 * new random order in each repetition, and compared within it, so that a machine that changes its
 * speed does not bend the curve. */
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
    "... iterations. PATTERN is trivial, no_comm, stencil_1d, stencil_1d_periodic,\n"
    "dom, tree, fft, all_to_all, nearest, spread or random_nearest; without any, all.\n"
    "\n"
    "  --workers N   as many as there are CPUs, without it\n"
    "  --width N     points of a row, 1 to 64 (as many as workers)\n"
    "  --steps N     rows of a graph (1000)\n"
    "  --reps N      of every grain, the grains in random order (5, and up to 20\n"
    "                while the answer is uncertain)\n"
    "  --seed N      of that order, and of random_nearest (1)\n" TB_SHEET_HELP "\n"
    "The answer is metg_50%, of all repetitions together, with the interval that\n"
    "holds it (95 %); time/op is the median of those that have an answer by\n"
    "themselves. Parts of a run during which others had the CPU are dirty: counted,\n"
    "and left out, as long as there are clean ones of every grain; else the sweeps\n"
    "are by CPU time (sweeps_by_cpu), in which the workers' waiting for each other is\n"
    "not. A sweep without a grain below 50 %, or with one above 150 %, is refused:\n"
    "check is 'skip'.\n"
    "\n"
    "Exit codes: as 'taskbench run'; 5 also: a task had not the results that it\n"
    "needs.\n";

#define THRESHOLD 0.5
#define REPS      5
#define REPS_MORE 20   /* at most, unless others were asked for */
#define SURE      0.15 /* half of the interval, as a part of METG: no more repetitions */
/* of a pattern: no more repetitions after that; and if there is no answer at all */
#define MORE_NS UINT64_C(8000000000)
#define TRY_NS  UINT64_C(25000000000)
#define LOOKS   3 /* at the kernel alone */
#define LARGEST_NS \
    100000 /* own work of the largest grain, at least: overheads are a hundredth of it */

struct session {
    struct tb_sheet sheet;
    struct tb_words words;
    struct tb_graph graph;                /* options */
    uint64_t workers, width, steps, reps; /* 0: not given */
    weft_rt *rt;
    size_t grains; /* 1, 2, 4 ... iterations */
    uint64_t random;
    /* of one pattern */
    struct tb_metg_time runs[TB_METG_REPS_MAX * TB_METG_GRAINS_MAX]; /* see tb_metg_sweep */
    struct tb_metg_sweep sweep;
    uint64_t since_ns; /* when its first repetition began */
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
        {.name = "--reps",
         .kind = TB_OPT_COUNT,
         .value = &s->reps,
         .least = 1,
         .most = TB_METG_REPS_MAX},
        {.name = "--seed", .kind = TB_OPT_COUNT, .value = &s->sheet.args.seed, .most = 9e15},
        TB_SHEET_OPTS(&s->sheet),
        {.name = NULL},
    };
    s->steps = 1000;
    return tb_sheet_parse(&s->sheet, table, argc, argv, &s->words);
}

static int refuse_pattern(const char *name)
{
    struct tb_suggest suggest = tb_suggest_for(name);
    char hint[TB_HINT_MAX], text[160];
    for (int i = 0; tb_metg_patterns[i]; i++) {
        tb_suggest_try(&suggest, tb_metg_patterns[i]);
    }
    snprintf(text, sizeof text, "metg has no pattern '%.40s'%s; 'taskbench help metg' shows all",
             name, tb_suggest_hint(&suggest, hint));
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

/* The kernel alone on this thread: the least of a few looks, for others disturb. */
static double time_kernel(size_t grain)
{
    volatile double sink;
    uint64_t least = UINT64_MAX;
    for (int look = 0; look < LOOKS; look++) {
        uint64_t start = tb_now_ns();
        sink = tb_metg_kernel(UINT64_C(1) << grain, 0);
        uint64_t ns = tb_now_ns() - start;
        least = ns < least ? ns : least;
    }
    (void)sink;
    return (double)least;
}

/* The power of two whose work takes LARGEST_NS. */
static size_t count_grains(void)
{
    size_t grains = 1;
    while (grains < TB_METG_GRAINS_MAX && time_kernel(grains - 1) < LARGEST_NS) {
        grains++;
    }
    return grains;
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

/* As far as can be said before repetition `rep` has ended. */
static size_t reps_planned(const struct session *s, size_t rep)
{
    return s->reps ? s->reps : rep < REPS ? REPS : REPS_MORE;
}

/* false: it failed, or was interrupted. */
static bool run_rep(struct session *s, struct tb_row *row, const struct tb_graph *graph, size_t rep)
{
    size_t order[TB_METG_GRAINS_MAX];
    shuffle(s, order);
    for (size_t i = 0; i < s->grains; i++) {
        static struct tb_graph_time time; /* too large for the stack */
        int rc = tb_graph_run(s->rt, graph, UINT64_C(1) << order[i], &time);
        if (rc < 0) {
            fail(row, TB_ROW_WRONG,
                 rc == -EBADMSG ? "a task did not get the results that it needs" : strerror(-rc));
            return false;
        }
        s->runs[rep * s->grains + order[i]] = tb_metg_sum(&time);
        if (tb_interrupted()) {
            return false;
        }
        double done =
            (double)(rep * s->grains + i + 1) / (double)(reps_planned(s, rep) * s->grains);
        tb_progress_part(&s->sheet.progress, row, done);
    }
    return true;
}

/* What all repetitions say together. */
struct answer {
    struct tb_metg_point points[TB_METG_GRAINS_MAX];
    enum tb_metg_end end;
    bool by_cpu; /* see tb_metg_points */
    double metg;
    struct tb_interval interval;
};

static void answer(const struct session *s, size_t reps, struct answer *out)
{
    size_t all[TB_METG_REPS_MAX];
    for (size_t i = 0; i < reps; i++) {
        all[i] = i;
    }
    out->by_cpu = tb_metg_points(&s->sweep, all, reps, out->points);
    out->end = tb_metg_find(out->points, s->grains, THRESHOLD, &out->metg);
    out->interval = tb_metg_interval(&s->sweep, reps, THRESHOLD, s->sheet.args.seed);
}

/* Enough repetitions? As many as were asked for; else until the answer is sure, within bounds. */
static bool enough(const struct session *s, size_t reps)
{
    struct answer now;
    size_t least = s->reps ? s->reps : REPS, most = s->reps ? s->reps : REPS_MORE;
    if (reps < least || reps >= most) {
        return reps >= most;
    }
    answer(s, reps, &now);
    uint64_t spent_ns = tb_now_ns() - s->since_ns;
    if (now.end != TB_METG_FOUND) {
        return spent_ns > TRY_NS;
    }
    return spent_ns > MORE_NS || now.interval.high - now.interval.low <= 2 * SURE * now.metg;
}

/* --- a row ------------------------------------------------------------------------------------ */

static const char *const refusals[] = {
    [TB_METG_NONE_BELOW] = "no grain is below 50 % efficiency: METG is smaller than the smallest",
    [TB_METG_NONE_ABOVE] = "no grain has 50 % efficiency",
    [TB_METG_ABSURD] = "an efficiency above 150 %: the largest grain was disturbed",
};

static void put_curve(struct session *s, struct tb_row *row, const struct tb_metg_point *points)
{
    for (size_t i = 0; i < s->grains; i++) {
        s->curve[i][0] = points[s->grains - 1 - i].grain_ns;
        s->curve[i][1] = points[s->grains - 1 - i].efficiency;
    }
    row->curve = (struct tb_curve){"efficiency", "ns per task", "efficiency", s->curve, s->grains};
}

/* Each repetition's own METG is a sample, if it has one. */
static void put_samples(const struct session *s, struct tb_row *row, size_t reps)
{
    struct tb_metg_point points[TB_METG_GRAINS_MAX];
    for (size_t rep = 0; rep < reps; rep++) {
        double ns;
        tb_metg_points(&s->sweep, &rep, 1, points);
        if (tb_metg_find(points, s->grains, THRESHOLD, &ns) == TB_METG_FOUND) {
            row->ns_per_op[row->samples_n++] = ns;
        }
    }
}

static double percent_dirty(const struct session *s, size_t reps)
{
    double parts = 0, dirty = 0;
    for (size_t i = 0; i < reps * s->grains; i++) {
        parts += s->runs[i].parts;
        dirty += s->runs[i].dirty;
    }
    return 100 * dirty / parts;
}

static void put_metrics(const struct session *s, struct tb_row *row, size_t reps,
                        const struct answer *a)
{
    tb_row_metric(row, "metg_50%", "ns", a->metg);
    if (isfinite(a->interval.low)) {
        tb_row_metric(row, "metg_low", "ns", a->interval.low);
        tb_row_metric(row, "metg_high", "ns", a->interval.high);
    }
    tb_row_metric(row, "smallest_task", "ns", a->points[s->grains - 1].grain_ns);
    tb_row_metric(row, "largest_task", "ns", a->points[0].grain_ns);
    tb_row_metric(row, "dirty", "%", percent_dirty(s, reps));
    tb_row_metric(row, a->by_cpu ? "sweeps_by_cpu" : "sweeps", "", (double)reps);
}

static void sum_up(struct session *s, struct tb_row *row, size_t reps)
{
    struct answer a;
    answer(s, reps, &a);
    put_curve(s, row, a.points);
    if (a.end != TB_METG_FOUND) {
        snprintf(row->reason, sizeof row->reason,
                 "%s; %zu sweeps, smallest task %.0f ns, %.0f %% dirty", refusals[a.end], reps,
                 a.points[s->grains - 1].grain_ns, percent_dirty(s, reps));
        row->status = TB_ROW_SKIPPED;
        return;
    }
    put_samples(s, row, reps);
    if (row->samples_n == 0) {
        row->ns_per_op[row->samples_n++] = a.metg;
    }
    row->ops_per_sample = row->counted_ops = s->width * s->steps;
    snprintf(row->uncounted, sizeof row->uncounted, "metg does not count; 'run spawn' does");
    put_metrics(s, row, reps, &a);
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
    static struct tb_graph_time warm; /* too large for the stack */
    tb_graph_run(s->rt, &graph, 1, &warm);
    s->since_ns = tb_now_ns();
    while (!enough(s, reps) && run_rep(s, &row, &graph, reps)) {
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
    s->sweep = (struct tb_metg_sweep){.runs = s->runs,
                                      .grains = s->grains,
                                      .width = (uint32_t)s->width,
                                      .steps = (uint32_t)s->steps,
                                      .workers = (double)s->workers};
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
