/* An async method: what a compiler turns into a state machine elsewhere is a plain function
 * here. */
#include "article.h"

/* guide { */
static int get_user_name(int id, char *out, size_t bytes)
{
    struct user user;
    int rc = db_find(id, &user); /* waits; the thread does something else meanwhile */
    if (rc < 0) {
        return rc;
    }
    (void)snprintf(out, bytes, "%s", rc > 0 ? user.name : "Unknown");
    return 0;
}
/* guide } */

Article(an_async_method_is_a_function)
{
    char name[32] = "";
    int rc = get_user_name(7, name, sizeof name);
    show_eq(rc, 0);
    show_true(strcmp(name, "user 7") == 0);
    if (rc == 0) {
        rc = get_user_name(0, name, sizeof name);
        show_true(strcmp(name, "Unknown") == 0);
    }
    return rc;
}
