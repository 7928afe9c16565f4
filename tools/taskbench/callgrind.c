/* callgrind.c: see callgrind.h. The format of the output is in callgrind's manual, "Callgrind
 * Format Specification": of its lines we need "fn=" (which function what follows belongs to), cost
 * lines (position and cost), "calls=" (whose next line is the cost of a call, which the callee's
 * own lines have already) and "summary:" or "totals:". */
#define _GNU_SOURCE
#include "callgrind.h"
#include "agent.h"
#include "child.h"
#include "mark.h"
#include "measure.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENCE_S    30    /* the longest row takes 2 s on a machine of 2026 */
#define GROWTH_LEAST 0.005 /* instructions per op: less is written as 0.00 */
#define NAMES_MAX    4096  /* functions in one output; those beyond are not named */
#define VERSION_ARG  "valgrind --version 2>/dev/null"

/* --- whether ---------------------------------------------------------------------------------- */

bool tb_callgrind_probe(char version[32], char reason[TB_REASON_MAX])
{
    char line[64] = "";
    snprintf(version, 32, "%s", "");
    reason[0] = '\0';
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    snprintf(reason, TB_REASON_MAX, "this taskbench was built with a sanitizer");
    return false;
#endif
    if (!TB_HAVE_CALLGRIND) {
        snprintf(reason, TB_REASON_MAX, "this taskbench was built without valgrind's header");
        return false;
    }
    FILE *answer = popen(VERSION_ARG, "re");
    if (answer) {
        if (!fgets(line, sizeof line, answer)) {
            line[0] = '\0';
        }
        pclose(answer);
    }
    if (sscanf(line, "valgrind-%31s", version) != 1) {
        snprintf(reason, TB_REASON_MAX, "valgrind is not installed");
        return false;
    }
    return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct output {
    char (*names)[TB_FUNCTION_NAME_MAX]; /* by callgrind's number */
    uint64_t *costs;
    int now; /* the function that cost lines belong to; -1 */
    uint64_t total;
};

/* "(12) name" or "(12)". */
static void enter_function(struct output *o, const char *text)
{
    int id = 0, used = 0;
    o->now = -1;
    if (sscanf(text, "(%d)%n", &id, &used) != 1 || id < 0 || id >= NAMES_MAX) {
        return;
    }
    o->now = id;
    if (text[used] == ' ') {
        snprintf(o->names[id], TB_FUNCTION_NAME_MAX, "%.*s", (int)strcspn(text + used + 1, "\n"),
                 text + used + 1);
    }
}

static void read_line(struct output *o, const char *line, bool *is_call)
{
    uint64_t cost;
    if (strncmp(line, "fn=", 3) == 0) {
        enter_function(o, line + 3);
    } else if (strncmp(line, "calls=", 6) == 0) {
        *is_call = true;
        return;
    } else if (strncmp(line, "totals: ", 8) == 0 || strncmp(line, "summary: ", 9) == 0) {
        sscanf(strchr(line, ' '), "%" SCNu64, &o->total);
    } else if (strncmp(line, "cfn=", 4) == 0 && strchr(line, ' ')) {
        /* a name's first appearance may be as somebody's callee */
        int now = o->now;
        enter_function(o, line + 4);
        o->now = now;
    } else if ((isdigit((unsigned char)line[0]) || line[0] == '+' || line[0] == '-' ||
                line[0] == '*') &&
               sscanf(line, "%*s %" SCNu64, &cost) == 1 && !*is_call && o->now >= 0) {
        o->costs[o->now] += cost;
    }
    *is_call = false;
}

static void keep_dearest(const struct output *o, struct tb_instructions *out)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        int at = out->functions_n;
        if (o->costs[i] == 0 || !o->names[i][0]) {
            continue;
        }
        while (at > 0 && out->functions[at - 1].instructions < (double)o->costs[i]) {
            if (at < TB_FUNCTIONS_MAX) {
                out->functions[at] = out->functions[at - 1];
            }
            at--;
        }
        if (at < TB_FUNCTIONS_MAX) {
            out->functions[at].instructions = (double)o->costs[i];
            memcpy(out->functions[at].name, o->names[i], TB_FUNCTION_NAME_MAX);
            out->functions_n += out->functions_n < TB_FUNCTIONS_MAX;
        }
    }
}

