/* args.c: see args.h. */
#include "args.h"
#include "ab.h"
#include "load.h"
#include "stats.h"
#include "suggest.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 3600.0

static int refuse(struct tb_args *args, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(struct tb_args *args, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(args->error, sizeof args->error, format, list);
    va_end(list);
    return -EINVAL;
}

/* --- values ----------------------------------------------------------------------------------- */

/* A whole number with an optional k or m for thousands and millions, all of `text`. */
static bool read_count(const char *text, uint64_t *value)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    uint64_t unit = *end == 'k' ? 1000 : *end == 'm' ? 1000000 : 1;
    end += unit > 1;
    return errno == 0 && *end == '\0' && !__builtin_mul_overflow(number, unit, value);
}

static bool read_real(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && isfinite(*value);
}

struct choice {
    const char *name;
    int value;
};

static int read_choice(struct tb_args *args, const char *option, const char *text,
                       const struct choice *choices, int *value)
{
    struct tb_suggest suggest = tb_suggest_for(text);
    char all[80] = "", hint[TB_HINT_MAX];
    for (const struct choice *c = choices; c->name; c++) {
        if (strcmp(c->name, text) == 0) {
            *value = c->value;
            return 0;
        }
        tb_suggest_try(&suggest, c->name);
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", c->name);
    }
    return refuse(args, "%s is one of %s, not '%s'%s", option, all, text,
                  tb_suggest_hint(&suggest, hint));
}

/* --- one function per option ------------------------------------------------------------------ */

static const struct choice sets[] = {
    {"quick", TB_SET_QUICK}, {"standard", TB_SET_STANDARD}, {NULL, 0}};

static const struct choice formats[] = {
    {"table", TB_FORMAT_TABLE}, {"json", TB_FORMAT_JSON},   {"csv", TB_FORMAT_CSV},
    {"md", TB_FORMAT_MD},       {"junit", TB_FORMAT_JUNIT}, {"gbench", TB_FORMAT_GBENCH},
    {"bmf", TB_FORMAT_BMF},     {"gab", TB_FORMAT_GAB},     {NULL, 0}};

const char *tb_set_name(enum tb_set set)
{
    return sets[set].name;
}

static int take_set(struct tb_args *args, const char *text)
{
    int value = 0, rc = read_choice(args, "--set", text, sets, &value);
    args->set = (enum tb_set)value;
    return rc;
}

static int take_format(struct tb_args *args, const char *text)
{
    int value = 0, rc = read_choice(args, "--format", text, formats, &value);
    args->format = (enum tb_format)value;
    args->format_given = true;
    return rc;
}

/* "2" or "1,2,4". */
static int take_workers(struct tb_args *args, const char *text)
{
    char one[16];
    args->workers_n = 0;
    for (const char *at = text; at; at = strchr(at, ',')) {
        at += *at == ',';
        uint64_t value;
        snprintf(one, sizeof one, "%.*s", (int)strcspn(at, ","), at);
        if (!read_count(one, &value) || value < 1 || value > WEFT_WORKERS_MAX) {
            return refuse(args,
                          "--workers is a number from 1 to %d, or several as in 1,2; not '%s'",
                          WEFT_WORKERS_MAX, text);
        }
        if (args->workers_n == TB_WORKERS_MAX) {
            return refuse(args, "--workers takes %d numbers at most", TB_WORKERS_MAX);
        }
        args->workers[args->workers_n++] = (int)value;
    }
    return 0;
}

static int take_reps(struct tb_args *args, const char *text)
{
    uint64_t value;
    if (!read_count(text, &value) || value < 1 || value > TB_SAMPLES_MAX) {
        return refuse(args, "--reps is a number from 1 to %d, not '%s'", TB_SAMPLES_MAX, text);
    }
    args->reps = (int)value;
    return 0;
}

static int take_seconds(struct tb_args *args, const char *text)
{
    if (!read_real(text, &args->seconds) || args->seconds <= 0 || args->seconds > SECONDS_MAX) {
        return refuse(args, "--seconds is above 0 and at most %.0f, not '%s'", SECONDS_MAX, text);
    }
    return 0;
}

