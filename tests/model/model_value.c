/* model_value.c: once-only values (src/value.c itself): completing against awaiting, dropping and
 * cancelling; a stale value and a late setter against the next life of the record; two consumers at
 * once; the end of the scope against a consumer elsewhere.
 *
 * The slab is a list of records under a hand-off with an order, as the pool's is; a fiber is a word
 * that resumes it and a plain word that stands for its saved context, as in model_wait.c; enlisting
 * and blocking are those of src/await.c, written out again. `result` is the plain field that stands
 * for a record's contents: a race on it is a record that two lives touch at once. */
#include "src/value.c"

#include "tests/model/await.h"
#include "tests/model/wloom.h"
#include <string.h>

/* --- what the source calls -------------------------------------------------------------------- */

struct wf_sys wf_sys;
static int misuses; /* not modelled: the checker is one thread */

void wf_misuse(const char *format, ...)
{
    (void)format;
    misuses++;
}

void wf_frame_drop_own(struct wf_stepping *stepping)
{
    (void)stepping;
}

void wf_ready_foreign(struct wf_pool *pool, struct wf_work *work)
{
    (void)pool;
    (void)work;
}

/* --- records ---------------------------------------------------------------------------------- */

#define RECORDS 2

static struct wf_value records[RECORDS];
static WF_ATOMIC(uint32_t) given[RECORDS]; /* hand-offs: the slab's own order */
static int times_given[RECORDS];
static int taking; /* the record that the slab gives next */

void *wf_slab_take(struct wf_slab *slab)
{
    (void)slab;
    return &records[taking];
}

/* Foreign threads' visits to the pool are not modelled: what is called here is inside of them. */
struct wf_slab *wf_slab_owner(const void *object)
{
    (void)object;
    return NULL;
}

void wf_slab_give(struct wf_slab *mine, void *object)
{
    (void)mine;
    int i = (int)((struct wf_value *)object - records);
    wloom_assert(++times_given[i] == 1);
    wloom_handoff_set(&given[i]);
}

/* --- fibers, a scope -------------------------------------------------------------------------- */

#define FIBERS 3

static struct actor {
    struct wf_fiber fiber;
    WF_PLAIN(int) context; /* 1: saved */
    WF_ATOMIC(uint32_t) ready;
    int resumed;
    struct wf_env env;
} actors[FIBERS];
static struct wf_scope scope, elsewhere;
static struct wf_task owner;
static struct weft_rt rt;
static struct wf_worker worker;
static WF_ATOMIC(uint32_t) left; /* somebody has taken a wait out of a scope */
static WF_ATOMIC(uint32_t) dropped_ready;
static int scope_left;

void wf_wait_resume(struct wf_work *resume)
{
    if (resume->run == wf_value_run) {
        wloom_handoff_set(&dropped_ready); /* a worker will run it */
        return;
    }
    struct actor *actor = wf_container_of(resume, struct actor, fiber.resume);
    wloom_assert(wf_plain_read(&actor->context) == 1);
    wloom_assert(++actor->resumed == 1);
    wloom_handoff_set(&actor->ready);
}

int wf_wait_enlist(struct wf_wait *wait, struct wf_env *env)
{
    wf_lock(&env->scope->lock);
    bool cancelled = wf_env_cancelled(env) != 0;
    if (!cancelled) {
        wf_list_push_back(&env->scope->waits, &wait->in_scope);
        wait->env = env;
    }
    wf_unlock(&env->scope->lock);
    return cancelled ? -ECANCELED : 0;
}

void wf_wait_delist(struct wf_wait *wait)
{
    struct wf_env *env = wait->env;
    if (env == NULL) {
        return;
    }
    wf_lock(&env->scope->lock);
    wf_list_unlink(&wait->in_scope);
    wf_unlock(&env->scope->lock);
    wait->env = NULL;
    wloom_handoff_set(&left);
}

enum wf_wait_state wf_wait_block(struct wf_fiber *self, struct wf_wait *wait)
{
    struct actor *me = wf_container_of(self, struct actor, fiber);
    if (wf_wait_outcome(wait) == WF_WAIT_SETUP) {
        wf_plain_write(&me->context, 1);
        if (wf_wait_arm(wait)) {
            wloom_handoff_wait(&me->ready);
        }
    }
    wloom_assert(wf_wait_outcome(wait) > WF_WAIT_ARMED);
    return wf_wait_outcome(wait);
}

