/* op.h: one operation that the kernel does for us, from submit to its final completion.
 *
 * The record lives in the submitter's memory (a task's stack, as a rule) and belongs to the driver
 * from wf_io_submit until `done` is called. io/ knows no task: `done` is all it knows of who waits.
 *
 * Terms. *home*: the worker that submitted the op; its ring holds the op until the end, wherever
 * the waiter runs meanwhile. *final completion*: what says that the kernel has let go of the op and
 * of its buffers. *message*: the request for cancellation, on its way to home.
 *
 * Phases, which home reads and writes, and after wf_op_seize the rescuer instead:
 *
 *            [wf_io_submit, no room]          [room]
 *      NEW ----------------------> WAITING ----------> PENDING
 *       |                             |                 ^   |
 *       +-----[wf_io_submit]----------|-----------------+   | [final completion]
 *                                     |                     v
 *                                     +--[cancelled]-----> ENDED --[done]--> the submitter's again
 *
 * WAITING: linked in `queue`; the kernel knows nothing of it. PENDING: the kernel has it (io_uring:
 * an entry was written, and `slot` is its place in the table of what is in flight; epoll: a
 * blocking thread is inside the call, or it is just being tried for the first time); `queue` links
 * it only while its cancellation waits to be written. What epoll does itself, when a descriptor is
 * ready, goes from WAITING to ENDED. ENDED: `res` is valid; `done` has run, or will when the
 * message has arrived.
 *
 * The race between cancelling and ending is decided by one compare-and-swap on `race`, by any
 * thread:
 *
 *      OPEN --[wf_io_cancel, once]--> ASKED --[home: the end]--> OVER
 *        +---------------[home: the end]--------------------------^
 *
 * ASKED: there is one message, and `done` waits until home has heard it. OVER: nobody sends one any
 * more. A *rescuer*, another worker that has the op's final completion while home is busy, may end
 * an op too, but only one that it moves from OPEN to OVER itself (wf_op_seize): so the rest of
 * home's state, its lists and messages, stays home's.
 *
 * Guarantees.
 * G.1  `done` is called exactly once for each submit, on home's thread or that of another worker of
 *      the pool, and after that no one else touches the op: neither the kernel, nor a cancel that
 *      was under way.
 * G.2  The buffers named by the op are the kernel's until `done` (one that was lent to the ring,
 *      and that it names in the end, is the submitter's then, whatever `res` is). In builds with
 *      AddressSanitizer those that it writes to are poisoned meanwhile, so that a task which
 *      touches them is reported.
 * G.3  `res` is what the kernel said: >= 0, or -errno. A cancel that lost leaves the real result.
 *      (One exception: -EINTR of an op that was asked to cancel is how an interrupted io-wq thread
 *      spells -ECANCELED, and becomes that.)
 * G.4  Submitting never fails, never blocks and makes no system call: a full queue is waited for by
 *      the op, not by the worker. A kernel that refuses completes the op with -errno.
 * G.5  An op cancelled while WAITING is not given to the kernel any more, except that one that has
 *      not been tried at all may be tried once; it ends, with -ECANCELED unless it has done
 *      something, in bounded time. */
#ifndef WF_OP_H
#define WF_OP_H

#include "pool/base/atomic.h"
#include "pool/base/list.h"
#include "pool/driver.h"
#include "pool/work.h"
#include <sys/types.h>

struct wf_blocking;
struct wf_worker;
struct wf_op;

/* Claims a wait or pushes to a queue; runs no user code, does not suspend, takes no lock under
 * which wf_io_cancel is called. May submit another op. */
typedef void wf_op_done_fn(struct wf_op *op);

/* One result of an op that goes on: under the same rules, before done, in the order of the results.
 * May cancel the op. */
typedef void wf_op_more_fn(struct wf_op *op, int32_t res);

