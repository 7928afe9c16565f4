/* load_cancel.c: callbacks that are registered and taken off, many waits that are cancelled, and
 * how long it takes until one operation of the kernel lets go. */
#include "clock.h"
#include "load.h"
#include "stats.h"
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <weft/cancel.h>
#include <weft/io.h>
#include <weft/sync.h>

/* --- callback --------------------------------------------------------------------------------- */

static void must_not_run(void *arg)
{
    ++*(uint64_t *)arg;
}

static int callback_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t calls = 0;
    uint64_t bad = 0;
    weft_cancel source;
    weft_cancel_init(&source, NULL);
    for (uint64_t i = 0; i < rounds; i++) {
        weft_cancel_reg reg;
        bad += weft_cancel_on(&source, &reg, must_not_run, &calls) != 0;
        bad += weft_cancel_off(&reg) != 1;
    }
    weft_cancel_fini(&source);
    return bad + calls != 0 ? tb_wrong(trial, "%llu registrations went wrong, %llu calls",
                                       (unsigned long long)bad, (unsigned long long)calls)
                            : 0;
}

/* --- under ------------------------------------------------------------------------------------ */

static int under_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t bad = 0;
    weft_cancel source;
    weft_cancel_init(&source, NULL);
    for (uint64_t i = 0; i < rounds; i++) {
        int value = (int)(i & 1023);
        bad += weft_under(&source, value) != value;
    }
    weft_cancel_fini(&source);
    return bad != 0 ? tb_wrong(trial, "%llu values went wrong", (unsigned long long)bad) : 0;
}

/* --- waits ------------------------------------------------------------------------------------ */

struct waits {
    weft_sem never;
    _Atomic uint64_t waiting;
    _Atomic uint64_t cancelled;
};

WEFT_TASK(wait_for_ever, struct waits *)
{
    struct waits *waits = *arg;
    /* relaxed, both: counts; the end of the scope orders the last look */
    atomic_fetch_add_explicit(&waits->waiting, 1, memory_order_relaxed);
    int rc = weft_sem_acquire(&waits->never);
    if (rc == -ECANCELED) {
        atomic_fetch_add_explicit(&waits->cancelled, 1, memory_order_relaxed);
    }
    return rc;
}

static int waits_open(struct tb_trial *trial)
{
    trial->ops_per_round = trial->params[0];
    trial->state = calloc(1, sizeof(struct waits));
    return trial->state ? 0 : tb_skip(trial, "no memory for the results");
}

static void waits_close(struct tb_trial *trial)
{
    free(trial->state);
}

/* The time from the cancel call until the last task has ended. */
static int waits_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    struct waits *waits = trial->state;
    *waits = (struct waits){0};
    weft_sem_init(&waits->never, 0, 0);
    int rc = 0;
    WEFT_SCOPE(scope);
    for (uint64_t i = 0; i < trial->params[0] && rc == 0; i++) {
        rc = weft_go(&scope, wait_for_ever, &waits);
    }
    /* ends: every task comes to its wait */
    while (rc == 0 && atomic_load(&waits->waiting) < trial->params[0]) {
        rc = weft_yield();
    }
    uint64_t start = tb_now_ns();
    (void)weft_scope_cancel(&scope, "the load is over");
    uint64_t walked = tb_now_ns();
    int end = weft_scope_end(&scope);
    trial->elapsed_ns = tb_now_ns() - start;
    tb_metric(trial, "walk", "ns", (double)(walked - start) / (double)trial->params[0]);
    weft_sem_fini(&waits->never);
    return rc < 0 ? rc : end == -ECANCELED ? 0 : end;
}

static int waits_check(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    const struct waits *waits = trial->state;
    if (waits->cancelled != trial->params[0]) {
        return tb_wrong(trial, "%llu of %llu waits were cancelled",
                        (unsigned long long)waits->cancelled, (unsigned long long)trial->params[0]);
    }
    return 0;
}

/* --- io --------------------------------------------------------------------------------------- */

#define WANTED_TURNS 1000 /* some 10 us: far more than the thread takes on a CPU of its own */
#define CANCELS_KEPT TB_SAMPLES_MAX /* the newest latencies of all samples, for the percentiles */

/* A task receives from a socket to which nobody sends; this thread, which is no worker, cancels it
 * when all workers sleep. The time is from the call that cancels until the task runs again. */
struct letting_go {
    int ends[2];
    uint64_t cancels;   /* in a sample */
    weft_cancel source; /* of this cancellation */
    _Atomic uint64_t
        begun; /* cancellations that the task has waited for, the present one included */
    _Atomic uint64_t ended;  /* of which it has come back */
    _Atomic uint64_t wanted; /* that it may wait for */
    uint64_t ended_ns;       /* when; before `ended` */
    uint64_t wrong;          /* the task's: results that were not -ECANCELED */
    double kept_ns[CANCELS_KEPT];
    double sample_ns[CANCELS_KEPT]; /* of this sample */
    uint64_t taken;                 /* of all samples */
};

static void await_count(_Atomic uint64_t *counter, uint64_t count)
{
    /* sync(cancel_io.await): acquire, what is counted has happened; pairs sync(cancel_io.count) */
    while (atomic_load_explicit(counter, memory_order_acquire) <
           count) { /* ends: or child.h does */
        sched_yield();
    }
}

