/* load_sync.c: channels with several ends, select, generators, and semaphores. */
#include "load.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <weft/chan.h>
#include <weft/sync.h>

/* --- chan: producers and consumers on one bounded channel ------------------------------------- */

#define ENDS_MAX    16   /* producers, and consumers */
#define ITEMS_ROUND 1000 /* per round: enough to make the start of the tasks vanish */

/* The items of one task: a producer sends first, first + 1, ...; a consumer takes `count` of
 * any. */
struct end {
    weft_chan *chan;
    weft_task task;
    uint64_t first;
    uint64_t count;
    uint64_t sum;
};

struct market {
    weft_chan *chan;
    struct end producers[ENDS_MAX], consumers[ENDS_MAX];
};

static int produce(void *arg)
{
    struct end *end = arg;
    int rc = 0;
    for (uint64_t i = 0; i < end->count && rc == 0; i++) {
        uint64_t item = end->first + i;
        end->sum += item;
        rc = weft_chan_send(end->chan, &item);
    }
    return rc;
}

static int consume(void *arg)
{
    struct end *end = arg;
    for (uint64_t i = 0; i < end->count; i++) {
        uint64_t item;
        int rc = weft_chan_recv(end->chan, &item);
        if (rc != 1) {
            return rc < 0 ? rc : -EPIPE; /* nobody closes it */
        }
        end->sum += item;
    }
    return 0;
}

static int chan_open(struct tb_trial *trial)
{
    struct market *m = trial->state = calloc(1, sizeof *m);
    if (!m) {
        return tb_skip(trial, "no memory for the channel");
    }
    trial->ops_per_round = ITEMS_ROUND;
    int rc = weft_chan_new(&m->chan, sizeof(uint64_t), trial->params[1]);
    if (rc < 0) {
        free(m);
    }
    return rc;
}

static void chan_close(struct tb_trial *trial)
{
    struct market *m = trial->state;
    weft_chan_free(m->chan);
    free(m);
}

/* Part number i of n of `total`, so that the parts add up to it. */
static uint64_t part(uint64_t total, uint64_t i, uint64_t n)
{
    return total * (i + 1) / n - total * i / n;
}

static void start_ends(struct end *ends, uint64_t n, weft_chan *chan, uint64_t items, weft_fn *fn)
{
    uint64_t first = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t count = part(items, i, n);
        ends[i] = (struct end){.chan = chan, .first = first, .count = count};
        first += count;
        weft_spawn(&ends[i].task, fn, &ends[i]);
    }
}

static int await_ends(struct end *ends, uint64_t n, uint64_t *sum)
{
    int rc = 0;
    for (uint64_t i = 0; i < n; i++) {
        int rc_one = weft_await(&ends[i].task);
        rc = rc < 0 ? rc : rc_one;
        *sum += ends[i].sum;
    }
    return rc;
}

static int chan_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct market *m = trial->state;
    uint64_t n = trial->params[0], items = rounds * ITEMS_ROUND, sent = 0, received = 0;
    start_ends(m->consumers, n, m->chan, items, consume);
    start_ends(m->producers, n, m->chan, items, produce);
    int rc = await_ends(m->producers, n, &sent);
    int rc_consumers = await_ends(m->consumers, n, &received);
    rc = rc < 0 ? rc : rc_consumers;
    if (rc == 0 && (sent != received || sent != items * (items - 1) / 2)) {
        return tb_wrong(trial, "the sum of the items sent is %llu, received %llu",
                        (unsigned long long)sent, (unsigned long long)received);
    }
    return rc;
}

/* --- select: two producers, each with a channel, and a consumer that takes from either -------- */

#define SELECT_CHANS 2

struct junction {
    weft_chan *chans[SELECT_CHANS];
    struct end producers[SELECT_CHANS];
};

static void select_close(struct tb_trial *trial)
{
    struct junction *j = trial->state;
    for (int i = 0; i < SELECT_CHANS; i++) {
        weft_chan_free(j->chans[i]);
    }
    free(j);
}

