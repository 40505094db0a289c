/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile manager: every call with every kind of bad argument, in every state of a VM, and
 * rubbish in the rings while a guest runs. Septum must refuse with a reason, change nothing, and
 * stay whole.
 *
 * These are scenarios of the test manager; each ends with its audit and frame count.
 */
#include "guests/testman/testman.h"

#define PFN(p) ((u64)(p) / PAGE_SIZE)

static const u64 calls[] = {
	SEPTUM_CALL_VERSION,	    SEPTUM_CALL_INFO,	      SEPTUM_CALL_POOL_CREATE,
	SEPTUM_CALL_POOL_DONATE,    SEPTUM_CALL_POOL_RECLAIM, SEPTUM_CALL_POOL_DESTROY,
	SEPTUM_CALL_POOL_INFO,	    SEPTUM_CALL_VM_CREATE,    SEPTUM_CALL_VM_DESTROY,
	SEPTUM_CALL_VM_START,	    SEPTUM_CALL_VM_COUNTER,   SEPTUM_CALL_SLOT_ADD,
	SEPTUM_CALL_SLOT_REMOVE,    SEPTUM_CALL_ATTR_SET,     SEPTUM_CALL_ATTR_GET,
	SEPTUM_CALL_MEM_LOAD,	    SEPTUM_CALL_MEM_DISCARD,  SEPTUM_CALL_PREFAULT,
	SEPTUM_CALL_VCPU_CREATE,    SEPTUM_CALL_VCPU_SET,     SEPTUM_CALL_VCPU_INFO,
	SEPTUM_CALL_VCPU_INTERRUPT, SEPTUM_CALL_RUN,	      SEPTUM_CALL_TRACE_READ,
};

static const u64 evil[] = {
	~0ul,	      ~0ul >> 12,   1ul << 63,	1ul << 52, 1ul << 51, 1ul << 40,
	0x80000000ul, 0xfffffffful, 0x100000ul, 64,	   4097,
};

static u64 random_state;

static u64 random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* What the VM looks like from outside; must be the same after a refused call. */
struct view {
	u64 pool, private, shared, frames, attr, vcpu;
};

static struct view look(void)
{
	u64 vm = test.vm.id;

	return (struct view){
		septum(SEPTUM_CALL_POOL_INFO, test.pool.id).value,
		vm_counter(&test.vm, SEPTUM_COUNTER_PAGES_PRIVATE),
		vm_counter(&test.vm, SEPTUM_COUNTER_PAGES_SHARED),
		vm_counter(&test.vm, SEPTUM_COUNTER_FRAMES_HELD),
		septum(SEPTUM_CALL_ATTR_GET, vm, 0x100).value,
		septum(SEPTUM_CALL_VCPU_INFO, vm, 0).value,
	};
}

static bool same(const struct view *a)
{
	struct view b = look();

	return memcmp(a, &b, sizeof(b)) == 0;
}

