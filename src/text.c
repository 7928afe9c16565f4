/* text.c: see text.h. */
#include "src/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void wf_text_add(struct wf_text *text, const char *format, ...)
{
    size_t used = text->length < text->bytes ? text->length : text->bytes;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text->bytes > 0 ? text->at + used : NULL, text->bytes - used, format, args);
    va_end(args);
    text->length += n > 0 ? (size_t)n : 0;
}

void wf_text_write(struct wf_text *text, int fd)
{
    if (text->length >= text->bytes) {
        text->length = text->bytes - 1;
        text->at[text->length - 1] = '\n';
    }
    ssize_t ignored = write(fd, text->at, text->length);
    (void)ignored;
    text->length = 0;
}
