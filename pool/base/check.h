/* check.h: what happens when something that must not be is.
 *
 * wf_check        misuse by the program: stays in release builds, names what and where, then
 *                 aborts.
 * wf_check_inner  our own invariants: development builds only (WF_CHECKS=1), costs nothing in
 *                 release.
 * wf_unreachable  a place that the argument in its text says cannot be reached.
 *
 * Run-time conditions (no memory, a refused system call, a cancelled task) are not checked here:
 * they are returned. */
#ifndef WF_CHECK_H
#define WF_CHECK_H

#include "pool/base/compiler.h"

/* Writes "weft: <file>:<line>: <message>" to stderr and aborts. Never returns; allocates
 * nothing. */
WF_NORETURN WF_COLD void wf_panic(const char *file, int line, const char *format, ...)
    WF_PRINTF(3, 4);

#if defined(WF_MODEL) && WF_MODEL
#include "tests/model/wloom_check.h"
#else
#define wf_check(condition, ...)                       \
    do {                                               \
        if (wf_unlikely(!(condition))) {               \
            wf_panic(__FILE__, __LINE__, __VA_ARGS__); \
        }                                              \
    } while (0)
#if WF_CHECKS
#define wf_check_inner(condition) wf_check(condition, "internal: %s", #condition)
#else
#define wf_check_inner(condition) ((void)sizeof(!(condition)))
#endif
#endif

#define wf_unreachable(why) wf_panic(__FILE__, __LINE__, "unreachable: %s", why)

#endif
