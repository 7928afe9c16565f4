/* weft_select: one of several is done, the others have no effect. */
#include "pattern.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <weft/weft.h>

static unsigned draw(unsigned *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 16;
}

static weft_chan *new_chan(size_t capacity)
{
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), capacity), 0);
    return chan;
}

TaskTest(select, takes_what_is_there_and_leaves_the_others_alone, 1)
{
    weft_chan *a = new_chan(2), *b = new_chan(2), *full = new_chan(1);
    int x = -1, y = -1, z = 5;
    wt_eq(weft_chan_send(full, &z), 0);
    wt_eq(weft_chan_send(b, &(int){7}), 0);
    weft_case cases[] = {WEFT_ON_RECV(a, &x), WEFT_ON_RECV(b, &y), WEFT_ON_SEND(full, &z)};
    wt_eq(weft_select(cases, 3, 0), 1);
    wt_eq(cases[1].rc, 1);
    wt_eq(y, 7);
    wt_eq(x, -1);
    wt_eq(weft_chan_len(full), 1);
    wt_eq(weft_select(cases, 3, WEFT_NOWAIT), -EAGAIN);
    wt_eq(weft_chan_recv(full, &y), 1);
    wt_eq(weft_select(cases, 3, 0), 2);
    wt_eq(cases[2].rc, 0);
    wt_eq(weft_chan_len(full), 1);
    weft_chan_free(a);
    weft_chan_free(b);
    weft_chan_free(full);
    return 0;
}

TaskTest(select, refuses_what_makes_no_sense, 1)
{
    weft_chan *a = new_chan(1);
    int x;
    weft_case cases[WEFT_SELECT_MAX + 1] = {WEFT_ON_RECV(a, &x)};
    wt_eq(weft_select(cases, 0, 0), -EINVAL);
    wt_eq(weft_select(cases, -1, 0), -EINVAL);
    wt_eq(weft_select(cases, WEFT_SELECT_MAX + 1, 0), -EINVAL);
    wt_eq(weft_select(cases, 1, 4), -EINVAL);
    cases[0].kind = 77;
    wt_eq(weft_select(cases, 1, 0), -EINVAL);
    weft_chan_free(a);
    return 0;
}

TaskTest(select, a_disabled_case_is_never_chosen, 1)
{
    weft_chan *a = new_chan(1);
    int x, y = 3;
    weft_case cases[] = {WEFT_ON_RECV(NULL, &x), WEFT_ON_SEND(a, &y), WEFT_ON_SEND(NULL, &y)};
    wt_eq(weft_select(cases, 3, 0), 1);
    cases[1].object = NULL;
    wt_eq(weft_select(cases, 3, WEFT_NOWAIT), -EAGAIN);
    wt_eq(weft_within(WEFT_US(10), weft_select(cases, 3, 0)), -ETIME, "waits to be cancelled");
    weft_chan_free(a);
    return 0;
}

TaskTest(select, ordered_takes_the_first_and_otherwise_all_have_their_turn, 1)
{
    weft_chan *a = new_chan(100), *b = new_chan(100);
    int x = 0, from[2] = {0, 0};
    for (int i = 0; i < 100; i++) {
        wt_eq(weft_chan_send(a, &i), 0);
        wt_eq(weft_chan_send(b, &i), 0);
    }
    weft_case cases[] = {WEFT_ON_RECV(a, &x), WEFT_ON_RECV(b, &x)};
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_select(cases, 2, WEFT_ORDERED), 0);
        wt_eq(x, i);
    }
    for (int i = 0; i < 80; i++) {
        int which = weft_select(cases, 2, 0);
        wt_ge(which, 0);
        from[which]++;
    }
    wt_gt(from[0], 10);
    wt_gt(from[1], 10);
    weft_chan_free(a);
    weft_chan_free(b);
    return 0;
}

struct chooser {
    weft_chan *in[2];
    weft_chan *out;
    atomic_int *waiting;
    int which, rc;
    int item;
};

static int choose(void *arg)
{
    struct chooser *me = arg;
    int out = 42;
    weft_case cases[] = {WEFT_ON_RECV(me->in[0], &me->item), WEFT_ON_RECV(me->in[1], &me->item),
                         WEFT_ON_SEND(me->out, &out)};
    atomic_fetch_add(me->waiting, 1);
    me->which = weft_select(cases, 3, 0);
    me->rc = me->which >= 0 ? cases[me->which].rc : 99;
    return 0;
}

