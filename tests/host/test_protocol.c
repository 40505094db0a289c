/* sources: tests/host/manager.c tests/host/fake_vendor.c tests/host/fake.c mm/?*.c
 * kernel/protocol.c kernel/explicit.c kernel/ring.c kernel/vm.c kernel/vcpu.c kernel/lapic.c
 * kernel/lapic_vcpu.c tests/host/fake_timer.c kernel/root.c kernel/adopt.c kernel/hypercall.c
 * kernel/trace.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The conversion protocol: events, verdicts, explicit requests, hostile completions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/host/manager.h"
#include "tests/host/fake.h"
#include "kernel/protocol.h"

#define BIT_SHARED 40u
#define S	   BIT(BIT_SHARED)
#define PAGES	   2048ul /* of the guest */
#define RWX	   (SEPTUM_ATTR_READ | SEPTUM_ATTR_WRITE | SEPTUM_ATTR_EXEC)
#define PRIVATE	   SEPTUM_EVENT_PRIVATE

static u64 pool, vm;

static struct vm *the_vm(void)
{
	return vm_by_id(vm, true);
}

static u64 counter(u64 number)
{
	return CALL3(VM_COUNTER, vm, SEPTUM_ALL, number).value;
}

static void world(u64 vcpus, u64 shared_bit, u64 flags, u64 slot_flags)
{
	pool = pool_new(2);
	vm = vm_new(SEPTUM_SW_PROTECTED, pool, vcpus, shared_bit, flags);
	assert_int_not_equal(vm, 0);
	assert_int_equal(CALL5(SLOT_ADD, vm, 0, PAGES,
			       slot_flags == SEPTUM_SLOT_PRIVATE ? 0 : ROOT_SLOT, slot_flags)
				 .status,
			 OK);
	for (u64 i = 0; i < vcpus; i++)
		assert_int_equal(CALL2(VCPU_CREATE, vm, i).status, OK);
	assert_int_equal(CALL1(VM_START, vm).status, OK);
}

static int two_backings(void **state)
{
	(void)state;
	machine_start();
	world(4, BIT_SHARED, 0, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	return 0;
}

static int discardable(void **state)
{
	(void)state;
	machine_start();
	world(4, BIT_SHARED, SEPTUM_VM_DISCARD, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	return 0;
}

static int in_place(void **state)
{
	(void)state;
	machine_start();
	world(4, BIT_SHARED, 0, SEPTUM_SLOT_INPLACE);
	return 0;
}

static int by_attribute(void **state)
{
	(void)state;
	machine_start();
	world(4, 0, 0, SEPTUM_SLOT_SHARED | SEPTUM_SLOT_PRIVATE);
	return 0;
}

static int empty(void **state)
{
	(void)state;
	fake_hook = NULL;
	machine_empty();
	return 0;
}

static u64 run(void)
{
	struct answer answer = CALL2(RUN, vm, SEPTUM_ALL);

	assert_int_equal(answer.status, OK);
	return answer.value;
}

static u32 attributes(u64 g)
{
	return (u32)CALL2(ATTR_GET, vm, g).value & 0xf;
}

static u64 vcpu_state(u64 index)
{
	return CALL2(VCPU_INFO, vm, index).value & 0xff;
}

/* Runs until vCPU 0 has posted an event, and takes it. */
static struct septum_event event_of(enum step_kind kind, u64 a, u64 b, u64 c)
{
	struct septum_event event;

	fake_step(vm, 0, kind, a, b, c);
	run();
	assert_true(event_take(vm, &event));
	assert_int_equal(event.vcpu, 0);
	assert_int_equal(event.vm, vm);
	assert_int_not_equal(event.seq, 0);
	assert_int_equal(vcpu_state(0), SEPTUM_VCPU_WAITING);
	assert_int_equal(CALL2(VCPU_INFO, vm, 0).value >> 32, event.seq);
	return event;
}

static u32 answer(const struct septum_event *e, u16 verdict)
{
	return answer_event(vm, e, verdict, 0, 0, 0, 0);
}

static u32 convert(const struct septum_event *e, u64 first, u64 pages)
{
	return answer_event(vm, e, SEPTUM_VERDICT_CONVERT, e->flags & PRIVATE, first * PAGE_SIZE,
			    pages * PAGE_SIZE, 0);
}

static void still_outstanding(const struct septum_event *e)
{
	assert_int_equal(vcpu_state(e->vcpu), SEPTUM_VCPU_WAITING);
	assert_int_equal(CALL2(VCPU_INFO, vm, e->vcpu).value >> 32, e->seq);
}

/* ---- Implicit conversions ---- */

static void an_implicit_conversion_is_forwarded_converted_and_resumed(void **state)
{
	struct septum_event e = event_of(STEP_WRITE, 0x5008, 42, 0);

	(void)state;
	assert_int_equal(e.type, SEPTUM_EVENT_MEMORY_FAULT);
	assert_int_equal(e.flags, SEPTUM_EVENT_WRITE | PRIVATE);
	assert_int_equal(e.gpa, 0x5008);
	assert_int_equal(e.size, 4096);
	assert_int_equal(e.data[0], 0x5008);
	assert_int_equal(e.data[1], 0x1000 + STEP_WRITE);
	fake_step(vm, 0, STEP_READ, 0x5008, 0, 0);
	assert_int_equal(convert(&e, 5, 1), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 2);
	assert_int_equal(fake_cpu(vm, 0)->seen[1], 42);
	assert_int_equal(attributes(5), RWX | SEPTUM_ATTR_PRIVATE);
	assert_int_equal(attributes(4), RWX);
	assert_int_equal(attributes(6), RWX);
	assert_int_equal(counter(SEPTUM_COUNTER_IMPLICIT_FORWARDED), 1);
	assert_int_equal(counter(SEPTUM_COUNTER_IMPLICIT_CONVERTED), 1);
	audit_clean();

	e = event_of(STEP_READ, S | 0x5010, 0, 0);
	assert_int_equal(e.flags, SEPTUM_EVENT_READ);
	assert_int_equal(e.gpa, 0x5010);
	assert_int_equal(e.data[0], S | 0x5010);
	assert_int_equal(convert(&e, 5, 1), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 3);
	assert_int_equal(attributes(5), RWX);
	audit_clean();
}

static void a_range_larger_than_the_page_is_converted_at_once(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x205000, 0, 0);

	(void)state;
	assert_int_equal(convert(&e, 512, 512), OK);
	for (u64 g = 510; g < 1026; g++)
		assert_int_equal(!!(attributes(g) & SEPTUM_ATTR_PRIVATE), g >= 512 && g < 1024);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	audit_clean();
}

/* Another page's content is not the faulting guest page's to give up. */
static void converting_to_shared_keeps_what_others_hold(void **state)
{
	struct septum_event e = event_of(STEP_WRITE, 0x5000, 1, 0);

	(void)state;
	assert_int_equal(convert(&e, 0, 512), OK);
	fake_step(vm, 0, STEP_WRITE, 0x6000, 2, 0);
	run();
	e = event_of(STEP_READ, S | 0x5000, 0, 0);
	assert_int_equal(convert(&e, 5, 2), E_POPULATED);
	still_outstanding(&e);
	assert_int_equal(convert(&e, 5, 1), OK);
	fake_step(vm, 0, STEP_READ, 0x6000, 0, 0);
	run();
	assert_int_equal(fake_cpu(vm, 0)->seen[3], 2);
	assert_int_equal(counter(SEPTUM_COUNTER_VERDICTS_REFUSED), 1);
}

static void a_discarding_manager_may_throw_it_away(void **state)
{
	struct septum_event e = event_of(STEP_WRITE, 0x5000, 1, 0);

	(void)state;
	assert_int_equal(convert(&e, 0, 512), OK);
	fake_step(vm, 0, STEP_WRITE, 0x6000, 2, 0);
	run();
	e = event_of(STEP_READ, S | 0x5000, 0, 0);
	assert_int_equal(convert(&e, 0, 512), OK);
	audit_clean();
}

static void convert_must_fit_the_event(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0);
	const struct {
		u64 gpa, size;
		u32 flags, status;
	} bad[] = {
		{0x5001, 0x1000, PRIVATE, E_ALIGN},
		{0x5000, 0x1001, PRIVATE, E_ALIGN},
		{0x5000, 0xfff, PRIVATE, E_ALIGN},
		{0x5000, 0, PRIVATE, E_RANGE},
		{0x6000, 0x1000, PRIVATE, E_RANGE},
		{0x4000, 0x1000, PRIVATE, E_RANGE},
		{0, ~0xffful, PRIVATE, E_RANGE},
		{0, (CONVERT_PAGES_MAX + 1) << 12, PRIVATE, E_RANGE},
		{~0xffful, 0x10000, PRIVATE, E_RANGE},
		{0x5000, 0x1000, 0, E_VERDICT},
		{0x5000, 0x1000, PRIVATE | SEPTUM_EVENT_READ, E_ARG},
		{0x5000, 0x1000, ~0u, E_ARG},
		{0, S, PRIVATE, E_RANGE},
		{0, PAGES * 4096 + 4096, PRIVATE, E_NO_SLOT},
	};
	u64 before = machine_digest();

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
		assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_CONVERT, bad[i].flags,
					      bad[i].gpa, bad[i].size, 0),
				 bad[i].status);
		still_outstanding(&e);
	}
	/* The other three vCPUs have had turns. */
	assert_int_equal(counter(SEPTUM_COUNTER_VERDICTS_REFUSED), ARRAY_COUNT(bad));
	assert_int_equal(convert(&e, 5, 1), OK);
	(void)before;
}

