/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/tsc.h"
#include "arch/x86/acpi.h"
#include "arch/x86/io.h"

#define TIMER_HZ     3579545ul
#define TIMER_BITS   24u /* all that every machine has */
#define TIMER_WRAP   BIT(TIMER_BITS)
#define TIMER_LEAST  (TIMER_HZ / 1000) /* between the first two looks */
#define AGREE	     200ul	       /* one part in so many */
#define LEAF_CRYSTAL 0x15u

struct look {
	u64 tsc;
	u32 timer;
};
static struct look first;
static u64 estimate, distance; /* Hz, and over how many ticks of the timer it was found */
static u64 frequency;

static struct look look(void)
{
	struct look now = {.tsc = rdtsc()};

	now.timer = in32(acpi_info.timer_port) & (u32)(TIMER_WRAP - 1);
	/* In the middle of the two. */
	now.tsc += (rdtsc() - now.tsc) / 2;
	return now;
}

static u64 hz(u64 tsc_ticks, u64 timer_ticks)
{
	return tsc_ticks / timer_ticks * TIMER_HZ +
	       tsc_ticks % timer_ticks * TIMER_HZ / timer_ticks;
}

void tsc_measure_begin(void)
{
	if (acpi_info.timer_port != 0)
		first = look();
}

static u32 since_first(struct look now)
{
	return (now.timer - first.timer) & (u32)(TIMER_WRAP - 1);
}

void tsc_measure_end(void)
{
	u64 tries = 0;
	struct look now;

	if (acpi_info.timer_port == 0)
		return;
	/* A timer that stands still is none. */
	do {
		now = look();
	} while (since_first(now) < TIMER_LEAST && tries++ < TIMER_HZ);
	distance = since_first(now);
	if (distance >= TIMER_LEAST)
		estimate = hz(now.tsc - first.tsc, distance);
}

/* The estimate says how often the timer has wrapped since, as long as that is certain. */
static u64 refined(void)
{
	struct look now = look();
	u64 ticks = now.tsc - first.tsc;
	u64 expected = ticks / estimate * TIMER_HZ + ticks % estimate * TIMER_HZ / estimate;
	u64 seen = since_first(now), wraps;

	if (expected / distance > TIMER_WRAP / 8)
		return estimate;
	wraps = (expected + TIMER_WRAP / 2 - seen) / TIMER_WRAP;
	return hz(ticks, seen + wraps * TIMER_WRAP);
}

static u64 by_cpuid(void)
{
	struct cpuid c;

	if (cpuid(0, 0).eax < LEAF_CRYSTAL)
		return 0;
	c = cpuid(LEAF_CRYSTAL, 0);
	return c.eax != 0 ? (u64)c.ecx * c.ebx / c.eax : 0;
}

u64 tsc_frequency(void)
{
	u64 stated, measured;

	if (frequency != 0)
		return frequency;
	stated = by_cpuid();
	measured = estimate != 0 ? refined() : 0;
	if (measured == 0 || (stated != 0 && stated - stated / AGREE < measured &&
			      measured < stated + stated / AGREE))
		frequency = stated;
	else
		frequency = measured;
	return frequency;
}