/* The end of a scope waits for others to be through. */
void wf_yield(struct wf_fiber *self)
{
    (void)self;
    wloom_handoff_wait(&left);
}

void wf_scope_leave(struct wf_scope *s)
{
    (void)s;
    scope_left++;
}

static void begin_scope(struct wf_scope *s)
{
    wf_list_init(&s->waits);
    wf_list_init(&s->ended);
    s->env.scope = s;
    s->env.task = &owner;
    s->parent = &elsewhere;
    wf_store_relaxed(&s->live, 1);
}

static const weft_place somewhere = {"model", "model", 1, NULL};

static weft_val val;
static weft_promise promise;

/* A pending value, as weft_promise_new makes it. */
static struct wf_value *begin_value(weft_val *out, struct wf_scope *in)
{
    struct wf_value *value = take_record(&worker, WF_V_POOLED, &somewhere);
    wf_wait_init(&value->call.wait, NULL, &promise_ops);
    wf_plain_write(&value->call.result, -1);
    wf_value_enlist(&value->call.wait, in, &in->env);
    out->source_ = (uintptr_t)value;
    out->word_ = (int64_t)(wf_load_relaxed(&value->life) & ~WF_LIFE_FLAGS);
    out->place_ = &somewhere;
    return value;
}

static void begin(void)
{
    memset(records, 0, sizeof records);
    memset(times_given, 0, sizeof times_given);
    memset(given, 0, sizeof given);
    memset(actors, 0, sizeof actors);
    memset(&scope, 0, sizeof scope);
    memset(&elsewhere, 0, sizeof elsewhere);
    memset(&rt, 0, sizeof rt);
    memset(&left, 0, sizeof left);
    memset(&dropped_ready, 0, sizeof dropped_ready);
    misuses = scope_left = taking = 0;
    owner.rt = &rt;
    scope.place = elsewhere.place = &somewhere;
    begin_scope(&scope);
    begin_scope(&elsewhere);
    for (int i = 0; i < FIBERS; i++) {
        actors[i].env = (struct wf_env){.task = &owner, .scope = &elsewhere};
        actors[i].fiber.env = &actors[i].env;
    }
    (void)begin_value(&val, &scope);
    promise = (weft_promise){val.source_, val.word_};
}

/* --- who does what ---------------------------------------------------------------------------- */

static int64_t results[FIBERS];
static int set_rc;

/* As weft_val_await of a copy. */
static void consume(void *arg)
{
    int i = (int)(intptr_t)arg;
    weft_val copy = val;
    struct wf_value *value = NULL;
    results[i] = wf_value_take(&copy, &value);
    if (results[i] == 0) {
        results[i] = await_record(&actors[i].fiber, value);
    }
}

static void set(void *arg)
{
    (void)arg;
    set_rc = wf_promise_set(&promise, 42, NULL);
}

static void cancel(void *arg)
{
    struct wf_scope *s = arg;
    wf_lock(&s->lock);
    wf_store_relaxed(&s->cancel, WF_CANCEL_FIRED);
    for (struct wf_list *node = s->waits.next; node != &s->waits; node = node->next) {
        struct wf_wait *wait = wf_container_of(node, struct wf_wait, in_scope);
        wait->ops->cancel(wait);
    }
    wf_unlock(&s->lock);
}

/* The record was given back once, and nothing is left of the operation. */
static void check_given(void)
{
    wloom_observe(true);
    wloom_assert(times_given[0] == 1);
    wloom_assert(wf_list_is_empty(&scope.waits) && wf_list_is_empty(&elsewhere.waits));
    wloom_assert(wf_load_relaxed(&records[0].life) == WF_LIFE_NEXT);
}

/* However long the setter is still at the record. */
static void check_stale(void)
{
    weft_val copy = val;
    wloom_assert(weft_val_ready_slow_(&copy) == -ESTALE);
    wloom_assert(drop_record(&copy) == -ESTALE);
}

