/* weft.c: the workloads on weft; with WORKLOAD "serial-..." in serial C, as the measure of all. */
#include "graphs.h"
#include <weft/fork.h>
#include <weft/graph.h>
#include <weft/par.h>
#include <weft/task.h>

#define EVERY_CALL __attribute__((noinline))
#define APART      __attribute__((noinline)) /* what forks: see "Leaves" in fork.h */

/* --- fib -------------------------------------------------------------------------------------- */

static EVERY_CALL long serial_fib(long n)
{
    return n < 2 ? n : serial_fib(n - 1) + serial_fib(n - 2);
}

static long fib(long n);
WEFT_FORKABLE1(long, fib, long)
static APART long fib_node(long n)
{
    struct fib_branch left;
    fib_fork(&left, n - 1);
    long right = fib(n - 2);
    return fib_join(&left) + right;
}

static long fib(long n)
{
    return n < 2 ? n : fib_node(n);
}

static int run_fib(void *arg)
{
    (void)arg;
    return fib(FIB_N) == FIB_RESULT;
}

static int run_serial_fib(void *arg)
{
    (void)arg;
    return serial_fib(FIB_N) == FIB_RESULT;
}

/* --- skynet ----------------------------------------------------------------------------------- */

static EVERY_CALL long serial_skynet(long first, long leaves)
{
    long sum = leaves == 1 ? first : 0;
    for (long i = 0; i < 10 && leaves > 1; i++) {
        sum += serial_skynet(first + i * (leaves / 10), leaves / 10);
    }
    return sum;
}

static long skynet(long first, long leaves);
WEFT_FORKABLE2(long, skynet, long, long)
static APART long skynet_node(long first, long leaves)
{
    struct skynet_branch children[9];
    long each = leaves / 10;
    for (long i = 0; i < 9; i++) {
        skynet_fork(&children[i], first + i * each, each);
    }
    long sum = skynet(first + 9 * each, each);
    for (int i = 8; i >= 0; i--) {
        sum += skynet_join(&children[i]);
    }
    return sum;
}

static long skynet(long first, long leaves)
{
    return __builtin_expect(leaves == 1, 1) ? first : skynet_node(first, leaves); /* nine of ten */
}

static const long skynet_sum = (long)SKYNET_LEAVES * (SKYNET_LEAVES - 1) / 2;

static int run_skynet(void *arg)
{
    (void)arg;
    return skynet(0, SKYNET_LEAVES) == skynet_sum;
}

static int run_serial_skynet(void *arg)
{
    (void)arg;
    return serial_skynet(0, SKYNET_LEAVES) == skynet_sum;
}

/* --- nqueens ---------------------------------------------------------------------------------- */

static EVERY_CALL long serial_queens(struct board board)
{
    long found = board.row == QUEENS_N;
    for (int column = 0; column < QUEENS_N && board.row < QUEENS_N; column++) {
        if (queens_fit(&board, column)) {
            found += serial_queens(queens_with(board, column));
        }
    }
    return found;
}

static long queens(struct board board);
WEFT_FORKABLE1(long, queens, struct board)
static long queens(struct board board) /* in one: apart, the board would be copied once more */
{
    if (board.row == QUEENS_N) {
        return 1;
    }
    struct queens_branch children[QUEENS_N];
    int forked = 0;
    for (int column = 0; column < QUEENS_N; column++) {
        if (queens_fit(&board, column)) {
            queens_fork(&children[forked++], queens_with(board, column));
        }
    }
    long found = 0;
    while (forked > 0) {
        found += queens_join(&children[--forked]);
    }
    return found;
}

static int run_queens(void *arg)
{
    (void)arg;
    return queens((struct board){0}) == QUEENS_SOLUTIONS;
}

static int run_serial_queens(void *arg)
{
    (void)arg;
    return serial_queens((struct board){0}) == QUEENS_SOLUTIONS;
}

/* --- uts -------------------------------------------------------------------------------------- */

static EVERY_CALL long serial_uts(uint64_t node)
{
    long nodes = 1;
    for (uint64_t i = 0; i < UTS_CHILDREN && uts_has_children(node); i++) {
        nodes += serial_uts(uts_child(node, i));
    }
    return nodes;
}

static long uts(uint64_t node);
WEFT_FORKABLE1(long, uts, uint64_t)
static APART long uts_node(uint64_t node)
{
    struct uts_branch children[UTS_CHILDREN - 1];
    for (uint64_t i = 0; i < UTS_CHILDREN - 1; i++) {
        uts_fork(&children[i], uts_child(node, i));
    }
    long nodes = 1 + uts(uts_child(node, UTS_CHILDREN - 1));
    for (int i = UTS_CHILDREN - 2; i >= 0; i--) {
        nodes += uts_join(&children[i]);
    }
    return nodes;
}

static long uts(uint64_t node)
{
    return uts_has_children(node) ? uts_node(node) : 1;
}

static int count_roots(size_t from, size_t to, void *acc, void *ctx)
{
    (void)ctx;
    for (size_t i = from; i < to; i++) {
        *(long *)acc += uts(uts_child(42, i));
    }
    return 0;
}

static void add(void *left, const void *right, void *ctx)
{
    (void)ctx;
    *(long *)left += *(const long *)right;
}

static int run_uts(void *arg)
{
    (void)arg;
    long nodes = 0;
    return weft_reduce(0, UTS_ROOTS, &nodes, count_roots, add, NULL) == 0 && nodes == UTS_NODES;
}

