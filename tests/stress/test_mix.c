/* Everything that tasks wait for at once, at random: semaphores, mutexes, locks of readers and
 * writers, events of both kinds, channels with and without room, and selects over several of these;
 * by tasks that last, by tasks of scopes that are cancelled, and by a thread that is no worker. The
 * waits end by being served, or by a deadline, a cancelled scope or a source that fires. What is
 * counted must be conserved, what excludes must exclude, and who waits for what always comes back
 * must get it.
 *
 * The seed is printed; WT_SEED=n in the environment repeats it (the threads' timing is not repeated
 * with it).
 *
 * *strand*: what rolls dice of its own: a task, or the thread. *sure*: a wait for something that
 * whoever has it gives back without waiting for anything but time, so it may last. No strand waits
 * while it holds something, so a hang is weft's: the watchdog ends it. */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/weft.h>

#define ROUND_NS INT64_C(1000000000) /* rounds of one number of workers go on for so long */
#define HANG_S   30                  /* without a step of anybody; times WT_TIMEOUT_SCALE */
#define ACTORS   16                  /* tasks that last for a round */
#define STEPS    60                  /* of each */
#define CASES    5                   /* of a select, at most */
#define SOURCES  8                   /* that the thread may fire, at a time */
#define STRANDS  1024                /* of a round; who comes later sends nothing */
#define ITEMS    16384               /* of a round; then nobody sends any more */

enum { SEMS = 3, MUTEXES = 2, RWLOCKS = 2, TOKENS = 3, CHANS = 5 };
static const uint32_t permits_of[SEMS] = {1, 2, 5};
static const size_t capacity_of[CHANS] = {0, 0, 1, 3, 40};

struct item {
    uint32_t sender; /* a strand's number */
    uint32_t number; /* ascends in what a strand sends */
    uint64_t check;  /* of both */
};

/* What has become of an item. At the end: all but LEFT, or OFFERED and LEFT. */
enum fate { OFFERED = 1, SENT = 2, LEFT = 4 /* its send failed */, RECEIVED = 8 };

struct strand {
    uint64_t dice;
    uint32_t number;
    bool may_be_cancelled;
    bool may_start;                /* tasks */
    uint32_t (*expected)[STRANDS]; /* of each channel and sender, the least number; or NULL */
};

static struct {
    weft_sem sems[SEMS];
    weft_mutex mutexes[MUTEXES];
    weft_rwlock rwlocks[RWLOCKS];
    weft_event tokens[TOKENS]; /* auto, and set: whoever is let through sets it again */
    weft_event gate;           /* manual */
    weft_chan *chans[CHANS];

    atomic_int permits_out[SEMS], holders[TOKENS], readers[RWLOCKS], writers[RWLOCKS];
    atomic_uint gate_turns; /* odd: the gate may be open; even: it is not */
    /* plain, under the locks: the same for whoever is inside, but for one who writes */
    long locked[MUTEXES], unlocked[MUTEXES], begun[RWLOCKS], written[RWLOCKS];

    atomic_uint strands, items;
    atomic_uchar fates[ITEMS];
    uint32_t expected[ACTORS][CHANS][STRANDS];

    pthread_mutex_t sources_lock;
    weft_cancel *sources[SOURCES]; /* NULL: free */
    atomic_bool over;
} world;

static atomic_long steps, served, cut_short;
static _Atomic(weft_rt *) runtime; /* for the watchdog */

static unsigned pick(struct strand *me, unsigned n)
{
    return below(&me->dice, n);
}

static bool chance(struct strand *me, unsigned n)
{
    return pick(me, n) == 0;
}

/* While something is held, or before something: sometimes others come. */
static void linger(struct strand *me)
{
    switch (pick(me, 5)) {
    case 0:
        (void)weft_yield();
        break;
    case 1:
        (void)weft_sleep(WEFT_US(pick(me, 10)));
        break;
    case 2:
        for (volatile unsigned n = pick(me, 600); n > 0; n--) {
        }
        break;
    default:
        break;
    }
}

