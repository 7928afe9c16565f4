/* Readers and writers: what comes out is what went in, whatever pieces it comes in; bounds hold;
 * the end in the middle is told from the end; nothing is lost by a cancellation; who waits holds no
 * buffer. */
#include "pattern.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/stream.h>
#include <weft/sync.h>

#define STEPS 9 /* pieces of 1 to 8 bytes, and as much as there is */

static weft_memory memory_of(const void *in, size_t bytes, size_t step)
{
    return (weft_memory){.in = in, .in_bytes = bytes, .step = step % STEPS};
}

/* --- reading ---------------------------------------------------------------------------------- */

Test(stream, lines_are_the_same_in_whatever_pieces_they_come)
{
    static const char text[] = "first\r\n\nthird line\n\r\nlast\n";
    static const char *const lines[] = {"first", "", "third line", "", "last"};
    for (size_t step = 1; step <= STEPS; step++) {
        weft_memory memory = memory_of(text, sizeof text - 1, step);
        char buffer[12]; /* the longest line and its end, and one more */
        weft_reader reader;
        weft_reader_init(&reader, weft_stream_memory(&memory), buffer, sizeof buffer);
        for (size_t i = 0; i < 5; i++) {
            char *line = NULL;
            size_t bytes = 99;
            wt_eq(weft_reader_line(&reader, 0, &line, &bytes), 1, "step %zu line %zu", step, i);
            wt_str_eq(line, lines[i]);
            wt_eq(bytes, strlen(lines[i]));
        }
        char *line = NULL;
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 0);
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 0, "the end stays");
        weft_reader_fini(&reader);
    }
}

Test(stream, a_line_beyond_its_bound_is_refused_and_stays)
{
    for (size_t step = 1; step <= STEPS; step++) {
        weft_memory memory = memory_of("12345678\nx\n", 11, step);
        char buffer[64];
        weft_reader reader;
        weft_reader_init(&reader, weft_stream_memory(&memory), buffer, sizeof buffer);
        char *line = NULL;
        wt_eq(weft_reader_line(&reader, 8, &line, NULL), -EMSGSIZE);
        wt_eq(weft_reader_line(&reader, 8, &line, NULL), -EMSGSIZE, "it has read nothing");
        wt_eq(weft_reader_line(&reader, 9, &line, NULL), 1);
        wt_str_eq(line, "12345678");
        const void *out;
        size_t bytes;
        wt_eq(weft_reader_until(&reader, '\n', 2, &out, &bytes), 1);
        wt_eq(bytes, 2);
        wt_mem_eq(out, "x\n", 2);
        weft_reader_fini(&reader);
    }
}

Test(stream, a_line_longer_than_the_buffer_is_refused)
{
    weft_memory memory = memory_of("123456789\n", 10, 3);
    char buffer[9];
    weft_reader reader;
    weft_reader_init(&reader, weft_stream_memory(&memory), buffer, sizeof buffer);
    char *line = NULL;
    wt_eq(weft_reader_line(&reader, 0, &line, NULL), -EMSGSIZE);
    const void *out;
    wt_eq(weft_reader_peek(&reader, 0, &out), 9);
    wt_mem_eq(out, "123456789", 9);
    weft_reader_fini(&reader);
}

Test(stream, the_end_in_the_middle_is_not_the_end)
{
    for (size_t step = 1; step <= STEPS; step++) {
        weft_memory memory = memory_of("abc", 3, step);
        weft_reader reader;
        char buffer[16];
        weft_reader_init(&reader, weft_stream_memory(&memory), buffer, sizeof buffer);
        char *line = NULL;
        char out[8];
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), -ENODATA);
        wt_eq(weft_reader_exact(&reader, out, 4, NULL), -ENODATA);
        const void *rest;
        wt_eq(weft_reader_peek(&reader, 9, &rest), 3, "fewer than asked for: the end");
        wt_eq(weft_reader_exact(&reader, out, 3, NULL), 3);
        wt_mem_eq(out, "abc", 3);
        wt_eq(weft_reader_exact(&reader, out, 4, NULL), 0);
        wt_eq(weft_reader_read(&reader, out, 4), 0);
        wt_eq(weft_reader_peek(&reader, 1, &rest), 0);
        wt_true(rest == NULL);
        weft_reader_fini(&reader);
    }
}

Test(stream, exact_goes_past_the_buffer_and_counts)
{
    char in[1000];
    char out[1000];
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = (char)(i * 7);
    }
    for (size_t step = 1; step <= STEPS; step++) {
        weft_memory memory = memory_of(in, sizeof in, step);
        weft_reader reader;
        char buffer[16];
        weft_reader_init(&reader, weft_stream_memory(&memory), buffer, sizeof buffer);
        const void *peeked;
        wt_ge(weft_reader_peek(&reader, 5, &peeked), 5);
        wt_eq(weft_reader_exact(&reader, out, 17, NULL), -EMSGSIZE);
        size_t done = 0;
        wt_eq(weft_reader_exact(&reader, out, 900, &done), 900);
        wt_eq(done, 900);
        wt_mem_eq(out, in, 900);
        done = 0;
        wt_eq(weft_reader_exact(&reader, out, 101, &done), -ENODATA);
        wt_eq(done, 100);
        wt_mem_eq(out, in + 900, 100);
        done = 0;
        wt_eq(weft_reader_exact(&reader, out, 1, &done), 0);
        done = 2;
        wt_eq(weft_reader_exact(&reader, out, 1, &done), -EINVAL);
        weft_reader_fini(&reader);
    }
}

