/* test_op.c: the part of an op's life that all drivers share, with a driver that only takes
 * notes. */
#include "io/op.h"
#include "pool/pool.h"
#include "tests/support/wt.h"
#include <errno.h>

static struct wf_pool pool;
static struct wf_worker home;
static struct wf_op op;
static int submitted, cancelled, done;

static void note_submit(struct wf_worker *worker, struct wf_op *which)
{
    wt_eq(worker, &home);
    which->phase = WF_OP_PENDING;
    submitted++;
}

static void note_cancel(struct wf_worker *worker, struct wf_op *which)
{
    wt_eq(worker, &home);
    wt_eq(which->heard, 1);
    cancelled++;
}

static const struct wf_io_ops io_ops = {.submit = note_submit, .cancel = note_cancel};
static const struct wf_driver_ops driver_ops = {.name = "notes"};
static struct wf_io_driver driver = {.base = {.ops = &driver_ops}, .io = &io_ops};

static void note_done(struct wf_op *which)
{
    wt_eq(which, &op);
    wt_eq(which->phase, WF_OP_ENDED);
    done++;
}

static void set_up(void)
{
    wt_eq(wf_park_init(&pool.park, 1), 0);
    pool.driver = &driver.base;
    home.pool = &pool;
    home.driver = &driver.base;
    op = (struct wf_op){.kind = WF_OP_NOP, .done = note_done};
    wf_io_submit(&home, &op);
    wt_eq(submitted, 1);
}

static int hear(void)
{
    int count = 0;
    struct wf_work *message = wf_xchg_relaxed(&home.inbox, NULL);
    while (message != NULL) {
        struct wf_work *next = message->next;
        message->run(NULL, message);
        message = next;
        count++;
    }
    return count;
}

Test(op, ends_with_its_result, .init = set_up)
{
    wf_op_end(&op, 42);
    wt_eq(done, 1);
    wt_eq(op.res, 42);
}

Test(op, cancelled_once_is_asked_for_once, .init = set_up)
{
    wf_io_cancel(&op);
    wf_io_cancel(&op);
    wt_eq(cancelled, 0);
    wt_eq(hear(), 1);
    wt_eq(cancelled, 1);
    wf_io_cancel(&op);
    wt_eq(hear(), 0);
    wf_op_end(&op, -ECANCELED);
    wt_eq(done, 1);
}

Test(op, cancelled_after_its_end_hears_nothing, .init = set_up)
{
    wf_op_end(&op, 0);
    wf_io_cancel(&op);
    wt_eq(hear(), 0);
    wt_eq(cancelled, 0);
    wt_eq(done, 1);
}

Test(op, done_comes_with_the_message_if_that_is_later, .init = set_up)
{
    wf_io_cancel(&op);
    wf_op_end(&op, 7);
    wt_eq(done, 0);
    wf_io_cancel(&op);
    wt_eq(hear(), 1);
    wt_eq(done, 1);
    wt_eq(cancelled, 0, "there is nothing left to cancel");
    wt_eq(op.res, 7);
}

Test(op, interruption_is_a_cancellation_if_one_was_asked_for, .init = set_up)
{
    wf_io_cancel(&op);
    hear();
    wf_op_end(&op, -EINTR);
    wt_eq(op.res, -ECANCELED);
}

Test(op, interruption_is_none_otherwise, .init = set_up)
{
    wf_op_end(&op, -EINTR);
    wt_eq(op.res, -EINTR);
}

Test(op, can_be_submitted_again, .init = set_up)
{
    wf_io_cancel(&op);
    hear();
    wf_op_end(&op, -ECANCELED);
    wf_io_submit(&home, &op);
    wt_eq(submitted, 2);
    wf_op_end(&op, 1);
    wt_eq(done, 2);
    wt_eq(op.res, 1);
    wf_io_submit(&home, &op);
    wf_io_cancel(&op);
    wt_eq(hear(), 1);
    wt_eq(cancelled, 2);
}
