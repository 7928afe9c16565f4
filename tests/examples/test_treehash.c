/* test_treehash.c: examples/treehash.c as a program, against find, sort and sha256sum. */
#include "program.h"
#include <dirent.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SHA256_OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* What treehash has to print, for any names and without a limit on the command line's length. */
#define REFERENCE "find \"$1\" -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum"

/* --- trees ------------------------------------------------------------------------------------ */

/* In memory if possible: some file systems take milliseconds to make a file. */
static char *tree_new(void)
{
    const char *parent = getenv("TMPDIR");
    if (parent == NULL) {
        parent = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    }
    static char path[4096];
    snprintf(path, sizeof path, "%s/weft-treehash-XXXXXX", parent);
    wt_true(mkdtemp(path) != NULL, "%s: errno %d", path, errno);
    return path;
}

/* By rm, which knows paths longer than PATH_MAX. */
static void tree_remove(const char *path)
{
    struct program rm;
    program_start(&rm, "rm", "-rf", "--", path);
    wt_eq(program_wait(&rm, PROGRAM_PATIENCE_MS), 0, "%s", rm.err.bytes);
    program_free(&rm);
}

static void make_directory(const char *root, const char *name)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", root, name);
    wt_eq(mkdir(path, 0755), 0, "%s: errno %d", path, errno);
}

/* `bytes` of which none follows from its neighbours. */
static void make_file(const char *root, const char *name, size_t bytes)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "wx");
    wt_true(file != NULL, "%s: errno %d", path, errno);
    uint64_t x = bytes + 1;
    for (size_t i = 0; i < bytes; i++) {
        x = x * 6364136223846793005 + 1442695040888963407;
        putc((int)(x >> 56), file);
    }
    wt_eq(fclose(file), 0);
}

static void make_odd_tree(const char *root)
{
    static const char *const names[] = {
        "plain",
        " leading space",
        "trailing space ",
        "two  spaces",
        "tab\there",
        "quote'\"quote",
        "new\nline",
        "\n",
        "return\rhere",
        "back\\slash",
        "\\",
        "both\\and\n",
        "-dash",
        "--help",
        "*?[]",
        "$HOME",
        "\xff\xfe",
        "\xc3\xa9t\xc3\xa9",
        "a",
        "a-b",
        "a.b",
        "a0",
        "A",
        "\x01",
        "#comment",
        "trailing\\",
        "n\\n",
        "~",
        ".hidden",
        "..not-a-parent",
    };
    char longest[256];
    memset(longest, 'n', 255);
    longest[255] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        make_file(root, names[i], i);
    }
    make_file(root, longest, 7);
    make_directory(root, "a b"); /* sorts among the files whose names begin with "a" */
    make_file(root, "a b/inside", 3);
    make_directory(root, "new\nline directory");
    make_file(root, "new\nline directory/file", 5);
    make_directory(root, "back\\slash directory");
    make_file(root, "back\\slash directory/file", 6);
    make_directory(root, "empty directory");
    make_directory(root, "z");
    make_file(root, "z/z", 1);
}

static void make_sizes(const char *root)
{
    static const size_t sizes[] = {0,    1,     55,    56,    63,     64,     4095,
                                   4096, 65535, 65536, 65537, 131072, 131073, 3000000};
    make_directory(root, "sizes");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[64];
        snprintf(name, sizeof name, "sizes/%zu", sizes[i]);
        make_file(root, name, sizes[i]);
    }
}

