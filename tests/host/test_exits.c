/* sources: kernel/exit.c kernel/inject.c kernel/emulate.c kernel/io.c kernel/mmio.c kernel/msr.c
 * kernel/lapic.c kernel/lapic_vcpu.c tests/host/fake_timer.c kernel/guest_call.c
 * kernel/guest_access.c arch/x86/decode.c arch/x86/emulate.c arch/x86/guest_walk.c
 * tests/host/one_vcpu.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions, machine checks, and the exits that are answered at once. */
#include "tests/host/one_vcpu.h"

static void deliver(u8 kind, u8 vector)
{
	one.event = (struct vcpu_event){.kind = kind, .vector = vector};
}

/* SDM Vol. 3, table 6-5, written out anew. */
static void exceptions_combine_as_the_manual_says(void **state)
{
	static const u8 benign[] = {1, 3, 6, 16, 17, 18, 19};
	static const u8 contributory[] = {0, 10, 11, 12, 13};
	struct {
		const u8 *vectors;
		unsigned count;
	} classes[3] = {{benign, 7}, {contributory, 5}, {(const u8 *)"\016", 1}};
	/* 0: the second alone, 1: double fault; [first][second] */
	static const u8 expected[3][3] = {{0, 0, 0}, {0, 1, 0}, {0, 1, 1}};

	(void)state;
	for (unsigned a = 0; a < 3; a++)
		for (unsigned b = 0; b < 3; b++)
			for (unsigned i = 0; i < classes[a].count; i++)
				for (unsigned k = 0; k < classes[b].count; k++) {
					u8 second = classes[b].vectors[k];

					deliver(EVENT_EXCEPTION, classes[a].vectors[i]);
					inject_exception(&one, second, true, 7);
					assert_int_equal(one.event.kind, EVENT_EXCEPTION);
					assert_int_equal(one.event.vector,
							 expected[a][b] ? 8 : second);
					assert_int_equal(one.event.error, expected[a][b] ? 0 : 7);
				}
	assert_int_equal(posted_count, 0);
}

static void a_fault_in_a_double_fault_is_a_shutdown(void **state)
{
	deliver(EVENT_EXCEPTION, 8);
	inject_exception(&one, 1, false, 0);
	assert_int_equal(posted_count, 0);
	for (unsigned n = 0; n < 2; n++) {
		one_start(state);
		deliver(EVENT_EXCEPTION, 8);
		inject_exception(&one, n ? 14 : 13, true, 0);
		assert_int_equal(posted_count, 1);
		assert_int_equal(posted.type, SEPTUM_EVENT_SHUTDOWN);
		assert_int_equal(one.event.kind, EVENT_NONE);
		assert_int_equal(one.wait, WAIT_EVENT);
	}
}

static void what_came_from_outside_is_not_lost(void **state)
{
	deliver(EVENT_EXTERNAL, 0x31);
	inject_exception(&one, 14, true, 2);
	assert_int_equal(one.event.vector, 14);
	assert_int_equal(one.interrupt, 0x31);

	one_start(state);
	deliver(EVENT_NMI, 2);
	inject_exception(&one, 13, true, 0);
	assert_true(one.nmi_pending);

	one_start(state);
	deliver(EVENT_SOFTWARE, 13); /* INT 13 is no #GP */
	inject_exception(&one, 13, true, 0);
	assert_int_equal(one.event.vector, 13);
	assert_int_equal(one.event.kind, EVENT_EXCEPTION);
}

static void a_denied_access_is_a_machine_check_with_its_address(void **state)
{
	(void)state;
	one.exit.reason = EXIT_NESTED_FAULT;
	inject_machine_check(&one, gpa(0x5123));
	assert_int_equal(one.event.kind, EVENT_NONE); /* not before the vCPU is loaded */
	assert_int_equal(one_resolved(), AFTER_RESUME);
	assert_int_equal(one.event.vector, 18);
	assert_false(one.event.has_error);
	assert_int_equal(one.mcg_status, 7);
	assert_int_equal(one.mc_status >> 48, 0xbd80);
	assert_int_equal(one.mc_status & 0xffff, 0x134);
	assert_int_equal(one.mc_address, 0x5123);
}

