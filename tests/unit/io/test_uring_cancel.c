/* test_uring_cancel.c: cancelling an operation at each point of its life. */
#define _GNU_SOURCE
#include "tests/unit/io/cancel_race.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2]; /* of a stream */

static void open_all(void)
{
    rig_open();
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void close_all(void)
{
    rig_close();
    close(ends[0]);
    close(ends[1]);
}

static struct rig_op receiving(void *buffer, size_t bytes, uint32_t flags)
{
    return (struct rig_op){.op = {.kind = WF_OP_RECV,
                                  .fd = ends[0],
                                  .address = (uintptr_t)buffer,
                                  .bytes = (uint32_t)bytes,
                                  .flags = flags}};
}

Test(cancel, pending_op_ends_with_ecanceled, .init = open_all, .fini = close_all)
{
    char buffer[8];
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    rig_poll();
    wf_io_cancel(&op.op);
    wt_eq(op.done, 0);
    wt_eq(rig_hear(), 1);
    wt_eq(op.done, 0, "only the kernel ends it");
    wt_eq(rig_await(&op), -ECANCELED);
    wt_eq(rig_counter("cancelled"), 1);
    wt_eq(rig_counter("submitted"), rig_counter("completed"));
}

Test(cancel, queued_entry_is_tried_once_and_let_go, .init = open_all, .fini = close_all)
{
    /* The entry is written, the kernel has not seen it: both go in one enter, in this order. */
    char buffer[8] = "";
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    wf_io_cancel(&op.op);
    rig_hear();
    wt_eq(rig_poll(), 1);
    wt_eq(op.op.res, -ECANCELED);
    wt_eq(rig_counter("enters"), 1);

    wt_eq(write(ends[1], "now", 3), 3);
    rig_submit(&op);
    wf_io_cancel(&op.op);
    rig_hear();
    wt_eq(rig_poll(), 1);
    wt_eq(op.op.res, 3, "what succeeds at once is not cancelled");
    wt_str_eq(buffer, "now");
}

Test(cancel, op_without_room_never_reaches_the_kernel, .init = open_all, .fini = close_all)
{
    rig.uring->slots.used_max = 1;
    char buffer[8];
    struct rig_op blocker = receiving(buffer, sizeof buffer, 0);
    struct rig_op op = {
        .op = {.kind = WF_OP_SEND, .fd = ends[0], .address = (uintptr_t) "never", .bytes = 5}};
    rig_submit(&blocker);
    rig_submit(&op);
    rig_poll();
    wt_eq(op.op.phase, WF_OP_WAITING);
    wf_io_cancel(&op.op);
    rig_hear();
    wt_eq(op.done, 0, "not from the message");
    wt_eq(rig_poll(), 1);
    wt_eq(op.op.res, -ECANCELED);
    wt_eq(blocker.done, 0);
    wt_eq(rig_counter("submitted"), 1);
    wf_io_cancel(&blocker.op);
    wt_eq(rig_await(&blocker), -ECANCELED);
    wt_eq(recv(ends[1], buffer, sizeof buffer, MSG_DONTWAIT), -1);
}

Test(cancel, op_without_room_is_dropped_before_a_sleep, .init = open_all, .fini = close_all)
{
    rig.uring->slots.used_max = 1;
    char buffer[8];
    struct rig_op blocker = receiving(buffer, sizeof buffer, 0);
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&blocker);
    rig_submit(&op);
    rig_poll();
    wf_io_cancel(&op.op);
    rig_hear();
    rig_sleep(INT64_MAX); /* would never end: nothing else is coming */
    wt_eq(op.done, 1);
    wf_io_cancel(&blocker.op);
    wt_eq(rig_await(&blocker), -ECANCELED);
}

Test(cancel, after_the_end_changes_nothing, .init = open_all, .fini = close_all)
{
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    wt_eq(rig_await(&op), 0);
    wf_io_cancel(&op.op);
    wt_eq(rig_hear(), 0);
    wt_eq(rig_poll(), 0);
    wt_eq(op.done, 1);
    wt_eq(op.op.res, 0);
}

Test(cancel, done_waits_for_a_message_that_is_under_way, .init = open_all, .fini = close_all)
{
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    wf_io_cancel(&op.op); /* in the inbox; the kernel is faster */
    rig_poll();
    wt_eq(op.done, 0, "or the message would point to freed memory");
    wt_eq(op.op.phase, WF_OP_ENDED);
    wt_eq(wf_slots_used(&rig.uring->slots), 0);
    wt_eq(rig_hear(), 1);
    wt_eq(op.done, 1);
    wt_eq(op.op.res, 0, "it had succeeded");
    wt_eq(rig_poll(), 0);
}

