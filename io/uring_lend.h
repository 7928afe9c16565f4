/* uring_lend.h: buffers from which the kernel chooses one when data arrive: a ring of places in
 * memory that it shares, one for each worker's ring. It knows neither ops nor whose the buffers
 * are.
 *
 * Terms. *lent*: in a place that the kernel has not taken yet. *number*: what the completion says
 * which buffer was taken.
 *
 * Who may call: open and lend the thread of the ring; close any one, after the ring was closed; see
 * who holds its completions.
 *
 * Guarantees.
 * G.1  A buffer is complete before the kernel can see it.
 * G.2  open either succeeds or leaves nothing behind, and the kernel has no such ring.
 * G.3  A child of fork(2) does not have the shared memory. */
#ifndef WF_URING_LEND_H
#define WF_URING_LEND_H

#include "io/uring_ring.h"

/* The kernel's name for the ring of buffers: each io_uring of ours has one at most. */
#define WF_LEND_GROUP 0

struct io_uring_buf;

struct wf_lend {
    struct io_uring_buf *places; /* NULL: none */
    size_t bytes;
    uint32_t mask; /* places - 1 */
    uint16_t tail; /* buffers lent so far, modulo 2^16 */
};

/* Places for `count` buffers (1 to WF_LENT_MAX, io/op.h). 0; -EBUSY: is open; or -errno: the kernel
 * has none (-EINVAL), or has no memory for it (-ENOMEM: RLIMIT_MEMLOCK). */
int wf_lend_open(struct wf_lend *lend, struct wf_ring *ring, uint32_t count);
void wf_lend_close(struct wf_lend *lend);

/* No more than `count` at a time. */
void wf_lend(struct wf_lend *lend, void *buffer, uint32_t bytes, uint16_t number);

/* Who takes completions in the owner's place, when one names a buffer: sees what the owner wrote
 * before it lent that. */
void wf_lend_see(const struct wf_lend *lend);

#endif
