/* wloom_switch.c: stacks for the checker's threads. Only callee-saved integer registers are kept:
 * the harnesses use no floating point across a step, and an abandoned execution simply leaves its
 * stacks. */
#include "tests/model/wloom_engine.h"

#include "pool/base/compiler.h"

#if WF_X86_64
__asm__(".text\n"
        ".globl wloom_switch\n"
        ".type wloom_switch, @function\n"
        "wloom_switch:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size wloom_switch, . - wloom_switch\n");

void *wloom_stack(void *end, void (*entry)(void))
{
    void **sp = (void **)((uintptr_t)end & ~(uintptr_t)15);
    *--sp =
        /* the return address that `entry` never uses; after the ret, rsp is 8 below a multiple
         * of 16 */
        NULL;
    *--sp = (void *)(uintptr_t)entry;
    for (int i = 0; i < 6; i++) {
        *--sp = NULL;
    }
    return sp;
}
#else
__asm__(".text\n"
        ".globl wloom_switch\n"
        ".type wloom_switch, %function\n"
        "wloom_switch:\n"
        "    stp x29, x30, [sp, #-96]!\n"
        "    stp x19, x20, [sp, #16]\n"
        "    stp x21, x22, [sp, #32]\n"
        "    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n"
        "    stp x27, x28, [sp, #80]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #16]\n"
        "    ldp x21, x22, [sp, #32]\n"
        "    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n"
        "    ldp x27, x28, [sp, #80]\n"
        "    ldp x29, x30, [sp], #96\n"
        "    ret\n"
        ".size wloom_switch, . - wloom_switch\n");

void *wloom_stack(void *end, void (*entry)(void))
{
    void **sp = (void **)((uintptr_t)end & ~(uintptr_t)15);
    sp -= 12;
    for (int i = 0; i < 12; i++) {
        sp[i] = NULL;
    }
    sp[1] = (void *)(uintptr_t)entry; /* x30 */
    return sp;
}
#endif
