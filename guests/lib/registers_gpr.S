/* SPDX-License-Identifier: BSD-2-Clause */
/* u64 registers_across_out(u64 seed, u64 port), u64 registers_across_touch(u64 seed, u64 address)
 *
 * Each general register but RSP and RDX holds seed + its number; RDX the second argument.
 * Returns 0, or the number of the first register that does not hold it afterwards.
 */
	.macro fill
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	push %rsi
	push %rdi
	mov %rsi, %rdx
	lea 1(%rdi), %rax
	lea 2(%rdi), %rbx
	lea 3(%rdi), %rcx
	lea 5(%rdi), %rsi
	lea 7(%rdi), %rbp
	lea 8(%rdi), %r8
	lea 9(%rdi), %r9
	lea 10(%rdi), %r10
	lea 11(%rdi), %r11
	lea 12(%rdi), %r12
	lea 13(%rdi), %r13
	lea 14(%rdi), %r14
	lea 15(%rdi), %r15
	lea 6(%rdi), %rdi
	.endm

	/* The register's difference to the seed on the stack must be its number. */
	.macro expect register, number
	sub (%rsp), \register
	cmp $\number, \register
	mov $\number, \register
	jne registers_lost_\number
	.endm

	.macro lost register, number
registers_lost_\number:
	mov $\number, %eax
	jmp registers_done
	.endm

	.text
	.globl registers_across_out
registers_across_out:
	fill
	out %al, %dx
	jmp registers_check

	.globl registers_across_touch
registers_across_touch:
	fill
	cmpb $0, (%rdx)
registers_check:
	expect %rax, 1
	expect %rbx, 2
	expect %rcx, 3
	expect %rsi, 5
	expect %rdi, 6
	expect %rbp, 7
	expect %r8, 8
	expect %r9, 9
	expect %r10, 10
	expect %r11, 11
	expect %r12, 12
	expect %r13, 13
	expect %r14, 14
	expect %r15, 15
	cmp 8(%rsp), %rdx
	mov $4, %eax
	jne registers_done
	xor %eax, %eax
registers_done:
	pop %rdi
	pop %rsi
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	lost %rax, 1
	lost %rbx, 2
	lost %rcx, 3
	lost %rsi, 5
	lost %rdi, 6
	lost %rbp, 7
	lost %r8, 8
	lost %r9, 9
	lost %r10, 10
	lost %r11, 11
	lost %r12, 12
	lost %r13, 13
	lost %r14, 14
	lost %r15, 15
	.section .note.GNU-stack,"",@progbits
