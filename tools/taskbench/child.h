/* child.h: runs taskbench itself with other arguments, and reads what it says.
 *
 * The child is a new program (fork and exec), not a copy of this one: a runtime refuses to work in
 * the child of a fork, and memory, allocator and address layout begin afresh for every row.
 *
 * Guarantees.
 * C.1  The child is gone when tb_child_run returns, whatever it did.
 * C.2  A child that says nothing for `silence_s` seconds is killed: it hangs. Those in which it
 *      waited for a processor do not count (silence.h).
 * C.3  A signal that asks this process to end (SIGINT, SIGTERM) kills the child; see
 *      tb_interrupted. */
#ifndef TB_CHILD_H
#define TB_CHILD_H

#include <stdbool.h>

#define TB_SILENCE_S 60 /* the longest row says something every 10 s on a machine of 2026 */

enum tb_child_end {
    TB_CHILD_EXITED,      /* `code` is its exit code */
    TB_CHILD_SIGNALLED,   /* `code` is the signal that it died of */
    TB_CHILD_SILENT,      /* killed, see C.2 */
    TB_CHILD_INTERRUPTED, /* killed, see C.3 */
    TB_CHILD_FAILED,      /* could not be started; `code` is a -errno */
};

struct tb_child {
    /* given */
    /* NULL: this program, and argv[0] is the command's name; else it is looked for in PATH, and
     * argv is its whole command line. Ended by NULL. */
    const char *program;
    char *const *argv;
    int silence_s; /* see C.2; 0: TB_SILENCE_S, which tb_child_run then puts in its place */
    void (*line)(void *arg, const char *line); /* one line from the wire */
    void (*tick)(void *arg);                   /* ten times a second, and after lines */
    void *arg;

    /* result */
    enum tb_child_end end;
    int code;
    char last_words[160]; /* the last line that it wrote to stderr; "" */
};

void tb_child_run(struct tb_child *child);

/* From here SIGINT and SIGTERM are noted and end a running child, not this process. */
void tb_catch_signals(void);

/* The signal that asked this process to end; 0: none. */
int tb_interrupted(void);

#endif
