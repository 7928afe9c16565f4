/* ConfigureAwait(false): a task says once where it goes on, not at each await. */
#include "article.h"

static int http_get(const char *url, char *out, size_t bytes)
{
    int rc = weft_sleep(WEFT_US(50));
    if (rc == 0) {
        (void)snprintf(out, bytes, "page of %s", url);
    }
    return rc;
}

/* guide { */
static int load_page(const char *url, char *out, size_t bytes)
{
    weft_exec *home;
    int rc =
        weft_move_to(WEFT_POOL, &home); /* from the user interface's thread, or wherever it was */
    if (rc < 0) {
        return rc;
    }
    rc = http_get(url, out, bytes);
    (void)weft_move_to(home, NULL); /* back to show it; also when it was cancelled */
    return rc;
}
/* guide } */

Article(a_task_leaves_its_context_and_comes_back)
{
    weft_exec *ui;
    always_eq(weft_exec_serial_new(&ui), 0);
    always_eq(weft_move_to(ui, NULL), 0);
    char page[64] = "";
    int rc = load_page("/index", page, sizeof page);
    show_true(strcmp(page, "page of /index") == 0);
    weft_exec *now;
    always_eq(weft_move_to(WEFT_POOL, &now), 0);
    always_eq(now == ui, 1);
    always_eq(weft_exec_free(ui), 0);
    return rc;
}
