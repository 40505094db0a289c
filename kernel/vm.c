/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/vm.h"

#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "arch/x86/tsc.h"
#include "kernel/exits.h"
#include "kernel/lapic_vcpu.h"
#include "kernel/object.h"
#include "kernel/protocol.h"
#include "kernel/trace.h"
#include "kernel/vendor.h"
#include "mm/window.h"

_Static_assert(sizeof(struct vm) <= PAGE_SIZE, "a VM is one object");

#define SHARED_BIT_MIN	 32u
#define TURNS_PER_SECOND 1000u
/* What a nested walk of four levels translates. */
#define WALK_BITS 48u

/* Ids in use. A VM that is being created has its id taken, but no entry in `vms`. */
static struct spinlock table_lock = SPINLOCK(RANK_VMS);
static bool taken[SEPTUM_MAX_VMS] = {true};
static struct vm *vms[SEPTUM_MAX_VMS];

unsigned vm_gpa_bits(void)
{
	return MIN(cpu_features.physical_bits, WALK_BITS);
}

struct vm *vm_by_id(u64 id, bool dying)
{
	struct vm *vm;

	/* What is found is there until the call is over: only CPU 0 makes calls, VM_DESTROY is one,
	 * and the CPUs of detached vCPUs, which it fetches first, know their VM without this. */
	ASSERT(cpu_self() == 0);
	if (id == 0 || id >= SEPTUM_MAX_VMS)
		return NULL;
	/* .. and this CPU alone changes it. */
	vm = vms[id];
	return vm && vm->state == VM_DYING && !dying ? NULL : vm;
}

/* ---- Objects: frames of a pool, permanently mapped ---- */

enum status object_take(struct pool *pool, u16 owner, void **object)
{
	pfn_t frame = pool_take(pool, FRAME_OBJECT, owner, 0);

	if (pfn_is_none(frame))
		return E_POOL_EMPTY;
	*object = object_map(frame);
	if (*object)
		return OK;
	pool_give(pool, frame);
	return E_LIMIT;
}

void object_give(struct pool *pool, void *object)
{
	pfn_t frame = object_pfn(object);

	object_unmap(object);
	pool_give(pool, frame);
}

void object_lose(struct pool *pool, void *object)
{
	pfn_t frame = object_pfn(object);

	object_unmap(object);
	pool_lose(pool, frame);
}

/* ---- Creation ---- */

static u32 id_take(void)
{
	u32 id;

	spin_lock(&table_lock);
	for (id = 1; id < SEPTUM_MAX_VMS && taken[id]; id++)
		;
	if (id < SEPTUM_MAX_VMS)
		taken[id] = true;
	spin_unlock(&table_lock);
	return id;
}

static void id_give(u32 id)
{
	spin_lock(&table_lock);
	vms[id] = NULL;
	taken[id] = false;
	spin_unlock(&table_lock);
}

u64 vm_types(void)
{
	return BIT(SEPTUM_PLAIN) | BIT(SEPTUM_SW_PROTECTED) |
	       (vendor->sealed != NULL ? vendor->sealed->types() : 0);
}

static bool is_sealed(u64 type)
{
	return type != SEPTUM_PLAIN && type != SEPTUM_SW_PROTECTED;
}

static struct result create_check(u64 type, u64 flags, u64 vcpus, u64 shared_bit, u64 ring)
{
	if (type < SEPTUM_PLAIN || type > SEPTUM_TDX)
		return (struct result){E_ARG, 1, 0};
	if ((vm_types() & BIT(type)) == 0)
		return (struct result){E_UNSUPPORTED, 1, 0};
	if (flags & ~(u64)(SEPTUM_VM_DISCARD | SEPTUM_VM_APIC))
		return (struct result){E_ARG, 2, 0};
	if ((flags & SEPTUM_VM_APIC) && tsc_frequency() == 0)
		return (struct result){E_UNSUPPORTED, 2, 0};
	if (vcpus == 0 || vcpus > SEPTUM_MAX_VCPUS)
		return (struct result){E_ARG, 4, 0};
	/* For the types of vendor->sealed it is their policy. */
	if (shared_bit != 0 && !is_sealed(type) &&
	    (type != SEPTUM_SW_PROTECTED || shared_bit < SHARED_BIT_MIN ||
	     shared_bit >= vm_gpa_bits()))
		return (struct result){E_ARG, 5, 0};
	if (ring >= PFN_LIMIT)
		return (struct result){E_RANGE, 6, 0};
	return (struct result){OK, 0, 0};
}

