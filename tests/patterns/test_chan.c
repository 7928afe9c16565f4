/* Channels: first in, first out; what happens when they are full; closing; cancellation; every item
 * arrives exactly once. */
#include "pattern.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <weft/chan.h>

static weft_chan *new_chan(size_t capacity)
{
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), capacity), 0);
    return chan;
}

struct side {
    weft_chan *chan;
    atomic_int *waiting;
    int item;
    int *got; /* what a receiver received; one worker */
    int *rc;
};

WEFT_TASK(send_one, struct side)
{
    struct side me = *arg;
    atomic_fetch_add(me.waiting, 1);
    int rc = weft_chan_send(me.chan, &me.item);
    if (me.rc != NULL) {
        *me.rc = rc;
    }
    return rc == -EPIPE ? 0 : rc;
}

WEFT_TASK(recv_one, struct side)
{
    struct side me = *arg;
    int item = -1;
    atomic_fetch_add(me.waiting, 1);
    int rc = weft_chan_recv(me.chan, &item);
    if (me.rc != NULL) {
        *me.rc = rc;
    }
    if (rc == 1 && me.got != NULL) {
        *me.got = item;
    }
    return rc == -ECANCELED ? rc : 0;
}

TaskTest(chan, items_come_out_in_the_order_in_which_they_went_in, 1)
{
    weft_chan *chan = new_chan(8);
    int item;
    for (int round = 0; round < 5; round++) { /* the ring wraps */
        for (int i = 0; i < 7; i++) {
            wt_eq(weft_chan_send(chan, &i), 0);
        }
        wt_eq(weft_chan_len(chan), 7);
        for (int i = 0; i < 7; i++) {
            wt_eq(weft_chan_recv(chan, &item), 1);
            wt_eq(item, i);
        }
    }
    wt_eq(weft_chan_len(chan), 0);
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, items_of_blocked_senders_keep_their_order, 1)
{
    weft_chan *chan = new_chan(2);
    atomic_int waiting = 0;
    WEFT_SCOPE(s);
    for (int i = 0; i < 10; i++) {
        weft_go(&s, send_one, (&(struct side){chan, &waiting, i, NULL, NULL}));
        yield_until(&waiting, i + 1);
    }
    wt_eq(weft_chan_len(chan), 2);
    for (int i = 0; i < 10; i++) {
        int item;
        wt_eq(weft_chan_recv(chan, &item), 1);
        wt_eq(item, i);
    }
    wt_eq(weft_scope_end(&s), 0);
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, blocked_receivers_are_served_in_their_order, 1)
{
    weft_chan *chan = new_chan(2);
    atomic_int waiting = 0;
    int got[10];
    WEFT_SCOPE(s);
    for (int i = 0; i < 10; i++) {
        weft_go(&s, recv_one, (&(struct side){chan, &waiting, 0, &got[i], NULL}));
        yield_until(&waiting, i + 1);
    }
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_chan_send(chan, &i), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    for (int i = 0; i < 10; i++) {
        wt_eq(got[i], i);
    }
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, items_of_any_size_are_copied_whole, 1)
{
    static const size_t sizes[] = {1, 3, 8, 63, 64, 65, 1000, WEFT_CHAN_ITEM_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char in[WEFT_CHAN_ITEM_MAX];
        unsigned char out[WEFT_CHAN_ITEM_MAX + 1];
        weft_chan *chan;
        wt_eq(weft_chan_new(&chan, sizes[i], 3), 0);
        for (int n = 0; n < 10; n++) {
            memset(in, n + 1, sizeof in);
            memset(out, 0xEE, sizeof out);
            wt_eq(weft_chan_send(chan, in), 0);
            wt_eq(weft_chan_recv(chan, out), 1);
            wt_mem_eq(in, out, sizes[i]);
            wt_eq(out[sizes[i]], 0xEE, "written beyond the item");
        }
        weft_chan_free(chan);
    }
    return 0;
}

