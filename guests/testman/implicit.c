/* SPDX-License-Identifier: BSD-2-Clause */
/* Conversions by mere access: forwarded, and decided here. */
#include "guests/testman/testman.h"

#define BLOCK  0x800000ul
#define PAGE   (BLOCK + 37 * PAGE_SIZE)
#define TABLES 0xa00000ul

#define ACCESS (SEPTUM_EVENT_READ | SEPTUM_EVENT_WRITE | SEPTUM_EVENT_EXEC | SEPTUM_EVENT_PRIVATE)

static bool is_fault(const struct septum_event *e, u64 gpa, u32 access)
{
	return e->type == SEPTUM_EVENT_MEMORY_FAULT && e->gpa == gpa && e->size == PAGE_SIZE &&
	       (e->flags & ACCESS) == access && e->vm == test.vm.id &&
	       !(e->flags & (SEPTUM_EVENT_NO_SLOT | SEPTUM_EVENT_PERMISSION)) && e->seq;
}

static u64 count(enum septum_counter counter)
{
	return vm_counter(&test.vm, counter);
}

/* Runs to an explicit request, and grants it. */
static bool grant_explicit(u64 gpa, u64 size)
{
	struct septum_event e;

	CHECK_OR_FALSE(next(&e));
	CHECK_OR_FALSE(e.type == SEPTUM_EVENT_EXPLICIT && e.gpa == gpa && e.size == size);
	CHECK_OR_FALSE(grant(&e) == SEPTUM_OK);
	return true;
}

SCENARIO_QUICK(implicit_page_in_a_large_one)
{
	struct septum_event e;

	CHECK(guest_begin(&build_sw_bit, "implicit_page"));
	CHECK(expect_step(1));
	CHECK(count(SEPTUM_COUNTER_MAPPED_2M) > 0);
	memset(ram_at(PAGE), 0x99, PAGE_SIZE);
	CHECK(next(&e));
	CHECK(is_fault(&e, PAGE + 0x128, SEPTUM_EVENT_WRITE));
	CHECK(e.data[0] == ((PAGE + 0x128) | 1ul << build_sw_bit.shared_bit));
	CHECK(convert(&e, PAGE, PAGE_SIZE, false) == SEPTUM_OK);
	CHECK(expect_step(2));
	CHECK(*(u64 *)(void *)ram_at(PAGE + 0x128) == 0xbeef && *ram_at(PAGE) == 0x99);
	CHECK(count(SEPTUM_COUNTER_PAGES_SHARED) == 1);
	CHECK(next(&e));
	CHECK(is_fault(&e, PAGE + 0x550, SEPTUM_EVENT_READ | SEPTUM_EVENT_PRIVATE));
	CHECK(convert(&e, PAGE, PAGE_SIZE, true) == SEPTUM_OK);
	CHECK(expect_step(3));
	CHECK(count(SEPTUM_COUNTER_PAGES_SHARED) == 0);
	if (!grant_explicit(BLOCK, LARGE_SIZE))
		return;
	CHECK(next(&e));
	CHECK(is_fault(&e, PAGE, SEPTUM_EVENT_WRITE | SEPTUM_EVENT_PRIVATE));
	CHECK(convert(&e, PAGE, PAGE_SIZE, true) == SEPTUM_OK);
	CHECK(expect_end());
	CHECK(count(SEPTUM_COUNTER_IMPLICIT_FORWARDED) == 3);
	CHECK(count(SEPTUM_COUNTER_IMPLICIT_CONVERTED) == 3);
	CHECK(count(SEPTUM_COUNTER_IMPLICIT_DENIED) == 0);
}

