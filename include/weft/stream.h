/* stream.h: buffered reading and writing over anything that reads and writes bytes.
 *
 * A *stream* is two functions and what they work on: a descriptor, TLS, memory. A *reader* and a
 * *writer* put a buffer of bounded size in front of one; nothing here grows. Each is for one task
 * at a time; reader and writer of one stream may be two tasks'.
 *
 * The buffer is the caller's memory, or NULL: then it comes from a pool, is held only while it has
 * bytes in it or is being filled, and a reader that waits with nothing in it holds none (if the
 * stream can say when there is something to read, or can lend a buffer for it). The first costs one
 * more operation for each wait, the second a copy of what has come; neither costs an idle
 * connection anything. A caller's buffer costs its memory, and neither operations nor copies.
 *
 * Cancellation, and deadlines: a read that is cut short takes nothing from the stream that is not
 * still in the buffer. The call may be made again, later or under another deadline, and goes on
 * where it was. What holds for writers stands at weft_writer_write.
 *
 * What the calls have in common: the codes are those of the stream, and besides -ENODATA: the
 * stream came to its end in the middle of what was asked for (the bytes that did come are in the
 * buffer, weft_reader_peek shows them); -EMSGSIZE: what was asked for is larger than the bound;
 * -ENOMEM: no buffer to be had. A pointer into a buffer is good until the next call on that reader.
 * All may suspend if the stream does, but for those that say otherwise. */
#ifndef WEFT_STREAM_H
#define WEFT_STREAM_H

#include <stdarg.h>
#include <sys/uio.h>
#include <weft/base.h>
#include <weft/loan.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- streams ---------------------------------------------------------------------------------- */

/* How a stream reads and writes. `object` is the stream's. The functions return as weft_recv and
 * weft_send do, and wait and are cancelled as they are: -ECANCELED says that nothing was
 * transferred. */
typedef struct weft_stream_ops {
    /* 1 to `bytes` bytes (> 0) into buffer; 0: the end; -errno. Needed for readers */
    ssize_t (*read)(void *object, void *buffer, size_t bytes);
    /* 1 to `bytes` bytes (> 0) of buffer; -errno. Needed for writers */
    ssize_t (*write)(void *object, const void *buffer, size_t bytes);
    /* the same of `count` (>= 1) pieces one after the other, none of them empty. NULL: the first
     * one is given to `write` */
    ssize_t (*writev)(void *object, const struct iovec *pieces, int count);
    /* waits until `read` has something to say: >= 0; -errno. NULL: a reader keeps its buffer */
    int (*wait)(void *object);
    /* the same as `read`, 1 to `bytes` bytes (> 0), into a buffer that is lent for it, as by
     * weft_recv_loan_max. A reader with a pooled buffer that is empty asks for this, copies what
     * has come, and gives the loan back at once: it never has one while it waits, nor when it
     * returns. NULL: it asks `wait` and then `read` */
    ssize_t (*read_lent)(void *object, weft_loan *loan, size_t bytes);
} weft_stream_ops;

/* A stream. A value: copies are the same stream. What it works on stays the caller's. */
typedef struct weft_stream {
    const weft_stream_ops *ops;
    void *object;
} weft_stream;

/* The stream of a descriptor: by weft_recv and weft_send of a stream socket; by weft_read and
 * weft_write of any other. Closing it stays the caller's: after weft_close the stream is -EBADF,
 * also when its number means another file by then. Any thread. */
weft_stream weft_stream_socket(int fd);
weft_stream weft_stream_file(int fd);

/* As weft_stream_socket, with `read_lent`: for many connections that are mostly idle, whose readers
 * have no buffer of their own. Such a read is one operation, not two. When all buffers of its
 * worker are lent to the program, it waits until one is given back (<weft/loan.h>). */
weft_stream weft_stream_lent(int fd);

/* A stream in memory: reads from `in`, writes to `out`. Never suspends. For tests, and for what has
 * arrived as a whole. */
typedef struct weft_memory {
    const void *in;
    size_t in_bytes;
    void *out;
    size_t out_bytes;     /* room: when it is full, writes give -ENOSPC */
    size_t step;          /* no call transfers more than so many bytes; 0: no such bound */
    size_t in_at, out_at; /* so much was read, so much was written */
} weft_memory;

