/* model_signal.c: src/signals.h, signals that are noted for listeners by handlers, while listeners
 * come and go. A handler is a thread here: it is on another thread in truth, or else it has
 * returned before the function that it interrupted goes on.
 *
 * What is modelled of signal.c: the eventfd is an event that one waiter takes. It orders, as
 * writing to it and reading from it do in the kernel.
 *
 * Checked in every execution.
 *   Never too late: after its withdrawal nobody touches a listener (its memory is retired), and its
 *   owner sees all that was done to it (a data race on `wanted`, which is written again). Never
 *   lost: a signal that was noted for a listener is taken; a waiter that is left over is a
 *   deadlock. In order: who takes a signal sees what was done before it was sent. */
#define WF_SIGNALS_PLACES 2
#include "src/signals.h"

#include <string.h>

static void nap(int64_t ns)
{
    (void)ns;
    wloom_yield();
}

struct wf_sys wf_sys = {.nap = nap};

static struct wf_signals_table table;
static struct wf_signals listeners[2];
static WF_ATOMIC(uint32_t) readable[2];
static WF_PLAIN(int) letters[2]; /* what a sender writes before it sends */

static void make_readable(struct wf_signals *signals)
{
    wloom_handoff_set(&readable[signals - listeners]);
}

static void begin(void)
{
    memset(&table, 0, sizeof table);
    memset(listeners, 0, sizeof listeners);
    memset(readable, 0, sizeof readable);
    memset(letters, 0, sizeof letters);
}

static void open_one(int i, uint64_t wanted)
{
    wf_plain_write(&listeners[i].wanted, wanted);
    wloom_assert(wf_signals_place(&table, &listeners[i]) == 0);
}

static void close_one(int i)
{
    wf_signals_withdraw(&table, &listeners[i]);
    wf_plain_write(&listeners[i].wanted, 0);
    wloom_retire(&listeners[i], sizeof listeners[i]);
}

/* The sender and the handler. */
static void send(void *arg)
{
    int number = (int)(intptr_t)arg;
    wf_plain_write(&letters[number - 1], number);
    wf_signals_note(&table, UINT64_C(1) << (number - 1), make_readable);
}

static int next(int i)
{
    int number = wf_signals_take(&listeners[i], make_readable);
    while (number == 0) { /* ends: one is sent */
        wloom_handoff_wait(&readable[i]);
        number = wf_signals_take(&listeners[i], make_readable);
    }
    wloom_assert(wf_plain_read(&letters[number - 1]) == number);
    return number;
}

static void take_one(void *arg)
{
    (void)next((int)(intptr_t)arg);
}

/* --- scenarios -------------------------------------------------------------------------------- */

static void a_close_waits_for_the_handlers(void)
{
    begin();
    open_one(0, 3);
    wloom_spawn(send, (void *)1);
    wloom_spawn(send, (void *)2);
    close_one(0);
    wloom_join_all();
}

static void open_and_close(void *arg)
{
    int i = (int)(intptr_t)arg;
    open_one(i, 1);
    close_one(i);
}

/* The handler may see the one that comes, complete, and the one that stays. */
static void one_comes_and_goes_beside_one_that_stays(void)
{
    begin();
    open_one(0, 1);
    wloom_spawn(open_and_close, (void *)1);
    wloom_spawn(send, (void *)1);
    wloom_assert(next(0) == 1);
    wloom_join_all();
    close_one(0);
}

static void two_signals_for_two_who_wait(void)
{
    begin();
    open_one(0, 3);
    wloom_spawn(take_one, (void *)0);
    wloom_spawn(take_one, (void *)0);
    wloom_spawn(send, (void *)1);
    wloom_spawn(send, (void *)2);
    wloom_join_all();
    wloom_observe(true);
    wloom_assert(wf_load_relaxed(&listeners[0].arrived) == 0);
}

static const struct wloom_scenario scenarios[] = {
    {"a_close_waits_for_the_handlers", a_close_waits_for_the_handlers, NULL, NULL, false},
    {"one_comes_and_goes_beside_one_that_stays", one_comes_and_goes_beside_one_that_stays, NULL,
     NULL, false},
    {"two_signals_for_two_who_wait", two_signals_for_two_who_wait, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"src/signals.h", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "signal",
        .scenarios = scenarios,
        .under_test = under_test,
        .share = 0.3,
    };
    return wloom_main(&harness, argc, argv);
}
