/* dir.c: listing directories. A thread fills the buffer (getdents64); entries are then read out of
 * it without a call. The kernel's position in the directory is the descriptor's own, so a call that
 * was refused (cancelled before it began) loses nothing.
 *
 * Who may call: one task at a time. */
#include "pool/base/sys.h"
#include "src/io_value.h"
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <weft/file.h>

/* What libc's readdir asks for at a time. The kernel wants room for one entry at least: 280
 * bytes. */
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

static struct wf_thread_call fill_call(weft_dir *dir)
{
    return WF_THREAD_CALL(SYS_getdents64, WF_FD_ARG(0), dir->fd, (long)dir->bytes,
                          sizeof dir->bytes);
}

/* What the call gave: bytes, 0 at the end, or -errno. */
static long filled(weft_dir *dir, long n)
{
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

/* The next entry in the buffer: 1; 0: there is none left. */
static int take_entry(weft_dir *dir, weft_dir_entry *out)
{
    while (dir->at < dir->filled) { /* ends: takes an entry each turn */
        const struct dirent64 *entry = (const void *)(dir->bytes + dir->at);
        dir->at += entry->d_reclen;
        if (!is_dots(entry->d_name)) {
            *out = (weft_dir_entry){
                .name = entry->d_name, .inode = entry->d_ino, .type = entry->d_type};
            return 1;
        }
    }
    return 0;
}

int weft_dir_next(weft_dir *dir, weft_dir_entry *out)
{
    while (take_entry(dir, out) == 0) { /* ends: with the directory */
        struct wf_thread_call call = fill_call(dir);
        long n = filled(dir, wf_thread_await(&call));
        if (n <= 0) {
            return (int)n;
        }
    }
    return 1;
}

/* --- as a value ------------------------------------------------------------------------------- */

/* In arguments that getdents64 has not: what it is for. */
#define ARG_DIR 3
#define ARG_OUT 4

static ssize_t next_finish(struct wf_call *call)
{
    struct wf_thread_call *thread = call->object;
    weft_dir *dir = (weft_dir *)thread->args[ARG_DIR]; // NOLINT(performance-no-int-to-ptr)
    weft_dir_entry *out =
        (weft_dir_entry *)thread->args[ARG_OUT]; // NOLINT(performance-no-int-to-ptr)
    long n = filled(dir, thread->result);
    const struct wf_fiber *self = wf_self();
    if (n <= 0 || self == NULL || self->env == NULL) { /* nobody wants it: wf_value_discard */
        return n;
    }
    return take_entry(dir, out) == 0 ? -EAGAIN : 1;
}

static bool next_again(struct wf_call *call, ssize_t result);

static const struct wf_wait_ops next_ops = {.cancel = wf_thread_cancel,
                                            .finish = next_finish,
                                            .again = next_again,
                                            .is_wide = true,
                                            .name = "a directory, read on a thread"};

/* -EAGAIN: there was nothing but dots. */
static bool next_again(struct wf_call *call, ssize_t result)
{
    if (result != -EAGAIN) {
        return false;
    }
    wf_thread_begin_again(call, &next_ops);
    return true;
}

weft_val weft_dir_next_v_(weft_dir *dir, weft_dir_entry *out, const weft_place *place)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return wf_val_done(rc, place);
    }
    if (take_entry(dir, out) == 1) {
        return wf_val_done(1, place);
    }
    struct wf_thread_call call = fill_call(dir);
    call.args[ARG_DIR] = (long)dir;
    call.args[ARG_OUT] = (long)out;
    return wf_thread_v_ops(&call, &next_ops, place);
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
