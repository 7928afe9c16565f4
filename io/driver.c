/* driver.c: which driver does I/O, and in words why not another: io_uring, or epoll where that is
 * not to be had.
 *
 * One decision per runtime, before its workers start. Whether io_uring works is found out by using
 * it, not by the kernel's version: versions are patched backwards, and profiles forbid calls one at
 * a time (some allow the set-up but not the rest). On a thread of its own, because the kernel keeps
 * memory for each thread that had a ring. */
#include "io/epoll.h"
#include "io/io.h"
#include "io/uring.h"
#include "pool/base/compiler.h"
#include "pool/base/sys.h"
#include "pool/sanitizer.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A refusal's call, if there is none to be made. */
static const char NOT_BUILT[] = "io_uring";
static const char UNDER_VALGRIND[] = "io_uring_enter";

/* One sentence about a refusal, and the code that the caller returns for it. */
static int explain(struct wf_io_refusal refusal, char *why, size_t why_bytes)
{
    const char *call = refusal.call;
    if (call == NOT_BUILT) {
        (void)snprintf(why, why_bytes,
                       "this weft was built without io_uring: build it with liburing's header "
                       "installed.");
        return -ENOSYS;
    }
    if (call == UNDER_VALGRIND) {
        (void)snprintf(why, why_bytes,
                       "io_uring does not go with valgrind, which stops all other threads while "
                       "one waits in a ring. WEFT_IO=epoll chooses epoll without this line.");
        return -ENOSYS;
    }
    switch (-refusal.rc) {
    case EPERM:
    case EACCES:
        (void)snprintf(why, why_bytes,
                       "io_uring is forbidden here: %s was refused (EPERM). Allow io_uring_setup, "
                       "io_uring_enter and "
                       "io_uring_register in the container's seccomp profile, or set "
                       "kernel.io_uring_disabled to 0.",
                       call);
        return -EPERM;
    case ENOSYS:
        (void)snprintf(why, why_bytes,
                       "there is no io_uring here: %s is unknown (ENOSYS). weft needs Linux 6.1 or "
                       "later, and a "
                       "sandbox or seccomp profile that does not hide it.",
                       call);
        return -ENOSYS;
    case EINVAL:
    case EOPNOTSUPP:
        (void)snprintf(why, why_bytes,
                       "this kernel's io_uring is too old: %s does not know what weft asks for "
                       "(%s). weft needs Linux "
                       "6.1 or later.",
                       call, refusal.rc == -EINVAL ? "EINVAL" : "a feature is missing");
        return -ENOSYS;
    case ENOMEM:
        (void)snprintf(why, why_bytes,
                       "no memory for io_uring: %s was refused (ENOMEM). Raise RLIMIT_MEMLOCK "
                       "(ulimit -l), against which "
                       "each worker's ring counts with 12 to 36 KiB.",
                       call);
        return -ENOMEM;
    case EBUSY:
        (void)snprintf(
            why, why_bytes,
            "completions cannot be rescued: the program handles SIGURG. Leave that signal "
            "to weft, or let .rescue be WEFT_RESCUE_AUTO or WEFT_RESCUE_OFF.");
        return -EBUSY;
    default:
        (void)snprintf(why, why_bytes, "io_uring cannot be used: %s failed (%s).", call,
                       strerror(-refusal.rc));
        return refusal.rc;
    }
}

static void *probe(void *arg)
{
    if (WF_HAVE_URING) {
        (void)wf_uring_probe(arg);
    }
    return NULL;
}

static struct wf_io_refusal probe_elsewhere(void)
{
    struct wf_io_refusal refusal = {0};
    pthread_t thread;
    int rc = wf_sys.thread_start(&thread, probe, &refusal);
    if (rc < 0) {
        return (struct wf_io_refusal){.call = "pthread_create", .rc = rc};
    }
    (void)wf_sys.thread_join(thread);
    return refusal;
}

/* Valgrind runs one thread at a time, and takes io_uring_enter for a call that returns soon: a
 * worker that waits in it would keep all others from running, for ever. */
static struct wf_io_refusal refusal_of_uring(bool is_auto)
{
    if (is_auto && WF_HAVE_URING && wf_valgrind_is_on()) {
        return (struct wf_io_refusal){.call = UNDER_VALGRIND, .rc = -ENOSYS};
    }
    return WF_HAVE_URING ? probe_elsewhere()
                         : (struct wf_io_refusal){.call = NOT_BUILT, .rc = -ENOSYS};
}