/* Each call with ids that name nothing. */
static bool bad_ids(void)
{
	static const u64 of_vm[] = {
		SEPTUM_CALL_VM_DESTROY,	 SEPTUM_CALL_VM_START,	     SEPTUM_CALL_VM_COUNTER,
		SEPTUM_CALL_SLOT_ADD,	 SEPTUM_CALL_SLOT_REMOVE,    SEPTUM_CALL_ATTR_SET,
		SEPTUM_CALL_ATTR_GET,	 SEPTUM_CALL_MEM_LOAD,	     SEPTUM_CALL_MEM_DISCARD,
		SEPTUM_CALL_PREFAULT,	 SEPTUM_CALL_VCPU_CREATE,    SEPTUM_CALL_VCPU_SET,
		SEPTUM_CALL_VCPU_INFO,	 SEPTUM_CALL_VCPU_INTERRUPT, SEPTUM_CALL_RUN,
		SEPTUM_CALL_VCPU_DETACH, SEPTUM_CALL_VCPU_ATTACH,    SEPTUM_CALL_DOORBELL,
		SEPTUM_CALL_VM_ADOPT,
	};
	static const u64 of_pool[] = {
		SEPTUM_CALL_POOL_DONATE,
		SEPTUM_CALL_POOL_RECLAIM,
		SEPTUM_CALL_POOL_DESTROY,
		SEPTUM_CALL_POOL_INFO,
	};
	static const u64 of_vcpu[] = {
		SEPTUM_CALL_VCPU_INFO,	 SEPTUM_CALL_VCPU_INTERRUPT, SEPTUM_CALL_RUN,
		SEPTUM_CALL_VCPU_DETACH, SEPTUM_CALL_VCPU_ATTACH,
	};
	static const u64 ids[] = {0, 63, 64, 255, 1ul << 32, ~0ul};

	for (u32 i = 0; i < ARRAY_COUNT(ids); i++) {
		for (u32 c = 0; c < ARRAY_COUNT(of_vm); c++) {
			struct reply r;

			/* VM 0 has counters. */
			if (ids[i] == 0 && of_vm[c] == SEPTUM_CALL_VM_COUNTER)
				continue;
			r = septum(of_vm[c], ids[i], 0, 1, 0, 1);
			test.status = r.status;
			CHECK_OR_FALSE(r.status == SEPTUM_E_NO_VM && r.argument == 1);
		}
		for (u32 c = 0; c < ARRAY_COUNT(of_pool); c++)
			CHECK_OR_FALSE(GIVES(E_NO_POOL, of_pool[c], ids[i], 0, 512));
	}
	for (u32 i = 2; i < 5; i++)
		for (u32 c = 0; c < ARRAY_COUNT(of_vcpu); c++)
			CHECK_OR_FALSE(GIVES(E_NO_VCPU, of_vcpu[c], test.vm.id, ids[i], 0x40));
	return true;
}

static bool bad_calls(void)
{
	static const u64 none[] = {3, 7, 13, 15, 20, 23, 31, 47, 62, 63, 64, 1000, 1ul << 32, ~0ul};

	for (u32 i = 0; i < ARRAY_COUNT(none); i++)
		CHECK_OR_FALSE(GIVES(E_CALL, none[i], 1, 1, 1));
	CHECK_OR_FALSE(GIVES(E_VERSION, SEPTUM_CALL_VERSION, 2u << 16));
	CHECK_OR_FALSE(GIVES(E_VERSION, SEPTUM_CALL_VERSION, SEPTUM_ABI_VERSION + 1));
	CHECK_OR_FALSE(GIVES(E_ARG, SEPTUM_CALL_INFO, 99));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_CONSOLE, 0));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_CONSOLE, 33));
	CHECK_OR_FALSE(GIVES(E_ARG, SEPTUM_CALL_VM_COUNTER, test.vm.id, SEPTUM_ALL, 99));
	return true;
}

static bool bad_vms(void)
{
	u64 sw = SEPTUM_SW_PROTECTED;
	u64 pool = test.pool.id;
	u64 ring = PFN(memory_take(8 * PAGE_SIZE, PAGE_SIZE));
	u64 bit = build_sw_bit.shared_bit;

	CHECK_OR_FALSE(GIVES(E_ARG, SEPTUM_CALL_VM_CREATE, 0, 0, pool, 1, 0, ring));
	CHECK_OR_FALSE(GIVES(E_ARG, SEPTUM_CALL_VM_CREATE, 7, 0, pool, 1, 0, ring));
	for (u64 type = SEPTUM_SEV; type <= SEPTUM_TDX; type++)
		CHECK_OR_FALSE(
			GIVES(E_UNSUPPORTED, SEPTUM_CALL_VM_CREATE, type, 0, pool, 1, 0, ring));
	CHECK_OR_FALSE(GIVES(E_ARG, SEPTUM_CALL_VM_CREATE, sw, 4, pool, 1, 0, ring));
	CHECK_OR_FALSE(GIVES(E_NO_POOL, SEPTUM_CALL_VM_CREATE, sw, 0, 31, 1, 0, ring));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_VM_CREATE, sw, 0, pool, 0, 0, ring));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_VM_CREATE, sw, 0, pool, 65, 0, ring));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_VM_CREATE, sw, 0, pool, 1, 12, ring));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_VM_CREATE, sw, 0, pool, 1, bit + 1, ring));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_VM_CREATE, SEPTUM_PLAIN, 0, pool, 1, bit, ring));
	CHECK_OR_FALSE(GIVES(E_NOT_ROOT, SEPTUM_CALL_VM_CREATE, sw, 0, pool, 1, 0,
			     PFN(test.pool.memory[0])));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_VM_CREATE, sw, 0, pool, 1, 0, ~0ul));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_VM_CREATE, sw, 0, pool, 1, 0, 0xfee00));
	return true;
}

