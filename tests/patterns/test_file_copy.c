/* test_file_copy.c: copies of files and ranges, and direct I/O. */
#include "file_pattern.h"
#include <errno.h>

#define BYTES (9 * 1024 * 1024 + 12345) /* two calls of the library's */

static char *block;

/* In words, which ThreadSanitizer watches one by one. */
static void make(const char *name, int64_t bytes)
{
    uint64_t *words = malloc((size_t)bytes + sizeof *words);
    for (int64_t i = 0; i <= bytes / (int64_t)sizeof *words; i++) {
        words[i] = (uint64_t)i * 0x9e3779b97f4a7c15;
    }
    block = (char *)words;
    wt_eq(weft_file_write(folder_fd, name, block, (size_t)bytes, 0640), 0);
}

static void check(const char *name, int64_t bytes, int64_t from)
{
    char *copy = malloc((size_t)bytes + 1);
    wt_eq(weft_file_read(folder_fd, name, copy, (size_t)bytes + 1), bytes);
    wt_mem_eq(copy, block + from, (size_t)bytes);
    free(copy);
}

FileTest(file_copy, a_file_is_copied_with_its_permissions, 2)
{
    make("from", BYTES);
    wt_eq(weft_copy_file(in_folder("from"), in_folder("to"), O_EXCL), BYTES);
    check("to", BYTES, 0);
    struct statx about;
    wt_eq(weft_stat(in_folder("to"), &about), 0);
    wt_eq(about.stx_mode & 0777, 0640);
    wt_eq(weft_copy_file(in_folder("from"), in_folder("to"), O_EXCL), -EEXIST);
    free(block);
    make("from", 5);
    wt_eq(weft_copy_file(in_folder("from"), in_folder("to"), 0), 5);
    check("to", 5, 0);
    free(block);
    return 0;
}

FileTest(file_copy, what_cannot_be_copied_is_refused, 1)
{
    make("from", 5);
    int before = count_descriptors();
    wt_eq(weft_copy_file(in_folder("none"), in_folder("to"), 0), -ENOENT);
    wt_eq(weft_copy_file(folder, in_folder("to"), 0), -EINVAL);
    wt_eq(weft_copy_file(in_folder("from"), folder, 0), -EISDIR);
    wt_eq(weft_copy_file(in_folder("from"), in_folder("no/to"), 0), -ENOENT);
    wt_eq(weft_copy_file(in_folder("from"), in_folder("from"), 0), -EINVAL);
    check("from", 5, 0);
    wt_eq(mkfifoat(folder_fd, "fifo", 0644), 0);
    wt_eq(weft_copy_file(in_folder("fifo"), in_folder("to"), 0), -EINVAL);
    wt_eq(weft_copy_file(in_folder("from"), in_folder("fifo"), 0), -ENXIO);
    wt_eq(weft_copy_file(in_folder("from"), in_folder("to"), O_APPEND), -EINVAL);
    wt_eq(count_descriptors(), before);
    free(block);
    return 0;
}

FileTest(file_copy, a_range_goes_where_it_is_told, 2)
{
    make("from", BYTES);
    int in = weft_openat(folder_fd, "from", O_RDWR, 0);
    int out = weft_openat(folder_fd, "to", O_RDWR | O_CREAT, 0644);
    wt_eq(weft_copy_range(in, 1000, out, 0, 9000001), 9000001);
    check("to", 9000001, 1000);
    wt_eq(weft_copy_range(in, BYTES - 10, out, 0, 100), 10);
    wt_eq(weft_copy_range(in, BYTES, out, 0, 100), 0);
    wt_eq(weft_copy_range(in, BYTES + 1000, out, 0, WEFT_COPY_ALL), 0);
    wt_eq(weft_copy_range(in, 0, out, 0, 0), 0);
    wt_eq(weft_copy_range(in, -1, out, 0, 1), -EINVAL);
    wt_eq(weft_copy_range(in, 0, out, -1, 1), -EINVAL);
    wt_eq(weft_copy_range(in, 0, out, 0, -1), -EINVAL);
    wt_eq(weft_copy_range(in, 1, out, 0, INT64_MAX - 1), BYTES - 1);
    wt_eq(weft_copy_range(in, 2, out, 0, INT64_MAX - 1), -EINVAL);
    wt_eq(weft_copy_range(-1, 0, out, 0, 1), -EBADF);
    wt_eq(weft_copy_range(in, 0, -1, 0, 1), -EBADF);
    /* within one file: apart it works, overlapping it does not */
    wt_eq(weft_copy_range(in, 0, in, 4096, 4096), 4096);
    wt_eq(weft_copy_range(in, 0, in, 2048, 4096), -EINVAL);
    weft_close(in);
    weft_close(out);
    free(block);
    return 0;
}

