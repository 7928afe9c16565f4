/* test_file_names.c: opening below directories, names, sizes, durability, pipes. */
#include "file_pattern.h"
#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <weft/file.h>
#include <weft/stackless.h>

static void make(const char *name, const char *text)
{
    wt_eq(weft_file_write(folder_fd, name, text, strlen(text), 0644), 0);
}

static void check_text(const char *name, const char *text)
{
    char buffer[256];
    ssize_t n = weft_file_read(folder_fd, name, buffer, sizeof buffer);
    wt_eq(n, (ssize_t)strlen(text), "%s", name);
    wt_mem_eq(buffer, text, strlen(text));
}

/* --- opening ---------------------------------------------------------------------------------- */

FileTest(file_names, openat_starts_at_its_directory_and_sets_close_on_exec, 2)
{
    make("one", "1");
    int fd = weft_openat(folder_fd, "one", O_RDONLY, 0);
    wt_ge(fd, 0);
    wt_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    char byte;
    wt_eq(weft_pread(fd, &byte, 1, 0), 1);
    wt_eq(byte, '1');
    wt_eq(weft_close(fd), 0);
    wt_eq(weft_openat(folder_fd, "two", O_RDONLY, 0), -ENOENT);
    wt_eq(weft_openat(-1, "one", O_RDONLY, 0), -EBADF);
    wt_eq(weft_openat(folder_fd, "one/x", O_RDONLY, 0), -ENOTDIR);
    wt_eq(weft_openat(folder_fd, "one", O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
    return 0;
}

FileTest(file_names, openat2_keeps_a_path_below_its_directory, 2)
{
    make("inside", "in");
    wt_eq(weft_symlinkat("/etc/passwd", folder_fd, "out"), 0);
    wt_eq(weft_symlinkat("inside", folder_fd, "link"), 0);
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    int fd = weft_openat2(folder_fd, "inside", &how);
    wt_ge(fd, 0);
    wt_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    weft_close(fd);
    wt_eq(weft_openat2(folder_fd, "out", &how), -EXDEV);
    wt_eq(weft_openat2(folder_fd, "../../etc/passwd", &how), -EXDEV);
    wt_eq(weft_openat2(folder_fd, "/etc/passwd", &how), -EXDEV);
    how.resolve = RESOLVE_NO_SYMLINKS;
    wt_eq(weft_openat2(folder_fd, "link", &how), -ELOOP);
    wt_eq(weft_openat2(folder_fd, "gone", &how), -ENOENT);
    wt_eq(how.flags, O_RDONLY);
    return 0;
}

FileTest(file_names, a_path_that_is_too_long_is_refused_by_every_call, 1)
{
    char path[PATH_MAX + 10];
    memset(path, 'x', sizeof path);
    for (size_t i = 0; i < sizeof path; i += 100) {
        path[i] = '/';
    }
    path[sizeof path - 1] = '\0';
    struct statx about;
    struct open_how how = {.flags = O_RDONLY};
    weft_dir *dir;
    char byte;
    wt_eq(weft_open(path, O_RDONLY, 0), -ENAMETOOLONG);
    wt_eq(weft_openat2(folder_fd, path, &how), -ENAMETOOLONG);
    wt_eq(weft_rename(path, in_folder("x")), -ENAMETOOLONG);
    wt_eq(weft_rename(in_folder("x"), path), -ENAMETOOLONG);
    wt_eq(weft_unlink(path), -ENAMETOOLONG);
    wt_eq(weft_mkdir(path, 0700), -ENAMETOOLONG);
    wt_eq(weft_symlinkat("x", folder_fd, path), -ENAMETOOLONG);
    wt_eq(weft_linkat(folder_fd, path, folder_fd, "y", 0), -ENAMETOOLONG);
    wt_eq(weft_readlinkat(folder_fd, path, &byte, 1), -ENAMETOOLONG);
    wt_eq(weft_stat(path, &about), -ENAMETOOLONG);
    wt_eq(weft_fsync_dir(AT_FDCWD, path), -ENAMETOOLONG);
    wt_eq(weft_file_read(AT_FDCWD, path, &byte, 1), -ENAMETOOLONG);
    wt_eq(weft_copy_file(path, in_folder("y"), 0), -ENAMETOOLONG);
    wt_eq(weft_dir_open(&dir, AT_FDCWD, path), -ENAMETOOLONG);
    wt_true(dir == NULL);
    return 0;
}

/* --- names ------------------------------------------------------------------------------------ */

FileTest(file_names, files_are_renamed_linked_and_taken_away, 2)
{
    make("a", "a");
    make("b", "b");
    wt_eq(weft_rename(in_folder("a"), in_folder("c")), 0);
    check_text("c", "a");
    wt_eq(weft_renameat(folder_fd, "a", folder_fd, "d", 0), -ENOENT);
    wt_eq(weft_renameat(folder_fd, "c", folder_fd, "b", RENAME_NOREPLACE), -EEXIST);
    wt_eq(weft_renameat(folder_fd, "c", folder_fd, "b", 0), 0);
    check_text("b", "a");
    wt_eq(weft_linkat(folder_fd, "b", folder_fd, "hard", 0), 0);
    struct statx about;
    wt_eq(weft_stat(in_folder("hard"), &about), 0);
    wt_eq(about.stx_nlink, 2);
    wt_eq(weft_symlinkat("b", folder_fd, "soft"), 0);
    check_text("soft", "a");
    char target[16];
    wt_eq(weft_readlinkat(folder_fd, "soft", target, sizeof target), 1);
    wt_eq(target[0], 'b');
    wt_eq(weft_readlinkat(folder_fd, "hard", target, sizeof target), -EINVAL);
    wt_eq(weft_unlink(in_folder("hard")), 0);
    wt_eq(weft_unlink(in_folder("hard")), -ENOENT);
    wt_eq(weft_unlinkat(folder_fd, "soft", 0), 0);
    check_text("b", "a");
    return 0;
}

FileTest(file_names, directories_are_made_and_taken_away_when_empty, 2)
{
    wt_eq(weft_mkdirat(folder_fd, "d", 0755), 0);
    wt_eq(weft_mkdirat(folder_fd, "d", 0755), -EEXIST);
    wt_eq(weft_mkdirat(folder_fd, "no/d", 0755), -ENOENT);
    wt_eq(weft_mkdir(in_folder("d/e"), 0755), 0);
    wt_eq(weft_unlinkat(folder_fd, "d", 0), -EISDIR);
    wt_eq(weft_unlinkat(folder_fd, "d", AT_REMOVEDIR), -ENOTEMPTY);
    wt_eq(weft_rmdir(in_folder("d/e")), 0);
    wt_eq(weft_rmdir(in_folder("d")), 0);
    wt_eq(weft_rmdir(in_folder("d")), -ENOENT);
    return 0;
}

static int without_rights(void *arg)
{
    (void)arg;
    wt_eq(weft_open(in_folder("shut/x"), O_RDONLY, 0), -EACCES);
    wt_eq(weft_unlink(in_folder("shut/x")), -EACCES);
    wt_eq(weft_mkdir(in_folder("shut/y"), 0700), -EACCES);
    wt_eq(weft_rename(in_folder("shut/x"), in_folder("z")), -EACCES);
    struct statx about;
    wt_eq(weft_stat(in_folder("shut/x"), &about), -EACCES);
    weft_dir *dir;
    wt_eq(weft_dir_open(&dir, folder_fd, "shut"), -EACCES);
    return 0;
}

/* In a process of its own, since who has given up root cannot tidy up. */
Test(file_names, without_the_right_it_is_eacces, .init = folder_open, .fini = folder_close)
{
    wt_eq(mkdir(in_folder("shut"), 0), 0);
    wt_eq(chmod(folder, 0755), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
            _exit(0); /* root, and cannot be anybody else */
        }
        _exit(weft_run(without_rights, NULL, .workers = 1) == 0 ? 0 : 1);
    }
    int status;
    wt_eq(waitpid(pid, &status, 0), pid);
    wt_eq(status, 0);
}

/* --- what is known, size, durability ---------------------------------------------------------- */

FileTest(file_names, size_is_cut_grown_and_reserved, 2)
{
    make("f", "hello world");
    int fd = weft_openat(folder_fd, "f", O_RDWR, 0);
    struct statx about;
    wt_eq(weft_ftruncate(fd, 5), 0);
    check_text("f", "hello");
    wt_eq(weft_ftruncate(fd, 8), 0);
    char buffer[8];
    wt_eq(weft_pread_all(fd, buffer, sizeof buffer, 0), 8);
    wt_mem_eq(buffer, "hello\0\0\0", 8);
    wt_eq(weft_ftruncate(fd, -1), -EINVAL);
    wt_eq(weft_fallocate(fd, 0, 0, 100000), 0);
    wt_eq(weft_fstat(fd, &about), 0);
    wt_eq(about.stx_size, 100000);
    wt_ge(about.stx_blocks, 100000 / 512);
    wt_eq(weft_fallocate(fd, 0, -1, 10), -EINVAL);
    wt_eq(weft_fallocate(fd, 0, 0, 0), -EINVAL);
    wt_eq(weft_fdatasync(fd), 0);
    wt_eq(weft_fsync(fd), 0);
    wt_eq(weft_fsync_dir(AT_FDCWD, folder), 0);
    wt_eq(weft_fsync_dir(folder_fd, "f"), -ENOTDIR);
    wt_eq(weft_close(fd), 0);
    wt_eq(weft_ftruncate(fd, 0), -EBADF);
    wt_eq(weft_fallocate(fd, 0, 0, 1), -EBADF);
    wt_eq(weft_fdatasync(fd), -EBADF);
    wt_eq(weft_fstat(fd, &about), -EBADF);
    int pipe_fds[2];
    wt_eq(weft_pipe(pipe_fds, 0), 0);
    wt_eq(weft_fdatasync(pipe_fds[0]), -EINVAL);
    wt_eq(weft_ftruncate(pipe_fds[1], 0), -EINVAL);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

/* A disk that is full, of this size: by the limit of the process, whose signal is ignored. */
#define DISK_BYTES 100000

static int write_beyond(void *arg)
{
    (void)arg;
    int fd = weft_open(in_folder("big"), O_RDWR | O_CREAT, 0644);
    wt_ge(fd, 0);
    static char block[64 * 1024];
    wt_eq(weft_pwrite_all(fd, block, sizeof block, 0), (ssize_t)sizeof block);
    /* short: what fits */
    wt_eq(weft_pwrite_all(fd, block, sizeof block, sizeof block),
          (ssize_t)(DISK_BYTES - sizeof block));
    wt_eq(weft_pwrite_all(fd, block, sizeof block, DISK_BYTES), -EFBIG);
    wt_eq(weft_ftruncate(fd, DISK_BYTES + 1), -EFBIG);
    wt_eq(weft_fallocate(fd, 0, 0, DISK_BYTES + 1), -EFBIG);
    static char whole[DISK_BYTES + 1];
    wt_eq(weft_file_write(folder_fd, "whole", whole, sizeof whole, 0644), -EFBIG);
    int from = weft_open("/dev/zero", O_RDONLY, 0);
    int64_t n = weft_copy_range(from, 0, fd, 0, 10 * DISK_BYTES);
    wt_eq(n, DISK_BYTES);
    weft_close(from);
    weft_close(fd);
    return 0;
}

Test(file_names, a_file_that_cannot_grow_is_written_as_far_as_it_goes, .init = folder_open,
     .fini = folder_close)
{
    signal(SIGXFSZ, SIG_IGN);
    wt_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){DISK_BYTES, DISK_BYTES}), 0);
    wt_eq(weft_run(write_beyond, NULL, .workers = 1), 0);
}

