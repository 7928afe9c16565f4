/* Everything of <weft/sync.h> and <weft/reuse.h> at once, by tasks whose scopes are cancelled at
 * random and whose waits have deadlines at random: what is counted must be conserved, and what
 * excludes must exclude.
 *
 * The seed is printed; WT_SEED=n in the environment repeats it (the threads' timing is not repeated
 * with it). Only tasks that wait for what others hold can be cut short, so a hang is weft's. */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <stdint.h>
#include <stdatomic.h>
#include <weft/weft.h>

#define GANGS    6                   /* tasks that open scopes, one after the other */
#define ACTORS   4                   /* in each scope */
#define ROUND_NS INT64_C(1000000000) /* of one number of workers */
#define PERMITS  4
#define ITEMS    3
#define KEYS     3
#define ONCES    64

struct world {
    weft_sem sem;
    weft_mutex mutex;
    weft_rwlock rwlock;
    weft_event token;     /* auto, set: whoever is let through sets it again */
    weft_barrier barrier; /* of two */
    weft_flight flight;
    weft_reuse *pool;
    weft_once onces[ONCES];

    atomic_int permits_out, in_mutex, readers, writers, with_token, leases, items_open;
    atomic_int flying[KEYS], making[ONCES], made[ONCES];
    atomic_long passed, lasts, done, cut_short;
    long counted; /* plain, under the mutex */
    atomic_long counted_too;
    int64_t until_ns;
};

struct actor {
    struct world *world;
    uint64_t dice;
};

static weft_time patience(uint64_t *dice)
{
    unsigned n = below(dice, 8);
    return n == 0 ? 0 : n < 4 ? WEFT_NS(below(dice, 100000)) : WEFT_FOREVER;
}

/* Inside, while something is held: sometimes others come. */
static void dally(uint64_t *dice)
{
    if (below(dice, 3) == 0) {
        (void)weft_yield();
    }
}

/* --- what a task may do: 0, or the code of a wait that was cut short -------------------------- */

static int use_permits(struct actor *me)
{
    struct world *w = me->world;
    uint32_t n = below(&me->dice, PERMITS) + 1;
    int rc = weft_within(patience(&me->dice), weft_sem_acquire_n(&w->sem, n));
    if (rc == 0) {
        wt_le(atomic_fetch_add(&w->permits_out, (int)n) + (int)n, PERMITS);
        dally(&me->dice);
        atomic_fetch_sub(&w->permits_out, (int)n);
        wt_eq(weft_sem_release(&w->sem, n), 0);
    }
    return rc;
}

static int use_mutex(struct actor *me)
{
    struct world *w = me->world;
    int rc = weft_within(patience(&me->dice), weft_mutex_lock(&w->mutex));
    if (rc == 0) {
        wt_eq(atomic_fetch_add(&w->in_mutex, 1), 0);
        w->counted++;
        atomic_fetch_add(&w->counted_too, 1);
        dally(&me->dice);
        atomic_fetch_sub(&w->in_mutex, 1);
        wt_eq(weft_mutex_unlock(&w->mutex), 0);
    }
    return rc;
}

static int use_rwlock(struct actor *me)
{
    struct world *w = me->world;
    bool writes = below(&me->dice, 3) == 0;
    int rc = weft_within(patience(&me->dice),
                         writes ? weft_rwlock_write(&w->rwlock) : weft_rwlock_read(&w->rwlock));
    if (rc == 0) {
        int before = atomic_fetch_add(writes ? &w->writers : &w->readers, 1);
        wt_true(!writes || before == 0);
        wt_eq(atomic_load(writes ? &w->readers : &w->writers), 0);
        dally(&me->dice);
        atomic_fetch_sub(writes ? &w->writers : &w->readers, 1);
        wt_eq(weft_rwlock_unlock(&w->rwlock), 0);
    }
    return rc;
}

static int use_token(struct actor *me)
{
    struct world *w = me->world;
    int rc = weft_within(patience(&me->dice), weft_event_wait(&w->token));
    if (rc == 0) {
        wt_eq(atomic_fetch_add(&w->with_token, 1), 0);
        dally(&me->dice);
        atomic_fetch_sub(&w->with_token, 1);
        wt_eq(weft_event_set(&w->token), 0);
    }
    return rc;
}

