/* gen.c: generators: a producer and a consumer that take turns.
 *
 * The producer is a task with a scope of its own (a child of the scope in which the generator was
 * made), started by the first next. *The consumer* is whoever is in weft_gen_next or
 * weft_gen_close. At most one of the two has a place here at a time that it waits in:
 *
 *     gen->consumer   waits for an item
 *     gen->producer   rests in weft_emit, its item taken (place.item == NULL) or not
 *
 * The turn goes to and fro: next claims the producer's wait and lies down; emit copies its item
 * into the consumer's memory, claims the consumer's wait and lies down. Whoever claims a stack that
 * lies already switches straight to it (wf_suspend_to), since it is about to lie down itself. All
 * of it under the generator's lock, except lying down.
 *
 *     UNSTARTED --[first next]--> STARTED --[produce: the body has returned, scope closed]--> ENDED
 *         +--------------[close, abandon: the body is never called]----------------------------^
 *
 * Guarantees.
 * G.1  An item is taken once, or the producer is told -ECANCELED and it is taken not at all or
 *      once: a claim of the consumer that fails (it was cancelled) leaves the item with the
 *      producer, for the next that asks.
 * G.2  A next that was cancelled, or got the end, empties gen->consumer itself, as its last touch:
 *      until then nobody can close the generator. Before that the cancelled one fires the
 *      producer's scope, without a lock (scopes are locked before objects); the other reads how it
 *      ended.
 * G.3  The producer's last touch of the generator is its unlocking in `produce`; close takes the
 *      lock before it frees. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/block.h"
#include "src/core.h"
#include "src/item.h"
#include "src/value.h"
#include <weft/gen.h>

enum gen_state {
    GEN_UNSTARTED,
    GEN_STARTED,
    GEN_ENDED, /* rc and the task's record are valid */
};

struct weft_gen {
    struct wf_task task;   /* the producer; its env.scope is `scope` */
    struct wf_scope scope; /* of the producer alone; its outer env is that of weft_gen_new */
    /* immutable */
    struct wf_scope *owner; /* counts the producer until it has ended */
    uint32_t item_bytes;
    /* under lock */
    struct wf_lock lock;
    uint8_t state;     /* enum gen_state */
    bool closing;      /* weft_gen_close has begun: no item is taken any more */
    bool is_accounted; /* in the `unawaited` of the env that made it */
    bool is_told;      /* a consumer has got the record of the failure */
    int rc;
    struct wf_waiter *consumer, *producer;
};

static const struct wf_wait_ops next_ops, emit_ops;

static struct weft_gen *gen_of_task(struct wf_task *task)
{
    return task->kind == WF_TASK_PRODUCER ? wf_container_of(task, struct weft_gen, task) : NULL;
}

/* --- taking turns ----------------------------------------------------------------------------- */

/* Under the lock: ends the wait in *place, and empties it. The work that we now owe a run, or NULL.
 * A claim that is lost leaves the place to its owner, who was cancelled and is on its way to empty
 * it: so a next that was cancelled keeps others out until it is through with the generator. */
WF_INLINE struct wf_work *claim_locked(struct wf_waiter **place, enum wf_wait_state cause,
                                       bool *won)
{
    struct wf_waiter *waiter = *place;
    enum wf_claim claim = wf_wait_take(waiter->wait, cause, waiter);
    *won = claim != WF_CLAIM_LOST;
    if (*won) {
        *place = NULL;
    }
    return claim == WF_CLAIM_OWED ? waiter->wait->resume : NULL;
}

/* Can the running stack switch to the one that `work` resumes? Only if that ran on this worker
 * last: else the queues decide where it runs. */
static bool is_of_worker(struct wf_work *work, struct wf_worker *worker)
{
    return work->run == wf_fiber_run_resume &&
           wf_container_of(work, struct wf_fiber, resume)->worker == worker;
}

static void run_owed(struct wf_work *owed)
{
    if (owed != NULL) {
        wf_wait_resume(owed);
    }
}

/* Called with the lock, returns without it: the call waits in `place`, with its item. */
WF_INLINE void wait_in(struct wf_waiter **place, struct weft_gen *gen, struct wf_call *call,
                       struct wf_work *resume, void *item, const struct wf_wait_ops *ops)
{
    wf_wait_init(&call->wait, resume, ops);
    call->object = gen;
    call->place.wait = &call->wait;
    call->place.item = item;
    *place = &call->place;
    wf_unlock(&gen->lock);
}

