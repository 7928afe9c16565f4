/* model_stack.c: the calls by which tasks on stacks hand over to each other, from the public
 * function to the switch: semaphore, mutex, event, channel, generator (src/block.h, ADR 0033);
 * against a cancellation that finds the stack by its slot (src/slot.h, src/walk.c). model_sync.c
 * and model_chan.c have the ways of frames, and more of what the objects do; model_cancel.c more of
 * what a cancellation does.
 *
 * A strand is a model thread with a fiber and a task, which calls the public functions of the
 * sources. It is in a scope that may be cancelled (`inside`), or in one that is not. Written out
 * here again, since it needs the runtime: the switch. A suspended stack is a plain word, which
 * stands for its saved context, and a word that resumes it; "on the next stack" is the same model
 * thread, until it has called `after`. A direct switch to another stack (wf_suspend_to) resumes
 * that one after `after`, as the real one does. What src/scope.c does to pin a scope is written out
 * too.
 *
 * Not here: budgets, values and frames, select, what a body's end does (produce, in gen.c),
 * deadlines; and mutants of slot.h and walk.c, since here they would read a stack that is used
 * again: model_cancel.c has them.
 *
 * Checked in every execution: nobody waits for ever (a lost wake-up is a deadlock of the model); a
 * stack is resumed once, and only when it lies; what is counted is conserved, and an item is whole;
 * the wf_call of a call that has returned, which lies on its stack, is not touched any more,
 * whoever ended the wait; nor is an object whose waiter may free it. */
#include "src/call.h"
#include "src/core.h"
#include "src/item.h"
#include "tests/model/scopes.h"
#include "tests/model/wloom.h"
#include <stdlib.h>
#include <string.h>

/* The call that the running strand lies down in: to be retired when the public function has
 * returned. */
static struct wf_wait *note_wait(struct wf_wait *wait);

static void queue_call(struct wf_call *call, struct wf_work *resume, const struct wf_wait_ops *ops,
                       void *object, struct wf_list *queue, void *item)
{
    (void)note_wait(&call->wait);
    wf_call_queue(call, resume, ops, object, queue, item);
}

static void copy_item(void *to, const void *from, size_t bytes);

#define wf_call_queue                   queue_call
#define wf_wait_init(wait, resume, ops) wf_wait_init(note_wait(wait), resume, ops)
#define wf_item_copy                    copy_item

/* Their static functions have some names in common. */
#define case_lock event_case_lock
#include "src/event.c"
#undef case_lock
#include "src/block.c"
#include "src/chan.c"
#include "src/gen.c"
#include "src/mutex.c"
#include "src/sem.c"
#include "src/walk.c"

/* --- strands ---------------------------------------------------------------------------------- */

typedef WF_PLAIN(int) item_t;

struct strand {
    struct wf_fiber fiber;
    struct wf_task task;
    WF_PLAIN(int) context; /* 1: saved */
    WF_ATOMIC(uint32_t) ready;
    item_t item;
    /* not modelled: the checker is one thread */
    bool is_back; /* it was switched back to */
    int slept, resumed;
    struct wf_wait *wait;
};

static struct strand strands[WLOOM_THREADS]; /* by the number of the model thread */
static struct wf_scope inside, outside;      /* the first may be cancelled */
static struct wf_worker *workers[2]; /* only their addresses count, and that they are zero */
static WF_PLAIN(int) owned;          /* raced for if two have it */
static int count;                    /* not modelled; of what, the scenario says */
static const weft_place somewhere = {.file = "model", .function = "model", .line = 1};

static struct strand *me(void)
{
    return &strands[wloom_self()];
}

static struct wf_wait *note_wait(struct wf_wait *wait)
{
    return me()->wait = wait;
}

static void copy_item(void *to, const void *from, size_t bytes)
{
    (void)bytes;
    item_t *target = to;
    const item_t *source = from;
    wf_plain_write(target, wf_plain_read(source));
}

static struct strand *strand_of(struct wf_work *resume)
{
    struct wf_fiber *fiber = wf_container_of(resume, struct wf_fiber, resume);
    return wf_container_of(fiber, struct strand, fiber);
}

