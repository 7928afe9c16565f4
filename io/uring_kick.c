/* uring_kick.c: see uring_kick.h. */
#include "io/uring_kick.h"
#include "io/uring.h"
#include "pool/base/lock.h"
#include "pool/base/sys.h"
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KICK_SIGNAL SIGURG

static struct {
    struct wf_lock lock;
    /* under lock */
    int claims;
    struct sigaction former;
    /* of whoever claimed first; a child of fork(2) has another */
    WF_ATOMIC(int32_t) process;
} kick;

/* The ring of this thread, which the handler may enter; NULL: none. Not reached through the
 * loader's lazy allocation, which a handler may not do. Atomic for the handler alone, on the same
 * thread. */
static _Thread_local WF_TLS_STATIC WF_ATOMIC(struct wf_uring *) ring_of_thread;

static void on_kick(int number, siginfo_t *info, void *ucontext)
{
    (void)number, (void)ucontext;
    /* relaxed, all: this thread's own, or written before any worker began */
    struct wf_uring *u = wf_load_relaxed(&ring_of_thread);
    if (info->si_code != SI_TKILL || u == NULL || info->si_pid != wf_load_relaxed(&kick.process)) {
        return;
    }
    if (wf_load_relaxed(&u->holder) != WF_HELD_BY_OWNER) { /* else it is about to enter by itself */
        int saved = errno;
        wf_ring_kick(&u->ring);
        errno = saved;
    }
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_kick;
}

static bool is_handled(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 ||
           (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

static int install(void)
{
    if (sigaction(KICK_SIGNAL, NULL, &kick.former) != 0 || is_handled(&kick.former)) {
        return -EBUSY;
    }
    struct sigaction ours = {.sa_sigaction = on_kick,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigfillset(&ours.sa_mask);
    wf_store_relaxed(&kick.process, (int32_t)getpid()); /* relaxed: before any worker begins */
    return sigaction(KICK_SIGNAL, &ours, NULL) == 0 ? 0 : -EBUSY;
}

int wf_kick_claim(void)
{
    wf_lock(&kick.lock);
    int rc = kick.claims == 0 ? install() : 0;
    kick.claims += rc == 0;
    wf_unlock(&kick.lock);
    return rc;
}

void wf_kick_drop(void)
{
    wf_lock(&kick.lock);
    struct sigaction now;
    if (--kick.claims == 0 && sigaction(KICK_SIGNAL, NULL, &now) == 0 && is_ours(&now)) {
        (void)sigaction(KICK_SIGNAL, &kick.former, NULL);
    }
    wf_unlock(&kick.lock);
}

static void mask(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, KICK_SIGNAL);
    (void)pthread_sigmask(how, &set, NULL);
}

/* Neither inline: the compiler must not keep this thread's variable over a change of stacks. */
WF_NOINLINE void wf_kick_begin(struct wf_uring *u)
{
    wf_store_relaxed(&ring_of_thread, u); /* relaxed, all: the handler runs on this thread */
    wf_store_relaxed(&u->thread, (int32_t)wf_sys.call(SYS_gettid, 0, 0, 0, 0, 0, 0));
    mask(SIG_UNBLOCK); /* workers' threads start with the program's signals blocked */
}

WF_NOINLINE void wf_kick_end(struct wf_uring *u)
{
    wf_store_relaxed(&u->thread, 0);
    mask(SIG_BLOCK);
    wf_store_relaxed(&ring_of_thread, NULL);
}

int wf_kick_send(struct wf_uring *u)
{
    struct sigaction now;
    if (sigaction(KICK_SIGNAL, NULL, &now) != 0 || !is_ours(&now)) {
        return -EBUSY;
    }
    int32_t thread = wf_load_relaxed(&u->thread); /* relaxed: an old number is one of nobody */
    if (thread == 0) {
        return -ESRCH;
    }
    return (int)wf_sys.call(SYS_tgkill, wf_load_relaxed(&kick.process), thread, KICK_SIGNAL, 0, 0,
                            0);
}