static void a_denied_fetch_is_another_machine_check(void **state)
{
	(void)state;
	one.exit.reason = EXIT_NESTED_FAULT;
	one.exit.access.exec = true;
	inject_machine_check(&one, gpa(0x5123));
	one_resolved();
	assert_int_equal(one.mc_status & 0xffff, 0x150);
}

static void a_machine_check_that_cannot_be_taken_is_a_shutdown(void **state)
{
	for (unsigned n = 0; n < 2; n++) {
		one_start(state);
		if (n == 0)
			one.mcg_status = MCG_STATUS_MCIP;
		else
			one_state.cr4 = 0;
		inject_machine_check(&one, gpa(0x5123));
		assert_int_equal(one_resolved(), AFTER_WAIT);
		assert_int_equal(posted.type, SEPTUM_EVENT_SHUTDOWN);
	}
}

static void cpuid_and_the_root_calls_skip_their_instruction(void **state)
{
	(void)state;
	one_code("\x0f\xa2", 2);
	assert_int_equal(one_exit(EXIT_CPUID), AFTER_RESUME);
	assert_int_equal(one.gpr[RAX], 0xc1d);
	assert_int_equal(one_state.rip, CODE + 2);
	one_code("\x66\x0f\xa2", 3);
	one_exit(EXIT_CPUID);
	assert_int_equal(one_state.rip, CODE + 3);

	one.root = true;
	one_code("\x0f\x01\xd9", 3);
	assert_int_equal(one_exit(EXIT_HYPERCALL), AFTER_RESUME);
	assert_int_equal(one.gpr[RAX], 0x5e7);
	assert_int_equal(one_state.rip, CODE + 3);
}

static void the_other_vendors_hypercall_works_and_ud2_does_not(void **state)
{
	one.gpr[RAX] = 1;
	one_code("\x0f\x01\xc1", 3);
	assert_int_equal(one_exit(EXIT_UD_FAULT), AFTER_RESUME);
	assert_int_equal(one.gpr[RAX], (u64)-SEPTUM_KVM_ENOSYS);
	assert_int_equal(one_state.rip, CODE + 3);

	one_start(state);
	one_code("\x0f\x0b", 2);
	assert_int_equal(one_exit(EXIT_UD_FAULT), AFTER_RESUME);
	assert_int_equal(one.event.vector, 6);
	assert_int_equal(one_state.rip, CODE);
}

static void guest_calls_are_kvms(void **state)
{
	one_code("\x0f\x01\xd9", 3);
	one.gpr[RAX] = 12;
	one.gpr[RBX] = 0x1122334455667000;
	one.gpr[RCX] = 3;
	one.gpr[RDX] = 16;
	one_answer = -SEPTUM_KVM_EINVAL;
	assert_int_equal(one_exit(EXIT_HYPERCALL), AFTER_RESUME);
	assert_int_equal(one.gpr[RAX], (u64)-SEPTUM_KVM_EINVAL);
	assert_int_equal(one_request[0], 0x1122334455667000);

	one_start(state);
	one_code("\x0f\x01\xd9", 3);
	one_state.seg[SEG_CS].access = 0xc09b; /* 32-bit code */
	one.gpr[RAX] = 0xdead00000000000c;
	one.gpr[RBX] = 0x1122334455667000;
	one_answer = -SEPTUM_KVM_EINVAL;
	one_exit(EXIT_HYPERCALL);
	assert_int_equal(one_request[0], 0x55667000);
	assert_int_equal(one.gpr[RAX], (u32)-SEPTUM_KVM_EINVAL);

	one_start(state);
	one_code("\x0f\x01\xd9", 3);
	one_state.cpl = 3;
	one.gpr[RAX] = 12;
	one_exit(EXIT_HYPERCALL);
	assert_int_equal(one.gpr[RAX], (u64)-SEPTUM_KVM_EPERM);
	assert_int_equal(one_state.rip, CODE + 3);
}

