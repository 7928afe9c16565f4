/* for.c: loops that compute: a range of indices, run piece by piece, and split only when somebody
 * asks.
 *
 * A *span* is a stretch of indices that one strand has to run. It runs a *piece* of it as one call
 * of the body, looks around, and runs the next. If another worker has nothing to do, and this one
 * has nothing queued that it could take, the span is halved: the right half is forked (fork.h), the
 * left half is run as a span of its own, and the join takes the right half back if nobody came for
 * it. So there are as many forks as there are thieves to feed, whatever the number of indices; the
 * recursion is as deep as a span can be halved, 63 times at most.
 *
 * How long is a piece? Long enough that looking around costs little, short enough that nobody who
 * asks waits for long: pieces grow while they take less than PIECE_TICKS, from the grain on, and
 * shrink when they take more than that several times over. What a span learns it passes on to those
 * that it is split into.
 *
 * When is a split worth it? A loop of 1000 additions is over in less time than another worker takes
 * to hear of it. So a loop runs alone at first: for WF_HOT_TICKS if somebody searches, for
 * WF_COLD_TICKS if the others sleep. Except when it has few indices: then they are probably long
 * ones, and a single one of them may be longer than all we could save. While a piece takes long
 * nobody can ask; so a span with long pieces (*dear*) is split before anybody does, and its right
 * half lies in the open.
 *
 * That is a guess, for bodies that have not been run yet. A loop tells the next one over the same
 * body what an index cost (known.h), which then decides at its begin whether to offer half at once,
 * or to run alone at first. Nothing else: no piece is longer for it. So what is wrong about it
 * costs what a wrong guess does: a wake in vain, or one body that runs alone.
 *
 * Errors. The first failure is kept under a lock and sets `stopped`, which each span looks at
 * before a piece (loop.h).
 *
 * Roads not taken. One shared counter of indices: each piece then costs a line's way from core to
 * core. Splitting eagerly down to a grain: somebody has to choose it. Pieces that grow with the
 * number of indices done, without a clock: with long bodies an asker then waits for a share of the
 * loop's time.
 *
 * G.1  Each index of the range is in exactly one piece, unless the loop is stopped; then in at most
 *      one.
 * G.2  No piece is begun by a strand that sees `stopped`, and all that were begun have ended when
 *      the loop returns.
 * G.3  Accumulators are combined in the order of their indices, each exactly once. */
#include "pool/base/check.h"
#include "src/guard.h"
#include "src/known.h"
#include "src/loop.h"
#include <string.h>
#include <weft/fork.h>
#include <weft/par.h>

/* A piece is a call, a look at three words and one at the counter: 10 ns. So pieces of half a
 * microsecond and more cost at most 2 % of it; and an asker waits 4 us at most, which is little
 * beside the 1 us that a thief waits before it takes the last work of a queue. */
#define GROWTH          8
#define PIECE_TICKS     (4 * WF_TICKS_US)
#define PIECE_TICKS_MAX (8 * WF_TICKS_US)
/* Doubled while a piece takes less: where the look around is 1 % of it. Longer ones would keep an
 * asker waiting for nothing. */
#define PIECE_TICKS_MIN (1 * WF_TICKS_US)
#define PIECE_MAX       2048 /* that of the cheapest body */

/* With fewer pieces of grain size for each worker than this, a loop over an unknown body does not
 * run alone first: one body would be too large a part of it (3 % and more). */
#define FEW 32

/* A loop that is known to take at least this long is split at its begin, if somebody searches, or
 * sleeps: a wake costs both sides 10 us, and who is woken comes 30 to 50 us late. (With somebody
 * who searches, two indices of 1.1 us are over in 1.6 us, and alone in 2.2; 8 of 0.1 us in 0.97,
 * and alone in 0.88.) */
#define WORTH_HOT_TICKS  (2 * WF_HOT_TICKS)
#define WORTH_COLD_TICKS (20 * WF_COLD_TICKS)

struct loop {
    /* immutable while it runs */
    weft_range_fn *body;      /* of weft_for */
    weft_fold_fn *fold;       /* of weft_reduce */
    weft_combine_fn *combine; /* likewise */
    void *ctx;
    const void *identity; /* acc_bytes of it */
    size_t acc_bytes;
    size_t grain, piece_max;

