/* steal.c: a discrete-event simulation of how work spreads over many workers: what cannot be tried on a machine
 * with few processors. docs/scaling.md has its results.
 *
 *     steal WORKERS POLICY [GRAIN_NS [NODES]]
 *
 * The work is a binary tree of `nodes` equal leaves, as a parallel loop or fib makes it: who runs a subtree of
 * more than one leaf forks half of it, which others may steal. Time is virtual, in ns.
 *
 * Costs, from the machine that the tables of docs/benchmarks.md were made on: a line from core to core 55 ns on one
 * chip (L3 group of 8), 155 between groups, 300 between sockets (of 64 workers; assumed); a compare-and-swap on a
 * contended line waits for those before it. A failed probe costs one line, a steal three.
 *
 * Policies of choosing a victim:
 *   ring     from a random start around the ring, as pool/worker.c does
 *   random   any, each time
 *   stride   from a random start, by a random step that has no factor in common with the number
 *   last     the one that the last steal came from, then as ring
 *   near     own group first, then own socket, then all, each as ring
 * Another word is for what the workers share besides:
 *   counter  ring, and each start and end of a search is an atomic addition to one word, as `searching` in park.h
 *   inject   all leaves come through one queue with a lock, 16 at once */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 1024, DEPTH_MAX = 64, GROUP = 8, SOCKET = 64 };

#define LINE_GROUP_NS  55.0
#define LINE_SOCKET_NS 155.0
#define LINE_FAR_NS    300.0
#define FORK_NS        3.0
#define BATCH          16
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

static struct worker workers[WORKERS_MAX];
static int workers_n;
static double shared_until_ns; /* the shared word, or the lock of the shared queue */
static uint64_t injected, steals, probes;
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
static int next_victim(int thief, const char *policy)
{
    struct worker *w = &workers[thief];
    uint32_t k = w->tried++, count = (uint32_t)workers_n;
    if (strcmp(policy, "random") == 0) {
        return (int)random_below(count);
    }
    if (strcmp(policy, "stride") == 0) {
        return k < count ? (int)((w->start + k * w->step) % count) : -1;
    }
    if (strcmp(policy, "last") == 0) {
        if (k == 0) {
            return w->last;
        }
        k--;
    }
    if (strcmp(policy, "near") == 0) {
        if (k < GROUP) {
            return thief / GROUP * GROUP + (int)((w->start + k) % GROUP);
        }
        k -= GROUP;
        if (k < SOCKET) {
            return thief / SOCKET * SOCKET + (int)((w->start + k) % SOCKET);
        }
        k -= SOCKET;
    }
    return k < count ? (int)((w->start + k) % count) : -1;
}

/* One probe, so that what it sees is of its time. */
static bool steal(int thief, const char *policy, double *now_ns)
{
    int victim = next_victim(thief, policy);
    bool got = victim >= 0 && victim < workers_n && try_victim(thief, victim, now_ns);
    if (got || victim < 0) {
        begin_sweep(&workers[thief]);
        *now_ns += got ? 0 : PAUSE_NS;
    }
    return got;
}

/* --- the run ---------------------------------------------------------------------------------- */

static bool find_work(int self, const char *policy, double *now_ns)
{
    struct worker *w = &workers[self];
    if (w->top > w->bottom) {
        w->running = w->deque[--w->top];
        return true;
    }
    if (strcmp(policy, "inject") == 0) {
        if (injected == 0) {
            return false;
        }
        *now_ns = take_turn(&shared_until_ns, *now_ns, 2 * LINE_SOCKET_NS);
        w->running = injected < BATCH ? injected : BATCH;
        injected -= w->running;
        return w->running > 0;
    }
    if (strcmp(policy, "counter") == 0 && !w->searching) {
        *now_ns = take_turn(&shared_until_ns, *now_ns, LINE_SOCKET_NS);
        w->searching = true;
    }
    if (!steal(self, policy, now_ns)) {
        return false;
    }
    if (w->searching) {
        *now_ns = take_turn(&shared_until_ns, *now_ns, LINE_SOCKET_NS);
        w->searching = false;
    }
    return true;
}

/* Virtual time until all leaves have been run. */
static double simulate(const char *policy, double grain_ns, uint64_t nodes)
{
    uint64_t left = nodes;
    for (int i = 0; i < workers_n; i++) {
        begin_sweep(&workers[i]);
    }
    double end_ns = 0;
    if (strcmp(policy, "inject") == 0) {
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
            w->at_ns = now_ns + (strcmp(policy, "inject") == 0 ? PAUSE_NS : 1);
            continue;
        }
        if (w->running > 1 && injected == 0 && strcmp(policy, "inject") != 0) {
            if (w->bottom > 0 && w->top == DEPTH_MAX) {
                memmove(w->deque, w->deque + w->bottom,
                        (size_t)(w->top - w->bottom) * sizeof *w->deque);
                w->top -= w->bottom;
                w->bottom = 0;
            }
            w->deque[w->top++] = w->running / 2;
            w->running -= w->running / 2;
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
    if (argc < 3 || (workers_n = atoi(argv[1])) < 1 || workers_n > WORKERS_MAX) {
        (void)fprintf(stderr, "usage: steal WORKERS ring|random|stride|last|near|counter|inject "
                              "[GRAIN_NS [NODES]]\n");
        return 2;
    }
    double grain_ns = argc > 3 ? atof(argv[3]) : 1000;
    uint64_t nodes = argc > 4 ? (uint64_t)atoll(argv[4]) : (uint64_t)workers_n * 256;
    double end_ns = simulate(argv[2], grain_ns, nodes);
    double best_ns = grain_ns * (double)nodes / workers_n;
    printf("%d %s %g %.3f %.2f %.2f\n", workers_n, argv[2], grain_ns, best_ns / end_ns,
           (double)steals / workers_n, (double)probes / (double)(steals > 0 ? steals : 1));
    return 0;
}
