/* reuse.c: a bounded pool of what is dear to open: connections, sessions, compiled things.
 *
 * Terms. *slot*: room for one item, open or not. *free*: not leased. *lease*: the right to a slot,
 * in its holder's memory.
 *
 *    FREE, not open --[take: open]--> LEASED, open --[give]--> FREE, open --[take: check]--> LEASED
 *          ^                             |                        |
 *          +--------[drop: close]--------+------[idle too long: close, by a taker]
 *
 * A slot is what is waited for, handed over and counted; whether its item is open is the business
 * of whoever has leased it. So the pool is a semaphore whose permits are slots: a slot that is
 * given back goes to the longest-waiting live wait, or to the free ones, under the lock. A wait
 * that was cancelled lost the claim, and the slot goes to the next: an item is never lost, and
 * never open without somebody who will close it.
 *
 * Free open slots are a stack: the warmest is used next, and those that were too many grow old at
 * the bottom, where takers find them. Callbacks run in the task that takes or drops, without the
 * lock. */
#include "pool/base/sys.h"
#include "src/sync.h"
#include <weft/reuse.h>

#define ITEM_ALIGN 16

struct slot {
    struct wf_list link; /* in `open` or `empty` while free; under the pool's lock */
    int64_t since_ns;    /* free and open: when it was given back */
    bool is_open;        /* the lease's; under the lock while free */
    WF_ALIGNED(ITEM_ALIGN) unsigned char item[];
};

struct weft_reuse {
    struct wf_lock lock;
    /* under lock */
    bool closed;
    struct wf_list open, empty; /* free slots; `open` the warmest first */
    struct wf_list takers;      /* its item is where the slot goes: struct slot ** */
    struct wf_list drainers;
    weft_reuse_stats stats;
    /* immutable */
    weft_reuse_opts opts;
    size_t slot_bytes;
    WF_ALIGNED(ITEM_ALIGN) unsigned char slots[];
};

_Static_assert(offsetof(struct slot, item) % ITEM_ALIGN == 0, "items are aligned");

/* --- new, free -------------------------------------------------------------------------------- */

static struct slot *slot_at(weft_reuse *pool, uint32_t index)
{
    return (struct slot *)(void *)(pool->slots + index * pool->slot_bytes);
}

int weft_reuse_new(weft_reuse **out, const weft_reuse_opts *opts)
{
    *out = NULL;
    if (wf_forked) {
        return -ENOSYS;
    }
    if (opts == NULL || opts->max == 0 || opts->max > WEFT_REUSE_MAX || opts->item_bytes == 0 ||
        opts->item_bytes > WEFT_REUSE_ITEM_MAX || opts->open == NULL || opts->close == NULL ||
        opts->idle_max < 0) {
        return -EINVAL;
    }
    size_t slot_bytes =
        (sizeof(struct slot) + opts->item_bytes + ITEM_ALIGN - 1) / ITEM_ALIGN * ITEM_ALIGN;
    size_t bytes = sizeof(weft_reuse) + opts->max * slot_bytes; /* both are bounded: no overflow */
    weft_reuse *pool = wf_sys_alloc_zeroed(WF_LINE, bytes);
    if (pool == NULL) {
        return -ENOMEM;
    }
    pool->opts = *opts;
    pool->slot_bytes = slot_bytes;
    wf_list_init(&pool->open);
    wf_list_init(&pool->empty);
    wf_list_init(&pool->takers);
    wf_list_init(&pool->drainers);
    for (uint32_t i = 0; i < opts->max; i++) {
        wf_list_push_back(&pool->empty, &slot_at(pool, i)->link);
    }
    *out = pool;
    return 0;
}

/* Under the lock, or with nobody else left: the warmest open one; NULL: none is. */
static struct slot *pop_open(weft_reuse *pool)
{
    struct wf_list *node = wf_list_pop_front(&pool->open);
    if (node == NULL) {
        return NULL;
    }
    pool->stats.idle--;
    return wf_container_of(node, struct slot, link);
}

/* Under the lock: nobody waits from now on. Whether anybody did. */
static bool shut_pool(weft_reuse *pool)
{
    pool->closed = true;
    return wf_waitq_claim_all(&pool->takers, WF_WAIT_SHUT);
}

void weft_reuse_free(weft_reuse *pool)
{
    if (pool == NULL || wf_forked) {
        return;
    }
    wf_lock(&pool->lock);
    bool waited = shut_pool(pool);
    waited |= wf_waitq_claim_all(&pool->drainers, WF_WAIT_SHUT);
    uint32_t leased = pool->stats.leased;
    wf_unlock(&pool->lock);
    if (leased != 0 || waited) {
        wf_misuse("weft_reuse_free: %u items are leased%s", leased,
                  waited ? ", and tasks were waiting" : "");
    }
    if (leased != 0) {
        return; /* the memory is left to the leases */
    }
    struct slot *slot;
    while ((slot = pop_open(pool)) != NULL) { /* ends: nobody gives any more back */
        WF_GUARDED(pool->opts.close(slot->item, pool->opts.ctx));
    }
    wf_sys.release(pool);
}

