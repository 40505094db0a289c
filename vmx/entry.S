/* SPDX-License-Identifier: BSD-2-Clause */
/* Into guest mode and back.
 *
 * u64 vmx_enter(u64 *gpr [rdi], u64 *host_rsp [rsi], u64 launched [rdx])
 *
 * In:   the VMCS to enter is current, its HOST_RIP is vmx_exit, its HOST_RSP is *host_rsp; gpr is
 *       struct vcpu's: rax rcx rdx rbx (rsp) rbp rsi rdi r8..r15; interrupts off.
 * Out:  0: the guest ran or the entry was refused late, its registers are in gpr again
 *       1: VMLAUNCH or VMRESUME itself failed, gpr is untouched
 *       2: an NMI came before the entry, gpr is untouched
 *       Callee-saved registers are kept; nothing of the guest is left in any other than flags.
 *
 * An NMI on the last instructions before the entry would wait for the next exit. So from
 * vmx_window_start the entry looks at the CPU's mark, and trap_handle() sends an NMI that
 * interrupts [vmx_window_start, vmx_window_end) to vmx_window_abort: only RSP matters there.
 */
#include "vmx/vmcs.h"
#include "arch/x86/offsets.h"

	.text
	.globl vmx_enter, vmx_exit, vmx_window_start, vmx_window_end, vmx_window_abort
	.type vmx_enter, @function
vmx_enter:
	push	%rbp
	mov	%rsp, %rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	cmp	%rsp, (%rsi)
	je	1f
	mov	%rsp, (%rsi)
	mov	$VMCS_HOST_RSP, %eax
	vmwrite	%rsp, %rax
1:
vmx_window_start:
	cmpw	$0, %gs:CPU_NMI_SEEN	/* and kicked */
	jne	vmx_window_abort
	test	%edx, %edx
	mov	0(%rdi), %rax
	mov	8(%rdi), %rcx
	mov	16(%rdi), %rdx
	mov	24(%rdi), %rbx
	mov	40(%rdi), %rbp
	mov	48(%rdi), %rsi
	mov	64(%rdi), %r8
	mov	72(%rdi), %r9
	mov	80(%rdi), %r10
	mov	88(%rdi), %r11
	mov	96(%rdi), %r12
	mov	104(%rdi), %r13
	mov	112(%rdi), %r14
	mov	120(%rdi), %r15
	mov	56(%rdi), %rdi
	jz	2f
	vmresume
	jmp	vmx_window_end
2:	vmlaunch
vmx_window_end:
	/* Still here: VMfail. */
	mov	$1, %eax
	jmp	3f
vmx_window_abort:
	mov	$2, %eax
	jmp	3f

	.balign 16
vmx_exit:
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, 0(%rdi)
	mov	%rcx, 8(%rdi)
	mov	%rdx, 16(%rdi)
	mov	%rbx, 24(%rdi)
	mov	%rbp, 40(%rdi)
	mov	%rsi, 48(%rdi)
	pop	56(%rdi)
	mov	%r8, 64(%rdi)
	mov	%r9, 72(%rdi)
	mov	%r10, 80(%rdi)
	mov	%r11, 88(%rdi)
	mov	%r12, 96(%rdi)
	mov	%r13, 104(%rdi)
	mov	%r14, 112(%rdi)
	mov	%r15, 120(%rdi)
	xor	%eax, %eax
3:	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	pop	%rdi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size vmx_enter, . - vmx_enter

/* void vmx_nmi_unblock(void): IRET to the caller, which ends the blocking of NMIs that an NMI exit
 * leaves behind (SDM Vol. 3, 28.4.2 and 7.7.1). Changes rax, rcx, rdx and flags. */
	.globl vmx_nmi_unblock
	.type vmx_nmi_unblock, @function
vmx_nmi_unblock:
	pop	%rcx
	mov	%rsp, %rax
	mov	%ss, %edx
	push	%rdx
	push	%rax
	pushf
	mov	%cs, %edx
	push	%rdx
	push	%rcx
	iretq
	.size vmx_nmi_unblock, . - vmx_nmi_unblock

	.section .note.GNU-stack, "", @progbits