TaskTest(select, waits_for_the_first_that_can_be_done, 1)
{
    for (int which = 0; which < 3; which++) {
        atomic_int waiting = 0;
        struct chooser me = {{new_chan(1), new_chan(0)}, new_chan(0), &waiting, -1, -1, -1};
        weft_task task;
        weft_spawn(&task, choose, &me);
        yield_until(&waiting, 1);
        int item = -1;
        if (which < 2) {
            wt_eq(weft_chan_send(me.in[which], &(int){which + 7}), 0);
        } else {
            wt_eq(weft_chan_recv(me.out, &item), 1);
            wt_eq(item, 42);
        }
        wt_eq(weft_await(&task), 0);
        wt_eq(me.which, which);
        wt_eq(me.rc, which < 2);
        wt_eq(me.item, which < 2 ? which + 7 : -1);
        for (int i = 0; i < 2; i++) { /* nothing of the select is left in any of them */
            wt_eq(weft_chan_try_recv(me.in[i], &item), -EAGAIN);
            wt_eq(weft_chan_len(me.in[i]), 0);
            weft_chan_free(me.in[i]);
        }
        wt_eq(weft_chan_try_recv(me.out, &item), -EAGAIN);
        weft_chan_free(me.out);
    }
    return 0;
}

TaskTest(select, a_closed_channel_can_be_done, 1) /* E27 */
{
    for (int which = 0; which < 3; which++) {
        atomic_int waiting = 0;
        struct chooser me = {{new_chan(1), new_chan(0)}, new_chan(0), &waiting, -1, -1, -1};
        weft_task task;
        weft_spawn(&task, choose, &me);
        yield_until(&waiting, 1);
        wt_eq(weft_chan_close(which < 2 ? me.in[which] : me.out, which == 1 ? -EIO : 0), 0);
        wt_eq(weft_await(&task), 0);
        wt_eq(me.which, which);
        wt_eq(me.rc, which == 0 ? 0 : which == 1 ? -EIO : -EPIPE);
        int item;
        weft_case cases[] = {WEFT_ON_RECV(me.in[0], &item), WEFT_ON_RECV(me.in[1], &item),
                             WEFT_ON_SEND(me.out, &item)};
        wt_eq(weft_select(cases, 3, WEFT_NOWAIT), which, "and stays so");
        wt_eq(cases[which].rc, me.rc);
        weft_chan_free(me.in[0]);
        weft_chan_free(me.in[1]);
        weft_chan_free(me.out);
    }
    return 0;
}

TaskTest(select, a_closed_channel_whose_code_is_eagain_can_be_done, 1)
{
    weft_chan *a = new_chan(1);
    int x;
    wt_eq(weft_chan_close(a, -EAGAIN), 0);
    weft_case cases[] = {WEFT_ON_RECV(a, &x)};
    wt_eq(weft_select(cases, 1, 0), 0);
    wt_eq(cases[0].rc, -EAGAIN);
    weft_chan_free(a);
    return 0;
}

TaskTest(select, a_cancelled_one_has_done_nothing, 1) /* E28 */
{
    atomic_int waiting = 0;
    struct chooser me = {{new_chan(1), new_chan(0)}, new_chan(0), &waiting, -1, -1, -1};
    WEFT_SCOPE(s);
    weft_task task;
    weft_spawn(&task, choose, &me);
    yield_until(&waiting, 1);
    weft_scope_cancel(&s, NULL);
    int item;
    wt_eq(weft_chan_try_recv(me.out, &item), -EAGAIN, "before it has run again");
    wt_eq(weft_chan_try_send(me.in[1], &item), -EAGAIN);
    wt_eq(weft_chan_try_send(me.in[0], &item), 0);
    wt_eq(weft_await(&task), 0);
    wt_eq(me.which, -ECANCELED);
    wt_eq(weft_chan_len(me.in[0]), 1);
    wt_eq(weft_scope_end(&s), 0);
    weft_chan_free(me.in[0]);
    weft_chan_free(me.in[1]);
    weft_chan_free(me.out);
    return 0;
}

TaskTest(select, under_a_passed_deadline_it_tries_once, 1) /* E2 */
{
    weft_chan *a = new_chan(1);
    int x = 1;
    weft_case send[] = {WEFT_ON_SEND(a, &x)};
    wt_eq(weft_within(0, weft_select(send, 1, 0)), 0);
    wt_eq(weft_within(0, weft_select(send, 1, 0)), -ETIME);
    weft_chan_free(a);
    return 0;
}

