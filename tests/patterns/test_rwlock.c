/* Readers and writers: together or alone, in order, and never waiting for oneself. */
#include "sync_pattern.h"
#include <stdlib.h>
#include <weft/sync.h>

struct room {
    weft_rwlock lock;
    atomic_int waiting;
    weft_event leave; /* manual: who is inside stays until it is set */
    char order[32];   /* who came in: 'r', 'w' */
    int entered;
};

static void open_room(struct room *room)
{
    *room = (struct room){.entered = 0};
    weft_rwlock_init(&room->lock);
    weft_event_init(&room->leave, WEFT_EVENT_MANUAL);
}

struct visitor {
    struct room *room;
    char kind;
};

WEFT_TASK(visit, struct visitor)
{
    struct visitor me = *arg;
    atomic_fetch_add(&me.room->waiting, 1);
    int rc = me.kind == 'w' ? weft_rwlock_write(&me.room->lock) : weft_rwlock_read(&me.room->lock);
    if (rc < 0) {
        return rc;
    }
    me.room->order[me.room->entered++] = me.kind;
    rc = weft_event_wait(&me.room->leave);
    wt_eq(weft_rwlock_unlock(&me.room->lock), 0);
    return rc;
}

#define COME(scope, room_, kind_)                                     \
    do {                                                              \
        int before_ = atomic_load(&(room_)->waiting);                 \
        weft_go(scope, visit, (&(struct visitor){(room_), (kind_)})); \
        yield_until(&(room_)->waiting, before_ + 1);                  \
        settle();                                                     \
    } while (0)

TaskTest(rwlock, readers_are_inside_together_and_a_writer_alone, 1)
{
    struct room room;
    open_room(&room);
    WEFT_SCOPE(s);
    COME(&s, &room, 'r');
    COME(&s, &room, 'r');
    wt_eq(room.entered, 2);
    wt_eq(weft_rwlock_try_write(&room.lock), -EAGAIN);
    wt_eq(weft_rwlock_try_read(&room.lock), 0);
    wt_eq(weft_rwlock_unlock(&room.lock), 0);
    weft_event_set(&room.leave);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(weft_rwlock_write(&room.lock), 0);
    wt_true(weft_rwlock_writer(&room.lock) != NULL);
    wt_eq(weft_rwlock_unlock(&room.lock), 0);
    wt_true(weft_rwlock_writer(&room.lock) == NULL);
    weft_rwlock_fini(&room.lock);
    return 0;
}

TaskTest(rwlock, a_reader_that_comes_after_a_writer_waits_behind_it, 1)
{
    struct room room;
    open_room(&room);
    WEFT_SCOPE(s);
    COME(&s, &room, 'r');
    COME(&s, &room, 'w');
    COME(&s, &room, 'r');
    COME(&s, &room, 'r');
    COME(&s, &room, 'w');
    wt_eq(room.entered, 1, "the writer waits for the first reader, all others for the writer");
    wt_eq(weft_rwlock_try_read(&room.lock), -EAGAIN);
    weft_event_set(&room.leave);
    wt_eq(weft_scope_end(&s), 0);
    wt_str_eq(room.order, "rwrrw");
    weft_rwlock_fini(&room.lock);
    return 0;
}

TaskTest(rwlock, a_writer_that_leaves_lets_all_readers_before_the_next_writer_in, 1)
{
    struct room room;
    open_room(&room);
    wt_eq(weft_rwlock_write(&room.lock), 0);
    WEFT_SCOPE(s);
    COME(&s, &room, 'r');
    COME(&s, &room, 'r');
    COME(&s, &room, 'w');
    COME(&s, &room, 'r');
    wt_eq(room.entered, 0);
    wt_eq(weft_rwlock_unlock(&room.lock), 0);
    settle();
    wt_eq(room.entered, 2);
    weft_event_set(&room.leave);
    wt_eq(weft_scope_end(&s), 0);
    wt_str_eq(room.order, "rrwr");
    weft_rwlock_fini(&room.lock);
    return 0;
}

/* --- recursion: tokio#2849 -------------------------------------------------------------------- */

static int read_twice(void *arg)
{
    weft_rwlock *lock = arg;
    wt_eq(weft_rwlock_read(lock), 0);
    weft_yield(); /* a writer comes */
    int rc = weft_rwlock_read(lock);
    wt_eq(weft_rwlock_try_read(lock), -EDEADLK);
    wt_eq(weft_rwlock_unlock(lock), 0);
    return rc;
}

static int write_once(void *lock)
{
    int rc = weft_rwlock_write(lock);
    return rc < 0 ? rc : weft_rwlock_unlock(lock);
}

