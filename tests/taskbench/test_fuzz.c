/* test_fuzz.c: whatever taskbench reads, it ends, and without a fault: results, histories, budgets,
 * floors, JSON in general, what its processes say, callgrind's output, fio's, what bench/peers
 * wrote; made from whole ones by random changes. The seed is printed; WT_SEED=n repeats it,
 * WT_ROUNDS=n goes on for longer. The sanitizers' builds are where this is worth most. */
#include "tests/support/wt.h"
#include "agent.h"
#include "budget.h"
#include "disk.h"
#include "floors.h"
#include "peers.h"
#include "report.h"
#include "wire.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS    2000
#define TEXT_MAX  8192
#define TWEAK_MAX 8 /* changes of one text */

static uint64_t state;

static uint64_t random_below(uint64_t n)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d % n;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t begin(void)
{
    uint64_t seed = number_of("WT_SEED", 20261128);
    printf("seed %llu\n", (unsigned long long)seed);
    state = seed * 0x9e3779b97f4a7c15 + 1;
    return number_of("WT_ROUNDS", ROUNDS);
}

static const char result[] =
    "{\"schema\":\"weft.taskbench/"
    "1\",\"command\":\"run\",\"started\":\"2026\",\"machine\":{\"key\":\"k\","
    "\"cpus\":2,\"line_ns\":null},\"results\":[{\"workload\":\"go\",\"op\":\"task\",\"params\":{"
    "\"n\":5},"
    "\"workers\":2,\"check\":\"ok\",\"time\":{\"median\":20,\"min\":10,\"max\":30.5e0,\"ratio\":1."
    "1,"
    "\"ci95\":[1.0,1.2],\"samples\":[10,20,30,20]},\"reference\":{\"ratio\":2,\"samples\":[5,5,5,5]"
    "},"
    "\"exact\":{\"allocs_per_op\":0,\"bytes_per_op\":0},\"peak_rss_bytes\":9999,\"metrics\":[{"
    "\"name\":\"b"
    "\",\"unit\":\"B\",\"value\":99}],\"latency\":[{\"name\":\"intended\",\"buckets\":[[10,5],[20,"
    "1]]}],"
    "\"curves\":[{\"name\":\"efficiency\",\"points\":[[1,0.1],[2,0.9]]},{\"name\":\"memory\","
    "\"points\":"
    "[[1,100],[10,1000]]}],\"verdict\":\"same\"},{\"workload\":\"x\\u00e9\",\"check\":\"wrong\","
    "\"reason\":"
    "\"\\\"no\\\"\"}],\"summary\":{\"exit\":0,\"steal_percent\":1.5}}";

static const char history[] = "{\"schema\":\"weft.taskbench.history/"
                              "1\",\"started\":\"1\",\"key\":\"k\",\"label\":\"a\",\"rows\":[{"
                              "\"row\":\"go 2w\",\"time\":5,\"ref\":1}]}\n"
                              "{\"schema\":\"weft.taskbench.history/"
                              "1\",\"started\":\"2\",\"key\":\"k\",\"rows\":[{\"row\":\"go 2w\","
                              "\"time\":5.5,\"ref\":1.25}]}\n"
                              "{\"schema\":\"weft.taskbench.history/"
                              "1\",\"started\":\"3\",\"key\":\"k\",\"rows\":[{\"row\":\"go 2w\","
                              "\"time\":7,\"ref\":null}]}\n";

static const char comparison[] =
    "{\"schema\":\"weft.taskbench/"
    "1\",\"command\":\"ab\",\"results\":[{\"workload\":\"go\",\"workers\":2,"
    "\"check\":\"ok\",\"time\":{\"ratio\":1.1,\"ci95\":[1.0,1.2]},\"exact\":{\"allocs_per_op\":{"
    "\"base\":0,"
    "\"cand\":1,\"is\":\"more\"},\"bytes_per_op\":{\"base\":2,\"cand\":1,\"is\":\"less\"},"
    "\"syscalls_per_op\":"
    "{\"base\":null,\"cand\":null,\"is\":\"unknown\"},\"instructions_per_op\":{\"base\":5,\"cand\":"
    "5,"
    "\"is\":\"varies\"}},\"verdict\":\"slower\"}]}";

