/* exec.c: executors: where a task runs.
 *
 * A place is a wf_home (pool/worker.h) that the task's stack carries; NULL is the pool. Whoever
 * makes the stack ready runs its `arrive` on some worker, which switches to it, or keeps it until
 * its turn, or sends it on. All waits therefore come back to the same place without knowing of it.
 *
 * Serial. `owner` is the stack that may run; the others lie in a FIFO. A stack that arrives owns
 * the executor if nobody does. A stack that suspends or moves away hands ownership to the oldest
 * that waits, and makes it ready: it will find itself the owner when it arrives.
 *
 * Loop. A pool of its own without a thread (pool/loop.h): a stack that is ready on it goes to that
 * pool's queue, and stays with that pool because wakers make a stack ready where it last ran.
 *
 * The place belongs to the stack, not to the task: a task that runs in place on top of its awaiter
 * starts where that is, and is brought back there at its end (wf_exec_return). */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "pool/loop.h"
#include "src/core.h"
#include <weft/exec.h>

struct weft_exec {
    struct wf_home home;
    WF_ATOMIC(uint32_t) residents; /* stacks that have it as their home */
    /* serial; under lock */
    struct wf_lock lock;
    struct wf_fiber *owner;
    struct wf_works waiting; /* resume works of the stacks that wait for their turn */
    /* loop */
    struct wf_loop *loop; /* NULL: serial. Immutable */
    weft_rt *rt;          /* of a serial one: the first whose task moved here; under lock */
    WF_ATOMIC(struct wf_task *)
    awaited;                /* what the loop's thread waits for in weft_call; or NULL */
    uint64_t number;        /* immutable */
    struct weft_exec *next; /* in loops_open, then in rt->loops, under rt->foreign_lock */
};

/* The loop that this thread ran last: when it blocks in weft_call, the loop stands still. It may
 * have been freed since, by another thread: so a number, that no other loop ever has. 0: none. */
static _Thread_local uint64_t loop_of_thread;

static struct wf_lock loops_lock;    /* no other is taken under it */
static struct weft_exec *loops_open; /* by `next`; under loops_lock */
static uint64_t loops_made;          /* likewise */

static struct weft_exec *exec_of(struct wf_home *home)
{
    return wf_container_of(home, struct weft_exec, home);
}

/* --- serial ----------------------------------------------------------------------------------- */

static void arrive_serial(struct wf_home *home, struct wf_fiber *self, struct wf_fiber *fiber)
{
    struct weft_exec *exec = exec_of(home);
    wf_lock(&exec->lock);
    if (exec->owner == NULL) {
        exec->owner = fiber;
    }
    bool mine = exec->owner == fiber;
    if (!mine) {
        wf_works_push(&exec->waiting, &fiber->resume);
    }
    wf_unlock(&exec->lock);
    if (mine) {
        wf_switch_to(self, fiber);
    }
}

static void leave_serial(struct wf_home *home, struct wf_fiber *fiber)
{
    struct weft_exec *exec = exec_of(home);
    wf_lock(&exec->lock);
    wf_check_inner(exec->owner == fiber);
    struct wf_work *next = wf_works_pop(&exec->waiting);
    exec->owner = next != NULL ? wf_container_of(next, struct wf_fiber, resume) : NULL;
    wf_unlock(&exec->lock);
    if (next != NULL) {
        wf_ready(fiber->worker, next);
    }
}

/* --- loop ------------------------------------------------------------------------------------- */

static void arrive_loop(struct wf_home *home, struct wf_fiber *self, struct wf_fiber *fiber)
{
    struct wf_pool *pool = exec_of(home)->loop->pool;
    if (self->worker->pool != pool) {
        wf_ready_foreign(pool, &fiber->resume);
        return;
    }
    wf_switch_to(self, fiber);
}

static void leave_loop(struct wf_home *home, struct wf_fiber *fiber)
{
    (void)home, (void)fiber;
}

bool wf_exec_is_loop(struct wf_home *home)
{
    return home != NULL && home->arrive == arrive_loop;
}

/* --- moving ----------------------------------------------------------------------------------- */

struct move {
    struct weft_exec *left; /* or NULL */
    struct wf_home *to;
    struct wf_pool *pool; /* whose worker makes the next step */
};

static void leave_for_good(struct weft_exec *left)
{
    if (left != NULL) {
        (void)wf_sub_relaxed(&left->residents, 1); /* relaxed: a count for a check */
    }
}

static void after_move(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)now;
    struct move move = *(struct move *)arg;
    leave_for_good(move.left);
    wf_fiber_set_home(before, move.to);
    wf_ready_any(move.pool, &before->resume); /* LAST TOUCH of `before` */
}