Test(chan, new_refuses_what_makes_no_sense)
{
    weft_chan *chan = (weft_chan *)1;
    wt_eq(weft_chan_new(&chan, 0, 1), -EINVAL);
    wt_true(chan == NULL);
    wt_eq(weft_chan_new(&chan, WEFT_CHAN_ITEM_MAX + 1, 1), -EINVAL);
    wt_eq(weft_chan_new(&chan, 4, 1, .full = WEFT_FULL_DROP_WRITE + 1), -EINVAL);
    wt_eq(weft_chan_new(&chan, 4, 1, .full = -1), -EINVAL);
    wt_eq(weft_chan_new(&chan, 1, SIZE_MAX - 10), -ENOMEM);
    wt_true(chan == NULL);
    wt_eq(weft_chan_new(&chan, 4096, SIZE_MAX / 2), -ENOMEM);
    weft_chan_free(NULL);
}

Test(chan, try_calls_work_on_any_thread_and_never_wait)
{
    weft_chan *chan = new_chan(1);
    int item = 5;
    wt_eq(weft_chan_try_recv(chan, &item), -EAGAIN);
    wt_eq(weft_chan_try_send(chan, &item), 0);
    wt_eq(weft_chan_try_send(chan, &item), -EAGAIN);
    item = 0;
    wt_eq(weft_chan_try_recv(chan, &item), 1);
    wt_eq(item, 5);
    wt_eq(weft_chan_send(chan, &item), -EPERM, "that needs a task");
    wt_eq(weft_chan_recv(chan, &item), -EPERM);
    wt_eq(weft_chan_close(chan, 0), 0);
    wt_eq(weft_chan_try_send(chan, &item), -EPIPE);
    wt_eq(weft_chan_try_recv(chan, &item), 0);
    weft_chan_free(chan);
}

/* --- full ------------------------------------------------------------------------------------- */

struct drops {
    int n;
    int items[100];
};

static void note_drop(const void *item, void *ctx)
{
    struct drops *drops = ctx;
    drops->items[drops->n++] = *(const int *)item;
}

static void check_left(weft_chan *chan, const int *items, int n)
{
    int item;
    wt_eq(weft_chan_len(chan), (size_t)n);
    for (int i = 0; i < n; i++) {
        wt_eq(weft_chan_try_recv(chan, &item), 1);
        wt_eq(item, items[i]);
    }
    wt_eq(weft_chan_try_recv(chan, &item), -EAGAIN);
}

/* Sends 1 to 5 into a channel of 3 items; what is dropped and what is left. E29 */
static void check_full(size_t capacity, int full, const int *dropped, const int *left)
{
    struct drops drops = {0};
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), capacity, .full = full, .on_drop = note_drop,
                        .ctx = &drops, .grow_max = 3),
          0);
    for (int i = 1; i <= 5; i++) {
        wt_eq(weft_chan_send(chan, &i), i > 3);
    }
    wt_eq(drops.n, 2);
    wt_mem_eq(drops.items, dropped, 2 * sizeof(int));
    check_left(chan, left, 3);
    weft_chan_free(chan);
    wt_eq(drops.n, 2);
}

TaskTest(chan, a_full_one_that_drops_says_so_and_never_waits, 1) /* E29 */
{
    for (int i = 0; i < 2; i++) {
        size_t capacity = i == 0 ? 3 : WEFT_CHAN_UNBOUNDED;
        check_full(capacity, WEFT_FULL_DROP_NEWEST, (int[]){3, 4}, (int[]){1, 2, 5});
        check_full(capacity, WEFT_FULL_DROP_OLDEST, (int[]){1, 2}, (int[]){3, 4, 5});
        check_full(capacity, WEFT_FULL_DROP_WRITE, (int[]){4, 5}, (int[]){1, 2, 3});
    }
    return 0;
}

