/* SPDX-License-Identifier: BSD-2-Clause */
/* From the VMCB's exit codes to struct exit. */
#include "kernel/exits.h"
#include "svm/svm.h"

#define DR6_CAUSES (DR6_BS | BIT(13) | 0xful) /* step, DR access, breakpoints */
#define VECTOR_AC  17u

static u8 length_from(u64 rip, u64 next)
{
	u64 length = next - rip;

	return length <= INSTRUCTION_MAX ? (u8)length : 0;
}

/* The processor says where the next instruction is, or nothing (0). */
static u8 length_of(const struct vmcb *vmcb)
{
	/* Every machine that has SEV says it. */
	if (!svm_features.next_rip && (vmcb->control.nested & NESTED_SEV) == 0)
		return 0;
	return length_from(vmcb->save.rip, vmcb->control.next_rip);
}

/* The same for an instruction of `usual` bytes. BENCH: QEMU has no next RIP, and decoding in its
 * place is nothing that a processor of the last ten years makes Septum do; so the bench build, and
 * no other, believes that there are no prefixes. */
u8 svm_length(const struct vmcb *vmcb, u8 usual)
{
#ifdef BENCH
	if (!svm_features.next_rip)
		return usual;
#else
	(void)usual;
#endif
	return length_of(vmcb);
}

static void decode_nested_fault(struct exit *exit, const struct vmcb *vmcb)
{
	u64 info = vmcb->control.exit_info1;

	exit->reason = EXIT_NESTED_FAULT;
	exit->code = info;
	exit->access.raw_gpa = vmcb->control.exit_info2;
	exit->access.write = (info & NPF_WRITE) != 0;
	exit->access.exec = (info & NPF_FETCH) != 0;
	exit->access.walk = (info & NPF_WALK) != 0;
	/* The error code's U bit is the nested walk's, where every access is one of a user. */
	exit->access.user = vmcb->save.cpl == 3 && !exit->access.walk;
}

static void decode_io(struct exit *exit, const struct vmcb *vmcb)
{
	u64 info = vmcb->control.exit_info1;

	exit->reason = EXIT_IO;
	exit->length = length_from(vmcb->save.rip, vmcb->control.exit_info2);
	exit->io.port = (u16)(info >> IOIO_PORT_SHIFT);
	exit->io.size = (u8)(info >> IOIO_SIZE_SHIFT & 7);
	exit->io.in = (info & IOIO_IN) != 0;
	exit->io.string = (info & IOIO_STRING) != 0;
	if (!exit->io.string)
		return;
	exit->io.rep = (info & IOIO_REP) != 0;
	exit->io.address_size = (u8)((info >> IOIO_ADDR_SHIFT & 7) << 1); /* 1, 2, 4 to bytes */
	exit->io.segment =
		svm_features.decode_assists ? (u8)(info >> IOIO_SEG_SHIFT & 7) : (u8)0xff;
}

/* An exception that is intercepted only so that its delivery cannot go on for ever inside the
 * processor (#DB and #AC on a handler's own stack or code). */
static void reflect(struct vcpu *v, u8 vector, bool has_error)
{
	v->exit.reason = EXIT_WINDOW;
	inject_exception(v, vector, has_error, 0);
}

void svm_exit_decode(struct vcpu *v)
{
	const struct vmcb *vmcb = v->vendor->vmcb;
	struct vmcb_save *save = &v->vendor->vmcb->save;
	struct exit *exit = &v->exit;
	u64 code = vmcb->control.exit_code;

	exit->code = code;
	if (code == VMEXIT_IOIO) {
		decode_io(exit, vmcb);
		return;
	}
	exit->length = 0;
	/* QEMU writes only the low half of the code of an invalid state. */
	switch ((u32)code) {
	case VMEXIT_CPUID:
		exit->reason = EXIT_CPUID;
		exit->length = svm_length(vmcb, 2);
		break;
	case VMEXIT_VMMCALL:
		exit->reason = EXIT_HYPERCALL;
		exit->length = svm_length(vmcb, 3);
		break;
	case VMEXIT_NPF:
		decode_nested_fault(exit, vmcb);
		break;
	case VMEXIT_MSR:
		exit->reason = (vmcb->control.exit_info1 & 1) != 0 ? EXIT_MSR_WRITE : EXIT_MSR_READ;
		exit->length = svm_length(vmcb, 2);
		break;
	case VMEXIT_HLT:
		exit->reason = EXIT_HALT;
		exit->length = length_of(vmcb);
		break;
	case VMEXIT_INTR:
		exit->reason = EXIT_INTERRUPT;
		break;
	case VMEXIT_NMI:
		exit->reason = EXIT_NMI;
		break;
	case VMEXIT_INIT:
		exit->reason = EXIT_INIT;
		break;
	case VMEXIT_DR_FIRST ... VMEXIT_DR_LAST:
		world_debug_use(&v->world);
		svm_debug_intercept(v->vendor->vmcb, false);
		exit->reason = EXIT_WINDOW;
		break;
	case VMEXIT_SMI:  /* taken by now, since interrupts of that kind are open again */
	case VMEXIT_IRET: /* svm_event_nmi_track() has seen it */
		exit->reason = EXIT_WINDOW;
		break;
	case VMEXIT_VINTR:
		exit->reason = EXIT_WINDOW;
		svm_event_window_done(v->vendor);
		break;
	case VMEXIT_UD:
		exit->reason = EXIT_UD_FAULT;
		break;
	case VMEXIT_DB:
		/* Bochs 2.7 exits before it has written down why. */
		if ((save->dr6 & DR6_CAUSES) == 0 && (save->rflags & RFLAGS_TF) != 0) {
			save->dr6 |= DR6_BS;
			vmcb_changed(v->vendor->vmcb, CLEAN_DR);
		}
		reflect(v, VECTOR_DB, false);
		break;
	case VMEXIT_AC:
		reflect(v, VECTOR_AC, true);
		break;
	case VMEXIT_MC:
		/* The machine's, not the guest's: as if it had come while Septum ran. */
		__asm__ volatile("int $18");
		exit->reason = EXIT_WINDOW;
		break;
	case VMEXIT_RDPMC:
		reflect(v, VECTOR_GP, true);
		break;
	case VMEXIT_INVD:
	case VMEXIT_WBINVD:
		exit->reason = EXIT_WBINVD;
		exit->length = length_of(vmcb);
		break;
	case VMEXIT_XSETBV:
		exit->reason = EXIT_XSETBV;
		exit->length = length_of(vmcb);
		break;
	case VMEXIT_VMRUN:
	case VMEXIT_VMLOAD:
	case VMEXIT_VMSAVE:
	case VMEXIT_STGI:
	case VMEXIT_CLGI:
	case VMEXIT_SKINIT:
	case VMEXIT_INVLPGA:
	case VMEXIT_MONITOR:
	case VMEXIT_MWAIT:
	case VMEXIT_MWAIT_ARMED:
	case VMEXIT_RDPRU:
	case VMEXIT_INVLPGB:
	case VMEXIT_INVLPGB_ILLEGAL:
	case VMEXIT_MCOMMIT:
	case VMEXIT_TLBSYNC:
		exit->reason = EXIT_UNDEFINED;
		break;
	case VMEXIT_SHUTDOWN:
		exit->reason = EXIT_SHUTDOWN;
		break;
	case VMEXIT_INVALID:
		exit->reason = EXIT_INVALID;
		break;
	default:
		exit->reason = EXIT_UNKNOWN;
		break;
	}
}