static void make_what_is_no_file(const char *root)
{
    make_directory(root, "others");
    char path[4096];
    snprintf(path, sizeof path, "%s/others/link-to-file", root);
    wt_eq(symlink("../plain", path), 0);
    snprintf(path, sizeof path, "%s/others/link-to-directory", root);
    wt_eq(symlink("../sizes", path), 0);
    snprintf(path, sizeof path, "%s/others/link-to-parent", root);
    wt_eq(symlink("..", path), 0);
    snprintf(path, sizeof path, "%s/others/link-to-nothing", root);
    wt_eq(symlink("nothing", path), 0);
    snprintf(path, sizeof path, "%s/others/fifo", root);
    wt_eq(mkfifo(path, 0644), 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int written = snprintf(name.sun_path, sizeof name.sun_path, "%s/others/s", root);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (written < (int)sizeof name.sun_path) {
        wt_eq(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    }
    close(fd);
}

static void make_many(const char *root, int directories, int files)
{
    for (int i = 0; i < directories; i++) {
        char name[64];
        snprintf(name, sizeof name, "many-%d", i);
        make_directory(root, name);
        for (int k = 0; k < files; k++) {
            snprintf(name, sizeof name, "many-%d/%d", i, k);
            make_file(root, name, (size_t)(i + k));
        }
    }
}

/* --- runs ------------------------------------------------------------------------------------- */

static void start_in(struct program *program, const char *directory, const char *const *argv)
{
    program_start_with(program, &(struct program_opts){.directory = directory}, argv);
}

/* `root` as it is given to both programs, started in `directory`. */
static void expect_same(const char *directory, const char *root, const char *slots)
{
    struct program ours;
    struct program reference;
    start_in(&ours, directory,
             (const char *const[]){example("treehash"), "-j", slots, "--", root, NULL});
    start_in(&reference, directory, (const char *const[]){"sh", "-c", REFERENCE, "sh", root, NULL});
    wt_eq(program_wait(&reference, PROGRAM_PATIENCE_MS), 0, "%s", reference.err.bytes);
    wt_eq(program_wait(&ours, PROGRAM_PATIENCE_MS), 0, "%s", ours.err.bytes);
    wt_str_eq(ours.err.bytes, "");
    wt_str_eq(ours.out.bytes, reference.out.bytes, "of '%s' with -j %s", root, slots);
    wt_eq(ours.out.used, reference.out.used);
    program_free(&ours);
    program_free(&reference);
}

/* Status and output of `treehash root`. */
static void expect_run(const char *root, int status, const char *out, const char *err_part)
{
    struct program ours;
    program_start(&ours, example("treehash"), root);
    wt_eq(program_wait(&ours, PROGRAM_PATIENCE_MS), status, "%s", ours.err.bytes);
    wt_str_eq(ours.out.bytes, out);
    wt_true(strstr(ours.err.bytes, err_part) != NULL, "stderr: %s", ours.err.bytes);
    program_free(&ours);
}

/* --- equality --------------------------------------------------------------------------------- */

Test(treehash, prints_what_sha256sum_prints)
{
    char *root = tree_new();
    make_odd_tree(root);
    make_sizes(root);
    make_what_is_no_file(root);
    expect_same(NULL, root, "16");
    expect_same(NULL, root, "1");
    expect_same(NULL, root, "2");
    expect_same(NULL, root, "1024");
    tree_remove(root);
}

Test(treehash, names_paths_as_find_does)
{
    char *root = tree_new();
    make_directory(root, "d");
    make_directory(root, "d/s");
    make_file(root, "d/s/file", 10);
    make_file(root, "d/file", 11);
    char link_path[4200];
    snprintf(link_path, sizeof link_path, "%s/link", root);
    wt_eq(symlink("d", link_path), 0);
    static const char *const roots[] = {"d",     "d/",     "d//",    "./d",  "./d/",
                                        "d/.",   "d/s/..", ".",      "./.",  "./",
                                        "link/", "link/.", "d/file", "link", "link/file"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        expect_same(root, roots[i], "4");
    }
    tree_remove(root);
}

Test(treehash, many_thousands_of_files)
{
    char *root = tree_new();
    make_many(root, 50, 100);
    expect_same(NULL, root, "16");
    tree_remove(root);
}

Test(treehash, usr_include)
{
    if (access("/usr/include/stdio.h", R_OK) != 0) {
        wt_skip("no /usr/include here");
    }
    expect_same(NULL, "/usr/include", "16");
}

/* 30 levels of 200 bytes: more than PATH_MAX, which sha256sum cannot open. */
Test(treehash, paths_longer_than_the_system_takes)
{
    enum { LEVELS = 30, BYTES = 200 };
    char *root = tree_new();
    char name[BYTES + 1];
    memset(name, 'd', BYTES);
    name[BYTES] = '\0';
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < LEVELS; i++) {
        wt_eq(mkdirat(fd, name, 0755), 0);
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        wt_ge(next, 0);
        close(fd);
        fd = next;
    }
    int file = openat(fd, "deep", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    wt_ge(file, 0);
    close(file);
    close(fd);

    char expected[16384];
    int used = snprintf(expected, sizeof expected, "%s  %s", SHA256_OF_NOTHING, root);
    for (int i = 0; i < LEVELS; i++) {
        used += snprintf(expected + used, sizeof expected - (size_t)used, "/%s", name);
    }
    snprintf(expected + used, sizeof expected - (size_t)used, "/deep\n");
    expect_run(root, 0, expected, "");
    tree_remove(root);
}

Test(treehash, a_tree_deeper_than_any_stack)
{
    enum { LEVELS = 600 };
    char *root = tree_new();
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < LEVELS; i++) {
        wt_eq(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        wt_ge(next, 0);
        close(fd);
        fd = next;
        int file = openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        wt_ge(file, 0);
        close(file);
    }
    close(fd);
    expect_same(NULL, root, "16");
    tree_remove(root);
}

Test(treehash, nothing_to_do_is_fine)
{
    char *root = tree_new();
    expect_run(root, 0, "", "");
    make_directory(root, "also empty");
    expect_run(root, 0, "", "");
    tree_remove(root);
}

/* --- failures --------------------------------------------------------------------------------- */

/* As root: without the right to read everything. The dropped capabilities are gone after the
 * exec. */
static void give_up_reading_all(void)
{
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
    prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
}

Test(treehash, what_cannot_be_read_is_reported_and_the_rest_is_done)
{
    char *root = tree_new();
    make_file(root, "after", 0);
    make_file(root, "before", 0);
    make_file(root, "between", 0);
    make_directory(root, "closed");
    make_file(root, "closed/unseen", 0);
    char file[4200];
    char directory[4200];
    snprintf(file, sizeof file, "%s/between", root);
    snprintf(directory, sizeof directory, "%s/closed", root);
    wt_eq(chmod(file, 0), 0);
    wt_eq(chmod(directory, 0), 0);

    struct program ours;
    program_start_with(&ours, &(struct program_opts){.before_exec = give_up_reading_all},
                       (const char *const[]){example("treehash"), root, NULL});
    int status = program_wait(&ours, PROGRAM_PATIENCE_MS);
    wt_eq(chmod(directory, 0755), 0);
    if (status == 0) {
        tree_remove(root);
        wt_skip("everything can be read here");
    }
    char expected[16384];
    snprintf(expected, sizeof expected, "%s  %s/after\n%s  %s/before\n", SHA256_OF_NOTHING, root,
             SHA256_OF_NOTHING, root);
    wt_eq(status, 1);
    wt_str_eq(ours.out.bytes, expected);
    wt_eq(lines_in(&ours.err), 2, "stderr: %s", ours.err.bytes);
    wt_true(strstr(ours.err.bytes, "/between: Permission denied\n") != NULL, "stderr: %s",
            ours.err.bytes);
    wt_true(strstr(ours.err.bytes, "/closed: Permission denied\n") != NULL, "stderr: %s",
            ours.err.bytes);
    program_free(&ours);
    tree_remove(root);
}

/* Until the program has `path` open, or has had it: `treehash -j 1` is done with its walk then. */
static void await_open(struct program *program, const char *path)
{
    char directory[64];
    snprintf(directory, sizeof directory, "/proc/%d/fd", (int)program->pid);
    int64_t deadline_ms = now_ms() + scaled(PROGRAM_PATIENCE_MS);
    while (now_ms() < deadline_ms) {
        DIR *fds = opendir(directory);
        const struct dirent *entry;
        while (fds != NULL && (entry = readdir(fds)) != NULL) {
            char name[512];
            char target[4200];
            snprintf(name, sizeof name, "%s/%s", directory, entry->d_name);
            ssize_t n = readlink(name, target, sizeof target - 1);
            if (n > 0 && strncmp(target, path, (size_t)n) == 0 && path[n] == '\0') {
                closedir(fds);
                return;
            }
        }
        wt_true(fds != NULL);
        closedir(fds);
    }
    program_kill(program);
    wt_fail("%s was never opened", path);
}

/* A file of zeros without blocks: long to hash, quick to make. */
static void make_hole(const char *path, off_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    wt_ge(fd, 0);
    wt_eq(ftruncate(fd, bytes), 0);
    close(fd);
}

Test(treehash, a_file_that_vanishes_is_reported_and_the_rest_is_done)
{
    char *root = tree_new();
    char first[4200];
    char vanishing[4200];
    snprintf(first, sizeof first, "%s/first", root);
    snprintf(vanishing, sizeof vanishing, "%s/vanishing", root);
    make_hole(first, (off_t)1 << 28);
    make_file(root, "vanishing", 1);
    make_file(root, "zero", 0);

    struct program ours;
    program_start(&ours, example("treehash"), "-j", "1", root);
    await_open(&ours, first);
    wt_eq(unlink(vanishing), 0);
    wt_eq(program_wait(&ours, PROGRAM_PATIENCE_MS), 1);
    wt_eq(lines_in(&ours.out), 2, "stdout: %s", ours.out.bytes);
    wt_true(strstr(ours.out.bytes, "/first\n" SHA256_OF_NOTHING "  ") != NULL, "stdout: %s",
            ours.out.bytes);
    wt_eq(lines_in(&ours.err), 1, "stderr: %s", ours.err.bytes);
    wt_true(strstr(ours.err.bytes, "/vanishing: No such file or directory\n") != NULL, "stderr: %s",
            ours.err.bytes);
    program_free(&ours);
    tree_remove(root);
}

Test(treehash, a_read_error_is_reported)
{
    expect_run("/proc/self/mem", 1, "", "treehash: /proc/self/mem: Input/output error\n");
}

Test(treehash, a_root_that_is_not_there_is_reported)
{
    expect_run("/nonexistent", 1, "", "treehash: /nonexistent: No such file or directory\n");
    expect_run("/etc/passwd/", 1, "", "treehash: /etc/passwd/: Not a directory\n");
    expect_run("", 1, "", "No such file or directory\n");
}

Test(treehash, an_output_that_takes_nothing_is_reported)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0) {
        wt_skip("no /dev/full here");
    }
    struct program ours;
    program_start_with(&ours, &(struct program_opts){.stdout_fd = full},
                       (const char *const[]){example("treehash"), "/etc/passwd", NULL});
    wt_eq(program_wait(&ours, PROGRAM_PATIENCE_MS), 1);
    wt_str_eq(ours.err.bytes, "treehash: standard output: No space left on device\n");
    program_free(&ours);
    close(full);

    int broken[2];
    wt_eq(pipe2(broken, O_CLOEXEC), 0);
    close(broken[0]);
    program_start_with(&ours, &(struct program_opts){.stdout_fd = broken[1]},
                       (const char *const[]){example("treehash"), "/etc/passwd", NULL});
    wt_eq(program_wait(&ours, PROGRAM_PATIENCE_MS), 1);
    wt_str_eq(ours.err.bytes, "treehash: standard output: Broken pipe\n");
    program_free(&ours);
    close(broken[1]);
}

