/* sources: kernel/lapic.c kernel/lapic_vcpu.c tests/host/fake_timer.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Local APICs of several vCPUs: messages and who is kicked for them, what goes to the processor,
 * HLT, INIT and SIPI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "kernel/lapic_vcpu.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"
#include "tests/host/fake_timer.h"

#define VCPUS 4u
#define ICR   (MSR_X2APIC_FIRST + (LAPIC_ICR >> 4))
#define EOI   (MSR_X2APIC_FIRST + (LAPIC_EOI >> 4))
#define TPR   (MSR_X2APIC_FIRST + (LAPIC_TPR >> 4))

static struct vm vm;
static struct vcpu vcpus[VCPUS];
static struct vcpu_state states[VCPUS];
static u8 tprs[VCPUS];
static unsigned resets[VCPUS], kicks[VCPUS + 1], here;
u64 turn_end;

unsigned cpu_self(void)
{
	return here;
}

void cpu_kick(unsigned cpu)
{
	kicks[cpu]++;
}

static u8 tpr_get(const struct vcpu *v)
{
	return tprs[v->index] & 0xf0; /* as SVM */
}

static void tpr_set(struct vcpu *v, u8 tpr)
{
	tprs[v->index] = tpr;
}

static void reset(struct vcpu *v)
{
	resets[v->index]++;
}

static void state_get(const struct vcpu *v, struct vcpu_state *state)
{
	*state = states[v->index];
}

static void state_set(struct vcpu *v, const struct vcpu_state *state)
{
	states[v->index] = *state;
}

static const struct vendor_ops ops = {
	.tpr_get = tpr_get,
	.tpr_set = tpr_set,
	.reset = reset,
	.state_get = state_get,
	.state_set = state_set,
};
const struct vendor_ops *vendor = &ops;

/* All run, in x2APIC mode, attached. */
static int start(void **state)
{
	(void)state;
	memset(&vm, 0, sizeof(vm));
	memset(vcpus, 0, sizeof(vcpus));
	memset(states, 0, sizeof(states));
	memset(tprs, 0, sizeof(tprs));
	memset(resets, 0, sizeof(resets));
	memset(kicks, 0, sizeof(kicks));
	here = 0;
	turn_end = NEVER;
	fake_armed = 0;
	vm.vcpu_limit = VCPUS + 1; /* one was never made */
	for (unsigned i = 0; i < VCPUS; i++) {
		struct vcpu *v = &vcpus[i];

		v->vm = &vm;
		v->index = (u16)i;
		v->interrupt = -1;
		v->preempt_at = NEVER;
		lapic_create(v);
		assert_int_equal(v->parked, i != 0);
		v->parked = false;
		v->wait = WAIT_NONE;
		assert_true(lapic_base_set(&v->lapic, LAPIC_ADDRESS | 0xc00));
		v->lapic.svr = 0x1ff;
		vm.vcpus[i] = v;
	}
	return 0;
}

static enum after enter(unsigned i)
{
	return lapic_enter(&vcpus[i], NEVER);
}

/* What the next entry offers to the processor. */
static s64 offered(unsigned i)
{
	assert_int_equal(enter(i), AFTER_RESUME);
	return vcpus[i].interrupt;
}

static void taken(unsigned i)
{
	assert_true(vcpus[i].interrupt >= 0);
	vcpus[i].interrupt = -1;
}

static void send(unsigned from, u64 icr)
{
	assert_true(lapic_write_msr(&vcpus[from], ICR, icr));
}

static void reaches(u64 icr, unsigned mask)
{
	start(NULL);
	send(1, icr);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(offered(i), (mask >> i & 1) != 0 ? ICR_VECTOR(icr) : -1);
}

