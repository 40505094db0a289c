/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/smp.h"
#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/io.h"
#include "arch/x86/offsets.h"
#include "arch/x86/paging.h"
#include "arch/x86/timer.h"
#include "arch/x86/traps.h"
#include "kernel/boot_info.h"
#include "kernel/cmdline.h"
#include "kernel/main.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/string.h"
#include "kernel/vendor.h"
#include "mm/window.h"

#include <septum/abi.h>

unsigned cpu_count = 1;
_Static_assert(CPU_MAX <= CPUS_MAX, "mm/tlb.h");

static u64 cpus_wanted = CPU_MAX;

static bool parse_cpus(const char *value)
{
	return cmdline_number(value, &cpus_wanted) && cpus_wanted > 0;
}
CMDLINE_OPTION(cpus, "cpus", "N", "use at most N processors; the first is the root partition's",
	       parse_cpus);

/* ---- Reaching and sleeping ---- */

extern const char cpu_sleep_open_start[], cpu_sleep_open_end[];
extern const char cpu_sleep_start[], cpu_sleep_end[];

void cpu_kick(unsigned cpu)
{
	struct cpu *to = &cpu_table[cpu];

	/* The mark says that an NMI is under way which nobody has taken yet. */
	if (!__atomic_exchange_n(&to->kick, true, __ATOMIC_SEQ_CST))
		apic_send_nmi(to->apic_id);
}

bool kick_take(void)
{
	return __atomic_exchange_n(&this_cpu()->kicked, false, __ATOMIC_SEQ_CST);
}

bool kick_pending(void)
{
	return READ_ONCE(this_cpu()->kicked);
}

unsigned cpu_self(void)
{
	return this_cpu()->id;
}

void cpu_relax(void)
{
	cpu_pause();
}

u64 cpu_patience = 1ul << 36;

void cpu_await(unsigned cpu, u64 *since)
{
	u64 now = rdtsc();

	if (*since == 0)
		*since = now;
	if (now - *since > cpu_patience)
		panic("CPU %u does not answer: CPU %u has waited for it for %lu ticks", cpu,
		      this_cpu()->id, now - *since);
	cpu_pause();
}

void cpu_sleep_open(void);

/* Every processor that Septum knows has a TSC of 1 GHz at least. */
#define POLL_TICKS (SEPTUM_POLL_MICROSECONDS * 1000ul)

void cpu_sleep_poll(void)
{
	timer_arm(rdtsc() + POLL_TICKS);
	cpu_sleep_open();
	timer_stop();
}

void cpu_sleep_until(u64 when)
{
	timer_arm(when);
	cpu_sleep_open();
}

void interrupts_take(void)
{
	__asm__ volatile("sti; nop; cli" : : : "memory");
}

enum stopper { STOPPER_NONE = -1 };
static int stopper = STOPPER_NONE; /* the CPU that stops all others */

static void flush_if_asked(struct cpu *cpu)
{
	if (!__atomic_load_n(&cpu->flush, __ATOMIC_ACQUIRE))
		return;
	paging_flush();
	__atomic_store_n(&cpu->flush, false, __ATOMIC_RELEASE);
}

static void call_if_asked(struct cpu *cpu)
{
	void (*work)(void) = __atomic_load_n(&cpu->everywhere, __ATOMIC_ACQUIRE);

	if (work == NULL)
		return;
	work();
	__atomic_store_n(&cpu->everywhere, NULL, __ATOMIC_RELEASE);
}

void cpu_nmi(void)
{
	struct cpu *cpu = this_cpu();
	/* The mark goes first: who sets it from here on sends another NMI, and what was asked for
	 * before is seen below. */
	bool ours = __atomic_exchange_n(&cpu->kick, false, __ATOMIC_SEQ_CST);
	int by = __atomic_load_n(&stopper, __ATOMIC_ACQUIRE);

	cpu->nmi_count++;
	if (by != STOPPER_NONE && by != (int)cpu->id) {
		__atomic_store_n(&cpu->stopped, true, __ATOMIC_RELEASE);
		cpu_halt_forever();
	}
	flush_if_asked(cpu);
	call_if_asked(cpu);
	if (ours || cpu->id != 0)
		cpu->kicked = true;
	else
		cpu->nmi_seen = true;
}

/* TSC ticks that a CPU has to react: about a second. */
#define REACT_TICKS (1ul << 32)

