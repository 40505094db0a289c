/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots, prefault, pools, and the end of a VM at every stage. */
#include "guests/testman/testman.h"

#define OTHER	    0x2000000ul
#define OTHER_PAGES 512ul
#define GFN(gpa)    ((gpa) / PAGE_SIZE)
#define PFN(p)	    ((u64)(p) / PAGE_SIZE)

static u8 *other; /* root frames behind the second slot */

static bool add_other(u64 flags)
{
	struct reply r;

	if (!other)
		other = memory_take(OTHER_PAGES * PAGE_SIZE, LARGE_SIZE);
	r = septum(SEPTUM_CALL_SLOT_ADD, test.vm.id, GFN(OTHER), OTHER_PAGES,
		   flags & SEPTUM_SLOT_SHARED ? PFN(other) : 0, flags);
	test.status = r.status;
	CHECK_OR_FALSE(r.status == SEPTUM_OK);
	test.step_answer = (u32)r.value;
	return true;
}

/* A guest that reads a private page of a second slot with this backing. */
static bool reader(u64 slot_flags, u64 *slot)
{
	struct build build = build_sw;

	other = NULL;
	build.flags = SEPTUM_VM_DISCARD;
	if (!guest_prepare(&build, "read_other") || !add_other(slot_flags))
		return false;
	*slot = test.step_answer;
	test.step_answer = 0;
	CHECK_OR_FALSE(
		GIVES(OK, SEPTUM_CALL_ATTR_SET, test.vm.id, GFN(OTHER), OTHER_PAGES, ATTR_PRIVATE));
	CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	return true;
}

static bool expect_no_slot(struct septum_event *e)
{
	u32 access = SEPTUM_EVENT_READ | SEPTUM_EVENT_WRITE | SEPTUM_EVENT_PRIVATE;

	CHECK_OR_FALSE(next(e));
	CHECK_OR_FALSE(e->type == SEPTUM_EVENT_MEMORY_FAULT && e->gpa == OTHER + 0x18);
	CHECK_OR_FALSE((e->flags & access) == (SEPTUM_EVENT_READ | SEPTUM_EVENT_PRIVATE));
	CHECK_OR_FALSE((e->flags & SEPTUM_EVENT_NO_SLOT) && e->size == PAGE_SIZE);
	return true;
}

SCENARIO_QUICK(a_private_page_whose_slot_is_removed)
{
	struct septum_event e;
	u64 slot;

	if (!reader(SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE, &slot))
		return;
	CHECK(expect_step(0) && expect_step(0));
	CHECK(GIVES(OK, SEPTUM_CALL_SLOT_REMOVE, test.vm.id, slot));
	if (!expect_no_slot(&e))
		return;
	CHECK(convert(&e, OTHER, PAGE_SIZE, true) == SEPTUM_E_VERDICT);
	CHECK(verdict(&e, SEPTUM_VERDICT_RETRY, 0) == SEPTUM_E_NO_PROGRESS);
	CHECK(add_other(SEPTUM_SLOT_PRIVATE));
	test.step_answer = 0;
	CHECK(verdict(&e, SEPTUM_VERDICT_RETRY, 0) == SEPTUM_OK);
	CHECK(expect_step(0));
}

SCENARIO(a_private_page_without_private_backing)
{
	struct septum_event e;
	u64 slot;

	if (!reader(SEPTUM_SLOT_SHARED, &slot) || !expect_no_slot(&e))
		return;
	CHECK(verdict(&e, SEPTUM_VERDICT_INJECT, 0) == SEPTUM_OK);
	/* The body expects no machine check. */
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_IO && e.data[0] == PORT_EXIT);
	CHECK(test.guest_line == 0x10000 + VECTOR_MC);
}

