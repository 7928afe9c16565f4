/* stackless.h: once-only values, and frames: tasks without a stack of their own.
 *
 * A *value* (weft_val) is the result of an operation that was begun and may still be under way:
 * what a ValueTask is elsewhere. It is 24 bytes, made by a call whose name ends in _v, and consumed
 * once. What is known at once lies in the value itself: no allocation, a few nanoseconds. What is
 * not stands in a pooled completion of 128 bytes (256 for an operation of the kernel, 384 with a
 * message).
 *
 * A *frame* is a task that keeps what it needs over a wait in a struct instead of on a stack: 128
 * bytes of weft and the program's own fields, where a stack takes some KiB. For a million
 * connections that mostly wait; else write a task, which is simpler and as fast.
 *
 *     struct echo {
 *         weft_frame sm; // first, and called so
 *         int fd;
 *         ssize_t n;
 *         char buffer[512];
 *     };
 *
 *     WEFT_STEP(echo_step, struct echo) // `f` is the struct echo *
 *     {
 *         WEFT_BEGIN(&f->sm);
 *         for (;;) {
 *             WEFT_AWAIT(&f->sm, f->n, weft_recv_v(f->fd, f->buffer, sizeof f->buffer, 0));
 *             if (f->n <= 0) {
 *                 return (int)f->n;
 *             }
 *             WEFT_AWAIT(&f->sm, f->n, weft_send_v(f->fd, f->buffer, (size_t)f->n, 0));
 *         }
 *     }
 *
 * Which operations have a form with _v; their arguments are the same, and so are their results,
 * which the value carries:
 *
 *     task.h    weft_await_v, weft_sleep_v
 *     sync.h    weft_sem_acquire_v, weft_sem_acquire_n_v, weft_event_wait_v, weft_latch_wait_v,
 *               weft_barrier_wait_v, weft_ticker_wait_v
 *     chan.h    weft_chan_send_v, weft_chan_recv_v
 *     select.h  weft_select_v; so also a watch, and a broadcast: it waits at one case
 *     gen.h     weft_gen_next_v
 *     io.h      weft_read_v, weft_write_v, weft_pread_v, weft_pwrite_v, weft_open_v, weft_fsync_v,
 *               weft_statx_v, weft_accept_v, weft_connect_v, weft_recv_v, weft_send_v,
 *               weft_wait_fd_v, weft_readv_v, weft_writev_v, weft_preadv_v, weft_pwritev_v
 *     net.h     weft_listener_accept_v, weft_sendmsg_v, weft_recvmsg_v, weft_sendv_v,
 *               weft_sendto_v, weft_recvfrom_v, weft_send_many_v, weft_recv_many_v,
 *               weft_send_fds_v, weft_recv_fds_v
 *     loan.h    weft_recv_loan_v
 *     file.h    weft_openat_v, weft_openat2_v, weft_renameat_v, weft_unlinkat_v, weft_mkdirat_v,
 *               weft_symlinkat_v, weft_linkat_v, weft_readlinkat_v, weft_ftruncate_v,
 *               weft_fallocate_v, weft_fdatasync_v, weft_dir_next_v
 *     proc.h    weft_proc_wait_v
 *     signal.h  weft_signal_next_v
 *
 * Everything else, which takes several waits (weft_foreach, weft_when, weft_send_all, weft_resolve,
 * weft_connect_to, weft_copy_range and weft_copy_file, weft_file_read and weft_file_write,
 * weft_dir_open, weft_proc_spawn and weft_proc_run, readers and writers, a whole function of the
 * program), becomes a value by weft_task_v. weft_stat and its like are weft_statx_v with other
 * arguments. What does not wait needs no form: weft_close (which waits only for others' mistakes),
 * weft_shutdown, weft_pipe, weft_proc_kill. Mutexes and rwlocks have owners that are tasks, and a
 * frame is none between its steps: it takes a semaphore of one permit. Nor has it scopes that last
 * over a wait, so weft_scope_next has no such form; and what emits into a generator is a task.
 *
 * An operation that was begun belongs to the scope in which it was begun: cancelling the scope
 * cancels it, and the scope's end waits for it. Memory that it names (a buffer, an item) must stay
 * until its value was consumed or dropped and that scope has ended. */
