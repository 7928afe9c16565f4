/* disk.c: see disk.h. */
#define _GNU_SOURCE
#include "disk.h"
#include "child.h"
#include "clock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/io.h>

#define FILL_BYTES  (1u << 20)
#define CHECK_WORDS 4  /* of a block that was read: all would cost as much as the read */
#define CHECK_BACK  64 /* blocks that are read back after a slice of writes */
#define STOP_NS     WEFT_SEC(5)

static int fail(struct tb_disk *disk, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first reason stays. */
static int fail(struct tb_disk *disk, const char *format, ...)
{
    va_list args;
    if (!disk->reason[0]) {
        va_start(args, format);
        vsnprintf(disk->reason, sizeof disk->reason, format, args);
        va_end(args);
    }
    return -1;
}

/* --- content ---------------------------------------------------------------------------------- */

/* Word number `word` of the file, in lap number `lap` of the writes; lap 0 is what it is filled
 * with. */
static uint64_t content(uint64_t word, uint64_t lap)
{
    uint64_t x = (word + 1) * 0x9e3779b97f4a7c15 + lap * 0xbf58476d1ce4e5b9;
    return x ^ x >> 29;
}

static void fill_block(uint64_t *words, size_t bytes, uint64_t offset, uint64_t lap)
{
    for (size_t i = 0; i < bytes / sizeof *words; i++) {
        words[i] = content(offset / sizeof *words + i, lap);
    }
}

static bool is_block(const uint64_t *words, size_t bytes, uint64_t offset, uint64_t lap)
{
    size_t n = bytes / sizeof *words;
    for (size_t i = 0; i < CHECK_WORDS; i++) {
        size_t at = i * (n - 1) / (CHECK_WORDS - 1);
        if (words[at] != content(offset / sizeof *words + at, lap)) {
            return false;
        }
    }
    return true;
}

/* --- the file --------------------------------------------------------------------------------- */

static int fill_file(struct tb_disk *disk, int fd)
{
    uint64_t *words = malloc(FILL_BYTES);
    int rc = words ? 0 : fail(disk, "no memory");
    for (uint64_t at = 0; rc == 0 && at < disk->size; at += FILL_BYTES) {
        uint64_t left = disk->size - at, bytes = left < FILL_BYTES ? left : FILL_BYTES;
        fill_block(words, bytes, at, 0);
        if (pwrite(fd, words, bytes, (off_t)at) != (ssize_t)bytes) {
            rc = fail(disk, "'%.100s' cannot be filled: %s", disk->path,
                      errno ? strerror(errno) : "no space");
        } else if (tb_interrupted()) {
            rc = fail(disk, "interrupted");
        }
    }
    free(words);
    return rc;
}

/* Not in /tmp by default if TMPDIR says so: memory is no disk. */
static void name_file(struct tb_disk *disk)
{
    const char *folder = getenv("TMPDIR");
    snprintf(disk->path, sizeof disk->path, "%.200s/taskbench-io-XXXXXX",
             folder && folder[0] ? folder : "/tmp");
}

static int make_file(struct tb_disk *disk)
{
    int fd;
    if (disk->file) {
        snprintf(disk->path, sizeof disk->path, "%.250s", disk->file);
        fd = open(disk->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    } else {
        name_file(disk);
        fd = mkostemp(disk->path, O_CLOEXEC);
    }
    if (fd < 0) {
        return fail(disk, "'%.100s' cannot be made: %s", disk->path, strerror(errno));
    }
    disk->is_made = disk->ours = true;
    int rc = fill_file(disk, fd);
    /* dirty pages would be written in the middle of the first slices */
    if (rc == 0 && fsync(fd) < 0) {
        rc = fail(disk, "'%.100s' cannot be written: %s", disk->path, strerror(errno));
    }
    close(fd);
    return rc;
}

/* D.2 */
static int find_file(struct tb_disk *disk)
{
    struct stat status;
    if (!disk->file || stat(disk->file, &status) < 0) {
        return make_file(disk);
    }
    if (disk->kind == TB_DISK_SEQWRITE) {
        return fail(disk, "'%.100s' is there already, and would be overwritten", disk->file);
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(disk, "'%.100s' is no regular file", disk->file);
    }
    disk->size = (uint64_t)status.st_size;
    snprintf(disk->path, sizeof disk->path, "%.250s", disk->file);
    return 0;
}

int tb_disk_open(struct tb_disk *disk)
{
    weft_rt_opts opts = {.workers = disk->workers};
    disk->fd = -1;
    if (find_file(disk) < 0) {
        return -1;
    }
    disk->blocks = disk->size / disk->bs;
    if (disk->blocks == 0) {
        return fail(disk, "'%.100s' is smaller than a block", disk->path);
    }
    int flags = disk->kind == TB_DISK_SEQWRITE ? O_RDWR : O_RDONLY;
    disk->fd = open(disk->path, flags | O_CLOEXEC | (disk->direct ? O_DIRECT : 0));
    if (disk->fd < 0) {
        return fail(disk, "'%.100s' cannot be opened%s: %s", disk->path,
                    disk->direct ? " with O_DIRECT" : "", strerror(errno));
    }
    int rc = weft_rt_start(&disk->rt, &opts);
    return rc < 0 ? fail(disk, "the runtime does not start: %s", strerror(-rc)) : 0;
}

void tb_disk_close(struct tb_disk *disk)
{
    if (disk->rt && weft_rt_stop(disk->rt, STOP_NS, STOP_NS) == 0) {
        weft_rt_free(disk->rt);
    }
    if (disk->fd >= 0) {
        close(disk->fd);
    }
    if (disk->is_made) {
        unlink(disk->path);
    }
}

/* --- a slice ---------------------------------------------------------------------------------- */

struct slice {
    struct tb_disk *disk;
    uint64_t until;
    uint64_t first;              /* number of the first block */
    _Atomic uint64_t begun;      /* blocks; any worker, for its sum alone */
    _Atomic uint64_t mismatches; /* the same */
};

/* One task of the `depth`. */
struct hand {
    struct slice *slice;
    void *buffer;
    uint64_t random;
    struct tb_hist latency;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1d;
}

/* A read or a write of block number `number` of all; 0 or an error. */
static int do_block(struct hand *hand, uint64_t number)
{
    struct tb_disk *disk = hand->slice->disk;
    bool is_random = disk->kind == TB_DISK_RANDREAD, is_write = disk->kind == TB_DISK_SEQWRITE;
    uint64_t block = is_random ? next_random(&hand->random) % disk->blocks : number % disk->blocks;
    uint64_t offset = block * disk->bs, lap = number / disk->blocks + 1;
    if (is_write) {
        fill_block(hand->buffer, disk->bs, offset, lap);
    }
    uint64_t start = tb_now_ns();
    ssize_t n = is_write ? weft_pwrite(disk->fd, hand->buffer, disk->bs, (int64_t)offset)
                         : weft_pread(disk->fd, hand->buffer, disk->bs, (int64_t)offset);
    tb_hist_add(&hand->latency, tb_now_ns() - start);
    if (n != (ssize_t)disk->bs) {
        return n < 0 ? (int)n : -EIO; /* a short one: the file has changed under us */
    }
    if (!is_write && disk->ours && !is_block(hand->buffer, disk->bs, offset, 0)) {
        atomic_fetch_add_explicit(&hand->slice->mismatches, 1, memory_order_relaxed);
    }
    return 0;
}

WEFT_TASK(work, struct hand *)
{
    struct hand *hand = *arg;
    struct slice *slice = hand->slice;
    int rc = 0;
    while (rc == 0 && tb_now_ns() < slice->until && !tb_interrupted()) { /* ends by the clock */
        uint64_t at = atomic_fetch_add_explicit(&slice->begun, 1, memory_order_relaxed);
        rc = do_block(hand, slice->first + at);
    }
    return rc;
}

static struct hand *hands_open(struct slice *slice)
{
    struct tb_disk *disk = slice->disk;
    struct hand *hands = calloc(disk->depth, sizeof *hands);
    for (uint64_t i = 0; hands && i < disk->depth; i++) {
        hands[i].slice = slice;
        hands[i].random = (disk->seed + i + 1) * 0x9e3779b97f4a7c15 + slice->first;
        hands[i].random += hands[i].random == 0;
        if (posix_memalign(&hands[i].buffer, TB_DISK_ALIGN, disk->bs) != 0) {
            hands[i].buffer = NULL;
            fail(disk, "no memory");
        }
    }
    return hands;
}

static void hands_close(struct tb_disk *disk, struct hand *hands)
{
    for (uint64_t i = 0; hands && i < disk->depth; i++) {
        tb_hist_merge(&disk->latency, &hands[i].latency);
        free(hands[i].buffer);
    }
    free(hands);
}

static int run_hands(void *arg)
{
    struct hand *hands = arg;
    struct tb_disk *disk = hands[0].slice->disk;
    int rc = 0;
    WEFT_SCOPE(scope);
    for (uint64_t i = 0; i < disk->depth && rc == 0; i++) {
        struct hand *hand = &hands[i];
        rc = weft_go(&scope, work, &hand);
    }
    int end = weft_scope_end(&scope);
    return rc < 0 ? rc : end;
}

/* D.1, by calls that are not weft's: of the blocks that this slice wrote last, since others may
 * have been written by fio since. */
static int read_back(struct tb_disk *disk, uint64_t first)
{
    uint64_t random = disk->seed + disk->started + 1, wrong = 0, n = disk->started - first;
    void *words = NULL;
    n = n < disk->blocks ? n : disk->blocks;
    if (disk->kind != TB_DISK_SEQWRITE || n == 0 ||
        posix_memalign(&words, TB_DISK_ALIGN, disk->bs) != 0) {
        return 0;
    }
    for (int i = 0; i < CHECK_BACK; i++) {
        uint64_t number = disk->started - 1 - next_random(&random) % n;
        uint64_t offset = number % disk->blocks * disk->bs;
        ssize_t got = pread(disk->fd, words, disk->bs, (off_t)offset);
        wrong += got != (ssize_t)disk->bs ||
                 !is_block(words, disk->bs, offset, number / disk->blocks + 1);
    }
    free(words);
    return wrong ? fail(disk, "%llu of %d blocks read back are not what was written",
                        (unsigned long long)wrong, CHECK_BACK)
                 : 0;
}

static int judge(struct tb_disk *disk, const struct slice *slice, int rc)
{
    uint64_t mismatches = atomic_load_explicit(&slice->mismatches, memory_order_relaxed);
    if (rc < 0) {
        return fail(disk, "a block could not be %s: %s",
                    disk->kind == TB_DISK_SEQWRITE ? "written" : "read", strerror(-rc));
    }
    return mismatches ? fail(disk, "%llu blocks were not what the file contains",
                             (unsigned long long)mismatches)
                      : read_back(disk, slice->first);
}

double tb_disk_slice(struct tb_disk *disk, uint64_t slice_ns, uint64_t *blocks)
{
    struct slice slice = {.disk = disk, .first = disk->started};
    struct hand *hands = hands_open(&slice);
    if (!hands || disk->reason[0]) {
        hands_close(disk, hands);
        return fail(disk, "no memory");
    }
    uint64_t start = tb_now_ns();
    slice.until = start + slice_ns;
    int rc = weft_call(disk->rt, run_hands, hands);
    double elapsed = (double)(tb_now_ns() - start);
    *blocks = atomic_load_explicit(&slice.begun, memory_order_relaxed);
    disk->started += *blocks;
    hands_close(disk, hands);
    if (judge(disk, &slice, rc) < 0) {
        return -1;
    }
    return *blocks ? elapsed / (double)*blocks : elapsed;
}
