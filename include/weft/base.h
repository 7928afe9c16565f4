/* base.h: what every weft header needs: time, the shape of a task's body, source places, errors,
 * misuse.
 *
 * Conventions of the whole API. A function that can fail returns `>= 0` or `-errno`, and never sets
 * errno. Nothing takes ownership of a caller's memory unless it says so. NULL for an options
 * pointer means defaults, and all zero is the default of every options struct. "Task context"
 * means: called by code that runs inside a task; such a call made elsewhere returns -EPERM. In the
 * child of fork(2) every call returns -ENOSYS. */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#define WEFT_ALIGNAS(n) alignas(n)
#else
#define WEFT_ALIGNAS(n) _Alignas(n)
#endif

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0

/* The version of the library that is running, as major * 10000 + minor * 100 + patch. Any thread.
 * Cannot fail. */
int weft_version(void);

/* --- time ------------------------------------------------------------------------------------- */

/* A duration in nanoseconds. Negative means the same as 0. WEFT_FOREVER means no bound, and arms no
 * timer. */
typedef int64_t weft_time;
#define WEFT_FOREVER INT64_MAX
#define WEFT_NS(n)   ((weft_time)(n))
#define WEFT_US(n)   ((weft_time)(n)*1000)
#define WEFT_MS(n)   ((weft_time)(n)*1000000)
#define WEFT_SEC(n)  ((weft_time)(n)*1000000000)

/* --- tasks' bodies, places -------------------------------------------------------------------- */

/* What a task runs. Returns >= 0 for success, -errno for failure. It may call anything of weft. */
typedef int weft_fn(void *arg);

/* Where in the program something was started: shown in messages, dumps and error records. */
typedef struct weft_place {
    const char *file;
    const char *function;
    int line;
} weft_place;

#define WEFT_HERE                                                                              \
    __extension__({                                                                            \
        static const weft_place weft_here_ = {__FILE__, __extension__ __FUNCTION__, __LINE__}; \
        &weft_here_;                                                                           \
    })

/* --- errors ----------------------------------------------------------------------------------- */

/* What is known of a failure beside its code. */
typedef struct weft_error {
    int code;                /* -errno, as the failing function returned it */
    const weft_place *place; /* of the weft_fail */
    char text[104];          /* NUL-terminated, cut if longer */
} weft_error;

/* Returns `code` (an -errno, say -EIO), and keeps the text (printf-like, 103 bytes at most) as the
 * current task's error record, which weft_await and weft_scope_end hand on to whoever awaits. Use
 * it as the return value:
 *
 *     return weft_fail(-EIO, "read %s: short by %zu bytes", path, missing);
 *
 * Task context; elsewhere it only returns `code`. When no record is to be had the text is lost and
 * the code kept. Cannot suspend. */
#define weft_fail(code, ...) weft_fail_(WEFT_HERE, (code), __VA_ARGS__)
int weft_fail_(const weft_place *place, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The error record of the current task: the last weft_fail in it, or the one handed on by the last
 * weft_await or weft_scope_end that returned a failure. NULL if there is none, or outside a task.
 * Valid until the task's next failing call. */
const weft_error *weft_last(void);

/* --- misuse ----------------------------------------------------------------------------------- */

/* Called when the program breaks a rule of this API that has no run-time error: `what` says which
 * and where, in one line. If it returns, the call that found it returns -EINVAL or goes on as its
 * documentation says. */
typedef void weft_misuse_fn(const char *what);

/* Replaces the hook; NULL restores the default, which writes the line to stderr and aborts. Any
 * thread; before the first runtime starts. Returns the former hook. */
weft_misuse_fn *weft_on_misuse(weft_misuse_fn *hook);

#ifdef __cplusplus
}
#endif

#endif