static void a_guest_call_returns_when_it_is_answered(void **state)
{
	(void)state;
	one_code("\x0f\x01\xd9", 3);
	one.gpr[RAX] = 12;
	one_request_waits = true;
	assert_int_equal(one_exit(EXIT_HYPERCALL), AFTER_WAIT);
	assert_int_equal(one_state.rip, CODE);
	assert_int_equal(one.gpr[RAX], 12);
	assert_int_equal(one_complete(0), AFTER_RESUME);
	assert_int_equal(one_state.rip, CODE + 3);
	assert_int_equal(one.gpr[RAX], 0);
}

static void a_halt_stands_behind_its_instruction(void **state)
{
	one_code("\xf4", 1);
	one_state.rflags |= BIT(9);
	assert_int_equal(one_exit(EXIT_HALT), AFTER_WAIT);
	assert_int_equal(posted.type, SEPTUM_EVENT_HALT);
	assert_int_equal(posted.flags, SEPTUM_EVENT_INTERRUPTIBLE);
	assert_int_equal(one_state.rip, CODE + 1);
	assert_int_equal(one_complete(0), AFTER_WAIT);
	assert_int_equal(one.wait, WAIT_HALTED);

	one_start(state);
	one_code("\xf4", 1);
	one_state.rflags |= BIT(9);
	one_exit(EXIT_HALT);
	one.interrupt = 0x40; /* comes before the answer */
	assert_int_equal(one_complete(0), AFTER_RESUME);

	one_start(state);
	one_code("\xf4", 1);
	one_state.rflags |= BIT(9);
	one.interrupt = 0x40; /* .. before the halt */
	assert_int_equal(one_exit(EXIT_HALT), AFTER_RESUME);
	assert_int_equal(posted_count, 0);

	one_start(state);
	one_code("\xf4", 1);
	one.interrupt = 0x40; /* but interrupts are off */
	assert_int_equal(one_exit(EXIT_HALT), AFTER_WAIT);
	assert_int_equal(posted.flags, 0);
	one.wait = WAIT_NONE;
	assert_int_equal(emulate_complete(&one, 2), E_VERDICT);
}

static void xsetbv_checks_what_the_processor_would(void **state)
{
	static const struct {
		u64 cr4, rcx, rax;
		u8 cpl, vector; /* 0: none */
	} cases[] = {
		{BIT(18), 0, 7, 0, 0},	{0, 0, 7, 0, 6},	{BIT(18), 0, 7, 3, 13},
		{BIT(18), 1, 7, 0, 13}, {BIT(18), 0, 0, 0, 13}, {BIT(18), 0, 0xff, 0, 13},
	};

	for (unsigned n = 0; n < ARRAY_COUNT(cases); n++) {
		one_start(state);
		one_code("\x0f\x01\xd1", 3);
		one_state.cr4 = cases[n].cr4;
		one_state.cpl = cases[n].cpl;
		one.gpr[RCX] = cases[n].rcx;
		one.gpr[RAX] = cases[n].rax;
		assert_int_equal(one_exit(EXIT_XSETBV), AFTER_RESUME);
		assert_int_equal(one.event.vector, cases[n].vector);
		assert_int_equal(one_state.rip, cases[n].vector ? CODE : CODE + 3);
		assert_int_equal(one.world.xcr0, cases[n].vector ? 0 : cases[n].rax);
	}
}

static void a_refused_control_write_is_gp(void **state)
{
	(void)state;
	one_code("\x0f\x22\xe0", 3); /* mov cr4, rax */
	one.exit.control.cr = 4;
	one.exit.control.value = BIT(13);
	one_exit(EXIT_CONTROL);
	assert_int_equal(one.event.vector, 13);
	assert_int_equal(one_state.rip, CODE);
	one.event.kind = EVENT_NONE;
	one.exit.control.value = BIT(5);
	one_exit(EXIT_CONTROL);
	assert_int_equal(one_state.cr4, BIT(5));
	assert_int_equal(one_state.rip, CODE + 3);
}

