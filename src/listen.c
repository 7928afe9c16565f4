/* listen.c: listeners: sockets from which the kernel accepts by an operation that goes on, and the
 * connections that nobody has taken so far.
 *
 * Terms. *lane*: one socket of a listener, with its operation (WF_OP_ACCEPT_MANY) on one worker.
 * *ready*: connections that were accepted and not asked for yet, in the order in which they came.
 * *acceptor*: a task in weft_listener_accept.
 *
 * A lane, under the listener's lock and the runtime's (rt->listeners_lock, the outer one):
 *
 *      IDLE --[arm: on the lane's worker]-------------------------------------> ARMED
 *        |  \                                                                   ^   |
 *        |   +--[arm: elsewhere]--> CALLED --[its message runs there]-----------+   |
 *        |                             |                                            |
 *        +<--[its message: stop]-------+                                            |
 *        +<--[lane_done]------------------------------------------------------------+
 *
 * IDLE: the kernel knows nothing of it. CALLED: a message is on its way to the worker. ARMED: the
 * op is submitted. `stop`: somebody wants it IDLE; the op has been asked to end, or the message
 * will see it.
 *
 * The lanes belong to no scope: they go on between two accepts, whoever makes them. An acceptor
 * that finds nothing ready arms what is IDLE. A lane that has made WEFT_ACCEPT_AHEAD connections
 * ready stops, and so does one whose op has failed; whoever waits then arms it again. What is armed
 * when the last task of a runtime has ended is stopped by the runtime (wf_listeners_end).
 *
 * Guarantees.
 * G.1  A connection that was accepted is given to one acceptor, or waits in `ready`, or is closed;
 *      an acceptor that is cancelled has been given none.
 * G.2  Acceptors are served in order. None waits while something is ready.
 * G.3  While an acceptor waits every lane is armed, or about to be.
 * G.4  An error of a lane is told to one acceptor. With none there it is forgotten: the lane stays
 *      IDLE until somebody asks, so a process without descriptors does not spin.
 * G.5  The listener's memory is not touched by a lane that has become IDLE, after the locks.
 * G.6  A lane whose worker is busy in the program's code brings its connections all the same, where
 *      there is rescue; if its op ends meanwhile, the worker that has come for it takes the lane
 *      over. */
#include "io/op.h"
#include "pool/base/sys.h"
#include "src/core.h"
#include "src/net.h"
#include "src/uses.h"
#include "src/value.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define BACKLOG_DEFAULT 4096
/* What a lane may bring in one go: the kernel accepts all that it has before it hears that it
 * should stop, up to the length of a completion queue (io/uring.c). More is closed. */
#define READY_MAX 2048

enum lane_state { LANE_IDLE, LANE_CALLED, LANE_ARMED };

struct lane {
    struct wf_op op;
    struct wf_work message;
    struct weft_listener *listener; /* immutable */
    int fd;                         /* immutable until it is closed */
    struct wf_held held;            /* so that no weft_close closes it */
    /* under both locks */
    struct wf_worker *worker; /* unless IDLE */
    uint8_t state;            /* enum lane_state */
    /* under the listener's lock */
    bool stop;
};

struct weft_listener {
    struct wf_lock lock;
    /* under lock */
    struct wf_list waiters;
    bool closed;            /* nothing goes in */
    bool ended;             /* and the sockets are closed */
    bool freed;             /* whoever ends it frees it */
    bool one_by_one;        /* the kernel accepts one connection per op only */
    unsigned first, ready;  /* of connections[], which is a ring */
    struct wf_wait *closer; /* waits for the last lane; or NULL */
    /* under both locks */
    int active;           /* lanes that are not IDLE, and others who hold the sockets */
    struct weft_rt *rt;   /* while any is active */
    struct wf_list in_rt; /* likewise: in rt->listeners */
    /* immutable */
    weft_addr address;
    dev_t device; /* of a Unix socket's file */
    ino_t inode;  /* 0: it has none */
    int lane_count;
    int connections[READY_MAX];
    struct lane lanes[];
};

/* --- connections: under the lock -------------------------------------------------------------- */

static struct wf_call *call_of(struct wf_waiter *place)
{
    return wf_container_of(place, struct wf_call, place);
}

/* Ends the wait of the first acceptor with `result`. False: there is none. */
static bool grant_first(struct weft_listener *listener, int64_t result)
{
    struct wf_waiter *place;
    while ((place = wf_waitq_first(&listener->waiters)) != NULL) { /* ends: takes one out */
        call_of(place)->detail = (uint64_t)result;
        if (wf_waitq_grant(place)) {
            return true;
        }
    }
    return false;
}

