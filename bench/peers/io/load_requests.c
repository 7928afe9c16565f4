/* load_requests.c: requests and answers over connections that stay: echo, HTTP and the mixed load,
 * in a closed or an open loop. One thread over io_uring, since it must cost less than the servers
 * that it measures: receives that stay armed, buffers that the kernel picks, sends that complete
 * without a word.
 *
 * A connection's requests are answered in their order, so counters are enough to know which one an
 * answer belongs to: `sent` and `answered`; `due` are those that were due. In a closed loop due ==
 * sent.
 *
 *     answered <= sent <= due,    sent - answered <= depth */
#define _GNU_SOURCE
#include "clock.h" /* of taskbench */
#include "load.h"
#include "servers.h"
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_ENTRIES   4096
#define RING_RESULTS   16384
#define BUFFERS        512 /* a power of two; as much as connections mostly have in flight */
#define BUFFERS_GROUP  1
#define SEND_MARK      (UINT64_C(1) << 63) /* in user_data: a send, whose failure alone counts */
#define CLOCK_EVERY    64                  /* results between two looks at the clock */
#define SETTLE_US      20000               /* for the server to accept all connections */
#define REPLY_MAX      4096                /* bytes of an HTTP answer */
#define HTTP_OK        "HTTP/1.1 200"
#define HTTP_BODY      "hello world\n"
#define HTTP_LENGTH    "content-length: 12\r\n"
#define HTTP_REQUEST   "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define WINDOW_MORE_NS UINT64_C(10000000)
#define WAIT_NS_MAX    UINT64_C(100000000)
#define CONNECTION_KEY 31 /* makes the messages of two connections different */

struct connection {
    int fd;
    size_t received; /* of the oldest answer that is not complete */
    uint64_t sent, answered, due;
    uint64_t sent_ns[DEPTH_MAX]; /* closed loop: when; by number modulo DEPTH_MAX */
    char *request;               /* `depth` messages in a row: what is sent */
    char *long_request;          /* of the mixed load; else NULL */
};

struct client {
    struct load *load;
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    char *memory;
    size_t buffer_bytes;
    struct connection *connections;
    size_t request_bytes, answer_bytes;
    const char *answer; /* of HTTP, as the server gave it first; else the request */
    uint64_t start_ns, window_ns, end_ns;
    uint64_t next_due; /* open loop: number of the next request of all */
    bool talking;      /* what is answered now counts, and is followed by the next request */
    bool polls;        /* has a CPU to itself: does not sleep in an open loop */
};

/* --- messages --------------------------------------------------------------------------------- */

static void *must_alloc(size_t n, size_t bytes)
{
    void *memory = calloc(n, bytes);
    if (!memory) {
        fail("memory");
    }
    return memory;
}

static char *make_message(const struct client *client, int at, size_t copies, bool is_long)
{
    size_t bytes = client->request_bytes;
    char *message = must_alloc(copies, bytes);
    for (size_t i = 0; i < bytes; i++) {
        message[i] = client->load->kind == LOAD_HTTP
                         ? HTTP_REQUEST[i]
                         : (char)('a' + (i * 7 + (size_t)at * CONNECTION_KEY) % 26);
    }
    if (is_long) {
        message[0] = LONG_MARK;
    }
    for (size_t k = 1; k < copies; k++) {
        memcpy(message + k * bytes, message, bytes);
    }
    return message;
}

