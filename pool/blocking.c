/* blocking.c: see blocking.h. One lock; idle threads sleep on one futex word that counts the
 * requests ever made.
 *
 * Creating a thread takes tens of microseconds, in which nobody may be kept from submitting: under
 * the lock only a place is taken, and the thread counts as `starting` until it has the lock itself,
 * or was refused. A request may count on a thread that somebody else starts; so whoever is refused,
 * and sees that there is no other thread and none on its way, ends what is queued. */
#include "pool/blocking.h"
#include "pool/base/lock.h"
#include "pool/base/sys.h"
#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* A look at whether a thread whose call has returned is back. */
#define COMING_BACK_NS INT64_C(20000)

/* Lines share lists, by their numbers: as many as files are mostly written at a time, and more. */
#define LISTS 32

struct blocking_thread {
    struct wf_blocking *blocking; /* NULL: this place is free; under lock */
    pthread_t id;                 /* of the thread, written by itself; under lock */
    bool begun;                   /* id is valid; under lock */
    bool is_done;                 /* its call has returned, and it is not back yet; under lock */
};

struct wf_blocking {
    struct wf_lock lock;
    /* under lock */
    struct wf_list queue;        /* oldest first */
    int waiting;                 /* requests in it */
    struct wf_list lines[LISTS]; /* requests of lines, oldest first */
    int idle;     /* threads that sleep; those woken for a request in the queue are still counted */
    int starting; /* places taken whose threads have not come to the lock */
    int alive;    /* threads that have, and have not ended */
    int done;     /* threads whose call has returned, and that are not back yet */
    bool ending;
    WF_ATOMIC(uint32_t) requests; /* futex: idle threads sleep while it does not change */
    int threads_max;              /* immutable */
    struct blocking_thread threads[];
};

struct wf_blocking *wf_blocking_new(int threads_max)
{
    size_t bytes =
        sizeof(struct wf_blocking) + (size_t)threads_max * sizeof(struct blocking_thread);
    struct wf_blocking *blocking = wf_sys_alloc_zeroed(WF_LINE, bytes);
    if (blocking != NULL) {
        wf_list_init(&blocking->queue);
        for (int i = 0; i < LISTS; i++) {
            wf_list_init(&blocking->lines[i]);
        }
        blocking->threads_max = threads_max;
    }
    return blocking;
}

static void queue_locked(struct wf_blocking *blocking, struct wf_blocking_request *request)
{
    wf_list_push_back(&blocking->queue, &request->in_queue);
    blocking->waiting++;
}

static struct wf_blocking_request *pop_locked(struct wf_blocking *blocking)
{
    struct wf_list *node = wf_list_pop_front(&blocking->queue);
    if (node == NULL) {
        return NULL;
    }
    blocking->waiting--;
    struct wf_blocking_request *request =
        wf_container_of(node, struct wf_blocking_request, in_queue);
    request->taken = true;
    return request;
}

/* The oldest of a line; NULL: there is none. */
static struct wf_blocking_request *first_of_line_locked(const struct wf_list *list, int line)
{
    for (struct wf_list *node = list->next; node != list; node = node->next) {
        struct wf_blocking_request *request =
            wf_container_of(node, struct wf_blocking_request, in_line);
        if (request->line == line) {
            return request;
        }
    }
    return NULL;
}

static struct wf_list *list_of(struct wf_blocking *blocking, int line)
{
    return &blocking->lines[(uint32_t)line % LISTS];
}

/* Has ended, or is withdrawn: whoever is the first then has its turn. */
static void leave_line_locked(struct wf_blocking *blocking, struct wf_blocking_request *request)
{
    if (request->line == 0) {
        return;
    }
    wf_list_unlink(&request->in_line);
    struct wf_blocking_request *first =
        first_of_line_locked(list_of(blocking, request->line), request->line);
    if (first != NULL && !first->taken && wf_list_is_empty(&first->in_queue)) {
        queue_locked(blocking, first);
    }
}

/* Waits for a request. NULL: the thread is to end; its place is free unless the pool is ending and
 * will join it. */
static struct wf_blocking_request *next_request(struct wf_blocking *blocking,
                                                struct blocking_thread *thread)
{
    wf_lock(&blocking->lock);
    blocking->done -= thread->is_done;
    thread->is_done = false;
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
            (void)wf_sys.call(SYS_prctl, PR_SET_NAME, (long)WF_BLOCKING_ENDS, 0, 0, 0, 0);
            thread->blocking = NULL;
            blocking->alive--;
            pthread_detach(thread->id);
            break;
        }
    }
    wf_unlock(&blocking->lock);
    return request;
}

/* From here until it is back the thread only makes somebody ready. What has its turn by this need
 * wake nobody: there is this thread. */
static void note_done(struct wf_blocking *blocking, struct blocking_thread *thread,
                      struct wf_blocking_request *request)
{
    wf_lock(&blocking->lock);
    leave_line_locked(blocking, request);
    thread->is_done = true;
    blocking->done++;
    wf_unlock(&blocking->lock);
}

static void *blocking_thread(void *arg)
{
    struct blocking_thread *thread = arg;
    struct wf_blocking *blocking = thread->blocking; /* its place was taken before it was started */
    wf_lock(&blocking->lock);
    thread->id = pthread_self();
    thread->begun = true;
    blocking->starting--;
    blocking->alive++;
    wf_unlock(&blocking->lock);
    struct wf_blocking_request *request;
    while ((request = next_request(blocking, thread)) != NULL) {
        request->result = request->call(request->arg);
        note_done(blocking, thread, request);
        request->done(request); /* LAST TOUCH */
    }
    return NULL;
}

