/* bare_ring.c: the limit of completion I/O: a server that is nothing but io_uring, one thread, as
 * fast as we know how. Called as servers.h says (echo and http); a fourth argument is for how many
 * microseconds it looks for results before it sleeps.
 *
 * One accept and one receive a connection stay armed (multishot); descriptors are the ring's; the
 * kernel picks the buffer that it receives into, and an echo is sent from there. One call enters
 * the kernel for a whole batch. One send of a connection is in flight at a time, what comes
 * meanwhile queues as a list of buffers. */
#define _GNU_SOURCE
#include "servers.h"
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <sys/mman.h>

#define RING_ENTRIES    4096
#define RING_RESULTS    16384
#define CONNECTIONS_MAX 16384 /* direct descriptors; below any usual RLIMIT_NOFILE here */
#define BUFFERS         1024  /* a power of two */
#define BUFFERS_GROUP   7
#define NO_BUFFER       0xffff
#define CLOCK_EVERY     16 /* looks at the flag between two at the clock */

enum op { OP_ACCEPT = 1, OP_RECEIVE, OP_SEND, OP_CLOSE };

struct connection {
    uint16_t first, last; /* buffers to be sent; NO_BUFFER: none */
    bool sending;
    bool ended; /* the peer has finished: close when all is sent */
};

static struct {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    char memory[BUFFERS][BUFFER_BYTES];
    uint16_t next[BUFFERS]; /* in a connection's list */
    int bytes[BUFFERS];
    struct connection connections[CONNECTIONS_MAX];
    int listener;
    int returned; /* buffers, in this batch */
    bool http;
    uint64_t poll_ns;
} server;

static void check(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "bare_ring: %s: %s\n", what, strerror(-rc));
        exit(1);
    }
}

/* What a result belongs to: operation, buffer, connection. */
static uint64_t pack(enum op op, unsigned buffer, unsigned at)
{
    return (uint64_t)op << 56 | (uint64_t)buffer << 32 | at;
}

static struct io_uring_sqe *next_sqe(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&server.ring);
    if (!sqe) {
        io_uring_submit(&server.ring);
        sqe = io_uring_get_sqe(&server.ring);
    }
    check(sqe ? 0 : -EBUSY, "submission queue");
    return sqe;
}

static void arm_accept(void)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_multishot_accept_direct(sqe, server.listener, NULL, NULL, 0);
    sqe->user_data = pack(OP_ACCEPT, 0, 0);
}

static void arm_receive(unsigned at)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_recv_multishot(sqe, (int)at, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFERS_GROUP;
    sqe->user_data = pack(OP_RECEIVE, 0, at);
}

static void put_buffer(unsigned id)
{
    io_uring_buf_ring_add(server.buffers, server.memory[id], BUFFER_BYTES, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), server.returned++);
}

static void send_buffer(unsigned at, unsigned id)
{
    const char *bytes = server.memory[id];
    size_t n = (size_t)server.bytes[id];
    if (server.http) {
        n = count_requests(bytes, n) * REPLY_BYTES;
        bytes = many_replies();
    }
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_send(sqe, (int)at, bytes, n, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = pack(OP_SEND, id, at);
    server.connections[at].sending = true;
}

static void close_connection(unsigned at)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_close_direct(sqe, at);
    sqe->user_data = pack(OP_CLOSE, 0, at);
}

static void on_accept(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        server.connections[cqe->res] = (struct connection){.first = NO_BUFFER};
        arm_receive((unsigned)cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        arm_accept();
    }
}

static void on_receive(unsigned at, const struct io_uring_cqe *cqe)
{
    struct connection *c = &server.connections[at];
    if (cqe->res == -ENOBUFS) {
        arm_receive(at);
    } else if (cqe->res <= 0) {
        c->ended = true;
        if (!c->sending) {
            close_connection(at);
        }
    } else {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        server.bytes[id] = cqe->res;
        server.next[id] = NO_BUFFER;
        if (!(cqe->flags & IORING_CQE_F_MORE)) {
            arm_receive(at);
        }
        if (!c->sending) {
            send_buffer(at, id);
        } else {
            *(c->first == NO_BUFFER ? &c->first : &server.next[c->last]) = (uint16_t)id;
            c->last = (uint16_t)id;
        }
    }
}

static void on_sent(unsigned at, unsigned id)
{
    struct connection *c = &server.connections[at];
    put_buffer(id);
    c->sending = false;
    if (c->first != NO_BUFFER) {
        unsigned next = c->first;
        c->first = server.next[next];
        send_buffer(at, next);
    } else if (c->ended) {
        close_connection(at);
    }
}

static void on_result(const struct io_uring_cqe *cqe)
{
    unsigned at = (unsigned)(cqe->user_data & 0xffffffff),
             id = (unsigned)(cqe->user_data >> 32 & 0xffff);
    switch ((enum op)(cqe->user_data >> 56)) {
    case OP_ACCEPT:
        on_accept(cqe);
        break;
    case OP_RECEIVE:
        on_receive(at, cqe);
        break;
    case OP_SEND:
        on_sent(at, id);
        break;
    case OP_CLOSE:
        break;
    }
}

/* Until there is a result, or poll_ns have passed. */
static void poll_for_results(void)
{
    uint64_t end = tb_now_ns() + server.poll_ns;
    io_uring_submit(&server.ring);
    for (unsigned i = 1; !io_uring_cq_ready(&server.ring); i++) { /* ends by the clock */
        if (__atomic_load_n(server.ring.sq.kflags, __ATOMIC_RELAXED) &
            IORING_SQ_TASKRUN) { /* the kernel's word */
            io_uring_get_events(&server.ring);
        } else if (i % CLOCK_EVERY == 0 && tb_now_ns() > end) {
            return;
        }
    }
}

static void open_server(int port)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE |
                 (server.poll_ns > 0 ? IORING_SETUP_TASKRUN_FLAG : 0),
        .cq_entries = RING_RESULTS,
    };
    server.listener = listen_on(port, 0);
    check(io_uring_queue_init_params(RING_ENTRIES, &server.ring, &params), "no io_uring here");
    io_uring_register_ring_fd(&server.ring);
    check(io_uring_register_files_sparse(&server.ring, CONNECTIONS_MAX), "register files");
    server.buffers = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(server.buffers == MAP_FAILED ? -ENOMEM : 0, "memory");
    struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)server.buffers,
                                            .ring_entries = BUFFERS,
                                            .bgid = BUFFERS_GROUP};
    check(io_uring_register_buf_ring(&server.ring, &registration, 0), "register buffers");
    io_uring_buf_ring_init(server.buffers);
    for (unsigned i = 0; i < BUFFERS; i++) {
        put_buffer(i);
    }
    arm_accept();
}

int main(int argc, char **argv)
{
    if (argc < 3 || (strcmp(argv[1], "echo") != 0 && strcmp(argv[1], "http") != 0)) {
        return 2;
    }
    server.http = argv[1][0] == 'h';
    server.poll_ns = argc > 4 ? strtoul(argv[4], NULL, 10) * 1000 : 0;
    open_server(atoi(argv[2]));
    for (;;) { /* until killed */
        io_uring_buf_ring_advance(server.buffers, server.returned);
        server.returned = 0;
        if (server.poll_ns > 0) {
            poll_for_results();
        }
        io_uring_submit_and_wait(&server.ring, 1);
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        io_uring_for_each_cqe(&server.ring, head, cqe)
        {
            on_result(cqe);
            n++;
        }
        io_uring_cq_advance(&server.ring, n);
    }
}
