/* copy.c: whole files: read, written, copied.
 *
 * A copy is made by copy_file_range(2) on a thread, some MiB at a time. Of what was measured for 1
 * GiB in the page cache nothing takes less of a processor (0.30 s; a loop of read and write 0.29 to
 * 0.41 s, eight of each in flight on a ring 0.38 s: ADR 0019), it takes none of the worker's, and
 * where the file system can share blocks it copies nothing at all. What it refuses (other file
 * systems, files of /proc, which look empty to it) is copied by reading and writing.
 */
#include "pool/base/sys.h"
#include "src/io.h"
#include "src/uses.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <weft/file.h>

/* One call's share: some milliseconds from cache, so that the way to the thread (20 to 40 us) does
 * not count, and a cancellation is seen soon. */
#define WF_COPY_CALL_BYTES (INT64_C(8) << 20)
/* Read and written at a time, where that is how it is done. */
#define WF_COPY_BUFFER_BYTES (256 * 1024)

/* --- at offsets ------------------------------------------------------------------------------- */

ssize_t weft_pread_all(int fd, void *buffer, size_t bytes, int64_t offset)
{
    if (offset < 0) {
        return -EINVAL;
    }
    uint32_t meant = wf_use_meant(fd);
    size_t done = 0;
    ssize_t n;
    do { /* ends: grows, or the end of the file, or an error */
        n = wf_read_meant(fd, meant, (char *)buffer + done, bytes - done, (uint64_t)offset + done);
        done += n > 0 ? (size_t)n : 0;
    } while (n > 0 && done < bytes);
    return done > 0 || n == 0 ? (ssize_t)done : n;
}

static ssize_t write_all(int fd, uint32_t meant, const void *buffer, size_t bytes, int64_t offset)
{
    size_t done = 0;
    ssize_t n;
    do { /* ends: likewise; a write that writes nothing is a full device */
        n = wf_write_meant(fd, meant, (const char *)buffer + done, bytes - done,
                           (uint64_t)offset + done);
        done += n > 0 ? (size_t)n : 0;
    } while (n > 0 && done < bytes);
    return done > 0 || n == 0 ? (ssize_t)done : n;
}

ssize_t weft_pwrite_all(int fd, const void *buffer, size_t bytes, int64_t offset)
{
    return offset < 0 ? -EINVAL : write_all(fd, wf_use_meant(fd), buffer, bytes, offset);
}

/* --- whole ------------------------------------------------------------------------------------ */

/* All of it, and one byte more if there is one. */
static ssize_t read_whole(int fd, void *buffer, size_t bytes_max)
{
    ssize_t n = weft_pread_all(fd, buffer, bytes_max, 0);
    if (n < 0 || (size_t)n < bytes_max) {
        /* the end, or an error after some bytes, which asking again tells */
        char byte;
        ssize_t more = n <= 0 ? n : weft_pread(fd, &byte, 1, n);
        return more < 0 ? more : n;
    }
    char byte;
    ssize_t more = weft_pread(fd, &byte, 1, n);
    return more < 0 ? more : more > 0 ? -EFBIG : n;
}

ssize_t weft_file_read(int dirfd, const char *path, void *buffer, size_t bytes_max)
{
    int fd = weft_openat(dirfd, path, O_RDONLY, 0);
    if (fd < 0) {
        return fd;
    }
    ssize_t n = read_whole(fd, buffer, bytes_max);
    (void)wf_sys.close(fd);
    return n;
}

int weft_file_write(int dirfd, const char *path, const void *buffer, size_t bytes, mode_t mode)
{
    int fd = weft_openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (fd < 0) {
        return fd;
    }
    size_t done = 0;
    ssize_t n = 0;
    while (n >= 0 && done < bytes) { /* ends: grows, or an error */
        n = weft_pwrite_all(fd, (const char *)buffer + done, bytes - done, (int64_t)done);
        n = n == 0 ? -ENOSPC : n;
        done += n > 0 ? (size_t)n : 0;
    }
    int rc = wf_sys.close(fd);
    return n < 0 ? (int)n : rc;
}

/* --- copies ----------------------------------------------------------------------------------- */

/* From which file, into which. */
struct copying {
    int in, out;
    uint32_t meant[2]; /* of these: uses.h */
};

/* One share, inside the kernel: bytes, 0 at the end, or -errno. */
static long copy_inside(const struct copying *copy, int64_t in_offset, int64_t out_offset,
                        int64_t bytes)
{
    int64_t at[2] = {in_offset, out_offset};
    int64_t share = bytes < WF_COPY_CALL_BYTES ? bytes : WF_COPY_CALL_BYTES;
    struct wf_thread_call call =
        WF_THREAD_CALL(SYS_copy_file_range, WF_FD_ARG(0) | WF_FD_ARG(2), copy->in, (long)&at[0],
                       copy->out, (long)&at[1], share, 0);
    memcpy(call.meant, copy->meant, sizeof call.meant);
    return wf_thread_await(&call);
}

