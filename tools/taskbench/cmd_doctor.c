/* cmd_doctor.c: `taskbench doctor`: what of this machine decides what can be measured on it, one
 * line each, and the remedy where there is one. Nothing is changed. */
#define _GNU_SOURCE
#include "alloc.h"
#include "callgrind.h"
#include "clock.h"
#include "command.h"
#include "exit.h"
#include "machine.h"
#include "measure.h"
#include "terminal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEAL_MS   200
#define NOFILE_MIN 65536 /* 10k connections, both ends in one process, and room */
#define MAPS_MIN \
    262144 /* fibers of a guarded stack each take two mappings on kernels without markers */
#define STEAL_MAX 2.0 /* per cent */

static int warnings;

static void say(bool fine, const char *what, const char *fix, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void say(bool fine, const char *what, const char *fix, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int at = printf("%-4s  %-12s ", fine ? "ok" : "note", what);
    if (!fine && fix) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, ". Remedy: %s", fix);
    }
    tb_put_wrapped(stdout, text, at, at);
    warnings += !fine;
}

/* The first line of a file; "" if there is none. */
static const char *line_of(const char *path)
{
    static char line[160];
    line[0] = '\0';
    FILE *file = fopen(path, "re");
    if (file) {
        if (!fgets(line, sizeof line, file)) {
            line[0] = '\0';
        }
        fclose(file);
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void look_at_runtime(struct tb_machine *m, bool *starts)
{
    char report[TB_REASON_MAX];
    *starts = tb_measure_probe(report);
    if (*starts) {
        tb_machine_set_report(m, report);
    }
    say(*starts && strcmp(m->backend, "uring") == 0, "io_uring",
        "allow io_uring_setup, _enter, _register in the seccomp profile; "
        "kernel.io_uring_disabled=0",
        "%s", report);
}

static void look_at_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        say(limit.rlim_cur >= NOFILE_MIN, "descriptors",
            "ulimit -n 65536 (net workloads with 10k connections)", "%" PRIu64 " at most",
            (uint64_t)limit.rlim_cur);
    }
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
        bool enough = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= 8u << 20;
        say(enough, "memlock", "ulimit -l 8192: rings and registered buffers count against it",
            limit.rlim_cur == RLIM_INFINITY ? "no limit" : "%" PRIu64 " KiB",
            (uint64_t)limit.rlim_cur / 1024);
    }
    long maps = atol(line_of("/proc/sys/vm/max_map_count"));
    say(maps >= MAPS_MIN, "mappings", "sysctl vm.max_map_count=262144 (a million suspended stacks)",
        "%ld at most in a process", maps);
}

static void look_at_cpus(const struct tb_machine *m)
{
    const char *quota = line_of("/sys/fs/cgroup/cpu.max");
    bool limited = quota[0] && strncmp(quota, "max", 3) != 0;
    say(!limited, "cpu quota",
        "run without one: a process that is throttled stands still for tens of ms",
        limited ? "%s us of each period" : "none%.0s", quota);
    say(m->cpus >= 2, "cpus", "two workers share one CPU: measure with --workers 1", "%d", m->cpus);
    const char *smt = line_of("/sys/devices/system/cpu/smt/active");
    say(strcmp(smt, "1") != 0, "smt",
        "pin to one thread per core (taskset), or compare builds with ab", "%s",
        strcmp(smt, "1") == 0 ? "active: neighbours share cores" : "off or unknown");
    bool slow = m->governor[0] && strcmp(m->governor, "performance") != 0;
    say(!slow, "governor", "cpupower frequency-set -g performance", "%s",
        m->governor[0] ? m->governor : "none");
    say(strcmp(m->clocksource, "tsc") == 0 || strcmp(m->clocksource, "kvm-clock") == 0, "clock",
        "boot with tsc=reliable: another clock costs a system call for each look", "%s",
        m->clocksource[0] ? m->clocksource : "unknown");
}

static void look_at_noise(void)
{
    struct tb_steal before, after;
    double load = 0;
    tb_steal_get(&before);
    usleep(STEAL_MS * 1000);
    tb_steal_get(&after);
    double steal = tb_steal_percent(&before, &after);
    say(steal < STEAL_MAX, "steal", "the host gives the CPU to others: believe ab, not single runs",
        steal < 0 ? "unknown%.0f" : "%.1f %% of the CPU time", steal < 0 ? 0.0 : steal);
    sscanf(line_of("/proc/loadavg"), "%lf", &load);
    say(load < 0.5, "load",
        "end what else runs, or use real-time priority: chrt -f 1 taskbench ...", "%.2f", load);
    const char *thp = line_of("/sys/kernel/mm/transparent_hugepage/enabled");
    say(strstr(thp, "[always]") == NULL, "huge pages",
        "madvise: memory figures jump by 2 MiB with always", "%s", thp[0] ? thp : "none");
    const char *aslr = line_of("/proc/sys/kernel/randomize_va_space");
    say(true, "aslr", NULL, "%s",
        strcmp(aslr, "0") == 0 ? "off" : "on (ab switches it off for what it measures)");
}

static bool has_counters(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof attr,
                                   .config = PERF_COUNT_HW_INSTRUCTIONS,
                                   .exclude_kernel = 1};
    long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
    if (fd >= 0) {
        close((int)fd);
    }
    return fd >= 0;
}

/* What the gate counts system calls with. */
static bool may_trace(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        _exit(ptrace(PTRACE_TRACEME, 0, 0, 0) < 0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static void look_at_tools(void)
{
    const char *why_not = NULL;
    char version[32], reason[TB_REASON_MAX];
    bool hooks = tb_alloc_probe(&why_not);
    say(hooks, "allocations", "apt-get install libjemalloc-dev and build again", "%s",
        hooks ? "counted exactly, by jemalloc's hooks" : why_not);
    bool traces = may_trace();
    say(traces, "ptrace",
        "allow it (kernel.yama.ptrace_scope=1 or less, seccomp): the gate counts system calls by "
        "it",
        "%s", traces ? "allowed" : "refused");
    bool counts = tb_callgrind_probe(version, reason);
    say(counts, "callgrind", "apt-get install valgrind: the gate counts instructions with it", "%s",
        counts ? version : reason);
    bool counters = has_counters();
    say(counters, "perf", "none is needed: instructions are counted by callgrind", "%s",
        counters ? "hardware counters work" : "no hardware counters");
}

int tb_cmd_doctor(int argc, char **argv)
{
    static struct tb_machine machine;
    bool starts;
    if (argc > 1) {
        fprintf(stderr, "taskbench: doctor takes no argument, not '%s'\n", argv[1]);
        return TB_EXIT_USAGE;
    }
    tb_open_standard_streams();
    tb_machine_get(&machine);
    printf("%s, %d CPUs, Linux %s\n", machine.cpu, machine.cpus, machine.kernel);
    look_at_runtime(&machine, &starts);
    look_at_limits();
    look_at_cpus(&machine);
    look_at_noise();
    look_at_tools();
    printf("%d note%s\n", warnings, warnings == 1 ? "" : "s");
    return starts ? TB_EXIT_OK : TB_EXIT_NOTHING;
}