/* With a deadline always: the last of all has nobody to wait for. */
static int meet(struct actor *me)
{
    struct world *w = me->world;
    int rc = weft_within(WEFT_NS(below(&me->dice, 200000)), weft_barrier_wait(&w->barrier));
    if (rc >= 0) {
        atomic_fetch_add(&w->passed, 1);
        atomic_fetch_add(&w->lasts, rc);
        return 0;
    }
    return rc;
}

struct key {
    struct world *world;
    unsigned number;
    uint64_t dice;
};

static int fly(void *arg, void *result)
{
    struct key *key = arg;
    wt_eq(atomic_fetch_add(&key->world->flying[key->number], 1), 0);
    int rc = weft_yield();
    atomic_fetch_sub(&key->world->flying[key->number], 1);
    *(unsigned *)result = key->number * 17 + 1;
    return rc;
}

static int share(struct actor *me)
{
    struct key key = {me->world, below(&me->dice, KEYS), me->dice};
    unsigned result = 0;
    int rc =
        weft_within(patience(&me->dice), weft_flight_call(&me->world->flight, &key.number,
                                                          sizeof key.number, fly, &key, &result));
    wt_true(rc < 0 || result == key.number * 17 + 1);
    return rc;
}

static int use_item(struct actor *me)
{
    struct world *w = me->world;
    WEFT_LEASE(lease);
    int rc = weft_within(patience(&me->dice), weft_reuse_take(w->pool, &lease));
    if (rc == 0) {
        wt_le(atomic_fetch_add(&w->leases, 1) + 1, ITEMS);
        wt_eq(atomic_fetch_add(*(atomic_int **)lease.item, 1), 0, "two have one item");
        dally(&me->dice);
        atomic_fetch_sub(*(atomic_int **)lease.item, 1);
        atomic_fetch_sub(&w->leases, 1);
        if (below(&me->dice, 4) == 0) {
            weft_lease_drop(&lease);
        }
    }
    return rc;
}

static int make(void *arg)
{
    struct key *key = arg;
    wt_eq(atomic_fetch_add(&key->world->making[key->number], 1), 0);
    int rc = below(&key->dice, 4) == 0 ? -EIO : weft_yield();
    if (rc == 0) {
        wt_eq(atomic_fetch_add(&key->world->made[key->number], 1), 0);
    }
    atomic_fetch_sub(&key->world->making[key->number], 1);
    return rc;
}

static int make_once(struct actor *me)
{
    struct key key = {me->world, below(&me->dice, ONCES), roll(&me->dice)};
    int rc =
        weft_within(patience(&me->dice), weft_once_call(&me->world->onces[key.number], make, &key));
    wt_true(rc < 0 || atomic_load(&me->world->made[key.number]) == 1);
    return rc == -EIO ? 0 : rc;
}

static int (*const acts[])(struct actor *) = {use_permits, use_mutex, use_rwlock, use_token,
                                              meet,        share,     use_item,   make_once};

WEFT_TASK(act, struct actor)
{
    struct actor me = *arg;
    for (int i = 0; i < 40; i++) {
        int rc = acts[below(&me.dice, sizeof acts / sizeof *acts)](&me);
        atomic_fetch_add(rc == 0 ? &me.world->done : &me.world->cut_short, 1);
        if (rc == -ECANCELED) {
            wt_eq(weft_check(), -ECANCELED);
            return rc;
        }
        wt_true(rc == 0 || rc == -ETIME, "%d", rc);
    }
    return 0;
}

/* A scope of actors, cancelled after a while; again and again. */
WEFT_TASK(run_gang, struct actor)
{
    struct actor me = *arg;
    while (now_ns() < me.world->until_ns) { /* ends: time goes on */
        WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
        for (int i = 0; i < ACTORS; i++) {
            wt_eq(weft_go(&s, act, (&(struct actor){me.world, roll(&me.dice)})), 0);
        }
        for (unsigned turns = below(&me.dice, 60); turns > 0; turns--) {
            (void)weft_yield();
        }
        if (below(&me.dice, 4) != 0) {
            weft_scope_cancel(&s, "the dice");
        }
        int rc = weft_scope_end(&s);
        wt_true(rc == 0 || rc == -ECANCELED, "%d", rc);
    }
    return 0;
}

/* --- before and after ------------------------------------------------------------------------- */

