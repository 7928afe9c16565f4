/* model_lender.c: buffers that are lent: src/lender.h itself, with receivers that take one or wait
 * in line, some of them cancelled, parties that give back the same loan, and a kernel that is lent
 * some: a list under a lock of its own, since it does one thing after the other.
 *
 * Checked in every execution: a buffer is with one party at a time, who sees what the one before
 * did with its record; of all attempts to give one time back exactly one succeeds; nobody waits for
 * ever while a buffer is spare; in the end every buffer is there. */
#include "src/lender.h"

#include <string.h>

struct wf_fiber {
    struct wf_work resume; /* only its address counts */
    WF_PLAIN(int) context; /* 1: saved */
    WF_ATOMIC(uint32_t) ready;
    int resumed; /* not modelled: the checker is one thread */
};

#define RECEIVERS 2
#define BUFFERS   2

static struct wf_fiber fibers[RECEIVERS];
static struct wf_lender lender;
static struct wf_borrowed buffers[BUFFERS];
static WF_PLAIN(int) contents[BUFFERS]; /* written by who has the buffer */
static int holders[BUFFERS];            /* not modelled */
static struct wf_wait waits[RECEIVERS];
static struct wf_waiter places[RECEIVERS];
/* As a scope: cancels what has enlisted. */
static struct wf_lock scope_lock;
static WF_PLAIN(bool) enlisted;
static int cancelled, given; /* not modelled */
static struct wf_lock kernel_lock;
static struct wf_borrowed *lent[BUFFERS]; /* under kernel_lock; not modelled besides */
static int lent_count;
static WF_ATOMIC(uint32_t) lent_event[RECEIVERS]; /* of let_ask_again */

void wf_wait_resume(struct wf_work *resume)
{
    struct wf_fiber *fiber = wf_container_of(resume, struct wf_fiber, resume);
    wloom_assert(wf_plain_read(&fiber->context) == 1);
    wloom_assert(++fiber->resumed == 1);
    wloom_handoff_set(&fiber->ready);
}

static void begin(int count)
{
    memset(fibers, 0, sizeof fibers);
    memset(&lender, 0, sizeof lender);
    memset(buffers, 0, sizeof buffers);
    memset(contents, 0, sizeof contents);
    memset(holders, 0, sizeof holders);
    memset(waits, 0, sizeof waits);
    memset(places, 0, sizeof places);
    memset(&scope_lock, 0, sizeof scope_lock);
    memset(&kernel_lock, 0, sizeof kernel_lock);
    memset(lent_event, 0, sizeof lent_event);
    wf_plain_write(&enlisted, false);
    cancelled = given = lent_count = 0;
    wf_lender_init(&lender);
    for (int i = 0; i < count; i++) {
        buffers[i].lender = &lender;
        (void)wf_lender_put(&lender, &buffers[i], false);
    }
}

/* What is lent has changed: who asks the kernel again and again need do so only now. */
static void let_ask_again(void)
{
    for (int i = 0; i < RECEIVERS; i++) {
        wloom_handoff_set(&lent_event[i]);
    }
}

static void lend(struct wf_borrowed *buffer)
{
    wf_lock(&kernel_lock);
    lent[lent_count++] = buffer;
    wf_unlock(&kernel_lock);
    let_ask_again();
}

/* As the completion of a receive: chosen, or NULL, it had none. */
static struct wf_borrowed *choose(void)
{
    wf_lock(&kernel_lock);
    struct wf_borrowed *buffer = lent_count > 0 ? lent[--lent_count] : NULL;
    if (buffer != NULL) {
        wf_lender_chosen(&lender); /* completions are handed over in their order */
    }
    wf_unlock(&kernel_lock);
    if (buffer != NULL) {
        let_ask_again();
    }
    return buffer;
}

