/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/guest_access.h"
#include "arch/x86/guest_walk.h"
#include "kernel/cpuid.h"
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/protocol.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

/* ---- Guest-physical memory, of a guest or of the root ---- */

static bool guest_mem_read(void *context, u64 raw_gpa, void *to, unsigned bytes)
{
	return memory_read(context, raw_gpa, to, bytes);
}

static bool guest_mem_write(void *context, u64 raw_gpa, const void *from, unsigned bytes)
{
	return memory_write(context, raw_gpa, from, bytes);
}

static bool guest_mem_cmpxchg(void *context, u64 raw_gpa, unsigned bytes, u64 expected, u64 desired,
			      bool *swapped)
{
	return memory_cmpxchg(context, raw_gpa, bytes, expected, desired, swapped);
}

static const struct guest_mem_ops guest_ops = {
	.read = guest_mem_read,
	.write = guest_mem_write,
	.cmpxchg = guest_mem_cmpxchg,
};

static bool root_mem_read(void *context, u64 address, void *to, unsigned bytes)
{
	(void)context;
	return root_read(hpa(address), to, bytes) == OK;
}

static bool root_mem_write(void *context, u64 address, const void *from, unsigned bytes)
{
	(void)context;
	return root_write(hpa(address), from, bytes) == OK;
}

/* Septum only fetches instructions for the root, and the processor has just done the same: the
 * accessed bits are set. So nothing needs to be swapped, and the walk need not be atomic. */
static bool root_mem_cmpxchg(void *context, u64 address, unsigned bytes, u64 expected, u64 desired,
			     bool *swapped)
{
	(void)context;
	(void)address;
	(void)bytes;
	(void)expected;
	(void)desired;
	*swapped = true;
	return true;
}

static const struct guest_mem_ops root_ops = {
	.read = root_mem_read,
	.write = root_mem_write,
	.cmpxchg = root_mem_cmpxchg,
};

static void mmu_of(struct vcpu *v, const struct vcpu_state *state, struct guest_mmu *mmu)
{
	*mmu = (struct guest_mmu){
		.ops = v->root ? &root_ops : &guest_ops,
		.context = v->root ? NULL : &v->vm->memory,
		.cr0 = state->cr0,
		.cr3 = state->cr3,
		.cr4 = state->cr4,
		.efer = state->efer,
		.rflags = state->rflags,
		.cpl = state->cpl,
		.phys_bits = (u8)cpuid_physical_bits(v),
		.gib_pages = true,
	};
}

bool guest_resolve(struct vcpu *v, const struct access *access)
{
	return access_fault(v, access, 0) && v->event.kind == EVENT_NONE;
}

/* Raises what an access that failed would have raised. True: it can be tried again. */
static bool raise(struct vcpu *v, const struct vcpu_state *state, enum walk_status status,
		  const struct guest_walk *walk, bool exec)
{
	struct access access = {
		.raw_gpa = walk->raw_gpa,
		.write = walk->nested_write,
		.exec = exec && !walk->nested_table,
		.user = state->cpl == 3 && !walk->nested_table,
		.walk = walk->nested_table,
	};

	switch (status) {
	case WALK_PAGE_FAULT:
		inject_page_fault(v, walk->gva, walk->error_code);
		return false;
	case WALK_NONCANONICAL:
		inject_general_protection(v);
		return false;
	case WALK_NESTED:
		if (!v->root)
			return guest_resolve(v, &access);
		if (root_fault(&access))
			return true;
		inject_general_protection(v);
		return false;
	case WALK_RACED:
		return true;
	default:
		/* A paging mode that CPUID does not offer. */
		if (v->root)
			inject_general_protection(v);
		else
			vcpu_fail(v, SEPTUM_FAILURE_DECODE, walk->raw_gpa, 0);
		return false;
	}
}

static bool give_up(struct vcpu *v)
{
	v->pending.kind = PENDING_NONE;
	return false;
}

