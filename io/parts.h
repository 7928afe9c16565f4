/* parts.h: what is left of an array of buffers (iovec) when some bytes have been moved, without
 * changing the array, which is the program's.
 *
 * Who may call: io/ and src/. Any thread. */
#ifndef WF_PARTS_H
#define WF_PARTS_H

#include "pool/base/compiler.h"
#include <stddef.h>
#include <sys/uio.h>

/* Parts looked at together: what is behind them is moved by the next call. */
#define WF_PARTS_WINDOW 16

/* Fills `window` with what lies behind the first `done` bytes of parts[0..count), `bytes_max` bytes
 * at most. How many of it are used, none of them empty. */
WF_INLINE int wf_parts_after(const struct iovec *parts, size_t count, size_t done, size_t bytes_max,
                             struct iovec window[WF_PARTS_WINDOW])
{
    int used = 0;
    for (size_t i = 0; i < count && used < WF_PARTS_WINDOW && bytes_max > 0; i++) {
        size_t bytes = parts[i].iov_len;
        if (bytes <= done) {
            done -= bytes;
            continue;
        }
        size_t left = bytes - done < bytes_max ? bytes - done : bytes_max;
        window[used++] =
            (struct iovec){.iov_base = (char *)parts[i].iov_base + done, .iov_len = left};
        bytes_max -= left;
        done = 0;
    }
    return used;
}

/* Of all parts, SIZE_MAX if they have more. */
WF_INLINE size_t wf_parts_bytes(const struct iovec *parts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes = parts[i].iov_len > SIZE_MAX - bytes ? SIZE_MAX : bytes + parts[i].iov_len;
    }
    return bytes;
}

#endif