static void messages_reach_whom_they_name(void **state)
{
	(void)state;
	reaches(0x50 | 2ul << 32, 1 << 2);
	reaches(0x50 | 1ul << 32, 1 << 1);
	reaches(0x50 | 9ul << 32, 0);
	reaches(0x50 | 0xfffffffful << 32, 0xf);
	reaches(0x50 | ICR_LOGICAL | 0xbul << 32, 0xb);
	reaches(0x150 | ICR_LOGICAL | 0xcul << 32, 1 << 2); /* lowest priority: one of them */
	reaches(0x50 | ICR_SELF << 18, 1 << 1);
	reaches(0x50 | ICR_ALL << 18, 0xf);
	reaches(0x50 | ICR_OTHERS << 18, 0xd);
	reaches(0x250 | ICR_ALL << 18, 0); /* SMI: nobody */
	reaches(0x350, 0);
	reaches(0x750, 0);
	/* Not to oneself: table 11-3. */
	start(NULL);
	send(1, 0x400 | ICR_SELF << 18);
	send(1, 0x400 | ICR_ALL << 18);
	send(1, 0x4500 | ICR_ALL << 18);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_true(!vcpus[i].nmi_pending && vcpus[i].lapic.startup == 0);
	send(1, 0x400 | ICR_OTHERS << 18);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpus[i].nmi_pending, i != 1);
}

static void processors_are_kicked_when_they_must_look(void **state)
{
	(void)state;
	/* On another processor: always. */
	vcpus[2].cpu = 3;
	send(1, 0x50 | 2ul << 32);
	assert_int_equal(kicks[3], 1);
	/* On this one: never. */
	send(1, 0x50 | 0ul << 32);
	assert_int_equal(kicks[0], 0);
	/* CPU 0 from elsewhere: if it runs the vCPU, or sleeps for it. */
	here = 3;
	send(2, 0x50 | 0ul << 32);
	assert_int_equal(kicks[0], 0);
	vcpus[0].running = true;
	send(2, 0x50 | 0ul << 32);
	assert_int_equal(kicks[0], 1);
	vcpus[0].running = false;
	vm.sleeping = true;
	send(2, 0x4400 | 0ul << 32);
	send(2, 0x4500 | 0ul << 32);
	assert_int_equal(kicks[0], 3);
	/* A turn with others waiting becomes a short one. */
	here = 0;
	turn_end = rdtsc() + 1000000000000;
	send(1, 0x50 | 0ul << 32);
	assert_true(turn_end < rdtsc() + 100000000000);
}

static void an_interrupt_is_in_service_when_the_processor_has_it(void **state)
{
	struct lapic *a = &vcpus[0].lapic;

	(void)state;
	lapic_post(&vcpus[0], 0x50);
	lapic_post(&vcpus[0], 0x51);
	assert_int_equal(offered(0), 0x51);
	assert_int_equal(lapic_ppr(a), 0);
	/* Not taken: something better may take its place. */
	lapic_post(&vcpus[0], 0x60);
	assert_int_equal(offered(0), 0x60);
	taken(0);
	assert_int_equal(offered(0), -1);
	assert_int_equal(lapic_ppr(a), 0x60);
	assert_true(lapic_write_msr(&vcpus[0], EOI, 0));
	assert_int_equal(offered(0), 0x51);
	taken(0);
	/* The guest ends it at once, before anybody has looked. */
	assert_true(lapic_write_msr(&vcpus[0], EOI, 0));
	assert_int_equal(lapic_ppr(a), 0);
	assert_int_equal(offered(0), 0x50);
	/* Its APIC is off: what is on its way is lost. */
	taken(0);
	assert_true(lapic_write_msr(&vcpus[0], EOI, 0));
	a->svr = 0xff;
	lapic_post(&vcpus[0], 0x70);
	assert_int_equal(offered(0), -1);
	a->svr = 0x1ff;
	assert_int_equal(offered(0), -1);
}

static void the_task_priority_is_the_processors(void **state)
{
	u64 value;

	(void)state;
	assert_true(lapic_write_msr(&vcpus[0], TPR, 0x35));
	assert_int_equal(tprs[0], 0x35);
	assert_true(lapic_read_msr(&vcpus[0], TPR, &value) && value == 0x35);
	tprs[0] = 0x70; /* MOV to CR8 */
	assert_true(lapic_read_msr(&vcpus[0], TPR, &value) && value == 0x70);
	/* It is offered all the same: the vendor waits for the priority to fall. */
	lapic_post(&vcpus[0], 0x50);
	assert_int_equal(offered(0), 0x50);
}

