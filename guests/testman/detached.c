/* SPDX-License-Identifier: BSD-2-Clause */
/* vCPUs that own a processor: served through the rings alone, raced, stopped, destroyed.
 * turns=N and race=N of the command line say how often. */
#include "guests/testman/testman.h"

#define ANSWERS SEPTUM_RING_ENTRIES

/* What became of the events of detached vCPUs. */
static struct tally {
	u64 events, faults, conversions, stale, refused;
	u32 slot_seq[ANSWERS]; /* by slot of the ring: the event that its completion answers, or 0
				*/
	u32 open[TEST_VCPUS];  /* by vCPU: the event that is not answered yet, or 0 */
	bool twice;	       /* an event came though the last one was not answered */
	u32 looked;	       /* completions whose outcome is known, runs freely */
	u32 done;	       /* vCPUs that have reached their end */
	u32 bad;	       /* exits of guests with a code */
} tally;

static u64 number(const char *name, u64 otherwise)
{
	char text[24] = "";
	u64 n = 0;

	if (!option_find(boot->args, name, text, sizeof(text)))
		return otherwise;
	for (const char *c = text; *c >= '0' && *c <= '9'; c++)
		n = n * 10 + (u64)(*c - '0');
	return n;
}

static bool enough_cpus(u64 wanted)
{
	u64 cpus = septum(SEPTUM_CALL_INFO, SEPTUM_INFO_CPUS).value;

	if (cpus >= wanted)
		return true;
	print("     %s: skipped, it needs %lu processors and there are %lu\n", test.name, wanted,
	      cpus);
	return false;
}

static bool detach(u64 vcpu, u64 cpu)
{
	return GIVES(OK, SEPTUM_CALL_VCPU_DETACH, test.vm.id, vcpu, cpu);
}

static bool attach(u64 vcpu)
{
	return GIVES(OK, SEPTUM_CALL_VCPU_ATTACH, test.vm.id, vcpu);
}

static u64 root_exits(void)
{
	return septum(SEPTUM_CALL_VM_COUNTER, 0, SEPTUM_ALL, SEPTUM_COUNTER_EXITS).value;
}

static u64 vcpu_state(u64 vcpu)
{
	return septum(SEPTUM_CALL_VCPU_INFO, test.vm.id, vcpu).value & 0xff;
}

static void wait_ticks(u64 ticks)
{
	u64 start = tsc_read();

	while (tsc_read() - start < ticks)
		__asm__ volatile("pause");
}

/* Looks at what Septum has said of the completions since the last look. */
static void outcomes(void)
{
	u32 tail = __atomic_load_n(&test.vm.ring->completion_tail, __ATOMIC_ACQUIRE);

	for (; tally.looked != tail; tally.looked++) {
		u32 slot = tally.looked % ANSWERS;
		u32 status = completion_status(&test.vm, slot);

		tally.slot_seq[slot] = 0;
		if (status == SEPTUM_E_STALE)
			tally.stale++;
		else if (status != SEPTUM_OK)
			tally.refused++;
	}
}

static void answer(const struct septum_event *e)
{
	struct septum_completion c = {
		.seq = e->seq,
		.vcpu = e->vcpu,
		.verdict = SEPTUM_VERDICT_COMPLETE,
	};

	if (e->type == SEPTUM_EVENT_MEMORY_FAULT || e->type == SEPTUM_EVENT_EXPLICIT) {
		c.verdict = SEPTUM_VERDICT_CONVERT;
		c.flags = e->flags & SEPTUM_EVENT_PRIVATE;
		c.gpa = e->gpa & ~(PAGE_SIZE - 1);
		c.size = e->size;
		tally.conversions++;
		tally.faults += e->type == SEPTUM_EVENT_MEMORY_FAULT;
	}
	tally.open[e->vcpu] = 0;
	tally.slot_seq[completion_put(&test.vm, &c)] = e->seq;
}

