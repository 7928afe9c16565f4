/* test_epoll.c: the driver that sleeps in epoll, as its worker uses it: operations, several on one
 * descriptor, cancelling at each point of an op's life, descriptors that are closed too early,
 * calls on blocking threads, sleeping and waking. */
#define _GNU_SOURCE
#include "tests/unit/io/cancel_race.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static int ends[2]; /* of a stream */

static void open_all(void)
{
    rig_open_epoll();
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void close_all(void)
{
    wt_eq(rig_counter("submitted"), rig_counter("completed"));
    rig_close();
    close(ends[0]);
    close(ends[1]);
}

static struct wf_op message(enum wf_op_kind kind, int fd, void *buffer, size_t bytes,
                            uint32_t flags)
{
    return (struct wf_op){.kind = (uint8_t)kind,
                          .fd = fd,
                          .address = (uintptr_t)buffer,
                          .bytes = (uint32_t)bytes,
                          .flags = flags,
                          .offset = kind == WF_OP_WRITE ? UINT64_MAX : 0};
}

static struct rig_op receiving(void *buffer, size_t bytes, uint32_t flags)
{
    return (struct rig_op){.op = message(WF_OP_RECV, ends[0], buffer, bytes, flags)};
}

/* --- what each kind does ---------------------------------------------------------------------- */

static long (*real_call)(long number, long a, long b, long c, long d, long e, long f);
static int calls_made;

static long counted_call(long number, long a, long b, long c, long d, long e, long f)
{
    calls_made++;
    return real_call(number, a, b, c, d, e, f);
}

static void replace_call(long (*call)(long number, long a, long b, long c, long d, long e, long f))
{
    real_call = wf_sys.call;
    wf_sys.call = call;
}

Test(ops, submit_makes_no_call_and_completes_nothing, .init = open_all, .fini = close_all)
{
    replace_call(counted_call);
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    struct rig_op other = {.op = message(WF_OP_SEND, ends[0], "x", 1, 0)};
    rig_submit(&op);
    rig_submit(&other);
    wt_eq(op.done + other.done, 0);
    wt_eq(calls_made, 0);
    wt_eq(rig_poll(), 2);
    wt_eq(op.done, 1);
    wt_eq(op.op.res, 0);
    wt_eq(other.op.res, 1);
    wt_eq(calls_made, 1);
}

Test(ops, file_is_opened_written_synced_read_inspected_and_closed, .init = open_all,
     .fini = close_all)
{
    char path[] = "/tmp/weft-test-XXXXXX";
    close(mkstemp(path));
    int fd = rig_run((struct wf_op){.kind = WF_OP_OPENAT,
                                    .fd = AT_FDCWD,
                                    .address = (uintptr_t)path,
                                    .flags = O_RDWR | O_CLOEXEC});
    wt_ge(fd, 0);
    struct wf_op writing = message(WF_OP_WRITE, fd, "hello", 5, 0);
    writing.offset = 3;
    wt_eq(rig_run(writing), 5);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_FSYNC, .fd = fd}), 0);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_FSYNC, .fd = fd, .flags = WF_FSYNC_DATA}), 0);
    char buffer[16] = "";
    struct wf_op reading = message(WF_OP_READ, fd, buffer, sizeof buffer, 0);
    reading.offset = 4;
    wt_eq(rig_run(reading), 4);
    wt_str_eq(buffer, "ello");
    wt_eq(rig_run(rig_read(fd, buffer, 4)), 4);
    wt_eq(lseek(fd, 0, SEEK_CUR), 4, "-1 moves the file's own position");
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