TaskTest(rwlock, reading_again_while_a_writer_waits_is_edeadlk_and_not_a_hang, 1)
{
    weft_rwlock lock;
    weft_rwlock_init(&lock);
    weft_task r;
    weft_task w;
    weft_spawn(&w, write_once, &lock);
    weft_spawn(&r, read_twice, &lock);
    wt_eq(weft_await(&r), -EDEADLK);
    wt_eq(weft_await(&w), 0);
    weft_rwlock_fini(&lock);
    return 0;
}

TaskTest(rwlock, whoever_holds_it_is_told_edeadlk_whatever_it_wants_besides, 1)
{
    weft_rwlock lock;
    weft_rwlock_init(&lock);
    wt_eq(weft_rwlock_read(&lock), 0);
    wt_eq(weft_rwlock_read(&lock), -EDEADLK, "though nobody waits");
    wt_eq(weft_rwlock_write(&lock), -EDEADLK, "there is no upgrade");
    wt_eq(weft_rwlock_try_write(&lock), -EDEADLK);
    wt_eq(weft_rwlock_unlock(&lock), 0);
    wt_eq(weft_rwlock_write(&lock), 0);
    wt_eq(weft_rwlock_read(&lock), -EDEADLK);
    wt_eq(weft_rwlock_write(&lock), -EDEADLK);
    wt_eq(weft_rwlock_unlock(&lock), 0);
    weft_rwlock_fini(&lock);
    return 0;
}

/* The documented limit, and what is kept beyond it. */
TaskTest(rwlock, two_locks_held_for_reading_are_known_and_a_third_is_only_counted, 1,
         .init = misuse_noted)
{
    weft_rwlock locks[3];
    for (int i = 0; i < 3; i++) {
        weft_rwlock_init(&locks[i]);
        wt_eq(weft_rwlock_read(&locks[i]), 0);
    }
    wt_eq(weft_rwlock_read(&locks[0]), -EDEADLK);
    wt_eq(weft_rwlock_read(&locks[1]), -EDEADLK);
    wt_eq(weft_rwlock_read(&locks[2]), 0, "the limit: nobody remembers");
    wt_eq(weft_rwlock_unlock(&locks[2]), 0);
    for (int i = 2; i >= 0; i--) {
        wt_eq(weft_rwlock_unlock(&locks[i]), 0);
        wt_eq(weft_rwlock_unlock(&locks[i]), -EINVAL);
        weft_rwlock_fini(&locks[i]);
    }
    wt_eq(atomic_load(&misuses), 3);
    return 0;
}

/* --- cancellation, deadlines ------------------------------------------------------------------ */

TaskTest(rwlock, a_writer_that_is_cancelled_lets_the_readers_behind_it_in, 1)
{
    struct room room;
    open_room(&room);
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        COME(&stay, &room, 'r');
        COME(&go, &room, 'w');
        COME(&stay, &room, 'r');
        wt_eq(room.entered, 1);
        weft_scope_cancel(&go, NULL);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    settle();
    wt_str_eq(room.order, "rr", "nobody left");
    weft_event_set(&room.leave);
    wt_eq(weft_scope_end(&stay), 0);
    weft_rwlock_fini(&room.lock);
    return 0;
}

TaskTest(rwlock, a_reader_that_is_cancelled_does_not_hold_up_the_writer_behind_it, 1)
{
    struct room room;
    open_room(&room);
    wt_eq(weft_rwlock_write(&room.lock), 0);
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        COME(&go, &room, 'r');
        COME(&stay, &room, 'w');
        weft_scope_cancel(&go, NULL);
        wt_eq(weft_rwlock_unlock(&room.lock), 0);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    weft_event_set(&room.leave);
    wt_eq(weft_scope_end(&stay), 0);
    wt_str_eq(room.order, "w");
    weft_rwlock_fini(&room.lock);
    return 0;
}

static int try_under_deadlines(void *arg)
{
    weft_rwlock *lock = arg;
    wt_eq(weft_within(0, weft_rwlock_read(lock)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_rwlock_read(lock)), -ETIME);
    wt_eq(weft_within(0, weft_rwlock_write(lock)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_rwlock_write(lock)), -ETIME);
    return 0;
}

TaskTest(rwlock, a_wait_under_a_deadline_ends_with_it_and_holds_nothing, 1)
{
    weft_rwlock lock;
    weft_rwlock_init(&lock);
    wt_eq(weft_within(0, weft_rwlock_write(&lock)), 0, "free: no need to wait");
    weft_task t;
    weft_spawn(&t, try_under_deadlines, &lock);
    wt_eq(weft_await(&t), 0);
    wt_eq(weft_rwlock_unlock(&lock), 0);
    wt_eq(weft_within(0, weft_rwlock_read(&lock)), 0);
    wt_eq(weft_rwlock_unlock(&lock), 0);
    weft_rwlock_fini(&lock);
    return 0;
}

