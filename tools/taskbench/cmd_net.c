/* cmd_net.c: `taskbench net`: requests over loopback, in a closed or an open loop. */
#include "child.h"
#include "command.h"
#include "exit.h"
#include "net.h"
#include "sheet.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

const char tb_net_details[] =
    "Asks a server by weft, in a process of its own, over loopback, and compares\n"
    "every answer. Without --rate each connection asks again as soon as it has its\n"
    "answer; with it requests are due at times that do not move, and latency is from\n"
    "then.\n"
    "\n"
    "  --rate N         requests per second, all connections together\n"
    "  --arrivals constant|poisson   how they are spread (constant)\n"
    "  --connections C  1 to 1024 (64)\n"
    "  --bytes B        of a request and its echo, of a body (64)\n"
    "  --seconds S      for what is counted (3); 0.2 s before it are not\n"
    "  --workers N      of the server (1); with a CPU to spare both sides are pinned\n"
    "  --connect HOST:PORT   another server, an address of loopback; its HTTP bodies\n"
    "                   must be alike\n"
    "  --seed N         of the arrivals (1)\n" TB_SHEET_HELP "\n"
    "time/op is the inverse of the throughput; below it are percentiles (from when a\n"
    "request was due), CPU time of the server per request, and what was not answered.\n"
    "\n"
    "Exit codes: as 'taskbench run'; 3 also: no connection to HOST:PORT.\n";

struct session {
    struct tb_sheet sheet;
    struct tb_net net; /* options */
    struct tb_words words;
    const char *connect;
    int arrivals;
};

static const char *const kinds[] = {"echo", "http", NULL};
static const char *const arrivals[] = {"constant", "poisson", NULL};

#define PARAMS                                                     \
    {                                                              \
        {.key = "connections"}, {.key = "bytes"}, {.key = "rate"}, \
        {                                                          \
            .key = NULL                                            \
        }                                                          \
    }

static const struct tb_load loads[] = {
    [TB_NET_ECHO] = {.name = "net/echo", .group = "net", .op = "request", .params = PARAMS},
    [TB_NET_HTTP] = {.name = "net/http", .group = "net", .op = "request", .params = PARAMS},
};

static int complain(const char *text)
{
    fprintf(stderr, "taskbench: %s\n", text);
    return TB_EXIT_USAGE;
}

/* --- the command line ------------------------------------------------------------------------- */

static int parse(struct session *s, int argc, char **argv)
{
    struct tb_net *net = &s->net;
    static uint64_t workers = 1;
    const struct tb_opt table[] = {
        {.name = "--rate", .kind = TB_OPT_COUNT, .value = &net->rate, .least = 1, .most = 1e8},
        {.name = "--arrivals", .kind = TB_OPT_CHOICE, .value = &s->arrivals, .choices = arrivals},
        {.name = "--connections",
         .kind = TB_OPT_COUNT,
         .value = &net->connections,
         .least = 1,
         .most = TB_NET_CONNECTIONS_MAX},
        {.name = "--bytes",
         .kind = TB_OPT_BYTES,
         .value = &net->bytes,
         .least = 1,
         .most = TB_NET_BYTES_MAX},
        {.name = "--connect", .kind = TB_OPT_TEXT, .value = &s->connect},
        TB_LOAD_OPTS(&s->sheet, &net->seconds, &workers),
        TB_SHEET_OPTS(&s->sheet),
        {.name = NULL},
    };
    *net = (struct tb_net){.connections = 64, .bytes = 64, .seconds = 3};
    int rc = tb_sheet_parse(&s->sheet, table, argc, argv, &s->words);
    net->workers = (int)workers;
    net->poisson = s->arrivals == 1;
    net->seed = s->sheet.args.seed;
    return rc;
}

/* "127.0.0.1:8080", "localhost:8080". Loopback only: this sends as fast as it can. */
static bool read_address(const char *text, struct sockaddr_in *out)
{
    char host[32];
    char *end;
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host) {
        return false;
    }
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    long port = strtol(colon + 1, &end, 10);
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool known = inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                           &out->sin_addr) == 1;
    return known && *end == '\0' && colon[1] != '\0' && port > 0 && port < 65536 &&
           ntohl(out->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static int check(struct session *s)
{
    if (s->words.n == 0) {
        return complain("net needs echo or http, as in 'net echo'");
    }
    for (int i = 0; i < s->words.n; i++) {
        if (tb_choice_of(kinds, s->words.at[i]) < 0) {
            char text[100];
            snprintf(text, sizeof text, "net knows echo and http, not '%.40s'", s->words.at[i]);
            return complain(text);
        }
    }
    if (s->connect && !read_address(s->connect, &s->net.server)) {
        return complain("--connect is an address of loopback and a port, as in 127.0.0.1:8080");
    }
    s->net.foreign = s->connect != NULL;
    return 0;
}

/* --- rows ------------------------------------------------------------------------------------- */

static void tick(void *arg, const struct tb_row *row, double fraction)
{
    tb_progress_part(arg, row, fraction);
}

static void measure(struct session *s, struct tb_net *net, struct tb_row *row)
{
    struct tb_peer peer;
    if (net->foreign) {
        tb_net_run(net, NULL, row, tick, &s->sheet.progress);
        return;
    }
    if (tb_peer_start(&peer, net) < 0) {
        row->status = TB_ROW_SKIPPED;
        snprintf(row->reason, sizeof row->reason, "%s", peer.error);
        return;
    }
    tb_net_run(net, &peer, row, tick, &s->sheet.progress);
    if (tb_peer_stop(&peer, row) < 0 && row->status == TB_ROW_OK) {
        row->status = TB_ROW_WRONG;
        snprintf(row->reason, sizeof row->reason, "%s", peer.error);
    }
}

static void measure_word(void *arg, const char *word)
{
    struct session *s = arg;
    enum tb_net_kind kind = (enum tb_net_kind)tb_choice_of(kinds, word);
    static struct tb_row row; /* too large for the stack, as the next */
    static struct tb_net net;
    net = s->net;
    net.kind = kind;
    row = (struct tb_row){.load = &loads[kind],
                          .workers = net.foreign ? 1 : net.workers,
                          .seed = net.seed,
                          .params = {net.connections, net.bytes, net.rate},
                          .line_ns = -1};
    tb_progress_row(&s->sheet.progress);
    measure(s, &net, &row);
    tb_sheet_measured(&s->sheet, &row);
}

int tb_cmd_net(int argc, char **argv)
{
    static struct session s = {.sheet = {.command = "net"}};
    int rc = parse(&s, argc, argv);
    if (rc < 0) {
        return -1 - rc;
    }
    rc = check(&s);
    return rc ? rc : tb_sheet_each(&s.sheet, &s.words, measure_word, &s);
}
