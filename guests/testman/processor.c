/* SPDX-License-Identifier: BSD-2-Clause */
/* Modes of the processor, exceptions that Septum looks at first, interrupts of guest and root. */
#include "guests/testman/testman.h"

#define VECTOR_TEST 0x40u
#define APIC_ICR    0xfee00300ul
#define ICR_NMI	    0x4400u /* assert; to the APIC that ICR's upper half names */
#define PIT_CHANNEL 0x40u
#define PIT_COMMAND 0x43u
#define PIT_RATE    0x34u /* channel 0, both bytes, mode 2 */
#define PIT_COUNT   5000u
#define PIC_MASK    0x21u

static struct reply segment_set(u32 segment, u64 base, u64 limit, u64 access)
{
	u64 reg = SEPTUM_REG_SEG + 4 * segment;
	struct reply r = vcpu_set(&test.vm, 0, reg + 1, base);

	if (r.status == SEPTUM_OK)
		r = vcpu_set(&test.vm, 0, reg + 2, limit);
	if (r.status == SEPTUM_OK)
		r = vcpu_set(&test.vm, 0, reg + 3, access);
	return r;
}

static bool flat_prepare(const u8 *data, const u8 *end)
{
	struct image image = {.data = data, .size = (u64)(end - data), .args = ""};

	CHECK_OR_FALSE(pool_add(TEST_BLOCKS));
	CHECK_OR_FALSE(guest_build(&test.vm, &build_sw, &image) == NULL);
	return true;
}

SCENARIO_QUICK(a_guest_in_real_mode)
{
	extern const u8 real_image[];
	extern const u8 real_image_end[];

	CHECK(flat_prepare(real_image, real_image_end));
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_CR0, 0x10).status == SEPTUM_OK);
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_RIP, 0x1000).status == SEPTUM_OK);
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_RAX + 4, 0x9000).status == SEPTUM_OK); /* RSP */
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_IDTR_LIMIT, 0x3ff).status == SEPTUM_OK);
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_SEG + 4, 0xff00).status == SEPTUM_OK);
	for (u32 segment = 0; segment < 6; segment++)
		CHECK(segment_set(segment, segment == 1 ? 0xff000 : 0, 0xffff,
				  segment == 1 ? 0x9b : 0x93)
			      .status == SEPTUM_OK);
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(expect_end());
}

SCENARIO_QUICK(a_guest_with_pae_paging)
{
	extern const u8 pae_image[];
	extern const u8 pae_image_end[];

	CHECK(flat_prepare(pae_image, pae_image_end));
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_CR3, 0x101000).status == SEPTUM_OK);
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_CR4, 0x20).status == SEPTUM_OK);
	CHECK(vcpu_set(&test.vm, 0, SEPTUM_REG_CR0, 0x80000011).status == SEPTUM_OK);
	CHECK(GIVES(OK, SEPTUM_CALL_VM_START, test.vm.id));
	CHECK(expect_end());
}

SCENARIO_QUICK(debug_exceptions_are_the_guests_own)
{
	CHECK(guest_begin(&build_sw, "debugging"));
	CHECK(expect_end());
}

SCENARIO_QUICK(alignment_checks_are_the_guests_own)
{
	CHECK(guest_begin(&build_sw, "alignment"));
	CHECK(expect_end());
}

SCENARIO_QUICK(an_interrupt_waits_for_its_priority)
{
	CHECK(guest_begin(&build_sw, "priorities"));
	CHECK(expect_step(1));
	CHECK(GIVES(OK, SEPTUM_CALL_VCPU_INTERRUPT, test.vm.id, 0, VECTOR_TEST));
	CHECK(expect_step(2));
	CHECK(expect_end());
}

SCENARIO_QUICK(caches_stay_as_they_are)
{
	CHECK(guest_begin(&build_sw, "caches"));
	CHECK(expect_end());
}

SCENARIO_QUICK(an_interrupt_of_the_root_ends_a_run)
{
	u64 before = interrupts_taken;

	CHECK(guest_begin(&build_sw, "spin"));
	out8(PIT_COMMAND, PIT_RATE);
	out8(PIT_CHANNEL, PIT_COUNT & 0xff);
	out8(PIT_CHANNEL, PIT_COUNT >> 8);
	out8(PIC_MASK, 0xfe);
	for (u32 i = 0; i < 1000 && interrupts_taken < before + 3; i++)
		CHECK(expect_step(1));
	out8(PIC_MASK, 0xff);
	CHECK(interrupts_taken >= before + 3);
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_EXIT_INTERRUPT) >= 3);
	test.step_answer = 1;
	CHECK(expect_end());
}

static volatile u32 nmis;
static volatile u32 nested_nmis;

static void nmi_send(void)
{
	*(volatile u32 *)(APIC_ICR + 0x10) = 0;
	*(volatile u32 *)APIC_ICR = ICR_NMI;
	for (u32 i = 0; i < 1000; i++)
		cpu_relax();
}

/* The second comes while the first is served: it must wait for its end. */
static bool nmi_take(struct trap_frame *frame)
{
	u32 n = ++nmis;

	(void)frame;
	if (n == 1) {
		nmi_send();
		nested_nmis += nmis - n;
	}
	return true;
}

SCENARIO_QUICK(an_nmi_reaches_the_root)
{
	nmis = nested_nmis = 0;
	trap_handlers[VECTOR_NMI] = nmi_take;
	nmi_send();
	trap_handlers[VECTOR_NMI] = NULL;
	CHECK(nmis == 2);
	CHECK(nested_nmis == 0);
}
