/* epoll.c: the driver that sleeps in epoll.
 *
 * One epoll instance per worker, used by that worker's thread alone. Submitting only queues an op.
 * A poll tries what is queued, by calls that do not wait (attempt.h). What would wait stands in the
 * list of its descriptor until that is ready, and is tried again; what no call does without waiting
 * goes to a thread (offload.h). Others reach a worker by its eventfd (wake, offload.c), and by
 * messages (cancellation).
 *
 * Terms. *watch*: a descriptor's number as one worker knows it, with the ops that wait for it.
 * *registration*: what the kernel keeps for a watch: file, number, events. It is armed for one
 * event (EPOLLONESHOT) and then keeps quiet.
 *
 * A number is not a file: the program may close a descriptor while ops wait for it (which
 * <weft/io.h> forbids), and get the same number for another file. The kernel knows which file a
 * registration is of: to change it through a number that means another file by now is -ENOENT. So
 * each registration is changed before ops are tried because of its events, and whenever an op joins
 * others. If it is not found, those that wait are for a file that has gone: they end with -EBADF,
 * and never touch the new one. Costs some 250 ns for each event. The roads not taken: fstat cannot
 * tell eventfds and the like from each other; a private dup for each op costs two calls, and
 * descriptors.
 *
 * Guarantees, beside those of driver.h and op.h.
 * G.1  The worker does not sleep while an op is queued that it could try, end or start.
 * G.2  Ops of one worker that wait for the same descriptor and direction are tried in the order in
 *      which they came, and no later one overtakes them, unless it was cancelled before it was
 *      tried (which is owed one try).
 * G.3  Events of a registration that was lost do nothing: they carry its generation.
 * G.4  Each poll tries at most WF_REAP_MAX queued ops, and asks the kernel at most once.
 * G.5  A descriptor that is ready all the time, but not for those who wait, does not keep the
 *      worker busy: after WF_VAIN_MAX tries in vain it is looked at every WF_REST_NS only. (A
 *      socket whose queue of errors nobody reads is of that kind.) */
#include "io/epoll.h"
#include "io/attempt.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "pool/sanitizer.h"
#include "pool/worker.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>

/* Ops queued that make a poll due, works that may run before an op is tried, ops ended before the
 * worker gets to run something: as in uring.c. */
#define WF_DUE_QUEUED 32
#define WF_DUE_AGE    16
#define WF_REAP_MAX   128
/* Polls in a row that may find enough to do without asking the kernel (160 ns). */
#define WF_SKIP_MAX 8

/* Events taken by one call. */
#define WF_EVENTS_MAX 64

/* A try in vain costs some 3 us. Workers that wait for the same listener may well come too late
 * several times in a row. */
#define WF_VAIN_MAX 32
#define WF_REST_NS  INT64_C(1000000)

#define NUMBER_WAKE UINT64_MAX /* no descriptor's */

/* Where an op is; in op->slot. */
enum place {
    PLACE_FRESH,
    PLACE_WATCH,
    PLACE_LINE, /* for a thread, or on one: then it is PENDING */
};

struct epoll_driver {
    struct wf_io_driver io;
    struct wf_epoll *loops; /* array of `workers` */
    int workers;
};

static struct epoll_driver *driver_of(struct wf_driver *driver)
{
    return wf_container_of(driver, struct epoll_driver, io.base);
}

static struct wf_epoll *epoll_of(const struct wf_worker *worker)
{
    return worker->driver_state;
}

static struct wf_op *op_of(struct wf_list *queue)
{
    return wf_container_of(queue, struct wf_op, queue);
}

/* --- the end of an op ------------------------------------------------------------------------- */

/* It is linked nowhere. */
static void end(struct wf_epoll *e, struct wf_op *op, long res)
{
    e->in_flight--;
    wf_worker_completed(e->worker);
    if (res == -ECANCELED) {
        wf_count(&e->worker->counters.ops_cancelled);
    }
    wf_op_end(op, (int32_t)res);
    wf_count(&e->worker->counters.ops_handed); /* only now: see src/deadlock.c */
}

static void end_cancelled(struct wf_epoll *e, struct wf_op *op)
{
    end(e, op, op->res > 0 ? op->res : -ECANCELED);
}

/* --- watches ---------------------------------------------------------------------------------- */

