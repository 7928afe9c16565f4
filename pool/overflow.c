/* overflow.c: the handler of SIGSEGV, and the signal stacks that it runs on. See overflow.h. An
 * overflow that no guard has met is found by fiber.c, when the stack is given back. */
#include "pool/overflow.h"
#include "pool/base/atomic.h"
#include "pool/base/host.h"
#include "pool/base/sys.h"
#include "pool/fiber.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIGNAL_BYTES \
    ((size_t)64 * 1024) /* for the handler, a chained handler, and AMX state (11 KiB) */

/* Immutable while it is installed. */
static struct {
    size_t guard_bytes;
    struct sigaction former; /* of SIGSEGV */
} handler;

/* --- in the signal ---------------------------------------------------------------------------- */

static size_t text_append(char *text, size_t at, size_t size, const char *more)
{
    while (*more != 0 && at + 1 < size) {
        text[at++] = *more++;
    }
    text[at] = 0;
    return at;
}

/* The same with `number` in decimal; in a signal handler, hence by hand. */
static size_t text_append_number(char *text, size_t at, size_t size, size_t number)
{
    char digits[24];
    size_t first = sizeof digits - 1;
    digits[first] = 0;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return text_append(text, at, size, digits + first);
}

/* The fiber whose guard was hit; NULL when the fault is no overflow: outside the region, not in a
 * guard, or by code whose stack pointer is somewhere else (a wild pointer must not be reported as
 * an overflow). */
static struct wf_fiber *overflowed_fiber(const siginfo_t *info, const void *ucontext)
{
    uintptr_t base = wf_stack_region[WF_REGION_BASE], bytes = wf_stack_region[WF_REGION_BYTES];
    uintptr_t address = (uintptr_t)info->si_addr;
    uintptr_t slot = address & ~(uintptr_t)(WF_STACK_BYTES - 1);
    if (info->si_code <= 0 || address - base >= bytes || address - slot >= handler.guard_bytes) {
        return NULL;
    }
    /* A large frame may have moved the stack pointer below the slot before its first store. */
    if (wf_host_signal_sp(ucontext) - (slot - WF_STACK_BYTES) >= 2 * WF_STACK_BYTES) {
        return NULL;
    }
    return wf_fiber_in_slot(slot);
}

WF_NORETURN static void report_overflow(struct wf_fiber *fiber)
{
    char task[256] = "a stack";
    char text[384];
    /* relaxed: a pointer to code */
    wf_fiber_describe_fn *describe = wf_load_relaxed(&wf_fiber_hooks.describe);
    if (describe != NULL && fiber->canary == WF_FIBER_CANARY) {
        describe(fiber, task, sizeof task);
    }
    size_t n = text_append(text, 0, sizeof text, "weft: stack overflow: ");
    n = text_append(text, n, sizeof text, task);
    n = text_append(text, n, sizeof text, " overflowed ");
    n = text_append_number(text, n, sizeof text, fiber->stack_bytes / 1024);
    n = text_append(text, n, sizeof text, " KiB\n");
    if (write(STDERR_FILENO, text, n) < 0) {
        /* nowhere left to say it */
    }
    sigaction(SIGSEGV, &handler.former, NULL);
    abort();
}

/* Does what would have happened without us. */
static void chain_fault(int number, siginfo_t *info, void *ucontext)
{
    const struct sigaction *former = &handler.former;
    if (former->sa_flags & SA_SIGINFO) {
        former->sa_sigaction(number, info, ucontext);
    } else if (former->sa_handler != SIG_DFL && former->sa_handler != SIG_IGN) {
        former->sa_handler(number);
    } else if (former->sa_handler == SIG_DFL || info->si_code > 0) {
        /* The kernel ends a process for a real fault even when it is ignored. A real fault repeats
         * when we return, with the right registers in the core file; a sent signal must be sent
         * again. */
        signal(number, SIG_DFL);
        if (info->si_code <= 0) {
            raise(number);
        }
    }
}

/* Runs on the signal stack of the worker's thread. */
static void on_fault(int number, siginfo_t *info, void *ucontext)
{
    int saved_errno = errno;
    struct wf_fiber *fiber = overflowed_fiber(info, ucontext);
    if (fiber) {
        report_overflow(fiber);
    }
    chain_fault(number, info, ucontext);
    errno = saved_errno;
}

/* --- installing ------------------------------------------------------------------------------- */

/* With the former handler's mask, so that it finds what it asked for when it is chained. */
void wf_overflow_open(size_t guard_bytes)
{
    handler.guard_bytes = guard_bytes;
    sigaction(SIGSEGV, NULL, &handler.former);
    struct sigaction ours = {
        .sa_sigaction = on_fault,
        .sa_flags = SA_SIGINFO | SA_ONSTACK | (handler.former.sa_flags & SA_NODEFER),
        .sa_mask = handler.former.sa_mask,
    };
    sigaction(SIGSEGV, &ours, NULL);
}

void wf_overflow_close(void)
{
    struct sigaction current;
    if (sigaction(SIGSEGV, NULL, &current) == 0 && (current.sa_flags & SA_SIGINFO) &&
        current.sa_sigaction == on_fault) {
        sigaction(SIGSEGV, &handler.former, NULL);
    }
}

/* --- the signal stacks ------------------------------------------------------------------------ */

int wf_signal_stack_open(struct wf_signal_stack *stack)
{
    *stack = (struct wf_signal_stack){0};
    stack_t former;
    if (sigaltstack(NULL, &former) == 0 && !(former.ss_flags & SS_DISABLE)) {
        return 0; /* the thread has one: a sanitizer's, or the program's */
    }
    stack->memory = wf_sys.map(SIGNAL_BYTES, PROT_READ | PROT_WRITE);
    if (!stack->memory) {
        return -ENOMEM;
    }
    stack->bytes = SIGNAL_BYTES;
    /* Its own guard: best effort, it may lie above anything. */
    (void)wf_sys.protect(stack->memory, wf_sys_page_bytes(), PROT_NONE);
    stack_t ours = {.ss_sp = stack->memory, .ss_size = stack->bytes};
    if (sigaltstack(&ours, NULL) != 0) {
        wf_signal_stack_close(stack);
        return -ENOMEM;
    }
    return 0;
}

void wf_signal_stack_close(struct wf_signal_stack *stack)
{
    if (stack->memory) {
        stack_t none = {.ss_flags = SS_DISABLE};
        sigaltstack(&none, NULL);
        (void)wf_sys.unmap(stack->memory, stack->bytes);
    }
    *stack = (struct wf_signal_stack){0};
}
