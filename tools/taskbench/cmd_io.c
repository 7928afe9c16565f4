/* cmd_io.c: `taskbench io`: blocks of a file by weft, and by fio in turn. */
#include "child.h"
#include "command.h"
#include "disk.h"
#include "exit.h"
#include "sheet.h"
#include "usage.h"
#include <stdlib.h>
#include <string.h>
#include <weft/debug.h>

const char tb_io_details[] =
    "Reads or writes a file in blocks, and checks what was read or written.\n"
    "\n"
    "  --bs BYTES     of a block, a multiple of 512 (4k)\n"
    "  --depth N      blocks at a time, a task for each (16)\n"
    "  --direct       past the page cache (O_DIRECT)\n"
    "  --file PATH    made if it is not there, and then removed; one that is there is\n"
    "                 read only. Without it one in TMPDIR\n"
    "  --size BYTES   of the file that is made (64m)\n"
    "  --seconds S    of each kind (3), in ten slices\n"
    "  --workers N    (1)\n"
    "  --vs-fio       after each slice the same job by fio; ref is weft's time per\n"
    "                 block divided by fio's\n"
    "  --seed N       of the places (1)\n" TB_SHEET_HELP "\n"
    "Exit codes: as 'taskbench run'; 3 also: --vs-fio without fio.\n";

#define SLICES 10

struct session {
    struct tb_sheet sheet;
    struct tb_disk disk; /* options */
    struct tb_words words;
    double seconds;
    bool vs_fio;
    char fio[32]; /* version */
};

static const char *const kinds[] = {"randread", "seqread", "seqwrite", NULL};

#define IO_LOAD(kind)                                                                            \
    {                                                                                            \
        .name = "io/" kind, .group = "io", .op = "block", .reference_name = "fio",               \
        .params = {                                                                              \
            {.key = "bs"}, {.key = "depth"}, {.key = "direct"}, {.key = "size"}, {.key = NULL}}, \
    }

static const struct tb_load loads[] = {IO_LOAD("randread"), IO_LOAD("seqread"),
                                       IO_LOAD("seqwrite")};

static int complain(int code, const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return code;
}

/* --- the command line ------------------------------------------------------------------------- */

static int parse(struct session *s, int argc, char **argv)
{
    static uint64_t workers = 1;
    struct tb_disk *d = &s->disk;
    const struct tb_opt table[] = {
        {.name = "--bs",
         .kind = TB_OPT_BYTES,
         .value = &d->bs,
         .least = 512,
         .most = TB_DISK_BS_MAX},
        {.name = "--depth",
         .kind = TB_OPT_COUNT,
         .value = &d->depth,
         .least = 1,
         .most = TB_DISK_DEPTH_MAX},
        {.name = "--direct", .kind = TB_OPT_FLAG, .value = &d->direct},
        {.name = "--file", .kind = TB_OPT_TEXT, .value = &d->file},
        {.name = "--size", .kind = TB_OPT_BYTES, .value = &d->size, .least = 4096, .most = 1e12},
        {.name = "--vs-fio", .kind = TB_OPT_FLAG, .value = &s->vs_fio},
        TB_LOAD_OPTS(&s->sheet, &s->seconds, &workers),
        TB_SHEET_OPTS(&s->sheet),
        {.name = NULL},
    };
    s->seconds = 3;
    *d = (struct tb_disk){.bs = 4096, .depth = 16, .size = 64 << 20, .fd = -1};
    int rc = tb_sheet_parse(&s->sheet, table, argc, argv, &s->words);
    d->workers = (int)workers;
    d->seed = s->sheet.args.seed;
    return rc;
}

static int check(struct session *s)
{
    char text[100];
    if (s->words.n == 0) {
        return complain(TB_EXIT_USAGE, "io needs randread, seqread or seqwrite");
    }
    for (int i = 0; i < s->words.n; i++) {
        if (tb_choice_of(kinds, s->words.at[i]) < 0) {
            snprintf(text, sizeof text, "io knows randread, seqread and seqwrite, not '%.40s'",
                     s->words.at[i]);
            return complain(TB_EXIT_USAGE, text);
        }
    }
    if (s->disk.bs % 512 != 0) {
        return complain(TB_EXIT_USAGE, "--bs is a multiple of 512");
    }
    if (s->vs_fio && !tb_fio_version(s->fio)) {
        return complain(TB_EXIT_NOTHING,
                        "--vs-fio needs fio, which is not installed (apt-get install fio)");
    }
    return 0;
}

/* --- a row ------------------------------------------------------------------------------------ */

static void fail(struct tb_row *row, const char *reason)
{
    row->status = TB_ROW_WRONG;
    snprintf(row->reason, sizeof row->reason, "%s", reason);
}

