/* scan.c: weft_scan: for each index of a range, what all indices before it come to.
 *
 * Alone, one pass does it: the body walks the range and carries the sum along. In parallel a strand
 * that works ahead needs to know what comes before it, and that is only known when the indices
 * before it have been summed. So a block that is given away is first folded (its sum alone), and
 * walked when the sums before it are known: its indices are looked at twice.
 *
 * A *round* takes the next blocks 0 to n of the range:
 *   1. Block 0 is walked here. Blocks 1 to n - 1 are offered, to be folded.
 *   2. Blocks 1 to k - 1 were taken and folded, k was not. Now all sums before k are known. Blocks
 *      1 to k - 1 are offered, to be walked; block k is walked here, without having been folded.
 *   3. The range goes on behind block k.
 * With two workers n is 2, and the round takes 2/3 of the time of one; with p workers 2/(p+1). If
 * nobody comes, k is 1: two blocks have been walked, and nothing was done twice.
 *
 * A round begins when somebody is idle; until then the range is walked piece by piece (as for.c
 * does, whose head comment has the reasons for the sizes). Blocks are as long as to take some
 * BLOCK_TICKS.
 *
 * G.1  Each index is walked exactly once and in no parallel with itself, with *acc holding what
 *      precedes it, unless the loop is stopped; folded at most once, before it is walked.
 * G.2  No strand outlives the call. */
#include "pool/base/check.h"
#include "src/guard.h"
#include "src/loop.h"
#include <string.h>
#include <weft/fork.h>
#include <weft/par.h>

#define PIECE_TICKS (4 * WF_TICKS_US)
#define GROWTH      8
#define PIECE_MAX   1024
/* Two hand-overs a round are 2 to 4 us; and who waits for the slowest block waits for no more than
 * this. */
#define BLOCK_TICKS (100 * WF_TICKS_US)
/* Blocks of a round: with their accumulators they lie on the caller's stack, 5 KiB. More than 16
 * workers find no more work here. */
#define BLOCKS_MAX 17

struct scan {
    /* immutable while it runs */
    weft_fold_fn *fold, *walk;
    weft_combine_fn *combine;
    void *ctx;
    size_t acc_bytes;
    size_t grain, piece_max;
    struct wf_loop_end end;
};

/* Part of it is fork.h's. */
struct block {
    weft_branch head;
    struct scan *scan;
    weft_fold_fn *body; /* fold or walk */
    size_t from, to;
    unsigned char *acc;
};

/* --- running ---------------------------------------------------------------------------------- */

static int run_body(struct scan *scan, weft_fold_fn *body, size_t from, size_t to, void *acc)
{
    int rc;
    WF_GUARDED(rc = body(from, to, acc, scan->ctx));
    return rc;
}

static void run_block(struct wf_fiber *self, struct block *block)
{
    struct scan *scan = block->scan;
    if (wf_loop_must_stop(self, &scan->end)) {
        return;
    }
    int rc = run_body(scan, block->body, block->from, block->to, block->acc);
    if (wf_unlikely(rc < 0)) {
        wf_loop_fail(self, &scan->end, rc);
    }
}

static int run_taken(weft_branch *head)
{
    run_block(wf_self(), (struct block *)(void *)head);
    return 0;
}

static void take_block(void *fiber, weft_branch *head)
{
    weft_branch_run_(fiber, head, run_taken);
}

/* --- a round ---------------------------------------------------------------------------------- */

static void offer(struct wf_fiber *self, struct block *blocks, int first, int end)
{
    for (int i = first; i < end; i++) {
        weft_fork_(&blocks[i].head, take_block, sizeof blocks[i], 0);
    }
    if (wf_deque_offer(&self->worker->deque)) { /* a body may take long */
        wf_wake_check(self->worker);
    }
}

/* Blocks 1 to n - 1 are folded by whoever takes them. The first that nobody took: k. */
static int fold_ahead(struct wf_fiber *self, struct block *blocks, int n)
{
    offer(self, blocks, 1, n);
    run_block(self, &blocks[0]);
    int untaken = n;
    for (int i = n - 1; i >= 1; i--) {
        wf_loop_wait(self, &blocks[i].head);
        if (weft_join_(&blocks[i].head)) {
            untaken = i;
        }
    }
    return untaken;
}

/* What precedes each of the blocks 1 to `end`, from the sums of those before them. */
static void add_up(struct scan *scan, struct block *blocks, int end)
{
    WF_ALIGNED(64) unsigned char sum[WEFT_REDUCE_MAX];
    WF_ALIGNED(64) unsigned char own[WEFT_REDUCE_MAX];
    size_t bytes = scan->acc_bytes;
    (void)memcpy(sum, blocks[0].acc, bytes);
    for (int i = 1; i <= end; i++) {
        (void)memcpy(own, blocks[i].acc, bytes);
        (void)memcpy(blocks[i].acc, sum, bytes);
        if (i < end) {
            WF_GUARDED(scan->combine(sum, own, scan->ctx));
        }
    }
}

static void walk_all(struct wf_fiber *self, struct block *blocks, int k)
{
    for (int i = 1; i <= k; i++) {
        blocks[i].body = blocks[i].scan->walk;
    }
    offer(self, blocks, 1, k);
    run_block(self, &blocks[k]);
    for (int i = k - 1; i >= 1; i--) {
        wf_loop_wait(self, &blocks[i].head);
        if (weft_join_(&blocks[i].head)) {
            run_block(self, &blocks[i]);
        }
    }
}

