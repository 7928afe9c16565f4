/* pool.c: start and stop of the workers.
 *
 * Start acquires in order, and undoes in reverse when something is refused: stacks, memory, driver,
 * threads. Whatever can fail fails here, before any work is accepted, except that more stacks may
 * be refused later (worker.h, G.4). */
#include "pool/light.h"
#include "pool/overflow.h"
#include "pool/base/sys.h"
#include <errno.h>
#include <sched.h>

/* An idle worker searches this long before it sleeps: about what it costs to wake a halted core on
 * a virtual machine (20 to 50 us), so that it never loses more than twice the best. 0 when workers
 * outnumber processors: the searcher would only keep from running what it searches for. With one
 * worker it still looks for completions. */
#define WF_SPIN_NS INT64_C(20000)

/* Works beyond the rings that wait without being linked, which are slow to go through: 1 MiB of
 * address space, of which nothing is touched before. */
#define INJECT_STORED (1u << 17)

/* Task frames: struct and argument. 256 takes an argument of 64 bytes; the largest takes
 * WEFT_GO_ARG_MAX. */
static const size_t frame_bytes[WF_FRAME_CLASSES] = {256, 512, 1280};
/* Pooled completions, without and with an operation of the kernel: src/value.h. */
static const size_t value_bytes[WF_VALUE_CLASSES] = {128, 256, 384};

struct wf_pool_hooks wf_pool_hooks;

static void worker_init(struct wf_pool *pool, int index, void *runtime)
{
    struct wf_worker *worker = &pool->workers[index];
    wf_deque_init(&worker->deque, &pool->thieves);
    wf_runq_init(&worker->runq);
    worker->watch_ns = WF_WATCH_MIN_NS;
    wf_patience_init(&worker->patience, pool->patience_ns);
    worker->pool = pool;
    worker->driver = pool->driver;
    worker->index = (uint32_t)index;
    worker->peers = (uint32_t)pool->worker_count - 1;
    worker->runtime = runtime;
    wf_worker_init_pin(worker);
    wf_rng_seed(&worker->rng, (uint64_t)index + 1);
    wf_wheel_init(&worker->wheel, &pool->crowd, wf_sys.now_ns());
    for (int i = 0; i < WF_FRAME_CLASSES; i++) {
        wf_slab_init(&worker->frames[i], frame_bytes[i], WF_SLAB_CHUNKS_NOMAX);
    }
    wf_slab_init(&worker->errors, WF_ERROR_BYTES, WF_SLAB_CHUNKS_NOMAX);
    for (int i = 0; i < WF_VALUE_CLASSES; i++) {
        wf_slab_init(&worker->values[i], value_bytes[i], WF_SLAB_CHUNKS_NOMAX);
        wf_slab_keep_readable(&worker->values[i]);
    }
}

static void worker_fini(struct wf_worker *worker)
{
    wf_slab_give_held(&worker->given);
    for (int i = 0; i < WF_FRAME_CLASSES; i++) {
        wf_slab_fini(&worker->frames[i]);
    }
    wf_slab_fini(&worker->errors);
    for (int i = 0; i < WF_VALUE_CLASSES; i++) {
        wf_slab_fini(&worker->values[i]);
    }
}

/* The shortest that Linux gives. A worker that wakes where another thread computes has its turn
 * when the wait is longer than this, not than some ms: it may be the one that takes over what a
 * busy worker has under way. Two workers in a mixed load, 99th percentile of the short requests 3.2
 * ms and 2.3 (ADR 0022). */
#define WF_SLICE_NS INT64_C(100000)

static void *worker_thread(void *arg)
{
    struct wf_worker *worker = arg;
    struct wf_signal_stack signal_stack;
    /* refused: an overflow ends the process without a message */
    (void)wf_signal_stack_open(&signal_stack);
    (void)wf_sys.thread_slice(WF_SLICE_NS); /* refused: it waits longer */
    wf_fiber_home_init(&worker->home);
    worker->home.worker = worker;
    (void)wf_thread_deque(&worker->deque);
    worker->search_ns = worker->pool->spin_ns;
    worker->driver->ops->worker_begin(worker->driver, worker);
    struct wf_fiber *first = wf_fiber_take(&worker->stacks);
    wf_fiber_start(first, wf_worker_loop);
    first->resume.run = wf_fiber_run_resume;
    /* returns when the pool stops, on this thread */
    wf_fiber_switch(&worker->home, first, NULL, NULL);
    (void)wf_thread_deque(NULL);
    worker->driver->ops->worker_end(worker->driver, worker);
    wf_stack_cache_drain(&worker->stacks);
    wf_signal_stack_close(&signal_stack);
    return NULL;
}

/* Two stacks for each worker before it starts: one to run on, one spare. */
static int reserve_stacks(struct wf_worker *worker)
{
    struct wf_fiber *first = wf_fiber_take(&worker->stacks);
    struct wf_fiber *second = wf_fiber_take(&worker->stacks);
    if (second != NULL) {
        wf_fiber_give(&worker->stacks, second);
    }
    if (first != NULL) {
        wf_fiber_give(&worker->stacks, first);
    }
    return second != NULL ? 0 : -ENOMEM;
}