static void attributes_forbid_what_a_conversion_cannot_mend(void **state)
{
	struct septum_event e;

	(void)state;
	assert_int_equal(CALL4(ATTR_SET, vm, 7, 1, SEPTUM_ATTR_READ).status, OK);
	e = event_of(STEP_WRITE, S | 0x7000, 1, 0);
	assert_int_equal(e.type, SEPTUM_EVENT_MEMORY_FAULT);
	assert_int_equal(e.flags, SEPTUM_EVENT_WRITE | SEPTUM_EVENT_PERMISSION);
	assert_int_equal(convert(&e, 7, 1), E_VERDICT);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), E_NO_PROGRESS);
	still_outstanding(&e);
	assert_int_equal(CALL4(ATTR_SET, vm, 7, 1, RWX).status, OK);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	assert_int_equal(counter(SEPTUM_COUNTER_IMPLICIT_FORWARDED), 0);

	e = event_of(STEP_READ, (PAGES + 3) * 4096, 0, 0);
	assert_int_equal(e.type, SEPTUM_EVENT_MEMORY_FAULT);
	assert_int_equal(e.flags, SEPTUM_EVENT_READ | SEPTUM_EVENT_NO_SLOT | PRIVATE);
	assert_int_equal(convert(&e, PAGES + 3, 1), E_VERDICT);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), E_NO_PROGRESS);
	assert_int_equal(CALL5(SLOT_ADD, vm, PAGES, 16, 0, SEPTUM_SLOT_PRIVATE).status, OK);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), OK);
	/* Now there is a slot: the same access is a conversion, and a new event. */
	still_outstanding(&(struct septum_event){.vcpu = 0, .seq = e.seq + 1});
}

static void a_denied_access_is_a_machine_check(void **state)
{
	struct septum_event e = event_of(STEP_WRITE, 0x5008, 42, 0);

	(void)state;
	assert_int_equal(answer(&e, SEPTUM_VERDICT_INJECT), OK);
	assert_int_equal(fake_cpu(vm, 0)->machine_checks, 1);
	assert_int_equal(fake_cpu(vm, 0)->machine_check_gpa, 0x5008);
	assert_true(fake_cpu(vm, 0)->refused[0]);
	assert_int_equal(counter(SEPTUM_COUNTER_IMPLICIT_DENIED), 1);
	assert_int_equal(attributes(5), RWX);
}

static void kill_ends_the_vcpu(void **state)
{
	struct septum_event e = event_of(STEP_WRITE, 0x5008, 42, 0);
	unsigned turns = fake_cpu(vm, 0)->turns;

	(void)state;
	assert_int_equal(answer(&e, SEPTUM_VERDICT_KILL), OK);
	assert_int_equal(vcpu_state(0), SEPTUM_VCPU_DEAD);
	assert_int_equal(CALL2(VCPU_INFO, vm, 0).value >> 32, 0);
	run();
	assert_int_equal(fake_cpu(vm, 0)->turns, turns);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_KILL), E_NO_EVENT);
	assert_int_equal(CALL3(VCPU_INTERRUPT, vm, 0, 32).status, E_STATE);
}

/* ---- Stale, replayed, blind ---- */

static void attribute_of_page_5_changes(void)
{
	assert_int_equal(CALL4(ATTR_SET, vm, 5, 1, SEPTUM_ATTR_READ).status, OK);
	assert_int_equal(CALL4(ATTR_SET, vm, 5, 1, RWX).status, OK);
}

/* vCPU 0 faults on page 5, which the manager would make private. Before it answers, the page
 * becomes private and shared again by vCPU 1's explicit requests: the verdict is about an old
 * state. */
static void a_stale_verdict_changes_nothing(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0), f, again;
	u64 attributes_before;

	(void)state;
	fake_step(vm, 1, STEP_MAP_RANGE, 0x5000, 1, SEPTUM_MAP_PRIVATE);
	fake_step(vm, 1, STEP_MAP_RANGE, 0x5000, 1, 0);
	run();
	for (unsigned i = 0; i < 2; i++) {
		assert_true(event_take(vm, &f));
		assert_int_equal(f.vcpu, 1);
		assert_int_equal(convert(&f, 5, 1), OK);
	}
	attributes_before = CALL2(ATTR_GET, vm, 5).value;
	assert_int_equal(convert(&e, 5, 1), E_STALE);
	assert_int_equal(CALL2(ATTR_GET, vm, 5).value, attributes_before);
	assert_int_equal(counter(SEPTUM_COUNTER_VERDICTS_STALE), 1);
	assert_int_equal(counter(SEPTUM_COUNTER_IMPLICIT_CONVERTED), 0);
	/* The vCPU looked again, and says so under a new number. */
	assert_true(event_take(vm, &again));
	assert_int_equal(again.vcpu, 0);
	assert_int_not_equal(again.seq, e.seq);
	assert_true(again.stamp > e.stamp);
	assert_int_equal(convert(&e, 5, 1), E_NO_EVENT);
	assert_int_equal(convert(&again, 5, 1), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	audit_clean();
}

/* The access is looked at when the verdict is taken, not when the vCPU happens to run again. */
static void a_verdict_is_followed_by_a_look_at_the_access_without_a_turn(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0), again;
	struct septum_completion c = {
		.verdict = SEPTUM_VERDICT_CONVERT,
		.flags = PRIVATE,
		.gpa = 0x5000,
		.size = 0x1000,
	};
	unsigned turns = fake_cpu(vm, 0)->turns;

	(void)state;
	attribute_of_page_5_changes();
	c.seq = e.seq;
	completion_put(vm, &c);
	/* One completion refused, one event posted. */
	assert_int_equal(CALL2(RUN, vm, 1).value, 1ul << 32 | 1 << 8 | SEPTUM_RUN_IDLE);
	assert_true(event_take(vm, &again));
	c.seq = again.seq;
	completion_put(vm, &c);
	assert_int_equal(CALL2(RUN, vm, 1).value, SEPTUM_RUN_IDLE);
	assert_int_equal(vcpu_state(0), SEPTUM_VCPU_RUNNABLE);
	assert_int_equal(counter(SEPTUM_COUNTER_MAPPED_4K), 1);
	assert_int_equal(fake_cpu(vm, 0)->turns, turns);
}

