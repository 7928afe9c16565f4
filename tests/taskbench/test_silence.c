/* test_silence.c: who says nothing, and why (silence.h). */
#include "silence.h"
#include "tests/support/wt.h"
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define S UINT64_C(1000000000)

Test(silence, of_who_neither_runs_nor_waits_for_a_processor_is_a_hang)
{
    wt_false(tb_silence_judge(59 * S, 0, 0, 60 * S));
    wt_true(tb_silence_judge(60 * S, 0, 0, 60 * S));
}

Test(silence, of_who_runs_for_so_long_is_a_hang)
{
    wt_false(tb_silence_judge(90 * S, 59 * S, 31 * S, 60 * S));
    wt_true(tb_silence_judge(120 * S, 60 * S, 60 * S, 60 * S));
}

Test(silence, of_who_waits_for_a_processor_is_none)
{
    wt_false(tb_silence_judge(100 * S, 1 * S, 99 * S, 60 * S));
    wt_false(tb_silence_judge(100 * S, 1 * S, 6000 * S, 60 * S));
    wt_true(tb_silence_judge(100 * S, 1 * S, 40 * S, 60 * S));
}

Test(silence, has_a_bound)
{
    wt_false(tb_silence_judge(599 * S, 1 * S, 598 * S, 60 * S));
    wt_true(tb_silence_judge(600 * S, 1 * S, 599 * S, 60 * S));
}

static pid_t start_spinner(void)
{
    pid_t pid = fork();
    for (; pid == 0;) { /* ends: killed */
    }
    return pid;
}

Test(silence, two_on_one_processor_run_and_wait, .timeout = 60)
{
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    wt_eq(sched_setaffinity(0, sizeof here, &here), 0);
    pid_t spinners[] = {start_spinner(), start_spinner()};
    uint64_t ran_ns = 0, waited_ns = 0;
    while (ran_ns < S / 100 || waited_ns < S / 100) { /* ends: they take turns, or the test fails */
        tb_silence_count(spinners[0], &ran_ns, &waited_ns);
    }
    for (int i = 0; i < 2; i++) {
        kill(spinners[i], SIGKILL);
        waitpid(spinners[i], NULL, 0);
    }
    tb_silence_count(spinners[0], &ran_ns, &waited_ns);
    wt_eq(ran_ns, 0u, "it has gone");
}
