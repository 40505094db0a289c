/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/vcpu.h"

#include "kernel/lapic_vcpu.h"
#include "kernel/object.h"
#include "kernel/trace.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"
#include "mm/tlb.h"
#include "mm/window.h"

_Static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "a vCPU is one object");

struct vcpu *vcpu_by_index(struct vm *vm, u64 index)
{
	return index < vm->vcpu_limit ? vm->vcpus[index] : NULL;
}

bool vcpu_runnable(const struct vcpu *v)
{
	if (v->dead)
		return false;
	if (v->wait == WAIT_HALTED && v->has_apic)
		return lapic_wakes(v);
	if (v->wait == WAIT_STARTUP)
		return __atomic_load_n(&v->lapic.startup, __ATOMIC_SEQ_CST) != 0;
	if (v->wait == WAIT_HALTED)
		return v->nmi_pending ||
		       (v->interrupt >= 0 && (v->slot.event.flags & SEPTUM_EVENT_INTERRUPTIBLE));
	return v->wait == WAIT_NONE;
}

/* ---- Creation and end ---- */

/* Everything that a vCPU needs, before it is anything. */
struct vcpu_frames {
	void *vcpu;
	void *xsave;
	void *vendor[VCPU_VENDOR_PAGES_MAX];
};

static void frames_give(struct pool *pool, const struct vcpu_frames *frames)
{
	for (unsigned i = 0; i < VCPU_VENDOR_PAGES_MAX && frames->vendor[i]; i++)
		object_give(pool, frames->vendor[i]);
	if (frames->xsave)
		object_give(pool, frames->xsave);
	if (frames->vcpu)
		object_give(pool, frames->vcpu);
}

static enum status frames_take(struct pool *pool, u16 owner, struct vcpu_frames *frames)
{
	enum status status;

	*frames = (struct vcpu_frames){.vcpu = NULL};
	status = object_take(pool, owner, &frames->vcpu);
	if (status == OK)
		status = object_take(pool, owner, &frames->xsave);
	for (unsigned i = 0; i < vendor->vcpu_pages && status == OK; i++)
		status = object_take(pool, owner, &frames->vendor[i]);
	if (status != OK)
		frames_give(pool, frames);
	return status;
}

static u64 frames_count(void)
{
	return 2u + vendor->vcpu_pages;
}

struct result vcpu_create(u64 id, u64 index)
{
	struct vm *vm = vm_by_id(id, false);
	struct vcpu_frames frames;
	enum status status;
	struct vcpu *v;

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	if (index >= vm->vcpu_limit)
		return (struct result){E_NO_VCPU, 2, 0};
	if (vm->state != VM_BUILDING)
		return (struct result){E_STATE, 1, 0};
	if (vm->vcpus[index])
		return (struct result){E_EXISTS, 2, 0};
	/* Objects are single pages; no processor's guest state (AVX-512 and what is smaller) is
	 * larger. */
	if (world_xsave_pages_guest() > 1 || vendor->vcpu_pages > VCPU_VENDOR_PAGES_MAX)
		return (struct result){E_UNSUPPORTED, 0, 0};
	status = frames_take(vm->pool, vm->id, &frames);
	if (status != OK)
		return (struct result){status, 0, 0};
	v = frames.vcpu;
	v->vm = vm;
	v->index = (u16)index;
	v->interrupt = -1;
	v->preempt_at = NEVER;
	if (vm->flags & SEPTUM_VM_APIC)
		lapic_create(v);
	for (unsigned i = 0; i < vendor->vcpu_pages; i++)
		v->vendor_pages[i] = frames.vendor[i];
	world_init(&v->world, frames.xsave, false);
	vendor->vcpu_init(v, v->vendor_pages);
	vendor->load(vm_root_vcpu());
	vm->objects += frames_count();
	vm->vcpus[index] = v;
	trace(SEPTUM_TRACE_VM, vm->id, (unsigned)index, SEPTUM_CALL_VCPU_CREATE, 0);
	return (struct result){OK, 0, 0};
}

void vcpus_destroy(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpu_limit; i++) {
		struct vcpu *v = vm->vcpus[i];
		struct vcpu_frames frames;

		if (!v)
			continue;
		vm->vcpus[i] = NULL;
		vendor->vcpu_destroy(v);
		vendor->load(vm_root_vcpu());
		frames = (struct vcpu_frames){.vcpu = v, .xsave = v->world.xsave};
		for (unsigned n = 0; n < vendor->vcpu_pages; n++)
			frames.vendor[n] = v->vendor_pages[n];
		frames_give(vm->pool, &frames);
		vm->objects -= frames_count();
	}
}

/* ---- VCPU_SET ---- */

#define SEGMENT_ATTRIBUTES 0x1f0fful /* bits that the access-rights word has */

/* Stores `value` if the field can hold it. */
#define STORE(field, value, max)                                                                   \
	({                                                                                         \
		bool fits_ = (value) <= (u64)(max);                                                \
		if (fits_)                                                                         \
			(field) = (__typeof__(field))(value);                                      \
		fits_;                                                                             \
	})

