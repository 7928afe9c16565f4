/* fork.h: fork and join of parallel sections, inline, for code that computes.
 *
 * A fork offers a piece of the current task's work to idle workers; the join takes it back and
 * calls it if nobody took it, or waits for whoever did. A forked section is part of the same task:
 * it has the same scope, cancellation and error record, and may itself wait. It allocates nothing
 * and cannot fail: when nobody may take it (no task context, no room), it simply runs at the join.
 * Joins come in the opposite order of forks, in the function that forked, before it returns, and in
 * the scope that was open at the fork; no exception or longjmp leaves the function before. Not in
 * signal handlers, nor on stacks that a task has made for itself (coroutines of another library).
 *
 * A section is best a local variable, or an array of them: one that is not on the task's stack is
 * offered at once instead of when somebody asks, which costs more. In a task it is not
 * thread-local: the join may go on on another thread.
 *
 * WEFT_STATIC says, as the CMake target weft::static does by itself, that weft is linked into the
 * program as an archive: a fork is an instruction shorter then. In code for shared objects (-fPIC)
 * it changes nothing.
 *
 * A shared object that uses this header and is loaded by dlopen(3), bringing libweft with it, takes
 * 8 bytes of what the loader keeps for static thread-local storage; without these the dlopen fails.
 *
 * The typed form lets the compiler call the function directly, with its arguments in registers:
 *
 *     static long fib(long n);
 *     WEFT_FORKABLE1(long, fib, long)
 *     static __attribute__((noinline)) long fib_node(long n)
 *     {
 *         struct fib_branch a;
 *         fib_fork(&a, n - 1);
 *         long b = fib(n - 2);
 *         return fib_join(&a) + b;
 *     }
 *     static long fib(long n) { return n < 2 ? n : fib_node(n); }
 *
 * Leaves: at least half of the calls of a recursion are leaves, which fork nothing. In one function
 * with the rest, each of them may be called, and save all registers that the others use. So put
 * what forks into a function of its own that is not inlined, as here. The compiler then tests for a
 * leaf where the call would be. Measured: fib takes as long as before with gcc 12, 0.66 of the time
 * with clang 14; fib through pointers 0.8 with both, a tree of ten children a node 0.3 and 0.4.
 * (Where nine of ten are leaves, a hint helps too: `return __builtin_expect(leaves == 1, 1) ? ...`.
 * In one function it helps gcc as much as this, and makes clang slower.)
 *
 * This header is the one place where structs of the library are open, because its few instructions
 * run in the caller's code; the library checks that it agrees with them when it is built. Names
 * that end in `_` are not API. */
#ifndef WEFT_FORK_H
#define WEFT_FORK_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_branch weft_branch;
typedef int weft_branch_fn_(weft_branch *branch);

/* A forked section, in the frame of the function that forks and joins it. Open, but not to be
 * touched. 24 bytes. */
struct weft_branch {
    /* As a worker runs it: weft_branch_run_. Of a private weft_call_branch: its function. */
    void (*run)(void *fiber, weft_branch *branch);
    /* Private, which is forked, not joined, and known to nobody else: its mark, which has the top
     * bit set. Public: the task and scope that it belongs to, an address. */
    uintptr_t link;
    /* Public: whose task and scope it belongs to, until somebody waits for it; WEFT_BRANCH_*_ */
    uintptr_t state;
};

/* --- not API: what the inline code needs of the library --------------------------------------- */

/* QUEUED (the env's address) --[join finds it stolen, after its switch]--> WAITED --[finisher]-->
 * DONE; QUEUED --[finisher]--> DONE. WAITED is a bit beside the address of the stack that waits,
 * and DONE has the section's return code in the upper half. */
#define WEFT_BRANCH_WAITED_ ((uintptr_t)1)
#define WEFT_BRANCH_DONE_   ((uintptr_t)2)

/* In a mark: the bytes of the section with its arguments, in eights; 0 for 16 KiB and more. */
#define WEFT_MARK_SIZE_(bytes) ((bytes) / 8 < 2048 ? (uintptr_t)((bytes) / 8) << 20 : (uintptr_t)0)
/* In a mark: `run` is a function that has still to become what a worker runs. */
#define WEFT_MARK_CALL_ ((uintptr_t)2)

#define WEFT_STACK_BYTES_ ((uintptr_t)1 << 18) /* of a task's stack, which is aligned to as much */

struct weft_deque_line_ {
    uint64_t pass; /* the number of the stack whose sections may be private; or of none */
    uint64_t secret;
};

void weft_branch_run_(void *fiber, weft_branch *branch, weft_branch_fn_ *body);
void weft_fork_slow_(weft_branch *here);
/* clang, x86-64: the same, but with all registers kept; see src/fork_x86_64.S. Called by its
 * address, which the loader has found before the program runs: a linker that resolves a call when
 * it is first made keeps fewer registers than clang takes for granted here. */
