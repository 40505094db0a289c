/* sources: tests/host/manager.c tests/host/fake_vendor.c tests/host/fake.c mm/?*.c
 * kernel/protocol.c kernel/explicit.c kernel/ring.c kernel/vm.c kernel/vcpu.c kernel/lapic.c
 * kernel/lapic_vcpu.c tests/host/fake_timer.c kernel/root.c kernel/adopt.c kernel/hypercall.c
 * kernel/trace.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of VMs and vCPUs, and RUN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mm/frame.h"
#include "tests/host/fake.h"
#include "tests/host/manager.h"

#define RWX	   (SEPTUM_ATTR_READ | SEPTUM_ATTR_WRITE | SEPTUM_ATTR_EXEC)
#define ALL	   0xful
#define VCPU_PAGES (2u + FAKE_VENDOR_PAGES)

static u64 pool;

static int one_pool(void **state)
{
	(void)state;
	machine_start();
	pool = pool_new(1);
	return 0;
}

static int empty(void **state)
{
	(void)state;
	fake_object_limit = ~0u;
	machine_empty();
	return 0;
}

static u64 pool_free(void)
{
	return CALL1(POOL_INFO, pool).value & 0xffffffff;
}

/* ---- Creation ---- */

static void a_new_vm_holds_what_it_says_and_its_ring_is_ready(void **state)
{
	u64 before = pool_free();
	u64 vm = vm_new(SEPTUM_SW_PROTECTED, pool, 9, 40, 0);

	(void)state;
	assert_int_equal(vm, 1);
	assert_int_equal(CALL3(VM_COUNTER, vm, SEPTUM_ALL, SEPTUM_COUNTER_FRAMES_HELD).value,
			 before - pool_free());
	assert_int_equal(ring_read(vm, 0), SEPTUM_RING_MAGIC);
	assert_int_equal(ring_read(vm, 4), SEPTUM_ABI_VERSION);
	assert_int_equal(ring_read(vm, 8), 9);
	for (u64 p = 0; p < SEPTUM_RING_PAGES(9); p++)
		assert_int_equal(frame_get(pfn(ring_pfn(vm) + p)).arg, 1);
	assert_int_equal(frame_get(pfn(ring_pfn(vm) + SEPTUM_RING_PAGES(9))).arg, 0);
	for (u64 i = 0; i < 9; i++) {
		assert_int_equal(CALL2(VCPU_INFO, vm, i).status, E_NO_VCPU);
		assert_int_equal(CALL2(VCPU_CREATE, vm, i).status, OK);
		assert_int_equal(CALL2(VCPU_INFO, vm, i).value, SEPTUM_VCPU_RUNNABLE);
	}
	assert_int_equal(CALL3(VM_COUNTER, vm, SEPTUM_ALL, SEPTUM_COUNTER_FRAMES_HELD).value,
			 before - pool_free());
	assert_int_equal(CALL1(POOL_DESTROY, pool).status, E_BUSY);
	audit_clean();
}

static void vm_create_fails_cleanly_at_every_allocation(void **state)
{
	unsigned refused = 0;
	u64 before, left = 0;

	(void)state;
	for (;; left++) {
		struct answer a;

		pool_starve(pool, left);
		before = machine_digest();
		a = CALL6(VM_CREATE, SEPTUM_SW_PROTECTED, 0, pool, 64, 40, ROOT_RING);
		if (a.status == OK)
			break;
		assert_int_equal(a.status, E_POOL_EMPTY);
		assert_int_equal(a.argument, 3);
		assert_int_equal(machine_digest(), before);
		refused++;
	}
	assert_true(refused >= 2);
	pool_feed();
	assert_int_equal(CALL1(VM_DESTROY, 1).status, OK);
	refused = 0;
	for (unsigned objects = 0;; objects++) {
		struct answer a;

		fake_object_limit = fake_objects + objects;
		before = machine_digest();
		a = CALL6(VM_CREATE, SEPTUM_SW_PROTECTED, 0, pool, 64, 40, ROOT_RING);
		if (a.status == OK)
			break;
		assert_int_equal(a.status, E_LIMIT);
		assert_int_equal(machine_digest(), before);
		refused++;
	}
	/* The VM, and twelve ring pages. */
	assert_int_equal(refused, 1 + SEPTUM_RING_PAGES(64));
}

