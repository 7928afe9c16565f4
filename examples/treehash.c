/* treehash: SHA-256 of every regular file in a tree, many at a time.
 *
 *   treehash [-j SLOTS] DIR
 *     -j  files that are read at once; 16
 *
 * Prints, byte for byte, what this prints:
 *
 *   find DIR -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
 *
 * Does not follow symbolic links. What cannot be read is reported on stderr, and the rest is done.
 * On a terminal, stderr shows progress. Exit status: 0; 1 if something could not be read or
 * written; 2 for a wrong usage.
 *
 * Three parts, on one struct tree:
 *
 *   walk    one level of the tree after the other: all directories of a level, in batches, by
 *           weft_foreach. Reading a directory may wait for the disk, and there is no asynchronous
 *           way to do it, so a batch is read under weft_blocking. No recursion: a tree may be
 *           deeper than any stack.
 *   sort    by path.
 *   hash    SLOTS tasks, each with a buffer and a digest, take file after file in order. Whoever
 *           finishes one prints all that is ready and next in order, unless somebody is printing.
 *           So output streams, and nobody waits for a slow file but what comes after it.
 *
 * Memory: a path and 40 bytes per file; paths of one level's directories; 64 KiB per slot. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/weft.h>

#define SLOTS             16 /* enough to keep a disk busy */
#define SLOTS_MAX         1024
#define READ_BYTES        ((size_t)64 * 1024) /* on the stack of a slot, which has 180 KiB */
#define OUTPUT_BYTES      ((size_t)64 * 1024)
#define DIGEST_BYTES      32
#define BATCH             16 /* directories per blocking call, which costs as much as reading one */
#define PROGRESS_INTERVAL WEFT_MS(200)

#define RESULT_PENDING 1

/* A path that was found. Of a directory, only the path is used. */
struct entry {
    /* RESULT_PENDING -> 0 or -errno [hash_files], with release: the digest is valid */
    atomic_int result;
    unsigned char digest[DIGEST_BYTES];
    char path[]; /* NUL-terminated */
};

struct list {
    struct entry **items;
    size_t count;
    size_t room;
};

struct tree {
    /* immutable after start */
    const char *root;
    int slots;
    bool progress;
    EVP_MD *sha256;

    /* under `lock`, which is never held over a call that may suspend */
    pthread_mutex_t lock;
    struct list files;
    struct list directories; /* of the next level */

    /* any slot */
    atomic_size_t next; /* file to hash; at the end above files.count */
    atomic_size_t done; /* relaxed: for the progress alone */
    atomic_bool failed;

    /* who holds the permit of `printing` */
    weft_sem printing;
    size_t printed; /* files whose line is in the output */
    size_t used;
    char output[OUTPUT_BYTES];
};

/* Any thread. One line, whole. */
static void report(struct tree *tree, const char *path, int rc)
{
    atomic_store(&tree->failed, true);
    fprintf(stderr, "%streehash: %s: %s\n", tree->progress ? "\r\033[K" : "", path, strerror(-rc));
}

/* --- lists ------------------------------------------------------------------------------------ */

static struct entry *entry_new(const char *directory, const char *name)
{
    size_t before = strlen(directory);
    size_t bytes = strlen(name) + 1;
    const char *slash = before > 0 && *name != '\0' && directory[before - 1] != '/' ? "/" : "";
    struct entry *entry = malloc(sizeof *entry + before + 1 + bytes);
    if (entry != NULL) {
        atomic_init(&entry->result, RESULT_PENDING);
        memcpy(entry->path, directory, before);
        memcpy(entry->path + before, slash, strlen(slash));
        memcpy(entry->path + before + strlen(slash), name, bytes);
    }
    return entry;
}

/* Makes room for n more. 0 or -ENOMEM. */
static int list_reserve(struct list *list, size_t n)
{
    if (list->room - list->count >= n) {
        return 0;
    }
    size_t room = list->room * 2 > list->count + n ? list->room * 2 : list->count + n;
    struct entry **items = reallocarray(list->items, room, sizeof *items);
    if (items == NULL) {
        return -ENOMEM;
    }
    list->items = items;
    list->room = room;
    return 0;
}

static int list_add(struct list *list, const char *directory, const char *name)
{
    int rc = list_reserve(list, 1);
    struct entry *entry = rc == 0 ? entry_new(directory, name) : NULL;
    if (entry == NULL) {
        return -ENOMEM;
    }
    list->items[list->count++] = entry;
    return 0;
}

