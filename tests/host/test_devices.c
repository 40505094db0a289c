/* sources: kernel/exit.c kernel/inject.c kernel/emulate.c kernel/io.c kernel/mmio.c kernel/msr.c
 * kernel/lapic.c kernel/lapic_vcpu.c tests/host/fake_timer.c kernel/guest_call.c
 * kernel/guest_access.c arch/x86/decode.c arch/x86/emulate.c arch/x86/guest_walk.c
 * tests/host/one_vcpu.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports and MMIO: what the manager is asked, and what becomes of its answers. */
#include "tests/host/one_vcpu.h"

#define CODE_IS(...)                                                                               \
	do {                                                                                       \
		static const u8 bytes_[] = {__VA_ARGS__};                                          \
		one_code(bytes_, sizeof(bytes_));                                                  \
	} while (0)

static u64 ram(u64 at, unsigned bytes)
{
	u64 value = 0;

	memcpy(&value, one_ram + at, bytes);
	return value;
}

static void was_posted(u16 type, u32 flags, u64 size, u64 where, u64 value)
{
	assert_int_equal(posted.type, type);
	assert_int_equal(posted.flags, flags);
	assert_int_equal(posted.size, size);
	assert_int_equal(type == SEPTUM_EVENT_IO ? posted.data[0] : posted.gpa, where);
	assert_int_equal(posted.data[1], value);
}

/* ---- Ports ---- */

static void in_changes_as_much_of_rax_as_it_reads(void **state)
{
	static const struct {
		u8 size;
		u64 after;
	} cases[] = {{1, 0x11111111111111dd}, {2, 0x111111111111ccdd}, {4, 0xaabbccdd}};

	for (unsigned n = 0; n < ARRAY_COUNT(cases); n++) {
		one_start(state);
		if (cases[n].size == 2)
			CODE_IS(0x66, 0xed);
		else
			CODE_IS(0xed);
		one.gpr[RAX] = 0x1111111111111111;
		assert_int_equal(one_io(0x3f8, cases[n].size, true, false), AFTER_WAIT);
		was_posted(SEPTUM_EVENT_IO, SEPTUM_EVENT_READ, cases[n].size, 0x3f8, 0);
		assert_int_equal(one_state.rip, CODE);
		assert_int_equal(one_complete(0x99999999aabbccdd), AFTER_RESUME);
		assert_int_equal(one.gpr[RAX], cases[n].after);
		assert_int_equal(one_skipped, 1);
	}
}

static void out_shows_no_more_than_it_writes(void **state)
{
	(void)state;
	CODE_IS(0xee);
	one.gpr[RAX] = 0x1122334455667788;
	one_io(0x80, 1, false, false);
	was_posted(SEPTUM_EVENT_IO, SEPTUM_EVENT_WRITE, 1, 0x80, 0x88);
	one_complete(0);
	assert_int_equal(one.gpr[RAX], 0x1122334455667788);
	assert_int_equal(one_state.rip, CODE + 1);
}

static void a_refused_port_is_gp(void **state)
{
	(void)state;
	CODE_IS(0xec);
	one_io(0x80, 1, true, false);
	one.wait = WAIT_NONE;
	emulate_refuse(&one);
	assert_int_equal(one_resolved(), AFTER_RESUME);
	assert_int_equal(one.event.vector, 13);
	assert_int_equal(one_state.rip, CODE);
	assert_int_equal(emulate_complete(&one, 0), E_VERDICT);
}

static void outs_start(u64 source, u64 count)
{
	CODE_IS(0xf3, 0x6e); /* rep outsb */
	one.gpr[RSI] = source;
	one.gpr[RCX] = count;
}