static void count_to(_Atomic uint64_t *counter, uint64_t count)
{
    /* sync(cancel_io.count): release; pairs sync(cancel_io.await), sync(cancel_io.wanted) */
    atomic_store_explicit(counter, count, memory_order_release);
}

static int receive_in_vain(void *arg)
{
    struct letting_go *l = arg;
    uint64_t cancels = l->cancels; /* after the last one *l may go away */
    for (uint64_t i = 1; i <= cancels; i++) {
        /* The thread is busy with the source that has fired: let it. It may stand behind this
         * worker in the queue of one CPU, where a yield of a task gives nobody way; at real-time
         * priority, for ever. */
        /* sync(cancel_io.wanted): acquire, the source is new; pairs sync(cancel_io.count) */
        for (int turn = 0; atomic_load_explicit(&l->wanted, memory_order_acquire) < i; turn++) {
            (void)(turn < WANTED_TURNS ? weft_yield() : weft_sleep(WEFT_US(20)));
        }
        char byte;
        count_to(&l->begun, i);
        ssize_t n = weft_under(&l->source, weft_recv(l->ends[0], &byte, 1, 0));
        l->ended_ns = tb_now_ns();
        l->wrong += n != -ECANCELED;
        count_to(&l->ended, i);
    }
    return 0;
}

static int io_open(struct tb_trial *trial)
{
    struct letting_go *l = trial->state = calloc(1, sizeof *l);
    if (l == NULL) {
        return tb_skip(trial, "no memory for the latencies");
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, l->ends) != 0) {
        free(l);
        return tb_skip(trial, "no sockets");
    }
    l->cancels = trial->params[0];
    trial->ops_per_round = trial->params[0];
    return 0;
}

static void io_close(struct tb_trial *trial)
{
    struct letting_go *l = trial->state;
    size_t n = l->taken < CANCELS_KEPT ? (size_t)l->taken : CANCELS_KEPT;
    if (n > 0) {
        tb_metric(trial, "cancel_p50", "ns", tb_quantile(l->kept_ns, n, 0.5));
        tb_metric(trial, "cancel_p99", "ns", tb_quantile(l->kept_ns, n, 0.99));
        tb_metric(trial, "cancel_p99.9", "ns", tb_quantile(l->kept_ns, n, 0.999));
        tb_metric(trial, "cancel_max", "ns", tb_quantile(l->kept_ns, n, 1));
    }
    close(l->ends[0]);
    close(l->ends[1]);
    free(l);
}

static double cancel_once(struct tb_trial *trial, struct letting_go *l, uint64_t number)
{
    struct timespec pause = {.tv_nsec = (long)(trial->params[1] * 1000)};
    weft_cancel_init(&l->source, NULL);
    count_to(&l->wanted, number);
    await_count(&l->begun, number);
    nanosleep(&pause, NULL); /* until the workers sleep */
    uint64_t start = tb_now_ns();
    (void)weft_cancel_fire(&l->source, "cancel/io");
    await_count(&l->ended, number);
    weft_cancel_fini(&l->source);
    return (double)(l->ended_ns - start);
}

/* As for the row "wake": the sample's time is its median, as often as there were cancellations. */
static int io_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    struct letting_go *l = trial->state;
    l->begun = l->ended = l->wanted = 0;
    int rc = weft_post(trial->rt, receive_in_vain, l);
    if (rc < 0) {
        return rc;
    }
    for (uint64_t i = 0; i < l->cancels; i++) {
        l->sample_ns[i] = cancel_once(trial, l, i + 1);
        l->kept_ns[l->taken++ % CANCELS_KEPT] = l->sample_ns[i];
    }
    trial->elapsed_ns = (uint64_t)(tb_quantile(l->sample_ns, l->cancels, 0.5) * (double)l->cancels);
    return l->wrong != 0
               ? tb_wrong(trial, "%llu receives were not cancelled", (unsigned long long)l->wrong)
               : 0;
}

const struct tb_load tb_loads_cancel[] = {
    {
        .name = "cancel",
        .group = "cancel",
        .about = "a cancel callback registered and taken off",
        .op = "pair",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .sample = callback_sample,
    },
    {
        .name = "cancel/under",
        .group = "cancel",
        .about = "an expression evaluated under a source",
        .op = "expression",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .sample = under_sample,
    },
    {
        .name = "cancel/waits",
        .group = "cancel",
        .about = "many tasks that wait are cancelled and end",
        .op = "task",
        .flags = TB_LOAD_QUICK | TB_LOAD_ONCE,
        .samples_max = 5,
        .params = {{"tasks", 100000, 1, 1000000, "tasks that wait"}},
        .open = waits_open,
        .sample = waits_sample,
        .check = waits_check,
        .close = waits_close,
    },
    {
        .name = "cancel/io",
        .group = "cancel",
        .about = "from the cancellation of a receive by a foreign thread until its task runs",
        .op = "cancellation",
        .flags = TB_LOAD_QUICK | TB_LOAD_OUTSIDE | TB_LOAD_ONCE,
        .params = {{"cancels", 100, 1, CANCELS_KEPT, "cancellations in a sample"},
                   {"idle_us", 300, 1, 900000, "pause before each, in us"}},
        .open = io_open,
        .sample = io_sample,
        .close = io_close,
    },
    {.name = NULL},
};
