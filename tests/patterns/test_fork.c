/* Fork and join of parallel sections: pointer form and typed form, whoever runs them. */
#include "pattern.h"
#include <pthread.h>
#include <stdlib.h>
#include <weft/debug.h>
#include <weft/fork.h>
#include <weft/local.h>
#include <weft/sync.h>

/* --- the two forms ---------------------------------------------------------------------------- */

static long fib(long n);
WEFT_FORKABLE1(long, fib, long)
static long fib(long n)
{
    if (n < 2) {
        return n;
    }
    struct fib_branch a;
    fib_fork(&a, n - 1);
    long b = fib(n - 2);
    return fib_join(&a) + b;
}

struct fib_call {
    long n, result;
};

static int fib_pointer(void *arg)
{
    struct fib_call *call = arg;
    if (call->n < 2) {
        call->result = call->n;
        return 0;
    }
    struct fib_call a = {call->n - 1, 0};
    struct fib_call b = {call->n - 2, 0};
    weft_call_branch branch;
    weft_fork(&branch, fib_pointer, &a);
    int rc = fib_pointer(&b);
    int rc_a = weft_join(&branch);
    call->result = a.result + b.result;
    return rc < 0 ? rc : rc_a;
}

static long sum2(const int *from, const int *to);
WEFT_FORKABLE2(long, sum2, const int *, const int *)
static long sum2(const int *from, const int *to)
{
    if (to - from <= 4) {
        long sum = 0;
        for (; from < to; from++) {
            sum += *from;
        }
        return sum;
    }
    const int *middle = from + (to - from) / 2;
    struct sum2_branch left;
    sum2_fork(&left, from, middle);
    long right = sum2(middle, to);
    return sum2_join(&left) + right;
}

static double weigh(int depth, double weight, char tag);
WEFT_FORKABLE3(double, weigh, int, double, char)
static double weigh(int depth, double weight, char tag)
{
    if (depth == 0) {
        return tag == 'x' ? weight : -1;
    }
    struct weigh_branch left;
    weigh_fork(&left, depth - 1, weight / 2, tag);
    double right = weigh(depth - 1, weight / 2, tag);
    return weigh_join(&left) + right;
}

static int both_forms(void *arg)
{
    (void)arg;
    wt_eq(fib(24), 46368);
    struct fib_call call = {22, 0};
    wt_eq(fib_pointer(&call), 0);
    wt_eq(call.result, 17711);
    static int numbers[10000];
    for (int i = 0; i < 10000; i++) {
        numbers[i] = i;
    }
    wt_eq(sum2(numbers, numbers + 10000), 49995000);
    wt_eq(weigh(12, 4096.0, 'x'), 4096.0);
    return 0;
}

Test(fork, both_forms_give_what_the_plain_calls_would)
{
    for (int workers = 1; workers <= 8; workers++) {
        wt_eq(weft_run(both_forms, NULL, .workers = workers), 0, "%d workers", workers);
    }
}

Test(fork, outside_a_task_the_section_runs_at_the_join)
{
    wt_eq(fib(15), 610);
    struct fib_call call = {15, 0};
    weft_call_branch branch;
    weft_fork(&branch, fib_pointer, &call);
    wt_eq(call.result, 0);
    wt_eq(weft_join(&branch), 0);
    wt_eq(call.result, 610);
}

/* Its address is none that one instruction could compute. */
static __thread weft_call_branch thread_local_section;

static int fork_in_thread_local(void *arg)
{
    struct fib_call call = {*(int *)arg, 0};
    weft_fork(&thread_local_section, fib_pointer, &call);
    wt_eq(call.result, 0);
    wt_eq(weft_join(&thread_local_section), 0);
    return (int)call.result;
}

Test(fork, a_section_may_lie_in_a_thread_local_variable)
{
    int n = 15;
    wt_eq(fork_in_thread_local(&n), 610);
    wt_eq(weft_run(fork_in_thread_local, &n, .workers = 1), 610);
}

static int fib_on_blocking_thread(void *arg)
{
    (void)arg;
    return (int)fib(15);
}

TaskTest(fork, on_a_blocking_thread_the_section_runs_at_the_join, 2)
{
    wt_eq(weft_blocking(fib_on_blocking_thread, NULL), 610);
    return 0;
}