static int write_full_disk(void *arg)
{
    (void)arg;
    int fd = weft_open(in_folder("full/f"), O_RDWR | O_CREAT, 0644);
    wt_ge(fd, 0);
    static char block[256 * 1024];
    ssize_t n = weft_pwrite_all(fd, block, sizeof block, 0);
    wt_gt(n, 0);
    wt_lt(n, (ssize_t)sizeof block);
    wt_eq(weft_pwrite_all(fd, block, sizeof block, n), -ENOSPC);
    wt_eq(weft_fallocate(fd, 0, 0, sizeof block), -ENOSPC);
    wt_eq(weft_file_write(AT_FDCWD, in_folder("full/g"), block, sizeof block, 0644), -ENOSPC);
    weft_close(fd);
    return 0;
}

Test(file_names, a_full_disk_is_enospc, .init = folder_open)
{
    wt_eq(mkdir(in_folder("full"), 0755), 0);
    if (mount("tmpfs", in_folder("full"), "tmpfs", 0, "size=64k") != 0) {
        folder_close();
        wt_skip("may not mount");
    }
    int rc = weft_run(write_full_disk, NULL, .workers = 1);
    (void)umount2(in_folder("full"), MNT_DETACH);
    folder_close();
    wt_eq(rc, 0);
}