static void wait_for_it(int i)
{
    if (wf_wait_outcome(&waits[i]) == WF_WAIT_SETUP) {
        wf_plain_write(&fibers[i].context, 1);
        if (wf_wait_arm(&waits[i])) {
            wloom_handoff_wait(&fibers[i].ready);
        }
    }
}

/* As stand_in_line of src/loan.c. NULL: it waits in line. */
static struct wf_borrowed *ask(int i)
{
    for (;;) { /* ends: what is lent comes to the kernel; each turn but the last waits for that */
        switch (wf_lender_take_or_wait(&lender, &places[i])) {
        case WF_LENDER_GOT:
            return places[i].item;
        case WF_LENDER_IN_LINE:
            return NULL;
        case WF_LENDER_ASK_KERNEL: {
            struct wf_borrowed *buffer = choose();
            if (buffer != NULL) {
                return buffer;
            }
            wloom_observe(true); /* what it has seen may be old: then it asks at once */
            bool waits = wf_load_relaxed(&lender.lent_count) != 0;
            wloom_observe(false);
            if (waits) {
                wloom_handoff_wait(&lent_event[i]);
            }
        }
        }
    }
}

/* As go_on and line_finish of src/loan.c. NULL: it was cancelled. */
static struct wf_borrowed *borrow(int i, bool in_scope)
{
    struct wf_wait *wait = &waits[i];
    wf_store_relaxed(&wait->state, WF_WAIT_SETUP);
    wait->resume = &fibers[i].resume;
    places[i].wait = wait;
    wf_list_init(&places[i].in_queue);
    struct wf_borrowed *buffer = ask(i);
    if (buffer != NULL) {
        return buffer;
    }
    if (in_scope) {
        wf_lock(&scope_lock);
        wf_plain_write(&enlisted, true);
        wf_unlock(&scope_lock);
    }
    wait_for_it(i);
    if (in_scope) {
        wf_lock(&scope_lock);
        wf_plain_write(&enlisted, false);
        wf_unlock(&scope_lock);
    }
    if (wf_wait_outcome(wait) == WF_WAIT_GRANTED) {
        buffer = places[i].item;
        wloom_assert(buffer != NULL);
    } else {
        wf_lender_leave(&lender, &places[i]);
    }
    wloom_retire(wait, sizeof *wait);
    wloom_retire(&places[i], sizeof places[i]);
    return buffer;
}

static uint64_t use(struct wf_borrowed *buffer)
{
    int i = (int)(buffer - buffers);
    wloom_assert(holders[i]++ == 0);
    wf_plain_write(&contents[i], wf_plain_read(&contents[i]) + 1);
    uint64_t number = wf_borrowed_out(buffer);
    wloom_assert((number & 1) == 1);
    return number;
}

static bool give(struct wf_borrowed *buffer, uint64_t number, bool on_its_worker)
{
    if (!wf_borrowed_back(buffer, number)) {
        return false;
    }
    wloom_assert(--holders[buffer - buffers] == 0);
    wf_plain_write(&contents[buffer - buffers], wf_plain_read(&contents[buffer - buffers]) + 1);
    given++;
    if (wf_lender_put(&lender, buffer, on_its_worker)) {
        lend(buffer);
    }
    return true;
}

/* Everything is where it was. */
static void check_all(int count)
{
    for (int i = 0; i < count; i++) {
        struct wf_borrowed *buffer = choose();
        buffer = buffer != NULL ? buffer : wf_lender_take(&lender);
        wloom_assert(buffer != NULL && holders[buffer - buffers] == 0);
    }
    wloom_assert(choose() == NULL && wf_lender_take(&lender) == NULL);
    wloom_assert(wf_load_relaxed(&lender.lent_count) == 0);
    wloom_assert(wf_list_is_empty(&lender.line));
}

static void receiver(void *arg)
{
    int i = (int)(intptr_t)arg;
    struct wf_borrowed *buffer = borrow(i, i == 0);
    if (buffer == NULL) {
        cancelled++;
        return;
    }
    wloom_assert(give(buffer, use(buffer), false));
}