Test(ops, pipe_and_fifo_are_waited_for_whatever_their_flags, .init = open_all, .fini = close_all)
{
    char path[] = "/tmp/weft-test-XXXXXX";
    close(mkstemp(path));
    unlink(path);
    wt_eq(mkfifo(path, 0600), 0);
    for (int i = 0; i < 5; i++) {
        static const int flags[] = {0, O_NONBLOCK, O_DIRECT, 0, O_NONBLOCK};
        int pair[2];
        if (i < 3) {
            wt_eq(pipe2(pair, flags[i] | O_CLOEXEC), 0);
        } else {
            pair[0] = open(path, O_RDWR | flags[i] | O_CLOEXEC);
            pair[1] = dup(pair[0]);
        }
        int before = fcntl(pair[0], F_GETFL);
        char buffer[8] = "";
        struct rig_op op = {.op = rig_read(pair[0], buffer, sizeof buffer)};
        rig_submit(&op);
        wt_eq(rig_poll(), 0);
        wt_eq(rig_run(message(WF_OP_WRITE, pair[1], "data", 4, 0)), 4);
        wt_eq(rig_await(&op), 4, "case %d", i);
        wt_str_eq(buffer, "data");
        wt_eq(fcntl(pair[0], F_GETFL), before);
        struct wf_op at_5 = message(WF_OP_WRITE, pair[1], "data", 4, 0);
        at_5.offset = 5;
        wt_eq(rig_run(at_5), 4, "what has no positions ignores the offset");
        close(pair[0]);
        close(pair[1]);
    }
    unlink(path);
}

static void check_full(int pair[2])
{
    char *large = calloc(1, 1 << 20);
    struct rig_op op = {.op = message(WF_OP_WRITE, pair[1], large, 1 << 20, 0)};
    op.op.offset = UINT64_MAX;
    int sent = 0;
    while (sent < 65536) { /* as much as there is room for, and not more */
        int n = rig_run(op.op);
        wt_gt(n, 0);
        sent += n;
    }
    wt_eq(sent, 65536);
    rig_submit(&op);
    wt_eq(rig_poll(), 0);
    wt_eq(read(pair[0], large, 65536), 65536);
    wt_gt(rig_await(&op), 0);
    free(large);
    close(pair[0]);
    close(pair[1]);
}

Test(ops, full_pipe_and_fifo_are_waited_for, .init = open_all, .fini = close_all)
{
    int pair[2];
    wt_eq(pipe2(pair, O_CLOEXEC), 0);
    check_full(pair);
    char path[] = "/tmp/weft-test-XXXXXX";
    close(mkstemp(path));
    unlink(path);
    wt_eq(mkfifo(path, 0600), 0);
    pair[0] = open(path, O_RDWR | O_CLOEXEC);
    pair[1] = dup(pair[0]);
    unlink(path);
    check_full(pair);
}

Test(ops, eventfd_is_waited_for, .init = open_all, .fini = close_all)
{
    int event = eventfd(0, EFD_CLOEXEC);
    uint64_t count = 0;
    struct rig_op op = {.op = rig_read(event, &count, sizeof count)};
    rig_submit(&op);
    rig_poll();
    wt_eq(eventfd_write(event, 7), 0);
    wt_eq(rig_await(&op), 8);
    wt_eq(count, 7);
    close(event);
}

static int listen_on_loopback(struct sockaddr_in *address, int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof *address;
    wt_eq(bind(fd, (struct sockaddr *)address, bytes), 0);
    wt_eq(listen(fd, 128), 0);
    wt_eq(getsockname(fd, (struct sockaddr *)address, &bytes), 0);
    return fd;
}

static struct wf_op connecting(int fd, const void *address, size_t bytes)
{
    return (struct wf_op){
        .kind = WF_OP_CONNECT, .fd = fd, .address = (uintptr_t)address, .offset = bytes};
}

