/* Graphs: every node once, after what it depends on; what stops a run; running again. */
#include "pattern.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/graph.h>
#include <weft/sync.h>

#define NODES_MAX 4096

/* What a body knows: for each node who comes before it, and what has been run. */
struct run {
    size_t nodes, edges_n;
    weft_edge *edges;
    atomic_int ended[NODES_MAX]; /* times */
    int round;
    int kind; /* of body */
    size_t fails_at;
    atomic_int begun;
    weft_sem never;
    weft_graph *graph;
};

enum { QUICK, YIELDS, SLEEPS };

static int check_and_end(size_t node, void *ctx)
{
    struct run *run = ctx;
    atomic_fetch_add(&run->begun, 1);
    for (size_t i = 0; i < run->edges_n; i++) {
        if (run->edges[i].after == node) {
            wt_eq(atomic_load_explicit(&run->ended[run->edges[i].before], memory_order_relaxed),
                  run->round + 1, "node %zu before %u", node, run->edges[i].before);
        }
    }
    if (node == run->fails_at) {
        return weft_fail(-EIO, "node %zu", node);
    }
    int rc = run->kind == YIELDS   ? weft_yield()
             : run->kind == SLEEPS ? weft_sleep(WEFT_US(10 + node % 50))
                                   : 0;
    wt_eq(atomic_fetch_add(&run->ended[node], 1), run->round);
    return rc;
}

static struct run *run_new(size_t nodes, size_t edges_max)
{
    struct run *run = calloc(1, sizeof *run);
    run->nodes = nodes;
    run->edges = calloc(edges_max + 1, sizeof *run->edges);
    run->fails_at = SIZE_MAX;
    return run;
}

static void run_free(struct run *run)
{
    weft_graph_free(run->graph);
    free(run->edges);
    free(run);
}

static void add_edge(struct run *run, size_t before, size_t after)
{
    run->edges[run->edges_n++] = (weft_edge){(uint32_t)before, (uint32_t)after};
}

/* Edges from lower to higher numbers, but numbers that are shuffled, and some edges twice. */
static struct run *random_graph(size_t nodes, size_t edges, uint64_t seed)
{
    struct run *run = run_new(nodes, edges);
    uint32_t *shuffled = calloc(nodes, sizeof *shuffled);
    for (size_t i = 0; i < nodes; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size_t j = (size_t)(seed >> 33) % (i + 1);
        shuffled[i] = shuffled[j];
        shuffled[j] = (uint32_t)i;
    }
    for (size_t i = 0; i < edges && nodes > 1; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size_t a = (size_t)(seed >> 33) % (nodes - 1);
        size_t b = a + 1 + (size_t)(seed >> 13) % (nodes - a - 1);
        add_edge(run, shuffled[a], shuffled[b]);
    }
    free(shuffled);
    wt_eq(weft_graph_new(&run->graph, nodes, run->edges, run->edges_n), 0);
    return run;
}

static void run_times(struct run *run, int times)
{
    for (run->round = 0; run->round < times; run->round++) {
        wt_eq(weft_graph_run(run->graph, check_and_end, run), 0);
        for (size_t i = 0; i < run->nodes; i++) {
            wt_eq(atomic_load(&run->ended[i]), run->round + 1, "node %zu", i);
        }
    }
}

static int graphs_of_all_kinds(void *arg)
{
    (void)arg;
    static const size_t sizes[][2] = {{0, 0},  {1, 0},    {2, 1},    {2, 3},
                                      {50, 0}, {50, 200}, {300, 900}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int kind = QUICK; kind <= SLEEPS; kind++) {
            struct run *run = random_graph(sizes[i][0], sizes[i][1], i + 1);
            run->kind = kind;
            run_times(run, 4);
            run_free(run);
        }
    }
    return 0;
}

Test(graph, each_node_runs_once_after_those_it_depends_on_and_again)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(graphs_of_all_kinds, NULL, .workers = workers), 0);
    }
}

/* Each node depends on the one a row before, and on its neighbour. */
enum { ROW = 16, ROWS = 20 };

static int check_row(size_t node, void *ctx)
{
    struct run *run = ctx;
    if (node >= ROW) {
        int before = atomic_load_explicit(&run->ended[node - ROW], memory_order_relaxed);
        int beside = atomic_load_explicit(&run->ended[node - ROW + 1], memory_order_relaxed);
        wt_true(before == run->round + 1 && beside == run->round + 1, "node %zu", node);
    }
    wt_eq(atomic_fetch_add(&run->ended[node], 1), run->round);
    return 0;
}