/* Its task has waited before, so its slot is listed; or it has not, and the first wait lists it. */
static void put_in(int number, struct wf_scope *scope, bool has_waited)
{
    struct strand *strand = &strands[number];
    wf_list_drop(&strand->task.in_scope);
    strand->task.env.scope = scope;
    wf_slot_set(&strand->task.env.slot, has_waited ? WF_SLOT_FREE : WF_SLOT_UNLISTED);
    if (has_waited) {
        wf_list_push_back(&scope->waiters, &strand->task.in_scope);
    }
}

static void begin_strands(void)
{
    memset(strands, 0, sizeof strands);
    memset(&owned, 0, sizeof owned);
    count = 0;
    begin_scope(&inside, NULL);
    begin_scope(&outside, NULL);
    for (int i = 0; i < WLOOM_THREADS; i++) {
        struct strand *strand = &strands[i];
        strand->fiber.env = &strand->task.env;
        strand->fiber.worker = workers[0];
        strand->fiber.resume.run = wf_fiber_run_resume;
        strand->task.env.task = &strand->task;
        strand->task.place = &somewhere;
        wf_list_init(&strand->task.in_scope);
        put_in(i, &outside, true);
    }
}

/* What it called has returned: its wf_call is gone. */
static void call_is_over(void)
{
    struct strand *strand = me();
    if (strand->wait != NULL) {
        wloom_retire(strand->wait, sizeof(struct wf_call));
        strand->wait = NULL;
    }
}

/* Between two of these nobody else may be. */
static void own_it(void)
{
    wf_plain_write(&owned, wf_plain_read(&owned) + 1);
    wloom_assert(wf_plain_read(&owned) == 1);
}

static void disown_it(void)
{
    wf_plain_write(&owned, wf_plain_read(&owned) - 1);
}

static void cancel_inside(void *arg)
{
    (void)arg;
    weft_reason reason = {.kind = WEFT_WHY_CALL, .text = "call", .place = &somewhere};
    (void)wf_scope_fire(&inside, WF_CANCEL_FIRED, &reason);
}

static bool is_inside(void)
{
    return me()->task.env.scope == &inside;
}

/* --- the switch, as in pool/suspend.c --------------------------------------------------------- */

void wf_wait_resume(struct wf_work *resume)
{
    struct strand *strand = strand_of(resume);
    wloom_assert(wf_plain_read(&strand->context) == 1);
    wf_plain_write(&strand->context, 0);
    wloom_assert(++strand->resumed == strand->slept);
    wloom_handoff_set(&strand->ready);
}

void wf_switch_back(struct wf_fiber *now, struct wf_fiber *before)
{
    (void)now;
    struct strand *strand = wf_container_of(before, struct strand, fiber);
    strand->is_back = true;
    strand->resumed++;
}

void wf_suspend_to(struct wf_fiber *self, struct wf_work *next, wf_after_fn *after, void *arg)
{
    struct strand *strand = wf_container_of(self, struct strand, fiber);
    static struct wf_fiber loop;
    strand->is_back = false;
    wf_plain_write(&strand->context, 1);
    strand->slept++;
    after(&loop, self, arg);
    if (next != NULL) {
        wf_wait_resume(next);
    }
    if (!strand->is_back) {
        wloom_handoff_wait(&strand->ready);
    }
}

void wf_suspend_arming(struct wf_fiber *self, wf_after_fn *after, void *word)
{
    wf_suspend_to(self, NULL, after, word);
}

void wf_suspend_watching(struct wf_fiber *self, wf_after_fn *after, void *word, void *flag,
                         wf_flagged_fn *flagged)
{
    if (wf_is_flagged(flag)) {
        flagged(self);
    }
    wf_suspend_to(self, NULL, after, word);
}

/* --- as in src/await.c and src/scope.c -------------------------------------------------------- */

struct wf_fiber *wf_peek_task(void)
{
    return &me()->fiber;
}

struct wf_fiber *wf_enter_task(int *rc)
{
    (void)rc;
    return &me()->fiber;
}