#ifndef WEFT_STACKLESS_H
#define WEFT_STACKLESS_H

#include <weft/chan.h>
#include <weft/file.h>
#include <weft/gen.h>
#include <weft/io.h>
#include <weft/loan.h>
#include <weft/net.h>
#include <weft/proc.h>
#include <weft/select.h>
#include <weft/signal.h>
#include <weft/sync.h>
#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- values ----------------------------------------------------------------------------------- */

/* The result of something that may not have ended yet; to be consumed once. Opaque. Copies are the
 * same value: if it is pending, one of them may be consumed. (A copy of a completed one is a result
 * of its own: nobody could tell.) All zero: consumed. */
typedef struct weft_val {
    uintptr_t source_;        /* 0: consumed; WEFT_VAL_*_; else its completion */
    int64_t word_;            /* the result, or which life of the completion is meant */
    const weft_place *place_; /* where it was made */
} weft_val;

#define WEFT_VAL_DONE_     ((uintptr_t)1)
#define WEFT_VAL_EMBEDDED_ ((uintptr_t)2) /* in the frame that is about to await it */

/* A value that is there already: `result` is >= 0, or -errno. What a function returns that found
 * its answer in a cache. Any thread. Cannot fail, allocates nothing.
 *
 *     weft_val find_v(int id)
 *     {
 *         const struct row *row = cache_look(id);
 *         return row != NULL ? weft_val_done(row->size) : db_find_v(id);
 *     } */
#define weft_val_done(result) weft_val_done_((result), WEFT_HERE)
static inline weft_val weft_val_done_(int64_t result, const weft_place *place)
{
    weft_val val = {WEFT_VAL_DONE_, result, place};
    return val;
}

/* The same for a failure, with a text for the current task's error record as in weft_fail. */
#define weft_val_fail(code, ...) weft_val_done(weft_fail((code), __VA_ARGS__))

int64_t weft_val_await_slow_(weft_val *val);
int weft_val_ready_slow_(const weft_val *val);
int weft_val_drop_slow_(weft_val *val);

/* Consumes the value in the variable `val` (an lvalue; weft_val_await_new takes any expression):
 * waits until it is there, and returns it. Once it has been consumed, here or through a copy of a
 * pending one: misuse, and -ESTALE if the hook returns, always, however often its memory was used
 * again. While another task is waiting for it: -EBUSY. The consumer may be another task than the
 * one that began the operation; while it waits, the operation belongs to its scope. In a cancelled
 * scope: the result, if it is there, else the operation is cancelled, and the result is mostly
 * -ECANCELED. A result that was known at once may be consumed on any thread; what was pending, even
 * if it has ended, in task context: -EPERM elsewhere, and the value is as it was. May suspend. */
#define weft_val_await(val) weft_val_await_(&(val))
static inline int64_t weft_val_await_(weft_val *val)
{
    if (__builtin_expect(val->source_ == WEFT_VAL_DONE_, 1)) {
        val->source_ = 0;
        return val->word_;
    }
    return weft_val_await_slow_(val);
}

/* The same for a value that an expression has just made: weft_val_await_new(find_v(7)). */
#define weft_val_await_new(expression)     \
    __extension__({                        \
        weft_val weft_val_ = (expression); \
        weft_val_await_(&weft_val_);       \
    })

/* Would weft_val_await return at once? 1, or 0; -ESTALE if it was consumed, -EBUSY if somebody is
 * waiting for it. (For an operation of the kernel that has to be begun again 1 may be wrong.) Any
 * thread. Cannot suspend. */
#define weft_val_ready(val) weft_val_ready_(&(val))
static inline int weft_val_ready_(const weft_val *val)
{
    return val->source_ == WEFT_VAL_DONE_ ? 1 : weft_val_ready_slow_(val);
}