static void outs_sends_many_at_once(void **state)
{
	(void)state;
	memcpy(one_ram + DATA, "Septum", 6);
	outs_start(DATA, 6);
	assert_int_equal(one_io(0xe9, 1, false, true), AFTER_WAIT);
	was_posted(SEPTUM_EVENT_IO, SEPTUM_EVENT_WRITE | SEPTUM_EVENT_STRING, 1, 0xe9, 0);
	assert_int_equal(posted.data[2], 6);
	assert_memory_equal(one_payload, "Septum", 6);
	assert_int_equal(one.gpr[RCX], 6);
	assert_int_equal(one_complete(0), AFTER_RESUME);
	assert_int_equal(one.gpr[RCX], 0);
	assert_int_equal(one.gpr[RSI], DATA + 6);
	assert_int_equal(one_state.rip, CODE + 2);
}

static void a_string_longer_than_the_payload_takes_turns(void **state)
{
	(void)state;
	outs_start(DATA, 700);
	one_io(0xe9, 1, false, true);
	assert_int_equal(posted.data[2], 512);
	one_complete(0);
	assert_int_equal(one.gpr[RCX], 188);
	assert_int_equal(one.gpr[RSI], DATA + 512);
	assert_int_equal(one_state.rip, CODE); /* an interrupt can come in between */
	one_io(0xe9, 1, false, true);
	assert_int_equal(posted.data[2], 188);
	one_complete(0);
	assert_int_equal(one_state.rip, CODE + 2);
}

static void a_string_of_nothing_is_no_event(void **state)
{
	(void)state;
	outs_start(0x7fffffffffff, 0);
	assert_int_equal(one_io(0xe9, 1, false, true), AFTER_RESUME);
	assert_int_equal(posted_count, 0);
	assert_int_equal(one_state.rip, CODE + 2);
}

static void a_string_can_run_backwards(void **state)
{
	(void)state;
	CODE_IS(0xf3, 0x66, 0x6f); /* rep outsw */
	memcpy(one_ram + DATA, "abcdef", 6);
	one.gpr[RSI] = DATA + 4;
	one.gpr[RCX] = 3;
	one_state.rflags |= BIT(10);
	one_io(0x10, 2, false, true);
	assert_int_equal(posted.data[2], 3);
	assert_int_equal(posted.size, 2);
	assert_memory_equal(one_payload, "efcdab", 6);
	one_complete(0);
	assert_int_equal(one.gpr[RSI], DATA - 2);
}

static void a_fault_in_the_middle_of_a_string_is_precise(void **state)
{
	(void)state;
	one_paged(DATA / PAGE_SIZE + 1);
	outs_start(DATA + PAGE_SIZE - 3, 10);
	one_io(0xe9, 1, false, true);
	assert_int_equal(posted.data[2], 3);
	one_complete(0);
	assert_int_equal(one.gpr[RCX], 7);
	assert_int_equal(one_state.rip, CODE);
	assert_int_equal(one_io(0xe9, 1, false, true), AFTER_RESUME);
	assert_int_equal(posted_count, 1);
	assert_int_equal(one.event.vector, 14);
	assert_int_equal(one_state.cr2, DATA + PAGE_SIZE);
	assert_int_equal(one.gpr[RCX], 7);
}

static void the_segment_of_a_string_is_checked(void **state)
{
	for (unsigned n = 0; n < 5; n++) {
		one_start(state);
		one_paged(0);
		outs_start(DATA, 4);
		switch (n) {
		case 0: /* beyond the limit */
			one_state.seg[SEG_DS].limit = DATA - 1;
			break;
		case 1: /* expand-down: below it */
			one_state.seg[SEG_DS].access = 0xc097;
			one_state.seg[SEG_DS].limit = DATA + 10;
			break;
		case 2: /* execute-only */
			one_state.seg[SEG_DS].access = 0xc099;
			break;
		case 3:
			one_state.seg[SEG_DS].access = 0x10000;
			break;
		default: /* by SS it is a stack fault */
			CODE_IS(0x36, 0xf3, 0x6e);
			one_state.seg[SEG_SS].limit = DATA - 1;
		}
		assert_int_equal(one_io(0xe9, 1, false, true), AFTER_RESUME);
		assert_int_equal(one.event.vector, n == 4 ? 12 : 13);
		assert_int_equal(posted_count, 0);
		assert_int_equal(one.gpr[RCX], 4);
	}
	/* The limit ends it in the middle. */
	one_start(state);
	one_paged(0);
	outs_start(DATA, 4);
	one_state.seg[SEG_DS].limit = DATA + 1;
	one_io(0xe9, 1, false, true);
	assert_int_equal(posted.data[2], 2);
	/* Not canonical. */
	one_start(state);
	outs_start(0x800000000000, 4);
	assert_int_equal(one_io(0xe9, 1, false, true), AFTER_RESUME);
	assert_int_equal(one.event.vector, 13);
}

