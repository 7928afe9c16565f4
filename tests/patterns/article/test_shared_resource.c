/* One DbContext in two tasks at once: the guard finds it, and names both. */
#include "article.h"

/* guide { */
struct db {
    weft_guard guard;
    int queries;
};

static int query(struct db *db) /* not for two at once */
{
    int rc = weft_sleep(WEFT_US(50));
    db->queries += rc == 0;
    return rc;
}

static int query_guarded(struct db *db)
{
    return weft_guarded(&db->guard, query(db)); /* -EBUSY: somebody else is inside */
}
/* guide } */

static int query_task(void *db)
{
    return query_guarded(db);
}

Article(concurrent_use_is_an_error_that_names_both_tasks)
{
    struct db db = {.queries = 0};
    weft_guard_init(&db.guard);
    weft_task a, b;
    (void)weft_spawn(&a, query_task, &db);
    (void)weft_spawn(&b, query_task, &db);
    int rc_b = weft_await(&b);
    int rc_a = weft_await(&a);
    show_true((rc_a == -EBUSY) + (rc_b == -EBUSY) <= 1);
    show_eq(db.queries, (rc_a == 0) + (rc_b == 0));
    int rc = query_guarded(&db); /* one after the other is fine */
    show_eq(rc, 0);
    return rc;
}
