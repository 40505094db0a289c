/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/host/manager.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/fake.h"
#include "mm/audit.h"
#include "mm/frame.h"

u64 machine_pages = 32768;
static unsigned objects_at_start;
static u64 ring_frames[SEPTUM_MAX_VMS];

struct answer call(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	struct vcpu *root = vm_root_vcpu();
	u64 before[GPR_COUNT];

	for (unsigned i = 0; i < GPR_COUNT; i++)
		root->gpr[i] = 0x1000 + i;
	root->gpr[RAX] = number;
	root->gpr[RDI] = a;
	root->gpr[RSI] = b;
	root->gpr[RDX] = c;
	root->gpr[RCX] = d;
	root->gpr[R8] = e;
	root->gpr[R9] = f;
	memcpy(before, root->gpr, sizeof(before));
	fake_loaded = root;
	root_call(root);
	assert(fake_loaded == root);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		assert(i == RAX || i == RDX || root->gpr[i] == before[i]);
	assert(root->gpr[RAX] < 0x10000);
	return (struct answer){root->gpr[RAX] & 0xff, root->gpr[RAX] >> 8, root->gpr[RDX]};
}

void audit_clean(void)
{
	struct audit_report report = {0};

	if (audit_run(&report) == AUDIT_CLEAN)
		return;
	printf("audit: %s (owner %u, frame %lx, page %lx)\n", report.text, report.owner,
	       report.pfn.n, report.page);
	abort();
}

static void pool_empty_out(u64 pool)
{
	struct answer answer;

	do
		answer = CALL1(POOL_RECLAIM, pool);
	while (answer.status == OK);
	assert(answer.status == E_EMPTY || answer.status == E_NO_POOL);
	answer = CALL1(POOL_DESTROY, pool);
	assert(answer.status == OK || answer.status == E_NO_POOL);
}

void machine_empty(void)
{
	pool_feed();
	for (u64 vm = 1; vm < SEPTUM_MAX_VMS; vm++) {
		struct answer answer;

		do
			answer = CALL1(VM_DESTROY, vm);
		while (answer.status == E_AGAIN);
		assert(answer.status == OK || answer.status == E_NO_VM);
	}
	audit_clean();
	for (u64 pool = 1; pool < SEPTUM_MAX_POOLS; pool++)
		pool_empty_out(pool);
	for (u64 p = ROOT_RING; p < fake_root_end(); p++) {
		struct frame frame = frame_get(pfn(p));

		if (frame.state != FRAME_ROOT || frame.arg != 0) {
			printf("frame %lx: state %s, argument %lx\n", p,
			       frame_state_name(frame.state), frame.arg);
			abort();
		}
	}
	assert(fake_objects == objects_at_start);
	audit_clean();
	fake_reset();
}

u64 pool_new(u64 blocks)
{
	static u64 next;
	u64 pool = CALL0(POOL_CREATE).value;

	assert(blocks <= POOL_BLOCKS);
	for (u64 i = 0; i < blocks; i++) {
		struct answer answer;

		/* The next block that is still the root's. */
		do
			answer = CALL3(POOL_DONATE, pool,
				       ROOT_POOL + next++ % POOL_BLOCKS * BLOCK_PAGES, BLOCK_PAGES);
		while (answer.status == E_NOT_ROOT);
		assert(answer.status == OK);
	}
	return pool;
}

static struct {
	u64 pool;
	u64 count;
	pfn_t frames[POOL_BLOCKS * BLOCK_PAGES];
} starved;

void pool_starve(u64 id, u64 left)
{
	struct pool *pool = pool_by_id(id);

	pool_feed();
	starved.pool = id;
	while (pool_free_count(pool) > left) {
		pfn_t p = pool_take(pool, FRAME_OBJECT, 63, 0);

		assert(!pfn_is_none(p));
		starved.frames[starved.count++] = p;
	}
}

void pool_feed(void)
{
	while (starved.count > 0)
		pool_give(pool_by_id(starved.pool), starved.frames[--starved.count]);
}

static u64 ring_area(void)
{
	static u64 next;

	return ROOT_RING + next++ % 32 * 16;
}

u64 vm_new(u64 type, u64 pool, u64 vcpus, u64 shared_bit, u64 flags)
{
	u64 ring = ring_area();
	struct answer answer = CALL6(VM_CREATE, type, flags, pool, vcpus, shared_bit, ring);

	if (answer.status != OK)
		return 0;
	ring_frames[answer.value] = ring;
	return answer.value;
}

u64 ring_pfn(u64 vm)
{
	return ring_frames[vm];
}

struct answer vm_adopt_with(u64 vm, u64 ring)
{
	struct answer answer = CALL2(VM_ADOPT, vm, ring);

	if (answer.status == OK)
		ring_frames[vm] = ring;
	return answer;
}

struct answer vm_adopt_anew(u64 vm)
{
	return vm_adopt_with(vm, ring_area());
}

/* ---- Rings ---- */

static hpa_t ring_at(u64 vm, u64 page, size_t offset)
{
	return hpa((ring_frames[vm] + page) * PAGE_SIZE + offset);
}

u32 ring_read(u64 vm, size_t offset)
{
	u32 value = 0;

	assert(root_read(ring_at(vm, 0, offset), &value, sizeof(value)) == OK);
	return value;
}

void ring_write(u64 vm, size_t offset, u32 value)
{
	assert(root_write(ring_at(vm, 0, offset), &value, sizeof(value)) == OK);
}