static atomic_int users[1 << 20]; /* of items, by order of opening; the last are shared */
static atomic_uint opened;

static int open_item(void *item, void *ctx)
{
    struct world *w = ctx;
    unsigned number = atomic_fetch_add(&opened, 1) % (1 << 20);
    int rc = weft_yield();
    if (rc < 0) {
        return rc;
    }
    *(atomic_int **)item = &users[number];
    wt_le(atomic_fetch_add(&w->items_open, 1) + 1, ITEMS);
    return 0;
}

static void close_item(void *item, void *ctx)
{
    struct world *w = ctx;
    wt_eq(atomic_load(*(atomic_int **)item), 0);
    *(atomic_int **)item = NULL;
    atomic_fetch_sub(&w->items_open, 1);
}

static int check_item(void *item, weft_time idle, void *ctx)
{
    (void)ctx;
    wt_true(*(atomic_int **)item != NULL);
    return idle % 16 == 0 ? -EPIPE : idle % 5 == 0 ? weft_yield() : 0;
}

static void check_conserved(struct world *w)
{
    wt_eq(weft_sem_count(&w->sem), PERMITS);
    wt_eq(weft_sem_try_n(&w->sem, PERMITS), 0);
    wt_true(weft_mutex_owner(&w->mutex) == NULL);
    wt_eq(w->counted, atomic_load(&w->counted_too));
    wt_eq(weft_rwlock_try_write(&w->rwlock), 0);
    wt_eq(weft_rwlock_unlock(&w->rwlock), 0);
    wt_eq(weft_event_try(&w->token), 0);
    wt_eq(atomic_load(&w->passed), 2 * atomic_load(&w->lasts));
    weft_reuse_stats stats;
    weft_reuse_stats_get(w->pool, &stats);
    wt_eq(stats.leased, 0);
    wt_eq(stats.idle, atomic_load(&w->items_open));
    wt_eq(weft_reuse_close(w->pool), 0);
    wt_eq(atomic_load(&w->items_open), 0);
    wt_gt(atomic_load(&w->done), 0);
    wt_gt(atomic_load(&w->cut_short), 0);
}

static int run_world(void *arg)
{
    uint64_t dice = *(uint64_t *)arg;
    static struct world world;
    struct world *w = &world;
    memset(w, 0, sizeof *w);
    weft_sem_init(&w->sem, PERMITS, PERMITS);
    weft_mutex_init(&w->mutex);
    weft_rwlock_init(&w->rwlock);
    weft_event_init(&w->token, WEFT_EVENT_AUTO);
    weft_event_set(&w->token);
    weft_barrier_init(&w->barrier, 2);
    weft_flight_init(&w->flight, sizeof(unsigned));
    wt_eq(weft_reuse_new(&w->pool, &(weft_reuse_opts){.max = ITEMS,
                                                      .item_bytes = sizeof(atomic_int *),
                                                      .ctx = w,
                                                      .open = open_item,
                                                      .close = close_item,
                                                      .check = check_item,
                                                      .idle_max = WEFT_MS(2)}),
          0);
    w->until_ns = now_ns() + ROUND_NS;
    WEFT_SCOPE(s);
    for (int i = 0; i < GANGS; i++) {
        wt_eq(weft_go(&s, run_gang, (&(struct actor){w, roll(&dice)})), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    check_conserved(w);
    weft_reuse_free(w->pool);
    weft_flight_fini(&w->flight); /* with anything under way: misuse, which aborts */
    weft_barrier_fini(&w->barrier);
    weft_event_fini(&w->token);
    weft_rwlock_fini(&w->rwlock);
    weft_mutex_fini(&w->mutex);
    weft_sem_fini(&w->sem);
    return 0;
}

static void run_seeded(int workers)
{
    uint64_t seed = first_seed();
    wt_eq(weft_run(run_world, &seed, .workers = workers), 0);
}

Test(locks, nothing_is_lost_and_nobody_excluded_is_inside_with_1_worker)
{
    run_seeded(1);
}

Test(locks, nothing_is_lost_and_nobody_excluded_is_inside_with_2_workers)
{
    run_seeded(2);
}

Test(locks, nothing_is_lost_and_nobody_excluded_is_inside_with_8_workers)
{
    run_seeded(8);
}