/* Asks once, and takes the answer's form from it: its status, its body, and how long it is. */
static void learn_answer(struct client *client)
{
    static char answer[REPLY_MAX + 1];
    size_t n = 0;
    int fd = connect_to(client->load);
    struct timeval silence = {.tv_sec = SILENCE_NS / 1000000000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    if (send(fd, HTTP_REQUEST, sizeof HTTP_REQUEST - 1, 0) < 0) {
        fail("send");
    }
    const size_t body = sizeof HTTP_BODY - 1;
    while (n < body ||
           memcmp(answer + n - body, HTTP_BODY, body) != 0) { /* ends: nothing comes, or too much */
        ssize_t got = recv(fd, answer + n, REPLY_MAX - n, 0);
        if (got <= 0) {
            fail("the server gives no answer that ends as it should");
        }
        n += (size_t)got;
    }
    close(fd);
    if (strncmp(answer, HTTP_OK, sizeof HTTP_OK - 1) != 0 || !strcasestr(answer, HTTP_LENGTH)) {
        fail("the server's answer is not as it should");
    }
    client->answer = answer;
    client->answer_bytes = n;
}

/* Whether `n` bytes are what an answer has from `at` on; both within one answer. Of HTTP its status
 * and its body: headers have the time in them. */
static bool same_part(const char *want, const char *got, size_t at, size_t n, size_t from,
                      size_t to)
{
    size_t first = at > from ? at : from, last = at + n < to ? at + n : to;
    return first >= last || memcmp(want + first, got + (first - at), last - first) == 0;
}

static bool is_long(const struct client *client, int at, uint64_t number)
{
    uint64_t of_all = number * (uint64_t)client->load->connections + (uint64_t)at;
    return client->load->kind == LOAD_MIXED && of_all % LONG_EVERY == LONG_EVERY - 1;
}

static bool same_answer(const struct client *client, int at, const char *got, size_t from, size_t n)
{
    const struct connection *c = &client->connections[at];
    if (client->load->kind == LOAD_HTTP) {
        size_t body = client->answer_bytes - (sizeof HTTP_BODY - 1);
        return same_part(client->answer, got, from, n, 0, sizeof HTTP_OK - 1) &&
               same_part(client->answer, got, from, n, body, client->answer_bytes);
    }
    const char *want = is_long(client, at, c->answered) ? c->long_request : c->request;
    return memcmp(want + from, got, n) == 0;
}

/* --- the ring --------------------------------------------------------------------------------- */

static struct io_uring_sqe *next_sqe(struct client *client)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&client->ring);
    if (!sqe) {
        io_uring_submit(&client->ring);
        sqe = io_uring_get_sqe(&client->ring);
    }
    if (!sqe) {
        fail("the submission queue stays full");
    }
    return sqe;
}

static void arm_receive(struct client *client, int at)
{
    struct io_uring_sqe *sqe = next_sqe(client);
    io_uring_prep_recv_multishot(sqe, at, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFERS_GROUP;
    sqe->user_data = (uint64_t)at;
}

static void send_requests(struct client *client, int at, unsigned n)
{
    struct connection *c = &client->connections[at];
    const char *bytes = is_long(client, at, c->sent) ? c->long_request : c->request;
    struct io_uring_sqe *sqe = next_sqe(client);
    io_uring_prep_send(sqe, at, bytes, n * client->request_bytes, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = SEND_MARK;
    c->sent += n;
}

static void put_buffer(struct client *client, unsigned id, int offset)
{
    io_uring_buf_ring_add(client->buffers, client->memory + id * client->buffer_bytes,
                          (unsigned)client->buffer_bytes, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), offset);
}

static void check_ring(int rc, const char *what)
{
    if (rc < 0) {
        errno = -rc;
        fail(what);
    }
}

static void open_ring(struct client *client)
{
    const struct load *load = client->load;
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
        .cq_entries = RING_RESULTS,
    };
    check_ring(io_uring_queue_init_params(RING_ENTRIES, &client->ring, &params),
               "the load generator needs io_uring");
    io_uring_register_ring_fd(&client->ring);
    int *fds = must_alloc((size_t)load->connections, sizeof *fds);
    for (int i = 0; i < load->connections; i++) {
        fds[i] = client->connections[i].fd;
    }
    check_ring(io_uring_register_files(&client->ring, fds, (unsigned)load->connections),
               "register files");
    free(fds);

    size_t in_flight = client->answer_bytes * (size_t)load->depth;
    client->buffer_bytes = 2048;
    while (client->buffer_bytes < in_flight && client->buffer_bytes < BYTES_MAX) {
        client->buffer_bytes *= 2;
    }
    client->buffers = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (client->buffers == MAP_FAILED) {
        fail("memory");
    }
    client->memory = must_alloc(BUFFERS, client->buffer_bytes);
    struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)client->buffers,
                                            .ring_entries = BUFFERS,
                                            .bgid = BUFFERS_GROUP};
    check_ring(io_uring_register_buf_ring(&client->ring, &registration, 0), "register buffers");
    io_uring_buf_ring_init(client->buffers);
    for (unsigned i = 0; i < BUFFERS; i++) {
        put_buffer(client, i, (int)i);
    }
    io_uring_buf_ring_advance(client->buffers, BUFFERS);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void count_answer(struct client *client, int at, uint64_t now)
{
    struct load *load = client->load;
    struct connection *c = &client->connections[at];
    uint64_t of_all = c->answered * (uint64_t)load->connections + (uint64_t)at;
    uint64_t from = load->rate > 0 ? due_ns(load, client->start_ns, of_all)
                                   : c->sent_ns[c->answered % DEPTH_MAX];
    bool counts =
        from >= client->window_ns && (load->rate > 0 ? from < client->end_ns : client->talking);
    if (counts) {
        tb_hist_add(is_long(client, at, c->answered) ? &load->long_latency : &load->latency,
                    now > from ? now - from : 0);
    }
    load->requests += client->talking && now >= client->window_ns;
    c->answered++;
}

