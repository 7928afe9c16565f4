/* model_self.c: does the checker find what is there, and nothing else? Classic examples with known
 * verdicts under sequential consistency and under RC11 (without load buffering). If one of these
 * changes its verdict, believe no other harness. */
#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/base/lock.h"

#include <string.h>

static struct {
    WF_ATOMIC(uint32_t) x, y;
    WF_ATOMIC(uint32_t) seen[4];
    WF_PLAIN(int) data;
    struct wf_lock lock;
    WF_ATOMIC(uint64_t *) pointer;
    uint64_t block;
} s;

static uint32_t seen(int i)
{
    return wf_load_relaxed(&s.seen[i]);
}

/* --- store buffering: both threads store, then load the other's ------------------------------- */

static void sb_x_relaxed(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.x, 1);
    wf_store_relaxed(&s.seen[0], wf_load_relaxed(&s.y));
}

static void sb_y_relaxed(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.y, 1);
    wf_store_relaxed(&s.seen[1], wf_load_relaxed(&s.x));
}

static void sb_x_acq_rel(void *arg)
{
    (void)arg;
    wf_store_release(&s.x, 1);
    wf_store_relaxed(&s.seen[0], wf_load_acquire(&s.y));
}

static void sb_y_acq_rel(void *arg)
{
    (void)arg;
    wf_store_release(&s.y, 1);
    wf_store_relaxed(&s.seen[1], wf_load_acquire(&s.x));
}

static void sb_x_fence(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.x, 1);
    wf_fence_seq_cst();
    wf_store_relaxed(&s.seen[0], wf_load_relaxed(&s.y));
}

static void sb_y_fence(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.y, 1);
    wf_fence_seq_cst();
    wf_store_relaxed(&s.seen[1], wf_load_relaxed(&s.x));
}

static void sb_x_seq_cst(void *arg)
{
    (void)arg;
    wf_store_seq_cst(&s.x, 1);
    wf_store_relaxed(&s.seen[0], wf_load_seq_cst(&s.y));
}

static void sb_y_seq_cst(void *arg)
{
    (void)arg;
    wf_store_seq_cst(&s.y, 1);
    wf_store_relaxed(&s.seen[1], wf_load_seq_cst(&s.x));
}

static void two(void (*a)(void *), void (*b)(void *))
{
    memset(&s, 0, sizeof s);
    wloom_spawn(a, NULL);
    wloom_spawn(b, NULL);
    wloom_join_all();
}

static void sb_check(void)
{
    wloom_assert(seen(0) == 1 || seen(1) == 1);
}

static void store_buffering_relaxed(void)
{
    two(sb_x_relaxed, sb_y_relaxed);
    sb_check();
}

static void store_buffering_acq_rel(void)
{
    two(sb_x_acq_rel, sb_y_acq_rel);
    sb_check();
}

static void store_buffering_fences(void)
{
    two(sb_x_fence, sb_y_fence);
    sb_check();
}

static void store_buffering_one_fence(void)
{
    two(sb_x_fence, sb_y_acq_rel);
    sb_check();
}

static void store_buffering_seq_cst(void)
{
    two(sb_x_seq_cst, sb_y_seq_cst);
    sb_check();
}

/* --- message passing -------------------------------------------------------------------------- */

static void mp_send_release(void *arg)
{
    (void)arg;
    wf_plain_write(&s.data, 42);
    wf_store_release(&s.x, 1);
}

static void mp_send_relaxed(void *arg)
{
    (void)arg;
    wf_plain_write(&s.data, 42);
    wf_store_relaxed(&s.x, 1);
}

static void mp_send_fence(void *arg)
{
    (void)arg;
    wf_plain_write(&s.data, 42);
    wf_fence_release();
    wf_store_relaxed(&s.x, 1);
}

static void mp_receive_acquire(void *arg)
{
    (void)arg;
    if (wf_load_acquire(&s.x) == 1) {
        wloom_assert(wf_plain_read(&s.data) == 42);
    }
}

