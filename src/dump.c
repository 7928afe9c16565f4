/* dump.c: what the tasks of a runtime wait for, written without their help.
 *
 * A dump may come from any thread, at any time, also from a debugger or a signal handler: it takes
 * no lock that a task may hold, and stops nobody. It looks at every stack of the process and copies
 * what it follows through wf_sys.peek, which survives an address that has gone away meanwhile. So a
 * line may be of a moment ago, or mix two moments, of a task that runs; of tasks that wait it is
 * exact. */
#include "pool/base/sys.h"
#include "src/core.h"
#include "src/guard.h"
#include "src/text.h"
#include <unistd.h>

const char WF_WAITS_TASK[] = "a task";
const char WF_WAITS_SCOPE[] = "the tasks of the scope";
const char WF_WAITS_SECTION[] = "a forked section";

#define LINE_BYTES   512
#define NAME_BYTES   64
#define SCOPES_SHOWN 4 /* outer scopes per line */

/* A string of the program, copied piece by piece: its end may lie before the end of its page. */
static const char *copy_string(char *to, const char *from)
{
    size_t i = 0;
    while (i < NAME_BYTES - 1 && wf_sys.peek(&to[i], from + i, 1) == 0 && to[i] != '\0') {
        i++;
    }
    to[i] = '\0';
    return to;
}

static void add_place(struct wf_text *line, const weft_place *at)
{
    weft_place place;
    if (at == NULL || wf_sys.peek(&place, at, sizeof place) < 0) {
        return;
    }
    char file[NAME_BYTES];
    wf_text_add(line, "%s:%d", copy_string(file, place.file), place.line);
}

static void add_task(struct wf_text *line, const struct wf_task *task)
{
    char text[NAME_BYTES];
    weft_place place;
    const char *name = wf_load_relaxed(&task->name); /* relaxed: a static string */
    if (name == NULL && task->place != NULL &&
        wf_sys.peek(&place, task->place, sizeof place) == 0) {
        name = place.body != NULL ? place.body : place.function;
    }
    wf_text_add(line, "task %s (started at ", name != NULL ? copy_string(text, name) : "?");
    add_place(line, task->place);
    wf_text_add(line, ")");
}

static void add_scopes(struct wf_text *line, const struct wf_scope *at)
{
    struct wf_scope scope;
    for (int i = 0; i < SCOPES_SHOWN && at != NULL; i++) {
        if (wf_sys.peek(&scope, at, sizeof scope) < 0 || scope.parent == NULL) {
            return; /* gone, or the root, which is everybody's */
        }
        wf_text_add(line, i == 0 ? "; scope " : " in ");
        add_place(line, scope.place);
        if (i == 0 && scope.deadline_ns != INT64_MAX) {
            wf_text_add(line, ", %.3f s left", (double)(scope.deadline_ns - wf_sys.now_ns()) / 1e9);
        }
        if (wf_scope_cancelled(&scope) != 0) {
            wf_text_add(line, ", cancelled");
        }
        at = scope.parent;
    }
}

/* Of a wf_call: who holds what it waits for. The ops are of the program text only if their name is
 * the one that the fiber has: else the call is gone already. */
static void add_holder(struct wf_text *line, const struct wf_fiber *fiber)
{
    struct wf_call call;
    struct wf_wait_ops ops;
    if (wf_sys.peek(&call, fiber->waits_at, sizeof call) < 0 ||
        wf_sys.peek(&ops, call.wait.ops, sizeof ops) < 0 || ops.name != fiber->waits_for ||
        ops.holder == NULL) {
        return;
    }
    const weft_place *place = ops.holder(call.object);
    if (place != NULL) {
        wf_text_add(line, ", held by the task started at ");
        add_place(line, place);
    }
}

static void add_wait(struct wf_text *line, const struct wf_fiber *fiber)
{
    char text[NAME_BYTES];
    wf_text_add(line, " waits for %s", copy_string(text, fiber->waits_for));
    if (fiber->waits_for == WF_WAITS_TASK) {
        struct wf_task task;
        if (wf_sys.peek(&task, fiber->waits_at, sizeof task) == 0) {
            wf_text_add(line, ": ");
            add_task(line, &task);
        }
    } else if (fiber->waits_for == WF_WAITS_SCOPE) {
        struct wf_scope scope;
        if (wf_sys.peek(&scope, fiber->waits_at, sizeof scope) == 0) {
            /* relaxed: a copy */
            uint32_t live = (uint32_t)wf_load_relaxed(&scope.live);
            wf_text_add(line, " opened at ");
            add_place(line, scope.place);
            wf_text_add(line, ", %u left", live);
        }
    } else if (fiber->waits_for != WF_WAITS_SECTION) {
        add_holder(line, fiber);
    }
}

