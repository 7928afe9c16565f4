/* host.h: what sys.c knows about the machine besides sys.h: limits, and the parts that differ by
 * processor.
 *
 * Callers: pool/ at start-up and in its fault handler, and tests. Nothing here is on a hot path. */
#ifndef WF_HOST_H
#define WF_HOST_H

#include "pool/base/compiler.h"

/* vm.max_map_count: how many mappings a process may have. The kernel's default, 65,530, when it
 * cannot be read. */
size_t wf_host_mappings_max(void);

/* CPUs by the CPU quota of this process's control group and the groups above it (version 2 or 1),
 * rounded up; INT_MAX: no quota. `root` comes before every path that is read: "" on a real machine,
 * a directory in tests. */
int wf_host_quota_cpus(const char *root);

/* The stack pointer in the third argument of a signal handler. */
uintptr_t wf_host_signal_sp(const void *ucontext);

#endif
