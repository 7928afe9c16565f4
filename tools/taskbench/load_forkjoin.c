/* load_forkjoin.c: recursive work that forks inside one task (weft/fork.h). Known answers; serial C
 * as reference.
 *
 * An op is one node of the tree that forks, which is one pair of fork and join, or for the wider
 * trees one node. The trees are those of the published comparisons: fib, skynet (ten children a
 * node, a million leaves), and n queens with the board copied into each child. */
#include "load.h"
#include <string.h>
#include <weft/fork.h>

/* The serial functions make every call: gcc inlines several levels of such a recursion into one,
 * how many depends on its version and flags, and a reference that moves with those says nothing
 * about the runtime. */
#define EVERY_CALL __attribute__((noinline))
/* What forks, apart from the leaf: see "Leaves" in fork.h. */
#define APART __attribute__((noinline))

/* The same value, of which the compiler knows nothing: keeps it from computing a round once for all
 * rounds. */
static uint64_t opaque(uint64_t value)
{
    __asm__ volatile("" : "+r"(value));
    return value;
}

/* --- fib -------------------------------------------------------------------------------------- */

static EVERY_CALL uint64_t fib_serial(uint64_t n)
{
    return n < 2 ? n : fib_serial(n - 1) + fib_serial(n - 2);
}

static uint64_t fib(uint64_t n);
WEFT_FORKABLE1(uint64_t, fib, uint64_t)
static APART uint64_t fib_node(uint64_t n)
{
    struct fib_branch left;
    fib_fork(&left, n - 1);
    uint64_t right = fib(n - 2);
    return fib_join(&left) + right;
}

static uint64_t fib(uint64_t n)
{
    return n < 2 ? n : fib_node(n);
}

struct fib_call {
    uint64_t n;
    uint64_t result;
};

static int fib_through_pointer(void *arg);
static APART int fib_node_through_pointer(struct fib_call *call)
{
    struct fib_call a = {.n = call->n - 1}, b = {.n = call->n - 2};
    weft_call_branch left;
    weft_fork(&left, fib_through_pointer, &a);
    int rc = fib_through_pointer(&b);
    int rc_left = weft_join(&left);
    call->result = a.result + b.result;
    return rc_left < 0 ? rc_left : rc;
}

static int fib_through_pointer(void *arg)
{
    struct fib_call *call = arg;
    if (call->n < 2) {
        call->result = call->n;
        return 0;
    }
    return fib_node_through_pointer(call);
}

/* The answer by another way than the one measured. */
static uint64_t fib_by_addition(uint64_t n)
{
    uint64_t a = 0, b = 1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t next = a + b;
        a = b;
        b = next;
    }
    return a;
}

static int fib_open(struct tb_trial *trial)
{
    trial->ops_per_round = fib_by_addition(trial->params[0] + 1) - 1; /* calls with n >= 2 */
    return 0;
}

static int fib_verify(struct tb_trial *trial, uint64_t got)
{
    uint64_t n = trial->params[0], want = fib_by_addition(n);
    if (got == want) {
        return 0;
    }
    return tb_wrong(trial, "fib(%llu) is %llu, got %llu", (unsigned long long)n,
                    (unsigned long long)want, (unsigned long long)got);
}

static int fib_sample(struct tb_trial *trial, uint64_t rounds)
{
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = fib_verify(trial, fib(opaque(trial->params[0])));
    }
    return rc;
}

static int fib_pointer_sample(struct tb_trial *trial, uint64_t rounds)
{
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        struct fib_call call = {.n = opaque(trial->params[0])};
        rc = fib_through_pointer(&call);
        rc = rc < 0 ? rc : fib_verify(trial, call.result);
    }
    return rc;
}

static int fib_reference(struct tb_trial *trial, uint64_t rounds)
{
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = fib_verify(trial, fib_serial(opaque(trial->params[0])));
    }
    return rc;
}

/* --- skynet ----------------------------------------------------------------------------------- */

#define SKYNET_CHILDREN 10

static EVERY_CALL uint64_t skynet_serial(uint64_t first, uint64_t leaves)
{
    if (leaves == 1) {
        return first;
    }
    uint64_t sum = 0, each = leaves / SKYNET_CHILDREN;
    for (uint64_t i = 0; i < SKYNET_CHILDREN; i++) {
        sum += skynet_serial(first + i * each, each);
    }
    return sum;
}

static uint64_t skynet(uint64_t first, uint64_t leaves);
WEFT_FORKABLE2(uint64_t, skynet, uint64_t, uint64_t)
static APART uint64_t skynet_node(uint64_t first, uint64_t leaves)
{
    struct skynet_branch children[SKYNET_CHILDREN - 1];
    uint64_t each = leaves / SKYNET_CHILDREN;
    for (uint64_t i = 0; i < SKYNET_CHILDREN - 1; i++) {
        skynet_fork(&children[i], first + i * each, each);
    }
    uint64_t sum = skynet(first + (SKYNET_CHILDREN - 1) * each, each);
    for (int i = SKYNET_CHILDREN - 2; i >= 0; i--) {
        sum += skynet_join(&children[i]);
    }
    return sum;
}

static uint64_t skynet(uint64_t first, uint64_t leaves)
{
    return __builtin_expect(leaves == 1, 1) ? first : skynet_node(first, leaves); /* nine of ten */
}

static uint64_t skynet_leaves(const struct tb_trial *trial)
{
    uint64_t leaves = 1;
    for (uint64_t i = 0; i < trial->params[0]; i++) {
        leaves *= SKYNET_CHILDREN;
    }
    return leaves;
}

