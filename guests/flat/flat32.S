/* SPDX-License-Identifier: BSD-2-Clause */
/* A flat guest: 32-bit protected mode, no paging, no multiboot. Checks what it starts with, takes an
 * interrupt-free walk through its segments, and ends by the port that kvm-unit-tests use.
 */
	.code32
	.text
	.globl _start
_start:
	mov $11, %ebp			/* the number of the check, for the exit code */
	or %ecx, %eax
	or %edx, %eax
	or %esi, %eax
	or %edi, %eax
	jnz fail
	inc %ebp			/* 12: paging off, protected mode on */
	mov %cr0, %eax
	and $0x80000001, %eax
	cmp $1, %eax
	jne fail
	inc %ebp			/* 13: interrupts off */
	mov $0x90000, %esp
	pushf
	pop %eax
	test $0x200, %eax
	jnz fail
	inc %ebp			/* 14: memory holds what is written */
	movl $0x12345678, 0x200000
	cmpl $0x12345678, 0x200000
	jne fail
	inc %ebp			/* 15: the code runs where it was put */
	call 1f
1:	pop %eax
	sub $(1b - _start), %eax
	cmp $0x100000, %eax
	jne fail
	xor %ebp, %ebp
fail:	mov %ebp, %eax
	out %eax, $0xf4
2:	hlt
	jmp 2b
	.section .note.GNU-stack,"",@progbits
