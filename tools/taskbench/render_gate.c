/* render_gate.c: what the gate found: a table, Markdown, or JSON. */
#include "command.h"
#include "gate.h"
#include "json.h"
#include "units.h"
#include "where.h"
#include "xml.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* "12.3", "1 !" beyond its budget, "-" where the budget does not speak of it, "?" not compared. */
static void put_cell(const struct tb_gate_row *g, int metric, char out[TB_NUMBER_MAX + 4])
{
    char text[TB_NUMBER_MAX];
    enum tb_judgement verdict = g->judged.verdict[metric];
    snprintf(out, TB_NUMBER_MAX + 4, "%s%s",
             verdict == TB_UNLIMITED      ? "-"
             : verdict == TB_NOT_COMPARED ? "?"
                                          : tb_exact_number(text, g->exact.value[metric]),
             verdict == TB_EXCEEDED ? " !" : "");
}

static const char *row_word(const struct tb_gate_row *g)
{
    static const char *const words[] = {"ok", "WRONG", "skip"};
    return !g->counted                   ? "not run"
           : g->row->status != TB_ROW_OK ? words[g->row->status]
           : g->judged.exceeded > 0      ? "OVER"
           : g->judged.compared == 0     ? "?"
                                         : "ok";
}

static bool is_bad(const struct tb_gate_row *g)
{
    const char *word = row_word(g);
    return strcmp(word, "OVER") == 0 || strcmp(word, "WRONG") == 0;
}

/* --- what exceeds, in words ------------------------------------------------------------------- */

static void say_exceeded(const struct tb_lines *to, const struct tb_gate_row *g, int metric)
{
    char value[TB_NUMBER_MAX], limit[TB_NUMBER_MAX];
    double now = g->exact.value[metric], was = g->budget->limit[metric];
    fprintf(to->out, "%s%s, %d worker%s: %s is %s, its budget %s", to->fail, g->budget->load->name,
            g->budget->workers, g->budget->workers == 1 ? "" : "s", tb_exacts[metric].title,
            tb_exact_number(value, now), tb_exact_number(limit, was));
    if (was > 0) {
        fprintf(to->out, " (%+.1f %%)", 100 * (now - was) / was);
    }
    fputs(to->end, to->out);
    if (metric == TB_EXACT_ALLOCS) {
        tb_where_sites(to, g->row, TB_SITE_ALLOC);
    } else if (metric == TB_EXACT_CALLS) {
        tb_where_sites(to, g->row, TB_SITE_CALL);
    } else if (metric == TB_EXACT_INSTRUCTIONS) {
        tb_where_grew(to, g->budget->functions, g->budget->functions_n, &g->instructions);
    }
}

static void say_row(const struct tb_lines *to, const struct tb_gate_row *g)
{
    if (g->counted && g->row->status != TB_ROW_OK) {
        fprintf(to->out, "%s%s: %s%s", to->fail, g->budget->load->name, g->row->reason, to->end);
    }
    for (int metric = 0; metric < TB_EXACTS && g->counted; metric++) {
        if (g->judged.verdict[metric] == TB_EXCEEDED) {
            say_exceeded(to, g, metric);
        }
    }
}

/* `begin`: of a line that says what was not compared. */
static void say_all(const struct tb_lines *to, const struct tb_gate *gate, const char *begin)
{
    for (int i = 0; i < gate->rows_n; i++) {
        say_row(to, &gate->rows[i]);
    }
    struct tb_reasons reasons;
    tb_gate_reasons(gate, &reasons);
    tb_reasons_put(&reasons, to->out, begin, to->end);
}

static void say_summary(const struct tb_gate *gate, FILE *out)
{
    fprintf(out, "%d of %d rows, %d figures compared, %d exceeded", gate->done, gate->rows_n,
            gate->compared, gate->exceeded);
    if (gate->not_compared > 0) {
        fprintf(out, ", %d not compared", gate->not_compared);
    }
    if (gate->better > 0) {
        fprintf(out, ", %d well below (--update would keep them)", gate->better);
    }
    fprintf(out, "; %.0f s\n", gate->elapsed_s);
}

/* --- table ------------------------------------------------------------------------------------ */

