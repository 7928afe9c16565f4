/* The state machine by hand, for a million tasks that mostly wait: a frame instead of a stack. What
 * C# lifts into its state machine are the fields of the struct. */
#include "article.h"
#include <unistd.h>
#include <weft/stackless.h>

/* guide { */
struct echo {
    weft_frame sm; /* 128 bytes; then what lives across an await */
    int fd;
    ssize_t n;
    char buffer[64];
};

WEFT_STEP(echo_step, struct echo)
{
    WEFT_BEGIN(&f->sm);
    for (;;) {
        WEFT_AWAIT(&f->sm, f->n, weft_recv_v(f->fd, f->buffer, sizeof f->buffer, 0));
        if (f->n <= 0) {
            return (int)f->n;
        }
        WEFT_AWAIT(&f->sm, f->n, weft_send_v(f->fd, f->buffer, (size_t)f->n, 0));
        if (f->n < 0) {
            return (int)f->n;
        }
    }
}
/* guide } */

Article(a_frame_waits_without_a_stack)
{
    int fds[2];
    always_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct echo echo = {.fd = fds[1]};
    WEFT_SCOPE(s);
    int rc = weft_go_frame(&s, echo_step, &echo);
    char reply[8] = "";
    ssize_t n = rc < 0 ? rc : weft_send(fds[0], "hello", 6, 0);
    n = n < 0 ? n : weft_recv(fds[0], reply, sizeof reply, 0);
    show_true(strcmp(reply, "hello") == 0);
    (void)weft_shutdown(fds[0], SHUT_WR);
    int ended = weft_scope_end(&s);
    close(fds[0]);
    close(fds[1]);
    return n < 0 ? (int)n : ended;
}