static bool segment_store(struct segment_state *segment, unsigned field, u64 value)
{
	switch (field) {
	case 0:
		return STORE(segment->selector, value, 0xffff);
	case 1:
		segment->base = value;
		return true;
	case 2:
		return STORE(segment->limit, value, 0xffffffff);
	default:
		if (value & ~SEGMENT_ATTRIBUTES)
			return false;
		segment->access = (u32)value;
		return true;
	}
}

/* E_ARG with argument 3: there is no such register; 4: it cannot hold the value. */
static struct result register_store(struct vcpu *v, struct vcpu_state *state, u64 reg, u64 value)
{
	const struct result done = {OK, 0, 0};
	const struct result too_big = {E_ARG, 4, 0};

	if (reg >= SEPTUM_REG_SEG && reg < SEPTUM_REG_SEG + 4 * SEG_COUNT) {
		unsigned n = (unsigned)(reg - SEPTUM_REG_SEG);

		return segment_store(&state->seg[n / 4], n % 4, value) ? done : too_big;
	}
	switch (reg) {
	case SEPTUM_REG_RIP:
		state->rip = value;
		return done;
	case SEPTUM_REG_RFLAGS:
		state->rflags = value;
		return done;
	case SEPTUM_REG_CR0:
		state->cr0 = value;
		return done;
	case SEPTUM_REG_CR3:
		state->cr3 = value;
		return done;
	case SEPTUM_REG_CR4:
		state->cr4 = value;
		return done;
	case SEPTUM_REG_EFER:
		state->efer = value;
		return done;
	case SEPTUM_REG_GDTR_BASE:
		state->gdtr_base = value;
		return done;
	case SEPTUM_REG_GDTR_LIMIT:
		return STORE(state->gdtr_limit, value, 0xffff) ? done : too_big;
	case SEPTUM_REG_IDTR_BASE:
		state->idtr_base = value;
		return done;
	case SEPTUM_REG_IDTR_LIMIT:
		return STORE(state->idtr_limit, value, 0xffff) ? done : too_big;
	default:
		if (reg >= SEPTUM_REG_RAX + GPR_COUNT)
			return (struct result){E_ARG, 3, 0};
		if (reg == RSP)
			state->rsp = value;
		else
			v->gpr[reg] = value;
		return done;
	}
}

struct result vcpu_set(u64 id, u64 index, u64 reg, u64 value)
{
	struct vm *vm = vm_by_id(id, false);
	struct vcpu *v;
	struct vcpu_state state;
	struct result result;

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	v = vcpu_by_index(vm, index);
	if (!v)
		return (struct result){E_NO_VCPU, 2, 0};
	if (vm->state != VM_BUILDING)
		return (struct result){E_STATE, 1, 0};
	if (reg == SEPTUM_REG_APIC_BASE && v->has_apic)
		return (struct result){lapic_base_set(&v->lapic, value) ? OK : E_ARG, 4, 0};
	vendor->load(v);
	vendor->state_get(v, &state);
	result = register_store(v, &state, reg, value);
	if (result.status == OK)
		vendor->state_set(v, &state);
	vendor->load(vm_root_vcpu());
	return result;
}

/* ---- The other calls ---- */

static u64 state_of(const struct vcpu *v)
{
	if (v->dead)
		return SEPTUM_VCPU_DEAD;
	switch ((enum wait_kind)v->wait) {
	case WAIT_EVENT:
		return SEPTUM_VCPU_WAITING;
	case WAIT_HALTED:
		return SEPTUM_VCPU_HALTED;
	case WAIT_STARTUP:
		return SEPTUM_VCPU_PARKED;
	case WAIT_NONE:
		break;
	}
	return v->running || v->cpu != 0 ? SEPTUM_VCPU_RUNNING : SEPTUM_VCPU_RUNNABLE;
}

struct result vcpu_info(u64 id, u64 index)
{
	struct vm *vm = vm_by_id(id, false);
	struct vcpu *v;
	u64 value;

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	v = vcpu_by_index(vm, index);
	if (!v)
		return (struct result){E_NO_VCPU, 2, 0};
	spin_lock(&vm->ring.lock);
	value = state_of(v) | (u64)v->slot.seq << 32;
	spin_unlock(&vm->ring.lock);
	return (struct result){OK, 0, value};
}

struct result vcpu_interrupt(u64 id, u64 index, u64 vector)
{
	struct vm *vm = vm_by_id(id, false);
	struct vcpu *v;

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	v = vcpu_by_index(vm, index);
	if (!v)
		return (struct result){E_NO_VCPU, 2, 0};
	if (vector != SEPTUM_NMI && (vector < 16 || vector > 255))
		return (struct result){E_ARG, 3, 0};
	if (v->dead)
		return (struct result){E_STATE, 2, 0};
	if (v->has_apic) {
		if (vector == SEPTUM_NMI)
			lapic_post_nmi(v);
		else
			lapic_post(v, (u8)vector);
		return (struct result){OK, 0, 0};
	}
	if (vector == SEPTUM_NMI ? v->nmi_pending : v->interrupt >= 0)
		return (struct result){E_BUSY, 3, 0};
	if (vector == SEPTUM_NMI)
		__atomic_store_n(&v->nmi_pending, true, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&v->interrupt, (s64)vector, __ATOMIC_SEQ_CST);
	if (v->cpu != 0)
		cpu_kick(v->cpu);
	return (struct result){OK, 0, 0};
}
