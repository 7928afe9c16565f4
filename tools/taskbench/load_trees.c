/* load_trees.c: recursive work that is harder to share than fib: a tree whose shape nobody knows
 * before (unbalanced tree search), and a matrix product, whose parts are few and large. Serial C as
 * reference.
 *
 * The tree is binomial, as in the published UTS: each node has eight children with a probability
 * just below 1/8, else none, so that most subtrees are tiny and some are thousands of nodes. The
 * hash is splitmix64 instead of SHA-1, which would hide what the runtime costs. */
#include "load.h"
#include <stdlib.h>
#include <string.h>
#include <weft/fork.h>

#define EVERY_CALL \
    __attribute__((noinline)) /* as load_forkjoin.c: a reference that does not move */

/* --- uts -------------------------------------------------------------------------------------- */

#define UTS_CHILDREN 8
/* Of having children. Expected are 1 / (1 - 8 * 0.12) = 25 nodes below each root. 0.1248, as in the
 * peers' tables, makes paths of a thousand, which do not fit on a stack with eight sections a
 * frame. */
#define UTS_PROBABILITY 0.12

static uint64_t uts_child(uint64_t parent, uint64_t i)
{
    uint64_t z = parent + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool uts_has_children(uint64_t node)
{
    return (double)(node >> 11) * 0x1p-53 < UTS_PROBABILITY;
}

static EVERY_CALL uint64_t uts_serial(uint64_t node)
{
    uint64_t nodes = 1;
    if (uts_has_children(node)) {
        for (uint64_t i = 0; i < UTS_CHILDREN; i++) {
            nodes += uts_serial(uts_child(node, i));
        }
    }
    return nodes;
}

static uint64_t uts(uint64_t node);
WEFT_FORKABLE1(uint64_t, uts, uint64_t)
static __attribute__((noinline)) uint64_t uts_node(uint64_t node) /* see "Leaves" in fork.h */
{
    struct uts_branch children[UTS_CHILDREN - 1];
    for (uint64_t i = 0; i < UTS_CHILDREN - 1; i++) {
        uts_fork(&children[i], uts_child(node, i));
    }
    uint64_t nodes = 1 + uts(uts_child(node, UTS_CHILDREN - 1));
    for (int i = UTS_CHILDREN - 2; i >= 0; i--) {
        nodes += uts_join(&children[i]);
    }
    return nodes;
}

static uint64_t uts(uint64_t node)
{
    return uts_has_children(node) ? uts_node(node) : 1;
}

/* The roots, halved and halved again: a node with thousands of children would be another
 * workload. */
static uint64_t uts_roots_serial(uint64_t first, uint64_t count)
{
    if (count == 1) {
        return uts_serial(uts_child(42, first));
    }
    return uts_roots_serial(first, count / 2) +
           uts_roots_serial(first + count / 2, count - count / 2);
}

static uint64_t uts_roots(uint64_t first, uint64_t count);
WEFT_FORKABLE2(uint64_t, uts_roots, uint64_t, uint64_t)
static uint64_t uts_roots(uint64_t first, uint64_t count)
{
    if (count == 1) {
        return uts(uts_child(42, first));
    }
    struct uts_roots_branch left;
    uts_roots_fork(&left, first, count / 2);
    uint64_t right = uts_roots(first + count / 2, count - count / 2);
    return uts_roots_join(&left) + right;
}

static int uts_open(struct tb_trial *trial)
{
    trial->ops_per_round = uts_roots_serial(0, trial->params[0]);
    return 0;
}

static int uts_rounds(struct tb_trial *trial, uint64_t rounds,
                      uint64_t (*run)(uint64_t first, uint64_t count))
{
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t got = run(0, trial->params[0]);
        if (got != trial->ops_per_round) {
            return tb_wrong(trial, "%llu nodes, got %llu", (unsigned long long)trial->ops_per_round,
                            (unsigned long long)got);
        }
    }
    return 0;
}

static int uts_sample(struct tb_trial *trial, uint64_t rounds)
{
    return uts_rounds(trial, rounds, uts_roots);
}

static int uts_reference(struct tb_trial *trial, uint64_t rounds)
{
    return uts_rounds(trial, rounds, uts_roots_serial);
}

/* --- matmul ----------------------------------------------------------------------------------- */

#define BLOCK 32 /* three blocks of doubles are 24 KiB, which a first-level cache holds */

