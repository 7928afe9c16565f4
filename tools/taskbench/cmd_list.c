/* cmd_list.c: `taskbench list`: the workloads by group, with their parameters; or those of shared
 * objects. */
#include "command.h"
#include "exit.h"
#include "load.h"
#include "terminal.h"
#include "user.h"
#include <stdio.h>
#include <string.h>

#define NAME_WIDTH   14
#define ABOUT_AT     (2 + NAME_WIDTH + 1)
#define PARAM_INDENT (ABOUT_AT + 2)

static void print_load(const struct tb_load *load, bool of_object)
{
    char text[300];
    int at = printf("  %-*s ", NAME_WIDTH, load->name);
    bool in_a_set = !of_object && (load->flags & TB_LOAD_QUICK) == 0;
    snprintf(text, sizeof text, "%s%s", load->about, in_a_set ? " (not in the quick set)" : "");
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
    char own[TB_USER_GROUP], error[TB_REASON_MAX];
    for (int i = 1; i < argc; i++) {
        if (!tb_user_is_object(argv[i])) {
            fprintf(stderr, "taskbench: list takes shared objects only, as ./mine.so, not '%s'\n",
                    argv[i]);
            return TB_EXIT_USAGE;
        }
        if (tb_user_load(argv[i], own, error) < 0) {
            fprintf(stderr, "taskbench: %s\n", error);
            return TB_EXIT_USAGE;
        }
    }
    int first = 0; /* the objects' own stand behind those that are built in */
    while (argc > 1 && tb_load_at(first) != tb_user_at(0)) {
        first++;
    }
    const char *group = "";
    const struct tb_load *load;
    for (int i = first; (load = tb_load_at(i)); i++) {
        if (strcmp(group, load->group) != 0) {
            printf("%s%s\n", i > first ? "\n" : "", load->group);
            group = load->group;
        }
        print_load(load, argc > 1);
    }
    return TB_EXIT_OK;
}
