/* test_net_message.c: messages with addresses, ancillary data and descriptors; datagrams by the
 * batch. */
#include "net_pattern.h"
#include <limits.h>
#include <poll.h>
#include <sys/resource.h>

/* A bound UDP socket on loopback. */
static int open_udp(weft_addr *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    wt_ge(fd, 0);
    wt_eq(weft_addr_parse(address, "127.0.0.1:0"), 0);
    wt_eq(bind(fd, (struct sockaddr *)&address->storage, address->bytes), 0);
    wt_eq(weft_addr_local(fd, address), 0);
    return fd;
}

static int open_path_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    wt_ge(fd, 0);
    return fd;
}

/* --- datagrams -------------------------------------------------------------------------------- */

TaskTest(net_message, a_datagram_comes_with_its_senders_address, 1)
{
    weft_addr here, there, from;
    int a = open_udp(&here), b = open_udp(&there);
    char buffer[16] = "";
    wt_eq(weft_sendto(a, "hello", 5, 0, &there), 5);
    wt_eq(weft_recvfrom(b, buffer, sizeof buffer, 0, &from), 5);
    wt_mem_eq(buffer, "hello", 5);
    wt_eq(weft_addr_port(&from), weft_addr_port(&here));
    wt_eq(weft_sendto(b, "", 0, 0, &from), 0, "an empty one");
    wt_eq(weft_recvfrom(a, buffer, sizeof buffer, 0, NULL), 0);
    wt_eq(weft_within(WEFT_MS(1), weft_recvfrom(a, buffer, sizeof buffer, 0, &from)), -ETIME);
    wt_eq(from.bytes, 0);
    close(a);
    close(b);
    return 0;
}

TaskTest(net_message, a_datagram_that_is_too_long_is_cut_and_told_on_demand, 1)
{
    weft_addr here, there, from;
    int a = open_udp(&here), b = open_udp(&there);
    char buffer[4];
    wt_eq(weft_sendto(a, "hello", 5, 0, &there), 5);
    wt_eq(weft_sendto(a, "hello", 5, 0, &there), 5);
    wt_eq(weft_recvfrom(b, buffer, sizeof buffer, 0, &from), 4);
    wt_eq(weft_recvfrom(b, buffer, sizeof buffer, MSG_TRUNC, &from), 5);
    wt_mem_eq(buffer, "hell", 4);
    char *large = calloc(1, 70000);
    wt_eq(weft_sendto(a, large, 70000, 0, &there), -EMSGSIZE);
    wt_eq(weft_sendto(a, large, (size_t)1 << 32, 0, &there), -EMSGSIZE);
    free(large);
    weft_addr none = {0};
    wt_eq(weft_sendto(a, "x", 1, 0, &none), -EDESTADDRREQ);
    wt_eq(weft_sendto(-1, "x", 1, 0, &there), -EBADF);
    wt_eq(weft_recvfrom(-1, buffer, 1, 0, NULL), -EBADF);
    close(a);
    close(b);
    return 0;
}

#define BATCH 20

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    int numbers[BATCH];
    weft_addr from[BATCH];
};

static void prepare(struct batch *batch)
{
    memset(batch, 0, sizeof *batch);
    for (int i = 0; i < BATCH; i++) {
        batch->parts[i] =
            (struct iovec){.iov_base = &batch->numbers[i], .iov_len = sizeof batch->numbers[i]};
        batch->messages[i].msg_hdr.msg_iov = &batch->parts[i];
        batch->messages[i].msg_hdr.msg_iovlen = 1;
    }
}

struct batch_reader {
    int fd;
    int total;
    int calls;
};

static int receive_batches(void *arg)
{
    struct batch_reader *reader = arg;
    while (reader->total < 2 * BATCH) { /* ends: so many are sent */
        struct batch batch;
        prepare(&batch);
        for (int i = 0; i < BATCH; i++) {
            batch.messages[i].msg_hdr.msg_name = &batch.from[i].storage;
            batch.messages[i].msg_hdr.msg_namelen = sizeof batch.from[i].storage;
        }
        int n = weft_recv_many(reader->fd, batch.messages, BATCH, 0);
        wt_ge(n, 1);
        for (int i = 0; i < n; i++) {
            wt_eq(batch.messages[i].msg_len, sizeof(int));
            wt_eq(batch.numbers[i], reader->total + i, "in order");
            wt_eq(batch.messages[i].msg_hdr.msg_namelen, sizeof(struct sockaddr_in));
        }
        reader->total += n;
        reader->calls++;
    }
    return 0;
}

