/* net.h: what the files of src/ that implement <weft/net.h> share. */
#ifndef WF_SRC_NET_H
#define WF_SRC_NET_H

#include "src/io.h"
#include <weft/loan.h>
#include <weft/net.h>

/* A decimal number from 0 to 65535; -EINVAL: not a number, -ERANGE: a larger one. */
int wf_port_parse(const char *text);

/* An address of IP without brackets, with an interface behind a '%' perhaps: 0; -EINVAL: it is none;
 * -ENODEV. */
int wf_addr_host(weft_addr *out, const char *host, int port);

/* Is an option out of range? */
bool wf_conn_opts_are_bad(const weft_conn_opts *opts);
/* Sets them for a socket of this family. 0 or -errno. */
int wf_conn_opts_set(int fd, const weft_conn_opts *opts, int family);
/* weft_send_fds and weft_recv_fds (*count is left alone by an error), their arguments checked, without
 * waiting: -EAGAIN. */
ssize_t wf_send_fds_now(int fd, const void *buffer, size_t bytes, const int *fds, int count);
ssize_t wf_recv_fds_now(int fd, void *buffer, size_t bytes, int *fds, int room, int *count);
/* As weft_recv, weft_send, weft_sendv, weft_recv_loan_max, weft_wait_fd and weft_writev, of what is meant by
 * the number (uses.h): for streams. */
ssize_t wf_recv_meant(int fd, uint32_t meant, void *buffer, size_t bytes);
ssize_t wf_send_meant(int fd, uint32_t meant, const void *buffer, size_t bytes);
ssize_t wf_sendv_meant(int fd, uint32_t meant, const struct iovec *parts, int count);
ssize_t wf_recv_loan_meant(int fd, uint32_t meant, weft_loan *out, size_t most);
int wf_wait_fd_meant(int fd, uint32_t meant, int events);
ssize_t wf_writev_meant(int fd, uint32_t meant, const struct iovec *parts, int count);
int wf_option_set(int fd, int level, int option, int value);
/* Whole seconds, rounded up; 32768: more than the kernel takes. */
int wf_seconds(weft_time duration);

#endif
