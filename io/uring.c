/* uring.c: the driver that sleeps in io_uring.
 *
 * One ring per worker, used by that worker's thread alone. An op goes to the ring of the worker
 * that submits it and stays there until its final completion. Others reach a ring in two ways: by
 * the eventfd that it watches (wake), and by messages to its worker (cancellation).
 *
 * When the kernel is entered. Submitting only writes an entry; entries are given to the kernel many
 * at a time, because batching is the only real gain (350 ns for one awaited operation alone, 65 ns
 * among many). The worker polls when it has nothing to run, every WF_TURN_POLL works, and when
 * is_due says so: completions are there or held back, WF_DUE_QUEUED entries are queued, or the
 * first of them has seen WF_DUE_AGE works pass.
 *
 * Guarantees, beside those of driver.h and op.h.
 * G.1  Nothing that is queued stays so while the worker sleeps: the enter that sleeps also submits;
 *      and no completion stays untaken: it does not enter to sleep with one in sight.
 * G.2  The completion queue does not overflow. With DEFER_TASKRUN the kernel adds completions only
 *      inside our enters: at most one for each entry submitted, and WF_DEFERRED_MAX held back; we
 *      enter only when it is empty, and it has room for that (checked below). So the number of ops
 *      in flight needs not to be bounded by its size. (If it ever did overflow the kernel would
 *      keep the rest and say so, which is_due sees. An op with several results can bring that
 *      about: it ends when the queue is full, and what comes behind it is kept.)
 * G.3  A cancellation names slot and generation. It is written after the entry of its op and never
 *      hits a later one.
 * G.4  A completion that names no op in flight is counted, reported once and otherwise ignored.
 * G.5  Where more comes than is run, it waits in the kernel and not in the worker's queues: no poll
 *      makes more than WF_REAP_MAX works ready, but for WF_REAP_MIN at each.
 *
 * A kernel that refuses to be entered after it has worked (a seccomp filter that comes late) ends
 * the process, with a message. The roads not taken: completing everything that is pending with
 * -EPERM is not safe, because the kernel has the buffers, and without entering it nobody learns
 * when it has not; leaking them is not possible, because they are on the waiters' stacks. */
#include "io/uring.h"
#include "io/uring_kick.h"
#include "io/uring_rescue.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "pool/worker.h"
#include <errno.h>
#include <linux/time_types.h> /* which the next header forgets */
#include <liburing/io_uring.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Ring memory counts against RLIMIT_MEMLOCK (8 MiB, often; 64 KiB in older set-ups): 227 rings of
 * the first size fit in the former, 5 of the second in the latter. 256 entries: eight times what
 * makes a poll due. */
static const struct {
    uint32_t entries, completions;
} ring_sizes[] = {{256, 1024}, {64, 256}};

_Static_assert(256 + WF_DEFERRED_MAX <= 1024 && 64 + WF_DEFERRED_MAX <= 256, "G.2");

/* Entries queued that make a poll due: at 32 the system call's share is down to 10 ns each. */
#define WF_DUE_QUEUED 32
/* Works that may run before a queued entry is given to the kernel: bounds the delay to some tens of
 * microseconds. (With WF_REAP_MAX and more ready it is WF_TURN_POLL of them, of turn.h.) */
#define WF_DUE_AGE 16
/* Completions handed over before the worker gets to run something, and works that are ready in the
 * end, if there are enough completions. */
#define WF_REAP_MAX 128
/* Completions handed over at each poll, however many works are ready. Between two such polls more
 * works run (WF_TURN_POLL), so their number falls. */
#define WF_REAP_MIN 16

/* An owner that would sleep, but is kept out so often in a row by a rescuer, rests for so long.
 * Between two sleeps it searches for 4 to 20 us, which is longer than a rescuer needs. */
#define WF_KEPT_OUT_MAX 2
#define WF_GIVE_WAY_NS  INT64_C(50000)

/* Numbers that are no slot's, for entries of our own. */
#define NUMBER_WAKE UINT64_C(0xffffffff)
/* In the number of a cancellation, beside that of its op. No slot's index has this bit
 * (uring_slots.h). */
