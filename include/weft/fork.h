/* fork.h: fork and join of parallel sections, inline, for code that computes.
 *
 * A fork offers a piece of the current task's work to idle workers; the join takes it back and
 * calls it if nobody took it, or waits for whoever did. A forked section is part of the same task:
 * it has the same scope, cancellation and error record, and may itself wait. It allocates nothing
 * and cannot fail: when nobody may take it (no task context, no room), it simply runs at the join.
 * Joins come in the opposite order of forks, in the function that forked, before it returns.
 *
 * The typed form lets the compiler call the function directly, with its arguments in registers:
 *
 *     static long fib(long n);
 *     WEFT_FORKABLE1(long, fib, long)
 *     static long fib(long n)
 *     {
 *         if (n < 2) return n;
 *         struct fib_branch a;
 *         fib_fork(&a, n - 1);
 *         long b = fib(n - 2);
 *         return fib_join(&a) + b;
 *     }
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
typedef void weft_branch_fn_(weft_branch *branch);

/* A forked section, in the frame of the function that forks and joins it. Open, but not to be
 * touched. */
struct weft_branch {
    void (*run)(void *fiber, weft_branch *branch); /* as a worker runs it: weft_branch_run_ */
    /* WEFT_BRANCH_*_, or the stack that waits, plus 1 */
    uintptr_t state;
    void *env;             /* whose task and scope the section belongs to */
    weft_branch_fn_ *body; /* runs the section and keeps its result */
};

/* --- not API: what the inline code needs of the library --------------------------------------- */

/* QUEUED --[join finds it stolen, after its switch]--> waiter --[finisher]--> DONE; QUEUED --[finisher]--> DONE.
 * HERE: never offered to anybody, runs at the join. */
#define WEFT_BRANCH_QUEUED_ ((uintptr_t)0)
#define WEFT_BRANCH_DONE_   ((uintptr_t)2)
#define WEFT_BRANCH_HERE_   ((uintptr_t)4)

#define WEFT_STACK_BYTES_  ((uintptr_t)256 * 1024)
#define WEFT_FIBER_OFFSET_ (WEFT_STACK_BYTES_ - 256)
#define WEFT_DEQUE_MASK_   ((uint64_t)4095)

struct weft_deque_line_ {
    uint64_t head, split, limit, full_at;
    unsigned char pad[224];
    weft_branch *slots[];
};

struct weft_fiber_line_ {
    struct weft_deque_line_ *deque;
    void *env;
};

extern uintptr_t weft_stack_region_[2];

void weft_branch_run_(void *fiber, weft_branch *branch);
int weft_fork_slow_(struct weft_fiber_line_ *fiber, weft_branch *branch);
int weft_join_slow_(struct weft_fiber_line_ *fiber, weft_branch *branch);
void weft_branch_call_(weft_branch *branch);

/* The control block of the stack that this runs on, or NULL: the stack pointer masked. The result
 * is right for the whole function, whichever thread it continues on. */
static inline __attribute__((always_inline)) struct weft_fiber_line_ *weft_fiber_here_(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    /* relaxed: the region does not change while a task runs */
    if (__builtin_expect(here - __atomic_load_n(&weft_stack_region_[0], __ATOMIC_RELAXED) >=
                             __atomic_load_n(&weft_stack_region_[1], __ATOMIC_RELAXED),
                         0)) {
        return NULL;
    }
    return (struct weft_fiber_line_ *)((here & ~(WEFT_STACK_BYTES_ - 1)) + WEFT_FIBER_OFFSET_);
}

static inline __attribute__((always_inline)) void weft_fork_(weft_branch *branch,
                                                             weft_branch_fn_ *body)
{
    struct weft_fiber_line_ *fiber = weft_fiber_here_();
    branch->run = weft_branch_run_;
    branch->body = body;
    /* relaxed, all three: a plain store that thieves see through the deque's publication, or not at
     * all */
    __atomic_store_n(&branch->state, WEFT_BRANCH_QUEUED_, __ATOMIC_RELAXED);
    if (__builtin_expect(fiber != NULL, 1)) {
        struct weft_deque_line_ *deque = fiber->deque;
        branch->env = fiber->env;
        uint64_t head = deque->head;
        if (__builtin_expect(head < __atomic_load_n(&deque->limit, __ATOMIC_RELAXED), 1)) {
            __atomic_store_n(&deque->slots[head & WEFT_DEQUE_MASK_], branch, __ATOMIC_RELAXED);
            deque->head = head + 1;
            return;
        }
        if (weft_fork_slow_(fiber, branch)) {
            return;
        }
    }
    __atomic_store_n(&branch->state, WEFT_BRANCH_HERE_, __ATOMIC_RELAXED);
}

/* Whether the caller has to run the section itself, now. If not, it has been run. */
static inline __attribute__((always_inline)) int weft_join_(weft_branch *branch)
{
    struct weft_fiber_line_ *fiber = weft_fiber_here_();
    if (__builtin_expect(fiber != NULL, 1)) {
        struct weft_deque_line_ *deque = fiber->deque;
        uint64_t head = deque->head;
        if (__builtin_expect(head != deque->split &&
                                 __atomic_load_n(&deque->slots[(head - 1) & WEFT_DEQUE_MASK_],
                                                 __ATOMIC_RELAXED) == branch,
                             1)) { /* relaxed: our own entry */
            deque->head = head - 1;
            return 1;
        }
        return weft_join_slow_(fiber, branch);
    }
    return 1;
}

/* --- pointer form ----------------------------------------------------------------------------- */

/* A section that calls a weft_fn, in the frame of the function that forks and joins it. 56
 * bytes. */
typedef struct weft_call_branch {
    weft_branch head;
    weft_fn *fn;
    void *arg;
    int rc;
} weft_call_branch;

/* Offers fn(arg) to idle workers. `branch` and `arg` stay the caller's, and must stay valid until
 * weft_join. In task context; elsewhere fn runs at the join. Cannot suspend, cannot fail. */
static inline void weft_fork(weft_call_branch *branch, weft_fn *fn, void *arg)
{
    branch->fn = fn;
    branch->arg = arg;
    weft_fork_(&branch->head, weft_branch_call_);
}

/* Runs the section here if nobody took it, else waits for whoever did; returns fn's result. The
 * section is needed by the caller, so nothing unrelated ever runs on top of the waiting stack. May
 * suspend. */
static inline int weft_join(weft_call_branch *branch)
{
    if (weft_join_(&branch->head)) {
        return branch->fn(branch->arg);
    }
    return branch->rc;
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
    static void name##_body_(weft_branch *head)                              \
    {                                                                        \
        struct name##_branch *branch = (struct name##_branch *)head;         \
        branch->result = name(ARGUMENTS);                                    \
    }                                                                        \
    static inline __attribute__((always_inline, unused)) void name##_fork(   \
        struct name##_branch *branch, PARAMETERS)                            \
    {                                                                        \
        STORE weft_fork_(&branch->head, name##_body_);                       \
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
