/* main.c: a user's program, compiled against an installed weft. */
#include <stdio.h>
#include <weft/weft.h>

static int answer(void *arg)
{
    (void)arg;
    return 42;
}

int main(void)
{
    int version = WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH;
    if (weft_version() != version) {
        fprintf(stderr, "header %d, library %d\n", version, weft_version());
        return 1;
    }
    int rc = weft_run(answer, NULL, .workers = 2);
    if (rc != 42) {
        fprintf(stderr, "weft_run: %d\n", rc);
        return 1;
    }
    return 0;
}