#define CANCEL_TAG UINT64_C(0x80000000)

/* How often the kernel is asked at once to cancel an op that it does not find, and how long later
 * it is asked again. */
#define WF_ASK_AT_ONCE  4
#define WF_ASK_AGAIN_NS INT64_C(1000000)

/* The kernel's operation codes: of each kind, and our own. Rings are restricted to them. */
static const uint8_t codes[] = {
    [WF_OP_NOP] = IORING_OP_NOP,
    [WF_OP_READ] = IORING_OP_READ,
    [WF_OP_WRITE] = IORING_OP_WRITE,
    [WF_OP_OPENAT] = IORING_OP_OPENAT,
    [WF_OP_CLOSE] = IORING_OP_CLOSE,
    [WF_OP_FSYNC] = IORING_OP_FSYNC,
    [WF_OP_STATX] = IORING_OP_STATX,
    [WF_OP_ACCEPT] = IORING_OP_ACCEPT,
    [WF_OP_CONNECT] = IORING_OP_CONNECT,
    [WF_OP_SEND] = IORING_OP_SEND,
    [WF_OP_RECV] = IORING_OP_RECV,
    [WF_OP_POLL] = IORING_OP_POLL_ADD,
    [WF_OP_SHUTDOWN] = IORING_OP_SHUTDOWN,
    [WF_OP_KINDS] = IORING_OP_ASYNC_CANCEL,
    [WF_OP_READV] = IORING_OP_READV,
    [WF_OP_WRITEV] = IORING_OP_WRITEV,
    [WF_OP_SENDMSG] = IORING_OP_SENDMSG,
    [WF_OP_RECVMSG] = IORING_OP_RECVMSG,
    [WF_OP_ACCEPT_MANY] = IORING_OP_ACCEPT,
    [WF_OP_OPENAT2] = IORING_OP_OPENAT2,
    [WF_OP_RECV_LENT] = IORING_OP_RECV,
};
_Static_assert(WF_FSYNC_DATA == IORING_FSYNC_DATASYNC, "op.h's number is the kernel's");

static struct wf_uring_driver *driver_of(struct wf_driver *driver)
{
    return wf_container_of(driver, struct wf_uring_driver, io.base);
}

static struct wf_uring *uring_of(const struct wf_worker *worker)
{
    return worker->driver_state;
}

static struct wf_op *op_of(struct wf_list *queue)
{
    return wf_container_of(queue, struct wf_op, queue);
}

/* --- entries ---------------------------------------------------------------------------------- */

/* What only some kinds have in their entries. */
static WF_COLD void mark_entry(struct io_uring_sqe *entry, const struct wf_op *op)
{
    if (op->kind == WF_OP_POLL) { /* the kernel refuses what it does not know there */
        entry->off = entry->addr = entry->len = 0;
        return;
    }
    if (op->kind == WF_OP_ACCEPT_MANY) {
        entry->ioprio = IORING_ACCEPT_MULTISHOT;
        return;
    }
    entry->flags = IOSQE_BUFFER_SELECT;
    entry->buf_group = WF_LEND_GROUP;
    /* waits first: a try in vain costs more, and a ring without buffers would end it though there
     * are no data */
    entry->ioprio = (op->flags & MSG_DONTWAIT) == 0 ? IORING_RECVSEND_POLL_FIRST : 0;
}

_Static_assert(WF_OP_POLL + 1 == WF_OP_ACCEPT_MANY && WF_OP_ACCEPT_MANY + 1 == WF_OP_RECV_LENT &&
                   WF_OP_RECV_LENT + 1 == WF_OP_KINDS,
               "the kinds that mark_entry marks are the last");

