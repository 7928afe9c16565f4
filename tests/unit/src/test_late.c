/* What had come before a deadline, and a worker that looks at both too late: it was away in the
 * program's code meanwhile. */
#include "pool/base/sys.h"
#include "tests/support/wt.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/weft.h>

static int64_t (*real_now_ns)(void);
static _Atomic int64_t ahead_ns; /* of the real time */

static int64_t now_ns(void)
{
    return real_now_ns() + ahead_ns;
}

static int fds[2];

static int receive_in_time(void *arg)
{
    (void)arg;
    char byte;
    return (int)weft_within(WEFT_SEC(3600), weft_recv(fds[0], &byte, 1, 0));
}

static int send_and_be_away(void *arg)
{
    (void)arg;
    weft_task receiver;
    wt_eq(weft_spawn(&receiver, receive_in_time, NULL), 0);
    wt_eq(weft_sleep(WEFT_MS(1)), 0); /* the receiver waits in the driver */
    wt_eq(send(fds[1], "x", 1, 0), 1);
    ahead_ns = 2 * WEFT_SEC(3600);
    return weft_await(&receiver);
}

Test(late, what_had_come_before_a_deadline_is_handed_over, .timeout = 60)
{
    real_now_ns = wf_sys.now_ns;
    wf_sys.now_ns = now_ns;
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    wt_eq(weft_run(send_and_be_away, NULL, .workers = 1), 1);
    close(fds[0]);
    close(fds[1]);
    wf_sys.now_ns = real_now_ns;
}
