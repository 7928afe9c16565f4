/* foreach.c: a loop over many items with a bound on how many bodies run at once.
 *
 * A few long-lived *slots* pull items until there are no more: the caller is one, the others are
 * pooled tasks in the loop's own scope. No task and no permit per item. Slots are started one by
 * one: a slot that gets an item and sees that more may follow starts the next, so a loop of two
 * items starts one, and a loop whose bodies do not wait may end before a second worker has woken.
 *
 * Where items come from is a `struct source`: counted (an array, or the indices alone), asked in
 * turn (a function, a generator), or a channel, which its receivers share anyhow. What a source
 * copies out goes into the slot's frame, so that it lasts for the body and nothing is allocated.
 *
 * Local state. `slot_open` is called before the slot takes its first item, so that an item is never
 * lost because a slot could not be opened. The first slot's failure is the loop's. A later slot
 * that cannot be opened ends at once: those that run do the work, with one body less at a time. No
 * further one is tried, since a slot starts the next when it has an item.
 *
 * Errors. The first failure stops the taking of items and cancels the loop's scope, under which all
 * bodies run. What bodies then return is looked at in order of time: -ECANCELED after that is an
 * answer to the cancellation, not a failure. A cancellation from outside reaches the loop's scope
 * like any other; then taking stops too. */
#include "pool/base/check.h"
#include "src/core.h"
#include "src/guard.h"
#include <string.h>
#include <weft/gen.h>
#include <weft/par.h>

/* Items after which a slot that never waited lets others run: as for calls that did not wait. */
#define YIELD_EVERY WF_BUDGET

/* Items that count as a work done, to thieves who wonder whether to take the next slot from us:
 * with bodies of 125 ns and more they do (pool/light.h). Two workers at bodies of 5 ns wait for the
 * line with the next index, 50 ns an item. */
#define STEP_EVERY 8

#define ITEM_MAX WEFT_CHAN_ITEM_MAX /* largest item that is copied out */
_Static_assert(WEFT_GEN_ITEM_MAX <= ITEM_MAX, "a slot has room for any item");

/* Error records copied out if the caller does not say how many. */
#define ERRORS_DEFAULT 4

struct loop;

/* One strand of the loop, on its stack. */
struct slot {
    struct loop *loop;
    struct wf_fiber *self; /* the stack that it is on, whichever worker that is on */
    void *ctx;             /* the bodies' second argument: the loop's, or this slot's own state */
    uint64_t next, end;    /* of what is counted: taken and not run */
    void *item;            /* taken */
    void *storage;         /* ITEM_MAX bytes, if the source copies items out */
};

struct source {
    /* Takes the next item into slot->item: 1; 0: no more; -errno. */
    int (*take)(struct slot *slot);
    bool is_counted; /* all items are known beforehand */
    bool is_copied;  /* take needs slot->storage */
};

struct loop {
    /* immutable while slots run */
    const struct source *source;
    weft_each_fn *body;
    void *ctx;
    const weft_foreach_opts *opts;
    const weft_place *place;
    size_t chunk;
    size_t errors_max;
    weft_scope scope;

    /* any thread; atomic */
    WF_ATOMIC(uint64_t) next WF_ALIGNED(WF_LINE_PAIR);    /* index of the next item counted */
    WF_ATOMIC(uint32_t) stopped WF_ALIGNED(WF_LINE_PAIR); /* no more items are to be taken */
    WF_ATOMIC(uint32_t) slots_left;                       /* that may still be started */
    WF_ATOMIC(uint32_t) cut_short; /* items were left, or bodies interrupted, by a cancellation */

    weft_sem turn; /* one slot at a time asks the source */
    /* under lock */
    struct wf_lock lock;
    bool source_failed;
    size_t failed;               /* bodies */
    size_t errors;               /* copied out */
    struct wf_failures failures; /* of bodies, and of the source */
};

static int run_foreach_slot(void *loop);

/* --- results ---------------------------------------------------------------------------------- */

static void stop_taking(struct loop *loop)
{
    wf_store_relaxed(&loop->stopped, 1); /* relaxed: a slot that sees it late takes one more item */
}

/* Under the lock. A copy that needs nobody: what the record points at is not the caller's. */
static void copy_error_locked(struct loop *loop, const struct wf_task *task, int rc,
                              const weft_error *error)
{
    if (loop->errors == loop->errors_max) {
        return;
    }
    weft_error *copy = &loop->opts->errors[loop->errors++];
    *copy = error != NULL
                ? *error
                : (weft_error){.code = rc, .task = wf_task_name(task), .started = loop->place};
    copy->cause = NULL;
    copy->others = NULL;
    copy->next = NULL;
}