static int return_argument(void *arg)
{
    return (int)(intptr_t)arg;
}

static int set_event(void *arg)
{
    return weft_event_set(arg);
}

/* Inline: where the compiler sees what `section` is, it sees it in the fork. */
static inline __attribute__((always_inline)) void runs_while_its_task_waits(
    weft_call_branch *section)
{
    weft_event event;
    weft_event_init(&event, WEFT_EVENT_MANUAL);
    weft_call_branch first, second; /* with these, forks on the stack are free */
    weft_fork(&first, return_argument, (void *)1);
    weft_fork(&second, return_argument, (void *)2);
    weft_fork(section, set_event, &event);
    wt_eq(weft_within(WEFT_SEC(5), weft_event_wait(&event)), 0);
    wt_eq(weft_join(section), 0);
    wt_eq(weft_join(&second), 2);
    wt_eq(weft_join(&first), 1);
    weft_event_fini(&event);
}

/* Else nobody found it: one worker, which waits for what the section does. */
TaskTest(fork, a_section_on_the_heap_runs_while_its_task_waits, 1)
{
    (void)arg;
    weft_call_branch *volatile block = malloc(sizeof *block); /* unknown to the compiler */
    runs_while_its_task_waits(block);
    free(block);
    weft_call_branch *seen = malloc(sizeof *seen);
    runs_while_its_task_waits(seen);
    free(seen);
    return 0;
}

TaskTest(fork, a_section_in_a_static_variable_runs_while_its_task_waits, 1)
{
    (void)arg;
    static weft_call_branch section;
    runs_while_its_task_waits(&section);
    return 0;
}

/* On the heap it is public at once, and nobody takes it. */
TaskTest(fork, a_section_that_was_public_may_be_the_joiners_again, 1)
{
    (void)arg;
    weft_call_branch *heap = malloc(sizeof *heap);
    for (intptr_t i = 1; i < 4; i++) {
        weft_fork(heap, return_argument, (void *)i);
        wt_eq(weft_join(heap), (int)i);
    }
    free(heap);
    return 0;
}

/* Each of a row of tasks forks a section that lies in the frame of the one before, whose stack is,
 * for most, beside its own; and waits for what the section does. A mark there would be found by
 * nobody, or by the other task's worker. */
struct in_a_row {
    weft_call_branch *before; /* NULL: the first of them */
    weft_event *begun;
    int left;
};

static int fork_into_the_frame_before(void *arg)
{
    const struct in_a_row *me = arg;
    weft_event event, next_begun;
    weft_event_init(&event, WEFT_EVENT_MANUAL);
    weft_event_init(&next_begun, WEFT_EVENT_MANUAL);
    weft_call_branch first, second; /* with these, forks on the stack are free */
    weft_fork(&first, return_argument, (void *)1);
    weft_fork(&second, return_argument, (void *)2);
    if (me->before != NULL) {
        weft_fork(me->before, set_event, &event);
        wt_eq(weft_event_set(me->begun), 0);
    }
    if (me->left > 0) {
        weft_call_branch mine;
        struct in_a_row next = {&mine, &next_begun, me->left - 1};
        weft_task task;
        wt_eq(weft_spawn(&task, fork_into_the_frame_before, &next), 0);
        wt_eq(weft_event_wait(&next_begun), 0); /* so it begins on a stack of its own */
        wt_eq(weft_await(&task), 0);
    }
    if (me->before != NULL) {
        wt_eq(weft_within(WEFT_SEC(5), weft_event_wait(&event)), 0);
        wt_eq(weft_join(me->before), 0);
    }
    wt_eq(weft_join(&second), 2);
    wt_eq(weft_join(&first), 1);
    weft_event_fini(&next_begun);
    weft_event_fini(&event);
    return 0;
}

TaskTest(fork, a_section_in_the_frame_of_another_task_runs_while_its_task_waits, 1)
{
    (void)arg;
    struct in_a_row first = {.left = 16};
    return fork_into_the_frame_before(&first);
}

/* --- for clang -------------------------------------------------------------------------------- */

#if defined(__x86_64__)
/* What a call may leave behind. */
static uint64_t registers[9];

