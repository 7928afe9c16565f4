/* load_lock.c: mutexes, locks for readers and writers, events; pools of what is reused, and calls
 * that are shared. */
#include "load.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <weft/reuse.h>
#include <weft/sync.h>
#include <weft/task.h>

#define TASKS_MAX 1024

/* --- a crowd: tasks that do the same thing many times ----------------------------------------- */

struct crowd;

/* One turn of a task; 0, or a code that ends it. */
typedef int turn_fn(struct crowd *c, uint64_t turn);

struct crowd {
    weft_mutex mutex;
    weft_rwlock rwlock;
    weft_flight flight;
    turn_fn *turn;
    uint64_t turns; /* per task */
    uint64_t count; /* under the lock that is measured, not atomic */
    _Atomic uint64_t inside, passed, wrong;
    weft_task tasks[];
};

static int crowd_open(struct tb_trial *trial)
{
    uint64_t n = trial->params[0];
    trial->ops_per_round = n;
    struct crowd *c = trial->state = calloc(1, sizeof *c + n * sizeof(weft_task));
    if (!c) {
        return tb_skip(trial, "no memory for the tasks");
    }
    weft_mutex_init(&c->mutex);
    weft_rwlock_init(&c->rwlock);
    weft_flight_init(&c->flight, sizeof(uint64_t));
    return 0;
}

static void crowd_close(struct tb_trial *trial)
{
    struct crowd *c = trial->state;
    weft_mutex_fini(&c->mutex);
    weft_rwlock_fini(&c->rwlock);
    weft_flight_fini(&c->flight);
    free(c);
}

static int take_turns(void *arg)
{
    struct crowd *c = arg;
    int rc = 0;
    for (uint64_t i = 0; i < c->turns && rc == 0; i++) {
        rc = c->turn(c, i);
    }
    return rc;
}

/* Each task has `rounds` turns; with one task, in this one. */
static int run_crowd(struct tb_trial *trial, uint64_t rounds, turn_fn *turn)
{
    struct crowd *c = trial->state;
    uint64_t n = trial->params[0];
    c->turn = turn;
    c->turns = rounds;
    c->count = 0;
    c->passed = 0;
    c->wrong = 0;
    if (n == 1) {
        return take_turns(c);
    }
    for (uint64_t i = 0; i < n; i++) {
        weft_spawn(&c->tasks[i], take_turns, c);
    }
    int rc = 0;
    for (uint64_t i = 0; i < n; i++) {
        int rc_one = weft_await(&c->tasks[i]);
        rc = rc < 0 ? rc : rc_one;
    }
    return rc;
}

static int check_turns(struct tb_trial *trial, int rc, uint64_t had, uint64_t rounds)
{
    struct crowd *c = trial->state;
    uint64_t expected = rounds * trial->params[0];
    if (rc == 0 && (had != expected || c->wrong != 0)) {
        return tb_wrong(trial, "%llu turns of %llu, %llu of them beside another",
                        (unsigned long long)had, (unsigned long long)expected,
                        (unsigned long long)c->wrong);
    }
    return rc;
}

/* --- mutex ------------------------------------------------------------------------------------ */

static int mutex_turn(struct crowd *c, uint64_t turn)
{
    (void)turn;
    int rc = weft_mutex_lock(&c->mutex);
    if (rc == 0) {
        c->count++;
        rc = weft_mutex_unlock(&c->mutex);
    }
    return rc;
}

static int mutex_turn_with_yield(struct crowd *c, uint64_t turn)
{
    (void)turn;
    int rc = weft_mutex_lock(&c->mutex);
    if (rc == 0) {
        c->wrong += c->inside++ != 0;
        c->count++;
        rc = weft_yield();
        c->inside--;
        weft_mutex_unlock(&c->mutex);
    }
    return rc;
}

static int mutex_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct crowd *c = trial->state;
    turn_fn *turn = trial->params[0] == 1 ? mutex_turn : mutex_turn_with_yield;
    int rc = run_crowd(trial, rounds, turn);
    return check_turns(trial, rc, c->count, rounds);
}

/* --- rwlock ----------------------------------------------------------------------------------- */

static int rwlock_turn(struct crowd *c, uint64_t turn)
{
    (void)turn;
    int rc = weft_rwlock_read(&c->rwlock);
    if (rc == 0) {
        c->count++; /* alone */
        rc = weft_rwlock_unlock(&c->rwlock);
    }
    return rc;
}