/* False: the caller closes it. */
static bool deliver(struct weft_listener *listener, int fd)
{
    if (listener->closed) {
        return false;
    }
    if (grant_first(listener, fd)) {
        return true;
    }
    if (listener->ready == READY_MAX) {
        return false;
    }
    listener->connections[(listener->first + listener->ready++) % READY_MAX] = fd;
    return true;
}

static int take_ready(struct weft_listener *listener)
{
    int fd = listener->connections[listener->first];
    listener->first = (listener->first + 1) % READY_MAX;
    listener->ready--;
    return fd;
}

/* --- lanes ------------------------------------------------------------------------------------ */

static void lane_more(struct wf_op *op, int32_t res);
static void lane_done(struct wf_op *op);

/* On the lane's worker, under both locks. */
static void submit_lane(struct lane *lane)
{
    lane->state = LANE_ARMED;
    lane->op = (struct wf_op){
        .kind = lane->listener->one_by_one ? WF_OP_ACCEPT : WF_OP_ACCEPT_MANY,
        .fd = lane->fd,
        .flags = SOCK_CLOEXEC,
        .more = lane_more,
        .done = lane_done,
    };
    wf_io_submit(lane->worker, &lane->op);
}

/* Under the listener's lock, of a lane that is not IDLE. */
static void stop_lane(struct lane *lane)
{
    if (!lane->stop) {
        lane->stop = true;
        if (lane->state == LANE_ARMED) {
            wf_io_cancel(&lane->op); /* lane_done, which ends the op's life, takes the lock */
        }
    }
}

/* Under both locks, of a lane that is counted in `active`. */
static void start_lane(struct lane *lane)
{
    struct wf_fiber *self = wf_self();
    lane->stop = false;
    if (self != NULL && self->worker == lane->worker) {
        submit_lane(lane);
    } else {
        lane->state = LANE_CALLED;
        wf_post(lane->worker, &lane->message);
    }
}

/* Under both locks. */
static void hold(struct weft_listener *listener, struct weft_rt *rt)
{
    if (listener->active++ == 0) {
        listener->rt = rt;
        wf_list_push_back(&rt->listeners, &listener->in_rt);
    }
}

/* Under both locks, of an IDLE lane. */
static void arm_lane(struct lane *lane, struct wf_worker *worker)
{
    hold(lane->listener, worker->runtime);
    lane->worker = worker;
    start_lane(lane);
}

static void lock_both(struct weft_rt *rt, struct weft_listener *listener)
{
    wf_lock(&rt->listeners_lock);
    wf_lock(&listener->lock);
}

static void unlock_both(struct weft_rt *rt, struct weft_listener *listener)
{
    /* relaxed: who waits for 0 takes the lock afterwards */
    wf_store_relaxed(&rt->listeners_left, !wf_list_is_empty(&rt->listeners));
    wf_unlock(&listener->lock);
    wf_unlock(&rt->listeners_lock);
}

/* What is to be done when the locks have been let go of. */
enum after { AFTER_NOTHING, AFTER_LAST, AFTER_LAST_CLOSED };

/* Under both locks: a lane has become IDLE. */
static enum after let_go(struct weft_listener *listener)
{
    if (--listener->active > 0) {
        return AFTER_NOTHING;
    }
    wf_list_unlink(&listener->in_rt);
    return listener->closed ? AFTER_LAST_CLOSED : AFTER_LAST;
}

static void end_listener(struct weft_listener *listener);

static void do_after(enum after after, struct weft_rt *rt, struct weft_listener *listener)
{
    if (after == AFTER_LAST_CLOSED) {
        end_listener(listener); /* LAST TOUCH */
    }
    if (after != AFTER_NOTHING) {
        (void)wf_sys.futex_wake(&rt->listeners_left, INT32_MAX);
    }
}

/* The lane's message, on its worker. */
static void run_called(struct wf_fiber *self, struct wf_work *work)
{
    struct lane *lane = wf_container_of(work, struct lane, message);
    struct weft_listener *listener = lane->listener;
    struct weft_rt *rt = wf_runtime_of(self);
    enum after after = AFTER_NOTHING;
    lock_both(rt, listener);
    if (lane->stop) {
        lane->state = LANE_IDLE;
        after = let_go(listener);
    } else {
        submit_lane(lane);
    }
    unlock_both(rt, listener);
    do_after(after, rt, listener);
}

