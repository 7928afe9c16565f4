/* stream.c: <weft/stream.h>: readers and writers with a buffer of bounded size, and copying.
 *
 * A reader's buffer: bytes [start, end) were received and not read.
 *
 *      0          start            end         capacity
 *      |  read    |  to be read    |  room     |
 *
 * G.1  What was received is in the buffer until a call gives it out, and it is given out only when
 *      the whole call succeeds, or is counted in the caller's *done. So a wait that fails loses
 *      nothing.
 * G.2  A pooled buffer with nothing in it is given back before the reader waits: in make_room, and
 *      not when the last byte is taken, for the caller may still look at it. What comes with a loan
 *      is copied into one, so that the loan can go back before anybody waits (ADR 0036); if there
 *      is none then, the reader keeps the loan until there is (lent_bytes; nothing is held
 *      meanwhile).
 * G.3  A writer's bytes [0, used) were accepted and not written. They leave in order, and are moved
 *      to the front when the stream has taken some. Its error is set only where bytes of the
 *      caller's were lost, or the stream is beyond use: see may_repeat.
 *
 * Waiting is the stream's: nothing here suspends by itself, and no lock is held. */
#include "src/buffer.h"
#include "src/core.h"
#include "src/net.h"
#include "src/uses.h"
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/stream.h>

#define POSITION_OWN UINT64_MAX /* op.h: the file's own position */

struct reader {
    weft_stream stream;
    union {
        unsigned char *buffer; /* NULL: pooled, and not held */
        void *lent;            /* lent_bytes > 0: of the loan that is kept, as lent_number */
    };
    size_t capacity; /* 0: zeroed memory */
    size_t start, end;
    uint64_t lent_number;
    uint32_t lent_bytes; /* of a loan that is kept: see G.2 */
    bool pooled;
    bool ended; /* the stream has said so: it is not asked again */
    bool lost;  /* bytes that came with a loan, and its runtime has stopped: there is a hole */
};

struct writer {
    weft_stream stream;
    unsigned char *buffer; /* as above */
    size_t capacity;
    size_t used;
    int error; /* that sticks */
    bool pooled;
};

_Static_assert(sizeof(struct reader) <= sizeof(weft_reader), "weft_reader is too small");
_Static_assert(sizeof(struct writer) <= sizeof(weft_writer), "weft_writer is too small");

static struct reader *reader_of(weft_reader *reader)
{
    return (struct reader *)(void *)reader;
}

