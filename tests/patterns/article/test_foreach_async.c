/* Parallel.ForEachAsync: many items, a bound on how many at once, the first failure ends the
 * loop. */
#include "article.h"

enum { ITEMS = 20 };

static int fetch(void *item, void *ctx)
{
    int rc = weft_sleep(WEFT_US(20));
    if (rc == 0) {
        atomic_fetch_add((atomic_int *)ctx, *(int *)item);
    }
    return rc;
}

/* guide { */
static int fetch_all(int *items, size_t n, atomic_int *sum)
{
    return weft_foreach(fetch, sum, .items = items, .count = n, .stride = sizeof *items, .max = 4);
}
/* guide } */

Article(a_loop_runs_some_bodies_at_once)
{
    int items[ITEMS];
    for (int i = 0; i < ITEMS; i++) {
        items[i] = i;
    }
    atomic_int sum = 0;
    int rc = fetch_all(items, ITEMS, &sum);
    show_eq(atomic_load(&sum), ITEMS * (ITEMS - 1) / 2);
    return rc;
}
