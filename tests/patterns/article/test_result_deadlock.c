/* The .Result deadlock: a thread waits for a task that has to go on on this very thread. Here it
 * gets -EDEADLK at once, with the place of the call. */
#include "article.h"
#include <weft/exec.h>

static weft_exec *ui;

/* guide { */
static int get_data(void *out)
{
    int rc = weft_sleep(WEFT_US(50)); /* a request */
    if (rc < 0) {
        return rc;
    }
    rc = weft_move_to(ui, NULL); /* to show it */
    if (rc < 0) {
        return rc; /* -EDEADLK: that thread waits for us in weft_call */
    }
    *(int *)out = 42;
    return 0;
}

static int on_click(weft_rt *rt) /* on the user interface's thread */
{
    int data;
    return weft_call(rt, get_data, &data); /* GetDataAsync().Result */
}
/* guide } */

Test(article, waiting_for_a_task_that_needs_this_thread_is_an_error_and_no_hang)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, NULL), 0);
    wt_eq(weft_exec_loop_new(&ui, rt), 0);
    wt_eq(weft_exec_run(ui), 0); /* it is this thread's loop */
    wt_eq(on_click(rt), -EDEADLK);
    wt_eq(weft_exec_free(ui), 0);
    weft_rt_free(rt);
}

/* Inside a task there is nothing to block: awaiting is the call. */
Article(in_a_task_the_call_itself_waits)
{
    struct user user;
    int rc = db_find(1, &user);
    show_eq(rc, 1);
    return rc < 0 ? rc : 0;
}
