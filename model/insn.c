/* SPDX-License-Identifier: BSD-2-Clause */
/* PVALIDATE, RMPADJUST and RMPQUERY (APM Vol. 3; checks of the page: APM Vol. 2, table 15-39).
 *
 * RAX is a linear address, EAX the result. The processor below raises #UD for all three, with RIP
 * at the instruction.
 */
#include "arch/x86/guest_walk.h"
#include "kernel/string.h"
#include "model/rmp.h"
#include "model/run.h"

#define LENGTH 4u

#define FAIL_INPUT	  1u
#define FAIL_PERMISSION	  2u
#define FAIL_SIZEMISMATCH 6u

#define FLAG_CF BIT(0)
#define FLAG_PF BIT(2)
#define FLAG_AF BIT(4)
#define FLAG_ZF BIT(6)
#define FLAG_SF BIT(7)
#define FLAG_OF BIT(11)

#define RAX 0
#define RCX 1
#define RDX 2

#define VMSA_BIT BIT(16) /* of RDX */

static void flags_set(struct vmrun *run, u32 result, bool carry)
{
	u64 flags = run->vmcb->save.rflags;

	flags &= ~(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF);
	flags |= carry ? FLAG_CF : 0;
	flags |= result == 0 ? FLAG_ZF : 0;
	flags |= result >> 31 != 0 ? FLAG_SF : 0;
	flags |= (__builtin_popcount(result & 0xff) & 1) == 0 ? FLAG_PF : 0;
	run->vmcb->save.rflags = flags;
}

static enum step done(struct vmrun *run, u32 result, bool carry)
{
	*run_register(run, RAX) = result;
	flags_set(run, result, carry);
	run_skip(run, LENGTH);
	return STEP_AGAIN;
}

/* The page that RAX means: owned by this guest, mapped there, not the firmware's. */
static bool page_find(struct vmrun *run, pfn_t *p, struct rmp_entry *entry, bool *nested_large,
		      struct shadow_reply *reply, u64 *raw_gpa, enum step *step)
{
	u64 gva = *run_register(run, RAX);
	enum shadow_result result;

	if (!run_translate(run, gva, 0, raw_gpa, step))
		return false;
	if ((*raw_gpa & shadow_c_bit()) == 0) {
		*step = run_page_fault(run, gva, PF_PRESENT | PF_RESERVED);
		return false;
	}
	result = shadow_look(&run->view, *raw_gpa, reply, nested_large);
	if (result != SHADOW_OK) {
		*step = run_nested_fault(run, result, reply->error, *raw_gpa, gva);
		return false;
	}
	*p = reply->pfn;
	(void)rmp_get(*p, entry);
	return true;
}

/* 4 KiB asked for, 2 MiB held: the client smashes the entry and the instruction begins again. */
static enum step size_fault(struct vmrun *run, u64 error, u64 raw_gpa, u64 size)
{
	error |= NPF_PRESENT | NPF_RMP | size;
	return run_nested_fault(run, SHADOW_NPF, error, raw_gpa, 0);
}

/* Size of the operand against those of the nested leaf and the RMP entry. True: *step is the end of
 * it. */
static bool size_refused(struct vmrun *run, bool large, const struct rmp_entry *entry,
			 bool nested_large, u64 error, u64 raw_gpa, enum step *step)
{
	if (large && (!entry->large || !nested_large)) {
		*step = done(run, FAIL_SIZEMISMATCH, false);
		return true;
	}
	if (!large && entry->large) {
		*step = size_fault(run, error, raw_gpa, NPF_SIZEM);
		return true;
	}
	if (!large && nested_large) {
		*step = size_fault(run, error, raw_gpa, 0);
		return true;
	}
	return false;
}

static bool aligned(struct vmrun *run, bool large)
{
	return !large || *run_register(run, RAX) % (BLOCK_PAGES * PAGE_SIZE) == 0;
}

static enum step pvalidate(struct vmrun *run)
{
	/* Of both registers the lowest bit: Linux leaves in the others what was there. */
	u64 size = *run_register(run, RCX) & 1, validate = *run_register(run, RDX) & 1;
	struct shadow_reply reply;
	struct rmp_entry entry;
	bool nested_large;
	enum step step;
	u64 raw_gpa;
	pfn_t p;

