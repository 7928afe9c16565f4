/* load.h: what a workload is, for the files that define them (load_*.c) and those that run them.
 *
 * Terms. *load*: a workload; its name may carry a variant: "yield", "yield/1000". *op*: what a
 * figure is given per, say one task. *round*: the least that a load can do, `ops_per_round` ops.
 * *sample*: the stretch between two looks at the clock: as many rounds as fill 10 ms. *reference*:
 * plain C doing the same without weft, sampled in turn with the load. *row*: a load with its
 * parameters and a number of workers; a line of the table. *trial*: a row being measured, in a
 * process of its own (cmd_agent.c), so that memory, threads and failures are its own too.
 *
 * Guarantees, of whoever runs a load.
 * L.1  Calls come in this order: open, any number of (sample, check) and (reference), close.
 *      `close` is called even if a sample failed, but not if `open` did: open undoes what it did
 *      before it fails.
 * L.2  open, sample, check, reference and close run in one task of trial->rt, one after the other;
 *      with TB_LOAD_OUTSIDE on the main thread, outside of any task.
 * L.3  Only the time in sample is measured. Checks that cost time belong into check.
 * L.4  The first sample is never reported: it warms caches and pools up.
 * And of every load:
 * L.5  It finds out itself whether its result is right, each sample, and says tb_wrong() if not.
 * L.6  A sample leaves nothing behind: no task, no thread, no memory that grows with the number of
 *      samples. */
#ifndef TB_LOAD_H
#define TB_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <weft/task.h>

#define TB_PARAMS_MAX  4
#define TB_METRICS_MAX 8
#define TB_REASON_MAX  200 /* bytes of a sentence that says why */

enum tb_load_flags {
    TB_LOAD_QUICK = 1, /* belongs to --set quick; all belong to --set standard */
    /* a second worker can do nothing for it: measured on one unless told otherwise */
    TB_LOAD_ALONE = 2,
    TB_LOAD_OUTSIDE = 4, /* see L.2 */
    TB_LOAD_ONCE = 8,    /* a sample is one round, however long it takes */
    TB_LOAD_CPU = 16,    /* measured in CPU time of the process, not in time elapsed */
};

struct tb_param {
    const char *key; /* NULL ends the list */
    uint64_t value;  /* default */
    uint64_t min, max;
    const char *about;
};

/* A figure beside the time per op. */
struct tb_metric {
    char name[24]; /* without spaces */
    char unit[8];  /* "ns", "B", or "" for a count */
    double value;
};

struct tb_trial {
    /* given */
    const struct tb_load *load;
    weft_rt *rt;
    int workers;
    uint64_t seed;
    uint64_t params[TB_PARAMS_MAX]; /* in the order of load->params */

    /* the load's */
    void *state;            /* from open to close */
    uint64_t ops_per_round; /* set by open; 1 if it does not */
    /* set by a sample that keeps the time itself; 0: the clock around it counts */
    uint64_t elapsed_ns;
    struct tb_metric metrics[TB_METRICS_MAX];
    int metrics_n;

    /* set through the functions below */
    bool skip;                  /* `reason` says why it cannot run here */
    char reason[TB_REASON_MAX]; /* "": nothing is wrong */
};

/* 0, or a negative code, after which the trial ends; tb_wrong and tb_skip return one. */
typedef int tb_load_fn(struct tb_trial *trial);
typedef int tb_rounds_fn(struct tb_trial *trial, uint64_t rounds);

struct tb_load {
    const char *name;
    const char *group;
    const char *about;
    const char *op;             /* what one op is */
    const char *reference_name; /* what `reference` is */
    unsigned flags;             /* enum tb_load_flags */
    int samples_max;            /* for loads that take seconds; 0: no bound of its own */
    struct tb_param params[TB_PARAMS_MAX + 1];
    tb_load_fn *open; /* each of these but `sample` may be NULL */
    tb_rounds_fn *sample;
    tb_rounds_fn *check;
    tb_rounds_fn *reference;
    void (*close)(struct tb_trial *trial);
};

/* Says that the result is wrong (printf-like); returns a code to return. The first reason stays.
 * Any thread, but one at a time. */
int tb_wrong(struct tb_trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says that this machine cannot run the load (printf-like), which is nobody's fault; returns a code
 * to return. */
int tb_skip(struct tb_trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets a metric, cut to the sizes above; the last value counts. */
void tb_metric(struct tb_trial *trial, const char *name, const char *unit, double value);

/* --- the table: loads.c ----------------------------------------------------------------------- */

/* The loads of a file, in the order in which they are shown, ended by one without a name. */
extern const struct tb_load tb_loads_forkjoin[];
extern const struct tb_load tb_loads_trees[];
extern const struct tb_load tb_loads_loops[];
extern const struct tb_load tb_loads_graph[];
extern const struct tb_load tb_loads_start[];
extern const struct tb_load tb_loads_steal[];
extern const struct tb_load tb_loads_join[];
extern const struct tb_load tb_loads_outside[];
extern const struct tb_load tb_loads_switch[];
extern const struct tb_load tb_loads_sync[];
extern const struct tb_load tb_loads_lock[];
extern const struct tb_load tb_loads_bounded[];
extern const struct tb_load tb_loads_timer[];
extern const struct tb_load tb_loads_cancel[];
extern const struct tb_load tb_loads_memory[];
extern const struct tb_load tb_loads_idle[];
extern const struct tb_load tb_loads_frames[];
extern const struct tb_load tb_loads_net[];
extern const struct tb_load tb_loads_file[];

#define TB_LOADS_MAX 384 /* our own, and those that shared objects may bring */

/* The load number `index`, counted over all files, the user's (user.h) last; NULL past the last. */
const struct tb_load *tb_load_at(int index);

/* By its exact name; NULL: there is none. */
const struct tb_load *tb_load_find(const char *name);

/* Whether `pattern` means this load: its name, its name without the variant, its group, or a
 * pattern of the shell. */
bool tb_load_matches(const struct tb_load *load, const char *pattern);

/* The place of a parameter in load->params; -1: it has none of that name. */
int tb_load_param(const struct tb_load *load, const char *key);

#endif
