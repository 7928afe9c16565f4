/* Descriptors that are closed, and whose numbers go to other files, between two operations of one call. */
#include "net_pattern.h"
#include <sys/ioctl.h>

#define EdgeTest(name, ...)                                 \
    static int name##_root(void *arg);                      \
    Test(close_edge, name)                                  \
    {                                                       \
        wt_eq(weft_run(name##_root, NULL, __VA_ARGS__), 0); \
    }                                                       \
    static int name##_root(void *arg __attribute__((unused)))

static char large[1 << 20]; /* more than a socket takes */

struct use {
    int fd;
    atomic_int ended;
    ssize_t got;
};

/* The number of `ends[0]`, which was closed. */
static void reuse(const int ends[2], int next[2])
{
    open_pair(next, SOCK_STREAM);
    wt_eq(next[0], ends[0]);
}

/* --- sends of several operations -------------------------------------------------------------- */

static int do_send_all(void *arg)
{
    struct use *use = arg;
    use->got = weft_send_all(use->fd, large, sizeof large, 0);
    atomic_store(&use->ended, 1);
    return 0;
}

static int do_sendv_all(void *arg)
{
    struct use *use = arg;
    struct iovec parts[] = {{large, 10}, {large + 10, sizeof large - 10}};
    use->got = weft_sendv_all(use->fd, parts, 2, 0);
    atomic_store(&use->ended, 1);
    return 0;
}

static void close_under_a_send(weft_fn *fn)
{
    int ends[2], next[2];
    int there = 0;
    char byte;
    ssize_t stray = -1;
    open_pair(ends, SOCK_STREAM);
    struct use use = {.fd = ends[0]};
    weft_task task;
    wt_eq(weft_spawn(&task, fn, &use), 0);
    while (there == 0) { /* ends: it has begun to send */
        weft_yield();
        wt_eq(ioctl(ends[1], FIONREAD, &there), 0);
    }
    wt_eq(weft_close(ends[0]), 0);
    reuse(ends, next);
    while (stray < 0 && atomic_load(&use.ended) == 0) { /* ends: it is, or sends to the next file */
        weft_yield();
        stray = recv(next[1], &byte, 1, MSG_DONTWAIT);
    }
    wt_eq(stray, -1);
    wt_eq(weft_await(&task), 0);
    wt_gt(use.got, 0); /* what it had sent */
    wt_lt(use.got, (ssize_t)sizeof large);
    close(ends[1]);
    close_pair(next);
}

EdgeTest(of_a_send_in_several_steps_the_next_file_gets_nothing, .workers = 1)
{
    for (int i = 0; i < 5; i++) {
        close_under_a_send(do_send_all);
        close_under_a_send(do_sendv_all);
    }
    return 0;
}

EdgeTest(nor_does_it_with_several_workers, .workers = 3)
{
    for (int i = 0; i < 20; i++) {
        close_under_a_send(do_send_all);
        close_under_a_send(do_sendv_all);
    }
    return 0;
}
