/* html.c: see html.h. */
#include "html.h"
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

/* Bytes of the UTF-8 character at `c`, which ends with a NUL; 0: it is none. Overlong forms,
 * surrogates and what lies beyond U+10FFFF are none. */
static int utf8_bytes(const unsigned char *c)
{
    static const unsigned char low[] = {0, 0, 0x80, 0xa0, 0x90};
    int n = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    if (n < 2) {
        return n;
    }
    unsigned char high = c[0] == 0xed ? 0x9f : c[0] == 0xf4 ? 0x8f : 0xbf;
    unsigned char least = c[0] == 0xe0 || c[0] == 0xf0 ? low[n] : 0x80;
    if (c[0] > 0xf4 || c[1] < least || c[1] > high) {
        return 0;
    }
    for (int i = 2; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

static const char *entity_of(unsigned char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void tb_html_text(FILE *out, const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    while (*c) { /* ends with the text: a step of 0 bytes becomes one */
        int n = utf8_bytes(c);
        const char *entity = entity_of(*c);
        if (entity) {
            fputs(entity, out);
        } else if (n == 0 || *c < 0x20 || *c == 0x7f) {
            fputc('?', out);
        } else {
            fwrite(c, 1, (size_t)n, out);
        }
        c += n ? n : 1;
    }
}

/* A place that no double can stand for would break the whole drawing. */
static void put_place(FILE *out, double value)
{
    fprintf(out, "%.1f", isfinite(value) && fabs(value) < 1e6 ? value : 0.0);
}

void tb_html(FILE *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (const char *c = format; *c; c++) {
        if (*c != '%') {
            fputc(*c, out);
            continue;
        }
        switch (*++c) {
        case 's':
            tb_html_text(out, va_arg(args, const char *));
            break;
        case 'd':
            fprintf(out, "%d", va_arg(args, int));
            break;
        case 'z': /* "zu" */
            fprintf(out, "%zu", va_arg(args, size_t));
            c++;
            break;
        case 'f':
            put_place(out, va_arg(args, double));
            break;
        default:
            assert(*c == '%');
            fputc('%', out);
        }
    }
    va_end(args);
}
