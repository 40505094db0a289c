/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/timer.h"
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "kernel/lapic.h"

/* Only FFh is higher (which Bochs 2.7 knows as no vector but the spurious one): whatever else of
 * the root's waits, this one is taken first. */
#define VECTOR_TIMER	0xfeu
#define REQUEST		BIT(30) /* of the last IRR register */
#define REQUEST_FIRST	BIT(31)
#define VECTOR_GUEST	0x40u /* on guest CPUs */
#define VECTOR_SPURIOUS 0xffu
#define CLASS_HIGHEST	15ul

#define LVT_MASKED    BIT(16)
#define LVT_MODE(lvt) ((lvt) >> 17 & 3)
#define SVR_ON	      BIT(8)
#define DIVIDE_BY_1   0xbu

#define MEASURE_TICKS 20000ul
#define TICKS_MAX     BIT(30) /* further away is armed in steps */
#define RATE_SHIFT    32u
#define EARLY(ticks)  ((ticks) - (ticks) / 256) /* the rest is armed then, exactly */
#define EARLY_LEAST   65536ul

/* Counts for a TSC tick, times 2^RATE_SHIFT; the same on all processors. 0: there is no timer. */
static u64 rate;

enum mode { ONE_SHOT, PERIODIC, DEADLINE };

/* What of CPU 0's timer is the root's. */
static struct {
	bool borrowed, refused;
	u32 lvt, svr, divide;
	u64 left; /* counts, or IA32_TSC_DEADLINE, when it was borrowed: at TSC `at` */
	u64 at;
	u64 due; /* TSC when it expires, or NEVER */
} root;

static unsigned divide_log(u32 divide)
{
	return (((divide & 3) | (divide >> 1 & 4)) + 1) & 7;
}

static u64 counts_of(u64 ticks)
{
	if (ticks <= TICKS_MAX)
		return ticks * rate >> RATE_SHIFT;
	return (ticks >> 16) * rate >> (RATE_SHIFT - 16);
}

/* `counts`: up to 2^39. */
static u64 ticks_of(u64 counts)
{
	return (counts << 24) / MAX(rate >> 8, 1ul);
}

static void start(u64 count)
{
	apic_write(LAPIC_INITIAL, (u32)MIN(MAX(count, 1ul), 0xfffffffful));
}

void timer_setup(void)
{
	this_cpu()->timer_at = NEVER;
	apic_write(LAPIC_SVR, (u32)SVR_ON | VECTOR_SPURIOUS);
	apic_write(LAPIC_DIVIDE, DIVIDE_BY_1);
	apic_write(LAPIC_LVT_TIMER, VECTOR_GUEST);
}

/* ---- Its speed ---- */

static struct {
	u32 lvt, divide, svr;
	u64 begin; /* TSC; 0: it is not measured */
} measure;

void timer_measure_begin(void)
{
	measure.lvt = apic_read(LAPIC_LVT_TIMER);
	measure.divide = apic_read(LAPIC_DIVIDE);
	measure.svr = apic_read(LAPIC_SVR);
	apic_write(LAPIC_SVR, measure.svr | (u32)SVR_ON);
	apic_write(LAPIC_LVT_TIMER, LVT_MASKED);
	apic_write(LAPIC_DIVIDE, DIVIDE_BY_1);
	measure.begin = rdtsc();
	apic_write(LAPIC_INITIAL, ~0u);
}

void timer_measure_end(void)
{
	u64 ticks;
	u32 left;

	if (measure.begin == 0)
		return;
	do {
		ticks = rdtsc() - measure.begin;
	} while (ticks < MEASURE_TICKS);
	left = apic_read(LAPIC_CURRENT);
	ticks = rdtsc() - measure.begin;
	apic_write(LAPIC_INITIAL, 0);
	apic_write(LAPIC_DIVIDE, measure.divide);
	apic_write(LAPIC_LVT_TIMER, measure.lvt);
	apic_write(LAPIC_SVR, measure.svr);
	/* Where start-up has taken so long that it is at its end, there is no timer. */
	if (left != 0)
		rate = MAX(((u64)(~0u - left) << RATE_SHIFT) / ticks, 1ul);
	this_cpu()->timer_at = NEVER;
}

/* ---- The root's timer ---- */

/* Of the deadline or the count, whichever the root uses; 0: its timer does not run. */
static u64 root_left(void)
{
	return LVT_MODE(root.lvt) == DEADLINE ? rdmsr(MSR_TSC_DEADLINE) : apic_read(LAPIC_CURRENT);
}

static bool root_requested(void)
{
	u32 vector = root.lvt & 0xff;

	return (apic_read(LAPIC_IRR + vector / 32 * 16) >> vector % 32 & 1) != 0;
}

