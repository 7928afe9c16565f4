/* Steady state: once warm, tasks and waits cost no call of malloc and no further stack or chunk. */
#include "pattern.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <weft/chan.h>
#include <weft/debug.h>
#include <weft/fork.h>
#include <weft/io.h>
#include <weft/reuse.h>
#include <weft/stackless.h>
#include <weft/sync.h>

/* Sanitizers bring an allocator of their own, which cannot be counted this way; what is counted by
 * weft is checked with them too. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCALE 100
static atomic_long allocations;
#else
#define SCALE 1
static atomic_long allocations;

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(n, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_memalign(alignment, bytes);
}
#endif

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void spawn_and_await(int n)
{
    weft_task t;
    for (int i = 0; i < n; i++) {
        weft_spawn(&t, nothing, NULL);
        weft_await(&t);
    }
}

static int yield_often(void *arg)
{
    for (int i = 0; i < (int)(intptr_t)arg; i++) {
        weft_yield();
    }
    return 0;
}

/* Two that give way to each other, so that each yield is a switch. */
static void yield(int n)
{
    weft_task t;
    weft_spawn(&t, yield_often, (void *)(intptr_t)(n / 2));
    yield_often((void *)(intptr_t)(n / 2));
    weft_await(&t);
}

struct argument {
    int n;
    char rest[100];
};

WEFT_TASK(take_argument, struct argument)
{
    return arg->n >= 0 ? 0 : -EINVAL;
}

static void go(int n)
{
    WEFT_SCOPE(s);
    for (int i = 0; i < n; i++) {
        wt_eq(weft_go(&s, take_argument, (&(struct argument){.n = i})), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
}

static int fail_with_text(void *arg)
{
    (void)arg;
    return weft_fail(-EIO, "some text");
}

static void fail(int n)
{
    weft_task t;
    for (int i = 0; i < n; i++) {
        weft_spawn(&t, fail_with_text, NULL);
        wt_eq(weft_await(&t), -EIO);
    }
}

struct pair {
    weft_sem ping, pong;
    int rounds;
};

static int answer(void *arg)
{
    struct pair *pair = arg;
    for (int i = 0; i < pair->rounds; i++) {
        weft_sem_acquire(&pair->ping);
        weft_sem_release(&pair->pong, 1);
    }
    return 0;
}

static void ping_pong(int n)
{
    struct pair pair = {.rounds = n};
    weft_sem_init(&pair.ping, 0, 0);
    weft_sem_init(&pair.pong, 0, 0);
    weft_task t;
    weft_spawn(&t, answer, &pair);
    for (int i = 0; i < n; i++) {
        weft_sem_release(&pair.ping, 1);
        weft_sem_acquire(&pair.pong);
    }
    weft_await(&t);
    weft_sem_fini(&pair.ping);
    weft_sem_fini(&pair.pong);
}

static int fly(void *arg, void *result)
{
    (void)arg;
    *(int *)result = 1;
    return weft_yield();
}

struct locks {
    weft_mutex mutex;
    weft_rwlock rwlock;
    weft_event event;
    weft_flight flight;
    int rounds;
};

static int take_locks(void *arg)
{
    struct locks *locks = arg;
    int result;
    for (int i = 0; i < locks->rounds; i++) {
        weft_mutex_lock(&locks->mutex);
        weft_yield();
        weft_mutex_unlock(&locks->mutex);
        weft_rwlock_read(&locks->rwlock);
        weft_yield();
        weft_rwlock_unlock(&locks->rwlock);
        weft_rwlock_write(&locks->rwlock);
        weft_rwlock_unlock(&locks->rwlock);
        weft_event_wait(&locks->event);
        weft_event_set(&locks->event);
        weft_flight_call(&locks->flight, "k", 1, fly, NULL, &result);
    }
    return 0;
}

static void two_take_locks(int n)
{
    struct locks locks = {.rounds = n / 2};
    weft_mutex_init(&locks.mutex);
    weft_rwlock_init(&locks.rwlock);
    weft_event_init(&locks.event, WEFT_EVENT_AUTO);
    weft_event_set(&locks.event);
    weft_flight_init(&locks.flight, sizeof(int));
    weft_task t;
    weft_spawn(&t, take_locks, &locks);
    take_locks(&locks);
    weft_await(&t);
    weft_mutex_fini(&locks.mutex);
    weft_rwlock_fini(&locks.rwlock);
    weft_event_fini(&locks.event);
    weft_flight_fini(&locks.flight);
}

static void deadlines(int n)
{
    for (int i = 0; i < n; i++) {
        wt_eq(weft_within(WEFT_SEC(1), weft_yield()), 0);
    }
    for (int i = 0; i < n / 100; i++) {
        wt_eq(weft_sleep(WEFT_US(1)), 0);
    }
}

static void fork_and_join(int n)
{
    weft_call_branch branch;
    for (int i = 0; i < n; i++) {
        weft_fork(&branch, nothing, NULL);
        weft_join(&branch);
    }
}

struct visitor {
    weft_frame sm;
    weft_sem *gate;
    int rc;
};

WEFT_STEP(visit, struct visitor)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->rc, weft_sem_acquire_v(f->gate));
    WEFT_AWAIT(&f->sm, f->rc, weft_sleep_v(1));
    return f->rc;
}

