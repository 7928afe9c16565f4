/* cmd_agent.c: `taskbench agent` and `taskbench probe`: processes that taskbench starts for itself.
 * The first measures one row, the second only says what the runtime says of itself. Both write to
 * TB_WIRE_FD and never to stdout; what weft, the libc or a sanitizer writes to stderr is read by
 * the parent too, for the reason of a crash. */
#include "agent.h"
#include "alloc.h"
#include "command.h"
#include "exit.h"
#include "line.h"
#include "usage.h"
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <weft/debug.h>

/* Tasks that have not ended so long after the last sample never will. */
#define STOP_DRAIN WEFT_SEC(5)
#define STOP_KILL  WEFT_SEC(5)

/* The parent alone decides what a Ctrl-C means, and nobody is left when it dies. */
static void become_child(void)
{
    signal(SIGINT, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* A person has typed this. */
static int refuse(void)
{
    fprintf(stderr, "taskbench: this command is for taskbench's own use\n");
    return TB_EXIT_USAGE;
}

static bool has_wire(void)
{
    return fcntl(TB_WIRE_FD, F_GETFD) >= 0;
}

/* What a failed start means: an environment that forbids, or an argument of ours. */
static void say_start_failed(int rc)
{
    tb_wire_say("skip the runtime does not start here: %s", strerror(-rc));
}

/* --- probe ------------------------------------------------------------------------------------ */

int tb_cmd_probe(int argc, char **argv)
{
    (void)argc, (void)argv;
    if (!has_wire()) {
        return refuse();
    }
    become_child();
    weft_rt *rt;
    weft_rt_opts opts = {0}; /* as most programs start it */
    int rc = weft_rt_start(&rt, &opts);
    if (rc < 0) {
        say_start_failed(rc);
        return TB_EXIT_OK;
    }
    char report[200];
    weft_rt_report(rt, report, sizeof report);
    report[strcspn(report, "\n")] = '\0';
    tb_wire_say("report %s", report);
    weft_rt_free(rt);
    tb_wire_say("done");
    return TB_EXIT_OK;
}

/* --- agent ------------------------------------------------------------------------------------ */

struct run {
    struct tb_trial *trial;
    const struct tb_plan *plan;
};

static int run_in_task(void *arg)
{
    struct run *run = arg;
    return tb_sampler_run(run->trial, run->plan);
}

static int run_load(struct tb_trial *trial, const struct tb_plan *plan)
{
    struct run run = {trial, plan};
    if (trial->load->flags & TB_LOAD_OUTSIDE) {
        return tb_sampler_run(trial, plan);
    }
    return weft_call(trial->rt, run_in_task, &run);
}

static void say_end(const struct tb_trial *trial, int rc)
{
    struct tb_usage usage;
    tb_wire_metrics(trial);
    tb_usage_get(&usage);
    tb_wire_say("rss %" PRIu64, usage.rss_max_bytes);
    if (rc == 0 && trial->reason[0] == '\0') {
        tb_wire_say("done");
    } else if (trial->skip) {
        tb_wire_say("skip %s", trial->reason);
    } else if (trial->reason[0]) {
        tb_wire_say("wrong %s", trial->reason);
    } else {
        tb_wire_say("wrong it failed: %s", strerror(-rc));
    }
}

static void measure(struct tb_trial *trial, const struct tb_plan *plan)
{
    weft_rt_opts opts = {.workers = trial->workers};
    if (plan->pass == TB_PASS_CALLGRIND) {
        opts.io =
            "epoll"; /* valgrind runs one thread at a time, and not while one waits in a ring */
    }
    int rc = weft_rt_start(&trial->rt, &opts);
    if (rc < 0) {
        say_start_failed(rc);
        return;
    }
    rc = run_load(trial, plan);
    int stop = weft_rt_stop(trial->rt, STOP_DRAIN, STOP_KILL);
    if (stop < 0) {
        /* The runtime is still there, with a task in it: it cannot be freed, and the process ends
         * with it. */
        tb_wire_say("wrong the runtime does not stop: %s", strerror(-stop));
        return;
    }
    weft_rt_free(trial->rt);
    say_end(trial, rc);
}

int tb_cmd_agent(int argc, char **argv)
{
    static struct tb_row row;
    struct tb_plan plan;
    int rc = tb_agent_args_read(argc, argv, &row, &plan);
    if (!has_wire() || rc == -EINVAL) {
        return refuse();
    }
    if (rc < 0) {
        tb_wire_say("skip there is no workload '%s' in this build", argv[1]);
        return TB_EXIT_OK;
    }
    become_child();
    if (plan.pass != TB_PASS_CALLGRIND) {
        tb_alloc_probe(&plan.uncounted);
    }
    bool lines_matter = row.workers > 1 && plan.pass == TB_PASS_TIME;
    tb_wire_say("line %.17g", lines_matter ? tb_line_transfer_ns() : -1.0);
    struct tb_trial trial = {.load = row.load, .workers = row.workers, .seed = row.seed};
    memcpy(trial.params, row.params, sizeof trial.params);
    measure(&trial, &plan);
    return TB_EXIT_OK;
}