Test(stream, peek_shows_without_reading_and_consume_reads)
{
    weft_memory memory = memory_of("abcdef", 6, 2);
    weft_reader reader;
    weft_reader_init(&reader, weft_stream_memory(&memory), NULL, 0);
    const void *out;
    wt_eq(weft_reader_peek(&reader, 0, &out), 0);
    wt_true(out == NULL);
    wt_eq(weft_reader_peek(&reader, 3, &out), 4);
    wt_mem_eq(out, "abcd", 4);
    weft_reader_consume(&reader, 1);
    wt_eq(weft_reader_peek(&reader, 1, &out), 3);
    wt_mem_eq(out, "bcd", 3);
    wt_eq(weft_reader_peek(&reader, WEFT_STREAM_BUFFER + 1, &out), -EMSGSIZE);
    weft_reader_fini(&reader);
}

static int misuses;
static void count_misuse(const char *what)
{
    (void)what;
    misuses++;
}

Test(stream, to_consume_what_is_not_there_is_misuse)
{
    weft_on_misuse(count_misuse);
    weft_memory memory = memory_of("abc", 3, 0);
    weft_reader reader;
    weft_reader_init(&reader, weft_stream_memory(&memory), NULL, 0);
    weft_reader_consume(&reader, 1);
    wt_eq(misuses, 1);
    const void *out;
    wt_eq(weft_reader_peek(&reader, 1, &out), 3);
    weft_reader_fini(&reader);
    weft_reader_init(&reader, weft_stream_memory(&memory), NULL, WEFT_STREAM_POOLED_MAX + 1);
    wt_eq(misuses, 2);
    weft_reader_fini(&reader);
}

Test(stream, zeroed_ones_end_without_a_beginning)
{
    weft_reader reader = {{0}};
    weft_writer writer = {{0}};
    weft_reader_fini(&reader);
    weft_writer_fini(&writer);
}

static ssize_t end_once(void *object, void *buffer, size_t bytes)
{
    (void)bytes;
    *(char *)buffer = 'x';
    return (*(int *)object)++;
}

Test(stream, a_stream_that_has_ended_is_not_asked_again)
{
    static const weft_stream_ops ops = {.read = end_once};
    int calls = 0;
    weft_reader reader;
    char c;
    weft_reader_init(&reader, (weft_stream){&ops, &calls}, NULL, 0);
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_reader_read(&reader, &c, 1), 0);
        wt_eq(weft_reader_exact(&reader, &c, 1, NULL), 0);
    }
    wt_eq(calls, 1);
    weft_reader_fini(&reader);
}

/* --- frames ----------------------------------------------------------------------------------- */

static const int kinds[] = {WEFT_PREFIX_8, WEFT_PREFIX_16, WEFT_PREFIX_32, WEFT_PREFIX_VARINT};

Test(stream, frames_of_each_kind_come_out_as_they_went_in)
{
    static const size_t lengths[] = {0, 1, 127, 128, 200, 255};
    static char out[4096];
    char data[256];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)(i * 31 + 1);
    }
    for (size_t k = 0; k < 4; k++) {
        for (size_t step = 1; step <= STEPS; step++) {
            weft_memory sink = {.out = out, .out_bytes = sizeof out, .step = step % STEPS};
            char small[7];
            weft_writer writer;
            weft_writer_init(&writer, weft_stream_memory(&sink), small, sizeof small);
            for (size_t i = 0; i < 6; i++) {
                wt_eq(weft_writer_frame(&writer, kinds[k], data, lengths[i]), 0);
            }
            wt_eq(weft_writer_flush(&writer), 0);
            weft_writer_fini(&writer);

            weft_memory memory = memory_of(out, sink.out_at, step);
            char buffer[260];
            weft_reader reader;
            weft_reader_init(&reader, weft_stream_memory(&memory), buffer, sizeof buffer);
            const void *frame;
            size_t bytes;
            for (size_t i = 0; i < 6; i++) {
                wt_eq(weft_reader_frame(&reader, kinds[k], 0, &frame, &bytes), 1,
                      "kind %d step %zu length %zu", kinds[k], step, lengths[i]);
                wt_eq(bytes, lengths[i]);
                wt_mem_eq(frame, data, bytes);
            }
            wt_eq(weft_reader_frame(&reader, kinds[k], 0, &frame, &bytes), 0);
            weft_reader_fini(&reader);
        }
    }
}