/* --- whole files ------------------------------------------------------------------------------ */

FileTest(file_names, whole_files_are_read_into_what_is_large_enough, 2)
{
    make("f", "12345");
    char buffer[8];
    wt_eq(weft_file_read(folder_fd, "f", buffer, 5), 5);
    wt_eq(weft_file_read(folder_fd, "f", buffer, 8), 5);
    wt_eq(weft_file_read(folder_fd, "f", buffer, 4), -EFBIG);
    wt_mem_eq(buffer, "1234", 4);
    wt_eq(weft_file_read(folder_fd, "f", buffer, 0), -EFBIG);
    make("empty", "");
    wt_eq(weft_file_read(folder_fd, "empty", buffer, 0), 0);
    wt_eq(weft_file_read(folder_fd, "empty", buffer, 8), 0);
    wt_eq(weft_file_read(folder_fd, "none", buffer, 8), -ENOENT);
    wt_eq(weft_file_read(AT_FDCWD, folder, buffer, 8), -EISDIR);
    char status[16384];
    wt_gt(weft_file_read(AT_FDCWD, "/proc/self/status", status, sizeof status), 100);
    wt_mem_eq(status, "Name:", 5);
    make("f", "1");
    check_text("f", "1");
    return 0;
}

FileTest(file_names, transfers_of_nothing_before_the_start_and_of_too_much_are_told_apart, 1)
{
    make("f", "12345");
    int fd = weft_openat(folder_fd, "f", O_RDWR, 0);
    char buffer[16];
    wt_eq(weft_pread_all(fd, buffer, 0, 0), 0);
    wt_eq(weft_pwrite_all(fd, buffer, 0, 0), 0);
    wt_eq(weft_pread_all(fd, buffer, 1, -1), -EINVAL);
    wt_eq(weft_pwrite_all(fd, buffer, 1, -1), -EINVAL);
    wt_eq(weft_pread_all(fd, buffer, sizeof buffer, 3), 2);
    wt_eq(weft_pread_all(fd, buffer, sizeof buffer, 5), 0);
    wt_eq(weft_pread_all(fd, buffer, sizeof buffer, INT64_C(1) << 40), 0);
    int fds[2];
    wt_eq(weft_pipe(fds, 0), 0);
    wt_eq(weft_pread_all(fds[0], buffer, 1, 0), -ESPIPE);
    close(fds[0]);
    close(fds[1]);
    weft_close(fd);
    return 0;
}