static void lane_more(struct wf_op *op, int32_t res)
{
    struct lane *lane = wf_container_of(op, struct lane, op);
    struct weft_listener *listener = lane->listener;
    wf_lock(&listener->lock);
    bool kept = deliver(listener, res);
    if (kept && listener->ready >= WEFT_ACCEPT_AHEAD) { /* who closes empties it without the lock */
        stop_lane(lane);
    }
    wf_unlock(&listener->lock);
    if (!kept) {
        (void)wf_sys.close(res);
    }
}

/* Was that connection gone before it could be accepted? Then the next one is as good. */
static bool is_passing(int32_t res)
{
    return res == -ECANCELED || res == -ECONNABORTED || res == -EPROTO || res == -EINTR;
}

/* Under both locks: what the op ended with. False: the caller closes `res`. */
static bool take_result(struct lane *lane, int32_t res)
{
    struct weft_listener *listener = lane->listener;
    if (res >= 0) {
        return deliver(listener, res);
    }
    if (res == -EINVAL && lane->op.kind == WF_OP_ACCEPT_MANY && !listener->closed) {
        listener->one_by_one = true; /* or it does not listen, as will be seen */
    } else if (!is_passing(res)) {
        (void)grant_first(listener, res);
    }
    return true;
}

static void lane_done(struct wf_op *op)
{
    struct lane *lane = wf_container_of(op, struct lane, op);
    struct weft_listener *listener = lane->listener;
    struct weft_rt *rt = lane->worker->runtime;
    int32_t res = op->res;
    enum after after = AFTER_NOTHING;
    lock_both(rt, listener);
    bool kept = take_result(lane, res);
    if (!listener->closed && wf_waitq_first(&listener->waiters) != NULL) {
        lane->worker =
            wf_self()->worker; /* or it is busy, and this one has come for it (io/uring_rescue.h) */
        start_lane(lane);
    } else {
        lane->state = LANE_IDLE;
        after = let_go(listener);
    }
    unlock_both(rt, listener);
    if (!kept) {
        (void)wf_sys.close(res);
    }
    do_after(after, rt, listener);
}

/* Under both locks: G.3. */
static void arm_all(struct weft_listener *listener, struct wf_fiber *self)
{
    struct wf_pool *pool = wf_runtime_of(self)->pool;
    for (int i = 0; i < listener->lane_count; i++) {
        struct wf_worker *worker = &pool->workers[i % pool->worker_count];
        if (listener->lane_count == 1 && self->worker->pool == pool) {
            worker = self->worker; /* no message, and mostly the one that goes on with the task */
        }
        if (listener->lanes[i].state == LANE_IDLE) {
            arm_lane(&listener->lanes[i], worker);
        }
    }
}

void wf_listeners_end(struct weft_rt *rt)
{
    wf_lock(&rt->listeners_lock);
    for (struct wf_list *at = rt->listeners.next; at != &rt->listeners; at = at->next) {
        struct weft_listener *listener = wf_container_of(at, struct weft_listener, in_rt);
        wf_lock(&listener->lock);
        for (int i = 0; i < listener->lane_count; i++) {
            if (listener->lanes[i].state != LANE_IDLE) {
                stop_lane(&listener->lanes[i]);
            }
        }
        wf_unlock(&listener->lock);
    }
    bool any = !wf_list_is_empty(&rt->listeners);
    wf_unlock(&rt->listeners_lock);
    while (any) { /* ends: each op ends, and each message runs */
        (void)wf_sys.futex_wait(&rt->listeners_left, 1, INT64_MAX);
        wf_lock(&rt->listeners_lock);
        any = !wf_list_is_empty(&rt->listeners);
        wf_unlock(&rt->listeners_lock);
    }
}

/* --- accept ----------------------------------------------------------------------------------- */

static ssize_t with_peer(ssize_t fd, weft_addr *peer)
{
    if (fd >= 0 && peer != NULL) {
        (void)weft_addr_peer((int)fd, peer);
    }
    return fd;
}

static ssize_t accept_finish(struct wf_call *call)
{
    struct weft_listener *listener = call->object;
    switch (wf_wait_outcome(&call->wait)) {
    case WF_WAIT_GRANTED:
        return with_peer((ssize_t)(int64_t)call->detail, call->place.item);
    case WF_WAIT_SHUT:
        return -ESHUTDOWN;
    default:
        wf_lock(&listener->lock); /* whoever delivers may look at us until then */
        wf_list_unlink(&call->place.in_queue);
        wf_unlock(&listener->lock);
        return -ECANCELED;
    }
}

