/* In the child of fork(2) no call waits for a lock that a thread of the parent held when it
 * forked. */
#include "pool/base/lock.h"
#include "tests/support/wt.h"
#include <sys/wait.h>
#include <unistd.h>
#include <weft/weft.h>

static int open_it(void *item, void *ctx)
{
    (void)item, (void)ctx;
    return 0;
}

static void close_it(void *item, void *ctx)
{
    (void)item, (void)ctx;
}

struct objects {
    weft_sem sem;
    weft_mutex mutex;
    weft_rwlock rwlock;
    weft_event event;
    weft_latch latch;
    weft_barrier barrier;
    weft_ticker ticker;
    weft_flight flight;
    weft_chan *chan;
    weft_watch *watch;
    weft_bcast *bcast;
    weft_reuse *reuse;
};

static void make(struct objects *o)
{
    weft_sem_init(&o->sem, 1, 0);
    weft_mutex_init(&o->mutex);
    weft_rwlock_init(&o->rwlock);
    weft_event_init(&o->event, WEFT_EVENT_MANUAL);
    weft_latch_init(&o->latch, 1);
    weft_barrier_init(&o->barrier, 2);
    weft_ticker_init(&o->ticker, WEFT_SEC(1));
    weft_flight_init(&o->flight, 8);
    wt_eq(weft_chan_new(&o->chan, 1, 4), 0);
    wt_eq(weft_watch_new(&o->watch, 1, ""), 0);
    wt_eq(weft_bcast_new(&o->bcast, 1, 4), 0);
    weft_reuse_opts opts = {.max = 1, .item_bytes = 1, .open = open_it, .close = close_it};
    wt_eq(weft_reuse_new(&o->reuse, &opts), 0);
}

/* Each begins with its lock. */
static void for_each_lock(struct objects *o, void (*do_it)(struct wf_lock *lock))
{
    void *all[] = {&o->sem,    &o->mutex,  &o->rwlock, &o->event, &o->latch, &o->barrier,
                   &o->ticker, &o->flight, o->chan,    o->watch,  o->bcast,  o->reuse};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        do_it(all[i]);
    }
}

static void end(struct objects *o)
{
    weft_sem_fini(&o->sem);
    weft_mutex_fini(&o->mutex);
    weft_rwlock_fini(&o->rwlock);
    weft_event_fini(&o->event);
    weft_latch_fini(&o->latch);
    weft_barrier_fini(&o->barrier);
    weft_ticker_fini(&o->ticker);
    weft_flight_fini(&o->flight);
    weft_chan_free(o->chan);
    weft_watch_free(o->watch);
    weft_bcast_free(o->bcast);
    weft_reuse_free(o->reuse);
}

static void look_and_end(struct objects *o)
{
    char value;
    wt_true(weft_mutex_owner(&o->mutex) == NULL);
    wt_true(weft_rwlock_writer(&o->rwlock) == NULL);
    wt_eq(weft_watch_get(o->watch, &value), 0);
    weft_bcast_reader reader;
    weft_bcast_join(o->bcast, &reader);
    wt_eq(weft_bcast_try_recv(&reader, &value, NULL), -ENOSYS);
    weft_reuse_stats stats;
    weft_reuse_stats_get(o->reuse, &stats);
    wt_eq(stats.leased, 0);
    end(o);
}

static void lock(struct wf_lock *lock)
{
    wf_lock(lock);
}

static void unlock(struct wf_lock *lock)
{
    wf_unlock(lock);
}

Test(forked, looking_at_and_ending_objects_waits_for_nobody)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    struct objects objects;
    make(&objects);
    for_each_lock(&objects, lock); /* as a thread that is inside when another forks */
    pid_t pid = fork();
    if (pid == 0) {
        alarm(10);
        look_and_end(&objects);
        _exit(0);
    }
    for_each_lock(&objects, unlock);
    int status;
    wt_eq(waitpid(pid, &status, 0), pid);
    wt_true(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
    end(&objects);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(10), WEFT_SEC(10)), 0);
    weft_rt_free(rt);
}