TaskTest(net_message, datagrams_come_and_go_by_the_batch, 1)
{
    weft_addr here, there;
    int a = open_udp(&here);
    struct batch_reader reader = {.fd = open_udp(&there)};
    struct batch batch;
    weft_task task;
    wt_eq(weft_spawn(&task, receive_batches, &reader), 0);
    weft_yield();
    int sent = 0;
    while (sent < 2 * BATCH) { /* ends: grows */
        prepare(&batch);
        int count = 2 * BATCH - sent < BATCH ? 2 * BATCH - sent : BATCH;
        for (int i = 0; i < count; i++) {
            batch.numbers[i] = sent + i;
            batch.messages[i].msg_hdr.msg_name = &there.storage;
            batch.messages[i].msg_hdr.msg_namelen = there.bytes;
        }
        int n = weft_send_many(a, batch.messages, count, 0);
        wt_ge(n, 1);
        wt_eq(batch.messages[0].msg_len, sizeof(int));
        sent += n;
    }
    wt_eq(weft_await(&task), 0);
    wt_lt(reader.calls, 2 * BATCH, "not one by one");
    close(a);
    close(reader.fd);
    return 0;
}

TaskTest(net_message, a_batch_waits_and_is_cancelled_as_other_calls_are, 1)
{
    weft_addr here;
    int fd = open_udp(&here);
    struct batch batch;
    prepare(&batch);
    wt_eq(weft_within(WEFT_MS(1), weft_recv_many(fd, batch.messages, BATCH, 0)), -ETIME);
    wt_eq(weft_within(0, weft_recv_many(fd, batch.messages, BATCH, 0)), -ETIME);
    wt_eq(weft_recv_many(fd, batch.messages, BATCH, MSG_DONTWAIT), -EAGAIN);
    wt_eq(weft_sendto(fd, "abcd", 4, 0, &here), 4);
    wt_eq(weft_within(0, weft_recv_many(fd, batch.messages, BATCH, 0)), 1, "what is there");
    wt_eq(weft_recv_many(fd, batch.messages, 0, 0), -EINVAL);
    wt_eq(weft_recv_many(fd, batch.messages, -1, 0), -EINVAL);
    wt_eq(weft_recv_many(fd, batch.messages, IOV_MAX + 1, 0), -EINVAL);
    wt_eq(weft_send_many(fd, batch.messages, 0, 0), -EINVAL);
    wt_eq(weft_send_many(-1, batch.messages, 1, 0), -EBADF);
    WEFT_SCOPE(scope);
    weft_scope_cancel(&scope, "test");
    wt_eq(weft_recv_many(fd, batch.messages, BATCH, 0), -ECANCELED);
    weft_scope_end(&scope);

    /* a socket that takes nothing more: the peer's queue is full */
    int ends[2];
    open_pair(ends, SOCK_DGRAM);
    int n;
    int sent = 0;
    prepare(&batch);
    while ((n = weft_within(WEFT_MS(5), weft_send_many(ends[0], batch.messages, BATCH, 0))) > 0) {
        sent += n; /* ends: it is full */
    }
    wt_eq(n, -ETIME);
    int got = 0;
    while ((n = weft_within(0, weft_recv_many(ends[1], batch.messages, BATCH, 0))) > 0) {
        got += n;
    }
    wt_eq(got, sent);
    close_pair(ends);
    close(fd);
    return 0;
}

TaskTest(net_message, a_socket_that_was_shut_down_gives_no_datagrams, 1)
{
    int ends[2];
    open_pair(ends, SOCK_DGRAM);
    struct batch batch;
    char buffer[4];
    prepare(&batch);
    wt_eq(weft_send(ends[0], "abcd", 4, 0), 4);
    wt_eq(weft_shutdown(ends[1], SHUT_RD), 0);
    wt_eq(weft_recv_many(ends[1], batch.messages, BATCH, 0), 1, "what had come");
    wt_eq(weft_recv_many(ends[1], batch.messages, BATCH, 0), 0);
    wt_eq(weft_recvfrom(ends[1], buffer, sizeof buffer, 0, NULL), 0);
    close_pair(ends);
    return 0;
}

/* --- sendmsg, recvmsg ------------------------------------------------------------------------- */