void tb_gate_table(const struct tb_gate *gate, FILE *out, bool color)
{
    fprintf(out, "%s%-13s %2s", color ? "\033[1m" : "", "workload", "w");
    for (int i = 0; i < TB_EXACTS; i++) {
        fprintf(out, " %*s", tb_exacts[i].width, tb_exacts[i].title);
    }
    fprintf(out, " %s%s\n", "check", color ? "\033[0m" : "");
    for (int i = 0; i < gate->rows_n; i++) {
        const struct tb_gate_row *g = &gate->rows[i];
        const char *word = row_word(g);
        bool bad = is_bad(g);
        fprintf(out, "%s%-13s %2d", color && bad ? "\033[31m" : "", g->budget->load->name,
                g->budget->workers);
        for (int metric = 0; metric < TB_EXACTS; metric++) {
            char cell[TB_NUMBER_MAX + 4] = "";
            if (g->counted && g->row->status == TB_ROW_OK) {
                put_cell(g, metric, cell);
            }
            fprintf(out, " %*s", tb_exacts[metric].width, cell);
        }
        fprintf(out, " %s%s\n", word, color && bad ? "\033[0m" : "");
    }
    fputc('\n', out);
    say_all(&(struct tb_lines){out, "FAIL  ", "      ", "\n"}, gate, "");
    say_summary(gate, out);
}

/* --- Markdown --------------------------------------------------------------------------------- */

void tb_gate_md(const struct tb_gate *gate, FILE *out)
{
    fprintf(out, "| workload | w ");
    for (int i = 0; i < TB_EXACTS; i++) {
        fprintf(out, "| %s ", tb_exacts[i].title);
    }
    fprintf(out, "| check |\n| --- | --: ");
    for (int i = 0; i < TB_EXACTS; i++) {
        fprintf(out, "| --: ");
    }
    fprintf(out, "| --- |\n");
    for (int i = 0; i < gate->rows_n; i++) {
        const struct tb_gate_row *g = &gate->rows[i];
        fprintf(out, "| %s | %d ", g->budget->load->name, g->budget->workers);
        for (int metric = 0; metric < TB_EXACTS; metric++) {
            char cell[TB_NUMBER_MAX + 4] = "";
            if (g->counted && g->row->status == TB_ROW_OK) {
                put_cell(g, metric, cell);
            }
            fprintf(out, "| %s ", cell);
        }
        fprintf(out, "| %s |\n", row_word(g));
    }
    fputc('\n', out);
    say_all(&(struct tb_lines){out, "- **FAIL** ", "  - ", "\n"}, gate, "- ");
    fputc('\n', out);
    say_summary(gate, out);
}

/* --- JUnit ------------------------------------------------------------------------------------ */

/* Of a row that is fine as far as it was compared, too. */
static void put_not_compared(const struct tb_gate_row *g, FILE *out)
{
    bool any = g->counted && g->judged.not_compared > 0;
    fputs(any ? "<system-out>" : "", out);
    for (int metric = 0; any && metric < TB_EXACTS; metric++) {
        if (g->judged.verdict[metric] == TB_NOT_COMPARED) {
            fprintf(out, "%s was not compared: ", tb_exacts[metric].title);
            tb_put_xml(out, g->judged.why_not[metric]);
            fputs(". ", out);
        }
    }
    fputs(any ? "</system-out>" : "", out);
}