struct wf_fiber *wf_enter_call(int *rc)
{
    struct wf_fiber *self = &me()->fiber;
    if ((wf_env_cancelled(self->env) & WF_CANCEL_FIRED) != 0) {
        *rc = -ECANCELED;
        return NULL;
    }
    return self;
}

bool wf_scope_pin(struct wf_scope *scope)
{
    (void)wf_add_relaxed(&scope->live, WF_SCOPE_PIN);
    return true;
}

void wf_scope_unpin(struct wf_scope *scope)
{
    (void)wf_sub_relaxed(&scope->live, WF_SCOPE_PIN);
}

/* --- what else the sources call, but for absent.c --------------------------------------------- */

static void *allocate(size_t alignment, size_t bytes)
{
    (void)alignment;
    static unsigned char arena[1024] WF_ALIGNED(WF_LINE);
    wloom_assert(bytes <= sizeof arena);
    return memset(arena, 0, sizeof arena);
}

static void release(void *memory)
{
    (void)memory;
}

static int64_t no_time(void)
{
    return 0;
}

struct wf_sys wf_sys = {.alloc = allocate, .release = release, .now_ns = no_time};

/* --- semaphore -------------------------------------------------------------------------------- */

static weft_sem sem;

static void begin_sem(uint32_t permits)
{
    begin_strands();
    weft_sem_init(&sem, permits, 0);
}

static void check_permits(uint32_t expected)
{
    wloom_observe(true);
    wloom_assert(weft_sem_count(&sem) == expected);
    wloom_assert(wf_list_is_empty(&sem_of(&sem)->waiters));
}

/* A strand that is not inside cannot be cancelled. What it got goes on to the next. */
static void acquire_and_release(uint32_t n)
{
    int rc = weft_sem_acquire_n(&sem, n);
    call_is_over();
    wloom_assert(rc == 0 || (rc == -ECANCELED && is_inside()));
    if (rc == 0) {
        wloom_assert(weft_sem_release(&sem, n) == 0);
    }
}

static void acquire_one(void *arg)
{
    (void)arg;
    acquire_and_release(1);
}

static void acquire_two(void *arg)
{
    (void)arg;
    acquire_and_release(2);
}

static void release_one(void *arg)
{
    (void)arg;
    wloom_assert(weft_sem_release(&sem, 1) == 0);
}

static void a_permit_is_posted_while_its_taker_is_cancelled(void)
{
    begin_sem(0);
    put_in(1, &inside, true);
    wloom_spawn(acquire_one, NULL);
    wloom_spawn(acquire_one, NULL);
    wloom_spawn(cancel_inside, NULL);
    release_one(NULL);
    wloom_join_all();
    check_permits(1);
}

static void a_first_wait_is_cancelled_and_granted(void)
{
    begin_sem(0);
    put_in(1, &inside, false);
    wloom_spawn(acquire_one, NULL);
    wloom_spawn(cancel_inside, NULL);
    release_one(NULL);
    wloom_join_all();
    check_permits(1);
}

static void acquire_two_in_vain(void *arg)
{
    (void)arg;
    wloom_assert(weft_sem_acquire_n(&sem, 2) == -ECANCELED);
    call_is_over();
}

/* Nobody posts any more: the end of the large request lets the other through. */
static void a_large_request_is_cancelled_and_frees_the_line(void)
{
    begin_sem(1);
    put_in(1, &inside, true);
    wloom_spawn(acquire_two_in_vain, NULL);
    wloom_spawn(acquire_one, NULL);
    cancel_inside(NULL);
    wloom_join_all();
    check_permits(1);
}

static void two_post_for_a_large_request_that_is_cancelled(void)
{
    begin_sem(0);
    put_in(1, &inside, true);
    wloom_spawn(acquire_two, NULL);
    wloom_spawn(acquire_one, NULL);
    wloom_spawn(cancel_inside, NULL);
    wloom_spawn(release_one, NULL);
    release_one(NULL);
    wloom_join_all();
    check_permits(2);
}

/* --- mutex ------------------------------------------------------------------------------------ */

static weft_mutex mutex;

