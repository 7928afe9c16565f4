/* What stands above the single operations, awaited by frames: processes, signals, directories,
 * datagrams, descriptors; and the same values on a loop, which has no ring. (What each gives is in
 * the script of tests/unit/io/conformance.h.) */
#include "net_pattern.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <weft/exec.h>
#include <weft/file.h>
#include <weft/proc.h>
#include <weft/signal.h>

/* --- one frame, all of them ------------------------------------------------------------------- */

#define DATAGRAMS 3

struct all {
    weft_frame sm;
    int datagrams[2], stream[2], passed, count;
    weft_proc *proc;
    weft_signal signals;
    weft_dir *dir;
    weft_addr to, from;
    weft_proc_exit how;
    weft_dir_entry entry;
    long rc;
    int entries, got;
    char buffer[DATAGRAMS][16];
    struct iovec parts[DATAGRAMS];
    struct mmsghdr messages[DATAGRAMS];
};

static atomic_int stage; /* the frame is about to wait for this */

WEFT_STEP(await_all, struct all)
{
    WEFT_BEGIN(&f->sm);
    atomic_store(&stage, 1);
    WEFT_AWAIT(&f->sm, f->rc,
               weft_recvfrom_v(f->datagrams[0], f->buffer[0], sizeof f->buffer[0], 0, &f->from));
    wt_eq(f->rc, 3);
    wt_str_eq(f->buffer[0], "abc");
    WEFT_AWAIT(&f->sm, f->rc, weft_sendto_v(f->datagrams[0], "back", 4, 0, &f->from));
    wt_eq(f->rc, 4);
    for (int i = 0; i < DATAGRAMS; i++) {
        f->parts[i] = (struct iovec){f->buffer[i], sizeof f->buffer[i]};
        f->messages[i].msg_hdr = (struct msghdr){.msg_iov = &f->parts[i], .msg_iovlen = 1};
    }
    atomic_store(&stage, 2);
    while (f->got < DATAGRAMS) { /* ends: as many are sent */
        WEFT_AWAIT(&f->sm, f->rc,
                   weft_recv_many_v(f->datagrams[0], f->messages, DATAGRAMS - f->got, 0));
        wt_ge(f->rc, 1);
        f->got += (int)f->rc;
    }
    f->count = 1;
    atomic_store(&stage, 3);
    WEFT_AWAIT(&f->sm, f->rc,
               weft_recv_fds_v(f->stream[0], f->buffer[0], 1, &f->passed, &f->count));
    wt_eq(f->rc, 1);
    wt_eq(f->count, 1);
    atomic_store(&stage, 4);
    WEFT_AWAIT(&f->sm, f->rc, weft_signal_next_v(&f->signals));
    wt_eq(f->rc, SIGUSR1);
    for (;;) { /* ends: with the directory */
        WEFT_AWAIT(&f->sm, f->rc, weft_dir_next_v(f->dir, &f->entry));
        if (f->rc <= 0) {
            break;
        }
        f->entries++;
    }
    wt_eq(f->rc, 0);
    wt_gt(f->entries, 2);
    atomic_store(&stage, 5);
    WEFT_AWAIT(&f->sm, f->rc, weft_proc_wait_v(f->proc, &f->how));
    wt_eq(f->rc, 0);
    wt_eq(f->how.code, 5);
    return 0;
}

static atomic_int catcher_stops;

