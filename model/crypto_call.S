/* SPDX-License-Identifier: BSD-2-Clause */
#define MSR_FS_BASE 0xc0000100

/* void crypto_call(work: rdi, argument: rsi, top: rdx, guard: rcx, save: r8)
 * The C calling convention; work() may use SSE registers and FS:28h. */
	.text
	.globl crypto_call
	.type crypto_call, @function
crypto_call:
	push %rbp
	mov %rsp, %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	mov %rdi, %rbx
	mov %rsi, %r12
	mov %rdx, %r13
	mov %r8, %r14

	fxsave64 (%r14)
	mov %rcx, %rdi
	mov $MSR_FS_BASE, %ecx
	rdmsr
	push %rdx
	push %rax
	mov %rdi, %rax
	mov %rdi, %rdx
	shr $32, %rdx
	wrmsr

	mov %rsp, %rax
	mov %r13, %rsp
	push %rax
	push %rax /* keeps the stack aligned */
	mov %r12, %rdi
	call *%rbx
	pop %rsp

	mov $MSR_FS_BASE, %ecx
	pop %rax
	pop %rdx
	wrmsr
	fxrstor64 (%r14)

	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size crypto_call, . - crypto_call

	.section .note.GNU-stack, "", @progbits
