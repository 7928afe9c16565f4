/* test_uring.c: the driver as its worker uses it: operations, capacity, sleeping, waking. */
#define _GNU_SOURCE
#include "tests/unit/io/rig.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/time_types.h>
#include <liburing/io_uring.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MS INT64_C(1000000)

/* --- operations ------------------------------------------------------------------------------- */

Test(ops, nop_gives_0, .init = rig_open, .fini = rig_close)
{
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_NOP}), 0);
    wt_eq(rig_counter("submitted"), 1);
    wt_eq(rig_counter("completed"), 1);
}

Test(ops, submit_neither_enters_nor_completes, .init = rig_open, .fini = rig_close)
{
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    wt_eq(op.done, 0);
    wt_eq(rig_counter("enters"), 0);
    wt_eq(rig_poll(), 1);
    wt_eq(op.done, 1);
}

Test(ops, file_is_opened_written_synced_read_inspected_and_closed, .init = rig_open,
     .fini = rig_close)
{
    char path[] = "/tmp/weft-test-XXXXXX";
    int made = mkstemp(path);
    wt_ge(made, 0);
    close(made);
    int fd = rig_run((struct wf_op){.kind = WF_OP_OPENAT,
                                    .fd = AT_FDCWD,
                                    .address = (uintptr_t)path,
                                    .flags = O_RDWR | O_CLOEXEC});
    wt_ge(fd, 0);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_WRITE,
                                 .fd = fd,
                                 .address = (uintptr_t) "hello",
                                 .bytes = 5,
                                 .offset = 3}),
          5);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_FSYNC, .fd = fd, .flags = WF_FSYNC_DATA}), 0);
    char buffer[16] = "";
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_READ,
                                 .fd = fd,
                                 .address = (uintptr_t)buffer,
                                 .bytes = sizeof buffer,
                                 .offset = 4}),
          4);
    wt_str_eq(buffer, "ello");
    struct statx about = {0};
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_STATX,
                                 .fd = AT_FDCWD,
                                 .address = (uintptr_t)path,
                                 .bytes = STATX_SIZE,
                                 .offset = (uintptr_t)&about}),
          0);
    wt_eq(about.stx_size, 8);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_CLOSE, .fd = fd}), 0);
    wt_eq(fcntl(fd, F_GETFD), -1);
    unlink(path);
}

Test(ops, reading_at_minus_1_moves_the_files_position, .init = rig_open, .fini = rig_close)
{
    FILE *file = tmpfile();
    wt_eq(fputs("abcdef", file), 1);
    fflush(file);
    rewind(file);
    char buffer[4] = "";
    wt_eq(rig_run(rig_read(fileno(file), buffer, 2)), 2);
    wt_eq(rig_run(rig_read(fileno(file), buffer, 2)), 2);
    wt_str_eq(buffer, "cd");
    fclose(file);
}

Test(ops, read_of_an_empty_pipe_completes_when_data_comes, .init = rig_open, .fini = rig_close)
{
    int ends[2];
    wt_eq(pipe(ends), 0);
    char buffer[8] = "";
    struct rig_op op = {.op = rig_read(ends[0], buffer, sizeof buffer)};
    rig_submit(&op);
    wt_eq(rig_poll(), 0);
    wt_false(rig_is_due());
    wt_eq(write(ends[1], "data", 4), 4);
    wt_true(rig_is_due()); /* the kernel holds the completion back, and says so */
    wt_eq(op.done, 0);
    wt_eq(rig_poll(), 1);
    wt_eq(op.op.res, 4);
    wt_str_eq(buffer, "data");
    close(ends[0]);
    close(ends[1]);
}