static WF_COLD void fail(struct loop *loop, int rc, bool of_source)
{
    struct wf_task *task = wf_self()->env->task;
    weft_error *error = wf_error_of(task, rc, wf_error_take(task));
    wf_lock(&loop->lock);
    if (of_source && loop->source_failed) { /* a channel's code comes to each of its receivers */
        wf_unlock(&loop->lock);
        wf_error_free(error);
        return;
    }
    loop->source_failed = loop->source_failed || of_source;
    loop->failed += !of_source;
    copy_error_locked(loop, task, rc, error);
    const weft_place *place = wf_error_place(error, loop->place);
    wf_failures_add(&loop->failures, rc, error);
    wf_unlock(&loop->lock);
    if (loop->opts->on_error == WEFT_FAILFAST) {
        stop_taking(loop);
        weft_reason reason = wf_reason(WEFT_WHY_FAILURE, "an item of the loop failed", place);
        (void)wf_scope_fire(wf_scope_of(&loop->scope), WF_CANCEL_FIRED, &reason);
    }
}

/* A body or the source has said `rc` < 0. */
static WF_COLD void settle(struct loop *loop, int rc, bool of_source)
{
    if (rc == -ECANCELED && wf_env_cancelled(wf_self()->env) != 0) {
        wf_store_relaxed(&loop->cut_short, 1); /* relaxed: read after the join */
    } else {
        fail(loop, rc, of_source);
    }
}

/* --- sources ---------------------------------------------------------------------------------- */

static int take_counted(struct slot *slot)
{
    struct loop *loop = slot->loop;
    const weft_foreach_opts *opts = loop->opts;
    if (slot->next == slot->end) {
        if (wf_load_relaxed(&loop->next) >= opts->count) {
            return 0;
        }
        /* Relaxed: the items were there before the loop began. */
        uint64_t first = wf_add_relaxed(&loop->next, loop->chunk);
        if (first >= opts->count) {
            return 0;
        }
        slot->next = first;
        slot->end = opts->count - first < loop->chunk ? opts->count : first + loop->chunk;
    }
    uint64_t index = slot->next++;
    if (opts->items == NULL) {
        slot->item = (void *)(uintptr_t)index; // NOLINT(performance-no-int-to-ptr): weft_index
    } else if (opts->stride != 0) {
        slot->item = (char *)opts->items + index * opts->stride;
    } else {
        slot->item = ((void **)opts->items)[index];
    }
    return 1;
}

static int ask_function(struct slot *slot)
{
    const weft_foreach_opts *opts = slot->loop->opts;
    return opts->next(opts->source, &slot->item);
}

static int ask_generator(struct slot *slot)
{
    slot->item = slot->storage;
    return weft_gen_next(slot->loop->opts->gen, slot->storage);
}

/* A slot was cancelled while it waited for an item. If there was none to wait for, it missed
 * nothing. */
static int unless_ended(struct loop *loop, int rc)
{
    return rc == -ECANCELED && wf_load_relaxed(&loop->stopped) != 0 ? 0 : rc; /* relaxed: a hint */
}

/* For sources that serve one at a time, and are not asked again when they have ended. */
static int take_in_turn(struct slot *slot, int (*ask)(struct slot *slot))
{
    struct loop *loop = slot->loop;
    int rc = weft_sem_acquire(&loop->turn);
    if (rc < 0) {
        return unless_ended(loop, rc);
    }
    /* relaxed: the semaphore orders us with the last turn */
    if (wf_load_relaxed(&loop->stopped) == 0) {
        rc = ask(slot);
        if (rc <= 0) {
            stop_taking(loop);
        }
    }
    (void)weft_sem_release(&loop->turn, 1);
    return rc;
}

static int take_from_function(struct slot *slot)
{
    return take_in_turn(slot, ask_function);
}

static int take_from_generator(struct slot *slot)
{
    return take_in_turn(slot, ask_generator);
}

static int take_from_channel(struct slot *slot)
{
    slot->item = slot->storage;
    return unless_ended(slot->loop, weft_chan_recv(slot->loop->opts->chan, slot->storage));
}

static const struct source counted = {.take = take_counted, .is_counted = true};
static const struct source function = {.take = take_from_function};
static const struct source generator = {.take = take_from_generator, .is_copied = true};
static const struct source channel = {.take = take_from_channel, .is_copied = true};

