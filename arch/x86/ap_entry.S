/* SPDX-License-Identifier: BSD-2-Clause */
/* From a SIPI to 64-bit C.
 *
 * ap_trampoline..ap_trampoline_end is copied to a page below 1 MiB, with the words at ap_patch filled
 * in (struct ap_patch in smp.c).
 *
 * In:  real mode, CS:IP = start of that page, nothing else defined.
 * Out: ap_main() in 64-bit mode at its linked address, on boot_stack, with the tables of boot.S: one
 *      processor at a time.
 */
#include "arch/x86/layout.h"

#define AT(symbol) (symbol - ap_trampoline)

	.section .rodata
	.globl ap_trampoline, ap_trampoline_end, ap_patch
	.balign 16
	.code16
ap_trampoline:
	cli
	cld
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	AT(ap_gdt_pointer)
	mov	$0x20, %eax		/* CR4.PAE */
	mov	%eax, %cr4
	mov	AT(ap_cr3), %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER.LME */
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	$0x80010033, %eax	/* PG WP NE ET MP PE; not CD and NW, which INIT has set */
	mov	%eax, %cr0
	ljmpl	*AT(ap_far)

	.code64
ap_long:
	movabs	$ap_entry64, %rax
	jmp	*%rax

	.balign 8
ap_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
ap_gdt_pointer:
	.word . - ap_gdt - 1
ap_patch:
	.long AT(ap_gdt)		/* + physical address */
ap_far:
	.long AT(ap_long)		/* + physical address */
	.word SELECTOR_CODE
ap_cr3:
	.long 0				/* boot_pml4 */
ap_trampoline_end:

	.text
	.type ap_entry64, @function
ap_entry64:
	lgdt	boot_gdt_pointer(%rip)
	mov	$SELECTOR_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$boot_stack_top, %rsp
	xor	%ebp, %ebp
	call	ap_main
	ud2
	.size ap_entry64, . - ap_entry64

	.section .note.GNU-stack, "", @progbits
