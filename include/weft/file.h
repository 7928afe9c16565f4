/* file.h: files and directories beyond reading and writing, which io.h has: opening below a
 * directory, names, sizes, whole files, copies, directories' entries, direct I/O; and pipes.
 *
 * What holds for all of them, beside what io.h says of its own:
 * - A `dirfd` is a directory's descriptor, or AT_FDCWD (the working directory); a relative path
 *   starts there. Paths are NUL-terminated and at most PATH_MAX bytes, else -ENAMETOOLONG.
 * - What begins with "On a thread" is one system call on a thread that may block (not one of those
 *   of weft_blocking), on both backends: no ring does it faster. Once a thread has begun it, it
 *   cannot be interrupted: when the scope is cancelled it returns its real result once the kernel
 *   has done it. Before that, in a cancelled scope, or under a deadline that has passed, it is
 *   -ECANCELED and nothing was done; likewise -EBADF: weft_close has closed a descriptor of it
 *   before it came to a thread. (One that comes later waits for it.) Where no thread at all is to
 *   be had the worker makes the call, and does nothing else meanwhile. It suspends.
 * - Errors are those of the system call of the same name. */
#ifndef WEFT_FILE_H
#define WEFT_FILE_H

#include <fcntl.h>
#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- opening ---------------------------------------------------------------------------------- */

/* As weft_open (io.h), below a directory. */
int weft_openat(int dirfd, const char *path, int flags, mode_t mode);

struct open_how; /* <linux/openat2.h> */

/* As openat2(2): how->resolve (RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS ...) says how far a path may
 * lead, which is how to open what a stranger named. O_CLOEXEC is added; *how is copied. -EXDEV,
 * -ELOOP: the path leads out of what is allowed; -ENOSYS: by epoll, where a sandbox knows no
 * openat2. The descriptor is the caller's, also when the scope was cancelled but the file had been
 * opened. Suspends.
 *
 *     struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
 *     int fd = weft_openat2(root, name_from_the_network, &how); */
int weft_openat2(int dirfd, const char *path, const struct open_how *how);

/* --- names ------------------------------------------------------------------------------------ */

/* On a thread. Gives `from` the name `to`; what had it is gone. `flags`: 0, RENAME_NOREPLACE
 * (-EEXIST if there is such a name), RENAME_EXCHANGE. 0. */
int weft_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags);

/* On a thread. Takes a name away: of a file, or with AT_REMOVEDIR in `flags` of an empty directory.
 * 0. */
int weft_unlinkat(int dirfd, const char *path, int flags);

/* On a thread. Makes a directory; `mode` is cut by the umask. 0; -EEXIST. */
int weft_mkdirat(int dirfd, const char *path, mode_t mode);

/* On a thread. Makes `path` a symbolic link that says `target`. 0. */
int weft_symlinkat(const char *target, int dirfd, const char *path);

/* On a thread. Gives the file `from` another name, `to`. `flags`: 0, AT_SYMLINK_FOLLOW,
 * AT_EMPTY_PATH. 0. */
int weft_linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags);

/* On a thread. What a symbolic link says, without a NUL, into `buffer`: the bytes, cut to
 * `bytes`. */
ssize_t weft_readlinkat(int dirfd, const char *path, char *buffer, size_t bytes);

/* The same with paths from the working directory: a file's new name, a name taken away, a directory
 * made, an empty one taken away. */
int weft_rename(const char *from, const char *to);
int weft_unlink(const char *path);
int weft_mkdir(const char *path, mode_t mode);
int weft_rmdir(const char *path);

/* --- what is known of a file ------------------------------------------------------------------ */

struct statx; /* <sys/stat.h>, with _GNU_SOURCE */

/* weft_statx (io.h) for the usual case: all that stat(2) tells, of what `path` names (links are
 * followed), or of an open file. 0. Suspends. */
int weft_stat(const char *path, struct statx *out);
int weft_fstat(int fd, struct statx *out);

/* --- size and durability ---------------------------------------------------------------------- */

/* On a thread. The file has `bytes` from now on: cut, or longer with zeros. 0; -EINVAL: bytes < 0,
 * or no regular file that is open for writing; -EFBIG. */
int weft_ftruncate(int fd, int64_t bytes);

/* On a thread. As fallocate(2): reserves the disk's space for a range, or by `mode` (FALLOC_FL_*)
 * punches a hole, zeroes ... 0; -ENOSPC, -EOPNOTSUPP; -EINVAL: offset < 0 or bytes <= 0. */
int weft_fallocate(int fd, int mode, int64_t offset, int64_t bytes);

/* As weft_fsync (io.h), without what is not needed to read the data again, such as times.
 * Suspends. */
int weft_fdatasync(int fd);

/* On threads. Waits until the names in a directory are on the disk: what a new or renamed file
 * needs, besides its own weft_fsync, to be found after a crash. 0; -ENOTDIR. */
int weft_fsync_dir(int dirfd, const char *path);

/* --- whole ------------------------------------------------------------------------------------ */

/* weft_pread and weft_pwrite (io.h) again and again, until all of `bytes` (any number) are there or
 * the file ends. The bytes: fewer than asked for are the end of the file, or what came before an
 * error or a cancellation, which the next call will tell; or -errno: nothing was transferred. For
 * files; of pipes and sockets -ESPIPE. May suspend. */
ssize_t weft_pread_all(int fd, void *buffer, size_t bytes, int64_t offset);
ssize_t weft_pwrite_all(int fd, const void *buffer, size_t bytes, int64_t offset);

/* Reads a whole file into `buffer`, of `bytes_max` bytes. The bytes read; -EFBIG: it has more, and
 * the buffer has its beginning. Also of files that do not say how long they are, as in /proc.
 * Suspends.
 *
 *     char text[4096];
 *     ssize_t n = weft_file_read(AT_FDCWD, "/etc/hostname", text, sizeof text); */
