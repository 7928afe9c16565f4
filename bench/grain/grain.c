/* grain.c: the pieces that weft's loops choose by themselves, against fixed ones, for bodies of 1
 * ns, 1 us and 1 ms.
 *
 *     grain WORKERS [ROUNDS]     prints a table; bench/grain/run builds and calls it
 *
 * Each round runs every grain once, so that a processor that is slow for a while is slow for each
 * of them. Medians of the rounds. The body turns a loop for as long as is wanted, per index. A scan
 * walks what others take twice; its fixed grains do so too. weft_sort has no grain: it is not
 * here. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <weft/weft.h>

enum { GRAINS_MAX = 8, ROUNDS_MAX = 31 };

struct body {
    const char *name;
    size_t indices;
    double ns;                /* each, about */
    size_t grain[GRAINS_MAX]; /* to compare with; ends with 0 */
    uint64_t turns;           /* each, found by calibrate */
};

static struct body bodies[] = {
    {"1 ns", 4 << 20, 1, {1, 64, 1024, 16384, 262144, 0}, 0},
    {"1 us", 20000, 1e3, {1, 8, 64, 512, 0}, 0},
    {"1 ms", 32, 1e6, {1, 2, 4, 8, 0}, 0},
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static __attribute__((noinline)) uint64_t turn(uint64_t x, uint64_t turns)
{
    for (uint64_t i = 0; i < turns; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
    }
    return x;
}

/* Goes on from piece to piece: else the processor would run short pieces side by side. No piece
 * waits. */
static __thread uint64_t carried;

static int run(size_t from, size_t to, void *ctx)
{
    const struct body *body = ctx;
    uint64_t x = carried;
    if (body->turns == 1) { /* a call for each would be the body */
        x = turn(x, to - from);
    } else {
        for (size_t i = from; i < to; i++) {
            x = turn(x, body->turns);
        }
    }
    carried = x;
    return 0;
}

static int fold(size_t from, size_t to, void *acc, void *ctx)
{
    (void)run(from, to, ctx);
    *(size_t *)acc += to - from;
    return 0;
}

static void add(void *left, const void *right, void *ctx)
{
    (void)ctx;
    *(size_t *)left += *(const size_t *)right;
}

/* What others take is folded first, for which a count is enough. */
static int count(size_t from, size_t to, void *acc, void *ctx)
{
    (void)ctx;
    *(size_t *)acc += to - from;
    return 0;
}

static const char *const loops[] = {"weft_for", "weft_reduce", "weft_scan"};

static double measure(int loop, struct body *body, size_t grain)
{
    size_t n = body->indices, acc = 0;
    weft_for_opts opts = {.grain = grain, .grain_max = grain};
    double start = now_ns();
    int rc = loop == 0   ? weft_for_(0, n, run, body, &opts)
             : loop == 1 ? weft_reduce_(0, n, &acc, sizeof acc, fold, add, body, &opts)
                         : weft_scan_(0, n, &acc, sizeof acc, count, fold, add, body, &opts);
    double took = now_ns() - start;
    if (rc < 0 || (loop != 0 && acc != n)) {
        (void)fprintf(stderr, "%s: %d, %zu of %zu indices\n", loops[loop], rc, acc, n);
        exit(1);
    }
    return took / (double)n;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return v[n / 2];
}

static void compare(int loop, struct body *body, int workers, int rounds)
{
    static double times[GRAINS_MAX + 1][ROUNDS_MAX];
    int grains = 0;
    for (int round = 0; round < rounds; round++) {
        times[GRAINS_MAX][round] = measure(loop, body, 0);
        for (grains = 0; body->grain[grains] != 0; grains++) {
            times[grains][round] = measure(loop, body, body->grain[grains]);
        }
    }
    double chosen = median(times[GRAINS_MAX], rounds), best = 0;
    size_t best_grain = 0;
    for (int i = 0; i < grains; i++) {
        double fixed = median(times[i], rounds);
        if (best_grain == 0 || fixed < best) {
            best = fixed;
            best_grain = body->grain[i];
        }
    }
    printf("| %s | %s | %d | %.4g | %.4g (%zu) | %+.1f %% |\n", loops[loop], body->name, workers,
           chosen, best, best_grain, (chosen / best - 1) * 100);
}

struct arguments {
    int workers, rounds;
};

static int root(void *arg)
{
    const struct arguments *a = arg;
    double turn_ns = 1e9;
    for (int i = 0; i < 10; i++) { /* the fastest: nobody else ran meanwhile */
        double start = now_ns();
        volatile uint64_t sink = turn(1, 1000000);
        (void)sink;
        double took_ns = (now_ns() - start) / 1e6;
        turn_ns = took_ns < turn_ns ? took_ns : turn_ns;
    }
    printf("| loop | body | workers | automatic, ns per index | best fixed (grain) | difference |\n"
           "| --- | --- | --- | --- | --- | --- |\n");
    for (int loop = 0; loop < 3; loop++) {
        for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
            double turns = bodies[i].ns / turn_ns;
            bodies[i].turns = turns < 1.5 ? 1 : (uint64_t)turns;
            compare(loop, &bodies[i], a->workers, a->rounds);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments a = {argc > 1 ? atoi(argv[1]) : 1, argc > 2 ? atoi(argv[2]) : 9};
    if (a.workers < 1 || a.rounds < 1 || a.rounds > ROUNDS_MAX) {
        return 2;
    }
    return weft_run(root, &a, .workers = a.workers) < 0;
}
