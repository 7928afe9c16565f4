/* Task.Run: for work that computes, a task; for a call that blocks its thread, weft_blocking.
 * Neither keeps a worker from serving the others. */
#include "article.h"
#include <unistd.h>

static int compress(void *arg)
{
    long sum = 0;
    for (int i = 0; i < 100000; i++) {
        sum += i;
    }
    *(long *)arg = sum;
    return 0;
}

static int legacy_lookup(void *arg)
{
    (void)arg;
    usleep(1000); /* blocks its thread, and cannot be told to stop */
    return 7;
}

/* guide { */
static int compress_and_look_up(long *size)
{
    weft_task t;
    (void)weft_spawn(&t, compress, size);        /* on another worker, if one is idle */
    int id = weft_blocking(legacy_lookup, NULL); /* on a thread that may block */
    int rc = weft_await(&t);
    return id < 0 ? id : rc < 0 ? rc : id;
}
/* guide } */

Article(work_that_computes_and_calls_that_block_have_places_of_their_own)
{
    long size = 0;
    int rc = compress_and_look_up(&size);
    show_eq(rc, 7);
    show_eq(size, 4999950000L);
    return rc < 0 ? rc : 0;
}