static void completed_while_awaited(void)
{
    begin();
    wloom_spawn(set, NULL);
    consume(0);
    check_stale();
    wloom_join_all();
    wloom_assert(results[0] == 42 && set_rc == 0);
    check_given();
}

static void completed_or_cancelled_while_awaited(void)
{
    begin();
    wloom_spawn(set, NULL);
    wloom_spawn(cancel, &scope);
    wloom_spawn(cancel, &elsewhere);
    consume(0);
    wloom_join_all();
    wloom_assert(results[0] == 42
                     ? set_rc == 0
                     : results[0] == -ECANCELED && (set_rc == -ECANCELED || set_rc == -ESTALE));
    check_given();
}

static void two_consumers_at_once(void)
{
    begin();
    wloom_spawn(consume, (void *)1);
    wloom_spawn(set, NULL);
    consume(0);
    wloom_join_all();
    int winner = results[0] == 42 ? 0 : 1;
    wloom_assert(results[winner] == 42);
    wloom_assert(results[1 - winner] == -EBUSY || results[1 - winner] == -ESTALE);
    check_given();
}

static void two_setters_at_once(void)
{
    begin();
    wloom_spawn(set, NULL);
    int rc = wf_promise_set(&promise, 42, NULL);
    wloom_join_all();
    wloom_assert((rc == 0 && set_rc == -EALREADY) || (set_rc == 0 && rc == -EALREADY));
    consume(0);
    wloom_assert(results[0] == 42);
    check_given();
}

static void dropped_while_completed(void)
{
    begin();
    wloom_spawn(set, NULL);
    weft_val copy = val;
    wloom_assert(drop_record(&copy) == 0);
    check_stale();
    wloom_join_all();
    wloom_assert(set_rc == 0 || set_rc == -ECANCELED || set_rc == -ESTALE);
    check_given();
    wloom_assert(scope_left == 1 && wf_load_relaxed(&scope.live) == 2);
}

/* A kind whose cancellation only asks: the drop arms it, whoever completes it ends it. */
static void ask(struct wf_wait *wait)
{
    (void)wait;
}

static const struct wf_wait_ops slow_ops = {.cancel = ask, .finish = promise_finish};

static void complete_slow(void *arg)
{
    (void)arg;
    wf_plain_write(&records[0].call.result, 42);
    (void)wf_wait_claim(&records[0].call.wait, WF_WAIT_GRANTED);
}

static void dropped_and_completed_later(void)
{
    begin();
    records[0].call.wait.ops = &slow_ops;
    wloom_spawn(complete_slow, NULL);
    wloom_assert(drop_record(&val) == 0);
    if (scope_left == 0) {
        wloom_handoff_wait(&dropped_ready);
        wf_value_run(NULL, &records[0].work);
    }
    wloom_join_all();
    check_given();
    wloom_assert(scope_left == 1);
}

static void dropped_and_consumed_at_once(void)
{
    begin();
    cancel(&elsewhere);
    wloom_spawn(consume, (void *)1);
    weft_val copy = val;
    int rc = drop_record(&copy);
    wloom_join_all();
    wloom_assert(rc == 0 ? results[1] == -EBUSY || results[1] == -ESTALE || results[1] == -ECANCELED
                         : rc == -EBUSY || rc == -ESTALE);
}

static weft_val next;

/* Consumes the value, and has the record live again. */
static void consume_and_begin_anew(void)
{
    cancel(&scope);
    consume(0);
    wloom_handoff_wait(&given[0]);
    times_given[0] = 0;
    (void)begin_value(&next, &scope);
}

/* The second life must be untouched. */
static void check_next(void)
{
    wloom_observe(true);
    struct wf_value *value = &records[0];
    wloom_assert(wf_load_relaxed(&value->life) == ((uint64_t)next.word_ | WF_LIFE_PENDING));
    wloom_assert(times_given[0] == 0);
}

static void a_stale_consumer_never_takes_the_next_life(void)
{
    begin();
    cancel(&elsewhere);
    wloom_spawn(consume, (void *)1);
    consume(0);
    if (results[0] == -ECANCELED) {
        wloom_handoff_wait(&given[0]);
        times_given[0] = 0;
        (void)begin_value(&next, &scope);
    }
    wloom_join_all();
    wloom_assert(results[0] == -ECANCELED ? results[1] == -EBUSY || results[1] == -ESTALE
                                          : results[1] == -ECANCELED);
    if (results[0] == -ECANCELED) {
        check_next();
    }
}

