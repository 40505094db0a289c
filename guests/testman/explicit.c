/* SPDX-License-Identifier: BSD-2-Clause */
/* Conversions that the guest asks for. */
#include "guests/testman/testman.h"

#define AREA	   0x600000ul
#define AREA_BYTES (LARGE_SIZE + PAGE_SIZE)
#define RANGES	   5u

static const struct {
	u64 offset, size;
} ranges[RANGES] = {
	{0, PAGE_SIZE},		 {0, LARGE_SIZE},	  {PAGE_SIZE, PAGE_SIZE},
	{PAGE_SIZE, LARGE_SIZE}, {LARGE_SIZE, PAGE_SIZE},
};

/* The root's view of one range while the guest goes through its conversions. */
static bool watch_range(u64 offset, u64 size)
{
	u8 *at = ram_at(AREA + offset);

	CHECK_OR_FALSE(expect_step(2));
	CHECK_OR_FALSE(pages_hold(at, 0x11, size));
	CHECK_OR_FALSE(pages_hold(ram_at(AREA), 0xcc, offset));
	CHECK_OR_FALSE(expect_step(3));
	for (u64 page = 0; page < size; page += PAGE_SIZE) {
		CHECK_OR_FALSE(pages_hold(at + page, 0x11, PAGE_SIZE));
		if (page / PAGE_SIZE % 2)
			memset(at + page, 0x33, PAGE_SIZE);
	}
	CHECK_OR_FALSE(expect_step(4));
	CHECK_OR_FALSE(pages_hold(at, 0x33, size));
	memset(at, 0x44, size);
	return true;
}

static void ranges_of(const struct build *build)
{
	CHECK(guest_begin(build, "ranges"));
	test.serve_conversions = true;
	for (u32 i = 0; i < RANGES; i++) {
		CHECK(expect_step(1));
		CHECK(pages_hold(ram_at(AREA), 0xaa, AREA_BYTES));
		memset(ram_at(AREA), 0xcc, AREA_BYTES);
		if (!watch_range(ranges[i].offset, ranges[i].size))
			return;
	}
	CHECK(expect_end());
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_EXPLICIT_DONE) ==
	      vm_counter(&test.vm, SEPTUM_COUNTER_EXPLICIT_REQUESTS));
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_IMPLICIT_FORWARDED) == 0);
}

SCENARIO_QUICK(explicit_ranges_keep_two_contents)
{
	ranges_of(&build_sw);
}

SCENARIO(explicit_ranges_with_a_shared_bit)
{
	ranges_of(&build_sw_bit);
}

SCENARIO(discarded_pages_read_zero)
{
	struct build build = build_sw;
	u64 held;

	build.flags = SEPTUM_VM_DISCARD;
	CHECK(guest_begin(&build, "discard"));
	for (u32 round = 0; round < 2; round++) {
		CHECK(expect_step(round));
		held = vm_counter(&test.vm, SEPTUM_COUNTER_FRAMES_HELD);
		CHECK(GIVES(OK, SEPTUM_CALL_MEM_DISCARD, test.vm.id, AREA / PAGE_SIZE + 4, 8));
		CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_FRAMES_HELD) <= held - 8 + 1);
	}
	CHECK(expect_end());
}

SCENARIO(private_content_is_not_the_managers_to_discard)
{
	CHECK(guest_begin(&build_sw_bit, "secret"));
	CHECK(expect_step(1));
	CHECK(GIVES(E_POPULATED, SEPTUM_CALL_MEM_DISCARD, test.vm.id, AREA / PAGE_SIZE, 1));
	CHECK(GIVES(E_POPULATED, SEPTUM_CALL_SLOT_REMOVE, test.vm.id, test.vm.slot));
	CHECK(GIVES(E_POPULATED, SEPTUM_CALL_ATTR_SET, test.vm.id, AREA / PAGE_SIZE, 1, ATTR_RWX));
	CHECK(GIVES(E_STATE, SEPTUM_CALL_MEM_LOAD, test.vm.id, AREA / PAGE_SIZE, 1,
		    (u64)test.vm.ram / PAGE_SIZE));
	CHECK(expect_end());
}

