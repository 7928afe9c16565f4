/* signal.c: signals as events.
 *
 * A table of places, one per open listener; the handler walks it (signals.h). It runs on any thread
 * of the program's, between any two instructions, also of the functions here; so it takes no lock,
 * and what it looks at stays: a place's listener may be looked at while the table's `handlers`
 * counts it.
 *
 * open:   the listener is complete -> its place -> the handler is installed
 * close:  the place is NULL -> no handler runs that might have seen it -> the listener is gone
 *
 * Guarantees.
 * N.1  A signal that arrives between open and close sets its bit in each listener that wants it,
 *      and then makes its eventfd readable.
 * N.2  A bit is taken by one task. One who takes a bit and leaves others makes the eventfd readable
 *      again; so if a bit is set, the eventfd is readable or somebody is on the way to look.
 * N.3  The former action of a signal is read before the first listener's handler is there, and put
 *      back when the last one closes. Under `table_lock`.
 *
 * In the child of a fork(2) the listeners are the parent's: the handler there puts the former
 * action back and raises the signal again. */
#include "pool/base/lock.h"
#include "pool/base/sys.h"
#include "src/io_value.h"
#include "src/signals.h"
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <weft/io.h>
#include <weft/signal.h>

#define WF_SIGNAL_LAST 64 /* the bits of a word; the kernel's _NSIG */

_Static_assert(sizeof(struct wf_signals) <= sizeof(weft_signal), "weft_signal is too small");
_Static_assert(WF_SIGNALS_PLACES == WEFT_SIGNAL_MAX, "as documented");

static struct wf_signals *signals_of(weft_signal *handle)
{
    return (struct wf_signals *)(void *)handle;
}

static struct wf_signals_table table;

static struct wf_lock table_lock;
/* under table_lock; `former` is read by the handler too, of a signal that has users */
static uint32_t users[WF_SIGNAL_LAST + 1];
static struct sigaction former[WF_SIGNAL_LAST + 1];

static uint64_t bit_of(int number)
{
    return UINT64_C(1) << (number - 1);
}

/* --- the handler ------------------------------------------------------------------------------ */

static void make_readable(struct wf_signals *signals)
{
    (void)wf_sys.eventfd_add(signals->fd, 1);
}

static void on_signal(int number)
{
    if (wf_forked) {
        (void)sigaction(number, &former[number], NULL);
        (void)raise(number); /* delivered when this handler has returned */
        return;
    }
    wf_signals_note(&table, bit_of(number), make_readable);
}

/* --- open, close ------------------------------------------------------------------------------ */

/* The bits of a list; 0: something in it is no signal to wait for. */
static uint64_t bits_of(const int *numbers)
{
    static const int own[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                              SIGILL,  SIGTRAP, SIGABRT, SIGSYS};
    uint64_t bits = 0;
    for (; *numbers != 0; numbers++) {
        if (*numbers < 0 || *numbers > WF_SIGNAL_LAST) {
            return 0;
        }
        bits |= bit_of(*numbers);
    }
    for (size_t i = 0; i < WF_COUNT(own); i++) {
        if ((bits & bit_of(own[i])) != 0) {
            return 0;
        }
    }
    return bits;
}

/* One user less of each signal in `bits`; those without are as they were before. */
static void leave_locked(uint64_t bits)
{
    for (int number = 1; number <= WF_SIGNAL_LAST; number++) {
        if ((bits & bit_of(number)) != 0 && --users[number] == 0) {
            (void)sigaction(number, &former[number], NULL);
        }
    }
}

/* 0; or -EINVAL, and nothing has changed: libc keeps some numbers to itself. */
static int join_locked(uint64_t bits)
{
    struct sigaction mine;
    memset(&mine, 0, sizeof mine);
    mine.sa_handler = on_signal;
    /* RESTART: the program's own calls need not know. ONSTACK: a loop's thread may be on a task's
     * stack */
    mine.sa_flags = SA_RESTART | SA_ONSTACK;
    sigfillset(&mine.sa_mask); /* one at a time on a thread: its stack is the program's */
    uint64_t joined = 0;
    for (int number = 1; number <= WF_SIGNAL_LAST; number++) {
        if ((bits & bit_of(number)) == 0) {
            continue;
        }
        if (users[number] == 0 && (sigaction(number, NULL, &former[number]) != 0 ||
                                   sigaction(number, &mine, NULL) != 0)) {
            leave_locked(joined);
            return -EINVAL;
        }
        users[number]++;
        joined |= bit_of(number);
    }
    return 0;
}