/* What the kernel does in one go is less than 2 GiB; a sparse file's end is beyond that. */
FileTest(file_names, requests_and_offsets_beyond_two_gib_are_no_different, 1)
{
    int fd = weft_openat(folder_fd, "sparse", O_RDWR | O_CREAT, 0644);
    int64_t end = INT64_C(5) << 30;
    wt_eq(weft_ftruncate(fd, end), 0);
    wt_eq(weft_pwrite_all(fd, "end", 3, end - 3), 3);
    char buffer[16];
    size_t huge = (size_t)3 << 30; /* of which the file fills 13 bytes */
    wt_eq(weft_pread_all(fd, buffer, huge, end - 13), 13);
    wt_mem_eq(buffer + 10, "end", 3);
    wt_eq(weft_copy_range(fd, end - 3, fd, 0, (int64_t)huge), 3);
    wt_eq(weft_pread_all(fd, buffer, 3, 0), 3);
    wt_mem_eq(buffer, "end", 3);
    weft_close(fd);
    return 0;
}

/* --- cancellation ----------------------------------------------------------------------------- */

FileTest(file_names, in_a_cancelled_scope_nothing_is_done, 1)
{
    make("f", "text");
    int fd = weft_openat(folder_fd, "f", O_RDWR, 0);
    int before = count_descriptors();
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, "test");
    struct open_how how = {.flags = O_RDONLY};
    weft_dir *dir;
    char buffer[16];
    wt_eq(weft_openat(folder_fd, "f", O_RDONLY, 0), -ECANCELED);
    wt_eq(weft_openat2(folder_fd, "f", &how), -ECANCELED);
    wt_eq(weft_renameat(folder_fd, "f", folder_fd, "g", 0), -ECANCELED);
    wt_eq(weft_unlinkat(folder_fd, "f", 0), -ECANCELED);
    wt_eq(weft_mkdirat(folder_fd, "d", 0755), -ECANCELED);
    wt_eq(weft_symlinkat("f", folder_fd, "l"), -ECANCELED);
    wt_eq(weft_linkat(folder_fd, "f", folder_fd, "l", 0), -ECANCELED);
    wt_eq(weft_ftruncate(fd, 0), -ECANCELED);
    wt_eq(weft_fallocate(fd, 0, 0, 100), -ECANCELED);
    wt_eq(weft_fdatasync(fd), -ECANCELED);
    wt_eq(weft_fsync_dir(folder_fd, "."), -ECANCELED);
    wt_eq(weft_dir_open(&dir, folder_fd, "."), -ECANCELED);
    wt_eq(weft_file_read(folder_fd, "f", buffer, sizeof buffer), -ECANCELED);
    wt_eq(weft_file_write(folder_fd, "f", buffer, sizeof buffer, 0), -ECANCELED);
    wt_eq(weft_copy_file(in_folder("f"), in_folder("g"), 0), -ECANCELED);
    wt_eq(weft_copy_range(fd, 0, fd, 10, 4), -ECANCELED);
    weft_scope_end(&s);
    wt_eq(count_descriptors(), before);
    check_text("f", "text");
    struct statx about;
    wt_eq(weft_stat(in_folder("g"), &about), -ENOENT);
    /* a deadline that is over: what takes a thread is not tried */
    wt_eq(weft_within(0, weft_renameat(folder_fd, "f", folder_fd, "g", 0)), -ETIME);
    check_text("f", "text");
    weft_close(fd);
    return 0;
}

