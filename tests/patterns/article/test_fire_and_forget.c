/* Fire and forget: the task has an owner all the same, the runtime, which waits for it at its end;
 * and a failure is heard. */
#include "article.h"
#include <weft/service.h>

static atomic_int sent, heard;

struct mail {
    int to;
};

/* guide { */
WEFT_TASK(send_email, struct mail)
{
    int rc = weft_sleep(WEFT_US(50));
    if (rc < 0) {
        return rc;
    }
    if (arg->to < 0) {
        return weft_fail(-EINVAL, "no such address: %d", arg->to);
    }
    atomic_fetch_add(&sent, 1);
    return 0;
}

static int on_unobserved(const weft_fault *fault, void *arg)
{
    (void)arg;
    if (fault->error != NULL && strstr(fault->error->text, "no such address") != NULL) {
        atomic_fetch_add(&heard, 1); /* log it, count it; WEFT_STOP would stop the program */
    }
    return WEFT_IGNORE;
}

static int register_user(int address)
{
    return weft_detach(send_email, &(struct mail){address}); /* does not wait; *ptr was copied */
}
/* guide } */

static int root(void *arg)
{
    (void)arg;
    wt_eq(register_user(1), 0);
    wt_eq(register_user(-1), 0);
    return 0; /* weft_run waits for both */
}

Test(article, fire_and_forget_is_owned_by_the_runtime_and_its_failure_is_heard)
{
    wt_eq(weft_run(root, NULL, .on_unobserved = on_unobserved), 0);
    wt_eq(atomic_load(&sent), 1);
    wt_eq(atomic_load(&heard), 1);
}

Article(detaching_is_not_bound_to_the_callers_scope)
{
    int rc = register_user(2);
    return rc == -ESHUTDOWN || rc == 0 ? 0 : rc;
}