static int enter_locked(struct wf_signals *signals)
{
    if (wf_signals_place(&table, signals) < 0) {
        return -EAGAIN;
    }
    int rc = join_locked(wf_plain_read(&signals->wanted));
    if (rc < 0) {
        wf_signals_withdraw(&table, signals);
    }
    return rc;
}

int weft_signal_open(weft_signal *handle, const int *numbers)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    struct wf_signals *signals = signals_of(handle);
    memset(signals, 0, sizeof *signals);
    uint64_t wanted = bits_of(numbers);
    if (wanted == 0) {
        return -EINVAL;
    }
    wf_plain_write(&signals->wanted, wanted);
    signals->fd = wf_sys.eventfd();
    if (signals->fd < 0) {
        return signals->fd;
    }
    wf_lock(&table_lock);
    int rc = enter_locked(signals);
    wf_unlock(&table_lock);
    if (rc < 0) {
        (void)wf_sys.close(signals->fd);
        return rc;
    }
    signals->open = 1;
    return 0;
}

void weft_signal_close(weft_signal *handle)
{
    struct wf_signals *signals = signals_of(handle);
    if (wf_forked || signals->open == 0) {
        return;
    }
    signals->open = 0;
    wf_lock(&table_lock);
    leave_locked(wf_plain_read(&signals->wanted));
    wf_signals_withdraw(&table, signals);
    wf_unlock(&table_lock);
    (void)wf_sys.close(signals->fd);
}

/* --- next ------------------------------------------------------------------------------------- */

/* The eventfd was readable: a signal, or 0. */
static int take_when_readable(struct wf_signals *signals)
{
    uint64_t count;
    (void)wf_sys.call(SYS_read, signals->fd, (long)&count, sizeof count, 0, 0, 0);
    return wf_signals_take(signals, make_readable);
}

int weft_signal_next(weft_signal *handle)
{
    struct wf_signals *signals = signals_of(handle);
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    if (signals->open == 0) {
        return -EINVAL;
    }
    int number = wf_signals_take(signals, make_readable);
    while (number == 0) { /* ends: with a signal; another task may have been faster */
        rc = weft_wait_fd(signals->fd, POLLIN);
        if (rc < 0) {
            return rc;
        }
        number = take_when_readable(signals);
    }
    return number;
}

/* --- as a value ------------------------------------------------------------------------------- */

struct signal_value {
    struct wf_value value;
    struct wf_op op; /* polls */
    struct wf_signals *signals;
};

_Static_assert(sizeof(struct signal_value) <= 256, "pool.c, value_bytes");

static struct signal_value *signal_value_of(struct wf_call *call)
{
    return wf_container_of(call, struct signal_value, value.call);
}

static ssize_t next_finish(struct wf_call *call)
{
    ssize_t ready = wf_op_finish(call);
    const struct wf_fiber *self = wf_self();
    if (ready < 0 || self == NULL || self->env == NULL) { /* nobody wants it: wf_value_discard */
        return ready;
    }
    int number = take_when_readable(signal_value_of(call)->signals);
    return number > 0 ? number : -EAGAIN;
}

static bool next_again(struct wf_call *call, ssize_t result);

static const struct wf_wait_ops next_ops = {
    .cancel = wf_op_cancel, .finish = next_finish, .again = next_again, .name = "weft_signal_next"};

/* Another task was faster. */
static bool next_again(struct wf_call *call, ssize_t result)
{
    if (result != -EAGAIN && result != -EINTR) {
        return false;
    }
    wf_io_begin_again(&signal_value_of(call)->op, call, &next_ops);
    return true;
}

static struct wf_op *fill_next(struct wf_value *value, const void *arg)
{
    struct signal_value *record = wf_container_of(value, struct signal_value, value);
    record->signals = (struct wf_signals *)(uintptr_t)arg;
    record->op = (struct wf_op){.kind = WF_OP_POLL, .fd = record->signals->fd, .flags = POLLIN};
    return &record->op;
}

weft_val weft_signal_next_v_(weft_signal *handle, const weft_place *place)
{
    struct wf_signals *signals = signals_of(handle);
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return wf_val_done(rc, place);
    }
    if (signals->open == 0) {
        return wf_val_done(-EINVAL, place);
    }
    int number = wf_signals_take(signals, make_readable);
    return number > 0 ? wf_val_done(number, place)
                      : wf_io_v_in(WF_V_OP, fill_next, signals, &next_ops, place);
}
