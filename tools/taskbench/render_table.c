/* render_table.c: the table for people, on a terminal of 80 columns or in a log. */
#include "cells.h"
#include "render.h"
#include "terminal.h"
#include <string.h>

#define NOTE_INDENT 4

static void paint(const struct tb_render *render, const char *code)
{
    if (render->color) {
        fputs(code, render->out);
    }
}

#define BOLD  "\033[1m"
#define DIM   "\033[2m"
#define RED   "\033[31m"
#define PLAIN "\033[0m"

/* A name that is wider than its column takes from the blanks of those after it. */
static void print_cells(const struct tb_render *render, const char *const cells[TB_COLUMNS])
{
    int over = 0; /* columns that the line is ahead */
    for (int i = 0; i < TB_COLUMNS - 1; i++) {
        int width = tb_columns[i].width, columns = width < 0 ? -width : width;
        int room = columns > over ? columns - over : 0;
        over += fprintf(render->out, "%*s ", width < 0 ? -room : room, cells[i]) - columns - 1;
    }
    fprintf(render->out, "%s\n", cells[TB_COLUMNS - 1]);
}

void tb_table_begin(struct tb_render *render, const struct tb_run_facts *facts)
{
    char run[TB_NOTE_MAX], machine[TB_NOTE_MAX];
    const char *titles[TB_COLUMNS];
    tb_facts_of(facts, run, machine);
    tb_put_wrapped(render->out, run, 0, 0);
    tb_put_wrapped(render->out, machine, 0, 0);
    fputc('\n', render->out);
    for (int i = 0; i < TB_COLUMNS; i++) {
        titles[i] = tb_columns[i].title;
    }
    paint(render, BOLD);
    print_cells(render, titles);
    paint(render, PLAIN);
    fflush(render->out);
}

void tb_table_row(struct tb_render *render, const struct tb_row *row)
{
    struct tb_cells cells;
    char note[TB_NOTE_MAX];
    const char *texts[TB_COLUMNS];
    tb_cells_of(row, &cells);
    tb_note_of(row, note);
    for (int i = 0; i < TB_COLUMNS; i++) {
        texts[i] = cells.text[i];
    }
    paint(render, row->status == TB_ROW_WRONG ? RED : "");
    print_cells(render, texts);
    paint(render, PLAIN DIM);
    tb_put_wrapped(render->out, note, 0, NOTE_INDENT);
    paint(render, PLAIN);
    fflush(render->out);
}

void tb_table_end(struct tb_render *render, const struct tb_run_end *end)
{
    char line[TB_NOTE_MAX];
    tb_end_of(end, line);
    fprintf(render->out, "\n");
    tb_put_wrapped(render->out, line, 0, 0);
    tb_put_wrapped(render->out, end->verdict, 0, 0);
    fflush(render->out);
}