static int skynet_open(struct tb_trial *trial)
{
    trial->ops_per_round = (skynet_leaves(trial) * SKYNET_CHILDREN - 1) / (SKYNET_CHILDREN - 1);
    return 0;
}

static int skynet_rounds(struct tb_trial *trial, uint64_t rounds,
                         uint64_t (*run)(uint64_t first, uint64_t leaves))
{
    uint64_t leaves = skynet_leaves(trial), want = leaves * (leaves - 1) / 2;
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t got = run(0, opaque(leaves));
        if (got != want) {
            return tb_wrong(trial, "the sum is %llu, got %llu", (unsigned long long)want,
                            (unsigned long long)got);
        }
    }
    return 0;
}

static int skynet_sample(struct tb_trial *trial, uint64_t rounds)
{
    return skynet_rounds(trial, rounds, skynet);
}

static int skynet_reference(struct tb_trial *trial, uint64_t rounds)
{
    return skynet_rounds(trial, rounds, skynet_serial);
}

/* --- nqueens ---------------------------------------------------------------------------------- */

#define QUEENS_MAX 14

/* Where the queens of the first rows stand. Copied into each child, as in the published
 * versions. */
struct board {
    int8_t n;
    int8_t row;
    int8_t column[QUEENS_MAX];
};

static const uint64_t queens_solutions[QUEENS_MAX + 1] = {
    1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596};

static int queens_fit(const struct board *board, int column)
{
    for (int i = 0; i < board->row; i++) {
        int distance = board->row - i, across = column - board->column[i];
        if (across == 0 || across == distance || across == -distance) {
            return 0;
        }
    }
    return 1;
}

static struct board queens_with(struct board board, int column)
{
    board.column[board.row++] = (int8_t)column;
    return board;
}

static EVERY_CALL uint64_t queens_serial(struct board board)
{
    if (board.row == board.n) {
        return 1;
    }
    uint64_t found = 0;
    for (int column = 0; column < board.n; column++) {
        if (queens_fit(&board, column)) {
            found += queens_serial(queens_with(board, column));
        }
    }
    return found;
}

static uint64_t queens(struct board board);
WEFT_FORKABLE1(uint64_t, queens, struct board)
static uint64_t queens(struct board board) /* in one: apart, the board would be copied once more */
{
    if (board.row == board.n) {
        return 1;
    }
    struct queens_branch children[QUEENS_MAX];
    int forked = 0;
    for (int column = 0; column < board.n; column++) {
        if (queens_fit(&board, column)) {
            queens_fork(&children[forked++], queens_with(board, column));
        }
    }
    uint64_t found = 0;
    while (forked > 0) {
        found += queens_join(&children[--forked]);
    }
    return found;
}

/* Boards that the search looks at: the ops of a round. */
static uint64_t queens_boards(struct board board)
{
    uint64_t boards = 1;
    for (int column = 0; column < board.n && board.row < board.n; column++) {
        if (queens_fit(&board, column)) {
            boards += queens_boards(queens_with(board, column));
        }
    }
    return boards;
}

static struct board queens_empty(const struct tb_trial *trial)
{
    return (struct board){.n = (int8_t)opaque(trial->params[0])};
}

static int queens_open(struct tb_trial *trial)
{
    trial->ops_per_round = queens_boards(queens_empty(trial));
    return 0;
}

static int queens_rounds(struct tb_trial *trial, uint64_t rounds, uint64_t (*run)(struct board))
{
    uint64_t want = queens_solutions[trial->params[0]];
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t got = run(queens_empty(trial));
        if (got != want) {
            return tb_wrong(trial, "%llu solutions, got %llu", (unsigned long long)want,
                            (unsigned long long)got);
        }
    }
    return 0;
}

static int queens_sample(struct tb_trial *trial, uint64_t rounds)
{
    return queens_rounds(trial, rounds, queens);
}

static int queens_reference(struct tb_trial *trial, uint64_t rounds)
{
    return queens_rounds(trial, rounds, queens_serial);
}

const struct tb_load tb_loads_forkjoin[] = {
    {
        .name = "fib",
        .group = "fork-join",
        .about = "fork and join, typed form, with nothing else to do",
        .op = "fork+join",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"n", 30, 2, 45, "which Fibonacci number"}},
        .open = fib_open,
        .sample = fib_sample,
        .reference = fib_reference,
    },
    {
        .name = "trees",
        .group = "fork-join",
        .about = "trees of 0.2 us, one after the other: are they shared, and then slower?",
        .op = "fork+join",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"n", 10, 2, 45, "which Fibonacci number"}},
        .open = fib_open,
        .sample = fib_sample,
        .reference = fib_reference,
    },
    {
        .name = "fib-ptr",
        .group = "fork-join",
        .about = "fork and join through function pointers",
        .op = "fork+join",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"n", 30, 2, 45, "which Fibonacci number"}},
        .open = fib_open,
        .sample = fib_pointer_sample,
        .reference = fib_reference,
    },
    {
        .name = "skynet",
        .group = "fork-join",
        .about = "a tree of ten children a node",
        .op = "node",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"depth", 6, 1, 8, "levels; 6: a million leaves"}},
        .open = skynet_open,
        .sample = skynet_sample,
        .reference = skynet_reference,
    },
    {
        .name = "nqueens",
        .group = "fork-join",
        .about = "queens on a board, every solution, an uneven tree",
        .op = "board",
        .reference_name = "serial C",
        .flags = TB_LOAD_QUICK,
        .params = {{"n", 11, 1, QUEENS_MAX, "queens"}},
        .open = queens_open,
        .sample = queens_sample,
        .reference = queens_reference,
    },
    {.name = NULL},
};