/* Is it io_uring that is not to be had here, and not something that epoll needs too? */
static bool is_uring_alone(struct wf_io_refusal refusal)
{
    bool of_ring = strncmp(refusal.call, "io_uring", strlen("io_uring")) == 0 ||
                   strcmp(refusal.call, "mmap") == 0 || strcmp(refusal.call, "madvise") == 0;
    return of_ring && (refusal.rc == -EPERM || refusal.rc == -EACCES || refusal.rc == -ENOSYS ||
                       refusal.rc == -EINVAL || refusal.rc == -EOPNOTSUPP || refusal.rc == -ENOMEM);
}

static int give(struct wf_driver *driver, struct wf_driver **out, char *why, size_t why_bytes)
{
    *out = driver;
    return driver != NULL
               ? 0
               : explain((struct wf_io_refusal){.call = "malloc", .rc = -ENOMEM}, why, why_bytes);
}

int wf_io_driver_new(const char *backend, struct wf_driver **out, char *why, size_t why_bytes)
{
    *out = NULL;
    if (why_bytes > 0) {
        *why = '\0';
    }
    const char *name = backend != NULL ? backend : "auto";
    bool is_auto = strcmp(name, "auto") == 0;
    if (strcmp(name, "epoll") == 0) {
        return give(wf_epoll_driver_new((struct wf_io_refusal){0}), out, why, why_bytes);
    }
    if (!is_auto && strcmp(name, "uring") != 0) {
        (void)snprintf(why, why_bytes,
                       "unknown I/O backend \"%s\": it is \"auto\", \"uring\" or \"epoll\".", name);
        return -EINVAL;
    }
    struct wf_io_refusal refusal = refusal_of_uring(is_auto);
    if (refusal.call == NULL) {
        return give(WF_HAVE_URING ? wf_uring_driver_new() : NULL, out, why, why_bytes);
    }
    if (is_auto && is_uring_alone(refusal)) {
        return give(wf_epoll_driver_new(refusal), out, why, why_bytes);
    }
    return explain(refusal, why, why_bytes);
}

static const struct wf_io_driver *io_of(const struct wf_driver *driver)
{
    return wf_container_of((struct wf_driver *)(uintptr_t)driver, struct wf_io_driver, base);
}

static bool is_epoll(const struct wf_driver *driver)
{
    return strcmp(driver->ops->name, "epoll") == 0;
}

struct wf_driver *wf_io_driver_instead(const struct wf_driver *driver)
{
    struct wf_io_refusal refusal = io_of(driver)->refusal;
    return !is_epoll(driver) && refusal.call != NULL && is_uring_alone(refusal)
               ? wf_epoll_driver_new(refusal)
               : NULL;
}

void wf_io_driver_why(const struct wf_driver *driver, char *why, size_t why_bytes)
{
    struct wf_io_refusal refusal = io_of(driver)->refusal;
    if (why_bytes > 0) {
        *why = '\0';
    }
    if (refusal.call != NULL && is_epoll(driver)) {
        (void)snprintf(why, why_bytes, "I/O by epoll cannot be set up: %s failed (%s).",
                       refusal.call, strerror(-refusal.rc));
        return;
    }
    if (refusal.call == NULL) {
        refusal = io_of(driver)->because;
    }
    if (refusal.call != NULL) {
        (void)explain(refusal, why, why_bytes);
    }
}

void wf_io_driver_cause(const struct wf_driver *driver, char *cause, size_t cause_bytes)
{
    struct wf_io_refusal because = io_of(driver)->because;
    if (cause_bytes > 0) {
        *cause = '\0';
    }
    if (because.call == NOT_BUILT) {
        (void)snprintf(cause, cause_bytes, " (built without io_uring)");
    } else if (because.call == UNDER_VALGRIND) {
        (void)snprintf(cause, cause_bytes, " (under valgrind)");
    } else if (because.call != NULL) {
        const char *name = strerrorname_np(-because.rc);
        (void)snprintf(cause, cause_bytes, " (%s: %s)", because.call,
                       name != NULL ? name : "refused");
    }
}

void wf_io_driver_set_rescue(struct wf_driver *driver, int rescue)
{
    wf_container_of(driver, struct wf_io_driver, base)->rescue = (uint8_t)rescue;
}

bool wf_io_driver_rescue_refused(const struct wf_driver *driver)
{
    return io_of(driver)->rescue_refused;
}

const char *wf_io_driver_rescue(const struct wf_driver *driver)
{
    if (driver->ops->rescue != NULL) {
        return "on";
    }
    return wf_io_driver_rescue_refused(driver) ? "off: the program handles SIGURG" : "off";
}

struct wf_blocking *wf_io_driver_blocking(const struct wf_driver *driver)
{
    return io_of(driver)->blocking;
}

void wf_io_driver_free(struct wf_driver *driver)
{
    if (driver != NULL && is_epoll(driver)) {
        wf_epoll_driver_free(driver);
    } else if (WF_HAVE_URING) {
        wf_uring_driver_free(driver);
    }
}
