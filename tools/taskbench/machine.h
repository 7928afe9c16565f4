/* machine.h: the facts without which a figure means nothing. */
#ifndef TB_MACHINE_H
#define TB_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct tb_machine {
    /* arch, CPU model, CPUs, kernel's two first numbers, backend: equal keys may be compared.
     * Nothing measured is in it: a measured frequency changes the key at every boot. */
    char key[128];
    char arch[32];
    char cpu[80];
    int cpus; /* that this process may use */
    char kernel[80];
    char clocksource[32]; /* "" if unknown, as the next */
    char governor[32];
    uint64_t memory_bytes;
    char compiler[64]; /* that built this tool */
    char weft[16];
    char backend[16];  /* "uring", ...; what the runtime's report says after "io" */
    char report[200];  /* the runtime's own line */
    char jemalloc[32]; /* "" without */
    double line_ns;    /* negative: unknown */
};

/* Everything but `backend`, `report` and `key`, which need a runtime. Takes 20 ms. */
void tb_machine_get(struct tb_machine *out);

/* Takes the runtime's line in (weft_rt_report) and makes the key. */
void tb_machine_set_report(struct tb_machine *machine, const char *report);

/* CPU time since boot, all CPUs, in ticks: stolen by the host, and all. Zeroes if unknown. */
struct tb_steal {
    uint64_t stolen, all;
};
void tb_steal_get(struct tb_steal *out);

/* Between two looks, in percent of all CPU time; negative: unknown. */
double tb_steal_percent(const struct tb_steal *from, const struct tb_steal *to);

#endif
