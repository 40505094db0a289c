/* SPDX-License-Identifier: BSD-2-Clause */
/* #VC, delivered in software: the descriptor is read, the frame is pushed, and the guest continues
 * in its handler (APM Vol. 2, 8.9 and 15.35.5).
 *
 * In long mode only. Elsewhere there is no handler for it in any guest that is known, and what a
 * processor would make of its attempt is a shutdown.
 */
#include "arch/x86/guest_walk.h"
#include "model/run.h"

#define EFER_LMA  BIT(10)
#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_NT BIT(14)
#define RFLAGS_RF BIT(16)
#define RFLAGS_VM BIT(17)

#define GATE_BYTES     16u
#define GATE_INTERRUPT 0xeu
#define GATE_TRAP      0xfu
#define TSS_RSP0       4u
#define TSS_IST1       36u
#define ERROR_IDT      2u /* of #GP and #NP: the selector is an IDT entry's */
#define ERROR_EXT      1u

/* Of a descriptor's attributes, as the VMCB has them. */
#define SEGMENT_CONFORMING BIT(2)
#define SEGMENT_CODE	   BIT(3)
#define SEGMENT_DPL(a)	   ((a) >> 5 & 3u)
#define SEGMENT_P	   BIT(7)
#define SEGMENT_L	   BIT(9)

struct gate {
	u64 offset;
	u16 selector;
	u8 ist, type;
	bool present;
};

static bool gate_read(struct vmrun *run, struct gate *gate, enum step *step)
{
	const struct vmcb_segment *idt = &run->vmcb->save.idtr;
	u64 raw[2];

	if (VECTOR_VC * GATE_BYTES + GATE_BYTES - 1 > idt->limit) {
		*step = run_exception(run, VECTOR_GP, true, VECTOR_VC * 8 + ERROR_IDT + ERROR_EXT);
		return false;
	}
	if (!run_read(run, idt->base + (u64)VECTOR_VC * GATE_BYTES, raw, sizeof(raw), WALK_IMPLICIT,
		      step))
		return false;
	*gate = (struct gate){
		.offset = (raw[0] & 0xffff) | (raw[0] >> 48) << 16 | (raw[1] & 0xffffffff) << 32,
		.selector = (u16)(raw[0] >> 16),
		.ist = raw[0] >> 32 & 7,
		.type = raw[0] >> 40 & 0x1f,
		.present = (raw[0] & BIT(47)) != 0,
	};
	if (gate->type != GATE_INTERRUPT && gate->type != GATE_TRAP) {
		*step = run_exception(run, VECTOR_GP, true, VECTOR_VC * 8 + ERROR_IDT + ERROR_EXT);
		return false;
	}
	if (!gate->present) {
		*step = run_exception(run, VECTOR_NP, true, VECTOR_VC * 8 + ERROR_IDT + ERROR_EXT);
		return false;
	}
	return true;
}

static bool code_read(struct vmrun *run, u16 selector, struct vmcb_segment *cs, enum step *step)
{
	const struct vmcb_save *s = &run->vmcb->save;
	const struct vmcb_segment *table = (selector & 4) != 0 ? &s->ldtr : &s->gdtr;
	u64 raw;

	if (selector < 4 || (u64)(selector | 7) > table->limit) {
		*step = run_exception(run, VECTOR_GP, true, (selector & ~3u) | ERROR_EXT);
		return false;
	}
	if (!run_read(run, table->base + (selector & ~7u), &raw, sizeof(raw), WALK_IMPLICIT, step))
		return false;
	cs->attributes = (u16)((raw >> 40 & 0xff) | (raw >> 52 & 0xf) << 8);
	if ((cs->attributes & SEGMENT_CODE) == 0 || (cs->attributes & BIT(4)) == 0 ||
	    (cs->attributes & SEGMENT_P) == 0 || (cs->attributes & SEGMENT_L) == 0 ||
	    SEGMENT_DPL(cs->attributes) > run_cpl(run)) {
		*step = run_exception(run, VECTOR_GP, true, (selector & ~3u) | ERROR_EXT);
		return false;
	}
	cs->base = 0;
	cs->limit = 0xffffffff;
	return true;
}

/* Where the frame goes. */
static bool stack_find(struct vmrun *run, const struct gate *gate, unsigned cpl, u64 *rsp,
		       enum step *step)
{
	const struct vmcb_save *s = &run->vmcb->save;
	u64 at = s->tr.base + (gate->ist != 0 ? TSS_IST1 + 8u * (gate->ist - 1u) : TSS_RSP0);

	*rsp = s->rsp;
	if (gate->ist == 0 && cpl == run_cpl(run))
		return true;
	return run_read(run, at, rsp, sizeof(*rsp), WALK_IMPLICIT, step);
}

static enum step deliver(struct vmrun *run, u32 code)
{
	struct vmcb_save *s = &run->vmcb->save;
	struct vmcb_segment cs = {0};
	struct gate gate;
	unsigned cpl;
	enum step step;
	u64 frame[6], rsp;

	if (!gate_read(run, &gate, &step) || !code_read(run, gate.selector, &cs, &step))
		return step;
	cpl = (cs.attributes & SEGMENT_CONFORMING) != 0 ? run_cpl(run) : SEGMENT_DPL(cs.attributes);
	if (!stack_find(run, &gate, cpl, &rsp, &step))
		return step;
	cs.selector = (u16)((gate.selector & ~3u) | cpl);
	rsp = ALIGN_DOWN(rsp, 16ul) - sizeof(frame);
	frame[0] = code;
	frame[1] = s->rip;
	frame[2] = s->cs.selector;
	frame[3] = s->rflags;
	frame[4] = s->rsp;
	frame[5] = s->ss.selector;
	if (!run_write(run, rsp, frame, sizeof(frame), cpl == 3 ? 0 : (unsigned)WALK_IMPLICIT,
		       &step))
		return step;
	if (cpl != run_cpl(run)) {
		s->ss = (struct vmcb_segment){.selector = (u16)cpl, .attributes = (u16)(cpl << 5)};
		s->cpl = (u8)cpl;
	}
	s->rsp = rsp;
	s->rip = gate.offset;
	s->cs = cs;
	s->rflags &= ~(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM);
	if (gate.type == GATE_INTERRUPT)
		s->rflags &= ~RFLAGS_IF;
	run->vmcb->control.shadow &= ~SHADOW_STI_SS;
	return STEP_AGAIN;
}

enum step run_vc(struct vmrun *run, u32 code)
{
	enum step step;

	/* A #VC while one is delivered is a double fault, and no handler of one is of use then. */
	if (run->delivering || (run->vmcb->save.efer & EFER_LMA) == 0)
		return run_exit(run, VMEXIT_SHUTDOWN, 0, 0);
	run->delivering = true;
	step = deliver(run, code);
	run->delivering = false;
	return step;
}
