/* load.h: the load generator: it starts a server, any server, on one CPU, talks to it over loopback
 * from another, and says what a request cost the server and how long it took. Its own (main in
 * load.c); not part of the library.
 *
 * Terms. *closed loop*: each connection has `depth` requests in flight, and sends the next when an
 * answer has come. *open loop*: requests are due `rate` times a second, at equal distances, whoever
 * is slow; one whose connection is busy waits, and its latency counts from when it was due.
 * *window*: the stretch that is measured, after the warm-up. *long request*: one that makes the
 * server compute for LONG_MS (servers.h).
 *
 * Guarantees.
 * P.1  Every answer is compared with what it must be; a difference, a lost connection and an answer
 *      that nobody asked for are errors, and with an error there is no figure.
 * P.2  In an open loop every request that was due in the window is in the latencies: what was not
 *      answered GRACE_NS after the end, with the time that it had waited until then.
 * P.3  Whatever the server does, the program ends: nothing waits longer than SILENCE_NS for it, and
 *      the server is killed when the program ends, however it does. */
#ifndef PEERS_LOAD_H
#define PEERS_LOAD_H

#include "hist.h" /* of taskbench */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONNECTIONS_MAX 10000
#define DEPTH_MAX       64
#define BYTES_MAX       65536 /* of a message */
#define SECONDS_MAX     60.0
#define SERVER_PRIORITY 1   /* if it is to have a real-time one */
#define LONG_EVERY      100 /* of the mixed load: one request in so many is long */
#define GRACE_NS        UINT64_C(500000000)
#define SILENCE_NS      UINT64_C(30000000000)

enum load_kind {
    LOAD_ECHO,   /* what is sent comes back */
    LOAD_HTTP,   /* GET, and always the same answer */
    LOAD_MIXED,  /* echo, and some requests are long */
    LOAD_ACCEPT, /* echo, with a connection for each request */
    LOAD_IDLE,   /* one request each, then silence: what connections cost that do nothing */
};

struct load {
    /* given */
    enum load_kind kind;
    int connections, depth;
    size_t bytes;  /* of a message */
    uint64_t rate; /* requests per second; 0: closed loop */
    double seconds, warm_seconds;
    int client_cpu, server_cpu; /* -1: any */
    bool real_time;             /* the server: SERVER_PRIORITY */
    char **command;             /* of the server; "{port}" in it becomes the port */

    /* the server */
    pid_t pid;
    struct sockaddr_in address;
    clockid_t cpu_clock;

    /* result */
    struct tb_hist latency;      /* ns, of all requests but long ones */
    struct tb_hist long_latency; /* ns */
    uint64_t requests;           /* answered within the window */
    uint64_t errors, unanswered;
    uint64_t window_ns, server_ns, client_ns; /* the window; CPU time in it */
    double idle_rss_bytes, idle_pss_bytes;    /* per connection */
    double idle_cpu_ms;                       /* of the server, over the window without a request */
};

/* --- load.c ----------------------------------------------------------------------------------- */

/* Ends the program with status 1, and a sentence on stderr with errno's. */
void fail(const char *what) __attribute__((noreturn));

/* A blocking connection to the server, without Nagle's delay. */
int connect_to(const struct load *load);

/* When request number `number` of all was due, in an open loop that began at `start_ns`. */
static inline uint64_t due_ns(const struct load *load, uint64_t start_ns, uint64_t number)
{
    return start_ns + (uint64_t)((double)number * 1e9 / (double)load->rate);
}

/* The window's account: CPU times are read at both ends. */
void window_begin(struct load *load);
void window_end(struct load *load);

/* --- load_server.c ---------------------------------------------------------------------------- */

/* Starts the server and waits until it accepts, or fails. */
void server_start(struct load *load);

/* Kills it, and waits for it. Fails if it had died. */
void server_stop(struct load *load);

/* --- the loads -------------------------------------------------------------------------------- */

void run_requests(struct load *load); /* load_requests.c: echo, HTTP, mixed */
void run_accept(struct load *load);   /* load_accept.c */
void run_idle(struct load *load);     /* load_idle.c */

#endif