static void halt(unsigned i, bool interruptible)
{
	vcpus[i].halted = true;
	vcpus[i].halt_if = interruptible;
	assert_int_equal(enter(i), AFTER_WAIT);
	assert_int_equal(vcpus[i].wait, WAIT_HALTED);
	assert_false(lapic_wakes(&vcpus[i]));
}

static void woken(unsigned i, bool awake)
{
	assert_int_equal(lapic_wakes(&vcpus[i]), true);
	vcpus[i].wait = WAIT_NONE;
	assert_int_equal(enter(i), awake ? AFTER_RESUME : AFTER_WAIT);
	assert_int_equal(vcpus[i].halted, !awake);
}

static void a_halt_ends_with_what_can_be_delivered(void **state)
{
	(void)state;
	halt(0, true);
	tprs[0] = 0x60;
	lapic_post(&vcpus[0], 0x55); /* too low */
	woken(0, false);
	assert_false(lapic_wakes(&vcpus[0]));
	lapic_post(&vcpus[0], 0x75);
	woken(0, true);
	/* Interrupts off: only an NMI. */
	halt(1, false);
	lapic_post(&vcpus[1], 0x75);
	woken(1, false);
	assert_int_equal(lapic_alarm(&vcpus[1]), NEVER);
	lapic_post_nmi(&vcpus[1]);
	woken(1, true);
	/* The timer. */
	vcpus[2].lapic.lvt[0] = 2 << 17 | 0x40;
	assert_true(lapic_write_msr(&vcpus[2], MSR_TSC_DEADLINE, rdtsc() + 2000000));
	halt(2, true);
	assert_int_equal(lapic_alarm(&vcpus[2]), vcpus[2].lapic.due);
	while (rdtsc() < vcpus[2].lapic.due)
		;
	woken(2, true);
	assert_int_equal(vcpus[2].interrupt, 0x40);
}

static void the_processors_timer_is_armed_for_the_first_of_all(void **state)
{
	u64 far = rdtsc() + 1000000000000;

	(void)state;
	assert_int_equal(enter(0), AFTER_RESUME);
	assert_int_equal(fake_armed, 0);
	vcpus[0].lapic.lvt[0] = 2 << 17 | 0x40;
	assert_true(lapic_write_msr(&vcpus[0], MSR_TSC_DEADLINE, far));
	assert_int_equal(enter(0), AFTER_RESUME);
	assert_int_equal(fake_armed, far);
	assert_int_equal(lapic_enter(&vcpus[0], far - 5), AFTER_RESUME);
	assert_int_equal(fake_armed, far - 5);
	assert_int_equal(lapic_enter(&vcpus[0], far + 5), AFTER_RESUME);
	assert_int_equal(fake_armed, far);
	assert_int_equal(lapic_enter(&vcpus[0], 1), AFTER_TIME);
}