/* Gives the op a slot and writes its entry. False: no room for either. */
static bool start(struct wf_uring *u, struct wf_op *op)
{
    if (wf_unlikely(wf_ring_is_full(&u->ring))) {
        return false;
    }
    uint32_t slot = wf_slots_take(&u->slots, op);
    if (wf_unlikely(slot == WF_SLOTS_NONE)) {
        return false;
    }
    struct io_uring_sqe *entry = wf_ring_entry(&u->ring);
    entry->opcode = codes[op->kind];
    entry->fd = op->fd;
    entry->off = op->offset;
    entry->addr = op->address;
    entry->len = op->bytes;
    entry->rw_flags = (__kernel_rwf_t)op->flags; /* one union with the flags of the other kinds */
    entry->user_data = wf_slots_number(&u->slots, slot);
    if (wf_unlikely(op->kind >= WF_OP_POLL)) {
        mark_entry(entry, op);
    }
    op->slot = slot;
    op->phase = WF_OP_PENDING;
    wf_worker_submitted(u->worker);
    wf_ring_publish(&u->ring); /* LAST TOUCH: a rescuer may end it */
    if (wf_slots_used(&u->slots) == 1) {
        wf_exposed(u->worker);
    }
    return true;
}

static void write_cancel(struct wf_uring *u, const struct wf_op *op)
{
    struct io_uring_sqe *entry = wf_ring_entry(&u->ring);
    entry->opcode = IORING_OP_ASYNC_CANCEL;
    entry->fd = -1;
    entry->addr = wf_slots_number(&u->slots, op->slot);
    entry->user_data = entry->addr | CANCEL_TAG;
}

/* Watches wake_fd until further notice. Multishot, and the counter is never read: each write to it
 * makes a completion, so a wake costs its receiver no system call beyond the enter that it sleeps
 * in. False: no room. */
static bool arm_wake(struct wf_uring *u)
{
    if (wf_likely(u->wake_armed)) {
        return true;
    }
    struct io_uring_sqe *entry = wf_ring_entry(&u->ring);
    if (entry == NULL) {
        return false;
    }
    entry->opcode = IORING_OP_POLL_ADD;
    entry->fd = u->wake_fd;
    entry->len = IORING_POLL_ADD_MULTI;
    entry->poll32_events = POLLIN;
    entry->user_data = NUMBER_WAKE;
    u->wake_armed = true;
    return true;
}

/* Writes as many as fit: cancellations first, which make room, then what has waited. True: all. */
static bool stage(struct wf_uring *u)
{
    while (wf_unlikely(!wf_list_is_empty(&u->cancelling))) { /* ends: unlinks one each turn */
        if (wf_ring_is_full(&u->ring)) {
            return false;
        }
        struct wf_op *op = op_of(u->cancelling.next);
        write_cancel(u, op);
        wf_list_unlink(&op->queue);
    }
    while (wf_unlikely(!wf_list_is_empty(&u->waiting))) { /* ends: likewise */
        struct wf_op *op = op_of(u->waiting.next);
        if (!start(u, op)) {
            /* else there is no slot: completions will bring one */
            return !wf_ring_is_full(&u->ring);
        }
        wf_list_unlink(&op->queue);
    }
    return true;
}

/* --- ops -------------------------------------------------------------------------------------- */

static void uring_submit(struct wf_worker *home, struct wf_op *op)
{
    struct wf_uring *u = uring_of(home);
    if (wf_unlikely(!wf_list_is_empty(&u->waiting) || !start(u, op))) {
        op->phase = WF_OP_WAITING;
        wf_list_push_back(&u->waiting, &op->queue);
    }
}

static void uring_cancel(struct wf_worker *home, struct wf_op *op)
{
    struct wf_uring *u = uring_of(home);
    struct wf_list *list = &u->cancelling;
    if (op->phase == WF_OP_WAITING) {
        wf_list_unlink(&op->queue);
        list = &u->dropped;
    }
    wf_list_push_back(list, &op->queue);
}

/* Ends what was cancelled before it was given to the kernel. How many. */
static int drop(struct wf_uring *u)
{
    int count = 0;
    struct wf_list *queue;
    /* ends: `done` cancels nothing of this worker's */
    while ((queue = wf_list_pop_front(&u->dropped)) != NULL) {
        wf_op_end(op_of(queue), -ECANCELED);
        count++;
    }
    return count;
}

