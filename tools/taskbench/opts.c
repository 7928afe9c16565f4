/* opts.c: see opts.h. */
#include "opts.h"
#include "suggest.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int refuse(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(char *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, TB_OPTS_ERROR_MAX, format, args);
    va_end(args);
    return -EINVAL;
}

/* --- values ----------------------------------------------------------------------------------- */

/* What a letter after a number multiplies it by; 0: there is no such letter. */
static uint64_t unit_of(char letter, uint64_t thousand)
{
    switch (letter) {
    case '\0':
        return 1;
    case 'k':
        return thousand;
    case 'm':
        return thousand * thousand;
    case 'g':
        return thousand * thousand * thousand;
    default:
        return 0;
    }
}

static bool read_count(const char *text, uint64_t thousand, uint64_t *value)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    uint64_t number = strtoull(text, &end, 10), unit = unit_of(*end, thousand);
    end += *end != '\0';
    return errno == 0 && unit > 0 && *end == '\0' && !__builtin_mul_overflow(number, unit, value);
}

static int take_count(const struct tb_opt *opt, const char *text, char *error)
{
    uint64_t value, thousand = opt->kind == TB_OPT_BYTES ? 1024 : 1000;
    if (!read_count(text, thousand, &value) || (double)value < opt->least ||
        (double)value > opt->most) {
        return refuse(error, "%s is a whole number from %.0f to %.0f, not '%.40s'", opt->name,
                      opt->least, opt->most, text);
    }
    *(uint64_t *)opt->value = value;
    return 0;
}

static int take_real(const struct tb_opt *opt, const char *text, char *error)
{
    char *end;
    double value = strtod(text, &end);
    bool is_number = text[0] >= '0' && text[0] <= '9' && *end == '\0' && isfinite(value);
    if (!is_number || value < opt->least || value > opt->most) {
        return refuse(error, "%s is a number from %g to %g, not '%.40s'", opt->name, opt->least,
                      opt->most, text);
    }
    *(double *)opt->value = value;
    return 0;
}

static int take_text(const struct tb_opt *opt, const char *text, char *error)
{
    if (text[0] == '\0') {
        return refuse(error, "%s needs a value", opt->name);
    }
    *(const char **)opt->value = text;
    return 0;
}

int tb_choice_of(const char *const *choices, const char *text)
{
    for (int i = 0; choices[i]; i++) {
        if (strcmp(choices[i], text) == 0) {
            return i;
        }
    }
    return -1;
}

static int take_choice(const struct tb_opt *opt, const char *text, char *error)
{
    char all[100] = "", hint[TB_HINT_MAX];
    struct tb_suggest suggest = tb_suggest_for(text);
    int at = tb_choice_of(opt->choices, text);
    if (at >= 0) {
        *(int *)opt->value = at;
        return 0;
    }
    for (const char *const *choice = opt->choices; *choice; choice++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", *choice);
        tb_suggest_try(&suggest, *choice);
    }
    return refuse(error, "%s is one of %s, not '%.40s'%s", opt->name, all, text,
                  tb_suggest_hint(&suggest, hint));
}

static int take_value(const struct tb_opt *opt, const char *text, char *error)
{
    switch (opt->kind) {
    case TB_OPT_COUNT:
    case TB_OPT_BYTES:
        return take_count(opt, text, error);
    case TB_OPT_REAL:
        return take_real(opt, text, error);
    case TB_OPT_TEXT:
        return take_text(opt, text, error);
    case TB_OPT_CHOICE:
        return take_choice(opt, text, error);
    default:
        *(bool *)opt->value = true;
        return 0;
    }
}

/* --- the line --------------------------------------------------------------------------------- */

/* `n` bytes of `text` are the name. */
static const struct tb_opt *find_opt(const struct tb_opt *opts, const char *text, size_t n)
{
    for (; opts->name; opts++) {
        if (strncmp(opts->name, text, n) == 0 && opts->name[n] == '\0') {
            return opts;
        }
    }
    return NULL;
}

static int refuse_option(const struct tb_opt *opts, const char *text, size_t n, char *error)
{
    char name[32], hint[TB_HINT_MAX];
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), text);
    struct tb_suggest suggest = tb_suggest_for(name);
    for (; opts->name; opts++) {
        tb_suggest_try(&suggest, opts->name);
    }
    return refuse(error, "unknown option '%s'%s", name, tb_suggest_hint(&suggest, hint));
}

/* The option at argv[at], as "--name value" or "--name=value". The index of the last argument used,
 * or -EINVAL. */
static int take_option(const struct tb_opt *opts, int argc, char **argv, int at, char *error)
{
    const char *text = argv[at];
    size_t n = strcspn(text, "=");
    bool attached = text[n] == '=';
    const struct tb_opt *opt = find_opt(opts, text, n);
    if (!opt) {
        return refuse_option(opts, text, n, error);
    }
    bool has_value = opt->kind != TB_OPT_FLAG;
    if (attached && !has_value) {
        return refuse(error, "%s takes no value", opt->name);
    }
    if (has_value && !attached && at + 1 == argc) {
        return refuse(error, "%s needs a value", opt->name);
    }
    int rc = take_value(opt, attached ? text + n + 1 : has_value ? argv[at + 1] : "", error);
    if (opt->given) {
        *opt->given = true;
    }
    return rc < 0 ? rc : at + (has_value && !attached);
}

int tb_opts_parse(const struct tb_opt *opts, int argc, char **argv, struct tb_words *words,
                  char error[TB_OPTS_ERROR_MAX])
{
    bool options_over = false;
    words->n = 0;
    error[0] = '\0';
    for (int i = 1; i < argc; i++) {
        bool is_option = !options_over && argv[i][0] == '-' && argv[i][1] != '\0';
        if (is_option && strcmp(argv[i], "--") == 0) {
            options_over = true;
        } else if (is_option) {
            i = take_option(opts, argc, argv, i, error);
            if (i < 0) {
                return i;
            }
        } else if (words->n == TB_WORDS_MAX) {
            return refuse(error, "%d arguments at most", TB_WORDS_MAX);
        } else {
            words->at[words->n++] = argv[i];
        }
    }
    return 0;
}
