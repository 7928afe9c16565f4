/* SemaphoreSlim(n): at most n at once; a permit cannot be lost to a cancellation. */
#include "article.h"

enum { PERMITS = 3, ITEMS = 12 };

static atomic_int now, most, done;

static int process(int item)
{
    (void)item;
    int running = ++now;
    if (running > most) {
        most = running;
    }
    int rc = weft_sleep(WEFT_US(50));
    now--;
    done += rc == 0;
    return rc;
}

/* guide { */
struct job {
    weft_sem *sem;
    int item;
};

WEFT_TASK(one, struct job)
{
    int rc = weft_sem_acquire(arg->sem);
    if (rc < 0) {
        return rc; /* -ECANCELED: no permit was taken */
    }
    rc = process(arg->item);
    (void)weft_sem_release(arg->sem, 1);
    return rc;
}

static int process_all(weft_sem *sem, const int *items, int n)
{
    WEFT_SCOPE(s);
    for (int i = 0; i < n; i++) {
        if (weft_go(&s, one, &(struct job){sem, items[i]}) < 0) {
            break;
        }
    }
    return weft_scope_end(&s);
}
/* guide } */

Article(a_semaphore_bounds_what_runs_at_once)
{
    int items[ITEMS] = {0};
    now = most = done = 0;
    weft_sem sem;
    weft_sem_init(&sem, PERMITS, PERMITS);
    int rc = process_all(&sem, items, ITEMS);
    show_eq(done, ITEMS);
    always_eq(now, 0);
    always_eq(weft_sem_count(&sem), PERMITS);
    wt_le(most, PERMITS);
    weft_sem_fini(&sem);
    return rc;
}