/* weft's slice and fio's are neighbours in time: their quotient outlives the machine's mood. false:
 * the row is over. */
static bool take_slice(struct session *s, struct tb_disk *disk, struct tb_row *row, double *fio_p99)
{
    uint64_t slice_ns = (uint64_t)(s->seconds * 1e9 / SLICES), blocks = 0;
    bool uring = strcmp(s->sheet.machine.backend, "uring") == 0;
    double ns = tb_disk_slice(disk, slice_ns, &blocks), other = 0;
    if (ns >= 0 && s->vs_fio && !tb_interrupted()) {
        other = tb_fio_slice(disk, slice_ns, uring, fio_p99);
    }
    if (tb_interrupted()) {
        return false; /* half a slice is none */
    }
    if (ns < 0 || other < 0) {
        fail(row, disk->reason);
        return false;
    }
    row->ns_per_op[row->samples_n] = ns;
    row->reference_ns[row->samples_n++] = other;
    row->ops_per_sample = blocks ? blocks : 1;
    row->counted_ops += blocks;
    return true;
}

static void put_metrics(const struct tb_disk *disk, struct tb_row *row, double fio_p99)
{
    struct tb_summary time;
    if (tb_summarize(row->ns_per_op, row->samples_n, &time) < 0) {
        return;
    }
    tb_row_metric(row, "throughput", "MiB/s", (double)disk->bs / (1 << 20) / (time.median * 1e-9));
    tb_row_metric(row, "p50", "ns", (double)tb_hist_at(&disk->latency, 0.5));
    tb_row_metric(row, "p99", "ns", (double)tb_hist_at(&disk->latency, 0.99));
    tb_row_metric(row, "max", "ns", (double)disk->latency.max);
    if (fio_p99 > 0) {
        tb_row_metric(row, "fio_p99", "ns", fio_p99);
    }
    row->latency[0].name = "service";
    row->latency[0].hist = &disk->latency;
    row->latency_n = 1;
}

static void take_slices(struct session *s, struct tb_disk *disk, struct tb_row *row)
{
    weft_stats before, after;
    uint64_t blocks;
    double fio_p99 = 0;
    weft_stats_get(disk->rt, &before);
    /* the first warms up, and is not shown */
    if (tb_disk_slice(disk, (uint64_t)(s->seconds * 1e9 / SLICES), &blocks) < 0) {
        fail(row, disk->reason);
        return;
    }
    disk->latency = (struct tb_hist){.n = 0};
    for (int i = 0; i < SLICES && take_slice(s, disk, row, &fio_p99); i++) {
        tb_progress_part(&s->sheet.progress, row, (double)(i + 1) / SLICES);
    }
    weft_stats_get(disk->rt, &after);
    row->total = after;
    for (const struct tb_counter *c = tb_counters; c->name; c++) {
        *tb_counter_in(c, &row->growth) = *tb_counter_in(c, &after) - *tb_counter_in(c, &before);
    }
    row->counted_ops += row->counted_ops == 0;
    snprintf(row->uncounted, sizeof row->uncounted, "io does not count; 'run read' does");
    put_metrics(disk, row, fio_p99);
}

static void measure_word(void *arg, const char *word)
{
    struct session *s = arg;
    enum tb_disk_kind kind = (enum tb_disk_kind)tb_choice_of(kinds, word);
    static struct tb_row row; /* too large for the stack, as the next */
    static struct tb_disk disk;
    struct tb_usage usage;
    disk = s->disk;
    disk.kind = kind;
    row = (struct tb_row){.load = &loads[kind],
                          .workers = disk.workers,
                          .seed = disk.seed,
                          .params = {disk.bs, disk.depth, disk.direct, disk.size},
                          .line_ns = -1};
    tb_progress_row(&s->sheet.progress);
    if (tb_disk_open(&disk) < 0) {
        row.status = TB_ROW_SKIPPED;
        snprintf(row.reason, sizeof row.reason, "%s", disk.reason);
    } else {
        take_slices(s, &disk, &row);
    }
    tb_disk_close(&disk);
    tb_usage_get(&usage);
    row.rss_max_bytes = usage.rss_max_bytes;
    tb_sheet_measured(&s->sheet, &row);
}

int tb_cmd_io(int argc, char **argv)
{
    static struct session s = {.sheet = {.command = "io"}};
    int rc = parse(&s, argc, argv);
    if (rc < 0) {
        return -1 - rc;
    }
    rc = check(&s);
    return rc ? rc : tb_sheet_each(&s.sheet, &s.words, measure_word, &s);
}