Test(cancel, op_that_ends_before_its_cancellation_is_written_needs_none, .init = open_all,
     .fini = close_all)
{
    char buffer[8];
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    rig_poll();
    wt_eq(write(ends[1], "x", 1), 1);
    wf_ring_enter(&rig.uring->ring, 0, INT64_MAX); /* its completion is there, and not taken */
    wf_io_cancel(&op.op);
    rig_hear();
    wt_false(wf_list_is_empty(&rig.uring->cancelling));
    wt_eq(rig_poll(), 1);
    wt_eq(op.op.res, 1);
    wt_true(wf_list_is_empty(&rig.uring->cancelling));
    wt_eq(rig.uring->ring.queued, 0);
}

Test(cancel, twice_is_once, .init = open_all, .fini = close_all)
{
    char buffer[8];
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    rig_poll();
    wf_io_cancel(&op.op);
    wf_io_cancel(&op.op);
    wt_eq(rig_hear(), 1);
    wf_io_cancel(&op.op);
    wt_eq(rig_hear(), 0);
    wt_eq(rig_await(&op), -ECANCELED);
    wf_io_cancel(&op.op);
    wt_eq(rig_hear(), 0);
    wt_eq(op.done, 1);
}

Test(cancel, bytes_that_had_come_are_reported, .init = open_all, .fini = close_all)
{
    char buffer[64] = "";
    struct rig_op op = receiving(buffer, sizeof buffer, MSG_WAITALL);
    rig_submit(&op);
    wt_eq(write(ends[1], "abc", 3), 3);
    rig_poll();
    wt_eq(op.done, 0);
    wf_io_cancel(&op.op);
    wt_eq(rig_await(&op), 3);
    wt_str_eq(buffer, "abc");
}

Test(cancel, data_that_comes_later_stays_in_the_socket, .init = open_all, .fini = close_all)
{
    char buffer[8] = "";
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    rig_poll();
    wf_io_cancel(&op.op);
    wt_eq(rig_await(&op), -ECANCELED);
    wt_eq(write(ends[1], "later", 5), 5);
    rig_submit(&op);
    wt_eq(rig_await(&op), 5);
}

Test(cancel, hits_the_op_and_not_the_next_one_in_its_slot, .init = open_all, .fini = close_all)
{
    char buffer[8];
    struct rig_op first = receiving(buffer, sizeof buffer, 0);
    rig_submit(&first);
    rig_poll();
    wf_io_cancel(&first.op);
    rig_hear();
    wt_eq(write(ends[1], "x", 1), 1);
    wt_eq(rig_await(&first) == 1 || first.op.res == -ECANCELED, true);
    (void)recv(ends[0], buffer, sizeof buffer, MSG_DONTWAIT);

    struct rig_op second = receiving(buffer, sizeof buffer, 0);
    rig_submit(&second);
    wt_eq(second.op.slot, first.op.slot);
    rig_poll();
    rig_sleep(INT64_C(2000000));
    wt_eq(second.done, 0);
    wt_eq(write(ends[1], "y", 1), 1);
    wt_eq(rig_await(&second), 1);
}

Test(cancel, more_cancellations_than_entries, .init = open_all, .fini = close_all)
{
    static struct rig_op ops[1000];
    int event = eventfd(0, EFD_CLOEXEC);
    for (int i = 0; i < 1000; i++) {
        ops[i].op = (struct wf_op){.kind = WF_OP_POLL, .fd = event, .flags = POLLIN};
        rig_submit(&ops[i]);
    }
    rig_poll();
    for (int i = 0; i < 1000; i++) {
        wf_io_cancel(&ops[i].op);
    }
    wt_eq(rig_hear(), 1000);
    for (int i = 0; i < 1000; i++) {
        wt_eq(rig_await(&ops[i]), -ECANCELED);
    }
    wt_eq(rig_counter("cancelled"), 1000);
    close(event);
}

/* --- from other threads ----------------------------------------------------------------------- */

Test(cancel, from_another_thread_while_data_arrives, .init = open_all, .fini = close_all)
{
    cancel_race(ends[0], ends[1]);
    wt_eq(rig_counter("submitted"), CANCEL_RACE_ROUNDS);
    wt_eq(rig_counter("completed"), CANCEL_RACE_ROUNDS);
}
