/* site.h: a place in the machine code that allocates or calls the kernel, and its name in the
 * sources.
 *
 * A place is a module (a file that is mapped) and an offset in it, so that it can be named by
 * another process than the one that was there, and after that one has ended. */
#ifndef TB_SITE_H
#define TB_SITE_H

#include <stdint.h>
#include <sys/types.h>

#define TB_SITES_MAX       32 /* of a row; what comes after so many different ones is not named */
#define TB_SITE_MODULE_MAX 160
#define TB_SITE_WHAT_MAX   160
#define TB_SITE_NAME_MAX   256

enum tb_site_kind { TB_SITE_ALLOC, TB_SITE_CALL };

struct tb_site {
    enum tb_site_kind kind;
    uint64_t count;
    uint64_t bytes;  /* of allocations */
    uint64_t offset; /* of the instruction after the call, in the module's file image */
    char module[TB_SITE_MODULE_MAX]; /* path; "": unknown */
    char what
        [TB_SITE_WHAT_MAX]; /* the task that allocated, as weft_describe says; the call's name */
};

/* Where `address` of process `pid` is: fills module and offset. Reads /proc/PID/maps. */
void tb_site_locate(struct tb_site *site, pid_t pid, uint64_t address);

/* "find_user (users.c:41)": as addr2line says, if it is installed and the module has debug
 * information; else "module+0x1234". */
const char *tb_site_name(const struct tb_site *site, char out[TB_SITE_NAME_MAX]);

/* "epoll_wait", or "call 333" for those that taskbench has no name for. */
const char *tb_call_name(long number, char out[24]);

#endif
