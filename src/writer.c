/* writer.c: <weft/stream.h>: writers, which have a buffer of bounded size in front of a stream; and
 * copying from a reader to one.
 *
 * G.1  Bytes [0, used) were accepted and not written. They leave in order, and are moved to the
 *      front when the stream has taken some. The error is set only where bytes of the caller's were
 *      lost, or the stream is beyond use: see may_repeat.
 *
 * Waiting is the stream's: nothing here suspends by itself, and no lock is held. */
#include "src/buffer.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <weft/stream.h>

struct writer {
    weft_stream stream;
    unsigned char *buffer; /* NULL: pooled, and not held */
    size_t capacity;
    size_t used;
    int error; /* that sticks */
    bool pooled;
};

_Static_assert(sizeof(struct writer) <= sizeof(weft_writer), "weft_writer is too small");

static struct writer *writer_of(weft_writer *writer)
{
    return (struct writer *)(void *)writer;
}

/* --- the buffer ------------------------------------------------------------------------------- */

void weft_writer_init(weft_writer *writer, weft_stream stream, void *buffer, size_t bytes)
{
    *writer_of(writer) = (struct writer){
        .stream = stream,
        .buffer = buffer,
        .capacity = wf_buffer_capacity(buffer, bytes, "weft_writer_init"),
        .pooled = buffer == NULL,
    };
}

static void writer_release(struct writer *w)
{
    if (w->pooled && w->buffer != NULL) {
        wf_buffer_give(w->buffer, w->capacity);
        w->buffer = NULL;
    }
}

void weft_writer_fini(weft_writer *writer)
{
    struct writer *w = writer_of(writer);
    writer_release(w);
    w->used = 0;
}

int weft_writer_error(const weft_writer *writer)
{
    return ((const struct writer *)(const void *)writer)->error;
}

size_t weft_writer_pending(const weft_writer *writer)
{
    return ((const struct writer *)(const void *)writer)->used;
}

static int get_buffer(struct writer *w)
{
    if (w->buffer == NULL) {
        w->buffer = wf_buffer_take(w->capacity);
    }
    return w->buffer != NULL ? 0 : -ENOMEM;
}

/* Nothing of the caller's was lost by it, and the stream is as it was. */
static bool may_repeat(int rc)
{
    return rc == -ECANCELED || rc == -ENOMEM;
}

static int fail(struct writer *w, int rc)
{
    w->error = rc;
    return rc;
}

/* Gives the stream what is in the buffer and then data[0 .. bytes), as much as it takes at once.
 * How much of the data it took, or -errno; 0: some of the buffer. One of them is not empty. */
static ssize_t push(struct writer *w, const void *data, size_t bytes)
{
    const weft_stream_ops *ops = w->stream.ops;
    ssize_t n;
    if (w->used > 0 && bytes > 0 && ops->writev != NULL) {
        struct iovec pieces[2] = {{w->buffer, w->used}, {(void *)(uintptr_t)data, bytes}};
        n = ops->writev(w->stream.object, pieces, 2);
    } else if (w->used > 0) {
        n = ops->write(w->stream.object, w->buffer, w->used);
    } else {
        n = ops->write(w->stream.object, data, bytes);
    }
    if (n < 0) {
        return n;
    }
    size_t buffered = (size_t)n < w->used ? (size_t)n : w->used;
    w->used -= buffered;
    if (buffered > 0 && w->used > 0) {
        memmove(w->buffer, w->buffer + buffered, w->used);
    } else if (w->used == 0) {
        writer_release(w);
    }
    return n - (ssize_t)buffered;
}

static int flush(struct writer *w)
{
    while (w->used > 0) { /* ends: shrinks, or fails */
        ssize_t n = push(w, NULL, 0);
        if (n < 0) {
            return may_repeat((int)n) ? (int)n : fail(w, (int)n);
        }
    }
    return 0;
}

int weft_writer_flush(weft_writer *writer)
{
    struct writer *w = writer_of(writer);
    return w->error < 0 ? w->error : flush(w);
}

static int put(struct writer *w, const void *data, size_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    int rc = get_buffer(w);
    if (rc == 0) {
        memcpy(w->buffer + w->used, data, bytes);
        w->used += bytes;
    }
    return rc;
}

int weft_writer_write(weft_writer *writer, const void *data, size_t bytes)
{
    struct writer *w = writer_of(writer);
    if (w->error < 0) {
        return w->error;
    }
    size_t taken = 0;
    int rc = 0;
    /* ends: the buffer shrinks or `taken` grows, or it fails */
    while (rc >= 0 && bytes - taken > w->capacity - w->used) {
        ssize_t n = push(w, (const char *)data + taken, bytes - taken);
        rc = n < 0 ? (int)n : 0;
        taken += n > 0 ? (size_t)n : 0;
    }
    rc = rc < 0 ? rc : put(w, (const char *)data + taken, bytes - taken);
    return rc == 0 || (taken == 0 && may_repeat(rc)) ? rc : fail(w, rc);
}

