/* test_file_position.c: writes of several tasks at a regular file's own position. None is lost,
 * whichever calls they are made by: io_uring by itself would put two at the same place. */
#include "file_pattern.h"
#include <errno.h>
#include <sys/uio.h>
#include <weft/file.h>
#include <weft/stackless.h>
#include <weft/task.h>

#define WRITERS 8
#define LINES   1000
#define BYTES   9

struct lines {
    int fd;
    ssize_t (*write)(int fd, const char *line);
};

static ssize_t by_write(int fd, const char *line)
{
    return weft_write(fd, line, BYTES);
}

static ssize_t by_writev(int fd, const char *line)
{
    struct iovec parts[2] = {{(void *)line, 4}, {(void *)(line + 4), BYTES - 4}};
    return weft_writev(fd, parts, 2);
}

static ssize_t by_value(int fd, const char *line)
{
    weft_val written = weft_write_v(fd, line, BYTES);
    return weft_val_await(written);
}

static ssize_t by_vector_value(int fd, const char *line)
{
    struct iovec part = {(void *)line, BYTES};
    weft_val written = weft_writev_v(fd, &part, 1);
    return weft_val_await(written);
}

WEFT_TASK(write_lines, struct lines)
{
    for (int i = 0; i < LINES; i++) {
        wt_eq(arg->write(arg->fd, "abcdefgh\n"), BYTES);
    }
    return 0;
}

static void write_all(const char *name, int flags, ssize_t (*write)(int fd, const char *line))
{
    static char text[WRITERS * LINES * BYTES + 1];
    int fd = weft_openat(folder_fd, name, O_RDWR | O_CREAT | O_TRUNC | flags, 0600);
    wt_ge(fd, 0);
    struct lines lines = {fd, write};
    WEFT_SCOPE(scope);
    for (int i = 0; i < WRITERS; i++) {
        wt_eq(weft_go(&scope, write_lines, &lines), 0);
    }
    wt_eq(weft_scope_end(&scope), 0);
    wt_eq(weft_pread(fd, text, sizeof text, 0), WRITERS * LINES * BYTES, "%s", name);
    for (int i = 0; i < WRITERS * LINES; i++) {
        wt_mem_eq(text + i * BYTES, "abcdefgh\n", BYTES);
    }
    wt_eq(weft_close(fd), 0);
}

FileTest(file_position, no_write_of_several_tasks_is_lost, 4)
{
    write_all("write", 0, by_write);
    write_all("writev", 0, by_writev);
    write_all("value", 0, by_value);
    write_all("values", 0, by_vector_value);
    write_all("append", O_APPEND, by_write);
    return 0;
}