static void accept_discard(struct wf_call *call, ssize_t result)
{
    (void)call;
    if (result >= 0) {
        (void)wf_sys.close((int)result);
    }
}

static const struct wf_wait_ops accept_ops = {.cancel = wf_wait_cancel_claim,
                                              .finish = accept_finish,
                                              .discard = accept_discard,
                                              .name = "weft_listener_accept"};

/* For a caller that may not wait. The sockets have O_NONBLOCK; the caller holds the listener as a
 * lane does, so that they stay open. */
static ssize_t accept_now(struct weft_listener *listener)
{
    long rc = -EAGAIN;
    for (int i = 0; i < listener->lane_count && rc == -EAGAIN; i++) {
        rc = wf_sys.call(SYS_accept4, listener->lanes[i].fd, 0, 0, SOCK_CLOEXEC, 0, 0);
    }
    return rc == -EAGAIN ? -ECANCELED : rc;
}

static ssize_t accept_slow(struct weft_listener *listener, struct wf_call *call,
                           struct wf_work *resume, struct wf_fiber *self, weft_addr *peer)
{
    struct weft_rt *rt = wf_runtime_of(self);
    bool expired = wf_env_cancelled(self->env) != 0;
    ssize_t rc = WF_PENDING;
    lock_both(rt, listener);
    if (listener->closed) {
        rc = -ESHUTDOWN;
    } else if (listener->ready > 0) {
        rc = take_ready(listener);
    } else if (listener->active > 0 && listener->rt != rt) {
        rc = -EBUSY;
    } else if (expired) {
        hold(listener, rt);
    } else {
        wf_call_queue(call, resume, &accept_ops, listener, &listener->waiters, peer);
        arm_all(listener, self);
    }
    unlock_both(rt, listener);
    if (rc == WF_PENDING && expired) {
        rc = accept_now(listener);
        lock_both(rt, listener);
        enum after after = let_go(listener);
        unlock_both(rt, listener);
        do_after(after, rt, listener);
    }
    return rc;
}

static ssize_t accept_begin(struct weft_listener *listener, struct wf_call *call,
                            struct wf_work *resume, struct wf_fiber *self, weft_addr *peer)
{
    if (peer != NULL) {
        *peer = (weft_addr){0};
    }
    wf_lock(&listener->lock);
    ssize_t rc = listener->ready > 0 && !listener->closed ? take_ready(listener) : -EAGAIN;
    wf_unlock(&listener->lock);
    if (rc == -EAGAIN) {
        rc = accept_slow(listener, call, resume, self, peer);
    }
    return rc == WF_PENDING ? rc : with_peer(rc, peer);
}

int weft_listener_accept(weft_listener *listener, weft_addr *peer)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    struct wf_call call;
    return (int)wf_call_end(self, &call, accept_begin(listener, &call, &self->resume, self, peer));
}

weft_val weft_listener_accept_v_(weft_listener *listener, weft_addr *peer, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place)
               ? wf_v_end(&b, accept_begin(listener, b.call, b.resume, b.self, peer))
               : b.val;
}

/* --- close, free ------------------------------------------------------------------------------ */

static int family_of(const weft_addr *address)
{
    return address->storage.ss_family;
}

/* Of a Unix socket that has a file; or NULL. weft_addr_parse has put an end to it. */
static const char *path_of(const weft_addr *address)
{
    size_t begin = offsetof(struct sockaddr_un, sun_path);
    const char *path = (const char *)&address->storage + begin;
    return family_of(address) == AF_UNIX && address->bytes > begin && *path != '\0' ? path : NULL;
}

static void remove_path(const char *path)
{
    (void)wf_sys.call(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0);
}

static bool stat_file(const char *path, struct stat *about)
{
    return wf_sys.call(SYS_newfstatat, AT_FDCWD, (long)path, (long)about, AT_SYMLINK_NOFOLLOW, 0,
                       0) == 0;
}

/* The file of a Unix socket, if it is still ours. */
static void remove_file(const struct weft_listener *listener)
{
    struct stat about;
    if (listener->inode != 0 && stat_file(path_of(&listener->address), &about) &&
        about.st_dev == listener->device && about.st_ino == listener->inode) {
        remove_path(path_of(&listener->address));
    }
}

