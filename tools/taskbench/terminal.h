/* terminal.h: what the commands need to know of where they write. */
#ifndef TB_TERMINAL_H
#define TB_TERMINAL_H

#include "args.h"
#include <stdio.h>

/* Escape sequences on stdout: it is a terminal that understands them, and nobody has asked for
 * none. */
bool tb_may_color(const struct tb_args *args);

/* So that pipes do not take the numbers of stdin, stdout and stderr, should one of those be
 * closed. */
void tb_open_standard_streams(void);

/* `text` in lines of 80 columns at most, broken at blanks, the last one ended, each after `indent`
 * blanks; but the first goes on where `at` columns are written already, if any. A word that is too
 * long stands alone. */
void tb_put_wrapped(FILE *out, const char *text, int at, int indent);

#endif
