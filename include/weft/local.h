/* local.h: values that a task and what it starts can look up: task-local data.
 *
 * A binding is immutable and has an extent: it holds from weft_bind to weft_unbind in the function
 * that made it, and in everything called, forked or spawned meanwhile. Nothing is copied and
 * nothing allocated: the inner code finds the binding through a pointer.
 *
 * Who sees it: the code inside, its forked sections, the tasks that it spawns (they are awaited
 * before the binding ends), and the tasks of scopes that were opened inside. A task given to a
 * scope by weft_go sees what was bound when that scope was opened, not what its starter has bound
 * since: the starter may be gone before the task. Detached, posted and called tasks see none. */
#ifndef WEFT_LOCAL_H
#define WEFT_LOCAL_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A static object; its address is the key. `name` is for dumps. */
typedef struct weft_key {
    const char *name;
} weft_key;

/* A binding in the frame of the function that makes it. Opaque; size checked as for weft_task. */
typedef struct weft_binding {
    WEFT_ALIGNAS(8) unsigned char opaque[64];
} weft_binding;

/* Binds `value` (any pointer, kept as it is; what it points to is the caller's) to `key` until
 * weft_unbind, and hides an outer binding of the same key. Cannot fail, cannot suspend. Task
 * context; elsewhere it binds nothing, and weft_unbind does nothing. */
void weft_bind(weft_binding *binding, const weft_key *key, const void *value);

/* Ends the binding. In the function that made it, in the opposite order of scopes and other
 * bindings; out of order, or with a task that was spawned inside not awaited: misuse. Zeroed
 * memory, and a second call: nothing. */
void weft_unbind(weft_binding *binding);

/* What the innermost binding of `key` holds; NULL if there is none. Some nanoseconds for each
 * binding on the way out. Cannot suspend. Outside a task: NULL. */
const void *weft_get(const weft_key *key);

/* weft_bind for the rest of the block: unbinds by itself. C and C++.
 *
 *     static const weft_key request_id = {"request id"};
 *     ...
 *     WEFT_BIND(&request_id, request->id);
 *     return handle(request); // whatever it starts finds weft_get(&request_id) */
#define WEFT_BIND(key, value)           WEFT_BIND_AT_(key, value, __LINE__)
#define WEFT_BIND_AT_(key, value, line) WEFT_BIND_AS_(key, value, line)
#define WEFT_BIND_AS_(key, value, line)                                                \
    weft_binding weft_binding_##line##_ __attribute__((cleanup(weft_unbind), unused)); \
    weft_bind(&weft_binding_##line##_, (key), (value))

#ifdef __cplusplus
}
#endif

#endif