TaskTest(chan, free_tells_on_drop_of_the_items_that_were_left, 1)
{
    struct drops drops = {0};
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), 3, .on_drop = note_drop, .ctx = &drops), 0);
    for (int i = 1; i <= 2; i++) {
        wt_eq(weft_chan_send(chan, &i), 0);
    }
    weft_chan_free(chan);
    wt_eq(drops.n, 2);
    wt_eq(drops.items[0], 1);
    wt_eq(drops.items[1], 2);
    return 0;
}

static weft_chan *asked; /* by its own on_drop */

static void ask_the_channel(const void *item, void *ctx)
{
    wt_eq(*(const int *)item, 2);
    *(size_t *)ctx = weft_chan_len(asked);
    int taken;
    wt_eq(weft_chan_try_recv(asked, &taken), 1);
    wt_eq(weft_chan_try_send(asked, &taken), 0);
}

TaskTest(chan, on_drop_is_called_under_no_lock, 1)
{
    size_t len = 0;
    wt_eq(weft_chan_new(&asked, sizeof(int), 1, .full = WEFT_FULL_DROP_WRITE,
                        .on_drop = ask_the_channel, .ctx = &len),
          0);
    int item;
    wt_eq(weft_chan_send(asked, &(int){1}), 0);
    wt_eq(weft_chan_send(asked, &(int){2}), 1);
    wt_eq(len, 1);
    wt_eq(weft_chan_recv(asked, &item), 1);
    weft_chan_free(asked);
    return 0;
}

TaskTest(chan, one_that_drops_still_hands_to_a_waiting_receiver, 1)
{
    for (int full = WEFT_FULL_DROP_NEWEST; full <= WEFT_FULL_DROP_WRITE; full++) {
        for (size_t capacity = 0; capacity < 2; capacity++) {
            weft_chan *chan;
            wt_eq(weft_chan_new(&chan, sizeof(int), capacity, .full = full), 0);
            atomic_int waiting = 0;
            int got = -1;
            WEFT_SCOPE(s);
            weft_go(&s, recv_one, (&(struct side){chan, &waiting, 0, &got, NULL}));
            yield_until(&waiting, 1);
            wt_eq(weft_chan_send(chan, &(int){7}), 0);
            wt_eq(weft_chan_send(chan, &(int){8}), capacity == 0, "nobody is there to take it");
            wt_eq(weft_scope_end(&s), 0);
            wt_eq(got, 7);
            weft_chan_free(chan);
        }
    }
    return 0;
}

/* --- rendezvous ------------------------------------------------------------------------------- */

