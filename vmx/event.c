/* SPDX-License-Identifier: BSD-2-Clause */
/* Events into the guest (Intel SDM Vol. 3, 27.6) and those that did not get through (28.2.4, 7.7.1,
 * 25.7.1.2 for NMIs and what blocks them). */
#include "kernel/exits.h"
#include "kernel/vcpu.h"
#include "vmx/vmx.h"

#define VECTOR_NMI 2u
#define WINDOWS	   (PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW)

/* Exceptions that push an error code, in protected mode: #DF, #TS to #PF, #AC, #CP. */
#define HAVE_ERROR_CODE 0x227d00u

void guest_nmi_block(struct vendor_vcpu *x, bool blocked)
{
	u64 now = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	x->nmi_begun = blocked;
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocked ? now | BLOCKED_NMI : now & ~(u64)BLOCKED_NMI);
}

/* INT n, INT3, INTO and INT1 differ in what is checked: `error` keeps the type of one that the
 * processor has handed back. */
static u32 software_type(const struct vcpu_event *event)
{
	if (event->error != 0)
		return event->error;
	if (event->length == 1 && (event->vector == 3 || event->vector == 4))
		return TYPE_SOFTWARE_EXCEPTION;
	if (event->length == 1 && event->vector == VECTOR_DB)
		return TYPE_PRIVILEGED_SOFTWARE;
	return TYPE_SOFTWARE_INTERRUPT;
}

static void exception_choose(struct vendor_vcpu *x, const struct vcpu_event *event)
{
	u64 blocked = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	x->entry = INFO_VALID | INFO_OF_TYPE(TYPE_HARDWARE) | event->vector;
	if (event->has_error && event->vector < 32 && (HAVE_ERROR_CODE >> event->vector & 1) != 0 &&
	    (vmread(VMCS_GUEST_CR0) & CR0_PE) != 0) {
		x->entry |= INFO_ERROR;
		x->entry_error = event->error;
	}
	/* The delivery ends them; the entry would compare them with TF. */
	if ((blocked & (BLOCKED_STI | BLOCKED_MOV_SS)) != 0)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			blocked & ~(u64)(BLOCKED_STI | BLOCKED_MOV_SS));
}

static void event_choose(struct vcpu *v)
{
	struct vendor_vcpu *x = v->vendor;
	const struct vcpu_event *event = &v->event;

	switch ((enum event_kind)event->kind) {
	case EVENT_NONE:
		return;
	case EVENT_EXTERNAL:
		x->entry = INFO_VALID | INFO_OF_TYPE(TYPE_EXTERNAL) | event->vector;
		break;
	case EVENT_NMI:
		x->entry = INFO_VALID | INFO_OF_TYPE(TYPE_NMI) | VECTOR_NMI;
		break;
	case EVENT_EXCEPTION:
		exception_choose(x, event);
		break;
	case EVENT_SOFTWARE:
		x->entry = INFO_VALID | INFO_OF_TYPE(software_type(event)) | event->vector;
		x->entry_length = event->length;
		break;
	}
	v->event.kind = EVENT_NONE;
}

bool nmi_blocked(struct vendor_vcpu *x, u64 blocked)
{
	if ((blocked & BLOCKED_NMI) == 0)
		x->nmi_begun = false;
	else if (!x->nmi_begun)
		guest_nmi_block(x, false);
	return x->nmi_begun;
}

static bool tpr_blocks(const struct vendor_vcpu *x, u64 vector)
{
	return (x->primary & PRIMARY_TPR_SHADOW) != 0 &&
	       vector >> 4 <= (u64)(x->apic_page[APIC_TPR] >> 4);
}

