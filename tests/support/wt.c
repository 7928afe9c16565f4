/* wt.c: the assertions of wt.h, the same under both runners.
 *
 * They run on any thread and on stacks of any kind, perhaps with the heap in ruins, so they format
 * into a buffer on the stack, write it with one write(2), and leave by _exit: no longjmp, no atexit
 * handlers, no destructors. */
#define _GNU_SOURCE
#include "tests/support/wt.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define MESSAGE_BYTES 1024 /* longer ones are cut */

struct wt_value wt_of_signed(long long v)
{
    return (struct wt_value){.kind = WT_SIGNED, .s = v};
}

struct wt_value wt_of_unsigned(unsigned long long v)
{
    return (struct wt_value){.kind = WT_UNSIGNED, .u = v};
}

struct wt_value wt_of_double(double v)
{
    return (struct wt_value){.kind = WT_DOUBLE, .d = v};
}

struct wt_value wt_of_pointer(const volatile void *v)
{
    return (struct wt_value){.kind = WT_POINTER, .p = v};
}

__attribute__((noreturn, format(printf, 4, 0))) static void fail(const char *file, int line,
                                                                 const char *what,
                                                                 const char *format, va_list args)
{
    char text[MESSAGE_BYTES];
    int used = snprintf(text, sizeof text, "%s:%d: failed: %s", file, line, what);
    if (used >= 0 && (size_t)used < sizeof text && format[1] != '\0') {
        used += snprintf(text + used, sizeof text - (size_t)used, "\n   ");
        if ((size_t)used < sizeof text) {
            vsnprintf(text + used, sizeof text - (size_t)used, format, args);
        }
    }
    size_t bytes = strlen(text);
    text[bytes < sizeof text - 1 ? bytes : sizeof text - 2] = '\n';
    ssize_t ignored = write(STDERR_FILENO, text, bytes < sizeof text - 1 ? bytes + 1 : bytes);
    (void)ignored; /* nobody is left to tell */
    _exit(WT_EXIT_FAILED);
}

/* -1, 0, 1, or 2 for "unordered" (a NaN). Mixed signs compare by value: a negative is below every
 * unsigned. */
static int order(struct wt_value a, struct wt_value b)
{
    if (a.kind == WT_DOUBLE || b.kind == WT_DOUBLE) {
        double x = a.kind == WT_DOUBLE ? a.d : a.kind == WT_SIGNED ? (double)a.s : (double)a.u;
        double y = b.kind == WT_DOUBLE ? b.d : b.kind == WT_SIGNED ? (double)b.s : (double)b.u;
        return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
    }
    bool a_negative = a.kind == WT_SIGNED && a.s < 0;
    bool b_negative = b.kind == WT_SIGNED && b.s < 0;
    if (a_negative != b_negative) {
        return a_negative ? -1 : 1;
    }
    if (a_negative) {
        return a.s < b.s ? -1 : a.s > b.s;
    }
    unsigned long long x = a.kind == WT_POINTER ? (uintptr_t)a.p : a.u;
    unsigned long long y = b.kind == WT_POINTER ? (uintptr_t)b.p : b.u;
    return x < y ? -1 : x > y;
}

static const char *show(char *text, size_t bytes, struct wt_value v)
{
    switch (v.kind) {
    case WT_SIGNED: {
        /* Most negative values in this project are -errno. */
        const char *name = v.s < 0 && v.s > -4096 ? strerrorname_np((int)-v.s) : NULL;
        snprintf(text, bytes, name != NULL ? "%lld (-%s)" : "%lld", v.s, name);
        break;
    }
    case WT_UNSIGNED:
        snprintf(text, bytes, v.u > 9999 ? "%llu (0x%llx)" : "%llu", v.u, v.u);
        break;
    case WT_DOUBLE:
        snprintf(text, bytes, "%.17g", v.d);
        break;
    case WT_POINTER:
        snprintf(text, bytes, "%p", (const void *)v.p);
        break;
    }
    return text;
}

void wt_compare(const char *file, int line, const char *text, struct wt_value a, enum wt_op op,
                struct wt_value b, const char *format, ...)
{
    int o = order(a, b);
    bool holds = false;
    switch (op) {
    case WT_EQ:
        holds = o == 0;
        break;
    case WT_NE:
        holds = o != 0;
        break;
    case WT_LT:
        holds = o == -1;
        break;
    case WT_LE:
        holds = o == -1 || o == 0;
        break;
    case WT_GT:
        holds = o == 1;
        break;
    case WT_GE:
        holds = o == 1 || o == 0;
        break;
    }
    if (holds) {
        return;
    }
    char left[64];
    char right[64];
    char what[MESSAGE_BYTES / 2];
    snprintf(what, sizeof what, "%.380s: %s, %s", text, show(left, sizeof left, a),
             show(right, sizeof right, b));
    va_list args;
    va_start(args, format);
    fail(file, line, what, format, args);
}

void wt_compare_str(const char *file, int line, const char *text, const char *a, const char *b,
                    const char *format, ...)
{
    if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0)) {
        return;
    }
    char what[MESSAGE_BYTES / 2];
    snprintf(what, sizeof what, "%.180s: \"%.140s\", \"%.140s\"", text, a != NULL ? a : "(NULL)",
             b != NULL ? b : "(NULL)");
    va_list args;
    va_start(args, format);
    fail(file, line, what, format, args);
}

void wt_compare_mem(const char *file, int line, const char *text, const void *a, const void *b,
                    size_t bytes, const char *format, ...)
{
    const unsigned char *x = a;
    const unsigned char *y = b;
    size_t at = 0;
    while (at < bytes && x[at] == y[at]) {
        at++;
    }
    if (at == bytes) {
        return;
    }
    char what[MESSAGE_BYTES / 2];
    snprintf(what, sizeof what, "%.380s: byte %zu of %zu is 0x%02x, 0x%02x", text, at, bytes, x[at],
             y[at]);
    va_list args;
    va_start(args, format);
    fail(file, line, what, format, args);
}

void wt_die(const char *file, int line, const char *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail(file, line, text, format, args);
}

/* --- sanitizers' defaults, which the environment (ASAN_OPTIONS ...) overrides --------------------
 *
 * detect_stack_use_after_return: its fake stacks live apart from the real ones, so "which stack
 * slot runs this code", which weft computes from the frame's address, would be wrong.
 * allocator_may_return_null: an allocation that is refused is a run-time error of ours, with tests.
 * handle_segv=2 would replace the guard-page handler that some tests are about. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_stack_use_after_return=0:strict_string_checks=1:check_initialization_order=1:"
           "allocator_may_return_null=1";
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}

const char *__tsan_default_options(void)
{
    return "second_deadlock_stack=1:history_size=4";
}
