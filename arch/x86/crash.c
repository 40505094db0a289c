/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/crash.h"

#ifndef PRODUCTION

#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/traps.h"
#include "kernel/cmdline.h"
#include "kernel/panic.h"
#include "kernel/print.h"

extern u8 image_start[];

static void crash_assert(void)
{
	volatile unsigned two = 2;

	ASSERT(two + two == 5);
}

static void crash_ud(void)
{
	__asm__ volatile("ud2");
}

static void crash_divide(void)
{
	__asm__ volatile("div %0" : : "r"(0), "a"(1), "d"(0));
}

static void crash_gp(void)
{
	/* Not canonical. */
	*(volatile u64 *)0x8000000000000000 = 0;
}

static void crash_null(void)
{
	/* Through a register, since gcc knows what a store to NULL means. */
	__asm__ volatile("movq $0, (%0)" : : "r"(0ul) : "memory");
}

static void crash_text(void)
{
	*(volatile u8 *)image_start = 0;
}

static void crash_data(void)
{
	static u8 code[16] = {0xc3}; /* ret */

	__asm__ volatile("call *%0" : : "r"(code) : "memory");
}

static void crash_rodata(void)
{
	static const u8 constant = 1;

	*(volatile u8 *)(u64)&constant = 0;
}

static void crash_identity(void)
{
	(void)*(volatile u8 *)0x100000;
}

static void crash_stack(void)
{
	/* As a runaway stack does it: push until the guard page, where even #PF finds no stack. */
	__asm__ volatile("1: push %%rax\n\tjmp 1b" : : : "memory");
}

static void crash_machine_check(void)
{
	__asm__ volatile("int $18");
}

static void crash_fixup(void)
{
	u64 value;

	/* Only an unknown MSR faults, and only where the processor checks; an undefined opcode
	 * does. */
	u32 fault = 1;

	__asm__ volatile("1: ud2\n\t"
			 "xor %0, %0\n\t"
			 "2:\n\t" EX_TABLE("1b", "2b")
			 : "+r"(fault));
	printk(LOG_INFO, "fixup: a faulting instruction was skipped: %s",
	       fault == 1 ? "yes" : "no");
	printk(LOG_INFO, "fixup: EFER can be read: %s",
	       rdmsr_safe(0xc0000080, &value) ? "yes" : "no");
}

static void crash_nmi(void)
{
	bool before = nmi_take();
	bool after;

	__asm__ volatile("int $2");
	after = nmi_take();
	printk(LOG_INFO, "nmi: noted once: %s", !before && after && !nmi_take() ? "yes" : "no");
}

static const struct {
	const char *name;
	void (*function)(void);
} ways[] = {
	/* The first two return. */
	{"fixup", crash_fixup},
	{"nmi", crash_nmi},
	{"assert", crash_assert},
	{"ud", crash_ud},
	{"divide", crash_divide},
	{"gp", crash_gp},
	{"null", crash_null},
	{"text", crash_text},
	{"data", crash_data},
	{"rodata", crash_rodata},
	{"identity", crash_identity},
	{"stack", crash_stack},
	{"machine-check", crash_machine_check},
};

static u32 wanted; /* one bit for each way */

static bool parse_crash(const char *value)
{
	const char *names[ARRAY_COUNT(ways)];
	unsigned choice;

	for (unsigned i = 0; i < ARRAY_COUNT(ways); i++)
		names[i] = ways[i].name;
	if (!cmdline_choice(value, names, ARRAY_COUNT(names), &choice))
		return false;
	wanted |= 1u << choice;
	return true;
}
CMDLINE_OPTION(crash, "crash",
	       "fixup|nmi|assert|ud|divide|gp|null|text|data|rodata|identity|stack|machine-check",
	       "for tests: break Septum in this way once it is up", parse_crash);

void crash_if_asked(void)
{
	for (unsigned i = 0; i < ARRAY_COUNT(ways); i++) {
		if ((wanted >> i & 1) == 0)
			continue;
		printk(LOG_INFO, "crash=%s", ways[i].name);
		ways[i].function();
	}
}

#endif