TaskTest(net_message, a_message_has_several_buffers_and_ancillary_data, 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    int on = 1;
    wt_eq(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    struct iovec out[2] = {{(void *)"abc", 3}, {(void *)"defg", 4}};
    struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};
    wt_eq(weft_sendmsg(ends[0], &message, 0), 7);
    char first[2], second[10] = "";
    struct iovec in[2] = {{first, 2}, {second, 10}};
    _Alignas(struct cmsghdr) char control[256];
    struct msghdr got = {
        .msg_iov = in, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
    wt_eq(weft_recvmsg(ends[1], &got, 0), 7);
    wt_mem_eq(first, "ab", 2);
    wt_mem_eq(second, "cdefg", 5);
    struct cmsghdr *head = CMSG_FIRSTHDR(&got);
    wt_true(head != NULL);
    wt_eq(head->cmsg_type, SCM_CREDENTIALS);
    struct ucred who;
    memcpy(&who, CMSG_DATA(head), sizeof who);
    wt_eq(who.pid, getpid());
    wt_eq(got.msg_flags & MSG_CTRUNC, 0);
    message.msg_iovlen = IOV_MAX + 1;
    wt_eq(weft_sendmsg(ends[0], &message, 0), -EMSGSIZE);
    got.msg_iovlen = IOV_MAX + 1;
    wt_eq(weft_recvmsg(ends[1], &got, MSG_DONTWAIT), -EMSGSIZE);
    close_pair(ends);
    return 0;
}

struct receiver {
    int fd;
    size_t want;
    ssize_t got;
    char first[3];
    char second[200];
    atomic_int begun;
};

static int receive_all_of_it(void *arg)
{
    struct receiver *receiver = arg;
    struct iovec in[3] = {{receiver->first, sizeof receiver->first},
                          {NULL, 0},
                          {receiver->second, receiver->want - sizeof receiver->first}};
    struct msghdr message = {.msg_iov = in, .msg_iovlen = 3};
    atomic_store(&receiver->begun, 1);
    receiver->got = weft_recvmsg(receiver->fd, &message, MSG_WAITALL);
    return 0;
}

TaskTest(net_message, waitall_waits_for_all_buffers, 1)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    struct receiver receiver = {.fd = ends[1], .want = 100};
    char out[100];
    for (int i = 0; i < 100; i++) {
        out[i] = (char)i;
    }
    weft_task task;
    wt_eq(weft_spawn(&task, receive_all_of_it, &receiver), 0);
    yield_until(&receiver.begun, 1);
    for (int i = 0; i < 100; i += 10) {
        wt_eq(weft_send(ends[0], out + i, 10, 0), 10);
        weft_yield();
    }
    wt_eq(weft_await(&task), 0);
    wt_eq(receiver.got, 100);
    wt_mem_eq(receiver.first, out, 3);
    wt_mem_eq(receiver.second, out + 3, 97);

    /* the end comes first; and a deadline */
    wt_eq(weft_send(ends[0], out, 50, 0), 50);
    wt_eq(weft_within(WEFT_MS(5), receive_all_of_it(&receiver)), 0);
    wt_eq(receiver.got, 50, "what had come");
    wt_eq(weft_send(ends[0], out, 60, 0), 60);
    wt_eq(weft_shutdown(ends[0], SHUT_WR), 0);
    receive_all_of_it(&receiver);
    wt_eq(receiver.got, 60);
    receive_all_of_it(&receiver);
    wt_eq(receiver.got, 0);
    close_pair(ends);
    return 0;
}

TaskTest(net_message, messages_as_values, 1)
{
    int before = open_descriptors();
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    char bytes[4];
    struct iovec out = {(void *)"abcd", 4}, in = {bytes, 4};
    struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1};
    _Alignas(struct cmsghdr) char control[64];
    struct msghdr got = {
        .msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    {
        WEFT_SCOPE(scope);
        weft_val val = weft_recvmsg_v(ends[1], &got, 0);
        wt_eq(weft_val_await_new(weft_sendmsg_v(ends[0], &message, 0)), 4);
        wt_eq(weft_val_await(val), 4);
        wt_mem_eq(bytes, "abcd", 4);
        wt_eq(weft_scope_end(&scope), 0);
    }
    {
        /* descriptors that nobody takes any more are closed */
        WEFT_SCOPE(scope);
        got.msg_controllen = sizeof control;
        int fd = open_path_descriptor();
        weft_val val = weft_recvmsg_v(ends[1], &got, 0);
        wt_eq(weft_send_fds(ends[0], "x", 1, &fd, 1), 1);
        int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
        while (weft_val_ready(val) == 0) {
            wt_lt(now_ns(), give_up_ns);
            weft_yield();
        }
        wt_eq(weft_val_drop(val), 0);
        wt_eq(weft_scope_end(&scope), 0);
        close(fd);
    }
    close_pair(ends);
    wt_eq(open_descriptors(), before);
    return 0;
}