int tb_callgrind_read(FILE *file, struct tb_instructions *out)
{
    struct output o = {.now = -1};
    char line[1024];
    bool is_call = false;
    *out = (struct tb_instructions){0};
    o.names = calloc(NAMES_MAX, sizeof *o.names);
    o.costs = calloc(NAMES_MAX, sizeof *o.costs);
    while (o.names && o.costs && fgets(line, sizeof line, file)) {
        read_line(&o, line, &is_call);
    }
    if (o.names && o.costs) {
        keep_dearest(&o, out);
    }
    free(o.names);
    free(o.costs);
    out->per_op = (double)o.total;
    out->counted = o.total > 0;
    return out->counted ? 0 : -EPROTO;
}

/* --- running ---------------------------------------------------------------------------------- */

/* The environment is the child's alone. Hardware that the libc looks at: both spellings, before
 * glibc 2.33 and since; what a libc does not know it ignores. Without LD_BIND_NOW the first call of
 * each function would look it up, counted. */
#define PLAIN_LIBC                                                                                 \
    "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM," \
    "-AVX_Fast_Unaligned_Load"

static bool run(const char *program, struct tb_row *row, uint64_t rounds, const char *path)
{
    struct tb_plan plan = {.pass = TB_PASS_CALLGRIND, .rounds = rounds};
    struct tb_agent_args args;
    char out_file[160], self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    snprintf(out_file, sizeof out_file, "--callgrind-out-file=%s", path);
    /* a program may be a script that becomes one: hence the children */
    char *argv[TB_AGENT_ARGS + 13] = {"env", PLAIN_LIBC, "LD_BIND_NOW=1",
                                      /* where there is no object, once more does no harm */
                                      row->object ? (char *)row->object : "LD_BIND_NOW=1",
                                      "valgrind", "-q", "--vgdb=no", "--tool=callgrind",
                                      "--instr-atstart=no", "--trace-children=yes", out_file,
                                      program ? (char *)program : self};
    tb_agent_args_write(&args, "agent", row, &plan);
    for (int i = 0; i < args.n; i++) {
        argv[12 + i] = args.text[i];
    }
    return tb_measure_by(row, "env", argv, SILENCE_S);
}

static void refuse(struct tb_instructions *out, const char *why)
{
    out->counted = false;
    snprintf(out->reason, sizeof out->reason, "%s", why);
}

static void collect(struct tb_instructions *out, const struct tb_row *row, const char *path)
{
    FILE *file = fopen(path, "re");
    if (row->status != TB_ROW_OK) {
        refuse(out, row->reason[0] ? row->reason : "it ended badly under callgrind");
    } else if (!file || tb_callgrind_read(file, out) < 0) {
        refuse(out, "callgrind wrote no counts");
    } else {
        double ops = (double)row->ops_per_sample;
        out->per_op /= ops;
        for (int i = 0; i < out->functions_n; i++) {
            out->functions[i].instructions /= ops;
        }
    }
    if (file) {
        fclose(file);
    }
}

bool tb_callgrind_measure(const char *program, const struct tb_row *row, uint64_t rounds,
                          struct tb_instructions *out)
{
    char path[128];
    const char *folder = getenv("TMPDIR");
    *out = (struct tb_instructions){0};
    snprintf(path, sizeof path, "%.90s/taskbench-XXXXXX", folder && folder[0] ? folder : "/tmp");
    int fd = mkostemp(path, O_CLOEXEC);
    struct tb_row *copy = calloc(1, sizeof *copy); /* too large for a thread's stack */
    if (fd < 0 || !copy) {
        refuse(out, fd < 0 ? "no temporary file" : "no memory");
        free(copy);
        return true;
    }
    close(fd);
    *copy = (struct tb_row){
        .load = row->load, .workers = row->workers, .seed = row->seed, .object = row->object};
    memcpy(copy->params, row->params, sizeof copy->params);
    bool finished = run(program, copy, rounds, path);
    if (finished) {
        collect(out, copy, path);
    }
    unlink(path);
    free(copy);
    return finished;
}

/* --- growth ----------------------------------------------------------------------------------- */

/* 0 for a function that was not among the dearest. */
static double former(const struct tb_function *was, int n, const char *name)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(was[i].name, name) == 0) {
            return was[i].instructions;
        }
    }
    return 0;
}

int tb_callgrind_growth(const struct tb_function *was, int n, const struct tb_instructions *now,
                        struct tb_function out[TB_FUNCTIONS_MAX])
{
    int grown = 0;
    for (int i = 0; i < now->functions_n; i++) {
        struct tb_function f = now->functions[i];
        f.instructions -= former(was, n, f.name);
        if (f.instructions < GROWTH_LEAST) {
            continue;
        }
        int at = grown++;
        for (; at > 0 && out[at - 1].instructions < f.instructions; at--) {
            out[at] = out[at - 1];
        }
        out[at] = f;
    }
    return grown;
}