static void mp_receive_relaxed(void *arg)
{
    (void)arg;
    if (wf_load_relaxed(&s.x) == 1) {
        wloom_assert(wf_plain_read(&s.data) == 42);
    }
}

static void mp_receive_fence(void *arg)
{
    (void)arg;
    if (wf_load_relaxed(&s.x) == 1) {
        wf_fence_acquire();
        wloom_assert(wf_plain_read(&s.data) == 42);
    }
}

/* Two words: seeing the second means seeing the first. */
static void mp_words_send(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.x, 1);
    wf_store_relaxed(&s.y, 1);
}

static void mp_words_receive(void *arg)
{
    (void)arg;
    if (wf_load_relaxed(&s.y) == 1) {
        wloom_assert(wf_load_relaxed(&s.x) == 1);
    }
}

static void message_release_acquire(void)
{
    two(mp_send_release, mp_receive_acquire);
}

static void message_relaxed_store(void)
{
    two(mp_send_relaxed, mp_receive_acquire);
}

static void message_relaxed_load(void)
{
    two(mp_send_release, mp_receive_relaxed);
}

static void message_fences(void)
{
    two(mp_send_fence, mp_receive_fence);
}

static void message_words_relaxed(void)
{
    two(mp_words_send, mp_words_receive);
}

/* A write after the release is not covered by it. */
static void late_send(void *arg)
{
    (void)arg;
    wf_store_release(&s.x, 1);
    wf_plain_write(&s.data, 42);
}

static void late_receive(void *arg)
{
    (void)arg;
    if (wf_load_acquire(&s.x) == 1) {
        wf_plain_write(&s.data, 1);
    }
}

static void message_written_after_release(void)
{
    two(late_send, late_receive);
}

/* --- release sequences: a read-modify-write hands on what it read, a store does not ----------- */

static void rs_add(void *arg)
{
    (void)arg;
    wf_add_relaxed(&s.x, 1);
}

static void rs_receive_two(void *arg)
{
    (void)arg;
    if (wf_load_acquire(&s.x) == 2) {
        wloom_assert(wf_plain_read(&s.data) == 42);
    }
}

static void release_sequence(void)
{
    memset(&s, 0, sizeof s);
    wloom_spawn(mp_send_release, NULL);
    wloom_spawn(rs_add, NULL);
    wloom_spawn(rs_receive_two, NULL);
    wloom_join_all();
}

static void store_again(void *arg)
{
    (void)arg;
    wf_plain_write(&s.data, 42);
    wf_store_release(&s.x, 1);
    wf_store_relaxed(&s.x, 2); /* since C20 no part of the release sequence */
}

static void release_sequence_broken(void)
{
    two(store_again, rs_receive_two);
}

/* --- independent reads of independent writes -------------------------------------------------- */

static void write_x(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.x, 1);
}

static void write_y(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.y, 1);
}

static void read_xy(void *arg)
{
    bool fence = arg != NULL;
    uint32_t first = wf_load_acquire(&s.x);
    if (fence) {
        wf_fence_seq_cst();
    }
    wf_store_relaxed(&s.seen[0], first == 1 && wf_load_acquire(&s.y) == 0);
}

static void read_yx(void *arg)
{
    bool fence = arg != NULL;
    uint32_t first = wf_load_acquire(&s.y);
    if (fence) {
        wf_fence_seq_cst();
    }
    wf_store_relaxed(&s.seen[1], first == 1 && wf_load_acquire(&s.x) == 0);
}

static void iriw(void *fence)
{
    memset(&s, 0, sizeof s);
    wloom_spawn(write_x, NULL);
    wloom_spawn(write_y, NULL);
    wloom_spawn(read_xy, fence);
    wloom_spawn(read_yx, fence);
    wloom_join_all();
    wloom_assert(seen(0) == 0 || seen(1) == 0);
}

static void independent_reads_acquire(void)
{
    iriw(NULL);
}

static void independent_reads_fences(void)
{
    iriw(&s);
}

/* --- coherence, atomicity --------------------------------------------------------------------- */

static void count_up(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.x, 1);
    wf_store_relaxed(&s.x, 2);
}

