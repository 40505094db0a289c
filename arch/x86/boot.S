/* SPDX-License-Identifier: BSD-2-Clause */
/* From a multiboot loader to 64-bit C.
 *
 * In:  32-bit protected mode without paging, %eax = loader's magic, %ebx = physical address
 *      of its information, all other registers undefined, no stack.
 * Out: boot_main(magic, information, load address) in 64-bit mode at its linked address, on
 *      boot_stack, with the first 4 GiB mapped one to one besides.
 *
 * The 32-bit code runs wherever a Multiboot2 loader put it (%ebp = load address);
 * a Multiboot1 loader does not move it. Symbols are reached as OFFSET(symbol)(%ebp).
 */
#include "arch/x86/layout.h"

#define OFFSET(symbol) (symbol - IMAGE_VA)
#define LINKED_PA(symbol) (symbol - IMAGE_VA + IMAGE_LMA)

#define MB1_HEADER 0x1badb002
#define MB1_FLAGS  0x00010003	/* page-aligned modules, memory map, addresses below are valid */
#define MB1_MAGIC  0x2badb002
#define MB2_HEADER 0xe85250d6
#define MB2_MAGIC  0x36d76289

	.section .boot, "ax"
	.code32

	.balign 8
mb1_header:
	.long MB1_HEADER
	.long MB1_FLAGS
	.long -(MB1_HEADER + MB1_FLAGS)
	.long LINKED_PA(mb1_header)
	.long LINKED_PA(image_start)
	.long LINKED_PA(data_end)
	.long LINKED_PA(image_end)
	.long LINKED_PA(boot_entry)

	.balign 8
mb2_header:
	.long MB2_HEADER
	.long 0				/* i386 protected mode */
	.long mb2_header_end - mb2_header
	.long -(MB2_HEADER + 0 + (mb2_header_end - mb2_header))

	.balign 8			/* information request, optional */
	.word 1, 1
	.long 8 + 6 * 4
	.long 1, 3, 6, 8, 14, 15	/* command line, modules, memory map, framebuffer, RSDP old, new */

	.balign 8			/* console: text is fine, none is required */
	.word 4, 1
	.long 12
	.long 2

	.balign 8			/* optional and unknown to loaders; tools/mkiso makes it a */
	.word 0xfe, 1			/* framebuffer tag (5) in the image for UEFI */
	.long 20
	.long 0, 0, 32

	.balign 8			/* modules on page boundaries */
	.word 6, 0
	.long 8

	.balign 8			/* relocatable: anywhere in 32 bits, 2 MiB aligned, low first */
	.word 10, 0
	.long 24
	.long IMAGE_LMA, 0xffffffff, 0x200000, 1

	.balign 8
	.word 0, 0
	.long 8
mb2_header_end:

	.globl boot_tsc, boot_entry, boot_pml4, boot_stack_top, boot_gdt_pointer
boot_entry:
	cli
	cld
	mov	$IMAGE_LMA, %ebp
	cmp	$MB1_MAGIC, %eax
	je	1f
	cmp	$MB2_MAGIC, %eax
	jne	stop
	/* The reserved second word of the Multiboot2 information is a stack of one entry. */
	lea	8(%ebx), %esp
	call	0f
0:	pop	%ebp
	sub	$OFFSET(0b), %ebp
1:
	mov	%eax, OFFSET(boot_magic)(%ebp)
	mov	%ebx, OFFSET(boot_information)(%ebp)
	rdtsc
	mov	%eax, OFFSET(boot_tsc)(%ebp)
	mov	%edx, OFFSET(boot_tsc) + 4(%ebp)

	lea	OFFSET(bss_start)(%ebp), %edi
	mov	$OFFSET(bss_end), %ecx
	sub	$OFFSET(bss_start), %ecx
	shr	$2, %ecx
	xor	%eax, %eax
	rep stosl
	lea	OFFSET(boot_stack_top)(%ebp), %esp

	mov	$0x80000000, %eax
	cpuid
	cmp	$0x80000001, %eax
	jb	no_long_mode
	mov	$0x80000001, %eax
	cpuid
	test	$(1 << 29), %edx
	jz	no_long_mode

	/* Low 4 GiB one to one in 2 MiB pages, the image at IMAGE_VA in 2 MiB pages. */
	lea	OFFSET(boot_pd_low)(%ebp), %edi
	mov	$0x83, %eax
	mov	$2048, %ecx