/* --- completions ------------------------------------------------------------------------------ */

static WF_COLD void report_stray(struct wf_uring *u, const struct wf_ring_completion *completion)
{
    if (u->strays++ == 0) {
        (void)fprintf(
            stderr,
            "weft: io_uring of worker %u: a completion (%#llx, result %d, flags %#x) belongs to no "
            "operation and is ignored; said once\n",
            u->worker->index, (unsigned long long)completion->user_data, completion->res,
            completion->flags);
    }
}

static void ask_again(struct wf_timer *timer)
{
    /* on our thread: only it advances */
    struct wf_uring *u = wf_container_of(timer, struct wf_uring, ask_again);
    wf_list_move_all(&u->asking, &u->cancelling);
}

/* The kernel has answered a cancellation. "Not found" does not mean that the op has ended: one that
 * its socket has just woken is in nobody's list until it has tried again, and then waits on,
 * uncancelled (seen with sends into a full socket: one cancellation in twenty). What counts is the
 * op's own completion: until then, ask again. */
static void cancel_answered(struct wf_uring *u, uint64_t number, int32_t res)
{
    struct wf_op *op = wf_slots_find(&u->slots, number);
    if (res >= 0 || op == NULL || !wf_list_is_empty(&op->queue)) {
        return;
    }
    if (op->asked < WF_ASK_AT_ONCE) {
        op->asked++;
        wf_list_push_back(&u->cancelling, &op->queue);
    } else {
        wf_list_push_back(&u->asking, &op->queue);
        (void)wf_timer_del(&u->ask_again);
        wf_timer_add(&u->worker->wheel, &u->ask_again, wf_sys.now_ns() + WF_ASK_AGAIN_NS);
    }
}

static bool is_cancel(const struct wf_uring *u, uint64_t number)
{
    /* relaxed: ours */
    return (number & CANCEL_TAG) != 0 &&
           (uint32_t)(number & ~CANCEL_TAG) < wf_load_relaxed(&u->slots.chunks) * WF_SLOTS_CHUNK;
}

static void complete_own(struct wf_uring *u, const struct wf_ring_completion *completion)
{
    if (completion->user_data == NUMBER_WAKE) {
        u->woken = true;
        u->wake_armed = (completion->flags & IORING_CQE_F_MORE) != 0;
    } else if (is_cancel(u, completion->user_data)) {
        cancel_answered(u, completion->user_data & ~CANCEL_TAG, completion->res);
    } else {
        report_stray(u, completion);
    }
}

/* Ops ended: 0 or 1. */
static int complete(struct wf_uring *u, const struct wf_ring_completion *completion)
{
    struct wf_op *op = wf_slots_find(&u->slots, completion->user_data);
    if (wf_unlikely(op == NULL)) {
        complete_own(u, completion);
        return 0;
    }
    if (wf_unlikely((completion->flags & IORING_CQE_F_MORE) != 0)) {
        op->more(op, completion->res); /* only kinds that have it get such a completion */
        return 1;
    }
    wf_patience_heard(&u->worker->patience, wf_slots_since(&u->slots, completion->user_data));
    wf_slots_give(&u->slots, op->slot);
    wf_list_unlink(&op->queue);
    wf_worker_completed(u->worker);
    if (completion->res == -ECANCELED) {
        wf_count(&u->worker->counters.ops_cancelled);
    }
    if (wf_unlikely((completion->flags & IORING_CQE_F_BUFFER) != 0)) {
        op->offset = 1 + (completion->flags >> IORING_CQE_BUFFER_SHIFT);
    }
    wf_op_end(op, completion->res);
    wf_count(&u->worker->counters.ops_handed); /* only now: see src/deadlock.c */
    return 1;
}

/* What a rescuer has left, before what came later. How many. */
static WF_COLD int take_leftover(struct wf_uring *u, int *ended)
{
    int count = (int)wf_load_relaxed(&u->left); /* relaxed: we hold */
    for (int i = 0; i < count; i++) {
        *ended += complete(u, &u->leftover[i]);
    }
    wf_store_relaxed(&u->left, 0);
    return count;
}

