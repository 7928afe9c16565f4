/* test_net_addr.c: addresses as text, and those of sockets. */
#include "net_pattern.h"
#include <arpa/inet.h>
#include <net/if.h>

static void check_round_trip(const char *text, const char *same)
{
    weft_addr address;
    wt_eq(weft_addr_parse(&address, text), 0, "%s", text);
    char again[WEFT_ADDR_TEXT];
    int length = weft_addr_format(&address, again, sizeof again);
    wt_str_eq(again, same);
    wt_eq(length, strlen(same));
    weft_addr second;
    wt_eq(weft_addr_parse(&second, again), 0, "%s", again);
    wt_eq(second.bytes, address.bytes);
    wt_mem_eq(&second.storage, &address.storage, address.bytes);
}

Test(net_addr, what_is_parsed_is_formatted_and_parsed_again)
{
    check_round_trip("127.0.0.1:80", "127.0.0.1:80");
    check_round_trip("0.0.0.0:0", "0.0.0.0:0");
    check_round_trip("255.255.255.255:65535", "255.255.255.255:65535");
    check_round_trip("[::1]:80", "[::1]:80");
    check_round_trip("[2001:DB8:0::0:1]:443", "[2001:db8::1]:443");
    check_round_trip("[fe80::1%1]:80", "[fe80::1%1]:80");
    check_round_trip("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1");
    check_round_trip(":80", "[::]:80");
    check_round_trip("127.0.0.1:00080", "127.0.0.1:80");
    check_round_trip("unix:/run/weft.sock", "unix:/run/weft.sock");
    check_round_trip("unix:relative", "unix:relative");
    check_round_trip("unix:./@file", "unix:./@file");
    check_round_trip("unix:@name", "unix:@name");
}

Test(net_addr, an_interface_is_found_by_its_name)
{
    weft_addr address;
    if (if_nametoindex("lo") == 0) {
        wt_skip("no interface lo");
    }
    wt_eq(weft_addr_parse(&address, "[fe80::1%lo]:80"), 0);
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address.storage;
    wt_eq(v6->sin6_scope_id, if_nametoindex("lo"));
    wt_eq(weft_addr_parse(&address, "[fe80::1%nowhere0]:80"), -ENODEV);
    wt_eq(weft_addr_parse(&address, "[fe80::1%]:80"), -ENODEV);
    wt_eq(weft_addr_parse(&address, "[fe80::1%averyverylongname]:80"), -ENODEV);
}

Test(net_addr, what_is_no_address_is_refused)
{
    static const char *const bad[] = {
        "",
        "80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:80x",
        "256.0.0.1:80",
        "1.2.3:80",
        "localhost:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "[]:80x",
        "[127.0.0.1]:80",
        "[:::1]:80",
        "127.0.0.1:-1",
        "127.0.0.1: 80",
        "unix:",
        "unix:@",
        "[fe80::1%1:80",
        "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff]:1",
        "a.very.long.name.that.is.no.address.but.is.longer.than.any.address.could.possibly.be:80",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weft_addr address;
        memset(&address, 0xff, sizeof address);
        wt_eq(weft_addr_parse(&address, bad[i]), -EINVAL, "%s", bad[i]);
        wt_eq(address.bytes, 0);
        wt_eq(address.storage.ss_family, 0);
    }
    weft_addr address;
    wt_eq(weft_addr_parse(&address, "127.0.0.1:65536"), -ERANGE);
    wt_eq(weft_addr_parse(&address, "[::1]:99999999999999999999"), -ERANGE);
}

Test(net_addr, a_unix_path_has_107_bytes_at_most)
{
    char text[200] = "unix:";
    weft_addr address;
    memset(text + 5, 'x', 107);
    wt_eq(weft_addr_parse(&address, text), 0);
    char again[WEFT_ADDR_TEXT];
    wt_eq(weft_addr_format(&address, again, sizeof again), 112);
    wt_str_eq(again, text);
    text[5 + 107] = 'x';
    wt_eq(weft_addr_parse(&address, text), -ENAMETOOLONG);
}

Test(net_addr, what_does_not_fit_is_cut_and_its_length_told)
{
    weft_addr address;
    wt_eq(weft_addr_parse(&address, "127.0.0.1:80"), 0);
    char small[5] = "xxxx";
    wt_eq(weft_addr_format(&address, small, sizeof small), 12);
    wt_str_eq(small, "127.");
    wt_eq(weft_addr_format(&address, NULL, 0), 12);
    weft_addr none = {0};
    char text[WEFT_ADDR_TEXT];
    weft_addr_format(&none, text, sizeof text);
    wt_str_eq(text, "-");
    wt_eq(weft_addr_port(&none), -1);
    weft_addr other = {.bytes = 16, .storage.ss_family = AF_NETLINK};
    weft_addr_format(&other, text, sizeof text);
    wt_str_eq(text, "family 16");
}

Test(net_addr, a_socket_says_its_own_and_its_peers)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    weft_addr bound;
    wt_eq(weft_addr_parse(&bound, "127.0.0.1:0"), 0);
    wt_eq(weft_addr_port(&bound), 0);
    wt_eq(bind(listener, (struct sockaddr *)&bound.storage, bound.bytes), 0);
    wt_eq(listen(listener, 1), 0);
    wt_eq(weft_addr_local(listener, &bound), 0);
    wt_gt(weft_addr_port(&bound), 0);
    int client = plain_connect(&bound);
    weft_addr peer;
    wt_eq(weft_addr_peer(client, &peer), 0);
    wt_eq(weft_addr_port(&peer), weft_addr_port(&bound));
    wt_eq(weft_addr_peer(listener, &peer), -ENOTCONN);
    wt_eq(peer.bytes, 0);
    wt_eq(weft_addr_local(-1, &peer), -EBADF);
    wt_eq(weft_addr_local(STDIN_FILENO, &peer), -ENOTSOCK);
    close(client);
    close(listener);
}

Test(net_addr, a_unix_socket_without_a_name_is_formatted)
{
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    weft_addr address;
    wt_eq(weft_addr_local(ends[0], &address), 0);
    char text[WEFT_ADDR_TEXT];
    weft_addr_format(&address, text, sizeof text);
    wt_str_eq(text, "unix:");
    wt_eq(weft_addr_port(&address), -1);
    close_pair(ends);
}