/* The one that the options name; NULL: none, or more than one, or an array that is not there. */
static const struct source *source_of(const weft_foreach_opts *opts)
{
    int named =
        (opts->items != NULL) + (opts->next != NULL) + (opts->gen != NULL) + (opts->chan != NULL);
    if (named > 1) {
        return NULL;
    }
    if (opts->next != NULL) {
        return &function;
    }
    if (opts->gen != NULL) {
        return &generator;
    }
    if (opts->chan != NULL) {
        return &channel;
    }
    bool is_missing = opts->items == NULL && opts->stride != 0 && opts->count != 0;
    return is_missing ? NULL : &counted;
}

/* Is there anything left, as far as is known? A cancel that comes after the last item changes
 * nothing. */
static bool is_left(const struct slot *slot)
{
    struct loop *loop = slot->loop;
    if (!loop->source->is_counted) {
        return wf_load_relaxed(&loop->stopped) == 0;
    }
    return slot->next != slot->end || wf_load_relaxed(&loop->next) < loop->opts->count;
}

static bool take(struct slot *slot)
{
    struct loop *loop = slot->loop;
    if (wf_unlikely(wf_env_cancelled(slot->self->env) != 0)) {
        if (is_left(slot)) {
            wf_store_relaxed(&loop->cut_short, 1); /* relaxed: read after the join */
        }
        return false;
    }
    if (wf_load_relaxed(&loop->stopped) != 0) {
        return false;
    }
    /* the common one without the indirect call: 1 ns of 5 */
    int rc = loop->source == &counted ? take_counted(slot) : loop->source->take(slot);
    if (wf_likely(rc > 0)) {
        return true;
    }
    if (!loop->source->is_counted) { /* else others may have some of their chunk left */
        stop_taking(loop);
    }
    if (rc < 0) {
        settle(loop, rc, true);
    }
    return false;
}

/* --- slots ------------------------------------------------------------------------------------ */

/* One more slot, if there may be one. Refused (no memory): the slots that are there do the work. */
static void start_slot(struct loop *loop)
{
    uint32_t left = wf_load_relaxed(&loop->slots_left); /* a guess for the compare-and-swap */
    while (left > 0) {
        if (wf_cas_relaxed(&loop->slots_left, &left, left - 1)) { /* relaxed: only a count */
            (void)weft_go_(&loop->scope, run_foreach_slot, &loop, sizeof loop, loop->place);
            return;
        }
    }
}

static void run_items(struct slot *slot)
{
    struct loop *loop = slot->loop;
    bool alone = true;
    uint32_t budget = YIELD_EVERY;
    while (take(slot)) { /* ends: no more items, a failure, or a cancellation */
        if (alone) {
            alone = false;
            start_slot(loop);
        }
        int rc = loop->body(slot->item, slot->ctx);
        if (wf_unlikely(rc < 0)) {
            settle(loop, rc, false);
        }
        if (--budget % STEP_EVERY == 0) {
            wf_deque_step(&slot->self->worker->deque);
            if (budget == 0) {
                budget = YIELD_EVERY;
                (void)weft_yield(); /* cancelled: the next take sees it */
            }
        }
    }
}

static WF_NOINLINE void run_items_copied(struct slot *slot)
{
    WF_ALIGNED(16) unsigned char storage[ITEM_MAX]; /* aligned as malloc would */
    slot->storage = storage;
    run_items(slot);
}

static void run_slot(struct slot *slot)
{
    if (slot->loop->source->is_copied) {
        run_items_copied(slot);
    } else {
        run_items(slot);
    }
}

/* A slot with a state of its own, in a scope of its own. Its failure to open is the loop's if it is
 * the first. */
static WF_NOINLINE void run_slot_opened(struct slot *slot, bool first)
{
    struct loop *loop = slot->loop;
    const weft_foreach_opts *opts = loop->opts;
    WF_ALIGNED(16) unsigned char local[WEFT_SLOT_BYTES_MAX];
    weft_scope scope;
    weft_scope_begin_(&scope, &(weft_scope_opts){.on_error = WEFT_CONTINUE}, loop->place);
    (void)memset(local, 0, opts->slot_bytes);
    slot->ctx = opts->slot_bytes > 0 ? local : NULL;
    int rc = opts->slot_open != NULL ? opts->slot_open(&slot->ctx, loop->ctx) : 0;
    if (rc >= 0) {
        run_slot(slot);
        if (opts->slot_close != NULL) {
            opts->slot_close(slot->ctx, loop->ctx);
        }
    } else if (first) { /* and so the only one */
        settle(loop, rc, true);
    } else {
        weft_forget();
    }
    rc = weft_scope_end_(&scope, loop->place);
    if (wf_scope_of(&scope)->failures.first_rc < 0) { /* of continuations that bodies made */
        fail(loop, rc, false);
    }
}