/* give_turn where the queues decide when `owed` goes on: it may be NULL, or the producer, new. */
static WF_NOINLINE enum wf_wait_state give_turn_by_queue(struct wf_fiber *self,
                                                         struct wf_call *call, struct wf_work *owed)
{
    struct weft_gen *gen = call->object;
    if (owed == &gen->task.work) {
        wf_start_queued(self, owed);
    } else {
        run_owed(owed);
    }
    return wf_call_block_inline(self, call, call->wait.ops->name);
}

/* As wf_call_block_inline, but `owed` goes on. */
WF_INLINE enum wf_wait_state give_turn(struct wf_fiber *self, struct wf_call *call,
                                       struct wf_work *owed)
{
    if (wf_unlikely(owed == NULL || !is_of_worker(owed, self->worker))) {
        return give_turn_by_queue(self, call, owed);
    }
    bool entered = wf_slot_enter(&self->env->slot, &call->wait, &wf_own_call(self)->wait);
    if (wf_unlikely(!entered || wf_wait_is_flagged(self->env))) {
        wf_wait_resume(owed);
        return wf_call_block_otherwise(self, call, entered);
    }
    self->waits_for = call->wait.ops->name;
    self->waits_at = &call->wait;
    wf_suspend_to(self, owed, wf_after_block, &call->wait.state);
    self->waits_for = NULL;
    wf_wait_leave(&call->wait, self->env);
    return wf_wait_outcome(&call->wait);
}

/* Called with the lock, returns without it: lies down in a call, in `place`, while `owed` goes on,
 * if anything is owed. What the call returns. Both sides come here in their last line: so a switch
 * returns to the same place whoever goes on, and the processor predicts that; the return to the
 * program it predicts by wf_fiber_lying_for. With a copy of this in emit and another in next both
 * were mispredicted (docs/adr/0033). */
static int wait_for_turn(struct wf_fiber *self, void *of, void *item, void *place, void *owed)
{
    struct weft_gen *gen = of;
    struct wf_call call;
    bool consumes = place == &gen->consumer;
    wait_in(place, gen, &call, &self->resume, item, consumes ? &next_ops : &emit_ops);
    if (wf_likely(give_turn(self, &call, owed) == WF_WAIT_GRANTED)) {
        return call.wait.ops == &next_ops;
    }
    return (int)call.wait.ops->finish(&call);
}

/* --- the producer ----------------------------------------------------------------------------- */

/* The producer's body has returned: closes its scope, with what it left open. */
static void close_scope(struct wf_fiber *self, struct weft_gen *gen)
{
    struct wf_env *env = self->env;
    wf_env_enter(self, &gen->scope.env);
    wf_scope_close(self, &gen->scope);
    self->env = env;
    wf_fault_scope(wf_runtime_of(self), &gen->scope.failures);
}

/* Returns the consumer's stack if we have to resume it. LAST TOUCH of the generator. */
static struct wf_work *publish_end(struct weft_gen *gen, int rc)
{
    struct wf_work *owed = NULL;
    bool won;
    wf_lock(&gen->lock);
    gen->rc = rc;
    gen->state = GEN_ENDED;
    struct wf_waiter *waiter = gen->consumer; /* which keeps its place: G.2 */
    if (waiter != NULL) {
        owed = claim_locked(&waiter, WF_WAIT_SHUT, &won);
    }
    wf_unlock(&gen->lock);
    return owed;
}

/* work.run of the producer: on a loop's frame. */
static void produce(struct wf_fiber *self, struct wf_work *work)
{
    struct weft_gen *gen = wf_container_of(work, struct weft_gen, task.work);
    struct wf_scope *owner = gen->owner;
    int rc = wf_task_run_body(self, &gen->task);
    close_scope(self, gen);
    struct wf_work *owed = publish_end(gen, rc);
    wf_scope_leave(owner);
    if (owed != NULL && is_of_worker(owed, self->worker)) {
        wf_switch_to(self, wf_container_of(owed, struct wf_fiber, resume));
    }
    run_owed(owed);
}

static ssize_t emit_finish(struct wf_call *call)
{
    if (wf_wait_outcome(&call->wait) == WF_WAIT_GRANTED) {
        return 0;
    }
    struct weft_gen *gen = call->object;
    wf_lock(&gen->lock);
    gen->producer = NULL; /* it is ours: a claim that is lost leaves it */
    wf_unlock(&gen->lock);
    return -ECANCELED;
}