Test(ops, connection_is_accepted_used_and_shut_down, .init = rig_open, .fini = rig_close)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    wt_eq(bind(listener, (struct sockaddr *)&address, bytes), 0);
    wt_eq(listen(listener, 8), 0);
    wt_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);

    struct sockaddr_in peer;
    socklen_t peer_bytes = sizeof peer;
    struct rig_op accepting = {.op = {.kind = WF_OP_ACCEPT,
                                      .fd = listener,
                                      .address = (uintptr_t)&peer,
                                      .offset = (uintptr_t)&peer_bytes,
                                      .flags = SOCK_CLOEXEC}};
    rig_submit(&accepting);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_CONNECT,
                                 .fd = client,
                                 .address = (uintptr_t)&address,
                                 .offset = sizeof address}),
          0);
    int server = rig_await(&accepting);
    wt_ge(server, 0);
    wt_eq(peer_bytes, sizeof peer);
    wt_eq(fcntl(server, F_GETFD), FD_CLOEXEC);

    char buffer[8] = "";
    struct rig_op receiving = {.op = {.kind = WF_OP_RECV,
                                      .fd = server,
                                      .address = (uintptr_t)buffer,
                                      .bytes = sizeof buffer}};
    rig_submit(&receiving);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_SEND,
                                 .fd = client,
                                 .address = (uintptr_t) "ping",
                                 .bytes = 4,
                                 .flags = MSG_NOSIGNAL}),
          4);
    wt_eq(rig_await(&receiving), 4);
    wt_str_eq(buffer, "ping");
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_SHUTDOWN, .fd = client, .bytes = SHUT_WR}), 0);
    rig_submit(&receiving);
    wt_eq(rig_await(&receiving), 0); /* the end of the stream */
    close(client);
    close(server);
    close(listener);
}

Test(ops, poll_gives_the_events_that_are_ready, .init = rig_open, .fini = rig_close)
{
    int ends[2];
    wt_eq(pipe(ends), 0);
    struct rig_op op = {.op = {.kind = WF_OP_POLL, .fd = ends[0], .flags = POLLIN}};
    rig_submit(&op);
    wt_eq(rig_poll(), 0);
    close(ends[1]);
    wt_eq(rig_await(&op), POLLHUP);
    close(ends[0]);
}

Test(ops, what_the_kernel_refuses_ends_with_its_error, .init = rig_open, .fini = rig_close)
{
    char byte;
    wt_eq(rig_run(rig_read(-1, &byte, 1)), -EBADF);
    wt_eq(rig_run((struct wf_op){
              .kind = WF_OP_OPENAT, .fd = AT_FDCWD, .address = (uintptr_t) "/nowhere/at/all"}),
          -ENOENT);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_NOP, .flags = 1u << 31}), -EINVAL);
}

Test(ops, ring_refuses_codes_that_weft_does_not_use, .init = rig_open, .fini = rig_close)
{
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    struct wf_ring *ring = &rig.uring->ring;
    ring->entries[(ring->written - 1) % ring->entries_max].opcode = IORING_OP_TIMEOUT;
    wt_eq(rig_await(&op), -EACCES);
    rig_submit(&op);
    ring->entries[(ring->written - 1) % ring->entries_max].flags = IOSQE_ASYNC;
    wt_eq(rig_await(&op), -EACCES);
}

/* --- capacity --------------------------------------------------------------------------------- */

#define MANY 2000

static struct rig_op many[MANY];

static int count_done(void)
{
    int done = 0;
    for (int i = 0; i < MANY; i++) {
        wt_le(many[i].done, 1);
        done += many[i].done;
    }
    return done;
}

Test(capacity, ops_beyond_the_submission_queue_all_complete, .init = rig_open, .fini = rig_close)
{
    for (int i = 0; i < 500; i++) {
        many[i].op.kind = WF_OP_NOP;
        rig_submit(&many[i]);
    }
    wt_eq(rig_counter("enters"), 0);
    wt_eq(many[rig.uring->ring.entries_max - 1].op.phase, WF_OP_PENDING);
    wt_eq(many[rig.uring->ring.entries_max].op.phase, WF_OP_WAITING);
    int polls = 0;
    while (rig_poll() > 0) {
        polls++;
    }
    wt_eq(count_done(), 500);
    wt_ge(polls, 3, "at most 128 at a time");
}

