/* SPDX-License-Identifier: BSD-2-Clause */
/* Exits that are answered out of the guest's own registers, before anything else is done. */
#include "kernel/cpuid.h"
#include "kernel/exits.h"
#include "svm/svm.h"

/* RIP behind the instruction, or false: somebody else must look. */
static bool hot_skip(struct vmcb *vmcb, u8 length)
{
	u64 next = vmcb->save.rip + length;

	/* With TF a #DB is due, and where bit 32 changes the mode matters. */
	if (length == 0 || (vmcb->save.rflags & RFLAGS_TF) != 0 ||
	    (vmcb->save.rip ^ next) >> 32 != 0)
		return false;
	vmcb->save.rip = next;
	vmcb->control.shadow &= ~SHADOW_STI_SS;
	return true;
}

bool svm_hot(struct vcpu *v)
{
	struct vendor_vcpu *s = v->vendor;
	struct vmcb *vmcb = s->vmcb;
	const u32 *plain;
	s64 answer;

	switch (vmcb->control.exit_code) {
	case VMEXIT_CPUID:
		if (!hot_skip(vmcb, svm_length(vmcb, 2)))
			return false;
		plain = v->has_apic ? NULL : cpuid_plain((u32)vmcb->save.rax);
		if (plain != NULL) {
			vmcb->save.rax = plain[0];
			v->gpr[RBX] = plain[1];
			v->gpr[RCX] = plain[2];
			v->gpr[RDX] = plain[3];
		} else {
			v->gpr[RAX] = vmcb->save.rax;
			cpuid_answer(v);
			vmcb->save.rax = v->gpr[RAX];
		}
		count(v, SEPTUM_COUNTER_EXIT_CPUID);
		break;
	case VMEXIT_VMMCALL: {
		u64 mask = svm_long_mode(vmcb) ? ~0ul : 0xfffffffful;

		if (!guest_call_answer(vmcb->save.rax & mask, vmcb->save.cpl, &answer) ||
		    !hot_skip(vmcb, svm_length(vmcb, 3)))
			return false;
		vmcb->save.rax = (u64)answer & mask;
		count(v, SEPTUM_COUNTER_EXIT_HYPERCALL);
		break;
	}
	default:
		return false;
	}
	count(v, SEPTUM_COUNTER_EXITS);
	vmcb->control.tlb_control = TLB_KEEP;
	vmcb->control.clean = CLEAN_ALL;
	s->entry_rip = vmcb->save.rip;
	return true;
}