    /* any thread */
    struct wf_loop_end end;
    WF_ATOMIC(uint32_t) cost; /* of an index, as the strand that ended last found it (known.h) */
};

struct span {
    size_t from, to;
    size_t piece; /* indices of the next piece */
    void *acc;    /* of weft_reduce; else NULL */
    bool alone;   /* the loop has just begun, and offers nothing yet */
    bool dear;    /* the next piece may be a long one: offers before anybody asks */
};

/* The right half of a span, forked. Part of it is fork.h's. */
struct half {
    weft_branch head;
    struct loop *loop;
    struct span span;
};

static struct wf_known known;

static void run_span(struct wf_fiber *self, struct loop *loop, struct span span);

/* --- results ---------------------------------------------------------------------------------- */

static void stop(struct wf_loop_end *end)
{
    /* relaxed: a strand that sees it late runs one more piece */
    wf_store_relaxed(&end->stopped, 1);
}

WF_COLD void wf_loop_cut_short(struct wf_loop_end *end)
{
    wf_store_relaxed(&end->cut_short, 1); /* relaxed: read after the joins */
    stop(end);
}

WF_COLD void wf_loop_fail(struct wf_fiber *self, struct wf_loop_end *end, int rc)
{
    if (rc == -ECANCELED && wf_env_cancelled(self->env) != 0) {
        wf_loop_cut_short(end);
        return;
    }
    /* another strand of the task may have failed between, and left its record: then this failure
     * has one without text */
    weft_error *error = wf_error_of(self->env->task, rc, wf_error_take(self->env->task));
    wf_lock(&end->lock);
    wf_failures_add(&end->failures, rc, error);
    wf_unlock(&end->lock);
    stop(end);
}

bool wf_loop_is_late(struct wf_fiber *self, struct wf_loop_end *end)
{
    if (wf_likely(self->env->scope->deadline_ns == INT64_MAX) || weft_check() == 0) {
        return false;
    }
    wf_loop_cut_short(end);
    return true;
}

struct wf_fiber *wf_loop_enter(struct wf_loop_end *end, int *rc)
{
    struct wf_fiber *self = wf_enter_task(rc);
    if (wf_unlikely(self == NULL)) {
        *rc = *rc == -ENOSYS ? -ENOSYS : 0;
    } else if (wf_unlikely(wf_env_cancelled(self->env) != 0) || wf_loop_is_late(self, end)) {
        *rc = -ECANCELED;
    } else {
        *rc = 0;
    }
    return self;
}

int wf_loop_result(struct wf_fiber *self, struct wf_loop_end *end)
{
    if (wf_unlikely(end->failures.first_rc < 0)) {
        wf_error_hand_on(self->env->task, wf_failures_take(&end->failures), NULL);
        return end->failures.first_rc;
    }
    return wf_load_relaxed(&end->cut_short) != 0 ? -ECANCELED : 0; /* relaxed: after the joins */
}

/* --- beginning -------------------------------------------------------------------------------- */

static uint64_t name_of(const struct loop *loop)
{
    return wf_known_name(loop->fold != NULL ? (uintptr_t)loop->fold : (uintptr_t)loop->body);
}

/* How the loop's first span begins, with `cost` known of its body, or not. */
static void begin_span(struct wf_worker *worker, const struct loop *loop, struct span *span,
                       uint32_t cost)
{
    size_t count = span->from < span->to ? span->to - span->from : 0;
    if (cost == WF_COST_NONE) {
        span->dear = count / loop->grain < FEW * (size_t)worker->pool->worker_count;
        span->alone = !span->dear;
        return;
    }
    bool hot = wf_pool_has_searchers(worker);
    span->dear = wf_cost_exceeds(loop->grain, cost, PIECE_TICKS_MAX);
    span->alone = !wf_cost_exceeds(count, cost, hot ? WORTH_HOT_TICKS : WORTH_COLD_TICKS);
}

/* --- looking around --------------------------------------------------------------------------- */