static __attribute__((always_inline)) inline void see_registers(void)
{
    __asm__ volatile("movq %%rax, %0\n\tmovq %%rcx, %1\n\tmovq %%rdx, %2\n\t"
                     "movq %%rsi, %3\n\tmovq %%rdi, %4\n\tmovq %%r8, %5\n\t"
                     "movq %%r9, %6\n\tmovq %%r10, %7\n\tmovq %%r11, %8"
                     : "=m"(registers[0]), "=m"(registers[1]), "=m"(registers[2]),
                       "=m"(registers[3]), "=m"(registers[4]), "=m"(registers[5]),
                       "=m"(registers[6]), "=m"(registers[7]), "=m"(registers[8]));
}

/* Of a section whose mark is as a fork leaves it. */
static uint64_t secret_of(const weft_call_branch *branch)
{
    wt_lt((int64_t)branch->head.link, 0); /* it has a mark */
    return branch->head.link - (uintptr_t)branch -
           (WEFT_MARK_SIZE_(sizeof *branch) + WEFT_MARK_CALL_);
}

static void no_register_has_a_mark(const weft_call_branch *branch, uint64_t secret)
{
    for (int i = 0; i < 9; i++) {
        uint64_t rest = registers[i] - (uintptr_t)branch - secret;
        wt_ne(rest & ~(UINT64_C(2047) << 20 | 3), 0, "register %d", i);
    }
}

/* A later call may save them, though they are nobody's by then; and that where the section was.
 * (Found so: weft_fail, which like printf saves all that could be an argument, saved the third
 * argument of nobody in the place of a section's link, and the next search found it.) */
TaskTest(fork, a_mark_is_in_no_register_not_even_after, 1)
{
    (void)arg;
    weft_call_branch first, second;
    weft_fork(&first, return_argument, (void *)1); /* by the slow path */
    see_registers();
    uint64_t secret = secret_of(&first);
    no_register_has_a_mark(&first, secret);
    weft_fork(&second, return_argument, (void *)2);
    see_registers();
    wt_eq(secret_of(&second), secret);
    no_register_has_a_mark(&second, secret);
    weft_scope scope;
    weft_scope_begin(&scope, NULL); /* signs both */
    see_registers();
    no_register_has_a_mark(&first, secret);
    no_register_has_a_mark(&second, secret);
    wt_eq(weft_scope_end(&scope), 0);
    wt_eq(weft_join(&second), 2);
    see_registers();
    no_register_has_a_mark(&second, secret);
    wt_eq(weft_yield(), 0); /* publishes the first, if there is somebody to yield to */
    see_registers();
    no_register_has_a_mark(&first, secret);
    wt_eq(weft_join(&first), 1);
    see_registers();
    no_register_has_a_mark(&first, secret);
    return 0;
}

static int set_to_one(void *arg)
{
    *(int *)arg = 1;
    return 7;
}

TaskTest(fork, the_rare_path_for_clang_keeps_all_registers, 2)
{
    (void)arg;
    int ran = 0;
    weft_call_branch section = {.arg = &ran}; /* as weft_fork leaves it before the rare path */
    section.head.run = (void (*)(void *, weft_branch *))(void (*)(void))set_to_one;
    section.head.link = (uintptr_t)&section + WEFT_MARK_SIZE_(sizeof section) + WEFT_MARK_CALL_;
    weft_branch *rdi = &section.head;
    uint64_t rax = 1, rcx = 2, rdx = 3, rsi = 4;
    register uint64_t r8 __asm__("r8") = 5;
    register uint64_t r9 __asm__("r9") = 6;
    __asm__ volatile("call weft_fork_saving_@PLT"
                     : "+a"(rax), "+c"(rcx), "+d"(rdx), "+S"(rsi), "+D"(rdi), "+r"(r8), "+r"(r9)
                     :
                     : "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
                       "memory", "cc");
    uint64_t after[] = {rax, rcx, rdx, rsi, r8, r9};
    for (uint64_t i = 0; i < 6; i++) {
        wt_eq(after[i], i + 1);
    }
    wt_true(rdi == &section.head);
    wt_eq(weft_join(&section), 7);
    wt_eq(ran, 1);
    return 0;
}
#endif

/* --- what a section may do -------------------------------------------------------------------- */

/* For ThreadSanitizer whatever waits has a fiber, whose 0.8 MB are cleared: there a part of it
 * waits. */