SCENARIO(implicit_large_pages)
{
	struct septum_event e;

	CHECK(guest_begin(&build_sw_bit, "implicit_block"));
	CHECK(expect_step(1));
	CHECK(next(&e));
	CHECK(is_fault(&e, BLOCK + 8, SEPTUM_EVENT_WRITE));
	CHECK(convert(&e, BLOCK, LARGE_SIZE, false) == SEPTUM_OK);
	CHECK(expect_step(2));
	CHECK(count(SEPTUM_COUNTER_PAGES_SHARED) == 512);
	CHECK(count(SEPTUM_COUNTER_IMPLICIT_FORWARDED) == 1);
	CHECK(next(&e));
	CHECK(is_fault(&e, BLOCK + 3 * PAGE_SIZE, SEPTUM_EVENT_READ | SEPTUM_EVENT_PRIVATE));
	CHECK(convert(&e, BLOCK, LARGE_SIZE, true) == SEPTUM_OK);
	CHECK(expect_step(3));
	CHECK(count(SEPTUM_COUNTER_PAGES_SHARED) == 0);
	CHECK(expect_end());
	CHECK(count(SEPTUM_COUNTER_IMPLICIT_FORWARDED) == 2);
}

SCENARIO(conversions_out_of_place_are_refused)
{
	struct septum_event e;

	CHECK(guest_begin(&build_sw_bit, "implicit_block"));
	CHECK(expect_step(1));
	CHECK(next(&e));
	CHECK(convert(&e, BLOCK + PAGE_SIZE, PAGE_SIZE, false) != SEPTUM_OK); /* not the page */
	CHECK(convert(&e, BLOCK, PAGE_SIZE, true) != SEPTUM_OK);	      /* not the kind */
	CHECK(convert(&e, BLOCK + 1, PAGE_SIZE, false) == SEPTUM_E_ALIGN);
	CHECK(convert(&e, BLOCK, 17, false) == SEPTUM_E_ALIGN);
	CHECK(convert(&e, BLOCK, 0, false) == SEPTUM_E_RANGE);
	CHECK(convert(&e, BLOCK, ~0xffful, false) == SEPTUM_E_RANGE);
	CHECK(convert(&e, 0, 1ul << 60, false) == SEPTUM_E_RANGE);
	/* Pages with private content that the guest has not given up: the image. */
	CHECK(convert(&e, 0, TEST_MEMORY, false) == SEPTUM_E_POPULATED);
	CHECK(verdict(&e, SEPTUM_VERDICT_COMPLETE, 0) == SEPTUM_E_VERDICT);
	CHECK(verdict(&e, 77, 0) == SEPTUM_E_VERDICT);
	CHECK(count(SEPTUM_COUNTER_PAGES_SHARED) == 0);
	CHECK(convert(&e, BLOCK, LARGE_SIZE, false) == SEPTUM_OK);
	CHECK(verdict(&e, SEPTUM_VERDICT_KILL, 0) == SEPTUM_E_NO_EVENT); /* answered already */
	CHECK(expect_step(2));
	CHECK(next(&e));
	CHECK(verdict(&e, SEPTUM_VERDICT_KILL, 0) == SEPTUM_OK);
	CHECK(expect_idle());
	CHECK((septum(SEPTUM_CALL_VCPU_INFO, test.vm.id, 0).value & 0xff) == SEPTUM_VCPU_DEAD);
}

SCENARIO_QUICK(denied_accesses_are_machine_checks)
{
	struct septum_event e;

	CHECK(guest_begin(&build_sw_bit, "denied"));
	for (u32 i = 0; i < 2; i++) {
		CHECK(next(&e));
		CHECK(is_fault(&e, BLOCK + 0x20, i ? SEPTUM_EVENT_WRITE : SEPTUM_EVENT_READ));
		CHECK(verdict(&e, SEPTUM_VERDICT_INJECT, 0) == SEPTUM_OK);
	}
	if (!grant_explicit(BLOCK, PAGE_SIZE))
		return;
	CHECK(next(&e));
	CHECK(is_fault(&e, BLOCK + 8, SEPTUM_EVENT_WRITE | SEPTUM_EVENT_PRIVATE));
	CHECK(verdict(&e, SEPTUM_VERDICT_INJECT, 0) == SEPTUM_OK);
	CHECK(expect_end());
	CHECK(count(SEPTUM_COUNTER_IMPLICIT_DENIED) == 3);
	CHECK(count(SEPTUM_COUNTER_IMPLICIT_CONVERTED) == 0);
}