/* It is closed and no lane is active, nor will be: the one who has made it so. */
static void end_listener(struct weft_listener *listener)
{
    remove_file(listener);
    for (int i = 0; i < listener->lane_count; i++) {
        wf_unhold(&listener->lanes[i].held);
        (void)wf_sys.close(listener->lanes[i].fd);
    }
    wf_lock(&listener->lock);
    listener->ended = true;
    struct wf_wait *closer = listener->closer;
    bool freed = listener->freed;
    wf_unlock(&listener->lock);
    if (freed) {
        wf_sys.release(listener);
    } else if (closer != NULL) {
        (void)wf_wait_claim(closer, WF_WAIT_GRANTED); /* LAST TOUCH: it may free the listener */
    }
}

static const struct wf_wait_ops close_ops = {.name = "weft_listener_close (not interruptible)"};

/* Under the lock. */
static void shut(struct weft_listener *listener)
{
    listener->closed = true;
    (void)wf_waitq_claim_all(&listener->waiters, WF_WAIT_SHUT);
    for (int i = 0; i < listener->lane_count; i++) {
        if (listener->lanes[i].state != LANE_IDLE) {
            stop_lane(&listener->lanes[i]);
        }
    }
}

int weft_listener_close(weft_listener *listener)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    struct wf_fiber *self = wf_in_callback() ? NULL : wf_peek_task();
    struct wf_wait wait;
    wf_lock(&listener->lock);
    if (listener->closed) {
        wf_unlock(&listener->lock);
        return -EALREADY;
    }
    shut(listener);
    bool active = listener->active > 0;
    if (active && self != NULL) {
        wf_wait_init(&wait, &self->resume, &close_ops);
        listener->closer = &wait;
    }
    wf_unlock(&listener->lock);
    while (listener->ready > 0) { /* ends: nobody adds any more, or takes */
        (void)wf_sys.close(take_ready(listener));
    }
    if (!active) {
        end_listener(listener);
    } else if (self != NULL) {
        (void)wf_wait_block(self, &wait);
    }
    return 0;
}

void weft_listener_free(weft_listener *listener)
{
    if (listener == NULL || wf_forked) {
        return;
    }
    (void)weft_listener_close(listener);
    wf_lock(&listener->lock);
    bool ended = listener->ended;
    listener->freed = true;
    wf_unlock(&listener->lock);
    if (ended) {
        wf_sys.release(listener);
    }
}

void weft_listener_addr(const weft_listener *listener, weft_addr *out)
{
    if (!wf_forked) {
        *out = listener->address;
    }
}

int weft_listener_fd(const weft_listener *listener)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    weft_listener *locked = (weft_listener *)(uintptr_t)listener; /* the lock alone is written */
    wf_lock(&locked->lock);
    int fd = locked->closed ? -1 : locked->lanes[0].fd;
    wf_unlock(&locked->lock);
    return fd;
}

/* --- listen ----------------------------------------------------------------------------------- */

static bool is_ip(const weft_addr *address)
{
    return family_of(address) == AF_INET || family_of(address) == AF_INET6;
}

static int set_options(int fd, const weft_addr *address, const weft_listen_opts *opts)
{
    int rc = wf_conn_opts_set(fd, &opts->conn, family_of(address));
    if (rc < 0 || !is_ip(address)) {
        return rc;
    }
    rc = wf_option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && (opts->reuse_port || opts->lanes > 1)) {
        rc = wf_option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (rc == 0 && family_of(address) == AF_INET6) {
        rc = wf_option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, opts->v6only);
    }
    if (rc == 0 && opts->defer > 0) {
        rc = wf_option_set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, wf_seconds(opts->defer));
    }
    return rc;
}

/* Removes a Unix socket's file if nobody listens on it. */
static void remove_stale(const weft_addr *address)
{
    struct stat about;
    long fd =
        wf_sys.call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
    if (fd < 0) {
        return;
    }
    if (stat_file(path_of(address), &about) && S_ISSOCK(about.st_mode) &&
        wf_sys.call(SYS_connect, fd, (long)&address->storage, (long)address->bytes, 0, 0, 0) ==
            -ECONNREFUSED) {
        remove_path(path_of(address));
    }
    (void)wf_sys.close((int)fd);
}