/* --- command line, progress ------------------------------------------------------------------- */

Test(treehash, a_wrong_usage_is_one_clear_line)
{
    const char *treehash = example("treehash");
    check_usage_error(treehash);
    check_usage_error(treehash, "a", "b");
    check_usage_error(treehash, "-x", "a");
    check_usage_error(treehash, "-j");
    check_usage_error(treehash, "-j", "0", "a");
    check_usage_error(treehash, "-j", "-1", "a");
    check_usage_error(treehash, "-j", "1025", "a");
    check_usage_error(treehash, "-j", "two", "a");
    check_usage_error(treehash, "-j", "", "a");
}

Test(treehash, on_a_terminal_it_shows_progress)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        wt_skip("no terminals here");
    }
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    wt_ge(terminal, 0);
    char *root = tree_new();
    char path[4200];
    snprintf(path, sizeof path, "%s/long", root);
    make_hole(path, (off_t)1 << 40); /* would take minutes: the test ends it */

    struct program ours;
    program_start_with(&ours, &(struct program_opts){.stderr_fd = terminal},
                       (const char *const[]){example("treehash"), root, NULL});
    char shown[256] = "";
    size_t used = 0;
    while (strstr(shown, "0 of 1 files") == NULL && used < sizeof shown - 1) {
        struct pollfd polled = {.fd = master, .events = POLLIN};
        wt_eq(poll(&polled, 1, (int)scaled(PROGRAM_PATIENCE_MS)), 1);
        ssize_t n = read(master, shown + used, sizeof shown - 1 - used);
        wt_gt(n, 0);
        used += (size_t)n;
    }
    kill(ours.pid, SIGTERM);
    wt_eq(program_wait(&ours, PROGRAM_PATIENCE_MS), 128 + SIGTERM);
    wt_true(strstr(shown, "treehash: 0 of 1 files") != NULL, "it showed: %s", shown);
    wt_str_eq(ours.out.bytes, "");
    program_free(&ours);
    close(terminal);
    close(master);
    tree_remove(root);
}
