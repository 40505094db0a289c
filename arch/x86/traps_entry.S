/* SPDX-License-Identifier: BSD-2-Clause */
/* The 32 exception entries, and one for all interrupts: each completes the processor's frame to struct trap_frame (traps.h),
 * calls trap_handle(frame) with the direction flag clear and returns to where the frame says. */

	.text
	.altmacro
	.macro trap_stub vector
	.balign 16
trap_stub_\vector:
	.if (\vector == 8) || (\vector == 10) || (\vector == 11) || (\vector == 12) || (\vector == 13) || (\vector == 14) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30)
	.else
	push	$0
	.endif
	push	$\vector
	jmp	trap_entry
	.endm

	.globl trap_stubs
	.type trap_stubs, @function
	.balign 16
trap_stubs:
	.set	i, 0
	.rept	33
	trap_stub %i
	.set	i, i + 1
	.endr
	.size trap_stubs, . - trap_stubs

	.type trap_entry, @function
trap_entry:
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	mov	%rsp, %rbx
	and	$-16, %rsp
	call	trap_handle
	mov	%rbx, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq
	.size trap_entry, . - trap_entry

	.section .note.GNU-stack, "", @progbits
