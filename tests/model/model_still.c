/* model_still.c: the last worker that goes to sleep, and knows that it is the last
 * (src/deadlock.c): two workers that send messages to each other, with pool/park.c in full.
 *
 * What is modelled of deadlock.c: a worker that has announced its sleep and found nothing asks
 * whether all workers are parked, looks at all inboxes, and asks again. One that finds it so
 * cancels when it looks awake again, which makes work ready in its own queue.
 *
 * Checked in every execution.
 *   Never too early: who finds that all stands still, finds that every message was run. Never
 *   missed: when nothing is left, a worker finds it; else all sleep, which is a deadlock here too.
 *   Once: of two that find it, one acts, and neither takes the other's work in progress for a
 *   second deadlock. */
#define WF_WORKERS_MAX 2
#include "pool/park.c"

#define WORKERS  2
#define MESSAGES 3

enum stage { WATCHING, FIRING, FIRED };

static struct wf_park park;
static WF_ATOMIC(uint32_t) inbox[WORKERS]; /* 1: a message */
static WF_ATOMIC(uint32_t) queue[WORKERS]; /* 1: what the cancellation made ready */
static WF_ATOMIC(uint32_t) woken[WORKERS];
static WF_ATOMIC(uint32_t) stage;
static WF_PLAIN(int) content; /* of the message: its number */

/* Observers' counts, not modelled: the checker is one thread. */
static int run, fired, over, to_run;

static void wake(int worker)
{
    if (worker >= 0) {
        wf_store_relaxed(&woken[worker], 1);
    }
}

static bool no_more(void *arg)
{
    (void)arg;
    return false;
}

/* As wf_post. */
static void post(int worker)
{
    uint32_t empty = 0;
    /* sync(still.post): release, as sync(worker.post) */
    bool posted = wf_cas_release(&inbox[worker], &empty, 1);
    wloom_assert(posted);
    if (wf_park_claim(&park, worker)) {
        wake(worker);
    }
}

/* As wf_ready, of a worker that runs, or is about to. */
static void ready(int self)
{
    wf_store_relaxed(&queue[self], 1);
    wake(wf_park_pick(&park));
}

static bool is_stuck(void)
{
    /* sync(still.quiet): seq_cst, as sync(deadlock.quiet) */
    wf_fence_seq_cst();
    for (int i = 0; i < WORKERS; i++) {
        /* sync(still.look): acquire, as sync(worker.look) */
        if (wf_load_acquire(&inbox[i]) != 0) {
            return false;
        }
    }
    return wf_park_all(&park);
}

static bool stands_still(void)
{
    if (!wf_park_all(&park)) {
        return false;
    }
    /* sync(still.stage): acquire, as sync(deadlock.stage) */
    uint32_t seen = wf_load_acquire(&stage);
    if (seen == FIRING || !is_stuck()) {
        return false;
    }
    wloom_assert(run == to_run);
    wloom_assert(seen == WATCHING);
    return wf_cas_relaxed(&stage, &seen, FIRING);
}

static void cancel_all(int self)
{
    fired++;
    ready(self);
    /* sync(still.fired): release, as sync(deadlock.fired) */
    wf_store_release(&stage, FIRED);
}

static bool serve(int self)
{
    if (wf_load_relaxed(&inbox[self]) != 0) {
        /* sync(still.collect): acq_rel, as sync(worker.collect) */
        (void)wf_xchg_acq_rel(&inbox[self], 0);
        int number = wf_plain_read(&content);
        run++;
        if (number < to_run) {
            wf_plain_write(&content, number + 1);
            post(1 - self);
        }
        return true;
    }
    uint32_t one = wf_load_relaxed(&queue[self]);
    if (one != 0 && wf_cas_relaxed(&queue[self], &one, 0)) {
        over = 1; /* the cancelled task runs: this ends the pool */
        for (int i = 0; i < WORKERS; i++) {
            wf_store_relaxed(&woken[i], 1);
        }
        return true;
    }
    return false;
}

static void worker(void *arg)
{
    int self = (int)(intptr_t)arg;
    while (over == 0) { /* ends: the cancelled task runs */
        if (serve(self)) {
            continue;
        }
        bool still = false;
        (void)wf_park_search(&park, self);
        wf_park_announce(&park, self);
        if (wf_load_relaxed(&inbox[self]) == 0 && over == 0) {
            still = stands_still();
            if (!still) {
                wloom_event_wait(&woken[self]);
            }
        }
        wf_park_retract(&park, self);
        if (still) {
            cancel_all(self);
        }
        wake(wf_park_found(&park, self, no_more, NULL));
    }
}

static void start(int messages)
{
    memset(inbox, 0, sizeof inbox);
    memset(queue, 0, sizeof queue);
    memset(woken, 0, sizeof woken);
    memset(&stage, 0, sizeof stage);
    wf_plain_write(&content, 1);
    run = fired = over = 0;
    to_run = messages;
    wloom_assert(wf_park_init(&park, WORKERS) == 0);
    if (messages > 0) {
        post(0); /* before they start */
    }
    wloom_spawn(worker, (void *)0);
    wloom_spawn(worker, (void *)1);
    wloom_join_all();
    wloom_assert(run == to_run && fired == 1);
}

static void both_go_to_sleep(void)
{
    start(0);
}

static void a_message_to_the_other(void)
{
    start(2);
}

static void messages_back_and_forth(void)
{
    start(MESSAGES);
}

static const struct wloom_scenario scenarios[] = {
    {"both go to sleep", both_go_to_sleep, NULL, NULL, false},
    {"a message to the other", a_message_to_the_other, NULL, NULL, false},
    {"messages back and forth", messages_back_and_forth, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

#define SUBMITTED                                                                             \
    "a cancellation that makes anything ready submits it, with a full fence, before it says " \
    "FIRED; "                                                                                 \
    "and one that makes nothing ready leaves a deadlock, which may be seen too early"

static const struct wloom_survivor survivors[] = {
    {"still.stage", "relaxed", SUBMITTED},
    {"still.fired", "relaxed", SUBMITTED},
    {NULL, NULL, NULL},
};

static const char *const under_test[] = {"model_still.c", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "still",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
        .share = 0.4,
    };
    return wloom_main(&harness, argc, argv);
}
