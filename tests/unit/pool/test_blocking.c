/* test_blocking.c: requests that are taken back before a thread has begun them. */
#include "pool/blocking.h"
#include "pool/base/compiler.h"
#include "tests/support/wt.h"
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct ask {
    struct wf_blocking_request request;
    sem_t begun, may_go, over;
    atomic_int calls;
};

static int call(void *arg)
{
    struct ask *ask = arg;
    atomic_fetch_add(&ask->calls, 1);
    sem_post(&ask->begun);
    while (sem_wait(&ask->may_go) != 0) { /* ends: a signal comes rarely */
    }
    return 0;
}

static void done(struct wf_blocking_request *request)
{
    sem_post(&wf_container_of(request, struct ask, request)->over);
}

static void submit(struct wf_blocking *blocking, struct ask *ask)
{
    *ask = (struct ask){.request = {.call = call, .arg = ask, .done = done}};
    sem_init(&ask->begun, 0, 0);
    sem_init(&ask->may_go, 0, 0);
    sem_init(&ask->over, 0, 0);
    wt_eq(wf_blocking_submit(blocking, &ask->request), 0);
}

static void let_go(struct ask *ask)
{
    sem_post(&ask->may_go);
    sem_wait(&ask->over);
    wt_eq(atomic_load(&ask->calls), 1);
}

Test(blocking_threads, what_no_thread_has_begun_can_be_withdrawn, .timeout = 20)
{
    struct wf_blocking *blocking = wf_blocking_new(1);
    struct ask first, second, third;
    submit(blocking, &first);
    sem_wait(&first.begun);
    submit(blocking, &second);
    submit(blocking, &third);
    struct wf_blocking_report report;
    wf_blocking_report(blocking, &report);
    wt_eq(report.waiting, 2);
    wt_true(wf_blocking_withdraw(&second.request));
    wt_false(wf_blocking_withdraw(&second.request), "once");
    wf_blocking_report(blocking, &report);
    wt_eq(report.waiting, 1);
    wt_false(wf_blocking_withdraw(&first.request), "it is on a thread");
    let_go(&first);
    wt_false(wf_blocking_withdraw(&first.request), "it has ended");
    let_go(&third);
    wt_eq(wf_blocking_idle_threads(blocking), 1);
    wt_eq(atomic_load(&second.calls), 0);
    wf_blocking_free(blocking);
}