static struct weft_exec *resident_of(struct wf_home *home)
{
    return home != NULL && home->arrive != wf_arrive_pinned ? exec_of(home) : NULL;
}

/* Moves the strand from where it is to `to`. */
static void move_home(struct wf_fiber *self, struct wf_home *to)
{
    struct wf_home *from = wf_fiber_home(self);
    struct weft_exec *left = resident_of(from);
    struct weft_exec *entered = resident_of(to);
    if (entered != NULL) {
        (void)wf_add_relaxed(&entered->residents, 1); /* relaxed: a count for a check */
    }
    if ((to == NULL || to == &self->worker->pin) && !wf_exec_is_loop(from)) {
        if (from != NULL) {
            from->leave(from, self);
        }
        wf_fiber_set_home(self, to); /* it is there already */
        leave_for_good(left);
    } else {
        struct move move = {.left = left, .to = to, .pool = wf_runtime_of(self)->pool};
        if (wf_exec_is_loop(to)) {
            move.pool = entered->loop->pool;
        }
        wf_suspend(self, after_move, &move);
    }
}

WF_COLD void wf_exec_return(struct wf_fiber *self, struct wf_home *to)
{
    move_home(self, to);
}

WF_COLD struct wf_home *wf_exec_lend(struct wf_fiber *self)
{
    struct wf_home *home = wf_fiber_home(self);
    (void)wf_add_relaxed(&resident_of(home)->residents, 1); /* relaxed: a count for a check */
    move_home(self, NULL);
    return home;
}

WF_COLD void wf_exec_take_back(struct wf_fiber *self, struct wf_home *home)
{
    move_home(self, home);
    leave_for_good(resident_of(home));
}

/* Who cannot end before `task` has: its spawner, or whoever opened the scope that owns it. */
static struct wf_task *holder_of(struct wf_task *task)
{
    struct wf_env *spawner =
        wf_load_relaxed(&task->spawner); /* relaxed: set before it was queued */
    return spawner != NULL ? spawner->task : task->env.scope->env.task;
}

static bool is_held_by(struct wf_task *task, const struct wf_task *holder)
{
    while (task != NULL && task != holder) { /* ends: at a task of the root scope */
        task = holder_of(task);
    }
    return task != NULL;
}

/* An executor is for the tasks of one runtime: whoever leaves makes the next one ready where he
 * is. */
static bool belongs_to(struct weft_exec *exec, weft_rt *rt)
{
    if (exec->loop != NULL) {
        return exec->rt == rt; /* since it was made */
    }
    wf_lock(&exec->lock);
    if (exec->rt == NULL) {
        exec->rt = rt;
    }
    bool belongs = exec->rt == rt;
    wf_unlock(&exec->lock);
    return belongs;
}

int weft_move_to(weft_exec *to, weft_exec **from)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    struct wf_home *home = wf_fiber_home(self);
    if (home != NULL && home->arrive == wf_arrive_pinned) {
        return -EBUSY;
    }
    if (from != NULL) {
        *from = home != NULL ? exec_of(home) : WEFT_POOL;
    }
    struct wf_home *target = to != NULL ? &to->home : NULL;
    if (target == home) {
        return 0;
    }
    if (to != NULL && !belongs_to(to, wf_runtime_of(self))) {
        return -EINVAL;
    }
    if (to != NULL && to->loop != NULL) {
        /* sync(exec.awaited): acquire, the task that is waited for; pairs sync(exec.await) */
        struct wf_task *awaited = wf_load_acquire(&to->awaited);
        if (awaited != NULL && is_held_by(self->env->task, awaited)) {
            return weft_fail(-EDEADLK,
                             "its thread waits in weft_call (%s:%d) for this task, which therefore "
                             "cannot move to it",
                             awaited->place->file, awaited->place->line);
        }
    }
    move_home(self, target);
    return 0;
}

int weft_pin(int on)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    struct wf_home *home = wf_fiber_home(self);
    bool pinned = home != NULL && home->arrive == wf_arrive_pinned;
    if (home != NULL && !pinned) {
        return -EBUSY;
    }
    if (pinned != (on != 0)) {
        move_home(self, on != 0 ? &self->worker->pin : NULL);
    }
    return 0;
}

/* --- weft_call by a loop's thread ------------------------------------------------------------- */

/* Kept out of line: the address of a thread-local must not be kept over a suspension. */
static WF_NOINLINE void set_awaited(struct wf_task *task)
{
    uint64_t number = loop_of_thread;
    if (number == 0) {
        return;
    }
    wf_lock(&loops_lock);
    struct weft_exec *exec = loops_open;
    while (exec != NULL && exec->number != number) { /* ends: the list's end */
        exec = exec->next;
    }
    if (exec != NULL) {
        /* sync(exec.await): release, the task; pairs sync(exec.awaited) */
        wf_store_release(&exec->awaited, task);
    }
    wf_unlock(&loops_lock);
}

