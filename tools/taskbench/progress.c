/* progress.c: see progress.h. */
#include "progress.h"
#include "clock.h"
#include "units.h"
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_NS     100000000
#define WIDTH         80
#define WIDTH_MIN     20
#define BAR_CELLS_MAX 24
#define BAR_CELLS_MIN 4 /* a shorter bar says nothing */
#define ETA_MIN_ROWS  1 /* rows to have been seen before an estimate is shown */

/* --- the bar as text -------------------------------------------------------------------------- */

/* Eighths of a cell, which block characters can show. */
static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

static void format_bar_unicode(double fraction, int cells, char *out)
{
    int filled = (int)(fraction * cells * 8), whole = filled / 8;
    out[0] = '\0';
    for (int i = 0; i < whole; i++) {
        strcat(out, "█");
    }
    strcat(out, eighths[filled % 8]);
    for (int i = whole + (filled % 8 > 0); i < cells; i++) {
        strcat(out, " ");
    }
}

static void format_bar_ascii(double fraction, int cells, char *out)
{
    int filled = (int)(fraction * cells);
    memset(out, '#', (size_t)filled);
    memset(out + filled, '.', (size_t)(cells - filled));
    out[cells] = '\0';
}

/* "echo 2w 5.02 us": what is being measured, and its newest sample. */
static void format_now(const struct tb_row *row, char *out, size_t bytes)
{
    char number[TB_NUMBER_MAX] = "...";
    if (row->samples_n > 0) {
        tb_format_time(number, row->ns_per_op[row->samples_n - 1]);
    }
    snprintf(out, bytes, "%s %dw %s", row->load->name, row->workers, number);
}

void tb_progress_format(const struct tb_progress *progress, double fraction, double eta_s,
                        const struct tb_row *row, char out[TB_BAR_MAX])
{
    char bar[BAR_CELLS_MAX * 4], eta[16] = "-:--", now[64], text[128];
    fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    if (eta_s >= 0) {
        int s = eta_s < 35999 ? (int)(eta_s + 0.5) : 35999;
        snprintf(eta, sizeof eta, "%d:%02d", s / 60, s % 60);
    }
    format_now(row, now, sizeof now);
    int used = snprintf(text, sizeof text, "%3.0f%%  %d/%d  ETA %s  %s", fraction * 100,
                        progress->done, progress->rows, eta, now);
    int cells = progress->width - used - 3; /* "[", "] " */
    cells = cells > BAR_CELLS_MAX ? BAR_CELLS_MAX : cells;
    if (cells < BAR_CELLS_MIN) {
        snprintf(out, TB_BAR_MAX, "%.*s", progress->width, text + strspn(text, " "));
        return;
    }
    (progress->unicode ? format_bar_unicode : format_bar_ascii)(fraction, cells, bar);
    snprintf(out, TB_BAR_MAX, "[%s] %s", bar, text);
}

/* --- the terminal ----------------------------------------------------------------------------- */

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0) {
        return WIDTH;
    }
    int width = size.ws_col - 1; /* the last column wraps on some terminals */
    return width > WIDTH ? WIDTH : width < WIDTH_MIN ? WIDTH_MIN : width;
}

static bool is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

struct tb_progress tb_progress_start(int rows, bool quiet, bool rows_shown)
{
    struct tb_progress p = {.rows = rows, .start_ns = tb_now_ns()};
    p.terminal = !quiet && is_terminal();
    p.lines = !quiet && !p.terminal && !rows_shown;
    p.unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    p.width = p.terminal ? terminal_width() : WIDTH;
    return p;
}

void tb_progress_row(struct tb_progress *progress)
{
    progress->row_start_ns = tb_now_ns();
}

/* Rows take about equally long: the one at work counts by its time against the mean so far, and
 * never as done. */
static double fraction_done(const struct tb_progress *p, uint64_t now)
{
    double part = 0;
    if (p->done >= ETA_MIN_ROWS) {
        double mean_ns = (double)(p->row_start_ns - p->start_ns) / p->done;
        part = (double)(now - p->row_start_ns) / (mean_ns + 1);
    }
    part = part > 0.95 ? 0.95 : part;
    return ((double)p->done + part) / p->rows;
}

static bool is_time(const struct tb_progress *p, uint64_t now)
{
    return p->terminal && (!p->on_screen || now - p->drawn_ns >= REDRAW_NS);
}

static void draw(struct tb_progress *p, const struct tb_row *row, double fraction, double eta_s,
                 uint64_t now)
{
    char line[TB_BAR_MAX];
    tb_progress_format(p, fraction, eta_s, row, line);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    p->on_screen = true;
    p->drawn_ns = now;
}

void tb_progress_tick(struct tb_progress *p, const struct tb_row *row)
{
    uint64_t now = tb_now_ns();
    if (is_time(p, now)) {
        double fraction = fraction_done(p, now), elapsed_s = (double)(now - p->start_ns) * 1e-9;
        double eta_s = p->done >= ETA_MIN_ROWS ? elapsed_s / fraction - elapsed_s : -1;
        draw(p, row, fraction, eta_s, now);
    }
}

void tb_progress_part(struct tb_progress *p, const struct tb_row *row, double fraction)
{
    uint64_t now = tb_now_ns();
    if (is_time(p, now)) {
        double all = (p->done + fraction) / p->rows, elapsed_s = (double)(now - p->start_ns) * 1e-9;
        draw(p, row, all, all > 0.01 ? elapsed_s / all - elapsed_s : -1, now);
    }
}

void tb_progress_clear(struct tb_progress *p)
{
    if (p->on_screen) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
        p->on_screen = false;
    }
}

static void print_line(const struct tb_progress *p, const struct tb_row *row)
{
    char number[TB_NUMBER_MAX];
    fprintf(stderr, "[%d/%d] %s, %d worker%s: ", p->done, p->rows, row->load->name, row->workers,
            row->workers == 1 ? "" : "s");
    if (row->status == TB_ROW_OK) {
        fprintf(stderr, "%s\n", tb_format_time(number, row->time.median));
    } else {
        fprintf(stderr, "%s: %s\n", row->status == TB_ROW_WRONG ? "WRONG" : "skipped", row->reason);
    }
}

void tb_progress_done(struct tb_progress *p, const struct tb_row *row)
{
    p->done++;
    if (p->lines) {
        print_line(p, row);
    }
}
