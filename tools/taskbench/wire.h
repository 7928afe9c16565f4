/* wire.h: what a process that measures tells the one that started it: lines of text over a pipe.
 *
 *     sample NS OPS REFERENCE_NS REFERENCE_OPS      one sample; no reference: 0 0
 *     counted OPS ALLOCS FREES BYTES                the counting sample
 *     uncounted OPS REASON                          the same, where allocations cannot be counted
 *     traced CALLS                                  system calls in it, all threads
 *     untraced REASON                               the same, where they cannot be counted
 *     site KIND COUNT BYTES OFFSET MODULE TAB WHAT  where it allocated ("alloc") or called ("call")
 *     counter NAME GROWTH TOTAL                     of the runtime, over the counting sample
 *     metric NAME UNIT VALUE                        no unit: "-"
 *     rss BYTES                                     the most that was resident
 *     line NS                                       a cache line between cores
 *     report TEXT                                   the runtime's line about itself
 *     wrong REASON | skip REASON                    the end, badly
 *     done                                          the end, well
 *
 * Text, so that a run can be watched by hand: `taskbench agent fib workers=2 samples=5 3>&1`. */
#ifndef TB_WIRE_H
#define TB_WIRE_H

#include "row.h"

#define TB_WIRE_FD       3 /* where a measuring process writes */
#define TB_WIRE_LINE_MAX 512

/* --- writing ---------------------------------------------------------------------------------- */

/* One line, printf-like, without its newline. A line that cannot be written is lost: the reader is
 * gone. */
void tb_wire_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

void tb_wire_counters(const weft_stats *growth, const weft_stats *total);
void tb_wire_metrics(const struct tb_trial *trial);
void tb_wire_site(const struct tb_site *site);

/* --- reading ---------------------------------------------------------------------------------- */

/* What the lines of one process add up to. */
struct tb_wire_in {
    struct tb_row *row;
    char report[200]; /* "": none came */
    bool done;        /* the last line was read */
};

/* One line without its newline. 0; -EPROTO: it is none of the above, or too many samples. */
int tb_wire_read(struct tb_wire_in *in, const char *line);

#endif
