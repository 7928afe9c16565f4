/* cmd_peers.c: `taskbench peers`: weft beside rivals, as bench/peers of weft's source tree measures
 * it. This command finds the tree, lets `./dev peers` build and measure, interleaved, and shows
 * what came of it. Rivals are programs of other languages and libraries: none of them is part of
 * taskbench. */
#include "child.h"
#include "command.h"
#include "exit.h"
#include "opts.h"
#include "peers.h"
#include "terminal.h"
#include "args.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS_MAX  16
#define UP_MAX    32  /* folders above the working directory that are looked into */
#define SILENCE_S 300 /* building says nothing */
#define MARK      "bench/peers/run"

const char tb_peers_details[] =
    "Builds the programs of bench/peers, in weft's source tree, for weft and for the\n"
    "rivals that are installed, measures them interleaved, and shows medians. Without\n"
    "a part both are measured, which takes some ten minutes. ROW is a row of io.\n"
    "\n"
    "  compute               forks, trees, loops: oneTBB, OpenMP, rayon, Tokio, Go\n"
    "  io                    servers and files: a bare io_uring, a bare epoll, libuv,\n"
    "                        Asio, Tokio, Go, Node\n"
    "  --stored              shows what was measured last, and measures nothing\n"
    "  --dir FOLDER          the source tree; else the working directory's, or one\n"
    "                        above\n"
    "  --rounds N            how often each program is run (compute 5, io 3)\n"
    "  --format table|json|csv|md\n"
    "  -o FILE               the report into FILE\n"
    "  --no-color, --quiet   as for run\n"
    "\n"
    "Exit codes: 0 shown; 2 wrong usage; 3 there is no bench/peers here, or no rival,\n"
    "or nothing was measured; 5 weft's own program failed, or its answers were wrong.\n";

static const char *const formats[] = {"table", "json", "csv", "md", NULL};

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV, FORMAT_MD };

struct options {
    struct tb_args args; /* out, no_color, quiet, help */
    const char *dir;
    bool stored;
    uint64_t rounds;
    int format;
    struct tb_words words;
    bool parts[TB_PEERS_PARTS];
    const char *rows[ROWS_MAX];
    int rows_n;
    char tree[PATH_MAX]; /* where `dev` and bench/peers are */
};

static int complain(int code, const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return code;
}

/* --- what is asked for ------------------------------------------------------------------------ */

/* The words are parts, then rows. */
static int sort_words(struct options *o)
{
    for (int i = 0; i < o->words.n; i++) {
        const char *word = o->words.at[i];
        int part = 0;
        while (part < TB_PEERS_PARTS &&
               strcmp(word, tb_peers_name((enum tb_peers_part_kind)part)) != 0) {
            part++;
        }
        if (part < TB_PEERS_PARTS) {
            o->parts[part] = true;
        } else if (o->rows_n < ROWS_MAX) {
            o->rows[o->rows_n++] = word;
        } else {
            return complain(TB_EXIT_USAGE, "16 rows at most");
        }
    }
    if (o->rows_n > 0 && o->parts[TB_PEERS_COMPUTE]) {
        return complain(TB_EXIT_USAGE, "rows are of io: compute is measured as a whole");
    }
    if (o->rows_n > 0) {
        o->parts[TB_PEERS_IO] = true;
    }
    bool none = !o->parts[TB_PEERS_COMPUTE] && !o->parts[TB_PEERS_IO];
    for (int i = 0; i < TB_PEERS_PARTS && none; i++) {
        o->parts[i] = true;
    }
    return TB_EXIT_OK;
}

static int parse(struct options *o, int argc, char **argv)
{
    char error[TB_OPTS_ERROR_MAX];
    const struct tb_opt table[] = {
        {.name = "--dir", .kind = TB_OPT_TEXT, .value = &o->dir},
        {.name = "--stored", .kind = TB_OPT_FLAG, .value = &o->stored},
        {.name = "--rounds", .kind = TB_OPT_COUNT, .value = &o->rounds, .least = 1, .most = 99},
        {.name = "--format", .kind = TB_OPT_CHOICE, .value = &o->format, .choices = formats},
        {.name = "-o", .kind = TB_OPT_TEXT, .value = &o->args.out},
        {.name = "--no-color", .kind = TB_OPT_FLAG, .value = &o->args.no_color},
        {.name = "--quiet", .kind = TB_OPT_FLAG, .value = &o->args.quiet},
        {.name = "--help", .kind = TB_OPT_FLAG, .value = &o->args.help},
        {.name = "-h", .kind = TB_OPT_FLAG, .value = &o->args.help},
        {.name = NULL},
    };
    if (tb_opts_parse(table, argc, argv, &o->words, error) < 0) {
        return complain(TB_EXIT_USAGE, error);
    }
    return sort_words(o);
}