Test(capacity, more_ops_in_flight_than_the_completion_queue_holds, .init = rig_open,
     .fini = rig_close)
{
    /* Idle connections must not keep others from being served: each of these waits, and is in the
     * kernel. */
    int event = eventfd(0, EFD_CLOEXEC);
    wt_gt(MANY, rig.uring->ring.completions_max);
    for (int i = 0; i < MANY; i++) {
        many[i].op = (struct wf_op){.kind = WF_OP_POLL, .fd = event, .flags = POLLIN};
        rig_submit(&many[i]);
    }
    wt_eq(rig_poll(), 0);
    wt_eq(wf_slots_used(&rig.uring->slots), MANY);
    wt_true(wf_list_is_empty(&rig.uring->waiting));
    uint64_t one = 1;
    wt_eq(write(event, &one, sizeof one), (ssize_t)sizeof one);
    while (rig_poll() > 0) {
    }
    wt_eq(count_done(), MANY);
    close(event);
}

Test(capacity, an_overflowing_completion_queue_loses_nothing, .init = rig_open, .fini = rig_close)
{
    struct wf_ring *ring = &rig.uring->ring;
    for (int i = 0; i < MANY; i++) {
        many[i].op.kind = WF_OP_NOP;
        rig_submit(&many[i]);
        if (wf_ring_is_full(ring) || i == MANY - 1) {
            wf_ring_enter(ring, 0, INT64_MAX); /* behind the driver's back, which would reap */
        }
    }
    wt_true(rig_is_due());
    while (rig_poll() > 0) {
    }
    wt_eq(count_done(), MANY);
}

static struct rig_op *finished[8];
static int finished_count;

static void note_done(struct wf_op *op)
{
    finished[finished_count++] = op->waiter;
}

static void submit_noted(struct rig_op *op)
{
    op->op.done = note_done;
    op->op.waiter = op;
    wf_io_submit(&rig.worker, &op->op);
}

static void note_done_and_submit(struct wf_op *op)
{
    note_done(op);
    submit_noted(&many[3]); /* a slot is free, and many[1] has waited for it */
}

Test(capacity, ops_without_a_slot_wait_their_turn, .init = rig_open, .fini = rig_close)
{
    rig.uring->slots.used_max = 1;
    int event = eventfd(0, EFD_CLOEXEC);
    many[0].op = (struct wf_op){.kind = WF_OP_POLL, .fd = event, .flags = POLLIN};
    for (int i = 0; i < 3; i++) {
        submit_noted(&many[i]);
    }
    many[0].op.done = note_done_and_submit;
    wt_eq(rig_poll(), 0);
    wt_eq(many[1].op.phase, WF_OP_WAITING);
    wt_false(rig_is_due()); /* nothing can be done until a slot is free */
    wt_eq(write(event, &(uint64_t){1}, 8), 8);
    while (rig_poll() > 0) {
    }
    wt_eq(finished_count, 4);
    for (int i = 0; i < 4; i++) {
        wt_eq(finished[i], &many[i]);
    }
    close(event);
}

Test(capacity, slots_that_cannot_be_allocated_are_waited_for, .init = rig_open, .fini = rig_close)
{
    void *(*alloc)(size_t, size_t) = wf_sys.alloc;
    extern void *rig_no_memory(size_t alignment, size_t bytes);
    wf_sys.alloc = rig_no_memory;
    for (int i = 0; i < MANY; i++) {
        many[i].op.kind = WF_OP_NOP;
        rig_submit(&many[i]);
    }
    while (rig_poll() > 0) {
    }
    wf_sys.alloc = alloc;
    wt_eq(count_done(), MANY);
}

void *rig_no_memory(size_t alignment, size_t bytes)
{
    (void)alignment, (void)bytes;
    return NULL;
}

static void stand_ready(uint32_t works)
{
    wf_store_relaxed(&rig.worker.runq.tail, wf_load_relaxed(&rig.worker.runq.head) + works);
}