/* Small integers, so that sums are exact in whatever order. */
struct matrices {
    size_t n; /* BLOCK times a power of two */
    double *a, *b, *c, *want;
};

/* A square of a matrix: its first element; rows are `n` of the whole matrix apart. */
struct product {
    double *c;
    const double *a, *b;
    size_t size, n;
};

static EVERY_CALL void multiply_block(const struct product *p)
{
    for (size_t i = 0; i < BLOCK; i++) {
        for (size_t k = 0; k < BLOCK; k++) {
            double a = p->a[i * p->n + k];
            for (size_t j = 0; j < BLOCK; j++) {
                p->c[i * p->n + j] += a * p->b[k * p->n + j];
            }
        }
    }
}

/* Quarter (row, column) of c, from column `k` of a's quarters and row `k` of b's. */
static struct product quarter(struct product p, size_t row, size_t column, size_t k)
{
    size_t half = p.size / 2;
    p.size = half;
    p.c += row * half * p.n + column * half;
    p.a += row * half * p.n + k * half;
    p.b += k * half * p.n + column * half;
    return p;
}

static int multiply_serial(struct product p)
{
    if (p.size == BLOCK) {
        multiply_block(&p);
        return 0;
    }
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < 4; i++) {
            multiply_serial(quarter(p, i / 2, i % 2, k));
        }
    }
    return 0;
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

static void matmul_close(struct tb_trial *trial)
{
    struct matrices *m = trial->state;
    free(m->a);
    free(m);
}

static struct product whole(const struct matrices *m, double *c)
{
    return (struct product){.c = c, .a = m->a, .b = m->b, .size = m->n, .n = m->n};
}

static int matmul_open(struct tb_trial *trial)
{
    struct matrices *m = trial->state = calloc(1, sizeof *m);
    if (!m) {
        return tb_skip(trial, "no memory for the matrices");
    }
    m->n = BLOCK;
    while (m->n * 2 <= trial->params[0]) {
        m->n *= 2;
    }
    size_t elements = m->n * m->n;
    m->a = calloc(4 * elements, sizeof *m->a);
    if (!m->a) {
        free(m);
        return tb_skip(trial, "no memory for the matrices");
    }
    m->b = m->a + elements;
    m->c = m->b + elements;
    m->want = m->c + elements;
    for (size_t i = 0; i < elements; i++) {
        m->a[i] = (double)(i % 7);
        m->b[i] = (double)(i % 5) - 2;
    }
    /* the answer in another order: row by row */
    for (size_t i = 0; i < elements; i++) {
        for (size_t k = 0; k < m->n; k++) {
            m->want[i] += m->a[i / m->n * m->n + k] * m->b[k * m->n + i % m->n];
        }
    }
    trial->ops_per_round = (m->n / BLOCK) * (m->n / BLOCK) * (m->n / BLOCK);
    return 0;
}

static int matmul_rounds(struct tb_trial *trial, uint64_t rounds, int (*run)(struct product p))
{
    struct matrices *m = trial->state;
    size_t elements = m->n * m->n;
    for (uint64_t i = 0; i < rounds; i++) {
        memset(m->c, 0, elements * sizeof *m->c);
        (void)run(whole(m, m->c));
    }
    for (size_t i = 0; i < elements; i++) {
        if (m->c[i] != m->want[i]) {
            return tb_wrong(trial, "element %zu is %g, not %g", i, m->c[i], m->want[i]);
        }
    }
    return 0;
}

static int matmul_sample(struct tb_trial *trial, uint64_t rounds)
{
    return matmul_rounds(trial, rounds, multiply);
}

static int matmul_reference(struct tb_trial *trial, uint64_t rounds)
{
    return matmul_rounds(trial, rounds, multiply_serial);
}

const struct tb_load tb_loads_trees[] = {
    {
        .name = "uts",
        .group = "fork-join",
        .about = "count the nodes of a tree whose shape is random",
        .op = "node",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"roots", 8000, 1, 10000000, "children of the root, 25 nodes below each"}},
        .open = uts_open,
        .sample = uts_sample,
        .reference = uts_reference,
    },
    {
        .name = "matmul",
        .group = "fork-join",
        .about = "product of two square matrices, by quarters",
        .op = "block",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"n", 256, BLOCK, 4096, "rows, rounded down to 32 times a power of two"}},
        .open = matmul_open,
        .sample = matmul_sample,
        .reference = matmul_reference,
        .close = matmul_close,
    },
    {.name = NULL},
};
