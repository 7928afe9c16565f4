/* wire.c: see wire.h. */
#include "wire.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- writing ---------------------------------------------------------------------------------- */

void tb_wire_say(const char *format, ...)
{
    char line[TB_WIRE_LINE_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0) {
        return;
    }
    size_t bytes = (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 1;
    line[bytes] = '\n';
    for (size_t sent = 0; sent <= bytes;) { /* ends: what is left shrinks, or the pipe is broken */
        ssize_t written = write(TB_WIRE_FD, line + sent, bytes + 1 - sent);
        if (written <= 0) {
            return;
        }
        sent += (size_t)written;
    }
}

void tb_wire_counters(const weft_stats *growth, const weft_stats *total)
{
    weft_stats g = *growth, t = *total;
    for (const struct tb_counter *c = tb_counters; c->name; c++) {
        tb_wire_say("counter %s %" PRIu64 " %" PRIu64, c->name, *tb_counter_in(c, &g),
                    *tb_counter_in(c, &t));
    }
}

void tb_wire_metrics(const struct tb_trial *trial)
{
    for (int i = 0; i < trial->metrics_n; i++) {
        const struct tb_metric *m = &trial->metrics[i];
        tb_wire_say("metric %s %s %.17g", m->name, m->unit[0] ? m->unit : "-", m->value);
    }
}

static const char *const site_kinds[] = {[TB_SITE_ALLOC] = "alloc", [TB_SITE_CALL] = "call"};

void tb_wire_site(const struct tb_site *site)
{
    tb_wire_say("site %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\t%s", site_kinds[site->kind],
                site->count, site->bytes, site->offset, site->module, site->what);
}

/* --- reading ---------------------------------------------------------------------------------- */

static int read_sample(struct tb_row *row, const char *text)
{
    double ns, reference_ns;
    uint64_t ops, reference_ops;
    if (sscanf(text, "%lf %" SCNu64 " %lf %" SCNu64, &ns, &ops, &reference_ns, &reference_ops) !=
            4 ||
        ops == 0 || row->samples_n == TB_SAMPLES_MAX) {
        return -EPROTO;
    }
    row->ns_per_op[row->samples_n] = ns / (double)ops;
    row->reference_ns[row->samples_n] = reference_ops ? reference_ns / (double)reference_ops : 0;
    row->samples_n++;
    row->ops_per_sample = ops;
    return 0;
}

static int read_counted(struct tb_row *row, const char *text)
{
    struct tb_allocs *a = &row->allocs;
    row->counted = sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &row->counted_ops,
                          &a->allocs, &a->frees, &a->bytes) == 4 &&
                   row->counted_ops > 0;
    return row->counted ? 0 : -EPROTO;
}

static int read_uncounted(struct tb_row *row, const char *text)
{
    int used = 0;
    if (sscanf(text, "%" SCNu64 " %n", &row->counted_ops, &used) != 1) {
        return -EPROTO;
    }
    snprintf(row->uncounted, sizeof row->uncounted, "%s", text + used);
    return 0;
}

/* A counter that this tool does not know comes from another version of weft, and is left out. */
static int read_counter(struct tb_row *row, const char *text)
{
    char name[32];
    uint64_t growth, total;
    if (sscanf(text, "%31s %" SCNu64 " %" SCNu64, name, &growth, &total) != 3) {
        return -EPROTO;
    }
    for (const struct tb_counter *c = tb_counters; c->name; c++) {
        if (strcmp(c->name, name) == 0) {
            *tb_counter_in(c, &row->growth) = growth;
            *tb_counter_in(c, &row->total) = total;
        }
    }
    return 0;
}

static int read_metric(struct tb_row *row, const char *text)
{
    struct tb_metric m;
    if (row->metrics_n == TB_METRICS_MAX ||
        sscanf(text, "%23s %7s %lf", m.name, m.unit, &m.value) != 3) {
        return -EPROTO;
    }
    if (strcmp(m.unit, "-") == 0) {
        m.unit[0] = '\0';
    }
    row->metrics[row->metrics_n++] = m;
    return 0;
}

static int read_traced(struct tb_row *row, const char *text)
{
    row->traced = sscanf(text, "%" SCNu64, &row->calls) == 1;
    return row->traced ? 0 : -EPROTO;
}

static int read_untraced(struct tb_row *row, const char *text)
{
    snprintf(row->untraced, sizeof row->untraced, "%s", text);
    return 0;
}

static int read_site(struct tb_row *row, const char *text)
{
    char kind[8];
    struct tb_site site = {0};
    int at = 0;
    const char *tab = strchr(text, '\t');
    if (sscanf(text, "%7s %" SCNu64 " %" SCNu64 " %" SCNu64 "%n", kind, &site.count, &site.bytes,
               &site.offset, &at) != 4 ||
        site.count == 0 || text[at] != ' ' || !tab) {
        return -EPROTO;
    }
    const char *module = text + at + 1;
    site.kind = strcmp(kind, site_kinds[TB_SITE_CALL]) == 0 ? TB_SITE_CALL : TB_SITE_ALLOC;
    snprintf(site.module, sizeof site.module, "%.*s", (int)(tab - module), module);
    snprintf(site.what, sizeof site.what, "%s", tab + 1);
    if (row->sites_n < TB_SITES_MAX) {
        row->sites[row->sites_n++] = site;
    }
    return 0;
}

static int read_end(struct tb_row *row, enum tb_status status, const char *reason)
{
    row->status = status;
    snprintf(row->reason, sizeof row->reason, "%s", reason);
    return 0;
}

/* The text after `word` and a blank, "" after the word alone; NULL: the line does not begin with
 * it. */
static const char *after(const char *line, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(line, word, n) != 0 || (line[n] != ' ' && line[n] != '\0')) {
        return NULL;
    }
    return line + n + (line[n] == ' ');
}

static int read_rest(struct tb_wire_in *in, const char *line)
{
    const char *text;
    struct tb_row *row = in->row;
    if ((text = after(line, "rss"))) {
        return sscanf(text, "%" SCNu64, &row->rss_max_bytes) == 1 ? 0 : -EPROTO;
    }
    if ((text = after(line, "line"))) {
        return sscanf(text, "%lf", &row->line_ns) == 1 ? 0 : -EPROTO;
    }
    if ((text = after(line, "report"))) {
        snprintf(in->report, sizeof in->report, "%s", text);
        return 0;
    }
    if ((text = after(line, "wrong"))) {
        in->done = true;
        return read_end(row, TB_ROW_WRONG, text);
    }
    if ((text = after(line, "skip"))) {
        in->done = true;
        return read_end(row, TB_ROW_SKIPPED, text);
    }
    in->done = after(line, "done") != NULL;
    return in->done ? 0 : -EPROTO;
}

int tb_wire_read(struct tb_wire_in *in, const char *line)
{
    static const struct {
        const char *word;
        int (*read)(struct tb_row *row, const char *text);
    } lines[] = {
        {"sample", read_sample},     {"counted", read_counted}, {"uncounted", read_uncounted},
        {"counter", read_counter},   {"metric", read_metric},   {"traced", read_traced},
        {"untraced", read_untraced}, {"site", read_site},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *text = after(line, lines[i].word);
        if (text) {
            return lines[i].read(in->row, text);
        }
    }
    return read_rest(in, line);
}
