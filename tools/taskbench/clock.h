/* clock.h: the two clocks that figures are taken with. */
#ifndef TB_CLOCK_H
#define TB_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t tb_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t tb_now_ns(void)
{
    return tb_clock_ns(CLOCK_MONOTONIC);
}

/* CPU time of all threads of this process, user and system. */
static inline uint64_t tb_cpu_ns(void)
{
    return tb_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

#endif
