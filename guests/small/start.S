/* SPDX-License-Identifier: BSD-2-Clause */
/* Start of a small guest: multiboot (version 1), 32-bit protected mode, paging off.
 * EAX: multiboot's magic number on vCPU 0, BUILD_AP_MAGIC + n (0x5341000n) on vCPU n.
 * EBX: multiboot information.
 *
 * vCPU 0 makes page tables that map the first 4 GiB at their own address, by 2 MiB pages, for all
 * privilege levels. The others use them as they are then.
 */
#define PAGES_4G 2048
#ifndef GUEST_STACKS
#define GUEST_STACKS 2
#endif

	.section .boot, "ax"
	.code32
	.balign 4
	.long 0x1badb002
	.long 3
	.long -(0x1badb002 + 3)

	.globl guest_entry
guest_entry:
	cld
	xor %esi, %esi
	cmp $0x2badb002, %eax
	je 1f
	mov %eax, %esi
	and $0xff, %esi
	jmp 4f
1:	mov $guest_pml4, %edi
	movl $guest_pdpt + 7, (%edi)
	mov $guest_pdpt, %edi
	mov $guest_pd + 7, %eax
	mov $4, %ecx
2:	mov %eax, (%edi)
	add $0x1000, %eax
	add $8, %edi
	loop 2b
	mov $guest_pd, %edi
	mov $0x87, %eax
	mov $PAGES_4G, %ecx
3:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 3b
4:	mov $guest_pml4, %eax
	mov %eax, %cr3
	mov $0x660, %eax		/* OSFXSR, OSXMMEXCPT, PAE, MCE */
	mov %eax, %cr4
	mov $0xc0000080, %ecx
	rdmsr
	or $0x101, %eax			/* LME, SCE */
	wrmsr
	mov $0x80000033, %eax		/* PG, NE, ET, MP, PE */
	mov %eax, %cr0
	lgdt start_gdt_pointer
	ljmp $8, $5f
	.code64
5:	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %esi, %edi			/* guest_start(vcpu, multiboot information) */
	mov %ebx, %esi
	mov %edi, %eax
	inc %eax
	shl $14, %eax
	lea guest_stacks(%rip), %rsp
	add %rax, %rsp
	xor %ebp, %ebp
	call guest_start
6:	hlt
	jmp 6b

	.balign 8
start_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
start_gdt_pointer:
	.word 23
	.long start_gdt

	.bss
	.balign 4096
	.globl guest_pml4, guest_pdpt, guest_pd
guest_pml4:
	.skip 4096
guest_pdpt:
	.skip 4096
guest_pd:
	.skip 4 * 4096
guest_stacks:
	.skip GUEST_STACKS * 16384
	.section .note.GNU-stack,"",@progbits
