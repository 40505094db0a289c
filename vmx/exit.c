/* SPDX-License-Identifier: BSD-2-Clause */
/* From exit reasons to the common vocabulary. Intel SDM Vol. 3, 28.2 and appendix C. */
#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "kernel/exits.h"
#include "kernel/panic.h"
#include "vmx/vmx.h"

#define VECTOR_AC 17u

#define DR6_CAUSES   0x600ful /* B0-3, BD, BS: what a #DB exit's qualification says */
#define DR6_B	     0xful
#define DR6_INVERTED (BIT(11) | BIT(16)) /* bus lock, RTM: 0 in DR6 when they are the cause */
#define DR7_GD	     BIT(13)
#define DEBUGCTL_LBR BIT(0)

#define IO_SIZE(q)	(((q)&7) + 1)
#define IO_IN		BIT(3)
#define IO_STRING	BIT(4)
#define IO_REP		BIT(5)
#define IO_PORT(q)	((u16)((q) >> 16))
#define INSN_ADDRESS(i) (2u << ((i) >> 7 & 3)) /* bytes */
#define INSN_SEGMENT(i) ((u8)((i) >> 15 & 7))  /* in the order of enum segment */

#define CONTROL_NUMBER(q)   ((u8)((q)&15))
#define CONTROL_TYPE(q)	    ((q) >> 4 & 3)
#define CONTROL_REGISTER(q) ((unsigned)((q) >> 8 & 15))
#define CONTROL_MOV_TO	    0u

static void instruction(struct vcpu *v, enum exit_reason reason)
{
	v->exit.reason = reason;
	v->exit.length = (u8)vmread(VMCS_EXIT_LENGTH);
}

/* The NMI that caused this exit did not go through the IDT: do what its handler does, and let the
 * next one in. */
static void nmi_taken(void)
{
	cpu_nmi();
	vmx_nmi_unblock();
	/* The exit is reported, and who is told looks at everything again. */
	kick_take();
}

/* See world_debug_use(). */
static void debug_use(struct vcpu *v)
{
	struct vendor_vcpu *x = v->vendor;

	if ((x->primary & PRIMARY_DEBUG) == 0)
		return;
	world_debug_use(&v->world);
	x->primary &= ~PRIMARY_DEBUG;
	vmwrite(VMCS_PRIMARY_CONTROLS, x->primary);
}

/* A #DB exit has not touched DR6, DR7.GD and DEBUGCTL.LBR (28.1): the exception that is raised
 * again would find them as they were. */
static void debug_causes(struct vcpu *v)
{
	u64 causes = vmread(VMCS_QUALIFICATION);
	u64 dr6;

	debug_use(v);
	__asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
	dr6 = (dr6 & ~DR6_B) | DR6_INVERTED | (causes & DR6_CAUSES);
	dr6 &= ~(causes & DR6_INVERTED);
	__asm__ volatile("mov %0, %%dr6" : : "r"(dr6));
	vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~DR7_GD);
	vmwrite(VMCS_GUEST_DEBUGCTL, vmread(VMCS_GUEST_DEBUGCTL) & ~DEBUGCTL_LBR);
}

static void vectoring(struct vcpu *v, bool nmi_unblocked)
{
	u32 info = (u32)vmread(VMCS_VECTORING);

	if ((info & INFO_VALID) != 0)
		event_recover(v, info);
	else if (nmi_unblocked)
		guest_nmi_block(v->vendor, true);
}

static bool exception(struct vcpu *v)
{
	u32 info = (u32)vmread(VMCS_EXIT_INTERRUPTION);
	u32 vector = info & INFO_VECTOR;

	if (INFO_TYPE(info) == TYPE_NMI) {
		vectoring(v, false);
		nmi_taken();
		v->exit.reason = EXIT_NMI;
		return true;
	}
	vectoring(v, (info & INFO_NMI_UNBLOCKED) != 0 && vector != VECTOR_DF);
	switch (vector) {
	case VECTOR_UD:
		v->exit.reason = EXIT_UD_FAULT;
		return true;
	case VECTOR_AC:
		count(v, SEPTUM_COUNTER_EXITS);
		count(v, SEPTUM_COUNTER_EXIT_OTHER);
		event_raise(v, (struct vcpu_event){
				       .kind = EVENT_EXCEPTION,
				       .vector = VECTOR_AC,
				       .has_error = true,
				       .error = (u32)vmread(VMCS_EXIT_ERROR_CODE),
			       });
		return false;
	case VECTOR_DB:
		count(v, SEPTUM_COUNTER_EXITS);
		count(v, SEPTUM_COUNTER_EXIT_OTHER);
		if (INFO_TYPE(info) == TYPE_HARDWARE) {
			debug_causes(v);
			event_raise(v, (struct vcpu_event){.kind = EVENT_EXCEPTION,
							   .vector = VECTOR_DB});
		} else {
			event_raise(v, (struct vcpu_event){
					       .kind = EVENT_SOFTWARE,
					       .vector = VECTOR_DB,
					       .length = (u8)vmread(VMCS_EXIT_LENGTH),
					       .error = TYPE_PRIVILEGED_SOFTWARE,
				       });
		}
		return false;
	default:
		/* #MC: the machine's memory has failed under this guest, and nobody else. */
		v->exit.reason = EXIT_UNKNOWN;
		v->exit.code = info;
		return true;
	}
}