/* Hands over completions, `max` at most but for what a rescuer has left. How many were taken;
 * *ended grows by those that were an op's. */
static int reap(struct wf_uring *u, int max, int *ended)
{
    wf_check_inner(!u->polling);
    u->polling = true;
    int taken = 0;
    if (wf_unlikely(wf_load_relaxed(&u->left) != 0)) { /* relaxed: we hold */
        taken = take_leftover(u, ended);
    }
    struct wf_ring_completion completion;
    while (taken < max && wf_ring_take(&u->ring, &completion)) {
        *ended += complete(u, &completion);
        taken++;
    }
    u->polling = false;
    if (taken > 0) {
        wf_ring_give_back(&u->ring);
    }
    return taken;
}

/* --- entering the kernel ---------------------------------------------------------------------- */

static WF_COLD void enter_refused(int rc)
{
    const char *name = strerrorname_np(-rc);
    wf_check(rc != -EPERM && rc != -EACCES && rc != -ENOSYS,
             "io_uring_enter was refused (%s) after the runtime had started: was a seccomp filter "
             "installed? "
             "Operations are in the kernel and cannot be taken back. Install filters before the "
             "runtime starts.",
             name);
    wf_check(false, "io_uring_enter failed with %s (%d)", name != NULL ? name : "an unknown error",
             -rc);
}

/* As wf_ring_enter. Errors that pass by themselves are returned, others end the process. */
static int enter(struct wf_uring *u, uint32_t min_complete, int64_t timeout_ns)
{
    wf_count(&u->worker->counters.driver_enters);
    u->age = 0;
    int rc = wf_ring_enter(&u->ring, min_complete, timeout_ns);
    if (wf_unlikely(rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)) {
        enter_refused(rc);
    }
    return rc;
}

/* Would a poll have something to do? */
static bool has_work(struct wf_uring *u)
{
    /* relaxed: a hint; the poll holds */
    if (wf_ring_has(&u->ring) || wf_ring_is_pressed(&u->ring) || wf_load_relaxed(&u->left) != 0) {
        return true;
    }
    if (wf_likely(u->ring.queued == 0 && wf_list_is_empty(&u->cancelling) &&
                  wf_list_is_empty(&u->dropped))) {
        return false;
    }
    return u->ring.queued >= WF_DUE_QUEUED || ++u->age >= WF_DUE_AGE;
}

static uint32_t ready(const struct wf_uring *u)
{
    return wf_runq_len(&u->worker->runq);
}

/* As many as there is need of: where more came than are run meanwhile, all of them would stand
 * ready in the end, out of the FIFO into the injection queue, each with what it has borrowed, and
 * none of it in a cache any more when its turn comes (echo by loans, 1000 connections: 10.6 us a
 * request instead of 8.9, and one receive in three had no buffer). */
static int reap_max(const struct wf_uring *u)
{
    uint32_t works = ready(u);
    return works < WF_REAP_MAX - WF_REAP_MIN ? WF_REAP_MAX - (int)works : WF_REAP_MIN;
}

/* Not while a rescuer holds: a poll would find it held, and the worker not come to rest until the
 * rescuer is through, who may have lost its processor. Nor while enough is ready: then it is polled
 * in its turn. */
static bool uring_is_due(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver;
    struct wf_uring *u = uring_of(worker);
    return has_work(u) && ready(u) < WF_REAP_MAX &&
           wf_load_relaxed(&u->holder) != WF_HELD_BY_RESCUER; /* relaxed: a hint */
}

/* The owner comes to the driver. False: a rescuer is handing over what there is, and soon
 * through. */
static bool hold(struct wf_uring *u)
{
    uint32_t nobody = WF_HELD_BY_NOBODY;
    wf_store_relaxed(&u->visits, wf_load_relaxed(&u->visits) + 1); /* relaxed: only we write it */
    /* sync(uring.hold): acquire, what a rescuer did; pairs sync(uring.rescued) */
    if (wf_unlikely(!wf_cas_acquire(&u->holder, &nobody, WF_HELD_BY_OWNER))) {
        return false;
    }
    wf_slots_collect(&u->slots);
    return true;
}

