/* model_rescue.c: an owner and a rescuer at one ring (io/uring.c, uring_ring.c, uring_rescue.c,
 * op.c and uring_slots.h themselves): draining, submitting, kicking, cancelling and the wake.
 *
 * The kernel is a function that runs inside the owner's enters, as DEFER_TASKRUN has it: it takes
 * entries, completes a NOP at once and a READ when it is entered the next time, and answers
 * cancellations. A kick is the handler's function, called by the owner between its own: that it may
 * come between any two instructions is not modelled; it stores nothing but the words that the
 * kernel shares.
 *
 * Checked in every execution: `done` comes once for each submit; what the owner wrote before it
 * submitted is seen by `done`, and what that wrote by the owner that uses the op again; no slot is
 * used by two, and all are free at the end; the owner's poll comes to an end with nothing left. */
#pragma GCC diagnostic ignored "-Wunused-variable" /* a check's message is not made here */
#define WF_SLOTS_CHUNK 2
#include "io/uring_ring.c"
#include "io/op.c"
#undef io_of
#include "io/uring_lend.c"
#include "io/uring_rescue.c"

#define driver_of driver_of_uring /* files in one, with names of their own */
#define op_of     op_of_uring
#define start     start_op
#define enter     enter_ring
#define leave     leave_ring
#include "io/uring.c"

#include "tests/model/wloom.h"

#define OPS         3
#define ENTRIES     8
#define COMPLETIONS 128 /* room enough for a kick */

/* --- what the sources call -------------------------------------------------------------------- */

static struct wf_uring uring;
static struct wf_worker owner, rescuer;
static struct wf_lock inbox_lock;
static struct wf_work *inbox; /* under it */
static struct wf_op ops[OPS];
static WF_PLAIN(
    int) payload[OPS]; /* the owner's, before it submits; then the one's who calls done */
static WF_ATOMIC(uint32_t) told[OPS]; /* what a wait does: done has been called so often */
static int submits[OPS], ends[OPS];   /* observer's counts */
static WF_PLAIN(int) results; /* of the op that goes on; those who have its results, in turn */

void wf_post(struct wf_worker *target, struct wf_work *message)
{
    wloom_assert(target == &owner);
    wf_lock(&inbox_lock);
    message->next = inbox;
    inbox = message;
    wf_unlock(&inbox_lock);
}

void wf_exposed(struct wf_worker *worker)
{
    (void)worker;
}

int wf_kick_claim(void)
{
    return 0;
}

void wf_kick_drop(void)
{
}

void wf_kick_begin(struct wf_uring *u)
{
    (void)u;
}

void wf_kick_end(struct wf_uring *u)
{
    (void)u;
}

int wf_kick_send(struct wf_uring *u)
{
    (void)u;
    return -ESRCH;
}

void wf_timer_init(struct wf_timer *timer, void (*fire)(struct wf_timer *timer))
{
    (void)timer, (void)fire;
}

void wf_timer_add(struct wf_wheel *wheel, struct wf_timer *timer, int64_t deadline_ns)
{
    (void)wheel, (void)timer, (void)deadline_ns;
    wloom_fail(__FILE__, __LINE__, "a cancellation was not found so often");
}

bool wf_timer_del(struct wf_timer *timer)
{
    (void)timer;
    return true;
}

/* --- the kernel ------------------------------------------------------------------------------- */

static struct wf_ring_word words[5];
static struct io_uring_sqe entries[ENTRIES];
static struct io_uring_cqe completions[COMPLETIONS];
static uint64_t reading[OPS]; /* numbers of READs that wait; 0: none */
static uint32_t posted;

static void post_with(uint64_t number, int32_t res, uint32_t flags)
{
    completions[posted % COMPLETIONS] =
        (struct io_uring_cqe){.user_data = number, .res = res, .flags = flags};
    posted++;
    wf_store_release(&words[4].value, posted);
    wloom_assert(posted - wf_load_acquire(&words[3].value) <= COMPLETIONS);
}

static void post_completion(uint64_t number, int32_t res)
{
    post_with(number, res, 0);
}

/* A number that is never 0, since generations begin with 1. */
static bool end_reading(uint64_t number, int32_t res)
{
    for (int i = 0; i < OPS; i++) {
        if (reading[i] == number) {
            reading[i] = 0;
            post_completion(number, res);
            return true;
        }
    }
    return false;
}

static void take_entry(const struct io_uring_sqe *entry)
{
    if (entry->opcode == IORING_OP_NOP) {
        post_completion(entry->user_data, 0);
    } else if (entry->opcode == IORING_OP_READ) {
        for (int i = 0; i < OPS; i++) {
            if (reading[i] == 0) {
                reading[i] = entry->user_data;
                return;
            }
        }
    } else if (entry->opcode == IORING_OP_ACCEPT) {
        post_with(entry->user_data, 1, IORING_CQE_F_MORE);
        post_with(entry->user_data, 2, IORING_CQE_F_MORE);
        post_completion(entry->user_data, 3);
    } else {
        wloom_assert(entry->opcode == IORING_OP_ASYNC_CANCEL);
        bool found = end_reading(entry->addr, -ECANCELED);
        post_completion(entry->user_data, found ? 0 : -ENOENT);
    }
}

