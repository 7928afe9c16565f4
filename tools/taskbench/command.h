/* command.h: what `taskbench NAME ...` is made of. A command is one file, cmd_NAME.c, and one line
 * in the table of main.c. */
#ifndef TB_COMMAND_H
#define TB_COMMAND_H

#include <stdbool.h>

#define TB_VERSION "0.1.0"

struct tb_command {
    const char *name;
    const char *synopsis; /* what follows the name, "" if nothing does */
    const char *summary;  /* one line; NULL: for taskbench's own use, not shown */
    const char *details;  /* for `taskbench help NAME`; NULL: there are none */
    /* argv[0] is the command's name. Returns an exit code (exit.h). */
    int (*run)(int argc, char **argv);
};

/* All of them, ended by one without a name. */
extern const struct tb_command tb_commands[];

/* NULL: there is none of that name. */
const struct tb_command *tb_command_find(const char *name);

int tb_cmd_list(int argc, char **argv);
int tb_cmd_run(int argc, char **argv);
int tb_cmd_io(int argc, char **argv);
int tb_cmd_mem(int argc, char **argv);
int tb_cmd_metg(int argc, char **argv);
int tb_cmd_net(int argc, char **argv);
int tb_cmd_peers(int argc, char **argv);
int tb_cmd_serve(int argc, char **argv);
int tb_cmd_report(int argc, char **argv);
int tb_cmd_gate(int argc, char **argv);
int tb_cmd_help(int argc, char **argv);
int tb_cmd_agent(int argc, char **argv);
int tb_cmd_probe(int argc, char **argv);
int tb_cmd_trace(int argc, char **argv);
int tb_cmd_ab(int argc, char **argv);
int tb_cmd_calibrate(int argc, char **argv);
int tb_cmd_scaling(int argc, char **argv);
int tb_cmd_paced(int argc, char **argv);
int tb_cmd_alloc(int argc, char **argv);
int tb_cmd_compare(int argc, char **argv);
int tb_cmd_doctor(int argc, char **argv);

extern const char tb_run_details[], tb_gate_details[];     /* cmd_help.c */
extern const char tb_ab_details[], tb_calibrate_details[]; /* cmd_ab.c */
extern const char tb_scaling_details[];                    /* cmd_ab.c */
extern const char tb_alloc_details[];                      /* cmd_alloc.c */
extern const char tb_compare_details[];                    /* cmd_compare.c */
extern const char tb_report_details[];                     /* cmd_report.c */
extern const char tb_io_details[];                         /* cmd_io.c */
extern const char tb_mem_details[];                        /* cmd_mem.c */
extern const char tb_metg_details[];                       /* cmd_metg.c */
extern const char tb_net_details[];                        /* cmd_net.c */
extern const char tb_peers_details[];                      /* cmd_peers.c */

#endif