Test(capacity, no_more_is_taken_than_is_run_meanwhile, .init = rig_open, .fini = rig_close)
{
    for (int i = 0; i < 200; i++) {
        many[i].op.kind = WF_OP_NOP;
        rig_submit(&many[i]);
    }
    wt_true(wf_ring_enter(&rig.uring->ring, 0, INT64_MAX) >= 0);
    stand_ready(100);
    wt_true(rig_is_due());
    wt_eq(rig_poll(), 28, "until 128 are ready");
    stand_ready(128);
    wt_false(rig_is_due());
    wt_eq(rig_poll(), 16, "in its turn, though more are ready than it wants");
    stand_ready(0);
    wt_true(rig_is_due());
    wt_eq(rig_poll(), 128);
    wt_eq(rig_poll(), 28);
    wt_eq(count_done(), 200);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void complete_nobody(uint64_t number)
{
    struct io_uring_sqe *entry = wf_ring_entry(&rig.uring->ring);
    entry->opcode = IORING_OP_NOP;
    entry->user_data = number;
}

Test(numbers, completion_of_nothing_in_flight_is_counted_and_ignored, .init = rig_open,
     .fini = rig_close)
{
    complete_nobody(0);                     /* a free slot */
    complete_nobody(UINT64_C(0xdeadbeef));  /* no slot */
    complete_nobody(WF_SLOTS_CHUNK);        /* a slot that does not exist yet */
    complete_nobody(UINT64_C(0xfffffffd));  /* nearly one of our own */
    complete_nobody(UINT64_C(0x1ffffffff)); /* the wake's, with a generation */
    wt_eq(rig_poll(), 0);
    wt_eq(rig.uring->strays, 5);
    wt_eq(rig_counter("completed"), 0);
}

Test(numbers, late_completion_does_not_end_the_next_op_in_the_slot, .init = rig_open,
     .fini = rig_close)
{
    struct rig_op first = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&first);
    uint64_t number = wf_slots_number(&rig.uring->slots, first.op.slot);
    wt_eq(rig_poll(), 1);

    int ends[2];
    wt_eq(pipe(ends), 0);
    char byte;
    struct rig_op second = {.op = rig_read(ends[0], &byte, 1)};
    rig_submit(&second);
    wt_eq(second.op.slot, first.op.slot);
    complete_nobody(number); /* twice, as a forged or doubled one would be */
    complete_nobody(number);
    wt_eq(rig_poll(), 0);
    wt_eq(second.done, 0);
    wt_eq(rig.uring->strays, 2);
    wt_eq(write(ends[1], "x", 1), 1);
    wt_eq(rig_await(&second), 1);
    close(ends[0]);
    close(ends[1]);
}

Test(numbers, generations_wrap)
{
    struct wf_slots slots;
    wt_true(wf_slots_open(&slots));
    struct wf_op op;
    slots.uses = UINT32_MAX - 1;
    uint32_t slot = wf_slots_take(&slots, &op);
    uint64_t number = wf_slots_number(&slots, slot);
    wt_eq(wf_slots_find(&slots, number), &op);
    wf_slots_give(&slots, slot);
    wt_eq(wf_slots_find(&slots, number), NULL);
    wt_eq(wf_slots_take(&slots, &op), slot);
    wt_eq(wf_slots_number(&slots, slot), slot);
    wt_eq(wf_slots_find(&slots, number), NULL);
    wf_slots_give(&slots, slot);
    wf_slots_close(&slots);
}

/* What the worker learns from those that end: how many were begun meanwhile (pool/patience.h). */
Test(numbers, tell_how_many_operations_were_begun_since, .init = rig_open, .fini = rig_close)
{
    int ends[2];
    wt_eq(pipe(ends), 0);
    char byte;
    struct rig_op waits = {.op = rig_read(ends[0], &byte, 1)};
    rig_submit(&waits);
    wt_eq(rig_poll(), 0);
    for (int i = 0; i < 7; i++) {
        wt_eq(rig_run((struct wf_op){.kind = WF_OP_NOP}), 0);
    }
    wt_eq(rig.worker.patience.crowd, 0, "one at a time");
    for (int i = 0; i < 3; i++) {
        many[i].op.kind = WF_OP_NOP;
        rig_submit(&many[i]);
    }
    wt_eq(rig_poll(), 3);
    wt_eq(rig.worker.patience.crowd, 2, "after the first there were two");
    wt_eq(write(ends[1], "x", 1), 1);
    wt_eq(rig_await(&waits), 1);
    wt_eq(rig.worker.patience.crowd, 10);
    close(ends[0]);
    close(ends[1]);
}

/* --- due, sleep, wake ------------------------------------------------------------------------- */

