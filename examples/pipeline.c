/* pipeline: counts the lines, words and bytes of files, as wc does. A word is what stands between
 * white space.
 *
 *   pipeline [-j READERS] FILE...
 *
 * Two stages with a bounded channel between them:
 *
 *     weft_foreach: at most READERS files at once          COUNTERS tasks of a scope
 *     file --> read_file --\                             /--> count_blocks
 *     file --> read_file ---> channel of blocks, FIFO --+---> count_blocks
 *     ...                                                \--> ...
 *                  ^                                             |
 *                  +----------- semaphore: BLOCKS_MAX <----------+
 *
 * Blocks of a file are counted in any order by any counter, so a block says how the one before it
 * ended. Memory is bounded whatever the files are: a reader takes a permit of the semaphore for
 * each block that it fills, and the counter gives the permit back. When counting is slow, reading
 * waits: that is all there is to back-pressure.
 *
 * A file that cannot be read is reported, and the others are counted. Exit status: 0; 1 if
 * something failed; 2 for a wrong usage. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/weft.h>

#define READERS     4
#define READERS_MAX 1024
#define COUNTERS    4
#define BLOCKS_MAX  16 /* in memory at once */
#define BLOCK_BYTES ((size_t)256 * 1024)

struct file {
    const char *path;
    int result; /* of reading it: 0 or -errno */
    /* any counter */
    atomic_ulong lines;
    atomic_ulong words;
    atomic_ulong bytes;
};

struct block {
    struct file *file;
    bool in_word; /* the byte before this block belongs to a word */
    size_t used;
    char bytes[BLOCK_BYTES];
};

struct pipeline {
    struct file *files;
    size_t count;
    int readers;
    weft_chan *blocks; /* of struct block * */
    weft_sem room;     /* BLOCKS_MAX permits: a block that exists holds one */
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* --- first stage ------------------------------------------------------------------------------ */

/* Reads the next block of an open file and sends it on. 1; 0 at the end of the file; -errno. */
static int read_block(struct pipeline *p, struct file *file, int fd, bool *in_word)
{
    int rc = weft_sem_acquire(&p->room);
    if (rc < 0) {
        return rc;
    }
    struct block *block = malloc(sizeof *block);
    ssize_t n = block == NULL ? -ENOMEM : weft_read(fd, block->bytes, sizeof block->bytes);
    if (n > 0) {
        block->file = file;
        block->in_word = *in_word;
        block->used = (size_t)n;
        *in_word = !is_space(block->bytes[n - 1]);
        rc = weft_chan_send(p->blocks, &block);
        if (rc == 0) {
            return 1; /* block and permit are the counter's now */
        }
        n = rc;
    }
    free(block);
    weft_sem_release(&p->room, 1);
    return (int)n;
}

static int read_file(void *item, void *ctx)
{
    struct file *file = item;
    bool in_word = false;
    int fd = weft_open(file->path, O_RDONLY, 0);
    int rc = fd;
    if (fd >= 0) {
        do {
            rc = read_block(ctx, file, fd, &in_word);
        } while (rc > 0);
        weft_close(fd);
    }
    file->result = rc;
    return rc;
}

/* --- second stage ----------------------------------------------------------------------------- */

static void count_block(const struct block *block)
{
    unsigned long lines = 0;
    unsigned long words = 0;
    bool in_word = block->in_word;
    for (size_t i = 0; i < block->used; i++) {
        bool space = is_space(block->bytes[i]);
        lines += block->bytes[i] == '\n';
        words += !space && !in_word;
        in_word = !space;
    }
    /* relaxed: sums, read after the counters have been joined */
    atomic_fetch_add_explicit(&block->file->lines, lines, memory_order_relaxed);
    atomic_fetch_add_explicit(&block->file->words, words, memory_order_relaxed);
    atomic_fetch_add_explicit(&block->file->bytes, block->used, memory_order_relaxed);
}

WEFT_TASK(count_blocks, struct pipeline *)
{
    struct pipeline *p = *arg;
    struct block *block = NULL;
    int rc;
    while ((rc = weft_chan_recv(p->blocks, &block)) > 0) { /* 0: closed and empty */
        count_block(block);
        free(block);
        weft_sem_release(&p->room, 1);
    }
    return rc;
}

/* --- both ------------------------------------------------------------------------------------- */

static int run_stages(struct pipeline *p)
{
    WEFT_SCOPE(counters);
    int rc = 0;
    for (int i = 0; i < COUNTERS && rc == 0; i++) {
        rc = weft_go(&counters, count_blocks, &p);
    }
    if (rc == 0) {
        /* What could not be read stands in each file's result, so it is no failure of ours. */
        (void)weft_foreach(read_file, p, .items = p->files, .count = p->count,
                           .stride = sizeof *p->files, .max = p->readers,
                           .on_error = WEFT_CONTINUE);
    }
    weft_chan_close(p->blocks, 0);
    int ended = weft_scope_end(&counters);
    return rc < 0 ? rc : ended;
}

static int root(void *arg)
{
    struct pipeline *p = arg;
    int rc = weft_chan_new(&p->blocks, sizeof(struct block *), BLOCKS_MAX);
    if (rc < 0) {
        return rc;
    }
    weft_sem_init(&p->room, BLOCKS_MAX, BLOCKS_MAX);
    rc = run_stages(p);
    weft_sem_fini(&p->room);
    weft_chan_free(p->blocks);
    return rc;
}

/* Prints what was counted. Returns whether every file was read. */
static bool print_counts(const struct pipeline *p)
{
    bool all = true;
    unsigned long lines = 0;
    unsigned long words = 0;
    unsigned long bytes = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct file *file = &p->files[i];
        if (file->result < 0) {
            fprintf(stderr, "pipeline: %s: %s\n", file->path, strerror(-file->result));
            all = false;
            continue;
        }
        printf("%8lu %8lu %10lu %s\n", file->lines, file->words, file->bytes, file->path);
        lines += file->lines;
        words += file->words;
        bytes += file->bytes;
    }
    if (p->count > 1) {
        printf("%8lu %8lu %10lu total\n", lines, words, bytes);
    }
    return all;
}

static int usage(const char *why)
{
    fprintf(stderr, "pipeline: %s (usage: pipeline [-j READERS] FILE...)\n", why);
    return 2;
}

int main(int argc, char **argv)
{
    struct pipeline p = {.readers = READERS};
    int option;
    opterr = 0;
    while ((option = getopt(argc, argv, "j:")) != -1) {
        char *end = NULL;
        long readers = option == 'j' ? strtol(optarg, &end, 10) : 0;
        if (readers < 1 || readers > READERS_MAX || *end != '\0') {
            return usage(option == 'j' ? "READERS is a number from 1 to 1024" : "unknown option");
        }
        p.readers = (int)readers;
    }
    if (optind == argc) {
        return usage("no FILE given");
    }
    p.count = (size_t)(argc - optind);
    p.files = calloc(p.count, sizeof *p.files);
    if (p.files == NULL) {
        fprintf(stderr, "pipeline: out of memory\n");
        return 1;
    }
    for (size_t i = 0; i < p.count; i++) {
        p.files[i].path = argv[optind + (int)i];
        p.files[i].result = -ECANCELED; /* until it has been read */
    }
    int rc = weft_run(root, &p);
    bool all = print_counts(&p);
    free(p.files);
    return rc < 0 || !all || fflush(stdout) != 0;
}
