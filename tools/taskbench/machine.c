/* machine.c: see machine.h. */
#define _GNU_SOURCE
#include "machine.h"
#include "alloc.h"
#include "line.h"
#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <weft/base.h>

static void first_line(const char *path, char *out, size_t bytes)
{
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file) {
        return;
    }
    if (fgets(out, (int)bytes, file)) {
        out[strcspn(out, "\n")] = '\0';
    }
    fclose(file);
}

/* The text after ": " of the first line that begins with `key`; "" if there is none. */
static void cpuinfo(const char *key, char *out, size_t bytes)
{
    char line[256];
    out[0] = '\0';
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (colon && strncmp(line, key, strlen(key)) == 0) {
            snprintf(out, bytes, "%.*s", (int)strcspn(colon + 1, "\n"), colon + 1);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
}

static void trim(char *text)
{
    size_t blanks = strspn(text, " \t");
    memmove(text, text + blanks, strlen(text + blanks) + 1);
    for (size_t n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]); n--) {
        text[n - 1] = '\0';
    }
}

static void get_cpu(struct tb_machine *m)
{
    cpuinfo("model name", m->cpu, sizeof m->cpu); /* x86 */
    if (m->cpu[0] == '\0') {
        cpuinfo("CPU part", m->cpu, sizeof m->cpu); /* Arm names no model */
    }
    trim(m->cpu);
    if (m->cpu[0] == '\0') {
        snprintf(m->cpu, sizeof m->cpu, "unknown CPU");
    }
    cpu_set_t set;
    m->cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void get_software(struct tb_machine *m)
{
    struct utsname name;
    int v = weft_version();
    uname(&name);
    snprintf(m->arch, sizeof m->arch, "%.31s", name.machine);
    snprintf(m->kernel, sizeof m->kernel, "%.79s", name.release);
    snprintf(m->compiler, sizeof m->compiler, "%.63s", __VERSION__);
    snprintf(m->weft, sizeof m->weft, "%d.%d.%d", v / 10000 % 100, v / 100 % 100, v % 100);
    const char *jemalloc = tb_alloc_version();
    if (jemalloc) {
        snprintf(m->jemalloc, sizeof m->jemalloc, "%.*s", (int)strcspn(jemalloc, "-"), jemalloc);
    }
    first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", m->clocksource,
               sizeof m->clocksource);
    first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", m->governor,
               sizeof m->governor);
}

void tb_machine_get(struct tb_machine *m)
{
    memset(m, 0, sizeof *m);
    get_cpu(m);
    get_software(m);
    m->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    m->line_ns = tb_line_transfer_ns();
}

/* Lower case letters, digits and dots; one dash for every run of anything else. */
static void append_slug(char *key, size_t bytes, const char *text)
{
    size_t n = strlen(key);
    for (; *text && n + 2 < bytes; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || c == '.') {
            key[n++] = (char)tolower(c);
        } else if (n > 0 && key[n - 1] != '-') {
            key[n++] = '-';
        }
    }
    key[n] = '\0';
}

static void make_key(struct tb_machine *m)
{
    char text[sizeof m->key * 2];
    int major = 0, minor = 0;
    sscanf(m->kernel, "%d.%d", &major, &minor);
    snprintf(text, sizeof text, "%s-%s-%dc-%d.%d-%s", m->arch, m->cpu, m->cpus, major, minor,
             m->backend);
    m->key[0] = '\0';
    append_slug(m->key, sizeof m->key, text);
}

static const char *const backends[] = {"epoll", "uring", "futex", "sim"};

void tb_machine_set_report(struct tb_machine *m, const char *report)
{
    snprintf(m->report, sizeof m->report, "%s", report);
    snprintf(m->backend, sizeof m->backend, "unknown");
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        if (strstr(report, backends[i])) {
            snprintf(m->backend, sizeof m->backend, "%s", backends[i]);
            break;
        }
    }
    make_key(m);
}

void tb_steal_get(struct tb_steal *out)
{
    char line[256];
    first_line("/proc/stat", line, sizeof line);
    *out = (struct tb_steal){0, 0};
    char *next = line + strcspn(line, " ");
    /* user nice system idle iowait irq softirq steal; guests are in user */
    for (int i = 0; i < 8; i++) {
        char *end;
        uint64_t ticks = strtoull(next, &end, 10);
        if (end == next) {
            *out = (struct tb_steal){0, 0};
            return;
        }
        next = end;
        out->all += ticks;
        out->stolen = ticks;
    }
}

double tb_steal_percent(const struct tb_steal *from, const struct tb_steal *to)
{
    if (to->all <= from->all) {
        return -1;
    }
    return 100.0 * (double)(to->stolen - from->stolen) / (double)(to->all - from->all);
}
