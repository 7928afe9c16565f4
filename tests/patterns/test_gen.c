/* Generators: async streams with back-pressure and cancellation. */
#include "pattern.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/stackless.h>
#include <weft/weft.h>

/* Emits 0, 1, 2, ... n - 1; counts what it has begun to make. */
struct counting {
    int n;
    int rc; /* what it returns after the last item */
    atomic_int made;
    atomic_int ended;
    int emit_rc; /* what its last emit returned */
};

static int count_up(void *arg)
{
    struct counting *me = arg;
    for (int i = 0; i < me->n; i++) {
        atomic_fetch_add(&me->made, 1);
        me->emit_rc = weft_emit(&i);
        if (me->emit_rc < 0) {
            atomic_fetch_add(&me->ended, 1);
            return me->emit_rc;
        }
    }
    atomic_fetch_add(&me->ended, 1);
    return me->rc;
}

static weft_gen *new_gen(weft_fn *fn, void *arg)
{
    weft_gen *gen;
    wt_eq(weft_gen_new(&gen, fn, arg, sizeof(int)), 0);
    return gen;
}

TaskTest(gen, items_come_in_order_and_then_0, 1)
{
    struct counting counting = {.n = 1000};
    weft_gen *gen = new_gen(count_up, &counting);
    int item;
    for (int i = 0; i < 1000; i++) {
        wt_eq(weft_gen_next(gen, &item), 1);
        wt_eq(item, i);
    }
    wt_eq(weft_gen_next(gen, &item), 0);
    wt_eq(weft_gen_next(gen, &item), 0, "and it stays so");
    wt_eq(weft_gen_close(gen), 0);
    return 0;
}

TaskTest(gen, the_producer_starts_with_the_first_next_and_is_one_item_ahead_at_most, 1)
{
    struct counting counting = {.n = 10};
    weft_gen *gen = new_gen(count_up, &counting);
    int item;
    for (int i = 0; i < 10; i++) {
        weft_yield();
        wt_eq(atomic_load(&counting.made), i);
        wt_eq(weft_gen_next(gen, &item), 1);
    }
    wt_eq(weft_gen_close(gen), 0);
    return 0;
}

TaskTest(gen, close_before_the_first_next_never_calls_the_producer, 1)
{
    struct counting counting = {.n = 10};
    wt_eq(weft_gen_close(new_gen(count_up, &counting)), 0);
    wt_eq(atomic_load(&counting.made), 0);
    wt_eq(weft_gen_close(NULL), 0); /* E41 */
    return 0;
}

TaskTest(gen, close_cancels_the_producer_waits_for_it_and_is_no_failure, 1)
{
    struct counting counting = {.n = 10};
    weft_gen *gen = new_gen(count_up, &counting);
    int item;
    wt_eq(weft_gen_next(gen, &item), 1);
    wt_eq(weft_gen_close(gen), 0);
    wt_eq(counting.emit_rc, -ECANCELED);
    wt_eq(atomic_load(&counting.ended), 1);
    return 0;
}

TaskTest(gen, a_failure_comes_after_the_items_with_its_record_and_again_from_close, 1)
{
    struct counting counting = {.n = 2, .rc = -EIO};
    weft_gen *gen = new_gen(count_up, &counting);
    int item;
    wt_eq(weft_gen_next(gen, &item), 1);
    wt_eq(weft_gen_next(gen, &item), 1);
    wt_eq(weft_gen_next(gen, &item), -EIO);
    wt_eq(weft_gen_next(gen, &item), -EIO);
    wt_eq(weft_gen_close(gen), -EIO);
    return 0;
}

static int fail_with_text(void *arg)
{
    (void)arg;
    return weft_fail(-EBADMSG, "row %d is torn", 7);
}

TaskTest(gen, the_producers_error_record_is_handed_to_whoever_asked, 1)
{
    weft_gen *gen = new_gen(fail_with_text, NULL);
    int item;
    wt_eq(weft_gen_next(gen, &item), -EBADMSG);
    wt_true(weft_last() != NULL);
    wt_str_eq(weft_last()->text, "row 7 is torn");
    wt_eq(weft_gen_close(gen), -EBADMSG);
    wt_str_eq(weft_last()->text, "row 7 is torn");
    return 0;
}

