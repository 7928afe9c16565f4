/* test_conformance.c: one script of I/O, whose transcript is the same byte for byte on io_uring, on
 * epoll, where io_uring is forbidden, and on kernels that lack a feature: each of those that weft
 * could miss is hidden in turn, whether weft knows it or not.
 *
 * Each run is a process of its own, which hides something and then runs the script (conformance.h).
 * A hidden operation is refused both by the probe and by the kernel, as an old kernel does. */
#define _GNU_SOURCE
#include "tests/unit/io/conformance.h"
#include "io/uring_ring.h"
#include "pool/base/sys.h"
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* --- what a kernel may lack ------------------------------------------------------------------- */

static struct wf_sys honest;
static void *(*honest_map)(int fd, size_t bytes, uint64_t offset);

static unsigned hidden_mode;     /* IORING_SETUP_* */
static unsigned hidden_features; /* IORING_FEAT_* */
static int hidden_register = -1; /* IORING_REGISTER_* */
static bool hidden_codes[256];   /* IORING_OP_* */
/* Entries that use what is hidden of an operation; NULL: nothing is. */
static bool (*hides_entry)(const struct io_uring_sqe *entry);
static int entries_hidden;

/* The last ring that was mapped: that of the one worker, since the probe's comes earlier. */
static struct {
    struct io_uring_params params;
    char *queue;
    struct io_uring_sqe *entries;
} mapped;

static int setup_without(unsigned entries, void *params)
{
    struct io_uring_params *p = params;
    if ((p->flags & hidden_mode) != 0) {
        return -EINVAL;
    }
    int fd = honest.uring_setup(entries, params);
    p->features &= ~hidden_features;
    mapped.params = *p;
    return fd;
}

static int register_without(int fd, unsigned opcode, void *arg, unsigned count)
{
    if ((int)opcode == hidden_register) {
        return -EINVAL;
    }
    int rc = honest.uring_register(fd, opcode, arg, count);
    struct io_uring_probe *probe = arg;
    for (int code = 0; rc >= 0 && opcode == IORING_REGISTER_PROBE && code < probe->ops_len;
         code++) {
        probe->ops[code].flags &=
            hidden_codes[code] ? (uint16_t)~IO_URING_OP_SUPPORTED : UINT16_MAX;
    }
    return rc;
}

static void *map_and_note(int fd, size_t bytes, uint64_t offset)
{
    void *memory = honest_map(fd, bytes, offset);
    if (offset == IORING_OFF_SQES) {
        mapped.entries = memory;
    } else if (offset == IORING_OFF_SQ_RING) {
        mapped.queue = memory;
    }
    return memory;
}

static uint32_t queue_word(uint32_t offset)
{
    return __atomic_load_n((uint32_t *)(void *)(mapped.queue + offset), __ATOMIC_ACQUIRE);
}

/* Entries that the kernel would not know become ones that it does not know. */
static int enter_without(int fd, unsigned submit, unsigned min_complete, unsigned flags, void *arg,
                         size_t arg_bytes)
{
    uint32_t tail = queue_word(mapped.params.sq_off.tail);
    for (uint32_t i = queue_word(mapped.params.sq_off.head); i != tail; i++) {
        struct io_uring_sqe *entry = &mapped.entries[i & (mapped.params.sq_entries - 1)];
        if (hidden_codes[entry->opcode] || (hides_entry != NULL && hides_entry(entry))) {
            entry->opcode = UINT8_MAX;
            entries_hidden++;
        }
    }
    return honest.uring_enter(fd, submit, min_complete, flags, arg, arg_bytes);
}

static void hide(void)
{
    honest = wf_sys;
    honest_map = wf_ring_map;
    wf_sys.uring_setup = setup_without;
    wf_sys.uring_register = register_without;
    wf_sys.uring_enter = enter_without;
    wf_ring_map = map_and_note;
}

/* From now on io_uring's calls from `first` to `last` give `error`. */
static void forbid(int first, int last, unsigned error, unsigned flags)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (unsigned)first, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (unsigned)last, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) != 0) {
        _exit(77);
    }
}

/* --- a run ------------------------------------------------------------------------------------ */

struct run {
    const char *name;
    const char *io;      /* NULL: auto */
    int workers;         /* 0: 1 */
    void (*hide)(void);  /* in the child, before the runtime starts */
    const char *reports; /* what the runtime's report has to say; NULL: anything */
    int lines;           /* on stderr, about the choice */
    bool starts_only;    /* without the script */
};

struct outcome {
    int status;
    char *transcript;
    size_t bytes;
    char said[4096]; /* on stderr */
};

