/* test_hello.c: examples/hello.c as a program. */
#include "program.h"
#include <sys/stat.h>

Test(hello, prints_first_lines)
{
    struct program hello;
    program_start(&hello, example("hello"), "/proc/version", "/proc/self/comm");
    wt_eq(program_wait(&hello, PROGRAM_PATIENCE_MS), 0, "%s", hello.err.bytes);
    wt_eq(lines_in(&hello.out), 2);
    wt_true(strstr(hello.out.bytes, "/proc/version: Linux version ") != NULL, "stdout: %s",
            hello.out.bytes);
    wt_true(strstr(hello.out.bytes, "/proc/self/comm: ") != NULL, "stdout: %s", hello.out.bytes);
    program_free(&hello);
}

Test(hello, a_file_that_is_not_there_is_a_failure)
{
    struct program hello;
    program_start(&hello, example("hello"), "/nonexistent");
    wt_eq(program_wait(&hello, PROGRAM_PATIENCE_MS), 1);
    wt_str_eq(hello.out.bytes, "/nonexistent: No such file or directory\n");
    program_free(&hello);
}

/* Nobody writes to the pipe: the read is in the kernel when the second is over. */
Test(hello, a_read_that_never_ends_is_cancelled_by_the_deadline)
{
    int silent[2];
    wt_eq(pipe(silent), 0);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", silent[0]);
    struct program hello;
    int64_t start_ms = now_ms();
    program_start(&hello, example("hello"), path, "/proc/version");
    wt_eq(program_wait(&hello, 5000), 1);
    wt_ge(now_ms() - start_ms, 999);
    wt_true(strstr(hello.out.bytes, ": Operation canceled\n") != NULL, "stdout: %s",
            hello.out.bytes);
    wt_true(strstr(hello.out.bytes, "/proc/version: Linux version ") != NULL, "stdout: %s",
            hello.out.bytes);
    program_free(&hello);
}