/* A fiber that waits for nothing is in the FIFO of some worker, or in the injection queue, if there
 * is anything; else it runs. */
static void add_worker(struct wf_text *line, struct wf_pool *pool, const struct wf_fiber *fiber,
                       const struct wf_work *resume)
{
    struct wf_pool *its_pool;
    uint32_t index;
    if (wf_sys.peek(&its_pool, &fiber->worker->pool, sizeof its_pool) < 0 || its_pool != pool ||
        wf_sys.peek(&index, &fiber->worker->index, sizeof index) < 0) {
        wf_text_add(line, " runs, or is ready to, on a thread of its executor");
        return;
    }
    bool is_ready = false;
    for (int i = 0; i < pool->worker_count && !is_ready; i++) {
        is_ready = wf_runq_has(&pool->workers[i].runq, resume);
    }
    if (is_ready) {
        wf_text_add(line, " is ready to run");
    } else {
        wf_text_add(line, " runs on worker %u%s", index,
                    wf_inject_has(&pool->inject) ? ", or is ready to" : "");
    }
}

struct dump {
    weft_rt *rt;
    int fd;
    bool waits_only;
    int waiting, others;
};

static void dump_stack(struct wf_fiber *at, void *arg)
{
    struct dump *dump = arg;
    struct wf_fiber fiber;
    struct wf_env env;
    struct wf_task task;
    if (wf_sys.peek(&fiber, at, sizeof fiber) < 0 || fiber.env == NULL ||
        wf_sys.peek(&env, fiber.env, sizeof env) < 0 || env.task == NULL ||
        wf_sys.peek(&task, env.task, sizeof task) < 0 || task.rt != dump->rt) {
        return;
    }
    bool waits = fiber.waits_for != NULL;
    dump->waiting += waits;
    dump->others += !waits;
    if (!waits && dump->waits_only) {
        return;
    }
    char bytes[LINE_BYTES];
    struct wf_text line = {.at = bytes, .bytes = sizeof bytes};
    wf_text_add(&line, "  ");
    add_task(&line, &task);
    if (waits) {
        add_wait(&line, &fiber);
    } else {
        add_worker(&line, dump->rt->pool, &fiber, &at->resume);
    }
    add_scopes(&line, env.scope);
    wf_text_add(&line, "\n");
    wf_text_write(&line, dump->fd);
}

int wf_dump_waits(weft_rt *rt, int fd)
{
    struct dump dump = {.rt = rt, .fd = fd, .waits_only = true};
    wf_stacks_each(dump_stack, &dump);
    return dump.waiting;
}

int weft_dump(weft_rt *rt, int fd)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    char bytes[LINE_BYTES];
    struct wf_text line = {.at = bytes, .bytes = sizeof bytes};
    line.length = (size_t)weft_rt_report(rt, line.at, line.bytes);
    wf_text_add(&line, "\n");
    wf_text_write(&line, fd);
    struct dump dump = {.rt = rt, .fd = fd};
    wf_stacks_each(dump_stack, &dump);
    wf_text_add(&line, "  %d stacks wait, %d run or are ready; %zu tasks in the root scope\n",
                dump.waiting, dump.others, wf_runtime_count(rt));
    wf_text_write(&line, fd);
    return dump.waiting + dump.others;
}

/* --- for tests -------------------------------------------------------------------------------- */

static weft_suspend_fn *suspend_hook;
static void *suspend_arg;

static void on_suspend(struct wf_fiber *self)
{
    if (self->env != NULL) { /* a loop's own stack is no task's */
        WF_GUARDED(suspend_hook(suspend_arg));
    }
}

void weft_on_suspend(weft_suspend_fn *hook, void *arg)
{
    suspend_hook = hook;
    suspend_arg = arg;
    wf_on_suspend = hook != NULL ? on_suspend : NULL;
}