static int kernel(int fd, unsigned submit, unsigned min_complete, unsigned flags, void *arg,
                  size_t arg_bytes)
{
    (void)fd, (void)min_complete, (void)flags, (void)arg, (void)arg_bytes;
    for (int i = 0; i < OPS; i++) {
        if (reading[i] != 0) {
            end_reading(reading[i], 1);
        }
    }
    uint32_t head = wf_load_relaxed(&words[0].value);
    uint32_t tail = wf_load_acquire(&words[1].value);
    unsigned taken = 0;
    while (head != tail && taken < submit) {
        take_entry(&entries[head % ENTRIES]);
        head++;
        taken++;
    }
    wf_store_release(&words[0].value, head);
    return (int)taken;
}

static struct wf_slot chunk_memory[4][WF_SLOTS_CHUNK];
static int chunks_given;

static void *alloc(size_t alignment, size_t bytes)
{
    (void)alignment, (void)bytes;
    return chunks_given < 4 ? chunk_memory[chunks_given++] : NULL;
}

static int64_t no_time(void)
{
    return 0;
}

struct wf_sys wf_sys = {.uring_enter = kernel, .alloc = alloc, .now_ns = no_time};

size_t wf_sys_page_bytes(void)
{
    return 4096; /* nothing is lent here */
}

/* --- the scenarios' parts --------------------------------------------------------------------- */

static const struct wf_io_ops model_io_ops = {.submit = uring_submit, .cancel = uring_cancel};
static struct wf_io_driver driver = {.io = &model_io_ops};

static void begin(void)
{
    memset(&uring, 0, sizeof uring);
    memset(words, 0, sizeof words);
    memset(ops, 0, sizeof ops);
    memset(payload, 0, sizeof payload);
    memset(told, 0, sizeof told);
    memset(reading, 0, sizeof reading);
    wf_plain_write(&results, 0);
    memset(submits, 0, sizeof submits);
    memset(ends, 0, sizeof ends);
    memset(&owner.counters, 0, sizeof owner.counters);
    memset(&rescuer.counters, 0, sizeof rescuer.counters);
    memset(&inbox_lock, 0, sizeof inbox_lock);
    inbox = NULL;
    posted = 0;
    chunks_given = 0;
    owner.driver = &driver.base;
    owner.driver_state = &uring;
    uring.worker = &owner;
    wf_list_init(&uring.waiting);
    wf_list_init(&uring.cancelling);
    wf_list_init(&uring.dropped);
    wf_list_init(&uring.asking);
    uring.ring = (struct wf_ring){.entries_max = ENTRIES,
                                  .completions_max = COMPLETIONS,
                                  .entry_head = &words[0],
                                  .entry_tail = &words[1],
                                  .flags = &words[2],
                                  .completion_head = &words[3],
                                  .completion_tail = &words[4],
                                  .entries = entries,
                                  .completions = completions};
    wloom_assert(wf_slots_open(&uring.slots));
}

static void op_ended(struct wf_op *op)
{
    int i = (int)(op - ops);
    wloom_assert(++ends[i] == submits[i]);
    wloom_assert(wf_plain_read(&payload[i]) == submits[i]);
    wf_plain_write(&payload[i], -submits[i]);
    /* sync(model.told): release; pairs sync(model.look) */
    wf_store_release(&told[i], (uint32_t)ends[i]);
}

static void op_goes_on(struct wf_op *op, int32_t res)
{
    wloom_assert(ends[op - ops] < submits[op - ops]);
    wloom_assert(wf_plain_read(&results) == res - 1);
    wf_plain_write(&results, res);
}

static void submit(int i, enum wf_op_kind kind)
{
    wf_plain_write(&payload[i], ++submits[i]);
    ops[i].kind = (uint8_t)kind;
    ops[i].done = op_ended;
    ops[i].more = op_goes_on;
    wf_io_submit(&owner, &ops[i]);
}

static void hear_all(void)
{
    wf_lock(&inbox_lock);
    struct wf_work *message = inbox;
    inbox = NULL;
    wf_unlock(&inbox_lock);
    while (message != NULL) {
        struct wf_work *next = message->next;
        message->run(NULL, message);
        message = next;
    }
}

static bool has_ended(int i)
{
    /* sync(model.look): acquire; pairs sync(model.told) */
    return wf_load_acquire(&told[i]) == (uint32_t)submits[i];
}

/* The handler comes. */
static void kick(void)
{
    wf_ring_kick(&uring.ring);
    wloom_observe(true);
    wloom_assert(!wf_ring_has_entries(&uring.ring)); /* there was room */
    wloom_observe(false);
}

