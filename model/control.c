/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to CR0: with paging off all accesses are private, whatever address they have, so the CPU
 * below walks another table then (APM Vol. 2, 15.34.5). The write itself is carried out here, as
 * the processor would (APM Vol. 2, 3.1.1 and 14.6). */
#include "arch/x86/decode.h"
#include "model/run.h"

#define CR0_PE	 BIT(0)
#define CR0_MP	 BIT(1)
#define CR0_EM	 BIT(2)
#define CR0_TS	 BIT(3)
#define CR0_ET	 BIT(4)
#define CR0_NW	 BIT(29)
#define CR0_CD	 BIT(30)
#define CR0_PG	 BIT(31)
#define CR4_PAE	 BIT(5)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define CS_L	 BIT(9)

static bool cr0_write(struct vmcb_save *s, u64 value)
{
	bool paging = (value & CR0_PG) != 0;

	if (value >> 32 != 0 || (paging && (value & CR0_PE) == 0) ||
	    ((value & CR0_NW) != 0 && (value & CR0_CD) == 0))
		return false;
	if (paging && (s->cr0 & CR0_PG) == 0 && (s->efer & EFER_LME) != 0) {
		if ((s->cr4 & CR4_PAE) == 0 || (s->cs.attributes & CS_L) != 0)
			return false;
		s->efer |= EFER_LMA;
	}
	if (!paging && (s->cr0 & CR0_PG) != 0 && (s->efer & EFER_LMA) != 0) {
		if ((s->cs.attributes & CS_L) != 0)
			return false;
		s->efer &= ~EFER_LMA;
	}
	s->cr0 = value | CR0_ET;
	return true;
}

enum step run_cr0(struct vmrun *run)
{
	struct vmcb_save *s = &run->vmcb->save;
	u8 bytes[INSN_MAX_LENGTH];
	struct insn insn;
	enum decode_mode mode;
	u64 value;

	mode = decode_mode_of((s->efer & EFER_LMA) != 0, (s->cs.attributes & BIT(9)) != 0,
			      (s->cs.attributes & BIT(10)) != 0);
	if (decode(bytes, run_fetch(run, bytes, sizeof(bytes)), mode, &insn) != DECODE_OK)
		return run_exception(run, VECTOR_UD, false, 0);
	if (insn.op == INSN_MOV_TO_CR && insn.reg.n == 0) {
		value = *run_register(run, insn.rm.n);
		if (mode != DECODE_64)
			value = (u32)value;
	} else if (insn.op == INSN_CLTS) {
		value = s->cr0 & ~CR0_TS;
	} else if (insn.op == INSN_LMSW && insn.has_rm) {
		value = *run_register(run, insn.rm.n) & (CR0_PE | CR0_MP | CR0_EM | CR0_TS);
		value |= s->cr0 & ~(CR0_MP | CR0_EM | CR0_TS); /* PE is not cleared */
	} else {
		return run_exception(run, VECTOR_UD, false, 0);
	}
	if (!cr0_write(s, value))
		return run_exception(run, VECTOR_GP, true, 0);
	run_skip(run, insn.length);
	return STEP_AGAIN;
}