void tb_gate_junit(const struct tb_gate *gate, FILE *out)
{
    int failures = 0, skipped = 0;
    for (int i = 0; i < gate->rows_n; i++) {
        failures += is_bad(&gate->rows[i]);
        skipped += !is_bad(&gate->rows[i]) && strcmp(row_word(&gate->rows[i]), "ok") != 0;
    }
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"taskbench gate\" tests=\"%d\" failures=\"%d\" skipped=\"%d\" "
            "time=\"%.1f\">\n",
            gate->rows_n, failures, skipped, gate->elapsed_s);
    for (int i = 0; i < gate->rows_n; i++) {
        const struct tb_gate_row *g = &gate->rows[i];
        const char *word = row_word(g);
        fprintf(out, "  <testcase classname=\"taskbench.gate\" name=\"");
        tb_put_xml(out, g->budget->load->name);
        fprintf(out, "/workers:%d\" time=\"%.3f\">", g->budget->workers, g->elapsed_s);
        if (is_bad(g)) {
            fprintf(out, "<failure message=\"");
            for (int metric = 0; metric < TB_EXACTS && word[0] == 'O'; metric++) {
                if (g->judged.verdict[metric] == TB_EXCEEDED) {
                    fprintf(out, "%s is %.6g, its budget %.6g. ", tb_exacts[metric].title,
                            g->exact.value[metric], g->budget->limit[metric]);
                }
            }
            tb_put_xml(out, word[0] == 'W' ? g->row->reason : "");
            fprintf(out, "\">");
            struct tb_xml_text places;
            if (tb_xml_begin(&places)) {
                say_row(&(struct tb_lines){places.to, "", "      ", "\n"}, g);
                tb_xml_end(&places, out);
            }
            fprintf(out, "</failure>");
        } else if (strcmp(word, "ok") != 0) {
            fprintf(out, "<skipped message=\"nothing was compared\"/>");
        }
        put_not_compared(g, out);
        fprintf(out, "</testcase>\n");
    }
    fprintf(out, "</testsuite>\n");
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void put_figure(struct tb_json *json, const struct tb_gate_row *g, int metric)
{
    static const char *const verdicts[] = {"within", "better", "exceeded", "not compared",
                                           "unlimited"};
    tb_json_open(json, tb_exacts[metric].key, '{');
    tb_json_real(json, "value", g->exact.value[metric]);
    tb_json_real(json, "limit", g->budget->limit[metric]);
    tb_json_text(json, "verdict", verdicts[g->judged.verdict[metric]]);
    tb_json_text(json, "reason", g->judged.why_not[metric]);
    tb_json_close(json);
}

static void put_site(struct tb_json *json, const struct tb_site *site)
{
    char name[TB_SITE_NAME_MAX];
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "kind", site->kind == TB_SITE_ALLOC ? "alloc" : "syscall");
    tb_json_count(json, "count", site->count);
    tb_json_count(json, "bytes", site->bytes);
    tb_json_text(json, "place", tb_site_name(site, name));
    tb_json_text(json, site->kind == TB_SITE_ALLOC ? "task" : "call", site->what);
    tb_json_close(json);
}

static void put_row(struct tb_json *json, const struct tb_gate_row *g)
{
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "workload", g->budget->load->name);
    tb_json_count(json, "workers", (uint64_t)g->budget->workers);
    tb_json_text(json, "check", row_word(g));
    if (g->counted && g->row->status == TB_ROW_OK) {
        tb_json_count(json, "ops", g->row->counted_ops);
        for (int metric = 0; metric < TB_EXACTS; metric++) {
            put_figure(json, g, metric);
        }
        tb_json_open(json, "sites", '[');
        for (int i = 0; i < g->row->sites_n; i++) {
            put_site(json, &g->row->sites[i]);
        }
        tb_json_close(json);
    } else {
        tb_json_text(json, "reason", g->counted ? g->row->reason : "interrupted");
    }
    tb_json_close(json);
}

void tb_gate_json(const struct tb_gate *gate, FILE *out)
{
    struct tb_json json = {.out = out};
    tb_json_open(&json, NULL, '{');
    tb_json_text(&json, "schema", "weft.taskbench.gate/1");
    tb_json_text(&json, "tool", TB_VERSION);
    tb_json_text(&json, "build", tb_build());
    tb_json_text(&json, "backend", gate->io);
    tb_json_text(&json, "valgrind", gate->valgrind);
    tb_json_open(&json, "rows", '[');
    for (int i = 0; i < gate->rows_n; i++) {
        put_row(&json, &gate->rows[i]);
    }
    tb_json_close(&json);
    tb_json_open(&json, "summary", '{');
    tb_json_count(&json, "compared", (uint64_t)gate->compared);
    tb_json_count(&json, "exceeded", (uint64_t)gate->exceeded);
    tb_json_count(&json, "not_compared", (uint64_t)gate->not_compared);
    tb_json_count(&json, "wrong", (uint64_t)gate->wrong);
    tb_json_count(&json, "exit", (uint64_t)gate->exit_code);
    tb_json_close(&json);
    tb_json_close(&json);
}