static int select_open(struct tb_trial *trial)
{
    struct junction *j = trial->state = calloc(1, sizeof *j);
    if (!j) {
        return tb_skip(trial, "no memory for the channels");
    }
    trial->ops_per_round = ITEMS_ROUND;
    int rc = 0;
    for (int i = 0; i < SELECT_CHANS && rc == 0; i++) {
        rc = weft_chan_new(&j->chans[i], sizeof(uint64_t), trial->params[0]);
    }
    if (rc < 0) {
        select_close(trial);
    }
    return rc;
}

static int take_from_either(struct junction *j, uint64_t items, uint64_t *sum)
{
    uint64_t item;
    weft_case cases[SELECT_CHANS];
    for (int i = 0; i < SELECT_CHANS; i++) {
        cases[i] = WEFT_ON_RECV(j->chans[i], &item);
    }
    for (uint64_t i = 0; i < items; i++) {
        int rc = weft_select(cases, SELECT_CHANS, 0);
        if (rc < 0) {
            return rc;
        }
        *sum += item;
    }
    return 0;
}

static int select_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct junction *j = trial->state;
    uint64_t items = rounds * ITEMS_ROUND, sent = 0, received = 0, first = 0;
    for (uint64_t i = 0; i < SELECT_CHANS; i++) {
        uint64_t count = part(items, i, SELECT_CHANS);
        j->producers[i] = (struct end){.chan = j->chans[i], .first = first, .count = count};
        first += count;
        weft_spawn(&j->producers[i].task, produce, &j->producers[i]);
    }
    int rc_consumer = take_from_either(j, items, &received);
    int rc = await_ends(j->producers, SELECT_CHANS, &sent);
    rc = rc < 0 ? rc : rc_consumer;
    if (rc == 0 && sent != received) {
        return tb_wrong(trial, "the sum of the items sent is %llu, received %llu",
                        (unsigned long long)sent, (unsigned long long)received);
    }
    return rc;
}

/* --- gen: items of a generator ---------------------------------------------------------------- */

static int count_up(void *arg)
{
    uint64_t count = *(uint64_t *)arg;
    int rc = 0;
    for (uint64_t i = 0; i < count && rc == 0; i++) {
        rc = weft_emit(&i);
    }
    return rc;
}

static int gen_open(struct tb_trial *trial)
{
    trial->ops_per_round = ITEMS_ROUND;
    return 0;
}

static int gen_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t items = rounds * ITEMS_ROUND, sum = 0, item;
    weft_gen *gen;
    int rc = weft_gen_new(&gen, count_up, &items, sizeof item);
    while (rc >= 0 && (rc = weft_gen_next(gen, &item)) > 0) {
        sum += item;
    }
    int rc_close = weft_gen_close(gen);
    rc = rc < 0 ? rc : rc_close;
    if (rc == 0 && sum != items * (items - 1) / 2) {
        return tb_wrong(trial, "the sum of the items is %llu", (unsigned long long)sum);
    }
    return rc;
}

/* --- sem -------------------------------------------------------------------------------------- */

/* Tasks that take a permit, hold it over a yield (with more than one task) and give it back. */
struct crowd {
    weft_sem sem;
    uint64_t permits;
    uint64_t turns; /* per task */
    _Atomic uint64_t inside;
    _Atomic uint64_t crowded; /* times that more were inside than there are permits */
    _Atomic uint64_t passed;
    weft_task tasks[];
};

static int hold(struct crowd *c)
{
    /* relaxed: counts; `inside` is exact whatever the order, since each task adds before it
     * subtracts */
    if (atomic_fetch_add_explicit(&c->inside, 1, memory_order_relaxed) >= c->permits) {
        atomic_fetch_add_explicit(&c->crowded, 1, memory_order_relaxed);
    }
    int rc = weft_yield();
    atomic_fetch_sub_explicit(&c->inside, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->passed, 1, memory_order_relaxed);
    return rc;
}

static int take_turns(void *arg)
{
    struct crowd *c = arg;
    int rc = 0;
    for (uint64_t i = 0; i < c->turns && rc == 0; i++) {
        rc = weft_sem_acquire(&c->sem);
        if (rc == 0) {
            rc = hold(c);
            weft_sem_release(&c->sem, 1);
        }
    }
    return rc;
}