static void take(const struct septum_event *e)
{
	test.last = *e;
	tally.events++;
	tally.twice |= tally.open[e->vcpu] != 0;
	tally.open[e->vcpu] = e->seq;
	if (e->type == SEPTUM_EVENT_HALT || e->type == SEPTUM_EVENT_SHUTDOWN ||
	    e->type == SEPTUM_EVENT_FAILED)
		tally.bad++;
	if (e->type == SEPTUM_EVENT_IO && e->data[0] == PORT_TEXT) {
		console_put((char)e->data[1]);
		answer(e);
	} else if (e->type == SEPTUM_EVENT_IO && e->data[0] == PORT_LINE) {
		test.guest_line = e->data[1];
		answer(e);
	} else if (e->type == SEPTUM_EVENT_IO) {
		tally.done++;
		tally.bad += e->data[0] == PORT_EXIT && e->data[1] != 0;
	} else if (!tally.bad) {
		answer(e);
	}
}

/* Serves the rings until so many vCPUs have ended, without any call. False: after `ticks` nothing
 * has come. */
static bool serve(u32 vcpus, u64 ticks)
{
	u64 last = tsc_read();
	struct septum_event e;

	while (tally.done < vcpus && !tally.bad && tsc_read() - last < ticks) {
		outcomes();
		if (!event_take(&test.vm, &e)) {
			__asm__ volatile("pause");
			continue;
		}
		take(&e);
		last = tsc_read();
	}
	outcomes();
	CHECK_OR_FALSE(!tally.bad && tally.done == vcpus);
	CHECK_OR_FALSE(!tally.twice && !tally.refused);
	return true;
}

#define PATIENCE 20000000000ul /* TSC ticks */

static char *append(char *to, const char *text)
{
	size_t n = strlen(text);

	memcpy(to, text, n + 1);
	return to + n;
}

static void words(char *to, const char *body, u64 n)
{
	char digits[24];
	char *d = digits + sizeof(digits) - 1;

	*d = 0;
	for (; n; n /= 10)
		*--d = (char)('0' + n % 10);
	append(append(append(to, body), " rounds="), d);
}

SCENARIO(detached_served_without_exits)
{
	u64 n = number("turns", 10000), before, after, ticks;
	char body[48];

	if (!enough_cpus(2))
		return;
	memset(&tally, 0, sizeof(tally));
	words(body, "turns", n);
	CHECK(guest_begin(&build_sw_bit, body));
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
	memset(&tally, 0, sizeof(tally));
	build.vcpus = 2;
	words(body, "race", n);
	CHECK(guest_prepare(&build, body));
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	test.serve_conversions = true;
	CHECK(expect_step_on(0, 1));
	tally.looked = test.vm.completion_head;
	answer(&test.step[0].event);
	test.step[0].waits = false;
	CHECK(detach(0, 1) && detach(1, 2));
	if (!serve(2, PATIENCE))
		return;
	CHECK(attach(0) && attach(1));
	print("     %lu conversions, %lu verdicts stale, %lu flushes\n", tally.conversions,
	      tally.stale, vm_counter(&test.vm, SEPTUM_COUNTER_FLUSHES));
	CHECK(tally.stale > 0);
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

SCENARIO(detached_destroyed_at_random)
{
	u64 end = tsc_read() + number("destroy", 3) * 1000000000ul, random = tsc_read(), count = 0;
	u64 start = memory_mark();
	static const char *const bodies[] = {"stuck", "race rounds=100000", "turns rounds=100000"};

	if (!enough_cpus(3))
		return;
	while (tsc_read() < end || count < 3) {
		struct build build = build_sw_bit;
		struct septum_event e;

		random = random * 6364136223846793005ul + 1442695040888963407ul;
		memset(&tally, 0, sizeof(tally));
		build.vcpus = 2;
		CHECK(guest_begin(&build, bodies[(random >> 33) % 3]));
		CHECK(detach(0, 1 + (random >> 40) % 2));
		CHECK(detach(1, 1 + ((random >> 40) + 1) % 2));
		for (u64 until = tsc_read() + (random >> 20) % 50000000; tsc_read() < until;) {
			if (event_take(&test.vm, &e) && e.vcpu == 0)
				take(&e);
		}
		CHECK(world_clean());
		memory_release(start);
		count++;
	}
	print("     %lu guests\n", count);
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
	memset(&tally, 0, sizeof(tally));
	bells = 0;
	trap_handlers[DOORBELL] = bell;
	APIC_ENABLE = APIC_ENABLE | 0x100;
	CHECK(guest_begin(&build_sw_bit, "turns rounds=20"));
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
