/* wloom_engine.h: between wloom.c, which runs executions, wloom_atomic.h, which calls it for every
 * operation, and wloom_run.c, which decides what to run. */
#ifndef WLOOM_ENGINE_H
#define WLOOM_ENGINE_H

#include "tests/model/wloom.h"

/* Orders, as sets: acquire and release are bits, seq_cst implies both. */
enum wloom_order {
    WLOOM_RELAXED = 0,
    WLOOM_ACQUIRE = 1,
    WLOOM_RELEASE = 2,
    WLOOM_ACQ_REL = 3,
    WLOOM_SEQ_CST = 7,
};

enum wloom_op {
    WLOOM_LOAD,
    WLOOM_STORE,
    WLOOM_XCHG,
    WLOOM_ADD,
    WLOOM_OR,
    WLOOM_AND,
    WLOOM_CAS,
    WLOOM_FENCE
};

enum wloom_mutation {
    WLOOM_AS_WRITTEN = 0,
    WLOOM_WEAKENED, /* relaxed; a fence does nothing */
    WLOOM_SPLIT,    /* a read-modify-write is a load, then a store */
};

/* One atomic operation in the source; static storage, linked when it is first executed. */
struct wloom_site {
    const char *file;
    int line;
    const char *text; /* the operand, as written */
    enum wloom_op op;
    enum wloom_order order;
    enum wloom_order failure_order; /* of a CAS */
    enum wloom_mutation mutation;
    bool listed;
    struct wloom_site *next;
};
extern struct wloom_site *wloom_sites; /* newest first */

uint64_t wloom_load(const void *address, size_t size, struct wloom_site *site);
void wloom_store(void *address, size_t size, uint64_t value, struct wloom_site *site);
uint64_t wloom_rmw(void *address, size_t size, uint64_t operand, struct wloom_site *site);
bool wloom_cas(void *address, size_t size, void *expected, uint64_t desired,
               struct wloom_site *site);
void wloom_fence(struct wloom_site *site);
void wloom_fence_heavy(struct wloom_site *site);
void wloom_plain_read(const void *address, const char *file, int line);
void wloom_plain_write(const void *address, const char *file, int line);
void wloom_lock(void *word);
void wloom_unlock(void *word);
void wloom_yield(void);

enum wloom_search { WLOOM_DFS, WLOOM_BOUND, WLOOM_RANDOM, WLOOM_PCT, WLOOM_REPLAY };

struct wloom_plan {
    void (*body)(void);
    bool weak;
    enum wloom_search search;
    int bound;               /* BOUND: preemptions; PCT: depth */
    int old_bound;           /* BOUND: loads that return an old value */
    uint64_t seed;           /* RANDOM, PCT */
    uint64_t executions_max; /* 0: none */
    const char *choices;     /* REPLAY: as in wloom_result */
    bool explain;            /* print every step */
};

#define WLOOM_CHOICES 8192

struct wloom_result {
    uint64_t executions;
    uint64_t steps;
    bool complete; /* DFS, BOUND: nothing is left to try */
    bool failed;
    double seconds;
    char why[512];
    /* of the failing execution: a digit for a thread, a letter for a value */
    char choices[WLOOM_CHOICES];
};

void wloom_check_plan(const struct wloom_plan *plan, struct wloom_result *result);

/* wloom_switch.c: saves the registers and the stack pointer in *from, continues at `to`. */
void wloom_switch(void **from, void *to);
/* A stack pointer for wloom_switch on a fresh stack that ends at `end`; `entry` must not return. */
void *wloom_stack(void *end, void (*entry)(void));

#endif