static void ins_start(u64 target, u64 count)
{
	CODE_IS(0xf3, 0x6c); /* rep insb */
	one.gpr[RDI] = target;
	one.gpr[RCX] = count;
}

static void ins_reaches_memory_when_it_is_answered(void **state)
{
	(void)state;
	ins_start(DATA, 4);
	one_io(0x1f0, 1, true, true);
	was_posted(SEPTUM_EVENT_IO, SEPTUM_EVENT_READ | SEPTUM_EVENT_STRING, 1, 0x1f0, 0);
	assert_int_equal(posted.data[2], 4);
	memcpy(one_payload, "read", 4);
	assert_int_equal(ram(DATA, 4), 0);
	one_complete(0);
	assert_memory_equal(one_ram + DATA, "read", 4);
	assert_int_equal(one.gpr[RDI], DATA + 4);
	assert_int_equal(one_state.rip, CODE + 2);
}

static void ins_asks_no_device_for_what_it_cannot_store(void **state)
{
	ins_start(DATA, 4);
	one_page[DATA / PAGE_SIZE] = PAGE_OTHER_KIND;
	one_io(0x1f0, 1, true, true);
	assert_int_equal(posted.type, SEPTUM_EVENT_MEMORY_FAULT);
	assert_int_equal(one.pending.kind, PENDING_NONE);

	one_start(state);
	ins_start(DATA + PAGE_SIZE - 1, 4);
	one_page[DATA / PAGE_SIZE + 1] = PAGE_OTHER_KIND;
	one_io(0x1f0, 1, true, true);
	assert_int_equal(posted.type, SEPTUM_EVENT_IO);
	assert_int_equal(posted.data[2], 1);
}

static void what_ins_has_read_survives_a_conversion(void **state)
{
	(void)state;
	ins_start(DATA + PAGE_SIZE - 2, 4);
	one_io(0x1f0, 1, true, true);
	assert_int_equal(posted.data[2], 4);
	memcpy(one_payload, "read", 4);
	/* Another vCPU converts the second page while the manager thinks. */
	one_page[DATA / PAGE_SIZE + 1] = PAGE_OTHER_KIND;
	assert_int_equal(one_complete(0), AFTER_WAIT);
	assert_int_equal(posted.type, SEPTUM_EVENT_MEMORY_FAULT);
	assert_int_equal(posted.gpa, DATA + PAGE_SIZE);
	assert_int_equal(one.gpr[RCX], 2);
	memset(one_payload, 'X', 4); /* the manager's memory is the manager's */
	one_page[DATA / PAGE_SIZE + 1] = PAGE_RAM;
	assert_int_equal(one_resolved(), AFTER_RESUME);
	assert_memory_equal(one_ram + DATA + PAGE_SIZE - 2, "read", 4);
	assert_int_equal(one.gpr[RCX], 0);
	assert_int_equal(one_state.rip, CODE + 2);
}

/* ---- MMIO ---- */

static void a_load_takes_what_the_device_says(void **state)
{
	CODE_IS(0x8b, 0x03); /* mov eax, [rbx] */
	one.gpr[RBX] = DEVICE + 0x20;
	one.gpr[RAX] = ~0ul;
	assert_int_equal(one_fault(DEVICE + 0x20, false), AFTER_WAIT);
	was_posted(SEPTUM_EVENT_MMIO, SEPTUM_EVENT_READ, 4, DEVICE + 0x20, 0);
	assert_int_equal(one_complete(0x1234567890abcdef), AFTER_RESUME);
	assert_int_equal(one.gpr[RAX], 0x90abcdef);
	assert_int_equal(one_state.rip, CODE + 2);

	one_start(state);
	CODE_IS(0x48, 0x0f, 0xbe, 0x03); /* movsx rax, byte [rbx] */
	one.gpr[RBX] = DEVICE + 1;
	one_fault(DEVICE + 1, false);
	assert_int_equal(posted.size, 1);
	one_complete(0x80);
	assert_int_equal(one.gpr[RAX], 0xffffffffffffff80);
}

