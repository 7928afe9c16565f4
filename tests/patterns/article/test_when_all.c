/* Task.WhenAll: three queries at once; the first failure cancels the others. */
#include "article.h"

struct query {
    int id;
    int result;
    int fails;
};

static int run_query(void *arg)
{
    struct query *query = arg;
    int rc = weft_sleep(query->fails ? WEFT_US(10) : WEFT_US(50 * query->id));
    if (rc < 0) {
        return rc;
    }
    if (query->fails) {
        return weft_fail(-EIO, "query %d", query->id);
    }
    query->result = query->id * 10;
    return 0;
}

/* guide { */
static int load_page(struct query *user, struct query *orders, struct query *profile)
{
    weft_task u, o, p;
    (void)weft_spawn(&u, run_query, user);
    (void)weft_spawn(&o, run_query, orders);
    (void)weft_spawn(&p, run_query, profile);
    return weft_when((weft_task *const[]){&u, &o, &p}, 3, WEFT_FAILFAST, NULL);
}
/* guide } */

Article(when_all_waits_for_all_and_keeps_the_first_failure)
{
    struct query user = {1, 0, 0}, orders = {2, 0, 0}, profile = {3, 0, 0};
    int rc = load_page(&user, &orders, &profile);
    show_eq(user.result + orders.result + profile.result, 60);
    if (rc < 0) {
        return rc;
    }
    profile.id = 1000000; /* would take minutes */
    orders.fails = 1;
    rc = load_page(&user, &orders, &profile);
    show_eq(rc, -EIO);
    show_true(strcmp(weft_last()->text, "query 2") == 0);
    return rc == -EIO ? 0 : rc;
}