#if defined(__SANITIZE_THREAD__)
#define PART 5
#else
#define PART 1
#endif

static int yield_a_little(void *arg)
{
    int n = (int)(intptr_t)arg;
    int yields = n / 4 % PART == 0 ? n % 4 : 0;
    for (int i = 0; i < yields; i++) {
        wt_eq(weft_yield(), 0);
    }
    return n;
}

struct waiting_tree {
    int depth;
    weft_sem *sem;
};

/* Waits in leaves, in the middle, before and after joins. */
static int waiting_tree(void *arg)
{
    struct waiting_tree *tree = arg;
    if (tree->depth == 0) {
        wt_eq(weft_sem_acquire(tree->sem), 0);
        weft_yield();
        wt_eq(weft_sem_release(tree->sem, 1), 0);
        return 1;
    }
    struct waiting_tree below = {tree->depth - 1, tree->sem};
    weft_call_branch left;
    weft_call_branch middle;
    weft_fork(&left, waiting_tree, &below);
    weft_yield();
    weft_fork(&middle, waiting_tree, &below);
    int sum = waiting_tree(&below);
    sum += weft_join(&middle);
    weft_yield();
    return sum + weft_join(&left);
}

static int grow_waiting_tree(void *arg)
{
    (void)arg;
    weft_sem sem;
    weft_sem_init(&sem, 2, 2);
    struct waiting_tree tree = {PART == 1 ? 6 : 5, &sem};
    wt_eq(waiting_tree(&tree), PART == 1 ? 729 : 243);
    wt_eq(weft_sem_count(&sem), 2);
    weft_sem_fini(&sem);
    return 0;
}

Test(fork, sections_may_wait)
{
    for (int workers = 1; workers <= 8; workers++) {
        wt_eq(weft_run(grow_waiting_tree, NULL, .workers = workers), 0, "%d workers", workers);
    }
}

static int post(void *sem)
{
    return weft_sem_release(sem, 1);
}

static int acquire(void *sem)
{
    return weft_sem_acquire(sem);
}

/* The section waits for something that its own forker does only afterwards: legal, if the forker
 * does it before the join, and some worker takes the section or the join finds it still there. */
static int handshake(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000 / PART; i++) {
        weft_sem sem;
        weft_sem_init(&sem, 0, 0);
        weft_call_branch waits;
        weft_fork(&waits, acquire, &sem);
        if (i % 3 == 0) {
            weft_yield();
        }
        wt_eq(post(&sem), 0);
        wt_eq(weft_join(&waits), 0);
        weft_sem_fini(&sem);
    }
    return 0;
}

Test(fork, a_section_may_wait_for_its_forker)
{
    wt_eq(weft_run(handshake, NULL, .workers = 1), 0);
    wt_eq(weft_run(handshake, NULL, .workers = 2), 0);
    wt_eq(weft_run(handshake, NULL, .workers = 8), 0);
}

/* Two sections that need each other: the join of the second may start it only on a stack of its
 * own, or on top of its forker, which needs it; the first must then run somewhere else. */
struct mutual {
    weft_sem first, second;
};

static int first_half(void *arg)
{
    struct mutual *mutual = arg;
    weft_sem_release(&mutual->first, 1);
    return weft_sem_acquire(&mutual->second);
}

static int second_half(void *arg)
{
    struct mutual *mutual = arg;
    weft_sem_release(&mutual->second, 1);
    return weft_sem_acquire(&mutual->first);
}

static int sections_that_need_each_other(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000 / PART; i++) {
        struct mutual mutual;
        weft_sem_init(&mutual.first, 0, 0);
        weft_sem_init(&mutual.second, 0, 0);
        weft_call_branch a;
        weft_call_branch b;
        weft_fork(&a, first_half, &mutual);
        weft_fork(&b, second_half, &mutual);
        wt_eq(weft_join(&b), 0);
        wt_eq(weft_join(&a), 0);
        weft_sem_fini(&mutual.first);
        weft_sem_fini(&mutual.second);
    }
    return 0;
}

Test(fork, sections_may_wait_for_each_other)
{
    wt_eq(weft_run(sections_that_need_each_other, NULL, .workers = 1), 0);
    wt_eq(weft_run(sections_that_need_each_other, NULL, .workers = 2), 0);
    wt_eq(weft_run(sections_that_need_each_other, NULL, .workers = 8), 0);
}