static void a_store_shows_no_more_than_it_writes(void **state)
{
	(void)state;
	CODE_IS(0x66, 0x89, 0x43, 0x02); /* mov [rbx + 2], ax */
	one.gpr[RBX] = DEVICE;
	one.gpr[RAX] = 0x1122334455667788;
	one_fault(DEVICE + 2, true);
	was_posted(SEPTUM_EVENT_MMIO, SEPTUM_EVENT_WRITE, 2, DEVICE + 2, 0x7788);
	one_complete(0);
	assert_int_equal(one_state.rip, CODE + 4);
}

static void the_stack_pointer_is_a_base_like_others(void **state)
{
	(void)state;
	CODE_IS(0x8b, 0x24, 0x24); /* mov esp, [rsp] */
	one_state.rsp = DEVICE + 8;
	one.gpr[RSP] = 0xbad;
	one_fault(DEVICE + 8, false);
	assert_int_equal(posted.gpa, DEVICE + 8);
	one_complete(0x2000);
	assert_int_equal(one_state.rsp, 0x2000);
}

static void read_modify_write_is_two_events(void **state)
{
	(void)state;
	CODE_IS(0x09, 0x03); /* or [rbx], eax */
	one.gpr[RBX] = DEVICE;
	one.gpr[RAX] = 0x0f;
	one_fault(DEVICE, true);
	was_posted(SEPTUM_EVENT_MMIO, SEPTUM_EVENT_READ, 4, DEVICE, 0);
	assert_int_equal(one_complete(0x80000030), AFTER_WAIT);
	was_posted(SEPTUM_EVENT_MMIO, SEPTUM_EVENT_WRITE, 4, DEVICE, 0x8000003f);
	assert_int_equal(one_state.rflags, 2);
	assert_int_equal(one_complete(0), AFTER_RESUME);
	assert_int_equal(one_state.rflags, 2 | BIT(7) | BIT(2)); /* SF, PF */
	assert_int_equal(one_state.rip, CODE + 2);
	assert_int_equal(posted_count, 2);
}

static void an_access_across_a_page_is_two_pieces(void **state)
{
	CODE_IS(0x48, 0x8b, 0x03); /* mov rax, [rbx]: three bytes of RAM, five of the device */
	one.gpr[RBX] = DEVICE - 3;
	memcpy(one_ram + DEVICE - 3, "\x11\x22\x33", 3);
	one_fault(DEVICE, false);
	was_posted(SEPTUM_EVENT_MMIO, SEPTUM_EVENT_READ, 5, DEVICE, 0);
	one_complete(0xffffff8877665544);
	assert_int_equal(one.gpr[RAX], 0x8877665544332211);

	one_start(state);
	one_page[DEVICE / PAGE_SIZE + 1] = PAGE_MMIO;
	CODE_IS(0x48, 0x89, 0x03); /* mov [rbx], rax: both are devices */
	one.gpr[RBX] = DEVICE + PAGE_SIZE - 2;
	one.gpr[RAX] = 0x8877665544332211;
	one_fault(DEVICE + PAGE_SIZE - 2, true);
	was_posted(SEPTUM_EVENT_MMIO, SEPTUM_EVENT_WRITE, 2, DEVICE + PAGE_SIZE - 2, 0x2211);
	assert_int_equal(one_complete(0), AFTER_WAIT);
	was_posted(SEPTUM_EVENT_MMIO, SEPTUM_EVENT_WRITE, 6, DEVICE + PAGE_SIZE, 0x887766554433);
	assert_int_equal(one_complete(0), AFTER_RESUME);
	assert_int_equal(one_state.rip, CODE + 3);
}

