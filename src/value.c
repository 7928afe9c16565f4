/* value.c: once-only values: begun, consumed, dropped, completed by hand. The life of a completion
 * is drawn in value.h. */
#include "src/value.h"
#include "src/frame.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"

static struct wf_value *value_of_wait(struct wf_wait *wait)
{
    return wf_container_of(wait, struct wf_value, call.wait);
}

/* Of a record that waits: only an operation of the kernel may have to be begun again. */
static enum wf_v_kind kind_of(const struct wf_value *value)
{
    const struct wf_wait_ops *ops = value->call.wait.ops;
    return ops->again == NULL ? WF_V_CALL : ops->is_wide ? WF_V_WIDE : WF_V_OP;
}

static ssize_t promise_finish(struct wf_call *call)
{
    if (wf_wait_outcome(&call->wait) != WF_WAIT_GRANTED) {
        return -ECANCELED;
    }
    struct wf_fiber *self = wf_self();
    if (call->error != NULL && self != NULL && self->env != NULL) {
        wf_error_hand_on(self->env->task, call->error, NULL);
    } else {
        wf_error_free(call->error);
    }
    return (ssize_t)wf_plain_read(&call->result);
}

/* A value that is completed by hand. */
static const struct wf_wait_ops promise_ops = {
    .cancel = wf_wait_cancel_claim, .finish = promise_finish, .name = "a weft_promise"};

/* --- records ---------------------------------------------------------------------------------- */

static struct wf_slab *slab_of(struct wf_worker *worker, enum wf_v_kind kind)
{
    return &worker->values[kind == WF_V_WIDE ? 2 : kind == WF_V_OP ? 1 : 0];
}

static struct wf_value *take_record(struct wf_worker *worker, enum wf_v_kind kind,
                                    const weft_place *place)
{
    struct wf_value *value = wf_slab_take(slab_of(worker, kind));
    if (value != NULL) {
        value->place = place;
        /* Relaxed, as all accesses to `life` that have no label: a compare-and-swap decides who
         * owns the life; what the owner then reads came to it with the value, or by the wait's
         * claim. */
        wf_store_relaxed(&value->life, wf_load_relaxed(&value->life) | WF_LIFE_PENDING);
    }
    return value;
}

static void give_memory(struct wf_value *value, enum wf_v_kind kind)
{
    struct wf_fiber *self = wf_self();
    wf_slab_give(self != NULL ? slab_of(self->worker, kind) : NULL, value);
}

/* Ends the life; nobody else writes the word any more. */
static void give_record(struct wf_value *value, uint64_t life, enum wf_v_kind kind)
{
    wf_store_relaxed(&value->life, (life & ~WF_LIFE_FLAGS) + WF_LIFE_NEXT);
    give_memory(value, kind);
}

/* The owner of the life is through with it. */
static void release_record(struct wf_value *value)
{
    uint64_t life = wf_load_relaxed(&value->life);
    if (value->call.wait.ops != &promise_ops) {
        give_record(value, life, kind_of(value));
        return;
    }
    uint64_t next;
    do { /* ends: the setter pins once, and unpins */
        next = (life & WF_LIFE_PINNED) != 0 ? life | WF_LIFE_DROPPED | WF_LIFE_GONE
                                            : (life & ~WF_LIFE_FLAGS) + WF_LIFE_NEXT;
        /* sync(value.release): acq_rel, of owner and setter the one who comes last sees the other's
         * last touch; pairs sync(value.unpin) */
    } while (!wf_cas_acq_rel(&value->life, &life, next));
    if ((life & WF_LIFE_PINNED) == 0) { /* else LAST TOUCH was above */
        give_memory(value, WF_V_CALL);
    }
}

/* Visits the pool of the record's runtime (a stale value's too), unless a worker of it runs us: for
 * calls after whose effect the runtime may stop and be freed, before they return. To be given to
 * left_pool. */