static int take_seed(struct tb_args *args, const char *text)
{
    return read_count(text, &args->seed) ? 0
                                         : refuse(args, "--seed is a whole number, not '%s'", text);
}

static int take_setting(struct tb_args *args, const char *text)
{
    const char *equals = strchr(text, '=');
    struct tb_setting setting;
    size_t n = equals ? (size_t)(equals - text) : 0;
    if (n == 0 || n >= sizeof setting.key || !read_count(equals + 1, &setting.value)) {
        return refuse(args, "-p is key=number, as in -p tasks=1000; not '%s'", text);
    }
    if (args->settings_n == TB_SETTINGS_MAX) {
        return refuse(args, "-p may be given %d times at most", TB_SETTINGS_MAX);
    }
    memcpy(setting.key, text, n);
    setting.key[n] = '\0';
    args->settings[args->settings_n++] = setting;
    return 0;
}

static int take_out(struct tb_args *args, const char *text)
{
    args->out = text;
    return text[0] ? 0 : refuse(args, "-o needs the name of a file");
}

static int take_history(struct tb_args *args, const char *text)
{
    args->history = text;
    return text[0] ? 0 : refuse(args, "--history needs the name of a file");
}

static int take_label(struct tb_args *args, const char *text)
{
    args->label = text;
    return text[0] ? 0 : refuse(args, "--label needs a text, as the name of a commit");
}

static int take_assert_allocs(struct tb_args *args, const char *text)
{
    args->assert_allocs_given = true;
    if (!read_real(text, &args->assert_allocs)) {
        return refuse(args, "--assert-allocs is a number of allocations per op, not '%s'", text);
    }
    return 0;
}

static int take_no_color(struct tb_args *args, const char *text)
{
    (void)text;
    args->no_color = true;
    return 0;
}

static int take_quiet(struct tb_args *args, const char *text)
{
    (void)text;
    args->quiet = true;
    return 0;
}

static int take_budgets(struct tb_args *args, const char *text)
{
    args->budgets = text;
    return text[0] ? 0 : refuse(args, "--budgets needs the name of a file");
}

static int take_update(struct tb_args *args, const char *text)
{
    (void)text;
    args->update = true;
    return 0;
}

static int take_strict(struct tb_args *args, const char *text)
{
    (void)text;
    args->strict = true;
    return 0;
}

static int take_between(struct tb_args *args, const char *option, const char *text, int most,
                        int *value)
{
    uint64_t number;
    if (!read_count(text, &number) || number < 1 || number > (uint64_t)most) {
        return refuse(args, "%s is a number from 1 to %d, not '%s'", option, most, text);
    }
    *value = (int)number;
    return 0;
}

static int take_restarts(struct tb_args *args, const char *text)
{
    return take_between(args, "--restarts", text, TB_AB_RESTARTS_MAX / 4, &args->restarts);
}

static int take_pairs(struct tb_args *args, const char *text)
{
    return take_between(args, "--pairs", text, TB_AB_PAIRS_MAX, &args->pairs);
}

/* "3%" or "0.03", up to `end`. */
static bool read_part(const char *text, const char *end, double *value)
{
    char *after;
    *value = strtod(text, &after);
    bool is_percent = *after == '%';
    *value = is_percent ? *value / 100 : *value;
    return text[0] >= '0' && text[0] <= '9' && after + is_percent == end && *value > 0 &&
           *value < 10;
}

/* "3%", or a list as in "time=3%,instructions=1%". */
static int take_threshold(struct tb_args *args, const char *text)
{
    for (const char *at = text; at;) { /* ends: with the last comma */
        const char *comma = strchr(at, ','), *end = comma ? comma : at + strlen(at);
        bool is_time = strncmp(at, "time=", 5) == 0,
             of_instructions = strncmp(at, "instructions=", 13) == 0;
        double *to = of_instructions ? &args->instructions : &args->threshold;
        if (!read_part(at + (is_time ? 5 : of_instructions ? 13 : 0), end, to)) {
            return refuse(args,
                          "--threshold is a part of the time, as in 3%%, time=3%% or "
                          "time=3%%,instructions=1%%; not '%s'",
                          text);
        }
        at = comma ? comma + 1 : NULL;
    }
    return 0;
}

