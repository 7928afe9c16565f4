/* reader.c: <weft/stream.h>: readers, which have a buffer of bounded size in front of a stream.
 *
 * The buffer: bytes [start, end) were received and not read.
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
 *
 * Waiting is the stream's: nothing here suspends by itself, and no lock is held. */
#include "src/buffer.h"
#include "src/core.h"
#include "src/net.h"
#include <stdbool.h>
#include <string.h>
#include <weft/loan.h>
#include <weft/stream.h>

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

_Static_assert(sizeof(struct reader) <= sizeof(weft_reader), "weft_reader is too small");

static struct reader *reader_of(weft_reader *reader)
{
    return (struct reader *)(void *)reader;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- the buffer ------------------------------------------------------------------------------- */

void weft_reader_init(weft_reader *reader, weft_stream stream, void *buffer, size_t bytes)
{
    *reader_of(reader) = (struct reader){
        .stream = stream,
        .buffer = buffer,
        .capacity = wf_buffer_capacity(buffer, bytes, "weft_reader_init"),
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

/* The number before the next frame, and how many bytes it takes, without reading them. 1; 0: the
 * end; -errno. */
static int peek_varint(struct reader *r, size_t *value, size_t *head)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < WF_VARINT_BYTES; i++) {
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

/* The same; -EMSGSIZE: more than `max`, unless that is 0. */
static int peek_bounded(struct reader *r, int kind, size_t max, size_t *value, size_t *head)
{
    int rc = peek_prefix(r, kind, value, head);
    return rc > 0 && max > 0 && *value > max ? -EMSGSIZE : rc;
}

int weft_reader_prefix(weft_reader *reader, int kind, size_t max, size_t *bytes)
{
    struct reader *r = reader_of(reader);
    size_t head = 0;
    int rc = peek_bounded(r, kind, max, bytes, &head);
    if (rc <= 0) {
        return rc;
    }
    take(r, head);
    return 1;
}

int weft_reader_frame(weft_reader *reader, int kind, size_t max, const void **out, size_t *bytes)
{
    struct reader *r = reader_of(reader);
    size_t head = 0;
    int rc = peek_bounded(r, kind, max, bytes, &head);
    if (rc <= 0) {
        return rc;
    }
    rc = fill_up(r, head + *bytes); /* -EMSGSIZE at once if it will not fit */
    if (rc <= 0) {
        return rc < 0 ? rc : -ENODATA;
    }
    *out = r->buffer + r->start + head;
    take(r, head + *bytes);
    return 1;
}
