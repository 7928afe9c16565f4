/* A new HttpClient for each call, until the ports run out: a bounded pool instead. */
#include "article.h"
#include <weft/reuse.h>

enum { CALLS = 12, OPEN_MAX_AT_ONCE = 2 };

struct connection {
    int number;
};

static atomic_int opened, closed, in_use, most;

/* guide { */
static int open_connection(void *item, void *ctx)
{
    int rc = weft_sleep(WEFT_US(100)); /* connect, handshake */
    if (rc == 0) {
        ((struct connection *)item)->number = atomic_fetch_add((atomic_int *)ctx, 1);
    }
    return rc;
}

static void close_connection(void *item, void *ctx)
{
    (void)ctx, (void)item;
    atomic_fetch_add(&closed, 1);
}

static int call(void *item, void *pool)
{
    (void)item;
    WEFT_LEASE(lease); /* given back at the end of the block, whatever happens */
    int rc = weft_reuse_take(pool, &lease);
    if (rc < 0) {
        return rc;
    }
    int now = atomic_fetch_add(&in_use, 1) + 1;
    if (now > atomic_load(&most)) {
        atomic_store(&most, now);
    }
    rc = weft_sleep(WEFT_US(20)); /* the request */
    atomic_fetch_sub(&in_use, 1);
    return rc;
}

static int call_all(void)
{
    weft_reuse *pool;
    int rc = weft_reuse_new(&pool, &(weft_reuse_opts){.max = OPEN_MAX_AT_ONCE,
                                                      .item_bytes = sizeof(struct connection),
                                                      .ctx = &opened,
                                                      .open = open_connection,
                                                      .close = close_connection});
    if (rc < 0) {
        return rc;
    }
    rc = weft_foreach(call, pool, .count = CALLS, .max = 8);
    weft_reuse_free(pool);
    return rc;
}
/* guide } */

Article(connections_are_opened_a_few_times_and_used_often)
{
    atomic_store(&opened, 0);
    atomic_store(&closed, 0);
    atomic_store(&most, 0);
    int rc = call_all();
    always_eq(atomic_load(&closed), atomic_load(&opened)); /* none is lost to a cancellation */
    always_eq(atomic_load(&in_use), 0);
    wt_le(atomic_load(&most), OPEN_MAX_AT_ONCE);
    show_true(atomic_load(&opened) <= OPEN_MAX_AT_ONCE);
    return rc;
}
