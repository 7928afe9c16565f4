/* ThrowIfCancellationRequested, catch (OperationCanceledException): a code, and why. */
#include "article.h"

static char log_line[96];

static int do_work(int i)
{
    return i % 100 == 0 ? weft_yield() : 0;
}

/* guide { */
static int process(int steps)
{
    int rc = 0;
    for (int i = 0; i < steps && rc >= 0; i++) {
        rc = weft_check(); /* ThrowIfCancellationRequested, a few nanoseconds */
        if (rc >= 0) {
            rc = do_work(i);
        }
    }
    return rc;
}

static int process_logged(int steps)
{
    int rc = process(steps);
    if (rc == -ECANCELED) { /* catch (OperationCanceledException) */
        (void)snprintf(log_line, sizeof log_line, "cancelled: %s", weft_why()->text);
    }
    return rc; /* passed on: only the scope that was cancelled absorbs it */
}
/* guide } */

static int stop_button(void *source)
{
    (void)weft_cancel_fire(source, "user pressed stop");
    return 0;
}

Article(a_loop_looks_and_the_handler_knows_why)
{
    log_line[0] = '\0';
    int rc = process_logged(1000);
    show_eq(rc, 0);
    weft_cancel stop;
    weft_cancel_init(&stop, NULL);
    weft_task user;
    (void)weft_spawn(&user, stop_button, &stop);
    int cut = weft_under(&stop, process_logged(100000000));
    weft_ignore(&user);
    weft_cancel_fini(&stop);
    show_eq(cut, -ECANCELED);
    show_true(strcmp(log_line, "cancelled: user pressed stop") == 0, "%s", log_line);
    return rc;
}
