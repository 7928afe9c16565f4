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
 * asks waits for long: pieces grow while they take less than PIECE_TICKS_MIN, from the grain on,
 * and shrink when they take several times more than that. What a span learns it passes on to those
 * that it is split into.
 *
 * When is a split worth it? A loop of 1000 additions is over in less time than another worker takes
 * to hear of it. So a loop is *silent* at first: for WF_HOT_TICKS if somebody searches, for
 * WF_COLD_TICKS if the others sleep. And what is left of it has to take WF_WORTH_TICKS, by what the
 * last piece took. Except when it has few indices: then they are probably long ones, and a single
 * one of them may be longer than all we could save. While a piece takes long nobody can ask; so a
 * span with long pieces (*dear*) is split before anybody does, and its right half lies in the open.
 *
 * That is a guess, for bodies that have not been run yet. A loop tells the next one over the same
 * body what an index cost (known.h). By this it decides at its begin whether the first piece is a
 * long one; and how long it is, but no longer than what may be a single index of a body that is not
 * known: 3 % of what a worker would get (FEW). So what is wrong about it costs what a wrong guess
 * does: a wake in vain, or one piece that runs alone. Nothing else is decided by what is known, for
 * whether a loop is shared makes its indices dearer.
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

/* A piece is a call, a look at two words and one at the counter: 10 to 25 ns. So pieces of half a
 * microsecond and more cost at most 5 % of it; and an asker waits 4 us at most, which is little
 * beside the 1 us that a thief waits before it takes the last work of a queue. */
#define GROWTH          16
#define PIECE_TICKS     (4 * WF_TICKS_US)
#define PIECE_TICKS_MAX (8 * WF_TICKS_US)
/* Doubled while a piece takes less: where the look around is 1 to 3 % of it. Longer ones would keep
 * an asker waiting for nothing. */
#define PIECE_TICKS_MIN (1 * WF_TICKS_US)
#define PIECE_MAX       2048 /* that of the cheapest body */
/* What a strand has to take for its cost to be sure: looking at the counter is 5 to 20 ns of it. */
#define SURE_TICKS (WF_TICKS_US / 4)

/* With fewer pieces of grain size for each worker than this, a loop over an unknown body does not
 * run alone first: one body would be too large a part of it (3 % and more). */
#define FEW 32

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
    WF_ATOMIC(bool) is_vague; /* somebody took a part, or that strand's time was too short */
};