static bool grow(struct wf_epoll *e, uint32_t chunk)
{
    uint32_t chunks = e->chunks > 0 ? e->chunks : 16;
    while (chunks <= chunk) { /* ends: doubles */
        chunks *= 2;
    }
    struct wf_watch **watches = wf_sys_alloc_zeroed(WF_LINE, sizeof *watches * chunks);
    if (watches == NULL) {
        return false;
    }
    if (e->chunks > 0) {
        memcpy(watches, e->watches, sizeof *watches * e->chunks);
    }
    wf_sys.release(e->watches);
    e->watches = watches;
    e->chunks = chunks;
    return true;
}

static WF_COLD struct wf_watch *new_watch(struct wf_epoll *e, int fd)
{
    uint32_t chunk = (uint32_t)fd / WF_WATCH_CHUNK;
    if (chunk >= e->chunks && !grow(e, chunk)) {
        return NULL;
    }
    struct wf_watch *watches = wf_sys_alloc_zeroed(WF_LINE, sizeof *watches * WF_WATCH_CHUNK);
    if (watches == NULL) {
        return NULL;
    }
    for (int i = 0; i < WF_WATCH_CHUNK; i++) {
        wf_list_init(&watches[i].ops);
    }
    e->watches[chunk] = watches;
    return &watches[fd % WF_WATCH_CHUNK];
}

/* fd >= 0. NULL: nobody has waited for it so far. */
static struct wf_watch *find_watch(const struct wf_epoll *e, int fd)
{
    uint32_t chunk = (uint32_t)fd / WF_WATCH_CHUNK;
    return chunk < e->chunks && e->watches[chunk] != NULL ? &e->watches[chunk][fd % WF_WATCH_CHUNK]
                                                          : NULL;
}

static long control(struct wf_epoll *e, int action, int fd, const struct wf_watch *watch,
                    uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT,
                                .data.u64 = (uint64_t)watch->generation << 32 | (uint32_t)fd};
    wf_count(&e->worker->counters.driver_enters);
    return wf_sys.call(SYS_epoll_ctl, e->fd, action, fd, (long)&event, 0, 0);
}

static void leave_watch(struct wf_epoll *e, struct wf_op *op)
{
    wf_list_unlink(&op->queue);
    e->watching--;
}

/* The file that its number meant is gone, and its registration out of reach. */
static WF_COLD void lose(struct wf_epoll *e, struct wf_watch *watch)
{
    watch->known = false;
    watch->events = 0;
    watch->generation++;
    while (!wf_list_is_empty(&watch->ops)) { /* ends: `done` adds nothing to a watch */
        struct wf_op *op = op_of(watch->ops.next);
        leave_watch(e, op);
        end(e, op, op->res > 0 ? op->res : -EBADF);
    }
}

/* Is the number still that of the registered file? Then it keeps quiet until it is armed; else all
 * that waits for it has ended. */
static bool verify(struct wf_epoll *e, int fd, struct wf_watch *watch)
{
    if (wf_likely(control(e, EPOLL_CTL_MOD, fd, watch, 0) == 0)) {
        return true;
    }
    lose(e, watch);
    return false;
}

/* From here on one event comes if one of `events`, or what others wait for, is there. -EPERM: it is
 * a file for which nobody can wait. */
static long arm(struct wf_epoll *e, int fd, struct wf_watch *watch, uint32_t events)
{
    long rc = -ENOENT;
    if (watch->known) {
        rc = control(e, EPOLL_CTL_MOD, fd, watch, watch->events | events);
        if (rc == -ENOENT) {
            lose(e, watch);
        }
    }
    if (rc == -ENOENT) {
        rc = control(e, EPOLL_CTL_ADD, fd, watch, watch->events | events);
        if (rc == -EEXIST) { /* this very file has had this number before */
            rc = control(e, EPOLL_CTL_MOD, fd, watch, watch->events | events);
        }
    }
    if (rc == 0) {
        watch->known = true;
        watch->events |= (uint16_t)events;
    }
    return rc;
}

static void enter_line(struct wf_epoll *e, struct wf_op *op)
{
    op->slot = PLACE_LINE;
    wf_offload_add(&e->offloads, op);
}

/* --- trying ----------------------------------------------------------------------------------- */