static void borrow(void)
{
	u64 before, left;

	root.lvt = apic_read(LAPIC_LVT_TIMER);
	before = root_left();
	root.refused = LVT_MODE(root.lvt) == PERIODIC && before != 0;
	if (root.refused)
		return;
	apic_write(LAPIC_LVT_TIMER, root.lvt | (u32)LVT_MASKED);
	root.at = rdtsc();
	left = root_left();
	/* It has expired just now: before it was masked, or unheard. */
	if (left == 0 && before != 0 && !root_requested())
		left = LVT_MODE(root.lvt) == DEADLINE ? before : 1;
	root.svr = apic_read(LAPIC_SVR);
	root.divide = apic_read(LAPIC_DIVIDE);
	root.left = left;
	root.due = NEVER;
	if (left != 0 && LVT_MODE(root.lvt) == DEADLINE)
		root.due = left;
	else if (left != 0)
		root.due = root.at + ticks_of(left << divide_log(root.divide));
	if ((root.svr & SVR_ON) == 0)
		apic_write(LAPIC_SVR, root.svr | (u32)SVR_ON);
	apic_write(LAPIC_LVT_TIMER, VECTOR_TIMER);
	apic_write(LAPIC_DIVIDE, DIVIDE_BY_1);
	root.borrowed = true;
	this_cpu()->timer_at = NEVER;
}

static bool requested(void)
{
	return (apic_read(LAPIC_IRR + 0x70) & (REQUEST | REQUEST_FIRST)) == REQUEST;
}

/* The one interrupt that has been requested(). The handler returns with interrupts off. */
static void take(void)
{
	u32 lint0 = apic_read(LAPIC_LVT_LINT0);
	u64 cr8;

	/* An interrupt of the PIC has no priority and might come in its place. */
	if ((lint0 & LVT_MASKED) == 0)
		apic_write(LAPIC_LVT_LINT0, lint0 | (u32)LVT_MASKED);
	__asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
	__asm__ volatile("mov %0, %%cr8" : : "r"(CLASS_HIGHEST - 1) : "memory");
	__asm__ volatile("sti; nop; cli" : : : "memory");
	__asm__ volatile("mov %0, %%cr8" : : "r"(cr8) : "memory");
	if ((lint0 & LVT_MASKED) == 0)
		apic_write(LAPIC_LVT_LINT0, lint0);
}

bool timer_fired(void)
{
	if (!root.borrowed || !requested())
		return false;
	take();
	this_cpu()->timer_at = NEVER;
	/* Still there: the root has one of the same class in service. */
	if (rdtsc() >= root.due || requested())
		return false;
	if (root.due != NEVER)
		timer_arm(root.due);
	return true;
}

/* An expiry that has been missed comes now, as a message to itself. */
static void give_back_count(void)
{
	u64 gone = counts_of(rdtsc() - root.at) >> divide_log(root.divide);

	if (root.left > gone)
		start(root.left - gone);
	else if (root.left != 0 && (root.lvt & LVT_MASKED) == 0)
		apic_send_fixed(apic_id(), (u8)root.lvt);
}

void timer_return(void)
{
	root.refused = false;
	if (!root.borrowed)
		return;
	apic_write(LAPIC_LVT_TIMER, (u32)LVT_MASKED | VECTOR_TIMER);
	apic_write(LAPIC_INITIAL, 0);
	if (requested())
		take();
	root.borrowed = false;
	this_cpu()->timer_at = NEVER;
	apic_write(LAPIC_DIVIDE, root.divide);
	apic_write(LAPIC_LVT_TIMER, root.lvt);
	if ((root.svr & SVR_ON) == 0)
		apic_write(LAPIC_SVR, root.svr);
	if (LVT_MODE(root.lvt) == DEADLINE) {
		/* Intel SDM Vol. 3, 11.5.4.1: the store to the page comes first. */
		__asm__ volatile("mfence" : : : "memory");
		if (root.left != 0)
			wrmsr(MSR_TSC_DEADLINE, root.left);
	} else {
		give_back_count();
	}
}

/* ---- Arming ---- */

void timer_arm(u64 when)
{
	struct cpu *cpu = this_cpu();
	u64 now, ticks;

	if (when >= cpu->timer_at || rate == 0)
		return;
	if (cpu->id == 0 && !root.borrowed) {
		if (!root.refused)
			borrow();
		if (!root.borrowed)
			return;
	}
	if (cpu->id == 0)
		when = MIN(when, root.due);
	now = rdtsc();
	ticks = when > now ? MIN(when - now, TICKS_MAX) : 0;
	if (ticks > EARLY_LEAST)
		ticks = EARLY(ticks);
	cpu->timer_at = when;
	start(counts_of(ticks));
}

void timer_stop(void)
{
	apic_write(LAPIC_INITIAL, 0);
	this_cpu()->timer_at = NEVER;
}
