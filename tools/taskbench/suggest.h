/* suggest.h: "did you mean ...?": the known name that is nearest to what was typed. */
#ifndef TB_SUGGEST_H
#define TB_SUGGEST_H

#define TB_HINT_MAX 64

struct tb_suggest {
    const char *typed;
    const char *nearest; /* NULL: nothing near enough was tried */
    unsigned distance;   /* of `nearest`; at first, the largest that still counts */
};

/* `typed` is kept by pointer. */
struct tb_suggest tb_suggest_for(const char *typed);

/* Offers a candidate, kept by pointer. */
void tb_suggest_try(struct tb_suggest *suggest, const char *candidate);

/* " (did you mean 'x'?)" or "", in `hint`, which it returns. */
const char *tb_suggest_hint(const struct tb_suggest *suggest, char hint[TB_HINT_MAX]);

/* Insertions, deletions, replacements and swaps of neighbours that lead from a to b (optimal string
 * alignment). Strings of 31 bytes at most; longer ones count as UINT_MAX apart. */
unsigned tb_edit_distance(const char *a, const char *b);

#endif