#if defined(__clang__) && defined(__x86_64__)
typedef __attribute__((preserve_most)) void weft_fork_saving_fn_(weft_branch *branch);
weft_fork_saving_fn_ weft_fork_saving_;
#define WEFT_FORK_SLOW_(branch)                                                       \
    do {                                                                              \
        weft_fork_saving_fn_ *slow_;                                                  \
        __asm__ volatile("movq weft_fork_saving_@GOTPCREL(%%rip), %0" : "=r"(slow_)); \
        slow_(branch);                                                                \
    } while (0)
#else
#define WEFT_FORK_SLOW_(branch) weft_fork_slow_(branch)
#endif
int weft_join_slow_(weft_branch *here);

/* The deque of the worker that this runs on; on other threads one that takes nothing.
 *
 * A task may go on on another thread after any call, so nothing that was found through thread-local
 * storage may be kept over a call, not even the address. The compiler is not told that there is
 * such a variable: it sees an assembly that it may neither leave out, nor do once for two, nor move
 * over a call ("volatile"). Between it and the last use of its result there is no call: see where
 * it is used. */
static inline __attribute__((always_inline)) struct weft_deque_line_ *weft_deque_here_(void)
{
    struct weft_deque_line_ *deque;
#if defined(__x86_64__) && defined(WEFT_STATIC) && (defined(__PIE__) || !defined(__PIC__))
    __asm__ volatile("movq %%fs:weft_thread_deque_@tpoff, %0" : "=r"(deque));
#elif defined(__x86_64__)
    /* The linker makes a constant of the first, in a program that has weft_static in it and does
     * not export the variable. */
    __asm__ volatile("movq weft_thread_deque_@gottpoff(%%rip), %0\n\t"
                     "movq %%fs:(%0), %0"
                     : "=r"(deque));
#elif defined(__aarch64__)
    uintptr_t offset;
    __asm__ volatile("adrp %1, :gottprel:weft_thread_deque_\n\t"
                     "ldr %1, [%1, :gottprel_lo12:weft_thread_deque_]\n\t"
                     "mrs %0, tpidr_el0\n\t"
                     "ldr %0, [%0, %1]"
                     : "=&r"(deque), "=&r"(offset));
#else
#error "weft runs on x86-64 and aarch64"
#endif
    return deque;
}

/* Its address, computed from the stack pointer where it is needed, instead of kept over calls in a
 * register, which even a leaf would have to save. For the library alone, which sees what `lea` made
 * of a thread-local variable (of which the assembler may warn). */
static inline __attribute__((always_inline)) weft_branch *weft_branch_here_(weft_branch *branch)
{
    weft_branch *here;
#if defined(__x86_64__)
    __asm__("leaq %1, %0" : "=r"(here) : "m"(*branch));
#else
    __asm__("" : "=r"(here) : "0"(branch));
#endif
    return here;
}

/* Makes a mark of the sum that is in the section's `link`, by adding the secret there: in no
 * register, not even for a moment after. What registers keep of a section that is no more may come
 * back to where it was: by a variadic function that saves all that could be an argument, by a push
 * that only aligns the stack. */
static inline __attribute__((always_inline)) void weft_mark_(weft_branch *branch, uint64_t secret)
{
#if defined(__x86_64__)
    __asm__ volatile("addq %1, %0" : "+m"(branch->link) : "r"(secret) : "cc");
#else
    uint64_t sum;
    __asm__ volatile("ldr %0, %1\n\t"
                     "add %0, %0, %2\n\t"
                     "str %0, %1\n\t"
                     "mov %0, xzr"
                     : "=&r"(sum), "+Q"(branch->link)
                     : "r"(secret));
#endif
}

/* A fork writes down what is to be run, and the section's mark: its address and the secret, added
 * up. That is all: whoever needs private sections finds them by their marks, on the stack. If that
 * is not the stack that has the pass, or nobody has it, there is no mark, and the slow path decides
 * what becomes of the section. `bytes`: of the section with its arguments. `kind`: WEFT_MARK_CALL_
 * or 0. */
static inline __attribute__((always_inline)) void weft_fork_(weft_branch *branch,
                                                             void (*run)(void *fiber,
                                                                         weft_branch *branch),
                                                             size_t bytes, uintptr_t kind)
{
    struct weft_deque_line_ *deque = weft_deque_here_();
    /* relaxed: what a thief stores here is a hint. (gcc takes this for a call, and what forks for
     * unlikely: so it splits a recursion's leaf off, and makes no call for it.) */
    uint64_t pass = __atomic_load_n(&deque->pass, __ATOMIC_RELAXED);
    int may_hide = (uintptr_t)branch / WEFT_STACK_BYTES_ == pass;
    uintptr_t sum = (uintptr_t)branch + (WEFT_MARK_SIZE_(bytes) + kind);
    __asm__("" : "+r"(sum)); /* as weft_branch_here_ */
    branch->run = run;
    branch->link = sum;
    /* It is in memory now, with its arguments, for whoever looks at this stack. */
    __asm__ volatile("" : : "m"(*branch) : "memory");
    if (__builtin_expect(!may_hide, 0)) {
        WEFT_FORK_SLOW_(weft_branch_here_(branch));
    } else {
        weft_mark_(branch, deque->secret);
    }
}

