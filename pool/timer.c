/* timer.c: see timer.h.
 *
 * Where a timer goes. Write its tick and the wheel's in base 64: the highest digit in which they
 * differ is the level, and its own digit there is the slot. So at level L all timers share the
 * wheel's digits above L; in level 0 the occupied slots are at or after the wheel's digit, in the
 * levels above strictly after it; and every timer of a level is due before every timer of the next.
 * Hence the first occupied slot of the lowest occupied level holds the earliest timer, and two bit
 * scans find it. The wheel's tick may move freely up to the start of that slot without breaking
 * this; it is then the slot's turn: its timers are put where they belong by the new tick (lower),
 * or fired.
 *
 * In level 0 the timers of a slot that are not due go back to it; were it looked at again at the
 * next deadline, k timers would be moved k/2 times each. So after some have fired it is looked at
 * again when the slack is over (T.2).
 *
 * In a crowd the hint, and nothing else, is later than the earliest deadline: what advance does
 * when it is called does not depend on it.
 *
 * Each slot knows its earliest deadline, so that the worker sleeps until that very time and not
 * until a slot begins: a timer far away costs one wake-up, not one per level. After a delete it may
 * be too early, never too late; emptying the slot or moving its timers corrects it.
 *
 * Rejected: a heap (add and delete move log n nodes of cold memory); one kernel timeout per
 * operation (0.8 us each). */
#include "pool/timer.h"
#include "pool/base/check.h"

#include <pthread.h>
#include <string.h>

#define DIGIT_BITS 6
#define DIGIT_MASK ((int64_t)WF_WHEEL_SLOTS - 1)
_Static_assert(1 << DIGIT_BITS == WF_WHEEL_SLOTS, "one digit per level");
_Static_assert(WF_WHEEL_SLOTS == 64, "a level's slots are the bits of one word");
_Static_assert(WF_TIMER_TICK_BITS + WF_WHEEL_LEVELS * DIGIT_BITS >= 63,
               "every int64_t has its place");

/* Development builds: T.5. */
static void check_not_firing(struct wf_wheel *wheel)
{
    if (WF_CHECKS) {
        /* relaxed: it is our own id only if we wrote it */
        wf_check(wf_load_relaxed(&wheel->firing) != (uintptr_t)pthread_self(),
                 "a timer's fire() called into its own wheel");
    }
}

static int64_t tick_of(int64_t time_ns)
{
    return time_ns >> WF_TIMER_TICK_BITS; /* rounds down, for negative times too */
}

/* What takes it out of its slot will write there, and fire() next to it: a timer is the last member
 * of what it ends (src/call.h), so the line before it is wanted, too. A hint: it may be gone, or
 * NULL. */
static void fetch(const struct wf_timer *timer)
{
    wf_prefetch_write(timer);
    wf_prefetch_write(
        (const void *)((uintptr_t)timer - WF_LINE)); // NOLINT(performance-no-int-to-ptr)
}

static uint64_t place_of(unsigned slot, const struct wf_timer *ahead)
{
    return (uint64_t)(uintptr_t)ahead << 16 | slot;
}

static unsigned slot_of(const struct wf_timer *timer)
{
    return timer->place & 0xffff;
}

static bool is_queued(const struct wf_timer *timer)
{
    return timer->link.next != &timer->link;
}

/* ---- slots; under the lock ---- */

static void slot_add(struct wf_wheel *wheel, struct wf_timer *timer)
{
    /* What is late belongs to the present. */
    int64_t tick = tick_of(timer->deadline_ns);
    tick = tick > wheel->tick ? tick : wheel->tick;
    uint64_t differ = (uint64_t)(tick ^ wheel->tick) | DIGIT_MASK;
    int level = (63 - __builtin_clzll(differ)) / DIGIT_BITS;
    int digit = (int)((tick >> (level * DIGIT_BITS)) & DIGIT_MASK);

    unsigned index = (unsigned)(level * WF_WHEEL_SLOTS + digit);
    struct wf_wheel_slot *slot = &wheel->slots[index];
    if (wf_list_is_empty(&slot->timers)) {
        slot->count = 0;
        slot->earliest_ns = timer->deadline_ns;
    } else if (timer->deadline_ns < slot->earliest_ns) {
        slot->earliest_ns = timer->deadline_ns;
    }
    struct wf_timer **newest = &wheel->newest[index][slot->count % WF_WHEEL_AHEAD];
    timer->place = place_of(index, slot->count < WF_WHEEL_AHEAD ? NULL : *newest);
    *newest = timer;
    slot->count++;
    wf_list_push_back(&slot->timers, &timer->link);
    wheel->used[level] |= UINT64_C(1) << digit;
    wheel->levels |= 1u << level;
}

static void slot_is_empty(struct wf_wheel *wheel, unsigned slot)
{
    unsigned level = slot / WF_WHEEL_SLOTS;
    wheel->used[level] &= ~(UINT64_C(1) << (slot % WF_WHEEL_SLOTS));
    if (wheel->used[level] == 0) {
        wheel->levels &= ~(1u << level);
    }
}

