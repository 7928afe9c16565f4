/* model_chan.c: channels, weft_select and generators, with their own sources: what is handed over
 * in the moment in which the waiter is cancelled, closed, or served elsewhere.
 *
 * An actor is a task with one call at a time: it begins it as the public function does, lies down
 * as src/block.c and src/gen.c do (written out here again, without a stack and a slot:
 * model_stack.c has those), and runs the call's end. A fiber is a word that resumes it and a plain
 * word that stands for its saved context. A scope can be cancelled; an actor is in one or in none.
 * Items are plain words, so that a copy which is not ordered with its reader is a data race.
 *
 * Checked in every execution: nobody waits for ever (a lost wake-up is a deadlock of the model); an
 * item is received once, or still in the channel, or was never sent; nobody touches a call or an
 * item's memory once the call has returned; nobody is resumed twice, or before it lies. */
#include "src/item.h"

static void copy_item(void *to, const void *from, size_t bytes);
#define wf_item_copy copy_item

#include "src/chan.c"
#include "src/gen.c"
#include "src/select.c"

#include "tests/model/await.h"
#include "tests/model/wloom.h"
#include <stdlib.h>
#include <string.h>

typedef WF_PLAIN(int) item_t;

static void copy_item(void *to, const void *from, size_t bytes)
{
    (void)bytes;
    item_t *target = to;
    const item_t *source = from;
    wf_plain_write(target, wf_plain_read(source));
}

/* --- what the sources call -------------------------------------------------------------------- */

const struct wf_case_kind wf_case_watch, wf_case_bcast, wf_case_event;

/* By powers of two, so that two channels of one size have the same order of addresses, in which a
 * select locks them, in each execution. */
static void *allocate(size_t alignment, size_t bytes)
{
    static unsigned char arena[8192] __attribute__((aligned(64)));
    static size_t used;
    size_t taken = alignment;
    while (taken < bytes) { /* ends: doubles */
        taken *= 2;
    }
    wloom_assert(taken <= sizeof arena / 2);
    used = used + taken > sizeof arena ? 0 : used;
    used += taken;
    return memset(&arena[used - taken], 0, taken);
}

static void release(void *memory)
{
    (void)memory;
}

struct wf_sys wf_sys = {.alloc = allocate, .release = release};

/* --- actors and scopes ------------------------------------------------------------------------ */

#define ACTORS 4

struct scope {
    struct wf_lock lock;
    struct wf_list waits;
    bool cancelled; /* under lock */
};

struct actor {
    struct wf_work resume; /* only its address counts */
    WF_PLAIN(int) context; /* 1: saved */
    WF_ATOMIC(uint32_t) ready;
    int resumed, slept; /* not modelled: the checker is one thread */
    struct scope *scope;
    struct wf_call calls[3];
    int used;
    item_t item;
    int rc;
};

static struct actor actors[ACTORS];
static struct scope scope, producer_scope;

static void begin_actors(void)
{
    memset(actors, 0, sizeof actors);
    memset(&scope, 0, sizeof scope);
    memset(&producer_scope, 0, sizeof producer_scope);
    wf_list_init(&scope.waits);
    wf_list_init(&producer_scope.waits);
}

void wf_wait_resume(struct wf_work *resume)
{
    struct actor *actor = wf_container_of(resume, struct actor, resume);
    wloom_assert(wf_plain_read(&actor->context) == 1);
    wloom_assert(++actor->resumed == actor->slept);
    wf_plain_write(&actor->context, 0);
    wloom_handoff_set(&actor->ready);
}

static struct actor *actor_of(void *arg)
{
    return &actors[(intptr_t)arg];
}

static struct wf_call *next_call(struct actor *me)
{
    return &me->calls[me->used++];
}

/* As wf_wait_enlist and wf_wait_delist. */
static void enlist(struct actor *me, struct wf_wait *wait)
{
    if (me->scope == NULL) {
        return;
    }
    wf_list_init(&wait->in_scope); /* delist does not ask whether it was enlisted */
    wf_lock(&me->scope->lock);
    bool cancelled = me->scope->cancelled;
    if (!cancelled) {
        wf_list_push_back(&me->scope->waits, &wait->in_scope);
    }
    wf_unlock(&me->scope->lock);
    if (cancelled) {
        wait->ops->cancel(wait);
    }
}

static void delist(struct actor *me, struct wf_wait *wait)
{
    if (me->scope != NULL) {
        wf_lock(&me->scope->lock);
        wf_list_unlink(&wait->in_scope);
        wf_unlock(&me->scope->lock);
    }
}