SCENARIO(slots_removed_and_made_again_under_use)
{
	struct build build = build_plain;
	struct septum_event e;
	u64 slot;

	other = NULL;
	CHECK(guest_prepare(&build, "read_other") && add_other(SEPTUM_SLOT_SHARED));
	slot = test.step_answer;
	test.step_answer = 0;
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(expect_step(0));
	*(u32 *)(void *)(other + 0x18) = 1234;
	CHECK(expect_step(1234));
	CHECK(GIVES(OK, SEPTUM_CALL_SLOT_REMOVE, test.vm.id, slot));
	CHECK(GIVES(E_NO_SLOT, SEPTUM_CALL_SLOT_REMOVE, test.vm.id, slot));
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_MMIO && e.gpa == OTHER + 0x18 && e.size == 8 &&
	      !(e.flags & SEPTUM_EVENT_WRITE));
	CHECK(verdict(&e, SEPTUM_VERDICT_COMPLETE, 4321) == SEPTUM_OK);
	CHECK(expect_step(4321));
	CHECK(add_other(SEPTUM_SLOT_SHARED));
	test.step_answer = 0;
	CHECK(expect_step(1234));
	CHECK(GIVES(OK, SEPTUM_CALL_SLOT_REMOVE, test.vm.id, test.vm.slot));
	/* Not even code is left: that cannot go on, but it does not hang either. */
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_FAILED || e.type == SEPTUM_EVENT_MMIO ||
	      e.type == SEPTUM_EVENT_MEMORY_FAULT);
}

SCENARIO(bad_slots_are_refused)
{
	u64 pages = GFN(TEST_MEMORY);
	u64 shared = SEPTUM_SLOT_SHARED;
	u64 vm;
	u64 pfn;

	CHECK(guest_prepare(&build_sw, "pass"));
	vm = test.vm.id;
	pfn = PFN(test.vm.ram);
	CHECK(GIVES(E_EXISTS, SEPTUM_CALL_SLOT_ADD, vm, 0, 1, pfn, shared));
	CHECK(GIVES(E_EXISTS, SEPTUM_CALL_SLOT_ADD, vm, pages - 1, 2, pfn, shared));
	CHECK(GIVES(E_RANGE, SEPTUM_CALL_SLOT_ADD, vm, pages, 0, pfn, shared));
	CHECK(GIVES(E_RANGE, SEPTUM_CALL_SLOT_ADD, vm, pages, ~0ul, pfn, shared));
	CHECK(GIVES(E_RANGE, SEPTUM_CALL_SLOT_ADD, vm, ~0ul, 1, pfn, shared));
	CHECK(GIVES(E_ARG, SEPTUM_CALL_SLOT_ADD, vm, pages, 1, pfn, 0));
	CHECK(GIVES(E_ARG, SEPTUM_CALL_SLOT_ADD, vm, pages, 1, pfn, 1ul << 40 | shared));
	CHECK(GIVES(E_ARG, SEPTUM_CALL_SLOT_ADD, vm, pages, 1, pfn,
		    SEPTUM_SLOT_INPLACE | SEPTUM_SLOT_PRIVATE));
	CHECK(GIVES(E_ARG, SEPTUM_CALL_SLOT_ADD, vm, pages, 1, pfn, SEPTUM_SLOT_PRIVATE));
	CHECK(GIVES(E_NOT_ROOT, SEPTUM_CALL_SLOT_ADD, vm, pages, 1, PFN(test.pool.memory[0]),
		    shared));
	CHECK(!GIVES(OK, SEPTUM_CALL_SLOT_ADD, vm, pages, 1, ~0ul >> 12, shared));
	CHECK(GIVES(E_NO_SLOT, SEPTUM_CALL_SLOT_REMOVE, vm, SEPTUM_MAX_SLOTS));
	CHECK(GIVES(E_NO_SLOT, SEPTUM_CALL_SLOT_REMOVE, vm, ~0ul));
	for (u64 i = 1; i < SEPTUM_MAX_SLOTS; i++)
		CHECK(GIVES(OK, SEPTUM_CALL_SLOT_ADD, vm, pages + 2 * i, 1, pfn + i, shared));
	CHECK(GIVES(E_LIMIT, SEPTUM_CALL_SLOT_ADD, vm, 4 * pages, 1, pfn, shared));
	/* What stands behind a slot is not to be donated. */
	CHECK(GIVES(E_NOT_ROOT, SEPTUM_CALL_POOL_DONATE, test.pool.id, pfn, 512));
	CHECK(GIVES(E_NOT_ROOT, SEPTUM_CALL_POOL_DONATE, test.pool.id, PFN(test.vm.ring) & ~511ul,
		    512));
}

SCENARIO(a_guest_without_memory_does_not_hang)
{
	struct septum_event e;

	CHECK(pool_add(2));
	test.vm.type = SEPTUM_SW_PROTECTED;
	test.vm.vcpus = 1;
	test.vm.shared_bit = 0;
	CHECK((test.status = vm_create(&test.vm, 0).status) == SEPTUM_OK);
	CHECK(GIVES(OK, SEPTUM_CALL_VCPU_CREATE, test.vm.id, 0));
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_FAILED || e.type == SEPTUM_EVENT_MMIO ||
	      e.type == SEPTUM_EVENT_MEMORY_FAULT);
	CHECK(verdict(&e, SEPTUM_VERDICT_KILL, 0) == SEPTUM_OK);
}

