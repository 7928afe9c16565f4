/* xml.h: text in XML. */
#ifndef TB_XML_H
#define TB_XML_H

#include <stdio.h>

/* As content or between double quotes; control characters, which XML has no form for, become
 * blanks. */
void tb_put_xml(FILE *out, const char *text);

#endif