static void what_cannot_go_on_is_reported(void **state)
{
	static const struct {
		enum exit_reason reason;
		u16 type;
		u64 failure;
	} cases[] = {
		{EXIT_SHUTDOWN, SEPTUM_EVENT_SHUTDOWN, 0},
		{EXIT_INVALID, SEPTUM_EVENT_FAILED, SEPTUM_FAILURE_ENTRY},
		{EXIT_UNKNOWN, SEPTUM_EVENT_FAILED, SEPTUM_FAILURE_EXIT},
	};

	for (unsigned n = 0; n < ARRAY_COUNT(cases); n++) {
		one_start(state);
		one.exit.code = 0x77;
		assert_int_equal(one_exit(cases[n].reason), AFTER_WAIT);
		assert_int_equal(posted.type, cases[n].type);
		assert_int_equal(posted.data[0], cases[n].failure);
		assert_int_equal(posted.data[1], cases[n].failure ? 0x77 : 0);
	}
}

static void an_instruction_behind_a_fault_is_not_skipped(void **state)
{
	/* Its page is private, fetched as shared: an event; then it is not there: #PF. */
	one_code("\x0f\xa2", 2);
	one_page[CODE / PAGE_SIZE] = PAGE_OTHER_KIND;
	assert_int_equal(one_exit(EXIT_CPUID), AFTER_WAIT);
	assert_int_equal(posted.type, SEPTUM_EVENT_MEMORY_FAULT);
	assert_int_equal(one.gpr[RAX], 0);
	assert_int_equal(one_state.rip, CODE);

	one_start(state);
	one_paged(CODE / PAGE_SIZE);
	one_code("\x0f\xa2", 2);
	assert_int_equal(one_exit(EXIT_CPUID), AFTER_RESUME);
	assert_int_equal(one.event.vector, 14);
	assert_int_equal(one_state.cr2, CODE);
	assert_int_equal(one.gpr[RAX], 0);
}

static void an_instruction_at_the_end_of_its_page_needs_no_other(void **state)
{
	(void)state;
	one_paged(CODE / PAGE_SIZE + 1);
	memcpy(one_ram + CODE + PAGE_SIZE - 2, "\x0f\xa2", 2);
	one_state.rip = CODE + PAGE_SIZE - 2;
	assert_int_equal(one_exit(EXIT_CPUID), AFTER_RESUME);
	assert_int_equal(one.event.kind, EVENT_NONE);
	assert_int_equal(one.gpr[RAX], 0xc1d);
}

/* ---- Running ---- */

static void the_root_is_back_when_a_run_ends(void **state)
{
	static const struct {
		enum exit_reason last;
		enum after after;
	} ends[] = {
		{EXIT_INTERRUPT, AFTER_INTERRUPT},
		{EXIT_SHUTDOWN, AFTER_WAIT},
		{EXIT_HALT, AFTER_WAIT},
	};

	for (unsigned n = 0; n < ARRAY_COUNT(ends); n++) {
		one_start(state);
		one_code("\x0f\xa2\xf4", 3);
		one_exits[0] = EXIT_CPUID;
		one_exits[1] = EXIT_WINDOW;
		one_exits[2] = ends[n].last;
		assert_int_equal(guest_run(&one), ends[n].after);
		assert_int_equal(one_entries, 3);
		assert_ptr_equal(one_loaded, &one_root);
		assert_ptr_equal(one_world, &one_root.world);
		assert_int_equal(one.counters[SEPTUM_COUNTER_EXITS], 3);
		assert_int_equal(one.counters[SEPTUM_COUNTER_EXIT_CPUID], 1);
		assert_int_equal(one.counters[SEPTUM_COUNTER_EXIT_WINDOW], 1);
	}
}

static void an_nmi_is_the_roots(void **state)
{
	(void)state;
	one_exits[0] = EXIT_WINDOW;
	one_exits[1] = EXIT_NMI;
	one_nmi_at = 2;
	assert_int_equal(guest_run(&one), AFTER_INTERRUPT);
	assert_int_equal(one_entries, 2);
	assert_true(one_root.nmi_pending);
	assert_false(one.nmi_pending);
}

