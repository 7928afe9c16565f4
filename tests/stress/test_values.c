/* Once-only values, and frames: operations that are begun together, and that several tasks then
 * race to await, drop or look at, in scopes that are cancelled and under deadlines, while a thread
 * completes promises and frames wait for the same things. Of all who try one consumes a value, its
 * copies are stale from then on, and what is counted is conserved.
 *
 * The seed is printed; WT_SEED=n in the environment repeats it (the threads' timing is not repeated
 * with it).
 *
 * *batch*: values that were begun in one scope, and are consumed before it ends. What they were
 * granted is held until then, so every wait for a value has a deadline, and the frames of a batch
 * are cancelled at its end: a hang is weft's. */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/stackless.h>
#include <weft/weft.h>

#define ROUND_NS INT64_C(1000000000) /* rounds of one number of workers go on for so long */
#define ACTORS   6
#define BATCH    8
#define RACERS   3
#define SEMS     3
#define TOKENS   2
#define CHANS    3
#define ITEMS    100000
#define PROMISES 256 /* that wait for the thread, at most */
#define RESULT   7   /* of a frame */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BATCHES 5 /* of each actor, besides those inside */
#else
#define BATCHES 20
#endif

enum fate { OFFERED = 1, SENT = 2, RECEIVED = 4, LEFT = 8 }; /* of an item */

enum kind { SEM, TOKEN, RECV, SEND, SLEEP, PROMISE, TASK, FRAME, KINDS };

struct waiting { /* for the thread */
    weft_promise promise;
    int64_t result;
};

static struct world {
    weft_sem sems[SEMS];
    weft_event tokens[TOKENS];
    weft_chan *chans[CHANS];
    atomic_uint items;
    atomic_uchar fates[ITEMS];
    atomic_long frames_begun, frames_ended;
    atomic_bool over;
    pthread_mutex_t lock; /* of these */
    struct waiting waiting[PROMISES];
    int waiting_count;
} world;

static const uint32_t permits_of[SEMS] = {1, 2, 5};
static const size_t capacity_of[CHANS] = {0, 1, 7};
static atomic_long misuses, stale_tries, consumed, given_up; /* in all rounds */

static bool chance(uint64_t *dice, unsigned n)
{
    return below(dice, n) == 0;
}

static weft_time soon(uint64_t *dice, unsigned most_us)
{
    return WEFT_US(below(dice, most_us));
}

static void count_misuse(const char *what)
{
    wt_true(strstr(what, "was consumed already") != NULL, "misuse: %s", what);
    atomic_fetch_add(&misuses, 1);
}

/* --- items ------------------------------------------------------------------------------------ */

/* ITEMS: there are no more. */
static unsigned offer(void)
{
    unsigned number = atomic_fetch_add(&world.items, 1);
    if (number >= ITEMS) {
        return ITEMS;
    }
    atomic_store(&world.fates[number], OFFERED);
    return number;
}

static void note_sent(unsigned number, bool is_sent)
{
    unsigned fate = atomic_fetch_or(&world.fates[number], is_sent ? SENT : LEFT);
    wt_true(is_sent || (fate & RECEIVED) == 0, "item %u, whose send failed, was received", number);
}

static void note_received(unsigned number)
{
    wt_lt(number, ITEMS);
    unsigned fate = atomic_fetch_or(&world.fates[number], RECEIVED);
    wt_true((fate & (OFFERED | LEFT | RECEIVED)) == OFFERED, "received item %u: %u", number, fate);
}

/* --- promises --------------------------------------------------------------------------------- */

static void keep_promise(struct waiting w)
{
    int rc = weft_promise_set(&w.promise, w.result);
    wt_true(rc == 0 || rc == -EALREADY || rc == -ECANCELED || rc == -ESTALE, "%d", rc);
}

static void hand_over(struct waiting w)
{
    pthread_mutex_lock(&world.lock);
    bool fits = world.waiting_count < PROMISES;
    if (fits) {
        world.waiting[world.waiting_count++] = w;
    }
    pthread_mutex_unlock(&world.lock);
    if (!fits) {
        keep_promise(w);
    }
}

static bool take_promise(uint64_t *dice, struct waiting *out)
{
    pthread_mutex_lock(&world.lock);
    bool any = world.waiting_count > 0;
    if (any) {
        unsigned i = below(dice, (unsigned)world.waiting_count);
        *out = world.waiting[i];
        world.waiting[i] = world.waiting[--world.waiting_count];
    }
    pthread_mutex_unlock(&world.lock);
    return any;
}

static void *keep_promises(void *arg)
{
    uint64_t dice = *(uint64_t *)arg;
    while (!atomic_load(&world.over)) { /* ends: when the actors have ended */
        struct waiting w;
        if (take_promise(&dice, &w)) {
            keep_promise(w);
        } else {
            usleep(below(&dice, 100));
        }
    }
    return NULL;
}

