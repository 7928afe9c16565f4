/* report.c: see report.h. The page around the sections, and the style of everything in them. */
#include "report.h"
#include "command.h"
#include "html.h"
#include "report_part.h"
#include <string.h>

/* The colours of series were chosen to be told apart by those who confuse red and green, too, and
 * against both backgrounds. */
static const char head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<title>taskbench report</title>\n<style>\n"
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1b1f24;--dim:#5b6570;--grid:#e2e6ea;--shade:#9aa5b1;"
    "--bar:#cfe0f5;--good:#0a7d55;--bad:#c0341d;--c0:#0b62b8;--c1:#c65f00;--c2:#0a7d55;--c3:#"
    "a0308f;"
    "--c4:#7a6a00;--c5:#3d3db8;--c6:#8a3b12;--c7:#4a5560}\n"
    "@media "
    "(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e4e7eb;--dim:#9aa5b1;--grid:#2b323a;--"
    "shade:#5b6570;"
    "--bar:#1f3d5f;--good:#3fc08d;--bad:#ff7d66;--c0:#6bb0ff;--c1:#ffa04d;--c2:#3fc08d;--c3:#"
    "e084d4;"
    "--c4:#d6c44a;--c5:#a3a3ff;--c6:#dd9a75;--c7:#b3bec9}}\n"
    "body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;margin:0 auto;"
    "padding:24px;max-width:960px}\n"
    "h1{font-size:24px;margin:0 0 4px}h2~h1{margin-top:48px}h2{font-size:18px;margin:32px 0 "
    "8px}h3{font-size:15px;margin:16px "
    "0 4px}\n"
    ".note{color:var(--dim);font-size:13px;margin:6px 0}code{font-size:13px}\n"
    ".places{font-size:13px;margin:6px 0;padding-left:18px}\n"
    /* a shadow stands at an edge beyond which there is more to be scrolled to; what scrolls covers
     * it at the end */
    ".wide{overflow-x:auto;background:"
    "linear-gradient(90deg,var(--bg) 40%,transparent) left/36px 100% no-repeat local,"
    "linear-gradient(270deg,var(--bg) 40%,transparent) right/36px 100% no-repeat local,"
    "linear-gradient(90deg,var(--shade),transparent) left/14px 100% no-repeat scroll,"
    "linear-gradient(270deg,var(--shade),transparent) right/14px 100% no-repeat scroll}\n"
    "@media (max-width:767px){.wide:has(>.chart)::before{content:'scroll sideways to see all of it "
    "\\2192';position:sticky;left:0;display:inline-block;color:var(--dim);font-size:12px}}\n"
    "table{border-collapse:collapse;font-size:13px}\n"
    "th,td{padding:2px 10px 2px 0;text-align:left;white-space:nowrap;vertical-align:top}\n"
    "tr+tr>td,tr+tr>th,tbody td{border-top:1px solid "
    "var(--grid)}th{color:var(--dim);font-weight:600}\n"
    ".n{text-align:right;font-variant-numeric:tabular-nums}.rows "
    "th:not(:first-child):not(:last-child)"
    "{text-align:right}\n"
    "tr.bad td,td.more{color:var(--bad)}li.bad b{color:var(--bad)}li.good b{color:var(--good)}\n"
    "td[colspan]{white-space:normal}\n"
    ".facts td{white-space:normal}\n"
    /* on a narrow screen a chart is scrolled, not shrunk until nobody can read it */
    ".wide>svg{min-width:720px}.cells .wide>svg{min-width:0;max-width:360px}\n"
    "svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif}\n"
    ".cells{display:grid;grid-template-columns:repeat(auto-fill,minmax(260px,1fr));gap:8px 16px}\n"
    ".large{grid-template-columns:repeat(auto-fill,minmax(min(400px,100%),1fr))}\n"
    "text{fill:var(--fg)}.name{text-anchor:end}.tick{fill:var(--dim);font-size:11px}\n"
    ".mid{text-anchor:middle}.end,.value{text-anchor:end}.start{text-anchor:start}\n"
    "line.grid{stroke:var(--grid)}.bar{fill:var(--bar)}\n"
    "line.range{stroke:var(--c0);stroke-width:2}line.median{stroke:var(--c0);stroke-width:2}\n"
    ".strip line.median{stroke:var(--c1);stroke-width:1}\n"
    "line.one{stroke:var(--dim);stroke-dasharray:4 3}\n"
    "line.interval{stroke:var(--c7);stroke-width:2}.mark{fill:var(--c7)}\n"
    ".good line.interval{stroke:var(--good)}.good .mark{fill:var(--good)}.good "
    ".value{fill:var(--good)}\n"
    ".bad line.interval{stroke:var(--bad)}.bad .mark{fill:var(--bad)}.bad .value{fill:var(--bad)}\n"
    "line.level{stroke:var(--c1);stroke-width:2}line.step{stroke:var(--bad);stroke-dasharray:3 3}\n"
    ".curve{fill:none;stroke-width:1.5}\n"
    "circle.s0{fill:var(--c0)}circle.s1{fill:var(--c1)}circle.s2{fill:var(--c2)}circle.s3{fill:var("
    "--c3)}"
    "circle.s4{fill:var(--c4)}circle.s5{fill:var(--c5)}circle.s6{fill:var(--c6)}circle.s7{fill:var("
    "--c7)}\n"
    "polyline.s0{stroke:var(--c0)}polyline.s1{stroke:var(--c1)}polyline.s2{stroke:var(--c2)}"
    "polyline.s3{stroke:var(--c3)}polyline.s4{stroke:var(--c4)}polyline.s5{stroke:var(--c5)}"
    "polyline.s6{stroke:var(--c6)}polyline.s7{stroke:var(--c7)}\n"
    "</style>\n</head>\n<body>\n";

