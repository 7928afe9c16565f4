/* service.h: work that nobody waits for: detached tasks, and services.
 *
 * A *service* is a task that runs as long as the program does: the reader of a mailbox, a clean-up
 * every minute. The runtime owns it, asks it to finish when the runtime stops, and stops when it
 * fails. *Drain*: the time from the beginning of the stop, in which everything may still come to
 * its end by itself: a call of weft_rt_stop, the end of weft_run's root task, or a failure that
 * stops the runtime begins it. */
#ifndef WEFT_SERVICE_H
#define WEFT_SERVICE_H

#include <weft/chan.h>
#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Starts fn as a task that nobody waits for, owned by the runtime, with a copy of *ptr as its
 * argument; *ptr is the caller's again on return. It outlives the scope that it was started in, is
 * not cancelled with it, inherits no task-local bindings, and is waited for when the runtime stops.
 * A failure goes to on_unobserved. fn and the type of *ptr: as for weft_go. May suspend. Task
 * context. 0; fn not called: -ESHUTDOWN (the runtime has cancelled its tasks, for it stops),
 * -ENOMEM.
 *
 *     weft_detach(send_email, &mail); */
#define weft_detach(fn, ...) /* (fn, ptr) */                                                    \
    __extension__({                                                                             \
        _Static_assert(__builtin_types_compatible_p(__typeof__(*(__VA_ARGS__)), fn##_weft_arg), \
                       "weft_detach: the argument is not of the type that " #fn                 \
                       " was defined with");                                                    \
        _Static_assert(sizeof *(__VA_ARGS__) <= WEFT_GO_ARG_MAX,                                \
                       "weft_detach: the argument exceeds WEFT_GO_ARG_MAX");                    \
        weft_detach_((fn), (__VA_ARGS__), sizeof *(__VA_ARGS__), WEFT_HERE_STARTS_(#fn));       \
    })
/* The same without types: copies `bytes` (at most WEFT_GO_ARG_MAX, else -E2BIG) from `arg`; aligned
 * to 16 bytes. */
#define weft_detach_raw(fn, arg, bytes) weft_detach_((fn), (arg), (bytes), WEFT_HERE_STARTS_(#fn))
int weft_detach_(weft_fn *fn, const void *arg, size_t bytes, const weft_place *place);

/* Largest argument that weft_service copies, in bytes. */
#define WEFT_SERVICE_ARG_MAX 512

typedef struct weft_service_opts {
    /* what a failure of the service does, unless the hook on_unobserved says: enum weft_verdict; 0:
     * WEFT_STOP */
    int on_fault;
    /* closed, with 0, when the drain begins: the service gets what is in it, then 0. Must stay
     * valid until the service has ended. NULL: it has none */
    weft_chan *mailbox;
    /* without a mailbox, a service is cancelled when the drain begins; 1: only when the drain is
     * over, for it looks by itself (weft_draining, weft_drain_wait) */
    int drains;
} weft_service_opts;

/* Starts fn as a service of the runtime, with a copy of *ptr as its argument, and with a name for
 * messages: `name` is a static string, kept by pointer. (A compound literal as ptr needs
 * parentheses of its own, for options follow it.) Inherits no task-local bindings. When the drain
 * begins, its mailbox is closed, or it is cancelled; when the drain is over it is cancelled in any
 * case. It may end with 0 at any time. A failure other than an answer to its cancellation goes to
 * on_unobserved, and then does what .on_fault says: by default the runtime reports it, drains and
 * stops, and weft_run returns the failure's code. fn and the type of *ptr: as for weft_go. Options
 * (C only) are designated initialisers of weft_service_opts. May suspend. Task context. 0; fn not
 * called: -EINVAL (on_fault), -E2BIG, -ESHUTDOWN (the drain has begun), -ENOMEM.
 *
 *     weft_service("mailer", mailer, &box, .mailbox = box); */
#define weft_service(...) weft_service_opts_(__VA_ARGS__, ) /* (name, fn, ptr, options) */
#define weft_service_opts_(name, fn, ptr, ...)                                             \
    __extension__({                                                                        \
        _Static_assert(__builtin_types_compatible_p(__typeof__(*(ptr)), fn##_weft_arg),    \
                       "weft_service: the argument is not of the type that " #fn           \
                       " was defined with");                                               \
        _Static_assert(sizeof *(ptr) <= WEFT_SERVICE_ARG_MAX,                              \
                       "weft_service: the argument exceeds WEFT_SERVICE_ARG_MAX");         \
        weft_service_((name), (fn), (ptr), sizeof *(ptr),                                  \
                      WEFT_OPTS_(weft_service_opts, __VA_ARGS__), WEFT_HERE_STARTS_(#fn)); \
    })
int weft_service_(const char *name, weft_fn *fn, const void *arg, size_t bytes,
                  const weft_service_opts *opts, const weft_place *place);

/* 1 if the drain of the current task's runtime has begun, else 0; outside a task 0. Cannot
 * suspend. */
int weft_draining(void);

/* Waits until the drain begins: 0, at once if it has. -ECANCELED. May suspend. Task context. */
int weft_drain_wait(void);

#ifdef __cplusplus
}
#endif

#endif
