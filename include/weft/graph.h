/* graph.h: tasks that depend on each other: each node of a graph is run when all that it waits for
 * have ended, in parallel where the edges allow it.
 *
 * A graph is built once, from its edges, and may be run many times. One allocation holds all of it:
 * 40 bytes a node, 4 an edge. What a node does is up to a function that gets the node's number. */
#ifndef WEFT_GRAPH_H
#define WEFT_GRAPH_H

#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_graph weft_graph;

/* Node `before` must have ended when `after` begins. */
typedef struct weft_edge {
    uint32_t before, after;
} weft_edge;

/* Runs node number `node`. May wait. What the nodes that it depends on have written is visible to
 * it. >= 0 or -errno. */
typedef int weft_node_fn(size_t node, void *ctx);

/* Builds a graph of `nodes` nodes, numbered from 0, and `count` edges; an edge that is there twice
 * counts twice. `edges` is copied. *out is the caller's, until weft_graph_free; NULL after a
 * failure. Any thread, cannot suspend. 0; -ELOOP: some nodes wait for each other; -EINVAL: an edge
 * names a node that is not there; -E2BIG: 2^31 nodes or edges, or more; -ENOMEM. */
int weft_graph_new(weft_graph **out, size_t nodes, const weft_edge *edges, size_t count);

/* Frees it; NULL is allowed. Not while it runs, which is a mistake that aborts. Any thread. */
void weft_graph_free(weft_graph *graph);

/* Runs body(node, ctx) once for each node, after those that it depends on. The nodes are sections
 * of the calling task, in a scope of their own. The caller waits meanwhile, and nothing is
 * allocated.
 *
 *     static int build(size_t node, void *ctx) { return compile(ctx, &files[node]); }
 *     rc = weft_graph_new(&g, n, edges, m);
 *     rc = rc < 0 ? rc : weft_graph_run(g, build, project);
 *     weft_graph_free(g);
 *
 * On the first failure no further node is begun, those that run are cancelled, all are waited for,
 * and that failure is returned with its record; nodes that answer the cancellation with -ECANCELED
 * have not failed.
 *
 * 0; the first failure in time; -ECANCELED: the caller's scope was cancelled, and some node was cut
 * short or not begun. The graph may be run again after any of these. -EBUSY: it is running, perhaps
 * around this very node. May suspend. Task context. */
#define weft_graph_run(graph, body, ctx) \
    weft_graph_run_((graph), (body), (ctx), WEFT_HERE_STARTS_(#body))
int weft_graph_run_(weft_graph *graph, weft_node_fn *body, void *ctx, const weft_place *place);

#ifdef __cplusplus
}
#endif

#endif
