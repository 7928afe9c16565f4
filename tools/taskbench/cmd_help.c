/* cmd_help.c: `taskbench help`: the commands, or one of them in detail. */
#include "command.h"
#include "exit.h"
#include <stdio.h>

const char tb_run_details[] =
    "WORKLOAD is a name, a name without its variant (yield: yield and yield/1000), a\n"
    "group (switch), or a pattern ('mem*'); see 'taskbench list'. Or a shared object\n"
    "with workloads of your own, with a slash: ./mine.so (weft/bench.h); names of\n"
    "some of them beside it select these. Without any, the whole set is measured.\n"
    "\n"
    "  --set quick|standard  quick (the default): under a minute; standard: all\n"
    "                        workloads, ten times as long for each\n"
    "  --workers N[,N...]    workers to measure with; without it 1, and 2 where a\n"
    "                        second one can matter\n"
    "  --reps N              exactly N samples of each row\n"
    "  --seconds S           time for the samples of a row, at least five of them\n"
    "  --seed N              for what is random in a workload (1)\n"
    "  -p KEY=NUMBER         a parameter of the workloads that have it; k and m are\n"
    "                        thousands and millions: -p tasks=10k\n"
    "  --format table|json|csv|md|junit|gbench|bmf|gab\n"
    "                        the last three: google-benchmark's JSON, Bencher's and\n"
    "                        github-action-benchmark's (customSmallerIsBetter)\n"
    "  -o FILE               the report into FILE, in the format of its ending unless\n"
    "                        --format says another; the table still on the terminal\n"
    "  --history FILE        adds the medians as one line to FILE, for 'report'\n"
    "  --label TEXT          what that line is of, say a commit\n"
    "  --assert-allocs N     exit 1 if a row allocates more than N times per op\n"
    "  --no-color            as the environment's NO_COLOR\n"
    "  --quiet               no progress, and no table beside -o\n"
    "\n"
    "Columns: w workers; time/op median; min..max of the samples in the same unit;\n"
    "ref time of plain C beside it; alloc, bytes per op, all threads; pool stacks and\n"
    "chunks added by the runtime meanwhile; RSS the most that was resident.\n"
    "\n"
    "Exit codes: 0 fine, 1 a limit exceeded, 2 wrong usage, 3 nothing measured,\n"
    "5 a workload's own result was wrong (or it crashed, or hung), 130 interrupted.\n";

const char tb_gate_details[] =
    "Counts what does not depend on the machine's mood, and compares it with FILE:\n"
    "allocations, bytes and system calls per op, of all threads; the I/O driver's own\n"
    "system calls; chunks and stacks added by the runtime; instructions per op, if\n"
    "valgrind is installed. What exceeds its budget is named, with the place in the\n"
    "code. What cannot be compared here is named too, and is not \"fine\".\n"
    "\n"
    "WORKLOAD selects rows of the file; without any, all of them are counted. Rows of\n"
    "a shared object need it: ./mine.so.\n"
    "\n"
    "  --update              write what was counted as the new budgets; a WORKLOAD\n"
    "                        that is not in FILE is added, with --workers (1) and -p\n"
    "  --strict              exit 3 if anything could not be compared\n"
    "  --format table|json|md|junit\n"
    "  -o FILE               the report into FILE, as for run\n"
    "  --seed N, --no-color, --quiet  as for run\n"
    "\n"
    "Exit codes: 0 all within, 1 a budget exceeded, 2 wrong usage or budgets that\n"
    "cannot be read, 3 nothing was compared, 5 a workload's result was wrong.\n";

static int help_all(void)
{
    printf("usage: taskbench COMMAND ...\n\n"
           "Measures task runtimes: weft, and workloads of your own in a shared object\n"
           "(weft/bench.h): time, memory, allocations and where they come from, system\n"
           "calls, instructions.\n\n"
           "    taskbench doctor               what can be measured on this machine\n"
           "    taskbench run ./mine.so        your own; without it weft's, a minute\n"
           "    taskbench ab ./old.so ./new.so faster, slower, same or unclear\n\n");
    for (const struct tb_command *c = tb_commands; c->name; c++) {
        if (c->summary) {
            printf("  %-9s %-28s %s\n", c->name, c->synopsis, c->summary);
        }
    }
    printf("  %-38s %s\n", "--version", "say which taskbench and weft this is");
    printf("\n'taskbench help COMMAND' says more.\n");
    return TB_EXIT_OK;
}

static int help_one(const struct tb_command *command)
{
    printf("usage: taskbench %s%s%s\n\n%s.\n", command->name, command->synopsis[0] ? " " : "",
           command->synopsis, command->summary);
    if (command->details) {
        printf("\n%s", command->details);
    }
    return TB_EXIT_OK;
}

int tb_cmd_help(int argc, char **argv)
{
    if (argc < 2) {
        return help_all();
    }
    const struct tb_command *command = tb_command_find(argv[1]);
    if (!command || !command->summary) {
        fprintf(stderr,
                "taskbench: there is no help on '%s'; 'taskbench help' shows all commands\n",
                argv[1]);
        return TB_EXIT_USAGE;
    }
    return help_one(command);
}
