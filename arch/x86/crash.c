/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/crash.h"

#ifndef PRODUCTION

#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "arch/x86/traps.h"
#include "kernel/cmdline.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "mm/memory.h"

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

/* ---- With all processors up ---- */

#define WORK_ROUNDS 2000u

static void work_count(void *argument)
{
	__atomic_fetch_add((u32 *)argument, 1, __ATOMIC_RELAXED);
}

/* Each guest CPU gets work again and again, just when it falls asleep. */
static void crash_work(void)
{
	static u32 done;
	u64 wanted_rounds = (u64)WORK_ROUNDS * (cpu_count - 1);

	for (unsigned round = 0; round < WORK_ROUNDS; round++) {
		for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
			while (!cpu_run_on(cpu, work_count, &done))
				cpu_pause();
		}
		cpus_flush();
	}
	for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
		while (!cpu_is_idle(cpu))
			cpu_pause();
	}
	printk(LOG_INFO, "work: each of %u guest CPUs was given work %u times, and did it: %s",
	       cpu_count - 1, WORK_ROUNDS, done == wanted_rounds ? "yes" : "no");
}

#define KICK_ROUNDS 200u
#define KICK_TICKS  20000u

/* As often as possible, the root is fetched out of guest mode. */
static void kick_root(void *argument)
{
	u64 start;

	(void)argument;
	while (READ_ONCE(tlb_cpus[0].tlb) != root_tlb())
		cpu_pause();
	for (unsigned round = 0; round < KICK_ROUNDS; round++) {
		tlb_invalidate(root_tlb());
		for (start = rdtsc(); rdtsc() - start < KICK_TICKS;)
			cpu_pause();
	}
	printk(LOG_INFO, "kick: %u flushes fetched the root out of guest mode: %s", KICK_ROUNDS,
	       root_tlb()->kick_count != 0 ? "yes" : "no");
}

static void crash_kick_root(void)
{
	cpu_run_on(1, kick_root, NULL);
}

/* In guest mode, as it says, and never out of it again. */
static void deaf(void *table)
{
	tlb_enter(table, cpu_self());
	cpu_halt_forever();
}

static void crash_deaf_cpu(void)
{
	static struct tlb table;
	unsigned cpu = cpu_count - 1;

	cpu_patience = 1ul << 28;
	tlb_init(&table);
	cpu_run_on(cpu, deaf, &table);
	while (READ_ONCE(tlb_cpus[cpu].tlb) != &table)
		cpu_pause();
	tlb_invalidate(&table);
}

static void panic_now(void *argument)
{
	(void)argument;
	crash_assert();
}

static void crash_guest_cpu(void)
{
	cpu_run_on(cpu_count - 1, panic_now, NULL);
	/* In the middle of a line when the panic comes, perhaps. */
	for (;;)
		printk(LOG_INFO, "still there");
}

static void crash_all_cpus(void)
{
	for (unsigned cpu = 1; cpu < cpu_count; cpu++)
		cpu_run_on(cpu, panic_now, NULL);
	crash_assert();
}

static const struct {
	const char *name;
	void (*function)(void);
	bool late;
} ways[] = {
	/* These return. */
	{"work", crash_work, true},
	{"kick-root", crash_kick_root, true},
	{"fixup", crash_fixup, false},
	{"nmi", crash_nmi, false},
	{"assert", crash_assert, false},
	{"ud", crash_ud, false},
	{"divide", crash_divide, false},
	{"gp", crash_gp, false},
	{"null", crash_null, false},
	{"text", crash_text, false},
	{"data", crash_data, false},
	{"rodata", crash_rodata, false},
	{"identity", crash_identity, false},
	{"stack", crash_stack, false},
	{"machine-check", crash_machine_check, false},
	{"guest-cpu", crash_guest_cpu, true},
	{"all-cpus", crash_all_cpus, true},
	{"deaf-cpu", crash_deaf_cpu, true},
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
	       "work|kick-root|fixup|nmi|assert|ud|divide|gp|null|text|data|rodata|identity|stack|"
	       "machine-check|"
	       "guest-cpu|all-cpus|deaf-cpu",
	       "for tests: break Septum in this way once it is up", parse_crash);

static void crash(bool late)
{
	for (unsigned i = 0; i < ARRAY_COUNT(ways); i++) {
		if ((wanted >> i & 1) == 0 || ways[i].late != late)
			continue;
		printk(LOG_INFO, "crash=%s", ways[i].name);
		ways[i].function();
	}
}

void crash_if_asked(void)
{
	crash(false);
}

void crash_late_if_asked(void)
{
	crash(true);
}

#endif