ssize_t weft_file_read(int dirfd, const char *path, void *buffer, size_t bytes_max);

/* Writes a whole file: makes it, or cuts what it was to nothing, and writes `bytes` of `buffer`.
 * `mode` as for weft_open. 0; after an error or a cancellation the file is there with a part of it.
 * It is on the disk after a weft_fsync only. Suspends. */
int weft_file_write(int dirfd, const char *path, const void *buffer, size_t bytes, mode_t mode);

/* weft_copy_range: up to the end of the file. */
#define WEFT_COPY_ALL INT64_MAX

/* On threads. Copies `bytes` of one file, from `in_offset` on, to `out_offset` in another one (or
 * the same one, if the ranges are apart), inside the kernel where it can: copy_file_range(2), which
 * shares the blocks on file systems that know how. The bytes copied: fewer are the end of the file,
 * or what came before an error or a cancellation, which is seen every 8 MiB; or -errno: nothing was
 * copied. -EINVAL: an offset or bytes < 0. For regular files; of others as far as they can be read
 * and written at offsets.
 *
 *     int64_t n = weft_copy_range(from, 0, to, 0, WEFT_COPY_ALL); */
int64_t weft_copy_range(int in, int64_t in_offset, int out, int64_t out_offset, int64_t bytes);

/* On threads. Copies a file with its permissions (cut by the umask). `flags`: 0, what `to` named is
 * written over; O_EXCL: -EEXIST instead. The bytes; or -errno, and what `to` names may be a part of
 * it. -EINVAL: not a regular file, or both are the same. */
int64_t weft_copy_file(const char *from, const char *to, int flags);

/* --- directories ------------------------------------------------------------------------------ */

/* A directory that is being listed. Opaque; of the library's memory, with a buffer of 32 KiB: that
 * is all that is held at once, however long the directory is. */
typedef struct weft_dir weft_dir;

/* Of an entry. DT_* of <dirent.h> have the same values. */
enum weft_dir_type {
    WEFT_DIR_UNKNOWN = 0, /* the file system does not say: ask weft_statx */
    WEFT_DIR_FIFO = 1,
    WEFT_DIR_CHAR = 2,
    WEFT_DIR_DIR = 4,
    WEFT_DIR_BLOCK = 6,
    WEFT_DIR_FILE = 8,
    WEFT_DIR_LINK = 10, /* symbolic */
    WEFT_DIR_SOCKET = 12,
};

typedef struct weft_dir_entry {
    const char *name; /* without a folder; valid until the next weft_dir_next, or the close */
    uint64_t inode;
    int type; /* enum weft_dir_type */
} weft_dir_entry;

/* Opens a directory for listing. *out is the caller's, to be closed with weft_dir_close; after an
 * error NULL. 0; -ENOENT, -ENOTDIR, -EACCES, -EMFILE, -ENOMEM ... Suspends. Task context.
 *
 *     weft_dir *dir;
 *     weft_dir_entry entry;
 *     int rc = weft_dir_open(&dir, AT_FDCWD, "/etc");
 *     while (rc >= 0 && (rc = weft_dir_next(dir, &entry)) > 0) {
 *         puts(entry.name);
 *     }
 *     weft_dir_close(dir); */
int weft_dir_open(weft_dir **out, int dirfd, const char *path);

/* The next entry, without "." and "..", in no order; it comes from the buffer, which a thread fills
 * some hundred entries at a time. 1: *out is filled; 0: there are no more; or -errno. What is made
 * or taken away meanwhile may be told or not. -ECANCELED: the place is kept, the next call goes on.
 * One task at a time. May suspend. */
int weft_dir_next(weft_dir *dir, weft_dir_entry *out);

/* Begins again with the first entry. 0. Does not suspend. */
int weft_dir_rewind(weft_dir *dir);

/* The directory's descriptor, for weft_openat, weft_statx and the like on its entries; it stays the
 * directory's. */
int weft_dir_fd(const weft_dir *dir);

/* Closes and frees. NULL is fine. Any thread; not a point of cancellation. */
void weft_dir_close(weft_dir *dir);

/* --- direct I/O ------------------------------------------------------------------------------- */

/* What reads and writes of a file that is open with O_DIRECT have to be multiples of, in bytes. */
typedef struct weft_direct {
    uint32_t memory_align; /* addresses of buffers */
    uint32_t offset_align; /* offsets, and lengths */
} weft_direct;

/* Fills *out for an open file: as the kernel says (statx, from 6.1 on, if the file system knows),
 * else a page for both, which is enough on any. 0; -EINVAL: the file cannot be read and written
 * directly. Direct reads and writes pass by the page cache and go through the ring, many at a time;
 * see docs/guide/files.md for when that pays. Suspends.
 *
 *     weft_direct d;
 *     rc = weft_direct_get(fd, &d);
 *     void *block = aligned_alloc(d.memory_align, 1 << 20); // a multiple of the alignment
 *     ssize_t n = weft_pread(fd, block, 1 << 20, 0); */
int weft_direct_get(int fd, weft_direct *out);

/* --- pipes ------------------------------------------------------------------------------------ */

/* Makes a pipe: what is written to fds[1] can be read from fds[0]. Both are the caller's, with
 * close-on-exec, to be closed with weft_close. `bytes`: at least so much room, rounded up by the
 * kernel; 0: its default (64 KiB). 0; -EMFILE, -ENFILE; -EPERM: more room than
 * /proc/sys/fs/pipe-max-size allows, -ENOMEM; after an error there is no pipe. Any thread. Does not
 * suspend. */
int weft_pipe(int fds[2], size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
