/* service.c: services, and the drain: how tasks that run as long as the program does come to an
 * end.
 *
 * A service is a pooled task of the root scope whose argument begins with a struct service. While
 * its body runs it is in the runtime's list. The drain asks each service in the list once to
 * finish; whoever starts after the drain has begun is asked at its start, under the same lock, so
 * none is missed.
 *
 * Asking may run user code (callbacks of a cancellation), so it is done outside of the lock, with
 * the service pinned; a service does not end while it is pinned. */
#include "pool/blocking.h"
#include "src/core.h"
#include "src/waitq.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weft/service.h>

enum service_phase {
    SERVICE_RUNS = 0,
    SERVICE_ASKED = 1,     /* to finish */
    SERVICE_CANCELLED = 2, /* the drain is over */
};

struct service {
    /* under drain_lock */
    struct wf_list link;
    uint32_t pins;
    uint8_t phase; /* enum service_phase */
    /* immutable once linked */
    uint8_t drains;
    int on_fault;
    struct wf_task *task;
    weft_fn *fn;
    const char *name;
    weft_chan *mailbox;
} WF_ALIGNED(16); /* the argument follows */

/* --- asking ----------------------------------------------------------------------------------- */

static void ask(struct service *service, enum service_phase phase)
{
    const weft_place *place = service->task->rt->root.place;
    if (phase == SERVICE_CANCELLED) {
        weft_reason reason = wf_reason(WEFT_WHY_STOP, "the drain is over", place);
        wf_task_cancel(service->task, &reason);
    } else if (service->mailbox != NULL) {
        (void)weft_chan_close(service->mailbox, 0); /* closed before: that is fine */
    } else if (!service->drains) {
        weft_reason reason = wf_reason(WEFT_WHY_STOP, "the runtime drains", place);
        wf_task_cancel(service->task, &reason);
    }
}

/* Pinned, and marked as being in `phase`; NULL: there is none that is not. */
static struct service *pin_next(weft_rt *rt, enum service_phase phase)
{
    struct service *found = NULL;
    wf_lock(&rt->drain_lock);
    for (struct wf_list *node = rt->services.next; node != &rt->services; node = node->next) {
        struct service *service = wf_container_of(node, struct service, link);
        if (service->phase < phase) {
            service->phase = (uint8_t)phase;
            service->pins++;
            found = service;
            break;
        }
    }
    wf_unlock(&rt->drain_lock);
    return found;
}

static void ask_all(weft_rt *rt, enum service_phase phase)
{
    struct service *service;
    /* ends: those that come later ask themselves */
    while ((service = pin_next(rt, phase)) != NULL) {
        ask(service, phase);
        wf_lock(&rt->drain_lock);
        service->pins--; /* LAST TOUCH */
        wf_unlock(&rt->drain_lock);
    }
}

void wf_drain_begin(weft_rt *rt)
{
    wf_lock(&rt->drain_lock);
    if (wf_load_relaxed(&rt->draining) == SERVICE_RUNS) {
        /* relaxed: a hint; what must be seen is under the lock */
        wf_store_relaxed(&rt->draining, SERVICE_ASKED);
    }
    /* ends: none is added now */
    while (wf_waitq_claim_first(&rt->drain_waiters, WF_WAIT_GRANTED)) {
    }
    wf_unlock(&rt->drain_lock);
    ask_all(rt, SERVICE_ASKED);
}

void wf_drain_over(weft_rt *rt)
{
    wf_lock(&rt->drain_lock);
    wf_store_relaxed(&rt->draining, SERVICE_CANCELLED); /* relaxed: as above */
    wf_unlock(&rt->drain_lock);
    ask_all(rt, SERVICE_CANCELLED);
}

bool wf_drain_has_services(weft_rt *rt)
{
    wf_lock(&rt->drain_lock);
    bool any = !wf_list_is_empty(&rt->services);
    wf_unlock(&rt->drain_lock);
    return any;
}

/* --- what is left ----------------------------------------------------------------------------- */

#define SERVICES_SHOWN 32

/* Names and places are static: they are written without the lock, which stderr could make last. */
static void report_services(weft_rt *rt)
{
    struct {
        const char *name;
        const weft_place *started;
    } shown[SERVICES_SHOWN];
    int count = 0;
    wf_lock(&rt->drain_lock);
    for (struct wf_list *node = rt->services.next; node != &rt->services; node = node->next) {
        if (count < SERVICES_SHOWN) {
            struct service *service = wf_container_of(node, struct service, link);
            shown[count].name = service->name;
            shown[count].started = service->task->place;
        }
        count++;
    }
    wf_unlock(&rt->drain_lock);
    for (int i = 0; i < count && i < SERVICES_SHOWN; i++) {
        const weft_place *started = shown[i].started;
        (void)fprintf(stderr, "weft:   service %s, started in %s (%s:%d)\n", shown[i].name,
                      started->function, started->file, started->line);
    }
    if (count > SERVICES_SHOWN) {
        (void)fprintf(stderr, "weft:   and %d more services\n", count - SERVICES_SHOWN);
    }
}

static void report_calls(struct wf_blocking *blocking, const char *what)
{
    struct wf_blocking_report calls;
    wf_blocking_report(blocking, &calls);
    if (calls.running > 0) {
        (void)fprintf(stderr, "weft:   %d %s, which nothing can interrupt\n", calls.running, what);
    }
}

