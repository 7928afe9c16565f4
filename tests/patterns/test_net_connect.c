/* test_net_connect.c: names of hosts, and connecting by name. getaddrinfo is ours here, so that
 * names mean what a test needs, and it blocks for as long as that wants. */
#include "net_pattern.h"
#include <netdb.h>
#include <pthread.h>

/* --- the stand-in for a name server ----------------------------------------------------------- */

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_changed = PTHREAD_COND_INITIALIZER;
static bool names_blocked; /* lookups of "slow..." wait while it is so */
static int lookups_begun, lookups_over;

static struct addrinfo *add(struct addrinfo *rest, const char *address, int port)
{
    struct {
        struct addrinfo info;
        struct sockaddr_storage storage;
    } *one = calloc(1, sizeof *one);
    weft_addr parsed;
    char text[WEFT_ADDR_TEXT];
    snprintf(text, sizeof text, strchr(address, ':') != NULL ? "[%s]:%d" : "%s:%d", address, port);
    wt_eq(weft_addr_parse(&parsed, text), 0, "%s", text);
    one->storage = parsed.storage;
    one->info = (struct addrinfo){.ai_family = parsed.storage.ss_family,
                                  .ai_addrlen = parsed.bytes,
                                  .ai_addr = (struct sockaddr *)&one->storage,
                                  .ai_next = rest};
    return &one->info;
}

/* "list-ADDRESS-ADDRESS-...": these, in this order. */
static struct addrinfo *list(const char *host, int port)
{
    char text[256];
    snprintf(text, sizeof text, "%s", host);
    struct addrinfo *all = NULL;
    char *last;
    while ((last = strrchr(text, '-')) != NULL) { /* ends: cuts */
        all = add(all, last + 1, port);
        *last = '\0';
    }
    return all;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    pthread_mutex_lock(&names_lock);
    lookups_begun++;
    pthread_cond_broadcast(&names_changed);
    while (names_blocked && strncmp(host, "slow", 4) == 0) {
        pthread_cond_wait(&names_changed, &names_lock);
    }
    lookups_over++;
    pthread_mutex_unlock(&names_lock);
    wt_eq(hints->ai_socktype, SOCK_STREAM);
    if (strcmp(host, "none.test") == 0) {
        return EAI_NONAME;
    }
    if (strcmp(host, "again.test") == 0) {
        return EAI_AGAIN;
    }
    if (strcmp(host, "full.test") == 0) { /* as glibc does whose first lookup has no descriptors */
        errno = EMFILE;
        return EAI_NONAME;
    }
    if (strcmp(host, "broken.test") == 0) {
        errno = ENETDOWN;
        return EAI_SYSTEM;
    }
    int port = service != NULL ? atoi(service) : 0;
    *out = strncmp(host, "list-", 5) == 0 ? list(host, port) : add(NULL, "127.0.0.1", port);
    return 0;
}

void freeaddrinfo(struct addrinfo *all)
{
    while (all != NULL) {
        struct addrinfo *next = all->ai_next;
        free(all);
        all = next;
    }
}

static void block_names(bool blocked)
{
    pthread_mutex_lock(&names_lock);
    names_blocked = blocked;
    pthread_cond_broadcast(&names_changed);
    pthread_mutex_unlock(&names_lock);
}

static int lookups(void)
{
    pthread_mutex_lock(&names_lock);
    int count = lookups_begun;
    pthread_mutex_unlock(&names_lock);
    return count;
}

/* --- names ------------------------------------------------------------------------------------ */

static void check_one(const char *host, const char *service, const char *same)
{
    weft_addr address;
    char text[WEFT_ADDR_TEXT];
    wt_eq(weft_resolve(host, service, &address, 1), 1, "%s", same);
    weft_addr_format(&address, text, sizeof text);
    wt_str_eq(text, same);
}