/* --- slots, under the lock -------------------------------------------------------------------- */

/* The slot is free: for the one who has waited longest, or for whoever comes. */
static void free_slot(weft_reuse *pool, struct slot *slot)
{
    struct wf_waiter *first;
    bool is_open = slot->is_open; /* read before the claim, after which it is the taker's */
    while ((first = wf_waitq_first(&pool->takers)) != NULL) { /* ends: each turn takes one out */
        *(struct slot **)first->item = slot; /* harmless if the claim fails: it does not look */
        if (wf_waitq_grant(first)) {
            pool->stats.reused += is_open;
            return; /* leased as before, by another */
        }
    }
    pool->stats.leased--;
    if (is_open) {
        pool->stats.idle++;
        wf_list_push_front(&pool->open, &slot->link);
    } else {
        wf_list_push_back(&pool->empty, &slot->link);
    }
    (void)wf_waitq_claim_all(&pool->drainers, WF_WAIT_GRANTED);
}

static struct slot *lease_slot(weft_reuse *pool)
{
    struct slot *slot = pop_open(pool);
    pool->stats.reused += slot != NULL;
    if (slot == NULL) {
        struct wf_list *node = wf_list_pop_front(&pool->empty);
        slot = node != NULL ? wf_container_of(node, struct slot, link) : NULL;
    }
    pool->stats.leased += slot != NULL;
    return slot;
}

static void give_slot(weft_reuse *pool, struct slot *slot)
{
    wf_lock(&pool->lock);
    free_slot(pool, slot);
    wf_unlock(&pool->lock); /* LAST TOUCH: a drainer may be about to free the pool */
}

/* --- items, without the lock ------------------------------------------------------------------ */

static void close_item(weft_reuse *pool, struct slot *slot)
{
    WF_GUARDED(pool->opts.close(slot->item, pool->opts.ctx));
    slot->is_open = false;
    wf_lock(&pool->lock);
    pool->stats.closed++;
    wf_unlock(&pool->lock);
}

static int open_item(weft_reuse *pool, struct slot *slot)
{
    int rc;
    WF_GUARDED(rc = pool->opts.open(slot->item, pool->opts.ctx));
    if (rc < 0) {
        return rc;
    }
    slot->is_open = true;
    wf_lock(&pool->lock);
    pool->stats.opened++;
    wf_unlock(&pool->lock);
    return 0;
}

/* When nobody asks how long something was unused, the clock is not read: half of what a lease
 * costs. */
static int64_t clock_of(const weft_reuse *pool)
{
    return pool->opts.idle_max != 0 || pool->opts.check != NULL ? wf_sys.now_ns() : 0;
}

static bool is_too_old(const weft_reuse *pool, const struct slot *slot, int64_t now_ns)
{
    return pool->opts.idle_max != 0 && now_ns - slot->since_ns > pool->opts.idle_max;
}

/* 0: it can be used; else it is not to be used any more, be it that the check was only cut short,
 * for nobody knows what it had done until then. */
static int check_item(weft_reuse *pool, struct slot *slot)
{
    int64_t now_ns = clock_of(pool);
    if (is_too_old(pool, slot, now_ns)) {
        return -ETIME;
    }
    int rc = 0;
    if (pool->opts.check != NULL) {
        WF_GUARDED(rc = pool->opts.check(slot->item, now_ns - slot->since_ns, pool->opts.ctx));
    }
    return rc;
}

/* Makes a leased slot one with an item that can be used. */
static int make_usable(weft_reuse *pool, struct slot *slot)
{
    if (slot->is_open) {
        if (check_item(pool, slot) >= 0) {
            return 0;
        }
        close_item(pool, slot);
    }
    return open_item(pool, slot);
}

/* Of the free ones, closes the one that has been there longest, if that is too long. One at each
 * take: so nobody pays for many, and as many go as are taken. */
static void close_one_too_old(weft_reuse *pool)
{
    struct slot *slot = NULL;
    wf_lock(&pool->lock);
    if (!wf_list_is_empty(&pool->open)) {
        slot = wf_container_of(pool->open.prev, struct slot, link);
        if (is_too_old(pool, slot, wf_sys.now_ns())) {
            wf_list_unlink(&slot->link);
            pool->stats.idle--;
            pool->stats.leased++; /* by us, while we close it */
        } else {
            slot = NULL;
        }
    }
    wf_unlock(&pool->lock);
    if (slot != NULL) {
        close_item(pool, slot);
        give_slot(pool, slot);
    }
}

