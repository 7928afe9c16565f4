/* graph.c: weft_graph: nodes that are run when those they depend on have ended.
 *
 * A graph is one block: the nodes, each a work that can be queued, and behind them the edges,
 * sorted by where they begin: the successors of a node are successors[first] to successors[next
 * node's first - 1].
 *
 * Who ends a node counts it down in each successor. Whoever brings one to 0 has it: it runs one of
 * those itself, as the next turn of its loop, and makes the others ready. So a chain costs no
 * queue, and no stack grows. Nodes are not tasks: they run on a loop's frame under the env of the
 * run's scope, as sections of the calling task do (fork.c).
 *
 * The run ends when all nodes have been counted in `left`, where the caller counts as one: by
 * whoever comes last, a strand, which resumes the caller, or the caller itself once it has left its
 * stack.
 *
 * Whether thieves may have short nodes is tried out (trial.h): the time for so many nodes with and
 * without them. What a node costs on two workers goes by the lines that they take from each other,
 * for the counts and for what nodes read and write: nothing to know before.
 *
 * Stopping. A strand that sees the run stopped goes on counting down, without calling the body: so
 * the end is the same, and every counter is as it must be.
 *
 * G.1  Each node's body is called at most once in a run, after those of all that it depends on have
 *      returned, and exactly once if the run returns 0.
 * G.2  No strand touches the graph after the run has returned. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/block.h"
#include "src/guard.h"
#include "src/loop.h"
#include "src/trial.h"
#include <string.h>
#include <weft/graph.h>

#define SIZE_LIMIT ((size_t)1 << 31)
/* Nodes to a tick of the trial, which reads the clock. A graph of fewer has no trial: thieves
 * seldom come in time. */
#define TICK_EVERY 256
/* Nodes of a path between two times that thieves are told of them: few beside what is done in
 * WF_PACE_NS. Telling of each cost up to 2 ns a node. */
#define TELL_EVERY 8

struct node {
    struct wf_work work;
    struct weft_graph *graph; /* immutable */
    uint32_t first;           /* immutable: of its successors */
    uint32_t depends_on;      /* immutable: how many edges end here */
    /* Of these, how many have not ended in this run; if there are none, which node without any
     * comes next, nodes_n after the last. */
    WF_ATOMIC(uint32_t) waits_for;
};

_Static_assert(sizeof(struct node) == 40, "graph.h says so");

struct weft_graph {
    /* immutable */
    uint32_t nodes_n, edges_n;
    uint32_t *successors; /* array of edges_n */
    uint32_t source;      /* the first node that depends on none; nodes_n: there is none */

    /* of a run: immutable while it lasts */
    weft_node_fn *body;
    void *ctx;
    struct wf_scope *scope;
    struct wf_fiber *caller;
    const weft_place *place;
    /* The way of the trial. 0: nodes that are queued are cheap to move. 1: they are not, so thieves
     * leave them alone unless they are as long as tasks. Any thread, seldom */
    WF_ATOMIC(uint32_t) keeps;

    /* any thread */
    WF_ATOMIC(uint32_t) is_running;
    WF_ATOMIC(uint32_t) left WF_ALIGNED(WF_LINE_PAIR); /* nodes not counted yet, and the caller */
    struct wf_loop_end end WF_ALIGNED(WF_LINE_PAIR);
    struct wf_trial trial WF_ALIGNED(WF_LINE_PAIR);

    struct node nodes[]; /* nodes_n, and one more whose `first` is edges_n */
};

/* --- building --------------------------------------------------------------------------------- */

static bool is_valid(size_t nodes, const weft_edge *edges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (edges[i].before >= nodes || edges[i].after >= nodes) {
            return false;
        }
    }
    return true;
}