Test(sleep, poll_is_due_when_enough_is_queued_or_it_has_waited, .init = rig_open, .fini = rig_close)
{
    wt_false(rig_is_due());
    many[0].op.kind = WF_OP_NOP;
    rig_submit(&many[0]);
    int asked = 1;
    while (!rig_is_due()) {
        asked++;
    }
    wt_eq(asked, 16);
    wt_eq(rig_poll(), 1);
    wt_false(rig_is_due());
    for (int i = 0; i < 31; i++) {
        many[i].op.kind = WF_OP_NOP;
        rig_submit(&many[i]);
    }
    wt_false(rig_is_due());
    rig_submit(&many[31]);
    wt_true(rig_is_due());
    wt_eq(rig_poll(), 32);
}

Test(sleep, ends_at_its_deadline_and_not_before, .init = rig_open, .fini = rig_close)
{
    int64_t before_ns = wf_sys.now_ns();
    rig_sleep(20 * MS);
    wt_ge(wf_sys.now_ns() - before_ns, 20 * MS);
    rig_sleep(0);
    rig_sleep(-5 * MS);
    wt_lt(wf_sys.now_ns() - before_ns, 15000 * MS);
}

Test(sleep, submits_what_is_queued, .init = rig_open, .fini = rig_close)
{
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    rig_sleep(INT64_MAX);
    wt_eq(op.done, 1);
    wt_eq(rig_counter("enters"), 1);
}

Test(sleep, does_not_sleep_on_a_completion_that_is_there, .init = rig_open, .fini = rig_close)
{
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    wf_ring_enter(&rig.uring->ring, 0, INT64_MAX);
    wt_eq(op.done, 0);
    rig_sleep(INT64_MAX);
    wt_eq(op.done, 1);
    wt_eq(rig_counter("enters"), 0);
}

Test(sleep, with_a_full_submission_queue_submits_instead, .init = rig_open, .fini = rig_close)
{
    rig_sleep(MS); /* arms its watch on wakes, which needs an entry */
    int event = eventfd(0, EFD_CLOEXEC);
    for (int i = 0; i < 300; i++) {
        many[i].op = (struct wf_op){.kind = WF_OP_POLL, .fd = event, .flags = POLLIN};
        rig_submit(&many[i]);
    }
    many[300].op.kind = WF_OP_NOP;
    rig_submit(&many[300]);
    rig_sleep(INT64_MAX); /* would never end with the last one unsubmitted */
    wt_eq(many[300].done, 1);
    wt_eq(count_done(), 1);
    wt_eq(write(event, &(uint64_t){1}, 8), 8);
    while (rig_poll() > 0) {
    }
    wt_eq(count_done(), 301);
    close(event);
}

Test(sleep, wake_before_the_first_sleep_ends_it, .init = rig_open, .fini = rig_close)
{
    rig_wake();
    rig_sleep(INT64_MAX);
}

Test(sleep, wake_before_a_later_sleep_ends_it, .init = rig_open, .fini = rig_close)
{
    rig_sleep(MS); /* arms */
    for (int i = 0; i < 3; i++) {
        rig_wake();
        rig_sleep(INT64_MAX);
    }
    int64_t before_ns = wf_sys.now_ns();
    rig_sleep(20 * MS); /* three wakes, three sleeps: nothing is left over */
    wt_ge(wf_sys.now_ns() - before_ns, 20 * MS);
}

Test(sleep, wake_that_a_poll_has_seen_still_ends_the_next_sleep, .init = rig_open,
     .fini = rig_close)
{
    rig_sleep(MS);
    rig_wake();
    wt_eq(rig_poll(), 0);
    wt_false(rig_is_due());
    rig_sleep(INT64_MAX);
}

Test(sleep, watch_on_wakes_that_the_kernel_ends_is_renewed, .init = rig_open, .fini = rig_close)
{
    rig_sleep(MS);
    struct io_uring_sqe *entry = wf_ring_entry(&rig.uring->ring);
    entry->opcode = IORING_OP_ASYNC_CANCEL;
    entry->addr = UINT64_C(0xffffffff); /* the watch's number */
    entry->user_data = UINT64_C(0xfffffffe);
    rig_poll();
    wt_false(rig.uring->wake_armed);
    rig_sleep(MS); /* returns for the one that ended */
    rig_sleep(MS);
    wt_true(rig.uring->wake_armed);
    rig_wake();
    rig_sleep(INT64_MAX);
}

