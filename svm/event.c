/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions, interrupts and NMIs into a vCPU (APM Vol. 2, 15.20 and 15.21).
 *
 * One event can be injected an entry. An interrupt that the guest cannot take yet waits for the
 * VINTR intercept of a virtual interrupt that is never delivered; an NMI waits for the IRET of the
 * NMI handler. An NMI that meets an interrupt shadow or another event goes in at the next exit.
 */
#include "svm/sev_vcpu.h"
#include "kernel/guest_access.h"
#include "svm/svm.h"

#define OPCODE_HLT 0xf4u

static u64 encode(const struct vcpu_event *e)
{
	static const u64 types[] = {
		[EVENT_EXTERNAL] = EVENT_TYPE_INTR,
		[EVENT_NMI] = EVENT_TYPE_NMI,
		[EVENT_EXCEPTION] = EVENT_TYPE_EXC,
	};
	u64 word = EVENT_VALID | types[e->kind] | e->vector;

	if (e->has_error)
		word |= EVENT_HAS_ERROR | (u64)e->error << EVENT_ERROR_SHIFT;
	return word;
}

static void nmi_begin(struct vcpu *v)
{
	struct vendor_vcpu *s = v->vendor;

	s->nmi = NMI_BLOCKED;
	/* A guest with encrypted state says itself when its handler ends. */
	if (!sealed(v))
		intercept_set(s->vmcb, ICEPT_IRET, true);
}

static void nmi_end(struct vcpu *v)
{
	struct vendor_vcpu *s = v->vendor;

	s->nmi = NMI_FREE;
	intercept_set(s->vmcb, ICEPT_IRET, false);
}

static void exception_intercept(struct vmcb *vmcb, unsigned vector, bool on)
{
	u32 bit = (u32)BIT(vector);

	vmcb->control.exceptions =
		on ? vmcb->control.exceptions | bit : vmcb->control.exceptions & ~bit;
	vmcb_changed(vmcb, CLEAN_INTERCEPTS);
}

static void step_begin(struct vendor_vcpu *s)
{
	s->nmi = NMI_STEP;
	s->step_tf = (s->vmcb->save.rflags & RFLAGS_TF) != 0;
	s->vmcb->save.rflags |= RFLAGS_TF;
	exception_intercept(s->vmcb, VECTOR_DB, true);
}

static void step_end(struct vcpu *v)
{
	exception_intercept(v->vendor->vmcb, VECTOR_DB, !v->root);
	nmi_end(v);
}

/* `priority`: 0 no window, WINDOW_ANY whatever the TPR says, else the class for which the TPR must
 * make way. */
static void window_set(struct vendor_vcpu *s, u8 priority)
{
	struct vmcb_control *c = &s->vmcb->control;

	if (s->window == priority)
		return;
	c->interrupt &= ~(V_IRQ | V_INTR_PRIO_MAX | V_IGN_TPR);
	if (priority == WINDOW_ANY)
		c->interrupt |= V_IRQ | V_INTR_PRIO_MAX | V_IGN_TPR;
	else if (priority != 0)
		c->interrupt |= V_IRQ | V_INTR_PRIO(priority - svm_features.tpr_equal);
	vmcb_changed(s->vmcb, CLEAN_TPR);
	if ((s->window != 0) != (priority != 0))
		intercept_set(s->vmcb, ICEPT_VINTR, priority != 0);
	s->window = priority;
}

static bool tpr_blocks(const struct vendor_vcpu *s, u64 vector)
{
	return vector >> 4 <= (s->vmcb->control.interrupt & V_TPR);
}

void svm_event_window_done(struct vendor_vcpu *s)
{
	/* QEMU 7.2 opens the window at a TPR of the same class already. */
	if (s->window <= (s->vmcb->control.interrupt & V_TPR))
		svm_features.tpr_equal = true;
	window_set(s, 0);
	/* The processor would have taken an interrupt, so no shadow is left, whatever QEMU says. */
	s->vmcb->control.shadow &= ~SHADOW_STI_SS;
}

void svm_event_in_shadow(struct vcpu *v)
{
	const struct vmcb_save *save = &v->vendor->vmcb->save;
	u64 at = svm_long_mode(v->vendor->vmcb) ? save->rip : (u32)(save->cs.base + save->rip);
	u8 opcode;

	if (save->cpl == 0 && (save->rflags & RFLAGS_IF) != 0 &&
	    !tpr_blocks(v->vendor, (u64)v->interrupt) &&
	    guest_read(v, at, &opcode, sizeof(opcode), GUEST_QUIET) && opcode == OPCODE_HLT)
		svm_skip(v, sizeof(opcode));
}