/* Moves all of `from` to the end of `to`. 0; -ENOMEM: nothing was moved. */
static int list_move(struct list *to, struct list *from)
{
    int rc = list_reserve(to, from->count);
    if (rc == 0 && from->count > 0) {
        memcpy(to->items + to->count, from->items, from->count * sizeof *from->items);
        to->count += from->count;
        from->count = 0;
    }
    return rc;
}

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct list){0};
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp((*(struct entry *const *)a)->path, (*(struct entry *const *)b)->path);
}

/* --- walk ------------------------------------------------------------------------------------- */

/* open(2) for a path of any length: one that exceeds PATH_MAX is opened in pieces. May block. A
 * descriptor or -errno. (Not in a task: errno is a thread's, and a task may change threads.) */
static int open_path(const char *path, int flags)
{
    int at = AT_FDCWD;
    int fd;
    while ((fd = openat(at, path, flags | O_CLOEXEC)) < 0 && errno == ENAMETOOLONG &&
           strlen(path) >= PATH_MAX) {
        char piece[PATH_MAX];
        const char *slash = memrchr(path, '/', PATH_MAX - 1);
        if (slash == NULL || slash == path) {
            break;
        }
        memcpy(piece, path, (size_t)(slash - path));
        piece[slash - path] = '\0';
        int next = openat(at, piece, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (at != AT_FDCWD) {
            int why = errno;
            close(at);
            errno = why;
        }
        at = next;
        path = slash + 1;
        if (at < 0) {
            return -errno;
        }
    }
    int rc = fd < 0 ? -errno : fd;
    if (at != AT_FDCWD) {
        close(at);
    }
    return rc;
}

struct batch {
    struct tree *tree;
    struct entry **directories;
    size_t count;
    struct list files;
    struct list found; /* directories */
};

/* Files and directories in an open directory; DIR is closed by the caller. 0, -ENOMEM; what else
 * fails is reported. */
static int read_entries(struct batch *batch, DIR *dir, const char *path)
{
    for (;;) { /* ends with the directory */
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0) {
                report(batch->tree, path, -errno);
            }
            return 0;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        bool is_file = entry->d_type == DT_REG;
        bool is_directory = entry->d_type == DT_DIR;
        if (entry->d_type == DT_UNKNOWN) { /* the filesystem does not say */
            struct stat st;
            if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                report(batch->tree, path, -errno);
                continue;
            }
            is_file = S_ISREG(st.st_mode);
            is_directory = S_ISDIR(st.st_mode);
        }
        struct list *list = is_file ? &batch->files : is_directory ? &batch->found : NULL;
        int rc = list == NULL ? 0 : list_add(list, path, entry->d_name);
        if (rc < 0) {
            return rc;
        }
    }
}