/* --- the ways in which a wait ends ------------------------------------------------------------ */

typedef int wait_fn(void *what);

struct canceller {
    weft_scope *scope;
    unsigned yields;
    weft_time sleep;
};

WEFT_TASK(cancel_after, struct canceller)
{
    for (unsigned i = 0; i < arg->yields; i++) {
        (void)weft_yield();
    }
    if (arg->sleep > 0) {
        (void)weft_sleep(arg->sleep);
    }
    (void)weft_scope_cancel(arg->scope, "the dice");
    return 0;
}

static int wait_in_scope_to_be_cancelled(struct strand *me, wait_fn *wait, void *what)
{
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    struct canceller canceller = {&s, pick(me, 4), chance(me, 2) ? WEFT_US(pick(me, 40)) : 0};
    int rc = weft_go(&s, cancel_after, &canceller);
    wt_true(rc == 0 || (rc == -ECANCELED && me->may_be_cancelled), "%d", rc);
    int result = wait(what);
    rc = weft_scope_end(&s);
    wt_true(rc == 0 || rc == -ECANCELED, "%d", rc);
    return result;
}

/* In a place where the thread finds it, if there is one: its number, or SOURCES. */
static int announce(weft_cancel *source)
{
    pthread_mutex_lock(&world.sources_lock);
    int i = 0;
    while (i < SOURCES && world.sources[i] != NULL) {
        i++;
    }
    if (i < SOURCES) {
        world.sources[i] = source;
    }
    pthread_mutex_unlock(&world.sources_lock);
    return i;
}

static void retract(int number)
{
    if (number < SOURCES) {
        pthread_mutex_lock(&world.sources_lock);
        world.sources[number] = NULL;
        pthread_mutex_unlock(&world.sources_lock);
    }
}

static int wait_under_source(struct strand *me, wait_fn *wait, void *what)
{
    weft_cancel source;
    weft_cancel_init(&source, NULL);
    int number = announce(&source);
    if (chance(me, 2)) {
        (void)weft_cancel_after(&source, WEFT_US(pick(me, 50)));
    }
    int rc = weft_within(WEFT_US(300), weft_under(&source, wait(what)));
    retract(number);
    weft_cancel_fini(&source);
    return rc;
}

/* What wait(what) returned, or -ETIME: -ECANCELED only if there was a reason. */
static int wait_somehow(struct strand *me, bool is_sure, wait_fn *wait, void *what)
{
    bool may_be_late = false, may_be_cancelled = me->may_be_cancelled;
    int rc;
    switch (pick(me, is_sure ? 8 : 5)) {
    case 0:
    case 1:
    case 2:
        may_be_late = true;
        rc = weft_within(chance(me, 4) ? 0 : WEFT_US(pick(me, 60)), wait(what));
        break;
    case 3:
        may_be_cancelled = true;
        rc = wait_in_scope_to_be_cancelled(me, wait, what);
        break;
    case 4:
        may_be_late = may_be_cancelled = true;
        rc = wait_under_source(me, wait, what);
        break;
    default:
        rc = wait(what);
        break;
    }
    wt_true(rc != -ETIME || may_be_late);
    wt_true(rc != -ECANCELED || may_be_cancelled);
    return rc;
}

/* Was it got? If not, it must have been for one of these reasons. */
static bool is_served(int rc)
{
    atomic_fetch_add(rc >= 0 ? &served : &cut_short, 1);
    wt_true(rc >= 0 || rc == -EAGAIN || rc == -ETIME || rc == -ECANCELED, "%d", rc);
    return rc >= 0;
}

/* --- what excludes ---------------------------------------------------------------------------- */

struct permits {
    weft_sem *sem;
    uint32_t n;
};

static int acquire(void *what)
{
    const struct permits *p = what;
    return p->n == 1 ? weft_sem_acquire(p->sem) : weft_sem_acquire_n(p->sem, p->n);
}