/* --- rules ------------------------------------------------------------------------------------ */

static int unlock_it(void *lock)
{
    return weft_rwlock_unlock(lock);
}

TaskTest(rwlock, unlocking_what_one_does_not_hold_is_misuse_and_changes_nothing, 1,
         .init = misuse_noted)
{
    weft_rwlock lock;
    weft_rwlock_init(&lock);
    wt_eq(weft_rwlock_unlock(&lock), -EINVAL);
    wt_eq(weft_rwlock_read(&lock), 0);
    weft_task t;
    char place[64];
    snprintf(place, sizeof place, "test_rwlock.c:%d", __LINE__ + 1);
    weft_spawn(&t, unlock_it, &lock);
    wt_eq(weft_await(&t), -EINVAL);
    wt_eq(atomic_load(&misuses), 2);
    wt_true(strstr(misuse_said, place) != NULL, "%s", misuse_said);
    wt_eq(weft_rwlock_unlock(&lock), 0);
    weft_rwlock_fini(&lock);
    return 0;
}

TaskTest(rwlock, its_end_while_held_is_misuse_and_its_waiters_get_eshutdown, 1,
         .init = misuse_noted)
{
    weft_rwlock *lock = malloc(sizeof *lock);
    weft_rwlock_init(lock);
    wt_eq(weft_rwlock_read(lock), 0);
    weft_task t;
    weft_spawn(&t, write_once, lock);
    settle();
    weft_rwlock_fini(lock);
    wt_eq(atomic_load(&misuses), 1);
    free(lock);
    wt_eq(weft_await(&t), -ESHUTDOWN);
    return 0;
}

Test(rwlock, fini_of_zeroed_memory_is_harmless) /* E41 */
{
    weft_rwlock lock = {0};
    weft_rwlock_fini(&lock);
}

/* --- many ------------------------------------------------------------------------------------- */

struct crowd {
    weft_rwlock lock;
    atomic_int readers, writers, read, written;
    long count; /* under the lock, plain */
};

static void read_for_a_while(struct crowd *crowd, bool linger)
{
    atomic_fetch_add(&crowd->readers, 1);
    wt_eq(atomic_load(&crowd->writers), 0);
    long before = crowd->count;
    if (linger) {
        weft_yield();
    }
    wt_eq(crowd->count, before);
    atomic_fetch_sub(&crowd->readers, 1);
    atomic_fetch_add(&crowd->read, 1);
}

static void write_for_a_while(struct crowd *crowd, bool linger)
{
    wt_eq(atomic_fetch_add(&crowd->writers, 1), 0);
    wt_eq(atomic_load(&crowd->readers), 0);
    crowd->count++;
    if (linger) {
        weft_yield();
    }
    atomic_fetch_sub(&crowd->writers, 1);
    atomic_fetch_add(&crowd->written, 1);
}

WEFT_TASK(crowd_in, struct crowd *)
{
    struct crowd *crowd = *arg;
    uint32_t dice = (uint32_t)(uintptr_t)arg;
    for (int i = 0; i < 500; i++) {
        bool writes = roll(&dice) % 4 == 0;
        weft_time patience = roll(&dice) % 3 == 0 ? short_patience(&dice) : WEFT_FOREVER;
        int rc = weft_within(patience, writes ? weft_rwlock_write(&crowd->lock)
                                              : weft_rwlock_read(&crowd->lock));
        if (rc == -ETIME) {
            continue;
        }
        wt_eq(rc, 0);
        (writes ? write_for_a_while : read_for_a_while)(crowd, i % 5 == 0);
        wt_eq(weft_rwlock_unlock(&crowd->lock), 0);
    }
    return 0;
}

static int crowd_of_16(void *arg)
{
    (void)arg;
    struct crowd crowd = {.count = 0};
    struct crowd *pointer = &crowd;
    weft_rwlock_init(&crowd.lock);
    WEFT_SCOPE(s);
    for (int i = 0; i < 16; i++) {
        weft_go(&s, crowd_in, &pointer);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(crowd.count, atomic_load(&crowd.written));
    wt_gt(atomic_load(&crowd.read), 0);
    wt_eq(weft_rwlock_try_write(&crowd.lock), 0, "nobody is left inside");
    wt_eq(weft_rwlock_unlock(&crowd.lock), 0);
    weft_rwlock_fini(&crowd.lock);
    return 0;
}

Test(rwlock, no_reader_is_inside_with_a_writer_when_deadlines_race_with_hand_overs)
{
    wt_eq(weft_run(crowd_of_16, NULL, .workers = 1), 0);
    wt_eq(weft_run(crowd_of_16, NULL, .workers = 2), 0);
    wt_eq(weft_run(crowd_of_16, NULL, .workers = 8), 0);
}