/* --- descriptors ------------------------------------------------------------------------------ */

TaskTest(net_message, descriptors_are_passed_with_cloexec, 1)
{
    int before = open_descriptors();
    int ends[2], pipes[2], fds[4] = {-1, -1, -1, -1};
    open_pair(ends, SOCK_STREAM);
    wt_eq(pipe2(pipes, O_CLOEXEC), 0);
    wt_eq(weft_send_fds(ends[0], "two", 3, pipes, 2), 3);
    wt_eq(weft_send_fds(ends[0], "none", 4, NULL, 0), 4);
    char bytes[16];
    int count = 4;
    wt_eq(weft_recv_fds(ends[1], bytes, sizeof bytes, fds, &count), 3);
    wt_eq(count, 2);
    wt_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    wt_eq(write(pipes[1], "x", 1), 1);
    wt_eq(read(fds[0], bytes, 1), 1);
    count = 4;
    wt_eq(weft_recv_fds(ends[1], bytes, sizeof bytes, fds + 2, &count), 4);
    wt_eq(count, 0);
    close_pair(fds);
    close_pair(pipes);
    wt_eq(weft_shutdown(ends[0], SHUT_WR), 0);
    count = 4;
    wt_eq(weft_recv_fds(ends[1], bytes, sizeof bytes, fds, &count), 0);
    wt_eq(count, 0);
    close_pair(ends);
    wt_eq(open_descriptors(), before);
    return 0;
}

TaskTest(net_message, more_descriptors_than_wanted_are_closed_not_leaked, 1)
{
    int ends[2], pipes[2], fds[WEFT_FDS_MAX];
    open_pair(ends, SOCK_STREAM);
    wt_eq(pipe2(pipes, O_CLOEXEC), 0);
    int before = open_descriptors();
    char byte;
    for (int room = 0; room < 2;
         room++) { /* 1: the kernel's rounding makes room for a second one */
        wt_eq(weft_send_fds(ends[0], "x", 1, pipes, 2), 1);
        int count = room;
        wt_eq(weft_recv_fds(ends[1], &byte, 1, fds, &count), 1, "the bytes are received");
        wt_eq(byte, 'x');
        wt_eq(count, -EMSGSIZE);
        wt_eq(open_descriptors(), before);
    }
    for (int i = 0; i < WEFT_FDS_MAX; i++) {
        fds[i] = pipes[0];
    }
    wt_eq(weft_send_fds(ends[0], "x", 1, fds, WEFT_FDS_MAX), 1);
    int count = WEFT_FDS_MAX;
    wt_eq(weft_recv_fds(ends[1], &byte, 1, fds, &count), 1);
    wt_eq(count, WEFT_FDS_MAX);
    for (int i = 0; i < count; i++) {
        close(fds[i]);
    }
    wt_eq(open_descriptors(), before);

    /* by hand, with too little room: the kernel cuts, and says so */
    wt_eq(weft_send_fds(ends[0], "x", 1, pipes, 2), 1);
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(0)];
    struct iovec in = {&byte, 1};
    struct msghdr got = {
        .msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    wt_eq(weft_recvmsg(ends[1], &got, 0), 1);
    wt_eq(got.msg_flags & MSG_CTRUNC, MSG_CTRUNC);
    wt_eq(open_descriptors(), before);
    close_pair(pipes);
    close_pair(ends);
    return 0;
}

TaskTest(net_message, without_room_in_the_process_none_is_kept, 1)
{
    int ends[2], pipes[2], fds[2];
    open_pair(ends, SOCK_STREAM);
    wt_eq(pipe2(pipes, O_CLOEXEC), 0);
    wt_eq(weft_send_fds(ends[0], "x", 1, pipes, 2), 1);
    int next = dup(ends[0]);
    close(next);
    struct rlimit limit;
    wt_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t former = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)next + 1; /* one more */
    wt_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    char byte;
    int count = 2;
    wt_eq(weft_recv_fds(ends[1], &byte, 1, fds, &count), 1);
    wt_eq(count, -EMFILE);
    limit.rlim_cur = former;
    wt_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int again = dup(ends[0]);
    wt_eq(again, next, "nothing was left open");
    close(again);
    close_pair(pipes);
    close_pair(ends);
    return 0;
}