static struct wf_pool *visit_pool(const struct wf_value *value)
{
    struct wf_slab *slab = wf_slab_owner(value);
    size_t class = slab->object_bytes / sizeof(struct wf_value) - 1; /* pool.c, value_bytes */
    /* of a loop's worker, too; but the pool of the runtime is what stops */
    struct wf_worker *worker = wf_container_of(slab - class, struct wf_worker, values[0]);
    struct wf_pool *pool = ((struct weft_rt *)worker->runtime)->pool;
    if (wf_worker_current(pool) != NULL) {
        return NULL;
    }
    wf_pool_visit(pool);
    return pool;
}

static void left_pool(struct wf_pool *pool)
{
    if (pool != NULL) {
        wf_pool_left(pool); /* LAST TOUCH */
    }
}

/* --- begin ------------------------------------------------------------------------------------ */

void wf_value_enlist(struct wf_wait *wait, struct wf_scope *scope, struct wf_env *env)
{
    wf_lock(&scope->lock);
    wf_list_push_back(&scope->waits, &wait->in_scope);
    wait->env = &scope->env;
    if (wf_unlikely(wf_env_is_base(wait->env))) { /* a producer's */
        wait->env->task->base_waits++;
    }
    if (wf_unlikely(wf_env_cancelled(env) != 0)) {
        wait->ops->cancel(wait); /* unless what it waits for has come */
    }
    wf_unlock(&scope->lock);
}

static bool refuse(struct wf_begun *b, ssize_t rc)
{
    b->val = wf_val_done(rc, b->place);
    return false;
}

bool wf_v_begin(struct wf_begun *b, enum wf_v_kind kind, const weft_place *place)
{
    int rc = 0;
    b->place = place;
    b->kind = kind;
    b->self = wf_enter_call(&rc);
    if (wf_unlikely(b->self == NULL)) {
        return refuse(b, rc);
    }
    struct wf_stepping *stepping = kind == WF_V_CALL ? wf_stepping_of(b->self) : NULL;
    if (stepping != NULL && stepping->frame->open != 0 && stepping->token == 0) {
        b->frame = stepping->frame;
        b->value = NULL;
        b->call = &b->frame->call;
        b->resume = &b->frame->work;
        return true;
    }
    b->frame = NULL;
    b->value = take_record(b->self->worker, kind, place);
    if (wf_unlikely(b->value == NULL)) {
        return refuse(b, -ENOMEM);
    }
    b->call = &b->value->call;
    b->resume = NULL;
    return true;
}

/* Numbers of one worker, which no other gives. */
static uint64_t next_token(struct wf_worker *worker)
{
    return ++worker->serial * WF_WORKERS_MAX + worker->index;
}

weft_val wf_v_end(struct wf_begun *b, ssize_t rc)
{
    if (rc != WF_PENDING) {
        if (b->value != NULL) {
            give_record(b->value, wf_load_relaxed(&b->value->life), b->kind);
        }
        return wf_val_done(rc, b->place);
    }
    struct wf_env *env = b->self->env;
    wf_value_enlist(&b->call->wait, env->scope, env);
    weft_val val = {.place_ = b->place};
    if (b->value != NULL) {
        val.source_ = (uintptr_t)b->value;
        val.word_ = (int64_t)(wf_load_relaxed(&b->value->life) & ~WF_LIFE_FLAGS);
    } else {
        struct wf_stepping *stepping = wf_stepping_of(b->self);
        stepping->token = next_token(b->self->worker);
        val.source_ = WEFT_VAL_EMBEDDED_;
        val.word_ = (int64_t)stepping->token;
    }
    return val;
}

/* --- consume ---------------------------------------------------------------------------------- */

static WF_COLD int stale(const weft_val *val)
{
    static const weft_place nowhere = {"?", "?", 0, NULL};
    const weft_place *place = val->place_ != NULL ? val->place_ : &nowhere;
    wf_misuse("the value made at %s:%d was consumed already", place->file, place->line);
    return -ESTALE;
}

