/* net.h: what the files of src/ that implement <weft/net.h> share. */
#ifndef WF_SRC_NET_H
#define WF_SRC_NET_H

#include "src/io.h"
#include <weft/loan.h>
#include <weft/net.h>

/* A decimal number from 0 to 65535; -EINVAL: not a number, -ERANGE: a larger one. */
int wf_port_parse(const char *text);

/* An address of IP without brackets, with an interface behind a '%' perhaps: 0; -EINVAL: it is
 * none; -ENODEV. */
int wf_addr_host(weft_addr *out, const char *host, int port);

/* Is an option out of range? */
bool wf_conn_opts_are_bad(const weft_conn_opts *opts);
/* Sets them for a socket of this family. 0 or -errno. */
int wf_conn_opts_set(int fd, const weft_conn_opts *opts, int family);
/* weft_send_fds and weft_recv_fds (*count is left alone by an error), their arguments checked,
 * without waiting: -EAGAIN. */
ssize_t wf_send_fds_now(int fd, const void *buffer, size_t bytes, const int *fds, int count);
ssize_t wf_recv_fds_now(int fd, void *buffer, size_t bytes, int *fds, int room, int *count);
/* As weft_recv, weft_send, weft_sendv, weft_recv_loan_max, weft_wait_fd and weft_writev, of what is
 * meant by the number (uses.h): for streams. */
ssize_t wf_recv_meant(int fd, uint32_t meant, void *buffer, size_t bytes);
ssize_t wf_send_meant(int fd, uint32_t meant, const void *buffer, size_t bytes);
ssize_t wf_sendv_meant(int fd, uint32_t meant, const struct iovec *parts, int count);
ssize_t wf_recv_loan_meant(int fd, uint32_t meant, weft_loan *out, size_t most);
int wf_wait_fd_meant(int fd, uint32_t meant, int events);
ssize_t wf_writev_meant(int fd, uint32_t meant, const struct iovec *parts, int count);
/* A loan that is kept beyond the call and the scope that received it, by who may outlive its
 * runtime. */
struct wf_kept {
    void *buffer; /* struct wf_borrowed */
    uint64_t number;
};
/* In the task that has just received it: *loan is none from then on. False: it cannot be kept, and
 * is as it was. It has to come back by wf_kept_take, or with the runtime. */
bool wf_loan_keep(weft_loan *loan, struct wf_kept *kept);
/* Gives it back, after copying its first `bytes`. False: its runtime has stopped, and the data are
 * gone. Any thread. */
bool wf_kept_take(const struct wf_kept *kept, void *out, size_t bytes);
int wf_option_set(int fd, int level, int option, int value);
/* Whole seconds, rounded up; 32768: more than the kernel takes. */
int wf_seconds(weft_time duration);

#endif
