/* disk.h: what `taskbench io` does: reads or writes blocks of one file by weft, `depth` at a time,
 * and the same job by fio, in turn.
 *
 * Guarantees.
 * D.1  A read is compared with what the file was filled with, in four words of each block, if the
 *      file is ours. Of written blocks some are read back by plain pread(2) after each slice.
 * D.2  A file that was there before is never written. */
#ifndef TB_DISK_H
#define TB_DISK_H

#include "hist.h"
#include "load.h"
#include <stdint.h>

#define TB_DISK_DEPTH_MAX 256
#define TB_DISK_BS_MAX    (1u << 20)
#define TB_DISK_ALIGN     4096 /* of blocks and buffers for O_DIRECT, wherever that is enough */

enum tb_disk_kind { TB_DISK_RANDREAD, TB_DISK_SEQREAD, TB_DISK_SEQWRITE };

struct tb_disk {
    /* given */
    enum tb_disk_kind kind;
    uint64_t bs, depth, size, seed; /* size: of a file that is made */
    bool direct;
    const char *file; /* NULL: a temporary one */
    int workers;

    /* from open to close */
    char path[256];
    int fd;
    bool ours;                /* the content is known */
    bool is_made;             /* by us: it is removed */
    uint64_t blocks, started; /* blocks begun, of all slices */
    weft_rt *rt;
    struct tb_hist latency; /* of all slices */
    char reason[TB_REASON_MAX];
};

/* 0; -1 with `reason` set. */
int tb_disk_open(struct tb_disk *disk);
void tb_disk_close(struct tb_disk *disk);

/* The job for so long. ns per block; negative with `reason` set: it failed or its result was wrong.
 * *blocks: how many. Ends early when a signal asks for it. */
double tb_disk_slice(struct tb_disk *disk, uint64_t slice_ns, uint64_t *blocks);

/* --- the same by fio: fio.c ------------------------------------------------------------------- */

/* Its version, "" without its name. false: it is not installed. */
bool tb_fio_version(char out[32]);

/* ns per block as fio says; negative with disk->reason set. *p99_ns: its 99th percentile, 0 if
 * unknown. `uring`: by io_uring, else by threads that wait. */
double tb_fio_slice(struct tb_disk *disk, uint64_t slice_ns, bool uring, double *p99_ns);

/* The two figures in what fio writes with --output-format=json (a string), for blocks that are read
 * or written: ns per block, between 1 and 10^13; negative: they are not there, or are no such
 * figures. *p99_ns as above, at most 10^13. */
double tb_fio_read(const char *text, enum tb_disk_kind kind, double *p99_ns);

#endif
