/* names.c: the calls of <weft/file.h> on names, sizes and descriptors: each one system call, on a
 * thread that may block; and those that io.h's operations do with other arguments. */
#include "pool/base/sys.h"
#include "src/io_value.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weft/file.h>

/* --- opening ---------------------------------------------------------------------------------- */

static struct wf_op open2_op(int dirfd, const char *path, const struct open_how *how)
{
    return (struct wf_op){
        .kind = WF_OP_OPENAT2,
        .fd = dirfd,
        .address = wf_io_address(path),
        .bytes = sizeof *how,
        .offset = wf_io_address(how),
    };
}

int weft_openat2(int dirfd, const char *path, const struct open_how *how)
{
    struct open_how copy = *how;
    copy.flags |= O_CLOEXEC;
    struct wf_op op = open2_op(dirfd, path, &copy);
    return (int)wf_io_await(&op);
}

weft_val weft_openat2_v_(int dirfd, const char *path, const struct open_how *how,
                         const weft_place *place)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return wf_val_done(rc, place);
    }
    if ((how->flags & O_CLOEXEC) == 0) { /* there is no room for a copy of *how, to add it */
        return wf_val_done(-EINVAL, place);
    }
    struct wf_op op = open2_op(dirfd, path, how);
    return wf_io_v(&op, 0, place);
}

/* --- names ------------------------------------------------------------------------------------ */

static struct wf_thread_call rename_call(int from_dirfd, const char *from, int to_dirfd,
                                         const char *to, unsigned flags)
{
    return WF_THREAD_CALL(SYS_renameat2, WF_FD_ARG(0) | WF_FD_ARG(2), from_dirfd, (long)from,
                          to_dirfd, (long)to, flags);
}

int weft_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
    struct wf_thread_call call = rename_call(from_dirfd, from, to_dirfd, to, flags);
    return (int)wf_thread_await(&call);
}

weft_val weft_renameat_v_(int from_dirfd, const char *from, int to_dirfd, const char *to,
                          unsigned flags, const weft_place *place)
{
    struct wf_thread_call call = rename_call(from_dirfd, from, to_dirfd, to, flags);
    return wf_thread_v(&call, place);
}

static struct wf_thread_call unlink_call(int dirfd, const char *path, int flags)
{
    return WF_THREAD_CALL(SYS_unlinkat, WF_FD_ARG(0), dirfd, (long)path, flags);
}

int weft_unlinkat(int dirfd, const char *path, int flags)
{
    struct wf_thread_call call = unlink_call(dirfd, path, flags);
    return (int)wf_thread_await(&call);
}

weft_val weft_unlinkat_v_(int dirfd, const char *path, int flags, const weft_place *place)
{
    struct wf_thread_call call = unlink_call(dirfd, path, flags);
    return wf_thread_v(&call, place);
}

static struct wf_thread_call mkdir_call(int dirfd, const char *path, mode_t mode)
{
    return WF_THREAD_CALL(SYS_mkdirat, WF_FD_ARG(0), dirfd, (long)path, mode);
}

int weft_mkdirat(int dirfd, const char *path, mode_t mode)
{
    struct wf_thread_call call = mkdir_call(dirfd, path, mode);
    return (int)wf_thread_await(&call);
}

weft_val weft_mkdirat_v_(int dirfd, const char *path, mode_t mode, const weft_place *place)
{
    struct wf_thread_call call = mkdir_call(dirfd, path, mode);
    return wf_thread_v(&call, place);
}

static struct wf_thread_call symlink_call(const char *target, int dirfd, const char *path)
{
    return WF_THREAD_CALL(SYS_symlinkat, WF_FD_ARG(1), (long)target, dirfd, (long)path);
}

int weft_symlinkat(const char *target, int dirfd, const char *path)
{
    struct wf_thread_call call = symlink_call(target, dirfd, path);
    return (int)wf_thread_await(&call);
}

weft_val weft_symlinkat_v_(const char *target, int dirfd, const char *path, const weft_place *place)
{
    struct wf_thread_call call = symlink_call(target, dirfd, path);
    return wf_thread_v(&call, place);
}

static struct wf_thread_call link_call(int from_dirfd, const char *from, int to_dirfd,
                                       const char *to, int flags)
{
    return WF_THREAD_CALL(SYS_linkat, WF_FD_ARG(0) | WF_FD_ARG(2), from_dirfd, (long)from, to_dirfd,
                          (long)to, flags);
}

int weft_linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags)
{
    struct wf_thread_call call = link_call(from_dirfd, from, to_dirfd, to, flags);
    return (int)wf_thread_await(&call);
}

weft_val weft_linkat_v_(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags,
                        const weft_place *place)
{
    struct wf_thread_call call = link_call(from_dirfd, from, to_dirfd, to, flags);
    return wf_thread_v(&call, place);
}