/* Whether the caller has to run the section itself, now. If not, it has been run. A private section
 * is taken by erasing its mark. */
static inline __attribute__((always_inline)) int weft_join_(weft_branch *branch)
{
    /* Has `link` no top bit? Its last byte alone is read: as in weft_mark_. */
    if (__builtin_expect(((const signed char *)&branch->link)[sizeof branch->link - 1] >= 0, 0)) {
        return weft_join_slow_(weft_branch_here_(branch));
    }
    branch->link = 0;
    __asm__ volatile(""
                     :
                     : "m"(branch->link)); /* in memory too, though nobody here reads it again */
    return 1;
}

/* --- pointer form ----------------------------------------------------------------------------- */

/* A section that calls a weft_fn, in the frame of the function that forks and joins it. 40
 * bytes. */
typedef struct weft_call_branch {
    weft_branch head;
    weft_fn *fn; /* public */
    void *arg;
} weft_call_branch;

/* Offers fn(arg) to idle workers. `branch` and `arg` stay the caller's, and must stay valid until
 * weft_join. In task context; elsewhere fn runs at the join. Cannot suspend, cannot fail. */
static inline void weft_fork(weft_call_branch *branch, weft_fn *fn, void *arg)
{
    branch->arg = arg;
    weft_fork_(&branch->head, (void (*)(void *fiber, weft_branch *branch))(void (*)(void))fn,
               sizeof *branch, WEFT_MARK_CALL_);
}

/* Runs the section here if nobody took it, else waits for whoever did; returns fn's result. The
 * section is needed by the caller, so nothing unrelated ever runs on top of the waiting stack. May
 * suspend. */
static inline int weft_join(weft_call_branch *branch)
{
    if (weft_join_(&branch->head)) {
        return ((weft_fn *)(void (*)(void))branch->head.run)(branch->arg);
    }
    /* relaxed: weft_join_ has acquired it */
    return (int)(__atomic_load_n(&branch->head.state, __ATOMIC_RELAXED) >> 32);
}

/* --- typed form ------------------------------------------------------------------------------- */

/* For a function `R name(T1, ...)` that has been declared: defines struct name_branch,
 * name_fork(&branch, args...) and R name_join(&branch). R is not void. Same rules as the pointer
 * form. */
#define WEFT_FORKABLE1(R, name, T1) \
    WEFT_FORKABLE_(R, name, T1 a1;, T1 a1, branch->a1 = a1;, branch->a1)
#define WEFT_FORKABLE2(R, name, T1, T2)                                               \
    WEFT_FORKABLE_(R, name, T1 a1; T2 a2;, WEFT_ARGS_(T1 a1, T2 a2), branch->a1 = a1; \
                   branch->a2 = a2;, WEFT_ARGS_(branch->a1, branch->a2))
#define WEFT_FORKABLE3(R, name, T1, T2, T3)                                             \
    WEFT_FORKABLE_(R, name, T1 a1; T2 a2; T3 a3;                                        \
                   , WEFT_ARGS_(T1 a1, T2 a2, T3 a3), branch->a1 = a1; branch->a2 = a2; \
                   branch->a3 = a3;, WEFT_ARGS_(branch->a1, branch->a2, branch->a3))
#define WEFT_ARGS_(...) __VA_ARGS__
#define WEFT_FORKABLE_(R, name, FIELDS, PARAMETERS, STORE, ARGUMENTS)        \
    struct name##_branch {                                                   \
        weft_branch head;                                                    \
        R result;                                                            \
        FIELDS                                                               \
    };                                                                       \
    static int name##_body_(weft_branch *head)                               \
    {                                                                        \
        struct name##_branch *branch = (struct name##_branch *)head;         \
        branch->result = name(ARGUMENTS);                                    \
        return 0;                                                            \
    }                                                                        \
    static void name##_run_(void *fiber, weft_branch *head)                  \
    {                                                                        \
        weft_branch_run_(fiber, head, name##_body_);                         \
    }                                                                        \
    static inline __attribute__((always_inline, unused)) void name##_fork(   \
        struct name##_branch *branch, PARAMETERS)                            \
    {                                                                        \
        STORE weft_fork_(&branch->head, name##_run_, sizeof *branch, 0);     \
    }                                                                        \
    static inline __attribute__((always_inline, unused))                     \
    R name##_join(struct name##_branch *branch)                              \
    {                                                                        \
        return weft_join_(&branch->head) ? name(ARGUMENTS) : branch->result; \
    }

#ifdef __cplusplus
}
#endif

#endif
