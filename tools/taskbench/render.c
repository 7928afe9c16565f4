/* render.c: which functions write which format. See render.h. */
#include "render.h"

struct tb_render tb_render_for(enum tb_format format, FILE *out, bool color)
{
    static const struct tb_render kinds[] = {
        [TB_FORMAT_TABLE] = {.begin = tb_table_begin, .row = tb_table_row, .end = tb_table_end},
        [TB_FORMAT_JSON] = {.begin = tb_json_begin, .row = tb_json_row, .end = tb_json_end},
        [TB_FORMAT_CSV] = {.begin = tb_csv_begin, .row = tb_csv_row, .end = tb_csv_end},
        [TB_FORMAT_MD] = {.begin = tb_md_begin, .row = tb_md_row, .end = tb_md_end},
        [TB_FORMAT_JUNIT] = {.begin = tb_junit_begin, .row = tb_junit_row, .end = tb_junit_end},
        [TB_FORMAT_GBENCH] = {.begin = tb_gbench_begin, .row = tb_gbench_row, .end = tb_gbench_end},
        [TB_FORMAT_BMF] = {.begin = tb_bmf_begin, .row = tb_bmf_row, .end = tb_bmf_end},
        [TB_FORMAT_GAB] = {.begin = tb_gab_begin, .row = tb_gab_row, .end = tb_gab_end},
    };
    struct tb_render render = kinds[format];
    render.out = out;
    render.color = color;
    return render;
}