static struct writer *writer_of(weft_writer *writer)
{
    return (struct writer *)(void *)writer;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The capacity of a reader or writer that was asked for with these. */
static size_t capacity_for(const void *buffer, size_t bytes, const char *call)
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

/* --- the reader's buffer ---------------------------------------------------------------------- */

void weft_reader_init(weft_reader *reader, weft_stream stream, void *buffer, size_t bytes)
{
    *reader_of(reader) = (struct reader){
        .stream = stream,
        .buffer = buffer,
        .capacity = capacity_for(buffer, bytes, "weft_reader_init"),
        .pooled = buffer == NULL,
    };
}

static void reader_release(struct reader *r)
{
    if (r->pooled && r->buffer != NULL) {
        wf_buffer_give(r->buffer, r->capacity);
        r->buffer = NULL;
    }
}

/* Takes what the loan has that was kept, and gives it back: to `out`, or to nobody. False: it has
 * gone. */
static bool take_kept(struct reader *r, void *out, size_t bytes)
{
    struct wf_kept kept = {.buffer = r->lent, .number = r->lent_number};
    r->buffer = NULL;
    r->lent_bytes = 0;
    return wf_kept_take(&kept, out, bytes);
}

void weft_reader_fini(weft_reader *reader)
{
    struct reader *r = reader_of(reader);
    if (r->lent_bytes > 0) {
        (void)take_kept(r, NULL, 0);
    }
    reader_release(r);
    r->start = r->end = 0;
}

static size_t held(const struct reader *r)
{
    return r->end - r->start;
}

static void take(struct reader *r, size_t bytes)
{
    wf_check_inner(bytes <= held(r));
    r->start += bytes;
}

/* Room for at least one byte behind `end`, with the buffer there: 0 or -errno. */
static int make_room(struct reader *r)
{
    if (r->start == r->end) {
        r->start = r->end = 0;
        if (r->pooled && r->stream.ops->wait != NULL) {
            reader_release(r);
            int rc = r->stream.ops->wait(r->stream.object);
            if (rc < 0) {
                return rc;
            }
        }
    }
    if (r->buffer == NULL) {
        r->buffer = wf_buffer_take(r->capacity);
        return r->buffer != NULL ? 0 : -ENOMEM;
    }
    /* not for each byte that was read: what is moved is at most what room is won by it */
    if (r->start > 0 && r->capacity - r->end < r->capacity / 2) {
        memmove(r->buffer, r->buffer + r->start, held(r));
        r->end -= r->start;
        r->start = 0;
    }
    return 0;
}

/* No memory for the copy: for a later call. */
static WF_COLD void keep(struct reader *r, weft_loan *loan, size_t bytes)
{
    struct wf_kept kept;
    r->lost = !wf_loan_keep(loan, &kept);
    if (!r->lost) {
        r->lent = kept.buffer;
        r->lent_number = kept.number;
        r->lent_bytes = (uint32_t)bytes;
    }
}

/* With nothing held: waits without a buffer, and takes one for what has come. As fill. */
static int fill_by_loan(struct reader *r)
{
    r->start = r->end = 0;
    reader_release(r);
    WEFT_LOAN(loan);
    ssize_t n = r->stream.ops->read_lent(r->stream.object, &loan, r->capacity);
    if (n <= 0) {
        r->ended = n == 0;
        return (int)n;
    }
    r->buffer = wf_buffer_take(r->capacity);
    if (wf_unlikely(r->buffer == NULL)) {
        keep(r, &loan, (size_t)n);
        return -ENOMEM;
    }
    memcpy(r->buffer, loan.data, (size_t)n);
    r->end = (size_t)n;
    return 1;
}

/* The copy that there was no memory for. As fill. */
static WF_COLD int fill_from_kept(struct reader *r)
{
    size_t bytes = r->lent_bytes;
    unsigned char *buffer = wf_buffer_take(r->capacity);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    r->lost = !take_kept(r, buffer, bytes);
    r->buffer = buffer;
    r->end = r->lost ? 0 : bytes;
    return r->lost ? -ENOMEM : 1;
}

/* Receives at least one more byte, for which there is room. 1; 0: the end; -errno. */
static int fill(struct reader *r)
{
    wf_check_inner(held(r) < r->capacity);
    if (wf_unlikely(r->lent_bytes > 0)) {
        return fill_from_kept(r);
    }
    if (r->ended || r->lost) {
        return r->lost ? -ENOMEM : 0;
    }
    if (r->pooled && held(r) == 0 && r->stream.ops->read_lent != NULL) {
        return fill_by_loan(r);
    }
    int rc = make_room(r);
    if (rc < 0) {
        return rc;
    }
    ssize_t n = r->stream.ops->read(r->stream.object, r->buffer + r->end, r->capacity - r->end);
    if (n <= 0) {
        r->ended = n == 0;
        return (int)n;
    }
    r->end += (size_t)n;
    return 1;
}

/* Until `least` bytes are held: 1; 0: the end comes before; -errno. */
static int fill_up(struct reader *r, size_t least)
{
    if (least > r->capacity) {
        return -EMSGSIZE;
    }
    int rc = 1;
    while (rc > 0 && held(r) < least) { /* ends: grows, or fails */
        rc = fill(r);
    }
    return rc;
}

/* What the end of the stream means in the middle of a call. */
static int end_of(const struct reader *r)
{
    return held(r) > 0 ? -ENODATA : 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

ssize_t weft_reader_peek(weft_reader *reader, size_t least, const void **out)
{
    struct reader *r = reader_of(reader);
    int rc = fill_up(r, least);
    *out = rc >= 0 && held(r) > 0 ? r->buffer + r->start : NULL;
    return rc < 0 ? rc : (ssize_t)held(r);
}

void weft_reader_consume(weft_reader *reader, size_t bytes)
{
    struct reader *r = reader_of(reader);
    if (bytes > held(r)) {
        wf_misuse("weft_reader_consume: %zu bytes of %zu that are there", bytes, held(r));
        bytes = held(r);
    }
    take(r, bytes);
}

static size_t copy_out(struct reader *r, void *out, size_t bytes)
{
    size_t n = smaller(bytes, held(r));
    if (n > 0) {
        memcpy(out, r->buffer + r->start, n);
        take(r, n);
    }
    return n;
}

/* As much as comes at once: past the buffer, if it is empty and would not be larger. */
static ssize_t read_some(struct reader *r, void *out, size_t bytes)
{
    if (held(r) == 0) {
        if (wf_unlikely(r->lent_bytes > 0 && bytes >= r->lent_bytes)) { /* it takes no memory */
            size_t n = r->lent_bytes;
            r->lost = !take_kept(r, out, n);
            return r->lost ? -ENOMEM : (ssize_t)n;
        }
        if (r->lent_bytes == 0 && bytes >= r->capacity && !r->ended && !r->lost) {
            reader_release(r);
            ssize_t n = r->stream.ops->read(r->stream.object, out, bytes);
            r->ended = n == 0;
            return n;
        }
        int rc = fill(r);
        if (rc <= 0) {
            return rc;
        }
    }
    return (ssize_t)copy_out(r, out, bytes);
}

ssize_t weft_reader_read(weft_reader *reader, void *out, size_t bytes)
{
    return bytes > 0 ? read_some(reader_of(reader), out, bytes) : 0;
}

static ssize_t exact_at_once(struct reader *r, void *out, size_t bytes)
{
    int rc = fill_up(r, bytes);
    if (rc <= 0) {
        return rc < 0 ? rc : end_of(r);
    }
    return (ssize_t)copy_out(r, out, bytes);
}

ssize_t weft_reader_exact(weft_reader *reader, void *out, size_t bytes, size_t *done)
{
    struct reader *r = reader_of(reader);
    if (done == NULL) {
        return exact_at_once(r, out, bytes);
    }
    if (*done > bytes) {
        return -EINVAL;
    }
    while (*done < bytes) { /* ends: grows, or fails */
        ssize_t n = read_some(r, (char *)out + *done, bytes - *done);
        if (n <= 0) {
            return n < 0 ? n : *done > 0 ? -ENODATA : 0;
        }
        *done += (size_t)n;
    }
    return (ssize_t)bytes;
}

/* Waits for the delimiter within `max` bytes (0: the capacity): 1, and *length with it; 0: the end;
 * -errno. */
static int find(struct reader *r, int delimiter, size_t max, size_t *length)
{
    max = max > 0 ? smaller(max, r->capacity) : r->capacity;
    size_t looked = 0;
    for (;;) { /* ends: at `max` at the latest */
        size_t there = smaller(held(r), max);
        if (there > looked) {
            const unsigned char *bytes = r->buffer + r->start;
            const unsigned char *at = memchr(bytes + looked, delimiter, there - looked);
            if (at != NULL) {
                *length = (size_t)(at - bytes) + 1;
                return 1;
            }
            looked = there;
        }
        if (looked == max) {
            return -EMSGSIZE;
        }
        int rc = fill(r);
        if (rc <= 0) {
            return rc < 0 ? rc : end_of(r);
        }
    }
}

int weft_reader_until(weft_reader *reader, int delimiter, size_t max, const void **out,
                      size_t *bytes)
{
    struct reader *r = reader_of(reader);
    int rc = find(r, delimiter, max, bytes);
    if (rc > 0) {
        *out = r->buffer + r->start;
        take(r, *bytes);
    }
    return rc;
}

int weft_reader_line(weft_reader *reader, size_t max, char **line, size_t *bytes)
{
    struct reader *r = reader_of(reader);
    size_t length = 0;
    int rc = find(r, '\n', max, &length);
    if (rc <= 0) {
        return rc;
    }
    char *text = (char *)r->buffer + r->start;
    take(r, length);
    length -= length >= 2 && text[length - 2] == '\r' ? 2 : 1;
    text[length] = '\0';
    *line = text;
    if (bytes != NULL) {
        *bytes = length;
    }
    return 1;
}

/* --- frames ----------------------------------------------------------------------------------- */

enum { VARINT_BYTES_MAX = 5 };

/* The number before the next frame, and how many bytes it takes, without reading them. 1; 0: the
 * end; -errno. */
static int peek_varint(struct reader *r, size_t *value, size_t *head)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < VARINT_BYTES_MAX; i++) {
        int rc = fill_up(r, i + 1);
        if (rc <= 0) {
            return rc < 0 ? rc : end_of(r);
        }
        unsigned char byte = r->buffer[r->start + i];
        sum |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *value = (size_t)sum;
            *head = i + 1;
            return sum <= UINT32_MAX ? 1 : -EBADMSG;
        }
    }
    return -EBADMSG;
}