bool guest_read(struct vcpu *v, u64 address, void *to, unsigned bytes, enum guest_fault fault)
{
	struct vcpu_state state;
	struct guest_mmu mmu;

	vendor->state_get(v, &state);
	mmu_of(v, &state, &mmu);
	for (unsigned tries = 0; tries < GUEST_TRIES; tries++) {
		struct guest_walk walk;
		unsigned done;
		enum walk_status status = gva_read(&mmu, address, to, bytes, 0, &walk, &done);

		if (status == WALK_OK)
			return true;
		if (fault == GUEST_QUIET || !raise(v, &state, status, &walk, false))
			return false;
	}
	return give_up(v);
}

bool guest_write(struct vcpu *v, u64 address, const void *from, unsigned bytes)
{
	struct vcpu_state state;
	struct guest_mmu mmu;

	vendor->state_get(v, &state);
	mmu_of(v, &state, &mmu);
	for (unsigned tries = 0; tries < GUEST_TRIES; tries++) {
		struct guest_walk walk;
		unsigned done;
		enum walk_status status = gva_write(&mmu, address, from, bytes, 0, &walk, &done);

		if (status == WALK_OK)
			return true;
		if (!raise(v, &state, status, &walk, false))
			return false;
	}
	return give_up(v);
}

static bool translate(struct vcpu *v, u64 address, bool write, enum guest_fault fault, u64 *raw_gpa)
{
	struct vcpu_state state;
	struct guest_mmu mmu;

	vendor->state_get(v, &state);
	mmu_of(v, &state, &mmu);
	for (unsigned tries = 0; tries < GUEST_TRIES; tries++) {
		struct guest_walk walk;
		enum walk_status status = guest_walk(&mmu, address, write ? WALK_WRITE : 0, &walk);

		if (status == WALK_OK) {
			*raw_gpa = walk.raw_gpa;
			return true;
		}
		if (fault == GUEST_QUIET || !raise(v, &state, status, &walk, false))
			return false;
	}
	return give_up(v);
}

bool guest_translate(struct vcpu *v, u64 address, bool write, u64 *raw_gpa)
{
	return translate(v, address, write, GUEST_RAISE, raw_gpa);
}

bool guest_probe(struct vcpu *v, u64 address, unsigned bytes, enum guest_fault fault)
{
	unsigned first = (unsigned)MIN((u64)bytes, PAGE_SIZE - address % PAGE_SIZE);

	for (unsigned at = 0; at < bytes; at += at == 0 ? first : bytes) {
		struct access access = {.write = true, .user = vendor->cpl_get(v) == 3};

		if (!translate(v, address + at, true, fault, &access.raw_gpa))
			return false;
		if (memory_decide(&v->vm->memory, &access).outcome == FAULT_RESOLVED)
			continue;
		/* What can be resolved by now will be when it is written. */
		if (fault == GUEST_QUIET || !guest_resolve(v, &access))
			return false;
	}
	return true;
}

bool guest_fetch(struct vcpu *v, struct guest_insn *fetched)
{
	struct vcpu_state state;
	struct guest_mmu mmu;
	enum decode_mode mode;
	u64 address;

	vendor->state_get(v, &state);
	mmu_of(v, &state, &mmu);
	mode = decode_mode_of((state.efer & BIT(10)) != 0,
			      (state.seg[SEG_CS].access & BIT(13)) != 0,
			      (state.seg[SEG_CS].access & BIT(14)) != 0);
	address = mode == DECODE_64 ? state.rip : (u32)(state.seg[SEG_CS].base + state.rip);
	for (unsigned tries = 0; tries < GUEST_TRIES; tries++) {
		u8 bytes[INSN_MAX_LENGTH];
		struct guest_walk walk;
		unsigned done;
		enum walk_status status =
			gva_read(&mmu, address, bytes, sizeof(bytes), WALK_FETCH, &walk, &done);

		fetched->status = decode(bytes, done, mode, &fetched->insn);
		/* The next page matters only if the instruction reaches it. */
		if (status == WALK_OK || fetched->status != DECODE_SHORT)
			return true;
		if (!raise(v, &state, status, &walk, true))
			return false;
	}
	return give_up(v);
}
