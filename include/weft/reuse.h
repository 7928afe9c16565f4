/* reuse.h: sharing what is dear: one call for all who want the same (weft_flight), and a bounded
 * pool of things that take long to open (weft_reuse).
 *
 * What sync.h says of waiting in line, cancellation and memory holds here too. */
#ifndef WEFT_REUSE_H
#define WEFT_REUSE_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- single flight ---------------------------------------------------------------------------- */

/* Calls with a key. Those that come while one with the same key is running do not run: they wait,
 * and share its result. Opaque. */
typedef struct weft_flight {
    WEFT_ALIGNAS(8) unsigned char opaque[272];
} weft_flight;

#define WEFT_FLIGHT_KEY_MAX    1024 /* bytes */
#define WEFT_FLIGHT_RESULT_MAX 4096 /* bytes */

/* What is shared: puts its result into *result, of the size given to weft_flight_init. Returns as a
 * task does. May wait. */
typedef int weft_flight_fn(void *arg, void *result);

/* `result_bytes`: of each result, 0 to WEFT_FLIGHT_RESULT_MAX (else misuse); they are copied. */
void weft_flight_init(weft_flight *flight, size_t result_bytes);

/* Zeroed memory is fine. With calls under way: misuse; those that wait get -ESHUTDOWN. */
void weft_flight_fini(weft_flight *flight);

/* Runs fn(arg, result), or waits for a call with the same key (key_bytes <= WEFT_FLIGHT_KEY_MAX at
 * key, the caller's; compared byte by byte) that runs already, and copies its result. So of several
 * such calls only one runs, with its own fn and arg; it is not a cache: once it has returned, the
 * next call runs again. What fn returned, whoever ran it; *result is valid if that is >= 0. A
 * failure is shared too, but its record is the one's who ran it. If that one is cancelled, one of
 * those who wait runs its own. -ECANCELED: this task was cancelled; -EDEADLK: fn called it with the
 * same key; -E2BIG: the key is too long. May suspend. Task context.
 *
 *     int rc = weft_flight_call(&lookups, name, strlen(name), ask_server, name, &address); */
int weft_flight_call(weft_flight *flight, const void *key, size_t key_bytes, weft_flight_fn *fn,
                     void *arg, void *result);

/* --- pool of what is reused ------------------------------------------------------------------- */

/* A bounded number of things of one kind, opened when needed, kept for the next. */
typedef struct weft_reuse weft_reuse;

#define WEFT_REUSE_MAX      65536
#define WEFT_REUSE_ITEM_MAX 4096 /* bytes */

/* What they are. The functions run in the task that takes or drops, and may wait. */
typedef struct weft_reuse_opts {
    uint32_t max;      /* open or being opened at once, 1 to WEFT_REUSE_MAX; needed */
    size_t item_bytes; /* of what `open` fills in, 1 to WEFT_REUSE_ITEM_MAX; needed */
    void *ctx;         /* for the functions; or NULL */
    /* Opens one and fills in *item (16-byte aligned). >= 0, or -errno, which weft_reuse_take
     * returns. Needed. */
    int (*open)(void *item, void *ctx);
    /* Closes it. It may be called in a cancelled scope, where waiting is refused: use what does not
     * wait. Needed. */
    void (*close)(void *item, void *ctx);
    /* Before it is used again, after `idle` without use: < 0 if it is not good any more, and then
     * it is closed and another opened. NULL: all are good. */
    int (*check)(void *item, weft_time idle, void *ctx);
    weft_time idle_max; /* what was unused for longer is closed and not used again; 0: no limit */
} weft_reuse_opts;

/* The right to use one, until it is given back. *item is what `open` filled in; NULL: none. */
typedef struct weft_lease {
    void *item;
    weft_reuse *pool_;
} weft_lease;

/* A pool; takes its memory here and never again, and opens nothing. *opts is copied. *out is the
 * caller's, to be freed with weft_reuse_free. Any thread. Cannot suspend. 0; -EINVAL: out of range;
 * -ENOMEM (*out = NULL after both). */
int weft_reuse_new(weft_reuse **out, const weft_reuse_opts *opts);

/* Closes what is not leased and frees the pool. NULL is fine. With leases out or tasks waiting:
 * misuse; who waits gets -ESHUTDOWN, and the memory is left to the leases. Any thread, if `close`
 * does not wait. */
void weft_reuse_free(weft_reuse *pool);

/* Leases one, the last used first; opens one if none is there; waits in line while `max` are
 * leased. 0, and *lease is to be given back, which its scope does if it was declared with
 * WEFT_LEASE. Otherwise lease->item is NULL: what `open` returned; -ECANCELED; -ESHUTDOWN: the pool
 * is closed. May suspend. Task context.
 *
 *     WEFT_LEASE(lease);
 *     int rc = weft_reuse_take(pool, &lease);
 *     if (rc < 0) { return rc; }
 *     rc = ask(lease.item, &answer);
 *     if (rc < 0) { weft_lease_drop(&lease); }     // the connection is in an unknown state
 *     return rc;                                   // else it is given back here */
int weft_reuse_take(weft_reuse *pool, weft_lease *lease);

/* Gives it back for others, the one who has waited longest first. No effect if there is none. Any
 * thread. Cannot suspend. */
void weft_lease_give(weft_lease *lease);

/* Closes it, as one that is broken, and gives its place back. No effect if there is none. May
 * suspend if `close` does; any thread, if it does not. */
void weft_lease_drop(weft_lease *lease);

/* Declares a lease in the current block, which gives back what it has at its end, whichever way
 * that is reached. C only. */
#define WEFT_LEASE(name) weft_lease name __attribute__((cleanup(weft_lease_give))) = {NULL, NULL}

/* No lease from now on (-ESHUTDOWN to those who wait or come), closes what is there, and waits
 * until the leases have ended, closing what they give back. 0; -ECANCELED: some are still out; may
 * be called again. May suspend. Task context. */
int weft_reuse_close(weft_reuse *pool);

typedef struct weft_reuse_stats {
    uint32_t leased;                 /* now */
    uint32_t idle;                   /* now: open and not leased */
    uint64_t opened, closed, reused; /* ever: times that one was opened, closed, leased open */
} weft_reuse_stats;

/* A snapshot. Any thread. Cannot suspend. */
void weft_reuse_stats_get(weft_reuse *pool, weft_reuse_stats *out);

#ifdef __cplusplus
}
#endif

#endif