/* --- take ------------------------------------------------------------------------------------- */

static ssize_t take_finish(struct wf_call *call)
{
    /* what is ours we give back, which takes the lock: no need to take it now */
    return wf_wait_outcome(&call->wait) == WF_WAIT_GRANTED ? 0 : wf_sync_finish(call);
}

static const struct wf_wait_ops take_ops = {
    .cancel = wf_wait_cancel_claim, .finish = take_finish, .name = "weft_reuse_take"};

static ssize_t take_begin(weft_reuse *pool, struct wf_call *call, struct wf_work *resume,
                          struct slot **slot)
{
    ssize_t rc = 0;
    wf_lock(&pool->lock);
    if (pool->closed) {
        rc = -ESHUTDOWN;
    } else if (wf_waitq_first(&pool->takers) != NULL || (*slot = lease_slot(pool)) == NULL) {
        wf_call_queue(call, resume, &take_ops, &pool->lock, &pool->takers, slot);
        rc = WF_PENDING;
    }
    wf_unlock(&pool->lock);
    return rc;
}

int weft_reuse_take(weft_reuse *pool, weft_lease *lease)
{
    *lease = (weft_lease){.item = NULL};
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct slot *slot;
    struct wf_call call;
    rc = (int)wf_call_end(self, &call, take_begin(pool, &call, &self->resume, &slot));
    if (rc < 0) {
        return rc;
    }
    if (pool->opts.idle_max != 0) {
        close_one_too_old(pool);
    }
    rc = make_usable(pool, slot);
    if (rc < 0) {
        give_slot(pool, slot);
        return rc;
    }
    *lease = (weft_lease){.item = slot->item, .pool_ = pool};
    return 0;
}

/* --- give, drop ------------------------------------------------------------------------------- */

/* The lease's slot, which it does not have any more; NULL: it had none. */
static struct slot *end_lease(weft_lease *lease)
{
    if (lease->item == NULL || wf_forked) {
        return NULL;
    }
    struct slot *slot = wf_container_of(lease->item, struct slot, item);
    lease->item = NULL;
    return slot;
}

void weft_lease_give(weft_lease *lease)
{
    struct slot *slot = end_lease(lease);
    if (slot != NULL) {
        slot->since_ns = clock_of(lease->pool_);
        give_slot(lease->pool_, slot);
    }
}

void weft_lease_drop(weft_lease *lease)
{
    struct slot *slot = end_lease(lease);
    if (slot != NULL) {
        close_item(lease->pool_, slot);
        give_slot(lease->pool_, slot);
    }
}

/* --- close ------------------------------------------------------------------------------------ */

static const struct wf_wait_ops drain_ops = {
    .cancel = wf_wait_cancel_claim, .finish = wf_sync_finish, .name = "weft_reuse_close"};

/* 0, and in *slot one to close, or NULL if all is closed and back. */
static ssize_t drain_begin(weft_reuse *pool, struct wf_call *call, struct wf_work *resume,
                           struct slot **slot)
{
    ssize_t rc = 0;
    wf_lock(&pool->lock);
    (void)shut_pool(pool);
    *slot = pop_open(pool);
    if (*slot != NULL) {
        pool->stats.leased++; /* by us, while we close it */
    } else if (pool->stats.leased != 0) {
        wf_call_queue(call, resume, &drain_ops, &pool->lock, &pool->drainers, NULL);
        rc = WF_PENDING;
    }
    wf_unlock(&pool->lock);
    return rc;
}

int weft_reuse_close(weft_reuse *pool)
{
    int rc = 0;
    struct wf_fiber *self =
        wf_enter_task(&rc); /* what is there is closed in a cancelled scope too */
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    for (;;) { /* ends: leases end, and there are no new ones */
        struct wf_call call;
        struct slot *slot;
        ssize_t began = drain_begin(pool, &call, &self->resume, &slot);
        if (began == WF_PENDING) {
            rc = (int)wf_call_end(self, &call, began);
            if (rc < 0) {
                return rc;
            }
        } else if (slot != NULL) {
            close_item(pool, slot);
            give_slot(pool, slot);
        } else {
            return 0;
        }
    }
}

void weft_reuse_stats_get(weft_reuse *pool, weft_reuse_stats *out)
{
    *out = (weft_reuse_stats){0};
    if (wf_forked) {
        return;
    }
    wf_lock(&pool->lock);
    *out = pool->stats;
    wf_unlock(&pool->lock);
}
