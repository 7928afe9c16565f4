/* CreateLinkedTokenSource: cancelled when the request is, or the time is up, or somebody says
 * so. */
#include "article.h"

static int fetch_data(int *out)
{
    int rc = weft_sleep(WEFT_US(100));
    if (rc == 0) {
        *out = 42;
    }
    return rc;
}

/* guide { */
static int fetch_linked(weft_cancel *request, weft_cancel *timeout, int *out)
{
    weft_cancel both;
    weft_cancel_reg link;
    weft_cancel_init(&both, request);        /* fires when its parent does */
    weft_cancel_link(&both, timeout, &link); /* and when this does */
    int rc = weft_under(&both, fetch_data(out));
    weft_cancel_fini(&both);
    return rc;
}
/* guide } */

Article(a_linked_source_fires_with_either)
{
    weft_cancel request, timeout;
    int data = 0;
    weft_cancel_init(&request, NULL);
    weft_cancel_init(&timeout, NULL);
    int rc = fetch_linked(&request, &timeout, &data);
    show_eq(rc, 0);
    show_eq(data, 42);
    always_eq(weft_cancel_fire(&timeout, "time is up"), 0);
    int cut = fetch_linked(&request, &timeout, &data);
    show_eq(cut, -ECANCELED);
    weft_cancel_fini(&timeout);
    weft_cancel_init(&timeout, NULL);
    always_eq(weft_cancel_fire(&request, "the client is gone"), 0);
    cut = fetch_linked(&request, &timeout, &data);
    show_eq(cut, -ECANCELED);
    weft_cancel_fini(&timeout);
    weft_cancel_fini(&request);
    return rc;
}