static void never_backwards(void *arg)
{
    (void)arg;
    uint32_t first = wf_load_relaxed(&s.x);
    wloom_assert(wf_load_relaxed(&s.x) >= first);
}

static void coherence(void)
{
    two(count_up, never_backwards);
}

static void increments_are_kept(void)
{
    two(rs_add, rs_add);
    wloom_assert(wf_load_relaxed(&s.x) == 2);
}

static void add_by_hand(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.x, wf_load_relaxed(&s.x) + 1);
}

static void increment_by_hand(void)
{
    two(add_by_hand, add_by_hand);
    wloom_assert(wf_load_relaxed(&s.x) == 2);
}

/* --- races, locks ----------------------------------------------------------------------------- */

static void race_write(void *arg)
{
    (void)arg;
    wf_plain_write(&s.data, 1);
}

static void locked_write(void *arg)
{
    (void)arg;
    wf_lock(&s.lock);
    wf_plain_write(&s.data, wf_plain_read(&s.data) + 1);
    wf_unlock(&s.lock);
}

static void data_race(void)
{
    two(race_write, race_write);
}

static void data_under_lock(void)
{
    two(locked_write, locked_write);
    wloom_assert(wf_plain_read(&s.data) == 2);
}

static void data_half_locked(void)
{
    two(locked_write, race_write);
}

/* --- sleep ------------------------------------------------------------------------------------ */

/* Work, then "does anybody sleep?"; announce, then "is there work?". */
static void submit(bool fence)
{
    wf_add_acq_rel(&s.x, 1);
    if (fence) {
        wf_fence_seq_cst();
    }
    if (wf_load_relaxed(&s.y) != 0) {
        wf_store_relaxed(&s.seen[2], 1);
    }
}

static void submit_fence(void *arg)
{
    (void)arg;
    submit(true);
}

static void submit_no_fence(void *arg)
{
    (void)arg;
    submit(false);
}

static void sleeper(void *arg)
{
    (void)arg;
    wf_store_relaxed(&s.y, 1);
    wf_fence_seq_cst();
    if (wf_load_relaxed(&s.x) == 0) {
        wloom_event_wait(&s.seen[2]);
    }
}

static void sleeper_looks_first(void *arg)
{
    (void)arg;
    if (wf_load_relaxed(&s.x) == 0) {
        wf_store_relaxed(&s.y, 1);
        wf_fence_seq_cst();
        wloom_event_wait(&s.seen[2]);
    }
}

static void wake_up(void)
{
    two(submit_fence, sleeper);
}

/* oneTBB#2136: a read-modify-write is not a fence. */
static void wake_up_without_fence(void)
{
    two(submit_no_fence, sleeper);
}

static void wake_up_looking_first(void)
{
    two(submit_fence, sleeper_looks_first);
}

static void futex_sleeper(void *arg)
{
    (void)arg;
    while (wf_load_acquire(&s.x) == 0) {
        wloom_futex_wait(&s.x, 0);
    }
}

static void futex_waker(void *arg)
{
    (void)arg;
    wf_store_release(&s.x, 1);
    wloom_futex_wake(&s.x, 1);
}

static void futex_waker_early(void *arg)
{
    (void)arg;
    wloom_futex_wake(&s.x, 1);
    wf_store_release(&s.x, 1);
}

static void futex_wake(void)
{
    two(futex_waker, futex_sleeper);
}

static void futex_wake_before_store(void)
{
    two(futex_waker_early, futex_sleeper);
}

static struct wf_lock second;

static void lock_ab(void *arg)
{
    (void)arg;
    wf_lock(&s.lock);
    wf_lock(&second);
    wf_unlock(&second);
    wf_unlock(&s.lock);
}

static void lock_ba(void *arg)
{
    (void)arg;
    wf_lock(&second);
    wf_lock(&s.lock);
    wf_unlock(&s.lock);
    wf_unlock(&second);
}

static void locks_in_opposite_order(void)
{
    memset(&second, 0, sizeof second);
    two(lock_ab, lock_ba);
}