/* *memory stays the caller's, and must last as long as the stream is used. Any thread. */
weft_stream weft_stream_memory(weft_memory *memory);

/* --- reading ---------------------------------------------------------------------------------- */

/* Size of a pooled buffer if none is given, and the most that it may be, in bytes. */
#define WEFT_STREAM_BUFFER     8192
#define WEFT_STREAM_POOLED_MAX 65536

/* A reader, in the caller's memory. Opaque. */
typedef struct weft_reader {
    WEFT_ALIGNAS(8) unsigned char opaque[64];
} weft_reader;

/* Makes *reader one of `stream`, with `buffer` of `bytes` (>= 1) bytes, which must last until
 * weft_reader_fini; or buffer == NULL: one of the pool, of `bytes` (0: WEFT_STREAM_BUFFER; at most
 * WEFT_STREAM_POOLED_MAX, more is misuse and taken as that). The *capacity* of the reader is
 * `bytes`. Cannot fail: memory of the pool is taken when it is needed. If there is none for what a
 * `read_lent` has brought, the call is -ENOMEM, and the reader keeps the loan until a later call
 * has it, or weft_reader_fini; only if the runtime stops meanwhile are those bytes gone, and
 * -ENOMEM sticks. Any thread. */
void weft_reader_init(weft_reader *reader, weft_stream stream, void *buffer, size_t bytes);

/* Gives a pooled buffer back; bytes that are in it are lost. Zeroed memory is fine. Any thread.
 * Cannot suspend. */
void weft_reader_fini(weft_reader *reader);

/* Reads up to `bytes` into `out`: what is in the buffer, else what the stream gives. The bytes
 * read, at least 1; 0: the end, or bytes == 0. */
ssize_t weft_reader_read(weft_reader *reader, void *out, size_t bytes);

/* Reads exactly `bytes` into `out`. `bytes`; 0: the end came before the first of them; -ENODATA,
 * and other errors. `done` says how many of them are in `out` already: 0 at first. On return it
 * says how many are now, so that a call that was cut short can be made again with the same
 * arguments. NULL: the bytes are collected in the reader's buffer, and `out` gets all or nothing;
 * -EMSGSIZE if they are more than its capacity. -EINVAL: *done > bytes.
 *
 *     size_t done = 0;
 *     ssize_t n = weft_reader_exact(&reader, body, length, &done); */
ssize_t weft_reader_exact(weft_reader *reader, void *out, size_t bytes, size_t *done);

/* Waits for the byte `delimiter` and gives all up to and including it: *out points to it in the
 * buffer, *bytes is its length. It counts as read. At most `max` bytes (0: the capacity; more is
 * the same). 1; 0: the end; -ENODATA; -EMSGSIZE: no delimiter among so many: nothing was read, and
 * they are still in the buffer. */
int weft_reader_until(weft_reader *reader, int delimiter, size_t max, const void **out,
                      size_t *bytes);

/* The same for a line: without its end, "\n" or "\r\n", instead of which there is a NUL; `max`
 * counts the end. `bytes` may be NULL.
 *
 *     char *line;
 *     while ((rc = weft_reader_line(&reader, 1024, &line, NULL)) > 0) obey(line); */
int weft_reader_line(weft_reader *reader, size_t max, char **line, size_t *bytes);

/* How the length of a frame stands before it. */
enum weft_prefix {
    WEFT_PREFIX_8 = 1,  /* one byte */
    WEFT_PREFIX_16 = 2, /* two, the more significant first */
    WEFT_PREFIX_32 = 4, /* four, likewise */
    /* 1 to 5 bytes of 7 bits each, the less significant first, the top bit set in all but the last;
     * up to 2^32-1 */
    WEFT_PREFIX_VARINT = 5,
};

/* Waits for a whole frame with a prefix of `kind` (enum weft_prefix), and gives it, without the
 * prefix, as weft_reader_until does. 1; 0: the end, between two frames; -ENODATA; -EMSGSIZE: longer
 * than `max` (0: no such bound) or than the buffer holds with its prefix: nothing was read, and
 * *bytes is the length that the prefix announces; -EBADMSG: a varint of more than 32 bits; -EINVAL:
 * no such kind. */
