/* uring_rescue.h: completions of a worker that is busy in the program's code are handed over by one
 * that has nothing to do.
 *
 * The problem. A worker enters its ring between works. While one of its tasks computes, or blocks
 * in a call that is not weft's, nobody does, and with DEFER_TASKRUN nobody else can: the kernel
 * holds the completions back, and the entries that are queued are not even begun. The tasks that
 * wait for them stand still although another worker idles.
 *
 * The protocol. *owner*: the ring's worker. *lookout*: the idle worker that looks after the others
 * (pool/lookout.c), one at a time. *rescuer*: the lookout, when it holds an owner's completions.
 *   1. The owner has not come to the driver for STUCK_NS, though it is awake and has operations in
 *      flight (`visits`): it is stuck.
 *   2. The kernel holds back completions of it (WF_RING_PRESSED), or it has queued entries: kick it
 *      (uring_kick.h). Its completion queue then fills, on its own thread, by the kernel's hand.
 *   3. The rescuer takes what is in the queue, in the owner's place: `holder`, by try-lock. The
 *      tasks become ready here, and go on here; what they submit next goes to this worker's ring.
 *
 * What the rescuer may touch. All that belongs to the queue's end: `taken`, the leftover, the
 * returned slots; under `holder`. Of an op, everything, if it has seized it (io/op.h): then no
 * message about it is on its way and it is in none of the owner's lists. Of one that goes on it
 * only hands over a result (`more`), seized or not: it has not ended, and cannot while we hold. It
 * leaves the rest to the owner, in order: completions of the ring's own entries (the wake, answers
 * to cancellations), ends of ops that somebody has asked to cancel, strays. The entries, the free
 * slots, the lists and the timer stay the owner's, who needs no lock to submit.
 *
 * Why the owner's slot and op can be read. They were written before their entry was published
 * (sync(ring.publish)); a completion comes after the kernel has read that number, so the rescuer's
 * load of it (sync(ring.published)) finds it, or a later one. The slot goes back under `holder`,
 * and the owner takes it in when it holds: so no slot is used by two. The generation in the number
 * keeps its promise (uring_slots.h).
 *
 * G.1  A completion is handed over once, by the owner or by one rescuer.
 * G.2  The results of one op are handed over in the order of their arrival: of one that goes on
 *      nothing but its end is ever left, and nothing comes behind that.
 * G.3  What a rescuer leaves is at most WF_LEFT_MAX completions; then it stops, and the queue waits
 *      for the owner.
 * G.4  Nobody waits for a rescuer: an owner that finds it holding goes on without.
 * (tests/model/model_rescue.c) */
#ifndef WF_URING_RESCUE_H
#define WF_URING_RESCUE_H

#include <stdbool.h>
#include <stdint.h>

struct wf_driver;
struct wf_uring;
struct wf_worker;

/* driver.h: is_exposed, rescue. */
bool wf_uring_is_exposed(struct wf_driver *driver, int worker_index);
int64_t wf_uring_rescue(struct wf_driver *driver, struct wf_worker *by);

/* Takes and hands over what is in the owner's queue and may be. Ops ended, which are then ready on
 * `by`, the caller's worker. */
int wf_uring_take_from(struct wf_uring *u, struct wf_worker *by);

#endif