static void a_stale_verdict_whose_access_now_works_resumes_the_guest(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0), f;

	(void)state;
	fake_step(vm, 1, STEP_MAP_RANGE, 0x5000, 1, SEPTUM_MAP_PRIVATE);
	run();
	assert_true(event_take(vm, &f));
	assert_int_equal(convert(&f, 5, 1), OK);
	assert_int_equal(convert(&e, 4, 2), E_STALE);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	assert_int_equal(attributes(4), RWX);
	assert_false(event_look(vm, &f));
}

/* 16 neighbours do not make each other stale. */
static void a_change_beside_the_range_is_not_stale(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0), f;

	(void)state;
	fake_step(vm, 1, STEP_READ, 0x6000, 0, 0);
	run();
	assert_true(event_take(vm, &f));
	assert_int_equal(convert(&f, 6, 1), OK);
	assert_int_equal(convert(&e, 5, 1), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
}

static void a_blind_retry_is_refused_under_the_same_seq(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0), f;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), E_NO_PROGRESS);
		still_outstanding(&e);
		assert_false(event_look(vm, &f));
	}
	/* Something else changes: still none for this one. */
	assert_int_equal(CALL4(ATTR_SET, vm, 9, 1, RWX | SEPTUM_ATTR_PRIVATE).status, OK);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), E_NO_PROGRESS);
	assert_int_equal(CALL4(ATTR_SET, vm, 5, 1, RWX | SEPTUM_ATTR_PRIVATE).status, OK);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
}

static void an_event_that_was_not_consumed_cannot_be_answered(void **state)
{
	struct septum_event e;

	(void)state;
	fake_step(vm, 0, STEP_READ, 0x5000, 0, 0);
	run();
	assert_true(event_look(vm, &e));
	assert_int_equal(convert(&e, 5, 1), E_NO_EVENT);
	still_outstanding(&e);
	assert_int_equal(attributes(5), RWX);
	assert_true(event_take(vm, &e));
	assert_int_equal(convert(&e, 5, 1), OK);
}

static void a_completion_names_its_event_exactly(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0);
	struct septum_completion good = {
		.seq = e.seq,
		.verdict = SEPTUM_VERDICT_CONVERT,
		.flags = PRIVATE,
		.gpa = 0x5000,
		.size = 0x1000,
	};
	struct septum_completion c;
	u32 slot;

	(void)state;
#define REFUSED(change, expected)                                                                  \
	do {                                                                                       \
		c = good;                                                                          \
		change;                                                                            \
		slot = completion_put(vm, &c);                                                     \
		assert_int_equal(run() >> 32, 1);                                                  \
		assert_int_equal(completion_status(vm, slot), expected);                           \
		still_outstanding(&e);                                                             \
		assert_int_equal(attributes(5), RWX);                                              \
	} while (0)
	REFUSED(c.seq++, E_NO_EVENT);
	REFUSED(c.seq = 0, E_NO_EVENT);
	REFUSED(c.seq = ~0u, E_NO_EVENT);
	REFUSED(c.vcpu = 1, E_NO_EVENT);
	REFUSED(c.vcpu = 4, E_NO_VCPU);
	REFUSED(c.vcpu = 0xffff, E_NO_VCPU);
	REFUSED(c.verdict = 0, E_VERDICT);
	REFUSED(c.verdict = 6, E_VERDICT);
	REFUSED(c.verdict = 0xffff, E_VERDICT);
	REFUSED(c.reserved[0] = 1, E_ARG);
	REFUSED(c.reserved[1] = 1ul << 63, E_ARG);
	REFUSED(c.reserved[2] = 1, E_ARG);
	REFUSED(c.flags |= 1, E_ARG);
	REFUSED(c.verdict = SEPTUM_VERDICT_KILL, E_ARG);
#undef REFUSED
	/* Each of them is in the advisory log. */
	assert_int_equal(ring_read(vm, offsetof(struct septum_ring, log_head)), 14);
	assert_int_equal(the_vm()->ring.log[13].b, E_ARG);
	assert_int_equal(the_vm()->ring.log[0].a, (u64)SEPTUM_VERDICT_CONVERT << 32 | (e.seq + 1));
	/* Twice in one ring: once. */
	completion_put(vm, &good);
	slot = completion_put(vm, &good);
	assert_int_equal(run() >> 32, 1);
	assert_int_equal(completion_status(vm, slot), E_NO_EVENT);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	assert_int_equal(counter(SEPTUM_COUNTER_IMPLICIT_CONVERTED), 1);
}

/* ---- Verdict x event ---- */

/* Part 4 of abi.h, written a second time: C converts, and so on; '-' is E_VERDICT. */
static const char *const part4[EVENT_TYPES] = {
	[SEPTUM_EVENT_MEMORY_FAULT] = "CRIK-", [SEPTUM_EVENT_EXPLICIT] = "C--KO",
	[SEPTUM_EVENT_POOL_EMPTY] = "-R-K-",   [SEPTUM_EVENT_IO] = "--IKO",
	[SEPTUM_EVENT_MMIO] = "-RIKO",	       [SEPTUM_EVENT_MSR] = "--IKO",
	[SEPTUM_EVENT_HALT] = "---KO",	       [SEPTUM_EVENT_SHUTDOWN] = "---K-",
	[SEPTUM_EVENT_FAILED] = "---K-",
};

static struct septum_event event_of_type(u16 type)
{
	struct septum_event e = {0};

	switch (type) {
	case SEPTUM_EVENT_MEMORY_FAULT:
		e = event_of(STEP_READ, 0x5000, 0, 0);
		break;
	case SEPTUM_EVENT_EXPLICIT:
		e = event_of(STEP_MAP_RANGE, 0x5000, 1, SEPTUM_MAP_PRIVATE);
		break;
	case SEPTUM_EVENT_POOL_EMPTY:
		assert_int_equal(CALL4(ATTR_SET, vm, 5, 1, RWX | SEPTUM_ATTR_PRIVATE).status, OK);
		pool_starve(pool, 0);
		e = event_of(STEP_READ, 0x5000, 0, 0);
		break;
	case SEPTUM_EVENT_IO:
		e = event_of(STEP_IN, 0x80, 0, 0);
		break;
	case SEPTUM_EVENT_MMIO:
		e = event_of(STEP_READ, S | PAGES * 4096, 0, 0);
		break;
	case SEPTUM_EVENT_MSR:
		e = event_of(STEP_RDMSR, 0x8b, 0, 0);
		break;
	case SEPTUM_EVENT_HALT:
		e = event_of(STEP_HALT, 1, 0, 0);
		break;
	case SEPTUM_EVENT_SHUTDOWN:
		e = event_of(STEP_SHUTDOWN, 0, 0, 0);
		break;
	default:
		e = event_of(STEP_EXEC, S | PAGES * 4096, 0, 0);
	}
	assert_int_equal(e.type, type);
	return e;
}

/* Lets the verdict have a reason to succeed. */
static void mend(u16 type)
{
	if (type == SEPTUM_EVENT_MEMORY_FAULT)
		assert_int_equal(CALL4(ATTR_SET, vm, 5, 1, RWX | SEPTUM_ATTR_PRIVATE).status, OK);
	if (type == SEPTUM_EVENT_POOL_EMPTY)
		pool_feed();
	if (type == SEPTUM_EVENT_MMIO)
		assert_int_equal(
			CALL5(SLOT_ADD, vm, PAGES, 1, ROOT_SLOT + PAGES, SEPTUM_SLOT_SHARED).status,
			OK);
}