Test(ops, connection_is_accepted_used_and_shut_down_whatever_the_flags, .init = open_all,
     .fini = close_all)
{
    static const int flags[] = {0, SOCK_NONBLOCK};
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in address;
        int listener = listen_on_loopback(&address, flags[i]);
        struct sockaddr_in peer;
        socklen_t peer_bytes = sizeof peer;
        struct rig_op accepting = {.op = {.kind = WF_OP_ACCEPT,
                                          .fd = listener,
                                          .address = (uintptr_t)&peer,
                                          .offset = (uintptr_t)&peer_bytes,
                                          .flags = SOCK_CLOEXEC}};
        rig_submit(&accepting);
        rig_poll();
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags[i], 0);
        struct timeval limit = {.tv_sec = 77};
        wt_eq(setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
        wt_eq(rig_run(connecting(client, &address, sizeof address)), 0);
        int server = rig_await(&accepting);
        wt_ge(server, 0);
        wt_eq(peer_bytes, sizeof peer);
        wt_eq(fcntl(server, F_GETFD), FD_CLOEXEC);
        wt_eq(fcntl(client, F_GETFL) & O_NONBLOCK, flags[i]);
        wt_eq(fcntl(listener, F_GETFL) & O_NONBLOCK, flags[i]);
        socklen_t bytes = sizeof limit;
        wt_eq(getsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, &bytes), 0);
        wt_eq(limit.tv_sec, 77);
        char buffer[8] = "";
        struct rig_op op = {.op = message(WF_OP_RECV, server, buffer, sizeof buffer, 0)};
        rig_submit(&op);
        rig_poll();
        wt_eq(rig_run(message(WF_OP_SEND, client, "ping", 4, MSG_NOSIGNAL)), 4);
        wt_eq(rig_await(&op), 4);
        wt_str_eq(buffer, "ping");
        wt_eq(rig_run((struct wf_op){.kind = WF_OP_SHUTDOWN, .fd = client, .bytes = SHUT_WR}), 0);
        rig_submit(&op);
        wt_eq(rig_await(&op), 0);
        close(client);
        close(server);
        close(listener);
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags[i], 0);
        wt_eq(rig_run(connecting(client, &address, sizeof address)), -ECONNREFUSED);
        close(client);
    }
}

Test(ops, msg_waitall_goes_on_until_all_is_there_or_the_end, .init = open_all, .fini = close_all)
{
    char buffer[8] = "";
    struct rig_op op = receiving(buffer, 6, MSG_WAITALL);
    rig_submit(&op);
    wt_eq(write(ends[1], "abc", 3), 3);
    wt_eq(rig_poll(), 0);
    rig_sleep(MS);
    wt_eq(op.done, 0);
    wt_eq(write(ends[1], "defg", 4), 4);
    wt_eq(rig_await(&op), 6);
    wt_str_eq(buffer, "abcdef");
    rig_submit(&op);
    rig_poll();
    shutdown(ends[1], SHUT_WR);
    wt_eq(rig_await(&op), 1);

    int pair[2];
    wt_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    wt_eq(write(pair[1], "ab", 2), 2);
    wt_eq(rig_run(message(WF_OP_RECV, pair[0], buffer, 6, MSG_WAITALL)), 2, "datagrams are whole");
    close(pair[0]);
    close(pair[1]);
}

Test(ops, what_the_kernel_refuses_ends_with_its_error, .init = open_all, .fini = close_all)
{
    char byte;
    int file = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    wt_eq(rig_run(rig_read(-1, &byte, 1)), -EBADF);
    wt_eq(rig_run(rig_read(file, &byte, 1)), -EISDIR);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_POLL, .fd = -1, .flags = POLLIN}), -EBADF);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_POLL, .fd = file, .flags = POLLPRI}), -EINVAL);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_ACCEPT, .fd = ends[0]}), -EINVAL);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_ACCEPT, .fd = file}), -ENOTSOCK);
    wt_eq(rig_run(message(WF_OP_RECV, ends[0], &byte, 1, MSG_DONTWAIT)), -EAGAIN);
    wt_eq(rig_run((struct wf_op){
              .kind = WF_OP_OPENAT, .fd = AT_FDCWD, .address = (uintptr_t) "/nowhere/at/all"}),
          -ENOENT);
    wt_eq(rig_run((struct wf_op){.kind = WF_OP_NOP, .flags = 1u << 31}), -EINVAL);
    close(file);
}

/* --- several ops on one descriptor ------------------------------------------------------------ */

