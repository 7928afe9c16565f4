/* line.c: see line.h. Two pinned threads set a flag and wait until the other has cleared it. */
#define _GNU_SOURCE
#include "line.h"
#include "clock.h"
#include "stats.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Batches short enough that most are not interrupted; of them the lower quartile, since
 * interruptions only add. */
#define BATCHES     40
#define ROUND_TRIPS 1000
#define QUANTILE    0.25

/* Spins without a bound of their own end because the other side always answers; should its CPU be
 * taken away for so many looks, this side lets it run. */
#define LOOKS_BEFORE_YIELD 100000

struct pair {
    _Alignas(128) _Atomic int flag; /* 1: the caller's turn is over; 0: the partner's is */
    _Alignas(128) int cpu[2];
};

static void wait_for(struct pair *pair, int value)
{
    int looks = 0;
    /* sync(line.flag): acquire and release between the two sides, pairs with itself: what is
     * measured is a hand-over of data, not of a bare word */
    while (atomic_load_explicit(&pair->flag, memory_order_acquire) != value) {
        if (++looks == LOOKS_BEFORE_YIELD) {
            sched_yield();
            looks = 0;
        }
    }
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static void *answer(void *arg)
{
    struct pair *pair = arg;
    pin(pair->cpu[1]);
    for (int i = 0; i < BATCHES * ROUND_TRIPS; i++) {
        wait_for(pair, 1);
        atomic_store_explicit(&pair->flag, 0, memory_order_release); /* sync(line.flag) */
    }
    return NULL;
}

static double ask_batch(struct pair *pair)
{
    uint64_t start = tb_now_ns();
    for (int i = 0; i < ROUND_TRIPS; i++) {
        atomic_store_explicit(&pair->flag, 1, memory_order_release); /* sync(line.flag) */
        wait_for(pair, 0);
    }
    return (double)(tb_now_ns() - start) / (2.0 * ROUND_TRIPS);
}

static double ask(struct pair *pair)
{
    double batches[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        batches[i] = ask_batch(pair);
    }
    return tb_quantile(batches, BATCHES, QUANTILE);
}

struct asking {
    struct pair pair;
    double ns;
};

/* A thread of its own, so that the caller's affinity stays as it is. */
static void *ask_pinned(void *arg)
{
    struct asking *a = arg;
    pthread_t partner;
    pin(a->pair.cpu[0]);
    if (pthread_create(&partner, NULL, answer, &a->pair) == 0) {
        a->ns = ask(&a->pair);
        pthread_join(partner, NULL);
    }
    return NULL;
}

static bool two_cpus(int cpu[2])
{
    cpu_set_t set;
    int found = 0;
    if (sched_getaffinity(0, sizeof set, &set) < 0) {
        return false;
    }
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++) {
        if (CPU_ISSET(i, &set)) {
            cpu[found++] = i;
        }
    }
    return found == 2;
}

double tb_line_transfer_ns(void)
{
    struct asking asking = {.ns = -1};
    pthread_t thread;
    if (!two_cpus(asking.pair.cpu) || pthread_create(&thread, NULL, ask_pinned, &asking) != 0) {
        return -1;
    }
    pthread_join(thread, NULL);
    return asking.ns;
}
