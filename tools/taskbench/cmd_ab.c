/* cmd_ab.c: `taskbench ab BASE CAND`: two builds of taskbench, or of a shared object, measured in
 * turn; and `taskbench calibrate`: this build against itself, for the floors below which no
 * difference means anything. */
#include "ab.h"
#include "child.h"
#include "clock.h"
#include "command.h"
#include "exit.h"
#include "floors.h"
#include "machine.h"
#include "measure.h"
#include "output.h"
#include "render_ab.h"
#include "run.h"
#include "terminal.h"
#include "user.h"
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESTARTS     10
#define PAIRS        20
#define THRESHOLD    0.03
#define INSTRUCTIONS 0.015 /* half of what gate and ab promise to see */
#define GROWTH       4     /* restarts_max / restarts */

#define SCALING_WORKERS   2    /* if none are named */
#define SCALING_THRESHOLD 0.05 /* more than ab's: a second worker's wake is part of it */

#define CALIBRATE_MIN 6 /* restarts for an interval of 95 % by order statistics */

const char tb_ab_details[] =
    "BASE and CAND are two builds of taskbench; or of a shared object with workloads\n"
    "of your own (./old.so ./new.so), all of which are compared if none is named.\n"
    "Each restart starts both, pins worker i to CPU i, and takes samples in turn,\n"
    "A B, B A; the median ratio of a restart is one observation. Restarts are added\n"
    "while a verdict is unclear, up to four times as many. What is slower is measured\n"
    "once more before it counts. Before that, what is the same each time is counted:\n"
    "allocations, bytes, system calls, instructions per op; what is more decides by\n"
    "itself, and where it comes from is named.\n"
    "\n"
    "  --threshold T         differences up to T are \"same\": 3% (the default), or\n"
    "                        time=3%,instructions=1.5%\n"
    "  --exact, --no-exact   only count; only time\n"
    "  --floors FILE         of calibrate: a threshold below a workload's floor is\n"
    "                        refused\n"
    "  --restarts N          at first (10); below 6 there is no interval of 95 %\n"
    "  --pairs N             samples of each side in a restart (20)\n"
    "  --no-pin              leave the workers where the kernel puts them\n"
    "  --strict              exit 4 if a verdict is unclear\n"
    "  --format table|json|md|csv|junit\n"
    "  -o FILE, --set, --workers, -p, --seed, --no-color, --quiet   as for run\n"
    "\n"
    "Exit codes: 0 nothing is slower, 1 something is, or costs more by count; 2 wrong\n"
    "usage; 3 nothing was measured; 4 unclear, with --strict; 5 a wrong result.\n";

const char tb_calibrate_details[] =
    "Measures this build against itself as ab would, and writes to FILE what each\n"
    "workload differs from itself: give it to ab with --floors.\n"
    "\n"
    "  --floors FILE         where to (needed)\n"
    "  --restarts N, --pairs N, --no-pin, --set, --workers, -p, --seed   as for ab\n";

const char tb_scaling_details[] =
    "Is a workload slower on more workers than on one? Measures this build with one\n"
    "worker and with more, in turn and as ab does: what is slower is measured once\n"
    "more before it counts. Without WORKLOAD: the quick set; ./mine.so: your own.\n"
    "\n"
    "  --workers N[,N...]    how many are held against one (2)\n"
    "  --threshold T         differences up to T are \"same\" (5%)\n"
    "  --restarts N, --pairs N, --no-pin, --strict, --format, -o FILE, --set, -p,\n"
    "  --seed, --no-color, --quiet   as for ab\n"
    "\n"
    "Exit codes: as for ab; 1: something is slower.\n";

struct session {
    struct tb_args args;
    struct tb_run_plan rows_plan;
    struct tb_ab_plan plan;
    struct tb_ab_row rows[TB_AB_ROWS_MAX];
    int rows_n;
    struct tb_machine machine;
    struct tb_floors floors;
    char no_instructions[TB_REASON_MAX], paths[2][512];
    char objects[2][PATH_MAX + sizeof TB_USER_ENV], group[TB_USER_GROUP]; /* of two objects */
    uint64_t start_ns, timing_ns; /* of the command, of its first restart; 0: not begun */
    bool terminal, unicode;
};

static int complain(const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return TB_EXIT_USAGE;
}

/* --- the plan --------------------------------------------------------------------------------- */

static int check_program(const char *path)
{
    if (access(path, X_OK) < 0) {
        fprintf(stderr, "taskbench: cannot run '%s': %s\n", path, strerror(errno));
        return TB_EXIT_USAGE;
    }
    return TB_EXIT_OK;
}

