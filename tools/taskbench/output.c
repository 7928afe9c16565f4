/* output.c: see output.h. */
#include "output.h"
#include "exit.h"
#include "terminal.h"
#include <errno.h>
#include <string.h>

enum tb_format tb_output_format(const struct tb_args *args)
{
    static const struct {
        const char *ending;
        enum tb_format format;
    } endings[] = {{".json", TB_FORMAT_JSON},
                   {".csv", TB_FORMAT_CSV},
                   {".md", TB_FORMAT_MD},
                   {".xml", TB_FORMAT_JUNIT}};
    const char *dot = args->out && !args->format_given ? strrchr(args->out, '.') : NULL;
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++) {
        if (strcmp(dot, endings[i].ending) == 0) {
            return endings[i].format;
        }
    }
    return args->format;
}

int tb_output_open(struct tb_output *output, const struct tb_args *args)
{
    bool color = tb_may_color(args);
    *output = (struct tb_output){.reports_n = 0};
    if (!args->out) {
        output->reports[output->reports_n++] = tb_render_for(args->format, stdout, color);
        return 0;
    }
    output->file = fopen(args->out, "we");
    if (!output->file) {
        fprintf(stderr, "taskbench: cannot write '%s': %s\n", args->out, strerror(errno));
        return TB_EXIT_USAGE;
    }
    output->reports[output->reports_n++] =
        tb_render_for(tb_output_format(args), output->file, false);
    if (!args->quiet) {
        output->reports[output->reports_n++] = tb_render_for(TB_FORMAT_TABLE, stdout, color);
    }
    return 0;
}

void tb_output_begin(struct tb_output *output, const struct tb_run_facts *facts)
{
    for (int i = 0; i < output->reports_n; i++) {
        output->reports[i].begin(&output->reports[i], facts);
    }
}

void tb_output_row(struct tb_output *output, const struct tb_row *row)
{
    for (int i = 0; i < output->reports_n; i++) {
        output->reports[i].row(&output->reports[i], row);
    }
}

static bool close_all(struct tb_output *output)
{
    bool whole = fflush(stdout) == 0 && !ferror(stdout);
    if (output->file) {
        whole = !ferror(output->file) && whole;
        whole = fclose(output->file) == 0 && whole;
    }
    return whole;
}

int tb_output_end(struct tb_output *output, const struct tb_run_end *end)
{
    for (int i = 0; i < output->reports_n; i++) {
        output->reports[i].end(&output->reports[i], end);
    }
    if (close_all(output)) {
        return end->exit_code;
    }
    fprintf(stderr,
            "taskbench: the report could not be written\n"); /* a full disk, a closed pipe */
    return end->exit_code ? end->exit_code : TB_EXIT_NOTHING;
}

bool tb_output_shows_rows(const struct tb_output *output)
{
    const struct tb_render *last = &output->reports[output->reports_n - 1];
    return last->out == stdout && last->row == tb_table_row;
}