SCENARIO(a_blind_retry_is_refused)
{
	struct septum_event e;
	u32 seq;

	CHECK(guest_begin(&build_sw_bit, "implicit_block"));
	CHECK(expect_step(1));
	CHECK(next(&e));
	seq = e.seq;
	for (u32 i = 0; i < 3; i++)
		CHECK(verdict(&e, SEPTUM_VERDICT_RETRY, 0) == SEPTUM_E_NO_PROGRESS);
	CHECK(septum(SEPTUM_CALL_VCPU_INFO, test.vm.id, 0).value ==
	      (SEPTUM_VCPU_WAITING | (u64)seq << 32));
	CHECK(expect_idle());
	/* A retry after the attribute has changed is none. */
	CHECK(GIVES(OK, SEPTUM_CALL_ATTR_SET, test.vm.id, BLOCK / PAGE_SIZE, 512, ATTR_RWX));
	CHECK(verdict(&e, SEPTUM_VERDICT_RETRY, 0) == SEPTUM_OK);
	CHECK(expect_step(2));
	CHECK(count(SEPTUM_COUNTER_VERDICTS_REFUSED) == 3);
}

SCENARIO(the_loop_guard_cuts_off)
{
	struct septum_event e;
	u32 denials = 0;

	CHECK(guest_begin(&build_sw_bit, "loops"));
	for (;;) {
		CHECK(next(&e));
		if (e.type != SEPTUM_EVENT_MEMORY_FAULT)
			break;
		CHECK(++denials < 10000);
		CHECK(verdict(&e, SEPTUM_VERDICT_INJECT, 0) == SEPTUM_OK);
	}
	CHECK(e.type == SEPTUM_EVENT_FAILED && e.data[0] == SEPTUM_FAILURE_LOOP);
	CHECK(denials > 1 && count(SEPTUM_COUNTER_LOOPS) == 1);
	CHECK(verdict(&e, SEPTUM_VERDICT_KILL, 0) == SEPTUM_OK);
}

static bool walk_fault(u64 gpa, bool to_private)
{
	struct septum_event e;

	CHECK_OR_FALSE(next(&e));
	CHECK_OR_FALSE(e.type == SEPTUM_EVENT_MEMORY_FAULT && (e.flags & SEPTUM_EVENT_WALK));
	CHECK_OR_FALSE(!(e.flags & SEPTUM_EVENT_PRIVATE) == !to_private);
	CHECK_OR_FALSE((e.gpa & ~(PAGE_SIZE - 1)) == gpa);
	CHECK_OR_FALSE(convert(&e, gpa, PAGE_SIZE, to_private) == SEPTUM_OK);
	return true;
}

SCENARIO(page_tables_behind_conversions)
{
	CHECK(guest_begin(&build_sw_bit, "tables"));
	CHECK(grant_explicit(TABLES, PAGE_SIZE));
	CHECK(expect_step(1));
	CHECK(walk_fault(TABLES, true));
	CHECK(grant_explicit(TABLES, 2 * PAGE_SIZE));
	CHECK(grant_explicit(TABLES, 2 * PAGE_SIZE));
	CHECK(expect_step(2));
	CHECK(walk_fault(TABLES, false));
	CHECK(walk_fault(TABLES + PAGE_SIZE, false));
	test.serve_conversions = true;
	CHECK(expect_step(3));
	test.serve_conversions = false;
	CHECK(walk_fault(TABLES, false));
	CHECK(expect_end());
}