#define WRITER (UINT64_C(1) << 32) /* in `inside`, where each reader is 1 */

/* One turn in eight writes. */
static int rwlock_turn_with_yield(struct crowd *c, uint64_t turn)
{
    bool writes = turn % 8 == 7;
    int rc = writes ? weft_rwlock_write(&c->rwlock) : weft_rwlock_read(&c->rwlock);
    if (rc == 0) {
        uint64_t before = atomic_fetch_add(&c->inside, writes ? WRITER : 1);
        c->wrong += writes ? before != 0 : before >= WRITER;
        c->passed++;
        rc = weft_yield();
        atomic_fetch_sub(&c->inside, writes ? WRITER : 1);
        weft_rwlock_unlock(&c->rwlock);
    }
    return rc;
}

static int rwlock_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct crowd *c = trial->state;
    bool alone = trial->params[0] == 1;
    int rc = run_crowd(trial, rounds, alone ? rwlock_turn : rwlock_turn_with_yield);
    return check_turns(trial, rc, alone ? c->count : c->passed, rounds);
}

/* --- event: two tasks that wake each other ---------------------------------------------------- */

struct bell {
    weft_event ping, pong;
    uint64_t turns, answered;
};

static int answer(void *arg)
{
    struct bell *bell = arg;
    int rc = 0;
    for (uint64_t i = 0; i < bell->turns && rc == 0; i++) {
        rc = weft_event_wait(&bell->ping);
        bell->answered++;
        weft_event_set(&bell->pong);
    }
    return rc;
}

static int event_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct bell bell = {.turns = rounds};
    weft_event_init(&bell.ping, WEFT_EVENT_AUTO);
    weft_event_init(&bell.pong, WEFT_EVENT_AUTO);
    weft_task task;
    weft_spawn(&task, answer, &bell);
    int rc = 0;
    uint64_t asked = 0;
    for (; asked < rounds && rc == 0; asked++) {
        weft_event_set(&bell.ping);
        rc = weft_event_wait(&bell.pong);
    }
    int rc_answer = weft_await(&task);
    rc = rc < 0 ? rc : rc_answer;
    weft_event_fini(&bell.ping);
    weft_event_fini(&bell.pong);
    if (rc == 0 && (bell.answered != rounds || asked != rounds)) {
        return tb_wrong(trial, "%llu answers to %llu of %llu", (unsigned long long)bell.answered,
                        (unsigned long long)asked, (unsigned long long)rounds);
    }
    return rc;
}

static int event_open(struct tb_trial *trial)
{
    trial->ops_per_round = 2; /* there and back */
    return 0;
}

/* --- reuse ------------------------------------------------------------------------------------ */

static int open_number(void *item, void *ctx)
{
    uint64_t *opened = ctx;
    *(uint64_t *)item = ++*opened;
    return 0;
}

static void close_number(void *item, void *ctx)
{
    (void)ctx;
    *(uint64_t *)item = 0;
}

struct connections {
    weft_reuse *pool;
    uint64_t opened;
};

static int reuse_open(struct tb_trial *trial)
{
    struct connections *c = trial->state = calloc(1, sizeof *c);
    if (!c) {
        return tb_skip(trial, "no memory for the pool");
    }
    int rc = weft_reuse_new(&c->pool, &(weft_reuse_opts){.max = 8,
                                                         .item_bytes = sizeof(uint64_t),
                                                         .ctx = &c->opened,
                                                         .open = open_number,
                                                         .close = close_number});
    if (rc < 0) {
        free(c);
    }
    return rc;
}

static void reuse_close(struct tb_trial *trial)
{
    struct connections *c = trial->state;
    weft_reuse_free(c->pool);
    free(c);
}

static int reuse_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct connections *c = trial->state;
    uint64_t seen = 0;
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        weft_lease lease;
        rc = weft_reuse_take(c->pool, &lease);
        seen += rc == 0 ? *(uint64_t *)lease.item : 0;
        weft_lease_give(&lease);
    }
    if (rc == 0 && (c->opened != 1 || seen != rounds)) {
        return tb_wrong(trial, "%llu were opened, not 1, and seen %llu times of %llu",
                        (unsigned long long)c->opened, (unsigned long long)seen,
                        (unsigned long long)rounds);
    }
    return rc;
}