TaskTest(net_resolve, numbers_are_answered_without_a_lookup, 1)
{
    weft_addr out[4];
    check_one("127.0.0.1", "80", "127.0.0.1:80");
    check_one("::1", "443", "[::1]:443");
    check_one("fe80::1%1", "1", "[fe80::1%1]:1");
    check_one("10.0.0.1", NULL, "10.0.0.1:0");
    wt_eq(weft_resolve(NULL, "80", out, 4), 2);
    wt_eq(weft_resolve(NULL, "80", out, 1), 1);
    wt_eq(weft_resolve(NULL, "80", out, 4, .family = AF_INET), 1);
    char text[WEFT_ADDR_TEXT];
    weft_addr_format(&out[0], text, sizeof text);
    wt_str_eq(text, "127.0.0.1:80");
    wt_eq(weft_resolve(NULL, "80", out, 4, .family = AF_INET, .passive = 1), 1);
    weft_addr_format(&out[0], text, sizeof text);
    wt_str_eq(text, "0.0.0.0:80");
    wt_eq(weft_within(0, weft_resolve("127.0.0.1", "80", out, 4)), 1, "it need not wait");
    wt_eq(weft_resolve("127.0.0.1", "80", out, 4, .family = AF_INET6), -ENOENT);
    wt_eq(weft_resolve("127.0.0.1", "65536", out, 4), -ERANGE);
    wt_eq(lookups(), 0);
    return 0;
}

TaskTest(net_resolve, names_are_looked_up_elsewhere, 1)
{
    weft_addr out[3];
    check_one("some.test", "80", "127.0.0.1:80");
    wt_eq(weft_resolve("list-127.0.0.1-127.0.0.2-127.0.0.3-127.0.0.4", "7", out, 3), 3,
          "as many as fit");
    char text[WEFT_ADDR_TEXT];
    weft_addr_format(&out[2], text, sizeof text);
    wt_str_eq(text, "127.0.0.3:7");
    wt_eq(lookups(), 2);
    return 0;
}

TaskTest(net_resolve, what_a_name_server_says_is_an_error_with_a_text, 1)
{
    weft_addr out;
    wt_eq(weft_resolve("none.test", "80", &out, 1), -ENOENT);
    wt_str_eq(weft_last()->text, "resolve none.test port 80");
    wt_eq(weft_resolve("again.test", "80", &out, 1), -EAGAIN);
    wt_eq(weft_resolve("broken.test", "80", &out, 1), -ENETDOWN);
    wt_eq(weft_resolve("full.test", "80", &out, 1), -EMFILE);
    wt_eq(weft_resolve(NULL, NULL, &out, 1), -EINVAL);
    wt_eq(weft_resolve("some.test", "80", &out, 0), -EINVAL);
    char long_name[300];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    wt_eq(weft_resolve(long_name, "80", &out, 1), -EINVAL);
    wt_eq(weft_resolve("some.test", long_name, &out, 1), -EINVAL);
    WEFT_SCOPE(scope);
    weft_scope_cancel(&scope, "test");
    wt_eq(weft_resolve("some.test", "80", &out, 1), -ECANCELED);
    weft_scope_end(&scope);
    wt_eq(weft_within(0, weft_resolve("some.test", "80", &out, 1)), -ETIME);
    return 0;
}

TaskTest(net_resolve, a_deadline_leaves_a_slow_lookup_to_itself, 2)
{
    weft_addr out;
    block_names(true);
    wt_eq(weft_within(WEFT_MS(1), weft_resolve("slow.test", "80", &out, 1)), -ETIME);
    wt_eq(weft_resolve("some.test", "80", &out, 1), 1, "others go on");
    block_names(false);
    wt_eq(weft_resolve("slow.test", "80", &out, 1), 1);
    return 0;
}

TaskTest(net_resolve, as_many_lookups_are_given_up_and_no_more, 1)
{
    weft_addr out;
    block_names(true);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    /* one that is given up before its thread has begun ends at once, and makes room for another */
    while (lookups() < WEFT_LOOKUPS_ABANDONED_MAX) {
        int rc = weft_within(WEFT_MS(1), weft_resolve("slow.test", "80", &out, 1));
        wt_true(rc == -ETIME || rc == -EAGAIN, "%d", rc);
        wt_lt(now_ns(), give_up_ns);
        weft_yield();
    }
    wt_eq(weft_resolve("slow.test", "80", &out, 1), -EAGAIN);
    wt_eq(lookups(), WEFT_LOOKUPS_ABANDONED_MAX);
    wt_eq(weft_resolve("some.test", "80", &out, 1), -EAGAIN);
    wt_eq(weft_resolve("127.0.0.1", "80", &out, 1), 1, "numbers are none of them");
    block_names(false);
    while (weft_resolve("some.test", "80", &out, 1) == -EAGAIN) { /* ends: they end */
        wt_lt(now_ns(), give_up_ns);
        weft_sleep(WEFT_MS(1));
    }
    return 0;
}

