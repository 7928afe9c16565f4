/* load_frames.c: once-only values and frames, the tasks without a stack: what each costs, and what
 * a waiting frame weighs.
 *
 * Weight. The frames lie in an array that is reserved before the first look at this process's
 * memory and touched afterwards; so the growth has in it all that a waiting frame takes, here and
 * in the runtime. "frame" is that growth by frame; "beyond_own" is it without the row's own
 * fields. */
#include "clock.h"
#include "load.h"
#include "usage.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <weft/stackless.h>

/* --- val -------------------------------------------------------------------------------------- */

/* Through a pointer, as a cache behind an interface is asked. */
static weft_val find_now(uint64_t key)
{
    return weft_val_done((int64_t)key);
}

static weft_val (*volatile find_v)(uint64_t key) = find_now;

static int val_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        weft_val val = find_v(i);
        sum += (uint64_t)weft_val_await(val);
    }
    return sum == rounds * (rounds - 1) / 2 ? 0 : tb_wrong(trial, "the sum is wrong");
}

static int pending_sample(struct tb_trial *trial, uint64_t rounds)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    int64_t rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        weft_val val = weft_sem_acquire_v(&sem);
        bool pending = weft_val_ready(val) == 0;
        weft_sem_release(&sem, 1);
        rc = weft_val_await(val);
        rc = rc == 0 && !pending ? tb_wrong(trial, "it was not pending") : rc;
    }
    if (rc == 0 && weft_sem_count(&sem) != 0) {
        rc = tb_wrong(trial, "a permit is left");
    }
    weft_sem_fini(&sem);
    return (int)rc;
}

/* --- frame ------------------------------------------------------------------------------------ */

struct visitor {
    weft_frame sm;
    weft_sem *arrived, *gate;
    int rc;
};

WEFT_STEP(visit, struct visitor)
{
    WEFT_BEGIN(&f->sm);
    weft_sem_release(f->arrived, 1);
    WEFT_AWAIT(&f->sm, f->rc, weft_sem_acquire_v(f->gate));
    return f->rc < 0 ? f->rc : 1;
}

/* Starts a frame, meets it where it waits, lets it go on and awaits its end. */
static int frame_sample(struct tb_trial *trial, uint64_t rounds)
{
    weft_sem arrived, gate;
    weft_sem_init(&arrived, 0, 0);
    weft_sem_init(&gate, 0, 0);
    int64_t rc = 1;
    for (uint64_t i = 0; i < rounds && rc == 1; i++) {
        struct visitor visitor = {.arrived = &arrived, .gate = &gate};
        weft_val end = weft_frame_v(visit, &visitor);
        int met = weft_sem_acquire(&arrived);
        bool waits = weft_val_ready(end) == 0;
        weft_sem_release(&gate, 1);
        rc = weft_val_await(end);
        rc = rc == 1 && (met < 0 || !waits) ? tb_wrong(trial, "the frame did not wait") : rc;
    }
    weft_sem_fini(&arrived);
    weft_sem_fini(&gate);
    return rc == 1 ? 0 : (int)rc;
}

/* --- mem-frames ------------------------------------------------------------------------------- */

struct guest {
    weft_frame sm;
    struct hall *hall;
    int rc;
};

struct hall {
    weft_sem gate;
    _Atomic uint64_t arrived;
    _Atomic uint64_t left;
    bool measured; /* the first sample is over */
    struct guest *guests;
    size_t bytes;
};

WEFT_STEP(wait_in_hall, struct guest)
{
    WEFT_BEGIN(&f->sm);
    /* relaxed, both: counts that order nothing; weft_scope_end orders the last look at them */
    atomic_fetch_add_explicit(&f->hall->arrived, 1, memory_order_relaxed);
    WEFT_AWAIT(&f->sm, f->rc, weft_sem_acquire_v(&f->hall->gate));
    atomic_fetch_add_explicit(&f->hall->left, f->rc == 0, memory_order_relaxed);
    return f->rc;
}

WEFT_STEP(sleep_in_hall, struct guest)
{
    WEFT_BEGIN(&f->sm);
    atomic_fetch_add_explicit(&f->hall->arrived, 1, memory_order_relaxed);
    WEFT_AWAIT(&f->sm, f->rc, weft_sleep_v(WEFT_SEC(3600)));
    /* it is cancelled, not over */
    atomic_fetch_add_explicit(&f->hall->left, f->rc == -ECANCELED, memory_order_relaxed);
    return f->rc;
}

