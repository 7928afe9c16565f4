/* thread_call.c: a call on a thread that may block, as a call of the API: a system call, for what
 * no ring does faster, on both backends in the same way (io.h; ADR 0019); or a function, of the
 * program (weft_blocking) or of ours. Until a thread has begun it, it can be cancelled; after that
 * it cannot: the thread is in the kernel, or in what is not ours. The library's own calls have
 * threads of their own, for a function of the program may wait for what comes after them (ADR
 * 0055). */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/io_value.h"
#include "src/uses.h"
#include <errno.h>
#include <sys/syscall.h>

#define FDS_MAX 2
#define ARGS    6

static bool is_fd(const struct wf_thread_call *call, int i)
{
    return (call->fds & WF_FD_ARG(i)) != 0;
}

/* On the thread. Touches the descriptors: how many were touched; *all: none of them was closed
 * since the call was begun. */
static int touch(const struct wf_thread_call *call, struct wf_held held[FDS_MAX], bool *all)
{
    int touched = 0;
    int at = 0;
    *all = true;
    for (int i = 0; i < ARGS && *all; i++) {
        if (is_fd(call, i)) {
            *all = wf_touch(&held[touched], (int)call->args[i], call->meant[at]);
            touched += *all;
            at++;
        }
    }
    return touched;
}

static int make_call(void *arg)
{
    struct wf_thread_call *call = arg;
    struct wf_held held[FDS_MAX];
    const long *a = call->args;
    bool all;
    int touched = touch(call, held, &all);
    /* After a signal again (a profiler's: others are masked here), but for close, which has closed.
     * Ends: signals come one at a time. */
    do {
        call->result =
            all ? wf_sys.call(call->number, a[0], a[1], a[2], a[3], a[4], a[5]) : (long)-EBADF;
    } while (call->result == -EINTR && call->number != SYS_close);
    while (touched > 0) { /* ends: counts */
        wf_unhold(&held[--touched]);
    }
    return 0;
}

/* The call begins: its descriptors mean from now on what they mean now, unless that was said
 * before. */
static void mean(struct wf_thread_call *call)
{
    int at = 0;
    for (int i = 0; i < ARGS; i++) {
        if (is_fd(call, i)) {
            wf_check_inner(at < FDS_MAX);
            call->meant[at] =
                call->meant[at] != 0 ? call->meant[at] : wf_use_meant((int)call->args[i]);
            at++;
        }
    }
}

/* On the thread. Or on a worker that could not start it, uncalled, where no thread at all is to be
 * had: then the worker makes the call and waits for it, better than that nobody does. */
static void call_done(struct wf_blocking_request *request)
{
    struct wf_thread_call *call = wf_container_of(request, struct wf_thread_call, request);
    if (wf_unlikely(request->result == -EAGAIN)) {
        (void)make_call(call);
    }
    (void)wf_wait_claim(call->wait, WF_WAIT_GRANTED); /* LAST TOUCH */
}

/* Unless a thread has begun it: then it ends by itself. */
void wf_thread_cancel(struct wf_wait *wait)
{
    struct wf_thread_call *call = wf_container_of(wait, struct wf_call, wait)->object;
    if (wf_blocking_withdraw(&call->request)) {
        call->result = -ECANCELED;
        (void)wf_wait_claim(wait, WF_WAIT_GRANTED);
    }
}

static ssize_t call_finish(struct wf_call *call)
{
    return ((struct wf_thread_call *)call->object)->result;
}

#define NAME "a file operation on a thread"

static const struct wf_wait_ops stack_ops = {
    .cancel = wf_thread_cancel, .finish = call_finish, .name = NAME};

/* It is made in any case. */
static void cancel_nothing(struct wf_wait *wait)
{
    (void)wait;
}

static const struct wf_wait_ops firm_ops = {
    .cancel = cancel_nothing, .finish = call_finish, .name = NAME};

static ssize_t thread_begin(struct wf_thread_call *thread, struct wf_call *call,
                            struct wf_work *resume, struct wf_fiber *self,
                            const struct wf_wait_ops *ops)
{
    wf_wait_init(&call->wait, resume, ops);
    mean(thread);
    call->object = thread;
    thread->wait = &call->wait;
    thread->request = (struct wf_blocking_request){
        .call = make_call,
        .arg = thread,
        .result = -EAGAIN,
        .line = thread->line,
        .done = call_done,
    };
    if (wf_blocking_submit(wf_runtime_of(self)->own_blocking, &thread->request) < 0) {
        call_done(&thread->request);
    }
    return WF_PENDING;
}

