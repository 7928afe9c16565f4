/* history.c: see history.h. */
#include "history.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCHEMA         "weft.taskbench.history/1"
#define LINE_MAX_BYTES ((size_t)1 << 20)  /* a thousand rows are a tenth of it */
#define FILE_MAX_BYTES ((size_t)64 << 20) /* what has more is no history, or years too long */

/* --- writing ---------------------------------------------------------------------------------- */

void tb_history_begin(struct tb_history_line *line, const struct tb_run_facts *facts,
                      const char *label)
{
    char started[32];
    struct tm utc;
    *line = (struct tb_history_line){.text = NULL};
    line->out = open_memstream(&line->text, &line->bytes);
    if (!line->out) {
        return;
    }
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&facts->started, &utc));
    line->json = (struct tb_json){.out = line->out};
    tb_json_open(&line->json, NULL, '{');
    tb_json_text(&line->json, "schema", SCHEMA);
    tb_json_text(&line->json, "started", started);
    tb_json_text(&line->json, "key", facts->machine->key);
    tb_json_text(&line->json, "label", label);
    tb_json_text(&line->json, "weft", facts->machine->weft);
    tb_json_open(&line->json, "rows", '[');
}

void tb_history_row(struct tb_history_line *line, const struct tb_row *row)
{
    char name[80];
    if (!line->out || row->status != TB_ROW_OK) {
        return;
    }
    snprintf(name, sizeof name, "%.48s %dw", row->load->name, row->workers);
    tb_json_open(&line->json, NULL, '{');
    tb_json_text(&line->json, "row", name);
    tb_json_real(&line->json, "time", row->time.median);
    tb_json_real(&line->json, "ref", row->has_reference ? row->ratio : (double)NAN);
    tb_json_real(&line->json, "allocs", row->counted ? tb_row_allocs_per_op(row) : (double)NAN);
    tb_json_real(&line->json, "bytes", row->counted ? tb_row_bytes_per_op(row) : (double)NAN);
    tb_json_close(&line->json);
    line->rows++;
}

/* The writer's lines joined: line ends and what indents the next occur nowhere else, since those in
 * strings are escaped. Bytes left. */
static size_t join_lines(char *text, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] != '\n') {
            text[n++] = text[i];
            continue;
        }
        while (i + 1 < bytes && text[i + 1] == ' ') {
            i++;
        }
    }
    return n;
}

/* Whether the file's last line has no end; its next is to begin with one. */
static bool is_torn(int fd)
{
    char last = '\n';
    off_t end = lseek(fd, 0, SEEK_END);
    return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

static int add_line(const char *path, char *text, size_t bytes)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        return -errno;
    }
    size_t skip = is_torn(fd) ? 0 : 1; /* text begins with a line end for that */
    ssize_t n = write(fd, text + skip, bytes - skip);
    int rc = n < 0 ? -errno : (size_t)n == bytes - skip ? 0 : -ENOSPC;
    if (close(fd) < 0 && rc == 0) {
        rc = -errno;
    }
    return rc;
}

int tb_history_end(struct tb_history_line *line, const char *path)
{
    if (!line->out) {
        return -ENOMEM;
    }
    tb_json_close(&line->json);
    tb_json_close(&line->json);
    bool whole = fclose(line->out) == 0;
    int rc = whole ? 0 : -ENOMEM;
    char *text = rc == 0 && line->rows > 0 ? malloc(line->bytes + 2) : NULL;
    if (text) {
        size_t n = join_lines(line->text, line->bytes);
        text[0] = '\n';
        memcpy(text + 1, line->text, n);
        text[n + 1] = '\n';
        rc = add_line(path, text, n + 2);
    } else if (line->rows > 0) {
        rc = -ENOMEM;
    }
    free(text);
    free(line->text);
    line->out = NULL;
    return rc;
}

int tb_history_drop(struct tb_history_line *line)
{
    if (line->out) {
        fclose(line->out);
        free(line->text);
        line->out = NULL;
    }
    return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

/* The newest TB_HISTORY_RUNS_MAX stay. */
static void keep(struct tb_history *h, const struct tb_doc *doc)
{
    if (h->runs_n == TB_HISTORY_RUNS_MAX) {
        tb_doc_free(&h->runs[0]);
        memmove(h->runs, h->runs + 1, (h->runs_n - 1) * sizeof *h->runs);
        h->runs_n--;
        h->left_out++;
    }
    h->runs[h->runs_n++] = *doc;
}

static void take_line(struct tb_history *h, const char *text, size_t bytes)
{
    struct tb_doc doc;
    if (is_blank(text)) {
        return;
    }
    int rc = tb_doc_read(&doc, text, bytes);
    const char *schema = rc == 0 ? tb_member_text(doc.root, "schema") : NULL;
    if (schema && strcmp(schema, SCHEMA) == 0) {
        keep(h, &doc);
    } else {
        h->bad_lines++;
        tb_doc_free(&doc);
    }
}

/* One line without its end into `text`; its bytes. A longer one than LINE_MAX_BYTES is cut, and
 * then is not JSON. -1: the file is over, or FILE_MAX_BYTES were read. */
static ssize_t read_line(FILE *file, char *text, size_t *total)
{
    size_t n = 0;
    int c = getc_unlocked(file);
    if (c == EOF) {
        return -1;
    }
    for (; c != EOF && c != '\n'; c = getc_unlocked(file)) {
        if (++*total > FILE_MAX_BYTES) {
            return -1;
        }
        text[n] = (char)c;
        n += n < LINE_MAX_BYTES;
    }
    text[n] = '\0';
    return (ssize_t)n;
}

static int read_lines(struct tb_history *h, FILE *file)
{
    size_t total = 0;
    ssize_t n;
    char *text = malloc(LINE_MAX_BYTES + 1);
    if (!text) {
        return -ENOMEM;
    }
    while ((n = read_line(file, text, &total)) >= 0) { /* ends with the file, or its bound */
        take_line(h, text, (size_t)n);
    }
    free(text);
    return ferror(file) ? -EIO : total > FILE_MAX_BYTES ? -EFBIG : h->runs_n ? 0 : -ENODATA;
}

int tb_history_load(struct tb_history *h, const char *path)
{
    memset(h, 0, sizeof *h);
    FILE *file = fopen(path, "re");
    int rc = file ? read_lines(h, file) : -errno;
    if (file) {
        fclose(file);
    }
    if (rc == -ENODATA) {
        snprintf(h->error, sizeof h->error, "'%.80s' has no runs", path);
    } else if (rc < 0) {
        snprintf(h->error, sizeof h->error, "cannot read '%.80s': %s", path, strerror(-rc));
    }
    return rc;
}

void tb_history_free(struct tb_history *h)
{
    for (size_t i = 0; i < h->runs_n; i++) {
        tb_doc_free(&h->runs[i]);
    }
    h->runs_n = 0;
}