/* --- flight ----------------------------------------------------------------------------------- */

static int fly_alone(void *arg, void *result)
{
    *(uint64_t *)result = ++((struct crowd *)arg)->count;
    return 0;
}

static int flight_turn(struct crowd *c, uint64_t turn)
{
    uint64_t result = 0;
    int rc = weft_flight_call(&c->flight, &turn, sizeof turn, fly_alone, c, &result);
    c->wrong += result != turn + 1;
    return rc;
}

static int flight_sample(struct tb_trial *trial, uint64_t rounds)
{
    int rc = run_crowd(trial, rounds, flight_turn);
    return check_turns(trial, rc, ((struct crowd *)trial->state)->count, rounds);
}

/* The others come while it yields. */
static int fly_for_all(void *arg, void *result)
{
    struct crowd *c = arg;
    c->wrong += c->inside++ != 0;
    *(uint64_t *)result = ++c->count;
    int rc = weft_yield();
    c->inside--;
    return rc;
}

static int shared_turn(struct crowd *c, uint64_t turn)
{
    (void)turn;
    uint64_t result = 0;
    int rc = weft_flight_call(&c->flight, "key", 3, fly_for_all, c, &result);
    c->wrong += result == 0;
    c->passed++;
    return rc;
}

static int shared_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct crowd *c = trial->state;
    int rc = run_crowd(trial, rounds, shared_turn);
    tb_metric(trial, "sharers", "", c->count ? (double)c->passed / (double)c->count : 0);
    return check_turns(trial, rc, c->passed, rounds);
}

const struct tb_load tb_loads_lock[] = {
    {
        .name = "mutex",
        .group = "sync",
        .about = "lock and unlock of a free mutex",
        .op = "pair",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .params = {{"tasks", 1, 1, TASKS_MAX, "tasks that share it"}},
        .open = crowd_open,
        .sample = mutex_sample,
        .close = crowd_close,
    },
    {
        .name = "mutex/queue",
        .group = "sync",
        .about = "four tasks queue for a mutex, held over a yield",
        .op = "turn",
        .flags = TB_LOAD_QUICK,
        .params = {{"tasks", 4, 1, TASKS_MAX, "tasks that share it"}},
        .open = crowd_open,
        .sample = mutex_sample,
        .close = crowd_close,
    },
    {
        .name = "rwlock",
        .group = "sync",
        .about = "a free lock, held for reading and given back",
        .op = "pair",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .params = {{"tasks", 1, 1, TASKS_MAX, "tasks that share it"}},
        .open = crowd_open,
        .sample = rwlock_sample,
        .close = crowd_close,
    },
    {
        .name = "rwlock/queue",
        .group = "sync",
        .about = "four tasks, one turn in eight writes, held over a yield",
        .op = "turn",
        .flags = TB_LOAD_QUICK,
        .params = {{"tasks", 4, 1, TASKS_MAX, "tasks that share it"}},
        .open = crowd_open,
        .sample = rwlock_sample,
        .close = crowd_close,
    },
    {
        .name = "event",
        .group = "sync",
        .about = "two tasks wake each other by events that reset themselves",
        .op = "hand-over",
        .flags = TB_LOAD_QUICK,
        .open = event_open,
        .sample = event_sample,
    },
    {
        .name = "reuse",
        .group = "sync",
        .about = "lease of an item that is open, and giving it back",
        .op = "lease",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .open = reuse_open,
        .sample = reuse_sample,
        .close = reuse_close,
    },
    {
        .name = "flight",
        .group = "sync",
        .about = "a shared call with nobody to share it (a miss)",
        .op = "call",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .params = {{"tasks", 1, 1, 1, "tasks that call"}},
        .open = crowd_open,
        .sample = flight_sample,
        .close = crowd_close,
    },
    {
        .name = "flight/hit",
        .group = "sync",
        .about = "sixteen tasks share calls of one key, each over a yield",
        .op = "call",
        .flags = TB_LOAD_QUICK,
        .params = {{"tasks", 16, 2, TASKS_MAX, "tasks that call"}},
        .open = crowd_open,
        .sample = shared_sample,
        .close = crowd_close,
    },
    {.name = NULL},
};