static int peek_prefix(struct reader *r, int kind, size_t *value, size_t *head)
{
    switch (kind) {
    case WEFT_PREFIX_8:
    case WEFT_PREFIX_16:
    case WEFT_PREFIX_32:
        break;
    case WEFT_PREFIX_VARINT:
        return peek_varint(r, value, head);
    default:
        return -EINVAL;
    }
    int rc = fill_up(r, (size_t)kind);
    if (rc <= 0) {
        return rc < 0 ? rc : end_of(r);
    }
    *value = 0;
    for (int i = 0; i < kind; i++) {
        *value = *value << 8 | r->buffer[r->start + (size_t)i];
    }
    *head = (size_t)kind;
    return 1;
}

int weft_reader_prefix(weft_reader *reader, int kind, size_t max, size_t *bytes)
{
    struct reader *r = reader_of(reader);
    size_t head = 0;
    int rc = peek_prefix(r, kind, bytes, &head);
    if (rc <= 0) {
        return rc;
    }
    if (max > 0 && *bytes > max) {
        return -EMSGSIZE;
    }
    take(r, head);
    return 1;
}

int weft_reader_frame(weft_reader *reader, int kind, size_t max, const void **out, size_t *bytes)
{
    struct reader *r = reader_of(reader);
    size_t head = 0;
    int rc = peek_prefix(r, kind, bytes, &head);
    if (rc <= 0) {
        return rc;
    }
    if (max > 0 && *bytes > max) {
        return -EMSGSIZE;
    }
    rc = fill_up(r, head + *bytes); /* -EMSGSIZE at once if it will not fit */
    if (rc <= 0) {
        return rc < 0 ? rc : -ENODATA;
    }
    *out = r->buffer + r->start + head;
    take(r, head + *bytes);
    return 1;
}