/* Gives the value up: a pending operation is cancelled, and completes into the pool; what it
 * brought all the same (a permit, a descriptor) goes back. Of a value that is ready already it does
 * not: await that, and give back what it brought. Does not wait for the operation: the end of the
 * scope in which it was begun does. A value that is neither consumed nor dropped when that scope
 * ends is misuse, reported once with its place, and dropped then. 0; -ESTALE, -EBUSY: nothing was
 * done. Any thread. Cannot suspend; but for an operation that a WEFT_AWAIT's own expression has
 * begun and drops, which lies in the frame: the step waits until it has ended. */
#define weft_val_drop(val) weft_val_drop_(&(val))
static inline int weft_val_drop_(weft_val *val)
{
    if (val->source_ == WEFT_VAL_DONE_) {
        val->source_ = 0;
        return 0;
    }
    return weft_val_drop_slow_(val);
}

/* --- values of one's own ---------------------------------------------------------------------- */

/* The other end of a value: whoever has it completes the value, once. May be copied. */
typedef struct weft_promise {
    uintptr_t source_;
    int64_t word_;
} weft_promise;

/* Makes a pending value and its other end, from the pool. For what another library calls back, or
 * for a task that others wait for. Task context; the value belongs to the caller's scope. 0;
 * -ECANCELED: the scope is cancelled; -ENOMEM.
 *
 *     weft_promise promise;
 *     weft_val val;
 *     weft_promise_new(&promise, &val);
 *     start_lookup(name, on_answer, &promise); // calls weft_promise_set(&promise, length)
 *     rc = weft_val_await(val); */
#define weft_promise_new(promise, val) weft_promise_new_((promise), (val), WEFT_HERE)
int weft_promise_new_(weft_promise *promise, weft_val *val, const weft_place *place);

/* Completes the value with `result` (>= 0, or -errno). 0; -EALREADY: it was completed before;
 * -ECANCELED: its wait was cancelled meanwhile, the result reaches nobody; -ESTALE: it is gone,
 * consumed or dropped. Any thread, foreign ones too, while the runtime lives. Cannot suspend. */
int weft_promise_set(const weft_promise *promise, int64_t result);

/* --- operations ------------------------------------------------------------------------------- */

/* Each begins what the call of the same name without _v does. When no memory can be had the value
 * is -ENOMEM; in a cancelled scope -ECANCELED, nothing was begun. Task context, frames included.
 * May not suspend. */
#define weft_sem_acquire_v(sem)        weft_sem_acquire_n_v_((sem), 1, WEFT_HERE)
#define weft_sem_acquire_n_v(sem, n)   weft_sem_acquire_n_v_((sem), (n), WEFT_HERE)
#define weft_event_wait_v(event)       weft_event_wait_v_((event), WEFT_HERE)
#define weft_latch_wait_v(latch)       weft_latch_wait_v_((latch), WEFT_HERE)
#define weft_barrier_wait_v(barrier)   weft_barrier_wait_v_((barrier), WEFT_HERE)
#define weft_ticker_wait_v(ticker)     weft_ticker_wait_v_((ticker), WEFT_HERE)
#define weft_gen_next_v(gen, item)     weft_gen_next_v_((gen), (item), WEFT_HERE)
#define weft_chan_send_v(chan, item)   weft_chan_send_v_((chan), (item), WEFT_HERE)
#define weft_chan_recv_v(chan, item)   weft_chan_recv_v_((chan), (item), WEFT_HERE)
#define weft_select_v(cases, n, flags) weft_select_v_((cases), (n), (flags), WEFT_HERE)
#define weft_sleep_v(duration)         weft_sleep_v_((duration), WEFT_HERE)
weft_val weft_sem_acquire_n_v_(weft_sem *sem, uint32_t n, const weft_place *place);
weft_val weft_event_wait_v_(weft_event *event, const weft_place *place);
weft_val weft_latch_wait_v_(weft_latch *latch, const weft_place *place);
weft_val weft_barrier_wait_v_(weft_barrier *barrier, const weft_place *place);
weft_val weft_ticker_wait_v_(weft_ticker *ticker, const weft_place *place);
weft_val weft_gen_next_v_(weft_gen *gen, void *item, const weft_place *place);
weft_val weft_chan_send_v_(weft_chan *chan, const void *item, const weft_place *place);
weft_val weft_chan_recv_v_(weft_chan *chan, void *item, const weft_place *place);
weft_val weft_select_v_(weft_case *cases, int n, int flags, const weft_place *place);
weft_val weft_sleep_v_(weft_time duration, const weft_place *place);

