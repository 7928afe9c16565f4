/* graphs.h: the workloads metg-*: how small the tasks of a graph may be. C and C++.
 *
 *     PROGRAM metg-PATTERN THREADS      prints METG in ns, as workloads.h says
 *
 * A graph has GRAPH_STEPS rows of GRAPH_WIDTH nodes; each needs some nodes of the row before, as
 * the pattern says (those of Task Bench, Slaughter and others, 2020, and of
 * tools/taskbench/load_graph.c), and then turns a loop. *Grain* is the time per node, elapsed /
 * nodes * threads. *Efficiency* is the part of it that the loop alone takes. METG(50 %) is the
 * grain at which efficiency is a half: shorter tasks are not worth their cost. The turns are
 * doubled until efficiency is above a half; METG is between the last two grains, in a straight
 * line.
 *
 * The result is checked: a node's value is made of its number and of all values that it needs,
 * which are cleared before each run, so a node that begins too early changes the sum of all of
 * them. The sums are the same in every language. */
#ifndef PEERS_GRAPHS_H
#define PEERS_GRAPHS_H

#include "workloads.h"

enum {
    GRAPH_WIDTH = 16,
    GRAPH_STEPS = 250,
    GRAPH_NODES = GRAPH_WIDTH * GRAPH_STEPS,
    GRAPH_INPUTS_MAX = 5,
    GRAPH_TURNS_MAX = 1 << 16,
    GRAPH_RUNS = 5, /* of each grain: the fastest counts */
};

struct graph {
    const char *name;
    uint64_t sum; /* of all values */
    int inputs_n[GRAPH_NODES];
    int inputs[GRAPH_NODES][GRAPH_INPUTS_MAX]; /* nodes */
    uint64_t values[GRAPH_NODES];
    uint64_t turns;
};

static inline int graph_distance(int a, int b)
{
    return a > b ? a - b : b - a;
}

/* Does point `to` of row `step` need point `from` of the row before? */
static inline int graph_needs(const char *name, int step, int from, int to)
{
    if (strcmp(name, "metg-stencil") == 0) {
        return graph_distance(from, to) <= 1;
    }
    if (strcmp(name, "metg-fft") == 0) { /* 16 points: the bits 0 to 3 in turn */
        return from == to || graph_distance(from, to) == 1 << (step - 1) % 4;
    }
    if (strcmp(name, "metg-tree") == 0) {
        return from == to / 2;
    }
    if (strcmp(name, "metg-random") == 0) {
        uint64_t edge = (uint64_t)((step * GRAPH_WIDTH + from) * GRAPH_WIDTH + to);
        return from == to || (graph_distance(from, to) <= 2 && uts_child(edge, 0) % 2 == 0);
    }
    return 0; /* metg-trivial */
}

/* NULL: it is no such workload. */
static inline struct graph *graph_new(const char *name)
{
    static const struct {
        const char *name;
        uint64_t sum;
    } patterns[] = {
        {"metg-trivial", UINT64_C(0xac43a453a34ed29f)},
        {"metg-stencil", UINT64_C(0x4b16c122a7e29919)},
        {"metg-fft", UINT64_C(0xb874fbec24655276)},
        {"metg-tree", UINT64_C(0xd8199c2d5a58a15a)},
        {"metg-random", UINT64_C(0x39c3c5c65c56f99c)},
    };
    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        if (strcmp(name, patterns[p].name) != 0) {
            continue;
        }
        struct graph *g = (struct graph *)calloc(1, sizeof *g);
        g->name = patterns[p].name;
        g->sum = patterns[p].sum;
        for (int node = GRAPH_WIDTH; node < GRAPH_NODES; node++) {
            int step = node / GRAPH_WIDTH, to = node % GRAPH_WIDTH;
            for (int from = 0; from < GRAPH_WIDTH; from++) {
                if (graph_needs(name, step, from, to)) {
                    g->inputs[node][g->inputs_n[node]++] = (step - 1) * GRAPH_WIDTH + from;
                }
            }
        }
        return g;
    }
    return NULL;
}

/* A function of its own, so that it is the same code where it is timed and where it is used. */
static __attribute__((noinline, unused)) uint64_t graph_turn(uint64_t x, uint64_t turns)
{
    for (uint64_t i = 0; i < turns; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    }
    return x;
}

/* What a task does. */
static inline void graph_work(struct graph *g, int node)
{
    uint64_t x = (uint64_t)node;
    for (int i = 0; i < g->inputs_n[node]; i++) {
        x += g->values[g->inputs[node][i]];
    }
    x = uts_child(x, 0);
    g->values[node] =
        x + (graph_turn(x, g->turns) == 0); /* as good as x, but the loop is needed for it */
}

static inline int graph_is_right(const struct graph *g)
{
    uint64_t sum = 0;
    for (int node = 0; node < GRAPH_NODES; node++) {
        sum += g->values[node];
    }
    return sum == g->sum;
}

/* ns of one turn */
static inline double graph_time_turn(uint64_t seed)
{
    double start = now_ns();
    volatile uint64_t sink = graph_turn(seed, 1 << 14);
    (void)sink;
    return (now_ns() - start) / (1 << 14);
}

/* `run` runs the graph once, on `threads` threads. Prints METG; the exit code of the program. */
static inline int graph_measure(struct graph *g, void (*run)(struct graph *g), int threads)
{
    double turn_ns = 1e300, grain_before = 0, efficiency_before = 0;
    for (g->turns = 1; g->turns <= GRAPH_TURNS_MAX; g->turns *= 2) {
        double best = 1e300;
        for (int i = 0; i < GRAPH_RUNS; i++) {
            double one = graph_time_turn(g->turns);
            turn_ns = one < turn_ns ? one : turn_ns;
            memset(g->values, 0, sizeof g->values);
            double start = now_ns();
            run(g);
            double took = now_ns() - start;
            if (!graph_is_right(g)) {
                return 1;
            }
            best = took < best ? took : best;
        }
        double grain = best * threads / GRAPH_NODES,
               efficiency = (double)g->turns * turn_ns / grain;
        if (efficiency >= 0.5) {
            double part = (0.5 - efficiency_before) / (efficiency - efficiency_before);
            printf("%.4g\n", grain_before + part * (grain - grain_before));
            return 0;
        }
        grain_before = grain;
        efficiency_before = efficiency;
    }
    return 2;
}

#endif