Test(shared, readers_of_one_descriptor_are_served_in_their_order, .init = open_all,
     .fini = close_all)
{
    enum { READERS = 50 };
    static struct rig_op ops[READERS];
    static char bytes[READERS];
    for (int i = 0; i < READERS; i++) {
        ops[i] = receiving(&bytes[i], 1, 0);
        rig_submit(&ops[i]);
        if (i % 7 == 0) {
            rig_poll();
        }
    }
    char text[READERS];
    for (int i = 0; i < READERS; i++) {
        text[i] = (char)('0' + i);
    }
    wt_eq(write(ends[1], text, 20), 20);
    for (int i = 0; i < 20; i++) {
        wt_eq(rig_await(&ops[i]), 1);
    }
    rig_poll();
    for (int i = 20; i < READERS; i++) {
        wt_eq(ops[i].done, 0);
    }
    wt_eq(write(ends[1], text + 20, READERS - 20), READERS - 20);
    for (int i = 0; i < READERS; i++) {
        wt_eq(rig_await(&ops[i]), 1);
    }
    wt_mem_eq(bytes, text, READERS);
}

Test(shared, later_reader_does_not_overtake_one_that_waits, .init = open_all, .fini = close_all)
{
    char first = 0;
    char second = 0;
    struct rig_op op = receiving(&first, 1, 0);
    struct rig_op later = receiving(&second, 1, 0);
    rig_submit(&op);
    rig_poll();
    wt_eq(write(ends[1], "a", 1), 1);
    rig_submit(&later);
    wt_eq(rig_await(&op), 1);
    wt_eq(first, 'a');
    wt_eq(later.done, 0);
    wt_eq(write(ends[1], "b", 1), 1);
    wt_eq(rig_await(&later), 1);
}

Test(shared, each_direction_waits_for_itself, .init = open_all, .fini = close_all)
{
    size_t bytes = (size_t)4 << 20;
    char *large = calloc(1, bytes);
    char buffer[8];
    struct rig_op sending = {.op = message(WF_OP_SEND, ends[0], large, bytes, MSG_WAITALL)};
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    struct rig_op polling = {.op = {.kind = WF_OP_POLL, .fd = ends[0], .flags = POLLIN}};
    rig_submit(&op);
    rig_submit(&polling);
    rig_submit(&sending);
    wt_eq(rig_poll(), 0);
    wt_eq(write(ends[1], "x", 1), 1);
    wt_eq(rig_await(&op), 1);
    wt_eq(sending.done, 0);
    wt_eq(write(ends[1], "y", 1), 1);
    wt_eq(rig_await(&polling), POLLIN);
    size_t received = 0;
    while (received < bytes) {
        ssize_t n = recv(ends[1], large, bytes, MSG_DONTWAIT);
        wt_true(n > 0 || errno == EAGAIN);
        received += n > 0 ? (size_t)n : 0;
        rig_poll();
    }
    wt_eq(rig_await(&sending), (int)bytes);
    free(large);
}

/* --- ready for ever --------------------------------------------------------------------------- */

/* A socket that keeps an error in its queue: ready all the time, and nothing to receive. */
static int erring_socket(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int gone = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(gone, (struct sockaddr *)&address, bytes), 0);
    wt_eq(getsockname(gone, (struct sockaddr *)&address, &bytes), 0);
    close(gone);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    wt_eq(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &(int){1}, sizeof(int)), 0);
    wt_eq(connect(fd, (struct sockaddr *)&address, bytes), 0);
    wt_eq(send(fd, "x", 1, 0), 1);
    char byte;
    wt_eq(rig_run(message(WF_OP_RECV, fd, &byte, 1, 0)), -ECONNREFUSED);
    return fd;
}