struct span {
    size_t from, to;
    size_t piece;     /* indices of the next piece */
    size_t last;      /* of the last piece; 0: there was none */
    uint64_t took;    /* ticks of the last piece */
    uint64_t silence; /* ticks for which it offers nothing, whoever searches; 0: it is split */
    void *acc;        /* of weft_reduce; else NULL */
    bool dear;        /* the next piece may be a long one: offers before anybody asks */
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

/* --- joining ---------------------------------------------------------------------------------- */

/* For WF_WORTH_TICKS: whoever took it gives nothing away of what takes less, so it is over by then.
 * A stack that lies down instead goes on where the other worker is, and then the two halves of the
 * next loop change places, with all their lines. */
void wf_loop_wait(struct wf_fiber *self, weft_branch *branch)
{
    struct wf_worker *worker = self->worker;
    if ((int64_t)branch->link < 0) {
        return; /* private */
    }
    uint64_t began = wf_ticks();
    /* relaxed: a hint; the join has the orders */
    while ((__atomic_load_n(&branch->state, __ATOMIC_RELAXED) & WEFT_BRANCH_DONE_) == 0 &&
           !wf_deque_has_public(&worker->deque) && wf_runq_len(&worker->runq) == 0 &&
           wf_ticks() - began < WF_WORTH_TICKS) { /* ends: then at the latest */
        wf_spin_hint();
    }
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
    size_t count = span->to - span->from;
    size_t few = FEW * ((size_t)worker->peers + 1);
    bool known = cost != WF_COST_NONE;
    span->piece = loop->grain;
    if (known && count / few > loop->grain) {
        size_t piece = wf_cost_indices(cost, PIECE_TICKS / GROWTH);
        piece = piece < count / few ? piece : count / few;
        span->piece = piece < loop->grain       ? loop->grain
                      : piece < loop->piece_max ? piece
                                                : loop->piece_max;
    }
    if (worker->peers == 0) {
        span->silence = UINT64_MAX;
    } else {
        span->dear =
            known ? wf_cost_exceeds(loop->grain, cost, PIECE_TICKS_MAX) : count / loop->grain < few;
        span->silence = span->dear ? 0 : WF_HOT_TICKS;
    }
}

/* --- looking around --------------------------------------------------------------------------- */

/* Does somebody want half of the span, which is silent no more? `ran`: ticks that the loop has
 * run. */
static WF_NOINLINE bool is_wanted(struct wf_worker *worker, const struct span *span, uint64_t ran)
{
    if (wf_deque_has_public(&worker->deque)) {
        return false;
    }
    if (span->dear) {
        return true;
    }
    if (!wf_loop_is_worth(span->to - span->from, span->last, span->took)) {
        return false;
    }
    bool may_wake = span->silence == 0 || ran >= WF_COLD_TICKS;
    return wf_pool_has_searchers(worker) || (may_wake && wf_pool_has_idle(worker));
}

static bool is_asked(struct wf_fiber *self, const struct span *span, uint64_t ran)
{
    if (ran < span->silence) {
        return false;
    }
    struct wf_worker *worker = self->worker; /* a body that waited may have moved us */
    /* A hint; the fork has the orders. Open: nobody wanted more at the last fork (light.h, L.5),
     * and nobody has asked since. */
    return (!wf_deque_is_open(&worker->deque) || span->dear) && is_wanted(worker, span, ran);
}

/* --- splitting -------------------------------------------------------------------------------- */

/* A right half, on whichever worker took it. */
static int run_half(weft_branch *head)
{
    struct half *half = (struct half *)(void *)head;
    wf_store_relaxed(&half->loop->is_vague, true); /* relaxed: read after the joins */
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
    left.silence = 0;
    half.span.from = left.to;
    half.span.acc = acc;
    half.span.silence = 0;
    weft_fork_(&half.head, take_half, sizeof half, 0);
    /* The fork may have kept it for ourselves, but we may be about to run a body that takes a
     * second. */
    if (wf_deque_offer(&self->worker->deque)) {
        wf_wake_check(self->worker);
    }
    run_span(self, loop, left);
    wf_loop_wait(self, &half.head);
    span->from = left.to;
    span->silence = 0;
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

static void learn(const struct loop *loop, struct span *span, size_t length, uint64_t took)
{
    span->last = length;
    span->took = took;
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
        size_t length = to - span.from;
        span.from = to;
        if (to == span.to && done > 0 && span.took < PIECE_TICKS / GROWTH) {
            break; /* a short one, which tells nothing new */
        }
        done += length;
        uint64_t before = now;
        now = wf_ticks();
        learn(loop, &span, length, now - before);
        if (now - looked > WF_CLOCK_TICKS && span.from < span.to) {
            looked = now;
            if (wf_loop_is_late(self, &loop->end)) {
                return;
            }
        }
    }
    if (done > 0) { /* relaxed, both: hints */
        wf_store_relaxed(&loop->cost, wf_cost_of(now - began, done));
        if (now - began < SURE_TICKS) {
            wf_store_relaxed(&loop->is_vague, true);
        }
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

/* A loop of one piece: there is nothing to share, and nothing to be learnt for others. */
static void run_one(struct wf_fiber *self, struct loop *loop, const struct span *span)
{
    int rc = run_piece(loop, span, span->to);
    if (wf_unlikely(rc < 0)) {
        wf_loop_fail(self, &loop->end, rc);
    }
}

static void run_all(struct wf_fiber *self, struct loop *loop, struct span *span)
{
    uint64_t name = name_of(loop);
    uint32_t before = wf_known_cost(&known, name);
    wf_store_relaxed(&loop->cost, WF_COST_NONE); /* relaxed, all: hints */
    begin_span(self->worker, loop, span, before);
    run_span(self, loop, *span);
    wf_known_remember(&known, name, wf_load_relaxed(&loop->cost), before,
                      wf_load_relaxed(&loop->is_vague));
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
    int rc;
    struct wf_fiber *self = wf_loop_enter(&loop->end, &rc);
    if (wf_unlikely(rc < 0)) {
        return rc;
    }
    if (wf_unlikely(self == NULL)) {
        return run_alone(loop, span, opts);
    }
    if (span->from >= span->to) {
        return 0;
    }
    if (span->to - span->from <= loop->grain) {
        run_one(self, loop, span);
    } else {
        run_all(self, loop, span);
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
