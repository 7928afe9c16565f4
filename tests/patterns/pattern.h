/* pattern.h: what the tests of tests/patterns share: a test whose body is a root task, and waiting
 * for a condition.
 *
 * One worker makes the order of things certain: between two calls that may wait, nobody else runs.
 * So with one worker "the other task has counted itself, and I run again" means that it has
 * suspended in the call after its count. Tests that rely on it say so by TaskTest(..., 1). */
#ifndef PATTERN_H
#define PATTERN_H

#include "tests/support/wt.h"
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <weft/cancel.h>
#include <weft/task.h>

/* TaskTest(suite, name, workers, options of Test) { body of the root task, which must return 0 } */
#define TaskTest(suite, name, workers_, ...)                                  \
    static int suite##_##name##_root(void *arg);                              \
    Test(suite, name, ##__VA_ARGS__)                                          \
    {                                                                         \
        wt_eq(weft_run(suite##_##name##_root, NULL, .workers = workers_), 0); \
    }                                                                         \
    static int suite##_##name##_root(void *arg __attribute__((unused)))

/* Longer than any honest wait on a loaded machine. */
#define PATTERN_PATIENCE_NS WEFT_SEC(30)

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Task context: lets others run until *counter has come to `value`. */
#define yield_until(counter, value) yield_until_((counter), (value), __FILE__, __LINE__)
static inline void yield_until_(atomic_int *counter, int value, const char *file, int line)
{
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(counter) < value) { /* ends: at give_up_ns */
        int rc = weft_yield();
        if (rc < 0 || now_ns() > give_up_ns) {
            wt_die(file, line, "yield_until", " the counter is %d, not %d; weft_yield: %d",
                   atomic_load(counter), value, rc);
        }
    }
}

#endif