Test(vain, a_descriptor_that_is_ready_for_ever_is_looked_at_now_and_then, .init = open_all,
     .fini = close_all)
{
    int fd = erring_socket();
    char byte;
    char other;
    struct rig_op op = {.op = message(WF_OP_RECV, fd, &byte, 1, 0)};
    struct rig_op late = {.op = message(WF_OP_RECV, ends[0], &other, 1, 0)};
    rig_submit(&op);
    int64_t begin_ns = wf_sys.now_ns();
    uint64_t before = rig_counter("enters");
    while (wf_sys.now_ns() < begin_ns + 20 * MS) {
        (void)wf_wheel_advance(&rig.worker.wheel, wf_sys.now_ns());
        if (rig_poll() == 0) {
            rig_park(20 * MS);
        }
    }
    uint64_t rests = (uint64_t)(wf_sys.now_ns() - begin_ns) / MS + 1;
    wt_le(rig_counter("enters") - before, 200 + 10 * rests);
    wt_eq(op.done, 0);

    /* Others are served, and it is when its time has come. */
    rig_submit(&late);
    wt_eq(write(ends[1], "x", 1), 1);
    wt_eq(rig_await(&late), 1);
    struct msghdr header = {0};
    wt_ge(recvmsg(fd, &header, MSG_ERRQUEUE), 0);
    wt_eq(shutdown(fd, SHUT_RD), 0);
    wt_eq(rig_await(&op), 0);
    close(fd);
}

Test(vain, a_cancelled_op_of_such_a_descriptor_ends, .init = open_all, .fini = close_all)
{
    int fd = erring_socket();
    char byte;
    struct rig_op op = {.op = message(WF_OP_RECV, fd, &byte, 1, 0)};
    rig_submit(&op);
    for (int i = 0; i < 100; i++) {
        rig_poll();
    }
    wf_io_cancel(&op.op);
    wt_eq(rig_await(&op), -ECANCELED);
    close(fd);
    (void)wf_wheel_advance(&rig.worker.wheel, wf_sys.now_ns() + 10 * MS);
    wt_eq(rig_poll(), 0);
}

/* --- cancelling ------------------------------------------------------------------------------- */

Test(cancel, waiting_op_ends_with_ecanceled_and_not_from_the_message, .init = open_all,
     .fini = close_all)
{
    char buffer[8] = "";
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    rig_poll();
    wf_io_cancel(&op.op);
    wf_io_cancel(&op.op);
    wt_eq(rig_hear(), 1);
    wt_eq(op.done, 0);
    wt_true(rig_is_due());
    wt_eq(rig_poll(), 1);
    wt_eq(op.op.res, -ECANCELED);
    wt_eq(rig_counter("cancelled"), 1);
    wf_io_cancel(&op.op);
    wt_eq(rig_hear(), 0);
    wt_eq(write(ends[1], "later", 5), 5);
    rig_poll();
    wt_eq(op.done, 1);
    rig_submit(&op);
    wt_eq(rig_await(&op), 5, "what came later stayed in the socket");
}

Test(cancel, before_a_sleep_is_not_slept_over, .init = open_all, .fini = close_all)
{
    char buffer[8];
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    rig_poll();
    wf_io_cancel(&op.op);
    rig_hear();
    rig_sleep(INT64_MAX); /* would never end */
    wt_eq(op.op.res, -ECANCELED);
}

Test(cancel, op_that_nobody_has_tried_is_tried_once, .init = open_all, .fini = close_all)
{
    char buffer[8] = "";
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    wf_io_cancel(&op.op);
    rig_hear();
    wt_eq(rig_poll(), 1);
    wt_eq(op.op.res, -ECANCELED);
    wt_eq(write(ends[1], "now", 3), 3);
    rig_submit(&op);
    wf_io_cancel(&op.op);
    rig_hear();
    wt_eq(rig_poll(), 1);
    wt_eq(op.op.res, 3, "what succeeds at once is not cancelled");
}

