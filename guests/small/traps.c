/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies about what an exit must not disturb: single-stepping, NMI blocking; and MSRs that the
 * processor's control block holds. */
#include "guests/small/guest.h"

#define RFLAGS_TF    0x100ul
#define DR6_BS	     0x4000ul
#define MSR_TSC	     0x10u
#define MSR_DEBUGCTL 0x1d9u
#define EFER_NXE     (1ul << 11)
#define EFER_SVME    (1ul << 12)
#define TSC_FAR	     (5ul << 40)

static volatile u64 steps;
static volatile u64 step_rip[4], step_dr6[4];

static bool stepped(struct trap_frame *frame)
{
	u64 dr6;

	__asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
	__asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ul));
	step_rip[steps % 4] = frame->rip;
	step_dr6[steps % 4] = dr6;
	if (++steps == 2)
		frame->rflags &= ~RFLAGS_TF;
	return true;
}

/* An instruction that Septum completes is one step, like any other. */
BODY(single_step)
{
	u64 after_cpuid, after_nop;

	trap_handlers[VECTOR_DB] = stepped;
	__asm__ volatile("lea 1f(%%rip), %0\n\t"
			 "lea 2f(%%rip), %1\n\t"
			 "xor %%eax, %%eax\n\t"
			 "pushf\n\t"
			 "orq %2, (%%rsp)\n\t"
			 "popf\n\t"
			 "cpuid\n"
			 "1:\tnop\n"
			 "2:\tnop"
			 : "=&r"(after_cpuid), "=&r"(after_nop)
			 : "i"(RFLAGS_TF)
			 : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	REQUIRE(steps == 2);
	REQUIRE(step_rip[0] == after_cpuid && step_rip[1] == after_nop);
	REQUIRE((step_dr6[0] & DR6_BS) != 0 && (step_dr6[1] & DR6_BS) != 0);
}

static volatile u64 nmis, nmi_depth;
static volatile bool nmi_nested;

static bool on_nmi(struct trap_frame *frame)
{
	(void)frame;
	if (nmi_depth++ != 0)
		nmi_nested = true;
	if (nmis++ == 0) {
		step(2); /* the next one is made pending here */
		cpuid(0, 0);
		if (nmis != 1)
			nmi_nested = true;
	}
	nmi_depth--;
	return true;
}

BODY(nmi_blocking)
{
	trap_handlers[VECTOR_NMI] = on_nmi;
	step(1);
	REQUIRE(nmis == 2 && !nmi_nested);
	step(3); /* free again */
	REQUIRE(nmis == 3);
}

BODY(control_block_msrs)
{
	u64 efer, value;

	REQUIRE(probe_msr_read(MSR_EFER, &efer));
	REQUIRE((efer & EFER_SVME) == 0);
	REQUIRE(!probe_msr_write(MSR_EFER, efer | EFER_SVME));
	REQUIRE(!probe_msr_write(MSR_EFER, efer ^ (1ul << 8))); /* LME, with paging on */
	REQUIRE(probe_msr_write(MSR_EFER, efer ^ EFER_NXE) && probe_msr_write(MSR_EFER, efer));
	REQUIRE(probe_msr_read(MSR_EFER, &value) && value == efer);

	REQUIRE(probe_msr_write(MSR_DEBUGCTL, 0));
	REQUIRE(probe_msr_read(MSR_DEBUGCTL, &value) && value == 0);
	REQUIRE(!probe_msr_write(MSR_DEBUGCTL, 1ul << 40));

	REQUIRE(!probe_msr_write(MSR_PAT, 0x0202020202020202ul));

	REQUIRE(probe_msr_write(MSR_TSC, TSC_FAR));
	REQUIRE(probe_msr_read(MSR_TSC, &value) && value >= TSC_FAR &&
		value < TSC_FAR + (1ul << 36));
	value = tsc_read();
	REQUIRE(value >= TSC_FAR && value < TSC_FAR + (1ul << 36));

	PROBE("xor %%ecx, %%ecx\n\trdpmc", : : : "rax", "rcx", "rdx", "memory");
	REQUIRE(trap_last.vector == VECTOR_GP || trap_last.vector == VECTOR_UD);
}