bool event_look(u64 vm, struct septum_event *event)
{
	u32 tail = ring_read(vm, offsetof(struct septum_ring, event_tail));

	if (tail == ring_read(vm, offsetof(struct septum_ring, event_head)))
		return false;
	assert(root_read(ring_at(vm, 1, tail % SEPTUM_RING_ENTRIES * sizeof(*event)), event,
			 sizeof(*event)) == OK);
	return true;
}

bool event_take(u64 vm, struct septum_event *event)
{
	u32 tail = ring_read(vm, offsetof(struct septum_ring, event_tail));

	if (!event_look(vm, event))
		return false;
	ring_write(vm, offsetof(struct septum_ring, event_tail), tail + 1);
	return true;
}

u32 completion_put(u64 vm, const struct septum_completion *c)
{
	u32 head = ring_read(vm, offsetof(struct septum_ring, completion_head));
	u32 slot = head % SEPTUM_RING_ENTRIES;

	assert(root_write(ring_at(vm, 2, slot * sizeof(*c)), c, sizeof(*c)) == OK);
	ring_write(vm, offsetof(struct septum_ring, completion_head), head + 1);
	return slot;
}

u32 completion_status(u64 vm, u32 slot)
{
	struct septum_completion c;

	assert(root_read(ring_at(vm, 2, slot * sizeof(c)), &c, sizeof(c)) == OK);
	return c.status;
}

u32 answer_event(u64 vm, const struct septum_event *event, u16 verdict, u32 flags, u64 where,
		 u64 size, u64 value)
{
	struct septum_completion c = {
		.seq = event->seq,
		.vcpu = event->vcpu,
		.verdict = verdict,
		.flags = flags,
		.status = 0xffffffff,
		.gpa = where,
		.size = size,
		.value = value,
	};
	u32 slot = completion_put(vm, &c);
	struct answer answer = CALL2(RUN, vm, SEPTUM_ALL);

	assert(answer.status == OK || answer.status == E_RING);
	return completion_status(vm, slot);
}

/* ---- Digest ---- */

static u64 digest;

static void add(u64 value)
{
	digest = (digest ^ value) * 0x100000001b3ul;
	digest ^= digest >> 29;
}

static void add_bytes(const void *from, size_t size)
{
	const u8 *bytes = from;

	for (size_t i = 0; i < size; i++)
		add(bytes[i]);
}

static void add_vcpu(const struct vcpu *v)
{
	add_bytes(v->gpr, sizeof(v->gpr));
	add(v->dead);
	add(v->wait);
	add(v->running);
	add(v->nmi_pending);
	add((u64)v->interrupt);
	add(v->slot.seq);
	add(v->slot.position);
	add_bytes(&v->slot.event, sizeof(v->slot.event));
	add(v->request.active);
	add(v->request.left);
	add_bytes(v->vendor, sizeof(struct vcpu_state));
	for (unsigned i = 0; i < SEPTUM_COUNTER_END; i++)
		if (i != SEPTUM_COUNTER_VERDICTS_REFUSED)
			add(v->counters[i]);
}

static void add_vm(struct vm *vm)
{
	struct memory *mem = &vm->memory;
	struct memory_counts counts;

	add(vm->id);
	add(vm->type);
	add(vm->state);
	add(vm->flags);
	add(vm->objects);
	add(vm->ring.broken);
	add(vm->ring.event_head);
	add(mem->building);
	add(mem->attr.newest);
	add(mem->attr.private_pages);
	add(memory_frames(mem));
	memory_count(mem, &counts);
	add_bytes(&counts, sizeof(counts));
	for (unsigned i = 0; i < SEPTUM_MAX_SLOTS; i++)
		add_bytes(&mem->slots[i], sizeof(mem->slots[i]));
	for (u64 g = 0; g < 4096; g++) {
		unsigned attributes = 0;
		u64 stamp = 0;

		memory_attr_get(mem, gfn(g), &attributes, &stamp);
		add(attributes | stamp << 4);
	}
	for (u32 i = 0; i < vm->vcpu_limit; i++) {
		add(vm->vcpus[i] != NULL);
		if (vm->vcpus[i])
			add_vcpu(vm->vcpus[i]);
	}
}

u64 machine_digest(void)
{
	digest = 0xcbf29ce484222325ul;
	for (u64 p = 0; p < fake_root_end(); p++) {
		struct frame frame = frame_get(pfn(p));

		add(frame.state);
		add(frame.level);
		add(frame.owner);
		add(frame.arg);
	}
	for (u64 id = 1; id < SEPTUM_MAX_POOLS; id++) {
		struct pool *pool = pool_by_id(id);

		add(pool != NULL);
		if (pool) {
			add(pool_free_count(pool));
			add(pool_total_count(pool));
		}
	}
	for (u64 id = 1; id < SEPTUM_MAX_VMS; id++) {
		struct vm *vm = vm_by_id(id, true);

		add(vm != NULL);
		if (vm)
			add_vm(vm);
	}
	add(fake_objects);
	return digest;
}

void machine_start(void)
{
	static bool started;
	u64 end;

	if (started)
		return;
	started = true;
	fake_start(machine_pages, &nested_format_npt);
	end = fake_root_end();
	vm_reserve_root();
	memory_claim(hpa(fake_root_end() * PAGE_SIZE), (end - fake_root_end()) * PAGE_SIZE);
	vm_create_root(0x100000, 0x200000, 0x300000, 0x400000);
	objects_at_start = fake_objects;
}
