/* net_pattern.h: what the tests of <weft/net.h> share: plain sockets that are made without weft,
 * and counting descriptors. */
#ifndef NET_PATTERN_H
#define NET_PATTERN_H

#include "pattern.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/stackless.h>
#include <weft/weft.h>

/* Of this process. What is closed in the kernel is closed: no waiting. */
static inline int open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    wt_true(directory != NULL);
    int count = 0;
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* A socket of the address's kind, connected, without weft: on loopback that never waits as long as
 * there is room in the backlog. */
static inline int plain_connect(const weft_addr *to)
{
    int fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_ge(fd, 0);
    wt_eq(connect(fd, (const struct sockaddr *)&to->storage, to->bytes), 0, "errno %d", errno);
    return fd;
}

static inline int plain_connect_listener(const weft_listener *listener)
{
    weft_addr address;
    weft_listener_addr(listener, &address);
    return plain_connect(&address);
}

static inline void open_pair(int ends[2], int type)
{
    wt_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
}

static inline void close_pair(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

/* Folder of this test's own, as "unix:FOLDER/NAME". */
static inline void unix_text(char out[WEFT_ADDR_TEXT], const char *name)
{
    char folder[] = "/tmp/weft-net-XXXXXX";
    wt_true(mkdtemp(folder) != NULL);
    snprintf(out, WEFT_ADDR_TEXT, "unix:%s/%s", folder, name);
}

static inline void remove_unix_text(const char *text)
{
    char path[WEFT_ADDR_TEXT];
    snprintf(path, sizeof path, "%s", text + strlen("unix:"));
    unlink(path);
    *strrchr(path, '/') = '\0';
    wt_eq(rmdir(path), 0);
}

#endif