/* Sorts the edges by counting: first how many begin at each node, then each to its place. */
static void lay_out(struct weft_graph *graph, const weft_edge *edges)
{
    struct node *nodes = graph->nodes;
    for (uint32_t i = 0; i < graph->edges_n; i++) {
        nodes[edges[i].before + 1].first++;
        nodes[edges[i].after].depends_on++;
    }
    for (uint32_t i = 0; i < graph->nodes_n; i++) {
        nodes[i + 1].first += nodes[i].first;
    }
    for (uint32_t i = 0; i < graph->edges_n; i++) { /* each `first` moves to the next node's */
        graph->successors[nodes[edges[i].before].first++] = edges[i].after;
    }
    for (uint32_t i = graph->nodes_n; i > 0; i--) { /* and back */
        nodes[i].first = nodes[i - 1].first;
    }
    nodes[0].first = 0;
    graph->source = graph->nodes_n;
    for (uint32_t i = graph->nodes_n; i-- > 0;) {
        uint32_t depends_on = nodes[i].depends_on;
        /* relaxed: nobody sees it yet */
        wf_store_relaxed(&nodes[i].waits_for, depends_on != 0 ? depends_on : graph->source);
        graph->source = depends_on != 0 ? graph->source : i;
    }
}

static struct node *node_of(struct wf_work *work)
{
    return wf_container_of(work, struct node, work);
}

/* Runs it without running anything: what is never reached is on a cycle, or behind one. */
static bool has_cycle(struct weft_graph *graph)
{
    struct wf_work *ready = NULL;
    uint32_t reached = 0;
    for (uint32_t i = graph->source; i < graph->nodes_n;) { /* ends: each is there once */
        struct node *node = &graph->nodes[i];
        node->work.next = ready;
        ready = &node->work;
        i = wf_load_relaxed(&node->waits_for); /* relaxed: nobody else sees it */
    }
    for (; ready != NULL; reached++) { /* ends: each node is ready once at most */
        struct node *node = node_of(ready);
        ready = node->work.next;
        for (uint32_t i = node[0].first; i < node[1].first; i++) {
            struct node *successor = &graph->nodes[graph->successors[i]];
            /* relaxed, all: nobody else sees it */
            uint32_t waits_for = wf_load_relaxed(&successor->waits_for) - 1;
            wf_store_relaxed(&successor->waits_for, waits_for);
            if (waits_for == 0) { /* and back */
                wf_store_relaxed(&successor->waits_for, successor->depends_on);
                successor->work.next = ready;
                ready = &successor->work;
            }
        }
    }
    return reached != graph->nodes_n;
}

static void run_node(struct wf_fiber *self, struct wf_work *work);

int weft_graph_new(weft_graph **out, size_t nodes, const weft_edge *edges, size_t count)
{
    *out = NULL;
    if (wf_forked) {
        return -ENOSYS;
    }
    if (nodes >= SIZE_LIMIT || count >= SIZE_LIMIT) {
        return -E2BIG;
    }
    if (!is_valid(nodes, edges, count)) {
        return -EINVAL;
    }
    size_t head_bytes = sizeof(struct weft_graph) + (nodes + 1) * sizeof(struct node);
    size_t bytes = head_bytes + count * sizeof(uint32_t);
    bytes = (bytes + WF_LINE_PAIR - 1) / WF_LINE_PAIR * WF_LINE_PAIR;
    struct weft_graph *graph = wf_sys.alloc(WF_LINE_PAIR, bytes);
    if (graph == NULL) {
        return -ENOMEM;
    }
    (void)memset(graph, 0, head_bytes);
    graph->nodes_n = (uint32_t)nodes;
    graph->edges_n = (uint32_t)count;
    graph->successors = (uint32_t *)(void *)((char *)graph + head_bytes);
    for (size_t i = 0; i < nodes; i++) {
        graph->nodes[i].work.run = run_node;
        graph->nodes[i].graph = graph;
    }
    lay_out(graph, edges);
    if (has_cycle(graph)) {
        wf_sys.release(graph);
        return -ELOOP;
    }
    *out = graph;
    return 0;
}

