/* model_sync.c: the objects of <weft/sync.h>, with their own sources: what is handed over in the
 * moment in which the waiter is cancelled.
 *
 * An actor is a task with one call: it begins it as the public function does, lies down as
 * src/block.c does (written out here again, without a stack and a slot: model_stack.c has those),
 * and runs the call's end. A fiber is a word that resumes it and a plain word that stands
 * for its saved context, as in model_wait.c. No scenario has a select: model_chan.c has them. One
 * scope can be cancelled, and some actors are in it.
 *
 * Checked in every execution: nobody waits for ever (a lost wake-up is a deadlock of the model);
 * what is counted is conserved; two owners are never inside; a call's memory is not touched once
 * the call has returned, nor the object's, where the header says that it may go. */
#include "src/barrier.c"
#include "src/event.c"
#include "src/flight.c"
#include "src/mutex.c"
#include "src/once.c"
#include "src/reuse.c"
#include "src/rwlock.c"
#include "src/sem.c"

#include "tests/model/await.h"
#include "tests/model/wloom.h"
#include <string.h>

/* --- what the sources call -------------------------------------------------------------------- */

struct wf_fiber *wf_enter_task(int *rc)
{
    *rc = -EPERM;
    return NULL;
}

int weft_fail_(const weft_place *place, int code, const char *format, ...)
{
    (void)place;
    (void)format;
    return code;
}

static _Alignas(WF_LINE) unsigned char pool_memory[1024];

static void *alloc(size_t alignment, size_t bytes)
{
    (void)alignment;
    wloom_assert(bytes <= sizeof pool_memory);
    return pool_memory;
}

static int64_t no_time(void)
{
    return 0;
}

struct wf_sys wf_sys = {.alloc = alloc, .now_ns = no_time};

/* --- actors ----------------------------------------------------------------------------------- */

#define ACTORS 4

struct actor {
    struct wf_work resume; /* only its address counts */
    WF_PLAIN(int) context; /* 1: saved */
    WF_ATOMIC(uint32_t) ready;
    int resumed; /* not modelled: the checker is one thread */
    struct wf_call call;
    struct wf_task task; /* who it is */
    bool in_scope;
};

static struct actor actors[ACTORS];
static struct {
    struct wf_lock lock;
    struct wf_list waits;
    bool cancelled; /* under lock */
} scope;
static WF_PLAIN(int) inside; /* raced for if two are inside */
static const weft_place somewhere = {"model", "model", 1, NULL};

static void begin_actors(void)
{
    memset(actors, 0, sizeof actors);
    memset(&scope, 0, sizeof scope);
    memset(&inside, 0, sizeof inside);
    wf_list_init(&scope.waits);
    for (int i = 0; i < ACTORS; i++) {
        actors[i].task.place = &somewhere;
    }
}

void wf_wait_resume(struct wf_work *resume)
{
    struct actor *actor = wf_container_of(resume, struct actor, resume);
    wloom_assert(wf_plain_read(&actor->context) == 1);
    wloom_assert(++actor->resumed == 1);
    wloom_handoff_set(&actor->ready);
}

static struct actor *actor_of(void *arg)
{
    return &actors[(intptr_t)arg];
}

/* As wf_wait_enlist and wf_wait_delist. */
static void enlist(struct actor *me)
{
    wf_list_init(&me->call.wait.in_scope); /* delist does not ask whether it was enlisted */
    wf_lock(&scope.lock);
    bool cancelled = me->in_scope && scope.cancelled;
    if (me->in_scope && !cancelled) {
        wf_list_push_back(&scope.waits, &me->call.wait.in_scope);
    }
    wf_unlock(&scope.lock);
    if (cancelled) {
        me->call.wait.ops->cancel(&me->call.wait);
    }
}

static void delist(struct actor *me)
{
    wf_lock(&scope.lock);
    wf_list_unlink(&me->call.wait.in_scope);
    wf_unlock(&scope.lock);
}

/* As wf_call_end; `rc` is what the beginning returned. An actor has one call that waits. */
static int end_call(struct actor *me, ssize_t rc)
{
    if (rc != WF_PENDING) {
        return (int)rc;
    }
    struct wf_wait *wait = &me->call.wait;
    enlist(me);
    if (wf_wait_outcome(wait) == WF_WAIT_SETUP) {
        wf_plain_write(&me->context, 1);
        if (wf_wait_arm(wait)) {
            wloom_handoff_wait(&me->ready);
        }
    }
    wloom_assert(wf_wait_outcome(wait) > WF_WAIT_ARMED);
    delist(me);
    rc = wait->ops->finish(&me->call);
    wloom_retire(&me->call, sizeof me->call);
    return (int)rc;
}

