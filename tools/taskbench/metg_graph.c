/* metg_graph.c: a graph of metg.h as tasks of weft: weft_spawn for each point, weft_await for each
 * input.
 *
 * One task spawns row after row, and stays at most TB_METG_LAG rows ahead of what has ended: so
 * there are as many stacks as that many rows have points, whatever the number of steps. */
#include "clock.h"
#include "metg.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#define KERNEL_WIDTH 64 /* numbers that an iteration goes over, as upstream: 128 flops */

double tb_metg_kernel(uint64_t iterations, double seed)
{
    double x[KERNEL_WIDTH], sum = 0;
    for (int i = 0; i < KERNEL_WIDTH; i++) {
        x[i] = seed + 0.25 + i * 1e-3;
    }
    for (uint64_t n = 0; n < iterations; n++) {
        for (int i = 0; i < KERNEL_WIDTH; i++) {
            x[i] = x[i] * 0.999 + 0.001; /* stays near 1: no denormals, no infinities */
        }
        __asm__ volatile("" : : "g"(x) : "memory"); /* each iteration is done */
    }
    for (int i = 0; i < KERNEL_WIDTH; i++) {
        sum += x[i];
    }
    return sum;
}

/* What a point leaves for those that need it. */
struct result {
    uint32_t step, point;
    double value;
};

struct graph_run;

struct node {
    weft_task task;
    struct graph_run *run;
    struct result result;
};

/* A ring of TB_METG_LAG + 2 rows. LAG rows are under way; one more has ended but is needed by the
 * next. */
struct graph_run {
    const struct tb_graph *graph;
    uint64_t iterations;
    struct node *nodes;
    uint32_t rows;
    struct tb_graph_time *time;
    uint64_t since_ns, since_cpu_ns, since_switches; /* of the part that is under way */
    uint32_t since_row;
};

static struct node *node_at(const struct graph_run *run, uint32_t step, uint32_t point)
{
    return &run->nodes[(size_t)(step % run->rows) * run->graph->width + point];
}

/* The task of a point. */
static int run_node(void *arg)
{
    struct node *node = arg;
    struct graph_run *run = node->run;
    struct result *mine = &node->result;
    uint32_t inputs[TB_METG_WIDTH_MAX];
    uint32_t n = tb_graph_inputs(run->graph, mine->step, mine->point, inputs);
    double seed = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct node *from = node_at(run, mine->step - 1, inputs[i]);
        int rc = weft_await(&from->task);
        if (rc < 0 || from->result.step != mine->step - 1 || from->result.point != inputs[i] ||
            from->result.value == 0) {
            return rc < 0 ? rc : -EBADMSG;
        }
        seed = 1e-6 * from->result.value;
    }
    mine->value = tb_metg_kernel(run->iterations, seed);
    return 0;
}

static int await_row(const struct graph_run *run, uint32_t step)
{
    int rc = 0;
    for (uint32_t p = 0; p < run->graph->width; p++) {
        int one = weft_await(&node_at(run, step, p)->task);
        rc = rc < 0 ? rc : one;
    }
    return rc;
}

static void spawn_row(struct graph_run *run, uint32_t step)
{
    for (uint32_t p = 0; p < run->graph->width; p++) {
        struct node *node = node_at(run, step, p);
        node->run = run;
        node->result = (struct result){step, p, 0};
        weft_spawn(&node->task, run_node, node);
    }
}

/* --- the clock -------------------------------------------------------------------------------- */

#define PART_NS   1000000 /* a time slice of the kernel's is 3 of it */
#define LOOK_ROWS 16      /* between two looks at the clock: 2 % of the smallest grain */

static uint64_t count_switches(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

static void begin_part(struct graph_run *run, uint32_t row, uint64_t now)
{
    run->since_ns = now;
    run->since_cpu_ns = tb_cpu_ns();
    run->since_switches = count_switches();
    run->since_row = row;
}

/* `rows` have ended. The last part takes all that is left once the others are used up. */
static void end_part(struct graph_run *run, uint32_t rows, uint64_t now, bool last)
{
    struct tb_graph_time *time = run->time;
    if (!last && (now - run->since_ns < PART_NS || time->n == TB_METG_PARTS_MAX - 1)) {
        return;
    }
    time->parts[time->n++] =
        (struct tb_graph_part){.rows = rows - run->since_row,
                               .ns = now - run->since_ns,
                               .cpu_ns = tb_cpu_ns() - run->since_cpu_ns,
                               .switches = count_switches() - run->since_switches};
    begin_part(run, rows, now);
}

/* --- a run ------------------------------------------------------------------------------------ */

static int run_graph(void *arg)
{
    struct graph_run *run = arg;
    uint32_t steps = run->graph->steps;
    int rc = 0;
    for (uint32_t step = 0; step < steps + TB_METG_LAG; step++) {
        if (step >= TB_METG_LAG) {
            int one = await_row(run, step - TB_METG_LAG);
            rc = rc < 0 ? rc : one;
            uint32_t ended = step - TB_METG_LAG + 1;
            if (ended % LOOK_ROWS == 0) {
                end_part(run, ended, tb_now_ns(), false);
            }
        }
        if (step < steps) {
            spawn_row(run, step);
        }
    }
    return rc;
}

int tb_graph_run(weft_rt *rt, const struct tb_graph *graph, uint64_t iterations,
                 struct tb_graph_time *time)
{
    struct graph_run run = {
        .graph = graph, .iterations = iterations, .rows = TB_METG_LAG + 2, .time = time};
    run.nodes = aligned_alloc(16, sizeof *run.nodes * run.rows * graph->width);
    if (!run.nodes) {
        return -ENOMEM;
    }
    time->n = 0;
    begin_part(&run, 0, tb_now_ns());
    int rc = weft_call(rt, run_graph, &run);
    end_part(&run, graph->steps, tb_now_ns(), true);
    free(run.nodes);
    return rc;
}
