/* where.c: see where.h. */
#include "where.h"
#include <inttypes.h>
#include <stdbool.h>

#define GROWTH_SHOWN 3 /* functions */

/* The one that counts most after `shown`, of those of a kind: the more bytes or calls, the earlier.
 * NULL: none. */
static const struct tb_site *next_site(const struct tb_row *row, enum tb_site_kind kind,
                                       const bool *shown)
{
    const struct tb_site *most = NULL;
    for (int i = 0; i < row->sites_n; i++) {
        const struct tb_site *site = &row->sites[i];
        bool more = most == NULL ||
                    (kind == TB_SITE_ALLOC ? site->bytes > most->bytes : site->count > most->count);
        most = site->kind == kind && !shown[i] && more ? site : most;
    }
    return most;
}

void tb_where_sites(const struct tb_lines *to, const struct tb_row *row, enum tb_site_kind kind)
{
    bool shown[TB_SITES_MAX] = {false};
    const struct tb_site *site;
    while ((site = next_site(row, kind, shown)) != NULL) { /* ends: each is shown once */
        char name[TB_SITE_NAME_MAX];
        shown[site - row->sites] = true;
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
