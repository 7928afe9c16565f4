/* cmd_mem.c: `taskbench mem`: what each more suspended thing weighs. The workloads mem-* are
 * measured with several numbers of them, each in a process of its own, and a line is laid through
 * what they say. */
#include "child.h"
#include "command.h"
#include "exit.h"
#include "measure.h"
#include "sheet.h"
#include "slope.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

const char tb_mem_details[] =
    "The slope of memory per suspended thing: PSS and page tables of a process in\n"
    "which N of them wait, for five N, by least squares. Kinds: timer (a frame that\n"
    "sleeps), frame (at a semaphore), fiber (a stack, at a semaphore), conn (a\n"
    "connection that waits to receive, with a stack and no buffer), conn-frame\n"
    "(without a stack either), conn-serve (of a server with reader and writer);\n"
    "without any, all.\n"
    "\n"
    "  --max N   the largest N, 1000 to 1000000 (100000); of connections as many as\n"
    "            this process may have descriptors, if that is less\n" TB_SHEET_HELP "\n"
    "time/op is creation of one at the largest N. Page tables are within the bytes of\n"
    "a timer or frame, and a figure of their own for what has a stack.\n"
    "\n"
    "Exit codes: as 'taskbench run'.\n";

#define SIZES 5 /* a fifth of the largest, two fifths, ... */

struct session {
    struct tb_sheet sheet;
    struct tb_words words;
    uint64_t most;
    double pss[SIZES][2], tables[SIZES][2];
};

static const char *const kinds[] = {"timer",      "frame",      "fiber", "conn",
                                    "conn-frame", "conn-serve", NULL};
static const char *const sources[] = {"frames/sleep", "mem-frames", "mem-100k",
                                      "idle",         "idle/frame", "idle/serve"};
#define KINDS (int)(sizeof sources / sizeof *sources)

static double metric_of(const struct tb_row *row, const char *end)
{
    for (int i = 0; i < row->metrics_n; i++) {
        const char *name = row->metrics[i].name;
        size_t n = strlen(name), m = strlen(end);
        if (n >= m && strcmp(name + n - m, end) == 0) {
            return row->metrics[i].value;
        }
    }
    return 0;
}

static void sum_up(struct session *s, struct tb_row *row, const char *each, double mappings)
{
    struct tb_slope pss = tb_slope_of(s->pss, SIZES), tables = tb_slope_of(s->tables, SIZES);
    row->metrics_n = 0;
    tb_row_metric(row, each, "B", pss.each);
    tb_row_metric(row, "residual", "B", pss.residual);
    if (mappings > 0) { /* the workload says so, and of its page tables; frames' do not */
        tb_row_metric(row, "table_bytes", "B", tables.each);
        tb_row_metric(row, "mappings", "", mappings);
    }
    row->curve = (struct tb_curve){"memory", "suspended", "bytes", s->pss, SIZES};
}

/* Descriptors that the rows' processes need besides. */
#define DESCRIPTORS_BESIDES 100

/* The largest N of a kind: of what has a descriptor each, no more than the limit allows. */
static uint64_t most_of(const struct session *s, int kind)
{
    struct rlimit limit;
    uint64_t each = strcmp(kinds[kind], "conn-serve") == 0 ? 2 : 1; /* with its peer's */
    if (strncmp(kinds[kind], "conn", 4) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_max >= each * s->most + DESCRIPTORS_BESIDES) {
        return s->most;
    }
    return limit.rlim_max > (each + 1) * DESCRIPTORS_BESIDES
               ? (limit.rlim_max - DESCRIPTORS_BESIDES) / each
               : DESCRIPTORS_BESIDES;
}

static void measure_kind(struct session *s, int kind)
{
    static struct tb_row row; /* too large for the stack */
    const struct tb_plan plan = {.samples = 1, .budget_ns = 1};
    double mappings = 0;
    uint64_t most = most_of(s, kind);
    char each[24];
    snprintf(each, sizeof each, "%s_bytes", kinds[kind]);
    tb_progress_row(&s->sheet.progress);
    for (int i = 0; i < SIZES; i++) {
        uint64_t n = most * (uint64_t)(i + 1) / SIZES;
        row = (struct tb_row){.load = tb_load_find(sources[kind]), .workers = 1, .params = {n}};
        if (!tb_measure(&row, &plan, NULL, NULL)) {
            return; /* interrupted */
        }
        if (row.status != TB_ROW_OK) {
            break;
        }
        s->pss[i][0] = s->tables[i][0] = (double)n;
        s->tables[i][1] = metric_of(&row, "table_bytes") * (double)n;
        s->pss[i][1] = row.metrics[0].value * (double)n; /* NAME_bytes comes first */
        mappings = metric_of(&row, "mappings");
    }
    if (row.status == TB_ROW_OK) {
        sum_up(s, &row, each, mappings);
    }
    tb_sheet_row(&s->sheet, &row);
}

static int check(const struct session *s)
{
    for (int i = 0; i < s->words.n; i++) {
        if (tb_choice_of(kinds, s->words.at[i]) < 0) {
            fprintf(
                stderr,
                "taskbench: mem knows timer, frame, fiber, conn, conn-frame and conn-serve, not "
                "'%.40s'\n",
                s->words.at[i]);
            return TB_EXIT_USAGE;
        }
    }
    return 0;
}

int tb_cmd_mem(int argc, char **argv)
{
    static struct session s = {.sheet = {.command = "mem"}, .most = 100000};
    const struct tb_opt table[] = {
        {.name = "--max", .kind = TB_OPT_COUNT, .value = &s.most, .least = 1000, .most = 1e6},
        TB_SHEET_OPTS(&s.sheet),
        {.name = NULL},
    };
    int rc = tb_sheet_parse(&s.sheet, table, argc, argv, &s.words);
    if (rc < 0) {
        return -1 - rc;
    }
    rc = check(&s);
    if (rc) {
        return rc;
    }
    int rows = s.words.n ? s.words.n : KINDS;
    tb_machine_get(&s.sheet.machine);
    rc = tb_sheet_open(&s.sheet, rows);
    if (rc) {
        return rc;
    }
    for (int i = 0; i < rows && !tb_interrupted(); i++) {
        measure_kind(&s, s.words.n ? tb_choice_of(kinds, s.words.at[i]) : i);
    }
    return tb_sheet_close(&s.sheet);
}
