/* test_slice.c: each worker asks the scheduler for short slices, once, and goes on if it gets
 * none. */
#include "pool/base/atomic.h"
#include "pool/base/sys.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <weft/weft.h>

static WF_ATOMIC(int) asked, wrong;

static int refuse(int64_t ns)
{
    (void)wf_add_relaxed(&asked, 1);
    (void)wf_add_relaxed(&wrong, ns != 100000);
    return -EPERM;
}

static int nothing(void *arg)
{
    (void)arg;
    return 7;
}

Test(slice, each_worker_asks_for_one_and_runs_without)
{
    struct wf_sys real = wf_sys;
    wf_sys.thread_slice = refuse;
    wt_eq(weft_run(nothing, NULL, .workers = 3), 7);
    wf_sys = real;
    wt_eq(wf_load_relaxed(&asked), 3);
    wt_eq(wf_load_relaxed(&wrong), 0);
}