TaskTest(chan, without_capacity_a_send_lasts_until_the_item_is_taken, 1)
{
    weft_chan *chan = new_chan(0);
    atomic_int waiting = 0;
    int rc = 99;
    wt_eq(weft_chan_try_send(chan, &(int){1}), -EAGAIN, "nobody waits for it");
    WEFT_SCOPE(s);
    weft_go(&s, send_one, (&(struct side){chan, &waiting, 5, NULL, &rc}));
    yield_until(&waiting, 1);
    weft_yield();
    wt_eq(rc, 99);
    wt_eq(weft_chan_len(chan), 0);
    int item;
    wt_eq(weft_chan_try_recv(chan, &item), 1, "somebody waits with one");
    wt_eq(item, 5);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(rc, 0);
    wt_eq(weft_chan_try_recv(chan, &item), -EAGAIN);
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, without_capacity_waiting_senders_and_receivers_are_served_in_their_order, 1)
{
    weft_chan *chan = new_chan(0);
    atomic_int waiting = 0;
    int got[5];
    int item;
    WEFT_SCOPE(s);
    for (int i = 0; i < 5; i++) {
        weft_go(&s, send_one, (&(struct side){chan, &waiting, i, NULL, NULL}));
        yield_until(&waiting, i + 1);
    }
    for (int i = 0; i < 5; i++) {
        wt_eq(weft_chan_recv(chan, &item), 1);
        wt_eq(item, i);
    }
    for (int i = 0; i < 5; i++) {
        weft_go(&s, recv_one, (&(struct side){chan, &waiting, 0, &got[i], NULL}));
        yield_until(&waiting, 5 + i + 1);
    }
    for (int i = 0; i < 5; i++) {
        wt_eq(weft_chan_send(chan, &i), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    for (int i = 0; i < 5; i++) {
        wt_eq(got[i], i);
    }
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, without_capacity_a_cancelled_sender_is_passed_over, 1) /* E28 */
{
    weft_chan *chan = new_chan(0);
    atomic_int waiting = 0;
    int item;
    WEFT_SCOPE(s);
    weft_go(&s, send_one, (&(struct side){chan, &waiting, 1, NULL, NULL}));
    yield_until(&waiting, 1);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_chan_try_recv(chan, &item), -EAGAIN);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, without_capacity_close_wakes_both_sides, 1) /* E27 */
{
    weft_chan *chan = new_chan(0);
    atomic_int waiting = 0;
    int rc[2] = {99, 99};
    WEFT_SCOPE(s);
    weft_go(&s, send_one, (&(struct side){chan, &waiting, 1, NULL, &rc[0]}));
    yield_until(&waiting, 1);
    wt_eq(weft_chan_close(chan, 0), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(rc[0], -EPIPE);
    int item;
    wt_eq(weft_chan_recv(chan, &item), 0);
    weft_chan_free(chan);
    return 0;
}

/* --- unbounded -------------------------------------------------------------------------------- */

TaskTest(chan, an_unbounded_one_keeps_the_order_of_any_number_of_items, 1)
{
    weft_chan *chan = new_chan(WEFT_CHAN_UNBOUNDED);
    int next = 0;
    int expected = 0;
    int item;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 997; i++) {
            wt_eq(weft_chan_send(chan, &next), 0);
            next++;
        }
        for (int i = 0; i < 500 + round * 13; i++) {
            if (expected < next) {
                wt_eq(weft_chan_recv(chan, &item), 1);
                wt_eq(item, expected++);
            }
        }
        wt_eq(weft_chan_len(chan), (size_t)(next - expected));
    }
    while (expected < next) {
        wt_eq(weft_chan_recv(chan, &item), 1);
        wt_eq(item, expected++);
    }
    wt_eq(weft_chan_try_recv(chan, &item), -EAGAIN);
    wt_eq(weft_chan_send(chan, &next), 0);
    wt_eq(weft_chan_close(chan, 0), 0);
    wt_eq(weft_chan_recv(chan, &item), 1);
    wt_eq(item, next);
    wt_eq(weft_chan_recv(chan, &item), 0);
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, an_unbounded_one_is_full_at_its_named_bound, 1)
{
    enum { MAX = 1500 }; /* more than a chunk, and no multiple of one */
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), WEFT_CHAN_UNBOUNDED, .grow_max = MAX), 0);
    for (int i = 0; i < MAX; i++) {
        wt_eq(weft_chan_try_send(chan, &i), 0);
    }
    wt_eq(weft_chan_try_send(chan, &(int){0}), -EAGAIN);
    atomic_int waiting = 0;
    int item;
    WEFT_SCOPE(s);
    for (int i = 0; i < MAX; i++) { /* each in turn waits, and is let in as one is taken */
        weft_go(&s, send_one, (&(struct side){chan, &waiting, MAX + i, NULL, NULL}));
        yield_until(&waiting, i + 1);
        wt_eq(weft_chan_len(chan), MAX);
        wt_eq(weft_chan_recv(chan, &item), 1);
        wt_eq(item, i);
        wt_eq(weft_chan_len(chan), MAX);
    }
    wt_eq(weft_scope_end(&s), 0);
    for (int i = 0; i < MAX; i++) {
        wt_eq(weft_chan_recv(chan, &item), 1);
        wt_eq(item, MAX + i);
    }
    weft_chan_free(chan);
    return 0;
}

/* --- typed ------------------------------------------------------------------------------------ */

struct email {
    int to;
    char text[60];
};

WEFT_CHAN(mailbox, struct email);