SCENARIO_QUICK(prefault_maps_before_the_guest_looks)
{
	u64 end = GFN(TEST_MEMORY);
	struct reply r;
	u64 faults;
	u64 vm;

	CHECK(guest_begin(&build_sw, "prefaulted"));
	CHECK(expect_step(1));
	vm = test.vm.id;
	CHECK(GIVES(E_RANGE, SEPTUM_CALL_PREFAULT, vm, GFN(0x800000), 0));
	CHECK(GIVES(E_RANGE, SEPTUM_CALL_PREFAULT, vm, ~0ul, 2));
	r = septum(SEPTUM_CALL_PREFAULT, vm, GFN(0x800000), 512);
	CHECK(r.status == SEPTUM_OK && r.value == 512);
	faults = vm_counter(&test.vm, SEPTUM_COUNTER_EXIT_NESTED_FAULT);
	CHECK(expect_step(2));
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_EXIT_NESTED_FAULT) == faults);
	r = septum(SEPTUM_CALL_PREFAULT, vm, end - 2, 3);
	CHECK(r.status == SEPTUM_E_NO_SLOT && r.value == 2);
	r = septum(SEPTUM_CALL_PREFAULT, vm, end, 1);
	CHECK(r.status == SEPTUM_E_NO_SLOT && r.value == 0);
	/* Shared pages too. */
	CHECK(expect_end());
	CHECK(vm_destroy(&test.vm).status == SEPTUM_OK);
	test.vm.id = 0;
	CHECK(guest_begin(&build_plain, "pass"));
	r = septum(SEPTUM_CALL_PREFAULT, test.vm.id, GFN(0x800000), 512);
	CHECK(r.status == SEPTUM_OK && r.value == 512);
}

static void starve(const char *body, u64 blocks)
{
	struct septum_event e;
	u32 times = 0;

	CHECK(pool_add(blocks));
	CHECK(guest_begin(&build_sw, body));
	test.serve_conversions = true;
	for (;;) {
		CHECK(next(&e));
		if (e.type != SEPTUM_EVENT_POOL_EMPTY)
			break;
		CHECK(e.data[0] > 0 && ++times < TEST_POOLS_MAX);
		CHECK(verdict(&e, SEPTUM_VERDICT_RETRY, 0) == SEPTUM_E_NO_PROGRESS);
		CHECK(verdict(&e, SEPTUM_VERDICT_INJECT, 0) == SEPTUM_E_VERDICT);
		CHECK(pool_add(2));
		CHECK(verdict(&e, SEPTUM_VERDICT_RETRY, 0) == SEPTUM_OK);
	}
	CHECK(e.type == SEPTUM_EVENT_IO && e.data[0] == PORT_EXIT && e.data[1] == 0);
	CHECK(times > 0 && vm_counter(&test.vm, SEPTUM_COUNTER_POOL_EMPTY) >= times);
}

SCENARIO_QUICK(an_empty_pool_is_refilled)
{
	starve("touch_much", 3);
}

SCENARIO(an_empty_pool_is_refilled_page_by_page)
{
	starve("touch_spread", 2);
}

SCENARIO(a_pool_too_small_for_anything)
{
	struct reply r;
	u64 vms[SEPTUM_MAX_VMS] = {0};
	u32 count = 0;

	CHECK(pool_add(1));
	test.vm.type = SEPTUM_SW_PROTECTED;
	test.vm.vcpus = 1;
	for (; count < SEPTUM_MAX_VMS; count++) {
		r = vm_create(&test.vm, 0);
		if (r.status != SEPTUM_OK)
			break;
		vms[count] = test.vm.id;
	}
	test.status = r.status;
	CHECK(r.status == SEPTUM_E_POOL_EMPTY || r.status == SEPTUM_E_LIMIT);
	CHECK(count > 0);
	CHECK(GIVES(E_BUSY, SEPTUM_CALL_POOL_DESTROY, test.pool.id));
	while (count--) {
		test.vm.id = vms[count];
		CHECK((test.status = vm_destroy(&test.vm).status) == SEPTUM_OK);
	}
	CHECK(GIVES(E_NO_VM, SEPTUM_CALL_VM_DESTROY, test.vm.id));
	test.vm.id = 0;
}

