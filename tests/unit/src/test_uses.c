/* src/uses.h while close(2) itself is under way: the moment at which nobody knows which file the number
 * means. */
#include "pool/base/sys.h"
#include "tests/patterns/net_pattern.h"
#include <weft/file.h>

static struct wf_sys honest;

/* What the other task does meanwhile, and what came of it. */
static enum { NOTHING, RECEIVES_BEFORE, RECEIVES_AFTER, CLOSES_AFTER } role;
static int the_fd, next[2];
static atomic_int is_there, may_begin, begins;
static ssize_t got;

static void let_the_other_begin(void)
{
    atomic_store(&may_begin, 1);
    while (atomic_load(&begins) == 0) { /* ends: it runs on the other worker */
        sched_yield();
    }
    usleep(3000); /* no result depends on it: it is inside, mostly */
}

/* Of the root task alone, on its worker. */
static int slow_close(int fd)
{
    if (fd != the_fd) {
        return honest.close(fd);
    }
    the_fd = -1; /* once */
    if (role == RECEIVES_BEFORE) {
        let_the_other_begin();
        return honest.close(fd);
    }
    int rc = honest.close(fd);
    open_pair(next, SOCK_STREAM);
    wt_eq(next[0], fd);
    wt_eq(send(next[1], "n", 1, MSG_NOSIGNAL), 1);
    let_the_other_begin();
    return rc;
}

static int other(void *arg)
{
    int fd = *(int *)arg;
    char byte = 0;
    atomic_store(&is_there, 1);
    while (atomic_load(&may_begin) ==
           0) { /* ends: see slow_close. Not to be taken off its worker */
        sched_yield();
    }
    atomic_store(&begins, 1);
    got = role == CLOSES_AFTER ? weft_close(fd)
                               : weft_within(WEFT_SEC(20), weft_recv(fd, &byte, 1, 0));
    return byte == 0 || byte == 'n' ? 0 : -EPROTO;
}

static int close_slowly(void *arg)
{
    (void)arg;
    int ends[2];
    weft_task task;
    open_pair(ends, SOCK_STREAM);
    int fd = ends[0];
    wt_eq(weft_spawn(&task, other, &fd), 0);
    while (atomic_load(&is_there) == 0) { /* ends: the other worker takes it */
        sched_yield();
    }
    the_fd = fd;
    wt_eq(weft_close(fd), 0);
    wt_eq(weft_await(&task), 0);
    honest.close(ends[1]);
    return 0;
}

static void run(int the_role)
{
    role = the_role;
    the_fd = -1;
    atomic_store(&is_there, 0);
    atomic_store(&may_begin, 0);
    atomic_store(&begins, 0);
    honest = wf_sys;
    wf_sys.close = slow_close;
    wt_eq(weft_run(close_slowly, NULL, .workers = 2), 0);
    wf_sys = honest;
}

Test(uses, what_begins_just_before_the_number_is_free_does_not_wait_at_the_old_file, .timeout = 60)
{
    run(RECEIVES_BEFORE);
    wt_eq(got, -EBADF);
}

Test(uses, what_begins_at_the_next_file_is_not_refused_for_the_old_one, .timeout = 60)
{
    run(RECEIVES_AFTER);
    wt_eq(got, 1);
    close_pair(next);
}

Test(uses, the_next_file_can_be_closed_while_the_old_one_still_is, .timeout = 60)
{
    run(CLOSES_AFTER);
    wt_eq(got, 0);
    wt_eq(fcntl(next[0], F_GETFD), -1);
    close(next[1]);
}