static long await(struct wf_fiber *self, struct wf_thread_call *thread,
                  const struct wf_wait_ops *ops)
{
    struct wf_call call;
    return wf_call_end(self, &call, thread_begin(thread, &call, &self->resume, self, ops));
}

long wf_thread_await(struct wf_thread_call *thread)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    /* an expired deadline: it cannot be tried without waiting */
    return wf_env_cancelled(self->env) != 0 ? -ECANCELED : await(self, thread, &stack_ops);
}

long wf_thread_finish(struct wf_thread_call *thread)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    return self == NULL ? rc : await(self, thread, &firm_ops);
}

/* --- as a value ------------------------------------------------------------------------------- */

struct thread_value {
    struct wf_value value;
    struct wf_thread_call thread;
};

_Static_assert(sizeof(struct thread_value) <= 384, "pool.c, value_bytes");

/* Never; but it says which class of memory the record is of: value.c, kind_of. */
static bool call_again(struct wf_call *call, ssize_t result)
{
    (void)call, (void)result;
    return false;
}

static const struct wf_wait_ops value_ops = {.cancel = wf_thread_cancel,
                                             .finish = call_finish,
                                             .again = call_again,
                                             .is_wide = true,
                                             .name = NAME};

weft_val wf_thread_v(const struct wf_thread_call *thread, const weft_place *place)
{
    return wf_thread_v_ops(thread, &value_ops, place);
}

weft_val wf_thread_v_ops(const struct wf_thread_call *thread, const struct wf_wait_ops *ops,
                         const weft_place *place)
{
    struct wf_fiber *self = wf_peek_task();
    if (self != NULL && wf_env_cancelled(self->env) != 0) {
        return wf_val_done(-ECANCELED, place);
    }
    struct wf_begun b;
    if (!wf_v_begin(&b, WF_V_WIDE, place)) {
        return b.val;
    }
    struct thread_value *record = wf_container_of(b.value, struct thread_value, value);
    record->thread = *thread;
    return wf_v_end(&b, thread_begin(&record->thread, b.call, NULL, b.self, ops));
}

void wf_thread_begin_again(struct wf_call *call, const struct wf_wait_ops *ops)
{
    (void)thread_begin(call->object, call, NULL, wf_self(), ops);
}

/* --- a function ------------------------------------------------------------------------------- */

struct blocking_call {
    struct wf_blocking_request request;
    struct wf_call call;
};

static void blocking_done(struct wf_blocking_request *request)
{
    struct blocking_call *blocking = wf_container_of(request, struct blocking_call, request);
    (void)wf_wait_claim(&blocking->call.wait, WF_WAIT_GRANTED);
}

/* Unless a thread has begun it: then it ends by itself. */
static void blocking_cancel(struct wf_wait *wait)
{
    struct blocking_call *blocking = wf_container_of(wait, struct blocking_call, call.wait);
    if (wf_blocking_withdraw(&blocking->request)) {
        blocking->request.result = -ECANCELED;
        blocking_done(&blocking->request);
    }
}

static ssize_t blocking_finish(struct wf_call *call)
{
    return wf_container_of(call, struct blocking_call, call)->request.result;
}

static const struct wf_wait_ops blocking_ops = {
    .cancel = blocking_cancel, .finish = blocking_finish, .name = "weft_blocking"};

static int call_on(struct wf_blocking *threads, struct wf_fiber *self, weft_fn *fn, void *arg)
{
    if (wf_env_cancelled(self->env) != 0) {
        return -ECANCELED; /* an expired deadline: it cannot be tried without waiting */
    }
    struct blocking_call blocking;
    blocking.request = (struct wf_blocking_request){.call = fn, .arg = arg, .done = blocking_done};
    wf_wait_init(&blocking.call.wait, &self->resume, &blocking_ops);
    int rc = wf_blocking_submit(threads, &blocking.request);
    return (int)wf_call_end(self, &blocking.call, rc < 0 ? rc : WF_PENDING);
}

int weft_blocking(weft_fn *fn, void *arg)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    return self == NULL ? rc : call_on(wf_runtime_of(self)->blocking, self, fn, arg);
}

int wf_call_on_own_thread(weft_fn *fn, void *arg)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    return self == NULL ? rc : call_on(wf_runtime_of(self)->own_blocking, self, fn, arg);
}
