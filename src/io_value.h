/* io_value.h: how file.c and net.c offer an operation of the kernel with _v. */
#ifndef WF_IO_VALUE_H
#define WF_IO_VALUE_H

#include "src/io.h"
#include "src/value.h"

/* Begins the op, of which a copy is made. `done`: bytes that were transferred before, to be counted
 * in the result. */
weft_val wf_io_v(const struct wf_op *op, size_t done, const weft_place *place);

#endif
