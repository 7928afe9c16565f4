/* uring_ring.h: one io_uring: memory shared with the kernel, entries in, completions out. It knows
 * no op.
 *
 * The system calls and the memory are handled here, not by liburing: its wrappers go through libc's
 * errno, its peek enters the kernel by itself, and faults could not be injected. Of liburing we use
 * the copy of the kernel's header.
 *
 * Who may call: open, restrict and close any one thread, while no other uses the ring; all else the
 * thread that called wf_ring_enable, which is welded to the ring (DEFER_TASKRUN: the kernel answers
 * -EEXIST to everybody else). But completions are taken from memory alone, by one thread at a time,
 * whichever it is: wf_ring_take, wf_ring_give_back. The caller sees to that (uring.h, `holder`).
 *
 * Life:  closed --open--> disabled --restrict--> disabled --enable [on its thread]--> enabled
 *        enabled --leave--> --close--> closed
 *
 * Guarantees.
 * G.1  An entry that was written is given to the kernel by one of the next enters, once, in the
 *      order of writing; an enter that fails leaves the rest for the next.
 * G.2  A completion is read once from shared memory; what the kernel writes there later is not
 *      seen.
 * G.3  open either succeeds or leaves nothing behind: no descriptor, no mapping.
 * G.4  A child of fork(2) does not have the memory. */
#ifndef WF_URING_RING_H
#define WF_URING_RING_H

#include "pool/base/atomic.h"
#include <stdbool.h>
#include <stddef.h>

struct io_uring_cqe;
struct io_uring_sqe;

/* What one enter lets the kernel finish of what it held back: IO_LOCAL_TW_DEFAULT_MAX is 20
 * (liburing#1474). */
#define WF_DEFERRED_MAX 32

/* A word in memory that the kernel shares. TSan does not see the kernel's side. What the kernel
 * does, so that the labels below have a partner:
 * sync(ring.kernel): it loads the submission tail with acquire and stores the submission head with
 * release when it has copied the entries; stores the completion tail with release when the
 * completions are written, and loads the completion head with acquire before it reuses their places
 * (io_uring/io_uring.c, "memory barriers"); and loads the tail of lent buffers with acquire before
 * it takes one. Pairs sync(ring.publish), sync(lend.publish), sync(ring.consumed),
 * sync(ring.arrived), sync(ring.give_back) */
struct wf_ring_word {
    WF_ATOMIC(uint32_t) value;
};

struct wf_ring_completion {
    uint64_t user_data;
    int32_t res;
    uint32_t flags; /* IORING_CQE_F_* */
};

struct wf_ring {
    /* immutable from open to close */
    int fd;                                /* -1: closed */
    uint32_t entries_max, completions_max; /* powers of two */
    uint32_t features;
    struct wf_ring_word *entry_head, *entry_tail, *flags, *completion_head, *completion_tail;
    struct io_uring_sqe *entries;
    const struct io_uring_cqe *completions;
    void *ring_memory, *entry_memory;
    size_t ring_bytes, entry_bytes;

    /* its thread */
    int enter_fd;         /* fd, or its index among the thread's registered rings */
    uint32_t enter_flags; /* accordingly */
    uint32_t written;     /* entries, modulo 2^32: the submission tail to be published */
    uint32_t queued;      /* of these, not yet taken by the kernel; or more: see wf_ring_kick */

    /* who takes completions; others read it racily */
    /* completions, modulo 2^32: the completion head to be published */
    WF_ATOMIC(uint32_t) taken;
};

/* A disabled ring of `entries` and `completions` places (powers of two). 0; or -errno, and in
 * *refused the name of the call that said so (static): -EOPNOTSUPP if the kernel lacks a
 * feature. */
int wf_ring_open(struct wf_ring *ring, uint32_t entries, uint32_t completions,
                 const char **refused);

/* Does the kernel know each of the `count` operation codes? 0, -EOPNOTSUPP or another -errno.
 * Disabled ring. */
