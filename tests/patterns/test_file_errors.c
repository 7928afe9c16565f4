/* test_file_errors.c: what the calls of <weft/file.h> and <weft/io.h> on files say when they cannot
 * do it: each the same as the system call of its name, which is asked beside it, under the same
 * circumstances. */
#include "file_pattern.h"
#include <errno.h>
#include <linux/falloc.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <weft/stackless.h>

/* In the folder, anew before each call: file, with 3 bytes; full/file; empty/; link to file; loop
 * to itself. */
static int fd, read_fd, write_fd, dir_fd, pipe_fd[2];
static int gone_fd; /* a number of no file */

static void reset(void)
{
    static const char *const names[] = {"file", "full/file", "link", "loop", "new"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unlinkat(folder_fd, names[i], 0);
    }
    static const char *const folders[] = {"full", "empty", "new"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        (void)unlinkat(folder_fd, folders[i], AT_REMOVEDIR);
    }
    wt_eq(mkdirat(folder_fd, "full", 0755), 0);
    wt_eq(mkdirat(folder_fd, "empty", 0755), 0);
    static const char *const files[] = {"file", "full/file"};
    for (int i = 0; i < 2; i++) {
        int made = openat(folder_fd, files[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        wt_eq(write(made, "abc", 3), 3);
        close(made);
    }
    wt_eq(symlinkat("file", folder_fd, "link"), 0);
    wt_eq(symlinkat("loop", folder_fd, "loop"), 0);
}

static void begin(void)
{
    reset();
    fd = openat(folder_fd, "full/file", O_RDWR | O_CLOEXEC);
    read_fd = openat(folder_fd, "full/file", O_RDONLY | O_CLOEXEC);
    write_fd = openat(folder_fd, "full/file", O_WRONLY | O_CLOEXEC);
    dir_fd = openat(folder_fd, "full", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    wt_eq(pipe2(pipe_fd, O_CLOEXEC), 0);
    gone_fd = fcntl(fd, F_DUPFD_CLOEXEC, 400); /* where nobody opens any */
    wt_ge(gone_fd, 400);
    close(gone_fd);
}

static void end(void)
{
    close(fd);
    close(read_fd);
    close(write_fd);
    close(dir_fd);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

/* A descriptor that was given is not compared, but closed. */
static int64_t opened(int64_t rc)
{
    if (rc >= 0) {
        close((int)rc);
    }
    return rc < 0 ? rc : 0;
}

static int64_t code(int64_t rc)
{
    return rc < 0 ? -errno : rc;
}

/* Both fail alike; so that nobody compares two successes by mistake. */
#define FAILS_ALIKE(ours, theirs)                                              \
    do {                                                                       \
        reset();                                                               \
        int64_t want_ = code(theirs);                                          \
        reset();                                                               \
        int64_t got_ = (ours);                                                 \
        wt_lt(want_, 0, "%s", #theirs);                                        \
        wt_true(got_ == want_, "%s: %d and %d", #ours, (int)got_, (int)want_); \
    } while (0)

FileTest(file_errors, of_opening, 1)
{
    begin();
    static const struct {
        const char *path;
        int flags;
    } attempts[] = {
        {"none", O_RDONLY},
        {"none/new", O_WRONLY | O_CREAT},
        {"file", O_WRONLY | O_CREAT | O_EXCL},
        {"link", O_WRONLY | O_CREAT | O_EXCL},
        {"file/new", O_RDONLY},
        {"file", O_RDONLY | O_DIRECTORY},
        {"empty", O_WRONLY},
        {"empty", O_RDWR | O_CREAT},
        {"loop", O_RDONLY},
        {"link", O_RDONLY | O_NOFOLLOW},
        {"", O_RDONLY},
    };
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        const char *path = attempts[i].path;
        int flags = attempts[i].flags;
        struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC,
                               .mode = (flags & O_CREAT) != 0 ? 0644 : 0};
        FAILS_ALIKE(opened(weft_openat(folder_fd, path, flags, 0644)),
                    openat(folder_fd, path, flags | O_CLOEXEC, 0644));
        int64_t rc = opened(weft_openat2(folder_fd, path, &how));
        if (rc != -ENOSYS) {
            wt_eq(rc, code(openat(folder_fd, path, flags | O_CLOEXEC, 0644)), "%s", path);
        }
    }
    FAILS_ALIKE(opened(weft_openat(gone_fd, "file", O_RDONLY, 0)),
                openat(gone_fd, "file", O_RDONLY | O_CLOEXEC));
    FAILS_ALIKE(opened(weft_openat(fd, "file", O_RDONLY, 0)),
                openat(fd, "file", O_RDONLY | O_CLOEXEC));
    struct open_how beyond = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    int64_t rc = opened(weft_openat2(dir_fd, "../file", &beyond));
    wt_true(rc == -EXDEV || rc == -ENOSYS, "%d", (int)rc);
    beyond.flags = 1ULL << 50;
    rc = opened(weft_openat2(dir_fd, "file", &beyond));
    wt_true(rc == -EINVAL || rc == -ENOSYS, "%d", (int)rc);
    weft_dir *dir;
    FAILS_ALIKE(weft_dir_open(&dir, folder_fd, "file"),
                openat(folder_fd, "file", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    FAILS_ALIKE(weft_dir_open(&dir, folder_fd, "none"),
                openat(folder_fd, "none", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    FAILS_ALIKE(weft_dir_open(&dir, gone_fd, "empty"),
                openat(gone_fd, "empty", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    end();
    return 0;
}

static int rename_by_call(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

#define RENAME(from_fd, from, to_fd, to, flags)                 \
    FAILS_ALIKE(weft_renameat(from_fd, from, to_fd, to, flags), \
                rename_by_call(from_fd, from, to_fd, to, flags))

FileTest(file_errors, of_renaming, 1)
{
    begin();
    RENAME(folder_fd, "none", folder_fd, "new", 0);
    RENAME(folder_fd, "file", folder_fd, "none/new", 0);
    RENAME(folder_fd, "file", folder_fd, "full/file", RENAME_NOREPLACE);
    RENAME(folder_fd, "file", folder_fd, "new", RENAME_EXCHANGE);
    RENAME(folder_fd, "file", folder_fd, "new", RENAME_EXCHANGE | RENAME_NOREPLACE);
    RENAME(folder_fd, "file", folder_fd, "empty", 0);
    RENAME(folder_fd, "empty", folder_fd, "file", 0);
    RENAME(folder_fd, "empty", folder_fd, "full", 0);
    RENAME(folder_fd, "full", folder_fd, "full/new", 0);
    RENAME(folder_fd, "file/x", folder_fd, "new", 0);
    RENAME(gone_fd, "file", folder_fd, "new", 0);
    RENAME(folder_fd, "file", gone_fd, "new", 0);
    RENAME(folder_fd, "file", fd, "new", 0);
    FAILS_ALIKE(weft_rename(in_folder("none"), in_folder("new")),
                rename(in_folder("none"), in_folder("new")));
    FAILS_ALIKE(weft_rename(in_folder("file"), in_folder("empty")),
                rename(in_folder("file"), in_folder("empty")));
    end();
    return 0;
}

#define UNLINK(at, path, flags) \
    FAILS_ALIKE(weft_unlinkat(at, path, flags), unlinkat(at, path, flags))
#define MKDIR(at, path) FAILS_ALIKE(weft_mkdirat(at, path, 0755), mkdirat(at, path, 0755))
#define SYMLINK(target, at, path) \
    FAILS_ALIKE(weft_symlinkat(target, at, path), symlinkat(target, at, path))
#define LINK(from_fd, from, to_fd, to, flags)                 \
    FAILS_ALIKE(weft_linkat(from_fd, from, to_fd, to, flags), \
                linkat(from_fd, from, to_fd, to, flags))
#define READLINK(at, path, bytes) \
    FAILS_ALIKE(weft_readlinkat(at, path, buffer, bytes), readlinkat(at, path, buffer, bytes))

FileTest(file_errors, of_names, 1)
{
    char buffer[16];
    begin();
    UNLINK(folder_fd, "none", 0);
    UNLINK(folder_fd, "empty", 0);
    UNLINK(folder_fd, "file", AT_REMOVEDIR);
    UNLINK(folder_fd, "full", AT_REMOVEDIR);
    UNLINK(folder_fd, "file/x", 0);
    UNLINK(folder_fd, "file", 1 << 30);
    UNLINK(gone_fd, "file", 0);
    UNLINK(fd, "file", 0);
    FAILS_ALIKE(weft_unlink(in_folder("empty")), unlink(in_folder("empty")));
    FAILS_ALIKE(weft_rmdir(in_folder("full")), rmdir(in_folder("full")));
    FAILS_ALIKE(weft_rmdir(in_folder("file")), rmdir(in_folder("file")));
    MKDIR(folder_fd, "file");
    MKDIR(folder_fd, "empty");
    MKDIR(folder_fd, "link");
    MKDIR(folder_fd, "none/new");
    MKDIR(folder_fd, "file/new");
    MKDIR(folder_fd, "loop/new");
    MKDIR(gone_fd, "new");
    FAILS_ALIKE(weft_mkdir(in_folder("empty"), 0755), mkdir(in_folder("empty"), 0755));
    SYMLINK("x", folder_fd, "file");
    SYMLINK("", folder_fd, "new");
    SYMLINK("x", folder_fd, "none/new");
    SYMLINK("x", gone_fd, "new");
    LINK(folder_fd, "none", folder_fd, "new", 0);
    LINK(folder_fd, "file", folder_fd, "link", 0);
    LINK(folder_fd, "empty", folder_fd, "new", 0);
    LINK(folder_fd, "file", folder_fd, "file/new", 0);
    LINK(folder_fd, "file", folder_fd, "new", 1 << 30);
    LINK(gone_fd, "file", folder_fd, "new", 0);
    LINK(folder_fd, "file", gone_fd, "new", 0);
    READLINK(folder_fd, "file", sizeof buffer);
    READLINK(folder_fd, "none", sizeof buffer);
    READLINK(folder_fd, "file/x", sizeof buffer);
    READLINK(folder_fd, "link", 0);
    READLINK(gone_fd, "link", sizeof buffer);
    end();
    return 0;
}

FileTest(file_errors, of_what_is_known, 1)
{
    struct statx about;
    begin();
    static const struct {
        const char *path;
        int flags;
    } attempts[] = {{"none", 0}, {"file/x", 0}, {"loop", 0}, {"", 0}, {"file", 1 << 30}};
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        FAILS_ALIKE(weft_statx(folder_fd, attempts[i].path, attempts[i].flags, STATX_SIZE, &about),
                    statx(folder_fd, attempts[i].path, attempts[i].flags, STATX_SIZE, &about));
    }
    FAILS_ALIKE(weft_statx(gone_fd, "file", 0, STATX_SIZE, &about),
                statx(gone_fd, "file", 0, STATX_SIZE, &about));
    FAILS_ALIKE(weft_statx(fd, "file", 0, STATX_SIZE, &about),
                statx(fd, "file", 0, STATX_SIZE, &about));
    FAILS_ALIKE(weft_fstat(gone_fd, &about), statx(gone_fd, "", AT_EMPTY_PATH, STATX_SIZE, &about));
    FAILS_ALIKE(weft_stat(in_folder("none"), &about),
                statx(AT_FDCWD, in_folder("none"), 0, STATX_SIZE, &about));
    end();
    return 0;
}

/* Of a descriptor for which it is wrong: a number of no file, one open for the other direction, a
 * directory, a pipe. */
#define EACH_WRONG(at, ours, theirs, ...)                             \
    do {                                                              \
        const int wrong_[] = {__VA_ARGS__};                           \
        for (size_t i_ = 0; i_ < sizeof wrong_ / sizeof(int); i_++) { \
            int at = wrong_[i_];                                      \
            FAILS_ALIKE(ours, theirs);                                \
        }                                                             \
    } while (0)

FileTest(file_errors, of_transfers, 1)
{
    char buffer[16] = "";
    struct iovec part = {buffer, sizeof buffer};
    begin();
    EACH_WRONG(at, weft_read(at, buffer, 3), read(at, buffer, 3), gone_fd, write_fd, dir_fd, -1);
    EACH_WRONG(at, weft_pread(at, buffer, 3, 0), pread(at, buffer, 3, 0), gone_fd, write_fd, dir_fd,
               pipe_fd[0], -1);
    EACH_WRONG(at, weft_readv(at, &part, 1), readv(at, &part, 1), gone_fd, write_fd, dir_fd);
    EACH_WRONG(at, weft_preadv(at, &part, 1, 0), preadv(at, &part, 1, 0), gone_fd, write_fd, dir_fd,
               pipe_fd[0]);
    EACH_WRONG(at, weft_write(at, buffer, 3), write(at, buffer, 3), gone_fd, read_fd, dir_fd,
               pipe_fd[0], -1);
    EACH_WRONG(at, weft_pwrite(at, buffer, 3, 0), pwrite(at, buffer, 3, 0), gone_fd, read_fd,
               dir_fd, -1);
    EACH_WRONG(at, weft_writev(at, &part, 1), writev(at, &part, 1), gone_fd, read_fd, dir_fd);
    EACH_WRONG(at, weft_pwritev(at, &part, 1, 0), pwritev(at, &part, 1, 0), gone_fd, read_fd,
               dir_fd);
    EACH_WRONG(at, weft_pread_all(at, buffer, 3, 0), pread(at, buffer, 3, 0), gone_fd, write_fd,
               dir_fd);
    EACH_WRONG(at, weft_pwrite_all(at, buffer, 3, 0), pwrite(at, buffer, 3, 0), gone_fd, read_fd,
               dir_fd);
    FAILS_ALIKE(weft_pread(fd, buffer, 3, -1), pread(fd, buffer, 3, -1));
    FAILS_ALIKE(weft_pwrite(fd, buffer, 3, -1), pwrite(fd, buffer, 3, -1));
    FAILS_ALIKE(weft_pread_all(fd, buffer, 3, -1), pread(fd, buffer, 3, -1));
    FAILS_ALIKE(weft_pwrite_all(fd, buffer, 3, -1), pwrite(fd, buffer, 3, -1));
    FAILS_ALIKE(weft_readv(fd, &part, -1), syscall(SYS_readv, fd, &part, -1));
    FAILS_ALIKE(weft_writev(fd, &part, 1025), syscall(SYS_writev, fd, &part, 1025));
    FAILS_ALIKE(weft_preadv(fd, &part, 1, -1), preadv(fd, &part, 1, -1));
    FAILS_ALIKE(weft_pwritev(fd, &part, 1, -1), pwritev(fd, &part, 1, -1));
    end();
    return 0;
}

FileTest(file_errors, of_sizes_durability_and_copies, 1)
{
    begin();
    EACH_WRONG(at, weft_ftruncate(at, 1), ftruncate(at, 1), gone_fd, read_fd, dir_fd, pipe_fd[1],
               -1);
    FAILS_ALIKE(weft_ftruncate(fd, -1), ftruncate(fd, -1));
    EACH_WRONG(at, weft_fallocate(at, 0, 0, 1), fallocate(at, 0, 0, 1), gone_fd, read_fd, dir_fd,
               pipe_fd[1], -1);
    FAILS_ALIKE(weft_fallocate(fd, 0, 0, 0), fallocate(fd, 0, 0, 0));
    FAILS_ALIKE(weft_fallocate(fd, 0, -1, 1), fallocate(fd, 0, -1, 1));
    FAILS_ALIKE(weft_fallocate(fd, 1 << 30, 0, 1), fallocate(fd, 1 << 30, 0, 1));
    FAILS_ALIKE(weft_fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1),
                fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1));
    EACH_WRONG(at, weft_fsync(at), fsync(at), gone_fd, pipe_fd[1], -1);
    EACH_WRONG(at, weft_fdatasync(at), fdatasync(at), gone_fd, pipe_fd[1], -1);
    FAILS_ALIKE(weft_fsync_dir(folder_fd, "none"),
                openat(folder_fd, "none", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    FAILS_ALIKE(weft_fsync_dir(folder_fd, "file"),
                openat(folder_fd, "file", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    EACH_WRONG(at, weft_copy_range(at, 0, fd, 10, 3),
               copy_file_range(at, &(off_t){0}, fd, &(off_t){10}, 3, 0), gone_fd, write_fd, dir_fd);
    EACH_WRONG(at, weft_copy_range(fd, 0, at, 10, 3),
               copy_file_range(fd, &(off_t){0}, at, &(off_t){10}, 3, 0), gone_fd, read_fd, dir_fd);
    FAILS_ALIKE(weft_copy_range(fd, 0, write_fd, 1, 3),
                copy_file_range(fd, &(off_t){0}, write_fd, &(off_t){1}, 3, 0)); /* overlap */
    FAILS_ALIKE(weft_copy_file(in_folder("none"), in_folder("new"), 0),
                open(in_folder("none"), O_RDONLY | O_CLOEXEC));
    FAILS_ALIKE(weft_copy_file(in_folder("file"), in_folder("link"), O_EXCL),
                open(in_folder("link"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    FAILS_ALIKE(weft_copy_file(in_folder("file"), in_folder("empty"), 0),
                open(in_folder("empty"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    char buffer[4];
    FAILS_ALIKE(weft_file_read(folder_fd, "none", buffer, 4),
                openat(folder_fd, "none", O_RDONLY | O_CLOEXEC));
    FAILS_ALIKE(weft_file_write(folder_fd, "empty", "x", 1, 0644),
                openat(folder_fd, "empty", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    FAILS_ALIKE(weft_close(gone_fd), close(gone_fd));
    FAILS_ALIKE(weft_close(-1), close(-1));
    end();
    return 0;
}

/* A deadline that is over: what takes a thread is not tried, and nothing was done. */
FileTest(file_errors, past_a_deadline_what_takes_a_thread_is_not_done, 1)
{
    begin();
    char buffer[4];
    weft_dir *dir;
    weft_dir_entry entry;
    wt_eq(weft_dir_open(&dir, folder_fd, "full"), 0);
    reset();
    wt_eq(weft_within(0, weft_renameat(folder_fd, "file", folder_fd, "new", 0)), -ETIME);
    wt_eq(weft_within(0, weft_unlinkat(folder_fd, "file", 0)), -ETIME);
    wt_eq(weft_within(0, weft_mkdirat(folder_fd, "new", 0755)), -ETIME);
    wt_eq(weft_within(0, weft_symlinkat("x", folder_fd, "new")), -ETIME);
    wt_eq(weft_within(0, weft_linkat(folder_fd, "file", folder_fd, "new", 0)), -ETIME);
    wt_eq(weft_within(0, weft_readlinkat(folder_fd, "link", buffer, 4)), -ETIME);
    wt_eq(weft_within(0, weft_ftruncate(fd, 0)), -ETIME);
    wt_eq(weft_within(0, weft_fallocate(fd, 0, 0, 100)), -ETIME);
    wt_eq(weft_within(0, weft_copy_range(read_fd, 0, write_fd, 100, 3)), -ETIME);
    wt_eq(weft_within(0, weft_dir_next(dir, &entry)), -ETIME);
    wt_eq(faccessat(folder_fd, "file", F_OK, 0), 0);
    wt_eq(faccessat(folder_fd, "new", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    struct stat about;
    wt_eq(fstat(fd, &about), 0);
    wt_eq(about.st_size, 3);
    weft_dir_close(dir);
    end();
    return 0;
}

#define VALUE_FAILS_ALIKE(value, theirs) FAILS_ALIKE(weft_val_await_new(value), theirs)

FileTest(file_errors, values_say_the_same, 1)
{
    begin();
    char buffer[16] = "";
    struct iovec part = {buffer, sizeof buffer};
    struct statx about;
    VALUE_FAILS_ALIKE(weft_open_v(in_folder("none"), O_RDONLY, 0),
                      open(in_folder("none"), O_RDONLY | O_CLOEXEC));
    VALUE_FAILS_ALIKE(weft_openat_v(folder_fd, "file", O_WRONLY | O_CREAT | O_EXCL, 0644),
                      openat(folder_fd, "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    VALUE_FAILS_ALIKE(weft_renameat_v(folder_fd, "file", folder_fd, "empty", 0),
                      rename_by_call(folder_fd, "file", folder_fd, "empty", 0));
    VALUE_FAILS_ALIKE(weft_unlinkat_v(folder_fd, "full", AT_REMOVEDIR),
                      unlinkat(folder_fd, "full", AT_REMOVEDIR));
    VALUE_FAILS_ALIKE(weft_mkdirat_v(folder_fd, "file/new", 0755),
                      mkdirat(folder_fd, "file/new", 0755));
    VALUE_FAILS_ALIKE(weft_symlinkat_v("x", folder_fd, "file"), symlinkat("x", folder_fd, "file"));
    VALUE_FAILS_ALIKE(weft_linkat_v(folder_fd, "none", folder_fd, "new", 0),
                      linkat(folder_fd, "none", folder_fd, "new", 0));
    VALUE_FAILS_ALIKE(weft_readlinkat_v(folder_fd, "file", buffer, sizeof buffer),
                      readlinkat(folder_fd, "file", buffer, sizeof buffer));
    VALUE_FAILS_ALIKE(weft_statx_v(folder_fd, "file/x", 0, STATX_SIZE, &about),
                      statx(folder_fd, "file/x", 0, STATX_SIZE, &about));
    EACH_WRONG(at, weft_val_await_new(weft_ftruncate_v(at, 1)), ftruncate(at, 1), gone_fd, read_fd);
    EACH_WRONG(at, weft_val_await_new(weft_fallocate_v(at, 0, 0, 1)), fallocate(at, 0, 0, 1),
               gone_fd, read_fd);
    EACH_WRONG(at, weft_val_await_new(weft_fsync_v(at)), fsync(at), gone_fd, pipe_fd[1]);
    EACH_WRONG(at, weft_val_await_new(weft_fdatasync_v(at)), fdatasync(at), gone_fd, pipe_fd[1]);
    EACH_WRONG(at, weft_val_await_new(weft_read_v(at, buffer, 3)), read(at, buffer, 3), gone_fd,
               write_fd, dir_fd);
    EACH_WRONG(at, weft_val_await_new(weft_pread_v(at, buffer, 3, 0)), pread(at, buffer, 3, 0),
               gone_fd, write_fd, dir_fd, pipe_fd[0]);
    EACH_WRONG(at, weft_val_await_new(weft_write_v(at, buffer, 3)), write(at, buffer, 3), gone_fd,
               read_fd, dir_fd);
    EACH_WRONG(at, weft_val_await_new(weft_pwrite_v(at, buffer, 3, 0)), pwrite(at, buffer, 3, 0),
               gone_fd, read_fd, dir_fd);
    EACH_WRONG(at, weft_val_await_new(weft_readv_v(at, &part, 1)), readv(at, &part, 1), gone_fd,
               write_fd, dir_fd);
    EACH_WRONG(at, weft_val_await_new(weft_preadv_v(at, &part, 1, 0)), preadv(at, &part, 1, 0),
               gone_fd, write_fd, dir_fd, pipe_fd[0]);
    EACH_WRONG(at, weft_val_await_new(weft_writev_v(at, &part, 1)), writev(at, &part, 1), gone_fd,
               read_fd, dir_fd);
    EACH_WRONG(at, weft_val_await_new(weft_pwritev_v(at, &part, 1, 0)), pwritev(at, &part, 1, 0),
               gone_fd, read_fd, dir_fd);
    end();
    return 0;
}