static void lock_and_unlock(void *arg)
{
    (void)arg;
    int rc = weft_mutex_lock(&mutex);
    call_is_over();
    wloom_assert(rc == 0 || (rc == -ECANCELED && is_inside()));
    if (rc == 0) {
        own_it();
        disown_it();
        wloom_assert(weft_mutex_unlock(&mutex) == 0);
    }
}

static void a_mutex_is_handed_on_while_its_next_owner_is_cancelled(void)
{
    begin_strands();
    weft_mutex_init(&mutex);
    put_in(1, &inside, true);
    wloom_spawn(lock_and_unlock, NULL);
    wloom_spawn(lock_and_unlock, NULL);
    wloom_spawn(cancel_inside, NULL);
    lock_and_unlock(NULL);
    wloom_join_all();
    wloom_observe(true);
    wloom_assert(mutex_of(&mutex)->owner == NULL);
    wloom_assert(wf_list_is_empty(&mutex_of(&mutex)->waiters));
}

/* --- event ------------------------------------------------------------------------------------ */

static weft_event event;

static void wait_and_set(void *arg)
{
    (void)arg;
    int rc = weft_event_wait(&event);
    call_is_over();
    wloom_assert(rc == 0 || (rc == -ECANCELED && is_inside()));
    if (rc == 0) {
        own_it();
        disown_it();
        (void)weft_event_set(&event);
    }
}

static void set_event(void *arg)
{
    (void)arg;
    (void)weft_event_set(&event);
}

static void an_event_is_set_while_its_waiter_is_cancelled(void)
{
    begin_strands();
    weft_event_init(&event, WEFT_EVENT_AUTO);
    put_in(1, &inside, true);
    wloom_spawn(wait_and_set, NULL);
    wloom_spawn(wait_and_set, NULL);
    wloom_spawn(cancel_inside, NULL);
    set_event(NULL);
    wloom_join_all();
    wloom_observe(true);
    wloom_assert(event_of(&event)->set);
    wloom_assert(wf_list_is_empty(&event_of(&event)->waiters));
}

/* By hand or by itself: the waiter frees it at once, granted or cancelled. */
static void an_event_is_its_waiters_to_free(int mode)
{
    begin_strands();
    weft_event_init(&event, mode);
    put_in(0, &inside, true);
    int setter = wloom_spawn(set_event, NULL);
    wloom_spawn(cancel_inside, NULL);
    int rc = weft_event_wait(&event);
    call_is_over();
    if (rc != 0) {
        wloom_join(setter);
    }
    wloom_retire(&event, sizeof event);
    wloom_join_all();
}

static void a_manual_event_is_its_waiters_to_free(void)
{
    an_event_is_its_waiters_to_free(WEFT_EVENT_MANUAL);
}

static void an_auto_event_is_its_waiters_to_free(void)
{
    an_event_is_its_waiters_to_free(WEFT_EVENT_AUTO);
}

/* --- channel ---------------------------------------------------------------------------------- */

static weft_chan *chan;
static int received; /* a sum of items, of which `count` is what was sent; not modelled */

static void begin_chan(size_t capacity)
{
    begin_strands();
    received = 0;
    wloom_assert(weft_chan_new_(&chan, sizeof(item_t), capacity, NULL) == 0);
}

static void check_items(void)
{
    item_t item;
    while (weft_chan_try_recv(chan, &item) == 1) {
        received += wf_plain_read(&item);
    }
    wloom_assert(received == count);
    wloom_assert(wf_list_is_empty(&chan->receivers) && wf_list_is_empty(&chan->senders));
}

static int send_item(void)
{
    struct strand *strand = me();
    wf_plain_write(&strand->item, 1 << wloom_self());
    int rc = weft_chan_send(chan, &strand->item);
    call_is_over();
    wloom_assert(rc == 0 || rc == -EPIPE || (rc == -ECANCELED && is_inside()));
    count += rc == 0 ? wf_plain_read(&strand->item) : 0;
    wloom_retire(&strand->item, sizeof strand->item);
    return rc;
}

