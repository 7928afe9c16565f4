/* test_net.c: listeners when the system refuses what they ask for. */
#include "pool/base/sys.h"
#include "tests/support/wt.h"
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weft/net.h>
#include <weft/weft.h>

static struct wf_sys real;
static atomic_int calls, failing_call; /* of `call`, counted from 1; 0: none */
static atomic_int accepts_to_fail, accept_error;

static long failing(long number, long a, long b, long c, long d, long e, long f)
{
    if (atomic_fetch_add(&calls, 1) + 1 == atomic_load(&failing_call)) {
        return -ENOBUFS;
    }
    if (number == SYS_accept4 && atomic_load(&accepts_to_fail) > 0) {
        atomic_fetch_sub(&accepts_to_fail, 1);
        return atomic_load(&accept_error);
    }
    return real.call(number, a, b, c, d, e, f);
}

static void *no_memory(size_t alignment, size_t bytes)
{
    (void)alignment, (void)bytes;
    return NULL;
}

static void begin(void)
{
    real = wf_sys;
    wf_sys.call = failing;
}

static void end(void)
{
    wf_sys = real;
}

static int open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* Each call in turn is refused: an error, nothing left open, no file left behind. */
static void refuse_each(const char *address, const char *file)
{
    int before = open_descriptors();
    int k = 0;
    int rc = -1;
    while (rc < 0) { /* ends: it makes so many calls */
        weft_listener *listener;
        atomic_store(&calls, 0);
        atomic_store(&failing_call, ++k);
        rc = weft_listen(&listener, address, .lanes = 2, .conn.nodelay = 1);
        bool done = atomic_load(&calls) < k; /* none was refused */
        atomic_store(&failing_call, 0);
        wt_true(rc == 0 || rc == -ENOBUFS, "%d", rc);
        wt_true(rc < 0 || done || file != NULL, "call %d was refused, and nobody noticed", k);
        wt_true((rc < 0) == (listener == NULL));
        if (rc < 0) {
            wt_true(file == NULL || access(file, F_OK) != 0, "call %d", k);
        }
        weft_listener_free(listener);
        if (file != NULL) {
            unlink(file); /* if it was not known to be ours, because that call was refused */
        }
        wt_eq(open_descriptors(), before, "call %d", k);
        wt_lt(k, 100);
        rc = done ? 0 : -1;
    }
    wt_gt(k, 3);
}

Test(net_sys, a_listener_that_cannot_be_had_leaves_nothing, .init = begin, .fini = end)
{
    refuse_each("127.0.0.1:0", NULL);
    char folder[] = "/tmp/weft-net-XXXXXX";
    wt_true(mkdtemp(folder) != NULL);
    char address[60], file[40];
    snprintf(file, sizeof file, "%s/s", folder);
    snprintf(address, sizeof address, "unix:%s", file);
    refuse_each(address, file);
    wt_eq(rmdir(folder), 0);
    wf_sys.alloc = no_memory;
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), -ENOMEM);
    wf_sys.alloc = real.alloc;
}

/* --- accepting -------------------------------------------------------------------------------- */

#define CLIENTS 10

static int accept_some(void *arg)
{
    (void)arg;
    weft_listener *listener;
    weft_addr address;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    weft_listener_addr(listener, &address);
    int clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        wt_eq(connect(clients[i], (struct sockaddr *)&address.storage, address.bytes), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        int fd = weft_listener_accept(listener, NULL);
        if (fd == -EPERM) { /* is told, once */
            fd = weft_listener_accept(listener, NULL);
        }
        wt_ge(fd, 0);
        weft_close(fd);
    }
    wt_eq(weft_within(WEFT_MS(1), weft_listener_accept(listener, NULL)), -ETIME);
    for (int i = 0; i < CLIENTS; i++) {
        close(clients[i]);
    }
    weft_listener_free(listener);
    return 0;
}

/* By epoll, whose calls can be refused: what the listener makes of it is the same for both. */
static void with_accept_error(int error, int times)
{
    int before = open_descriptors();
    atomic_store(&accept_error, error);
    atomic_store(&accepts_to_fail, times);
    wt_eq(weft_run(accept_some, NULL, .workers = 1, .io = "epoll"), 0);
    wt_eq(atomic_load(&accepts_to_fail), 0);
    wt_eq(open_descriptors(), before);
}

Test(net_sys, a_kernel_that_accepts_one_at_a_time_is_asked_for_one_at_a_time, .init = begin,
     .fini = end)
{
    with_accept_error(-EINVAL, 1);
}

Test(net_sys, a_connection_that_has_gone_is_passed_over, .init = begin, .fini = end)
{
    with_accept_error(-ECONNABORTED, 3);
}

Test(net_sys, another_error_is_told_once, .init = begin, .fini = end)
{
    with_accept_error(-EPERM, 1);
}
