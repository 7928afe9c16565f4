/* cancel.h: deadlines, and looking at the ambient cancellation.
 *
 * Cancellation is ambient and level-triggered: it belongs to the scope that the code runs in, no
 * token is passed, and every call that could wait returns -ECANCELED from then on, until the
 * cancelled scope is left. -ECANCELED means that it did not happen; an operation that won the race
 * returns its real result. Only the scope that was cancelled absorbs it: an expired deadline turns
 * -ECANCELED into -ETIME at its own weft_within or weft_scope_end. */
#ifndef WEFT_CANCEL_H
#define WEFT_CANCEL_H

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

/* 0, or -ECANCELED if the current scope is cancelled or its deadline has passed. For loops that
 * compute. Costs a few nanoseconds, and under a deadline a look at the clock (25 ns). Cannot
 * suspend. Outside a task: 0. */
int weft_check(void);

/* Why the current scope is cancelled: the text given to weft_scope_cancel, "deadline", "a task
 * failed", or "runtime stops"; NULL if it is not cancelled. Cannot suspend. */
const char *weft_why(void);

/* Time left until the current scope's deadline (the earliest of all enclosing): >= 0, WEFT_FOREVER
 * if none. */
weft_time weft_remaining(void);

#ifdef __cplusplus
}
#endif

#endif