static void vcpu_create_fails_cleanly_at_every_allocation(void **state)
{
	u64 vm = vm_new(SEPTUM_SW_PROTECTED, pool, 2, 40, 0), before;

	(void)state;
	for (u64 left = 0; left < VCPU_PAGES; left++) {
		pool_starve(pool, left);
		before = machine_digest();
		assert_int_equal(CALL2(VCPU_CREATE, vm, 1).status, E_POOL_EMPTY);
		assert_int_equal(machine_digest(), before);
	}
	pool_feed();
	for (unsigned objects = 0; objects < VCPU_PAGES; objects++) {
		fake_object_limit = fake_objects + objects;
		before = machine_digest();
		assert_int_equal(CALL2(VCPU_CREATE, vm, 1).status, E_LIMIT);
		assert_int_equal(machine_digest(), before);
	}
	fake_object_limit = fake_objects + VCPU_PAGES;
	pool_starve(pool, VCPU_PAGES);
	assert_int_equal(CALL2(VCPU_CREATE, vm, 1).status, OK);
	assert_int_equal(pool_free(), 0);
	audit_clean();
}

static void there_are_63_vms(void **state)
{
	struct answer a;

	(void)state;
	for (u64 i = 1; i < SEPTUM_MAX_VMS; i++)
		assert_int_equal(
			CALL6(VM_CREATE, SEPTUM_PLAIN, 0, pool, 1, 0, ROOT_SLOT + i * 8).value, i);
	a = CALL6(VM_CREATE, SEPTUM_PLAIN, 0, pool, 1, 0, ROOT_SLOT);
	assert_int_equal(a.status, E_LIMIT);
	assert_int_equal(CALL1(VM_DESTROY, 17).status, OK);
	assert_int_equal(CALL1(VM_DESTROY, 17).status, E_NO_VM);
	assert_int_equal(CALL6(VM_CREATE, SEPTUM_PLAIN, 0, pool, 1, 0, ROOT_SLOT).value, 17);
}

static void ring_pages_stay_pinned_while_the_vm_lives(void **state)
{
	u64 vm = CALL6(VM_CREATE, SEPTUM_PLAIN, 0, pool, 1, 0, 0x3000).value;
	struct answer a = CALL3(POOL_DONATE, pool, 0x3000, 512);

	(void)state;
	assert_int_equal(a.status, E_NOT_ROOT);
	assert_int_equal(CALL1(VM_DESTROY, vm).status, OK);
	assert_int_equal(CALL3(POOL_DONATE, pool, 0x3000, 512).status, OK);
}

/* ---- A manager that begins anew ---- */

static void vms_are_found_in_the_order_of_their_ids(void **state)
{
	u64 plain = vm_new(SEPTUM_PLAIN, pool, 1, 0, 0);
	u64 gone = vm_new(SEPTUM_PLAIN, pool, 1, 0, 0);
	u64 sw = vm_new(SEPTUM_SW_PROTECTED, pool, 64, 40, 0);

	(void)state;
	assert_int_equal(CALL2(VCPU_CREATE, sw, 5).status, OK);
	assert_int_equal(CALL1(VM_START, sw).status, OK);
	assert_int_equal(CALL1(VM_DESTROY, gone).status, OK);
	assert_int_equal(CALL1(VM_FIND, 1).value, plain | SEPTUM_PLAIN << 8 | 1 << 16 | pool << 32);
	assert_int_equal(CALL1(VM_FIND, plain + 1).value, sw | SEPTUM_SW_PROTECTED << 8 | 64 << 16 |
								  1 << 24 | 40ul << 26 |
								  pool << 32);
	assert_int_equal(CALL1(VM_FIND, sw).value & 0xff, sw);
	assert_int_equal(CALL1(VM_FIND, sw + 1).status, E_NO_VM);
	assert_int_equal(CALL1(VM_FIND, sw + 1).value, 0);
}