static void every_cell_of_verdict_and_event(void **state)
{
	for (u16 type = 1; type < EVENT_TYPES; type++) {
		for (u16 verdict = 1; verdict < VERDICTS; verdict++) {
			char cell = part4[type][verdict - 1];
			struct septum_event e;
			u32 flags = 0;
			u32 status;
			struct fake_cpu *cpu = fake_cpu(1, 0);

			two_backings(state);
			cpu = fake_cpu(vm, 0);
			e = event_of_type(type);
			if (verdict == SEPTUM_VERDICT_RETRY)
				mend(type);
			if (verdict == SEPTUM_VERDICT_CONVERT)
				flags = PRIVATE;
			status = answer_event(vm, &e, verdict, flags, 0x5000, 0x1000,
					      type == SEPTUM_EVENT_HALT ? 1 : 77);
			assert_int_equal(verdict_effects[type][verdict] != EFFECT_NONE,
					 cell != '-');
			if (cell == '-') {
				assert_int_equal(status, E_VERDICT);
				still_outstanding(&e);
				assert_int_equal(cpu->at, 0);
			} else if (cell == 'K') {
				assert_int_equal(status, OK);
				assert_int_equal(vcpu_state(0), SEPTUM_VCPU_DEAD);
			} else {
				assert_int_equal(status, OK);
				assert_int_equal(cpu->at, 1);
				assert_int_equal(vcpu_state(0), SEPTUM_VCPU_RUNNABLE);
				assert_int_equal(cpu->refused[0], cell == 'I');
			}
			if (cell == 'C')
				assert_true(attributes(5) & SEPTUM_ATTR_PRIVATE);
			if (cell == 'O')
				assert_int_equal(cpu->seen[0], type == SEPTUM_EVENT_HALT ? 1 : 77);
			empty(state);
		}
	}
}

static void an_answer_that_the_instruction_cannot_take_is_refused(void **state)
{
	struct septum_event e = event_of(STEP_IN, 0x60, 0, 0);

	(void)state;
	fake_cpu(vm, 0)->in_flight = false;
	assert_int_equal(answer(&e, SEPTUM_VERDICT_COMPLETE), E_VERDICT);
	still_outstanding(&e);
	fake_cpu(vm, 0)->in_flight = true;
	assert_int_equal(answer(&e, SEPTUM_VERDICT_COMPLETE), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
}

static void halt_sleeps_until_an_interrupt_that_it_can_take(void **state)
{
	struct septum_event e = event_of(STEP_HALT, 1, 0, 0);
	struct fake_cpu *cpu = fake_cpu(vm, 0);

	(void)state;
	assert_int_equal(e.flags, SEPTUM_EVENT_INTERRUPTIBLE);
	assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_COMPLETE, 0, 0, 0, 2), E_ARG);
	assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_COMPLETE, 0, 0, 0, 0), OK);
	assert_int_equal(vcpu_state(0), SEPTUM_VCPU_HALTED);
	assert_int_equal(CALL2(RUN, vm, 0).value & 0xff, SEPTUM_RUN_IDLE);
	assert_int_equal(cpu->at, 0);
	assert_int_equal(CALL3(VCPU_INTERRUPT, vm, 0, 33).status, OK);
	assert_int_equal(CALL3(VCPU_INTERRUPT, vm, 0, 34).status, E_BUSY);
	run();
	assert_int_equal(cpu->at, 1);
	assert_int_equal(cpu->interrupts, 1);

	e = event_of(STEP_HALT, 0, 0, 0);
	assert_int_equal(e.flags, 0);
	assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_COMPLETE, 0, 0, 0, 0), OK);
	assert_int_equal(CALL3(VCPU_INTERRUPT, vm, 0, 33).status, OK);
	run();
	assert_int_equal(vcpu_state(0), SEPTUM_VCPU_HALTED);
	assert_int_equal(CALL3(VCPU_INTERRUPT, vm, 0, SEPTUM_NMI).status, OK);
	assert_int_equal(CALL3(VCPU_INTERRUPT, vm, 0, SEPTUM_NMI).status, E_BUSY);
	run();
	assert_int_equal(cpu->at, 2);
	assert_int_equal(cpu->nmis, 1);
}

static void a_retried_mmio_access_that_nothing_has_changed_for_is_refused(void **state)
{
	struct septum_event e = event_of_type(SEPTUM_EVENT_MMIO);

	(void)state;
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), E_NO_PROGRESS);
	still_outstanding(&e);
	mend(SEPTUM_EVENT_MMIO);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
}

static void instructions_and_page_tables_on_mmio_are_a_failure(void **state)
{
	struct septum_event e = event_of(STEP_EXEC, S | (PAGES + 1) * 4096, 0, 0);

	assert_int_equal(e.type, SEPTUM_EVENT_FAILED);
	assert_int_equal(e.data[0], SEPTUM_FAILURE_DECODE);
	assert_int_equal(e.gpa, (PAGES + 1) * 4096);
	empty(state);
	two_backings(state);
	e = event_of(STEP_WALK, S | (PAGES + 1) * 4096, 0, 0);
	assert_int_equal(e.type, SEPTUM_EVENT_FAILED);
	assert_true(e.flags & SEPTUM_EVENT_WALK);
}

static void an_address_beyond_the_guest_is_a_machine_check(void **state)
{
	(void)state;
	fake_step(vm, 0, STEP_READ, BIT(44), 0, 0);
	run();
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	assert_int_equal(fake_cpu(vm, 0)->machine_checks, 1);
}

/* ---- Loop guard ---- */

static void the_same_denied_access_is_cut_off(void **state)
{
	struct septum_event e, failed;

	(void)state;
	for (unsigned i = 0; i < 70; i++)
		fake_step(vm, 0, STEP_READ, 0x5000, 0, 0);
	run();
	for (unsigned i = 1; i < LOOP_LIMIT; i++) {
		assert_true(event_take(vm, &e));
		assert_int_equal(e.type, SEPTUM_EVENT_MEMORY_FAULT);
		assert_int_equal(answer(&e, SEPTUM_VERDICT_INJECT), OK);
		assert_int_equal(fake_cpu(vm, 0)->machine_checks, i);
	}
	assert_true(event_take(vm, &e));
	assert_int_equal(answer(&e, SEPTUM_VERDICT_INJECT), OK);
	assert_int_equal(fake_cpu(vm, 0)->machine_checks, LOOP_LIMIT - 1);
	assert_true(event_take(vm, &failed));
	assert_int_equal(failed.type, SEPTUM_EVENT_FAILED);
	assert_int_equal(failed.data[0], SEPTUM_FAILURE_LOOP);
	assert_int_equal(failed.gpa, 0x5000);
	assert_int_equal(counter(SEPTUM_COUNTER_LOOPS), 1);
	assert_int_equal(answer(&failed, SEPTUM_VERDICT_RETRY), E_VERDICT);
	assert_int_equal(answer(&failed, SEPTUM_VERDICT_COMPLETE), E_VERDICT);
	assert_int_equal(answer(&failed, SEPTUM_VERDICT_KILL), OK);
	assert_int_equal(vcpu_state(0), SEPTUM_VCPU_DEAD);
}

/* Answers `count` denials; before each that is a multiple of `every`, `between` happens. */
static void denials(unsigned count, unsigned every, void (*between)(void))
{
	struct septum_event e;

	run();
	for (unsigned i = 0; i < count; i++) {
		assert_true(event_take(vm, &e));
		assert_int_equal(e.type, SEPTUM_EVENT_MEMORY_FAULT);
		if (between && i % every == every - 1)
			between();
		assert_int_equal(answer(&e, SEPTUM_VERDICT_INJECT), OK);
	}
	assert_int_equal(counter(SEPTUM_COUNTER_LOOPS), 0);
}

static void an_attribute_change_starts_the_loop_guard_anew(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 110; i++)
		fake_step(vm, 0, STEP_READ, 0x5000, 0, 0);
	denials(110, 40, attribute_of_page_5_changes);
}

static void another_access_starts_the_loop_guard_anew(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 110; i++)
		fake_step(vm, 0, STEP_READ, i % 40 == 39 ? 0x5008 : 0x5000, 0, 0);
	denials(110, 1, NULL);
}

