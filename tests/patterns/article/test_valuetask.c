/* ValueTask<T>: what is in the cache costs no asynchrony; what is not is awaited once, and a second
 * time is an error, always. */
#include "article.h"
#include <weft/stackless.h>

static struct user cached;

/* guide { */
static weft_val find_user(int id, struct user *out)
{
    if (cached.id == id) {
        *out = cached;
        return weft_val_done(1); /* in the value itself: nothing is allocated, nobody waits */
    }
    return weft_sleep_v(WEFT_US(50)); /* the database */
}
/* guide } */

Article(a_hit_is_the_value_and_a_miss_is_awaited_once)
{
    cached = (struct user){.id = 7, .name = "ann"};
    struct user user = {0};
    weft_val hit = find_user(7, &user);
    always_eq(weft_val_ready(hit), 1);
    always_eq(weft_val_await(hit), 1);
    show_true(strcmp(user.name, "ann") == 0);

    weft_val miss = find_user(8, &user);
    int rc = (int)weft_val_await(miss);
    show_eq(rc, 0);
    return rc;
}

static atomic_int complaints;
static void count_complaint(const char *what)
{
    atomic_fetch_add(&complaints, strstr(what, "test_valuetask.c") != NULL);
}

static int consume_twice(void *arg)
{
    (void)arg;
    cached = (struct user){.id = 7, .name = "ann"};
    struct user user;
    weft_val hit = find_user(7, &user), miss = find_user(8, &user);
    wt_eq(weft_val_await(hit), 1);
    wt_eq(weft_val_await(miss), 0);
    wt_eq(weft_val_await(miss), -ESTALE); /* no undefined behaviour, and nobody else's result */
    wt_eq(weft_val_await(hit), -ESTALE);
    return 0;
}

Test(article, a_value_that_is_consumed_twice_is_an_error_that_names_its_place)
{
    (void)weft_on_misuse(count_complaint); /* without a hook the process ends here */
    wt_eq(weft_run(consume_twice, NULL), 0);
    wt_ge(atomic_load(&complaints), 1);
}

/* Where the caller can wait in the ordinary way, a cache needs no value at all. */
/* guide { */
static int get_user(int id, struct user *out)
{
    if (cached.id == id) {
        *out = cached;
        return 1;
    }
    return db_find(id, out);
}
/* guide } */

Article(a_function_that_may_wait_costs_nothing_when_it_does_not)
{
    cached = (struct user){.id = 7, .name = "ann"};
    struct user user = {0};
    always_eq(get_user(7, &user), 1);
    int rc = get_user(8, &user);
    show_eq(user.id, 8);
    return rc < 0 ? rc : 0;
}