/* --- frames ----------------------------------------------------------------------------------- */

struct waiter {
    weft_frame sm;
    uint64_t dice;
    int left; /* waits that are still to come */
    unsigned which, item;
    int64_t rc;
    weft_val beside;
};

WEFT_STEP(wait_about, struct waiter)
{
    WEFT_BEGIN(&f->sm);
    for (; f->left > 0; f->left--) {
        switch (below(&f->dice, 6)) {
        case 0:
            f->which = below(&f->dice, SEMS);
            WEFT_AWAIT(&f->sm, f->rc, weft_sem_acquire_v(&world.sems[f->which]));
            if (f->rc == 0) {
                WEFT_AWAIT(&f->sm, f->rc, weft_sleep_v(soon(&f->dice, 50)));
                wt_eq(weft_sem_release(&world.sems[f->which], 1), 0);
            }
            break;
        case 1:
            f->which = below(&f->dice, TOKENS);
            WEFT_AWAIT(&f->sm, f->rc, weft_event_wait_v(&world.tokens[f->which]));
            if (f->rc == 0) {
                wt_eq(weft_event_set(&world.tokens[f->which]), 0);
            }
            break;
        case 2:
            if ((f->item = offer()) != ITEMS) {
                f->which = below(&f->dice, CHANS);
                WEFT_AWAIT(&f->sm, f->rc, weft_chan_send_v(world.chans[f->which], &f->item));
                note_sent(f->item, f->rc == 0);
            }
            break;
        case 3:
            f->which = below(&f->dice, CHANS);
            WEFT_AWAIT(&f->sm, f->rc, weft_chan_recv_v(world.chans[f->which], &f->item));
            if (f->rc == 1) {
                note_received(f->item);
            }
            break;
        case 4:
            f->beside = weft_sleep_v(soon(&f->dice, 100));
            WEFT_AWAIT(&f->sm, f->rc, weft_sleep_v(soon(&f->dice, 100)));
            if (chance(&f->dice, 2)) {
                WEFT_AWAIT(&f->sm, f->rc, f->beside);
            } else {
                wt_eq(weft_val_drop(f->beside), 0);
            }
            break;
        default: /* on the stack that it is stepped on */
            if (weft_within(soon(&f->dice, 60), weft_sem_acquire(&world.sems[0])) == 0) {
                wt_eq(weft_sem_release(&world.sems[0], 1), 0);
            }
            break;
        }
    }
    atomic_fetch_add(&world.frames_ended, 1);
    return RESULT;
}

static struct waiter new_waiter(uint64_t *dice)
{
    return (struct waiter){.dice = roll(dice), .left = 1 + (int)below(dice, 5)};
}

/* --- values ----------------------------------------------------------------------------------- */

struct operation {
    enum kind kind;
    unsigned which, item;
    weft_val val; /* others try copies of it */
    weft_promise promise;
    int64_t expected; /* unless it is cancelled */
    atomic_bool is_consumed;
    struct waiter frame;
};

WEFT_TASK(sleep_and_say, int)
{
    uint64_t dice = (uint64_t)*arg;
    if (chance(&dice, 2)) {
        (void)weft_sleep(soon(&dice, 100));
    }
    return *arg;
}

static weft_val begin_promise(uint64_t *dice, struct operation *op)
{
    if (weft_promise_new(&op->promise, &op->val) == 0) {
        op->expected = below(dice, 1000);
        for (int i = (int)below(dice, 2); i >= 0; i--) {
            hand_over((struct waiting){op->promise, op->expected});
        }
    }
    return op->val;
}

static weft_val begin_frame(uint64_t *dice, struct operation *op)
{
    op->frame = new_waiter(dice);
    op->expected = RESULT;
    weft_val val = weft_frame_v(wait_about, &op->frame);
    atomic_fetch_add(&world.frames_begun, val.source_ != WEFT_VAL_DONE_);
    return val;
}

static weft_val begin_value(uint64_t *dice, struct operation *op)
{
    switch (op->kind) {
    case SEM:
        return weft_sem_acquire_v(&world.sems[op->which = below(dice, SEMS)]);
    case TOKEN:
        return weft_event_wait_v(&world.tokens[op->which = below(dice, TOKENS)]);
    case RECV:
        op->expected = 1;
        return weft_chan_recv_v(world.chans[below(dice, CHANS)], &op->item);
    case SEND:
        op->item = offer();
        return op->item == ITEMS ? weft_val_done(-ECANCELED)
                                 : weft_chan_send_v(world.chans[below(dice, CHANS)], &op->item);
    case PROMISE:
        return begin_promise(dice, op);
    case TASK: {
        int number = (int)below(dice, 1000);
        op->expected = number;
        return weft_task_v(sleep_and_say, &number);
    }
    case FRAME:
        return begin_frame(dice, op);
    default:
        return weft_sleep_v(soon(dice, 300));
    }
}