Test(sleep, wake_during_a_sleep_ends_it, .init = rig_open, .fini = rig_close)
{
    rig_wake_while_it_falls_asleep();
}

/* --- what enter may say ----------------------------------------------------------------------- */

static int (*real_enter)(int fd, unsigned submit, unsigned min, unsigned flags, void *arg,
                         size_t bytes);
static int enter_errors[8];
static int enter_error_count;

static int failing_enter(int fd, unsigned submit, unsigned min, unsigned flags, void *arg,
                         size_t bytes)
{
    if (enter_error_count > 0) {
        return enter_errors[--enter_error_count];
    }
    return real_enter(fd, submit, min, flags, arg, bytes);
}

static void fail_next_enters(int count, int rc)
{
    real_enter = real_enter != NULL ? real_enter : wf_sys.uring_enter;
    wf_sys.uring_enter = failing_enter;
    for (enter_error_count = 0; enter_error_count < count; enter_error_count++) {
        enter_errors[enter_error_count] = rc;
    }
}

Test(enter, interruptions_and_shortages_pass, .init = rig_open, .fini = rig_close)
{
    static const int passing[] = {-EINTR, -EAGAIN, -EBUSY, -ETIME, 0};
    for (size_t i = 0; i < WF_COUNT(passing); i++) {
        fail_next_enters(3, passing[i]);
        struct rig_op op = {.op = {.kind = WF_OP_NOP}};
        rig_submit(&op);
        wt_eq(rig_poll(), 0);
        rig_sleep(INT64_MAX);
        wt_eq(op.done, 0);
        wt_eq(rig_await(&op), 0, "after %d", passing[i]);
    }
}

static int short_enter(int fd, unsigned submit, unsigned min, unsigned flags, void *arg,
                       size_t bytes)
{
    return real_enter(fd, submit > 3 ? 3 : submit, submit > 3 ? 0 : min, flags, arg, bytes);
}

Test(enter, what_was_not_taken_is_given_again, .init = rig_open, .fini = rig_close)
{
    real_enter = wf_sys.uring_enter;
    wf_sys.uring_enter = short_enter;
    for (int i = 0; i < 100; i++) {
        many[i].op.kind = WF_OP_NOP;
        rig_submit(&many[i]);
    }
    wt_eq(rig_poll(), 100);
    wt_ge(rig_counter("enters"), 34);
    wt_eq(count_done(), 100);
}

static int interrupted_enter(int fd, unsigned submit, unsigned min, unsigned flags, void *arg,
                             size_t bytes)
{
    wf_sys.uring_enter = real_enter;
    (void)real_enter(fd, submit, min, flags, arg, bytes);
    return -EINTR;
}

Test(enter, what_was_taken_before_an_error_is_not_given_again, .init = rig_open, .fini = rig_close)
{
    real_enter = wf_sys.uring_enter;
    wf_sys.uring_enter = interrupted_enter;
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    wt_eq(rig_poll(), 1);
    wt_eq(rig.uring->ring.queued, 0);
    wt_false(rig_is_due());
}

Test(enter, refusal_after_the_start_ends_the_process_with_a_message, .init = rig_open,
     .signal = SIGABRT)
{
    fail_next_enters(1, -EPERM);
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    rig_poll();
}

/* A completion was lost for want of memory: whoever waits for it would wait for ever. */
Test(enter, a_lost_completion_ends_the_process, .init = rig_open, .signal = SIGABRT)
{
    fail_next_enters(1, -EBADR);
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    rig_poll();
}

Test(end, with_an_op_in_flight_is_a_bug_of_ours, .init = rig_open, .signal = SIGABRT)
{
    int ends[2];
    wt_eq(pipe(ends), 0);
    char byte;
    struct rig_op op = {.op = rig_read(ends[0], &byte, 1)};
    rig_submit(&op);
    rig_poll();
    rig_close();
}
