/* where.c: see where.h. */
#include "where.h"
#include <inttypes.h>

#define GROWTH_SHOWN 3 /* functions */

void tb_where_sites(const struct tb_lines *to, const struct tb_row *row, enum tb_site_kind kind)
{
    for (int i = 0; i < row->sites_n; i++) {
        const struct tb_site *site = &row->sites[i];
        char name[TB_SITE_NAME_MAX];
        if (site->kind != kind) {
            continue;
        }
        if (kind == TB_SITE_ALLOC) {
            fprintf(to->out, "%s%" PRIu64 " x %" PRIu64 " bytes in %s, %s%s", to->more, site->count,
                    site->bytes / site->count, tb_site_name(site, name), site->what, to->end);
        } else {
            fprintf(to->out, "%s%" PRIu64 " x %s in %s%s", to->more, site->count, site->what,
                    tb_site_name(site, name), to->end);
        }
    }
}

void tb_where_grew(const struct tb_lines *to, const struct tb_function *was, int n,
                   const struct tb_instructions *now)
{
    struct tb_function grown[TB_FUNCTIONS_MAX];
    int grown_n = tb_callgrind_growth(was, n, now, grown);
    for (int i = 0; i < grown_n && i < GROWTH_SHOWN; i++) {
        fprintf(to->out, "%s%+.2f in %s%s", to->more, grown[i].instructions, grown[i].name,
                to->end);
    }
}
