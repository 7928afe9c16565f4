/* storefront: a small shop behind a TCP port, and its client: what a server made of async methods
 * looks like.
 *
 *   storefront [-p PORT]               serves on 127.0.0.1; 0, the default, picks a free port
 *   storefront -c PORT REQUEST...      sends each request and prints the answers
 *
 * Requests, one a line; an answer ends with a line that has one dot:
 *
 *     page ID         user, orders and profile of customer ID, looked up at the same time, within
 *                     100 ms
 *     price ID        what the supplier asks for item ID; the supplier takes two calls at a time
 *     products N      the first N products, one a line, as the database finds them
 *
 * On SIGINT or SIGTERM it accepts nobody, lets requests that have begun end, closes connections
 * that wait for one, writes what is left in the audit's mailbox, and says what it did. Exit status
 * 0; 1 if it could not start; 2 for a wrong usage.
 *
 * What shows what: load_page (when, deadline), get_user (weft_val as a cache's answer), get_price
 * (semaphore), products (generator), audit (service with a mailbox), serve (connections that wait
 * for a request, or are at work on one). The database and the supplier are sleeps: put yours
 * there. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/net.h>
#include <weft/serve.h>
#include <weft/service.h>
#include <weft/signal.h>
#include <weft/stackless.h>
#include <weft/weft.h>

#define LINE_BYTES     256
#define CACHED_USERS   64
#define SUPPLIER_CALLS 2
#define PAGE_TIME      WEFT_MS(100)
#define IDLE_TIME      WEFT_SEC(60)
#define DATABASE_TIME  WEFT_MS(2)
#define SUPPLIER_TIME  WEFT_MS(20)
#define LOST_CUSTOMER  13 /* whose profile never comes */

struct note {
    char text[LINE_BYTES];
};
WEFT_CHAN(mailbox, struct note);

struct user {
    int id;
    char name[32];
};

static struct shop {
    weft_listener *listener;
    weft_signal signals;
    weft_server server;
    const char *why; /* it closes */
    weft_sem supplier;
    mailbox audit;
    struct user users[CACHED_USERS]; /* by id modulo the number; id 0: empty */
    weft_mutex users_lock;
    atomic_int requests, hits, late, noted;
} shop;

/* --- the database ----------------------------------------------------------------------------- */

/* 1 at once, if the user is known; else 0, when the database has been asked. */
static weft_val find_user(int id, struct user *out)
{
    struct user *cached = &shop.users[id % CACHED_USERS];
    if (weft_mutex_lock(&shop.users_lock) == 0) {
        *out = *cached;
        (void)weft_mutex_unlock(&shop.users_lock);
        if (out->id == id) {
            return weft_val_done(1);
        }
    }
    return weft_sleep_v(DATABASE_TIME);
}

static int get_user(int id, struct user *out)
{
    weft_val found = find_user(id, out);
    int rc = (int)weft_val_await(found);
    if (rc != 0) {
        atomic_fetch_add(&shop.hits, rc > 0);
        return rc < 0 ? rc : 0;
    }
    static const char *const names[] = {"ann", "bob", "cleo", "dan"};
    out->id = id;
    (void)snprintf(out->name, sizeof out->name, "%s", names[id % 4]);
    rc = weft_mutex_lock(&shop.users_lock);
    if (rc == 0) {
        shop.users[id % CACHED_USERS] = *out;
        (void)weft_mutex_unlock(&shop.users_lock);
    }
    return rc;
}

static int get_orders(int id, int *count)
{
    *count = id % 5;
    return weft_sleep(DATABASE_TIME);
}

static int get_likes(int id, char *out, size_t bytes)
{
    (void)snprintf(out, bytes, "%s", id % 2 == 0 ? "books" : "music");
    return weft_sleep(id == LOST_CUSTOMER ? WEFT_SEC(3600) : DATABASE_TIME);
}

/* --- page: three look-ups at once ------------------------------------------------------------- */

struct page {
    int id;
    struct user user;
    int orders;
    char likes[32];
};

static int user_task(void *page)
{
    struct page *p = page;
    return get_user(p->id, &p->user);
}

static int orders_task(void *page)
{
    struct page *p = page;
    return get_orders(p->id, &p->orders);
}

static int likes_task(void *page)
{
    struct page *p = page;
    return get_likes(p->id, p->likes, sizeof p->likes);
}

static int load_page(struct page *page)
{
    weft_task user, orders, likes;
    (void)weft_spawn(&user, user_task, page);
    (void)weft_spawn(&orders, orders_task, page);
    (void)weft_spawn(&likes, likes_task, page);
    return weft_when((weft_task *const[]){&user, &orders, &likes}, 3, WEFT_FAILFAST, NULL);
}

