/* line.h: what it costs to move a cache line between two cores: the price of everything that two
 * workers share. On virtual machines it changes from run to run, and figures for two workers mean
 * little without it. */
#ifndef TB_LINE_H
#define TB_LINE_H

/* One way, in ns, between the first two CPUs that this process may use; takes 20 ms. Starts threads
 * and ends them; the caller's affinity is not changed. Negative: there is one CPU only, or no
 * thread to be had. */
double tb_line_transfer_ns(void);

#endif
