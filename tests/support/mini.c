/* mini.c: the runner for where Criterion cannot go (WT_MINI=1). One process per test, one after the
 * other.
 *
 * Usage: test_x [--list] [--filter GLOB] [--verbose]      GLOB matches "suite/name"
 * Environment: WT_TIMEOUT_SCALE multiplies every timeout (sanitizers and emulators are slow).
 *              WT_SANITIZER_LOG is the log_path that the sanitizers were given: any text there
 *              fails the test, whatever its exit status says.
 *
 * A test's output is kept, and shown only if the test fails: tests about crashes would fill the log
 * otherwise. Prints a line per test and, last, "N passed, N failed". Exits 0 if none failed, 1 if
 * some did or none ran. */
#define _GNU_SOURCE
#include "tests/support/wt.h"
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_SKIPPED 98 /* beside WT_EXIT_FAILED */

enum outcome { PASSED, FAILED, SKIPPED };

static struct wt_test *first_test;
static struct wt_test **last_link = &first_test;

void wt_register(struct wt_test *test)
{
    *last_link = test;
    last_link = &test->next;
}

void wt_skip_(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fflush(NULL);
    _exit(EXIT_SKIPPED);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The test's process. Leaves by exit, so that a leak checker runs. */
__attribute__((noreturn)) static void child(struct wt_test *test, int output, const sigset_t *mask)
{
    setpgid(0, 0); /* so that a timeout reaches what the test forked */
    sigprocmask(SIG_SETMASK, mask, NULL);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    if (test->options.signal != 0) {
        /* an expected death is not worth a core file */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    }
    if (test->options.init != NULL) {
        test->options.init();
    }
    test->run();
    if (test->options.fini != NULL) {
        test->options.fini();
    }
    exit(0);
}

/* Waits for the child until the deadline; then kills its group. Returns whether it ended by itself.
 * SIGCHLD is blocked, so one that comes between waitpid and sigtimedwait is not lost. */
static bool await_child(pid_t pid, int64_t deadline_ms, int *status)
{
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    for (;;) { /* ends at the deadline */
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid) {
            return true;
        }
        int64_t left_ms = deadline_ms - now_ms();
        if (got < 0 || left_ms <= 0) {
            break;
        }
        struct timespec left = {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
        sigtimedwait(&chld, NULL, &left);
    }
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL); /* if it had not come as far as setpgid */
    waitpid(pid, status, 0);
    return false;
}

/* What the sanitizers wrote, moved to `report`. Returns whether there was any. */
static bool take_sanitizer_logs(FILE *report)
{
    const char *base = getenv("WT_SANITIZER_LOG");
    if (base == NULL || *base == '\0') {
        return false;
    }
    char pattern[4096];
    snprintf(pattern, sizeof pattern, "%s.*", base);
    glob_t found;
    bool any = false;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            FILE *log = fopen(found.gl_pathv[i], "r");
            int c;
            while (log != NULL && (c = getc(log)) != EOF) {
                any = true;
                putc(c, report);
            }
            if (log != NULL) {
                fclose(log);
            }
            unlink(found.gl_pathv[i]);
        }
    }
    globfree(&found);
    return any;
}

/* Why the way it ended is not the one expected; NULL if it is. */
static const char *judge(const struct wt_test *test, bool ended, int status, char *text,
                         size_t bytes)
{
    const struct wt_options *o = &test->options;
    if (!ended) {
        snprintf(text, bytes, "timed out");
    } else if (WIFSIGNALED(status) && WTERMSIG(status) != o->signal) {
        snprintf(text, bytes, "died of SIG%s", sigabbrev_np(WTERMSIG(status)));
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == WT_EXIT_FAILED) {
        snprintf(text, bytes, "assertion failed");
    } else if (WIFEXITED(status) && o->signal != 0) {
        snprintf(text, bytes, "exited with %d; SIG%s was expected", WEXITSTATUS(status),
                 sigabbrev_np(o->signal));
    } else if (WIFEXITED(status) && WEXITSTATUS(status) != o->exit_code) {
        snprintf(text, bytes, "exited with %d; %d was expected", WEXITSTATUS(status), o->exit_code);
    } else {
        return NULL;
    }
    return text;
}

static void copy_output(int output)
{
    char buffer[4096];
    ssize_t n;
    lseek(output, 0, SEEK_SET);
    while ((n = read(output, buffer, sizeof buffer)) > 0) {
        fwrite(buffer, 1, (size_t)n, stdout);
    }
}

static enum outcome run_one(struct wt_test *test, double timeout_scale, bool verbose)
{
    double timeout_s = test->options.timeout > 0 ? test->options.timeout : WT_TIMEOUT_S;
    int output = memfd_create("test output", MFD_CLOEXEC);
    sigset_t chld;
    sigset_t before;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &before);
    fflush(NULL); /* or the child would print it again */

    int64_t start_ms = now_ms();
    pid_t pid = fork();
    if (pid == 0) {
        child(test, output, &before);
    }
    int status = 0;
    char text[128] = "fork failed";
    const char *why = text;
    if (pid > 0) {
        bool ended =
            await_child(pid, start_ms + (int64_t)(timeout_s * timeout_scale * 1000), &status);
        why = judge(test, ended, status, text, sizeof text);
    }

    enum outcome outcome = PASSED;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
        outcome = SKIPPED;
        why = "skipped";
    } else if (why != NULL) {
        outcome = FAILED;
    }
    static const char *const tags[] = {[PASSED] = "PASS", [FAILED] = "FAIL", [SKIPPED] = "SKIP"};
    char *report = NULL;
    size_t report_bytes = 0;
    FILE *stream = open_memstream(&report, &report_bytes);
    if (take_sanitizer_logs(stream)) {
        outcome = FAILED;
        why = "sanitizer report";
    }
    fclose(stream);
    printf("[%s] %s/%s (%lld ms)%s%s\n", tags[outcome], test->suite, test->name,
           (long long)(now_ms() - start_ms), why != NULL ? ": " : "", why != NULL ? why : "");
    if (outcome != PASSED || verbose) {
        copy_output(output);
        fwrite(report, 1, report_bytes, stdout);
        if (outcome == SKIPPED) {
            putchar('\n');
        }
    }
    free(report);
    close(output);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return outcome;
}

int main(int argc, char **argv)
{
    const char *filter = "*";
    bool list = false;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) {
            list = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (strncmp(argv[i], "--filter=", 9) == 0) {
            filter = argv[i] + 9;
        } else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc) {
            filter = argv[++i];
        } else {
            fprintf(stderr, "usage: %s [--list] [--filter GLOB] [--verbose]\n", argv[0]);
            return 2;
        }
    }
    const char *scale = getenv("WT_TIMEOUT_SCALE");
    double timeout_scale = scale != NULL && atof(scale) > 0 ? atof(scale) : 1;
    int counts[3] = {0};
    for (struct wt_test *test = first_test; test != NULL; test = test->next) {
        char name[512];
        snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
        if (fnmatch(filter, name, 0) != 0 || test->options.disabled) {
            continue;
        }
        if (list) {
            puts(name);
            continue;
        }
        counts[run_one(test, timeout_scale, verbose)]++;
    }
    if (list) {
        return 0;
    }
    if (counts[SKIPPED] > 0) {
        printf("%d skipped\n", counts[SKIPPED]);
    }
    printf("%d passed, %d failed\n", counts[PASSED], counts[FAILED]);
    return counts[FAILED] > 0 || counts[PASSED] + counts[SKIPPED] == 0;
}
