/* cancel.h: deadlines, sources of cancellation, callbacks, shields, and looking at the ambient
 * cancellation.
 *
 * Cancellation is ambient and level-triggered: it belongs to the scope that the code runs in, no
 * token is passed, and every call that could wait returns -ECANCELED from then on, until the
 * cancelled scope is left. -ECANCELED means that it did not happen; an operation that won the race
 * returns its real result. Only the scope that was cancelled absorbs it: an expired deadline turns
 * -ECANCELED into -ETIME at its own weft_within, weft_under or weft_scope_end.
 *
 * A *source* (weft_cancel) is something to cancel that is no scope: it can exist before the work
 * does, be shared by several tasks, and be linked to other sources. Work is put under it by
 * weft_under. */
#ifndef WEFT_CANCEL_H
#define WEFT_CANCEL_H

#include <sys/types.h>
#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Evaluates `expr` (an int or ssize_t expression that may wait) under a deadline `duration` from
 * now, or the enclosing one if that is earlier. Its value; -ETIME if it was -ECANCELED because this
 * deadline passed. A duration of 0 lets each operation try once without waiting. Task context
 * (elsewhere: misuse).
 *
 *     ssize_t n = weft_within(WEFT_SEC(5), weft_recv(fd, buf, sizeof buf, 0)); */
#define weft_within(duration, expr)                                            \
    __extension__({                                                            \
        weft_scope weft_within_ __attribute__((cleanup(weft_scope_cleanup_))); \
        weft_within_begin_(&weft_within_, (duration), WEFT_HERE);              \
        __typeof__(expr) weft_value_ = (expr);                                 \
        (__typeof__(expr))weft_within_end_(&weft_within_, weft_value_);        \
    })
void weft_within_begin_(weft_scope *scope, weft_time duration, const weft_place *place);
ssize_t weft_within_end_(weft_scope *scope, ssize_t value);

/* Evaluates `expr` (as for weft_within) out of reach of whatever cancels the scopes outside, for at
 * most `grace` from now: for work that has to be finished, such as a last message. Then a
 * cancellation outside reaches it, one that came meanwhile at once; and after the shield it is
 * there as before. An outer deadline that lies within the grace is put off to its end. Scopes,
 * deadlines and sources inside work as ever. A grace of 0: no shield. WEFT_FOREVER: without bound;
 * the runtime counts these and says so on stderr when it stops. Its value is that of `expr`. Task
 * context (elsewhere: misuse).
 *
 *     int rc = copy(from, to);
 *     if (rc < 0) (void)weft_shield(WEFT_SEC(1), send_goodbye(to));
 *     return rc; */
#define weft_shield(grace, expr)                                               \
    __extension__({                                                            \
        weft_scope weft_shield_ __attribute__((cleanup(weft_scope_cleanup_))); \
        weft_shield_begin_(&weft_shield_, (grace), WEFT_HERE);                 \
        __typeof__(expr) weft_value_ = (expr);                                 \
        (__typeof__(expr))weft_shield_end_(&weft_shield_, weft_value_);        \
    })
void weft_shield_begin_(weft_scope *scope, weft_time grace, const weft_place *place);
ssize_t weft_shield_end_(weft_scope *scope, ssize_t value);

/* 0, or -ECANCELED if the current scope is cancelled or its deadline has passed. For loops that
 * compute. Costs a few nanoseconds, and under a deadline a look at the clock (25 ns). Cannot
 * suspend. Outside a task: 0. */
int weft_check(void);

/* What a cancellation came from. */
enum weft_why_kind {
    WEFT_WHY_NONE = 0,     /* not cancelled */
    WEFT_WHY_CALL = 1,     /* weft_scope_cancel, weft_cancel_fire */
    WEFT_WHY_DEADLINE = 2, /* of a scope, of weft_within, of weft_cancel_after */
    WEFT_WHY_FAILURE = 3,  /* a task of a fail-fast scope failed, or an item of a loop */
    /* another task was faster, or failed first: that task alone is cancelled */
    WEFT_WHY_LOSER = 4,
    WEFT_WHY_RETURN = 5,   /* a function returned without ending its scope */
    WEFT_WHY_STOP = 6,     /* the runtime stops */
    WEFT_WHY_SIGNAL = 7,   /* weft_cancel_fire_sig */
    WEFT_WHY_DEADLOCK = 8, /* nothing that any task waits for can happen */
};