static bool bad_ranges(void)
{
	static const struct {
		u64 gfn, count;
	} ranges[] = {{0, 0}, {~0ul, 1}, {~0ul, 2}, {1, ~0ul}, {0, 1ul << 52}, {1ul << 51, 1}};
	u64 vm = test.vm.id;
	u64 pfn = PFN(test.vm.ram);

	for (u32 i = 0; i < ARRAY_COUNT(ranges); i++) {
		u64 gfn = ranges[i].gfn;
		u64 count = ranges[i].count;

		CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_SLOT_ADD, vm, gfn, count, pfn, 1));
		CHECK_OR_FALSE(GIVES(E_RANGE, SEPTUM_CALL_ATTR_SET, vm, gfn, count, ATTR_RWX));
		CHECK_OR_FALSE(GIVES(E_RANGE, SEPTUM_CALL_PREFAULT, vm, gfn, count));
		CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_MEM_LOAD, vm, gfn, count, pfn));
		CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_MEM_DISCARD, vm, gfn, count));
	}
	CHECK_OR_FALSE(GIVES(E_RANGE, SEPTUM_CALL_ATTR_GET, vm, ~0ul));
	CHECK_OR_FALSE(GIVES(E_ARG, SEPTUM_CALL_ATTR_SET, vm, 0x400, 1, 1ul << 4));
	CHECK_OR_FALSE(GIVES(E_ARG, SEPTUM_CALL_ATTR_SET, vm, 0x400, 1, ~0ul));
	CHECK_OR_FALSE(GIVES(E_ARG, SEPTUM_CALL_ATTR_SET, vm, 0x400, 1, SEPTUM_ATTR_WRITE));
	CHECK_OR_FALSE(!GIVES(OK, SEPTUM_CALL_MEM_LOAD, vm, 0x400, 513, pfn));
	return true;
}

SCENARIO_QUICK(hostile_arguments_are_refused_and_change_nothing)
{
	struct view before;

	CHECK(guest_begin(&build_sw_bit, "implicit_page"));
	CHECK(expect_step(1));
	before = look();
	if (!bad_ids() || !bad_calls() || !bad_vms() || !bad_ranges())
		return;
	CHECK(same(&before));
	CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
	test.serve_conversions = true;
	CHECK(expect_step(2) && expect_step(3) && expect_end());
}

/* Rubbish in all arguments, with what is real mixed in, in a VM that is being built and then runs.
 * Whatever Septum grants, it must stay whole. */
SCENARIO_QUICK(hostile_rubbish_leaves_septum_whole)
{
	u64 real[8];
	u64 mark_refused = 0;

	random_state = 0x9e3779b97f4a7c15ul;
	CHECK(guest_prepare(&build_sw_bit, "implicit_page"));
	real[0] = test.vm.id;
	real[1] = test.pool.id;
	real[2] = 0;
	real[3] = 1;
	real[4] = 512;
	real[5] = 0x100;
	real[6] = PFN(test.vm.ram);
	real[7] = PFN(test.pool.memory[0]);
	for (u32 i = 0; i < 3000; i++) {
		u64 a[6];
		u64 call = calls[random() % ARRAY_COUNT(calls)];
		struct reply r;

		for (u32 n = 0; n < 6; n++) {
			u64 dice = random();

			a[n] = dice % 3 ? real[dice / 3 % 8] : evil[dice / 3 % ARRAY_COUNT(evil)];
			if (dice % 16 == 15)
				a[n] = random();
		}
		/* Frames that this program itself lives on would be given away with its consent. */
		if (call == SEPTUM_CALL_POOL_CREATE || call == SEPTUM_CALL_POOL_DONATE ||
		    call == SEPTUM_CALL_POOL_RECLAIM || call == SEPTUM_CALL_TRACE_READ ||
		    call == SEPTUM_CALL_VM_CREATE || call == SEPTUM_CALL_SLOT_ADD) {
			a[1] = evil[random() % 6];
			if (call == SEPTUM_CALL_POOL_CREATE || call == SEPTUM_CALL_POOL_RECLAIM)
				continue;
			if (call == SEPTUM_CALL_VM_CREATE)
				a[0] = evil[random() % 6];
			if (call == SEPTUM_CALL_TRACE_READ)
				a[0] = real[7];
		}
		if (call == SEPTUM_CALL_VM_DESTROY && a[0] == test.vm.id)
			a[0] = ~0ul;
		r = septum_call(call, a);
		mark_refused += r.status != SEPTUM_OK;
		test.status = r.status;
		CHECK(r.status <= SEPTUM_E_FIRMWARE && r.argument <= 6);
		if (i % 256 == 0)
			CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
	}
	CHECK(mark_refused > 1000);
}