int weft_reader_frame(weft_reader *reader, int kind, size_t max, const void **out, size_t *bytes);

/* Reads the prefix alone: for frames that are larger than the buffer, whose bytes are then read
 * with weft_reader_exact into memory that was found with *bytes known to be at most `max`. The
 * results of weft_reader_frame. */
int weft_reader_prefix(weft_reader *reader, int kind, size_t max, size_t *bytes);

/* Waits until at least `least` bytes (at most the capacity, else -EMSGSIZE) are in the buffer, and
 * points *out to what is there, without reading it. How many bytes are there: fewer than `least`:
 * the end comes after these. `least` == 0 shows what is there, and does not suspend (*out is NULL
 * if nothing is). */
ssize_t weft_reader_peek(weft_reader *reader, size_t least, const void **out);

/* The first `bytes` of what weft_reader_peek shows count as read. More than are there: misuse,
 * taken as all. Cannot suspend. */
void weft_reader_consume(weft_reader *reader, size_t bytes);

/* --- writing ---------------------------------------------------------------------------------- */

/* A writer, in the caller's memory. Opaque. */
typedef struct weft_writer {
    WEFT_ALIGNAS(8) unsigned char opaque[64];
} weft_writer;

/* As weft_reader_init. A pooled buffer is held from the first byte that is put into it until all
 * have been written. */
void weft_writer_init(weft_writer *writer, weft_stream stream, void *buffer, size_t bytes);

/* Gives a pooled buffer back. Bytes that were not flushed are lost. Zeroed memory is fine. Any
 * thread. Cannot suspend. */
void weft_writer_fini(weft_writer *writer);

/* Writes all of `bytes` from `data`: into the buffer, if they fit beside what is there; else what
 * is there and they are given to the stream together, without being copied. 0, or -errno.
 *
 * An error sticks: each later call returns it, so that a sequence of writes needs one check, at its
 * flush. A call that was cancelled before the stream had taken any of `data` has written nothing:
 * then -ECANCELED does not stick, what was in the buffer is still there, in order, and the call may
 * be made again. One that was cancelled in the middle of `data` sticks. */
int weft_writer_write(weft_writer *writer, const void *data, size_t bytes);

/* Writes formatted text, as printf does. 0; -EMSGSIZE: with its NUL it is longer than the capacity;
 * or an error of the format (-EINVAL), or of a write: nothing of it is written then, and only the
 * last of these sticks. */
int weft_writer_printf(weft_writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int weft_writer_vprintf(weft_writer *writer, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* Writes a frame: the prefix of `kind` (enum weft_prefix), then the bytes. As weft_writer_write,
 * but of a frame larger than the capacity -ECANCELED may stick in any case. -EMSGSIZE: the prefix
 * cannot say so many, or the buffer cannot hold it (5 bytes are enough); -EINVAL: no such kind;
 * neither sticks. */
int weft_writer_frame(weft_writer *writer, int kind, const void *data, size_t bytes);

/* Gives all that is in the buffer to the stream. 0, or -errno, which sticks unless it is
 * -ECANCELED. */
int weft_writer_flush(weft_writer *writer);

/* The error that sticks, or 0. Cannot suspend. */
int weft_writer_error(const weft_writer *writer);

/* Bytes that are in the buffer and not yet written. Cannot suspend. */
size_t weft_writer_pending(const weft_writer *writer);

/* --- copying ---------------------------------------------------------------------------------- */

/* Copies from a reader to a writer until the end of what is read, or `max` bytes (UINT64_MAX: no
 * bound), and flushes. It reads no more before the writer's stream has taken what was read, so a
 * slow taker slows the giver down, and no more than the reader's capacity is under way. 0, or
 * -errno; which side's it was weft_writer_error says, unless it is -ECANCELED, after which nothing
 * is lost, and the call may be made again. The bytes that were copied are added to *copied (NULL:
 * not wanted).
 *
 *     uint64_t copied = 0;
 *     int rc = weft_copy(&from, &to, UINT64_MAX, &copied); */
int weft_copy(weft_reader *from, weft_writer *to, uint64_t max, uint64_t *copied);

#ifdef __cplusplus
}
#endif

#endif
