/* net.h: what `taskbench net` is made of: a server by weft in a process of its own, and a client
 * that is not weft: one thread over epoll, in this process.
 *
 * Terms. *closed loop*: every connection sends its next request when it has the answer to the last;
 * what is slow is asked less often. *open loop*: requests are due at times that nobody's slowness
 * moves, `rate` per second over all connections; one whose connection is busy waits for it, and
 * that wait is part of its latency. *intended*: from when a request was due until its answer.
 * *service*: from when it was sent. In a closed loop the two are one.
 *
 * Guarantees.
 * N.1  Every answer is compared, byte by byte, with what it must be.
 * N.2  In an open loop every request that was due is in `intended`: those that were not answered
 *      when the client gave up (TB_NET_GRACE_NS after the end) with the time that they had waited
 *      until then.
 * N.3  What was due in the first TB_NET_WARM_NS is in no figure. */
#ifndef TB_NET_H
#define TB_NET_H

#include "hist.h"
#include "row.h"
#include <netinet/in.h>
#include <sys/types.h>

#define TB_NET_CONNECTIONS_MAX 1024
#define TB_NET_BYTES_MAX \
    16384 /* of a request or a body: less than a socket buffers, so sends do not wait */
#define TB_NET_WARM_NS  UINT64_C(200000000)
#define TB_NET_GRACE_NS UINT64_C(3000000000)

enum tb_net_kind { TB_NET_ECHO, TB_NET_HTTP };

struct tb_net {
    /* given */
    enum tb_net_kind kind;
    uint64_t rate; /* requests per second; 0: closed loop */
    bool poisson;  /* arrivals; else at equal distances */
    uint64_t connections, bytes, seed;
    double seconds;
    int workers;  /* of the server */
    bool foreign; /* the server is not ours: its bodies are compared with its first one */
    struct sockaddr_in server; /* of a foreign one */

    /* result */
    struct tb_hist intended, service;
    uint64_t unanswered;  /* N.2 */
    double server_cpu_ns; /* per request; negative: unknown */
    bool pinned;          /* server and client have CPUs of their own */
};

/* --- the server's process: net_peer.c --------------------------------------------------------- */

struct tb_peer {
    pid_t pid; /* 0: none */
    int hold;  /* the server ends when this is closed */
    int wire;  /* what it says (wire.h) */
    int cpu;   /* that this process is to use, after pinning; -1: any */
    char error[TB_REASON_MAX];
};

/* Starts `taskbench serve`, and waits until it listens: net->server is where. 0; -1 with `error`
 * set. */
int tb_peer_start(struct tb_peer *peer, struct tb_net *net);

/* CPU time of the server's process; 0: unknown. */
uint64_t tb_peer_cpu_ns(const struct tb_peer *peer);

/* Ends it, takes over what it says of itself into the row, and waits for it. 0; -1 with `error`
 * set: it had died, or failed. */
int tb_peer_stop(struct tb_peer *peer, struct tb_row *row);

/* --- the client: net_client.c ----------------------------------------------------------------- */

/* Called ten times a second. */
typedef void tb_net_tick_fn(void *arg, const struct tb_row *row, double fraction);

/* Sends requests and fills net's result and the row: samples (requests per window), metrics,
 * latency, status. `peer` is NULL for a foreign server. Ends early when a signal asks for it
 * (tb_interrupted), with what there is. */
void tb_net_run(struct tb_net *net, const struct tb_peer *peer, struct tb_row *row,
                tb_net_tick_fn *tick, void *arg);

#endif
