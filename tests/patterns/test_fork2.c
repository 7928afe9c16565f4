/* fork(2) in a program that runs weft: the child is told that nothing works there, the parent does
 * not notice. */
#include "capture.h"
#include "pattern.h"
#include <weft/chan.h>
#include <weft/debug.h>
#include <weft/fork.h>
#include <weft/io.h>
#include <weft/par.h>
#include <weft/sync.h>

static int return_it(void *arg)
{
    return (int)(intptr_t)arg;
}

static void await_child(pid_t pid)
{
    int status;
    wt_gt(pid, 0);
    wt_eq(waitpid(pid, &status, 0), pid);
    wt_true(WIFEXITED(status), "status 0x%x", status);
    wt_eq(WEXITSTATUS(status), 0);
}

struct objects {
    weft_rt *rt;
    weft_sem sem;
    weft_chan *chan;
    weft_task done;
};

static int body(void *item, void *ctx)
{
    (void)item, (void)ctx;
    return 0;
}

static void check_nothing_works(struct objects *objects)
{
    char byte = 0;
    weft_rt *rt = (weft_rt *)1;
    weft_task t;
    wt_eq(weft_call(objects->rt, return_it, NULL), -ENOSYS);
    wt_eq(weft_post(objects->rt, return_it, NULL), -ENOSYS);
    wt_eq(weft_rt_stop(objects->rt, 0, 0), -ENOSYS);
    wt_eq(weft_rt_start(&rt, NULL), -ENOSYS);
    wt_true(rt == NULL);
    wt_eq(weft_run(return_it, NULL), -ENOSYS);
    wt_true(weft_rt_current() == NULL);
    wt_eq(weft_spawn(&t, return_it, NULL), -ENOSYS);
    wt_eq(weft_await(&t), -ENOSYS);
    wt_eq(weft_await(&objects->done), -ENOSYS);
    wt_eq(weft_yield(), -ENOSYS);
    wt_eq(weft_sleep(WEFT_SEC(3600)), -ENOSYS);
    wt_eq(weft_blocking(return_it, NULL), -ENOSYS);
    wt_eq(weft_sem_acquire(&objects->sem), -ENOSYS);
    wt_eq(weft_sem_try(&objects->sem), -ENOSYS);
    wt_eq(weft_sem_release(&objects->sem, 1), -ENOSYS);
    wt_eq(weft_chan_send(objects->chan, &byte), -ENOSYS);
    wt_eq(weft_chan_recv(objects->chan, &byte), -ENOSYS);
    wt_eq(weft_chan_try_send(objects->chan, &byte), -ENOSYS);
    wt_eq(weft_chan_try_recv(objects->chan, &byte), -ENOSYS);
    wt_eq(weft_chan_close(objects->chan, 0), -ENOSYS);
    wt_eq(weft_foreach(body, NULL, .count = 0), -ENOSYS);
    wt_eq(weft_read(0, &byte, 1), -ENOSYS);
    wt_eq(weft_wait_fd(0, 1), -ENOSYS);
    weft_rt_free(objects->rt);
    weft_call_branch branch;
    weft_fork(&branch, return_it, (void *)5);
    wt_eq(weft_join(&branch), 5, "a section is an ordinary call, there too");
}

static void objects_open(struct objects *objects)
{
    weft_sem_init(&objects->sem, 1, 0);
    wt_eq(weft_chan_new(&objects->chan, 1, 4), 0);
}

static void check_parent(struct objects *objects)
{
    wt_eq(weft_call(objects->rt, return_it, (void *)42), 42);
    wt_eq(weft_sem_count(&objects->sem), 1);
    wt_eq(weft_chan_len(objects->chan), 0);
}

/* E44 */
Test(fork2, in_the_child_every_call_is_enosys_and_the_parent_goes_on)
{
    struct objects objects;
    objects_open(&objects);
    wt_eq(weft_rt_start(&objects.rt, &(weft_rt_opts){.workers = 2}), 0);
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            check_nothing_works(&objects);
            _exit(0);
        }
        await_child(pid);
        check_parent(&objects);
    }
    wt_eq(weft_rt_stop(objects.rt, WEFT_SEC(30), WEFT_SEC(30)), 0);
    weft_rt_free(objects.rt);
    weft_chan_free(objects.chan);
}

static int fork_in_a_task(void *arg)
{
    struct objects *objects = arg;
    objects->rt = weft_rt_current();
    weft_spawn(&objects->done, return_it, (void *)1);
    weft_await(&objects->done);
    pid_t pid = fork();
    if (pid == 0) {
        check_nothing_works(objects);
        _exit(0);
    }
    await_child(pid);
    wt_eq(weft_yield(), 0);
    wt_eq(weft_sleep(WEFT_US(10)), 0);
    return 0;
}

Test(fork2, a_task_may_fork_and_goes_on_in_the_parent)
{
    struct objects objects;
    objects_open(&objects);
    wt_eq(weft_run(fork_in_a_task, &objects, .workers = 2), 0);
    weft_chan_free(objects.chan);
}

static int exec_in_a_task(void *arg)
{
    (void)arg;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(99);
    }
    await_child(pid);
    return weft_sleep(WEFT_US(10));
}

Test(fork2, the_child_of_a_task_may_exec)
{
    wt_eq(weft_run(exec_in_a_task, NULL, .workers = 2), 0);
}

static int keep_busy(void *stop)
{
    while (atomic_load((atomic_int *)stop) == 0) { /* ends: the test says so */
        weft_task t;
        weft_spawn(&t, return_it, NULL);
        weft_await(&t);
        weft_sleep(WEFT_US(20));
    }
    return 0;
}

Test(fork2, forks_in_the_middle_of_work_do_no_harm)
{
    atomic_int stop = 0;
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
    for (int i = 0; i < 4; i++) {
        wt_eq(weft_post(rt, keep_busy, &stop), 0);
    }
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(weft_call(rt, return_it, NULL) == -ENOSYS ? 0 : 1);
        }
        await_child(pid);
        wt_eq(weft_call(rt, return_it, (void *)(intptr_t)i), i);
    }
    atomic_store(&stop, 1);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(30), WEFT_SEC(30)), 0);
    weft_rt_free(rt);
}

static int return_from_the_task_in_the_child(void *arg)
{
    (void)arg;
    /* the child comes out of the task, where there is no scheduler any more */
    return fork() == 0 ? 0 : 7;
}

static int run_and_return_twice(void)
{
    weft_rt *rt;
    if (weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}) < 0) {
        return 1;
    }
    int rc = weft_call(rt, return_from_the_task_in_the_child, NULL);
    int status = 0;
    wt_true(wait(&status) > 0);
    wt_true(WIFSIGNALED(status), "status 0x%x", status);
    wt_eq(WTERMSIG(status), SIGABRT);
    weft_rt_free(rt);
    return rc;
}

Test(fork2, a_child_that_returns_into_the_scheduler_aborts_and_says_why)
{
    struct captured captured;
    capture(&captured, run_and_return_twice);
    check_exited(&captured, 7);
    check_says(&captured, "_exit");
}

static int before_any_runtime(void)
{
    return weft_run(return_it, (void *)6, .workers = 1);
}

Test(fork2, a_child_forked_before_any_runtime_may_use_weft)
{
    struct captured captured;
    capture(&captured, before_any_runtime);
    check_exited(&captured, 6);
}

Test(fork2, a_child_forked_after_the_last_runtime_has_gone_may_use_weft)
{
    wt_eq(weft_run(return_it, (void *)1, .workers = 1), 1);
    struct captured captured;
    capture(&captured, before_any_runtime);
    check_exited(&captured, 6);
}