static int spawn_inside(void *arg)
{
    weft_task t;
    weft_spawn(&t, yield_a_little, arg);
    int rc = weft_await(&t);
    return rc;
}

static int spawn_in_sections(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500 / PART; i++) {
        weft_call_branch branches[4];
        for (int n = 0; n < 4; n++) {
            weft_fork(&branches[n], spawn_inside, (void *)(intptr_t)(i + n));
        }
        for (int n = 3; n >= 0; n--) {
            wt_eq(weft_join(&branches[n]), i + n);
        }
    }
    return 0;
}

Test(fork, sections_may_spawn_and_await_tasks)
{
    wt_eq(weft_run(spawn_in_sections, NULL, .workers = 1), 0);
    wt_eq(weft_run(spawn_in_sections, NULL, .workers = 2), 0);
    wt_eq(weft_run(spawn_in_sections, NULL, .workers = 8), 0);
}

/* --- bounds ----------------------------------------------------------------------------------- */

#define OUTSTANDING 10000 /* more than a worker's deque holds */

static int many_outstanding(void *arg)
{
    (void)arg;
    static weft_call_branch branches[OUTSTANDING];
    for (int i = 0; i < OUTSTANDING; i++) {
        weft_fork(&branches[i], yield_a_little, (void *)(intptr_t)i);
    }
    for (int i = OUTSTANDING - 1; i >= 0; i--) {
        wt_eq(weft_join(&branches[i]), i);
    }
    return 0;
}

Test(fork, ten_thousand_forks_may_be_outstanding)
{
    wt_eq(weft_run(many_outstanding, NULL, .workers = 1), 0);
    wt_eq(weft_run(many_outstanding, NULL, .workers = 2), 0);
    wt_eq(weft_run(many_outstanding, NULL, .workers = 8), 0);
}

static long descend(long left);
WEFT_FORKABLE1(long, descend, long)
static long descend(long left)
{
    if (left == 0) {
        return 0;
    }
    struct descend_branch next;
    descend_fork(&next, left - 1);
    return descend_join(&next) + 1;
}

static int descend_deep(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        wt_eq(descend(300), 300); /* sanitizers' frames are large */
    }
    return 0;
}

Test(fork, sections_nest_deeply)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(descend_deep, NULL, .workers = workers), 0);
    }
}

static int fork_after_migration(void *arg)
{
    for (int i = 0; i < 60; i++) {
        weft_call_branch a;
        weft_fork(&a, yield_a_little, (void *)1);
        weft_yield(); /* the task may go on elsewhere, its section stays where it is */
        weft_call_branch b;
        weft_fork(&b, yield_a_little, (void *)2);
        weft_yield();
        wt_eq(weft_join(&b), 2);
        wt_eq(weft_join(&a), 1);
    }
    return (int)(intptr_t)arg;
}

static int many_migrating(void *arg)
{
    (void)arg;
    weft_task t[20];
    for (int i = 0; i < 20; i++) {
        weft_spawn(&t[i], fork_after_migration, (void *)(intptr_t)i);
    }
    for (int i = 0; i < 20; i++) {
        wt_eq(weft_await(&t[i]), i);
    }
    return 0;
}

Test(fork, a_task_may_migrate_between_fork_and_join)
{
    wt_eq(weft_run(many_migrating, NULL, .workers = 1), 0);
    wt_eq(weft_run(many_migrating, NULL, .workers = 2), 0);
    wt_eq(weft_run(many_migrating, NULL, .workers = 8), 0);
}

static atomic_int taken_elsewhere;
static pthread_t forker;

static int note_thread(void *arg)
{
    (void)arg;
    if (!pthread_equal(pthread_self(), forker)) {
        atomic_store(&taken_elsewhere, 1);
    }
    return 0;
}

TaskTest(fork, an_idle_worker_takes_a_forked_section, 2)
{
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&taken_elsewhere) == 0) { /* ends: at give_up_ns */
        wt_lt(now_ns(), give_up_ns, "nobody ever took one");
        forker = pthread_self();
        weft_call_branch branch;
        weft_fork(&branch, note_thread, NULL);
        int64_t until_ns = now_ns() + WEFT_US(200);
        /* ends: computes for a while */
        while (now_ns() < until_ns && atomic_load(&taken_elsewhere) == 0) {
        }
        weft_join(&branch);
    }
    return 0;
}

