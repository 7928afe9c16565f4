/* loan.h: receiving without a buffer of one's own: the data come in a buffer that the runtime
 * lends.
 *
 * A connection that waits holds no buffer: one is chosen when data are there. It is the task's from
 * then until it gives it back; it may be read, changed, and sent as it is. The buffers are few, and
 * shared by all connections: hold a *loan* for as long as the work on it takes, and not over a wait
 * for the peer.
 *
 * Each worker has weft_rt_opts.loans buffers of weft_rt_opts.loan_bytes, made when the first is
 * asked for. With io_uring the kernel chooses among them itself (provided buffer rings); by epoll,
 * and where a kernel has no such rings, the call waits until something is there and takes a buffer
 * then. All else is the same. When all buffers of the worker are lent, receives whose data have
 * come wait in line for one, first come, first served; so one must not be waited for by those who
 * hold all of them.
 *
 * A loan ends once: by weft_loan_give, at the end of the block in which it was declared with
 * WEFT_LOAN, or with its scope. That is the innermost weft_scope around the call (not that of a
 * weft_within, weft_under or weft_shield): what was not given back by then is given back by the
 * scope's end, and the data are gone. So none is ever lost to the program, however its functions
 * end. A task that shares its scope with many others had better not leave its loans to that.
 * weft_stats counts what is held. */
#ifndef WEFT_LOAN_H
#define WEFT_LOAN_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_LOANS_MAX      32768 /* for each worker */
#define WEFT_LOAN_BYTES_MIN 256
#define WEFT_LOAN_BYTES_MAX 65536

/* A buffer that is lent, with what was received into it. All zero: none. */
typedef struct weft_loan {
    unsigned char *data; /* NULL: none */
    size_t bytes;        /* received: at the beginning of the buffer */
    size_t capacity;     /* of the buffer, >= bytes; all of it is the holder's */
    void *buffer_;
    uint64_t number_;
} weft_loan;

/* Receives into a buffer that is lent for it: as weft_recv(fd, ..., loan_bytes, flags), and with
 * the same results. > 0: loan->data has so many bytes, and is to be given back. Else *loan is none:
 * 0, the peer has finished (or an empty datagram), or -errno. What *loan was before is overwritten.
 * `flags`: MSG_DONTWAIT (-EAGAIN also if no buffer is there) and MSG_PEEK; others -EINVAL.
 * -ENOTSOCK may come only when the pipe or file is ready. -ENOMEM: the first on its worker, and no
 * memory for the buffers. After -ECANCELED nothing was received, also if it came while it waited
 * for a buffer: the data are still in the socket. May suspend.
 *
 *     WEFT_LOAN(request);
 *     ssize_t n = weft_recv_loan(fd, &request, 0);
 *     if (n > 0) {
 *         n = weft_send_all(fd, request.data, request.bytes, 0);
 *     } */
ssize_t weft_recv_loan(int fd, weft_loan *loan, int flags);

/* The same, and at most `bytes` (>= 1) of what has come, if that is less than a buffer holds: the
 * rest stays in the socket (of a datagram it is lost). -EINVAL also: bytes == 0. May suspend. */
ssize_t weft_recv_loan_max(int fd, weft_loan *loan, size_t bytes, int flags);

/* Gives the buffer back; *loan is none from then on. No effect on none. Of a copy of what was given
 * back before, or went with its scope: misuse, and no effect, always, however often the buffer was
 * lent again; until the runtime stops. Any thread, and another task than the one that received.
 * Cannot suspend. */
void weft_loan_give(weft_loan *loan);

/* Declares a loan in the current block, whose end gives back what it then has, whichever way that
 * is reached. C only. */
#define WEFT_LOAN(name) \
    weft_loan name __attribute__((cleanup(weft_loan_give))) = {NULL, 0, 0, NULL, 0}

#ifdef __cplusplus
}
#endif

#endif