Test(cancel, done_waits_for_a_message_that_is_under_way, .init = open_all, .fini = close_all)
{
    struct rig_op op = {.op = {.kind = WF_OP_NOP}};
    rig_submit(&op);
    wf_io_cancel(&op.op);
    rig_poll();
    wt_eq(op.done, 0, "or the message would point to freed memory");
    wt_eq(rig_hear(), 1);
    wt_eq(op.done, 1);
    wt_eq(op.op.res, 0);
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

Test(cancel, leaves_the_others_of_its_descriptor_alone, .init = open_all, .fini = close_all)
{
    static struct rig_op ops[1000];
    static char bytes[1000];
    for (int i = 0; i < 1000; i++) {
        ops[i] = receiving(&bytes[i], 1, 0);
        rig_submit(&ops[i]);
        rig_poll();
    }
    for (int i = 0; i < 1000; i += 2) {
        wf_io_cancel(&ops[i].op);
    }
    wt_eq(rig_hear(), 500);
    wt_eq(write(ends[1], "xy", 2), 2);
    wt_eq(rig_await(&ops[1]), 1);
    wt_eq(rig_await(&ops[3]), 1);
    for (int i = 0; i < 1000; i += 2) {
        wt_eq(rig_await(&ops[i]), -ECANCELED);
        wf_io_cancel(&ops[i + 1].op);
    }
    rig_hear();
    rig_poll();
    for (int i = 5; i < 1000; i += 2) {
        wt_eq(rig_await(&ops[i]), -ECANCELED);
    }
}

Test(cancel, connection_to_a_queue_that_stays_full, .init = open_all, .fini = close_all)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "weft-test-%d", (int)getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    wt_eq(listen(listener, 0), 0);
    int first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(connect(first, (struct sockaddr *)&address, sizeof address), 0);
    int second = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rig_op op = {.op = connecting(second, &address, sizeof address)};
    rig_submit(&op);
    rig_poll();
    wt_eq(op.op.phase, WF_OP_PENDING);
    rig_sleep(10 * MS);
    wt_eq(op.done, 0);
    wf_io_cancel(&op.op);
    wt_eq(rig_await(&op), -ECANCELED);
    rig_submit(&op);
    rig_poll();
    close(accept(listener, NULL, NULL));
    wt_eq(rig_await(&op), 0, "there was room");
    close(first);
    close(second);
    close(listener);
}

Test(cancel, from_another_thread_while_data_arrives, .init = open_all, .fini = close_all)
{
    cancel_race(ends[0], ends[1]);
}

/* --- descriptors that are closed while an op waits -------------------------------------------- */

