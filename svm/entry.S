/* SPDX-License-Identifier: BSD-2-Clause */
/* void svm_enter(u64 vmcb_pa, u64 *gprs, u64 host_vmcb_pa)
 *
 * Runs a guest until its next exit (APM Vol. 2, 15.5 and 15.6).
 *
 * In:  %rdi  physical address of the guest's VMCB; RAX and RSP are in it
 *      %rsi  the guest's other general registers, u64[16] in the order of enum gpr; or 0: the
 *            processor keeps them itself (encrypted state)
 *      %rdx  physical address of the page in which this CPU's own VMSAVE state lies
 *      GIF = 0, so that nothing runs here while FS, GS and TR are the guest's.
 * Out: as a C function; gprs[] and the VMCB, its VMLOAD/VMSAVE part included, are up to date.
 *      GIF = 0. gprs[0] and gprs[4] are not touched.
 *      VMRUN itself keeps RAX, RSP and RFLAGS of the host.
 */
#ifdef TALLY
#define FLOOR_CALL	  0x666c6f6f /* kernel/tally_list.h */
#define VMCB_EXIT_CODE	  0x70
#define VMCB_EXIT_VMMCALL 0x81
#define VMCB_RIP	  0x578
#define VMCB_RAX	  0x5f8

	.local	floor_vmcb
	.comm	floor_vmcb, 8, 8
#endif

#define GPR(n) (8 * n)

/* All but RAX and RSP, from gprs[] at %rsi, which is loaded last. */
	.macro load_gprs
	mov	GPR(1)(%rsi), %rcx
	mov	GPR(2)(%rsi), %rdx
	mov	GPR(3)(%rsi), %rbx
	mov	GPR(5)(%rsi), %rbp
	mov	GPR(7)(%rsi), %rdi
	mov	GPR(8)(%rsi), %r8
	mov	GPR(9)(%rsi), %r9
	mov	GPR(10)(%rsi), %r10
	mov	GPR(11)(%rsi), %r11
	mov	GPR(12)(%rsi), %r12
	mov	GPR(13)(%rsi), %r13
	mov	GPR(14)(%rsi), %r14
	mov	GPR(15)(%rsi), %r15
	mov	GPR(6)(%rsi), %rsi
	.endm

/* .. and into gprs[] at %rax. */
	.macro save_gprs
	mov	%rcx, GPR(1)(%rax)
	mov	%rdx, GPR(2)(%rax)
	mov	%rbx, GPR(3)(%rax)
	mov	%rbp, GPR(5)(%rax)
	mov	%rsi, GPR(6)(%rax)
	mov	%rdi, GPR(7)(%rax)
	mov	%r8, GPR(8)(%rax)
	mov	%r9, GPR(9)(%rax)
	mov	%r10, GPR(10)(%rax)
	mov	%r11, GPR(11)(%rax)
	mov	%r12, GPR(12)(%rax)
	mov	%r13, GPR(13)(%rax)
	mov	%r14, GPR(14)(%rax)
	mov	%r15, GPR(15)(%rax)
	.endm

	.text
	.globl svm_enter
	.type svm_enter, @function
	.balign 16
svm_enter:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdx
	push	%rsi
	mov	%rdi, %rax
	test	%rsi, %rsi
	jz	.Lsealed

	load_gprs
	vmload	%rax
	vmrun	%rax
	vmsave	%rax
	pop	%rax
	save_gprs
	jmp	.Lhost

	/* The processor loads and saves everything, the VMSAVE part too. */
.Lsealed:
	vmrun	%rax
	pop	%rax
.Lhost:
	pop	%rax
	vmload	%rax
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	/* Nothing of the guest stays in the registers that C may clobber. */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	ret
	.size svm_enter, . - svm_enter

/* void svm_enter_hot(u64 vmcb_pa, struct vcpu *v, u64 host_vmcb_pa, struct vmcb *vmcb [rcx])
 *
 * As svm_enter(), with svm_hot() called at each exit: while it returns true the guest is entered
 * again, with nothing done between but saving and loading general registers. Nothing of the guest
 * is in them while it runs.
 */
	.globl svm_enter_hot
	.type svm_enter_hot, @function
	.balign 16
svm_enter_hot:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdx
	push	%rdi
	push	%rsi
#ifdef TALLY
	mov	%rcx, floor_vmcb(%rip)
#endif
	mov	%rdi, %rax
	vmload	%rax
.Lhot:
	load_gprs
	vmrun	%rax
	mov	(%rsp), %rax
	save_gprs
	mov	%rax, %rdi
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
#ifdef TALLY
	/* The floor: the least that an exit can cost. */
	mov	floor_vmcb(%rip), %rcx
	cmpq	$FLOOR_CALL, VMCB_RAX(%rcx)
	jne	1f
	cmpq	$VMCB_EXIT_VMMCALL, VMCB_EXIT_CODE(%rcx)
	jne	1f
	addq	$3, VMCB_RIP(%rcx)
	mov	(%rsp), %rsi
	mov	8(%rsp), %rax
	jmp	.Lhot
1:
#endif
	call	svm_hot
	test	%al, %al
	mov	(%rsp), %rsi
	mov	8(%rsp), %rax
	jnz	.Lhot
	vmsave	%rax
	add	$16, %rsp
	pop	%rax
	vmload	%rax
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size svm_enter_hot, . - svm_enter_hot

	.section .note.GNU-stack, "", @progbits