/* The op, linked nowhere, is to be tried again when its descriptor is ready. */
static void wait_ready(struct wf_epoll *e, struct wf_op *op)
{
    struct wf_watch *watch = find_watch(e, op->fd);
    if (wf_unlikely(watch == NULL)) {
        watch = new_watch(e, op->fd);
    }
    long rc = watch != NULL ? arm(e, op->fd, watch, wf_op_events(op)) : -ENOMEM;
    if (wf_likely(rc == 0)) {
        op->slot = PLACE_WATCH;
        wf_list_push_back(&watch->ops, &op->queue);
        e->watching++;
    } else if (rc == -EPERM && wf_op_transfers(op)) {
        enter_line(e, op);
    } else {
        end(e, op, rc == -EPERM ? -EINVAL : rc); /* as io_uring says of what cannot be polled */
    }
}

/* Do others wait for the same, who came first? (Or have waited: then it is tried a little
 * later.) */
static bool must_queue(const struct wf_epoll *e, const struct wf_op *op)
{
    if (op->heard || op->kind == WF_OP_POLL || op->fd < 0) {
        return false;
    }
    const struct wf_watch *watch = find_watch(e, op->fd);
    return watch != NULL && !wf_list_is_empty(&watch->ops) &&
           (watch->events & wf_op_events(op)) != 0;
}

/* The op is linked nowhere, and nobody has tried it. Ops ended: 0 or 1. */
static int try_first(struct wf_epoll *e, struct wf_op *op)
{
    bool knows_fd = op->kind != WF_OP_NOP && op->kind != WF_OP_OPENAT &&
                    op->kind != WF_OP_OPENAT2 && op->kind != WF_OP_STATX;
    long res = WF_TRY_BLOCKS;
    if (!knows_fd || !must_queue(e, op)) {
        op->phase = WF_OP_PENDING; /* `more` may cancel it: there is no list to take it out of */
        res = wf_op_try(op, false);
        op->phase = WF_OP_WAITING;
    }
    if (wf_likely(res != WF_TRY_BLOCKS && res != WF_TRY_THREAD)) {
        end(e, op, res);
        return 1;
    }
    if (op->heard && !(res == WF_TRY_THREAD && wf_op_transfers(op))) { /* a ready one is short */
        end_cancelled(e, op);
        return 1;
    }
    if (res == WF_TRY_THREAD) {
        enter_line(e, op);
    } else {
        wait_ready(e, op);
    }
    return 0;
}

static int try_fresh(struct wf_epoll *e)
{
    int ended = 0;
    e->age = 0;
    for (int i = 0; i < WF_REAP_MAX && !wf_list_is_empty(&e->fresh); i++) {
        struct wf_op *op = op_of(wf_list_pop_front(&e->fresh));
        e->fresh_count--;
        ended += try_first(e, op);
    }
    return ended;
}

/* On our thread, under the wheel's lock. */
static void rest_is_over(struct wf_timer *timer)
{
    wf_container_of(timer, struct wf_epoll, rest)->rested = true;
}

static WF_COLD void take_a_rest(struct wf_epoll *e, int fd, struct wf_watch *watch)
{
    if (watch->rests) {
        return;
    }
    watch->rests = true;
    watch->next_rests = e->resting;
    if (e->resting < 0 && !e->rested) {
        (void)wf_timer_del(&e->rest);
        wf_timer_add(&e->worker->wheel, &e->rest, wf_sys.now_ns() + WF_REST_NS);
    }
    e->resting = fd;
}

/* All that rest are armed again, with one try in vain left. */
static WF_COLD void end_rest(struct wf_epoll *e)
{
    int fd = e->resting;
    e->resting = -1;
    e->rested = false;
    while (fd >= 0) { /* ends: each was put in once */
        struct wf_watch *watch = find_watch(e, fd);
        int next = watch->next_rests;
        watch->rests = false;
        watch->vain = WF_VAIN_MAX - 1;
        if (!wf_list_is_empty(&watch->ops) && arm(e, fd, watch, watch->events) != 0) {
            lose(e, watch);
        }
        fd = next;
    }
}

/* Some of those who wait for the watch wait on, for `events`. */
static void wait_on(struct wf_epoll *e, int fd, struct wf_watch *watch, uint32_t events,
                    bool progress)
{
    watch->vain = progress ? 0 : watch->vain + 1;
    watch->events = (uint16_t)events;
    if (wf_unlikely(watch->vain >= WF_VAIN_MAX)) {
        watch->vain = WF_VAIN_MAX - 1;
        take_a_rest(e, fd, watch);
    } else if (wf_unlikely(arm(e, fd, watch, events) != 0)) {
        lose(e, watch);
    }
}