static void movs_goes_between_device_and_memory(void **state)
{
	CODE_IS(0xf3, 0xa5); /* rep movsd */
	one.gpr[RSI] = DEVICE;
	one.gpr[RDI] = DATA;
	one.gpr[RCX] = 2;
	one_fault(DEVICE, false);
	was_posted(SEPTUM_EVENT_MMIO, SEPTUM_EVENT_READ, 4, DEVICE, 0);
	one_complete(0x11223344);
	assert_int_equal(ram(DATA, 8), 0x11223344);
	assert_int_equal(one.gpr[RCX], 1);
	assert_int_equal(one.gpr[RSI], DEVICE + 4);
	assert_int_equal(one_state.rip, CODE); /* one element at a time */
	one_fault(DEVICE + 4, false);
	one_complete(0x55667788);
	assert_int_equal(ram(DATA, 8), 0x5566778811223344);
	assert_int_equal(one_state.rip, CODE + 2);

	one_start(state);
	CODE_IS(0xa5);
	memcpy(one_ram + DATA, "abcd", 4);
	one.gpr[RSI] = DATA;
	one.gpr[RDI] = DEVICE + 4;
	one_fault(DEVICE + 4, true);
	was_posted(SEPTUM_EVENT_MMIO, SEPTUM_EVENT_WRITE, 4, DEVICE + 4, 0x64636261);
	one_complete(0);
	assert_int_equal(one.gpr[RDI], DEVICE + 8);
}

static void what_a_device_said_survives_a_conversion(void **state)
{
	(void)state;
	CODE_IS(0xa4); /* movsb */
	one.gpr[RSI] = DEVICE;
	one.gpr[RDI] = DATA;
	one_page[DATA / PAGE_SIZE] = PAGE_OTHER_KIND;
	one_fault(DEVICE, false);
	assert_int_equal(posted.type, SEPTUM_EVENT_MMIO);
	assert_int_equal(one_complete('m'), AFTER_WAIT);
	assert_int_equal(posted.type, SEPTUM_EVENT_MEMORY_FAULT);
	assert_int_equal(posted.gpa, DATA);
	one_page[DATA / PAGE_SIZE] = PAGE_RAM;
	assert_int_equal(one_resolved(), AFTER_RESUME);
	assert_int_equal(ram(DATA, 1), 'm');
	assert_int_equal(posted_count, 2); /* the device was read once */
	assert_int_equal(one_state.rip, CODE + 1);
}

static void a_page_fault_ends_the_instruction(void **state)
{
	(void)state;
	one_paged(DATA / PAGE_SIZE);
	CODE_IS(0xa4);
	one.gpr[RSI] = DATA; /* not there by now, though the processor went on to the store */
	one.gpr[RDI] = DEVICE;
	assert_int_equal(one_fault(DEVICE, true), AFTER_RESUME);
	assert_int_equal(one.event.vector, 14);
	assert_int_equal(one_state.cr2, DATA);
	assert_int_equal(one.pending.kind, PENDING_NONE);
	assert_int_equal(one.gpr[RDI], DEVICE);
	assert_int_equal(posted_count, 0);
}

static void a_refused_device_access_is_a_machine_check(void **state)
{
	(void)state;
	CODE_IS(0x8b, 0x03);
	one.gpr[RBX] = DEVICE + 4;
	one_fault(DEVICE + 4, false);
	one.wait = WAIT_NONE;
	emulate_refuse(&one);
	assert_int_equal(one_resolved(), AFTER_RESUME);
	assert_int_equal(one.event.vector, 18);
	assert_int_equal(one.mc_address, DEVICE + 4);
	assert_int_equal(one_state.rip, CODE);
}