TaskTest(gen, close_hands_the_record_on_when_no_next_has, 1)
{
    weft_gen *gen = new_gen(count_up, &(struct counting){.n = 0, .rc = -EIO});
    int item;
    wt_eq(weft_gen_next(gen, &item), -EIO);
    wt_eq(weft_gen_close(gen), -EIO);
    return 0;
}

/* --- producers that wait ---------------------------------------------------------------------- */

static int read_bytes(void *arg)
{
    int fd = *(int *)arg;
    for (;;) { /* ends: at the end of the pipe, or by cancellation */
        unsigned char byte;
        ssize_t n = weft_read(fd, &byte, 1);
        if (n <= 0) {
            return (int)n;
        }
        weft_yield();
        int item = byte;
        int rc = weft_emit(&item);
        if (rc < 0) {
            return rc;
        }
    }
}

WEFT_TASK(write_bytes, int)
{
    for (int i = 0; i < 50; i++) {
        unsigned char byte = (unsigned char)i;
        wt_eq(weft_write(*arg, &byte, 1), 1);
        weft_yield();
    }
    wt_eq(weft_close(*arg), 0);
    return 0;
}

static int stream_a_pipe(void *arg)
{
    (void)arg;
    int fds[2];
    wt_eq(pipe(fds), 0);
    WEFT_SCOPE(s);
    weft_go(&s, write_bytes, &fds[1]);
    weft_gen *gen = new_gen(read_bytes, &fds[0]);
    int item;
    for (int i = 0; i < 50; i++) {
        wt_eq(weft_gen_next(gen, &item), 1);
        wt_eq(item, i);
    }
    wt_eq(weft_gen_next(gen, &item), 0);
    wt_eq(weft_gen_close(gen), 0);
    wt_eq(weft_scope_end(&s), 0);
    close(fds[0]);
    return 0;
}

Test(gen, a_producer_may_wait_for_io_between_two_items)
{
    for (int workers = 1; workers <= 4; workers *= 2) {
        wt_eq(weft_run(stream_a_pipe, NULL, .workers = workers), 0);
    }
}