static size_t take(int fd, char *text, size_t bytes)
{
    size_t used = 0;
    ssize_t n;
    while (used + 1 < bytes && (n = pread(fd, text + used, bytes - 1 - used, (off_t)used)) > 0) {
        used += (size_t)n;
    }
    text[used] = '\0';
    close(fd);
    return used;
}

static int run_in_child(const struct run *run, int out)
{
    unsetenv("WEFT_IO");
    if (run->hide != NULL) {
        run->hide();
    }
    weft_rt *rt;
    int rc = weft_rt_start(
        &rt, &(weft_rt_opts){.workers = run->workers > 0 ? run->workers : 1, .io = run->io});
    if (rc < 0) {
        return -rc;
    }
    char report[256];
    weft_rt_report(rt, report, sizeof report);
    if (run->reports != NULL && strstr(report, run->reports) == NULL) {
        fprintf(stderr, "the report has no \"%s\": %s\n", run->reports, report);
        return 201;
    }
    if (!run->starts_only) {
        rc = weft_call(rt, run_script, NULL);
    }
    weft_rt_free(rt);
    if (run->hide == hide && hides_entry != NULL && entries_hidden == 0) {
        fprintf(stderr, "what is hidden has not been used\n");
        return 203;
    }
    return rc != 0 || write(out, transcript, transcript_used) != (ssize_t)transcript_used ? 202 : 0;
}

static struct outcome perform(const struct run *run)
{
    struct outcome outcome = {.transcript = malloc(TRANSCRIPT_MAX)};
    /* With something hidden, on a file system in memory, where nothing is waited for, if there is
     * one. */
    bool in_memory = run->hide == hide && access("/dev/shm", W_OK) == 0;
    (void)snprintf(folder, sizeof folder, "%s/weft-test-XXXXXX", in_memory ? "/dev/shm" : "/tmp");
    wt_true(mkdtemp(folder) != NULL);
    int out = memfd_create("transcript", MFD_CLOEXEC);
    int said = memfd_create("stderr", MFD_CLOEXEC);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(said, STDERR_FILENO);
        _exit(run_in_child(run, out));
    }
    wt_gt(pid, 0);
    wt_eq(waitpid(pid, &outcome.status, 0), pid);
    outcome.bytes = take(out, outcome.transcript, TRANSCRIPT_MAX);
    take(said, outcome.said, sizeof outcome.said);
    char *names[] = {"file", "values", "socket"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(path_of(names[i]));
    }
    wt_eq(rmdir(folder), 0, "%s has more files than these", folder);
    return outcome;
}

static int count(const char *text, const char *part)
{
    int n = 0;
    while ((text = strstr(text, part)) != NULL) { /* ends: the text does */
        text += strlen(part);
        n++;
    }
    return n;
}

static void check_ended(const struct run *run, const struct outcome *outcome)
{
    wt_true(WIFEXITED(outcome->status) && WEXITSTATUS(outcome->status) == 0,
            "%s: status %#x, stderr: %s", run->name, outcome->status, outcome->said);
    wt_eq(count(outcome->said, "weft: I/O by "), run->lines, "%s: %s", run->name, outcome->said);
}

/* Prints where the two part, for a person. */
static void check_equal(const struct run *run, const struct outcome *got,
                        const struct outcome *expected)
{
    if (got->bytes == expected->bytes &&
        memcmp(got->transcript, expected->transcript, got->bytes) == 0) {
        return;
    }
    size_t at = 0;
    size_t line = 0;
    while (got->transcript[at] == expected->transcript[at]) { /* ends: they differ */
        line = got->transcript[at++] == '\n' ? at : line;
    }
    wt_fail("%s:\n  %.*s\nelsewhere:\n  %.*s\n", run->name,
            (int)strcspn(got->transcript + line, "\n"), got->transcript + line,
            (int)strcspn(expected->transcript + line, "\n"), expected->transcript + line);
}

/* What io_uring gives with all it has; where there is none, what epoll gives. */
static const struct outcome *reference(void)
{
    static struct outcome outcome;
    if (outcome.transcript == NULL) {
        const struct run run = {.name = "io_uring", .io = "uring", .reports = "io_uring"};
        const struct run instead = {.name = "epoll", .io = "epoll", .reports = "epoll"};
        outcome = perform(&run);
        if (WIFEXITED(outcome.status) &&
            (WEXITSTATUS(outcome.status) == ENOSYS || WEXITSTATUS(outcome.status) == EPERM)) {
            free(outcome.transcript);
            outcome = perform(&instead);
            check_ended(&instead, &outcome);
            return &outcome;
        }
        check_ended(&run, &outcome);
        if (getenv("WT_TRANSCRIPT") != NULL) {
            fputs(outcome.transcript, stderr);
        }
    }
    return &outcome;
}