static void canceller(void *arg)
{
    (void)arg;
    wf_lock(&scope_lock);
    if (wf_plain_read(&enlisted)) {
        (void)wf_wait_claim(&waits[0], WF_WAIT_CANCELLED);
    }
    wf_unlock(&scope_lock);
}

/* One buffer, which this thread has at first; two that want it, of which one may be cancelled. */
static void line_and_a_cancellation(void)
{
    begin(1);
    struct wf_borrowed *buffer = wf_lender_take(&lender);
    uint64_t number = use(buffer);
    wloom_spawn(receiver, (void *)0);
    wloom_spawn(receiver, (void *)1);
    wloom_spawn(canceller, NULL);
    wloom_assert(give(buffer, number, false));
    wloom_join_all();
    wloom_assert(given + cancelled == 3);
    check_all(1);
}

static struct wf_borrowed *shared;
static uint64_t shared_number;
static int gave;

static void give_shared(void *arg)
{
    (void)arg;
    gave += give(shared, shared_number, false);
}

/* Two give back the same loan, as a task and the end of its scope, while another wants the
 * buffer. */
static void given_twice(void)
{
    begin(1);
    shared = wf_lender_take(&lender);
    shared_number = use(shared);
    gave = 0;
    wloom_spawn(give_shared, NULL);
    wloom_spawn(receiver, (void *)1);
    give_shared(NULL);
    wloom_join_all();
    wloom_assert(gave == 1);
    check_all(1);
}

/* Two buffers change hands; each holder sees what was done before. */
static void buffers_change_hands(void)
{
    begin(2);
    wloom_spawn(receiver, (void *)0);
    wloom_spawn(receiver, (void *)1);
    struct wf_borrowed *buffer = wf_lender_take(&lender);
    if (buffer != NULL) {
        wloom_assert(give(buffer, use(buffer), false));
    }
    wloom_join_all();
    check_all(2);
}

static void asker(void *arg)
{
    struct wf_borrowed *buffer = choose();
    if (buffer == NULL) {
        receiver(arg); /* however late it comes there */
    } else {
        wloom_assert(give(buffer, use(buffer), false));
    }
}

/* The lender's worker has the only buffer, and lends it again when it comes back. */
static void lent_when_it_comes_back(void)
{
    begin(1);
    struct wf_borrowed *buffer = wf_lender_take(&lender);
    uint64_t number = use(buffer);
    wloom_spawn(asker, (void *)0);
    wloom_spawn(asker, (void *)1);
    wloom_assert(give(buffer, number, true));
    wloom_join_all();
    wloom_assert(given == 3);
    check_all(1);
}

/* It lends one while another is chosen, and what came back meanwhile. */
static void lent_while_another_is_chosen(void)
{
    begin(2);
    lend(wf_lender_take_to_lend(&lender));
    struct wf_borrowed *buffer = wf_lender_take(&lender);
    uint64_t number = use(buffer);
    wloom_spawn(asker, (void *)0);
    wloom_spawn(asker, (void *)1);
    wloom_assert(give(buffer, number, true));
    buffer = wf_lender_take_to_lend(&lender);
    if (buffer != NULL) {
        lend(buffer);
    }
    wloom_join_all();
    check_all(2);
}

static const struct wloom_scenario scenarios[] = {
    {"line_and_a_cancellation", line_and_a_cancellation, NULL, NULL, false},
    {"given_twice", given_twice, NULL, NULL, false},
    {"buffers_change_hands", buffers_change_hands, NULL, NULL, false},
    {"lent_when_it_comes_back", lent_when_it_comes_back, NULL, NULL, false},
    {"lent_while_another_is_chosen", lent_while_another_is_chosen, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"src/lender.h", "src/wait.h", "src/waitq.h",
                                         "model_lender.c", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "lender",
        .scenarios = scenarios,
        .under_test = under_test,
    };
    return wloom_main(&harness, argc, argv);
}
