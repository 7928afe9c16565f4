/* main.c: finds the command that the first argument names, and runs it. */
#include "command.h"
#include "exit.h"
#include "suggest.h"
#include "user.h"
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <weft/base.h>

const struct tb_command tb_commands[] = {
    {"run", "[WORKLOAD...] [options]", "measure workloads", tb_run_details, tb_cmd_run},
    {"net", "echo|http [options]", "ask a server, closed or open loop", tb_net_details, tb_cmd_net},
    {"io", "randread|seqread|seqwrite", "read and write a file, maybe beside fio", tb_io_details,
     tb_cmd_io},
    {"metg", "[PATTERN...]", "find the smallest task that pays", tb_metg_details, tb_cmd_metg},
    {"mem", "[timer|frame|fiber...]", "weigh what waits, each", tb_mem_details, tb_cmd_mem},
    {"peers", "[compute|io] [ROW...]", "measure weft beside rivals", tb_peers_details,
     tb_cmd_peers},
    {"report", "IN.json... -o OUT.html", "show stored results as HTML", tb_report_details,
     tb_cmd_report},
    {"ab", "BASE CAND [WORKLOAD...]", "compare two builds, in turn", tb_ab_details, tb_cmd_ab},
    {"scaling", "[WORKLOAD...]", "compare more workers with one, in turn", tb_scaling_details,
     tb_cmd_scaling},
    {"alloc", "WORKLOAD...", "show where workloads allocate", tb_alloc_details, tb_cmd_alloc},
    {"compare", "OLD.json NEW.json", "compare two stored results", tb_compare_details,
     tb_cmd_compare},
    {"calibrate", "--floors FILE", "measure what counts as no difference", tb_calibrate_details,
     tb_cmd_calibrate},
    {"gate", "[WORKLOAD...] --budgets FILE", "hold exact figures against budgets", tb_gate_details,
     tb_cmd_gate},
    {"doctor", "", "say what is missing or disturbs here", NULL, tb_cmd_doctor},
    {"list", "[./OBJECT.so...]", "show the workloads and their parameters", NULL, tb_cmd_list},
    {"help", "[COMMAND]", "explain a command", NULL, tb_cmd_help},
    {"agent", "", NULL, NULL, tb_cmd_agent},
    {"serve", "", NULL, NULL, tb_cmd_serve},
    {"probe", "", NULL, NULL, tb_cmd_probe},
    {"paced", "", NULL, NULL, tb_cmd_paced},
    {"trace", "", NULL, NULL, tb_cmd_trace},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct tb_command *tb_command_find(const char *name)
{
    for (const struct tb_command *c = tb_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

static int print_version(void)
{
    int v = weft_version();
    printf("taskbench %s (weft %d.%d.%d)\n", TB_VERSION, v / 10000, v / 100 % 100, v % 100);
    return TB_EXIT_OK;
}

static int refuse(const char *name)
{
    struct tb_suggest s = tb_suggest_for(name);
    for (const struct tb_command *c = tb_commands; c->name; c++) {
        if (c->summary) {
            tb_suggest_try(&s, c->name);
        }
    }
    char hint[TB_HINT_MAX];
    fprintf(stderr, "taskbench: unknown command '%s'%s; 'taskbench help' shows all\n", name,
            tb_suggest_hint(&s, hint));
    return TB_EXIT_USAGE;
}

/* "CMD --help" is "help CMD". */
static bool asks_for_help(int argc, char **argv)
{
    return argc == 3 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "--version") == 0) {
        return print_version();
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        name = "help";
    }
    const struct tb_command *command = tb_command_find(name);
    if (!command) {
        return refuse(name);
    }
    if (asks_for_help(argc, argv) && command->summary) {
        char *help[] = {"help", argv[1], NULL};
        return tb_cmd_help(2, help);
    }
    char error[TB_REASON_MAX];
    if (tb_user_load_environment(error) < 0) {
        fprintf(stderr, "taskbench: %s\n", error);
        return TB_EXIT_USAGE;
    }
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write, reported as such */
    return argc > 1 ? command->run(argc - 1, argv + 1) : command->run(0, argv + argc);
}
