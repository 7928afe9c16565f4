/* cmd_list.c: `taskbench list`: the workloads by group, with their parameters. */
#include "command.h"
#include "exit.h"
#include "load.h"
#include "terminal.h"
#include <stdio.h>
#include <string.h>

#define NAME_WIDTH   14
#define ABOUT_AT     (2 + NAME_WIDTH + 1)
#define PARAM_INDENT (ABOUT_AT + 2)

static void print_load(const struct tb_load *load)
{
    char text[300];
    int at = printf("  %-*s ", NAME_WIDTH, load->name);
    snprintf(text, sizeof text, "%s%s", load->about,
             load->flags & TB_LOAD_QUICK ? "" : " (not in the quick set)");
    tb_put_wrapped(stdout, text, at, ABOUT_AT);
    for (const struct tb_param *p = load->params; p->key; p++) {
        at = printf("%*s-p %s=%llu  ", PARAM_INDENT, "", p->key, (unsigned long long)p->value);
        snprintf(text, sizeof text, "%s (%llu to %llu)", p->about, (unsigned long long)p->min,
                 (unsigned long long)p->max);
        tb_put_wrapped(stdout, text, at, PARAM_INDENT + 4);
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
