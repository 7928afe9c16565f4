/* cmd_gate.c: `taskbench gate`: reads the budgets, has the rows counted, says what exceeds them, or
 * writes what was counted as the new budgets. */
#include "child.h"
#include "command.h"
#include "exit.h"
#include "gate.h"
#include "machine.h"
#include "measure.h"
#include "output.h"
#include "run.h"
#include "terminal.h"
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int complain(const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return TB_EXIT_USAGE;
}

/* --- which rows ------------------------------------------------------------------------------- */

static bool is_selected(const struct tb_args *args, const struct tb_load *load)
{
    for (int i = 0; i < args->workloads_n; i++) {
        if (tb_load_matches(load, args->workloads[i])) {
            return true;
        }
    }
    return args->workloads_n == 0;
}

/* For --update: what is asked for by name and is not in the file. */
static int add_missing(struct tb_gate *gate, const struct tb_args *args)
{
    static struct tb_run_plan plan;
    int rc = tb_run_plan_make(&plan, args, 1);
    if (rc < 0) {
        return complain(plan.error);
    }
    for (int i = 0; i < plan.rows_n && args->workloads_n > 0; i++) {
        const struct tb_planned *planned = &plan.rows[i];
        bool is_there = false;
        for (int j = 0; j < gate->budgets.rows_n; j++) {
            is_there = is_there || (gate->budgets.rows[j].load == planned->load &&
                                    gate->budgets.rows[j].workers == planned->workers);
        }
        struct tb_budget *row =
            is_there ? NULL : tb_budgets_add(&gate->budgets, planned->load, planned->workers);
        if (row) {
            tb_run_params(args, planned->load, row->params);
        }
    }
    return TB_EXIT_OK;
}

static int select_rows(struct tb_gate *gate, const struct tb_args *args)
{
    for (int i = 0; i < gate->budgets.rows_n; i++) {
        if (is_selected(args, gate->budgets.rows[i].load)) {
            gate->rows[gate->rows_n++].budget = &gate->budgets.rows[i];
        }
    }
    if (gate->rows_n == 0 && args->workloads_n > 0) {
        fprintf(stderr, "taskbench: '%s' has no row of '%s'\n", args->budgets, args->workloads[0]);
        return TB_EXIT_USAGE;
    }
    return TB_EXIT_OK;
}

