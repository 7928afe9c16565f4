/* test_file_direct.c: which reads are made in place, from the cache, and which go to the kernel as
 * operations: those of files that are open with O_DIRECT, which would wait for the disk. */
#include "file_pattern.h"
#include <errno.h>
#include <weft/debug.h>

enum { BLOCK = 4096, READS = 100, REMEMBERED = 32 /* of src/file.c */ };

static char *block; /* aligned */

static int file_open(int flags)
{
    return weft_openat(folder_fd, "file", O_RDWR | flags, 0);
}

/* A file of one block, which is in the cache. */
static void file_make(void)
{
    wt_true(posix_memalign((void **)&block, BLOCK, BLOCK) == 0);
    memset(block, 'b', BLOCK);
    wt_eq(weft_file_write(folder_fd, "file", block, BLOCK, 0600), 0);
}

/* How many operations `reads` reads of the block take. */
static uint64_t ops_of(int fd, int reads)
{
    weft_stats before;
    weft_stats after;
    weft_stats_get(weft_rt_current(), &before);
    for (int i = 0; i < reads; i++) {
        block[0] = 0;
        wt_eq(weft_pread(fd, block, BLOCK, 0), BLOCK);
        wt_eq(block[0], 'b');
    }
    weft_stats_get(weft_rt_current(), &after);
    return after.ops_submitted - before.ops_submitted;
}

/* Is there a cache that can be asked, and are there direct reads? Not on every file system. */
static bool can_tell(void)
{
    int direct = file_open(O_DIRECT);
    if (direct >= 0) {
        wt_eq(weft_close(direct), 0);
    }
    int cached = file_open(0);
    uint64_t ops = ops_of(cached, 1);
    wt_eq(weft_close(cached), 0);
    return direct >= 0 && ops == 0;
}

FileTest(file_direct, a_direct_read_is_an_operation_and_a_cached_one_is_not, 1)
{
    file_make();
    if (can_tell()) {
        int cached = file_open(0);
        int direct = file_open(O_DIRECT);
        wt_eq(ops_of(cached, READS), 0);
        wt_eq(ops_of(direct, READS), READS);
        wt_eq(ops_of(cached, READS), 0);
        wt_eq(weft_close(cached), 0);
        wt_eq(weft_close(direct), 0);
    }
    free(block);
    return 0;
}

FileTest(file_direct, what_was_known_of_a_descriptor_is_forgotten_when_it_is_closed, 1)
{
    file_make();
    if (can_tell()) {
        int fd = file_open(0);
        for (int turn = 0; turn < 4; turn++) {
            bool is_direct = turn % 2 != 0;
            wt_eq(ops_of(fd, 3), is_direct ? 3 : 0);
            wt_eq(weft_close(fd), 0);
            int next = file_open(is_direct ? 0 : O_DIRECT);
            wt_eq(next, fd); /* the lowest that is free */
        }
        wt_eq(weft_close(fd), 0);
    }
    free(block);
    return 0;
}

FileTest(file_direct, a_descriptor_that_changes_behind_our_back_is_soon_known, 1)
{
    file_make();
    if (can_tell()) {
        int fd = file_open(0);
        int direct = file_open(O_DIRECT);
        wt_eq(ops_of(fd, 1), 0);
        wt_eq(dup3(direct, fd, O_CLOEXEC), fd);
        uint64_t ops = ops_of(fd, READS);
        wt_ge(ops, READS - REMEMBERED);
        wt_eq(ops_of(fd, READS), READS);
        wt_eq(weft_close(fd), 0);
        wt_eq(weft_close(direct), 0);
    }
    free(block);
    return 0;
}

FileTest(file_direct, descriptors_of_one_slot_are_told_apart, 1)
{
    file_make();
    if (can_tell()) {
        enum { SLOTS = 8192 /* of src/uses.h */ };
        int fd = file_open(0);
        int direct = file_open(O_DIRECT);
        int far = fcntl(direct, F_DUPFD_CLOEXEC, fd + SLOTS);
        if (far == fd + SLOTS) { /* else: no such numbers for this process */
            for (int i = 0; i < READS; i++) {
                wt_eq(ops_of(fd, 1), 0);
                wt_eq(ops_of(far, 1), 1);
            }
        }
        wt_true(far < 0 || weft_close(far) == 0);
        wt_eq(weft_close(fd), 0);
        wt_eq(weft_close(direct), 0);
    }
    free(block);
    return 0;
}