/* The end of a task that was spawned, as weft_await: not a point of cancellation, and whoever
 * consumes it has awaited the task. The task's memory must stay until then. */
#define weft_await_v(task) weft_await_v_((task), WEFT_HERE)
weft_val weft_await_v_(weft_task *task, const weft_place *place);

/* The same of the kernel's operations; what io.h and file.h say about memory holds until the value
 * was consumed, or was dropped and its scope has ended. A descriptor that weft_accept_v,
 * weft_open_v, weft_listener_accept_v or weft_recvmsg_v brings to a value that was dropped is
 * closed. */
#define weft_read_v(fd, buffer, bytes)  weft_read_v_((fd), (buffer), (bytes), WEFT_HERE)
#define weft_write_v(fd, buffer, bytes) weft_write_v_((fd), (buffer), (bytes), WEFT_HERE)
#define weft_pread_v(fd, buffer, bytes, offset) \
    weft_pread_v_((fd), (buffer), (bytes), (offset), WEFT_HERE)
#define weft_pwrite_v(fd, buffer, bytes, offset) \
    weft_pwrite_v_((fd), (buffer), (bytes), (offset), WEFT_HERE)
#define weft_open_v(path, flags, mode) weft_open_v_((path), (flags), (mode), WEFT_HERE)
#define weft_openat_v(dirfd, path, flags, mode) \
    weft_openat_v_((dirfd), (path), (flags), (mode), WEFT_HERE)
#define weft_fsync_v(fd)     weft_fsync_v_((fd), WEFT_HERE)
#define weft_fdatasync_v(fd) weft_fdatasync_v_((fd), WEFT_HERE)
#define weft_renameat_v(from_dirfd, from, to_dirfd, to, flags) \
    weft_renameat_v_((from_dirfd), (from), (to_dirfd), (to), (flags), WEFT_HERE)
#define weft_unlinkat_v(dirfd, path, flags) weft_unlinkat_v_((dirfd), (path), (flags), WEFT_HERE)
#define weft_mkdirat_v(dirfd, path, mode)   weft_mkdirat_v_((dirfd), (path), (mode), WEFT_HERE)
#define weft_ftruncate_v(fd, bytes)         weft_ftruncate_v_((fd), (bytes), WEFT_HERE)
#define weft_statx_v(dirfd, path, flags, mask, out) \
    weft_statx_v_((dirfd), (path), (flags), (mask), (out), WEFT_HERE)
#define weft_accept_v(fd, address, bytes, flags) \
    weft_accept_v_((fd), (address), (bytes), (flags), WEFT_HERE)
#define weft_connect_v(fd, address, bytes) weft_connect_v_((fd), (address), (bytes), WEFT_HERE)
#define weft_recv_v(fd, buffer, bytes, flags) \
    weft_recv_v_((fd), (buffer), (bytes), (flags), WEFT_HERE)
#define weft_send_v(fd, buffer, bytes, flags) \
    weft_send_v_((fd), (buffer), (bytes), (flags), WEFT_HERE)
#define weft_wait_fd_v(fd, events)        weft_wait_fd_v_((fd), (events), WEFT_HERE)
#define weft_recv_loan_v(fd, loan, flags) weft_recv_loan_v_((fd), (loan), (flags), WEFT_HERE)
weft_val weft_read_v_(int fd, void *buffer, size_t bytes, const weft_place *place);
weft_val weft_write_v_(int fd, const void *buffer, size_t bytes, const weft_place *place);
weft_val weft_pread_v_(int fd, void *buffer, size_t bytes, int64_t offset, const weft_place *place);
weft_val weft_pwrite_v_(int fd, const void *buffer, size_t bytes, int64_t offset,
                        const weft_place *place);
weft_val weft_open_v_(const char *path, int flags, mode_t mode, const weft_place *place);
weft_val weft_openat_v_(int dirfd, const char *path, int flags, mode_t mode,
                        const weft_place *place);
