/* Options: NULL is what all zero is, for every call that takes a pointer to some (base.h). */
#include "pattern.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/chan.h>
#include <weft/net.h>
#include <weft/par.h>
#include <weft/proc.h>
#include <weft/reuse.h>
#include <weft/serve.h>
#include <weft/service.h>

static int answer(void *arg)
{
    return *(int *)arg;
}

Test(options, weft_run_takes_null)
{
    int result = 3;
    wt_eq(weft_run_(answer, &result, NULL, WEFT_HERE), 3);
}

static int count_range(size_t from, size_t to, void *ctx)
{
    atomic_fetch_add((atomic_size_t *)ctx, to - from);
    return 0;
}

static int fold_range(size_t from, size_t to, void *acc, void *ctx)
{
    (void)ctx;
    *(size_t *)acc += to - from;
    return 0;
}

static void add(void *left, const void *right, void *ctx)
{
    (void)ctx;
    *(size_t *)left += *(const size_t *)right;
}

static int by_value(const void *a, const void *b, void *ctx)
{
    (void)ctx;
    return *(const int *)a - *(const int *)b;
}

static int never(void *item, void *ctx)
{
    (void)item;
    (void)ctx;
    wt_true(false, "there is no item");
    return 0;
}

TaskTest(options, loops_take_null, 2)
{
    atomic_size_t seen = 0;
    size_t folded = 0, scanned = 0;
    int values[] = {3, 1, 2};
    wt_eq(weft_for_(0, 1000, count_range, &seen, NULL), 0);
    wt_eq(atomic_load(&seen), 1000);
    wt_eq(weft_reduce_(0, 1000, &folded, sizeof folded, fold_range, add, NULL, NULL), 0);
    wt_eq(folded, 1000);
    wt_eq(weft_scan_(0, 10, &scanned, sizeof scanned, fold_range, fold_range, add, NULL, NULL), 0);
    wt_eq(scanned, 10);
    wt_eq(weft_sort_(values, 3, sizeof *values, by_value, NULL, NULL), 0);
    wt_eq(values[0], 1);
    wt_eq(weft_foreach_(never, NULL, NULL, WEFT_HERE), 0);
    return 0;
}

TaskTest(options, calls_of_the_network_take_null, 1)
{
    weft_listener *listener;
    weft_addr address;
    char port[8];
    wt_eq(weft_listen_(&listener, "127.0.0.1:0", NULL), 0);
    weft_listener_addr(listener, &address);
    snprintf(port, sizeof port, "%d", weft_addr_port(&address));
    wt_eq(weft_resolve_("127.0.0.1", port, &address, 1, NULL, WEFT_HERE), 1);
    int by_name = weft_connect_to_("127.0.0.1", port, NULL, WEFT_HERE);
    int by_address = weft_connect_addr(&address, NULL);
    wt_true(by_name >= 0 && by_address >= 0, "%d %d", by_name, by_address);
    wt_eq(weft_conn_set(by_name, NULL), 0);
    weft_close(by_name);
    weft_close(by_address);
    weft_listener_free(listener);
    return 0;
}

static int serve(void *arg)
{
    (void)arg;
    return 0;
}

TaskTest(options, what_begins_something_takes_null, 1)
{
    weft_chan *chan;
    weft_scope scope;
    weft_proc_io io = {0};
    wt_eq(weft_chan_new_(&chan, sizeof(int), 1, NULL), 0);
    weft_chan_free(chan);
    weft_scope_begin_(&scope, NULL, WEFT_HERE);
    wt_eq(weft_scope_end(&scope), 0);
    wt_eq(weft_service_("short", serve, "", 1, NULL, WEFT_HERE), 0);
    wt_eq(weft_proc_run_(&io, (char *[]){"true", NULL}, NULL, WEFT_HERE), 0);
    wt_eq(io.exit.code, 0);
    return 0;
}

static atomic_int misused;

static void count_misuse(const char *what)
{
    (void)what;
    atomic_fetch_add(&misused, 1);
}

TaskTest(options, where_something_is_needed_null_is_told, 1)
{
    weft_reuse *pool;
    weft_server server;
    weft_on_misuse(count_misuse);
    wt_eq(weft_reuse_new(&pool, NULL), -EINVAL);
    weft_server_init(&server, NULL);
    wt_eq(atomic_load(&misused), 1);
    wt_eq(weft_serve(&server, 0), -EINVAL);
    weft_server_fini(&server);
    weft_on_misuse(NULL);
    return 0;
}
