/* text.h: what is said on stderr, or by a dump, written bit by bit.
 *
 * Who may call: any thread; a text is of one. It allocates nothing. */
#ifndef WF_TEXT_H
#define WF_TEXT_H

#include "pool/base/compiler.h"
#include <stddef.h>

/* Cut at the end of its buffer; `length` goes on counting. */
struct wf_text {
    char *at;
    size_t bytes, length;
};

/* As printf. */
void wf_text_add(struct wf_text *text, const char *format, ...) WF_PRINTF(2, 3);

/* In one write, which ends in a new line even if the text was cut; and begins anew. What cannot be
 * written is lost. `bytes` is not 0. */
void wf_text_write(struct wf_text *text, int fd);

#endif
