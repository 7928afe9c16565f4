/* sockopt.c: options of connections, as <weft/net.h> names them, given to the kernel. Any
 * thread. */
#include "pool/base/sys.h"
#include "src/net.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

#define PROBES_MAX  127
#define SECONDS_MAX 32767 /* MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL of the kernel */

int wf_seconds(weft_time duration)
{
    if (duration <= 0) {
        return 0;
    }
    weft_time seconds = duration / WEFT_SEC(1) + (duration % WEFT_SEC(1) != 0);
    return seconds <= SECONDS_MAX ? (int)seconds : SECONDS_MAX + 1;
}

static bool is_bad_time(weft_time duration)
{
    return duration < 0 || wf_seconds(duration) > SECONDS_MAX;
}

bool wf_conn_opts_are_bad(const weft_conn_opts *opts)
{
    return opts->keepalive_count < 0 || opts->keepalive_count > PROBES_MAX ||
           is_bad_time(opts->keepalive_idle) || is_bad_time(opts->keepalive_interval) ||
           opts->recv_bytes < 0 || opts->send_bytes < 0;
}

int wf_option_set(int fd, int level, int option, int value)
{
    return (int)wf_sys.call(SYS_setsockopt, fd, level, option, (long)&value, sizeof value, 0);
}

struct option {
    int level, name, value; /* value 0: the kernel's default, nothing to do */
};

static int set_options(int fd, const struct option *options, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (options[i].value != 0) {
            rc = wf_option_set(fd, options[i].level, options[i].name, options[i].value);
        }
    }
    return rc;
}

int wf_conn_opts_set(int fd, const weft_conn_opts *opts, int family)
{
    const struct option all[] = {
        {SOL_SOCKET, SO_RCVBUF, opts->recv_bytes},
        {SOL_SOCKET, SO_SNDBUF, opts->send_bytes},
    };
    int rc = set_options(fd, all, WF_COUNT(all));
    if (rc < 0 || (family != AF_INET && family != AF_INET6)) {
        return rc;
    }
    const struct option tcp[] = {
        {IPPROTO_TCP, TCP_NODELAY, opts->nodelay},
        {SOL_SOCKET, SO_KEEPALIVE, opts->keepalive_idle > 0},
        {IPPROTO_TCP, TCP_KEEPIDLE, wf_seconds(opts->keepalive_idle)},
        {IPPROTO_TCP, TCP_KEEPINTVL, wf_seconds(opts->keepalive_interval)},
        {IPPROTO_TCP, TCP_KEEPCNT, opts->keepalive_count},
    };
    return set_options(fd, tcp, WF_COUNT(tcp));
}

int weft_conn_set(int fd, const weft_conn_opts *opts)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    int family = 0;
    socklen_t bytes = sizeof family;
    long rc =
        wf_sys.call(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, (long)&family, (long)&bytes, 0);
    if (rc < 0) {
        return (int)rc;
    }
    static const weft_conn_opts defaults;
    opts = opts != NULL ? opts : &defaults;
    return wf_conn_opts_are_bad(opts) ? -EINVAL : wf_conn_opts_set(fd, opts, family);
}