/* Why something was cancelled. Of several reasons the first stays. */
typedef struct weft_reason {
    int kind;         /* enum weft_why_kind */
    const char *text; /* as given by the canceller, or of the library's; never NULL */
    /* of the canceller: its call; of a deadline, what has it; of a failure, the weft_fail, else
     * the start of the task; of a stop, the runtime's start. Never NULL */
    const weft_place *place;
    weft_time time_ns; /* when, on CLOCK_MONOTONIC; 0: not cancelled */
} weft_reason;

/* Why the running code is cancelled; if it is not, a reason of kind WEFT_WHY_NONE: never NULL, so
 * that its text may always be printed. The reason is a copy that belongs to the scope: valid until
 * the scope is left in which weft_why was called. In a cancel callback: why that was called.
 * Outside a task: WEFT_WHY_NONE. Cannot suspend.
 *
 *     if (rc == -ECANCELED) log_info("cancelled: %s", weft_why()->text); */
const weft_reason *weft_why(void);

/* Time left until the current scope's deadline (the earliest of all enclosing): >= 0; WEFT_FOREVER
 * if there is none, and outside a task. */
weft_time weft_remaining(void);

/* --- sources ---------------------------------------------------------------------------------- */

/* A source of cancellation, in the caller's memory. Opaque; size checked as for weft_task. */
typedef struct weft_cancel {
    WEFT_ALIGNAS(16) unsigned char opaque[384];
} weft_cancel;

/* A registration: a callback, or a link between sources; in the caller's memory. Zeroed memory is
 * registered nowhere. */
typedef struct weft_cancel_reg {
    WEFT_ALIGNAS(16) unsigned char opaque[80];
} weft_cancel_reg;

/* Makes *c a source that has not fired. If `parent` fires, it fires too, for the same reason; NULL:
 * nobody's child. A parent must outlive its children. Used in a task, or with a parent that was, it
 * belongs to that task's runtime (see weft_cancel_after). Any thread. Cannot suspend. */
#define weft_cancel_init(c, parent) weft_cancel_init_((c), (parent), WEFT_HERE)
void weft_cancel_init_(weft_cancel *c, weft_cancel *parent, const weft_place *place);

/* Ends a source: takes it off its parent and links, disarms its timer, and waits for a cancellation
 * that is passing through it, and its callbacks. A child, a link from it, work under it or a
 * callback that is still registered is misuse, and the report names the place; so is a call from
 * one of its own callbacks. Zeroed memory, or a second time: nothing happens. Any thread. May
 * suspend; outside a task it blocks. */
void weft_cancel_fini(weft_cancel *c);

/* Links c to `other`, so that c fires when `other` does, besides its parent: linked sources. The
 * registration is the caller's, and must last until weft_cancel_off(reg) or weft_cancel_fini(c),
 * whichever comes first; `other` must last as long. 0; 1: `other` had fired, so c has now. Any
 * thread; links of one c, one at a time. Callbacks run in this call, as in weft_cancel_fire.
 *
 *     weft_cancel_init(&c, &request);
 *     weft_cancel_link(&c, &timeout, &reg);
 *     rc = weft_under(&c, fetch_data(&r));
 *     weft_cancel_fini(&c); */
#define weft_cancel_link(c, other, reg) weft_cancel_link_((c), (other), (reg), WEFT_HERE)
int weft_cancel_link_(weft_cancel *c, weft_cancel *other, weft_cancel_reg *reg,
                      const weft_place *place);

/* Fires: cancels all work under c, fires its children and what is linked to it, then runs the
 * callbacks: of each source and scope, in the order in which it reached them, the newest first.
 * They run in this call, when everything already sees the cancellation; no task goes on in it.
 * `why` is a static string, kept by pointer, or NULL. 0; -EALREADY: it had fired, the first reason
 * stays. Any thread. Cannot suspend. Takes time in proportion to what it reaches; depth costs no
 * stack. */
#define weft_cancel_fire(c, why) weft_cancel_fire_((c), (why), WEFT_HERE)
int weft_cancel_fire_(weft_cancel *c, const char *why, const weft_place *place);

/* The same from a signal handler: sets a flag and wakes a worker of c's runtime, which fires, soon.
 * Async-signal-safe, keeps errno. 0; -EALREADY: asked before; -EPERM: c belongs to no runtime. */
#define weft_cancel_fire_sig(c) weft_cancel_fire_sig_((c), WEFT_HERE)
int weft_cancel_fire_sig_(weft_cancel *c, const weft_place *place);

