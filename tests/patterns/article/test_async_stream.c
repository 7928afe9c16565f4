/* IAsyncEnumerable<T>: a generator, with back-pressure, and an end that reaches the producer. */
#include "article.h"
#include <weft/gen.h>

struct product {
    int id;
};

static atomic_int open_cursors;

static int row_next(int *row, struct product *out)
{
    int rc = weft_sleep(WEFT_US(10));
    if (rc < 0 || *row == 5) {
        return rc;
    }
    out->id = (*row)++;
    return 1;
}

/* guide { */
WEFT_TASK(products, int) /* async IAsyncEnumerable<Product> */
{
    struct product p;
    int rc;
    atomic_fetch_add(&open_cursors, 1);
    while ((rc = row_next(arg, &p)) > 0) {
        if ((rc = weft_emit(&p)) < 0) { /* yield return; <0: nobody wants more */
            break;
        }
    }
    atomic_fetch_sub(&open_cursors, 1); /* finally */
    return rc;
}

static int sum_products(int *sum, int at_most)
{
    int row = 0;
    struct product p;
    weft_gen *g;
    int rc = weft_gen_new(&g, products, &row, sizeof p);
    while (rc >= 0 && at_most-- > 0 && (rc = weft_gen_next(g, &p)) > 0) { /* await foreach */
        *sum += p.id;
    }
    int closed = weft_gen_close(g); /* DisposeAsync: the producer has cleaned up when it returns */
    return rc < 0 ? rc : closed;
}
/* guide } */

Article(a_stream_is_read_to_its_end_or_left)
{
    int sum = 0;
    int rc = sum_products(&sum, 100);
    show_eq(sum, 10);
    always_eq(atomic_load(&open_cursors), 0);
    if (rc < 0) {
        return rc;
    }
    sum = 0;
    rc = sum_products(&sum, 2); /* break */
    show_eq(sum, 1);
    always_eq(atomic_load(&open_cursors), 0);
    return rc;
}
