/* xml.h: text in XML. */
#ifndef TB_XML_H
#define TB_XML_H

#include <stdbool.h>
#include <stdio.h>

/* As content or between double quotes; control characters, which XML has no form for, become
 * blanks. */
void tb_put_xml(FILE *out, const char *text);

/* Content that is written by what knows nothing of XML: to `to` from tb_xml_begin on (false: no
 * memory), until tb_xml_end puts it into `out`. */
struct tb_xml_text {
    FILE *to;
    char *text;
    size_t bytes;
};
bool tb_xml_begin(struct tb_xml_text *text);
void tb_xml_end(struct tb_xml_text *text, FILE *out);

#endif