static void cancel_scope(void *arg)
{
    (void)arg;
    wf_lock(&scope.lock);
    scope.cancelled = true;
    for (struct wf_list *node = scope.waits.next; node != &scope.waits; node = node->next) {
        struct wf_wait *wait = wf_container_of(node, struct wf_wait, in_scope);
        wait->ops->cancel(wait);
    }
    wf_unlock(&scope.lock);
}

/* Between two of these nobody else may be. */
static void enter(void)
{
    wf_plain_write(&inside, wf_plain_read(&inside) + 1);
    wloom_assert(wf_plain_read(&inside) == 1);
}

static void leave(void)
{
    wf_plain_write(&inside, wf_plain_read(&inside) - 1);
}

/* --- semaphore -------------------------------------------------------------------------------- */

static weft_sem sem;

static int acquire(struct actor *me, uint32_t n)
{
    return end_call(me, acquire_begin(sem_of(&sem), &me->call, &me->resume, n));
}

static void begin_sem(uint32_t permits)
{
    begin_actors();
    weft_sem_init(&sem, permits, 0);
}

static void check_permits(uint32_t expected)
{
    wloom_observe(true);
    wloom_assert(weft_sem_count(&sem) == expected);
    wloom_assert(wf_list_is_empty(&sem_of(&sem)->waiters));
}

static void acquire_one_and_release(void *arg)
{
    int rc = acquire(actor_of(arg), 1);
    wloom_assert(rc == 0 || (rc == -ECANCELED && actor_of(arg)->in_scope));
    if (rc == 0) {
        (void)weft_sem_release(&sem, 1);
    }
}

