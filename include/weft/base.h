/* base.h: what every weft header needs: time, the shape of a task's body, source places, errors,
 * misuse.
 *
 * Conventions of the whole API. A function that can fail returns `>= 0` or `-errno`, and never sets
 * errno. Nothing takes ownership of a caller's memory unless it says so. "Task context" means:
 * called by code that runs inside a task; such a call made elsewhere returns -EPERM. "Foreign
 * thread" means: on a thread that runs no task, such as the one that main() runs on. In the child
 * of a fork(2) that was made while there was a runtime, a call that can fail returns -ENOSYS, and
 * any other does nothing. What does not say that it may suspend does not; what names no thread may
 * be called on any, of objects that last until it has returned.
 *
 * Lives. What lies in the caller's memory has `init` and `fini`, and cannot fail to begin. What the
 * library allocates has `new`, which returns a code and fills in *out (NULL after a failure), and
 * `free`, which accepts NULL; only a runtime is `start`ed and `stop`ped before. `close` is a state,
 * of what is shared: no more goes in. (A generator, which has one user, is freed by its close.)
 * Extents of code have `begin` and `end`, `enter` and `leave`, `bind` and `unbind`, in one
 * function.
 *
 * Options. All zero is the default of every options struct, and NULL for a pointer to one means
 * that. A macro with "options" takes them as designated initialisers after its other arguments, in
 * C (none need be given; a comma after the last is an error); the function under it, which has the
 * same name and an underscore at the end, takes the pointer: C++ and wrappers call that. Where
 * options are not optional (weft_reuse_new), or are kept beside a handle (weft_rt_start), there is
 * the pointer alone.
 *
 * Callbacks get what they are about first and the program's own pointer last: `arg` if it is all
 * that they work on, `ctx` if it comes besides. A `why` or `name` is a static string, kept by
 * pointer. Sizes say their unit or what they count: `bytes`, `item_bytes`, `count`, `max`.
 * Durations are weft_time.
 *
 * Before 1.0 a minor version may change the ABI, and has a soname and a symbol version of its own;
 * option structs therefore carry no size of theirs yet. */
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
    const char *body; /* what was started there, as the source names it; or NULL */
} weft_place;

#define WEFT_HERE WEFT_HERE_STARTS_(0)
#define WEFT_HERE_STARTS_(body)                                                               \
    __extension__({                                                                           \
        static const weft_place weft_here_ = {__FILE__, __extension__ __FUNCTION__, __LINE__, \
                                              (body)};                                        \
        &weft_here_;                                                                          \
    })

/* The options of a macro, as a pointer. They end in a comma, which the macro has put there so that
 * ISO C sees an argument where none is given; and -Wpedantic has nothing to say of empty braces. */
#define WEFT_OPTS_(type, ...) (__extension__(&(const type){__VA_ARGS__}))

/* --- errors ----------------------------------------------------------------------------------- */

#define WEFT_ERROR_TEXT   120 /* bytes of a record's text, with its end */
#define WEFT_ERROR_AWAITS 8   /* places of awaits that a record keeps: the last ones */
#define WEFT_ERROR_CAUSES 8   /* length of a chain of causes; older ones are dropped */
#define WEFT_ERRORS_KEPT  4   /* records that a scope keeps: of its first failures in time */

/* What is known of a failure beside its code. All pointers are to static strings and places, or to
 * records that belong to this one. */
typedef struct weft_error {
    int code;                  /* -errno, as the failing function returned it */
    int awaits;                /* how many awaits and ends of scopes have handed it on */
    int total;                 /* failures of the scope that handed it on; 0: it came from none */
    const char *task;          /* name of the task that failed */
    const weft_place *place;   /* of the weft_fail; NULL: the task failed without one */
    const weft_place *started; /* where the task was started */
    /* where it was handed on: the latest at await[(awaits - 1) % WEFT_ERROR_AWAITS], the one before
     * it at the index before, and so on */
    const weft_place *await[WEFT_ERROR_AWAITS];
    const struct weft_error *cause; /* the failure that led to this one; NULL: none is known */
    /* The failures of a scope after its first one, which this record is of, as far as they were
     * kept: linked by `next`, in order of time. */
    const struct weft_error *others;
    const struct weft_error *next;
    char text[WEFT_ERROR_TEXT]; /* NUL-terminated, cut if longer; "": without weft_fail */
} weft_error;

