/* test_fuzz.c: whatever taskbench reads, it ends, and without a fault: results, histories and JSON in
 * general, made from whole ones by random changes. The seed is printed; WT_SEED=n repeats it, WT_ROUNDS=n
 * goes on for longer. The sanitizers' builds are where this is worth most. */
#include "tests/support/wt.h"
#include "report.h"
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

/* A changed copy; its bytes. Without what a whole one is it is not worth much: few changes, often. */
static size_t spoil(const char *whole, char text[TEXT_MAX])
{
    size_t n = strlen(whole);
    memcpy(text, whole, n);
    for (uint64_t left = 1 + random_below(TWEAK_MAX); left > 0; left--) {
        n = tweak(text, n);
    }
    return n;
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