/* A name without a slash would be looked for in PATH when it is run. */
static const char *with_slash(const char *path, char out[512])
{
    if (strchr(path, '/')) {
        return path;
    }
    snprintf(out, 512, "./%s", path);
    return out;
}

/* This program's own path. */
static const char *itself(struct session *s)
{
    ssize_t n = readlink("/proc/self/exe", s->paths[0], sizeof s->paths[0] - 1);
    s->paths[0][n > 0 ? n : 0] = '\0';
    return s->paths[0];
}

/* Two builds of a shared object: this program runs both. The base's workloads are the ones that are
 * known here. */
static int take_objects(struct session *s)
{
    struct tb_args *args = &s->args;
    const char *objects[2] = {s->plan.base, s->plan.cand};
    for (int i = 0; i < 2; i++) {
        char path[sizeof s->objects[0] - sizeof TB_USER_ENV];
        if (!tb_user_is_object(objects[i])) {
            return complain("BASE and CAND are two builds of taskbench, or two of a shared object");
        }
        if (tb_user_resolve(objects[i], path, sizeof path, args->error) < 0) {
            return complain(args->error);
        }
        snprintf(s->objects[i], sizeof s->objects[i], TB_USER_ENV "=%s", path);
        s->plan.objects[i] = s->objects[i];
    }
    if (tb_user_load(s->plan.base, s->group, args->error) < 0) {
        return complain(args->error);
    }
    if (args->workloads_n == 0) {
        args->workloads[args->workloads_n++] = s->group;
    }
    s->plan.program = itself(s);
    return TB_EXIT_OK;
}

/* BASE and CAND are the first two words. */
static int take_programs(struct session *s)
{
    struct tb_args *args = &s->args;
    if (args->workloads_n < 2) {
        return complain("ab needs BASE and CAND, two builds of taskbench or of a shared object; "
                        "'taskbench help "
                        "ab' says more");
    }
    s->plan.base = args->workloads[0];
    s->plan.cand = args->workloads[1];
    args->workloads_n -= 2;
    memmove(args->workloads, args->workloads + 2,
            (size_t)args->workloads_n * sizeof *args->workloads);
    if (tb_user_is_object(s->plan.base) || tb_user_is_object(s->plan.cand)) {
        return take_objects(s);
    }
    int rc = check_program(s->plan.base);
    rc = rc == TB_EXIT_OK ? check_program(s->plan.cand) : rc;
    s->plan.base = with_slash(s->plan.base, s->paths[0]);
    s->plan.cand = with_slash(s->plan.cand, s->paths[1]);
    return rc;
}

static int take_rows(struct session *s)
{
    if (tb_run_plan_make(&s->rows_plan, &s->args, s->machine.cpus) < 0) {
        return complain(s->rows_plan.error);
    }
    for (int i = 0; i < s->rows_plan.rows_n; i++) {
        const struct tb_planned *planned = &s->rows_plan.rows[i];
        if (s->rows_n == TB_AB_ROWS_MAX) {
            return complain("too many rows: name fewer workloads, or one number of workers");
        }
        struct tb_ab_row *row = &s->rows[s->rows_n++];
        row->load = planned->load;
        row->workers = planned->workers;
        row->floor = tb_floors_of(&s->floors, planned->load->name, planned->workers);
        tb_run_params(&s->args, planned->load, row->params);
        if (s->args.threshold > 0 && s->args.threshold < row->floor) {
            fprintf(stderr,
                    "taskbench: a threshold of %.2g %% means nothing for %s with %d workers: it "
                    "differs from "
                    "itself by %.2g %% here\n",
                    100 * s->args.threshold, row->load->name, row->workers, 100 * row->floor);
            return TB_EXIT_USAGE;
        }
    }
    return TB_EXIT_OK;
}

static int take_floors(struct session *s)
{
    if (!s->args.floors) {
        return TB_EXIT_OK;
    }
    if (tb_floors_load(&s->floors, s->args.floors) < 0) {
        return complain(s->floors.error);
    }
    if (strcmp(s->floors.key, s->machine.key) != 0) {
        fprintf(stderr, "taskbench: '%s' is of another machine: %s\n", s->args.floors,
                s->floors.key);
        return TB_EXIT_USAGE;
    }
    return TB_EXIT_OK;
}