TaskTest(chan, a_typed_one_is_a_channel_with_a_type_of_its_own, 1)
{
    mailbox box;
    struct email email;
    wt_eq(mailbox_new(&box, 2, NULL), 0);
    wt_eq(weft_chan_item_bytes(box.chan), sizeof(struct email));
    wt_eq(mailbox_send(box, &(struct email){7, "hello"}), 0);
    wt_eq(mailbox_try_send(box, &(struct email){8, "again"}), 0);
    wt_eq(mailbox_len(box), 2);
    wt_eq(mailbox_recv(box, &email), 1);
    wt_eq(email.to, 7);
    wt_str_eq(email.text, "hello");
    wt_eq(mailbox_try_recv(mailbox_of(box.chan), &email), 1);
    wt_eq(mailbox_close(box, 0), 0);
    wt_eq(mailbox_recv(box, &email), 0);
    mailbox_free(box);
    return 0;
}

static atomic_int complaints;

static void count_misuse(const char *what)
{
    wt_true(strstr(what, "mailbox") != NULL, "%s", what);
    atomic_fetch_add(&complaints, 1);
}

Test(chan, a_channel_of_another_item_size_made_typed_is_misuse) /* E32 */
{
    weft_misuse_fn *former = weft_on_misuse(count_misuse);
    weft_chan *chan = new_chan(1);
    (void)mailbox_of(chan);
    wt_eq(atomic_load(&complaints), 1);
    weft_chan_free(chan);
    weft_on_misuse(former);
}

/* --- closing ---------------------------------------------------------------------------------- */

/* E27, E30 */
TaskTest(chan, after_close_the_items_in_it_are_still_received_then_0, 1)
{
    weft_chan *chan = new_chan(4);
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_chan_send(chan, &i), 0);
    }
    wt_eq(weft_chan_close(chan, 0), 0);
    int item;
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_chan_recv(chan, &item), 1);
        wt_eq(item, i);
    }
    wt_eq(weft_chan_recv(chan, &item), 0);
    wt_eq(weft_chan_recv(chan, &item), 0);
    weft_chan_free(chan);
    return 0;
}

/* E30 */
TaskTest(chan, after_close_with_a_code_receivers_get_the_code, 1)
{
    weft_chan *chan = new_chan(4);
    int item = 1;
    wt_eq(weft_chan_send(chan, &item), 0);
    wt_eq(weft_chan_close(chan, -ECONNRESET), 0);
    wt_eq(weft_chan_recv(chan, &item), 1);
    wt_eq(weft_chan_recv(chan, &item), -ECONNRESET);
    wt_eq(weft_chan_try_recv(chan, &item), -ECONNRESET);
    weft_chan_free(chan);
    return 0;
}

/* A code of -EAGAIN is legal, and must not be taken for "would wait". */
TaskTest(chan, the_code_may_be_any_negative_number, 1)
{
    weft_chan *chan = new_chan(1);
    int item = 1;
    wt_eq(weft_chan_close(chan, -EAGAIN), 0);
    wt_eq(weft_chan_recv(chan, &item), -EAGAIN);
    wt_eq(weft_chan_send(chan, &item), -EPIPE);
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, a_second_close_is_ealready_and_the_first_code_stays, 1)
{
    weft_chan *chan = new_chan(1);
    int item;
    wt_eq(weft_chan_close(chan, 1), -EINVAL);
    wt_eq(weft_chan_close(chan, -EIO), 0);
    wt_eq(weft_chan_close(chan, -EBADMSG), -EALREADY);
    wt_eq(weft_chan_recv(chan, &item), -EIO);
    weft_chan_free(chan);
    return 0;
}

