/* load_switch.c: tasks that give way to each other: hand-overs between two, yields, first
 * suspensions. */
#include "load.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <weft/chan.h>
#include <weft/sync.h>

/* --- pingpong over semaphores ----------------------------------------------------------------- */

struct ping {
    weft_sem to_partner, to_caller;
    uint64_t rounds;
    uint64_t partner_turns; /* the task that holds the turn writes these */
    uint64_t caller_turns;
};

static int ping_partner(void *arg)
{
    struct ping *p = arg;
    for (uint64_t i = 0; i < p->rounds; i++) {
        int rc = weft_sem_acquire(&p->to_partner);
        if (rc < 0) {
            return rc;
        }
        p->partner_turns++;
        weft_sem_release(&p->to_caller, 1);
    }
    return 0;
}

static int ping_caller(struct ping *p)
{
    for (uint64_t i = 0; i < p->rounds; i++) {
        p->caller_turns++;
        weft_sem_release(&p->to_partner, 1);
        int rc = weft_sem_acquire(&p->to_caller);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int ping_open(struct tb_trial *trial)
{
    trial->ops_per_round = 2; /* there and back */
    return 0;
}

static int ping_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct ping p = {.rounds = rounds};
    weft_sem_init(&p.to_partner, 0, 1);
    weft_sem_init(&p.to_caller, 0, 1);
    weft_task partner;
    weft_spawn(&partner, ping_partner, &p);
    int rc = ping_caller(&p);
    int rc_partner = weft_await(&partner);
    weft_sem_fini(&p.to_partner);
    weft_sem_fini(&p.to_caller);
    if (p.partner_turns != rounds || p.caller_turns != rounds) {
        return tb_wrong(trial, "%llu turns, the partner had %llu",
                        (unsigned long long)p.caller_turns, (unsigned long long)p.partner_turns);
    }
    return rc < 0 ? rc : rc_partner;
}

/* --- pingpong over channels ------------------------------------------------------------------- */

struct pong {
    weft_chan *to_partner, *to_caller;
    uint64_t rounds; /* of this sample */
};

/* Sends each value back plus one. */
static int pong_partner(void *arg)
{
    struct pong *p = arg;
    for (uint64_t i = 0; i < p->rounds; i++) {
        uint64_t value;
        int rc = weft_chan_recv(p->to_partner, &value);
        value++;
        rc = rc < 0 ? rc : weft_chan_send(p->to_caller, &value);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int pong_caller(struct tb_trial *trial, struct pong *p)
{
    for (uint64_t i = 0; i < p->rounds; i++) {
        uint64_t value = 2 * i;
        int rc = weft_chan_send(p->to_partner, &value);
        rc = rc < 0 ? rc : weft_chan_recv(p->to_caller, &value);
        if (rc < 0) {
            return rc;
        }
        if (value != 2 * i + 1) {
            return tb_wrong(trial, "sent %llu, got %llu back", (unsigned long long)(2 * i),
                            (unsigned long long)value);
        }
    }
    return 0;
}

static void pong_close(struct tb_trial *trial)
{
    struct pong *p = trial->state;
    weft_chan_free(p->to_partner);
    weft_chan_free(p->to_caller);
    free(p);
}

static int pong_open(struct tb_trial *trial)
{
    struct pong *p = trial->state = calloc(1, sizeof *p);
    if (!p) {
        return tb_skip(trial, "no memory for the channels");
    }
    trial->ops_per_round = 2;
    int rc = weft_chan_new(&p->to_partner, sizeof(uint64_t), 1);
    rc = rc < 0 ? rc : weft_chan_new(&p->to_caller, sizeof(uint64_t), 1);
    if (rc < 0) {
        pong_close(trial);
    }
    return rc;
}

/* A wrong value ends the caller while its partner waits: closing the channel lets the partner end
 * too. */
static int pong_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct pong *p = trial->state;
    p->rounds = rounds;
    weft_task partner;
    weft_spawn(&partner, pong_partner, p);
    int rc = pong_caller(trial, p);
    if (rc < 0) {
        weft_chan_close(p->to_partner, -EPIPE);
    }
    int rc_partner = weft_await(&partner);
    return rc < 0 ? rc : rc_partner;
}

/* --- yield ------------------------------------------------------------------------------------ */

struct yielder {
    uint64_t turns; /* to take */
    uint64_t taken;
};

struct yielders {
    weft_task *tasks;
    struct yielder *each;
};

static int yield_turns(void *arg)
{
    struct yielder *y = arg;
    int rc = 0;
    for (uint64_t i = 0; i < y->turns && rc == 0; i++) {
        y->taken++;
        rc = weft_yield();
    }
    return rc;
}

static void yield_close(struct tb_trial *trial)
{
    struct yielders *y = trial->state;
    free(y->tasks);
    free(y->each);
    free(y);
}

static int yield_open(struct tb_trial *trial)
{
    struct yielders *y = trial->state = calloc(1, sizeof *y);
    if (!y) {
        return tb_skip(trial, "no memory for the tasks");
    }
    y->tasks = calloc(trial->params[0], sizeof *y->tasks);
    y->each = calloc(trial->params[0], sizeof *y->each);
    if (!y->tasks || !y->each) {
        yield_close(trial);
        return tb_skip(trial, "no memory for the tasks");
    }
    trial->ops_per_round = trial->params[0];
    return 0;
}

/* With one task it is the sample's own, so that nobody else is there to run. */
static int yield_alone(struct tb_trial *trial, uint64_t rounds)
{
    struct yielder y = {.turns = rounds};
    int rc = yield_turns(&y);
    return rc == 0 && y.taken != rounds ? tb_wrong(trial, "not all turns were taken") : rc;
}

static int yield_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct yielders *y = trial->state;
    uint64_t n = trial->params[0];
    if (n == 1) {
        return yield_alone(trial, rounds);
    }
    for (uint64_t i = 0; i < n; i++) {
        y->each[i] = (struct yielder){.turns = rounds};
        weft_spawn(&y->tasks[i], yield_turns, &y->each[i]);
    }
    int rc = 0;
    for (uint64_t i = 0; i < n; i++) {
        int rc_one = weft_await(&y->tasks[i]);
        rc = rc < 0 ? rc : rc_one;
        if (y->each[i].taken != rounds) {
            tb_wrong(trial, "task %llu took %llu turns of %llu", (unsigned long long)i,
                     (unsigned long long)y->each[i].taken, (unsigned long long)rounds);
        }
    }
    return trial->reason[0] ? -EBADMSG : rc;
}

/* --- suspend ---------------------------------------------------------------------------------- */

struct waiters {
    weft_sem gate;
    _Atomic uint64_t arrived; /* tasks that are about to wait */
    _Atomic uint64_t passed;
    weft_task tasks[];
};

static int wait_at_gate(void *arg)
{
    struct waiters *w = arg;
    /* relaxed, both: counts that order nothing; weft_await orders the last look at them */
    atomic_fetch_add_explicit(&w->arrived, 1, memory_order_relaxed);
    int rc = weft_sem_acquire(&w->gate);
    atomic_fetch_add_explicit(&w->passed, rc == 0, memory_order_relaxed);
    return rc;
}

static int suspend_open(struct tb_trial *trial)
{
    uint64_t n = trial->params[0];
    trial->ops_per_round = n;
    trial->state = calloc(1, sizeof(struct waiters) + n * sizeof(weft_task));
    return trial->state ? 0 : tb_skip(trial, "no memory for the tasks");
}

static void suspend_close(struct tb_trial *trial)
{
    free(trial->state);
}

/* All tasks are waiting, or on their way between counting themselves and waiting, before any of
 * them goes on. */
static int suspend_round(struct waiters *w, uint64_t n)
{
    /* relaxed: weft_spawn publishes it */
    atomic_store_explicit(&w->arrived, 0, memory_order_relaxed);
    weft_sem_init(&w->gate, 0, 0);
    for (uint64_t i = 0; i < n; i++) {
        weft_spawn(&w->tasks[i], wait_at_gate, w);
    }
    int rc = 0;
    while (rc == 0 && atomic_load_explicit(&w->arrived, memory_order_relaxed) < n) {
        rc = weft_yield();
    }
    weft_sem_release(&w->gate, (uint32_t)n);
    for (uint64_t i = 0; i < n; i++) {
        int rc_one = weft_await(&w->tasks[i]);
        rc = rc < 0 ? rc : rc_one;
    }
    weft_sem_fini(&w->gate);
    return rc;
}

static int suspend_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct waiters *w = trial->state;
    uint64_t n = trial->params[0];
    w->passed = 0;
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = suspend_round(w, n);
    }
    if (rc == 0 && w->passed != rounds * n) {
        return tb_wrong(trial, "%llu tasks passed the gate, not %llu",
                        (unsigned long long)w->passed, (unsigned long long)(rounds * n));
    }
    return rc;
}

