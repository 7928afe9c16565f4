/* uses.h: which operations in flight use a descriptor, so that weft_close can end them before it
 * closes.
 *
 * A table of slots, by the descriptor's number. An operation is in the list of its slot from before
 * it is submitted until its end (op_done in await.c): an addition and a removal under the slot's
 * lock, 89 instructions of an operation's 574 (ADR 0031). Two descriptors of one slot only meet in
 * a list that is a little longer.
 *
 * A descriptor that the library owns, of a listener, stands there too, for as long as it is open:
 * to close it is misuse, and is refused. So does what uses a descriptor without being an operation:
 * a *touch*, one system call that the library makes itself, on a thread that may block, or as a
 * later step of a longer call; and a receive that stands in *line* for a lent buffer (loan.c).
 *
 * Terms. *closing*: a weft_close under way. It *drains* while operations are to end, and then
 * *frees* the number, by close(2). *meant*: a number means one file after the other; which one is
 * told by how often weft_close has closed it. Whoever is to use a number more than once notes that
 * when it begins.
 *
 * Guarantees.
 * U.1  When close(2) is called, no operation that was begun before, by a task of this runtime, is
 *      in flight at the descriptor: none will touch the next file of that number.
 * U.2  While a closing drains, an operation that is begun at the descriptor is -EBADF and is not
 *      submitted. While it frees, nobody knows whether the number means the old file or the next
 *      one: then whoever begins waits until it is through, and so for no file that has gone.
 * U.3  Operations that are cancelled for this end with -EBADF instead of -ECANCELED, and as ever
 *      with what they had done, if they had done something; from then on their `fd` is
 *      WF_FD_CLOSED. One whose `meant` is not what the number means is -EBADF, and is not
 *      submitted; and so it is with a touch and who stands in line. So a call that makes several of
 *      them in turn, or waits in between for whatever (a thread, its turn to run, a rest), makes
 *      none at another's file. (Only for numbers below WF_USE_NUMBERS.)
 * U.4  Lock order: the slot's lock is the innermost but for inboxes and parking. `done` runs under
 *      the locks of a driver (a rescuer's queue) and takes it; so under it the driver is not
 *      touched: cancellations go by message.
 *
 * Not here: operations of other runtimes of the process (their touches and lines are), and what the
 * program does with the number by itself.
 *
 * The roads not taken: a count for each descriptor is as dear, and does not say which operations
 * they are; a search through all scopes or rings is free until there is a close, and then costs as
 * much as there are connections. The slot's lock over close(2) instead of U.2's second half:
 * close(2) may take seconds (a network file system), and the lock is needed at the end of
 * operations at other descriptors. To refuse what is begun meanwhile, as before: it may well be at
 * the next file. ADR 0031.
 *
 * Who may call: src/ only. */
#ifndef WF_USES_H
#define WF_USES_H

#include "io/op.h"
#include "pool/base/lock.h"
#include "pool/worker.h"
#include "src/core.h"

/* A power of two. Of 64 bytes each, in memory that is taken as it is touched. */
#define WF_USE_SLOTS 8192

/* As many as a process can have, unless the system's own bound (fs.nr_open) was raised. */
#define WF_USE_NUMBERS (1 << 20)

/* On the closer's stack. */
struct wf_closing {
    struct wf_list in_slot;
    struct wf_pool *pool; /* immutable, as `fd` */
    int fd;
    /* under the slot's lock */
    bool frees;
    uint32_t left; /* operations that have not ended */
    struct wf_wait wait;
};

/* wf_op.fd after its end, if the descriptor was closed under it: no operation's. */
#define WF_FD_CLOSED INT32_MIN

enum wf_held_how { WF_HELD_OWNED, WF_HELD_TOUCHED, WF_HELD_IN_LINE };

/* In what owns the descriptor; on the stack of who touches it; in a receive in line. */
struct wf_held {
    struct wf_list in_slot; /* under the slot's lock */
    union {
        /* touched: who waits for its end; NULL: nobody. Under the slot's lock */
        struct wf_closing *closing;
        struct wf_wait *wait; /* in line; immutable */
    };
    int fd;       /* immutable, as `own_fd` and `how` */
    int own_fd;   /* in line: another number of the same file, which goes to who claims the wait */
    uint32_t how; /* enum wf_held_how */
};

struct wf_use_slot {
    struct wf_lock lock;
    /* under lock */
    uint32_t closings;      /* in the list of that name */
    struct wf_list calls;   /* place.in_queue; `next` is NULL before the first one */
    struct wf_list closing; /* likewise */
    struct wf_list held;    /* likewise */
    /* any thread; atomic: what is known of a descriptor of this slot (file.c, is_direct); 0:
     * nothing */
    WF_ATOMIC(uint32_t) known;
    char padding[WF_LINE - 60];
};

_Static_assert(sizeof(struct wf_use_slot) == WF_LINE, "neighbours have different owners");