static struct wf_value *record_of(const weft_val *val)
{
    return (struct wf_value *)val->source_; // NOLINT(performance-no-int-to-ptr): tagged
}

static bool is_record(const weft_val *val)
{
    return val->source_ > WEFT_VAL_EMBEDDED_;
}

/* The frame that is being stepped here and has the pending operation in itself; or NULL. */
static struct wf_stepping *embedded_in(const weft_val *val)
{
    if (val->source_ != WEFT_VAL_EMBEDDED_) {
        return NULL;
    }
    struct wf_fiber *self = wf_peek_task();
    struct wf_stepping *stepping = self != NULL ? wf_stepping_of(self) : NULL;
    return stepping != NULL && stepping->token == (uint64_t)val->word_ ? stepping : NULL;
}

/* 0, -ESTALE (without a word), -EBUSY. */
static int take_life(struct wf_value *value, uint64_t number)
{
    uint64_t life = wf_load_relaxed(&value->life);
    while ((life & ~WF_LIFE_FLAGS) == number && (life & WF_LIFE_STATE) == WF_LIFE_PENDING) {
        /* ends: the other bits are set once */
        if (wf_cas_relaxed(&value->life, &life, life - WF_LIFE_PENDING + WF_LIFE_TAKEN)) {
            return 0;
        }
    }
    bool waited_for = (life & ~WF_LIFE_FLAGS) == number && (life & WF_LIFE_STATE) == WF_LIFE_TAKEN;
    return waited_for ? -EBUSY : -ESTALE;
}

int wf_value_take(weft_val *val, struct wf_value **out)
{
    if (!is_record(val)) {
        return stale(val); /* consumed; or embedded, in a frame that has it no more */
    }
    struct wf_value *value = record_of(val);
    int rc = take_life(value, (uint64_t)val->word_);
    if (rc == -EBUSY) {
        return rc;
    }
    val->source_ = 0;
    if (rc < 0) {
        return stale(val);
    }
    *out = value;
    return 0;
}

bool wf_value_end(struct wf_value *value, ssize_t *result)
{
    struct wf_call *call = &value->call;
    wf_wait_delist(&call->wait);
    *result = call->wait.ops->finish(call);
    if (call->wait.ops->again != NULL && call->wait.ops->again(call, *result)) {
        return false;
    }
    release_record(value);
    return true;
}

static ssize_t await_record(struct wf_fiber *self, struct wf_value *value)
{
    struct wf_wait *wait = &value->call.wait;
    ssize_t result;
    do { /* ends: see the operations that are begun again, file.c */
        if (wf_wait_outcome(wait) == WF_WAIT_SETUP) {
            wf_wait_delist(wait); /* from now on it is ours, and ends with our scope */
            wait->resume = &self->resume;
            if (wf_wait_enlist(wait, self->env) < 0) {
                wait->ops->cancel(wait);
            }
            (void)wf_wait_block(self, wait);
        } else {
            wf_spend_budget(self);
        }
    } while (!wf_value_end(value, &result));
    return result;
}

/* Of the frame that is being stepped here, which awaits it as a task would. */
static ssize_t await_embedded(struct wf_fiber *self, struct wf_stepping *stepping)
{
    struct wf_call *call = &stepping->frame->call;
    call->wait.resume = &self->resume;
    (void)wf_wait_block(self, &call->wait);
    wf_wait_delist(&call->wait);
    stepping->token = 0;
    return call->wait.ops->finish(call);
}

int64_t weft_val_await_slow_(weft_val *val)
{
    if (wf_unlikely(wf_forked)) {
        return -ENOSYS;
    }
    if (val->source_ == 0) {
        return stale(val);
    }
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    struct wf_stepping *stepping = embedded_in(val);
    if (stepping != NULL) {
        val->source_ = 0;
        return await_embedded(self, stepping);
    }
    struct wf_value *value = NULL;
    rc = wf_value_take(val, &value);
    return rc < 0 ? rc : await_record(self, value);
}

