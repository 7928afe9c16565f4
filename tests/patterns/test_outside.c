/* test_outside.c: tasks that threads post from outside: a stream of short ones, more than the
 * pool's queue holds in one piece, and a long one in front of one that cannot wait. */
#include "tests/patterns/pattern.h"
#include <pthread.h>
#include <sched.h>
#include <weft/weft.h>

static atomic_int ran, begun, let_go, gone;

static int count_one(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
    return 0;
}

static void wait_for(atomic_int *counter, int value)
{
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(counter) < value) { /* ends: at give_up_ns */
        wt_lt(now_ns(), give_up_ns);
        sched_yield();
    }
}

/* Computes until it is let go: keeps its worker. */
static int keep_worker(void *arg)
{
    (void)arg;
    atomic_fetch_add(&begun, 1);
    wait_for(&let_go, 1);
    atomic_fetch_add(&gone, 1);
    return 0;
}

static int let_it_go(void *arg)
{
    (void)arg;
    atomic_store(&let_go, 1);
    return 0;
}

/* Each round: a stream, so that the second worker leaves such work to the first and rests; then a
 * task that keeps the first until one behind it has run. */
Test(outside, a_task_behind_a_long_one_is_run_by_the_worker_that_left_the_stream_alone,
     .timeout = 60)
{
    enum { ROUNDS = 30, STREAM = 500 };
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
    atomic_store(&ran, 0);
    atomic_store(&gone, 0);
    for (int round = 1; round <= ROUNDS; round++) {
        atomic_store(&let_go, 0);
        for (int i = 0; i < STREAM; i++) {
            wt_eq(weft_post(rt, count_one, NULL), 0);
        }
        wt_eq(weft_post(rt, keep_worker, NULL), 0);
        wt_eq(weft_post(rt, let_it_go, NULL), 0);
        wait_for(&gone, round);
        wait_for(&ran, round * STREAM);
    }
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    weft_rt_free(rt);
    wt_eq(atomic_load(&ran), ROUNDS * STREAM);
}

enum { POSTERS = 3, EACH = 2000 };

static void *post_many(void *rt)
{
    for (int i = 0; i < EACH; i++) {
        wt_eq(weft_post(rt, count_one, NULL), 0);
    }
    return NULL;
}

/* While both workers are kept nothing is taken, so the queue has to hold it all. */
Test(outside, what_is_posted_while_no_worker_takes_anything_runs_once_each, .timeout = 60)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
    atomic_store(&ran, 0);
    atomic_store(&begun, 0);
    atomic_store(&let_go, 0);
    wt_eq(weft_post(rt, keep_worker, NULL), 0);
    wait_for(&begun, 1);
    wt_eq(weft_post(rt, keep_worker, NULL), 0);
    wait_for(&begun, 2);
    pthread_t threads[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        wt_eq(pthread_create(&threads[i], NULL, post_many, rt), 0);
    }
    for (int i = 0; i < POSTERS; i++) {
        wt_eq(pthread_join(threads[i], NULL), 0);
    }
    wt_eq(atomic_load(&ran), 0);
    atomic_store(&let_go, 1);
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    weft_rt_free(rt);
    wt_eq(atomic_load(&ran), POSTERS * EACH);
}

/* Posting goes on while the runtime stops: each is refused, or has run when the stop returns. */
static void *post_until_refused(void *rt)
{
    intptr_t posted = 0;
    while (weft_post(rt, count_one, NULL) == 0) { /* ends: the runtime stops */
        posted++;
        wait_for(&ran,
                 (int)posted - 100); /* not faster than they run: a sanitizer's build is slow */
    }
    return (void *)posted;
}

Test(outside, a_stop_runs_what_was_posted_before_and_refuses_the_rest, .timeout = 60)
{
    for (int round = 0; round < 10; round++) {
        weft_rt *rt;
        wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
        atomic_store(&ran, 0);
        pthread_t thread;
        wt_eq(pthread_create(&thread, NULL, post_until_refused, rt), 0);
        wait_for(&ran, 50 * round);
        wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
        int ended = atomic_load(&ran);
        void *posted;
        wt_eq(pthread_join(thread, &posted), 0);
        wt_eq(ended, (int)(intptr_t)posted);
        weft_rt_free(rt);
    }
}

/* --- while tasks do nothing but hand over to each other --------------------------------------- */

/* The scheduler looks for such a task at least each 61 works. */
enum { HAND_OVERS = 1000, GIVE_UP = 100000 };

static weft_chan *there, *back;
static atomic_int handed_over, is_posted, has_come;
static int since_posted; /* hand-overs; one worker */

static int pass_on(weft_chan *from, weft_chan *to)
{
    int token;
    while (weft_chan_recv(from, &token) == 1) { /* ends: closed, at GIVE_UP at the latest */
        atomic_fetch_add(&handed_over, 1);
        since_posted += atomic_load(&is_posted) && !atomic_load(&has_come);
        if (atomic_load(&has_come) || since_posted > GIVE_UP) {
            (void)weft_chan_close(there, 0);
            (void)weft_chan_close(back, 0);
        }
        (void)weft_chan_send(to, &token);
    }
    return 0;
}

static int pass_back(void *arg)
{
    (void)arg;
    return pass_on(there, back);
}

static int pass_there(void *arg)
{
    (void)arg;
    int token = 0;
    wt_eq(weft_chan_send(there, &token), 0);
    return pass_on(back, there);
}

static int come(void *arg)
{
    (void)arg;
    atomic_store(&has_come, 1);
    return 0;
}

/* No turn of the loop comes of a hand-over: it must take one now and then. */
Test(outside, a_task_comes_to_run_beside_two_that_hand_over_to_each_other, .timeout = 60)
{
    for (int round = 0; round < 10; round++) {
        weft_rt *rt;
        wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
        wt_eq(weft_chan_new(&there, sizeof(int), 1), 0);
        wt_eq(weft_chan_new(&back, sizeof(int), 1), 0);
        atomic_store(&handed_over, 0);
        atomic_store(&is_posted, 0);
        atomic_store(&has_come, 0);
        since_posted = 0;
        wt_eq(weft_post(rt, pass_back, NULL), 0);
        wt_eq(weft_post(rt, pass_there, NULL), 0);
        wait_for(&handed_over, 100 + 7 * round);
        wt_eq(weft_post(rt, come, NULL), 0);
        atomic_store(&is_posted, 1);
        wait_for(&has_come, 1);
        wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
        weft_rt_free(rt);
        weft_chan_free(there);
        weft_chan_free(back);
        wt_lt(since_posted, HAND_OVERS);
    }
}
