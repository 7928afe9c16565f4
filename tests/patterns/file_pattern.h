/* file_pattern.h: a folder of its own for each test on files, descriptors counted. Who uses it
 * calls folder_open first and folder_close last. */
#ifndef FILE_PATTERN_H
#define FILE_PATTERN_H

#include "pattern.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/file.h>
#include <weft/io.h>

static char folder[64];
static int folder_fd;

static inline void folder_open(void)
{
    strcpy(folder, "/tmp/weft-test-XXXXXX");
    wt_true(mkdtemp(folder) != NULL);
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    wt_ge(folder_fd, 0);
}

static inline int remove_one(const char *path, const struct stat *about, int flag,
                             struct FTW *where)
{
    (void)about, (void)flag, (void)where;
    return remove(path);
}

static inline void folder_close(void)
{
    close(folder_fd);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Of the process, by looking at /proc. */
static inline int count_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    wt_true(dir != NULL);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

/* A path in the folder; of the last 8 made, valid. */
static inline const char *in_folder(const char *name)
{
    static char paths[8][160];
    static atomic_uint next;
    char *path = paths[atomic_fetch_add(&next, 1) % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* TaskTest whose body has a folder. */
#define FileTest(suite, name, workers_, ...)                                    \
    static int suite##_##name##_body(void);                                     \
    static int suite##_##name##_root(void *arg)                                 \
    {                                                                           \
        (void)arg;                                                              \
        return suite##_##name##_body();                                         \
    }                                                                           \
    Test(suite, name, .init = folder_open, .fini = folder_close, ##__VA_ARGS__) \
    {                                                                           \
        wt_eq(weft_run(suite##_##name##_root, NULL, .workers = workers_), 0);   \
    }                                                                           \
    static int suite##_##name##_body(void)

#endif