/* What to do. The fields that a kind does not name are 0. */
enum wf_op_kind {
    WF_OP_NOP,
    WF_OP_READ,   /* fd, address, bytes, offset (-1: the file's own position) */
    WF_OP_WRITE,  /* fd, address, bytes, offset (likewise) */
    WF_OP_OPENAT, /* fd: directory; address: path; bytes: mode; flags: O_* */
    /* fd: directory; address: path; bytes: sizeof (struct open_how); offset: its place */
    WF_OP_OPENAT2,
    WF_OP_CLOSE, /* fd */
    WF_OP_FSYNC, /* fd; flags: 0, or WF_FSYNC_DATA */
    /* fd: directory; address: path; bytes: mask; offset: struct statx *; flags: AT_* */
    WF_OP_STATX,
    WF_OP_ACCEPT,   /* fd; address: sockaddr * or 0; offset: socklen_t * or 0; flags: SOCK_* */
    WF_OP_CONNECT,  /* fd; address: sockaddr *; offset: its length */
    WF_OP_SEND,     /* fd, address, bytes; flags: MSG_* */
    WF_OP_RECV,     /* fd, address, bytes; flags: MSG_* */
    WF_OP_SHUTDOWN, /* fd; bytes: SHUT_* */
    WF_OP_READV,    /* fd; address: iovec *; bytes: how many; offset as for READ */
    WF_OP_WRITEV,   /* likewise */
    WF_OP_SENDMSG,  /* fd; address: msghdr *; bytes: 1; flags: MSG_* */
    WF_OP_RECVMSG,  /* likewise */
    /* fd; flags: POLL*; res: the events that are ready. Other fields are not looked at, so that an
     * op can wait until it may be tried. */
    WF_OP_POLL,
    /* fd; flags: SOCK_*: each connection goes to `more`, until an error or a cancellation */
    WF_OP_ACCEPT_MANY,
    /* fd; bytes: of each buffer; flags: MSG_*. Into a buffer that the kernel chooses among those
     * lent to it (wf_io_lend) when data are there; `offset`, 0 before, is 1 + its number in the
     * end, or still 0: it has taken none. -ENOBUFS: it had none left; what was received is still
     * there. */
    WF_OP_RECV_LENT,
    WF_OP_KINDS
};

#define WF_FSYNC_DATA 1u /* as fdatasync(2) */

enum wf_op_phase { WF_OP_NEW, WF_OP_WAITING, WF_OP_PENDING, WF_OP_ENDED };

enum wf_op_race { WF_OP_OPEN, WF_OP_ASKED, WF_OP_OVER };

struct wf_op {
    /* submitter, before submit */
    wf_op_done_fn *done; /* LAST TOUCH: it may free the op, or let its owner do so */
    union {
        wf_op_more_fn *more; /* of a kind that has several results */
        uint32_t meant;      /* of others: the submitter's own. src/uses.h: which file `fd` means */
    };
    void *waiter; /* the submitter's own, for done */
    uint8_t kind; /* enum wf_op_kind */

    /* home, from submit to done */
    uint8_t phase; /* enum wf_op_phase */
    uint8_t heard; /* the message has arrived */
    uint8_t asked; /* the driver's own; 0 at submit. io_uring: how often it was asked to let go */

    /* submitter, before submit */
    int fd;
    uint32_t bytes;   /* length, or what the kind needs in the entry's len */
    uint32_t flags;   /* MSG_*, O_*, AT_* ... */
    uint64_t address; /* buffer, path or sockaddr */
    uint64_t offset;  /* file offset, or the entry's second address */

    /* home, from submit to done */
    struct wf_worker *home; /* immutable meanwhile: a cancel reads it on any thread */
    uint32_t slot;          /* while PENDING */
    int32_t res;            /* valid in done and after; epoll: before, what was moved so far */
    struct wf_list queue;

    /* any thread */
    WF_ATOMIC(uint32_t) race; /* enum wf_op_race */
    uint32_t lent;            /* home: what is poisoned: bytes, or of several buffers a bit each */
    struct wf_work message;   /* posted to home by the one who moved `race` to ASKED */
};

_Static_assert(sizeof(struct wf_op) <= 128, "two lines: it lies in each waiting call's frame");

/* --- for those who wait ----------------------------------------------------------------------- */

/* On a worker of the pool. From here on the op is the driver's. Does not call done itself. An op
 * that is over may be submitted again. */
void wf_io_submit(struct wf_worker *worker, struct wf_op *op);