static const char budgets[] =
    "{\"schema\":\"weft.taskbench.budgets/"
    "1\",\"build\":\"gcc\",\"rows\":[{\"workload\":\"go\",\"workers\":1,"
    "\"params\":{\"tasks\":64},\"rounds\":5,\"io\":\"uring\",\"limits\":{\"allocs_per_op\":0,"
    "\"instructions_per_op\":1.5},\"allow\":{\"bytes_per_op\":2},\"functions\":{\"wf_go\":3.5}}]}";

static const char floors[] =
    "{\"schema\":\"weft.taskbench.floors/1\",\"machine\":\"k\",\"rows\":[{\"workload\":\"go\","
    "\"workers\":1,\"floor\":0.01}]}";

static const char said[] =
    "line 40.5\nsample 10000 500 20000 900\ncounted 500 5 5 320\nuncounted 5 no hooks\n"
    "counter steals 7 19\nmetric task_bytes B 4300.5\ntraced 12\nuntraced refused\n"
    "site alloc 3 96 4711 /usr/lib/x.so\ttask run (main.c:3)\n"
    "site call 3 0 4711 /bin/x\tread\nrss 12345\nreport weft 0.1\nskip why\nwrong why\ndone\n";

static const char callgrind[] =
    "events: Ir\nfl=(1) a.c\nfn=(1) main\n10 5\n+3 7\ncfn=(2) work\ncalls=3 20\n11 90\n"
    "fn=(2)\n20 30\n* 60\ntotals: 102\n";

/* As fio 3.33 writes it, shortened. */
static const char fio[] =
    "fio: a note that stands before it\n{\n  \"fio version\" : \"fio-3.33\",\n  \"global "
    "options\" : {\n    \"rw\" : \"randread\"\n  },\n  \"jobs\" : [\n    {\n      "
    "\"jobname\" : \"taskbench\",\n      \"error\" : 0,\n      \"read\" : {\n        "
    "\"io_bytes\" : 1048576,\n        \"iops\" : 200000.500000,\n        \"clat_ns\" : {\n    "
    "      \"min\" : 1200,\n          \"percentile\" : {\n            \"50.000000\" : 1400,\n    "
    "        \"99.000000\" : 9024\n          }\n        }\n      },\n      \"write\" : {\n      "
    "  \"iops\" : 0.000000,\n        \"clat_ns\" : {\n          \"min\" : 0\n        }\n      "
    "}\n    }\n  ]\n}\n";

static const char peers[] =
    "{\"schema\": \"weft.peers/1\", \"part\": \"compute\", \"written\": "
    "\"2026-01-02T03:04:05Z\",\n \"machine\": {\"cpu\": \"a processor\", \"cpus\": 2, "
    "\"kernel\": \"6.1\"}, \"missing\": [\"tbb\"],\n \"rows\": [\n  {\"row\": \"fib/1\", "
    "\"title\": \"fib, threads: 1\", \"rounds\": 5, \"programs\": [\n   {\"program\": "
    "\"weft\", \"metrics\": {\"ns\": 3.5, \"of_weft\": 1}},\n   {\"program\": \"go\", "
    "\"metrics\": {\"ns\": 300, \"of_weft\": 85.7}}]},\n  {\"row\": \"echo\", \"title\": "
    "\"echo\", \"programs\": [\n   {\"program\": \"bare_ring\", \"metrics\": {\"cpu_us\": "
    "5, \"p99_us\": 400, \"idle_rss_bytes\": 9e6}}]}]}\n";

/* Pieces that mean something to a reader of JSON or to arithmetic. */
static const char *const pieces[] = {
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-",
    "0",
    "1e308",
    "1e-308",
    "1e999",
    "-1",
    "[[[[[[[[",
    "\n",
    "\xff",
    "99999999999999999999",
    "{\"a\":",
    "\"samples\":[]",
    "\"points\":[[0,0]]",
    "0.0",
    "1e17",
    "\\",
    "\xed\xa0\x80",
};