static void a_dying_vm_is_found_and_can_only_go(void **state)
{
	u64 vm = vm_new(SEPTUM_PLAIN, pool, 1, 0, 0), pinned = ring_pfn(vm);

	(void)state;
	assert_int_equal(CALL5(SLOT_ADD, vm, 0, 2048, ROOT_SLOT, SEPTUM_SLOT_SHARED).status, OK);
	assert_int_equal(CALL3(PREFAULT, vm, 0, 2048).status, OK);
	fake_stop_after = 1;
	assert_int_equal(CALL1(VM_DESTROY, vm).status, E_AGAIN);
	fake_stop_after = 0;
	assert_int_equal(CALL1(VM_FIND, 1).value,
			 vm | SEPTUM_PLAIN << 8 | 1 << 16 | 1 << 25 | pool << 32);
	assert_int_equal(vm_adopt_anew(vm).status, E_NO_VM);
	assert_int_equal(frame_get(pfn(pinned)).arg, 1);
	assert_int_equal(CALL1(VM_DESTROY, vm).status, OK);
	assert_int_equal(CALL1(VM_FIND, 1).status, E_NO_VM);
}

static unsigned pins(u64 first, u64 pages)
{
	for (u64 p = 1; p < pages; p++)
		assert_int_equal(frame_get(pfn(first + p)).arg, frame_get(pfn(first)).arg);
	return (unsigned)frame_get(pfn(first)).arg;
}

static void a_new_ring_area_takes_the_place_of_the_old_one(void **state)
{
	u64 vm = vm_new(SEPTUM_SW_PROTECTED, pool, 9, 40, 0), pages = SEPTUM_RING_PAGES(9);
	u64 old = ring_pfn(vm);
	unsigned objects = fake_objects;

	(void)state;
	memset(fake_frame(pfn(0x3000)), 0xa5, pages * PAGE_SIZE);
	assert_int_equal(vm_adopt_with(vm, 0x3000).status, OK);
	assert_int_equal(pins(old, pages), 0);
	assert_int_equal(pins(0x3000, pages), 1);
	assert_int_equal(fake_objects, objects);
	assert_int_equal(ring_read(vm, 0), SEPTUM_RING_MAGIC);
	assert_int_equal(ring_read(vm, 8), 9);
	for (u64 i = PAGE_SIZE; i < pages * PAGE_SIZE; i++)
		assert_int_equal(((u8 *)fake_frame(pfn(0x3000)))[i], 0);
	/* The same place again, and one that overlaps it. */
	assert_int_equal(vm_adopt_with(vm, 0x3000).status, OK);
	assert_int_equal(pins(0x3000, pages), 1);
	assert_int_equal(vm_adopt_with(vm, 0x3001).status, OK);
	assert_int_equal(frame_get(pfn(0x3000)).arg, 0);
	assert_int_equal(pins(0x3001, pages), 1);
	assert_int_equal(fake_objects, objects);
	assert_int_equal(CALL1(VM_DESTROY, vm).status, OK);
	assert_int_equal(pins(0x3001, pages), 0);
	audit_clean();
}