WEFT_TASK(resolve_slowly, const char *)
{
    weft_addr out;
    return weft_resolve(*arg, "80", &out, 1);
}

/* One thread, and more that wait for it than may be given up. */
static int give_up_in_line(void *arg)
{
    const char *host = arg;
    block_names(true);
    WEFT_SCOPE(s);
    for (int i = 0; i < WEFT_LOOKUPS_ABANDONED_MAX + 2; i++) {
        wt_eq(weft_go(&s, resolve_slowly, &host), 0);
    }
    while (lookups() == 0) { /* ends: the first comes to the thread */
        weft_yield();
    }
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    WEFT_SCOPE(next);
    wt_eq(weft_go(&next, resolve_slowly, &host), 0);
    weft_yield();
    wt_eq(weft_scope_count(&next), 1);
    block_names(false);
    wt_eq(weft_scope_end(&next), 0);
    wt_eq(lookups(), 2);
    return 0;
}

Test(net_resolve, what_waits_in_line_and_is_given_up_does_not_count, .timeout = 60)
{
    wt_eq(weft_run(give_up_in_line, (void *)"slow.test", .workers = 1, .blocking_max = 1), 0);
}

static int give_up(void *arg)
{
    (void)arg;
    weft_addr out;
    wt_eq(weft_within(WEFT_MS(1), weft_resolve("slow.test", "80", &out, 1)), -ETIME);
    return 0;
}

static void *unblock_names(void *arg)
{
    (void)arg;
    block_names(false);
    return NULL;
}

Test(net_resolve, stopping_the_runtime_waits_for_a_lookup_that_was_given_up)
{
    weft_rt *rt;
    pthread_t thread;
    block_names(true);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    wt_eq(weft_call(rt, give_up, NULL), 0);
    wt_eq(pthread_create(&thread, NULL, unblock_names, NULL), 0);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(30), WEFT_SEC(30)), 0);
    weft_rt_free(rt);
    wt_eq(lookups_over, lookups_begun);
    pthread_join(thread, NULL);
}

Test(net_resolve, outside_of_a_task_it_is_refused)
{
    weft_addr out;
    wt_eq(weft_resolve("some.test", "80", &out, 1), -EPERM);
    wt_eq(weft_connect_to("127.0.0.1", "80"), -EPERM);
    wt_eq(weft_connect_addr(&out, NULL), -EPERM);
}

/* --- connecting ------------------------------------------------------------------------------- */

#define HOUR WEFT_SEC(3600) /* a stagger that nobody waits for */

/* Addresses of the loopback network that no other process of these tests uses: then its ports are
 * ours. `n` from 1 to 4. */
static const char *ours(int n)
{
    static char text[5][40];
    unsigned pid = (unsigned)getpid();
    snprintf(text[n], sizeof text[n], "127.%u.%u.%d", 64 + pid / 256 % 128, pid % 256, n);
    return text[n];
}

/* The name that means these addresses; 0: ::1. */
static const char *name_of(int first, int second, int third)
{
    static char text[200];
    int numbers[3] = {first, second, third};
    snprintf(text, sizeof text, "list");
    for (int i = 0; i < 3; i++) {
        size_t at = strlen(text);
        if (numbers[i] >= 0) {
            snprintf(text + at, sizeof text - at, "-%s", numbers[i] > 0 ? ours(numbers[i]) : "::1");
        }
    }
    return text;
}

