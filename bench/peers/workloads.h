/* workloads.h: what the programs of this folder have in common: the sizes of the workloads, their
 * leaves, and how a program is called and answers. C and C++.
 *
 *     PROGRAM WORKLOAD THREADS    prints ns per op; exits with 1 if the result is wrong, 2 if it
 *                                 has no such
 *
 * fib      op: a call that forks. fib(30)
 * skynet   op: a node. Ten children a node, a million leaves
 * nqueens  op: a solution. 11 queens, the board copied into each child
 * uts      op: a node. A binomial tree, as tools/taskbench/load_trees.c
 * matmul   op: a block of 32 x 32. 512 x 512, by quarters
 * storm    op: a task. 200,000 tasks that count, started by one
 * pfor     op: an index. 10 million, a multiplication and an addition each
 * metg-*   see graphs.h */
#ifndef PEERS_WORKLOADS_H
#define PEERS_WORKLOADS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    FIB_N = 30,
    FIB_RESULT = 832040,
    FIB_OPS = 1346268,
    SKYNET_LEAVES = 1000000,
    SKYNET_OPS = 1111111,
    QUEENS_N = 11,
    QUEENS_SOLUTIONS = 2680,
    UTS_ROOTS = 8000,
    UTS_NODES = 191672,
    UTS_CHILDREN = 8,
    BLOCK = 32,
    MATRIX = 512,
    STORM_TASKS = 200000,
    INDICES = 10000000,
};

struct board {
    signed char row, column[QUEENS_N];
};

static inline int queens_fit(const struct board *board, int column)
{
    for (int i = 0; i < board->row; i++) {
        int distance = board->row - i, across = column - board->column[i];
        if (across == 0 || across == distance || across == -distance) {
            return 0;
        }
    }
    return 1;
}

static inline struct board queens_with(struct board board, int column)
{
    board.column[board.row++] = (signed char)column;
    return board;
}

static inline uint64_t uts_child(uint64_t parent, uint64_t i)
{
    uint64_t z = parent + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline int uts_has_children(uint64_t node)
{
    return (double)(node >> 11) * 0x1p-53 < 0.12;
}

/* A square of size x size elements in matrices whose rows are MATRIX apart. */
struct product {
    double *c;
    const double *a, *b;
    size_t size;
};

static inline struct product quarter(struct product p, size_t row, size_t column, size_t k)
{
    size_t half = p.size / 2;
    p.size = half;
    p.c += row * half * MATRIX + column * half;
    p.a += row * half * MATRIX + k * half;
    p.b += k * half * MATRIX + column * half;
    return p;
}

static __attribute__((noinline, unused)) void multiply_block(const struct product *p)
{
    for (size_t i = 0; i < BLOCK; i++) {
        for (size_t k = 0; k < BLOCK; k++) {
            double a = p->a[i * MATRIX + k];
            for (size_t j = 0; j < BLOCK; j++) {
                p->c[i * MATRIX + j] += a * p->b[k * MATRIX + j];
            }
        }
    }
}

static inline void touch(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
}

static inline double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Runs `run` three times; prints ns per op of the fastest. `run` returns whether the result is
 * right. */
static inline int measure(int (*run)(void *arg), void *arg, double ops)
{
    double best = 1e300;
    for (int i = 0; i < 3; i++) {
        double start = now_ns();
        if (!run(arg)) {
            return 1;
        }
        double took = now_ns() - start;
        best = took < best ? took : best;
    }
    printf("%.4g\n", best / ops);
    return 0;
}

static double *matrices; /* a, b, c */
static uint32_t *numbers;

static inline void prepare(void)
{
    size_t elements = (size_t)MATRIX * MATRIX;
    matrices = (double *)calloc(3 * elements, sizeof *matrices);
    numbers = (uint32_t *)calloc(INDICES, sizeof *numbers);
    for (size_t i = 0; i < elements; i++) {
        matrices[i] = (double)(i % 7);
        matrices[elements + i] = (double)(i % 5) - 2;
    }
}

static inline struct product whole(void)
{
    size_t elements = (size_t)MATRIX * MATRIX;
    struct product p = {matrices + 2 * elements, matrices, matrices + elements, MATRIX};
    memset(p.c, 0, elements * sizeof *p.c);
    return p;
}

/* A row and a column of the product, which is enough to see a block that is missing. */
static inline int is_product(const struct product *p)
{
    for (size_t i = 0; i < MATRIX; i += 31) {
        for (size_t j = 0; j < MATRIX; j += 13) {
            double want = 0;
            for (size_t k = 0; k < MATRIX; k++) {
                want += p->a[i * MATRIX + k] * p->b[k * MATRIX + j];
            }
            if (p->c[i * MATRIX + j] != want) {
                return 0;
            }
        }
    }
    return 1;
}

#endif
