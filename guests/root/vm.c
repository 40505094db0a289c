/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/root/vm.h"
#include "guests/lib/cpu.h"
#include "guests/lib/string.h"
#include "guests/root/machine.h"

#define PFN(pointer) ((u64)(pointer) / PAGE_SIZE)

struct reply pool_refill(u64 pool, u64 blocks)
{
	return septum(SEPTUM_CALL_POOL_DONATE, pool,
		      PFN(memory_take(blocks * LARGE_SIZE, LARGE_SIZE)), blocks * 512);
}

u64 pool_make(u64 blocks)
{
	struct reply r = septum(SEPTUM_CALL_POOL_CREATE, 0);
	u64 pool = r.value;

	if (r.status != SEPTUM_OK)
		return 0;
	while (blocks) {
		u64 now = blocks < 64 ? blocks : 64;

		if (pool_refill(pool, now).status != SEPTUM_OK)
			return 0;
		blocks -= now;
	}
	return pool;
}

bool pool_whole(u64 pool)
{
	struct reply r = septum(SEPTUM_CALL_POOL_INFO, pool);

	return r.status == SEPTUM_OK && (r.value & 0xffffffffu) == r.value >> 32;
}

static u8 *ring_area(const struct vm *vm)
{
	return memory_take(SEPTUM_RING_PAGES(vm->vcpus) * PAGE_SIZE, PAGE_SIZE);
}

/* What Septum has made of the area, after a call that answered `r`. */
static struct reply ring_use(struct vm *vm, u8 *area, struct reply r)
{
	vm->ring = (void *)area;
	vm->events = (void *)(area + PAGE_SIZE);
	vm->completions = (void *)(area + 2 * PAGE_SIZE);
	vm->payloads = area + 4 * PAGE_SIZE;
	vm->event_tail = 0;
	vm->completion_head = 0;
	if (r.status == SEPTUM_OK &&
	    (vm->ring->magic != SEPTUM_RING_MAGIC || vm->ring->vcpus != vm->vcpus))
		r.status = SEPTUM_E_RING;
	return r;
}

struct reply vm_create(struct vm *vm, u64 flags)
{
	u8 *area = ring_area(vm);
	struct reply r = septum(SEPTUM_CALL_VM_CREATE, vm->type, flags, vm->pool, vm->vcpus,
				vm->shared_bit, PFN(area));

	vm->id = r.status == SEPTUM_OK ? r.value : 0;
	vm->flags = flags;
	return ring_use(vm, area, r);
}

bool vm_find(struct vm *vm, u64 from)
{
	struct reply r = septum(SEPTUM_CALL_VM_FIND, from);

	if (r.status != SEPTUM_OK)
		return false;
	vm->id = r.value & 0xff;
	vm->type = r.value >> 8 & 0xff;
	vm->vcpus = r.value >> 16 & 0xff;
	vm->shared_bit = r.value >> 26 & 0x3f;
	vm->pool = r.value >> 32 & 0xff;
	return true;
}

struct reply vm_adopt(struct vm *vm)
{
	u8 *area = ring_area(vm);

	return ring_use(vm, area, septum(SEPTUM_CALL_VM_ADOPT, vm->id, PFN(area)));
}

struct reply vm_destroy(struct vm *vm)
{
	struct reply r;

	do {
		interrupts_serve();
		r = septum(SEPTUM_CALL_VM_DESTROY, vm->id);
	} while (r.status == SEPTUM_E_AGAIN);
	return r;
}

struct reply vcpu_set(struct vm *vm, u64 vcpu, u64 reg, u64 value)
{
	return septum(SEPTUM_CALL_VCPU_SET, vm->id, vcpu, reg, value);
}

u64 vm_counter(const struct vm *vm, enum septum_counter counter)
{
	return septum(SEPTUM_CALL_VM_COUNTER, vm->id, SEPTUM_ALL, counter).value;
}

struct reply attr_set(struct vm *vm, u64 gfn, u64 count, u64 attributes)
{
	for (;;) {
		struct reply r = septum(SEPTUM_CALL_ATTR_SET, vm->id, gfn, count, attributes);

		if (r.status != SEPTUM_E_AGAIN)
			return r;
		interrupts_serve();
		gfn += r.value;
		count -= r.value;
	}
}

struct reply mem_load(struct vm *vm, u64 gpa, const void *from, u64 bytes)
{
	static u8 page[PAGE_SIZE] __attribute__((aligned(4096)));
	struct reply r = {0};

	while (bytes) {
		u64 offset = gpa % PAGE_SIZE;
		u64 now = PAGE_SIZE - offset < bytes ? PAGE_SIZE - offset : bytes;

		memset(page, 0, sizeof(page));
		memcpy(page + offset, from, now);
		r = septum(SEPTUM_CALL_MEM_LOAD, vm->id, gpa / PAGE_SIZE, 1, PFN(page));
		if (r.status != SEPTUM_OK)
			return r;
		gpa += now;
		from = (const u8 *)from + now;
		bytes -= now;
	}
	return r;
}

static struct reply run(struct vm *vm, u64 call, u64 vcpu, u64 until)
{
	struct reply total = {0};

	for (;;) {
		struct reply r = septum(call, vm->id, vcpu, until);
		u64 events = (total.value >> 8 & 0xffffff) + (r.value >> 8 & 0xffffff);
		u64 refused = (total.value >> 32) + (r.value >> 32);

		total.status = r.status;
		total.argument = r.argument;
		total.value = (r.value & 0xff) | events << 8 | refused << 32;
		if (r.status != SEPTUM_OK || (r.value & 0xff) != SEPTUM_RUN_INTERRUPTED)
			return total;
		interrupts_serve();
		if (call == SEPTUM_CALL_RUN_UNTIL && tsc_read() >= until)
			return total;
	}
}

struct reply vm_run(struct vm *vm, u64 vcpu)
{
	return run(vm, SEPTUM_CALL_RUN, vcpu, 0);
}

struct reply vm_run_until(struct vm *vm, u64 vcpu, u64 until)
{
	return run(vm, SEPTUM_CALL_RUN_UNTIL, vcpu, until);
}

bool event_take(struct vm *vm, struct septum_event *event)
{
	u32 head = __atomic_load_n(&vm->ring->event_head, __ATOMIC_ACQUIRE);

	if (head == vm->event_tail)
		return false;
	*event = *(const struct septum_event *)&vm->events[vm->event_tail % SEPTUM_RING_ENTRIES];
	vm->event_tail++;
	__atomic_store_n(&vm->ring->event_tail, vm->event_tail, __ATOMIC_RELEASE);
	return true;
}

u8 *payload(struct vm *vm, u32 vcpu)
{
	return vm->payloads + (u64)vcpu * SEPTUM_PAYLOAD_BYTES;
}

u32 completion_put(struct vm *vm, const struct septum_completion *completion)
{
	u32 slot = vm->completion_head % SEPTUM_RING_ENTRIES;

	*(struct septum_completion *)&vm->completions[slot] = *completion;
	vm->completions[slot].status = SEPTUM_E_AGAIN;
	vm->completion_head++;
	__atomic_store_n(&vm->ring->completion_head, vm->completion_head, __ATOMIC_RELEASE);
	return slot;
}

u32 completion_status(struct vm *vm, u32 slot)
{
	return vm->completions[slot].status;
}