static struct result memory_create(struct vm *vm, u64 shared_bit)
{
	bool seals = is_sealed(vm->type);
	unsigned bits = seals ? MIN(vendor->sealed->gpa_bits(), vm_gpa_bits()) : vm_gpa_bits();
	enum status status = memory_init(&vm->memory, vm->id, vm->pool, vendor->format,
					 seals ? 0 : (unsigned)shared_bit, bits,
					 vm->type == SEPTUM_PLAIN, vm->flags & SEPTUM_VM_DISCARD);
	struct result result = {status, 3, 0};

	if (status != OK)
		return result;
	vm->memory.building = true;
	vm->memory.one_frame = vm->type == SEPTUM_SEV || vm->type == SEPTUM_SEV_ES;
	if (!seals)
		return result;
	result = vendor->sealed->vm_create(vm, shared_bit);
	while (result.status != OK && memory_destroy(&vm->memory) == E_AGAIN)
		;
	return result;
}

struct result vm_create(u64 type, u64 flags, u64 pool_number, u64 vcpus, u64 shared_bit, u64 ring)
{
	struct result result = create_check(type, flags, vcpus, shared_bit, ring);
	struct pool *pool = pool_by_id(pool_number);
	struct vm *vm;
	void *object;
	u32 id;

	if (result.status != OK)
		return result;
	if (!pool)
		return (struct result){E_NO_POOL, 3, 0};
	id = id_take();
	if (id == SEPTUM_MAX_VMS)
		return (struct result){E_LIMIT, 0, 0};
	result = (struct result){object_take(pool, (u16)id, &object), 3, 0};
	if (result.status != OK)
		goto no_object;
	vm = object;
	vm->id = (u16)id;
	vm->type = (u8)type;
	vm->state = VM_BUILDING;
	vm->flags = (u32)flags;
	vm->vcpu_limit = (u32)vcpus;
	vm->pool = pool;
	vm->objects = 1;
	result = (struct result){ring_area_attach(&vm->ring, (u32)vcpus, pfn(ring)), 6, 0};
	if (result.status != OK)
		goto no_ring;
	result = memory_create(vm, shared_bit);
	if (result.status != OK)
		goto no_memory;
	vm->ring_first = pfn(ring);
	pool_bind(pool);
	ring_init(&vm->ring, (u32)vcpus);
	spin_lock(&table_lock);
	vms[id] = vm;
	spin_unlock(&table_lock);
	trace(SEPTUM_TRACE_VM, id, 0, SEPTUM_CALL_VM_CREATE, 0);
	return (struct result){OK, 0, id};

no_memory:
	ring_area_detach(&vm->ring, (u32)vcpus, pfn(ring));
no_ring:
	object_give(pool, vm);
no_object:
	id_give(id);
	return result;
}

/* ---- The end ---- */

struct result vm_destroy(u64 id)
{
	struct vm *vm = vm_by_id(id, true);
	struct pool *pool;
	enum status status;

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	spin_lock(&table_lock);
	vm->state = VM_DYING;
	spin_unlock(&table_lock);
	vcpus_attach(vm);
	vcpus_destroy(vm);
	status = memory_destroy(&vm->memory);
	if (status != OK)
		return (struct result){status, 0, 0};
	if (vm->sealed != NULL)
		vendor->sealed->vm_destroy(vm);
	pool = vm->pool;
	ring_area_detach(&vm->ring, vm->vcpu_limit, vm->ring_first);
	/* Nobody finds it any more; only then may its frame be used for something else. */
	id_give((u32)id);
	object_give(pool, vm);
	pool_unbind(pool);
	trace(SEPTUM_TRACE_VM, (unsigned)id, 0, SEPTUM_CALL_VM_DESTROY, 0);
	return (struct result){OK, 0, 0};
}

/* ---- What else there is to a VM ---- */

static u64 description(const struct vm *vm)
{
	return vm->id | (u64)vm->type << 8 | (u64)vm->vcpu_limit << 16 |
	       (vm->started ? BIT(24) : 0) | (vm->state == VM_DYING ? BIT(25) : 0) |
	       (u64)vm->memory.shared_bit << 26 | (u64)pool_id(vm->pool) << 32;
}

struct result vm_find(u64 id)
{
	struct result result = {E_NO_VM, 1, 0};

	if (id == 0)
		return result;
	spin_lock(&table_lock);
	for (; id < SEPTUM_MAX_VMS && result.status != OK; id++) {
		if (vms[id])
			result = (struct result){OK, 0, description(vms[id])};
	}
	spin_unlock(&table_lock);
	return result;
}

struct result vm_start(u64 id)
{
	struct vm *vm = vm_by_id(id, false);

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	if (vm->state != VM_BUILDING)
		return (struct result){E_STATE, 1, 0};
	if (vm->sealed != NULL) {
		struct result result = vendor->sealed->vm_start(vm);

		if (result.status != OK)
			return result;
	}
	vm->memory.building = false;
	vm->state = VM_RUNNABLE;
	vm->started = true;
	trace(SEPTUM_TRACE_VM, vm->id, 0, SEPTUM_CALL_VM_START, 0);
	return (struct result){OK, 0, 0};
}