static void a_late_setter_never_completes_the_next_life(void)
{
    begin();
    wloom_spawn(set, NULL);
    consume_and_begin_anew();
    wloom_join_all();
    wloom_assert(results[0] == (set_rc == 0 ? 42 : -ECANCELED));
    check_next();
}

static void end_scope(void *arg)
{
    (void)arg;
    wf_values_collect(&actors[2].fiber, &scope);
}

static void the_scope_ends_while_it_is_consumed_elsewhere(void)
{
    begin();
    wloom_spawn(end_scope, NULL);
    wloom_spawn(cancel, &elsewhere);
    consume(0);
    wloom_join_all();
    wloom_assert(results[0] == -ECANCELED || results[0] == -EBUSY || results[0] == -ESTALE);
    check_given();
}

static void drop_next(void *arg)
{
    (void)arg;
    wloom_assert(drop_record(&next) == 0);
}

static void check_two_dropped(void)
{
    wloom_observe(true);
    wloom_assert(times_given[0] == 1 && times_given[1] == 1);
    wloom_assert(wf_load_relaxed(&rt.values_dropped) == 2);
}

static void two_of_one_scope_are_dropped_at_once(void)
{
    begin();
    taking = 1;
    (void)begin_value(&next, &scope);
    wloom_spawn(drop_next, NULL);
    wloom_assert(drop_record(&val) == 0);
    wloom_join_all();
    check_two_dropped();
    wloom_assert(scope_left == 2 && wf_load_relaxed(&scope.live) == 3);
}

static void one_is_dropped_while_another_scope_ends(void)
{
    begin();
    taking = 1;
    (void)begin_value(&next, &elsewhere);
    wloom_spawn(drop_next, NULL);
    end_scope(NULL);
    wloom_join_all();
    check_two_dropped();
    wloom_assert(misuses == 1);
}

/* As wf_scope_enter by another thread. */
static void enter_scope(void *arg)
{
    (void)arg;
    (void)wf_add_relaxed(&scope.live, 1);
}

static void dropped_while_a_task_enters(void)
{
    begin();
    wloom_spawn(enter_scope, NULL);
    wloom_assert(drop_record(&val) == 0);
    wloom_join_all();
    check_given();
    wloom_assert(wf_load_relaxed(&scope.live) == 3); /* wf_scope_leave is not the model's */
}

static const struct wloom_scenario scenarios[] = {
    {"completed_while_awaited", completed_while_awaited, NULL, NULL, false},
    {"completed_or_cancelled_while_awaited", completed_or_cancelled_while_awaited, NULL, NULL,
     false},
    {"two_consumers_at_once", two_consumers_at_once, NULL, NULL, false},
    {"two_setters_at_once", two_setters_at_once, NULL, NULL, false},
    {"dropped_while_completed", dropped_while_completed, NULL, NULL, false},
    {"dropped_and_completed_later", dropped_and_completed_later, NULL, NULL, false},
    {"dropped_and_consumed_at_once", dropped_and_consumed_at_once, NULL, NULL, false},
    {"a_stale_consumer_never_takes_the_next_life", a_stale_consumer_never_takes_the_next_life, NULL,
     NULL, false},
    {"a_late_setter_never_completes_the_next_life", a_late_setter_never_completes_the_next_life,
     NULL, NULL, false},
    {"the_scope_ends_while_it_is_consumed_elsewhere", the_scope_ends_while_it_is_consumed_elsewhere,
     NULL, NULL, false},
    {"two_of_one_scope_are_dropped_at_once", two_of_one_scope_are_dropped_at_once, NULL, NULL,
     false},
    {"one_is_dropped_while_another_scope_ends", one_is_dropped_while_another_scope_ends, NULL, NULL,
     false},
    {"dropped_while_a_task_enters", dropped_while_a_task_enters, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"src/value.c", "src/wait.h", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "value",
        .scenarios = scenarios,
        .under_test = under_test,
    };
    return wloom_main(&harness, argc, argv);
}