static void a_permit_goes_on_if_its_taker_was_cancelled(void)
{
    begin_sem(0);
    actors[0].in_scope = true;
    wloom_spawn(acquire_one_and_release, (void *)0);
    wloom_spawn(acquire_one_and_release, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    (void)weft_sem_release(&sem, 1);
    wloom_join_all();
    check_permits(1);
}

static void acquire_two_in_vain(void *arg)
{
    wloom_assert(acquire(actor_of(arg), 2) == -ECANCELED);
}

static void acquire_one(void *arg)
{
    wloom_assert(acquire(actor_of(arg), 1) == 0);
}

/* Nobody releases: the large request's own end has to let the other through. */
static void a_large_request_leaves_and_frees_the_line(void)
{
    begin_sem(1);
    actors[0].in_scope = true;
    wloom_spawn(acquire_two_in_vain, (void *)0);
    wloom_spawn(acquire_one, (void *)1);
    cancel_scope(NULL);
    wloom_join_all();
    check_permits(0);
}

static void acquire_two_and_release(void *arg)
{
    int rc = acquire(actor_of(arg), 2);
    wloom_assert(rc == 0 || (rc == -ECANCELED && actor_of(arg)->in_scope));
    if (rc == 0) {
        (void)weft_sem_release(&sem, 2);
    }
}

static void permits_for_two_requests(void)
{
    begin_sem(1);
    actors[0].in_scope = true;
    wloom_spawn(acquire_two_and_release, (void *)0);
    wloom_spawn(acquire_one_and_release, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    (void)weft_sem_release(&sem, 1);
    wloom_join_all();
    check_permits(2);
}

/* --- mutex ------------------------------------------------------------------------------------ */

static weft_mutex mutex;

/* As weft_mutex_unlock by that owner. */
static void unlock(struct actor *me)
{
    struct wf_mutex *m = mutex_of(&mutex);
    wf_lock(&m->lock);
    wloom_assert(m->owner == &me->task);
    if (!wf_list_is_empty(&m->waiters)) {
        (void)unlock_for_waiter(m);
        return;
    }
    m->owner = NULL;
    wf_unlock(&m->lock);
}

/* As weft_mutex_lock begins. */
static ssize_t lock_begin(struct wf_mutex *m, struct actor *me)
{
    wf_lock(&m->lock);
    ssize_t rc = take_mutex(m, &me->task);
    if (rc == -EAGAIN) {
        wf_call_queue(&me->call, &me->resume, &lock_ops, &m->lock, &m->waiters, &me->task);
        wf_unlock(&m->lock);
        return WF_PENDING;
    }
    wf_unlock(&m->lock);
    return rc;
}

static void lock_and_unlock(void *arg)
{
    struct actor *me = actor_of(arg);
    int rc = end_call(me, lock_begin(mutex_of(&mutex), me));
    wloom_assert(rc == 0 || (rc == -ECANCELED && me->in_scope));
    if (rc == 0) {
        enter();
        leave();
        unlock(me);
    }
}

static void a_mutex_goes_on_if_the_next_owner_was_cancelled(void)
{
    begin_actors();
    weft_mutex_init(&mutex);
    actors[0].in_scope = true;
    wloom_spawn(lock_and_unlock, (void *)0);
    wloom_spawn(lock_and_unlock, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    lock_and_unlock((void *)2);
    wloom_join_all();
    wloom_observe(true);
    wloom_assert(mutex_of(&mutex)->owner == NULL);
    wloom_assert(wf_list_is_empty(&mutex_of(&mutex)->waiters));
}

/* --- event ------------------------------------------------------------------------------------ */

static weft_event event;

static int wait_for_event(struct actor *me)
{
    return end_call(me, event_begin(event_of(&event), &me->call, &me->resume));
}

/* Whoever it lets through lets the next one through. */
static void wait_and_set(void *arg)
{
    int rc = wait_for_event(actor_of(arg));
    wloom_assert(rc == 0 || (rc == -ECANCELED && actor_of(arg)->in_scope));
    if (rc == 0) {
        enter();
        leave();
        (void)weft_event_set(&event);
    }
}

static void an_auto_event_is_not_used_up_by_a_cancelled_waiter(void)
{
    begin_actors();
    weft_event_init(&event, WEFT_EVENT_AUTO);
    actors[0].in_scope = true;
    wloom_spawn(wait_and_set, (void *)0);
    wloom_spawn(wait_and_set, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    (void)weft_event_set(&event);
    wloom_join_all();
    wloom_observe(true);
    wloom_assert(event_of(&event)->set);
    wloom_assert(wf_list_is_empty(&event_of(&event)->waiters));
}

static void set_event(void *arg)
{
    (void)arg;
    (void)weft_event_set(&event);
}

static void an_event_is_its_waiters_to_free(void)
{
    begin_actors();
    weft_event_init(&event, WEFT_EVENT_MANUAL);
    wloom_spawn(set_event, NULL);
    wloom_assert(wait_for_event(&actors[0]) == 0);
    wloom_retire(&event, sizeof event);
    wloom_join_all();
}

/* --- readers and writers ---------------------------------------------------------------------- */

static weft_rwlock rwlock;
static int readers_inside; /* not modelled */

/* As weft_rwlock_read and _write. */
static ssize_t read_begin(struct wf_rwlock *lock, struct actor *me)
{
    wf_lock(&lock->lock);
    int rc = enter_read(lock, &me->task);
    if (rc == -EAGAIN) {
        read_queue(lock, &me->call, &me->resume, &me->task);
        return WF_PENDING;
    }
    wf_unlock(&lock->lock);
    return rc;
}

static ssize_t write_begin(struct wf_rwlock *lock, struct actor *me)
{
    wf_lock(&lock->lock);
    int rc = enter_write(lock, &me->task);
    if (rc == -EAGAIN) {
        write_queue(lock, &me->call, &me->resume, &me->task);
        return WF_PENDING;
    }
    wf_unlock(&lock->lock);
    return rc;
}

static void leave_room(struct actor *me)
{
    struct wf_rwlock *lock = rwlock_of(&rwlock);
    wf_lock(&lock->lock);
    wloom_assert(leave_locked(lock, &me->task) == 0);
}

static void read_room(void *arg)
{
    struct actor *me = actor_of(arg);
    int rc = end_call(me, read_begin(rwlock_of(&rwlock), me));
    wloom_assert(rc == 0 || (rc == -ECANCELED && me->in_scope));
    if (rc == 0) {
        readers_inside++;
        (void)wf_plain_read(&inside); /* a race with a writer */
        wloom_assert(wf_plain_read(&inside) == 0);
        readers_inside--;
        leave_room(me);
    }
}

static void write_room(void *arg)
{
    struct actor *me = actor_of(arg);
    int rc = end_call(me, write_begin(rwlock_of(&rwlock), me));
    wloom_assert(rc == 0 || (rc == -ECANCELED && me->in_scope));
    if (rc == 0) {
        wloom_assert(readers_inside == 0);
        enter();
        leave();
        leave_room(me);
    }
}

static void begin_room(void)
{
    begin_actors();
    readers_inside = 0;
    weft_rwlock_init(&rwlock);
}

static void check_room_is_empty(void)
{
    wloom_observe(true);
    struct wf_rwlock *lock = rwlock_of(&rwlock);
    wloom_assert(lock->readers == 0 && lock->writer == NULL);
    wloom_assert(wf_list_is_empty(&lock->waiters));
}

static void a_writer_between_readers_is_cancelled(void)
{
    begin_room();
    actors[0].in_scope = true;
    wloom_spawn(write_room, (void *)0);
    wloom_spawn(read_room, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    read_room((void *)2);
    wloom_join_all();
    check_room_is_empty();
}

static void a_reader_between_writers_is_cancelled(void)
{
    begin_room();
    actors[0].in_scope = true;
    wloom_spawn(read_room, (void *)0);
    wloom_spawn(write_room, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    write_room((void *)2);
    wloom_join_all();
    check_room_is_empty();
}

/* Nobody leaves while the readers wait: the writer's own end has to let them in. */
static void stay_and_read(void *arg)
{
    struct actor *me = actor_of(arg);
    wloom_assert(end_call(me, read_begin(rwlock_of(&rwlock), me)) == 0);
}

static void a_waiting_writer_leaves_and_frees_the_line(void)
{
    begin_room();
    actors[0].in_scope = true;
    stay_and_read((void *)2);
    wloom_spawn(write_room, (void *)0);
    wloom_spawn(stay_and_read, (void *)1);
    cancel_scope(NULL);
    wloom_join_all();
    wloom_observe(true);
    wloom_assert(rwlock_of(&rwlock)->readers == 2);
}

/* Two forked sections of one task. */
static void note_one(void *arg)
{
    note_read(&actors[0].task, arg);
}

static void two_sections_note_what_they_read(void)
{
    begin_room();
    struct wf_task *task = &actors[0].task;
    static struct wf_rwlock locks[2]; /* only their addresses count */
    wloom_spawn(note_one, &locks[0]);
    note_one(&locks[1]);
    wloom_join_all();
    wloom_assert(reads_already(task, &locks[0]) && reads_already(task, &locks[1]));
    wloom_assert(forget_read(task, &locks[0]) && forget_read(task, &locks[1]));
    wloom_assert(!forget_read(task, &locks[0]));
}

/* --- barrier ---------------------------------------------------------------------------------- */

static weft_barrier barrier;
static int passed, lasts, arrivals; /* not modelled */

static int arrive(struct actor *me)
{
    int rc = end_call(me, barrier_begin(barrier_of(&barrier), &me->call, &me->resume));
    passed += rc >= 0;
    lasts += rc == 1;
    return rc;
}

static void arrive_and_pass(void *arg)
{
    arrivals++;
    wloom_assert(arrive(actor_of(arg)) >= 0);
    wloom_assert(arrivals >= 2);
}

/* If it is turned back, another comes instead. */
static void arrive_or_be_replaced(void *arg)
{
    arrivals++;
    int rc = arrive(actor_of(arg));
    wloom_assert(rc >= 0 || rc == -ECANCELED);
    if (rc == -ECANCELED) {
        arrivals--;
        arrive_and_pass((void *)2);
    }
}

static void a_party_is_cancelled_and_replaced(void)
{
    begin_actors();
    passed = lasts = arrivals = 0;
    weft_barrier_init(&barrier, 2);
    actors[0].in_scope = true;
    wloom_spawn(arrive_or_be_replaced, (void *)0);
    wloom_spawn(cancel_scope, NULL);
    arrive_and_pass((void *)1);
    wloom_join_all();
    wloom_observe(true);
    wloom_assert(passed == 2 && lasts == 1);
    wloom_assert(barrier_of(&barrier)->arrived == 0);
    wloom_assert(barrier_of(&barrier)->generation == 1);
}

/* --- once ------------------------------------------------------------------------------------- */

static weft_once once;
static WF_PLAIN(int) made;

/* As weft_once_call; actor 0 fails when it runs. */
static void make_once(void *arg)
{
    struct actor *me = actor_of(arg);
    struct wf_once *o = once_of(&once);
    if (is_over(o)) {
        wloom_assert(wf_plain_read(&made) == 1);
        return;
    }
    int rc = end_call(me, once_begin(o, &me->call, &me->resume, &me->task));
    if (rc == ONCE_IS_MINE) {
        enter();
        if (arg != NULL) {
            wloom_assert(wf_plain_read(&made) == 0);
            wf_plain_write(&made, 1);
        }
        leave();
        settle_once(o, arg != NULL);
    } else if (rc == ONCE_IS_OVER) {
        wloom_assert(wf_plain_read(&made) == 1);
    } else {
        wloom_assert(rc == -ECANCELED && me->in_scope);
    }
}

static void begin_once(void)
{
    begin_actors();
    memset(&once, 0, sizeof once);
    memset(&made, 0, sizeof made);
}

static void check_once(void)
{
    wloom_observe(true);
    wloom_assert(wf_plain_read(&made) == 1);
    wloom_assert(wf_load_relaxed(&once_of(&once)->state) == ONCE_DONE);
}

static void a_failed_runner_hands_over(void)
{
    begin_once();
    wloom_spawn(make_once, (void *)0);
    wloom_spawn(make_once, (void *)1);
    make_once((void *)2);
    wloom_join_all();
    check_once();
}

static void a_next_runner_is_cancelled(void)
{
    begin_once();
    actors[1].in_scope = true;
    wloom_spawn(make_once, (void *)0);
    wloom_spawn(make_once, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    make_once((void *)2);
    wloom_join_all();
    check_once();
}

/* --- single flight ---------------------------------------------------------------------------- */

static weft_flight flight;
static struct party parties[ACTORS];
static struct {
    int value;
} results[ACTORS];
static int calls; /* that had a result; not modelled */

/* As weft_flight_call with one key; actor 0 is cancelled when it leads. */
static void fly(void *arg)
{
    struct actor *me = actor_of(arg);
    intptr_t i = (intptr_t)arg;
    struct party *party = &parties[i];
    *party = (struct party){.key = "k", .key_bytes = 1, .task = &me->task, .result = &results[i]};
    wf_list_init(&party->in_bucket);
    int rc = end_call(me, flight_begin(flight_of(&flight), &me->call, &me->resume, party));
    if (rc == FLIGHT_LEADS) {
        enter();
        leave();
        if (i == 0) {
            land(flight_of(&flight), party, -ECANCELED, true);
        } else {
            calls++;
            results[i].value = 42;
            land(flight_of(&flight), party, 0, false);
        }
    } else if (rc == FLIGHT_LANDED) {
        wloom_assert(party->rc == 0 && results[i].value == 42);
    } else {
        wloom_assert(rc == -ECANCELED && me->in_scope);
    }
    wloom_retire(party, sizeof *party);
}

static void begin_flight(void)
{
    begin_actors();
    memset(parties, 0, sizeof parties);
    memset(results, 0, sizeof results);
    calls = 0;
    weft_flight_init(&flight, sizeof results[0]);
}

static void check_flight(void)
{
    wloom_observe(true);
    wloom_assert(calls >= 1);
    for (int i = 0; i < BUCKETS; i++) {
        wloom_assert(wf_list_is_empty(&flight_of(&flight)->buckets[i]));
    }
}

static void a_cancelled_leader_hands_over(void)
{
    begin_flight();
    wloom_spawn(fly, (void *)0);
    wloom_spawn(fly, (void *)1);
    fly((void *)2);
    wloom_join_all();
    check_flight();
}

static void a_next_leader_is_cancelled(void)
{
    begin_flight();
    actors[1].in_scope = true;
    wloom_spawn(fly, (void *)0);
    wloom_spawn(fly, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    fly((void *)2);
    wloom_join_all();
    check_flight();
}

/* --- reuse ------------------------------------------------------------------------------------ */

static weft_reuse *pool;
static struct slot *slots[ACTORS];

static int open_nothing(void *item, void *ctx)
{
    (void)ctx;
    (void)item;
    return 0;
}

static void close_nothing(void *item, void *ctx)
{
    (void)ctx;
    (void)item;
}

static void take_and_give(void *arg)
{
    struct actor *me = actor_of(arg);
    struct slot **slot = &slots[(intptr_t)arg];
    int rc = end_call(me, take_begin(pool, &me->call, &me->resume, slot));
    wloom_assert(rc == 0 || (rc == -ECANCELED && me->in_scope));
    if (rc == 0) {
        wloom_assert(*slot == slot_at(pool, 0));
        enter();
        leave();
        give_slot(pool, *slot);
    }
}

static void an_item_for_a_cancelled_taker_goes_on(void)
{
    begin_actors();
    memset(slots, 0, sizeof slots);
    weft_reuse_opts opts = {
        .max = 1, .item_bytes = 1, .open = open_nothing, .close = close_nothing};
    wloom_assert(weft_reuse_new(&pool, &opts) == 0);
    actors[0].in_scope = true;
    wloom_spawn(take_and_give, (void *)0);
    wloom_spawn(take_and_give, (void *)1);
    wloom_spawn(cancel_scope, NULL);
    take_and_give((void *)2);
    wloom_join_all();
    wloom_observe(true);
    wloom_assert(pool->stats.leased == 0);
    wloom_assert(!wf_list_is_empty(&pool->empty) && wf_list_is_empty(&pool->takers));
}

/* --- guard ------------------------------------------------------------------------------------ */

static weft_guard guard;
static int times_inside; /* not modelled */

static void use_guarded(void *arg)
{
    (void)arg;
    if (weft_guard_enter_(&guard, &somewhere) == 0) {
        times_inside++;
        enter();
        leave();
        (void)weft_guard_leave(&guard);
    }
}

static void a_guard_lets_one_in(void)
{
    begin_actors();
    times_inside = 0;
    weft_guard_init(&guard);
    wloom_spawn(use_guarded, NULL);
    wloom_spawn(use_guarded, NULL);
    use_guarded(NULL);
    wloom_join_all();
    wloom_assert(times_inside >= 1);
}

static const struct wloom_scenario scenarios[] = {
    {"sem_cancelled_taker", a_permit_goes_on_if_its_taker_was_cancelled, NULL, NULL, false},
    {"sem_large_request_leaves", a_large_request_leaves_and_frees_the_line, NULL, NULL, false},
    {"sem_two_requests", permits_for_two_requests, NULL, NULL, false},
    {"mutex_cancelled_next", a_mutex_goes_on_if_the_next_owner_was_cancelled, NULL, NULL, false},
    {"event_cancelled_waiter", an_auto_event_is_not_used_up_by_a_cancelled_waiter, NULL, NULL,
     false},
    {"event_freed_by_waiter", an_event_is_its_waiters_to_free, NULL, NULL, false},
    {"rwlock_cancelled_writer", a_writer_between_readers_is_cancelled, NULL, NULL, false},
    {"rwlock_cancelled_reader", a_reader_between_writers_is_cancelled, NULL, NULL, false},
    {"rwlock_writer_leaves", a_waiting_writer_leaves_and_frees_the_line, NULL, NULL, false},
    {"rwlock_two_sections", two_sections_note_what_they_read, NULL, NULL, false},
    {"barrier_cancelled_party", a_party_is_cancelled_and_replaced, NULL, NULL, false},
    {"once_failed_runner", a_failed_runner_hands_over, NULL, NULL, false},
    {"once_cancelled_next", a_next_runner_is_cancelled, NULL, NULL, false},
    {"flight_cancelled_leader", a_cancelled_leader_hands_over, NULL, NULL, false},
    {"flight_cancelled_next", a_next_leader_is_cancelled, NULL, NULL, false},
    {"reuse_cancelled_taker", an_item_for_a_cancelled_taker_goes_on, NULL, NULL, false},
    {"guard", a_guard_lets_one_in, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const struct wloom_survivor survivors[] = {
    {"guard.leave", "split", "only who is inside leaves; the old value is read to notice misuse"},
    {NULL, NULL, NULL},
};

static const char *const under_test[] = {
    "src/wait.h",   "src/waitq.h",   "src/sem.c",  "src/mutex.c", "src/event.c",
    "src/rwlock.c", "src/barrier.c", "src/once.c", NULL,
};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "sync",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
        .share = 0.15,
    };
    return wloom_main(&harness, argc, argv);
}
