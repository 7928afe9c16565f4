/* test_net_vector.c: several buffers with one call: files, pipes, sockets. */
#include "net_pattern.h"
#include <limits.h>

#define PARTS 5

/* "a", "bb", "ccc" ... with an empty one in between. */
struct parts {
    struct iovec at[PARTS];
    char bytes[64];
};

#define PARTS_TEXT  "abbdddeeee"
#define PARTS_BYTES (sizeof PARTS_TEXT - 1)

static void fill(struct parts *parts, const char *text)
{
    static const size_t lengths[PARTS] = {1, 2, 0, 3, 4};
    memset(parts->bytes, 0, sizeof parts->bytes);
    snprintf(parts->bytes, sizeof parts->bytes, "%s", text);
    size_t at = 0;
    for (int i = 0; i < PARTS; i++) {
        parts->at[i] = (struct iovec){.iov_base = parts->bytes + at, .iov_len = lengths[i]};
        at += lengths[i];
    }
}

static int open_file(void)
{
    char path[] = "/tmp/weft-vector-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    wt_ge(fd, 0);
    unlink(path);
    return fd;
}

TaskTest(net_vector, files_are_written_and_read_in_parts, 1)
{
    struct parts parts, in;
    int fd = open_file();
    fill(&parts, PARTS_TEXT);
    struct parts before = parts;
    wt_eq(weft_writev(fd, parts.at, PARTS), PARTS_BYTES);
    wt_eq(weft_pwritev(fd, parts.at, PARTS, 4096), PARTS_BYTES);
    for (int i = 0; i < PARTS; i++) {
        wt_true(parts.at[i].iov_base == before.at[i].iov_base, "the array is the caller's");
        wt_eq(parts.at[i].iov_len, before.at[i].iov_len);
    }
    fill(&in, "");
    wt_eq(weft_preadv(fd, in.at, PARTS, 4096), PARTS_BYTES);
    wt_str_eq(in.bytes, PARTS_TEXT);
    fill(&in, "");
    wt_eq(weft_preadv(fd, in.at, PARTS, 4096 + 7), 3, "the end of the file");
    wt_str_eq(in.bytes, "eee");
    wt_eq(weft_preadv(fd, in.at, PARTS, 10000), 0);
    wt_eq(lseek(fd, 0, SEEK_SET), 0);
    fill(&in, "");
    wt_eq(weft_readv(fd, in.at, PARTS), PARTS_BYTES);
    wt_str_eq(in.bytes, PARTS_TEXT);
    wt_eq(lseek(fd, 0, SEEK_CUR), PARTS_BYTES, "the position has moved");
    wt_eq(weft_readv(fd, in.at, 0), 0);
    wt_eq(weft_writev(fd, in.at, 0), 0);
    close(fd);
    return 0;
}

TaskTest(net_vector, as_values_too, 1)
{
    struct parts parts, in;
    int fd = open_file();
    fill(&parts, PARTS_TEXT);
    wt_eq(weft_val_await_new(weft_writev_v(fd, parts.at, PARTS)), PARTS_BYTES);
    wt_eq(weft_val_await_new(weft_pwritev_v(fd, parts.at, PARTS, 100)), PARTS_BYTES);
    fill(&in, "");
    wt_eq(weft_val_await_new(weft_preadv_v(fd, in.at, PARTS, 100)), PARTS_BYTES);
    wt_str_eq(in.bytes, PARTS_TEXT);
    wt_eq(lseek(fd, 0, SEEK_SET), 0);
    fill(&in, "");
    wt_eq(weft_val_await_new(weft_readv_v(fd, in.at, PARTS)), PARTS_BYTES);
    wt_str_eq(in.bytes, PARTS_TEXT);
    wt_eq(weft_val_await_new(weft_readv_v(fd, in.at, -1)), -EINVAL);
    wt_eq(weft_val_await_new(weft_pwritev_v(fd, in.at, 1, -1)), -EINVAL);
    close(fd);
    return 0;
}

struct reader {
    int fd;
    struct parts in;
    ssize_t got;
    atomic_int begun;
};

static int read_parts(void *arg)
{
    struct reader *reader = arg;
    fill(&reader->in, "");
    atomic_store(&reader->begun, 1);
    reader->got = weft_readv(reader->fd, reader->in.at, PARTS);
    return 0;
}

