/* cancel_race.h: an op that one thread cancels while another one completes it, many times over: the
 * same test for both drivers. */
#ifndef CANCEL_RACE_H
#define CANCEL_RACE_H

#include "tests/unit/io/rig.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#define CANCEL_RACE_ROUNDS 2000

static struct rig_op raced;
/* the lock that op.h asks the caller for, as turns */
static WF_ATOMIC(uint32_t) round_open, round_closed;

static inline void *cancel_each_round(void *arg)
{
    (void)arg;
    for (uint32_t round = 1; round <= CANCEL_RACE_ROUNDS; round++) {
        while (wf_load_acquire(&round_open) != round) { /* ends: the test opens it */
            sched_yield();
        }
        for (volatile uint32_t i = 0; i < round % 512; i++) {
        }
        wf_io_cancel(&raced.op);
        wf_store_release(&round_closed, round);
    }
    return NULL;
}

/* With the two ends of a stream socket. The rig is open. Each byte is received once, and each op
 * ends once, with it or with -ECANCELED. */
static inline void cancel_race(int receiver, int sender)
{
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, cancel_each_round, NULL), 0);
    int sent = 0;
    int received = 0;
    char byte;
    for (uint32_t round = 1; round <= CANCEL_RACE_ROUNDS; round++) {
        raced = (struct rig_op){
            .op = {.kind = WF_OP_RECV, .fd = receiver, .address = (uintptr_t)&byte, .bytes = 1}};
        rig_submit(&raced);
        wf_store_release(&round_open, round);
        if (round % 2 == 0) {
            wt_eq(write(sender, "x", 1), 1);
            sent++;
        }
        int rc = rig_await(&raced);
        wt_true(rc == 1 || rc == -ECANCELED, "round %u: %d", round, rc);
        received += rc == 1;
        while (wf_load_acquire(&round_closed) != round) { /* ends: the thread closes it */
            sched_yield();
        }
        wt_eq(rig_hear(), 0, "round %u: a message after done", round);
    }
    pthread_join(thread, NULL);
    while (recv(receiver, &byte, 1, MSG_DONTWAIT) == 1) { /* ends: empty */
        received++;
    }
    wt_eq(received, sent, "bytes lost or doubled");
}

#endif