static int load_budgets(struct tb_gate *gate, const struct tb_args *args)
{
    int rc = tb_budgets_load(&gate->budgets, args->budgets);
    if (rc == -ENOENT && args->update) {
        return TB_EXIT_OK; /* the first time */
    }
    return rc < 0 ? complain(gate->budgets.error) : TB_EXIT_OK;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* A row that was wrong decides over one that exceeds, and both over what was not compared. */
static int judge(const struct tb_gate *gate, const struct tb_args *args)
{
    if (tb_interrupted()) {
        return TB_EXIT_SIGNAL + tb_interrupted();
    }
    if (gate->wrong > 0) {
        return TB_EXIT_WRONG;
    }
    if (gate->exceeded > 0) {
        return TB_EXIT_LIMIT;
    }
    bool incomplete = gate->compared == 0 || gate->done < gate->rows_n ||
                      (args->strict && gate->not_compared > 0);
    return incomplete ? TB_EXIT_NOTHING : TB_EXIT_OK;
}

static int update(struct tb_gate *gate, const struct tb_args *args)
{
    if (tb_interrupted() || gate->wrong > 0 || gate->done < gate->rows_n) {
        fprintf(stderr, "taskbench: '%s' stays as it was\n", args->budgets);
        return judge(gate, args);
    }
    for (int i = 0; i < gate->rows_n; i++) {
        struct tb_gate_row *g = &gate->rows[i];
        tb_budget_take(g->budget, &g->exact, &g->instructions, gate->io);
    }
    if (!gate->no_instructions[0]) {
        snprintf(gate->budgets.build, sizeof gate->budgets.build, "%s", tb_build());
    }
    int rc = tb_budgets_save(&gate->budgets, args->budgets);
    if (rc < 0) {
        fprintf(stderr, "taskbench: cannot write '%s': %s\n", args->budgets, strerror(-rc));
        return TB_EXIT_NOTHING;
    }
    printf("%d of %d rows written to %s\n", gate->rows_n, gate->budgets.rows_n, args->budgets);
    return TB_EXIT_OK;
}

static int report(const struct tb_gate *gate, const struct tb_args *args)
{
    FILE *out = args->out ? fopen(args->out, "we") : stdout;
    if (!out) {
        fprintf(stderr, "taskbench: cannot write '%s': %s\n", args->out, strerror(errno));
        return TB_EXIT_NOTHING;
    }
    switch (args->format) {
    case TB_FORMAT_JSON:
        tb_gate_json(gate, out);
        break;
    case TB_FORMAT_MD:
        tb_gate_md(gate, out);
        break;
    case TB_FORMAT_JUNIT:
        tb_gate_junit(gate, out);
        break;
    default:
        tb_gate_table(gate, out, !args->out && tb_may_color(args));
    }
    bool whole = fflush(out) == 0 && !ferror(out);
    whole = (!args->out || fclose(out) == 0) && whole;
    if (!whole) {
        fprintf(stderr, "taskbench: the report could not be written\n");
        return gate->exit_code ? gate->exit_code : TB_EXIT_NOTHING;
    }
    if (args->out && !args->quiet) {
        tb_gate_table(gate, stdout, tb_may_color(args));
    }
    return gate->exit_code;
}

/* What was not compared, on stderr: a report in a file, or for a machine, is not seen; and of a
 * check that passes nobody looks at the table. */
static void warn(const struct tb_gate *gate, const struct tb_args *args)
{
    if (gate->not_compared == 0 || tb_interrupted()) {
        return;
    }
    bool has_table = args->out ? !args->quiet : args->format == TB_FORMAT_TABLE;
    if (!has_table) {
        struct tb_reasons reasons;
        tb_gate_reasons(gate, &reasons);
        tb_reasons_put(&reasons, stderr, "taskbench: ", "\n");
    }
    if (gate->exit_code == TB_EXIT_OK) {
        fprintf(stderr,
                "taskbench: warning: passed with %d figure%s not compared; with --strict that is "
                "exit code %d\n",
                gate->not_compared, gate->not_compared == 1 ? "" : "s", TB_EXIT_NOTHING);
    }
}

/* --- the beginning ---------------------------------------------------------------------------- */

static int count(struct tb_gate *gate, const struct tb_args *args)
{
    char runtime[TB_REASON_MAX];
    static struct tb_machine machine;
    tb_catch_signals();
    tb_callgrind_probe(gate->valgrind, gate->no_instructions);
    if (!tb_measure_probe(runtime)) {
        fprintf(stderr, "taskbench: nothing can be measured: %s\n", runtime);
        return TB_EXIT_NOTHING;
    }
    tb_machine_set_report(&machine, runtime);
    snprintf(gate->io, sizeof gate->io, "%s", machine.backend);
    tb_gate_run(gate);
    gate->exit_code = judge(gate, args);
    if (args->update) {
        return update(gate, args);
    }
    int rc = report(gate, args);
    warn(gate, args);
    return rc;
}

int tb_cmd_gate(int argc, char **argv)
{
    static struct tb_gate gate;
    static struct tb_args args;
    setlocale(LC_CTYPE, "");
    tb_open_standard_streams();
    if (tb_args_parse(&args, argc, argv) < 0) {
        return complain(args.error);
    }
    if (args.help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    if (!args.budgets) {
        return complain("gate needs --budgets FILE; 'taskbench help gate' says more");
    }
    args.format = tb_output_format(&args);
    if (args.format == TB_FORMAT_CSV || args.format > TB_FORMAT_JUNIT) {
        return complain("gate reports as table, json, md or junit");
    }
    int rc = load_budgets(&gate, &args);
    rc = rc == TB_EXIT_OK && args.update ? add_missing(&gate, &args) : rc;
    rc = rc == TB_EXIT_OK ? select_rows(&gate, &args) : rc;
    if (rc != TB_EXIT_OK) {
        return rc;
    }
    gate.seed = args.seed;
    gate.quiet = args.quiet;
    return count(&gate, &args);
}
