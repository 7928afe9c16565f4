/* test_doc.c: the reader of budgets and stored results (tools/taskbench/doc.h). */
#include "tests/support/wt.h"
#include "doc.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tb_doc doc;

static const struct tb_value *read_text(const char *text)
{
    tb_doc_free(&doc);
    wt_eq(tb_doc_read(&doc, text, strlen(text)), 0, "%s: %s", text, doc.error);
    return doc.root;
}

static void expect_refused(const char *text)
{
    tb_doc_free(&doc);
    wt_eq(tb_doc_read(&doc, text, strlen(text)), -EINVAL, "'%s'", text);
    wt_true(doc.error[0] != '\0' && doc.root == NULL, "'%s'", text);
}

Test(doc, members_and_items_are_found_in_their_order)
{
    const struct tb_value *root =
        read_text(" {\"a\": [1, 2.5, -3e2], \"b\": {\"c\": true}, \"n\": null}\n");
    const struct tb_value *a = tb_member(root, "a");
    wt_eq(a->n, 3u);
    wt_eq(a->first->number, 1.0);
    wt_eq(a->first->next->number, 2.5);
    wt_eq(a->first->next->next->number, -300.0);
    wt_true(a->first->next->next->next == NULL);
    wt_true(tb_member(tb_member(root, "b"), "c")->boolean);
    wt_eq(tb_member(root, "n")->kind, TB_NULL);
    wt_true(tb_member(root, "x") == NULL && tb_member(NULL, "x") == NULL &&
            tb_member(a, "x") == NULL);
    wt_eq(tb_member_number(root, "x", 7), 7.0);
    wt_true(tb_member_text(root, "a") == NULL);
}

Test(doc, escapes_are_what_they_mean)
{
    const struct tb_value *root = read_text("[\"a\\\"\\\\\\/\\n\\u0041\\u00e4\\u20ac\", \"\"]");
    wt_str_eq(root->first->text, "a\"\\/\nA\xc3\xa4\xe2\x82\xac");
    wt_str_eq(root->first->next->text, "");
}

Test(doc, what_is_not_json_is_refused_with_its_line)
{
    static const char *const bad[] = {
        "",     " ",     "{",     "[1,]",      "{\"a\"}",    "{\"a\":}",  "{a:1}",       "[1 2]",
        "01",   "1.",    ".5",    "+1",        "1e",         "0x10",      "inf",         "nan",
        "tru",  "nulll", "\"",    "\"\\",      "\"\\x\"",    "\"\\u12\"", "\"\\u0000\"", "\"a\nb\"",
        "[1]]", "{} {}", "1e999", "[\"a\\\"]", "{\"a\":1,}", "'a'",       "-",           "[,1]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_refused(bad[i]);
    }
    expect_refused("{\n \"a\": 1,\n \"b\": oops\n}");
    wt_str_eq(doc.error, "line 3: a number that is none");
}

Test(doc, depth_has_a_bound)
{
    char text[2 * (TB_DOC_DEPTH_MAX + 1) + 1] = "";
    for (int i = 0; i < TB_DOC_DEPTH_MAX; i++) {
        strcat(text, "[");
    }
    for (int i = 0; i < TB_DOC_DEPTH_MAX; i++) {
        strcat(text, "]");
    }
    read_text(text);
    memset(text, '[', sizeof text - 1);
    expect_refused(text);
}

Test(doc, files_that_cannot_be_read_say_so)
{
    tb_doc_free(&doc);
    wt_eq(tb_doc_load(&doc, "/nonexistent/x.json"), -ENOENT);
    wt_true(strstr(doc.error, "/nonexistent/x.json") != NULL);
    wt_lt(tb_doc_load(&doc, "/"), 0);
    wt_true(doc.error[0] != '\0');
    tb_doc_free(&doc);
}

/* xorshift: what a seed repeats. */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* A text that is almost JSON, cut, repeated and disturbed: it is read or refused, and under the
 * sanitizers nothing is touched that should not be. The text has no end mark: it must not be
 * missed. */
Test(doc, any_bytes_are_read_or_refused)
{
    static const char seedling[] =
        "{\"schema\":\"x/1\",\"rows\":[{\"a\":1.5e3,\"b\":[true,false,null]},"
        "{\"s\":\"\\u00e4\\n\\\"\"}]}";
    static const char letters[] = "{}[]\",:\\u0123eE+-.tfn \n\x01\xff";
    uint32_t state = 2463534242u;
    for (int round = 0; round < 20000; round++) {
        size_t n = next_random(&state) % sizeof seedling;
        char *text = malloc(n + 1);
        memcpy(text, seedling, n);
        for (uint32_t i = next_random(&state) % 4; i > 0 && n > 0; i--) {
            text[next_random(&state) % n] = letters[next_random(&state) % (sizeof letters - 1)];
        }
        text = realloc(text, n ? n : 1);
        tb_doc_free(&doc);
        int rc = tb_doc_read(&doc, text, n);
        wt_true(rc == 0 ? doc.root != NULL : doc.root == NULL && doc.error[0] != '\0');
        free(text);
    }
    tb_doc_free(&doc);
}
