/* SPDX-License-Identifier: BSD-2-Clause */
/* Exception and interrupt entries; the way to CPL 3 and back.
 *
 * On entry the processor has pushed SS RSP RFLAGS CS RIP and, for some vectors, an error code. Each
 * stub makes that uniform (0 for a missing error code) and adds the vector.
 */
	.text
	.balign 16
	.globl trap_entries
trap_entries:
	.set vector, 0
	.rept 256
	.balign 16
	.if (vector == 8) || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	.else
	pushq $0
	.endif
	pushq $vector
	jmp trap_save
	.set vector, vector + 1
	.endr

trap_save:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	cmpq $0x81, 120(%rsp)
	je user_left
	mov %rsp, %rdi
	mov %rsp, %rbp
	and $-16, %rsp
	call trap_common
	mov %rbp, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp
	iretq

/* u64 user_run(u64 (*function)(u64), u64 argument, void *stack) */
	.globl user_run
user_run:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, user_saved_rsp(%rip)
	mov %rdi, %rax
	mov %rsi, %rdi
	pushq $0x1b
	pushq %rdx
	pushq $2
	pushq $0x23
	lea user_start(%rip), %rcx
	push %rcx
	iretq
user_start:			/* CPL 3 */
	and $-16, %rsp
	call *%rax
	int $0x81
user_left:			/* CPL 0 again; the frame is on the TSS stack */
	mov 112(%rsp), %rax
	mov user_saved_rsp(%rip), %rsp
	mov $0x10, %ecx
	mov %ecx, %ds
	mov %ecx, %es
	mov %ecx, %ss
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.bss
	.balign 8
user_saved_rsp:
	.quad 0
	.section .note.GNU-stack,"",@progbits
