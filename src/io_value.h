/* io_value.h: how an operation of the kernel is offered with _v, and a system call on a thread. */
#ifndef WF_IO_VALUE_H
#define WF_IO_VALUE_H

#include "src/io.h"
#include "src/value.h"

/* Begins the op, of which a copy is made. `done`: bytes that were transferred before, to be counted
 * in the result. */
weft_val wf_io_v(const struct wf_op *op, size_t done, const weft_place *place);

/* Begins the call, of which a copy is made: thread_call.c. In a scope whose deadline has passed it
 * is -ECANCELED. */
weft_val wf_thread_v(const struct wf_thread_call *call, const weft_place *place);

/* The same in a record of one's own, of `kind`: `fill` fills it with what `arg` says, and says
 * where its op is. `ops` has `again`. */
typedef struct wf_op *wf_io_fill_fn(struct wf_value *value, const void *arg);
weft_val wf_io_v_in(enum wf_v_kind kind, wf_io_fill_fn *fill, const void *arg,
                    const struct wf_wait_ops *ops, const weft_place *place);
/* Is what runs cancelled, or its deadline over? A call that begins again and again, and each time
 * ends at once, never waits: so no cancellation finds it, and it has to look by itself. */
bool wf_io_is_over(void);
/* From ops->again: the record's op, prepared, begins once more; or ends with -ECANCELED, if that is
 * over. */
void wf_io_begin_again(struct wf_op *op, struct wf_call *call, const struct wf_wait_ops *ops);
/* Or it first waits for WF_IO_REST_NS, as wf_io_await_events does for an error that stays. `ops`
 * has `again`, cancel = wf_wait_cancel_claim, finish = wf_io_rest_finish: -EAGAIN, it is over, or
 * -ECANCELED. The call's place and object are overwritten. */
void wf_io_rest(struct wf_call *call, const struct wf_wait_ops *ops);
ssize_t wf_io_rest_finish(struct wf_call *call);

/* The same as wf_thread_v, with another end than that of the call alone: `ops` has `again`, is
 * wide, and cancel = wf_thread_cancel. */
weft_val wf_thread_v_ops(const struct wf_thread_call *thread, const struct wf_wait_ops *ops,
                         const weft_place *place);
void wf_thread_cancel(struct wf_wait *wait);
/* From ops->again: the same call once more. */
void wf_thread_begin_again(struct wf_call *call, const struct wf_wait_ops *ops);

#endif