/* The descriptor is ready for some of those who wait. Ops ended. */
static int try_watch(struct wf_epoll *e, int fd, struct wf_watch *watch)
{
    int ended = 0;
    bool progress = false;
    uint32_t blocked = 0; /* directions in which somebody waits on */
    uint32_t events = 0;
    struct wf_list *next;
    /* ends: the list does; `done` adds nothing to it, and takes nothing from it */
    for (struct wf_list *queue = watch->ops.next; queue != &watch->ops; queue = next) {
        struct wf_op *op = op_of(queue);
        next = queue->next;
        uint32_t wanted = wf_op_events(op);
        int32_t before = op->res;
        long res = WF_TRY_BLOCKS;
        if ((blocked & wanted) == 0 || op->kind == WF_OP_POLL) {
            res = wf_op_try(op, true);
        }
        progress = progress || res != WF_TRY_BLOCKS || op->res != before;
        if (res == WF_TRY_BLOCKS) {
            blocked |= op->kind != WF_OP_POLL ? wanted : 0;
            events |= wanted;
            continue;
        }
        leave_watch(e, op);
        if (res == WF_TRY_THREAD) {
            enter_line(e, op);
        } else {
            end(e, op, res);
            ended++;
        }
    }
    watch->events = 0;
    if (events != 0) {
        wait_on(e, fd, watch, events, progress);
    }
    return ended;
}

/* Calls that have returned from a thread. Ops ended. */
static int take_offloads(struct wf_epoll *e)
{
    int ended = 0;
    struct wf_offload *next;
    for (struct wf_offload *offload = wf_offload_take(&e->offloads); offload != NULL;
         offload = next) {
        next = offload->next;
        struct wf_op *op = offload->op;
        long res = offload->result;
        wf_offload_free(&e->offloads, offload);
        if (op->kind == WF_OP_CONNECT && res == -EINPROGRESS) {
            op->asked = WF_ASKED_CONNECT;
            if (!op->heard) {
                op->phase = WF_OP_WAITING;
                wait_ready(e, op);
                continue;
            }
            res = -ECANCELED;
        }
        end(e, op, res);
        ended++;
    }
    return ended;
}

/* Ends what was cancelled while it waited. */
static int drop(struct wf_epoll *e)
{
    int ended = 0;
    struct wf_list *queue;
    /* ends: `done` cancels nothing of this worker's */
    while ((queue = wf_list_pop_front(&e->dropped)) != NULL) {
        end_cancelled(e, op_of(queue));
        ended++;
    }
    return ended;
}

/* --- ops -------------------------------------------------------------------------------------- */

static void epoll_submit(struct wf_worker *home, struct wf_op *op)
{
    struct wf_epoll *e = epoll_of(home);
    op->phase = WF_OP_WAITING;
    op->slot = PLACE_FRESH;
    wf_list_push_back(&e->fresh, &op->queue);
    e->fresh_count++;
    e->in_flight++;
    wf_worker_submitted(home);
}

static void epoll_cancel(struct wf_worker *home, struct wf_op *op)
{
    struct wf_epoll *e = epoll_of(home);
    if (op->slot == PLACE_WATCH) {
        leave_watch(e, op);
    } else if (op->slot == PLACE_LINE && op->phase == WF_OP_WAITING) {
        wf_list_unlink(&op->queue);
    } else {
        return; /* it will be tried, once; or a thread is inside the call */
    }
    wf_list_push_back(&e->dropped, &op->queue);
}

/* --- asking the kernel ------------------------------------------------------------------------ */

static WF_COLD void wait_refused(long rc)
{
    const char *name = strerrorname_np((int)-rc);
    wf_check(false,
             "epoll_pwait was refused (%s) after the runtime had started: was a seccomp filter "
             "installed, or a descriptor closed that is not the program's?",
             name != NULL ? name : "an unknown error");
}

/* For kernels before 5.11, and where a sandbox does not know the newer call. Late by up to 1 ms. */
static WF_COLD long wait_coarse(struct wf_epoll *e, struct epoll_event *events, int64_t timeout_ns)
{
    e->coarse = true;
    int64_t timeout_ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    int64_t most_ms = timeout_ms < INT32_MAX ? timeout_ms : INT32_MAX;
    return wf_sys.call(SYS_epoll_pwait, e->fd, (long)events, WF_EVENTS_MAX,
                       timeout_ns == INT64_MAX ? -1 : most_ms, 0, 0);
}