/* Returns `code` (an -errno, say -EIO), and keeps the text (printf-like, 119 bytes at most) as the
 * current task's error record, which weft_await and weft_scope_end hand on to whoever awaits. Use
 * it as the return value:
 *
 *     return weft_fail(-EIO, "read %s: short by %zu bytes", path, missing);
 *
 * A record that was handed on to this task, and that weft_forget has not dropped, becomes the cause
 * of the new one; a record of this task's own is replaced. A code that is not < 0 (EIO for -EIO, a
 * result that is none) is misuse. Task context; elsewhere it only returns `code`. When no record is
 * to be had the text is lost and the code kept. Cannot suspend. */
#define weft_fail(code, ...) weft_fail_(WEFT_HERE, (code), __VA_ARGS__)
int weft_fail_(const weft_place *place, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The error record of the current task: the last weft_fail in it, or the one handed on by the last
 * weft_await or weft_scope_end that returned a failure. A task that fails without weft_fail gets
 * one when it is awaited, which says where it was started; only -ECANCELED has none unless
 * weft_fail made it. NULL if there is none, or outside a task. Valid until the task's next failing
 * call, or weft_forget.
 * Calls that say nothing of a record make none, and leave what was there: after a weft_open that
 * failed, or a deadline, it is NULL, or the record of an earlier failure, whose `code` is mostly
 * another. Who wants a line to print has it from weft_error_text. */
const weft_error *weft_last(void);

/* What is to be said of a call that has just returned `code` (an -errno): the text of weft_last(),
 * if that is of this code and has one; else the system's words for the code. Never NULL. Valid as
 * weft_last() is. Any thread. (An earlier failure of the same code, which nobody has forgotten, is
 * taken for it, if the call has made no record of its own.)
 *
 *     int fd = weft_open(path, O_RDONLY, 0);
 *     if (fd < 0) {
 *         fprintf(stderr, "%s: %s\n", path, weft_error_text(fd));
 *     } */
const char *weft_error_text(int code);

/* Drops the current task's error record: that failure has been dealt with, and is not the cause of
 * a later one. Any thread; outside a task it does nothing. */
void weft_forget(void);

/* Writes all that is known of a failure to `out`, NUL-terminated, cut to `bytes`: some lines, each
 * with its end: code, text and place; where the task was started, where it was awaited; the causes;
 * the other failures of a scope. `error` may be NULL. Returns the length that it would have. Any
 * thread. */
int weft_error_format(const weft_error *error, char *out, size_t bytes);

/* The same to stderr, in one write, cut to 4 KiB. */
void weft_error_print(const weft_error *error);

/* Writes a message (printf-like) to stderr with the place of the call, what the current task is and
 * what its error record says, and aborts. For what must not happen; never turned into an error. Any
 * thread. */
#define weft_panic(...) weft_panic_(WEFT_HERE, __VA_ARGS__)
void weft_panic_(const weft_place *place, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* --- misuse ----------------------------------------------------------------------------------- */

/* Called when the program breaks a rule of this API that has no run-time error: `what` says which
 * and where, in one line. If it returns, the call that found it returns -EINVAL or goes on as its
 * documentation says; after a longjmp out of a task's body the process ends all the same. */
typedef void weft_misuse_fn(const char *what);

/* Replaces the hook; NULL restores the default, which writes the line to stderr and aborts. Any
 * thread; before the first runtime starts. Returns the former hook. */
weft_misuse_fn *weft_on_misuse(weft_misuse_fn *hook);

#ifdef __cplusplus
}
#endif

#endif
