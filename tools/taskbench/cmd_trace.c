/* cmd_trace.c: `taskbench trace ARGUMENT...`, for taskbench's own use: runs `taskbench ARGUMENT...`
 * and counts the system calls that it makes between its marks (mark.h), on all of its threads, by
 * ptrace(2).
 *
 * The runtime's own counters tell what the runtime knows that it does; this tells what was done, by
 * whomever: a call that somebody has added somewhere is in it, and its place too. The price, two
 * stops for each call, is paid in the counting pass only, in which no time is measured.
 *
 * On the wire, when the stretch ends:
 *     traced CALLS                 all of them
 *     site call ...                where they were made (wire.h)
 * or, if ptrace is refused:
 *     untraced REASON
 *
 * The main thread waits in a futex call while a worker runs the stretch. If it comes to that call
 * late, on a busy machine, it must not count: so whoever begins a stretch is held until it is
 * there.
 *
 * The traced process is gone when this one is (PTRACE_O_EXITKILL). */
#define _GNU_SOURCE
#include "command.h"
#include "exit.h"
#include "mark.h"
#include "site.h"
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_WORDS 512   /* of a stack, searched for the caller */
#define NAMED_MAX   20000 /* calls whose place is looked for: bounds the time of a long stretch */

#if defined(__SANITIZE_THREAD__)
#define HAS_THREAD_OF_ITS_OWN 1
#else
#define HAS_THREAD_OF_ITS_OWN 0
#endif

struct place {
    long number;
    uint64_t address;
    uint64_t count;
};

struct trace {
    pid_t main;
    bool main_waits; /* is in its futex call */
    pid_t held;      /* has begun the stretch before that; 0: nobody */
    bool counting;
    uint64_t calls;
    struct place places[TB_SITES_MAX];
    int places_n;
    uint64_t code_from, code_to; /* executable pages of the program itself */
    int status;                  /* of the main process, once it has ended */
};

/* --- where a call was made -------------------------------------------------------------------- */

/* The pages that hold the program's own code. */
static void find_code(struct trace *t)
{
    char path[48], exe[512], line[512];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)t->main);
    ssize_t n = readlink(path, exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    snprintf(path, sizeof path, "/proc/%d/maps", (int)t->main);
    FILE *maps = fopen(path, "re");
    while (maps && fgets(line, sizeof line, maps)) {
        uint64_t from, to;
        char perms[8];
        int at = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %n", &from, &to, perms, &at) ==
                3 &&
            perms[2] == 'x' && strcmp(line + at, exe) == 0) {
            t->code_from = t->code_from ? t->code_from : from;
            t->code_to = to;
        }
    }
    if (maps) {
        fclose(maps);
    }
}

/* Is the instruction before `address` a call? Where we cannot tell (not x86) every address in the
 * code is taken for a return address. */
static bool follows_call(pid_t pid, uint64_t address)
{
#if defined(__x86_64__)
    unsigned char code[7];
    struct iovec to = {code, sizeof code};
    struct iovec from = {(void *)(uintptr_t)(address - sizeof code), sizeof code};
    if (process_vm_readv(pid, &to, 1, &from, 1, 0) != (ssize_t)sizeof code) {
        return false;
    }
    if (code[2] == 0xe8) { /* call rel32 */
        return true;
    }
    for (int at = 0; at < 6; at++) { /* call through a register or memory: ff /2 */
        if (code[at] == 0xff && (code[at + 1] & 0x38) == 0x10) {
            return true;
        }
    }
    return false;
#else
    (void)pid, (void)address;
    return true;
#endif
}

/* The innermost return address into the program on the stack at `sp`; the call's own place if there
 * is none. A search, and no unwinding: it needs no tables, and a stale word that it takes for an
 * address names a wrong place, but never changes a count. */
static uint64_t find_caller(const struct trace *t, pid_t pid, uint64_t ip, uint64_t sp)
{
    uint64_t stack[STACK_WORDS];
    struct iovec to = {stack, sizeof stack}, from = {(void *)(uintptr_t)sp, sizeof stack};
    ssize_t n = process_vm_readv(pid, &to, 1, &from, 1, 0);
    if (n <= 0) { /* near the end of the stack: what is left of its page */
        to.iov_len = from.iov_len = 4096 - sp % 4096;
        n = process_vm_readv(pid, &to, 1, &from, 1, 0);
    }
    if (ip >= t->code_from && ip < t->code_to) {
        return ip;
    }
    for (ssize_t i = 0; i < n / (ssize_t)sizeof *stack; i++) {
        if (stack[i] >= t->code_from && stack[i] < t->code_to && follows_call(pid, stack[i])) {
            return stack[i];
        }
    }
    return ip;
}

