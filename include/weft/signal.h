/* signal.h: signals as events that a task waits for.
 *
 * How. A handler notes the signal for each listener that has asked for it and wakes its task by an
 * eventfd. The road not taken is signalfd(2): it needs the signals blocked in every thread of the
 * process, before the first one is started, which a library cannot see to, and it gives each signal
 * to one reader only.
 *
 * So: a signal reaches a listener if some thread of the process that is not weft's has it
 * unblocked; weft's own threads have all signals blocked. In most programs that is the main thread,
 * which sits in weft_run, and nothing is to be done. While a listener is open its signals do
 * nothing else: neither their default action nor the program's own handler. The close of the last
 * listener of a signal puts back what was before. */
#ifndef WEFT_SIGNAL_H
#define WEFT_SIGNAL_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Listeners that may be open in a process at once. */
#define WEFT_SIGNAL_MAX 64

/* A listener, in the caller's memory. Opaque. */
typedef struct weft_signal {
    WEFT_ALIGNAS(8) unsigned char opaque[32];
} weft_signal;

/* Opens a listener for the signals `numbers` (0 after the last). What arrives from here on is kept
 * for it. Each open listener gets each signal. `numbers` stays the caller's. Any thread. Does not
 * suspend. 0; -EINVAL: SIGKILL and SIGSTOP, what a thread raises by its own mistakes (SIGSEGV,
 * SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS), a number that is none, or none at all;
 * -EMFILE, -ENFILE: no descriptor to be had; -EAGAIN: WEFT_SIGNAL_MAX are open. After an error
 * nothing has changed.
 *
 *     weft_signal signals;
 *     rc = weft_signal_open(&signals, (int[]){SIGINT, SIGTERM, 0});
 *     int number = weft_signal_next(&signals);
 *     weft_signal_close(&signals); */
int weft_signal_open(weft_signal *signals, const int *numbers);

/* Waits for the next signal: its number, > 0. Of one signal that came several times before it was
 * taken one is told, as by the kernel itself; of several signals the one with the lowest number
 * first. When several tasks wait, one of them gets it. -ECANCELED: none was taken; -EINVAL: not
 * open. May suspend. Task context. */
int weft_signal_next(weft_signal *signals);

/* Closes the listener: what was not taken is lost. No other call may be using it. Zeroed memory and
 * a second time: nothing happens. Any thread. Does not suspend; not a point of cancellation. */
void weft_signal_close(weft_signal *signals);

#ifdef __cplusplus
}
#endif

#endif
