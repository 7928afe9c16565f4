/* steal.c: a discrete-event simulation of how work spreads over many workers: what cannot be tried
 * on a machine with few processors. docs/scaling.md has its results.
 *
 *     steal WORKERS POLICY [GRAIN_NS [NODES [COUNT_GROUP]]]
 *
 * The work is a binary tree of `nodes` equal leaves, as a parallel loop or fib makes it: who runs a
 * subtree of more than one leaf forks half of it, which others may steal. Time is virtual, in ns.
 *
 * Costs, from the machine that the tables of docs/benchmarks.md were made on: a line from core to
 * core 55 ns on one chip (L3 group of 8), 155 between groups, 300 between sockets (of 64 workers;
 * assumed); a compare-and-swap on a contended line waits for those before it. A failed probe costs
 * one line, a steal three.
 *
 * Policies of choosing a victim:
 *   ring     from a random start around the ring, as pool/search.c does
 *   random   any, each time
 *   stride   from a random start, by a random step that has no factor in common with the number
 *   last     the one that the last steal came from, then as ring
 *   near     own group first, then own socket, then all, each as ring
 *   group    own group first, then all, each as ring
 *   first    one probe in the own group, then all as ring
 *   share    7 of 8 probes in the own group, as ring, and 1 anywhere, until the own group has been
 *            seen twice; then all as ring
 * Other words are for what the workers share besides, with the victims of `ring`:
 *   counter  each start and end of a search is an atomic addition to one word; nobody reads it else
 *   word     the same, and each fork reads it
 *   counts   as counter, with a word for each COUNT_GROUP (16) workers; nobody reads it else, as in
 *            pool/park.h while nobody sleeps
 *   hints    the same, and each fork reads its own group's word, as in pool/park.h while the fork
 *            is not free
 *   asks     the same, but each fork, and who brings his word to 0, reads all words until one is
 *            above 0
 *   inject   all leaves come through one queue with a lock, 16 at once
 *   guided   the same, and the batch is half of what is there for each worker, from 16 to 64 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 1024, DEPTH_MAX = 64, GROUP = 8, SOCKET = 64 };

enum policy {
    RING,
    RANDOM,
    STRIDE,
    LAST,
    NEAR,
    NEAR_GROUP,
    NEAR_FIRST,
    NEAR_SHARE,
    COUNTER,
    WORD,
    COUNTS,
    HINTS,
    ASKS,
    INJECT,
    GUIDED,
    POLICIES,
};

static const char *const policy_names[POLICIES] = {
    "ring",    "random", "stride", "last",  "near", "group",  "first",  "share",
    "counter", "word",   "counts", "hints", "asks", "inject", "guided",
};

#define LINE_GROUP_NS  55.0
#define LINE_SOCKET_NS 155.0
#define LINE_FAR_NS    300.0
#define FORK_NS        3.0
#define BATCH          16
#define BATCH_MOST     64
#define PAUSE_NS       25.0 /* between two sweeps */

struct worker {
    double at_ns;              /* when it acts next */
    uint64_t deque[DEPTH_MAX]; /* leaves of each entry; the oldest first */
    int bottom, top;           /* entries [bottom, top) */
    uint64_t running;          /* leaves of the subtree in hand */
    double locked_until_ns;    /* its `top` line */
    int last;
    uint32_t start, step, tried; /* of the sweep over its victims */
    bool searching;
};

/* A line, and who had it last: to read it again costs him nothing until another has written it. */
struct line {
    double until_ns; /* of the last write */
    int owner;
    uint32_t version;
};

static struct worker workers[WORKERS_MAX];
static int workers_n;
static double shared_until_ns; /* the shared word, or the lock of the shared queue */
static uint64_t injected, steals, probes;
static double distance_ns;                      /* of the steals, altogether */
static struct line counts[WORKERS_MAX];         /* of the groups; the values are beside */
static int searchers[WORKERS_MAX];              /* of each group */
static uint32_t seen[WORKERS_MAX][WORKERS_MAX]; /* by each worker, of each line: its version */
static int count_group = 16;
static uint64_t seed = 1;

static uint32_t random_below(uint32_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % n);
}

static double line_ns(int a, int b)
{
    return a / GROUP == b / GROUP     ? LINE_GROUP_NS
           : a / SOCKET == b / SOCKET ? LINE_SOCKET_NS
                                      : LINE_FAR_NS;
}

/* An atomic operation on a line that others want too: one after the other. */
static double take_turn(double *until_ns, double now_ns, double cost_ns)
{
    double begin = *until_ns > now_ns ? *until_ns : now_ns;
    *until_ns = begin + cost_ns;
    return *until_ns;
}