static bool has_uring(void)
{
    struct io_uring_params params = {.flags = IORING_SETUP_R_DISABLED};
    int fd = wf_sys.uring_setup(4, &params);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static void check(const struct run *run)
{
    const struct outcome *expected = reference();
    struct outcome got = perform(run);
    if (WIFEXITED(got.status) && WEXITSTATUS(got.status) == 77) {
        wt_skip("no seccomp filters here");
    }
    check_ended(run, &got);
    check_equal(run, &got, expected);
    free(got.transcript);
}

static void check_with_uring(const struct run *run)
{
    if (!has_uring()) {
        wt_skip("no io_uring here");
    }
    check(run);
}

/* --- the backends ----------------------------------------------------------------------------- */

Test(conformance, the_transcript_is_long_enough_to_prove_something)
{
    const struct outcome *outcome = reference();
    wt_gt(count(outcome->transcript, "\n"), 300);
    wt_eq(count(outcome->transcript, "descriptors left open: 0\n"),
          (int)(sizeof sections / sizeof *sections));
    wt_eq(count(outcome->transcript, "in flight: 0\n"), 1);
}

Test(conformance, epoll_gives_the_same_as_io_uring)
{
    check(&(struct run){.name = "epoll", .io = "epoll", .reports = "I/O by epoll,"});
}

Test(conformance, several_workers_give_the_same_as_one)
{
    check_with_uring(&(struct run){.name = "io_uring, 3 workers", .io = "uring", .workers = 3});
    check(&(struct run){.name = "epoll, 3 workers", .io = "epoll", .workers = 3});
}

/* --- io_uring is forbidden -------------------------------------------------------------------- */

static void forbid_all_eperm(void)
{
    forbid(SYS_io_uring_setup, SYS_io_uring_register, EPERM, 0);
}

static void forbid_all_enosys(void)
{
    forbid(SYS_io_uring_setup, SYS_io_uring_register, ENOSYS, 0);
}

static void forbid_enter(void)
{
    forbid(SYS_io_uring_enter, SYS_io_uring_enter, EPERM, 0);
}

static void forbid_register(void)
{
    forbid(SYS_io_uring_register, SYS_io_uring_register, EPERM, 0);
}

Test(conformance, where_io_uring_is_forbidden_the_same)
{
    check(&(struct run){.name = "EPERM",
                        .hide = forbid_all_eperm,
                        .reports = "I/O by epoll (io_uring_setup: EPERM)",
                        .lines = 1});
}

Test(conformance, where_io_uring_is_unknown_the_same)
{
    check(&(struct run){.name = "ENOSYS",
                        .hide = forbid_all_enosys,
                        .reports = "I/O by epoll (io_uring_setup: ENOSYS)",
                        .lines = 1});
}

Test(conformance, where_rings_can_be_made_but_not_entered_the_same)
{
    check_with_uring(&(struct run){.name = "no io_uring_enter",
                                   .hide = forbid_enter,
                                   .reports = "I/O by epoll (io_uring_enter: EPERM)",
                                   .lines = 1});
}

Test(conformance, where_rings_can_be_made_but_nothing_registered_the_same)
{
    check_with_uring(&(struct run){.name = "no io_uring_register",
                                   .hide = forbid_register,
                                   .reports = "I/O by epoll (io_uring_register: EPERM)",
                                   .lines = 1});
}

/* After the start there is no way back: buffers are with the kernel. */
static int forbid_late(void *arg)
{
    (void)arg;
    int ends[2];
    char byte;
    make_pair(ends, SOCK_STREAM);
    weft_task task;
    start(&task, do_recv, .fd = ends[0], .buffer = &byte, .bytes = 1);
    let_it_wait();
    forbid(SYS_io_uring_enter, SYS_io_uring_enter, EPERM, SECCOMP_FILTER_FLAG_TSYNC);
    (void)weft_send(ends[1], "x", 1, 0);
    return weft_await(&task);
}

Test(conformance, a_filter_that_comes_after_the_start_ends_the_process_with_a_message)
{
    if (!has_uring()) {
        wt_skip("no io_uring here");
    }
    int said = memfd_create("stderr", MFD_CLOEXEC);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(said, STDERR_FILENO);
        _exit(weft_run(forbid_late, NULL, .workers = 2, .io = "uring") == 0 ? 0 : 1);
    }
    int status;
    char text[4096];
    wt_eq(waitpid(pid, &status, 0), pid);
    take(said, text, sizeof text);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        wt_skip("no seccomp filters here");
    }
    wt_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x: %s", status, text);
    wt_true(strstr(text, "io_uring_enter was refused (EPERM) after the runtime had started") !=
                NULL,
            "%s", text);
}