/* --- the source tree -------------------------------------------------------------------------- */

static bool is_tree(const char *folder)
{
    char path[PATH_MAX + sizeof MARK];
    snprintf(path, sizeof path, "%s/" MARK, folder);
    return access(path, X_OK) == 0;
}

static bool find_tree(struct options *o)
{
    if (!realpath(o->dir ? o->dir : ".", o->tree)) {
        return false;
    }
    for (int up = 0; up < UP_MAX; up++) {
        if (is_tree(o->tree)) {
            return true;
        }
        char *slash = strrchr(o->tree, '/');
        if (o->dir || slash == o->tree || !slash) {
            return false;
        }
        *slash = '\0';
    }
    return false;
}

/* --- measuring -------------------------------------------------------------------------------- */

struct listener {
    struct tb_child child;
    char said[sizeof((struct tb_child){0}.last_words)];
    bool quiet;
};

static void on_line(void *arg, const char *line)
{
    (void)arg, (void)line; /* the scripts know of no wire */
}

static void on_tick(void *arg)
{
    struct listener *l = arg;
    if (!l->quiet && strncmp(l->child.last_words, "peers: ", 7) == 0 &&
        strcmp(l->said, l->child.last_words) != 0) {
        memcpy(l->said, l->child.last_words, sizeof l->said);
        fprintf(stderr, "%s\n", l->said);
    }
}

static int judge_child(const struct tb_child *child)
{
    if (child->end == TB_CHILD_INTERRUPTED) {
        return TB_EXIT_SIGNAL + tb_interrupted();
    }
    if (child->end == TB_CHILD_EXITED && child->code == 0) {
        return TB_EXIT_OK;
    }
    bool spoke = child->end == TB_CHILD_EXITED && child->last_words[0];
    fprintf(stderr, "taskbench: bench/peers failed: %s\n",
            spoke                           ? child->last_words
            : child->end == TB_CHILD_SILENT ? "it hung"
            : child->end == TB_CHILD_FAILED ? strerror(-child->code)
                                            : "it died");
    return child->end != TB_CHILD_EXITED                                  ? TB_EXIT_NOTHING
           : child->code == TB_EXIT_USAGE || child->code == TB_EXIT_WRONG ? child->code
                                                                          : TB_EXIT_NOTHING;
}

static int measure(const struct options *o, enum tb_peers_part_kind kind)
{
    char program[PATH_MAX + 8], rounds[16];
    char *argv[ROWS_MAX + 8];
    int n = 0;
    snprintf(program, sizeof program, "%s/dev", o->tree);
    snprintf(rounds, sizeof rounds, "%u", (unsigned)o->rounds);
    argv[n++] = program;
    argv[n++] = (char *)"peers";
    argv[n++] = (char *)tb_peers_name(kind);
    if (o->rounds > 0) {
        argv[n++] = rounds;
    }
    for (int i = 0; i < o->rows_n; i++) {
        argv[n++] = (char *)o->rows[i];
    }
    argv[n] = NULL;
    struct listener l = {.quiet = o->args.quiet,
                         .child = {.program = program,
                                   .argv = argv,
                                   .silence_s = SILENCE_S,
                                   .line = on_line,
                                   .tick = on_tick}};
    l.child.arg = &l;
    tb_child_run(&l.child);
    return judge_child(&l.child);
}

/* --- showing ---------------------------------------------------------------------------------- */

static int load(const struct options *o, struct tb_peers_part *part, enum tb_peers_part_kind kind)
{
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", o->tree, tb_peers_path(kind));
    int rc = tb_peers_load(part, kind, path);
    if (rc == -ENOENT) {
        snprintf(part->error, sizeof part->error,
                 "%s has not been measured in '%.200s'; leave --stored out", part->name, o->tree);
    }
    return rc < 0 ? complain(TB_EXIT_NOTHING, part->error) : TB_EXIT_OK;
}