/* As the worker's loop, until the op has ended. */
static void await(int i)
{
    while (!has_ended(i)) {
        hear_all();
        if (uring_poll(NULL, &owner) == 0) {
            kick(); /* as a sleep would bring the next READ */
            wf_spin_hint();
        }
    }
    wloom_assert(wf_plain_read(&payload[i]) == -submits[i]);
}

/* The rescuer is gone. */
static void check_end(void)
{
    hear_all();
    for (int i = 0; i < 3; i++) { /* answers to cancellations, what was left */
        (void)uring_poll(NULL, &owner);
    }
    wloom_observe(true);
    wloom_assert(wf_slots_used(&uring.slots) == 0);
    wloom_assert(wf_load_relaxed(&uring.left) == 0);
    wloom_assert(wf_list_is_empty(&uring.cancelling) && inbox == NULL);
    for (int i = 0; i < OPS; i++) {
        wloom_assert(ends[i] == submits[i]);
    }
    wloom_assert(wf_load_relaxed(&owner.counters.ops_completed) +
                     wf_load_relaxed(&rescuer.counters.ops_completed) ==
                 wf_load_relaxed(&owner.counters.ops_submitted));
    wloom_observe(false);
}

static void take_once(void *arg)
{
    (void)arg;
    (void)wf_uring_take_from(&uring, &rescuer);
}

static void take_twice(void *arg)
{
    take_once(arg);
    take_once(arg);
}

static void cancel_first(void *arg)
{
    (void)arg;
    wf_io_cancel(&ops[0]);
}

/* --- scenarios -------------------------------------------------------------------------------- */

static void owner_and_rescuer_drain(void)
{
    begin();
    submit(0, WF_OP_NOP);
    submit(1, WF_OP_NOP);
    kick();
    wloom_spawn(take_once, NULL);
    await(0);
    await(1);
    wloom_join_all();
    check_end();
}

/* The rescuer gives back a slot that the owner uses again at once. */
static void owner_submits_meanwhile(void)
{
    begin();
    submit(0, WF_OP_NOP);
    kick();
    wloom_spawn(take_twice, NULL);
    submit(1, WF_OP_NOP);
    submit(2, WF_OP_NOP); /* a second chunk */
    kick();
    await(0);
    submit(0, WF_OP_NOP);
    await(0);
    await(1);
    await(2);
    wloom_join_all();
    check_end();
}

static void two_rescuers(void)
{
    begin();
    submit(0, WF_OP_NOP);
    submit(1, WF_OP_NOP);
    kick();
    wloom_spawn(take_once, NULL);
    wloom_spawn(take_once, NULL);
    wloom_join_all();
    await(0);
    await(1);
    check_end();
}

static void cancelled_after_it_has_completed(void)
{
    begin();
    submit(0, WF_OP_NOP);
    kick();
    wloom_spawn(take_once, NULL);
    wloom_spawn(cancel_first, NULL);
    await(0);
    wloom_join_all();
    check_end();
}

static void cancelled_while_it_waits(void)
{
    begin();
    submit(0, WF_OP_READ);
    submit(1, WF_OP_NOP);
    kick();
    wloom_spawn(take_twice, NULL);
    wloom_spawn(cancel_first, NULL);
    await(0);
    await(1);
    wloom_join_all();
    check_end();
}

/* The results of one op, each by whoever comes first, but in order; its end, which somebody may
 * have asked for. */
static void several_results(void)
{
    begin();
    submit(0, WF_OP_ACCEPT_MANY);
    kick();
    wloom_spawn(take_twice, NULL);
    wloom_spawn(cancel_first, NULL);
    await(0);
    wloom_assert(wf_plain_read(&results) == 2);
    wloom_join_all();
    check_end();
}

static const struct wloom_scenario scenarios[] = {
    {"owner_and_rescuer_drain", owner_and_rescuer_drain, NULL, NULL, false},
    {"owner_submits_meanwhile", owner_submits_meanwhile, NULL, NULL, false},
    {"two_rescuers", two_rescuers, NULL, NULL, false},
    {"cancelled_after_it_has_completed", cancelled_after_it_has_completed, NULL, NULL, false},
    {"cancelled_while_it_waits", cancelled_while_it_waits, NULL, NULL, false},
    {"several_results", several_results, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"io/uring_rescue.c", "io/uring_slots.h", "io/op.c",
                                         "io/uring.c", NULL};

/* What makes a number known, a completion, comes after its chunk in any case. The order is for one
 * that the kernel made up, which this one does not. */
static const struct wloom_survivor survivors[] = {
    {"slots.grow", "relaxed", "a number is completed after its chunk was published with its entry"},
    {"slots.find", "relaxed", "likewise"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "rescue",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
    };
    return wloom_main(&harness, argc, argv);
}