const struct tb_load tb_loads_switch[] = {
    {
        .name = "pingpong",
        .group = "switch",
        .about = "two tasks hand over to each other, two semaphores",
        .op = "hand-over",
        .flags = TB_LOAD_QUICK,
        .open = ping_open,
        .sample = ping_sample,
    },
    {
        .name = "pingpong/chan",
        .group = "switch",
        .about = "the same over two channels of one item",
        .op = "hand-over",
        .flags = TB_LOAD_QUICK,
        .open = pong_open,
        .sample = pong_sample,
        .close = pong_close,
    },
    {
        .name = "yield",
        .group = "switch",
        .about = "weft_yield with nobody else to run",
        .op = "yield",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .params = {{"tasks", 1, 1, 1 << 20, "tasks that yield"}},
        .open = yield_open,
        .sample = yield_sample,
        .close = yield_close,
    },
    {
        .name = "yield/1000",
        .group = "switch",
        .about = "weft_yield among a thousand tasks",
        .op = "yield",
        .flags = TB_LOAD_QUICK,
        .params = {{"tasks", 1000, 1, 1 << 20, "tasks that yield"}},
        .open = yield_open,
        .sample = yield_sample,
        .close = yield_close,
    },
    {
        .name = "suspend",
        .group = "switch",
        .about = "spawn, first suspension, resume and await of a task",
        .op = "task",
        .flags = TB_LOAD_QUICK,
        .params = {{"tasks", 100, 1, 1 << 20, "tasks that wait at a time"}},
        .open = suspend_open,
        .sample = suspend_sample,
        .close = suspend_close,
    },
    {.name = NULL},
};