/* Binds the socket, and lets it listen. */
static long bind_to(int fd, const weft_addr *address, const weft_listen_opts *opts)
{
    long rc = wf_sys.call(SYS_bind, fd, (long)&address->storage, (long)address->bytes, 0, 0, 0);
    if (rc == -EADDRINUSE && opts->replace && path_of(address) != NULL) {
        remove_stale(address);
        rc = wf_sys.call(SYS_bind, fd, (long)&address->storage, (long)address->bytes, 0, 0, 0);
    }
    if (rc < 0) {
        return rc;
    }
    rc = wf_sys.call(SYS_listen, fd, opts->backlog > 0 ? opts->backlog : BACKLOG_DEFAULT, 0, 0, 0,
                     0);
    if (rc < 0 && path_of(address) != NULL) {
        remove_path(path_of(address));
    }
    return rc;
}

/* A socket that listens; or -errno. */
static int open_socket(const weft_addr *address, const weft_listen_opts *opts)
{
    /* O_NONBLOCK: for accept_now, and for io/epoll.c. Connections do not inherit it */
    long fd = wf_sys.call(SYS_socket, family_of(address),
                          SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
    if (fd < 0) {
        return (int)fd;
    }
    long rc = set_options((int)fd, address, opts);
    if (rc == 0) {
        rc = bind_to((int)fd, address, opts);
    }
    if (rc < 0) {
        (void)wf_sys.close((int)fd);
        return (int)rc;
    }
    return (int)fd;
}

/* The first socket says which port the others get. 0; or -errno, and none is left open. */
static int open_lanes(struct weft_listener *listener, const weft_addr *address,
                      const weft_listen_opts *opts)
{
    listener->address = *address;
    int rc = 0;
    int open = 0;
    for (; open < listener->lane_count && rc == 0; open++) {
        int fd = open_socket(&listener->address, opts);
        if (fd < 0) {
            rc = fd;
            break;
        }
        listener->lanes[open].fd = fd;
        wf_own(&listener->lanes[open].held, fd);
        rc = open == 0 && is_ip(address) ? weft_addr_local(fd, &listener->address) : 0;
    }
    while (rc < 0 && open > 0) { /* ends: counts down */
        wf_unhold(&listener->lanes[--open].held);
        (void)wf_sys.close(listener->lanes[open].fd);
    }
    return rc;
}

static void note_file(struct weft_listener *listener)
{
    struct stat about;
    const char *path = path_of(&listener->address);
    if (path != NULL && stat_file(path, &about)) {
        listener->device = about.st_dev;
        listener->inode = about.st_ino;
    }
}

static struct weft_listener *allocate(int lanes)
{
    size_t bytes = sizeof(struct weft_listener) + sizeof(struct lane) * (size_t)lanes;
    struct weft_listener *listener = wf_sys_alloc_zeroed(WF_LINE, bytes);
    if (listener == NULL) {
        return NULL;
    }
    wf_list_init(&listener->waiters);
    wf_list_init(&listener->in_rt);
    listener->lane_count = lanes;
    for (int i = 0; i < lanes; i++) {
        listener->lanes[i].listener = listener;
        listener->lanes[i].message.run = run_called;
    }
    return listener;
}

/* ":PORT" where there is no IPv6: all addresses of IPv4. */
static int listen_anywhere(struct weft_listener *listener, const char *text,
                           const weft_addr *address, const weft_listen_opts *opts)
{
    int rc = open_lanes(listener, address, opts);
    if (rc == -EAFNOSUPPORT && text[0] == ':') {
        struct sockaddr_in v4 = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)weft_addr_port(address))};
        weft_addr any = {.bytes = sizeof v4};
        memcpy(&any.storage, &v4, sizeof v4);
        rc = open_lanes(listener, &any, opts);
    }
    return rc;
}

int weft_listen_(weft_listener **out, const char *text, const weft_listen_opts *opts)
{
    static const weft_listen_opts defaults;
    opts = opts != NULL ? opts : &defaults;
    weft_addr address;
    *out = NULL;
    if (wf_forked) {
        return -ENOSYS;
    }
    int rc = weft_addr_parse(&address, text);
    if (rc < 0) {
        return rc;
    }
    if (opts->backlog < 0 || opts->lanes < 0 || opts->lanes > WEFT_LANES_MAX || opts->defer < 0 ||
        wf_conn_opts_are_bad(&opts->conn)) {
        return -EINVAL;
    }
    struct weft_listener *listener = allocate(is_ip(&address) && opts->lanes > 1 ? opts->lanes : 1);
    if (listener == NULL) {
        return -ENOMEM;
    }
    rc = listen_anywhere(listener, text, &address, opts);
    if (rc < 0) {
        wf_sys.release(listener);
        return rc;
    }
    note_file(listener);
    *out = listener;
    return 0;
}