TaskTest(net_message, descriptors_that_cannot_be_passed_are_refused, 1)
{
    int ends[2], bad = 9999, fds[1];
    open_pair(ends, SOCK_STREAM);
    wt_eq(weft_send_fds(ends[0], "x", 1, &bad, 1), -EBADF);
    wt_eq(weft_send_fds(ends[0], "", 0, ends, 1), -EINVAL);
    wt_eq(weft_send_fds(ends[0], "x", 1, ends, -1), -EINVAL);
    wt_eq(weft_send_fds(ends[0], "x", 1, ends, WEFT_FDS_MAX + 1), -EINVAL);
    char byte;
    int count = -1;
    wt_eq(weft_recv_fds(ends[1], &byte, 1, fds, &count), -EINVAL);
    count = WEFT_FDS_MAX + 1;
    wt_eq(weft_recv_fds(ends[1], &byte, 1, fds, &count), -EINVAL);
    count = 1;
    wt_eq(weft_recv_fds(ends[1], &byte, 0, fds, &count), -EINVAL);
    count = 1;
    wt_eq(weft_within(WEFT_MS(1), weft_recv_fds(ends[1], &byte, 1, fds, &count)), -ETIME);
    wt_eq(count, 0);
    close_pair(ends);
    return 0;
}

/* A receiver that is cancelled while descriptors come has them, or they are still in the socket. */
struct fd_receiver {
    int fd;
    int count;
    int got[2];
    ssize_t n;
    atomic_int begun;
};

static int receive_fds(void *arg)
{
    struct fd_receiver *receiver = arg;
    char byte;
    receiver->count = 2;
    atomic_store(&receiver->begun, 1);
    receiver->n = weft_recv_fds(receiver->fd, &byte, 1, receiver->got, &receiver->count);
    return 0;
}

TaskTest(net_message, a_cancelled_receiver_leaks_no_descriptor, 2)
{
    int ends[2], pipes[2];
    open_pair(ends, SOCK_STREAM);
    wt_eq(pipe2(pipes, O_CLOEXEC), 0);
    int before = open_descriptors();
    for (int i = 0; i < 100; i++) {
        struct fd_receiver receiver = {.fd = ends[1]};
        weft_task task;
        WEFT_SCOPE(scope);
        wt_eq(weft_spawn(&task, receive_fds, &receiver), 0);
        yield_until(&receiver.begun, 1);
        wt_eq(weft_send_fds(ends[0], "x", 1, pipes, 2), 1);
        weft_scope_cancel(&scope, "test");
        wt_eq(weft_await(&task), 0);
        weft_scope_end(&scope);
        if (receiver.n == -ECANCELED) {
            receive_fds(&receiver);
        }
        wt_eq(receiver.n, 1);
        wt_eq(receiver.count, 2);
        close_pair(receiver.got);
        wt_eq(open_descriptors(), before);
    }
    close_pair(pipes);
    close_pair(ends);
    return 0;
}

Test(net_message, outside_of_a_task_they_are_refused)
{
    weft_addr none = {0};
    char byte;
    int count = 0;
    struct mmsghdr message = {0};
    wt_eq(weft_sendto(0, "x", 1, 0, &none), -EPERM);
    wt_eq(weft_recvfrom(0, &byte, 1, 0, NULL), -EPERM);
    wt_eq(weft_recv_many(0, &message, 1, 0), -EPERM);
    wt_eq(weft_recv_fds(0, &byte, 1, NULL, &count), -EPERM);
}

/* --- half of a connection --------------------------------------------------------------------- */

TaskTest(net_message, after_the_peer_has_finished_sending_it_still_receives, 1)
{
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    int client = plain_connect_listener(listener);
    int server = weft_listener_accept(listener, NULL);
    char buffer[8];
    wt_eq(weft_send(client, "last", 4, 0), 4);
    wt_eq(weft_shutdown(client, SHUT_WR), 0);
    wt_eq(weft_recv(server, buffer, sizeof buffer, MSG_WAITALL), 4);
    wt_eq(weft_recv(server, buffer, sizeof buffer, 0), 0);
    int events = weft_wait_fd(server, POLLIN | POLLOUT | POLLRDHUP);
    wt_eq(events & POLLOUT, POLLOUT);
    wt_eq(events & POLLRDHUP, POLLRDHUP);
    wt_eq(events & POLLHUP, 0, "only one half is over");
    wt_eq(weft_send(server, "answer", 6, 0), 6);
    wt_eq(weft_recv(client, buffer, sizeof buffer, 0), 6);
    wt_eq(weft_send(client, "x", 1, 0), -EPIPE, "its own half is over");
    wt_eq(weft_close(server), 0);
    wt_eq(weft_recv(client, buffer, sizeof buffer, 0), 0);
    wt_eq(weft_close(client), 0);
    weft_listener_free(listener);
    return 0;
}