static void hold_permits(struct strand *me, int i, uint32_t n)
{
    int out = atomic_fetch_add(&world.permits_out[i], (int)n) + (int)n;
    wt_le(out, permits_of[i], "permits of semaphore %d are out", i);
    linger(me);
    atomic_fetch_sub(&world.permits_out[i], (int)n);
    wt_eq(weft_sem_release(&world.sems[i], n), 0);
}

static void use_sem(struct strand *me)
{
    int i = (int)pick(me, SEMS);
    struct permits p = {&world.sems[i], 1 + pick(me, permits_of[i])};
    int rc = chance(me, 6) ? weft_sem_try_n(p.sem, p.n) : wait_somehow(me, true, acquire, &p);
    if (is_served(rc)) {
        hold_permits(me, i, p.n);
    }
}

static int lock_mutex(void *what)
{
    return weft_mutex_lock(what);
}

static void use_mutex(struct strand *me)
{
    int i = (int)pick(me, MUTEXES);
    weft_mutex *mutex = &world.mutexes[i];
    int rc = chance(me, 6) ? weft_mutex_try(mutex) : wait_somehow(me, true, lock_mutex, mutex);
    if (is_served(rc)) {
        wt_eq(world.locked[i]++, world.unlocked[i], "inside mutex %d", i);
        linger(me);
        wt_eq(++world.unlocked[i], world.locked[i], "inside mutex %d", i);
        wt_eq(weft_mutex_unlock(mutex), 0);
    }
}

static int lock_to_read(void *what)
{
    return weft_rwlock_read(what);
}

static int lock_to_write(void *what)
{
    return weft_rwlock_write(what);
}

static void read_shared(struct strand *me)
{
    int i = (int)pick(me, RWLOCKS);
    weft_rwlock *lock = &world.rwlocks[i];
    int rc =
        chance(me, 6) ? weft_rwlock_try_read(lock) : wait_somehow(me, true, lock_to_read, lock);
    if (is_served(rc)) {
        atomic_fetch_add(&world.readers[i], 1);
        wt_eq(atomic_load(&world.writers[i]), 0, "beside a reader of lock %d", i);
        linger(me);
        wt_eq(world.begun[i], world.written[i], "while lock %d is read", i);
        atomic_fetch_sub(&world.readers[i], 1);
        wt_eq(weft_rwlock_unlock(lock), 0);
    }
}