static int frame_of(const char *in, size_t in_bytes, int kind, size_t max, size_t *bytes)
{
    weft_memory memory = memory_of(in, in_bytes, 1);
    char buffer[32];
    weft_reader reader;
    weft_reader_init(&reader, weft_stream_memory(&memory), buffer, sizeof buffer);
    const void *frame;
    int rc = weft_reader_frame(&reader, kind, max, &frame, bytes);
    weft_reader_fini(&reader);
    return rc;
}

Test(stream, a_frame_is_refused_by_what_its_prefix_says)
{
    size_t bytes = 0;
    wt_eq(frame_of("\xff\xff\xff\xff", 4, WEFT_PREFIX_32, 0, &bytes), -EMSGSIZE);
    wt_eq(bytes, 0xffffffffu);
    wt_eq(frame_of("\x05xxxxx", 6, WEFT_PREFIX_8, 4, &bytes), -EMSGSIZE);
    wt_eq(frame_of("\x04xxxx", 5, WEFT_PREFIX_8, 4, &bytes), 1);
    wt_eq(frame_of("\x1f", 1, WEFT_PREFIX_8, 0, &bytes), -ENODATA, "31 and the prefix fit");
    wt_eq(frame_of("\x20", 1, WEFT_PREFIX_8, 0, &bytes), -EMSGSIZE, "32 do not");
    wt_eq(frame_of("\x00", 1, WEFT_PREFIX_16, 0, &bytes), -ENODATA, "in the prefix");
    wt_eq(frame_of("\x00\x02x", 3, WEFT_PREFIX_16, 0, &bytes), -ENODATA, "in the frame");
    wt_eq(frame_of("\x80", 1, WEFT_PREFIX_VARINT, 0, &bytes), -ENODATA);
    wt_eq(frame_of("\xff\xff\xff\xff\x0f", 5, WEFT_PREFIX_VARINT, 0, &bytes), -EMSGSIZE);
    wt_eq(bytes, 0xffffffffu);
    wt_eq(frame_of("\xff\xff\xff\xff\x1f", 5, WEFT_PREFIX_VARINT, 0, &bytes), -EBADMSG);
    wt_eq(frame_of("\x80\x80\x80\x80\x80\x00", 6, WEFT_PREFIX_VARINT, 0, &bytes), -EBADMSG);
    wt_eq(frame_of("x", 1, 3, 0, &bytes), -EINVAL);
    wt_eq(frame_of("", 0, WEFT_PREFIX_32, 0, &bytes), 0);
}

Test(stream, a_prefix_alone_leaves_the_frame_to_be_read)
{
    weft_memory memory = memory_of("\x00\x05hello\x00\x09", 9, 1);
    char buffer[4];
    weft_reader reader;
    weft_reader_init(&reader, weft_stream_memory(&memory), buffer, sizeof buffer);
    size_t bytes = 0;
    size_t done = 0;
    char out[5];
    wt_eq(weft_reader_prefix(&reader, WEFT_PREFIX_16, 8, &bytes), 1);
    wt_eq(bytes, 5);
    wt_eq(weft_reader_exact(&reader, out, bytes, &done), 5);
    wt_mem_eq(out, "hello", 5);
    wt_eq(weft_reader_prefix(&reader, WEFT_PREFIX_16, 8, &bytes), -EMSGSIZE);
    wt_eq(bytes, 9);
    weft_reader_fini(&reader);
}

Test(stream, a_frame_that_its_prefix_cannot_say_is_refused_and_does_not_stick)
{
    static char out[64];
    static char data[70000];
    weft_memory sink = {.out = out, .out_bytes = sizeof out};
    char small[2];
    weft_writer writer;
    weft_writer_init(&writer, weft_stream_memory(&sink), small, sizeof small);
    wt_eq(weft_writer_frame(&writer, WEFT_PREFIX_8, data, 256), -EMSGSIZE);
    wt_eq(weft_writer_frame(&writer, WEFT_PREFIX_16, data, 65536), -EMSGSIZE);
    wt_eq(weft_writer_frame(&writer, WEFT_PREFIX_32, data, 1), -EMSGSIZE, "no room for the prefix");
    wt_eq(weft_writer_frame(&writer, 7, data, 1), -EINVAL);
    wt_eq(weft_writer_frame(&writer, WEFT_PREFIX_8, "abc", 3), 0);
    wt_eq(weft_writer_flush(&writer), 0);
    wt_eq(sink.out_at, 4);
    wt_mem_eq(out, "\3abc", 4);
    weft_writer_fini(&writer);
}

/* --- writing ---------------------------------------------------------------------------------- */

