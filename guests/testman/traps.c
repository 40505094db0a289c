/* SPDX-License-Identifier: BSD-2-Clause */
/* Single steps and NMIs across exits, and the MSRs of the processor's control block. */
#include "guests/testman/testman.h"

SCENARIO_QUICK(a_completed_instruction_is_one_step)
{
	CHECK(guest_begin(&build_sw, "single_step"));
	CHECK(expect_end());
}

static bool nmi(void)
{
	CHECK_OR_FALSE(GIVES(OK, SEPTUM_CALL_VCPU_INTERRUPT, test.vm.id, 0, SEPTUM_NMI));
	return true;
}

SCENARIO_QUICK(an_nmi_waits_for_the_end_of_another)
{
	CHECK(guest_begin(&build_sw, "nmi_blocking"));
	CHECK(expect_step(1) && nmi());
	CHECK(expect_step(2) && nmi());
	CHECK(expect_step(3) && nmi());
	CHECK(expect_end());
}

SCENARIO_QUICK(msrs_of_the_control_block)
{
	CHECK(guest_begin(&build_sw, "control_block_msrs"));
	CHECK(expect_end());
}