/* ---- rings */

/* A guest in step 1 of implicit_page, and rubbish in its completion ring. */
SCENARIO(hostile_completions_are_refused)
{
	struct septum_completion c = {0};
	struct septum_event e;
	struct view before;

	CHECK(guest_begin(&build_sw_bit, "implicit_page"));
	CHECK(expect_step(1));
	CHECK(next(&e));
	before = look();
	c.seq = e.seq + 1; /* an event to come */
	c.verdict = SEPTUM_VERDICT_CONVERT;
	CHECK(answer_with(&c) == SEPTUM_E_NO_EVENT);
	c.seq = e.seq - 1; /* an event that has been answered */
	CHECK(answer_with(&c) == SEPTUM_E_NO_EVENT);
	c.seq = 0;
	CHECK(answer_with(&c) == SEPTUM_E_NO_EVENT);
	c.seq = e.seq;
	c.vcpu = 5;
	CHECK(GIVES(OK, SEPTUM_CALL_RUN, test.vm.id, 0));
	{
		u32 slot = completion_put(&test.vm, &c);

		CHECK(GIVES(OK, SEPTUM_CALL_RUN, test.vm.id, 0));
		CHECK(completion_status(&test.vm, slot) == SEPTUM_E_NO_VCPU ||
		      completion_status(&test.vm, slot) == SEPTUM_E_NO_EVENT);
	}
	c.vcpu = 0;
	c.verdict = 0;
	CHECK(answer_with(&c) == SEPTUM_E_VERDICT);
	c.verdict = 0xffff;
	CHECK(answer_with(&c) == SEPTUM_E_VERDICT);
	c.verdict = SEPTUM_VERDICT_RETRY;
	c.flags = 1;
	CHECK(answer_with(&c) == SEPTUM_E_ARG);
	c.flags = 0;
	c.verdict = SEPTUM_VERDICT_CONVERT;
	c.gpa = e.gpa & ~(PAGE_SIZE - 1);
	c.size = PAGE_SIZE;
	c.flags = ~0u;
	CHECK(answer_with(&c) == SEPTUM_E_ARG);
	c.flags = 0;
	c.reserved[1] = 1;
	CHECK(answer_with(&c) == SEPTUM_E_ARG);
	c.reserved[1] = 0;
	CHECK(same(&before));
	CHECK(answer_with(&c) == SEPTUM_OK);
	test.serve_conversions = true;
	CHECK(expect_step(2) && expect_step(3) && expect_end());
}

/* A verdict for an event that has not been taken from the ring. */
SCENARIO(a_verdict_before_its_event_is_refused)
{
	struct septum_completion c = {.verdict = SEPTUM_VERDICT_COMPLETE};
	const volatile struct septum_event *e;

	CHECK(guest_begin(&build_sw_bit, "pass"));
	vm_run(&test.vm, SEPTUM_ALL);
	e = &test.vm.events[test.vm.event_tail % SEPTUM_RING_ENTRIES];
	c.seq = e->seq;
	CHECK(answer_with(&c) == SEPTUM_E_NO_EVENT);
	CHECK(expect_step(1) && expect_end());
}

/* All fields of events and payloads overwritten, and Septum's own indices: it does not read them.
 */
