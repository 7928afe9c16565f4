/* wt.h: how a weft test is written. One source, two runners.
 *
 * By default the tests run under Criterion (fork and exec per test, filters, TAP and JUnit output).
 * With WT_MINI=1 they run under mini.c, which forks and needs nothing but libc: Criterion aborts at
 * start under ThreadSanitizer, reports leaks but counts the test as passed, and does not exist for
 * a cross-compiled target.
 *
 *     #include "tests/support/wt.h"
 *
 *     Test(deque, steal_takes_the_oldest, .timeout = 10)
 *     {
 *         ...
 *         wt_eq(wf_deque_steal(&d, &work), 0);
 *         wt_lt(elapsed_ns, limit_ns, "seed %u", seed);
 *     }
 *
 * Options of Test, the same in both: .timeout (seconds; default 60), .init and .fini (void
 * functions run before and after, in the test's process), .signal (the test must die of it),
 * .exit_code (it must exit with it), .disabled, .description.
 *
 * Guarantees.
 * G.1  Each test has a process of its own: it may leave threads, descriptors and globals in any
 *      state.
 * G.2  An assertion may fail on any thread and on any stack. It prints "file:line: ..." with both
 *      values and ends the process at once; .fini is not called. That is why it does not use
 *      cr_assert, which longjmps to the main thread's stack, from a fiber as from anywhere.
 * G.3  Each argument is evaluated once. Integers compare by value whatever their types: wt_lt(-1,
 *      sizeof x) holds.
 *
 * Every assertion takes an optional printf-like message as its last arguments. */
#ifndef WT_H
#define WT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#ifndef WT_MINI
#define WT_MINI 0
#endif

#define WT_TIMEOUT_S \
    60 /* longer than any honest test on a loaded machine, shorter than a person's patience */

/* A failed assertion's exit status: one that no test expects. */
#define WT_EXIT_FAILED 97

/* --- assertions ------------------------------------------------------------------------------- */

/* A value of any scalar type, as it was. */
struct wt_value {
    enum { WT_SIGNED, WT_UNSIGNED, WT_DOUBLE, WT_POINTER } kind;
    union {
        long long s;
        unsigned long long u;
        double d;
        const volatile void *p;
    };
};

enum wt_op { WT_EQ, WT_NE, WT_LT, WT_LE, WT_GT, WT_GE };

struct wt_value wt_of_signed(long long v);
struct wt_value wt_of_unsigned(unsigned long long v);
struct wt_value wt_of_double(double v);
struct wt_value wt_of_pointer(const volatile void *v);

/* Any thread. Each returns if what it says holds, else prints and ends the process. `text` is the
 * source. */
void wt_compare(const char *file, int line, const char *text, struct wt_value a, enum wt_op op,
                struct wt_value b, const char *format, ...) __attribute__((format(printf, 7, 8)));
void wt_compare_str(const char *file, int line, const char *text, const char *a, const char *b,
                    const char *format, ...) __attribute__((format(printf, 6, 7)));
void wt_compare_mem(const char *file, int line, const char *text, const void *a, const void *b,
                    size_t bytes, const char *format, ...) __attribute__((format(printf, 7, 8)));
