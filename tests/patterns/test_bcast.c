/* Broadcasts: every reader gets every item, or is told how many it missed. */
#include "pattern.h"
#include <weft/weft.h>

static weft_bcast *new_bcast(size_t capacity)
{
    weft_bcast *bcast;
    wt_eq(weft_bcast_new(&bcast, sizeof(int), capacity), 0);
    return bcast;
}

TaskTest(bcast, every_reader_gets_every_item_from_where_it_joined, 1)
{
    weft_bcast *bcast = new_bcast(8);
    weft_bcast_reader a, b;
    int item;
    uint64_t missed = 9;
    weft_bcast_join(bcast, &a);
    wt_eq(weft_bcast_send(bcast, &(int){1}), 0);
    weft_bcast_join(bcast, &b);
    wt_eq(weft_bcast_send(bcast, &(int){2}), 0);
    wt_eq(weft_bcast_recv(&a, &item, &missed), 1);
    wt_eq(item, 1);
    wt_eq(missed, 0);
    wt_eq(weft_bcast_recv(&a, &item, NULL), 1);
    wt_eq(item, 2);
    wt_eq(weft_bcast_recv(&b, &item, NULL), 1);
    wt_eq(item, 2);
    wt_eq(weft_bcast_try_recv(&a, &item, NULL), -EAGAIN);
    wt_eq(weft_within(0, weft_bcast_recv(&b, &item, NULL)), -ETIME);
    weft_bcast_free(bcast);
    return 0;
}

TaskTest(bcast, a_slow_reader_is_told_how_many_it_missed, 1)
{
    weft_bcast *bcast = new_bcast(4);
    weft_bcast_reader counts, fails;
    int item = -1;
    uint64_t missed;
    weft_bcast_join(bcast, &counts);
    weft_bcast_join(bcast, &fails);
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_bcast_send(bcast, &i), 0);
    }
    wt_eq(weft_bcast_recv(&counts, &item, &missed), 1);
    wt_eq(item, 6);
    wt_eq(missed, 6);
    wt_eq(weft_bcast_recv(&counts, &item, &missed), 1);
    wt_eq(item, 7);
    wt_eq(missed, 0);
    item = -1;
    wt_eq(weft_bcast_recv(&fails, &item, NULL), -EOVERFLOW);
    wt_eq(item, -1);
    wt_eq(weft_bcast_recv(&fails, &item, NULL), 1);
    wt_eq(item, 6);
    weft_bcast_free(bcast);
    return 0;
}

Test(bcast, new_refuses_what_makes_no_sense)
{
    weft_bcast *bcast = (weft_bcast *)1;
    wt_eq(weft_bcast_new(&bcast, 0, 1), -EINVAL);
    wt_true(bcast == NULL);
    wt_eq(weft_bcast_new(&bcast, WEFT_BCAST_ITEM_MAX + 1, 1), -EINVAL);
    wt_eq(weft_bcast_new(&bcast, 4, 0), -EINVAL);
    wt_eq(weft_bcast_new(&bcast, 4, WEFT_BCAST_CAPACITY_MAX + 1), -EINVAL);
    weft_bcast_free(NULL);
}

struct listener {
    weft_bcast_reader reader;
    atomic_int *waiting;
    int item;
    int rc;
};

static int listen_once(void *arg)
{
    struct listener *me = arg;
    atomic_fetch_add(me->waiting, 1);
    me->rc = weft_bcast_recv(&me->reader, &me->item, NULL);
    return 0;
}

TaskTest(bcast, an_item_wakes_all_who_wait_and_close_lets_them_drain_first, 1)
{
    weft_bcast *bcast = new_bcast(4);
    for (int round = 0; round < 2; round++) {
        atomic_int waiting = 0;
        struct listener listeners[5];
        weft_task tasks[5];
        for (int i = 0; i < 5; i++) {
            listeners[i] = (struct listener){.waiting = &waiting, .item = -1, .rc = 99};
            weft_bcast_join(bcast, &listeners[i].reader);
            weft_spawn(&tasks[i], listen_once, &listeners[i]);
        }
        yield_until(&waiting, 5);
        if (round == 0) {
            wt_eq(weft_bcast_send(bcast, &(int){7}), 0);
        } else {
            wt_eq(weft_bcast_close(bcast, -EIO), 0);
        }
        for (int i = 0; i < 5; i++) {
            wt_eq(weft_await(&tasks[i]), 0);
            wt_eq(listeners[i].rc, round == 0 ? 1 : -EIO);
            wt_eq(listeners[i].item, round == 0 ? 7 : -1);
        }
    }
    wt_eq(weft_bcast_send(bcast, &(int){1}), -EPIPE);
    wt_eq(weft_bcast_close(bcast, 0), -EALREADY);
    weft_bcast_free(bcast);

    bcast = new_bcast(4);
    weft_bcast_reader reader;
    int item;
    weft_bcast_join(bcast, &reader);
    wt_eq(weft_bcast_send(bcast, &(int){1}), 0);
    wt_eq(weft_bcast_close(bcast, 0), 0);
    wt_eq(weft_bcast_recv(&reader, &item, NULL), 1);
    wt_eq(weft_bcast_recv(&reader, &item, NULL), 0);
    weft_bcast_free(bcast);
    return 0;
}

/* --- stress ----------------------------------------------------------------------------------- */

#define ITEMS   20000
#define READERS 5

WEFT_TASK(listen_all, weft_bcast *)
{
    weft_bcast_reader reader;
    weft_bcast_join(*arg, &reader);
    uint64_t expected = reader.next; /* items are their numbers */
    int item;
    int rc;
    uint64_t missed;
    unsigned turn = 0;
    for (;;) { /* ends: it is closed */
        rc = turn++ % 8 == 0 ? weft_within(WEFT_US(5), weft_bcast_recv(&reader, &item, &missed))
                             : weft_bcast_recv(&reader, &item, &missed);
        if (rc == -ETIME) {
            continue;
        }
        if (rc <= 0) {
            break;
        }
        expected += missed;
        wt_eq(item, (int)expected);
        expected++;
        if (turn % 32 == 0) {
            weft_yield();
        }
    }
    wt_eq(rc, 0);
    wt_eq(expected, ITEMS, "each item was got or counted as missed");
    return 0;
}

static int run_listeners(void *arg)
{
    (void)arg;
    weft_bcast *bcast = new_bcast(16);
    WEFT_SCOPE(s);
    for (int i = 0; i < READERS; i++) {
        weft_go(&s, listen_all, &bcast);
    }
    for (int i = 0; i < ITEMS; i++) {
        wt_eq(weft_bcast_send(bcast, &i), 0);
        if (i % 8 == 0) {
            weft_yield();
        }
    }
    wt_eq(weft_bcast_close(bcast, 0), 0);
    wt_eq(weft_scope_end(&s), 0);
    weft_bcast_free(bcast);
    return 0;
}

Test(bcast, every_item_is_got_or_counted_as_missed_by_every_reader)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(run_listeners, NULL, .workers = workers), 0);
    }
}