static void another_kind_of_access_starts_the_loop_guard_anew(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 110; i++)
		fake_step(vm, 0, i % 40 == 39 ? STEP_WRITE : STEP_READ, 0x5000, 0, 0);
	denials(110, 1, NULL);
}

/* ---- Pool empty ---- */

static void an_empty_pool_asks_for_frames_and_goes_on(void **state)
{
	struct septum_event e = event_of(STEP_WRITE, 0x5000, 7, 0), f;

	(void)state;
	assert_int_equal(convert(&e, 0, 512), OK);
	pool_starve(pool, 0);
	/* The next write into another block finds nothing. */
	assert_int_equal(CALL4(ATTR_SET, vm, 512, 1, RWX).status, OK);
	fake_step(vm, 0, STEP_WRITE, 0x200000, 8, 0);
	run();
	assert_true(event_take(vm, &f));
	if (f.type == SEPTUM_EVENT_MEMORY_FAULT) {
		/* Even the attribute table cannot be had. */
		assert_int_equal(convert(&f, 512, 1), E_POOL_EMPTY);
		still_outstanding(&f);
		assert_int_equal(attributes(512), RWX);
		pool_feed();
		pool_starve(pool, 2);
		assert_int_equal(convert(&f, 512, 1), OK);
	}
	pool_feed();
	run();
	audit_clean();
	assert_true(counter(SEPTUM_COUNTER_POOL_EMPTY) > 0);
}

static void a_retry_on_an_empty_pool_needs_the_frames(void **state)
{
	struct septum_event e = event_of_type(SEPTUM_EVENT_POOL_EMPTY), f;

	(void)state;
	assert_true(e.data[0] >= 1);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), E_NO_PROGRESS);
	still_outstanding(&e);
	pool_feed();
	pool_starve(pool, e.data[0] - 1);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), E_NO_PROGRESS);
	pool_feed();
	pool_starve(pool, e.data[0]);
	assert_int_equal(answer(&e, SEPTUM_VERDICT_RETRY), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	assert_false(event_look(vm, &f));
	assert_int_equal(counter(SEPTUM_COUNTER_POOL_EMPTY), 1);
}

/* ---- Explicit requests ---- */

static void an_explicit_request_asks_once_for_each_run_that_is_not_yet_so(void **state)
{
	struct septum_event e;
	static const struct {
		u64 first, count;
	} runs[] = {{0, 2}, {3, 4}, {8, 56}};

	(void)state;
	assert_int_equal(CALL4(ATTR_SET, vm, 2, 1, RWX | SEPTUM_ATTR_PRIVATE).status, OK);
	assert_int_equal(CALL4(ATTR_SET, vm, 7, 1, RWX | SEPTUM_ATTR_PRIVATE).status, OK);
	/* Permissions do not divide a run. */
	assert_int_equal(CALL4(ATTR_SET, vm, 4, 1, SEPTUM_ATTR_READ).status, OK);
	fake_step(vm, 0, STEP_MAP_RANGE, 0, 64, SEPTUM_MAP_PRIVATE);
	run();
	for (unsigned i = 0; i < ARRAY_COUNT(runs); i++) {
		assert_true(event_take(vm, &e));
		assert_int_equal(e.type, SEPTUM_EVENT_EXPLICIT);
		assert_int_equal(e.flags, PRIVATE);
		assert_int_equal(e.gpa, runs[i].first * 4096);
		assert_int_equal(e.size, runs[i].count * 4096);
		assert_int_equal(fake_cpu(vm, 0)->at, 0);
		assert_int_equal(convert(&e, runs[i].first, runs[i].count), OK);
	}
	assert_false(event_look(vm, &e));
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	assert_int_equal(fake_cpu(vm, 0)->seen[0], 0);
	for (u64 g = 0; g < 65; g++)
		assert_int_equal(!!(attributes(g) & SEPTUM_ATTR_PRIVATE), g < 64);
	assert_int_equal(attributes(4), SEPTUM_ATTR_READ | SEPTUM_ATTR_PRIVATE);
	assert_int_equal(counter(SEPTUM_COUNTER_EXPLICIT_REQUESTS), 1);
	assert_int_equal(counter(SEPTUM_COUNTER_EXPLICIT_DONE), 1);
	audit_clean();
	/* Again: nothing to ask. */
	fake_step(vm, 0, STEP_MAP_RANGE, 0, 64, SEPTUM_MAP_PRIVATE);
	run();
	assert_false(event_look(vm, &e));
	assert_int_equal(fake_cpu(vm, 0)->seen[1], 0);
}

static void the_first_refusal_ends_an_explicit_request(void **state)
{
	struct septum_event e;

	(void)state;
	assert_int_equal(CALL4(ATTR_SET, vm, 2, 1, RWX | SEPTUM_ATTR_PRIVATE).status, OK);
	e = event_of(STEP_MAP_RANGE, 0, 4, SEPTUM_MAP_PRIVATE);
	assert_int_equal(convert(&e, 0, 1), E_RANGE);
	assert_int_equal(convert(&e, 1, 1), E_RANGE);
	assert_int_equal(convert(&e, 0, 3), E_RANGE);
	assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_CONVERT, 0, 0, 0x2000, 0), E_VERDICT);
	assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_CONVERT, PRIVATE, 1, 0x2000, 0),
			 E_ALIGN);
	assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_COMPLETE, 0, 0, 0, 0), E_ARG);
	still_outstanding(&e);
	assert_int_equal(convert(&e, 0, 2), OK);
	assert_true(event_take(vm, &e));
	assert_int_equal(e.gpa, 0x3000);
	assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_COMPLETE, 0, 0, 0, (u64)-22), OK);
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	assert_int_equal(fake_cpu(vm, 0)->seen[0], (u64)-22);
	/* What was granted stays. */
	assert_true(attributes(1) & SEPTUM_ATTR_PRIVATE);
	assert_false(attributes(3) & SEPTUM_ATTR_PRIVATE);
	assert_int_equal(counter(SEPTUM_COUNTER_EXPLICIT_DONE), 0);
	assert_false(event_look(vm, &e));
}

static void an_explicit_request_is_checked_as_kvm_does(void **state)
{
	static const struct {
		u64 gpa, pages, attributes;
		s64 answer;
	} bad[] = {
		{0x1001, 1, 0, -SEPTUM_KVM_EINVAL},
		{0x1000, 0, 0, -SEPTUM_KVM_EINVAL},
		{0x1000, ~0ul, 0, -SEPTUM_KVM_EINVAL},
		{~0xffful, 2, 0, -SEPTUM_KVM_EINVAL},
		{S, 1, 0, -SEPTUM_KVM_EINVAL},
		{S - 0x1000, 2, 0, -SEPTUM_KVM_EINVAL},
		{0x1000, 1, 0x80, -SEPTUM_KVM_EINVAL},
		{0x1000, 1, 1ul << 63, -SEPTUM_KVM_EINVAL},
		{0x1000, 1, 3, -SEPTUM_KVM_EINVAL},
		{0x1000, 1, SEPTUM_MAP_PRESERVE | SEPTUM_MAP_ZERO, -SEPTUM_KVM_EINVAL},
		{PAGES * 4096, 1, SEPTUM_MAP_PRIVATE, -SEPTUM_KVM_EINVAL},
		{PAGES * 4096 - 4096, 2, SEPTUM_MAP_PRIVATE, -SEPTUM_KVM_EINVAL},
		{0, PAGES + 1, SEPTUM_MAP_PRIVATE, -SEPTUM_KVM_EINVAL},
		{0, 1, SEPTUM_MAP_PRIVATE | SEPTUM_MAP_PRESERVE, -SEPTUM_KVM_EOPNOTSUPP},
	};
	struct septum_event e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
		fake_step(vm, 0, STEP_MAP_RANGE, bad[i].gpa, bad[i].pages, bad[i].attributes);
	run();
	assert_false(event_look(vm, &e));
	assert_int_equal(fake_cpu(vm, 0)->at, ARRAY_COUNT(bad));
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_equal((s64)fake_cpu(vm, 0)->seen[i], bad[i].answer);
	assert_int_equal(counter(SEPTUM_COUNTER_EXPLICIT_REQUESTS), 0);
	/* The page-size hint and `zero` are fine. */
	e = event_of(STEP_MAP_RANGE, 0, 512, SEPTUM_MAP_PRIVATE | SEPTUM_MAP_ZERO | 1);
	assert_int_equal(e.type, SEPTUM_EVENT_EXPLICIT);
}