static void show_part(const struct options *o, const struct tb_peers_part *part,
                      const struct tb_peers_rows *rows, FILE *out)
{
    if (o->format == FORMAT_TABLE) {
        tb_peers_table(part, rows, out, !o->args.out && tb_may_color(&o->args));
    } else if (o->format == FORMAT_MD) {
        tb_peers_md(part, rows, out);
    } else {
        tb_peers_csv(part, rows, out);
    }
}

static int show(const struct options *o, const struct tb_peers_part *parts, int n,
                const struct tb_peers_rows *rows)
{
    FILE *out = o->args.out ? fopen(o->args.out, "we") : stdout;
    if (!out) {
        fprintf(stderr, "taskbench: cannot write '%s': %s\n", o->args.out, strerror(errno));
        return TB_EXIT_USAGE;
    }
    if (o->format == FORMAT_CSV) {
        fputs("part,row,program,metric,value\n", out);
    }
    for (int i = 0; i < n && o->format != FORMAT_JSON; i++) {
        show_part(o, &parts[i], rows, out);
    }
    if (o->format == FORMAT_JSON) {
        tb_peers_json(parts, n, rows, out);
    }
    bool whole = fflush(out) == 0 && !ferror(out);
    whole = (out == stdout || fclose(out) == 0) && whole;
    return whole ? TB_EXIT_OK : complain(TB_EXIT_NOTHING, "the report could not be written");
}

static bool has_rows(const struct tb_peers_part *parts, int n, const struct tb_peers_rows *rows)
{
    int with_rows = 0;
    for (int i = 0; i < n; i++) {
        with_rows += tb_peers_rivals(&parts[i], rows) >= 0;
    }
    return with_rows == n;
}

/* Which rivals are missing is said; that none is there makes the result worthless. */
static int judge_rivals(const struct tb_peers_part *parts, int n, const struct tb_peers_rows *rows)
{
    int rivals = 0;
    for (int i = 0; i < n; i++) {
        rivals += tb_peers_rivals(&parts[i], rows);
        const struct tb_value *missing = tb_member(parts[i].doc.root, "missing");
        if (missing && missing->kind == TB_ARRAY && missing->first) {
            fprintf(stderr, "taskbench: %s: not installed here:", parts[i].name);
            for (const struct tb_value *m = missing->first; m; m = m->next) {
                fprintf(stderr, "%s %s", m == missing->first ? "" : ",",
                        m->kind == TB_TEXT ? m->text : "?");
            }
            fputc('\n', stderr);
        }
    }
    return rivals > 0 ? TB_EXIT_OK
                      : complain(TB_EXIT_NOTHING,
                                 "no rival is installed here: weft was compared with none");
}

int tb_cmd_peers(int argc, char **argv)
{
    static struct options o;
    struct tb_peers_part parts[TB_PEERS_PARTS];
    int n = 0;
    tb_open_standard_streams();
    int rc = parse(&o, argc, argv);
    if (rc == TB_EXIT_OK && o.args.help) {
        return tb_cmd_help(2, (char *[]){NULL, argv[0], NULL});
    }
    if (rc == TB_EXIT_OK && !find_tree(&o)) {
        rc = complain(TB_EXIT_NOTHING,
                      "no " MARK " here: it is in weft's source tree; --dir says where that is");
    }
    tb_catch_signals();
    for (int kind = 0; kind < TB_PEERS_PARTS && rc == TB_EXIT_OK; kind++) {
        if (o.parts[kind]) {
            rc = o.stored ? TB_EXIT_OK : measure(&o, (enum tb_peers_part_kind)kind);
            rc = rc ? rc : load(&o, &parts[n++], (enum tb_peers_part_kind)kind);
        }
    }
    struct tb_peers_rows rows = {o.rows, o.rows_n};
    if (rc == TB_EXIT_OK && !has_rows(parts, n, &rows)) {
        rc = complain(TB_EXIT_NOTHING, "no such row was measured");
    }
    if (rc == TB_EXIT_OK) {
        rc = show(&o, parts, n, &rows);
        rc = rc ? rc : judge_rivals(parts, n, &rows);
    }
    for (int i = 0; i < n; i++) {
        tb_peers_free(&parts[i]);
    }
    return rc;
}