TaskTest(select, the_same_channel_may_stand_in_several_cases, 1)
{
    weft_chan *a = new_chan(0);
    int x = -1, y = 4;
    weft_case cases[] = {WEFT_ON_RECV(a, &x), WEFT_ON_RECV(a, &x), WEFT_ON_SEND(a, &y)};
    wt_eq(weft_select(cases, 3, WEFT_NOWAIT), -EAGAIN, "it does not meet itself");
    wt_eq(weft_within(WEFT_US(10), weft_select(cases, 3, 0)), -ETIME);
    weft_chan_free(a);
    return 0;
}

static int count_drop_rc;
static void count_drop(const void *item, void *ctx)
{
    (void)ctx;
    count_drop_rc += *(const int *)item;
}

TaskTest(select, sends_into_channels_that_drop_and_that_grow, 1)
{
    weft_chan *drops, *grows;
    wt_eq(
        weft_chan_new(&drops, sizeof(int), 1, .full = WEFT_FULL_DROP_OLDEST, .on_drop = count_drop),
        0);
    wt_eq(weft_chan_new(&grows, sizeof(int), WEFT_CHAN_UNBOUNDED), 0);
    int x = 3;
    weft_case cases[] = {WEFT_ON_SEND(drops, &x)};
    wt_eq(weft_select(cases, 1, 0), 0);
    wt_eq(cases[0].rc, 0);
    wt_eq(weft_select(cases, 1, 0), 0);
    wt_eq(cases[0].rc, 1);
    wt_eq(count_drop_rc, 3);
    weft_case more[] = {WEFT_ON_SEND(grows, &x)};
    for (int i = 0; i < 3000; i++) {
        wt_eq(weft_select(more, 1, 0), 0);
        wt_eq(more[0].rc, 0);
    }
    wt_eq(weft_chan_len(grows), 3000);
    weft_chan_free(drops);
    weft_chan_free(grows);
    return 0;
}

TaskTest(select, a_change_of_a_watch_and_an_item_of_a_broadcast_are_cases_too, 1)
{
    weft_watch *watch;
    weft_bcast *bcast;
    int value = 1, item = -1;
    wt_eq(weft_watch_new(&watch, sizeof(int), &value), 0);
    wt_eq(weft_bcast_new(&bcast, sizeof(int), 4), 0);
    weft_bcast_reader reader;
    weft_bcast_join(bcast, &reader);
    uint64_t seen = 1, missed = 9;
    weft_case cases[] = {WEFT_ON_WATCH(watch, &seen, &value),
                         WEFT_ON_BCAST(&reader, &item, &missed)};
    wt_eq(weft_select(cases, 2, WEFT_NOWAIT), -EAGAIN);
    wt_eq(weft_watch_set(watch, &(int){5}), 0);
    wt_eq(weft_select(cases, 2, 0), 0);
    wt_eq(cases[0].rc, 1);
    wt_eq(value, 5);
    wt_eq(seen, 2);
    wt_eq(weft_bcast_send(bcast, &(int){8}), 0);
    wt_eq(weft_select(cases, 2, 0), 1);
    wt_eq(cases[1].rc, 1);
    wt_eq(item, 8);
    wt_eq(missed, 0);
    wt_eq(weft_bcast_close(bcast, -EIO), 0);
    wt_eq(weft_select(cases, 2, 0), 1);
    wt_eq(cases[1].rc, -EIO);
    weft_watch_free(watch);
    weft_bcast_free(bcast);
    return 0;
}

struct alarm {
    weft_event *event;
    weft_chan *chan;
    atomic_int *waiting;
    int which, rc;
};

static int wait_for_alarm(void *arg)
{
    struct alarm *me = arg;
    int item;
    weft_case cases[] = {WEFT_ON_RECV(me->chan, &item), WEFT_ON_EVENT(me->event)};
    atomic_fetch_add(me->waiting, 1);
    me->which = weft_select(cases, 2, 0);
    me->rc = me->which >= 0 ? cases[me->which].rc : 99;
    return 0;
}

TaskTest(select, an_event_is_a_case_and_an_auto_one_is_used_up_only_if_chosen, 1)
{
    for (int set = 0; set < 2; set++) {
        atomic_int waiting = 0;
        weft_event event;
        weft_event_init(&event, WEFT_EVENT_AUTO);
        struct alarm me = {&event, new_chan(1), &waiting, -1, -1};
        weft_task task;
        weft_spawn(&task, wait_for_alarm, &me);
        yield_until(&waiting, 1);
        if (set) {
            wt_eq(weft_event_set(&event), 0);
        } else {
            wt_eq(weft_chan_send(me.chan, &(int){1}), 0);
            wt_eq(weft_event_set(&event), 0);
        }
        wt_eq(weft_await(&task), 0);
        wt_eq(me.which, set);
        wt_eq(me.rc, !set);
        wt_eq(weft_event_try(&event), set ? -EAGAIN : 0);
        weft_event_fini(&event);
        weft_chan_free(me.chan);
    }
    return 0;
}

