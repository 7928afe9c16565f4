/* uring_kick.h: the signal by which a worker that is busy in the program's code is made to enter
 * its ring once.
 *
 * Terms. *kick*: one signal, SIGURG, to one worker's thread. Its handler gives the kernel the
 * entries that are queued and lets it post the completions that it holds back (wf_ring_kick); it
 * takes none.
 *
 * Why a signal: with DEFER_TASKRUN nobody else can enter the ring, so it must be that thread,
 * whatever it does just now. Why SIGURG: its default is to be ignored, so one that comes late hurts
 * nobody; no debugger stops for it; and programs use it for nothing but out-of-band data, which
 * Go's runtime found before us. A program that has a handler for it keeps it: then there are no
 * kicks.
 *
 * Guarantees.
 * G.1  The handler does nothing on threads that are not ours, nor for signals that this process did
 *      not send to the thread itself, nor in the child of a fork.
 * G.2  It keeps errno, takes no lock, and runs on the thread's signal stack, not on a task's.
 * G.3  The last drop puts back what was there before, unless somebody has replaced our handler. */
#ifndef WF_URING_KICK_H
#define WF_URING_KICK_H

struct wf_uring;

/* Once per driver, any thread: our handler is there. 0; -EBUSY: the program has one of its own. */
int wf_kick_claim(void);
void wf_kick_drop(void);

/* On the worker's thread: kicks reach it; they do no more, and none that was sent is under way. */
void wf_kick_begin(struct wf_uring *u);
void wf_kick_end(struct wf_uring *u);

/* Any thread. 0: sent, which does not mean that it is heard. -EBUSY: the handler is not ours any
 * more. -ESRCH: the thread has not begun, or has ended. */
int wf_kick_send(struct wf_uring *u);

#endif