/* A place for a thread that the caller has to start, if what is queued needs it; else NULL. */
static struct blocking_thread *take_place_locked(struct wf_blocking *blocking)
{
    if (blocking->idle + blocking->starting >= blocking->waiting) {
        return NULL;
    }
    for (int i = 0; i < blocking->threads_max; i++) {
        struct blocking_thread *thread = &blocking->threads[i];
        if (thread->blocking == NULL) {
            thread->blocking = blocking;
            thread->begun = false;
            blocking->starting++;
            return thread;
        }
    }
    return NULL;
}

/* False: it is not the first of its line, and needs no thread yet. */
static bool push_locked(struct wf_blocking *blocking, struct wf_blocking_request *request)
{
    request->blocking = blocking;
    request->taken = false;
    wf_list_init(&request->in_queue);
    if (request->line != 0) {
        struct wf_list *list = list_of(blocking, request->line);
        bool is_first = first_of_line_locked(list, request->line) == NULL;
        wf_list_push_back(list, &request->in_line);
        if (!is_first) {
            return false;
        }
    }
    queue_locked(blocking, request);
    /* relaxed: under the lock */
    wf_store_relaxed(&blocking->requests, wf_load_relaxed(&blocking->requests) + 1);
    return true;
}

/* The thread was refused. If nobody else will come, all that is queued ends with -EAGAIN: `request`
 * by the return, the others by their `done`. */
static WF_COLD int start_refused(struct wf_blocking *blocking, struct blocking_thread *thread,
                                 struct wf_blocking_request *request)
{
    int rc = 0;
    wf_lock(&blocking->lock);
    thread->blocking = NULL;
    blocking->starting--;
    struct wf_blocking_request *orphan;
    /* ends: with the queue; who comes meanwhile starts a thread, or ends it, too */
    while (blocking->alive + blocking->starting == 0 && (orphan = pop_locked(blocking)) != NULL) {
        leave_line_locked(blocking, orphan);
        if (orphan == request) {
            rc = -EAGAIN;
            continue;
        }
        wf_unlock(&blocking->lock);
        orphan->result = -EAGAIN;
        orphan->done(orphan); /* LAST TOUCH */
        wf_lock(&blocking->lock);
    }
    wf_unlock(&blocking->lock);
    return rc;
}

int wf_blocking_submit(struct wf_blocking *blocking, struct wf_blocking_request *request)
{
    wf_lock(&blocking->lock);
    bool is_queued = push_locked(blocking, request);
    struct blocking_thread *thread = is_queued ? take_place_locked(blocking) : NULL;
    bool wake = is_queued && blocking->idle > 0;
    wf_unlock(&blocking->lock);
    if (wake) {
        (void)wf_sys.futex_wake(&blocking->requests, 1);
    }
    pthread_t id; /* the thread keeps its own */
    if (thread != NULL && wf_sys.thread_start(&id, blocking_thread, thread) < 0) {
        return start_refused(blocking, thread, request);
    }
    return 0;
}

bool wf_blocking_withdraw(struct wf_blocking_request *request)
{
    struct wf_blocking *blocking = request->blocking;
    wf_lock(&blocking->lock);
    bool withdraws = !request->taken;
    if (withdraws) {
        request->taken = true;
        blocking->waiting -= !wf_list_is_empty(&request->in_queue);
        wf_list_unlink(&request->in_queue);
        leave_line_locked(blocking, request);
    }
    wf_unlock(&blocking->lock);
    return withdraws;
}

void wf_blocking_report(struct wf_blocking *blocking, struct wf_blocking_report *report)
{
    wf_lock(&blocking->lock);
    report->running = blocking->alive - blocking->idle;
    report->waiting = blocking->waiting;
    wf_unlock(&blocking->lock);
}

/* Whether there is a thread at this place, to be joined. Nobody takes or frees a place any more:
 * submits have ended, and ending threads leave theirs. But one may not have come to the lock
 * yet. */
static bool wait_begun(struct wf_blocking *blocking, struct blocking_thread *thread)
{
    wf_lock(&blocking->lock);
    while (thread->blocking != NULL && !thread->begun) { /* ends: the thread was started */
        wf_unlock(&blocking->lock);
        sched_yield();
        wf_lock(&blocking->lock);
    }
    bool there = thread->blocking != NULL;
    wf_unlock(&blocking->lock);
    return there;
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
        struct blocking_thread *thread = &blocking->threads[i];
        if (wait_begun(blocking, thread)) {
            (void)wf_sys.thread_join(thread->id);
        }
    }
    wf_sys.release(blocking);
}

int wf_blocking_idle_threads(struct wf_blocking *blocking)
{
    wf_lock(&blocking->lock);
    while (blocking->done > 0) { /* ends: to come back they need none of those who ask */
        wf_unlock(&blocking->lock);
        wf_sys.nap(COMING_BACK_NS); /* no yield: it may run at a lower priority than we do */
        wf_lock(&blocking->lock);
    }
    int threads = blocking->alive + blocking->starting;
    /* those that are starting find nothing to do: what they were started for, another has taken */
    bool idle = blocking->alive == blocking->idle && blocking->waiting == 0;
    wf_unlock(&blocking->lock);
    return idle ? threads : -1;
}