static const struct wf_wait_ops emit_ops = {
    .cancel = wf_wait_cancel_claim, .finish = emit_finish, .name = "weft_emit"};

/* Under the lock. WF_PENDING: it has to wait, until the next `next`; with *item until then, unless
 * that is NULL, since it was taken. */
WF_INLINE ssize_t emit_locked(struct weft_gen *gen, void **item, struct wf_work **owed)
{
    *owed = NULL;
    if (wf_unlikely(gen->closing || gen->producer != NULL)) {
        return gen->closing ? -ECANCELED : -EBUSY;
    }
    if (wf_likely(gen->consumer != NULL)) {
        /* before the claim, after which it may return; harmless if the claim fails */
        wf_item_copy(gen->consumer->item, *item, gen->item_bytes);
        bool taken;
        *owed = claim_locked(&gen->consumer, WF_WAIT_GRANTED, &taken);
        *item = taken ? NULL : *item;
    }
    return WF_PENDING;
}

int weft_emit(const void *item)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct weft_gen *gen = gen_of_task(self->env->task);
    if (wf_unlikely(gen == NULL)) {
        return -EPERM;
    }
    void *left = (void *)(uintptr_t)item; /* only read from */
    struct wf_work *owed;
    wf_lock(&gen->lock);
    ssize_t begun = emit_locked(gen, &left, &owed);
    if (wf_likely(begun == WF_PENDING)) {
        return wf_fiber_lying_for(self, gen, left, &gen->producer, owed, wait_for_turn);
    }
    wf_unlock(&gen->lock);
    return (int)begun;
}

/* --- the consumer ----------------------------------------------------------------------------- */

/* Of an ended generator, by its consumer; or by whoever gives up the value of a next, which may be
 * no task. The first task that asks gets the record. */
static ssize_t end_of(struct weft_gen *gen)
{
    if (wf_likely(gen->rc >= 0)) {
        return 0;
    }
    struct wf_fiber *self = wf_peek_task();
    if (!gen->is_told && self != NULL && self->env->task != NULL) {
        gen->is_told = true;
        weft_error *error = wf_error_of(&gen->task, gen->rc, wf_error_take(&gen->task));
        wf_error_hand_on(self->env->task, error, NULL);
    }
    return gen->rc;
}

/* Cancels the producer, and all that it has started. */
static void cancel_producer(struct weft_gen *gen, enum weft_why_kind kind, const char *why)
{
    weft_reason reason = wf_reason(kind, why, gen->task.place);
    (void)wf_scope_fire(&gen->scope, WF_CANCEL_FIRED, &reason);
}

static ssize_t next_finish(struct wf_call *call)
{
    struct weft_gen *gen = call->object;
    ssize_t rc = -ECANCELED;
    switch (wf_wait_outcome(&call->wait)) {
    case WF_WAIT_GRANTED:
        return 1;
    case WF_WAIT_SHUT:
        rc = end_of(gen);
        break;
    default:
        cancel_producer(gen, WEFT_WHY_CALL, "the generator's consumer was cancelled");
        break;
    }
    wf_lock(&gen->lock);
    gen->consumer = NULL;  /* nobody else has emptied it: only a grant does */
    wf_unlock(&gen->lock); /* LAST TOUCH */
    return rc;
}

static const struct wf_wait_ops next_ops = {
    .cancel = wf_wait_cancel_claim, .finish = next_finish, .name = "weft_gen_next"};

/* Under the lock: the producer has its turn. The work that is owed a run: its stack, or itself if
 * it is new. */
WF_INLINE struct wf_work *ask_locked(struct weft_gen *gen)
{
    if (wf_unlikely(gen->state == GEN_UNSTARTED)) {
        gen->state = GEN_STARTED;
        return &gen->task.work;
    }
    bool won;
    return gen->producer != NULL ? claim_locked(&gen->producer, WF_WAIT_GRANTED, &won) : NULL;
}

/* Under the lock. WF_PENDING: it has to wait. */
WF_INLINE ssize_t next_locked(struct weft_gen *gen, struct wf_env *env, void *item)
{
    if (wf_unlikely(gen->consumer != NULL || gen->closing)) {
        return -EBUSY;
    }
    if (gen->state == GEN_ENDED) {
        return 0;
    }
    if (wf_unlikely(gen->producer != NULL && gen->producer->item != NULL)) {
        /* an item that nobody waited for any more when it was made */
        wf_item_copy(item, gen->producer->item, gen->item_bytes);
        gen->producer->item = NULL;
        return 1;
    }
    /* a passed deadline: it cannot be tried without waiting */
    return wf_unlikely(wf_env_cancelled(env) != 0) ? -ECANCELED : WF_PENDING;
}

