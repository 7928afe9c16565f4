/* terminal.c: see terminal.h. */
#include "terminal.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
