/* render.c: which functions write which format. See render.h. */
#include "render.h"

struct tb_render tb_render_for(enum tb_format format, FILE *out, bool color)
{
    static const struct tb_render kinds[] = {
        [TB_FORMAT_TABLE] = {.begin = tb_table_begin, .row = tb_table_row, .end = tb_table_end},
        [TB_FORMAT_JSON] = {.begin = tb_json_begin, .row = tb_json_row, .end = tb_json_end},
        [TB_FORMAT_CSV] = {.begin = tb_csv_begin, .row = tb_csv_row, .end = tb_csv_end},
        [TB_FORMAT_MD] = {.begin = tb_md_begin, .row = tb_md_row, .end = tb_md_end},
    };
    struct tb_render render = kinds[format];
    render.out = out;
    render.color = color;
    return render;
}