/* One change of the text, whose bytes are given and returned. */
static size_t tweak(char *text, size_t n)
{
    size_t at = n ? random_below(n) : 0, span = 1 + random_below(12);
    switch (random_below(5)) {
    case 0: /* another byte */
        text[at] = (char)random_below(256);
        return n ? n : 1;
    case 1: /* some are missing */
        span = span < n - at ? span : n - at;
        memmove(text + at, text + at + span, n - at - span);
        return n - span;
    case 2: /* the end is missing */
        return at;
    case 3: { /* something twice */
        span = span * 8 < n - at ? span * 8 : n - at;
        span = span < TEXT_MAX - n ? span : TEXT_MAX - n;
        memmove(text + at + span, text + at, n - at);
        return n + span;
    }
    default: {
        const char *piece = pieces[random_below(sizeof pieces / sizeof *pieces)];
        span = strlen(piece) < TEXT_MAX - n ? strlen(piece) : 0;
        memmove(text + at + span, text + at, n - at);
        memcpy(text + at, piece, span);
        return n + span;
    }
    }
}

/* A copy with up to so many changes; its bytes. */
static size_t spoil_by(uint64_t changes_max, const char *whole, char text[TEXT_MAX])
{
    size_t n = strlen(whole);
    memcpy(text, whole, n);
    for (uint64_t left = 1 + random_below(changes_max); left > 0; left--) {
        n = tweak(text, n);
    }
    return n;
}

/* Without what a whole one is it is not worth much: few changes, often. */
static size_t spoil(const char *whole, char text[TEXT_MAX])
{
    return spoil_by(TWEAK_MAX, whole, text);
}

static void write_file(const char *path, const char *text, size_t n)
{
    FILE *file = fopen(path, "we");
    wt_true(file != NULL);
    wt_eq(fwrite(text, 1, n, file), n);
    fclose(file);
}

Test(fuzz, any_text_is_json_or_is_refused_with_a_line, .timeout = 60)
{
    char text[TEXT_MAX];
    struct tb_doc doc;
    for (uint64_t left = begin(); left > 0; left--) {
        /* in memory of its exact size: a read beyond the end is a sanitizer's business */
        size_t n = spoil(result, text);
        char *exact = malloc(n + 1);
        memcpy(exact, text, n);
        int rc = tb_doc_read(&doc, exact, n);
        wt_true((rc == 0) == (doc.root != NULL));
        wt_true((rc == 0) == (doc.error[0] == '\0'), "%s", doc.error);
        wt_true(strchr(doc.error, '\n') == NULL);
        tb_doc_free(&doc);
        free(exact);
    }
}

Test(fuzz, any_result_and_history_give_a_page_or_a_line, .timeout = 100)
{
    static struct tb_report report;
    static struct tb_history lines;
    char folder[] = "/tmp/taskbench-fuzz-XXXXXX", a[64], b[64], h[64], text[TEXT_MAX];
    uint64_t pages = 0, rounds = begin() / 10; /* files are slow */
    FILE *null = fopen("/dev/null", "we");
    wt_true(mkdtemp(folder) != NULL);
    snprintf(a, sizeof a, "%s/a", folder);
    snprintf(b, sizeof b, "%s/b", folder);
    snprintf(h, sizeof h, "%s/h", folder);
    write_file(a, result, strlen(result));
    for (uint64_t left = rounds; left > 0; left--) {
        size_t n = spoil(result, text);
        write_file(b, text, n);
        n = spoil(history, text);
        write_file(h, text, n);
        report = (struct tb_report){.inputs_n = 2};
        int rc = tb_saved_load(&report.inputs[0], a);
        wt_eq(rc, 0);
        rc = tb_saved_load(&report.inputs[1], b);
        wt_true((rc == 0) == (report.inputs[1].error[0] == '\0'));
        report.inputs_n = rc == 0 ? 2 : 1;
        report.history = tb_history_load(&lines, h) == 0 ? &lines : NULL;
        wt_true(report.history || lines.error[0]);
        tb_report_write(&report, null);
        pages += rc == 0;
        tb_saved_free(&report.inputs[0]);
        tb_saved_free(&report.inputs[1]);
        tb_history_free(&lines);
    }
    wt_gt(pages, rounds / 50); /* else nothing but the reader was tried */
    fclose(null);
    unlink(a);
    unlink(b);
    unlink(h);
    rmdir(folder);
}