static long wait_events(struct wf_epoll *e, struct epoll_event *events, int64_t timeout_ns)
{
    wf_count(&e->worker->counters.driver_enters);
    if (wf_unlikely(e->coarse)) {
        return wait_coarse(e, events, timeout_ns);
    }
    struct timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                               .tv_nsec = timeout_ns % 1000000000};
    long rc = wf_sys.call(SYS_epoll_pwait2, e->fd, (long)events, WF_EVENTS_MAX,
                          timeout_ns == INT64_MAX ? 0 : (long)&timeout, 0, 0);
    if (wf_unlikely(rc == -ENOSYS || rc == -EPERM)) {
        rc = wait_coarse(e, events, timeout_ns);
    }
    return rc;
}

/* Waits for events, for that long at most, and tries what they are for. Ops ended. */
static int serve_events(struct wf_epoll *e, int64_t timeout_ns)
{
    struct epoll_event events[WF_EVENTS_MAX];
    e->skipped = 0;
    long count = wait_events(e, events, timeout_ns);
    if (wf_unlikely(count < 0 && count != -EINTR)) {
        wait_refused(count);
    }
    int ended = 0;
    for (long i = 0; i < count; i++) {
        uint64_t number = events[i].data.u64;
        if (number == NUMBER_WAKE) {
            e->woken = true;
            continue;
        }
        int fd = (int)(uint32_t)number;
        struct wf_watch *watch = find_watch(e, fd);
        /* of one that rests: that there is an error, which epoll always says once more; nothing
         * new */
        if (watch->generation == number >> 32 && !watch->rests && !wf_list_is_empty(&watch->ops) &&
            verify(e, fd, watch)) {
            ended += try_watch(e, fd, watch);
        }
    }
    return ended;
}

/* Is there something that a poll would do without asking the kernel? */
static bool has_work(struct wf_epoll *e)
{
    return !wf_list_is_empty(&e->fresh) || !wf_list_is_empty(&e->dropped) || e->rested ||
           wf_offload_is_due(&e->offloads);
}

static bool epoll_is_due(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver;
    struct wf_epoll *e = epoll_of(worker);
    if (wf_unlikely(wf_offload_is_due(&e->offloads) || !wf_list_is_empty(&e->dropped) ||
                    e->rested)) {
        return true;
    }
    return e->fresh_count != 0 && (e->fresh_count >= WF_DUE_QUEUED || ++e->age >= WF_DUE_AGE);
}

static int epoll_poll(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver;
    struct wf_epoll *e = epoll_of(worker);
    if (wf_unlikely(e->rested)) {
        end_rest(e);
    }
    int ended = drop(e) + take_offloads(e) + try_fresh(e);
    if (e->watching > 0 && (ended == 0 || ++e->skipped >= WF_SKIP_MAX)) {
        ended += serve_events(e, 0);
    }
    wf_offload_start(&e->offloads);
    return ended;
}

static int64_t time_left_ns(int64_t deadline_ns)
{
    if (deadline_ns == INT64_MAX) {
        return INT64_MAX;
    }
    int64_t now_ns = wf_sys.now_ns();
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

static void epoll_sleep(struct wf_driver *driver, struct wf_worker *worker, int64_t deadline_ns)
{
    struct wf_epoll *e = epoll_of(worker);
    if (wf_unlikely(e->woken || has_work(e))) {
        (void)epoll_poll(driver, worker); /* before it may sleep (G.1), or instead of it */
    } else {
        (void)serve_events(e, time_left_ns(deadline_ns));
        (void)take_offloads(e);
    }
    e->woken = false; /* this sleep has returned for it */
}

/* Any thread. */
static void epoll_wake(struct wf_driver *driver, int worker_index)
{
    int rc = wf_sys.eventfd_add(driver_of(driver)->loops[worker_index].wake_fd, 1);
    wf_check(rc == 0,
             "worker %d cannot be woken: was a descriptor closed that is not the program's?",
             worker_index);
}

/* --- begin, end ------------------------------------------------------------------------------- */

static void epoll_worker_begin(struct wf_driver *driver, struct wf_worker *worker)
{
    struct wf_epoll *e = &driver_of(driver)->loops[worker->index];
    e->worker = worker;
    worker->driver_state = e;
}

static void epoll_worker_end(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver;
    struct wf_epoll *e = epoll_of(worker);
    wf_check(e->in_flight == 0, "worker %u ends while %u operations are in flight", worker->index,
             e->in_flight);
    (void)wf_timer_del(&e->rest);
    worker->driver_state = NULL;
}

/* --- open, close ------------------------------------------------------------------------------ */

static void close_one(struct wf_epoll *e)
{
    for (uint32_t i = 0; i < e->chunks; i++) {
        wf_sys.release(e->watches[i]);
    }
    wf_sys.release(e->watches);
    (void)wf_sys.close(e->wake_fd);
    (void)wf_sys.close(e->fd);
}

/* Multishot and edge-triggered, and the counter is never read: each write to it makes an event, so
 * a wake costs its receiver no call beyond the one that it sleeps in. */
static long watch_wake(struct wf_epoll *e)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = NUMBER_WAKE};
    return wf_sys.call(SYS_epoll_ctl, e->fd, EPOLL_CTL_ADD, e->wake_fd, (long)&event, 0, 0);
}