bool cpus_stop(void)
{
	int me = (int)this_cpu()->id, nobody = STOPPER_NONE;
	u64 start;

	if (!__atomic_compare_exchange_n(&stopper, &nobody, me, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return nobody == me;
	for (unsigned i = 0; i < cpu_count; i++) {
		if ((int)i != me)
			cpu_kick(i);
	}
	start = rdtsc();
	for (unsigned i = 0; i < cpu_count; i++) {
		while ((int)i != me && !__atomic_load_n(&cpu_table[i].stopped, __ATOMIC_ACQUIRE) &&
		       rdtsc() - start < REACT_TICKS)
			cpu_pause();
	}
	return true;
}

void cpus_flush(void)
{
	unsigned me = this_cpu()->id;

	for (unsigned i = 0; i < cpu_count; i++) {
		if (i == me)
			continue;
		__atomic_store_n(&cpu_table[i].flush, true, __ATOMIC_SEQ_CST);
		cpu_kick(i);
	}
	for (unsigned i = 0; i < cpu_count; i++) {
		u64 since = 0;

		while (i != me && __atomic_load_n(&cpu_table[i].flush, __ATOMIC_ACQUIRE)) {
			/* Its own request may be waiting for this CPU, in a section without NMIs.
			 */
			flush_if_asked(&cpu_table[me]);
			cpu_await(i, &since);
		}
	}
	paging_flush();
}

void cpus_call(void (*work)(void))
{
	unsigned me = this_cpu()->id;

	for (unsigned i = 0; i < cpu_count; i++) {
		if (i == me)
			continue;
		__atomic_store_n(&cpu_table[i].everywhere, work, __ATOMIC_SEQ_CST);
		cpu_kick(i);
	}
	for (unsigned i = 0; i < cpu_count; i++) {
		while (i != me && __atomic_load_n(&cpu_table[i].everywhere, __ATOMIC_ACQUIRE)) {
			flush_if_asked(&cpu_table[me]);
			cpu_pause();
		}
	}
	work();
}

/* ---- Work ---- */

enum mailbox { MAILBOX_EMPTY, MAILBOX_TAKEN, MAILBOX_FULL };

bool cpu_run_on(unsigned cpu, void (*work)(void *argument), void *argument)
{
	struct cpu *to = &cpu_table[cpu];
	u32 empty = MAILBOX_EMPTY;

	if (cpu == 0 || cpu >= cpu_count)
		return false;
	if (!__atomic_compare_exchange_n(&to->mailbox, &empty, MAILBOX_TAKEN, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	to->work = work;
	to->argument = argument;
	__atomic_store_n(&to->mailbox, MAILBOX_FULL, __ATOMIC_SEQ_CST);
	cpu_kick(cpu);
	return true;
}

bool cpu_is_idle(unsigned cpu)
{
	return cpu > 0 && cpu < cpu_count &&
	       __atomic_load_n(&cpu_table[cpu].mailbox, __ATOMIC_ACQUIRE) == MAILBOX_EMPTY;
}

static _Noreturn void idle(void)
{
	struct cpu *cpu = this_cpu();

	for (;;) {
		kick_take();
		if (__atomic_load_n(&cpu->mailbox, __ATOMIC_ACQUIRE) == MAILBOX_FULL) {
			cpu->work(cpu->argument);
			__atomic_store_n(&cpu->mailbox, MAILBOX_EMPTY, __ATOMIC_RELEASE);
		} else {
			cpu_sleep();
		}
	}
}

/* ---- Start-up ---- */

/* An AP's way: what the CPU that starts it and it itself agree on. */
enum start {
	START_SENT,	/* it may come */
	START_GIVEN_UP, /* too late: it must do nothing */
	START_CAME,	/* it runs C */
	START_FAILED,	/* it cannot run guests: ap_problem */
	START_DONE,
};
static u32 start_state;
static struct cpu *starting;
static const char *ap_problem;

/* The words at ap_patch. */
struct ap_patch {
	u32 gdt;
	u32 far;
	u16 selector;
	u32 cr3;
} __attribute__((packed));

extern const u8 ap_trampoline[], ap_trampoline_end[], ap_patch[];
extern const char boot_pml4[];

#define TRAMPOLINE_LOWEST 0x2000ul /* below is what firmware still uses */
#define TRAMPOLINE_END	  0xa0000ul
#define INIT_DELAY_US	  10000u
#define STARTUP_DELAY_US  200u
#define STARTUP_TRIES	  2u

static _Noreturn void ap_start(void)
{
	struct cpu *cpu = this_cpu();

	world_cpu_enable();
	world_init(&cpu->world, cpu->world.xsave, true);
	timer_setup();
	ap_problem = apic_usable() ? vendor->cpu_enable()
				   : "Its local APIC is off or at an address of its own.";
	if (ap_problem != NULL) {
		__atomic_store_n(&start_state, START_FAILED, __ATOMIC_RELEASE);
		cpu_halt_forever();
	}
	__atomic_store_n(&start_state, START_DONE, __ATOMIC_RELEASE);
	idle();
}

void ap_main(void)
{
	struct cpu *cpu = starting;
	u32 sent = START_SENT;

	if (!__atomic_compare_exchange_n(&start_state, &sent, START_CAME, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		cpu_halt_forever();
	cpu_early_ap(cpu);
	paging_enable();
	cpu_tables_load(cpu);
	boot_stack_switch(stack_main_top(cpu->id), ap_start);
}

/* A page of RAM for the trampoline; PFN_NONE: there is none. */
static pfn_t trampoline_find(void)
{
	const struct range_set *ram = &boot_info.memory[BOOT_RAM];

	for (u64 at = TRAMPOLINE_LOWEST; at < TRAMPOLINE_END; at += PAGE_SIZE) {
		if (range_set_contains(ram, at, at + PAGE_SIZE))
			return hpa_to_pfn(hpa(at));
	}
	return PFN_NONE;
}

static void trampoline_write(pfn_t page)
{
	u8 *to = window_map(WINDOW_FIRMWARE, page);
	size_t size = (u64)ap_trampoline_end - (u64)ap_trampoline;
	u32 address = (u32)pfn_to_hpa(page).n;
	struct ap_patch patch;

	memcpy(to, ap_trampoline, size);
	memcpy(&patch, ap_patch, sizeof(patch));
	patch.gdt += address;
	patch.far += address;
	patch.cr3 = (u32)paging_image_pa(boot_pml4).n;
	memcpy(to + ((u64)ap_patch - (u64)ap_trampoline), &patch, sizeof(patch));
}

static bool wait_for_other_than(u32 state, u64 ticks)
{
	u64 start = rdtsc();

	while (__atomic_load_n(&start_state, __ATOMIC_ACQUIRE) == state) {
		if (rdtsc() - start > ticks)
			return false;
		cpu_pause();
	}
	return true;
}

/* NULL, or why it has been left out. The processor has had its INIT. */
static const char *start_one(struct cpu *cpu, pfn_t page)
{
	u32 sent = START_SENT;

	starting = cpu;
	__atomic_store_n(&start_state, START_SENT, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < STARTUP_TRIES; i++) {
		apic_send_startup(cpu->apic_id, page);
		if (wait_for_other_than(START_SENT, STARTUP_DELAY_US * 4000ul))
			break;
	}
	if (!wait_for_other_than(START_SENT, REACT_TICKS) &&
	    __atomic_compare_exchange_n(&start_state, &sent, START_GIVEN_UP, false,
					__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		/* It must not wake later, in a page that is the root's by then. */
		apic_send_init(cpu->apic_id);
		return "It does not start";
	}
	/* From here on it uses the allocator that is this CPU's, too. */
	if (!wait_for_other_than(START_CAME, 4 * REACT_TICKS))
		boot_fail("The processor with APIC id %u stopped in the middle of its start; leave "
			  "it out with cpus=%u.",
			  cpu->apic_id, cpu->id);
	return start_state == START_FAILED ? ap_problem : NULL;
}

/* Prepares the next CPU for the processor with this APIC id. */
static struct cpu *prepare(u32 id)
{
	struct cpu *cpu = &cpu_table[cpu_count];
	bool again = cpu->stack_top != 0; /* another processor has failed with it */

	if (!again) {
		cpu->id = cpu_count;
		paging_windows(cpu);
		stacks_map(cpu->id);
		cpu->stack_top = stack_main_top(cpu->id);
		cpu->world.xsave = own_alloc(world_xsave_pages_root());
	}
	cpu->apic_id = id;
	return cpu;
}

static void start_all(pfn_t page)
{
	unsigned listed = MIN(acpi_info.cpu_count, CPU_MAX);
	u32 me = apic_id();

	for (unsigned i = 0; i < listed; i++) {
		if (acpi_info.apic_ids[i] != me && apic_reaches(acpi_info.apic_ids[i]))
			apic_send_init(acpi_info.apic_ids[i]);
	}
	delay_us(INIT_DELAY_US);
	for (unsigned i = 0; i < listed && cpu_count < cpus_wanted; i++) {
		u32 id = acpi_info.apic_ids[i];
		const char *problem;

		if (id == me)
			continue;
		problem = apic_reaches(id) ? start_one(prepare(id), page)
					   : "Only a boot CPU in x2APIC mode reaches it";
		if (problem == NULL)
			cpu_count++;
		else
			printk(LOG_ERROR, "processor with APIC id %u is left out: %s", id, problem);
	}
}

void smp_start(void)
{
	static u8 saved[PAGE_SIZE];
	const char *problem = NULL;
	pfn_t page = trampoline_find();

	nmi_window_add(cpu_sleep_start, cpu_sleep_end, cpu_sleep_end);
	nmi_window_add(cpu_sleep_open_start, cpu_sleep_open_end, cpu_sleep_open_end);
	problem = apic_setup();
	if (problem == NULL)
		timer_measure_begin();
	if (acpi_info.cpu_count <= 1 || cpus_wanted <= 1)
		goto out;
	if (problem == NULL && pfn_is_none(page))
		problem = "There is no RAM below 640 KiB";
	if (problem != NULL) {
		printk(LOG_ERROR, "%s, so that other processors cannot be started.", problem);
		goto out;
	}
	cpu_table[0].apic_id = apic_id();
	memcpy(saved, window_map(WINDOW_FIRMWARE, page), PAGE_SIZE);
	trampoline_write(page);
	start_all(page);
	memcpy(window_map(WINDOW_FIRMWARE, page), saved, PAGE_SIZE);
out:
	if (cpu_count == 1)
		printk(LOG_INFO, "processors: 1 of %u in use, for root and guests by turns",
		       MAX(acpi_info.cpu_count, 1u));
	else
		printk(LOG_INFO,
		       "processors: %u of %u in use: CPU 0 for the root partition, %u for guests",
		       cpu_count, acpi_info.cpu_count, cpu_count - 1);
}