SCENARIO(explicit_requests_are_answered_by_the_manager)
{
	struct septum_event e;
	u64 requests;

	CHECK(guest_begin(&build_sw, "explicit_answers"));
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_EXPLICIT && e.gpa == AREA && e.size == PAGE_SIZE);
	CHECK(!(e.flags & SEPTUM_EVENT_PRIVATE));
	CHECK(verdict(&e, SEPTUM_VERDICT_INJECT, 0) == SEPTUM_E_VERDICT);
	CHECK(verdict(&e, SEPTUM_VERDICT_RETRY, 0) == SEPTUM_E_VERDICT);
	CHECK(verdict(&e, SEPTUM_VERDICT_COMPLETE, 0) != SEPTUM_OK);
	CHECK(convert(&e, AREA, 2 * PAGE_SIZE, false) != SEPTUM_OK);
	CHECK(convert(&e, AREA, PAGE_SIZE, true) != SEPTUM_OK);
	CHECK(verdict(&e, SEPTUM_VERDICT_COMPLETE, (u64)-SEPTUM_KVM_EINVAL) == SEPTUM_OK);
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_EXPLICIT && e.gpa == AREA && e.size == 4 * PAGE_SIZE);
	CHECK(grant(&e) == SEPTUM_OK);
	CHECK(expect_step(1));
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_EXPLICIT && e.gpa == AREA - PAGE_SIZE && e.size == PAGE_SIZE);
	CHECK(grant(&e) == SEPTUM_OK);
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_EXPLICIT && e.gpa == AREA + 4 * PAGE_SIZE &&
	      e.size == PAGE_SIZE);
	CHECK(grant(&e) == SEPTUM_OK);
	CHECK(next(&e));
	CHECK(grant(&e) == SEPTUM_OK);
	CHECK(expect_step(2));
	CHECK(next(&e));
	CHECK(e.gpa == AREA && e.size == PAGE_SIZE && grant(&e) == SEPTUM_OK);
	CHECK(next(&e));
	CHECK(e.gpa == AREA + 2 * PAGE_SIZE && e.size == PAGE_SIZE);
	CHECK(verdict(&e, SEPTUM_VERDICT_COMPLETE, (u64)-SEPTUM_KVM_EOPNOTSUPP) == SEPTUM_OK);
	CHECK(expect_end());
	requests = vm_counter(&test.vm, SEPTUM_COUNTER_EXPLICIT_REQUESTS);
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_EXPLICIT_DONE) == requests - 2);
	CHECK(septum(SEPTUM_CALL_ATTR_GET, test.vm.id, AREA / PAGE_SIZE).value &
	      SEPTUM_ATTR_PRIVATE);
	CHECK(!(septum(SEPTUM_CALL_ATTR_GET, test.vm.id, AREA / PAGE_SIZE + 2).value &
		SEPTUM_ATTR_PRIVATE));
}

SCENARIO_QUICK(guest_calls_answer_as_kvms)
{
	CHECK(guest_begin(&build_sw, "guest_calls"));
	CHECK(expect_end());
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_EXPLICIT_DONE) == 0);
}

static void inplace_of(struct build build)
{
	u64 value;

	build.backing = BACKING_INPLACE;
	CHECK(guest_begin(&build, "inplace"));
	test.serve_conversions = true;
	CHECK(expect_step(1));
	CHECK(!probe_read(ram_at(AREA), &value) && trap_last.vector == VECTOR_GP);
	CHECK(expect_step(2));
	CHECK(*(volatile u64 *)(void *)ram_at(AREA) == 0x600d);
	*(volatile u64 *)(void *)ram_at(AREA) = 0x7007;
	CHECK(expect_step(3));
	CHECK(!probe_write(ram_at(AREA), 1) && trap_last.vector == VECTOR_GP);
	CHECK(expect_step(4));
	CHECK(pages_hold(ram_at(0x800000), 0x66, LARGE_SIZE));
	CHECK(expect_end());
	CHECK(test.conversions == 6);
	CHECK(vm_destroy(&test.vm).status == SEPTUM_OK);
	test.vm.id = 0;
	CHECK(filled_with(ram_at(0x100000), 0, PAGE_SIZE)); /* what was private is zeroed */
}

SCENARIO(inplace_pages_change_owner)
{
	inplace_of(build_sw);
}

SCENARIO_QUICK(inplace_pages_change_owner_with_a_shared_bit)
{
	inplace_of(build_sw_bit);
}
