/* SPDX-License-Identifier: BSD-2-Clause */
/* Halts, interrupts, exceptions whose delivery faults, and how a vCPU ends. */
#include "guests/testman/testman.h"

#define VECTOR_TEST 0x40u

static u32 state(void)
{
	return (u32)(septum(SEPTUM_CALL_VCPU_INFO, test.vm.id, 0).value & 0xff);
}

static bool interrupt(u64 vector)
{
	CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_VCPU_INTERRUPT, test.vm.id, 0, vector));
	return true;
}

static bool expect_halt(bool interruptible, u64 answer)
{
	struct septum_event e;

	CHECK_OR_FALSE(next(&e));
	CHECK_OR_FALSE(e.type == SEPTUM_EVENT_HALT);
	CHECK_OR_FALSE(!(e.flags & SEPTUM_EVENT_INTERRUPTIBLE) == !interruptible);
	CHECK_OR_FALSE(verdict(&e, SEPTUM_VERDICT_COMPLETE, answer) == SEPTUM_OK);
	return true;
}

SCENARIO_QUICK(halts_end_with_interrupts)
{
	CHECK(guest_begin(&build_sw, "halt"));
	CHECK(expect_halt(true, 0));
	CHECK(state() == SEPTUM_VCPU_HALTED && expect_idle());
	CHECK(interrupt(VECTOR_TEST));
	CHECK(expect_step(1));
	CHECK(interrupt(VECTOR_TEST));
	CHECK(GIVES(E_BUSY, SEPTUM_CALL_VCPU_INTERRUPT, test.vm.id, 0, VECTOR_TEST));
	CHECK(expect_halt(false, 0));
	CHECK(interrupt(VECTOR_TEST) && expect_idle());
	CHECK(state() == SEPTUM_VCPU_HALTED); /* it cannot take that one */
	CHECK(interrupt(SEPTUM_NMI));
	CHECK(expect_halt(false, 1));
	CHECK(expect_step(2));
	CHECK(interrupt(SEPTUM_NMI));
	CHECK(expect_end());
}

SCENARIO(bad_interrupts_are_refused)
{
	static const u64 vectors[] = {0, 1, 3, 8, 13, 14, 15, 256, 0x1040, ~0ul};

	CHECK(guest_begin(&build_sw, "pass"));
	for (u32 i = 0; i < ARRAY_COUNT(vectors); i++)
		CHECK(GIVES(E_ARG, SEPTUM_CALL_VCPU_INTERRUPT, test.vm.id, 0, vectors[i]));
	CHECK(GIVES(E_NO_VCPU, SEPTUM_CALL_VCPU_INTERRUPT, test.vm.id, 1, VECTOR_TEST));
	CHECK(GIVES(E_NO_VM, SEPTUM_CALL_VCPU_INTERRUPT, 0, 0, VECTOR_TEST));
}

/* Runs to step(100 + vector) while conversions are served. */
static bool at(u32 vector)
{
	test.serve_conversions = true;
	CHECK_OR_FALSE(expect_step(100 + vector));
	return true;
}

static void nested(const struct build *build, u64 implicit_wanted)
{
	u64 implicit;

	CHECK(guest_begin(build, "nested_delivery"));
	for (u32 how = 0; how < 2; how++) {
		CHECK(at(VECTOR_GP) && at(VECTOR_UD) && at(0x80) && at(VECTOR_TEST));
		CHECK(interrupt(VECTOR_TEST));
		CHECK(at(VECTOR_NMI));
		CHECK(interrupt(SEPTUM_NMI));
	}
	CHECK(expect_end());
	implicit = vm_counter(&test.vm, SEPTUM_COUNTER_IMPLICIT_CONVERTED);
	CHECK(implicit == implicit_wanted);
}

SCENARIO_QUICK(delivery_interrupted_by_a_conversion)
{
	nested(&build_sw_bit, 5);
}

SCENARIO(delivery_interrupted_by_a_missing_page)
{
	nested(&build_sw, 0);
}

SCENARIO_QUICK(a_triple_fault_is_a_shutdown)
{
	struct septum_event e;

	CHECK(guest_begin(&build_sw, "triple_fault"));
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_SHUTDOWN);
	CHECK(verdict(&e, SEPTUM_VERDICT_COMPLETE, 0) == SEPTUM_E_VERDICT);
	CHECK(verdict(&e, SEPTUM_VERDICT_INJECT, 0) == SEPTUM_E_VERDICT);
	CHECK(verdict(&e, SEPTUM_VERDICT_KILL, 0) == SEPTUM_OK);
	CHECK(state() == SEPTUM_VCPU_DEAD);
}

SCENARIO_QUICK(an_impossible_state_fails_at_entry)
{
	struct septum_event e;

	CHECK(guest_prepare(&build_sw, "pass"));
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_CR4, 1ul << 40).status == SEPTUM_OK);
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_FAILED && e.data[0] == SEPTUM_FAILURE_ENTRY);
	CHECK(verdict(&e, SEPTUM_VERDICT_KILL, 0) == SEPTUM_OK);
	CHECK(state() == SEPTUM_VCPU_DEAD);
}

SCENARIO(registers_are_fixed_once_started)
{
	CHECK(guest_prepare(&build_sw, "pass"));
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_END, 0).status == SEPTUM_E_ARG);
	CHECK(vcpu_set(&test.vm, 0, 26, 0).status == SEPTUM_E_ARG);
	CHECK(vcpu_set(&test.vm, 1, SEPTUM_REG_RAX, 0).status == SEPTUM_E_NO_VCPU);
	CHECK(GIVES(E_EXISTS, SEPTUM_CALL_VCPU_CREATE, test.vm.id, 0));
	CHECK(GIVES(E_STATE, SEPTUM_CALL_RUN, test.vm.id, 0));
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(GIVES(E_STATE, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_RIP, 0).status == SEPTUM_E_STATE);
	CHECK(expect_step(1));
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_RIP, 0).status == SEPTUM_E_STATE);
	CHECK(GIVES(E_STATE, SEPTUM_CALL_VCPU_CREATE, test.vm.id, 0));
	CHECK(expect_end());
}

SCENARIO(a_halted_guest_leaves_nothing_to_run)
{
	CHECK(guest_begin(&build_sw, "halt_for_ever"));
	CHECK(expect_halt(false, 0));
	CHECK(expect_idle());
	CHECK(state() == SEPTUM_VCPU_HALTED);
}

SCENARIO_QUICK(a_flat_guest_in_32_bits)
{
	extern const u8 flat_image[];
	extern const u8 flat_image_end[];
	struct image image = {
		.data = flat_image, .size = (u64)(flat_image_end - flat_image), .args = ""};

	CHECK(pool_add(TEST_BLOCKS));
	CHECK(guest_build(&test.vm, &build_sw, &image) == NULL);
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(expect_end());
}

SCENARIO_QUICK(a_plain_guest_runs)
{
	CHECK(guest_begin(&build_plain, "pass"));
	CHECK(expect_step(1));
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_PAGES_PRIVATE) == 0);
	CHECK(GIVES(E_UNSUPPORTED, SEPTUM_CALL_ATTR_SET, test.vm.id, 0, 1, ATTR_PRIVATE));
	CHECK(GIVES(E_UNSUPPORTED, SEPTUM_CALL_SLOT_ADD, test.vm.id, 0x8000, 512, 0,
		    SEPTUM_SLOT_PRIVATE));
	CHECK(expect_end());
}
