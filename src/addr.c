/* addr.c: addresses as text and back, and those of sockets. Any thread; nothing suspends. */
#include "pool/base/sys.h"
#include "src/net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define PORT_MAX 65535

/* --- from text -------------------------------------------------------------------------------- */

int wf_port_parse(const char *text)
{
    long port = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        port = port * 10 + (*at - '0');
        if (port > PORT_MAX) {
            port = PORT_MAX + 1;
        }
    }
    if (at == text || *at != '\0') {
        return -EINVAL;
    }
    return port > PORT_MAX ? -ERANGE : (int)port;
}

/* Of a network interface, by its name or number: 0 is none. */
static int parse_scope(const char *text, uint32_t *out)
{
    int number = wf_port_parse(text); /* interfaces are not numbered that high */
    if (number >= 0) {
        *out = (uint32_t)number;
        return 0;
    }
    struct ifreq query = {0};
    if (strlen(text) == 0 || strlen(text) >= sizeof query.ifr_name) {
        return -ENODEV;
    }
    memcpy(query.ifr_name, text, strlen(text));
    long fd = wf_sys.call(SYS_socket, AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0, 0);
    if (fd < 0) {
        return (int)fd;
    }
    long rc = wf_sys.call(SYS_ioctl, fd, SIOCGIFINDEX, (long)&query, 0, 0, 0);
    (void)wf_sys.close((int)fd);
    *out = (uint32_t)query.ifr_ifindex;
    return (int)rc;
}

int wf_addr_host(weft_addr *out, const char *host, int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(&out->storage, &v4, sizeof v4);
        out->bytes = sizeof v4;
        return 0;
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    char digits[INET6_ADDRSTRLEN];
    size_t bytes = strcspn(host, "%");
    if (bytes >= sizeof digits) {
        return -EINVAL;
    }
    memcpy(digits, host, bytes);
    digits[bytes] = '\0';
    if (inet_pton(AF_INET6, digits, &v6.sin6_addr) != 1) {
        return -EINVAL;
    }
    if (host[bytes] == '%') {
        int rc = parse_scope(host + bytes + 1, &v6.sin6_scope_id);
        if (rc < 0) {
            return rc;
        }
    }
    memcpy(&out->storage, &v6, sizeof v6);
    out->bytes = sizeof v6;
    return 0;
}

static int parse_unix(weft_addr *out, const char *path)
{
    struct sockaddr_un unix_ = {.sun_family = AF_UNIX};
    size_t bytes = strlen(path);
    if (bytes == 0 || (bytes == 1 && path[0] == '@')) {
        return -EINVAL;
    }
    if (bytes >= sizeof unix_.sun_path) {
        return -ENAMETOOLONG;
    }
    memcpy(unix_.sun_path, path, bytes);
    if (path[0] == '@') {
        unix_.sun_path[0] = '\0'; /* a name, which has no end but the address's */
    } else {
        bytes++;
    }
    memcpy(&out->storage, &unix_, sizeof unix_);
    out->bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    return 0;
}

/* "HOST:PORT", "[HOST]:PORT" or ":PORT". */
static int parse_ip(weft_addr *out, const char *text)
{
    char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
    bool bracketed = text[0] == '[';
    const char *begin = text + bracketed;
    const char *end = bracketed ? strchr(begin, ']') : strchr(begin, ':');
    const char *colon = bracketed && end != NULL ? end + 1 : end;
    if (end == NULL || *colon != ':' || (size_t)(end - begin) >= sizeof host) {
        return -EINVAL;
    }
    int port = wf_port_parse(colon + 1);
    if (port < 0) {
        return port;
    }
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    if (bracketed != (strchr(host, ':') != NULL)) {
        return -EINVAL; /* "[127.0.0.1]:80" */
    }
    return wf_addr_host(out, host[0] != '\0' ? host : "::", port);
}

int weft_addr_parse(weft_addr *out, const char *text)
{
    static const char scheme[] = "unix:";
    *out = (weft_addr){0};
    int rc = strncmp(text, scheme, sizeof scheme - 1) == 0
                 ? parse_unix(out, text + sizeof scheme - 1)
                 : parse_ip(out, text);
    if (rc < 0) {
        *out = (weft_addr){0};
    }
    return rc;
}

/* --- to text ---------------------------------------------------------------------------------- */

static int format_unix(const weft_addr *address, char *out, size_t bytes)
{
    struct sockaddr_un unix_ = {0};
    size_t used = address->bytes < sizeof unix_ ? address->bytes : sizeof unix_;
    memcpy(&unix_, &address->storage, used);
    size_t begin = offsetof(struct sockaddr_un, sun_path);
    int length = (int)(used > begin ? used - begin : 0);
    char name[sizeof unix_.sun_path + 1] = {0};
    memcpy(name, unix_.sun_path, (size_t)length);
    if (length == 0 || name[0] != '\0') {
        return snprintf(out, bytes, "unix:%s%s", name[0] == '@' ? "./" : "", name);
    }
    for (int i = 0; i < length; i++) { /* a name may hold any byte */
        name[i] = name[i] != '\0' ? name[i] : '@';
    }
    return snprintf(out, bytes, "unix:%s", name);
}

int weft_addr_format(const weft_addr *address, char *out, size_t bytes)
{
    char host[INET6_ADDRSTRLEN];
    if (address->bytes < sizeof(sa_family_t)) {
        return snprintf(out, bytes, "-");
    }
    switch (address->storage.ss_family) {
    case AF_INET: {
        struct sockaddr_in v4;
        memcpy(&v4, &address->storage, sizeof v4);
        (void)inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
        return snprintf(out, bytes, "%s:%u", host, ntohs(v4.sin_port));
    }
    case AF_INET6: {
        struct sockaddr_in6 v6;
        memcpy(&v6, &address->storage, sizeof v6);
        (void)inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
        if (v6.sin6_scope_id != 0) {
            return snprintf(out, bytes, "[%s%%%u]:%u", host, v6.sin6_scope_id, ntohs(v6.sin6_port));
        }
        return snprintf(out, bytes, "[%s]:%u", host, ntohs(v6.sin6_port));
    }
    case AF_UNIX:
        return format_unix(address, out, bytes);
    default:
        return snprintf(out, bytes, "family %d", address->storage.ss_family);
    }
}

int weft_addr_port(const weft_addr *address)
{
    in_port_t port; /* lies in the same place for both */
    if (address->bytes < sizeof(sa_family_t) ||
        (address->storage.ss_family != AF_INET && address->storage.ss_family != AF_INET6)) {
        return -1;
    }
    _Static_assert(offsetof(struct sockaddr_in, sin_port) ==
                       offsetof(struct sockaddr_in6, sin6_port),
                   "the same place");
    memcpy(&port, (const char *)&address->storage + offsetof(struct sockaddr_in, sin_port),
           sizeof port);
    return ntohs(port);
}

/* --- of sockets ------------------------------------------------------------------------------- */

static int ask(long number, int fd, weft_addr *out)
{
    *out = (weft_addr){.bytes = sizeof out->storage};
    long rc = wf_sys.call(number, fd, (long)&out->storage, (long)&out->bytes, 0, 0, 0);
    if (rc < 0 || out->bytes > sizeof out->storage) {
        *out = (weft_addr){0};
    }
    return (int)rc;
}

int weft_addr_local(int fd, weft_addr *out)
{
    return ask(SYS_getsockname, fd, out);
}

int weft_addr_peer(int fd, weft_addr *out)
{
    return ask(SYS_getpeername, fd, out);
}
