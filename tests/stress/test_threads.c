/* Calls on threads that may block, cancelled at any moment: what says that it was cancelled was
 * not called, and all else was, once. Functions, writes at the position of a few files (which are
 * in lines), and names that are made.
 *
 * The seed is printed; WT_SEED repeats it (not the interleaving). */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/cancel.h>
#include <weft/file.h>
#include <weft/io.h>
#include <weft/stackless.h>
#include <weft/task.h>

#define FILES 3
#define TASKS 24
#define CALLS 150

static uint64_t seed;
static int fds[FILES];
static _Atomic int64_t written[FILES];
static atomic_int called, returned, cancelled;

static int count_call(void *arg)
{
    if ((uintptr_t)arg % 8 == 0) {
        usleep(20); /* no result depends on it: others come to wait for the thread */
    }
    atomic_fetch_add(&called, 1);
    return 7;
}

static bool is_cut(int64_t rc)
{
    atomic_fetch_add(&cancelled, rc == -ETIME || rc == -ECANCELED);
    return rc == -ETIME || rc == -ECANCELED;
}

static void make_one_call(uint64_t *dice)
{
    weft_time patience = (weft_time)(below(dice, 64)) * 1000;
    unsigned kind = below(dice, 4);
    int file = (int)below(dice, FILES);
    if (kind == 0) {
        int rc = weft_within(patience, weft_blocking(count_call, (void *)(uintptr_t)patience));
        wt_true(rc == 7 || is_cut(rc), "%d", rc);
        atomic_fetch_add(&returned, rc == 7);
    } else if (kind == 1) {
        ssize_t n = weft_within(patience, weft_write(fds[file], "abcdefgh", 8));
        wt_true(n == 8 || is_cut(n), "%zd", n);
        atomic_fetch_add(&written[file], n > 0 ? n : 0);
    } else if (kind == 2) {
        weft_val value = weft_write_v(fds[file], "abcd", 4);
        int64_t n = weft_within(patience, weft_val_await(value));
        wt_true(n == 4 || is_cut(n), "%d", (int)n);
        atomic_fetch_add(&written[file], n > 0 ? n : 0);
    } else {
        int rc = weft_within(patience, weft_mkdir("/", 0700));
        wt_true(rc == -EEXIST || is_cut(rc), "%d", rc);
    }
}

WEFT_TASK(make_calls, int)
{
    uint64_t dice = seed + (uint64_t)*arg;
    for (int i = 0; i < CALLS; i++) {
        make_one_call(&dice);
    }
    return 0;
}

static int make_all_calls(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s);
    for (int i = 0; i < TASKS; i++) {
        wt_eq(weft_go(&s, make_calls, &i), 0);
    }
    return weft_scope_end(&s);
}

Test(threads, what_was_cancelled_was_not_called, .timeout = 120)
{
    seed = first_seed();
    for (int workers = 1; workers <= 4; workers *= 2) {
        for (int i = 0; i < FILES; i++) {
            fds[i] = memfd_create("file", MFD_CLOEXEC);
            atomic_store(&written[i], 0);
        }
        atomic_store(&called, 0);
        atomic_store(&returned, 0);
        atomic_store(&cancelled, 0);
        wt_eq(weft_run(make_all_calls, NULL, .workers = workers, .blocking_max = workers), 0);
        wt_eq(atomic_load(&called), atomic_load(&returned));
        for (int i = 0; i < FILES; i++) {
            struct stat about;
            wt_eq(fstat(fds[i], &about), 0);
            wt_eq(about.st_size, atomic_load(&written[i]), "file %d", i);
            close(fds[i]);
        }
        printf("%d workers: %d called, %d calls cancelled, of %d\n", workers, atomic_load(&called),
               atomic_load(&cancelled), TASKS * CALLS);
    }
}