static void let_go(struct wf_uring *u)
{
    /* sync(uring.let_go): release, what we did; pairs sync(uring.rescue) */
    wf_store_release(&u->holder, WF_HELD_BY_NOBODY);
}

/* Of the holder. Ops ended. */
static int poll_held(struct wf_uring *u)
{
    int ended = drop(u);
    int max = reap_max(u);
    int taken = reap(u, max, &ended);
    /* Ends: each turn gives entries to the kernel or takes completions, up to the bound; or is the
     * last. */
    while (taken < max) {
        (void)stage(u);
        if (u->ring.queued == 0 && !wf_ring_is_pressed(&u->ring)) {
            break;
        }
        int rc = enter(u, 0, 0); /* the completion queue is empty here: G.2 */
        int more = reap(u, max - taken, &ended);
        if (rc <= 0 && more == 0) {
            break; /* the next poll tries again */
        }
        taken += more;
    }
    return ended;
}

static int uring_poll(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver;
    struct wf_uring *u = uring_of(worker);
    if (!hold(u)) {
        return 0;
    }
    int ended = poll_held(u);
    let_go(u);
    return ended;
}

static int64_t time_left_ns(int64_t deadline_ns)
{
    if (deadline_ns == INT64_MAX) {
        return INT64_MAX;
    }
    int64_t now_ns = wf_sys.now_ns();
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

/* A rescuer holds, which takes some us, or has lost its processor: it may need this one. */
static WF_COLD void give_way(struct wf_uring *u)
{
    if (u->kept_out < WF_KEPT_OUT_MAX) {
        u->kept_out++;
    } else {
        wf_sys.nap(WF_GIVE_WAY_NS);
    }
}

static void uring_sleep(struct wf_driver *driver, struct wf_worker *worker, int64_t deadline_ns)
{
    (void)driver;
    struct wf_uring *u = uring_of(worker);
    if (wf_unlikely(!hold(u))) {
        give_way(u); /* there is work in a moment, at the rescuer */
        return;
    }
    u->kept_out = 0;
    int ended = 0;
    if (wf_unlikely(u->woken || wf_ring_has(&u->ring) || wf_load_relaxed(&u->left) != 0 ||
                    drop(u) > 0 || !stage(u) || !arm_wake(u))) {
        /* something to do before it may sleep (G.1), or instead of it */
        (void)poll_held(u);
    } else {
        (void)enter(u, 1, time_left_ns(deadline_ns));
        (void)reap(u, WF_REAP_MAX, &ended);
    }
    u->woken = false; /* this sleep has returned for it */
    let_go(u);
}

/* Any thread. */
static void uring_wake(struct wf_driver *driver, int worker_index)
{
    int rc = wf_sys.eventfd_add(driver_of(driver)->rings[worker_index].wake_fd, 1);
    wf_check(rc == 0,
             "worker %d cannot be woken: was a descriptor closed that is not the program's?",
             worker_index);
}

/* --- begin, end ------------------------------------------------------------------------------- */

static void uring_worker_begin(struct wf_driver *driver, struct wf_worker *worker)
{
    struct wf_uring *u = &driver_of(driver)->rings[worker->index];
    const char *refused;
    int rc = wf_ring_enable(&u->ring, &refused);
    wf_check(rc == 0, "%s failed with %d for a ring of the kind that the probe enabled", refused,
             rc);
    u->worker = worker;
    worker->driver_state = u;
    if (driver_of(driver)->kicks) {
        wf_kick_begin(u);
    }
}

static void uring_worker_end(struct wf_driver *driver, struct wf_worker *worker)
{
    struct wf_uring *u = uring_of(worker);
    /* ends: nothing is in flight that a rescuer could come for once more; and held for good */
    while (!hold(u)) {
        wf_spin_hint();
    }
    if (driver_of(driver)->kicks) {
        wf_kick_end(u);
    }
    uint32_t in_flight = wf_slots_used(&u->slots);
    wf_check(in_flight == 0 && wf_list_is_empty(&u->waiting) && wf_list_is_empty(&u->dropped),
             "worker %u ends while %u operations are in flight", worker->index, in_flight);
    wf_ring_leave(&u->ring);
    worker->driver_state = NULL;
}

/* --- open, close ------------------------------------------------------------------------------ */

static const struct wf_driver_ops uring_driver_ops, uring_rescue_ops;

/* The largest ring, from *size on, that is to be had. */
static int open_ring(struct wf_ring *ring, unsigned *size, const char **refused)
{
    int rc = -ENOMEM;
    for (; *size < WF_COUNT(ring_sizes); (*size)++) {
        rc = wf_ring_open(ring, ring_sizes[*size].entries, ring_sizes[*size].completions, refused);
        if (rc != -ENOMEM) {
            return rc;
        }
    }
    (*size)--; /* the next ring may have more luck with the smallest */
    return rc;
}

static void close_one(struct wf_uring *u)
{
    wf_ring_close(&u->ring);
    wf_lend_close(&u->lend);
    wf_slots_close(&u->slots);
    (void)wf_sys.close(u->wake_fd);
}

static int open_one(struct wf_uring *u, unsigned *size, const char **refused)
{
    memset(u, 0, sizeof *u);
    wf_list_init(&u->waiting);
    wf_list_init(&u->cancelling);
    wf_list_init(&u->dropped);
    wf_list_init(&u->asking);
    wf_timer_init(&u->ask_again, ask_again);
    u->ring.fd = -1;
    *refused = "eventfd";
    u->wake_fd = wf_sys.eventfd();
    if (u->wake_fd < 0) {
        return u->wake_fd;
    }
    int rc = -ENOMEM;
    *refused = "malloc";
    if (wf_slots_open(&u->slots)) {
        rc = open_ring(&u->ring, size, refused);
    }
    if (rc == 0) {
        rc = wf_ring_restrict(&u->ring, codes, WF_COUNT(codes), refused);
    }
    if (rc < 0) {
        close_one(u);
    }
    return rc;
}

static void uring_close(struct wf_driver *driver)
{
    struct wf_uring_driver *d = driver_of(driver);
    while (d->workers > 0) {
        close_one(&d->rings[--d->workers]);
    }
    wf_sys.release(d->rings);
    d->rings = NULL;
    if (d->kicks) {
        wf_kick_drop();
        d->kicks = false;
    }
}

/* 0; or -EBUSY, if rescue was asked for by name and cannot be had. */
static int open_rescue(struct wf_uring_driver *d, int workers)
{
    d->io.rescue_refused = false;
    d->io.base.ops = &uring_driver_ops; /* not by close: reports of other threads read it */
    if (d->io.rescue == WF_RESCUE_OFF || workers == 1) {
        return 0;
    }
    int rc = wf_kick_claim();
    if (rc < 0) {
        d->io.rescue_refused = true;
        return d->io.rescue == WF_RESCUE_ON ? rc : 0;
    }
    d->kicks = true;
    d->io.base.ops = &uring_rescue_ops;
    return 0;
}

static int uring_open(struct wf_driver *driver, int workers)
{
    struct wf_uring_driver *d = driver_of(driver);
    d->io.refusal = (struct wf_io_refusal){.call = "malloc", .rc = -ENOMEM};
    d->workers = 0;
    d->rings = wf_sys.alloc(WF_LINE_PAIR, sizeof *d->rings * (size_t)workers);
    if (d->rings == NULL) {
        return -ENOMEM;
    }
    unsigned size = 0;
    while (d->workers < workers) {
        int rc = open_one(&d->rings[d->workers], &size, &d->io.refusal.call);
        if (rc < 0) {
            d->io.refusal.rc = rc;
            uring_close(driver);
            return rc;
        }
        d->workers++;
    }
    int rc = open_rescue(d, workers);
    if (rc < 0) {
        d->io.refusal = (struct wf_io_refusal){.call = "sigaction", .rc = rc};
        uring_close(driver);
        return rc;
    }
    d->io.refusal = (struct wf_io_refusal){0};
    return 0;
}

static const struct wf_driver_ops uring_driver_ops = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .worker_begin = uring_worker_begin,
    .worker_end = uring_worker_end,
    .is_due = uring_is_due,
    .poll = uring_poll,
    .sleep = uring_sleep,
    .wake = uring_wake,
};