static void init_parks_and_sipi_starts(void **state)
{
	struct vcpu *v = &vcpus[1];

	(void)state;
	v->gpr[RBX] = 5;
	v->lapic.irr[1] = 5;
	v->nmi_pending = true;
	v->event.kind = EVENT_EXTERNAL;
	states[1].cr0 = 0xe0000031; /* CD and NW stay */
	states[1].efer = 0xd01;
	send(0, 0x4607 | 1ul << 32); /* nobody waits for it */
	assert_int_equal(enter(1), AFTER_RESUME);
	assert_int_equal(states[1].cr0, 0xe0000031);
	send(0, 0x8500 | 1ul << 32); /* the end of a level: nothing */
	assert_int_equal(v->lapic.startup, 0);
	send(0, 0x4500 | 1ul << 32);
	assert_int_equal(enter(1), AFTER_WAIT);
	assert_int_equal(v->wait, WAIT_STARTUP);
	assert_true(v->parked && resets[1] == 1 && !v->nmi_pending);
	assert_int_equal(v->event.kind, EVENT_NONE);
	assert_int_equal(v->interrupt, -1);
	assert_int_equal(v->lapic.irr[1], 0);
	assert_int_equal(v->lapic.base, LAPIC_ADDRESS | 0xc00);
	assert_int_equal(states[1].cr0, 0x60000010);
	assert_int_equal(states[1].efer, 0);
	assert_int_equal(states[1].rip, 0xfff0);
	assert_int_equal(v->gpr[RBX], 0);
	/* Interrupts and NMIs do not wake it. */
	lapic_post(v, 0x50);
	v->wait = WAIT_NONE;
	assert_int_equal(enter(1), AFTER_WAIT);
	assert_int_equal(v->wait, WAIT_STARTUP);
	send(0, 0x469a | 1ul << 32);
	send(0, 0x4603 | 1ul << 32); /* the second does nothing */
	assert_int_equal(enter(1), AFTER_RESUME);
	assert_false(v->parked);
	assert_int_equal(states[1].seg[SEG_CS].selector, 0x9a00);
	assert_int_equal(states[1].seg[SEG_CS].base, 0x9a000);
	assert_int_equal(states[1].rip, 0);
	/* Both at once, over an older SIPI. */
	send(0, 0x4607 | 1ul << 32);
	send(0, 0x4500 | 1ul << 32);
	send(0, 0x4608 | 1ul << 32);
	assert_int_equal(enter(1), AFTER_RESUME);
	assert_int_equal(states[1].seg[SEG_CS].base, 0x8000);
	/* The bootstrap processor begins at its reset vector. */
	send(1, 0x4500 | 0ul << 32);
	assert_int_equal(enter(0), AFTER_RESUME);
	assert_int_equal(states[0].seg[SEG_CS].base, 0xffff0000);
	assert_false(vcpus[0].parked);
}

static void the_page_is_there_in_xapic_mode_only(void **state)
{
	u32 word = 0;

	(void)state;
	assert_false(lapic_page(&vcpus[2], LAPIC_ADDRESS + LAPIC_ID, &word, 4, false));
	assert_true(lapic_base_set(&vcpus[2].lapic, LAPIC_ADDRESS | 0x800));
	assert_true(lapic_page(&vcpus[2], LAPIC_ADDRESS + LAPIC_ID, &word, 4, false));
	assert_int_equal(word, 2u << 24);
	assert_false(lapic_page(&vcpus[2], LAPIC_ADDRESS + PAGE_SIZE, &word, 4, false));
	assert_false(lapic_page(&vcpus[2], LAPIC_ADDRESS - 4, &word, 4, false));
	word = 0x40;
	assert_true(lapic_page(&vcpus[2], LAPIC_ADDRESS + LAPIC_TPR, &word, 4, true));
	assert_int_equal(tprs[2], 0x40);
	/* A message from there to another. */
	word = 0;
	assert_true(lapic_page(&vcpus[2], LAPIC_ADDRESS + LAPIC_ICR_HIGH, &word, 4, true));
	word = 0x4091;
	assert_true(lapic_page(&vcpus[2], LAPIC_ADDRESS + LAPIC_ICR, &word, 4, true));
	assert_int_equal(offered(0), 0x91);
	vcpus[2].has_apic = false;
	assert_false(lapic_page(&vcpus[2], LAPIC_ADDRESS + LAPIC_ID, &word, 4, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(messages_reach_whom_they_name, start),
		cmocka_unit_test_setup(processors_are_kicked_when_they_must_look, start),
		cmocka_unit_test_setup(an_interrupt_is_in_service_when_the_processor_has_it, start),
		cmocka_unit_test_setup(the_task_priority_is_the_processors, start),
		cmocka_unit_test_setup(a_halt_ends_with_what_can_be_delivered, start),
		cmocka_unit_test_setup(the_processors_timer_is_armed_for_the_first_of_all, start),
		cmocka_unit_test_setup(init_parks_and_sipi_starts, start),
		cmocka_unit_test_setup(the_page_is_there_in_xapic_mode_only, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