void svm_event_before_entry(struct vcpu *v)
{
	struct vendor_vcpu *s = v->vendor;
	struct vmcb *vmcb = s->vmcb;
	bool shadow = (vmcb->control.shadow & SHADOW_STI_SS) != 0;
	bool free = true; /* no event is injected at this entry yet */

	/* RIP is still at the INT, so it is executed again. */
	if (v->event.kind == EVENT_SOFTWARE)
		v->event.kind = EVENT_NONE;
	if (v->event.kind != EVENT_NONE) {
		vmcb->control.event = encode(&v->event);
		if (v->event.kind == EVENT_NMI && s->nmi == NMI_FREE)
			nmi_begin(v);
		v->event.kind = EVENT_NONE;
		free = false;
	}
	if (v->nmi_pending && free && !shadow) {
		if (s->nmi == NMI_FREE) {
			vmcb->control.event = EVENT_VALID | EVENT_TYPE_NMI | SEPTUM_NMI;
			v->nmi_pending = false;
			nmi_begin(v);
			free = false;
		} else if (s->nmi == NMI_IRET) {
			step_begin(s);
		}
	}
	/* During a step the interrupt waits for the NMI, and a window would exit before the step.
	 */
	if (s->nmi == NMI_STEP || v->interrupt < 0) {
		window_set(s, 0);
	} else if (tpr_blocks(s, (u64)v->interrupt)) {
		window_set(s, (u8)(v->interrupt >> 4));
	} else if (free && !shadow && (svm_rflags_get(v) & RFLAGS_IF) != 0) {
		vmcb->control.event = EVENT_VALID | EVENT_TYPE_INTR | (u64)v->interrupt;
		v->interrupt = -1;
		window_set(s, 0);
	} else {
		window_set(s, WINDOW_ANY);
	}
}

void svm_event_reset(struct vcpu *v)
{
	struct vendor_vcpu *s = v->vendor;

	if (s->nmi == NMI_STEP)
		step_end(v);
	else if (s->nmi != NMI_FREE)
		nmi_end(v);
	window_set(s, 0);
	s->vmcb->control.shadow &= ~SHADOW_STI_SS;
	s->vmcb->control.event = 0;
}

void svm_event_after_exit(struct vcpu *v)
{
	const struct vmcb *vmcb = v->vendor->vmcb;
	u64 word = vmcb->control.exit_event;
	u64 type = word & EVENT_TYPE;
	struct vcpu_event e = {
		.vector = (u8)(word & EVENT_VECTOR),
		.has_error = (word & EVENT_HAS_ERROR) != 0,
		.error = (u32)(word >> EVENT_ERROR_SHIFT),
	};

	if (type == EVENT_TYPE_INTR)
		e.kind = EVENT_EXTERNAL;
	else if (type == EVENT_TYPE_NMI)
		e.kind = EVENT_NMI;
	/* INT n, INT3 and INTO begin again by themselves: RIP is still at the instruction. */
	else if (type == EVENT_TYPE_EXC && e.vector != 3 && e.vector != 4)
		e.kind = EVENT_EXCEPTION;
	/* An end of the instruction other than its beginning says INT n as well, where the
	 * processor reports one: hardware has 0 there for a nested fault (15.7.1). Bochs 2.7 leaves
	 * the event before in place of a software interrupt. */
	if (!sealed(v) && svm_features.next_rip &&
	    vmcb->control.next_rip - vmcb->save.rip - 1 < INSTRUCTION_MAX)
		e.kind = EVENT_NONE;
	v->event = e;
}

bool svm_event_nmi_track(struct vcpu *v, u32 exit_code)
{
	struct vendor_vcpu *s = v->vendor;
	struct vmcb *vmcb = s->vmcb;

	switch ((enum nmi_state)s->nmi) {
	case NMI_BLOCKED:
		if (exit_code == VMEXIT_IRET) {
			s->nmi = NMI_IRET;
			s->iret_rip = vmcb->save.rip;
			intercept_set(vmcb, ICEPT_IRET, false);
		}
		break;
	case NMI_IRET:
		if (vmcb->save.rip != s->iret_rip)
			nmi_end(v);
		break;
	case NMI_STEP:
		if (exit_code == VMEXIT_DB) {
			step_end(v);
			if (s->step_tf)
				return false; /* the guest steps too: the trap is also its own */
			vmcb->save.dr6 &= ~DR6_BS;
			vmcb_changed(vmcb, CLEAN_DR);
			return true;
		}
		/* The IRET faulted. */
		if (vmcb->save.rip != s->iret_rip)
			step_end(v);
		break;
	case NMI_FREE:
		break;
	}
	return false;
}
