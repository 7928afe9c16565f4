/* io.h: files, pipes and sockets. Each call suspends the task until the kernel has done it, and
 * blocks no worker.
 *
 * What holds for all of them, unless said otherwise:
 * - Descriptors are ordinary ones, made by weft or by anybody, blocking or not: a call waits either
 *   way. They stay the caller's. Buffers, paths and addresses belong to the kernel until the call
 *   has returned, also when it is cancelled: memory on the caller's stack is fine.
 * - Task context: elsewhere -EPERM, and nothing was done; in the child of fork(2) -ENOSYS.
 * - Result >= 0, or -errno as the system call of the same name gives it; errno is not touched.
 *   -EINTR is never given.
 * - Cancellation. In a cancelled scope: -ECANCELED, nothing was tried. When the deadline has
 *   passed: tried once without waiting, else -ECANCELED (which becomes -ETIME where the deadline
 *   was set). When the scope is cancelled during the wait the kernel is asked to let go, and the
 *   call returns when it has: -ECANCELED means that nothing happened; what happened all the same is
 *   returned as it is, so no byte is lost and no descriptor leaks. A disk that has begun to read or
 *   write cannot be asked; the call returns when it has finished. By epoll (weft_rt_opts.io), nor
 *   can a weft_open, weft_fsync or weft_statx that has begun.
 * - Any number of tasks may use one descriptor at once, for what the system call allows; who gets
 *   which bytes is not defined when several read, or several write, at the same position or stream.
 * - weft_close ends the calls that are using the descriptor, with -EBADF. Any other close
 *   (close(2), of another runtime too) must not come while a call is using it: it does not end what
 *   is in flight, and the number may be somebody else's next file. What waits in the kernel then
 *   stays so until it is cancelled, or gets -EBADF; it does not touch the next file. What was
 *   called just before may find that file instead of its own, and so may a call that is made after
 *   any close: a number is no file. */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include <sys/socket.h>
#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most bytes that one call transfers, as for read(2); of longer buffers that much is used. */
#define WEFT_IO_BYTES_MAX ((size_t)0x7ffff000)

/* --- files and pipes -------------------------------------------------------------------------- */

/* Reads up to `bytes` into `buffer`, at the file's position, which moves. The bytes read: of a
 * regular file fewer only at its end; of pipes, terminals and sockets what is there, at least 1. 0:
 * end of file, or bytes == 0. Data in the page cache is copied without suspending, and counts as
 * there when the deadline has passed, if the file system can say so: ext4, xfs, btrfs and tmpfs
 * can, overlayfs and FUSE cannot.
 *
 *     char line[512];
 *     ssize_t n = weft_within(WEFT_SEC(5), weft_read(pipe_fd, line, sizeof line));
 *     if (n <= 0) {
 *         return (int)n; // closed, or an error, or -ETIME
 *     } */
ssize_t weft_read(int fd, void *buffer, size_t bytes);

/* Writes up to `bytes` from `buffer`, at the file's position, which moves. The bytes written, which
 * may be fewer for pipes and full disks. -EPIPE: nobody reads (there is no SIGPIPE). bytes == 0: 0.
 * May suspend.
 * At a regular file's own position, without O_APPEND, it is write(2) on a thread, as the calls of
 * file.h are, because io_uring lets two writes take the same place. So none of several tasks' is
 * lost, and those of one descriptor come one after the other, on one thread. It can be cancelled
 * while it waits for the thread, and not any more once that has begun it; a deadline that has
 * passed is -ECANCELED, not tried. Nobody is to read at that position by the same descriptor
 * meanwhile: the worker may have to wait for the write, and a write be lost. */
ssize_t weft_write(int fd, const void *buffer, size_t bytes);

/* As weft_read and weft_write, at `offset` bytes from the file's start; the file's position neither
 * counts nor moves, so tasks may share the descriptor. -EINVAL: offset < 0. For files that have
 * positions: weft_pread gives -ESPIPE for a pipe or socket, weft_pwrite ignores the offset
 * there. */
ssize_t weft_pread(int fd, void *buffer, size_t bytes, int64_t offset);
ssize_t weft_pwrite(int fd, const void *buffer, size_t bytes, int64_t offset);

struct iovec; /* <sys/uio.h> */

/* As the four above, into or from `count` buffers, one after the other (0 to IOV_MAX, which is
 * 1024; 0: 0). The array is the kernel's until the call has returned, and is not changed. -EINVAL:
 * count or offset out of range, or the lengths' sum is more than a ssize_t holds. May suspend.
 *
 *     struct iovec parts[] = {{.iov_base = head, .iov_len = head_bytes},
 *                             {.iov_base = body, .iov_len = body_bytes}};
 *     ssize_t n = weft_writev(fd, parts, 2); */
ssize_t weft_readv(int fd, const struct iovec *parts, int count);
ssize_t weft_writev(int fd, const struct iovec *parts, int count);
ssize_t weft_preadv(int fd, const struct iovec *parts, int count, int64_t offset);
ssize_t weft_pwritev(int fd, const struct iovec *parts, int count, int64_t offset);

/* Opens `path` (NUL-terminated, relative to the working directory). `flags` as open(2), O_CLOEXEC
 * is added; `mode` matters with O_CREAT and O_TMPFILE only, and is cut by the umask. The
 * descriptor, which is the caller's, to be closed with weft_close; also when the scope was
 * cancelled but the file had been opened. Suspends.
 *
 *     int fd = weft_open("/etc/hosts", O_RDONLY, 0);
 *     if (fd < 0) {
 *         return weft_fail(fd, "open /etc/hosts");
 *     }
 *     ssize_t n = weft_pread(fd, buffer, sizeof buffer, 0);
 *     weft_close(fd); */
