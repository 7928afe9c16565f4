/* foreach.c: a loop over many items with a bound on how many bodies run at once.
 *
 * A few long-lived *slots* pull items until there are no more: the caller is one, the others are
 * pooled tasks in the loop's own scope. No task and no permit per item. Slots are started one by
 * one: a slot that gets an item and sees that more may follow starts the next, so a loop of two
 * items starts one, and a loop whose bodies do not wait may end before a second worker has woken.
 *
 * Errors. The first failure stops the taking of items and cancels the loop's scope, under which all
 * bodies run. What bodies then return is looked at in order of time: -ECANCELED after that is an
 * answer to the cancellation, not a failure. A cancellation from outside reaches the loop's scope
 * like any other; then taking stops too. */
#include "pool/base/check.h"
#include "src/core.h"

/* Items after which a slot that never waited lets others run: as for calls that did not wait. */
#define YIELD_EVERY WF_BUDGET

struct loop {
    /* immutable while slots run */
    weft_each_fn *body;
    void *ctx;
    const weft_foreach_opts *opts;
    size_t chunk;
    weft_scope scope;

    /* any thread; atomic */
    WF_ATOMIC(uint64_t) next WF_ALIGNED(WF_LINE_PAIR);    /* index of the next item of an array */
    WF_ATOMIC(uint32_t) stopped WF_ALIGNED(WF_LINE_PAIR); /* no more items are to be taken */
    WF_ATOMIC(uint32_t) slots_left;                       /* that may still be started */
    WF_ATOMIC(uint64_t) failed;                           /* bodies that failed */
    WF_ATOMIC(uint32_t) cut_short; /* items were left, or bodies interrupted, by a cancellation */

    weft_sem source_turn; /* one slot at a time calls next() */
    /* under lock */
    struct wf_lock lock;
    int first_rc;
    weft_error *first_error; /* owned */
};

struct items {
    uint64_t next, end; /* of an array: what this slot has taken and not run */
    void *item;
};

static int run_foreach_slot(void *loop);

/* --- results ---------------------------------------------------------------------------------- */

static void stop_taking(struct loop *loop)
{
    wf_store_relaxed(&loop->stopped, 1); /* relaxed: a slot that sees it late takes one more item */
}

static void fail(struct loop *loop, int rc)
{
    /* the record is the loop's, whichever slot ran the item */
    weft_error *error = wf_error_take(wf_self()->env->task);
    /* relaxed: read after all slots have been joined */
    (void)wf_add_relaxed(&loop->failed, 1);
    wf_lock(&loop->lock);
    bool first = loop->first_rc == 0;
    if (first) {
        loop->first_rc = rc;
        loop->first_error = error;
        error = NULL;
    }
    wf_unlock(&loop->lock);
    wf_error_free(error);
    if (loop->opts->on_error == WEFT_FAIL_FAST) {
        stop_taking(loop);
        (void)wf_scope_fire(wf_scope_of(&loop->scope), WF_CANCEL_FIRED,
                            "an item of the loop failed");
    }
}

static void body_ended(struct loop *loop, int rc)
{
    if (wf_likely(rc >= 0)) {
        return;
    }
    if (rc == -ECANCELED && wf_scope_cancelled(wf_scope_of(&loop->scope)) != 0) {
        wf_store_relaxed(&loop->cut_short, 1); /* relaxed: read after the join */
    } else {
        fail(loop, rc);
    }
}

/* --- taking items ----------------------------------------------------------------------------- */

static bool take_from_array(struct loop *loop, struct items *mine)
{
    if (mine->next == mine->end) {
        if (wf_load_relaxed(&loop->next) >= loop->opts->count) {
            return false;
        }
        /* Relaxed: the items were there before the loop began. */
        uint64_t first = wf_add_relaxed(&loop->next, loop->chunk);
        if (first >= loop->opts->count) {
            return false;
        }
        mine->next = first;
        mine->end =
            loop->opts->count - first < loop->chunk ? loop->opts->count : first + loop->chunk;
    }
    char *base = loop->opts->items;
    size_t stride = loop->opts->stride;
    mine->item =
        stride != 0 ? base + mine->next * stride : ((void **)loop->opts->items)[mine->next];
    mine->next++;
    return true;
}

static bool take_from_source(struct loop *loop, struct items *mine)
{
    if (weft_sem_acquire(&loop->source_turn) < 0) {
        /* relaxed, both: read after the join, or only a hint */
        if (wf_load_relaxed(&loop->stopped) == 0) {
            wf_store_relaxed(&loop->cut_short, 1);
        }
        return false;
    }
    int rc = 0;
    /* relaxed: the semaphore orders us with the last turn */
    if (wf_load_relaxed(&loop->stopped) == 0) {
        rc = loop->opts->next(loop->opts->source, &mine->item);
        if (rc <= 0) {
            stop_taking(loop);
        }
    }
    (void)weft_sem_release(&loop->source_turn, 1);
    if (rc < 0) {
        body_ended(loop, rc);
    }
    return rc > 0;
}

