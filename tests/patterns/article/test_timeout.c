/* CancellationTokenSource(TimeSpan): a deadline is an expression around the work. */
#include "article.h"

static int fetch_data(int *out, weft_time takes)
{
    int rc = weft_sleep(takes);
    if (rc == 0) {
        *out = 42;
    }
    return rc;
}

/* guide { */
static int fetch_in_time(int *out)
{
    int rc = weft_within(WEFT_MS(5), fetch_data(out, WEFT_SEC(60)));
    if (rc == -ETIME) {
        *out = -1; /* a default; -ECANCELED would mean that the caller was cancelled */
        return 0;
    }
    return rc;
}
/* guide } */

Article(a_deadline_ends_the_work_and_says_etime)
{
    int data = 0;
    int rc = fetch_in_time(&data);
    show_eq(rc, 0);
    show_eq(data, -1);
    if (rc < 0) {
        return rc;
    }
    rc = weft_within(WEFT_SEC(60), fetch_data(&data, WEFT_US(50)));
    show_eq(data, 42);
    return rc;
}