/* Does somebody want half of the span? `ran`: ticks that the loop has run. */
static WF_NOINLINE bool is_wanted(struct wf_worker *worker, const struct span *span, uint64_t ran)
{
    struct wf_pool *pool = worker->pool;
    if (pool->worker_count == 1 || wf_deque_has_public(&worker->deque)) {
        return false;
    }
    if (span->dear) {
        return true;
    }
    bool hot = wf_pool_has_searchers(worker);
    if (span->alone && ran < (hot ? WF_HOT_TICKS : WF_COLD_TICKS)) {
        return false;
    }
    return hot || wf_pool_has_idle(worker);
}

static bool is_asked(struct wf_fiber *self, const struct span *span, uint64_t ran)
{
    struct wf_worker *worker = self->worker; /* a body that waited may have moved us */
    /* A hint; the fork has the orders. Open: nobody was idle at the last fork, and nobody has asked
     * since. */
    return (!wf_deque_is_open(&worker->deque) || span->dear) && is_wanted(worker, span, ran);
}

/* --- splitting -------------------------------------------------------------------------------- */

/* A right half, on whichever worker took it. */
static int run_half(weft_branch *head)
{
    struct half *half = (struct half *)(void *)head;
    run_span(wf_self(), half->loop, half->span);
    return 0;
}

static void take_half(void *fiber, weft_branch *head)
{
    weft_branch_run_(fiber, head, run_half);
}

/* Forks the right half of *span and runs the left. True: the right half is still to be run, by the
 * caller. */
static bool run_left(struct wf_fiber *self, struct loop *loop, struct span *span, void *acc)
{
    struct span left = *span;
    struct half half = {.loop = loop, .span = *span};
    left.to = left.from + (left.to - left.from) / 2;
    left.alone = false;
    half.span.from = left.to;
    half.span.acc = acc;
    half.span.alone = false;
    weft_fork_(&half.head, take_half, sizeof half, 0);
    /* The fork may have kept it for ourselves, but we may be about to run a body that takes a
     * second. */
    if (wf_deque_publish(&self->worker->deque)) {
        wf_wake_check(self->worker);
    }
    run_span(self, loop, left);
    span->from = left.to;
    span->alone = false;
    return weft_join_(&half.head) != 0;
}

static WF_NOINLINE void split_for(struct wf_fiber *self, struct loop *loop, struct span *span)
{
    if (!run_left(self, loop, span, NULL)) {
        span->from = span->to;
    }
}

static WF_NOINLINE void split_reduce(struct wf_fiber *self, struct loop *loop, struct span *span)
{
    WF_ALIGNED(64) unsigned char acc[WEFT_REDUCE_MAX];
    (void)memcpy(acc, loop->identity, loop->acc_bytes);
    if (!run_left(self, loop, span, acc)) { /* else it is as it was, and our own goes on */
        WF_GUARDED(loop->combine(span->acc, acc, loop->ctx));
        span->from = span->to;
    }
}

static bool is_splittable(const struct loop *loop, const struct span *span)
{
    return (span->to - span->from) / 2 >= loop->grain;
}

/* --- running ---------------------------------------------------------------------------------- */

static void learn(const struct loop *loop, struct span *span, uint64_t took)
{
    if (took < PIECE_TICKS / GROWTH) {
        bool has_room = span->piece <= loop->piece_max / GROWTH; /* else it might overflow */
        span->piece = has_room ? span->piece * GROWTH : loop->piece_max;
    } else if (took < PIECE_TICKS_MIN) {
        span->piece = span->piece <= loop->piece_max / 2 ? span->piece * 2 : loop->piece_max;
    }
    span->dear = took > PIECE_TICKS_MAX;
    if (wf_unlikely(span->dear)) {
        size_t piece = span->piece / GROWTH;
        span->piece = piece > loop->grain ? piece : loop->grain;
    }
}

static int run_piece(struct loop *loop, const struct span *span, size_t to)
{
    int rc;
    WF_GUARDED(rc = span->acc != NULL ? loop->fold(span->from, to, span->acc, loop->ctx)
                                      : loop->body(span->from, to, loop->ctx));
    return rc;
}

