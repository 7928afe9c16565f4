/* io.h: what the files of <weft/io.h> and <weft/file.h> share: awaiting an operation of io/op.h, or
 * a system call on a thread that may block, as a call of the API. */
#ifndef WF_SRC_IO_H
#define WF_SRC_IO_H

#include "io/op.h"
#include "pool/blocking.h"
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

/* The same for a step of something longer, after which the caller goes on with the descriptor's
 * number: -EBADF, whatever it has done, if that was closed under it (uses.h, U.3). */
ssize_t wf_io_await_step(struct wf_op *op);

/* For who was told -EAGAIN at the number `fd`, of which `meant` is meant (uses.h): waits until one
 * of `events` (POLL*) is there, or an error or an end, which come unasked and may stay for ever;
 * *vain counts these in a row (0 at first), and from the second on each is waited for a millisecond
 * longer. >= 0: try again; or -errno. */
ssize_t wf_io_await_events(int fd, uint32_t meant, uint32_t events, int *vain);
/* weft_pread and weft_pwrite, and with offset UINT64_MAX weft_read and weft_write, of what is
 * meant; 0: of what the number means now. */
ssize_t wf_read_meant(int fd, uint32_t meant, void *buffer, size_t bytes, uint64_t offset);
ssize_t wf_write_meant(int fd, uint32_t meant, const void *buffer, size_t bytes, uint64_t offset);

/* The millisecond of that. */
#define WF_IO_REST_NS INT64_C(1000000)

/* A poll for `events` has found `found`: count it, and is it time for a rest? */
WF_INLINE bool wf_io_is_vain(int *vain, uint32_t found, uint32_t events)
{
    *vain = (found & events) != 0 ? 0 : *vain < 2 ? *vain + 1 : 2;
    return *vain > 1;
}

/* Is it a regular file, as far as that is known here? No file system asks its server. */
bool wf_io_is_regular(int fd);

/* Is a write at the descriptor's own position for a thread of ours? A regular file's is, without
 * O_APPEND: see file.c. */
bool wf_io_is_for_thread(int fd);

struct msghdr;
/* Closes the descriptors that came with a received message. */
void wf_message_close_fds(struct msghdr *message);

/* --- system calls on a thread that may block: thread_call.c ----------------------------------- */

/* A system call by its number, as wf_sys.call takes it. */
struct wf_thread_call {
    int number;
    uint32_t fds; /* bit i: args[i] is a descriptor, or AT_FDCWD; two at most */
    /* of the descriptors, in their order: what is meant (uses.h); 0: what each means when the call
     * begins */
    uint32_t meant[2];
    int line; /* blocking.h; 0: none */
    long args[6];
    /* the call's own */
    struct wf_blocking_request request;
    struct wf_wait *wait;
    long result;
};

/* `fds_`: as above, WF_FD_ARG(i) or two of them. */
#define WF_FD_ARG(i) (1u << (i))
#define WF_THREAD_CALL(number_, fds_, ...)                                            \
    (struct wf_thread_call)                                                           \
    {                                                                                 \
        .number = (number_), .fds = (fds_), .args = { __VA_ARGS__ } /* the rest: 0 */ \
    }

/* write(2) or writev(2), by its number. Those of one descriptor come one after the other, in one
 * line: the kernel has a lock for the position that they move, and a second thread would only wait
 * for that. */
struct wf_thread_call wf_write_call(int number, int fd, uint32_t meant, const void *what,
                                    long much);

/* Makes the call on a thread of the runtime's, again after a signal (not close), and suspends until
 * it has returned: what it gave, >= 0 or -errno. Once on the thread it cannot be interrupted, so a
 * cancellation is seen by the next call. -ECANCELED: the scope was cancelled before, or its
 * deadline had passed, or it was cancelled before a thread had begun it; not called. -EBADF: or
 * weft_close was quicker than the thread; not called. A weft_close that comes later waits for the
 * call. The memory that the arguments name is the call's until it returns. */
long wf_thread_await(struct wf_thread_call *call);

/* The same, and is no point of cancellation: for what has to be undone. */
long wf_thread_finish(struct wf_thread_call *call);

/* As weft_blocking, on the same threads as a wf_thread_call: for what the library itself does. */
int wf_call_on_own_thread(weft_fn *fn, void *arg);

#endif
