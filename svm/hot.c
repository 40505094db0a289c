/* SPDX-License-Identifier: BSD-2-Clause */
/* Exits that are answered out of the guest's own registers, before anything else is done. */
#include "kernel/cpuid.h"
#include "kernel/exits.h"
#include "kernel/lapic_vcpu.h"
#include "kernel/tally.h"
#include "svm/svm.h"

/* With TF a #DB is due, and where bit 32 of RIP changes the mode matters. */
static bool hot_can_skip(const struct vmcb *vmcb, u8 length)
{
	return length != 0 && (vmcb->save.rflags & RFLAGS_TF) == 0 &&
	       (vmcb->save.rip ^ (vmcb->save.rip + length)) >> 32 == 0;
}

/* RIP behind the instruction, or false: somebody else must look. */
static bool hot_skip(struct vendor_vcpu *s, struct vmcb *vmcb, u8 length)
{
	if (!hot_can_skip(vmcb, length))
		return false;
	vmcb->save.rip = s->entry_rip = vmcb->save.rip + length;
	vmcb->control.shadow &= ~SHADOW_STI_SS;
	return true;
}

/* Ready to be entered again. */
static inline void hot_done(struct vcpu *v, struct vmcb *vmcb)
{
	count(v, SEPTUM_COUNTER_EXITS);
	tally(TALLY_GUEST_ENTRIES);
	vmcb->control.tlb_control = TLB_KEEP;
	vmcb->control.clean = CLEAN_ALL;
}

/* WRMSR of a guest with a local APIC: its timer and the end of its interrupts. Not inlined: the
 * other exits would pay for its registers. */
static __attribute__((noinline)) bool hot_msr(struct vcpu *v)
{
	struct vmcb *vmcb = v->vendor->vmcb;
	u8 length = svm_length(vmcb, 2);
	u64 value = (u32)vmcb->save.rax | v->gpr[RDX] << 32;
	bool open = (vmcb->save.rflags & RFLAGS_IF) != 0;
	u32 tpr = (u32)(vmcb->control.interrupt & V_TPR) << 4;
	int vector;

	if (vmcb->control.exit_code != VMEXIT_MSR || (vmcb->control.exit_info1 & 1) == 0 ||
	    !v->has_apic || !hot_can_skip(vmcb, length) ||
	    !lapic_hot(v, (u32)v->gpr[RCX], value, tpr, open, &vector))
		return false;
	hot_skip(v->vendor, vmcb, length);
	if (vector >= 0)
		vmcb->control.event = EVENT_VALID | EVENT_TYPE_INTR | (u64)vector;
	count(v, SEPTUM_COUNTER_EXIT_MSR);
	hot_done(v, vmcb);
	return true;
}

static inline bool hot_cpuid(struct vcpu *v, struct vmcb *vmcb)
{
	const u32 *plain;

	if (!hot_skip(v->vendor, vmcb, svm_length(vmcb, 2)))
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
	hot_done(v, vmcb);
	return true;
}

static inline bool hot_call(struct vcpu *v, struct vmcb *vmcb)
{
	s64 answer;

	/* Outside of 64-bit mode registers are narrower. */
	if (!svm_long_mode(vmcb) || !guest_call_answer(vmcb->save.rax, vmcb->save.cpl, &answer) ||
	    !hot_skip(v->vendor, vmcb, svm_length(vmcb, 3)))
		return false;
	vmcb->save.rax = (u64)answer;
	count(v, SEPTUM_COUNTER_EXIT_HYPERCALL);
	hot_done(v, vmcb);
	return true;
}

bool svm_hot(struct vcpu *v)
{
	struct vmcb *vmcb = v->vendor->vmcb;

	if (vmcb->control.exit_code == VMEXIT_VMMCALL)
		return hot_call(v, vmcb);
	if (vmcb->control.exit_code == VMEXIT_CPUID)
		return hot_cpuid(v, vmcb);
	return hot_msr(v);
}
