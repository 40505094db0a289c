/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests with local APICs: registers, timer, messages, the start of vCPUs by the guest itself. */
#include "guests/testman/serving.h"

#define VECTOR_LOW  0x50u
#define VECTOR_HIGH 0x70u
#define VECTOR_IPI  0x80u

static struct build with_apic(u32 vcpus)
{
	struct build build = build_sw;

	build.flags = SEPTUM_VM_APIC;
	build.vcpus = vcpus;
	return build;
}

static u32 state(u64 vcpu)
{
	return (u32)(septum(SEPTUM_CALL_VCPU_INFO, test.vm.id, vcpu).value & 0xff);
}

static bool interrupt(u64 vector)
{
	return GIVES(OK, SEPTUM_CALL_VCPU_INTERRUPT, test.vm.id, 0, vector);
}

static void whole(const char *body, u32 vcpus)
{
	struct build build = with_apic(vcpus);

	CHECK(guest_begin(&build, body));
	CHECK(vcpus == 1 || state(1) == SEPTUM_VCPU_PARKED);
	CHECK(expect_end());
}

SCENARIO_QUICK(apic_registers_and_priorities)
{
	whole("apic_registers", 1);
}

SCENARIO_QUICK(apic_priority_by_cr8)
{
	whole("apic_cr8", 1);
}

SCENARIO_QUICK(apic_by_its_page)
{
	whole("apic_page", 1);
}

SCENARIO_QUICK(apic_timer_in_all_modes)
{
	whole("apic_timer", 1);
}

SCENARIO_QUICK(apic_timer_by_its_page)
{
	whole("apic_timer_by_page", 1);
}

SCENARIO_QUICK(apic_messages_between_vcpus)
{
	whole("apic_messages", 2);
}

SCENARIO_QUICK(apic_messages_by_the_page)
{
	whole("apic_messages_by_page", 2);
}

static u64 run(u64 call, u64 until)
{
	struct reply r = septum(call, test.vm.id, SEPTUM_ALL, until);

	test.status = r.status;
	return r.value & 0xff;
}

SCENARIO_QUICK(apic_halt_ends_with_the_managers_interrupt)
{
	struct build build = with_apic(1);
	struct septum_event e;
	u64 start;

	CHECK(guest_begin(&build, "apic_halt"));
	CHECK(run(SEPTUM_CALL_RUN, 0) == SEPTUM_RUN_HALTED && state(0) == SEPTUM_VCPU_HALTED);
	CHECK(run(SEPTUM_CALL_RUN, 0) == SEPTUM_RUN_HALTED);
	start = tsc_read();
	CHECK(run(SEPTUM_CALL_RUN_UNTIL, start + 3000000) == SEPTUM_RUN_HALTED);
	CHECK(tsc_read() - start >= 3000000);
	CHECK(interrupt(VECTOR_IPI));
	CHECK(expect_step(1));
	/* Several at once, none is busy. */
	CHECK(interrupt(VECTOR_LOW) && interrupt(VECTOR_IPI) && interrupt(VECTOR_HIGH));
	CHECK(interrupt(VECTOR_LOW));
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_HALT && !(e.flags & SEPTUM_EVENT_INTERRUPTIBLE));
	CHECK(verdict(&e, SEPTUM_VERDICT_COMPLETE, 0) == SEPTUM_OK);
	CHECK(state(0) == SEPTUM_VCPU_HALTED && run(SEPTUM_CALL_RUN, 0) == SEPTUM_RUN_IDLE);
	CHECK(interrupt(SEPTUM_NMI));
	CHECK(expect_end());
}

SCENARIO_QUICK(apic_modes_as_the_manager_wants)
{
	static const u64 bad[] = {0,	      0xfee00400, 0xfee00c01, 0xfec00800,
				  0xfee00a00, ~0ul,	  0x1fee00800};
	struct build build = with_apic(1);

	CHECK(guest_prepare(&build, "pass"));
	for (u32 i = 0; i < ARRAY_COUNT(bad); i++)
		CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_APIC_BASE, bad[i]).status == SEPTUM_E_ARG);
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_APIC_BASE, 0xfee00d00).status == SEPTUM_OK);
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(expect_step(1));
	CHECK(expect_end());
	CHECK(septum(SEPTUM_CALL_INFO, SEPTUM_INFO_TSC_KHZ).value > 1000);
}

/* A run ends when the manager says so, whatever the guest does. */
SCENARIO_QUICK(apic_run_until_a_time)
{
	struct build build = with_apic(1);
	u64 start;

	CHECK(guest_begin(&build, "stuck_open"));
	for (u32 i = 0; i < 5; i++) {
		start = tsc_read();
		CHECK(run(SEPTUM_CALL_RUN_UNTIL, start + 2000000) == SEPTUM_RUN_INTERRUPTED);
		CHECK(tsc_read() - start >= 2000000);
	}
	CHECK(state(0) == SEPTUM_VCPU_RUNNABLE);
}

/* ---- the root's own timer */

#define ROOT_VECTOR  0x51u
#define ROOT_APIC(n) (*(volatile u32 *)(0xfee00000ul + (n)))
#define ROOT_EOI     ROOT_APIC(0xb0)
#define ROOT_ENABLE  ROOT_APIC(0xf0)
#define ROOT_LVT     ROOT_APIC(0x320)
#define ROOT_INITIAL ROOT_APIC(0x380)
#define ROOT_CURRENT ROOT_APIC(0x390)
#define ROOT_DIVIDE  ROOT_APIC(0x3e0)
#define BY_2	     0u
#define COUNT	     10000000u
#define ROOT_TICKS   (1u << 17) /* periodic */

