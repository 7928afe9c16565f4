/* reasons.h: why figures could not be compared: each reason once, with the number of figures that
 * it concerns. */
#ifndef TB_REASONS_H
#define TB_REASONS_H

#include <stdio.h>

#define TB_REASONS_MAX 16 /* different ones; more are not told */

struct tb_reasons {
    const char *text[TB_REASONS_MAX];
    int figures[TB_REASONS_MAX];
    int n;
};

/* `text` is kept by pointer; NULL is none. */
void tb_reasons_add(struct tb_reasons *reasons, const char *text);

/* "not compared: 3 figures: valgrind is not installed", a line for each, with `begin` before it and
 * `end` after it. */
void tb_reasons_put(const struct tb_reasons *reasons, FILE *out, const char *begin,
                    const char *end);

#endif