Test(fuzz, any_comparison_gives_a_page_or_a_line, .timeout = 60)
{
    static struct tb_report report;
    char path[] = "/tmp/taskbench-fuzz-XXXXXX", text[TEXT_MAX];
    FILE *null = fopen("/dev/null", "we");
    close(mkstemp(path));
    for (uint64_t left = begin() / 10; left > 0; left--) {
        write_file(path, text, spoil(comparison, text));
        report = (struct tb_report){.inputs_n = 1};
        if (tb_saved_load(&report.inputs[0], path) == 0) {
            tb_report_write(&report, null);
        }
        tb_saved_free(&report.inputs[0]);
    }
    fclose(null);
    unlink(path);
}

Test(fuzz, any_budgets_and_floors_are_taken_or_refused_with_a_line, .timeout = 60)
{
    static struct tb_budgets b;
    static struct tb_floors f;
    char path[] = "/tmp/taskbench-fuzz-XXXXXX", text[TEXT_MAX];
    close(mkstemp(path));
    for (uint64_t left = begin() / 10; left > 0; left--) {
        write_file(path, text, spoil(budgets, text));
        int rc = tb_budgets_load(&b, path);
        wt_true((rc == 0) == (b.error[0] == '\0'), "%s", b.error);
        wt_true(strchr(b.error, '\n') == NULL);
        write_file(path, text, spoil(floors, text));
        rc = tb_floors_load(&f, path);
        wt_true(rc == 0 || f.error[0] != '\0');
    }
    unlink(path);
}

Test(fuzz, whatever_a_process_says_stays_within_its_row, .timeout = 60)
{
    static struct tb_row row;
    char text[TEXT_MAX + 1];
    for (uint64_t left = begin(); left > 0; left--) {
        text[spoil(said, text)] = '\0';
        row = (struct tb_row){.load = tb_load_find("go"), .workers = 1};
        struct tb_wire_in in = {.row = &row};
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
            (void)tb_wire_read(&in, line);
        }
        wt_le(row.samples_n, (size_t)TB_SAMPLES_MAX);
        wt_true(row.metrics_n <= TB_METRICS_MAX && row.sites_n <= TB_SITES_MAX);
        for (int i = 0; i < row.sites_n; i++) {
            wt_gt(row.sites[i].count, 0u); /* reports divide by it */
        }
        tb_row_finish(&row);
    }
}

Test(fuzz, any_output_of_callgrind_is_read_or_refused, .timeout = 60)
{
    static struct tb_instructions out;
    char text[TEXT_MAX];
    for (uint64_t left = begin() / 10; left > 0; left--) {
        size_t n = spoil(callgrind, text);
        FILE *file = n ? fmemopen(text, n, "r") : NULL;
        if (file) {
            wt_true((tb_callgrind_read(file, &out) == 0) == out.counted);
            wt_true(out.functions_n >= 0 && out.functions_n <= TB_FUNCTIONS_MAX);
            fclose(file);
        }
    }
}

static void check_fio(const char *text, enum tb_disk_kind kind)
{
    double p99_ns = -2, ns = tb_fio_read(text, kind, &p99_ns);
    wt_true(ns == -1 || (ns >= 1 && ns <= 1e13), "%g", ns); /* a row divides by it */
    wt_true(p99_ns >= 0 && p99_ns <= 1e13, "%g", p99_ns);
}

Test(fuzz, numbers_that_no_disk_has_are_not_taken_from_fio)
{
    static const char *const numbers[] = {"0",     "-5",   "1e308", "1e-308", "1e999",
                                          "1e-99", "null", "\"5\"", "[]",     "{}"};
    char text[200];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(text, sizeof text, "{\"jobs\":[{\"read\":{\"iops\":%s}}]}", numbers[i]);
        double p99_ns, ns = tb_fio_read(text, TB_DISK_RANDREAD, &p99_ns);
        wt_true(ns == -1, "%s: %g", numbers[i], ns);
        snprintf(text, sizeof text,
                 "{\"jobs\":[{\"read\":{\"iops\":8,\"clat_ns\":{\"percentile\":{"
                 "\"99.000000\":%s}}}}]}",
                 numbers[i]);
        check_fio(text, TB_DISK_RANDREAD);
    }
}