/* Under weft_blocking. */
static int read_directories(void *arg)
{
    struct batch *batch = arg;
    int rc = 0;
    for (size_t i = 0; i < batch->count && rc == 0; i++) {
        const char *path = batch->directories[i]->path;
        int fd = open_path(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        if (dir == NULL) {
            report(batch->tree, path, fd < 0 ? fd : -errno);
            if (fd >= 0) {
                close(fd);
            }
            continue;
        }
        rc = read_entries(batch, dir, path);
        closedir(dir);
    }
    return rc;
}

struct level {
    struct tree *tree;
    struct list directories;
};

/* `item` is the first of up to BATCH directories of the level. */
static int walk_batch(void *item, void *ctx)
{
    struct level *level = ctx;
    struct tree *tree = level->tree;
    struct batch batch = {.tree = tree, .directories = item};
    size_t left = (size_t)(level->directories.items + level->directories.count - batch.directories);
    batch.count = left < BATCH ? left : BATCH;
    int rc = weft_blocking(read_directories, &batch);
    if (rc == 0) {
        pthread_mutex_lock(&tree->lock);
        rc = list_move(&tree->files, &batch.files);
        rc = rc == 0 ? list_move(&tree->directories, &batch.found) : rc;
        pthread_mutex_unlock(&tree->lock);
    }
    list_free(&batch.files);
    list_free(&batch.found);
    return rc;
}

/* All of the level below which there may be more: the next level is in tree->directories
 * afterwards. */
static int walk_level(struct level *level)
{
    return weft_foreach(walk_batch, level, .items = level->directories.items,
                        .count = (level->directories.count + BATCH - 1) / BATCH,
                        .stride = BATCH * sizeof *level->directories.items,
                        .max = level->tree->slots);
}

/* Under weft_blocking: the root itself, which need not be a directory. As find does, a link to one
 * is not followed. */
static int look_at_root(void *arg)
{
    struct tree *tree = arg;
    struct stat st;
    if (lstat(tree->root, &st) < 0) {
        report(tree, tree->root, -errno);
        return 0;
    }
    struct list *list = S_ISREG(st.st_mode)   ? &tree->files
                        : S_ISDIR(st.st_mode) ? &tree->directories
                                              : NULL;
    return list == NULL ? 0 : list_add(list, tree->root, "");
}

static int walk(struct tree *tree)
{
    int rc = weft_blocking(look_at_root, tree);
    while (rc == 0 && tree->directories.count > 0) {
        struct level level = {.tree = tree, .directories = tree->directories};
        tree->directories = (struct list){0};
        rc = walk_level(&level);
        list_free(&level.directories);
    }
    list_free(&tree->directories);
    return rc;
}

/* --- output: with the permit of `printing` ---------------------------------------------------- */

static int flush_output(struct tree *tree)
{
    size_t from = 0;
    while (from < tree->used) {
        ssize_t n = weft_write(STDOUT_FILENO, tree->output + from, tree->used - from);
        if (n < 0) {
            return weft_fail((int)n, "standard output: %s", strerror((int)-n));
        }
        from += (size_t)n;
    }
    tree->used = 0;
    return 0;
}

static int put(struct tree *tree, char c)
{
    int rc = tree->used == OUTPUT_BYTES ? flush_output(tree) : 0;
    if (rc == 0) {
        tree->output[tree->used++] = c;
    }
    return rc;
}

/* The character after a backslash that stands for c in a name, or 0 if c stands for itself. */
static char escape_of(char c)
{
    return c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\\' ? '\\' : 0;
}

/* sha256sum's line: the digest, two spaces, the path; or, if the path holds a character that has to
 * be escaped, a backslash and then the same with the path escaped. */
static int put_line(struct tree *tree, const struct entry *file)
{
    static const char hex[] = "0123456789abcdef";
    int rc = strpbrk(file->path, "\n\r\\") != NULL ? put(tree, '\\') : 0;
    for (int i = 0; i < DIGEST_BYTES && rc == 0; i++) {
        rc = put(tree, hex[file->digest[i] >> 4]);
        rc = rc == 0 ? put(tree, hex[file->digest[i] & 15]) : rc;
    }
    for (const char *c = "  "; *c != '\0' && rc == 0; c++) {
        rc = put(tree, *c);
    }
    for (const char *c = file->path; *c != '\0' && rc == 0; c++) {
        char escaped = escape_of(*c);
        rc = escaped != 0 ? put(tree, '\\') : 0;
        rc = rc == 0 ? put(tree, escaped != 0 ? escaped : *c) : rc;
    }
    return rc == 0 ? put(tree, '\n') : rc;
}

/* Prints what is ready and next in order, unless another task is doing that. What becomes ready
 * after the printer has looked waits for the next caller; the last one is hash_all. */
static int print_ready(struct tree *tree)
{
    if (weft_sem_try(&tree->printing) < 0) {
        return 0;
    }
    int rc = 0;
    for (; tree->printed < tree->files.count && rc == 0; tree->printed++) {
        const struct entry *file = tree->files.items[tree->printed];
        int result = atomic_load_explicit(&file->result, memory_order_acquire);
        if (result == RESULT_PENDING) {
            break;
        }
        rc = result == 0 ? put_line(tree, file) : 0;
    }
    weft_sem_release(&tree->printing, 1);
    return rc;
}

/* --- hash ------------------------------------------------------------------------------------- */

struct opening {
    const char *path;
    int flags;
};

static int open_blocking(void *arg)
{
    const struct opening *opening = arg;
    return open_path(opening->path, opening->flags);
}

static int open_file(const char *path)
{
    struct opening opening = {.path = path, .flags = O_RDONLY | O_NOFOLLOW | O_NOCTTY};
    int fd = weft_open(path, opening.flags, 0);
    return fd == -ENAMETOOLONG ? weft_blocking(open_blocking, &opening) : fd;
}

/* Reads to the end. 0 or -errno. */
static int hash_contents(int fd, EVP_MD_CTX *digest, unsigned char *buffer)
{
    int64_t offset = 0;
    ssize_t n;
    while ((n = weft_pread(fd, buffer, READ_BYTES, offset)) > 0) {
        if (EVP_DigestUpdate(digest, buffer, (size_t)n) != 1) {
            return -EIO;
        }
        offset += n;
    }
    return (int)n;
}

static int hash_file(const struct tree *tree, struct entry *file, EVP_MD_CTX *digest,
                     unsigned char *buffer)
{
    int fd = open_file(file->path);
    if (fd < 0) {
        return fd;
    }
    int rc = EVP_DigestInit_ex(digest, tree->sha256, NULL) == 1 ? hash_contents(fd, digest, buffer)
                                                                : -EIO;
    weft_close(fd);
    return rc == 0 && EVP_DigestFinal_ex(digest, file->digest, NULL) != 1 ? -EIO : rc;
}

/* A slot: takes file after file. */
WEFT_TASK(hash_files, struct tree *)
{
    struct tree *tree = *arg;
    unsigned char buffer[READ_BYTES];
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    int rc = digest != NULL ? 0 : -ENOMEM;
    size_t i;
    while (rc == 0 && (i = atomic_fetch_add(&tree->next, 1)) < tree->files.count) {
        struct entry *file = tree->files.items[i];
        int result = hash_file(tree, file, digest, buffer);
        if (result == -ECANCELED) { /* another slot could not write */
            rc = result;
            break;
        }
        if (result < 0) {
            report(tree, file->path, result);
        }
        atomic_store_explicit(&file->result, result, memory_order_release);
        atomic_fetch_add_explicit(&tree->done, 1, memory_order_relaxed);
        rc = print_ready(tree);
    }
    EVP_MD_CTX_free(digest);
    return rc;
}

static int hash_all(struct tree *tree)
{
    WEFT_SCOPE(slots);
    int rc = 0;
    for (int i = 0; i < tree->slots && (size_t)i < tree->files.count && rc == 0; i++) {
        rc = weft_go(&slots, hash_files, &tree);
    }
    int ended = weft_scope_end(&slots);
    rc = rc < 0 ? rc : ended;
    rc = rc == 0 ? print_ready(tree) : rc;
    return rc == 0 ? flush_output(tree) : rc;
}

/* --- all -------------------------------------------------------------------------------------- */

WEFT_TASK(show_progress, struct tree *)
{
    struct tree *tree = *arg;
    while (weft_sleep(PROGRESS_INTERVAL) == 0) {
        pthread_mutex_lock(&tree->lock);
        size_t found = tree->files.count;
        pthread_mutex_unlock(&tree->lock);
        fprintf(stderr, "\r\033[Ktreehash: %zu of %zu files", atomic_load(&tree->done), found);
    }
    fprintf(stderr, "\r\033[K");
    return 0;
}

static int hash_tree(void *arg)
{
    struct tree *tree = arg;
    WEFT_SCOPE(watching);
    int rc = tree->progress ? weft_go(&watching, show_progress, &tree) : 0;
    rc = rc == 0 ? walk(tree) : rc;
    if (rc == 0 && tree->files.count > 0) {
        qsort(tree->files.items, tree->files.count, sizeof *tree->files.items, compare_paths);
        rc = hash_all(tree);
    }
    if (rc < 0) {
        fprintf(stderr, "%streehash: %s\n", tree->progress ? "\r\033[K" : "", weft_error_text(rc));
        atomic_store(&tree->failed, true);
    }
    weft_scope_cancel(&watching, "done");
    weft_scope_end(&watching);
    return 0; /* all failures have been reported, and are in tree->failed */
}

static int usage(const char *why, const char *what)
{
    fprintf(stderr, "treehash: %s%s (usage: treehash [-j SLOTS] DIR)\n", why, what);
    return 2;
}

int main(int argc, char **argv)
{
    static struct tree tree = {.slots = SLOTS, .lock = PTHREAD_MUTEX_INITIALIZER};
    long workers = sysconf(_SC_NPROCESSORS_ONLN);
    int option;
    opterr = 0;
    while ((option = getopt(argc, argv, "j:")) != -1) {
        char *end = NULL;
        if (option != 'j') {
            return usage("no such option, or its value is missing: -",
                         (char[]){(char)optopt, '\0'});
        }
        long slots = strtol(optarg, &end, 10);
        if (slots < 1 || slots > SLOTS_MAX || *end != '\0') {
            return usage("SLOTS is a number from 1 to 1024, not ", optarg);
        }
        tree.slots = (int)slots;
    }
    if (argc - optind != 1) {
        return usage(optind == argc ? "no DIR given" : "more than one DIR given: ",
                     optind == argc ? "" : argv[optind + 1]);
    }
    tree.root = argv[optind];
    tree.progress = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
    tree.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (tree.sha256 == NULL) {
        fprintf(stderr, "treehash: libcrypto has no SHA-256 here\n");
        return 1;
    }
    weft_sem_init(&tree.printing, 1, 1);
    int rc = weft_run(hash_tree, &tree, .workers = tree.slots < workers ? tree.slots : 0);
    weft_sem_fini(&tree.printing);
    list_free(&tree.files);
    EVP_MD_free(tree.sha256);
    return rc < 0 || tree.failed;
}