Test(stream, what_is_written_comes_in_order_in_whatever_pieces)
{
    static char out[8192];
    static char want[8192];
    unsigned seed = 12345;
    for (size_t step = 1; step <= STEPS; step++) {
        weft_memory sink = {.out = out, .out_bytes = sizeof out, .step = step % STEPS};
        char buffer[40];
        weft_writer writer;
        weft_writer_init(&writer, weft_stream_memory(&sink), buffer, sizeof buffer);
        size_t used = 0;
        for (int i = 0; i < 100; i++) {
            seed = seed * 1103515245 + 12345;
            char piece[96];
            size_t bytes = seed >> 16 & 63;
            memset(piece, 'a' + i % 26, sizeof piece);
            if (i % 5 == 4) {
                wt_eq(weft_writer_printf(&writer, "<%d:%.*s>", i, 20, piece), 0);
                used += (size_t)snprintf(want + used, 64, "<%d:%.*s>", i, 20, piece);
            } else {
                wt_eq(weft_writer_write(&writer, piece, bytes), 0);
                memcpy(want + used, piece, bytes);
                used += bytes;
            }
            wt_le(weft_writer_pending(&writer), sizeof buffer);
        }
        wt_eq(weft_writer_flush(&writer), 0);
        wt_eq(weft_writer_pending(&writer), 0);
        wt_eq(sink.out_at, used);
        wt_mem_eq(out, want, used);
        weft_writer_fini(&writer);
    }
}

Test(stream, text_longer_than_the_buffer_is_refused_and_does_not_stick)
{
    char out[64];
    weft_memory sink = {.out = out, .out_bytes = sizeof out};
    char buffer[10];
    weft_writer writer;
    weft_writer_init(&writer, weft_stream_memory(&sink), buffer, sizeof buffer);
    wt_eq(weft_writer_printf(&writer, "%s", "ab"), 0);
    wt_eq(weft_writer_printf(&writer, "%s", "0123456789"), -EMSGSIZE);
    wt_eq(weft_writer_printf(&writer, "%s", "012345678"), 0, "with its NUL it just fits");
    wt_eq(weft_writer_flush(&writer), 0);
    wt_eq(sink.out_at, 11);
    wt_mem_eq(out, "ab012345678", 11);
    weft_writer_fini(&writer);
}

Test(stream, an_error_of_a_writer_sticks)
{
    char out[10];
    weft_memory sink = {.out = out, .out_bytes = sizeof out, .step = 4};
    weft_writer writer;
    weft_writer_init(&writer, weft_stream_memory(&sink), NULL, 512);
    wt_eq(weft_writer_write(&writer, "0123456789ab", 12), 0);
    wt_eq(weft_writer_flush(&writer), -ENOSPC);
    sink.out_at = 0;
    wt_eq(weft_writer_write(&writer, "x", 1), -ENOSPC);
    wt_eq(weft_writer_printf(&writer, "x"), -ENOSPC);
    wt_eq(weft_writer_frame(&writer, WEFT_PREFIX_8, "x", 1), -ENOSPC);
    wt_eq(weft_writer_flush(&writer), -ENOSPC);
    wt_eq(weft_writer_error(&writer), -ENOSPC);
    wt_eq(sink.out_at, 0);
    weft_writer_fini(&writer);
}

/* A stream that takes both pieces at once, and counts. */
struct gatherer {
    char out[256];
    size_t used;
    int calls;
};

static ssize_t gather(void *object, const struct iovec *pieces, int count)
{
    struct gatherer *gatherer = object;
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        wt_gt(pieces[i].iov_len, 0);
        memcpy(gatherer->out + gatherer->used + n, pieces[i].iov_base, pieces[i].iov_len);
        n += pieces[i].iov_len;
    }
    gatherer->used += n;
    gatherer->calls++;
    return (ssize_t)n;
}

static ssize_t gather_one(void *object, const void *buffer, size_t bytes)
{
    return gather(object, &(struct iovec){(void *)(uintptr_t)buffer, bytes}, 1);
}

Test(stream, what_is_buffered_and_what_is_large_go_out_in_one_call)
{
    static const weft_stream_ops ops = {.write = gather_one, .writev = gather};
    struct gatherer gatherer = {.used = 0};
    char buffer[16];
    weft_writer writer;
    weft_writer_init(&writer, (weft_stream){&ops, &gatherer}, buffer, sizeof buffer);
    wt_eq(weft_writer_write(&writer, "head:", 5), 0);
    wt_eq(gatherer.calls, 0);
    wt_eq(weft_writer_write(&writer, "a body that is larger than the buffer", 37), 0);
    wt_eq(gatherer.calls, 1);
    wt_eq(gatherer.used, 42);
    wt_mem_eq(gatherer.out, "head:a body that is larger than the buffer", 42);
    weft_writer_fini(&writer);
}

/* --- over sockets ----------------------------------------------------------------------------- */

struct pair {
    int near, far;
};

