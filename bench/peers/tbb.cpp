// tbb.cpp: the workloads on oneTBB.
#include "graphs.h"
#include <tbb/blocked_range.h>
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <deque>

static long fib(long n)
{
    if (n < 2) {
        return n;
    }
    long left;
    tbb::task_group group;
    group.run([&left, n] { left = fib(n - 1); });
    long right = fib(n - 2);
    group.wait();
    return left + right;
}

static long skynet(long first, long leaves)
{
    if (leaves == 1) {
        return first;
    }
    long each = leaves / 10, sums[10], sum = 0;
    tbb::task_group group;
    for (int i = 0; i < 9; i++) {
        group.run([&sums, i, first, each] { sums[i] = skynet(first + i * each, each); });
    }
    sums[9] = skynet(first + 9 * each, each);
    group.wait();
    for (long part : sums) {
        sum += part;
    }
    return sum;
}

static long queens(board at)
{
    if (at.row == QUEENS_N) {
        return 1;
    }
    long found[QUEENS_N] = {0}, sum = 0;
    tbb::task_group group;
    for (int column = 0; column < QUEENS_N; column++) {
        if (queens_fit(&at, column)) {
            board next = queens_with(at, column);
            group.run([&found, next, column] { found[column] = queens(next); });
        }
    }
    group.wait();
    for (long part : found) {
        sum += part;
    }
    return sum;
}

static long uts(uint64_t node)
{
    if (!uts_has_children(node)) {
        return 1;
    }
    long nodes[UTS_CHILDREN], sum = 1;
    tbb::task_group group;
    for (int i = 0; i < UTS_CHILDREN - 1; i++) {
        group.run([&nodes, node, i] { nodes[i] = uts(uts_child(node, (uint64_t)i)); });
    }
    nodes[UTS_CHILDREN - 1] = uts(uts_child(node, UTS_CHILDREN - 1));
    group.wait();
    for (long part : nodes) {
        sum += part;
    }
    return sum;
}

static void multiply(product p)
{
    if (p.size == BLOCK) {
        multiply_block(&p);
        return;
    }
    for (size_t k = 0; k < 2; k++) {
        tbb::task_group group;
        for (size_t i = 0; i < 3; i++) {
            group.run([p, i, k] { multiply(quarter(p, i / 2, i % 2, k)); });
        }
        multiply(quarter(p, 1, 1, k));
        group.wait();
    }
}

static unsigned char counted[STORM_TASKS];
static long roots[UTS_ROOTS];

static int run_one(const char *name)
{
    if (strcmp(name, "fib") == 0) {
        return fib(FIB_N) == FIB_RESULT;
    }
    if (strcmp(name, "skynet") == 0) {
        return skynet(0, SKYNET_LEAVES) == (long)SKYNET_LEAVES * (SKYNET_LEAVES - 1) / 2;
    }
    if (strcmp(name, "nqueens") == 0) {
        return queens(board()) == QUEENS_SOLUTIONS;
    }
    if (strcmp(name, "uts") == 0) {
        long nodes = 0;
        tbb::parallel_for(0, (int)UTS_ROOTS, [](int i) { roots[i] = uts(uts_child(42, (uint64_t)i)); });
        for (long part : roots) {
            nodes += part;
        }
        return nodes == UTS_NODES;
    }
    if (strcmp(name, "matmul") == 0) {
        product p = whole();
        multiply(p);
        return is_product(&p);
    }
    if (strcmp(name, "storm") == 0) {
        memset(counted, 0, sizeof counted);
        tbb::task_group group;
        for (int i = 0; i < STORM_TASKS; i++) {
            group.run([i] { counted[i]++; });
        }
        group.wait();
        return memchr(counted, 0, sizeof counted) == NULL;
    }
    tbb::parallel_for(tbb::blocked_range<size_t>(0, INDICES), [](const tbb::blocked_range<size_t> &r) {
        for (size_t i = r.begin(); i < r.end(); i++) {
            touch(&numbers[i]);
        }
    });
    return 1;
}

static tbb::task_arena *arena;

static int run(void *arg)
{
    int ok = 0;
    arena->execute([&ok, arg] { ok = run_one((const char *)arg); });
    return ok;
}

// --- metg: a flow graph, built once ---

using flow_node = tbb::flow::continue_node<tbb::flow::continue_msg>;

struct flow {
    tbb::flow::graph graph; // of the arena in which it is made
    std::deque<flow_node> nodes;

    explicit flow(struct graph *g)
    {
        for (int node = 0; node < GRAPH_NODES; node++) {
            nodes.emplace_back(graph, [g, node](const tbb::flow::continue_msg &) { graph_work(g, node); });
            for (int i = 0; i < g->inputs_n[node]; i++) {
                tbb::flow::make_edge(nodes[(size_t)g->inputs[node][i]], nodes[(size_t)node]);
            }
        }
    }
};

static flow *built;

static void run_graph(struct graph *g)
{
    for (int node = 0; node < GRAPH_NODES; node++) {
        if (g->inputs_n[node] == 0) {
            built->nodes[(size_t)node].try_put(tbb::flow::continue_msg());
        }
    }
    built->graph.wait_for_all();
}

static int measure_graph(struct graph *g, int count)
{
    int rc = 0;
    arena->execute([&rc, g, count] {
        built = new flow(g);
        rc = graph_measure(g, run_graph, count);
        delete built;
    });
    return rc;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        double ops;
    } ops[] = {{"fib", FIB_OPS},   {"skynet", SKYNET_OPS}, {"nqueens", QUEENS_SOLUTIONS}, {"uts", UTS_NODES},
               {"matmul", 4096}, {"storm", STORM_TASKS}, {"pfor", INDICES}};
    if (argc != 3) {
        return 2;
    }
    tbb::global_control threads(tbb::global_control::max_allowed_parallelism, (size_t)atoi(argv[2]));
    arena = new tbb::task_arena(atoi(argv[2]));
    if (struct graph *graph = graph_new(argv[1])) {
        return measure_graph(graph, atoi(argv[2]));
    }
    prepare();
    for (const auto &one : ops) {
        if (strcmp(argv[1], one.name) == 0) {
            return measure(run, argv[1], one.ops);
        }
    }
    return 2;
}
