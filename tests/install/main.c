/* main.c: a user's program, compiled against an installed weft. */
#include <stdio.h>
#include <weft/weft.h>

/* Calls with options and without: neither may draw a warning from -Wpedantic. */
static int answer(void *arg)
{
    weft_chan *chan;
    weft_chan *latest;
    int rc = weft_chan_new(&chan, sizeof(int), 1);
    int rc_latest = weft_chan_new(&latest, sizeof(int), 1, .full = WEFT_FULL_DROP_OLDEST);
    WEFT_SCOPE(plain);
    WEFT_SCOPE(timed, .timeout = WEFT_SEC(60), .on_error = WEFT_CONTINUE);
    int rc_timed = weft_scope_end(&timed);
    int rc_plain = weft_scope_end(&plain);
    weft_chan_free(latest);
    weft_chan_free(chan);
    return rc < 0 || rc_latest < 0 || rc_timed < 0 || rc_plain < 0 ? -EIO : *(int *)arg;
}

int main(void)
{
    int version = WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH;
    if (weft_version() != version) {
        fprintf(stderr, "header %d, library %d\n", version, weft_version());
        return 1;
    }
    int number = 42;
    int rc = weft_run(answer, &number);
    rc = rc == 42 ? weft_run(answer, &number, .workers = 2) : rc;
    if (rc != 42) {
        fprintf(stderr, "weft_run: %d\n", rc);
        return 1;
    }
    return 0;
}