/* One buffer full, by reading and writing. */
static ssize_t copy_through(const struct copying *copy, int64_t in_offset, int64_t out_offset,
                            int64_t bytes, char *buffer)
{
    size_t share = bytes < WF_COPY_BUFFER_BYTES ? (size_t)bytes : WF_COPY_BUFFER_BYTES;
    ssize_t n = wf_read_meant(copy->in, copy->meant[0], buffer, share, (uint64_t)in_offset);
    return n <= 0 ? n : write_all(copy->out, copy->meant[1], buffer, (size_t)n, out_offset);
}

/* Does it mean "not these files, but perhaps in another way"? 0: files that do not know their
 * length are empty for it. */
static bool refuses(long rc)
{
    return rc == 0 || rc == -EXDEV || rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EPERM ||
           rc == -EINVAL;
}

static bool is_same(const struct statx *a, const struct statx *b)
{
    return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
           a->stx_dev_minor == b->stx_dev_minor;
}

/* For the rest of a copy that the kernel refused with `refusal`. -EINVAL may also mean ranges of
 * one file that overlap, which nobody is to copy piece by piece. */
static int64_t copy_outside(const struct copying *copy, int64_t in_offset, int64_t out_offset,
                            int64_t bytes, long refusal)
{
    if (refusal == -EINVAL) {
        struct statx about[2];
        int rc = weft_fstat(copy->in, &about[0]);
        rc = rc < 0 ? rc : weft_fstat(copy->out, &about[1]);
        if (rc < 0 || is_same(&about[0], &about[1])) {
            return rc < 0 ? rc : -EINVAL;
        }
    }
    char *buffer = wf_sys.alloc(WF_LINE, WF_COPY_BUFFER_BYTES);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    int64_t done = 0;
    ssize_t n;
    do { /* ends: grows, or the end, or an error */
        n = copy_through(copy, in_offset + done, out_offset + done, bytes - done, buffer);
        done += n > 0 ? n : 0;
    } while (n > 0 && done < bytes);
    wf_sys.release(buffer);
    return done > 0 ? done : n;
}

int64_t weft_copy_range(int in, int64_t in_offset, int out, int64_t out_offset, int64_t bytes)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return rc;
    }
    if (in_offset < 0 || out_offset < 0 || bytes < 0 ||
        (bytes != WEFT_COPY_ALL &&
         (bytes > INT64_MAX - in_offset || bytes > INT64_MAX - out_offset))) {
        return -EINVAL;
    }
    struct copying copy = {in, out, {wf_use_meant(in), wf_use_meant(out)}};
    int64_t done = 0;
    long n = 1;
    while (done < bytes && n > 0) { /* ends: grows, or the end, or an error */
        n = copy_inside(&copy, in_offset + done, out_offset + done, bytes - done);
        done += n > 0 ? n : 0;
    }
    if (done > 0 || bytes == 0) {
        return done;
    }
    return refuses(n) ? copy_outside(&copy, in_offset, out_offset, bytes, n) : n;
}

/* Until the end of `in`: what comes after an error or a cancellation is that error. */
static int64_t copy_all(int in, int out)
{
    int64_t done = 0;
    int64_t n;
    do { /* ends: grows, or the end, or an error */
        n = weft_copy_range(in, done, out, done, WEFT_COPY_ALL);
        done += n > 0 ? n : 0;
    } while (n > 0);
    return n < 0 ? n : done;
}

/* `to` is open, not yet cut, because it might be the same file. */
static int64_t copy_into(int in, const struct statx *in_about, int out)
{
    struct statx out_about;
    int rc = weft_fstat(out, &out_about);
    if (rc == 0 && is_same(in_about, &out_about)) {
        rc = -EINVAL;
    }
    if (rc == 0 && S_ISREG(out_about.stx_mode) && out_about.stx_size > 0) {
        rc = weft_ftruncate(out, 0);
    }
    return rc < 0 ? rc : copy_all(in, out);
}

int64_t weft_copy_file(const char *from, const char *to, int flags)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return rc;
    }
    if ((flags & ~O_EXCL) != 0) {
        return -EINVAL;
    }
    /* O_NONBLOCK: a FIFO is to be refused, not waited for */
    int in = weft_open(from, O_RDONLY | O_NONBLOCK, 0);
    if (in < 0) {
        return in;
    }
    struct statx about;
    int64_t n = weft_fstat(in, &about);
    if (n == 0 && !S_ISREG(about.stx_mode)) {
        n = -EINVAL;
    }
    if (n == 0) {
        int out = weft_open(to, O_WRONLY | O_CREAT | O_NONBLOCK | flags, about.stx_mode & 0777);
        n = out;
        if (out >= 0) {
            n = copy_into(in, &about, out);
            rc = wf_sys.close(out);
            n = n >= 0 && rc < 0 ? rc : n;
        }
    }
    (void)wf_sys.close(in);
    return n;
}