static void vm_adopt_fails_cleanly(void **state)
{
	u64 vm = vm_new(SEPTUM_SW_PROTECTED, pool, 64, 40, 0), old = ring_pfn(vm), before;
	const u64 bad[] = {ROOT_POOL, ROOT_POOL - 2, 0x10000000, (1ul << 40) - 1};
	unsigned refused = 0;
	struct answer a;

	(void)state;
	ring_write(vm, 4, 77);
	before = machine_digest();
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
		a = CALL2(VM_ADOPT, vm, bad[i]);
		assert_int_equal(a.status, E_NOT_ROOT);
		assert_int_equal(a.argument, 2);
	}
	a = CALL2(VM_ADOPT, vm, ~0ul);
	assert_int_equal(a.status, E_RANGE);
	assert_int_equal(a.argument, 2);
	for (unsigned objects = 0;; objects++) {
		fake_object_limit = fake_objects + objects;
		a = CALL2(VM_ADOPT, vm, 0x3000);
		if (a.status == OK)
			break;
		assert_int_equal(a.status, E_LIMIT);
		assert_int_equal(machine_digest(), before);
		refused++;
	}
	assert_int_equal(refused, SEPTUM_RING_PAGES(64));
	assert_int_equal(ring_read(vm, 4), 77); /* the old one was not touched until then */
	assert_int_equal(pins(old, SEPTUM_RING_PAGES(64)), 0);
}

/* ---- Registers ---- */

static void registers_are_set_while_building_and_only_then(void **state)
{
	u64 vm = vm_new(SEPTUM_PLAIN, pool, 1, 0, 0);
	struct vcpu_state s;
	struct vcpu *v;

	(void)state;
	assert_int_equal(CALL2(VCPU_CREATE, vm, 0).status, OK);
	v = vcpu_by_index(vm_by_id(vm, false), 0);
	for (u64 reg = 0; reg < SEPTUM_REG_END; reg++) {
		bool attributes = reg >= SEPTUM_REG_SEG && reg % 4 == 3;
		struct answer a = CALL4(VCPU_SET, vm, 0, reg, attributes ? 0x93 : 0x100 + reg);

		assert_int_equal(a.status, reg >= 26 && reg < 32 ? E_ARG : OK);
	}
	fake_loaded = v;
	vendor->state_get(v, &s);
	for (unsigned n = 0; n < GPR_COUNT; n++)
		if (n != RSP)
			assert_int_equal(v->gpr[n], 0x100 + n);
	assert_int_equal(s.rsp, 0x104);
	assert_int_equal(s.rip, 0x110);
	assert_int_equal(s.rflags, 0x111);
	assert_int_equal(s.cr0, 0x112);
	assert_int_equal(s.cr3, 0x113);
	assert_int_equal(s.cr4, 0x114);
	assert_int_equal(s.efer, 0x115);
	assert_int_equal(s.gdtr_base, 0x116);
	assert_int_equal(s.gdtr_limit, 0x117);
	assert_int_equal(s.idtr_base, 0x118);
	assert_int_equal(s.idtr_limit, 0x119);
	for (unsigned n = 0; n < SEG_COUNT; n++) {
		assert_int_equal(s.seg[n].selector, 0x120 + 4 * n);
		assert_int_equal(s.seg[n].base, 0x121 + 4 * n);
		assert_int_equal(s.seg[n].limit, 0x122 + 4 * n);
		assert_int_equal(s.seg[n].access, 0x93);
	}
	/* Attribute bits 11:8 do not exist. */
	assert_int_equal(CALL4(VCPU_SET, vm, 0, SEPTUM_REG_SEG + 3, 0x100).status, E_ARG);
	assert_int_equal(CALL4(VCPU_SET, vm, 0, SEPTUM_REG_SEG + 3, 0x1f0ff).status, OK);
	assert_int_equal(CALL1(VM_START, vm).status, OK);
	assert_int_equal(CALL4(VCPU_SET, vm, 0, SEPTUM_REG_RIP, 0).status, E_STATE);
}

/* ---- Destruction ---- */

