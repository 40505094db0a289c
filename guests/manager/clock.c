/* SPDX-License-Identifier: BSD-2-Clause */
/* The time-stamp counter against the interval timer (8254), channel 2, which no one else uses. */
#include "guests/lib/cpu.h"
#include "guests/manager/linux.h"

#define PIT_CHANNEL2 0x42u
#define PIT_MODE     0x43u
#define PIT_GATE     0x61u
#define GATE_ON	     0x01u
#define GATE_SPEAKER 0x02u
#define GATE_OUT     0x20u
#define ONE_SHOT     0xb0u /* channel 2, both bytes, mode 0 */
#define PIT_HZ	     1193182ul
#define PIT_COUNT    59659ul /* 50 ms */
#define NO_TIMER     (1ul << 34)

u64 clock_tsc_khz(void)
{
	static u64 khz;
	u8 gate = in8(PIT_GATE);
	u64 start;
	u64 ticks;

	if (khz)
		return khz;
	out8(PIT_GATE, (u8)((gate & ~GATE_SPEAKER) | GATE_ON));
	out8(PIT_MODE, ONE_SHOT);
	out8(PIT_CHANNEL2, (u8)(PIT_COUNT & 0xff));
	out8(PIT_CHANNEL2, (u8)(PIT_COUNT >> 8));
	start = tsc_read();
	do {
		ticks = tsc_read() - start;
	} while (!(in8(PIT_GATE) & GATE_OUT) && ticks < NO_TIMER);
	out8(PIT_GATE, gate);
	if (ticks < NO_TIMER)
		khz = ticks * PIT_HZ / PIT_COUNT / 1000;
	return khz;
}

u64 clock_microseconds(void)
{
	static u64 start;
	u64 khz = clock_tsc_khz();

	if (!start)
		start = tsc_read();
	return khz ? (tsc_read() - start) * 1000 / khz : 0;
}
