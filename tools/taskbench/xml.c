/* xml.c: see xml.h. */
#include "xml.h"
#include <stdlib.h>

void tb_put_xml(FILE *out, const char *text)
{
    for (; *text; text++) {
        const char *as = *text == '<'   ? "&lt;"
                         : *text == '>' ? "&gt;"
                         : *text == '&' ? "&amp;"
                         : *text == '"' ? "&quot;"
                                        : NULL;
        if (as) {
            fputs(as, out);
        } else {
            fputc((unsigned char)*text < 0x20 && *text != '\n' ? ' ' : *text, out);
        }
    }
}

bool tb_xml_begin(struct tb_xml_text *text)
{
    text->to = open_memstream(&text->text, &text->bytes);
    return text->to != NULL;
}

void tb_xml_end(struct tb_xml_text *text, FILE *out)
{
    if (fclose(text->to) == 0) {
        tb_put_xml(out, text->text);
    }
    free(text->text);
}