/* vCPU 0 has an event outstanding while vCPU 1 runs and converts the same page. */
static bool stale_start(struct septum_event *old)
{
	struct build build = build_sw_bit;
	struct septum_event e;

	build.vcpus = 2;
	CHECK_OR_FALSE(guest_begin(&build, "stale"));
	CHECK_OR_FALSE(next_on(0, &e) && e.type == SEPTUM_EVENT_EXPLICIT);
	CHECK_OR_FALSE(grant(&e) == SEPTUM_OK);
	CHECK_OR_FALSE(expect_step_on(0, 1));
	CHECK_OR_FALSE(expect_step_on(1, 11));
	CHECK_OR_FALSE(next_on(0, old));
	CHECK_OR_FALSE(is_fault(old, PAGE, SEPTUM_EVENT_READ | SEPTUM_EVENT_PRIVATE));
	CHECK_OR_FALSE(next_on(1, &e) && e.type == SEPTUM_EVENT_EXPLICIT && e.vcpu == 1);
	CHECK_OR_FALSE(e.gpa == PAGE && (e.flags & SEPTUM_EVENT_PRIVATE));
	CHECK_OR_FALSE(grant(&e) == SEPTUM_OK);
	CHECK_OR_FALSE(expect_step_on(1, 12));
	return true;
}

/* The page is private by now, as vCPU 0 wants it: its access is resolved, the verdict is not done.
 */
SCENARIO_QUICK(a_stale_verdict_resolves)
{
	struct septum_event old;

	if (!stale_start(&old))
		return;
	CHECK(convert(&old, PAGE, PAGE_SIZE, true) == SEPTUM_E_STALE);
	CHECK(count(SEPTUM_COUNTER_VERDICTS_STALE) == 1);
	CHECK(count(SEPTUM_COUNTER_IMPLICIT_CONVERTED) == 0);
	CHECK(expect_step_on(0, 0x2222)); /* what vCPU 1 wrote is what vCPU 0 reads */
}

/* vCPU 1 made it private and shared again: vCPU 0's access is a new event. */
SCENARIO(a_stale_verdict_changes_nothing)
{
	struct septum_event old;
	struct septum_event e;
	u64 stamp;

	if (!stale_start(&old))
		return;
	CHECK(next_on(1, &e) && e.type == SEPTUM_EVENT_EXPLICIT && grant(&e) == SEPTUM_OK);
	CHECK(expect_step_on(1, 13));
	stamp = septum(SEPTUM_CALL_ATTR_GET, test.vm.id, PAGE / PAGE_SIZE).value;
	CHECK(!(stamp & SEPTUM_ATTR_PRIVATE) && stamp >> 8 > old.stamp);
	CHECK(convert(&old, PAGE, PAGE_SIZE, true) == SEPTUM_E_STALE);
	CHECK(septum(SEPTUM_CALL_ATTR_GET, test.vm.id, PAGE / PAGE_SIZE).value == stamp);
	CHECK(next_on(0, &e));
	CHECK(is_fault(&e, PAGE, SEPTUM_EVENT_READ | SEPTUM_EVENT_PRIVATE) && e.seq != old.seq);
	CHECK(convert(&old, PAGE, PAGE_SIZE, true) == SEPTUM_E_NO_EVENT);
	CHECK(convert(&e, PAGE, PAGE_SIZE, true) == SEPTUM_OK);
	CHECK(expect_step_on(0, 0));
	CHECK(count(SEPTUM_COUNTER_VERDICTS_STALE) == 1);
	CHECK(count(SEPTUM_COUNTER_IMPLICIT_FORWARDED) >= 2);
}

/* 16 pages of one 2 MiB: a change to one does not make verdicts for its neighbours stale. */
SCENARIO(neighbours_do_not_make_stale)
{
	struct septum_event e;

	CHECK(guest_begin(&build_sw_bit, "implicit_block"));
	CHECK(expect_step(1));
	CHECK(next(&e));
	CHECK(GIVES(OK, SEPTUM_CALL_ATTR_SET, test.vm.id, BLOCK / PAGE_SIZE + 1, 1, ATTR_RWX));
	CHECK(convert(&e, BLOCK, 2 * PAGE_SIZE, false) == SEPTUM_E_STALE);
	CHECK(next(&e));
	CHECK(GIVES(OK, SEPTUM_CALL_ATTR_SET, test.vm.id, BLOCK / PAGE_SIZE + 2, 1, ATTR_RWX));
	CHECK(convert(&e, BLOCK, PAGE_SIZE, false) == SEPTUM_OK);
}