static void take_settings(struct session *s)
{
    const struct tb_args *args = &s->args;
    s->plan.restarts = args->restarts ? args->restarts : RESTARTS;
    s->plan.restarts_max = GROWTH * s->plan.restarts;
    s->plan.pairs = args->pairs ? args->pairs : PAIRS;
    s->plan.threshold = args->threshold > 0 ? args->threshold : THRESHOLD;
    s->plan.seed = args->seed;
    s->plan.pin = !args->no_pin;
    s->plan.confirm = true;
    s->plan.count = !args->no_exact;
    s->plan.time = !args->exact;
    s->plan.instructions = args->instructions > 0 ? args->instructions : INSTRUCTIONS;
    s->plan.no_instructions = s->no_instructions;
}

/* --- progress --------------------------------------------------------------------------------- */

static void watch(void *arg, const struct tb_ab_row *row, bool counting, int done, int all)
{
    struct session *s = arg;
    if (!s->terminal) {
        return;
    }
    if (counting) {
        s->timing_ns = tb_now_ns();
        fprintf(stderr, "\r\033[Kcounting %d of %d: %s %dw", done, all, row->load->name,
                row->workers);
        fflush(stderr);
        return;
    }
    char spark[80], eta[16];
    double elapsed_s = (double)(tb_now_ns() - s->timing_ns) * 1e-9;
    int left = (int)(elapsed_s / done * (all - done));
    tb_spark(row->first.log_ratio, row->first.n, 12, s->unicode, spark, sizeof spark);
    snprintf(eta, sizeof eta, "%d:%02d", left / 60, left % 60);
    struct tb_summary summary = {0};
    tb_summarize(row->first.log_ratio, (size_t)row->first.n, &summary);
    fprintf(stderr, "\r\033[K%3d%%  ETA %s  %s %dw  restart %d  %s %+.1f %%", 100 * done / all, eta,
            row->load->name, row->workers, row->first.n, spark, 100 * expm1(summary.median));
    fflush(stderr);
}

static bool measure(struct session *s)
{
    s->start_ns = s->timing_ns = tb_now_ns();
    s->terminal = !s->args.quiet && isatty(STDERR_FILENO);
    s->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    bool finished = tb_ab_run(&s->plan, s->rows, s->rows_n, watch, s);
    if (s->terminal) {
        fprintf(stderr, "\r\033[K");
    }
    return finished;
}

/* --- the end ---------------------------------------------------------------------------------- */

static int judge(const struct session *s)
{
    int measured = 0, failed = 0, wrong = 0, unclear = 0;
    for (int i = 0; i < s->rows_n; i++) {
        const struct tb_ab_row *row = &s->rows[i];
        measured += row->verdict != TB_AB_NONE || tb_ab_was_counted(row);
        failed += row->verdict == TB_AB_SLOWER || row->grew;
        wrong += row->status == TB_ROW_WRONG;
        unclear += row->verdict == TB_AB_UNCLEAR;
    }
    if (tb_interrupted()) {
        return TB_EXIT_SIGNAL + tb_interrupted();
    }
    return wrong > 0                       ? TB_EXIT_WRONG
           : measured == 0                 ? TB_EXIT_NOTHING
           : failed > 0                    ? TB_EXIT_LIMIT
           : unclear > 0 && s->args.strict ? TB_EXIT_UNCLEAR
                                           : TB_EXIT_OK;
}

static int report(struct session *s, const char *command, const struct tb_steal *before,
                  time_t started)
{
    struct tb_steal after;
    tb_steal_get(&after);
    struct tb_ab_report r = {.command = command,
                             .plan = &s->plan,
                             .rows = s->rows,
                             .rows_n = s->rows_n,
                             .machine = &s->machine,
                             .started = started,
                             .elapsed_s = (double)(tb_now_ns() - s->start_ns) * 1e-9,
                             .steal_percent = tb_steal_percent(before, &after),
                             .interrupted = tb_interrupted() != 0,
                             .exit_code = judge(s)};
    FILE *out = s->args.out ? fopen(s->args.out, "we") : stdout;
    if (!out) {
        fprintf(stderr, "taskbench: cannot write '%s': %s\n", s->args.out, strerror(errno));
        return TB_EXIT_NOTHING;
    }
    tb_ab_render(&r, s->args.format, out, !s->args.out && tb_may_color(&s->args));
    bool whole = fflush(out) == 0 && !ferror(out);
    whole = (!s->args.out || fclose(out) == 0) && whole;
    if (!whole) {
        fprintf(stderr, "taskbench: the report could not be written\n");
        return r.exit_code ? r.exit_code : TB_EXIT_NOTHING;
    }
    if (s->args.out && !s->args.quiet) {
        tb_ab_render(&r, TB_FORMAT_TABLE, stdout, tb_may_color(&s->args));
    }
    return r.exit_code;
}