/* Listens on `host`; the port, also as text. */
static weft_listener *listen_on(const char *host, int port, char out[8])
{
    char text[WEFT_ADDR_TEXT];
    weft_listener *listener;
    weft_addr address;
    snprintf(text, sizeof text, strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d", host, port);
    wt_eq(weft_listen(&listener, text), 0, "%s", text);
    weft_listener_addr(listener, &address);
    snprintf(out, 8, "%d", weft_addr_port(&address));
    return listener;
}

/* Something at `host` and this port that does not answer: a socket whose backlog is full. */
struct silent {
    int listener;
    int clients[2];
};

static void be_silent(struct silent *silent, const char *host, const char *port)
{
    weft_addr address;
    char text[WEFT_ADDR_TEXT];
    snprintf(text, sizeof text, "%s:%s", host, port);
    wt_eq(weft_addr_parse(&address, text), 0);
    silent->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(silent->listener, (struct sockaddr *)&address.storage, address.bytes), 0);
    wt_eq(listen(silent->listener, 0), 0);
    silent->clients[0] = plain_connect(&address);
    silent->clients[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    wt_eq(connect(silent->clients[1], (struct sockaddr *)&address.storage, address.bytes), -1);
}

static void end_silence(const struct silent *silent)
{
    close(silent->clients[0]);
    close(silent->clients[1]);
    close(silent->listener);
}

static void check_peer(int fd, const char *host)
{
    weft_addr peer;
    char text[WEFT_ADDR_TEXT];
    wt_ge(fd, 0);
    wt_eq(weft_addr_peer(fd, &peer), 0);
    weft_addr_format(&peer, text, sizeof text);
    *strrchr(text, ':') = '\0';
    wt_str_eq(text, host);
}

TaskTest(net_connect, a_name_is_connected_to, 1)
{
    int before = open_descriptors();
    char port[8];
    weft_listener *listener = listen_on("127.0.0.1", 0, port);
    int fd = weft_connect_to("some.test", port, .conn.nodelay = 1);
    check_peer(fd, "127.0.0.1");
    wt_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    wt_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    int value = 0;
    socklen_t bytes = sizeof value;
    wt_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &bytes), 0);
    wt_eq(value, 1);
    int peer = weft_listener_accept(listener, NULL);
    wt_eq(weft_send(fd, "hello", 5, 0), 5);
    char buffer[5];
    wt_eq(weft_recv(peer, buffer, 5, MSG_WAITALL), 5);
    weft_close(peer);
    weft_close(fd);
    fd = weft_connect_to("127.0.0.1", port);
    check_peer(fd, "127.0.0.1");
    weft_close(fd);
    weft_listener_free(listener);
    wt_eq(open_descriptors(), before);
    return 0;
}

TaskTest(net_connect, when_the_first_address_does_not_answer_the_next_is_tried_beside_it, 1)
{
    int before = open_descriptors();
    char port[8];
    struct silent silent;
    weft_listener *listener = listen_on(ours(1), 0, port);
    be_silent(&silent, ours(2), port);
    int with_silence = open_descriptors();
    int fd = weft_connect_to(name_of(2, 1, -1), port, .stagger = WEFT_MS(1));
    check_peer(fd, ours(1));
    weft_close(fd);
    wt_eq(open_descriptors(), with_silence, "the loser is closed");
    end_silence(&silent);
    weft_listener_free(listener);
    wt_eq(open_descriptors(), before);
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    return 0;
}

TaskTest(net_connect, a_failure_begins_the_next_address_at_once, 1)
{
    char port[8];
    weft_listener *listener = listen_on(ours(1), 0, port);
    int fd = weft_connect_to(name_of(2, 3, 1), port, .stagger = HOUR);
    check_peer(fd, ours(1));
    weft_close(fd);
    weft_listener_free(listener);
    return 0;
}

TaskTest(net_connect, families_alternate, 1)
{
    char port[8];
    struct silent silent;
    weft_listener *probe;
    if (weft_listen(&probe, "[::1]:0", .v6only = 1) < 0) {
        return 0; /* no IPv6 here */
    }
    weft_listener_free(probe);
    weft_listener *listener = listen_on("::1", 0, port);
    be_silent(&silent, ours(3), port);
    /* .2 refuses; then comes ::1, not .3, which does not answer */
    int fd = weft_connect_to(name_of(2, 3, 0), port, .stagger = HOUR);
    check_peer(fd, "[::1]");
    weft_close(fd);
    end_silence(&silent);
    weft_listener_free(listener);
    return 0;
}

