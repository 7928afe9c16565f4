/* driver.c: which driver does I/O, and in words why not.
 *
 * One decision per runtime, before its workers start. Whether io_uring works is found out by using
 * it, not by the kernel's version: versions are patched backwards, and profiles forbid calls one at
 * a time (some allow the set-up but not the rest). On a thread of its own, because the kernel keeps
 * memory for each thread that had a ring. */
#include "io/io.h"
#include "io/uring.h"
#include "pool/base/compiler.h"
#include "pool/base/sys.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* One sentence about a refusal, and the code that the caller returns for it. */
static int explain(struct wf_uring_refusal refusal, char *why, size_t why_bytes)
{
    const char *call = refusal.call;
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

static int probe_elsewhere(char *why, size_t why_bytes)
{
    struct wf_uring_refusal refusal = {0};
    pthread_t thread;
    int rc = wf_sys.thread_start(&thread, probe, &refusal);
    if (rc < 0) {
        return explain((struct wf_uring_refusal){.call = "pthread_create", .rc = rc}, why,
                       why_bytes);
    }
    (void)wf_sys.thread_join(thread);
    return refusal.call != NULL ? explain(refusal, why, why_bytes) : 0;
}

static int refuse(int rc, char *why, size_t why_bytes, const char *sentence, const char *name)
{
    (void)snprintf(why, why_bytes, sentence, name);
    return rc;
}

int wf_io_driver_new(const char *backend, struct wf_driver **out, char *why, size_t why_bytes)
{
    *out = NULL;
    const char *name = backend != NULL ? backend : "auto";
    if (strcmp(name, "epoll") == 0) {
        return refuse(-ENOSYS, why, why_bytes,
                      "I/O by %s is not in this version of weft: use \"auto\" or \"uring\".", name);
    }
    if (strcmp(name, "auto") != 0 && strcmp(name, "uring") != 0) {
        return refuse(-EINVAL, why, why_bytes,
                      "unknown I/O backend \"%s\": it is \"auto\" or \"uring\".", name);
    }
    if (!WF_HAVE_URING) {
        return refuse(-ENOSYS, why, why_bytes,
                      "this weft was built without io_uring (%s): build it with liburing's "
                      "header installed.",
                      name);
    }
    int rc = probe_elsewhere(why, why_bytes);
    if (rc < 0) {
        return rc;
    }
    *out = wf_uring_driver_new();
    return *out != NULL ? 0
                        : explain((struct wf_uring_refusal){.call = "malloc", .rc = -ENOMEM}, why,
                                  why_bytes);
}

void wf_io_driver_why(const struct wf_driver *driver, char *why, size_t why_bytes)
{
    struct wf_uring_refusal refusal =
        wf_container_of((struct wf_driver *)(uintptr_t)driver, struct wf_uring_driver, io.base)
            ->refusal;
    if (why_bytes > 0) {
        *why = '\0';
    }
    if (refusal.call != NULL) {
        (void)explain(refusal, why, why_bytes);
    }
}

void wf_io_driver_free(struct wf_driver *driver)
{
    if (WF_HAVE_URING) {
        wf_uring_driver_free(driver);
    }
}