int weft_val_ready_slow_(const weft_val *val)
{
    if (wf_unlikely(wf_forked)) {
        return -ENOSYS;
    }
    struct wf_stepping *stepping = embedded_in(val);
    if (stepping != NULL) {
        return wf_wait_outcome(&stepping->frame->call.wait) > WF_WAIT_ARMED;
    }
    if (!is_record(val)) {
        return -ESTALE;
    }
    struct wf_value *value = record_of(val);
    bool ended = wf_wait_outcome(&value->call.wait) > WF_WAIT_ARMED; /* readable in any case: G.2 */
    uint64_t life = wf_load_relaxed(&value->life);
    if ((life & ~WF_LIFE_FLAGS) != (uint64_t)val->word_) {
        return -ESTALE;
    }
    switch (life & WF_LIFE_STATE) {
    case WF_LIFE_PENDING:
        return ended;
    case WF_LIFE_TAKEN:
        return -EBUSY;
    default:
        return -ESTALE;
    }
}

/* --- drop ------------------------------------------------------------------------------------- */

void wf_value_discard(struct wf_call *call)
{
    struct wf_fiber *self = wf_self();
    struct wf_env *env = self != NULL ? self->env : NULL;
    if (env != NULL) {
        wf_env_enter_none(self); /* what comes with the result (a record) is for no task */
    }
    ssize_t result = call->wait.ops->finish(call);
    if (call->wait.ops->discard != NULL) {
        call->wait.ops->discard(call, result);
    }
    if (env != NULL) {
        self->env = env;
    }
    /* Last: as long as it is enlisted the scope does not end, nor go away what the call names. A
     * cancellation that finds it there meanwhile comes too late and does nothing. */
    wf_wait_delist(&call->wait);
}

/* A taken record whose wait has ended, and whose result nobody wants. */
static void discard(struct wf_value *value)
{
    wf_value_discard(&value->call);
    release_record(value);
}

static void end_dropped(struct wf_value *value)
{
    struct wf_scope *scope = value->call.wait.env->scope;
    bool held = (wf_load_relaxed(&value->life) & WF_LIFE_STATE) == WF_LIFE_DROPPED;
    (void)wf_add_relaxed(&wf_scope_runtime(scope)->values_dropped, 1); /* relaxed: a counter */
    discard(value);
    if (held) {
        wf_scope_leave(scope);
    }
}

void wf_value_run(struct wf_fiber *self, struct wf_work *work)
{
    (void)self;
    end_dropped(wf_container_of(work, struct wf_value, work));
}

struct wf_pool *wf_value_pool(struct wf_work *work)
{
    struct wf_value *value = wf_container_of(work, struct wf_value, work);
    return wf_scope_runtime(value->call.wait.env->scope)->pool;
}

/* Keeps the scope from ending. False: it is about to end, and its owner collects what it finds. */
static bool hold_locked(struct wf_scope *scope)
{
    uint64_t live = wf_load_relaxed(&scope->live);           /* a guess for the compare-and-swap */
    while (live != 0 && (live & WF_SCOPE_ENDED) == 0) {      /* ends: others' changes are bounded */
        if (wf_cas_relaxed(&scope->live, &live, live + 1)) { /* relaxed: as in wf_scope_enter */
            return true;
        }
    }
    return false;
}

static void drop(struct wf_value *value)
{
    struct wf_wait *wait = &value->call.wait;
    struct wf_scope *scope = wait->env->scope;
    wf_lock(&scope->lock);
    if (hold_locked(scope)) {
        (void)wf_add_relaxed(&value->life, WF_LIFE_DROPPED - WF_LIFE_TAKEN);
    }
    value->work.run = wf_value_run;
    wait->resume = &value->work;
    wait->ops->cancel(wait);
    wf_unlock(&scope->lock);
    if (!wf_wait_arm(wait)) {        /* else LAST TOUCH */
        (void)wf_wait_outcome(wait); /* acquires the result: a failed arm does not */
        end_dropped(value);
    }
}