static int memory_open(struct tb_trial *trial)
{
    uint64_t n = trial->params[0];
    struct hall *hall = calloc(1, sizeof *hall);
    if (!hall) {
        return tb_skip(trial, "no memory for the results");
    }
    hall->bytes = n * sizeof(struct guest);
    hall->guests =
        mmap(NULL, hall->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (hall->guests == MAP_FAILED || tb_memory_available() < 2 * hall->bytes) {
        if (hall->guests != MAP_FAILED) {
            munmap(hall->guests, hall->bytes);
        }
        free(hall);
        return tb_skip(trial, "no memory for the frames");
    }
    trial->ops_per_round = n;
    trial->state = hall;
    return 0;
}

static void memory_close(struct tb_trial *trial)
{
    struct hall *hall = trial->state;
    munmap(hall->guests, hall->bytes);
    free(hall);
}

static void note_growth(struct tb_trial *trial, const struct tb_usage *before,
                        const struct tb_usage *after, uint64_t create_ns)
{
    double n = (double)trial->params[0];
    double tables = (double)after->page_tables_bytes - (double)before->page_tables_bytes;
    double frame = ((double)after->pss_bytes - (double)before->pss_bytes + tables) / n;
    tb_metric(trial, "frame", "B", frame);
    tb_metric(trial, "beyond_own", "B",
              frame - (double)(sizeof(struct guest) - sizeof(weft_frame)));
    tb_metric(trial, "create_cold", "ns", (double)create_ns / n);
}

static int memory_round(struct tb_trial *trial, bool sleeping)
{
    struct hall *hall = trial->state;
    uint64_t n = trial->params[0];
    struct tb_usage before, after;
    hall->arrived = 0;
    hall->left = 0;
    weft_sem_init(&hall->gate, 0, 0);
    WEFT_SCOPE(scope, .on_error = WEFT_CONTINUE);
    tb_usage_get(&before);
    uint64_t start = tb_now_ns();
    int rc = 0;
    for (uint64_t i = 0; i < n && rc == 0; i++) {
        hall->guests[i].hall = hall;
        rc = sleeping ? weft_go_frame(&scope, sleep_in_hall, &hall->guests[i])
                      : weft_go_frame(&scope, wait_in_hall, &hall->guests[i]);
    }
    while (rc == 0 && atomic_load_explicit(&hall->arrived, memory_order_relaxed) < n) {
        rc = weft_yield();
    }
    trial->elapsed_ns = tb_now_ns() - start;
    if (rc == 0 && !hall->measured) {
        tb_usage_get(&after);
        note_growth(trial, &before, &after, trial->elapsed_ns);
        hall->measured = true;
    }
    if (sleeping) {
        weft_scope_cancel(&scope, "measured");
    } else {
        weft_sem_release(&hall->gate, (uint32_t)n);
    }
    int end = weft_scope_end(&scope);
    weft_sem_fini(&hall->gate);
    return rc < 0 ? rc : sleeping && end == -ECANCELED ? 0 : end;
}

static int gate_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    return memory_round(trial, false);
}

static int sleep_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    return memory_round(trial, true);
}

static int memory_check(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    const struct hall *hall = trial->state;
    if (hall->left != trial->params[0]) {
        return tb_wrong(trial, "%llu frames went on, not %llu", (unsigned long long)hall->left,
                        (unsigned long long)trial->params[0]);
    }
    return 0;
}

const struct tb_load tb_loads_frames[] = {
    {
        .name = "val",
        .group = "frames",
        .about = "a value that is there is made and consumed",
        .op = "value",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .sample = val_sample,
    },
    {
        .name = "val/pending",
        .group = "frames",
        .about = "a value is begun, completed and consumed",
        .op = "value",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .sample = pending_sample,
    },
    {
        .name = "frame",
        .group = "frames",
        .about = "a frame is started, waits once, ends and is awaited",
        .op = "frame",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .sample = frame_sample,
    },
    {
        .name = "mem-frames",
        .group = "frames",
        .about = "a million frames that wait at a semaphore; bytes and creation of each",
        .op = "frame created",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE | TB_LOAD_ONCE,
        .samples_max = 5,
        .params = {{"frames", 1000000, 1, 4000000, "frames that wait at a time"}},
        .open = memory_open,
        .sample = gate_sample,
        .check = memory_check,
        .close = memory_close,
    },
    {
        .name = "frames/sleep",
        .group = "frames",
        .about = "a million frames that sleep; bytes and creation of each",
        .op = "frame created",
        .flags = TB_LOAD_ALONE | TB_LOAD_ONCE,
        .samples_max = 3,
        .params = {{"frames", 1000000, 1, 4000000, "frames that wait at a time"}},
        .open = memory_open,
        .sample = sleep_sample,
        .check = memory_check,
        .close = memory_close,
    },
    {.name = NULL},
};
