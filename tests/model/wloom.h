/* wloom.h: a checker of thread interleavings, for the lock-free core. What a harness (model_*.c)
 * sees of it.
 *
 * A harness includes the sources under test, compiled with WF_MODEL=1: their atomics
 * (pool/base/atomic.h) then call wloom_atomic.h. It describes scenarios, each a function that
 * builds the objects, spawns at most WLOOM_THREADS - 1 model threads, joins them and asserts what
 * must hold; its main() is one call of wloom_main(), which runs every scenario again and again,
 * each time with other interleavings and other values read.
 *
 * Terms.
 *   execution  one run of a scenario, from its first line to its last.
 *   choice     a point where the run could go on in several ways: which thread next, which value a
 *              load returns.
 *   step       one operation on shared memory, or one fence; threads change only between steps.
 *   site       one atomic operation in the source text.
 *   mutant     the program with one site weakened: see wloom_run.c.
 *
 * Searches. DFS tries all choices, without those that differ only in the order of independent steps
 * (sleep sets). BOUND tries all choices with at most so many preemptions and so many loads of old
 * values; with 0 preemptions first, then with one more, for as long as it comes to its end
 * (wloom_run.c). RANDOM chooses uniformly. PCT (Burckhardt et al., 2010) gives the threads
 * priorities and changes them at a few random steps. DFS and BOUND report whether they came to an
 * end ("complete").
 *
 * Memory. SC: every load reads the newest value. Weak: every location keeps all the values it had,
 * each with the writer's view of the others, and a load may return any that its thread is not yet
 * bound to have passed. This is RC11 (Lahav et al., 2017) with modification order = order of
 * execution, hence without load buffering and without stores of one thread becoming visible in
 * another order than they were executed, unless by stale reads. A mutant that only those could kill
 * survives here; its harness lists it and says so.
 *
 * Reported: failed wf_check and wloom_assert; data races on WF_PLAIN; access to retired memory;
 * deadlock, which is what a lost wake-up looks like; livelock. A failure prints the choices that
 * lead to it, for --replay.
 *
 * Threads are stacks on one OS thread; nothing here is thread-safe, and everything is
 * deterministic. */
#ifndef WLOOM_H
#define WLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WLOOM_THREADS 6 /* the scenario's own thread is one of them */

/* --- for scenarios ---------------------------------------------------------------------------- */

/* Starts a model thread. It sees everything its creator saw. */
int wloom_spawn(void (*run)(void *arg), void *arg);
/* The number of the thread that runs: what wloom_spawn has returned; 0 is the scenario's own. */
int wloom_self(void);
/* Blocks until it has ended; what it did is visible after. */
void wloom_join(int thread);
void wloom_join_all(void);

/* Blocks until *event != 0, then sets it to 0. Orders nothing: less than any real sleep would. */
#define wloom_event_wait(event) wloom_event_wait_(&(event)->value_, sizeof((event)->value_))
void wloom_event_wait_(const void *address, size_t size);

/* The same with an order: who returns from the wait sees what was done before the set. For what
 * stands outside of the protocol under test, such as a queue of the pool. */
#define wloom_handoff_wait(event) wloom_handoff_wait_(&(event)->value_, sizeof((event)->value_))
void wloom_handoff_wait_(const void *address, size_t size);
#define wloom_handoff_set(event) wloom_handoff_set_(&(event)->value_, sizeof((event)->value_))
void wloom_handoff_set_(const void *address, size_t size);

/* As futex(2), seen from inside one process: 0 when woken, -1 when *word != expected. */
int wloom_futex_wait(const void *word, uint32_t expected);
int wloom_futex_wake(const void *word, int threads);

/* 0 <= result < n, all of them tried: for what the model does not decide, such as a spurious
 * return. */
int wloom_choose(int n);

/* Between true and false, loads are no steps, and return the newest value: for a scenario's checks,
 * which should neither multiply the executions nor order anything. */
void wloom_observe(bool on);

/* From here on to the end of this execution, an access to these bytes is a failure: they were
 * freed. */
void wloom_retire(const void *address, size_t bytes);

void wloom_fail(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
#define wloom_assert(condition) \
    ((condition) ? (void)0 : wloom_fail(__FILE__, __LINE__, "assertion: %s", #condition))

/* --- for main() ------------------------------------------------------------------------------- */

struct wloom_scenario {
    const char *name;
    void (*body)(void);
    /* NULL: must pass. Otherwise a part of the failure that the searches must find, in that
     * memory. */
    const char *sc_fails, *weak_fails;
    bool no_mutants; /* a variant that is wrong on purpose, or too slow to repeat for each mutant */
};

/* A mutant that the harness cannot kill, because it is no fault or because the model is too strong
 * to show it. */
struct wloom_survivor {
    const char *site;     /* the label, or "file:line" of a site without one */
    const char *mutation; /* "relaxed" or "split" */
    const char *why;
};

/* The reason of those that only load buffering could show. */
#define WLOOM_NO_LOAD_BUFFERING \
    "the model has no load buffering: a load never sees a store that is executed after it"

/* Of those that only an exchange of two stores could show. */
#define WLOOM_NO_STORE_REORDERING                                                           \
    "the model executes each thread in its order: two stores to different words are never " \
    "exchanged"

struct wloom_harness {
    const char *name;
    const struct wloom_scenario *scenarios; /* ended by a NULL name */
    /* ends of file names whose sites are mutated; NULL-ended, or NULL */
    const char *const *under_test;
    const struct wloom_survivor *survivors; /* ended by a NULL site, or NULL */
    /* of the default numbers of executions, where scenarios are many and long; 0: all of them */
    double share;
};

/* Parses the command line (--help), runs everything, prints the tables and "N passed, N failed".
 * The exit status. */
int wloom_main(const struct wloom_harness *harness, int argc, char **argv);

#endif
