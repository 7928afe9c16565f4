/* usage.c: see usage.h. Reads with plain system calls into memory of its own: what is measured must
 * not grow by it. */
#include "usage.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB_PER_LINE 1024

/* The beginning of a file as text; "" if it cannot be read. */
static void read_text(const char *path, char *out, size_t bytes)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    ssize_t n = read(fd, out, bytes - 1);
    out[n > 0 ? n : 0] = '\0';
    close(fd);
}

/* The number of KiB after `key` at the beginning of a line, in bytes; 0: not there. */
static uint64_t find_kib(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0) {
            return strtoull(line + n, NULL, 10) * KIB_PER_LINE;
        }
    }
    return 0;
}

static uint64_t count_lines(const char *path)
{
    char block[4096];
    uint64_t lines = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    while (fd >= 0 && (n = read(fd, block, sizeof block)) > 0) { /* ends with the file */
        for (ssize_t i = 0; i < n; i++) {
            lines += block[i] == '\n';
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return lines;
}

void tb_usage_get(struct tb_usage *out)
{
    char text[4096];
    read_text("/proc/self/smaps_rollup", text, sizeof text);
    out->pss_bytes = find_kib(text, "Pss:");
    read_text("/proc/self/status", text, sizeof text);
    out->page_tables_bytes = find_kib(text, "VmPTE:");
    out->rss_max_bytes = find_kib(text, "VmHWM:");
    out->mappings = count_lines("/proc/self/maps");
}

/* cgroup v2, own group only: a bound above it shows as a failed allocation. */
static uint64_t cgroup_available(void)
{
    char max[32], now[32];
    read_text("/sys/fs/cgroup/memory.max", max, sizeof max);
    read_text("/sys/fs/cgroup/memory.current", now, sizeof now);
    if (max[0] < '0' || max[0] > '9') {
        return UINT64_MAX; /* "max", or no such group */
    }
    uint64_t limit = strtoull(max, NULL, 10), used = strtoull(now, NULL, 10);
    return limit > used ? limit - used : 0;
}

uint64_t tb_memory_available(void)
{
    char text[4096];
    read_text("/proc/meminfo", text, sizeof text);
    uint64_t machine = find_kib(text, "MemAvailable:");
    uint64_t group = cgroup_available();
    machine = machine ? machine : UINT64_MAX;
    return machine < group ? machine : group;
}