SCENARIO(hostile_writes_to_septums_side_are_ignored)
{
	volatile u8 *ring = (volatile u8 *)test.vm.ring;
	struct septum_event e;

	CHECK(guest_begin(&build_sw_bit, "implicit_page"));
	ring = (volatile u8 *)test.vm.ring;
	test.serve_conversions = false;
	for (;;) {
		u32 head = test.vm.ring->event_head;
		u32 tail = test.vm.ring->completion_tail;

		CHECK(next(&e));
		for (u32 i = 0; i < 64; i++)
			ring[PAGE_SIZE + i * 64 + i % 64] = (u8)(i * 37);
		memset((void *)(ring + 3 * PAGE_SIZE), 0xff, PAGE_SIZE + SEPTUM_PAYLOAD_BYTES);
		test.vm.ring->magic = 0;
		test.vm.ring->vcpus = ~0u;
		test.vm.ring->log_head = ~0u;
		test.vm.ring->event_head = head + 1000;
		test.vm.ring->completion_tail = tail - 1000;
		if (e.type == SEPTUM_EVENT_IO && e.data[0] == PORT_EXIT)
			break;
		if (e.type == SEPTUM_EVENT_IO)
			CHECK(verdict(&e, SEPTUM_VERDICT_COMPLETE, 0) == SEPTUM_OK);
		else
			CHECK(grant(&e) == SEPTUM_OK);
	}
	CHECK(e.data[1] == 0);
}

static void broken_by(void (*hurt)(volatile struct septum_ring *ring))
{
	struct septum_completion c = {.verdict = SEPTUM_VERDICT_COMPLETE};

	CHECK(guest_begin(&build_sw_bit, "implicit_page"));
	CHECK(expect_step(1));
	/* In itself a good answer to the event that is outstanding. */
	c.seq = test.step[0].event.seq;
	completion_put(&test.vm, &c);
	hurt(test.vm.ring);
	CHECK(GIVES(E_RING, SEPTUM_CALL_RUN, test.vm.id, SEPTUM_ALL));
	test.vm.ring->event_tail = test.vm.event_tail;
	test.vm.ring->completion_head = test.vm.completion_head;
	CHECK(GIVES(E_RING, SEPTUM_CALL_RUN, test.vm.id, 0)); /* for good */
	CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
}

static void head_too_far(volatile struct septum_ring *ring)
{
	ring->completion_head += 64;
}

static void head_backwards(volatile struct septum_ring *ring)
{
	ring->completion_head -= 2;
}

static void tail_too_far(volatile struct septum_ring *ring)
{
	ring->event_tail += 1;
}

static void tail_backwards(volatile struct septum_ring *ring)
{
	ring->event_tail -= 2; /* Septum has seen it at 1 */
}

SCENARIO(hostile_index_completion_head_too_far)
{
	broken_by(head_too_far);
}

SCENARIO(hostile_index_completion_head_backwards)
{
	broken_by(head_backwards);
}

SCENARIO(hostile_index_event_tail_too_far)
{
	broken_by(tail_too_far);
}

SCENARIO(hostile_index_event_tail_backwards)
{
	broken_by(tail_backwards);
}

/* Rubbish everywhere in the manager's part of the ring, again and again. */
SCENARIO_QUICK(hostile_rings_full_of_rubbish)
{
	u64 mark = memory_mark();

	random_state = 0x2545f4914f6cdd1dul;
	for (u32 round = 0; round < 12; round++) {
		volatile u64 *page;

		CHECK(guest_begin(&build_sw_bit, "implicit_page"));
		vm_run(&test.vm, SEPTUM_ALL);
		page = (volatile u64 *)test.vm.completions;
		for (u32 i = 0; i < 512; i++)
			page[i] = random() % 4 ? random() % 8 : random();
		test.vm.ring->event_tail = test.vm.ring->event_head;
		test.vm.ring->completion_head = round % 2 ? (u32)random() : (u32)(random() % 65);
		for (u32 i = 0; i < 4; i++) {
			test.status = septum(SEPTUM_CALL_RUN, test.vm.id, SEPTUM_ALL).status;
			CHECK(test.status == SEPTUM_OK || test.status == SEPTUM_E_RING);
		}
		CHECK(world_clean());
		memory_release(mark);
	}
}