static void recv_item(void)
{
    struct strand *strand = me();
    int rc = weft_chan_recv(chan, &strand->item);
    call_is_over();
    wloom_assert(rc == 1 || rc == 0 || (rc == -ECANCELED && is_inside()));
    received += rc == 1 ? wf_plain_read(&strand->item) : 0;
    wloom_retire(&strand->item, sizeof strand->item);
}

static void send_one(void *arg)
{
    (void)arg;
    (void)send_item();
}

static void recv_one(void *arg)
{
    (void)arg;
    recv_item();
}

/* Of two receivers one is left, with nothing to come; the close lets it go. */
static void an_item_is_sent_while_its_receiver_is_cancelled(void)
{
    begin_chan(1);
    put_in(1, &inside, true);
    wloom_spawn(recv_one, NULL);
    wloom_spawn(recv_one, NULL);
    wloom_spawn(cancel_inside, NULL);
    wloom_assert(send_item() == 0);
    (void)weft_chan_close(chan, 0);
    wloom_join_all();
    check_items();
    wloom_assert(received == 1);
}

/* It is full, and room comes while the first of two senders is cancelled. */
static void room_is_made_while_its_sender_is_cancelled(void)
{
    begin_chan(1);
    static item_t first;
    wf_plain_write(&first, 64);
    wloom_assert(weft_chan_try_send(chan, &first) == 0);
    count = 64;
    put_in(1, &inside, true);
    wloom_spawn(send_one, NULL);
    wloom_spawn(send_one, NULL);
    wloom_spawn(cancel_inside, NULL);
    recv_item();
    wloom_join(1);
    (void)weft_chan_close(chan, 0); /* the second waits for room, if the first was not cancelled */
    wloom_join_all();
    check_items();
}

/* From hand to hand: nobody waits with an item that is nobody's. */
static void a_sender_is_cancelled_when_it_meets_a_receiver(void)
{
    begin_chan(0);
    put_in(1, &inside, true);
    wloom_spawn(send_one, NULL);
    int receiver = wloom_spawn(recv_one, NULL);
    wloom_spawn(cancel_inside, NULL);
    wloom_join(1);
    (void)weft_chan_close(chan, 0);
    wloom_join(receiver);
    wloom_join_all();
    check_items();
}

static void a_receiver_is_cancelled_when_it_meets_a_sender(void)
{
    begin_chan(0);
    put_in(1, &inside, true);
    wloom_spawn(recv_one, NULL);
    int sender = wloom_spawn(send_one, NULL);
    wloom_spawn(cancel_inside, NULL);
    wloom_join(1);
    (void)weft_chan_close(chan, 0);
    wloom_join(sender);
    wloom_join_all();
    check_items();
}

/* --- generator -------------------------------------------------------------------------------- */

static weft_gen *gen;
static WF_ATOMIC(uint32_t) started;

#define PRODUCER 1
#define EMITS    2

void wf_start_queued(struct wf_fiber *self, struct wf_work *work)
{
    (void)self;
    wloom_assert(work == &gen->task.work);
    wloom_handoff_set(&started);
}

/* Each call in a frame further down: its memory is its own. */
static WF_NOINLINE int emit_from(size_t depth, item_t *item)
{
    volatile unsigned char *deeper = __builtin_alloca(depth);
    deeper[0] = 0;
    int rc = weft_emit(item);
    call_is_over();
    return rc;
}

/* As `produce`, without a scope's end. */
static void run_producer(void *arg)
{
    (void)arg;
    struct strand *strand = me();
    wloom_handoff_wait(&started);
    int rc = 0;
    for (int i = 0; i < EMITS && rc == 0; i++) {
        wf_plain_write(&strand->item, i + 1);
        rc = emit_from((size_t)512 * (size_t)(i + 1), &strand->item);
        wloom_assert(rc == 0 || rc == -ECANCELED);
    }
    run_owed(publish_end(gen, rc));
}

