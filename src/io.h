/* io.h: what file.c and net.c share: awaiting an operation of io/op.h as a call of the API. */
#ifndef WF_SRC_IO_H
#define WF_SRC_IO_H

#include "io/op.h"
#include "src/core.h"
#include <weft/io.h>

/* The length that goes into an op: io/op.h has 32 bits for it, and the kernel transfers no more in
 * one go. */
WF_INLINE uint32_t wf_io_bytes(size_t bytes)
{
    return (uint32_t)(bytes < WEFT_IO_BYTES_MAX ? bytes : WEFT_IO_BYTES_MAX);
}

WF_INLINE uint64_t wf_io_address(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

/* As wf_await_op; when a signal to one of the kernel's threads interrupted the operation it is
 * begun again. The caller has a fiber or gets the code for having none. */
ssize_t wf_io_await(struct wf_op *op);

struct msghdr;
/* Closes the descriptors that came with a received message. */
void wf_message_close_fds(struct msghdr *message);

#endif
