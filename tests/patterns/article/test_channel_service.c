/* Channel<T> and BackgroundService: a mailbox with back-pressure, a service that reads it, and a
 * stop that drains both. */
#include "article.h"
#include <weft/service.h>

struct email {
    int to;
};

static atomic_int delivered;

static int send_email(const struct email *email)
{
    (void)email;
    int rc = weft_sleep(WEFT_US(10));
    if (rc == 0) {
        atomic_fetch_add(&delivered, 1);
    }
    return rc;
}

/* guide { */
WEFT_CHAN(mailbox, struct email);

WEFT_TASK(mailer, mailbox) /* ExecuteAsync */
{
    struct email email;
    int rc;
    while ((rc = mailbox_recv(*arg, &email)) > 0) { /* 0: closed, when the runtime drains */
        if (send_email(&email) < 0) {
            break;
        }
    }
    return rc > 0 ? 0 : rc;
}

static int serve(void *arg)
{
    mailbox box = *(mailbox *)arg;
    int rc = weft_service("mailer", mailer, &box, .mailbox = box.chan);
    for (int i = 0; i < 10 && rc == 0; i++) {
        rc = mailbox_send(box, &(struct email){i}); /* waits while the box is full */
    }
    return rc; /* the mailer still sends what is in the box */
}
/* guide } */

static mailbox box;

Test(article, a_service_reads_its_mailbox_until_the_runtime_has_drained)
{
    wt_eq(mailbox_new(&box, 4, NULL), 0);
    wt_eq(weft_run(serve, &box), 0);
    wt_eq(atomic_load(&delivered), 10);
    mailbox_free(box);
}

WEFT_TASK(produce, mailbox)
{
    int rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++) {
        rc = mailbox_send(*arg, &(struct email){i});
    }
    (void)mailbox_close(*arg, 0);
    return rc;
}

Article(items_are_neither_lost_nor_doubled)
{
    mailbox mails;
    int rc = mailbox_new(&mails, 4, NULL);
    always_eq(rc, 0);
    WEFT_SCOPE(s);
    rc = weft_go(&s, produce, &mails);
    struct email email;
    int next = 0, got = 0;
    while (rc >= 0 && (got = mailbox_recv(mails, &email)) > 0) {
        always_eq(email.to, next);
        next++;
    }
    int ended = weft_scope_end(&s);
    show_eq(next, 10);
    mailbox_free(mails);
    return rc < 0 ? rc : got < 0 ? got : ended;
}