static void end_threads(struct wf_pool *pool)
{
    /* sync(pool.stop): release, whatever the stopper did is seen by the workers' last turns; pairs
     * sync(pool.look) */
    wf_store_release(&pool->stopping, 1);
    for (int i = 0; i < pool->workers_begun; i++) {
        /* Not a claim: a worker may be about to sleep. An unneeded wake is harmless (driver.h,
         * G.1). */
        pool->driver->ops->wake(pool->driver, i);
    }
    for (int i = 0; i < pool->workers_begun; i++) {
        (void)wf_sys.thread_join(pool->threads[i]);
    }
}

static void free_memory(struct wf_pool *pool)
{
    wf_sys.release(pool->store);
    wf_sys.release(pool->threads);
    wf_sys.release(pool->workers);
    wf_sys.release(pool);
}

static void release(struct wf_pool *pool)
{
    for (int i = 0; i < pool->worker_count; i++) {
        wf_stack_cache_drain(&pool->workers[i].stacks);
        worker_fini(&pool->workers[i]);
    }
    free_memory(pool);
}

static struct wf_pool *allocate(int workers)
{
    struct wf_pool *pool = wf_sys_alloc_zeroed(WF_LINE_PAIR, sizeof *pool);
    if (pool == NULL) {
        return NULL;
    }
    pool->workers = wf_sys_alloc_zeroed(WF_LINE_PAIR, sizeof *pool->workers * (size_t)workers);
    pool->threads = wf_sys.alloc(WF_LINE, sizeof *pool->threads * (size_t)workers);
    pool->store = wf_sys.alloc(WF_LINE, INJECT_STORED * sizeof *pool->store);
    if (pool->store == NULL || pool->workers == NULL || pool->threads == NULL) {
        free_memory(pool);
        return NULL;
    }
    pool->worker_count = workers;
    return pool;
}

static int begin_threads(struct wf_pool *pool)
{
    for (int i = 0; i < pool->worker_count; i++) {
        int rc = wf_sys.thread_start(&pool->threads[i], worker_thread, &pool->workers[i]);
        if (rc < 0) {
            return rc;
        }
        pool->workers_begun++;
    }
    return 0;
}

static int64_t patience_of(const struct wf_driver *driver)
{
    if (driver->patience_ns == 0) {
        return WF_PATIENCE_NS;
    }
    return driver->patience_ns > 0 ? driver->patience_ns : 0;
}

/* Everything but threads. */
static int prepare(struct wf_pool **out, int workers, struct wf_driver *driver, void *runtime)
{
    *out = NULL;
    int rc = wf_stacks_open(WF_STACKS_MAX);
    if (rc < 0) {
        return rc;
    }
    struct wf_pool *pool = allocate(workers);
    if (pool == NULL) {
        rc = -ENOMEM;
        goto close_stacks;
    }
    pool->driver = driver;
    pool->patience_ns = patience_of(driver);
    wf_inject_init(&pool->inject);
    wf_inject_give_store(&pool->inject, pool->store, INJECT_STORED);
    bool can_fence = workers > 1 && wf_sys_prepare_fences();
    wf_watchers_init(&pool->watchers, workers, can_fence);
    wf_thieves_init(&pool->thieves, workers == 1 || can_fence);
    (void)wf_park_init(&pool->park, workers); /* the caller has checked the number */
    for (int i = 0; i < workers; i++) {
        worker_init(pool, i, runtime);
    }
    for (int i = 0; i < workers && rc == 0; i++) {
        rc = reserve_stacks(&pool->workers[i]);
    }
    if (rc < 0) {
        goto release_pool;
    }
    rc = driver->ops->open(driver, workers);
    if (rc < 0) {
        goto release_pool;
    }
    *out = pool;
    return 0;

release_pool:
    release(pool);
close_stacks:
    wf_stacks_close();
    return rc;
}

int wf_pool_start(struct wf_pool **out, int workers, struct wf_driver *driver, void *runtime)
{
    int rc = prepare(out, workers, driver, runtime);
    if (rc < 0) {
        return rc;
    }
    struct wf_pool *pool = *out;
    int cpus = wf_sys_cpu_count();
    pool->surplus = workers > cpus ? workers - cpus : 0;
    pool->spin_ns = cpus > 1 && workers <= cpus ? WF_SPIN_NS : 0;
    if (pool->spin_ns > pool->patience_ns) { /* who wants no processor burned wants none burned */
        pool->spin_ns = pool->patience_ns;
    }
    rc = begin_threads(pool);
    if (rc < 0) {
        *out = NULL;
        end_threads(pool);
        driver->ops->close(driver);
        release(pool);
        wf_stacks_close();
    }
    return rc;
}

/* The last foreign thread has left the pool. */
static void wait_for_foreigners(struct wf_pool *pool)
{
    /* sync(pool.empty): acquire, the last foreign thread has left the pool; pairs
     * sync(pool.left) */
    /* ends: each is on its way out, after at most one wake */
    while (wf_load_acquire(&pool->inject.visitors) != 0) {
        sched_yield();
    }
}

int wf_pool_start_hosted(struct wf_pool **out, struct wf_driver *driver, void *runtime)
{
    return prepare(out, 1, driver, runtime);
}

void wf_pool_rest_hosted(struct wf_pool *pool)
{
    wait_for_foreigners(pool);
    wf_stack_cache_drain(&pool->workers[0].stacks);
    pool->driver->ops->close(pool->driver);
}

void wf_pool_stop(struct wf_pool *pool)
{
    wait_for_foreigners(pool);
    end_threads(pool);
    pool->driver->ops->close(pool->driver);
}

void wf_pool_free(struct wf_pool *pool)
{
    release(pool);
    wf_stacks_close();
}