static void what_cannot_be_done_is_reported(void **state)
{
	for (unsigned n = 0; n < 8; n++) {
		one_start(state);
		CODE_IS(0x8b, 0x03);
		one.gpr[RBX] = DEVICE;
		one.exit.access = (struct access){.raw_gpa = DEVICE};
		switch (n) {
		case 0: /* an SSE load */
			CODE_IS(0x0f, 0x28, 0x03);
			break;
		case 1: /* no memory operand */
			CODE_IS(0x89, 0xc0);
			break;
		case 2: /* another address than the one that faulted */
			one.gpr[RBX] = DEVICE + 4;
			break;
		case 7:
			one.gpr[RBX] = DEVICE - 4;
			break;
		case 3: /* code in a device */
			one.exit.access.exec = true;
			break;
		case 4: /* page tables in a device */
			one.exit.access.walk = true;
			break;
		case 5: /* an exception's frame in a device */
			one.event = (struct vcpu_event){.kind = EVENT_EXCEPTION, .vector = 13};
			break;
		default:
			CODE_IS(0x6e);
			one.gpr[RSI] = DEVICE;
		}
		assert_int_equal(one_exit(EXIT_NESTED_FAULT), AFTER_WAIT);
		assert_int_equal(posted.type, SEPTUM_EVENT_FAILED);
		assert_int_equal(posted.data[0], SEPTUM_FAILURE_DECODE);
		assert_int_equal(posted.gpa, DEVICE);
		assert_int_equal(one.pending.kind, PENDING_NONE);
	}
}

static void a_device_is_also_found_in_outs(void **state)
{
	(void)state;
	outs_start(DEVICE, 3);
	assert_int_equal(one_io(0xe9, 1, false, true), AFTER_WAIT);
	assert_int_equal(posted.type, SEPTUM_EVENT_FAILED);
}

static void nowhere_is_one_machine_check(void **state)
{
	for (unsigned n = 0; n < 3; n++) {
		one_start(state);
		switch (n) {
		case 0:
			outs_start(BIT(41), 3);
			assert_int_equal(one_io(0xe9, 1, false, true), AFTER_RESUME);
			break;
		case 1:
			ins_start(BIT(41), 3);
			assert_int_equal(one_io(0xe9, 1, true, true), AFTER_RESUME);
			break;
		default: /* the store of movsb, when the load is done */
			CODE_IS(0xa4);
			one.gpr[RSI] = DEVICE;
			one.gpr[RDI] = BIT(41);
			one_fault(DEVICE, false);
			assert_int_equal(one_complete(1), AFTER_RESUME);
		}
		assert_int_equal(one.event.kind, EVENT_EXCEPTION);
		assert_int_equal(one.event.vector, 18);
		assert_int_equal(one.mc_address, BIT(41));
		assert_int_equal(posted_count, n == 2);
		assert_int_equal(one.pending.kind, PENDING_NONE);
		assert_int_equal(one_state.rip, CODE);
	}
}

#define T(name) cmocka_unit_test_setup(name, one_start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(in_changes_as_much_of_rax_as_it_reads),
		T(out_shows_no_more_than_it_writes),
		T(a_refused_port_is_gp),
		T(outs_sends_many_at_once),
		T(a_string_longer_than_the_payload_takes_turns),
		T(a_string_of_nothing_is_no_event),
		T(a_string_can_run_backwards),
		T(a_fault_in_the_middle_of_a_string_is_precise),
		T(the_segment_of_a_string_is_checked),
		T(ins_reaches_memory_when_it_is_answered),
		T(ins_asks_no_device_for_what_it_cannot_store),
		T(what_ins_has_read_survives_a_conversion),
		T(a_load_takes_what_the_device_says),
		T(a_store_shows_no_more_than_it_writes),
		T(the_stack_pointer_is_a_base_like_others),
		T(read_modify_write_is_two_events),
		T(an_access_across_a_page_is_two_pieces),
		T(movs_goes_between_device_and_memory),
		T(what_a_device_said_survives_a_conversion),
		T(a_page_fault_ends_the_instruction),
		T(a_refused_device_access_is_a_machine_check),
		T(what_cannot_be_done_is_reported),
		T(a_device_is_also_found_in_outs),
		T(nowhere_is_one_machine_check),
	};

	return cmocka_run_group_tests_name("devices", tests, NULL, NULL);
}