/* Returns the windows that must be opened. */
static u32 pending_choose(struct vcpu *v)
{
	struct vendor_vcpu *x = v->vendor;
	u64 blocked = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	bool shadow = (blocked & (BLOCKED_STI | BLOCKED_MOV_SS)) != 0;
	u8 threshold = 0;
	u32 windows = 0;

	if (v->nmi_pending) {
		if (x->entry == 0 && !shadow && !nmi_blocked(x, blocked)) {
			x->entry = INFO_VALID | INFO_OF_TYPE(TYPE_NMI) | VECTOR_NMI;
			v->nmi_pending = false;
		} else {
			windows |= PRIMARY_NMI_WINDOW;
		}
	}
	if (v->interrupt >= 0) {
		u64 vector = (u64)v->interrupt & INFO_VECTOR;

		if (tpr_blocks(x, vector)) {
			threshold = (u8)(vector >> 4);
		} else if (x->entry == 0 && !shadow && (guest_rflags(x) & RFLAGS_IF) != 0) {
			x->entry = INFO_VALID | INFO_OF_TYPE(TYPE_EXTERNAL) | (u32)vector;
			v->interrupt = -1;
		} else {
			windows |= PRIMARY_INTERRUPT_WINDOW;
		}
	}
	if (threshold != x->tpr_threshold) {
		x->tpr_threshold = threshold;
		vmwrite(VMCS_TPR_THRESHOLD, threshold);
	}
	return windows;
}

void event_prepare(struct vcpu *v)
{
	struct vendor_vcpu *x = v->vendor;
	u32 windows = 0;

	event_choose(v);
	if (v->nmi_pending || v->interrupt >= 0 || x->tpr_threshold != 0)
		windows = pending_choose(v);
	if ((x->primary & WINDOWS) != windows) {
		x->primary = (x->primary & ~WINDOWS) | windows;
		vmwrite(VMCS_PRIMARY_CONTROLS, x->primary);
	}
	x->armed = windows != 0 || x->tpr_threshold != 0;
	if (x->entry == 0)
		return;
	vmwrite(VMCS_ENTRY_INTERRUPTION, x->entry);
	if (INFO_TYPE(x->entry) == TYPE_NMI) {
		x->nmi_begun = true;
		this_vmx_cpu()->nmi_used = true;
	}
	if ((x->entry & INFO_ERROR) != 0)
		vmwrite(VMCS_ENTRY_ERROR_CODE, x->entry_error);
	if (INFO_TYPE(x->entry) >= TYPE_SOFTWARE_INTERRUPT)
		vmwrite(VMCS_ENTRY_LENGTH, x->entry_length);
	/* The root halts without an exit; what is delivered wakes it. */
	if (v->root && vmread(VMCS_GUEST_ACTIVITY) != ACTIVITY_ACTIVE)
		vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
}

static void event_store(struct vcpu *v, u32 info, u32 error, u32 length)
{
	struct vcpu_event event = {.vector = (u8)info};

	switch (INFO_TYPE(info)) {
	case TYPE_EXTERNAL:
		event.kind = EVENT_EXTERNAL;
		break;
	case TYPE_NMI:
		event.kind = EVENT_NMI;
		break;
	case TYPE_HARDWARE:
		event.kind = EVENT_EXCEPTION;
		event.has_error = (info & INFO_ERROR) != 0;
		event.error = event.has_error ? error : 0;
		break;
	default:
		event.kind = EVENT_SOFTWARE;
		event.length = (u8)length;
		event.error = INFO_TYPE(info);
	}
	v->event = event;
}

void event_take_back(struct vcpu *v)
{
	struct vendor_vcpu *x = v->vendor;

	if (x->entry == 0)
		return;
	event_store(v, x->entry, x->entry_error, x->entry_length);
	vmwrite(VMCS_ENTRY_INTERRUPTION, 0);
	if (v->event.kind == EVENT_NMI)
		x->nmi_begun = false;
	x->entry = 0;
}

void event_recover(struct vcpu *v, u32 vectoring)
{
	event_store(v, vectoring, (u32)vmread(VMCS_VECTORING_ERROR), (u32)vmread(VMCS_EXIT_LENGTH));
	/* The delivery of an NMI began, so NMIs count as blocked: it will begin again. */
	if (v->event.kind == EVENT_NMI)
		guest_nmi_block(v->vendor, false);
}

void event_raise(struct vcpu *v, struct vcpu_event event)
{
	inject_keep(v);
	v->event = event;
}
