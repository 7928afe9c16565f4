/* bare_file.c: the limits of reading files: io_uring with a registered file and registered buffers,
 * and the plain calls. Called as files.h says, with one of these before: `ring`; `plain`, `files`,
 * `buffers`: it registers nothing, or one of them; `call`, which reads one at a time. And
 *
 *     bare_file make FILE BLOCKS         writes it, as files.h wants it */
#define _GNU_SOURCE
#include "files.h"
#include <liburing.h>

#define RING_ENTRIES 128
#define WRITE_MARK   (UINT64_C(1) << 32) /* in user_data of a copy: this was the piece's write */

static struct io_uring ring;
static bool with_files, with_buffers; /* are registered */

static void open_ring(void)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    check_files(io_uring_queue_init_params(RING_ENTRIES, &ring, &params), "no io_uring here");
    io_uring_register_ring_fd(&ring);
}

/* --- reads ------------------------------------------------------------------------------------ */

static void start_read(int fd, char *block, uint64_t offset, int slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (with_buffers) {
        io_uring_prep_read_fixed(sqe, with_files ? 0 : fd, block, BLOCK_BYTES, offset, 0);
    } else {
        io_uring_prep_read(sqe, with_files ? 0 : fd, block, BLOCK_BYTES, offset);
    }
    sqe->flags |= with_files ? IOSQE_FIXED_FILE : 0;
    sqe->user_data = (uint64_t)slot;
}

static void read_by_ring(struct reads *reads)
{
    static uint64_t blocks[DEPTH_MAX];
    char *memory = make_blocks((size_t)reads->depth, BLOCK_BYTES);
    struct iovec all = {memory, (size_t)reads->depth * BLOCK_BYTES};
    int busy = 0;
    bool more = true;
    open_ring();
    check_files(with_files ? io_uring_register_files(&ring, &reads->fd, 1) : 0, "register files");
    check_files(with_buffers ? io_uring_register_buffers(&ring, &all, 1) : 0, "register buffers");
    int free_slots[DEPTH_MAX], free_n = reads->depth;
    for (int i = 0; i < free_n; i++) {
        free_slots[i] = i;
    }
    while (more || busy > 0) { /* ends by the clock */
        while (more && free_n > 0) {
            int slot = free_slots[--free_n];
            blocks[slot] = next_block(reads);
            start_read(reads->fd, memory + slot * BLOCK_BYTES, blocks[slot] * BLOCK_BYTES, slot);
            busy++;
        }
        io_uring_submit_and_wait(&ring, 1);
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            int slot = (int)cqe->user_data;
            more = take_block(reads, memory + slot * BLOCK_BYTES, cqe->res, blocks[slot]) && more;
            free_slots[free_n++] = slot;
            n++;
        }
        io_uring_cq_advance(&ring, n);
        busy -= (int)n;
    }
}

static void read_by_call(struct reads *reads)
{
    char *memory = make_blocks(1, BLOCK_BYTES);
    uint64_t block;
    ssize_t n;
    check_files(reads->depth == 1 ? 0 : -EINVAL, "depth");
    do {
        block = next_block(reads);
        n = pread(reads->fd, memory, BLOCK_BYTES, (off_t)(block * BLOCK_BYTES));
    } while (take_block(reads, memory, n < 0 ? -errno : n, block));
}

/* --- copies ----------------------------------------------------------------------------------- */

static void start_piece(struct copying *copy, char *memory, uint64_t *offsets, unsigned slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    offsets[slot] = copy->next;
    copy->next += PIECE_BYTES;
    io_uring_prep_read(sqe, copy->from, memory + slot * PIECE_BYTES, PIECE_BYTES, offsets[slot]);
    sqe->user_data = slot;
}

static void write_piece(const struct copying *copy, char *memory, const uint64_t *offsets,
                        unsigned slot, int bytes)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_write(sqe, copy->to, memory + slot * PIECE_BYTES, (unsigned)bytes, offsets[slot]);
    sqe->user_data = slot | WRITE_MARK;
}

static void copy_by_ring(struct copying *copy)
{
    char *memory = make_blocks(PIECES, PIECE_BYTES);
    uint64_t offsets[PIECES];
    unsigned busy = 0;
    open_ring();
    for (; busy < PIECES && copy->next < copy->bytes; busy++) {
        start_piece(copy, memory, offsets, busy);
    }
    while (busy > 0) { /* ends with the file */
        io_uring_submit_and_wait(&ring, 1);
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            unsigned slot = (unsigned)(cqe->user_data & (WRITE_MARK - 1));
            check_files(cqe->res, "copy");
            if (!(cqe->user_data & WRITE_MARK)) {
                write_piece(copy, memory, offsets, slot, cqe->res);
            } else if (copy->next < copy->bytes) {
                start_piece(copy, memory, offsets, slot);
            } else {
                busy--;
            }
            n++;
        }
        io_uring_cq_advance(&ring, n);
    }
}

static void copy_by_call(struct copying *copy)
{
    char *memory = make_blocks(1, PIECE_BYTES);
    ssize_t n;
    while ((n = read(copy->from, memory, PIECE_BYTES)) > 0) { /* ends with the file */
        check_files(write(copy->to, memory, (size_t)n) == n ? 0 : -EIO, "write");
    }
    check_files(n < 0 ? -errno : 0, "read");
}

static void make_file(const char *name, uint64_t blocks)
{
    static char block[BLOCK_BYTES];
    FILE *file = fopen(name, "we");
    check_files(file ? 0 : -errno, name);
    for (uint64_t i = 0; i < blocks; i++) {
        memcpy(block, &i, sizeof i);
        check_files(fwrite(block, sizeof block, 1, file) == 1 ? 0 : -EIO, name);
    }
    check_files(fflush(file) == 0 && fsync(fileno(file)) == 0 && fclose(file) == 0 ? 0 : -errno,
                name);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    bool by_ring = strcmp(how, "call") != 0;
    with_files = strcmp(how, "ring") == 0 || strcmp(how, "files") == 0;
    with_buffers = strcmp(how, "ring") == 0 || strcmp(how, "buffers") == 0;
    if (argc == 4 && strcmp(argv[1], "make") == 0) {
        make_file(argv[2], strtoul(argv[3], NULL, 10));
    } else if (argc == 7 && strcmp(argv[2], "read") == 0) {
        struct reads reads;
        begin_reads(&reads, argv + 3);
        (by_ring ? read_by_ring : read_by_call)(&reads);
        end_reads(&reads);
    } else if (argc == 5 && strcmp(argv[2], "copy") == 0) {
        struct copying copy;
        begin_copy(&copy, argv + 3);
        (by_ring ? copy_by_ring : copy_by_call)(&copy);
        end_copy(&copy);
    } else {
        return 2;
    }
    return 0;
}
