/* buffer.c: see buffer.h. Lists of free buffers by size and shard, each under a lock of a few
 * instructions. A worker uses the shard of its own number, so two of them rarely meet at a lock. */
#include "src/buffer.h"
#include "pool/base/check.h"
#include "src/core.h"
#include <stdbool.h>
#include <weft/stream.h>

enum { CLASSES = 8 }; /* 512 bytes to 64 KiB, by powers of two */

_Static_assert(WF_BUFFER_MIN << (CLASSES - 1) == WF_BUFFER_MAX, "the largest class is the largest");

/* In a free buffer. */
struct free_buffer {
    struct free_buffer *next;
};

struct shelf {
    WF_ALIGNED(WF_LINE) struct wf_lock lock;
    /* under lock */
    struct free_buffer *first;
    size_t kept_bytes;
};

static struct shelf shelves[WF_BUFFER_SHARDS][CLASSES];

static int class_of(size_t bytes)
{
    wf_check_inner(bytes >= 1 && bytes <= WF_BUFFER_MAX);
    int class = 0;
    while (WF_BUFFER_MIN << class < bytes) { /* ends: at the largest at the latest */
        class ++;
    }
    return class;
}

static struct shelf *shelf_of(int class)
{
    struct wf_fiber *self = wf_peek_task();
    uint32_t shard = self != NULL ? self->worker->index : 0;
    return &shelves[shard % WF_BUFFER_SHARDS][class];
}

void *wf_buffer_take(size_t bytes)
{
    int class = class_of(bytes);
    struct free_buffer *found = NULL;
    if (!wf_forked) { /* a thread that this process does not have may hold the lock */
        struct shelf *shelf = shelf_of(class);
        wf_lock(&shelf->lock);
        found = shelf->first;
        if (found != NULL) {
            shelf->first = found->next;
            shelf->kept_bytes -= WF_BUFFER_MIN << class;
        }
        wf_unlock(&shelf->lock);
    }
    return found != NULL ? found : wf_sys.alloc(WF_LINE, WF_BUFFER_MIN << class);
}

void wf_buffer_give(void *buffer, size_t bytes)
{
    int class = class_of(bytes);
    bool kept = false;
    if (!wf_forked) { /* as above */
        struct shelf *shelf = shelf_of(class);
        struct free_buffer *mine = buffer;
        wf_lock(&shelf->lock);
        kept = shelf->kept_bytes < WF_BUFFER_KEPT_BYTES;
        if (kept) {
            mine->next = shelf->first;
            shelf->first = mine;
            shelf->kept_bytes += WF_BUFFER_MIN << class;
        }
        wf_unlock(&shelf->lock);
    }
    if (!kept) {
        wf_sys.release(buffer);
    }
}

size_t wf_buffer_capacity(const void *buffer, size_t bytes, const char *call)
{
    if (buffer != NULL) {
        if (bytes == 0) {
            wf_misuse("%s: a buffer of 0 bytes", call);
        }
        return bytes;
    }
    if (bytes > WEFT_STREAM_POOLED_MAX) {
        wf_misuse("%s: %zu bytes of a pooled buffer: at most %d", call, bytes,
                  WEFT_STREAM_POOLED_MAX);
        return WEFT_STREAM_POOLED_MAX;
    }
    return bytes > 0 ? bytes : WEFT_STREAM_BUFFER;
}
