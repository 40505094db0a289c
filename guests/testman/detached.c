/* SPDX-License-Identifier: BSD-2-Clause */
/* vCPUs that own a processor: served through the rings alone, raced, stopped, destroyed.
 * turns=N, race=N, destroy=N of the command line say how often or how long, conversions=N what the
 * race must reach. */
#include "guests/testman/serving.h"

static u64 root_exits(void)
{
	return septum(SEPTUM_CALL_VM_COUNTER, 0, SEPTUM_ALL, SEPTUM_COUNTER_EXITS).value;
}

SCENARIO(detached_served_without_exits)
{
	u64 n = number("turns", 10000), before, after, ticks;
	char body[48];

	if (!enough_cpus(2))
		return;
	words(body, "turns", n);
	CHECK(guest_begin(&build_sw_bit, body));
	tally_start();
	CHECK(detach(0, 1));
	CHECK(GIVES(E_STATE, SEPTUM_CALL_RUN, test.vm.id, 0));
	CHECK(GIVES(OK, SEPTUM_CALL_RUN, test.vm.id, SEPTUM_ALL));
	CHECK(GIVES(E_STATE, SEPTUM_CALL_VCPU_DETACH, test.vm.id, 0, 1));
	before = root_exits();
	ticks = tsc_read();
	if (!serve(1, PATIENCE))
		return;
	ticks = tsc_read() - ticks;
	after = root_exits();
	print("     %lu forwarded faults, %lu exits of the root (one is the last question), "
	      "%lu ticks each\n",
	      tally.faults, after - before, ticks / (tally.faults + 1));
	CHECK(tally.faults >= n && after - before == 1);
	CHECK(vcpu_state(0) == SEPTUM_VCPU_WAITING);
	CHECK(attach(0));
	CHECK(GIVES(E_STATE, SEPTUM_CALL_VCPU_ATTACH, test.vm.id, 0));
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_IMPLICIT_CONVERTED) == tally.faults);
}

SCENARIO(detached_race)
{
	u64 n = number("race", 20000);
	struct build build = build_sw_bit;
	char body[48];

	if (!enough_cpus(3))
		return;
	build.vcpus = 2;
	words(body, "race", n);
	CHECK(guest_prepare(&build, body));
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	test.serve_conversions = true;
	CHECK(expect_step_on(0, 1));
	tally_start();
	take(&test.step[0].event);
	tally.done = 0;
	answer(&test.step[0].event);
	test.step[0].waits = false;
	CHECK(detach(0, 1) && detach(1, 2));
	if (!serve(2, PATIENCE))
		return;
	CHECK(attach(0) && attach(1));
	print("     %lu conversions, %lu verdicts stale, %lu flushes, %lu of %lu events answered\n",
	      tally.conversions, tally.stale, vm_counter(&test.vm, SEPTUM_COUNTER_FLUSHES),
	      tally.outcomes, tally.events);
	CHECK(tally.conversions >= number("conversions", 0));
	CHECK(tally.stale > 0);
	/* All but the two by which the vCPUs say that they have ended. */
	CHECK(each_answered_once(2));
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_VERDICTS_STALE) == tally.stale);
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_VERDICTS_REFUSED) == 0);
	CHECK(GIVES(OK, SEPTUM_CALL_AUDIT, 0));
}

SCENARIO(detached_stopped_while_it_spins)
{
	if (!enough_cpus(2))
		return;
	CHECK(guest_begin(&build_sw, "stuck"));
	for (u32 i = 0; i < 20; i++) {
		CHECK(detach(0, 1));
		if (i % 2)
			wait_ticks(10000000);
		CHECK(vcpu_state(0) == SEPTUM_VCPU_RUNNING);
		CHECK(attach(0));
		CHECK(vcpu_state(0) == SEPTUM_VCPU_RUNNABLE);
	}
	CHECK(detach(0, 1));
	CHECK(GIVES(E_ARG, SEPTUM_CALL_VCPU_DETACH, test.vm.id, 0, 0));
	/* The harness destroys the VM while it runs. */
}

static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005ul + 1442695040888963407ul;
	return *state >> 33;
}

/* E_STATE: it is detached, or not, or dead. */
static bool may(u64 status)
{
	return status == SEPTUM_OK || status == SEPTUM_E_STATE || status == SEPTUM_E_BUSY;
}

/* Something that may come at any moment. `yields`: the guest's vCPUs come to an event by
 * themselves, so that RUN returns. */
static bool disturb(u64 random, bool yields)
{
	u64 vcpu = random >> 8 & 1, id = test.vm.id;

	switch (random & 7) {
	case 0: /* a new manager, which takes nobody's word for anything */
		CHECK_OR_FALSE(vm_adopt(&test.vm).status == SEPTUM_OK);
		tally_start();
		/* fall through */
	case 1:
		CHECK_OR_FALSE(may(septum(SEPTUM_CALL_VCPU_ATTACH, id, vcpu).status));
		if (yields)
			CHECK_OR_FALSE(may(septum(SEPTUM_CALL_RUN, id, vcpu).status));
		break;
	case 2:
		CHECK_OR_FALSE(may(septum(SEPTUM_CALL_VCPU_INTERRUPT, id, vcpu, 0x40).status));
		break;
	case 3:
		if (yields)
			CHECK_OR_FALSE(septum(SEPTUM_CALL_RUN, id, SEPTUM_ALL).status == SEPTUM_OK);
		break;
	default:
		break;
	}
	for (u64 i = 0; i < 2; i++)
		CHECK_OR_FALSE(
			may(septum(SEPTUM_CALL_VCPU_DETACH, id, i, 1 + (i ^ (random >> 9 & 1)))
				    .status));
	return true;
}