static bool counter_exists(u64 counter)
{
#define X(name, number, text) | BIT(number)
	const u64 all = 0 SEPTUM_COUNTER_LIST(X);
#undef X

	return counter < SEPTUM_COUNTER_END && (all & BIT(counter));
}

/* Those of the VM as a whole, which are not counted but looked at. */
static bool counter_measured(struct vm *vm, u64 counter, u64 *value)
{
	struct memory_counts counts;

	switch (counter) {
	case SEPTUM_COUNTER_FRAMES_HELD:
		*value = vm->objects + memory_frames(&vm->memory);
		return true;
	case SEPTUM_COUNTER_FRAMES_LOST:
		*value = pool_lost_count();
		return true;
	case SEPTUM_COUNTER_FLUSHES:
		*value = vm->memory.tlb.flush_count;
		return true;
	case SEPTUM_COUNTER_PAGES_PRIVATE:
	case SEPTUM_COUNTER_PAGES_SHARED:
	case SEPTUM_COUNTER_MAPPED_4K:
	case SEPTUM_COUNTER_MAPPED_2M:
	case SEPTUM_COUNTER_MAPPED_1G:
		break;
	default:
		return false;
	}
	memory_count(&vm->memory, &counts);
	if (counter == SEPTUM_COUNTER_PAGES_PRIVATE)
		*value = counts.private_pages;
	else if (counter == SEPTUM_COUNTER_PAGES_SHARED)
		*value = counts.shared_pages;
	else
		*value = counts.mapped[counter - SEPTUM_COUNTER_MAPPED_4K];
	return true;
}

struct result vm_counter(u64 id, u64 index, u64 counter)
{
	struct vm *vm = id == 0 ? vm_root_vcpu()->vm : vm_by_id(id, false);
	struct vcpu *one = NULL;
	u64 value;

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	if (index != SEPTUM_ALL) {
		one = vcpu_by_index(vm, index);
		if (!one)
			return (struct result){E_NO_VCPU, 2, 0};
	}
	if (!counter_exists(counter))
		return (struct result){E_ARG, 3, 0};
	if (one)
		return (struct result){OK, 0, READ_ONCE(one->counters[counter])};
	/* The root has no memory of its own kind. */
	if (id != 0 && counter_measured(vm, counter, &value))
		return (struct result){OK, 0, value};
	value = READ_ONCE(vm->counters[counter]);
	for (u32 i = 0; i < vm->vcpu_limit; i++)
		value += vm->vcpus[i] ? READ_ONCE(vm->vcpus[i]->counters[counter]) : 0;
	return (struct result){OK, 0, value};
}

/* ---- RUN ---- */

static bool vcpu_claim(struct vcpu *v)
{
	struct ring *ring = &v->vm->ring;
	bool claimed;

	spin_lock(&ring->lock);
	claimed = v->cpu == 0 && !v->running && v->slot.answer == SLOT_OPEN && vcpu_runnable(v);
	if (claimed) {
		v->running = true;
		v->wait = WAIT_NONE;
	}
	spin_unlock(&ring->lock);
	return claimed;
}

static enum after vcpu_run(struct vcpu *v, bool *ran)
{
	enum after after;

	if (!vcpu_claim(v))
		return AFTER_WAIT;
	*ran = true;
	after = guest_run(v);
	__atomic_store_n(&v->running, false, __ATOMIC_SEQ_CST);
	return after;
}

u64 turn_end = NEVER;

/* Until when the next turn lasts: vCPUs of one VM may wait for each other, so with APICs (and thus
 * time) each has only a slice. */
static void turn_begin(const struct vm *vm, bool alone, u64 until)
{
	turn_end = until;
	if (!alone && vm->vcpu_limit > 1 && (vm->flags & SEPTUM_VM_APIC))
		turn_end = MIN(until, rdtsc() + tsc_frequency() / TURNS_PER_SECOND);
}

/* Each vCPU, or `one`, gets one turn, beginning after the one that had the last. */
static enum after vcpus_run(struct vm *vm, struct vcpu *one, u64 until, bool *ran)
{
	u32 limit = vm->vcpu_limit;

	if (one) {
		turn_begin(vm, true, until);
		return vcpu_run(one, ran);
	}
	for (u32 turn = 0; turn < limit; turn++) {
		u32 index = vm->next_run < limit ? vm->next_run : 0;
		struct vcpu *v = vm->vcpus[index];

		vm->next_run = index + 1;
		turn_begin(vm, false, until);
		if (v && vcpu_run(v, ran) == AFTER_INTERRUPT)
			return AFTER_INTERRUPT;
	}
	return AFTER_WAIT;
}