static int run_serial_uts(void *arg)
{
    (void)arg;
    long nodes = 0;
    for (uint64_t i = 0; i < UTS_ROOTS; i++) {
        nodes += serial_uts(uts_child(42, i));
    }
    return nodes == UTS_NODES;
}

/* --- matmul ----------------------------------------------------------------------------------- */

static void serial_multiply(struct product p)
{
    if (p.size == BLOCK) {
        multiply_block(&p);
        return;
    }
    for (size_t i = 0; i < 8; i++) {
        serial_multiply(quarter(p, i / 2 % 2, i % 2, i / 4));
    }
}

static int multiply(struct product p);
WEFT_FORKABLE1(int, multiply, struct product)
static int multiply(struct product p)
{
    if (p.size == BLOCK) {
        multiply_block(&p);
        return 0;
    }
    for (size_t k = 0; k < 2; k++) {
        struct multiply_branch quarters[3];
        for (size_t i = 0; i < 3; i++) {
            multiply_fork(&quarters[i], quarter(p, i / 2, i % 2, k));
        }
        multiply(quarter(p, 1, 1, k));
        for (int i = 2; i >= 0; i--) {
            (void)multiply_join(&quarters[i]);
        }
    }
    return 0;
}

static int run_matmul(void *arg)
{
    (void)arg;
    struct product p = whole();
    multiply(p);
    return is_product(&p);
}

static int run_serial_matmul(void *arg)
{
    (void)arg;
    struct product p = whole();
    serial_multiply(p);
    return is_product(&p);
}

/* --- storm, pfor ------------------------------------------------------------------------------ */

WEFT_TASK(count, unsigned char *)
{
    ++**arg;
    return 0;
}

static unsigned char counted[STORM_TASKS];

static int run_storm(void *arg)
{
    (void)arg;
    memset(counted, 0, sizeof counted);
    WEFT_SCOPE(scope);
    for (size_t i = 0; i < STORM_TASKS; i++) {
        unsigned char *mine = &counted[i];
        (void)weft_go(&scope, count, &mine);
    }
    return weft_scope_end(&scope) == 0 && memchr(counted, 0, sizeof counted) == NULL;
}

static int touch_all(size_t from, size_t to, void *ctx)
{
    (void)ctx;
    for (size_t i = from; i < to; i++) {
        touch(&numbers[i]);
    }
    return 0;
}

static int run_pfor(void *arg)
{
    (void)arg;
    return weft_for(0, INDICES, touch_all, NULL) == 0;
}

static int run_serial_pfor(void *arg)
{
    (void)arg;
    return touch_all(0, INDICES, NULL) == 0;
}

/* --- metg ------------------------------------------------------------------------------------- */

static weft_graph *built;

static weft_graph *build(const struct graph *g)
{
    static weft_edge edges[GRAPH_NODES * GRAPH_INPUTS_MAX];
    size_t count = 0;
    weft_graph *graph;
    for (uint32_t node = 0; node < GRAPH_NODES; node++) {
        for (int i = 0; i < g->inputs_n[node]; i++) {
            edges[count++] = (weft_edge){(uint32_t)g->inputs[node][i], node};
        }
    }
    return weft_graph_new(&graph, GRAPH_NODES, edges, count) < 0 ? NULL : graph;
}

static int run_node(size_t node, void *ctx)
{
    graph_work((struct graph *)ctx, (int)node);
    return 0;
}

static void run_graph(struct graph *g)
{
    (void)weft_graph_run(built, run_node, g); /* a failure leaves values that are wrong */
}

struct metg {
    struct graph *graph;
    int threads;
};

static int run_metg(void *arg)
{
    const struct metg *m = (const struct metg *)arg;
    built = build(m->graph);
    int rc = built != NULL ? graph_measure(m->graph, run_graph, m->threads) : 1;
    weft_graph_free(built);
    return rc;
}

/* --- all of it -------------------------------------------------------------------------------- */

static const struct workload {
    const char *name;
    double ops;
    int (*run)(void *arg), (*serial)(void *arg);
} workloads[] = {
    {"fib", FIB_OPS, run_fib, run_serial_fib},
    {"skynet", SKYNET_OPS, run_skynet, run_serial_skynet},
    {"nqueens", QUEENS_SOLUTIONS, run_queens, run_serial_queens},
    {"uts", UTS_NODES, run_uts, run_serial_uts},
    {"matmul", 4096, run_matmul, run_serial_matmul},
    {"storm", STORM_TASKS, run_storm, NULL},
    {"pfor", INDICES, run_pfor, run_serial_pfor},
};

static int run_in_task(void *arg)
{
    const struct workload *w = (const struct workload *)arg;
    return measure(w->run, NULL, w->ops);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    struct metg m = {graph_new(argv[1]), atoi(argv[2])};
    if (m.graph != NULL) {
        return weft_run(run_metg, &m, .workers = m.threads);
    }
    prepare();
    int is_serial = strncmp(argv[1], "serial-", 7) == 0;
    const char *name = argv[1] + (is_serial ? 7 : 0);
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
        const struct workload *w = &workloads[i];
        if (strcmp(name, w->name) != 0 || (is_serial && w->serial == NULL)) {
            continue;
        }
        return is_serial ? measure(w->serial, NULL, w->ops)
                         : weft_run(run_in_task, (void *)w, .workers = atoi(argv[2]));
    }
    return 2;
}
