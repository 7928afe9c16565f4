/* measure.c: see measure.h. */
#include "measure.h"
#include "agent.h"
#include "child.h"
#include "exit.h"
#include "wire.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct measurement {
    struct tb_wire_in in;
    struct tb_row *row;
    bool garbled; /* a line was none */
    tb_watch_fn *watch;
    void *arg;
    const char *program; /* NULL: this one */
    int silence_s;       /* 0: TB_SILENCE_S */
};

static void take_line(void *arg, const char *line)
{
    struct measurement *m = arg;
    m->garbled = tb_wire_read(&m->in, line) < 0 || m->garbled;
}

static void tick(void *arg)
{
    struct measurement *m = arg;
    if (m->watch) {
        m->watch(m->arg, m->row);
    }
}

/* The last words of a process that had much to say are cut. */
static void fail(struct tb_row *row, const char *what, const char *words)
{
    char text[TB_REASON_MAX * 2];
    snprintf(text, sizeof text, "%s%s%s", what, words[0] ? ": " : "", words);
    row->status = TB_ROW_WRONG;
    snprintf(row->reason, sizeof row->reason, "%.*s", TB_REASON_MAX - 1, text);
}

/* A child that did not end by saying how it went, or went wrong after that. */
static void explain(struct tb_row *row, const struct tb_child *child)
{
    char what[64];
    if (child->end == TB_CHILD_EXITED && child->code == TB_EXIT_USAGE) {
        row->status = TB_ROW_SKIPPED;
        snprintf(row->reason, sizeof row->reason,
                 "this build is of another version, and does not know how");
        return;
    }
    switch (child->end) {
    case TB_CHILD_SIGNALLED:
        snprintf(what, sizeof what, "died of signal %d (%s)", child->code, strsignal(child->code));
        break;
    case TB_CHILD_SILENT:
        snprintf(what, sizeof what, "hung: nothing was heard of it for %d s", child->silence_s);
        break;
    case TB_CHILD_FAILED:
        snprintf(what, sizeof what, "could not be started (%s)", strerror(-child->code));
        break;
    default:
        snprintf(what, sizeof what, "ended with exit code %d", child->code);
    }
    fail(row, what, child->last_words);
}

/* One child from start to end. false: interrupted. */
static bool run(struct measurement *m, char *const *argv)
{
    struct tb_child child = {.program = m->program,
                             .argv = argv,
                             .silence_s = m->silence_s,
                             .line = take_line,
                             .tick = tick,
                             .arg = m};
    m->in = (struct tb_wire_in){.row = m->row};
    m->row->line_ns = -1;
    tb_child_run(&child);
    if (child.end == TB_CHILD_INTERRUPTED) {
        return false;
    }
    bool ended_well = child.end == TB_CHILD_EXITED && child.code == 0;
    if (!m->in.done || !ended_well) {
        explain(m->row, &child);
    } else if (m->garbled) {
        fail(m->row, "said what is not understood", child.last_words);
    }
    return true;
}

bool tb_measure(struct tb_row *row, const struct tb_plan *plan, tb_watch_fn *watch, void *arg)
{
    struct tb_agent_args args;
    char *argv[TB_AGENT_ARGS + 1] = {NULL};
    struct measurement m = {.row = row, .watch = watch, .arg = arg};
    tb_agent_args_write(&args, "agent", row, plan);
    for (int i = 0; i < args.n; i++) {
        argv[i] = args.text[i];
    }
    if (!run(&m, argv)) {
        return false;
    }
    tb_row_finish(row);
    return true;
}

bool tb_measure_by(struct tb_row *row, const char *program, char **argv, int silence_s)
{
    struct measurement m = {.row = row, .program = program, .silence_s = silence_s};
    if (!run(&m, argv)) {
        return false;
    }
    tb_row_finish(row);
    return true;
}

bool tb_measure_probe(char report[TB_REASON_MAX])
{
    static struct tb_row row;
    struct measurement m = {.row = &row};
    char name[] = "probe";
    row.status = TB_ROW_OK;
    bool ran = run(&m, (char *[]){name, NULL});
    bool fine = ran && row.status == TB_ROW_OK;
    snprintf(report, TB_REASON_MAX, "%s", fine ? m.in.report : row.reason);
    return fine;
}