/* `by_switch`: the two ran on one worker last, and switch to each other. */
static void begin_gen(bool by_switch)
{
    static struct weft_gen memory;
    begin_strands();
    memset(&started, 0, sizeof started);
    memset(&memory, 0, sizeof memory);
    gen = &memory;
    gen->item_bytes = sizeof(item_t);
    gen->task.kind = WF_TASK_PRODUCER;
    gen->task.place = &somewhere;
    gen->task.env.scope = &gen->scope;
    gen->task.env.task = &gen->task;
    begin_scope(&gen->scope, &gen->task);
    gen->scope.outer = &strands[0].task.env;
    struct wf_fiber *producer = &strands[PRODUCER].fiber;
    producer->env = &gen->scope.env;
    producer->worker = workers[by_switch ? 0 : 1];
}

static WF_NOINLINE int next_from(size_t depth, item_t *item)
{
    volatile unsigned char *deeper = __builtin_alloca(depth);
    deeper[0] = 0;
    int rc = weft_gen_next(gen, item);
    bool waited = me()->wait != NULL;
    call_is_over();
    wloom_observe(true);
    wloom_assert(rc != -ECANCELED || !waited || wf_scope_cancelled(&gen->scope) != 0); /* G.2 */
    wloom_observe(false);
    return rc;
}

/* Takes items until there are none, or it is cancelled, and closes. */
static void take_and_close(int items)
{
    struct strand *strand = me();
    int rc = 1;
    for (int i = 0; i < items && rc == 1; i++) {
        rc = next_from((size_t)512 * (size_t)(i + 1), &strand->item);
        wloom_assert(rc == 0 || rc == 1 || (rc == -ECANCELED && is_inside()));
        wloom_assert(rc != 1 || wf_plain_read(&strand->item) == i + 1);
    }
    if (rc == -ECANCELED && gen->state == GEN_UNSTARTED) {
        wloom_handoff_set(&started); /* nobody asked: its thread has to end */
        gen->state = GEN_STARTED;
    }
    (void)weft_gen_close(gen);
    call_is_over();
    wloom_retire(gen, sizeof *gen);
}

static void a_consumer_is_cancelled(bool by_switch)
{
    begin_gen(by_switch);
    put_in(0, &inside, true);
    wloom_spawn(run_producer, NULL);
    wloom_spawn(cancel_inside, NULL);
    take_and_close(EMITS + 1);
    wloom_join_all();
}

static void a_consumer_is_cancelled_on_its_producers_worker(void)
{
    a_consumer_is_cancelled(true);
}

static void a_consumer_is_cancelled_on_another_worker(void)
{
    a_consumer_is_cancelled(false);
}

static void close_meets_the_producer(void)
{
    begin_gen(true);
    wloom_spawn(run_producer, NULL);
    take_and_close(1);
    wloom_join_all();
}

/* --- roads not taken -------------------------------------------------------------------------- */

/* A call whose end does not take the object's lock: it returns while a setter holds it. */
static void wait_without_an_end(void *arg)
{
    (void)arg;
    struct strand *strand = me();
    struct wf_call call;
    struct wf_event *e = event_of(&event);
    wf_lock(&e->lock);
    if (take_event(e)) {
        wf_unlock(&e->lock);
    } else {
        (void)event_queue(e, &call, &strand->fiber.resume, &event_ops);
        (void)wf_call_block_inline(&strand->fiber, &call, call.wait.ops->name);
    }
    wloom_retire(&event, sizeof event);
}

static void an_event_is_freed_under_its_setter(void)
{
    begin_strands();
    weft_event_init(&event, WEFT_EVENT_MANUAL);
    wloom_spawn(set_event, NULL);
    wait_without_an_end(NULL);
    wloom_join_all();
}

/* A stack that leaves its slot and does not look whether a walk holds its wait. */
static void lie_and_leave_blindly(void *arg)
{
    (void)arg;
    struct strand *strand = me();
    struct wf_env *env = strand->fiber.env;
    struct wf_call call;
    struct wf_sem *s = sem_of(&sem);
    wf_lock(&s->lock);
    (void)acquire_queue(s, &call, &strand->fiber.resume, as_item(1));
    if (wf_wait_enter(&call.wait, env)) {
        wf_wait_lie(&strand->fiber, &call.wait, call.wait.ops->name);
        (void)wf_slot_leave(&env->slot, &call.wait);
    } else {
        wf_wait_cancel_claim(&call.wait);
    }
    if (wf_wait_outcome(&call.wait) != WF_WAIT_GRANTED) {
        (void)acquire_ended(&call, WF_WAIT_CANCELLED);
    }
    wloom_retire(&call, sizeof call);
}