static void touch_and_destroy(u64 stage, u64 flags, u64 again_at)
{
	u64 vm = vm_new(SEPTUM_SW_PROTECTED, pool, 2, 40, SEPTUM_VM_DISCARD);
	struct answer a;
	unsigned again = 0;

	assert_int_not_equal(vm, 0);
	if (stage > 0)
		assert_int_equal(CALL5(SLOT_ADD, vm, 0, 1024, ROOT_SLOT, flags).status, OK);
	if (stage > 1)
		assert_int_equal(CALL4(ATTR_SET, vm, 3, 600, ALL).status, OK);
	if (stage > 2)
		assert_int_equal(CALL4(MEM_LOAD, vm, 0, 64, ROOT_PAGE).status, OK);
	if (stage > 3)
		assert_int_equal(CALL2(VCPU_CREATE, vm, 1).status, OK);
	if (stage > 4)
		assert_int_equal(CALL2(VCPU_CREATE, vm, 0).status, OK);
	if (stage > 5)
		assert_int_equal(CALL1(VM_START, vm).status, OK);
	if (stage > 6) {
		fake_step(vm, 0, STEP_WRITE, 0x4000, ~0ul, 0);
		fake_step(vm, 0, STEP_WRITE, 0x80000, ~0ul, 0);
		fake_step(vm, 0, STEP_READ, 1ul << 40 | 0x4000, 0, 0);
		fake_step(vm, 1, STEP_MAP_RANGE, 0, 64, 0);
		assert_int_equal(CALL2(RUN, vm, SEPTUM_ALL).status, OK);
	}
	if (stage > 7) {
		struct septum_event e;

		assert_true(event_take(vm, &e));
		assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_KILL, 0, 0, 0, 0), OK);
	}
	if (stage > 8) {
		ring_write(vm, offsetof(struct septum_ring, completion_head), 0x8000);
		assert_int_equal(CALL2(RUN, vm, SEPTUM_ALL).status, E_RING);
	}
	audit_clean();
	do {
		fake_stop_after = again_at ? 1 : 0;
		a = CALL1(VM_DESTROY, vm);
		fake_stop_after = 0;
		if (a.status == E_AGAIN) {
			again++;
			/* It is dying and accepts nothing else. */
			assert_int_equal(CALL2(ATTR_GET, vm, 0).status, E_NO_VM);
			assert_int_equal(CALL2(RUN, vm, 0).status, E_NO_VM);
			assert_int_equal(CALL1(VM_START, vm).status, E_NO_VM);
			audit_clean();
		}
	} while (a.status == E_AGAIN && again < 10000);
	assert_int_equal(a.status, OK);
	audit_clean();
	if (stage > 2 && again_at)
		assert_true(again > 0);
}

static void a_vm_can_be_destroyed_at_every_stage(void **state)
{
	static const u64 flags[] = {SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE, SEPTUM_SLOT_INPLACE};
	u64 all = pool_free();

	(void)state;
	for (u64 stage = 0; stage < 10; stage++) {
		for (unsigned f = 0; f < 2; f++) {
			for (u64 again = 0; again < 2; again++) {
				touch_and_destroy(stage, flags[f], again);
				assert_int_equal(pool_free(), all);
				assert_int_equal(CALL1(POOL_INFO, pool).value >> 32, all);
			}
		}
	}
	/* Whatever was private is zero, in the pool (the audit looked) and in the root's frames. */
	for (u64 g = 3; g < 603; g++) {
		u64 *words = fake_frame(pfn(ROOT_SLOT + g));

		for (unsigned i = 0; i < 512; i++)
			assert_int_equal(words[i], 0);
	}
}

/* ---- RUN ---- */

static u64 run_world(u64 vcpus)
{
	u64 vm = vm_new(SEPTUM_SW_PROTECTED, pool, vcpus, 40, 0);

	assert_int_not_equal(vm, 0);
	assert_int_equal(
		CALL5(SLOT_ADD, vm, 0, 64, ROOT_SLOT, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE)
			.status,
		OK);
	for (u64 i = 0; i < vcpus; i++)
		assert_int_equal(CALL2(VCPU_CREATE, vm, i).status, OK);
	assert_int_equal(CALL1(VM_START, vm).status, OK);
	fake_turns = 0;
	return vm;
}

