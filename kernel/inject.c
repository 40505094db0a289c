/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions for a vCPU, as the processor would have raised them. */
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/machine_check.h"
#include "kernel/protocol.h"
#include "kernel/trace.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

/* SDM Vol. 3, table 6-4; AMD APM Vol. 2, table 8-3. #VE counts as a page fault, #CP as
 * contributory. */
enum exception_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum exception_class class_of(u8 vector)
{
	switch (vector) {
	case 0:	 /* #DE */
	case 10: /* #TS */
	case 11: /* #NP */
	case 12: /* #SS */
	case 13: /* #GP */
	case 21: /* #CP */
		return CONTRIBUTORY;
	case 14: /* #PF */
	case 20: /* #VE */
		return PAGE_FAULT;
	case VECTOR_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

/* What comes of `second` raised while `first` is delivered: SDM Vol. 3, table 6-5. */
enum combination { SERIAL, TO_DOUBLE_FAULT, TO_SHUTDOWN };
static const u8 combination[4][3] = {
	/* second:	  BENIGN  CONTRIBUTORY	   PAGE_FAULT */
	[BENIGN] = {SERIAL, SERIAL, SERIAL},
	[CONTRIBUTORY] = {SERIAL, TO_DOUBLE_FAULT, SERIAL},
	[PAGE_FAULT] = {SERIAL, TO_DOUBLE_FAULT, TO_DOUBLE_FAULT},
	[DOUBLE_FAULT] = {SERIAL, TO_SHUTDOWN, TO_SHUTDOWN},
};

void inject_shutdown(struct vcpu *v)
{
	struct septum_event event = {.type = SEPTUM_EVENT_SHUTDOWN};

	v->event.kind = EVENT_NONE;
	v->pending.kind = PENDING_NONE;
	if (v->root)
		root_shutdown(v);
	event_post(v, &event);
}

/* A fault or a software interrupt comes again by itself, its instruction runs again; what came from
 * outside must be kept. */
void inject_keep(struct vcpu *v)
{
	if (v->event.kind == EVENT_EXTERNAL && v->has_apic)
		lapic_give_back(&v->lapic, v->event.vector);
	else if (v->event.kind == EVENT_EXTERNAL && v->interrupt < 0)
		v->interrupt = v->event.vector;
	if (v->event.kind == EVENT_NMI)
		v->nmi_pending = true;
}

void inject_exception(struct vcpu *v, u8 vector, bool has_error, u32 error)
{
	enum exception_class first = BENIGN;
	enum exception_class second = class_of(vector);

	if (v->event.kind == EVENT_EXCEPTION)
		first = class_of(v->event.vector);
	/* #DF itself is never raised by Septum but here. */
	if (second == DOUBLE_FAULT)
		second = CONTRIBUTORY;

	v->pending.kind = PENDING_NONE;
	trace(SEPTUM_TRACE_INJECT, v->vm->id, v->index, vector, 0);
	switch ((enum combination)combination[first][second]) {
	case TO_SHUTDOWN:
		inject_shutdown(v);
		return;
	case TO_DOUBLE_FAULT:
		vector = VECTOR_DF;
		has_error = true;
		error = 0;
		break;
	default:
		inject_keep(v);
	}
	v->event = (struct vcpu_event){
		.kind = EVENT_EXCEPTION,
		.vector = vector,
		.has_error = has_error,
		.error = error,
	};
}

void inject_page_fault(struct vcpu *v, u64 address, u32 error)
{
	struct vcpu_state state;

	vendor->state_get(v, &state);
	state.cr2 = address;
	vendor->state_set(v, &state);
	inject_exception(v, VECTOR_PF, true, error);
}

/* Called when a verdict arrives: `v` may not be loaded, and whether the guest can take a machine
 * check at all is in its CR4. So this only remembers; emulate_continue() does the rest. */
void inject_machine_check(struct vcpu *v, gpa_t gpa)
{
	bool fetch = v->exit.reason == EXIT_NESTED_FAULT && v->exit.access.exec;

	v->pending.kind = PENDING_MACHINE_CHECK;
	v->pending.data[0] = gpa.n;
	v->pending.data[1] = fetch;
}

void machine_check_raise(struct vcpu *v, gpa_t gpa, bool fetch)
{
	struct vcpu_state state;

	/* SDM Vol. 3, 15.3.1.2: with MCIP still set, or CR4.MCE clear, the processor shuts down. */
	vendor->state_get(v, &state);
	if ((v->mcg_status & MCG_STATUS_MCIP) != 0 || (state.cr4 & CR4_MCE) == 0) {
		inject_shutdown(v);
		return;
	}
	/* An uncorrected, recoverable error found by the access itself: SDM Vol. 3, 15.9.3.2. The
	 * state is that before the instruction, so RIPV is true. */
	v->mcg_status = MCG_STATUS_MCIP | MCG_STATUS_EIPV | MCG_STATUS_RIPV;
	v->mc_status = MC_STATUS_VAL | MC_STATUS_UC | MC_STATUS_EN | MC_STATUS_MISCV |
		       MC_STATUS_ADDRV | MC_STATUS_S | MC_STATUS_AR |
		       (fetch ? MC_CODE_FETCH : MC_CODE_LOAD);
	v->mc_address = gpa.n;
	inject_exception(v, VECTOR_MC, false, 0);
}
