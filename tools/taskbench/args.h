/* args.h: the command line of `taskbench run`, `gate`, `ab` and the like: argv[0] says which
 * options there are. Every mistake is one line that names the argument, and the one that was meant
 * if something near it exists. */
#ifndef TB_ARGS_H
#define TB_ARGS_H

#include "user.h"
#include <stdbool.h>
#include <stdint.h>

#define TB_WORKLOADS_MAX 64 /* arguments that name workloads */
#define TB_WORKERS_MAX   8  /* numbers of workers in a list */
#define TB_SETTINGS_MAX  16 /* -p */

enum tb_set { TB_SET_QUICK, TB_SET_STANDARD };

enum tb_format {
    TB_FORMAT_TABLE,
    TB_FORMAT_JSON,
    TB_FORMAT_CSV,
    TB_FORMAT_MD,
    TB_FORMAT_JUNIT,  /* a test case for each row */
    TB_FORMAT_GBENCH, /* google-benchmark's JSON */
    TB_FORMAT_BMF,    /* Bencher Metric Format */
    TB_FORMAT_GAB,    /* github-action-benchmark, customSmallerIsBetter */
};

/* -p key=value */
struct tb_setting {
    char key[24];
    uint64_t value;
};

struct tb_args {
    unsigned command; /* args.c's own: which options there are */
    /* as typed, checked against the table of workloads later; of a shared object, which is loaded
     * when it is met, the group that it makes (user.h) */
    const char *workloads[TB_WORKLOADS_MAX];
    int workloads_n; /* 0: the whole set */
    char groups[TB_OBJECTS_MAX][TB_USER_GROUP];
    int groups_n;
    enum tb_set set;
    int workers[TB_WORKERS_MAX];
    int workers_n;  /* 0: not given */
    int reps;       /* 0: not given */
    double seconds; /* 0: not given */
    uint64_t seed;
    struct tb_setting settings[TB_SETTINGS_MAX];
    int settings_n;
    enum tb_format format;
    bool format_given;
    const char *out; /* NULL: stdout */
    bool no_color;
    bool quiet;
    bool assert_allocs_given;
    double assert_allocs; /* per op */
    const char *history;  /* a file to add a line to; NULL */
    const char *label;    /* of that line; NULL */
    const char *budgets;  /* gate: the file; NULL: not given */
    bool update;          /* gate: write what was counted into it */
    bool strict;          /* what is not known for sure fails */
    int restarts, pairs;  /* ab: 0: not given */
    double threshold;     /* ab, compare: of time, relative; 0: not given */
    double instructions;  /* ab: of them, relative; 0: not given */
    bool exact, no_exact; /* ab: figures alone, times alone */
    const char *floors;   /* ab, calibrate: the file; NULL */
    bool no_pin;          /* ab */
    bool help;            /* --help: everything else may be unset */
    char error[200];      /* why it was refused, without "taskbench: " */
};

/* argv[0] is the command's name. Strings are kept by pointer. 0; -EINVAL with `error` set. */
int tb_args_parse(struct tb_args *args, int argc, char **argv);

/* "quick", "standard". */
const char *tb_set_name(enum tb_set set);

#endif