static void run_all_gives_each_vcpu_a_turn_and_starts_behind_the_last(void **state)
{
	u64 vm = run_world(5);

	(void)state;
	/* Every vCPU is interrupted each time it runs: one a call. */
	for (u64 i = 0; i < 5; i++)
		for (unsigned n = 0; n < 20; n++)
			fake_step(vm, i, STEP_INTERRUPT, 0, 0, 0);
	for (unsigned n = 0; n < 50; n++) {
		struct answer a = CALL2(RUN, vm, SEPTUM_ALL);

		assert_int_equal(a.status, OK);
		assert_int_equal(a.value, SEPTUM_RUN_INTERRUPTED);
		assert_int_equal(fake_order[n], n % 5);
	}
	assert_int_equal(fake_turns, 50);
}

static void one_call_serves_every_vcpu_and_counts_the_events(void **state)
{
	u64 vm = run_world(16);
	struct septum_event e;
	struct answer a;

	(void)state;
	for (u64 i = 0; i < 16; i++)
		fake_step(vm, i, STEP_READ, i << 12, 0, 0);
	a = CALL2(RUN, vm, SEPTUM_ALL);
	assert_int_equal(a.value, SEPTUM_RUN_IDLE | 16 << 8);
	for (u64 i = 0; i < 16; i++) {
		struct septum_completion c = {
			.verdict = SEPTUM_VERDICT_CONVERT,
			.flags = SEPTUM_EVENT_PRIVATE,
			.size = PAGE_SIZE,
		};

		assert_true(event_take(vm, &e));
		assert_int_equal(e.vcpu, i);
		c.seq = e.seq;
		c.vcpu = e.vcpu;
		c.gpa = i == 3 ? ~0ul : e.gpa & PAGE_MASK;
		completion_put(vm, &c);
	}
	a = CALL2(RUN, vm, SEPTUM_ALL);
	assert_int_equal(a.value, SEPTUM_RUN_IDLE | 1ul << 32);
	for (u64 i = 0; i < 16; i++)
		assert_int_equal(fake_cpu(vm, i)->at, i != 3);
	/* The same once more: nothing is left to be done. */
	a = CALL2(RUN, vm, SEPTUM_ALL);
	assert_int_equal(a.value, SEPTUM_RUN_IDLE);
}

static void run_one_runs_one_and_an_interrupt_ends_it(void **state)
{
	u64 vm = run_world(3);

	(void)state;
	for (u64 i = 0; i < 3; i++)
		fake_step(vm, i, STEP_INTERRUPT, 0, 0, 0);
	assert_int_equal(CALL2(RUN, vm, 1).value, SEPTUM_RUN_INTERRUPTED);
	assert_int_equal(fake_cpu(vm, 0)->turns, 0);
	assert_int_equal(fake_cpu(vm, 1)->turns, 1);
	assert_int_equal(fake_cpu(vm, 2)->turns, 0);
	assert_int_equal(CALL2(RUN, vm, 1).value, SEPTUM_RUN_IDLE);
	/* An interrupt ends RUN(ALL) before the others have had a turn. */
	assert_int_equal(CALL2(RUN, vm, SEPTUM_ALL).value, SEPTUM_RUN_INTERRUPTED);
	assert_int_equal(fake_cpu(vm, 2)->turns, 0);
	assert_int_equal(CALL2(RUN, vm, SEPTUM_ALL).value, SEPTUM_RUN_INTERRUPTED);
	assert_int_equal(fake_cpu(vm, 2)->turns, 1);
}

static bool rerun_from_inside;
static u64 inside_vm;

/* Another CPU's RUN of the same vCPU, while this one runs it. */
static void run_again(struct vcpu *v)
{
	if (!rerun_from_inside)
		return;
	rerun_from_inside = false;
	assert_int_equal(vm_run(inside_vm, v->index).status, OK);
	assert_int_equal(vcpu_info(inside_vm, v->index).value, SEPTUM_VCPU_RUNNING);
}

