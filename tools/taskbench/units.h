/* units.h: numbers as people read them: three significant digits and a unit. ASCII only. */
#ifndef TB_UNITS_H
#define TB_UNITS_H

#include <stdint.h>

#define TB_NUMBER_MAX 24 /* bytes that every function here may write */

/* "1.91 ns", "38.4 us", "120 ms", "3.40 s"; seven bytes at most below 1000 s. */
const char *tb_format_time(char out[TB_NUMBER_MAX], double ns);

/* "1.88..2.03": both in the unit that tb_format_time chooses for `like`, which is not written. */
const char *tb_format_range(char out[TB_NUMBER_MAX], double min, double max, double like);

/* "0", "0.02", "950", "12.3k", "52.1M", "3.40G": by thousands. Five bytes at most below 1e12. */
const char *tb_format_count(char out[TB_NUMBER_MAX], double value);

/* "512", "12.3K", "998M", "3.21G": bytes by 1024. */
const char *tb_format_bytes(char out[TB_NUMBER_MAX], uint64_t bytes);

#endif