/* Eight epochs of the trial (trial.h), so that both ways are taken. */
static int often(void *arg)
{
    (void)arg;
    struct run *run = run_new(ROW * ROWS, 2 * ROW * ROWS);
    for (size_t node = ROW; node < ROW * ROWS; node++) {
        add_edge(run, node - ROW, node);
        add_edge(run, node - ROW + 1, node);
    }
    wt_eq(weft_graph_new(&run->graph, ROW * ROWS, run->edges, run->edges_n), 0);
    for (run->round = 0; run->round < 64; run->round++) {
        wt_eq(weft_graph_run(run->graph, check_row, run), 0);
    }
    wt_eq(atomic_load(&run->ended[ROW * ROWS - 1]), 64);
    run_free(run);
    return 0;
}

Test(graph, it_is_right_whether_thieves_may_have_its_nodes_or_not)
{
    for (int workers = 1; workers <= 4; workers *= 2) {
        wt_eq(weft_run(often, NULL, .workers = workers), 0);
    }
}

/* One long path, one node with many successors and one with many predecessors. */
static int chain_and_star(void *arg)
{
    (void)arg;
    struct run *chain = run_new(1000, 1000);
    for (size_t i = 0; i + 1 < 1000; i++) {
        add_edge(chain, i, i + 1);
    }
    wt_eq(weft_graph_new(&chain->graph, 1000, chain->edges, chain->edges_n), 0);
    run_times(chain, 3);
    run_free(chain);
    struct run *star = run_new(1002, 2000);
    for (size_t i = 1; i <= 1000; i++) {
        add_edge(star, 0, i);
        add_edge(star, i, 1001);
    }
    wt_eq(weft_graph_new(&star->graph, 1002, star->edges, star->edges_n), 0);
    run_times(star, 3);
    run_free(star);
    return 0;
}

Test(graph, chains_and_stars)
{
    wt_eq(weft_run(chain_and_star, NULL, .workers = 1), 0);
    wt_eq(weft_run(chain_and_star, NULL, .workers = 8), 0);
}

/* More nodes ready at once than a worker's queue holds. */
static int count_one(size_t node, void *ctx)
{
    (void)node;
    atomic_fetch_add((atomic_int *)ctx, 1);
    return 0;
}

static int many_nodes(void *arg)
{
    (void)arg;
    weft_graph *graph;
    atomic_int count = 0;
    wt_eq(weft_graph_new(&graph, 20000, NULL, 0), 0);
    wt_eq(weft_graph_run(graph, count_one, &count), 0);
    wt_eq(atomic_load(&count), 20000);
    weft_graph_free(graph);
    return 0;
}

Test(graph, more_nodes_than_a_queue_holds_may_be_ready_at_once)
{
    wt_eq(weft_run(many_nodes, NULL, .workers = 1), 0);
    wt_eq(weft_run(many_nodes, NULL, .workers = 4), 0);
}

/* --- what cannot be built --------------------------------------------------------------------- */

Test(graph, a_cycle_is_refused)
{
    weft_graph *graph;
    weft_edge triangle[] = {{0, 1}, {1, 2}, {2, 0}};
    wt_eq(weft_graph_new(&graph, 3, triangle, 3), -ELOOP);
    wt_true(graph == NULL);
    wt_eq(weft_graph_new(&graph, 4, triangle, 3), -ELOOP, "with a node that is on none");
    wt_eq(weft_graph_new(&graph, 3, triangle, 2), 0);
    weft_graph_free(graph);
    weft_edge itself = {1, 1};
    wt_eq(weft_graph_new(&graph, 2, &itself, 1), -ELOOP);
}

Test(graph, an_edge_to_nowhere_is_refused)
{
    weft_graph *graph;
    weft_edge edge = {0, 5};
    wt_eq(weft_graph_new(&graph, 5, &edge, 1), -EINVAL);
    wt_true(graph == NULL);
    wt_eq(weft_graph_new(&graph, SIZE_MAX, &edge, 1), -E2BIG);
    weft_graph_free(NULL);
}

Test(graph, outside_of_a_task_it_does_not_run)
{
    weft_graph *graph;
    atomic_int count = 0;
    wt_eq(weft_graph_new(&graph, 5, NULL, 0), 0);
    wt_eq(weft_graph_run(graph, count_one, &count), -EPERM);
    wt_eq(atomic_load(&count), 0);
    weft_graph_free(graph);
}

/* --- what stops it ---------------------------------------------------------------------------- */

