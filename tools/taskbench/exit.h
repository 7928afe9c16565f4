/* exit.h: what taskbench's exit codes mean. They are part of its interface: scripts and CI branch
 * on them. */
#ifndef TB_EXIT_H
#define TB_EXIT_H

enum tb_exit {
    TB_EXIT_OK = 0,
    TB_EXIT_LIMIT = 1,   /* measured, and a limit is exceeded (--assert-allocs) */
    TB_EXIT_USAGE = 2,   /* the command line is wrong; nothing was run */
    TB_EXIT_NOTHING = 3, /* nothing, or not what a limit needs, could be measured */
    TB_EXIT_UNCLEAR = 4, /* ab with --strict: a verdict is unclear */
    TB_EXIT_WRONG = 5,   /* a workload's own result was wrong, or it crashed or hung */
    TB_EXIT_SIGNAL = 128 /* plus the number of the signal that ended the run */
};

#endif
