/* test_blocking.c: requests that are taken back before a thread has begun them, and requests of
 * lines. */
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

static void submit_in_line(struct wf_blocking *blocking, struct ask *ask, int line)
{
    *ask = (struct ask){.request = {.call = call, .arg = ask, .line = line, .done = done}};
    sem_init(&ask->begun, 0, 0);
    sem_init(&ask->may_go, 0, 0);
    sem_init(&ask->over, 0, 0);
    wt_eq(wf_blocking_submit(blocking, &ask->request), 0);
}

static void submit(struct wf_blocking *blocking, struct ask *ask)
{
    submit_in_line(blocking, ask, 0);
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

#define LINE  5
#define OTHER (LINE + 32) /* in the same list */

Test(blocking_threads, requests_of_a_line_hold_one_thread, .timeout = 20)
{
    struct wf_blocking *blocking = wf_blocking_new(2);
    struct ask line[3], other[2];
    for (int i = 0; i < 3; i++) {
        submit_in_line(blocking, &line[i], LINE);
    }
    sem_wait(&line[0].begun);
    for (int i = 0; i < 2; i++) {
        submit_in_line(blocking, &other[i], OTHER);
    }
    sem_wait(&other[0].begun); /* else the line has both threads */
    for (int i = 1; i < 3; i++) {
        wt_eq(atomic_load(&line[i].calls), 0);
        let_go(&line[i - 1]);
        sem_wait(&line[i].begun);
    }
    let_go(&line[2]);
    let_go(&other[0]);
    let_go(&other[1]);
    wt_ge(wf_blocking_idle_threads(blocking), 1);
    wf_blocking_free(blocking);
}

Test(blocking_threads, whoever_is_withdrawn_from_a_line_gives_its_turn_to_the_next, .timeout = 20)
{
    struct wf_blocking *blocking = wf_blocking_new(1);
    struct ask busy, line[5];
    submit(blocking, &busy);
    sem_wait(&busy.begun);
    for (int i = 0; i < 5; i++) {
        submit_in_line(blocking, &line[i], LINE);
    }
    wt_true(wf_blocking_withdraw(&line[0].request), "the first, in the queue");
    wt_true(wf_blocking_withdraw(&line[2].request), "behind another");
    let_go(&busy);
    sem_wait(&line[1].begun);
    wt_false(wf_blocking_withdraw(&line[1].request));
    wt_true(wf_blocking_withdraw(&line[3].request), "behind one that is on a thread");
    let_go(&line[1]);
    let_go(&line[4]);
    wt_eq(wf_blocking_idle_threads(blocking), 1);
    wt_eq(atomic_load(&line[0].calls) + atomic_load(&line[2].calls) + atomic_load(&line[3].calls),
          0);
    wf_blocking_free(blocking);
}
