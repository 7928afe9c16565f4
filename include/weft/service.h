/* service.h: work that nobody waits for: detached tasks. */
#ifndef WEFT_SERVICE_H
#define WEFT_SERVICE_H

#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Starts fn as a task that nobody waits for, owned by the runtime, with a copy of *ptr as its
 * argument; *ptr is the caller's again on return. It outlives the scope that it was started in, is
 * not cancelled with it, inherits no task-local bindings, and is waited for when the runtime stops. A
 * failure goes to on_unobserved. fn and the type of *ptr: as for weft_go. May suspend. Task context.
 * 0; fn not called: -ESHUTDOWN (the runtime has cancelled its tasks, for it stops), -ENOMEM.
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

#ifdef __cplusplus
}
#endif

#endif