static struct pair pair_new(void)
{
    int fds[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    return (struct pair){fds[0], fds[1]};
}

static void pair_free(struct pair pair)
{
    weft_close(pair.near);
    weft_close(pair.far);
}

static void send_text(int fd, const char *text)
{
    wt_eq(weft_send_all(fd, text, strlen(text), 0), strlen(text));
}

TaskTest(stream, a_read_that_is_cut_short_goes_on_where_it_was, 1)
{
    struct pair pair = pair_new();
    for (int pooled = 0; pooled < 2; pooled++) {
        char buffer[32];
        weft_reader reader;
        weft_reader_init(&reader, weft_stream_socket(pair.near), pooled ? NULL : buffer, 32);
        char *line = NULL;
        char out[8];
        const void *frame;
        size_t bytes;
        send_text(pair.far, "half a ");
        wt_eq(weft_within(WEFT_MS(1), weft_reader_line(&reader, 0, &line, NULL)), -ETIME);
        send_text(pair.far, "line\nabc");
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1);
        wt_str_eq(line, "half a line");
        wt_eq(weft_within(WEFT_MS(1), weft_reader_exact(&reader, out, 6, NULL)), -ETIME);
        send_text(pair.far, "def\5he");
        wt_eq(weft_reader_exact(&reader, out, 6, NULL), 6);
        wt_mem_eq(out, "abcdef", 6);
        wt_eq(weft_within(WEFT_MS(1), weft_reader_frame(&reader, WEFT_PREFIX_8, 0, &frame, &bytes)),
              -ETIME);
        send_text(pair.far, "llo");
        wt_eq(weft_reader_frame(&reader, WEFT_PREFIX_8, 0, &frame, &bytes), 1);
        wt_mem_eq(frame, "hello", 5);
        weft_reader_fini(&reader);
    }
    pair_free(pair);
    return 0;
}

TaskTest(stream, a_large_exact_read_that_is_cut_short_goes_on_where_it_was, 1)
{
    struct pair pair = pair_new();
    char buffer[8];
    char out[30];
    size_t done = 0;
    weft_reader reader;
    weft_reader_init(&reader, weft_stream_socket(pair.near), buffer, sizeof buffer);
    send_text(pair.far, "0123456789");
    wt_eq(weft_within(WEFT_MS(1), weft_reader_exact(&reader, out, 30, &done)), -ETIME);
    wt_eq(done, 10);
    send_text(pair.far, "0123456789");
    wt_eq(weft_within(WEFT_MS(1), weft_reader_exact(&reader, out, 30, &done)), -ETIME);
    wt_eq(done, 20);
    send_text(pair.far, "0123456789");
    wt_eq(weft_reader_exact(&reader, out, 30, &done), 30);
    wt_mem_eq(out, "012345678901234567890123456789", 30);
    weft_reader_fini(&reader);
    pair_free(pair);
    return 0;
}

/* Fills the socket until it takes no more. */
static size_t stuff(int fd)
{
    static char zeros[4096];
    size_t sent = 0;
    ssize_t n;
    while ((n = send(fd, zeros, sizeof zeros, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) {
        sent += (size_t)n;
    }
    return sent;
}

static void drain(int fd, size_t bytes)
{
    static char buffer[4096];
    while (bytes > 0) {
        ssize_t n = weft_recv(fd, buffer, bytes < sizeof buffer ? bytes : sizeof buffer, 0);
        wt_gt(n, 0);
        bytes -= (size_t)n;
    }
}

TaskTest(stream, a_flush_that_is_cut_short_goes_on_where_it_was, 1)
{
    struct pair pair = pair_new();
    size_t stuffed = stuff(pair.near);
    char buffer[8];
    weft_writer writer;
    weft_writer_init(&writer, weft_stream_socket(pair.near), buffer, sizeof buffer);
    wt_eq(weft_writer_write(&writer, "abcd", 4), 0);
    wt_eq(weft_within(WEFT_MS(1), weft_writer_flush(&writer)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_writer_write(&writer, "efghijklm", 9)), -ETIME);
    wt_eq(weft_writer_error(&writer), 0, "nothing of it was taken");
    wt_eq(weft_writer_pending(&writer), 4);
    drain(pair.far, stuffed);
    wt_eq(weft_writer_write(&writer, "efghijklm", 9), 0);
    wt_eq(weft_writer_flush(&writer), 0);
    char got[14] = "";
    wt_eq(weft_recv(pair.far, got, 13, MSG_WAITALL), 13);
    wt_str_eq(got, "abcdefghijklm");
    weft_writer_fini(&writer);
    pair_free(pair);
    return 0;
}

TaskTest(stream, a_write_that_is_cut_short_in_its_middle_sticks, 1)
{
    struct pair pair = pair_new();
    static char large[8 << 20]; /* more than a socket takes */
    weft_writer writer;
    weft_writer_init(&writer, weft_stream_socket(pair.near), NULL, 0);
    wt_eq(weft_within(WEFT_MS(1), weft_writer_write(&writer, large, sizeof large)), -ETIME);
    wt_eq(weft_writer_error(&writer), -ECANCELED);
    wt_eq(weft_writer_write(&writer, "x", 1), -ECANCELED);
    weft_writer_fini(&writer);
    pair_free(pair);
    return 0;
}

TaskTest(stream, a_peer_that_is_gone_is_an_error_of_the_writer_and_the_end_for_the_reader, 1)
{
    struct pair pair = pair_new();
    weft_reader reader;
    weft_writer writer;
    weft_reader_init(&reader, weft_stream_socket(pair.near), NULL, 0);
    weft_writer_init(&writer, weft_stream_socket(pair.near), NULL, 0);
    weft_close(pair.far);
    char c;
    wt_eq(weft_reader_read(&reader, &c, 1), 0);
    wt_eq(weft_writer_write(&writer, "x", 1), 0);
    wt_eq(weft_writer_flush(&writer), -EPIPE);
    wt_eq(weft_writer_error(&writer), -EPIPE);
    weft_reader_fini(&reader);
    weft_writer_fini(&writer);
    weft_close(pair.near);
    return 0;
}

TaskTest(stream, files_and_pipes_are_streams_too, 1)
{
    int pipe_fds[2];
    wt_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    char name[] = "/tmp/weft-stream-XXXXXX";
    int file = mkstemp(name);
    wt_ge(file, 0);
    unlink(name);
    int to[2] = {file, pipe_fds[1]};
    int from[2] = {file, pipe_fds[0]};
    for (int i = 0; i < 2; i++) {
        weft_writer writer;
        weft_writer_init(&writer, weft_stream_file(to[i]), NULL, 0);
        wt_eq(weft_writer_printf(&writer, "one\ntwo\n"), 0);
        wt_eq(weft_writer_flush(&writer), 0);
        weft_writer_fini(&writer);
        weft_close(i == 1 ? to[1] : -1);
        if (i == 0) {
            wt_eq(lseek(file, 0, SEEK_SET), 0);
        }
        weft_reader reader;
        weft_reader_init(&reader, weft_stream_file(from[i]), NULL, 0);
        char *line = NULL;
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1);
        wt_str_eq(line, "one");
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1);
        wt_str_eq(line, "two");
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 0);
        weft_reader_fini(&reader);
        weft_close(from[i]);
    }
    return 0;
}