weft_val weft_fsync_v_(int fd, const weft_place *place);
weft_val weft_fdatasync_v_(int fd, const weft_place *place);
weft_val weft_renameat_v_(int from_dirfd, const char *from, int to_dirfd, const char *to,
                          unsigned flags, const weft_place *place);
weft_val weft_unlinkat_v_(int dirfd, const char *path, int flags, const weft_place *place);
weft_val weft_mkdirat_v_(int dirfd, const char *path, mode_t mode, const weft_place *place);
weft_val weft_ftruncate_v_(int fd, int64_t bytes, const weft_place *place);
weft_val weft_statx_v_(int dirfd, const char *path, int flags, unsigned mask, struct statx *out,
                       const weft_place *place);
weft_val weft_accept_v_(int fd, struct sockaddr *address, socklen_t *bytes, int flags,
                        const weft_place *place);
weft_val weft_connect_v_(int fd, const struct sockaddr *address, socklen_t bytes,
                         const weft_place *place);
weft_val weft_recv_v_(int fd, void *buffer, size_t bytes, int flags, const weft_place *place);
weft_val weft_send_v_(int fd, const void *buffer, size_t bytes, int flags, const weft_place *place);
weft_val weft_wait_fd_v_(int fd, int events, const weft_place *place);
weft_val weft_recv_loan_v_(int fd, weft_loan *loan, int flags, const weft_place *place);

#define weft_readv_v(fd, parts, count)  weft_readv_v_((fd), (parts), (count), WEFT_HERE)
#define weft_writev_v(fd, parts, count) weft_writev_v_((fd), (parts), (count), WEFT_HERE)
#define weft_preadv_v(fd, parts, count, offset) \
    weft_preadv_v_((fd), (parts), (count), (offset), WEFT_HERE)
#define weft_pwritev_v(fd, parts, count, offset) \
    weft_pwritev_v_((fd), (parts), (count), (offset), WEFT_HERE)
#define weft_sendmsg_v(fd, message, flags) weft_sendmsg_v_((fd), (message), (flags), WEFT_HERE)
#define weft_recvmsg_v(fd, message, flags) weft_recvmsg_v_((fd), (message), (flags), WEFT_HERE)
#define weft_listener_accept_v(listener, peer) \
    weft_listener_accept_v_((listener), (peer), WEFT_HERE)
weft_val weft_readv_v_(int fd, const struct iovec *parts, int count, const weft_place *place);
weft_val weft_writev_v_(int fd, const struct iovec *parts, int count, const weft_place *place);
weft_val weft_preadv_v_(int fd, const struct iovec *parts, int count, int64_t offset,
                        const weft_place *place);
weft_val weft_pwritev_v_(int fd, const struct iovec *parts, int count, int64_t offset,
                         const weft_place *place);
weft_val weft_sendmsg_v_(int fd, const struct msghdr *message, int flags, const weft_place *place);
weft_val weft_recvmsg_v_(int fd, struct msghdr *message, int flags, const weft_place *place);
weft_val weft_listener_accept_v_(weft_listener *listener, weft_addr *peer, const weft_place *place);

/* What weft_recvfrom_v and weft_recv_fds_v fill in besides the buffer, and the messages of
 * weft_send_many_v and weft_recv_many_v, are the call's as the buffer is. What would be received
 * for a value that was dropped stays in the socket, with the descriptors, but for weft_recvfrom_v,
 * which may have a datagram already. */
#define weft_sendv_v(fd, parts, count, flags) \
    weft_sendv_v_((fd), (parts), (count), (flags), WEFT_HERE)
#define weft_sendto_v(fd, buffer, bytes, flags, to) \
    weft_sendto_v_((fd), (buffer), (bytes), (flags), (to), WEFT_HERE)
#define weft_recvfrom_v(fd, buffer, bytes, flags, from) \
    weft_recvfrom_v_((fd), (buffer), (bytes), (flags), (from), WEFT_HERE)
#define weft_send_many_v(fd, messages, count, flags) \
    weft_send_many_v_((fd), (messages), (count), (flags), WEFT_HERE)
