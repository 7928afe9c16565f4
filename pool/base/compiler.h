/* compiler.h: what differs between compilers, processors and sanitizers, so that no other file
 * needs an #if.
 *
 * Everybody may include it. It defines no function with a body of more than a few instructions. */
#ifndef WF_COMPILER_H
#define WF_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef WF_CHECKS
#define WF_CHECKS 0 /* 1 in development builds: wf_check_inner is compiled in */
#endif
#ifndef WF_MODEL
#define WF_MODEL 0 /* 1 under the model checker */
#endif

#define wf_likely(x)   __builtin_expect(!!(x), 1)
#define wf_unlikely(x) __builtin_expect(!!(x), 0)
/* It is so, and the compiler may rely on it. */
#define wf_assume(x) ((x) ? (void)0 : __builtin_unreachable())
#define WF_COLD      __attribute__((noinline, cold))
#define WF_NOINLINE  __attribute__((noinline))
#if __OPTIMIZE_SIZE__ /* CMakeLists.txt has which sources: 9 % less code there */
#define WF_INLINE static inline
#else
#define WF_INLINE static inline __attribute__((always_inline))
#endif
#define WF_NORETURN __attribute__((noreturn))
#define WF_UNUSED   __attribute__((unused))
/* Of the library alone: reached without a table of addresses. For what hot paths read or compare;
 * elsewhere cmake/weft.map does. */
#define WF_HIDDEN       __attribute__((visibility("hidden")))
#define WF_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* A thread-local variable that a signal handler may touch: it has its place from the thread's
 * start, where the general model may allocate at the first touch. */
#define WF_TLS_STATIC __attribute__((tls_model("initial-exec")))

/* Two lines: the adjacent-line prefetcher of x86 makes pairs of 64-byte lines move together. */
#define WF_LINE       64
#define WF_LINE_PAIR  128
#define WF_ALIGNED(n) __attribute__((aligned(n)))

/* Fetches the line for a load soon to come; for a store. Hints, of any address. */
#define wf_prefetch(address) __builtin_prefetch(address)
#if defined(__x86_64__)
/* Not the builtin: unless it may compile for newer processors only, it fetches the line for a load.
 * Of a line that another core has written the store then waits as long as without: it has to be
 * taken from that core once more. (A processor that does not know this instruction takes it for
 * none.) */
#define wf_prefetch_write(address) \
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)(address)))
#else
#define wf_prefetch_write(address) __builtin_prefetch((address), 1)
#endif

#define wf_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define WF_COUNT(a)                        (sizeof(a) / sizeof((a)[0]))

#if defined(__x86_64__)
#define WF_X86_64  1
#define WF_AARCH64 0
#elif defined(__aarch64__)
#define WF_X86_64  0
#define WF_AARCH64 1
#else
#error "weft runs on x86-64 and aarch64"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define WF_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WF_ASAN 1
#endif
#endif
#ifndef WF_ASAN
#define WF_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define WF_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WF_TSAN 1
#endif
#endif
#ifndef WF_TSAN
#define WF_TSAN 0
#endif

/* 1 in builds that look at each switch between stacks. */
#define WF_WATCHED (WF_CHECKS + WF_ASAN + WF_TSAN != 0)

#ifndef WF_HAVE_URING
#define WF_HAVE_URING 1
#endif

/* Tell the processor that this is a spin loop. 25 ns on Zen 4. */
WF_INLINE void wf_cpu_relax(void)
{
#if WF_X86_64
    __builtin_ia32_pause();
#else
    /* yield is a no-op on most aarch64 cores; isb waits some ns */
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* The processor's own counter: what costs a third of the clock (8 ns), and says about how long
 * something short took, to within a factor of two. Not for deadlines; not ordered with the code
 * around it; of another processor it may be a little behind. */
#if WF_X86_64
#define WF_TICKS_US UINT64_C(2500) /* counters run at 1.5 to 5 GHz */
#else
#define WF_TICKS_US UINT64_C(1000)
#endif
WF_INLINE uint64_t wf_ticks(void)
{
#if WF_X86_64
    return __builtin_ia32_rdtsc();
#else
    uint64_t count;
    uint64_t per_second; /* 24 MHz to 1 GHz, whatever the processor's speed */
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    __asm__("mrs %0, cntfrq_el0" : "=r"(per_second));
    return count * 1000 / (per_second / 1000000);
#endif
}

/* The address of the current frame: which stack slot runs this code. Constant within a function. */
#define wf_frame_address() ((uintptr_t)__builtin_frame_address(0))

/* Some address in it, for which the function needs no frame pointer. Not volatile: any moment of
 * the function will do. */
WF_INLINE uintptr_t wf_stack_pointer(void)
{
#if WF_X86_64
    uintptr_t here;
    __asm__("mov %%rsp, %0" : "=r"(here));
    return here;
#else
    return wf_frame_address();
#endif
}

/* The value, of which the compiler knows nothing: so it cannot be put into another computation. */
WF_INLINE uint64_t wf_opaque(uint64_t value)
{
    __asm__("" : "+r"(value));
    return value;
}

/* *word += addend, and the sum is in no register, not even for a moment after. */
WF_INLINE void wf_add_in_place(uint64_t *word, uint64_t addend)
{
#if WF_X86_64
    __asm__ volatile("addq %1, %0" : "+m"(*word) : "r"(addend) : "cc");
#else
    uint64_t sum;
    __asm__ volatile("ldr %0, %1\n\tadd %0, %0, %2\n\tstr %0, %1\n\tmov %0, xzr"
                     : "=&r"(sum), "+Q"(*word)
                     : "r"(addend));
#endif
}

/* *word + addend, and *word is in no register, not even for a moment after. Whatever the word is,
 * it is read: no sanitizer sees it. */
WF_INLINE uint64_t wf_sum_in_place(const uint64_t *word, uint64_t addend)
{
#if WF_X86_64
    __asm__ volatile("addq %1, %0" : "+r"(addend) : "m"(*word) : "cc");
#else
    uint64_t at;
    __asm__ volatile("ldr %1, %2\n\tadd %0, %0, %1\n\tmov %1, xzr"
                     : "+&r"(addend), "=&r"(at)
                     : "Q"(*word));
#endif
    return addend;
}

/* An address that `lea` has computed, on this thread. That instruction leaves a segment's base out:
 * of a thread-local variable it makes the distance from the thread's base, which is negative. No
 * address of a program is. */
WF_INLINE uintptr_t wf_address_of_lea(uintptr_t computed)
{
#if WF_X86_64
    if (wf_unlikely((intptr_t)computed < 0)) {
        uintptr_t base;
        __asm__ volatile("movq %%fs:0, %0" : "=r"(base));
        return base + computed;
    }
#endif
    return computed;
}

/* Is `here` not one of the bounds[1] addresses from bounds[0] on? They may be written at
 * the same time, and each is then read whole. */
WF_INLINE bool wf_is_outside(uintptr_t here, const volatile uintptr_t bounds[2])
{
#if WF_X86_64
    /* with both bounds as operands, which compilers do not make of such loads */
    const uintptr_t *words = (const uintptr_t *)bounds; /* two looks may be made one */
    bool outside;
    __asm__("sub %2, %1\n\tcmp %3, %1"
            : "=@ccae"(outside), "+&r"(here)
            : "m"(words[0]), "m"(words[1])
            : "cc");
    return outside;
#else
    return here - bounds[0] >= bounds[1];
#endif
}

#endif