/* --- idle readers ----------------------------------------------------------------------------- */

/* A stream that is idle until its event is set, and notes where its bytes were wanted. */
struct quiet {
    weft_event ready;
    void *buffer;
    atomic_int waiting;
};

static int quiet_wait(void *object)
{
    struct quiet *quiet = object;
    atomic_fetch_add(&quiet->waiting, 1);
    return weft_event_wait(&quiet->ready);
}

static ssize_t quiet_read(void *object, void *buffer, size_t bytes)
{
    struct quiet *quiet = object;
    wt_gt(bytes, 0);
    quiet->buffer = buffer;
    *(char *)buffer = 'x';
    return 1;
}

struct idler {
    struct quiet quiet;
    atomic_int got;
};

static int idle_twice(void *arg)
{
    static const weft_stream_ops ops = {.read = quiet_read, .wait = quiet_wait};
    struct idler *idler = arg;
    weft_reader reader;
    weft_reader_init(&reader, (weft_stream){&ops, &idler->quiet}, NULL, 0);
    int rc = 0;
    for (int i = 0; i < 2 && rc >= 0; i++) {
        char c;
        rc = (int)weft_reader_read(&reader, &c, 1);
        atomic_fetch_add(&idler->got, 1);
    }
    weft_reader_fini(&reader);
    return rc < 0 ? rc : 0;
}

TaskTest(stream, readers_that_wait_hold_no_buffer, 1)
{
    struct idler idlers[4] = {0};
    weft_task tasks[4];
    for (int i = 0; i < 4; i++) {
        weft_event_init(&idlers[i].quiet.ready, WEFT_EVENT_AUTO);
        wt_eq(weft_spawn(&tasks[i], idle_twice, &idlers[i]), 0);
        yield_until(&idlers[i].quiet.waiting, 1);
    }
    for (int i = 0; i < 4; i++) { /* one after the other: one buffer is enough for all */
        weft_event_set(&idlers[i].quiet.ready);
        yield_until(&idlers[i].quiet.waiting, 2);
        wt_eq(atomic_load(&idlers[i].got), 1);
        wt_true(idlers[i].quiet.buffer == idlers[0].quiet.buffer, "%d has a buffer of its own", i);
    }
    for (int i = 0; i < 4; i++) {
        weft_event_set(&idlers[i].quiet.ready);
        wt_eq(weft_await(&tasks[i]), 0);
        weft_event_fini(&idlers[i].quiet.ready);
    }
    return 0;
}

/* --- lent buffers ----------------------------------------------------------------------------- */

static weft_stats stats_now(void)
{
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    return stats;
}

static void put_in(int fd, const char *text)
{
    wt_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads lines from one end of a pair, by a lent stream, until the end. */
struct lined {
    int ends[2];
    size_t capacity;
    weft_task task;
    atomic_int lines, over;
    char last[32];
};

static int read_lines(void *arg)
{
    struct lined *lined = arg;
    weft_reader reader;
    weft_reader_init(&reader, weft_stream_lent(lined->ends[0]), NULL, lined->capacity);
    char *line;
    int rc;
    while ((rc = weft_reader_line(&reader, 0, &line, NULL)) > 0) {
        snprintf(lined->last, sizeof lined->last, "%s", line);
        atomic_fetch_add(&lined->lines, 1);
    }
    weft_reader_fini(&reader);
    atomic_fetch_add(&lined->over, 1);
    return rc;
}

static void lined_begin(struct lined *lined)
{
    lined->capacity = 600;
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lined->ends), 0);
    wt_eq(weft_spawn(&lined->task, read_lines, lined), 0);
}