static int take_floors(struct tb_args *args, const char *text)
{
    args->floors = text;
    return text[0] ? 0 : refuse(args, "--floors needs the name of a file");
}

static int take_exact(struct tb_args *args, const char *text)
{
    (void)text;
    args->exact = true;
    return 0;
}

static int take_no_exact(struct tb_args *args, const char *text)
{
    (void)text;
    args->no_exact = true;
    return 0;
}

static int take_no_pin(struct tb_args *args, const char *text)
{
    (void)text;
    args->no_pin = true;
    return 0;
}

static int take_help(struct tb_args *args, const char *text)
{
    (void)text;
    args->help = true;
    return 0;
}

/* --- the line as a whole ---------------------------------------------------------------------- */

struct option {
    const char *name;
    bool has_value;
    int (*take)(struct tb_args *args, const char *text); /* "" without a value */
    unsigned commands;                                   /* that have it */
};

enum {
    OF_RUN = 1,
    OF_GATE = 2,
    OF_AB = 4,
    OF_CALIBRATE = 8,
    OF_COMPARE = 16,
    OF_ALLOC = 32,
    OF_SCALING = 64,
    OF_ALL = 127,
    OF_ROWS = OF_ALL & ~OF_COMPARE /* those that measure */
};

/* argv[0] to a bit. */
static const struct choice commands[] = {{"run", OF_RUN},         {"gate", OF_GATE},
                                         {"ab", OF_AB},           {"calibrate", OF_CALIBRATE},
                                         {"compare", OF_COMPARE}, {"alloc", OF_ALLOC},
                                         {"scaling", OF_SCALING}, {NULL, 0}};

static unsigned command_bit(const char *name)
{
    const struct choice *c = commands;
    while (c->name && strcmp(c->name, name) != 0) {
        c++;
    }
    return (unsigned)c->value;
}

static const struct option options[] = {
    {"--set", true, take_set, OF_RUN | OF_AB | OF_CALIBRATE | OF_SCALING},
    {"--workers", true, take_workers, OF_ROWS},
    {"--reps", true, take_reps, OF_RUN},
    {"--seconds", true, take_seconds, OF_RUN},
    {"--seed", true, take_seed, OF_ROWS},
    {"-p", true, take_setting, OF_ROWS},
    {"--format", true, take_format, OF_ALL & ~OF_ALLOC},
    {"-o", true, take_out, OF_ALL & ~OF_ALLOC},
    {"--history", true, take_history, OF_RUN},
    {"--label", true, take_label, OF_RUN},
    {"--no-color", false, take_no_color, OF_ALL},
    {"--quiet", false, take_quiet, OF_ALL},
    {"--assert-allocs", true, take_assert_allocs, OF_RUN},
    {"--budgets", true, take_budgets, OF_GATE},
    {"--update", false, take_update, OF_GATE},
    {"--strict", false, take_strict, OF_GATE | OF_AB | OF_COMPARE | OF_SCALING},
    {"--restarts", true, take_restarts, OF_AB | OF_CALIBRATE | OF_SCALING},
    {"--pairs", true, take_pairs, OF_AB | OF_CALIBRATE | OF_SCALING},
    {"--threshold", true, take_threshold, OF_AB | OF_COMPARE | OF_SCALING},
    {"--floors", true, take_floors, OF_AB | OF_CALIBRATE},
    {"--no-pin", false, take_no_pin, OF_AB | OF_CALIBRATE | OF_SCALING},
    {"--exact", false, take_exact, OF_AB},
    {"--no-exact", false, take_no_exact, OF_AB},
    {"--help", false, take_help, OF_ALL},
    {"-h", false, take_help, OF_ALL},
};

#define OPTIONS_N (sizeof options / sizeof *options)

