/* loop.c: a pool whose one worker runs when its host calls. */
#include "pool/loop.h"
#include "pool/base/sys.h"
#include <unistd.h>

static struct wf_loop *loop_of(struct wf_driver *driver)
{
    return wf_container_of(driver, struct wf_loop, driver);
}

static int loop_open(struct wf_driver *driver, int workers)
{
    (void)workers;
    struct wf_loop *loop = loop_of(driver);
    loop->wake_fd = wf_sys.eventfd();
    return loop->wake_fd < 0 ? loop->wake_fd : 0;
}

static void loop_close(struct wf_driver *driver)
{
    (void)wf_sys.close(loop_of(driver)->wake_fd);
}

static void loop_worker_nothing(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver, (void)worker;
}

static bool loop_is_due(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver, (void)worker;
    return false;
}

static int loop_poll(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver, (void)worker;
    return 0;
}

/* On the host's stack: the loop's is saved. */
static void after_sleep(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)now;
    ((struct wf_loop *)arg)->resting = before;
}

static void loop_sleep(struct wf_driver *driver, struct wf_worker *worker, int64_t deadline_ns)
{
    struct wf_loop *loop = loop_of(driver);
    loop->deadline_ns = deadline_ns;
    wf_fiber_switch(wf_self(), &worker->home, after_sleep, loop);
}

static void loop_wake(struct wf_driver *driver, int worker_index)
{
    (void)worker_index;
    uint64_t one = 1;
    /* a counter that is full is readable all the same */
    ssize_t ignored = write(loop_of(driver)->wake_fd, &one, sizeof one);
    (void)ignored;
}

static const struct wf_driver_ops loop_driver_ops = {
    .name = "loop",
    .open = loop_open,
    .close = loop_close,
    .worker_begin = loop_worker_nothing,
    .worker_end = loop_worker_nothing,
    .is_due = loop_is_due,
    .poll = loop_poll,
    .sleep = loop_sleep,
    .wake = loop_wake,
};

int wf_loop_init(struct wf_loop *loop, void *runtime)
{
    *loop = (struct wf_loop){.driver = {.ops = &loop_driver_ops}, .deadline_ns = INT64_MAX};
    int rc = wf_pool_start_hosted(&loop->pool, &loop->driver, runtime);
    if (rc < 0) {
        return rc;
    }
    struct wf_worker *worker = &loop->pool->workers[0];
    loop->resting = wf_fiber_take(&worker->stacks); /* wf_pool_start_hosted has reserved it */
    wf_fiber_start(loop->resting, wf_worker_loop);
    loop->resting->resume.run = wf_fiber_run_resume;
    wf_park_announce(&loop->pool->park, 0); /* so that the first work wakes the host */
    return 0;
}

int wf_loop_run(struct wf_loop *loop)
{
    struct wf_worker *worker = &loop->pool->workers[0];
    if (!loop->begun) {
        loop->begun = true;
        wf_park_retract(&loop->pool->park, 0);
    }
    uint64_t wakes;
    ssize_t ignored =
        read(loop->wake_fd, &wakes, sizeof wakes); /* before we look: G.1 of driver.h */
    (void)ignored;
    uint64_t before = wf_load_relaxed(&worker->counters.runs); /* relaxed: our own thread's */
    wf_fiber_home_init(&worker->home);
    worker->home.worker = worker;
    struct wf_deque *outer = wf_thread_deque(&worker->deque);
    /* returns from loop_sleep, on this thread */
    wf_fiber_switch(&worker->home, loop->resting, NULL, NULL);
    (void)wf_thread_deque(outer);
    return (int)(wf_load_relaxed(&worker->counters.runs) - before); /* relaxed: as above */
}

int64_t wf_loop_next_ns(struct wf_loop *loop)
{
    int64_t timer_ns = wf_wheel_next_ns(&loop->pool->workers[0].wheel);
    return timer_ns < loop->deadline_ns ? timer_ns : loop->deadline_ns;
}

void wf_loop_stop(struct wf_loop *loop)
{
    /* the loop's frame holds nothing: it is abandoned where it rests */
    wf_fiber_give(&loop->pool->workers[0].stacks, loop->resting);
    wf_pool_rest_hosted(loop->pool);
}

void wf_loop_fini(struct wf_loop *loop)
{
    wf_pool_free(loop->pool);
}