SCENARIO(detached_destroyed_at_random)
{
	u64 end = tsc_read() + number("destroy", 3) * 1000000000ul, random = tsc_read();
	u64 start = memory_mark(), guests = 0, disturbances = 0;
	static const char *const bodies[] = {"stuck", "race rounds=100000", "turns rounds=100000"};

	if (!enough_cpus(3))
		return;
	while (tsc_read() < end || guests < 3) {
		struct build build = build_sw_bit;
		struct septum_event e;
		u64 until, next = 0, body = next_random(&random) % 3;

		build.vcpus = 2;
		CHECK(guest_begin(&build, bodies[body]));
		tally_start();
		until = tsc_read() + next_random(&random) % 100000000;
		while (tsc_read() < until) {
			if (tsc_read() >= next) {
				CHECK(disturb(next_random(&random), body != 0));
				disturbances++;
				next = tsc_read() + next_random(&random) % 10000000;
			}
			if (room() && event_take(&test.vm, &e) && e.vcpu == 0)
				take(&e);
		}
		CHECK(world_clean());
		memory_release(start);
		guests++;
	}
	print("     %lu guests, disturbed %lu times\n", guests, disturbances);
}

#define DOORBELL    0x50u
#define APIC_EOI    (*(volatile u32 *)0xfee000b0ul)
#define APIC_ENABLE (*(volatile u32 *)0xfee000f0ul)

static volatile u64 bells;
static bool bell(struct trap_frame *frame)
{
	(void)frame;
	bells++;
	APIC_EOI = 0;
	return true;
}

static void wait_event(void)
{
	for (u64 start = tsc_read(); !bells && tsc_read() - start < PATIENCE / 10;)
		__asm__ volatile("sti; nop; nop; pause; nop; cli");
}

SCENARIO(detached_rings_the_doorbell)
{
	trap_handler *before = trap_handlers[DOORBELL];

	if (!enough_cpus(2))
		return;
	bells = 0;
	trap_handlers[DOORBELL] = bell;
	APIC_ENABLE = APIC_ENABLE | 0x100;
	CHECK(guest_begin(&build_sw_bit, "turns rounds=20"));
	tally_start();
	CHECK(GIVES(E_ARG, SEPTUM_CALL_DOORBELL, test.vm.id, 15));
	CHECK(GIVES(OK, SEPTUM_CALL_DOORBELL, test.vm.id, DOORBELL));
	test.vm.ring->event_wake = 0;
	CHECK(detach(0, 1));
	wait_event();
	CHECK(bells == 1);
	/* Not for the events behind it. */
	if (!serve(1, PATIENCE))
		return;
	__asm__ volatile("sti; nop; nop; cli");
	CHECK(bells == 1);
	trap_handlers[DOORBELL] = before;
}

#define APIC_ICR_LOW  (*(volatile u32 *)0xfee00300ul)
#define APIC_ICR_HIGH (*(volatile u32 *)0xfee00310ul)

static void send(u64 apic_id, u32 command)
{
	APIC_ICR_HIGH = (u32)apic_id << 24;
	APIC_ICR_LOW = command;
	wait_ticks(1000000);
}

/* INIT and a start-up message, as another kernel would send them. */
static void send_init(u64 apic_id)
{
	send(apic_id, 0x4500);
	send(apic_id, 0x4608);
	send(apic_id, 0x4608);
}

SCENARIO(detached_not_hurt_by_an_init_of_the_root)
{
	struct reply r;

	if (!enough_cpus(2))
		return;
	if (septum(SEPTUM_CALL_INFO, SEPTUM_INFO_VENDOR).value != 1) {
		print("SKIP %s: QEMU's SVM has no VM_CR.R_INIT\n", test.name);
		test.skipped = true;
		return;
	}
	CHECK(guest_begin(&build_sw_bit, "turns rounds=40"));
	tally_start();
	r = septum(SEPTUM_CALL_VCPU_DETACH, test.vm.id, 0, 1);
	CHECK(r.status == SEPTUM_OK);
	for (u64 start = tsc_read();
	     vcpu_state(0) != SEPTUM_VCPU_WAITING && tsc_read() - start < PATIENCE / 10;)
		wait_ticks(10000);
	/* It sleeps in Septum, for its first event is not answered yet. */
	send_init(r.value);
	CHECK(vcpu_state(0) == SEPTUM_VCPU_WAITING);
	if (!serve(1, PATIENCE))
		return;
	CHECK(attach(0) && world_clean());

	/* In guest mode. */
	CHECK(guest_begin(&build_sw, "stuck"));
	r = septum(SEPTUM_CALL_VCPU_DETACH, test.vm.id, 0, 1);
	CHECK(r.status == SEPTUM_OK);
	wait_ticks(10000000);
	send_init(r.value);
	CHECK(vcpu_state(0) == SEPTUM_VCPU_RUNNING);
	CHECK(attach(0));
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_EXIT_OTHER) > 0);
}