/* Fires c after `duration` as a deadline does: work under it gets -ETIME from its weft_under, and
 * operations may try once without waiting. Again: the new time counts from now and replaces the old
 * one. WEFT_FOREVER takes the timer off; 0 or less fires in this call. 0; -EALREADY: c has fired,
 * or its time was up; -EPERM: outside a task, and c belongs to no runtime. The timer belongs to the
 * caller's runtime, outside a task to c's: take it off or end the source before that is stopped.
 * Any thread, one at a time. Cannot suspend. */
#define weft_cancel_after(c, duration) weft_cancel_after_((c), (duration), WEFT_HERE)
int weft_cancel_after_(weft_cancel *c, weft_time duration, const weft_place *place);

/* Makes c as new for another use, if it never fired and no timer is on: callbacks still registered
 * are dropped (as by weft_cancel_off). 0; -EALREADY: it has fired, or a signal has asked; -EBUSY: a
 * timer is on, or it has children, links from it, or work under it. Then nothing has changed. Any
 * thread. Cannot suspend. */
int weft_cancel_reset(weft_cancel *c);

/* Why c has fired; kind WEFT_WHY_NONE if it has not. Valid while c is. Any thread. Cannot
 * suspend. */
const weft_reason *weft_cancel_why(const weft_cancel *c);

/* Evaluates `expr` (as for weft_within) under c: inside a scope of its own, which is cancelled when
 * c fires, besides what cancels the scopes outside. Its value; -ETIME if it was -ECANCELED because
 * c fired as a deadline and nothing outside was cancelled. Several tasks may be under one source.
 * Task context (elsewhere: misuse). May suspend at its end, if a cancellation is just passing
 * through.
 *
 *     rc = weft_under(&stop_button, render(&page)); */
#define weft_under(c, expr)                                                   \
    __extension__({                                                           \
        weft_scope weft_under_ __attribute__((cleanup(weft_scope_cleanup_))); \
        weft_enter(&weft_under_, (c));                                        \
        __typeof__(expr) weft_value_ = (expr);                                \
        (__typeof__(expr))weft_leave(&weft_under_, weft_value_);              \
    })

/* What weft_under is made of: opens `scope` under c, and closes it with the value to be converted.
 * The code between them is the same function's. weft_leave waits for tasks of the scope. Closed out
 * of order: -EINVAL, and misuse. */
#define weft_enter(scope, c) weft_enter_((scope), (c), WEFT_HERE)
void weft_enter_(weft_scope *scope, weft_cancel *c, const weft_place *place);
ssize_t weft_leave(weft_scope *scope, ssize_t value);

/* --- callbacks -------------------------------------------------------------------------------- */

/* Called when something is cancelled. It is not in task context, whoever cancels, and cannot wait:
 * every call that needs a task is misuse there, and returns -EDEADLK. It may release, try, post,
 * fire other sources, and ask weft_why. It cannot fail. Keep it short: the canceller waits for
 * it. */
typedef void weft_cancel_fn(void *arg);

/* Has fn(arg) called once when c fires, or c == NULL: when the current scope, or this task alone,
 * is cancelled. 0: registered; *reg must last until weft_cancel_off(reg), and c until then too, or
 * the task and the scope that it was called in. 1: it is cancelled already, fn was called in this
 * call. -EPERM: c == NULL outside a task. Any thread. Cannot suspend.
 *
 *     weft_cancel_on(NULL, &reg, abort_query, &query);
 *     rc = legacy_wait(&query);
 *     weft_cancel_off(&reg); */
#define weft_cancel_on(c, reg, fn, arg) weft_cancel_on_((c), (reg), (fn), (arg), WEFT_HERE)
int weft_cancel_on_(weft_cancel *c, weft_cancel_reg *reg, weft_cancel_fn *fn, void *arg,
                    const weft_place *place);

/* Ends a registration. 1: its callback never ran and will not (for a link: it is no longer there).
 * 0: it has run, and has returned: if it runs right now, waits for that; from inside the callback
 * itself returns at once. Any number of times; afterwards the memory is the caller's. From another
 * cancel callback while this one runs elsewhere: -EDEADLK, and misuse. Any thread. May suspend;
 * outside a task it blocks. */
int weft_cancel_off(weft_cancel_reg *reg);

#ifdef __cplusplus
}
#endif

#endif
