/* stream.c: <weft/stream.h>: what readers (reader.c) and writers (writer.c) stand in front of:
 * sockets, files, and memory. */
#include "src/net.h"
#include "src/uses.h"
#include <poll.h>
#include <string.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/stream.h>

#define POSITION_OWN UINT64_MAX /* op.h: the file's own position */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

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
