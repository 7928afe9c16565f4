/* fork_x86_64.S: weft_fork_slow_ for clang, which then keeps what it has in registers over a fork.
 *
 * void weft_fork_saving_(weft_branch *branch): as weft_fork_slow_, but called by the convention
 * "preserve_most" of clang: all integer registers but r11 are as before. Why: to clang a call on
 * the rare path costs the frequent one. It puts what the caller needs after a fork into registers
 * that calls preserve, and has to save these where the function begins, before it is known whether
 * anything will be forked at all: in each leaf of a recursion. gcc splits such a function and needs
 * no help. fork.h calls it by its address, not through a linker that resolves the call when it is
 * first made: that one keeps only the arguments and rax. The call in here may go through one: what
 * is used after it is on the stack. */

        .text

        .globl  weft_fork_saving_
        .type   weft_fork_saving_, @function
        .p2align 4
weft_fork_saving_:
        .cfi_startproc
        endbr64
        pushq   %rax
        .cfi_def_cfa_offset 16
        pushq   %rcx
        .cfi_def_cfa_offset 24
        .cfi_rel_offset rcx, 0
        pushq   %rdx
        .cfi_def_cfa_offset 32
        .cfi_rel_offset rdx, 0
        pushq   %rsi
        .cfi_def_cfa_offset 40
        .cfi_rel_offset rsi, 0
        pushq   %rdi
        .cfi_def_cfa_offset 48
        .cfi_rel_offset rdi, 0
        pushq   %r8
        .cfi_def_cfa_offset 56
        .cfi_rel_offset r8, 0
        pushq   %r9
        .cfi_def_cfa_offset 64
        .cfi_rel_offset r9, 0
        pushq   %r10
        .cfi_def_cfa_offset 72
        subq    $8, %rsp /* aligned to 16 at the call */
        .cfi_def_cfa_offset 80
        call    weft_fork_slow_@PLT
        addq    $8, %rsp
        .cfi_def_cfa_offset 72
        popq    %r10
        .cfi_def_cfa_offset 64
        popq    %r9
        .cfi_def_cfa_offset 56
        .cfi_restore r9
        popq    %r8
        .cfi_def_cfa_offset 48
        .cfi_restore r8
        popq    %rdi
        .cfi_def_cfa_offset 40
        .cfi_restore rdi
        popq    %rsi
        .cfi_def_cfa_offset 32
        .cfi_restore rsi
        popq    %rdx
        .cfi_def_cfa_offset 24
        .cfi_restore rdx
        popq    %rcx
        .cfi_def_cfa_offset 16
        .cfi_restore rcx
        popq    %rax
        .cfi_def_cfa_offset 8
        ret
        .cfi_endproc
        .size   weft_fork_saving_, . - weft_fork_saving_

        .section .note.GNU-stack, "", @progbits

        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5                /* name, description, NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000002, 4, 1, 0     /* GNU_PROPERTY_X86_FEATURE_1_AND: IBT */
