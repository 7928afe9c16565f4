/* render_md.c: the same columns as a Markdown table, for the summary of a CI run. */
#include "cells.h"
#include "render.h"

void tb_md_begin(struct tb_render *render, const struct tb_run_facts *facts)
{
    char run[TB_NOTE_MAX], machine[TB_NOTE_MAX];
    tb_facts_of(facts, run, machine);
    fprintf(render->out, "%s  \n%s\n\n", run, machine);
    for (int i = 0; i < TB_COLUMNS; i++) {
        fprintf(render->out, "| %s ", tb_columns[i].title);
    }
    fprintf(render->out, "| notes |\n");
    for (int i = 0; i < TB_COLUMNS; i++) {
        fprintf(render->out, "| %s ", tb_columns[i].width < 0 ? "---" : "--:");
    }
    fprintf(render->out, "| --- |\n");
}

/* A bar would end the cell. */
static void print_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
}

void tb_md_row(struct tb_render *render, const struct tb_row *row)
{
    struct tb_cells cells;
    char note[TB_NOTE_MAX];
    tb_cells_of(row, &cells);
    tb_note_of(row, note);
    for (int i = 0; i < TB_COLUMNS; i++) {
        fprintf(render->out, "| %s ", cells.text[i]);
    }
    fprintf(render->out, "| ");
    print_escaped(render->out, note);
    fprintf(render->out, " |\n");
}

void tb_md_end(struct tb_render *render, const struct tb_run_end *end)
{
    char line[TB_NOTE_MAX];
    tb_end_of(end, line);
    fprintf(render->out, "\n%s\n%s%s", line, end->verdict, end->verdict[0] ? "\n" : "");
}