#define weft_recv_many_v(fd, messages, count, flags) \
    weft_recv_many_v_((fd), (messages), (count), (flags), WEFT_HERE)
#define weft_send_fds_v(fd, buffer, bytes, fds, count) \
    weft_send_fds_v_((fd), (buffer), (bytes), (fds), (count), WEFT_HERE)
#define weft_recv_fds_v(fd, buffer, bytes, fds, count) \
    weft_recv_fds_v_((fd), (buffer), (bytes), (fds), (count), WEFT_HERE)
weft_val weft_sendv_v_(int fd, const struct iovec *parts, int count, int flags,
                       const weft_place *place);
weft_val weft_sendto_v_(int fd, const void *buffer, size_t bytes, int flags, const weft_addr *to,
                        const weft_place *place);
weft_val weft_recvfrom_v_(int fd, void *buffer, size_t bytes, int flags, weft_addr *from,
                          const weft_place *place);
weft_val weft_send_many_v_(int fd, struct mmsghdr *messages, int count, int flags,
                           const weft_place *place);
weft_val weft_recv_many_v_(int fd, struct mmsghdr *messages, int count, int flags,
                           const weft_place *place);
weft_val weft_send_fds_v_(int fd, const void *buffer, size_t bytes, const int *fds, int count,
                          const weft_place *place);
weft_val weft_recv_fds_v_(int fd, void *buffer, size_t bytes, int *fds, int *count,
                          const weft_place *place);

/* *how is not copied: it has to stay as a path does, and to have O_CLOEXEC in its flags, or the
 * value is -EINVAL. */
#define weft_openat2_v(dirfd, path, how) weft_openat2_v_((dirfd), (path), (how), WEFT_HERE)
#define weft_symlinkat_v(target, dirfd, path) \
    weft_symlinkat_v_((target), (dirfd), (path), WEFT_HERE)
#define weft_linkat_v(from_dirfd, from, to_dirfd, to, flags) \
    weft_linkat_v_((from_dirfd), (from), (to_dirfd), (to), (flags), WEFT_HERE)
#define weft_readlinkat_v(dirfd, path, buffer, bytes) \
    weft_readlinkat_v_((dirfd), (path), (buffer), (bytes), WEFT_HERE)
#define weft_fallocate_v(fd, mode, offset, bytes) \
    weft_fallocate_v_((fd), (mode), (offset), (bytes), WEFT_HERE)
weft_val weft_openat2_v_(int dirfd, const char *path, const struct open_how *how,
                         const weft_place *place);
weft_val weft_symlinkat_v_(const char *target, int dirfd, const char *path,
                           const weft_place *place);
weft_val weft_linkat_v_(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags,
                        const weft_place *place);
weft_val weft_readlinkat_v_(int dirfd, const char *path, char *buffer, size_t bytes,
                            const weft_place *place);
weft_val weft_fallocate_v_(int fd, int mode, int64_t offset, int64_t bytes,
                           const weft_place *place);

/* The directory, the process, the listener of signals stay until the value was consumed, or was
 * dropped and its scope has ended; a directory is not used meanwhile. An entry or a signal that
 * nobody took of a dropped value is for the next who asks. */
#define weft_dir_next_v(dir, out)   weft_dir_next_v_((dir), (out), WEFT_HERE)
#define weft_proc_wait_v(proc, out) weft_proc_wait_v_((proc), (out), WEFT_HERE)
#define weft_signal_next_v(signals) weft_signal_next_v_((signals), WEFT_HERE)
weft_val weft_dir_next_v_(weft_dir *dir, weft_dir_entry *out, const weft_place *place);
weft_val weft_proc_wait_v_(weft_proc *proc, weft_proc_exit *out, const weft_place *place);
weft_val weft_signal_next_v_(weft_signal *signals, const weft_place *place);

/* --- frames ----------------------------------------------------------------------------------- */

