/* async void: a task that returns nothing cannot be written, so its failure cannot vanish. */
#include "article.h"

/* guide { */
static int on_button_clicked(
    void *arg) /* a task's body is int (*)(void *): it has to say how it went */
{
    (void)arg;
    return weft_fail(-EIO, "the printer is on fire");
}
/* guide } */

/* The compiler refuses another type, with -Werror or without, as C does since C23. */
_Static_assert(__builtin_types_compatible_p(__typeof__(on_button_clicked), weft_fn),
               "a body is a weft_fn");
static void returns_nothing(void *arg)
{
    (void)arg;
}
_Static_assert(!__builtin_types_compatible_p(__typeof__(returns_nothing), weft_fn),
               "and a function without a result is none");

Article(what_fails_in_a_handler_reaches_whoever_started_it)
{
    returns_nothing(NULL);
    weft_task click;
    (void)weft_spawn(&click, on_button_clicked, NULL);
    int rc = weft_await(&click);
    show_eq(rc, -EIO);
    show_true(strcmp(weft_last()->text, "the printer is on fire") == 0);
    return rc == -EIO ? 0 : rc;
}
