/* switch_x86_64.S: leaves one stack and continues another. Called by fiber.c alone; fiber.h has the
 * contract.
 *
 * A context, at fiber->sp (16-byte aligned), while its stack is suspended or prepared:
 *      0  mxcsr          8  r15   24  r13   40  rbx   56  where to continue
 *      4  x87 control   16  r14   32  r12   48  rbp
 * fiber.c (wf_fiber_start) writes the same for a stack that has not run.
 *
 * It ends in `ret`, not in an indirect jump. A jump is faster in isolation (2 ns against 7, a
 * switch between two different call sites), but leaves one entry too many on the processor's return
 * stack, so that every return of the resumed stack is mispredicted: 22 ns against 8 for a yield
 * that returns through three frames. With `ret` two stacks that wait at the same depth of the same
 * calls cost no misprediction at all. Nor is the switch inline assembly: gcc takes that asm to
 * change no static variable whose address does not escape, though other code of the same file runs
 * meanwhile.
 *
 * Shadow stacks (CET) would have to be switched too, and are not: the note at the end says IBT
 * only, which keeps the linker from marking the program for them. */

/* Offsets in struct wf_fiber; fiber.h asserts them. */
#define FIBER_WORKER 16
#define FIBER_SP     24
#define FIBER_RESUME 32
#define FIBER_ERRNO  52 /* saved_errno */
#define THREAD_ERRNO 56 /* thread_errno */
#define LEFT_AT      64
#define CAME_AFTER   68

        .text

/* The first half, of both: the context of `from`, and what goes on to `to` with the thread. The
 * arguments stay where they are: they are those of after(to, from, arg). Then the other stack: its
 * frame has the same layout, so the unwind rules stay right. `to` is kept in rbx, which the context
 * has. */
        .macro  leave_stack
        endbr64
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_def_cfa_offset 24
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_def_cfa_offset 32
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_def_cfa_offset 40
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_def_cfa_offset 48
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_def_cfa_offset 56
        .cfi_rel_offset r15, 0
        subq    $8, %rsp
        .cfi_def_cfa_offset 64
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    THREAD_ERRNO(%rsi), %rax
        movq    FIBER_WORKER(%rsi), %r10
        movl    (%rax), %r11d
        movq    %rax, THREAD_ERRNO(%rdi)
        movq    %r10, FIBER_WORKER(%rdi)
        movl    %r11d, FIBER_ERRNO(%rsi)
        movq    %rdi, %rbx
        movq    %rsp, FIBER_SP(%rsi)
        movq    FIBER_SP(%rdi), %rsp
        .endm

/* The second: `after`, if any, then what the other stack was at. */
        .macro  enter_stack
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        testq   %rcx, %rcx
        jz      1f
        call    *%rcx
1:
        go_on
        .endm

/* Its end: whichever switch it was left by. The stack's thread_errno is read anew, since `after`
 * may have suspended it in its turn. */
        .macro  go_on
        xorl    %eax, %eax
        movq    THREAD_ERRNO(%rbx), %rdx
        movl    FIBER_ERRNO(%rbx), %ecx
        movl    %ecx, (%rdx)
        addq    $8, %rsp
        .cfi_def_cfa_offset 56
        popq    %r15
        .cfi_def_cfa_offset 48
        .cfi_restore r15
        popq    %r14
        .cfi_def_cfa_offset 40
        .cfi_restore r14
        popq    %r13
        .cfi_def_cfa_offset 32
        .cfi_restore r13
        popq    %r12
        .cfi_def_cfa_offset 24
        .cfi_restore r12
        popq    %rbx
        .cfi_def_cfa_offset 16
        .cfi_restore rbx
        popq    %rbp
        .cfi_def_cfa_offset 8
        .cfi_restore rbp
        ret
        .endm

/* int wf_switch_context(struct wf_fiber *to, struct wf_fiber *from, void *arg, wf_after_fn *after)
 *                       rdi                  rsi                    rdx        rcx */
        .globl  wf_switch_context
        .hidden wf_switch_context
        .type   wf_switch_context, @function
        .p2align 5
wf_switch_context:
        .cfi_startproc
        leave_stack
        enter_stack
        .cfi_endproc
        .size   wf_switch_context, . - wf_switch_context

/* int wf_switch_queued(struct wf_fiber *to, struct wf_fiber *from, uint32_t *unless,
 *                      rdi                  rsi                    rdx
 *                      wf_after_fn *after, void *slot, uint64_t *count)
 *                      rcx                 r8          r9
 * Whoever sees the count may run `from`: so it is after the last use of its stack, of which even a
 * signal handler would be one. A store is a release here. *unless is read behind it in the order of
 * the program, no more. */
        .globl  wf_switch_queued
        .hidden wf_switch_queued
        .type   wf_switch_queued, @function
        .p2align 5