FileTest(file_copy, what_the_kernel_does_not_copy_by_itself_is_read_and_written, 1)
{
    int in = weft_open("/dev/zero", O_RDONLY, 0);
    int out = weft_openat(folder_fd, "to", O_RDWR | O_CREAT, 0644);
    wt_eq(weft_copy_range(in, 0, out, 5, 600000), 600000);
    struct statx about;
    wt_eq(weft_fstat(out, &about), 0);
    wt_eq(about.stx_size, 600005);
    weft_close(in);
    in = weft_open("/proc/self/status", O_RDONLY, 0);
    wt_gt(weft_copy_range(in, 0, out, 0, WEFT_COPY_ALL), 100);
    weft_close(in);
    int fds[2];
    wt_eq(weft_pipe(fds, 0), 0);
    wt_eq(weft_copy_range(fds[0], 0, out, 0, 1), -ESPIPE);
    close(fds[0]);
    close(fds[1]);
    weft_close(out);
    return 0;
}

struct job {
    int in, out;
    int64_t copied;
};

static int copy_it(void *arg)
{
    struct job *job = arg;
    job->copied = weft_copy_range(job->in, 0, job->out, 0, WEFT_COPY_ALL);
    return job->copied < 0 ? (int)job->copied : 0;
}

/* From what never ends: only a cancellation ends it. What it says it has copied is there. */
FileTest(file_copy, a_cancelled_copy_says_how_far_it_came, 1)
{
    struct job job = {.in = weft_open("/dev/zero", O_RDONLY, 0),
                      .out = weft_openat(folder_fd, "to", O_RDWR | O_CREAT, 0644)};
    WEFT_SCOPE(s);
    weft_task task;
    weft_spawn(&task, copy_it, &job);
    struct statx about = {0};
    while (about.stx_size < 1000000) { /* ends: it copies */
        wt_eq(weft_fstat(job.out, &about), 0);
    }
    weft_scope_cancel(&s, "enough");
    wt_eq(weft_await(&task), 0);
    weft_scope_end(&s);
    wt_ge(job.copied, 1000000);
    wt_eq(weft_fstat(job.out, &about), 0);
    wt_ge(about.stx_size, job.copied);
    wt_le(about.stx_size, job.copied + 256 * 1024);
    weft_close(job.in);
    weft_close(job.out);
    return 0;
}

/* --- direct ----------------------------------------------------------------------------------- */

FileTest(file_copy, direct_reads_and_writes_work_with_the_alignment_that_is_told, 2)
{
    int fd = weft_openat(folder_fd, "direct", O_RDWR | O_CREAT | O_DIRECT, 0644);
    if (fd == -EINVAL) {
        return 0; /* not on this file system */
    }
    wt_ge(fd, 0);
    weft_direct direct;
    wt_eq(weft_direct_get(fd, &direct), 0);
    wt_gt(direct.memory_align, 0);
    wt_gt(direct.offset_align, 0);
    wt_eq(direct.offset_align & (direct.offset_align - 1), 0);
    size_t bytes = (size_t)16 * direct.offset_align;
    size_t align = direct.memory_align < 64 ? 64 : direct.memory_align;
    char *memory = aligned_alloc(align, (bytes + align - 1) / align * align);
    memset(memory, 'd', bytes);
    wt_eq(weft_pwrite(fd, memory, bytes, 0), (ssize_t)bytes);
    memset(memory, 0, bytes);
    wt_eq(weft_pread_all(fd, memory, bytes, 0), (ssize_t)bytes);
    wt_eq(memory[bytes - 1], 'd');
    wt_eq(weft_pread(fd, memory, direct.offset_align, bytes), 0);
    /* refused by a disk; a file system in memory (tmpfs) takes O_DIRECT and minds no alignment */
    ssize_t askew = weft_pread(fd, memory + 1, direct.offset_align / 2, 1);
    wt_true(askew == -EINVAL || askew == (ssize_t)direct.offset_align / 2);
    free(memory);
    weft_close(fd);
    return 0;
}

FileTest(file_copy, what_cannot_be_read_directly_says_so, 1)
{
    weft_direct direct;
    wt_eq(weft_direct_get(folder_fd, &direct), -EINVAL);
    wt_eq(weft_direct_get(-1, &direct), -EBADF);
    return 0;
}
