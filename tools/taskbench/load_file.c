/* load_file.c: a file that is in the page cache: read at random places, copied, opened. */
#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <weft/file.h>
#include <weft/io.h>

#define BLOCK_BYTES 4096
#define WORDS       (BLOCK_BYTES / sizeof(uint64_t))
#define READERS_MAX 256
#define READS_ROUND 100

/* One task's reads. */
struct reader {
    int fd;
    uint64_t blocks; /* in the file */
    uint64_t random;
    uint64_t reads; /* to do */
    uint64_t mismatches;
    weft_task task;
};

struct library {
    int fd;
    struct reader readers[READERS_MAX];
};

/* Word number `word` of block number `block`. */
static uint64_t content(uint64_t block, uint64_t word)
{
    return (block * WORDS + word) * 0x9e3779b97f4a7c15;
}

/* xorshift64*; the state is never zero. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1d;
}

/* First, last and two words between: a block at the wrong place or not filled to its end shows;
 * comparing all of it would cost as much as the read. */
static bool is_block(const uint64_t *words, uint64_t block)
{
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t at = i * (WORDS - 1) / 3;
        if (words[at] != content(block, at)) {
            return false;
        }
    }
    return true;
}

typedef ssize_t read_fn(int fd, void *buffer, size_t bytes, int64_t offset);

static ssize_t read_plain(int fd, void *buffer, size_t bytes, int64_t offset)
{
    ssize_t n = pread(fd, buffer, bytes, offset);
    return n < 0 ? -errno : n;
}

static int read_blocks(struct reader *r, read_fn *read)
{
    uint64_t words[WORDS];
    for (uint64_t i = 0; i < r->reads; i++) {
        uint64_t block = next_random(&r->random) % r->blocks;
        ssize_t n = read(r->fd, words, sizeof words, (int64_t)(block * BLOCK_BYTES));
        if (n < 0) {
            return (int)n;
        }
        r->mismatches += n != sizeof words || !is_block(words, block);
    }
    return 0;
}

static int read_with_weft(void *arg)
{
    return read_blocks(arg, weft_pread);
}

static void prepare(struct tb_trial *trial, int reader, uint64_t reads)
{
    struct library *library = trial->state;
    library->readers[reader] = (struct reader){
        .fd = library->fd,
        .blocks = trial->params[1] * (1 << 20) / BLOCK_BYTES,
        .random = (trial->seed + 1) * 0x9e3779b97f4a7c15 + (uint64_t)reader + 1,
        .reads = reads,
    };
}

static int count_mismatches(struct tb_trial *trial, int readers, int rc)
{
    const struct library *library = trial->state;
    uint64_t mismatches = 0;
    for (int i = 0; i < readers; i++) {
        mismatches += library->readers[i].mismatches;
    }
    return mismatches ? tb_wrong(trial, "%llu blocks were not what the file contains",
                                 (unsigned long long)mismatches)
                      : rc;
}

/* One reader is the sample's own task: nothing is started. */
static int read_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct library *library = trial->state;
    int n = (int)trial->params[0], rc = 0;
    for (int i = 0; i < n; i++) {
        uint64_t all = rounds * READS_ROUND, from = all * (uint64_t)i / (uint64_t)n;
        prepare(trial, i, all * (uint64_t)(i + 1) / (uint64_t)n - from);
    }
    for (int i = 1; i < n; i++) {
        weft_spawn(&library->readers[i].task, read_with_weft, &library->readers[i]);
    }
    rc = read_with_weft(&library->readers[0]);
    for (int i = 1; i < n; i++) {
        int rc_one = weft_await(&library->readers[i].task);
        rc = rc < 0 ? rc : rc_one;
    }
    return count_mismatches(trial, n, rc);
}

static int read_reference(struct tb_trial *trial, uint64_t rounds)
{
    struct library *library = trial->state;
    prepare(trial, 0, rounds * READS_ROUND);
    return count_mismatches(trial, 1, read_blocks(&library->readers[0], read_plain));
}

/* --- the file --------------------------------------------------------------------------------- */

static int write_file(int fd, uint64_t blocks)
{
    uint64_t words[WORDS];
    for (uint64_t block = 0; block < blocks; block++) {
        for (uint64_t i = 0; i < WORDS; i++) {
            words[i] = content(block, i);
        }
        if (write(fd, words, sizeof words) != (ssize_t)sizeof words) {
            return -1;
        }
    }
    return 0;
}

/* Without a name from the start: nothing is left behind, however this process ends. */
static int open_file(void)
{
    char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%.200s/taskbench-XXXXXX", folder && folder[0] ? folder : "/tmp");
    int fd = mkstemp(path);
    if (fd >= 0) {
        unlink(path);
    }
    return fd;
}

static int read_open(struct tb_trial *trial)
{
    struct library *library = trial->state = calloc(1, sizeof *library);
    if (!library) {
        return tb_skip(trial, "no memory for the readers");
    }
    trial->ops_per_round = READS_ROUND;
    library->fd = open_file();
    if (library->fd < 0 ||
        write_file(library->fd, trial->params[1] * (1 << 20) / BLOCK_BYTES) < 0) {
        int error = errno;
        close(library->fd);
        free(library);
        return tb_skip(trial, "no temporary file: %s", strerror(error));
    }
    return 0;
}