int weft_open(const char *path, int flags, mode_t mode);

/* Closes the descriptor, always: in a cancelled scope too, and it is not a point of cancellation.
 * 0, or -EBADF and the errors that the file had kept for its closer (-EIO, -ENOSPC, -EDQUOT; it is
 * closed nevertheless). Occupies the worker for as long as close(2) takes, which is long only for
 * network file systems. A socket with SO_LINGER is waited for on a thread, and its number is free
 * meanwhile.
 *
 * Calls of this file, file.h, net.h and loan.h that are using it, of any task of this runtime,
 * are ended first: they return what they had done, or -EBADF, as a cancelled one does
 * -ECANCELED; and so does one that is begun meanwhile. weft_close waits until the kernel has
 * let go of all of them, and suspends only then. (A disk that has begun to read or write cannot
 * be asked, nor can a call "on a thread", of file.h or a weft_write, that has come to its
 * thread.) A call that is between two operations of its own (it is about to run, rests, waits
 * for a thread, or is a value that nobody awaits yet) is not waited for: it makes no other, and
 * returns what it had done, or -EBADF. So none that had begun touches the number's next file;
 * nor does a stream (stream.h) that was made of the number before. (A process that has raised
 * fs.nr_open: this, between two operations, holds for numbers below 1048576.) Of two closes at
 * once one is -EBADF. The descriptor of a weft_listener: misuse, -EBADF, and it stays open
 * (weft_listener_close). */
int weft_close(int fd);

/* Waits until what was written to the file, its data and what is needed to find it, is on the disk.
 * 0; -EIO, -ENOSPC, -EDQUOT: something written earlier is lost; -EINVAL: not a file that can.
 * Suspends. */
int weft_fsync(int fd);

struct statx; /* <sys/stat.h>, with _GNU_SOURCE */

/* Fills *out with what is known of `path` (NUL-terminated), relative to the directory `dirfd` or
 * AT_FDCWD; or of dirfd itself if path is "" and flags has AT_EMPTY_PATH. `flags`: AT_*, 0 for
 * none; `mask`: STATX_* fields that are wanted, out->stx_mask says which were given. See statx(2).
 * 0 or its errors. Suspends. */
int weft_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out);

/* --- sockets ---------------------------------------------------------------------------------- */

/* Waits for a connection to the listening socket `fd` and accepts it. The peer's address goes to
 * *address, in a buffer of *bytes bytes, and *bytes becomes its length; both NULL: it is not
 * wanted. `flags`: SOCK_NONBLOCK or 0; SOCK_CLOEXEC is added. The connection's descriptor is the
 * caller's, also when the scope was cancelled but somebody had come. -EMFILE, -ENFILE: no
 * descriptor to be had; the connection stays in the queue, so wait before trying again. Suspends.
 * By epoll, a listener from which other processes accept too needs O_NONBLOCK: it could occupy the
 * worker otherwise, until somebody comes.
 *
 *     for (;;) {
 *         int peer = weft_accept(listener, NULL, NULL, 0);
 *         if (peer < 0 || weft_go(&connections, serve, &peer) < 0) {
 *             break;
 *         }
 *     } */
int weft_accept(int fd, struct sockaddr *address, socklen_t *bytes, int flags);

/* Connects the socket to *address, of `bytes` bytes. 0; -ECONNREFUSED, -ETIMEDOUT (the network's,
 * after minutes: set a deadline) ... After -ECANCELED the socket's state is not known: close it.
 * Suspends. By epoll, a socket with O_NONBLOCK is connected without the help of a thread. */
int weft_connect(int fd, const struct sockaddr *address, socklen_t bytes);

/* Receives up to `bytes`. `flags` as recv(2): MSG_WAITALL waits for all of them (fewer: the end, an
 * error, or a cancellation came first), MSG_DONTWAIT gives -EAGAIN instead of waiting, MSG_PEEK ...
 * The bytes received; 0: the peer has finished sending (or an empty datagram, or bytes == 0). May
 * suspend. */
ssize_t weft_recv(int fd, void *buffer, size_t bytes, int flags);

/* Sends up to `bytes`. `flags` as send(2); MSG_NOSIGNAL is added. The bytes sent: of a stream at
 * least 1, perhaps fewer than asked; of a datagram all. -EPIPE, -ECONNRESET: the connection is
 * gone. May suspend. */
ssize_t weft_send(int fd, const void *buffer, size_t bytes, int flags);

/* Sends all of `bytes` (any number), waiting as often as needed. For streams. `bytes`; or fewer, >
 * 0: an error or a cancellation came after so many, and the next call will say which; or -errno:
 * nothing was sent. May suspend.
 *
 *     if (weft_send_all(fd, reply, n, 0) != (ssize_t)n) {
 *         return -EPIPE;
 *     } */
ssize_t weft_send_all(int fd, const void *buffer, size_t bytes, int flags);

/* Ends one direction of a connection, or both: `how` is SHUT_RD, SHUT_WR or SHUT_RDWR. Calls that
 * wait on it return (receivers with 0, senders with -EPIPE or what they had sent). 0, -ENOTCONN,
 * -EBADF, -EINVAL, -ENOTSOCK. Does not suspend; not a point of cancellation: it is how a connection
 * is left. */
int weft_shutdown(int fd, int how);

/* Waits until one of `events` (POLLIN, POLLOUT, POLLPRI, POLLRDHUP of <poll.h>) is so for the
 * descriptor, which may be of any kind that poll(2) takes. The events that are, > 0; POLLERR,
 * POLLHUP and POLLRDHUP come unasked. For descriptors that another library reads and writes. May
 * suspend. */
int weft_wait_fd(int fd, int events);

#ifdef __cplusplus
}
#endif

#endif
