/* cmd_list.c: `taskbench list`: the workloads by group, with their parameters. */
#include "command.h"
#include "exit.h"
#include "load.h"
#include <stdio.h>
#include <string.h>

static void print_load(const struct tb_load *load)
{
    printf("  %-14s %s%s\n", load->name, load->about,
           load->flags & TB_LOAD_QUICK ? "" : " (not in the quick set)");
    for (const struct tb_param *p = load->params; p->key; p++) {
        printf("  %-14s   -p %s=%llu  %s (%llu to %llu)\n", "", p->key,
               (unsigned long long)p->value, p->about, (unsigned long long)p->min,
               (unsigned long long)p->max);
    }
}

int tb_cmd_list(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(stderr, "taskbench: list takes no argument, not '%s'\n", argv[1]);
        return TB_EXIT_USAGE;
    }
    const char *group = "";
    const struct tb_load *load;
    for (int i = 0; (load = tb_load_at(i)); i++) {
        if (strcmp(group, load->group) != 0) {
            printf("%s%s\n", i ? "\n" : "", load->group);
            group = load->group;
        }
        print_load(load);
    }
    return TB_EXIT_OK;
}