static void *catch_signals(void *arg)
{
    (void)arg;
    sigset_t none;
    sigemptyset(&none);
    wt_eq(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
    while (!atomic_load(&catcher_stops)) { /* ends: the test */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

static int udp_socket(weft_addr *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    wt_eq(weft_addr_parse(address, "127.0.0.1:0"), 0);
    wt_eq(bind(fd, (struct sockaddr *)&address->storage, address->bytes), 0);
    wt_eq(weft_addr_local(fd, address), 0);
    return fd;
}

/* The other side of it all; each time after the frame has said that it is about to wait. */
static void serve_all(struct all *all, pthread_t catcher)
{
    weft_addr own;
    char got[8] = "";
    int fd = udp_socket(&own);
    yield_until(&stage, 1);
    wt_eq(weft_sendto(fd, "abc", 3, 0, &all->to), 3);
    wt_eq(weft_recv(fd, got, sizeof got, 0), 4);
    yield_until(&stage, 2);
    for (int i = 0; i < DATAGRAMS; i++) {
        wt_eq(weft_sleep(WEFT_US(500)),
              0); /* so that it mostly waits for each: no result depends on it */
        wt_eq(weft_sendto(fd, "x", 1, 0, &all->to), 1);
    }
    yield_until(&stage, 3);
    wt_eq(weft_send_fds(all->stream[1], "x", 1, &fd, 1), 1);
    close(fd);
    yield_until(&stage, 4);
    wt_eq(pthread_kill(catcher, SIGUSR1), 0);
    yield_until(&stage, 5);
    wt_eq(weft_write(weft_proc_fd(all->proc, 0), "\n", 1), 1);
}

TaskTest(frame_calls, a_frame_awaits_datagrams_descriptors_signals_entries_and_a_process, 1)
{
    static struct all all;
    pthread_t catcher;
    int before = open_descriptors();
    atomic_store(&stage, 0);
    wt_eq(pthread_create(&catcher, NULL, catch_signals, NULL), 0);
    all.datagrams[0] = udp_socket(&all.to);
    open_pair(all.stream, SOCK_STREAM);
    wt_eq(weft_signal_open(&all.signals, (int[]){SIGUSR1, 0}), 0);
    wt_eq(weft_dir_open(&all.dir, AT_FDCWD, "/"), 0);
    wt_eq(weft_proc_spawn(&all.proc, ((char *[]){"sh", "-c", "read x; exit 5", NULL}),
                          .in = WEFT_PROC_PIPE),
          0);
    WEFT_SCOPE(frames);
    wt_eq(weft_go_frame(&frames, await_all, &all), 0);
    serve_all(&all, catcher);
    wt_eq(weft_scope_end(&frames), 0);
    weft_proc_free(all.proc);
    weft_dir_close(all.dir);
    weft_signal_close(&all.signals);
    close_pair(all.stream);
    close(all.datagrams[0]);
    close(all.passed);
    atomic_store(&catcher_stops, 1);
    pthread_join(catcher, NULL);
    wt_eq(open_descriptors(), before);
    return 0;
}

/* --- on a loop -------------------------------------------------------------------------------- */

static struct {
    weft_exec *loop;
    atomic_int over;
} ui;

static int do_on_loop(void *arg)
{
    int *fds = arg;
    char buffer[8];
    struct iovec part = {buffer, sizeof buffer};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    wt_eq(weft_move_to(ui.loop, NULL), 0);
    weft_val many = weft_recv_many_v(fds[0], &message, 1, 0);
    weft_val one = weft_recvfrom_v(fds[0], buffer, sizeof buffer, 0, NULL);
    wt_eq(weft_val_await_new(weft_sendto_v(fds[1], "a", 1, 0, NULL)), 1);
    wt_eq(weft_val_await_new(weft_sendto_v(fds[1], "b", 1, 0, NULL)), 1);
    wt_eq(weft_val_await(one), 1);
    wt_eq(weft_val_await(many), 1);
    atomic_store(&ui.over, 1);
    return 0;
}

Test(frame_calls, on_a_loop_which_has_no_ring_they_do_the_same)
{
    weft_rt *rt;
    int fds[2];
    open_pair(fds, SOCK_DGRAM);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    wt_eq(weft_exec_loop_new(&ui.loop, rt), 0);
    wt_eq(weft_post(rt, do_on_loop, fds), 0);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (!atomic_load(&ui.over)) { /* ends: at give_up_ns */
        wt_lt(now_ns(), give_up_ns);
        struct pollfd p = {.fd = weft_exec_fd(ui.loop), .events = POLLIN};
        weft_time left = weft_exec_timeout(ui.loop);
        (void)poll(&p, 1, left == WEFT_FOREVER ? 1000 : (int)(left / 1000000 + 1));
        wt_ge(weft_exec_run(ui.loop), 0);
    }
    wt_eq(weft_exec_free(ui.loop), 0);
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    weft_rt_free(rt);
    close_pair(fds);
}