/* With rescue. */
static const struct wf_driver_ops uring_rescue_ops = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .worker_begin = uring_worker_begin,
    .worker_end = uring_worker_end,
    .is_due = uring_is_due,
    .poll = uring_poll,
    .sleep = uring_sleep,
    .wake = uring_wake,
    .is_exposed = wf_uring_is_exposed,
    .rescue = wf_uring_rescue,
};

static int uring_lend_begin(struct wf_worker *home, uint32_t count)
{
    struct wf_uring *u = uring_of(home);
    return wf_lend_open(&u->lend, &u->ring, count);
}

static void uring_lend(struct wf_worker *home, void *buffer, uint32_t bytes, uint16_t number)
{
    wf_lend(&uring_of(home)->lend, buffer, bytes, number);
}

static const struct wf_io_ops uring_io_ops = {
    .submit = uring_submit,
    .cancel = uring_cancel,
    .lend_begin = uring_lend_begin,
    .lend = uring_lend,
};

struct wf_driver *wf_uring_driver_new(void)
{
    struct wf_uring_driver *d = wf_sys.alloc(WF_LINE, sizeof *d);
    if (d == NULL) {
        return NULL;
    }
    *d = (struct wf_uring_driver){.io = {.base = {.ops = &uring_driver_ops}, .io = &uring_io_ops}};
    return &d->io.base;
}

