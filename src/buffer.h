/* buffer.h: a pool of buffers for readers and writers (reader.c, writer.c) that hold one only while
 * they need it.
 *
 * Any thread may take and give. It is the process's, not a runtime's: a reader may outlive the
 * runtime in which it was used, and is freed on any thread. Buffers that come back are kept, at
 * most WF_BUFFER_KEPT_BYTES of each size in each shard; what is more goes back to the system. */
#ifndef WF_BUFFER_H
#define WF_BUFFER_H

#include <stddef.h>

/* The number before a frame, of 32 bits, takes so many at most. */
#define WF_VARINT_BYTES 5

#define WF_BUFFER_MIN ((size_t)512)
#define WF_BUFFER_MAX ((size_t)65536)

/* One shard for so many workers that take at the same moment; a power of two. */
#define WF_BUFFER_SHARDS     16
#define WF_BUFFER_KEPT_BYTES ((size_t)1 << 20)

/* A buffer of at least `bytes`, 1 to WF_BUFFER_MAX; NULL: no memory. Not zeroed. */
void *wf_buffer_take(size_t bytes);
/* The same `bytes`. */
void wf_buffer_give(void *buffer, size_t bytes);

/* The capacity of a reader or writer whose `call` was given a buffer (NULL: of this pool) of
 * `bytes`. */
size_t wf_buffer_capacity(const void *buffer, size_t bytes, const char *call);

#endif