static bool take(struct loop *loop, struct items *mine)
{
    if (wf_scope_cancelled(wf_scope_of(&loop->scope)) != 0) {
        /* An array is known to be finished without asking; a cancel that comes after the last item
         * changes nothing. */
        bool left = loop->opts->next != NULL ? wf_load_relaxed(&loop->stopped) == 0
                                             : mine->next != mine->end ||
                                                   wf_load_relaxed(&loop->next) < loop->opts->count;
        if (left) {
            wf_store_relaxed(&loop->cut_short, 1); /* relaxed: read after the join */
        }
        return false;
    }
    if (wf_load_relaxed(&loop->stopped) != 0) {
        return false;
    }
    return loop->opts->next != NULL ? take_from_source(loop, mine) : take_from_array(loop, mine);
}

/* --- slots ------------------------------------------------------------------------------------ */

/* One more slot, if there may be one. Refused (no memory): the slots that are there do the work. */
static void start_slot(struct loop *loop)
{
    uint32_t left = wf_load_relaxed(&loop->slots_left); /* a guess for the compare-and-swap */
    while (left > 0) {
        if (wf_cas_relaxed(&loop->slots_left, &left, left - 1)) { /* relaxed: only a count */
            (void)weft_go_raw(&loop->scope, run_foreach_slot, &loop, sizeof loop);
            return;
        }
    }
}

static void run_slot(struct loop *loop)
{
    struct items mine = {0};
    bool alone = true;
    uint32_t budget = YIELD_EVERY;
    while (take(loop, &mine)) { /* ends: no more items, a failure, or a cancellation */
        if (alone) {
            alone = false;
            start_slot(loop);
        }
        body_ended(loop, loop->body(mine.item, loop->ctx));
        if (--budget == 0) {
            budget = YIELD_EVERY;
            (void)weft_yield(); /* cancelled: the next take sees it */
        }
    }
}

/* A slot's task. Its argument is a copy of the pointer to the loop. */
static int run_foreach_slot(void *arg)
{
    run_slot(*(struct loop **)arg);
    return 0;
}

/* --- the loop --------------------------------------------------------------------------------- */

static bool is_valid(const weft_foreach_opts *opts)
{
    bool array = opts->items != NULL;
    bool source = opts->next != NULL;
    if (opts->max < 0 || (array && source)) {
        return false;
    }
    return array || source || opts->count == 0;
}

/* No more than there are items, so that the index of the next item cannot wrap. */
static size_t chunk_of(const weft_foreach_opts *opts)
{
    size_t chunk = opts->chunk > 0 ? opts->chunk : 1;
    return opts->next == NULL && chunk > opts->count ? opts->count : chunk;
}

static uint32_t slot_count(struct wf_fiber *self, const weft_foreach_opts *opts)
{
    uint64_t slots =
        opts->max > 0 ? (uint64_t)opts->max : (uint64_t)self->worker->pool->worker_count;
    if (opts->next == NULL && slots > opts->count) {
        slots = opts->count;
    }
    return (uint32_t)slots;
}

static int run_loop(struct wf_fiber *self, struct loop *loop, const weft_place *place)
{
    weft_sem_init(&loop->source_turn, 1, 1);
    wf_scope_open(self, wf_scope_of(&loop->scope), WEFT_CONTINUE, WEFT_FOREVER, place);
    run_slot(loop);
    wf_scope_close(self, wf_scope_of(&loop->scope));
    if (loop->opts->next_done != NULL) {
        loop->opts->next_done(loop->opts->source);
    }
    if (loop->opts->failed != NULL) {
        *loop->opts->failed = wf_load_relaxed(&loop->failed); /* relaxed: after the join */
    }
    if (loop->first_rc < 0) {
        wf_error_give(self->env->task, loop->first_error);
        return loop->first_rc;
    }
    return wf_load_relaxed(&loop->cut_short) != 0 ? -ECANCELED : 0; /* relaxed: after the join */
}

int weft_foreach_(weft_each_fn *body, void *ctx, const weft_foreach_opts *opts,
                  const weft_place *place)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    if (!is_valid(opts)) {
        return -EINVAL;
    }
    struct loop loop = {.body = body, .ctx = ctx, .opts = opts, .chunk = chunk_of(opts)};
    uint32_t slots = slot_count(self, opts);
    wf_store_relaxed(&loop.slots_left, slots > 0 ? slots - 1 : 0); /* relaxed: not shared yet */
    if (wf_env_cancelled(self->env) != 0) {
        rc = -ECANCELED;
    } else if (opts->next != NULL || opts->count > 0) {
        return run_loop(self, &loop, place);
    }
    if (opts->failed != NULL) {
        *opts->failed = 0;
    }
    if (opts->next_done != NULL) {
        opts->next_done(opts->source);
    }
    return rc;
}