static void run_span(struct wf_fiber *self, struct loop *loop, struct span span)
{
    uint64_t began = wf_ticks();
    uint64_t now = began;
    uint64_t looked = began;
    size_t done = 0; /* indices, since `began` but for what the splits took */
    while (span.from < span.to &&
           !wf_loop_must_stop(self, &loop->end)) { /* ends: each turn makes it shorter */
        if (is_asked(self, &span, now - began) && is_splittable(loop, &span)) {
            if (span.acc != NULL) {
                split_reduce(self, loop, &span);
            } else {
                split_for(self, loop, &span);
            }
            uint64_t before = now;
            now = wf_ticks();
            began += now - before;
            continue;
        }
        size_t to = span.to - span.from > span.piece ? span.from + span.piece : span.to;
        int rc = run_piece(loop, &span, to);
        if (wf_unlikely(rc < 0)) {
            wf_loop_fail(self, &loop->end, rc);
            return;
        }
        done += to - span.from;
        span.from = to;
        uint64_t before = now;
        now = wf_ticks();
        learn(loop, &span, now - before);
        if (now - looked > WF_CLOCK_TICKS && span.from < span.to) {
            looked = now;
            if (wf_loop_is_late(self, &loop->end)) {
                return;
            }
        }
    }
    if (done > 0) {
        wf_store_relaxed(&loop->cost, wf_cost_of(now - began, done)); /* relaxed: a hint */
    }
}

/* Outside of a task: nobody to share with, nothing to be cancelled by. */
static WF_COLD int run_alone(struct loop *loop, struct span *span, const weft_for_opts *opts)
{
    size_t piece = opts->grain_max != 0 ? loop->piece_max : SIZE_MAX;
    int rc = 0;
    while (span->from < span->to && rc >= 0) {
        size_t to = span->to - span->from > piece ? span->from + piece : span->to;
        rc = run_piece(loop, span, to);
        span->from = to;
    }
    return rc < 0 ? rc : 0;
}

static void run_shared(struct wf_fiber *self, struct loop *loop, struct span *span)
{
    uint64_t name = name_of(loop);
    uint32_t before = wf_known_cost(&known, name);
    wf_store_relaxed(&loop->cost, WF_COST_NONE); /* relaxed, both: a hint */
    begin_span(self->worker, loop, span, before);
    run_span(self, loop, *span);
    wf_known_remember(&known, name, wf_load_relaxed(&loop->cost), before);
}

static int run_loop(struct loop *loop, struct span *span, const weft_for_opts *opts)
{
    static const weft_for_opts defaults;
    opts = opts != NULL ? opts : &defaults;
    loop->grain = opts->grain > 0 ? opts->grain : 1;
    loop->piece_max = opts->grain_max > 0 ? opts->grain_max : PIECE_MAX;
    if (loop->piece_max < loop->grain) {
        loop->piece_max = loop->grain;
    }
    span->piece = loop->grain;
    int rc;
    struct wf_fiber *self = wf_loop_enter(&loop->end, &rc);
    if (wf_unlikely(rc < 0)) {
        return rc;
    }
    if (wf_unlikely(self == NULL)) {
        return run_alone(loop, span, opts);
    }
    struct wf_pool *pool = self->worker->pool;
    if (pool->worker_count == 1) {
        run_span(self, loop, *span);
    } else {
        run_shared(self, loop, span);
    }
    return wf_loop_result(self, &loop->end);
}

int weft_for_(size_t from, size_t to, weft_range_fn *body, void *ctx, const weft_for_opts *opts)
{
    struct loop loop = {.body = body, .ctx = ctx};
    struct span span = {.from = from, .to = to};
    return run_loop(&loop, &span, opts);
}

int weft_reduce_(size_t from, size_t to, void *acc, size_t acc_bytes, weft_fold_fn *fold,
                 weft_combine_fn *combine, void *ctx, const weft_for_opts *opts)
{
    if (acc_bytes > WEFT_REDUCE_MAX) {
        return -E2BIG;
    }
    WF_ALIGNED(64) unsigned char identity[WEFT_REDUCE_MAX];
    (void)memcpy(identity, acc, acc_bytes);
    struct loop loop = {
        .fold = fold, .combine = combine, .ctx = ctx, .identity = identity, .acc_bytes = acc_bytes};
    struct span span = {.from = from, .to = to, .acc = acc};
    return run_loop(&loop, &span, opts);
}