static void send_next(struct client *client, int at, unsigned answered, uint64_t now)
{
    struct load *load = client->load;
    struct connection *c = &client->connections[at];
    if (load->rate > 0) {
        uint64_t waiting = c->due - c->sent, room = (uint64_t)load->depth - (c->sent - c->answered);
        unsigned n = (unsigned)(waiting < room ? waiting : room);
        if (n > 0) {
            send_requests(client, at, n);
        }
    } else if (client->talking) {
        for (unsigned i = 0; i < answered; i++) {
            c->sent_ns[(c->sent + i) % DEPTH_MAX] = now;
        }
        c->due += answered;
        send_requests(client, at, answered);
    }
}

static void take_bytes(struct client *client, int at, const char *bytes, size_t n, uint64_t now)
{
    struct connection *c = &client->connections[at];
    unsigned answered = 0;
    while (n > 0) {
        size_t rest = client->answer_bytes - c->received, part = n < rest ? n : rest;
        if (c->answered == c->sent || !same_answer(client, at, bytes, c->received, part)) {
            client->load->errors++;
            return;
        }
        c->received += part;
        bytes += part;
        n -= part;
        if (c->received == client->answer_bytes) {
            c->received = 0;
            count_answer(client, at, now);
            answered++;
        }
    }
    if (answered > 0) {
        send_next(client, at, answered, now);
    }
}

/* Takes what has come. How many results. */
static unsigned take_results(struct client *client)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    int returned = 0;
    uint64_t now = tb_now_ns();
    io_uring_for_each_cqe(&client->ring, head, cqe)
    {
        n++;
        if (n % CLOCK_EVERY == 0) {
            now = tb_now_ns();
        }
        int at = (int)cqe->user_data;
        if (cqe->user_data == SEND_MARK || (cqe->res <= 0 && cqe->res != -ENOBUFS)) {
            client->load->errors++;
            continue;
        }
        if (cqe->res > 0) {
            unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
            take_bytes(client, at, client->memory + id * client->buffer_bytes, (size_t)cqe->res,
                       now);
            put_buffer(client, id, returned++);
        }
        if (!(cqe->flags & IORING_CQE_F_MORE)) {
            arm_receive(client, at);
        }
    }
    io_uring_buf_ring_advance(client->buffers, returned);
    io_uring_cq_advance(&client->ring, n);
    return n;
}

/* Submits what is to be sent, and waits for a result until `until_ns`; not at all if that is
 * past. */
static void wait_results(struct client *client, uint64_t until_ns)
{
    uint64_t now = tb_now_ns(), wait = until_ns > now ? until_ns - now : 0;
    wait = wait < WAIT_NS_MAX ? wait : WAIT_NS_MAX;
    if (wait == 0) {
        io_uring_submit_and_get_events(&client->ring);
        return;
    }
    struct io_uring_cqe *cqe;
    struct __kernel_timespec time = {.tv_nsec = (long long)wait};
    int rc = io_uring_submit_and_wait_timeout(&client->ring, &cqe, 1, &time, NULL);
    if (rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY) {
        check_ring(rc, "wait");
    }
}

/* --- the run ---------------------------------------------------------------------------------- */

