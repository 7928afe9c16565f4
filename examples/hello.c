/* hello: prints the first line of each FILE, all read at the same time, within one second. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

WEFT_TASK(show, char *)
{
    char text[80] = "";
    int fd = weft_open(*arg, O_RDONLY, 0);
    ssize_t n = fd < 0 ? fd : weft_read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        weft_close(fd);
    }
    const char *line = n < 0 ? strerror((int)-n) : text;
    printf("%s: %.*s\n", *arg, (int)strcspn(line, "\n"), line);
    return (int)n;
}
static int show_all(void *paths)
{
    WEFT_SCOPE(scope, .timeout = WEFT_SEC(1));
    for (char **path = paths; *path; path++) {
        weft_go(&scope, show, path);
    }
    return weft_scope_end(&scope); /* waits for all of them; the first failure cancels the others */
}
int main(int argc, char **argv)
{
    return argc < 2 || weft_run(show_all, argv + 1) < 0;
}