int wf_ring_probe(struct wf_ring *ring, const uint8_t *codes, int count, const char **refused);

/* From enable on, entries with other codes complete with -EACCES, and so do all entries with flags
 * but IOSQE_BUFFER_SELECT. Disabled ring. */
int wf_ring_restrict(struct wf_ring *ring, const uint8_t *codes, int count, const char **refused);

/* The calling thread is now the ring's. */
int wf_ring_enable(struct wf_ring *ring, const char **refused);

/* The last call on the ring's thread. */
void wf_ring_leave(struct wf_ring *ring);

/* The kernel ends what is in flight, after this call has returned: there must be nothing whose
 * memory goes away. Harmless on a closed ring. */
void wf_ring_close(struct wf_ring *ring);

/* The next entry, zeroed, to be filled in before the next call; NULL when all places are queued. */
struct io_uring_sqe *wf_ring_entry(struct wf_ring *ring);

/* The entries written so far are complete: from here on wf_ring_kick may give them to the
 * kernel. */
void wf_ring_publish(struct wf_ring *ring);

/* Gives the kernel what was published, and lets it do what it deferred, unless the completions
 * could then not hold what the next enter brings. For a signal handler on the ring's thread: it may
 * come between any two instructions of the other functions, and changes nothing but the shared
 * words; `queued` is too large afterwards, until the next enter. */
void wf_ring_kick(struct wf_ring *ring);

/* Who takes completions in the owner's place, after wf_ring_take: sees what the owner wrote before
 * it published the entries that were completed. */
WF_INLINE void wf_ring_see_published(const struct wf_ring *ring)
{
    /* sync(ring.published): acquire; a completion comes after the kernel has read the number that
     * was published with its entry, so the load cannot find an older one. Pairs
     * sync(ring.publish) */
    (void)wf_load_acquire(&ring->entry_tail->value);
}

/* Any thread: entries were published that the kernel has not taken. Racy. */
WF_INLINE bool wf_ring_has_entries(const struct wf_ring *ring)
{
    /* relaxed, both: a hint */
    return wf_load_relaxed(&ring->entry_tail->value) != wf_load_relaxed(&ring->entry_head->value);
}

/* Gives the kernel what is queued, lets it do what it deferred, and waits until `min_complete`
 * completions are there or timeout_ns (>= 0; INT64_MAX: none) has passed. Does not wait if not all
 * that was queued could be given. Entries taken, >= 0; or -errno: -ETIME, -EINTR, -EAGAIN (no
 * memory for requests), -EBUSY (completions to be taken first). */
int wf_ring_enter(struct wf_ring *ring, uint32_t min_complete, int64_t timeout_ns);

/* Copies the oldest completion; false: none there. wf_ring_give_back, after one or more, lets the
 * kernel reuse them. */
bool wf_ring_take(struct wf_ring *ring, struct wf_ring_completion *out);
void wf_ring_give_back(struct wf_ring *ring);

WF_INLINE bool wf_ring_is_full(const struct wf_ring *ring)
{
    return ring->queued == ring->entries_max;
}

/* Any thread: completions are there to be taken. Relaxed: wf_ring_take acquires. */
WF_INLINE bool wf_ring_has(const struct wf_ring *ring)
{
    return wf_load_relaxed(&ring->completion_tail->value) != wf_load_relaxed(&ring->taken);
}

/* Flags by which the kernel says that it holds back completions: there is deferred work, or their
 * queue was full. */
#define WF_RING_PRESSED (1u << 1 | 1u << 2)

/* Any thread: an enter would bring completions. Relaxed: a hint; the enter fetches what it
 * announces. */
WF_INLINE bool wf_ring_is_pressed(const struct wf_ring *ring)
{
    return (wf_load_relaxed(&ring->flags->value) & WF_RING_PRESSED) != 0;
}

/* mmap of a ring's memory: the one system call that wf_sys does not have. Replaceable, on the same
 * terms. NULL when refused. */
extern void *(*wf_ring_map)(int fd, size_t bytes, uint64_t offset);

#endif
