/* SPDX-License-Identifier: BSD-2-Clause */
/* Flat guests that start in other modes than a new vCPU's; modes.c sets their registers. They run at
 * 1 MiB and end by port 0xf4 with 0, or with the number of the check that failed.
 */
#define HERE 0x100000
#define PORT_EXIT 0xf4

	.section .rodata
	.globl real_image, real_image_end, pae_image, pae_image_end

/* Real mode; CS is ff00, so that HERE is ff00:1000; all other segments begin at 0. */
#define OFFSET(label) (label - real_image + 0x1000)
	.balign 16
real_image:
	.code16
	mov	$1, %ebp
	mov	%cr0, %eax
	test	$1, %al
	jnz	1f
	inc	%ebp			/* 2: CPUID exits and comes back here */
	xor	%eax, %eax
	cpuid
	cmp	$7, %eax
	jb	1f
	inc	%ebp			/* 3: memory, 16-bit addresses */
	movl	$0x12345678, 0x8000
	cmpw	$0x1234, 0x8002
	jne	1f
	inc	%ebp			/* 4: an interrupt through the table at 0 */
	movw	$OFFSET(2f), 0x21 * 4
	mov	%cs, %ax
	mov	%ax, 0x21 * 4 + 2
	int	$0x21
	jmp	1f
2:	inc	%ebp			/* 5: its frame */
	pop	%ax
	cmp	$OFFSET(2b) - 2, %ax
	jne	1f
	xor	%ebp, %ebp
1:	mov	%ebp, %eax
	out	%eax, $PORT_EXIT
3:	hlt
	jmp	3b
real_image_end:

/* 32 bits, PAE paging: page tables below. */
	.balign 4096
pae_image:
	.code32
	mov	$1, %ebp
	mov	%cr0, %eax
	test	%eax, %eax
	jns	fail
	inc	%ebp			/* 2: the tables are in use: 0x300000 is 0x500000 */
	movl	$0x12345678, 0x300000
	cmpl	$0x12345678, 0x500000
	jne	fail
	inc	%ebp			/* 3: so are they when the guest loads them */
	mov	%cr3, %eax
	mov	%eax, %cr3
	cmpl	$0x12345678, 0x300000
	jne	fail
	inc	%ebp			/* 4: paging off and on again, together with NE */
	mov	%cr0, %eax
	and	$0x7fffffdf, %eax
	mov	%eax, %cr0
	cmpl	$0x12345678, 0x300000
	je	fail
	or	$0x80000020, %eax
	mov	%eax, %cr0
	cmpl	$0x12345678, 0x300000
	jne	fail
	inc	%ebp			/* 5: what was written is there to be read */
	mov	%cr0, %ebx
	cmp	%eax, %ebx
	jne	fail
	xor	%ebp, %ebp
fail:	mov	%ebp, %eax
	out	%eax, $PORT_EXIT
1:	hlt
	jmp	1b
	.balign 4096
	.quad	HERE + 0x2000 + 1
	.balign 4096
	.quad	0x83
	.quad	0x400083		/* where 0x200000 would be */
	.set	at, 0x400083
	.rept	510
	.quad	at
	.set	at, at + 0x200000
	.endr
pae_image_end:
	.section .note.GNU-stack, "", @progbits
