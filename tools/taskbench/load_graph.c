/* load_graph.c: dependence patterns of Task Bench (Slaughter and others, 2020) on weft_graph: a row
 * of `width` points, `steps` times, where each depends on some of the step before. Each node looks
 * at every input that it depends on, as Task Bench does: an input that is missing, or of another
 * step, is wrong.
 *
 * `grain` is the work of a node, in turns of a loop. With 0 the time per op is what a node costs;
 * scripts/metg makes the smallest grain that is worth while out of it. */
#include "load.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <weft/graph.h>

#define WIDTH_MAX 1024

struct pattern {
    const char *name;
    /* Does point `to` of step `step` depend on point `from` of the step before? */
    bool (*depends)(uint64_t width, uint64_t step, uint64_t from, uint64_t to);
};

struct steps {
    const struct pattern *pattern;
    weft_graph *graph;
    uint64_t width, steps, grain, round;
    uint32_t *first_input; /* of each node, in inputs; one more at the end */
    uint32_t *inputs;      /* nodes */
    uint64_t *output;      /* of each node: its round, times the nodes, plus its number */
    _Atomic uint64_t wrong;
};

/* --- the patterns ----------------------------------------------------------------------------- */

static bool depends_trivial(uint64_t width, uint64_t step, uint64_t from, uint64_t to)
{
    (void)width, (void)step, (void)from, (void)to;
    return false;
}

static bool depends_no_comm(uint64_t width, uint64_t step, uint64_t from, uint64_t to)
{
    (void)width, (void)step;
    return from == to;
}

static bool depends_within(uint64_t from, uint64_t to, uint64_t distance)
{
    return (from > to ? from - to : to - from) <= distance;
}

static bool depends_stencil(uint64_t width, uint64_t step, uint64_t from, uint64_t to)
{
    (void)width, (void)step;
    return depends_within(from, to, 1);
}

static bool depends_nearest(uint64_t width, uint64_t step, uint64_t from, uint64_t to)
{
    (void)width, (void)step;
    return depends_within(from, to, 2);
}

/* Step s of a butterfly: oneself, and those at the distance of bit s. */
static bool depends_fft(uint64_t width, uint64_t step, uint64_t from, uint64_t to)
{
    uint64_t bits = 0;
    while ((UINT64_C(2) << bits) <= width) {
        bits++;
    }
    uint64_t distance = UINT64_C(1) << ((step - 1) % (bits > 0 ? bits : 1));
    return from == to || from + distance == to || to + distance == from;
}

static bool depends_tree(uint64_t width, uint64_t step, uint64_t from, uint64_t to)
{
    (void)width, (void)step;
    return from == to / 2;
}

/* Five, evenly spread, moving on with the steps. */
static bool depends_spread(uint64_t width, uint64_t step, uint64_t from, uint64_t to)
{
    for (uint64_t i = 0; i < 5; i++) {
        if ((to + i * width / 5 + (i > 0 ? step - 1 : 0)) % width == from) {
            return true;
        }
    }
    return false;
}

static uint64_t hash(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static bool depends_random(uint64_t width, uint64_t step, uint64_t from, uint64_t to)
{
    return from == to ||
           (depends_within(from, to, 2) && hash((step * width + from) * width + to + 1) % 2 == 0);
}

static bool depends_all(uint64_t width, uint64_t step, uint64_t from, uint64_t to)
{
    (void)width, (void)step, (void)from, (void)to;
    return true;
}

static const struct pattern patterns[] = {
    {"graph/trivial", depends_trivial}, {"graph/no_comm", depends_no_comm},
    {"graph/stencil", depends_stencil}, {"graph/fft", depends_fft},
    {"graph/tree", depends_tree},       {"graph/random", depends_random},
    {"graph/spread", depends_spread},   {"graph/nearest", depends_nearest},
    {"graph/all", depends_all},
};

/* --- building --------------------------------------------------------------------------------- */

static void free_steps(struct steps *s)
{
    weft_graph_free(s->graph);
    free(s->first_input);
    free(s->inputs);
    free(s->output);
    free(s);
}

/* Fills edges (if not NULL) and inputs; returns how many there are. */
static size_t list_edges(struct steps *s, weft_edge *edges)
{
    size_t count = 0;
    for (uint64_t step = 0; step < s->steps; step++) {
        for (uint64_t to = 0; to < s->width; to++) {
            uint32_t node = (uint32_t)(step * s->width + to);
            s->first_input[node] = (uint32_t)count;
            for (uint64_t from = 0; step > 0 && from < s->width; from++) {
                if (!s->pattern->depends(s->width, step, from, to)) {
                    continue;
                }
                uint32_t before = (uint32_t)((step - 1) * s->width + from);
                if (edges != NULL) {
                    edges[count] = (weft_edge){before, node};
                    s->inputs[count] = before;
                }
                count++;
            }
        }
    }
    s->first_input[s->steps * s->width] = (uint32_t)count;
    return count;
}

static const struct pattern *pattern_of(const struct tb_trial *trial)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        if (strcmp(patterns[i].name, trial->load->name) == 0) {
            return &patterns[i];
        }
    }
    return NULL;
}