static void a_running_vcpu_is_not_entered_a_second_time(void **state)
{
	u64 vm = run_world(1);

	(void)state;
	fake_step(vm, 0, STEP_INTERRUPT, 0, 0, 0);
	inside_vm = vm;
	rerun_from_inside = true;
	fake_hook = run_again;
	assert_int_equal(CALL2(RUN, vm, 0).status, OK);
	fake_hook = NULL;
	assert_false(rerun_from_inside);
	assert_int_equal(fake_cpu(vm, 0)->turns, 1);
}

static void counters_are_those_of_the_vm_or_of_one_vcpu(void **state)
{
	u64 vm = run_world(2);

	(void)state;
	for (u64 i = 0; i < 3; i++)
		fake_step(vm, 0, STEP_WRITE, 1ul << 40 | i << 12, 1, 0);
	fake_step(vm, 1, STEP_WRITE, 1ul << 40 | 4 << 12, 1, 0);
	CALL2(RUN, vm, SEPTUM_ALL);
	/* What a processor of the vendor code does. */
	(void)tlb_enter(&vm_by_id(vm, false)->memory.tlb, 0);
	tlb_leave(0);
	assert_true(CALL3(VM_COUNTER, vm, 0, SEPTUM_COUNTER_EXITS).value > 0);
	assert_int_equal(CALL3(VM_COUNTER, vm, SEPTUM_ALL, SEPTUM_COUNTER_EXITS).value,
			 CALL3(VM_COUNTER, vm, 0, SEPTUM_COUNTER_EXITS).value +
				 CALL3(VM_COUNTER, vm, 1, SEPTUM_COUNTER_EXITS).value);
	assert_int_equal(CALL3(VM_COUNTER, vm, SEPTUM_ALL, SEPTUM_COUNTER_PAGES_SHARED).value, 64);
	assert_int_equal(CALL3(VM_COUNTER, vm, SEPTUM_ALL, SEPTUM_COUNTER_PAGES_PRIVATE).value, 0);
	assert_int_equal(CALL3(VM_COUNTER, vm, SEPTUM_ALL, SEPTUM_COUNTER_MAPPED_4K).value, 4);
	assert_int_equal(CALL4(ATTR_SET, vm, 0, 7, ALL).status, OK);
	assert_int_equal(CALL3(VM_COUNTER, vm, SEPTUM_ALL, SEPTUM_COUNTER_PAGES_PRIVATE).value, 7);
	assert_int_equal(CALL3(VM_COUNTER, vm, SEPTUM_ALL, SEPTUM_COUNTER_PAGES_SHARED).value, 57);
	assert_true(CALL3(VM_COUNTER, vm, SEPTUM_ALL, SEPTUM_COUNTER_FLUSHES).value > 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, one_pool, empty)
	const struct CMUnitTest tests[] = {
		T(a_new_vm_holds_what_it_says_and_its_ring_is_ready),
		T(vm_create_fails_cleanly_at_every_allocation),
		T(vcpu_create_fails_cleanly_at_every_allocation),
		T(there_are_63_vms),
		T(ring_pages_stay_pinned_while_the_vm_lives),
		T(vms_are_found_in_the_order_of_their_ids),
		T(a_dying_vm_is_found_and_can_only_go),
		T(a_new_ring_area_takes_the_place_of_the_old_one),
		T(vm_adopt_fails_cleanly),
		T(registers_are_set_while_building_and_only_then),
		T(a_vm_can_be_destroyed_at_every_stage),
		T(run_all_gives_each_vcpu_a_turn_and_starts_behind_the_last),
		T(one_call_serves_every_vcpu_and_counts_the_events),
		T(run_one_runs_one_and_an_interrupt_ends_it),
		T(a_running_vcpu_is_not_entered_a_second_time),
		T(counters_are_those_of_the_vm_or_of_one_vcpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
