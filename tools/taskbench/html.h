/* html.h: writes HTML in which nothing that came from a file is markup, and numbers as
 * coordinates. */
#ifndef TB_HTML_H
#define TB_HTML_H

#include <stdio.h>

/* Like fprintf, with %s, %d, %zu, %f and %% only. %s is text: what is special in HTML is escaped,
 * control characters and bytes that are not UTF-8 become '?'. %f is a length or a place: one
 * decimal. */
void tb_html(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text alone, as %s. */
void tb_html_text(FILE *out, const char *text);

#endif