static void write_shared(struct strand *me)
{
    int i = (int)pick(me, RWLOCKS);
    weft_rwlock *lock = &world.rwlocks[i];
    int rc =
        chance(me, 6) ? weft_rwlock_try_write(lock) : wait_somehow(me, true, lock_to_write, lock);
    if (is_served(rc)) {
        wt_eq(atomic_fetch_add(&world.writers[i], 1), 0, "beside a writer of lock %d", i);
        wt_eq(atomic_load(&world.readers[i]), 0, "beside a writer of lock %d", i);
        world.begun[i]++;
        linger(me);
        world.written[i]++;
        atomic_fetch_sub(&world.writers[i], 1);
        wt_eq(weft_rwlock_unlock(lock), 0);
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static int wait_for_event(void *what)
{
    return weft_event_wait(what);
}

static void hold_token(struct strand *me, int i)
{
    wt_eq(atomic_fetch_add(&world.holders[i], 1), 0, "beside the holder of token %d", i);
    linger(me);
    atomic_fetch_sub(&world.holders[i], 1);
    wt_eq(weft_event_set(&world.tokens[i]), 0);
}

static void use_token(struct strand *me)
{
    int i = (int)pick(me, TOKENS);
    weft_event *token = &world.tokens[i];
    int rc = chance(me, 6) ? weft_event_try(token) : wait_somehow(me, true, wait_for_event, token);
    if (is_served(rc)) {
        hold_token(me, i);
    }
}

static void check_gate(unsigned turns_before)
{
    bool was_open = turns_before % 2 != 0 || atomic_load(&world.gate_turns) != turns_before;
    wt_true(was_open, "through a gate that was shut");
}

static void pass_gate(struct strand *me)
{
    unsigned turns = atomic_load(&world.gate_turns);
    if (is_served(wait_somehow(me, true, wait_for_event, &world.gate))) {
        check_gate(turns);
    }
}

/* Opens and shuts the gate until everybody has gone, so that waiting there is sure. */
static int keep_gate(void *arg)
{
    struct strand *me = arg;
    while (!atomic_load(&world.over)) { /* ends: when the actors have ended */
        atomic_fetch_add(&world.gate_turns, 1);
        wt_eq(weft_event_set(&world.gate), 0);
        linger(me);
        wt_eq(weft_event_reset(&world.gate), 1);
        atomic_fetch_add(&world.gate_turns, 1);
        (void)weft_sleep(WEFT_US(pick(me, 60)));
    }
    return 0;
}

/* --- channels --------------------------------------------------------------------------------- */

static uint64_t check_of(const struct item *item)
{
    uint64_t dice = (uint64_t)item->sender << 32 | item->number;
    return roll(&dice);
}

/* Returns false if no more can be sent. */
static bool offer(struct strand *me, struct item *item)
{
    unsigned number = me->number < STRANDS ? atomic_fetch_add(&world.items, 1) : ITEMS;
    if (number >= ITEMS) {
        return false;
    }
    *item = (struct item){.sender = me->number, .number = number};
    item->check = check_of(item);
    atomic_store(&world.fates[number], OFFERED);
    return true;
}

static void check_sent(const struct item *item, bool is_sent)
{
    unsigned fate = atomic_fetch_or(&world.fates[item->number], is_sent ? SENT : LEFT);
    wt_true(is_sent || fate == OFFERED, "item %u, whose send failed, was received (%u)",
            item->number, fate);
}

static void check_received(struct strand *me, int chan, const struct item *item)
{
    wt_true(item->number < ITEMS && item->check == check_of(item), "garbage from channel %d", chan);
    unsigned fate = atomic_fetch_or(&world.fates[item->number], RECEIVED);
    wt_true((fate & (OFFERED | LEFT | RECEIVED)) == OFFERED,
            "channel %d gave item %u, of which this was known: %u", chan, item->number, fate);
    if (me->expected != NULL) {
        uint32_t *expected = &me->expected[chan][item->sender];
        wt_ge(item->number, *expected, "from channel %d in the order of sender %u", chan,
              item->sender);
        *expected = item->number + 1;
    }
}

struct transfer {
    weft_chan *chan;
    struct item item;
};

static int send_item(void *what)
{
    struct transfer *t = what;
    return weft_chan_send(t->chan, &t->item);
}

static int receive_item(void *what)
{
    struct transfer *t = what;
    return weft_chan_recv(t->chan, &t->item);
}

static void use_sender(struct strand *me, bool may_wait)
{
    struct transfer t = {.chan = world.chans[pick(me, CHANS)]};
    if (offer(me, &t.item)) {
        int rc = may_wait && !chance(me, 6) ? wait_somehow(me, false, send_item, &t)
                                            : weft_chan_try_send(t.chan, &t.item);
        wt_le(rc, 0);
        check_sent(&t.item, is_served(rc));
    }
}

static void use_receiver(struct strand *me, bool may_wait)
{
    int i = (int)pick(me, CHANS);
    struct transfer t = {.chan = world.chans[i]};
    int rc = may_wait && !chance(me, 6) ? wait_somehow(me, false, receive_item, &t)
                                        : weft_chan_try_recv(t.chan, &t.item);
    if (is_served(rc)) {
        wt_eq(rc, 1);
        check_received(me, i, &t.item);
    }
}

/* --- select ----------------------------------------------------------------------------------- */

struct choice {
    weft_case cases[CASES];
    struct item items[CASES];
    int objects[CASES]; /* numbers of channels and tokens; GATE */
    int n, flags;
};

#define GATE (-1)

static int choose(void *what)
{
    struct choice *c = what;
    return weft_select(c->cases, c->n, c->flags);
}

/* Makes the next case. Returns whether it is sure to come. */
static bool add_case(struct strand *me, struct choice *c)
{
    int i = c->n++;
    unsigned kind = pick(me, 6);
    if (kind < 2) {
        c->objects[i] = (int)pick(me, CHANS);
        c->cases[i] = WEFT_ON_RECV(world.chans[c->objects[i]], &c->items[i]);
        return false;
    }
    if (kind < 4 && offer(me, &c->items[i])) {
        c->objects[i] = (int)pick(me, CHANS);
        c->cases[i] = WEFT_ON_SEND(world.chans[c->objects[i]], &c->items[i]);
        return false;
    }
    c->objects[i] = kind == 4 && chance(me, 3) ? GATE : (int)pick(me, TOKENS);
    weft_event *event = c->objects[i] == GATE ? &world.gate : &world.tokens[c->objects[i]];
    c->cases[i] = WEFT_ON_EVENT(event);
    return true;
}

static void use_select(struct strand *me)
{
    struct choice c = {.flags = chance(me, 2) ? WEFT_ORDERED : 0};
    c.flags += chance(me, 8) ? WEFT_NOWAIT : 0;
    bool is_sure = false;
    for (int n = 1 + (int)pick(me, CASES); n > 0; n--) {
        is_sure |= add_case(me, &c);
    }
    unsigned turns = atomic_load(&world.gate_turns);
    int which = wait_somehow(me, is_sure, choose, &c);
    wt_lt(which, c.n);
    for (int i = 0; i < c.n; i++) {
        if (c.cases[i].kind == WEFT_CASE_SEND) {
            check_sent(&c.items[i], i == which);
        }
    }
    if (!is_served(which)) {
        return;
    }
    const weft_case *chosen = &c.cases[which];
    wt_eq(chosen->rc, chosen->kind == WEFT_CASE_RECV ? 1 : 0);
    if (chosen->kind == WEFT_CASE_RECV) {
        check_received(me, c.objects[which], &c.items[which]);
    } else if (chosen->kind == WEFT_CASE_EVENT && c.objects[which] == GATE) {
        check_gate(turns);
    } else if (chosen->kind == WEFT_CASE_EVENT) {
        hold_token(me, c.objects[which]);
    }
}

/* --- strands ---------------------------------------------------------------------------------- */

static void step(struct strand *me);

static struct strand new_strand(uint64_t *dice)
{
    return (struct strand){.dice = roll(dice), .number = atomic_fetch_add(&world.strands, 1)};
}

WEFT_TASK(act_briefly, struct strand)
{
    struct strand me = *arg;
    for (int n = 1 + (int)pick(&me, 5); n > 0; n--) {
        step(&me);
    }
    return 0;
}

/* Their stacks go, and come again, wherever they have just waited. */
static void start_some(struct strand *me)
{
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE,
               .timeout = chance(me, 4) ? WEFT_US(1 + pick(me, 300)) : 0);
    for (int n = (int)pick(me, 6); n > 0; n--) {
        struct strand child = new_strand(&me->dice);
        child.may_be_cancelled = true;
        int rc = weft_go(&s, act_briefly, &child);
        wt_true(rc == 0 || rc == -ECANCELED, "%d", rc);
    }
    linger(me);
    if (chance(me, 2)) {
        (void)weft_scope_cancel(&s, "the dice");
    }
    int rc = weft_scope_end(&s);
    wt_true(rc == 0 || rc == -ECANCELED || rc == -ETIME, "%d", rc);
}

static void step(struct strand *me)
{
    atomic_fetch_add(&steps, 1);
    switch (pick(me, 16)) {
    case 0:
    case 1:
        use_sem(me);
        break;
    case 2:
        use_mutex(me);
        break;
    case 3:
        read_shared(me);
        break;
    case 4:
        write_shared(me);
        break;
    case 5:
    case 6:
        use_token(me);
        break;
    case 7:
        pass_gate(me);
        break;
    case 8:
    case 9:
        use_sender(me, true);
        break;
    case 10:
    case 11:
        use_receiver(me, true);
        break;
    case 12:
    case 13:
    case 14:
        use_select(me);
        break;
    default:
        if (me->may_start) {
            start_some(me);
        }
        break;
    }
}

static int act(void *arg)
{
    struct strand *me = arg;
    for (int i = 0; i < STEPS; i++) {
        step(me);
    }
    return 0;
}

static void fire_one(struct strand *me)
{
    pthread_mutex_lock(&world.sources_lock);
    weft_cancel *source = world.sources[pick(me, SOURCES)];
    if (source != NULL) {
        (void)weft_cancel_fire(source, "the thread");
    }
    pthread_mutex_unlock(&world.sources_lock);
}

/* The thread: it cannot wait, but it fires, and takes and gives whatever is there. */
static void *meddle(void *arg)
{
    struct strand me = new_strand(arg);
    while (!atomic_load(&world.over)) { /* ends: when the actors have ended */
        int i = (int)pick(&me, SEMS), k = (int)pick(&me, TOKENS);
        switch (pick(&me, 8)) {
        case 0:
        case 1:
            fire_one(&me);
            break;
        case 2:
            if (weft_sem_try(&world.sems[i]) == 0) {
                wt_eq(weft_sem_release(&world.sems[i], 1), 0);
            }
            break;
        case 3:
            if (weft_event_try(&world.tokens[k]) == 0) {
                wt_eq(weft_event_set(&world.tokens[k]), 0);
            }
            break;
        case 4:
            use_sender(&me, false);
            break;
        case 5:
            use_receiver(&me, false);
            break;
        default:
            usleep(pick(&me, 200));
            break;
        }
    }
    return NULL;
}

/* --- a round ---------------------------------------------------------------------------------- */

static int root(void *arg)
{
    uint64_t dice = *(uint64_t *)arg;
    static struct strand actors[ACTORS], keeper;
    weft_task tasks[ACTORS], gate;
    keeper = new_strand(&dice);
    weft_spawn(&gate, keep_gate, &keeper);
    for (int i = 0; i < ACTORS; i++) {
        actors[i] = new_strand(&dice);
        actors[i].may_start = true;
        actors[i].expected = world.expected[i];
        weft_spawn(&tasks[i], act, &actors[i]);
    }
    for (int i = 0; i < ACTORS; i++) {
        wt_eq(weft_await(&tasks[i]), 0);
    }
    atomic_store(&world.over, true);
    return weft_await(&gate);
}

static void begin_world(void)
{
    memset(&world, 0, sizeof world);
    pthread_mutex_init(&world.sources_lock, NULL);
    for (int i = 0; i < SEMS; i++) {
        weft_sem_init(&world.sems[i], permits_of[i], permits_of[i]);
    }
    for (int i = 0; i < MUTEXES; i++) {
        weft_mutex_init(&world.mutexes[i]);
    }
    for (int i = 0; i < RWLOCKS; i++) {
        weft_rwlock_init(&world.rwlocks[i]);
    }
    for (int i = 0; i < TOKENS; i++) {
        weft_event_init(&world.tokens[i], WEFT_EVENT_AUTO);
        wt_eq(weft_event_set(&world.tokens[i]), 0);
    }
    weft_event_init(&world.gate, WEFT_EVENT_MANUAL);
    for (int i = 0; i < CHANS; i++) {
        wt_eq(weft_chan_new(&world.chans[i], sizeof(struct item), capacity_of[i]), 0);
    }
}

/* Takes what is left in the channels: then every item that was sent has been received. */
static void end_channels(void)
{
    struct strand me = {.dice = 0};
    for (int i = 0; i < CHANS; i++) {
        struct item item;
        while (weft_chan_try_recv(world.chans[i], &item) == 1) { /* ends: nobody sends */
            check_received(&me, i, &item);
        }
        weft_chan_free(world.chans[i]);
    }
    unsigned n = atomic_load(&world.items);
    for (unsigned i = 0; i < (n < ITEMS ? n : ITEMS); i++) {
        unsigned fate = atomic_load(&world.fates[i]);
        wt_true(fate == (OFFERED | SENT | RECEIVED) || fate == (OFFERED | LEFT),
                "item %u was lost: %u", i, fate);
    }
}

/* Everything has come back. Each fini aborts if somebody waits. */
static void end_world(void)
{
    end_channels();
    weft_event_fini(&world.gate);
    for (int i = 0; i < TOKENS; i++) {
        wt_eq(weft_event_try(&world.tokens[i]), 0, "token %d was lost", i);
        wt_eq(weft_event_try(&world.tokens[i]), -EAGAIN, "token %d came twice", i);
        weft_event_fini(&world.tokens[i]);
    }
    for (int i = 0; i < RWLOCKS; i++) {
        wt_eq(world.begun[i], world.written[i]);
        weft_rwlock_fini(&world.rwlocks[i]);
    }
    for (int i = 0; i < MUTEXES; i++) {
        wt_true(weft_mutex_owner(&world.mutexes[i]) == NULL);
        weft_mutex_fini(&world.mutexes[i]);
    }
    for (int i = 0; i < SEMS; i++) {
        wt_eq(weft_sem_count(&world.sems[i]), permits_of[i], "of semaphore %d", i);
        weft_sem_fini(&world.sems[i]);
    }
    pthread_mutex_destroy(&world.sources_lock);
}

static void *watch(void *arg)
{
    (void)arg;
    const char *scale = getenv("WT_TIMEOUT_SCALE");
    int hang_s = HANG_S * (scale != NULL && atoi(scale) > 0 ? atoi(scale) : 1), still_s = 0;
    for (long before = -1; still_s < hang_s; still_s++) {
        long now = atomic_load(&steps);
        still_s = now == before ? still_s : 0;
        before = now;
        sleep(1);
    }
    weft_rt *rt = atomic_load(&runtime);
    if (rt != NULL) {
        (void)weft_dump(rt, STDERR_FILENO);
    }
    wt_fail("nobody has made a step for %d s", still_s);
    return NULL;
}

static void mix_round(int workers, uint64_t seed)
{
    uint64_t dice = seed, dice_of_thread = roll(&dice);
    begin_world();
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = workers}), 0);
    atomic_store(&runtime, rt);
    pthread_t meddler;
    wt_eq(pthread_create(&meddler, NULL, meddle, &dice_of_thread), 0);
    wt_eq(weft_call(rt, root, &dice), 0);
    wt_eq(pthread_join(meddler, NULL), 0);
    atomic_store(&runtime, NULL);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(HANG_S), WEFT_SEC(HANG_S)), 0);
    weft_rt_free(rt);
    end_world();
}

static void mix(int workers)
{
    pthread_t watchdog;
    wt_eq(pthread_create(&watchdog, NULL, watch, NULL), 0);
    wt_eq(pthread_detach(watchdog), 0); /* ends with the process */
    play(workers, ROUND_NS, mix_round);
    wt_gt(atomic_load(&served), 0);
    wt_gt(atomic_load(&cut_short), 0);
}

Test(mix, nothing_is_lost_and_nobody_left_waiting_with_one_worker, .timeout = 100)
{
    mix(1);
}

Test(mix, nothing_is_lost_and_nobody_left_waiting_with_two_workers, .timeout = 100)
{
    mix(2);
}

Test(mix, nothing_is_lost_and_nobody_left_waiting_with_eight_workers, .timeout = 100)
{
    mix(8);
}