SCENARIO(bad_donations_are_refused)
{
	u8 *memory = memory_take(4 * LARGE_SIZE, LARGE_SIZE);
	u64 pool;

	CHECK(pool_add(1));
	pool = test.pool.id;
	CHECK(GIVES(E_ALIGN, SEPTUM_CALL_POOL_DONATE, pool, PFN(memory) + 1, 512));
	CHECK(GIVES(E_ALIGN, SEPTUM_CALL_POOL_DONATE, pool, PFN(memory), 511));
	CHECK(GIVES(E_RANGE, SEPTUM_CALL_POOL_DONATE, pool, PFN(memory), 0));
	CHECK(GIVES(E_RANGE, SEPTUM_CALL_POOL_DONATE, pool, PFN(memory), 512ul * 65));
	CHECK(!GIVES(OK, SEPTUM_CALL_POOL_DONATE, pool, ~511ul, 512));
	CHECK(GIVES(E_NO_POOL, SEPTUM_CALL_POOL_DONATE, SEPTUM_MAX_POOLS, PFN(memory), 512));
	CHECK(GIVES(E_NO_POOL, SEPTUM_CALL_POOL_DONATE, 0, PFN(memory), 512));
	CHECK(GIVES(E_NOT_ROOT, SEPTUM_CALL_POOL_DONATE, pool, PFN(test.pool.memory[0]), 512));
	/* The range reaches into what is a pool's already: nothing of it changes hands. */
	CHECK(test.pool.memory[0] == memory + 4 * LARGE_SIZE);
	CHECK(GIVES(E_NOT_ROOT, SEPTUM_CALL_POOL_DONATE, pool, PFN(memory) + 3 * 512, 2 * 512));
	memory += 3 * LARGE_SIZE;
	memory[0] = 1;
	CHECK(memory[0] == 1);
}

/* ---- the end of a VM, at each stage of its life */

enum stage {
	STAGE_CREATED,
	STAGE_LOADED,
	STAGE_STARTED,
	STAGE_STEP,	/* an event is outstanding and consumed */
	STAGE_UNTAKEN,	/* .. and not yet consumed */
	STAGE_ANSWERED, /* .. and answered, but RUN has not been called */
	STAGE_IMPLICIT,
	STAGE_DEAD,
	STAGE_INPLACE,
	STAGE_COUNT,
};

static bool reach(enum stage stage)
{
	struct build build = build_sw_bit;
	struct septum_event e;

	if (stage == STAGE_CREATED) {
		CHECK_OR_FALSE(pool_add(4));
		test.vm.type = SEPTUM_SW_PROTECTED;
		test.vm.vcpus = 1;
		CHECK_OR_FALSE((test.status = vm_create(&test.vm, 0).status) == SEPTUM_OK);
		return true;
	}
	if (stage == STAGE_INPLACE)
		build.backing = BACKING_INPLACE;
	if (!guest_prepare(&build, stage == STAGE_INPLACE ? "inplace" : "implicit_page"))
		return false;
	if (stage == STAGE_LOADED)
		return true;
	CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	if (stage == STAGE_STARTED)
		return true;
	if (stage == STAGE_UNTAKEN) {
		vm_run(&test.vm, SEPTUM_ALL);
		return true;
	}
	CHECK_OR_FALSE(expect_step(1));
	if (stage == STAGE_INPLACE) {
		test.serve_conversions = true;
		CHECK_OR_FALSE(expect_step(2));
	}
	if (stage < STAGE_IMPLICIT || stage == STAGE_INPLACE)
		return true;
	CHECK_OR_FALSE(next(&e) && e.type == SEPTUM_EVENT_MEMORY_FAULT);
	if (stage == STAGE_DEAD)
		CHECK_OR_FALSE(verdict(&e, SEPTUM_VERDICT_KILL, 0) == SEPTUM_OK);
	return true;
}

SCENARIO_QUICK(a_vm_can_be_destroyed_at_every_stage)
{
	u64 mark = memory_mark();

	for (u32 stage = 0; stage < STAGE_COUNT; stage++) {
		bool reached = reach((enum stage)stage);

		if (!reached)
			print("     stage %u\n", stage);
		if (stage == STAGE_ANSWERED) {
			struct septum_completion c = {
				.seq = test.step[0].event.seq,
				.verdict = SEPTUM_VERDICT_COMPLETE,
			};

			completion_put(&test.vm, &c);
		}
		CHECK(reached && world_clean());
		memory_release(mark);
	}
}