/* --- spinning --------------------------------------------------------------------------------- */

static void spin_for_x(void *arg)
{
    (void)arg;
    while (wf_load_acquire(&s.x) == 0) {
        wf_spin_hint();
    }
}

static void spin_for_y(void *arg)
{
    (void)arg;
    while (wf_load_acquire(&s.y) == 0) {
        wf_spin_hint();
    }
    wf_store_release(&s.x, 1);
}

static void spin_until_stored(void)
{
    two(spin_for_x, write_x);
}

static void spin_for_each_other(void)
{
    two(spin_for_x, spin_for_y);
}

/* --- freed memory ----------------------------------------------------------------------------- */

static WF_ATOMIC(uint64_t) block;

static void finish_then_touch(void *arg)
{
    (void)arg;
    wf_store_release(&s.x, 1);
    wf_store_relaxed(&block, 7);
}

static void wait_then_free(void *arg)
{
    (void)arg;
    if (wf_load_acquire(&s.x) == 1) {
        wloom_retire(&block, sizeof block);
    }
}

static void touch_after_free(void)
{
    two(finish_then_touch, wait_then_free);
}

/* --- choices of the scenario's own ------------------------------------------------------------ */

static void choose_all(void)
{
    memset(&s, 0, sizeof s);
    int a = wloom_choose(3), b = wloom_choose(4);
    wloom_assert(a != 2 || b != 3);
}

static const struct wloom_scenario scenarios[] = {
    {"store_buffering_relaxed", store_buffering_relaxed, NULL, "assertion", false},
    {"store_buffering_acq_rel", store_buffering_acq_rel, NULL, "assertion", false},
    {"store_buffering_one_fence", store_buffering_one_fence, NULL, "assertion", false},
    {"store_buffering_fences", store_buffering_fences, NULL, NULL, false},
    {"store_buffering_seq_cst", store_buffering_seq_cst, NULL, NULL, false},
    {"message_release_acquire", message_release_acquire, NULL, NULL, false},
    {"message_relaxed_store", message_relaxed_store, "data race", "data race", false},
    {"message_relaxed_load", message_relaxed_load, "data race", "data race", false},
    {"message_fences", message_fences, NULL, NULL, false},
    {"message_words_relaxed", message_words_relaxed, NULL, "assertion", false},
    {"message_written_after", message_written_after_release, "data race", "data race", false},
    {"release_sequence", release_sequence, NULL, NULL, false},
    {"release_sequence_broken", release_sequence_broken, "data race", "data race", false},
    {"independent_reads_acquire", independent_reads_acquire, NULL, "assertion", false},
    {"independent_reads_fences", independent_reads_fences, NULL, NULL, false},
    {"coherence", coherence, NULL, NULL, false},
    {"increments_are_kept", increments_are_kept, NULL, NULL, false},
    {"increment_by_hand", increment_by_hand, "assertion", "assertion", false},
    {"data_race", data_race, "data race", "data race", false},
    {"data_under_lock", data_under_lock, NULL, NULL, false},
    {"data_half_locked", data_half_locked, "data race", "data race", false},
    {"wake_up", wake_up, NULL, NULL, false},
    {"wake_up_without_fence", wake_up_without_fence, NULL, "lost wake-up", false},
    {"wake_up_looking_first", wake_up_looking_first, "lost wake-up", "lost wake-up", false},
    {"futex_wake", futex_wake, NULL, NULL, false},
    {"futex_wake_before_store", futex_wake_before_store, "lost wake-up", "lost wake-up", false},
    {"locks_in_opposite_order", locks_in_opposite_order, "deadlock", "deadlock", false},
    {"spin_until_stored", spin_until_stored, NULL, NULL, false},
    {"spin_for_each_other", spin_for_each_other, "livelock", "livelock", false},
    {"touch_after_free", touch_after_free, "retired", "retired", false},
    {"choose_all", choose_all, "assertion", "assertion", false},
    {NULL, NULL, NULL, NULL, false},
};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {.name = "self", .scenarios = scenarios};
    return wloom_main(&harness, argc, argv);
}