static int drop_record(weft_val *val)
{
    struct wf_value *value = NULL;
    int rc = wf_value_take(val, &value);
    if (rc == 0) {
        drop(value);
    }
    return rc;
}

int weft_val_drop_slow_(weft_val *val)
{
    if (wf_unlikely(wf_forked)) {
        return -ENOSYS;
    }
    struct wf_stepping *stepping = embedded_in(val);
    if (stepping != NULL) {
        val->source_ = 0;
        wf_frame_drop_own(stepping);
        return 0;
    }
    if (!is_record(val)) {
        return stale(val);
    }
    struct wf_pool *pool = visit_pool(record_of(val));
    int rc = drop_record(val);
    left_pool(pool);
    return rc;
}

/* --- the end of a scope ----------------------------------------------------------------------- */

/* The first record in the list that nobody has taken is taken, out of the scope, and cancelled. */
static struct wf_value *collect_one_locked(struct wf_list *waits)
{
    struct wf_list *node = waits->next;
    while (node != waits) { /* ends: the list is under our lock */
        struct wf_wait *wait = wf_container_of(node, struct wf_wait, in_scope);
        struct wf_value *value = value_of_wait(wait);
        node = node->next;
        if (wait->resume == NULL &&
            take_life(value, wf_load_relaxed(&value->life) & ~WF_LIFE_FLAGS) == 0) {
            wf_list_unlink(&wait->in_scope);
            wait->env = NULL;
            wait->ops->cancel(wait);
            return value;
        }
    }
    return NULL;
}

/* The same, of the whole scope; NULL with *more: others are still at theirs. */
static struct wf_value *collect_one(struct wf_scope *scope, bool *more)
{
    wf_lock(&scope->lock);
    *more = !wf_list_is_empty(&scope->waits) || !wf_list_is_empty(&scope->ended);
    struct wf_value *taken = collect_one_locked(&scope->waits);
    taken = taken != NULL ? taken : collect_one_locked(&scope->ended);
    wf_unlock(&scope->lock);
    return taken;
}

static void report_left_over(const struct wf_value *value, struct wf_scope *scope)
{
    (void)wf_add_relaxed(&wf_scope_runtime(scope)->values_dropped, 1); /* relaxed: a counter */
    wf_misuse("the value made at %s:%d was not consumed in the scope opened at %s:%d",
              value->place->file, value->place->line, scope->place->file, scope->place->line);
}

void wf_values_collect(struct wf_fiber *self, struct wf_scope *scope)
{
    bool more = true;
    while (more) { /* ends: nobody begins anything in this scope any more */
        struct wf_value *value = collect_one(scope, &more);
        if (value != NULL) {
            report_left_over(value, scope);
            value->call.wait.resume = &self->resume;
            (void)wf_wait_block(self, &value->call.wait);
            discard(value);
        } else if (more) {
            /* one that was dropped, and completes; or whose consumer is about to take it out */
            wf_yield(self);
        }
    }
}

struct root_collection {
    struct wf_work work;
    struct weft_rt *rt;
    WF_ATOMIC(uint32_t) done; /* futex word */
};

static void collect_root(struct wf_fiber *self, struct wf_work *work)
{
    struct root_collection *collection = wf_container_of(work, struct root_collection, work);
    self->env = &collection->rt->root.env;
    wf_values_collect(self, &collection->rt->root);
    self->env = NULL;
    /* sync(value.collected): release, all that was collected; pairs sync(value.collect). LAST TOUCH
     * but for the address, as in settle_called. */
    wf_store_release(&collection->done, 1);
    (void)wf_sys.futex_wake(&collection->done, 1);
}