/* Buffers that one worker's ring may be lent at once, for WF_OP_RECV_LENT. */
#define WF_LENT_MAX 32768

/* On the worker, once: room for `count` buffers, 1 to WF_LENT_MAX. 0; -EOPNOTSUPP: the driver has
 * no such ops; or -errno, as the kernel has it: then there are none on this worker. */
int wf_io_lend_begin(struct wf_worker *worker, uint32_t count);

/* On the worker, after a begin that gave 0: the buffer, of `bytes`, is the kernel's until an op
 * ends with its number (< count; not lent already). */
void wf_io_lend(struct wf_worker *worker, void *buffer, uint32_t bytes, uint16_t number);

/* As wf_io_submit in two steps, for who makes the op known to others in between: a cancellation may
 * come from then on. Start on home, soon. */
void wf_io_prepare(struct wf_worker *worker, struct wf_op *op);
void wf_io_start(struct wf_op *op);
/* Instead of wf_io_start: it has ended with `res`, and the driver never hears of it. From here on a
 * cancellation finds it over. Does not call done. */
void wf_io_refuse(struct wf_op *op, int32_t res);

/* Any thread; idempotent. The caller makes sure that the op has not been retired yet, that is: that
 * whoever waits for it cannot return before this call has (a lock that both take). Asynchronous:
 * done comes as ever, and never from inside this call. */
void wf_io_cancel(struct wf_op *op);

/* The same, by the message in any case, also on home: so it does not touch the driver, and the lock
 * that the caller holds may be one that done takes. */
void wf_io_cancel_by_message(struct wf_op *op);

/* --- for drivers ------------------------------------------------------------------------------ */

/* What a driver for I/O does besides sleeping. Both are called on home's thread. */
struct wf_io_ops {
    /* Takes the op, which wf_io_prepare has filled. */
    void (*submit)(struct wf_worker *home, struct wf_op *op);
    /* Asks for the end of an op that is WAITING or PENDING. Calls no done. Once per op. */
    void (*cancel)(struct wf_worker *home, struct wf_op *op);
    /* As wf_io_lend_begin and wf_io_lend; both NULL: it has no WF_OP_RECV_LENT. */
    int (*lend_begin)(struct wf_worker *home, uint32_t count);
    void (*lend)(struct wf_worker *home, void *buffer, uint32_t bytes, uint16_t number);
};

/* What was refused. `call` is NULL while nothing was. */
struct wf_io_refusal {
    const char *call; /* name of the system call, static */
    int rc;           /* -errno that it gave */
};

/* Are completions of a worker that is busy handed over by another one? */
enum wf_rescue {
    WF_RESCUE_AUTO = 0, /* if it can be had */
    WF_RESCUE_OFF,
    WF_RESCUE_ON, /* or the driver does not open */
};

struct wf_io_driver {
    struct wf_driver base;
    const struct wf_io_ops *io;
    uint8_t rescue;               /* enum wf_rescue; set before open */
    bool rescue_refused;          /* by the last open: the program handles the signal */
    struct wf_io_refusal refusal; /* of the last open */
    struct wf_io_refusal because; /* of io_uring, for which this driver stands in */
    struct wf_blocking *blocking; /* threads of its own, from open to close; NULL: it has none */
};

/* home: the op has ended with `res`, and is not linked in `queue`. Calls done, now or when the
 * message arrives. */
void wf_op_end(struct wf_op *op, int32_t res);

/* Does it read or write as files are read and written? */
WF_INLINE bool wf_op_transfers(const struct wf_op *op)
{
    return op->kind == WF_OP_READ || op->kind == WF_OP_WRITE || op->kind == WF_OP_READV ||
           op->kind == WF_OP_WRITEV;
}

/* A rescuer, which has the final completion of an op that is PENDING: may it end the op? False:
 * somebody has asked for its cancellation, and home has to. */
bool wf_op_seize(struct wf_op *op);
/* Instead of wf_op_end, by who has seized it. Calls done. */
void wf_op_end_seized(struct wf_op *op, int32_t res);

/* The facts that hold in each phase, above. home, from submit to done. */
void wf_op_check(const struct wf_op *op);

#endif