TaskTest(gen, close_cancels_what_the_producer_waits_for, 2)
{
    int fds[2];
    wt_eq(pipe(fds), 0);
    wt_eq(write(fds[1], "a", 1), 1);
    weft_gen *gen = new_gen(read_bytes, &fds[0]);
    int item;
    wt_eq(weft_gen_next(gen, &item), 1);
    wt_eq(weft_within(0, weft_gen_next(gen, &item)), -ETIME, "E2: it cannot be tried");
    wt_eq(weft_gen_close(gen), 0);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

TaskTest(gen, the_consumers_deadline_reaches_the_producer_that_works_for_it, 2)
{
    int fds[2];
    wt_eq(pipe(fds), 0);
    weft_gen *gen = new_gen(read_bytes, &fds[0]);
    int item;
    wt_eq(weft_within(WEFT_MS(1), weft_gen_next(gen, &item)), -ETIME);
    wt_eq(weft_gen_next(gen, &item), -ECANCELED, "the stream is over");
    wt_eq(weft_gen_close(gen), -ECANCELED);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

TaskTest(gen, a_deadline_that_passed_before_does_not_touch_the_producer, 1)
{
    struct counting counting = {.n = 3};
    weft_gen *gen = new_gen(count_up, &counting);
    int item;
    wt_eq(weft_gen_next(gen, &item), 1);
    wt_eq(weft_within(0, weft_gen_next(gen, &item)), -ETIME);
    wt_eq(atomic_load(&counting.made), 1);
    wt_eq(weft_gen_next(gen, &item), 1);
    wt_eq(item, 1);
    wt_eq(weft_gen_close(gen), 0);
    return 0;
}

struct consumer {
    weft_gen *gen;
    atomic_int waiting;
    int rc;
};

static int take_one(void *arg)
{
    struct consumer *me = arg;
    int item;
    atomic_fetch_add(&me->waiting, 1);
    me->rc = weft_gen_next(me->gen, &item);
    return 0;
}

TaskTest(gen, one_consumer_at_a_time_the_second_gets_ebusy_and_so_does_close, 1)
{
    int fds[2];
    wt_eq(pipe(fds), 0);
    struct consumer consumer = {.gen = new_gen(read_bytes, &fds[0])};
    weft_task task;
    weft_spawn(&task, take_one, &consumer);
    yield_until(&consumer.waiting, 1);
    int item;
    wt_eq(weft_gen_next(consumer.gen, &item), -EBUSY);
    wt_eq(weft_gen_close(consumer.gen), -EBUSY);
    wt_eq(weft_write(fds[1], "x", 1), 1);
    wt_eq(weft_await(&task), 0);
    wt_eq(consumer.rc, 1);
    wt_eq(weft_gen_close(consumer.gen), 0);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static int consume_itself(void *arg)
{
    struct consumer *me = arg;
    int item;
    me->rc = weft_gen_next(me->gen, &item);
    wt_eq(weft_gen_close(me->gen), -EDEADLK);
    return 0;
}

/* E36 */
TaskTest(gen, a_producer_that_asks_itself_gets_edeadlk, 1)
{
    struct consumer consumer = {.rc = 99};
    consumer.gen = new_gen(consume_itself, &consumer);
    int item;
    wt_eq(weft_gen_next(consumer.gen, &item), 0);
    wt_eq(consumer.rc, -EDEADLK);
    wt_eq(weft_gen_close(consumer.gen), 0);
    return 0;
}

static int emit_from_outside(void *arg)
{
    (void)arg;
    return weft_emit(&(int){1});
}

TaskTest(gen, emit_outside_of_a_producer_is_eperm, 1)
{
    wt_eq(emit_from_outside(NULL), -EPERM);
    weft_task task;
    weft_spawn(&task, emit_from_outside, NULL);
    wt_eq(weft_await(&task), -EPERM);
    return 0;
}

Test(gen, new_refuses_what_makes_no_sense)
{
    weft_gen *gen = (weft_gen *)1;
    wt_eq(weft_gen_new(&gen, count_up, NULL, 4), -EPERM, "outside a task");
    wt_true(gen == NULL);
    wt_eq(weft_emit(&gen), -EPERM);
}

TaskTest(gen, new_refuses_items_of_no_or_too_many_bytes, 1)
{
    weft_gen *gen = (weft_gen *)1;
    wt_eq(weft_gen_new(&gen, count_up, NULL, 0), -EINVAL);
    wt_true(gen == NULL);
    wt_eq(weft_gen_new(&gen, count_up, NULL, WEFT_GEN_ITEM_MAX + 1), -EINVAL);
    return 0;
}

/* --- scopes ----------------------------------------------------------------------------------- */

/* E1 */
TaskTest(gen, cancelling_its_scope_ends_the_stream, 1)
{
    struct counting counting = {.n = 10};
    WEFT_SCOPE(s);
    weft_gen *gen = new_gen(count_up, &counting);
    int item;
    wt_eq(weft_gen_next(gen, &item), 1);
    weft_scope_cancel(&s, "enough");
    wt_eq(weft_gen_next(gen, &item), -ECANCELED);
    weft_gen *none;
    wt_eq(weft_gen_new(&none, count_up, &counting, sizeof(int)), -ECANCELED);
    wt_true(none == NULL);
    wt_eq(weft_gen_close(gen), -ECANCELED);
    wt_eq(atomic_load(&counting.ended), 1);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

static int scopes_inside(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        WEFT_SCOPE(inner);
        int rc = weft_within(WEFT_SEC(100), weft_emit(&i));
        wt_eq(weft_scope_end(&inner), 0);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

TaskTest(gen, a_producer_may_emit_inside_scopes_of_its_own, 1)
{
    for (int stop = 0; stop <= 3; stop++) {
        weft_gen *gen = new_gen(scopes_inside, NULL);
        int item;
        for (int i = 0; i < stop; i++) {
            wt_eq(weft_gen_next(gen, &item), 1);
            wt_eq(item, i);
        }
        wt_eq(weft_gen_close(gen), 0);
    }
    return 0;
}

static int twice_each(void *arg)
{
    weft_gen *inner = new_gen(count_up, arg);
    int item;
    int rc;
    while ((rc = weft_gen_next(inner, &item)) > 0) { /* ends: the inner stream does */
        for (int i = 0; i < 2 && rc >= 0; i++) {
            rc = weft_emit(&item);
        }
        if (rc < 0) {
            break;
        }
    }
    int closed = weft_gen_close(inner);
    return rc < 0 ? rc : closed;
}

TaskTest(gen, a_producer_may_consume_another_generator, 2)
{
    struct counting counting = {.n = 5};
    weft_gen *gen = new_gen(twice_each, &counting);
    int item;
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_gen_next(gen, &item), 1);
        wt_eq(item, i / 2);
    }
    wt_eq(weft_gen_next(gen, &item), 0);
    wt_eq(weft_gen_close(gen), 0);
    gen = new_gen(twice_each, &counting);
    wt_eq(weft_gen_next(gen, &item), 1);
    wt_eq(weft_gen_close(gen), 0);
    return 0;
}

static atomic_int complaints;
static char complaint[512];
static weft_misuse_fn *former;

static void count_misuse(const char *what)
{
    strncpy(complaint, what, sizeof complaint - 1);
    atomic_fetch_add(&complaints, 1);
}

static void hook_on(void)
{
    atomic_store(&complaints, 0);
    former = weft_on_misuse(count_misuse);
}

static void hook_off(void)
{
    weft_on_misuse(former);
}

TaskTest(gen, a_generator_left_open_at_the_end_of_its_scope_is_named_and_its_producer_cancelled, 1,
         .init = hook_on, .fini = hook_off)
{
    struct counting counting = {.n = 10};
    weft_gen *started, *fresh;
    WEFT_SCOPE(s);
    wt_eq(weft_gen_new(&started, count_up, &counting, sizeof(int)), 0);
    wt_eq(weft_gen_new(&fresh, count_up, &counting, sizeof(int)), 0);
    int item;
    wt_eq(weft_gen_next(started, &item), 1);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&complaints), 2);
    wt_true(strstr(complaint, "generator made at ") != NULL);
    wt_true(strstr(complaint, "test_gen.c:") != NULL);
    wt_eq(atomic_load(&counting.ended), 1);
    wt_eq(weft_gen_close(started), -ECANCELED); /* still legal, so that nothing leaks */
    wt_eq(weft_gen_close(fresh), 0);
    return 0;
}

static int leave_open(void *arg)
{
    weft_gen **out = arg;
    int item;
    static struct counting counting = {.n = 10};
    wt_eq(weft_gen_new(out, count_up, &counting, sizeof(int)), 0);
    wt_eq(weft_gen_next(*out, &item), 1);
    return 0;
}

TaskTest(gen, a_generator_left_open_at_the_end_of_its_task_is_named, 1, .init = hook_on,
         .fini = hook_off)
{
    weft_gen *gen;
    weft_task task;
    weft_spawn(&task, leave_open, &gen);
    wt_eq(weft_await(&task), 0);
    wt_eq(atomic_load(&complaints), 1);
    (void)weft_gen_close(gen);
    return 0;
}

/* --- stress ----------------------------------------------------------------------------------- */

#define STREAMS 200

struct storm {
    atomic_long taken, skipped, made;
};

struct stream {
    struct storm *storm;
    unsigned state;
    long emitted; /* emits that returned 0 or -ECANCELED */
};

static unsigned draw(unsigned *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 16;
}

static int produce_randomly(void *arg)
{
    struct stream *me = arg;
    for (int i = 0; i < 50; i++) {
        int rc = draw(&me->state) % 4 == 0 ? weft_sleep(WEFT_NS(draw(&me->state) % 30000)) : 0;
        if (rc == 0) {
            if (draw(&me->state) % 4 == 0) {
                weft_yield();
            }
            me->emitted++;
            rc = weft_emit(&i);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return draw(&me->state) % 4 == 0 ? -EIO : 0;
}

WEFT_TASK(consume_randomly, struct stream)
{
    unsigned state = arg->state * 7;
    WEFT_SCOPE(s);
    weft_gen *gen;
    wt_eq(weft_gen_new(&gen, produce_randomly, arg, sizeof(int)), 0);
    int item;
    int rc;
    long taken = 0;
    int stop_at = (int)(draw(&state) % 80);
    do {
        weft_time patience = draw(&state) % 8 == 0 ? WEFT_NS(draw(&state) % 50000) : WEFT_FOREVER;
        item = -1;
        rc = weft_within(patience, weft_gen_next(gen, &item));
        if (rc == 1) {
            wt_eq(item, (int)taken);
            taken++;
        }
        if (draw(&state) % 4 == 0) {
            weft_yield();
        }
    } while (rc == 1 && taken < stop_at);
    int closed = weft_gen_close(gen);
    wt_true(closed == 0 || closed == -EIO || closed == -ECANCELED, "%d", closed);
    if (rc == 0) {
        wt_eq(closed, 0);
        wt_eq(taken, 50);
    }
    wt_le(taken, arg->emitted);
    wt_le(arg->emitted, taken + 1);
    atomic_fetch_add(&arg->storm->taken, taken);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

static int run_storm(void *arg)
{
    struct storm *storm = arg;
    WEFT_SCOPE(s);
    for (unsigned i = 0; i < STREAMS; i++) {
        weft_go(&s, consume_randomly, (&(struct stream){storm, i * 977 + 1, 0}));
    }
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

Test(gen, no_item_is_lost_or_doubled_when_deadlines_and_closes_race_with_emits)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        struct storm storm = {0};
        wt_eq(weft_run(run_storm, &storm, .workers = workers), 0);
        wt_gt(atomic_load(&storm.taken), 0);
    }
}

struct family {
    weft_gen *gen;
    atomic_int closed;
    int close_rc;
};

WEFT_TASK(close_it_from_inside, struct family *)
{
    struct family *family = *arg;
    do { /* ends: when the consumer has its item */
        weft_yield();
        family->close_rc = weft_gen_close(family->gen);
    } while (family->close_rc == -EBUSY);
    atomic_store(&family->closed, 1);
    return 0;
}

static int have_a_child_close_it(void *arg)
{
    struct family *family = arg;
    WEFT_SCOPE(s);
    weft_go(&s, close_it_from_inside, &family);
    int rc = weft_emit(&(int){1});
    int end = weft_scope_end(&s);
    return rc < 0 ? rc : end;
}

TaskTest(gen, close_by_a_task_that_the_producer_waits_for_is_edeadlk, 1) /* E36 */
{
    struct family family = {0};
    family.gen = new_gen(have_a_child_close_it, &family);
    int item;
    wt_eq(weft_gen_next(family.gen, &item), 1);
    yield_until(&family.closed, 1);
    wt_eq(family.close_rc, -EDEADLK);
    wt_eq(weft_gen_next(family.gen, &item), 0);
    wt_eq(weft_gen_close(family.gen), 0);
    return 0;
}

/* --- values that are given up ----------------------------------------------------------------- */

static int fail_at_once(void *arg)
{
    (void)arg;
    return weft_fail(-EPROTO, "nothing to give");
}

static void *drop_value(void *val)
{
    wt_eq(weft_val_drop(*(weft_val *)val), 0);
    return NULL;
}

TaskTest(gen, a_next_that_has_not_told_the_end_yet_keeps_the_generator, 1)
{
    weft_gen *gen = new_gen(fail_at_once, NULL);
    int item;
    weft_val next = weft_gen_next_v(gen, &item);
    while (weft_val_ready(next) == 0) { /* ends: the producer fails */
        weft_yield();
    }
    wt_eq(weft_gen_close(gen), -EBUSY, "it would free what the next tells");
    wt_eq(weft_val_await(next), -EPROTO);
    wt_eq(weft_gen_close(gen), -EPROTO);
    return 0;
}

TaskTest(gen, the_end_that_a_foreign_thread_gives_up_is_told_by_close, 1)
{
    weft_gen *gen = new_gen(fail_at_once, NULL);
    int item;
    weft_val next = weft_gen_next_v(gen, &item);
    while (weft_val_ready(next) == 0) { /* ends: the producer fails */
        weft_yield();
    }
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, drop_value, &next), 0);
    pthread_join(thread, NULL);
    wt_eq(weft_gen_close(gen), -EPROTO);
    wt_true(weft_last() != NULL);
    wt_eq(strcmp(weft_last()->text, "nothing to give"), 0);
    return 0;
}
