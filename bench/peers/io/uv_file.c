/* uv_file.c: the files of files.h on libuv, one loop with its thread pool; a copy is one buffer at
 * a time, as callbacks have it. */
#define _GNU_SOURCE
#include "files.h"
#include <uv.h>

#define COPY_BYTES (1 << 20)

struct slot {
    uv_fs_t request;
    struct reads *reads;
    uint64_t block;
    char *bytes;
};

static void on_read(uv_fs_t *request);

static void start_read(struct slot *slot)
{
    uv_buf_t part = uv_buf_init(slot->bytes, BLOCK_BYTES);
    slot->block = next_block(slot->reads);
    uv_fs_read(uv_default_loop(), &slot->request, slot->reads->fd, &part, 1,
               (int64_t)(slot->block * BLOCK_BYTES), on_read);
}

static void on_read(uv_fs_t *request)
{
    struct slot *slot = (struct slot *)request;
    int64_t result = request->result;
    uv_fs_req_cleanup(request);
    if (take_block(slot->reads, slot->bytes, result, slot->block)) {
        start_read(slot);
    }
}

static void read_all(struct reads *reads)
{
    static struct slot slots[DEPTH_MAX];
    for (int i = 0; i < reads->depth; i++) {
        slots[i].reads = reads;
        slots[i].bytes = make_blocks(1, BLOCK_BYTES);
        start_read(&slots[i]);
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

static struct copying copy;
static uv_fs_t copy_request;
static char *copy_memory;

static void on_copy_read(uv_fs_t *request);

static void on_copy_written(uv_fs_t *request)
{
    check_files(request->result, "write");
    copy.next += (uint64_t)request->result;
    uv_fs_req_cleanup(request);
    uv_buf_t part = uv_buf_init(copy_memory, COPY_BYTES);
    uv_fs_read(uv_default_loop(), &copy_request, copy.from, &part, 1, (int64_t)copy.next,
               on_copy_read);
}

static void on_copy_read(uv_fs_t *request)
{
    int64_t n = request->result;
    uv_fs_req_cleanup(request);
    check_files(n, "read");
    if (n > 0) {
        uv_buf_t part = uv_buf_init(copy_memory, (unsigned)n);
        uv_fs_write(uv_default_loop(), &copy_request, copy.to, &part, 1, (int64_t)copy.next,
                    on_copy_written);
    }
}

static void copy_all(void)
{
    copy_memory = make_blocks(1, COPY_BYTES);
    uv_buf_t part = uv_buf_init(copy_memory, COPY_BYTES);
    uv_fs_read(uv_default_loop(), &copy_request, copy.from, &part, 1, 0, on_copy_read);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "read") == 0) {
        struct reads reads;
        begin_reads(&reads, argv + 2);
        read_all(&reads);
        end_reads(&reads);
    } else if (argc == 4 && strcmp(argv[1], "copy") == 0) {
        begin_copy(&copy, argv + 2);
        copy_all();
        end_copy(&copy);
    } else {
        return 2;
    }
    return 0;
}