static void read_close(struct tb_trial *trial)
{
    struct library *library = trial->state;
    close(library->fd);
    free(library);
}

/* --- copies ----------------------------------------------------------------------------------- */

#define COPY_MIB   64
#define COPY_BYTES ((int64_t)COPY_MIB << 20)

struct copying {
    int in, out;
};

static void copy_close(struct tb_trial *trial)
{
    struct copying *copying = trial->state;
    if (copying->in >= 0) {
        close(copying->in);
    }
    if (copying->out >= 0) {
        close(copying->out);
    }
    free(copying);
}

static int copy_open(struct tb_trial *trial)
{
    struct copying *copying = trial->state = calloc(1, sizeof *copying);
    if (!copying) {
        return tb_skip(trial, "no memory");
    }
    trial->ops_per_round = COPY_MIB;
    copying->in = open_file();
    copying->out = open_file();
    if (copying->in < 0 || copying->out < 0 ||
        write_file(copying->in, COPY_BYTES / BLOCK_BYTES) < 0) {
        int error = errno;
        copy_close(trial);
        return tb_skip(trial, "no temporary files: %s", strerror(error));
    }
    return 0;
}

/* Into an empty file, whose last block is looked at and which is cut again. */
static int copied(struct tb_trial *trial, int64_t bytes)
{
    struct copying *copying = trial->state;
    uint64_t words[WORDS];
    uint64_t last = COPY_BYTES / BLOCK_BYTES - 1;
    bool right =
        bytes == COPY_BYTES &&
        pread(copying->out, words, sizeof words, (off_t)(last * BLOCK_BYTES)) == sizeof words &&
        is_block(words, last);
    if (ftruncate(copying->out, 0) != 0 || !right) {
        return tb_wrong(trial, "the copy is not what the file contains");
    }
    return 0;
}

static int copy_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct copying *copying = trial->state;
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = copied(trial, weft_copy_range(copying->in, 0, copying->out, 0, WEFT_COPY_ALL));
    }
    return rc;
}

static int copy_reference(struct tb_trial *trial, uint64_t rounds)
{
    struct copying *copying = trial->state;
    static char buffer[256 * 1024];
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        int64_t at = 0;
        ssize_t n;
        while ((n = pread(copying->in, buffer, sizeof buffer, at)) > 0 &&
               pwrite(copying->out, buffer, (size_t)n, at) == n) {
            at += n;
        }
        rc = copied(trial, at);
    }
    return rc;
}

/* --- opening ---------------------------------------------------------------------------------- */

#define OPENS_ROUND 100
#define OPENED      "/etc/passwd" /* not in /proc, where no name is cached */

static int open_open(struct tb_trial *trial)
{
    trial->ops_per_round = OPENS_ROUND;
    return access(OPENED, R_OK) == 0 ? 0 : tb_skip(trial, "no " OPENED " to be opened");
}

static int open_sample(struct tb_trial *trial, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds * OPENS_ROUND; i++) {
        int fd = weft_open(OPENED, O_RDONLY, 0);
        if (fd < 0 || weft_close(fd) < 0) {
            return tb_wrong(trial, "opening: %s", strerror(-fd));
        }
    }
    return 0;
}

static int open_reference(struct tb_trial *trial, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds * OPENS_ROUND; i++) {
        int fd = open(OPENED, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || close(fd) < 0) {
            return tb_wrong(trial, "opening: %s", strerror(errno));
        }
    }
    return 0;
}

#define READ_PARAMS(depth)                                   \
    {                                                        \
        {"tasks", depth, 1, READERS_MAX, "tasks that read"}, \
            {"mib", 16, 1, 4096, "size of the file in MiB"}, \
    }

const struct tb_load tb_loads_file[] = {
    {
        .name = "read",
        .group = "file",
        .about = "4 KiB reads of a cached file, by one task",
        .op = "read",
        .reference_name = "pread",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .params = READ_PARAMS(1),
        .open = read_open,
        .sample = read_sample,
        .reference = read_reference,
        .close = read_close,
    },
    {
        .name = "read/16",
        .group = "file",
        .about = "4 KiB reads of a cached file, by 16 tasks",
        .op = "read",
        .reference_name = "pread",
        .flags = TB_LOAD_QUICK,
        .params = READ_PARAMS(16),
        .open = read_open,
        .sample = read_sample,
        .reference = read_reference,
        .close = read_close,
    },
    {
        .name = "copy",
        .group = "file",
        .about = "64 MiB of a cached file copied into another",
        .op = "MiB",
        .reference_name = "pread and pwrite",
        .flags = TB_LOAD_ALONE,
        .open = copy_open,
        .sample = copy_sample,
        .reference = copy_reference,
        .close = copy_close,
    },
    {
        .name = "open",
        .group = "file",
        .about = "a file whose name is cached, opened and closed",
        .op = "open and close",
        .reference_name = "open and close",
        .flags = TB_LOAD_ALONE,
        .open = open_open,
        .sample = open_sample,
        .reference = open_reference,
    },
    {.name = NULL},
};