/* --- many short ones, and then a long one ----------------------------------------------------- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void fork_and_join(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        weft_call_branch branch;
        weft_fork(&branch, nothing, NULL);
        weft_join(&branch);
    }
}

static int raise_flag(void *flag)
{
    atomic_store((atomic_int *)flag, 1);
    return 0;
}

static atomic_int holds, held; /* it is to hold one; it does */

/* Keeps a worker busy for as long as it is to. */
static int hold(void *arg)
{
    (void)arg;
    atomic_fetch_add(&held, 1);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&holds) != 0) { /* ends: at give_up_ns */
        wt_lt(now_ns(), give_up_ns, "nobody took the section");
    }
    atomic_store(&held, 0);
    return 0;
}

/* `spared_ns`: for so long others learn that what is forked here is short. */
static void run_long_region(int64_t spared_ns)
{
    int64_t until_ns = now_ns() + spared_ns;
    while (now_ns() < until_ns) { /* ends: a while */
        fork_and_join(1000);
    }
    atomic_int taken = 0;
    weft_call_branch branch;
    weft_fork(&branch, raise_flag, &taken);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&taken) == 0) { /* ends: at give_up_ns */
        wt_lt(now_ns(), give_up_ns, "nobody took the section");
        fork_and_join(1);
    }
    weft_join(&branch);
}

static int long_ones_after_short_ones(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        run_long_region(i * WEFT_US(100));
    }
    return 0;
}

Test(fork, a_long_section_after_many_short_ones_is_taken_all_the_same)
{
    wt_eq(weft_run(long_ones_after_short_ones, NULL, .workers = 2), 0);
    wt_eq(weft_run(long_ones_after_short_ones, NULL, .workers = 4), 0);
}

/* Whoever was to come back to the forker has something else to do, at any moment: another does. */
static int short_ones_while_others_are_held(void *arg)
{
    weft_rt *rt = arg;
    for (int i = 0; i < 40; i++) {
        fork_and_join(20000 + 1000 * i);
        atomic_store(&holds, 1);
        wt_eq(weft_post(rt, hold, NULL), 0);
        while (atomic_load(&held) == 0) { /* ends: there are workers that idle */
            fork_and_join(10);
        }
        run_long_region(i % 4 * WEFT_US(50));
        atomic_store(&holds, 0);
        while (atomic_load(&held) != 0) { /* ends: it sees that at once */
            fork_and_join(10);
        }
    }
    return 0;
}

Test(fork, who_spares_a_forker_hands_that_on_when_it_leaves)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 3}), 0);
    wt_eq(weft_call(rt, short_ones_while_others_are_held, rt), 0);
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, 0), 0);
    weft_rt_free(rt);
}

/* --- inheritance ------------------------------------------------------------------------------ */

static int is_cancelled(void *why)
{
    wt_eq(weft_check(), -ECANCELED);
    wt_str_eq(weft_why()->text, why);
    wt_eq(weft_yield(), -ECANCELED);
    return 0;
}

TaskTest(fork, a_section_runs_under_the_scope_it_was_forked_in, 2)
{
    for (int i = 0; i < 500; i++) {
        WEFT_SCOPE(s);
        weft_scope_cancel(&s, "the section sees this");
        weft_call_branch branch;
        weft_fork(&branch, is_cancelled, "the section sees this");
        wt_eq(weft_join(&branch), 0);
        weft_scope_end(&s);
        wt_eq(weft_check(), 0);
    }
    return 0;
}

static const weft_key depth = {"depth"};

static int finds_outer(void *arg)
{
    wt_str_eq(weft_get(&depth), "outer");
    wt_eq(weft_check(), 0);
    return weft_sem_release(arg, 1);
}

static int finds_inner(void *arg)
{
    (void)arg;
    wt_str_eq(weft_get(&depth), "inner");
    wt_eq(weft_check(), -ECANCELED);
    return 0;
}