static void a_verdict_is_done_before_the_guest_is_entered(void **state)
{
	one_code("\xed\xf4", 2);
	one_io(0x60, 4, true, false);
	one.wait = WAIT_NONE;
	assert_int_equal(emulate_complete(&one, 0x55), OK);
	assert_int_equal(one.gpr[RAX], 0); /* not while another vCPU is loaded */
	assert_int_equal(one_state.rip, CODE);
	one_exits[0] = EXIT_INTERRUPT;
	assert_int_equal(guest_run(&one), AFTER_INTERRUPT);
	assert_int_equal(one.gpr[RAX], 0x55);
	assert_int_equal(one_state.rip, CODE + 1);

	/* One that ends in a shutdown enters it not at all. */
	one_start(state);
	one_state.cr4 = 0;
	inject_machine_check(&one, gpa(0x5000));
	assert_int_equal(guest_run(&one), AFTER_WAIT);
	assert_int_equal(one_entries, 0);
	assert_ptr_equal(one_loaded, &one_root);
	assert_ptr_equal(one_world, &one_root.world);
}

static void the_roots_exits(void **state)
{
	one.root = true;
	one_code("\x0f\xa2", 2);
	assert_int_equal(one_exit(EXIT_CPUID), AFTER_RESUME);
	assert_int_equal(one_state.rip, CODE + 2);
	one_exit(EXIT_INIT);
	one_exit(EXIT_INTERRUPT);
	one_exit(EXIT_NMI);
	assert_int_equal(one.event.kind, EVENT_NONE);
	one_exit(EXIT_UNDEFINED);
	assert_int_equal(one.event.vector, 6);

	/* What is not its memory is #GP, what is only missing is mapped. */
	one_start(state);
	one.root = true;
	one_fault(DATA, true);
	assert_int_equal(one.event.kind, EVENT_NONE);
	one_fault(DEVICE, true);
	assert_int_equal(one.event.vector, 13);
	assert_true(one.event.has_error);

	/* .. also where it fetches instructions from. */
	one_start(state);
	one.root = true;
	one_page[CODE / PAGE_SIZE] = PAGE_MMIO;
	one_exit(EXIT_CPUID);
	assert_int_equal(one.event.vector, 13);
	assert_int_equal(one_state.rip, CODE);
	assert_int_equal(posted_count, 0);
}

/* ---- MSRs ---- */

static enum after msr(bool write, u32 index, u64 value)
{
	one_code(write ? "\x0f\x30" : "\x0f\x32", 2);
	one.event.kind = EVENT_NONE;
	one.gpr[RCX] = 0xffffffff00000000 | index;
	one.gpr[RAX] = 0xffffffff00000000 | (u32)value;
	one.gpr[RDX] = 0xffffffff00000000 | value >> 32;
	return one_exit(write ? EXIT_MSR_WRITE : EXIT_MSR_READ);
}

static void the_machine_check_bank_is_the_guests_to_clear(void **state)
{
	static const struct {
		u32 index;
		u64 value;
		bool refused;
	} writes[] = {
		{0x401, 0, false}, {0x401, 1, true}, {0x402, 0, false}, {0x402, 1, true},
		{0x403, 1, true},  {0x179, 0, true}, {0x17a, 0, false}, {0x17a, 8, true},
	};

	(void)state;
	inject_machine_check(&one, gpa(0x123456789000));
	one_resolved();
	assert_int_equal(msr(false, 0x402, 0), AFTER_RESUME);
	assert_int_equal(one.gpr[RAX], 0x56789000);
	assert_int_equal(one.gpr[RDX], 0x1234);
	msr(false, 0x179, 0);
	assert_int_equal(one.gpr[RAX] & 0xff, 1);
	for (unsigned n = 0; n < ARRAY_COUNT(writes); n++) {
		msr(true, writes[n].index, writes[n].value);
		assert_int_equal(one.event.kind, writes[n].refused ? EVENT_EXCEPTION : EVENT_NONE);
		assert_int_equal(one_state.rip, writes[n].refused ? CODE : CODE + 2);
	}
	assert_int_equal(one.mcg_status, 0);
	assert_int_equal(one.mc_status, 0);
	assert_int_equal(one.mc_address, 0);
	assert_int_equal(posted_count, 0);
}