__attribute__((noreturn)) void wt_die(const char *file, int line, const char *text,
                                      const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* clang-format off */ /* it does not know _Generic */
#define WT_VALUE(x)                         \
    _Generic((x),                           \
        bool: wt_of_unsigned,               \
        char: wt_of_signed,                 \
        signed char: wt_of_signed,          \
        short: wt_of_signed,                \
        int: wt_of_signed,                  \
        long: wt_of_signed,                 \
        long long: wt_of_signed,            \
        unsigned char: wt_of_unsigned,      \
        unsigned short: wt_of_unsigned,     \
        unsigned: wt_of_unsigned,           \
        unsigned long: wt_of_unsigned,      \
        unsigned long long: wt_of_unsigned, \
        float: wt_of_double,                \
        double: wt_of_double,               \
        default: wt_of_pointer)(x)
/* clang-format on */

/* The space keeps "no message" from being an empty format, which gcc warns of. */
#define WT_COMPARE(text, a, op, b, ...) \
    wt_compare(__FILE__, __LINE__, text, WT_VALUE(a), op, WT_VALUE(b), " " __VA_ARGS__)

#define wt_eq(a, b, ...) WT_COMPARE(#a " == " #b, a, WT_EQ, b, __VA_ARGS__)
#define wt_ne(a, b, ...) WT_COMPARE(#a " != " #b, a, WT_NE, b, __VA_ARGS__)
#define wt_lt(a, b, ...) WT_COMPARE(#a " < " #b, a, WT_LT, b, __VA_ARGS__)
#define wt_le(a, b, ...) WT_COMPARE(#a " <= " #b, a, WT_LE, b, __VA_ARGS__)
#define wt_gt(a, b, ...) WT_COMPARE(#a " > " #b, a, WT_GT, b, __VA_ARGS__)
#define wt_ge(a, b, ...) WT_COMPARE(#a " >= " #b, a, WT_GE, b, __VA_ARGS__)

#define wt_true(x, ...)  ((x) ? (void)0 : wt_die(__FILE__, __LINE__, #x, " " __VA_ARGS__))
#define wt_false(x, ...) ((x) ? wt_die(__FILE__, __LINE__, "!(" #x ")", " " __VA_ARGS__) : (void)0)
#define wt_fail(...)     wt_die(__FILE__, __LINE__, "must not be reached", " " __VA_ARGS__)

/* NUL-terminated strings, either of which may be NULL. */
#define wt_str_eq(a, b, ...) \
    wt_compare_str(__FILE__, __LINE__, #a " == " #b, (a), (b), " " __VA_ARGS__)
#define wt_mem_eq(a, b, bytes, ...) \
    wt_compare_mem(__FILE__, __LINE__, #a " == " #b, (a), (b), (bytes), " " __VA_ARGS__)

/* Ends the test as skipped, with a printf-like reason: for what this machine cannot do. Main thread
 * only. */
#define wt_skip(...) wt_skip_("" __VA_ARGS__)

/* --- runners ---------------------------------------------------------------------------------- */

#if WT_MINI

struct wt_options {
    double timeout; /* seconds; 0: WT_TIMEOUT_S */
    void (*init)(void);
    void (*fini)(void);
    int signal;
    int exit_code;
    bool disabled;
    const char *description;
};

struct wt_test {
    const char *suite;
    const char *name;
    void (*run)(void);
    struct wt_options options;
    struct wt_test *next; /* in order of definition */
};

void wt_register(struct wt_test *test);
__attribute__((noreturn)) void wt_skip_(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

#define Test(suite_, name_, ...)                                                                   \
    static void wt_##suite_##_##name_(void);                                                       \
    static struct wt_test wt_##suite_##_##name_##_test = {                                         \
        .suite = #suite_, .name = #name_, .run = wt_##suite_##_##name_, .options = {__VA_ARGS__}}; \
    __attribute__((constructor)) static void wt_##suite_##_##name_##_register(void)                \
    {                                                                                              \
        wt_register(&wt_##suite_##_##name_##_test);                                                \
    }                                                                                              \
    static void wt_##suite_##_##name_(void)

#else

#include <criterion/criterion.h>

/* Criterion's default is to wait for ever. (-Woverride-init is off for tests: .timeout may be given
 * again.) */
#undef Test
#define Test(...) CR_EXPAND(WT_TEST_BASE(__VA_ARGS__, .sentinel_ = 0))
#define WT_TEST_BASE(suite_, name_, ...) \
    CR_TEST_BASE(suite_, name_, .timeout = WT_TIMEOUT_S, __VA_ARGS__)

#define wt_skip_(...) cr_skip_test(__VA_ARGS__)

#endif

/* The names that readers of other projects know, with the behaviour of G.2. */
#undef cr_assert
#undef cr_assert_not
#undef cr_assert_eq
#undef cr_assert_neq
#undef cr_assert_lt
#undef cr_assert_leq
#undef cr_assert_gt
#undef cr_assert_geq
#undef cr_assert_null
#undef cr_assert_not_null
#undef cr_assert_str_eq
#undef cr_assert_arr_eq
#undef cr_assert_fail
#define cr_assert          wt_true
#define cr_assert_not      wt_false
#define cr_assert_eq       wt_eq
#define cr_assert_neq      wt_ne
#define cr_assert_lt       wt_lt
#define cr_assert_leq      wt_le
#define cr_assert_gt       wt_gt
#define cr_assert_geq      wt_ge
#define cr_assert_null     wt_false
#define cr_assert_not_null wt_true
#define cr_assert_str_eq   wt_str_eq
#define cr_assert_arr_eq   wt_mem_eq
#define cr_assert_fail     wt_fail

#endif