static struct wf_thread_call readlink_call(int dirfd, const char *path, char *buffer, size_t bytes)
{
    return WF_THREAD_CALL(SYS_readlinkat, WF_FD_ARG(0), dirfd, (long)path, (long)buffer,
                          wf_io_bytes(bytes));
}

ssize_t weft_readlinkat(int dirfd, const char *path, char *buffer, size_t bytes)
{
    struct wf_thread_call call = readlink_call(dirfd, path, buffer, bytes);
    return wf_thread_await(&call);
}

weft_val weft_readlinkat_v_(int dirfd, const char *path, char *buffer, size_t bytes,
                            const weft_place *place)
{
    struct wf_thread_call call = readlink_call(dirfd, path, buffer, bytes);
    return wf_thread_v(&call, place);
}

int weft_rename(const char *from, const char *to)
{
    return weft_renameat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int weft_unlink(const char *path)
{
    return weft_unlinkat(AT_FDCWD, path, 0);
}

int weft_mkdir(const char *path, mode_t mode)
{
    return weft_mkdirat(AT_FDCWD, path, mode);
}

int weft_rmdir(const char *path)
{
    return weft_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* --- what is known ---------------------------------------------------------------------------- */

int weft_stat(const char *path, struct statx *out)
{
    return weft_statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, out);
}

int weft_fstat(int fd, struct statx *out)
{
    return weft_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, out);
}

/* --- size and durability ---------------------------------------------------------------------- */

static struct wf_thread_call truncate_call(int fd, int64_t bytes)
{
    return WF_THREAD_CALL(SYS_ftruncate, WF_FD_ARG(0), fd, bytes);
}

int weft_ftruncate(int fd, int64_t bytes)
{
    struct wf_thread_call call = truncate_call(fd, bytes);
    return (int)wf_thread_await(&call);
}

weft_val weft_ftruncate_v_(int fd, int64_t bytes, const weft_place *place)
{
    struct wf_thread_call call = truncate_call(fd, bytes);
    return wf_thread_v(&call, place);
}

static struct wf_thread_call allocate_call(int fd, int mode, int64_t offset, int64_t bytes)
{
    return WF_THREAD_CALL(SYS_fallocate, WF_FD_ARG(0), fd, mode, offset, bytes);
}

int weft_fallocate(int fd, int mode, int64_t offset, int64_t bytes)
{
    struct wf_thread_call call = allocate_call(fd, mode, offset, bytes);
    return (int)wf_thread_await(&call);
}

weft_val weft_fallocate_v_(int fd, int mode, int64_t offset, int64_t bytes, const weft_place *place)
{
    struct wf_thread_call call = allocate_call(fd, mode, offset, bytes);
    return wf_thread_v(&call, place);
}

int weft_fsync_dir(int dirfd, const char *path)
{
    int fd = weft_openat(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return fd;
    }
    int rc = weft_fsync(fd);
    (void)wf_sys.close(fd);
    return rc;
}

/* --- direct I/O, pipes ------------------------------------------------------------------------ */

/* Of newer headers: include/uapi/linux/stat.h, Linux 6.1. The place in struct statx of two fields
 * of 32 bits, stx_dio_mem_align and stx_dio_offset_align. */
#define DIO_ALIGN    0x2000U /* STATX_DIOALIGN */
#define DIO_ALIGN_AT 152

int weft_direct_get(int fd, weft_direct *out)
{
    struct statx about;
    memset(&about, 0, sizeof about);
    int rc = weft_statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | DIO_ALIGN, &about);
    if (rc < 0) {
        return rc;
    }
    if (!S_ISREG(about.stx_mode) && !S_ISBLK(about.stx_mode)) {
        return -EINVAL;
    }
    uint32_t page_bytes = (uint32_t)wf_sys_page_bytes();
    *out = (weft_direct){.memory_align = page_bytes, .offset_align = page_bytes};
    if ((about.stx_mask & DIO_ALIGN) != 0) {
        uint32_t align[2];
        memcpy(align, (const char *)&about + DIO_ALIGN_AT, sizeof align);
        if (align[1] == 0) {
            return -EINVAL;
        }
        *out = (weft_direct){.memory_align = align[0], .offset_align = align[1]};
    }
    return 0;
}

int weft_pipe(int fds[2], size_t bytes)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    int made[2];
    long rc = wf_sys.call(SYS_pipe2, (long)made, O_CLOEXEC, 0, 0, 0, 0);
    if (rc < 0) {
        return (int)rc;
    }
    if (bytes > 0) {
        rc = bytes > INT32_MAX
                 ? -EPERM
                 : wf_sys.call(SYS_fcntl, made[1], F_SETPIPE_SZ, (long)bytes, 0, 0, 0);
        if (rc < 0) {
            (void)wf_sys.close(made[0]);
            (void)wf_sys.close(made[1]);
            return (int)rc;
        }
    }
    fds[0] = made[0];
    fds[1] = made[1];
    return 0;
}
