/* io_value.h: how an operation of the kernel is offered with _v, and a system call on a thread. */
#ifndef WF_IO_VALUE_H
#define WF_IO_VALUE_H

#include "src/io.h"
#include "src/value.h"

/* Begins the op, of which a copy is made. `done`: bytes that were transferred before, to be counted
 * in the result. */
weft_val wf_io_v(const struct wf_op *op, size_t done, const weft_place *place);

/* Begins the call, of which a copy is made: thread_call.c. In a scope whose deadline has passed it is
 * -ECANCELED. */
weft_val wf_thread_v(const struct wf_thread_call *call, const weft_place *place);

#endif