/* n + 1 blocks of `length` indices from `from` on. Returns where the range goes on. */
static WF_NOINLINE size_t run_round(struct wf_fiber *self, struct scan *scan, size_t from,
                                    size_t length, int n, void *acc, const void *identity)
{
    WF_ALIGNED(64) unsigned char accs[BLOCKS_MAX][WEFT_REDUCE_MAX];
    struct block blocks[BLOCKS_MAX];
    for (int i = 0; i <= n; i++) {
        (void)memcpy(accs[i], i == 0 ? acc : identity, scan->acc_bytes);
        blocks[i] = (struct block){.scan = scan,
                                   .body = i == 0 ? scan->walk : scan->fold,
                                   .from = from + (size_t)i * length,
                                   .to = from + (size_t)(i + 1) * length,
                                   .acc = accs[i]};
    }
    int k = fold_ahead(self, blocks, n);
    if (!wf_loop_has_stopped(&scan->end)) {
        add_up(scan, blocks, k);
        walk_all(self, blocks, k);
    }
    (void)memcpy(acc, accs[k], scan->acc_bytes);
    return blocks[k].to;
}

/* --- the loop --------------------------------------------------------------------------------- */

/* How many other workers would help now; racy. */
static int idle_count(struct wf_fiber *self, uint64_t ran)
{
    struct wf_worker *worker = self->worker;
    struct wf_pool *pool = worker->pool;
    if (pool->worker_count == 1 || wf_deque_has_public(&worker->deque)) {
        return 0;
    }
    bool hot = wf_pool_has_searchers(worker);
    if (ran < (hot ? WF_HOT_TICKS : WF_COLD_TICKS) || (!hot && !wf_pool_has_idle(worker))) {
        return 0;
    }
    int idle = wf_park_idle(&pool->park) - pool->surplus;
    return idle > BLOCKS_MAX - 2 ? BLOCKS_MAX - 2 : idle > 0 ? idle : 1;
}

/* Indices of a block that takes BLOCK_TICKS, if the last `piece` took `took`, but not less than a
 * grain; 0: too few are left. */
static size_t block_length(const struct scan *scan, size_t left, int blocks, size_t piece,
                           uint64_t took)
{
    size_t most = left / (size_t)blocks;
    if (most < scan->grain) {
        return 0;
    }
    double length = (double)piece * (double)BLOCK_TICKS / (double)(took + 1);
    if (length >= (double)most) {
        return most;
    }
    return length > (double)scan->grain ? (size_t)length : scan->grain;
}

static size_t next_piece(const struct scan *scan, size_t piece, uint64_t took)
{
    if (took < PIECE_TICKS / GROWTH) {
        piece = piece <= scan->piece_max / GROWTH ? piece * GROWTH : scan->piece_max;
    } else if (took > 2 * PIECE_TICKS) {
        piece /= GROWTH;
    }
    return piece > scan->grain ? piece : scan->grain;
}

static void run_scan(struct wf_fiber *self, struct scan *scan, size_t from, size_t to, void *acc,
                     const void *identity)
{
    uint64_t began = wf_ticks();
    uint64_t now = began;
    uint64_t looked = began;
    size_t piece = scan->grain;
    while (from < to &&
           !wf_loop_must_stop(self, &scan->end)) { /* ends: each turn makes it shorter */
        size_t length = to - from < piece ? to - from : piece;
        int rc = run_body(scan, scan->walk, from, from + length, acc);
        if (wf_unlikely(rc < 0)) {
            wf_loop_fail(self, &scan->end, rc);
            return;
        }
        from += length;
        if (from == to) {
            break;
        }
        uint64_t before = now;
        now = wf_ticks();
        /* a round hands over twice, and looks at indices twice */
        bool is_worth = wf_loop_is_worth((to - from) / 2, length, now - before);
        int idle = is_worth ? idle_count(self, now - began) : 0;
        if (idle > 0) {
            size_t block = block_length(scan, to - from, idle + 2, length, now - before);
            if (block > 0) {
                from = run_round(self, scan, from, block, idle + 1, acc, identity);
            }
            now = wf_ticks();
        } else {
            piece = next_piece(scan, piece, now - before);
        }
        if (now - looked > WF_CLOCK_TICKS) {
            looked = now;
            if (wf_loop_is_late(self, &scan->end)) {
                return;
            }
        }
    }
}

int weft_scan_(size_t from, size_t to, void *acc, size_t acc_bytes, weft_fold_fn *fold,
               weft_fold_fn *walk, weft_combine_fn *combine, void *ctx, const weft_for_opts *opts)
{
    if (acc_bytes > WEFT_REDUCE_MAX) {
        return -E2BIG;
    }
    static const weft_for_opts defaults;
    opts = opts != NULL ? opts : &defaults;
    size_t grain = opts->grain > 0 ? opts->grain : 1;
    size_t piece_max = opts->grain_max > 0 ? opts->grain_max : PIECE_MAX;
    struct scan scan = {.fold = fold,
                        .walk = walk,
                        .combine = combine,
                        .ctx = ctx,
                        .acc_bytes = acc_bytes,
                        .grain = grain,
                        .piece_max = piece_max > grain ? piece_max : grain};
    int rc;
    struct wf_fiber *self = wf_loop_enter(&scan.end, &rc);
    if (wf_unlikely(rc < 0)) {
        return rc;
    }
    if (wf_unlikely(self == NULL)) { /* outside of a task: one piece */
        rc = from < to ? run_body(&scan, walk, from, to, acc) : 0;
        return rc < 0 ? rc : 0;
    }
    WF_ALIGNED(64) unsigned char identity[WEFT_REDUCE_MAX];
    (void)memcpy(identity, acc, acc_bytes);
    run_scan(self, &scan, from, to, acc, identity);
    return wf_loop_result(self, &scan.end);
}