/* --- a kernel that lacks something ------------------------------------------------------------ */

static void check_mode(const char *name, unsigned mode)
{
    hidden_mode = mode;
    check_with_uring(&(struct run){.name = name,
                                   .hide = hide,
                                   .reports = "I/O by epoll (io_uring_setup: EINVAL)",
                                   .lines = 1});
    hidden_mode = 0;
}

Test(conformance, without_a_mode_of_the_ring_epoll_and_the_same)
{
    check_mode("no DEFER_TASKRUN", IORING_SETUP_DEFER_TASKRUN);
    check_mode("no SINGLE_ISSUER", IORING_SETUP_SINGLE_ISSUER);
    check_mode("no TASKRUN_FLAG", IORING_SETUP_TASKRUN_FLAG);
    check_mode("no R_DISABLED", IORING_SETUP_R_DISABLED);
    check_mode("no SUBMIT_ALL", IORING_SETUP_SUBMIT_ALL);
}

static void check_feature(const char *name, unsigned feature)
{
    hidden_features = feature;
    check_with_uring(&(struct run){.name = name,
                                   .hide = hide,
                                   .reports = "I/O by epoll (io_uring_setup: EOPNOTSUPP)",
                                   .lines = 1});
    hidden_features = 0;
}

Test(conformance, without_a_feature_of_the_ring_epoll_and_the_same)
{
    check_feature("no SINGLE_MMAP", IORING_FEAT_SINGLE_MMAP);
    check_feature("no NODROP", IORING_FEAT_NODROP);
    check_feature("no EXT_ARG", IORING_FEAT_EXT_ARG);
}

/* Of any operation whatever, also those that weft does not use: it takes epoll, or does without. */
Test(conformance, without_any_one_operation_the_same, .timeout = 120)
{
    if (!has_uring()) {
        wt_skip("no io_uring here");
    }
    bool needed[IORING_OP_LAST] = {false};
    int last = -1;
    for (int code = 0; code < IORING_OP_LAST; code++) {
        struct run run = {.name = "no such operation", .hide = hide, .starts_only = true};
        hidden_codes[code] = true;
        struct outcome got = perform(&run);
        hidden_codes[code] = false;
        needed[code] = count(got.said, "weft: I/O by epoll: ") > 0;
        run.lines = needed[code];
        check_ended(&run, &got);
        free(got.transcript);
        last = needed[code] ? code : last;
    }
    wt_ge(last, 0);
    hidden_codes[last] = true;
    check(&(struct run){.name = "without one that it needs",
                        .hide = hide,
                        .reports = "I/O by epoll (io_uring_register: EOPNOTSUPP)",
                        .lines = 1});
    for (int code = 0; code < 256; code++) {
        hidden_codes[code] = code >= IORING_OP_LAST || !needed[code];
    }
    check(&(struct run){
        .name = "without all that it does not need", .hide = hide, .reports = "I/O by io_uring"});
}

static bool accepts_many(const struct io_uring_sqe *entry)
{
    return entry->opcode == IORING_OP_ACCEPT && (entry->ioprio & IORING_ACCEPT_MULTISHOT) != 0;
}

Test(conformance, without_accepts_of_many_connections_the_same)
{
    hides_entry = accepts_many;
    check_with_uring(
        &(struct run){.name = "no multishot accept", .hide = hide, .reports = "I/O by io_uring"});
    hides_entry = NULL;
}

static void check_register(const char *name, int opcode, const char *reports)
{
    hidden_register = opcode;
    check_with_uring(&(struct run){
        .name = name, .hide = hide, .reports = reports, .lines = strstr(reports, "epoll") != NULL});
    hidden_register = -1;
}

Test(conformance, without_a_registration_the_same)
{
    static const char epoll[] = "I/O by epoll (io_uring_register: EINVAL)";
    check_register("no probe", IORING_REGISTER_PROBE, epoll);
    check_register("no restrictions", IORING_REGISTER_RESTRICTIONS, epoll);
    check_register("no enabling", IORING_REGISTER_ENABLE_RINGS, epoll);
    check_register("no limit on io-wq", IORING_REGISTER_IOWQ_MAX_WORKERS, "I/O by io_uring");
    check_register("no registered rings", IORING_REGISTER_RING_FDS, "I/O by io_uring");
    check_register("no rings of buffers", IORING_REGISTER_PBUF_RING, "I/O by io_uring");
}
