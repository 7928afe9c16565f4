/* usage.h: how much memory this process has, as the kernel counts it. */
#ifndef TB_USAGE_H
#define TB_USAGE_H

#include <stdint.h>

/* Zero is what could not be read. */
struct tb_usage {
    uint64_t pss_bytes;         /* resident, shared pages counted by their share */
    uint64_t page_tables_bytes; /* of user space: VmPTE */
    /* the most that was resident: VmHWM, which exec resets and ru_maxrss does not */
    uint64_t rss_max_bytes;
    uint64_t mappings; /* lines of /proc/self/maps; bounded by vm.max_map_count */
};

/* Takes time in proportion to the memory mapped: 0.1 s per 4 GiB. Blocks; never suspends. */
void tb_usage_get(struct tb_usage *out);

/* Memory that could be used without swapping, of the machine and of the cgroup; UINT64_MAX if
 * unknown. */
uint64_t tb_memory_available(void);

#endif