/* --- victims ---------------------------------------------------------------------------------- */

static bool try_victim(int thief, int victim, double *now_ns)
{
    struct worker *v = &workers[victim];
    if (victim == thief) {
        return false;
    }
    probes++;
    *now_ns += line_ns(thief, victim);
    if (v->bottom == v->top) {
        return false;
    }
    *now_ns =
        take_turn(&v->locked_until_ns, *now_ns, line_ns(thief, victim)) + line_ns(thief, victim);
    if (v->bottom == v->top) {
        return false; /* another was faster */
    }
    workers[thief].running = v->deque[v->bottom++];
    workers[thief].last = victim;
    steals++;
    distance_ns += line_ns(thief, victim);
    return true;
}

static uint32_t common_factor(uint32_t a, uint32_t b)
{
    return b == 0 ? a : common_factor(b, a % b);
}

/* A sweep over the victims begins: where, and in which steps. */
static void begin_sweep(struct worker *w)
{
    uint32_t count = (uint32_t)workers_n;
    w->tried = 0;
    w->start = random_below(count);
    do {
        w->step = 1 + random_below(count);
    } while (common_factor(count, w->step) != 1);
}

/* The next victim of a sweep; -1: it has come to its end. */
static int next_victim(int thief, enum policy policy)
{
    struct worker *w = &workers[thief];
    uint32_t k = w->tried++, count = (uint32_t)workers_n;
    int group = thief / GROUP * GROUP, socket = thief / SOCKET * SOCKET;
    switch (policy) {
    case RANDOM:
        return (int)random_below(count);
    case STRIDE:
        return k < count ? (int)((w->start + k * w->step) % count) : -1;
    case LAST:
        if (k == 0) {
            return w->last;
        }
        k--;
        break;
    case NEAR:
    case NEAR_GROUP:
        if (k < GROUP) {
            return group + (int)((w->start + k) % GROUP);
        }
        k -= GROUP;
        if (policy == NEAR && k < SOCKET) {
            return socket + (int)((w->start + k) % SOCKET);
        }
        k -= policy == NEAR ? SOCKET : 0;
        break;
    case NEAR_FIRST:
        if (k == 0) {
            return group + (int)(w->start % GROUP);
        }
        k--;
        break;
    case NEAR_SHARE:
        if (k < 2 * GROUP) {
            return k % 8 == 7 ? (int)random_below(count) : group + (int)((w->start + k) % GROUP);
        }
        k -= 2 * GROUP;
        break;
    default:
        break;
    }
    return k < count ? (int)((w->start + k) % count) : -1;
}

/* One probe, so that what it sees is of its time. */
static bool steal(int thief, enum policy policy, double *now_ns)
{
    int victim = next_victim(thief, policy);
    bool got = victim >= 0 && victim < workers_n && try_victim(thief, victim, now_ns);
    if (got || victim < 0) {
        begin_sweep(&workers[thief]);
        *now_ns += got ? 0 : PAUSE_NS;
    }
    return got;
}

/* --- counts of searchers ---------------------------------------------------------------------- */

static void write_line(int self, int number, double *now_ns)
{
    struct line *line = &counts[number];
    if (line->owner != self || seen[self][number] != line->version) {
        *now_ns = take_turn(&line->until_ns, *now_ns, line_ns(self, line->owner));
    }
    line->owner = self;
    seen[self][number] = ++line->version;
}

static void read_line(int self, int number, double *now_ns)
{
    struct line *line = &counts[number];
    if (seen[self][number] != line->version) {
        *now_ns = take_turn(&line->until_ns, *now_ns, line_ns(self, line->owner));
        seen[self][number] = line->version;
    }
}

/* Reads the counts from the first on until one is above 0. */
static void ask(int self, double *now_ns)
{
    for (int i = 0; i * count_group < workers_n; i++) {
        read_line(self, i, now_ns);
        if (searchers[i] != 0) {
            return;
        }
    }
}

static void begin_search(int self, double *now_ns)
{
    write_line(self, self / count_group, now_ns);
    searchers[self / count_group]++;
}

static void end_search(int self, enum policy policy, double *now_ns)
{
    write_line(self, self / count_group, now_ns);
    if (--searchers[self / count_group] == 0 && policy == ASKS) {
        ask(self, now_ns);
    }
}

/* --- the run ---------------------------------------------------------------------------------- */

static bool is_injected(enum policy policy)
{
    return policy == INJECT || policy == GUIDED;
}

static bool is_counted(enum policy policy)
{
    return policy >= COUNTER && policy <= ASKS;
}

/* The lock's line and the first line of slots, and each further line of 8 slots at a third: they
 * are fetched at once. */
