/* files.h: what the programs of this folder that read files have in common, and how they are
 * called.
 *
 *     PROGRAM read FILE DEPTH SECONDS DIRECT   4 KiB at random places, DEPTH at a time; DIRECT 1:
 *                                              O_DIRECT
 *     PROGRAM copy FROM TO                     all of it, in pieces, as the program likes best
 *
 * A block of FILE begins with its number (`bare_file make` writes it so), and each that was read is
 * looked at. Prints cpu_us (CPU time of the process per read) and requests_s, or bytes_s. C. */
#ifndef PEERS_FILES_H
#define PEERS_FILES_H

#include "clock.h" /* of taskbench */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES 4096
#define PIECE_BYTES ((size_t)256 << 10) /* of a copy */
#define PIECES      8                   /* of a copy, in flight at a time */
#define DEPTH_MAX   64
#define SEED        UINT64_C(88172645463325252)

/* What a run of reads is, and what came of it. */
struct reads {
    int fd, depth;
    uint64_t blocks, end_ns, random;
    uint64_t n, start_ns, start_cpu_ns;
};

static inline void check_files(int64_t rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror((int)-rc));
        exit(1);
    }
}

static inline uint64_t file_bytes(int fd)
{
    struct stat info;
    check_files(fstat(fd, &info) < 0 ? -errno : 0, "stat");
    return (uint64_t)info.st_size;
}

/* The next block to read: xorshift64. */
static inline uint64_t next_block(struct reads *reads)
{
    reads->random ^= reads->random << 13;
    reads->random ^= reads->random >> 7;
    reads->random ^= reads->random << 17;
    return reads->random % reads->blocks;
}

/* After each read: whether it was the right one, and whether there is to be another. */
static inline bool take_block(struct reads *reads, const void *bytes, int64_t result,
                              uint64_t block)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof number);
    check_files(result == BLOCK_BYTES && number == block ? 0
                : result < 0                             ? result
                                                         : -EBADMSG,
                "read");
    reads->n++;
    return tb_now_ns() < reads->end_ns;
}

/* From the arguments behind `read`. */
static inline void begin_reads(struct reads *reads, char **argv)
{
    *reads = (struct reads){.depth = atoi(argv[1]), .random = SEED};
    reads->fd = open(argv[0], O_RDONLY | O_CLOEXEC | (argv[3][0] == '1' ? O_DIRECT : 0));
    check_files(reads->fd < 0 ? -errno : 0, argv[0]);
    check_files(reads->depth < 1 || reads->depth > DEPTH_MAX ? -EINVAL : 0, "depth");
    reads->blocks = file_bytes(reads->fd) / BLOCK_BYTES;
    reads->start_ns = tb_now_ns();
    reads->start_cpu_ns = tb_cpu_ns();
    reads->end_ns = reads->start_ns + (uint64_t)(atof(argv[2]) * 1e9);
}

static inline void end_reads(const struct reads *reads)
{
    double elapsed = (double)(tb_now_ns() - reads->start_ns),
           cpu = (double)(tb_cpu_ns() - reads->start_cpu_ns);
    printf("cpu_us=%.4f requests_s=%.1f\n", cpu / 1e3 / (double)reads->n,
           (double)reads->n / elapsed * 1e9);
}

/* Aligned as O_DIRECT wants it; the process's for good. */
static inline void *make_blocks(size_t n, size_t bytes)
{
    void *memory = aligned_alloc(BLOCK_BYTES, n * bytes);
    check_files(memory ? 0 : -ENOMEM, "memory");
    return memory;
}

struct copying {
    int from, to;
    uint64_t bytes, start_ns;
    uint64_t next; /* offset of the next piece */
};

static inline void begin_copy(struct copying *copy, char **argv)
{
    copy->from = open(argv[0], O_RDONLY | O_CLOEXEC);
    check_files(copy->from < 0 ? -errno : 0, argv[0]);
    copy->to = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    check_files(copy->to < 0 ? -errno : 0, argv[1]);
    copy->bytes = file_bytes(copy->from);
    copy->next = 0;
    copy->start_ns = tb_now_ns();
}

static inline void end_copy(const struct copying *copy)
{
    check_files(file_bytes(copy->to) == copy->bytes ? 0 : -EBADMSG, "copy");
    printf("bytes_s=%.0f\n", (double)copy->bytes / (double)(tb_now_ns() - copy->start_ns) * 1e9);
}

#endif
