/* test_opts.c: command lines described by a table (tools/taskbench/opts.h). */
#include "tests/support/wt.h"
#include "opts.h"
#include <errno.h>

static const char *const shapes[] = {"round", "square", NULL};

struct line {
    bool flag, given;
    uint64_t count, bytes;
    double real;
    const char *text;
    int shape;
    struct tb_words words;
    char error[TB_OPTS_ERROR_MAX];
};

#define LINE(...) ((char *[]){"verb", ##__VA_ARGS__, NULL})

static int parse(struct line *line, char **argv)
{
    const struct tb_opt table[] = {
        {.name = "--flag", .kind = TB_OPT_FLAG, .value = &line->flag},
        {.name = "--count", .kind = TB_OPT_COUNT, .value = &line->count, .least = 1, .most = 5000},
        {.name = "--bytes", .kind = TB_OPT_BYTES, .value = &line->bytes, .most = 1e12},
        {.name = "--real",
         .kind = TB_OPT_REAL,
         .value = &line->real,
         .least = 0.5,
         .most = 10,
         .given = &line->given},
        {.name = "-o", .kind = TB_OPT_TEXT, .value = &line->text},
        {.name = "--shape", .kind = TB_OPT_CHOICE, .value = &line->shape, .choices = shapes},
        {.name = NULL},
    };
    int argc = 0;
    while (argv[argc]) {
        argc++;
    }
    *line = (struct line){.count = 7};
    return tb_opts_parse(table, argc, argv, &line->words, line->error);
}

static void expect_refused(char **argv, const char *error)
{
    struct line line;
    wt_eq(parse(&line, argv), -EINVAL);
    wt_str_eq(line.error, error);
}

Test(opts, what_is_not_given_stays)
{
    struct line line;
    wt_eq(parse(&line, LINE()), 0);
    wt_eq(line.count, 7u);
    wt_false(line.given);
    wt_eq(line.words.n, 0);
}

Test(opts, values_are_attached_or_follow)
{
    struct line line;
    char **argv = LINE("--flag", "--count=2k", "a", "--bytes", "4k", "--real=1.5", "-o", "x",
                       "--shape", "square", "--", "--flag");
    wt_eq(parse(&line, argv), 0, "%s", line.error);
    wt_true(line.flag && line.given);
    wt_eq(line.count, 2000u);
    wt_eq(line.bytes, 4096u);
    wt_eq(line.real, 1.5);
    wt_str_eq(line.text, "x");
    wt_eq(line.shape, 1);
    wt_eq(line.words.n, 2);
    wt_str_eq(line.words.at[1], "--flag");
}

Test(opts, every_mistake_is_one_line_that_names_the_argument)
{
    expect_refused(LINE("--flga"), "unknown option '--flga' (did you mean '--flag'?)");
    expect_refused(LINE("--flag=1"), "--flag takes no value");
    expect_refused(LINE("--count"), "--count needs a value");
    expect_refused(LINE("--count", "0"), "--count is a whole number from 1 to 5000, not '0'");
    expect_refused(LINE("--count", "6k"), "--count is a whole number from 1 to 5000, not '6k'");
    expect_refused(LINE("--count", "-1"), "--count is a whole number from 1 to 5000, not '-1'");
    expect_refused(LINE("--count", "5x"), "--count is a whole number from 1 to 5000, not '5x'");
    expect_refused(LINE("--count", "99999999999999999999"),
                   "--count is a whole number from 1 to 5000, not '99999999999999999999'");
    expect_refused(LINE("--real", "nan"), "--real is a number from 0.5 to 10, not 'nan'");
    expect_refused(LINE("-o", ""), "-o needs a value");
    expect_refused(LINE("--shape", "squaer"),
                   "--shape is one of round, square, not 'squaer' (did you mean 'square'?)");
}

Test(opts, more_words_than_there_is_room_for_are_refused)
{
    char *argv[TB_WORDS_MAX + 3] = {"verb"};
    struct line line;
    for (int i = 1; i <= TB_WORDS_MAX + 1; i++) {
        argv[i] = "word";
    }
    wt_eq(parse(&line, argv), -EINVAL);
    argv[TB_WORDS_MAX + 1] = NULL;
    wt_eq(parse(&line, argv), 0);
    wt_eq(line.words.n, TB_WORDS_MAX);
}