	if (!aligned(run, size == 1))
		return done(run, FAIL_INPUT, false);
	if (run->view.vmpl != 0)
		return done(run, FAIL_PERMISSION, false);
	if (!page_find(run, &p, &entry, &nested_large, &reply, &raw_gpa, &step) ||
	    size_refused(run, size == 1, &entry, nested_large, reply.error, raw_gpa, &step))
		return step;
	if (entry.validated == (validate == 1))
		return done(run, 0, true);
	entry.validated = validate == 1;
	rmp_set(entry.large ? pfn(ALIGN_DOWN(p.n, BLOCK_PAGES)) : p, &entry);
	return done(run, 0, false);
}

/* The rights of `vmpl` in the page. */
static u8 perms_of(const struct rmp_entry *entry, unsigned vmpl)
{
	return vmpl == 0 ? (u8)RMP_ALL : entry->perms[vmpl];
}

static enum step rmpadjust(struct vmrun *run)
{
	u64 size = *run_register(run, RCX) & 1, what = *run_register(run, RDX);
	unsigned target = what & 0xff, perms = what >> 8 & 0xff;
	bool vmsa = (what & VMSA_BIT) != 0, nested_large;
	struct shadow_reply reply;
	struct rmp_entry entry;
	enum step step;
	u64 raw_gpa;
	pfn_t p;

	if (target >= RMP_VMPLS || what >> 17 != 0 || perms > RMP_ALL || !aligned(run, size == 1) ||
	    (vmsa && size == 1))
		return done(run, FAIL_INPUT, false);
	if (target <= run->view.vmpl || (vmsa && run->view.vmpl != 0))
		return done(run, FAIL_PERMISSION, false);
	if (!page_find(run, &p, &entry, &nested_large, &reply, &raw_gpa, &step) ||
	    size_refused(run, size == 1, &entry, nested_large, reply.error, raw_gpa, &step))
		return step;
	if (!entry.validated)
		return run_nested_fault(run, SHADOW_VC, VC_UNVALIDATED, raw_gpa,
					*run_register(run, RAX));
	if ((perms & ~(unsigned)perms_of(&entry, run->view.vmpl)) != 0)
		return done(run, FAIL_PERMISSION, false);
	entry.perms[target] = (u8)perms;
	if (run->view.vmpl == 0)
		entry.vmsa = vmsa;
	rmp_set(entry.large ? pfn(ALIGN_DOWN(p.n, BLOCK_PAGES)) : p, &entry);
	return done(run, 0, false);
}

static enum step rmpquery(struct vmrun *run)
{
	unsigned target = *run_register(run, RDX) & 0xff;
	struct shadow_reply reply;
	struct rmp_entry entry;
	bool nested_large;
	enum step step;
	u64 raw_gpa;
	pfn_t p;

	if (target >= RMP_VMPLS)
		return done(run, FAIL_INPUT, false);
	if (target < run->view.vmpl)
		return done(run, FAIL_PERMISSION, false);
	if (!page_find(run, &p, &entry, &nested_large, &reply, &raw_gpa, &step))
		return step;
	if (!entry.validated)
		return run_nested_fault(run, SHADOW_VC, VC_UNVALIDATED, raw_gpa,
					*run_register(run, RAX));
	*run_register(run, RCX) = entry.large;
	*run_register(run, RDX) = (u64)perms_of(&entry, target) << 8 | (entry.vmsa ? VMSA_BIT : 0);
	return done(run, 0, false);
}

bool run_rmp_instruction(struct vmrun *run, enum step *step)
{
	static const struct {
		u8 bytes[LENGTH];
		enum step (*execute)(struct vmrun *run);
	} instructions[] = {
		{{0xf2, 0x0f, 0x01, 0xff}, pvalidate},
		{{0xf3, 0x0f, 0x01, 0xfe}, rmpadjust},
		{{0xf3, 0x0f, 0x01, 0xfd}, rmpquery},
	};
	u8 bytes[LENGTH];

	if (!run->view.snp || !run_long_mode(run) || run_fetch(run, bytes, LENGTH) != LENGTH)
		return false;
	for (unsigned i = 0; i < ARRAY_COUNT(instructions); i++) {
		if (memcmp(bytes, instructions[i].bytes, LENGTH) != 0)
			continue;
		*step = run_cpl(run) != 0 ? run_exception(run, VECTOR_GP, true, 0)
					  : instructions[i].execute(run);
		return true;
	}
	return false;
}
