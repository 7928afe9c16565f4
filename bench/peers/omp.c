/* omp.c: the workloads as OpenMP tasks and loops: libgomp (gcc) or libomp (clang). */
#include "graphs.h"
#include <omp.h>

static long fib(long n)
{
    if (n < 2) {
        return n;
    }
    long left;
#pragma omp task shared(left) firstprivate(n)
    left = fib(n - 1);
    long right = fib(n - 2);
#pragma omp taskwait
    return left + right;
}

static long skynet(long first, long leaves)
{
    if (leaves == 1) {
        return first;
    }
    long each = leaves / 10, sums[10], sum = 0;
    for (int i = 0; i < 10; i++) {
#pragma omp task shared(sums) firstprivate(i, first, each)
        sums[i] = skynet(first + i * each, each);
    }
#pragma omp taskwait
    for (int i = 0; i < 10; i++) {
        sum += sums[i];
    }
    return sum;
}

static long queens(struct board board)
{
    if (board.row == QUEENS_N) {
        return 1;
    }
    long found[QUEENS_N] = {0}, sum = 0;
    for (int column = 0; column < QUEENS_N; column++) {
        if (queens_fit(&board, column)) {
            struct board next = queens_with(board, column);
#pragma omp task shared(found) firstprivate(next, column)
            found[column] = queens(next);
        }
    }
#pragma omp taskwait
    for (int i = 0; i < QUEENS_N; i++) {
        sum += found[i];
    }
    return sum;
}

static long uts(uint64_t node)
{
    if (!uts_has_children(node)) {
        return 1;
    }
    long nodes[UTS_CHILDREN], sum = 1;
    for (int i = 0; i < UTS_CHILDREN; i++) {
#pragma omp task shared(nodes) firstprivate(i, node)
        nodes[i] = uts(uts_child(node, (uint64_t)i));
    }
#pragma omp taskwait
    for (int i = 0; i < UTS_CHILDREN; i++) {
        sum += nodes[i];
    }
    return sum;
}

static void multiply(struct product p)
{
    if (p.size == BLOCK) {
        multiply_block(&p);
        return;
    }
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < 4; i++) {
#pragma omp task firstprivate(p, i, k)
            multiply(quarter(p, i / 2, i % 2, k));
        }
#pragma omp taskwait
    }
}

static unsigned char counted[STORM_TASKS];
static long
    roots[UTS_ROOTS]; /* not in the task that starts them: gcc 12 gives each task a copy of such */

static int run(void *arg)
{
    const char *name = (const char *)arg;
    int ok = 0;
    if (strcmp(name, "pfor") == 0) {
#pragma omp parallel for schedule(guided)
        for (size_t i = 0; i < INDICES; i++) {
            touch(&numbers[i]);
        }
        return 1;
    }
#pragma omp parallel
#pragma omp single
    {
        if (strcmp(name, "fib") == 0) {
            ok = fib(FIB_N) == FIB_RESULT;
        } else if (strcmp(name, "skynet") == 0) {
            ok = skynet(0, SKYNET_LEAVES) == (long)SKYNET_LEAVES * (SKYNET_LEAVES - 1) / 2;
        } else if (strcmp(name, "nqueens") == 0) {
            ok = queens((struct board){0}) == QUEENS_SOLUTIONS;
        } else if (strcmp(name, "uts") == 0) {
            long nodes = 0;
            for (int i = 0; i < UTS_ROOTS; i++) {
#pragma omp task firstprivate(i)
                roots[i] = uts(uts_child(42, (uint64_t)i));
            }
#pragma omp taskwait
            for (int i = 0; i < UTS_ROOTS; i++) {
                nodes += roots[i];
            }
            ok = nodes == UTS_NODES;
        } else if (strcmp(name, "matmul") == 0) {
            struct product p = whole();
            multiply(p);
            ok = is_product(&p);
        } else if (strcmp(name, "storm") == 0) {
            memset(counted, 0, sizeof counted);
            for (int i = 0; i < STORM_TASKS; i++) {
#pragma omp task firstprivate(i)
                counted[i]++;
            }
#pragma omp taskwait
            ok = memchr(counted, 0, sizeof counted) == NULL;
        }
    }
    return ok;
}

/* Dependences are told with each task, and found by the runtime as the tasks are made. */
static void run_graph(struct graph *g)
{
#pragma omp parallel
#pragma omp single
    for (int node = 0; node < GRAPH_NODES; node++) {
        const int n = g->inputs_n[node], *in = g->inputs[node];
        uint64_t *all = g->values;
        /* clang-format off */ /* it takes the colons for labels */
#pragma omp task firstprivate(g, node) depend(iterator(i = 0 : n), in : all[in[i]]) depend(out : all[node])
        /* clang-format on */
        graph_work(g, node);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        double ops;
    } ops[] = {{"fib", FIB_OPS},   {"skynet", SKYNET_OPS}, {"nqueens", QUEENS_SOLUTIONS},
               {"uts", UTS_NODES}, {"matmul", 4096},       {"storm", STORM_TASKS},
               {"pfor", INDICES}};
    if (argc != 3) {
        return 2;
    }
    omp_set_num_threads(atoi(argv[2]));
    struct graph *graph = graph_new(argv[1]);
    if (graph != NULL) {
        return graph_measure(graph, run_graph, atoi(argv[2]));
    }
    prepare();
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (strcmp(argv[1], ops[i].name) == 0) {
            return measure(run, argv[1], ops[i].ops);
        }
    }
    return 2;
}