/* E27 */
TaskTest(chan, close_wakes_blocked_receivers_with_its_code, 1)
{
    for (int code = 0; code >= -EIO; code -= EIO) {
        weft_chan *chan = new_chan(1);
        atomic_int waiting = 0;
        int rc[4] = {99, 99, 99, 99};
        WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
        for (int i = 0; i < 4; i++) {
            weft_go(&s, recv_one, (&(struct side){chan, &waiting, 0, NULL, &rc[i]}));
        }
        yield_until(&waiting, 4);
        wt_eq(weft_chan_close(chan, code), 0);
        wt_eq(weft_scope_end(&s), 0);
        for (int i = 0; i < 4; i++) {
            wt_eq(rc[i], code);
        }
        weft_chan_free(chan);
    }
    return 0;
}

/* E27 */
TaskTest(chan, close_wakes_blocked_senders_with_epipe_and_their_items_stay_out, 1)
{
    weft_chan *chan = new_chan(1);
    atomic_int waiting = 0;
    int rc[3];
    int item = 100;
    wt_eq(weft_chan_send(chan, &item), 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < 3; i++) {
        weft_go(&s, send_one, (&(struct side){chan, &waiting, i, NULL, &rc[i]}));
    }
    yield_until(&waiting, 3);
    wt_eq(weft_chan_close(chan, 0), 0);
    wt_eq(weft_scope_end(&s), 0);
    for (int i = 0; i < 3; i++) {
        wt_eq(rc[i], -EPIPE);
    }
    wt_eq(weft_chan_recv(chan, &item), 1);
    wt_eq(item, 100);
    wt_eq(weft_chan_recv(chan, &item), 0);
    weft_chan_free(chan);
    return 0;
}

/* --- cancellation ----------------------------------------------------------------------------- */

/* E28 */
TaskTest(chan, a_cancelled_send_leaves_nothing_in_the_channel, 1)
{
    weft_chan *chan = new_chan(1);
    atomic_int waiting = 0;
    int item = 100;
    wt_eq(weft_chan_send(chan, &item), 0);
    WEFT_SCOPE(s);
    weft_go(&s, send_one, (&(struct side){chan, &waiting, 1, NULL, NULL}));
    yield_until(&waiting, 1);
    weft_scope_cancel(&s, NULL);
    /* Before the sender has run again: it is still queued, but its item must be passed over. */
    wt_eq(weft_chan_try_recv(chan, &item), 1);
    wt_eq(item, 100);
    wt_eq(weft_chan_try_recv(chan, &item), -EAGAIN);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    wt_eq(weft_chan_try_recv(chan, &item), -EAGAIN);
    wt_eq(weft_chan_len(chan), 0);
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, the_item_that_a_cancelled_receiver_does_not_take_goes_to_the_next, 1)
{
    weft_chan *chan = new_chan(1);
    atomic_int waiting = 0;
    int got[2] = {-1, -1};
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        weft_go(&go, recv_one, (&(struct side){chan, &waiting, 0, &got[0], NULL}));
        yield_until(&waiting, 1);
        weft_go(&stay, recv_one, (&(struct side){chan, &waiting, 0, &got[1], NULL}));
        yield_until(&waiting, 2);
        weft_scope_cancel(&go, NULL);
        wt_eq(weft_chan_try_send(chan, &(int){7}), 0);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    wt_eq(weft_scope_end(&stay), 0);
    wt_eq(got[0], -1);
    wt_eq(got[1], 7);
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, with_all_receivers_cancelled_the_item_stays_in_the_channel, 1)
{
    weft_chan *chan = new_chan(1);
    atomic_int waiting = 0;
    int item = 0;
    WEFT_SCOPE(s);
    for (int i = 0; i < 3; i++) {
        weft_go(&s, recv_one, (&(struct side){chan, &waiting, 0, NULL, NULL}));
    }
    yield_until(&waiting, 3);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_chan_try_send(chan, &(int){7}), 0);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    wt_eq(weft_chan_try_recv(chan, &item), 1);
    wt_eq(item, 7);
    weft_chan_free(chan);
    return 0;
}