static void values_and_frames(int n)
{
    weft_sem gate;
    weft_sem_init(&gate, 0, 0);
    for (int i = 0; i < n; i++) {
        weft_val val = weft_sem_acquire_v(&gate);
        weft_sem_release(&gate, 1);
        wt_eq(weft_val_await(val), 0);
        wt_eq(weft_val_await_new(weft_val_done(i)), i);
    }
    for (int i = 0; i < n / 10; i++) {
        struct visitor visitor = {.gate = &gate};
        weft_val end = weft_frame_v(visit, &visitor);
        weft_sem_release(&gate, 1);
        wt_eq(weft_val_await(end), 0);
    }
    weft_sem_fini(&gate);
}

static void all(int n)
{
    values_and_frames(n / 100);
    spawn_and_await(n);
    yield(n);
    go(n / 10);
    fail(n / 10);
    ping_pong(n / 10);
    two_take_locks(n / 20);
    deadlines(n / 100);
    fork_and_join(n);
}

#define N (1000000 / SCALE)

static int warm_up_and_measure(void *arg)
{
    (void)arg;
    weft_stats before;
    weft_stats after;
    all(N); /* as much as is measured: the bounds of queues are reached */
    weft_stats_get(weft_rt_current(), &before);
    long allocations_before = atomic_load(&allocations);
    all(N);
    wt_eq(atomic_load(&allocations), allocations_before);
    weft_stats_get(weft_rt_current(), &after);
    wt_eq(after.slab_chunks, before.slab_chunks);
    wt_eq(after.stacks, before.stacks);
    return 0;
}

Test(steady, on_one_worker_nothing_is_allocated_once_warm, .timeout = 400)
{
    wt_eq(weft_run(warm_up_and_measure, NULL, .workers = 1), 0);
}

/* With more workers a burst may land on one that was not yet warm; but it stays bounded. */
static int warm_up_and_bound(void *arg)
{
    (void)arg;
    weft_stats after;
    all(N); /* as much as is measured: the bounds of queues are reached */
    long allocations_before = atomic_load(&allocations);
    all(N);
    wt_eq(atomic_load(&allocations), allocations_before);
    weft_stats_get(weft_rt_current(), &after);
    wt_lt(after.slab_chunks, 300);
    wt_lt(after.stacks, 500);
    return 0;
}

Test(steady, on_several_workers_malloc_is_not_called_and_pools_stay_bounded, .timeout = 240)
{
    wt_eq(weft_run(warm_up_and_bound, NULL, .workers = 2), 0);
    wt_eq(weft_run(warm_up_and_bound, NULL, .workers = 4), 0);
}

/* --- TCP -------------------------------------------------------------------------------------- */

#define CONNECTIONS 64

/* Both ends of each connection are tasks of the same runtime: what one waits for, another does. */
struct echo {
    int listener;
    struct sockaddr_in address;
    struct client {
        int fd;
        int rounds;
        weft_task task;
    } clients[CONNECTIONS];
};