static int answer_page(int id, char *out, size_t bytes)
{
    struct page page = {.id = id};
    int rc = weft_within(PAGE_TIME, load_page(&page));
    if (rc == -ETIME) {
        atomic_fetch_add(&shop.late, 1);
        (void)snprintf(out, bytes, "customer %d: not in time\n", id);
        return 0;
    }
    (void)snprintf(out, bytes, "customer %d: %s, %d orders, likes %s\n", id, page.user.name,
                   page.orders, page.likes);
    return rc;
}

/* --- price: a dependency that takes few calls at a time --------------------------------------- */

static int get_price(int id, int *cents)
{
    int rc = weft_sem_acquire(&shop.supplier);
    if (rc < 0) {
        return rc;
    }
    rc = weft_sleep(SUPPLIER_TIME);
    (void)weft_sem_release(&shop.supplier, 1);
    *cents = 100 * id + 99;
    return rc;
}

/* --- products: a stream ----------------------------------------------------------------------- */

WEFT_TASK(products, int)
{
    for (int i = 1; i <= *arg; i++) {
        int rc = weft_sleep(WEFT_US(100)); /* the next row */
        rc = rc < 0 ? rc : weft_emit(&i);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int answer_products(int fd, int n)
{
    weft_gen *rows;
    int id = 0;
    int rc = weft_gen_new(&rows, products, &n, sizeof id);
    while (rc >= 0 && (rc = weft_gen_next(rows, &id)) > 0) {
        char line[LINE_BYTES];
        int length = snprintf(line, sizeof line, "product %d\n", id);
        rc = weft_send_all(fd, line, (size_t)length, 0) == length ? 1 : -EPIPE;
    }
    int closed = weft_gen_close(rows); /* a customer who left leaves no query behind */
    return rc < 0 ? rc : closed;
}

/* --- audit: a service ------------------------------------------------------------------------- */

WEFT_TASK(write_audit, mailbox)
{
    struct note note;
    int rc;
    while ((rc = mailbox_recv(*arg, &note)) > 0) { /* 0: closed by the drain, and empty */
        (void)weft_sleep(WEFT_US(200));            /* to a slow disk */
        atomic_fetch_add(&shop.noted, 1);
    }
    return rc;
}

/* --- connections ------------------------------------------------------------------------------ */

static int answer(int fd, const char *request)
{
    char out[LINE_BYTES] = "";
    int id = 0, cents = 0, rc = 0;
    if (sscanf(request, "page %d", &id) == 1 && id > 0) {
        rc = answer_page(id, out, sizeof out);
    } else if (sscanf(request, "price %d", &id) == 1 && id > 0 && id < 10000) {
        rc = get_price(id, &cents);
        (void)snprintf(out, sizeof out, "item %d: %d.%02d\n", id, cents / 100, cents % 100);
    } else if (sscanf(request, "products %d", &id) == 1) {
        rc = answer_products(fd, id);
    } else {
        (void)snprintf(out, sizeof out, "what is \"%.64s\"?\n", request);
    }
    if (rc < 0) {
        return rc;
    }
    (void)strcat(out, ".\n"); /* there is room: no answer above is longer than 160 bytes */
    return weft_send_all(fd, out, strlen(out), 0) < 0 ? -EPIPE : 0;
}

/* One request, of which the first byte is there. 0 or -errno. */
static int answer_next(weft_connection *c, weft_reader *reader)
{
    char *request;
    struct note note;
    int rc = weft_reader_line(reader, 0, &request, NULL);
    if (rc <= 0) {
        return rc;
    }
    rc = answer(c->fd, request);
    atomic_fetch_add(&shop.requests, 1);
    (void)snprintf(note.text, sizeof note.text, "%s", request);
    (void)mailbox_send(shop.audit, &note); /* waits while the audit is behind: back-pressure */
    return rc;
}

static int serve(weft_connection *c)
{
    weft_reader reader;
    weft_reader_init(&reader, c->stream, NULL, LINE_BYTES);
    int rc;
    while ((rc = weft_connection_next(c, &reader)) > 0) {
        rc = weft_connection_within(c, answer_next(c, &reader));
        if (rc < 0) {
            break;
        }
    }
    weft_reader_fini(&reader);
    return rc;
}

/* --- the shop --------------------------------------------------------------------------------- */

static int watch_signals(void *arg)
{
    (void)arg;
    int number = weft_signal_next(&shop.signals);
    shop.why = number > 0 ? strsignal(number) : "no signals";
    (void)weft_server_stop(&shop.server, shop.why);
    (void)weft_listener_close(shop.listener); /* who comes during the drain is refused */
    return 0;
}

static int run_shop(void *arg)
{
    (void)arg;
    int rc = weft_service("audit", write_audit, &shop.audit, .mailbox = shop.audit.chan);
    if (rc < 0) {
        return rc;
    }
    WEFT_SCOPE(watching);
    weft_task task;
    (void)weft_spawn(&task, watch_signals, NULL);
    rc = weft_serve_listener(&shop.server, shop.listener);
    (void)weft_scope_cancel(&watching, "closed"); /* unless a signal was what closed it */
    (void)weft_await(&task);
    (void)weft_scope_end(&watching);
    printf("storefront: closed (%s)\n", shop.why);
    return rc;
}

/* 0; -errno, and the reason has been printed. */
static int open_shop(int port)
{
    char address[WEFT_ADDR_TEXT];
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", port);
    int rc = weft_listen(&shop.listener, address);
    rc = rc < 0 ? rc : weft_signal_open(&shop.signals, (int[]){SIGINT, SIGTERM, 0});
    rc = rc < 0 ? rc : mailbox_new(&shop.audit, 16, NULL);
    if (rc < 0) {
        (void)fprintf(stderr, "storefront: %s: %s\n", address, strerror(-rc));
        return rc;
    }
    weft_addr chosen;
    weft_listener_addr(shop.listener, &chosen);
    weft_addr_format(&chosen, address, sizeof address);
    printf("storefront: listening on %s\n", address);
    (void)fflush(stdout);
    return 0;
}

static int serve_at(int port)
{
    if (open_shop(port) < 0) {
        return 1;
    }
    weft_server_init(&shop.server,
                     &(weft_server_opts){
                         .fn = serve, .idle = IDLE_TIME, .request = IDLE_TIME, .drain = IDLE_TIME});
    weft_sem_init(&shop.supplier, SUPPLIER_CALLS, SUPPLIER_CALLS);
    weft_mutex_init(&shop.users_lock);
    int rc = weft_run(run_shop, NULL); /* drains the audit before it returns */
    weft_server_stats stats;
    weft_server_stats_get(&shop.server, &stats);
    printf("storefront: %d customers, %d requests (%d of the cache, %d late), %d in the audit\n",
           (int)stats.accepted, atomic_load(&shop.requests), atomic_load(&shop.hits),
           atomic_load(&shop.late), atomic_load(&shop.noted));
    weft_mutex_fini(&shop.users_lock);
    weft_sem_fini(&shop.supplier);
    weft_server_fini(&shop.server);
    weft_listener_free(shop.listener);
    weft_signal_close(&shop.signals);
    mailbox_free(shop.audit);
    return rc < 0;
}

/* --- the client ------------------------------------------------------------------------------- */

struct client {
    int port;
    char **requests;
};

/* Prints lines until the one that ends an answer. */
static int show_answer(weft_reader *reader)
{
    char *line;
    int rc;
    while ((rc = weft_reader_line(reader, 0, &line, NULL)) > 0 && strcmp(line, ".") != 0) {
        printf("%s\n", line);
    }
    return rc > 0 ? 0 : -EPIPE;
}

static int ask_all(int fd, char **requests)
{
    weft_reader reader;
    int rc = 0;
    weft_reader_init(&reader, weft_stream_socket(fd), NULL, LINE_BYTES);
    for (char **request = requests; rc == 0 && *request != NULL; request++) {
        char line[LINE_BYTES];
        int length = snprintf(line, sizeof line, "%s\n", *request);
        if (length >= (int)sizeof line) {
            rc = -EMSGSIZE;
        } else if (weft_send_all(fd, line, (size_t)length, 0) != length) {
            rc = -EPIPE;
        } else {
            rc = show_answer(&reader);
        }
    }
    weft_reader_fini(&reader);
    return rc;
}

static int ask(void *arg)
{
    struct client *client = arg;
    char service[8];
    (void)snprintf(service, sizeof service, "%d", client->port);
    int rc = weft_within(WEFT_SEC(5), weft_connect_to("127.0.0.1", service));
    if (rc >= 0) {
        int fd = rc;
        rc = ask_all(fd, client->requests);
        (void)weft_close(fd);
    }
    if (rc < 0) {
        (void)fprintf(stderr, "storefront: %s\n", strerror(-rc));
    }
    return rc;
}

/* A port, or -1. */
static int port_of(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    return *text != '\0' && *end == '\0' && port >= 0 && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    int option, port = 0;
    bool client = false, wrong = false;
    while ((option = getopt(argc, argv, "p:c:")) != -1) {
        wrong = wrong || option == '?';
        port = option == '?' ? -1 : port_of(optarg);
        client = client || option == 'c';
        wrong = wrong || port < 0;
    }
    if (wrong || (client ? optind == argc : optind != argc)) {
        (void)fprintf(stderr, "usage: storefront [-p PORT]\n"
                              "       storefront -c PORT REQUEST...\n");
        return 2;
    }
    if (client) {
        struct client ask_for = {.port = port, .requests = argv + optind};
        return weft_run(ask, &ask_for, .workers = 1) < 0;
    }
    return serve_at(port);
}