static bool take_injected(struct worker *w, enum policy policy, double *now_ns)
{
    if (injected == 0) {
        return false;
    }
    uint64_t batch = BATCH;
    if (policy == GUIDED) {
        batch = injected / (2 * (uint64_t)workers_n);
        batch = batch < BATCH ? BATCH : batch > BATCH_MOST ? BATCH_MOST : batch;
    }
    double lines = 2 + (double)(batch - BATCH) / 8 / 3;
    *now_ns = take_turn(&shared_until_ns, *now_ns, lines * LINE_SOCKET_NS);
    w->running = injected < batch ? injected : batch;
    injected -= w->running;
    return w->running > 0;
}

static bool find_work(int self, enum policy policy, double *now_ns)
{
    struct worker *w = &workers[self];
    if (w->top > w->bottom) {
        w->running = w->deque[--w->top];
        return true;
    }
    if (is_injected(policy)) {
        return take_injected(w, policy, now_ns);
    }
    if (is_counted(policy) && !w->searching) {
        begin_search(self, now_ns);
        w->searching = true;
    }
    if (!steal(self, policy, now_ns)) {
        return false;
    }
    if (w->searching) {
        end_search(self, policy, now_ns);
        w->searching = false;
    }
    return true;
}

/* Virtual time until all leaves have been run. */
static double simulate(enum policy policy, double grain_ns, uint64_t nodes)
{
    uint64_t left = nodes;
    for (int i = 0; i < workers_n; i++) {
        begin_sweep(&workers[i]);
    }
    double end_ns = 0;
    if (is_injected(policy)) {
        injected = nodes;
    } else {
        workers[0].running = nodes;
    }
    while (left > 0) { /* ends: whoever has work makes it less */
        int self = 0;
        for (int i = 1; i < workers_n; i++) {
            if (workers[i].at_ns < workers[self].at_ns) {
                self = i;
            }
        }
        struct worker *w = &workers[self];
        double now_ns = w->at_ns;
        if (w->running == 0 && !find_work(self, policy, &now_ns)) {
            w->at_ns = now_ns + (is_injected(policy) ? PAUSE_NS : 1);
            continue;
        }
        if (w->running > 1 && !is_injected(policy)) {
            if (w->bottom > 0 && w->top == DEPTH_MAX) {
                memmove(w->deque, w->deque + w->bottom,
                        (size_t)(w->top - w->bottom) * sizeof *w->deque);
                w->top -= w->bottom;
                w->bottom = 0;
            }
            w->deque[w->top++] = w->running / 2;
            w->running -= w->running / 2;
            if (policy == WORD || policy == HINTS) {
                read_line(self, self / count_group, &now_ns);
            } else if (policy == ASKS) {
                ask(self, &now_ns);
            }
            w->at_ns = now_ns + FORK_NS;
            continue;
        }
        w->at_ns = now_ns + grain_ns * (double)w->running;
        left -= w->running;
        w->running = 0;
        end_ns = w->at_ns > end_ns ? w->at_ns : end_ns;
    }
    return end_ns;
}

int main(int argc, char **argv)
{
    int policy = 0;
    while (argc > 2 && policy < POLICIES && strcmp(argv[2], policy_names[policy]) != 0) {
        policy++;
    }
    if (argc < 3 || policy == POLICIES || (workers_n = atoi(argv[1])) < 1 ||
        workers_n > WORKERS_MAX) {
        (void)fprintf(stderr,
                      "usage: steal WORKERS POLICY [GRAIN_NS [NODES [COUNT_GROUP]]]\npolicies:");
        for (int i = 0; i < POLICIES; i++) {
            (void)fprintf(stderr, " %s", policy_names[i]);
        }
        (void)fprintf(stderr, "\n");
        return 2;
    }
    double grain_ns = argc > 3 ? atof(argv[3]) : 1000;
    uint64_t nodes = argc > 4 ? (uint64_t)atoll(argv[4]) : (uint64_t)workers_n * 256;
    if (policy == COUNTER || policy == WORD) {
        count_group = WORKERS_MAX;
    } else if (argc > 5 && atoi(argv[5]) > 0) {
        count_group = atoi(argv[5]);
    }
    double end_ns = simulate((enum policy)policy, grain_ns, nodes);
    double best_ns = grain_ns * (double)nodes / workers_n;
    double per_steal = steals > 0 ? 1 / (double)steals : 0;
    printf("%d %s %g %.3f %.2f %.2f %.0f\n", workers_n, argv[2], grain_ns, best_ns / end_ns,
           (double)steals / workers_n, (double)probes * per_steal, distance_ns * per_steal);
    return 0;
}