/* Whatever the descriptor's own flags say. */
TaskTest(net_vector, pipes_are_waited_for, 1)
{
    for (int flags = 0; flags <= O_NONBLOCK; flags += O_NONBLOCK) {
        int ends[2];
        wt_eq(pipe2(ends, O_CLOEXEC | flags), 0);
        struct reader reader = {.fd = ends[0]};
        weft_task task;
        wt_eq(weft_spawn(&task, read_parts, &reader), 0);
        yield_until(&reader.begun, 1);
        struct parts out;
        fill(&out, PARTS_TEXT);
        wt_eq(weft_writev(ends[1], out.at, PARTS), PARTS_BYTES);
        wt_eq(weft_await(&task), 0);
        wt_eq(reader.got, PARTS_BYTES);
        wt_str_eq(reader.in.bytes, PARTS_TEXT);
        wt_eq(weft_within(WEFT_MS(1), weft_readv(ends[0], reader.in.at, PARTS)), -ETIME);
        wt_eq(weft_within(0, weft_readv(ends[0], reader.in.at, PARTS)), -ETIME);
        wt_eq(weft_preadv(ends[0], reader.in.at, PARTS, 0), -ESPIPE);
        close(ends[0]);
        wt_eq(weft_writev(ends[1], out.at, PARTS), -EPIPE);
        close(ends[1]);
    }
    return 0;
}

/* A pipe's writer gets in what there is room for, and waits when there is none. */
TaskTest(net_vector, a_full_pipe_makes_its_writer_wait, 1)
{
    int ends[2];
    wt_eq(pipe2(ends, O_CLOEXEC), 0);
    static char bytes[1 << 20];
    struct iovec parts[3] = {{bytes, sizeof bytes / 2}, {bytes, 1}, {bytes, sizeof bytes / 2}};
    ssize_t n = weft_writev(ends[1], parts, 3);
    wt_gt(n, 0);
    ssize_t written = n;
    while ((n = weft_within(WEFT_MS(5), weft_writev(ends[1], parts, 3))) > 0) {
        written += n; /* ends: the pipe is full */
    }
    wt_eq(n, -ETIME);
    close(ends[1]);
    ssize_t in = 0;
    while ((n = weft_readv(ends[0], parts, 3)) > 0) {
        in += n;
    }
    wt_eq(n, 0);
    wt_eq(in, written, "what was said to be written is there, and no more");
    close(ends[0]);
    return 0;
}

TaskTest(net_vector, counts_and_offsets_out_of_range_are_refused, 1)
{
    int fd = open_file();
    static char byte[1];
    static struct iovec many[IOV_MAX + 1];
    for (int i = 0; i <= IOV_MAX; i++) {
        many[i] = (struct iovec){.iov_base = byte, .iov_len = 1};
    }
    wt_eq(weft_writev(fd, many, IOV_MAX), IOV_MAX);
    wt_eq(weft_writev(fd, many, IOV_MAX + 1), -EINVAL);
    wt_eq(weft_readv(fd, many, IOV_MAX + 1), -EINVAL);
    wt_eq(weft_preadv(fd, many, IOV_MAX, 0), IOV_MAX);
    wt_eq(weft_readv(fd, many, -1), -EINVAL);
    wt_eq(weft_writev(fd, many, -1), -EINVAL);
    wt_eq(weft_preadv(fd, many, 1, -1), -EINVAL);
    wt_eq(weft_pwritev(fd, many, 1, INT64_MIN), -EINVAL);
    many[0].iov_len = SIZE_MAX;
    wt_eq(weft_writev(fd, many, 1), -EINVAL, "more than a ssize_t holds");
    wt_eq(weft_readv(fd, many, 1), -EINVAL);
    wt_eq(weft_readv(-1, many + 1, 1), -EBADF);
    wt_eq(weft_writev(-1, many + 1, 1), -EBADF);
    close(fd);
    return 0;
}

TaskTest(net_vector, a_cancelled_scope_refuses_them, 1)
{
    struct parts parts;
    fill(&parts, PARTS_TEXT);
    int fd = open_file();
    WEFT_SCOPE(scope);
    weft_scope_cancel(&scope, "test");
    wt_eq(weft_writev(fd, parts.at, PARTS), -ECANCELED);
    wt_eq(weft_readv(fd, parts.at, PARTS), -ECANCELED);
    weft_scope_end(&scope);
    wt_eq(lseek(fd, 0, SEEK_END), 0, "nothing was done");
    close(fd);
    return 0;
}

Test(net_vector, outside_of_a_task_they_are_refused)
{
    struct parts parts;
    fill(&parts, PARTS_TEXT);
    wt_eq(weft_readv(0, parts.at, PARTS), -EPERM);
    wt_eq(weft_writev(1, parts.at, PARTS), -EPERM);
}

