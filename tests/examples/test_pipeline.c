/* test_pipeline.c: examples/pipeline.c as a program, against wc. */
#include "program.h"

/* wc's columns are as wide as they need to be, ours are not. */
#define REFERENCE "LC_ALL=C wc \"$@\" | awk '{ printf \"%8s %8s %10s %s\\n\", $1, $2, $3, $4 }'"

static void write_file(const char *path, const char *pattern, size_t bytes)
{
    FILE *file = fopen(path, "w");
    wt_true(file != NULL, "%s: errno %d", path, errno);
    for (size_t i = 0; i < bytes; i++) {
        putc(pattern[i % strlen(pattern)], file);
    }
    wt_eq(fclose(file), 0);
}

/* A directory with files of which words and lines lie across the borders of blocks. */
static char *files_new(void)
{
    static char directory[] = "/tmp/weft-pipeline-XXXXXX";
    wt_true(mkdtemp(directory) != NULL);
    wt_eq(chdir(directory), 0);
    write_file("empty", "x", 0);
    write_file("one-word", "x", 1);
    write_file("no-newline", "two words", 9);
    write_file("long-word", "x", 1000000);
    write_file("lines", "some words on a line\n", 3000000);
    write_file("spaces", " \t\n\v\f\r", 700000);
    write_file("primes", "a bc def\nghijk lmnopqr ", 262144 * 3);
    return directory;
}

static void files_remove(const char *directory)
{
    struct program rm;
    program_start(&rm, "rm", "-rf", "--", directory);
    wt_eq(program_wait(&rm, PROGRAM_PATIENCE_MS), 0);
    program_free(&rm);
}

#define FILES "empty", "one-word", "no-newline", "long-word", "lines", "spaces", "primes"

static void expect_as_wc(const char *readers)
{
    struct program ours;
    struct program wc;
    program_start(&wc, "sh", "-c", REFERENCE, "sh", FILES);
    wt_eq(program_wait(&wc, PROGRAM_PATIENCE_MS), 0);
    program_start(&ours, example("pipeline"), "-j", readers, FILES);
    wt_eq(program_wait(&ours, PROGRAM_PATIENCE_MS), 0, "%s", ours.err.bytes);
    wt_str_eq(ours.out.bytes, wc.out.bytes, "with -j %s", readers);
    wt_str_eq(ours.err.bytes, "");
    program_free(&ours);
    program_free(&wc);
}

Test(pipeline, counts_what_wc_counts)
{
    const char *directory = files_new();
    expect_as_wc("1");
    expect_as_wc("4");
    expect_as_wc("1000");
    files_remove(directory);
}

Test(pipeline, one_file_has_no_total)
{
    const char *directory = files_new();
    struct program ours;
    program_start(&ours, example("pipeline"), "no-newline");
    wt_eq(program_wait(&ours, PROGRAM_PATIENCE_MS), 0);
    wt_str_eq(ours.out.bytes, "       0        2          9 no-newline\n");
    program_free(&ours);
    files_remove(directory);
}

Test(pipeline, what_cannot_be_read_is_reported_and_the_rest_is_counted)
{
    const char *directory = files_new();
    struct program ours;
    program_start(&ours, example("pipeline"), "one-word", "not-there", "/", "no-newline");
    wt_eq(program_wait(&ours, PROGRAM_PATIENCE_MS), 1);
    wt_str_eq(ours.out.bytes, "       0        1          1 one-word\n"
                              "       0        2          9 no-newline\n"
                              "       0        3         10 total\n");
    wt_str_eq(ours.err.bytes, "pipeline: not-there: No such file or directory\n"
                              "pipeline: /: Is a directory\n");
    program_free(&ours);
    files_remove(directory);
}

Test(pipeline, a_wrong_usage_is_one_clear_line)
{
    const char *pipeline = example("pipeline");
    check_usage_error(pipeline);
    check_usage_error(pipeline, "-x", "a");
    check_usage_error(pipeline, "-j", "0", "a");
    check_usage_error(pipeline, "-j", "1x", "a");
    check_usage_error(pipeline, "-j", "1025", "a");
    check_usage_error(pipeline, "-j");
}