static int failing(void *arg)
{
    (void)arg;
    for (size_t at = 0; at < 100; at += 9) {
        struct run *run = random_graph(100, 300, 77);
        run->kind = at % 2 == 0 ? QUICK : YIELDS;
        run->fails_at = at;
        wt_eq(weft_graph_run(run->graph, check_and_end, run), -EIO);
        char text[40] = "node ";
        (void)snprintf(text, sizeof text, "node %zu", at);
        wt_str_eq(weft_last()->text, text);
        wt_eq(atomic_load(&run->ended[at]), 0);
        for (size_t i = 0; i < run->edges_n; i++) {
            wt_true(run->edges[i].before != at ||
                    atomic_load(&run->ended[run->edges[i].after]) == 0);
        }
        memset(run->ended, 0, sizeof run->ended);
        run->fails_at = SIZE_MAX;
        run_times(run, 2); /* as good as new */
        run_free(run);
    }
    return 0;
}

Test(graph, after_a_failure_nothing_behind_it_runs_and_the_graph_may_run_again)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(failing, NULL, .workers = workers), 0);
    }
}

static int wait_or_fail(size_t node, void *ctx)
{
    struct run *run = ctx;
    atomic_fetch_add(&run->begun, 1);
    if (node == 3) {
        yield_until(&run->begun, 4);
        return -EPROTO;
    }
    return weft_sem_acquire(&run->never);
}

TaskTest(graph, a_failure_cancels_the_nodes_that_wait, 2)
{
    struct run *run = run_new(4, 0);
    weft_sem_init(&run->never, 0, 0);
    wt_eq(weft_graph_new(&run->graph, 4, NULL, 0), 0);
    wt_eq(weft_graph_run(run->graph, wait_or_fail, run), -EPROTO);
    weft_sem_fini(&run->never);
    run_free(run);
    return 0;
}

static int wait_for_ever(size_t node, void *ctx)
{
    struct run *run = ctx;
    (void)node;
    atomic_fetch_add(&run->begun, 1);
    return weft_sem_acquire(&run->never);
}

static int run_for_ever(void *arg)
{
    struct run *run = arg;
    return weft_graph_run(run->graph, wait_for_ever, run);
}

static int cancelled_in_the_middle(void *arg)
{
    (void)arg;
    struct run *run = random_graph(200, 300, 5);
    weft_sem_init(&run->never, 0, 0);
    weft_task task;
    WEFT_SCOPE(scope, .on_error = WEFT_CONTINUE);
    weft_spawn(&task, run_for_ever, run);
    yield_until(&run->begun, 2);
    weft_scope_cancel(&scope, "enough");
    wt_eq(weft_await(&task), -ECANCELED);
    weft_scope_end(&scope);
    wt_true(atomic_load(&run->begun) < 200);
    wt_eq(weft_within(WEFT_MS(1), run_for_ever(run)), -ETIME);
    run_times(run, 1);
    weft_sem_fini(&run->never);
    run_free(run);
    return 0;
}

Test(graph, a_cancellation_stops_it_and_it_may_run_again)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(cancelled_in_the_middle, NULL, .workers = workers), 0);
    }
}

TaskTest(graph, in_a_cancelled_scope_no_node_runs, 1)
{
    struct run *run = random_graph(5, 3, 1);
    WEFT_SCOPE(scope);
    weft_scope_cancel(&scope, "before");
    wt_eq(weft_graph_run(run->graph, check_and_end, run), -ECANCELED);
    weft_scope_end(&scope);
    wt_eq(atomic_load(&run->begun), 0);
    run_free(run);
    return 0;
}

static int run_itself(size_t node, void *ctx)
{
    struct run *run = ctx;
    (void)node;
    return weft_graph_run(run->graph, check_and_end, run);
}

TaskTest(graph, a_graph_that_runs_is_busy, 2)
{
    struct run *run = random_graph(3, 2, 1);
    wt_eq(weft_graph_run(run->graph, run_itself, run), -EBUSY);
    run_times(run, 1);
    run_free(run);
    return 0;
}

static int run_another(size_t node, void *ctx)
{
    struct run **runs = ctx;
    run_times(runs[node], 1);
    return 0;
}

TaskTest(graph, a_node_may_run_a_graph, 4)
{
    struct run *runs[8];
    weft_graph *outer;
    for (size_t i = 0; i < 8; i++) {
        runs[i] = random_graph(30, 60, i);
        runs[i]->kind = YIELDS;
    }
    wt_eq(weft_graph_new(&outer, 8, (weft_edge[]){{0, 1}, {2, 1}, {7, 0}}, 3), 0);
    wt_eq(weft_graph_run(outer, run_another, runs), 0);
    weft_graph_free(outer);
    for (size_t i = 0; i < 8; i++) {
        run_free(runs[i]);
    }
    return 0;
}
