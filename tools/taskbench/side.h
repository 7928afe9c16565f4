/* side.h: one of the two processes that `taskbench ab` measures in turn (cmd_paced.c), as the one
 * that starts it sees it: questions and answers. */
#ifndef TB_SIDE_H
#define TB_SIDE_H

#include "row.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TB_PACE_FD       4 /* where commands come from, in the process */
#define TB_SIDE_LINE_MAX 256

struct tb_side {
    pid_t pid; /* 0: not running */
    int to, from;
    char text[TB_SIDE_LINE_MAX]; /* what came and is not a whole line yet */
    size_t bytes;
    char note[TB_REASON_MAX]; /* the last one that it said; "" */
    /* how it failed: TB_ROW_OK while it has not */
    enum tb_status status;
    char reason[TB_REASON_MAX];
};

/* Starts `program paced ...` for the row. false: see status and reason. */
bool tb_side_start(struct tb_side *side, const char *program, const struct tb_row *row, bool pin);

/* Sends a command and waits for the answer, whose words after `expect` are left in `answer`. false:
 * it ended, hung, answered something else, or a signal asked us to end. */
bool tb_side_ask(struct tb_side *side, const char *command, const char *expect,
                 char answer[TB_SIDE_LINE_MAX]);

/* Ends it. Also after a failure, and if it was never started. */
void tb_side_stop(struct tb_side *side);

#endif