static int fork_across_a_scope(void *arg)
{
    (void)arg;
    weft_sem ran;
    weft_sem_init(&ran, 0, 0);
    WEFT_BIND(&depth, "outer");
    for (int i = 0; i < 100; i++) {
        weft_call_branch outer;
        weft_fork(&outer, finds_outer, &ran);
        WEFT_SCOPE(s);
        {
            WEFT_BIND(&depth, "inner");
            weft_scope_cancel(&s, "this scope alone");
            weft_call_branch inner;
            weft_fork(&inner, finds_inner, NULL);
            /* others run both, under what they were forked under */
            wt_eq(weft_shield(WEFT_SEC(10), weft_sem_acquire(&ran)), 0);
            wt_eq(weft_join(&inner), 0);
        }
        weft_scope_end(&s);
        wt_eq(weft_join(&outer), 0);
    }
    weft_sem_fini(&ran);
    return 0;
}

Test(fork, a_section_keeps_its_scope_and_locals_when_its_forker_opens_others)
{
    wt_eq(weft_run(fork_across_a_scope, NULL, .workers = 1), 0);
    wt_eq(weft_run(fork_across_a_scope, NULL, .workers = 2), 0);
}

static int nested_scope(void *arg)
{
    weft_sem *never = arg;
    return weft_within(WEFT_US(200), weft_sem_acquire(never));
}

static int scope_in_scope(void *never)
{
    return weft_within(WEFT_SEC(1000), nested_scope(never));
}

static int scopes_in_sections(void *arg)
{
    (void)arg;
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    for (int i = 0; i < 100; i++) {
        weft_call_branch branches[3];
        for (int n = 0; n < 3; n++) {
            weft_fork(&branches[n], n == 1 ? scope_in_scope : nested_scope, &never);
        }
        for (int n = 2; n >= 0; n--) {
            wt_eq(weft_join(&branches[n]), -ETIME);
        }
        wt_eq(weft_check(), 0);
    }
    weft_sem_fini(&never);
    return 0;
}

Test(fork, sections_may_open_scopes_of_their_own)
{
    wt_eq(weft_run(scopes_in_sections, NULL, .workers = 1), 0);
    wt_eq(weft_run(scopes_in_sections, NULL, .workers = 2), 0);
    wt_eq(weft_run(scopes_in_sections, NULL, .workers = 8), 0);
}

TaskTest(fork, a_cancellation_reaches_a_section_that_waits, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    WEFT_SCOPE(s, .timeout = WEFT_MS(3));
    weft_call_branch a;
    weft_call_branch b;
    weft_fork(&a, acquire, &never);
    weft_fork(&b, acquire, &never);
    wt_eq(weft_join(&b), -ECANCELED);
    wt_eq(weft_join(&a), -ECANCELED);
    weft_scope_end(&s);
    weft_sem_fini(&never);
    return 0;
}

struct in_callback {
    weft_rt *rt;
    atomic_int posted_ran;
    int section_ran, joined, posted_at_join;
};

static int answer(void *arg)
{
    ((struct in_callback *)arg)->section_ran++;
    return 7;
}

static int post_runs(void *arg)
{
    atomic_fetch_add(&((struct in_callback *)arg)->posted_ran, 1);
    return 0;
}

static void fork_and_post(void *arg)
{
    struct in_callback *seen = arg;
    weft_call_branch branch;
    weft_fork(&branch, answer, seen);
    wt_eq(weft_post(seen->rt, post_runs, seen), 0);
    seen->joined = weft_join(&branch);
    seen->posted_at_join = atomic_load(&seen->posted_ran);
}

TaskTest(fork, a_join_in_a_callback_does_not_suspend, 1)
{
    struct in_callback seen = {.rt = weft_rt_current(), .joined = -1, .posted_at_join = -1};
    weft_call_branch branch;
    weft_fork(&branch, answer, &seen); /* leaves room in the deque for more */
    wt_eq(weft_join(&branch), 7);
    weft_cancel source;
    weft_cancel_reg reg = {0};
    weft_cancel_init(&source, NULL);
    wt_eq(weft_cancel_on(&source, &reg, fork_and_post, &seen), 0);
    weft_cancel_fire(&source, "calls back");
    (void)weft_cancel_off(&reg);
    weft_cancel_fini(&source);
    wt_eq(seen.section_ran, 2);
    wt_eq(seen.joined, 7);
    wt_eq(seen.posted_at_join, 0); /* one worker: it could run only while the callback waited */
    yield_until(&seen.posted_ran, 1);
    return 0;
}