/* Slots that adjoin are one range, in whatever order they were made; each must be able to. */
static void an_explicit_request_may_span_slots(void **state)
{
	struct septum_event e;

	(void)state;
	assert_int_equal(CALL5(SLOT_ADD, vm, PAGES + 16, 16, 0, SEPTUM_SLOT_PRIVATE).status, OK);
	assert_int_equal(CALL5(SLOT_ADD, vm, PAGES, 16, 0, SEPTUM_SLOT_PRIVATE).status, OK);
	assert_int_equal(
		CALL5(SLOT_ADD, vm, PAGES + 32, 1, ROOT_SLOT + PAGES, SEPTUM_SLOT_SHARED).status,
		OK);
	fake_step(vm, 0, STEP_MAP_RANGE, (PAGES - 4) * 4096, 37, SEPTUM_MAP_PRIVATE);
	fake_step(vm, 0, STEP_MAP_RANGE, (PAGES - 4) * 4096, 37, 0);
	e = event_of(STEP_MAP_RANGE, (PAGES - 4) * 4096, 36, SEPTUM_MAP_PRIVATE);
	assert_int_equal((s64)fake_cpu(vm, 0)->seen[0], -SEPTUM_KVM_EINVAL);
	assert_int_equal(fake_cpu(vm, 0)->seen[1], 0);
	assert_int_equal(e.gpa, (PAGES - 4) * 4096);
	assert_int_equal(e.size, 36 * 4096);
	assert_int_equal(convert(&e, PAGES - 4, 36), OK);
	audit_clean();
}

/* 2 GiB and a page: three events. More than 1 TiB: none. */
static void a_huge_explicit_request_is_asked_for_in_pieces(void **state)
{
	const u64 first = 1ul << 30, pages = 2 * CONVERT_PAGES_MAX + 1;
	struct septum_event e;

	(void)state;
	assert_int_equal(CALL5(SLOT_ADD, vm, first, 1ul << 29, 0, SEPTUM_SLOT_PRIVATE).status, OK);
	fake_step(vm, 0, STEP_MAP_RANGE, first << 12, (1ul << 28) + 1, SEPTUM_MAP_PRIVATE);
	fake_step(vm, 0, STEP_MAP_RANGE, first << 12, pages, SEPTUM_MAP_PRIVATE);
	run();
	assert_int_equal((s64)fake_cpu(vm, 0)->seen[0], -SEPTUM_KVM_E2BIG);
	for (u64 at = 0; at < pages;) {
		u64 piece = MIN(pages - at, CONVERT_PAGES_MAX);

		assert_true(event_take(vm, &e));
		assert_int_equal(e.gpa, (first + at) << 12);
		assert_int_equal(e.size, piece << 12);
		assert_int_equal(convert(&e, first + at, piece), OK);
		at += piece;
	}
	assert_false(event_look(vm, &e));
	assert_int_equal(fake_cpu(vm, 0)->seen[1], 0);
	assert_int_equal(counter(SEPTUM_COUNTER_PAGES_PRIVATE), pages);
	audit_clean();
}

static void an_explicit_request_waits_for_an_empty_pool(void **state)
{
	struct septum_event e = event_of(STEP_MAP_RANGE, 0x3000, 1, SEPTUM_MAP_PRIVATE);

	(void)state;
	pool_starve(pool, 0);
	assert_int_equal(convert(&e, 3, 1), E_POOL_EMPTY);
	still_outstanding(&e);
	assert_int_equal(attributes(3), RWX);
	assert_int_equal(counter(SEPTUM_COUNTER_POOL_EMPTY), 1);
	pool_feed();
	assert_int_equal(convert(&e, 3, 1), OK);
	assert_int_equal(fake_cpu(vm, 0)->seen[0], 0);
}

static void a_plain_guest_has_no_conversions(void **state)
{
	(void)state;
	machine_start();
	pool = pool_new(1);
	vm = vm_new(SEPTUM_PLAIN, pool, 1, 0, 0);
	assert_int_equal(CALL5(SLOT_ADD, vm, 0, 16, ROOT_SLOT, SEPTUM_SLOT_SHARED).status, OK);
	assert_int_equal(CALL2(VCPU_CREATE, vm, 0).status, OK);
	assert_int_equal(CALL1(VM_START, vm).status, OK);
	fake_step(vm, 0, STEP_MAP_RANGE, 0, 1, SEPTUM_MAP_PRIVATE);
	fake_step(vm, 0, STEP_WRITE, 0x1000, 5, 0);
	run();
	assert_int_equal((s64)fake_cpu(vm, 0)->seen[0], -SEPTUM_KVM_ENOSYS);
	assert_int_equal(fake_cpu(vm, 0)->at, 2);
}

static void in_place_content_is_kept_only_if_asked_for(void **state)
{
	struct septum_event e;

	(void)state;
	fake_step(vm, 0, STEP_WRITE, S | 0x3000, 0x1111, 0);
	fake_step(vm, 0, STEP_WRITE, S | 0x4000, 0x2222, 0);
	run();
	e = event_of(STEP_MAP_RANGE, 0x3000, 1, SEPTUM_MAP_PRIVATE | SEPTUM_MAP_PRESERVE);
	assert_int_equal(e.flags, PRIVATE | SEPTUM_EVENT_PRESERVE);
	assert_int_equal(convert(&e, 3, 1), OK);
	e = event_of(STEP_MAP_RANGE, 0x4000, 1, SEPTUM_MAP_PRIVATE);
	assert_int_equal(convert(&e, 4, 1), OK);
	fake_step(vm, 0, STEP_READ, 0x3000, 0, 0);
	fake_step(vm, 0, STEP_READ, 0x4000, 0, 0);
	run();
	assert_int_equal(fake_cpu(vm, 0)->seen[4], 0x1111);
	assert_int_equal(fake_cpu(vm, 0)->seen[5], 0);
	audit_clean();
}

static void without_a_shared_bit_only_explicit_requests_convert(void **state)
{
	struct septum_event e;

	(void)state;
	fake_step(vm, 0, STEP_WRITE, 0x3000, 0x1111, 0);
	run();
	assert_int_equal(fake_cpu(vm, 0)->at, 1);
	e = event_of(STEP_MAP_RANGE, 0x3000, 1, SEPTUM_MAP_PRIVATE);
	assert_int_equal(convert(&e, 3, 1), OK);
	fake_step(vm, 0, STEP_READ, 0x3000, 0, 0);
	run();
	assert_int_equal(fake_cpu(vm, 0)->seen[2], 0);
	assert_int_equal(counter(SEPTUM_COUNTER_IMPLICIT_FORWARDED), 0);
	audit_clean();
}

/* ---- Detached vCPUs ---- */

/* The verdict on vCPU 1, which CPU 1 runs, is drained by CPU 0: it lies in the slot until CPU 1
 * applies it, and the one behind it, which CPU 0 applies, does not overtake it in the ring. */