Test(file_names, outside_a_task_it_is_eperm)
{
    char byte;
    wt_eq(weft_rename("/nowhere/a", "/nowhere/b"), -EPERM);
    wt_eq(weft_openat(AT_FDCWD, "/", O_RDONLY, 0), -EPERM);
    wt_eq(weft_file_read(AT_FDCWD, "/etc/passwd", &byte, 1), -EPERM);
    wt_eq(weft_copy_file("/nowhere/a", "/nowhere/b", 0), -EPERM);
    weft_dir *dir;
    wt_eq(weft_dir_open(&dir, AT_FDCWD, "/"), -EPERM);
}

/* Each task opens, renames and takes away while its scope is cancelled at some moment: no
 * descriptor is left, and each file has one of its two names. */
#define STORM_TASKS 40

WEFT_TASK(move_about, int)
{
    char a[16], b[16];
    snprintf(a, sizeof a, "a%d", *arg);
    snprintf(b, sizeof b, "b%d", *arg);
    for (;;) { /* ends: cancelled */
        int fd = weft_openat(folder_fd, a, O_RDWR | O_CREAT, 0644);
        if (fd < 0) {
            return fd;
        }
        weft_close(fd);
        int rc = weft_renameat(folder_fd, a, folder_fd, b, 0);
        rc = rc < 0 ? rc : weft_renameat(folder_fd, b, folder_fd, a, 0);
        if (rc < 0) {
            return rc;
        }
    }
}