/* As wf_call_end, and give_turn with `owed`; `rc` is what the beginning returned. */
static int end_call(struct actor *me, struct wf_call *call, ssize_t rc, struct wf_work *owed)
{
    if (rc != WF_PENDING) {
        return (int)rc;
    }
    struct wf_wait *wait = &call->wait;
    enlist(me, wait);
    bool lies = false;
    if (wf_wait_outcome(wait) == WF_WAIT_SETUP) {
        wf_plain_write(&me->context, 1);
        me->slept++;
        lies = wf_wait_arm(wait);
        me->slept -= !lies;
    }
    if (owed != NULL) {
        wf_wait_resume(owed);
    }
    if (lies) {
        wloom_handoff_wait(&me->ready);
    }
    wloom_assert(wf_wait_outcome(wait) > WF_WAIT_ARMED);
    delist(me, wait);
    rc = wait->ops->finish(call);
    wloom_retire(call, sizeof *call);
    return (int)rc;
}

static void cancel(struct scope *s)
{
    wf_lock(&s->lock);
    s->cancelled = true;
    for (struct wf_list *node = s->waits.next; node != &s->waits; node = node->next) {
        struct wf_wait *wait = wf_container_of(node, struct wf_wait, in_scope);
        wait->ops->cancel(wait);
    }
    wf_unlock(&s->lock);
}

static void cancel_scope(void *arg)
{
    (void)arg;
    cancel(&scope);
}

/* --- channels --------------------------------------------------------------------------------- */

static weft_chan *chan, *chan2;
static int sent, received, dropped; /* sums of items; not modelled */

static void begin_chan(size_t capacity, int full)
{
    begin_actors();
    sent = received = dropped = 0;
    (void)weft_chan_new_(&chan, sizeof(item_t), capacity, &(weft_chan_opts){.full = full});
    (void)weft_chan_new_(&chan2, sizeof(item_t), capacity, NULL);
}

static int send_item(struct actor *me, weft_chan *to, int value)
{
    wf_plain_write(&me->item, value);
    struct wf_call *call = next_call(me);
    int rc = end_call(me, call, send_begin(to, call, &me->resume, &me->item), NULL);
    sent += rc >= 0 ? value : 0;
    return rc;
}

static int recv_item(struct actor *me, weft_chan *from)
{
    struct wf_call *call = next_call(me);
    int rc = end_call(me, call, recv_begin(from, call, &me->resume, &me->item), NULL);
    received += rc == 1 ? wf_plain_read(&me->item) : 0;
    return rc;
}

/* What is left in the channel counts as received. */
static void check_conserved(void)
{
    item_t item;
    while (weft_chan_try_recv(chan, &item) == 1) {
        received += wf_plain_read(&item);
    }
    while (weft_chan_try_recv(chan2, &item) == 1) {
        received += wf_plain_read(&item);
    }
    wloom_assert(received == sent);
    wloom_assert(wf_list_is_empty(&chan->receivers) && wf_list_is_empty(&chan->senders));
    wloom_assert(wf_list_is_empty(&chan2->receivers) && wf_list_is_empty(&chan2->senders));
}

static void recv_one(void *arg)
{
    struct actor *me = actor_of(arg);
    me->rc = recv_item(me, chan);
    wloom_assert(me->rc == 1 || me->rc == 0 || (me->rc == -ECANCELED && me->scope != NULL));
    wloom_retire(&me->item, sizeof me->item);
}

static void send_one(void *arg)
{
    struct actor *me = actor_of(arg);
    me->rc = send_item(me, chan, 1 << (intptr_t)arg);
    wloom_assert(me->rc == 0 || me->rc == -EPIPE || (me->rc == -ECANCELED && me->scope != NULL));
    wloom_retire(&me->item, sizeof me->item);
}

static void close_chan(void *arg)
{
    (void)arg;
    (void)weft_chan_close(chan, 0);
}