static void note_place(struct trace *t, long number, uint64_t address)
{
    int i = 0;
    while (i < t->places_n && (t->places[i].number != number || t->places[i].address != address)) {
        i++;
    }
    if (i == TB_SITES_MAX) {
        return; /* counted, not named */
    }
    t->places[i].number = number;
    t->places[i].address = address;
    t->places[i].count++;
    t->places_n += i == t->places_n;
}

/* --- the stretch ------------------------------------------------------------------------------ */

static void say_calls(const struct trace *t)
{
    tb_wire_say("traced %" PRIu64, t->calls);
    for (int i = 0; i < t->places_n; i++) {
        struct tb_site site = {.kind = TB_SITE_CALL, .count = t->places[i].count};
        char name[24];
        tb_site_locate(&site, t->main, t->places[i].address);
        snprintf(site.what, sizeof site.what, "%s", tb_call_name(t->places[i].number, name));
        tb_wire_site(&site);
    }
}

static bool is_futex_wait(const struct __ptrace_syscall_info *info)
{
    int command = (int)info->entry.args[1] & FUTEX_CMD_MASK;
    return info->entry.nr == SYS_futex && (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET);
}

/* The thread is at the begin or the end of a system call. True if it is to go on. */
static bool on_call(struct trace *t, pid_t pid)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) {
        return true;
    }
    bool begins = info.op == PTRACE_SYSCALL_INFO_ENTRY;
    if (pid == t->main) {
        t->main_waits = begins && is_futex_wait(&info);
        if (t->held != 0) { /* on its way: what it calls does not count */
            if (t->main_waits) {
                (void)ptrace(PTRACE_SYSCALL, t->held, 0, 0);
                t->held = 0;
            }
            return true;
        }
    }
    if (!begins) {
        return true;
    }
    if (info.entry.nr == SYS_prctl && info.entry.args[0] == TB_MARK_PRCTL) {
        t->counting = info.entry.args[1] == 1;
        if (t->counting) {
            find_code(t);
            t->held = pid == t->main || t->main_waits ? 0 : pid;
            return t->held == 0;
        } else {
            say_calls(t);
        }
    } else if (t->counting) {
        t->calls++;
        if (t->calls <= NAMED_MAX) {
            uint64_t caller = find_caller(t, pid, info.instruction_pointer, info.stack_pointer);
            note_place(t, (long)info.entry.nr, caller);
        }
    }
    return true;
}

/* Until the last thread has gone. */
static void watch(struct trace *t)
{
    for (;;) { /* ends with the process, which waitpid then has no child of */
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno == EINTR) {
            continue;
        }
        if (pid < 0) {
            return;
        }
        if (!WIFSTOPPED(status)) {
            t->status = pid == t->main ? status : t->status;
            continue;
        }
        int signal = WSTOPSIG(status);
        if (signal == (SIGTRAP | 0x80)) {
            if (!on_call(t, pid)) {
                continue;
            }
            signal = 0;
        } else if (status >> 16) { /* a new thread, an exec: nothing to hand on */
            signal = 0;
        }
        (void)ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
}

/* --- the process ------------------------------------------------------------------------------ */

/* Waits until it is traced or not, then becomes the program. */
static void become(char **argv, int go)
{
    char byte;
    while (read(go, &byte, 1) < 0 && errno == EINTR) { /* ends: the parent writes, or is gone */
    }
    argv[0] = "taskbench";
    execv("/proc/self/exe", argv);
    _exit(TB_EXIT_NOTHING);
}

static int end_as(int status)
{
    if (WIFSIGNALED(status)) { /* so that whoever waits for us sees the same */
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : TB_EXIT_NOTHING;
}

int tb_cmd_trace(int argc, char **argv)
{
    static struct trace t;
    int go[2];
    if (argc < 2 || fcntl(TB_WIRE_FD, F_GETFD) < 0 || pipe2(go, O_CLOEXEC) < 0) {
        fprintf(stderr, "taskbench: this command is for taskbench's own use\n");
        return TB_EXIT_USAGE;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);
    t.main = fork();
    if (t.main == 0) {
        become(argv, go[0]);
    }
    if (t.main < 0) {
        tb_wire_say("untraced no process: %s", strerror(errno));
        return TB_EXIT_NOTHING;
    }
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    if (HAS_THREAD_OF_ITS_OWN) {
        tb_wire_say("untraced ThreadSanitizer has a thread that makes system calls");
    } else if (ptrace(PTRACE_SEIZE, t.main, 0, options) < 0 ||
               ptrace(PTRACE_INTERRUPT, t.main, 0, 0) < 0) {
        tb_wire_say("untraced ptrace is refused: %s", strerror(errno));
    }
    (void)!write(go[1], "", 1);
    watch(&t);
    return end_as(t.status);
}