void wf_uring_driver_free(struct wf_driver *driver)
{
    if (driver != NULL) {
        wf_sys.release(driver_of(driver));
    }
}

/* --- probe ------------------------------------------------------------------------------------ */

#define PROBE_ENTRIES     4
#define PROBE_COMPLETIONS 8
#define PROBE_NUMBER      UINT64_C(0x5ca1ab1e)
#define PROBE_TIMEOUT_NS  INT64_C(1000000000) /* a NOP takes less than a microsecond */

/* One NOP, there and back. */
static int probe_nop(struct wf_ring *ring, const char **refused)
{
    struct io_uring_sqe *entry = wf_ring_entry(ring);
    entry->opcode = IORING_OP_NOP;
    entry->user_data = PROBE_NUMBER;
    *refused = "io_uring_enter";
    int rc = wf_ring_enter(ring, 1, PROBE_TIMEOUT_NS);
    struct wf_ring_completion completion;
    if (rc >= 0 && (!wf_ring_take(ring, &completion) || completion.user_data != PROBE_NUMBER)) {
        return -EOPNOTSUPP;
    }
    return rc < 0 ? rc : 0;
}

int wf_uring_probe(struct wf_io_refusal *refusal)
{
    struct wf_ring ring;
    int rc = wf_ring_open(&ring, PROBE_ENTRIES, PROBE_COMPLETIONS, &refusal->call);
    if (rc < 0) {
        refusal->rc = rc;
        return rc;
    }
    rc = wf_ring_probe(&ring, codes, WF_COUNT(codes), &refusal->call);
    if (rc == 0) {
        rc = wf_ring_restrict(&ring, codes, WF_COUNT(codes), &refusal->call);
    }
    if (rc == 0) {
        rc = wf_ring_enable(&ring, &refusal->call);
    }
    if (rc == 0) {
        rc = probe_nop(&ring, &refusal->call);
        wf_ring_leave(&ring);
    }
    wf_ring_close(&ring);
    *refusal = rc < 0 ? (struct wf_io_refusal){.call = refusal->call, .rc = rc}
                      : (struct wf_io_refusal){0};
    return rc;
}