void wf_exec_call_begin(struct wf_task *task)
{
    set_awaited(task);
}

void wf_exec_call_end(void)
{
    set_awaited(NULL);
}

static void list_loop(struct weft_exec *exec)
{
    wf_lock(&loops_lock);
    exec->number = ++loops_made;
    exec->next = loops_open;
    loops_open = exec;
    wf_unlock(&loops_lock);
}

static void delist_loop(struct weft_exec *exec)
{
    wf_lock(&loops_lock);
    struct weft_exec **at = &loops_open;
    while (*at != exec) { /* ends: it is in the list */
        at = &(*at)->next;
    }
    *at = exec->next;
    wf_unlock(&loops_lock);
}

/* --- new, run, free --------------------------------------------------------------------------- */

static struct weft_exec *allocate_exec(void)
{
    return wf_sys_alloc_zeroed(WF_LINE, sizeof(struct weft_exec));
}

int weft_exec_serial_new(weft_exec **out)
{
    *out = NULL;
    if (wf_forked) {
        return -ENOSYS;
    }
    struct weft_exec *exec = allocate_exec();
    if (exec == NULL) {
        return -ENOMEM;
    }
    exec->home = (struct wf_home){.arrive = arrive_serial, .leave = leave_serial};
    *out = exec;
    return 0;
}

int weft_exec_loop_new(weft_exec **out, weft_rt *rt)
{
    *out = NULL;
    if (wf_forked) {
        return -ENOSYS;
    }
    if (wf_load_relaxed(&rt->stopped) != 0) { /* relaxed: as in weft_rt_stop */
        return -ESHUTDOWN;
    }
    struct weft_exec *exec = allocate_exec();
    struct wf_loop *loop = wf_sys.alloc(WF_LINE, sizeof *loop);
    if (exec == NULL || loop == NULL) {
        wf_sys.release(exec);
        wf_sys.release(loop);
        return -ENOMEM;
    }
    int rc = wf_loop_init(loop, rt);
    if (rc < 0) {
        wf_sys.release(loop);
        wf_sys.release(exec);
        return rc;
    }
    exec->home = (struct wf_home){.arrive = arrive_loop, .leave = leave_loop};
    exec->loop = loop;
    exec->rt = rt;
    list_loop(exec);
    (void)wf_add_relaxed(&rt->loops_open, 1); /* relaxed: a count */
    *out = exec;
    return 0;
}

static WF_NOINLINE void note_loop(struct weft_exec *exec)
{
    loop_of_thread = exec->number;
}

int weft_exec_run(weft_exec *exec)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    if (wf_self() != NULL) {
        return -EDEADLK;
    }
    if (exec == NULL || exec->loop == NULL) {
        return -EINVAL;
    }
    note_loop(exec);
    return wf_loop_run(exec->loop);
}

int weft_exec_fd(const weft_exec *exec)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    return exec == NULL || exec->loop == NULL ? -EINVAL : exec->loop->wake_fd;
}

weft_time weft_exec_timeout(const weft_exec *exec)
{
    if (wf_forked || exec == NULL || exec->loop == NULL) {
        return WEFT_FOREVER;
    }
    int64_t next_ns = wf_loop_next_ns(exec->loop);
    if (next_ns == INT64_MAX) {
        return WEFT_FOREVER;
    }
    int64_t left_ns = next_ns - wf_sys.now_ns();
    return left_ns > 0 ? left_ns : 0;
}

int weft_exec_free(weft_exec *exec)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    if (exec == NULL) {
        return 0;
    }
    if (wf_load_relaxed(&exec->residents) != 0) { /* relaxed: who frees it knows that they left */
        wf_misuse("weft_exec_free: tasks are still on the executor");
        return -EBUSY;
    }
    if (exec->loop == NULL) {
        wf_sys.release(exec);
        return 0;
    }
    delist_loop(exec);
    wf_loop_stop(exec->loop);
    /* error records and frames that its worker gave out may live on in the runtime */
    weft_rt *rt = exec->rt;
    (void)wf_sub_relaxed(&rt->loops_open, 1); /* relaxed: a count */
    wf_lock(&rt->foreign_lock);
    exec->next = rt->loops;
    rt->loops = exec;
    wf_unlock(&rt->foreign_lock);
    return 0;
}

void wf_exec_release_all(weft_rt *rt)
{
    while (rt->loops != NULL) { /* ends: takes one out */
        struct weft_exec *exec = rt->loops;
        rt->loops = exec->next;
        wf_loop_fini(exec->loop);
        wf_sys.release(exec->loop);
        wf_sys.release(exec);
    }
}