FileTest(file_names, a_cancellation_at_any_moment_leaves_no_descriptor, 2)
{
    int before = count_descriptors();
    for (int round = 0; round < 5; round++) {
        WEFT_SCOPE(s);
        for (int i = 0; i < STORM_TASKS; i++) {
            wt_eq(weft_go(&s, move_about, &i), 0);
        }
        weft_sleep(WEFT_MS(round));
        weft_scope_cancel(&s, "enough");
        wt_eq(weft_scope_end(&s), -ECANCELED);
    }
    wt_eq(count_descriptors(), before);
    return 0;
}

/* --- as values -------------------------------------------------------------------------------- */

static int64_t result_of(weft_val val)
{
    return weft_val_await(val);
}

FileTest(file_names, values_do_the_same_several_at_once, 2)
{
    weft_val made[8];
    char names[8][16];
    for (int i = 0; i < 8; i++) {
        snprintf(names[i], sizeof names[i], "d%d", i);
        made[i] = weft_mkdirat_v(folder_fd, names[i], 0755);
    }
    for (int i = 0; i < 8; i++) {
        wt_eq(result_of(made[i]), 0);
    }
    wt_eq(result_of(weft_renameat_v(folder_fd, "d0", folder_fd, "e0", 0)), 0);
    wt_eq(result_of(weft_unlinkat_v(folder_fd, "d0", AT_REMOVEDIR)), -ENOENT);
    wt_eq(result_of(weft_unlinkat_v(folder_fd, "e0", AT_REMOVEDIR)), 0);
    int fd = (int)result_of(weft_openat_v(folder_fd, "f", O_RDWR | O_CREAT, 0644));
    wt_ge(fd, 0);
    wt_eq(result_of(weft_ftruncate_v(fd, 10)), 0);
    wt_eq(result_of(weft_fdatasync_v(fd)), 0);
    weft_close(fd);
    WEFT_SCOPE(s);
    weft_val dropped = weft_mkdirat_v(folder_fd, "dropped", 0755);
    weft_val_drop(dropped);
    wt_eq(weft_scope_end(&s), 0);
    struct statx about;
    int rc = weft_stat(in_folder("dropped"), &about);
    wt_true(rc == 0 || rc == -ENOENT, "%d: it had begun, or had not", rc);
    wt_eq(weft_within(0, (int)result_of(weft_mkdirat_v(folder_fd, "late", 0755))), -ETIME);
    wt_eq(weft_stat(in_folder("late"), &about), -ENOENT);
    return 0;
}

/* --- pipes ------------------------------------------------------------------------------------ */

FileTest(file_names, pipes_are_of_the_asked_size_and_close_on_exec, 1)
{
    int fds[2];
    wt_eq(weft_pipe(fds, 0), 0);
    wt_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    wt_eq(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
    wt_eq(weft_write(fds[1], "abc", 3), 3);
    char buffer[8];
    wt_eq(weft_read(fds[0], buffer, sizeof buffer), 3);
    close(fds[1]);
    wt_eq(weft_read(fds[0], buffer, sizeof buffer), 0);
    close(fds[0]);
    wt_eq(weft_pipe(fds, 8192), 0);
    wt_ge(fcntl(fds[0], F_GETPIPE_SZ), 8192);
    close(fds[0]);
    close(fds[1]);
    int before = count_descriptors();
    wt_lt(weft_pipe(fds, (size_t)1 << 40), 0);
    wt_eq(count_descriptors(), before);
    return 0;
}