static int wait_for_alarm_and_set_it(void *arg)
{
    struct alarm *me = arg;
    int rc = wait_for_alarm(me);
    wt_eq(weft_event_set(me->event), 0);
    return rc;
}

/* The select has left the event's line when it was chosen, and must not leave it again: whoever has
 * come there meanwhile would be lost. */
TaskTest(select, who_comes_after_a_select_was_given_an_auto_event_stays_in_line, 1)
{
    atomic_int waiting = 0;
    weft_event event;
    weft_event_init(&event, WEFT_EVENT_AUTO);
    struct alarm me = {&event, new_chan(1), &waiting, -1, -1};
    weft_task task;
    weft_spawn(&task, wait_for_alarm_and_set_it, &me);
    yield_until(&waiting, 1);
    wt_eq(weft_yield(), 0); /* it lies by now */
    wt_eq(weft_event_set(&event), 0);
    wt_eq(weft_within(WEFT_SEC(5), weft_event_wait(&event)), 0);
    wt_eq(weft_await(&task), 0);
    wt_eq(me.which, 1);
    wt_eq(weft_event_try(&event), -EAGAIN);
    weft_event_fini(&event);
    weft_chan_free(me.chan);
    return 0;
}

struct stopped_send {
    weft_chan *chan;
    weft_cancel *stop;
    int item;
};

static int send_until_stopped(void *arg)
{
    struct stopped_send *send = arg;
    return (int)weft_under(send->stop, weft_chan_send(send->chan, &send->item));
}

TaskTest(select, what_a_cancelled_sender_offered_is_written_nowhere, 1)
{
    weft_chan *hand = new_chan(0), *full = new_chan(1);
    weft_cancel stop;
    weft_cancel_init(&stop, NULL);
    struct stopped_send stopped = {hand, &stop, 7};
    weft_task t;
    weft_spawn(&t, send_until_stopped, &stopped);
    weft_yield();
    wt_eq(weft_chan_send(full, &(int){8}), 0);
    weft_cancel_fire(&stop, NULL); /* it stands in the queue still */
    int x = -1, y = -1;
    weft_case cases[] = {WEFT_ON_RECV(hand, &x), WEFT_ON_RECV(full, &y)};
    wt_eq(weft_select(cases, 2, WEFT_ORDERED), 1);
    wt_eq(y, 8);
    wt_eq(x, -1, "that case was not chosen");
    wt_eq(weft_await(&t), -ECANCELED);
    weft_cancel_fini(&stop);
    weft_chan_free(hand);
    weft_chan_free(full);
    return 0;
}

/* --- against close ---------------------------------------------------------------------------- */

#define PLACES 64

/* A thread that closes the channel in the very moment in which a select enlists in it, in many
 * places. */
struct closer {
    weft_chan *chan;
    atomic_int asked, closed;
};

static void *close_when_asked(void *arg)
{
    struct closer *closer = arg;
    unsigned state = 1;
    int turn = 0;
    for (;;) { /* ends: asked to */
        int asked;
        while ((asked = atomic_load(&closer->asked)) == turn) { /* ends: a turn, or the end */
        }
        if (asked < 0) {
            return NULL;
        }
        turn = asked;
        for (volatile unsigned i = draw(&state) % 4000; i > 0; i--) {
        }
        wt_eq(weft_chan_close(closer->chan, -EPROTO), 0);
        atomic_store(&closer->closed, turn);
    }
}

TaskTest(select, the_cases_are_the_callers_again_when_it_has_returned, 1, .timeout = 60)
{
    static struct closer closer;
    atomic_store(&closer.asked, 0);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, close_when_asked, &closer), 0);
    int64_t end_ns = now_ns() + WEFT_SEC(1);
    for (int turn = 1; turn <= 4000 && now_ns() < end_ns; turn++) {
        closer.chan = new_chan(0);
        weft_case *cases = malloc(PLACES * sizeof *cases);
        int x;
        for (int i = 0; i < PLACES; i++) {
            cases[i] = i % 2 == 0 ? WEFT_ON_RECV(closer.chan, &x) : WEFT_ON_SEND(closer.chan, &x);
        }
        atomic_store(&closer.asked, turn);
        int which = weft_select(cases, PLACES, 0);
        wt_ge(which, 0);
        wt_eq(cases[which].rc, which % 2 == 0 ? -EPROTO : -EPIPE);
        memset(cases, 0xff, PLACES * sizeof *cases);
        free(cases);
        while (atomic_load(&closer.closed) != turn) { /* ends: it has only to return */
        }
        weft_chan_free(closer.chan);
    }
    atomic_store(&closer.asked, -1);
    pthread_join(thread, NULL);
    return 0;
}

