/* suggest.c: see suggest.h. */
#include "suggest.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LENGTH_MAX 31

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

unsigned tb_edit_distance(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    if (m > LENGTH_MAX || n > LENGTH_MAX) {
        return UINT_MAX;
    }
    unsigned d[LENGTH_MAX + 1][LENGTH_MAX + 1];
    for (size_t i = 0; i <= m; i++) {
        d[i][0] = (unsigned)i;
    }
    for (size_t j = 0; j <= n; j++) {
        d[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= m; i++) {
        for (size_t j = 1; j <= n; j++) {
            unsigned replace = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, replace);
            int swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && d[i - 2][j - 2] + 1 < d[i][j]) {
                d[i][j] = d[i - 2][j - 2] + 1;
            }
        }
    }
    return d[m][n];
}

struct tb_suggest tb_suggest_for(const char *typed)
{
    /* A third of what was typed may be wrong: "fbi" is near "fib", "x" is near nothing. */
    return (struct tb_suggest){.typed = typed, .distance = (unsigned)strlen(typed) / 3};
}

void tb_suggest_try(struct tb_suggest *suggest, const char *candidate)
{
    unsigned distance = tb_edit_distance(suggest->typed, candidate);
    int nearer = suggest->nearest ? distance < suggest->distance : distance <= suggest->distance;
    if (nearer) {
        suggest->nearest = candidate;
        suggest->distance = distance;
    }
}

const char *tb_suggest_hint(const struct tb_suggest *suggest, char hint[TB_HINT_MAX])
{
    hint[0] = '\0';
    if (suggest->nearest) {
        snprintf(hint, TB_HINT_MAX, " (did you mean '%s'?)", suggest->nearest);
    }
    return hint;
}
