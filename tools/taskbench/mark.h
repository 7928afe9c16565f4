/* mark.h: says to whoever watches this process from outside where the stretch to be counted begins
 * and ends: to the tracer (cmd_trace.c) by a prctl that no kernel knows, to callgrind by its own
 * requests. Without a watcher they do nothing. */
#ifndef TB_MARK_H
#define TB_MARK_H

#include <sys/prctl.h>

#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define TB_HAVE_CALLGRIND 1
#endif
#endif
#ifndef TB_HAVE_CALLGRIND
#define TB_HAVE_CALLGRIND               0
#define CALLGRIND_START_INSTRUMENTATION (void)0
#define CALLGRIND_STOP_INSTRUMENTATION  (void)0
#endif

#define TB_MARK_PRCTL 0x77656674 /* "weft"; second argument: 1 begin, 0 end */

static inline void tb_mark_begin(void)
{
    CALLGRIND_START_INSTRUMENTATION;
    (void)prctl(TB_MARK_PRCTL, 1, 0, 0, 0);
}

static inline void tb_mark_end(void)
{
    (void)prctl(TB_MARK_PRCTL, 0, 0, 0, 0);
    CALLGRIND_STOP_INSTRUMENTATION;
}

#endif