/* The caller alone has the result. */
static void give_back(struct operation *op, int64_t rc)
{
    wt_true(rc == op->expected || rc == -ECANCELED, "kind %d: %" PRId64, op->kind, rc);
    wt_true(!atomic_exchange(&op->is_consumed, true), "kind %d was consumed twice", op->kind);
    atomic_fetch_add(rc >= 0 ? &consumed : &given_up, 1);
    if (op->kind == SEM && rc == 0) {
        wt_eq(weft_sem_release(&world.sems[op->which], 1), 0);
    } else if (op->kind == TOKEN && rc == 0) {
        wt_eq(weft_event_set(&world.tokens[op->which]), 0);
    } else if (op->kind == RECV && rc == 1) {
        note_received(op->item);
    } else if (op->kind == SEND && op->item != ITEMS) {
        note_sent(op->item, rc == 0);
    }
}

static int64_t await_copy(uint64_t *dice, weft_val copy)
{
    weft_time most = chance(dice, 3) ? WEFT_MS(2) : soon(dice, 200);
    ssize_t rc = weft_within(most, (ssize_t)weft_val_await(copy));
    return rc == -ETIME ? -ECANCELED : rc;
}

/* Nobody would know whether an item of a dropped value went. */
static bool may_drop(const struct operation *op)
{
    return op->kind != RECV && op->kind != SEND;
}

/* -EBUSY, -ESTALE; else it has consumed the value. */
static int64_t try_to_consume(uint64_t *dice, struct operation *op)
{
    weft_val copy = op->val;
    bool drops = may_drop(op) && chance(dice, 3);
    int64_t rc = drops ? weft_val_drop(copy) : await_copy(dice, copy);
    if (rc == -ESTALE) {
        atomic_fetch_add(&stale_tries, 1);
    } else if (rc != -EBUSY) {
        give_back(op, drops ? -ECANCELED : rc);
    }
    return rc;
}

struct race {
    struct operation *ops;
    unsigned count;
    uint64_t dice;
};

static int run_race(void *arg)
{
    struct race *race = arg;
    for (unsigned i = 0; i < race->count; i++) {
        struct operation *op = &race->ops[below(&race->dice, race->count)];
        int ready = weft_val_ready(op->val);
        wt_true(ready >= 0 || ready == -EBUSY || ready == -ESTALE, "%d", ready);
        (void)try_to_consume(&race->dice, op);
    }
    return 0;
}

/* Begins some, and gives back what is there at once: of that each copy would be a result. */
static unsigned begin_some(uint64_t *dice, struct operation *ops)
{
    unsigned pending = 0;
    for (int n = 1 + (int)below(dice, BATCH); n > 0; n--) {
        struct operation *op = &ops[pending];
        memset(op, 0, sizeof *op);
        op->kind = below(dice, KINDS);
        op->val = begin_value(dice, op);
        if (op->val.source_ == WEFT_VAL_DONE_) {
            give_back(op, weft_val_await(op->val));
        } else {
            pending++;
        }
    }
    return pending;
}

static void consume_rest(uint64_t *dice, struct operation *ops, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct operation *op = &ops[i];
        if (!atomic_load(&op->is_consumed)) {
            int64_t rc = try_to_consume(dice, op);
            wt_true(rc != -EBUSY && rc != -ESTALE, "kind %d: %" PRId64, op->kind, rc);
        }
        wt_eq(weft_val_ready(op->val), -ESTALE, "of kind %d", op->kind);
        if (op->kind == PROMISE) {
            wt_lt(weft_promise_set(&op->promise, 1), 0);
        }
    }
}

static void run_batch(uint64_t *dice, int depth)
{
    struct operation ops[BATCH];
    struct race races[RACERS];
    weft_task racers[RACERS];
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    unsigned count = begin_some(dice, ops);
    int n = (int)below(dice, RACERS + 1);
    for (int i = 0; i < n; i++) {
        races[i] = (struct race){ops, count, roll(dice)};
        (void)weft_spawn(&racers[i], run_race, &races[i]);
    }
    if (depth > 0 && chance(dice, 2)) {
        run_batch(dice, depth - 1);
    }
    if (chance(dice, 8)) {
        (void)weft_scope_cancel(&s, "the dice");
    }
    for (int i = 0; i < n; i++) {
        weft_ignore(&racers[i]);
    }
    consume_rest(dice, ops, count);
    (void)weft_scope_cancel(&s, "all are consumed");
    int rc = weft_scope_end(&s);
    wt_true(rc == 0 || rc == -ECANCELED, "%d", rc);
}