static int graph_open(struct tb_trial *trial)
{
    struct steps *s = trial->state = calloc(1, sizeof *s);
    if (!s) {
        return tb_skip(trial, "no memory for the graph");
    }
    s->pattern = pattern_of(trial);
    s->width = trial->params[0];
    s->steps = trial->params[1];
    s->grain = trial->params[2];
    size_t nodes = s->width * s->steps;
    s->first_input = calloc(nodes + 1, sizeof *s->first_input);
    s->output = calloc(nodes, sizeof *s->output);
    size_t count = s->first_input ? list_edges(s, NULL) : 0;
    weft_edge *edges = calloc(count + 1, sizeof *edges);
    s->inputs = calloc(count + 1, sizeof *s->inputs);
    int rc = -1;
    if (s->first_input && s->output && edges && s->inputs) {
        list_edges(s, edges);
        rc = weft_graph_new(&s->graph, nodes, edges, count);
    }
    free(edges);
    if (rc < 0) {
        free_steps(s);
        return tb_skip(trial, "no memory for the graph");
    }
    trial->ops_per_round = nodes;
    return 0;
}

static void graph_close(struct tb_trial *trial)
{
    free_steps(trial->state);
}

/* --- running ---------------------------------------------------------------------------------- */

static uint64_t output_of(const struct steps *s, uint64_t node)
{
    return s->round * s->width * s->steps + node;
}

static int run_node(size_t node, void *ctx)
{
    struct steps *s = ctx;
    for (uint32_t i = s->first_input[node]; i < s->first_input[node + 1]; i++) {
        if (s->output[s->inputs[i]] != output_of(s, s->inputs[i])) {
            /* relaxed: a count */
            atomic_fetch_add_explicit(&s->wrong, 1, memory_order_relaxed);
        }
    }
    for (uint64_t turn = 0; turn < s->grain; turn++) {
        __asm__ volatile("" ::: "memory");
    }
    s->output[node] = output_of(s, node);
    return 0;
}

static int graph_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct steps *s = trial->state;
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        s->round++;
        rc = weft_graph_run(s->graph, run_node, s);
    }
    return rc;
}

static int graph_check(struct tb_trial *trial, uint64_t rounds)
{
    const struct steps *s = trial->state;
    (void)rounds;
    uint64_t wrong = atomic_load(&s->wrong);
    for (uint64_t i = 0; i < s->width * s->steps; i++) {
        wrong += s->output[i] != output_of(s, i);
    }
    return wrong == 0 ? 0
                      : tb_wrong(trial, "%llu inputs or outputs were of another step",
                                 (unsigned long long)wrong);
}

#define PATTERN(name_, about_, flags_)                                                          \
    {                                                                                           \
        .name = "graph/" name_, .group = "graph", .about = about_, .op = "node",                \
        .flags = (flags_),                                                                      \
        .params = {{"width", 16, 2, WIDTH_MAX, "points of a step"},                             \
                   {"steps", 100, 2, 100000, "steps"},                                          \
                   {"grain", 0, 0, 1000000000, "turns of a loop in a node"}},                   \
        .open = graph_open, .sample = graph_sample, .check = graph_check, .close = graph_close, \
    }

const struct tb_load tb_loads_graph[] = {
    PATTERN("trivial", "nodes without dependences", 0),
    PATTERN("no_comm", "each point depends on itself", 0),
    PATTERN("stencil", "each point depends on itself and its neighbours", TB_LOAD_QUICK),
    PATTERN("fft", "butterflies", 0),
    PATTERN("tree", "each point depends on the one at half its place", 0),
    PATTERN("random", "some of the five nearest", 0),
    PATTERN("spread", "five that are far apart", TB_LOAD_QUICK),
    PATTERN("nearest", "the five nearest", 0),
    PATTERN("all", "each depends on all", 0),
    {.name = NULL},
};