/* The head of a frame: the first member of the program's struct, called `sm`. Need not be set. */
typedef struct weft_frame {
    WEFT_ALIGNAS(16) void *opaque_[3];
    int32_t at_; /* the label to go on at, in bytes from that of WEFT_BEGIN */
    uint8_t kind_;
    uint8_t open_; /* the operation that is begun next may use this frame's memory to wait in */
    uint8_t hits_; /* awaits in a row that did not wait */
    uint8_t flags_;
    WEFT_ALIGNAS(8) unsigned char call_[96];
} weft_frame;

struct wf_fiber;
struct wf_work;
typedef int weft_step_fn_(weft_frame *frame);
typedef void weft_frame_run_fn_(struct wf_fiber *fiber, struct wf_work *work);

/* Not API: what the macros call. */
void weft_frame_run_(struct wf_fiber *fiber, struct wf_work *work, weft_step_fn_ *step,
                     const weft_place *place);
int weft_frame_wait_(weft_frame *frame, weft_val *val);
int weft_frame_end_(weft_frame *frame, int64_t *result);
void weft_frame_yield_(weft_frame *frame);

#ifndef __cplusplus /* labels as values, and tasks of statement expressions: C only */

/* What a step returns while its frame waits; WEFT_AWAIT does it. */
#define WEFT_PENDING INT32_MIN

/* As many awaits in a row may find their result at once; then others get their turn. */
#define WEFT_FRAME_HITS_ 128

/* Defines the body of frames of type T, whose first member is `weft_frame sm`:
 * WEFT_STEP(fn, T) { WEFT_BEGIN(&f->sm); ... `f` is a `T *` ... return rc; }
 * It is called again after each wait, from the start, and goes on behind the WEFT_AWAIT: so locals
 * do not survive one, and belong into T, as does all that C# lifts into its state machine. There
 * must be no array of variable length over a WEFT_AWAIT. The step returns >= 0, or -errno, which
 * goes to the scope as a task's result does; it may free its own frame just before. Within a step
 * everything works that works in a task; a call that waits in the ordinary way suspends a whole
 * stack, and a scope that is opened must be ended before the next WEFT_AWAIT. An error record
 * (weft_fail, weft_last) lasts until the next WEFT_AWAIT that waits. */
