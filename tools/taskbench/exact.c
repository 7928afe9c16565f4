/* exact.c: see exact.h. */
#include "exact.h"
#include "agent.h"
#include "measure.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TRIES 2 /* valgrind itself fails now and then */

const struct tb_exact_shape tb_exacts[TB_EXACTS] = {
    [TB_EXACT_ALLOCS] = {"allocs_per_op", "allocs/op", 9},
    [TB_EXACT_BYTES] = {"bytes_per_op", "bytes/op", 9},
    [TB_EXACT_CALLS] = {"syscalls_per_op", "syscalls/op", 11},
    [TB_EXACT_ENTERS] = {"enters_per_op", "enters/op", 9},
    [TB_EXACT_POOL] = {"pool_added", "pool", 5},
    [TB_EXACT_INSTRUCTIONS] = {"instructions_per_op", "instr/op", 9},
};

static bool count_natively(const struct tb_exact_order *order, struct tb_row *row)
{
    struct tb_plan plan = {.pass = TB_PASS_COUNT, .rounds = order->rounds};
    struct tb_agent_args args;
    char *argv[TB_AGENT_ARGS + 5] = {"taskbench"};
    int n = row->object ? tb_agent_through_env(argv, row, order->program) : 1;
    argv[n++] = "trace";
    tb_agent_args_write(&args, "agent", row, &plan);
    for (int i = 0; i < args.n; i++) {
        argv[n + i] = args.text[i];
    }
    const char *program = row->object ? argv[0] : order->program;
    /* of this program a child is the command's name and what follows */
    return tb_measure_by(row, program, program ? argv : argv + 1, 0);
}

static void set(struct tb_exact_set *exact, enum tb_exact which, bool known, double value,
                const char *why_not)
{
    exact->value[which] = known ? value : (double)NAN;
    exact->why_not[which] = known ? NULL : why_not;
}

static void collect(const struct tb_row *row, const struct tb_instructions *instructions,
                    struct tb_exact_set *exact)
{
    bool ok = row->status == TB_ROW_OK && row->counted_ops > 0;
    double ops = ok ? (double)row->counted_ops : 1;
    const char *failed = "the workload did not run";
    set(exact, TB_EXACT_ALLOCS, ok && row->counted, (double)row->allocs.allocs / ops,
        ok ? row->uncounted : failed);
    set(exact, TB_EXACT_BYTES, ok && row->counted, (double)row->allocs.bytes / ops,
        ok ? row->uncounted : failed);
    set(exact, TB_EXACT_CALLS, ok && row->traced && !row->untraced[0], (double)row->calls / ops,
        ok ? row->untraced : failed);
    set(exact, TB_EXACT_ENTERS, ok, (double)row->growth.driver_enters / ops, failed);
    set(exact, TB_EXACT_POOL, ok, (double)(row->growth.slab_chunks + row->growth.stacks), failed);
    set(exact, TB_EXACT_INSTRUCTIONS, instructions->counted, instructions->per_op,
        instructions->reason);
}

bool tb_exact_count(const struct tb_exact_order *order, struct tb_row *row,
                    struct tb_instructions *instructions, struct tb_exact_set *exact)
{
    *instructions = (struct tb_instructions){0};
    snprintf(instructions->reason, sizeof instructions->reason, "%s", order->no_instructions);
    if (!count_natively(order, row)) {
        return false;
    }
    bool wanted = order->no_instructions[0] == '\0' && row->status == TB_ROW_OK;
    for (int i = 0; i < TRIES && wanted && !instructions->counted; i++) {
        if (!tb_callgrind_measure(order->program, row, order->rounds, instructions)) {
            return false;
        }
    }
    collect(row, instructions, exact);
    return true;
}

const char *tb_exact_number(char out[TB_NUMBER_MAX], double value)
{
    if (isnan(value)) {
        return "?";
    }
    if (value == floor(value) && value < 1e6) {
        snprintf(out, TB_NUMBER_MAX, "%.0f", value);
    } else {
        snprintf(out, TB_NUMBER_MAX, value < 1 ? "%.4f" : value < 1000 ? "%.2f" : "%.0f", value);
    }
    return out;
}