/* The slot whose turn is next; -1: the wheel is empty. */
static int first_slot(const struct wf_wheel *wheel)
{
    if (wheel->levels == 0) {
        return -1;
    }
    int level = __builtin_ctz(wheel->levels);
    return level * WF_WHEEL_SLOTS + __builtin_ctzll(wheel->used[level]);
}

static int64_t slot_start(const struct wf_wheel *wheel, int slot)
{
    int shift = slot / WF_WHEEL_SLOTS * DIGIT_BITS;
    int64_t above = wheel->tick >> shift >> DIGIT_BITS << DIGIT_BITS;
    return (above | slot % WF_WHEEL_SLOTS) << shift;
}

static void hint_update(struct wf_wheel *wheel)
{
    int slot = first_slot(wheel);
    int64_t next_ns = slot < 0 ? INT64_MAX : wheel->slots[slot].earliest_ns;
    if (next_ns < wheel->rest_ns) {
        next_ns = wheel->rest_ns;
    }
    if (!wf_list_is_empty(&wheel->moving)) {
        next_ns = wheel->tick << WF_TIMER_TICK_BITS; /* advance has more to do at once */
    }
    wf_store_relaxed(&wheel->next_ns, next_ns);
}

/* ---- public ---- */

void wf_wheel_init(struct wf_wheel *wheel, struct wf_crowd *crowd, int64_t now_ns)
{
    memset(wheel, 0, offsetof(struct wf_wheel, newest));
    wheel->crowd = crowd;
    wheel->tick = tick_of(now_ns);
    wf_list_init(&wheel->moving);
    for (size_t i = 0; i < WF_COUNT(wheel->slots); i++) {
        wf_list_init(&wheel->slots[i].timers);
    }
    wf_store_relaxed(&wheel->next_ns, INT64_MAX);
}

void wf_timer_init(struct wf_timer *timer, void (*fire)(struct wf_timer *timer))
{
    *timer = (struct wf_timer){.fire = fire};
    wf_list_init(&timer->link);
}

void wf_timer_add(struct wf_wheel *wheel, struct wf_timer *timer, int64_t deadline_ns)
{
    check_not_firing(wheel);
    wf_check_inner(!is_queued(timer));
    timer->deadline_ns = deadline_ns;
    if (deadline_ns == INT64_MAX) {
        timer->wheel = NULL;
        return;
    }
    timer->wheel = wheel;
    wf_lock(&wheel->lock);
    slot_add(wheel, timer);
    if (deadline_ns < wf_load_relaxed(&wheel->next_ns)) {
        wf_store_relaxed(&wheel->next_ns, deadline_ns);
    }
    wf_store_relaxed(&wheel->added, wf_load_relaxed(&wheel->added) + 1);
    wf_unlock(&wheel->lock);
}

bool wf_timer_del(struct wf_timer *timer)
{
    struct wf_wheel *wheel = timer->wheel;
    if (!wheel) {
        return false;
    }
    check_not_firing(wheel);
    wf_lock(&wheel->lock);
    bool queued = is_queued(timer);
    if (queued) {
        wf_list_unlink(&timer->link);
        /* Right for a timer in `moving` too: then its former slot may be empty, and is marked so
         * already. */
        if (wf_list_is_empty(&wheel->slots[slot_of(timer)].timers)) {
            slot_is_empty(wheel, slot_of(timer));
        }
        if (timer->deadline_ns <= wf_load_relaxed(&wheel->next_ns)) {
            hint_update(wheel);
        }
        wf_store_relaxed(&wheel->deleted, wf_load_relaxed(&wheel->deleted) + 1);
    }
    wf_unlock(&wheel->lock);
    return queued;
}

/* ---- advancing ---- */

static void fire(struct wf_wheel *wheel, struct wf_timer *timer)
{
    if (WF_CHECKS) {
        wf_store_relaxed(&wheel->firing, (uintptr_t)pthread_self());
    }
    timer->fire(timer); /* LAST TOUCH: whoever fire() wakes may free the timer (T.4) */
    if (WF_CHECKS) {
        wf_store_relaxed(&wheel->firing, 0);
    }
}

/* Takes the timers of the first slot into `moving`, if its turn has come. */
static bool begin_slot(struct wf_wheel *wheel, int64_t now_ns)
{
    int index = first_slot(wheel);
    if (index < 0) {
        return false;
    }
    struct wf_wheel_slot *slot = &wheel->slots[index];
    int64_t start = slot_start(wheel, index);
    /* In level 0 nothing is gained before the earliest deadline. A higher slot must be gone before
     * the tick is in it. */
    if (index < WF_WHEEL_SLOTS ? slot->earliest_ns > now_ns : start > tick_of(now_ns)) {
        return false;
    }
    wf_check_inner(start >= wheel->tick);
    wheel->tick = start;
    wf_list_move_all(&slot->timers, &wheel->moving);
    slot_is_empty(wheel, (unsigned)index);
    for (unsigned i = 0; i < WF_WHEEL_AHEAD && i < slot->count; i++) {
        fetch(wheel->newest[index][i]);
    }
    return true;
}

