/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs of a guest. In one with encrypted state an access that the client's map intercepts is #VC,
 * another goes to the register in the VMSA; SEV_STATUS and the GHCB register cannot be intercepted
 * (APM Vol. 2, 15.34.10, 15.35.4, 15.35.7). */
#include "kernel/string.h"
#include "mm/window.h"
#include "model/run.h"

#define MSR_EFER       0xc0000080u
#define MSR_PAT	       0x277u
#define MSR_GHCB       0xc0010130u
#define MSR_SEV_STATUS 0xc0010131u

#define EFER_SCE      BIT(0)
#define EFER_LME      BIT(8)
#define EFER_LMA      BIT(10)
#define EFER_NXE      BIT(11)
#define EFER_SVME     BIT(12)
#define EFER_FFXSR    BIT(14)
#define EFER_TCE      BIT(15)
#define EFER_KNOWN    (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | EFER_FFXSR | EFER_TCE)
#define EFER_TRAP_BIT BIT(15) /* of the intercepts at VMCB 010h */
#define CR0_PG	      BIT(31)

#define STATUS_SEV    BIT(0)
#define STATUS_SEV_ES BIT(1)
#define STATUS_SNP    BIT(2)

#define MAP_RANGE 0x2000u
#define RAX	  0
#define RCX	  1
#define RDX	  2

/* Bit of the read intercept; the write intercept's is the next. False: outside the map. */
static bool map_bit(u32 msr, u64 *bit)
{
	static const u32 bases[] = {0, 0xc0000000, 0xc0010000};

	for (unsigned i = 0; i < ARRAY_COUNT(bases); i++) {
		if (msr - bases[i] < MAP_RANGE) {
			*bit = ((u64)i * MAP_RANGE + (msr - bases[i])) * 2;
			return true;
		}
	}
	return false;
}

/* What the model must see whatever the client says. */
static const u32 ours[] = {MSR_EFER, MSR_PAT, MSR_GHCB, MSR_SEV_STATUS};

void run_msr_map(struct vmrun *run)
{
	pfn_t first = pfn(run->control.msrpm >> PAGE_SHIFT);
	u64 bit;

	/* As the processor may, the model remembers the map while its clean bit says so. */
	if (run->msrpm_of == run->client.n && (run->control.clean & CLEAN_MAPS) != 0)
		return;
	run->msrpm_of = run->client.n;
	for (u64 i = 0; i < 2; i++)
		memcpy(run->msrpm + i * PAGE_SIZE, window_map(WINDOW_MODEL_DATA, pfn(first.n + i)),
		       PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_COUNT(ours); i++) {
		if (map_bit(ours[i], &bit))
			run->msrpm[bit / 8] |= (u8)(3u << bit % 8);
	}
}

static bool client_intercepts(const struct vmrun *run, u32 msr, bool write)
{
	pfn_t first = pfn(run->control.msrpm >> PAGE_SHIFT);
	const u8 *map;
	u64 bit;

	if ((run->control.intercepts[0] & BIT(ICEPT_MSR)) == 0)
		return false;
	if (!map_bit(msr, &bit))
		return true;
	bit += write ? 1 : 0;
	map = window_map(WINDOW_MODEL_DATA, pfn(first.n + bit / 8 / PAGE_SIZE));
	return (map[bit / 8 % PAGE_SIZE] >> bit % 8 & 1) != 0;
}

static enum step fault(struct vmrun *run)
{
	return run_exception(run, VECTOR_GP, true, 0);
}

static enum step efer_write(struct vmrun *run, u64 value)
{
	struct vmcb_save *s = &run->vmcb->save;

	if ((value & ~EFER_KNOWN) != 0 ||
	    ((s->cr0 & CR0_PG) != 0 && ((s->efer ^ value) & EFER_LME) != 0))
		return fault(run);
	/* SVME is not the guest's to change, LMA follows from LME and CR0.PG. */
	s->efer = (value & ~(EFER_LMA | EFER_SVME)) | (s->efer & (EFER_LMA | EFER_SVME));
	run_skip(run, run_length(run, 2));
	if (run->view.es && (run->control.intercepts[1] & EFER_TRAP_BIT) != 0)
		return run_exit(run, VMEXIT_EFER_TRAP, s->efer, 0);
	return STEP_AGAIN;
}

static enum step pat_write(struct vmrun *run, u64 value)
{
	for (unsigned i = 0; i < 8; i++) {
		u64 type = value >> 8 * i & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return fault(run);
	}
	run->vmcb->save.pat = value;
	run_skip(run, run_length(run, 2));
	return STEP_AGAIN;
}

static enum step answer(struct vmrun *run, u64 value)
{
	*run_register(run, RAX) = (u32)value;
	*run_register(run, RDX) = value >> 32;
	run_skip(run, run_length(run, 2));
	return STEP_AGAIN;
}

enum step run_msr(struct vmrun *run)
{
	u32 msr = (u32)*run_register(run, RCX);
	u64 value = (u32)*run_register(run, RAX) | *run_register(run, RDX) << 32;
	bool write = (run->vmcb->control.exit_info1 & 1) != 0;

	if (msr == MSR_SEV_STATUS) {
		value = STATUS_SEV | (run->view.es ? STATUS_SEV_ES : 0) |
			(run->view.snp ? STATUS_SNP : 0);
		return write ? fault(run) : answer(run, value);
	}
	if (msr == MSR_GHCB) {
		if (!run->view.es)
			return fault(run);
		if (!write)
			return answer(run, run->ghcb);
		run->ghcb = value;
		run_skip(run, run_length(run, 2));
		return STEP_AGAIN;
	}
	if (client_intercepts(run, msr, write))
		return run->view.es ? run_vc(run, VMEXIT_MSR)
				    : run_exit(run, VMEXIT_MSR, write ? 1 : 0, 0);
	if (msr == MSR_EFER)
		return write ? efer_write(run, value) : answer(run, run->vmcb->save.efer);
	if (msr == MSR_PAT)
		return write ? pat_write(run, value) : answer(run, run->vmcb->save.pat);
	/* Outside the map: the processor below exits for it whatever the map says. */
	return run->view.es ? run_vc(run, VMEXIT_MSR) : run_exit(run, VMEXIT_MSR, write ? 1 : 0, 0);
}