static void open_client(struct client *client)
{
    struct load *load = client->load;
    client->request_bytes = load->kind == LOAD_HTTP ? sizeof HTTP_REQUEST - 1 : load->bytes;
    client->answer_bytes = client->request_bytes;
    if (load->kind == LOAD_HTTP) {
        learn_answer(client);
    }
    client->connections = must_alloc((size_t)load->connections, sizeof *client->connections);
    for (int i = 0; i < load->connections; i++) {
        struct connection *c = &client->connections[i];
        c->fd = connect_to(load);
        c->request = make_message(client, i, (size_t)load->depth, false);
        c->long_request = load->kind == LOAD_MIXED ? make_message(client, i, 1, true) : NULL;
    }
    open_ring(client);
    for (int i = 0; i < load->connections; i++) {
        arm_receive(client, i);
    }
    usleep(SETTLE_US);
}

static void send_first(struct client *client)
{
    const struct load *load = client->load;
    for (int i = 0; i < load->connections && load->rate == 0; i++) {
        send_next(client, i, (unsigned)load->depth, client->start_ns);
    }
}

/* Open loop: sends what has become due, or lets it wait for its connection. When the next is
 * due. */
static uint64_t send_due(struct client *client)
{
    const struct load *load = client->load;
    uint64_t now = tb_now_ns(), due;
    while ((due = due_ns(load, client->start_ns, client->next_due)) <= now &&
           due < client->end_ns) {
        int at = (int)(client->next_due++ % (uint64_t)load->connections);
        client->connections[at].due++;
        send_next(client, at, 0, now);
    }
    return due;
}

/* The window begins when we look at the clock, and lasts until something was answered: on a busy
 * machine either may be late. */
static void move_window(struct client *client, bool *measuring, uint64_t now)
{
    struct load *load = client->load;
    if (!*measuring && now >= client->window_ns) {
        *measuring = true;
        client->window_ns = now;
        client->end_ns = now + (uint64_t)(load->seconds * 1e9);
        window_begin(load);
    }
    if (now >= client->end_ns && load->requests == 0) {
        client->end_ns = now + WINDOW_MORE_NS;
    }
}

static void talk(struct client *client)
{
    struct load *load = client->load;
    bool measuring = false;
    uint64_t heard_ns = client->start_ns;
    client->talking = true;
    send_first(client);
    for (;;) { /* ends by the clock, or in silence (P.3) */
        uint64_t now = tb_now_ns();
        move_window(client, &measuring, now);
        if (now >= client->end_ns || load->errors > 0) {
            break;
        }
        uint64_t until = load->rate > 0 ? send_due(client) : client->end_ns;
        wait_results(client, client->polls ? 0 : until);
        if (take_results(client) > 0) {
            heard_ns = now;
        } else if (now > heard_ns + SILENCE_NS) {
            errno = ETIMEDOUT;
            fail("the server does not answer");
        }
    }
    window_end(load);
    client->talking = false;
}

static uint64_t count_missing(const struct client *client)
{
    uint64_t missing = 0;
    for (int i = 0; i < client->load->connections; i++) {
        missing += client->connections[i].due - client->connections[i].answered;
    }
    return missing;
}

/* P.2 */
static void take_late_answers(struct client *client)
{
    struct load *load = client->load;
    uint64_t end = tb_now_ns() + GRACE_NS, now;
    while (count_missing(client) > 0 && (now = tb_now_ns()) < end) {
        wait_results(client, end);
        take_results(client);
    }
    now = tb_now_ns();
    for (int i = 0; i < load->connections; i++) {
        struct connection *c = &client->connections[i];
        while (c->answered < c->due) {
            count_answer(client, i, now);
            load->unanswered++;
        }
    }
}

void run_requests(struct load *load)
{
    static struct client client;
    client.load = load;
    client.polls = load->rate > 0 && load->server_cpu >= 0 && load->client_cpu >= 0 &&
                   load->server_cpu != load->client_cpu;
    open_client(&client);
    client.start_ns = tb_now_ns();
    client.window_ns = client.start_ns + (uint64_t)(load->warm_seconds * 1e9);
    client.end_ns = client.window_ns + (uint64_t)(load->seconds * 1e9);
    talk(&client);
    if (load->rate > 0 && load->errors == 0) {
        take_late_answers(&client);
    }
}