/* --- selects against each other --------------------------------------------------------------- */

#define ACTORS 8
#define TURNS  1500
#define CHANS  3

struct arena {
    weft_chan *chans[CHANS];
    atomic_long sent, sent_sum, received, received_sum;
    atomic_int senders_left;
};

struct actor {
    struct arena *arena;
    int id;
};

static weft_time patience(unsigned *state)
{
    return draw(state) % 4 == 0 ? WEFT_NS(draw(state) % 20000) : WEFT_FOREVER;
}

/* Sends to any of the channels, and meanwhile takes from any. */
WEFT_TASK(trade, struct actor)
{
    struct arena *arena = arg->arena;
    unsigned state = (unsigned)arg->id * 31 + 7;
    for (int turn = 0; turn < TURNS;) {
        int out = arg->id * TURNS + turn;
        int item = out;
        weft_case cases[2 * CHANS];
        for (int i = 0; i < CHANS; i++) { /* all share the memory */
            cases[i] = WEFT_ON_SEND(arena->chans[i], &item);
            cases[CHANS + i] = WEFT_ON_RECV(arena->chans[i], &item);
        }
        int which = weft_within(patience(&state), weft_select(cases, 2 * CHANS, 0));
        if (which < 0) {
            wt_eq(which, -ETIME);
            wt_eq(item, out, "nothing was done");
        } else if (which < CHANS) {
            wt_eq(cases[which].rc, 0);
            wt_eq(item, out);
            atomic_fetch_add(&arena->sent, 1);
            atomic_fetch_add(&arena->sent_sum, out);
            turn++;
        } else {
            wt_eq(cases[which].rc, 1);
            atomic_fetch_add(&arena->received, 1);
            atomic_fetch_add(&arena->received_sum, item);
        }
    }
    if (atomic_fetch_sub(&arena->senders_left, 1) == 1) {
        for (int i = 0; i < CHANS; i++) {
            wt_eq(weft_chan_close(arena->chans[i], 0), 0);
        }
    }
    return 0;
}

/* Takes what the traders leave, so that the last of them find somebody. */
WEFT_TASK(sweep, struct actor)
{
    struct arena *arena = arg->arena;
    int open = CHANS;
    int in = -1;
    weft_case cases[CHANS];
    for (int i = 0; i < CHANS; i++) {
        cases[i] = WEFT_ON_RECV(arena->chans[i], &in);
    }
    while (open > 0) { /* ends: each channel is closed */
        int which = weft_select(cases, CHANS, 0);
        wt_ge(which, 0);
        if (cases[which].rc == 0) {
            cases[which].object = NULL;
            open--;
        } else {
            wt_eq(cases[which].rc, 1);
            atomic_fetch_add(&arena->received, 1);
            atomic_fetch_add(&arena->received_sum, in);
        }
    }
    return 0;
}

static int run_arena(void *arg)
{
    struct arena *arena = arg;
    WEFT_SCOPE(s);
    for (int i = 0; i < ACTORS; i++) {
        weft_go(&s, trade, (&(struct actor){arena, i}));
    }
    weft_go(&s, sweep, (&(struct actor){arena, 0}));
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

Test(select, selects_that_face_each_other_neither_lose_nor_double_an_item, .timeout = 60)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        for (size_t capacity = 0; capacity < 3; capacity++) {
            struct arena arena = {.senders_left = ACTORS};
            for (int i = 0; i < CHANS; i++) {
                arena.chans[i] = new_chan(capacity);
            }
            wt_eq(weft_run(run_arena, &arena, .workers = workers), 0);
            wt_eq(atomic_load(&arena.sent), ACTORS * TURNS);
            wt_eq(atomic_load(&arena.received), ACTORS * TURNS);
            wt_eq(atomic_load(&arena.sent_sum), atomic_load(&arena.received_sum));
            for (int i = 0; i < CHANS; i++) {
                weft_chan_free(arena.chans[i]);
            }
        }
    }
}
