/* deadlock.c: notices that no task of a runtime can ever go on, and ends that.
 *
 * Called by the last worker that is about to sleep. Nothing will ever come if: every worker is
 * parked, none is called, and no inbox has a message; no timer is armed; the kernel has no
 * operation of ours; no blocking call runs; no loop lends itself a thread of the program; a foreign
 * thread waits in weft_call; and the process has no other thread that could wake a task. All of
 * this holds still once it holds, because only these could change it. The last point is found by
 * counting: the threads of the process, less those that the kernel made for io_uring and those that
 * are ending, are our workers, our idle blocking threads (the driver's, too), and those that wait
 * in weft_call. With any other thread (a second runtime, the program's own, a sanitizer's) nothing
 * is certain and nothing is done. A signal handler that would wake a task counts as nobody: such a
 * program keeps a timer or a descriptor waiting, or says `.deadlock = WEFT_DEADLOCK_OFF`.
 *
 * Then the waits are written to stderr, and the root scope is cancelled, so that what can be
 * cancelled ends with -ECANCELED, and weft_call, weft_run return -EDEADLK. If that does not help
 * (tasks that await each other), the process is aborted: it would hang for ever. */
#include "io/io.h"
#include "pool/blocking.h"
#include "src/core.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Timers, messages, operations. An operation that has ended is under way until its task is
 * ready. */
static bool is_anything_under_way(weft_rt *rt)
{
    struct wf_pool *pool = rt->pool;
    uint64_t submitted = 0, handed = 0;
    for (int i = 0; i < pool->worker_count; i++) {
        /* relaxed: the fence orders it */
        handed += wf_load_relaxed(&pool->workers[i].counters.ops_handed);
    }
    /* sync(deadlock.handed): seq_cst, what was handed over by then was submitted by then; pairs
     * sync(worker.up) */
    wf_fence_seq_cst();
    for (int i = 0; i < pool->worker_count; i++) {
        struct wf_worker *worker = &pool->workers[i];
        submitted += wf_load_relaxed(&worker->counters.ops_submitted); /* relaxed: see is_stuck */
        /* sync(worker.look): acquire, a message that is gone was taken by a worker that we see
         * awake; pairs sync(worker.post), sync(worker.collect) */
        if (wf_wheel_next_ns(&worker->wheel) != INT64_MAX ||
            wf_load_acquire(&worker->inbox) != NULL) {
            return true;
        }
    }
    return submitted != handed || wf_load_relaxed(&rt->loops_open) != 0; /* relaxed: a count */
}

/* Ready tasks, of workers that look parked because they have but begun to wake up. */
static bool is_anything_queued(struct wf_pool *pool)
{
    for (int i = 0; i < pool->worker_count; i++) {
        struct wf_worker *worker = &pool->workers[i];
        if (wf_deque_len(&worker->deque) != 0 || wf_runq_len(&worker->runq) != 0) {
            return true;
        }
    }
    return wf_inject_has(&pool->inject);
}

/* Grows whenever a worker stops being parked. */
static uint64_t count_ups(struct wf_pool *pool)
{
    uint64_t sum = 0;
    for (int i = 0; i < pool->worker_count; i++) {
        sum += wf_load_relaxed(&pool->workers[i].counters.ups); /* relaxed: the caller's fences */
    }
    return sum;
}

/* In the flags that the kernel shows: it runs no more of the program's code (PF_EXITING). */
#define FLAG_EXITING 4u

/* May a thread of this process, as /proc/self/task/ID/stat has it, wake a task? Not one that the
 * kernel made for io_uring, nor one of ours that has nothing left to do. */
static bool may_wake(const char *stat)
{
    static const char ring[] = "(iou-", ends[] = "(" WF_BLOCKING_ENDS ")";
    const char *name = strchr(stat, '(');
    const char *rest = strrchr(stat, ')'); /* a name may have some, too */
    if (name == NULL || rest == NULL) {
        return true;
    }
    unsigned flags = 0;
    return strncmp(name, ring, strlen(ring)) != 0 && strncmp(name, ends, strlen(ends)) != 0 &&
           (sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1 ||
            (flags & FLAG_EXITING) == 0);
}

static bool may_thread_wake(const char *id)
{
    char path[64], stat[256];
    (void)snprintf(path, sizeof path, "/proc/self/task/%.16s/stat", id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno != ENOENT; /* it has gone */
    }
    ssize_t n = read(fd, stat, sizeof stat - 1);
    int error = errno;
    (void)close(fd);
    if (n < 0) {
        return error != ESRCH; /* likewise */
    }
    stat[n] = '\0';
    return may_wake(stat);
}

/* Threads of this process that may wake a task; -1: they cannot be counted. */
static int count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        return -1;
    }
    int count = 0;
    const struct dirent *entry;
    while ((entry = readdir(tasks)) != NULL) { /* ends: the directory's end */
        count += entry->d_name[0] != '.' && may_thread_wake(entry->d_name);
    }
    (void)closedir(tasks);
    return count;
}