2:	mov	%eax, (%edi)
	add	$8, %edi
	add	$0x200000, %eax
	dec	%ecx
	jnz	2b

	lea	OFFSET(boot_pdpt_low)(%ebp), %edi
	lea	OFFSET(boot_pd_low) + 3(%ebp), %eax
	mov	$4, %ecx
3:	mov	%eax, (%edi)
	add	$8, %edi
	add	$0x1000, %eax
	dec	%ecx
	jnz	3b

	lea	OFFSET(boot_pd_high)(%ebp), %edi
	lea	0x83(%ebp), %eax
	mov	$(IMAGE_MAX >> 21), %ecx
4:	mov	%eax, (%edi)
	add	$8, %edi
	add	$0x200000, %eax
	dec	%ecx
	jnz	4b

	lea	OFFSET(boot_pd_high) + 3(%ebp), %eax
	mov	%eax, OFFSET(boot_pdpt_high) + 510 * 8(%ebp)
	lea	OFFSET(boot_pdpt_low) + 3(%ebp), %eax
	mov	%eax, OFFSET(boot_pml4)(%ebp)
	lea	OFFSET(boot_pdpt_high) + 3(%ebp), %eax
	mov	%eax, OFFSET(boot_pml4) + 511 * 8(%ebp)

	mov	$0x20, %eax		/* CR4.PAE */
	mov	%eax, %cr4
	lea	OFFSET(boot_pml4)(%ebp), %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER.LME */
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	$0x80010033, %eax	/* PG WP NE ET MP PE */
	mov	%eax, %cr0

	lea	OFFSET(boot_gdt)(%ebp), %eax
	mov	%eax, OFFSET(boot_gdt_pointer) + 2(%ebp)
	lgdt	OFFSET(boot_gdt_pointer)(%ebp)
	lea	OFFSET(boot_entry64)(%ebp), %eax
	push	$SELECTOR_CODE
	push	%eax
	lret

no_long_mode:
	lea	OFFSET(no_long_mode_text)(%ebp), %esi
	mov	$0x3fb, %dx
	mov	$3, %al			/* 8N1 at whatever rate the firmware left */
	out	%al, %dx
	mov	$0xb8000, %edi
5:	lodsb
	test	%al, %al
	jz	stop
	mov	%al, (%edi)
	movb	$7, 1(%edi)
	add	$2, %edi
	mov	%al, %bl
	mov	$0x3fd, %dx
	mov	$0x10000, %ecx
6:	in	%dx, %al
	dec	%ecx
	jz	7f
	test	$0x20, %al
	jz	6b
7:	mov	%bl, %al
	mov	$0x3f8, %dx
	out	%al, %dx
	jmp	5b
stop:
	cli
	hlt
	jmp	stop

	.code64
boot_entry64:
	movabs	$8f, %rax
	jmp	*%rax
8:	movabs	$boot_gdt, %rax		/* the GDT by its linked address: the low one goes away */
	mov	%rax, boot_gdt_pointer + 2(%rip)
	lgdt	boot_gdt_pointer(%rip)
	mov	$SELECTOR_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$boot_stack_top, %rsp
	mov	boot_magic(%rip), %edi
	mov	boot_information(%rip), %esi
	mov	%ebp, %edx
	xor	%ebp, %ebp		/* ends the backtrace */
	call	boot_main
	ud2

/* noreturn void boot_stack_switch(u64 top, void (*next)(void)): run `next` on another stack. */
	.text
	.globl boot_stack_switch
	.type boot_stack_switch, @function
boot_stack_switch:
	mov	%rdi, %rsp
	xor	%ebp, %ebp
	call	*%rsi
	ud2
	.size boot_stack_switch, . - boot_stack_switch

	.section .rodata
no_long_mode_text:
	.asciz "Septum: this processor has no 64-bit mode; use an x86-64 machine with AMD-V or Intel VT-x.\r\n"

	.data
	.balign 8
boot_magic:
	.long 0
boot_information:
	.long 0
boot_tsc:
	.quad 0				/* as of the first instructions */
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
boot_gdt_end:
boot_gdt_pointer:
	.word boot_gdt_end - boot_gdt - 1
	.quad 0

	.bss
	.balign 4096
boot_pml4:	.skip 4096
boot_pdpt_low:	.skip 4096
boot_pd_low:	.skip 4 * 4096
boot_pdpt_high:	.skip 4096
boot_pd_high:	.skip 4096
boot_stack:	.skip 2 * 4096
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
