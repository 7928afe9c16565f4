/* uring_abi.h: what weft uses of the kernel's interface and liburing 2.3's copy of the header does
 * not have.
 *
 * Included by io/uring*.c alone, after that header. The names are the kernel's with WF_ in front,
 * so that a newer header can be installed without a clash; the checks below then compare. Source:
 * include/uapi/linux/io_uring.h of Linux 6.18, which never renumbers. */
#ifndef WF_URING_ABI_H
#define WF_URING_ABI_H

/* io_uring_enter: do not count this wait as waiting for a disk (6.15, if the feature bit says so).
 * Without it an idle server looks busy in the load average. */
#define WF_IORING_ENTER_NO_IOWAIT (1u << 7)
#define WF_IORING_FEAT_NO_IOWAIT  (1u << 17)

#ifdef IORING_ENTER_NO_IOWAIT
_Static_assert(WF_IORING_ENTER_NO_IOWAIT == IORING_ENTER_NO_IOWAIT, "the kernel's number");
_Static_assert(WF_IORING_FEAT_NO_IOWAIT == IORING_FEAT_NO_IOWAIT, "the kernel's number");
#endif

#endif
