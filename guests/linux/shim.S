/* SPDX-License-Identifier: BSD-2-Clause */
/* The loader shim: guests/linux/shim.h says what it is given and what it does.
 *
 * Linked as a flat image at SHIM_CODE. Entry: 32-bit protected mode with paging off at offset 0, or
 * long mode at offset 0x80; all registers are free. Exit: to the kernel in long mode, interrupts
 * off, CS = 0x10, the other segments 0x18, RSI = boot_params (Linux, Documentation/arch/x86/boot.rst,
 * "64-bit boot protocol").
 *
 * After the entry: rbx parameters, rbp current range, r12d its number, r13 next page of it.
 */
#include "guests/linux/shim.h"

#define CR0_PG	  0x80000000
#define CR4_PAE	  0x20
#define MSR_EFER  0xc0000080
#define EFER_LME  0x100
#define MSR_GHCB  0xc0010130
#define LARGE	  0x200000
#define SMALL	  0x1000

	.text
	.code32
	.globl shim_start
shim_start:
	cli
	cld
	lgdt gdt_pointer
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov SHIM_PARAMS + SHIM_OFFSET_CR3, %eax
	mov %eax, %cr3
	/* A TD has it already, and must not write it. */
	mov $MSR_EFER, %ecx
	rdmsr
	test $EFER_LME, %eax
	jnz 1f
	or $EFER_LME, %eax
	wrmsr
1:	mov %cr0, %eax
	or $CR0_PG, %eax
	mov %eax, %cr0
	ljmp $0x10, $long_mode

	.org SHIM_ENTRY64 - SHIM_CODE
	.code64
shim_entry64:
	cli
	cld
	lgdt gdt_pointer
	mov $stack_top, %esp
	pushq $0x10
	pushq $long_mode
	lretq

long_mode:
	mov $0x18, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	mov $stack_top, %esp
	lidt idt_pointer
	mov $SHIM_PARAMS, %ebx
	/* With a C-bit above bit 31 the 32-bit entry loaded but the half of it. */
	mov SHIM_OFFSET_CR3(%rbx), %rax
	mov %rax, %cr3
	lea SHIM_OFFSET_RANGES(%rbx), %rbp
	xor %r12d, %r12d

next_range:
	cmp SHIM_OFFSET_COUNT(%rbx), %r12d
	jae enter_kernel
	mov (%rbp), %r13
next_page:
	cmp 8(%rbp), %r13
	jae range_done
	cmpl $SHIM_ACCEPT_PVALIDATE, SHIM_OFFSET_ACCEPT(%rbx)
	je 1f
	cmpl $SHIM_ACCEPT_TDX, SHIM_OFFSET_ACCEPT(%rbx)
	je 2f
	ud2
1:	call validate
	jmp next_page
2:	call accept
	jmp next_page
range_done:
	add $16, %rbp
	inc %r12d
	jmp next_range

enter_kernel:
	mov SHIM_OFFSET_BOOT(%rbx), %rsi
	mov SHIM_OFFSET_ENTRY(%rbx), %rax
	xor %ebx, %ebx
	xor %ebp, %ebp
	xor %edi, %edi
	jmp *%rax

/* ZF: the page at r13 is a 2 MiB page of the range's. */
is_large:
	lea LARGE(%r13), %rax
	cmp 8(%rbp), %rax
	ja 1f
	test $LARGE - 1, %r13d
1:	ret

/* PVALIDATE (AMD APM Vol. 3): rax address, ecx size, edx 1; eax 0 done, 6 the RMP entry is smaller
 * than the page asked for; CF, if eax is 0: nothing changed. */
validate:
	call is_large
	jnz 1f
	mov %r13, %rax
	mov $1, %ecx
	mov $1, %edx
	.byte 0xf2, 0x0f, 0x01, 0xff
	setc %dl
	cmp $6, %eax
	je 1f
	or %dl, %al
	test %eax, %eax
	jz large_done
	jmp failed_snp
1:	mov %r13, %rax
	xor %ecx, %ecx
	mov $1, %edx
	.byte 0xf2, 0x0f, 0x01, 0xff
	setc %dl
	or %dl, %al
	test %eax, %eax
	jnz failed_snp
small_done:
	add $SMALL, %r13
	ret
large_done:
	add $LARGE, %r13
	ret

/* TDG.MEM.PAGE.ACCEPT (TDX module ABI, leaf 6): rcx address with the level in bits 2:0; rax 0 done,
 * bits 63:32 0xc0000b0b the page is mapped in another size. */
accept:
	call is_large
	jnz 1f
	mov $6, %eax
	lea 1(%r13), %rcx
	.byte 0x66, 0x0f, 0x01, 0xcc
	test %rax, %rax
	jz large_done
	shr $32, %rax
	cmp $0xc0000b0b, %eax
	jne failed_tdx
1:	mov $6, %eax
	mov %r13, %rcx
	.byte 0x66, 0x0f, 0x01, 0xcc
	test %rax, %rax
	jz small_done
	/* fall through */

failed_tdx:
	mov $0, %eax
	mov $0x1c00, %ecx	/* r10, r11, r12 */
	xor %r10d, %r10d
	mov $0x10003, %r11d
	.byte 0x66, 0x0f, 0x01, 0xcc
	ud2

failed_snp:
	mov $MSR_GHCB, %ecx
	mov $SHIM_REASON_ACCEPT << 16 | SHIM_REASON_SET << 12 | 0x100, %eax
	mov %r12d, %edx
	wrmsr
	.byte 0xf3, 0x0f, 0x01, 0xd9	/* VMGEXIT */
	ud2

	.balign 8
gdt:
	.quad 0
	.quad 0
	.quad 0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad 0x00cf93000000ffff	/* 0x18: data */
gdt_end:
	.word 0
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
idt_pointer:
	.word 0
	.quad 0
	.balign 16
	.skip 64
stack_top:
	.org 4096
	.section .note.GNU-stack,"",@progbits