static void put_intro(const struct tb_report *report, FILE *out)
{
    fputs("<h1>taskbench report</h1>\n<p class=\"note\">", out);
    for (int i = 0; i < report->inputs_n; i++) {
        const struct tb_saved *saved = &report->inputs[i];
        tb_html(out, "%s%s: taskbench %s, %zu row%s, %s", i ? "; " : "", saved->path,
                saved->command, saved->rows_n, saved->rows_n == 1 ? "" : "s", saved->started);
    }
    fputs("</p>\n", out);
}

/* Nothing later is of the same command. A comparison has a section of its own. */
static bool is_shown(const struct tb_report *report, int at)
{
    const char *command = report->inputs[at].command;
    bool newest = !report->inputs[at].is_comparison;
    for (int i = at + 1; i < report->inputs_n; i++) {
        newest = newest && strcmp(report->inputs[i].command, command) != 0;
    }
    return newest;
}

static void put_result(const struct tb_saved *saved, FILE *out)
{
    tb_report_table(saved, out);
    tb_report_bars(saved, out);
    tb_report_latency(saved, out);
    tb_report_curves(saved, out);
    tb_report_memory(saved, out);
    tb_report_strips(saved, out);
}

void tb_report_write(const struct tb_report *report, FILE *out)
{
    int shown = 0;
    fputs(head, out);
    put_intro(report, out);
    tb_report_changes(report, out);
    for (int i = 0; i < report->inputs_n; i++) {
        shown += is_shown(report, i);
    }
    for (int i = 0; i < report->inputs_n; i++) {
        const struct tb_saved *saved = &report->inputs[i];
        if (!is_shown(report, i)) {
            continue;
        }
        if (shown > 1) {
            tb_html(out, "<h1>taskbench %s: %s</h1>\n", saved->command, saved->path);
        }
        put_result(saved, out);
    }
    tb_report_history(report->history, out);
    tb_report_facts(report, out);
    tb_html(out, "<p class=\"note\">Written by taskbench %s.</p>\n</body>\n</html>\n", TB_VERSION);
}
