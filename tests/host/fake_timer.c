/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/host/fake_timer.h"

#include "arch/x86/timer.h"
#include "arch/x86/tsc.h"
#include "arch/x86/world.h"

u64 fake_armed;
bool fake_fired;
u64 fake_frequency = 1000000000;

void timer_arm(u64 when)
{
	fake_armed = when;
}

bool timer_fired(void)
{
	return fake_fired;
}

void timer_return(void)
{
	fake_armed = 0;
}

u64 tsc_frequency(void)
{
	return fake_frequency;
}

void world_debug_reset(void)
{
}
