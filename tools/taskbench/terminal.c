/* terminal.c: see terminal.h. */
#include "terminal.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS_PER_LINE 80

bool tb_may_color(const struct tb_args *args)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return !args->no_color && !(no_color && no_color[0]) && isatty(STDOUT_FILENO) && term &&
           strcmp(term, "dumb") != 0;
}

void tb_open_standard_streams(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO); /* ends: each turn fills one of three */
    if (fd >= 0) {
        close(fd);
    }
}

void tb_put_wrapped(FILE *out, const char *text, int at, int indent)
{
    while (at || *text) { /* ends: each turn but the first takes a word at least */
        int room = COLUMNS_PER_LINE - (at ? at : indent), n = (int)strlen(text);
        if (n > room) {
            n = room > 0 ? room : 0;
            while (n > 0 && text[n] != ' ') {
                n--;
            }
            if (n == 0 && !at) {
                n = (int)strcspn(text, " ");
            }
        }
        fprintf(out, "%*s%.*s\n", at ? 0 : indent, "", n, text);
        text += n;
        text += strspn(text, " ");
        at = 0;
    }
}