static void run_frames(uint64_t *dice)
{
    enum { FRAMES = 6 };
    struct waiter frames[FRAMES];
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    for (int i = 0; i < FRAMES; i++) {
        frames[i] = new_waiter(dice);
        atomic_fetch_add(&world.frames_begun, weft_go_frame(&s, wait_about, &frames[i]) == 0);
    }
    (void)weft_sleep(soon(dice, 500));
    (void)weft_scope_cancel(&s, "the dice");
    (void)weft_scope_end(&s);
}

/* --- a round ---------------------------------------------------------------------------------- */

static int act(void *arg)
{
    uint64_t *dice = arg;
    for (int i = 0; i < BATCHES; i++) {
        if (chance(dice, 4)) {
            (void)weft_within(soon(dice, 500), (run_batch(dice, 1), 0));
        } else {
            run_batch(dice, 2);
        }
        run_frames(dice);
    }
    return 0;
}

static int root(void *arg)
{
    uint64_t *seed = arg, dice[ACTORS];
    weft_task actors[ACTORS];
    for (int i = 0; i < ACTORS; i++) {
        dice[i] = roll(seed);
        weft_spawn(&actors[i], act, &dice[i]);
    }
    for (int i = 0; i < ACTORS; i++) {
        wt_eq(weft_await(&actors[i]), 0);
    }
    return 0;
}

static void begin_world(void)
{
    memset(&world, 0, sizeof world);
    pthread_mutex_init(&world.lock, NULL);
    for (int i = 0; i < SEMS; i++) {
        weft_sem_init(&world.sems[i], permits_of[i], permits_of[i]);
    }
    for (int i = 0; i < TOKENS; i++) {
        weft_event_init(&world.tokens[i], WEFT_EVENT_AUTO);
        weft_event_set(&world.tokens[i]);
    }
    for (int i = 0; i < CHANS; i++) {
        wt_eq(weft_chan_new(&world.chans[i], sizeof(unsigned), capacity_of[i]), 0);
    }
}

static void end_world(void)
{
    for (int i = 0; i < SEMS; i++) {
        wt_eq(weft_sem_count(&world.sems[i]), permits_of[i], "of semaphore %d", i);
        weft_sem_fini(&world.sems[i]);
    }
    for (int i = 0; i < TOKENS; i++) {
        wt_eq(weft_event_try(&world.tokens[i]), 0, "token %d was lost", i);
        wt_eq(weft_event_try(&world.tokens[i]), -EAGAIN, "token %d came twice", i);
        weft_event_fini(&world.tokens[i]);
    }
    for (int i = 0; i < CHANS; i++) {
        unsigned item;
        while (weft_chan_try_recv(world.chans[i], &item) == 1) { /* ends: nobody sends */
            note_received(item);
        }
        weft_chan_free(world.chans[i]);
    }
    unsigned n = atomic_load(&world.items);
    for (unsigned i = 0; i < (n < ITEMS ? n : ITEMS); i++) {
        unsigned fate = atomic_load(&world.fates[i]);
        wt_true(fate == (OFFERED | SENT | RECEIVED) || fate == (OFFERED | LEFT),
                "item %u was lost: %u", i, fate);
    }
    wt_eq(atomic_load(&world.frames_begun), atomic_load(&world.frames_ended));
    wt_eq(atomic_load(&misuses), atomic_load(&stale_tries));
    pthread_mutex_destroy(&world.lock);
}

static void values_round(int workers, uint64_t seed)
{
    uint64_t dice = seed, dice_of_thread = roll(&dice);
    begin_world();
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, keep_promises, &dice_of_thread), 0);
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = workers}), 0);
    wt_eq(weft_call(rt, root, &dice), 0);
    atomic_store(&world.over, true);
    wt_eq(pthread_join(thread, NULL), 0); /* while the runtime lives: late ones are stale */
    wt_eq(weft_rt_stop(rt, WEFT_SEC(60), WEFT_SEC(60)), 0);
    weft_rt_free(rt);
    end_world();
}

static void values(int workers)
{
    weft_on_misuse(count_misuse);
    play(workers, ROUND_NS, values_round);
    wt_gt(atomic_load(&consumed), 0);
    wt_gt(atomic_load(&given_up), 0);
}

Test(values, one_of_all_who_try_consumes_each_with_one_worker, .timeout = 100)
{
    values(1);
}

Test(values, one_of_all_who_try_consumes_each_with_two_workers, .timeout = 100)
{
    values(2);
}

Test(values, one_of_all_who_try_consumes_each_with_eight_workers, .timeout = 100)
{
    values(8);
}