static int sem_alone(struct tb_trial *trial, uint64_t rounds)
{
    weft_sem sem;
    weft_sem_init(&sem, 1, 1);
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = weft_sem_acquire(&sem);
        rc = rc < 0 ? rc : weft_sem_release(&sem, 1);
    }
    if (rc == 0 && weft_sem_count(&sem) != 1) {
        rc = tb_wrong(trial, "%u permits are left of 1", weft_sem_count(&sem));
    }
    weft_sem_fini(&sem);
    return rc;
}

static int sem_open(struct tb_trial *trial)
{
    uint64_t n = trial->params[0];
    trial->ops_per_round = n;
    trial->state = calloc(1, sizeof(struct crowd) + n * sizeof(weft_task));
    return trial->state ? 0 : tb_skip(trial, "no memory for the tasks");
}

static void sem_close(struct tb_trial *trial)
{
    free(trial->state);
}

static int sem_crowd(struct tb_trial *trial, uint64_t rounds)
{
    struct crowd *c = trial->state;
    uint64_t n = trial->params[0];
    c->permits = 1;
    c->turns = rounds;
    c->passed = 0;
    weft_sem_init(&c->sem, 1, 1);
    for (uint64_t i = 0; i < n; i++) {
        weft_spawn(&c->tasks[i], take_turns, c);
    }
    int rc = 0;
    for (uint64_t i = 0; i < n; i++) {
        int rc_one = weft_await(&c->tasks[i]);
        rc = rc < 0 ? rc : rc_one;
    }
    weft_sem_fini(&c->sem);
    if (rc == 0 && (c->crowded != 0 || c->passed != n * rounds)) {
        return tb_wrong(trial, "%llu turns of %llu, %llu of them without a permit of their own",
                        (unsigned long long)c->passed, (unsigned long long)(n * rounds),
                        (unsigned long long)c->crowded);
    }
    return rc;
}

static int sem_sample(struct tb_trial *trial, uint64_t rounds)
{
    return trial->params[0] == 1 ? sem_alone(trial, rounds) : sem_crowd(trial, rounds);
}

const struct tb_load tb_loads_sync[] = {
    {
        .name = "chan",
        .group = "sync",
        .about = "items through a bounded channel, two senders, two receivers",
        .op = "item",
        .flags = TB_LOAD_QUICK,
        .params = {{"pairs", 2, 1, ENDS_MAX, "senders, and as many receivers"},
                   {"capacity", 64, 1, 1 << 20, "items that the channel holds"}},
        .open = chan_open,
        .sample = chan_sample,
        .close = chan_close,
    },
    {
        .name = "chan/cap0",
        .group = "sync",
        .about = "the same without capacity, one sender, one receiver",
        .op = "item",
        .params = {{"pairs", 1, 1, ENDS_MAX, "senders, and as many receivers"},
                   {"capacity", 0, 0, 1 << 20, "items that the channel holds"}},
        .open = chan_open,
        .sample = chan_sample,
        .close = chan_close,
    },
    {
        .name = "select",
        .group = "sync",
        .about = "items taken by weft_select from two channels, one sender each",
        .op = "item",
        .flags = TB_LOAD_QUICK,
        .params = {{"capacity", 64, 0, 1 << 20, "items that each channel holds"}},
        .open = select_open,
        .sample = select_sample,
        .close = select_close,
    },
    {
        .name = "gen",
        .group = "sync",
        .about = "items of a generator",
        .op = "item",
        .flags = TB_LOAD_QUICK,
        .open = gen_open,
        .sample = gen_sample,
    },
    {
        .name = "sem",
        .group = "sync",
        .about = "acquire and release of a free semaphore",
        .op = "pair",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .params = {{"tasks", 1, 1, 1 << 16, "tasks that share one permit"}},
        .open = sem_open,
        .sample = sem_sample,
        .close = sem_close,
    },
    {
        .name = "sem/queue",
        .group = "sync",
        .about = "four tasks queue for one permit, held over a yield",
        .op = "turn",
        .flags = TB_LOAD_QUICK,
        .params = {{"tasks", 4, 1, 1 << 16, "tasks that share one permit"}},
        .open = sem_open,
        .sample = sem_sample,
        .close = sem_close,
    },
    {.name = NULL},
};