static void a_verdict_for_another_cpu_is_left_in_its_slot(void **state)
{
	struct septum_completion one = {.vcpu = 1, .verdict = SEPTUM_VERDICT_KILL};
	struct septum_completion zero = {.vcpu = 0, .verdict = SEPTUM_VERDICT_KILL};
	const size_t tail_at = offsetof(struct septum_ring, completion_tail);
	struct septum_event e, f;
	struct vcpu *v;
	enum status status;
	u32 tail;

	(void)state;
	fake_step(vm, 0, STEP_READ, 0x5000, 0, 0);
	fake_step(vm, 1, STEP_READ, 0x6000, 0, 0);
	run();
	assert_true(event_take(vm, &e) && event_take(vm, &f));
	(e.vcpu == 0 ? &zero : &one)->seq = e.seq;
	(f.vcpu == 0 ? &zero : &one)->seq = f.seq;
	v = the_vm()->vcpus[1];
	v->cpu = 1;
	tail = ring_read(vm, tail_at);
	completion_put(vm, &one);
	completion_put(vm, &zero);
	assert_int_equal(CALL2(RUN, vm, 1).status, E_STATE);
	run();
	assert_int_equal(vcpu_state(0), SEPTUM_VCPU_DEAD);
	assert_int_equal(vcpu_state(1), SEPTUM_VCPU_WAITING);
	assert_int_equal(v->slot.answer, SLOT_ANSWERED);
	assert_int_equal(fake_kicks[1], 1);
	assert_int_equal(ring_read(vm, tail_at), tail);
	run();
	assert_int_equal(vcpu_state(1), SEPTUM_VCPU_WAITING);
	assert_int_equal(verdicts_drain(the_vm(), v, &status), 0);
	assert_int_equal(vcpu_state(1), SEPTUM_VCPU_DEAD);
	assert_int_equal(ring_read(vm, tail_at), tail + 2);
	v->cpu = 0;
}

/* ---- A manager that begins anew ---- */

/* The same event under another number. */
static void same_anew(const struct septum_event *old, const struct septum_event *anew, u32 newest)
{
	struct septum_event copy = *anew;

	assert_true(anew->seq > newest);
	copy.seq = old->seq;
	assert_memory_equal(&copy, old, sizeof(copy));
}

static void a_new_manager_gets_each_outstanding_event_once_more(void **state)
{
	struct septum_event old[4], anew, e;
	struct septum_completion late;
	u32 newest = 0;

	(void)state;
	fake_step(vm, 0, STEP_WRITE, 0x5008, 77, 0);
	fake_step(vm, 1, STEP_MAP_RANGE, 0x8000, 2, SEPTUM_MAP_PRIVATE);
	fake_step(vm, 2, STEP_IN, 0x60, 0, 0);
	fake_step(vm, 3, STEP_HALT, 1, 0, 0);
	run();
	for (unsigned i = 0; i < 4; i++) {
		assert_true(event_take(vm, &e));
		old[e.vcpu] = e;
		newest = e.seq > newest ? e.seq : newest;
	}
	assert_int_equal(answer_event(vm, &old[3], SEPTUM_VERDICT_COMPLETE, 0, 0, 0, 0), OK);
	assert_int_equal(vcpu_state(3), SEPTUM_VCPU_HALTED);
	assert_int_equal(vm_adopt_anew(vm).status, OK);
	assert_int_equal(vcpu_state(3), SEPTUM_VCPU_HALTED);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(event_take(vm, &anew));
		same_anew(&old[anew.vcpu], &anew, newest);
		still_outstanding(&anew);
		/* What the old manager had to say comes too late. */
		late = (struct septum_completion){.seq = old[anew.vcpu].seq,
						  .vcpu = anew.vcpu,
						  .verdict = SEPTUM_VERDICT_KILL};
		completion_put(vm, &late);
		run();
		still_outstanding(&anew);
		old[anew.vcpu] = anew;
	}
	assert_false(event_take(vm, &anew));
	assert_int_equal(convert(&old[0], 5, 1), OK);
	assert_int_equal(convert(&old[1], 8, 2), OK);
	assert_int_equal(answer_event(vm, &old[2], SEPTUM_VERDICT_COMPLETE, 0, 0, 0, 0x42), OK);
	assert_int_equal(fake_cpu(vm, 0)->seen[0], 77);
	assert_int_equal(fake_cpu(vm, 1)->seen[0], 0);
	assert_int_equal(fake_cpu(vm, 2)->seen[0], 0x42);
	assert_false(event_take(vm, &anew));
	audit_clean();
}

/* A decision that the new manager makes is still one on the state that the event saw. */
static void an_event_that_is_posted_anew_keeps_its_stamp(void **state)
{
	struct septum_event e = event_of(STEP_WRITE, 0x5000, 1, 0), f;

	(void)state;
	fake_step(vm, 1, STEP_WRITE, 0x5000 | S, 2, 0);
	assert_int_equal(CALL4(ATTR_SET, vm, 5, 1, RWX | SEPTUM_ATTR_PRIVATE).status, OK);
	assert_int_equal(CALL4(ATTR_SET, vm, 5, 1, RWX).status, OK);
	assert_int_equal(vm_adopt_anew(vm).status, OK);
	assert_true(event_take(vm, &f));
	same_anew(&e, &f, e.seq);
	assert_int_equal(convert(&f, 5, 1), E_STALE);
}

static void a_verdict_that_was_not_applied_is_forgotten_with_its_manager(void **state)
{
	struct septum_event e = event_of(STEP_WRITE, 0x5000, 1, 0), f;
	struct vcpu *v = the_vm()->vcpus[0];
	struct septum_completion c = {.seq = e.seq, .verdict = SEPTUM_VERDICT_KILL};

	(void)state;
	v->cpu = 1;
	completion_put(vm, &c);
	run();
	assert_int_equal(v->slot.answer, SLOT_ANSWERED);
	v->cpu = 0; /* as vcpus_attach() leaves it */
	assert_int_equal(vm_adopt_anew(vm).status, OK);
	run();
	assert_int_equal(vcpu_state(0), SEPTUM_VCPU_WAITING);
	assert_int_equal(ring_read(vm, offsetof(struct septum_ring, completion_tail)), 0);
	assert_true(event_take(vm, &f));
	same_anew(&e, &f, e.seq);
	assert_int_equal(convert(&f, 5, 1), OK);
}

static void string_output_comes_with_its_bytes_again(void **state)
{
	struct septum_event e = event_of(STEP_IN, 0x60, 0, 0), f;
	struct vcpu *v = the_vm()->vcpus[0];
	char text[8] = "";

	(void)state;
	v->slot.event.flags = SEPTUM_EVENT_STRING | SEPTUM_EVENT_WRITE;
	v->slot.event.size = 2;
	v->slot.event.data[2] = 3;
	memcpy(v->pending.held, "Septum", 6);
	assert_int_equal(vm_adopt_anew(vm).status, OK);
	assert_true(event_take(vm, &f));
	assert_int_equal(f.vcpu, e.vcpu);
	assert_int_equal(root_read(hpa((ring_pfn(vm) + 4) * PAGE_SIZE), text, sizeof(text)), OK);
	assert_memory_equal(text, "Septum\0", 8);
}

static void a_new_ring_is_trusted_again(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0), f;

	(void)state;
	fake_step(vm, 0, STEP_IN, 0x60, 0, 0);
	ring_write(vm, offsetof(struct septum_ring, completion_head), 1000);
	assert_int_equal(CALL2(RUN, vm, SEPTUM_ALL).status, E_RING);
	/* This one finds the ring broken and is not posted at all. */
	fake_step(vm, 1, STEP_IN, 0x61, 0, 0);
	assert_int_equal(CALL2(RUN, vm, 1).status, E_RING);
	assert_int_equal(vm_adopt_anew(vm).status, OK);
	assert_true(event_take(vm, &f));
	same_anew(&e, &f, e.seq);
	assert_int_equal(convert(&f, 5, 1), OK);
	run();
	assert_true(event_take(vm, &f));
	assert_int_equal(f.type, SEPTUM_EVENT_IO);
	audit_clean();
}

/* ---- A hostile ring ---- */

