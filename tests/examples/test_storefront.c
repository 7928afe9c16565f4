/* test_storefront.c: examples/storefront.c as a program: a server, its client, and how it
 * closes. */
#include "program.h"
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

static char port[8];

static void open_shop(struct program *shop)
{
    program_start(shop, example("storefront"));
    const char *line = program_await(shop, &shop->out, "listening on 127.0.0.1:");
    wt_eq(sscanf(line, "listening on 127.0.0.1:%7[0-9]", port), 1);
}

static void close_shop(struct program *shop)
{
    wt_eq(kill(shop->pid, SIGTERM), 0);
    wt_eq(program_wait(shop, PROGRAM_PATIENCE_MS), 0, "%s", shop->err.bytes);
}

static void expect_says(const struct text *text, const char *part)
{
    wt_true(strstr(text->bytes, part) != NULL, "no \"%s\" in: %s", part, text->bytes);
}

Test(storefront, answers_what_the_guide_shows)
{
    struct program shop, client;
    open_shop(&shop);
    program_start(&client, example("storefront"), "-c", port, "page 7", "page 7", "price 7",
                  "products 3", "page 13", "nothing");
    wt_eq(program_wait(&client, PROGRAM_PATIENCE_MS), 0, "%s", client.err.bytes);
    wt_str_eq(client.out.bytes, "customer 7: dan, 2 orders, likes music\n"
                                "customer 7: dan, 2 orders, likes music\n"
                                "item 7: 7.99\n"
                                "product 1\n"
                                "product 2\n"
                                "product 3\n"
                                "customer 13: not in time\n"
                                "what is \"nothing\"?\n");
    close_shop(&shop);
    expect_says(&shop.out, "closed (Terminated)");
    expect_says(&shop.out, "1 customers, 6 requests (1 of the cache, 1 late), 6 in the audit");
    wt_str_eq(shop.err.bytes, "");
    program_free(&client);
    program_free(&shop);
}

static int connect_to_shop(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    wt_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

Test(storefront, closing_ends_idle_connections_and_lets_requests_finish)
{
    struct program shop;
    open_shop(&shop);
    int idle = connect_to_shop(), busy = connect_to_shop();
    wt_eq(send(busy, "products 200\n", 13, 0), 13);
    char first;
    wt_eq(recv(busy, &first, 1, 0), 1); /* it has begun */
    close_shop(&shop);
    char bytes[8192];
    size_t used = 0;
    ssize_t n;
    while ((n = recv(busy, bytes + used, sizeof bytes - 1 - used, 0)) > 0) {
        used += (size_t)n;
    }
    bytes[used] = '\0';
    wt_true(strstr(bytes, "product 200\n.\n") != NULL, "%s", bytes);
    wt_eq(recv(idle, bytes, 1, 0), 0);
    close(idle);
    close(busy);
    program_free(&shop);
}

Test(storefront, a_customer_who_leaves_in_the_middle_costs_nothing)
{
    struct program shop;
    open_shop(&shop);
    for (int i = 0; i < 20; i++) {
        int fd = connect_to_shop();
        wt_eq(send(fd, "products 1000000\n", 17, 0), 17);
        char first;
        wt_eq(recv(fd, &first, 1, 0), 1);
        close(fd);
    }
    close_shop(&shop);
    expect_says(&shop.out, "20 customers, 20 requests");
    program_free(&shop);
}

Test(storefront, a_wrong_usage_exits_with_2)
{
    struct program program;
    program_start(&program, example("storefront"), "-p", "http");
    wt_eq(program_wait(&program, PROGRAM_PATIENCE_MS), 2);
    expect_says(&program.err, "usage: storefront");
    program_free(&program);
}