/* -1: a blocking call runs. */
static int count_idle_threads(weft_rt *rt)
{
    struct wf_blocking *of_driver = wf_io_driver_blocking(rt->driver);
    int idle = wf_blocking_idle_threads(rt->blocking);
    int own = wf_blocking_idle_threads(rt->own_blocking);
    int idle_of_driver = of_driver != NULL ? wf_blocking_idle_threads(of_driver) : 0;
    return idle < 0 || own < 0 || idle_of_driver < 0 ? -1 : idle + own + idle_of_driver;
}

/* Is it certain that nobody else can wake a task? */
static bool are_all_threads_known(weft_rt *rt, int callers)
{
    for (;;) { /* ends: whoever has been idle for long ends but once, and nobody begins */
        int idle = count_idle_threads(rt);
        if (idle < 0) {
            return false;
        }
        if (rt->deadlock == WEFT_DEADLOCK_ALWAYS) {
            return true;
        }
        int threads = count_threads();
        if (count_idle_threads(rt) == idle) {
            return threads == rt->pool->worker_count + idle + callers;
        }
    }
}

/* Relaxed, all: only a worker that is about to sleep asks, and whoever changes any of it makes work
 * ready afterwards, and wakes us. */
static bool is_stuck(weft_rt *rt)
{
    /* sync(deadlock.quiet): seq_cst, what the others did before they announced their sleep, which
     * we have seen; pairs sync(park.announce) */
    wf_fence_seq_cst();
    int callers = (int)wf_load_relaxed(&rt->callers);
    bool live = wf_runtime_count(rt) > 0;
    /* sync(deadlock.look): seq_cst, a call that we see in the scope is seen entering, or has queued
     * its task; pairs sync(deadlock.enter) */
    wf_fence_seq_cst();
    uint64_t ups = count_ups(rt->pool);
    /* sync(deadlock.ups): seq_cst, between two looks at all workers, each parked, with
     * the same count before and after, nobody was awake; pairs sync(worker.up) */
    wf_fence_seq_cst();
    bool stuck = wf_park_all(&rt->pool->park) && live && callers > 0 &&
                 wf_load_relaxed(&rt->entering) == 0 && !is_anything_under_way(rt) &&
                 are_all_threads_known(rt, callers) && wf_load_relaxed(&rt->entering) == 0 &&
                 !is_anything_queued(rt->pool);
    /* sync(deadlock.again): seq_cst, whoever has taken what we did not find looks awake, or has
     * been since; pairs sync(worker.up) */
    wf_fence_seq_cst();
    stuck = stuck && wf_park_all(&rt->pool->park);
    /* sync(deadlock.parked): acquire, a worker that we see parked has counted its last waking
     * before; pairs sync(worker.up) */
    wf_fence_acquire();
    return stuck && count_ups(rt->pool) == ups;
}

static void say(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text)); /* what cannot be said is lost */
    (void)ignored;
}

enum stage {
    WATCHING, /* nothing has happened yet */
    FIRING,   /* a worker cancels the root scope */
    FIRED,    /* it has */
};

static void say_what_waits(struct wf_pool *pool, const char *headline)
{
    say(headline);
    (void)wf_dump_waits(pool->workers[0].runtime, STDERR_FILENO);
}

static void cancel_all(struct wf_pool *pool)
{
    weft_rt *rt = pool->workers[0].runtime;
    int saved = errno; /* of the worker's thread: nobody's */
    say_what_waits(pool, "weft: deadlock: nothing that any task waits for can happen\n");
    say("weft: the tasks are cancelled; weft_run, weft_call give -EDEADLK\n");
    errno = saved;
    weft_reason reason = wf_reason(WEFT_WHY_DEADLOCK, "deadlock", rt->root.place);
    (void)wf_scope_fire(&rt->root, WF_CANCEL_FIRED, &reason);
    /* sync(deadlock.fired): release, who sees it sees us awake, with what was made ready in our
     * queue; pairs sync(deadlock.stage) */
    wf_store_release(&rt->deadlocked, FIRED);
}

static void end_process(struct wf_pool *pool)
{
    say_what_waits(pool, "weft: and these cannot be cancelled\n");
    abort();
}

/* Two that go to sleep at the same time may both find that they are the last: one of them acts. */
wf_stood_still_fn *wf_runtime_stands_still(struct wf_pool *pool)
{
    weft_rt *rt = pool->workers[0].runtime;
    if (rt == NULL || rt->pool != pool || rt->deadlock == WEFT_DEADLOCK_OFF) {
        return NULL;
    }
    /* sync(deadlock.stage): acquire, the worker that cancelled is seen awake until it sleeps again;
     * pairs sync(deadlock.fired) */
    uint32_t stage = wf_load_acquire(&rt->deadlocked);
    if (stage == FIRING || !is_stuck(rt)) {
        return NULL;
    }
    if (stage == FIRED) {
        return end_process;
    }
    /* relaxed: read by those whom the cancellation wakes */
    return wf_cas_relaxed(&rt->deadlocked, &stage, FIRING) ? cancel_all : NULL;
}