/* --- the writer's buffer ---------------------------------------------------------------------- */

void weft_writer_init(weft_writer *writer, weft_stream stream, void *buffer, size_t bytes)
{
    *writer_of(writer) = (struct writer){
        .stream = stream,
        .buffer = buffer,
        .capacity = capacity_for(buffer, bytes, "weft_writer_init"),
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
    size_t buffered = smaller((size_t)n, w->used);
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

/* Writes the prefix to head, of VARINT_BYTES_MAX: its length, or -errno. */
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
    unsigned char head[VARINT_BYTES_MAX];
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

/* Writes some of what the reader holds past the writer's buffer, which is empty, and reads it. */
static int copy_some(struct reader *r, struct writer *w, size_t bytes, size_t *moved)
{
    ssize_t n = push(w, r->buffer + r->start, bytes);
    if (n < 0) {
        return may_repeat((int)n) ? (int)n : fail(w, (int)n);
    }
    take(r, (size_t)n);
    *moved = (size_t)n;
    return 0;
}

int weft_copy(weft_reader *from, weft_writer *to, uint64_t max, uint64_t *copied)
{
    struct reader *r = reader_of(from);
    struct writer *w = writer_of(to);
    uint64_t left = max;
    int rc = weft_writer_flush(to);
    while (rc >= 0 && left > 0) { /* ends: with `left`, the stream, or an error */
        rc = held(r) > 0 ? 1 : fill(r);
        if (rc <= 0) {
            break;
        }
        size_t moved = 0;
        rc = copy_some(r, w, held(r) < left ? held(r) : (size_t)left, &moved);
        left -= moved;
        if (copied != NULL) {
            *copied += moved;
        }
    }
    return rc < 0 ? rc : 0;
}

/* --- streams ---------------------------------------------------------------------------------- */

/* A descriptor's object: its number, and which of the number's files the stream means (uses.h),
 * that of its making. So it ends with the file, though all that a program passes around is a
 * number. */
static int fd_of(void *object)
{
    return (int)(uint32_t)(uintptr_t)object;
}

static uint32_t meant_by(void *object)
{
    return (uint32_t)((uint64_t)(uintptr_t)object >> 32);
}

static void *object_of(int fd)
{
    uint64_t object = (uint64_t)wf_use_meant(fd) << 32 | (uint32_t)fd;
    return (void *)(uintptr_t)object; // NOLINT(performance-no-int-to-ptr)
}

_Static_assert(sizeof(void *) == sizeof(uint64_t), "it holds both");

static ssize_t socket_read(void *object, void *buffer, size_t bytes)
{
    return wf_recv_meant(fd_of(object), meant_by(object), buffer, bytes);
}

static ssize_t socket_write(void *object, const void *buffer, size_t bytes)
{
    return wf_send_meant(fd_of(object), meant_by(object), buffer, bytes);
}

static ssize_t socket_writev(void *object, const struct iovec *pieces, int count)
{
    return wf_sendv_meant(fd_of(object), meant_by(object), pieces, count);
}

static ssize_t file_writev(void *object, const struct iovec *pieces, int count)
{
    return wf_writev_meant(fd_of(object), meant_by(object), pieces, count);
}

static ssize_t file_read(void *object, void *buffer, size_t bytes)
{
    return wf_read_meant(fd_of(object), meant_by(object), buffer, bytes, POSITION_OWN);
}

static ssize_t file_write(void *object, const void *buffer, size_t bytes)
{
    return wf_write_meant(fd_of(object), meant_by(object), buffer, bytes, POSITION_OWN);
}

static int fd_wait(void *object)
{
    return wf_wait_fd_meant(fd_of(object), meant_by(object), POLLIN);
}

weft_stream weft_stream_socket(int fd)
{
    static const weft_stream_ops ops = {
        .read = socket_read, .write = socket_write, .writev = socket_writev, .wait = fd_wait};
    return (weft_stream){&ops, object_of(fd)};
}

static ssize_t socket_read_lent(void *object, weft_loan *loan, size_t bytes)
{
    return wf_recv_loan_meant(fd_of(object), meant_by(object), loan, bytes);
}

weft_stream weft_stream_lent(int fd)
{
    static const weft_stream_ops ops = {.read = socket_read,
                                        .write = socket_write,
                                        .writev = socket_writev,
                                        .wait = fd_wait,
                                        .read_lent = socket_read_lent};
    return (weft_stream){&ops, object_of(fd)};
}

weft_stream weft_stream_file(int fd)
{
    static const weft_stream_ops ops = {
        .read = file_read, .write = file_write, .writev = file_writev, .wait = fd_wait};
    return (weft_stream){&ops, object_of(fd)};
}

static size_t memory_step(const weft_memory *memory, size_t bytes, size_t left)
{
    bytes = smaller(bytes, left);
    return memory->step > 0 ? smaller(bytes, memory->step) : bytes;
}

static ssize_t memory_read(void *object, void *buffer, size_t bytes)
{
    weft_memory *memory = object;
    size_t n = memory_step(memory, bytes, memory->in_bytes - memory->in_at);
    if (n > 0) {
        memcpy(buffer, (const char *)memory->in + memory->in_at, n);
        memory->in_at += n;
    }
    return (ssize_t)n;
}

static ssize_t memory_write(void *object, const void *buffer, size_t bytes)
{
    weft_memory *memory = object;
    size_t n = memory_step(memory, bytes, memory->out_bytes - memory->out_at);
    if (n == 0) {
        return -ENOSPC;
    }
    memcpy((char *)memory->out + memory->out_at, buffer, n);
    memory->out_at += n;
    return (ssize_t)n;
}

weft_stream weft_stream_memory(weft_memory *memory)
{
    static const weft_stream_ops ops = {.read = memory_read, .write = memory_write};
    return (weft_stream){&ops, memory};
}