WEFT_TASK(serve_connection, int)
{
    char buffer[64];
    ssize_t n;
    while ((n = weft_recv(*arg, buffer, sizeof buffer, 0)) > 0) { /* ends with the connection */
        wt_eq(weft_send_all(*arg, buffer, (size_t)n, 0), n);
    }
    wt_eq(n, 0);
    return weft_close(*arg);
}

static int trade(void *arg)
{
    struct client *client = arg;
    for (int i = 0; i < client->rounds; i++) {
        int64_t sent[8] = {i, client->fd, i ^ client->fd};
        int64_t received[8];
        wt_eq(weft_send_all(client->fd, sent, sizeof sent, 0), (ssize_t)sizeof sent);
        wt_eq(weft_recv(client->fd, received, sizeof received, MSG_WAITALL),
              (ssize_t)sizeof received);
        wt_mem_eq(received, sent, sizeof sent);
    }
    return 0;
}

/* At least n requests, each answered before its connection's next. */
static void round_trips(struct echo *echo, int n)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        echo->clients[i].rounds = n / CONNECTIONS + 1;
        weft_spawn(&echo->clients[i].task, trade, &echo->clients[i]);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        wt_eq(weft_await(&echo->clients[i].task), 0);
    }
}

static void listen_on_loopback(struct echo *echo)
{
    socklen_t bytes = sizeof echo->address;
    echo->address = (struct sockaddr_in){.sin_family = AF_INET};
    echo->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    echo->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_ge(echo->listener, 0);
    wt_eq(bind(echo->listener, (struct sockaddr *)&echo->address, bytes), 0);
    wt_eq(listen(echo->listener, CONNECTIONS), 0);
    wt_eq(getsockname(echo->listener, (struct sockaddr *)&echo->address, &bytes), 0);
}

struct plan {
    int workers;
    int round_trips;
};

static int echo_without_allocations(void *arg)
{
    const struct plan *plan = arg;
    struct echo echo;
    listen_on_loopback(&echo);
    WEFT_SCOPE(servers);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct client *client = &echo.clients[i];
        client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        wt_ge(client->fd, 0);
        wt_eq(weft_connect(client->fd, (struct sockaddr *)&echo.address, sizeof echo.address), 0);
        int fd = weft_accept(echo.listener, NULL, NULL, 0);
        wt_ge(fd, 0);
        wt_eq(weft_go(&servers, serve_connection, &fd), 0);
    }
    weft_stats before;
    weft_stats after;
    round_trips(&echo, plan->round_trips / 10);
    weft_stats_get(weft_rt_current(), &before);
    long allocations_before = atomic_load(&allocations);
    round_trips(&echo, plan->round_trips);
    wt_eq(atomic_load(&allocations), allocations_before);
    weft_stats_get(weft_rt_current(), &after);
    wt_eq(after.slab_chunks, before.slab_chunks);
    /* A worker that steals its first task late needs its first stacks late. */
    wt_le(after.stacks, before.stacks + (plan->workers == 1 ? 0 : 50));
    for (int i = 0; i < CONNECTIONS; i++) {
        weft_close(echo.clients[i].fd);
    }
    weft_close(echo.listener);
    return weft_scope_end(&servers);
}

static void check_echo(struct plan plan)
{
    wt_eq(weft_run(echo_without_allocations, &plan, .workers = plan.workers), 0);
}

Test(steady, a_million_echo_round_trips_on_one_worker_allocate_nothing, .timeout = 400)
{
    check_echo((struct plan){.workers = 1, .round_trips = N});
}

Test(steady, echo_round_trips_on_several_workers_allocate_nothing, .timeout = 400)
{
    check_echo((struct plan){.workers = 2, .round_trips = N / 10});
}

Test(steady, the_counter_counts)
{
    long before = atomic_load(&allocations);
    void *volatile memory = malloc(100);
    free(memory);
    if (SCALE == 1) {
        wt_eq(atomic_load(&allocations), before + 1);
    }
}