void weft_graph_free(weft_graph *graph)
{
    if (graph != NULL && !wf_forked) {
        wf_check(wf_load_relaxed(&graph->is_running) == 0, "weft_graph_free of a graph that runs");
        wf_sys.release(graph);
    }
}

/* --- running ---------------------------------------------------------------------------------- */

static WF_COLD void fail(struct wf_fiber *self, struct weft_graph *graph, int rc)
{
    bool is_failure = rc != -ECANCELED || wf_env_cancelled(self->env) == 0;
    wf_loop_fail(self, &graph->end, rc);
    if (is_failure) {
        weft_reason reason =
            wf_reason(WEFT_WHY_FAILURE, "a node of the graph failed", graph->place);
        (void)wf_scope_fire(graph->scope, WF_CANCEL_FIRED, &reason);
    }
}

/* Before each node whose number says so: as good as a count of all that were run, since each is run
 * once, and no line is written for it. */
static WF_COLD void tick(struct wf_fiber *self, struct weft_graph *graph)
{
    uint32_t keeps = wf_load_relaxed(&graph->keeps); /* relaxed, both: a guess */
    if (self->worker->peers != 0 && wf_trial_tick(&graph->trial, keeps, wf_sys.now_ns())) {
        wf_store_relaxed(&graph->keeps, 1 - keeps);
        if (keeps != 0) {
            wf_wake_check(self->worker); /* thieves may have given up for a while */
        }
    }
}

static void call_body(struct wf_fiber *self, struct node *node)
{
    struct weft_graph *graph = node->graph;
    if (wf_loop_must_stop(self, &graph->end)) {
        return;
    }
    size_t index = (size_t)(node - graph->nodes);
    if (wf_unlikely(index % TICK_EVERY == TICK_EVERY - 1)) {
        tick(self, graph);
    }
    int rc;
    WF_GUARDED(rc = graph->body(index, graph->ctx));
    if (wf_unlikely(rc < 0)) {
        fail(self, graph, rc);
    }
}

/* Cheap to move, unless that turned out to be slower: a node is one line, and its end gives nothing
 * back; but its successors' counts are lines, too, which two workers take from each other. */
static WF_NOINLINE void make_ready(struct wf_fiber *self, struct weft_graph *graph,
                                   struct node *node)
{
    if (wf_load_relaxed(&graph->keeps) != 0) { /* relaxed: a guess */
        wf_ready_new(self->worker, &node->work);
    } else {
        wf_ready_cheap(self->worker, &node->work);
    }
}

/* Tells thieves of nodes that came from no queue. */
static void tell(struct wf_fiber *self, struct weft_graph *graph, uint32_t nodes)
{
    struct wf_deque *deque = &self->worker->deque;
    if (wf_load_relaxed(&graph->keeps) != 0) { /* relaxed: a guess */
        wf_deque_count(deque, nodes);
    } else {
        wf_deque_note_cheap(deque, nodes);
    }
}

/* Counts the node down in its successors: one of those that are ready now is the caller's to run;
 * NULL: none. The others are queued. */
static struct node *release_successors(struct wf_fiber *self, struct node *node)
{
    struct weft_graph *graph = node->graph;
    struct node *next = NULL;
    for (uint32_t i = node[0].first; i < node[1].first; i++) {
        struct node *successor = &graph->nodes[graph->successors[i]];
        uint32_t depends_on = successor->depends_on;
        if (depends_on != 1) { /* else nobody else counts */
            /* sync(graph.ended): acq_rel, who brings it to 0 has seen what all its predecessors
             * wrote; pairs sync(graph.ended) */
            if (wf_sub_acq_rel(&successor->waits_for, 1) != 1) {
                continue;
            }
            /* for the next run; relaxed: published with the node */
            wf_store_relaxed(&successor->waits_for, depends_on);
        }
        if (next != NULL) {
            make_ready(self, graph, next);
        }
        next = successor;
    }
    return next;
}