/* The number of ends[0] is now another stream's, whose other end is returned. */
static int reuse_number(void)
{
    int pair[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    wt_eq(dup2(pair[0], ends[0]), ends[0]);
    close(pair[0]);
    return pair[1];
}

Test(closed, op_of_a_file_that_lives_on_does_not_eat_what_its_number_gets, .init = open_all,
     .fini = close_all)
{
    char buffer[8] = "";
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    rig_poll();
    int kept = dup(ends[0]); /* so that the registration lives on */
    int other = reuse_number();
    wt_eq(write(other, "new", 3), 3);
    wt_eq(write(ends[1], "old", 3), 3); /* an event, of the file that is not ends[0] any more */
    wt_eq(rig_await(&op), -EBADF);
    wt_eq(rig_run(message(WF_OP_RECV, ends[0], buffer, sizeof buffer, 0)), 3);
    wt_str_eq(buffer, "new");
    wt_eq(recv(kept, buffer, sizeof buffer, 0), 3);
    wt_str_eq(buffer, "old");
    close(kept);
    close(other);
}

Test(closed, op_of_a_file_that_is_gone_does_not_eat_what_its_number_gets, .init = open_all,
     .fini = close_all)
{
    char buffer[8] = "";
    char later[8] = "";
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    rig_poll();
    int other = reuse_number(); /* and so ends the old file */
    struct rig_op next = receiving(later, sizeof later, 0);
    rig_submit(&next);
    rig_poll();
    wt_eq(op.op.res, -EBADF);
    wt_eq(op.done, 1);
    wt_eq(write(other, "new", 3), 3);
    wt_eq(rig_await(&next), 3);
    wt_str_eq(later, "new");
    wt_str_eq(buffer, "");
    close(other);
}

Test(closed, stale_events_do_nothing, .init = open_all, .fini = close_all)
{
    char buffer[8] = "";
    struct rig_op op = receiving(buffer, sizeof buffer, 0);
    rig_submit(&op);
    rig_poll();
    int kept = dup(ends[0]);
    int other = reuse_number();
    struct rig_op next = receiving(buffer, sizeof buffer, 0);
    rig_submit(&next); /* finds the old registration gone */
    rig_poll();
    wt_eq(op.op.res, -EBADF);
    wt_eq(write(ends[1], "old", 3), 3);
    replace_call(counted_call);
    rig_sleep(INT64_MAX); /* the event ends it */
    wt_eq(calls_made, 1, "and nothing was tried for it");
    wt_eq(next.done, 0);
    wt_eq(write(other, "new", 3), 3);
    wt_eq(rig_await(&next), 3);
    wt_str_eq(buffer, "new");
    close(kept);
    close(other);
}

Test(closed, number_is_used_again_and_again, .init = open_all, .fini = close_all)
{
    for (int i = 0; i < 1000; i++) {
        char byte = 0;
        int other = reuse_number();
        struct rig_op op = receiving(&byte, 1, 0);
        rig_submit(&op);
        rig_poll();
        wt_eq(write(other, "x", 1), 1);
        wt_eq(rig_await(&op), 1);
        close(other);
    }
}

/* --- blocking threads ------------------------------------------------------------------------- */

static struct rig_op many[500];

static void submit_many_writes(int fd)
{
    for (int i = 0; i < 500; i++) {
        many[i].op = message(WF_OP_WRITE, fd, "x", 1, 0);
        many[i].op.offset = (uint64_t)i;
        rig_submit(&many[i]);
    }
}

static void check_many_writes(int fd)
{
    char text[500];
    char expected[500];
    memset(expected, 'x', sizeof expected);
    wt_eq(pread(fd, text, sizeof text, 0), 500);
    wt_mem_eq(text, expected, sizeof text);
}

Test(threads, more_ops_than_places_all_complete, .init = open_all, .fini = close_all)
{
    FILE *file = tmpfile();
    submit_many_writes(fileno(file));
    rig_poll();
    wt_le(rig.epoll->offloads.running, WF_OFFLOADS);
    for (int i = 0; i < 500; i++) {
        wt_eq(rig_await(&many[i]), 1);
    }
    check_many_writes(fileno(file));
    fclose(file);
}

static int no_thread(pthread_t *thread, void *(*body)(void *), void *arg)
{
    (void)thread, (void)body, (void)arg;
    return -EAGAIN;
}

Test(threads, without_any_the_worker_does_it, .init = open_all, .fini = close_all)
{
    wf_sys.thread_start = no_thread;
    FILE *file = tmpfile();
    submit_many_writes(fileno(file));
    for (int i = 0; i < 500; i++) {
        wt_eq(rig_await(&many[i]), 1);
    }
    check_many_writes(fileno(file));
    fclose(file);
}

Test(threads, ops_in_line_are_cancelled_at_once, .init = open_all, .fini = close_all)
{
    char path[] = "/tmp/weft-test-XXXXXX";
    close(mkstemp(path));
    unlink(path);
    wt_eq(mkfifo(path, 0600), 0);
    struct rig_op ops[WF_OFFLOADS + 1];
    for (int i = 0; i <= WF_OFFLOADS; i++) { /* each waits for a writer */
        ops[i].op = (struct wf_op){.kind = WF_OP_OPENAT,
                                   .fd = AT_FDCWD,
                                   .address = (uintptr_t)path,
                                   .flags = O_RDONLY | O_CLOEXEC};
        rig_submit(&ops[i]);
    }
    rig_poll();
    wt_eq(ops[WF_OFFLOADS].op.phase, WF_OP_WAITING);
    wf_io_cancel(&ops[WF_OFFLOADS].op);
    wf_io_cancel(&ops[0].op); /* on a thread: is awaited */
    wt_eq(rig_hear(), 2);
    wt_eq(rig_poll(), 1);
    wt_eq(ops[WF_OFFLOADS].op.res, -ECANCELED);
    wt_eq(ops[0].done, 0);
    int writer = open(path, O_RDWR | O_CLOEXEC);
    for (int i = 0; i < WF_OFFLOADS; i++) {
        int fd = rig_await(&ops[i]);
        wt_ge(fd, 0);
        close(fd);
    }
    close(writer);
    unlink(path);
}

/* --- sleeping --------------------------------------------------------------------------------- */

Test(sleep, wakes_before_and_between_sleeps_are_not_lost, .init = open_all, .fini = close_all)
{
    rig_wake();
    rig_sleep(INT64_MAX);
    for (int i = 0; i < 3; i++) {
        rig_wake();
        rig_sleep(INT64_MAX);
    }
    int64_t before_ns = wf_sys.now_ns();
    rig_sleep(20 * MS); /* four wakes, four sleeps: nothing is left over */
    wt_ge(wf_sys.now_ns() - before_ns, 20 * MS);
}

Test(sleep, wake_that_a_poll_has_seen_still_ends_the_next_sleep, .init = open_all,
     .fini = close_all)
{
    char byte;
    struct rig_op op = receiving(&byte, 1, 0); /* or a poll would not ask the kernel */
    rig_submit(&op);
    rig_poll();
    rig_wake();
    wt_eq(rig_poll(), 0);
    wt_true(rig.epoll->woken);
    rig_sleep(INT64_MAX);
    wf_io_cancel(&op.op);
    wt_eq(rig_await(&op), -ECANCELED);
}

Test(sleep, wake_during_a_sleep_ends_it, .init = open_all, .fini = close_all)
{
    rig_wake_while_it_falls_asleep();
}

Test(sleep, call_that_returns_on_a_thread_ends_it, .init = open_all, .fini = close_all)
{
    for (int i = 0; i < 500; i++) {
        struct rig_op op = {.op = {.kind = WF_OP_FSYNC, .fd = -1}};
        rig_submit(&op);
        rig_poll();
        while (op.done == 0) {
            rig_sleep(INT64_MAX);
        }
        wt_eq(op.op.res, -EBADF);
    }
}

static long call_of_an_old_kernel(long number, long a, long b, long c, long d, long e, long f)
{
    return number == SYS_epoll_pwait2 ? -ENOSYS : real_call(number, a, b, c, d, e, f);
}

Test(sleep, kernel_without_the_newer_call_sleeps_in_milliseconds, .init = open_all,
     .fini = close_all)
{
    replace_call(call_of_an_old_kernel);
    for (int i = 0; i < 10; i++) {
        int64_t before_ns = wf_sys.now_ns();
        rig_sleep(MS / 10 * (i + 1));
        wt_ge(wf_sys.now_ns() - before_ns, MS / 10 * (i + 1));
    }
    rig_wake();
    rig_sleep(INT64_MAX);
}

static long interrupted_call(long number, long a, long b, long c, long d, long e, long f)
{
    wf_sys.call = real_call;
    return number == SYS_epoll_pwait2 ? -EINTR : real_call(number, a, b, c, d, e, f);
}

Test(sleep, interruption_ends_it, .init = open_all, .fini = close_all)
{
    replace_call(interrupted_call);
    rig_sleep(INT64_MAX);
}

/* --- begin, end ------------------------------------------------------------------------------- */

static long call_refused(long number, long a, long b, long c, long d, long e, long f)
{
    (void)b, (void)c, (void)d, (void)e, (void)f;
    (void)a;
    return number == SYS_epoll_pwait2 || number == SYS_epoll_pwait ? -EPERM : 0;
}

Test(end, kernel_that_refuses_to_wait_ends_the_process, .init = open_all, .signal = SIGABRT)
{
    replace_call(call_refused);
    rig_sleep(MS);
}

Test(end, with_an_op_in_flight_is_a_bug_of_ours, .init = open_all, .signal = SIGABRT)
{
    char byte;
    struct rig_op op = receiving(&byte, 1, 0);
    rig_submit(&op);
    rig_poll();
    rig_close();
}