/* The present slot's next turn is not before the slack is over, but within its tick: the wheel must
 * not move past a slot that has timers. */
static void postpone(const struct wf_wheel *wheel, struct wf_wheel_slot *slot, int64_t now_ns)
{
    int64_t end_ns = (wheel->tick << WF_TIMER_TICK_BITS) + ((1 << WF_TIMER_TICK_BITS) - 1);
    int64_t turn_ns = end_ns - now_ns < WF_TIMER_SLACK_NS ? end_ns : now_ns + WF_TIMER_SLACK_NS;
    if (slot->earliest_ns < turn_ns) {
        slot->earliest_ns = turn_ns;
    }
}

/* The newest first. */
static struct wf_timer *take_moving(struct wf_wheel *wheel)
{
    struct wf_list *link = wheel->moving.prev;
    if (link == &wheel->moving) {
        return NULL;
    }
    wf_list_unlink(link);
    struct wf_timer *timer = wf_container_of(link, struct wf_timer, link);
    fetch(
        (const void *)(uintptr_t)(timer->place >> 16)); // NOLINT(performance-no-int-to-ptr): a hint
    return timer;
}

/* A window that is over, with so many fired in `ns`. One burst of timers is no crowd, though it may
 * be as many: hence two windows in a row. Nor are bursts that come now and then. */
static void end_window(struct wf_crowd *crowd, uint64_t fired, int64_t ns, int64_t now_ns)
{
    bool is_on = wf_crowd_is_on(crowd, now_ns);
    uint64_t least = is_on ? WF_TIMER_CROWD_LEFT : WF_TIMER_CROWD;
    bool is_fast = ns < 2 * WF_TIMER_CALM_NS && fired * WF_TIMER_CALM_NS >= least * (uint64_t)ns;
    /* relaxed, all: see wf_crowd */
    if (is_fast && (is_on || wf_load_relaxed(&crowd->was_fast))) {
        wf_store_relaxed(&crowd->until_ns,
                         now_ns + 2 * WF_TIMER_CALM_NS); /* the next ends before */
    }
    wf_store_relaxed(&crowd->was_fast, is_fast);
}

static void count_fired(struct wf_crowd *crowd, int fired, int64_t now_ns)
{
    /* relaxed, all: see wf_crowd */
    (void)wf_add_relaxed(&crowd->fired, (uint64_t)fired);
    int64_t since_ns = wf_load_relaxed(&crowd->since_ns);
    if (now_ns - since_ns >= WF_TIMER_CALM_NS &&
        wf_cas_relaxed(&crowd->since_ns, &since_ns, now_ns)) {
        end_window(crowd, wf_xchg_relaxed(&crowd->fired, 0), now_ns - since_ns, now_ns);
    }
}

/* Timers that were fired in several calls at one time say nothing about this wheel's pace: then
 * more is due than one call fires. */
static void note_fired(struct wf_wheel *wheel, int fired, int64_t now_ns)
{
    count_fired(wheel->crowd, fired, now_ns);
    int64_t since_ns = now_ns - wheel->fired_ns;
    if (since_ns > 0 && wf_crowd_is_on(wheel->crowd, now_ns)) {
        since_ns = since_ns < WF_TIMER_CALM_NS ? since_ns : WF_TIMER_CALM_NS;
        int64_t rest_ns = since_ns * WF_TIMER_BURST / fired;
        rest_ns = rest_ns < WF_TIMER_CROWD_NS ? rest_ns : WF_TIMER_CROWD_NS;
        wheel->rest_ns = now_ns + rest_ns;
    }
    wheel->fired_ns = now_ns;
}

int wf_wheel_advance(struct wf_wheel *wheel, int64_t now_ns)
{
    check_not_firing(wheel);
    int fired = 0;
    int moved = 0;
    struct wf_wheel_slot *stays = NULL; /* the present one, with timers that are not due */
    wf_lock(&wheel->lock);
    /* Ends: by the batch, or since each turn of a slot moves its timers lower, fires them, or finds
     * none due. */
    while (moved < WF_WHEEL_BATCH) {
        struct wf_timer *timer = take_moving(wheel);
        if (!timer) {
            if (begin_slot(wheel, now_ns)) {
                continue;
            }
            int64_t tick = tick_of(now_ns);
            wheel->tick = tick > wheel->tick ? tick : wheel->tick;
            break;
        }
        moved++;
        if (timer->deadline_ns <= now_ns && tick_of(timer->deadline_ns) <= wheel->tick) {
            fired++;
            fire(wheel, timer);
        } else {
            slot_add(wheel, timer); /* lower, or back to the present slot */
            stays =
                tick_of(timer->deadline_ns) <= wheel->tick ? &wheel->slots[slot_of(timer)] : stays;
        }
    }
    if (stays != NULL && fired > 0) {
        postpone(wheel, stays, now_ns);
    }
    if (fired > 0) {
        note_fired(wheel, fired, now_ns);
    }
    hint_update(wheel);
    wf_store_relaxed(&wheel->fired, wf_load_relaxed(&wheel->fired) + (uint64_t)fired);
    wf_unlock(&wheel->lock);
    return fired;
}
