/* opts.h: command lines that are a list of options and words, described by a table. Every mistake
 * is one line that names the argument, and the one that was meant if something near it exists.
 * `taskbench run` has a parser of its own (args.h), whose options build on each other. */
#ifndef TB_OPTS_H
#define TB_OPTS_H

#include <stdbool.h>
#include <stdint.h>

#define TB_WORDS_MAX      64
#define TB_OPTS_ERROR_MAX 200

enum tb_opt_kind {
    TB_OPT_FLAG,   /* bool: without a value */
    TB_OPT_COUNT,  /* uint64_t: a whole number; k and m are thousands and millions */
    TB_OPT_BYTES,  /* uint64_t: the same, but k, m and g are 1024, 1024^2 and 1024^3 */
    TB_OPT_REAL,   /* double */
    TB_OPT_TEXT,   /* const char *: kept by pointer, not empty */
    TB_OPT_CHOICE, /* int: the index in `choices` */
};

struct tb_opt {
    const char *name; /* with its dashes; NULL ends the table */
    enum tb_opt_kind kind;
    void *value;                /* of the type above; untouched unless the option is there */
    double least, most;         /* of a number, both allowed; below 2^53 */
    const char *const *choices; /* ended by NULL */
    bool *given;                /* set if the option is there; may be NULL */
};

/* The arguments that are no options, by pointer. */
struct tb_words {
    const char *at[TB_WORDS_MAX];
    int n;
};

/* argv[0] is the command's name. "--" ends the options; "-" alone is a word. 0; -EINVAL with
 * `error` set. */
int tb_opts_parse(const struct tb_opt *opts, int argc, char **argv, struct tb_words *words,
                  char error[TB_OPTS_ERROR_MAX]);

/* The index of `text` in a list that NULL ends; -1: it is not there. */
int tb_choice_of(const char *const *choices, const char *text);

#endif