static void run(struct loop *loop, bool first)
{
    struct slot slot = {.loop = loop, .self = wf_self(), .ctx = loop->ctx};
    if (loop->opts->slot_open != NULL || loop->opts->slot_bytes > 0) {
        run_slot_opened(&slot, first);
    } else {
        run_slot(&slot);
    }
}

/* A slot's task. Its argument is a copy of the pointer to the loop. */
static int run_foreach_slot(void *arg)
{
    run(*(struct loop **)arg, false);
    return 0;
}

/* --- the loop --------------------------------------------------------------------------------- */

static bool is_valid(const weft_foreach_opts *opts)
{
    bool collects = opts->on_error == WEFT_COLLECT;
    return source_of(opts) != NULL && opts->max >= 0 && opts->slot_bytes <= WEFT_SLOT_BYTES_MAX &&
           collects == (opts->errors != NULL) &&
           (opts->slot_close == NULL || opts->slot_open != NULL);
}

/* No more than there are items, so that the index of the next item cannot wrap. */
static size_t chunk_of(const weft_foreach_opts *opts)
{
    size_t chunk = opts->chunk > 0 ? opts->chunk : 1;
    return chunk > opts->count && opts->count > 0 ? opts->count : chunk;
}

static uint32_t slot_count(struct wf_fiber *self, const struct loop *loop)
{
    const weft_foreach_opts *opts = loop->opts;
    uint64_t slots =
        opts->max > 0 ? (uint64_t)opts->max : (uint64_t)self->worker->pool->worker_count;
    if (loop->source->is_counted && slots > opts->count) {
        slots = opts->count;
    }
    return (uint32_t)slots;
}

static int run_loop(struct wf_fiber *self, struct loop *loop)
{
    weft_sem_init(&loop->turn, 1, 1);
    wf_scope_open(self, wf_scope_of(&loop->scope), WEFT_CONTINUE, WEFT_FOREVER, loop->place);
    WF_GUARDED(run(loop, true)); /* bodies, source and slots' functions; other slots are tasks */
    wf_scope_close(self, wf_scope_of(&loop->scope));
    weft_sem_fini(&loop->turn);
    struct wf_failures *others = &wf_scope_of(&loop->scope)->failures; /* of continuations */
    if (loop->failures.first_rc < 0) {
        wf_fault_scope(wf_runtime_of(self), others);
    } else {
        loop->failures = *others;
    }
    if (loop->failures.first_rc < 0) {
        wf_error_hand_on(self->env->task, wf_failures_take(&loop->failures), loop->place);
        return loop->failures.first_rc;
    }
    return wf_load_relaxed(&loop->cut_short) != 0 ? -ECANCELED : 0; /* relaxed: after the join */
}

static void report(const struct loop *loop)
{
    if (loop->opts->next_done != NULL) {
        WF_GUARDED(loop->opts->next_done(loop->opts->source));
    }
    if (loop->opts->failed != NULL) {
        *loop->opts->failed = loop->failed;
    }
}

int weft_foreach_(weft_each_fn *body, void *ctx, const weft_foreach_opts *opts,
                  const weft_place *place)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    static const weft_foreach_opts defaults; /* no item */
    opts = opts != NULL ? opts : &defaults;
    if (!is_valid(opts)) {
        return -EINVAL;
    }
    struct loop loop = {.source = source_of(opts),
                        .body = body,
                        .ctx = ctx,
                        .opts = opts,
                        .place = place,
                        .chunk = chunk_of(opts)};
    if (opts->on_error == WEFT_COLLECT) {
        loop.errors_max = opts->errors_max > 0 ? opts->errors_max : ERRORS_DEFAULT;
    }
    uint32_t slots = slot_count(self, &loop);
    wf_store_relaxed(&loop.slots_left, slots > 0 ? slots - 1 : 0); /* relaxed: not shared yet */
    if (wf_env_cancelled(self->env) != 0) {
        rc = -ECANCELED;
    } else if (slots > 0) {
        rc = run_loop(self, &loop);
    }
    report(&loop);
    return rc;
}