/* ---- .. when all halt ---- */

static bool halts(const struct vcpu *v)
{
	return v->cpu == 0 && !v->dead && v->has_apic && v->wait == WAIT_HALTED && v->halt_if;
}

/* A vCPU, of those of this CPU, that waits for an interrupt, and when the first of them wakes up by
 * itself. NULL: there is none. */
static struct vcpu *find_halted(struct vm *vm, struct vcpu *one, u64 *alarm)
{
	struct vcpu *found = NULL;

	for (u32 i = 0; i < vm->vcpu_limit; i++) {
		struct vcpu *v = vm->vcpus[i];

		if (!v || (one && v != one) || !halts(v))
			continue;
		found = v;
		*alarm = MIN(*alarm, lapic_alarm(v));
	}
	return found;
}

static bool any_runnable(const struct vm *vm, const struct vcpu *one)
{
	for (u32 i = 0; i < vm->vcpu_limit; i++) {
		const struct vcpu *v = vm->vcpus[i];

		if (v && (!one || v == one) && v->cpu == 0 && vcpu_runnable(v))
			return true;
	}
	return false;
}

/* In guest mode, in the place of one that halts, so that whatever the root waits for ends it. */
static enum after sleep(struct vm *vm, struct vcpu *one, u64 until)
{
	enum after after = AFTER_WAIT;
	struct vcpu *v;

	/* First the mark, then the look: who wakes one does it the other way round. */
	__atomic_store_n(&vm->sleeping, true, __ATOMIC_SEQ_CST);
	turn_end = until;
	v = find_halted(vm, one, &turn_end);
	if (v && !any_runnable(vm, one))
		after = guest_idle(v);
	__atomic_store_n(&vm->sleeping, false, __ATOMIC_SEQ_CST);
	return after;
}

/* SEPTUM_RUN_*. `until`: a TSC, or NEVER; `sleeps`: until then. */
static u64 run(struct vm *vm, struct vcpu *one, u64 until, bool sleeps)
{
	u32 posted = READ_ONCE(vm->events_posted);
	u64 alarm = NEVER;

	for (;;) {
		bool ran = false;

		if (vcpus_run(vm, one, until, &ran) == AFTER_INTERRUPT)
			return SEPTUM_RUN_INTERRUPTED;
		if (until != NEVER && rdtsc() >= until)
			break;
		if ((vm->flags & SEPTUM_VM_APIC) == 0 || READ_ONCE(vm->events_posted) != posted)
			return SEPTUM_RUN_IDLE;
		if (ran)
			continue;
		if (!find_halted(vm, one, &alarm))
			return SEPTUM_RUN_IDLE;
		if (!sleeps)
			return SEPTUM_RUN_HALTED;
		if (sleep(vm, one, until) == AFTER_INTERRUPT)
			return SEPTUM_RUN_INTERRUPTED;
	}
	if (any_runnable(vm, one))
		return SEPTUM_RUN_INTERRUPTED;
	return find_halted(vm, one, &alarm) ? SEPTUM_RUN_HALTED : SEPTUM_RUN_IDLE;
}

static struct result run_call(u64 id, u64 index, u64 until, bool sleeps)
{
	struct vm *vm = vm_by_id(id, false);
	struct vcpu *one = NULL;
	enum status status;
	u32 posted, refused;
	u64 reason = SEPTUM_RUN_IDLE;

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	if (index != SEPTUM_ALL) {
		one = vcpu_by_index(vm, index);
		if (!one)
			return (struct result){E_NO_VCPU, 2, 0};
	}
	if (vm->state != VM_RUNNABLE)
		return (struct result){E_STATE, 1, 0};
	if (one && one->cpu != 0)
		return (struct result){E_STATE, 2, 0};
	posted = READ_ONCE(vm->events_posted);
	refused = verdicts_drain(vm, NULL, &status);
	if (status == OK)
		reason = run(vm, one, until, sleeps);
	if (status == E_AGAIN)
		reason = SEPTUM_RUN_INTERRUPTED;
	if (status == E_RING || vm->ring.broken)
		return (struct result){E_RING, 1, 0};
	return (struct result){OK, 0,
			       reason | (u64)((vm->events_posted - posted) & 0xffffff) << 8 |
				       (u64)refused << 32};
}

struct result vm_run(u64 id, u64 index)
{
	return run_call(id, index, NEVER, false);
}

struct result vm_run_until(u64 id, u64 index, u64 until)
{
	return run_call(id, index, until, true);
}