void wf_values_collect_root(struct weft_rt *rt)
{
    wf_lock(&rt->root.lock);
    bool any = !wf_list_is_empty(&rt->root.waits) || !wf_list_is_empty(&rt->root.ended);
    wf_unlock(&rt->root.lock);
    if (!any) {
        return;
    }
    struct root_collection collection = {.work = {.run = collect_root}, .rt = rt};
    wf_ready_foreign(rt->pool, &collection.work);
    /* sync(value.collect): acquire, as above; pairs sync(value.collected) */
    while (wf_load_acquire(&collection.done) == 0) { /* ends: what is cancelled ends */
        (void)wf_sys.futex_wait(&collection.done, 0, INT64_MAX);
    }
}

/* --- values that are completed by hand -------------------------------------------------------- */

int weft_promise_new_(weft_promise *promise, weft_val *val, const weft_place *place)
{
    struct wf_begun b;
    *promise = (weft_promise){0};
    if (!wf_v_begin(&b, WF_V_POOLED, place)) {
        *val = b.val;
        return (int)b.val.word_;
    }
    wf_wait_init(&b.call->wait, b.resume, &promise_ops);
    *val = wf_v_end(&b, WF_PENDING);
    *promise = (weft_promise){val->source_, val->word_};
    return 0;
}

/* The setter's exclusive right, and the record stays until it unpins. */
static int pin(struct wf_value *value, uint64_t number)
{
    uint64_t life = wf_load_relaxed(&value->life);
    while ((life & ~WF_LIFE_FLAGS) == number && (life & WF_LIFE_STATE) != WF_LIFE_FREE) {
        if ((life & WF_LIFE_SET) != 0) {
            return -EALREADY;
        }
        /* ends: the state changes a bounded number of times */
        if (wf_cas_relaxed(&value->life, &life, life | WF_LIFE_SET | WF_LIFE_PINNED)) {
            return 0;
        }
    }
    return -ESTALE;
}

static void unpin(struct wf_value *value)
{
    /* sync(value.unpin): acq_rel, of owner and setter the one who comes last sees the other's last
     * touch; pairs sync(value.release) */
    uint64_t life = wf_sub_acq_rel(&value->life, WF_LIFE_PINNED);
    if ((life & WF_LIFE_GONE) != 0) {
        give_record(value, life, WF_V_CALL);
    }
}

/* The record is pinned. */
static int complete(struct wf_value *value, int64_t result, weft_error *error)
{
    wf_plain_write(&value->call.result, result);
    value->call.error = error;
    bool won = wf_wait_claim(&value->call.wait, WF_WAIT_GRANTED);
    unpin(value); /* LAST TOUCH */
    if (!won) {
        wf_error_free(error);
    }
    return won ? 0 : -ECANCELED;
}

static struct wf_value *promise_record(const weft_promise *promise)
{
    return (struct wf_value *)promise->source_; // NOLINT(performance-no-int-to-ptr)
}

int wf_promise_set(const weft_promise *promise, int64_t result, weft_error *error)
{
    struct wf_value *value = promise_record(promise);
    int rc = value != NULL ? pin(value, (uint64_t)promise->word_) : -ESTALE;
    if (rc < 0) {
        wf_error_free(error);
        return rc;
    }
    return complete(value, result, error);
}

int weft_promise_set(const weft_promise *promise, int64_t result)
{
    if (wf_unlikely(wf_forked)) {
        return -ENOSYS;
    }
    if (promise->source_ == 0) {
        return -ESTALE;
    }
    struct wf_pool *pool = visit_pool(promise_record(promise));
    int rc = wf_promise_set(promise, result, NULL);
    left_pool(pool);
    return rc;
}

/* --- the value of a frame's end --------------------------------------------------------------- */

struct wf_value *wf_value_new_pinned(struct wf_scope *scope, weft_val *val, const weft_place *place)
{
    weft_promise promise;
    if (weft_promise_new_(&promise, val, place) < 0) {
        return NULL;
    }
    struct wf_value *value = record_of(val);
    (void)pin(value, (uint64_t)val->word_); /* nobody else has it yet */
    value->call.scope = scope;
    return value;
}

void wf_value_complete(struct wf_value *value, int64_t result, weft_error *error)
{
    (void)complete(value, result, error);
}