static volatile u64 alarms;
static volatile u64 alarm_at;

static bool alarm(struct trap_frame *frame)
{
	(void)frame;
	alarm_at = tsc_read();
	alarms++;
	ROOT_EOI = 0;
	return true;
}

static void root_timer(u32 lvt)
{
	alarms = 0;
	trap_handlers[ROOT_VECTOR] = alarm;
	ROOT_ENABLE = ROOT_ENABLE | 0x100;
	ROOT_DIVIDE = BY_2;
	ROOT_LVT = lvt;
}

/* TSC ticks of COUNT, without a guest; the least of three, since an emulator may be late. */
static u64 alone(void)
{
	u64 least = ~0ul;

	for (u32 i = 1; i <= 3; i++) {
		u64 start = tsc_read();

		ROOT_INITIAL = COUNT;
		while (alarms < i && tsc_read() - start < PATIENCE)
			__asm__ volatile("sti; nop; nop; cli");
		least = alarm_at - start < least ? alarm_at - start : least;
	}
	return least;
}

SCENARIO_QUICK(apic_leaves_the_root_its_timer)
{
	struct build build = with_apic(1);
	u64 wanted, start, end;
	u32 left;

	root_timer(ROOT_VECTOR);
	wanted = alone();
	CHECK(alarms == 3);
	CHECK(guest_begin(&build, "apic_ticks"));
	/* While guests have deadlines of their own, which come many times meanwhile. */
	start = tsc_read();
	ROOT_INITIAL = COUNT;
	while (alarms == 3 && tsc_read() - start < PATIENCE) {
		run(SEPTUM_CALL_RUN_UNTIL, start + PATIENCE);
		__asm__ volatile("sti; nop; nop; cli");
	}
	end = alarm_at - start;
	CHECK(alarms == 4);
	CHECK(end >= wanted - wanted / 4);
	/* It is counting on between two runs, and reads as what it is. */
	ROOT_INITIAL = COUNT;
	CHECK(run(SEPTUM_CALL_RUN_UNTIL, tsc_read() + wanted / 4) == SEPTUM_RUN_INTERRUPTED);
	left = ROOT_CURRENT;
	CHECK(alarms == 4 || left == 0);
	CHECK(left < COUNT - COUNT / 8 && ROOT_LVT == ROOT_VECTOR && ROOT_DIVIDE == BY_2);
	ROOT_INITIAL = 0;
	/* A periodic one is left alone; it is the guest's deadlines that wait for it. */
	root_timer(ROOT_TICKS | ROOT_VECTOR);
	ROOT_INITIAL = COUNT / 10;
	for (start = tsc_read(); alarms < 5 && tsc_read() - start < PATIENCE;) {
		run(SEPTUM_CALL_RUN_UNTIL, start + PATIENCE);
		__asm__ volatile("sti; nop; nop; cli");
	}
	CHECK(alarms >= 5 && ROOT_INITIAL == COUNT / 10);
	ROOT_INITIAL = 0;
	ROOT_LVT = 0x10000;
	__asm__ volatile("sti; nop; nop; cli");
	trap_handlers[ROOT_VECTOR] = NULL;
}

/* ---- on processors of their own */

static void served_detached(const char *body, u32 vcpus)
{
	struct build build = with_apic(vcpus);

	if (!enough_cpus(vcpus + 1))
		return;
	tally_start();
	CHECK(guest_begin(&build, body));
	for (u32 i = 0; i < vcpus; i++)
		CHECK(detach(i, i + 1));
	if (!serve(1, PATIENCE))
		return;
	for (u32 i = 0; i < vcpus; i++)
		CHECK(attach(i));
}

SCENARIO(detached_apic_timer)
{
	served_detached("apic_timer", 1);
}

SCENARIO(detached_apic_registers)
{
	served_detached("apic_registers", 1);
}

SCENARIO(detached_apic_messages)
{
	served_detached("apic_messages rounds=500", 2);
}

/* vCPU 0 has a processor, vCPU 1 is the manager's to run: either wakes the other. */
static void served_mixed(u32 detached)
{
	struct build build = with_apic(2);
	u64 last = tsc_read();
	struct septum_event e;

	if (!enough_cpus(2))
		return;
	tally_start();
	CHECK(guest_begin(&build, "apic_messages rounds=100"));
	CHECK(detach(detached, 1));
	while (tally.done == 0 && !tally.bad && tsc_read() - last < PATIENCE) {
		CHECK(vm_run_until(&test.vm, 1 - detached, tsc_read() + 1000000).status ==
		      SEPTUM_OK);
		outcomes();
		while (event_take(&test.vm, &e)) {
			take(&e);
			last = tsc_read();
		}
	}
	CHECK(tally.done == 1 && !tally.bad && !tally.wrong);
	CHECK(attach(detached));
}

SCENARIO(detached_apic_messages_to_an_attached_vcpu)
{
	served_mixed(0);
}

SCENARIO(detached_apic_messages_from_an_attached_vcpu)
{
	served_mixed(1);
}