/* A file that is larger than its part of the page cache: every byte in its place. */
TaskTest(net_vector, a_large_file_is_read_whole, 2)
{
    enum { BYTES = 3 << 20, PIECES = 40 };
    int fd = open_file();
    unsigned char *out = malloc(BYTES), *in = calloc(1, BYTES);
    for (int i = 0; i < BYTES; i++) {
        out[i] = (unsigned char)(i * 2654435761u >> 24);
    }
    struct iovec parts[PIECES];
    for (int i = 0; i < PIECES; i++) {
        size_t begin = (size_t)BYTES / PIECES * (size_t)i;
        size_t end = i == PIECES - 1 ? BYTES : (size_t)BYTES / PIECES * (size_t)(i + 1);
        parts[i] = (struct iovec){.iov_base = out + begin, .iov_len = end - begin};
    }
    wt_eq(weft_pwritev(fd, parts, PIECES, 0), BYTES);
    fsync(fd);
    posix_fadvise(fd, BYTES / 3, BYTES / 3, POSIX_FADV_DONTNEED);
    for (int i = 0; i < PIECES; i++) {
        parts[i].iov_base = in + ((unsigned char *)parts[i].iov_base - out);
    }
    wt_eq(weft_preadv(fd, parts, PIECES, 0), BYTES);
    wt_mem_eq(in, out, BYTES);
    free(in);
    free(out);
    close(fd);
    return 0;
}

/* --- sockets ---------------------------------------------------------------------------------- */

struct stream {
    int fd;
    size_t bytes;
    atomic_int bad;
};

static int receive_pattern(void *arg)
{
    struct stream *stream = arg;
    unsigned char buffer[5000];
    size_t at = 0;
    ssize_t n;
    while ((n = weft_recv(stream->fd, buffer, sizeof buffer, 0)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (buffer[i] != (unsigned char)(at++ % 251)) {
                atomic_fetch_add(&stream->bad, 1);
            }
        }
    }
    stream->bytes = at;
    return (int)n;
}

TaskTest(net_vector, all_of_any_number_of_parts_is_sent, 2)
{
    enum { COUNT = 3000, PART_MAX = 1400 };
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    struct stream stream = {.fd = ends[1]};
    weft_task task;
    wt_eq(weft_spawn(&task, receive_pattern, &stream), 0);
    unsigned char *bytes = malloc((size_t)COUNT * PART_MAX);
    struct iovec *parts = malloc(sizeof *parts * COUNT);
    size_t total = 0;
    for (int i = 0; i < COUNT; i++) {
        parts[i] = (struct iovec){.iov_base = bytes + total, .iov_len = (size_t)(i * 7) % PART_MAX};
        total += parts[i].iov_len;
    }
    for (size_t i = 0; i < total; i++) {
        bytes[i] = (unsigned char)(i % 251);
    }
    wt_eq(weft_sendv_all(ends[0], parts, COUNT, 0), (ssize_t)total);
    wt_eq(weft_sendv_all(ends[0], parts, 0, 0), 0);
    wt_eq(weft_sendv_all(ends[0], parts, 1, 0), 0, "the first one is empty");
    wt_eq(weft_sendv_all(ends[0], parts, -1, 0), -EINVAL);
    wt_eq(weft_sendv(ends[0], parts, IOV_MAX + 1, 0), -EINVAL);
    wt_eq(weft_shutdown(ends[0], SHUT_WR), 0);
    wt_eq(weft_await(&task), 0);
    wt_eq(stream.bytes, total);
    wt_eq(atomic_load(&stream.bad), 0);
    wt_eq(weft_sendv(ends[0], parts + 1, 1, 0), -EPIPE);
    wt_eq(weft_sendv_all(ends[0], parts + 1, 1, 0), -EPIPE);
    free(parts);
    free(bytes);
    close_pair(ends);
    return 0;
}

TaskTest(net_vector, what_a_cancelled_send_says_is_what_was_sent, 1)
{
    enum { BYTES = 4 << 20 };
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    char *bytes = calloc(1, BYTES);
    struct iovec parts[3] = {{bytes, 1}, {bytes + 1, BYTES - 2}, {bytes + BYTES - 1, 1}};
    ssize_t sent = weft_within(WEFT_MS(5), weft_sendv_all(ends[0], parts, 3, 0));
    wt_gt(sent, 0);
    wt_lt(sent, BYTES);
    wt_eq(weft_within(0, weft_sendv_all(ends[0], parts, 3, 0)), -ETIME);
    weft_shutdown(ends[0], SHUT_WR);
    ssize_t got = 0, n;
    while ((n = weft_recv(ends[1], bytes, BYTES, 0)) > 0) {
        got += n;
    }
    wt_eq(got, sent);
    free(bytes);
    close_pair(ends);
    return 0;
}
