/* io.h: choice of the driver that does I/O. src/ opens one per runtime and hands it to the pool. */
#ifndef WF_IO_H
#define WF_IO_H

#include "pool/driver.h"
#include <stdbool.h>
#include <stddef.h>

/* `backend`: NULL or "auto" (io_uring, or epoll where the kernel refuses that), "uring", "epoll".
 * Who calls has applied WEFT_IO. Tries io_uring on a thread of its own, in under a millisecond. 0
 * and the driver in *out; or -errno, *out is NULL, and in `why` (NUL-terminated, cut to why_bytes)
 * one sentence that says what was refused, by which call, and the remedy:
 *   -ENOSYS  "uring": the kernel has no io_uring, or lacks a feature that the ring needs (6.1 and
 *            later have all); or the library was built without it
 *   -EPERM   "uring": it is forbidden here: a container's seccomp profile, or
 *            kernel.io_uring_disabled
 *   -ENOMEM  "uring": RLIMIT_MEMLOCK is too low for the smallest rings; all: no memory
 *   -EINVAL  unknown backend name
 *   others   of the call named: -EMFILE, -EAGAIN (no thread) ...
 * Any thread outside a pool. */
int wf_io_driver_new(const char *backend, struct wf_driver **out, char *why, size_t why_bytes);

/* The same sentence about what made this driver's last open fail (wf_pool_start returned its code);
 * if nothing did, about why "auto" chose epoll; else empty. */
void wf_io_driver_why(const struct wf_driver *driver, char *why, size_t why_bytes);

/* Of the driver of "auto", whose open has failed: another one, because this one failed by what the
 * other does not need (RLIMIT_MEMLOCK is too low for all the rings). NULL: there is none, or no
 * memory. The first is still the caller's. */
struct wf_driver *wf_io_driver_instead(const struct wf_driver *driver);

/* Before the driver is opened: enum wf_rescue (op.h). epoll does not care. */
void wf_io_driver_set_rescue(struct wf_driver *driver, int rescue);
/* Of an open driver: threads of its own that may block, or NULL. */
struct wf_blocking *wf_io_driver_blocking(const struct wf_driver *driver);
/* Of an open driver, for a report: "on", "off", or "off: ..." with the reason. Static. */
const char *wf_io_driver_rescue(const struct wf_driver *driver);
/* Of an open driver: was it not to be had, though wanted? */
bool wf_io_driver_rescue_refused(const struct wf_driver *driver);

/* For a report, behind the driver's name: " (io_uring_setup: EPERM)", or empty. */
void wf_io_driver_cause(const struct wf_driver *driver, char *cause, size_t cause_bytes);

/* Of a driver that is not open. NULL is fine. */
void wf_io_driver_free(struct wf_driver *driver);

#endif
