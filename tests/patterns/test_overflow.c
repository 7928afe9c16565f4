/* Running out of stack: the program ends with a message that names the task. */
#include "capture.h"
#include "pattern.h"
#include <weft/fork.h>
#include <weft/sync.h>

static int depth_max = 1 << 30; /* not known to the compiler */

/* Touches its stack downwards in steps of about `bytes`. */
#define DEEP(bytes)                                                                       \
    __attribute__((noinline)) static int deep_##bytes(int depth)                          \
    {                                                                                     \
        volatile unsigned char frame[bytes];                                              \
        frame[0] = (unsigned char)depth;                                                  \
        frame[sizeof frame - 1] = (unsigned char)depth;                                   \
        return depth < depth_max ? deep_##bytes(depth + 1) + frame[0] : frame[bytes - 1]; \
    }
DEEP(64)
DEEP(4096)
DEEP(100000)

static int overflow_slowly(void *arg)
{
    (void)arg;
    return deep_64(0);
}

static int overflow_by_pages(void *arg)
{
    (void)arg;
    return deep_4096(0);
}

/* Each frame is larger than the guard: -fstack-clash-protection makes it touch every page on its
 * way. */
static int overflow_by_large_frames(void *arg)
{
    (void)arg;
    return deep_100000(0);
}

static int overflow_after_a_migration(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        weft_sleep(WEFT_US(1));
    }
    return deep_64(0);
}

static int spawn_line;
static weft_fn *spawned_body;

static int spawn_it(void *arg)
{
    (void)arg;
    weft_task t;
    spawn_line = __LINE__ + 1;
    weft_spawn(&t, spawned_body, NULL);
    return weft_await(&t);
}

static int run_spawned(void)
{
    return weft_run(spawn_it, NULL, .workers = 2);
}

static void check_overflow(weft_fn *body)
{
    struct captured captured;
    spawned_body = body;
    capture(&captured, run_spawned);
    check_aborted(&captured);
    check_says(&captured, "stack overflow");
    check_says(&captured, "spawn_it");
    check_says(&captured, "test_overflow.c:");
}

Test(overflow, of_a_task_names_it_and_aborts)
{
    check_overflow(overflow_slowly);
}

Test(overflow, by_frames_of_a_page_is_found)
{
    check_overflow(overflow_by_pages);
}

Test(overflow, by_frames_larger_than_the_guard_is_found)
{
    check_overflow(overflow_by_large_frames);
}

Test(overflow, after_a_migration_is_found)
{
    check_overflow(overflow_after_a_migration);
}

static int overflow_in_section(void *arg)
{
    (void)arg;
    weft_call_branch branch;
    weft_fork(&branch, overflow_slowly, NULL);
    weft_yield();
    return weft_join(&branch);
}

Test(overflow, of_a_forked_section_names_its_task)
{
    check_overflow(overflow_in_section);
}

/* Two thirds of a stack are a task's to use. */
__attribute__((noinline)) static int use_much(void)
{
    volatile unsigned char frame[160 * 1024];
    for (size_t i = 0; i < sizeof frame; i += 512) {
        frame[i] = 1;
    }
    return frame[512];
}

static int use_much_of_it(void *arg)
{
    (void)arg;
    int rc = use_much();
    weft_sleep(WEFT_US(1));
    return rc;
}

TaskTest(overflow, a_hundred_and_sixty_kilobytes_of_stack_are_no_overflow, 2)
{
    weft_task t[8];
    for (int i = 0; i < 8; i++) {
        weft_spawn(&t[i], use_much_of_it, NULL);
    }
    for (int i = 0; i < 8; i++) {
        wt_eq(weft_await(&t[i]), 1);
    }
    return 0;
}

static int wild_pointer(void *arg)
{
    (void)arg;
    static volatile int *volatile nowhere; /* the compiler must not know */
    return *nowhere;
}

static int run_wild(void)
{
    return weft_run(wild_pointer, NULL, .workers = 1);
}

Test(overflow, another_fault_is_not_called_an_overflow)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    wt_skip("the sanitizer reports it first");
#endif
    struct captured captured;
    capture(&captured, run_wild);
    wt_true(!WIFEXITED(captured.status) || WEXITSTATUS(captured.status) != 0);
    wt_true(strstr(captured.text, "stack overflow") == NULL, "%s", captured.text);
}