/* Into the room that is there: 0; -EMSGSIZE: it is not enough. */
static int print(struct writer *w, const char *format, va_list arguments)
{
    int rc = get_buffer(w);
    if (rc < 0) {
        return rc;
    }
    size_t room = w->capacity - w->used;
    int n = vsnprintf((char *)w->buffer + w->used, room, format, arguments);
    if (n >= 0 && (size_t)n < room) {
        w->used += (size_t)n;
    }
    if (w->used == 0) {
        writer_release(w);
    }
    return n < 0 ? -EINVAL : (size_t)n < room ? 0 : -EMSGSIZE;
}

int weft_writer_vprintf(weft_writer *writer, const char *format, va_list arguments)
{
    struct writer *w = writer_of(writer);
    if (w->error < 0) {
        return w->error;
    }
    va_list again;
    va_copy(again, arguments);
    int rc = print(w, format, arguments);
    if (rc == -EMSGSIZE && w->used > 0) {
        rc = flush(w);
        rc = rc < 0 ? rc : print(w, format, again);
    }
    va_end(again);
    return rc;
}

int weft_writer_printf(weft_writer *writer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = weft_writer_vprintf(writer, format, arguments);
    va_end(arguments);
    return rc;
}

/* Writes the prefix to head, of WF_VARINT_BYTES: its length, or -errno. */
static int make_prefix(int kind, size_t bytes, unsigned char *head)
{
    switch (kind) {
    case WEFT_PREFIX_8:
    case WEFT_PREFIX_16:
    case WEFT_PREFIX_32:
        if ((uint64_t)bytes >> (8 * kind) != 0) {
            return -EMSGSIZE;
        }
        for (int i = 0; i < kind; i++) {
            head[i] = (unsigned char)(bytes >> (8 * (kind - 1 - i)));
        }
        return kind;
    case WEFT_PREFIX_VARINT:
        break;
    default:
        return -EINVAL;
    }
    if (bytes > UINT32_MAX) {
        return -EMSGSIZE;
    }
    int n = 0;
    for (; bytes >= 0x80; bytes >>= 7) {
        head[n++] = (unsigned char)(bytes | 0x80);
    }
    head[n++] = (unsigned char)bytes;
    return n;
}

int weft_writer_frame(weft_writer *writer, int kind, const void *data, size_t bytes)
{
    struct writer *w = writer_of(writer);
    if (w->error < 0) {
        return w->error;
    }
    unsigned char head[WF_VARINT_BYTES];
    int n = make_prefix(kind, bytes, head);
    if (n < 0) {
        return n;
    }
    size_t head_bytes = (size_t)n;
    if (head_bytes > w->capacity) {
        return -EMSGSIZE;
    }
    int rc = 0;
    if (head_bytes + bytes > w->capacity - w->used) {
        rc = flush(w); /* then nothing of this frame has been put anywhere if it is cancelled */
    }
    rc = rc < 0 ? rc : put(w, head, head_bytes);
    if (rc < 0) {
        return rc;
    }
    rc = weft_writer_write(writer, data, bytes);
    return rc < 0 ? fail(w, rc) : 0; /* a prefix without its frame */
}

/* --- copying ---------------------------------------------------------------------------------- */

/* Writes some of `data` past the writer's buffer, which is empty. How much, or -errno. */
static ssize_t copy_some(struct writer *w, const void *data, size_t bytes)
{
    ssize_t n = push(w, data, bytes);
    return n >= 0 || may_repeat((int)n) ? n : fail(w, (int)n);
}

int weft_copy(weft_reader *from, weft_writer *to, uint64_t max, uint64_t *copied)
{
    uint64_t left = max;
    ssize_t rc = weft_writer_flush(to);
    while (rc >= 0 && left > 0) { /* ends: with `left`, the stream, or an error */
        const void *data;
        rc = weft_reader_peek(from, 1, &data);
        if (rc <= 0) {
            break;
        }
        rc = copy_some(writer_of(to), data, (uint64_t)rc < left ? (size_t)rc : (size_t)left);
        if (rc > 0) {
            weft_reader_consume(from, (size_t)rc);
            left -= (uint64_t)rc;
            if (copied != NULL) {
                *copied += (uint64_t)rc;
            }
        }
    }
    return rc < 0 ? (int)rc : 0;
}