static int open_one(struct epoll_driver *d, struct wf_epoll *e, const char **refused)
{
    memset(e, 0, sizeof *e);
    wf_list_init(&e->fresh);
    wf_list_init(&e->dropped);
    e->resting = -1;
    e->coarse = wf_valgrind_is_on(); /* 3.19 does not know the newer call, and says so at length */
    wf_timer_init(&e->rest, rest_is_over);
    *refused = "epoll_create1";
    e->fd =
        wf_sys_above_standard((int)wf_sys.call(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0));
    if (e->fd < 0) {
        return e->fd;
    }
    *refused = "eventfd";
    e->wake_fd = wf_sys.eventfd();
    if (e->wake_fd < 0) {
        (void)wf_sys.close(e->fd);
        return e->wake_fd;
    }
    *refused = "epoll_ctl";
    int rc = (int)watch_wake(e);
    if (rc < 0) {
        close_one(e);
        return rc;
    }
    wf_offloads_init(&e->offloads, d->io.blocking, e->wake_fd);
    return 0;
}

static void epoll_close(struct wf_driver *driver)
{
    struct epoll_driver *d = driver_of(driver);
    wf_blocking_free(d->io.blocking); /* first: its threads may still be about to write a wake_fd */
    d->io.blocking = NULL;
    while (d->workers > 0) {
        close_one(&d->loops[--d->workers]);
    }
    wf_sys.release(d->loops);
    d->loops = NULL;
}

static int epoll_open(struct wf_driver *driver, int workers)
{
    struct epoll_driver *d = driver_of(driver);
    d->io.refusal = (struct wf_io_refusal){.call = "malloc", .rc = -ENOMEM};
    d->workers = 0;
    d->loops = wf_sys.alloc(WF_LINE_PAIR, sizeof *d->loops * (size_t)workers);
    d->io.blocking = wf_blocking_new(workers * WF_OFFLOADS);
    if (d->loops == NULL || d->io.blocking == NULL) {
        epoll_close(driver);
        return -ENOMEM;
    }
    while (d->workers < workers) {
        int rc = open_one(d, &d->loops[d->workers], &d->io.refusal.call);
        if (rc < 0) {
            d->io.refusal.rc = rc;
            epoll_close(driver);
            return rc;
        }
        d->workers++;
    }
    d->io.refusal = (struct wf_io_refusal){0};
    return 0;
}

static const struct wf_driver_ops epoll_driver_ops = {
    .name = "epoll",
    .is_blind = true,
    .open = epoll_open,
    .close = epoll_close,
    .worker_begin = epoll_worker_begin,
    .worker_end = epoll_worker_end,
    .is_due = epoll_is_due,
    .poll = epoll_poll,
    .sleep = epoll_sleep,
    .wake = epoll_wake,
};

static const struct wf_io_ops epoll_io_ops = {.submit = epoll_submit, .cancel = epoll_cancel};

struct wf_driver *wf_epoll_driver_new(struct wf_io_refusal because)
{
    struct epoll_driver *d = wf_sys.alloc(WF_LINE, sizeof *d);
    if (d == NULL) {
        return NULL;
    }
    *d = (struct epoll_driver){
        .io = {.base = {.ops = &epoll_driver_ops}, .io = &epoll_io_ops, .because = because}};
    return &d->io.base;
}

void wf_epoll_driver_free(struct wf_driver *driver)
{
    if (driver != NULL) {
        wf_sys.release(driver_of(driver));
    }
}