void wf_drain_report(weft_rt *rt)
{
    (void)fprintf(stderr, "weft: the runtime cannot stop: of its tasks %zu have not ended\n",
                  wf_runtime_count(rt) + 1);
    report_services(rt);
    (void)weft_dump(rt, STDERR_FILENO);
    report_calls(rt->blocking, "calls of weft_blocking");
    report_calls(rt->own_blocking, "file operations or lookups of names");
}

/* --- a service -------------------------------------------------------------------------------- */

/* Into the list. The drain may have begun since weft_service looked, or even be over, if nobody had
 * time for us: then nobody else asks. */
static void begin(weft_rt *rt, struct service *service)
{
    wf_lock(&rt->drain_lock);
    uint32_t phase = wf_load_relaxed(&rt->draining); /* relaxed: under the lock */
    service->phase = (uint8_t)phase;
    wf_list_push_back(&rt->services, &service->link);
    wf_unlock(&rt->drain_lock);
    if (phase != SERVICE_RUNS) {
        ask(service, (enum service_phase)phase); /* it cannot end: it is us */
    }
}

/* Out of the list, and no longer pinned. */
static void end(weft_rt *rt, struct service *service)
{
    wf_lock(&rt->drain_lock);
    wf_list_unlink(&service->link);
    while (service->pins > 0) { /* ends: who asks is on its way out, on another thread */
        wf_unlock(&rt->drain_lock);
        wf_yield(wf_self());
        wf_lock(&rt->drain_lock);
    }
    wf_unlock(&rt->drain_lock);
}

static int service_run(void *arg)
{
    struct service *service = arg;
    struct wf_fiber *self = wf_self();
    struct wf_task *task = self->env->task;
    wf_task_touch(task);
    wf_store_relaxed(&task->name, service->name); /* relaxed: a static string */
    service->task = task;
    begin(task->rt, service);
    int rc = service->fn(service + 1);
    end(task->rt, service);
    bool cut_short = rc == -ECANCELED && wf_env_cancelled(&task->env) != 0;
    if (rc < 0 && !cut_short) {
        weft_error *error = wf_error_of(task, rc, wf_error_take(task));
        wf_fault_unobserved(task->rt, service->name, task->place, rc, error, service->on_fault);
    }
    return 0; /* all has been said */
}

static bool is_verdict(int on_fault)
{
    return on_fault >= 0 && on_fault <= WEFT_STOP;
}

int weft_service_(const char *name, weft_fn *fn, const void *arg, size_t bytes,
                  const weft_service_opts *opts, const weft_place *place)
{
    static const weft_service_opts defaults;
    opts = opts != NULL ? opts : &defaults;
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    if (!is_verdict(opts->on_fault)) {
        return -EINVAL;
    }
    if (bytes > WEFT_SERVICE_ARG_MAX) {
        return -E2BIG;
    }
    if (weft_draining()) {
        return -ESHUTDOWN;
    }
    struct {
        struct service service;
        char arg[WEFT_SERVICE_ARG_MAX];
    } frame;
    frame.service = (struct service){
        .fn = fn,
        .name = name,
        .mailbox = opts->mailbox,
        .drains = opts->drains != 0,
        .on_fault = opts->on_fault != 0 ? opts->on_fault : WEFT_STOP,
    };
    memcpy(frame.arg, arg, bytes);
    weft_scope *root = (weft_scope *)&wf_runtime_of(self)->root;
    rc = weft_go_(root, service_run, &frame, sizeof(struct service) + bytes, place);
    return rc == -ECANCELED ? -ESHUTDOWN : rc;
}

/* --- the drain, seen by tasks ----------------------------------------------------------------- */

int weft_draining(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc == -ENOSYS ? rc : 0;
    }
    /* relaxed: a hint */
    return wf_load_relaxed(&wf_runtime_of(self)->draining) != 0;
}

static ssize_t drain_wait_finish(struct wf_call *call)
{
    weft_rt *rt = call->object;
    if (wf_wait_outcome(&call->wait) == WF_WAIT_GRANTED) {
        return 0;
    }
    wf_lock(&rt->drain_lock);
    wf_list_unlink(&call->place.in_queue);
    wf_unlock(&rt->drain_lock);
    return -ECANCELED;
}

static const struct wf_wait_ops drain_wait_ops = {
    .cancel = wf_wait_cancel_claim, .finish = drain_wait_finish, .name = "weft_drain_wait"};

static ssize_t drain_wait_begin(weft_rt *rt, struct wf_call *call, struct wf_work *resume)
{
    wf_lock(&rt->drain_lock);
    bool draining = wf_load_relaxed(&rt->draining) != 0; /* relaxed: under the lock */
    if (!draining) {
        wf_call_queue(call, resume, &drain_wait_ops, rt, &rt->drain_waiters, NULL);
    }
    wf_unlock(&rt->drain_lock);
    return draining ? 0 : WF_PENDING;
}

int weft_drain_wait(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    struct wf_call call;
    weft_rt *rt = wf_runtime_of(self);
    return (int)wf_call_end(self, &call, drain_wait_begin(rt, &call, &self->resume));
}
