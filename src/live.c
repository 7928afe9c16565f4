/* live.c: the table of live.h. Whoever looks at an entry holds the lock; no user code runs under
 * it. */
#include "src/live.h"
#include "pool/base/lock.h"
#include "src/core.h"
#include <stdint.h>

struct entry {
    const void *object; /* NULL: free */
    const char *kind;
};

/* All under the lock: in builds with checks an init may cost that. */
static struct wf_lock table_lock;
static struct entry table[WF_CHECKS ? WF_LIVE_BUCKETS : 1][WF_LIVE_SLOTS];

static struct entry *bucket_of(const void *object)
{
    uint64_t spread = (uint64_t)(uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15);
    return table[(spread >> 32) % (sizeof table / sizeof table[0])];
}

/* The entry of `object`, which may be NULL: a free one. NULL: there is none. */
static struct entry *find_locked(struct entry *bucket, const void *object)
{
    for (int i = 0; i < WF_LIVE_SLOTS; i++) {
        if (bucket[i].object == object) {
            return &bucket[i];
        }
    }
    return NULL;
}

void wf_live_enter(const void *object, const char *kind)
{
    if (wf_forked) { /* the lock may be held by a thread that is not here */
        return;
    }
    const char *former = NULL;
    struct entry *bucket = bucket_of(object);
    wf_lock(&table_lock);
    struct entry *entry = find_locked(bucket, object);
    if (entry != NULL) {
        former = entry->kind;
    } else {
        entry = find_locked(bucket, NULL);
    }
    if (entry != NULL) {
        *entry = (struct entry){object, kind};
    }
    wf_unlock(&table_lock);
    if (former != NULL) {
        wf_misuse("%s_init: at %p there is a %s that was initialised, and has had no %s_fini", kind,
                  object, former, former);
    }
}

void wf_live_leave(const void *object)
{
    if (wf_forked) {
        return;
    }
    wf_lock(&table_lock);
    struct entry *entry = find_locked(bucket_of(object), object);
    if (entry != NULL) {
        entry->object = NULL;
    }
    wf_unlock(&table_lock);
}
