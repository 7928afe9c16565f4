/* Task.WhenAny: the first one wins; the others are cancelled and awaited, not forgotten. */
#include "article.h"

static int mirror(void *takes)
{
    return weft_sleep(*(weft_time *)takes);
}

/* guide { */
static int ask_mirrors(int *winner)
{
    weft_time near = WEFT_US(50), far = WEFT_SEC(60);
    weft_task fast, slow;
    (void)weft_spawn(&slow, mirror, &far);
    (void)weft_spawn(&fast, mirror, &near);
    /* returns when the loser has let go of everything, too: `far` may leave the stack */
    return weft_when((weft_task *const[]){&slow, &fast}, 2, WEFT_FIRST_OK, winner);
}
/* guide } */

Article(when_any_cancels_and_awaits_the_losers)
{
    int winner = -1;
    int rc = ask_mirrors(&winner);
    show_eq(rc, 0);
    show_eq(winner, 1);
    return rc;
}