static void a_call_returns_under_a_walk(void)
{
    begin_sem(0);
    put_in(1, &inside, true);
    wloom_spawn(lie_and_leave_blindly, NULL);
    wloom_spawn(cancel_inside, NULL);
    release_one(NULL);
    wloom_join_all();
}

/* It lies down although it could not enter: no walk will come. */
static void lie_in_vain(void *arg)
{
    (void)arg;
    struct strand *strand = me();
    struct wf_call call;
    struct wf_sem *s = sem_of(&sem);
    wf_lock(&s->lock);
    (void)acquire_queue(s, &call, &strand->fiber.resume, as_item(1));
    (void)wf_wait_enter(&call.wait, strand->fiber.env);
    wf_wait_lie(&strand->fiber, &call.wait, call.wait.ops->name);
    wf_wait_leave(&call.wait, strand->fiber.env);
}

static void a_call_lies_though_it_is_cancelled(void)
{
    begin_sem(0);
    put_in(1, &inside, true);
    wloom_spawn(lie_in_vain, NULL);
    cancel_inside(NULL);
    wloom_join_all();
}

static const struct wloom_scenario scenarios[] = {
    {"sem_posted_cancelled", a_permit_is_posted_while_its_taker_is_cancelled, NULL, NULL, false},
    {"sem_first_wait", a_first_wait_is_cancelled_and_granted, NULL, NULL, false},
    {"sem_large_leaves", a_large_request_is_cancelled_and_frees_the_line, NULL, NULL, false},
    {"sem_two_post", two_post_for_a_large_request_that_is_cancelled, NULL, NULL, false},
    {"mutex_next_cancelled", a_mutex_is_handed_on_while_its_next_owner_is_cancelled, NULL, NULL,
     false},
    {"event_set_cancelled", an_event_is_set_while_its_waiter_is_cancelled, NULL, NULL, false},
    {"event_manual_freed", a_manual_event_is_its_waiters_to_free, NULL, NULL, false},
    {"event_auto_freed", an_auto_event_is_its_waiters_to_free, NULL, NULL, false},
    {"chan_receiver_cancelled", an_item_is_sent_while_its_receiver_is_cancelled, NULL, NULL, false},
    {"chan_sender_cancelled", room_is_made_while_its_sender_is_cancelled, NULL, NULL, false},
    {"chan_by_hand_sender", a_sender_is_cancelled_when_it_meets_a_receiver, NULL, NULL, false},
    {"chan_by_hand_receiver", a_receiver_is_cancelled_when_it_meets_a_sender, NULL, NULL, false},
    {"gen_consumer_by_switch", a_consumer_is_cancelled_on_its_producers_worker, NULL, NULL, false},
    {"gen_consumer_by_queue", a_consumer_is_cancelled_on_another_worker, NULL, NULL, false},
    {"gen_close", close_meets_the_producer, NULL, NULL, false},
    {"freed_under_its_setter", an_event_is_freed_under_its_setter, "retired", "retired", true},
    {"returns_under_a_walk", a_call_returns_under_a_walk, "retired", "retired", true},
    {"lies_though_cancelled", a_call_lies_though_it_is_cancelled, "lost wake-up", "lost wake-up",
     true},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"src/wait.h",  "src/block.c", "src/sem.c", "src/mutex.c",
                                         "src/event.c", "src/chan.c",  "src/gen.c", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "stack",
        .scenarios = scenarios,
        .under_test = under_test,
        .share = 0.2,
    };
    workers[0] = calloc(1, sizeof *workers[0]);
    workers[1] = calloc(1, sizeof *workers[1]);
    if (workers[0] == NULL || workers[1] == NULL) {
        return 2;
    }
    return wloom_main(&harness, argc, argv);
}
