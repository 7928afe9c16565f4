/* cmd_paced.c: `taskbench paced LOAD KEY=NUMBER...`, for taskbench's own use: a process that
 * measures one row sample by sample, when it is told to. `taskbench ab` runs two of them in turn.
 *
 * Commands are lines on TB_PACE_FD, answers lines on TB_WIRE_FD:
 *
 *     (at the start)   ready                 or  skip REASON, wrong REASON
 *     find             rounds N              that fill a sample
 *     go N             took NS OPS SWITCHES  one sample of N rounds; involuntary switches during it
 *     (end of file)    done
 *
 * Its arguments are those of `agent` (agent.h), of which it uses workers, seed, pin and p.KEY. What
 * the process is not allowed (pinning, one address layout for all) it does without, and says so:
 *
 *     note WORDS
 *
 * While it waits for a command it sits in read(2) on its worker, so that the other process has the
 * machine. */
#define _GNU_SOURCE
#include "agent.h"
#include "child.h"
#include "clock.h"
#include "command.h"
#include "exit.h"
#include "sampler.h"
#include "side.h"
#include "wire.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define THREADS_MAX 64

struct paced {
    struct tb_trial trial;
    bool pin;
};

/* --- the process ------------------------------------------------------------------------------ */

/* One address layout for all restarts: otherwise where the code happens to lie is part of the
 * noise. Begins the program anew; returns if that is refused or has been done. */
static void fix_layout(char **argv)
{
    int now = personality(0xffffffff);
    if (now < 0 || now & ADDR_NO_RANDOMIZE) {
        return;
    }
    if (personality((unsigned long)now | ADDR_NO_RANDOMIZE) < 0) {
        tb_wire_say("note the address layout cannot be fixed: %s", strerror(errno));
        return;
    }
    argv[-1] = "taskbench"; /* main's argv[0] */
    execv("/proc/self/exe", argv - 1);
}

static int compare_ids(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* All threads of this process but the first, in the order in which they were started. */
static int list_threads(int ids[THREADS_MAX])
{
    int n = 0;
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    while (folder && (entry = readdir(folder)) && n < THREADS_MAX) {
        int id = atoi(entry->d_name);
        if (id > 0 && id != getpid()) {
            ids[n++] = id;
        }
    }
    if (folder) {
        closedir(folder);
    }
    qsort(ids, (size_t)n, sizeof *ids, compare_ids);
    return n;
}

static int cpu_number(const cpu_set_t *allowed, int index)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && index-- == 0) {
            return cpu;
        }
    }
    return -1;
}

/* The workers are the first threads that a runtime starts. */
static void pin_workers(const struct paced *p)
{
    cpu_set_t allowed;
    int ids[THREADS_MAX], n = list_threads(ids);
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0 ||
        CPU_COUNT(&allowed) < p->trial.workers) {
        tb_wire_say("note not pinned: there are fewer CPUs than workers");
        return;
    }
    for (int i = 0; i < p->trial.workers && i < n; i++) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu_number(&allowed, i), &one);
        if (sched_setaffinity(ids[i], sizeof one, &one) < 0) {
            tb_wire_say("note not pinned: %s", strerror(errno));
            return;
        }
    }
}

/* --- commands --------------------------------------------------------------------------------- */

static uint64_t count_switches(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

static int go(struct paced *p, uint64_t rounds)
{
    uint64_t ns, before = count_switches();
    int rc = tb_sampler_once(&p->trial, rounds, &ns);
    if (rc == 0) {
        tb_wire_say("took %" PRIu64 " %" PRIu64 " %" PRIu64, ns, rounds * p->trial.ops_per_round,
                    count_switches() - before);
    }
    return rc;
}

static int obey(struct paced *p, const char *line)
{
    uint64_t rounds;
    if (strcmp(line, "find") == 0) {
        int rc = tb_sampler_find(&p->trial, &rounds);
        if (rc == 0) {
            tb_wire_say("rounds %" PRIu64, rounds);
        }
        return rc;
    }
    if (sscanf(line, "go %" SCNu64, &rounds) == 1) {
        return go(p, rounds);
    }
    tb_wire_say("note '%s' is no command", line);
    return 0;
}

/* A line of TB_PACE_FD; false at its end. */
static bool next_command(char line[64])
{
    size_t n = 0;
    char c;
    for (;;) { /* ends with the line or the pipe */
        ssize_t got = read(TB_PACE_FD, &c, 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        if (c == '\n') {
            line[n] = '\0';
            return true;
        }
        if (n < 63) {
            line[n++] = c;
        }
    }
}

static bool take_arguments(struct paced *p, int argc, char **argv)
{
    static struct tb_row row; /* too large for the stack */
    struct tb_plan plan;
    int rc = tb_agent_args_read(argc, argv, &row, &plan);
    if (rc < 0) {
        tb_wire_say(rc == -ENOENT ? "skip there is no workload '%s' in this build"
                                  : "wrong paced of '%s' was asked in another form",
                    argc > 1 ? argv[1] : "");
        return false;
    }
    p->trial = (struct tb_trial){.load = row.load, .workers = row.workers, .seed = row.seed};
    memcpy(p->trial.params, row.params, sizeof p->trial.params);
    p->pin = plan.pin;
    return true;
}

static int follow(void *arg)
{
    struct paced *p = arg;
    struct tb_trial *trial = &p->trial;
    char line[64];
    trial->ops_per_round = 1;
    int rc = trial->load->open ? trial->load->open(trial) : 0;
    if (rc < 0) {
        return rc;
    }
    tb_wire_say("ready");
    while (rc == 0 && next_command(line)) { /* ends with the commands */
        rc = obey(p, line);
    }
    if (trial->load->close) {
        trial->load->close(trial);
    }
    return rc;
}

static void say_end(const struct tb_trial *trial, int rc)
{
    if (rc == 0) {
        tb_wire_say("done");
    } else {
        tb_wire_say("%s %s", trial->skip ? "skip" : "wrong",
                    trial->reason[0] ? trial->reason : strerror(-rc));
    }
}

int tb_cmd_paced(int argc, char **argv)
{
    static struct paced p;
    if (fcntl(TB_WIRE_FD, F_GETFD) < 0 || fcntl(TB_PACE_FD, F_GETFD) < 0) {
        fprintf(stderr, "taskbench: this command is for taskbench's own use\n");
        return TB_EXIT_USAGE;
    }
    signal(SIGINT, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fix_layout(argv);
    if (!take_arguments(&p, argc, argv)) {
        return TB_EXIT_OK;
    }
    weft_rt_opts opts = {.workers = p.trial.workers};
    int rc = weft_rt_start(&p.trial.rt, &opts);
    if (rc < 0) {
        tb_wire_say("skip the runtime does not start here: %s", strerror(-rc));
        return TB_EXIT_OK;
    }
    if (p.pin) {
        pin_workers(&p);
    }
    rc = p.trial.load->flags & TB_LOAD_OUTSIDE ? follow(&p) : weft_call(p.trial.rt, follow, &p);
    say_end(&p.trial, rc);
    if (weft_rt_stop(p.trial.rt, WEFT_SEC(5), WEFT_SEC(5)) == 0) {
        weft_rt_free(p.trial.rt);
    }
    return TB_EXIT_OK;
}