int weft_gen_next(weft_gen *gen, void *item)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    if (wf_unlikely(self->env->task == &gen->task)) {
        return -EDEADLK;
    }
    wf_lock(&gen->lock);
    ssize_t begun = next_locked(gen, self->env, item);
    if (wf_likely(begun == WF_PENDING)) {
        return wf_fiber_lying_for(self, gen, item, &gen->consumer, ask_locked(gen), wait_for_turn);
    }
    wf_unlock(&gen->lock);
    return wf_spend_and_return(self, (int)(begun == 0 ? end_of(gen) : begun));
}

/* For who lies down otherwise. */
static ssize_t next_begin(struct weft_gen *gen, struct wf_call *call, struct wf_work *resume,
                          struct wf_env *env, void *item, struct wf_work **owed)
{
    *owed = NULL;
    wf_lock(&gen->lock);
    ssize_t begun = next_locked(gen, env, item);
    if (begun == WF_PENDING) {
        *owed = ask_locked(gen);
        wait_in(&gen->consumer, gen, call, resume, item, &next_ops);
        return WF_PENDING;
    }
    wf_unlock(&gen->lock);
    return begun == 0 ? end_of(gen) : begun;
}

weft_val weft_gen_next_v_(weft_gen *gen, void *item, const weft_place *place)
{
    struct wf_begun b;
    if (!wf_v_begin(&b, WF_V_CALL, place)) {
        return b.val;
    }
    if (wf_unlikely(b.self->env->task == &gen->task)) {
        return wf_v_end(&b, -EDEADLK);
    }
    struct wf_work *owed;
    ssize_t begun = next_begin(gen, b.call, b.resume, b.self->env, item, &owed);
    if (owed == &gen->task.work) {
        wf_start_queued(b.self, owed);
    } else {
        run_owed(owed);
    }
    return wf_v_end(&b, begun);
}

/* --- new, close ------------------------------------------------------------------------------- */

int weft_gen_new_(weft_gen **out, weft_fn *fn, void *arg, size_t item_bytes,
                  const weft_place *place)
{
    *out = NULL;
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    if (item_bytes == 0 || item_bytes > WEFT_GEN_ITEM_MAX) {
        return -EINVAL;
    }
    weft_gen *gen = wf_sys_alloc_zeroed(WF_LINE, sizeof *gen);
    if (gen == NULL) {
        return -ENOMEM;
    }
    struct wf_env *env = self->env;
    rc = wf_scope_enter(env->scope);
    if (rc < 0) {
        wf_sys.release(gen);
        return rc;
    }
    gen->owner = env->scope;
    gen->item_bytes = (uint32_t)item_bytes; /* at most WEFT_GEN_ITEM_MAX */
    gen->is_accounted = true;
    wf_scope_open(self, &gen->scope, WEFT_FAILFAST, WEFT_FOREVER, place);
    self->env = env;
    wf_task_init(&gen->task, wf_runtime_of(self), fn, arg, &gen->scope, WF_TASK_PRODUCER, place);
    gen->task.work.run = produce;
    gen->task.env.locals = env->locals;
    gen->scope.env.task = &gen->task;
    (void)wf_add_relaxed(&env->unawaited, 1); /* relaxed: see weft_spawn_ */
    *out = gen;
    return 0;
}

/* By close or abandon, under no lock: a producer that was never started has ended. */
static void end_unstarted(struct wf_fiber *self, struct weft_gen *gen)
{
    close_scope(self, gen);
    run_owed(publish_end(gen, 0));
    wf_scope_leave(gen->owner);
}

static ssize_t close_finish(struct wf_call *call)
{
    (void)wf_wait_outcome(&call->wait); /* acquires the producer's end */
    return 0;
}

static const struct wf_wait_ops close_ops = {
    .cancel = wf_wait_cancel_claim, .finish = close_finish, .name = "weft_gen_close"};

/* Waits for the producer's end. Nothing cancels this. */
static void wait_end(struct wf_fiber *self, struct weft_gen *gen)
{
    struct wf_call call;
    wf_lock(&gen->lock);
    bool ended = gen->state == GEN_ENDED;
    if (!ended) {
        wf_wait_init(&call.wait, &self->resume, &close_ops);
        call.place.wait = &call.wait;
        gen->consumer = &call.place;
    }
    wf_unlock(&gen->lock);
    if (!ended) {
        (void)wf_wait_block(self, &call.wait);
        /* until the producer has let go of the lock: G.3 */
        wf_lock(&gen->lock);
        wf_unlock(&gen->lock);
    }
}

