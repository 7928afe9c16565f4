/* weft_file.c: the files of files.h on weft, with its public calls alone: as many tasks as reads at
 * a time, or pieces of a copy, on one worker. */
#define _GNU_SOURCE
#include "files.h"
#include <weft/io.h>
#include <weft/task.h>

struct reader {
    struct reads *reads;
    char *block;
};

WEFT_TASK(read_some, struct reader)
{
    struct reads *reads = arg->reads;
    uint64_t block;
    ssize_t n;
    do {
        block = next_block(reads);
        n = weft_pread(reads->fd, arg->block, BLOCK_BYTES, (int64_t)(block * BLOCK_BYTES));
    } while (take_block(reads, arg->block, n, block));
    return 0;
}

static int read_all(void *arg)
{
    struct reads *reads = arg;
    char *memory = make_blocks((size_t)reads->depth, BLOCK_BYTES);
    int rc = 0;
    WEFT_SCOPE(readers);
    for (int i = 0; i < reads->depth && rc == 0; i++) {
        struct reader reader = {reads, memory + i * BLOCK_BYTES};
        rc = weft_go(&readers, read_some, &reader);
    }
    int end = weft_scope_end(&readers);
    return rc < 0 ? rc : end;
}

WEFT_TASK(copy_some, struct copying *)
{
    struct copying *copy = *arg;
    char *piece = make_blocks(1, PIECE_BYTES);
    ssize_t n = 0;
    while (copy->next < copy->bytes && n >= 0) { /* ends with the file */
        int64_t at = (int64_t)copy->next;
        copy->next += PIECE_BYTES;
        n = weft_pread(copy->from, piece, PIECE_BYTES, at);
        n = n > 0 ? weft_pwrite(copy->to, piece, (size_t)n, at) : n;
    }
    free(piece);
    return n < 0 ? (int)n : 0;
}

static int copy_all(void *arg)
{
    struct copying *copy = arg;
    int rc = 0;
    WEFT_SCOPE(copiers);
    for (int i = 0; i < PIECES && rc == 0; i++) {
        rc = weft_go(&copiers, copy_some, &copy);
    }
    int end = weft_scope_end(&copiers);
    return rc < 0 ? rc : end;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "read") == 0) {
        struct reads reads;
        begin_reads(&reads, argv + 2);
        check_files(weft_run(read_all, &reads, .workers = 1), "weft");
        end_reads(&reads);
    } else if (argc == 4 && strcmp(argv[1], "copy") == 0) {
        struct copying copy;
        begin_copy(&copy, argv + 2);
        check_files(weft_run(copy_all, &copy, .workers = 1), "weft");
        end_copy(&copy);
    } else {
        return 2;
    }
    return 0;
}