extern struct wf_use_slot wf_use_slots[WF_USE_SLOTS];
struct wf_use_number {
    WF_ATOMIC(uint32_t) closes; /* by weft_close. Written under the slot's lock */
};
extern struct wf_use_number wf_use_numbers[WF_USE_NUMBERS];

/* What the number means now, for wf_op.meant and the like. 0: whatever it means when it is used. */
WF_INLINE uint32_t wf_use_meant(int fd)
{
    /* relaxed: whoever got the number after a close came by it through the system's table of
     * descriptors, and sees that close as it sees the number */
    return (uint32_t)fd < WF_USE_NUMBERS ? wf_load_relaxed(&wf_use_numbers[fd].closes) + 1 : 0;
}

/* The op's descriptor is none, or names a directory to start from as AT_FDCWD does. */
WF_INLINE bool wf_use_is_none(const struct wf_op *op)
{
    return op->fd < 0;
}

WF_INLINE struct wf_use_slot *wf_use_slot(int fd)
{
    return &wf_use_slots[(uint32_t)fd % WF_USE_SLOTS];
}

WF_COLD void wf_use_slot_init_locked(struct wf_use_slot *slot);
/* Some number of the slot is being closed. True: not `fd`, or it is free by now and nothing else is
 * `meant`. False: it drains, or was closed. `pool`: of the closing; NULL: of any. May let go of the
 * lock in between. */
WF_COLD bool wf_use_may_begin(struct wf_use_slot *slot, int fd, uint32_t meant,
                              const struct wf_pool *pool);

/* Under the slot's lock: is the number still what was meant? */
WF_INLINE bool wf_use_means(int fd, uint32_t meant)
{
    return meant == 0 || meant == wf_use_meant(fd);
}

/* Before the op is started, after it was prepared: true; or false: its descriptor is being
 * closed. */
WF_INLINE bool wf_use_begin(struct wf_call *call, struct wf_op *op)
{
    call->detail = 0; /* its closing */
    if (wf_use_is_none(op)) {
        return op->fd != WF_FD_CLOSED;
    }
    struct wf_use_slot *slot = wf_use_slot(op->fd);
    wf_lock(&slot->lock);
    if (wf_unlikely(slot->calls.next == NULL)) {
        wf_use_slot_init_locked(slot);
    }
    bool begins = wf_likely(wf_use_means(op->fd, op->meant)) &&
                  (wf_likely(slot->closings == 0) ||
                   wf_use_may_begin(slot, op->fd, op->meant, op->home->pool));
    if (wf_likely(begins)) {
        op->meant = wf_use_meant(op->fd);
        wf_list_push_back(&slot->calls, &call->place.in_queue);
    }
    wf_unlock(&slot->lock);
    return begins;
}

/* In the op's done. Whoever waits for the call has to be resumed after this. */
WF_INLINE void wf_use_end(struct wf_call *call, struct wf_op *op)
{
    if (wf_use_is_none(op)) {
        return;
    }
    struct wf_use_slot *slot = wf_use_slot(op->fd);
    wf_lock(&slot->lock);
    wf_list_unlink(&call->place.in_queue);
    struct wf_closing *closing =
        (struct wf_closing *)(uintptr_t)call->detail; // NOLINT(performance-no-int-to-ptr)
    bool is_last = wf_unlikely(closing != NULL) && --closing->left == 0;
    wf_unlock(&slot->lock);
    if (is_last) {
        (void)wf_wait_claim(&closing->wait, WF_WAIT_GRANTED); /* LAST TOUCH of it */
    }
}

/* After its end: did somebody close the descriptor under it? */
WF_INLINE bool wf_use_was_closed(const struct wf_call *call)
{
    return call->detail != 0;
}

/* From here to wf_unhold weft_close refuses the descriptor, which is open at both. Any thread. */
void wf_own(struct wf_held *held, int fd);
/* From here to wf_unhold the caller makes a system call with the number, which weft_close waits
 * for: so on a worker one that does not wait. False: it is not what was meant, and wf_unhold is not
 * called. A number that is none, as AT_FDCWD: true. Any thread. */
bool wf_touch(struct wf_held *held, int fd, uint32_t meant);
/* From here to wf_unhold weft_close claims the wait, as WF_WAIT_SHUT, and if it wins it closes
 * `own_fd`. False: as above, and `own_fd` is the caller's. */
bool wf_hold_in_line(struct wf_held *held, int fd, uint32_t meant, int own_fd,
                     struct wf_wait *wait);
void wf_unhold(struct wf_held *held);

/* In a task: ends what is in flight at the descriptor and waits until it has ended, whatever
 * becomes of the task's scope. 0: the caller closes it, without suspending, and calls
 * wf_closing_end; -EBADF: another task is closing it, or it is owned, and nothing is to be done.
 * Suspends only if there was something. */
int wf_closing_begin(struct wf_closing *closing, int fd);
void wf_closing_end(struct wf_closing *closing);

#endif