static void an_item_goes_on_if_its_receiver_was_cancelled(void)
{
    begin_chan(1, WEFT_FULL_WAIT);
    actors[0].scope = &scope;
    wloom_spawn(recv_one, (void *)0);
    wloom_spawn(recv_one, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    send_one((void *)2);
    close_chan(NULL);
    wloom_join_all();
    check_conserved();
    wloom_assert(received == 4);
}

static void an_item_of_a_cancelled_sender_is_not_in_the_channel(void)
{
    begin_chan(1, WEFT_FULL_WAIT);
    send_one((void *)3);
    actors[0].scope = &scope;
    wloom_spawn(send_one, (void *)0);
    wloom_spawn(cancel_scope, NULL);
    recv_one((void *)1);
    wloom_join_all();
    check_conserved();
}

static void recv_one_and_close(void *arg)
{
    recv_one(arg);
    close_chan(NULL);
}

static void hand_to_hand(void)
{
    begin_chan(0, WEFT_FULL_WAIT);
    actors[0].scope = &scope;
    wloom_spawn(send_one, (void *)0);
    wloom_spawn(recv_one_and_close, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    send_one((void *)2);
    wloom_join_all();
    check_conserved();
    wloom_assert(received == 1 || received == 4);
}

static void close_meets_both_sides(void)
{
    begin_chan(0, WEFT_FULL_WAIT);
    wloom_spawn(send_one, (void *)0);
    wloom_spawn(recv_one, (void *)1);
    close_chan(NULL);
    wloom_join_all();
    check_conserved();
    wloom_assert((actors[0].rc == 0) == (actors[1].rc == 1));
}

static void send_and_drop_oldest(void *arg)
{
    struct actor *me = actor_of(arg);
    wf_plain_write(&me->item, 1 << (intptr_t)arg);
    int rc = weft_chan_try_send(chan, &me->item);
    wloom_assert(rc == 0 || rc == 1);
    sent += 1 << (intptr_t)arg;
    dropped += rc;
    wloom_retire(&me->item, sizeof me->item);
}

static void the_newest_is_always_kept(void)
{
    begin_chan(1, WEFT_FULL_DROP_OLDEST);
    wloom_spawn(send_and_drop_oldest, (void *)0);
    wloom_spawn(send_and_drop_oldest, (void *)1);
    wloom_spawn(recv_one, (void *)2);
    wloom_join_all();
    item_t item;
    bool left = weft_chan_try_recv(chan, &item) == 1;
    wloom_assert(actors[2].rc == 1);
    wloom_assert(left == (dropped == 0));
    wloom_assert(received + (left ? wf_plain_read(&item) : 0) == 3 || dropped == 1);
}

/* --- select ----------------------------------------------------------------------------------- */

static int choose(struct actor *me, weft_case *cases, int n)
{
    struct wf_call *call = next_call(me);
    return end_call(me, call, select_begin(cases, n, true, 0, call, &me->resume), NULL);
}

/* Both cases into the same memory. */
static void choose_one_of_two(void *arg)
{
    struct actor *me = actor_of(arg);
    weft_case cases[] = {WEFT_ON_RECV(chan, &me->item), WEFT_ON_RECV(chan2, &me->item)};
    me->rc = choose(me, cases, 2);
    if (me->rc >= 0) {
        wloom_assert(cases[me->rc].rc == 1);
        wloom_assert(wf_plain_read(&me->item) == (me->rc == 0 ? 1 : 2));
        received += wf_plain_read(&me->item);
    } else {
        wloom_assert(me->rc == -ECANCELED && me->scope != NULL);
    }
    wloom_retire(cases, sizeof cases);
    wloom_retire(&me->item, sizeof me->item);
}

static void send_first(void *arg)
{
    wloom_assert(send_item(actor_of(arg), chan, 1) == 0);
}

static void send_second(void *arg)
{
    wloom_assert(send_item(actor_of(arg), chan2, 2) == 0);
}

static void the_case_that_loses_has_no_effect(void)
{
    begin_chan(1, WEFT_FULL_WAIT);
    wloom_spawn(choose_one_of_two, (void *)0);
    wloom_spawn(send_first, (void *)1);
    send_second((void *)2);
    wloom_join_all();
    check_conserved();
    wloom_assert(received == 3);
}

static void a_cancelled_select_has_no_effect(void)
{
    begin_chan(1, WEFT_FULL_WAIT);
    actors[0].scope = &scope;
    wloom_spawn(choose_one_of_two, (void *)0);
    wloom_spawn(cancel_scope, NULL);
    send_first((void *)1);
    wloom_join_all();
    check_conserved();
}

/* One sends where the other receives, both ways. */
static void face(void *arg)
{
    struct actor *me = actor_of(arg);
    bool first = (intptr_t)arg == 0;
    static item_t outs[2];
    item_t *out = &outs[(intptr_t)arg];
    wf_plain_write(out, first ? 1 : 2);
    weft_case cases[] = {WEFT_ON_SEND(first ? chan : chan2, out),
                         WEFT_ON_RECV(first ? chan2 : chan, &me->item)};
    me->rc = choose(me, cases, 2);
    wloom_assert(me->rc >= 0);
    wloom_assert(cases[me->rc].rc == me->rc);
    if (me->rc == 1) {
        wloom_assert(wf_plain_read(&me->item) == (first ? 2 : 1));
    }
    wloom_retire(cases, sizeof cases);
}

static void selects_that_face_each_other_meet_once(void)
{
    begin_chan(0, WEFT_FULL_WAIT);
    wloom_spawn(face, (void *)0);
    face((void *)1);
    wloom_join_all();
    check_conserved();
    wloom_assert(actors[0].rc + actors[1].rc == 1);
}

/* Waits in both queues of one channel, which is closed. */
static void choose_either_way(void *arg)
{
    struct actor *me = actor_of(arg);
    weft_case cases[] = {WEFT_ON_SEND(chan, &me->item), WEFT_ON_RECV(chan, &me->item)};
    me->rc = choose(me, cases, 2);
    wloom_assert(me->rc >= 0 && cases[me->rc].rc == (me->rc == 0 ? -EPIPE : 0));
    wloom_retire(cases, sizeof cases);
}

static void close_meets_a_select_in_two_places(void)
{
    begin_chan(0, WEFT_FULL_WAIT);
    wloom_spawn(choose_either_way, (void *)0);
    close_chan(NULL);
    wloom_join_all();
    check_conserved();
}

static void send_second_if_open(void *arg)
{
    struct actor *me = actor_of(arg);
    me->rc = send_item(me, chan2, 2);
    wloom_assert(me->rc == 0 || me->rc == -EPIPE);
}

/* What comes in by one case goes where that which goes out by the other is. */
static void choose_with_one_item(void)
{
    struct actor *me = actor_of((void *)2);
    wf_plain_write(&me->item, 1);
    weft_case cases[] = {WEFT_ON_SEND(chan, &me->item), WEFT_ON_RECV(chan2, &me->item)};
    me->rc = choose(me, cases, 2);
    wloom_assert(me->rc >= 0 && cases[me->rc].rc == me->rc);
    wloom_assert(wf_plain_read(&me->item) == (me->rc == 0 ? 1 : 2));
    sent += me->rc == 0 ? 1 : 0;
    received += me->rc == 1 ? 2 : 0;
    wloom_retire(cases, sizeof cases);
    wloom_retire(&me->item, sizeof me->item);
}

static void the_cases_of_a_select_may_share_their_memory(void)
{
    begin_chan(0, WEFT_FULL_WAIT);
    wloom_spawn(recv_one, (void *)0);
    wloom_spawn(send_second_if_open, (void *)1);
    choose_with_one_item();
    close_chan(NULL);
    (void)weft_chan_close(chan2, 0);
    wloom_join_all();
    check_conserved();
    wloom_assert(actors[0].rc + (actors[1].rc == 0) == 1);
}

/* --- generators ------------------------------------------------------------------------------- */

static struct weft_gen gen;
static struct wf_scope consumer_scope; /* only its word is looked at */
static struct wf_env consumer_env;
static WF_ATOMIC(uint32_t) started;
static int emitted, emit_rc; /* not modelled */

int wf_scope_fire(struct wf_scope *s, uint32_t bits, const weft_reason *reason)
{
    (void)bits, (void)reason;
    wloom_assert(s == &gen.scope);
    cancel(&producer_scope);
    return 0;
}

/* As weft_emit, up to where it lies down. */
static ssize_t emit_begin(struct wf_call *call, struct wf_work *resume, void *item,
                          struct wf_work **owed)
{
    wf_lock(&gen.lock);
    ssize_t begun = emit_locked(&gen, &item, owed);
    if (begun == WF_PENDING) {
        wait_in(&gen.producer, &gen, call, resume, item, &emit_ops);
        return WF_PENDING;
    }
    wf_unlock(&gen.lock);
    return begun;
}

/* The producer is actor 0; as `produce`, with a body of two items. */
static void run_producer(void *arg)
{
    struct actor *me = actor_of(arg);
    wloom_handoff_wait(&started);
    for (emitted = 0; emitted < 2; emitted++) {
        wf_plain_write(&me->item, emitted + 1);
        wf_lock(&producer_scope.lock); /* as wf_enter_call */
        bool cancelled = producer_scope.cancelled;
        wf_unlock(&producer_scope.lock);
        struct wf_call *call = &me->calls[emitted];
        struct wf_work *owed = NULL;
        ssize_t rc = cancelled ? -ECANCELED : emit_begin(call, &me->resume, &me->item, &owed);
        emit_rc = end_call(me, call, rc, owed);
        if (emit_rc < 0) {
            break;
        }
    }
    struct wf_work *owed = publish_end(&gen, emit_rc);
    run_owed(owed);
}

static int next_item(struct actor *me)
{
    struct wf_call *call = next_call(me);
    struct wf_work *owed;
    ssize_t rc = next_begin(&gen, call, &me->resume, &consumer_env, &me->item, &owed);
    if (owed == &gen.task.work) {
        wloom_handoff_set(&started);
        owed = NULL;
    }
    return end_call(me, call, rc, owed);
}

/* As weft_gen_close of a started one: the end of it frees the generator. */
static void close_gen(struct actor *me)
{
    enum gen_state state = GEN_UNSTARTED;
    wloom_assert(begin_close(&gen, &state) == 0);
    if (state == GEN_UNSTARTED) {
        wloom_handoff_set(&started); /* its thread has to end; it finds `closing` */
        state = GEN_STARTED;
    }
    cancel(&producer_scope);
    me->scope = NULL; /* nothing cancels this */
    struct wf_call *call = next_call(me);
    wf_lock(&gen.lock);
    bool ended = gen.state == GEN_ENDED;
    if (!ended) {
        wf_wait_init(&call->wait, &me->resume, &close_ops);
        call->place.wait = &call->wait;
        gen.consumer = &call->place;
    }
    wf_unlock(&gen.lock);
    if (!ended) {
        (void)end_call(me, call, WF_PENDING, NULL);
        wf_lock(&gen.lock);
        wf_unlock(&gen.lock);
    }
    wloom_retire(&gen, sizeof gen);
}

static void begin_gen(void)
{
    begin_actors();
    memset(&gen, 0, sizeof gen);
    memset(&started, 0, sizeof started);
    memset(&consumer_scope, 0, sizeof consumer_scope);
    consumer_env.scope = &consumer_scope;
    gen.item_bytes = sizeof(item_t);
    actors[0].scope = &producer_scope;
    emitted = emit_rc = 0;
}

/* Takes up to `n` items, then closes. */
static int take_items(struct actor *me, int n)
{
    int rc = 1;
    int taken = 0;
    while (taken < n && (rc = next_item(me)) == 1) {
        taken++;
        wloom_assert(wf_plain_read(&me->item) == taken);
    }
    close_gen(me);
    return rc == 1 || rc == 0 ? taken : rc;
}

static void close_meets_the_producer(void)
{
    begin_gen();
    wloom_spawn(run_producer, (void *)0);
    wloom_assert(take_items(&actors[1], 1) == 1);
    wloom_join_all();
}

static void a_consumer_that_is_cancelled(void)
{
    begin_gen();
    actors[1].scope = &scope;
    wloom_spawn(run_producer, (void *)0);
    wloom_spawn(cancel_scope, NULL);
    int rc = take_items(&actors[1], 2);
    wloom_assert(rc == 2 || rc == 1 || rc == -ECANCELED);
    wloom_join_all();
}

static void cancel_its_scope(void *arg)
{
    (void)arg;
    cancel(&producer_scope);
}

static void its_scope_is_cancelled(void)
{
    begin_gen();
    wloom_spawn(run_producer, (void *)0);
    wloom_spawn(cancel_its_scope, NULL);
    int rc = take_items(&actors[1], 2);
    wloom_assert(rc >= 0 || rc == -ECANCELED);
    wloom_join_all();
}

static const struct wloom_scenario scenarios[] = {
    {"recv_cancelled", an_item_goes_on_if_its_receiver_was_cancelled, NULL, NULL, false},
    {"send_cancelled", an_item_of_a_cancelled_sender_is_not_in_the_channel, NULL, NULL, false},
    {"rendezvous", hand_to_hand, NULL, NULL, false},
    {"close", close_meets_both_sides, NULL, NULL, false},
    {"drop_oldest", the_newest_is_always_kept, NULL, NULL, false},
    {"select_two_claimers", the_case_that_loses_has_no_effect, NULL, NULL, false},
    {"select_cancelled", a_cancelled_select_has_no_effect, NULL, NULL, false},
    {"select_facing", selects_that_face_each_other_meet_once, NULL, NULL, false},
    {"select_closed", close_meets_a_select_in_two_places, NULL, NULL, false},
    {"select_shared", the_cases_of_a_select_may_share_their_memory, NULL, NULL, false},
    {"gen_close", close_meets_the_producer, NULL, NULL, false},
    {"gen_consumer_cancelled", a_consumer_that_is_cancelled, NULL, NULL, false},
    {"gen_cancelled", its_scope_is_cancelled, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"src/wait.h",   "src/select.h", "src/chan.c",
                                         "src/select.c", "src/gen.c",    NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "chan",
        .scenarios = scenarios,
        .under_test = under_test,
        .share = 0.1,
    };
    return wloom_main(&harness, argc, argv);
}