Test(fuzz, any_output_of_fio_gives_a_figure_of_a_disk_or_none, .timeout = 60)
{
    char text[TEXT_MAX + 1];
    double p99_ns;
    uint64_t read = 0, rounds = begin();
    wt_true(tb_fio_read(fio, TB_DISK_RANDREAD, &p99_ns) > 4999 && p99_ns == 9024);
    wt_eq(tb_fio_read(fio, TB_DISK_SEQWRITE, &p99_ns), -1);
    for (size_t cut = 0; cut < sizeof fio - 2; cut++) { /* all but the last brace: never whole */
        memcpy(text, fio, cut);
        text[cut] = '\0';
        wt_eq(tb_fio_read(text, TB_DISK_RANDREAD, &p99_ns), -1);
    }
    for (size_t bit = 0; bit < 8 * (sizeof fio - 1); bit++) {
        memcpy(text, fio, sizeof fio);
        text[bit / 8] ^= (char)(1 << bit % 8);
        check_fio(text, TB_DISK_RANDREAD);
    }
    for (uint64_t left = rounds; left > 0; left--) {
        text[spoil(fio, text)] = '\0';
        check_fio(text, left % 2 ? TB_DISK_RANDREAD : TB_DISK_SEQWRITE);
        read += tb_fio_read(text, TB_DISK_RANDREAD, &p99_ns) > 0;
    }
    wt_gt(read, rounds / 50); /* else nothing but the reader of JSON was tried */
}

static void show_peers(const struct tb_peers_part *part, const struct tb_peers_rows *rows,
                       FILE *out)
{
    (void)tb_peers_rivals(part, rows);
    tb_peers_table(part, rows, out, false);
    tb_peers_md(part, rows, out);
    tb_peers_csv(part, rows, out);
    tb_peers_json(part, 1, rows, out);
}

/* What is shown of a part that was taken is JSON again, whatever its names and numbers. */
static void check_shown(const struct tb_peers_part *part)
{
    static const struct tb_peers_rows all = {NULL, 0};
    char *json = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&json, &bytes);
    struct tb_doc doc;
    tb_peers_json(part, 1, &all, out);
    fclose(out);
    wt_eq(tb_doc_read(&doc, json, bytes), 0, "%s in %s", doc.error, json);
    tb_doc_free(&doc);
    free(json);
}

Test(fuzz, any_file_of_peers_is_shown_or_refused_with_a_line, .timeout = 60)
{
    static const struct tb_peers_rows all = {NULL, 0};
    char path[] = "/tmp/taskbench-fuzz-XXXXXX", text[TEXT_MAX];
    uint64_t shown = 0, rounds = begin() / 5;
    FILE *null = fopen("/dev/null", "we");
    close(mkstemp(path));
    for (uint64_t left = rounds; left > 0; left--) {
        struct tb_peers_part part;
        write_file(path, text, spoil_by(2, peers, text));
        int rc = tb_peers_load(&part, TB_PEERS_COMPUTE, path);
        wt_true((rc == 0) == (part.error[0] == '\0'), "%s", part.error);
        wt_true(strchr(part.error, '\n') == NULL, "%s", part.error);
        if (rc == 0) {
            show_peers(&part, &all, null);
            check_shown(&part);
        }
        shown += rc == 0;
        tb_peers_free(&part);
    }
    wt_gt(shown, rounds / 50);
    fclose(null);
    unlink(path);
}

Test(fuzz, any_arguments_of_an_agent_are_a_row_or_refused, .timeout = 60)
{
    static struct tb_row row;
    struct tb_plan plan;
    char text[TEXT_MAX + 1];
    for (uint64_t left = begin(); left > 0; left--) {
        char *argv[64] = {"agent"};
        int argc = 1;
        text[spoil("go workers=2 seed=3 pass=1 rounds=44 budget=9 p.tasks=5 pin=1", text)] = '\0';
        for (char *word = strtok(text, " "); word && argc < 63; word = strtok(NULL, " ")) {
            argv[argc++] = word;
        }
        int rc = tb_agent_args_read(argc, argv, &row, &plan);
        wt_true(rc != 0 || (row.load && row.workers >= 1 && plan.pass <= TB_PASS_CALLGRIND));
    }
}