static void lined_end(struct lined *lined, int rc)
{
    close(lined->ends[1]);
    wt_eq(weft_await(&lined->task), rc);
    close(lined->ends[0]);
}

/* The peers have each said half a line: more of them than there are buffers. */
static int many_half_lines(void *arg)
{
    (void)arg;
    enum { PEERS = 12 };
    struct lined peers[PEERS] = {0};
    for (int i = 0; i < PEERS; i++) {
        lined_begin(&peers[i]);
    }
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < PEERS; i++) {
            put_in(peers[i].ends[1], "ha");
        }
        for (int i = 0; i < PEERS; i++) { /* nobody's half keeps another's from being completed */
            char rest[32];
            snprintf(rest, sizeof rest, "lf %d\n", i);
            put_in(peers[i].ends[1], rest);
            yield_until(&peers[i].lines, round);
            snprintf(rest, sizeof rest, "half %d", i);
            wt_str_eq(peers[i].last, rest);
        }
        wt_eq(stats_now().loans, 0);
    }
    for (int i = 0; i < PEERS; i++) {
        lined_end(&peers[i], 0);
    }
    return 0;
}

Test(lent, readers_of_half_lines_hold_up_nobody_though_there_are_more_than_buffers)
{
    wt_eq(weft_run(many_half_lines, NULL, .workers = 1, .loans = 2, .loan_bytes = 256), 0);
}

/* Operations that were begun, by this and all others, to read one line each. */
static uint64_t ops_for(weft_stream (*stream_of)(int fd), int lines)
{
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    weft_reader reader;
    weft_reader_init(&reader, stream_of(ends[0]), NULL, 0);
    uint64_t before = stats_now().ops_submitted;
    for (int i = 0; i < lines; i++) {
        put_in(ends[1], "line\n");
        char *line;
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1);
    }
    uint64_t ops = stats_now().ops_submitted - before;
    weft_reader_fini(&reader);
    close(ends[0]);
    close(ends[1]);
    return ops;
}

TaskTest(lent, a_wait_without_a_buffer_is_one_operation, 1)
{
    wt_eq(ops_for(weft_stream_lent, 20), 20);
    wt_ge(ops_for(weft_stream_socket, 20), 40);
    return 0;
}

/* What comes is more than a loan holds, and than the reader does. */
static int small_pieces(void *arg)
{
    (void)arg;
    enum { BYTES = 20000 };
    static unsigned char in[BYTES], out[BYTES];
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    for (size_t i = 0; i < BYTES; i++) {
        in[i] = (unsigned char)(i * 31 + i / 256);
    }
    wt_eq(send(ends[1], in, BYTES, MSG_NOSIGNAL), BYTES);
    close(ends[1]);
    static const size_t capacities[] = {7, 300, 512, 3000};
    weft_reader reader;
    size_t at = 0;
    for (size_t i = 0; at < BYTES; i++) { /* ends: at the end, which comes */
        weft_reader_init(&reader, weft_stream_lent(ends[0]), NULL, capacities[i % 4]);
        const void *there;
        ssize_t n = weft_reader_peek(&reader, 1, &there);
        wt_gt(n, 0);
        wt_le(n, (ssize_t)capacities[i % 4]);
        wt_eq(stats_now().loans, 0);
        memcpy(out + at, there, (size_t)n);
        weft_reader_consume(&reader, (size_t)n);
        at += (size_t)n;
        weft_reader_fini(&reader);
    }
    wt_eq(memcmp(in, out, BYTES), 0);
    close(ends[0]);
    return 0;
}

Test(lent, no_more_is_taken_than_the_reader_holds)
{
    wt_eq(weft_run(small_pieces, NULL, .workers = 1, .loans = 3, .loan_bytes = 1024), 0);
}

/* The program has all buffers. */
static int all_out(void *arg)
{
    (void)arg;
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    put_in(ends[1], "x");
    weft_loan loan;
    wt_eq(weft_recv_loan(ends[0], &loan, 0), 1);
    put_in(ends[1], "late\n");
    weft_reader reader;
    weft_reader_init(&reader, weft_stream_lent(ends[0]), NULL, 100);
    char *line;
    wt_eq(weft_within(WEFT_MS(2), weft_reader_line(&reader, 0, &line, NULL)), -ETIME);
    weft_loan_give(&loan);
    wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1, "nothing was lost");
    wt_str_eq(line, "late");
    close(ends[1]);
    wt_eq(weft_reader_line(&reader, 0, &line, NULL), 0);
    wt_eq(weft_reader_line(&reader, 0, &line, NULL), 0, "the end stays");
    weft_reader_fini(&reader);
    close(ends[0]);
    return 0;
}

