/* CancellationToken: there is none to pass, and so none to forget. The request's scope is
 * cancelled, and everything under it hears of it. */
#include "article.h"

static int row_next(int *row)
{
    int rc = weft_sleep(WEFT_US(20));
    return rc < 0 ? rc : (*row)++ < 3;
}

/* guide { */
static int list_products(const char *category, int *count) /* no token parameter */
{
    (void)category;
    int row = 0, rc;
    while ((rc = row_next(&row)) > 0) {
        ++*count;
    }
    return rc;
}

WEFT_TASK(serve_request, int *)
{
    return list_products("books", *arg);
}

static int handle_request(int *count, int client_left)
{
    WEFT_SCOPE(request);
    int rc = weft_go(&request, serve_request, &count);
    if (client_left) {
        (void)weft_scope_cancel(&request, "the client is gone"); /* reaches the database's rows */
    }
    int ended = weft_scope_end(&request);
    return rc < 0 ? rc : ended;
}
/* guide } */

Article(cancelling_the_request_reaches_what_it_calls_without_a_token)
{
    int count = 0;
    int rc = handle_request(&count, 0);
    show_eq(count, 3);
    if (rc < 0) {
        return rc;
    }
    count = 0;
    rc = handle_request(&count, 1);
    show_eq(rc, -ECANCELED);
    show_true(count < 3);
    return rc == -ECANCELED && !article.sweeping ? 0 : rc;
}
