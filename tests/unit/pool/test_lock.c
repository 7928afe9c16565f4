/* test_lock.c: the lock (pool/base/lock.h), its slow half above all. */
#include "pool/base/lock.h"
#include "pool/base/sys.h"
#include "tests/support/wt.h"

#include <pthread.h>
#include <time.h>

enum { THREADS = 8 };

static struct wf_lock lock;
static uint64_t counter; /* under the lock */
static struct wf_sys real_sys;
static WF_ATOMIC(int) sleeps;

static void nap_counting(int64_t ns)
{
    wf_add_relaxed(&sleeps, 1);
    real_sys.nap(ns);
}

static void count_calls(void)
{
    real_sys = wf_sys;
    wf_sys.nap = nap_counting;
}

static void *add_many(void *arg)
{
    int n = *(int *)arg;
    for (int i = 0; i < n; i++) {
        wf_lock(&lock);
        counter++;
        wf_unlock(&lock);
    }
    return NULL;
}

Test(lock, more_threads_than_cores_exclude_each_other)
{
    int n = WF_TSAN || !WF_X86_64 ? 20000 : 200000;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        wt_eq(pthread_create(&threads[i], NULL, add_many, &n), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    wt_eq(counter, (uint64_t)n * THREADS);
    wt_eq(wf_load_relaxed(&lock.state), 0u);
}

Test(lock, without_contention_there_is_no_system_call)
{
    count_calls();
    for (int i = 0; i < 1000; i++) {
        wf_lock(&lock);
        wf_unlock(&lock);
    }
    wt_eq(wf_load_relaxed(&sleeps), 0);
}

Test(lock, all_who_sleep_behind_a_slow_holder_get_it_in_turn)
{
    count_calls();
    int once = 1;
    pthread_t threads[THREADS];
    wf_lock(&lock);
    for (int i = 0; i < THREADS; i++) {
        wt_eq(pthread_create(&threads[i], NULL, add_many, &once), 0);
    }
    /* not by spinning for ever: that would be the test's timeout */
    while (wf_load_relaxed(&sleeps) < THREADS) {
        sched_yield();
    }
    wt_eq(counter, 0u);
    wf_unlock(&lock);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    wt_eq(counter, THREADS);
    wt_eq(wf_load_relaxed(&lock.state), 0u);
}