/* `n` bytes of `text` are the option's name. */
static const struct option *find_option(const struct tb_args *args, const char *text, size_t n)
{
    for (size_t i = 0; i < OPTIONS_N; i++) {
        if (options[i].commands & args->command && strncmp(options[i].name, text, n) == 0 &&
            options[i].name[n] == '\0') {
            return &options[i];
        }
    }
    return NULL;
}

static int refuse_option(struct tb_args *args, const char *text, size_t n)
{
    char name[32], hint[TB_HINT_MAX];
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), text);
    struct tb_suggest suggest = tb_suggest_for(name);
    for (size_t i = 0; i < OPTIONS_N; i++) {
        if (options[i].commands & args->command) {
            tb_suggest_try(&suggest, options[i].name);
        }
    }
    return refuse(args, "unknown option '%s'%s", name, tb_suggest_hint(&suggest, hint));
}

/* The option at argv[at], as "--name value" or "--name=value". The index of the last argument used,
 * or -EINVAL. */
static int take_option(struct tb_args *args, int argc, char **argv, int at)
{
    const char *text = argv[at];
    size_t n = strcspn(text, "=");
    const struct option *option = find_option(args, text, n);
    if (!option) {
        return refuse_option(args, text, n);
    }
    bool attached = text[n] == '=';
    if (!option->has_value) {
        return attached ? refuse(args, "%s takes no value", option->name)
                        : (option->take(args, ""), at);
    }
    if (!attached && at + 1 == argc) {
        return refuse(args, "%s needs a value", option->name);
    }
    int rc = option->take(args, attached ? text + n + 1 : argv[at + 1]);
    return rc < 0 ? rc : at + !attached;
}

static int take_workload(struct tb_args *args, const char *text)
{
    if (args->workloads_n == TB_WORKLOADS_MAX) {
        return refuse(args, "%d workloads at most", TB_WORKLOADS_MAX);
    }
    bool is_build = args->command == OF_AB && args->workloads_n < 2; /* BASE and CAND */
    if (tb_user_is_object(text) && !is_build) {
        char error[TB_REASON_MAX];
        if (args->groups_n == TB_OBJECTS_MAX) {
            return refuse(args, "%d shared objects at most", TB_OBJECTS_MAX);
        }
        if (tb_user_load(text, args->groups[args->groups_n], error) < 0) {
            return refuse(args, "%s", error);
        }
        text = args->groups[args->groups_n++];
    }
    args->workloads[args->workloads_n++] = text;
    return 0;
}

static bool is_object(const struct tb_args *args, const char *word)
{
    for (int i = 0; i < args->groups_n; i++) {
        if (word == args->groups[i]) {
            return true;
        }
    }
    return false;
}

/* Does a word beside the object's own name one of the workloads in it? */
static bool selects_of(const struct tb_args *args, const char *group)
{
    const struct tb_load *load;
    for (int i = 0; (load = tb_user_at(i)); i++) {
        for (int j = 0; j < args->workloads_n && strcmp(load->group, group) == 0; j++) {
            const char *word = args->workloads[j];
            if (!is_object(args, word) && tb_load_matches(load, word)) {
                return true;
            }
        }
    }
    return false;
}

/* An object alone means all of its workloads; beside names of some, only these. */
static void narrow_objects(struct tb_args *args)
{
    int kept = 0;
    for (int i = 0; i < args->workloads_n; i++) {
        const char *word = args->workloads[i];
        if (!is_object(args, word) || !selects_of(args, word)) {
            args->workloads[kept++] = word;
        }
    }
    args->workloads_n = kept;
}

int tb_args_parse(struct tb_args *args, int argc, char **argv)
{
    bool options_over = false;
    *args = (struct tb_args){.seed = 1, .command = command_bit(argv[0])};
    for (int i = 1; i < argc; i++) {
        bool is_option = !options_over && argv[i][0] == '-' && argv[i][1] != '\0';
        int rc = 0;
        if (is_option && strcmp(argv[i], "--") == 0) {
            options_over = true;
        } else if (is_option) {
            rc = take_option(args, argc, argv, i);
            i = rc;
        } else {
            rc = take_workload(args, argv[i]);
        }
        if (rc < 0) {
            return rc;
        }
    }
    narrow_objects(args);
    return 0;
}
