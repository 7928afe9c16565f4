/* test_file_dir.c: listing directories. */
#include "file_pattern.h"
#include <errno.h>

#define MANY    400 /* names of so many letters: several buffers of the library's */
#define LETTERS 200

static void touch(const char *name)
{
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    wt_ge(fd, 0);
    close(fd);
}

static void touch_many(void)
{
    for (int i = 0; i < MANY; i++) {
        char name[LETTERS + 1];
        snprintf(name, sizeof name, "file-%0*d", LETTERS - (int)strlen("file-"), i);
        touch(name);
    }
}

FileTest(file_dir, every_entry_is_told_once_whatever_their_number, 2)
{
    touch_many();
    weft_dir *dir;
    wt_eq(weft_dir_open(&dir, folder_fd, "."), 0);
    static char seen[MANY];
    for (int pass = 0; pass < 2; pass++) {
        memset(seen, 0, sizeof seen);
        weft_dir_entry entry;
        int rc;
        int count = 0;
        while ((rc = weft_dir_next(dir, &entry)) > 0) {
            int i = atoi(entry.name + strlen("file-"));
            wt_eq(strlen(entry.name), LETTERS, "%s", entry.name);
            wt_lt(i, MANY);
            wt_eq(seen[i], 0);
            seen[i] = 1;
            count++;
        }
        wt_eq(rc, 0);
        wt_eq(count, MANY);
        wt_eq(weft_dir_next(dir, &entry), 0);
        wt_eq(weft_dir_rewind(dir), 0);
    }
    /* and from the middle of a buffer */
    weft_dir_entry entry;
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_dir_next(dir, &entry), 1);
    }
    wt_eq(weft_dir_rewind(dir), 0);
    int count = 0;
    while (weft_dir_next(dir, &entry) > 0) {
        count++;
    }
    wt_eq(count, MANY);
    weft_dir_close(dir);
    return 0;
}

FileTest(file_dir, entries_have_types_and_lead_on_by_the_descriptor, 1)
{
    touch("file");
    wt_eq(mkdirat(folder_fd, "dir", 0755), 0);
    wt_eq(symlinkat("file", folder_fd, "link"), 0);
    wt_eq(mkfifoat(folder_fd, "fifo", 0644), 0);
    weft_dir *dir;
    wt_eq(weft_dir_open(&dir, AT_FDCWD, folder), 0);
    weft_dir_entry entry;
    int count = 0;
    while (weft_dir_next(dir, &entry) > 0) {
        struct statx about;
        wt_eq(weft_statx(weft_dir_fd(dir), entry.name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS,
                         &about),
              0);
        wt_eq(about.stx_ino, entry.inode, "%s", entry.name);
        if (entry.type != WEFT_DIR_UNKNOWN) {
            wt_eq(entry.type, (about.stx_mode & S_IFMT) >> 12, "%s", entry.name);
        }
        count++;
    }
    wt_eq(count, 4);
    weft_dir_close(dir);
    return 0;
}

FileTest(file_dir, an_empty_directory_has_no_entries, 1)
{
    weft_dir *dir;
    weft_dir_entry entry;
    wt_eq(weft_dir_open(&dir, folder_fd, "."), 0);
    wt_eq(weft_dir_next(dir, &entry), 0);
    weft_dir_close(dir);
    weft_dir_close(NULL);
    return 0;
}

FileTest(file_dir, what_is_no_directory_is_refused, 1)
{
    touch("file");
    int before = count_descriptors();
    weft_dir *dir;
    wt_eq(weft_dir_open(&dir, folder_fd, "none"), -ENOENT);
    wt_true(dir == NULL);
    wt_eq(weft_dir_open(&dir, folder_fd, "file"), -ENOTDIR);
    wt_eq(weft_dir_open(&dir, -1, "x"), -EBADF);
    wt_eq(count_descriptors(), before);
    return 0;
}

FileTest(file_dir, a_cancelled_listing_goes_on_where_it_was, 2)
{
    touch_many();
    weft_dir *dir;
    weft_dir_entry entry;
    wt_eq(weft_dir_open(&dir, folder_fd, "."), 0);
    int count = 0;
    for (;;) { /* ends: all entries */
        WEFT_SCOPE(s);
        if (count % 50 == 0) {
            weft_scope_cancel(&s, "now and then");
        }
        int rc = weft_dir_next(dir, &entry);
        (void)weft_scope_end(&s);
        if (rc == -ECANCELED) {
            wt_eq(weft_dir_next(dir, &entry), count < MANY ? 1 : 0);
            rc = count < MANY ? 1 : 0;
        }
        if (rc == 0) {
            break;
        }
        wt_eq(rc, 1);
        count++;
    }
    wt_eq(count, MANY);
    weft_dir_close(dir);
    return 0;
}

FileTest(file_dir, a_directory_that_is_gone_has_no_entries, 1)
{
    wt_eq(mkdirat(folder_fd, "d", 0755), 0);
    weft_dir *dir;
    weft_dir_entry entry;
    wt_eq(weft_dir_open(&dir, folder_fd, "d"), 0);
    wt_eq(unlinkat(folder_fd, "d", AT_REMOVEDIR), 0);
    int rc = weft_dir_next(dir, &entry);
    wt_true(rc == 0 || rc == -ENOENT, "%d", rc);
    weft_dir_close(dir);
    return 0;
}
