/* sanitizer.h: what ASan, TSan and valgrind must be told about stacks and pooled memory. Nothing in
 * other builds.
 *
 * pool/ and io/ only. With compiler.h and sys.c the place for #if on tools, so that fiber.c and
 * slab.c have none.
 *
 * The traps that shaped it (each has bitten a published fiber library):
 *   - ASan: a fake-stack handle per fiber, kept for a recycled stack (NULL would free frames that
 *     are alive); bounds of the stack that is entered, a thread's own stack included; an idle stack
 *     is poisoned from another stack only.
 *   - TSan: the switch is announced in the function that switches, which is not instrumented;
 *     abandoned frames stay on TSan's shadow stack, so a stack that starts again gets a new TSan
 *     fiber (at most one lives per slot; TSan itself stops at about 8,000). */
#ifndef WF_SANITIZER_H
#define WF_SANITIZER_H

#include "pool/base/compiler.h"
#include <stdbool.h>

/* For a function in which the current stack is not the one that the sanitizer believes in. */
#define WF_NO_ASAN __attribute__((no_sanitize("address")))
#define WF_NO_TSAN __attribute__((no_sanitize("thread")))

#if WF_ASAN
/* Declared here, as TSan's below: compilers are installed without <sanitizer/...>, or with an older
 * one. */
void __asan_poison_memory_region(const volatile void *address, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *address, size_t bytes);
void *__asan_region_is_poisoned(void *address, size_t bytes);
void __sanitizer_start_switch_fiber(void **save, const void *low, size_t bytes);
void __sanitizer_finish_switch_fiber(void *saved, const void **old_low, size_t *old_bytes);
#define wf_asan_poison(address, bytes)   __asan_poison_memory_region((address), (bytes))
#define wf_asan_unpoison(address, bytes) __asan_unpoison_memory_region((address), (bytes))
/* Is all of it memory of the program that may be touched? */
#define wf_asan_is_open(address, bytes) (__asan_region_is_poisoned((address), (bytes)) == NULL)
#define wf_asan_switch_begin(save, low, bytes) \
    __sanitizer_start_switch_fiber((save), (low), (bytes))
#define wf_asan_switch_end(saved, old_low, old_bytes) \
    __sanitizer_finish_switch_fiber((saved), (old_low), (old_bytes))
#else
#define wf_asan_poison(address, bytes)         ((void)(address), (void)(bytes))
#define wf_asan_unpoison(address, bytes)       ((void)(address), (void)(bytes))
#define wf_asan_is_open(address, bytes)        ((void)(address), (void)(bytes), false)
#define wf_asan_switch_begin(save, low, bytes) ((void)(save), (void)(low), (void)(bytes))
#define wf_asan_switch_end(saved, old_low, old_bytes) \
    ((void)(saved), (void)(old_low), (void)(old_bytes))
#endif

#if WF_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#define wf_tsan_current()      __tsan_get_current_fiber()
#define wf_tsan_create()       __tsan_create_fiber(0)
#define wf_tsan_destroy(fiber) __tsan_destroy_fiber(fiber)
/* Flag 0: what came before on this thread happens before what comes next on it, which is true. */
#define wf_tsan_switch(fiber) __tsan_switch_to_fiber((fiber), 0)
#else
#define wf_tsan_current()      NULL
#define wf_tsan_create()       NULL
#define wf_tsan_destroy(fiber) ((void)(fiber))
#define wf_tsan_switch(fiber)  ((void)(fiber))
#endif

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define WF_VALGRIND 1
#endif
#endif
#ifdef WF_VALGRIND
#define wf_valgrind_stack_open(low, high) ((uint32_t)VALGRIND_STACK_REGISTER((low), (high)))
#define wf_valgrind_stack_close(id)       VALGRIND_STACK_DEREGISTER(id)
#define wf_valgrind_is_on()               (RUNNING_ON_VALGRIND != 0)
/* By the tool that minds what has not been written? Others refuse the request. */
#define wf_memcheck_is_on() (VALGRIND_MAKE_MEM_DEFINED((const char *)"", 1) != 0)
#else
#define wf_memcheck_is_on()               false
#define wf_valgrind_stack_open(low, high) ((void)(low), (void)(high), (uint32_t)0)
#define wf_valgrind_stack_close(id)       ((void)(id))
#define wf_valgrind_is_on()               false
#endif

#endif