TaskTest(chan, an_item_handed_over_before_the_cancellation_is_received, 1)
{
    weft_chan *chan = new_chan(1);
    atomic_int waiting = 0;
    int got = -1;
    int rc = 0;
    WEFT_SCOPE(s);
    weft_go(&s, recv_one, (&(struct side){chan, &waiting, 0, &got, &rc}));
    yield_until(&waiting, 1);
    wt_eq(weft_chan_try_send(chan, &(int){7}), 0);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(rc, 1);
    wt_eq(got, 7);
    weft_chan_free(chan);
    return 0;
}

/* --- conservation ----------------------------------------------------------------------------- */

#define PRODUCERS 6
#define CONSUMERS 6
#if defined(__SANITIZE_THREAD__)
#define ITEMS 300 /* per producer; each costs ten times as much */
#else
#define ITEMS 3000
#endif

struct traffic {
    weft_chan *chan;
    atomic_uchar sent[PRODUCERS * ITEMS]; /* times */
    atomic_uchar received[PRODUCERS * ITEMS];
    atomic_int producers_left;
    atomic_int timeouts;
};

struct actor {
    struct traffic *traffic;
    int id;
};

static weft_time patience(unsigned *state)
{
    *state = *state * 1664525 + 1013904223;
    unsigned n = *state >> 16;
    return n % 4 == 0 ? WEFT_FOREVER : WEFT_NS(n % 20000);
}

WEFT_TASK(produce, struct actor)
{
    struct traffic *traffic = arg->traffic;
    int id = arg->id;
    unsigned state = (unsigned)id + 1;
    for (int i = 0; i < ITEMS; i++) {
        int item = id * ITEMS + i;
        int rc = weft_within(patience(&state), weft_chan_send(traffic->chan, &item));
        if (rc == 0) {
            atomic_fetch_add(&traffic->sent[item], 1);
        } else {
            wt_eq(rc, -ETIME);
            atomic_fetch_add(&traffic->timeouts, 1);
        }
    }
    if (atomic_fetch_sub(&traffic->producers_left, 1) == 1) {
        wt_eq(weft_chan_close(traffic->chan, 0), 0);
    }
    return 0;
}

WEFT_TASK(consume, struct actor)
{
    struct traffic *traffic = arg->traffic;
    unsigned state = (unsigned)arg->id + 100;
    for (;;) { /* ends: the channel is closed */
        int item = -1;
        int rc = weft_within(patience(&state), weft_chan_recv(traffic->chan, &item));
        if (rc == 0) {
            return 0;
        }
        if (rc == 1) {
            atomic_fetch_add(&traffic->received[item], 1);
        } else {
            wt_eq(rc, -ETIME);
            atomic_fetch_add(&traffic->timeouts, 1);
        }
    }
}

struct load {
    size_t capacity;
};

static int move_items(void *arg)
{
    struct load *load = arg;
    struct traffic *traffic = calloc(1, sizeof *traffic);
    traffic->chan = new_chan(load->capacity);
    atomic_store(&traffic->producers_left, PRODUCERS);
    WEFT_SCOPE(s);
    for (int i = 0; i < CONSUMERS; i++) {
        weft_go(&s, consume, (&(struct actor){traffic, i}));
    }
    for (int i = 0; i < PRODUCERS; i++) {
        weft_go(&s, produce, (&(struct actor){traffic, i}));
    }
    wt_eq(weft_scope_end(&s), 0);
    for (int i = 0; i < PRODUCERS * ITEMS; i++) {
        wt_le(atomic_load(&traffic->sent[i]), 1);
        wt_eq(atomic_load(&traffic->received[i]), atomic_load(&traffic->sent[i]), "item %d", i);
    }
    weft_chan_free(traffic->chan);
    free(traffic);
    return 0;
}

Test(chan, every_item_sent_is_received_once_when_deadlines_race_with_hand_overs)
{
    for (int workers = 1; workers <= 8; workers = workers == 1 ? 2 : workers * 4) {
        wt_eq(weft_run(move_items, &(struct load){1}, .workers = workers), 0);
        wt_eq(weft_run(move_items, &(struct load){16}, .workers = workers), 0);
        wt_eq(weft_run(move_items, &(struct load){0}, .workers = workers), 0);
        wt_eq(weft_run(move_items, &(struct load){WEFT_CHAN_UNBOUNDED}, .workers = workers), 0);
    }
}

