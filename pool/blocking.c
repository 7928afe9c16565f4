/* blocking.c: see blocking.h. One lock; idle threads sleep on one futex word that counts the
 * requests ever made. */
#include "pool/blocking.h"
#include "pool/base/check.h"
#include "pool/base/lock.h"
#include "pool/base/sys.h"
#include <errno.h>
#include <string.h>

struct blocking_thread {
    struct wf_blocking *blocking; /* NULL: this place is free */
    pthread_t id;
};

struct wf_blocking {
    struct wf_lock lock;
    /* under lock */
    struct wf_blocking_request *oldest, *newest;
    int waiting; /* requests in the queue */
    int idle;    /* threads that sleep; those woken for a request in the queue are still counted */
    bool ending;
    WF_ATOMIC(uint32_t) requests; /* futex: idle threads sleep while it does not change */
    int threads_max;              /* immutable */
    struct blocking_thread threads[];
};

struct wf_blocking *wf_blocking_new(int threads_max)
{
    size_t bytes =
        sizeof(struct wf_blocking) + (size_t)threads_max * sizeof(struct blocking_thread);
    struct wf_blocking *blocking = wf_sys.alloc(WF_LINE, (bytes + WF_LINE - 1) / WF_LINE * WF_LINE);
    if (blocking != NULL) {
        memset(blocking, 0, bytes);
        blocking->threads_max = threads_max;
    }
    return blocking;
}

static struct wf_blocking_request *pop_locked(struct wf_blocking *blocking)
{
    struct wf_blocking_request *request = blocking->oldest;
    if (request != NULL) {
        blocking->waiting--;
        blocking->oldest = request->next;
        if (blocking->oldest == NULL) {
            blocking->newest = NULL;
        }
    }
    return request;
}

/* Waits for a request. NULL: the thread is to end; its place is free unless the pool is ending and
 * will join it. */
static struct wf_blocking_request *next_request(struct wf_blocking *blocking,
                                                struct blocking_thread *thread)
{
    wf_lock(&blocking->lock);
    struct wf_blocking_request *request = pop_locked(blocking);
    int64_t give_up_ns = wf_sys.now_ns() + WF_BLOCKING_IDLE_NS;
    while (request == NULL && !blocking->ending) { /* ends: a request comes, or the time is over */
        uint32_t seen = wf_load_relaxed(&blocking->requests); /* relaxed: written under the lock */
        blocking->idle++;
        wf_unlock(&blocking->lock);
        int rc = wf_sys.futex_wait(&blocking->requests, seen, give_up_ns);
        wf_lock(&blocking->lock);
        blocking->idle--;
        request = pop_locked(blocking);
        if (request == NULL && rc == -ETIMEDOUT && !blocking->ending) {
            thread->blocking = NULL;
            pthread_detach(thread->id);
            break;
        }
    }
    wf_unlock(&blocking->lock);
    return request;
}

static void *blocking_thread(void *arg)
{
    struct blocking_thread *thread = arg;
    struct wf_blocking *blocking = thread->blocking;
    struct wf_blocking_request *request;
    while ((request = next_request(blocking, thread)) != NULL) {
        request->result = request->call(request->arg);
        request->done(request); /* LAST TOUCH */
    }
    return NULL;
}

/* Under the lock: a thread for one more request, unless an idle one can have it. Whether any thread
 * exists. */
static bool provide_thread_locked(struct wf_blocking *blocking)
{
    if (blocking->idle > blocking->waiting) {
        return true;
    }
    bool any = false;
    for (int i = 0; i < blocking->threads_max; i++) {
        struct blocking_thread *thread = &blocking->threads[i];
        if (thread->blocking != NULL) {
            any = true;
            continue;
        }
        thread->blocking = blocking;
        if (wf_sys.thread_start(&thread->id, blocking_thread, thread) == 0) {
            return true;
        }
        thread->blocking = NULL; /* refused: a busy thread will come to it, if there is one */
        for (i++; i < blocking->threads_max && !any; i++) {
            any = blocking->threads[i].blocking != NULL;
        }
        return any;
    }
    return any;
}

int wf_blocking_submit(struct wf_blocking *blocking, struct wf_blocking_request *request)
{
    request->next = NULL;
    wf_lock(&blocking->lock);
    if (!provide_thread_locked(blocking)) {
        wf_unlock(&blocking->lock);
        return -EAGAIN;
    }
    if (blocking->newest != NULL) {
        blocking->newest->next = request;
    } else {
        blocking->oldest = request;
    }
    blocking->newest = request;
    blocking->waiting++;
    bool wake = blocking->idle > 0;
    /* relaxed: under the lock */
    wf_store_relaxed(&blocking->requests, wf_load_relaxed(&blocking->requests) + 1);
    wf_unlock(&blocking->lock);
    if (wake) {
        (void)wf_sys.futex_wake(&blocking->requests, 1);
    }
    return 0;
}

void wf_blocking_free(struct wf_blocking *blocking)
{
    if (blocking == NULL) {
        return;
    }
    wf_lock(&blocking->lock);
    blocking->ending = true;
    /* relaxed: under the lock */
    wf_store_relaxed(&blocking->requests, wf_load_relaxed(&blocking->requests) + 1);
    wf_unlock(&blocking->lock);
    (void)wf_sys.futex_wake(&blocking->requests, blocking->threads_max);
    for (int i = 0; i < blocking->threads_max; i++) {
        /* Nobody frees or takes a place any more: submits have ended, and ending threads leave
         * theirs. */
        if (blocking->threads[i].blocking != NULL) {
            pthread_join(blocking->threads[i].id, NULL);
        }
    }
    wf_sys.release(blocking);
}

int wf_blocking_idle_threads(struct wf_blocking *blocking)
{
    wf_lock(&blocking->lock);
    int threads = 0;
    for (int i = 0; i < blocking->threads_max; i++) {
        threads += blocking->threads[i].blocking != NULL;
    }
    bool idle = threads == blocking->idle && blocking->waiting == 0;
    wf_unlock(&blocking->lock);
    return idle ? threads : -1;
}