static void ept_violation(struct vcpu *v)
{
	u64 q = vmread(VMCS_QUALIFICATION);
	struct access *access = &v->exit.access;

	v->exit.reason = EXIT_NESTED_FAULT;
	v->exit.code = q;
	access->raw_gpa = vmread(VMCS_GUEST_PHYSICAL);
	access->write = (q & EPT_QUALIFICATION_WRITE) != 0;
	access->exec = (q & EPT_QUALIFICATION_EXEC) != 0;
	access->walk = (q & EPT_QUALIFICATION_LINEAR) != 0 && (q & EPT_QUALIFICATION_FINAL) == 0;
	if ((vmx_capabilities.ept_vpid & CAP_EPT_ADVANCED) != 0)
		access->user = (q & EPT_QUALIFICATION_USER) != 0;
	else
		access->user =
			!access->walk && (vmread(VMCS_GUEST_ACCESS + 2 * SEG_SS) >> 5 & 3) == 3;
	vectoring(v, (q & EPT_QUALIFICATION_NMI_UNBLOCKED) != 0);
}

static void port(struct vcpu *v)
{
	u64 q = vmread(VMCS_QUALIFICATION);

	instruction(v, EXIT_IO);
	v->exit.io.port = IO_PORT(q);
	v->exit.io.size = (u8)IO_SIZE(q);
	v->exit.io.in = (q & IO_IN) != 0;
	v->exit.io.string = (q & IO_STRING) != 0;
	v->exit.io.rep = (q & IO_REP) != 0;
	v->exit.io.address_size = 0;
	v->exit.io.segment = 0xff;
	if (v->exit.io.string && (vmx_capabilities.basic & BASIC_STRING_INFO) != 0) {
		u32 info = (u32)vmread(VMCS_EXIT_INSTRUCTION);

		v->exit.io.address_size = (u8)INSN_ADDRESS(info);
		v->exit.io.segment = INSN_SEGMENT(info);
	}
}

static void control(struct vcpu *v)
{
	u64 q = vmread(VMCS_QUALIFICATION);
	unsigned from = CONTROL_REGISTER(q);

	if (CONTROL_TYPE(q) != CONTROL_MOV_TO) {
		v->exit.reason = EXIT_UNKNOWN;
		v->exit.code = REASON_CONTROL;
		return;
	}
	instruction(v, EXIT_CONTROL);
	v->exit.control.cr = CONTROL_NUMBER(q);
	v->exit.control.value = from == RSP ? guest_rsp(v->vendor) : v->gpr[from];
	if (!guest_long_mode())
		v->exit.control.value = (u32)v->exit.control.value;
}

_Noreturn static void misconfigured(void)
{
	panic("EPT misconfiguration at %lx, EPTP %lx: Septum wrote an entry that the processor "
	      "does not know",
	      vmread(VMCS_GUEST_PHYSICAL), vmread(VMCS_EPTP));
}

bool exit_decode(struct vcpu *v, u32 reason)
{
	switch (reason) {
	case REASON_EPT_VIOLATION:
		v->exit.length = 0;
		ept_violation(v);
		return true;
	case REASON_CPUID:
		instruction(v, EXIT_CPUID);
		return true;
	case REASON_VMCALL:
		instruction(v, EXIT_HYPERCALL);
		return true;
	case REASON_IO:
		port(v);
		return true;
	case REASON_RDMSR:
		instruction(v, EXIT_MSR_READ);
		return true;
	case REASON_WRMSR:
		instruction(v, EXIT_MSR_WRITE);
		return true;
	case REASON_HLT:
		instruction(v, EXIT_HALT);
		return true;
	case REASON_CONTROL:
		control(v);
		return true;
	case REASON_DEBUG:
		v->exit.length = 0;
		v->exit.reason = EXIT_WINDOW;
		debug_use(v);
		return true;
	case REASON_XSETBV:
		instruction(v, EXIT_XSETBV);
		return true;
	case REASON_INVD:
	case REASON_WBINVD:
		instruction(v, EXIT_WBINVD);
		return true;
	case REASON_GETSEC:
	case REASON_RDPMC:
	case REASON_VMCLEAR ... REASON_VMXON:
	case REASON_MWAIT:
	case REASON_MONITOR:
	case REASON_INVEPT:
	case REASON_INVVPID:
	case REASON_VMFUNC:
	case REASON_ENCLS:
	case REASON_ENCLV:
	case REASON_XSAVES:
	case REASON_XRSTORS:
		instruction(v, EXIT_UNDEFINED);
		return true;
	default:
		break;
	}

	v->exit.length = 0;
	v->exit.code = reason;
	switch (reason) {
	case REASON_EXCEPTION:
		return exception(v);
	case REASON_INTERRUPT:
		v->exit.reason = EXIT_INTERRUPT;
		break;
	case REASON_PREEMPTION:
		v->exit.reason = EXIT_TIMER;
		break;
	case REASON_INTERRUPT_WINDOW:
	case REASON_NMI_WINDOW:
	case REASON_TPR:
		v->exit.reason = EXIT_WINDOW;
		break;
	case REASON_TRIPLE_FAULT:
		v->exit.reason = EXIT_SHUTDOWN;
		break;
	case REASON_INIT:
		v->exit.reason = EXIT_INIT;
		break;
	case REASON_EPT_MISCONFIGURATION:
		misconfigured();
	case REASON_TASK_SWITCH:
		vectoring(v, false);
		v->exit.reason = EXIT_UNKNOWN;
		break;
	default:
		v->exit.reason = EXIT_UNKNOWN;
	}
	return true;
}