/* From now on no item is taken. -EBUSY: somebody waits for one. Whether it has to be started or
 * waited for. */
static int begin_close(struct weft_gen *gen, enum gen_state *state)
{
    wf_lock(&gen->lock);
    int rc = gen->consumer != NULL || gen->closing ? -EBUSY : 0;
    if (rc == 0) {
        gen->closing = true;
        *state = (enum gen_state)gen->state;
    }
    wf_unlock(&gen->lock);
    return rc;
}

/* Does the producer's end wait for what runs under `env`? Its scopes are its own: they stay. */
static bool is_of_producer(const struct weft_gen *gen, const struct wf_env *env)
{
    const struct wf_scope *scope = env->scope;
    while (scope != NULL && scope != &gen->scope) { /* ends: at the root */
        scope = scope->parent;
    }
    return scope != NULL;
}

int weft_gen_close(weft_gen *gen)
{
    int rc = 0;
    struct wf_fiber *self = gen != NULL ? wf_enter_task(&rc) : NULL;
    if (self == NULL) {
        return rc;
    }
    if (is_of_producer(gen, self->env)) {
        return -EDEADLK;
    }
    enum gen_state state;
    rc = begin_close(gen, &state);
    if (rc < 0) {
        return rc;
    }
    bool cancelled_before = wf_scope_cancelled(&gen->scope) != 0;
    if (state == GEN_UNSTARTED) {
        end_unstarted(self, gen);
    } else if (state == GEN_STARTED) {
        cancel_producer(gen, WEFT_WHY_CALL, "the generator is closed");
        wait_end(self, gen);
    }
    bool is_answer = gen->rc == -ECANCELED && state == GEN_STARTED && !cancelled_before;
    rc = is_answer ? 0 : gen->rc;
    if (rc < 0) {
        (void)end_of(gen);
    }
    wf_error_free(wf_error_take(&gen->task)); /* of a failure that the producer itself dealt with */
    if (gen->is_accounted) {
        (void)wf_sub_relaxed(&gen->scope.outer->unawaited, 1); /* relaxed: see weft_spawn_ */
    }
    wf_sys.release(gen);
    return rc;
}

/* --- left open -------------------------------------------------------------------------------- */

/* Some generator that was made under `env`, in this list of its scope's; or NULL. */
static struct weft_gen *find_abandoned_locked(struct wf_list *children, struct wf_env *env)
{
    for (struct wf_list *node = children->next; node != children; node = node->next) {
        struct wf_scope *child = wf_container_of(node, struct wf_scope, sibling);
        struct weft_gen *gen = child->outer == env ? gen_of_task(child->env.task) : NULL;
        if (gen != NULL && child == &gen->scope && gen->is_accounted) {
            return gen;
        }
    }
    return NULL;
}

/* Some generator that was made under `env` and not closed, now off its account; or NULL. */
static struct weft_gen *take_abandoned(struct wf_env *env)
{
    struct wf_scope *scope = env->scope;
    wf_lock(&scope->lock);
    struct weft_gen *found = find_abandoned_locked(&scope->children, env);
    found = found != NULL ? found : find_abandoned_locked(&scope->visit, env);
    if (found != NULL) {
        found->is_accounted = false;
    }
    wf_unlock(&scope->lock);
    return found;
}

void wf_gens_abandon(struct wf_fiber *self, struct wf_env *env)
{
    struct weft_gen *gen;
    while ((gen = take_abandoned(env)) != NULL) { /* ends: each is found once */
        (void)wf_sub_relaxed(&env->unawaited, 1); /* relaxed: only our own strands write */
        wf_misuse("the generator made at %s:%d was not closed before what it was made in ended",
                  gen->task.place->file, gen->task.place->line);
        wf_lock(&gen->lock);
        bool started = gen->state != GEN_UNSTARTED;
        gen->state = started ? gen->state : GEN_STARTED; /* nobody starts it from here on */
        wf_unlock(&gen->lock);
        if (started) {
            cancel_producer(gen, WEFT_WHY_RETURN, "its generator was not closed");
        } else {
            end_unstarted(self, gen);
        }
    }
}