/* True: it was the last, and all that the others did is visible. */
static bool count_off(struct weft_graph *graph, uint32_t nodes)
{
    /* sync(graph.over): acq_rel, what the nodes did is visible to who resumes the caller, and its
     * saved context to the last strand; pairs sync(graph.over). LAST TOUCH, unless it was the
     * last. */
    return wf_sub_acq_rel(&graph->left, nodes) == nodes;
}

static void run_node(struct wf_fiber *self, struct wf_work *work)
{
    struct node *node = node_of(work);
    struct weft_graph *graph = node->graph;
    struct wf_env *outer = self->env;
    wf_env_enter(self, &graph->scope->env);
    tell(self, graph, 0); /* it was counted when it was taken */
    uint32_t nodes = 0;
    while (node != NULL) { /* ends: a path has no more nodes than the graph */
        call_body(self, node);
        node = release_successors(self, node);
        if (++nodes % TELL_EVERY == 0) {
            tell(self, graph, TELL_EVERY);
        }
    }
    wf_slot_go(&self->env->slot, &wf_own_call(self)->wait); /* for the waits of other nodes */
    self->env = outer;
    if (!count_off(graph, nodes)) {
        return;
    }
    struct wf_fiber *caller = graph->caller;
    if (wf_unlikely(!wf_may_switch_to(self, caller))) {
        wf_wait_resume(&caller->resume);
        return;
    }
    wf_switch_to(self, caller);
}

/* On the next stack: the caller counts itself off. */
static void after_run(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    if (count_off(arg, 1)) {
        wf_switch_back(now, before);
    }
}

static void run_all(struct wf_fiber *self, struct weft_graph *graph)
{
    bool has_trial = graph->nodes_n >= TICK_EVERY && self->worker->peers != 0;
    /* relaxed: published with the works */
    wf_store_relaxed(&graph->left, graph->nodes_n + 1);
    if (has_trial) {
        wf_trial_resume(&graph->trial, wf_sys.now_ns());
    }
    for (uint32_t i = graph->source; i < graph->nodes_n;) { /* ends: each is there once */
        struct node *node = &graph->nodes[i];
        i = wf_load_relaxed(&node->waits_for); /* relaxed: it was built before the run */
        make_ready(self, graph, node);
    }
    self->waits_for = WF_WAITS_SECTION;
    wf_suspend(self, after_run, graph);
    self->waits_for = NULL;
    if (has_trial) {
        wf_trial_pause(&graph->trial, wf_sys.now_ns());
    }
}

int weft_graph_run_(weft_graph *graph, weft_node_fn *body, void *ctx, const weft_place *place)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    if (wf_env_cancelled(self->env) != 0) {
        return -ECANCELED;
    }
    /* sync(graph.begin): acquire, the last run's end; pairs sync(graph.end) */
    if (wf_xchg_acquire(&graph->is_running, 1) != 0) {
        return -EBUSY;
    }
    weft_scope scope;
    graph->body = body;
    graph->ctx = ctx;
    graph->scope = wf_scope_of(&scope);
    graph->caller = self;
    graph->place = place;
    graph->end = (struct wf_loop_end){0};
    wf_scope_open(self, graph->scope, WEFT_CONTINUE, WEFT_FOREVER, place);
    if (graph->nodes_n > 0) {
        run_all(self, graph);
    }
    wf_scope_close(self, graph->scope);
    struct wf_failures *others = &graph->scope->failures; /* of continuations that bodies made */
    if (graph->end.failures.first_rc < 0) {
        wf_fault_scope(wf_runtime_of(self), others);
    } else {
        graph->end.failures = *others;
    }
    rc = wf_loop_result(self, &graph->end);
    /* sync(graph.end): release, this run; pairs sync(graph.begin). LAST TOUCH */
    wf_store_release(&graph->is_running, 0);
    return rc;
}