static void a_broken_ring_stays_e_ring_and_the_vm_can_go(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0);
	unsigned turns = fake_cpu(vm, 1)->turns;

	(void)state;
	ring_write(vm, offsetof(struct septum_ring, completion_head), 1000);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(CALL2(RUN, vm, SEPTUM_ALL).status, E_RING);
		ring_write(vm, offsetof(struct septum_ring, completion_head), 0);
	}
	assert_int_equal(fake_cpu(vm, 1)->turns, turns);
	assert_int_equal(answer_event(vm, &e, SEPTUM_VERDICT_KILL, 0, 0, 0, 0), 0xffffffff);
	assert_int_equal(CALL1(VM_DESTROY, vm).status, OK);
}

/* Four vCPUs that touch, convert, halt and do I/O while every word of the shared pages changes at
 * random between two runs. Whatever comes of it, nothing crashes, only this guest suffers, and all
 * frames come home. */
static void scribbling_over_the_rings_hurts_only_the_guest(void **state)
{
	u64 served = 0, broken = 0;

	empty(state);
	srand(42);
	for (unsigned round = 0; round < 150; round++) {
		two_backings(state);
		for (unsigned i = 0; i < 100; i++)
			fake_step(vm, i % 4, 1 + (u64)rand() % 8,
				  (rand() % 2 ? S : 0) | (u64)(rand() % 40) << 12 | 8,
				  1 + (u64)rand() % 9, (u64)rand() % 2 * SEPTUM_MAP_PRIVATE);
		for (unsigned step = 0; step < 40; step++) {
			struct septum_event e;
			struct answer ran = CALL2(RUN, vm, rand() % 4 ? SEPTUM_ALL : 1);

			assert_true(ran.status == OK || ran.status == E_RING);
			broken += ran.status == E_RING;
			while (ring_read(vm, 64) - ring_read(vm, 128) <= 64 && event_take(vm, &e)) {
				u16 verdict = (u16)(rand() % 7);
				struct septum_completion c = {
					.seq = e.seq - (rand() % 8 == 0),
					.vcpu = e.vcpu,
					.verdict = verdict,
					.flags = verdict == 1 ? e.flags & PRIVATE : 0,
					.gpa = e.gpa & ~0xffful,
					.size = e.size,
					.value = (u64)rand() % 3,
				};
				completion_put(vm, &c);
				served++;
			}
			for (unsigned n = (unsigned)rand() % 3; n > 0; n--) {
				u64 page = (u64)rand() % 5;
				u32 word = (u32)rand() & (rand() % 2 ? ~0u : 0x7f);
				u64 offset = page ? (u64)rand() % 4093 : (u64)rand() % 7 * 64;

				if (page == 0 && rand() % 4)
					continue;
				root_write(hpa((ring_pfn(vm) + page) * 4096 + offset), &word, 4);
			}
		}
		if (round % 10 == 0)
			audit_clean();
		empty(state);
	}
	assert_true(served > 1000);
	assert_true(broken > 10);
	two_backings(state);
}

static void a_long_drain_lets_an_interrupt_through(void **state)
{
	struct septum_event e = event_of(STEP_READ, 0x5000, 0, 0), f;
	struct answer ran;

	(void)state;
	fake_step(vm, 1, STEP_READ, 0x6000, 0, 0);
	run();
	assert_true(event_take(vm, &f));
	completion_put(vm, &(struct septum_completion){.seq = e.seq,
						       .vcpu = 0,
						       .verdict = SEPTUM_VERDICT_CONVERT,
						       .flags = PRIVATE,
						       .gpa = 0x200000 - 0x200000,
						       .size = 0x200000});
	completion_put(vm, &(struct septum_completion){
				   .seq = f.seq, .vcpu = 1, .verdict = SEPTUM_VERDICT_KILL});
	fake_stop_after = 1;
	ran = CALL2(RUN, vm, SEPTUM_ALL);
	assert_int_equal(ran.status, OK);
	assert_int_equal(ran.value & 0xff, SEPTUM_RUN_INTERRUPTED);
	assert_int_equal(ring_read(vm, offsetof(struct septum_ring, completion_tail)), 1);
	assert_int_equal(vcpu_state(1), SEPTUM_VCPU_WAITING);
	fake_stop_after = 0;
	run();
	assert_int_equal(vcpu_state(1), SEPTUM_VCPU_DEAD);
}

int main(void)
{
#define T(name, world) cmocka_unit_test_setup_teardown(name, world, empty)
	const struct CMUnitTest tests[] = {
		T(an_implicit_conversion_is_forwarded_converted_and_resumed, two_backings),
		T(a_range_larger_than_the_page_is_converted_at_once, two_backings),
		T(converting_to_shared_keeps_what_others_hold, two_backings),
		T(a_discarding_manager_may_throw_it_away, discardable),
		T(convert_must_fit_the_event, two_backings),
		T(attributes_forbid_what_a_conversion_cannot_mend, two_backings),
		T(a_denied_access_is_a_machine_check, two_backings),
		T(kill_ends_the_vcpu, two_backings),
		T(a_stale_verdict_changes_nothing, two_backings),
		T(a_verdict_is_followed_by_a_look_at_the_access_without_a_turn, two_backings),
		T(a_stale_verdict_whose_access_now_works_resumes_the_guest, two_backings),
		T(a_change_beside_the_range_is_not_stale, two_backings),
		T(a_blind_retry_is_refused_under_the_same_seq, two_backings),
		T(an_event_that_was_not_consumed_cannot_be_answered, two_backings),
		T(a_completion_names_its_event_exactly, two_backings),
		cmocka_unit_test(every_cell_of_verdict_and_event),
		T(halt_sleeps_until_an_interrupt_that_it_can_take, two_backings),
		T(a_retried_mmio_access_that_nothing_has_changed_for_is_refused, two_backings),
		T(instructions_and_page_tables_on_mmio_are_a_failure, two_backings),
		T(an_address_beyond_the_guest_is_a_machine_check, two_backings),
		T(the_same_denied_access_is_cut_off, two_backings),
		T(an_attribute_change_starts_the_loop_guard_anew, two_backings),
		T(another_access_starts_the_loop_guard_anew, two_backings),
		T(another_kind_of_access_starts_the_loop_guard_anew, two_backings),
		T(an_answer_that_the_instruction_cannot_take_is_refused, two_backings),
		T(an_empty_pool_asks_for_frames_and_goes_on, two_backings),
		T(a_retry_on_an_empty_pool_needs_the_frames, two_backings),
		T(an_explicit_request_asks_once_for_each_run_that_is_not_yet_so, two_backings),
		T(the_first_refusal_ends_an_explicit_request, two_backings),
		T(an_explicit_request_is_checked_as_kvm_does, two_backings),
		T(an_explicit_request_may_span_slots, two_backings),
		T(a_huge_explicit_request_is_asked_for_in_pieces, by_attribute),
		T(an_explicit_request_waits_for_an_empty_pool, two_backings),
		cmocka_unit_test_teardown(a_plain_guest_has_no_conversions, empty),
		T(in_place_content_is_kept_only_if_asked_for, in_place),
		T(without_a_shared_bit_only_explicit_requests_convert, by_attribute),
		T(a_verdict_for_another_cpu_is_left_in_its_slot, two_backings),
		T(a_new_manager_gets_each_outstanding_event_once_more, two_backings),
		T(an_event_that_is_posted_anew_keeps_its_stamp, two_backings),
		T(a_verdict_that_was_not_applied_is_forgotten_with_its_manager, two_backings),
		T(string_output_comes_with_its_bytes_again, two_backings),
		T(a_new_ring_is_trusted_again, two_backings),
		T(a_broken_ring_stays_e_ring_and_the_vm_can_go, two_backings),
		T(scribbling_over_the_rings_hurts_only_the_guest, two_backings),
		T(a_long_drain_lets_an_interrupt_through, two_backings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