static void bad_values_are_gp(void **state)
{
	static const struct {
		u32 index;
		u64 value;
		bool refused;
	} writes[] = {
		{0xc0000082, 0x0000800000000000, true},
		{0xc0000082, 0xffff800000000000, false},
		{0xc0000080, BIT(20), true},
		{0xc0000080, 0x500, false},
		{0x277, 0x0007040600070406, false},
		{0x277, 0x0002040600070406, true},
		{0x277, 0x0807040600070406, true},
	};

	(void)state;
	for (unsigned n = 0; n < ARRAY_COUNT(writes); n++) {
		msr(true, writes[n].index, writes[n].value);
		assert_int_equal(one.event.kind, writes[n].refused ? EVENT_EXCEPTION : EVENT_NONE);
		if (writes[n].refused)
			assert_int_equal(one.event.vector, 13);
	}
}

static void other_msrs_are_the_managers(void **state)
{
	assert_int_equal(msr(true, 0x4b564d00, 0x1122334455667788), AFTER_WAIT);
	assert_int_equal(posted.type, SEPTUM_EVENT_MSR);
	assert_int_equal(posted.flags, SEPTUM_EVENT_WRITE);
	assert_int_equal(posted.data[0], 0x4b564d00);
	assert_int_equal(posted.data[1], 0x1122334455667788);
	assert_int_equal(one_complete(0), AFTER_RESUME);
	assert_int_equal(one_state.rip, CODE + 2);

	one_start(state);
	assert_int_equal(msr(false, 0xc0011029, 0), AFTER_WAIT);
	assert_int_equal(one_state.rip, CODE);
	assert_int_equal(one_complete(0x1122334455667788), AFTER_RESUME);
	assert_int_equal(one.gpr[RAX], 0x55667788);
	assert_int_equal(one.gpr[RDX], 0x11223344);

	one_start(state);
	msr(false, 0xc0011029, 0);
	one.wait = WAIT_NONE;
	emulate_refuse(&one);
	assert_int_equal(one_resolved(), AFTER_RESUME);
	assert_int_equal(one.event.vector, 13);
	assert_int_equal(one_state.rip, CODE);
}

static void the_roots_virtualization_registers_are_hidden(void **state)
{
	static const u32 absent[] = {0x480, 0x491, 0xc0010117, 0xc0010131, 0x570};

	(void)state;
	one.root = true;
	for (unsigned n = 0; n < ARRAY_COUNT(absent); n++) {
		msr(false, absent[n], 0);
		assert_int_equal(one.event.vector, 13);
		one.event.vector = 0;
		msr(true, absent[n], 0);
		assert_int_equal(one.event.vector, 13);
		one.event.vector = 0;
	}
	msr(false, 0x3a, 0);
	assert_int_equal(one.gpr[RAX], 1);
	msr(false, 0xc0010114, 0);
	assert_int_equal(one.gpr[RAX], 0x18);
	msr(true, 0x79, 0x1000);
	assert_int_equal(one.event.kind, EVENT_NONE);
	assert_int_equal(one_state.rip, CODE + 2);
}

#define T(name) cmocka_unit_test_setup(name, one_start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(exceptions_combine_as_the_manual_says),
		T(a_fault_in_a_double_fault_is_a_shutdown),
		T(what_came_from_outside_is_not_lost),
		T(a_denied_access_is_a_machine_check_with_its_address),
		T(a_denied_fetch_is_another_machine_check),
		T(a_machine_check_that_cannot_be_taken_is_a_shutdown),
		T(cpuid_and_the_root_calls_skip_their_instruction),
		T(the_other_vendors_hypercall_works_and_ud2_does_not),
		T(guest_calls_are_kvms),
		T(a_guest_call_returns_when_it_is_answered),
		T(a_halt_stands_behind_its_instruction),
		T(xsetbv_checks_what_the_processor_would),
		T(a_refused_control_write_is_gp),
		T(what_cannot_go_on_is_reported),
		T(an_instruction_behind_a_fault_is_not_skipped),
		T(an_instruction_at_the_end_of_its_page_needs_no_other),
		T(the_root_is_back_when_a_run_ends),
		T(an_nmi_is_the_roots),
		T(a_verdict_is_done_before_the_guest_is_entered),
		T(the_roots_exits),
		T(the_machine_check_bank_is_the_guests_to_clear),
		T(bad_values_are_gp),
		T(other_msrs_are_the_managers),
		T(the_roots_virtualization_registers_are_hidden),
	};

	return cmocka_run_group_tests_name("exits", tests, NULL, NULL);
}
