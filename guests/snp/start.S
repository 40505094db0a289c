/* SPDX-License-Identifier: BSD-2-Clause */
/* The start of the small SNP guest: 64-bit mode, a stack, RDI says which body is to run. Two
 * exceptions are survived: their handler notes what came and goes on at `resume`.
 */
	.section .start, "ax"
	.globl _start
_start:
	call	guest_main
	ud2

	.text
	.globl trap_mc, trap_vc
trap_mc:				/* no error code */
	push	$0
	movl	$18, trap_vector(%rip)
	jmp	1f
trap_vc:				/* error code */
	movl	$29, trap_vector(%rip)
1:	push	%rax
	mov	8(%rsp), %rax
	mov	%rax, trap_error(%rip)
	mov	trap_resume(%rip), %rax
	mov	%rax, 16(%rsp)		/* RIP of the frame */
	pop	%rax
	add	$8, %rsp
	iretq

/* bool try_access(u64 address, u64 *value, bool write): false: it raised one of the two */
	.globl try_access
try_access:
	lea	2f(%rip), %rax
	mov	%rax, trap_resume(%rip)
	movl	$0, trap_vector(%rip)
	test	%dl, %dl
	jnz	1f
	mov	(%rdi), %rax
	mov	%rax, (%rsi)
	jmp	2f
1:	mov	(%rsi), %rax
	mov	%rax, (%rdi)
2:	xor	%eax, %eax
	cmpl	$0, trap_vector(%rip)
	sete	%al
	ret
	.section .note.GNU-stack, "", @progbits