Test(lent, a_reader_waits_for_a_buffer_and_may_be_cancelled_while_it_does)
{
    wt_eq(weft_run(all_out, NULL, .workers = 1, .loans = 1), 0);
}

TaskTest(lent, a_buffer_of_the_callers_needs_no_loan, 1)
{
    int ends[2];
    wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    weft_stream_ops ops = *weft_stream_lent(ends[0]).ops;
    ops.read_lent = NULL;
    ops.wait = NULL;
    weft_stream plain = {&ops, weft_stream_lent(ends[0]).object};
    for (int i = 0; i < 2; i++) {
        char buffer[16];
        weft_reader reader;
        weft_reader_init(&reader, i == 0 ? plain : weft_stream_lent(ends[0]), buffer,
                         sizeof buffer);
        uint64_t before = stats_now().ops_submitted;
        put_in(ends[1], "own\n");
        char *line;
        wt_eq(weft_reader_line(&reader, 0, &line, NULL), 1);
        wt_true(line == buffer);
        wt_eq(stats_now().ops_submitted - before, 1);
        weft_reader_fini(&reader);
    }
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* --- copying ---------------------------------------------------------------------------------- */

Test(stream, a_copy_is_whole_in_whatever_pieces)
{
    static char in[5000];
    static char out[5000];
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = (char)(i * 13);
    }
    for (size_t from_step = 1; from_step <= STEPS; from_step++) {
        for (size_t to_step = 1; to_step <= STEPS; to_step++) {
            weft_memory source = memory_of(in, sizeof in, from_step);
            weft_memory sink = {.out = out, .out_bytes = sizeof out, .step = to_step % STEPS};
            weft_reader reader;
            weft_writer writer;
            weft_reader_init(&reader, weft_stream_memory(&source), NULL, 700);
            weft_writer_init(&writer, weft_stream_memory(&sink), NULL, 0);
            uint64_t copied = 0;
            wt_eq(weft_writer_write(&writer, in, 10), 0, "what was there before goes first");
            char skipped[10];
            wt_eq(weft_reader_exact(&reader, skipped, 10, NULL), 10);
            wt_eq(weft_copy(&reader, &writer, 1000, &copied), 0);
            wt_eq(copied, 1000);
            wt_eq(sink.out_at, 1010);
            wt_eq(weft_copy(&reader, &writer, UINT64_MAX, &copied), 0);
            wt_eq(copied, sizeof in - 10);
            wt_mem_eq(out, in, sizeof in);
            weft_reader_fini(&reader);
            weft_writer_fini(&writer);
        }
    }
}

Test(stream, a_copy_says_whose_error_it_was)
{
    char out[4];
    weft_memory source = memory_of("0123456789", 10, 0);
    weft_memory sink = {.out = out, .out_bytes = sizeof out};
    weft_reader reader;
    weft_writer writer;
    weft_reader_init(&reader, weft_stream_memory(&source), NULL, 0);
    weft_writer_init(&writer, weft_stream_memory(&sink), NULL, 0);
    uint64_t copied = 0;
    wt_eq(weft_copy(&reader, &writer, UINT64_MAX, &copied), -ENOSPC);
    wt_eq(weft_writer_error(&writer), -ENOSPC);
    wt_eq(copied, 4);
    const void *rest;
    wt_eq(weft_reader_peek(&reader, 1, &rest), 6, "what was not taken is still there");
    weft_reader_fini(&reader);
    weft_writer_fini(&writer);
}

TaskTest(stream, a_copy_waits_for_a_slow_taker_and_loses_nothing_when_cancelled, 1)
{
    enum { BYTES = 8 << 20 }; /* more than sockets hold */
    char *in = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++) {
        in[i] = (char)(i * 11 + i / 251);
    }
    struct pair pair = pair_new();
    weft_memory source = memory_of(in, BYTES, 0);
    weft_reader reader;
    weft_writer writer;
    weft_reader_init(&reader, weft_stream_memory(&source), NULL, 4096);
    weft_writer_init(&writer, weft_stream_socket(pair.near), NULL, 0);
    size_t got = 0;
    uint64_t copied = 0;
    int rc;
    char buffer[1 << 16];
    do { /* nobody takes: it stands still until its time is up, and goes on when there is room */
        rc = weft_within(WEFT_MS(2), weft_copy(&reader, &writer, UINT64_MAX, &copied));
        wt_true(rc == 0 || rc == -ETIME, "rc %d", rc);
        wt_le(source.in_at, copied + 4096, "it has read ahead");
        for (ssize_t n = 1; got < copied; got += (size_t)n) {
            n = weft_recv(pair.far, buffer, sizeof buffer, 0);
            wt_gt(n, 0);
            wt_mem_eq(buffer, in + got, (size_t)n);
        }
    } while (rc != 0);
    wt_eq(copied, BYTES);
    wt_eq(got, BYTES);
    weft_reader_fini(&reader);
    weft_writer_fini(&writer);
    pair_free(pair);
    free(in);
    return 0;
}