TaskTest(net_connect, when_all_fail_the_first_error_is_told, 1)
{
    int before = open_descriptors();
    char port[8];
    weft_listener *listener = listen_on(ours(1), 0, port);
    wt_eq(weft_connect_to(name_of(2, 3, -1), port, .stagger = HOUR), -ECONNREFUSED);
    char text[200];
    snprintf(text, sizeof text, "connect to %s port %s, first %s:%s", name_of(2, 3, -1), port,
             ours(2), port);
    wt_str_eq(weft_last()->text, text);
    wt_eq(weft_connect_to("none.test", port), -ENOENT);
    wt_eq(weft_connect_to("127.0.0.1", "70000"), -ERANGE);
    wt_eq(weft_connect_to("127.0.0.1", port, .family = AF_INET6), -ENOENT);
    wt_eq(weft_connect_to("127.0.0.1", port, .conn.send_bytes = -1), -EINVAL);
    weft_listener_free(listener);
    wt_eq(open_descriptors(), before);
    return 0;
}

TaskTest(net_connect, the_deadline_holds_for_the_whole, 2)
{
    char port[8];
    struct silent silent[2];
    weft_listener *listener = listen_on(ours(1), 0, port);
    be_silent(&silent[0], ours(2), port);
    be_silent(&silent[1], ours(3), port);
    int before = open_descriptors();
    wt_eq(weft_within(WEFT_MS(10), weft_connect_to(name_of(2, 3, -1), port, .stagger = WEFT_MS(1))),
          -ETIME);
    wt_eq(weft_within(WEFT_MS(5), weft_connect_to(ours(2), port)), -ETIME);
    wt_eq(weft_within(0, weft_connect_to(ours(2), port)), -ETIME);
    block_names(true);
    wt_eq(weft_within(WEFT_MS(1), weft_connect_to("slow.test", port)), -ETIME);
    block_names(false);
    WEFT_SCOPE(scope);
    weft_scope_cancel(&scope, "test");
    wt_eq(weft_connect_to("127.0.0.1", port), -ECANCELED);
    weft_scope_end(&scope);
    wt_eq(open_descriptors(), before);
    end_silence(&silent[0]);
    end_silence(&silent[1]);
    weft_listener_free(listener);
    return 0;
}

/* Cancelled at any moment: nothing is left, and what was won is the caller's. */
struct caller {
    const char *port;
    atomic_int begun;
    int fd;
};

static int connect_once(void *arg)
{
    struct caller *caller = arg;
    atomic_store(&caller->begun, 1);
    caller->fd = weft_connect_to(name_of(2, 1, -1), caller->port, .stagger = WEFT_US(50));
    return 0;
}

TaskTest(net_connect, a_call_that_is_cancelled_leaves_nothing, 2)
{
    char port[8];
    struct silent silent;
    weft_listener *listener = listen_on(ours(1), 0, port);
    be_silent(&silent, ours(2), port);
    int before = open_descriptors();
    for (int i = 0; i < 100; i++) {
        struct caller caller = {.port = port};
        weft_task task;
        WEFT_SCOPE(scope);
        wt_eq(weft_spawn(&task, connect_once, &caller), 0);
        yield_until(&caller.begun, 1);
        weft_sleep(WEFT_US(i * 5));
        weft_scope_cancel(&scope, "test");
        wt_eq(weft_await(&task), 0);
        weft_scope_end(&scope);
        wt_true(caller.fd >= 0 || caller.fd == -ECANCELED, "%d", caller.fd);
        if (caller.fd >= 0) {
            weft_close(caller.fd);
        }
        wt_eq(open_descriptors(), before);
    }
    end_silence(&silent);
    weft_listener_free(listener);
    return 0;
}

TaskTest(net_connect, one_address_of_any_kind, 1)
{
    char text[WEFT_ADDR_TEXT];
    unix_text(text, "s");
    weft_listener *listener;
    wt_eq(weft_listen(&listener, text), 0);
    weft_addr address;
    wt_eq(weft_addr_parse(&address, text), 0);
    int fd = weft_connect_addr(&address, &(weft_conn_opts){.send_bytes = 10000});
    wt_ge(fd, 0);
    weft_close(fd);
    weft_listener_free(listener);
    wt_eq(weft_connect_addr(&address, NULL), -ENOENT);
    remove_unix_text(text);
    weft_addr none = {0};
    wt_lt(weft_connect_addr(&none, NULL), 0);
    wt_eq(weft_connect_addr(&address, &(weft_conn_opts){.recv_bytes = -1}), -EINVAL);
    return 0;
}