/* --- every item is received or dropped -------------------------------------------------------- */

struct lossy {
    weft_chan *chan;
    atomic_long sent, received, dropped, said; /* sums of items; items said to be dropped */
    atomic_long drops;
    atomic_int producers_left;
};

static void count_drop(const void *item, void *ctx)
{
    struct lossy *lossy = ctx;
    atomic_fetch_add(&lossy->dropped, *(const int *)item);
    atomic_fetch_add(&lossy->drops, 1);
}

static int send_lossily(void *arg)
{
    struct lossy *lossy = arg;
    for (int i = 1; i <= ITEMS; i++) {
        int rc = weft_chan_send(lossy->chan, &i);
        wt_true(rc == 0 || rc == 1);
        atomic_fetch_add(&lossy->sent, i);
        atomic_fetch_add(&lossy->said, rc);
    }
    if (atomic_fetch_sub(&lossy->producers_left, 1) == 1) {
        wt_eq(weft_chan_close(lossy->chan, 0), 0);
    }
    return 0;
}

static int recv_lossily(void *arg)
{
    struct lossy *lossy = arg;
    unsigned state = 5;
    int item, rc;
    do {
        rc = weft_within(patience(&state), weft_chan_recv(lossy->chan, &item));
        if (rc == 1) {
            atomic_fetch_add(&lossy->received, item);
        }
    } while (rc == 1 || rc == -ETIME);
    return rc;
}

static int move_lossily(void *arg)
{
    weft_task tasks[8];
    for (int i = 0; i < 8; i++) {
        weft_spawn(&tasks[i], i % 2 == 0 ? send_lossily : recv_lossily, arg);
    }
    for (int i = 0; i < 8; i++) {
        wt_eq(weft_await(&tasks[i]), 0);
    }
    return 0;
}

Test(chan, every_item_is_received_or_dropped_once) /* E29 */
{
    for (int full = WEFT_FULL_DROP_NEWEST; full <= WEFT_FULL_DROP_WRITE; full++) {
        for (int i = 0; i < 6; i++) {
            struct lossy lossy = {.producers_left = 4};
            static const size_t capacities[] = {0, 1, WEFT_CHAN_UNBOUNDED};
            wt_eq(weft_chan_new(&lossy.chan, sizeof(int), capacities[i % 3], .full = full,
                                .on_drop = count_drop, .ctx = &lossy, .grow_max = 9),
                  0);
            wt_eq(weft_run(move_lossily, &lossy, .workers = i < 3 ? 2 : 8), 0);
            wt_eq(atomic_load(&lossy.sent),
                  atomic_load(&lossy.received) + atomic_load(&lossy.dropped));
            wt_eq(atomic_load(&lossy.said), atomic_load(&lossy.drops));
            weft_chan_free(lossy.chan);
        }
    }
}

#define FOREIGN_ITEMS \
    2000 /* the queue is full each four: on a busy machine a turn of others each */

static void *send_from_outside(void *chan)
{
    for (int i = 0; i < FOREIGN_ITEMS; i++) {
        while (weft_chan_try_send(chan, &i) == -EAGAIN) { /* ends: a task receives */
            sched_yield();
        }
    }
    return NULL;
}

TaskTest(chan, items_tried_by_a_foreign_thread_arrive_in_order, 2)
{
    weft_chan *chan = new_chan(4);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, send_from_outside, chan), 0);
    for (int i = 0; i < FOREIGN_ITEMS; i++) {
        int item = -1;
        wt_eq(weft_chan_recv(chan, &item), 1);
        wt_eq(item, i);
    }
    pthread_join(thread, NULL);
    weft_chan_free(chan);
    return 0;
}