#define WEFT_STEP(fn, T)                                                                     \
    typedef T fn##_weft_frame;                                                               \
    _Static_assert(offsetof(T, sm) == 0, "WEFT_STEP: `sm` must be the first member of " #T); \
    static int fn(T *f);                                                                     \
    static int fn##_weft_step(weft_frame *weft_sm_)                                          \
    {                                                                                        \
        return fn((T *)(void *)weft_sm_);                                                    \
    }                                                                                        \
    static void fn##_weft_run(struct wf_fiber *weft_fiber_, struct wf_work *weft_work_)      \
    {                                                                                        \
        static const weft_place weft_here_ = {__FILE__, #fn, __LINE__, #fn};                 \
        weft_frame_run_(weft_fiber_, weft_work_, fn##_weft_step, &weft_here_);               \
    }                                                                                        \
    static int fn(T *f)

/* The first statement of a step: goes on where the frame waited. Once per function. */
#define WEFT_BEGIN(frame)                                                \
    goto *(void *)((char *)__extension__ && weft_begin_ + (frame)->at_); \
    weft_begin_:                                                         \
    (void)0

#define WEFT_AT_(label) \
    (int32_t)((char *)__extension__ && label - (char *)__extension__ && weft_begin_)

/* Awaits the value of the last argument, an expression, and assigns its result to `result`, which
 * must lie in the frame or not be needed beyond. Anywhere in the step: in loops, in a switch,
 * several on one line; not inside a statement expression. When the expression is one call with _v,
 * a wait takes no memory but the frame's own (an operation of the kernel: 256 bytes from the pool).
 * A value that was consumed before: as in weft_val_await. */
#define WEFT_AWAIT(frame, result, ...)                                   \
    do {                                                                 \
        __label__ weft_again_, weft_resume_;                             \
        if (__builtin_expect(++(frame)->hits_ >= WEFT_FRAME_HITS_, 0)) { \
            weft_frame_yield_(frame);                                    \
            (frame)->at_ = WEFT_AT_(weft_again_);                        \
            return WEFT_PENDING;                                         \
        }                                                                \
    weft_again_:                                                         \
        (frame)->open_ = 1;                                              \
        {                                                                \
            weft_val weft_val_ = (__VA_ARGS__);                          \
            (frame)->open_ = 0;                                          \
            if (weft_val_.source_ == WEFT_VAL_DONE_) {                   \
                (result) = (__typeof__(result))weft_val_.word_;          \
                break;                                                   \
            }                                                            \
            (frame)->at_ = WEFT_AT_(weft_resume_);                       \
            if (weft_frame_wait_((frame), &weft_val_)) {                 \
                return WEFT_PENDING;                                     \
            }                                                            \
        }                                                                \
    weft_resume_ : {                                                     \
        int64_t weft_result_;                                            \
        if (!weft_frame_end_((frame), &weft_result_)) {                  \
            return WEFT_PENDING;                                         \
        }                                                                \
        (result) = (__typeof__(result))weft_result_;                     \
    }                                                                    \
    } while (0)

/* Starts the frame *ptr, of the type that `fn` was defined with by WEFT_STEP, as a task of `scope`.
 * The memory is the caller's, and must stay until the frame has ended: the scope's end waits for
 * that, and its step may free it as its last act. From the scope's owner or any task inside it.
 * When many are queued already the caller yields first. May suspend. Task context. 0; -ECANCELED:
 * the scope is cancelled or ended, nothing was started. */
#define weft_go_frame(scope, fn, ptr)                                                     \
    __extension__({                                                                       \
        _Static_assert(__builtin_types_compatible_p(__typeof__(*(ptr)), fn##_weft_frame), \
                       "weft_go_frame: not of the type that " #fn " was defined with");   \
        weft_go_frame_((scope), fn##_weft_run, &(ptr)->sm);                               \
    })

/* The same in the innermost scope of the caller, with the frame's end as a value: its result goes
 * there, a failure with its record too, and not to the scope. So a frame awaits another, or a task
 * does:
 *
 *     WEFT_AWAIT(&f->sm, f->rc, weft_frame_v(handshake, &f->handshake)); */
#define weft_frame_v(fn, ptr)                                                             \
    __extension__({                                                                       \
        _Static_assert(__builtin_types_compatible_p(__typeof__(*(ptr)), fn##_weft_frame), \
                       "weft_frame_v: not of the type that " #fn " was defined with");    \
        weft_frame_v_(fn##_weft_run, &(ptr)->sm, WEFT_HERE);                              \
    })

/* Any function that was defined by WEFT_TASK(fn, T), started as a task of the innermost scope
 * with a copy of *ptr, as weft_go does; its end is the value, as for weft_frame_v. For what
 * takes several waits, or needs a stack. It is a task of its scope, and no operation: when the
 * value is dropped, or a deadline ends its await, the task goes on, and its scope's end waits
 * for it. A deadline that shall end it goes inside its body. (In a scope with `.each` it is one
 * of the tasks that weft_scope_next gives, with the result 0.) */
#define weft_task_v(fn, ...) /* (fn, ptr) */                                                    \
    __extension__({                                                                             \
        _Static_assert(__builtin_types_compatible_p(__typeof__(*(__VA_ARGS__)), fn##_weft_arg), \
                       "weft_task_v: the argument is not of the type that " #fn                 \
                       " was defined with");                                                    \
        _Static_assert(sizeof *(__VA_ARGS__) <= WEFT_TASK_V_ARG_MAX,                            \
                       "weft_task_v: the argument is too large");                               \
        weft_task_v_((fn), (__VA_ARGS__), sizeof *(__VA_ARGS__), WEFT_HERE);                    \
    })

#endif

/* Largest argument of weft_task_v, in bytes. */
#define WEFT_TASK_V_ARG_MAX 960

weft_val weft_frame_v_(weft_frame_run_fn_ *run, weft_frame *frame, const weft_place *place);
weft_val weft_task_v_(weft_fn *fn, const void *arg, size_t bytes, const weft_place *place);
int weft_go_frame_(weft_scope *scope, weft_frame_run_fn_ *run, weft_frame *frame);

#ifdef __cplusplus
}
#endif

#endif
