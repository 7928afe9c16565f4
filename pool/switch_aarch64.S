/* switch_aarch64.S: leaves one stack and continues another. Called by fiber.c alone; fiber.h has
 * the contract.
 *
 * A context, at fiber->sp (16-byte aligned), while its stack is suspended or prepared:
 *      0  x29, x30 (where to continue)   32  x21, x22   64  x25, x26    96  d8, d9   128  d12, d13
 *         160  fpcr
 *     16  x19, x20                       48  x23, x24   80  x27, x28   112  d10, d11 144  d14, d15
 *         168  unused
 * fiber.c (wf_fiber_start) writes the same for a stack that has not run.
 *
 * It ends in `ret`, for the reason given in switch_x86_64.S: return prediction stays paired. The
 * return address is stored unsigned: pointer authentication would need a key that is the same on
 * every thread.
 *
 * There is no wf_switch_lying here. It leaves by a jump to a return address. Where the program's
 * pages are guarded (BTI) a jump may go to a landing pad only, which a return address is not: there
 * br x30 ends with SIGILL, and br x17 too, and no prefix exempts it, as notrack does on x86-64.
 * `ret` is always predicted by the call that came last, whichever register it names. */

/* Offsets in struct wf_fiber; fiber.h asserts them. */
#define FIBER_WORKER 16
#define FIBER_SP     24
#define FIBER_RESUME 32
#define FIBER_ERRNO  52 /* saved_errno */
#define THREAD_ERRNO 56 /* thread_errno */
#define CONTEXT 176

        .text

/* The first half, of both: the context of `from`, and what goes on to `to` with the thread. The
 * arguments stay where they are: they are those of after(to, from, arg). Then the other stack: its
 * frame has the same layout, so the unwind rules stay right. `to` is kept in x19, which the context
 * has. */
        .macro  leave_stack
        hint    #34 /* bti c */
        stp     x29, x30, [sp, #-CONTEXT]!
        .cfi_def_cfa_offset CONTEXT
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        mrs     x9, fpcr
        str     x9, [sp, #160]

        ldr     x10, [x1, #THREAD_ERRNO]
        ldr     x11, [x1, #FIBER_WORKER]
        ldr     w12, [x10]
        str     x10, [x0, #THREAD_ERRNO]
        str     x11, [x0, #FIBER_WORKER]
        str     w12, [x1, #FIBER_ERRNO]
        mov     x19, x0
        mov     x10, sp
        str     x10, [x1, #FIBER_SP]
        ldr     x10, [x0, #FIBER_SP]
        mov     sp, x10
        .endm

/* The second: `after`, if any, then what the other stack was at. Its thread_errno is read anew,
 * since `after` may have suspended it in its turn. */
        .macro  enter_stack
        ldr     x10, [sp, #160]
        cmp     x9, x10
        b.eq    1f
        msr     fpcr, x10 /* waits for the pipeline on many cores, hence the compare */
1:
        cbz     x3, 2f
        blr     x3
2:
        ldr     x10, [x19, #THREAD_ERRNO]
        ldr     w11, [x19, #FIBER_ERRNO]
        str     w11, [x10]
        mov     w0, #0
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     x29, x30, [sp], #CONTEXT
        .cfi_def_cfa_offset 0
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        ret
        .endm

/* int wf_switch_context(struct wf_fiber *to, struct wf_fiber *from, void *arg, wf_after_fn *after)
 *                       x0                   x1                     x2         x3 */
        .globl  wf_switch_context
        .hidden wf_switch_context
        .type   wf_switch_context, %function
        .p2align 5
wf_switch_context:
        .cfi_startproc
        leave_stack
        enter_stack
        .cfi_endproc
        .size   wf_switch_context, . - wf_switch_context

/* int wf_switch_queued(struct wf_fiber *to, struct wf_fiber *from, uint32_t *unless,
 *                      x0                   x1                     x2
 *                      wf_after_fn *after, void *slot, uint64_t *count)
 *                      x3                  x4          x5
 * Whoever sees the count may run `from`: so it is after the last use of its stack, of which even a
 * signal handler would be one. *unless is read behind it in the order of the program, no more. */
        .globl  wf_switch_queued
        .hidden wf_switch_queued
        .type   wf_switch_queued, %function
        .p2align 5
wf_switch_queued:
        .cfi_startproc
        leave_stack
        add     x10, x1, #FIBER_RESUME
        str     x10, [x4]
        ldr     x11, [x5]
        add     x11, x11, #1
        stlr    x11, [x5] /* LAST TOUCH of `from` */
        ldr     w12, [x2]
        cmp     w12, #0
        csel    x3, x3, xzr, eq
        enter_stack
        .cfi_endproc
        .size   wf_switch_queued, . - wf_switch_queued

/* A prepared stack continues at wf_switch_begin: x19 is its fiber, x20 its entry function, which
 * never returns. The end of every backtrace: no return address, and x29 is 0 for unwinders that
 * follow frame pointers. */
        .globl  wf_switch_first
        .hidden wf_switch_first
        .type   wf_switch_first, %function
        .p2align 4
        .globl  wf_switch_begin
        .hidden wf_switch_begin
wf_switch_first:
        .cfi_startproc
        .cfi_undefined x30
        nop     /* unwinders look up the address before a return address: it must lie in here */
wf_switch_begin:
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, x19
        blr     x20
        brk     #1
        .cfi_endproc
        .size   wf_switch_first, . - wf_switch_first

/* void wf_switch_modes(void *context): the floating-point modes of the caller, into a context. */
        .globl  wf_switch_modes
        .hidden wf_switch_modes
        .type   wf_switch_modes, %function
        .p2align 4
wf_switch_modes:
        .cfi_startproc
        hint    #34 /* bti c */
        mrs     x9, fpcr
        str     x9, [x0, #160]
        ret
        .cfi_endproc
        .size   wf_switch_modes, . - wf_switch_modes

        .section .note.GNU-stack, "", %progbits

        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5                /* name, description, NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000000, 4, 1, 0     /* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI */
