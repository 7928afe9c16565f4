/* dir.c: listing directories. A thread fills the buffer (getdents64); entries are then read out of it
 * without a call. The kernel's position in the directory is the descriptor's own, so a call that was
 * refused (cancelled before it began) loses nothing.
 *
 * Who may call: one task at a time. */
#include "pool/base/sys.h"
#include "src/io.h"
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <weft/file.h>

/* What libc's readdir asks for at a time. The kernel wants room for one entry at least: 280 bytes. */
#define WF_DIR_BYTES 32768

struct weft_dir {
    int fd;
    uint32_t at, filled; /* bytes of `bytes`: the next entry, the end */
    WF_ALIGNED(8) char bytes[WF_DIR_BYTES];
};

_Static_assert((int)WEFT_DIR_FIFO == DT_FIFO && (int)WEFT_DIR_CHAR == DT_CHR &&
                   (int)WEFT_DIR_DIR == DT_DIR && (int)WEFT_DIR_BLOCK == DT_BLK &&
                   (int)WEFT_DIR_FILE == DT_REG && (int)WEFT_DIR_LINK == DT_LNK &&
                   (int)WEFT_DIR_SOCKET == DT_SOCK && (int)WEFT_DIR_UNKNOWN == DT_UNKNOWN,
               "as documented");

int weft_dir_open(weft_dir **out, int dirfd, const char *path)
{
    *out = NULL;
    int fd = weft_openat(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return fd;
    }
    weft_dir *dir = wf_sys.alloc(WF_LINE, sizeof *dir);
    if (dir == NULL) {
        (void)wf_sys.close(fd);
        return -ENOMEM;
    }
    dir->fd = fd;
    dir->at = 0;
    dir->filled = 0;
    *out = dir;
    return 0;
}

/* Bytes, 0 at the end, or -errno. */
static long fill(weft_dir *dir)
{
    struct wf_thread_call call =
        WF_THREAD_CALL(SYS_getdents64, dir->fd, (long)dir->bytes, sizeof dir->bytes);
    long n = wf_thread_await(&call);
    if (n > 0) {
        dir->at = 0;
        dir->filled = (uint32_t)n;
    }
    return n;
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int weft_dir_next(weft_dir *dir, weft_dir_entry *out)
{
    for (;;) { /* ends: takes an entry each turn, or the directory's end */
        if (dir->at >= dir->filled) {
            long n = fill(dir);
            if (n <= 0) {
                return (int)n;
            }
        }
        const struct dirent64 *entry = (const void *)(dir->bytes + dir->at);
        dir->at += entry->d_reclen;
        if (!is_dots(entry->d_name)) {
            *out = (weft_dir_entry){
                .name = entry->d_name, .inode = entry->d_ino, .type = entry->d_type};
            return 1;
        }
    }
}

int weft_dir_rewind(weft_dir *dir)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    long rc = wf_sys.call(SYS_lseek, dir->fd, 0, SEEK_SET, 0, 0, 0);
    if (rc < 0) {
        return (int)rc;
    }
    dir->at = 0;
    dir->filled = 0;
    return 0;
}

int weft_dir_fd(const weft_dir *dir)
{
    return wf_forked ? -ENOSYS : dir->fd;
}

void weft_dir_close(weft_dir *dir)
{
    if (dir != NULL && !wf_forked) {
        (void)wf_sys.close(dir->fd);
        wf_sys.release(dir);
    }
}