/* What both commands begin with. */
static int begin(struct session *s, int argc, char **argv)
{
    char runtime[TB_REASON_MAX];
    setlocale(LC_CTYPE, "");
    tb_open_standard_streams();
    if (tb_args_parse(&s->args, argc, argv) < 0) {
        return complain(s->args.error);
    }
    if (s->args.help) {
        return TB_EXIT_OK;
    }
    tb_catch_signals();
    tb_machine_get(&s->machine);
    if (!tb_measure_probe(runtime)) {
        fprintf(stderr, "taskbench: nothing can be measured: %s\n", runtime);
        return TB_EXIT_NOTHING;
    }
    tb_machine_set_report(&s->machine, runtime);
    take_settings(s);
    return TB_EXIT_OK;
}

int tb_cmd_ab(int argc, char **argv)
{
    static struct session s;
    struct tb_steal before;
    int rc = begin(&s, argc, argv);
    if (rc == TB_EXIT_OK && s.args.help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    s.args.format = tb_output_format(&s.args);
    if (s.args.format > TB_FORMAT_JUNIT) {
        return complain("ab reports as table, json, md, csv or junit");
    }
    if (s.args.exact && s.args.no_exact) {
        return complain("--exact and --no-exact: nothing is left");
    }
    char version[32];
    tb_callgrind_probe(version, s.no_instructions);
    rc = rc == TB_EXIT_OK ? take_programs(&s) : rc;
    rc = rc == TB_EXIT_OK ? take_floors(&s) : rc;
    rc = rc == TB_EXIT_OK ? take_rows(&s) : rc;
    if (rc != TB_EXIT_OK) {
        return rc;
    }
    time_t started = time(NULL);
    tb_steal_get(&before);
    measure(&s);
    return report(&s, argv[0], &before, started);
}

int tb_cmd_scaling(int argc, char **argv)
{
    static struct session s;
    struct tb_steal before;
    int rc = begin(&s, argc, argv);
    if (rc == TB_EXIT_OK && s.args.help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    s.args.format = tb_output_format(&s.args);
    if (rc == TB_EXIT_OK && s.args.format > TB_FORMAT_JUNIT) {
        return complain("scaling reports as table, json, md, csv or junit");
    }
    if (s.args.workers_n == 0) {
        s.args.workers[s.args.workers_n++] = SCALING_WORKERS;
    }
    rc = rc == TB_EXIT_OK ? take_rows(&s) : rc;
    if (rc != TB_EXIT_OK) {
        return rc;
    }
    s.plan.base = s.plan.cand = itself(&s);
    s.plan.base_workers = 1;
    s.plan.threshold = s.args.threshold > 0 ? s.args.threshold : SCALING_THRESHOLD;
    s.plan.count = false;
    time_t started = time(NULL);
    tb_steal_get(&before);
    measure(&s);
    return report(&s, argv[0], &before, started);
}

int tb_cmd_calibrate(int argc, char **argv)
{
    static struct session s;
    int rc = begin(&s, argc, argv);
    if (rc == TB_EXIT_OK && s.args.help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    if (rc == TB_EXIT_OK && !s.args.floors) {
        return complain("calibrate needs --floors FILE, which it writes");
    }
    if (rc == TB_EXIT_OK && s.plan.restarts < CALIBRATE_MIN) {
        return complain("calibrate takes 6 restarts at least: of fewer there is no interval");
    }
    rc = rc == TB_EXIT_OK ? take_rows(&s) : rc;
    if (rc != TB_EXIT_OK) {
        return rc;
    }
    s.plan.base = s.plan.cand = itself(&s);
    s.plan.threshold = 1e-9; /* never enough: all restarts are taken */
    s.plan.restarts_max = s.plan.restarts;
    s.plan.confirm = s.plan.count = false;
    if (!measure(&s)) {
        return TB_EXIT_SIGNAL + tb_interrupted();
    }
    printf("%-13s %2s  %s\n", "workload", "w", "differs from itself by up to");
    for (int i = 0; i < s.rows_n; i++) {
        printf("%-13s %2d  ", s.rows[i].load->name, s.rows[i].workers);
        if (s.rows[i].status == TB_ROW_OK) {
            printf("%.2f %%\n", 100 * tb_floor_of_row(&s.rows[i]));
        } else {
            printf("%s\n", s.rows[i].reason);
        }
    }
    rc = tb_floors_save(s.args.floors, s.machine.key, s.rows, s.rows_n);
    if (rc < 0) {
        fprintf(stderr, "taskbench: cannot write '%s': %s\n", s.args.floors, strerror(-rc));
        return TB_EXIT_NOTHING;
    }
    return TB_EXIT_OK;
}
