/* reasons.c: see reasons.h. */
#include "reasons.h"
#include <string.h>

void tb_reasons_add(struct tb_reasons *reasons, const char *text)
{
    int at = 0;
    while (text && at < reasons->n && strcmp(reasons->text[at], text) != 0) {
        at++;
    }
    if (!text || at == TB_REASONS_MAX) {
        return;
    }
    reasons->text[at] = text;
    reasons->figures[at]++;
    reasons->n += at == reasons->n;
}

void tb_reasons_put(const struct tb_reasons *reasons, FILE *out, const char *begin, const char *end)
{
    for (int i = 0; i < reasons->n; i++) {
        int figures = reasons->figures[i];
        fprintf(out, "%snot compared: %d figure%s: %s%s", begin, figures, figures == 1 ? "" : "s",
                reasons->text[i], end);
    }
}