wf_switch_queued:
        .cfi_startproc
        leave_stack
        leaq    FIBER_RESUME(%rsi), %rax
        movq    %rax, (%r8)
        incq    (%r9) /* LAST TOUCH of `from` */
        .cfi_remember_state
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        cmpl    $0, (%rdx)
        je      2f
1:
        go_on
2:
        .cfi_restore_state
        call    *%rcx
        jmp     1b
        .cfi_endproc
        .size   wf_switch_queued, . - wf_switch_queued

/* int wf_switch_arming(struct wf_fiber *to, struct wf_fiber *from, void *word, wf_after_fn
 * *otherwise)
 *                      rdi                  rsi                    rdx         rcx
 * Whoever sees the word armed may run `from`. A locked instruction is seq_cst. */
        .globl  wf_switch_arming
        .hidden wf_switch_arming
        .type   wf_switch_arming, @function
        .p2align 5
wf_switch_arming:
        .cfi_startproc
        leave_stack
        .cfi_remember_state
        movl    LEFT_AT(%rsi), %eax
        movl    %eax, CAME_AFTER(%rdi)
        movq    (%rdx), %rax
        testb   $7, %al
        jne     2f
        leaq    1(%rax), %r8
        lock cmpxchgq %r8, (%rdx) /* LAST TOUCH of `from` */
        jne     2f
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
1:
        go_on
2:
        .cfi_restore_state
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        call    *%rcx
        jmp     1b
        .cfi_endproc
        .size   wf_switch_arming, . - wf_switch_arming

/* int wf_switch_lying(struct wf_fiber *self, void *object, void *detail, wf_lying_fn *fn)
 *                     rdi                    rsi           rdx           rcx
 * int wf_switch_lying_for(struct wf_fiber *self, void *object, void *detail, void *more,
 *                         rdi                    rsi           rdx           rcx
 *                         void *owed, wf_lying_for_fn *fn)
 *                         r8          r9
 *
 * The processor predicts a return by the call that came last, and that was another stack's: so of
 * stacks that lie in calls from different places of the program the return to the program is
 * mispredicted, 4 to 6 ns of the 27 that a hand-over took. A jump is predicted by where the same
 * jump went to before, which is right here as long as one jump goes to one place: hence two of
 * them, between which a branch decides that is itself predicted, by a longer history than an
 * indirect jump's (with one jump it was wrong each time). Of two stacks that take turns each has
 * its own. To the same place we return, since then the prediction is right, here and in the frames
 * above. */
        .macro  lying name, fn
        .globl  \name
        .hidden \name
        .type   \name, @function
        .p2align 5
\name:
        .cfi_startproc
        movq    (%rsp), %rax
        pushq   %rdi
        .cfi_def_cfa_offset 16
        movl    %eax, LEFT_AT(%rdi)
        call    *\fn
        popq    %rdi
        .cfi_def_cfa_offset 8
        movq    (%rsp), %rcx
        cmpl    CAME_AFTER(%rdi), %ecx
        je      2f
        leaq    8(%rsp), %rsp /* keeps the flags */
        .cfi_def_cfa_offset 0
        .cfi_register rip, rcx
        ja      1f
        notrack jmp *%rcx
1:
        notrack jmp *%rcx
2:
        .cfi_def_cfa_offset 8
        .cfi_offset rip, -8
        ret
        .cfi_endproc
        .size   \name, . - \name
        .endm

        lying   wf_switch_lying, %rcx
        lying   wf_switch_lying_for, %r9

/* A prepared stack continues at wf_switch_begin: rbx is its fiber, r12 its entry function, which
 * never returns. The end of every backtrace: no return address, and rbp is 0 for unwinders that
 * follow frame pointers. */
        .globl  wf_switch_first
        .hidden wf_switch_first
        .type   wf_switch_first, @function
        .p2align 4
        .globl  wf_switch_begin
        .hidden wf_switch_begin
wf_switch_first:
        .cfi_startproc
        .cfi_undefined rip
        nop     /* unwinders look up the address before a return address: it must lie in here */
wf_switch_begin:
        xorl    %ebp, %ebp
        movq    %rbx, %rdi
        call    *%r12
        ud2
        .cfi_endproc
        .size   wf_switch_first, . - wf_switch_first

/* void wf_switch_modes(void *context): the floating-point modes of the caller, into a context. */
        .globl  wf_switch_modes
        .hidden wf_switch_modes
        .type   wf_switch_modes, @function
        .p2align 4
wf_switch_modes:
        .cfi_startproc
        endbr64
        stmxcsr (%rdi)
        fnstcw  4(%rdi)
        ret
        .cfi_endproc
        .size   wf_switch_modes, . - wf_switch_modes

        .section .note.GNU-stack, "", @progbits

        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5                /* name, description, NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000002, 4, 1, 0     /* GNU_PROPERTY_X86_FEATURE_1_AND: IBT */
